/* SPDX-License-Identifier: BSD-3-Clause
 * The user closes (RFC 9293 s3.10.4, s3.10.5), and ICMP errors, which may do so for it. Called by the
 * user, and by net for errors.
 */
#include "tcp/tcp_half_open.h"
#include "tcp/tcp_pmtu.h"

/* FIN after what is queued; the state moves at once, as s3.10.4 says. */
static void pcb_shutdown(struct tcp *tcp, struct tcp_pcb *pcb)
{
    if (pcb->state == TCP_S_ESTABLISHED)
        tcp_state_set(tcp, pcb, TCP_S_FIN_WAIT_1);
    else if (pcb->state == TCP_S_CLOSE_WAIT)
        tcp_state_set(tcp, pcb, TCP_S_LAST_ACK);
    else
        return; /* closing already */
    pcb->flags |= TCP_F_FIN_WISH;
    pcb->flags &= ~(uint32_t)TCP_F_WANT_WRITE;
    if (tcp_wake(tcp, pcb))
        tcp_mark_dirty(tcp, pcb);
    else
        tcp_wait_in_line(tcp, pcb);
}

void tcp_shutdown(struct tcp *tcp, tcp_handle h)
{
    struct tcp_pcb *pcb = tcp_pcb_find(tcp, h);
    if (pcb && !tcp_has(pcb, TCP_F_DETACHED))
        pcb_shutdown(tcp, pcb);
}

/* Before the handshake is done nothing was promised: RST where the peer knows us, then silence. */
static bool pcb_opening(const struct tcp_pcb *pcb)
{
    return pcb->state == TCP_S_SYN_SENT || pcb->state == TCP_S_SYN_RECEIVED;
}

void tcp_close(struct tcp *tcp, tcp_handle h)
{
    struct tcp_pcb *pcb = tcp_pcb_find(tcp, h);
    if (!pcb)
        return;
    if (tcp_has(pcb, TCP_F_DETACHED)) {
        tcp_pcb_free(tcp, pcb);
        return;
    }
    bool unread = tcp_unread(tcp, h) && tcp_switched(tcp, pcb, TCP_OPT_RESET_UNREAD);
    if (pcb_opening(pcb) || unread) {
        tcp_abort(tcp, h);
        return;
    }
    pcb_shutdown(tcp, pcb);
    tcp_pcb_disown(tcp, pcb);
    if (pcb->state == TCP_S_FIN_WAIT_2)
        tcp_deadline_set(tcp, pcb, TCP_D_LIFE, tcp->now + TCP_ORPHAN_WAIT);
}

void tcp_abort(struct tcp *tcp, tcp_handle h)
{
    struct tcp_pcb *pcb = tcp_pcb_find(tcp, h);
    if (!pcb)
        return;
    if (!tcp_has(pcb, TCP_F_DETACHED)) {
        stats_count(tcp->stats, TG_C_tcp_aborted);
        if (pcb->state != TCP_S_SYN_SENT)
            tcp_emit_rst(tcp, pcb, tcp->now);
    }
    tcp_pcb_free(tcp, pcb);
}

/* --- ICMP ------------------------------------------------------------------------------------------ */

void tcp_icmp_error(void *arg, const struct net_icmp_error *error, tg_ns now)
{
    struct tcp *tcp = arg;
    tcp->now = now;
    uint32_t flow = tcp_lookup(tcp, &error->tuple, wire_tuple_hash(tcp->toeplitz, &error->tuple));
    if (flow & TCP_FLOW_TW) /* nobody's, or TIME-WAIT's, which sends nothing of its own */
        return;
    if (flow & TCP_FLOW_SYN) {
        if (error->mtu == 0) /* no path is too small for a SYN-ACK */
            tcp_half_open_unreachable(tcp, flow & ~TCP_FLOW_SYN, error->seq, error->hard);
        return;
    }
    struct tcp_pcb *pcb = tcp_pcb_at(tcp, flow);
    /* RFC 5927 s4.1: it must quote something that is in flight. */
    if (!(seq_le(pcb->snd_una, error->seq) && seq_lt(error->seq, pcb->snd_nxt)))
        return;
    stats_count(tcp->stats, TG_C_tcp_icmp_errors);
    if (error->mtu) {
        tcp_pmtu_too_big(tcp, pcb, error->seq, error->mtu, now);
        return;
    }
    /* RFC 5927 s5.2, RFC 5461 s4.1: hard errors abort only what is not synchronised yet; all others are soft:
     * retransmission goes on, and if it ends in vain, that was why (RFC 9293 s3.9.2.2). */
    pcb->act->unreachable = true;
    if (error->hard && pcb->state == TCP_S_SYN_SENT) {
        stats_count(tcp->stats, TG_C_tcp_connect_failed);
        tcp_pcb_finish(tcp, pcb, TG_UNREACHABLE);
    }
}
