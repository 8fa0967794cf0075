/* SPDX-License-Identifier: BSD-3-Clause
 * For the fuzz targets of the TCP stack: a buffer pool that never meets the heap after its first use. A frame
 * that is not out is poisoned, and so is the wall behind each, so that ASan sees what it would see with a heap
 * block per frame, at a tenth of the cost. Frames go round first in, first out: one that was given back
 * rests for as long as it can.
 */
#ifndef TESTS_FUZZ_POOL_H
#define TESTS_FUZZ_POOL_H

#include "base/buf.h"
#include <string.h>

#define FUZZ_FRAMES 512u
#define FUZZ_WALL   64

/* Of the sanitizer's run time, which every fuzz target is linked with (clang's sanitizer/asan_interface.h). */
void __asan_poison_memory_region(const volatile void *at, size_t bytes);
void __asan_unpoison_memory_region(const volatile void *at, size_t bytes);

struct fuzz_frame {
    struct buf b;
    uint8_t bytes[BUF_HEADROOM + BUF_ROOM];
    uint8_t wall[FUZZ_WALL];
};
static_assert((FUZZ_FRAMES & (FUZZ_FRAMES - 1)) == 0, "indices wrap by a mask");

struct fuzz_pool {
    struct buf_pool pool; /* give &pool to whatever is tested */
    struct buf_pool home; /* of the buffers: another one, so that frees go through at once */
    unsigned outstanding;
    unsigned total; /* frames, which the pool's user may ask for; 0: FUZZ_FRAMES, and it may not */
    unsigned limit; /* buf_alloc answers NULL when so many are out: fault injection */
    uint32_t first, end; /* of ring[], free running */
    uint16_t ring[FUZZ_FRAMES];
    struct fuzz_frame frames[FUZZ_FRAMES];
};

static inline unsigned fuzz_pool_refill(struct buf_pool *pool, struct buf *out[], unsigned n)
{
    struct fuzz_pool *p = pool->arg;
    if (n == 0 || p->outstanding >= p->limit || p->first == p->end ||
        (p->total && p->outstanding >= p->total))
        return 0;
    struct fuzz_frame *f = &p->frames[p->ring[p->first++ % FUZZ_FRAMES]];
    __asan_unpoison_memory_region(f, offsetof(struct fuzz_frame, wall));
    memset(f, 0, sizeof f->b);
    memset(f->bytes, 0xA5, sizeof f->bytes); /* the same for every run of an input */
    f->b.cap = sizeof f->bytes;
    f->b.head = f->bytes;
    f->b.pool = &p->home;
    buf_reset(&f->b);
    out[0] = &f->b;
    p->outstanding++;
    return 1;
}

static inline void fuzz_pool_drain(struct buf_pool *pool, struct buf *bufs[], unsigned n)
{
    struct fuzz_pool *p = pool->arg;
    for (unsigned i = 0; i < n; i++) {
        struct fuzz_frame *f = (struct fuzz_frame *)(void *)bufs[i];
        tg_assert(bufs[i]->refs == 0 && p->outstanding > 0);
        __asan_poison_memory_region(f, offsetof(struct fuzz_frame, wall));
        p->ring[p->end++ % FUZZ_FRAMES] = (uint16_t)(f - p->frames);
        p->outstanding--;
    }
}

/* Another function is another store: its frames never rest in the cache of `pool`. */
static inline void fuzz_pool_drain_home(struct buf_pool *pool, struct buf *bufs[], unsigned n)
{
    fuzz_pool_drain(pool, bufs, n);
}

static inline uint32_t fuzz_pool_available(const struct buf_pool *pool)
{
    const struct fuzz_pool *p = pool->arg;
    unsigned most = p->limit < p->total ? p->limit : p->total;
    return p->outstanding < most ? most - p->outstanding : 0;
}

/* So many frames can be had now. */
static inline bool fuzz_pool_has(const struct fuzz_pool *p, unsigned n)
{
    unsigned most = p->total && p->total < p->limit ? p->total : p->limit;
    return most >= p->outstanding + n && p->end - p->first >= n;
}

/* All frames are at home, in their first order: an input's run never depends on the one before. The frames of a new
 * pool must have been zeroed. */
static inline void fuzz_pool_reset(struct fuzz_pool *p)
{
    tg_assert(p->outstanding == 0);
    buf_pool_init(&p->pool, fuzz_pool_refill, fuzz_pool_drain, p);
    buf_pool_init(&p->home, fuzz_pool_refill, fuzz_pool_drain_home, p);
    p->pool.total = p->total;
    p->pool.available = p->total ? fuzz_pool_available : NULL;
    p->limit = UINT32_MAX;
    p->first = 0;
    p->end = FUZZ_FRAMES;
    for (unsigned i = 0; i < FUZZ_FRAMES; i++)
        p->ring[i] = (uint16_t)i;
}

static inline void fuzz_pool_init(struct fuzz_pool *p, unsigned total)
{
    tg_assert(total <= FUZZ_FRAMES);
    p->total = total;
    p->outstanding = 0;
    fuzz_pool_reset(p);
    __asan_poison_memory_region(p->frames, sizeof p->frames);
}

#endif
