/* SPDX-License-Identifier: BSD-3-Clause
 * What the user may ask about a connection, as traces. (Reading itself: tcp_reassembly_test, tcp_window_test.)
 */
#include "tcp/tcp_trace.h"

#define MSS 1000u

static void dup_sack(struct trace *t, uint32_t ack, uint32_t left, uint32_t right)
{
    IN(t, .flags = A, .seq = 1, .ack = ack, .sack = {{left, right}});
}

static void info_tells_what_the_sender_does(void **state)
{
    struct trace *t = trace_start(state);
    trace_accept(t, (struct seg){.mss = MSS, .sack_ok = true});
    trace_write(t, 0, 10 * MSS);
    assert_int_equal(trace_skip(t), 10);
    assert_int_equal(trace_info(t).ca_state, TCP_CA_OPEN);
    assert_int_equal(trace_info(t).segments.unacked, 10);
    dup_sack(t, 1, 1001, 2001);
    struct tcp_info info = trace_info(t);
    assert_int_equal(info.ca_state, TCP_CA_DISORDER);
    assert_int_equal(info.segments.sacked, 1);
    assert_int_equal(info.delivered, 1000);
    dup_sack(t, 1, 1001, 6001);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = MSS);
    info = trace_info(t);
    assert_int_equal(info.ca_state, TCP_CA_RECOVERY);
    assert_int_equal(info.segments.sacked, 5);
    assert_int_equal(info.segments.retransmitted, 1);
    assert_int_equal(info.delivered_segments, 5);
    trace_advance(t, 50 * TG_MS);
    IN(t, .flags = A, .seq = 1, .ack = 10001);
    info = trace_info(t);
    assert_int_equal(info.ca_state, TCP_CA_OPEN);
    assert_int_equal(info.segments.unacked, 0);
    assert_int_equal(info.delivered_segments, 10);
    assert_int_equal(info.delivered, 10000);
    assert_true(info.min_rtt > 0 && info.min_rtt < TG_MS);
    trace_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(info_tells_what_the_sender_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
