/* SPDX-License-Identifier: BSD-3-Clause
 * A burst of segments to their connections, in passes, so that the cache misses of all overlap: buckets of the flow
 * table, then the connections that they name, then the active parts. One by one a look-up among 10 million flows costs
 * three misses in a row. Called by tcp_in.
 */
#include "tcp/tcp_internal.h"

/* What the third pass compares and changes. */
static void connection_prefetch(const struct tcp *tcp, uint32_t flow)
{
    if (flow & TCP_FLOW_TW) /* FLOW_TABLE_NONE has the bit too; a record is small, and rare */
        return;
    const struct tcp_pcb *pcb = tcp_pcb_at(tcp, flow);
    __builtin_prefetch(pcb);
    __builtin_prefetch(&pcb->tuple);
    __builtin_prefetch(&pcb->congestion);
}

static void active_prefetch(const struct tcp *tcp, uint32_t flow)
{
    if (flow & TCP_FLOW_TW)
        return;
    const struct tcp_active *act = tcp_pcb_at(tcp, flow)->act;
    if (!act)
        return;
    __builtin_prefetch(act);
    __builtin_prefetch(&act->snd_first);
    __builtin_prefetch(&act->deadline);
}

void tcp_lookup_burst(const struct tcp *tcp, const struct ip_tuple tuples[],
                      const uint32_t hashes[], uint32_t flows[], unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        flow_table_prefetch(&tcp->flows, hashes[i]);
    for (unsigned i = 0; i < n; i++) {
        flows[i] = flow_table_candidate(&tcp->flows, hashes[i]);
        connection_prefetch(tcp, flows[i]);
    }
    for (unsigned i = 0; i < n; i++) {
        if (flows[i] == FLOW_TABLE_NONE || !tcp_flow_matches(tcp, flows[i], &tuples[i]))
            flows[i] = tcp_lookup(tcp, &tuples[i], hashes[i]);
        active_prefetch(tcp, flows[i]);
    }
}
