/* SPDX-License-Identifier: BSD-3-Clause
 * The SPSC ring: free-running 32-bit indices, so that full and empty differ without a spare slot.
 * Called by workers (hand-off, mailbox) and by both processes over the region. The other end may be
 * another process: indices that make no sense count as "nothing there", they never lead out of the
 * memory.
 */
#include "base/ring.h"
#include <stdatomic.h>
#include <string.h>

void ring_init(struct ring *r, uint32_t entries, uint32_t entry_bytes)
{
    tg_assert(entries > 0 && (entries & (entries - 1)) == 0);
    tg_assert(entry_bytes > 0);
    memset(r, 0, sizeof *r);
    r->entries = entries;
    r->entry_bytes = entry_bytes;
}

bool ring_valid(const struct ring *r, uint32_t entries, uint32_t entry_bytes)
{
    uint32_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);
    uint32_t head = atomic_load_explicit(&r->head, memory_order_acquire);
    return r->entries == entries && r->entry_bytes == entry_bytes && head - tail <= entries;
}

/* Copy between the ring and a flat array, in two pieces where the ring wraps. */
static void ring_copy_in(struct ring *r, uint32_t at, const uint8_t *in, uint32_t n)
{
    uint32_t first = at & (r->entries - 1);
    uint32_t before_wrap = r->entries - first < n ? r->entries - first : n;
    size_t bytes = (size_t)before_wrap * r->entry_bytes;
    memcpy(r->slots + (size_t)first * r->entry_bytes, in, bytes);
    memcpy(r->slots, in + bytes, (size_t)(n - before_wrap) * r->entry_bytes);
}

static void ring_copy_out(const struct ring *r, uint32_t at, uint8_t *out, uint32_t n)
{
    uint32_t first = at & (r->entries - 1);
    uint32_t before_wrap = r->entries - first < n ? r->entries - first : n;
    size_t bytes = (size_t)before_wrap * r->entry_bytes;
    memcpy(out, r->slots + (size_t)first * r->entry_bytes, bytes);
    memcpy(out + bytes, r->slots, (size_t)(n - before_wrap) * r->entry_bytes);
}

unsigned ring_push(struct ring *r, const void *in, unsigned n)
{
    uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    uint32_t used = head - r->tail_seen;
    if (used > r->entries || r->entries - used < n) {
        r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
        used = head - r->tail_seen;
        if (used > r->entries)
            return 0;
    }
    if (n > r->entries - used)
        n = r->entries - used;
    if (n == 0)
        return 0;
    ring_copy_in(r, head, in, n);
    atomic_store_explicit(&r->head, head + n, memory_order_release);
    return n;
}

unsigned ring_pop(struct ring *r, void *out, unsigned n)
{
    uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    uint32_t waiting = r->head_seen - tail;
    if (waiting > r->entries || waiting < n) {
        r->head_seen = atomic_load_explicit(&r->head, memory_order_acquire);
        waiting = r->head_seen - tail;
        if (waiting > r->entries)
            return 0;
    }
    if (n > waiting)
        n = waiting;
    if (n == 0)
        return 0;
    ring_copy_out(r, tail, out, n);
    atomic_store_explicit(&r->tail, tail + n, memory_order_release);
    return n;
}

unsigned ring_count(const struct ring *r)
{
    /* tail first: the head that is read after it is never behind it. */
    uint32_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);
    uint32_t waiting = atomic_load_explicit(&r->head, memory_order_acquire) - tail;
    return waiting <= r->entries ? waiting : r->entries;
}
