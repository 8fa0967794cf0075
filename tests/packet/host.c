/* SPDX-License-Identifier: BSD-3-Clause
 * See host.h.
 */
#include "tests/packet/host.h"

#define SEGMENT_MAX (BUF_ROOM - ETH_BYTES - IP6_BYTES - 60) /* what fits into a frame */

void host_defaults(struct host *host, bool ip6)
{
    memset(host, 0, sizeof *host);
    host->ip6 = ip6;
    host->node.now = host->start = HOST_START;
    host->mtu = 1500;
    host->config = (struct tcp_config){.connections_max = 16,
                                       .half_open_max = 16,
                                       .time_wait_max = 16,
                                       .receive_window_max = 4u << 20,
                                       .send_buffer_max = 4u << 20,
                                       .unsent_low = 2u << 20,
                                       .ooo_segments_max = 256,
                                       .tso_bytes_max = UINT32_MAX,
                                       .tso_segments_max = UINT8_MAX,
                                       .isn_key = {11, 12},
                                       .seed = 5};
    host->prefix4 = 24;
    host->prefix6 = 64;
    host->tuple = (struct ip_tuple){.local = test_addr(ip6 ? "2001:db8:1::1" : "192.0.2.1"),
                                    .remote = test_addr(ip6 ? "2001:db8:1::9" : "192.0.2.9"),
                                    .local_port = HOST_PORT,
                                    .remote_port = HOST_PEER_PORT};
}

bool host_open(struct host *host)
{
    bool ip6 = host->ip6;
    struct ip_addr local4 = ip6 ? test_addr("192.0.2.1") : host->tuple.local,
                   local6 = ip6 ? host->tuple.local : test_addr("2001:db8:1::1");
    struct node_place place = {.now = host->node.now,
                               .address4 = {local4, 96 + host->prefix4, 0},
                               .address6 = {local6, host->prefix6, 0},
                               .seed = 42,
                               .mtu = host->mtu};
    memcpy(place.mac, test_mac_ours, sizeof place.mac);
    return node_open(&host->node, &place, &host->config) == TG_OK;
}

bool host_close(struct host *host)
{
    for (unsigned i = 0; i < host->burst_count; i++)
        buf_unref(&host->node.pool.pool, host->burst[i]);
    node_close(&host->node);
    return host->node.pool.outstanding == 0 && host->node.wheel.armed == 0;
}

/* --- the link ------------------------------------------------------------------------------------------- */

static void burst_give(struct host *host)
{
    if (host->burst_count)
        tcp_input(host->node.tcp, host->burst, host->burst_count, host->node.now);
    host->burst_count = 0;
}

/* A segment comes: at once, or in the burst of the next turn. */
static void segment_take(struct host *host, struct buf *b)
{
    if (!host->turns) {
        (void)node_take(&host->node, b);
    } else if (wire_parse(b, &host->node.toeplitz) != TG_C_none) {
        buf_unref(&host->node.pool.pool, b);
    } else {
        host->burst[host->burst_count++] = b;
        if (host->burst_count == TG_BURST)
            burst_give(host);
    }
}

static void link_answer_late(struct host *host)
{
    struct node *node = &host->node;
    const struct ip_addr *own = ip_addr_is4(&host->asked) ? &node->address4 : &node->address6;
    if (!host->was_asked || node->now < host->neighbour_from)
        return;
    host->was_asked = false;
    (void)node_take(
        node, test_frame_neighbour(&node->pool.pool, &host->asked, test_mac_peer, own, node->mac));
}

/* True: the frame was of the link's own protocols. */
static bool link_took(struct host *host, const struct buf *b)
{
    if (host->node.now >= host->neighbour_from)
        return node_link_answers(&host->node, b);
    struct ip_addr asked = host->node.address4;
    if (!test_frame_resolves(b, &asked))
        return false;
    const struct ip_addr *own = ip_addr_is4(&asked) ? &host->node.address4 : &host->node.address6;
    if (!ip_addr_equal(&asked, own))
        host->asked = asked, host->was_asked = true;
    return true;
}

static void packet_queue(struct host *host, const struct buf *b)
{
    struct host_packet *p = &host->queue[host->end % HOST_QUEUE_MAX];
    if (host->on_packet) {
        host->on_packet(host->on_packet_arg, b->data + ETH_BYTES, b->len - ETH_BYTES,
                        host->node.now);
        return;
    }
    struct buf *copy = test_buf(&host->node.pool.pool, b->data, b->len);
    if (packet_read(host, copy, p) && host->end - host->first < HOST_QUEUE_MAX)
        host->end++;
    buf_unref(&host->node.pool.pool, copy);
}

static bool host_transmit(struct host *host)
{
    struct buf *b;
    bool any = false;
    while (net_take(host->node.net, &b, 1)) {
        any = true;
        if (!link_took(host, b))
            packet_queue(host, b);
        buf_unref(&host->node.pool.pool, b);
    }
    return any;
}

/* --- time ------------------------------------------------------------------------------------------------- */

void host_begin_turn(struct host *host)
{
    burst_give(host);
    timers_run(&host->node.wheel, host->node.now, 64);
}

const char *host_settle(struct host *host)
{
    bool busy = true;
    burst_give(host);
    link_answer_late(host);
    for (unsigned turn = 0; busy && turn < 1000; turn++) {
        busy = timers_run(&host->node.wheel, host->node.now, 64) > 0;
        busy |= tcp_output(host->node.tcp, host->node.now);
        busy |= host_transmit(host);
    }
    return tcp_check(host->node.tcp);
}

const char *host_advance(struct host *host, tg_ns until, bool stop)
{
    const char *wrong = host_settle(host);
    while (!wrong && host->node.now < until && !(stop && host->first != host->end)) {
        tg_ns next = timers_next(&host->node.wheel);
        if (next <= host->node.now)
            next = host->node.now + TIMER_TICK;
        if (host->was_asked && host->neighbour_from > host->node.now && host->neighbour_from < next)
            next = host->neighbour_from;
        host->node.now = next < until ? next : until;
        net_tick(host->node.net, host->node.now);
        wrong = host_settle(host);
    }
    return wrong;
}

struct host_packet *host_next(struct host *host)
{
    return host->first == host->end ? NULL : &host->queue[host->first++ % HOST_QUEUE_MAX];
}

/* --- packets in ----------------------------------------------------------------------------------------------- */

static uint8_t *option_emit(uint8_t *p, uint8_t kind, const struct tcp_options *o, uint32_t our_iss)
{
    switch (kind) {
    case 2:
        *p++ = 2, *p++ = 4;
        wire_put16(p, o->mss);
        return p + 2;
    case 3:
        *p++ = 3, *p++ = 3, *p++ = o->wscale;
        return p;
    case 4:
        *p++ = 4, *p++ = 2;
        return p;
    case 5:
        *p++ = 5, *p++ = (uint8_t)(2 + 8 * o->sack_count);
        for (unsigned i = 0; i < o->sack_count; i++, p += 8) {
            wire_put32(p, o->sack[i].left + our_iss);
            wire_put32(p + 4, o->sack[i].right + our_iss);
        }
        return p;
    case 8:
        *p++ = 8, *p++ = 10;
        wire_put32(p, o->ts_value);
        wire_put32(p + 4, o->ts_echo);
        return p + 8;
    default:
        *p++ = kind;
        return p;
    }
}

/* The options in the order of the text, padded with EOL. */
static size_t options_emit(const struct host *host, const struct script_segment *s, uint8_t out[80])
{
    struct tcp_options o = s->options;
    uint8_t *p = out;
    if (s->any_ts_echo)
        o.ts_echo = host->last_ts_value;
    else if (host->has_ts_base && s->flags & TCP_ACK)
        o.ts_echo += host->ts_base;
    for (unsigned i = 0; i < s->kind_count && p - out <= TCP_OPTIONS_MAX; i++)
        p = option_emit(p, s->kinds[i], &o, host->our_iss);
    while ((p - out) % 4)
        *p++ = 0;
    size_t n = (size_t)(p - out);
    return n <= TCP_OPTIONS_MAX ? n : TCP_OPTIONS_MAX;
}

static void header_finish(struct buf *b, const struct script_segment *s, bool ip6)
{
    uint8_t *ip = b->data + ETH_BYTES, *tcp = ip + (ip6 ? IP6_BYTES : IP4_BYTES);
    uint16_t sum;
    static const uint8_t bits[] = {0, 0, 2, 1, 3};
    uint32_t before = (uint32_t)tcp[12] << 8 | tcp[13];
    tcp[13] = s->flags; /* ECE and CWR, too */
    wire_put16(tcp + 18, s->urgent);
    /* RFC 1624: HC' = ~(~HC + ~m + m'), for the two words that have changed */
    uint32_t c = (uint16_t)~wire_get16(tcp + 16) + (uint16_t)~before +
                 (uint32_t)(tcp[12] << 8 | tcp[13]) + s->urgent;
    c = (c & 0xffff) + (c >> 16);
    c = (c & 0xffff) + (c >> 16);
    sum = (uint16_t)~c;
    wire_put16(tcp + 16, sum);
    if (ip6) {
        ip[1] = (uint8_t)(ip[1] | bits[s->ecn] << 4);
        return;
    }
    ip[1] |= bits[s->ecn];
    wire_put16(ip + 10, 0);
    uint32_t h = 0;
    for (unsigned i = 0; i < IP4_BYTES; i += 2)
        h += wire_get16(ip + i);
    h = (h & 0xffff) + (h >> 16);
    wire_put16(ip + 10, (uint16_t) ~((h & 0xffff) + (h >> 16)));
}

/* A script's segment may be larger than a frame: then it comes as several, as after segmentation by a sender's NIC. */
static void segment_give(struct host *host, const struct script_segment *s)
{
    uint8_t options[80], payload[SEGMENT_MAX];
    tg_assert(s->len <= sizeof payload);
    for (uint32_t i = 0; i < s->len; i++)
        payload[i] = host_stream_byte(s->seq - (s->flags & TCP_SYN ? 0 : 1) + i);
    struct buf *b = test_frame_tcp(&host->node.pool.pool, &host->tuple, HOST_PEER_ISS + s->seq,
                                   s->has_ack ? host->our_iss + s->ack : 0, s->flags & 0x3f,
                                   s->window, span_make(options, options_emit(host, s, options)),
                                   span_make(payload, s->len));
    header_finish(b, s, host->ip6);
    segment_take(host, b);
}

void host_receive(struct host *host, const struct script_segment *s)
{
    struct script_segment part = *s;
    uint32_t left = s->len, most = host->turns ? SEGMENT_MAX : 1400;
    do {
        part.len = left < most ? left : most;
        left -= part.len;
        part.flags = left ? s->flags & (uint8_t) ~(TCP_FIN | TCP_PSH) : s->flags;
        segment_give(host, &part);
        part.seq += part.len;
    } while (left);
}

bool host_receive_packet(struct host *host, const uint8_t *packet, size_t len)
{
    struct buf *b = buf_alloc(&host->node.pool.pool);
    tg_assert(b);
    if (len == 0 || len > buf_tailroom(b)) {
        buf_unref(&host->node.pool.pool, b);
        return false;
    }
    memcpy(buf_put(b, (uint16_t)len), packet, len);
    wire_emit_ethernet(b, test_mac_ours, test_mac_peer,
                       packet[0] >> 4 == 4 ? ETHERTYPE_IP4 : ETHERTYPE_IP6);
    (void)node_take(&host->node, b);
    return true;
}

struct icmp_name {
    const char *name;
    uint8_t type4, code4, type6, code6; /* type 0: not in this family */
};

bool host_receive_icmp(struct host *host, const struct script_icmp *icmp)
{
    static const struct icmp_name names[] = {
        {"net_unreachable", 3, 0, 1, 0},
        {"host_unreachable", 3, 1, 1, 3},
        {"protocol_unreachable", 3, 2, 0, 0},
        {"port_unreachable", 3, 3, 1, 4},
        {"frag_needed", 3, 4, 2, 0},
        {"admin_prohibited", 3, 13, 1, 1},
        {"address_unreachable", 3, 1, 1, 3},
        {"no_route", 3, 0, 1, 0},
        {"", 0, 0, 2, 0},
    };
    const struct icmp_name *n = NULL;
    for (unsigned i = 0; i < TG_ARRAY_LEN(names); i++)
        if (strcmp(icmp->name, names[i].name) == 0)
            n = &names[i];
    uint8_t type = !n          ? 0
                   : host->ip6 ? n->type6
                               : n->type4,
            code = !n          ? 0
                   : host->ip6 ? n->code6
                               : n->code4;
    if (!type)
        return false;
    struct ip_tuple sent = {host->tuple.remote, host->tuple.local, host->tuple.remote_port,
                            host->tuple.local_port}; /* as the peer would receive it */
    struct buf *quoted = test_frame_tcp(&host->node.pool.pool, &sent, host->our_iss + icmp->seq, 0,
                                        TCP_ACK, 1000, SPAN_EMPTY, SPAN_EMPTY);
    (void)node_take(&host->node,
                    test_frame_icmp(&host->node.pool.pool, &host->tuple.remote, &host->tuple.local,
                                    type, code, icmp->mtu,
                                    span_make(quoted->data + ETH_BYTES, quoted->len - ETH_BYTES)));
    buf_unref(&host->node.pool.pool, quoted);
    return true;
}
