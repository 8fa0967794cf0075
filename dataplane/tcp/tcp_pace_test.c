/* SPDX-License-Identifier: BSD-3-Clause
 * Pacing: how much leaves at once, how long a window takes, who is not held back.
 */
#include "tcp/tcp_trace.h"

#define MSS 1000u

/* A connection with a window of 100 segments over a round trip. */
static struct trace *start(void **state, bool no_pacing, tg_ns rtt, uint32_t ssthresh)
{
    struct tcp_config c = node_config();
    c.no_pacing = no_pacing;
    struct trace *t = trace_new(&c, trace_is6(state));
    trace_accept(t, (struct seg){.mss = MSS, .sack_ok = true, .wscale_plus_1 = 8});
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = 4000);
    struct tcp_pcb *pcb = trace_pcb(t);
    pcb->srtt = rtt;
    pcb->rttvar = 0;
    pcb->rto = 10 * TG_S;
    pcb->act->cwnd = 100 * MSS;
    pcb->ssthresh = ssthresh;
    return t;
}

/* Write 60 segments: they leave within `fast` to `slow` milliseconds, and of them at most `few` to `many` within
 * one. */
static void expect_sixty(struct trace *t, unsigned fast, unsigned slow, unsigned few, unsigned many)
{
    uint32_t left = 60 * MSS, at = 0;
    unsigned sent = 0, most = 0, took = 0;
    for (unsigned ms = 0; ms < 200 && sent < 60; ms++) {
        uint32_t n = u32_min(left, tcp_writable(t->node.tcp, t->h));
        if (n)
            trace_write(t, at, n);
        at += n;
        left -= n;
        unsigned now = trace_skip(t);
        most = u32_max(most, now);
        sent += now;
        took = ms;
        trace_advance(t, TG_MS);
    }
    assert_int_equal(sent, 60);
    assert_in_range(took, fast, slow);
    assert_in_range(most, few, many);
    trace_end(t);
}

/* 120 segments in 50 ms: 60 in 25 ms, of which the first two milliseconds' come at once. */
static void avoidance_spreads_a_window_over_a_round_trip(void **state)
{
    expect_sixty(start(state, false, 50 * TG_MS, 50 * MSS), 20, 26, 5, 9);
}

static void slow_start_is_twice_as_fast(void **state)
{
    expect_sixty(start(state, false, 50 * TG_MS, UINT32_MAX / 2), 11, 16, 8, 14);
}

static void short_paths_are_not_held_back(void **state)
{
    expect_sixty(start(state, false, 1 * TG_MS, 50 * MSS), 0, 1, 16,
                 60); /* a turn's quantum or more */
}

static void the_initial_window_leaves_at_once(void **state)
{
    struct trace *t = start(state, false, 50 * TG_MS, UINT32_MAX / 2);
    trace_pcb(t)->act->cwnd = tcp_initial_window(trace_pcb(t));
    trace_write(t, 0, 20 * MSS);
    assert_int_equal(trace_skip(t), 10);
    trace_end(t);
}

static void it_can_be_switched_off(void **state)
{
    expect_sixty(start(state, true, 50 * TG_MS, 50 * MSS), 0, 1, 0, 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(avoidance_spreads_a_window_over_a_round_trip),
        BOTH(slow_start_is_twice_as_fast),
        BOTH(short_paths_are_not_held_back),
        BOTH(the_initial_window_leaves_at_once),
        BOTH(it_can_be_switched_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
