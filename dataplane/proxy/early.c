/* SPDX-License-Identifier: BSD-3-Clause
 * Requests in early data (TLS 1.3 0-RTT; RFC 8470). Whoever sends them has shown a ticket but not yet that it
 * is not an attacker who repeats what he has recorded. tls/ lets each first flight in once on this node; what
 * is left (another node, a client that sends again by itself) is borne by what may run before the client's
 * Finished: only requests that change nothing, marked for the origin, which may say 425 Too Early. All else
 * waits; order is kept, since what stands behind a waiting request waits too. Called by client, request,
 * response and heads. Floor 3.
 */
#include "proxy/parts.h"

void early_tell(struct proxy *p, struct client *c)
{
    static const enum tg_counter counters[] = {
        [TLS_EARLY_ACCEPTED] = TG_C_tls_early_accepted,
        [TLS_EARLY_REFUSED] = TG_C_tls_early_refused,
        [TLS_EARLY_REPLAYED] = TG_C_tls_early_replayed,
    };
    enum tls_early answer = tls_early_answer(c->stream.tls);
    if (c->early_told || answer == TLS_EARLY_NONE)
        return;
    c->early_told = true;
    stats_count(p->stats, counters[answer]);
}

/* Until then only 0-RTT data can have been read: the request is made of nothing else. */
static bool client_is_early(const struct request *r)
{
    const struct stream *s = &r->client->stream;
    return s->tls && !tls_handshake_done(s->tls);
}

/* Safe methods (RFC 9110 s9.2.1) without a body. TRACE would be one; nobody needs it fast. */
static bool changes_nothing(const struct request *r)
{
    enum http_method m = r->head.method;
    return (m == HTTP_GET || m == HTTP_HEAD || m == HTTP_OPTIONS) && r->up.done;
}

enum step early_admit(struct proxy *p, struct request *r)
{
    if (client_is_early(r) && (r->too_early || !changes_nothing(r))) {
        if (!r->early_waits)
            stats_count(p->stats, TG_C_http_early_waited);
        r->early_waits = true;
        r->deadline = 0; /* the handshake has its own */
        return STEP_WAIT;
    }
    r->phase = r->too_early ? REQUEST_ORIGIN : REQUEST_ROUTE;
    return STEP_NEXT;
}

void early_forward(struct proxy *p, struct request *r)
{
    bool before = r->early_sent;
    r->early_sent = client_is_early(r);
    if (r->early_sent && !before)
        stats_count(p->stats, TG_C_http_early_executed);
}

/* A hop before us has said so. However often, and even if Connection names it (which it must not): it stays
 * said, once. */
static bool client_says_early(const struct request *r)
{
    return http_field_find(&r->head.view, SPAN_LITERAL("early-data"), 0) >= 0;
}

void early_write_field(const struct request *r, struct span_writer *w)
{
    if (r->early_sent || client_says_early(r))
        h1_write_field(w, SPAN_LITERAL("Early-Data"), SPAN_LITERAL("1"));
}

/* The origin has refused by a whole message: its connection may serve again. Else it is not worth the reading. */
static void origin_let_go(struct proxy *p, struct request *r, bool in_place)
{
    const struct http_head *head = &p->response;
    struct stream *s = &r->origin->stream;
    struct span bytes;
    bool sized = head->framing == HTTP_NO_BODY || head->framing == HTTP_SIZED;
    if (in_place && sized && head->keep_alive && stream_peek(p, s, &bytes) == TG_OK &&
        bytes.len == head->bytes + (head->framing == HTTP_SIZED ? head->content_length : 0)) {
        stream_consume(p, s, bytes.len);
        if (tcp_unread(p->tcp, s->tcp) == 0 && !tcp_at_end(p->tcp, s->tcp)) {
            origin_keep(p, r);
            return;
        }
    }
    origin_abort(p, r);
}

/* RFC 8470 s5.2: once, and never before the client's Finished. A request that came to us marked is the
 * business of the hop that has marked it. */
bool early_again(struct proxy *p, struct request *r, bool in_place)
{
    if (p->response.view.status != 425 || !r->early_sent || client_says_early(r))
        return false;
    stats_count(p->stats, TG_C_http_early_425);
    origin_let_go(p, r, in_place);
    head_store_release(p, &r->response_store);
    r->response_stored = r->response_seen = false;
    r->head_sent = 0;
    r->down = (struct body){0};
    r->early_sent = r->retried = false;
    r->early_waits = r->too_early = true;
    r->phase = REQUEST_EARLY;
    return true;
}
