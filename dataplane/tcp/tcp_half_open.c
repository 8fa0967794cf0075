/* SPDX-License-Identifier: BSD-3-Clause
 * See tcp_half_open.h.
 */
#include "tcp/tcp_half_open.h"
#include "tcp/tcp_cookie.h"
#include "tcp/tcp_ecn.h"
#include "tcp/tcp_governor.h"
#include "tcp/tcp_owner.h"

#define SWEEP_ENTRIES  4096u /* looked at in one go: 256 KiB */
#define ANSWER_UNIT    26    /* answered: 2^26 ns, 67 ms ... */
#define ANSWER_SPACING 7u    /* ... of which so many lie between two answers */

static struct tcp_syn syn_at(const struct tcp *tcp, uint32_t number)
{
    tg_assert(number < tcp_syncache_size(&tcp->syncache));
    return tcp_syncache_at(&tcp->syncache, number);
}

/* The window that our SYN-ACK has told. */
static uint32_t entry_window(const struct tcp *tcp, struct tcp_syn e)
{
    uint32_t window = tcp_syn_window(tcp, 0);
    return e.mark->flags & TCP_SYN_SMALL ? u32_min(window, tcp->config.pressure_window) : window;
}

/* --- answers ----------------------------------------------------------------------------------------- */

static void options_fill(struct tcp_syn e, struct tcp_options *o, tg_ns now)
{
    o->has_timestamps = e.mark->flags & TCP_SYN_TIMESTAMPS;
    /* an owner's timestamp has its first tick after four hours */
    o->ts_value =
        e.mark->flags & TCP_SYN_OWNER ? e.entry->ts_offset : tcp_timestamp(e.entry->ts_offset, now);
    o->ts_echo = e.entry->ts_recent;
}

/* False: there is no frame; the client asks again, or the sweep comes by. */
static bool syn_ack_send(struct tcp *tcp, struct tcp_syn e, tg_ns now)
{
    const struct ip_addr *remote = &e.entry->tuple.remote;
    struct tcp_options options = {
        .has_mss = true,
        .mss = tcp_mss_offer(tcp, remote, tcp_path_mtu(tcp, remote)),
        .has_wscale = e.mark->flags & TCP_SYN_WSCALE,
        .wscale = tcp->rcv_scale,
        .sack_permitted = e.mark->flags & TCP_SYN_SACK,
    };
    options_fill(e, &options, now);
    const struct tcp_stateless answer = {
        .tuple = &e.entry->tuple,
        .seq = e.entry->iss,
        .ack = e.entry->irs + 1,
        .flags = TCP_SYN | TCP_ACK | (e.mark->flags & TCP_SYN_ECN ? TCP_ECE : 0),
        .window = (uint16_t)entry_window(tcp, e),
        .options = &options,
    };
    return tcp_emit_stateless(tcp, &answer, now);
}

/* The clock starts when the first one has left. */
static void syn_ack_first(struct tcp *tcp, struct tcp_syn e, tg_ns now)
{
    e.entry->start_us = (uint32_t)(now / TG_US);
    if (syn_ack_send(tcp, e, now))
        e.mark->flags &= ~TCP_SYN_UNSENT;
    else
        e.mark->flags |= TCP_SYN_UNSENT;
}

/* <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>, twice a second at most: two stacks that disagree do not talk for ever. */
static void ack_send(struct tcp *tcp, struct tcp_syn e, bool challenge, tg_ns now)
{
    uint8_t unit = (uint8_t)(now >> ANSWER_UNIT);
    if (e.mark->answered && (uint8_t)(unit - e.mark->answered) < ANSWER_SPACING)
        return;
    if (challenge && !tcp_challenge_allowed(tcp, now))
        return;
    if (challenge)
        stats_count(tcp->stats, TG_C_tcp_challenge_ack);
    e.mark->answered = unit ? unit : 1;
    struct tcp_options options = {0};
    options_fill(e, &options, now);
    unsigned scale = e.mark->flags & TCP_SYN_WSCALE ? tcp->rcv_scale : 0;
    uint32_t window = entry_window(tcp, e) + (1u << scale) - 1; /* rounded up: the edge stays */
    const struct tcp_stateless answer = {
        .tuple = &e.entry->tuple,
        .seq = e.entry->iss + 1,
        .ack = e.entry->irs + 1,
        .flags = TCP_ACK,
        .window = (uint16_t)(window >> scale),
        .options = &options,
    };
    (void)tcp_emit_stateless(tcp, &answer, now);
}

/* --- the clock: one timer for all --------------------------------------------------------------------- */

static tg_ns due_at(const struct tcp *tcp, struct tcp_syn e, tg_ns now)
{
    tg_ns due = tcp_syn_due(e.mark->retries, tcp->config.profile->rto_syn, tcp->config.rto_max);
    tg_ns age = tcp_syn_age(e.entry, now);
    if (e.mark->flags & TCP_SYN_UNSENT)
        due = TCP_REPAIR;
    return due > age ? now + (due - age) : now;
}

static void entry_visit(struct tcp *tcp, struct tcp_syn e, tg_ns now)
{
    tg_ns due = due_at(tcp, e, now);
    if (due <= now && e.mark->flags & TCP_SYN_UNSENT) {
        syn_ack_first(tcp, e, now);
        due = due_at(tcp, e, now);
    }
    if (due <= now) {
        if (e.mark->retries >= u32_min(tcp->config.syn_retries, TCP_SYN_RETRIES_MAX)) {
            stats_count(tcp->stats, TG_C_tcp_timed_out);
            tcp_syncache_remove(&tcp->syncache, e);
            return;
        }
        e.mark->retries++;
        e.mark->flags |= TCP_SYN_AGAIN;
        (void)syn_ack_send(tcp, e, now);
        due = due_at(tcp, e, now);
    }
    if (due < tcp->syncache.earliest)
        tcp->syncache.earliest = due;
}

/* A round looks at every entry, some at a time, and learns when the next one must begin. */
static void sweep(struct timer *timer, void *arg, tg_ns now)
{
    struct tcp *tcp = arg;
    struct tcp_syncache *c = &tcp->syncache;
    uint32_t size = tcp_syncache_size(c);
    tcp->now = now;
    if (c->hand == 0)
        c->earliest = UINT64_MAX;
    for (unsigned i = 0; i < SWEEP_ENTRIES && c->hand < size; i++) {
        if (net_tx_room(tcp->net) == 0)
            break; /* go on with the next tick */
        struct tcp_syn e = tcp_syncache_at(c, c->hand++);
        if (e.mark->flags)
            entry_visit(tcp, e, now);
    }
    tg_ns next = now + TIMER_TICK;
    if (c->hand == size) {
        c->hand = 0;
        next = c->earliest > next ? c->earliest : next;
    }
    if (c->live)
        timer_arm(tcp->wheel, timer, next);
    else
        c->hand = 0;
}

static void clock_start(struct tcp *tcp, struct tcp_syn e, tg_ns now)
{
    struct tcp_syncache *c = &tcp->syncache;
    tg_ns due = due_at(tcp, e, now);
    c->earliest = due < c->earliest ? due : c->earliest;
    if (!timer_armed(&c->timer) || due < c->timer.deadline)
        timer_arm(tcp->wheel, &c->timer, due);
}

static void entry_end(struct tcp *tcp, struct tcp_syn e)
{
    tcp_syncache_remove(&tcp->syncache, e);
    if (tcp->syncache.live)
        return;
    timer_cancel(tcp->wheel, &tcp->syncache.timer);
    tcp->syncache.hand = 0;
    tcp->syncache.earliest = UINT64_MAX;
}

enum tg_err tcp_half_open_init(struct tcp *tcp)
{
    uint64_t secret[2];
    for (unsigned i = 0; i < 2; i++) {
        const uint8_t label[2] = {'H', (uint8_t)i};
        secret[i] = hash_sip24(tcp->config.isn_key, span_make(label, sizeof label));
    }
    timer_init(&tcp->syncache.timer, sweep, tcp);
    struct timer timer = tcp->syncache.timer;
    enum tg_err err = tcp_syncache_init(&tcp->syncache, tcp->config.half_open_max, secret);
    tcp->syncache.timer = timer;
    return err;
}

void tcp_half_open_destroy(struct tcp *tcp)
{
    if (tcp->syncache.timer.fire)
        timer_cancel(tcp->wheel, &tcp->syncache.timer);
    tcp_syncache_free(&tcp->syncache);
}

/* --- SYN in ------------------------------------------------------------------------------------------- */

/* Options count only in a SYN; what both sides have is in force (RFC 7323 s2.2, s3.2; RFC 2018 s2). */
static void syn_take(const struct tcp *tcp, struct tcp_syn e, const struct tcp_rx *rx)
{
    const struct tcp_options *o = &rx->options;
    unsigned flags = o->has_timestamps ? TCP_SYN_TIMESTAMPS : 0;
    flags |= o->sack_permitted ? TCP_SYN_SACK : 0;
    flags |= o->has_wscale ? TCP_SYN_WSCALE : 0;
    flags |= tcp_ecn_asked(tcp, rx->flags) ? TCP_SYN_ECN : 0;
    e.mark->flags |= (uint16_t)flags;
    e.entry->irs = rx->seg.seq;
    e.entry->window = rx->seg.window;
    e.entry->peer_mss = tcp_syn_mss(rx);
    e.mark->wscale = (o->has_wscale ? o->wscale : 0) & 15u; /* 14 at most, says the parser */
    e.entry->ts_recent = o->has_timestamps ? o->ts_value : 0;
}

bool tcp_half_open_add(struct tcp *tcp, const struct tcp_rx *rx, const struct tcp_floor *floor)
{
    struct tcp_syncache *c = &tcp->syncache;
    if (tcp_governor_cookies_only(tcp, rx->now) || c->live >= tcp->config.half_open_max)
        return false;
    uint32_t number = tcp_syncache_insert(c, &rx->tuple, rx->hash);
    if (number == TCP_SYN_NONE)
        return false;
    struct tcp_syn e = syn_at(tcp, number);
    struct tcp_numbers numbers =
        tcp_numbers_choose(tcp, &rx->tuple, true, floor, rx->options.has_timestamps, rx->now);
    e.entry->iss = numbers.iss;
    e.entry->ts_offset = numbers.ts_offset;
    if (numbers.owner)
        e.mark->flags |= TCP_SYN_OWNER;
    if (tcp->governor.level >= TCP_TIGHT)
        e.mark->flags |= TCP_SYN_SMALL;
    syn_take(tcp, e, rx);
    syn_ack_first(tcp, e, rx->now);
    clock_start(tcp, e, rx->now);
    return true;
}

/* --- segments (RFC 9293 s3.10.7.4) ------------------------------------------------------------------------ */

/* RFC 7323 s5.3 R1. A half-open connection is never old enough for its timestamp to be forgotten. */
static bool timestamps_check(struct tcp *tcp, struct tcp_syn e, const struct tcp_rx *rx)
{
    if (!(e.mark->flags & TCP_SYN_TIMESTAMPS) || rx->flags & TCP_RST)
        return true;
    bool old = rx->options.has_timestamps && seq_lt(rx->options.ts_value, e.entry->ts_recent);
    if (rx->options.has_timestamps && !old)
        return true;
    stats_count(tcp->stats, TG_C_tcp_paws);
    if (old)
        ack_send(tcp, e, false, rx->now);
    return false;
}

/* First: the sequence number. RCV.NXT is IRS + 1, the window the one that our SYN-ACK told, never 0. */
static bool sequence_check(struct tcp *tcp, struct tcp_syn e, const struct tcp_rx *rx)
{
    uint32_t len = rx->bytes + (rx->flags & TCP_FIN ? 1 : 0);
    uint32_t window = entry_window(tcp, e);
    uint32_t first = rx->seq - (e.entry->irs + 1), last = first + len - 1;
    if (first < window || (len && last < window))
        return true;
    bool again = seq_lt(rx->seq, e.entry->irs + 1) && len;
    stats_count(tcp->stats, again ? TG_C_tcp_duplicate : TG_C_tcp_out_of_window);
    if (!(rx->flags & TCP_RST))
        ack_send(tcp, e, false, rx->now);
    return false;
}

/* Second: RST (RFC 5961 s3.2). After a passive open the connection goes back to LISTEN, nobody is told. */
static void reset_take(struct tcp *tcp, struct tcp_syn e, const struct tcp_rx *rx)
{
    if (rx->seq != e.entry->irs + 1) {
        ack_send(tcp, e, true, rx->now);
        return;
    }
    stats_count(tcp->stats, TG_C_tcp_reset_in);
    entry_end(tcp, e);
}

static struct tcp_pcb *complete(struct tcp *tcp, struct tcp_syn e, const struct tcp_rx *rx)
{
    const struct tcp_proof proof = {
        .iss = e.entry->iss,
        .irs = e.entry->irs,
        .ts_offset = e.entry->ts_offset,
        .ts_recent = e.entry->ts_recent,
        .syn_window = e.entry->window,
        .small = e.mark->flags & TCP_SYN_SMALL,
        .syn_ns = rx->now - tcp_syn_age(e.entry, rx->now),
        .retries = e.mark->retries,
        .sampled = !(e.mark->flags & TCP_SYN_AGAIN),
        .owner = e.mark->flags & TCP_SYN_OWNER,
        .syn = {.mss = e.entry->peer_mss,
                .wscale = e.mark->wscale,
                .has_wscale = e.mark->flags & TCP_SYN_WSCALE,
                .sack = e.mark->flags & TCP_SYN_SACK,
                .timestamps = e.mark->flags & TCP_SYN_TIMESTAMPS,
                .ecn = e.mark->flags & TCP_SYN_ECN},
    };
    struct tcp_pcb *pcb = tcp_open_proven(tcp, rx, &proof);
    if (pcb)
        entry_end(tcp, e); /* else the SYN-ACK will be repeated, and the ACK with it */
    return pcb;
}

/* Fifth: the ACK field. Another number than ours may be a cookie's that this client got before there was a free
 * place for it. */
static struct tcp_pcb *ack_take(struct tcp *tcp, struct tcp_syn e, const struct tcp_rx *rx)
{
    struct tcp_pcb *pcb;
    if (rx->seg.ack == e.entry->iss + 1)
        return complete(tcp, e, rx);
    if (tcp_cookie_take(tcp, rx, &pcb)) {
        if (pcb)
            entry_end(tcp, e);
        return pcb;
    }
    stats_count(tcp->stats, TG_C_tcp_bad_ack);
    tcp_refuse(tcp, rx);
    return NULL;
}

struct tcp_pcb *tcp_half_open_arrives(struct tcp *tcp, uint32_t number, struct tcp_rx *rx)
{
    struct tcp_syn e = syn_at(tcp, number);
    bool syn = rx->flags & TCP_SYN && !(rx->flags & TCP_RST);
    if (syn && !(rx->flags & TCP_ACK) && rx->seg.seq == e.entry->irs) { /* our SYN-ACK was lost */
        e.mark->flags |= TCP_SYN_AGAIN;
        if (!tcp_ecn_asked(tcp, rx->flags)) /* its sender has given ECN up (RFC 3168 s6.1.1) */
            e.mark->flags &= (uint16_t)~TCP_SYN_ECN;
        (void)syn_ack_send(tcp, e, rx->now);
        return NULL;
    }
    if (!timestamps_check(tcp, e, rx))
        return NULL;
    if (syn) { /* RFC 5961 s4.2: whatever its number; a client that has begun anew resets the old one */
        ack_send(tcp, e, true, rx->now);
        return NULL;
    }
    if (!sequence_check(tcp, e, rx)) /* First */
        return NULL;
    if (rx->flags & TCP_RST) { /* Second */
        reset_take(tcp, e, rx);
        return NULL;
    }
    /* Third, security: skipped, there is none. Fourth, SYN: above. */
    if (!(rx->flags & TCP_ACK)) { /* Fifth */
        stats_count(tcp->stats, TG_C_tcp_bad_segment);
        return NULL;
    }
    return ack_take(tcp, e, rx);
}

/* --- the world around ------------------------------------------------------------------------------------- */

/* RFC 5927 s5.2: hard errors end what is not synchronised, when they quote what is in flight: the SYN-ACK. */
void tcp_half_open_unreachable(struct tcp *tcp, uint32_t number, uint32_t seq, bool hard)
{
    struct tcp_syn e = syn_at(tcp, number);
    if (seq != e.entry->iss)
        return;
    stats_count(tcp->stats, TG_C_tcp_icmp_errors);
    if (hard)
        entry_end(tcp, e);
}

void tcp_half_open_forget(struct tcp *tcp, uint16_t port)
{
    for (uint32_t i = 0; tcp->syncache.live && i < tcp_syncache_size(&tcp->syncache); i++) {
        struct tcp_syn e = syn_at(tcp, i);
        if (e.mark->flags && e.entry->tuple.local_port == port)
            entry_end(tcp, e);
    }
}

static const char *entry_judge(const void *arg, const struct tcp_syn_entry *e, uint32_t i,
                               uint32_t hash)
{
    const struct tcp *tcp = arg;
    if (tcp_lookup(tcp, &e->tuple, hash) != (TCP_FLOW_SYN | i))
        return "syn cache: the tuple has a connection, too";
    if (!tcp_listener_find(tcp, e->tuple.local_port))
        return "syn cache: nobody listens";
    return NULL;
}

const char *tcp_half_open_check(const struct tcp *tcp)
{
    const struct tcp_syncache *c = &tcp->syncache;
    if (c->live && !timer_armed(&c->timer))
        return "syn cache: no clock";
    return tcp_syncache_check(c, tcp->toeplitz, entry_judge, tcp);
}
