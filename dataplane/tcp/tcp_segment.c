/* SPDX-License-Identifier: BSD-3-Clause
 * The send queue: one frame is one segment, from snd_una to snd_end without a gap. Called by tcp_write,
 * tcp_out, tcp_ack.
 */
#include "tcp/tcp_internal.h"

void tcp_segment_append(struct tcp_pcb *pcb, struct buf *b)
{
    tg_assert(b->refs == 1 && !b->next && !tcp_has(pcb, TCP_F_FIN_QUEUED));
    b->flags &= BUF_PORT_HOLDS;
    b->seq = pcb->snd_end;
    b->seq_end = b->seq + b->len;
    pcb->snd_end = b->seq_end;
    b->link = NULL;
    if (pcb->act->snd_last)
        pcb->act->snd_last->link = b;
    else
        pcb->act->snd_first = b;
    pcb->act->snd_last = b;
    if (!pcb->act->snd_unsent)
        pcb->act->snd_unsent = b;
    pcb->act->snd_segments++;
}

static void hints_forget(struct tcp_rack *rack, const struct buf *b)
{
    if (rack->sack_high == b)
        rack->sack_high = NULL;
    if (rack->sack_cursor == b)
        rack->sack_cursor = NULL;
}

void tcp_segment_drop_first(struct tcp *tcp, struct tcp_pcb *pcb)
{
    struct buf *b = pcb->act->snd_first;
    tg_assert(b && b != pcb->act->snd_unsent);
    pcb->act->snd_first = b->link;
    if (!pcb->act->snd_first)
        pcb->act->snd_last = NULL;
    if (pcb->act->snd_lost == b)
        pcb->act->snd_lost = b->link != pcb->act->snd_unsent ? b->link : NULL;
    if (segment_in_flight(b)) {
        pcb->act->rack.resent_count -= (b->flags & BUF_TX_RETRANSMITTED) != 0;
        tcp_sent_remove(pcb->act, b);
    }
    pcb->act->rack.sacked_count -= (b->flags & BUF_TX_SACKED) != 0;
    hints_forget(&pcb->act->rack, b);
    b->link = NULL;
    pcb->act->snd_segments--;
    buf_unref(tcp->pool, b);
}

/* A fresh frame with part of b's payload and b's record. */
static struct buf *segment_copy_part(struct tcp *tcp, const struct buf *b, uint32_t from,
                                     uint32_t bytes)
{
    struct buf *part = buf_alloc(tcp->pool);
    if (!part)
        return NULL;
    memcpy(buf_put(part, (uint16_t)bytes), segment_bytes(b) + from, bytes);
    part->flags = b->flags & (BUF_TX_SENT | BUF_TX_RETRANSMITTED | BUF_TX_LOST | BUF_TX_SACKED |
                              BUF_TX_APP_LIMITED);
    part->seq = b->seq + from;
    part->seq_end = part->seq + bytes;
    part->tx_ns = b->tx_ns;
    part->tx_delivered = b->tx_delivered;
    return part;
}

/* Put `with` in b's place; the queue's reference to b is dropped. */
static void segment_replace(struct tcp *tcp, struct tcp_pcb *pcb, struct buf *b, struct buf *with)
{
    struct buf **at = &pcb->act->snd_first;
    while (*at != b)
        at = &(*at)->link;
    *at = with;
    with->link = b->link;
    if (pcb->act->snd_last == b)
        pcb->act->snd_last = with;
    if (pcb->act->snd_unsent == b)
        pcb->act->snd_unsent = with;
    if (pcb->act->snd_lost == b)
        pcb->act->snd_lost = with;
    if (segment_in_flight(b)) {
        tcp_sent_insert(pcb->act, b, with);
        tcp_sent_remove(pcb->act, b);
    }
    b->link = NULL;
    buf_unref(tcp->pool, b);
}

bool tcp_segment_split(struct tcp *tcp, struct tcp_pcb *pcb, struct buf *b, uint32_t bytes)
{
    uint32_t payload = segment_payload(b);
    tg_assert(bytes > 0 && bytes < payload && !(b->flags & BUF_TX_SACKED));
    struct buf *rest = segment_copy_part(tcp, b, bytes, payload - bytes);
    if (!rest)
        return false;
    if (b->flags & BUF_TX_FIN) {
        rest->flags |= BUF_TX_FIN;
        rest->seq_end++;
    }
    if (segment_writable(tcp, b)) {
        buf_pull(b, (uint16_t)(b->len - payload)); /* headers of an earlier transmission */
        buf_trim(b, (uint16_t)bytes);
        b->flags &= (uint16_t)~BUF_TX_FIN;
        b->seq_end = b->seq + bytes;
    } else {
        struct buf *front = segment_copy_part(tcp, b, 0, bytes);
        if (!front) {
            buf_unref(tcp->pool, rest);
            return false;
        }
        segment_replace(tcp, pcb, b, front);
        b = front;
    }
    tcp_reservation_free(tcp, pcb); /* the queue's last may be another one now */
    rest->link = b->link;
    b->link = rest;
    if (segment_in_flight(rest)) {
        tcp_sent_insert(pcb->act, b, rest);
        pcb->act->rack.resent_count += (rest->flags & BUF_TX_RETRANSMITTED) != 0;
    }
    if (pcb->act->snd_last == b)
        pcb->act->snd_last = rest;
    pcb->act->snd_segments++;
    return true;
}
