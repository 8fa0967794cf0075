/* SPDX-License-Identifier: BSD-3-Clause
 * What comes from the fleet store, on its way into the model: read, checked, compiled. The store may hold anything; a
 * change that is of no use is left out, alone, and what the model had under its key stays. Called by fleet_sync.
 *
 *   merge_begin -> merge_change ... -> merge_end -> (candidate, blocks) -> merge_free
 */
#ifndef CTRLPLANE_FLEET_MERGE_H
#define CTRLPLANE_FLEET_MERGE_H

#include "ctrlplane/compile.h"
#include "ctrlplane/control.h"
#include "ctrlplane/fleet_keys.h"

/* One key's change. */
struct merge_item {
    char key[FLEET_KEY_MAX], name[FLEET_KEY_MAX];
    enum fleet_part part;
    int64_t revision;
    json_t *before; /* what the candidate had before; NULL: nothing */
    bool deletes;
    bool same;                   /* it was so already */
    char problem[FLEET_PROBLEM]; /* why it was left out; "" when it was not */
};

struct merge {
    const struct control *control;
    json_t *candidate; /* the model with the changes */
    struct merge_item *items;
    unsigned count, cap;
    struct block
        blocks[TABLES_KINDS]; /* of the kinds that differ from the model, after merge_end */
};

void merge_begin(struct merge *merge, const struct control *control);
/* value.data NULL: the key is gone. Keys that hold no resource are none of ours. */
void merge_change(struct merge *merge, const char *key, struct span value, int64_t revision);
/* Check the resources with one another, compile; whatever stands in the way is taken out, newest first. */
void merge_end(struct merge *merge);
void merge_free(struct merge *merge);

/* Did the item make a difference? After merge_end. */
bool merge_item_counts(const struct merge_item *item);

#endif
