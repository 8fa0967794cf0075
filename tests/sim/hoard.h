/* SPDX-License-Identifier: BSD-3-Clause
 * A fault: now and then all free buffers of a node are gone for a while, as if others had them. Frames
 * cannot be received nor sent; afterwards everything must go on by itself.
 */
#ifndef TESTS_SIM_HOARD_H
#define TESTS_SIM_HOARD_H

#include "base/buf.h"
#include "tests/sim/sim.h"

struct hoard {
    unsigned every; /* turns between two, about; 0: never */
    unsigned place; /* names the node in decisions about faults */
    uint64_t count; /* so far */
    struct buf_queue held;
    tg_ns until;
};

/* Call at the start of each turn, before frames are received. */
void hoard_turn(struct hoard *hoard, struct sim *sim, struct buf_pool *pool, struct prng *rng);
/* When it needs a turn. */
static inline tg_ns hoard_next(const struct hoard *hoard)
{
    return hoard->held.first ? hoard->until : SIM_NEVER;
}
/* Give everything back. */
void hoard_end(struct hoard *hoard, struct buf_pool *pool);

#endif
