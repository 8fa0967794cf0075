/* SPDX-License-Identifier: BSD-3-Clause
 * What every congestion control shares: the initial window, slow start with HyStart++ (tcp_hystart.c), the names. The
 * controls themselves are tables of functions: tcp_cubic.c, tcp_newreno.c. Called by them, tcp_loss, tcp_out. Integers
 * only, so that every build computes the same.
 */
#include "tcp/tcp_congestion.h"

/* RFC 6928 s2. */
uint32_t tcp_initial_window(const struct tcp_pcb *pcb)
{
    return u32_min(TCP_INITIAL_SEGMENTS * pcb->mss, u32_max(2u * pcb->mss, 14600));
}

void tcp_cwnd_grow(struct tcp_pcb *pcb, uint64_t bytes)
{
    uint64_t cwnd = pcb->act->cwnd + bytes;
    pcb->act->cwnd = cwnd < TCP_CWND_MAX ? (uint32_t)cwnd : TCP_CWND_MAX;
}

/* By acknowledged bytes, so that splitting ACKs gains nothing (RFC 3465); without that RFC's limit per ACK, as
 * Linux: receivers that merge ACKs (ours does, one a burst) would stop it from doubling, and pacing spreads what a
 * large ACK lets go (RFC 9406 s4.3: L is infinite with pacing). */
uint32_t tcp_slow_start(struct tcp_pcb *pcb, uint32_t bytes)
{
    if (pcb->act->cwnd >= pcb->ssthresh)
        return bytes;
    uint32_t step = u32_min(bytes, pcb->ssthresh - pcb->act->cwnd);
    tcp_cwnd_grow(pcb, tcp_hystart_growth(pcb, step));
    return bytes - step;
}

uint32_t tcp_flight(const struct tcp_pcb *pcb)
{
    return u32_min(pcb->act->cwnd, pcb->snd_nxt - pcb->snd_una);
}

const struct tcp_congestion *tcp_congestion_of(enum tcp_congestion_id id)
{
    static const struct tcp_congestion *const all[TCP_CC_COUNT] = {
        [TCP_CC_CUBIC] = &tcp_cubic,
        [TCP_CC_NEWRENO] = &tcp_newreno,
    };
    tg_assert((unsigned)id < TCP_CC_COUNT);
    return all[id];
}
