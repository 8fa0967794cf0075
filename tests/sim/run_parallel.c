/* SPDX-License-Identifier: BSD-3-Clause
 * Seeds shared out among processes: each takes the next that nobody has, and writes what came of it into
 * shared memory. A process that dies has failed its seed; another takes its place. Results are told in the
 * order of the seeds, whoever was first. Called by main.c.
 */
#include "tests/sim/run.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define JOBS_MAX 64

struct board {
    _Atomic uint64_t next;               /* index of the first seed that nobody has taken */
    _Atomic uint64_t taken_by[JOBS_MAX]; /* index + 1; 0: none */
    struct run_slot slots[];
};

struct crew {
    const struct run_options *options;
    struct board *board;
    size_t bytes;
    pid_t pids[JOBS_MAX];
    uint64_t told; /* slots whose end has been told */
    struct run_totals totals;
};

static void tell(struct crew *crew, uint64_t index)
{
    const struct run_slot *slot = &crew->board->slots[index];
    unsigned long long seed = crew->options->seed + index;
    const char *scenario = run_scenario_name(slot->scenario);
    crew->totals.virtual_time += slot->virtual_time;
    crew->totals.frames += slot->frames;
    for (unsigned kind = 0; kind < FAULT_KINDS; kind++)
        crew->totals.faults[kind] += slot->faults[kind];
    if (slot->state == RUN_PASSED) {
        crew->totals.passed++;
    } else {
        if (crew->totals.failed < TG_ARRAY_LEN(crew->totals.failures))
            crew->totals.failures[crew->totals.failed] = seed;
        crew->totals.failed++;
        printf("seed %llu: FAIL %s\n"
               "    repeat with: tidegate-sim --scenario %s --seed %llu --verbose\n",
               seed, slot->failure, scenario, seed);
    }
    if (crew->options->digests)
        printf("digest %llu %s %016llx\n", seed, scenario, (unsigned long long)slot->digest);
    fflush(stdout);
}

static void tell_ready(struct crew *crew)
{
    while (crew->told < crew->options->count && crew->board->slots[crew->told].state >= RUN_PASSED)
        tell(crew, crew->told++);
}

/* The life of one process. */
static void work(struct crew *crew, unsigned job)
{
    struct board *board = crew->board;
    for (;;) {
        uint64_t index = atomic_fetch_add(&board->next, 1);
        if (index >= crew->options->count)
            break;
        board->taken_by[job] = index + 1;
        struct run_slot *slot = &board->slots[index];
        slot->scenario = run_scenario_of(crew->options, crew->options->seed + index);
        slot->state = RUN_BUSY;
        alarm(2 * RUN_SECONDS);
        run_seed(crew->options, crew->options->seed + index, slot);
        board->taken_by[job] = 0;
        fflush(stdout);
    }
    exit(0); /* not _exit: coverage is written, leaks are looked for */
}

static void start(struct crew *crew, unsigned job)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        work(crew, job);
    if (pid < 0) {
        perror("fork");
        exit(2);
    }
    crew->pids[job] = pid;
}

/* A process has ended: at its work's end, or in the middle of a seed. */
static bool ended(struct crew *crew, unsigned job, int status)
{
    struct board *board = crew->board;
    uint64_t taken = board->taken_by[job];
    crew->pids[job] = 0;
    if (taken == 0)
        return status != 0 && board->next < crew->options->count;
    struct run_slot *slot = &board->slots[taken - 1];
    board->taken_by[job] = 0;
    if (slot->state == RUN_BUSY || slot->state == RUN_WAITING) {
        if (WIFSIGNALED(status))
            snprintf(slot->failure, sizeof slot->failure, "crash: signal %d", WTERMSIG(status));
        else
            snprintf(slot->failure, sizeof slot->failure, "crash: status %d", WEXITSTATUS(status));
        slot->state = RUN_FAILED;
    }
    return true;
}

static void wait_for_all(struct crew *crew)
{
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, crew->told < crew->options->count ? WNOHANG : 0);
        if (pid < 0)
            break;
        for (unsigned job = 0; pid > 0 && job < crew->options->jobs; job++)
            if (crew->pids[job] == pid && ended(crew, job, status))
                start(crew, job);
        tell_ready(crew);
        if (pid == 0)
            usleep(5000);
    }
}

struct run_totals run_seeds(const struct run_options *options)
{
    struct crew crew = {.options = options};
    crew.bytes = sizeof *crew.board + options->count * sizeof crew.board->slots[0];
    crew.board = mmap(NULL, crew.bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (crew.board == MAP_FAILED) {
        perror("mmap");
        exit(2);
    }
    for (unsigned job = 0; job < options->jobs; job++)
        start(&crew, job);
    wait_for_all(&crew);
    tell_ready(&crew);
    munmap(crew.board, crew.bytes);
    return crew.totals;
}
