/* SPDX-License-Identifier: BSD-3-Clause
 * See tcp_cookie.h.
 */
#include "tcp/tcp_cookie.h"
#include "tcp/tcp_ecn.h"
#include "tcp/tcp_half_open.h"
#include "tcp/tcp_owner.h"

#define COOKIE_MINUTE   (60 * TG_S) /* a key's time; at most OWNER_KEYS of them are believed */
#define COOKIE_LIFE     (OWNER_KEYS * COOKIE_MINUTE)
#define COOKIE_ACCEPTS  1024u /* connections from cookies a second and worker, at least ... */
#define COOKIE_FRACTION 4u    /* ... or this part of all connections that there may be */
#define COOKIE_NO_SCALE 0u
#define COOKIE_ISN_ZERO (1u << 23) /* always 0 in a fresh ISN */

void tcp_cookie_init(struct tcp *tcp)
{
    struct tcp_cookies *c = &tcp->cookies;
    for (unsigned i = 0; i < TG_ARRAY_LEN(c->alone); i++) {
        const uint8_t label[2] = {'C', (uint8_t)i};
        c->alone[i] = hash_sip24(tcp->config.isn_key, span_make(label, sizeof label));
    }
    c->minute = UINT64_MAX;
}

/* --- keys --------------------------------------------------------------------------------------- */

/* The minute's key: the secret never signs anything itself. */
static struct owner_key minute_key(const uint64_t secret[2], uint64_t minute)
{
    struct owner_key key = {.id = (uint32_t)minute};
    for (unsigned half = 0; half < 2; half++) {
        const uint64_t in[2] = {minute, half};
        key.secret[half] = hash_sip24(secret, span_make(in, sizeof in));
    }
    return key;
}

/* How many secrets are believed: the first signs. 0: a fleet without SYN keys. */
static unsigned secret_count(const struct tcp *tcp)
{
    return tcp->has_owner ? tcp->owner.me.syn.count : 1;
}

/* Who we are to cookies under secret number i: to the fleet, or to nobody, with keys of our own. */
static void identity_make(const struct tcp *tcp, unsigned i, uint64_t minute,
                          struct owner_identity *me)
{
    const uint64_t *alone = tcp->cookies.alone;
    const uint64_t *secret = tcp->has_owner ? tcp->owner.me.syn.key[i].secret : alone;
    if (tcp->has_owner) {
        *me = tcp->owner.me;
    } else {
        *me = (struct owner_identity){.owner = {.count = 1}};
        me->owner.key[0] = (struct owner_key){.secret = {alone[1], alone[0]}};
    }
    me->syn.count = minute ? OWNER_KEYS : 1;
    me->syn.key[0] = minute_key(secret, minute);
    if (minute)
        me->syn.key[1] = minute_key(secret, minute - 1);
}

/* The first secret's, made once a minute. */
static const struct owner_identity *identity_of(struct tcp *tcp, tg_ns now)
{
    struct tcp_cookies *c = &tcp->cookies;
    uint64_t minute = now / COOKIE_MINUTE;
    if (c->minute != minute)
        identity_make(tcp, 0, minute, &c->me);
    c->minute = minute;
    return &c->me;
}

/* --- SYN in, SYN-ACK out -------------------------------------------------------------------------- */

/* What is negotiated when both sides have it. Only a timestamp has room for ECN. */
static struct owner_syn syn_of(const struct tcp *tcp, const struct tcp_rx *rx)
{
    const struct tcp_options *o = &rx->options;
    return (struct owner_syn){
        .mss = tcp_syn_mss(rx),
        .wscale = o->has_wscale ? o->wscale : COOKIE_NO_SCALE,
        .has_wscale = o->has_wscale,
        .sack = o->sack_permitted,
        .timestamps = o->has_timestamps,
        .ecn = o->has_timestamps && tcp_ecn_asked(tcp, rx->flags),
    };
}

void tcp_cookie_answer(struct tcp *tcp, const struct tcp_rx *rx)
{
    if (secret_count(tcp) == 0) {
        stats_count(tcp->stats, TG_C_tcp_backlog_full);
        return;
    }
    const struct owner_identity *me = identity_of(tcp, rx->now);
    struct owner_syn syn = syn_of(tcp, rx);
    struct owner_cookie cookie = owner_syn_encode(me, &rx->tuple, rx->seg.seq, &syn);
    const struct tcp_options options = {
        .has_mss = true,
        .mss = tcp_mss_offer(tcp, &rx->tuple.remote, tcp_path_mtu(tcp, &rx->tuple.remote)),
        .has_wscale = syn.has_wscale,
        .wscale = tcp->rcv_scale,
        .has_timestamps = syn.timestamps,
        .ts_value = cookie.ts_base,
        .ts_echo = rx->options.ts_value,
        .sack_permitted = syn.sack,
    };
    const struct tcp_stateless answer = {
        .tuple = &rx->tuple,
        .seq = cookie.isn,
        .ack = rx->seg.seq + 1,
        .flags = TCP_SYN | TCP_ACK | (syn.ecn ? TCP_ECE : 0),
        .window = tcp_syn_window(tcp, 0),
        .options = &options,
    };
    if (!tcp_emit_stateless(tcp, &answer, rx->now)) {
        stats_count(tcp->stats, TG_C_tcp_backlog_full);
        return;
    }
    tcp->cookies.sent_ns = rx->now;
    tcp->cookies.any = true;
    stats_count(tcp->stats, TG_C_tcp_syn_cookies_sent);
}

/* --- ACK in, connection out ------------------------------------------------------------------------ */

/* A flood that has found out how to complete handshakes meets a budget a second. */
static bool accept_allowed(struct tcp *tcp, tg_ns now)
{
    struct tcp_cookies *c = &tcp->cookies;
    if (now - c->second_ns >= TG_S || c->second_ns == 0) {
        c->second_ns = now;
        c->accepts_left = u32_max(COOKIE_ACCEPTS, tcp->config.connections_max / COOKIE_FRACTION);
    }
    if (c->accepts_left == 0)
        return false;
    c->accepts_left--;
    return true;
}

/* When the SYN-ACK left is not known: no sample of the round trip, and no reason to fear for it. */
static struct tcp_pcb *connection_make(struct tcp *tcp, const struct tcp_rx *rx,
                                       const struct owner_syn *syn)
{
    const struct tcp_proof proof = {
        .iss = rx->seg.ack - 1,
        .irs = rx->seg.seq - 1,
        .ts_offset = rx->options.has_timestamps ? rx->options.ts_echo : 0,
        .ts_recent = rx->options.ts_value,
        .syn_ns = rx->now,
        .owner = true,
        .syn = *syn,
    };
    struct tcp_pcb *pcb = tcp_open_proven(tcp, rx, &proof);
    if (pcb)
        pcb->rto = tcp->config.profile->rto_syn;
    return pcb;
}

/* An ACK that may be an answer to one of the last cookies, and is. */
static bool ack_proves(const struct tcp *tcp, const struct ip_tuple *tuple,
                       const struct tcp_segment *seg, const uint32_t *echo, tg_ns now,
                       struct owner_syn *syn)
{
    uint64_t minute = now / COOKIE_MINUTE;
    for (unsigned i = 0; i < secret_count(tcp); i++) {
        struct owner_identity other;
        bool made = i == 0 && tcp->cookies.minute == minute;
        const struct owner_identity *me = made ? &tcp->cookies.me : &other;
        if (!made)
            identity_make(tcp, i, minute, &other);
        if (owner_syn_verify(me, tuple, seg->seq - 1, seg->ack - 1, echo, syn))
            return true;
    }
    return false;
}

/* Nobody needs to look at strangers' ACKs while no cookie is out. */
static bool any_is_out(const struct tcp *tcp, tg_ns now)
{
    return tcp->cookies.any && now - tcp->cookies.sent_ns < COOKIE_LIFE;
}

static bool flags_are_an_answers(uint8_t flags)
{
    return (flags & (TCP_ACK | TCP_SYN | TCP_RST)) == TCP_ACK;
}

/* Data, or the ACK of a SYN-ACK that came twice, has overtaken the proof: its ACK number is a cookie of ours and its timestamp names us, as far as
 * can be said without the client's ISN. A reset would break a good connection. */
static bool may_be_ahead(const struct tcp *tcp, const struct ip_tuple *tuple,
                         const struct tcp_segment *seg, const uint32_t *echo)
{
    const struct owner_identity *me = &tcp->cookies.me;
    struct owner_slots slots = {{0}};
    struct owner_sites sites = {{0}};
    uint8_t site[OWNER_SITES_FOUND];
    uint16_t slot;
    if ((seg->ack - 1) & COOKIE_ISN_ZERO)
        return false;
    owner_set_add(slots.bits, me->slot);
    owner_set_add(sites.bits, me->site);
    return owner_cookie_sites(&me->owner, &sites, tuple, seg->ack - 1, site) > 0 &&
           (!echo || owner_cookie_slot(&me->owner, &slots, tuple, *echo, &slot));
}

/* What the ACK of no connection is to us; `now`: as in any_is_out. */
static enum tcp_answer answer_of(const struct tcp *tcp, const struct ip_tuple *tuple,
                                 const struct tcp_segment *seg, const uint32_t *echo, tg_ns now,
                                 struct owner_syn *syn)
{
    if (!flags_are_an_answers(seg->flags) || !any_is_out(tcp, now) ||
        !tcp_listener_find(tcp, tuple->local_port))
        return TCP_ANSWER_NONE;
    if (ack_proves(tcp, tuple, seg, echo, now, syn))
        return TCP_ANSWER_PROOF;
    return may_be_ahead(tcp, tuple, seg, echo) ? TCP_ANSWER_PERHAPS : TCP_ANSWER_BAD;
}

enum tcp_answer tcp_awaits(const struct tcp *tcp, const struct ip_tuple *tuple,
                           const struct tcp_segment *seg)
{
    struct owner_syn syn;
    uint32_t value, echo;
    bool has = owner_cookie_timestamps(seg->options, &value, &echo);
    enum tcp_answer answer = answer_of(tcp, tuple, seg, has ? &echo : NULL, tcp->now, &syn);
    return answer == TCP_ANSWER_PROOF && !has ? TCP_ANSWER_PERHAPS : answer;
}

bool tcp_cookie_take(struct tcp *tcp, const struct tcp_rx *rx, struct tcp_pcb **pcb)
{
    struct owner_syn syn;
    const uint32_t *echo = rx->options.has_timestamps ? &rx->options.ts_echo : NULL;
    enum tcp_answer answer = answer_of(tcp, &rx->tuple, &rx->seg, echo, rx->now, &syn);
    *pcb = NULL;
    if (answer != TCP_ANSWER_PROOF) {
        if (answer != TCP_ANSWER_NONE)
            stats_count(tcp->stats, TG_C_tcp_syn_cookies_bad);
        return answer == TCP_ANSWER_PERHAPS;
    }
    if (accept_allowed(tcp, rx->now))
        *pcb = connection_make(tcp, rx, &syn);
    else
        stats_count(tcp->stats, TG_C_tcp_syn_cookies_limited);
    if (*pcb)
        stats_count(tcp->stats, TG_C_tcp_syn_cookies_accepted);
    return true;
}
