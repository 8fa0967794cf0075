/* SPDX-License-Identifier: BSD-3-Clause
 * Token buckets per source prefix. Called by steer_forward. Floor 2.
 */
#include "steer/limits.h"

/* Bytes of an address that tell sources apart: the /24 of a mapped IPv4 address, the /56 that a site gets. */
#define PREFIX4_BYTES 15
#define PREFIX6_BYTES 7

void steer_limits_init(struct steer_limits *limits, uint64_t per_second, uint64_t burst,
                       const uint64_t key[2])
{
    tg_assert(per_second > 0 && burst > 0);
    memset(limits, 0, sizeof *limits);
    limits->key[0] = key[0];
    limits->key[1] = key[1];
    limits->cost = TG_S / per_second;
    limits->depth = (burst - 1) * limits->cost;
}

bool steer_limits_take(struct steer_limits *limits, const struct ip_addr *source, tg_ns now)
{
    size_t bytes = ip_addr_is4(source) ? PREFIX4_BYTES : PREFIX6_BYTES;
    uint64_t hash = hash_sip13(limits->key, span_make(source->bytes, bytes));
    tg_ns *full_at = &limits->full_at[hash % STEER_LIMITS_BUCKETS];
    tg_ns at = *full_at > now ? *full_at : now;
    if (at - now > limits->depth)
        return false;
    *full_at = at + limits->cost;
    return true;
}
