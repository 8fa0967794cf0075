/* SPDX-License-Identifier: BSD-3-Clause
 * See tcp_syncache.h.
 */
#include "tcp/tcp_syncache.h"
#include "base/pages.h"
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
    cache->marks = pages_create((size_t)tcp_syncache_size(cache) * sizeof cache->marks[0]);
    cache->entries = pages_create((size_t)tcp_syncache_size(cache) * sizeof cache->entries[0]);
    if (cache->marks && cache->entries)
        return TG_OK;
    tcp_syncache_free(cache);
    return TG_NO_MEMORY;
}

void tcp_syncache_free(struct tcp_syncache *cache)
{
    free(cache->marks);
    free(cache->entries);
    cache->marks = NULL;
    cache->entries = NULL;
    cache->buckets = cache->live = 0;
}

#define CHOICES 2u
#define GOLDEN                                                                                     \
    0x9e3779b97f4a7c15u /* 2^64 / golden ratio: the second choice from the first's product */

/* Where a hash may lie: numbers of the first places of its buckets; and what its mark says. */
struct place {
    uint32_t first[CHOICES];
    uint8_t tag;
};

/* Multiply-shift (Dietzfelbinger 1996) spreads 32-bit keys so that two share a bucket by chance only; the
 * high half of the product then scales to any number of buckets, and the tag is of the low half. */
static struct place place_of(const struct tcp_syncache *cache, uint32_t hash)
{
    uint64_t mixed = hash * cache->multiplier + cache->addend;
    struct place place = {.tag = (uint8_t)((uint32_t)mixed >> 25)};
    for (unsigned i = 0; i < CHOICES; i++, mixed *= GOLDEN)
        place.first[i] = (uint32_t)((mixed >> 32) * cache->buckets >> 32) * TCP_SYN_WAYS;
    return place;
}

void tcp_syncache_prefetch(const struct tcp_syncache *cache, uint32_t hash)
{
    struct place place = place_of(cache, hash);
    for (unsigned i = 0; i < CHOICES; i++)
        tg_prefetch(&cache->marks[place.first[i]]);
}

uint32_t tcp_syncache_find(const struct tcp_syncache *cache, const struct ip_tuple *tuple,
                           uint32_t hash)
{
    if (cache->live == 0)
        return TCP_SYN_NONE;
    struct place place = place_of(cache, hash);
    for (unsigned i = 0; i < CHOICES * TCP_SYN_WAYS; i++) {
        uint32_t n = place.first[i / TCP_SYN_WAYS] + i % TCP_SYN_WAYS;
        const struct tcp_syn_mark *mark = &cache->marks[n];
        if (mark->flags && mark->tag == place.tag &&
            wire_tuple_equal(&cache->entries[n].tuple, tuple))
            return n;
    }
    return TCP_SYN_NONE;
}

/* The last free place of a bucket, TCP_SYN_NONE if there is none; *free_places counts them. */
static uint32_t bucket_place(const struct tcp_syncache *cache, uint32_t first,
                             unsigned *free_places)
{
    uint32_t place = TCP_SYN_NONE;
    *free_places = 0;
    for (uint32_t n = first; n < first + TCP_SYN_WAYS; n++) {
        if (cache->marks[n].flags)
            continue;
        place = n;
        ++*free_places;
    }
    return place;
}

uint32_t tcp_syncache_insert(struct tcp_syncache *cache, const struct ip_tuple *tuple,
                             uint32_t hash)
{
    struct place place = place_of(cache, hash);
    unsigned free_places[CHOICES];
    uint32_t number = bucket_place(cache, place.first[0], &free_places[0]);
    uint32_t second = bucket_place(cache, place.first[1], &free_places[1]);
    if (free_places[1] > free_places[0])
        number = second;
    if (number == TCP_SYN_NONE)
        return TCP_SYN_NONE;
    cache->marks[number] = (struct tcp_syn_mark){.flags = TCP_SYN_USED, .tag = place.tag & 127};
    cache->entries[number] = (struct tcp_syn_entry){.tuple = *tuple};
    cache->live++;
    return number;
}

void tcp_syncache_remove(struct tcp_syncache *cache, struct tcp_syn syn)
{
    tg_assert(syn.mark->flags & TCP_SYN_USED && cache->live > 0);
    syn.mark->flags = 0;
    cache->live--;
}

tg_ns tcp_syn_due(unsigned retries, tg_ns rto, tg_ns rto_max)
{
    tg_ns age = 0;
    for (unsigned sent = 0; sent <= retries; sent++) {
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
        if (!cache->marks[i].flags)
            continue;
        live++;
        if (!(cache->marks[i].flags & TCP_SYN_USED))
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
