/* SPDX-License-Identifier: BSD-3-Clause
 * Requirements of RFC 9293 that no other test is about. docs/rfc9293.md maps every requirement to its test, here or
 * elsewhere.
 */
#include "tcp/tcp_trace.h"

static struct trace *established(void **state)
{
    return trace_established(state, (struct seg){PEER_OPTIONS});
}

/* MUST-1, REC-1: a window is unsigned, and 32 bits wide where it is computed with. */
static void the_largest_window_is_no_negative_one(void **state)
{
    struct trace *t = trace_start(state);
    trace_accept(t, (struct seg){.mss = 1012, .wscale_plus_1 = 15});
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = 65535);
    assert_int_equal(trace_pcb(t)->snd_wnd, 65535u << 14);
    trace_write(t, 0, 5000);
    assert_int_equal(trace_skip(t), 5);
    IN(t, .flags = A, .seq = 1, .ack = 5001, .win = 32768); /* the top bit of the field */
    assert_int_equal(trace_pcb(t)->snd_wnd, 32768u << 14);
    trace_write(t, 5000, 1000);
    assert_int_equal(trace_skip(t), 1);
    trace_end(t);
}

/* MUST-5, MUST-6: options may come in any segment, known or not. */
static void unknown_options_do_no_harm_anywhere(void **state)
{
    static const uint8_t unknown[] = {253, 4, 1, 2, 77, 2, 1, 1};
    struct trace *t = trace_start(state);
    IN(t, .flags = S, .raw_options = span_make(unknown, sizeof unknown));
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    IN(t, .flags = A, .seq = 1, .ack = 1, .raw_options = span_make(unknown, sizeof unknown));
    t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 10,
       .raw_options = span_make(unknown, sizeof unknown));
    trace_read(t, 0, 10);
    IN(t, .flags = A | F, .seq = 11, .ack = 1, .raw_options = span_make(unknown, sizeof unknown));
    assert_int_equal(trace_info(t).state, TCP_S_CLOSE_WAIT);
    trace_end(t);
}

/* MUST-64: an option may begin at any byte. */
static void options_need_no_alignment(void **state)
{
    static const uint8_t odd[] = {1, 3, 3, 7, 1, 4, 2, 2, 4, 0x03, 0xf4, 0};
    struct trace *t = trace_start(state);
    IN(t, .flags = S, .raw_options = span_make(odd, sizeof odd));
    OUT(t, .flags = S | A, .seq = 0, .ack = 1, .sack_ok = true, .wscale_plus_1 = 4);
    IN(t, .flags = A, .seq = 1, .ack = 1);
    t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
    assert_int_equal(trace_info(t).mss, 1012);
    assert_int_equal(trace_pcb(t)->snd_scale, 7);
    trace_end(t);
}

/* MUST-65, and RFC 7323 s2.2, RFC 2018 s2: what belongs to SYNs is in SYNs only. */
static void only_a_syn_negotiates(void **state)
{
    struct trace *t = trace_start(state);
    t->ts = true;
    trace_accept(t, (struct seg){PEER_OPTIONS});
    trace_write(t, 0, 100);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 100);
    assert_false(t->out_options.has_mss || t->out_options.has_wscale ||
                 t->out_options.sack_permitted);
    tcp_shutdown(t->node.tcp, t->h);
    trace_collect(t);
    OUT(t, .flags = A | F, .seq = 101, .ack = 1);
    assert_false(t->out_options.has_mss || t->out_options.has_wscale ||
                 t->out_options.sack_permitted);
    trace_end(t);
}

/* And what comes outside of a SYN changes nothing. */
static void negotiation_ends_with_the_syn(void **state)
{
    static const uint8_t late[] = {2, 4, 2, 0, 3, 3, 14, 1};
    struct trace *t = established(state);
    uint16_t mss = trace_info(t).mss;
    IN(t, .flags = A, .seq = 1, .ack = 1, .raw_options = span_make(late, sizeof late));
    assert_int_equal(trace_info(t).mss, mss);
    assert_int_equal(trace_pcb(t)->snd_scale, 7);
    trace_end(t);
}

/* SHLD-2. */
static void a_reset_may_carry_text(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = R, .seq = 1, .len = 40);
    node_expect_closed(&t->node, 0, TG_RESET);
    trace_end(t);
}

/* MUST-43, MUST-45: the user may say from where. */
static void an_open_may_name_its_address(void **state)
{
    struct trace *t = trace_start(state);
    t->tuple.remote_port = 443;
    assert_int_equal(
        tcp_connect(t->node.tcp, &t->tuple.local, &t->tuple.remote, 443, 0, 5, t->node.now, &t->h),
        TG_OK);
    t->tuple.local_port = trace_info(t).tuple.local_port;
    struct tcp_info info = trace_info(t);
    assert_true(ip_addr_equal(&info.tuple.local, &t->tuple.local));
    trace_collect(t);
    OUT(t, .flags = S, .seq = 0);
    trace_end(t);
}

/* MUST-41: a LISTEN touches no connection, not even of its own port. */
static void listening_disturbs_nobody(void **state)
{
    struct trace *t = established(state);
    struct tcp *tcp = t->node.tcp;
    assert_int_equal(tcp_listen(tcp, 81, 2), TG_OK);
    assert_int_equal(tcp_listen(tcp, 80, 3), TG_EXISTS);
    tcp_unlisten(tcp, 80);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 10);
    trace_read(t, 0, 10);
    assert_int_equal(tcp_listen(tcp, 80, 3), TG_OK);
    IN(t, .flags = A, .seq = 11, .ack = 1, .len = 10);
    trace_read(t, 10, 10);
    assert_int_equal(trace_info(t).state, TCP_S_ESTABLISHED);
    trace_end(t);
}

/* SHLD-11: R2 of at least 100 seconds. */
static void data_is_sent_again_for_more_than_100_seconds(void **state)
{
    struct trace *t = established(state);
    trace_write(t, 0, 100);
    trace_advance(t, 600 * TG_S);
    node_expect_no_event(&t->node);
    IN(t, .flags = A, .seq = 1, .ack = 101);
    assert_int_equal(trace_info(t).unacked, 0);
    trace_end(t);
}

/* MAY-8, s3.8.6.1: text beyond a shut window is not taken, an ACK says where we stand. */
static void a_user_that_does_not_read_is_no_error(void **state)
{
    struct tcp_config c = node_config();
    c.receive_window_max = c.receive_window_initial = 2048;
    struct trace *t = trace_new(&c, trace_is6(state));
    trace_accept(t, (struct seg){.mss = 1012});
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 1024);
    IN(t, .flags = A, .seq = 1025, .ack = 1, .len = 1024);
    trace_skip(t);
    for (unsigned i = 0; i < 20; i++) {
        trace_advance(t, 60 * TG_S);
        IN(t, .flags = A, .seq = 2049, .ack = 1, .len = 1);
        OUT(t, .flags = A, .seq = 1, .ack = 2049, .win = WIN_ZERO);
    }
    trace_read(t, 0, 2048);
    OUT(t, .flags = A, .seq = 1, .ack = 2049, .win = 2048);
    trace_end(t);
}

/* s3.10.1, s3.10.2, s3.10.4: calls on what does not exist any more do nothing and say so. */
static void calls_on_a_dead_connection_are_told(void **state)
{
    struct trace *t = established(state);
    struct tcp *tcp = t->node.tcp;
    struct span_room room;
    tcp_abort(tcp, t->h);
    trace_skip(t);
    struct tcp_info info;
    assert_int_equal(tcp_write(tcp, t->h, span_make("x", 1)), 0);
    assert_int_equal(tcp_reserve(tcp, t->h, 1, &room), TG_STALE);
    assert_int_equal(tcp_get_info(tcp, t->h, &info), TG_STALE);
    assert_int_equal(tcp_unread(tcp, t->h), 0);
    assert_int_equal(tcp_writable(tcp, t->h), 0);
    assert_null(tcp_take(tcp, t->h, 10));
    tcp_shutdown(tcp, t->h);
    tcp_close(tcp, t->h);
    tcp_abort(tcp, t->h);
    QUIET(t);
    trace_end(t);
}

/* s3.10.4: CLOSE of what is closing already changes nothing. */
static void a_second_shutdown_changes_nothing(void **state)
{
    struct trace *t = established(state);
    tcp_shutdown(t->node.tcp, t->h);
    trace_collect(t);
    OUT(t, .flags = A | F, .seq = 1, .ack = 1);
    tcp_shutdown(t->node.tcp, t->h);
    trace_collect(t);
    QUIET(t);
    assert_int_equal(tcp_write(t->node.tcp, t->h, span_make("x", 1)), 0); /* "connection closing" */
    IN(t, .flags = A, .seq = 1, .ack = 2);
    assert_int_equal(trace_info(t).state, TCP_S_FIN_WAIT_2);
    IN(t, .flags = A, .seq = 1, .ack = 2, .len = 10); /* half-closed: the peer may go on */
    trace_read(t, 0, 10);
    trace_end(t);
}

/* Reserved bits of the header: zero in what we send, ignored in what comes (s3.1). */
static void reserved_bits_are_ignored(void **state)
{
    struct trace *t = established(state);
    struct seg s = {.flags = A, .seq = 1, .ack = 1, .len = 10};
    struct buf *b = trace_make(t, &s);
    unsigned l4 = ETH_BYTES + trace_headers(t) - TCP_BYTES;
    b->data[l4 + 12] |= 0x0e; /* behind the checksum's back */
    b->flags |= BUF_RX_L4_CSUM_GOOD;
    assert_int_equal(node_receive(&t->node, b), TG_C_none);
    trace_read(t, 0, 10);
    trace_skip(t);
    trace_write(t, 0, 10);
    const struct buf *out = t->frames[t->first % TRACE_FRAMES];
    assert_int_equal(wire_l4(out)[12] & 0x0e, 0);
    trace_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(the_largest_window_is_no_negative_one),
        BOTH(unknown_options_do_no_harm_anywhere),
        BOTH(options_need_no_alignment),
        BOTH(only_a_syn_negotiates),
        BOTH(negotiation_ends_with_the_syn),
        BOTH(a_reset_may_carry_text),
        BOTH(an_open_may_name_its_address),
        BOTH(listening_disturbs_nobody),
        BOTH(data_is_sent_again_for_more_than_100_seconds),
        BOTH(a_user_that_does_not_read_is_no_error),
        BOTH(calls_on_a_dead_connection_are_told),
        BOTH(a_second_shutdown_changes_nothing),
        BOTH(reserved_bits_are_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
