/* SPDX-License-Identifier: BSD-3-Clause
 * For tests: two whole stacks over a toy link under one clock, each with a user that sends a stream,
 * checks what it receives and closes. The link delays, and drops or reorders as a seed says.
 */
#ifndef DATAPLANE_TCP_PAIR_H
#define DATAPLANE_TCP_PAIR_H

#include "tcp/tcp_test_port.h"

#define PAIR_FLYING 8192

struct pair_user {
    tcp_handle h;
    uint32_t to_send, sent, to_receive, received;
    uint32_t read_max; /* bytes a turn; 0: all */
    bool shut, peer_fin, closed, stop_reading;
    bool forward;     /* by tcp_take + tcp_send_buf back to where they came from (echo) */
    struct buf *held; /* taken, not yet accepted by tcp_send_buf */
    uint16_t error;
};

struct pair_frame {
    tg_ns at;
    uint8_t to;
    uint16_t len;
    uint8_t bytes[1600];
};

struct pair {
    struct node node[2]; /* 0: client, 1: server */
    struct pair_user user[2];
    struct prng prng;
    tg_ns now, delay, jitter;
    tg_ns byte_time;          /* of the link, ns; 0: any number at once */
    tg_ns free_at[2];         /* when the link in a direction has sent what it has */
    uint32_t queue_max;       /* bytes that may wait for the link; 0: any number */
    uint64_t overflows, lost; /* frames that did not arrive: queue, chance */
    unsigned loss_permille, duplicate_permille;
    unsigned late_permille; /* of the frames come late_by later than the others */
    tg_ns late_by;
    bool cut;                               /* nothing passes */
    struct pair_frame *flying[PAIR_FLYING]; /* `count` in order of sending, then unused ones */
    unsigned count;
    uint64_t frames, data_frames;
    uint64_t turns, check_every; /* tcp_check each so many turns; 0: each */
};

static inline struct pair *pair_new(const struct tcp_config *client,
                                    const struct tcp_config *server, uint64_t seed)
{
    struct pair *p = aligned_alloc(TG_CACHE_LINE, sizeof *p);
    memset(p, 0, sizeof *p);
    node_init(&p->node[0], client, 1);
    node_init(&p->node[1], server, 2);
    prng_seed(&p->prng, seed);
    p->now = TEST_START;
    p->delay = 5 * TG_MS;
    assert_int_equal(tcp_listen(p->node[1].tcp, 80, 1), TG_OK);
    return p;
}

static inline void pair_end(struct pair *p)
{
    for (unsigned i = 0; i < 2; i++) {
        buf_unref(&p->node[i].pool.pool, p->user[i].held);
        node_end(&p->node[i]);
    }
    for (unsigned i = 0; i < PAIR_FLYING; i++)
        free(p->flying[i]);
    free(p);
}

/* --- link ------------------------------------------------------------------------------------------------- */

static inline bool pair_chance(struct pair *p, unsigned permille)
{
    return permille && prng_below(&p->prng, 1000) < permille;
}

static inline bool pair_is_tcp(const uint8_t *frame)
{
    uint16_t type = wire_get16(frame + 12);
    return (type == ETHERTYPE_IP4 && frame[ETH_BYTES + 9] == IP_PROTO_TCP) ||
           (type == ETHERTYPE_IP6 && frame[ETH_BYTES + 6] == IP_PROTO_TCP);
}

static inline void pair_fly(struct pair *p, unsigned to, const uint8_t *frame, size_t len)
{
    bool tcp = pair_is_tcp(frame);
    p->frames++;
    if (p->cut || (tcp && pair_chance(p, p->loss_permille))) {
        p->lost++;
        return;
    }
    tg_ns start = p->free_at[to] > p->now ? p->free_at[to] : p->now;
    if (p->queue_max && start - p->now > p->queue_max * p->byte_time) {
        p->overflows++;
        return;
    }
    p->free_at[to] = start + len * p->byte_time;
    assert_true(p->count < PAIR_FLYING);
    struct pair_frame *f = p->flying[p->count];
    if (!f)
        f = p->flying[p->count] = malloc(sizeof *f);
    p->count++;
    f->at = p->free_at[to] + p->delay + (p->jitter && tcp ? prng_below(&p->prng, p->jitter) : 0);
    if (tcp && pair_chance(p, p->late_permille))
        f->at += p->late_by;
    f->to = (uint8_t)to;
    f->len = (uint16_t)len;
    memcpy(f->bytes, frame, len);
}

struct pair_from {
    struct pair *pair;
    unsigned from;
};

static inline void pair_wire(void *arg, const uint8_t *frame, size_t len)
{
    struct pair_from *at = arg;
    pair_fly(at->pair, !at->from, frame, len);
    if (pair_chance(at->pair, at->pair->duplicate_permille))
        pair_fly(at->pair, !at->from, frame, len);
}

static inline void pair_collect(struct pair *p, unsigned from)
{
    struct node *node = &p->node[from];
    struct pair_from at = {p, from};
    struct buf *b;
    while (net_take(node->net, &b, 1))
        node_port_send(node, b, pair_wire, &at);
}

static inline void pair_deliver(struct pair *p)
{
    for (unsigned i = 0; i < p->count;) { /* in order of sending among those that are due */
        struct pair_frame *f = p->flying[i];
        if (f->at > p->now) {
            i++;
            continue;
        }
        struct node *node = &p->node[f->to];
        struct buf *b = buf_alloc(&node->pool.pool);
        if (b) { /* else lost: a port without descriptors */
            memcpy(buf_put(b, f->len), f->bytes, f->len);
            assert_int_equal(node_take(node, b), TG_C_none);
        }
        p->count--;
        memmove(&p->flying[i], &p->flying[i + 1], (p->count - i) * sizeof(void *));
        p->flying[p->count] = f;
    }
}

/* --- users ------------------------------------------------------------------------------------------------ */

static inline void pair_events(struct pair *p, unsigned side)
{
    struct tcp_event e;
    struct pair_user *u = &p->user[side];
    while (tcp_events(p->node[side].tcp, &e, 1)) {
        if (e.bits & TCP_EV_ACCEPTED) {
            assert_int_equal(u->h, TCP_NONE);
            u->h = e.handle;
        }
        assert_true(e.handle == u->h);
        u->peer_fin |= (e.bits & TCP_EV_PEER_FIN) != 0;
        if (e.bits & TCP_EV_CLOSED) {
            u->closed = true;
            u->error = e.error;
        }
    }
}

static inline void pair_read(struct pair *p, unsigned side)
{
    struct pair_user *u = &p->user[side];
    struct tcp *tcp = p->node[side].tcp;
    struct span spans[8];
    uint32_t budget = u->read_max ? u->read_max : UINT32_MAX;
    while (budget && !u->stop_reading) {
        unsigned n = tcp_peek(tcp, u->h, spans, 1);
        if (n == 0)
            return;
        uint32_t take = u32_min(budget, (uint32_t)spans[0].len);
        stream_verify(spans[0].data, u->received, take);
        u->received += take;
        tcp_consume(tcp, u->h, take);
        budget -= take;
    }
}

/* Echo by whole frames, as a proxy forwards. */
static inline void pair_forward(struct pair *p, unsigned side)
{
    struct pair_user *u = &p->user[side];
    struct tcp *tcp = p->node[side].tcp;
    struct tcp_info info;
    while (tcp_get_info(tcp, u->h, &info) == TG_OK) {
        if (!u->held)
            u->held = tcp_take(tcp, u->h, info.mss);
        if (!u->held)
            return;
        uint32_t len = u->held->len;
        stream_verify(u->held->data, u->sent, len);
        if (tcp_send_buf(tcp, u->h, u->held) != TG_OK)
            return;
        u->held = NULL;
        u->received += len;
        u->sent += len;
    }
}

static inline void pair_write(struct pair *p, unsigned side)
{
    struct pair_user *u = &p->user[side];
    struct tcp *tcp = p->node[side].tcp;
    uint8_t bytes[5000];
    while (u->sent < u->to_send) {
        uint32_t n =
            u32_min(u->to_send - u->sent, 1 + (uint32_t)prng_below(&p->prng, sizeof bytes));
        stream_fill(bytes, u->sent, n);
        size_t taken = tcp_write(tcp, u->h, span_make(bytes, n));
        u->sent += (uint32_t)taken;
        if (taken < n)
            return;
    }
    if (u->sent == u->to_send && !u->shut) {
        tcp_shutdown(tcp, u->h);
        u->shut = true;
    }
}

static inline void pair_user_turn(struct pair *p, unsigned side)
{
    struct pair_user *u = &p->user[side];
    pair_events(p, side);
    uint8_t state = node_state(&p->node[side], u->h);
    if (u->h == TCP_NONE || u->closed || state == TCP_S_SYN_SENT)
        return;
    if (u->forward) {
        pair_forward(p, side);
        if (tcp_at_end(p->node[side].tcp, u->h) && !u->held && !u->shut) {
            tcp_shutdown(p->node[side].tcp, u->h);
            u->shut = true;
        }
    } else {
        pair_read(p, side);
        pair_write(p, side);
    }
    pair_events(p, side);
}

/* --- time ------------------------------------------------------------------------------------------------- */

static inline tg_ns pair_next(const struct pair *p)
{
    tg_ns next = UINT64_MAX;
    for (unsigned i = 0; i < p->count; i++)
        next = p->flying[i]->at < next ? p->flying[i]->at : next;
    for (unsigned i = 0; i < 2; i++) {
        if (timers_next(&p->node[i].wheel) < next)
            next = timers_next(&p->node[i].wheel);
        bool reads = p->user[i].read_max && tcp_unread(p->node[i].tcp, p->user[i].h);
        if (reads && p->now + TG_MS < next) /* a slow reader has its own clock */
            next = p->now + TG_MS;
    }
    return next;
}

static inline void pair_turn(struct pair *p)
{
    for (unsigned i = 0; i < 2; i++)
        p->node[i].now = p->now;
    pair_deliver(p);
    for (unsigned i = 0; i < 2; i++) {
        timers_run(&p->node[i].wheel, p->now, UINT32_MAX);
        net_tick(p->node[i].net, p->now);
        pair_user_turn(p, i);
        while (tcp_output(p->node[i].tcp, p->now))
            pair_collect(p, i);
        pair_collect(p, i);
        if (p->check_every == 0 || p->turns % p->check_every == 0)
            node_check(&p->node[i]);
    }
    p->turns++;
}

/* Run until nothing is left to happen or `for_ns` have passed. */
static inline void pair_run(struct pair *p, tg_ns for_ns)
{
    tg_ns end = p->now + for_ns;
    for (;;) {
        pair_turn(p);
        tg_ns next = pair_next(p);
        if (next > end)
            break;
        p->now = next > p->now ? next : p->now + TG_MS;
    }
    p->now = end;
    pair_turn(p);
}

static inline void pair_connect(struct pair *p, bool ip6)
{
    const struct node *server = &p->node[1];
    p->node[0].now = p->now;
    assert_int_equal(tcp_connect(p->node[0].tcp, NULL, ip6 ? &server->address6 : &server->address4,
                                 80, 0, 0, p->now, &p->user[0].h),
                     TG_OK);
}

/* Both streams have arrived whole, both ends know that it is over. */
static inline void pair_expect_done(const struct pair *p)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct pair_user *u = &p->user[i], *o = &p->user[!i];
        assert_int_equal(u->received, o->sent);
        assert_true(u->peer_fin);
        assert_true(u->closed);
        assert_int_equal(u->error, TG_END);
        assert_int_equal(tcp_connection_count(p->node[i].tcp), 0);
    }
}

/* 100,000 bytes one way, 300,000 the other, over a line as bad as it is; what is left after ten minutes comes without
 * loss. */
static inline void pair_exchange_and_end(struct pair *p)
{
    p->user[0].to_send = 100000;
    p->user[1].to_send = 300000;
    pair_run(p, 600 * TG_S);
    p->loss_permille = 0;
    pair_run(p, 300 * TG_S);
    pair_expect_done(p);
    pair_end(p);
}

#endif
