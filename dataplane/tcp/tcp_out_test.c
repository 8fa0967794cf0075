/* SPDX-License-Identifier: BSD-3-Clause
 * What leaves and when: initial window, merging, cork, idle restart, budgets, frames that the port still
 * holds, an empty pool.
 */
#include "tcp/tcp_trace.h"

#define MSS 1000u

static struct trace *established(void **state)
{
    return trace_established(state, (struct seg){.mss = MSS, .sack_ok = true});
}

/* --- segmentation ------------------------------------------------------------------------------------------ */

static void the_initial_window_is_ten_segments(void **state)
{
    struct trace *t = established(state);
    trace_write(t, 0, 30000);
    OUT_FULL(t, 1, 10, MSS);
    QUIET(t);
    struct tcp_info info = trace_info(t);
    assert_int_equal(info.unacked, 10000);
    assert_int_equal(info.unsent, 20000);
    IN(t, .flags = A, .seq = 1, .ack = 2001); /* slow start: two acknowledged, four leave */
    OUT_FULL(t, 10001, 4, MSS);
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
    IN(t, .flags = A, .seq = 1, .ack = 2001);
    trace_advance(t, 190 * TG_MS);
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

static void a_cork_holds_for_200_ms_at_most(void **state)
{
    struct trace *t = established(state);
    tcp_cork(t->node.tcp, t->h, true);
    trace_write(t, 0, 300);
    trace_advance(t, 199 * TG_MS);
    QUIET(t);
    trace_advance(t, 2 * TG_MS);
    OUT(t, .flags = A | P, .seq = 1, .ack = 1, .len = 300);
    IN(t, .flags = A, .seq = 1, .ack = 301);
    trace_write(t, 300, 100); /* the cork is still in: the next piece has its own 200 ms */
    trace_advance(t, 199 * TG_MS);
    QUIET(t);
    trace_advance(t, 2 * TG_MS);
    OUT(t, .flags = A | P, .seq = 301, .ack = 1, .len = 100);
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
        trace_pcb(t)->act->cwnd = 60000;
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
        for (unsigned i = 0; i < n; i++) {
            sent += u32_max(out[i]->segments, 1);
            buf_unref(&t->node.pool.pool, out[i]);
        }
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
    struct buf *kept = trace_pcb(t)->act->snd_first;
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
        BOTH(a_cork_holds_for_200_ms_at_most),
        BOTH(the_fin_rides_on_the_last_segment),
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
