/* SPDX-License-Identifier: BSD-3-Clause
 * The writer's half of the region: allocate, publish, roll back, collect. Called by tidegate-ctl alone,
 * one call at a time, under the writer's lock. It may be killed at any instruction:
 *
 *     slot: place and number, then WRITING | bytes, checksum | PUBLISHED | current
 *            nothing seen yet               region_repair frees it        in force
 *
 * The arena has no allocator state but the slots themselves: what no slot that is not FREE names is free.
 */
#include "base/hash.h"
#include "contract/region_internal.h"

static struct region_directory *directory(const struct region *region)
{
    return &region->layout->directory;
}

static uint32_t slot_state(const struct region_slot *s)
{
    return atomic_load_explicit(&s->state, memory_order_relaxed); /* the only writer asks */
}

static uint64_t current_number(const struct region *region, enum tables_kind kind)
{
    return atomic_load_explicit(&directory(region)->current[kind], memory_order_relaxed) >> 8;
}

/* True when another slot that is not free names the same bytes (a rollback shares them). */
static bool slot_shares_bytes(const struct region *region, const struct region_slot *s)
{
    const struct region_directory *d = directory(region);
    for (unsigned kind = 0; kind < TABLES_KINDS; kind++)
        for (unsigned i = 0; i < REGION_SLOTS; i++) {
            const struct region_slot *other = &d->slots[kind][i];
            if (other != s && slot_state(other) != REGION_SLOT_FREE && other->offset == s->offset)
                return true;
        }
    return false;
}

/* Private keys and the fleet's are wiped before the slot is free: a writer killed in between wipes
 * again. */
static void slot_free(struct region *region, unsigned kind, struct region_slot *s)
{
    bool secret = kind == TABLES_CERTIFICATES || kind == TABLES_OWNERS || kind == TABLES_ROUTES;
    if (secret && region_slot_in_arena(region, s->offset, s->bytes) &&
        !slot_shares_bytes(region, s))
        explicit_bzero(region_bytes(region, s->offset), (size_t)s->bytes);
    atomic_store_explicit(&s->state, REGION_SLOT_FREE, memory_order_release);
}

unsigned region_repair(struct region *region)
{
    struct region_directory *d = directory(region);
    unsigned freed = 0;
    for (unsigned kind = 0; kind < TABLES_KINDS; kind++) {
        uint64_t current = current_number(region, (enum tables_kind)kind);
        for (unsigned i = 0; i < REGION_SLOTS; i++) {
            struct region_slot *s = &d->slots[kind][i];
            uint32_t state = slot_state(s);
            if (state == REGION_SLOT_FREE)
                continue;
            if (state == REGION_SLOT_PUBLISHED && s->number <= current &&
                region_slot_in_arena(region, s->offset, s->bytes))
                continue;
            slot_free(region, kind, s);
            freed++;
        }
    }
    return freed;
}

/* --- what is still needed -------------------------------------------------------------------------- */

static bool worker_alive(const struct region_worker *w)
{
    return *(const volatile uint32_t *)&w->alive != 0;
}

/* The oldest generation of a kind that a live worker may still read; UINT64_MAX: none does. A worker that
 * has taken none yet may be about to read any that it has not refused. */
static uint64_t oldest_needed(const struct region *region, enum tables_kind kind)
{
    uint64_t oldest = UINT64_MAX;
    if (!region_data_plane_runs(region))
        return oldest;
    for (unsigned i = 0; i < region->layout->header.workers && i < TG_WORKERS_MAX; i++) {
        const struct region_worker *w = &region->layout->workers[i];
        if (!worker_alive(w))
            continue;
        uint64_t needs = atomic_load_explicit(&w->oldest[kind], memory_order_acquire);
        uint64_t applied = atomic_load_explicit(&w->applied[kind], memory_order_acquire);
        if (applied < needs)
            needs = applied;
        if (needs == 0 &&
            atomic_load_explicit(&w->refused_kind, memory_order_acquire) == (uint32_t)kind)
            needs = atomic_load_explicit(&w->refused_number, memory_order_acquire) + 1;
        if (needs < oldest)
            oldest = needs;
    }
    return oldest;
}

/* The newest published generation before `number`, NULL if none: where a rollback goes. */
static struct region_slot *slot_before(const struct region *region, enum tables_kind kind,
                                       uint64_t number)
{
    struct region_slot *best = NULL;
    for (unsigned i = 0; i < REGION_SLOTS; i++) {
        struct region_slot *s = &directory(region)->slots[kind][i];
        if (slot_state(s) == REGION_SLOT_PUBLISHED && s->number < number &&
            (!best || s->number > best->number))
            best = s;
    }
    return best;
}

unsigned region_collect(struct region *region)
{
    tg_assert(region->writer);
    unsigned freed = region_repair(region);
    for (unsigned kind = 0; kind < TABLES_KINDS; kind++) {
        uint64_t current = current_number(region, (enum tables_kind)kind);
        uint64_t oldest = oldest_needed(region, (enum tables_kind)kind);
        const struct region_slot *previous = slot_before(region, (enum tables_kind)kind, current);
        for (unsigned i = 0; i < REGION_SLOTS; i++) {
            struct region_slot *s = &directory(region)->slots[kind][i];
            if (slot_state(s) != REGION_SLOT_PUBLISHED || s == previous || s->number >= oldest ||
                s->number >= current)
                continue;
            slot_free(region, kind, s);
            freed++;
        }
    }
    return freed;
}

/* --- allocation ------------------------------------------------------------------------------------- */

/* Where the first used range that overlaps [offset, offset + bytes) ends; 0: it is free. */
static uint64_t overlap_end(const struct region *region, uint64_t offset, uint64_t bytes)
{
    const struct region_directory *d = directory(region);
    for (unsigned kind = 0; kind < TABLES_KINDS; kind++)
        for (unsigned i = 0; i < REGION_SLOTS; i++) {
            const struct region_slot *s = &d->slots[kind][i];
            if (slot_state(s) != REGION_SLOT_FREE && s->offset < offset + bytes &&
                offset < s->offset + s->bytes)
                return s->offset + s->bytes;
        }
    return 0;
}

/* First fit: step behind whatever is in the way until nothing is. 0: no room. Each step passes at
 * least one slot, so the loop ends. */
static uint64_t arena_find(const struct region *region, uint64_t bytes)
{
    uint64_t offset = region->layout->header.arena_offset;
    for (;;) {
        if (!region_slot_in_arena(region, offset, bytes))
            return 0;
        uint64_t end = overlap_end(region, offset, bytes);
        if (end == 0)
            return offset;
        offset = (end + REGION_ALIGN - 1) / REGION_ALIGN * REGION_ALIGN;
    }
}

static struct region_slot *slot_find_free(const struct region *region, enum tables_kind kind)
{
    for (unsigned i = 0; i < REGION_SLOTS; i++) {
        struct region_slot *s = &directory(region)->slots[kind][i];
        if (slot_state(s) == REGION_SLOT_FREE)
            return s;
    }
    return NULL;
}

/* A free slot and, with bytes > 0, a place; collects once when there is none. */
static struct region_slot *slot_allocate(struct region *region, enum tables_kind kind,
                                         uint64_t bytes, uint64_t *offset)
{
    for (unsigned attempt = 0; attempt < 2; attempt++) {
        struct region_slot *s = slot_find_free(region, kind);
        *offset = bytes ? arena_find(region, bytes) : 0;
        if (s && (*offset || !bytes))
            return s;
        if (attempt == 0 && region_collect(region) == 0)
            break;
    }
    return NULL;
}

/* --- publishing ------------------------------------------------------------------------------------- */

/* Steps 1 and 2 of the picture above: the slot names the place, and says that it is being written. */
static void slot_begin(struct region_slot *s, uint64_t number, uint64_t offset, uint64_t bytes)
{
    s->number = number;
    s->offset = offset;
    s->bytes = bytes;
    atomic_store_explicit(&s->state, REGION_SLOT_WRITING, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst); /* no byte of the block before WRITING is seen */
}

static void slot_make_current(struct region *region, enum tables_kind kind, struct region_slot *s)
{
    struct region_directory *d = directory(region);
    unsigned index = (unsigned)(s - d->slots[kind]);
    atomic_store_explicit(&s->state, REGION_SLOT_PUBLISHED, memory_order_release);
    atomic_store_explicit(&d->current[kind], region_current_pack(s->number, index),
                          memory_order_release);
}

enum tg_err region_publish(struct region *region, enum tables_kind kind, void *block, size_t len,
                           uint64_t *number)
{
    tg_assert(region->writer);
    tg_assert((unsigned)kind < TABLES_KINDS);
    if (!tables_valid(kind, block, len))
        return TG_BAD_INPUT;
    region_repair(region);
    uint64_t offset;
    struct region_slot *s = slot_allocate(region, kind, len, &offset);
    if (!s)
        return TG_FULL;
    struct tables_header *header = block;
    header->number = current_number(region, kind) + 1;
    slot_begin(s, header->number, offset, len);
    s->checksum = hash_crc32c(0, span_make(block, len));
    memcpy(region_bytes(region, offset), block, len);
    slot_make_current(region, kind, s);
    *number = header->number;
    return TG_OK;
}

enum tg_err region_rollback(struct region *region, enum tables_kind kind, uint64_t *number)
{
    tg_assert(region->writer);
    tg_assert((unsigned)kind < TABLES_KINDS);
    region_repair(region);
    uint64_t current = current_number(region, kind), unused;
    struct region_slot *s = slot_allocate(region, kind, 0, &unused);
    /* After the allocation, which may collect (it keeps the previous one). */
    const struct region_slot *previous = slot_before(region, kind, current);
    if (!previous)
        return TG_NOT_FOUND;
    if (!s)
        return TG_FULL;
    slot_begin(s, current + 1, previous->offset, previous->bytes);
    s->checksum = previous->checksum;
    slot_make_current(region, kind, s);
    *number = s->number;
    return TG_OK;
}

void region_announce(struct region *region, enum tables_kind kind)
{
    tg_assert(region->writer);
    struct command command = {COMMAND_USE, kind, current_number(region, kind)};
    if (command.number == 0)
        return;
    for (unsigned i = 0; i < region->layout->header.workers && i < TG_WORKERS_MAX; i++)
        if (worker_alive(&region->layout->workers[i]))
            ring_push(region_commands(region, i), &command, 1); /* full: it hears it next time */
}

bool region_applied(const struct region *region, enum tables_kind kind, uint64_t number)
{
    if (!region_data_plane_runs(region))
        return true;
    for (unsigned i = 0; i < region->layout->header.workers && i < TG_WORKERS_MAX; i++) {
        const struct region_worker *w = &region->layout->workers[i];
        if (worker_alive(w) &&
            atomic_load_explicit(&w->applied[kind], memory_order_acquire) < number)
            return false;
    }
    return true;
}
