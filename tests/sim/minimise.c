/* SPDX-License-Identifier: BSD-3-Clause
 * Delta debugging over decisions. Every trial is a process of its own, since a trial may crash or hang.
 */
#include "tests/sim/minimise.h"
#include "tests/sim/capture.h"
#include "tests/sim/run.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SEEN_MAX (1u << 20) /* decisions of a run that are looked at */

/* Written by a trial's process, read by ours. */
struct outcome {
    bool failed;
    char failure[400];
    fault_id seen[SEEN_MAX]; /* up to the first 0: it is there even if the run crashes */
};

struct search {
    sim_scenario *run;
    uint64_t seed;
    double until;
    unsigned runs;
    char kind[400]; /* of the failure that is looked for */
    struct outcome *outcome;
};

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Two failures are alike when they differ in numbers only, up to the first parenthesis. */
static void kind_of(const char *failure, char kind[400])
{
    size_t n = 0;
    for (; *failure && *failure != '(' && n < 399; failure++)
        if (!isdigit((unsigned char)*failure))
            kind[n++] = *failure;
    kind[n] = '\0';
}

/* --- trials ------------------------------------------------------------------------------------------------- */

static void try_in_child(const struct search *s, struct sim_faults *faults)
{
    struct outcome *o = s->outcome;
    alarm(RUN_SECONDS);
    struct sim_result result = run_scenario(s->run, s->seed, faults, NULL, false, false);
    o->failed = result.failed;
    memcpy(o->failure, result.failure, sizeof o->failure);
    _exit(0);
}

/* True: with these faults only (NULL: with all) the run fails. */
static bool try(struct search *s, const fault_id *only, size_t n)
{
    struct sim_faults faults = {.only = only, .only_count = n, .limited = only != NULL};
    if (!only)
        faults.seen = s->outcome->seen, faults.seen_cap = SEEN_MAX;
    int status;
    s->runs++;
    s->outcome->failed = false;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        if (only && !freopen("/dev/null", "w", stderr)) /* a crash has been told once */
            _exit(1);
        try_in_child(s, &faults);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return false;
    if (status != 0) {
        s->outcome->failed = true;
        snprintf(s->outcome->failure, sizeof s->outcome->failure, "crash: status %d", status);
    }
    return s->outcome->failed;
}

static bool still_fails(struct search *s, const fault_id *only, size_t n)
{
    char kind[400];
    if (!try(s, only, n))
        return false;
    kind_of(s->outcome->failure, kind);
    return strcmp(kind, s->kind) == 0;
}

/* --- ddmin (Zeller and Hildebrandt 2002) ----------------------------------------------------------------------- */

/* All but [from, to) into out. */
static size_t without(const fault_id *list, size_t n, size_t from, size_t to, fault_id *out)
{
    memcpy(out, list, from * sizeof *out);
    memcpy(out + from, list + to, (n - to) * sizeof *out);
    return n - (to - from);
}

/* Take away each of `parts` pieces in turn; true: one could go, and has. */
static bool shrink(struct search *s, fault_id *list, size_t *n, size_t parts, fault_id *trial)
{
    bool shrunk = false;
    size_t step = (*n + parts - 1) / parts;
    for (size_t from = 0; from < *n && seconds() < s->until;) {
        size_t to = from + step < *n ? from + step : *n;
        size_t left = without(list, *n, from, to, trial);
        if (!still_fails(s, trial, left)) {
            from = to;
            continue;
        }
        memcpy(list, trial, left * sizeof *list);
        *n = left;
        shrunk = true;
    }
    return shrunk;
}

static void ddmin(struct search *s, fault_id *list, size_t *n)
{
    fault_id *trial = malloc((*n + 1) * sizeof *trial);
    tg_assert(trial);
    for (size_t parts = 2; *n && seconds() < s->until;) {
        bool shrunk = shrink(s, list, n, parts, trial);
        if (parts >= *n && !shrunk)
            break;
        if (!shrunk || parts > *n)
            parts = 2 * parts < *n ? 2 * parts : *n;
    }
    free(trial);
}

/* --- what is told ------------------------------------------------------------------------------------------------ */

static int by_value(const void *a, const void *b)
{
    fault_id x = *(const fault_id *)a, y = *(const fault_id *)b;
    return x < y ? -1 : x > y;
}

static void write_files(struct search *s, const char *folder, struct minimised *m)
{
    char remark[500];
    unsigned port =
        strncmp(m->failure, "server", 6) == 0; /* whose view; the client's if in doubt */
    struct capture capture = {0};
    struct sim_faults faults = {.only = m->needed, .only_count = m->after, .limited = true};
    run_scenario(s->run, s->seed, &faults, &capture, false, false);
    uint16_t flow = capture_last_flow(&capture, port);
    snprintf(m->pcap, sizeof m->pcap, "%s/tidegate-sim-%llu.pcap", folder,
             (unsigned long long)s->seed);
    snprintf(m->script, sizeof m->script, "%s/tidegate-sim-%llu.pkt", folder,
             (unsigned long long)s->seed);
    snprintf(remark, sizeof remark, "seed %llu: %s", (unsigned long long)s->seed, m->failure);
    if (!capture_write_pcap(&capture, port, m->pcap))
        m->pcap[0] = '\0';
    if (!flow || !capture_write_script(&capture, port, flow, remark, m->script))
        m->script[0] = '\0';
    capture_free(&capture);
}

bool minimise(sim_scenario *run, uint64_t seed, double budget, const char *folder,
              struct minimised *m)
{
    struct search s = {.run = run, .seed = seed, .until = seconds() + budget};
    *m = (struct minimised){0};
    s.outcome =
        mmap(NULL, sizeof *s.outcome, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s.outcome == MAP_FAILED)
        return false;
    bool failed = try(&s, NULL, 0);
    if (failed) {
        kind_of(s.outcome->failure, s.kind);
        while (m->before < SEEN_MAX && s.outcome->seen[m->before])
            m->before++;
        m->after = m->before;
        m->needed = malloc((m->after + 1) * sizeof *m->needed);
        tg_assert(m->needed);
        memcpy(m->needed, s.outcome->seen, m->after * sizeof *m->needed);
        qsort(m->needed, m->after, sizeof *m->needed, by_value);
        ddmin(&s, m->needed, &m->after);
        if (still_fails(&s, m->needed, m->after))
            memcpy(m->failure, s.outcome->failure, sizeof m->failure);
        m->runs = s.runs;
        if (strncmp(m->failure, "crash", 5) != 0) /* which nothing outlives */
            write_files(&s, folder, m);
    }
    munmap(s.outcome, sizeof *s.outcome);
    return failed;
}

void minimised_say(uint64_t seed, const struct minimised *m)
{
    char text[64];
    printf("    seed %llu needs %zu of %zu decisions (%u runs): %s\n", (unsigned long long)seed,
           m->after, m->before, m->runs, m->failure);
    for (size_t i = 0; i < m->after && i < 12; i++)
        printf("      %s\n", fault_text(m->needed[i], text));
    printf("    %s %s\n", m->pcap, m->script);
}
