/* SPDX-License-Identifier: BSD-3-Clause
 * Pools of equal objects, filled at start; no malloc later. One worker owns a pool. Objects are named
 * by a 32-bit index (index order is the order of creation, never of pointers, so runs repeat).
 * Floor 0.
 */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include "base/result.h"
#include "base/types.h"

#define POOL_NONE  UINT32_MAX
#define POOL_TAKEN (UINT32_MAX - 1) /* in free_next[]: not on the free list */

struct pool {
    uint8_t *objects;    /* cache-line aligned */
    uint32_t *free_next; /* free list, and a "taken" mark: double frees assert */
    uint32_t free_first;
    uint32_t object_bytes; /* rounded up to 8 */
    uint32_t count, in_use, in_use_max;
    uint64_t exhausted; /* times pool_take found nothing */
};

/* Allocate `count` zeroed objects of `object_bytes` (aligned to the cache line when >= 64). Only at
 * start. TG_NO_MEMORY leaves *pool zeroed. */
enum tg_err pool_init(struct pool *pool, uint32_t count, uint32_t object_bytes);
void pool_free(struct pool *pool);

/* An object with the content its last user left; NULL when all are taken (counted). */
void *pool_take(struct pool *pool);
/* Give it back; asserts that it is taken and belongs here. */
void pool_give(struct pool *pool, void *object);

static inline void *pool_at(const struct pool *pool, uint32_t index)
{
    return pool->objects + (size_t)index * pool->object_bytes;
}

static inline uint32_t pool_index(const struct pool *pool, const void *object)
{
    return (uint32_t)((size_t)((const uint8_t *)object - pool->objects) / pool->object_bytes);
}

/* True while the index names an object that is taken. */
static inline bool pool_is_taken(const struct pool *pool, uint32_t index)
{
    return index < pool->count && pool->free_next[index] == POOL_TAKEN;
}

#endif
