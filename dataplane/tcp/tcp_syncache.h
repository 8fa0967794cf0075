/* SPDX-License-Identifier: BSD-3-Clause
 * The SYN cache: passive opens that wait for the client's ACK, 64 bytes each, in one array of buckets with four
 * places. It is a table and nothing else: what a segment does to an entry is tcp_half_open.c's business, its only
 * user but the tests. A tuple has two buckets to go to and takes the emptier one, so that the table is nearly full
 * before it refuses anybody; when both are full, that SYN is answered with a cookie, and no other. The buckets are
 * chosen by the tuple's Toeplitz hash under a secret multiplication, so that nobody outside can tell which tuples
 * share one (RFC 4987 s3.5).
 */
#ifndef DATAPLANE_TCP_SYNCACHE_H
#define DATAPLANE_TCP_SYNCACHE_H

#include "base/result.h"
#include "base/timer.h"
#include "net/wire.h"

#define TCP_SYN_WAYS        4u
#define TCP_SYN_NONE        UINT32_MAX
#define TCP_SYN_RETRIES_MAX 15u /* four bits */

enum tcp_syn_flag {
    TCP_SYN_USED = 1u << 0,
    TCP_SYN_TIMESTAMPS = 1u << 1, /* what the client's SYN offered, and so did our answer */
    TCP_SYN_SACK = 1u << 2,
    TCP_SYN_WSCALE = 1u << 3,
    TCP_SYN_OWNER = 1u << 4,  /* timestamps and ISN are an owner's cookie */
    TCP_SYN_AGAIN = 1u << 5,  /* the SYN-ACK was sent more than once: no sample of the round trip */
    TCP_SYN_SMALL = 1u << 6,  /* the SYN-ACK told the window of times when memory is short */
    TCP_SYN_UNSENT = 1u << 7, /* there was no frame for the first one */
    TCP_SYN_ECN = 1u << 8,
};

/* An entry lies in two arrays: its mark, which tells in most cases without the rest that it is not the one that is
 * looked for, so that a look-up reads two lines where both buckets are full; and the rest. */
struct tcp_syn_mark {
    uint16_t flags : 9;  /* enum tcp_syn_flag; 0: free */
    uint16_t tag : 7;    /* of the tuple's hash */
    uint8_t wscale : 4;  /* of the client */
    uint8_t retries : 4; /* SYN-ACKs sent by the clock; <= TCP_SYN_RETRIES_MAX */
    uint8_t answered;    /* last answer to a suspect segment, in units of 2^26 ns, modulo 256 */
};
struct tcp_syn_entry {
    struct ip_tuple tuple;
    uint32_t iss, irs;
    uint32_t ts_recent; /* the client's timestamp that is echoed */
    uint32_t ts_offset; /* of ours, as in struct tcp_pcb */
    uint32_t start_us;  /* first SYN-ACK: worker clock in microseconds, modulo 2^32 */
    uint16_t peer_mss;
    uint16_t window; /* of the client's SYN, never scaled */
};
#define TCP_SYN_BYTES (sizeof(struct tcp_syn_mark) + sizeof(struct tcp_syn_entry))
static_assert(TCP_SYN_BYTES == 64, "a half-open connection");

/* Both parts of one. */
struct tcp_syn {
    struct tcp_syn_mark *mark;
    struct tcp_syn_entry *entry;
};

struct tcp_syncache {
    struct tcp_syn_mark *marks; /* bucket b: b * TCP_SYN_WAYS and on */
    struct tcp_syn_entry *entries;
    uint32_t buckets;
    uint32_t live;
    uint64_t multiplier, addend; /* the secret */
    uint32_t hand;               /* where the sweep goes on */
    tg_ns earliest;     /* no entry that the sweep has passed in this round is due before */
    struct timer timer; /* of the sweep; armed while anybody lives */
};

/* Room for at least `most` entries, all free. The timer is the caller's. Cold. */
enum tg_err tcp_syncache_init(struct tcp_syncache *cache, uint32_t most, const uint64_t secret[2]);
void tcp_syncache_free(struct tcp_syncache *cache);

static inline uint32_t tcp_syncache_size(const struct tcp_syncache *cache)
{
    return cache->buckets * TCP_SYN_WAYS;
}

static inline struct tcp_syn tcp_syncache_at(const struct tcp_syncache *cache, uint32_t number)
{
    return (struct tcp_syn){&cache->marks[number], &cache->entries[number]};
}

/* Fetch both buckets' marks of a hash into the cache, for a look-up that comes soon. */
void tcp_syncache_prefetch(const struct tcp_syncache *cache, uint32_t hash);
/* Number of the entry with this tuple, whose Toeplitz hash is `hash`; TCP_SYN_NONE. */
uint32_t tcp_syncache_find(const struct tcp_syncache *cache, const struct ip_tuple *tuple,
                           uint32_t hash);
/* A free place for a tuple that is not there, with TCP_SYN_USED, tag and tuple, all else 0: its number. TCP_SYN_NONE:
 * its buckets are full. */
uint32_t tcp_syncache_insert(struct tcp_syncache *cache, const struct ip_tuple *tuple,
                             uint32_t hash);
void tcp_syncache_remove(struct tcp_syncache *cache, struct tcp_syn syn);

/* Time since the first SYN-ACK; right for 71 minutes, and an entry lives for 20 at most. */
static inline tg_ns tcp_syn_age(const struct tcp_syn_entry *entry, tg_ns now)
{
    return (tg_ns)((uint32_t)(now / TG_US) - entry->start_us) * TG_US;
}
/* The age at which the next SYN-ACK is due, or the end: after rto, and twice as long each time, rto_max at most. */
tg_ns tcp_syn_due(unsigned retries, tg_ns rto, tg_ns rto_max);

/* What the table's user knows to be wrong with entry number i; NULL: nothing. */
typedef const char *tcp_syn_judge(const void *arg, const struct tcp_syn_entry *entry, uint32_t i,
                                  uint32_t hash);

/* For tcp_check: NULL, or what is wrong with the table itself, or with an entry in the judge's eyes. In one walk: the
 * simulator makes it in every turn. */
const char *tcp_syncache_check(const struct tcp_syncache *cache, const struct toeplitz *toeplitz,
                               tcp_syn_judge *judge, const void *arg);

#endif
