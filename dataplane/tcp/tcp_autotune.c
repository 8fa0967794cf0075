/* SPDX-License-Identifier: BSD-3-Clause
 * How much a connection may receive ahead of its reader: dynamic right-sizing. The window starts small and grows
 * to what the reader has taken in a round-trip time, twice over, so that neither it nor a growing
 * sender ever waits for the window, and a slow reader never holds much memory. It does not shrink but
 * for the time in which memory is short (tcp_governor.h); a connection that sleeps starts anew. Called by tcp_read (bytes consumed), tcp_reassembly (bytes arrived), tcp_emit.
 */
#include "tcp/tcp_internal.h"

#define QUEUES 4u /* the RTT under load is at most so many times that of the handshake */
#define SLACK_SEGMENTS                                                                             \
    16u /* beyond twice the bytes of a round: what is in flight while we measure */

uint32_t tcp_receive_space(const struct tcp *tcp, const struct tcp_pcb *pcb)
{
    uint32_t space = pcb->act ? pcb->act->tune.space : 0;
    uint32_t cap = tcp_settings_of(tcp, pcb)->receive_window;
    if (TG_UNLIKELY(tcp->governor.level >= TCP_TIGHT))
        cap = u32_min(cap, tcp->config.pressure_window);
    return u32_min(space ? space : tcp->config.receive_window_initial, cap);
}

/* A receiver has no RTT of its own but the handshake's, which queues lengthen later. The time in which a whole
 * window arrives is one RTT, or more when the sender pauses: the least counts, within what queues do. */
static tg_ns round_time(const struct tcp_pcb *pcb)
{
    tg_ns window = pcb->act->tune.round_ns;
    tg_ns rtt = pcb->srtt > window ? pcb->srtt : window;
    if (pcb->srtt && rtt > QUEUES * pcb->srtt)
        rtt = QUEUES * pcb->srtt;
    return rtt > TG_MS ? rtt : TG_MS;
}

void tcp_autotune_arrived(const struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    struct tcp_tune *tune = &pcb->act->tune;
    if (tune->read_ns == 0) {
        tune->read_ns = now;
        tune->read_seq = pcb->rcv_read;
    }
    if (tune->window_ns && seq_lt(pcb->rcv_nxt, tune->window_end))
        return;
    if (tune->window_ns) {
        tg_ns took = now - tune->window_ns;
        if (tune->round_ns == 0 || took < tune->round_ns)
            tune->round_ns = took;
    }
    tune->window_ns = now;
    tune->window_end = pcb->rcv_nxt + tcp_receive_space(tcp, pcb);
}

static void space_grow(struct tcp *tcp, struct tcp_pcb *pcb, uint32_t taken)
{
    struct tcp_tune *tune = &pcb->act->tune;
    uint32_t cap = tcp_settings_of(tcp, pcb)->receive_window;
    uint64_t space = 2 * (uint64_t)taken;
    if (tune->most) /* in slow start the next round brings twice as much: be ahead of it */
        space += space * (taken - tune->most) / tune->most;
    space += SLACK_SEGMENTS * (uint64_t)pcb->rcv_mss;
    space = space < cap ? space : cap;
    if (space <= tcp_receive_space(tcp, pcb) || tcp->governor.level >= TCP_TIGHT)
        return;
    tune->space = (uint32_t)space;
    stats_count(tcp->stats, TG_C_tcp_windows_grown);
}

void tcp_autotune_consumed(struct tcp *tcp, struct tcp_pcb *pcb)
{
    struct tcp_tune *tune = &pcb->act->tune;
    tg_ns now = tcp->now;
    if (tune->read_ns == 0 || now - tune->read_ns < round_time(pcb))
        return;
    uint32_t taken = pcb->rcv_read - tune->read_seq;
    if (taken > tune->most) {
        space_grow(tcp, pcb, taken);
        tune->most = taken;
    }
    tune->read_ns = now;
    tune->read_seq = pcb->rcv_read;
}
