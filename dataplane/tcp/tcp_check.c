/* SPDX-License-Identifier: BSD-3-Clause
 * Every invariant that the other files rely on, walked from outside. Called by tests, the fuzz target
 * and the simulator after each event; linear in everything, so never on the packet path.
 */
#include "tcp/tcp_half_open.h"

#define REQUIRE(cond, text)                                                                        \
    do {                                                                                           \
        if (!(cond))                                                                               \
            return text;                                                                           \
    } while (0)

static bool flow_names(const struct tcp *tcp, const struct tcp_pcb *pcb)
{
    return tcp_lookup(tcp, &pcb->tuple, pcb->hash) == tcp_pcb_index(tcp, pcb);
}

static bool opening(const struct tcp_pcb *pcb)
{
    return pcb->state == TCP_S_SYN_SENT || pcb->state == TCP_S_SYN_RECEIVED;
}

static const char *check_segment(const struct tcp_pcb *pcb, const struct buf *b, bool unsent)
{
    REQUIRE(b->refs > 0 && !b->external, "send: frame is free or external");
    REQUIRE(!b->next || b->refs > 1, "send: frame is chained, and in no super-segment");
    REQUIRE(!(b->flags & BUF_TX_SENT) == unsent, "send: sent flag and snd_unsent differ");
    REQUIRE(segment_payload(b) <= b->len, "send: payload longer than its frame");
    REQUIRE(!unsent || segment_payload(b) == b->len, "send: unsent frame has headers");
    REQUIRE(!(b->flags & BUF_TX_FIN) || (b == pcb->act->snd_last && tcp_has(pcb, TCP_F_FIN_QUEUED)),
            "send: FIN not at the end");
    REQUIRE(!(b->flags & BUF_TX_LOST && b->flags & BUF_TX_SACKED), "send: lost and sacked");
    REQUIRE(!(b->flags & BUF_TX_LOST) ||
                (pcb->act->snd_lost && seq_le(pcb->act->snd_lost->seq, b->seq)),
            "send: lost segment in front of snd_lost");
    return NULL;
}

static const char *check_send_queue(const struct tcp_pcb *pcb)
{
    uint32_t seq = opening(pcb) ? pcb->act->iss + 1 : pcb->snd_una;
    uint32_t pipe = 0, sacked = 0, count = 0, sacked_count = 0, listed = 0, resent = 0;
    bool unsent = false;
    for (const struct buf *b = pcb->act->snd_first; b; b = b->link) {
        unsent = unsent || b == pcb->act->snd_unsent;
        const char *wrong = check_segment(pcb, b, unsent);
        if (wrong)
            return wrong;
        REQUIRE(b->seq == seq, "send: gap");
        REQUIRE(b != pcb->act->snd_unsent || b->seq == pcb->snd_nxt,
                "send: snd_nxt and snd_unsent");
        seq = b->seq_end;
        sacked_count += (b->flags & BUF_TX_SACKED) != 0;
        listed += segment_in_flight(b);
        resent += segment_in_flight(b) && b->flags & BUF_TX_RETRANSMITTED;
        if (b->flags & BUF_TX_SACKED)
            sacked += segment_len(b);
        else if (!unsent && !(b->flags & BUF_TX_LOST))
            pipe += segment_len(b);
        count++;
        REQUIRE(b->link || b == pcb->act->snd_last, "send: last pointer");
    }
    REQUIRE(seq == pcb->snd_end, "send: end");
    REQUIRE(sacked_count == pcb->act->rack.sacked_count, "send: sacked segments");
    REQUIRE(resent == pcb->act->rack.resent_count, "send: segments sent again");
    for (const struct buf *b = pcb->act->rack.oldest, *older = NULL; b;
         older = b, b = b->sent.newer, listed--) {
        REQUIRE(listed > 0, "in flight: too many in the list");
        REQUIRE(b->sent.older == older && segment_in_flight(b), "in flight: list");
        REQUIRE(b->sent.newer || b == pcb->act->rack.newest, "in flight: newest");
    }
    REQUIRE(listed == 0, "in flight: not in the list");
    REQUIRE(!pcb->act->snd_unsent || unsent, "send: snd_unsent not in queue");
    REQUIRE(pcb->act->snd_unsent || pcb->snd_nxt == pcb->snd_end, "send: snd_nxt");
    REQUIRE(pipe == pcb->act->pipe, "send: pipe");
    REQUIRE(sacked == pcb->act->sacked, "send: sacked bytes");
    REQUIRE(count == pcb->act->snd_segments, "send: segment count");
    REQUIRE(pcb->act->snd_first || !pcb->act->snd_last, "send: last without first");
    REQUIRE(seq_le(pcb->snd_una, pcb->snd_nxt) && seq_le(pcb->snd_nxt, pcb->snd_end),
            "send: una <= nxt <= end");
    return NULL;
}

static const char *check_receive_queue(const struct tcp_pcb *pcb)
{
    uint32_t bytes = 0, frames = 0;
    for (const struct buf *b = pcb->act->rcv_first; b; b = b->link) {
        REQUIRE(b->len > 0 && !b->next, "receive: empty or chained frame");
        REQUIRE(b->link || b == pcb->act->rcv_last, "receive: last pointer");
        bytes += b->len;
        frames++;
    }
    uint32_t fin = tcp_has(pcb, TCP_F_FIN_TAKEN) && !tcp_has(pcb, TCP_F_ORPHAN) ? 1 : 0;
    if (!tcp_has(pcb, TCP_F_ORPHAN))
        REQUIRE(bytes + fin == pcb->rcv_nxt - pcb->rcv_read, "receive: bytes");
    REQUIRE(frames == pcb->act->rcv_frames, "receive: frame count");
    REQUIRE(seq_le(pcb->rcv_nxt, pcb->rcv_adv), "receive: rcv_nxt beyond the window");
    REQUIRE(seq_le(pcb->rcv_acked, pcb->rcv_nxt), "receive: rcv_acked");
    return NULL;
}

static const char *check_early_pieces(const struct tcp *tcp, const struct tcp_pcb *pcb)
{
    uint32_t seq = pcb->rcv_nxt + 1, count = 0; /* a piece at rcv_nxt would be in order */
    for (const struct buf *b = pcb->act->ooo_first; b; b = b->link) {
        REQUIRE(seq_le(seq, b->seq), "early: order");
        REQUIRE(b->len > 0 && b->len == b->seq_end - b->seq, "early: length");
        seq = b->seq_end;
        count++;
    }
    REQUIRE(count == pcb->act->ooo_count && count <= tcp->config.ooo_segments_max, "early: count");
    REQUIRE(count == 0 || seq_le(seq, pcb->rcv_adv), "early: beyond the window");
    return NULL;
}

static const char *check_deadlines(const struct tcp_pcb *pcb)
{
    for (unsigned kind = 0; kind < TCP_D_KINDS; kind++)
        if (pcb->act->deadline[kind])
            REQUIRE(timer_armed(&pcb->act->timer) &&
                        pcb->act->timer.deadline <= pcb->act->deadline[kind],
                    "timer: not armed for a deadline");
    return NULL;
}

/* Whatever is unfinished has somebody who will come back to it. */
static const char *check_liveness(const struct tcp_pcb *pcb)
{
    bool soon = tcp_listed(pcb, TCP_L_DIRTY) || pcb->act->deadline[TCP_D_REPAIR];
    bool flying = pcb->snd_una != pcb->snd_nxt;
    REQUIRE(!(flying || opening(pcb)) || pcb->act->deadline[TCP_D_RETRANSMIT] || soon,
            "liveness: in flight without a timeout");
    REQUIRE(flying || !pcb->act->snd_unsent || pcb->act->deadline[TCP_D_PERSIST] || soon ||
                tcp_has(pcb, TCP_F_CORK),
            "liveness: unsent without a probe");
    REQUIRE(!tcp_has(pcb, TCP_F_ACK_NOW | TCP_F_FIN_WISH | TCP_F_SYN_WISH) || soon,
            "liveness: a wish without output");
    REQUIRE(!tcp_has(pcb, TCP_F_ACK_DELAYED) || pcb->act->deadline[TCP_D_DELACK] || soon,
            "liveness: delayed ACK without a deadline");
    REQUIRE(!(tcp_has(pcb, TCP_F_ORPHAN) && pcb->state == TCP_S_FIN_WAIT_2) ||
                pcb->act->deadline[TCP_D_LIFE],
            "liveness: FIN-WAIT-2 for ever");
    return NULL;
}

static const char *check_detached(const struct tcp *tcp, const struct tcp_pcb *pcb)
{
    REQUIRE(!tcp_has(pcb, TCP_F_ORPHAN), "detached: orphan kept");
    REQUIRE(!tcp_listed(pcb, TCP_L_DIRTY) && !timer_armed(&pcb->act->timer),
            "detached: still busy");
    REQUIRE(!pcb->act->snd_first && !pcb->act->ooo_first && !pcb->act->reserved,
            "detached: holds frames");
    REQUIRE(pcb->act->rcv_first || pcb->act->events & TCP_EV_CLOSED,
            "detached: user will never know");
    REQUIRE(!flow_names(tcp, pcb), "detached: still in the flow table");
    return NULL;
}

static const char *check_pcb(const struct tcp *tcp, const struct tcp_pcb *pcb)
{
    const char *wrong = NULL;
    if (!pcb->act) {
        REQUIRE(flow_names(tcp, pcb), "flow table: sleeping connection not found");
        return tcp_asleep_check(tcp, pcb);
    }
    REQUIRE(pcb->act->pcb == pcb, "active part of another connection");
    REQUIRE(tcp_listed(pcb, TCP_L_READY) == (pcb->act->events != 0), "events: list");
    if (tcp_has(pcb, TCP_F_DETACHED))
        return check_detached(tcp, pcb);
    REQUIRE(pcb->state != TCP_S_CLOSED && pcb->state != TCP_S_LISTEN &&
                pcb->state < TCP_S_TIME_WAIT,
            "state: attached");
    REQUIRE(flow_names(tcp, pcb), "flow table: connection not found");
    REQUIRE(!tcp_has(pcb, TCP_F_ORPHAN) || (!pcb->act->events && !pcb->act->rcv_first),
            "orphan: has events");
    REQUIRE(opening(pcb) || (pcb->act->cwnd >= pcb->mss && pcb->mss > 0), "cwnd below one segment");
    wrong = check_send_queue(pcb);
    if (!wrong && pcb->state != TCP_S_SYN_SENT)
        wrong = check_receive_queue(pcb);
    if (!wrong && pcb->state != TCP_S_SYN_SENT)
        wrong = check_early_pieces(tcp, pcb);
    if (!wrong)
        wrong = check_deadlines(pcb);
    if (!wrong)
        wrong = check_liveness(pcb);
    return wrong;
}

static const char *check_list(const struct tcp *tcp, enum tcp_list_kind kind)
{
    uint32_t prev = TCP_INDEX_NONE, steps = 0;
    for (uint32_t i = tcp->lists[kind].first; i != TCP_INDEX_NONE;
         prev = i, i = tcp_pcb_at(tcp, i)->act->links[kind].next) {
        REQUIRE(pool_is_taken(&tcp->pcbs, i), "list: free connection");
        REQUIRE(tcp_pcb_at(tcp, i)->act->links[kind].prev == prev, "list: broken link");
        REQUIRE(++steps <= tcp->pcbs.in_use, "list: cycle");
    }
    REQUIRE(tcp->lists[kind].last == prev, "list: last");
    return NULL;
}

const char *tcp_check(const struct tcp *tcp)
{
    uint32_t attached = 0, awake = 0;
    for (uint32_t i = 0; i < tcp->pcbs.count; i++) {
        if (!pool_is_taken(&tcp->pcbs, i))
            continue;
        const struct tcp_pcb *pcb = tcp_pcb_at(tcp, i);
        const char *wrong = check_pcb(tcp, pcb);
        if (wrong)
            return wrong;
        attached += !tcp_has(pcb, TCP_F_DETACHED);
        awake += pcb->act != NULL;
    }
    REQUIRE(!tcp->row.first, "a row of segments is open");
    REQUIRE(awake == tcp->actives.in_use, "active parts: count");
    REQUIRE(attached + tcp->tw.live == tcp->flows.count, "flow table: count");
    for (unsigned kind = 0; kind < TCP_L_KINDS; kind++) {
        const char *wrong = check_list(tcp, (enum tcp_list_kind)kind);
        if (wrong)
            return wrong;
    }
    const char *wrong = tcp_waiting_check(tcp);
    if (!wrong)
        wrong = tcp_settings_check(tcp);
    if (!wrong)
        wrong = tcp_half_open_check(tcp);
    return wrong ? wrong : tcp_timewait_check(tcp);
}
