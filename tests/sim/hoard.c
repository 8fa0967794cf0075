/* SPDX-License-Identifier: BSD-3-Clause
 * Buffers taken away and given back. Called by the turns of hosts and edge workers.
 */
#include "tests/sim/hoard.h"

void hoard_end(struct hoard *hoard, struct buf_pool *pool)
{
    for (struct buf *b; (b = buf_queue_pop(&hoard->held));)
        buf_unref(pool, b);
}

void hoard_turn(struct hoard *hoard, struct sim *sim, struct buf_pool *pool, struct prng *rng)
{
    if (hoard->every == 0)
        return;
    if (hoard->held.first && (sim->now >= hoard->until || sim->healed))
        hoard_end(hoard, pool);
    if (hoard->held.first || sim->healed || prng_below(rng, hoard->every) != 0)
        return;
    if (!fault_happens(&sim->faults, FAULT_HOARD, hoard->place, hoard->count++))
        return;
    hoard->until = sim->now + prng_below(rng, 400 * TG_MS);
    unsigned spare = prng_below(rng, 2) ? 0 : (unsigned)prng_below(rng, 16);
    for (struct buf *b; (b = buf_alloc(pool));)
        buf_queue_push(&hoard->held, b);
    while (spare-- > 0 && hoard->held.first)
        buf_unref(pool, buf_queue_pop(&hoard->held));
}
