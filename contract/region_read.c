/* SPDX-License-Identifier: BSD-3-Clause
 * Reading generations: everything that another process wrote is checked before it is lent out. Called
 * by both processes, in cold code.
 */
#include "base/hash.h"
#include "contract/region_internal.h"

/* How often a reader that the writer overtakes looks again. A worker is never overtaken (the writer
 * keeps what it uses); others need about one more look. */
#define READ_TRIES 16

bool region_slot_in_arena(const struct region *region, uint64_t offset, uint64_t bytes)
{
    const struct region_header *h = &region->layout->header;
    uint64_t end = h->arena_offset + h->arena_bytes;
    return end <= region->bytes && offset >= h->arena_offset && offset <= end &&
           bytes <= end - offset && offset % REGION_ALIGN == 0;
}

/* Verify one slot. TG_STALE: the writer changed it meanwhile (look again). */
static enum tg_err slot_read(const struct region *region, enum tables_kind kind, unsigned slot,
                             uint64_t number, struct span *block)
{
    const struct region_slot *s = &region->layout->directory.slots[kind][slot];
    if (atomic_load_explicit(&s->state, memory_order_acquire) != REGION_SLOT_PUBLISHED)
        return TG_STALE;
    /* Copies: the checks must see what is used. */
    uint64_t slot_number = s->number, offset = s->offset, bytes = s->bytes;
    uint32_t checksum = s->checksum;
    if (slot_number != number)
        return TG_STALE;
    bool whole = region_slot_in_arena(region, offset, bytes);
    struct span found = whole ? span_make(region_bytes(region, offset), (size_t)bytes) : SPAN_EMPTY;
    whole = whole && hash_crc32c(0, found) == checksum && tables_valid(kind, found.data, found.len);
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&s->state, memory_order_relaxed) != REGION_SLOT_PUBLISHED ||
        *(const volatile uint64_t *)&s->number != number)
        return TG_STALE;
    if (!whole)
        return TG_VERSION;
    *block = found;
    return TG_OK;
}

enum tg_err region_current(const struct region *region, enum tables_kind kind, struct span *block,
                           uint64_t *number)
{
    const struct region_directory *d = &region->layout->directory;
    tg_assert((unsigned)kind < TABLES_KINDS);
    for (unsigned i = 0; i < READ_TRIES; i++) {
        uint64_t current = atomic_load_explicit(&d->current[kind], memory_order_acquire);
        if (current == 0)
            return TG_NOT_FOUND;
        if ((current & 0xff) >= REGION_SLOTS)
            return TG_VERSION;
        enum tg_err err = slot_read(region, kind, current & 0xff, current >> 8, block);
        if (err == TG_OK)
            *number = current >> 8;
        if (err != TG_STALE)
            return err;
    }
    return TG_VERSION; /* `current` names a slot that is not published: damaged */
}

enum tg_err region_generation(const struct region *region, enum tables_kind kind, uint64_t number,
                              struct span *block)
{
    tg_assert((unsigned)kind < TABLES_KINDS);
    for (unsigned slot = 0; slot < REGION_SLOTS; slot++) {
        enum tg_err err = slot_read(region, kind, slot, number, block);
        if (err != TG_STALE)
            return err;
    }
    return TG_NOT_FOUND;
}
