/* SPDX-License-Identifier: BSD-3-Clause
 * A write to the fleet store in the making: operations with the revisions that are known of their keys, and what has
 * to go with them (guards, meta in a new store). Called by fleet_sync.
 */
#ifndef CTRLPLANE_FLEET_OPS_H
#define CTRLPLANE_FLEET_OPS_H

#include "ctrlplane/fleet_keys.h"
#include "ctrlplane/fleet_sync.h"

#define FLEET_OPS_RESOURCES (FLEET_OPS_MAX - 3) /* beside the guards and meta */

struct fleet_ops {
    struct fleet_op ops[FLEET_OPS_MAX];
    char *values[FLEET_OPS_MAX]; /* owned */
    unsigned count;
    size_t bytes;       /* of all values */
    bool routes, nodes; /* some are guarded by guard/routes, guard/nodes */
};

/* One resource; resource NULL: delete it. Room must be there. */
void fleet_ops_add(struct fleet_ops *ops, const struct fleet *fleet, enum fleet_part part,
                   const char *name, const json_t *resource);
/* The difference from one model to another, as far as there is room. */
void fleet_ops_diff(struct fleet_ops *ops, const struct fleet *fleet, const json_t *from,
                    const json_t *to);
/* What goes with the resources. meta: also say that the store is set up. */
void fleet_ops_finish(struct fleet_ops *ops, const struct fleet *fleet, bool meta);
void fleet_ops_free(struct fleet_ops *ops);

/* Take the last resource out again. Before fleet_ops_finish. */
void fleet_ops_drop_last(struct fleet_ops *ops);
/* Write them, and wait for the answer (FLEET_WRITE_MS at most). What was stored is known then. Batches of the store
 * wait meanwhile. */
const struct fleet_answer *fleet_ops_write(struct fleet_ops *ops, struct control *control);

/* A store without meta, and a node with resources: put them there, as far as the store has nothing under their keys.
 * What comes of it shows in the next snapshot. */
bool fleet_seed_needed(const struct control *control);
void fleet_seed(struct control *control, const struct fleet_batch *snapshot, tg_ns now);

/* Revision that is known of a key: 0: none; negative: gone since. */
int64_t fleet_known(const struct fleet *fleet, const char *key);
void fleet_know(struct fleet *fleet, const char *key, int64_t revision);

#endif
