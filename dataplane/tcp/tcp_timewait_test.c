/* SPDX-License-Identifier: BSD-3-Clause
 * TIME-WAIT as a record: what it answers, what may reuse its tuple, when it goes, what it costs.
 */
#include "tcp/tcp_trace.h"

/* A connection that we have closed first and that has ended; TIME-WAIT is ours. */
static struct trace *ended(void **state, bool ts)
{
    struct trace *t = trace_start(state);
    t->ts = ts;
    trace_accept(t, (struct seg){.mss = 1000, .sack_ok = true});
    tcp_close(t->node.tcp, t->h);
    trace_collect(t);
    OUT(t, .flags = A | F, .seq = 1, .ack = 1);
    IN(t, .flags = A | F, .seq = 1, .ack = 2);
    OUT(t, .flags = A, .seq = 2, .ack = 2);
    assert_int_equal(tcp_connection_count(t->node.tcp), 0);
    assert_int_equal(tcp_time_wait_count(t->node.tcp), 1);
    return t;
}

static unsigned records(struct trace *t)
{
    return tcp_time_wait_count(t->node.tcp);
}

static void it_lasts_two_msl(void **state)
{
    struct trace *t = ended(state, false);
    trace_advance(t, 60 * TG_S - 20 * TG_MS);
    assert_int_equal(records(t), 1);
    trace_advance(t, 40 * TG_MS);
    assert_int_equal(records(t), 0);
    IN(t, .flags = A, .seq = 2, .ack = 2);
    OUT(t, .flags = R, .seq = 2);
    trace_end(t);
}

static void the_fin_again_is_acknowledged_and_restarts_the_clock(void **state)
{
    struct trace *t = ended(state, true);
    trace_advance(t, 50 * TG_S);
    IN(t, .flags = A | F, .seq = 1, .ack = 2);
    OUT(t, .flags = A, .seq = 2, .ack = 2);
    assert_true(t->out_options.has_timestamps);
    trace_advance(t, 50 * TG_S);
    assert_int_equal(records(t), 1);
    trace_advance(t, 11 * TG_S);
    assert_int_equal(records(t), 0);
    trace_end(t);
}

static void our_timestamps_go_on(void **state)
{
    struct trace *t = ended(state, true);
    uint32_t before = t->last_ts;
    trace_advance(t, 1000 * TG_MS);
    IN(t, .flags = A | F, .seq = 1, .ack = 2);
    OUT(t, .flags = A, .seq = 2, .ack = 2, .ts_value = before + 1000);
    trace_end(t);
}

/* RFC 1337: assassination by RST, old ACKs, old text. */
static void it_is_not_assassinated(void **state)
{
    struct trace *t = ended(state, false);
    IN(t, .flags = R, .seq = 2);
    IN(t, .flags = R | A, .seq = 2, .ack = 2);
    QUIET(t);
    assert_int_equal(records(t), 1);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 1); /* old text: ACK, whose answer may be a RST */
    OUT(t, .flags = A, .seq = 2, .ack = 2);
    IN(t, .flags = R, .seq = 2);
    assert_int_equal(records(t), 1);
    trace_end(t);
}

static void a_fitting_pure_ack_gets_no_answer(void **state)
{
    struct trace *t = ended(state, false);
    IN(t, .flags = A, .seq = 2, .ack = 2);
    QUIET(t);
    IN(t, .flags = A, .seq = 500, .ack = 2);
    OUT(t, .flags = A, .seq = 2, .ack = 2);
    trace_end(t);
}

static void old_syns_are_acknowledged(void **state)
{
    struct trace *t = ended(state, false);
    IN(t, .flags = S, .seq = 0);
    OUT(t, .flags = A, .seq = 2, .ack = 2);
    IN(t, .flags = S | A, .seq = 7, .ack = 1);
    OUT(t, .flags = A, .seq = 2, .ack = 2);
    IN(t, .flags = S, .seq = 0x80000100); /* behind */
    OUT(t, .flags = A, .seq = 2, .ack = 2);
    assert_int_equal(records(t), 1);
    trace_end(t);
}

/* RFC 9293 s3.6.1, RFC 6191: the same tuple may open again when the SYN is provably new. */
static void a_higher_isn_reopens(void **state)
{
    struct trace *t = ended(state, false);
    uint32_t old_end = t->our_iss + 2;
    IN(t, .flags = S, .seq = 3);
    OUT(t, .flags = S | A, .seq = 0, .ack = 4);
    assert_true(seq_lt(old_end + 65535, t->our_iss)); /* no late segment of ours can fit */
    assert_int_equal(records(t), 0);
    IN(t, .flags = A, .seq = 4, .ack = 1);
    t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
    trace_end(t);
}

static void a_higher_timestamp_reopens(void **state)
{
    struct trace *t = ended(state, true);
    uint32_t now = (uint32_t)(t->node.now / TG_MS);
    IN(t, .flags = S, .seq = 0x90000000, .ts_value = now - 1, .sack_ok = true); /* older */
    OUT(t, .flags = A, .seq = 2, .ack = 2);
    IN(t, .flags = S, .seq = 0x90000000, .ts_value = now + 1); /* any ISN then */
    OUT(t, .flags = S | A, .seq = 0, .ack = 0x90000001);
    assert_int_equal(records(t), 0);
    trace_end(t);
}

static void reopening_without_a_listener_is_refused(void **state)
{
    struct trace *t = ended(state, false);
    tcp_unlisten(t->node.tcp, 80);
    IN(t, .flags = S, .seq = 3);
    OUT(t, .flags = R | A, .seq = ANY, .ack = 4);
    trace_end(t);
}

static void a_fast_sender_reopens_above_what_it_sent(void **state)
{
    struct trace *t = trace_start(state);
    trace_accept(t, (struct seg){.mss = 1000, .wscale_plus_1 = 8});
    trace_pcb(t)->act->cwnd = 1u << 29;
    uint32_t at = 0;
    for (unsigned i = 0; i < 60; i++) { /* 3 MB in no time: faster than the ISN clock's 250 KB/s */
        trace_write(t, at, 50000);
        at += 50000;
        trace_skip(t);
        IN(t, .flags = A, .seq = 1, .ack = 1 + at);
    }
    tcp_close(t->node.tcp, t->h);
    trace_collect(t);
    trace_skip(t);
    uint32_t old_end = t->our_iss + at + 2;
    IN(t, .flags = A | F, .seq = 1, .ack = at + 2);
    OUT(t, .flags = A, .seq = at + 2, .ack = 2);
    IN(t, .flags = S, .seq = 1000);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1001);
    assert_true(seq_lt(old_end + 65535, t->our_iss));
    trace_end(t);
}

static void active_opens_avoid_the_tuple(void **state)
{
    struct trace *t = trace_start(state);
    trace_connect(t, 0);
    IN(t, .flags = S | A, .seq = 0, .ack = 1, .mss = 1000);
    trace_skip(t);
    uint16_t port = t->tuple.local_port;
    tcp_close(t->node.tcp, t->h);
    trace_collect(t);
    trace_skip(t);
    IN(t, .flags = A | F, .seq = 1, .ack = 2);
    trace_skip(t);
    assert_int_equal(records(t), 1);
    for (unsigned i = 0; i < 50; i++) {
        t->node.tcp->next_port = (uint16_t)(t->node.tcp->next_port - 1); /* offer the same again */
        trace_connect(t, 0);
        assert_int_not_equal(t->tuple.local_port, port);
        tcp_abort(t->node.tcp, t->h);
    }
    trace_end(t);
}

static void the_oldest_is_evicted(void **state)
{
    struct trace *t = trace_start(state); /* time_wait_max 32 */
    for (unsigned i = 0; i < 40; i++) {
        t->tuple.remote_port = (uint16_t)(1000 + i);
        trace_accept(t, (struct seg){.mss = 1000});
        tcp_close(t->node.tcp, t->h);
        trace_collect(t);
        trace_skip(t);
        IN(t, .flags = A | F, .seq = 1, .ack = 2);
        trace_skip(t);
        trace_advance(t, 10 * TG_MS);
        assert_int_equal(records(t), i < 32 ? i + 1 : 32);
    }
    for (unsigned i = 0; i < 40; i++) {
        t->tuple.remote_port = (uint16_t)(1000 + i);
        uint32_t flow;
        assert_int_equal(
            tcp_owns(t->node.tcp, &t->tuple, wire_tuple_hash(&t->node.toeplitz, &t->tuple), &flow),
            i >= 8);
    }
    trace_advance(t, 61 * TG_S);
    assert_int_equal(records(t), 0);
    trace_end(t);
}

static void records_leave_the_middle_of_the_ring(void **state)
{
    struct trace *t = trace_start(state);
    struct prng p;
    prng_seed(&p, 3);
    for (unsigned i = 0; i < 400; i++) {
        t->tuple.remote_port = (uint16_t)(1000 + prng_below(&p, 40));
        uint32_t flow;
        uint32_t hash = wire_tuple_hash(&t->node.toeplitz, &t->tuple);
        if (tcp_owns(t->node.tcp, &t->tuple, hash, &flow)) { /* reopen it */
            uint32_t rcv_nxt = t->node.tcp->tw.records[flow & ~TCP_FLOW_TW].rcv_nxt;
            t->peer_iss = rcv_nxt + 1;
        }
        trace_accept(t, (struct seg){.mss = 1000});
        tcp_close(t->node.tcp, t->h);
        trace_collect(t);
        trace_skip(t);
        IN(t, .flags = A | F, .seq = 1, .ack = 2);
        if (prng_below(&p, 3) == 0)
            IN(t, .flags = A | F, .seq = 1, .ack = 2);
        trace_skip(t);
        trace_advance(t, prng_below(&p, 4000) * TG_MS);
        assert_true(records(t) <= 32);
    }
    trace_advance(t, 70 * TG_S);
    assert_int_equal(records(t), 0);
    assert_int_equal(t->node.tcp->flows.count, 0);
    trace_end(t);
}

static void without_records_the_tuple_is_free_at_once(void **state)
{
    struct tcp_config c = node_config();
    c.time_wait_max = 0;
    struct trace *t = trace_new(&c, trace_is6(state));
    trace_accept(t, (struct seg){.mss = 1000});
    tcp_close(t->node.tcp, t->h);
    trace_collect(t);
    trace_skip(t);
    IN(t, .flags = A | F, .seq = 1, .ack = 2);
    OUT(t, .flags = A, .seq = 2, .ack = 2);
    assert_int_equal(records(t), 0);
    IN(t, .flags = A | F, .seq = 1, .ack = 2);
    OUT(t, .flags = R, .seq = 2);
    trace_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(it_lasts_two_msl),
        BOTH(the_fin_again_is_acknowledged_and_restarts_the_clock),
        BOTH(our_timestamps_go_on),
        BOTH(it_is_not_assassinated),
        BOTH(a_fitting_pure_ack_gets_no_answer),
        BOTH(old_syns_are_acknowledged),
        BOTH(a_higher_isn_reopens),
        BOTH(a_higher_timestamp_reopens),
        BOTH(reopening_without_a_listener_is_refused),
        BOTH(a_fast_sender_reopens_above_what_it_sent),
        BOTH(active_opens_avoid_the_tuple),
        BOTH(the_oldest_is_evicted),
        BOTH(records_leave_the_middle_of_the_ring),
        BOTH(without_records_the_tuple_is_free_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
