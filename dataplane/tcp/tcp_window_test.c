/* SPDX-License-Identifier: BSD-3-Clause
 * Windows: the peer's, its probes and the silly-window rules; ours, which never moves back.
 */
#include "tcp/tcp_trace.h"

#define MSS 1000u

static struct trace *established(void **state)
{
    return trace_established(state, (struct seg){.mss = MSS, .sack_ok = true});
}

/* --- the peer's window ------------------------------------------------------------------------------------------ */

static void the_window_is_the_limit(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = 3000);
    trace_write(t, 0, 10000);
    OUT_FULL(t, 1, 3, MSS);
    QUIET(t);
    IN(t, .flags = A, .seq = 1, .ack = 1001, .win = 3000);
    OUT_FULL(t, 3001, 1, MSS);
    IN(t, .flags = A, .seq = 1, .ack = 1001, .win = 5000); /* opens without acknowledging */
    OUT_FULL(t, 4001, 2, MSS);
    QUIET(t);
    trace_end(t);
}

static void the_window_is_scaled_but_not_in_a_syn(void **state)
{
    struct trace *t = trace_start(state);
    IN(t, .flags = S, .mss = MSS, .wscale_plus_1 = 5, .win = 2000);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = 200); /* 3200 */
    t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
    trace_write(t, 0, 10000);
    OUT_FULL(t, 1, 3, MSS);
    QUIET(t);
    trace_end(t);
}

static void an_old_segment_does_not_move_the_window(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 10, .win = 2000);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 10,
       .win = 60000); /* a duplicate on its way for long */
    trace_skip(t);
    trace_write(t, 0, 5000);
    OUT_FULL(t, 1, 2, MSS);
    QUIET(t);
    trace_end(t);
}

static void a_shut_window_is_probed(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = WIN_ZERO);
    trace_write(t, 0, 100);
    QUIET(t);
    tg_ns rto = trace_info(t).rto, wait = rto;
    for (unsigned i = 0; i < 6; i++) {
        trace_advance(t, wait - 3 * TG_MS);
        QUIET(t);
        trace_advance(t, 5 * TG_MS);
        OUT(t, .flags = A, .seq = 0, .ack = 1); /* old bytes: the peer must answer */
        IN(t, .flags = A, .seq = 1, .ack = 1, .win = WIN_ZERO);
        QUIET(t);
        wait = (rto << (i + 1)) - 2 * TG_MS; /* twice as long each time; 2 ms are spent */
    }
    assert_int_equal(node_counted(&t->node, TG_C_tcp_zero_window_probes), 6);
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = 1000);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 100);
    assert_int_equal(trace_pcb(t)->act->backoff, 0);
    trace_end(t);
}

static void a_patient_user_waits_at_a_shut_window(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = WIN_ZERO);
    trace_write(t, 0, 100);
    for (unsigned i = 0; i < 60; i++) { /* two hours: each probe is answered */
        trace_advance(t, 121 * TG_S);
        assert_true(trace_skip(t) > 0);
        IN(t, .flags = A, .seq = 1, .ack = 1, .win = WIN_ZERO);
    }
    node_expect_no_event(&t->node);
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = 1000);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 100);
    trace_end(t);
}

static void silence_at_a_shut_window_ends_it(void **state)
{
    struct tcp_config c = node_config();
    c.retries = 4;
    struct trace *t = trace_new(&c, trace_is6(state));
    trace_accept(t, (struct seg){.mss = MSS});
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = WIN_ZERO);
    trace_write(t, 0, 100);
    trace_advance(t, 60 * TG_S);
    assert_int_equal(trace_skip(t), 4);
    node_expect_closed(&t->node, 0, TG_TIMEOUT);
    trace_end(t);
}

/* Sockstress: a connection that nobody owns any more is not held by a shut window. */
static void a_shut_window_does_not_hold_an_orphan(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = WIN_ZERO);
    trace_write(t, 0, 100);
    tcp_close(t->node.tcp, t->h);
    for (unsigned i = 0; i < 40 && tcp_connection_count(t->node.tcp); i++) {
        trace_advance(t, 10 * TG_S);
        trace_skip(t);
        if (tcp_connection_count(t->node.tcp))
            IN(t, .flags = A, .seq = 1, .ack = 1, .win = WIN_ZERO);
    }
    assert_int_equal(tcp_connection_count(t->node.tcp), 0);
    trace_end(t);
}

/* The window has opened: what leaves now has all its retransmissions, whatever the probes have used up. */
static void probes_do_not_count_against_an_orphans_text(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = WIN_ZERO);
    trace_write(t, 0, 100);
    tcp_close(t->node.tcp, t->h);
    for (unsigned i = 0; i < 2; i++) { /* 0.2 s to 6.4 s: five probes, answered */
        trace_advance(t, 5 * TG_S);
        assert_true(trace_skip(t) > 0);
        IN(t, .flags = A, .seq = 1, .ack = 1, .win = WIN_ZERO);
    }
    IN(t, .flags = A, .seq = 1, .ack = 1);
    trace_skip(t);
    trace_advance(t, 50 * TG_S); /* 0.2 s doubled seven times */
    assert_int_equal(node_counted(&t->node, TG_C_tcp_timed_out), 0);
    trace_advance(t, 100 * TG_S);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_timed_out), 1);
    trace_skip(t);
    trace_end(t);
}

static void a_silly_window_waits_for_the_override(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = 200); /* largest seen: 65535 */
    trace_write(t, 0, 5000);
    QUIET(t);
    trace_advance(t, trace_info(t).rto + 5 * TG_MS);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 200);
    QUIET(t);
    IN(t, .flags = A, .seq = 1, .ack = 201, .win = 5000);
    OUT(t, .flags = A, .seq = 201, .ack = 1, .len = 800); /* the rest of the cut segment */
    OUT_FULL(t, 1001, 4, MSS);
    trace_end(t);
}

static void a_peer_with_a_tiny_buffer_is_served(void **state)
{
    struct trace *t = trace_start(state);
    IN(t, .flags = S, .mss = MSS, .win = 100);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = 100);
    t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
    trace_write(t, 0, 350);
    for (unsigned i = 0; i < 3; i++) { /* at once: half of the largest window it ever had */
        OUT(t, .flags = A, .seq = 1 + 100 * i, .ack = 1, .len = 100);
        QUIET(t);
        IN(t, .flags = A, .seq = 1, .ack = 101 + 100 * i, .win = 100);
    }
    OUT(t, .flags = A, .seq = 301, .ack = 1, .len = 50);
    trace_end(t);
}

static void a_fin_passes_a_window_that_is_just_full(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = 1000);
    uint8_t bytes[1000];
    stream_fill(bytes, 0, 1000);
    assert_int_equal(tcp_write(t->node.tcp, t->h, span_make(bytes, 1000)), 1000);
    tcp_shutdown(t->node.tcp, t->h);
    trace_collect(t);
    OUT(t, .flags = A | F, .seq = 1, .ack = 1, .len = 1000);
    IN(t, .flags = A, .seq = 1, .ack = 1001, .win = WIN_ZERO); /* took the text, not the FIN */
    trace_advance(t, trace_info(t).rto + 5 * TG_MS);
    OUT(t, .flags = A | F, .seq = 1001, .ack = 1);
    IN(t, .flags = A, .seq = 1, .ack = 1002);
    assert_int_equal(trace_info(t).state, TCP_S_FIN_WAIT_2);
    trace_end(t);
}

/* A window that is taken back (a sin, RFC 9293 s3.8.6) must not break us. */
static void a_shrinking_window_is_survived(void **state)
{
    struct trace *t = established(state);
    trace_write(t, 0, 10000);
    OUT_FULL(t, 1, 10, MSS);
    IN(t, .flags = A, .seq = 1, .ack = 2001, .win = 1000);
    QUIET(t);
    IN(t, .flags = A, .seq = 1, .ack = 10001, .win = WIN_ZERO);
    trace_write(t, 10000, 500);
    QUIET(t);
    IN(t, .flags = A, .seq = 1, .ack = 10001, .win = 500);
    trace_advance(t, 3 * TG_S);
    assert_true(trace_skip(t) > 0);
    trace_end(t);
}

/* --- our window -------------------------------------------------------------------------------------------------- */

static void not_reading_shuts_the_window_and_reading_opens_it(void **state)
{
    struct tcp_config c = node_config();
    c.receive_window_max = 8000;
    struct trace *t = trace_new(&c, trace_is6(state));
    trace_accept(t, (struct seg){.mss = MSS});
    for (unsigned i = 0; i < 8; i++)
        IN(t, .flags = A, .seq = 1 + 1000 * i, .ack = 1, .len = 1000);
    for (unsigned i = 0; i < 4; i++)
        OUT(t, .flags = A, .seq = 1, .ack = 2001 + 2000 * i,
            .win = i == 3 ? WIN_ZERO : 6000 - 2000 * (int)i);
    trace_read(t, 0, 500);
    QUIET(t); /* not worth it: half a segment */
    trace_read(t, 500, 1499);
    QUIET(t);
    trace_read(t, 1999, 1);
    OUT(t, .flags = A, .seq = 1, .ack = 8001, .win = 2000);
    trace_read(t, 2000, 6000);
    OUT(t, .flags = A, .seq = 1, .ack = 8001, .win = 8000);
    trace_end(t);
}

static void the_edge_never_moves_back(void **state)
{
    struct trace *t = trace_start(state);
    trace_accept(
        t, (struct seg){.mss = 1460, .wscale_plus_1 = 8}); /* our scale: 3, so a unit is 8 bytes */
    uint32_t edge = 1 + 65535, seq = 1;
    struct prng p;
    prng_seed(&p, 4);
    for (unsigned i = 0; i < 3000; i++) {
        uint32_t n = 1 + (uint32_t)prng_below(&p, 1400);
        if (trace_info(t).unread > 200000)
            trace_read(t, seq - 1 - trace_info(t).unread, 1 + (uint32_t)prng_below(&p, 150000));
        IN(t, .flags = A, .seq = seq, .ack = 1, .len = n);
        seq += n;
        trace_advance(t, 41 * TG_MS);
        while (t->first != t->end) {
            OUT(t, .flags = A, .seq = 1, .ack = ANY);
            uint32_t now = t->out.ack - t->peer_iss + ((uint32_t)t->out.window << 3);
            assert_true(seq_le(edge, now));
            edge = now;
        }
    }
    assert_true(edge > 1000000);
    trace_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(the_window_is_the_limit),
        BOTH(the_window_is_scaled_but_not_in_a_syn),
        BOTH(an_old_segment_does_not_move_the_window),
        BOTH(a_shut_window_is_probed),
        BOTH(a_patient_user_waits_at_a_shut_window),
        BOTH(silence_at_a_shut_window_ends_it),
        BOTH(a_shut_window_does_not_hold_an_orphan),
        BOTH(probes_do_not_count_against_an_orphans_text),
        BOTH(a_silly_window_waits_for_the_override),
        BOTH(a_peer_with_a_tiny_buffer_is_served),
        BOTH(a_fin_passes_a_window_that_is_just_full),
        BOTH(a_shrinking_window_is_survived),
        BOTH(not_reading_shuts_the_window_and_reading_opens_it),
        BOTH(the_edge_never_moves_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
