/* SPDX-License-Identifier: BSD-3-Clause
 * See tcp_tso.h. A row is sent as a frame of headers with the queue's own frames behind it, so nothing is copied and
 * the queue's frames keep their headrooms for the day when one of them is lost. How long a row becomes is left to
 * those who decide what may leave: pacing lets go what is due within two milliseconds, a quantum is 16 segments.
 */
#include "tcp/tcp_tso.h"
#include "tcp/tcp_ecn.h"

/* New, and nobody else reads or holds the frame: it may be chained. */
static bool piece_fits(const struct tcp *tcp, const struct buf *b)
{
    return !(b->flags & BUF_TX_SENT) && segment_payload(b) > 0 && segment_writable(tcp, b);
}

bool tcp_tso_continues(const struct tcp *tcp, const struct buf *b)
{
    const struct tcp_row *row = &tcp->row;
    return row->first && row->last->link == b && piece_fits(tcp, b) &&
           segment_payload(row->last) == row->segment_bytes &&
           segment_payload(b) <= row->segment_bytes &&
           row->bytes + segment_payload(b) <= tcp->config.tso_bytes_max &&
           row->count < tcp->config.tso_segments_max;
}

/* CWR goes on one segment only, and not all cards know; SACK blocks may fit beside some payloads and not beside
 * others. Both are rare while a stream is sent. A probe of the path's MTU travels alone. */
bool tcp_tso_begins(const struct tcp *tcp, const struct tcp_pcb *pcb, const struct buf *b)
{
    const struct buf *next = b->link;
    bool blocks = tcp_has(pcb, TCP_F_SACK) && (pcb->act->ooo_first || tcp_has(pcb, TCP_F_DSACK));
    return tcp->config.tso_bytes_max && next && piece_fits(tcp, b) && !(b->flags & BUF_TX_FIN) &&
           segment_payload(b) <= pcb->mss && !pcb->act->ecn_cwr && !blocks;
}

void tcp_tso_open(struct tcp *tcp, struct buf *b, const struct tcp_header *h)
{
    tg_assert(!tcp->row.first && b->refs > 1 && b->len == segment_payload(b));
    tcp->row = (struct tcp_row){
        .first = b, .last = b, .count = 1, .bytes = b->len, .segment_bytes = b->len, .header = *h};
}

void tcp_tso_add(struct tcp *tcp, struct buf *b, uint8_t flags)
{
    struct tcp_row *row = &tcp->row;
    tg_assert(row->last->link == b && b->refs > 1 && b->len == segment_payload(b));
    row->last = b;
    row->count++;
    row->bytes += b->len;
    row->header.flags |= flags;
}

/* One by one: a row of one, or there is no frame for the headers. */
static void row_send_apart(struct tcp *tcp, struct tcp_row *row, tg_ns now)
{
    uint8_t flags = row->header.flags;
    struct buf *b = row->first;
    for (unsigned i = 0; i < row->count; i++) {
        struct buf *next = b->link;
        bool last = i + 1 == row->count;
        row->header.flags = last ? flags : (uint8_t)(flags & ~(TCP_FIN | TCP_PSH));
        row->header.seq = b->seq;
        tcp_header_send(tcp, b, &row->header, now);
        b = next;
    }
}

/* The queue's frames behind the headers. */
static void row_chain(struct buf *frame, const struct tcp_row *row)
{
    struct buf *at = frame;
    for (struct buf *b = row->first;; b = b->link) {
        at = at->next = b;
        if (b == row->last)
            break;
    }
    frame->segments = (uint8_t)row->count;
    frame->super.segment_bytes = (uint16_t)row->segment_bytes;
}

void tcp_tso_flush(struct tcp *tcp, tg_ns now)
{
    struct tcp_row *row = &tcp->row;
    if (!row->first)
        return;
    struct buf *frame = row->count > 1 ? buf_alloc(tcp->pool) : NULL;
    if (frame) {
        row_chain(frame, row);
        tcp_header_send(tcp, frame, &row->header, now);
    } else {
        row_send_apart(tcp, row, now);
    }
    row->first = row->last = NULL;
}
