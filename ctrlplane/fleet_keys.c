/* SPDX-License-Identifier: BSD-3-Clause
 * Keys and values of the fleet store. See fleet_keys.h.
 */
#include "ctrlplane/fleet_keys.h"

#include "ctrlplane/model.h"
#include "ctrlplane/resource.h"

#include <stdio.h>
#include <string.h>

/* By enum fleet_part. A text that ends with '/' is followed by a name. */
static const char *const parts[KEY_STRANGE] = {
    [KEY_META] = "meta",
    [KEY_HEARTBEAT] = "heartbeat",
    [KEY_GUARD_NODES] = "guard/nodes",
    [KEY_GUARD_ROUTES] = "guard/routes",
    [KEY_FLEET] = "fleet",
    [KEY_NODES] = "nodes/",
    [KEY_ORIGINS] = "origins/",
    [KEY_RULES] = "rules/",
    [KEY_SITES] = "sites/",
    [KEY_WAF] = "waf",
};

const enum fleet_part fleet_named_parts[FLEET_NAMED_PARTS] = {KEY_ORIGINS, KEY_RULES, KEY_SITES,
                                                              KEY_NODES};
const enum fleet_part fleet_single_parts[FLEET_SINGLE_PARTS] = {KEY_WAF, KEY_FLEET};

void fleet_prefix(const char *fleet, char out[FLEET_KEY_MAX])
{
    snprintf(out, FLEET_KEY_MAX, "/tidegate/v1/fleet/%s/", fleet);
}

void fleet_key(const char *prefix, enum fleet_part part, const char *name, char out[FLEET_KEY_MAX])
{
    tg_assert(part < KEY_STRANGE);
    int n = snprintf(out, FLEET_KEY_MAX, "%s%s%s", prefix, parts[part], name);
    tg_assert(n > 0 && n < FLEET_KEY_MAX);
}

static bool name_fits(enum fleet_part part, const char *name)
{
    uint32_t id;
    return part == KEY_RULES ? rule_id_parse(name, &id) && id > 0 : resource_name_valid(name);
}

enum fleet_part fleet_key_parse(const char *prefix, const char *key, const char **name)
{
    size_t skip = strlen(prefix);
    *name = "";
    if (strncmp(key, prefix, skip) != 0)
        return KEY_STRANGE;
    const char *rest = key + skip;
    for (unsigned i = 0; i < KEY_STRANGE; i++) {
        size_t len = strlen(parts[i]);
        if (parts[i][len - 1] != '/') {
            if (strcmp(rest, parts[i]) == 0)
                return (enum fleet_part)i;
        } else if (strncmp(rest, parts[i], len) == 0 && name_fits((enum fleet_part)i, rest + len)) {
            *name = rest + len;
            return (enum fleet_part)i;
        }
    }
    return KEY_STRANGE;
}

bool fleet_part_is_single(enum fleet_part part)
{
    return part == KEY_WAF || part == KEY_FLEET;
}

json_t *fleet_single_get(const json_t *model, enum fleet_part part)
{
    tg_assert(fleet_part_is_single(part));
    json_t *value = model_get(model, fleet_collection(part));
    return json_array_size(value) + json_object_size(value) > 0 ? value : NULL;
}

const char *fleet_collection(enum fleet_part part)
{
    switch (part) {
    case KEY_FLEET:
        return "fleet";
    case KEY_NODES:
        return "nodes";
    case KEY_ORIGINS:
        return "origins";
    case KEY_RULES:
        return "rules";
    case KEY_SITES:
        return "sites";
    case KEY_WAF:
        return "waf";
    default:
        return NULL;
    }
}

enum tables_kind fleet_tables(enum fleet_part part)
{
    tg_assert(fleet_collection(part));
    switch (part) {
    case KEY_FLEET:
    case KEY_NODES:
        return TABLES_OWNERS;
    case KEY_RULES:
        return TABLES_RULES;
    case KEY_WAF:
        return TABLES_WAF;
    default:
        return TABLES_ROUTES;
    }
}

static char *text_of(const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS);
    tg_assert(text);
    return text;
}

char *fleet_value(enum fleet_part part, const json_t *resource)
{
    if (part != KEY_RULES)
        return text_of(resource);
    json_t *copy = json_copy((json_t *)(uintptr_t)resource);
    json_object_del(copy, "slot");
    json_object_del(copy, "hits_base");
    char *text = text_of(copy);
    json_decref(copy);
    return text;
}

static char *text_of_new(json_t *value)
{
    char *text = text_of(value);
    json_decref(value);
    return text;
}

char *fleet_meta_value(const char *node)
{
    return text_of_new(json_pack("{s:i, s:s}", "format", 1, "made_by", node));
}

char *fleet_heartbeat_value(const char *node, const char *run)
{
    return text_of_new(json_pack("{s:s, s:s}", "node", node, "run", run));
}

char *fleet_guard_value(const char *node)
{
    return text_of_new(json_pack("{s:s}", "node", node));
}
