/* SPDX-License-Identifier: BSD-3-Clause
 * RFC 9293 s3.10.7.4 step by step: sequence numbers, RST, SYN, ACK, URG; RFC 5961 and RFC 7323; what
 * an attacker who guesses can do.
 */
#include "tcp/tcp_trace.h"

static struct trace *established(void **state)
{
    return trace_established(state, (struct seg){.mss = 1000, .sack_ok = true});
}

static struct trace *established_ts(void **state)
{
    struct trace *t = trace_start(state);
    t->ts = true;
    trace_accept(t, (struct seg){PEER_OPTIONS});
    return t;
}

static void stays_established(struct trace *t)
{
    assert_int_equal(trace_info(t).state, TCP_S_ESTABLISHED);
    node_expect_no_event(&t->node);
}

/* --- first: sequence number ------------------------------------------------------------------------------ */

static void text_outside_the_window_is_answered_and_dropped(void **state)
{
    struct trace *t = established(state);
    uint32_t edge = trace_pcb(t)->rcv_adv - t->peer_iss;
    IN(t, .flags = A, .seq = edge, .ack = 1, .len = 10);
    OUT(t, .flags = A, .seq = 1, .ack = 1);
    stays_established(t);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_out_of_window), 1);
    IN(t, .flags = A, .seq = edge + 0x40000000, .ack = 1, .len = 10); /* bytes: each time */
    OUT(t, .flags = A, .seq = 1, .ack = 1);
    IN(t, .flags = A, .seq = edge + 5, .ack = 1);
    OUT(t, .flags = A, .seq = 1, .ack = 1);
    IN(t, .flags = A, .seq = edge + 5, .ack = 1);
    QUIET(t); /* without: one answer per half second */
    trace_advance(t, 500 * TG_MS);
    IN(t, .flags = A, .seq = edge + 5, .ack = 1);
    OUT(t, .flags = A, .seq = 1, .ack = 1);
    /* The last byte that fits is taken: out of order, so reported by SACK. */
    IN(t, .flags = A, .seq = edge - 1, .ack = 1, .len = 1);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .sack = {{edge - 1, edge}});
    trace_end(t);
}

static void old_text_is_acknowledged_each_time(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 100);
    trace_advance(t, 50 * TG_MS);
    OUT(t, .flags = A, .seq = 1, .ack = 101);
    for (unsigned i = 0; i < 3; i++) {
        IN(t, .flags = A, .seq = 1, .ack = 1, .len = 100);
        OUT(t, .flags = A, .seq = 1, .ack = 101, .sack = {{1, 101}});
    }
    assert_int_equal(node_counted(&t->node, TG_C_tcp_duplicate), 3);
    trace_read(t, 0, 100);
    assert_int_equal(trace_info(t).unread, 0);
    trace_end(t);
}

static void keep_alives_are_answered(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 0, .ack = 1); /* without a byte */
    OUT(t, .flags = A, .seq = 1, .ack = 1);
    IN(t, .flags = A, .seq = 0, .ack = 1, .len = 1); /* with one */
    OUT(t, .flags = A, .seq = 1, .ack = 1, .sack = {{0, 1}});
    stays_established(t);
    trace_end(t);
}

static void front_of_a_segment_is_trimmed(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 100);
    IN(t, .flags = A, .seq = 51, .ack = 1, .len = 100);
    trace_read(t, 0, 150);
    assert_int_equal(trace_info(t).unread, 0);
    trace_end(t);
}

static void tail_beyond_the_window_is_trimmed(void **state)
{
    struct tcp_config c = node_config();
    c.receive_window_max = 3000;
    struct trace *t = trace_new(&c, trace_is6(state));
    trace_accept(t, (struct seg){.mss = 1000});
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 1400);
    IN(t, .flags = A, .seq = 1401, .ack = 1, .len = 1400);
    IN(t, .flags = A | F, .seq = 2801, .ack = 1, .len = 1400);
    assert_int_equal(trace_info(t).unread, 3000);
    assert_int_equal(trace_info(t).state, TCP_S_ESTABLISHED); /* the FIN was cut off too */
    assert_int_equal(node_counted(&t->node, TG_C_tcp_rcv_full), 1);
    trace_skip(t);
    trace_read(t, 0, 3000);
    trace_end(t);
}

static void a_shut_window_still_takes_acks(void **state)
{
    struct tcp_config c = node_config();
    c.receive_window_max = 2048;
    struct trace *t = trace_new(&c, trace_is6(state));
    trace_accept(t, (struct seg){.mss = 1000});
    trace_write(t, 0, 500);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 500);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 1024);
    IN(t, .flags = A, .seq = 1025, .ack = 1, .len = 1024);
    OUT(t, .flags = A, .seq = 501, .ack = 2049, .win = WIN_ZERO);
    assert_int_equal(trace_info(t).unacked, 500);
    IN(t, .flags = A, .seq = 2049, .ack = 501, .len = 10); /* a probe with text that acknowledges */
    OUT(t, .flags = A, .seq = 501, .ack = 2049, .win = WIN_ZERO);
    assert_int_equal(trace_info(t).unacked, 0);
    assert_int_equal(trace_info(t).unread, 2048);
    trace_end(t);
}

/* --- second: RST (RFC 5961 s3) ------------------------------------------------------------------------------- */

static void exact_rst_resets(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = R, .seq = 1);
    QUIET(t);
    node_expect_closed(&t->node, 0, TG_RESET);
    assert_int_equal(tcp_connection_count(t->node.tcp), 0);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_reset_in), 1);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 5);
    OUT(t, .flags = R, .seq = 1);
    trace_end(t);
}

static void rst_with_ack_resets(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = R | A, .seq = 1,
       .ack = 0x12345); /* s3.10.7.4: the ACK of a RST is not looked at */
    node_expect_closed(&t->node, 0, TG_RESET);
    trace_end(t);
}

static void rst_in_the_window_is_challenged(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = R, .seq = 2);
    OUT(t, .flags = A, .seq = 1, .ack = 1);
    stays_established(t);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_challenge_ack), 1);
    IN(t, .flags = R, .seq = 60000);
    QUIET(t); /* limited */
    stays_established(t);
    trace_end(t);
}

static void rst_outside_the_window_is_ignored(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = R, .seq = 0);
    IN(t, .flags = R, .seq = trace_pcb(t)->rcv_adv - t->peer_iss);
    IN(t, .flags = R, .seq = 0x80000000);
    QUIET(t);
    stays_established(t);
    trace_end(t);
}

static void rst_at_a_shut_window(void **state)
{
    struct tcp_config c = node_config();
    c.receive_window_max = 2048;
    struct trace *t = trace_new(&c, trace_is6(state));
    trace_accept(t, (struct seg){.mss = 1000});
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 1024);
    IN(t, .flags = A, .seq = 1025, .ack = 1, .len = 1024);
    trace_skip(t);
    IN(t, .flags = R, .seq = 2050);
    QUIET(t);
    IN(t, .flags = R, .seq = 2049);
    /* What came before the reset can still be read; then the handle dies. */
    t->h = node_expect_event(&t->node, TCP_EV_READABLE);
    assert_int_equal(tcp_unread(t->node.tcp, t->h), 2048);
    assert_int_equal(tcp_writable(t->node.tcp, t->h), 0);
    trace_read(t, 0, 2048);
    node_expect_closed(&t->node, 0, TG_RESET);
    trace_end(t);
}

static void rst_in_every_state_ends_it(void **state)
{
    for (unsigned which = 0; which < 6; which++) {
        struct trace *t = established(state);
        bool peer_first = which >= 4;
        if (peer_first)
            IN(t, .flags = A | F, .seq = 1, .ack = 1); /* CLOSE-WAIT */
        if (which >= 1 && which != 4) {
            tcp_shutdown(t->node.tcp, t->h); /* FIN-WAIT-1 or LAST-ACK */
            trace_collect(t);
        }
        if (which == 2)
            IN(t, .flags = A, .seq = 1, .ack = 2); /* FIN-WAIT-2 */
        if (which == 3)
            IN(t, .flags = A | F, .seq = 1, .ack = 1); /* CLOSING */
        static const uint8_t states[] = {TCP_S_ESTABLISHED, TCP_S_FIN_WAIT_1, TCP_S_FIN_WAIT_2,
                                         TCP_S_CLOSING,     TCP_S_CLOSE_WAIT, TCP_S_LAST_ACK};
        assert_int_equal(trace_info(t).state, states[which]);
        bool fin_in = peer_first || which == 3;
        IN(t, .flags = R, .seq = fin_in ? 2 : 1);
        node_expect_closed(&t->node, fin_in ? TCP_EV_PEER_FIN : 0, TG_RESET);
        assert_int_equal(tcp_connection_count(t->node.tcp), 0);
        trace_end(t);
    }
}

/* --- fourth: SYN (RFC 5961 s4) --------------------------------------------------------------------------------- */

static void syn_is_challenged_wherever_it_lies(void **state)
{
    const uint32_t seqs[] = {0, 1, 2, 5000, 0x70000000, 0x80000001};
    for (unsigned i = 0; i < TG_ARRAY_LEN(seqs); i++) {
        struct trace *t = established(state);
        IN(t, .flags = i & 1 ? S : S | A, .seq = seqs[i], .ack = 1);
        OUT(t, .flags = A, .seq = 1, .ack = 1);
        stays_established(t);
        assert_int_equal(node_counted(&t->node, TG_C_tcp_challenge_ack), 1);
        trace_end(t);
    }
}

static void syn_with_rst_is_a_rst(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = S | R, .seq = 1);
    node_expect_closed(&t->node, 0, TG_RESET);
    trace_end(t);
}

/* --- fifth: ACK --------------------------------------------------------------------------------------------------- */

static void ack_of_the_future_is_challenged(void **state)
{
    struct trace *t = established(state);
    trace_write(t, 0, 100);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 100);
    IN(t, .flags = A, .seq = 1, .ack = 102, .len = 10);
    OUT(t, .flags = A, .seq = 101, .ack = 1);
    assert_int_equal(trace_info(t).unread, 0); /* the text goes with it */
    assert_int_equal(trace_info(t).unacked, 100);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_bad_ack), 1);
    trace_end(t);
}

static void ack_of_the_distant_past_is_challenged(void **state)
{
    struct trace *t = established(state); /* largest window seen: 65535 */
    IN(t, .flags = A, .seq = 1, .ack = 1 - 65536, .len = 10);
    OUT(t, .flags = A, .seq = 1, .ack = 1);
    assert_int_equal(trace_info(t).unread, 0);
    IN(t, .flags = A, .seq = 1, .ack = 1 - 65535, .len = 10); /* just old: the text counts */
    assert_int_equal(trace_info(t).unread, 10);
    trace_end(t);
}

static void no_ack_no_text(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = 0, .seq = 1, .len = 10);
    IN(t, .flags = F, .seq = 1, .len = 10);
    IN(t, .flags = P | U, .seq = 1, .len = 10);
    QUIET(t);
    stays_established(t);
    assert_int_equal(trace_info(t).unread, 0);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_bad_segment), 3);
    trace_end(t);
}

/* A challenge budget per second for the whole stack, and an amount that cannot be counted upon. */
static void challenges_are_limited_in_total(void **state)
{
    struct tcp_config c = node_config();
    c.connections_max = 400;
    c.half_open_max = 400;
    struct trace *t = trace_new(&c, trace_is6(state));
    unsigned answers[2] = {0, 0};
    for (unsigned i = 0; i < 300; i++) {
        t->tuple.remote_port = (uint16_t)(1000 + i);
        trace_accept(t, (struct seg){.mss = 1000});
        IN(t, .flags = R, .seq = 2);
        answers[0] += trace_skip(t);
    }
    assert_true(answers[0] >= 100 && answers[0] < 200);
    trace_advance(t, TG_S);
    IN(t, .flags = R, .seq = 2);
    OUT(t, .flags = A, .seq = 1, .ack = 1);
    trace_end(t);
}

/* --- sixth: URG ----------------------------------------------------------------------------------------------------- */

static void urgent_is_ignored(void **state)
{
    struct trace *t = established(state);
    const uint16_t pointers[] = {0, 1, 5, 65535};
    for (unsigned i = 0; i < TG_ARRAY_LEN(pointers); i++) {
        struct seg s = {.flags = A | U | (i == 3 ? F : 0), .seq = 1 + 10 * i, .ack = 1, .len = 10};
        struct buf *b = trace_make(t, &s);
        unsigned l4 = ETH_BYTES + trace_headers(t) - TCP_BYTES;
        wire_put16(b->data + l4 + 18, pointers[i]); /* behind the checksum's back */
        b->flags |= BUF_RX_L4_CSUM_GOOD;
        assert_int_equal(node_receive(&t->node, b), TG_C_none);
    }
    trace_collect(t);
    node_expect_event(&t->node, TCP_EV_READABLE | TCP_EV_PEER_FIN);
    assert_int_equal(trace_info(t).unread, 40);
    trace_read(t, 0, 40); /* in line, at its place */
    trace_end(t);
}

/* --- timestamps (RFC 7323) -------------------------------------------------------------------------------------------- */

static void paws_drops_and_answers(void **state)
{
    struct trace *t = established_ts(state);
    uint32_t now = (uint32_t)(t->node.now / TG_MS);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 10, .ts_value = now - 1);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .ts_echo = now);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_paws), 1);
    assert_int_equal(trace_info(t).unread, 0);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 10, .ts_value = now); /* equal is fine */
    assert_int_equal(trace_info(t).unread, 10);
    trace_end(t);
}

static void paws_does_not_judge_rst(void **state)
{
    struct trace *t = established_ts(state);
    IN(t, .flags = R, .seq = 1, .ts_value = 1);
    node_expect_closed(&t->node, 0, TG_RESET);
    t->tuple.remote_port++;
    trace_accept(t, (struct seg){PEER_OPTIONS});
    IN(t, .flags = R, .seq = 1, .no_ts = true);
    node_expect_closed(&t->node, 0, TG_RESET);
    trace_end(t);
}

static void paws_forgets_after_24_days(void **state)
{
    struct trace *t = established_ts(state);
    uint32_t now = (uint32_t)(t->node.now / TG_MS);
    t->node.now += (tg_ns)25 * 24 * 3600 * TG_S; /* nothing is armed */
    timers_run(&t->node.wheel, t->node.now, UINT32_MAX);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 10, .ts_value = now - 100);
    assert_int_equal(trace_info(t).unread, 10);
    trace_advance(t, 50 * TG_MS);
    OUT(t, .flags = A, .seq = 1, .ack = 11, .ts_echo = now - 100);
    trace_end(t);
}

static void missing_timestamps_drop_the_segment(void **state)
{
    struct trace *t = established_ts(state);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 10, .no_ts = true);
    QUIET(t);
    assert_int_equal(trace_info(t).unread, 0);
    trace_end(t);
}

static void uninvited_timestamps_are_ignored(void **state)
{
    struct trace *t = established(state);
    t->ts = true;
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 1000, .ts_value = 7);
    IN(t, .flags = A, .seq = 1001, .ack = 1, .len = 1000, .ts_value = 3);
    OUT(t, .flags = A, .seq = 1, .ack = 2001);
    assert_false(t->out_options.has_timestamps);
    trace_end(t);
}

/* RFC 7323 s4.3 (A): with delayed ACKs the echo is the earliest unacknowledged segment's. */
static void echo_is_of_the_segment_at_the_left_edge(void **state)
{
    struct trace *t = established_ts(state);
    uint32_t base = (uint32_t)(t->node.now / TG_MS);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 100, .ts_value = base + 10);
    IN(t, .flags = A, .seq = 101, .ack = 1, .len = 100, .ts_value = base + 20);
    OUT(t, .flags = A, .seq = 1, .ack = 201, .ts_echo = base + 10);
    /* (B): a hole keeps the old echo; its filling takes the filler's. */
    IN(t, .flags = A, .seq = 301, .ack = 1, .len = 100, .ts_value = base + 40);
    OUT(t, .flags = A, .seq = 1, .ack = 201, .ts_echo = base + 10, .sack = {{301, 401}});
    IN(t, .flags = A, .seq = 201, .ack = 1, .len = 100, .ts_value = base + 30);
    OUT(t, .flags = A, .seq = 1, .ack = 401, .ts_echo = base + 30);
    trace_end(t);
}

static void our_timestamps_are_monotone_in_milliseconds(void **state)
{
    struct trace *t = established_ts(state);
    trace_write(t, 0, 10);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 10);
    uint32_t before = t->last_ts;
    trace_advance(t, 100 * TG_MS);
    trace_write(t, 10, 10);
    OUT(t, .flags = A, .seq = 11, .ack = 1, .len = 10, .ts_value = before + 100);
    trace_end(t);
}

/* --- bad options in mid-flow, and a random peer ----------------------------------------------------------------------- */

static void malformed_options_drop_text(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 10, .raw_options = SPAN_LITERAL("\1\1\x8\1"));
    IN(t, .flags = R, .seq = 1, .raw_options = SPAN_LITERAL("\x8\0\1\1"));
    QUIET(t);
    stays_established(t);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_bad_options), 2);
    trace_end(t);
}

static void blind_segments_do_no_harm(void **state)
{
    struct trace *t = established(state);
    struct prng p;
    prng_seed(&p, 99);
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t r = prng_next(&p);
        struct seg s = {.flags = (uint8_t)(r & 0x3f),
                        .seq = (uint32_t)(r >> 8),
                        .ack = (uint32_t)prng_next(&p),
                        .len = (uint32_t)(r >> 40 & 15),
                        .win = 1 + (int32_t)(r >> 48 & 0x7fff)};
        /* Not within the window, nor anything that could be right by chance. */
        if (s.seq - 1 < 300000 || s.seq > 0xffff0000u || s.ack < 70000 || s.ack > 0xfffe0000u)
            continue;
        IN_BURST(t, s);
        t->node.now += TG_MS;
        trace_skip(t);
    }
    stays_established(t);
    assert_int_equal(trace_info(t).unread, 0);
    trace_write(t, 0, 100);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 100);
    trace_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(text_outside_the_window_is_answered_and_dropped),
        BOTH(old_text_is_acknowledged_each_time),
        BOTH(keep_alives_are_answered),
        BOTH(front_of_a_segment_is_trimmed),
        BOTH(tail_beyond_the_window_is_trimmed),
        BOTH(a_shut_window_still_takes_acks),
        BOTH(exact_rst_resets),
        BOTH(rst_with_ack_resets),
        BOTH(rst_in_the_window_is_challenged),
        BOTH(rst_outside_the_window_is_ignored),
        BOTH(rst_at_a_shut_window),
        BOTH(rst_in_every_state_ends_it),
        BOTH(syn_is_challenged_wherever_it_lies),
        BOTH(syn_with_rst_is_a_rst),
        BOTH(ack_of_the_future_is_challenged),
        BOTH(ack_of_the_distant_past_is_challenged),
        BOTH(no_ack_no_text),
        BOTH(challenges_are_limited_in_total),
        BOTH(urgent_is_ignored),
        BOTH(paws_drops_and_answers),
        BOTH(paws_does_not_judge_rst),
        BOTH(paws_forgets_after_24_days),
        BOTH(missing_timestamps_drop_the_segment),
        BOTH(uninvited_timestamps_are_ignored),
        BOTH(echo_is_of_the_segment_at_the_left_edge),
        BOTH(our_timestamps_are_monotone_in_milliseconds),
        BOTH(malformed_options_drop_text),
        BOTH(blind_segments_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
