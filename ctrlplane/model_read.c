/* SPDX-License-Identifier: BSD-3-Clause
 * A model from the state file: nothing in it is trusted, everything goes through the same readers
 * as a client's request. Called by store.
 */
#include "contract/tables.h"
#include "ctrlplane/model.h"
#include "ctrlplane/resource.h"

#include <stdio.h>
#include <string.h>

/* A rule as the state file keeps it: the API's members, and where its hits are counted. */
static json_t *stored_rule_read(const json_t *in, const char *pointer, bool used[TABLES_RULES_MAX],
                                struct problem *problem)
{
    static const char *const extra[] = {"slot", "hits_base", NULL};
    struct drop_rule rule;
    if (!rule_read(in, pointer, extra, &rule, problem))
        return NULL;
    struct fields f = {.object = in, .problem = problem};
    snprintf(f.pointer, sizeof f.pointer, "%s", pointer);
    int64_t slot = fields_integer(&f, "slot", true, 0, 0, TABLES_RULES_MAX - 1);
    int64_t base = fields_integer(&f, "hits_base", true, 0, 0, INT64_MAX);
    if (!fields_ok(&f))
        return NULL;
    if (used[slot]) {
        fields_fault(&f, "slot", "is used by two rules");
        return NULL;
    }
    used[slot] = true;
    json_t *o = rule_json(&rule);
    json_object_set_new(o, "slot", json_integer(slot));
    json_object_set_new(o, "hits_base", json_integer(base));
    return o;
}

static void rules_read(const json_t *in, json_t *out, struct problem *problem)
{
    bool used[TABLES_RULES_MAX] = {false};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)in, key, value)
    {
        char pointer[128] = "/rules";
        pointer_append(pointer, sizeof pointer, key);
        uint32_t id;
        if (!rule_id_parse(key, &id))
            problem_set(problem, 422, "invalid-field", pointer, "is not a rule id");
        json_t *rule = problem->status ? NULL : stored_rule_read(value, pointer, used, problem);
        if (!rule)
            return;
        json_object_set_new(out, key, rule);
    }
}

typedef json_t *resource_reader(const json_t *in, const char *pointer, struct problem *problem);

static void named_read(const json_t *in, const char *collection, resource_reader *reader,
                       json_t *out, struct problem *problem)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)in, key, value)
    {
        char pointer[128] = "";
        pointer_append(pointer, sizeof pointer, collection);
        pointer_append(pointer, sizeof pointer, key);
        if (!resource_name_valid(key))
            problem_set(problem, 422, "invalid-field", pointer, "is not a name");
        json_t *item = problem->status ? NULL : reader(value, pointer, problem);
        if (!item)
            return;
        json_object_set_new(out, key, item);
    }
}

static void checks_run(const json_t *model, struct problem *problem)
{
    const char *key;
    json_t *value;
    json_object_foreach(model_get(model, "sites"), key, value)
    {
        if (!model_site_check(model, key, problem))
            return;
    }
    json_object_foreach(model_get(model, "certificates"), key, value)
    {
        if (!model_certificate_check(model, key, problem))
            return;
    }
    json_object_foreach(model_get(model, "nodes"), key, value)
    {
        if (!model_node_check(model, key, problem))
            return;
    }
}

/* An object member that must be there, unless state files of older versions lack it. */
static const json_t *section(const struct fields *f, const char *name, bool required)
{
    const json_t *value = json_object_get(f->object, name);
    if (!json_is_object(value) && (value || required))
        fields_fault(f, name, "must be an object");
    return value;
}

json_t *model_read(const json_t *document, struct problem *problem)
{
    static const char *const known[] = {"rules",      "waf",   "sites", "origins", "certificates",
                                        "keyservers", "nodes", "fleet", NULL};
    struct fields f = fields_begin(document, "", known, problem);
    const json_t *rules = section(&f, "rules", true), *sites = section(&f, "sites", true);
    const json_t *origins = section(&f, "origins", true);
    const json_t *certificates = section(&f, "certificates", true);
    const json_t *keyservers = section(&f, "keyservers", false);
    const json_t *nodes = section(&f, "nodes", false), *fleet = section(&f, "fleet", false);
    if (json_object_size(nodes) > TABLES_NODES_MAX)
        fields_fault(&f, "nodes", "has more than %u", TABLES_NODES_MAX);
    const json_t *waf = fields_array(&f, "waf", true, RESOURCE_WAF_RULES_MAX);
    if (!fields_ok(&f))
        return NULL;
    json_t *m = model_new();
    rules_read(rules, model_get(m, "rules"), problem);
    named_read(origins, "origins", origin_read, model_get(m, "origins"), problem);
    named_read(sites, "sites", site_read, model_get(m, "sites"), problem);
    named_read(certificates, "certificates", certificate_read, model_get(m, "certificates"),
               problem);
    named_read(keyservers, "keyservers", keyserver_read, model_get(m, "keyservers"), problem);
    named_read(nodes, "nodes", node_read, model_get(m, "nodes"), problem);
    if (fleet && !problem->status) {
        json_t *setting = fleet_setting_read(fleet, "/fleet", problem);
        if (setting)
            json_object_set_new(m, "fleet", setting);
    }
    if (!problem->status) {
        json_t *program = waf_rules_read(waf, problem);
        if (program)
            json_object_set_new(m, "waf", program);
    }
    if (!problem->status)
        checks_run(m, problem);
    if (problem->status) {
        json_decref(m);
        return NULL;
    }
    return m;
}
