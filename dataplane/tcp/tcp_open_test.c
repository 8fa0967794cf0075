/* SPDX-License-Identifier: BSD-3-Clause
 * Active and simultaneous opens, local ports, initial sequence numbers.
 */
#include "tcp/tcp_trace.h"

static uint64_t count(struct trace *t, enum tg_counter c)
{
    return node_counted(&t->node, c);
}

/* --- active ---------------------------------------------------------------------------------------------- */

static void active_open(void **state)
{
    struct trace *t = trace_start(state);
    t->ts = true;
    trace_connect(t, 0);
    assert_int_equal(t->out_options.mss, trace_mss(t));
    assert_true(t->out_options.sack_permitted && t->out_options.has_timestamps);
    assert_int_equal(t->out_options.wscale, 3);
    assert_int_equal(t->out_options.ts_echo, 0);
    assert_int_equal(t->out.ack, 0);
    assert_int_equal(trace_info(t).state, TCP_S_SYN_SENT);
    assert_int_equal(tcp_writable(t->node.tcp, t->h), 0);
    trace_advance(t, 30 * TG_MS);
    IN(t, .flags = S | A, .seq = 0, .ack = 1, PEER_OPTIONS, .ts_value = 99);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .ts_echo = 99);
    struct tcp_event e = node_event(&t->node);
    assert_int_equal(e.bits, TCP_EV_CONNECTED);
    assert_int_equal(e.user, 5);
    assert_true(e.handle == t->h);
    struct tcp_info info = trace_info(t);
    assert_int_equal(info.state, TCP_S_ESTABLISHED);
    assert_int_equal(info.srtt, 30 * TG_MS);
    assert_int_equal(info.rto, 200 * TG_MS);
    assert_int_equal(info.mss, 1000);
    assert_int_equal(count(t, TG_C_tcp_connected), 1);
    trace_end(t);
}

static void the_third_ack_merges_with_a_request(void **state)
{
    struct trace *t = trace_start(state);
    trace_connect(t, 0);
    struct seg s = {.flags = S | A, .seq = 0, .ack = 1, .mss = 1000};
    assert_int_equal(node_receive(&t->node, trace_make(t, &s)), TG_C_none);
    node_expect_event(&t->node, TCP_EV_CONNECTED);
    trace_write(t, 0, 300);
    OUT(t, .flags = A | P, .seq = 1, .ack = 1, .len = 300);
    QUIET(t);
    trace_end(t);
}

static void refused(void **state)
{
    struct trace *t = trace_start(state);
    trace_connect(t, 0);
    IN(t, .flags = R, .seq = 0); /* no ACK: anybody could have sent it */
    IN(t, .flags = R | A, .seq = 0, .ack = 7);
    QUIET(t);
    assert_int_equal(trace_info(t).state, TCP_S_SYN_SENT);
    IN(t, .flags = R | A, .seq = 0, .ack = 1);
    node_expect_closed(&t->node, 0, TG_RESET);
    assert_int_equal(count(t, TG_C_tcp_connect_failed), 1);
    assert_int_equal(tcp_connection_count(t->node.tcp), 0);
    trace_end(t);
}

static void nonsense_in_syn_sent(void **state)
{
    struct trace *t = trace_start(state);
    trace_connect(t, 0);
    IN(t, .flags = S | A, .seq = 0, .ack = 0); /* acknowledges nothing */
    OUT(t, .flags = R, .seq = 0);
    IN(t, .flags = A, .seq = 0, .ack = 900);
    OUT(t, .flags = R, .seq = 900);
    IN(t, .flags = A, .seq = 0, .ack = 1); /* acceptable, but no SYN */
    IN(t, .flags = F, .seq = 0);
    IN(t, .flags = 0, .seq = 0, .len = 9);
    IN(t, .flags = S | F, .seq = 0);
    QUIET(t);
    assert_int_equal(trace_info(t).state, TCP_S_SYN_SENT);
    trace_end(t);
}

static void connect_retries_and_gives_up(void **state)
{
    struct tcp_config c = node_config();
    c.syn_retries = 2;
    struct trace *t = trace_new(&c, trace_is6(state));
    trace_connect(t, 0);
    trace_advance(t, TG_S + 2 * TG_MS);
    OUT(t, .flags = S, .seq = 0);
    trace_advance(t, 2 * TG_S);
    OUT(t, .flags = S, .seq = 0);
    trace_advance(t, 3 * TG_S);
    node_expect_no_event(&t->node);
    trace_advance(t, 2 * TG_S);
    QUIET(t);
    node_expect_closed(&t->node, 0, TG_TIMEOUT);
    trace_end(t);
}

static void connect_timeout(void **state)
{
    struct trace *t = trace_start(state);
    trace_connect(t, 500 * TG_MS);
    trace_advance(t, 499 * TG_MS);
    node_expect_no_event(&t->node);
    trace_advance(t, 2 * TG_MS);
    node_expect_closed(&t->node, 0, TG_TIMEOUT);
    /* A late SYN-ACK meets nobody. */
    IN(t, .flags = S | A, .seq = 0, .ack = 1);
    OUT(t, .flags = R, .seq = 1);
    trace_end(t);
}

static void connect_timeout_ends_with_the_handshake(void **state)
{
    struct trace *t = trace_start(state);
    trace_connect(t, 500 * TG_MS);
    IN(t, .flags = S | A, .seq = 0, .ack = 1);
    OUT(t, .flags = A, .seq = 1, .ack = 1);
    node_expect_event(&t->node, TCP_EV_CONNECTED);
    trace_advance(t, 10 * TG_S);
    node_expect_no_event(&t->node);
    QUIET(t);
    trace_end(t);
}

static void lost_syns_make_a_careful_start(void **state)
{
    struct trace *t = trace_start(state);
    trace_connect(t, 0);
    trace_advance(t, 4 * TG_S);
    assert_int_equal(trace_skip(t), 2);
    IN(t, .flags = S | A, .seq = 0, .ack = 1, .mss = 1000);
    OUT(t, .flags = A, .seq = 1, .ack = 1);
    struct tcp_info info = trace_info(t);
    assert_int_equal(info.cwnd, 1000);
    assert_int_equal(info.srtt, 0); /* Karn */
    assert_int_equal(info.rto, 3 * TG_S);
    trace_end(t);
}

static void simultaneous_open(void **state)
{
    struct trace *t = trace_start(state);
    trace_connect(t, 0);
    IN(t, .flags = S, .seq = 0, .mss = 1000);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    assert_int_equal(trace_info(t).state, TCP_S_SYN_RECEIVED);
    node_expect_no_event(&t->node);
    IN(t, .flags = S | A, .seq = 0, .ack = 1);
    OUT(t, .flags = A, .seq = 1, .ack = 1);
    assert_true(node_expect_event(&t->node, TCP_EV_CONNECTED) == t->h);
    assert_int_equal(trace_info(t).state, TCP_S_ESTABLISHED);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 10);
    trace_read(t, 0, 10);
    trace_end(t);
}

static void simultaneous_open_with_a_plain_ack(void **state)
{
    struct trace *t = trace_start(state);
    trace_connect(t, 0);
    IN(t, .flags = S, .seq = 0, .mss = 1000);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    IN(t, .flags = A, .seq = 1, .ack = 1);
    assert_true(node_expect_event(&t->node, TCP_EV_CONNECTED) == t->h);
    trace_end(t);
}

static void reset_in_a_simultaneous_open(void **state)
{
    struct trace *t = trace_start(state);
    trace_connect(t, 0);
    IN(t, .flags = S, .seq = 0, .mss = 1000);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    IN(t, .flags = R, .seq = 1);
    node_expect_closed(&t->node, 0, TG_RESET);
    trace_end(t);
}

/* RFC 9293 s3.9.2.2, MUST-56: not the end; SHLD-25: but the user may know, now and at the end. */
static void a_soft_error_is_why_it_failed(void **state)
{
    struct tcp_config c = node_config();
    c.syn_retries = 2;
    struct trace *t = trace_new(&c, trace_is6(state));
    trace_connect(t, 0);
    struct net_icmp_error e = {.tuple = t->tuple, .seq = t->our_iss};
    assert_false(trace_info(t).unreachable);
    tcp_icmp_error(t->node.tcp, &e, t->node.now);
    node_expect_no_event(&t->node);
    assert_true(trace_info(t).unreachable);
    trace_advance(t, 10 * TG_S);
    trace_skip(t);
    node_expect_closed(&t->node, 0, TG_UNREACHABLE);
    trace_end(t);
}

static void a_soft_error_is_forgotten_when_the_peer_is_heard(void **state)
{
    struct trace *t = trace_start(state);
    trace_accept(t, (struct seg){PEER_OPTIONS});
    assert_int_equal(tcp_set_option(t->node.tcp, t->h, TCP_OPT_USER_TIMEOUT, 5000), TG_OK);
    trace_write(t, 0, 100);
    struct net_icmp_error e = {.tuple = t->tuple, .seq = t->our_iss + 1, .hard = true};
    tcp_icmp_error(t->node.tcp, &e, t->node.now); /* synchronised: soft, too (RFC 5461) */
    assert_true(trace_info(t).unreachable);
    IN(t, .flags = A, .seq = 1, .ack = 51);
    assert_false(trace_info(t).unreachable);
    trace_advance(t, 6 * TG_S);
    node_expect_closed(&t->node, 0, TG_TIMEOUT);
    trace_end(t);
}

/* MUST-23: at least three minutes of SYNs. */
static void syns_go_on_for_three_minutes(void **state)
{
    struct trace *t = trace_start(state);
    trace_connect(t, 0);
    trace_advance(t, 180 * TG_S);
    node_expect_no_event(&t->node);
    assert_true(trace_skip(t) >= 6);
    trace_advance(t, 120 * TG_S);
    node_expect_closed(&t->node, 0, TG_TIMEOUT);
    trace_end(t);
}

static void unreachable_by_icmp(void **state)
{
    struct trace *t = trace_start(state);
    trace_connect(t, 0);
    struct net_icmp_error e = {.tuple = t->tuple, .seq = t->our_iss + 1, .hard = true};
    tcp_icmp_error(t->node.tcp, &e, t->node.now); /* quotes what we have not sent */
    e.seq = t->our_iss - 1;
    tcp_icmp_error(t->node.tcp, &e, t->node.now);
    e.seq = t->our_iss;
    e.hard = false;
    tcp_icmp_error(t->node.tcp, &e, t->node.now);
    node_expect_no_event(&t->node);
    e.hard = true;
    tcp_icmp_error(t->node.tcp, &e, t->node.now);
    node_expect_closed(&t->node, 0, TG_UNREACHABLE);
    tcp_icmp_error(t->node.tcp, &e, t->node.now); /* nobody's now */
    trace_end(t);
}

static void impossible_destinations(void **state)
{
    struct trace *t = trace_start(state);
    struct tcp *tcp = t->node.tcp;
    tcp_handle h = 1;
    struct ip_addr other = trace_is6(state) ? t->node.address4 : t->node.address6;
    assert_int_equal(tcp_connect(tcp, NULL, &t->tuple.local, 80, 0, 0, 1, &h), TG_UNREACHABLE);
    assert_int_equal(h, TCP_NONE);
    assert_int_equal(tcp_connect(tcp, NULL, &t->tuple.remote, 0, 0, 0, 1, &h), TG_UNREACHABLE);
    assert_int_equal(tcp_connect(tcp, &other, &t->tuple.remote, 80, 0, 0, 1, &h), TG_UNREACHABLE);
    struct ip_addr nowhere = test_addr(trace_is6(state) ? "2001:db8:9::1" : "198.51.100.1");
    assert_int_equal(tcp_connect(tcp, NULL, &nowhere, 80, 0, 0, 1, &h), TG_UNREACHABLE);
    assert_int_equal(tcp_connection_count(tcp), 0);
    trace_end(t);
}

/* --- ports ---------------------------------------------------------------------------------------------- */

static unsigned picks;
static uint16_t pick_three(void *arg, const struct ip_tuple *tuple, unsigned try_number)
{
    picks++;
    assert_int_equal(tuple->remote_port, 443);
    return try_number < 3 ? (uint16_t)(500 + try_number) : 0;
}

static void ports_come_from_steer(void **state)
{
    struct tcp_config c = node_config();
    c.pick_port = pick_three;
    struct trace *t = trace_new(&c, trace_is6(state));
    for (unsigned i = 0; i < 3; i++) {
        trace_connect(t, 0);
        assert_int_equal(t->tuple.local_port, 500 + i);
    }
    picks = 0;
    tcp_handle h;
    assert_int_equal(tcp_connect(t->node.tcp, NULL, &t->tuple.remote, 443, 0, 0, t->node.now, &h),
                     TG_FULL);
    assert_int_equal(picks, 4);
    trace_end(t);
}

static void own_ports_differ(void **state)
{
    struct trace *t = trace_start(state);
    bool seen[65536] = {false};
    for (unsigned i = 0; i < 60; i++) {
        trace_connect(t, 0);
        assert_true(t->tuple.local_port >= 32768);
        assert_false(seen[t->tuple.local_port]);
        seen[t->tuple.local_port] = true;
        assert_int_equal(trace_info(t).tuple.remote_port, 443);
    }
    trace_end(t);
}

/* --- initial sequence numbers (RFC 6528) ------------------------------------------------------------------ */

static void isn_clock_and_secret(void **state)
{
    struct trace *t = trace_start(state);
    struct tcp *tcp = t->node.tcp;
    struct tcp_secrets a = tcp_secrets_of(tcp, &t->tuple, TG_S);
    struct tcp_secrets b = tcp_secrets_of(tcp, &t->tuple, TG_S + 4 * TG_MS);
    assert_int_equal(b.isn - a.isn, 1000); /* 4 us a step */
    assert_int_equal(a.ts_offset, b.ts_offset);
    struct ip_tuple other = t->tuple;
    unsigned close = 0;
    for (unsigned i = 1; i <= 1000; i++) {
        other.remote_port++;
        struct tcp_secrets c = tcp_secrets_of(tcp, &other, TG_S);
        uint32_t d = c.isn - a.isn;
        close += d < 1u << 24 || d > 0u - (1u << 24);
        assert_int_not_equal(c.ts_offset, a.ts_offset);
        a = c;
    }
    assert_true(close < 30); /* 2^25 / 2^32 of 1000 is 8 */
    tcp->config.isn_key[1]++;
    struct tcp_secrets d = tcp_secrets_of(tcp, &other, TG_S);
    assert_int_not_equal(d.isn, a.isn);
    trace_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(active_open),
        BOTH(the_third_ack_merges_with_a_request),
        BOTH(refused),
        BOTH(nonsense_in_syn_sent),
        BOTH(connect_retries_and_gives_up),
        BOTH(connect_timeout),
        BOTH(connect_timeout_ends_with_the_handshake),
        BOTH(lost_syns_make_a_careful_start),
        BOTH(simultaneous_open),
        BOTH(simultaneous_open_with_a_plain_ack),
        BOTH(reset_in_a_simultaneous_open),
        BOTH(unreachable_by_icmp),
        BOTH(a_soft_error_is_why_it_failed),
        BOTH(a_soft_error_is_forgotten_when_the_peer_is_heard),
        BOTH(syns_go_on_for_three_minutes),
        BOTH(impossible_destinations),
        BOTH(ports_come_from_steer),
        BOTH(own_ports_differ),
        BOTH(isn_clock_and_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
