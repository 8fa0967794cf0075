/* SPDX-License-Identifier: BSD-3-Clause
 * Steps to packets, packets to observations: the same for both stacks.
 */
#include "net/net_test_support.h"
#include "tests/diff/diff.h"

struct ip_tuple script_tuple(const struct script *script, unsigned number)
{
    return (struct ip_tuple){test_addr(script->ip6 ? "2001:db8::1" : "192.0.2.1"),
                             test_addr(script->ip6 ? "2001:db8::9" : "192.0.2.9"), DIFF_PORT,
                             (uint16_t)(2000 + number)};
}

size_t script_packet(const struct script *script, const struct step *step, const struct view *view,
                     const struct ip_tuple *tuple, uint8_t *out)
{
    static struct test_pool pool;
    if (!pool.pool.refill)
        test_pool_init(&pool, 0);
    struct tcp_options o = step->options;
    uint8_t options[TCP_OPTIONS_MAX], payload[2000];
    o.has_timestamps = script->ts;
    o.ts_value = step->ts;
    o.ts_echo = step->flags & TCP_ACK ? view->last_ts : 0;
    for (uint32_t i = 0; i < step->len; i++)
        payload[i] = (uint8_t)(step->seq + i);
    struct span text = span_make(options, tcp_options_emit(&o, options, TCP_OPTIONS_MAX));
    struct buf *b = test_frame_tcp(&pool.pool, tuple, DIFF_SCRIPT_ISS + step->seq,
                                   step->flags & TCP_ACK ? view->iss + step->ack : 0, step->flags,
                                   step->window, text, span_make(payload, step->len));
    size_t n = b->len - ETH_BYTES;
    memcpy(out, b->data + ETH_BYTES, n);
    buf_unref(&pool.pool, b);
    return n;
}

/* An ACK that only says that in-order bytes have come, now rather than later. */
static bool is_plain_progress(const struct view *view, const struct answer *a)
{
    return a->flags == TCP_ACK && a->len == 0 && a->sack_count == 0 && a->ack != view->last_ack;
}

static struct answer answer_read(struct view *view, const struct tcp_segment *seg)
{
    struct tcp_options o;
    tg_assert(tcp_options_parse(seg->options, &o));
    if (seg->flags & TCP_SYN) { /* the first, or of a connection that begins anew */
        view->known = true;
        view->iss = seg->seq;
    }
    if (o.has_timestamps)
        view->last_ts = o.ts_value;
    struct answer a = {.flags = seg->flags & (TCP_SYN | TCP_FIN | TCP_RST | TCP_ACK | TCP_URG),
                       .seq = seg->flags & TCP_SYN ? 0 : seg->seq - view->iss,
                       .ack = seg->flags & TCP_ACK ? seg->ack - DIFF_SCRIPT_ISS : 0,
                       .len = seg->payload_bytes,
                       .has_mss = o.has_mss,
                       .has_wscale = o.has_wscale,
                       .has_ts = o.has_timestamps,
                       .sack_permitted = o.sack_permitted,
                       .sack_count = o.sack_count};
    if (o.sack_count) {
        a.sack.left = o.sack[0].left - DIFF_SCRIPT_ISS;
        a.sack.right = o.sack[0].right - DIFF_SCRIPT_ISS;
    }
    return a;
}

void view_take(struct view *view, unsigned step, const struct ip_tuple *tuple, struct span packet)
{
    static struct test_pool pool;
    static struct toeplitz toeplitz;
    if (!pool.pool.refill) {
        test_pool_init(&pool, 0);
        test_toeplitz_init(&toeplitz, 7);
    }
    uint8_t frame[3000];
    memset(frame, 0, ETH_BYTES);
    wire_put16(frame + 12, ip_addr_is4(&tuple->local) ? ETHERTYPE_IP4 : ETHERTYPE_IP6);
    memcpy(frame + ETH_BYTES, packet.data, packet.len);
    struct buf *b = test_buf(&pool.pool, frame, ETH_BYTES + packet.len);
    struct observation *seen = &view->seen[step];
    if (wire_parse(b, &toeplitz) == TG_C_none && b->ip_proto == IP_PROTO_TCP &&
        seen->count < DIFF_ANSWERS_MAX) {
        struct tcp_segment seg = wire_tcp(b);
        struct answer a = answer_read(view, &seg);
        if (!is_plain_progress(view, &a)) {
            seen->answers[seen->count++] = a;
        } else {
            seen->progress = true;
            seen->progress_ack = a.ack;
        }
        if (a.flags & TCP_ACK && !(a.flags & TCP_RST))
            view->last_ack = a.ack;
    }
    buf_unref(&pool.pool, b);
}
