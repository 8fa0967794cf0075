/* SPDX-License-Identifier: BSD-3-Clause
 * The user reads: borrow, consume, take frames; and what it may ask about a connection. Called by the
 * user between tcp_input and tcp_output; changes the receive queue only.
 */
#include "tcp/tcp_internal.h"

void tcp_set_user(struct tcp *tcp, tcp_handle h, uint64_t user)
{
    struct tcp_pcb *pcb = tcp_pcb_find(tcp, h);
    if (pcb)
        pcb->user = user;
}

static enum tcp_ca_state ca_state_of(const struct tcp_pcb *pcb)
{
    if (tcp_has(pcb, TCP_F_TIMEOUT))
        return TCP_CA_LOSS;
    if (tcp_has(pcb, TCP_F_RECOVERY))
        return TCP_CA_RECOVERY;
    if (tcp_has(pcb, TCP_F_ECN) && seq_lt(pcb->snd_una, pcb->act->ecn_end))
        return TCP_CA_CWR;
    return pcb->act->sacked || pcb->act->dup_acks ? TCP_CA_DISORDER : TCP_CA_OPEN;
}

/* What only an awake connection has. */
static void info_fill(const struct tcp_pcb *pcb, struct tcp_info *info)
{
    const struct tcp_active *act = pcb->act;
    info->cwnd = act->cwnd;
    info->ca_state = (uint8_t)ca_state_of(pcb);
    info->retransmits = act->retransmits;
    info->min_rtt = act->min_rtt;
    info->delivered = act->delivered;
    info->delivered_segments = act->delivered_segments;
    info->reordering_seen = act->reordering_seen;
    for (const struct buf *b = act->snd_first; b && b != act->snd_unsent; b = b->link) {
        info->segments.unacked++;
        info->segments.sacked += (b->flags & BUF_TX_SACKED) != 0;
        info->segments.lost += (b->flags & BUF_TX_LOST) != 0;
        info->segments.retransmitted +=
            (b->flags & (BUF_TX_RETRANSMITTED | BUF_TX_SACKED | BUF_TX_LOST)) ==
            BUF_TX_RETRANSMITTED;
    }
}

enum tg_err tcp_get_info(const struct tcp *tcp, tcp_handle h, struct tcp_info *info)
{
    const struct tcp_pcb *pcb = tcp_pcb_find(tcp, h);
    if (!pcb)
        return TG_STALE;
    *info = (struct tcp_info){
        .tuple = pcb->tuple,
        .mss = pcb->mss,
        .unsent = pcb->snd_end - pcb->snd_nxt,
        .unacked = pcb->snd_nxt - pcb->snd_una,
        .unread = tcp_unread(tcp, h),
        .receive_space = tcp_receive_space(tcp, pcb),
        .cwnd = tcp_initial_window(pcb),
        .ssthresh = pcb->ssthresh,
        .srtt = pcb->srtt,
        .rto = pcb->rto,
        .state = pcb->state,
        .unreachable = pcb->act && pcb->act->unreachable,
    };
    if (pcb->act)
        info_fill(pcb, info);
    return TG_OK;
}

static uint32_t pcb_unread(const struct tcp_pcb *pcb)
{
    return pcb->rcv_nxt - pcb->rcv_read - (tcp_has(pcb, TCP_F_FIN_TAKEN) ? 1 : 0);
}

uint32_t tcp_unread(const struct tcp *tcp, tcp_handle h)
{
    const struct tcp_pcb *pcb = tcp_pcb_find(tcp, h);
    return pcb ? pcb_unread(pcb) : 0;
}

unsigned tcp_peek(struct tcp *tcp, tcp_handle h, struct span out[], unsigned n)
{
    const struct tcp_pcb *pcb = tcp_pcb_find(tcp, h);
    unsigned filled = 0;
    if (!pcb || !pcb->act)
        return 0;
    for (const struct buf *b = pcb->act->rcv_first; b && filled < n; b = b->link)
        out[filled++] = buf_span(b);
    return filled;
}

/* After the user took bytes: a wider window may be worth telling; a dead connection may be at its end. */
static void receive_advance(struct tcp *tcp, struct tcp_pcb *pcb, uint32_t n)
{
    pcb->rcv_read += n;
    if (!pcb->act->rcv_first)
        pcb->act->rcv_last = NULL;
    if (tcp_has(pcb, TCP_F_DETACHED)) {
        if (!pcb->act->rcv_first)
            tcp_event_post(tcp, pcb, TCP_EV_CLOSED);
        return;
    }
    tcp_autotune_consumed(tcp, pcb);
    if (tcp_state_receives(pcb->state) && tcp_window_update_due(tcp, pcb)) {
        pcb->flags |= TCP_F_ACK_NOW;
        tcp_mark_dirty(tcp, pcb);
    }
}

static struct buf *receive_pop(struct tcp_pcb *pcb)
{
    struct buf *b = pcb->act->rcv_first;
    pcb->act->rcv_first = b->link;
    b->link = NULL;
    pcb->act->rcv_frames--;
    return b;
}

void tcp_consume(struct tcp *tcp, tcp_handle h, uint32_t n)
{
    struct tcp_pcb *pcb = tcp_pcb_find(tcp, h);
    if (!pcb || n == 0)
        return;
    tg_assert(n <= pcb_unread(pcb));
    uint32_t left = n;
    while (left && left >= pcb->act->rcv_first->len) {
        left -= pcb->act->rcv_first->len;
        buf_unref(tcp->pool, receive_pop(pcb));
    }
    if (left)
        buf_pull(pcb->act->rcv_first, (uint16_t)left);
    receive_advance(tcp, pcb, n);
}

struct buf *tcp_take(struct tcp *tcp, tcp_handle h, uint32_t max)
{
    struct tcp_pcb *pcb = tcp_pcb_find(tcp, h);
    if (!pcb || !pcb->act || !pcb->act->rcv_first || max == 0)
        return NULL;
    struct buf *b = pcb->act->rcv_first;
    if (b->len <= max) {
        receive_pop(pcb);
    } else {
        struct buf *part = buf_alloc(tcp->pool);
        if (!part)
            return NULL;
        max = u32_min(max, buf_tailroom(part));
        memcpy(buf_put(part, (uint16_t)max), b->data, max);
        buf_pull(b, (uint16_t)max);
        b = part;
    }
    receive_advance(tcp, pcb, b->len);
    return b;
}

bool tcp_at_end(const struct tcp *tcp, tcp_handle h)
{
    const struct tcp_pcb *pcb = tcp_pcb_find(tcp, h);
    return pcb && tcp_has(pcb, TCP_F_FIN_TAKEN) && !pcb->act->rcv_first; /* awake: not idle */
}
