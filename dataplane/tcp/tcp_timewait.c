/* SPDX-License-Identifier: BSD-3-Clause
 * TIME-WAIT without the connection: a 32-byte record in a ring, found through the same flow table. The
 * ring is in order of expiry because every record waits equally long; one that must wait longer moves
 * to the end. One wheel timer serves all. Called by tcp_in and by the end of connections.
 */
#include "tcp/tcp_owner.h"
#include <stdlib.h>

#define TW_DEAD       1u /* slot is free, expiry means nothing */
#define TW_TIMESTAMPS 2u
#define TW_IP6        4u
#define TW_OWNER      8u /* timestamps are an owner's cookie */
#define TW_FLAGS      15u
#define TW_FLAG_BITS  4
#define TW_UNIT       (8 * TG_MS) /* of expiry: the low four bits are flags */
#define TW_LATE       0x100000u   /* bytes by which a late ACK is old at most, as a rule */
#define TW_ISN_GAP    0x20000u /* new ISN above the old snd_nxt by more than an unscaled window */

static uint32_t tw_time(tg_ns now)
{
    return (uint32_t)(now / TW_UNIT) << TW_FLAG_BITS;
}

static struct tcp_tw *tw_at(const struct tcp *tcp, uint32_t offset)
{
    uint32_t slot = tcp->tw.head + offset;
    return &tcp->tw.records[slot < tcp->tw.capacity ? slot : slot - tcp->tw.capacity];
}

static uint32_t tw_slot(const struct tcp *tcp, const struct tcp_tw *r)
{
    return (uint32_t)(r - tcp->tw.records);
}

static struct ip_tuple tw_tuple(const struct tcp *tcp, const struct tcp_tw *r)
{
    struct ip_tuple t = {.local_port = r->local_port, .remote_port = r->remote_port};
    if (r->expiry & TW_IP6) {
        const struct ip_addr *a = tcp->tw.addresses[tw_slot(tcp, r)];
        t.local = a[0];
        t.remote = a[1];
    } else {
        t.local = ip_addr_from4((const uint8_t *)&r->local4_be);
        t.remote = ip_addr_from4((const uint8_t *)&r->remote4_be);
    }
    return t;
}

static void tw_address_set(struct tcp *tcp, struct tcp_tw *r, const struct ip_tuple *t)
{
    r->local_port = t->local_port;
    r->remote_port = t->remote_port;
    memcpy(&r->local4_be, t->local.bytes + 12, 4);
    memcpy(&r->remote4_be, t->remote.bytes + 12, 4);
    if (r->expiry & TW_IP6) {
        tcp->tw.addresses[tw_slot(tcp, r)][0] = t->local;
        tcp->tw.addresses[tw_slot(tcp, r)][1] = t->remote;
    }
}

bool tcp_timewait_matches(const struct tcp *tcp, uint32_t record, const struct ip_tuple *tuple)
{
    if (record >= tcp->tw.capacity)
        return false;
    const struct tcp_tw *r = &tcp->tw.records[record];
    if (r->expiry & TW_DEAD || r->local_port != tuple->local_port ||
        r->remote_port != tuple->remote_port)
        return false;
    struct ip_tuple t = tw_tuple(tcp, r);
    return memcmp(&t, tuple, sizeof t) == 0;
}

/* A late segment acknowledges little less than all; the numbers of another connection lie anywhere. */
bool tcp_timewait_expects(const struct tcp *tcp, uint32_t record, uint32_t ack)
{
    return tcp->tw.records[record].snd_nxt - ack <= TW_LATE;
}

/* --- ring ------------------------------------------------------------------------------------------- */

static void tw_kill(struct tcp *tcp, struct tcp_tw *r)
{
    struct ip_tuple tuple = tw_tuple(tcp, r);
    uint32_t hash = wire_tuple_hash(tcp->toeplitz, &tuple);
    bool removed = flow_table_remove(&tcp->flows, hash, TCP_FLOW_TW | tw_slot(tcp, r));
    tg_assert(removed && !(r->expiry & TW_DEAD));
    r->expiry |= TW_DEAD;
    tcp->tw.live--;
}

static void tw_head_advance(struct tcp *tcp)
{
    tcp->tw.head = tcp->tw.head + 1 < tcp->tw.capacity ? tcp->tw.head + 1 : 0;
    tcp->tw.used--;
}

/* Free dead slots and, until `now`, expired records at the head. */
static void tw_trim(struct tcp *tcp, tg_ns now)
{
    while (tcp->tw.used) {
        struct tcp_tw *r = tw_at(tcp, 0);
        if (!(r->expiry & TW_DEAD)) {
            if ((int32_t)((r->expiry & ~TW_FLAGS) - tw_time(now)) > 0)
                return;
            tw_kill(tcp, r);
        }
        tw_head_advance(tcp);
    }
}

static void tw_timer_arm(struct tcp *tcp, tg_ns now)
{
    if (tcp->tw.used == 0 || timer_armed(&tcp->tw.timer))
        return;
    int32_t left = (int32_t)((tw_at(tcp, 0)->expiry & ~TW_FLAGS) - tw_time(now)) >> TW_FLAG_BITS;
    timer_arm(tcp->wheel, &tcp->tw.timer, now + (left > 0 ? (tg_ns)left : 1) * TW_UNIT);
}

static void tw_timer_fired(struct timer *timer, void *arg, tg_ns now)
{
    struct tcp *tcp = arg;
    tcp->now = now;
    tw_trim(tcp, now);
    tw_timer_arm(tcp, now);
}

/* The slot at the end; the oldest is evicted when the ring is full. */
static struct tcp_tw *tw_take(struct tcp *tcp)
{
    if (tcp->tw.used == tcp->tw.capacity) {
        struct tcp_tw *oldest = tw_at(tcp, 0);
        if (!(oldest->expiry & TW_DEAD))
            tw_kill(tcp, oldest);
        tw_head_advance(tcp);
    }
    return tw_at(tcp, tcp->tw.used++);
}

/* Enter a record with these contents at the end. */
static void tw_insert(struct tcp *tcp, const struct tcp_tw *from, const struct ip_tuple *tuple,
                      tg_ns now)
{
    struct tcp_tw *r = tw_take(tcp);
    *r = *from;
    r->expiry = ((tw_time(now + 2 * tcp->config.msl)) & ~TW_FLAGS) | (from->expiry & TW_FLAGS);
    tw_address_set(tcp, r, tuple);
    uint32_t hash = wire_tuple_hash(tcp->toeplitz, tuple);
    if (flow_table_insert(&tcp->flows, hash, TCP_FLOW_TW | tw_slot(tcp, r)) == TG_OK)
        tcp->tw.live++;
    else
        r->expiry |= TW_DEAD;
    tw_timer_arm(tcp, now);
}

enum tg_err tcp_timewait_init(struct tcp *tcp)
{
    uint32_t n = tcp->config.time_wait_max;
    timer_init(&tcp->tw.timer, tw_timer_fired, tcp);
    tcp->tw.capacity = n;
    if (n == 0)
        return TG_OK;
    tcp->tw.records = calloc(n, sizeof tcp->tw.records[0]);
    tcp->tw.addresses = calloc(n, sizeof tcp->tw.addresses[0]);
    return tcp->tw.records && tcp->tw.addresses ? TG_OK : TG_NO_MEMORY;
}

void tcp_timewait_destroy(struct tcp *tcp)
{
    if (tcp->tw.timer.fire)
        timer_cancel(tcp->wheel, &tcp->tw.timer);
    free(tcp->tw.records);
    free(tcp->tw.addresses);
}

void tcp_timewait_add(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    struct ip_tuple tuple = pcb->tuple;
    struct tcp_tw record = {
        .snd_nxt = pcb->snd_nxt,
        .rcv_nxt = pcb->rcv_nxt,
        .ts_recent = pcb->ts_recent,
        .ts_last = tcp_pcb_timestamp(pcb, now),
        .expiry = (tcp_has(pcb, TCP_F_TIMESTAMPS) ? TW_TIMESTAMPS : 0) |
                  (tcp_has(pcb, TCP_F_OWNER) ? TW_OWNER : 0) |
                  (ip_addr_is4(&tuple.remote) ? 0 : TW_IP6),
    };
    if (tcp_has(pcb, TCP_F_ACK_NOW) && !tcp_emit_ack(tcp, pcb, pcb->snd_nxt, now))
        pcb->flags &= ~(uint32_t)TCP_F_ACK_NOW; /* pool empty: the peer's FIN will come again */
    stats_count(tcp->stats, TG_C_tcp_time_wait);
    stats_count(tcp->stats, TG_C_tcp_closed);
    tcp_state_set(tcp, pcb, TCP_S_TIME_WAIT);
    tcp_pcb_finish(tcp, pcb, TG_END);
    if (tcp->tw.capacity)
        tw_insert(tcp, &record, &tuple, now);
}

/* --- segments (RFC 9293 s3.10.7.4 for TIME-WAIT) ------------------------------------------------------ */

static void tw_acknowledge(struct tcp *tcp, const struct tcp_tw *r, tg_ns now)
{
    struct ip_tuple tuple = tw_tuple(tcp, r);
    struct tcp_options options = {0};
    if (r->expiry & TW_TIMESTAMPS) {
        options.has_timestamps = true;
        options.ts_value = r->expiry & TW_OWNER
                               ? r->ts_last
                               : tcp_timestamp(tcp_secrets_of(tcp, &tuple, now).ts_offset, now);
        options.ts_echo = r->ts_recent;
    }
    struct tcp_stateless ack = {.tuple = &tuple,
                                .seq = r->snd_nxt,
                                .ack = r->rcv_nxt,
                                .window = 0, /* the stream has ended */
                                .flags = TCP_ACK,
                                .options = &options};
    (void)tcp_emit_stateless(tcp, &ack, now);
}

/* RFC 6191: the tuple may live again when the SYN is provably younger than all that we have seen. */
static bool tw_reusable(const struct tcp_tw *r, const struct tcp_rx *rx)
{
    bool timestamps = r->expiry & TW_TIMESTAMPS && rx->options.has_timestamps;
    if (timestamps && rx->options.ts_value != r->ts_recent)
        return seq_lt(r->ts_recent, rx->options.ts_value);
    return seq_lt(r->rcv_nxt, rx->seg.seq);
}

static void tw_reopen(struct tcp *tcp, struct tcp_tw *r, struct tcp_rx *rx)
{
    struct tcp_floor floor = {.isn = r->snd_nxt + TW_ISN_GAP,
                              .ts = r->ts_last,
                              .has_ts = (r->expiry & TW_OWNER) && (r->expiry & TW_TIMESTAMPS)};
    tw_kill(tcp, r);
    if (tcp_listener_find(tcp, rx->tuple.local_port)) {
        tcp_open_passive(tcp, rx, &floor);
        return;
    }
    stats_count(tcp->stats, TG_C_tcp_no_listener);
    tcp_refuse(tcp, rx);
}

void tcp_timewait_arrives(struct tcp *tcp, uint32_t record, struct tcp_rx *rx)
{
    struct tcp_tw *r = &tcp->tw.records[record];
    tg_assert(record < tcp->tw.capacity && !(r->expiry & TW_DEAD));
    if (rx->flags & TCP_RST)
        return; /* RFC 1337: a RST does not end TIME-WAIT */
    bool old = r->expiry & TW_TIMESTAMPS && rx->options.has_timestamps &&
               seq_lt(rx->options.ts_value, r->ts_recent);
    if ((rx->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN && tw_reusable(r, rx)) {
        tw_reopen(tcp, r, rx);
        return;
    }
    if (old)
        stats_count(tcp->stats, TG_C_tcp_paws);
    if (rx->flags & TCP_FIN && !old && !(rx->flags & TCP_SYN)) {
        /* Our last ACK was lost: acknowledge again and start the 2 MSL anew. The answer goes first, the
         * record moves. */
        struct tcp_tw copy = *r;
        struct ip_tuple tuple = rx->tuple;
        tw_acknowledge(tcp, r, rx->now);
        tw_kill(tcp, r);
        tw_insert(tcp,
                  &(struct tcp_tw){.snd_nxt = copy.snd_nxt,
                                   .rcv_nxt = copy.rcv_nxt,
                                   .ts_recent = copy.ts_recent,
                                   .ts_last = copy.ts_last,
                                   .expiry = copy.expiry & TW_FLAGS & ~TW_DEAD},
                  &tuple, rx->now);
        return;
    }
    /* Whatever else asks for an answer gets the ACK: text, SYN, a sequence number that does not fit. A
     * fitting pure ACK gets none, or two TIME-WAITs would talk for ever. */
    if (rx->bytes || rx->flags & TCP_SYN || rx->seg.seq != r->rcv_nxt)
        tw_acknowledge(tcp, r, rx->now);
}

const char *tcp_timewait_check(const struct tcp *tcp)
{
    uint32_t live = 0;
    for (uint32_t i = 0; i < tcp->tw.used; i++)
        live += !(tw_at(tcp, i)->expiry & TW_DEAD);
    if (live != tcp->tw.live)
        return "time-wait: live count";
    if (tcp->tw.used && !timer_armed(&tcp->tw.timer))
        return "time-wait: no timer";
    return NULL;
}
