/* SPDX-License-Identifier: BSD-3-Clause
 * Proportional rate reduction as arithmetic, then as traces: RFC 9937's bounds.
 */
#include "tcp/tcp_recovery_trace.h"

/* --- arithmetic ----------------------------------------------------------------------------------------------- */

/* One of 100 segments is lost, window to 70 %: each ACK is one segment; 70 leave for the 99 that arrive, evenly. */
static void the_window_comes_down_in_proportion(void **state)
{
    struct tcp_prr prr;
    uint32_t pipe = 98 * MSS, sent = 0, gap = 0, gap_max = 0;
    tcp_prr_begin(&prr, 100 * MSS);
    for (unsigned i = 0; i < 97; i++) {
        uint32_t send = tcp_prr_send(&prr, MSS, pipe, 70 * MSS, MSS, false);
        bool leaves = send >= MSS;
        prr.out += leaves ? MSS : 0;
        sent += leaves;
        pipe -= leaves ? 0 : MSS;
        gap = leaves ? 0 : gap + 1;
        gap_max = u32_max(gap_max, gap);
    }
    assert_in_range(sent, 67, 70);
    assert_true(gap_max <= 2);
    assert_in_range(pipe, 69 * MSS, 71 * MSS);
}

/* Heavy loss: not more leaves than arrives (packet conservation), one more when all goes well, never beyond
 * ssthresh. */
static void below_ssthresh_bounds_hold(void **state)
{
    struct tcp_prr prr;
    tcp_prr_begin(&prr, 100 * MSS);
    assert_int_equal(tcp_prr_send(&prr, MSS, 20 * MSS, 70 * MSS, MSS, false), MSS);
    prr.out += MSS;
    assert_int_equal(tcp_prr_send(&prr, 2 * MSS, 20 * MSS, 70 * MSS, MSS, false), 2 * MSS);
    prr.out += 2 * MSS;
    assert_int_equal(tcp_prr_send(&prr, 2 * MSS, 20 * MSS, 70 * MSS, MSS, true), 3 * MSS);
    prr.out += 3 * MSS;
    assert_int_equal(tcp_prr_send(&prr, 5 * MSS, 68 * MSS, 70 * MSS, MSS, true), 2 * MSS);
    assert_int_equal(tcp_prr_send(&prr, 5 * MSS, 70 * MSS, 70 * MSS, MSS, true), 0);
    /* what was earned and could not leave (nothing to send) may leave later */
    assert_int_equal(tcp_prr_send(&prr, MSS, 20 * MSS, 70 * MSS, MSS, false), (16 - 6) * MSS);
}

static void the_fast_retransmission_always_leaves(void **state)
{
    struct tcp_prr prr;
    tcp_prr_begin(&prr, 1000 * MSS);
    assert_int_equal(tcp_prr_send(&prr, 100, 900 * MSS, 500 * MSS, MSS, false), MSS);
    tcp_prr_begin(&prr, 0); /* nothing outstanding cannot be: no division by it */
    assert_int_equal(tcp_prr_send(&prr, 1u << 29, 0, 1u << 30, MSS, false), 1u << 29);
}

static void large_windows_do_not_overflow(void **state)
{
    struct tcp_prr prr;
    tcp_prr_begin(&prr, 1u << 30);
    uint32_t send = tcp_prr_send(&prr, 1u << 29, 1u << 29, 1u << 28, MSS, false);
    assert_int_equal(send, 1u << 27);
}

/* --- traces ------------------------------------------------------------------------------------------------------ */

/* 10 in flight, the first lost: cwnd falls to 7; what leaves is 7 for 10 arrivals, and no burst at the end. */
static void a_recovery_ends_at_ssthresh_without_a_burst(void **state)
{
    struct trace *t = far_start(state);
    trace_write(t, 0, 40 * MSS);
    assert_int_equal(trace_skip(t), 10);
    trace_advance(t, RTT);
    unsigned sent = 0;
    for (unsigned i = 2; i <= 10; i++) {
        far_sack(t, 0, 1, i);
        unsigned now = trace_skip(t);
        assert_true(now <= 1);
        sent += now;
    }
    assert_int_equal(trace_info(t).ca_state, TCP_CA_RECOVERY);
    assert_int_equal(trace_info(t).ssthresh, 7 * MSS);
    assert_in_range(sent, 7, 8); /* one or two by limited transmit, before */
    trace_advance(t, RTT);
    far_ack(t, 10); /* the hole is filled */
    sent = trace_skip(t);
    assert_true(sent <= 2);
    struct tcp_info info = trace_info(t);
    assert_true(info.unacked <= info.ssthresh);
    trace_end(t);
}

/* Half of a flight is lost: at most one segment more leaves than arrives. */
static void heavy_loss_conserves_packets(void **state)
{
    struct trace *t = far_start(state);
    trace_write(t, 0, 40 * MSS);
    assert_int_equal(trace_skip(t), 10);
    trace_advance(t, RTT);
    far_sack(t, 0, 6, 10); /* 0 to 5 are lost; four arrived in one go */
    unsigned first = trace_skip(t);
    assert_in_range(first, 1, 5);
    assert_int_equal(trace_info(t).ca_state, TCP_CA_RECOVERY);
    trace_advance(t, RTT);
    for (unsigned i = 1; i <= first; i++) {
        far_sack(t, i, 6, 10);
        assert_true(trace_skip(t) <= 2); /* slow start while snd_una moves */
    }
    assert_int_equal(node_counted(&t->node, TG_C_tcp_rto), 0);
    trace_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_window_comes_down_in_proportion),
        cmocka_unit_test(below_ssthresh_bounds_hold),
        cmocka_unit_test(the_fast_retransmission_always_leaves),
        cmocka_unit_test(large_windows_do_not_overflow),
        BOTH(a_recovery_ends_at_ssthresh_without_a_burst),
        BOTH(heavy_loss_conserves_packets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
