/* SPDX-License-Identifier: BSD-3-Clause
 * Pools of equal objects: one array, one array of links, last given first taken. Called by the worker
 * that owns the pool; knows nothing of what the objects are.
 */
#include "base/pool.h"
#include "base/pages.h"
#include <stdlib.h>
#include <string.h>

static uint32_t pool_round(uint32_t object_bytes)
{
    uint32_t unit = object_bytes >= TG_CACHE_LINE ? TG_CACHE_LINE : 8;
    return (object_bytes + unit - 1) / unit * unit;
}

enum tg_err pool_init(struct pool *pool, uint32_t count, uint32_t object_bytes)
{
    tg_assert(object_bytes > 0 && object_bytes <= UINT32_MAX - TG_CACHE_LINE);
    tg_assert(count < POOL_TAKEN);
    memset(pool, 0, sizeof *pool);
    pool->object_bytes = pool_round(object_bytes);
    pool->free_first = POOL_NONE;
    size_t bytes = (size_t)count * pool->object_bytes;
    if (count == 0)
        return TG_OK;
    pool->objects = pages_create(bytes);
    pool->free_next = pages_create(count * sizeof pool->free_next[0]);
    if (!pool->objects || !pool->free_next) {
        pool_free(pool);
        return TG_NO_MEMORY;
    }
    for (uint32_t i = 0; i < count; i++)
        pool->free_next[i] = i + 1 < count ? i + 1 : POOL_NONE;
    pool->free_first = 0;
    pool->count = count;
    return TG_OK;
}

void pool_free(struct pool *pool)
{
    free(pool->objects);
    free(pool->free_next);
    memset(pool, 0, sizeof *pool);
}

void *pool_take(struct pool *pool)
{
    uint32_t index = pool->free_first;
    if (pool->in_use == pool->count) {
        pool->exhausted++;
        return NULL;
    }
    tg_assert(index < pool->count);
    pool->free_first = pool->free_next[index];
    pool->free_next[index] = POOL_TAKEN;
    pool->in_use++;
    if (pool->in_use > pool->in_use_max)
        pool->in_use_max = pool->in_use;
    return pool_at(pool, index);
}

void pool_give(struct pool *pool, void *object)
{
    uint32_t index = pool_index(pool, object);
    tg_assert(pool_is_taken(pool, index));
    tg_assert(pool_at(pool, index) == object);
    pool->free_next[index] = pool->free_first;
    pool->free_first = index;
    pool->in_use--;
}
