/* SPDX-License-Identifier: BSD-3-Clause
 * Opening: listeners, active opens, SYN-SENT, and the step to ESTABLISHED. Called by the user
 * (tcp_listen, tcp_connect) and by tcp_in. Sends nothing itself: it marks SYNs as wished, tcp_out
 * sends them.
 */
#include "tcp/tcp_cookie.h"
#include "tcp/tcp_ecn.h"
#include "tcp/tcp_governor.h"
#include "tcp/tcp_half_open.h"
#include "tcp/tcp_owner.h"

#define PORT_FIRST     32768u /* ephemeral range without pick_port: Linux's */
#define PORT_COUNT     28232u
#define PORT_TRIES_MAX 4096u

/* --- segment size ------------------------------------------------------------------------------------ */

static uint32_t ip_bytes(const struct ip_addr *remote)
{
    return ip_addr_is4(remote) ? IP4_BYTES : IP6_BYTES;
}

uint16_t tcp_mss_offer(const struct tcp *tcp, const struct ip_addr *remote, uint16_t mtu)
{
    uint32_t mss = mtu - ip_bytes(remote) - TCP_BYTES - tcp_reserve_of(tcp, remote);
    if (tcp->config.mss_max)
        mss = u32_min(mss, tcp->config.mss_max);
    return (uint16_t)mss;
}

/* RFC 6691: the option does not count TCP options, so every segment gives up room for them. */
void tcp_mss_update(struct tcp_pcb *pcb)
{
    uint32_t mss = u32_min(pcb->peer_mss, pcb->mtu - ip_bytes(&pcb->tuple.remote) - TCP_BYTES);
    if (tcp_has(pcb, TCP_F_TIMESTAMPS))
        mss -= TCP_TIMESTAMPS_BYTES;
    pcb->mss = (uint16_t)mss;
}

/* A port's MTU is at least the floor; without a route there is none, and nothing will leave anyway. */
uint16_t tcp_path_mtu(const struct tcp *tcp, const struct ip_addr *remote)
{
    uint32_t floor = ip_addr_is4(remote) ? TCP_MTU_FLOOR4 : TCP_MTU_FLOOR6;
    return (uint16_t)u32_max(net_mtu(tcp->net, remote), floor);
}

/* --- what a SYN tells ---------------------------------------------------------------------------------- */

uint16_t tcp_syn_mss(const struct tcp_rx *rx)
{
    const struct tcp_options *o = &rx->options;
    bool is4 = ip_addr_is4(&rx->tuple.remote);
    uint16_t mss = o->has_mss ? o->mss : is4 ? TCP_MSS_DEFAULT4 : TCP_MSS_DEFAULT6;
    return mss < TCP_MSS_FLOOR ? TCP_MSS_FLOOR : mss;
}

/* Options count only in a SYN (RFC 7323 s2.2, s3.2; RFC 2018 s2). In answer to ours, or to be answered
 * in kind: both sides have what both have offered. */
static void syn_options_take(struct tcp *tcp, struct tcp_pcb *pcb, const struct tcp_rx *rx)
{
    const struct tcp_options *o = &rx->options;
    uint16_t cap = tcp_settings_of(tcp, pcb)->mss_max, mss = tcp_syn_mss(rx);
    pcb->peer_mss = cap && mss > cap ? cap : mss;
    if (o->has_wscale) {
        pcb->flags |= TCP_F_WSCALE;
        pcb->snd_scale = o->wscale;
        pcb->rcv_scale = tcp->rcv_scale;
    }
    if (o->has_timestamps) {
        pcb->flags |= TCP_F_TIMESTAMPS;
        pcb->ts_recent = o->ts_value;
        pcb->ts_recent_ns = rx->now;
    }
    if (o->sack_permitted)
        pcb->flags |= TCP_F_SACK;
    bool answer = pcb->state == TCP_S_SYN_SENT && rx->flags & TCP_ACK;
    if (answer ? tcp_ecn_syn_flags(tcp, pcb) && tcp_ecn_agreed(rx->flags)
               : tcp_ecn_asked(tcp, rx->flags))
        pcb->flags |= TCP_F_ECN;
    tcp_mss_update(pcb);
}

/* IRS and windows. A window in a SYN is never scaled; text in a SYN is not accepted, so the peer sends it
 * again (RFC 9293 s3.10.7.2 allows to queue it; a SYN flood must not fill queues). */
static void syn_sequence_take(struct tcp *tcp, struct tcp_pcb *pcb, const struct tcp_rx *rx)
{
    pcb->act->irs = rx->seg.seq;
    pcb->rcv_nxt = pcb->rcv_acked = pcb->rcv_read = rx->seg.seq + 1;
    pcb->rcv_adv = pcb->rcv_nxt + tcp_syn_window(tcp, pcb->settings);
    pcb->snd_wnd = pcb->snd_wnd_max = rx->seg.window;
    pcb->snd_wl1 = rx->seg.seq;
    pcb->snd_wl2 = rx->flags & TCP_ACK ? rx->seg.ack : pcb->act->iss;
}

static void syn_wish(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    pcb->flags |= TCP_F_SYN_WISH;
    pcb->snd_nxt = pcb->snd_end = pcb->act->iss + 1;
    pcb->syn_ns = now;
    tcp_deadline_set(tcp, pcb, TCP_D_RETRANSMIT, now + tcp_rto(tcp, pcb));
    tcp_mark_dirty(tcp, pcb);
}

void tcp_establish(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    tcp_state_set(tcp, pcb, TCP_S_ESTABLISHED);
    tcp_list_push(tcp, TCP_L_AWAKE, pcb);
    if (tcp_has(pcb, TCP_F_PASSIVE))
        tcp_settings_inherit(tcp, pcb);
    tcp_deadline_clear(pcb, TCP_D_RETRANSMIT);
    tcp_deadline_clear(pcb, TCP_D_LIFE);
    pcb->flags &= ~(uint32_t)TCP_F_SYN_WISH;
    tcp_rack_init(pcb, pcb->snd_una);
    if (!tcp_has(pcb, TCP_F_SYN_LOST)) { /* Karn */
        tcp_min_rtt_sample(pcb, now - pcb->syn_ns, now);
        tcp_rtt_sample(tcp, pcb, now - pcb->syn_ns);
    } else {
        pcb->rto = TCP_RTO_AFTER_SYN;
    }
    pcb->ssthresh = UINT32_MAX / 2;
    pcb->congestion->start(pcb);
    /* One lost SYN may be chance, two are congestion (RFC 5681 s3.1 says 1 after the first; Linux too
     * waits for the second). */
    pcb->act->cwnd = pcb->act->retries > 1 ? pcb->mss : tcp_initial_window(pcb);
    pcb->act->recover = pcb->act->iss;
    pcb->act->ecn_end = pcb->snd_una;
    pcb->act->snd_small = pcb->snd_una;
    pcb->act->retries = pcb->act->backoff = 0;
    pcb->quick_acks = tcp->config.profile->quick_acks;
    pcb->act->sent_ns = pcb->act->heard_ns = now;
    tcp_deadline_clear(pcb, TCP_D_USER);
    tcp_keepalive_start(tcp, pcb, now);
    bool passive = tcp_has(pcb, TCP_F_PASSIVE);
    stats_count(tcp->stats, passive ? TG_C_tcp_accepted : TG_C_tcp_connected);
    tcp_event_post(tcp, pcb, passive ? TCP_EV_ACCEPTED : TCP_EV_CONNECTED);
}

/* --- passive ----------------------------------------------------------------------------------------- */

const struct tcp_listener *tcp_listener_find(const struct tcp *tcp, uint16_t port)
{
    for (unsigned i = 0; i < tcp->listener_count; i++)
        if (tcp->listeners[i].port == port)
            return &tcp->listeners[i];
    return NULL;
}

enum tg_err tcp_listen(struct tcp *tcp, uint16_t port, uint32_t tag)
{
    if (port == 0)
        return TG_BAD_CONFIG;
    if (tcp_listener_find(tcp, port))
        return TG_EXISTS;
    if (tcp->listener_count == TCP_LISTENERS_MAX)
        return TG_FULL;
    tcp->listeners[tcp->listener_count++] = (struct tcp_listener){.port = port, .tag = tag};
    return TG_OK;
}

void tcp_unlisten(struct tcp *tcp, uint16_t port)
{
    for (unsigned i = 0; i < tcp->listener_count; i++)
        if (tcp->listeners[i].port == port) {
            tcp_settings_use(tcp, &tcp->listeners[i].settings, 0);
            tcp->listeners[i] = tcp->listeners[--tcp->listener_count];
            tcp_half_open_forget(tcp, port);
            return;
        }
}

void tcp_open_passive(struct tcp *tcp, const struct tcp_rx *rx, const struct tcp_floor *floor)
{
    if (tcp_half_open_add(tcp, rx, floor))
        return;
    /* a cookie cannot start above a former connection's numbers: that client asks again */
    if (floor)
        stats_count(tcp->stats, TG_C_tcp_backlog_full);
    else
        tcp_cookie_answer(tcp, rx);
}

/* The sequence state as the handshake has left it. */
static void proof_numbers_take(struct tcp *tcp, struct tcp_pcb *pcb, const struct tcp_proof *p)
{
    pcb->act->iss = pcb->ts_mark = p->iss;
    pcb->snd_una = pcb->snd_nxt = pcb->snd_end = p->iss + 1;
    pcb->ts_offset = p->ts_offset;
    pcb->act->irs = p->irs;
    pcb->rcv_nxt = pcb->rcv_acked = pcb->rcv_read = p->irs + 1;
    uint32_t window = tcp_syn_window(tcp, 0);
    if (p->small) {
        window = u32_min(window, tcp->config.pressure_window);
        pcb->act->tune.space = tcp->config.pressure_window;
    }
    pcb->rcv_adv = pcb->rcv_nxt + window;
    pcb->syn_ns = p->syn_ns;
    pcb->act->retries = p->retries;
}

static void proof_options_take(struct tcp *tcp, struct tcp_pcb *pcb, const struct tcp_proof *p,
                               tg_ns now)
{
    pcb->peer_mss = p->syn.mss;
    if (p->syn.has_wscale) {
        pcb->flags |= TCP_F_WSCALE;
        pcb->snd_scale = p->syn.wscale;
        pcb->rcv_scale = tcp->rcv_scale;
        /* a challenge ACK may have told the window in units of the scale, rounded up */
        uint32_t unit = 1u << pcb->rcv_scale, window = pcb->rcv_adv - pcb->rcv_nxt;
        pcb->rcv_adv = pcb->rcv_nxt + (window + unit - 1) / unit * unit;
    }
    if (p->syn.timestamps) {
        pcb->flags |= TCP_F_TIMESTAMPS;
        pcb->ts_recent = p->ts_recent;
        pcb->ts_recent_ns = now;
    }
    if (p->syn.sack)
        pcb->flags |= TCP_F_SACK;
    if (p->syn.ecn)
        pcb->flags |= TCP_F_ECN;
    tcp_mss_update(pcb);
}

static void proof_window_take(struct tcp_pcb *pcb, const struct tcp_rx *rx, uint32_t syn_window)
{
    pcb->snd_wnd = (uint32_t)rx->seg.window << pcb->snd_scale;
    pcb->snd_wnd_max = u32_max(pcb->snd_wnd, syn_window);
    pcb->snd_wl1 = rx->seg.seq;
    pcb->snd_wl2 = rx->seg.ack;
}

struct tcp_pcb *tcp_open_proven(struct tcp *tcp, const struct tcp_rx *rx,
                                const struct tcp_proof *proof)
{
    const struct tcp_listener *listener = tcp_listener_find(tcp, rx->tuple.local_port);
    struct tcp_pcb *pcb = tcp_governor_accepts(tcp) ? tcp_pcb_new(tcp) : NULL;
    if (!pcb)
        return NULL;
    pcb->tuple = rx->tuple;
    pcb->hash = rx->hash;
    pcb->act->tag = listener->tag;
    pcb->flags |= TCP_F_PASSIVE | (proof->owner ? TCP_F_OWNER : 0);
    pcb->mtu = tcp_path_mtu(tcp, &rx->tuple.remote);
    if (tcp_pcb_attach(tcp, pcb) != TG_OK) {
        tcp_pcb_free(tcp, pcb);
        return NULL;
    }
    proof_numbers_take(tcp, pcb, proof);
    proof_options_take(tcp, pcb, proof, rx->now);
    tcp_state_set(tcp, pcb, TCP_S_SYN_RECEIVED);
    if (!proof->sampled)
        pcb->flags |= TCP_F_SYN_LOST;
    tcp_establish(tcp, pcb, rx->now);
    proof_window_take(pcb, rx, proof->syn_window);
    return pcb;
}

/* --- active ------------------------------------------------------------------------------------------ */

static uint16_t port_pick(struct tcp *tcp, const struct ip_tuple *tuple, unsigned try_number)
{
    if (tcp->config.pick_port)
        return tcp->config.pick_port(tcp->config.pick_port_arg, tuple, try_number);
    /* RFC 6056 s3.3.3: a secret offset per destination, then one after the other. */
    if (try_number >= PORT_COUNT)
        return 0;
    uint32_t offset = (uint32_t)hash_sip13(tcp->config.isn_key, span_make(tuple, sizeof *tuple));
    return (uint16_t)(PORT_FIRST + (offset + tcp->next_port++) % PORT_COUNT);
}

/* A local port such that the tuple is free here; the hash of answers goes into *hash. */
static bool port_choose(struct tcp *tcp, struct ip_tuple *tuple, uint32_t *hash)
{
    for (unsigned i = 0; i < PORT_TRIES_MAX; i++) {
        tuple->local_port = 0;
        uint16_t port = port_pick(tcp, tuple, i);
        if (port == 0)
            return false;
        tuple->local_port = port;
        *hash = wire_tuple_hash(tcp->toeplitz, tuple);
        if (tcp_lookup(tcp, tuple, *hash) == FLOW_TABLE_NONE)
            return true;
    }
    return false;
}

static enum tg_err connect_tuple(struct tcp *tcp, const struct ip_addr *local,
                                 const struct ip_addr *remote, uint16_t remote_port,
                                 struct ip_tuple *tuple)
{
    /* There is no loop-back: a connection to ourselves would only meet itself on the wire. */
    if (remote_port == 0 || net_is_local(tcp->net, remote))
        return TG_UNREACHABLE;
    memset(tuple, 0, sizeof *tuple);
    tuple->remote = *remote;
    tuple->remote_port = remote_port;
    enum tg_err err = net_source_for(tcp->net, remote, &tuple->local);
    if (err != TG_OK)
        return err;
    if (local)
        tuple->local = *local;
    return ip_addr_is4(&tuple->local) == ip_addr_is4(remote) ? TG_OK : TG_UNREACHABLE;
}

enum tg_err tcp_connect(struct tcp *tcp, const struct ip_addr *local, const struct ip_addr *remote,
                        uint16_t remote_port, tg_ns timeout, uint64_t user, tg_ns now,
                        tcp_handle *handle)
{
    struct ip_tuple tuple;
    uint32_t hash = 0;
    tcp->now = now;
    *handle = TCP_NONE;
    enum tg_err err = connect_tuple(tcp, local, remote, remote_port, &tuple);
    if (err != TG_OK)
        return err;
    if (!tcp_governor_connects(tcp) || !port_choose(tcp, &tuple, &hash))
        return TG_FULL;
    struct tcp_pcb *pcb = tcp_pcb_new(tcp);
    if (!pcb)
        return TG_FULL;
    pcb->tuple = tuple;
    pcb->hash = hash;
    pcb->user = user;
    pcb->mtu = tcp_path_mtu(tcp, remote);
    err = tcp_pcb_attach(tcp, pcb);
    if (err != TG_OK) {
        tcp_pcb_free(tcp, pcb);
        return err;
    }
    tcp_start_numbers(tcp, pcb, now);
    tcp_state_set(tcp, pcb, TCP_S_SYN_SENT);
    syn_wish(tcp, pcb, now);
    if (timeout)
        tcp_deadline_set(tcp, pcb, TCP_D_LIFE, now + timeout);
    *handle = tcp_pcb_handle(tcp, pcb);
    return TG_OK;
}

/* --- SYN-SENT (RFC 9293 s3.10.7.3) -------------------------------------------------------------------- */

void tcp_syn_sent_arrives(struct tcp *tcp, struct tcp_pcb *pcb, struct tcp_rx *rx)
{
    /* First, check the ACK bit. Only ISS + 1 acknowledges anything that was sent. */
    bool ack = rx->flags & TCP_ACK;
    if (ack && rx->seg.ack != pcb->act->iss + 1) {
        stats_count(tcp->stats, TG_C_tcp_bad_ack);
        tcp_refuse(tcp, rx); /* RST, unless it was one */
        return;
    }
    /* Second, check the RST bit: believed only with an acceptable ACK (RFC 5961 s3.2). */
    if (rx->flags & TCP_RST) {
        if (!ack || tcp_ecn_refused(tcp, pcb))
            return;
        stats_count(tcp->stats, TG_C_tcp_reset_in);
        stats_count(tcp->stats, TG_C_tcp_connect_failed);
        tcp_pcb_finish(tcp, pcb, TG_RESET);
        return;
    }
    /* Third, security: skipped, there are no compartments. */
    /* Fourth, check the SYN bit. */
    if (!(rx->flags & TCP_SYN))
        return; /* Fifth: neither SYN nor RST: drop */
    syn_options_take(tcp, pcb, rx);
    syn_sequence_take(tcp, pcb, rx);
    if (!ack) { /* simultaneous open (s3.5, figure 8) */
        tcp_state_set(tcp, pcb, TCP_S_SYN_RECEIVED);
        pcb->flags |= TCP_F_SYN_WISH;
        tcp_mark_dirty(tcp, pcb);
        return;
    }
    pcb->snd_una = rx->seg.ack;
    tcp_establish(tcp, pcb, rx->now);
    pcb->flags |= TCP_F_ACK_NOW;
    tcp_mark_dirty(tcp, pcb);
}
