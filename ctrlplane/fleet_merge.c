/* SPDX-License-Identifier: BSD-3-Clause
 * Changes of the fleet store to a candidate of the model. See fleet_merge.h.
 */
#include "ctrlplane/fleet_merge.h"

#include "ctrlplane/model.h"
#include "ctrlplane/publish.h"
#include "ctrlplane/resource.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *copy_shallow(const json_t *value)
{
    return json_copy((json_t *)(uintptr_t)value);
}

void merge_begin(struct merge *m, const struct control *control)
{
    *m = (struct merge){.control = control, .candidate = copy_shallow(control->model)};
    for (size_t i = 0; i < FLEET_NAMED_PARTS; i++) {
        const char *collection = fleet_collection(fleet_named_parts[i]);
        json_object_set_new(m->candidate, collection,
                            copy_shallow(model_get(control->model, collection)));
    }
}

void merge_free(struct merge *m)
{
    for (unsigned i = 0; i < m->count; i++)
        json_decref(m->items[i].before);
    for (unsigned kind = 0; kind < TABLES_KINDS; kind++)
        block_free(&m->blocks[kind]);
    free(m->items);
    json_decref(m->candidate);
    *m = (struct merge){0};
}

bool merge_item_counts(const struct merge_item *item)
{
    return !item->same && !item->problem[0];
}

/* --- the candidate ---------------------------------------------------------------------------- */

static size_t json_size(const json_t *value)
{
    return json_array_size(value) + json_object_size(value);
}

/* What the candidate has of a resource; borrowed, NULL: nothing. */
static json_t *value_get(const struct merge *m, const struct merge_item *item)
{
    if (fleet_part_is_single(item->part))
        return fleet_single_get(m->candidate, item->part);
    return json_object_get(model_get(m->candidate, fleet_collection(item->part)), item->name);
}

/* value NULL: take it out. The reference stays the caller's. */
static void value_set(struct merge *m, const struct merge_item *item, json_t *value)
{
    const char *name = fleet_collection(item->part);
    if (fleet_part_is_single(item->part) && value)
        json_object_set(m->candidate, name, value);
    else if (fleet_part_is_single(item->part))
        json_object_set_new(m->candidate, name,
                            item->part == KEY_WAF ? json_array() : json_object());
    else if (value)
        json_object_set(model_get(m->candidate, name), item->name, value);
    else
        json_object_del(model_get(m->candidate, name), item->name);
}

/* Why an item is left out: words of ours and, in places, of the store: ASCII only, for log and status. */
static void item_blame(struct merge_item *item, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void item_blame(struct merge_item *item, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(item->problem, sizeof item->problem, format, args);
    va_end(args);
    for (char *c = item->problem; *c; c++)
        if (*c < 0x20 || *c > 0x7e)
            *c = '?';
}

static void item_revert(struct merge *m, struct merge_item *item, const char *why)
{
    value_set(m, item, item->before);
    item_blame(item, "%s", why);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* A rule as the model has it: with its hit counter, the one that it had or a free one. */
static json_t *rule_take(const struct merge *m, struct merge_item *item, const json_t *in,
                         struct problem *problem)
{
    static const char *const none[] = {NULL};
    struct drop_rule rule;
    if (!rule_read(in, "", none, &rule, problem))
        return NULL;
    int slot = item->before ? (int)json_integer_value(json_object_get(item->before, "slot"))
                            : model_rule_slot(m->candidate);
    if (slot < 0) {
        problem_set(problem, 507, "table-full", "", "there are %u rules already", TABLES_RULES_MAX);
        return NULL;
    }
    json_t *value = rule_json(&rule);
    json_object_set_new(value, "slot", json_integer(slot));
    if (item->before)
        json_object_set(value, "hits_base", json_object_get(item->before, "hits_base"));
    else
        json_object_set_new(
            value, "hits_base",
            json_integer((json_int_t)publish_rule_hits(m->control, (unsigned)slot)));
    return value;
}

static json_t *named_take(const struct merge *m, const struct merge_item *item, const json_t *in,
                          struct problem *problem)
{
    static const struct {
        json_t *(*read)(const json_t *in, const char *pointer, struct problem *problem);
        unsigned max;
    } readers[KEY_STRANGE] = {
        [KEY_NODES] = {node_read, TABLES_NODES_MAX},
        [KEY_ORIGINS] = {origin_read, TABLES_ORIGINS_MAX},
        [KEY_SITES] = {site_read, TABLES_SITES_MAX},
    };
    unsigned max = readers[item->part].max;
    json_t *value = readers[item->part].read(in, "", problem);
    const json_t *collection = model_get(m->candidate, fleet_collection(item->part));
    if (value && !item->before && json_object_size(collection) >= max) {
        problem_set(problem, 507, "table-full", "", "there are %u of them already", max);
        json_decref(value);
        return NULL;
    }
    return value;
}

/* The resource in canonical form: a new reference; NULL: left out, the item says why. */
static json_t *value_take(const struct merge *m, struct merge_item *item, struct span text)
{
    json_error_t error;
    struct problem problem = {0};
    json_t *value = NULL;
    if (text.len > m->control->fleet.store->type->value_max) {
        item_blame(item, "longer than %u bytes", FLEET_VALUE_MAX);
        return NULL;
    }
    json_t *in = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, &error);
    if (!in)
        problem_set(&problem, 422, "json", "", "not JSON: line %d, column %d: %s", error.line,
                    error.column, error.text);
    else if (item->part == KEY_RULES)
        value = rule_take(m, item, in, &problem);
    else if (item->part == KEY_WAF)
        value = waf_rules_read(in, &problem);
    else if (item->part == KEY_FLEET)
        value = fleet_setting_read(in, "", &problem);
    else
        value = named_take(m, item, in, &problem);
    json_decref(in);
    if (!value)
        item_blame(item, "%.60s%s%.120s", problem.pointer, problem.pointer[0] ? ": " : "",
                   problem.detail);
    problem_clear(&problem);
    return value;
}

static struct merge_item *item_add(struct merge *m, const char *key, const char *name)
{
    if (m->count == m->cap) {
        m->cap = m->cap ? m->cap * 2 : 16;
        m->items = realloc(m->items, m->cap * sizeof m->items[0]);
        tg_assert(m->items);
    }
    struct merge_item *item = &m->items[m->count++];
    memset(item, 0, sizeof *item);
    snprintf(item->key, sizeof item->key, "%s", key);
    snprintf(item->name, sizeof item->name, "%s", name);
    return item;
}

void merge_change(struct merge *m, const char *key, struct span value, int64_t revision)
{
    const char *name;
    enum fleet_part part = fleet_key_parse(m->control->fleet.prefix, key, &name);
    if (part != KEY_STRANGE && !fleet_collection(part))
        return;
    struct merge_item *item = item_add(m, key, name);
    item->part = part;
    item->revision = revision;
    item->deletes = !value.data;
    if (part == KEY_STRANGE) {
        item->same = item->deletes;
        if (!item->deletes)
            item_blame(item, "not a key that this version knows");
        return;
    }
    item->before = json_incref(value_get(m, item));
    json_t *after = item->deletes ? NULL : value_take(m, item, value);
    if (item->problem[0])
        return;
    bool empty = !after || (fleet_part_is_single(part) && json_size(after) == 0);
    item->same = empty ? !item->before : item->before && json_equal(item->before, after);
    if (!item->same)
        value_set(m, item, empty ? NULL : after);
    json_decref(after);
}

/* --- all of them together ----------------------------------------------------------------------- */

static bool item_counts_for(const struct merge_item *item, enum tables_kind kind)
{
    return merge_item_counts(item) && fleet_tables(item->part) == kind;
}

static bool kind_differs(const struct merge *m, enum tables_kind kind)
{
    for (unsigned i = 0; i < m->count; i++)
        if (item_counts_for(&m->items[i], kind))
            return true;
    return false;
}

/* The resource of the kind that was written last, or NULL. Deletions never make tables too large. */
static struct merge_item *newest_put(struct merge *m, enum tables_kind kind)
{
    struct merge_item *newest = NULL;
    for (unsigned i = 0; i < m->count; i++) {
        struct merge_item *item = &m->items[i];
        if (item_counts_for(item, kind) && !item->deletes &&
            (!newest || item->revision >= newest->revision))
            newest = item;
    }
    return newest;
}

/* Is this the last item that counts of its key? An earlier one must not be reverted over a later one. */
static bool item_is_last(const struct merge *m, const struct merge_item *item)
{
    for (const struct merge_item *later = item + 1; later < m->items + m->count; later++)
        if (merge_item_counts(later) && strcmp(later->key, item->key) == 0)
            return false;
    return true;
}

/* What is wrong between this item and the other resources; false: nothing. */
static bool item_collides(const struct merge *m, const struct merge_item *item, char why[640])
{
    struct problem problem = {0};
    if (item->part == KEY_ORIGINS && item->deletes) {
        const char *site = model_origin_user(m->candidate, item->name);
        if (site)
            snprintf(why, 640, "deleted, but site \"%s\" uses it", site);
        return site != NULL;
    }
    bool good = true;
    if (item->part == KEY_SITES && !item->deletes)
        good = model_site_check(m->candidate, item->name, &problem);
    if (item->part == KEY_NODES && !item->deletes)
        good = model_node_check(m->candidate, item->name, &problem);
    if (good)
        return false;
    snprintf(why, 640, "%s", problem.detail);
    problem_clear(&problem);
    return true;
}

/* Take out what collides, until nothing does. It ends: without any item the candidate is the model, and good. */
static void collisions_revert(struct merge *m)
{
    char why[640];
    bool again = true;
    while (again) {
        again = false;
        for (unsigned i = m->count; i-- > 0;) {
            struct merge_item *item = &m->items[i];
            if (!merge_item_counts(item) || !item_is_last(m, item) || !item_collides(m, item, why))
                continue;
            item_revert(m, item, why);
            again = true;
        }
    }
}

static void kind_compile(struct merge *m, enum tables_kind kind)
{
    while (kind_differs(m, kind)) {
        struct problem problem = {0};
        struct merge_item *newest = newest_put(m, kind);
        struct compile_node self = publish_self(m->control);
        if (compile_tables(kind, m->candidate, &self, &m->blocks[kind], &problem) || !newest) {
            problem_clear(&problem);
            return;
        }
        item_revert(m, newest, problem.detail);
        problem_clear(&problem);
        collisions_revert(m);
    }
}

void merge_end(struct merge *m)
{
    collisions_revert(m);
    kind_compile(m, TABLES_RULES);
    kind_compile(m, TABLES_ROUTES);
    kind_compile(m, TABLES_WAF);
    kind_compile(m, TABLES_OWNERS);
}
