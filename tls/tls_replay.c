/* SPDX-License-Identifier: BSD-3-Clause
 * Single-use register for 0-RTT flights; see tls_replay.h.
 *
 * A bucket is one cache line of 8 words: tag 48 | expiry second 16, 0 = never used. Insertion takes an
 * expired or empty word by compare-and-swap and then looks over the bucket again: of two threads that
 * bring the same key at the same time into two words, each sees the other's; the one in the later
 * word gives way, so at most one is admitted.
 */
#include "tls/tls_replay.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define BUCKET_WORDS 8

struct replay_bucket {
    _Atomic uint64_t word[BUCKET_WORDS];
} TG_CACHE_ALIGN;

struct tls_replay {
    struct replay_bucket *buckets;
    uint64_t mask;
    uint64_t start_s;
    _Atomic uint64_t newest_s; /* the latest that was ever brought as now */
};

enum tg_err tls_replay_create(uint32_t entries, uint64_t start_s, struct tls_replay **out)
{
    struct tls_replay *r = calloc(1, sizeof *r);
    uint64_t buckets = 1;
    while (buckets * BUCKET_WORDS < entries)
        buckets *= 2;
    if (!r)
        return TG_NO_MEMORY;
    r->buckets = aligned_alloc(TG_CACHE_LINE, buckets * sizeof r->buckets[0]);
    if (!r->buckets) {
        free(r);
        return TG_NO_MEMORY;
    }
    memset(r->buckets, 0, buckets * sizeof r->buckets[0]);
    r->mask = buckets - 1;
    r->start_s = start_s;
    *out = r;
    return TG_OK;
}

void tls_replay_free(struct tls_replay *r)
{
    if (r)
        free(r->buckets);
    free(r);
}

/* The wall clock may go back: workers read it apart, and somebody may set it. Up to a window is borne by
 * word_is_live; after more, flights of the time that comes again would be forgotten, so nothing is admitted
 * until it is over. */
static bool time_has_gone_back(struct tls_replay *r, uint64_t now_s)
{
    uint64_t newest = atomic_load_explicit(&r->newest_s, memory_order_relaxed);
    while (now_s > newest && !atomic_compare_exchange_weak(&r->newest_s, &newest, now_s))
        continue;
    return now_s + REPLAY_WINDOW_S < newest;
}

/* The 16-bit expiry wraps after 18 hours; live entries are at most a window ahead of the newest time, which is
 * at most a window ahead of now. */
static bool word_is_live(uint64_t word, uint64_t now_s)
{
    uint16_t ahead = (uint16_t)((uint16_t)word - (uint16_t)now_s);
    return word != 0 && ahead <= 2 * REPLAY_WINDOW_S;
}

static bool same_tag(uint64_t a, uint64_t b)
{
    return a >> 16 == b >> 16;
}

enum replay_answer tls_replay_admit(struct tls_replay *r, const uint8_t key[REPLAY_KEY_BYTES],
                                    uint64_t now_s)
{
    uint64_t place, tag;
    if (now_s < r->start_s + REPLAY_WINDOW_S || time_has_gone_back(r, now_s))
        return REPLAY_REFUSED;
    memcpy(&place, key, sizeof place);
    memcpy(&tag, key + sizeof place, sizeof tag);
    struct replay_bucket *bucket = &r->buckets[place & r->mask];
    /* a tag is never 0, so that no live word looks unused */
    uint64_t mine = (tag << 16 | 1ull << 63) | ((now_s + REPLAY_WINDOW_S) & 0xffff);
    unsigned at = BUCKET_WORDS;
    for (unsigned i = 0; i < BUCKET_WORDS; i++) {
        uint64_t word = atomic_load(&bucket->word[i]);
        if (word_is_live(word, now_s)) {
            if (same_tag(word, mine))
                return REPLAY_SEEN;
        } else if (at == BUCKET_WORDS &&
                   atomic_compare_exchange_strong(&bucket->word[i], &word, mine)) {
            at = i;
        }
    }
    if (at == BUCKET_WORDS)
        return REPLAY_REFUSED; /* full of live flights: refuse early data, the handshake goes on as 1-RTT */
    for (unsigned i = 0; i < at; i++) {
        uint64_t word = atomic_load(&bucket->word[i]);
        if (word_is_live(word, now_s) && same_tag(word, mine))
            return REPLAY_SEEN; /* the other thread came into an earlier word: it decides */
    }
    return REPLAY_NEW;
}
