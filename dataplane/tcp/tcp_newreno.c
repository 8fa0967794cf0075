/* SPDX-License-Identifier: BSD-3-Clause
 * NewReno's congestion avoidance (RFC 5681; RFC 6582 is tcp_dupack.c's), as a table of functions. Kept simple: what the
 * others are compared with.
 */
#include "tcp/tcp_congestion.h"

static void newreno_start(struct tcp_pcb *pcb)
{
    pcb->act->acked_bytes = 0;
}

/* RFC 5681 s3.1: one segment per cwnd of acknowledged bytes. */
static void newreno_acked(struct tcp_pcb *pcb, uint32_t bytes, tg_ns now)
{
    bytes = tcp_slow_start(pcb, bytes);
    pcb->act->acked_bytes += u32_min(bytes, TCP_CWND_MAX);
    if (pcb->act->acked_bytes >= pcb->act->cwnd) {
        pcb->act->acked_bytes -= pcb->act->cwnd;
        tcp_cwnd_grow(pcb, pcb->mss);
    }
}

static void newreno_congested(struct tcp_pcb *pcb, tg_ns now)
{
    pcb->ssthresh = u32_max(tcp_flight(pcb) / 2, 2u * pcb->mss);
    pcb->act->acked_bytes = 0;
}

static void newreno_timed_out(struct tcp_pcb *pcb)
{
    pcb->act->acked_bytes = 0;
}

static void newreno_undo(struct tcp_pcb *pcb)
{
    pcb->act->acked_bytes = 0; /* nothing else is private */
}

static void newreno_idle(struct tcp_pcb *pcb)
{
    pcb->act->acked_bytes = 0;
}

const struct tcp_congestion tcp_newreno = {
    .name = "newreno",
    .start = newreno_start,
    .acked = newreno_acked,
    .congested = newreno_congested,
    .timed_out = newreno_timed_out,
    .undo = newreno_undo,
    .idle = newreno_idle,
};
