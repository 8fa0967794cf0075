/* SPDX-License-Identifier: BSD-3-Clause
 * Loss recovery. Lost segments are marked in the send queue and counted out of `pipe`; tcp_out resends
 * marked ones first, as cwnd allows. RACK, duplicate ACKs and the timeout (RFC 6298) differ in what they mark;
 * here it is decided what follows from it. See tcp_recovery.h. Called by tcp_ack, tcp_timer, tcp_pmtu.
 */
#include "tcp/tcp_ecn.h"
#include "tcp/tcp_pmtu.h"

void tcp_segment_mark_lost(struct tcp_pcb *pcb, struct buf *b)
{
    if (!segment_in_flight(b))
        return;
    tg_assert(pcb->act->pipe >= segment_len(b));
    pcb->act->pipe -= segment_len(b);
    pcb->act->rack.resent_count -= (b->flags & BUF_TX_RETRANSMITTED) != 0;
    tcp_sent_remove(pcb->act, b);
    b->flags |= BUF_TX_LOST;
    if (!pcb->act->snd_lost || seq_lt(b->seq, pcb->act->snd_lost->seq))
        pcb->act->snd_lost = b;
}

/* A loss is a sign of congestion, but for that of an MTU probe. */
static void window_cut(struct tcp_pcb *pcb, tg_ns now)
{
    tcp_undo_begin(pcb);
    if (tcp_pmtu_excuses(pcb))
        pcb->ssthresh = u32_min(pcb->ssthresh, pcb->act->cwnd);
    else if (!tcp_ecn_has_cut(pcb)) { /* else a mark of this window has cut it already */
        pcb->congestion->congested(pcb, now);
        tcp_ecn_reduced(pcb);
    }
}

/* --- fast recovery ----------------------------------------------------------------------------------------- */

static void recovery_enter(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    stats_count(tcp->stats, TG_C_tcp_fast_retransmit);
    window_cut(pcb, now);
    pcb->act->recover = pcb->snd_nxt;
    pcb->flags |= TCP_F_RECOVERY | TCP_F_RESEND;
    pcb->act->tlp.out = false; /* what it would find is found (RFC 8985 s7.4.2) */
    tcp_deadline_clear(pcb, TCP_D_TLP);
    tcp_mark_dirty(tcp, pcb);
}

static bool recovery_over(const struct tcp_pcb *pcb)
{
    return seq_le(pcb->act->recover, pcb->snd_una);
}

/* A timeout's recovery ends quietly; fast recovery ends with cwnd = ssthresh (RFC 6582 s3.2 step 3; RFC 9937
 * s6). */
static void recovery_leave(struct tcp_pcb *pcb)
{
    if (tcp_has(pcb, TCP_F_RECOVERY))
        pcb->act->cwnd = pcb->ssthresh;
    pcb->flags &= ~(uint32_t)(TCP_F_RECOVERY | TCP_F_TIMEOUT | TCP_F_RESEND);
    pcb->act->dup_acks = 0;
    tcp_rack_left_recovery(pcb);
    tcp_undo_left_recovery(pcb);
}

static void on_new_data(struct tcp_pcb *pcb, const struct tcp_ack_news *news, tg_ns now)
{
    bool recovering = tcp_has(pcb, TCP_F_RECOVERY); /* the ACK that ends it does not grow cwnd */
    if (tcp_has(pcb, TCP_F_RECOVERY | TCP_F_TIMEOUT) && recovery_over(pcb))
        recovery_leave(pcb);
    recovering = recovering || pcb->act->undo.frto == TCP_FRTO_NEW; /* two segments, no more */
    if (!recovering && tcp_has(pcb, TCP_F_CWND_LIMITED))
        pcb->congestion->acked(pcb, news->acked, now);
    if (pcb->snd_una == pcb->snd_nxt)
        pcb->flags &= ~(uint32_t)TCP_F_CWND_LIMITED;
}

/* --- with SACK: RACK finds, PRR doses ---------------------------------------------------------------------- */

/* RecoverFS: what was outstanding, without what was sacked before this ACK. */
static void sack_recovery_enter(struct tcp *tcp, struct tcp_pcb *pcb, uint32_t delivered, tg_ns now)
{
    recovery_enter(tcp, pcb, now);
    tcp_prr_begin(&pcb->act->prr, pcb->snd_nxt - pcb->snd_una - pcb->act->sacked + delivered);
    pcb->act->cwnd = u32_max(pcb->act->pipe, pcb->mss);
}

static void sack_on_ack(struct tcp *tcp, struct tcp_pcb *pcb, const struct tcp_ack_news *news,
                        tg_ns now)
{
    if (pcb->snd_una == pcb->snd_nxt) {
        tcp_deadline_clear(pcb, TCP_D_RACK);
        return;
    }
    bool lost = tcp_rack_detect(tcp, pcb, now);
    if (lost && !tcp_has(pcb, TCP_F_RECOVERY | TCP_F_TIMEOUT))
        sack_recovery_enter(tcp, pcb, news->delivered, now);
    if (tcp_has(pcb, TCP_F_RECOVERY) && news->delivered) {
        uint32_t pipe = pcb->act->pipe;
        uint32_t send = tcp_prr_send(&pcb->act->prr, news->delivered, pipe, pcb->ssthresh, pcb->mss,
                                     news->acked && !lost);
        pcb->act->cwnd = u32_max(pipe + send, pcb->mss);
    }
    tcp_mark_dirty(tcp, pcb); /* limited transmit (RFC 3042), too: pipe has shrunk */
}

/* TCP_D_RACK: no ACK has come to say it, so PRR gives nothing; one segment may leave at once. */
void tcp_loss_on_reorder_timer(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    uint32_t pipe = pcb->act->pipe;
    if (!tcp_rack_detect(tcp, pcb, now))
        return;
    if (!tcp_has(pcb, TCP_F_RECOVERY | TCP_F_TIMEOUT)) {
        sack_recovery_enter(tcp, pcb, 0, now);
    } else if (tcp_has(pcb, TCP_F_RECOVERY)) {
        uint32_t left = pcb->act->cwnd > pipe ? pcb->act->cwnd - pipe : 0;
        pcb->act->cwnd = u32_max(pcb->act->pipe + left, pcb->mss);
    }
    pcb->flags |= TCP_F_RESEND;
    tcp_mark_dirty(tcp, pcb);
}

/* --- without: RFC 6582 ------------------------------------------------------------------------------------- */

static void dupack_on_ack(struct tcp *tcp, struct tcp_pcb *pcb, const struct tcp_ack_news *news,
                          tg_ns now)
{
    bool lost = tcp_dupack_take(pcb, news);
    if (pcb->snd_una == pcb->snd_nxt)
        return;
    if (tcp_has(pcb, TCP_F_RECOVERY)) {
        tcp_dupack_continue(pcb, news);
    } else if (lost && !tcp_has(pcb, TCP_F_TIMEOUT)) {
        recovery_enter(tcp, pcb, now);
        pcb->act->cwnd =
            pcb->ssthresh; /* duplicates make room through tcp_pipe, not by inflation */
        tcp_segment_mark_lost(pcb, pcb->act->snd_first);
    }
    tcp_mark_dirty(tcp, pcb);
}

/* --- ACKs, timeouts, the path ------------------------------------------------------------------------------ */

void tcp_loss_on_ack(struct tcp *tcp, struct tcp_pcb *pcb, const struct tcp_ack_news *news,
                     tg_ns now)
{
    bool probes = news->has_dsack && pcb->act->tlp.out && pcb->act->tlp.again &&
                  news->dsack.right == pcb->act->tlp.end_seq; /* says nothing of reordering */
    tcp_rack_round(pcb, news->has_dsack && !probes);
    if (tcp_tlp_on_ack(pcb, news)) {
        stats_count(tcp->stats, TG_C_tcp_tail_losses);
        window_cut(pcb, now);
        pcb->act->undo.open = false; /* the only retransmission has arrived alone */
        pcb->act->cwnd = u32_min(pcb->act->cwnd, pcb->ssthresh);
    }
    (void)tcp_undo_on_ack(tcp, pcb, news);
    if (news->acked)
        on_new_data(pcb, news, now);
    if (tcp_has(pcb, TCP_F_SACK))
        sack_on_ack(tcp, pcb, news, now);
    else
        dupack_on_ack(tcp, pcb, news, now);
}

/* RFC 6298 s5.4 to s5.6, RFC 5681 s3.1 (5), RFC 8985 s6.3: the first segment is lost, and those that left no
 * later than it; start again from one segment. ssthresh falls once per loss event, not again for a segment
 * lost once more. */
void tcp_loss_on_timeout(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    stats_count(tcp->stats, TG_C_tcp_rto);
    struct buf *first = pcb->act->snd_first;
    tg_assert(first && first->flags & BUF_TX_SENT);
    bool fresh = !tcp_has(pcb, TCP_F_RECOVERY | TCP_F_TIMEOUT);
    if (first->flags & BUF_TX_SACKED)
        tcp_sack_forget(pcb); /* the peer has thrown it away again */
    if (!tcp_has(pcb, TCP_F_TIMEOUT) || !(first->flags & BUF_TX_RETRANSMITTED)) {
        tcp_undo_begin(pcb);
        pcb->congestion->congested(pcb, now);
        tcp_ecn_reduced(pcb);
    }
    pcb->congestion->timed_out(pcb);
    tcp_undo_timeout(pcb, fresh);
    pcb->act->cwnd = pcb->mss;
    pcb->act->recover = pcb->snd_nxt;
    pcb->act->dup_acks = 0;
    pcb->act->tlp.out = pcb->act->tlp.wish = false;
    pcb->flags &= ~(uint32_t)TCP_F_RECOVERY;
    pcb->flags |= TCP_F_TIMEOUT | TCP_F_RESEND;
    tcp_deadline_clear(pcb, TCP_D_TLP);
    for (struct buf *b = first; b && b != pcb->act->snd_unsent; b = b->link)
        if (b == first || tcp_rack_timed_out(pcb, b, now))
            tcp_segment_mark_lost(pcb, b);
    pcb->act->backoff++;
    tcp_deadline_set(tcp, pcb, TCP_D_RETRANSMIT, now + tcp_rto(tcp, pcb));
    tcp_mark_dirty(tcp, pcb);
}

/* RFC 1191 s6.4 / RFC 8201 s5.2: resend what was too large at once; it is not a sign of congestion. The
 * cut into smaller segments happens when tcp_out sends them. */
void tcp_loss_on_mtu(struct tcp *tcp, struct tcp_pcb *pcb, uint16_t mtu)
{
    pcb->mtu = mtu;
    tcp_mss_update(pcb);
    for (struct buf *b = pcb->act->snd_first; b && b != pcb->act->snd_unsent; b = b->link)
        if (segment_payload(b) > pcb->mss)
            tcp_segment_mark_lost(pcb, b);
    memset(pcb->act->rack.seen, 0,
           sizeof pcb->act->rack.seen); /* new cuts, other segments in them */
    pcb->act->cwnd = u32_max(pcb->act->cwnd, pcb->mss);
    tcp_mark_dirty(tcp, pcb);
}
