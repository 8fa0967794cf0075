/* SPDX-License-Identifier: BSD-3-Clause
 * See tcp_ecn.h.
 */
#include "tcp/tcp_ecn.h"

#define ECN_BITS (TCP_ECE | TCP_CWR)

bool tcp_ecn_asked(const struct tcp *tcp, uint8_t flags)
{
    return tcp->config.ecn != TCP_ECN_OFF && (flags & ECN_BITS) == ECN_BITS;
}

bool tcp_ecn_agreed(uint8_t flags)
{
    return (flags & ECN_BITS) == TCP_ECE;
}

uint8_t tcp_ecn_syn_flags(const struct tcp *tcp, const struct tcp_pcb *pcb)
{
    if (pcb->state == TCP_S_SYN_RECEIVED)
        return tcp_has(pcb, TCP_F_ECN) ? TCP_ECE : 0;
    /* Old firewalls drop a SYN with these bits: the second one goes without. */
    bool asks = tcp->config.ecn == TCP_ECN_ON && !tcp_has(pcb, TCP_F_SYN_LOST);
    return asks ? ECN_BITS : 0;
}

bool tcp_ecn_refused(struct tcp *tcp, struct tcp_pcb *pcb)
{
    if (tcp->config.ecn != TCP_ECN_ON || tcp_has(pcb, TCP_F_SYN_LOST))
        return false;
    pcb->flags |= TCP_F_SYN_WISH | TCP_F_SYN_LOST;
    tcp_mark_dirty(tcp, pcb);
    return true;
}

bool tcp_ecn_marked(const struct buf *b)
{
    const uint8_t *ip = b->data + b->l3;
    unsigned bits = b->ip_version == 4 ? ip[1] & 3u : ip[1] >> 4 & 3u;
    return bits == TCP_ECN_CE;
}

void tcp_ecn_arrives(struct tcp *tcp, struct tcp_pcb *pcb, const struct tcp_rx *rx)
{
    if (!tcp_has(pcb, TCP_F_ECN))
        return;
    if (rx->flags & TCP_CWR)
        pcb->act->ecn_echo = false;
    if (!rx->marked || rx->bytes == 0) /* a pure ACK is not marked by honest paths (s6.1.4) */
        return;
    stats_count(tcp->stats, TG_C_tcp_ecn_marks);
    pcb->act->ecn_echo = true;
    pcb->flags |= TCP_F_ACK_NOW; /* the sender should know within a round trip */
    tcp_mark_dirty(tcp, pcb);
}

void tcp_ecn_echoed(struct tcp *tcp, struct tcp_pcb *pcb, const struct tcp_rx *rx)
{
    if (!tcp_has(pcb, TCP_F_ECN) || !(rx->flags & TCP_ECE) || rx->flags & TCP_SYN)
        return;
    /* Once for what was in flight at the last reduction, whether by a mark or by a loss; never on what acknowledges
     * no data of ours. */
    if (pcb->snd_una == pcb->snd_nxt || tcp_has(pcb, TCP_F_RECOVERY | TCP_F_TIMEOUT) ||
        seq_lt(pcb->snd_una, pcb->act->ecn_end))
        return;
    stats_count(tcp->stats, TG_C_tcp_ecn_cuts);
    pcb->congestion->congested(pcb, rx->now);
    pcb->act->cwnd = u32_max(pcb->ssthresh, pcb->mss);
    tcp_ecn_reduced(pcb);
}

void tcp_ecn_reduced(struct tcp_pcb *pcb)
{
    if (!tcp_has(pcb, TCP_F_ECN))
        return;
    pcb->act->ecn_end = pcb->snd_nxt;
    pcb->act->ecn_cwr = true;
}

bool tcp_ecn_has_cut(const struct tcp_pcb *pcb)
{
    return tcp_has(pcb, TCP_F_ECN) && seq_lt(pcb->snd_una, pcb->act->ecn_end);
}

uint8_t tcp_ecn_flags(struct tcp_pcb *pcb, bool new_text)
{
    uint8_t flags = 0;
    if (!tcp_has(pcb, TCP_F_ECN))
        return 0;
    if (pcb->act->ecn_echo)
        flags |= TCP_ECE;
    if (new_text && pcb->act->ecn_cwr) {
        flags |= TCP_CWR;
        pcb->act->ecn_cwr = false;
    }
    return flags;
}

uint8_t tcp_ecn_class(const struct tcp_pcb *pcb, bool new_text)
{
    return tcp_has(pcb, TCP_F_ECN) && new_text ? TCP_ECN_ECT0 : 0;
}
