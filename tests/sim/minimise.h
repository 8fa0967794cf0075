/* SPDX-License-Identifier: BSD-3-Clause
 * A failing seed made small: which of its faults it needs. Called by main.c.
 */
#ifndef TESTS_SIM_MINIMISE_H
#define TESTS_SIM_MINIMISE_H

#include "tests/sim/sim.h"

struct minimised {
    size_t before, after; /* decisions that the run took, that it needs */
    fault_id *needed;     /* [after], sorted; the caller frees */
    unsigned runs;
    char failure[400];         /* of the small run */
    char pcap[64], script[64]; /* files; empty: not written */
};

/* Find a small set of decisions under which the seed still fails in the same way (Zeller's ddmin, within `budget`
 * real seconds), and write what then happens to `folder`/tidegate-sim-SEED.pcap and .pkt.
 * False: the seed does not fail. */
bool minimise(sim_scenario *run, uint64_t seed, double budget, const char *folder,
              struct minimised *result);

void minimised_say(uint64_t seed, const struct minimised *m);

#endif
