/* SPDX-License-Identifier: BSD-3-Clause
 * What leaves and when: initial window, merging, cork, the peer's window and its probes, our window,
 * budgets, frames that the port still holds, an empty pool.
 */
#include "tcp/tcp_trace.h"

#define MSS 1000u

static struct trace *established(void **state)
{
    struct trace *t = trace_start(state);
    trace_accept(t, (struct seg){.mss = MSS, .sack_ok = true});
    return t;
}

static void expect_full(struct trace *t, uint32_t first, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        OUT(t, .flags = A, .seq = first + i * MSS, .ack = ANY, .len = MSS);
}

/* --- segmentation ------------------------------------------------------------------------------------------ */

static void the_initial_window_is_ten_segments(void **state)
{
    struct trace *t = established(state);
    trace_write(t, 0, 30000);
    expect_full(t, 1, 10);
    QUIET(t);
    struct tcp_info info = trace_info(t);
    assert_int_equal(info.unacked, 10000);
    assert_int_equal(info.unsent, 20000);
    IN(t, .flags = A, .seq = 1, .ack = 2001); /* slow start: two acknowledged, four leave */
    expect_full(t, 10001, 4);
    QUIET(t);
    trace_end(t);
}

static void small_writes_share_a_segment(void **state)
{
    struct trace *t = established(state);
    uint8_t bytes[10];
    for (unsigned i = 0; i < 150; i++) {
        stream_fill(bytes, i * 10, 10);
        assert_int_equal(tcp_write(t->node.tcp, t->h, span_make(bytes, 10)), 10);
    }
    trace_collect(t);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 1000);
    OUT(t, .flags = A | P, .seq = 1001, .ack = 1, .len = 500);
    QUIET(t);
    trace_end(t);
}

static void there_is_no_nagle(void **state)
{
    struct trace *t = established(state);
    for (unsigned i = 0; i < 5; i++) {
        trace_write(t, i, 1);
        OUT(t, .flags = A | P, .seq = 1 + i, .ack = 1, .len = 1);
    }
    trace_end(t);
}

static void push_is_on_the_last_segment_only(void **state)
{
    struct trace *t = established(state);
    trace_write(t, 0, 2500);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = MSS);
    assert_false(t->out.flags & P);
    OUT(t, .flags = A, .seq = 1001, .ack = 1, .len = MSS);
    assert_false(t->out.flags & P);
    OUT(t, .flags = A | P, .seq = 2001, .ack = 1, .len = 500);
    trace_end(t);
}

static void a_cork_holds_the_last_piece(void **state)
{
    struct trace *t = established(state);
    tcp_cork(t->node.tcp, t->h, true);
    trace_write(t, 0, 1500);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = MSS);
    QUIET(t);
    trace_write(t, 1500, 600);
    OUT(t, .flags = A, .seq = 1001, .ack = 1, .len = MSS);
    trace_advance(t, 10 * TG_S);
    IN(t, .flags = A, .seq = 1, .ack = 2001);
    trace_skip(t); /* retransmissions meanwhile */
    QUIET(t);
    tcp_cork(t->node.tcp, t->h, false);
    trace_collect(t);
    OUT(t, .flags = A | P, .seq = 2001, .ack = 1, .len = 100);
    tcp_cork(t->node.tcp, t->h, true);
    trace_write(t, 2100, 50);
    QUIET(t);
    tcp_shutdown(t->node.tcp, t->h); /* a FIN pulls the cork */
    trace_collect(t);
    OUT(t, .flags = A | F, .seq = 2101, .ack = 1, .len = 50);
    trace_end(t);
}

static void the_fin_rides_on_the_last_segment(void **state)
{
    struct trace *t = established(state);
    uint8_t bytes[1200];
    stream_fill(bytes, 0, 1200);
    assert_int_equal(tcp_write(t->node.tcp, t->h, span_make(bytes, 1200)), 1200);
    tcp_shutdown(t->node.tcp, t->h);
    trace_collect(t);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = MSS);
    OUT(t, .flags = A | F, .seq = 1001, .ack = 1, .len = 200);
    QUIET(t);
    IN(t, .flags = A, .seq = 1, .ack = 1202);
    assert_int_equal(trace_info(t).state, TCP_S_FIN_WAIT_2);
    trace_end(t);
}

/* --- the peer's window ------------------------------------------------------------------------------------------ */

static void the_window_is_the_limit(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = 3000);
    trace_write(t, 0, 10000);
    expect_full(t, 1, 3);
    QUIET(t);
    IN(t, .flags = A, .seq = 1, .ack = 1001, .win = 3000);
    expect_full(t, 3001, 1);
    IN(t, .flags = A, .seq = 1, .ack = 1001, .win = 5000); /* opens without acknowledging */
    expect_full(t, 4001, 2);
    QUIET(t);
    trace_end(t);
}

static void the_window_is_scaled_but_not_in_a_syn(void **state)
{
    struct trace *t = trace_start(state);
    IN(t, .flags = S, .mss = MSS, .wscale_plus_1 = 5, .win = 2000);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = 200); /* 3200 */
    t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
    trace_write(t, 0, 10000);
    expect_full(t, 1, 3);
    QUIET(t);
    trace_end(t);
}

static void an_old_segment_does_not_move_the_window(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 10, .win = 2000);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 10,
       .win = 60000); /* a duplicate on its way for long */
    trace_skip(t);
    trace_write(t, 0, 5000);
    expect_full(t, 1, 2);
    QUIET(t);
    trace_end(t);
}

static void a_shut_window_is_probed(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = WIN_ZERO);
    trace_write(t, 0, 100);
    QUIET(t);
    tg_ns rto = trace_info(t).rto, wait = rto;
    for (unsigned i = 0; i < 6; i++) {
        trace_advance(t, wait - 3 * TG_MS);
        QUIET(t);
        trace_advance(t, 5 * TG_MS);
        OUT(t, .flags = A, .seq = 0, .ack = 1); /* old bytes: the peer must answer */
        IN(t, .flags = A, .seq = 1, .ack = 1, .win = WIN_ZERO);
        QUIET(t);
        wait = (rto << (i + 1)) - 2 * TG_MS; /* twice as long each time; 2 ms are spent */
    }
    assert_int_equal(node_counted(&t->node, TG_C_tcp_zero_window_probes), 6);
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = 1000);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 100);
    assert_int_equal(trace_pcb(t)->backoff, 0);
    trace_end(t);
}

static void a_patient_user_waits_at_a_shut_window(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = WIN_ZERO);
    trace_write(t, 0, 100);
    for (unsigned i = 0; i < 60; i++) { /* two hours: each probe is answered */
        trace_advance(t, 121 * TG_S);
        assert_true(trace_skip(t) > 0);
        IN(t, .flags = A, .seq = 1, .ack = 1, .win = WIN_ZERO);
    }
    node_expect_no_event(&t->node);
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = 1000);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 100);
    trace_end(t);
}

static void silence_at_a_shut_window_ends_it(void **state)
{
    struct tcp_config c = node_config();
    c.retries = 4;
    struct trace *t = trace_new(&c, trace_is6(state));
    trace_accept(t, (struct seg){.mss = MSS});
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = WIN_ZERO);
    trace_write(t, 0, 100);
    trace_advance(t, 60 * TG_S);
    assert_int_equal(trace_skip(t), 4);
    node_expect_closed(&t->node, 0, TG_TIMEOUT);
    trace_end(t);
}

/* Sockstress: a connection that nobody owns any more is not held by a shut window. */
static void a_shut_window_does_not_hold_an_orphan(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = WIN_ZERO);
    trace_write(t, 0, 100);
    tcp_close(t->node.tcp, t->h);
    for (unsigned i = 0; i < 40 && tcp_connection_count(t->node.tcp); i++) {
        trace_advance(t, 10 * TG_S);
        trace_skip(t);
        if (tcp_connection_count(t->node.tcp))
            IN(t, .flags = A, .seq = 1, .ack = 1, .win = WIN_ZERO);
    }
    assert_int_equal(tcp_connection_count(t->node.tcp), 0);
    trace_end(t);
}

static void a_silly_window_waits_for_the_override(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = 200); /* largest seen: 65535 */
    trace_write(t, 0, 5000);
    QUIET(t);
    trace_advance(t, trace_info(t).rto + 5 * TG_MS);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 200);
    QUIET(t);
    IN(t, .flags = A, .seq = 1, .ack = 201, .win = 5000);
    OUT(t, .flags = A, .seq = 201, .ack = 1, .len = 800); /* the rest of the cut segment */
    expect_full(t, 1001, 4);
    trace_end(t);
}

static void a_peer_with_a_tiny_buffer_is_served(void **state)
{
    struct trace *t = trace_start(state);
    IN(t, .flags = S, .mss = MSS, .win = 100);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = 100);
    t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
    trace_write(t, 0, 350);
    for (unsigned i = 0; i < 3; i++) { /* at once: half of the largest window it ever had */
        OUT(t, .flags = A, .seq = 1 + 100 * i, .ack = 1, .len = 100);
        QUIET(t);
        IN(t, .flags = A, .seq = 1, .ack = 101 + 100 * i, .win = 100);
    }
    OUT(t, .flags = A, .seq = 301, .ack = 1, .len = 50);
    trace_end(t);
}

static void a_fin_passes_a_window_that_is_just_full(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = 1000);
    uint8_t bytes[1000];
    stream_fill(bytes, 0, 1000);
    assert_int_equal(tcp_write(t->node.tcp, t->h, span_make(bytes, 1000)), 1000);
    tcp_shutdown(t->node.tcp, t->h);
    trace_collect(t);
    OUT(t, .flags = A | F, .seq = 1, .ack = 1, .len = 1000);
    IN(t, .flags = A, .seq = 1, .ack = 1001, .win = WIN_ZERO); /* took the text, not the FIN */
    trace_advance(t, trace_info(t).rto + 5 * TG_MS);
    OUT(t, .flags = A | F, .seq = 1001, .ack = 1);
    IN(t, .flags = A, .seq = 1, .ack = 1002);
    assert_int_equal(trace_info(t).state, TCP_S_FIN_WAIT_2);
    trace_end(t);
}

/* A window that is taken back (a sin, RFC 9293 s3.8.6) must not break us. */
static void a_shrinking_window_is_survived(void **state)
{
    struct trace *t = established(state);
    trace_write(t, 0, 10000);
    expect_full(t, 1, 10);
    IN(t, .flags = A, .seq = 1, .ack = 2001, .win = 1000);
    QUIET(t);
    IN(t, .flags = A, .seq = 1, .ack = 10001, .win = WIN_ZERO);
    trace_write(t, 10000, 500);
    QUIET(t);
    IN(t, .flags = A, .seq = 1, .ack = 10001, .win = 500);
    trace_advance(t, 3 * TG_S);
    assert_true(trace_skip(t) > 0);
    trace_end(t);
}

/* --- our window -------------------------------------------------------------------------------------------------- */

static void not_reading_shuts_the_window_and_reading_opens_it(void **state)
{
    struct tcp_config c = node_config();
    c.receive_window_max = 8000;
    struct trace *t = trace_new(&c, trace_is6(state));
    trace_accept(t, (struct seg){.mss = MSS});
    for (unsigned i = 0; i < 8; i++)
        IN(t, .flags = A, .seq = 1 + 1000 * i, .ack = 1, .len = 1000);
    for (unsigned i = 0; i < 4; i++)
        OUT(t, .flags = A, .seq = 1, .ack = 2001 + 2000 * i,
            .win = i == 3 ? WIN_ZERO : 6000 - 2000 * (int)i);
    trace_read(t, 0, 500);
    QUIET(t); /* not worth it: half a segment */
    trace_read(t, 500, 1499);
    QUIET(t);
    trace_read(t, 1999, 1);
    OUT(t, .flags = A, .seq = 1, .ack = 8001, .win = 2000);
    trace_read(t, 2000, 6000);
    OUT(t, .flags = A, .seq = 1, .ack = 8001, .win = 8000);
    trace_end(t);
}

static void the_edge_never_moves_back(void **state)
{
    struct trace *t = trace_start(state);
    trace_accept(
        t, (struct seg){.mss = 1460, .wscale_plus_1 = 8}); /* our scale: 3, so a unit is 8 bytes */
    uint32_t edge = 1 + 65535, seq = 1;
    struct prng p;
    prng_seed(&p, 4);
    for (unsigned i = 0; i < 3000; i++) {
        uint32_t n = 1 + (uint32_t)prng_below(&p, 1400);
        if (trace_info(t).unread > 200000)
            trace_read(t, seq - 1 - trace_info(t).unread, 1 + (uint32_t)prng_below(&p, 150000));
        IN(t, .flags = A, .seq = seq, .ack = 1, .len = n);
        seq += n;
        trace_advance(t, 41 * TG_MS);
        while (t->first != t->end) {
            OUT(t, .flags = A, .seq = 1, .ack = ANY);
            uint32_t now = t->out.ack - t->peer_iss + ((uint32_t)t->out.window << 3);
            assert_true(seq_le(edge, now));
            edge = now;
        }
    }
    assert_true(edge > 1000000);
    trace_end(t);
}

/* --- idle, budgets ------------------------------------------------------------------------------------------------- */

static void an_idle_connection_starts_again_from_the_initial_window(void **state)
{
    struct trace *t = established(state);
    uint32_t at = 0;
    for (unsigned i = 0; i < 4; i++) { /* grow */
        trace_write(t, at, 40000);
        at += 40000;
        while (trace_info(t).unacked) {
            uint32_t nxt = trace_pcb(t)->snd_nxt - t->our_iss;
            trace_skip(t);
            IN(t, .flags = A, .seq = 1, .ack = nxt);
        }
    }
    uint32_t grown = trace_info(t).cwnd;
    assert_true(grown > 20000);
    trace_advance(t, 100 * TG_MS); /* less than the RTO */
    trace_write(t, at, 40000);
    assert_true(trace_skip(t) > 10);
    at += 40000;
    while (trace_info(t).unacked) {
        uint32_t nxt = trace_pcb(t)->snd_nxt - t->our_iss;
        trace_skip(t);
        IN(t, .flags = A, .seq = 1, .ack = nxt);
    }
    trace_advance(t, 10 * TG_S);
    trace_write(t, at, 40000);
    assert_int_equal(trace_skip(t), 10);
    trace_end(t);
}

static void an_application_limited_flow_keeps_its_window(void **state)
{
    struct trace *t = established(state);
    for (unsigned i = 0; i < 100; i++) {
        trace_write(t, i * 100, 100);
        OUT(t, .flags = A, .seq = 1 + i * 100, .ack = 1, .len = 100);
        IN(t, .flags = A, .seq = 1, .ack = 101 + i * 100);
    }
    assert_int_equal(trace_info(t).cwnd, 10000); /* never filled, never grown */
    trace_end(t);
}

static void one_call_has_a_budget(void **state)
{
    struct tcp_config c = node_config();
    struct trace *t = trace_new(&c, trace_is6(state));
    tcp_handle h[10];
    for (unsigned i = 0; i < 10; i++) {
        t->tuple.remote_port = (uint16_t)(1000 + i);
        trace_accept(t, (struct seg){.mss = MSS, .win = 65535});
        h[i] = t->h;
        trace_pcb(t)->cwnd = 60000;
    }
    uint8_t bytes[30000];
    memset(bytes, 7, sizeof bytes);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(tcp_write(t->node.tcp, h[i], span_make(bytes, 30000)), 30000);
    unsigned calls = 1, sent = 0;
    struct buf *out[TCP_OUTPUT_BUDGET + TCP_OUTPUT_QUANTUM];
    bool more;
    do {
        more = tcp_output(t->node.tcp, t->node.now);
        unsigned n = net_take(t->node.net, out, TG_ARRAY_LEN(out));
        assert_true(n <= TCP_OUTPUT_BUDGET);
        for (unsigned i = 0; i < n; i++)
            buf_unref(&t->node.pool.pool, out[i]);
        sent += n;
        if (calls == 1) /* 16 each, in turn */
            for (unsigned i = 0; i < 10; i++) {
                struct tcp_info info;
                assert_int_equal(tcp_get_info(t->node.tcp, h[i], &info), TG_OK);
                assert_int_equal(info.unacked, i < 4 ? 16000 : 0);
            }
        node_check(&t->node);
        calls++;
    } while (more);
    assert_int_equal(sent, 300);
    trace_end(t);
}

/* --- frames --------------------------------------------------------------------------------------------------------- */

static void a_frame_that_the_port_holds_is_copied(void **state)
{
    struct trace *t = established(state);
    t->node.port_busy = false;
    trace_write(t, 0, 1000);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 1000);
    unsigned before = t->node.pool.outstanding;
    t->node.port_busy = true;
    struct buf *kept = trace_pcb(t)->snd_first;
    uint8_t *data = kept->data;
    trace_advance(t, trace_info(t).rto + 5 * TG_MS);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 1000);
    assert_ptr_equal(kept->data, data); /* not touched */
    assert_int_equal(t->node.pool.outstanding, before);
    t->node.port_busy = false;
    trace_advance(t, 2 * TG_S);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 1000); /* in place again */
    IN(t, .flags = A, .seq = 1, .ack = 1001);
    trace_end(t);
}

static void a_partly_acknowledged_segment_is_resent_from_there(void **state)
{
    struct trace *t = established(state);
    trace_write(t, 0, 1000);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 1000);
    IN(t, .flags = A, .seq = 1, .ack = 301);
    assert_int_equal(trace_info(t).unacked, 700);
    trace_advance(t, trace_info(t).rto + 5 * TG_MS);
    OUT(t, .flags = A, .seq = 301, .ack = 1, .len = 700);
    IN(t, .flags = A, .seq = 1, .ack = 1001);
    assert_int_equal(trace_info(t).unacked, 0);
    trace_end(t);
}

static void an_empty_pool_delays_a_retransmission(void **state)
{
    struct trace *t = established(state);
    trace_write(t, 0, 1000);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 1000);
    t->node.port_busy = true; /* so that a copy is needed */
    t->node.pool.limit = t->node.pool.outstanding;
    trace_advance(t, trace_info(t).rto + 30 * TG_MS);
    QUIET(t);
    t->node.pool.limit = UINT32_MAX;
    trace_advance(t, 15 * TG_MS);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 1000);
    trace_end(t);
}

static void an_empty_pool_delays_syn_ack_and_fin(void **state)
{
    struct trace *t = trace_start(state);
    struct seg syn = {.flags = S, .mss = MSS};
    struct buf *b = trace_make(t, &syn);
    t->node.pool.limit = 0;
    assert_int_equal(node_receive(&t->node, b), TG_C_none);
    node_turn(&t->node);
    t->node.pool.limit = UINT32_MAX;
    trace_advance(t, 15 * TG_MS);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    IN(t, .flags = A, .seq = 1, .ack = 1);
    t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
    t->node.pool.limit = 0;
    tcp_shutdown(t->node.tcp, t->h);
    node_turn(&t->node);
    node_turn(&t->node);
    t->node.pool.limit = UINT32_MAX;
    trace_advance(t, 15 * TG_MS);
    OUT(t, .flags = A | F, .seq = 1, .ack = 1);
    trace_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(the_initial_window_is_ten_segments),
        BOTH(small_writes_share_a_segment),
        BOTH(there_is_no_nagle),
        BOTH(push_is_on_the_last_segment_only),
        BOTH(a_cork_holds_the_last_piece),
        BOTH(the_fin_rides_on_the_last_segment),
        BOTH(the_window_is_the_limit),
        BOTH(the_window_is_scaled_but_not_in_a_syn),
        BOTH(an_old_segment_does_not_move_the_window),
        BOTH(a_shut_window_is_probed),
        BOTH(a_patient_user_waits_at_a_shut_window),
        BOTH(silence_at_a_shut_window_ends_it),
        BOTH(a_shut_window_does_not_hold_an_orphan),
        BOTH(a_silly_window_waits_for_the_override),
        BOTH(a_peer_with_a_tiny_buffer_is_served),
        BOTH(a_fin_passes_a_window_that_is_just_full),
        BOTH(a_shrinking_window_is_survived),
        BOTH(not_reading_shuts_the_window_and_reading_opens_it),
        BOTH(the_edge_never_moves_back),
        BOTH(an_idle_connection_starts_again_from_the_initial_window),
        BOTH(an_application_limited_flow_keeps_its_window),
        BOTH(one_call_has_a_budget),
        BOTH(a_frame_that_the_port_holds_is_copied),
        BOTH(a_partly_acknowledged_segment_is_resent_from_there),
        BOTH(an_empty_pool_delays_a_retransmission),
        BOTH(an_empty_pool_delays_syn_ack_and_fin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
