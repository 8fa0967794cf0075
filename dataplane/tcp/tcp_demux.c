/* SPDX-License-Identifier: BSD-3-Clause
 * A burst of segments to their connections, in passes, so that the cache misses of all overlap: buckets of the flow
 * table, then the connections that they name, then the active parts. One by one a look-up among 10 million flows costs
 * three misses in a row. Called by tcp_in; by worker before it asks whose packets are whose.
 */
#include "tcp/tcp_internal.h"

/* FLOW_TABLE_NONE has the bit of TIME-WAIT too; a record of that is small, and rare. */
static bool is_connection(uint32_t flow)
{
    return !(flow & TCP_FLOW_TW);
}

/* Whom the second bucket names, for those that the first does not know. */
static void ask_second(const struct tcp *tcp, const uint32_t hashes[], uint32_t flows[],
                       const uint8_t whom[], unsigned n)
{
    for (unsigned k = 0; k < n; k++) {
        unsigned i = whom[k];
        flows[i] = flow_table_second(&tcp->flows, hashes[i]);
        if (is_connection(flows[i]))
            tg_prefetch(&tcp_pcb_at(tcp, flows[i])->tuple);
    }
}

/* The first two passes: a flow for each that is most likely the right one, whose line of names is on its way. Few
 * instructions and no branch but for the rare: how many misses overlap depends on how far the processor sees ahead.
 * Hence the copies of what the stores into flows[] might change for all that the compiler knows. */
static inline void candidates_find(const struct tcp *tcp, const uint32_t hashes[], uint32_t flows[],
                                   unsigned n)
{
    const struct flow_table table = {.buckets = tcp->flows.buckets, .mask = tcp->flows.mask};
    const struct tcp_pcb *pcbs =
        tcp_pcb_at(tcp, 0); /* their size is a multiple of a line: no gaps */
    uint8_t elsewhere[TG_BURST];
    unsigned rest = 0;
    for (unsigned i = 0; i < n; i++)
        flow_table_prefetch(&table, hashes[i]);
    for (unsigned i = 0; i < n; i++) {
        uint32_t flow = flow_table_first(&table, hashes[i]);
        flows[i] = flow;
        /* the line that says whether it is the one, and where its active part is */
        tg_prefetch(&pcbs[is_connection(flow) ? flow : 0].tuple);
        if (flow == FLOW_TABLE_NONE) {
            flow_table_prefetch_second(&table, hashes[i]);
            elsewhere[rest++] = (uint8_t)i;
        }
    }
    ask_second(tcp, hashes, flows, elsewhere, rest);
}

void tcp_lookup_burst(const struct tcp *tcp, const struct ip_tuple tuples[],
                      const uint32_t hashes[], uint32_t flows[], unsigned n)
{
    const struct tcp_pcb *pcbs = tcp_pcb_at(tcp, 0);
    candidates_find(tcp, hashes, flows, n);
    for (unsigned i = 0; i < n;
         i++) /* the few that differ: TIME-WAIT, nobody's, two with one hash */
        if (!is_connection(flows[i]) || !tcp_pcb_matches(&pcbs[flows[i]], &tuples[i]))
            flows[i] = tcp_flow_find(tcp, &tuples[i], hashes[i]);
}

void tcp_look_ahead(const struct tcp *tcp, struct buf *const burst[], unsigned n)
{
    uint32_t hashes[TG_BURST], flows[TG_BURST];
    unsigned count = 0;
    tg_assert(n <= TG_BURST);
    for (unsigned i = 0; i < n; i++)
        if (burst[i]->ip_proto == IP_PROTO_TCP)
            hashes[count++] = burst[i]->rx_hash;
    candidates_find(tcp, hashes, flows, count);
    for (unsigned i = 0; i < count; i++)
        if (flows[i] == FLOW_TABLE_NONE)
            tcp_syncache_prefetch(&tcp->syncache, hashes[i]);
}

void tcp_prefetch_burst(const struct tcp *tcp, const uint32_t hashes[], const uint32_t flows[],
                        unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (flows[i] == FLOW_TABLE_NONE) /* a SYN, or the end of a handshake */
            tcp_syncache_prefetch(&tcp->syncache, hashes[i]);
        if (!is_connection(flows[i]))
            continue;
        const struct tcp_pcb *pcb = tcp_pcb_at(tcp, flows[i]);
        tg_prefetch(pcb);
        tg_prefetch(&pcb->congestion);
        /* all of it: an exchange touches nearly every line (60,000 awake connections: 690 -> 500 ns each) */
        const uint8_t *act = (const uint8_t *)pcb->act;
        for (size_t at = 0; act && at < sizeof *pcb->act; at += TG_CACHE_LINE)
            tg_prefetch(act + at);
    }
}
