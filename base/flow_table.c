/* SPDX-License-Identifier: BSD-3-Clause
 * The flow table of base/hash.h: an entry lies in one of two buckets that its hash names, in the
 * first if that has room at insertion, so that most look-ups touch one; when both are full one entry is moved to its other bucket; when none can
 * move, the stash takes it. Whoever leaves a bucket makes room for one of the stash. Called by the
 * worker that owns the table; compares hashes only, keys are the caller's.
 */
#include "base/hash.h"
#include "base/pages.h"
#include <stdlib.h>

#define SLOTS 8

enum tg_err flow_table_init(struct flow_table *t, uint32_t capacity)
{
    memset(t, 0, sizeof *t);
    uint64_t buckets = 1;
    while (buckets * SLOTS * 6 / 10 < capacity)
        buckets *= 2;
    tg_assert(buckets <= 1u << 25); /* the second choice has 25 bits */
    size_t bytes = (size_t)buckets * sizeof(struct flow_bucket);
    t->buckets = pages_create(bytes);
    if (!t->buckets)
        return TG_NO_MEMORY;
    t->mask = (uint32_t)buckets - 1;
    return TG_OK;
}

void flow_table_free(struct flow_table *t)
{
    free(t->buckets);
    memset(t, 0, sizeof *t);
}

static bool flow_bucket_put(struct flow_bucket *b, uint32_t tag, uint32_t value)
{
    unsigned empty = flow_bucket_match(b, 0);
    if (!empty)
        return false;
    unsigned i = (unsigned)__builtin_ctz(empty);
    b->tag[i] = tag;
    b->value[i] = value;
    return true;
}

/* Try to move one entry of a full bucket to its other choice; returns whether a slot came free. */
static bool flow_bucket_make_room(struct flow_table *t, uint32_t bucket)
{
    struct flow_bucket *b = &t->buckets[bucket];
    for (unsigned i = 0; i < SLOTS; i++) {
        uint32_t first = flow_first(t, b->tag[i]);
        uint32_t other = first == bucket ? flow_second(t, b->tag[i]) : first;
        if (other != bucket && flow_bucket_put(&t->buckets[other], b->tag[i], b->value[i])) {
            b->tag[i] = 0;
            return true;
        }
    }
    return false;
}

static bool flow_place(struct flow_table *t, uint32_t tag, uint32_t value)
{
    uint32_t first = flow_first(t, tag), second = flow_second(t, tag);
    struct flow_bucket *a = &t->buckets[first], *b = &t->buckets[second];
    if (flow_bucket_put(a, tag, value) || flow_bucket_put(b, tag, value))
        return true;
    if (flow_bucket_make_room(t, first))
        return flow_bucket_put(a, tag, value);
    if (flow_bucket_make_room(t, second))
        return flow_bucket_put(b, tag, value);
    return false;
}

enum tg_err flow_table_insert(struct flow_table *t, uint32_t hash, uint32_t value)
{
    uint32_t tag = flow_tag(hash);
    if (!flow_place(t, tag, value)) {
        if (t->stash_count == FLOW_STASH) {
            t->full++;
            return TG_FULL;
        }
        t->stash[t->stash_count].tag = tag;
        t->stash[t->stash_count].value = value;
        t->stash_count++;
    }
    t->count++;
    return TG_OK;
}

static void flow_stash_drop(struct flow_table *t, unsigned i)
{
    t->stash[i] = t->stash[--t->stash_count];
}

/* A slot of `bucket` came free: give it to the first of the stash that may lie there. */
static void flow_stash_refill(struct flow_table *t, uint32_t bucket)
{
    for (unsigned i = 0; i < t->stash_count; i++) {
        uint32_t tag = t->stash[i].tag;
        if (flow_first(t, tag) != bucket && flow_second(t, tag) != bucket)
            continue;
        if (flow_bucket_put(&t->buckets[bucket], tag, t->stash[i].value))
            flow_stash_drop(t, i);
        return;
    }
}

static bool flow_bucket_remove(struct flow_table *t, uint32_t bucket, uint32_t tag, uint32_t value)
{
    struct flow_bucket *b = &t->buckets[bucket];
    for (unsigned bits = flow_bucket_match(b, tag); bits; bits &= bits - 1) {
        unsigned i = (unsigned)__builtin_ctz(bits);
        if (b->value[i] == value) {
            b->tag[i] = 0;
            flow_stash_refill(t, bucket);
            return true;
        }
    }
    return false;
}

static bool flow_stash_remove(struct flow_table *t, uint32_t tag, uint32_t value)
{
    for (unsigned i = 0; i < t->stash_count; i++) {
        if (t->stash[i].tag == tag && t->stash[i].value == value) {
            flow_stash_drop(t, i);
            return true;
        }
    }
    return false;
}

bool flow_table_remove(struct flow_table *t, uint32_t hash, uint32_t value)
{
    uint32_t tag = flow_tag(hash);
    if (!flow_bucket_remove(t, flow_first(t, tag), tag, value) &&
        !flow_bucket_remove(t, flow_second(t, tag), tag, value) &&
        !flow_stash_remove(t, tag, value))
        return false;
    tg_assert(t->count > 0);
    t->count--;
    return true;
}

static uint32_t flow_bucket_find(const struct flow_bucket *b, uint32_t tag,
                                 bool (*match)(const void *arg, uint32_t value), const void *arg)
{
    for (unsigned bits = flow_bucket_match(b, tag); bits; bits &= bits - 1) {
        uint32_t value = b->value[__builtin_ctz(bits)];
        if (match(arg, value))
            return value;
    }
    return FLOW_TABLE_NONE;
}

uint32_t flow_table_find(const struct flow_table *t, uint32_t hash,
                         bool (*match)(const void *arg, uint32_t value), const void *arg)
{
    uint32_t tag = flow_tag(hash);
    uint32_t value = flow_bucket_find(&t->buckets[flow_first(t, tag)], tag, match, arg);
    if (value == FLOW_TABLE_NONE)
        value = flow_bucket_find(&t->buckets[flow_second(t, tag)], tag, match, arg);
    for (unsigned i = 0; i < t->stash_count && value == FLOW_TABLE_NONE; i++)
        if (t->stash[i].tag == tag && match(arg, t->stash[i].value))
            value = t->stash[i].value;
    return value;
}
