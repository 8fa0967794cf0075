/* SPDX-License-Identifier: BSD-3-Clause
 * What region.c (files, locks, mapping), region_publish.c (the writer) and region_read.c share.
 * Nobody else includes it.
 */
#ifndef CONTRACT_REGION_INTERNAL_H
#define CONTRACT_REGION_INTERNAL_H

#include "contract/region.h"
#include <stdatomic.h>

/* Generations start on a cache line: tables hold 64-bit fields, a WAF program wants 64. */
#define REGION_ALIGN 64u

/* True when the slot's bytes lie in the arena. */
bool region_slot_in_arena(const struct region *region, uint64_t offset, uint64_t bytes);

/* The bytes of a slot that region_slot_in_arena accepts. */
static inline uint8_t *region_bytes(const struct region *region, uint64_t offset)
{
    return (uint8_t *)region->layout + offset;
}

/* `current` packs both halves of "who is current", so that one store publishes them. */
static inline uint64_t region_current_pack(uint64_t number, unsigned slot)
{
    return number << 8 | slot;
}

/* True while a data plane process holds its lock on the region file: workers of a killed one are
 * marked alive for ever otherwise. */
bool region_data_plane_runs(const struct region *region);

/* Clear what a killed writer left: half-written slots, and whole ones that never became current.
 * Returns slots freed. */
unsigned region_repair(struct region *region);

#endif
