/* SPDX-License-Identifier: BSD-3-Clause
 * Single-producer single-consumer ring of fixed-size entries, in one flat block of memory without a
 * pointer in it, so that it also works between two processes in the region. Each index has one writer
 * and a cache line of its own. A producer killed at any instruction leaves whole entries only: an
 * entry is written first, published by a release store after. Floor 0.
 */
#ifndef BASE_RING_H
#define BASE_RING_H

#include "base/result.h"
#include "base/types.h"

struct ring {
    _Atomic uint32_t head; /* next to write; writer: producer */
    uint32_t tail_seen;    /* producer's copy of tail */
    uint8_t pad0[TG_CACHE_LINE - 8];
    _Atomic uint32_t tail; /* next to read; writer: consumer */
    uint32_t head_seen;    /* consumer's copy of head */
    uint8_t pad1[TG_CACHE_LINE - 8];
    uint32_t entries;     /* power of two; constant after init */
    uint32_t entry_bytes; /* constant after init */
    uint8_t pad2[TG_CACHE_LINE - 8];
    uint8_t slots[]; /* entries * entry_bytes */
};

/* Bytes of memory that a ring needs (entries: power of two). */
static inline size_t ring_bytes(uint32_t entries, uint32_t entry_bytes)
{
    return sizeof(struct ring) + (size_t)entries * entry_bytes;
}

/* Initialise in caller's memory of ring_bytes(), 64-byte aligned. */
void ring_init(struct ring *r, uint32_t entries, uint32_t entry_bytes);

/* Geometry check for memory that another process wrote: true when entries and entry_bytes are as
 * expected and both indices are plausible. */
bool ring_valid(const struct ring *r, uint32_t entries, uint32_t entry_bytes);

/* Append up to n entries from `in` (contiguous); returns how many fitted (0..n). Producer only. */
unsigned ring_push(struct ring *r, const void *in, unsigned n);

/* Take up to n entries into `out`; returns how many (0..n). Consumer only. */
unsigned ring_pop(struct ring *r, void *out, unsigned n);

/* Entries waiting, as far as the caller can see. */
unsigned ring_count(const struct ring *r);

#endif
