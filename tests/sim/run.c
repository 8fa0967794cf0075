/* SPDX-License-Identifier: BSD-3-Clause
 * One seed.
 */
#include "tests/sim/run.h"
#include <stdio.h>

static const struct {
    const char *name;
    sim_scenario *run;
    unsigned share; /* of 20 seeds */
} scenarios[] = {
    {"tcp", scenario_tcp, 15}, {"http", scenario_http, 4}, {"fleet", scenario_fleet, 1}};

unsigned run_scenario_count(void)
{
    return TG_ARRAY_LEN(scenarios);
}

const char *run_scenario_name(unsigned scenario)
{
    return scenarios[scenario].name;
}

sim_scenario *run_scenario_function(unsigned scenario)
{
    return scenarios[scenario].run;
}

unsigned run_scenario_of(const struct run_options *options, uint64_t seed)
{
    if (options->scenario >= 0)
        return (unsigned)options->scenario;
    uint64_t at = seed * 7 % 20; /* every 20 neighbouring seeds meet the shares exactly */
    unsigned scenario = 0;
    while (at >= scenarios[scenario].share)
        at -= scenarios[scenario++].share;
    return scenario;
}

static void say_run(const struct sim *sim, const struct sim_result *result)
{
    printf("    %.3f s virtual, %llu turns; frames: %llu sent, %llu delivered, %llu too big;",
           (double)result->virtual_time / TG_S, (unsigned long long)sim->turns,
           (unsigned long long)sim->counts.sent, (unsigned long long)sim->counts.delivered,
           (unsigned long long)sim->counts.too_big);
    for (unsigned kind = 0; kind < FAULT_KINDS; kind++)
        if (sim->faults.counts[kind])
            printf(" %llu %s,", (unsigned long long)sim->faults.counts[kind],
                   fault_name((enum sim_fault_kind)kind));
    printf(" digest %016llx\n", (unsigned long long)result->digest);
}

struct sim_result run_scenario(sim_scenario *run, uint64_t seed, struct sim_faults *faults,
                               struct capture *capture, bool verbose, bool trace)
{
    struct sim sim;
    sim_init(&sim, seed, verbose);
    sim.trace = trace;
    sim.capture = capture;
    if (capture)
        capture->start = sim.start;
    if (faults)
        sim.faults = *faults;
    run(&sim);
    struct sim_result result = {.digest = sim.digest,
                                .virtual_time = sim.now - sim.start,
                                .frames = sim.counts.delivered,
                                .failed = sim.failed};
    for (unsigned kind = 0; kind < FAULT_KINDS; kind++)
        result.faults[kind] = (uint32_t)sim.faults.counts[kind];
    memcpy(result.failure, sim.failure, sizeof result.failure);
    if (verbose)
        say_run(&sim, &result);
    if (faults)
        *faults = sim.faults;
    sim_free(&sim);
    return result;
}

/* Twice, since a run that cannot be repeated cannot be debugged. */
void run_seed(const struct run_options *options, uint64_t seed, struct run_slot *slot)
{
    sim_scenario *run = scenarios[slot->scenario].run;
    if (options->verbose)
        printf("seed %llu: scenario %s\n", (unsigned long long)seed,
               scenarios[slot->scenario].name);
    struct sim_result first = run_scenario(run, seed, NULL, NULL, options->verbose, options->trace);
    struct sim_result second =
        options->once ? first : run_scenario(run, seed, NULL, NULL, false, false);
    bool same = first.digest == second.digest && first.virtual_time == second.virtual_time;
    slot->digest = first.digest;
    slot->virtual_time = first.virtual_time + (options->once ? 0 : second.virtual_time);
    slot->frames = first.frames + (options->once ? 0 : second.frames);
    memcpy(slot->faults, first.faults, sizeof slot->faults);
    memcpy(slot->failure, first.failure, sizeof slot->failure);
    if (!same)
        snprintf(slot->failure, sizeof slot->failure, "the same seed gave another run");
    slot->state = first.failed || !same ? RUN_FAILED : RUN_PASSED;
}
