/* SPDX-License-Identifier: BSD-3-Clause
 * The WAF at work on one request: which program, when it is asked, what a verdict does. A request
 * keeps the program that was in force when it began. Called by request, body and response. Floor 3.
 */
#include "proxy/parts.h"

static struct waf_generation *generation_of(struct proxy *p, uint64_t number)
{
    for (unsigned i = 0; i < WAF_GENERATIONS_MAX; i++)
        if (p->waf[i].number == number)
            return &p->waf[i];
    return NULL;
}

void inspect_use(struct proxy *p, struct waf_program *program, uint64_t number)
{
    for (unsigned i = 0; i < WAF_GENERATIONS_MAX; i++) {
        struct waf_generation *g = &p->waf[i];
        if (i == p->waf_current || g->holders > 0)
            continue;
        *g = (struct waf_generation){program, number, 0};
        p->waf_current = i;
        break;
    }
    tg_assert(p->waf[p->waf_current].number == number); /* the region has fewer slots than we */
    /* A response under way is not inspected further under an old program: a long download would
     * keep that generation from being freed. Its request has been inspected to the end. */
    for (uint32_t i = 0; i < p->requests.count; i++) {
        struct request *r = pool_at(&p->requests, i);
        if (pool_is_taken(&p->requests, i) && r->waf && r->waf_request_done)
            inspect_finish(p, r);
    }
}

uint64_t inspect_oldest(const struct proxy *p)
{
    uint64_t oldest = p->waf[p->waf_current].number;
    for (unsigned i = 0; i < WAF_GENERATIONS_MAX; i++)
        if (p->waf[i].holders > 0 && p->waf[i].number < oldest)
            oldest = p->waf[i].number;
    return oldest;
}

/* Take a transaction under the program in force. TG_NOT_FOUND: nothing to do; TG_FULL: no room. */
static enum tg_err inspect_begin(struct proxy *p, struct request *r)
{
    struct waf_generation *g = &p->waf[p->waf_current];
    if (!r->site_waf || !g->program || !p->waf_worker)
        return TG_NOT_FOUND;
    enum tg_err err = waf_begin(p->waf_worker, g->program, &r->waf);
    if (err != TG_OK) {
        r->waf = NULL;
        return TG_FULL;
    }
    g->holders++;
    r->waf_number = g->number;
    stats_count(p->stats, TG_C_waf_inspected);
    return TG_OK;
}

static void blocked(struct proxy *p, struct request *r)
{
    r->waf_blocked = r->waf_request_done = true;
    stats_count(p->stats, TG_C_waf_blocked);
    audit_matches(p, r, 403);
}

/* True to go on; false: the request has been failed. */
static bool verdict(struct proxy *p, struct request *r, enum waf_verdict v)
{
    if (v == WAF_PASS)
        return true;
    blocked(p, r);
    request_fail(p, r, 403);
    return false;
}

bool inspect_head(struct proxy *p, struct request *r)
{
    enum tg_err err = inspect_begin(p, r);
    if (err == TG_FULL) { /* fail closed: an attacker must not switch the WAF off by load */
        stats_count(p->stats, TG_C_proxy_full);
        request_fail(p, r, 503);
        return false;
    }
    return err == TG_NOT_FOUND || verdict(p, r, waf_head(r->waf, &r->head.view));
}

bool inspect_bad_head(struct proxy *p, struct request *r)
{
    if (inspect_begin(p, r) != TG_OK)
        return false;
    if (waf_bad_head(r->waf, &r->head.view, r->head.error_offset) == WAF_PASS)
        return false;
    blocked(p, r);
    return true;
}

bool inspect_body(struct proxy *p, struct request *r, struct span payload)
{
    return !r->waf || r->waf_request_done || verdict(p, r, waf_body(r->waf, payload));
}

bool inspect_end(struct proxy *p, struct request *r)
{
    if (!r->waf || r->waf_request_done)
        return true;
    r->waf_request_done = true;
    return verdict(p, r, waf_end(r->waf));
}

/* An answer that comes before the request's end is not inspected: the transaction is not that
 * far. */
bool inspect_response_head(struct proxy *p, struct request *r, const struct head_view *head)
{
    if (!r->waf || !r->waf_request_done || r->waf_response_head_seen)
        return true;
    r->waf_response_head_seen = true;
    return verdict(p, r, waf_resp_head(r->waf, head));
}

bool inspect_response_body(struct proxy *p, struct request *r, struct span payload)
{
    return !r->waf || !r->waf_response_head_seen || verdict(p, r, waf_resp_body(r->waf, payload));
}

void inspect_finish(struct proxy *p, struct request *r)
{
    if (!r->waf)
        return;
    struct waf_match match;
    if (!r->waf_blocked && waf_matches(r->waf, &match, 1) > 0) {
        stats_count(p->stats, TG_C_waf_detected);
        audit_matches(p, r, 0);
    }
    waf_finish(r->waf);
    r->waf = NULL;
    struct waf_generation *g = generation_of(p, r->waf_number);
    tg_assert(g && g->holders > 0);
    g->holders--;
}
