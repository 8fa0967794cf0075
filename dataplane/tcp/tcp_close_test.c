/* SPDX-License-Identifier: BSD-3-Clause
 * Closing: half-close, both orders, crossing FINs, abort, users that leave early, what dies when.
 */
#include "tcp/tcp_trace.h"

static struct trace *established(void **state)
{
    return trace_established(state, (struct seg){.mss = 1000, .sack_ok = true});
}

static unsigned connections(struct trace *t)
{
    return tcp_connection_count(t->node.tcp);
}

static unsigned time_waits(struct trace *t)
{
    return tcp_time_wait_count(t->node.tcp);
}

static void we_close_first(void **state)
{
    struct trace *t = established(state);
    tcp_shutdown(t->node.tcp, t->h);
    tcp_shutdown(t->node.tcp, t->h); /* idempotent */
    trace_collect(t);
    OUT(t, .flags = A | F, .seq = 1, .ack = 1);
    QUIET(t);
    assert_int_equal(trace_info(t).state, TCP_S_FIN_WAIT_1);
    assert_int_equal(tcp_write(t->node.tcp, t->h, SPAN_LITERAL("x")), 0);
    IN(t, .flags = A, .seq = 1, .ack = 2);
    assert_int_equal(trace_info(t).state, TCP_S_FIN_WAIT_2);
    IN(t, .flags = A, .seq = 1, .ack = 2, .len = 300); /* half-close: the peer may go on */
    node_expect_event(&t->node, TCP_EV_READABLE);
    trace_read(t, 0, 300);
    trace_skip(t);
    IN(t, .flags = A | F, .seq = 301, .ack = 2);
    OUT(t, .flags = A, .seq = 2, .ack = 302);
    node_expect_closed(&t->node, TCP_EV_PEER_FIN, TG_END);
    assert_int_equal(connections(t), 0);
    assert_int_equal(time_waits(t), 1);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_closed), 1);
    trace_end(t);
}

static void the_peer_closes_first(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A | F, .seq = 1, .ack = 1);
    OUT(t, .flags = A, .seq = 1, .ack = 2);
    node_expect_event(&t->node, TCP_EV_PEER_FIN);
    assert_int_equal(trace_info(t).state, TCP_S_CLOSE_WAIT);
    assert_true(tcp_at_end(t->node.tcp, t->h));
    trace_write(t, 0, 500); /* half-close the other way */
    OUT(t, .flags = A, .seq = 1, .ack = 2, .len = 500);
    tcp_shutdown(t->node.tcp, t->h);
    trace_collect(t);
    OUT(t, .flags = A | F, .seq = 501, .ack = 2);
    assert_int_equal(trace_info(t).state, TCP_S_LAST_ACK);
    IN(t, .flags = A, .seq = 2, .ack = 501);
    assert_int_equal(trace_info(t).state, TCP_S_LAST_ACK);
    IN(t, .flags = A, .seq = 2, .ack = 502);
    node_expect_closed(&t->node, 0, TG_END);
    assert_int_equal(connections(t) + time_waits(t), 0); /* TIME-WAIT is the peer's */
    trace_end(t);
}

static void fins_cross(void **state)
{
    struct trace *t = established(state);
    tcp_shutdown(t->node.tcp, t->h);
    trace_collect(t);
    OUT(t, .flags = A | F, .seq = 1, .ack = 1);
    IN(t, .flags = A | F, .seq = 1, .ack = 1);
    OUT(t, .flags = A, .seq = 2, .ack = 2);
    assert_int_equal(trace_info(t).state, TCP_S_CLOSING);
    node_expect_event(&t->node, TCP_EV_PEER_FIN);
    IN(t, .flags = A, .seq = 2, .ack = 2);
    QUIET(t);
    node_expect_closed(&t->node, 0, TG_END);
    assert_int_equal(time_waits(t), 1);
    trace_end(t);
}

static void fin_and_its_ack_in_one(void **state)
{
    struct trace *t = established(state);
    tcp_shutdown(t->node.tcp, t->h);
    trace_collect(t);
    trace_skip(t);
    IN(t, .flags = A | F, .seq = 1, .ack = 2, .len = 10); /* FIN-WAIT-1 straight to TIME-WAIT */
    OUT(t, .flags = A, .seq = 2, .ack = 12);
    /* What came is read first, then the end is told. */
    struct tcp_event e = node_event(&t->node);
    assert_int_equal(e.bits, TCP_EV_READABLE | TCP_EV_PEER_FIN);
    assert_int_equal(trace_info(t).state, TCP_S_TIME_WAIT);
    assert_int_equal(time_waits(t), 1);
    assert_int_equal(tcp_unread(t->node.tcp, t->h), 10);
    trace_read(t, 0, 5);
    node_expect_no_event(&t->node);
    assert_false(tcp_at_end(t->node.tcp, t->h));
    trace_read(t, 5, 5);
    assert_true(tcp_at_end(t->node.tcp, t->h));
    node_expect_closed(&t->node, 0, TG_END);
    assert_int_equal(connections(t), 0);
    trace_end(t);
}

static void a_lost_fin_is_sent_again(void **state)
{
    struct trace *t = established(state);
    tcp_shutdown(t->node.tcp, t->h);
    trace_collect(t);
    OUT(t, .flags = A | F, .seq = 1, .ack = 1);
    trace_advance(t, trace_info(t).rto + 3 * TG_MS);
    OUT(t, .flags = A | F, .seq = 1, .ack = 1);
    trace_advance(t, 2 * trace_info(t).rto + 3 * TG_MS);
    OUT(t, .flags = A | F, .seq = 1, .ack = 1);
    IN(t, .flags = A, .seq = 1, .ack = 2);
    trace_advance(t, 3600 * TG_S);
    QUIET(t); /* with a user, FIN-WAIT-2 lasts as long as the user wants */
    assert_int_equal(trace_info(t).state, TCP_S_FIN_WAIT_2);
    trace_end(t);
}

/* --- tcp_close: the user is gone --------------------------------------------------------------------------------- */

static void a_closed_handle_is_dead_at_once(void **state)
{
    struct trace *t = established(state);
    trace_write(t, 0, 100);
    tcp_close(t->node.tcp, t->h);
    struct tcp_info info;
    struct span_room room;
    struct span span;
    struct tcp *tcp = t->node.tcp;
    assert_int_equal(tcp_get_info(tcp, t->h, &info), TG_STALE);
    assert_int_equal(tcp_writable(tcp, t->h), 0);
    assert_int_equal(tcp_write(tcp, t->h, SPAN_LITERAL("x")), 0);
    assert_int_equal(tcp_reserve(tcp, t->h, 1, &room), TG_STALE);
    tcp_commit(tcp, t->h, 5);
    assert_int_equal(tcp_peek(tcp, t->h, &span, 1), 0);
    assert_null(tcp_take(tcp, t->h, 100));
    assert_false(tcp_at_end(tcp, t->h));
    assert_int_equal(tcp_unread(tcp, t->h), 0);
    tcp_consume(tcp, t->h, 1);
    tcp_cork(tcp, t->h, true);
    tcp_set_user(tcp, t->h, 1);
    tcp_shutdown(tcp, t->h);
    tcp_close(tcp, t->h);
    tcp_abort(tcp, t->h);
    struct buf *b = buf_alloc(&t->node.pool.pool);
    assert_int_equal(tcp_send_buf(tcp, t->h, b), TG_STALE);
    buf_unref(&t->node.pool.pool, b);
    trace_collect(t);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 100);
    OUT(t, .flags = A | F, .seq = 101, .ack = 1);
    IN(t, .flags = A | F, .seq = 1, .ack = 102);
    OUT(t, .flags = A, .seq = 102, .ack = 2);
    node_expect_no_event(&t->node);
    assert_int_equal(connections(t), 0);
    assert_int_equal(time_waits(t), 1);
    trace_end(t);
}

static void text_after_close_is_reset(void **state)
{
    struct trace *t = established(state);
    tcp_close(t->node.tcp, t->h);
    trace_collect(t);
    OUT(t, .flags = A | F, .seq = 1, .ack = 1);
    IN(t, .flags = A, .seq = 1, .ack = 2); /* nothing new: fine */
    QUIET(t);
    IN(t, .flags = A, .seq = 1, .ack = 2, .len = 10);
    OUT(t, .flags = R | A, .seq = 2, .ack = 1);
    assert_int_equal(connections(t) + time_waits(t), 0);
    IN(t, .flags = A, .seq = 11, .ack = 2, .len = 10);
    OUT(t, .flags = R, .seq = 2);
    trace_end(t);
}

/* RFC 9293 s3.6.1, SHLD-3; RFC 2525 s2.17. */
static void a_close_with_unread_text_is_a_reset(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 1000);
    trace_skip(t);
    tcp_close(t->node.tcp, t->h);
    trace_collect(t);
    OUT(t, .flags = R | A, .seq = 1, .ack = 1001);
    node_expect_no_event(&t->node);
    assert_int_equal(connections(t) + time_waits(t), 0);
    trace_end(t);
}

static void unread_text_may_go_with_the_handle(void **state)
{
    struct trace *t = established(state);
    assert_int_equal(tcp_set_option(t->node.tcp, t->h, TCP_OPT_RESET_UNREAD, 0), TG_OK);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 1000);
    IN(t, .flags = A, .seq = 5001, .ack = 1, .len = 1000);
    trace_skip(t);
    tcp_close(t->node.tcp, t->h);
    trace_collect(t);
    OUT(t, .flags = A | F, .seq = 1, .ack = 1001);
    node_expect_no_event(&t->node); /* READABLE is not reported any more */
    IN(t, .flags = A, .seq = 1001, .ack = 2);
    trace_advance(t, 61 * TG_S);
    assert_int_equal(connections(t), 0);
    trace_end(t);
}

static void an_orphan_does_not_wait_for_ever_in_fin_wait_2(void **state)
{
    struct trace *t = established(state);
    tcp_close(t->node.tcp, t->h);
    trace_collect(t);
    trace_skip(t);
    IN(t, .flags = A, .seq = 1, .ack = 2);
    trace_advance(t, 59 * TG_S);
    assert_int_equal(connections(t), 1);
    trace_advance(t, 2 * TG_S);
    assert_int_equal(connections(t) + time_waits(t), 0);
    node_expect_no_event(&t->node);
    QUIET(t);
    trace_end(t);
}

static void closing_in_fin_wait_2_starts_its_clock(void **state)
{
    struct trace *t = established(state);
    tcp_shutdown(t->node.tcp, t->h);
    trace_collect(t);
    trace_skip(t);
    IN(t, .flags = A, .seq = 1, .ack = 2);
    trace_advance(t, 600 * TG_S);
    assert_int_equal(trace_info(t).state, TCP_S_FIN_WAIT_2);
    tcp_close(t->node.tcp, t->h);
    trace_advance(t, 61 * TG_S);
    assert_int_equal(connections(t), 0);
    trace_end(t);
}

/* A SACK block is a sign of life, and a sample, which undoes the backoff: the count begins anew with it. */
static void an_orphan_lives_while_something_arrives(void **state)
{
    struct trace *t = trace_start(state);
    trace_accept(t, (struct seg){.mss = 1000, .sack_ok = true});
    trace_write(t, 0, 100);
    trace_advance(t, 26 * TG_S); /* 7 timeouts, each twice the one before, from 200 ms on */
    trace_write(t, 100, 100);
    tcp_close(t->node.tcp, t->h);
    trace_collect(t);
    trace_skip(t);
    IN(t, .flags = A, .seq = 1, .ack = 1, .sack = {{101, 201}});
    trace_advance(t, 26 * TG_S);
    trace_skip(t);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_timed_out), 0);
    trace_advance(t, 200 * TG_S);
    trace_skip(t);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_timed_out), 1);
    trace_end(t);
}

static void an_orphan_gives_up_early(void **state)
{
    struct trace *t = established(state);
    trace_write(t, 0, 100);
    tcp_close(t->node.tcp, t->h);
    trace_collect(t);
    trace_skip(t);
    trace_advance(t, 200 * TG_S);
    assert_int_equal(trace_skip(t),
                     1 + 2 * TCP_ORPHAN_RETRIES); /* a probe; text and FIN each time */
    assert_int_equal(connections(t), 0);
    node_expect_no_event(&t->node);
    trace_end(t);
}

static void closing_an_active_open(void **state)
{
    struct trace *t = trace_start(state);
    trace_connect(t, 0);
    tcp_close(t->node.tcp, t->h);
    trace_collect(t);
    QUIET(t);
    assert_int_equal(connections(t), 0);
    IN(t, .flags = S | A, .seq = 0, .ack = 1);
    OUT(t, .flags = R, .seq = 1);
    trace_end(t);
}

static void closing_what_is_over_frees_it(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 10);
    IN(t, .flags = R, .seq = 11);
    assert_int_equal(connections(t), 1); /* unread text */
    tcp_close(t->node.tcp, t->h);
    assert_int_equal(connections(t), 0);
    node_expect_no_event(&t->node);
    trace_end(t);
}

/* --- abort ------------------------------------------------------------------------------------------------------- */

static void abort_resets(void **state)
{
    struct trace *t = established(state);
    trace_write(t, 0, 3000);
    trace_skip(t);
    IN(t, .flags = A, .seq = 1, .ack = 1001, .len = 50);
    tcp_abort(t->node.tcp, t->h);
    trace_collect(t);
    OUT(t, .flags = R | A, .seq = 3001, .ack = 51);
    node_expect_no_event(&t->node);
    assert_int_equal(connections(t), 0);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_aborted), 1);
    trace_end(t);
}

static void abort_of_an_active_open_is_silent(void **state)
{
    struct trace *t = trace_start(state);
    trace_connect(t, 0);
    tcp_abort(t->node.tcp, t->h);
    trace_collect(t);
    QUIET(t);
    assert_int_equal(connections(t), 0);
    trace_end(t);
}

/* --- events ------------------------------------------------------------------------------------------------------- */

static void a_connection_that_nobody_saw_dies_silently(void **state)
{
    struct trace *t = trace_start(state);
    IN(t, .flags = S);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 10);
    IN(t, .flags = R, .seq = 11);
    node_expect_no_event(&t->node);
    assert_int_equal(connections(t), 0);
    trace_end(t);
}

static void handles_are_not_used_twice(void **state)
{
    struct trace *t = trace_start(state);
    tcp_handle seen[20];
    for (unsigned i = 0; i < 20; i++) {
        t->tuple.remote_port = (uint16_t)(1000 + i);
        trace_accept(t, (struct seg){.mss = 1000});
        seen[i] = t->h;
        for (unsigned k = 0; k < i; k++)
            assert_true(seen[k] != t->h);
        assert_int_equal(tcp_handle_index(t->h), 0); /* the same place again and again */
        tcp_abort(t->node.tcp, t->h);
        trace_collect(t);
        trace_skip(t);
    }
    trace_end(t);
}

static void the_users_word_comes_back(void **state)
{
    struct trace *t = established(state);
    tcp_set_user(t->node.tcp, t->h, 0x123456789abcdefu);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 10);
    struct tcp_event e = node_event(&t->node);
    assert_true(e.user == 0x123456789abcdefu);
    assert_int_equal(e.tag, 0);
    trace_end(t);
}

static void events_come_in_batches_and_in_order(void **state)
{
    struct trace *t = trace_start(state);
    tcp_handle h[5];
    for (unsigned i = 0; i < 5; i++) {
        t->tuple.remote_port = (uint16_t)(1000 + i);
        trace_accept(t, (struct seg){.mss = 1000});
        h[i] = t->h;
    }
    for (unsigned i = 0; i < 5; i++) {
        t->tuple.remote_port = (uint16_t)(1004 - i);
        t->our_iss = tcp_pcb_find(t->node.tcp, h[4 - i])->act->iss;
        IN(t, .flags = A, .seq = 1, .ack = 1, .len = 10);
    }
    struct tcp_event e[8];
    assert_int_equal(tcp_events(t->node.tcp, e, 3), 3);
    assert_int_equal(tcp_events(t->node.tcp, e + 3, 5), 2);
    for (unsigned i = 0; i < 5; i++)
        assert_true(e[i].handle == h[4 - i]);
    trace_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(we_close_first),
        BOTH(the_peer_closes_first),
        BOTH(fins_cross),
        BOTH(fin_and_its_ack_in_one),
        BOTH(a_lost_fin_is_sent_again),
        BOTH(a_closed_handle_is_dead_at_once),
        BOTH(text_after_close_is_reset),
        BOTH(a_close_with_unread_text_is_a_reset),
        BOTH(unread_text_may_go_with_the_handle),
        BOTH(an_orphan_does_not_wait_for_ever_in_fin_wait_2),
        BOTH(closing_in_fin_wait_2_starts_its_clock),
        BOTH(an_orphan_gives_up_early),
        BOTH(an_orphan_lives_while_something_arrives),
        BOTH(closing_an_active_open),
        BOTH(closing_what_is_over_frees_it),
        BOTH(abort_resets),
        BOTH(abort_of_an_active_open_is_silent),
        BOTH(a_connection_that_nobody_saw_dies_silently),
        BOTH(handles_are_not_used_twice),
        BOTH(the_users_word_comes_back),
        BOTH(events_come_in_batches_and_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
