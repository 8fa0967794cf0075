/* SPDX-License-Identifier: BSD-3-Clause
 * Segments in: RFC 9293 s3.10.7 in its own order and with its numbers. Called by the worker with a
 * burst; records events and marks connections dirty; sends only what belongs to no connection.
 */
#include "tcp/tcp_cookie.h"
#include "tcp/tcp_ecn.h"
#include "tcp/tcp_governor.h"
#include "tcp/tcp_half_open.h"

/* --- answers --------------------------------------------------------------------------------------- */

/* A fresh budget each second, with jitter, so that a blind attacker cannot count it (CVE-2016-5696). */
bool tcp_challenge_allowed(struct tcp *tcp, tg_ns now)
{
    if (tcp->challenge_ns == 0 || now - tcp->challenge_ns >= TG_S) {
        tcp->challenge_ns = now;
        tcp->challenges_left = TCP_CHALLENGES + (unsigned)prng_below(&tcp->prng, TCP_CHALLENGES);
    }
    if (tcp->challenges_left == 0)
        return false;
    tcp->challenges_left--;
    return true;
}

static bool answer_allowed(const struct tcp_pcb *pcb, tg_ns now)
{
    return pcb->act->answer_ns == 0 || now - pcb->act->answer_ns >= TCP_ACK_INTERVAL;
}

static void answer(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    pcb->act->answer_ns = now;
    pcb->flags |= TCP_F_ACK_NOW;
    tcp_mark_dirty(tcp, pcb);
}

/* For segments outside the window: keep-alives and probes come this way, so that there is no budget
 * that others could use up; two stacks that disagree still exchange two ACKs a second only. */
static void outside_answer(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    if (answer_allowed(pcb, now))
        answer(tcp, pcb, now);
}

void tcp_challenge(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    if (!answer_allowed(pcb, now) || !tcp_challenge_allowed(tcp, now))
        return;
    stats_count(tcp->stats, TG_C_tcp_challenge_ack);
    answer(tcp, pcb, now);
}

void tcp_refuse(struct tcp *tcp, const struct tcp_rx *rx)
{
    if (rx->flags & TCP_RST)
        return;
    struct tcp_stateless rst = {.tuple = &rx->tuple};
    if (rx->flags & TCP_ACK) {
        rst.seq = rx->seg.ack;
        rst.flags = TCP_RST;
    } else {
        rst.ack = rx->seg.seq + rx->seg.payload_bytes + (rx->flags & TCP_SYN ? 1 : 0) +
                  (rx->flags & TCP_FIN ? 1 : 0);
        rst.flags = TCP_RST | TCP_ACK;
    }
    stats_count(tcp->stats, TG_C_tcp_out_rst);
    (void)tcp_emit_stateless(tcp, &rst, rx->now);
}

static void synchronised_arrives(struct tcp *tcp, struct tcp_pcb *pcb, struct tcp_rx *rx);

/* --- CLOSED and LISTEN (s3.10.7.1, s3.10.7.2) -------------------------------------------------------- */

static bool tuple_is_land(const struct ip_tuple *t)
{
    return t->local_port == t->remote_port && ip_addr_equal(&t->local, &t->remote);
}

/* An ACK for no connection may be the answer to a SYN cookie. */
static bool cookie_arrives(struct tcp *tcp, struct tcp_rx *rx)
{
    struct tcp_pcb *pcb;
    if (!tcp_cookie_take(tcp, rx, &pcb))
        return false;
    if (pcb)
        synchronised_arrives(tcp, pcb, rx);
    return true;
}

static void nobody_arrives(struct tcp *tcp, struct tcp_rx *rx)
{
    bool rst_verdict = rx->b->verdict == BUF_RST;
    if (!rst_verdict && !net_is_local(tcp->net, &rx->tuple.local)) {
        stats_count(tcp->stats, TG_C_net_not_for_us);
        return;
    }
    if (tuple_is_land(&rx->tuple)) {
        stats_count(tcp->stats, TG_C_tcp_bad_segment);
        return;
    }
    /* First, check for a RST: ignored. */
    if (rx->flags & TCP_RST) {
        stats_count(tcp->stats, TG_C_tcp_no_connection);
        return;
    }
    /* Second, check for an ACK: there is no connection that it could belong to. Third, check for a SYN. */
    bool syn = (rx->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
    const struct tcp_listener *listener = NULL;
    if (!rst_verdict)
        listener = tcp_listener_find(tcp, rx->tuple.local_port);
    if (syn && listener) {
        tcp_open_passive(tcp, rx, NULL);
        return;
    }
    /* Fourth, other data or control for a listener: dropped, no answer. */
    if (listener && !(rx->flags & TCP_ACK)) {
        stats_count(tcp->stats, TG_C_tcp_bad_segment);
        return;
    }
    if (cookie_arrives(tcp, rx))
        return;
    stats_count(tcp->stats, syn ? TG_C_tcp_no_listener : TG_C_tcp_no_connection);
    tcp_refuse(tcp, rx);
}

/* --- synchronised states (s3.10.7.4) ------------------------------------------------------------------- */

/* RFC 7323 s5.3 R1: a timestamp older than what we have seen. Recent must not be older than 24 days. */
static bool paws_rejects(const struct tcp_pcb *pcb, const struct tcp_rx *rx)
{
    return seq_lt(rx->options.ts_value, pcb->ts_recent) &&
           rx->now - pcb->ts_recent_ns < TCP_PAWS_IDLE;
}

/* RFC 7323 s4.3, s5.3 R3: remember the timestamp of the segment that holds Last.ACK.sent's edge. */
static void timestamp_take(struct tcp_pcb *pcb, const struct tcp_rx *rx)
{
    if (!tcp_has(pcb, TCP_F_TIMESTAMPS) || !rx->options.has_timestamps)
        return;
    bool newer = seq_le(pcb->ts_recent, rx->options.ts_value) ||
                 rx->now - pcb->ts_recent_ns >= TCP_PAWS_IDLE;
    if (newer && seq_le(rx->seg.seq, pcb->rcv_acked)) {
        pcb->ts_recent = rx->options.ts_value;
        pcb->ts_recent_ns = rx->now;
    }
}

/* Timestamps before anything else. True: go on. */
static bool timestamps_check(struct tcp *tcp, struct tcp_pcb *pcb, struct tcp_rx *rx)
{
    if (!tcp_has(pcb, TCP_F_TIMESTAMPS) || rx->flags & TCP_RST)
        return true; /* RFC 7323 s5.2: a RST is judged without */
    if (!rx->options.has_timestamps) {
        stats_count(tcp->stats, TG_C_tcp_paws); /* s3.2: SHOULD silently drop */
        return false;
    }
    if (!paws_rejects(pcb, rx))
        return true;
    stats_count(tcp->stats, TG_C_tcp_paws);
    outside_answer(tcp, pcb, rx->now);
    return false;
}

/* First: check the sequence number. True: acceptable (table of s3.10.7.4). */
static bool sequence_acceptable(const struct tcp_pcb *pcb, const struct tcp_rx *rx)
{
    uint32_t len = rx->bytes + (rx->flags & TCP_SYN ? 1 : 0) + (rx->flags & TCP_FIN ? 1 : 0);
    uint32_t window = pcb->rcv_adv - pcb->rcv_nxt;
    uint32_t first = rx->seq - pcb->rcv_nxt, last = rx->seq + len - 1 - pcb->rcv_nxt;
    if (len == 0)
        return window == 0 ? first == 0 : first < window;
    return window != 0 && (first < window || last < window);
}

static bool sequence_check(struct tcp *tcp, struct tcp_pcb *pcb, struct tcp_rx *rx)
{
    if (sequence_acceptable(pcb, rx))
        return true;
    uint32_t window = pcb->rcv_adv - pcb->rcv_nxt;
    if (window == 0 && rx->seq == pcb->rcv_nxt && !(rx->flags & TCP_SYN)) {
        /* "special allowance": with the window shut, a valid ACK still counts; the text does not. */
        rx->bytes = 0;
        rx->flags &= (uint8_t)~TCP_FIN;
        pcb->flags |= TCP_F_ACK_NOW;
        tcp_mark_dirty(tcp, pcb);
        return true;
    }
    bool again = seq_lt(rx->seq, pcb->rcv_nxt) && (rx->bytes || rx->flags & TCP_FIN);
    stats_count(tcp->stats, again ? TG_C_tcp_duplicate : TG_C_tcp_out_of_window);
    if (rx->flags & TCP_RST)
        return false;
    /* Bytes cannot be one half of two stacks' endless exchange of ACKs: they are always answered, once a burst
     * at most. Our ACK was lost, or the peer probes. */
    if (again && pcb->state != TCP_S_SYN_RECEIVED) { /* then there were no bytes yet */
        uint32_t end = rx->seq + rx->bytes + (rx->flags & TCP_FIN ? 1 : 0);
        tcp_ooo_duplicate(pcb, rx->seq, seq_min(end, pcb->rcv_nxt));
    }
    if (again || rx->bytes) {
        pcb->flags |= TCP_F_ACK_NOW;
        tcp_mark_dirty(tcp, pcb);
    } else {
        outside_answer(tcp, pcb, rx->now);
    }
    return false;
}

/* Second: check the RST bit (RFC 5961 s3.2). Always the end of the segment. */
static void reset_take(struct tcp *tcp, struct tcp_pcb *pcb, struct tcp_rx *rx)
{
    if (rx->seq != pcb->rcv_nxt) {
        tcp_challenge(tcp, pcb, rx->now);
        return;
    }
    stats_count(tcp->stats, TG_C_tcp_reset_in);
    tcp_pcb_finish(tcp, pcb, TG_RESET);
}

/* Fourth: check the SYN bit. A SYN in a synchronised state is answered with a challenge ACK whatever its
 * sequence number (RFC 5961 s4.2); the exception is the SYN of this very handshake again. */
static bool syn_check(struct tcp *tcp, struct tcp_pcb *pcb, struct tcp_rx *rx)
{
    if (!(rx->flags & TCP_SYN))
        return true;
    if (pcb->state == TCP_S_SYN_RECEIVED && rx->seg.seq == pcb->act->irs) {
        if (!(rx->flags & TCP_ACK)) { /* our SYN-ACK was lost */
            pcb->flags |= TCP_F_SYN_WISH | TCP_F_SYN_LOST;
            tcp_mark_dirty(tcp, pcb);
            return false;
        }
        /* Simultaneous open: the other's SYN-ACK repeats its SYN; its ACK counts. */
        rx->flags &= (uint8_t)~TCP_SYN;
        rx->seq++;
        rx->bytes = 0;
        pcb->flags |= TCP_F_ACK_NOW;
        tcp_mark_dirty(tcp, pcb);
        return true;
    }
    tcp_challenge(tcp, pcb, rx->now);
    return false;
}

/* Fifth: check the ACK field. True: go on with the segment; pcb may be gone on false. */
static bool ack_check(struct tcp *tcp, struct tcp_pcb *pcb, struct tcp_rx *rx)
{
    if (!(rx->flags & TCP_ACK)) {
        stats_count(tcp->stats, TG_C_tcp_bad_segment);
        return false;
    }
    if (pcb->state == TCP_S_SYN_RECEIVED) {
        if (rx->seg.ack != pcb->act->iss + 1) {
            stats_count(tcp->stats, TG_C_tcp_bad_ack);
            pcb->flags &= ~(uint32_t)TCP_F_ACK_NOW; /* the RST is the answer */
            tcp_refuse(tcp, rx);
            return false;
        }
        pcb->snd_una = rx->seg.ack;
        tcp_establish(tcp, pcb, rx->now);
        pcb->snd_wnd = (uint32_t)rx->seg.window << pcb->snd_scale;
        pcb->snd_wnd_max = u32_max(pcb->snd_wnd_max, pcb->snd_wnd);
        pcb->snd_wl1 = rx->seg.seq;
        pcb->snd_wl2 = rx->seg.ack;
        return true;
    }
    /* RFC 5961 s5.2: acceptable from SND.UNA - MAX.SND.WND to SND.NXT. */
    if (seq_lt(pcb->snd_nxt, rx->seg.ack) || seq_lt(rx->seg.ack, pcb->snd_una - pcb->snd_wnd_max)) {
        stats_count(tcp->stats, TG_C_tcp_bad_ack);
        tcp_challenge(tcp, pcb, rx->now);
        return false;
    }
    uint32_t una = pcb->snd_una;
    tcp_ack_take(tcp, pcb, rx);
    tcp_ecn_echoed(tcp, pcb, rx);
    tcp_heard(tcp, pcb, una, rx->now);
    return true;
}

/* Fifth, by state: what the acknowledgement of our FIN does. True: the connection goes on. */
static bool fin_acked(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    if (!tcp_has(pcb, TCP_F_FIN_QUEUED) || pcb->snd_una != pcb->snd_end)
        return true;
    switch (pcb->state) {
    case TCP_S_FIN_WAIT_1:
        tcp_state_set(tcp, pcb, TCP_S_FIN_WAIT_2);
        if (tcp_has(pcb, TCP_F_ORPHAN))
            tcp_deadline_set(tcp, pcb, TCP_D_LIFE, now + TCP_ORPHAN_WAIT);
        return true;
    case TCP_S_CLOSING:
        tcp_timewait_add(tcp, pcb, now);
        return false;
    case TCP_S_LAST_ACK:
        stats_count(tcp->stats, TG_C_tcp_closed);
        tcp_pcb_finish(tcp, pcb, TG_END);
        return false;
    default:
        return true;
    }
}

/* s3.10.7.4, from the first step to the eighth. */
static void synchronised_arrives(struct tcp *tcp, struct tcp_pcb *pcb, struct tcp_rx *rx)
{
    bool handshake_again = pcb->state == TCP_S_SYN_RECEIVED && rx->flags & TCP_SYN &&
                           !(rx->flags & TCP_RST) && rx->seg.seq == pcb->act->irs;
    if (!handshake_again) {
        if (!timestamps_check(tcp, pcb, rx))
            return;
        if (rx->flags & TCP_SYN && !(rx->flags & TCP_RST)) {
            tcp_challenge(tcp, pcb,
                          rx->now); /* RFC 5961 s4.2: irrespective of the sequence number */
            return;
        }
        if (!sequence_check(tcp, pcb, rx)) /* First */
            return;
        timestamp_take(pcb, rx);
        tcp_ecn_arrives(tcp, pcb, rx);
    }
    if (rx->flags & TCP_RST) { /* Second */
        reset_take(tcp, pcb, rx);
        return;
    }
    /* Third, security and compartment: skipped, there are none (s3.10.7.4 allows it). */
    if (!syn_check(tcp, pcb, rx)) /* Fourth */
        return;
    if (!ack_check(tcp, pcb, rx)) /* Fifth */
        return;
    if (!fin_acked(tcp, pcb, rx->now))
        return;
    /* Sixth, the URG bit: ignored. RFC 6093 s6 tells users not to use it; the pointer never enters
     * arithmetic, urgent bytes stay in line. */
    if (rx->bytes || rx->flags & TCP_FIN) /* Seventh and eighth */
        tcp_text_take(tcp, pcb, rx);
}

/* --- demultiplexing --------------------------------------------------------------------------------------- */

/* Flags that no TCP sends together. SYN with FIN would open and close at once (RFC 9293 would queue the
 * FIN; only scanners send it). SYN with RST is judged as a RST. */
static bool flags_legal(uint8_t flags)
{
    return !((flags & (TCP_SYN | TCP_FIN)) == (TCP_SYN | TCP_FIN) && !(flags & TCP_RST));
}

/* A chain (jumbo, or a port that splits headers) is put into one frame, so that queues hold plain
 * frames. False: dropped. */
static bool frame_linear(struct tcp *tcp, struct tcp_rx *rx)
{
    if (!rx->b->next && !rx->b->external && rx->b->refs == 1)
        return true;
    struct buf *copy = buf_linearise(tcp->pool, rx->b);
    buf_unref(tcp->pool, rx->b);
    rx->b = copy;
    if (!copy)
        stats_count(tcp->stats, TG_C_tcp_rcv_full);
    return copy != NULL;
}

static void segment_arrives(struct tcp *tcp, struct tcp_rx *rx)
{
    uint32_t flow = rx->b->flow;
    if (flow == BUF_FLOW_NONE || !tcp_flow_matches(tcp, flow, &rx->tuple))
        flow = tcp_lookup(tcp, &rx->tuple, rx->hash); /* made or gone earlier in this burst */
    if (flow == FLOW_TABLE_NONE) {
        nobody_arrives(tcp, rx);
        return;
    }
    if (flow & TCP_FLOW_TW) {
        tcp_timewait_arrives(tcp, flow & ~TCP_FLOW_TW, rx);
        return;
    }
    struct tcp_pcb *pcb;
    if (flow & TCP_FLOW_SYN) {
        pcb = tcp_half_open_arrives(tcp, flow & ~TCP_FLOW_SYN, rx);
        if (pcb)
            synchronised_arrives(tcp, pcb, rx);
        return;
    }
    pcb = tcp_pcb_at(tcp, flow);
    if (!tcp_wake(tcp, pcb)) /* the peer will send it again */
        return;
    if (pcb->state == TCP_S_SYN_SENT)
        tcp_syn_sent_arrives(tcp, pcb, rx);
    else
        synchronised_arrives(tcp, pcb, rx);
}

static void buffer_arrives(struct tcp *tcp, struct buf *b, tg_ns now)
{
    struct tcp_rx
        rx; /* every field is set below: to clear it first would cost more than to fill it */
    rx.b = b;
    rx.now = now;
    stats_count(tcp->stats, TG_C_tcp_in_segments);
    if (!frame_linear(tcp, &rx))
        return;
    rx.seg = wire_tcp(rx.b);
    rx.tuple = wire_tuple(rx.b);
    rx.hash = rx.b->rx_hash;
    rx.seq = rx.seg.seq;
    rx.bytes = rx.seg.payload_bytes;
    rx.flags = rx.seg.flags;
    rx.marked = tcp_ecn_marked(rx.b);
    if (!tcp_options_parse(rx.seg.options, &rx.options))
        stats_count(tcp->stats, TG_C_tcp_bad_options);
    else if (!flags_legal(rx.flags))
        stats_count(tcp->stats, TG_C_tcp_bad_segment);
    else
        segment_arrives(tcp, &rx);
    buf_unref(tcp->pool, rx.b);
}

static void slice_input(struct tcp *tcp, struct buf *burst[], unsigned n, tg_ns now)
{
    struct ip_tuple tuples[TG_BURST];
    uint32_t hashes[TG_BURST], flows[TG_BURST];
    for (unsigned i = 0; i < n; i++) {
        tg_assert(burst[i]->flags & BUF_PARSED && burst[i]->ip_proto == IP_PROTO_TCP);
        tuples[i] = wire_tuple(burst[i]);
        hashes[i] = burst[i]->rx_hash;
    }
    tcp_lookup_burst(tcp, tuples, hashes, flows, n);
    tcp_prefetch_burst(tcp, hashes, flows, n);
    for (unsigned i = 0; i < n; i++)
        burst[i]->flow = flows[i];
    for (unsigned i = 0, run; i < n; i += run) {
        run = tcp_gro_take(tcp, burst + i, n - i, now);
        if (run)
            continue;
        buffer_arrives(tcp, burst[i], now);
        run = 1;
    }
    if (tcp->actives.count < tcp->pcbs.count)
        tcp_sleep_burst(tcp, flows, n);
}

void tcp_input(struct tcp *tcp, struct buf *burst[], unsigned n, tg_ns now)
{
    tcp->now = now;
    tcp_governor_look(tcp, n, now);
    for (unsigned at = 0; at < n; at += TG_BURST)
        slice_input(tcp, burst + at, n - at < TG_BURST ? n - at : TG_BURST, now);
}
