/* SPDX-License-Identifier: BSD-3-Clause
 * Segments of one burst that continue each other: a run of them is taken as if it were one large segment, by one pass
 * of RFC 9293 s3.10.7.4. Only what every step of that pass would let through unchanged may join: in order, inside
 * the window, no flag but ACK and PSH, no option but timestamps, an ACK that says nothing new, the same window, no
 * congestion mark. Whatever else comes goes the long way, and so does a lone segment. Called by tcp_in.
 */
#include "tcp/tcp_governor.h"

/* A run so far. */
struct run {
    const struct tcp_pcb *pcb;
    uint32_t seq;   /* of the next segment */
    uint32_t ts;    /* TSval must not be older */
    uint32_t first; /* TSval of the first segment */
    uint32_t last;  /* seq of the last segment */
    uint32_t most;  /* bytes of the largest */
};

/* Nothing is missing, nobody has closed, and nothing of ours is in flight or waits to be, so that the ACK and the
 * window have nothing to change. */
static bool connection_fits(const struct tcp_pcb *pcb)
{
    const uint32_t special = TCP_F_DETACHED | TCP_F_ORPHAN | TCP_F_FIN_SEEN | TCP_F_FIN_TAKEN;
    return pcb->act && pcb->state == TCP_S_ESTABLISHED && !tcp_has(pcb, special) &&
           !pcb->act->ooo_first && pcb->snd_una == pcb->snd_end;
}

/* RFC 3168 s5: both bits of the field, in either family. */
static bool congestion_marked(const struct buf *b)
{
    const uint8_t *ip = wire_ip(b);
    unsigned ecn = b->ip_version == 4 ? ip[1] & 3u : (unsigned)(ip[1] >> 4) & 3u;
    return ecn == 3;
}

/* Timestamps as negotiated and nothing else, not older than the segment's before it (RFC 7323 s5.3 R1). */
static bool options_fit(struct run *run, struct span bytes)
{
    static const uint8_t head[4] = {TCP_OPTION_NOP, TCP_OPTION_NOP, TCP_OPTION_TIMESTAMPS, 10};
    enum { TIMESTAMPS_ALONE = 12 };
    if (!tcp_has(run->pcb, TCP_F_TIMESTAMPS))
        return bytes.len == 0;
    if (bytes.len != TIMESTAMPS_ALONE || memcmp(bytes.data, head, sizeof head) != 0)
        return false;
    uint32_t ts = wire_get32(bytes.data + sizeof head);
    if (seq_lt(ts, run->ts))
        return false;
    run->ts = ts;
    return true;
}

static bool segment_joins(struct run *run, const struct buf *b)
{
    const struct tcp_pcb *pcb = run->pcb;
    if (b->next || b->external || b->refs != 1 || b->verdict == BUF_RST || congestion_marked(b))
        return false;
    struct tcp_segment seg = wire_tcp(b);
    if ((seg.flags & ~TCP_PSH) != TCP_ACK || seg.payload_bytes == 0 || seg.seq != run->seq)
        return false;
    if (seg.ack != pcb->snd_una || (uint32_t)seg.window << pcb->snd_scale != pcb->snd_wnd)
        return false;
    if (seq_lt(pcb->rcv_adv, seg.seq + seg.payload_bytes) || !options_fit(run, seg.options))
        return false;
    run->last = seg.seq;
    run->seq += seg.payload_bytes;
    run->most = u32_max(run->most, seg.payload_bytes);
    return true;
}

/* The frame, trimmed to its payload, to the reader. */
static void segment_append(struct tcp *tcp, struct tcp_pcb *pcb, struct buf *b)
{
    uint16_t bytes = (uint16_t)(b->l4_len - (b->payload - b->l4));
    buf_pull(b, b->payload);
    buf_trim(b, bytes);
    b->seq = pcb->rcv_nxt;
    b->seq_end = b->seq + bytes;
    tcp_receive_append(tcp, pcb, b);
}

unsigned tcp_gro_take(struct tcp *tcp, struct buf *burst[], unsigned n, tg_ns now)
{
    uint32_t flow = burst[0]->flow;
    if (n < 2 || flow & TCP_FLOW_TW || burst[1]->flow != flow)
        return 0;
    if (!tcp_governor_spares(tcp))
        return 0; /* one by one, and not all may stay */
    struct tcp_pcb *pcb = tcp_pcb_at(tcp, flow);
    struct ip_tuple tuple = wire_tuple(burst[0]);
    if (!connection_fits(pcb) || !tcp_flow_matches(tcp, flow, &tuple))
        return 0; /* it may have ended earlier in this burst */
    struct run run = {.pcb = pcb, .seq = pcb->rcv_nxt, .ts = pcb->ts_recent};
    unsigned count = 0;
    for (; count < n && burst[count]->flow == flow && segment_joins(&run, burst[count]); count++)
        if (count == 0)
            run.first = run.ts;
    if (count < 2)
        return 0;
    stats_add(tcp->stats, TG_C_tcp_in_segments, count);
    stats_add(tcp->stats, TG_C_tcp_gro_joined, count - 1);
    pcb->flags |= TCP_F_RECENT;
    if (tcp_has(pcb, TCP_F_TIMESTAMPS) && seq_le(pcb->rcv_nxt, pcb->rcv_acked)) {
        pcb->ts_recent = run.first; /* RFC 7323 s4.3: of the one that holds Last.ACK.sent */
        pcb->ts_recent_ns = now;
    }
    pcb->snd_wl1 = run.last;
    pcb->snd_wl2 = pcb->snd_una;
    pcb->act->retries = 0;
    tcp_heard(tcp, pcb, pcb->snd_una, now);
    for (unsigned i = 0; i < count; i++)
        segment_append(tcp, pcb, burst[i]);
    tcp_text_arrived(tcp, pcb, run.most, false, now);
    tcp_mark_dirty(tcp, pcb);
    return count;
}
