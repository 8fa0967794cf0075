/* SPDX-License-Identifier: BSD-3-Clause
 * /v1/waf/rules: the WAF program as a whole, and single rules of it.
 */
#include "ctrlplane/api_internal.h"
#include "ctrlplane/model.h"
#include "ctrlplane/resource.h"

#include <stdio.h>
#include <string.h>

static const json_t *program(const struct call *call)
{
    return model_get(call->control->model, "waf");
}

void waf_list(struct call *call)
{
    call_answer(call, 200, json_incref((json_t *)(uintptr_t)program(call)));
}

void waf_put(struct call *call)
{
    json_t *body = call_body(call);
    json_t *rules = body ? waf_rules_read(body, &call->problem) : NULL;
    json_decref(body);
    if (!rules)
        return;
    json_t *candidate = model_with_waf(call->control->model, json_incref(rules));
    call_change(call, TABLES_WAF, candidate, 200, rules);
}

void waf_delete(struct call *call)
{
    json_t *candidate = model_with_waf(call->control->model, json_array());
    call_change(call, TABLES_WAF, candidate, 200, json_array());
}

/* Where the rule of the path stands in the program: its index, the program's length when it is
 * not there, or -1 with a 404 when the path names no id. */
static long rule_index(struct call *call, uint32_t *id)
{
    if (!rule_id_parse(call->key, id)) {
        problem_set(&call->problem, 404, "not-found", "", "\"%.64s\" is not a rule id (1 to %u)",
                    call->key, UINT32_MAX);
        return -1;
    }
    size_t n = json_array_size(program(call));
    for (size_t i = 0; i < n; i++) {
        const json_t *rule = json_array_get(program(call), i);
        if (json_integer_value(json_object_get(rule, "id")) == (json_int_t)*id)
            return (long)i;
    }
    return (long)n;
}

void waf_rule_get(struct call *call)
{
    uint32_t id;
    long index = rule_index(call, &id);
    json_t *rule = index < 0 ? NULL : json_array_get(program(call), (size_t)index);
    if (rule)
        call_answer(call, 200, json_incref(rule));
    else if (index >= 0)
        call_not_found(call, "WAF rule");
}

/* The rule in the body; an id may be left out there, another one than the path's is a fault. */
static json_t *rule_body(struct call *call, uint32_t id)
{
    json_t *body = call_body(call);
    if (!body)
        return NULL;
    if (json_is_object(body) && !json_object_get(body, "id"))
        json_object_set_new(body, "id", json_integer(id));
    json_t *rule = waf_rule_read(body, "", &call->problem);
    json_decref(body);
    if (rule && json_integer_value(json_object_get(rule, "id")) != (json_int_t)id)
        problem_set(&call->problem, 422, "invalid-field", "/id", "differs from the id in the path");
    if (!call->problem.status)
        return rule;
    json_decref(rule);
    return NULL;
}

void waf_rule_put(struct call *call)
{
    uint32_t id;
    long index = rule_index(call, &id);
    json_t *rule = index < 0 ? NULL : rule_body(call, id);
    if (!rule)
        return;
    json_t *rules = json_copy((json_t *)(uintptr_t)program(call));
    bool fresh = (size_t)index == json_array_size(rules);
    if (fresh)
        json_array_append(rules, rule);
    else
        json_array_set(rules, (size_t)index, rule);
    if (fresh)
        snprintf(call->response->location, sizeof call->response->location, "/v1/waf/rules/%u", id);
    call_change(call, TABLES_WAF, model_with_waf(call->control->model, rules), fresh ? 201 : 200,
                rule);
    /* The pattern's place in this document, not in the program. */
    if (strcmp(call->problem.slug ? call->problem.slug : "", "pattern") == 0)
        problem_point(&call->problem, "/pattern");
}

void waf_rule_delete(struct call *call)
{
    uint32_t id;
    long index = rule_index(call, &id);
    if (index < 0)
        return;
    json_t *rule = json_incref(json_array_get(program(call), (size_t)index));
    if (!rule) {
        call_not_found(call, "WAF rule");
        return;
    }
    json_t *rules = json_copy((json_t *)(uintptr_t)program(call));
    json_array_remove(rules, (size_t)index);
    call_change(call, TABLES_WAF, model_with_waf(call->control->model, rules), 200, rule);
}
