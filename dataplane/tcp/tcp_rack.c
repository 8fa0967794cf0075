/* SPDX-License-Identifier: BSD-3-Clause
 * RACK (RFC 8985 s6): a segment is lost when one that left later has arrived, and a reordering window has passed.
 * That finds lost retransmissions, too. What is in flight lies in a list by time of transmission, so that a
 * look costs one step per segment that is found lost, however large the window is. Called by tcp_ack,
 * tcp_sack, tcp_loss; peers with SACK only, but the list is kept for all.
 *
 * Clocks: times are nanoseconds of the worker's clock, read once per burst; segments of one burst are told
 * apart by sequence number. The reordering timer's tick (1 ms) makes it late, never early.
 */
#include "tcp/tcp_internal.h"

#define REO_PERSIST  16u        /* recoveries (RFC 8985 s6.2 step 4) */
#define REO_MULT_MAX 200u       /* the window is bounded by srtt long before */
#define REO_LEAST    TIMER_TICK /* of our clock and of a burst: paths of microseconds reorder, too */
#define MIN_RTT_SPAN (150 * TG_S) /* a minimum lasts between one and two of these: RFC 8985 s6.2 */

void tcp_rack_init(struct tcp_pcb *pcb, uint32_t seq)
{
    pcb->act->rack = (struct tcp_rack){.fack = seq, .reo_mult = 1};
}

/* --- the list ------------------------------------------------------------------------------------------- */

void tcp_sent_insert(struct tcp_active *act, struct buf *at, struct buf *b)
{
    struct tcp_rack *rack = &act->rack;
    b->sent.older = at;
    b->sent.newer = at ? at->sent.newer : rack->oldest;
    if (b->sent.newer)
        b->sent.newer->sent.older = b;
    else
        rack->newest = b;
    if (at)
        at->sent.newer = b;
    else
        rack->oldest = b;
}

/* By time, and within a burst by sequence number, which is the order of sending unless a retransmission follows. */
void tcp_sent_append(struct tcp_active *act, struct buf *b)
{
    struct buf *at = act->rack.newest;
    while (at && at->tx_ns == b->tx_ns && seq_lt(b->seq_end, at->seq_end))
        at = at->sent.older;
    tcp_sent_insert(act, at, b);
}

void tcp_sent_remove(struct tcp_active *act, struct buf *b)
{
    struct tcp_rack *rack = &act->rack;
    tg_assert(b->sent.older || rack->oldest == b);
    tg_assert(b->sent.newer || rack->newest == b);
    if (b->sent.older)
        b->sent.older->sent.newer = b->sent.newer;
    else
        rack->oldest = b->sent.newer;
    if (b->sent.newer)
        b->sent.newer->sent.older = b->sent.older;
    else
        rack->newest = b->sent.older;
    b->sent.older = b->sent.newer = NULL;
}

/* --- what has arrived ------------------------------------------------------------------------------------ */

/* Two buckets: the running one becomes the answer's second half when the other is too old. */
void tcp_min_rtt_sample(struct tcp_pcb *pcb, tg_ns rtt, tg_ns now)
{
    struct tcp_rack *rack = &pcb->act->rack;
    rtt = rtt ? rtt : 1; /* 0 means "none" */
    if (rack->min_rtt_ns == 0) {
        rack->min_rtt_ns = now;
        rack->min_rtt_next = pcb->act->min_rtt = rtt;
    } else if (now - rack->min_rtt_ns > MIN_RTT_SPAN) {
        bool stale = now - rack->min_rtt_ns > 2 * MIN_RTT_SPAN;
        pcb->act->min_rtt = stale ? rtt : rack->min_rtt_next;
        rack->min_rtt_next = rtt;
        rack->min_rtt_ns = now;
    }
    if (rtt < rack->min_rtt_next)
        rack->min_rtt_next = rtt;
    if (rtt < pcb->act->min_rtt)
        pcb->act->min_rtt = rtt;
}

/* RACK_sent_after: a left after b. */
static bool sent_after(tg_ns a_ns, uint32_t a_end, tg_ns b_ns, uint32_t b_end)
{
    return a_ns > b_ns || (a_ns == b_ns && seq_lt(b_end, a_end));
}

/* The ACK may be an earlier transmission's: it came faster than the path allows, or echoes an older timestamp. */
static bool ambiguous(const struct tcp_pcb *pcb, const struct buf *b,
                      const struct tcp_ack_news *news, tg_ns rtt)
{
    if (!(b->flags & BUF_TX_RETRANSMITTED))
        return false;
    return rtt < pcb->act->min_rtt ||
           (news->has_echo && seq_lt(news->echo, tcp_timestamp(pcb->ts_offset, b->tx_ns)));
}

void tcp_rack_arrived(struct tcp_pcb *pcb, const struct buf *b, struct tcp_ack_news *news,
                      tg_ns now)
{
    struct tcp_rack *rack = &pcb->act->rack;
    tg_ns rtt = now - b->tx_ns;
    pcb->act->delivered_segments++;
    if (!(b->flags & BUF_TX_RETRANSMITTED)) {
        news->sent_ns = b->tx_ns > news->sent_ns ? b->tx_ns : news->sent_ns;
        news->original = news->original || seq_le(b->seq_end, pcb->act->recover);
    }
    if (seq_lt(rack->fack, b->seq_end)) {
        rack->fack = b->seq_end;
    } else if (seq_lt(b->seq_end, rack->fack) && !(b->flags & BUF_TX_RETRANSMITTED)) {
        rack->reordering = true;
        pcb->act->reordering_seen++;
    }
    if (ambiguous(pcb, b, news, rtt))
        return;
    rack->rtt = rtt;
    if (sent_after(b->tx_ns, b->seq_end, rack->xmit_ns, rack->end_seq)) {
        rack->xmit_ns = b->tx_ns;
        rack->end_seq = b->seq_end;
        rack->resent = (b->flags & BUF_TX_RETRANSMITTED) != 0;
    }
}

/* --- the reordering window -------------------------------------------------------------------------------- */

void tcp_rack_round(struct tcp_pcb *pcb, bool dsack)
{
    struct tcp_rack *rack = &pcb->act->rack;
    if (rack->in_round && seq_le(rack->dsack_round, pcb->snd_una))
        rack->in_round = false;
    if (!dsack || rack->in_round)
        return;
    rack->in_round = true;
    rack->dsack_round = pcb->snd_nxt;
    rack->reo_mult += rack->reo_mult < REO_MULT_MAX;
    rack->reo_persist = REO_PERSIST;
}

void tcp_rack_left_recovery(struct tcp_pcb *pcb)
{
    struct tcp_rack *rack = &pcb->act->rack;
    if (rack->reo_persist && --rack->reo_persist == 0)
        rack->reo_mult = 1;
}

tg_ns tcp_rack_window(const struct tcp_pcb *pcb)
{
    const struct tcp_rack *rack = &pcb->act->rack;
    if (!rack->reordering &&
        (tcp_has(pcb, TCP_F_RECOVERY | TCP_F_TIMEOUT) || rack->sacked_count >= TCP_DUP_THRESHOLD))
        return 0;
    tg_ns quarter = pcb->act->min_rtt / 4;
    quarter = quarter > REO_LEAST ? quarter : REO_LEAST;
    tg_ns window = quarter * u32_max(rack->reo_mult, 1);
    tg_ns most = pcb->srtt > REO_LEAST ? pcb->srtt : REO_LEAST;
    return window < most ? window : most;
}

/* --- what is lost ------------------------------------------------------------------------------------------ */

/* RACK_sent_after. In one instant of a coarse clock, what is sent again leaves after what is new. */
static bool left_before_rack(const struct tcp_rack *rack, const struct buf *b)
{
    if (b->tx_ns == rack->xmit_ns && b->flags & BUF_TX_RETRANSMITTED && !rack->resent)
        return false;
    return sent_after(rack->xmit_ns, rack->end_seq, b->tx_ns, b->seq_end);
}

/* The RFC arms the timer for the last of those that may be lost soon, to save timers; here it is the first,
 * which costs no walk, and the wheel's tick bounds their number. */
bool tcp_rack_detect(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    struct tcp_rack *rack = &pcb->act->rack;
    tg_ns window = tcp_rack_window(pcb);
    bool lost = false;
    tcp_deadline_clear(pcb, TCP_D_RACK);
    for (struct buf *b = rack->oldest, *newer; b && b->tx_ns <= rack->xmit_ns; b = newer) {
        newer = b->sent.newer;
        if (b->tx_ns == rack->xmit_ns && seq_lt(rack->end_seq, b->seq_end))
            break; /* of the same burst, and behind: as is all the rest */
        if (!left_before_rack(rack, b))
            continue;
        tg_ns due = b->tx_ns + rack->rtt + window;
        if (b->flags & BUF_TX_RETRANSMITTED && b->tx_ns == now)
            due =
                now +
                1; /* no answer to it can be here, and its order among others of this instant is not known */
        if (due > now) {
            tcp_deadline_set(tcp, pcb, TCP_D_RACK, due);
            break;
        }
        tcp_segment_mark_lost(pcb, b);
        lost = true;
    }
    return lost;
}

bool tcp_rack_timed_out(const struct tcp_pcb *pcb, const struct buf *b, tg_ns now)
{
    tg_ns rtt = pcb->act->rack.rtt ? pcb->act->rack.rtt : pcb->srtt;
    return !tcp_has(pcb, TCP_F_SACK) || b->tx_ns + rtt + tcp_rack_window(pcb) <= now;
}
