/* SPDX-License-Identifier: BSD-3-Clause
 * Recoveries that were for nothing, because segments were late and not lost. Three signs:
 *   Eifel   an ACK echoes a timestamp from before the first retransmission (RFC 3522). Milliseconds; not in a
 *           fleet, whose timestamps are no clock.
 *   DSACK   all that was sent again has been reported as a duplicate (RFC 3708).
 *   F-RTO   after a timeout, what was sent once keeps arriving (RFC 5682 s3, with SACK).
 * Then window and marks go back (RFC 4015 s3.3 would creep back; bursts are bounded by what is in flight).
 * Called by tcp_loss, tcp_emit.
 */
#include "tcp/tcp_internal.h"

#define SCAN_MAX 64u /* steps to a segment's place in time */

void tcp_undo_begin(struct tcp_pcb *pcb)
{
    struct tcp_undo *undo = &pcb->act->undo;
    if (undo->open && tcp_has(pcb, TCP_F_RECOVERY | TCP_F_TIMEOUT))
        return;
    *undo = (struct tcp_undo){.open = true, .cwnd = pcb->act->cwnd, .ssthresh = pcb->ssthresh};
}

/* RFC 5682 s3.1 step 1: not inside another recovery, not for a second timeout. */
void tcp_undo_timeout(struct tcp_pcb *pcb, bool fresh)
{
    pcb->act->undo.timeout = true;
    pcb->act->undo.frto = fresh && tcp_has(pcb, TCP_F_SACK) ? TCP_FRTO_RESENT : TCP_FRTO_OFF;
}

void tcp_undo_resent(struct tcp_pcb *pcb, const struct buf *b, tg_ns now)
{
    struct tcp_undo *undo = &pcb->act->undo;
    if (!undo->open || !tcp_has(pcb, TCP_F_RECOVERY | TCP_F_TIMEOUT))
        return;
    bool first = undo->low == undo->high;
    undo->low = first ? b->seq : seq_min(undo->low, b->seq);
    undo->high = first ? b->seq_end : seq_max(undo->high, b->seq_end);
    undo->bytes += segment_payload(b);
    if (first && tcp_has(pcb, TCP_F_TIMESTAMPS) && !tcp_has(pcb, TCP_F_OWNER)) {
        undo->stamped = true;
        undo->stamp = tcp_timestamp(pcb->ts_offset, now);
    }
}

void tcp_undo_left_recovery(struct tcp_pcb *pcb)
{
    pcb->act->undo.frto = TCP_FRTO_OFF;
    pcb->act->undo.end = pcb->snd_nxt;
}

void tcp_frto_give_up(struct tcp_pcb *pcb)
{
    pcb->act->undo.frto = TCP_FRTO_OFF;
}

/* --- signs ------------------------------------------------------------------------------------------------- */

/* While other retransmissions are out, their holes may be real: wait. */
static bool eifel_says(const struct tcp_pcb *pcb, const struct tcp_ack_news *news)
{
    const struct tcp_undo *undo = &pcb->act->undo;
    return undo->stamped && news->acked && news->has_echo && seq_lt(news->echo, undo->stamp) &&
           pcb->act->rack.resent_count == 0;
}

/* The path reorders. Or every late segment would be taken for lost by dupthresh, as one has just been. */
static void reordering_note(struct tcp_pcb *pcb)
{
    if (pcb->act->undo.timeout)
        return; /* a pause is something else */
    pcb->act->reordering_seen += !pcb->act->rack.reordering;
    pcb->act->rack.reordering = true;
}

/* A duplicate of something that was not sent again is the network's doing. */
static bool dsack_says(struct tcp_pcb *pcb, const struct tcp_ack_news *news)
{
    struct tcp_undo *undo = &pcb->act->undo;
    if (!news->has_dsack || undo->low == undo->high || seq_lt(news->dsack.left, undo->low) ||
        seq_lt(undo->high, news->dsack.right))
        return false;
    reordering_note(pcb);
    undo->bytes -= u32_min(undo->bytes, news->dsack.right - news->dsack.left);
    return undo->bytes == 0;
}

static bool can_send_new(const struct tcp_pcb *pcb)
{
    const struct buf *b = pcb->act->snd_unsent;
    int32_t usable = (int32_t)(pcb->snd_una + pcb->snd_wnd - pcb->snd_nxt);
    return b && usable >= (int32_t)u32_min(segment_len(b), pcb->mss);
}

/* RFC 5682 s3.1 steps 2 and 3. */
static bool frto_says(struct tcp_pcb *pcb, const struct tcp_ack_news *news)
{
    struct tcp_undo *undo = &pcb->act->undo;
    if (undo->frto == TCP_FRTO_RESENT && news->acked) {
        bool all = seq_le(pcb->act->recover, pcb->snd_una);
        undo->frto = all || !can_send_new(pcb) ? TCP_FRTO_OFF : TCP_FRTO_NEW;
        if (undo->frto == TCP_FRTO_NEW)
            pcb->act->cwnd = tcp_pipe(pcb) + 2u * pcb->mss;
        return false;
    }
    if (undo->frto != TCP_FRTO_NEW)
        return false;
    if (news->original)
        return true;
    undo->frto = TCP_FRTO_OFF;
    pcb->act->cwnd = u32_min(pcb->act->cwnd, 3u * pcb->mss);
    return false;
}

/* --- back to where we were ------------------------------------------------------------------------------------ */

/* Its place in the list of what is in flight, near `at`; within reason, for order only makes RACK quick. */
static struct buf *place_of(struct tcp_active *act, struct buf *at, const struct buf *b)
{
    unsigned steps = 0;
    for (; at && at->tx_ns > b->tx_ns && steps < SCAN_MAX; steps++)
        at = at->sent.older;
    for (; steps < SCAN_MAX; steps++) {
        struct buf *next = at ? at->sent.newer : act->rack.oldest;
        if (!next || next->tx_ns > b->tx_ns)
            break;
        at = next;
    }
    return at;
}

/* What was marked lost is in flight, as it always was. */
static void marks_undo(struct tcp_pcb *pcb)
{
    struct tcp_active *act = pcb->act;
    struct buf *at = NULL;
    for (struct buf *b = act->snd_lost; b && b != act->snd_unsent; b = b->link) {
        if (!(b->flags & BUF_TX_LOST))
            continue;
        b->flags &= (uint16_t)~BUF_TX_LOST;
        act->pipe += segment_len(b);
        act->rack.resent_count += (b->flags & BUF_TX_RETRANSMITTED) != 0;
        tcp_sent_insert(act, place_of(act, at, b), b);
        at = b;
    }
    act->snd_lost = NULL;
}

static void recovery_undo(struct tcp *tcp, struct tcp_pcb *pcb)
{
    struct tcp_undo *undo = &pcb->act->undo;
    stats_count(tcp->stats, TG_C_tcp_recoveries_undone);
    reordering_note(pcb);
    pcb->act->cwnd = u32_max(pcb->act->cwnd, undo->cwnd);
    pcb->ssthresh = u32_max(pcb->ssthresh, undo->ssthresh);
    pcb->congestion->undo(pcb);
    pcb->act->ecn_end = pcb->snd_una; /* the window counts as not cut */
    pcb->flags &= ~(uint32_t)(TCP_F_RECOVERY | TCP_F_TIMEOUT | TCP_F_RESEND);
    pcb->act->dup_acks = 0;
    *undo = (struct tcp_undo){0};
    marks_undo(pcb);
    tcp_mark_dirty(tcp, pcb);
}

bool tcp_undo_on_ack(struct tcp *tcp, struct tcp_pcb *pcb, const struct tcp_ack_news *news)
{
    struct tcp_undo *undo = &pcb->act->undo;
    if (!undo->open)
        return false;
    bool spurious = dsack_says(pcb, news);
    if (tcp_has(pcb, TCP_F_RECOVERY | TCP_F_TIMEOUT))
        spurious = frto_says(pcb, news) || eifel_says(pcb, news) || spurious;
    else if (seq_lt(undo->end, pcb->snd_una))
        undo->open = false;
    if (spurious)
        recovery_undo(tcp, pcb);
    return spurious;
}
