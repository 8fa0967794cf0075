/* SPDX-License-Identifier: BSD-3-Clause
 * For tests of loss recovery: a connection over a path of 40 ms to a peer with SACK, and flights of segments.
 * RTO is then 200 ms (rto_min), the reordering window 10 ms, a probe due after 82 ms.
 */
#ifndef DATAPLANE_TCP_RECOVERY_TRACE_H
#define DATAPLANE_TCP_RECOVERY_TRACE_H

#include "tcp/tcp_trace.h"

#define MSS 1000u
#define RTT (40 * TG_MS)

/* `timestamps`: then a segment of ours has MSS bytes, too, for the peer's MSS leaves room. */
static inline struct trace *far_established(const struct tcp_config *config, void **state,
                                            bool timestamps)
{
    struct trace *t = trace_new(config, trace_is6(state));
    t->ts = timestamps;
    IN(t, .flags = S, .seq = 0, .mss = timestamps ? MSS + 12 : MSS, .sack_ok = true,
       .wscale_plus_1 = 1);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    trace_advance(t, RTT);
    IN(t, .flags = A, .seq = 1, .ack = 1);
    QUIET(t);
    t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
    trace_pcb(t)->quick_acks = 0;
    assert_int_equal(trace_pcb(t)->act->min_rtt, RTT);
    return t;
}

static inline struct trace *far_start(void **state)
{
    struct tcp_config c = node_config();
    return far_established(&c, state, false);
}

/* n segments leave, the first of them at stream offset from * MSS, and are taken. */
static inline void far_flight(struct trace *t, unsigned from, unsigned n)
{
    trace_write(t, from * MSS, n * MSS);
    for (unsigned i = from; i < from + n; i++)
        OUT(t, .flags = A, .seq = 1 + i * MSS, .ack = 1, .len = MSS);
    QUIET(t);
}

/* Segment numbers count from 0: everything before `next` has arrived. */
static inline void far_ack(struct trace *t, unsigned next)
{
    IN(t, .flags = A, .seq = 1, .ack = 1 + next * MSS);
}

/* And segments left .. right - 1. */
static inline void far_sack(struct trace *t, unsigned next, unsigned left, unsigned right)
{
    IN(t, .flags = A, .seq = 1, .ack = 1 + next * MSS, .sack = {{1 + left * MSS, 1 + right * MSS}});
}

/* Segment `number` leaves (again). */
#define FAR_OUT(t, number) OUT(t, .flags = A, .seq = 1 + (number)*MSS, .ack = 1, .len = MSS)

#endif
