/* SPDX-License-Identifier: BSD-3-Clause
 * What several of waf's tests need: cmocka, a program from rules, one from
 * scripts/waf-rules.json (with WAF_RULES_JSON defined), a head made of strings. Included by
 * tests only.
 */
#ifndef WAF_WAF_TEST_HELP_H
#define WAF_WAF_TEST_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>

/* After the four that it needs. */
#include <cmocka.h>

#include "waf/waf.h"

/* A blob, its program and one worker that is prepared for it. */
struct waf_rig {
    void *blob;
    size_t blob_len;
    struct waf_program *program;
    struct waf_worker *worker;
};

static inline struct waf_rig rig_open(const struct waf_rule rules[], unsigned count,
                                      unsigned transactions)
{
    struct waf_rig rig = {0};
    unsigned bad = 0;
    char problem[256] = "";
    enum tg_err err = waf_compile(rules, count, &rig.blob, &rig.blob_len, &bad, problem);
    if (err)
        fail_msg("rule %u: %s", bad, problem);
    assert_int_equal(waf_program_open(span_make(rig.blob, rig.blob_len), &rig.program), TG_OK);
    assert_int_equal(waf_worker_create(transactions, &rig.worker), TG_OK);
    assert_int_equal(waf_worker_prepare(rig.worker, rig.program), TG_OK);
    return rig;
}

static inline void rig_close(struct waf_rig *rig)
{
    assert_int_equal(waf_worker_running(rig->worker, rig->program), 0);
    assert_int_equal(waf_worker_release(rig->worker, rig->program), TG_OK);
    waf_worker_destroy(rig->worker);
    waf_program_close(rig->program);
    free(rig->blob);
}

static inline struct waf_tx *rig_begin(struct waf_rig *rig)
{
    struct waf_tx *tx = NULL;
    assert_int_equal(waf_begin(rig->worker, rig->program, &tx), TG_OK);
    return tx;
}

/* A head with a target (split at '?') and fields that the caller keeps. */
static inline struct head_view head_make(const char *target, const struct field fields[],
                                         unsigned count)
{
    struct span all = span_from_string(target);
    const char *mark = strchr(target, '?');
    size_t path = mark ? (size_t)(mark - target) : all.len;
    return (struct head_view){.method = SPAN_LITERAL("GET"),
                              .target = all,
                              .path = span_slice(all, 0, path),
                              .query = span_slice(all, path + 1, all.len),
                              .version = SPAN_LITERAL("HTTP/1.1"),
                              .fields = fields,
                              .field_count = count};
}

static inline struct field field_make(const char *name, const char *value)
{
    return (struct field){span_from_string(name), span_from_string(value)};
}

/* The verdict on one head alone, and the first match's rule and target (0: none). */
struct waf_said {
    enum waf_verdict verdict;
    uint32_t rule_id;
    unsigned where;
};

static inline struct waf_said said_of(struct waf_tx *tx, enum waf_verdict verdict)
{
    struct waf_match match = {0};
    (void)waf_matches(tx, &match, 1);
    return (struct waf_said){verdict, match.rule_id, match.where};
}

static inline struct waf_said rig_head(struct waf_rig *rig, const struct head_view *head)
{
    struct waf_tx *tx = rig_begin(rig);
    struct waf_said said = said_of(tx, waf_head(tx, head));
    waf_finish(tx);
    return said;
}

/* A request with a body, cut after the bytes 0 < cut < len; cut 0: in one piece. */
static inline struct waf_said rig_body(struct waf_rig *rig, const char *type, struct span body,
                                       size_t cut)
{
    struct field field = field_make("Content-Type", type);
    struct head_view head = head_make("/form", &field, 1);
    struct waf_tx *tx = rig_begin(rig);
    (void)waf_head(tx, &head);
    if (cut)
        (void)waf_body(tx, span_slice(body, 0, cut));
    (void)waf_body(tx, span_slice(body, cut, body.len));
    struct waf_said said = said_of(tx, waf_end(tx));
    waf_finish(tx);
    return said;
}

#ifdef WAF_RULES_JSON
#include <jansson.h>

static inline unsigned target_of(const char *name)
{
    static const struct {
        const char *name;
        unsigned target;
    } names[] = {
        {"uri", WAF_IN_URI},   {"headers", WAF_IN_HEADERS}, {"user_agent", WAF_IN_USER_AGENT},
        {"body", WAF_IN_BODY}, {"cookie", WAF_IN_COOKIE},   {"resp_body", WAF_IN_RESP_BODY}};
    for (unsigned i = 0; i < TG_ARRAY_LEN(names); i++)
        if (strcmp(names[i].name, name) == 0)
            return names[i].target;
    fail_msg("no target is called %s", name);
    return 0;
}

static inline struct waf_rule rule_of(const json_t *item)
{
    const char *pattern = json_string_value(json_object_get(item, "pattern"));
    const char *message = json_string_value(json_object_get(item, "message"));
    const char *action = json_string_value(json_object_get(item, "action"));
    assert_non_null(pattern);
    assert_non_null(message);
    assert_non_null(action);
    struct waf_rule rule = {.id = (uint32_t)json_integer_value(json_object_get(item, "id")),
                            .pattern = span_from_string(pattern),
                            .message = span_from_string(message),
                            .block = strcmp(action, "block") == 0};
    size_t i;
    json_t *target;
    json_array_foreach(json_object_get(item, "targets"), i, target)
    {
        rule.targets |= target_of(json_string_value(target));
    }
    return rule;
}

/* A rig of the rules that scripts/run pushes; *count: how many. */
static inline struct waf_rig rig_open_json(unsigned transactions, unsigned *count)
{
    json_error_t error;
    json_t *list = json_load_file(WAF_RULES_JSON, 0, &error);
    if (!list)
        fail_msg("%s:%d: %s", WAF_RULES_JSON, error.line, error.text);
    struct waf_rule rules[64];
    *count = (unsigned)json_array_size(list);
    assert_in_range(*count, 8, 64);
    for (unsigned i = 0; i < *count; i++)
        rules[i] = rule_of(json_array_get(list, i));
    struct waf_rig rig = rig_open(rules, *count, transactions);
    json_decref(list);
    return rig;
}
#endif

#endif
