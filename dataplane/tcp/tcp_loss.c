/* SPDX-License-Identifier: BSD-3-Clause
 * Loss recovery. Lost segments are marked in the send queue and counted out of `pipe`; tcp_out resends
 * marked ones first, as cwnd allows. So fast retransmit (RFC 5681, NewReno RFC 6582, SACK RFC 6675) and
 * the timeout (RFC 6298) differ only in what they mark; RACK will be one more that marks. Called by
 * tcp_ack and tcp_timer.
 */
#include "tcp/tcp_pmtu.h"

/* Without SACK each duplicate ACK says that some segment has arrived: the same as inflating cwnd by one
 * segment (RFC 5681 s3.2 step 4), bounded by what is outstanding, so that made-up ACKs gain nothing. */
uint32_t tcp_pipe(const struct tcp_pcb *pcb)
{
    if (tcp_has(pcb, TCP_F_SACK))
        return pcb->act->pipe;
    uint32_t arrived = (uint32_t)pcb->act->dup_acks * pcb->mss;
    return pcb->act->pipe - u32_min(arrived, pcb->act->pipe);
}

void tcp_segment_mark_lost(struct tcp_pcb *pcb, struct buf *b)
{
    if (b->flags & (BUF_TX_LOST | BUF_TX_SACKED) || !(b->flags & BUF_TX_SENT))
        return;
    tg_assert(pcb->act->pipe >= segment_len(b));
    pcb->act->pipe -= segment_len(b);
    b->flags |= BUF_TX_LOST;
    if (!pcb->act->snd_lost || seq_lt(b->seq, pcb->act->snd_lost->seq))
        pcb->act->snd_lost = b;
}

/* Fast retransmit: RFC 6582 s3.2 step 2, RFC 6675 s5 step 4. */
static void recovery_enter(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    stats_count(tcp->stats, TG_C_tcp_fast_retransmit);
    if (tcp_pmtu_excuses(pcb))
        pcb->ssthresh = u32_min(pcb->ssthresh, pcb->act->cwnd);
    else
        pcb->congestion->congested(pcb, now);
    pcb->act->cwnd =
        pcb->ssthresh; /* duplicate ACKs make room through tcp_pipe, not by inflation */
    pcb->act->recover = pcb->snd_nxt;
    pcb->flags |= TCP_F_RECOVERY | TCP_F_RESEND;
    tcp_segment_mark_lost(pcb, pcb->act->snd_first);
    if (tcp_has(pcb, TCP_F_SACK))
        tcp_sack_mark_lost(pcb);
    tcp_mark_dirty(tcp, pcb);
}

/* A partial ACK, or more SACK news: the first segment must be on its way again (RFC 6582 s3.2 step 5).
 * One that was resent in this recovery waits: only the timeout finds it lost twice. */
static void recovery_continue(struct tcp *tcp, struct tcp_pcb *pcb, const struct tcp_ack_news *news)
{
    if (tcp_has(pcb, TCP_F_SACK))
        tcp_sack_mark_lost(pcb);
    struct buf *first = pcb->act->snd_first;
    if (news->acked && first && first->flags & BUF_TX_SENT &&
        !(first->flags & BUF_TX_RETRANSMITTED)) {
        tcp_segment_mark_lost(pcb, first);
        pcb->flags |= TCP_F_RESEND;
    }
    tcp_mark_dirty(tcp, pcb);
}

/* Duplicate ACKs stood for segments above the hole; a partial ACK covers them and the resent one. */
static void dup_acks_deflate(struct tcp_pcb *pcb, uint32_t segments)
{
    uint32_t arrived = segments ? segments - 1 : 0;
    pcb->act->dup_acks = (uint16_t)(pcb->act->dup_acks - u32_min(pcb->act->dup_acks, arrived));
}

static bool recovery_over(const struct tcp_pcb *pcb)
{
    return seq_le(pcb->act->recover, pcb->snd_una);
}

/* A timeout's recovery ends quietly; fast recovery ends with cwnd = ssthresh (RFC 6582 s3.2 step 3). */
static void recovery_leave(struct tcp_pcb *pcb)
{
    if (tcp_has(pcb, TCP_F_RECOVERY))
        pcb->act->cwnd = pcb->ssthresh;
    pcb->flags &= ~(uint32_t)(TCP_F_RECOVERY | TCP_F_TIMEOUT | TCP_F_RESEND);
    pcb->act->dup_acks = 0;
}

/* Without SACK, duplicates right after a recovery may be echoes of what it resent for nothing: only an
 * ACK beyond `recover` starts another (RFC 6582 s3.2 step 2). */
static bool loss_detected(const struct tcp_pcb *pcb)
{
    if (pcb->act->dup_acks >= TCP_DUP_THRESHOLD &&
        (tcp_has(pcb, TCP_F_SACK) || seq_lt(pcb->act->recover, pcb->snd_una)))
        return true;
    /* RFC 6675 s5 step 4: IsLost(HighACK + 1), also with fewer ACKs than segments. */
    return tcp_has(pcb, TCP_F_SACK) &&
           pcb->act->sacked > (TCP_DUP_THRESHOLD - 1) * (uint32_t)pcb->mss;
}

static void on_new_data(struct tcp_pcb *pcb, const struct tcp_ack_news *news, tg_ns now)
{
    bool recovering = tcp_has(pcb, TCP_F_RECOVERY); /* the ACK that ends it does not grow cwnd */
    if (tcp_has(pcb, TCP_F_RECOVERY | TCP_F_TIMEOUT) && recovery_over(pcb))
        recovery_leave(pcb);
    if (tcp_has(pcb, TCP_F_RECOVERY))
        dup_acks_deflate(pcb, news->segments);
    else
        pcb->act->dup_acks = 0;
    if (!recovering && tcp_has(pcb, TCP_F_CWND_LIMITED))
        pcb->congestion->acked(pcb, news->acked, now);
    if (pcb->snd_una == pcb->snd_nxt)
        pcb->flags &= ~(uint32_t)TCP_F_CWND_LIMITED;
}

void tcp_loss_on_ack(struct tcp *tcp, struct tcp_pcb *pcb, const struct tcp_ack_news *news,
                     tg_ns now)
{
    if (news->acked)
        on_new_data(pcb, news, now);
    if (news->duplicate && (!tcp_has(pcb, TCP_F_SACK) || news->sack_news) &&
        pcb->act->dup_acks < UINT16_MAX)
        pcb->act->dup_acks++;
    if (pcb->snd_una == pcb->snd_nxt)
        return;
    if (tcp_has(pcb, TCP_F_RECOVERY)) {
        recovery_continue(tcp, pcb, news);
    } else if (!tcp_has(pcb, TCP_F_TIMEOUT) && loss_detected(pcb)) {
        recovery_enter(tcp, pcb, now);
    } else if (news->duplicate || news->sack_news) {
        tcp_mark_dirty(tcp, pcb); /* limited transmit (RFC 3042): pipe has shrunk by a segment */
    }
}

/* RFC 6298 s5.4 to s5.6, RFC 5681 s3.1 (5): everything outstanding counts as lost, start again from one
 * segment. ssthresh falls once per loss event, not again for a segment lost once more. */
void tcp_loss_on_timeout(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    stats_count(tcp->stats, TG_C_tcp_rto);
    struct buf *first = pcb->act->snd_first;
    tg_assert(first && first->flags & BUF_TX_SENT);
    if (first->flags & BUF_TX_SACKED)
        tcp_sack_forget(pcb); /* the peer has thrown it away again */
    if (!tcp_has(pcb, TCP_F_TIMEOUT) || !(first->flags & BUF_TX_RETRANSMITTED))
        pcb->congestion->congested(pcb, now);
    pcb->act->cwnd = pcb->mss;
    pcb->act->recover = pcb->snd_nxt;
    pcb->act->dup_acks = 0;
    pcb->act->acked_bytes = 0;
    pcb->flags &= ~(uint32_t)TCP_F_RECOVERY;
    pcb->flags |= TCP_F_TIMEOUT | TCP_F_RESEND;
    for (struct buf *b = first; b && b != pcb->act->snd_unsent; b = b->link)
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
    pcb->act->cwnd = u32_max(pcb->act->cwnd, pcb->mss);
    tcp_mark_dirty(tcp, pcb);
}
