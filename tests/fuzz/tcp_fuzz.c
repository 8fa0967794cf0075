/* SPDX-License-Identifier: BSD-3-Clause
 * The whole TCP stack under a program made of the input: segments with mostly valid headers near the
 * connection's own sequence numbers, user calls, time, ICMP errors, an empty pool, a port that holds
 * frames. After each step tcp_check must be content; at the end every buffer and timer must be back.
 * Built by dataplane/tcp/meson.build with -Dfuzz=true.
 */
#include "tests/fuzz/fuzz_host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define STEPS_MAX 400
#define HANDLES   8
#define STRANGERS 8 /* tuples of passive opens: four of each family */

struct world {
    struct fuzz_host *h;
    tg_ns now;
    tcp_handle handles[HANDLES];
    struct answer { /* the last SYN-ACK to each stranger: a SYN cookie's, perhaps */
        uint32_t seq, ack, ts;
    } answers[STRANGERS];
    struct span_reader in;
};

static struct fuzz_host *host_new(uint32_t window, unsigned frames)
{
    struct tcp_config config = {.connections_max = 6,
                                .half_open_max = 4,
                                .time_wait_max = 3,
                                .receive_window_max = window,
                                .send_buffer_max = 20000,
                                .unsent_low = 4096,
                                .ooo_segments_max = 5,
                                .tso_bytes_max = UINT32_MAX,
                                .tso_segments_max = UINT8_MAX,
                                .isn_key = {1, 2},
                                .seed = 3};
    return fuzz_host_new(&config, test_mac_ours, 1, frames, 5 * TG_S);
}

static struct answer *answer_to(struct world *w, const struct ip_tuple *t)
{
    return &w->answers[(ip_addr_is4(&t->remote) ? 0 : 1) | (t->remote_port & 3) << 1];
}

static void answer_note(struct world *w, const struct buf *b)
{
    if (b->ip_version == 0 || b->ip_proto != IP_PROTO_TCP)
        return;
    struct tcp_segment s = wire_tcp(b);
    struct ip_tuple seen = wire_tuple(b); /* as the peer sees it */
    struct ip_tuple t = {.remote = seen.local, .remote_port = seen.local_port};
    if ((s.flags & (TCP_SYN | TCP_ACK)) != (TCP_SYN | TCP_ACK) || seen.remote_port != 80)
        return;
    uint32_t value = 0, echo;
    (void)!owner_cookie_timestamps(s.options, &value, &echo);
    *answer_to(w, &t) = (struct answer){s.seq, s.ack, value};
}

/* What the stack sends is looked at (checksums, lengths) and thrown away. */
static void drain(struct world *w)
{
    struct buf *b;
    while (net_take(w->h->net, &b, 1)) {
        struct buf *copy =
            fuzz_pool_has(&w->h->pool, 1) ? test_buf(&w->h->pool.pool, b->data, b->len) : NULL;
        buf_unref(&w->h->pool.pool, b);
        if (copy) {
            tg_assert(wire_parse(copy, &fuzz_toeplitz) == TG_C_none);
            answer_note(w, copy);
            buf_unref(&w->h->pool.pool, copy);
        }
    }
}

static void turn(struct world *w)
{
    timers_run(&w->h->wheel, w->now, UINT32_MAX);
    for (unsigned i = 0; i < 100 && tcp_output(w->h->tcp, w->now); i++)
        drain(w);
    drain(w);
    struct tcp_event events[4];
    unsigned n = tcp_events(w->h->tcp, events, 4);
    for (unsigned i = 0; i < n; i++)
        w->handles[tcp_handle_index(events[i].handle) % HANDLES] =
            events[i].bits & TCP_EV_CLOSED ? TCP_NONE : events[i].handle;
}

/* --- segments --------------------------------------------------------------------------------------------- */

static struct ip_tuple tuple_of(struct world *w, uint8_t which)
{
    bool ip6 = which & 1;
    struct ip_tuple t = {.local = test_addr(ip6 ? "2001:db8:1::1" : "192.0.2.1"),
                         .remote = test_addr(ip6 ? "2001:db8:1::9" : "192.0.2.9"),
                         .local_port = 80,
                         .remote_port = (uint16_t)(1000 + (which >> 1 & 3))};
    struct tcp_info info; /* or one of the active connections */
    if (which & 8 && tcp_get_info(w->h->tcp, w->handles[which >> 4 & 7], &info) == TG_OK)
        t = info.tuple;
    return t;
}

/* Mostly exact, else near, else anywhere. */
static uint32_t near(struct world *w, uint32_t exact)
{
    uint8_t how = span_read_u8(&w->in);
    if (how < 128)
        return exact + (how & 64 ? how & 31 : 0);
    if (how < 240)
        return exact + (uint32_t)(int16_t)span_read_be16(&w->in);
    return span_read_be32(&w->in);
}

static struct span options_make(struct world *w, const struct tcp_pcb *pcb, uint8_t flags,
                                uint32_t echo, uint8_t out[TCP_OPTIONS_MAX])
{
    uint8_t how = span_read_u8(&w->in);
    if (how >= 240) { /* raw */
        unsigned n = how & 8 ? 20 : 8;
        const uint8_t *raw = span_read(&w->in, n);
        return raw ? span_make(raw, n) : SPAN_EMPTY;
    }
    struct tcp_options o = {0};
    if (flags & TCP_SYN) {
        o.has_mss = how & 1;
        o.mss = how & 2 ? 1460 : span_read_be16(&w->in);
        o.sack_permitted = how & 4;
        o.has_wscale = how & 8;
        o.wscale = how & 16 ? 14 : 3;
    }
    o.has_timestamps = how & 32;
    o.ts_value = near(w, pcb ? pcb->ts_recent : 100);
    o.ts_echo = echo;
    if (pcb && how & 64)
        for (; o.sack_count < 2; o.sack_count++) {
            o.sack[o.sack_count].left = near(w, pcb->snd_una + 1000u * (how & 15));
            o.sack[o.sack_count].right = o.sack[o.sack_count].left + span_read_be16(&w->in);
        }
    return span_make(out, tcp_options_emit(&o, out, TCP_OPTIONS_MAX));
}

static const struct tcp_pcb *pcb_of(const struct world *w, const struct ip_tuple *t)
{
    uint32_t flow = tcp_lookup(w->h->tcp, t, wire_tuple_hash(&fuzz_toeplitz, t));
    return flow & (TCP_FLOW_TW | TCP_FLOW_SYN) ? NULL : tcp_pcb_at(w->h->tcp, flow);
}

/* Our ISN to this peer, whichever part of the handshake it is in. */
static uint32_t iss_to(const struct world *w, const struct ip_tuple *t)
{
    uint32_t flow = tcp_lookup(w->h->tcp, t, wire_tuple_hash(&fuzz_toeplitz, t));
    if (flow & TCP_FLOW_TW)
        return 0;
    return flow & TCP_FLOW_SYN ? w->h->tcp->syncache.entries[flow & ~TCP_FLOW_SYN].iss
                               : tcp_pcb_at(w->h->tcp, flow)->act->iss;
}

static void segment(struct world *w)
{
    struct ip_tuple t = tuple_of(w, span_read_u8(&w->in));
    const struct tcp_pcb *pcb = pcb_of(w, &t);
    uint8_t what = span_read_u8(&w->in);
    uint8_t flags = what & 0x80   ? span_read_u8(&w->in)
                    : what & 0x40 ? TCP_ACK
                    : pcb         ? TCP_ACK | (what & 3)
                                  : TCP_SYN;
    const struct answer *answer = answer_to(w, &t);
    uint32_t base = pcb               ? (what & 0x20 ? pcb->rcv_nxt + 1000 : pcb->rcv_nxt)
                    : flags & TCP_ACK ? answer->ack
                                      : 0x7ffffff0;
    if (pcb && pcb->state == TCP_S_SYN_SENT)
        flags |= TCP_SYN;
    uint32_t seq = near(w, base),
             ack = near(w, pcb ? (what & 0x10 ? pcb->snd_una : pcb->snd_nxt) : answer->seq + 1);
    uint16_t window = what & 8 ? span_read_be16(&w->in) : 60000;
    uint8_t bytes[TCP_OPTIONS_MAX], payload[1400] = {0};
    struct span options = options_make(w, pcb, flags, answer->ts, bytes);
    size_t n = what & 4 ? span_read_be16(&w->in) % sizeof payload : 0;
    if (!fuzz_pool_has(&w->h->pool, 1))
        return; /* no frame to receive into */
    struct buf *b = test_frame_tcp(&w->h->pool.pool, &t, seq, ack, flags, window, options,
                                   span_make(payload, n));
    if (wire_parse(b, &fuzz_toeplitz) != TG_C_none) {
        buf_unref(&w->h->pool.pool, b);
        return;
    }
    tcp_input(w->h->tcp, &b, 1, w->now);
}

/* --- user ---------------------------------------------------------------------------------------------------- */

static void user_write(struct world *w, tcp_handle h, uint8_t how)
{
    static const uint8_t bytes[9000];
    struct span_room room;
    size_t n = span_read_be16(&w->in) % sizeof bytes;
    if (how & 1) {
        tcp_write(w->h->tcp, h, span_make(bytes, n));
    } else if (how & 2) {
        if (tcp_reserve(w->h->tcp, h, 1 + n % 256, &room) == TG_OK)
            tcp_commit(w->h->tcp, h, n < room.len ? n : room.len);
    } else if (fuzz_pool_has(&w->h->pool, 2)) {
        struct buf *b = test_buf(&w->h->pool.pool, bytes, n % 1800);
        if (how & 4)
            b->next = test_buf(&w->h->pool.pool, bytes, n % 700);
        if (tcp_send_buf(w->h->tcp, h, b) != TG_OK)
            buf_unref(&w->h->pool.pool, b);
    }
}

static void user_read(struct world *w, tcp_handle h, uint8_t how)
{
    uint32_t n = span_read_be16(&w->in);
    if (how & 1) {
        tcp_consume(w->h->tcp, h, u32_min(n, tcp_unread(w->h->tcp, h)));
        return;
    }
    struct buf *b = tcp_take(w->h->tcp, h, 1 + n);
    if (b && (!(how & 2) || tcp_send_buf(w->h->tcp, h, b) != TG_OK))
        buf_unref(&w->h->pool.pool, b);
}

/* Any knob, to any value: small ones, and ones of the order that counts for it. */
static void knob(struct world *w, tcp_handle h)
{
    uint8_t name = span_read_u8(&w->in) % (TCP_OPT_COUNT + 1);
    uint64_t value = span_read_be16(&w->in);
    if (value & 0x8000)
        value = (value & 0x7fff) << (value & 15);
    uint64_t before = 0, after = 0;
    enum tg_err known = tcp_get_option(w->h->tcp, h, name, &before);
    enum tg_err err = tcp_set_option(w->h->tcp, h, name, value);
    if (known == TG_OK && tcp_get_option(w->h->tcp, h, name, &after) == TG_OK && err != TG_OK)
        tg_assert(before == after); /* a failed call changes nothing */
}

static void user(struct world *w)
{
    uint8_t how = span_read_u8(&w->in);
    tcp_handle h = w->handles[how >> 5];
    switch (how & 7) {
    case 0:
    case 1:
    case 2:
        user_write(w, h, span_read_u8(&w->in));
        return;
    case 3:
    case 4:
        user_read(w, h, how >> 3);
        return;
    case 5:
        if (how & 16)
            knob(w, h);
        else
            tcp_cork(w->h->tcp, h, how & 8);
        return;
    case 6:
        tcp_shutdown(w->h->tcp, h);
        return;
    default:
        if (how & 8)
            tcp_abort(w->h->tcp, h);
        else
            tcp_close(w->h->tcp, h);
    }
}

static void connect_out(struct world *w)
{
    tcp_handle h;
    uint8_t how = span_read_u8(&w->in);
    struct ip_addr remote = test_addr(how & 1 ? "2001:db8:1::9" : "192.0.2.9");
    if (tcp_connect(w->h->tcp, NULL, &remote, 443, how & 2 ? 3 * TG_S : 0, 0, w->now, &h) == TG_OK)
        w->handles[tcp_handle_index(h) % HANDLES] = h;
}

static void icmp(struct world *w)
{
    struct ip_tuple t = tuple_of(w, span_read_u8(&w->in));
    const struct tcp_pcb *pcb = pcb_of(w, &t);
    uint32_t base = pcb ? pcb->snd_una : answer_to(w, &t)->seq;
    struct net_icmp_error e = {.tuple = t, .seq = near(w, base), .mtu = span_read_be16(&w->in)};
    e.hard = e.mtu & 1;
    tcp_icmp_error(w->h->tcp, &e, w->now);
}

static void step(struct world *w)
{
    static const tg_ns times[] = {TG_MS, 5 * TG_MS, 41 * TG_MS, 250 * TG_MS,
                                  TG_S,  5 * TG_S,  61 * TG_S,  400 * TG_S};
    uint8_t op = span_read_u8(&w->in);
    switch (op & 15) {
    case 8:
    case 9:
    case 10:
        user(w);
        break;
    case 11:
        connect_out(w);
        break;
    case 12:
        if (op & 16)
            tcp_sleep(w->h->tcp, 2);
        w->now += times[op >> 5];
        break;
    case 13:
        icmp(w);
        break;
    case 14:
        w->h->pool.limit = op & 16 ? 0 : UINT32_MAX;
        break;
    case 15:
        w->h->port_busy = op & 16;
        break;
    default:
        segment(w);
    }
    if (!(op & 16) || (op & 15) >= 12)
        turn(w); /* else more comes in the same turn */
    fuzz_check(w->h);
}

/* The link's answer about the peer, whom our SYN has asked for: from now on segments leave. */
static void neighbour_learn(struct world *w, const struct ip_tuple *t)
{
    struct buf *b;
    if (ip_addr_is4(&t->remote)) {
        b = test_frame_arp(&w->h->pool.pool, 2, test_mac_peer, &t->remote, test_mac_ours,
                           &t->local);
    } else {
        uint8_t body[24] = {[16] = 2, [17] = 1}; /* target link-layer address (RFC 4861 s4.6.1) */
        memcpy(body, t->remote.bytes, 16);
        memcpy(body + 18, test_mac_peer, 6);
        b = test_frame_icmp(&w->h->pool.pool, &t->remote, &t->local, 136, 0, 0x60000000,
                            span_make(body, sizeof body));
    }
    tg_assert(wire_parse(b, &fuzz_toeplitz) == TG_C_none);
    net_input(w->h->net, b, w->now);
    turn(w);
    tg_assert(w->h->stats.value[TG_C_tcp_out_segments] > 0);
}

/* Most inputs should not have to invent a handshake: two connections stand when the program begins, one
 * passive and one active, with the options that a byte chooses. */
static void handshakes(struct world *w, uint8_t how)
{
    struct tcp_options o = {.has_mss = true,
                            .mss = 1460,
                            .sack_permitted = how & 1,
                            .has_wscale = how & 2,
                            .wscale = 7,
                            .has_timestamps = how & 4,
                            .ts_value = 100};
    uint8_t bytes[TCP_OPTIONS_MAX];
    struct ip_tuple t = tuple_of(w, how >> 3 & 1);
    struct ip_addr remote = t.remote;
    tcp_handle h;
    tg_assert(tcp_connect(w->h->tcp, NULL, &remote, 443, 0, 0, w->now, &h) == TG_OK);
    w->handles[tcp_handle_index(h)] = h;
    for (unsigned i = 0; i < 3; i++) {
        struct tcp_info info;
        if (i == 1) /* SYN-ACK for ours */
            tg_assert(tcp_get_info(w->h->tcp, h, &info) == TG_OK);
        t = i == 1 ? info.tuple : tuple_of(w, how >> 3 & 1);
        uint32_t ack = i == 0 ? 0 : iss_to(w, &t) + 1;
        o.has_mss = o.has_mss && i < 2;
        if (i == 2)
            o.sack_permitted = o.has_wscale = false;
        struct span options = span_make(bytes, tcp_options_emit(&o, bytes, TCP_OPTIONS_MAX));
        struct buf *b = test_frame_tcp(&w->h->pool.pool, &t, i == 2 ? 1001 : 1000, ack,
                                       i == 0   ? TCP_SYN
                                       : i == 1 ? TCP_SYN | TCP_ACK
                                                : TCP_ACK,
                                       60000, options, SPAN_EMPTY);
        tg_assert(wire_parse(b, &fuzz_toeplitz) == TG_C_none);
        tcp_input(w->h->tcp, &b, 1, w->now);
        turn(w);
    }
    tg_assert(tcp_connection_count(w->h->tcp) == 2 && w->handles[0] && w->handles[1]);
    neighbour_learn(w, &t);
    w->h->tcp->config.half_open_max =
        how >> 4 & 3; /* the next ones get SYN cookies; 0: all of them */
}

/* The world as it is after the handshakes that two bytes choose; the first input that wants it makes it. */
static struct world world_begin(uint8_t window, uint8_t how)
{
    static const uint32_t windows[4] = {5000, 21000, 66000, 260000};
    static const uint8_t frames[4] = {0, 0, 48, 0};
    static struct start {
        struct world world;
        uint8_t *before, *image; /* of the host: without the handshakes, with them */
    } starts[4][64];
    struct start *first = starts[window >> 6], *s = &first[how & 63];
    if (!first->before) {
        first->world.h = host_new(windows[window >> 6], frames[window >> 6]);
        first->before = fuzz_host_image(first->world.h);
    }
    if (!s->image) {
        s->world = (struct world){.h = first->world.h, .now = 5 * TG_S};
        fuzz_host_restore(s->world.h, first->before);
        handshakes(&s->world, how & 63);
        s->image = fuzz_host_image(s->world.h);
    }
    fuzz_host_restore(s->world.h, s->image);
    return s->world;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct span_reader in = span_reader_make(span_make(data, len));
    uint8_t window = span_read_u8(&in);
    struct world w = world_begin(window, span_read_u8(&in));
    w.in = in;
    for (unsigned i = 0; i < STEPS_MAX && w.in.ok && span_reader_left(&w.in); i++)
        step(&w);
    w.h->pool.limit = UINT32_MAX;
    turn(&w);
    fuzz_host_end(w.h);
    return 0;
}
