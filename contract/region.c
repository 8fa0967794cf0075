/* SPDX-License-Identifier: BSD-3-Clause
 * The region as a file: creation, take-over, attachment, locks. Both processes call it at start and at
 * end only. Two byte locks on the file (open file description locks, fcntl(2): they vanish with their
 * process) say who lives: byte 0 the data plane, byte 1 the control plane that may write.
 *
 * A file is built under another name and appears whole. One that cannot be taken over is replaced, not
 * rewritten: whoever still maps the old one goes on reading old bytes and never gets a SIGBUS.
 */
#include "base/hash.h"
#include "contract/counters.h"
#include "contract/region_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define REGION_PAGE  4096u
#define CREATE_TRIES 5 /* another process may create or replace the file at the same time */

enum region_lock { REGION_LOCK_DATA = 0, REGION_LOCK_CONTROL = 1 }; /* byte of the file */

static bool region_lock(int fd, enum region_lock byte)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

bool region_data_plane_runs(const struct region *region)
{
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = REGION_LOCK_DATA, .l_len = 1};
    /* In doubt it runs: then nothing is freed too early. */
    return fcntl(region->fd, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

/* --- the header ------------------------------------------------------------------------------------- */

static uint32_t header_checksum(const struct region_header *h)
{
    return hash_crc32c(0, span_make(h, offsetof(struct region_header, checksum)));
}

static uint64_t arena_offset(void)
{
    return (sizeof(struct region_layout) + REGION_PAGE - 1) / REGION_PAGE * REGION_PAGE;
}

bool region_header_valid(const struct region_header *header, size_t file_bytes)
{
    if (file_bytes < sizeof *header)
        return false;
    struct region_header h = *header; /* checked is what was read once */
    return h.magic == REGION_MAGIC && h.layout_version == REGION_LAYOUT_VERSION &&
           h.checksum == header_checksum(&h) && h.counter_digest == counters_digest() &&
           h.workers > 0 && h.workers <= TG_WORKERS_MAX && h.bytes == file_bytes &&
           h.arena_offset == arena_offset() && h.bytes >= h.arena_offset &&
           h.arena_bytes == h.bytes - h.arena_offset;
}

static void header_write(struct region_header *h, unsigned workers, uint32_t node_slot,
                         uint64_t bytes, uint64_t boot_id)
{
    *h = (struct region_header){
        .magic = REGION_MAGIC,
        .layout_version = REGION_LAYOUT_VERSION,
        .workers = workers,
        .bytes = bytes,
        .arena_offset = arena_offset(),
        .arena_bytes = bytes - arena_offset(),
        .boot_id = boot_id,
        .counter_digest = counters_digest(),
        .node_slot = node_slot,
    };
    h->checksum = header_checksum(h);
}

/* --- mapping ---------------------------------------------------------------------------------------- */

static bool region_map(struct region *region, size_t bytes, bool writable)
{
    void *at =
        mmap(NULL, bytes, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, region->fd, 0);
    if (at == MAP_FAILED)
        return false;
    region->layout = at;
    region->bytes = bytes;
    /* Private keys: not to swap, not into a core dump. Both as far as the system lets us. */
    (void)madvise(at, bytes, MADV_DONTDUMP);
    (void)mlock(at, bytes);
    return true;
}

void region_close(struct region *region)
{
    if (region->layout) {
        if (region->writer)
            atomic_store(&region->layout->directory.control_pid, 0);
        munmap(region->layout, region->bytes);
    }
    if (region->fd >= 0)
        close(region->fd); /* the locks go with it */
    *region = (struct region){.fd = -1};
}

bool region_is_at(const struct region *region, const char *path)
{
    struct stat ours, named;
    return fstat(region->fd, &ours) == 0 && stat(path, &named) == 0 &&
           ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

/* --- creation: data plane --------------------------------------------------------------------------- */

struct region_wish {
    const char *path;
    unsigned workers;
    uint32_t node_slot;
    size_t bytes;
    int gid;
    uint64_t boot_id;
    char *problem;
};

#define PROBLEM_BYTES 256

static enum tg_err problem_errno(const struct region_wish *wish, const char *what)
{
    snprintf(wish->problem, PROBLEM_BYTES, "cannot %s %s: %s", what, wish->path, strerror(errno));
    return TG_SYSTEM;
}

/* A worker slot as a worker that starts expects it. The command ring's producer may be alive, so the
 * ring is emptied by its consumer's index and not made anew; commands are idempotent and the current
 * generations are read at start. */
static void worker_reset(struct region *region, unsigned i)
{
    struct region_worker *w = region_worker(region, i);
    struct command command;
    w->alive = 0;
    w->cpu = -1;
    w->connections = w->requests_active = w->pressure = 0;
    for (unsigned kind = 0; kind < TABLES_KINDS; kind++) {
        atomic_store(&w->applied[kind], 0);
        atomic_store(&w->oldest[kind], 0);
    }
    atomic_store(&w->heartbeat_ns, 0);
    atomic_store(&w->refused_kind, 0);
    atomic_store(&w->refused_number, 0);
    while (ring_pop(region_commands(region, i), &command, 1))
        ;
}

static bool rings_valid(const struct region *region)
{
    for (unsigned i = 0; i < TG_WORKERS_MAX; i++)
        if (!ring_valid(region_commands(region, i), REGION_COMMANDS, sizeof(struct command)) ||
            !ring_valid(region_events(region, i), REGION_EVENTS, sizeof(struct event)))
            return false;
    return true;
}

/* Make room for the whole file now: a page that tmpfs cannot give later would be a SIGBUS. */
static enum tg_err file_make(struct region *region, const struct region_wish *wish, char *name)
{
    region->fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (region->fd < 0)
        return problem_errno(wish, "create");
    if (wish->gid >= 0 && fchown(region->fd, (uid_t)-1, (gid_t)wish->gid) != 0)
        return problem_errno(wish, "give the control plane's group to");
    if (fchmod(region->fd, 0660) != 0)
        return problem_errno(wish, "set the rights of");
    errno = posix_fallocate(region->fd, 0, (off_t)wish->bytes);
    if (errno != 0)
        return problem_errno(wish, "reserve memory for");
    if (!region_lock(region->fd, REGION_LOCK_DATA))
        return problem_errno(wish, "lock");
    if (!region_map(region, wish->bytes, true))
        return problem_errno(wish, "map");
    for (unsigned i = 0; i < TG_WORKERS_MAX; i++) {
        ring_init(region_commands(region, i), REGION_COMMANDS, sizeof(struct command));
        ring_init(region_events(region, i), REGION_EVENTS, sizeof(struct event));
        worker_reset(region, i);
    }
    header_write(&region->layout->header, wish->workers, wish->node_slot, wish->bytes,
                 wish->boot_id);
    return TG_OK;
}

/* Build a file and give it the region's name: by link(2) where there must be none yet (TG_EXISTS:
 * somebody was faster), by rename(2) over one that we hold the lock of. */
static enum tg_err file_install(struct region *region, const struct region_wish *wish, bool replace)
{
    char name[4096];
    int n = snprintf(name, sizeof name, "%s.%ld.new", wish->path, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof name) {
        errno = ENAMETOOLONG;
        return problem_errno(wish, "create");
    }
    (void)unlink(name); /* of a process with our number that was killed */
    enum tg_err err = file_make(region, wish, name);
    if (err == TG_OK && (replace ? rename(name, wish->path) : link(name, wish->path)) != 0)
        err = errno == EEXIST ? TG_EXISTS : problem_errno(wish, "name");
    (void)unlink(name);
    if (err != TG_OK)
        region_close(region);
    return err;
}

/* Take over an existing file whose lock we hold. False: it cannot be taken over. */
static bool file_take_over(struct region *region, const struct region_wish *wish)
{
    struct stat st;
    if (fstat(region->fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size != (off_t)wish->bytes)
        return false;
    if (!region_map(region, wish->bytes, true))
        return false;
    if (!region_header_valid(&region->layout->header, region->bytes) || !rings_valid(region))
        return false;
    for (unsigned i = 0; i < TG_WORKERS_MAX; i++)
        worker_reset(region, i);
    header_write(&region->layout->header, wish->workers, wish->node_slot, wish->bytes,
                 wish->boot_id);
    return true;
}

/* One try; TG_EXISTS: the file changed under our feet, try again. */
static enum tg_err region_open_or_make(struct region *region, const struct region_wish *wish)
{
    *region = (struct region){.fd = -1};
    region->fd = open(wish->path, O_RDWR | O_CLOEXEC);
    if (region->fd < 0 && errno == ENOENT)
        return file_install(region, wish, false);
    if (region->fd < 0)
        return problem_errno(wish, "open");
    if (!region_lock(region->fd, REGION_LOCK_DATA)) {
        snprintf(wish->problem, PROBLEM_BYTES, "another tidegate runs with %s; stop it first",
                 wish->path);
        region_close(region);
        return TG_SYSTEM;
    }
    if (!region_is_at(region, wish->path)) {
        region_close(region);
        return TG_EXISTS;
    }
    if (file_take_over(region, wish))
        return TG_OK;
    struct region fresh = {.fd = -1};
    enum tg_err err = file_install(&fresh, wish, true);
    region_close(region); /* the old lock is held until the new file stands */
    *region = fresh;
    return err;
}

enum tg_err region_create(struct region *region, const char *path, unsigned workers,
                          uint32_t node_slot, size_t arena_bytes, int gid, uint64_t boot_id,
                          char problem[256])
{
    tg_assert(workers > 0 && workers <= TG_WORKERS_MAX);
    size_t arena = (arena_bytes + REGION_PAGE - 1) / REGION_PAGE * REGION_PAGE;
    struct region_wish wish = {.path = path,
                               .workers = workers,
                               .node_slot = node_slot,
                               .bytes = (size_t)arena_offset() + arena,
                               .gid = gid,
                               .boot_id = boot_id,
                               .problem = problem};
    problem[0] = '\0';
    for (unsigned i = 0; i < CREATE_TRIES; i++) {
        enum tg_err err = region_open_or_make(region, &wish);
        if (err != TG_EXISTS)
            return err;
    }
    snprintf(problem, PROBLEM_BYTES, "another process keeps replacing %s", path);
    return TG_SYSTEM;
}

/* --- attachment: control plane ---------------------------------------------------------------------- */

enum tg_err region_attach(struct region *region, const char *path, bool writable)
{
    *region = (struct region){.fd = -1};
    region->fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (region->fd < 0)
        return errno == ENOENT ? TG_NOT_FOUND : TG_SYSTEM;
    enum tg_err err = TG_SYSTEM;
    struct region_header header;
    struct stat st;
    if (fstat(region->fd, &st) != 0)
        goto fail;
    err = TG_VERSION;
    if (pread(region->fd, &header, sizeof header, 0) != (ssize_t)sizeof header)
        goto fail;
    if (!region_header_valid(&header, (size_t)st.st_size)) {
        if (!writable && header.magic == REGION_MAGIC && region_map(region, sizeof header, false))
            return TG_VERSION; /* the header is there to be looked at */
        goto fail;
    }
    err = TG_EXISTS;
    if (writable && !region_lock(region->fd, REGION_LOCK_CONTROL))
        goto fail;
    err = TG_SYSTEM;
    if (!region_map(region, (size_t)st.st_size, writable))
        goto fail;
    err = TG_VERSION;
    if (!rings_valid(region))
        goto fail;
    region->writer = writable;
    if (writable) {
        atomic_store(&region->layout->directory.control_pid, (uint64_t)getpid());
        region_repair(region);
    }
    return TG_OK;
fail:
    region_close(region);
    return err;
}
