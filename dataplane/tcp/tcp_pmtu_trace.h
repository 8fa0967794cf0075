/* SPDX-License-Identifier: BSD-3-Clause
 * For the tests of path MTU discovery.
 */
#ifndef DATAPLANE_TCP_PMTU_TRACE_H
#define DATAPLANE_TCP_PMTU_TRACE_H

#include "tcp/tcp_trace.h"

#define FULL_MTU 1500u

static inline struct trace *established(void **state)
{
    return trace_established(state, (struct seg){.mss = 1460, .sack_ok = true, .wscale_plus_1 = 8});
}

static inline void too_big(struct trace *t, uint32_t seq, uint32_t mtu)
{
    struct net_icmp_error e = {.tuple = t->tuple, .seq = t->our_iss + seq, .mtu = mtu};
    tcp_icmp_error(t->node.tcp, &e, t->node.now);
    trace_collect(t);
}

static inline uint16_t mtu_of(struct trace *t)
{
    return trace_pcb(t)->mtu;
}

static inline uint64_t counted(struct trace *t, enum tg_counter c)
{
    return node_counted(&t->node, c);
}

#endif
