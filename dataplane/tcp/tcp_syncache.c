/* SPDX-License-Identifier: BSD-3-Clause
 * See tcp_syncache.h.
 */
#include "tcp/tcp_syncache.h"
#include <stdlib.h>
#include <string.h>

enum tg_err tcp_syncache_init(struct tcp_syncache *cache, uint32_t most, const uint64_t secret[2])
{
    memset(cache, 0, sizeof *cache);
    uint32_t buckets = most / TCP_SYN_WAYS + (most % TCP_SYN_WAYS != 0);
    cache->buckets = buckets ? buckets : 1;
    cache->multiplier = secret[0] | 1;
    cache->addend = secret[1];
    cache->earliest = UINT64_MAX;
    size_t bytes = (size_t)tcp_syncache_size(cache) * sizeof cache->entries[0];
    cache->entries = aligned_alloc(TG_CACHE_LINE, bytes);
    if (!cache->entries)
        return TG_NO_MEMORY;
    memset(cache->entries, 0, bytes);
    return TG_OK;
}

void tcp_syncache_free(struct tcp_syncache *cache)
{
    free(cache->entries);
    cache->entries = NULL;
    cache->buckets = cache->live = 0;
}

#define CHOICES 2u
#define GOLDEN                                                                                     \
    0x9e3779b97f4a7c15u /* 2^64 / golden ratio: the second choice from the first's product */

/* Multiply-shift (Dietzfelbinger 1996) spreads 32-bit keys so that two share a bucket by chance only; the
 * high half of the product then scales to any number of buckets. */
static void buckets_of(const struct tcp_syncache *cache, uint32_t hash,
                       struct tcp_syn_entry *out[CHOICES])
{
    uint64_t mixed = hash * cache->multiplier + cache->addend;
    for (unsigned i = 0; i < CHOICES; i++, mixed *= GOLDEN)
        out[i] = &cache->entries[((mixed >> 32) * cache->buckets >> 32) * TCP_SYN_WAYS];
}

void tcp_syncache_prefetch(const struct tcp_syncache *cache, uint32_t hash)
{
    struct tcp_syn_entry *buckets[CHOICES];
    buckets_of(cache, hash, buckets);
    for (unsigned i = 0; i < CHOICES * TCP_SYN_WAYS; i++)
        __builtin_prefetch(&buckets[i / TCP_SYN_WAYS][i % TCP_SYN_WAYS]);
}

static uint32_t entry_number(const struct tcp_syncache *cache, const struct tcp_syn_entry *entry)
{
    return (uint32_t)(entry - cache->entries);
}

static bool entry_is(const struct tcp_syn_entry *entry, const struct ip_tuple *tuple)
{
    return entry->flags && memcmp(&entry->tuple, tuple, sizeof *tuple) == 0;
}

uint32_t tcp_syncache_find(const struct tcp_syncache *cache, const struct ip_tuple *tuple,
                           uint32_t hash)
{
    if (cache->live == 0)
        return TCP_SYN_NONE;
    struct tcp_syn_entry *buckets[CHOICES];
    buckets_of(cache, hash, buckets);
    for (unsigned i = 0; i < CHOICES * TCP_SYN_WAYS; i++) {
        const struct tcp_syn_entry *e = &buckets[i / TCP_SYN_WAYS][i % TCP_SYN_WAYS];
        if (entry_is(e, tuple))
            return entry_number(cache, e);
    }
    return TCP_SYN_NONE;
}

/* The last free place of a bucket; *free_places counts them. */
static struct tcp_syn_entry *bucket_place(struct tcp_syn_entry *bucket, unsigned *free_places)
{
    struct tcp_syn_entry *place = NULL;
    *free_places = 0;
    for (unsigned way = 0; way < TCP_SYN_WAYS; way++) {
        if (bucket[way].flags)
            continue;
        place = &bucket[way];
        ++*free_places;
    }
    return place;
}

struct tcp_syn_entry *tcp_syncache_insert(struct tcp_syncache *cache, const struct ip_tuple *tuple,
                                          uint32_t hash)
{
    struct tcp_syn_entry *buckets[CHOICES];
    unsigned free_places[CHOICES];
    buckets_of(cache, hash, buckets);
    struct tcp_syn_entry *place = bucket_place(buckets[0], &free_places[0]);
    struct tcp_syn_entry *second = bucket_place(buckets[1], &free_places[1]);
    if (free_places[1] > free_places[0])
        place = second;
    if (!place)
        return NULL;
    *place = (struct tcp_syn_entry){.tuple = *tuple, .flags = TCP_SYN_USED};
    cache->live++;
    return place;
}

void tcp_syncache_remove(struct tcp_syncache *cache, struct tcp_syn_entry *entry)
{
    tg_assert(entry->flags & TCP_SYN_USED && cache->live > 0);
    entry->flags = 0;
    cache->live--;
}

tg_ns tcp_syn_due(const struct tcp_syn_entry *entry, tg_ns rto, tg_ns rto_max)
{
    tg_ns age = 0;
    for (unsigned sent = 0; sent <= entry->retries; sent++) {
        age += rto < rto_max ? rto : rto_max;
        rto *= 2;
    }
    return age;
}

const char *tcp_syncache_check(const struct tcp_syncache *cache, const struct toeplitz *toeplitz,
                               tcp_syn_judge *judge, const void *arg)
{
    uint32_t live = 0;
    for (uint32_t i = 0; i < tcp_syncache_size(cache); i++) {
        const struct tcp_syn_entry *entry = &cache->entries[i];
        if (!entry->flags)
            continue;
        live++;
        if (!(entry->flags & TCP_SYN_USED))
            return "syn cache: flags of a free entry";
        uint32_t hash = wire_tuple_hash(toeplitz, &entry->tuple);
        if (tcp_syncache_find(cache, &entry->tuple, hash) != i)
            return "syn cache: entry twice, or in another bucket";
        const char *wrong = judge ? judge(arg, entry, i, hash) : NULL;
        if (wrong)
            return wrong;
    }
    return live == cache->live ? NULL : "syn cache: live count";
}
