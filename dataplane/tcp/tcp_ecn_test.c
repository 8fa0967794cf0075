/* SPDX-License-Identifier: BSD-3-Clause
 * ECN as RFC 3168 s6.1 has it: who agrees, what is marked, what is echoed and for how long, how often a window is cut; and
 * bits that mean nothing.
 */
#include "tcp/tcp_ecn.h"
#include "tcp/tcp_trace.h"

enum { E = TCP_ECE, W = TCP_CWR };

static struct trace *start(void **state, enum tcp_ecn ecn)
{
    struct tcp_config c = node_config();
    c.ecn = ecn;
    return trace_new(&c, trace_is6(state));
}

static bool negotiated(struct trace *t)
{
    return tcp_has(trace_pcb(t), TCP_F_ECN);
}

/* A passive connection with a peer that asks. */
static struct trace *established(void **state)
{
    struct trace *t = start(state, TCP_ECN_AGREE);
    IN(t, .flags = S | E | W, .seq = 0, .mss = 1000);
    OUT(t, .flags = S | A | E, .seq = 0, .ack = 1);
    IN(t, .flags = A, .seq = 1, .ack = 1);
    t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
    assert_true(negotiated(t));
    return t;
}

/* The two bits of the packet that the stack has sent next. */
static unsigned next_class(struct trace *t)
{
    assert_true(t->first != t->end);
    const struct buf *b = t->frames[t->first % TRACE_FRAMES];
    const uint8_t *ip = b->data + b->l3;
    return b->ip_version == 4 ? ip[1] & 3u : ip[1] >> 4 & 3u;
}

/* A segment that a router has marked. */
static void in_marked(struct trace *t, const struct seg *s)
{
    struct buf *b = trace_make(t, s);
    uint8_t *ip = b->data + ETH_BYTES;
    if (trace_headers(t) == 40) {
        uint32_t sum = 0;
        ip[1] |= 3;
        wire_put16(ip + 10, 0);
        for (unsigned i = 0; i < IP4_BYTES; i += 2)
            sum += wire_get16(ip + i);
        sum = (sum & 0xffff) + (sum >> 16);
        wire_put16(ip + 10, (uint16_t) ~(sum + (sum >> 16)));
    } else {
        ip[1] |= 0x30;
    }
    assert_int_equal(node_receive(&t->node, b), TG_C_none);
    trace_collect(t);
}
#define IN_MARKED(t, ...) in_marked(t, &(struct seg){__VA_ARGS__})

/* --- agreement ------------------------------------------------------------------------------------------- */

static void passive_agrees_when_asked(void **state)
{
    trace_end(established(state));
}

/* s6.1.1.1: whoever loses an ECN-setup SYN may try without, and marks and echoes nothing then. */
static void a_repeated_syn_gives_ecn_up(void **state)
{
    struct trace *t = start(state, TCP_ECN_AGREE);
    IN(t, .flags = S | E | W, .seq = 0, .mss = 1000);
    OUT(t, .flags = S | A | E, .seq = 0, .ack = 1);
    IN(t, .flags = S, .seq = 0, .mss = 1000);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    IN(t, .flags = S | E | W, .seq = 0,
       .mss = 1000); /* the first, late: it is given up all the same */
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    IN(t, .flags = A, .seq = 1, .ack = 1);
    t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
    assert_false(negotiated(t));
    trace_end(t);
}

static void passive_without_being_asked(void **state)
{
    static const uint8_t flags[] = {S, S | E, S | W};
    for (unsigned i = 0; i < TG_ARRAY_LEN(flags); i++) {
        struct trace *t = start(state, TCP_ECN_ON);
        IN(t, .flags = flags[i], .seq = 0, .mss = 1000);
        OUT(t, .flags = S | A, .seq = 0, .ack = 1);
        IN(t, .flags = A, .seq = 1, .ack = 1);
        t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
        assert_false(negotiated(t));
        trace_end(t);
    }
}

static void off_never_agrees(void **state)
{
    struct trace *t = start(state, TCP_ECN_OFF);
    IN(t, .flags = S | E | W, .seq = 0, .mss = 1000);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    trace_end(t);
}

static void connect_with(struct trace *t, uint8_t syn)
{
    trace_connect_begin(t, 0);
    trace_collect(t);
    OUT(t, .flags = syn, .seq = 0);
}

static void active_asks_when_told_to(void **state)
{
    static const struct {
        uint8_t answer;
        bool agreed;
    } cases[] = {{S | A | E, true}, {S | A, false}, {S | A | E | W, false}, {S | A | W, false}};
    for (unsigned i = 0; i < TG_ARRAY_LEN(cases); i++) {
        struct trace *t = start(state, TCP_ECN_ON);
        connect_with(t, S | E | W);
        IN(t, .flags = cases[i].answer, .seq = 0, .ack = 1, .mss = 1000);
        OUT(t, .flags = A, .seq = 1, .ack = 1);
        assert_int_equal(negotiated(t), cases[i].agreed);
        trace_end(t);
    }
}

static void active_does_not_ask_by_default(void **state)
{
    struct trace *t = start(state, TCP_ECN_AGREE);
    connect_with(t, S);
    IN(t, .flags = S | A | E, .seq = 0, .ack = 1, .mss = 1000); /* agrees to nothing */
    OUT(t, .flags = A, .seq = 1, .ack = 1);
    assert_false(negotiated(t));
    trace_end(t);
}

static void the_second_syn_does_not_ask(void **state)
{
    struct trace *t = start(state, TCP_ECN_ON);
    connect_with(t, S | E | W);
    trace_advance(t, 1010 * TG_MS);
    OUT(t, .flags = S, .seq = 0);
    IN(t, .flags = S | A | E, .seq = 0, .ack = 1, .mss = 1000);
    OUT(t, .flags = A, .seq = 1, .ack = 1);
    assert_false(negotiated(t));
    trace_end(t);
}

/* A full listener's SYN cookie has room for it in the timestamp only (net/owner_cookie.h). */
static void a_cookie_keeps_it_in_the_timestamp(void **state)
{
    static const struct {
        enum tcp_ecn ecn;
        bool timestamps;
        uint8_t syn;
        bool agreed;
    } cases[] = {{TCP_ECN_AGREE, true, S | E | W, true},   {TCP_ECN_ON, true, S | E | W, true},
                 {TCP_ECN_AGREE, false, S | E | W, false}, {TCP_ECN_OFF, true, S | E | W, false},
                 {TCP_ECN_ON, true, S | E, false},         {TCP_ECN_ON, true, S, false}};
    for (unsigned i = 0; i < TG_ARRAY_LEN(cases); i++) {
        struct tcp_config c = node_config();
        c.ecn = cases[i].ecn;
        c.half_open_max = 4;
        struct trace *t = trace_new(&c, trace_is6(state));
        uint16_t port = t->tuple.remote_port;
        for (t->tuple.remote_port = 1000; t->tuple.remote_port < 1004; t->tuple.remote_port++)
            IN(t, .flags = S);
        assert_int_equal(trace_skip(t), 4);
        t->tuple.remote_port = port;
        t->ts = cases[i].timestamps;
        IN(t, .flags = cases[i].syn, .seq = 0, .mss = 1000);
        OUT(t, .flags = S | A | (cases[i].agreed ? E : 0), .seq = 0, .ack = 1);
        assert_int_equal(node_counted(&t->node, TG_C_tcp_syn_cookies_sent), 1);
        IN(t, .flags = A, .seq = 1, .ack = 1);
        t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
        assert_int_equal(negotiated(t), cases[i].agreed);
        trace_write(t, 0, 100);
        assert_int_equal(next_class(t), cases[i].agreed ? TCP_ECN_ECT0 : 0);
        trace_end(t);
    }
}

static void a_refused_syn_is_followed_by_one_that_does_not_ask(void **state)
{
    struct trace *t = start(state, TCP_ECN_ON);
    connect_with(t, S | E | W);
    IN(t, .flags = R | A, .seq = 0, .ack = 2); /* not of our SYN: nothing */
    QUIET(t);
    IN(t, .flags = R | A, .seq = 0, .ack = 1);
    OUT(t, .flags = S, .seq = 0);
    IN(t, .flags = S | A, .seq = 0, .ack = 1, .mss = 1000);
    OUT(t, .flags = A, .seq = 1, .ack = 1);
    assert_false(negotiated(t));
    trace_end(t);
    t = start(state, TCP_ECN_ON);
    connect_with(t, S | E | W);
    IN(t, .flags = R | A, .seq = 0, .ack = 1);
    OUT(t, .flags = S, .seq = 0);
    IN(t, .flags = R | A, .seq = 0, .ack = 1); /* it is meant */
    QUIET(t);
    struct tcp_event e;
    assert_int_equal(tcp_events(t->node.tcp, &e, 1), 1);
    assert_int_equal(e.bits, TCP_EV_CLOSED);
    assert_int_equal(e.error, TG_RESET);
    trace_end(t);
}

/* --- marks ------------------------------------------------------------------------------------------------ */

static void new_text_alone_is_capable(void **state)
{
    struct trace *t = established(state);
    trace_write(t, 0, 100);
    assert_int_equal(next_class(t), TCP_ECN_ECT0);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 100);
    trace_advance(t, trace_info(t).rto + 300 * TG_MS);
    assert_int_equal(next_class(t), 0); /* again: not (s6.1.5) */
    trace_skip(t);
    IN(t, .flags = A, .seq = 1, .ack = 101, .len = 10);
    assert_int_equal(next_class(t), 0); /* a pure ACK: not (s6.1.4) */
    trace_skip(t);
    trace_end(t);
}

static void without_agreement_nothing_is(void **state)
{
    struct trace *t = start(state, TCP_ECN_AGREE);
    trace_accept(t, (struct seg){.mss = 1000});
    trace_write(t, 0, 100);
    assert_int_equal(next_class(t), 0);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 100);
    IN_MARKED(t, .flags = A, .seq = 1, .ack = 101, .len = 10);
    trace_advance(t, 50 * TG_MS);
    OUT(t, .flags = A, .seq = 101, .ack = 11); /* no echo */
    IN(t, .flags = A | E, .seq = 11, .ack = 101);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_ecn_cuts), 0);
    trace_end(t);
}

static void a_mark_is_echoed_until_cwr(void **state)
{
    struct trace *t = established(state);
    IN_MARKED(t, .flags = A, .seq = 1, .ack = 1, .len = 10);
    OUT(t, .flags = A | E, .seq = 1, .ack = 11);
    IN(t, .flags = A, .seq = 11, .ack = 1, .len = 10); /* unmarked: the echo goes on */
    OUT(t, .flags = A | E, .seq = 1, .ack = 21);
    trace_write(t, 0, 50);
    OUT(t, .flags = A | E, .seq = 1, .ack = 21, .len = 50); /* on text, too */
    IN(t, .flags = A | W, .seq = 21, .ack = 51, .len = 10);
    OUT(t, .flags = A, .seq = 51, .ack = 31);
    IN_MARKED(t, .flags = A | W, .seq = 31, .ack = 51, .len = 10); /* ended and begun by one */
    OUT(t, .flags = A | E, .seq = 51, .ack = 41);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_ecn_marks), 2);
    trace_end(t);
}

static void a_marked_pure_ack_is_not_echoed(void **state)
{
    struct trace *t = established(state);
    IN_MARKED(t, .flags = A, .seq = 1, .ack = 1);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 10);
    OUT(t, .flags = A, .seq = 1, .ack = 11);
    trace_end(t);
}

/* --- echoes --------------------------------------------------------------------------------------------------- */

static void an_echo_cuts_the_window_once(void **state)
{
    struct trace *t = established(state);
    trace_write(t, 0, 10000);
    assert_int_equal(trace_skip(t), 10);
    uint32_t cwnd = trace_info(t).cwnd;
    IN(t, .flags = A | E, .seq = 1, .ack = 1001);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_ecn_cuts), 1);
    uint32_t cut = trace_info(t).cwnd;
    assert_in_range(cut, cwnd / 2, cwnd * 8 / 10);
    assert_int_equal(trace_info(t).retransmits, 0);
    for (unsigned i = 2; i <= 9; i++) /* the same window: no further cut */
        IN(t, .flags = A | E, .seq = 1, .ack = 1000 * i + 1);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_ecn_cuts), 1);
    IN(t, .flags = A, .seq = 1, .ack = 10001);
    trace_skip(t);
    trace_write(t, 10000, 2000); /* the next new segment says that it was heard */
    OUT(t, .flags = A | W, .seq = 10001, .ack = 1, .len = 1000);
    OUT(t, .flags = A, .seq = 11001, .ack = 1, .len = 1000);
    IN(t, .flags = A | E, .seq = 1, .ack = 11001); /* another window */
    assert_int_equal(node_counted(&t->node, TG_C_tcp_ecn_cuts), 2);
    trace_end(t);
}

static void an_echo_without_anything_in_flight_is_nothing(void **state)
{
    struct trace *t = established(state);
    uint32_t cwnd = trace_info(t).cwnd;
    IN(t, .flags = A | E, .seq = 1, .ack = 1);
    IN(t, .flags = A | E, .seq = 1, .ack = 5000); /* of what was never sent */
    assert_int_equal(node_counted(&t->node, TG_C_tcp_ecn_cuts), 0);
    assert_int_equal(trace_info(t).cwnd, cwnd);
    trace_end(t);
}

/* s6.1.2: CWR follows a reduction for any reason; a mark and a loss in one window are one sign. */
static void a_loss_and_an_echo_in_one_window_cut_once(void **state)
{
    for (unsigned loss_first = 0; loss_first < 2; loss_first++) {
        struct trace *t = established(state);
        trace_write(t, 0, 10000);
        trace_skip(t);
        if (!loss_first) {
            IN(t, .flags = A | E, .seq = 1, .ack = 1001);
            assert_int_equal(node_counted(&t->node, TG_C_tcp_ecn_cuts), 1);
        }
        uint32_t una = loss_first ? 1 : 1001, threshold = trace_info(t).ssthresh;
        for (unsigned i = 0; i < 3; i++)
            IN(t, .flags = A | (loss_first && i == 2 ? E : 0), .seq = 1, .ack = una);
        assert_int_equal(node_counted(&t->node, TG_C_tcp_fast_retransmit), 1);
        if (!loss_first)
            assert_int_equal(trace_info(t).ssthresh, threshold);
        threshold = trace_info(t).ssthresh;
        trace_skip(t);
        IN(t, .flags = A | E, .seq = 1, .ack = 10001); /* still of that window */
        assert_int_equal(node_counted(&t->node, TG_C_tcp_ecn_cuts), !loss_first);
        assert_int_equal(trace_info(t).ssthresh, threshold);
        trace_write(t, 10000, 2000);
        OUT(t, .flags = A | W, .seq = 10001, .ack = 1, .len = 1000);
        OUT(t, .flags = A, .seq = 11001, .ack = 1, .len = 1000);
        trace_end(t);
    }
}

static void a_flood_of_echoes_leaves_a_segment(void **state)
{
    struct trace *t = established(state);
    uint32_t at = 0;
    for (unsigned i = 0; i < 60; i++) {
        trace_write(t, at, 1000);
        trace_skip(t);
        at += 1000;
        IN(t, .flags = A | E, .seq = 1, .ack = at - 500);
        IN(t, .flags = A | E, .seq = 1, .ack = at + 1);
        assert_true(trace_info(t).cwnd >= 1000);
    }
    trace_skip(t);
    trace_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(passive_agrees_when_asked),
        BOTH(passive_without_being_asked),
        BOTH(a_repeated_syn_gives_ecn_up),
        BOTH(off_never_agrees),
        BOTH(active_asks_when_told_to),
        BOTH(active_does_not_ask_by_default),
        BOTH(the_second_syn_does_not_ask),
        BOTH(a_cookie_keeps_it_in_the_timestamp),
        BOTH(a_refused_syn_is_followed_by_one_that_does_not_ask),
        BOTH(new_text_alone_is_capable),
        BOTH(without_agreement_nothing_is),
        BOTH(a_mark_is_echoed_until_cwr),
        BOTH(a_marked_pure_ack_is_not_echoed),
        BOTH(an_echo_cuts_the_window_once),
        BOTH(an_echo_without_anything_in_flight_is_nothing),
        BOTH(a_loss_and_an_echo_in_one_window_cut_once),
        BOTH(a_flood_of_echoes_leaves_a_segment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
