/* SPDX-License-Identifier: BSD-3-Clause
 * tidegate-sim: runs seeds. Each seed runs twice and must give the same digest. A failing seed prints
 * what is wrong and the command that repeats it; the last line counts.
 */
#include "tests/sim/capture.h"
#include "tests/sim/minimise.h"
#include "tests/sim/run.h"
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define MINIMISE_SECONDS 30.0 /* real, for each failure */

/* Without forwarding every connection must break, else the fleet's scenario proves nothing. */
static bool run_control(void)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct sim_result result =
            run_scenario(scenario_fleet_alone, seed, NULL, NULL, false, false);
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
        struct sim_result result =
            run_scenario(scenario_tcp_forged, seed, NULL, NULL, false, false);
        if (result.failed && strstr(result.failure, "wrong byte"))
            return true;
    }
    printf("selftest: FAIL 20 runs with forged payload went unnoticed\n");
    return false;
}

/* The minimiser must find, among hundreds of decisions, the one forged frame and the connection that it hit. */
static bool run_minimiser_test(void)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct minimised m;
        if (!minimise(scenario_tcp_forged, seed, 600, "/tmp",
                      &m) || /* however slow the machine is */
            !strstr(m.failure, "wrong byte") ||
            m.before < 100) {
            free(m.needed);
            continue;
        }
        unsigned forged = 0;
        for (size_t i = 0; i < m.after; i++)
            forged += m.needed[i] >> 56 == FAULT_FORGE;
        bool good = m.after <= 8 && forged == 1 && m.pcap[0] && m.script[0];
        minimised_say(seed, &m);
        if (!good)
            printf("selftest: FAIL the minimiser left %zu decisions, %u of them forged\n", m.after,
                   forged);
        free(m.needed);
        return good;
    }
    printf("selftest: FAIL no run with forged payload to minimise\n");
    return false;
}

static _Noreturn void usage(const char *program)
{
    fprintf(stderr,
            "usage: %s [--seed N] [--seeds COUNT] [--scenario tcp|http|fleet] [--jobs N] [--once]\n"
            "       [--digests] [--selftest] [--verbose] [--trace] [--scripts FOLDER]\n"
            "Runs seeds N .. N+COUNT-1 (1 and 1), each twice (--once: once). --seeds also runs the "
            "self-test. --scripts: writes .pkt scripts of the runs instead.\n",
            program);
    exit(2);
}

static int scenario_named(const char *name)
{
    for (unsigned i = 0; i < run_scenario_count(); i++)
        if (strcmp(name, run_scenario_name(i)) == 0)
            return (int)i;
    return -1;
}

static uint64_t number_of(const char *text, const char *program)
{
    char *end;
    uint64_t n = strtoull(text, &end, 0);
    if (*end || end == text)
        usage(program);
    return n;
}

/* The first failures are made small. */
static void explain(const struct run_options *o, const struct run_totals *totals)
{
    for (unsigned i = 0; i < totals->failed && i < TG_ARRAY_LEN(totals->failures); i++) {
        struct minimised m;
        uint64_t seed = totals->failures[i];
        unsigned scenario = run_scenario_of(o, seed);
        if (minimise(run_scenario_function(scenario), seed, MINIMISE_SECONDS, "/tmp", &m))
            minimised_say(seed, &m);
        else
            printf("    seed %llu does not fail again\n", (unsigned long long)seed);
        free(m.needed);
    }
}

struct options {
    struct run_options run;
    bool selftest;
    const char *scripts; /* a folder; NULL: none are wanted */
};

/* Every run's last connection, as either side saw it: tidegate-pkt must bring the stack to the same again. */
static unsigned write_scripts(const struct options *o, uint64_t seed)
{
    struct capture capture = {0};
    unsigned written = 0;
    run_scenario(run_scenario_function(run_scenario_of(&o->run, seed)), seed, NULL, &capture, false,
                 false);
    for (unsigned port = 0; port < 2; port++) {
        char path[300], remark[40];
        uint16_t flow = capture_last_flow(&capture, port);
        snprintf(path, sizeof path, "%s/%llu-%u.pkt", o->scripts, (unsigned long long)seed, port);
        snprintf(remark, sizeof remark, "seed %llu", (unsigned long long)seed);
        written += flow && capture_write_script(&capture, port, flow, remark, path);
    }
    capture_free(&capture);
    return written;
}

static void option_take(struct options *o, int c, const char *program)
{
    switch (c) {
    case 's':
        o->run.seed = number_of(optarg, program);
        break;
    case 'n':
        o->run.count = number_of(optarg, program), o->selftest = true;
        break;
    case 'c':
        o->run.scenario = scenario_named(optarg);
        if (o->run.scenario < 0)
            usage(program);
        break;
    case 'j':
        o->run.jobs = (unsigned)number_of(optarg, program);
        break;
    case 'v':
        o->run.verbose = true;
        break;
    case 'f':
        o->run.trace = o->run.verbose = true;
        break;
    case 'd':
        o->run.digests = true;
        break;
    case 'o':
        o->run.once = true;
        break;
    case 'w':
        o->scripts = optarg;
        break;
    case 't':
        o->selftest = true, o->run.count = 0;
        break;
    default:
        usage(program);
    }
}

static struct options options_parse(int argc, char **argv)
{
    static const struct option longs[] = {
        {"seed", required_argument, NULL, 's'},
        {"seeds", required_argument, NULL, 'n'},
        {"scenario", required_argument, NULL, 'c'},
        {"jobs", required_argument, NULL, 'j'},
        {"verbose", no_argument, NULL, 'v'},
        {"selftest", no_argument, NULL, 't'},
        {"trace", no_argument, NULL, 'f'},
        {"digests", no_argument, NULL, 'd'},
        {"once", no_argument, NULL, 'o'},
        {"scripts", required_argument, NULL, 'w'},
        {NULL, 0, NULL, 0},
    };
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    struct options o = {.run = {.seed = 1, .count = 1, .scenario = -1}};
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;)
        option_take(&o, c, argv[0]);
    if (optind != argc)
        usage(argv[0]);
    if (o.run.jobs == 0)
        o.run.jobs = processors > 0 ? (unsigned)processors : 1;
    if (o.run.verbose || o.run.jobs > o.run.count)
        o.run.jobs = 1;
    if (o.run.jobs > 64)
        o.run.jobs = 64;
    return o;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void say_totals(const struct run_options *o, const struct run_totals *t, double took)
{
    double virtual_s = (double)t->virtual_time / TG_S;
    printf("%.1f s real, %.0f s virtual, %.0f x; %.1f M frames; %u processes\n", took, virtual_s,
           virtual_s / took, (double)t->frames / 1e6, o->jobs);
    if (o->count < 2)
        return;
    printf("faults:");
    for (unsigned kind = 1; kind < FAULT_KINDS; kind++)
        printf(" %s %llu,", fault_name((enum sim_fault_kind)kind),
               (unsigned long long)t->faults[kind]);
    printf("\n");
}

int main(int argc, char **argv)
{
    struct options o = options_parse(argc, argv);
    printf("seeds %llu to %llu\n", (unsigned long long)o.run.seed,
           (unsigned long long)(o.run.seed + o.run.count - 1));
    fflush(stdout);
    /* Every run takes and gives back tens of MiB: keep them, page faults cost more than the runs. */
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    if (o.scripts) {
        unsigned written = 0;
        for (uint64_t i = 0; i < o.run.count; i++)
            written += write_scripts(&o, o.run.seed + i);
        printf("%u scripts\n", written);
        return written ? 0 : 1;
    }
    double start = seconds();
    struct run_totals totals = o.run.count ? run_seeds(&o.run) : (struct run_totals){0};
    double took = seconds() - start;
    if (o.run.count)
        say_totals(&o.run, &totals, took);
    explain(&o.run, &totals);
    if (o.selftest) {
        /* first, while there is little memory for its processes to copy */
        run_minimiser_test() ? totals.passed++ : totals.failed++;
        run_selftest() ? totals.passed++ : totals.failed++;
        run_control() ? totals.passed++ : totals.failed++;
    }
    printf("%llu passed, %llu failed\n", (unsigned long long)totals.passed,
           (unsigned long long)totals.failed);
    return totals.failed ? 1 : 0;
}
