/* SPDX-License-Identifier: BSD-3-Clause
 * For tests: hand-made segments against one stack, written as a trace. Sequence numbers are relative to
 * the two initial ones, so that 1 is the first byte of data in either direction.
 *
 *     IN(t, .flags = S, .seq = 0, .mss = 1460);
 *     OUT(t, .flags = S | A, .seq = 0, .ack = 1);
 *     IN(t, .flags = A, .seq = 1, .ack = 1);
 *
 * IN gives a segment to the stack and lets it answer at once; OUT takes the next segment that the stack
 * has sent and compares; QUIET says that there is none.
 */
#ifndef DATAPLANE_TCP_TRACE_H
#define DATAPLANE_TCP_TRACE_H

#include "tcp/tcp_test_port.h"

enum { F = TCP_FIN, S = TCP_SYN, R = TCP_RST, P = TCP_PSH, A = TCP_ACK, U = TCP_URG };
#define WIN_ZERO (-1)
#define ANY      UINT32_MAX

struct seg {
    uint8_t flags;
    uint32_t seq, ack;
    uint32_t len;        /* payload, pattern of the direction's stream */
    int32_t win;         /* 0: 65535 (IN), any (OUT); WIN_ZERO: 0 */
    uint16_t mss;        /* options: 0 = absent */
    bool sack_ok, no_ts; /* no_ts: leave timestamps out although negotiated */
    uint8_t wscale_plus_1;
    uint32_t ts_value, ts_echo;    /* IN: 0 = the clock, last value seen; OUT: 0 = any */
    struct tcp_sack_block sack[4]; /* relative; IN: to our stream; OUT: to the peer's */
    struct span raw_options;       /* IN: instead of all the above */
};

#define TRACE_FRAMES 512

struct trace {
    struct node node;
    struct ip_tuple tuple;
    uint32_t peer_iss, our_iss;     /* ours: learnt from the first SYN out */
    bool ts;                        /* peer uses timestamps: options filled in */
    uint32_t last_ts;               /* value of the last segment out */
    struct tcp_options out_options; /* of the last OUT */
    struct tcp_segment out;
    struct buf *frames[TRACE_FRAMES];
    unsigned first, end;
    tcp_handle h;
};

/* --- frames out of the stack ---------------------------------------------------------------------------- */

/* Answer for the peer at the link layer; TCP segments wait for OUT. */
static inline void trace_frame(struct trace *t, struct buf *b)
{
    bool waits = false;
    if (!node_link_answers(&t->node, b)) {
        assert_int_equal(wire_parse(b, &t->node.toeplitz), TG_C_none);
        waits = b->ip_proto == IP_PROTO_TCP;
    }
    if (!waits) {
        buf_unref(&t->node.pool.pool, b);
        return;
    }
    assert_true(t->end - t->first < TRACE_FRAMES);
    t->frames[t->end++ % TRACE_FRAMES] = b;
}

static inline void trace_wire(void *trace, const uint8_t *frame, size_t len)
{
    struct trace *t = trace;
    trace_frame(t, test_buf(&t->node.pool.pool, frame, len));
}

/* Frames that the stack keeps for retransmission are copied as a port does. */
static inline void trace_collect(struct trace *t)
{
    struct buf *b;
    node_turn(&t->node);
    while (net_take(t->node.net, &b, 1))
        node_port_send(&t->node, b, trace_wire, t);
}

/* Move the clock, stopping at every timer on the way. */
static inline void trace_advance(struct trace *t, tg_ns by)
{
    tg_ns end = t->node.now + by;
    for (;;) {
        tg_ns next = timers_next(&t->node.wheel);
        if (next > end)
            break;
        t->node.now = next > t->node.now ? next : t->node.now + TIMER_TICK;
        if (t->node.now > end)
            t->node.now = end;
        net_tick(t->node.net, t->node.now);
        trace_collect(t);
    }
    t->node.now = end;
    trace_collect(t);
}

/* --- IN ------------------------------------------------------------------------------------------------- */

static inline struct span trace_options(struct trace *t, const struct seg *s, uint8_t out[40])
{
    struct tcp_options o = {.has_mss = s->mss != 0,
                            .mss = s->mss,
                            .sack_permitted = s->sack_ok,
                            .has_wscale = s->wscale_plus_1 != 0,
                            .wscale = (uint8_t)(s->wscale_plus_1 - 1)};
    if (s->raw_options.data)
        return s->raw_options;
    if (t->ts && !s->no_ts) {
        o.has_timestamps = true;
        o.ts_value = s->ts_value ? s->ts_value : (uint32_t)(t->node.now / TG_MS);
        o.ts_echo = s->ts_echo ? s->ts_echo : t->last_ts;
    }
    for (unsigned i = 0; i < 4 && s->sack[i].right != s->sack[i].left; i++) {
        o.sack[o.sack_count].left = s->sack[i].left + t->our_iss;
        o.sack[o.sack_count++].right = s->sack[i].right + t->our_iss;
    }
    return span_make(out, tcp_options_emit(&o, out, 40));
}

static inline struct buf *trace_make(struct trace *t, const struct seg *s)
{
    uint8_t options[40], payload[2000];
    assert_true(s->len <= sizeof payload);
    /* Sequence number 1 is stream offset 0. */
    stream_fill(payload, s->seq - 1, s->len);
    uint16_t win = s->win == WIN_ZERO ? 0 : s->win ? (uint16_t)s->win : 65535;
    struct span o = trace_options(t, s, options);
    return test_frame_tcp(&t->node.pool.pool, &t->tuple, t->peer_iss + s->seq,
                          s->flags & TCP_ACK ? t->our_iss + s->ack : 0, s->flags, win, o,
                          span_make(payload, s->len));
}

static inline void trace_in(struct trace *t, const struct seg *s)
{
    assert_int_equal(node_receive(&t->node, trace_make(t, s)), TG_C_none);
    trace_collect(t);
}
#define IN(t, ...) trace_in(t, &(struct seg){__VA_ARGS__})

/* Several segments in one burst. */
static inline void trace_in_burst(struct trace *t, const struct seg s[], unsigned n)
{
    struct buf *burst[TG_BURST];
    for (unsigned i = 0; i < n; i++) {
        burst[i] = trace_make(t, &s[i]);
        assert_int_equal(wire_parse(burst[i], &t->node.toeplitz), TG_C_none);
    }
    tcp_input(t->node.tcp, burst, n, t->node.now);
    trace_collect(t);
}
#define IN_BURST(t, ...)                                                                           \
    trace_in_burst(t, (struct seg[]){__VA_ARGS__},                                                 \
                   sizeof((struct seg[]){__VA_ARGS__}) / sizeof(struct seg))

/* --- OUT ------------------------------------------------------------------------------------------------- */

static inline void trace_compare_options(struct trace *t, const struct seg *s)
{
    const struct tcp_options *o = &t->out_options;
    if (s->mss)
        assert_int_equal(o->mss, s->mss);
    if (s->wscale_plus_1)
        assert_int_equal(o->has_wscale ? o->wscale + 1 : 0, s->wscale_plus_1);
    if (s->sack_ok)
        assert_true(o->sack_permitted);
    if (s->ts_value)
        assert_int_equal(o->ts_value, s->ts_value);
    if (s->ts_echo)
        assert_int_equal(o->ts_echo, s->ts_echo);
    unsigned blocks = 0;
    for (; blocks < 4 && s->sack[blocks].right != s->sack[blocks].left; blocks++) {
        assert_int_equal(o->sack[blocks].left - t->peer_iss, s->sack[blocks].left);
        assert_int_equal(o->sack[blocks].right - t->peer_iss, s->sack[blocks].right);
    }
    if (!(s->flags & R))
        assert_int_equal(o->sack_count, blocks);
}

static inline void trace_out(struct trace *t, const struct seg *s, const char *file, int line)
{
    if (t->first == t->end)
        fail_msg("%s:%d: the stack sent nothing", file, line);
    struct buf *b = t->frames[t->first++ % TRACE_FRAMES];
    t->out = wire_tcp(b);
    if (t->out.flags & TCP_SYN)
        t->our_iss = t->out.seq;
    struct tcp_segment *o = &t->out;
    uint32_t seq = o->seq - t->our_iss, ack = o->ack - t->peer_iss;
    uint8_t flags = o->flags & (uint8_t)~TCP_PSH;
    if (flags != (s->flags & (uint8_t)~TCP_PSH) || (s->seq != ANY && seq != s->seq) ||
        (s->flags & A && s->ack != ANY && ack != s->ack) ||
        (s->len != ANY && o->payload_bytes != s->len) ||
        (s->win && o->window != (s->win == WIN_ZERO ? 0 : s->win)))
        fail_msg("%s:%d: sent flags %#x seq %u ack %u len %u win %u", file, line, o->flags, seq,
                 ack, o->payload_bytes, o->window);
    if (s->flags & P)
        assert_true(o->flags & P);
    assert_true(tcp_options_parse(o->options, &t->out_options));
    trace_compare_options(t, s);
    if (t->out_options.has_timestamps)
        t->last_ts = t->out_options.ts_value;
    if (o->payload_bytes)
        stream_verify(b->data + b->payload, seq - 1, o->payload_bytes);
    t->out.options = SPAN_EMPTY;
    buf_unref(&t->node.pool.pool, b);
}
#define OUT(t, ...) trace_out(t, &(struct seg){__VA_ARGS__}, __FILE__, __LINE__)

static inline void trace_quiet(struct trace *t, const char *file, int line)
{
    if (t->first == t->end)
        return;
    struct tcp_segment o = wire_tcp(t->frames[t->first % TRACE_FRAMES]);
    fail_msg("%s:%d: unexpected flags %#x seq %u ack %u len %u", file, line, o.flags,
             o.seq - t->our_iss, o.ack - t->peer_iss, o.payload_bytes);
}
#define QUIET(t) trace_quiet(t, __FILE__, __LINE__)

/* Drop what the stack has sent; returns how many. */
static inline unsigned trace_skip(struct trace *t)
{
    unsigned n = t->end - t->first;
    while (t->first != t->end)
        buf_unref(&t->node.pool.pool, t->frames[t->first++ % TRACE_FRAMES]);
    return n;
}

/* --- user ------------------------------------------------------------------------------------------------ */

/* Write n bytes of our stream from `offset`; all must be taken. Then the stack may send. */
static inline void trace_write(struct trace *t, uint32_t offset, uint32_t n)
{
    uint8_t *bytes = malloc(n);
    stream_fill(bytes, offset, n);
    assert_int_equal(tcp_write(t->node.tcp, t->h, span_make(bytes, n)), n);
    free(bytes);
    trace_collect(t);
}

/* Read n bytes of the peer's stream from `offset` and check them. */
static inline void trace_read(struct trace *t, uint32_t offset, uint32_t n)
{
    assert_true(tcp_unread(t->node.tcp, t->h) >= n);
    struct span spans[64];
    uint32_t left = n;
    while (left) {
        unsigned got = tcp_peek(t->node.tcp, t->h, spans, 64);
        assert_true(got > 0);
        for (unsigned i = 0; i < got && left; i++) {
            uint32_t take = u32_min(left, (uint32_t)spans[i].len);
            stream_verify(spans[i].data, offset, take);
            tcp_consume(t->node.tcp, t->h, take);
            offset += take;
            left -= take;
            if (take < spans[i].len)
                break;
        }
    }
    trace_collect(t);
}

/* --- set-up ---------------------------------------------------------------------------------------------- */

static inline struct trace *trace_new(const struct tcp_config *config, bool ip6)
{
    struct trace *t = aligned_alloc(TG_CACHE_LINE, sizeof *t);
    memset(t, 0, sizeof *t);
    node_init(&t->node, config, 1);
    t->peer_iss = 0xfffffc00u; /* wraps after 1 KB: sequence space has no edge */
    t->tuple = (struct ip_tuple){
        .local = ip6 ? t->node.address6 : t->node.address4,
        .remote = test_addr(ip6 ? "2001:db8:1::9" : "192.0.2.9"),
        .local_port = 80,
        .remote_port = 40000,
    };
    assert_int_equal(tcp_listen(t->node.tcp, 80, 77), TG_OK);
    return t;
}

/* Each test runs over IPv4 and IPv6: BOTH(name) in the list, START(t) in the test. */
static int trace_family[2] = {4, 6};
#define BOTH(name)                                                                                 \
    cmocka_unit_test_prestate(name, &trace_family[0]),                                             \
        cmocka_unit_test_prestate(name, &trace_family[1])

static inline bool trace_is6(void **state)
{
    return *(int *)*state == 6;
}

static inline struct trace *trace_start(void **state)
{
    struct tcp_config c = node_config();
    return trace_new(&c, trace_is6(state));
}

static inline void trace_end(struct trace *t)
{
    trace_skip(t);
    node_end(&t->node);
    free(t);
}

/* Bytes of IP and TCP header without options, and the MSS that an MTU of 1500 gives. */
static inline uint16_t trace_headers(const struct trace *t)
{
    return ip_addr_is4(&t->tuple.local) ? 40 : 60;
}

static inline uint16_t trace_mss(const struct trace *t)
{
    return (uint16_t)(1500 - trace_headers(t));
}

static inline struct tcp_info trace_info(struct trace *t)
{
    struct tcp_info info;
    assert_int_equal(tcp_get_info(t->node.tcp, t->h, &info), TG_OK);
    return info;
}

static inline struct tcp_pcb *trace_pcb(struct trace *t)
{
    struct tcp_pcb *pcb = tcp_pcb_find(t->node.tcp, t->h);
    assert_non_null(pcb);
    return pcb;
}

/* An active open to port 443 of the peer, and nothing sent yet. */
static inline void trace_connect_begin(struct trace *t, tg_ns timeout)
{
    t->tuple.remote_port = 443;
    assert_int_equal(
        tcp_connect(t->node.tcp, NULL, &t->tuple.remote, 443, timeout, 5, t->node.now, &t->h),
        TG_OK);
    t->tuple.local_port = trace_info(t).tuple.local_port;
}

/* The same; its SYN is out and taken. */
static inline void trace_connect(struct trace *t, tg_ns timeout)
{
    trace_connect_begin(t, timeout);
    trace_collect(t);
    OUT(t, .flags = S, .seq = 0);
}

/* The ordinary peer: MSS 1000 (with timestamps 988 bytes of payload), all options. */
#define PEER_OPTIONS .mss = 1012, .sack_ok = true, .wscale_plus_1 = 8

/* A passive connection, established and reported; quick ACKs are used up so that delayed ACKs show. */
static inline void trace_accept(struct trace *t, struct seg syn)
{
    syn.flags = S;
    syn.seq = 0;
    trace_in(t, &syn);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    IN(t, .flags = A, .seq = 1, .ack = 1);
    QUIET(t);
    t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
    tcp_pcb_find(t->node.tcp, t->h)->quick_acks = 0;
}

static inline struct trace *trace_established(void **state, struct seg syn)
{
    struct trace *t = trace_start(state);
    trace_accept(t, syn);
    return t;
}

/* The next n segments out are full ones, of `mss` bytes, from `first` on. */
static inline void trace_out_full(struct trace *t, uint32_t first, unsigned n, uint32_t mss,
                                  const char *file, int line)
{
    for (unsigned i = 0; i < n; i++)
        trace_out(t, &(struct seg){.flags = A, .seq = first + i * mss, .ack = ANY, .len = mss},
                  file, line);
}
#define OUT_FULL(t, first, n, mss) trace_out_full(t, first, n, mss, __FILE__, __LINE__)

#endif
