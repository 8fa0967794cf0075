/* SPDX-License-Identifier: BSD-3-Clause
 * Payload and FIN of an acceptable segment into the receive queue, in order (RFC 9293 s3.10.7.4, seventh
 * and eighth), and the choice between an ACK now and one later. Called by tcp_in. Early pieces are
 * tcp_ooo.c's.
 */
#include "tcp/tcp_governor.h"

/* Backlog in frames from which on even large payloads are copied into the last frame's free room: two
 * neighbours then hold at least one frame's worth of bytes (SegmentSmack, CVE-2018-5390). */
#define FRAME_BYTES_MIN 1024u

/* True when b's bytes fit behind the last frame's and should go there rather than pin a frame. The
 * result stays within one segment, so that tcp_take passes it on whole, unless frames pile up. */
static bool append_by_copy(const struct tcp *tcp, const struct tcp_pcb *pcb, const struct buf *b)
{
    const struct buf *last = pcb->act->rcv_last;
    if (!last || last->refs != 1 || buf_tailroom(last) < b->len)
        return false;
    if (pcb->act->rcv_frames > tcp_receive_space(tcp, pcb) / FRAME_BYTES_MIN)
        return true;
    return b->len < BUF_COPY_BELOW && (uint32_t)last->len + b->len <= pcb->mss;
}

void tcp_receive_append(struct tcp *tcp, struct tcp_pcb *pcb, struct buf *b)
{
    b->link = NULL;
    pcb->rcv_nxt += b->len;
    if (append_by_copy(tcp, pcb, b)) {
        memcpy(buf_put(pcb->act->rcv_last, b->len), b->data, b->len);
        buf_unref(tcp->pool, b);
        return;
    }
    if (pcb->act->rcv_last)
        pcb->act->rcv_last->link = b;
    else
        pcb->act->rcv_first = b;
    pcb->act->rcv_last = b;
    pcb->act->rcv_frames++;
}

/* Cut the segment to what is new and inside the window. False: nothing is left of it. */
static bool text_trim(struct tcp *tcp, struct tcp_pcb *pcb, struct tcp_rx *rx)
{
    uint32_t front = 0;
    if (seq_lt(rx->seq, pcb->rcv_nxt)) {
        front = u32_min(pcb->rcv_nxt - rx->seq, rx->bytes);
        if (front) { /* a duplicate, whatever follows it: at once (RFC 5681 s4.2, RFC 2883 s4) */
            tcp_ooo_duplicate(pcb, rx->seq, rx->seq + front);
            pcb->flags |= TCP_F_ACK_NOW;
        }
        rx->seq += front;
        rx->bytes -= front;
    }
    uint32_t room = pcb->rcv_adv - rx->seq;
    if (rx->bytes > room) {
        stats_count(tcp->stats, TG_C_tcp_rcv_full);
        rx->bytes = room;
        rx->flags &= (uint8_t)~TCP_FIN;
    }
    if (rx->bytes == 0 && !(rx->flags & TCP_FIN))
        return false;
    buf_pull(rx->b, (uint16_t)(rx->b->payload + front));
    buf_trim(rx->b, (uint16_t)rx->bytes);
    rx->b->seq = rx->seq;
    rx->b->seq_end = rx->seq + rx->bytes;
    return true;
}

static uint32_t early_end(const struct tcp_pcb *pcb)
{
    uint32_t end = pcb->rcv_nxt;
    for (const struct buf *b = pcb->act->ooo_first; b; b = b->link)
        end = b->seq_end;
    return end;
}

/* The stream's end, once known, does not move, and nothing lies behind it. */
static bool fin_consistent(struct tcp_pcb *pcb, const struct tcp_rx *rx)
{
    uint32_t end = rx->seq + rx->bytes;
    if (tcp_has(pcb, TCP_F_FIN_SEEN))
        return seq_le(end, pcb->act->fin_seq) &&
               (!(rx->flags & TCP_FIN) || end == pcb->act->fin_seq);
    if (!(rx->flags & TCP_FIN))
        return true;
    if (seq_lt(end, early_end(pcb)))
        return false;
    pcb->flags |= TCP_F_FIN_SEEN;
    pcb->act->fin_seq = end;
    return true;
}

/* Everything before the FIN is here: it counts (eighth). pcb may be gone afterwards. */
static void fin_take(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    pcb->rcv_nxt++;
    /* The edge may stand right here when the window was shut; a FIN needs no buffer. */
    pcb->rcv_adv = seq_max(pcb->rcv_adv, pcb->rcv_nxt);
    pcb->flags |= TCP_F_FIN_TAKEN | TCP_F_ACK_NOW;
    tcp_mark_dirty(tcp, pcb);
    tcp_event_post(tcp, pcb, TCP_EV_PEER_FIN);
    switch (pcb->state) {
    case TCP_S_ESTABLISHED:
        tcp_state_set(tcp, pcb, TCP_S_CLOSE_WAIT);
        return;
    case TCP_S_FIN_WAIT_1: /* our FIN is not acknowledged, or this were FIN-WAIT-2 */
        tcp_state_set(tcp, pcb, TCP_S_CLOSING);
        return;
    case TCP_S_FIN_WAIT_2:
        tcp_timewait_add(tcp, pcb, now);
        return;
    default:
        tg_assert(false);
    }
}

/* The peer starts anew after a pause longer than a timeout: its window is small and feeds on ACKs. Not where
 * data of ours has lately carried the ACKs (a server's answers): there a pure one would be waste. */
static bool ack_quickly(const struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    tg_ns last = pcb->act->data_ns;
    uint8_t quick = tcp->config.profile->quick_acks;
    pcb->act->data_ns = now;
    if (tcp_has(pcb, TCP_F_PINGPONG))
        return false;
    if (last && now - last > tcp_rto(tcp, pcb) && pcb->quick_acks < quick)
        pcb->quick_acks = quick;
    if (pcb->quick_acks == 0)
        return false;
    pcb->quick_acks--;
    return true;
}

/* RFC 5681 s4.2, RFC 9293 s3.8.6.3: every second full segment at once, the rest within the profile's delay; at
 * once too at the start and around holes. */
static void ack_choose(struct tcp *tcp, struct tcp_pcb *pcb, bool hole, uint32_t bytes, tg_ns now)
{
    if (bytes > pcb->rcv_mss)
        pcb->rcv_mss = (uint16_t)bytes;
    bool full = pcb->rcv_nxt - pcb->rcv_acked >= 2u * pcb->rcv_mss;
    bool quickly = ack_quickly(tcp, pcb, now);
    if (hole || full || quickly) {
        pcb->flags |= TCP_F_ACK_NOW;
        tcp_mark_dirty(tcp, pcb);
        return;
    }
    if (!tcp_has(pcb, TCP_F_ACK_DELAYED)) {
        pcb->flags |= TCP_F_ACK_DELAYED;
        tcp_deadline_set(tcp, pcb, TCP_D_DELACK, now + tcp->config.profile->delayed_ack);
    }
}

void tcp_text_arrived(struct tcp *tcp, struct tcp_pcb *pcb, uint32_t bytes, bool hole, tg_ns now)
{
    ack_choose(tcp, pcb, hole, bytes, now);
    tcp_autotune_arrived(tcp, pcb, now);
    tcp_event_post(tcp, pcb, TCP_EV_READABLE);
}

static void text_in_order(struct tcp *tcp, struct tcp_pcb *pcb, struct tcp_rx *rx)
{
    bool hole = pcb->act->ooo_first != NULL;
    tcp_receive_append(tcp, pcb, rx->b);
    rx->b = NULL;
    tcp_ooo_drain(tcp, pcb);
    tcp_text_arrived(tcp, pcb, rx->bytes, hole, rx->now);
}

static void text_early(struct tcp *tcp, struct tcp_pcb *pcb, struct tcp_rx *rx)
{
    stats_count(tcp->stats, TG_C_tcp_out_of_order);
    tcp_ooo_recent(pcb, rx->seq);
    tcp_ooo_insert(tcp, pcb, rx->b);
    rx->b = NULL;
    if (pcb->act->dup_owed < TCP_DUP_THRESHOLD + 1) /* more tell the peer nothing that it acts on */
        pcb->act->dup_owed++;
    pcb->flags |= TCP_F_ACK_NOW; /* RFC 5681 s4.2 */
    tcp_mark_dirty(tcp, pcb);
}

/* Only the reserve of frames is left, and this one would be held. Its bytes may be copied behind others; a reader that
 * keeps up holds none; all else the peer sends again. */
static bool memory_refuses(struct tcp *tcp, const struct tcp_pcb *pcb, const struct tcp_rx *rx)
{
    if (rx->bytes == 0 || tcp_governor_spares(tcp))
        return false;
    if (rx->seq == pcb->rcv_nxt && (!pcb->act->rcv_first || append_by_copy(tcp, pcb, rx->b)))
        return false;
    stats_count(tcp->stats, TG_C_tcp_shed_text);
    return true;
}

/* Data for a user that has closed: nobody will read it, so the peer is told at once (RFC 9293 s3.10.4
 * and RFC 2525 s2.17). */
static bool orphan_refuses(struct tcp *tcp, struct tcp_pcb *pcb, const struct tcp_rx *rx)
{
    if (!tcp_has(pcb, TCP_F_ORPHAN) || rx->bytes == 0)
        return false;
    stats_count(tcp->stats, TG_C_tcp_aborted);
    tcp_emit_rst(tcp, pcb, rx->now);
    tcp_pcb_free(tcp, pcb);
    return true;
}

void tcp_text_take(struct tcp *tcp, struct tcp_pcb *pcb, struct tcp_rx *rx)
{
    if (!tcp_state_receives(pcb->state) || tcp_has(pcb, TCP_F_FIN_TAKEN))
        return; /* "This should not occur, since a FIN has been received": ignore */
    if (!text_trim(tcp, pcb, rx))
        return;
    if (!fin_consistent(pcb, rx)) {
        stats_count(tcp->stats, TG_C_tcp_bad_segment);
        tcp_mark_dirty(tcp, pcb); /* text_trim may want an ACK */
        return;
    }
    if (orphan_refuses(tcp, pcb, rx))
        return;
    if (memory_refuses(tcp, pcb, rx)) {
        tcp_mark_dirty(tcp, pcb); /* text_trim or a congestion mark may want an ACK */
        return;
    }
    if (rx->bytes && rx->seq == pcb->rcv_nxt)
        text_in_order(tcp, pcb, rx);
    else if (rx->bytes)
        text_early(tcp, pcb, rx);
    else
        pcb->flags |= TCP_F_ACK_NOW;
    tcp_mark_dirty(tcp, pcb);
    if (tcp_has(pcb, TCP_F_FIN_SEEN) && pcb->rcv_nxt == pcb->act->fin_seq)
        fin_take(tcp, pcb, rx->now);
}
