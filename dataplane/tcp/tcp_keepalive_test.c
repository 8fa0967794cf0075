/* SPDX-License-Identifier: BSD-3-Clause
 * Silent peers: keepalive of connections awake and asleep (RFC 9293 s3.8.4), and the user timeout.
 */
#include "tcp/tcp_trace.h"

static void set(struct trace *t, enum tcp_option_name name, uint64_t value)
{
    assert_int_equal(tcp_set_option(t->node.tcp, t->h, name, value), TG_OK);
}

static struct trace *established(void **state)
{
    return trace_established(state, (struct seg){PEER_OPTIONS});
}

/* First probe after 10 s, then every 2 s, three in all. */
static struct trace *watched(void **state)
{
    struct trace *t = established(state);
    set(t, TCP_OPT_KEEP_IDLE, 10000);
    set(t, TCP_OPT_KEEP_INTERVAL, 2000);
    set(t, TCP_OPT_KEEP_COUNT, 3);
    set(t, TCP_OPT_KEEPALIVE, 1);
    return t;
}

#define PROBE .flags = A, .seq = 0, .ack = 1, .len = 0

/* --- keepalive ------------------------------------------------------------------------------------------ */

static void keepalive_is_off_unless_asked_for(void **state)
{
    struct trace *t = established(state);
    trace_advance(t, 5 * 3600 * TG_S);
    QUIET(t);
    set(t, TCP_OPT_KEEPALIVE, 1); /* two hours of silence have passed long ago */
    trace_advance(t, 10 * TG_MS);
    OUT(t, PROBE);
    trace_end(t);
}

static void the_default_is_two_hours(void **state)
{
    struct trace *t = established(state);
    set(t, TCP_OPT_KEEPALIVE, 1);
    trace_advance(t, 7199 * TG_S);
    QUIET(t);
    trace_advance(t, 2 * TG_S);
    OUT(t, PROBE);
    trace_advance(t, 73 * TG_S);
    QUIET(t);
    trace_advance(t, 2 * TG_S);
    OUT(t, PROBE);
    trace_end(t);
}

static void a_probe_that_is_answered_starts_the_wait_again(void **state)
{
    struct trace *t = watched(state);
    for (unsigned i = 0; i < 5; i++) {
        trace_advance(t, 9900 * TG_MS);
        QUIET(t);
        trace_advance(t, 101 * TG_MS);
        OUT(t, PROBE);
        IN(t, .flags = A, .seq = 1, .ack = 1);
        QUIET(t);
    }
    assert_int_equal(node_counted(&t->node, TG_C_tcp_keepalive_probes), 5);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_zero_window_probes), 0);
    node_expect_no_event(&t->node);
    trace_end(t);
}

/* MUST-29: an answer that is lost proves nothing. */
static void only_the_last_probe_in_vain_ends_the_connection(void **state)
{
    struct trace *t = watched(state);
    trace_advance(t, 10001 * TG_MS);
    OUT(t, PROBE);
    trace_advance(t, 2 * TG_S);
    OUT(t, PROBE);
    trace_advance(t, 2 * TG_S);
    OUT(t, PROBE);
    IN(t, .flags = A, .seq = 1, .ack = 1); /* after two that were not answered */
    trace_advance(t, 9990 * TG_MS);
    QUIET(t);
    trace_advance(t, 20 * TG_MS);
    for (unsigned i = 0; i < 3; i++) {
        OUT(t, PROBE);
        QUIET(t);
        node_expect_no_event(&t->node);
        trace_advance(t, 2 * TG_S);
    }
    OUT(t, .flags = R | A, .seq = 1, .ack = 1);
    node_expect_closed(&t->node, 0, TG_TIMEOUT);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_keepalive_dead), 1);
    trace_end(t);
}

/* MUST-26. */
static void whatever_the_peer_sends_postpones_the_probe(void **state)
{
    struct trace *t = watched(state);
    trace_advance(t, 6 * TG_S);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 10);
    trace_skip(t);
    trace_advance(t, 9900 * TG_MS);
    trace_skip(t); /* the delayed ACK */
    QUIET(t);
    trace_advance(t, 200 * TG_MS);
    OUT(t, .flags = A, .seq = 0, .ack = 11);
    IN(t, .flags = A, .seq = 11, .ack = 1);
    trace_advance(t, 5 * TG_S);
    trace_write(t, 0, 10); /* what we send does not, but its ACK does */
    OUT(t, .flags = A, .seq = 1, .ack = 11, .len = 10);
    trace_advance(t, 100 * TG_MS);
    IN(t, .flags = A, .seq = 11, .ack = 11);
    trace_advance(t, 9900 * TG_MS);
    QUIET(t);
    trace_advance(t, 200 * TG_MS);
    OUT(t, .flags = A, .seq = 10, .ack = 11);
    trace_end(t);
}

static void data_in_flight_needs_no_probe(void **state)
{
    struct trace *t = watched(state);
    trace_advance(t, 9 * TG_S);
    trace_write(t, 0, 100);
    trace_advance(t, 20 * TG_S);
    while (t->first != t->end)
        OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 100); /* retransmissions only */
    assert_int_equal(node_counted(&t->node, TG_C_tcp_keepalive_probes), 0);
    trace_end(t);
}

static void switched_off_it_stops(void **state)
{
    struct trace *t = watched(state);
    trace_advance(t, 10001 * TG_MS);
    OUT(t, PROBE);
    set(t, TCP_OPT_KEEPALIVE, 0);
    trace_advance(t, 3600 * TG_S);
    QUIET(t);
    node_expect_no_event(&t->node);
    trace_end(t);
}

static void a_listener_may_ask_for_it(void **state)
{
    struct tcp_config c = node_config();
    c.keepalive = true;
    c.keep_idle_ms = 30000;
    struct trace *t = trace_new(&c, trace_is6(state));
    trace_accept(t, (struct seg){PEER_OPTIONS});
    trace_advance(t, 29 * TG_S);
    QUIET(t);
    trace_advance(t, 2 * TG_S);
    OUT(t, PROBE);
    trace_end(t);
}

static void a_peer_probe_is_answered(void **state)
{
    struct trace *t = established(state);
    trace_advance(t, 3600 * TG_S);
    IN(t, .flags = A, .seq = 0, .ack = 1);
    OUT(t, .flags = A, .seq = 1, .ack = 1);
    trace_advance(t, TG_S);
    IN(t, .flags = A, .seq = 0, .ack = 1, .len = 1); /* with the garbage octet of old stacks */
    OUT(t, .flags = A, .seq = 1, .ack = 1, .sack = {{0, 1}});
    assert_int_equal(tcp_unread(t->node.tcp, t->h), 0);
    trace_end(t);
}

/* --- asleep ----------------------------------------------------------------------------------------------- */

static void a_sleeper_that_answers_lives(void **state)
{
    struct trace *t = watched(state);
    set(t, TCP_OPT_KEEP_INTERVAL, 200000);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(tcp_sleep(t->node.tcp, 1), 1);
        trace_advance(t, 9900 * TG_MS);
        QUIET(t);
        trace_advance(t, 131 * TG_S);
        OUT(t, PROBE);
        QUIET(t);
        assert_int_equal(tcp_sleep(t->node.tcp, 1), 0); /* not while it waits for the answer */
        IN(t, .flags = A, .seq = 1, .ack = 1);
        QUIET(t);
    }
    assert_int_equal(node_state(&t->node, t->h), TCP_S_ESTABLISHED);
    trace_end(t);
}

static void a_dead_peer_of_a_sleeper_is_found_out(void **state)
{
    struct trace *t = watched(state);
    assert_int_equal(tcp_sleep(t->node.tcp, 1), 1);
    trace_advance(t, 160 * TG_S);
    OUT(t, PROBE);
    OUT(t, PROBE);
    OUT(t, PROBE);
    OUT(t, .flags = R | A, .seq = 1, .ack = 1);
    node_expect_closed(&t->node, 0, TG_TIMEOUT);
    trace_end(t);
}

/* All active parts are busy when a sleeper is due: the sweep comes back until there is one. */
static void a_sleeper_that_cannot_be_woken_is_not_forgotten(void **state)
{
    struct tcp_config c = node_config();
    c.active_max = 1;
    c.keepalive = true;
    c.keep_idle_ms = 10000;
    c.keep_interval_ms = 500000;
    struct trace *t = trace_new(&c, trace_is6(state));
    trace_accept(t, (struct seg){PEER_OPTIONS});
    tcp_handle sleeper = t->h;
    t->tuple.remote_port++;
    trace_accept(t, (struct seg){PEER_OPTIONS}); /* takes the first one's active part */
    assert_null(tcp_pcb_find(t->node.tcp, sleeper)->act);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 100); /* unread: it stays awake */
    trace_advance(t, 400 * TG_S);
    trace_skip(t);
    assert_null(tcp_pcb_find(t->node.tcp, sleeper)->act);
    tcp_abort(t->node.tcp, t->h);
    trace_skip(t);
    t->tuple.remote_port--;
    trace_advance(t, 61 * TG_S);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_keepalive_probes) > 0, true);
    assert_non_null(tcp_pcb_find(t->node.tcp, sleeper)->act);
    trace_end(t);
}

static void a_sleeper_may_get_keepalive(void **state)
{
    struct trace *t = established(state);
    assert_int_equal(tcp_sleep(t->node.tcp, 1), 1);
    set(t, TCP_OPT_KEEP_IDLE, 10000);
    set(t, TCP_OPT_KEEPALIVE, 1);
    assert_null(trace_pcb(t)->act);
    trace_advance(t, 150 * TG_S);
    OUT(t, PROBE);
    trace_end(t);
}

/* Nobody is left to be told of a dead peer; the orphan's own clocks end it. */
static void an_orphan_is_not_probed(void **state)
{
    struct trace *t = watched(state);
    tcp_close(t->node.tcp, t->h);
    trace_collect(t);
    OUT(t, .flags = A | F, .seq = 1, .ack = 1);
    IN(t, .flags = A, .seq = 1, .ack = 2);
    trace_advance(t, 59 * TG_S);
    QUIET(t);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_keepalive_probes), 0);
    trace_end(t);
}

static void without_a_user_timeout_bytes_wait_on(void **state)
{
    struct trace *t = established(state);
    set(t, TCP_OPT_USER_TIMEOUT, 5000);
    trace_write(t, 0, 100);
    trace_advance(t, 4 * TG_S);
    set(t, TCP_OPT_USER_TIMEOUT, 0);
    trace_advance(t, 20 * TG_S);
    node_expect_no_event(&t->node);
    set(t, TCP_OPT_USER_TIMEOUT, 1000); /* counts from now: there was no clock */
    trace_advance(t, 1100 * TG_MS);
    node_expect_closed(&t->node, 0, TG_TIMEOUT);
    trace_end(t);
}

static void the_sweep_rests_when_nobody_needs_it(void **state)
{
    struct trace *t = established(state);
    assert_int_equal(tcp_sleep(t->node.tcp, 1), 1);
    assert_false(timer_armed(&t->node.tcp->keep_timer)); /* no keepalive */
    IN(t, .flags = A, .seq = 1, .ack = 1);
    set(t, TCP_OPT_KEEPALIVE, 1);
    assert_int_equal(tcp_sleep(t->node.tcp, 1), 1);
    assert_true(timer_armed(&t->node.tcp->keep_timer));
    trace_advance(t, 10 * TG_S);
    assert_true(timer_armed(&t->node.tcp->keep_timer));
    tcp_abort(t->node.tcp, t->h);
    trace_advance(t, 10 * TG_S);
    assert_false(timer_armed(&t->node.tcp->keep_timer));
    trace_end(t);
}

/* --- user timeout ----------------------------------------------------------------------------------------- */

static void unacknowledged_bytes_end_it(void **state)
{
    struct trace *t = established(state);
    set(t, TCP_OPT_USER_TIMEOUT, 5000);
    trace_advance(t, 60 * TG_S); /* idle: nothing waits */
    trace_write(t, 0, 100);
    trace_advance(t, 4900 * TG_MS);
    assert_int_equal(node_state(&t->node, t->h), TCP_S_ESTABLISHED);
    node_expect_no_event(&t->node);
    trace_advance(t, 200 * TG_MS);
    node_expect_closed(&t->node, 0, TG_TIMEOUT);
    trace_end(t);
}

static void progress_starts_the_user_timeout_again(void **state)
{
    struct trace *t = established(state);
    set(t, TCP_OPT_USER_TIMEOUT, 5000);
    trace_write(t, 0, 2000);
    for (unsigned i = 1; i < 5; i++) {
        trace_advance(t, 4 * TG_S);
        IN(t, .flags = A, .seq = 1, .ack = 1 + 100 * i);
    }
    node_expect_no_event(&t->node);
    trace_advance(t, 4900 * TG_MS);
    node_expect_no_event(&t->node);
    trace_advance(t, 200 * TG_MS);
    node_expect_closed(&t->node, 0, TG_TIMEOUT);
    trace_end(t);
}

/* tcp(7): also for bytes that a shut window keeps from leaving, answered probes or not. */
static void a_window_shut_for_too_long_ends_it(void **state)
{
    struct trace *t = established(state);
    set(t, TCP_OPT_USER_TIMEOUT, 8000);
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = WIN_ZERO);
    trace_write(t, 0, 100);
    for (unsigned i = 0; i < 15; i++) {
        trace_advance(t, 500 * TG_MS);
        IN(t, .flags = A, .seq = 1, .ack = 1, .win = WIN_ZERO);
    }
    node_expect_no_event(&t->node);
    trace_advance(t, 700 * TG_MS);
    node_expect_closed(&t->node, 0, TG_TIMEOUT);
    trace_end(t);
}

static void a_syn_without_an_answer_ends_it(void **state)
{
    struct trace *t = trace_start(state);
    trace_connect_begin(t, 0);
    set(t, TCP_OPT_USER_TIMEOUT, 2500);
    trace_collect(t);
    trace_advance(t, 2400 * TG_MS);
    node_expect_no_event(&t->node);
    trace_advance(t, 200 * TG_MS);
    node_expect_closed(&t->node, 0, TG_TIMEOUT);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_connect_failed), 1);
    trace_end(t);
}

static void a_syn_answered_late_starts_afresh(void **state)
{
    struct trace *t = trace_start(state);
    trace_connect_begin(t, 0);
    set(t, TCP_OPT_USER_TIMEOUT, 5000);
    trace_collect(t);
    OUT(t, .flags = S, .seq = 0);
    trace_advance(t, 4 * TG_S);
    trace_skip(t);
    IN(t, .flags = S | A, .seq = 0, .ack = 1, PEER_OPTIONS);
    trace_write(t, 0, 100);
    node_expect_event(&t->node, TCP_EV_CONNECTED);
    trace_advance(t, 4900 * TG_MS);
    node_expect_no_event(&t->node);
    trace_advance(t, 200 * TG_MS);
    node_expect_closed(&t->node, 0, TG_TIMEOUT);
    trace_end(t);
}

static void a_new_user_timeout_counts_from_the_last_progress(void **state)
{
    struct trace *t = established(state);
    trace_write(t, 0, 100);
    set(t, TCP_OPT_USER_TIMEOUT, 60000);
    trace_advance(t, 10 * TG_S);
    set(t, TCP_OPT_USER_TIMEOUT, 12000);
    trace_advance(t, 1900 * TG_MS);
    node_expect_no_event(&t->node);
    trace_advance(t, 200 * TG_MS);
    node_expect_closed(&t->node, 0, TG_TIMEOUT);
    trace_end(t);
}

static void the_user_timeout_replaces_the_count_of_probes(void **state)
{
    struct trace *t = watched(state);
    set(t, TCP_OPT_USER_TIMEOUT, 21000); /* 11 s of probing: 6 of them, not 3 */
    trace_advance(t, 20900 * TG_MS);
    assert_int_equal(trace_skip(t), 6);
    node_expect_no_event(&t->node);
    trace_advance(t, 1200 * TG_MS);
    OUT(t, .flags = R | A, .seq = 1, .ack = 1);
    node_expect_closed(&t->node, 0, TG_TIMEOUT);
    trace_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(keepalive_is_off_unless_asked_for),
        BOTH(the_default_is_two_hours),
        BOTH(a_probe_that_is_answered_starts_the_wait_again),
        BOTH(only_the_last_probe_in_vain_ends_the_connection),
        BOTH(whatever_the_peer_sends_postpones_the_probe),
        BOTH(data_in_flight_needs_no_probe),
        BOTH(switched_off_it_stops),
        BOTH(a_listener_may_ask_for_it),
        BOTH(a_peer_probe_is_answered),
        BOTH(a_sleeper_that_answers_lives),
        BOTH(a_dead_peer_of_a_sleeper_is_found_out),
        BOTH(a_sleeper_that_cannot_be_woken_is_not_forgotten),
        BOTH(a_sleeper_may_get_keepalive),
        BOTH(an_orphan_is_not_probed),
        BOTH(without_a_user_timeout_bytes_wait_on),
        BOTH(the_sweep_rests_when_nobody_needs_it),
        BOTH(unacknowledged_bytes_end_it),
        BOTH(progress_starts_the_user_timeout_again),
        BOTH(a_window_shut_for_too_long_ends_it),
        BOTH(a_syn_without_an_answer_ends_it),
        BOTH(a_syn_answered_late_starts_afresh),
        BOTH(a_new_user_timeout_counts_from_the_last_progress),
        BOTH(the_user_timeout_replaces_the_count_of_probes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
