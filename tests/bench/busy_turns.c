/* SPDX-License-Identifier: BSD-3-Clause
 * For the bench http-stages: stands between main's loop and worker_poll (the linker's --wrap) in the program
 * tests/bench/tidegate_turns, which is tidegate otherwise, and writes down when each turn that found work began
 * and ended, so that samples of turns without work can be told from the others. Nothing in tidegate knows of it.
 *
 * TG_TURNS names the file: pairs of CLOCK_MONOTONIC nanoseconds (uint64_t, the machine's order), then zeroes.
 * Serves one worker. Turns beyond TURNS_MAX are not written down; stage_rows.py sees that and fails.
 */
#include "worker/worker.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define TURNS_MAX (1u << 22)

struct turn {
    uint64_t start, end;
};

static struct turn *turns;
static uint32_t turn_count;

bool __real_worker_poll(struct worker *w, int64_t wall_offset_ns);
bool __wrap_worker_poll(struct worker *w, int64_t wall_offset_ns);

static void turns_open(void)
{
    const char *path = getenv("TG_TURNS");
    int fd = path ? open(path, O_RDWR | O_CREAT | O_TRUNC, 0600) : -1;
    tg_assert(fd >= 0 && ftruncate(fd, TURNS_MAX * sizeof *turns) == 0);
    turns = mmap(NULL, TURNS_MAX * sizeof *turns, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    tg_assert(turns != MAP_FAILED);
    close(fd);
}

/* Not inlined: libc's clock keeps no frame, so the first caller that a sample's call chain shows is this one's. */
static __attribute__((noinline)) uint64_t turns_clock(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

bool __wrap_worker_poll(struct worker *w, int64_t wall_offset_ns)
{
    if (!turns)
        turns_open();
    uint64_t start = turns_clock();
    bool busy = __real_worker_poll(w, wall_offset_ns);
    if (busy && turn_count < TURNS_MAX)
        turns[turn_count++] = (struct turn){start, turns_clock()};
    return busy;
}
