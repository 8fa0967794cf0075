/* SPDX-License-Identifier: BSD-3-Clause
 * What may leave now. One pass over the connections that input, timers and the user have marked dirty:
 * lost segments first, then new ones as both windows allow, ACKs merged with them, else one ACK. Called
 * by the worker once a turn (again while it returns true).
 */
#include "tcp/tcp_governor.h"
#include "tcp/tcp_pace.h"
#include "tcp/tcp_pmtu.h"

/* Why sending stopped. */
enum stop {
    STOP_EMPTY,   /* nothing (more) to send, or held back by the cork */
    STOP_WINDOW,  /* the peer's window */
    STOP_CWND,    /* congestion window */
    STOP_QUANTUM, /* others' turn */
    STOP_PACE,    /* its time has not come */
    STOP_STARVED, /* pool empty */
};

/* --- what is next --------------------------------------------------------------------------------------- */

/* The first segment marked lost; remembers where the search ended. */
static struct buf *lost_next(struct tcp_pcb *pcb)
{
    if (pcb->act->undo.frto == TCP_FRTO_NEW)
        return NULL; /* they may be late only: new ones will tell */
    struct buf *b = pcb->act->snd_lost;
    while (b && b != pcb->act->snd_unsent && !(b->flags & BUF_TX_LOST))
        b = b->link;
    pcb->act->snd_lost = b != pcb->act->snd_unsent ? b : NULL;
    return pcb->act->snd_lost;
}

static bool cwnd_allows(const struct tcp_pcb *pcb, uint32_t bytes)
{
    uint32_t pipe = tcp_pipe(pcb);
    return pipe == 0 || pcb->act->tlp.wish || pipe + bytes <= pcb->act->cwnd;
}

/* Bytes of the peer's window that are unused; 0 when it has shrunk below what was sent. */
static uint32_t window_usable(const struct tcp_pcb *pcb)
{
    int32_t usable = (int32_t)(pcb->snd_una + pcb->snd_wnd - pcb->snd_nxt);
    return usable > 0 ? (uint32_t)usable : 0;
}

/* A short segment that left is not acknowledged yet (Minshall's change to Nagle's rule: full ones do not
 * count, so that a stream's tail does not wait for its body). */
static bool small_in_flight(const struct tcp_pcb *pcb)
{
    return seq_lt(pcb->snd_una, pcb->act->snd_small) && seq_le(pcb->act->snd_small, pcb->snd_nxt);
}

/* The last segment waits to be filled while the user corks, for 200 ms at most, or while Nagle's rule says so
 * (RFC 9293 s3.7.4); a FIN behind it says that nothing more comes. */
static bool tail_waits(struct tcp *tcp, struct tcp_pcb *pcb, const struct buf *b, tg_ns now)
{
    if (b != pcb->act->snd_last || segment_payload(b) >= pcb->mss || b->flags & BUF_TX_FIN)
        return false;
    if (tcp_has(pcb, TCP_F_CORK) && !tcp_has(pcb, TCP_F_CORK_SPENT)) {
        if (!pcb->act->deadline[TCP_D_CORK])
            tcp_deadline_set(tcp, pcb, TCP_D_CORK, now + TCP_CORK_MAX);
        return true;
    }
    return tcp_switched(tcp, pcb, TCP_OPT_NAGLE) && small_in_flight(pcb);
}

/* Cut a new segment to the window or the MSS where the rules allow. Sender's silly-window rule (RFC 9293
 * s3.8.6.2.1): what fits as a whole leaves; else only a piece of half the largest window ever seen,
 * or anything once the override timer has fired. */
static enum stop new_segment_fit(struct tcp *tcp, struct tcp_pcb *pcb, struct buf *b)
{
    uint32_t usable = window_usable(pcb), limit = pcb->mss;
    uint32_t needed =
        u32_max(segment_payload(b), 1); /* a FIN may lie just behind the edge, not alone */
    if (needed > usable) {
        bool worth = usable > 0 && usable >= pcb->snd_wnd_max / 2;
        if (!(worth || (usable > 0 && tcp_has(pcb, TCP_F_OVERRIDE))))
            return STOP_WINDOW;
        limit = u32_min(limit, usable);
    }
    if (segment_payload(b) > limit && !tcp_segment_split(tcp, pcb, b, limit))
        return STOP_STARVED;
    return STOP_EMPTY;
}

/* RFC 5681 s4.1: after an idle RTO the ACK clock is gone. */
static void idle_restart(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    if (pcb->snd_una != pcb->snd_nxt || now - pcb->act->sent_ns <= tcp_rto(tcp, pcb))
        return;
    uint32_t initial = tcp_initial_window(pcb);
    if (pcb->act->cwnd > initial) {
        pcb->act->cwnd = initial;
        pcb->congestion->idle(pcb);
    }
}

static enum stop resend_next(struct tcp *tcp, struct tcp_pcb *pcb, struct buf *b, tg_ns now)
{
    tcp_pmtu_resends(tcp, pcb, b);
    if (segment_payload(b) > pcb->mss && !tcp_segment_split(tcp, pcb, b, pcb->mss))
        return STOP_STARVED;
    b = lost_next(pcb); /* the cut may have replaced it */
    if (!tcp_has(pcb, TCP_F_RESEND) && !cwnd_allows(pcb, segment_len(b)))
        return STOP_CWND;
    if (!tcp_emit_queued(tcp, pcb, b, now))
        return STOP_STARVED;
    pcb->flags &= ~(uint32_t)TCP_F_RESEND;
    if (b ==
        pcb->act->snd_first) /* it has a round trip's time, too (as Linux; RFC 6298 leaves it) */
        tcp_deadline_set(tcp, pcb, TCP_D_RETRANSMIT, now + tcp_rto(tcp, pcb));
    return STOP_QUANTUM;
}

/* What holds the next new segment back; STOP_EMPTY: nothing does. */
static enum stop send_check(struct tcp *tcp, struct tcp_pcb *pcb)
{
    struct buf *b = pcb->act->snd_unsent;
    enum stop stop = new_segment_fit(tcp, pcb, b);
    if (stop != STOP_EMPTY)
        return stop;
    b = pcb->act->snd_unsent; /* the cut may have replaced it */
    return cwnd_allows(pcb, segment_len(b)) ? STOP_EMPTY : STOP_CWND;
}

static enum stop send_next(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    if (!pcb->act->snd_unsent || tail_waits(tcp, pcb, pcb->act->snd_unsent, now))
        return STOP_EMPTY;
    uint16_t probe = tcp_pmtu_probe(tcp, pcb, now);
    if (probe == TCP_PMTU_WAIT)
        return STOP_CWND;
    enum stop stop = probe ? STOP_EMPTY : send_check(tcp, pcb);
    if (stop != STOP_EMPTY)
        return stop;
    struct buf *b = pcb->act->snd_unsent;
    if (!pcb->act->tlp.wish && !tcp_pace_allows(tcp, pcb, now)) {
        tcp_deadline_set(tcp, pcb, TCP_D_PACE, tcp_pace_next(pcb, now));
        return STOP_PACE;
    }
    if (pcb->act->reserved == b)
        pcb->act->reserved = NULL; /* it has left: a reservation ends with the turn */
    if (!tcp_emit_queued(tcp, pcb, b, now))
        return STOP_STARVED;
    if (probe)
        tcp_pmtu_probe_sent(tcp, pcb, b, probe);
    tcp_pace_sent(tcp, pcb, segment_len(b), now);
    pcb->act->snd_unsent = b->link;
    pcb->snd_nxt = b->seq_end;
    pcb->flags &= ~(uint32_t)(TCP_F_OVERRIDE | TCP_F_CORK_SPENT);
    tcp_deadline_clear(pcb, TCP_D_CORK);
    return STOP_QUANTUM;
}

/* A tail loss probe (RFC 8985 s7.3): a new segment where there is one and the peer's window takes it, else the
 * last one again. */
static enum stop tail_probe(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    struct buf *last = pcb->act->rack.newest;
    if (!last || tcp_has(pcb, TCP_F_RECOVERY | TCP_F_TIMEOUT)) {
        pcb->act->tlp.wish = false; /* an ACK was faster */
        return STOP_EMPTY;
    }
    enum stop stop = send_next(tcp, pcb, now);
    if (stop == STOP_STARVED)
        return stop;
    if (stop != STOP_QUANTUM) {
        uint32_t payload = segment_payload(last);
        if (payload > pcb->mss && !tcp_segment_split(tcp, pcb, last, payload - pcb->mss))
            return STOP_STARVED;
        if (!tcp_emit_queued(tcp, pcb, pcb->act->rack.newest, now))
            return STOP_STARVED;
    }
    tcp_tlp_sent(tcp, pcb, stop != STOP_QUANTUM);
    return STOP_QUANTUM;
}

/* Send segments until something stops it; *sent counts them. */
static enum stop segments_burst(struct tcp *tcp, struct tcp_pcb *pcb, unsigned quantum,
                                unsigned *sent, tg_ns now)
{
    while (*sent < quantum) {
        struct buf *b = lost_next(pcb);
        bool probe = pcb->act->tlp.wish;
        enum stop stop = probe ? tail_probe(tcp, pcb, now)
                         : b   ? resend_next(tcp, pcb, b, now)
                               : send_next(tcp, pcb, now);
        if (probe && stop == STOP_EMPTY)
            continue;
        if (stop != STOP_QUANTUM)
            return stop;
        ++*sent;
        if (!pcb->act->deadline[TCP_D_RETRANSMIT]) /* RFC 6298 s5.1 */
            tcp_deadline_set(tcp, pcb, TCP_D_RETRANSMIT, now + tcp_rto(tcp, pcb));
    }
    return lost_next(pcb) || pcb->act->snd_unsent ? STOP_QUANTUM : STOP_EMPTY;
}

static enum stop segments_send(struct tcp *tcp, struct tcp_pcb *pcb, unsigned quantum,
                               unsigned *sent, tg_ns now)
{
    if (!tcp_state_sends(pcb->state))
        return STOP_EMPTY;
    if (pcb->act->snd_unsent)
        idle_restart(tcp, pcb, now);
    unsigned before = *sent;
    enum stop stop = segments_burst(tcp, pcb, quantum, sent, now);
    if (pcb->act->undo.frto == TCP_FRTO_NEW && pcb->snd_nxt == pcb->act->recover &&
        stop != STOP_STARVED) { /* RFC 5682 s3.1 step 2b: nothing new can leave */
        tcp_frto_give_up(pcb);
        stop = segments_burst(tcp, pcb, quantum, sent, now);
    }
    tcp_tso_flush(tcp, now);
    if (*sent != before)
        tcp_tlp_schedule(tcp, pcb, now);
    return stop;
}

/* --- FIN, probes, ACKs ------------------------------------------------------------------------------------ */

/* The FIN rides on the last segment that has not left, else on an empty one. False: pool empty. */
static bool fin_queue(struct tcp *tcp, struct tcp_pcb *pcb)
{
    if (!tcp_has(pcb, TCP_F_FIN_WISH))
        return true;
    if (!pcb->act->snd_unsent) {
        struct buf *b = buf_alloc(tcp->pool);
        if (!b)
            return false;
        tcp_segment_append(pcb, b);
    }
    tcp_reservation_free(tcp, pcb);
    pcb->act->snd_last->flags |= BUF_TX_FIN;
    pcb->act->snd_last->seq_end++;
    pcb->snd_end++;
    pcb->flags &= ~(uint32_t)TCP_F_FIN_WISH;
    pcb->flags |= TCP_F_FIN_QUEUED;
    return true;
}

/* A probe asks for an ACK with bytes that the peer has long had, so that nothing is cut off the queue
 * (as Linux does; RFC 9293 s3.8.6.1 sends one new byte, which serves the same end). */
static bool probe_send(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    if (!tcp_has(pcb, TCP_F_PROBE | TCP_F_KEEP_PROBE))
        return true;
    if (!tcp_emit_ack(tcp, pcb, pcb->snd_una - 1, now))
        return false;
    stats_count(tcp->stats, tcp_has(pcb, TCP_F_PROBE) ? TG_C_tcp_zero_window_probes
                                                      : TG_C_tcp_keepalive_probes);
    pcb->flags &= ~(uint32_t)(TCP_F_PROBE | TCP_F_KEEP_PROBE);
    return true;
}

/* Duplicate ACKs are not merged with data, because RFC 5681 counts only those without, and SACK blocks
 * may not fit beside a full payload. A peer without SACK gets as many as segments came early. */
static bool early_acks_send(struct tcp *tcp, struct tcp_pcb *pcb, unsigned *sent, tg_ns now)
{
    bool told = pcb->act->ooo_first || tcp_has(pcb, TCP_F_DSACK);
    if (!tcp_has(pcb, TCP_F_ACK_NOW) || !told) {
        pcb->act->dup_owed = 0;
        return true;
    }
    unsigned n = tcp_has(pcb, TCP_F_SACK) || pcb->act->dup_owed == 0 ? 1 : pcb->act->dup_owed;
    pcb->act->dup_owed = 0;
    for (; n; n--, ++*sent)
        if (!tcp_emit_ack(tcp, pcb, pcb->snd_nxt, now))
            return false;
    return true;
}

/* Nothing in flight and the window in the way: only a probe can find out when it opens. */
static void persist_arrange(struct tcp *tcp, struct tcp_pcb *pcb, enum stop stop, tg_ns now)
{
    if (stop == STOP_WINDOW && pcb->snd_una == pcb->snd_nxt) {
        if (!pcb->act->deadline[TCP_D_PERSIST])
            tcp_deadline_set(tcp, pcb, TCP_D_PERSIST, now + tcp_rto(tcp, pcb));
    } else if (pcb->act->deadline[TCP_D_PERSIST]) {
        tcp_deadline_clear(pcb, TCP_D_PERSIST);
        pcb->act->backoff = 0;
        if (pcb->snd_una !=
            pcb->snd_nxt) /* text has left: an orphan's probes do not count against it */
            pcb->act->retries = 0;
        pcb->flags &= ~(uint32_t)(TCP_F_PROBE | TCP_F_OVERRIDE);
    }
}

/* cwnd may grow only while it is what holds the flow back (RFC 7661 s4.4, as Linux: half in slow start). */
static void cwnd_use_note(struct tcp_pcb *pcb, enum stop stop)
{
    if (stop == STOP_CWND || tcp_pipe(pcb) + pcb->mss > pcb->act->cwnd)
        pcb->flags |= TCP_F_CWND_LIMITED;
    else if (stop != STOP_QUANTUM && stop != STOP_PACE && tcp_pipe(pcb) < pcb->act->cwnd / 2)
        pcb->flags &= ~(uint32_t)TCP_F_CWND_LIMITED;
}

/* --- one connection, all connections ------------------------------------------------------------------------ */

static bool handshake_output(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    if (tcp_has(pcb, TCP_F_SYN_WISH)) {
        if (!tcp_emit_syn(tcp, pcb, now))
            return false;
        pcb->flags &= ~(uint32_t)TCP_F_SYN_WISH;
    }
    if (pcb->state == TCP_S_SYN_RECEIVED && tcp_has(pcb, TCP_F_ACK_NOW))
        return tcp_emit_ack(tcp, pcb, pcb->snd_nxt, now);
    return true;
}

static enum stop synchronised_output(struct tcp *tcp, struct tcp_pcb *pcb, unsigned quantum,
                                     unsigned *sent, tg_ns now)
{
    if (!fin_queue(tcp, pcb) || !early_acks_send(tcp, pcb, sent, now))
        return STOP_STARVED;
    enum stop stop = segments_send(tcp, pcb, quantum, sent, now);
    cwnd_use_note(pcb, stop);
    if (stop == STOP_STARVED)
        return stop;
    persist_arrange(tcp, pcb, stop, now);
    if (!probe_send(tcp, pcb, now))
        return STOP_STARVED;
    if (tcp_has(pcb, TCP_F_ACK_NOW)) {
        if (!tcp_emit_ack(tcp, pcb, pcb->snd_nxt, now))
            return STOP_STARVED;
        ++*sent;
    }
    return stop;
}

/* Returns segments sent; *more: the quantum was used up. */
static unsigned pcb_output(struct tcp *tcp, struct tcp_pcb *pcb, unsigned quantum, bool *more,
                           tg_ns now)
{
    unsigned sent = 0;
    enum stop stop;
    if (pcb->state == TCP_S_SYN_SENT || pcb->state == TCP_S_SYN_RECEIVED) {
        stop = handshake_output(tcp, pcb, now) ? STOP_EMPTY : STOP_STARVED;
        sent = 1;
    } else {
        stop = synchronised_output(tcp, pcb, quantum, &sent, now);
        tcp_event_writable(tcp, pcb);
    }
    tcp_user_timeout_arrange(tcp, pcb, now);
    if (stop == STOP_STARVED) { /* an empty pool wedges nobody: come back by the clock */
        tcp_deadline_set(tcp, pcb, TCP_D_REPAIR, now + TCP_REPAIR);
        tcp_governor_dry(tcp);
    }
    *more = stop == STOP_QUANTUM;
    return sent;
}

bool tcp_output(struct tcp *tcp, tg_ns now)
{
    tcp->now = now;
    tcp_governor_look(tcp, 0, now);
    unsigned budget = TCP_OUTPUT_BUDGET;
    uint32_t last = tcp->lists[TCP_L_DIRTY].last; /* one pass: who is dirty now */
    struct tcp_pcb *pcb;
    while (budget && net_tx_room(tcp->net) >= 2 * TCP_OUTPUT_QUANTUM &&
           (pcb = tcp_list_pop(tcp, TCP_L_DIRTY))) {
        bool more = false;
        bool end = tcp_pcb_index(tcp, pcb) == last;
        unsigned sent = pcb_output(tcp, pcb, u32_min(budget, TCP_OUTPUT_QUANTUM), &more, now);
        budget -= u32_min(budget, u32_max(sent, 1));
        if (more)
            tcp_mark_dirty(tcp, pcb);
        if (end)
            break;
    }
    tcp_line_serve(tcp);
    return tcp->lists[TCP_L_DIRTY].first != TCP_INDEX_NONE;
}
