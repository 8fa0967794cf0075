/* SPDX-License-Identifier: BSD-3-Clause
 * /v1/rules: drop rules with their hits.
 */
#include "ctrlplane/api_internal.h"
#include "ctrlplane/model.h"
#include "ctrlplane/publish.h"
#include "ctrlplane/resource.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What GET shows: id, the canonical members, hits. */
static json_t *rule_show(const struct control *c, uint32_t id, const json_t *rule)
{
    uint64_t base = (uint64_t)json_integer_value(json_object_get(rule, "hits_base"));
    unsigned slot = (unsigned)json_integer_value(json_object_get(rule, "slot"));
    uint64_t counter = publish_rule_hits(c, slot);
    json_t *o = json_pack("{s:I}", "id", (json_int_t)id);
    json_object_update(o, (json_t *)(uintptr_t)rule);
    json_object_del(o, "slot");
    json_object_del(o, "hits_base");
    json_object_set_new(o, "hits", json_integer(counter > base ? (json_int_t)(counter - base) : 0));
    return o;
}

void rules_list(struct call *call)
{
    static const char *const known[] = {NULL};
    const struct control *c = call->control;
    const char *keys[TABLES_RULES_MAX];
    if (!call_query_check(call, known))
        return;
    unsigned n = model_keys(c->model, "rules", keys, TABLES_RULES_MAX);
    json_t *list = json_array();
    for (unsigned i = 0; i < n; i++) {
        uint32_t id = 0;
        (void)rule_id_parse(keys[i], &id);
        json_array_append_new(
            list, rule_show(c, id, json_object_get(model_get(c->model, "rules"), keys[i])));
    }
    call_answer(call, 200, list);
}

/* The rule of the path; NULL with a 404 (or a 422 for a key that cannot be one). */
static const json_t *rule_of_path(struct call *call, uint32_t *id)
{
    if (!rule_id_parse(call->key, id)) {
        problem_set(&call->problem, 404, "not-found", "", "\"%.64s\" is not a rule id (1 to %u)",
                    call->key, UINT32_MAX);
        return NULL;
    }
    const json_t *rule = json_object_get(model_get(call->control->model, "rules"), call->key);
    if (!rule)
        call_not_found(call, "rule");
    return rule;
}

void rule_get(struct call *call)
{
    uint32_t id;
    const json_t *rule = rule_of_path(call, &id);
    if (rule)
        call_answer(call, 200, rule_show(call->control, id, rule));
}

/* A new rule gets a free counter, a replaced one keeps its own. */
static void counter_assign(struct call *call, json_t *rule, const json_t *before)
{
    if (before) {
        json_object_set(rule, "slot", json_object_get(before, "slot"));
        json_object_set(rule, "hits_base", json_object_get(before, "hits_base"));
        return;
    }
    int slot = model_rule_slot(call->control->model);
    if (slot < 0) {
        problem_set(&call->problem, 507, "table-full", "", "there are %u rules already",
                    TABLES_RULES_MAX);
        return;
    }
    json_object_set_new(rule, "slot", json_integer(slot));
    json_object_set_new(rule, "hits_base",
                        json_integer((json_int_t)publish_rule_hits(call->control, (unsigned)slot)));
}

/* Read the body, put the rule under `id`, bring it into force. */
static void rule_store(struct call *call, uint32_t id, const char *const extra[])
{
    char key[16];
    struct drop_rule rule;
    snprintf(key, sizeof key, "%u", id);
    json_t *body = call_body(call);
    struct fields f = {.object = body, .problem = &call->problem};
    if (!body || !rule_read(body, "", extra, &rule, &call->problem) ||
        fields_integer(&f, "id", false, id, 1, UINT32_MAX) != id) {
        fields_fault(&f, "id", "differs from the id in the path");
        json_decref(body);
        return;
    }
    json_decref(body);
    const struct control *c = call->control;
    const json_t *before = json_object_get(model_get(c->model, "rules"), key);
    json_t *value = rule_json(&rule);
    counter_assign(call, value, before);
    if (call->problem.status) {
        json_decref(value);
        return;
    }
    if (!before)
        snprintf(call->response->location, sizeof call->response->location, "/v1/rules/%s", key);
    json_t *shown = rule_show(c, id, value);
    call_change(call, TABLES_RULES, model_with(c->model, "rules", key, value), before ? 200 : 201,
                shown);
}

void rule_put(struct call *call)
{
    static const char *const extra[] = {"id", NULL};
    uint32_t id;
    if (rule_id_parse(call->key, &id))
        rule_store(call, id, extra);
    else
        problem_set(&call->problem, 404, "not-found", "", "\"%.64s\" is not a rule id (1 to %u)",
                    call->key, UINT32_MAX);
}

void rules_post(struct call *call)
{
    static const char *const extra[] = {NULL};
    uint32_t id = model_rule_id(call->control->model);
    if (id)
        rule_store(call, id, extra);
    else
        problem_set(&call->problem, 507, "table-full", "",
                    "rule %u is the last id: use PUT with a free one", UINT32_MAX);
}

void rule_delete(struct call *call)
{
    uint32_t id;
    const struct control *c = call->control;
    const json_t *rule = rule_of_path(call, &id);
    if (!rule)
        return;
    json_t *shown = rule_show(c, id, rule);
    call_change(call, TABLES_RULES, model_with(c->model, "rules", call->key, NULL), 200, shown);
}
