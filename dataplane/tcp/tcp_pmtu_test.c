/* SPDX-License-Identifier: BSD-3-Clause
 * The path's MTU: which claims of ICMP are believed and when, and black holes that say nothing.
 */
#include "tcp/tcp_pmtu_trace.h"

/* The path has carried a full segment. */
static struct trace *proven(void **state)
{
    struct trace *t = established(state);
    uint32_t mss = trace_info(t).mss;
    trace_write(t, 0, mss);
    IN(t, .flags = A, .seq = 1, .ack = 1 + mss);
    return t;
}

/* --- ICMP --------------------------------------------------------------------------------------------- */

static void a_claim_about_a_small_segment_is_a_lie(void **state)
{
    struct trace *t = established(state);
    trace_write(t, 0, 200);
    too_big(t, 1, 1300); /* the segment quoted is far below that */
    assert_int_equal(mtu_of(t), FULL_MTU);
    assert_int_equal(counted(t, TG_C_tcp_mtu_reduced), 0);
    trace_end(t);
}

static void before_anything_has_passed_a_claim_counts_at_once(void **state)
{
    struct trace *t = established(state);
    trace_write(t, 0, trace_info(t).mss);
    trace_skip(t);
    too_big(t, 1, 1400);
    assert_int_equal(mtu_of(t), 1400);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 1400 - trace_headers(t));
    trace_end(t);
}

/* RFC 5927 s7.2: larger packets have arrived, so the claim waits for the loss of the one that it quotes. */
static void a_claim_against_the_evidence_waits_for_proof(void **state)
{
    struct trace *t = proven(state);
    uint32_t mss = trace_info(t).mss;
    trace_write(t, mss, mss);
    trace_skip(t);
    too_big(t, 1 + mss, 1300);
    assert_int_equal(mtu_of(t), FULL_MTU);
    QUIET(t);
    trace_advance(t, TG_S); /* it is really lost */
    assert_int_equal(mtu_of(t), 1300);
    OUT(t, .flags = A, .seq = 1 + mss, .ack = 1, .len = mss); /* the tail loss probe */
    OUT(t, .flags = A, .seq = 1 + mss, .ack = 1, .len = 1300 - trace_headers(t));
    trace_end(t);
}

static void a_claim_that_an_ack_refutes_is_forgotten(void **state)
{
    struct trace *t = proven(state);
    uint32_t mss = trace_info(t).mss;
    trace_write(t, mss, mss);
    too_big(t, 1 + mss, 1300);
    IN(t, .flags = A, .seq = 1, .ack = 1 + 2 * mss);
    trace_write(t, 2 * mss, mss);
    trace_skip(t);
    trace_advance(t, TG_S);
    OUT(t, .flags = A, .seq = 1 + 2 * mss, .ack = 1, .len = mss);
    assert_int_equal(mtu_of(t), FULL_MTU);
    trace_end(t);
}

static void a_claim_about_a_syn_lowers_what_we_offer(void **state)
{
    struct trace *t = trace_start(state);
    trace_connect(t, 0);
    too_big(t, 0, 1400);
    QUIET(t);
    trace_advance(t, 1010 * TG_MS);
    OUT(t, .flags = S, .seq = 0, .mss = (uint16_t)(1400 - trace_headers(t)));
    IN(t, .flags = S | A, .seq = 0, .ack = 1, .mss = 1460);
    OUT(t, .flags = A, .seq = 1, .ack = 1);
    assert_int_equal(trace_info(t).mss, 1400 - trace_headers(t));
    too_big(t, 0, 1300); /* the SYN is acknowledged */
    assert_int_equal(mtu_of(t), 1400);
    trace_end(t);
}

static void a_claim_waits_for_its_own_segment(void **state)
{
    struct trace *t = proven(state);
    uint32_t mss = trace_info(t).mss;
    trace_write(t, mss, 2 * mss);
    too_big(t, 1 + 2 * mss, 1300); /* the second of the two */
    trace_advance(t, 300 * TG_MS); /* the first is lost */
    assert_int_equal(counted(t, TG_C_tcp_rto), 1);
    assert_int_equal(mtu_of(t), FULL_MTU);
    IN(t, .flags = A, .seq = 1, .ack = 1 + 2 * mss);
    trace_advance(t, TG_S);
    assert_int_equal(mtu_of(t), 1300);
    trace_end(t);
}

/* --- black holes ---------------------------------------------------------------------------------------- */

static void two_timeouts_of_a_size_never_seen_to_pass(void **state)
{
    struct trace *t = established(state);
    uint32_t mss = trace_info(t).mss, headers = trace_headers(t);
    trace_write(t, 0, mss);
    trace_skip(t);
    for (unsigned i = 0; i < 2; i++) { /* the tail loss probe, then the first timeout */
        trace_advance(t, 205 * TG_MS);
        OUT(t, .flags = A, .seq = 1, .ack = 1, .len = mss);
        assert_int_equal(mtu_of(t), FULL_MTU);
    }
    trace_advance(t, 500 * TG_MS);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 1280 - headers);
    assert_int_equal(mtu_of(t), 1280);
    assert_int_equal(counted(t, TG_C_tcp_black_holes), 1);
    trace_advance(t, 20 * TG_S); /* four more, and IPv4 goes down to its floor */
    assert_int_equal(mtu_of(t), trace_is6(state) ? 1280 : 552);
    trace_advance(t, 60 * TG_S);
    assert_int_equal(mtu_of(t), trace_is6(state) ? 1280 : 552);
    assert_int_equal(counted(t, TG_C_tcp_black_holes), trace_is6(state) ? 1 : 2);
    trace_end(t);
}

static void a_size_that_has_passed_needs_four(void **state)
{
    struct trace *t = proven(state);
    uint32_t mss = trace_info(t).mss;
    trace_write(t, mss, mss);
    trace_advance(t, 2 * 200 * TG_MS + 400 * TG_MS + 800 * TG_MS + 100 * TG_MS); /* and a probe */
    assert_int_equal(counted(t, TG_C_tcp_rto), 3);
    assert_int_equal(mtu_of(t), FULL_MTU);
    trace_advance(t, 1600 * TG_MS);
    assert_int_equal(mtu_of(t), 1280);
    trace_end(t);
}

static void timeouts_of_small_segments_say_nothing(void **state)
{
    struct trace *t = established(state);
    trace_write(t, 0, 400);
    trace_advance(t, 60 * TG_S);
    assert_true(counted(t, TG_C_tcp_rto) > 4);
    assert_int_equal(mtu_of(t), FULL_MTU);
    assert_int_equal(counted(t, TG_C_tcp_black_holes), 0);
    trace_end(t);
}

static void timeouts_with_progress_between_do_not_add_up(void **state)
{
    struct trace *t = established(state);
    uint32_t mss = trace_info(t).mss, offset = 0;
    for (unsigned i = 0; i < 6; i++, offset += mss) {
        trace_write(t, offset, mss);
        while (counted(t, TG_C_tcp_rto) == i)
            trace_advance(t, 50 * TG_MS);
        IN(t, .flags = A, .seq = 1, .ack = 1 + offset + mss);
    }
    assert_int_equal(counted(t, TG_C_tcp_rto), 6);
    assert_int_equal(mtu_of(t), FULL_MTU);
    trace_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_claim_about_a_small_segment_is_a_lie),
        BOTH(before_anything_has_passed_a_claim_counts_at_once),
        BOTH(a_claim_against_the_evidence_waits_for_proof),
        BOTH(a_claim_that_an_ack_refutes_is_forgotten),
        BOTH(a_claim_about_a_syn_lowers_what_we_offer),
        BOTH(a_claim_waits_for_its_own_segment),
        BOTH(two_timeouts_of_a_size_never_seen_to_pass),
        BOTH(a_size_that_has_passed_needs_four),
        BOTH(timeouts_of_small_segments_say_nothing),
        BOTH(timeouts_with_progress_between_do_not_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
