/* SPDX-License-Identifier: BSD-3-Clause
 * Pieces that came early: a list by sequence number, disjoint, bounded by pieces (config) and by bytes
 * (the window). Called by tcp_reassembly, and by tcp_emit for SACK blocks.
 */
#include "tcp/tcp_internal.h"

static void piece_drop(struct tcp *tcp, struct tcp_pcb *pcb, struct buf **at)
{
    struct buf *b = *at;
    *at = b->link;
    b->link = NULL;
    pcb->act->ooo_count--;
    buf_unref(tcp->pool, b);
}

/* Full: the farthest piece goes, it is the last to be useful (the peer resends it: RFC 2018 s8 allows a
 * receiver to forget). False: the new one would be the farthest. */
static bool make_room(struct tcp *tcp, struct tcp_pcb *pcb, const struct buf *b)
{
    if (pcb->act->ooo_count < tcp->config.ooo_segments_max)
        return true;
    stats_count(tcp->stats, TG_C_tcp_ooo_full);
    struct buf **at = &pcb->act->ooo_first;
    while ((*at)->link)
        at = &(*at)->link;
    if (seq_lt((*at)->seq, b->seq))
        return false;
    piece_drop(tcp, pcb, at);
    return true;
}

/* Small pieces share a frame with their left neighbour, as in the receive queue. */
static bool append_to(struct tcp *tcp, struct buf *left, struct buf *b)
{
    if (!left || left->seq_end != b->seq || b->len >= BUF_COPY_BELOW || left->refs != 1 ||
        buf_tailroom(left) < b->len)
        return false;
    memcpy(buf_put(left, b->len), b->data, b->len);
    left->seq_end = b->seq_end;
    buf_unref(tcp->pool, b);
    return true;
}

static void cut_front(struct buf *b, uint32_t seq)
{
    buf_pull(b, (uint16_t)(seq - b->seq));
    b->seq = seq;
}

static void cut_back(struct buf *b, uint32_t seq_end)
{
    b->seq_end = seq_end;
    buf_trim(b, (uint16_t)(seq_end - b->seq));
}

/* Bytes that came first stay: the new piece is cut against its neighbours; only old pieces that it
 * covers as a whole make way. */
void tcp_ooo_insert(struct tcp *tcp, struct tcp_pcb *pcb, struct buf *b)
{
    if (!make_room(tcp, pcb, b)) {
        buf_unref(tcp->pool, b);
        return;
    }
    struct buf *left = NULL, **at = &pcb->act->ooo_first;
    while (*at && seq_le((*at)->seq, b->seq)) {
        left = *at;
        at = &left->link;
    }
    if (left && seq_lt(b->seq, left->seq_end)) {
        tcp_ooo_duplicate(pcb, b->seq, seq_min(b->seq_end, left->seq_end));
        if (seq_le(b->seq_end, left->seq_end)) {
            stats_count(tcp->stats, TG_C_tcp_duplicate);
            buf_unref(tcp->pool, b);
            return;
        }
        cut_front(b, left->seq_end);
    }
    while (*at && seq_le((*at)->seq_end, b->seq_end)) {
        tcp_ooo_duplicate(pcb, (*at)->seq, (*at)->seq_end);
        piece_drop(tcp, pcb, at);
    }
    if (*at && seq_lt((*at)->seq, b->seq_end)) {
        tcp_ooo_duplicate(pcb, (*at)->seq, b->seq_end);
        cut_back(b, (*at)->seq);
    }
    if (append_to(tcp, left, b))
        return;
    b->link = *at;
    *at = b;
    pcb->act->ooo_count++;
}

void tcp_ooo_drop(struct tcp *tcp, struct tcp_pcb *pcb)
{
    tcp_queue_free(tcp, pcb->act->ooo_first);
    pcb->act->ooo_first = NULL;
    pcb->act->ooo_count = 0;
}

void tcp_ooo_drain(struct tcp *tcp, struct tcp_pcb *pcb)
{
    struct buf *b;
    while ((b = pcb->act->ooo_first) && seq_le(b->seq, pcb->rcv_nxt)) {
        if (seq_lt(b->seq, pcb->rcv_nxt)) /* what has just come holds it once more */
            tcp_ooo_duplicate(pcb, b->seq, seq_min(b->seq_end, pcb->rcv_nxt));
        if (seq_le(b->seq_end, pcb->rcv_nxt)) {
            piece_drop(tcp, pcb, &pcb->act->ooo_first);
            continue;
        }
        cut_front(b, pcb->rcv_nxt);
        pcb->act->ooo_first = b->link;
        pcb->act->ooo_count--;
        tcp_receive_append(tcp, pcb, b);
    }
}

/* --- what the peer is told ---------------------------------------------------------------------------- */

void tcp_ooo_recent(struct tcp_pcb *pcb, uint32_t seq)
{
    uint32_t *recent = pcb->act->ooo_recent;
    memmove(recent + 1, recent, (TCP_SACK_BLOCKS_MAX - 1) * sizeof *recent);
    recent[0] = seq;
}

void tcp_ooo_duplicate(struct tcp_pcb *pcb, uint32_t left, uint32_t right)
{
    struct tcp_sack_block *d = &pcb->act->dsack;
    if (!tcp_has(pcb, TCP_F_SACK))
        return;
    if (!tcp_has(pcb, TCP_F_DSACK)) {
        pcb->flags |= TCP_F_DSACK;
        *d = (struct tcp_sack_block){left, right};
    } else if (seq_le(left, d->right) && seq_le(d->left, right)) {
        *d = (struct tcp_sack_block){seq_min(left, d->left), seq_max(right, d->right)};
    }
}

/* The run of pieces without a gap that begins at b, with the FIN when that is known to follow, or the peer's last
 * segment would count as missing; returns the piece behind it. */
static const struct buf *block_from(const struct tcp_pcb *pcb, const struct buf *b,
                                    struct tcp_sack_block *block)
{
    *block = (struct tcp_sack_block){b->seq, b->seq_end};
    for (b = b->link; b && b->seq == block->right; b = b->link)
        block->right = b->seq_end;
    block->right += tcp_has(pcb, TCP_F_FIN_SEEN) && block->right == pcb->act->fin_seq;
    return b;
}

/* The run that holds seq; false: none does. */
static bool block_at(const struct tcp_pcb *pcb, uint32_t seq, struct tcp_sack_block *block)
{
    const struct buf *b = pcb->act->ooo_first;
    while (b && seq_le(b->seq, seq)) {
        b = block_from(pcb, b, block);
        if (seq_lt(seq, block->right))
            return true;
    }
    return false;
}

static bool block_listed(const struct tcp_sack_block out[], unsigned from, unsigned to,
                         uint32_t left)
{
    for (unsigned i = from; i < to; i++)
        if (out[i].left == left)
            return true;
    return false;
}

/* RFC 2018 s4: the block of the segment that came last, then those that were told before, the latest first; what
 * room is left goes to others from the left. In front of all a duplicate (RFC 2883 s4), once. */
unsigned tcp_ooo_blocks(const struct tcp_pcb *pcb, struct tcp_sack_block out[], unsigned n)
{
    unsigned count = 0, first;
    struct tcp_sack_block block;
    if (tcp_has(pcb, TCP_F_DSACK))
        out[count++] = pcb->act->dsack;
    first = count;
    for (unsigned i = 0; i < TCP_SACK_BLOCKS_MAX && count < n && pcb->act->ooo_first; i++)
        if (block_at(pcb, pcb->act->ooo_recent[i], &block) &&
            !block_listed(out, first, count, block.left))
            out[count++] = block;
    for (const struct buf *b = pcb->act->ooo_first; b && count < n;) {
        b = block_from(pcb, b, &block);
        if (!block_listed(out, first, count, block.left))
            out[count++] = block;
    }
    return count;
}
