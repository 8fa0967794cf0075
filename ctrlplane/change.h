/* SPDX-License-Identifier: BSD-3-Clause
 * One change of the node's resources, from candidate to "in force on every worker". The order, and
 * what a kill -9 behind each step leaves:
 *
 *   1 compile and check     nothing has happened
 *   2 fleet store           the restarted tidegate-ctl gets it from there, as all other nodes do
 *   3 state file, durable   the restarted tidegate-ctl finds the region different: publishes
 *   4 region                the restarted one finds the same bytes in both, and nothing to do
 *   5 acknowledgements      the same
 *   6 answer                a client without an answer repeats its request, which is idempotent
 *
 * The state file is never behind the region, so nothing that was in force is lost by a crash. A change that fails
 * behind step 2 is taken back in the fleet store.
 */
#ifndef CTRLPLANE_CHANGE_H
#define CTRLPLANE_CHANGE_H

#include "ctrlplane/compile.h"
#include "ctrlplane/control.h"

/* Make `candidate` (the reference is taken over), which differs from the model in one kind of
 * tables, the model in force.
 *
 * True: in force on every live worker, as *generation.
 * False: the problem says why, and nothing has changed, with one exception: "not-acknowledged"
 *        (504) means stored and published, but a worker is late. Its member "changed" says which
 *        of the two.
 *
 * Blocks for up to twice apply_timeout_ms and twice FLEET_WRITE_MS; audit events are drained meanwhile. */
bool change_apply(struct control *control, enum tables_kind kind, json_t *candidate,
                  uint64_t *generation, struct problem *problem);

#endif
