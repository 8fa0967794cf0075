/* SPDX-License-Identifier: BSD-3-Clause
 * Write TCP headers and hand segments to net. Decides nothing: tcp_out and the answers of tcp_in do.
 * Every segment with an ACK settles what was owed, so that ACKs merge with data.
 */
#include "tcp/tcp_ecn.h"
#include "tcp/tcp_owner.h"
#include "tcp/tcp_pmtu.h"
#include "tcp/tcp_tso.h"

#define CHECKSUM_OFFSET 16 /* in the TCP header */

void tcp_header_send(struct tcp *tcp, struct buf *b, const struct tcp_header *h, tg_ns now)
{
    unsigned bytes = TCP_BYTES + h->option_bytes;
    uint8_t *p = buf_push(b, (uint16_t)bytes);
    wire_put16(p, h->tuple->local_port);
    wire_put16(p + 2, h->tuple->remote_port);
    wire_put32(p + 4, h->seq);
    wire_put32(p + 8, h->ack);
    p[12] = (uint8_t)(bytes / 4 << 4);
    p[13] = h->flags;
    wire_put16(p + 14, h->window);
    wire_put32(p + 16, 0); /* checksum follows in net; urgent pointer 0 */
    memcpy(p + TCP_BYTES, h->options, h->option_bytes);
    const struct tcp_profile *profile = tcp->config.profile;
    struct ip_emit ip = {
        .source = h->tuple->local,
        .destination = h->tuple->remote,
        .proto = IP_PROTO_TCP,
        .hop_limit = profile->hop_limit,
        .traffic_class = h->traffic_class,
        .identification = profile->ip_id == TCP_IP_ID_RANDOM ? (uint16_t)prng_next(&tcp->prng) : 0,
    };
    stats_add(tcp->stats, TG_C_tcp_out_segments, u32_max(b->segments, 1));
    enum tg_err err = net_output(tcp->net, b, &ip, CHECKSUM_OFFSET, now);
    (void)err;
}

uint32_t tcp_timestamp(uint32_t ts_offset, tg_ns now)
{
    return ts_offset + (uint32_t)(now / TG_MS); /* RFC 7323 s5.4: 1 ms */
}

/* --- receive window --------------------------------------------------------------------------------- */

/* Largest window that the 16-bit field can tell this peer. */
static uint32_t window_max(const struct tcp *tcp, const struct tcp_pcb *pcb)
{
    return u32_min(tcp_receive_space(tcp, pcb), 65535u << pcb->rcv_scale);
}

/* Where the buffer ends; out-of-order bytes lie below it and are not charged twice. */
static uint32_t window_room(const struct tcp *tcp, const struct tcp_pcb *pcb)
{
    uint32_t unread = pcb->rcv_nxt - pcb->rcv_read, max = window_max(tcp, pcb);
    return max > unread ? max - unread : 0;
}

/* Silly-window rule of the receiver (RFC 9293 s3.8.6.2.2): the edge moves by a segment or half the buffer
 * at least, and never back. */
uint32_t tcp_window_edge(const struct tcp *tcp, const struct tcp_pcb *pcb)
{
    uint32_t edge = pcb->rcv_nxt + window_room(tcp, pcb);
    int32_t gain = (int32_t)(edge - pcb->rcv_adv);
    int32_t worth = (int32_t)u32_min(window_max(tcp, pcb) / 2, pcb->mss);
    return gain >= worth ? edge : pcb->rcv_adv;
}

bool tcp_window_update_due(const struct tcp *tcp, const struct tcp_pcb *pcb)
{
    uint32_t max = window_max(tcp, pcb);
    uint32_t edge = pcb->rcv_nxt + window_room(tcp, pcb);
    int32_t gain = (int32_t)(edge - pcb->rcv_adv);
    return gain >= (int32_t)u32_min(max / 2, 2u * pcb->mss) &&
           pcb->rcv_adv - pcb->rcv_nxt <= max / 2;
}

/* The field of a segment that leaves now; what it says is binding. Rounded up to the scale's unit, or
 * rounding down would take the edge back. */
static uint16_t window_advertise(const struct tcp *tcp, struct tcp_pcb *pcb)
{
    uint32_t window = tcp_window_edge(tcp, pcb) - pcb->rcv_nxt;
    uint32_t unit = 1u << pcb->rcv_scale;
    uint32_t field = u32_min((window + unit - 1) >> pcb->rcv_scale, 65535);
    uint32_t edge = pcb->rcv_nxt + (field << pcb->rcv_scale);
    tg_assert(seq_le(pcb->rcv_adv, edge));
    pcb->rcv_adv = edge;
    return (uint16_t)field;
}

/* --- segments of a connection ------------------------------------------------------------------------- */

/* Timestamps always, SACK blocks where the path's MTU and the peer's MSS, which counts options in (RFC 6691
 * s2), leave room behind the payload. */
static void header_options(const struct tcp *tcp, struct tcp_pcb *pcb, struct tcp_header *h,
                           uint32_t payload, tg_ns now)
{
    struct tcp_options o = {0};
    uint32_t ip = ip_addr_is4(&pcb->tuple.remote) ? IP4_BYTES : IP6_BYTES;
    uint32_t used = ip + TCP_BYTES + payload;
    uint32_t most = u32_min(pcb->mtu, ip + TCP_BYTES + pcb->peer_mss);
    uint32_t room = most > used ? (most - used) & ~3u : 0;
    if (tcp_has(pcb, TCP_F_TIMESTAMPS)) {
        o.has_timestamps = true;
        o.ts_value = tcp_pcb_timestamp(pcb, now);
        o.ts_echo = pcb->ts_recent;
        room = u32_max(room, TCP_TIMESTAMPS_BYTES);
    }
    if (tcp_has(pcb, TCP_F_SACK) && (pcb->act->ooo_first || tcp_has(pcb, TCP_F_DSACK))) {
        o.sack_count = (uint8_t)tcp_ooo_blocks(pcb, o.sack, TCP_SACK_BLOCKS_MAX);
        if (payload == 0)
            pcb->flags &= ~(uint32_t)TCP_F_DSACK; /* told; beside a payload it may not fit */
    }
    h->option_bytes = (uint8_t)tcp_options_emit_in(&tcp->config.profile->data, &o, h->options,
                                                   u32_min(room, TCP_OPTIONS_MAX));
}

static struct tcp_header header_make(struct tcp *tcp, struct tcp_pcb *pcb, uint32_t seq,
                                     uint8_t flags, uint32_t payload, tg_ns now)
{
    struct tcp_header h = {.tuple = &pcb->tuple,
                           .seq = seq,
                           .ack = pcb->rcv_nxt,
                           .flags = flags,
                           .traffic_class = (uint8_t)(tcp_settings_of(tcp, pcb)->dscp << 2),
                           .window = window_advertise(tcp, pcb)};
    header_options(tcp, pcb, &h, payload, now);
    if (payload && tcp_has(pcb, TCP_F_ACK_DELAYED))
        pcb->flags |= TCP_F_PINGPONG;
    pcb->rcv_acked = pcb->rcv_nxt;
    pcb->flags &= ~(uint32_t)(TCP_F_ACK_NOW | TCP_F_ACK_DELAYED);
    tcp_deadline_clear(pcb, TCP_D_DELACK);
    return h;
}

bool tcp_emit_ack(struct tcp *tcp, struct tcp_pcb *pcb, uint32_t seq, tg_ns now)
{
    struct buf *b = buf_alloc(tcp->pool);
    if (!b)
        return false;
    struct tcp_header h = header_make(tcp, pcb, seq, TCP_ACK, 0, now);
    h.flags |= tcp_ecn_flags(pcb, false);
    tcp_header_send(tcp, b, &h, now);
    return true;
}

static uint16_t mss_offered(const struct tcp *tcp, const struct tcp_pcb *pcb)
{
    uint16_t mss = tcp_mss_offer(tcp, &pcb->tuple.remote, pcb->mtu);
    uint16_t cap = tcp_settings_of(tcp, pcb)->mss_max;
    return cap && cap < mss ? cap : mss;
}

bool tcp_emit_syn(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    struct buf *b = buf_alloc(tcp->pool);
    if (!b)
        return false;
    bool answer = pcb->state == TCP_S_SYN_RECEIVED;
    struct tcp_options o = {
        .has_mss = true,
        .mss = mss_offered(tcp, pcb),
        .has_wscale = !answer || tcp_has(pcb, TCP_F_WSCALE),
        .wscale = tcp->rcv_scale,
        .has_timestamps = !answer || tcp_has(pcb, TCP_F_TIMESTAMPS),
        .ts_value = tcp_pcb_timestamp(pcb, now),
        .ts_echo = answer ? pcb->ts_recent : 0,
        .sack_permitted = !answer || tcp_has(pcb, TCP_F_SACK),
    };
    struct tcp_header h = {.tuple = &pcb->tuple,
                           .seq = pcb->act->iss,
                           .ack = answer ? pcb->rcv_nxt : 0,
                           .flags = answer ? TCP_SYN | TCP_ACK : TCP_SYN,
                           .traffic_class = (uint8_t)(tcp_settings_of(tcp, pcb)->dscp << 2),
                           .window = tcp_syn_window(tcp, pcb->settings)};
    h.flags |= tcp_ecn_syn_flags(tcp, pcb);
    h.option_bytes =
        (uint8_t)tcp_options_emit_in(&tcp->config.profile->syn, &o, h.options, TCP_OPTIONS_MAX);
    tcp_header_send(tcp, b, &h, now);
    return true;
}

/* RFC 9293 s3.10.5: <SEQ=SND.NXT><CTL=RST>, with an ACK because firewalls want one, and with timestamps (RFC 7323
 * s3.2: SHOULD). Best effort. */
void tcp_emit_rst(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    struct tcp_options options = {.has_timestamps = tcp_has(pcb, TCP_F_TIMESTAMPS),
                                  .ts_value = tcp_pcb_timestamp(pcb, now),
                                  .ts_echo = pcb->ts_recent};
    struct tcp_stateless rst = {.tuple = &pcb->tuple,
                                .seq = pcb->snd_nxt,
                                .ack = pcb->rcv_nxt,
                                .flags = TCP_RST | TCP_ACK,
                                .options = &options};
    stats_count(tcp->stats, TG_C_tcp_out_rst);
    (void)tcp_emit_stateless(tcp, &rst, now);
}

bool tcp_emit_stateless(struct tcp *tcp, const struct tcp_stateless *what, tg_ns now)
{
    struct buf *b = buf_alloc(tcp->pool);
    if (!b)
        return false;
    struct tcp_header h = {.tuple = what->tuple,
                           .seq = what->seq,
                           .ack = what->ack,
                           .flags = what->flags,
                           .window = what->window};
    if (what->options)
        h.option_bytes = (uint8_t)tcp_options_emit_in(
            what->flags & TCP_SYN ? &tcp->config.profile->syn : &tcp->config.profile->data,
            what->options, h.options, TCP_OPTIONS_MAX);
    tcp_header_send(tcp, b, &h, now);
    return true;
}

/* The delivery record of this transmission (RFC 8985 s5; rate samples). */
static void segment_record(struct tcp_pcb *pcb, struct buf *b, tg_ns now)
{
    uint16_t was = b->flags;
    if (segment_in_flight(b)) { /* a tail loss probe */
        tcp_sent_remove(pcb->act, b);
        pcb->act->rack.resent_count -= (was & BUF_TX_RETRANSMITTED) != 0;
    } else {
        pcb->act->pipe += segment_len(b);
    }
    if (was & BUF_TX_SENT) {
        b->flags |= BUF_TX_RETRANSMITTED;
        b->flags &= (uint16_t)~BUF_TX_LOST;
        pcb->act->retransmits++;
        pcb->act->rack.resent_count++;
        tcp_undo_resent(pcb, b, now);
    }
    b->flags |= BUF_TX_SENT;
    b->tx_ns = now;
    b->tx_delivered = pcb->act->delivered;
    tcp_sent_append(pcb->act, b);
    pcb->act->sent_ns = now;
    if (tcp_has(pcb, TCP_F_RECOVERY))
        pcb->act->prr.out += segment_len(b);
}

/* The frame that travels: b itself, or a copy while net or the port still holds it. NULL: pool empty. */
static struct buf *segment_frame(struct tcp *tcp, struct buf *b)
{
    uint32_t payload = segment_payload(b);
    if (segment_writable(tcp, b)) {
        buf_pull(b, (uint16_t)(b->len - payload)); /* headers of an earlier transmission */
        return buf_ref(b);
    }
    struct buf *frame = buf_alloc(tcp->pool);
    if (frame)
        memcpy(buf_put(frame, (uint16_t)payload), segment_bytes(b), payload);
    return frame;
}

static uint8_t segment_flags(const struct tcp_pcb *pcb, const struct buf *b)
{
    bool pushes = b == pcb->act->snd_last && segment_payload(b);
    return (uint8_t)(TCP_ACK | (b->flags & BUF_TX_FIN ? TCP_FIN : 0) | (pushes ? TCP_PSH : 0));
}

static void segment_account(struct tcp *tcp, struct tcp_pcb *pcb, struct buf *b, tg_ns now)
{
    if (b->flags & BUF_TX_SENT)
        stats_count(tcp->stats, TG_C_tcp_retransmits);
    tcp_pmtu_sends(tcp, pcb, b, now);
    segment_record(pcb, b, now);
    if (segment_payload(b) < pcb->mss)
        pcb->act->snd_small = seq_max(pcb->act->snd_small, b->seq_end);
}

bool tcp_emit_queued(struct tcp *tcp, struct tcp_pcb *pcb, struct buf *b, tg_ns now)
{
    uint32_t payload = segment_payload(b);
    tg_assert(!(b->flags & BUF_TX_SENT) || b->flags & BUF_TX_LOST || pcb->act->tlp.wish);
    uint8_t flags = segment_flags(pcb, b);
    if (tcp_tso_continues(tcp, b)) {
        buf_pull(b, (uint16_t)(b->len - payload));
        tcp_tso_add(tcp, buf_ref(b), flags);
        segment_account(tcp, pcb, b, now);
        return true;
    }
    tcp_tso_flush(tcp, now);
    bool begins = tcp_tso_begins(tcp, pcb, b);
    struct buf *frame = segment_frame(tcp, b);
    if (!frame)
        return false;
    bool new_text = payload && !(b->flags & BUF_TX_SENT);
    struct tcp_header h = header_make(tcp, pcb, b->seq, flags, payload, now);
    h.flags |= tcp_ecn_flags(pcb, new_text);
    h.traffic_class |= tcp_ecn_class(pcb, new_text);
    segment_account(tcp, pcb, b, now);
    if (begins)
        tcp_tso_open(tcp, frame, &h);
    else
        tcp_header_send(tcp, frame, &h, now);
    return true;
}
