/* SPDX-License-Identifier: BSD-3-Clause
 * Recoveries for nothing: each sign that tells of them, and what must not be taken for one.
 */
#include "tcp/tcp_recovery_trace.h"

static uint64_t counted(struct trace *t, enum tg_counter c)
{
    return node_counted(&t->node, c);
}

/* Ten segments are out, the peer has told of 1 to 3 but not of 0: it has been sent again. */
static struct trace *recovering(void **state, bool timestamps, uint32_t *old_ts)
{
    struct tcp_config c = node_config();
    struct trace *t = far_established(&c, state, timestamps);
    far_flight(t, 0, 10);
    *old_ts = t->last_ts;
    trace_advance(t, RTT);
    far_sack(t, 0, 1, 4);
    FAR_OUT(t, 0);
    QUIET(t);
    assert_int_equal(trace_info(t).ca_state, TCP_CA_RECOVERY);
    assert_true(trace_info(t).ssthresh < 10 * MSS);
    trace_advance(t, 5 * TG_MS);
    return t;
}

static void expect_undone(struct trace *t)
{
    struct tcp_info info = trace_info(t);
    assert_int_equal(counted(t, TG_C_tcp_recoveries_undone), 1);
    assert_int_equal(info.ca_state, TCP_CA_OPEN);
    assert_true(info.cwnd >= 10 * MSS);
    assert_true(info.ssthresh > 1000 * MSS); /* never set before */
    assert_int_equal(info.segments.lost, 0);
}

static void expect_cut(struct trace *t)
{
    assert_int_equal(counted(t, TG_C_tcp_recoveries_undone), 0);
    assert_true(trace_info(t).ssthresh < 10 * MSS);
}

/* --- Eifel ------------------------------------------------------------------------------------------------- */

static void an_echo_from_before_the_retransmission_undoes(void **state)
{
    uint32_t old;
    struct trace *t = recovering(state, true, &old);
    IN(t, .flags = A, .seq = 1, .ack = 1 + 4 * MSS, .ts_echo = old);
    expect_undone(t);
    assert_true(trace_pcb(t)->act->rack.reordering);
    assert_int_equal(trace_info(t).reordering_seen, 1);
    trace_end(t);
}

static void an_echo_of_the_retransmission_does_not(void **state)
{
    uint32_t old;
    struct trace *t = recovering(state, true, &old);
    trace_advance(t, RTT - 5 * TG_MS);
    IN(t, .flags = A, .seq = 1, .ack = 1 + 4 * MSS);
    IN(t, .flags = A, .seq = 1, .ack = 1 + 10 * MSS);
    expect_cut(t);
    assert_int_equal(trace_info(t).ca_state, TCP_CA_OPEN);
    trace_end(t);
}

/* In a fleet timestamps name an owner and measure nothing. */
static void an_owners_timestamps_are_no_clock(void **state)
{
    uint32_t old;
    struct trace *t = recovering(state, true, &old);
    trace_pcb(t)->flags |= TCP_F_OWNER;
    IN(t, .flags = A, .seq = 1, .ack = 1 + 4 * MSS, .ts_echo = old);
    expect_cut(t);
    far_sack(t, 10, 0, 1); /* but a DSACK is what it is */
    expect_undone(t);
    trace_end(t);
}

/* Another hole has been filled again: whether that one was real is not known. */
static void other_retransmissions_are_waited_for(void **state)
{
    struct tcp_config c = node_config();
    struct trace *t = far_established(&c, state, true);
    far_flight(t, 0, 10);
    uint32_t old = t->last_ts;
    trace_advance(t, RTT);
    far_sack(t, 0, 3, 9); /* 0, 1 and 2 are missing */
    FAR_OUT(t, 0);
    FAR_OUT(t, 1);
    FAR_OUT(t, 2);
    trace_advance(t, 5 * TG_MS);
    IN(t, .flags = A, .seq = 1, .ack = 1 + 2 * MSS, .ts_echo = old,
       .sack = {{1 + 3 * MSS, 1 + 9 * MSS}});
    expect_cut(t);
    IN(t, .flags = A, .seq = 1, .ack = 1 + 9 * MSS, .ts_echo = old);
    expect_undone(t);
    trace_end(t);
}

/* --- DSACK ------------------------------------------------------------------------------------------------- */

static void a_dsack_for_all_that_was_sent_again_undoes(void **state)
{
    uint32_t old;
    struct trace *t = recovering(state, false, &old);
    far_ack(t, 4);
    expect_cut(t);
    far_sack(t, 4, 0, 1);
    expect_undone(t);
    assert_true(trace_pcb(t)->act->rack.reordering);
    assert_int_equal(trace_pcb(t)->act->rack.reo_mult, 2);
    trace_end(t);
}

static void a_dsack_may_come_after_the_recovery(void **state)
{
    uint32_t old;
    struct trace *t = recovering(state, false, &old);
    far_ack(t, 10);
    assert_int_equal(trace_info(t).ca_state, TCP_CA_OPEN);
    expect_cut(t);
    far_sack(t, 10, 0, 1);
    expect_undone(t);
    trace_end(t);
}

static void but_not_for_ever(void **state)
{
    uint32_t old;
    struct trace *t = recovering(state, false, &old);
    far_ack(t, 10);
    for (unsigned i = 10; i < 13; i++) {
        trace_write(t, i * MSS, MSS);
        trace_skip(t);
        trace_advance(t, RTT);
        far_ack(t, i + 1);
    }
    far_sack(t, 13, 0, 1);
    expect_cut(t);
    trace_end(t);
}

static void one_dsack_for_two_is_not_enough(void **state)
{
    struct trace *t = far_start(state);
    far_flight(t, 0, 10);
    trace_advance(t, RTT);
    far_sack(t, 0, 2, 8);
    FAR_OUT(t, 0);
    FAR_OUT(t, 1);
    trace_advance(t, RTT);
    far_ack(t, 10);
    far_sack(t, 10, 1, 2);
    expect_cut(t);
    far_sack(t, 10, 5, 6); /* never sent again: the network's own duplicate */
    expect_cut(t);
    far_sack(t, 10, 0, 1);
    expect_undone(t);
    trace_end(t);
}

/* ACKs are reordered, too: the one that tells of the duplicate is older than what is known. */
static void an_old_ack_may_bring_the_dsack(void **state)
{
    uint32_t old;
    struct trace *t = recovering(state, false, &old);
    far_ack(t, 6);
    far_sack(t, 4, 0, 1);
    expect_undone(t);
    trace_end(t);
}

/* The same blocks were news once: below snd_una by now, above the ACK number that came with them. */
static void an_old_sack_is_no_dsack(void **state)
{
    uint32_t old;
    struct trace *t = recovering(state, false, &old);
    far_ack(t, 6);
    far_sack(t, 0, 1, 3);
    assert_int_equal(counted(t, TG_C_tcp_dsacks), 0);
    expect_cut(t);
    trace_end(t);
}

static void forged_dsacks_are_ignored(void **state)
{
    uint32_t old;
    struct trace *t = recovering(state, false, &old);
    far_ack(t, 4);
    IN(t, .flags = A, .seq = 1, .ack = 1 + 4 * MSS, .sack = {{1 + MSS, 1}}); /* reversed */
    IN(t, .flags = A, .seq = 1, .ack = 1 + 4 * MSS,
       .sack = {{0x90000000, 0x90001000}}); /* ages ago */
    assert_int_equal(counted(t, TG_C_tcp_dsacks), 0);
    IN(t, .flags = A, .seq = 1, .ack = 1 + 4 * MSS,
       .sack = {{0u - 500, 1 + MSS}}); /* and what was never sent */
    expect_cut(t);
    trace_end(t);
}

/* --- timeouts ------------------------------------------------------------------------------------------------ */

/* Ten are out and ten wait; a probe has brought one more; then a timeout. */
static struct trace *timed_out(void **state, bool timestamps, bool more, uint32_t *old_ts)
{
    struct tcp_config c = node_config();
    struct trace *t = far_established(&c, state, timestamps);
    trace_write(t, 0, (more ? 20 : 10) * MSS);
    for (unsigned i = 0; i < 10; i++)
        FAR_OUT(t, i);
    *old_ts = t->last_ts;
    trace_advance(t, 100 * TG_MS);
    FAR_OUT(t, more ? 10 : 9);
    trace_advance(t, 190 * TG_MS);
    FAR_OUT(t, 0);
    QUIET(t);
    assert_int_equal(trace_info(t).ca_state, TCP_CA_LOSS);
    return t;
}

/* F-RTO: the path was only slow. What was sent once keeps arriving, nothing is sent again. */
static void a_pause_of_the_path_costs_one_segment(void **state)
{
    uint32_t old;
    struct trace *t = timed_out(state, false, true, &old);
    far_ack(t, 1);
    FAR_OUT(t, 11); /* new ones, to find out */
    FAR_OUT(t, 12);
    QUIET(t);
    far_ack(t, 2);
    expect_undone(t);
    assert_int_equal(trace_info(t).retransmits, 1);
    assert_false(trace_pcb(t)->act->rack.reordering); /* a pause is none */
    trace_skip(t);
    far_ack(t, 11);
    trace_skip(t);
    assert_int_equal(trace_info(t).retransmits, 1);
    trace_end(t);
}

static void a_real_loss_is_resent_after_two_new_ones(void **state)
{
    uint32_t old;
    struct trace *t = timed_out(state, false, true, &old);
    far_ack(t, 1);
    FAR_OUT(t, 11);
    FAR_OUT(t, 12);
    QUIET(t);
    trace_advance(t, RTT);
    far_sack(t, 1, 11, 12);
    FAR_OUT(t, 1);
    assert_int_equal(trace_info(t).ca_state, TCP_CA_LOSS);
    expect_cut(t);
    trace_end(t);
}

static void without_new_data_there_is_nothing_to_ask_with(void **state)
{
    uint32_t old;
    struct trace *t = timed_out(state, false, false, &old);
    far_ack(t, 1);
    FAR_OUT(t, 1);
    FAR_OUT(t, 2);
    QUIET(t);
    expect_cut(t);
    trace_end(t);
}

static void a_shut_window_does_not_stall_it(void **state)
{
    uint32_t old;
    struct trace *t = timed_out(state, false, true, &old);
    IN(t, .flags = A, .seq = 1, .ack = 1 + MSS, .win = 10 * MSS); /* what has left fills it */
    FAR_OUT(t, 1);
    FAR_OUT(t, 2);
    QUIET(t);
    trace_end(t);
}

static void an_old_echo_undoes_a_timeout_at_once(void **state)
{
    uint32_t old;
    struct trace *t = timed_out(state, true, true, &old);
    IN(t, .flags = A, .seq = 1, .ack = 1 + MSS, .ts_echo = old);
    expect_undone(t);
    assert_int_equal(trace_info(t).retransmits, 1);
    trace_end(t);
}

static void a_second_timeout_believes_in_the_loss(void **state)
{
    uint32_t old;
    struct trace *t = timed_out(state, false, true, &old);
    trace_advance(t, 450 * TG_MS);
    FAR_OUT(t, 0);
    far_ack(t, 1);
    FAR_OUT(t, 1); /* no F-RTO this time */
    expect_cut(t);
    trace_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(an_echo_from_before_the_retransmission_undoes),
        BOTH(an_echo_of_the_retransmission_does_not),
        BOTH(an_owners_timestamps_are_no_clock),
        BOTH(other_retransmissions_are_waited_for),
        BOTH(a_dsack_for_all_that_was_sent_again_undoes),
        BOTH(a_dsack_may_come_after_the_recovery),
        BOTH(but_not_for_ever),
        BOTH(one_dsack_for_two_is_not_enough),
        BOTH(an_old_ack_may_bring_the_dsack),
        BOTH(an_old_sack_is_no_dsack),
        BOTH(forged_dsacks_are_ignored),
        BOTH(a_pause_of_the_path_costs_one_segment),
        BOTH(a_real_loss_is_resent_after_two_new_ones),
        BOTH(without_new_data_there_is_nothing_to_ask_with),
        BOTH(a_shut_window_does_not_stall_it),
        BOTH(an_old_echo_undoes_a_timeout_at_once),
        BOTH(a_second_timeout_believes_in_the_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
