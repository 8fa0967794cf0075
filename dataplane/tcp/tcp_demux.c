/* SPDX-License-Identifier: BSD-3-Clause
 * A burst of segments to their connections, in passes, so that the cache misses of all overlap: buckets of the flow
 * table, then the connections that they name, then the active parts. One by one a look-up among 10 million flows costs
 * three misses in a row. Called by tcp_in.
 */
#include "tcp/tcp_internal.h"

/* FLOW_TABLE_NONE has the bit of TIME-WAIT too; a record of that is small, and rare. */
static struct tcp_pcb *connection_of(const struct tcp *tcp, uint32_t flow)
{
    return flow & TCP_FLOW_TW ? NULL : tcp_pcb_at(tcp, flow);
}

void tcp_lookup_burst(const struct tcp *tcp, const struct ip_tuple tuples[],
                      const uint32_t hashes[], uint32_t flows[], unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        flow_table_prefetch(&tcp->flows, hashes[i]);
    for (unsigned i = 0; i < n; i++) {
        flows[i] = flow_table_candidate(&tcp->flows, hashes[i]);
        const struct tcp_pcb *pcb = connection_of(tcp, flows[i]);
        if (pcb)
            __builtin_prefetch(&pcb->tuple); /* and beside it the pointer to the active part */
    }
    for (unsigned i = 0; i < n; i++)
        if (flows[i] == FLOW_TABLE_NONE || !tcp_flow_matches(tcp, flows[i], &tuples[i]))
            flows[i] = tcp_flow_find(tcp, &tuples[i], hashes[i]);
}

void tcp_prefetch_burst(const struct tcp *tcp, const uint32_t hashes[], const uint32_t flows[],
                        unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const struct tcp_pcb *pcb = connection_of(tcp, flows[i]);
        if (flows[i] == FLOW_TABLE_NONE) /* a SYN, or the end of a handshake */
            tcp_syncache_prefetch(&tcp->syncache, hashes[i]);
        if (!pcb)
            continue;
        __builtin_prefetch(pcb);
        __builtin_prefetch(&pcb->congestion);
        if (pcb->act) {
            __builtin_prefetch(pcb->act);
            __builtin_prefetch(&pcb->act->snd_first);
            __builtin_prefetch(&pcb->act->deadline);
        }
    }
}
