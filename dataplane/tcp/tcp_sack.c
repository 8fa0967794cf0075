/* SPDX-License-Identifier: BSD-3-Clause
 * The sender's scoreboard: SACK blocks become marks on the segments of the send queue (RFC 2018), a first
 * block that tells of a duplicate becomes news (RFC 2883). Called by tcp_ack and tcp_loss.
 *
 * The peer decides where its blocks point, so the cost of an ACK is bounded (CVE-2019-11478): blocks that are
 * known are skipped, a search starts at the highest or the last sacked segment where it can, and jumps over runs
 * of sacked ones; what is not found in WALK_MAX steps counts as not told. Nothing is ever cut.
 */
#include "tcp/tcp_internal.h"

#define WALK_MAX 4096u /* segments looked at for one ACK */

struct walk {
    struct tcp_ack_news *news;
    unsigned steps;
    tg_ns now;
};

/* Blocks that make no sense are skipped: empty or reversed, below snd_una, beyond what was sent. */
static bool block_valid(const struct tcp_pcb *pcb, const struct tcp_sack_block *block)
{
    return seq_lt(block->left, block->right) && seq_lt(pcb->snd_una, block->right) &&
           seq_le(pcb->snd_una, block->left) && seq_le(block->right, pcb->snd_nxt);
}

static bool block_within(const struct tcp_sack_block *inner, const struct tcp_sack_block *outer)
{
    return seq_le(outer->left, inner->left) && seq_le(inner->right, outer->right);
}

/* RFC 2883 s4: the first block lies below the ACK, or inside the second. Very old ones are forgeries. */
static void dsack_take(const struct tcp_pcb *pcb, const struct tcp_options *options, uint32_t ack,
                       struct tcp_ack_news *news)
{
    const struct tcp_sack_block *first = &options->sack[0];
    if (!seq_lt(first->left, first->right) || pcb->snd_una - first->left > TCP_DSACK_AGE)
        return;
    news->has_dsack = seq_le(first->right, ack);
    news->dsack = *first;
}

static void dsack_above_take(const struct tcp_pcb *pcb, const struct tcp_options *options,
                             struct tcp_ack_news *news)
{
    const struct tcp_sack_block *first = &options->sack[0];
    if (options->sack_count < 2 || !block_valid(pcb, first) ||
        !block_valid(pcb, &options->sack[1]) || !block_within(first, &options->sack[1]))
        return;
    news->has_dsack = true;
    news->dsack = *first;
}

static void segment_mark_sacked(struct tcp_pcb *pcb, struct buf *b, struct walk *walk)
{
    uint32_t len = segment_len(b);
    tcp_rack_arrived(pcb, b, walk->news, walk->now);
    if (b->flags & BUF_TX_LOST) {
        b->flags &= (uint16_t)~BUF_TX_LOST;
    } else {
        tg_assert(pcb->act->pipe >= len);
        pcb->act->pipe -= len;
        pcb->act->rack.resent_count -= (b->flags & BUF_TX_RETRANSMITTED) != 0;
        tcp_sent_remove(pcb->act, b);
    }
    b->flags |= BUF_TX_SACKED;
    b->sent.newer = b; /* a run of its own, until a walk comes by */
    pcb->act->rack.sacked_count++;
    pcb->act->sacked += len;
    pcb->act->delivered += len;
    walk->news->sack_news = true;
}

/* The last of the sacked segments that follow b without a gap, as far as the steps go. Those on the way learn
 * it. */
static struct buf *run_end(const struct tcp_pcb *pcb, struct buf *b, struct walk *walk)
{
    struct buf *end = b;
    for (; walk->steps < WALK_MAX; walk->steps++) {
        struct buf *next = end->link;
        if (end->sent.newer != end)
            end = end->sent.newer;
        else if (next && next != pcb->act->snd_unsent && next->flags & BUF_TX_SACKED)
            end = end->sent.newer = next;
        else
            break;
    }
    for (struct buf *next; b != end; b = next) {
        next = b->sent.newer;
        b->sent.newer = end;
    }
    return end;
}

static struct buf *walk_start(const struct tcp_pcb *pcb, uint32_t left)
{
    const struct tcp_rack *rack = &pcb->act->rack;
    if (rack->sack_high && seq_le(rack->sack_high->seq, left))
        return rack->sack_high;
    if (rack->sack_cursor && seq_le(rack->sack_cursor->seq, left))
        return rack->sack_cursor;
    return pcb->act->snd_first;
}

/* Only segments that lie in the block as a whole. False: out of steps. */
static bool block_mark(struct tcp_pcb *pcb, const struct tcp_sack_block *block, struct walk *walk)
{
    struct tcp_rack *rack = &pcb->act->rack;
    struct buf *b = walk_start(pcb, block->left);
    for (; b && b != pcb->act->snd_unsent && seq_lt(b->seq, block->right); b = b->link) {
        if (++walk->steps > WALK_MAX)
            return false;
        if (b->flags & BUF_TX_SACKED) {
            b = run_end(pcb, b, walk);
            continue;
        }
        if (seq_lt(b->seq, block->left) || seq_lt(block->right, b->seq_end))
            continue;
        segment_mark_sacked(pcb, b, walk);
        rack->sack_cursor = b;
        if (!rack->sack_high || seq_lt(rack->sack_high->seq, b->seq))
            rack->sack_high = b;
    }
    return true;
}

static bool block_seen(const struct tcp_rack *rack, const struct tcp_sack_block *block)
{
    for (unsigned i = 0; i < TCP_SACK_BLOCKS_MAX; i++)
        if (rack->seen[i].left != rack->seen[i].right && block_within(block, &rack->seen[i]))
            return true;
    return false;
}

void tcp_sack_take(struct tcp *tcp, struct tcp_pcb *pcb, const struct tcp_options *options,
                   uint32_t ack, struct tcp_ack_news *news, tg_ns now)
{
    struct tcp_rack *rack = &pcb->act->rack;
    struct walk walk = {.news = news, .now = now};
    struct tcp_sack_block seen[TCP_SACK_BLOCKS_MAX] = {0};
    dsack_take(pcb, options, ack, news);
    if (!news->has_dsack)
        dsack_above_take(pcb, options, news);
    if (news->has_dsack)
        stats_count(tcp->stats, TG_C_tcp_dsacks);
    if (!pcb->act->sacked) /* sequence numbers come round: old blocks say nothing */
        memset(rack->seen, 0, sizeof rack->seen);
    bool whole = true;
    for (unsigned i = 0; i < options->sack_count && whole; i++) {
        const struct tcp_sack_block *block = &options->sack[i];
        if (!block_valid(pcb, block))
            continue;
        whole = block_seen(rack, block) || block_mark(pcb, block, &walk);
        if (whole)
            seen[i] = *block;
    }
    if (!whole)
        stats_count(tcp->stats, TG_C_tcp_sack_walks_cut);
    memcpy(rack->seen, seen, sizeof seen);
}

/* RFC 2018 s8. They count as lost: the caller resends. */
void tcp_sack_forget(struct tcp_pcb *pcb)
{
    struct tcp_rack *rack = &pcb->act->rack;
    struct buf *first = NULL;
    for (struct buf *b = pcb->act->snd_first; b && b != pcb->act->snd_unsent; b = b->link) {
        if (!first && b->flags & (BUF_TX_SACKED | BUF_TX_LOST))
            first = b;
        if (!(b->flags & BUF_TX_SACKED))
            continue;
        b->flags &= (uint16_t)~BUF_TX_SACKED;
        b->flags |= BUF_TX_LOST;
        b->sent.older = b->sent.newer = NULL;
        pcb->act->sacked -= segment_len(b);
        pcb->act->delivered -= segment_len(b);
        pcb->act->delivered_segments--;
        rack->sacked_count--;
    }
    tg_assert(pcb->act->sacked == 0 && rack->sacked_count == 0);
    pcb->act->snd_lost = first;
    rack->sack_high = rack->sack_cursor = NULL;
    memset(rack->seen, 0, sizeof rack->seen);
}
