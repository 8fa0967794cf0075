/* SPDX-License-Identifier: BSD-3-Clause
 * Where base/stats.h lies in the region, and sums over workers. Reading is free of locks: each counter is one
 * aligned 64-bit load. Floor 1: base only.
 */
#ifndef CONTRACT_COUNTERS_H
#define CONTRACT_COUNTERS_H

#include "contract/region.h"

/* A counter summed over all workers of the region. */
static inline uint64_t counters_sum(const struct region *region, enum tg_counter c)
{
    uint64_t sum = 0;
    for (unsigned w = 0; w < region->layout->header.workers; w++)
        sum += __atomic_load_n(&region->layout->workers[w].stats.value[c], __ATOMIC_RELAXED);
    return sum;
}

/* Hash of the counters' names in order: part of the region's header. */
uint64_t counters_digest(void);

#endif
