/* SPDX-License-Identifier: BSD-3-Clause
 * Pacing: new segments leave spread over the round trip, at twice the rate of cwnd in slow start and a fifth more than
 * it in congestion avoidance (as Linux), so that an ACK for many segments, or an application that comes back, does not
 * throw a whole window into a queue at once. The wheel ticks in milliseconds: what is due within two of them may go
 * together; on paths shorter than that nothing is held back. Called by tcp_out.
 */
#include "tcp/tcp_pace.h"

#define PACE_BURST         (2 * TG_MS)
#define PACE_SLOW_START    200u /* per cent of cwnd in a round trip */
#define PACE_AVOIDANCE     120u
#define PACE_SEGMENTS_FREE 2u /* leave together in any case */

/* The first windows are the sender's greeting (RFC 6928 has them leave at once), and tell the round trip. */
static bool pace_on(const struct tcp *tcp, const struct tcp_pcb *pcb)
{
    return !tcp->config.no_pacing && pcb->srtt > PACE_BURST &&
           pcb->act->cwnd > tcp_initial_window(pcb);
}

bool tcp_pace_allows(const struct tcp *tcp, const struct tcp_pcb *pcb, tg_ns now)
{
    return !pace_on(tcp, pcb) || pcb->act->pipe < PACE_SEGMENTS_FREE * pcb->mss ||
           pcb->act->pace_ns <= now + PACE_BURST;
}

void tcp_pace_sent(const struct tcp *tcp, struct tcp_pcb *pcb, uint32_t bytes, tg_ns now)
{
    struct tcp_active *act = pcb->act;
    if (!pace_on(tcp, pcb))
        return;
    uint64_t percent = act->cwnd < pcb->ssthresh ? PACE_SLOW_START : PACE_AVOIDANCE;
    /* bytes < 2^16, srtt < 2^37 (120 s): no overflow */
    tg_ns interval = bytes * pcb->srtt * 100 / (act->cwnd * percent);
    act->pace_ns = (act->pace_ns > now ? act->pace_ns : now) + interval;
}

tg_ns tcp_pace_next(const struct tcp_pcb *pcb, tg_ns now)
{
    tg_ns at = pcb->act->pace_ns - PACE_BURST;
    return at > now ? at : now + 1;
}
