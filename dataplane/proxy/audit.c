/* SPDX-License-Identifier: BSD-3-Clause
 * Audit records: one per WAF match and per origin that TLS refuses, into the ring that tidegate-ctl reads. A full ring loses records
 * and counts them; it never slows a request. Called by inspect
 * and origin_tls. Floor 3.
 */
#include "proxy/parts.h"

#define MATCHES_MAX 8 /* waf_matches keeps no more */

/* Copy what fits; the length goes into a byte of its own. */
static void text_copy(char *to, size_t cap, uint8_t *len, struct span text)
{
    size_t n = text.len < cap ? text.len : cap;
    if (n > 0)
        memcpy(to, text.data, n);
    *len = (uint8_t)n;
}

static void event_fill(struct event *e, const struct proxy *p, const struct request *r,
                       const struct waf_match *match, unsigned status)
{
    const struct head_view *view = &r->head.view;
    memset(e, 0, sizeof *e);
    e->kind = EVENT_WAF;
    e->rule_id = match->rule_id;
    e->wall_ns = proxy_wall_ns(p);
    e->request_id = r->id;
    memcpy(e->client, r->client->address, sizeof e->client);
    e->client_port = r->client->port;
    e->status = (uint16_t)status;
    e->where = (uint16_t)match->where;
    e->blocked = status != 0;
    e->early = r->early;
    text_copy(e->method, sizeof e->method, &e->method_len, view->method);
    text_copy(e->host, sizeof e->host, &e->host_len, r->head.host);
    text_copy(e->target, sizeof e->target, &e->target_len,
              view->target.len ? view->target : view->raw_line);
    text_copy(e->message, sizeof e->message, &e->message_len, match->message);
}

void audit_origin(struct proxy *p, const struct request *r, struct span origin, unsigned status,
                  const char *why)
{
    struct event e = {.kind = EVENT_ORIGIN, .status = (uint16_t)status};
    e.wall_ns = proxy_wall_ns(p);
    e.request_id = r->id;
    memcpy(e.client, r->client->address, sizeof e.client);
    e.client_port = r->client->port;
    text_copy(e.host, sizeof e.host, &e.host_len, r->head.host);
    text_copy(e.target, sizeof e.target, &e.target_len, origin);
    text_copy(e.message, sizeof e.message, &e.message_len, span_from_string(why));
    if (!p->events || ring_push(p->events, &e, 1) != 1)
        stats_count(p->stats, TG_C_waf_audit_lost);
}

void audit_matches(struct proxy *p, const struct request *r, unsigned status)
{
    struct waf_match matches[MATCHES_MAX];
    unsigned n = waf_matches(r->waf, matches, MATCHES_MAX);
    for (unsigned i = 0; i < n; i++) {
        struct event e;
        event_fill(&e, p, r, &matches[i], status);
        if (!p->events || ring_push(p->events, &e, 1) != 1)
            stats_count(p->stats, TG_C_waf_audit_lost);
    }
}
