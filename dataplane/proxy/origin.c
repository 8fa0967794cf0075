/* SPDX-License-Identifier: BSD-3-Clause
 * Connections to origins: one pool per address and port, the last used idle connection first (the
 * rest can grow old and go), new ones up to the origin's limit. Called by request, response and,
 * with events, by proxy. Floor 3.
 */
#include "proxy/parts.h"

#define EVICT_PROBES 64 /* idle connections looked for when all are taken */

/* --- pools ------------------------------------------------------------------------------------ */

static unsigned bucket_of(const struct proxy *p, const uint8_t address[16], uint16_t port,
                          uint64_t tls)
{
    uint8_t key[26];
    memcpy(key, address, 16);
    key[16] = (uint8_t)(port >> 8);
    key[17] = (uint8_t)port;
    memcpy(key + 18, &tls, sizeof tls);
    return hash_sip13(p->hash_key, span_make(key, sizeof key)) % ORIGIN_BUCKETS;
}

static struct origin_pool *pool_of(struct proxy *p, const struct origin_target *t)
{
    unsigned bucket = bucket_of(p, t->address, t->port, t->tls);
    struct origin_pool *pool = p->origin_buckets[bucket];
    for (; pool; pool = pool->next)
        if (memcmp(pool->address, t->address, 16) == 0 && pool->port == t->port &&
            pool->tls == t->tls)
            return pool;
    pool = pool_take(&p->origin_pools);
    if (!pool)
        return NULL;
    *pool = (struct origin_pool){.next = p->origin_buckets[bucket], .port = t->port, .tls = t->tls};
    memcpy(pool->address, t->address, 16);
    p->origin_buckets[bucket] = pool;
    return pool;
}

/* A pool without connections goes: what it knew stands in the tables. */
static void pool_release(struct proxy *p, struct origin_pool *pool)
{
    if (pool->connections > 0)
        return;
    struct origin_pool **at =
        &p->origin_buckets[bucket_of(p, pool->address, pool->port, pool->tls)];
    while (*at != pool)
        at = &(*at)->next;
    *at = pool->next;
    pool_give(&p->origin_pools, pool);
}

static void idle_push(struct proxy *p, struct origin_conn *o)
{
    o->idle_prev = NULL;
    o->idle_next = o->pool->idle;
    if (o->idle_next)
        o->idle_next->idle_prev = o;
    o->pool->idle = o;
    o->state = ORIGIN_IDLE;
    p->origins_idle++;
}

static void idle_remove(struct proxy *p, struct origin_conn *o)
{
    if (o->idle_prev)
        o->idle_prev->idle_next = o->idle_next;
    else
        o->pool->idle = o->idle_next;
    if (o->idle_next)
        o->idle_next->idle_prev = o->idle_prev;
    o->state = ORIGIN_BUSY;
    p->origins_idle--;
}

/* --- life of a connection --------------------------------------------------------------------- */

void origin_free(struct proxy *p, struct origin_conn *o)
{
    struct origin_pool *pool = o->pool;
    if (o->state == ORIGIN_IDLE)
        idle_remove(p, o);
    if (o->request)
        o->request->origin = NULL;
    stream_abort(p, &o->stream);
    timer_cancel(p->wheel, &o->deadline.timer);
    pool_give(&p->origins, o);
    pool->connections--;
    pool_release(p, pool);
}

static void origin_fire(struct timer *timer, void *arg, tg_ns now)
{
    struct proxy *p = arg;
    struct origin_conn *o = tg_container_of(timer, struct origin_conn, deadline.timer);
    if (!deadline_passed(p, &o->deadline, now) || o->state != ORIGIN_IDLE)
        return;
    stream_close(p, &o->stream);
    origin_free(p, o);
}

/* All objects are taken: an idle connection of whichever origin makes room. */
static struct origin_conn *origin_evict(struct proxy *p)
{
    for (unsigned i = 0; i < EVICT_PROBES && i < p->origins.count; i++) {
        p->evict_next = (p->evict_next + 1) % p->origins.count;
        struct origin_conn *o = pool_at(&p->origins, p->evict_next);
        if (pool_is_taken(&p->origins, p->evict_next) && o->state == ORIGIN_IDLE) {
            stream_close(p, &o->stream);
            origin_free(p, o);
            return pool_take(&p->origins);
        }
    }
    return NULL;
}

static enum tg_err origin_open(struct proxy *p, struct request *r, struct origin_pool *pool)
{
    struct origin_conn *o = pool_take(&p->origins);
    if (!o)
        o = origin_evict(p);
    if (!o)
        return TG_FULL;
    struct ip_addr remote;
    memcpy(remote.bytes, r->target.address, sizeof remote.bytes);
    memset(o, 0, sizeof *o);
    o->pool = pool;
    o->state = ORIGIN_CONNECTING;
    timer_init(&o->deadline.timer, origin_fire, p);
    enum tg_err err = tcp_connect(p->tcp, NULL, &remote, r->target.port, r->target.connect_timeout,
                                  proxy_user(PROXY_USER_ORIGIN, pool_index(&p->origins, o)), p->now,
                                  &o->stream.tcp);
    if (err != TG_OK) {
        pool_give(&p->origins, o);
        return err;
    }
    pool->connections++;
    o->request = r;
    r->origin = o;
    return TG_OK;
}

enum tg_err origin_acquire(struct proxy *p, struct request *r, bool fresh)
{
    struct origin_pool *pool = pool_of(p, &r->target);
    if (!pool)
        return TG_FULL;
    struct origin_conn *o = pool->idle;
    if (o && !fresh) {
        idle_remove(p, o);
        deadline_set(p, &o->deadline, 0);
        o->reused = true;
        o->request = r;
        r->origin = o;
        stats_count(p->stats, TG_C_origin_reused);
        return TG_OK;
    }
    enum tg_err err = TG_FULL;
    pool->connections++; /* keeps the pool while a warm one makes room */
    if (o && pool->connections > r->target.connections_max) {
        stream_close(p, &o->stream);
        origin_free(p, o);
    }
    if (pool->connections <= r->target.connections_max)
        err = origin_open(p, r, pool);
    pool->connections--;
    pool_release(p, pool);
    return err;
}

enum tg_err origin_ready(struct proxy *p, struct origin_conn *o)
{
    if (o->stream.error != TG_OK)
        return o->stream.error;
    if (o->state == ORIGIN_CONNECTING)
        return TG_AGAIN;
    if (o->state == ORIGIN_HANDSHAKE) {
        enum tg_err err = stream_handshake(p, &o->stream);
        if (err != TG_OK)
            return err;
        o->state = ORIGIN_BUSY;
    }
    return TG_OK;
}

void origin_keep(struct proxy *p, struct request *r)
{
    struct origin_conn *o = r->origin;
    r->origin = NULL;
    o->request = NULL;
    idle_push(p, o);
    deadline_set(p, &o->deadline, p->now + r->target.idle_timeout);
}

void origin_leave(struct proxy *p, struct request *r)
{
    stream_close(p, &r->origin->stream);
    origin_abort(p, r);
}

void origin_abort(struct proxy *p, struct request *r)
{
    if (r->origin)
        origin_free(p, r->origin);
}

/* --- events ----------------------------------------------------------------------------------- */

static void origin_connected(struct proxy *p, struct origin_conn *o)
{
    stats_count(p->stats, TG_C_origin_connects);
    o->state = ORIGIN_BUSY;
    if (!o->pool->tls)
        return;
    o->state = ORIGIN_HANDSHAKE;
    enum tg_err err = origin_tls_open(p, o);
    if (err != TG_OK && err != TG_AGAIN)
        o->stream.error = err;
    stream_flush(p, &o->stream);
}

void origin_event(struct proxy *p, struct origin_conn *o, const struct tcp_event *event)
{
    if (event->bits & TCP_EV_CLOSED) {
        enum tg_err why = (enum tg_err)event->error;
        o->stream.tcp = TCP_NONE;
        o->stream.error = why == TG_OK || why == TG_END ? TG_RESET : why;
    } else if ((event->bits & TCP_EV_CONNECTED) && o->state == ORIGIN_CONNECTING) {
        origin_connected(p, o);
    }
    if (o->request) {
        run_queue_push(p, o->request->client);
        return;
    }
    /* Idle: it left, or it talks without being asked. Either way it is of no more use. */
    if (event->bits & (TCP_EV_CLOSED | TCP_EV_PEER_FIN | TCP_EV_READABLE)) {
        if (tcp_at_end(p->tcp, o->stream.tcp))
            stream_close(p, &o->stream);
        origin_free(p, o);
    }
}
