/* SPDX-License-Identifier: BSD-3-Clause
 * RACK: by time, not by count; reordering adapts; a lost retransmission needs no timeout; coarse clocks.
 */
#include "tcp/tcp_recovery_trace.h"

static uint64_t counted(struct trace *t, enum tg_counter c)
{
    return node_counted(&t->node, c);
}

static bool seen(struct trace *t)
{
    return trace_pcb(t)->act->rack.reordering;
}

static uint8_t ca_state(struct trace *t)
{
    return trace_info(t).ca_state;
}

/* --- time ------------------------------------------------------------------------------------------------- */

static void a_hole_is_lost_after_the_reordering_window(void **state)
{
    struct trace *t = far_start(state);
    far_flight(t, 0, 3);
    trace_advance(t, RTT);
    far_sack(t, 0, 1, 2);
    QUIET(t);
    assert_int_equal(ca_state(t), TCP_CA_DISORDER);
    trace_advance(t, RTT / 4 - 10 * TG_US); /* not a moment too early */
    QUIET(t);
    trace_advance(t, TIMER_TICK + 10 * TG_US); /* the wheel's tick may make it late */
    FAR_OUT(t, 0);
    QUIET(t);
    assert_int_equal(ca_state(t), TCP_CA_RECOVERY);
    assert_int_equal(counted(t, TG_C_tcp_fast_retransmit), 1);
    trace_advance(t, RTT);
    far_ack(t, 3);
    assert_int_equal(ca_state(t), TCP_CA_OPEN);
    assert_int_equal(counted(t, TG_C_tcp_rto), 0);
    assert_int_equal(trace_info(t).retransmits, 1);
    trace_end(t);
}

static void three_segments_above_it_shorten_the_wait(void **state)
{
    struct trace *t = far_start(state);
    far_flight(t, 0, 4);
    trace_advance(t, RTT);
    far_sack(t, 0, 1, 2);
    far_sack(t, 0, 1, 3);
    QUIET(t);
    far_sack(t, 0, 1, 4);
    FAR_OUT(t, 0);
    trace_end(t);
}

/* What left later than the segment that arrived is not judged. */
static void only_what_left_before_is_judged(void **state)
{
    struct trace *t = far_start(state);
    far_flight(t, 0, 4);
    trace_advance(t, 20 * TG_MS);
    far_flight(t, 4, 4);
    trace_advance(t, 20 * TG_MS);
    far_sack(t, 0, 1, 4);
    FAR_OUT(t, 0);
    QUIET(t);
    assert_int_equal(trace_info(t).segments.lost, 0);
    trace_advance(t, 15 * TG_MS);
    QUIET(t);
    trace_end(t);
}

static void an_ack_stops_the_timer(void **state)
{
    struct trace *t = far_start(state);
    far_flight(t, 0, 3);
    trace_advance(t, RTT);
    far_sack(t, 0, 1, 2);
    trace_advance(t, 5 * TG_MS);
    far_ack(t, 2); /* it was late */
    assert_true(seen(t));
    assert_int_equal(trace_info(t).reordering_seen, 1);
    trace_advance(t, 30 * TG_MS);
    QUIET(t);
    assert_int_equal(counted(t, TG_C_tcp_retransmits), 0);
    trace_end(t);
}

/* --- reordering ---------------------------------------------------------------------------------------------- */

/* Once reordering has been seen, the number of segments says nothing. */
static void after_reordering_only_time_counts(void **state)
{
    struct trace *t = far_start(state);
    far_flight(t, 0, 2);
    trace_advance(t, RTT);
    far_sack(t, 0, 1, 2);
    far_ack(t, 2);
    assert_true(seen(t));
    far_flight(t, 2, 8);
    trace_advance(t, RTT);
    for (unsigned i = 4; i <= 9; i++)
        far_sack(t, 2, 3, i);
    QUIET(t);
    trace_advance(t, 8 * TG_MS);
    QUIET(t);
    far_ack(t, 10); /* 8 ms late: within the window */
    assert_int_equal(counted(t, TG_C_tcp_fast_retransmit), 0);
    assert_int_equal(counted(t, TG_C_tcp_retransmits), 0);
    assert_true(trace_info(t).cwnd >= 10 * MSS);
    trace_end(t);
}

static void after_reordering_a_loss_is_still_found(void **state)
{
    struct trace *t = far_start(state);
    far_flight(t, 0, 2);
    trace_advance(t, RTT);
    far_sack(t, 0, 1, 2);
    far_ack(t, 2);
    far_flight(t, 2, 8);
    trace_advance(t, RTT);
    far_sack(t, 2, 3, 10);
    QUIET(t);
    trace_advance(t, RTT / 4 + TIMER_TICK);
    FAR_OUT(t, 2);
    assert_int_equal(counted(t, TG_C_tcp_rto), 0);
    trace_end(t);
}

/* A segment that was sent again proves nothing by arriving late. */
static void a_retransmission_is_no_reordering(void **state)
{
    struct trace *t = far_start(state);
    far_flight(t, 0, 5);
    trace_advance(t, RTT);
    far_sack(t, 0, 1, 5);
    FAR_OUT(t, 0);
    trace_advance(t, RTT);
    far_ack(t, 5);
    assert_false(seen(t));
    assert_int_equal(trace_info(t).reordering_seen, 0);
    trace_end(t);
}

static void dsacks_widen_the_window_once_a_round(void **state)
{
    struct trace *t = far_start(state);
    struct tcp_pcb *pcb = trace_pcb(t);
    pcb->act->rack.reordering = true;
    assert_int_equal(tcp_rack_window(pcb), RTT / 4);
    far_flight(t, 0, 4);
    tcp_rack_round(pcb, true);
    assert_int_equal(tcp_rack_window(pcb), 2 * (RTT / 4));
    tcp_rack_round(pcb, true); /* the same round trip */
    assert_int_equal(tcp_rack_window(pcb), 2 * (RTT / 4));
    trace_advance(t, RTT);
    far_ack(t, 4);
    tcp_rack_round(pcb, true);
    assert_int_equal(tcp_rack_window(pcb), 3 * (RTT / 4));
    for (unsigned i = 0; i < 300; i++) {
        pcb->act->rack.in_round = false;
        tcp_rack_round(pcb, true);
    }
    assert_int_equal(tcp_rack_window(pcb), pcb->srtt); /* never more */
    trace_end(t);
}

static void sixteen_recoveries_without_dsack_narrow_it(void **state)
{
    struct trace *t = far_start(state);
    struct tcp_pcb *pcb = trace_pcb(t);
    pcb->act->rack.reordering = true;
    tcp_rack_round(pcb, true);
    for (unsigned i = 0; i < 15; i++)
        tcp_rack_left_recovery(pcb);
    assert_int_equal(tcp_rack_window(pcb), 2 * (RTT / 4));
    tcp_rack_left_recovery(pcb);
    assert_int_equal(tcp_rack_window(pcb), RTT / 4);
    trace_end(t);
}

/* --- lost retransmissions -------------------------------------------------------------------------------------- */

static void a_lost_retransmission_is_sent_again_without_a_timeout(void **state)
{
    struct trace *t = far_start(state);
    far_flight(t, 0, 8);
    trace_advance(t, RTT);
    trace_write(t, 8 * MSS, 4 * MSS); /* cwnd 10 lets two leave; after the cut the others wait */
    FAR_OUT(t, 8);
    FAR_OUT(t, 9);
    far_sack(t, 0, 1, 4);
    FAR_OUT(t, 0);
    trace_advance(t, TG_MS);
    for (unsigned i = 5; i <= 8; i++)
        far_sack(t, 0, 1, i);
    unsigned more = trace_skip(t);
    assert_true(more >= 1); /* new ones behind the retransmission */
    trace_advance(t, RTT);
    far_sack(t, 0, 1, 10); /* these left before it */
    QUIET(t);
    trace_advance(t, 5 * TG_MS);
    far_sack(t, 0, 1, 10 + more); /* this left after it */
    trace_advance(t, 2 * TG_MS);
    FAR_OUT(t, 0);
    trace_skip(t);
    trace_advance(t, RTT);
    far_ack(t, 10 + more);
    assert_int_equal(counted(t, TG_C_tcp_rto), 0);
    assert_int_equal(counted(t, TG_C_tcp_fast_retransmit), 1); /* one cut */
    trace_end(t);
}

/* --- clocks ---------------------------------------------------------------------------------------------------- */

/* A burst's ACKs, and what they let leave, have one time: nothing that has just left is lost by it. */
static void one_instant_loses_nothing(void **state)
{
    struct trace *t = trace_start(state); /* no time passes in the handshake either */
    trace_accept(t, (struct seg){.mss = MSS, .sack_ok = true});
    far_flight(t, 0, 10);
    far_sack(t, 0, 1, 4);
    FAR_OUT(t, 0);
    for (unsigned i = 5; i <= 10; i++)
        far_sack(t, 0, 1, i);
    QUIET(t);
    assert_int_equal(trace_info(t).retransmits, 1);
    trace_end(t);
}

/* Two were sent again in one instant and the second has arrived: that the first left before it means nothing yet, and it is
 * judged when time has passed. A peer that refuses it would else be sent it on each of its ACKs (tcp_pair_fuzz). */
static void one_instant_sends_again_but_once(void **state)
{
    struct trace *t = trace_start(state);
    trace_accept(t, (struct seg){.mss = MSS, .sack_ok = true});
    assert_int_equal(tcp_sleep(t->node.tcp, 1), 1); /* how long a round trip takes is forgotten */
    far_flight(t, 0, 4);
    trace_advance(t, 3 * TG_S);
    assert_true(trace_skip(t) > 0); /* a probe, and timeouts */
    far_ack(t, 1);
    FAR_OUT(t, 1);
    FAR_OUT(t, 2);
    far_sack(t, 1, 2, 3);
    trace_skip(t); /* the window lets another one go */
    for (unsigned i = 0; i < 5; i++) {
        far_sack(t, 1, 2, 3);
        QUIET(t);
    }
    trace_advance(t, 2 * TIMER_TICK);
    FAR_OUT(t, 1);
    trace_end(t);
}

static void a_path_of_microseconds_may_reorder(void **state)
{
    struct trace *t = trace_start(state);
    trace_accept(t, (struct seg){.mss = MSS, .sack_ok = true});
    far_flight(t, 0, 3);
    trace_advance(t, 20 * TG_US);
    far_sack(t, 0, 1, 2);
    trace_advance(t, 500 * TG_US);
    far_ack(t, 3);
    assert_int_equal(counted(t, TG_C_tcp_retransmits), 0);
    trace_end(t);
}

static void the_minimum_forgets(void **state)
{
    struct trace *t = far_start(state);
    struct tcp_pcb *pcb = trace_pcb(t);
    tg_ns now = t->node.now;
    tcp_min_rtt_sample(pcb, 60 * TG_MS, now);
    assert_int_equal(pcb->act->min_rtt, RTT);
    tcp_min_rtt_sample(pcb, 30 * TG_MS, now);
    assert_int_equal(pcb->act->min_rtt, 30 * TG_MS);
    for (unsigned i = 0; i < 12; i++) { /* the path has become longer */
        now += 60 * TG_S;
        tcp_min_rtt_sample(pcb, 90 * TG_MS + i, now);
        if (i < 2)
            assert_int_equal(pcb->act->min_rtt, 30 * TG_MS);
        if (i > 5)
            assert_in_range(pcb->act->min_rtt, 90 * TG_MS, 90 * TG_MS + 12);
    }
    now += 3600 * TG_S;
    tcp_min_rtt_sample(pcb, 200 * TG_MS, now);
    assert_int_equal(pcb->act->min_rtt, 200 * TG_MS);
    trace_end(t);
}

/* --- timeout ---------------------------------------------------------------------------------------------------- */

/* RFC 8985 s6.3: what has just left is not lost because the first segment is. */
static void a_timeout_spares_what_has_just_left(void **state)
{
    struct trace *t = far_start(state);
    far_flight(t, 0, 3);
    trace_advance(t, 190 * TG_MS);
    trace_skip(t); /* the probe has come in between */
    far_flight(t, 3, 2);
    tg_ns until = trace_pcb(t)->act->deadline[TCP_D_RETRANSMIT] - t->node.now;
    trace_advance(t, until - 12 * TG_MS);
    far_flight(t, 5, 1);
    trace_advance(t, 13 * TG_MS);
    FAR_OUT(t, 0);
    struct tcp_info info = trace_info(t);
    assert_int_equal(info.ca_state, TCP_CA_LOSS);
    assert_int_equal(info.segments.unacked, 6);
    assert_int_equal(info.segments.retransmitted, 1);
    assert_int_equal(info.segments.lost, 4); /* not the first, which is on its way, nor the last */
    trace_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_hole_is_lost_after_the_reordering_window),
        BOTH(three_segments_above_it_shorten_the_wait),
        BOTH(only_what_left_before_is_judged),
        BOTH(an_ack_stops_the_timer),
        BOTH(after_reordering_only_time_counts),
        BOTH(after_reordering_a_loss_is_still_found),
        BOTH(a_retransmission_is_no_reordering),
        BOTH(dsacks_widen_the_window_once_a_round),
        BOTH(sixteen_recoveries_without_dsack_narrow_it),
        BOTH(a_lost_retransmission_is_sent_again_without_a_timeout),
        BOTH(one_instant_loses_nothing),
        BOTH(one_instant_sends_again_but_once),
        BOTH(a_path_of_microseconds_may_reorder),
        BOTH(the_minimum_forgets),
        BOTH(a_timeout_spares_what_has_just_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
