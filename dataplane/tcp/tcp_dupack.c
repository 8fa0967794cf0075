/* SPDX-License-Identifier: BSD-3-Clause
 * Peers without SACK: what is lost is told by duplicate ACKs and partial ones (RFC 5681 s3.2, NewReno of RFC
 * 6582); duplicates make room for new segments (RFC 3042). Called by tcp_loss, tcp_out.
 */
#include "tcp/tcp_internal.h"

/* Each duplicate ACK says that some segment has arrived: the same as inflating cwnd by one segment (RFC 5681
 * s3.2 step 4), bounded by what is outstanding, so that made-up ACKs gain nothing. */
uint32_t tcp_pipe(const struct tcp_pcb *pcb)
{
    uint32_t arrived = (uint32_t)pcb->act->dup_acks * pcb->mss; /* 0 with SACK */
    return pcb->act->pipe - u32_min(arrived, pcb->act->pipe);
}

/* Duplicate ACKs stood for segments above the hole; a partial ACK covers them and the resent one. */
static void dup_acks_deflate(struct tcp_pcb *pcb, uint32_t segments)
{
    uint32_t arrived = segments ? segments - 1 : 0;
    pcb->act->dup_acks = (uint16_t)(pcb->act->dup_acks - u32_min(pcb->act->dup_acks, arrived));
}

/* Duplicates right after a recovery may be echoes of what it resent for nothing: only an ACK beyond `recover`
 * starts another (RFC 6582 s3.2 step 2). */
bool tcp_dupack_take(struct tcp_pcb *pcb, const struct tcp_ack_news *news)
{
    if (news->acked && tcp_has(pcb, TCP_F_RECOVERY))
        dup_acks_deflate(pcb, news->segments);
    else if (news->acked)
        pcb->act->dup_acks = 0;
    if (news->duplicate && pcb->act->dup_acks < UINT16_MAX)
        pcb->act->dup_acks++;
    return pcb->act->dup_acks >= TCP_DUP_THRESHOLD && pcb->snd_una != pcb->snd_nxt &&
           seq_lt(pcb->act->recover, pcb->snd_una);
}

/* The first segment must be on its way again (RFC 6582 s3.2 step 5). One that was resent in this recovery
 * waits: only the timeout finds it lost twice. */
void tcp_dupack_continue(struct tcp_pcb *pcb, const struct tcp_ack_news *news)
{
    struct buf *first = pcb->act->snd_first;
    if (!news->acked || !first || !(first->flags & BUF_TX_SENT) ||
        first->flags & BUF_TX_RETRANSMITTED)
        return;
    tcp_segment_mark_lost(pcb, first);
    pcb->flags |= TCP_F_RESEND;
}
