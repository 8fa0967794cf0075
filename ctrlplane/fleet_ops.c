/* SPDX-License-Identifier: BSD-3-Clause
 * Writes in the making. See fleet_ops.h.
 */
#include "ctrlplane/fleet_ops.h"

#include "ctrlplane/model.h"

#include <stdlib.h>
#include <string.h>

int64_t fleet_known(const struct fleet *fleet, const char *key)
{
    return json_integer_value(json_object_get(fleet->known, key));
}

void fleet_know(struct fleet *fleet, const char *key, int64_t revision)
{
    json_object_set_new(fleet->known, key, json_integer((json_int_t)revision));
}

static void op_add(struct fleet_ops *ops, const struct fleet *fleet, const char *key, char *value)
{
    tg_assert(ops->count < FLEET_OPS_MAX);
    struct fleet_op *op = &ops->ops[ops->count];
    int64_t known = fleet_known(fleet, key);
    memcpy(op->key, key, strlen(key) + 1);
    op->value = ops->values[ops->count++] = value;
    op->expected = known > 0 ? known : 0;
    ops->bytes += value ? strlen(value) : 0;
}

void fleet_ops_add(struct fleet_ops *ops, const struct fleet *fleet, enum fleet_part part,
                   const char *name, const json_t *resource)
{
    char key[FLEET_KEY_MAX];
    fleet_key(fleet->prefix, part, name, key);
    op_add(ops, fleet, key, resource ? fleet_value(part, resource) : NULL);
    ops->routes |= fleet_tables(part) == TABLES_ROUTES;
    ops->nodes |= part == KEY_NODES;
}

/* Equal as the store sees it. */
static bool resources_equal(enum fleet_part part, const json_t *a, const json_t *b)
{
    if (a == b || json_equal(a, b))
        return true;
    if (part != KEY_RULES || !a || !b)
        return false;
    char *x = fleet_value(part, a), *y = fleet_value(part, b);
    bool equal = strcmp(x, y) == 0;
    free(x);
    free(y);
    return equal;
}

static void collection_diff(struct fleet_ops *ops, const struct fleet *fleet, enum fleet_part part,
                            const json_t *from, const json_t *to)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)to, name, value)
    {
        if (ops->count < FLEET_OPS_RESOURCES &&
            !resources_equal(part, json_object_get(from, name), value))
            fleet_ops_add(ops, fleet, part, name, value);
    }
    json_object_foreach((json_t *)(uintptr_t)from, name, value)
    {
        if (ops->count < FLEET_OPS_RESOURCES && !json_object_get(to, name))
            fleet_ops_add(ops, fleet, part, name, NULL);
    }
}

void fleet_ops_diff(struct fleet_ops *ops, const struct fleet *fleet, const json_t *from,
                    const json_t *to)
{
    for (size_t i = 0; i < FLEET_NAMED_PARTS; i++) {
        const char *name = fleet_collection(fleet_named_parts[i]);
        const json_t *before = model_get(from, name), *after = model_get(to, name);
        if (before != after)
            collection_diff(ops, fleet, fleet_named_parts[i], before, after);
    }
    for (size_t i = 0; i < FLEET_SINGLE_PARTS; i++) {
        enum fleet_part part = fleet_single_parts[i];
        const json_t *after = fleet_single_get(to, part);
        if (ops->count < FLEET_OPS_RESOURCES &&
            !resources_equal(part, fleet_single_get(from, part), after))
            fleet_ops_add(ops, fleet, part, "", after);
    }
}

static void guard_add(struct fleet_ops *ops, const struct fleet *fleet, enum fleet_part guard)
{
    char key[FLEET_KEY_MAX];
    fleet_key(fleet->prefix, guard, "", key);
    op_add(ops, fleet, key, fleet_guard_value(fleet->node));
}

void fleet_ops_finish(struct fleet_ops *ops, const struct fleet *fleet, bool meta)
{
    char key[FLEET_KEY_MAX];
    if (ops->routes)
        guard_add(ops, fleet, KEY_GUARD_ROUTES);
    if (ops->nodes)
        guard_add(ops, fleet, KEY_GUARD_NODES);
    if (meta) {
        fleet_key(fleet->prefix, KEY_META, "", key);
        op_add(ops, fleet, key, fleet_meta_value(fleet->node));
    }
}

void fleet_ops_drop_last(struct fleet_ops *ops)
{
    tg_assert(ops->count > 0);
    char *value = ops->values[--ops->count];
    ops->bytes -= value ? strlen(value) : 0;
    free(value);
}

void fleet_ops_free(struct fleet_ops *ops)
{
    for (unsigned i = 0; i < ops->count; i++)
        free(ops->values[i]);
    ops->count = 0;
}
