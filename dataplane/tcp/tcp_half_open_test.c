/* SPDX-License-Identifier: BSD-3-Clause
 * Half-open connections in the SYN cache: what each kind of segment does to one (RFC 9293 s3.10.7.4 for
 * SYN-RECEIVED), its clock, what it costs, and what becomes of it.
 */
#include "tcp/tcp_syn_trace.h"

static uint64_t count(struct trace *t, enum tg_counter c)
{
    return node_counted(&t->node, c);
}

static unsigned half_open(const struct trace *t)
{
    return tcp_half_open_count(t->node.tcp);
}

static struct trace *start_with(void **state, uint32_t half_open_max)
{
    struct tcp_config c = node_config();
    c.half_open_max = half_open_max;
    return trace_new(&c, trace_is6(state));
}

/* The trace's tuple is half open. */
static struct trace *half_start(void **state)
{
    struct trace *t = trace_start(state);
    IN(t, .flags = S, PEER_OPTIONS);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    assert_int_equal(half_open(t), 1);
    return t;
}

static uint32_t flow_of(struct trace *t)
{
    uint32_t flow;
    uint32_t hash = wire_tuple_hash(&t->node.toeplitz, &t->tuple);
    return tcp_owns(t->node.tcp, &t->tuple, hash, &flow) ? flow : FLOW_TABLE_NONE;
}

/* --- segments ------------------------------------------------------------------------------------------- */

static void a_client_that_begins_anew_gets_through(void **state)
{
    struct trace *t = half_start(state);
    IN(t, .flags = S, .seq = 777, PEER_OPTIONS); /* RFC 5961 s4.2 */
    OUT(t, .flags = A, .seq = 1, .ack = 1);
    IN(t, .flags = S, .seq = 778, PEER_OPTIONS); /* no storm */
    QUIET(t);
    assert_int_equal(count(t, TG_C_tcp_challenge_ack), 1);
    IN(t, .flags = R, .seq = 1); /* the answer of a client that knows nothing of the first SYN */
    QUIET(t);
    assert_int_equal(half_open(t), 0);
    IN(t, .flags = S, .seq = 777, PEER_OPTIONS);
    OUT(t, .flags = S | A, .seq = 0, .ack = 778);
    IN(t, .flags = A, .seq = 778, .ack = 1);
    node_expect_event(&t->node, TCP_EV_ACCEPTED);
    trace_end(t);
}

static void resets_must_be_exact(void **state)
{
    struct trace *t = half_start(state);
    static const uint32_t wrong[] = {0, 2, 1000, 65535, 65536, 1u << 31};
    for (unsigned i = 0; i < TG_ARRAY_LEN(wrong); i++) {
        trace_advance(t, i ? 0 : 600 * TG_MS);
        IN(t, .flags = R, .seq = wrong[i]);
        assert_int_equal(half_open(t), 1);
    }
    assert_int_equal(trace_skip(t), 1); /* those in the window ask for one challenge */
    IN(t, .flags = R | S, .seq = 0);    /* judged as a RST, outside the window */
    QUIET(t);
    IN(t, .flags = R | A, .seq = 1, .ack = 99);
    QUIET(t);
    assert_int_equal(half_open(t), 0);
    assert_int_equal(count(t, TG_C_tcp_reset_in), 1);
    trace_end(t);
}

static void segments_without_ack_are_dropped(void **state)
{
    struct trace *t = half_start(state);
    IN(t, .flags = 0, .seq = 1, .len = 10);
    IN(t, .flags = F, .seq = 1);
    QUIET(t);
    assert_int_equal(count(t, TG_C_tcp_bad_segment), 2);
    IN(t, .flags = A, .seq = 70000, .ack = 1); /* outside: acknowledged, dropped */
    OUT(t, .flags = A, .seq = 1, .ack = 1);
    assert_int_equal(half_open(t), 1);
    trace_end(t);
}

static void a_syn_ack_is_no_answer_to_one(void **state)
{
    struct trace *t = half_start(state);
    IN(t, .flags = S | A, .seq = 0, .ack = 1);
    OUT(t, .flags = A, .seq = 1, .ack = 1);
    assert_int_equal(half_open(t), 1);
    assert_int_equal(tcp_connection_count(t->node.tcp), 0);
    trace_end(t);
}

/* RFC 9293 s3.10.7.4, fifth: <SEQ=SEG.ACK><CTL=RST>, and the half-open connection stays. */
static void wrong_acks_get_rst(void **state)
{
    struct trace *t = half_start(state);
    static const uint32_t wrong[] = {0, 2, 1u << 31, UINT32_MAX};
    for (unsigned i = 0; i < TG_ARRAY_LEN(wrong); i++) {
        IN(t, .flags = A, .seq = 1, .ack = wrong[i], .len = i * 100);
        OUT(t, .flags = R, .seq = wrong[i]);
    }
    assert_int_equal(count(t, TG_C_tcp_bad_ack), 4);
    assert_int_equal(half_open(t), 1);
    trace_end(t);
}

static void old_and_missing_timestamps_complete_nothing(void **state)
{
    struct trace *t = trace_start(state);
    t->ts = true;
    IN(t, .flags = S, PEER_OPTIONS, .ts_value = 5000);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1, .ts_echo = 5000);
    IN(t, .flags = A, .seq = 1, .ack = 1, .no_ts = true); /* RFC 7323 s3.2 */
    QUIET(t);
    IN(t, .flags = A, .seq = 1, .ack = 1, .ts_value = 4999); /* PAWS */
    OUT(t, .flags = A, .seq = 1, .ack = 1, .ts_echo = 5000);
    assert_int_equal(count(t, TG_C_tcp_paws), 2);
    assert_int_equal(half_open(t), 1);
    IN(t, .flags = A, .seq = 1, .ack = 1, .ts_value = 5001);
    t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
    assert_int_equal(trace_pcb(t)->ts_recent, 5001);
    trace_end(t);
}

static void later_data_may_complete_the_handshake(void **state)
{
    struct trace *t = half_start(state);
    IN(t, .flags = A, .seq = 501, .ack = 1,
       .len = 500); /* the ACK and the first segment were lost */
    OUT(t, .flags = A, .seq = 1, .ack = 1, .sack = {{501, 1001}});
    t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 500);
    OUT(t, .flags = A, .seq = 1, .ack = 1001);
    node_expect_event(&t->node, TCP_EV_READABLE);
    trace_read(t, 0, 1000);
    trace_end(t);
}

/* --- clock ------------------------------------------------------------------------------------------------ */

static void the_handshake_is_a_sample_of_the_round_trip(void **state)
{
    struct trace *t = half_start(state);
    trace_advance(t, 123 * TG_MS);
    IN(t, .flags = A, .seq = 1, .ack = 1);
    t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
    assert_int_equal(trace_info(t).srtt, 123 * TG_MS);
    trace_end(t);
    t = half_start(state);
    trace_advance(t, 1100 * TG_MS);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1); /* sent twice: which one was acknowledged (Karn)? */
    IN(t, .flags = A, .seq = 1, .ack = 1);
    t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
    assert_int_equal(trace_info(t).srtt, 0);
    assert_int_equal(trace_info(t).rto, 3 * TG_S); /* RFC 6298 s5.7 */
    trace_end(t);
}

/* Five slices of the sweep: every SYN-ACK comes again, once a round, never early and 20 ms late at most. */
static void one_clock_serves_thousands(void **state)
{
    enum { MANY = 3000, EACH_MS = 50 };
    struct tcp_config c = node_config();
    c.half_open_max = 20480;
    c.syn_retries = 2;
    struct trace *t = trace_new(&c, trace_is6(state));
    for (unsigned i = 0; i < MANY; i++) {
        t->tuple.remote_port = (uint16_t)(1000 + i);
        IN(t, .flags = S);
        OUT(t, .flags = S | A, .seq = 0, .ack = 1);
        if (i % EACH_MS == EACH_MS - 1)
            trace_advance(t, TG_MS);
    }
    assert_int_equal(half_open(t), MANY);
    assert_int_equal(t->node.wheel.armed, 1);
    unsigned again = 0;
    for (unsigned ms = MANY / EACH_MS; ms < 3100; ms++) {
        unsigned due = ms < 1000 ? 0 : u32_min((ms - 1000 + 1) * EACH_MS, MANY);
        due += ms < 3000 ? 0 : (ms - 3000 + 1) * EACH_MS;
        unsigned late = ms < 1020 ? 0 : u32_min((ms - 1020) * EACH_MS, MANY);
        late += ms < 3020 ? 0 : u32_min((ms - 3020) * EACH_MS, MANY);
        assert_in_range(again, late, u32_min(due, 2 * MANY));
        trace_advance(t, TG_MS);
        again += trace_skip(t);
    }
    assert_int_equal(again, 2 * MANY);
    trace_advance(t, 4 * TG_S);
    QUIET(t);
    assert_int_equal(half_open(t), 0);
    assert_int_equal(count(t, TG_C_tcp_timed_out), MANY);
    assert_int_equal(t->node.wheel.armed, 0);
    trace_end(t);
}

/* --- the world around ---------------------------------------------------------------------------------------- */

static void icmp_ends_it_when_hard_and_ours(void **state)
{
    struct trace *t = half_start(state);
    struct net_icmp_error e = {.tuple = t->tuple, .seq = t->our_iss + 1, .hard = true};
    tcp_icmp_error(t->node.tcp, &e, t->node.now); /* quotes what we have not sent */
    e.seq = t->our_iss;
    e.mtu = 600;
    tcp_icmp_error(t->node.tcp, &e, t->node.now);
    e.mtu = 0;
    e.hard = false;
    tcp_icmp_error(t->node.tcp, &e, t->node.now);
    assert_int_equal(half_open(t), 1);
    e.hard = true;
    tcp_icmp_error(t->node.tcp, &e, t->node.now);
    assert_int_equal(half_open(t), 0);
    assert_int_equal(t->node.wheel.armed, 0);
    node_expect_no_event(&t->node);
    trace_end(t);
}

static void it_ends_with_its_listener(void **state)
{
    struct trace *t = half_start(state);
    tcp_unlisten(t->node.tcp, 80);
    assert_int_equal(half_open(t), 0);
    IN(t, .flags = A, .seq = 1, .ack = 1);
    OUT(t, .flags = R, .seq = 1);
    assert_int_equal(tcp_listen(t->node.tcp, 80, 5), TG_OK);
    IN(t, .flags = S);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    IN(t, .flags = A, .seq = 1, .ack = 1);
    assert_int_equal(node_event(&t->node).tag, 5);
    trace_end(t);
}

static void steering_knows_it(void **state)
{
    struct trace *t = half_start(state);
    uint32_t flow = flow_of(t);
    assert_int_not_equal(flow, FLOW_TABLE_NONE);
    assert_true(tcp_expects(t->node.tcp, flow, t->our_iss + 1));
    assert_false(tcp_expects(t->node.tcp, flow, t->our_iss));
    assert_false(tcp_expects(t->node.tcp, flow, t->our_iss + 2));
    IN(t, .flags = R, .seq = 1);
    assert_int_equal(flow_of(t), FLOW_TABLE_NONE);
    trace_end(t);
}

/* A former connection's numbers bound the next one's from below; a cookie cannot promise that. */
static void time_wait_gets_no_cookie(void **state)
{
    struct trace *t = start_with(state, SYN_PLACES);
    trace_accept(t, (struct seg){.mss = 1000});
    tcp_close(t->node.tcp, t->h);
    trace_collect(t);
    OUT(t, .flags = F | A, .seq = 1, .ack = 1);
    IN(t, .flags = F | A, .seq = 1, .ack = 2);
    OUT(t, .flags = A, .seq = 2, .ack = 2);
    strangers_come(t);
    IN(t, .flags = S, .seq = 100000);
    QUIET(t);
    assert_int_equal(count(t, TG_C_tcp_backlog_full), 1);
    assert_int_equal(count(t, TG_C_tcp_syn_cookies_sent), 0);
    trace_end(t);
}

/* The SYN got a cookie, which was lost on the way or slow; its repetition found a place. Either ACK will do. */
static void the_ack_of_an_earlier_cookie_counts(void **state)
{
    struct trace *t = start_with(state, SYN_PLACES);
    t->ts = true;
    strangers_come(t);
    IN(t, .flags = S, PEER_OPTIONS);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    uint32_t cookie = t->our_iss, echo = t->last_ts;
    assert_int_equal(count(t, TG_C_tcp_syn_cookies_sent), 1);
    strangers_leave(t, 1);
    IN(t, .flags = S, PEER_OPTIONS);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    assert_int_equal(half_open(t), SYN_PLACES);
    assert_int_not_equal(t->our_iss, cookie);
    t->our_iss = cookie;
    IN(t, .flags = A, .seq = 1, .ack = 1, .ts_echo = echo);
    QUIET(t);
    t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
    assert_int_equal(half_open(t), SYN_PLACES - 1);
    trace_end(t);
}

/* --- what it costs ------------------------------------------------------------------------------------------ */

static void a_flood_takes_no_memory(void **state)
{
    struct trace *t = start_with(state, 64);
    uint32_t armed = t->node.wheel.armed;
    for (unsigned i = 0; i < 5000; i++) {
        t->tuple.remote_port = (uint16_t)(1000 + i);
        IN(t, .flags = S, PEER_OPTIONS);
        OUT(t, .flags = S | A, .seq = 0, .ack = 1);
        assert_int_equal(t->node.pool.outstanding, 0);
    }
    assert_in_range(half_open(t), 50, 64);
    assert_int_equal(count(t, TG_C_tcp_syn_cookies_sent), 5000 - half_open(t));
    assert_int_equal(t->node.tcp->pcbs.in_use, 0);
    assert_int_equal(t->node.tcp->actives.in_use, 0);
    assert_int_equal(t->node.tcp->flows.count, 0);
    assert_int_equal(t->node.wheel.armed, armed + 1);
    assert_int_equal(TCP_SYN_BYTES, 64);
    for (unsigned i = 0; i < 5000; i++) { /* and ACKs that prove nothing take none either */
        t->tuple.remote_port = (uint16_t)(10000 + i);
        t->our_iss = i * 2654435761u;
        IN(t, .flags = A, .seq = 1, .ack = 1);
        trace_skip(t);
        assert_int_equal(t->node.pool.outstanding, 0);
    }
    assert_int_equal(t->node.tcp->pcbs.in_use, 0);
    trace_end(t);
}

static void a_syn_ack_that_found_no_frame_follows(void **state)
{
    struct trace *t = trace_start(state);
    struct seg syn = {.flags = S, PEER_OPTIONS};
    struct buf *b = trace_make(t, &syn);
    t->node.pool.limit = 0;
    assert_int_equal(node_receive(&t->node, b), TG_C_none);
    for (unsigned i = 0; i < 50; i++) {
        t->node.now += TG_MS;
        node_turn(&t->node);
    }
    t->node.pool.limit = UINT32_MAX;
    trace_advance(t, 11 * TG_MS);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    trace_advance(t, 20 * TG_MS);
    QUIET(t);
    IN(t, .flags = A, .seq = 1, .ack = 1);
    t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
    assert_in_range(trace_info(t).srtt, 20 * TG_MS,
                    31 * TG_MS); /* the wait for a frame is no round trip */
    trace_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_client_that_begins_anew_gets_through),
        BOTH(resets_must_be_exact),
        BOTH(segments_without_ack_are_dropped),
        BOTH(a_syn_ack_is_no_answer_to_one),
        BOTH(wrong_acks_get_rst),
        BOTH(old_and_missing_timestamps_complete_nothing),
        BOTH(later_data_may_complete_the_handshake),
        BOTH(the_handshake_is_a_sample_of_the_round_trip),
        BOTH(one_clock_serves_thousands),
        BOTH(icmp_ends_it_when_hard_and_ours),
        BOTH(it_ends_with_its_listener),
        BOTH(steering_knows_it),
        BOTH(time_wait_gets_no_cookie),
        BOTH(the_ack_of_an_earlier_cookie_counts),
        BOTH(a_flood_takes_no_memory),
        BOTH(a_syn_ack_that_found_no_frame_follows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
