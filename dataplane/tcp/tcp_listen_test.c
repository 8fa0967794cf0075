/* SPDX-License-Identifier: BSD-3-Clause
 * Passive opens: what a SYN is answered with, limits of what is half open, and answers to segments that
 * belong to nobody.
 */
#include "tcp/tcp_trace.h"

static uint64_t count(struct trace *t, enum tg_counter c)
{
    return node_counted(&t->node, c);
}

/* --- passive ----------------------------------------------------------------------------------------- */

static void syn_ack_answers_in_kind(void **state)
{
    struct trace *t = trace_start(state);
    t->ts = true;
    IN(t, .flags = S, .mss = 1460, .sack_ok = true, .wscale_plus_1 = 8, .ts_value = 1234);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1, .win = 65535, .mss = trace_mss(t), .sack_ok = true,
        .wscale_plus_1 = 4, .ts_echo = 1234);
    node_expect_no_event(&t->node);
    IN(t, .flags = A, .seq = 1, .ack = 1);
    QUIET(t);
    struct tcp_event e = node_event(&t->node);
    assert_int_equal(e.bits, TCP_EV_ACCEPTED);
    assert_int_equal(e.tag, 77);
    assert_int_equal(e.user, 0);
    t->h = e.handle;
    struct tcp_info info = trace_info(t);
    assert_int_equal(info.state, TCP_S_ESTABLISHED);
    assert_int_equal(info.mss, u32_min(1460, trace_mss(t)) - 12);
    assert_int_equal(info.cwnd, tcp_initial_window(trace_pcb(t)));
    assert_memory_equal(&info.tuple, &t->tuple, sizeof t->tuple);
    assert_int_equal(count(t, TG_C_tcp_accepted), 1);
    trace_end(t);
}

static void plain_syn_gets_a_plain_answer(void **state)
{
    struct trace *t = trace_start(state);
    IN(t, .flags = S);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1, .mss = trace_mss(t));
    assert_false(t->out_options.sack_permitted || t->out_options.has_wscale ||
                 t->out_options.has_timestamps);
    IN(t, .flags = A, .seq = 1, .ack = 1);
    t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
    assert_int_equal(trace_info(t).mss, trace_is6(state) ? 1220 : 536);
    trace_end(t);
}

static void mss_offer_is_capped(void **state)
{
    struct tcp_config c = node_config();
    c.mss_max = 1300;
    struct trace *t = trace_new(&c, trace_is6(state));
    IN(t, .flags = S, .mss = 9000);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1, .mss = 1300);
    IN(t, .flags = A, .seq = 1, .ack = 1);
    t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
    assert_int_equal(trace_info(t).mss,
                     trace_mss(t)); /* what we send is the path's and the peer's business */
    trace_end(t);
}

static void silly_mss_and_scale_are_survived(void **state)
{
    for (uint16_t mss = 1; mss < 300; mss += 47) {
        struct trace *t = trace_start(state);
        trace_accept(t, (struct seg){.mss = mss, .wscale_plus_1 = 16, .sack_ok = true});
        assert_true(trace_info(t).mss >= 256);
        assert_int_equal(trace_pcb(t)->snd_scale, 14);
        trace_write(t, 0, 20000);
        assert_true(trace_skip(t) > 0);
        trace_end(t);
    }
}

static void data_on_a_syn_is_not_taken(void **state)
{
    struct trace *t = trace_start(state);
    IN(t, .flags = S, .len = 0);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    trace_end(t);
    t = trace_start(state);
    struct buf *b = test_frame_tcp(&t->node.pool.pool, &t->tuple, t->peer_iss, 0, S, 1000,
                                   SPAN_EMPTY, SPAN_LITERAL("hello"));
    assert_int_equal(node_receive(&t->node, b), TG_C_none);
    trace_collect(t);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 5);
    t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED | TCP_EV_READABLE);
    trace_read(t, 0, 5);
    trace_end(t);
}

static void repeated_syn_gets_the_same_syn_ack(void **state)
{
    struct trace *t = trace_start(state);
    IN(t, .flags = S);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    uint32_t iss = t->our_iss;
    trace_advance(t, 300 * TG_MS);
    IN(t, .flags = S);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    assert_int_equal(t->our_iss, iss);
    assert_int_equal(tcp_half_open_count(t->node.tcp), 1);
    trace_end(t);
}

static void half_open_expires(void **state)
{
    struct tcp_config c = node_config();
    c.syn_retries = 3;
    struct trace *t = trace_new(&c, trace_is6(state));
    IN(t, .flags = S);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    trace_advance(t, 999 * TG_MS);
    QUIET(t);
    for (unsigned wait = 1; wait <= 4; wait *= 2) { /* 1 s, 2 s, 4 s (RFC 6298 s5.5) */
        trace_advance(t, wait * TG_S - (wait == 1 ? 999 * TG_MS : 0));
        OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    }
    assert_int_equal(tcp_half_open_count(t->node.tcp), 1);
    assert_int_equal(tcp_connection_count(t->node.tcp), 0);
    trace_advance(t, 8 * TG_S + 10 * TG_MS);
    QUIET(t);
    assert_int_equal(tcp_connection_count(t->node.tcp), 0);
    assert_int_equal(tcp_half_open_count(t->node.tcp), 0);
    node_expect_no_event(&t->node);
    trace_end(t);
}

/* Each SYN is judged by itself: with a place free again, the next one gets it. */
static void half_open_limit_holds(void **state)
{
    struct tcp_config c = node_config();
    c.half_open_max = 4; /* one bucket */
    struct trace *t = trace_new(&c, trace_is6(state));
    uint32_t iss[10];
    for (unsigned i = 0; i < 10; i++) {
        t->tuple.remote_port = (uint16_t)(1000 + i);
        IN(t, .flags = S);
        OUT(t, .flags = S | A, .seq = 0, .ack = 1);
        iss[i] = t->our_iss;
        assert_int_equal(tcp_half_open_count(t->node.tcp), i < 4 ? i + 1 : 4);
        assert_int_equal(count(t, TG_C_tcp_syn_cookies_sent), i < 4 ? 0 : i - 3);
    }
    assert_int_equal(tcp_connection_count(t->node.tcp), 0);
    for (unsigned i = 0; i < 10; i++) { /* kept or not, each becomes a connection */
        t->tuple.remote_port = (uint16_t)(1000 + i);
        t->our_iss = iss[i];
        IN(t, .flags = A, .seq = 1, .ack = 1);
        node_expect_event(&t->node, TCP_EV_ACCEPTED);
    }
    assert_int_equal(count(t, TG_C_tcp_syn_cookies_accepted), 6);
    assert_int_equal(tcp_half_open_count(t->node.tcp), 0);
    t->tuple.remote_port = 2000;
    IN(t, .flags = S);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    assert_int_equal(tcp_half_open_count(t->node.tcp), 1);
    assert_int_equal(count(t, TG_C_tcp_syn_cookies_sent), 6);
    trace_end(t);
}

/* With every connection taken SYNs get cookies (tcp_governor.h); an ACK that finds none is dropped and may come again. */
static void connection_limit_holds(void **state)
{
    struct tcp_config c = node_config();
    c.connections_max = 4;
    struct trace *t = trace_new(&c, trace_is6(state));
    tcp_handle first = TCP_NONE;
    for (unsigned i = 0; i < 6; i++) {
        t->tuple.remote_port = (uint16_t)(1000 + i);
        IN(t, .flags = S);
        OUT(t, .flags = S | A, .seq = 0, .ack = 1);
        IN(t, .flags = A, .seq = 1, .ack = 1);
        QUIET(t);
        t->h = node_event(&t->node).handle;
        assert_int_equal(t->h != TCP_NONE, i < 4);
        first = i == 0 ? t->h : first;
    }
    assert_int_equal(count(t, TG_C_tcp_full), 2);
    assert_int_equal(count(t, TG_C_tcp_syn_cookies_sent), 2);
    assert_int_equal(tcp_half_open_count(t->node.tcp), 0);
    tcp_handle h = 1;
    assert_int_equal(tcp_connect(t->node.tcp, NULL, &t->tuple.remote, 443, 0, 0, t->node.now, &h),
                     TG_FULL);
    assert_int_equal(h, TCP_NONE);
    tcp_abort(t->node.tcp, first);
    trace_skip(t);
    IN(t, .flags = A, .seq = 1, .ack = 1);
    node_expect_event(&t->node, TCP_EV_ACCEPTED);
    trace_end(t);
}

static void wrong_ack_of_a_half_open_gets_rst(void **state)
{
    struct trace *t = trace_start(state);
    IN(t, .flags = S);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    IN(t, .flags = A, .seq = 1, .ack = 2);
    OUT(t, .flags = R, .seq = 2);
    IN(t, .flags = A, .seq = 1, .ack = 0);
    OUT(t, .flags = R, .seq = 0);
    assert_int_equal(tcp_half_open_count(t->node.tcp), 1);
    IN(t, .flags = A, .seq = 1, .ack = 1);
    node_expect_event(&t->node, TCP_EV_ACCEPTED);
    trace_end(t);
}

static void rst_ends_a_half_open_silently(void **state)
{
    struct trace *t = trace_start(state);
    IN(t, .flags = S);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    IN(t, .flags = R, .seq = 5); /* in the window only: challenge (RFC 5961) */
    OUT(t, .flags = A, .seq = 1, .ack = 1);
    assert_int_equal(tcp_half_open_count(t->node.tcp), 1);
    IN(t, .flags = R, .seq = 1);
    QUIET(t);
    assert_int_equal(tcp_half_open_count(t->node.tcp), 0);
    node_expect_no_event(&t->node);
    trace_end(t);
}

static void data_and_fin_may_complete_the_handshake(void **state)
{
    struct trace *t = trace_start(state);
    IN(t, .flags = S);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    IN(t, .flags = A | F, .seq = 1, .ack = 1, .len = 100);
    OUT(t, .flags = A, .seq = 1, .ack = 102);
    t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED | TCP_EV_READABLE | TCP_EV_PEER_FIN);
    assert_int_equal(trace_info(t).state, TCP_S_CLOSE_WAIT);
    assert_false(tcp_at_end(t->node.tcp, t->h));
    trace_read(t, 0, 100);
    assert_true(tcp_at_end(t->node.tcp, t->h));
    trace_end(t);
}

static void listeners_come_and_go(void **state)
{
    struct trace *t = trace_start(state);
    struct tcp *tcp = t->node.tcp;
    assert_int_equal(tcp_listen(tcp, 80, 1), TG_EXISTS);
    assert_int_equal(tcp_listen(tcp, 0, 1), TG_BAD_CONFIG);
    for (unsigned i = 1; i < TCP_LISTENERS_MAX; i++)
        assert_int_equal(tcp_listen(tcp, (uint16_t)(1000 + i), i), TG_OK);
    assert_int_equal(tcp_listen(tcp, 999, 1), TG_FULL);
    tcp_unlisten(tcp, 80);
    IN(t, .flags = S);
    OUT(t, .flags = R | A, .seq = ANY, .ack = 1);
    assert_int_equal(count(t, TG_C_tcp_no_listener), 1);
    assert_int_equal(tcp_listen(tcp, 80, 9), TG_OK);
    IN(t, .flags = S);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    trace_end(t);
}

/* --- nobody's segments (RFC 9293 s3.10.7.1) ------------------------------------------------------------- */

static void nobody_answers_as_the_rfc_says(void **state)
{
    struct trace *t = trace_start(state);
    t->our_iss = 5000;
    IN(t, .flags = A, .seq = 100, .ack = 700, .len = 10);
    OUT(t, .flags = R, .seq = 700);
    assert_int_equal(t->out.ack, 0);
    IN(t, .flags = S | A, .seq = 100, .ack = 700); /* with ACK a listener is no help */
    OUT(t, .flags = R, .seq = 700);
    IN(t, .flags = A | F, .seq = 100, .ack = 700);
    OUT(t, .flags = R, .seq = 700);
    t->tuple.local_port = 81;
    IN(t, .flags = S, .seq = 100);
    OUT(t, .flags = R | A, .seq = ANY, .ack = 101);
    assert_int_equal(t->out.seq, 0);
    IN(t, .flags = F, .seq = 100, .len = 7);
    OUT(t, .flags = R | A, .seq = ANY, .ack = 108);
    IN(t, .flags = 0, .seq = 100, .len = 7);
    OUT(t, .flags = R | A, .seq = ANY, .ack = 107);
    IN(t, .flags = R, .seq = 1);
    IN(t, .flags = R | A, .seq = 1);
    IN(t, .flags = R | S, .seq = 1);
    QUIET(t);
    assert_int_equal(count(t, TG_C_tcp_out_rst), 6);
    assert_int_equal(tcp_connection_count(t->node.tcp), 0);
    trace_end(t);
}

static void syn_with_fin_is_dropped(void **state)
{
    struct trace *t = trace_start(state);
    IN(t, .flags = S | F);
    IN(t, .flags = S | F | P | U);
    IN(t, .flags = S | F | A, .ack = 1);
    QUIET(t);
    assert_int_equal(count(t, TG_C_tcp_bad_segment), 3);
    IN(t, .flags = F | P | U); /* xmas: no ACK, no SYN: dropped by a listener (s3.10.7.2, fourth) */
    IN(t, .flags = 0, .seq = 100, .len = 7);
    QUIET(t);
    assert_int_equal(count(t, TG_C_tcp_bad_segment), 5);
    t->tuple.local_port = 81; /* nobody listens: the answer of CLOSED */
    IN(t, .flags = F | P | U);
    OUT(t, .flags = R | A, .seq = ANY, .ack = ANY);
    assert_int_equal(tcp_connection_count(t->node.tcp), 0);
    trace_end(t);
}

static void malformed_options_drop_the_segment(void **state)
{
    struct trace *t = trace_start(state);
    IN(t, .flags = S, .raw_options = SPAN_LITERAL("\2\0\5\xb4"));
    IN(t, .flags = S, .raw_options = SPAN_LITERAL("\2\x40\5\xb4"));
    QUIET(t);
    assert_int_equal(count(t, TG_C_tcp_bad_options), 2);
    trace_end(t);
}

static void foreign_addresses_get_nothing(void **state)
{
    struct trace *t = trace_start(state);
    t->tuple.local = test_addr(trace_is6(state) ? "2001:db8:1::77" : "192.0.2.77");
    IN(t, .flags = S);
    IN(t, .flags = A, .ack = 1);
    QUIET(t);
    assert_int_equal(count(t, TG_C_net_not_for_us), 2);
    trace_end(t);
}

static void the_rst_verdict_resets(void **state)
{
    struct trace *t = trace_start(state);
    struct seg s = {.flags = S};
    struct buf *b = trace_make(t, &s);
    assert_int_equal(wire_parse(b, &t->node.toeplitz), TG_C_none);
    b->verdict = BUF_RST;
    tcp_input(t->node.tcp, &b, 1, t->node.now);
    trace_collect(t);
    OUT(t, .flags = R | A, .seq = ANY, .ack = 1);
    assert_int_equal(tcp_connection_count(t->node.tcp), 0);
    trace_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(syn_ack_answers_in_kind),
        BOTH(plain_syn_gets_a_plain_answer),
        BOTH(mss_offer_is_capped),
        BOTH(silly_mss_and_scale_are_survived),
        BOTH(data_on_a_syn_is_not_taken),
        BOTH(repeated_syn_gets_the_same_syn_ack),
        BOTH(half_open_expires),
        BOTH(half_open_limit_holds),
        BOTH(connection_limit_holds),
        BOTH(wrong_ack_of_a_half_open_gets_rst),
        BOTH(rst_ends_a_half_open_silently),
        BOTH(data_and_fin_may_complete_the_handshake),
        BOTH(listeners_come_and_go),
        BOTH(nobody_answers_as_the_rfc_says),
        BOTH(syn_with_fin_is_dropped),
        BOTH(malformed_options_drop_the_segment),
        BOTH(foreign_addresses_get_nothing),
        BOTH(the_rst_verdict_resets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
