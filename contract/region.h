/* SPDX-License-Identifier: BSD-3-Clause
 * The only code that maps the shared region. tidegate creates (or finds) it; tidegate-ctl attaches and publishes
 * generations; both survive the other's death at any instruction: data first, then its checksum, then one release
 * store that makes it current. Floor 1: base only.
 */
#ifndef CONTRACT_REGION_H
#define CONTRACT_REGION_H

#include "base/result.h"
#include "contract/layout.h"

struct region {
    struct region_layout *layout; /* mapped; NULL when closed */
    size_t bytes;
    int fd;
    bool writer; /* holds the control plane's lock */
};

/* Data plane: create the file at `path` (mode 0660, group `gid` or -1) with room for `arena_bytes`, or take over an
 * existing one of the same version and size with its tables. A damaged, foreign-version or smaller file is
 * replaced (its tables are the control plane's to publish again). Memory is locked and kept out of core dumps
 * where the system lets us. TG_SYSTEM: `problem` says why in one sentence. */
enum tg_err region_create(struct region *region, const char *path, unsigned workers,
                          uint32_t node_slot, size_t arena_bytes, int gid, uint64_t boot_id,
                          char problem[256]);

/* Control plane: attach. TG_NOT_FOUND: no data plane yet; TG_VERSION: another layout or damaged; TG_EXISTS: another
 * live tidegate-ctl holds the lock; TG_SYSTEM: no rights or no memory. After TG_VERSION with writable = false the header
 * alone may be mapped (layout is not NULL) to say which version it is: region_close ends that too. A writer
 * clears what a killed one left half done. */
enum tg_err region_attach(struct region *region, const char *path, bool writable);
void region_close(struct region *region);

/* True while `path` still names the file that is mapped. A data plane that finds a file it cannot take over puts a new
 * one in its place: attach again then. */
bool region_is_at(const struct region *region, const char *path);

/* True when the header is whole and of our version. */
bool region_header_valid(const struct region_header *header, size_t file_bytes);

/* --- control plane: publishing ------------------------------------------------------------------ */

/* One call at a time: a writer with threads has a lock of its own. */

/* Copy `len` bytes (a block that starts with struct tables_header; its number is set here) into the arena as the
 * next generation of `kind` and make it current. TG_FULL: no room (old generations still in use); nothing changed.
 * TG_BAD_INPUT: the block does not pass tables_valid. */
enum tg_err region_publish(struct region *region, enum tables_kind kind, void *block, size_t len,
                           uint64_t *number);
/* Tell every live worker (push COMMAND_USE for the current generation). Safe to repeat. */
void region_announce(struct region *region, enum tables_kind kind);
/* True when every live worker has `number` or a later one in force; also when there is none (a data plane that
 * was killed has no live workers, whatever its region_worker.alive says). */
bool region_applied(const struct region *region, enum tables_kind kind, uint64_t number);
/* Make the previous generation current again under a new number (pointer swap; no copy, so the
 * block's own tables_header.number stays the old one). TG_NOT_FOUND: there is none. TG_FULL: no slot. */
enum tg_err region_rollback(struct region *region, enum tables_kind kind, uint64_t *number);
/* Free what no live worker uses any more, except current and previous; wipes certificates. Also clears half-written
 * slots of a control plane that died. A live worker needs everything from min(oldest, applied) on; one with 0 there
 * has taken none yet and may be reading any (later than the one it refused); one that never reads a kind stores
 * UINT64_MAX in both. Returns slots freed. */
unsigned region_collect(struct region *region);

/* --- both: reading ------------------------------------------------------------------------------- */

/* The current generation: borrowed bytes, valid until every worker has acknowledged a later one. Verified: slot state, bounds,
 * checksum, tables_valid. TG_NOT_FOUND: none yet. TG_VERSION: damaged. */
enum tg_err region_current(const struct region *region, enum tables_kind kind, struct span *block,
                           uint64_t *number);
/* The same for a given number (still resident). */
enum tg_err region_generation(const struct region *region, enum tables_kind kind, uint64_t number,
                              struct span *block);

static inline struct region_worker *region_worker(const struct region *region, unsigned worker)
{
    return &region->layout->workers[worker];
}
static inline struct ring *region_commands(const struct region *region, unsigned worker)
{
    return (struct ring *)(void *)region->layout->workers[worker].command_ring;
}
static inline struct ring *region_events(const struct region *region, unsigned worker)
{
    return (struct ring *)(void *)region->layout->workers[worker].event_ring;
}

#endif
