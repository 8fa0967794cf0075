/* SPDX-License-Identifier: BSD-3-Clause
 * One seed, run twice: the same digest must come of it. And many seeds, shared out among processes.
 */
#ifndef TESTS_SIM_RUN_H
#define TESTS_SIM_RUN_H

#include "tests/sim/sim.h"

#define RUN_SECONDS 120 /* real: a run that takes longer hangs, it is ended and has failed */

struct run_options {
    uint64_t seed, count;
    int scenario; /* index; -1: the seed decides */
    unsigned jobs;
    bool verbose, trace, digests, once;
};

/* What is known of one seed; in memory shared by the processes. */
struct run_slot {
    enum run_state { RUN_WAITING, RUN_BUSY, RUN_PASSED, RUN_FAILED } state;
    unsigned scenario;
    uint64_t digest;
    tg_ns virtual_time;
    uint64_t frames;
    uint32_t faults[FAULT_KINDS]; /* of the first run */
    char failure[400];
};

struct run_totals {
    uint64_t passed, failed;
    tg_ns virtual_time; /* of all runs together */
    uint64_t frames;
    uint64_t faults[FAULT_KINDS];
    uint64_t failures[3]; /* the first seeds that failed */
};

unsigned run_scenario_count(void);
const char *run_scenario_name(unsigned scenario);
/* Which scenario a seed plays. */
unsigned run_scenario_of(const struct run_options *options, uint64_t seed);
/* Run a function once with these faults (NULL: all), into a capture (NULL: none). */
struct sim_result run_scenario(sim_scenario *run, uint64_t seed, struct sim_faults *faults,
                               struct capture *capture, bool verbose, bool trace);
sim_scenario *run_scenario_function(unsigned scenario);
/* One seed, twice unless options->once. */
void run_seed(const struct run_options *options, uint64_t seed, struct run_slot *slot);
/* All seeds of the options, on options->jobs processes; failures are printed as their turn comes. */
struct run_totals run_seeds(const struct run_options *options);

#endif
