/* SPDX-License-Identifier: BSD-3-Clause
 * See waf_scan.h. Hot path: no allocation, no locks.
 */
#include "waf/waf_scan.h"

/* Hyperscan takes lengths as unsigned int; no single call gets more than this. */
#define SCAN_BYTES_MAX ((size_t)1 << 30)

/* What a match callback needs. */
struct scan {
    struct waf_tx *tx;
    unsigned where;
};

/* Keep a match; one entry a rule and target. A blocking match always finds room: it takes the
 * last entry. */
static void match_keep(struct waf_tx *tx, const struct waf_match *match)
{
    for (unsigned i = 0; i < tx->match_count; i++)
        if (tx->matches[i].rule_id == match->rule_id && tx->matches[i].where == match->where)
            return;
    if (tx->match_count < WAF_MATCHES_MAX)
        tx->matches[tx->match_count++] = *match;
    else if (match->block)
        tx->matches[WAF_MATCHES_MAX - 1] = *match;
}

/* Of the targets that both the rule and the subject have, the one to report: a cookie rather
 * than a header. */
static enum waf_target most_specific(unsigned hit)
{
    unsigned specific = hit & ~(unsigned)WAF_IN_HEADERS;
    return specific ? (enum waf_target)specific : WAF_IN_HEADERS;
}

/* Hyperscan's match_event_handler: non-zero ends the scan. */
static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                    void *arg)
{
    struct scan *scan = arg;
    const struct waf_program *program = scan->tx->bench->program;
    tg_assert(id < program->rule_count);
    const struct waf_program_rule *rule = &program->rules[id];
    unsigned hit = rule->targets & scan->where;
    if (!hit)
        return 0;
    struct waf_match match = {.rule_id = rule->id,
                              .where = most_specific(hit),
                              .block = rule->block,
                              .message = rule->message};
    match_keep(scan->tx, &match);
    if (rule->block)
        scan->tx->verdict = WAF_BLOCK;
    return rule->block;
}

void waf_scan_refuse(struct waf_tx *tx, enum waf_target where, const char *why)
{
    struct waf_match match = {.where = where, .block = true, .message = span_from_string(why)};
    match_keep(tx, &match);
    tx->verdict = WAF_BLOCK;
}

/* Termination is our own doing, in on_match; anything else than success means that bytes were
 * not inspected. */
static void result_check(struct waf_tx *tx, unsigned where, hs_error_t result)
{
    if (TG_UNLIKELY(result != HS_SUCCESS && result != HS_SCAN_TERMINATED))
        waf_scan_refuse(tx, most_specific(where), "the scan engine failed");
}

void waf_scan_value(struct waf_tx *tx, unsigned where, struct span value)
{
    const struct waf_program *program = tx->bench->program;
    if (tx->verdict == WAF_BLOCK || value.len == 0 || !(program->targets & where))
        return;
    if (value.len > SCAN_BYTES_MAX) {
        waf_scan_refuse(tx, most_specific(where), "the value is too long to inspect");
        return;
    }
    struct scan scan = {tx, where};
    result_check(tx, where,
                 hs_scan(program->databases[WAF_DB_BLOCK], (const char *)value.data,
                         (unsigned)value.len, 0, tx->bench->scratch, on_match, &scan));
}

void waf_scan_stream(struct waf_tx *tx, enum waf_target where, hs_stream_t *stream,
                     struct span bytes)
{
    struct scan scan = {tx, where};
    while (bytes.len > 0 && tx->verdict == WAF_PASS) {
        struct span part = span_slice(bytes, 0, SCAN_BYTES_MAX);
        bytes = span_slice(bytes, part.len, bytes.len);
        result_check(tx, where,
                     hs_scan_stream(stream, (const char *)part.data, (unsigned)part.len, 0,
                                    tx->bench->scratch, on_match, &scan));
    }
}

void waf_scan_stream_end(struct waf_tx *tx, enum waf_target where, hs_stream_t *stream)
{
    if (tx->verdict == WAF_BLOCK)
        return;
    struct scan scan = {tx, where};
    result_check(tx, where, hs_reset_stream(stream, 0, tx->bench->scratch, on_match, &scan));
}

void waf_scan_stream_drop(hs_stream_t *stream)
{
    hs_error_t result = hs_reset_stream(stream, 0, NULL, NULL, NULL);
    tg_assert(result == HS_SUCCESS);
}
