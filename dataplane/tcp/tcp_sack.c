/* SPDX-License-Identifier: BSD-3-Clause
 * The sender's scoreboard: SACK blocks become marks on the segments of the send queue (RFC 2018,
 * RFC 6675). A walk costs one step per outstanding segment and segment counts are bounded by the send
 * buffer. Called by tcp_ack and tcp_loss.
 */
#include "tcp/tcp_internal.h"

/* Blocks that make no sense are skipped: empty or reversed, below snd_una (a D-SACK, RFC 2883: not used
 * yet), beyond what was sent. */
static bool block_valid(const struct tcp_pcb *pcb, const struct tcp_sack_block *block)
{
    return seq_lt(block->left, block->right) && seq_lt(pcb->snd_una, block->right) &&
           seq_le(pcb->snd_una, block->left) && seq_le(block->right, pcb->snd_nxt);
}

static void segment_mark_sacked(struct tcp_pcb *pcb, struct buf *b)
{
    uint32_t len = segment_len(b);
    if (b->flags & BUF_TX_LOST) {
        b->flags &= (uint16_t)~BUF_TX_LOST;
    } else {
        tg_assert(pcb->act->pipe >= len);
        pcb->act->pipe -= len;
    }
    b->flags |= BUF_TX_SACKED;
    pcb->act->sacked += len;
    pcb->act->delivered += len;
    pcb->act->delivered_segments++;
}

bool tcp_sack_take(struct tcp *tcp, struct tcp_pcb *pcb, const struct tcp_options *options)
{
    bool news = false;
    tg_ns sent_ns = 0;
    for (unsigned i = 0; i < options->sack_count; i++) {
        const struct tcp_sack_block *block = &options->sack[i];
        if (!block_valid(pcb, block))
            continue;
        for (struct buf *b = pcb->act->snd_first; b && b != pcb->act->snd_unsent; b = b->link) {
            if (seq_le(block->right, b->seq))
                break;
            /* Only segments that lie in the block as a whole. */
            if (b->flags & BUF_TX_SACKED || seq_lt(b->seq, block->left) ||
                seq_lt(block->right, b->seq_end))
                continue;
            if (!(b->flags & BUF_TX_RETRANSMITTED))
                sent_ns = b->tx_ns;
            segment_mark_sacked(pcb, b);
            news = true;
        }
    }
    if (sent_ns) /* an RTT sample as good as an ACK's */
        tcp_rtt_sample(tcp, pcb, tcp->now - sent_ns);
    return news;
}

/* IsLost of RFC 6675 s4: more than (DupThresh - 1) segments' bytes above it are sacked. */
bool tcp_sack_mark_lost(struct tcp_pcb *pcb)
{
    uint32_t above = pcb->act->sacked, enough = (TCP_DUP_THRESHOLD - 1) * (uint32_t)pcb->mss;
    for (struct buf *b = pcb->act->snd_first; b && b != pcb->act->snd_unsent && above > enough;
         b = b->link) {
        if (b->flags & BUF_TX_SACKED)
            above -= segment_len(b);
        else if (!(b->flags & BUF_TX_RETRANSMITTED))
            tcp_segment_mark_lost(pcb, b);
    }
    return pcb->act->snd_first && pcb->act->snd_first->flags & BUF_TX_LOST;
}

void tcp_sack_forget(struct tcp_pcb *pcb)
{
    for (struct buf *b = pcb->act->snd_first; b && b != pcb->act->snd_unsent; b = b->link) {
        if (!(b->flags & BUF_TX_SACKED))
            continue;
        b->flags &= (uint16_t)~BUF_TX_SACKED;
        pcb->act->sacked -= segment_len(b);
        pcb->act->delivered -= segment_len(b);
        pcb->act->delivered_segments--;
        pcb->act->pipe += segment_len(b); /* until marked lost, by whoever has called */
    }
    tg_assert(pcb->act->sacked == 0);
}
