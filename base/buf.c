/* SPDX-License-Identifier: BSD-3-Clause
 * The slow halves of the packet buffer: refill and drain of a worker's cache, the end of a chain, and
 * the copy of a chain into one frame. Called through base/buf.h by everybody who holds a buffer. Must
 * not know where the frames lie: that is the pool's two functions'.
 */
#include "base/buf.h"

void buf_pool_init(struct buf_pool *pool,
                   unsigned (*refill)(struct buf_pool *, struct buf *[], unsigned),
                   void (*drain)(struct buf_pool *, struct buf *[], unsigned), void *arg)
{
    tg_assert(refill && drain);
    pool->refill = refill;
    pool->drain = drain;
    pool->arg = arg;
    pool->cached = 0;
    pool->in_use = 0;
    pool->exhausted = 0;
    pool->available = NULL;
    pool->total = 0;
}

struct buf *buf_alloc_slow(struct buf_pool *pool)
{
    tg_assert(pool->cached == 0);
    unsigned got = pool->refill(pool, pool->cache, TG_ARRAY_LEN(pool->cache) / 2);
    tg_assert(got <= TG_ARRAY_LEN(pool->cache) / 2);
    if (got == 0) {
        pool->exhausted++;
        return NULL;
    }
    for (unsigned i = 0; i < got; i++)
        pool->cache[i]->refs = 0; /* whoever rests in the cache has no holder, as drain expects */
    pool->cached = got - 1;
    pool->in_use++;
    struct buf *b = pool->cache[got - 1];
    buf_reset(b);
    return b;
}

/* Frames of one store may rest in the cache of whichever worker frees them; a frame of another store
 * goes home at once, so that a cache never lends out what is not its own. */
static bool buf_pool_shares_home(const struct buf_pool *pool, const struct buf_pool *home)
{
    return home == pool || (home->drain == pool->drain && home->arg == pool->arg);
}

static void buf_give_back(struct buf_pool *pool, struct buf *b)
{
    if (b->external) {
        const struct buf_external *external = b->external;
        b->external = NULL;
        external->release(external->arg, b->data);
    }
    pool->in_use--; /* may wrap when another worker took it: only the sum over workers counts */
    if ((b->flags & BUF_PORT_HOLDS) || !buf_pool_shares_home(pool, b->pool)) {
        b->pool->drain(b->pool, &b, 1);
        return;
    }
    if (pool->cached == TG_ARRAY_LEN(pool->cache)) {
        /* The older half goes, the half that is warm in the CPU's cache stays. */
        unsigned half = TG_ARRAY_LEN(pool->cache) / 2;
        pool->drain(pool, pool->cache, half);
        memmove(pool->cache, pool->cache + half, half * sizeof pool->cache[0]);
        pool->cached = half;
    }
    pool->cache[pool->cached++] = b;
}

/* Each piece goes its own way: others hold most of them, and must not find them chained. */
static void buf_untie(struct buf_pool *pool, struct buf *b)
{
    for (struct buf *piece = b->next, *next; piece; piece = next) {
        next = piece->next;
        piece->next = NULL;
        buf_unref(pool, piece);
    }
    b->next = NULL;
    b->segments = 0;
}

void buf_free(struct buf_pool *pool, struct buf *b)
{
    tg_assert(b->refs == 0);
    if (TG_UNLIKELY(b->segments))
        buf_untie(pool, b);
    for (;;) {
        struct buf *next = b->next;
        b->next = NULL;
        buf_give_back(pool, b);
        if (!next)
            return;
        tg_assert(next->refs > 0);
        if (--next->refs)
            return; /* somebody holds the rest of the chain by itself */
        b = next;
    }
}

void buf_pool_flush(struct buf_pool *pool)
{
    if (pool->cached)
        pool->drain(pool, pool->cache, pool->cached);
    pool->cached = 0;
}

struct buf *buf_linearise(struct buf_pool *pool, const struct buf *b)
{
    if (b->segments || buf_chain_len(b) > BUF_ROOM)
        return NULL;
    struct buf *copy = buf_alloc(pool);
    if (!copy)
        return NULL;
    for (const struct buf *piece = b; piece; piece = piece->next)
        if (piece->len) /* an empty piece may have no bytes at all */
            memcpy(buf_put(copy, piece->len), piece->data, piece->len);
    copy->flags = b->flags;
    copy->l3 = b->l3;
    copy->l4 = b->l4;
    copy->payload = b->payload;
    copy->l4_len = b->l4_len;
    copy->ip_version = b->ip_version;
    copy->ip_proto = b->ip_proto;
    copy->worker = b->worker;
    copy->verdict = b->verdict;
    copy->reason = b->reason;
    copy->port = b->port;
    copy->rx_ns = b->rx_ns;
    copy->rx_hash = b->rx_hash;
    copy->flow = b->flow;
    copy->seq = b->seq;
    copy->seq_end = b->seq_end;
    copy->tx_ns = b->tx_ns;
    copy->tx_delivered = b->tx_delivered;
    copy->path = b->path;
    return copy;
}
