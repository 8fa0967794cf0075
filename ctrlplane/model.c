/* SPDX-License-Identifier: BSD-3-Clause
 * The node's resources: candidates, and the checks between resources. Called by the API handlers,
 * store and compile.
 */
#include "ctrlplane/model.h"

#include "contract/tables.h"
#include "ctrlplane/json_fields.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *model_new(void)
{
    json_t *m = json_object();
    json_object_set_new(m, "rules", json_object());
    json_object_set_new(m, "waf", json_array());
    json_object_set_new(m, "sites", json_object());
    json_object_set_new(m, "origins", json_object());
    json_object_set_new(m, "certificates", json_object());
    json_object_set_new(m, "keyservers", json_object());
    json_object_set_new(m, "nodes", json_object());
    json_object_set_new(m, "fleet", json_object());
    return m;
}

json_t *model_get(const json_t *model, const char *collection)
{
    return json_object_get(model, collection);
}

/* jansson's copy takes a non-const pointer though it only reads (and counts references). */
static json_t *copy_shallow(const json_t *value)
{
    return json_copy((json_t *)(uintptr_t)value);
}

json_t *model_with(const json_t *model, const char *collection, const char *key, json_t *value)
{
    json_t *candidate = copy_shallow(model);
    json_t *items = copy_shallow(json_object_get(model, collection));
    if (value)
        json_object_set_new(items, key, value);
    else
        json_object_del(items, key);
    json_object_set_new(candidate, collection, items);
    return candidate;
}

json_t *model_with_waf(const json_t *model, json_t *rules)
{
    json_t *candidate = copy_shallow(model);
    json_object_set_new(candidate, "waf", rules);
    return candidate;
}

json_t *model_with_fleet(const json_t *model, json_t *setting)
{
    json_t *candidate = copy_shallow(model);
    json_object_set_new(candidate, "fleet", setting);
    return candidate;
}

json_t *model_rebased(const json_t *model, const uint64_t counters[])
{
    json_t *candidate = json_incref((json_t *)(uintptr_t)model);
    const char *key;
    json_t *rule;
    json_object_foreach(model_get(model, "rules"), key, rule)
    {
        json_int_t slot = json_integer_value(json_object_get(rule, "slot"));
        json_int_t base = json_integer_value(json_object_get(rule, "hits_base"));
        if (counters[slot] >= (uint64_t)base)
            continue;
        json_t *copy = copy_shallow(rule), *before = candidate;
        json_object_set_new(copy, "hits_base", json_integer(0));
        candidate = model_with(before, "rules", key, copy);
        json_decref(before);
    }
    return candidate;
}

/* Hosts of `site` that `theirs` has too, and a second default. */
static void sites_compare(const json_t *site, const json_t *theirs, const char *other,
                          struct problem *problem)
{
    if (json_is_true(json_object_get(site, "default")) &&
        json_is_true(json_object_get(theirs, "default")))
        problem_set(problem, 409, "conflict", "/default", "site \"%s\" is the default already",
                    other);
    size_t i;
    json_t *host;
    json_array_foreach(json_object_get(site, "hosts"), i, host)
    {
        if (!json_array_holds(json_object_get(theirs, "hosts"), json_string_value(host)))
            continue;
        char pointer[64] = "/hosts";
        pointer_append_index(pointer, sizeof pointer, i);
        problem_set(problem, 409, "conflict", pointer, "%s belongs to site \"%s\" already",
                    json_string_value(host), other);
    }
}

bool model_site_check(const json_t *model, const char *name, struct problem *problem)
{
    const json_t *sites = model_get(model, "sites"), *site = json_object_get(sites, name);
    const char *origin = json_string_value(json_object_get(site, "origin"));
    if (!json_object_get(model_get(model, "origins"), origin))
        problem_set(problem, 422, "unknown-origin", "/origin", "there is no origin \"%s\"", origin);
    const char *other;
    json_t *theirs;
    json_object_foreach((json_t *)(uintptr_t)sites, other, theirs)
    {
        if (strcmp(other, name) != 0)
            sites_compare(site, theirs, other, problem);
    }
    return problem->status == 0;
}

/* The first item of a collection whose `member` is `value`, or NULL. */
static const char *user_find(const json_t *model, const char *collection, const char *member,
                             const char *value)
{
    const char *name;
    json_t *item;
    json_object_foreach(model_get(model, collection), name, item)
    {
        const char *text = json_string_value(json_object_get(item, member));
        if (text && strcmp(text, value) == 0)
            return name;
    }
    return NULL;
}

const char *model_origin_user(const json_t *model, const char *origin)
{
    return user_find(model, "sites", "origin", origin);
}

const char *model_keyserver_user(const json_t *model, const char *keyserver)
{
    return user_find(model, "certificates", "keyserver", keyserver);
}

bool model_certificate_check(const json_t *model, const char *name, struct problem *problem)
{
    const json_t *certificate = json_object_get(model_get(model, "certificates"), name);
    const char *server = json_string_value(json_object_get(certificate, "keyserver"));
    if (server && !json_object_get(model_get(model, "keyservers"), server))
        problem_set(problem, 422, "unknown-keyserver", "/keyserver",
                    "there is no key server \"%s\"", server);
    return problem->status == 0;
}

bool model_node_check(const json_t *model, const char *name, struct problem *problem)
{
    static const char *const unique[] = {"slot", "address4", "address6"};
    const json_t *nodes = model_get(model, "nodes"), *node = json_object_get(nodes, name);
    const char *other;
    json_t *theirs;
    json_object_foreach((json_t *)(uintptr_t)nodes, other, theirs)
    {
        for (size_t i = 0; strcmp(other, name) != 0 && i < TG_ARRAY_LEN(unique); i++) {
            char pointer[16];
            const json_t *value = json_object_get(node, unique[i]);
            if (!value || !json_equal(value, json_object_get(theirs, unique[i])))
                continue;
            snprintf(pointer, sizeof pointer, "/%s", unique[i]);
            problem_set(problem, 409, "conflict", pointer, "node \"%s\" has this %s already", other,
                        i == 0 ? "slot" : "address");
        }
    }
    return problem->status == 0;
}

int model_rule_slot(const json_t *model)
{
    bool used[TABLES_RULES_MAX] = {false};
    unsigned highest = 0;
    const char *key;
    json_t *rule;
    json_object_foreach(model_get(model, "rules"), key, rule)
    {
        unsigned slot = (unsigned)json_integer_value(json_object_get(rule, "slot"));
        used[slot] = true;
        highest = slot + 1 > highest ? slot + 1 : highest;
    }
    for (unsigned i = 0; i < TABLES_RULES_MAX; i++) {
        unsigned slot = (highest + i) % TABLES_RULES_MAX;
        if (!used[slot])
            return (int)slot;
    }
    return -1;
}

bool rule_id_parse(const char *text, uint32_t *id)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 10 || text[digits] || text[0] == '0')
        return false;
    unsigned long long v = strtoull(text, NULL, 10);
    *id = (uint32_t)v;
    return v <= UINT32_MAX;
}

uint32_t model_rule_id(const json_t *model)
{
    uint32_t highest = 0;
    const char *key;
    json_t *rule;
    json_object_foreach(model_get(model, "rules"), key, rule)
    {
        uint32_t id;
        if (rule_id_parse(key, &id) && id > highest)
            highest = id;
    }
    return highest + 1; /* 0 after the last one */
}

/* Shorter first, then by bytes: numerical for ids without leading zeros. */
static int key_compare_number(const void *a, const void *b)
{
    const char *x = *(const char *const *)a, *y = *(const char *const *)b;
    size_t n = strlen(x), m = strlen(y);
    return n != m ? (n < m ? -1 : 1) : strcmp(x, y);
}

static int key_compare_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

unsigned model_keys(const json_t *model, const char *collection, const char *keys[], unsigned max)
{
    unsigned n = 0;
    const char *key;
    json_t *value;
    json_object_foreach(model_get(model, collection), key, value)
    {
        if (n < max)
            keys[n++] = key;
    }
    bool numbers = strcmp(collection, "rules") == 0;
    qsort(keys, n, sizeof keys[0], numbers ? key_compare_number : key_compare_name);
    return n;
}
