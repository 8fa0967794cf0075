/* SPDX-License-Identifier: BSD-3-Clause
 * For the tests of half-open connections: strangers who take the places of the SYN cache.
 */
#ifndef DATAPLANE_TCP_SYN_TRACE_H
#define DATAPLANE_TCP_SYN_TRACE_H

#include "tcp/tcp_trace.h"

#define SYN_PLACES 4u /* one bucket of the SYN cache */

/* All places of the only bucket are taken; the next tuple is the trace's own, and nothing is known of its ISN. */
static inline void strangers_come(struct trace *t)
{
    struct ip_tuple mine = t->tuple;
    for (unsigned i = 0; i < SYN_PLACES; i++) {
        t->tuple.remote_port = (uint16_t)(1000 + i);
        IN(t, .flags = S);
        OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    }
    t->tuple = mine;
    t->our_iss = 0;
}

/* The first n of them go. */
static inline void strangers_leave(struct trace *t, unsigned n)
{
    struct ip_tuple mine = t->tuple;
    for (unsigned i = 0; i < n; i++) {
        t->tuple.remote_port = (uint16_t)(1000 + i);
        IN(t, .flags = R, .seq = 1);
    }
    t->tuple = mine;
}

#endif
