/* SPDX-License-Identifier: BSD-3-Clause
 * WAF rules: JSON to canonical JSON and to what waf_compile takes. Whether a pattern compiles is
 * for waf_compile to say (compile_waf). Called by api_waf, model and compile.
 */
#include "ctrlplane/resource.h"

#include <stdio.h>
#include <string.h>

static const struct {
    enum waf_target target;
    const char *name;
} targets[] = {
    {WAF_IN_URI, "uri"},   {WAF_IN_HEADERS, "headers"}, {WAF_IN_USER_AGENT, "user_agent"},
    {WAF_IN_BODY, "body"}, {WAF_IN_COOKIE, "cookie"},   {WAF_IN_RESP_BODY, "resp_body"},
};

const char *waf_target_name(enum waf_target target)
{
    for (size_t i = 0; i < TG_ARRAY_LEN(targets); i++)
        if (targets[i].target == target)
            return targets[i].name;
    return NULL;
}

static unsigned target_parse(const char *name)
{
    for (size_t i = 0; name && i < TG_ARRAY_LEN(targets); i++)
        if (strcmp(name, targets[i].name) == 0)
            return targets[i].target;
    return 0;
}

/* The set of targets; 0 with the fault recorded. */
static unsigned targets_read(const struct fields *f)
{
    const json_t *in = fields_array(f, "targets", true, TG_ARRAY_LEN(targets));
    if (!fields_ok(f))
        return 0;
    unsigned set = 0;
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)(uintptr_t)in, i, item)
    {
        unsigned bit = target_parse(json_string_value(item));
        if (!bit)
            fields_fault_at(f, "targets", i,
                            "must be uri, headers, user_agent, body, cookie or resp_body");
        set |= bit;
    }
    if (!set)
        fields_fault(f, "targets", "must name at least one place to look at");
    return set;
}

static json_t *targets_json(unsigned set)
{
    json_t *out = json_array();
    for (size_t i = 0; i < TG_ARRAY_LEN(targets); i++)
        if (set & targets[i].target)
            json_array_append_new(out, json_string(targets[i].name));
    return out;
}

json_t *waf_rule_read(const json_t *in, const char *pointer, struct problem *problem)
{
    static const char *const known[] = {"id", "targets", "pattern", "message", "action", NULL};
    struct fields f = fields_begin(in, pointer, known, problem);
    int64_t id = fields_integer(&f, "id", true, 0, 1, UINT32_MAX);
    unsigned set = targets_read(&f);
    const char *pattern = fields_string(&f, "pattern", true, 1, RESOURCE_PATTERN_MAX);
    const char *message = fields_string(&f, "message", true, 1, 127);
    const char *action = fields_string(&f, "action", true, 1, 16);
    if (action && strcmp(action, "block") != 0 && strcmp(action, "detect") != 0)
        fields_fault(&f, "action", "must be block or detect");
    if (!fields_ok(&f))
        return NULL;
    return json_pack("{s:I, s:o, s:s, s:s, s:s}", "id", (json_int_t)id, "targets",
                     targets_json(set), "pattern", pattern, "message", message, "action", action);
}

/* Index of the rule with this id among the first `count`, or -1. */
static long rule_find(const json_t *rules, size_t count, json_int_t id)
{
    for (size_t i = 0; i < count; i++)
        if (json_integer_value(json_object_get(json_array_get(rules, i), "id")) == id)
            return (long)i;
    return -1;
}

json_t *waf_rules_read(const json_t *in, struct problem *problem)
{
    if (!json_is_array(in) || json_array_size(in) > RESOURCE_WAF_RULES_MAX) {
        problem_set(problem, 422, "invalid-field", "", "must be an array of at most %u rules",
                    RESOURCE_WAF_RULES_MAX);
        return NULL;
    }
    json_t *out = json_array(), *item;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)in, i, item)
    {
        char pointer[64] = "";
        pointer_append_index(pointer, sizeof pointer, i);
        json_t *rule = waf_rule_read(item, pointer, problem);
        json_int_t id = json_integer_value(json_object_get(rule, "id"));
        long first = rule ? rule_find(out, i, id) : -1;
        if (first >= 0) {
            pointer_append(pointer, sizeof pointer, "id");
            problem_set(problem, 422, "invalid-field", pointer, "rule %ld has the id %lld already",
                        first, (long long)id);
        }
        if (problem->status) {
            problem_extra(problem, "index", json_integer((json_int_t)i));
            json_decref(rule);
            json_decref(out);
            return NULL;
        }
        json_array_append_new(out, rule);
    }
    return out;
}

struct waf_rule waf_rule_from(const json_t *rule)
{
    struct waf_rule r = {
        .id = (uint32_t)json_integer_value(json_object_get(rule, "id")),
        .pattern = span_from_string(json_string_value(json_object_get(rule, "pattern"))),
        .message = span_from_string(json_string_value(json_object_get(rule, "message"))),
        .block = strcmp(json_string_value(json_object_get(rule, "action")), "block") == 0,
    };
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(rule, "targets"), i, item)
    {
        r.targets |= target_parse(json_string_value(item));
    }
    return r;
}
