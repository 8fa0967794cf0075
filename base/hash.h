/* SPDX-License-Identifier: BSD-3-Clause
 * Keyed hashes and the flow table. Keys come in as arguments (random at start, seeded in the
 * simulator). Floor 0.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/result.h"
#include "base/span.h"
#include "base/vector.h"

/* SipHash-2-4 (Aumasson, Bernstein 2012) under a 128-bit key: ISNs, cookies, anything that an
 * attacker may try to predict. */
uint64_t hash_sip24(const uint64_t key[2], struct span bytes);
/* SipHash-1-3: hash tables whose keys an attacker chooses. */
uint64_t hash_sip13(const uint64_t key[2], struct span bytes);

/* Toeplitz hash as NICs compute it for RSS. Table driven: one 256-entry table per input byte. */
#define TOEPLITZ_KEY_BYTES   52 /* 40 used for IPv6 + ports; 52 is what i40e and others ask for */
#define TOEPLITZ_INPUT_BYTES 36 /* IPv6 source, destination, ports */
struct toeplitz {
    uint32_t table[TOEPLITZ_INPUT_BYTES][256];
};
void toeplitz_init(struct toeplitz *t, const uint8_t key[TOEPLITZ_KEY_BYTES]);

/* Hash of `input`, at most TOEPLITZ_INPUT_BYTES: source address, destination address, source port,
 * destination port, each in network order as on the wire. Linear: hash(a ^ b) = hash(a) ^ hash(b). */
static inline uint32_t toeplitz_hash(const struct toeplitz *t, const uint8_t *input, unsigned len)
{
    uint32_t h = 0;
    for (unsigned i = 0; i < len; i++)
        h ^= t->table[i][input[i]];
    return h;
}

/* Flow table: hash -> 32-bit index; the caller compares keys. Open addressing in 64-byte buckets of
 * 8 x {tag, value}, two choices and a small stash; one worker owns it. Capacity is fixed. */
#define FLOW_TABLE_NONE UINT32_MAX
#define FLOW_STASH      64
struct flow_bucket {
    uint32_t tag[8]; /* hash, 0 replaced by 1; 0 = empty */
    uint32_t value[8];
} TG_CACHE_ALIGN;
struct flow_table {
    struct flow_bucket *buckets;
    uint32_t mask; /* buckets - 1 */
    uint32_t count;
    uint32_t stash_count;
    struct {
        uint32_t tag, value;
    } stash[FLOW_STASH];
    uint64_t full; /* inserts refused */
};

/* Room for `capacity` entries at a load of about 60 %. Only at start. */
enum tg_err flow_table_init(struct flow_table *t, uint32_t capacity);
void flow_table_free(struct flow_table *t);

/* Insert value under hash; TG_FULL (counted) leaves the table as it was. Does not look for equals. */
enum tg_err flow_table_insert(struct flow_table *t, uint32_t hash, uint32_t value);
/* Remove the entry (hash, value); returns false when it is not there. */
bool flow_table_remove(struct flow_table *t, uint32_t hash, uint32_t value);

/* Find the value under `hash` for which match(arg, value) is true; FLOW_TABLE_NONE if none. */
uint32_t flow_table_find(const struct flow_table *t, uint32_t hash,
                         bool (*match)(const void *arg, uint32_t value), const void *arg);

/* 0 marks an empty slot. */
static inline uint32_t flow_tag(uint32_t hash)
{
    return hash + !hash;
}

/* The two buckets of a tag. */
static inline uint32_t flow_first(const struct flow_table *t, uint32_t tag)
{
    return tag & t->mask;
}
static inline uint32_t flow_second(const struct flow_table *t, uint32_t tag)
{
    return (tag * 0x9E3779B1u >> 7) & t->mask;
}

/* Bit i is set where slot i holds the tag. */
static inline unsigned flow_bucket_match(const struct flow_bucket *b, uint32_t tag)
{
    return vector_match8(b->tag, tag);
}

/* A look-up of many in passes, so that the cache misses of all overlap: fetch the first bucket of each; ask it for a
 * value whose tag fits, most likely the right one; fetch and ask the second bucket of those that it does not know, one
 * in thirty at the load that flow_table_init leaves; then compare keys, and where those differ, flow_table_find.
 * FLOW_TABLE_NONE: no such tag in that bucket. */
static inline void flow_table_prefetch(const struct flow_table *t, uint32_t hash)
{
    tg_prefetch(&t->buckets[flow_first(t, flow_tag(hash))]);
}
static inline void flow_table_prefetch_second(const struct flow_table *t, uint32_t hash)
{
    tg_prefetch(&t->buckets[flow_second(t, flow_tag(hash))]);
}
static inline uint32_t flow_bucket_candidate(const struct flow_bucket *b, uint32_t tag)
{
    unsigned bits = flow_bucket_match(b, tag);
    return bits ? b->value[__builtin_ctz(bits)] : FLOW_TABLE_NONE;
}
static inline uint32_t flow_table_first(const struct flow_table *t, uint32_t hash)
{
    uint32_t tag = flow_tag(hash);
    return flow_bucket_candidate(&t->buckets[flow_first(t, tag)], tag);
}
static inline uint32_t flow_table_second(const struct flow_table *t, uint32_t hash)
{
    uint32_t tag = flow_tag(hash);
    return flow_bucket_candidate(&t->buckets[flow_second(t, tag)], tag);
}

/* Deterministic generator for tests, jitter and everything whose seed comes from outside
 * (xoshiro256**, Blackman and Vigna 2018). Not for secrets. */
struct prng {
    uint64_t s[4];
};
void prng_seed(struct prng *p, uint64_t seed);
uint64_t prng_next(struct prng *p);
/* Uniform in [0, bound); bound 0 yields 0. */
uint64_t prng_below(struct prng *p, uint64_t bound);

/* CRC-32C (RFC 3385 polynomial) of bytes, continuing from `crc` (0 to start): checksums of generations. */
uint32_t hash_crc32c(uint32_t crc, struct span bytes);

#endif
