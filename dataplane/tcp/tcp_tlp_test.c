/* SPDX-License-Identifier: BSD-3-Clause
 * Tail loss probes: when, what, and what their ACKs mean (RFC 8985 s7).
 */
#include "tcp/tcp_recovery_trace.h"

#define PTO (2 * RTT + 2 * TIMER_TICK)

static uint64_t counted(struct trace *t, enum tg_counter c)
{
    return node_counted(&t->node, c);
}

/* --- sending ------------------------------------------------------------------------------------------------ */

static void a_silent_tail_is_probed_by_its_last_segment(void **state)
{
    struct trace *t = far_start(state);
    far_flight(t, 0, 4);
    trace_advance(t, PTO - 10 * TG_US);
    QUIET(t);
    trace_advance(t, TIMER_TICK + 10 * TG_US);
    FAR_OUT(t, 3);
    QUIET(t);
    assert_int_equal(counted(t, TG_C_tcp_tail_probes), 1);
    assert_int_equal(trace_info(t).ca_state, TCP_CA_OPEN);
    trace_advance(t, RTT);
    QUIET(t);
    far_sack(t, 0, 3, 4); /* the tail alone was not lost: RACK finds the rest */
    trace_advance(t, RTT / 4 + TIMER_TICK);
    FAR_OUT(t, 0);
    trace_advance(t, RTT);
    far_sack(t, 1, 3, 4);
    FAR_OUT(t, 1);
    FAR_OUT(t, 2);
    trace_advance(t, RTT);
    far_ack(t, 4);
    assert_int_equal(counted(t, TG_C_tcp_rto), 0);
    assert_int_equal(counted(t, TG_C_tcp_tail_losses), 0);
    trace_end(t);
}

/* New data is better than old, and cwnd does not forbid it. */
static void a_probe_is_new_data_where_there_is_some(void **state)
{
    struct trace *t = far_start(state);
    trace_write(t, 0, 12 * MSS);
    assert_int_equal(trace_skip(t), 10); /* the initial window */
    trace_advance(t, PTO + TIMER_TICK);
    FAR_OUT(t, 10);
    QUIET(t);
    assert_int_equal(trace_info(t).retransmits, 0);
    trace_advance(t, RTT);
    far_ack(t, 11);
    assert_int_equal(counted(t, TG_C_tcp_tail_losses), 0);
    assert_false(trace_pcb(t)->act->tlp.out);
    trace_end(t);
}

static void a_shut_window_lets_only_old_data_probe(void **state)
{
    struct trace *t = far_start(state);
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = 4 * MSS);
    trace_write(t, 0, 6 * MSS);
    assert_int_equal(trace_skip(t), 4);
    trace_advance(t, PTO + TIMER_TICK);
    FAR_OUT(t, 3);
    trace_end(t);
}

/* Its ACK may be delayed, so the timeout's time comes first; a probe it is nevertheless, and the timeout waits. */
static void one_segment_is_probed_in_place_of_the_first_timeout(void **state)
{
    struct trace *t = far_start(state);
    far_flight(t, 0, 1);
    trace_advance(t, 199 * TG_MS);
    QUIET(t);
    trace_advance(t, 2 * TG_MS);
    FAR_OUT(t, 0);
    assert_int_equal(counted(t, TG_C_tcp_tail_probes), 1);
    assert_int_equal(counted(t, TG_C_tcp_rto), 0);
    trace_advance(t, 198 * TG_MS);
    QUIET(t);
    trace_advance(t, 3 * TG_MS);
    FAR_OUT(t, 0);
    assert_int_equal(counted(t, TG_C_tcp_rto), 1);
    trace_advance(t, 405 * TG_MS); /* and then the usual backoff, without further probes */
    FAR_OUT(t, 0);
    assert_int_equal(counted(t, TG_C_tcp_rto), 2);
    assert_int_equal(counted(t, TG_C_tcp_tail_probes), 1);
    trace_end(t);
}

static void one_probe_at_a_time(void **state)
{
    struct trace *t = far_start(state);
    far_flight(t, 0, 4);
    trace_advance(t, PTO + TIMER_TICK);
    FAR_OUT(t, 3);
    trace_advance(t, 150 * TG_MS);
    QUIET(t);
    far_ack(t, 2); /* an ACK below it starts none */
    trace_advance(t, PTO + TIMER_TICK);
    QUIET(t);
    assert_int_equal(counted(t, TG_C_tcp_tail_probes), 1);
    trace_end(t);
}

static void acks_put_it_off(void **state)
{
    struct trace *t = far_start(state);
    far_flight(t, 0, 6);
    for (unsigned i = 1; i <= 4; i++) {
        trace_advance(t, RTT);
        far_ack(t, i);
        QUIET(t);
    }
    assert_int_equal(counted(t, TG_C_tcp_tail_probes), 0);
    trace_end(t);
}

static void no_probe_without_sack_or_with_holes(void **state)
{
    struct trace *t = trace_start(state);
    trace_accept(t, (struct seg){.mss = MSS});
    far_flight(t, 0, 4);
    trace_advance(t, 190 * TG_MS);
    QUIET(t);
    assert_int_equal(counted(t, TG_C_tcp_tail_probes), 0);
    trace_end(t);
    t = far_start(state);
    far_flight(t, 0, 8);
    trace_advance(t, RTT);
    far_sack(t, 0, 1, 2);
    trace_advance(t, RTT / 4 + TIMER_TICK);
    FAR_OUT(t, 0);
    trace_advance(t, PTO);
    QUIET(t);
    assert_int_equal(counted(t, TG_C_tcp_tail_probes), 0);
    trace_end(t);
}

/* The FIN is the tail. */
static void a_lost_fin_is_probed(void **state)
{
    struct trace *t = far_start(state);
    far_flight(t, 0, 1);
    tcp_shutdown(t->node.tcp, t->h);
    trace_collect(t);
    OUT(t, .flags = F | A, .seq = 1 + MSS, .ack = 1);
    trace_advance(t, PTO + TIMER_TICK);
    OUT(t, .flags = F | A, .seq = 1 + MSS, .ack = 1);
    trace_advance(t, RTT);
    IN(t, .flags = A, .seq = 1, .ack = 2 + MSS);
    assert_int_equal(trace_info(t).state, TCP_S_FIN_WAIT_2);
    trace_end(t);
}

/* --- what the ACK says -------------------------------------------------------------------------------------------- */

static struct trace *probed(void **state)
{
    struct trace *t = far_start(state);
    far_flight(t, 0, 4);
    trace_advance(t, PTO + TIMER_TICK);
    FAR_OUT(t, 3);
    trace_advance(t, RTT);
    return t;
}

/* Only the last segment was lost, and the probe was it: nothing else shows the loss. */
static void a_repaired_loss_is_congestion(void **state)
{
    struct trace *t = probed(state);
    far_ack(t, 4);
    assert_int_equal(counted(t, TG_C_tcp_tail_losses), 0); /* both may have arrived */
    far_flight(t, 4, 1);
    trace_advance(t, RTT);
    far_ack(t, 5);
    assert_int_equal(counted(t, TG_C_tcp_tail_losses), 1);
    assert_true(trace_info(t).cwnd < 10 * MSS);
    assert_int_equal(trace_info(t).ca_state, TCP_CA_OPEN);
    trace_end(t);
}

static void a_dsack_says_that_nothing_was_lost(void **state)
{
    struct trace *t = probed(state);
    far_ack(t, 4);
    far_sack(t, 4, 3, 4); /* the probe came second */
    far_flight(t, 4, 1);
    trace_advance(t, RTT);
    far_ack(t, 5);
    assert_int_equal(counted(t, TG_C_tcp_tail_losses), 0);
    assert_int_equal(counted(t, TG_C_tcp_dsacks), 1);
    assert_true(trace_info(t).cwnd >= 10 * MSS);
    assert_int_equal(trace_pcb(t)->act->rack.reo_mult, 1); /* nor anything of reordering */
    trace_end(t);
}

static void a_bare_duplicate_says_so_too(void **state)
{
    struct trace *t = probed(state);
    far_ack(t, 4);
    far_flight(t, 4, 1);
    far_ack(t, 4);
    trace_advance(t, RTT);
    far_ack(t, 5);
    assert_int_equal(counted(t, TG_C_tcp_tail_losses), 0);
    trace_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_silent_tail_is_probed_by_its_last_segment),
        BOTH(a_probe_is_new_data_where_there_is_some),
        BOTH(a_shut_window_lets_only_old_data_probe),
        BOTH(one_segment_is_probed_in_place_of_the_first_timeout),
        BOTH(one_probe_at_a_time),
        BOTH(acks_put_it_off),
        BOTH(no_probe_without_sack_or_with_holes),
        BOTH(a_lost_fin_is_probed),
        BOTH(a_repaired_loss_is_congestion),
        BOTH(a_dsack_says_that_nothing_was_lost),
        BOTH(a_bare_duplicate_says_so_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
