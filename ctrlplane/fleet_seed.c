/* SPDX-License-Identifier: BSD-3-Clause
 * A fleet store that is new, or was emptied: a node with resources fills it from its own copy. Several may do so at
 * once; whoever is first with a key has it. With "meta", written last, the store begins to rule. Called by fleet_sync.
 */
#include "base/log.h"
#include "ctrlplane/control.h"
#include "ctrlplane/fleet_ops.h"
#include "ctrlplane/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEED_RETRY (2 * TG_S)

bool fleet_seed_needed(const struct control *c)
{
    size_t n = 0;
    for (size_t i = 0; i < FLEET_SINGLE_PARTS; i++)
        n += fleet_single_get(c->model, fleet_single_parts[i]) != NULL;
    for (size_t i = 0; i < FLEET_NAMED_PARTS; i++)
        n += json_object_size(model_get(c->model, fleet_collection(fleet_named_parts[i])));
    return n > 0;
}

/* The resource of this key is in the store now: `seeded` has what the model has. */
static void seeded_mark(const struct control *c, json_t *seeded, const char *key)
{
    const char *name;
    enum fleet_part part = fleet_key_parse(c->fleet.prefix, key, &name);
    const char *collection = part == KEY_STRANGE ? NULL : fleet_collection(part);
    if (!collection)
        return;
    json_t *own = model_get(c->model, collection);
    bool single = fleet_part_is_single(part);
    json_t *value = single ? own : json_object_get(own, name);
    if (value && single)
        json_object_set(seeded, collection, value);
    else if (value)
        json_object_set(model_get(seeded, collection), name, value);
}

/* The next operations, as many as one write takes. Returns true when they are the last. */
static bool part_make(const struct control *c, const json_t *seeded, struct fleet_ops *ops)
{
    fleet_ops_diff(ops, &c->fleet, seeded, c->model);
    bool last = ops->count < FLEET_OPS_RESOURCES;
    while (ops->count > 1 && ops->bytes > FLEET_VALUE_MAX) {
        fleet_ops_drop_last(ops);
        last = false;
    }
    return last;
}

static bool part_fits(struct control *c, const struct fleet_ops *ops)
{
    struct fleet *f = &c->fleet;
    for (unsigned i = 0; i < ops->count; i++) {
        if (!ops->values[i] || strlen(ops->values[i]) <= f->store->type->value_max)
            continue;
        snprintf(f->problem, sizeof f->problem,
                 "%.100s: longer than the %zu bytes that the store takes",
                 ops->ops[i].key + strlen(f->prefix), f->store->type->value_max);
        return false;
    }
    return true;
}

/* False: it did not go in; the fleet's problem says why, unless somebody else was faster. */
static bool part_write(struct control *c, json_t *seeded, struct fleet_ops *ops, bool last)
{
    if (!part_fits(c, ops))
        return false;
    fleet_ops_finish(ops, &c->fleet, last);
    const struct fleet_answer *answer = fleet_ops_write(ops, c);
    if (answer->outcome != FLEET_STORED) {
        snprintf(c->fleet.problem, sizeof c->fleet.problem, "%.150s", answer->problem);
        return false;
    }
    for (unsigned i = 0; i < ops->count; i++)
        seeded_mark(c, seeded, ops->ops[i].key);
    return true;
}

void fleet_seed(struct control *c, const struct fleet_batch *snapshot, tg_ns now)
{
    struct fleet *f = &c->fleet;
    struct fleet_ops *ops = calloc(1, sizeof *ops);
    json_t *seeded = model_new();
    bool last = false, good = true;
    tg_assert(ops);
    if (f->store->type->fd(f->store) >= 0) /* not every start of a node that is alone */
        log_info("fleet: the store is new: this node's resources go there");
    json_object_clear(f->known);
    for (unsigned i = 0; i < snapshot->count; i++) {
        fleet_know(f, snapshot->changes[i].key, snapshot->changes[i].revision);
        seeded_mark(c, seeded, snapshot->changes[i].key);
    }
    f->problem[0] = 0;
    while (good && !last) {
        last = part_make(c, seeded, ops);
        good = part_write(c, seeded, ops, last);
        fleet_ops_free(ops);
        *ops = (struct fleet_ops){0};
    }
    if (f->problem[0]) {
        log_error("fleet: the store could not be filled: %s", f->problem);
        f->load_at = now + SEED_RETRY;
    } else {
        f->store->type->load(f->store); /* ours, and perhaps a faster node's */
    }
    json_object_clear(f->known);
    json_decref(seeded);
    free(ops);
}
