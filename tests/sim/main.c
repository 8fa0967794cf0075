/* SPDX-License-Identifier: BSD-3-Clause
 * tidegate-sim: runs seeds. Each seed runs twice and must give the same digest. A failing seed prints
 * what is wrong and the command that repeats it; the last line counts.
 */
#include "tests/sim/sim.h"
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct options {
    uint64_t seed, count;
    const char *scenario; /* NULL: the seed decides */
    bool verbose, trace, selftest;
};

static const struct {
    const char *name;
    sim_scenario *run;
} scenarios[] = {{"tcp", scenario_tcp}, {"http", scenario_http}, {"fleet", scenario_fleet}};

/* For the handler of a crash: which seed was it? */
static uint64_t running_seed;
static const char *running_scenario;

static void say_crash(void)
{
    char line[200];
    int n = snprintf(line, sizeof line,
                     "seed %llu: FAIL crash in scenario %s\n"
                     "    repeat with: tidegate-sim --scenario %s --seed %llu --verbose\n",
                     (unsigned long long)running_seed, running_scenario, running_scenario,
                     (unsigned long long)running_seed);
    if (n > 0)
        (void)!write(STDOUT_FILENO, line, (size_t)n);
}

static void on_crash(int sig)
{
    say_crash();
    signal(sig, SIG_DFL);
    raise(sig);
}

/* Present in sanitizer builds only: they do not end by a signal. */
void __asan_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void crash_handlers(void)
{
    if (__asan_set_death_callback)
        __asan_set_death_callback(say_crash);
    else
        signal(SIGSEGV, on_crash);
    signal(SIGABRT, on_crash);
}

static struct sim_result run_once(sim_scenario *run, uint64_t seed, bool verbose, bool trace)
{
    struct sim sim;
    sim_init(&sim, seed, verbose);
    sim.trace = trace;
    run(&sim);
    struct sim_result result = {sim.digest, sim.now - sim.start, sim.failed, ""};
    memcpy(result.failure, sim.failure, sizeof result.failure);
    if (verbose)
        printf("    %.3f s virtual, %llu turns; frames: %llu sent, %llu delivered, %llu lost, "
               "%llu duplicated, %llu reordered, %llu damaged, %llu garbage, %llu queue full, "
               "%llu cut, %llu too big; "
               "digest %016llx\n",
               (double)result.virtual_time / TG_S, (unsigned long long)sim.turns,
               (unsigned long long)sim.counts.sent, (unsigned long long)sim.counts.delivered,
               (unsigned long long)sim.counts.lost, (unsigned long long)sim.counts.duplicated,
               (unsigned long long)sim.counts.reordered, (unsigned long long)sim.counts.damaged,
               (unsigned long long)sim.counts.garbage, (unsigned long long)sim.counts.queue_full,
               (unsigned long long)sim.counts.resegmented, (unsigned long long)sim.counts.too_big,
               (unsigned long long)result.digest);
    sim_free(&sim);
    return result;
}

/* Twice, since a run that cannot be repeated cannot be debugged. */
static bool run_seed(unsigned scenario, uint64_t seed, bool verbose, bool trace)
{
    running_seed = seed;
    running_scenario = scenarios[scenario].name;
    if (verbose)
        printf("seed %llu: scenario %s\n", (unsigned long long)seed, running_scenario);
    struct sim_result first = run_once(scenarios[scenario].run, seed, verbose, trace);
    struct sim_result second = run_once(scenarios[scenario].run, seed, false, false);
    const char *what = first.failed ? first.failure : NULL;
    if (first.digest != second.digest || first.virtual_time != second.virtual_time)
        what = "the same seed gave another run";
    if (!what)
        return true;
    printf("seed %llu: FAIL %s\n"
           "    repeat with: tidegate-sim --scenario %s --seed %llu --verbose\n",
           (unsigned long long)seed, what, running_scenario, (unsigned long long)seed);
    fflush(stdout);
    return false;
}

/* Without forwarding every connection must break, else the fleet's scenario proves nothing. */
static bool run_control(void)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct sim_result result = run_once(scenario_fleet_alone, seed, false, false);
        if (!result.failed)
            continue;
        printf("control: FAIL seed %llu: %s\n", (unsigned long long)seed, result.failure);
        return false;
    }
    return true;
}

/* The oracle must ring when payload bytes change under a right checksum. */
static bool run_selftest(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct sim_result result = run_once(scenario_tcp_forged, seed, false, false);
        if (result.failed && strstr(result.failure, "wrong byte"))
            return true;
    }
    printf("selftest: FAIL 20 runs with forged payload went unnoticed\n");
    return false;
}

static unsigned scenario_of(const struct options *options, uint64_t seed)
{
    for (unsigned i = 0; i < TG_ARRAY_LEN(scenarios); i++)
        if (options->scenario && strcmp(options->scenario, scenarios[i].name) == 0)
            return i;
    return (unsigned)(seed % TG_ARRAY_LEN(scenarios));
}

static _Noreturn void usage(const char *program)
{
    fprintf(
        stderr,
        "usage: %s [--seed N] [--seeds COUNT] [--scenario tcp|http|fleet] [--selftest] [--verbose] "
        "[--trace]\n"
        "Runs seeds N .. N+COUNT-1 (1 and 1), each twice. --seeds also runs the self-test.\n",
        program);
    exit(2);
}

static struct options options_parse(int argc, char **argv)
{
    static const struct option longs[] = {
        {"seed", required_argument, NULL, 's'},
        {"seeds", required_argument, NULL, 'n'},
        {"scenario", required_argument, NULL, 'c'},
        {"verbose", no_argument, NULL, 'v'},
        {"selftest", no_argument, NULL, 't'},
        {"trace", no_argument, NULL, 'f'},
        {NULL, 0, NULL, 0},
    };
    struct options o = {.seed = 1, .count = 1};
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        char *end = NULL;
        if (c == 's')
            o.seed = strtoull(optarg, &end, 0);
        else if (c == 'n')
            o.count = strtoull(optarg, &end, 0), o.selftest = true;
        else if (c == 'c')
            o.scenario = optarg;
        else if (c == 'v')
            o.verbose = true;
        else if (c == 'f')
            o.trace = o.verbose = true;
        else if (c == 't')
            o.selftest = true, o.count = 0;
        else
            usage(argv[0]);
        if (end && (*end || end == optarg))
            usage(argv[0]);
    }
    if (optind != argc)
        usage(argv[0]);
    return o;
}

int main(int argc, char **argv)
{
    struct options o = options_parse(argc, argv);
    uint64_t passed = 0, failed = 0;
    printf("seeds %llu to %llu\n", (unsigned long long)o.seed,
           (unsigned long long)(o.seed + o.count - 1));
    fflush(stdout);
    crash_handlers();
    /* Every run takes and gives back tens of MiB: keep them, page faults cost more than the runs. */
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    for (uint64_t i = 0; i < o.count; i++)
        run_seed(scenario_of(&o, o.seed + i), o.seed + i, o.verbose, o.trace) ? passed++ : failed++;
    if (o.selftest) {
        run_selftest() ? passed++ : failed++;
        run_control() ? passed++ : failed++;
    }
    printf("%llu passed, %llu failed\n", (unsigned long long)passed, (unsigned long long)failed);
    return failed ? 1 : 0;
}
