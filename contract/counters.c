/* SPDX-License-Identifier: BSD-3-Clause
 * The digest of the counters' list. Called when a region is created and checked; two programs with
 * different lists must not read each other's counters.
 */
#include "contract/counters.h"
#include "base/hash.h"

uint64_t counters_digest(void)
{
    static const uint64_t key[2] = {0, 0}; /* a fingerprint, not a secret */
    uint64_t digest = TG_COUNTER_COUNT;
    for (unsigned c = 0; c < TG_COUNTER_COUNT; c++)
        digest = digest * 31 + hash_sip13(key, span_from_string(stats_name((enum tg_counter)c)));
    return digest;
}
