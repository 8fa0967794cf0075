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
        if (seq_le(b->seq_end, left->seq_end)) {
            stats_count(tcp->stats, TG_C_tcp_duplicate);
            buf_unref(tcp->pool, b);
            return;
        }
        cut_front(b, left->seq_end);
    }
    while (*at && seq_le((*at)->seq_end, b->seq_end))
        piece_drop(tcp, pcb, at);
    if (*at && seq_lt((*at)->seq, b->seq_end))
        cut_back(b, (*at)->seq);
    if (append_to(tcp, left, b))
        return;
    b->link = *at;
    *at = b;
    pcb->act->ooo_count++;
}

void tcp_ooo_drain(struct tcp *tcp, struct tcp_pcb *pcb)
{
    struct buf *b;
    while ((b = pcb->act->ooo_first) && seq_le(b->seq, pcb->rcv_nxt)) {
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

/* RFC 2018 s4: the first block holds the segment that came last. The others follow from the left. */
unsigned tcp_ooo_blocks(const struct tcp_pcb *pcb, struct tcp_sack_block out[], unsigned n)
{
    unsigned count = 1; /* out[0] is kept for the most recent one */
    bool recent_found = false;
    const struct buf *b = pcb->act->ooo_first;
    while (b) {
        struct tcp_sack_block block = {b->seq, b->seq_end};
        for (b = b->link; b && b->seq == block.right; b = b->link)
            block.right = b->seq_end;
        bool recent =
            seq_le(block.left, pcb->act->ooo_recent) && seq_lt(pcb->act->ooo_recent, block.right);
        if (recent) {
            out[0] = block;
            recent_found = true;
        } else if (count < n) {
            out[count++] = block;
        }
    }
    if (recent_found)
        return count;
    memmove(out, out + 1, (count - 1) * sizeof out[0]);
    return count - 1;
}
