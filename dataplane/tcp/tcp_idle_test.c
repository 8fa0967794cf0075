/* SPDX-License-Identifier: BSD-3-Clause
 * Connections that sleep: fewer active parts than connections. Who is put to sleep, what wakes it, that it
 * goes on exactly where it was, and what happens when every active part is taken by one that is busy.
 */
#include "tcp/tcp_trace.h"

#define MSS 1000u

struct name {
    uint16_t port;
    uint32_t our_iss;
    tcp_handle h;
};

static struct trace *start(void **state, uint32_t active_max)
{
    struct tcp_config c = node_config();
    c.active_max = active_max;
    struct trace *t = trace_new(&c, trace_is6(state));
    t->ts = true;
    return t;
}

static void use(struct trace *t, const struct name *name)
{
    t->tuple.remote_port = name->port;
    t->our_iss = name->our_iss;
    t->h = name->h;
}

static struct name open_one(struct trace *t, uint16_t port)
{
    t->tuple.remote_port = port;
    trace_accept(t, (struct seg){PEER_OPTIONS});
    return (struct name){port, t->our_iss, t->h};
}

static bool asleep(struct trace *t, const struct name *name)
{
    struct tcp_pcb *pcb = tcp_pcb_find(t->node.tcp, name->h);
    assert_non_null(pcb);
    return pcb->act == NULL;
}

/* Something in flight: it cannot sleep. */
static void make_busy(struct trace *t, const struct name *name)
{
    use(t, name);
    trace_write(t, 0, 100);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 100);
}

static void make_idle(struct trace *t, const struct name *name)
{
    use(t, name);
    IN(t, .flags = A, .seq = 1, .ack = 101);
}

static void the_one_that_rested_longest_sleeps(void **state)
{
    struct trace *t = start(state, 2);
    struct name a = open_one(t, 1001), b = open_one(t, 1002);
    assert_false(asleep(t, &a) || asleep(t, &b));
    struct name c = open_one(t, 1003);
    assert_true(asleep(t, &a));
    assert_false(asleep(t, &b));
    assert_int_equal(node_counted(&t->node, TG_C_tcp_sleeps), 1);
    use(t, &b); /* b has moved since: now c is the one that rests */
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 10);
    node_expect_event(&t->node, TCP_EV_READABLE);
    trace_read(t, 0, 10);
    trace_advance(t, 50 * TG_MS);
    OUT(t, .flags = A, .seq = 1, .ack = 11);
    tcp_pcb_find(t->node.tcp, c.h)->flags &= ~(uint32_t)TCP_F_RECENT;
    (void)open_one(t, 1004);
    assert_true(asleep(t, &c));
    assert_false(asleep(t, &b));
    assert_int_equal(tcp_connection_count(t->node.tcp), 4);
    trace_end(t);
}

static void a_segment_wakes_it_where_it_was(void **state)
{
    struct trace *t = start(state, 1);
    struct name a = open_one(t, 1001);
    use(t, &a);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 500);
    trace_advance(t, 100 * TG_MS); /* the delayed ACK */
    OUT(t, .flags = A, .seq = 1, .ack = 501);
    node_expect_event(&t->node, TCP_EV_READABLE);
    trace_read(t, 0, 500);
    tg_ns srtt = trace_info(t).srtt;
    struct name b = open_one(t, 1002);
    assert_true(asleep(t, &a));
    use(t, &a);
    struct tcp_info info = trace_info(t);
    assert_int_equal(info.state, TCP_S_ESTABLISHED);
    assert_int_equal(info.srtt, srtt);
    assert_int_equal(info.unread + info.unacked + info.unsent, 0);
    assert_false(tcp_at_end(t->node.tcp, t->h));
    assert_null(tcp_take(t->node.tcp, t->h, 100));
    assert_int_equal(tcp_peek(t->node.tcp, t->h, &(struct span){0}, 1), 0);
    IN(t, .flags = A, .seq = 501, .ack = 1, .len = 700);
    assert_false(asleep(t, &a));
    assert_true(asleep(t, &b));
    assert_int_equal(node_expect_event(&t->node, TCP_EV_READABLE), a.h);
    trace_read(t, 500, 700);
    trace_advance(t, 100 * TG_MS);
    OUT(t, .flags = A, .seq = 1, .ack = 1201);
    trace_end(t);
}

static void a_write_wakes_it_with_the_initial_window(void **state)
{
    struct trace *t = start(state, 1);
    struct name a = open_one(t, 1001);
    (void)open_one(t, 1002);
    assert_true(asleep(t, &a));
    assert_int_equal(tcp_writable(t->node.tcp, a.h), 65536);
    use(t, &a);
    trace_write(t, 0, 20000);
    assert_false(asleep(t, &a));
    assert_int_equal(trace_info(t).cwnd, tcp_initial_window(trace_pcb(t)));
    assert_int_equal(trace_skip(t), 10);
    IN(t, .flags = A, .seq = 1, .ack = 1 + 10 * 1000u);
    assert_int_equal(trace_skip(t), 10);
    IN(t, .flags = A, .seq = 1, .ack = 20001);
    assert_int_equal(trace_info(t).unacked, 0);
    trace_end(t);
}

static void nobody_idle_means_refused_and_later_heard(void **state)
{
    struct trace *t = start(state, 2);
    struct name a = open_one(t, 1001), b = open_one(t, 1002), c = open_one(t, 1003);
    assert_true(asleep(t, &a));
    make_busy(t, &b);
    make_busy(t, &c);
    /* neither a new connection nor a sleeper's segment finds a place */
    t->tuple.remote_port = 1004;
    uint64_t full = node_counted(&t->node, TG_C_tcp_active_full);
    tcp_handle h = TCP_NONE;
    assert_int_equal(tcp_connect(t->node.tcp, NULL, &t->tuple.remote, 443, 0, 5, t->node.now, &h),
                     TG_FULL);
    use(t, &a);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 10);
    QUIET(t);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_active_full), full + 2);
    assert_true(asleep(t, &a));
    make_idle(t, &b);
    use(t, &a);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 10); /* sent again */
    assert_int_equal(node_expect_event(&t->node, TCP_EV_READABLE), a.h);
    assert_true(asleep(t, &b));
    trace_end(t);
}

static void a_writer_waits_in_line(void **state)
{
    struct trace *t = start(state, 1);
    struct name a = open_one(t, 1001), b = open_one(t, 1002);
    make_busy(t, &b);
    struct span_room room;
    assert_int_equal(tcp_reserve(t->node.tcp, a.h, 1, &room), TG_AGAIN);
    assert_int_equal(tcp_write(t->node.tcp, a.h, SPAN_LITERAL("x")), 0); /* twice is once */
    assert_null(tcp_check(t->node.tcp));
    node_expect_no_event(&t->node);
    tcp_abort(t->node.tcp, b.h);
    trace_collect(t);
    assert_int_equal(node_expect_event(&t->node, TCP_EV_WRITABLE), a.h);
    assert_int_equal(trace_skip(t), 1); /* the RST */
    use(t, &a);
    trace_write(t, 0, 10);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 10);
    trace_end(t);
}

static void a_close_waits_in_line(void **state)
{
    struct trace *t = start(state, 1);
    struct name a = open_one(t, 1001), b = open_one(t, 1002);
    make_busy(t, &b);
    tcp_close(t->node.tcp, a.h);
    trace_collect(t);
    QUIET(t);
    assert_null(tcp_check(t->node.tcp));
    use(t, &b);
    IN(t, .flags = R, .seq = 1);
    node_expect_event(&t->node, TCP_EV_CLOSED);
    trace_collect(t);
    use(t, &a);
    OUT(t, .flags = F | A, .seq = 1, .ack = 1);
    IN(t, .flags = F | A, .seq = 1, .ack = 2);
    OUT(t, .flags = A, .seq = 2, .ack = 2);
    assert_int_equal(tcp_connection_count(t->node.tcp), 0);
    assert_int_equal(tcp_time_wait_count(t->node.tcp), 1);
    trace_end(t);
}

/* Found by tcp_pair_fuzz: a call of the user's own woke it, it left the line, and its FIN never left. */
static void who_wakes_it_early_does_not_cost_its_fin(void **state)
{
    struct trace *t = start(state, 1);
    struct name a = open_one(t, 1001), b = open_one(t, 1002);
    make_busy(t, &b);
    tcp_shutdown(t->node.tcp, a.h);
    trace_collect(t);
    QUIET(t);
    use(t, &b); /* idle, and no turn has passed since */
    struct seg ack = {.flags = A, .seq = 1, .ack = 101};
    assert_int_equal(node_receive(&t->node, trace_make(t, &ack)), TG_C_none);
    assert_true(asleep(t, &b) && asleep(t, &a));
    assert_int_equal(tcp_write(t->node.tcp, a.h, SPAN_LITERAL("x")), 0);
    trace_collect(t);
    use(t, &a);
    OUT(t, .flags = F | A, .seq = 1, .ack = 1);
    trace_end(t);
}

static void who_becomes_idle_makes_room_for_the_line(void **state)
{
    struct trace *t = start(state, 2);
    struct name a = open_one(t, 1001), b = open_one(t, 1002), c = open_one(t, 1003);
    make_busy(t, &b);
    make_busy(t, &c);
    tcp_shutdown(t->node.tcp, a.h);
    trace_collect(t);
    QUIET(t);
    make_idle(t, &b);
    assert_true(asleep(t, &b));
    use(t, &a);
    OUT(t, .flags = F | A, .seq = 1, .ack = 1);
    trace_end(t);
}

/* The last thing that kept it busy were bytes that its user now reads: no segment comes by afterwards. */
static void who_becomes_idle_in_silence_makes_room_too(void **state)
{
    struct trace *t = start(state, 1);
    struct name a = open_one(t, 1001), b = open_one(t, 1002);
    use(t, &b);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 10);
    node_expect_event(&t->node, TCP_EV_READABLE);
    trace_advance(t, 50 * TG_MS);
    OUT(t, .flags = A, .seq = 1, .ack = 11);
    tcp_close(t->node.tcp, a.h);
    trace_collect(t);
    QUIET(t);
    trace_read(t, 0, 10);
    assert_true(asleep(t, &b));
    use(t, &a);
    OUT(t, .flags = F | A, .seq = 1, .ack = 1);
    trace_end(t);
}

static void one_that_waits_may_be_aborted(void **state)
{
    struct trace *t = start(state, 1);
    struct name a = open_one(t, 1001), b = open_one(t, 1002), c = open_one(t, 1003);
    make_busy(t, &c);
    struct span_room room;
    assert_int_equal(tcp_reserve(t->node.tcp, a.h, 1, &room), TG_AGAIN);
    assert_int_equal(tcp_reserve(t->node.tcp, b.h, 1, &room), TG_AGAIN);
    tcp_abort(t->node.tcp, b.h); /* the last in line */
    assert_null(tcp_check(t->node.tcp));
    tcp_abort(t->node.tcp, a.h); /* the first */
    assert_null(tcp_check(t->node.tcp));
    trace_collect(t);
    assert_int_equal(trace_skip(t), 2);
    tcp_abort(t->node.tcp, c.h);
    trace_collect(t);
    node_expect_no_event(&t->node);
    assert_int_equal(tcp_connection_count(t->node.tcp), 0);
    trace_end(t);
}

/* Beyond half of the active parts nobody keeps one who has nothing to do. */
static void scarce_parts_are_given_up_at_once(void **state)
{
    struct trace *t = start(state, 4);
    struct name a = open_one(t, 1001), b = open_one(t, 1002), c = open_one(t, 1003);
    make_busy(t, &a);
    make_busy(t, &b);
    make_busy(t, &c);
    make_idle(t, &c); /* the third of four */
    assert_true(asleep(t, &c));
    make_idle(t, &b);
    assert_false(asleep(t, &b));
    assert_null(tcp_check(t->node.tcp));
    trace_end(t);
}

static void only_the_idle_sleep(void **state)
{
    struct trace *t = start(state, 8);
    struct name a = open_one(t, 1001), b = open_one(t, 1002), c = open_one(t, 1003),
                d = open_one(t, 1004);
    use(&t[0], &a);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 10); /* unread, and its ACK is owed */
    make_busy(t, &b);
    use(t, &c);
    IN(t, .flags = A, .seq = 11, .ack = 1, .len = 10); /* early */
    trace_skip(t);
    assert_int_equal(tcp_sleep(t->node.tcp, 10), 1);
    assert_true(asleep(t, &d));
    assert_null(tcp_check(t->node.tcp));
    trace_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(the_one_that_rested_longest_sleeps),
        BOTH(a_segment_wakes_it_where_it_was),
        BOTH(a_write_wakes_it_with_the_initial_window),
        BOTH(nobody_idle_means_refused_and_later_heard),
        BOTH(a_writer_waits_in_line),
        BOTH(a_close_waits_in_line),
        BOTH(who_wakes_it_early_does_not_cost_its_fin),
        BOTH(who_becomes_idle_makes_room_for_the_line),
        BOTH(who_becomes_idle_in_silence_makes_room_too),
        BOTH(one_that_waits_may_be_aborted),
        BOTH(scarce_parts_are_given_up_at_once),
        BOTH(only_the_idle_sleep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
