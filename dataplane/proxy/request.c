/* SPDX-License-Identifier: BSD-3-Clause
 * One request from its first byte to the last byte of its response: request_step shows the phases
 * in their order. Each phase function does what it can and says how to go on; none blocks. Called
 * by client. Floor 3.
 */
#include "proxy/parts.h"

struct request *request_begin(struct proxy *p, struct client *c)
{
    struct request *r = pool_take(&p->requests);
    if (!r)
        return NULL;
    memset(r, 0, offsetof(struct request, head)); /* the head is what its parser makes it */
    r->head.error = NULL;
    r->head.bytes = 0;
    r->head.method = HTTP_OTHER_METHOD;
    r->client = c;
    r->deadline = p->now + p->config.head_timeout;
    do
        r->id = prng_next(&p->ids);
    while (r->id == 0);
    return r;
}

void request_free(struct proxy *p, struct request *r)
{
    origin_abort(p, r);
    inspect_finish(p, r);
    head_store_release(p, &r->response_store);
    head_store_release(p, &r->store);
    pool_give(&p->requests, r);
}

void request_fail(struct proxy *p, struct request *r, unsigned status)
{
    origin_abort(p, r);
    head_store_release(p, &r->response_store);
    r->response_stored = false;
    if (r->client->stream.error != TG_OK) {
        r->phase = REQUEST_CUT; /* TLS is broken: its alert is the answer */
        return;
    }
    if (r->response_begun || r->response_sent > 0) {
        /* A truncated answer must look like one: where the end of the connection is the end of the
         * body, only RST does. */
        r->phase = r->down.out == HTTP_UNTIL_CLOSE ? REQUEST_ABORT : REQUEST_CUT;
        return;
    }
    r->status = (uint16_t)status;
    r->keep_client = r->head.bytes > 0 && !r->head.error && r->head.keep_alive && r->up.done;
    r->deadline = p->now + p->config.body_timeout;
    r->phase = REQUEST_REPLY;
}

/* RFC 9110 s9.2.2: what may be done twice with the effect of once. */
static bool is_idempotent(enum http_method method)
{
    return method == HTTP_GET || method == HTTP_HEAD || method == HTTP_PUT ||
           method == HTTP_DELETE || method == HTTP_OPTIONS || method == HTTP_TRACE;
}

/* A pooled connection may die just as we write to it. The request goes out once more when the
 * origin cannot have acted on it, or acting twice is harmless, and no body byte has left the
 * client. */
static bool may_retry(const struct request *r)
{
    if (!r->origin || !r->origin->reused || r->retried || r->response_seen)
        return false;
    bool bodyless = r->head.framing == HTTP_NO_BODY ||
                    (r->head.framing == HTTP_SIZED && r->head.content_length == 0);
    return r->head_sent == 0 || (bodyless && is_idempotent(r->head.method));
}

void request_origin_lost(struct proxy *p, struct request *r)
{
    bool retry = may_retry(r);
    origin_tls_tell(p, r, 502);
    origin_abort(p, r);
    if (retry) {
        stats_count(p->stats, TG_C_origin_retries);
        r->retried = true;
        r->head_sent = 0;
        r->down = (struct body){0};
        r->phase = REQUEST_ORIGIN;
        return;
    }
    stats_count(p->stats, TG_C_origin_aborted);
    request_fail(p, r, 502);
}

/* --- the phases ------------------------------------------------------------------------------- */

/* Does a refused head concern a site that wants inspection? When that cannot be told: yes. */
static bool refused_head_wants_waf(const struct proxy *p, const struct request *r)
{
    int i = http_field_find(&r->head.view, SPAN_LITERAL("host"), 0);
    if (i < 0)
        return true;
    struct span host = r->head.fields[i].value;
    const uint8_t *colon =
        host.len && host.data[0] != '[' ? memchr(host.data, ':', host.len) : NULL;
    if (colon)
        host.len = (size_t)(colon - host.data);
    const struct tables_site *site = route_site(p->routes, host);
    return !site || (site->flags & TABLES_SITE_WAF);
}

static enum step head_refused(struct proxy *p, struct request *r, enum tg_err err)
{
    stats_count(p->stats, err == TG_TOO_BIG ? TG_C_http_too_large : TG_C_http_bad_request);
    unsigned status = h1_refusal_status(err, &r->head);
    r->site_waf = refused_head_wants_waf(p, r);
    if (inspect_bad_head(p, r))
        status = 403;
    request_fail(p, r, status);
    return STEP_NEXT;
}

static void head_complete(struct proxy *p, struct request *r)
{
    body_begin(&r->up, &r->head, r->head.framing);
    stats_count(p->stats, TG_C_http_requests);
    r->phase = REQUEST_EARLY;
}

/* The bytes are copied to the request's own storage, because its head must outlive them; bytes
 * behind the head stay where they are. */
static enum step request_read_head(struct proxy *p, struct request *r)
{
    struct stream *s = &r->client->stream;
    struct head_store *store = &r->store;
    for (;;) {
        struct span bytes;
        enum tg_err err = stream_peek(p, s, &bytes);
        if (err == TG_AGAIN)
            return STEP_WAIT;
        if (err != TG_OK) { /* left, or broke TLS, in the middle of a head */
            stats_count(p->stats, TG_C_proxy_client_gone);
            r->phase = REQUEST_END;
            return STEP_NEXT;
        }
        r->early |= s->early_left > 0;
        if (!head_store_room(p, store)) {
            stats_count(p->stats, TG_C_proxy_full);
            request_fail(p, r, 503);
            return STEP_NEXT;
        }
        bytes = span_slice(bytes, 0, store->cap - store->len);
        memcpy(store->bytes + store->len, bytes.data, bytes.len);
        size_t before = store->len;
        store->len += bytes.len;
        err = h1_parse_request(span_make(store->bytes, store->len), &store->scanned, &r->head);
        if (err == TG_OK) {
            stream_consume(p, s, r->head.bytes - before);
            head_complete(p, r);
            return STEP_NEXT;
        }
        if (err != TG_AGAIN)
            return head_refused(p, r, err);
        stream_consume(p, s, bytes.len);
    }
}

static tg_ns milliseconds_or(uint32_t ms, tg_ns fallback)
{
    return ms ? ms * TG_MS : fallback;
}

static void target_copy(struct request *r, const struct tables_origin *origin, uint64_t tls)
{
    struct origin_target *t = &r->target;
    memcpy(t->address, origin->address, sizeof t->address);
    t->port = origin->port;
    t->tls = tls;
    t->connections_max = origin->connections_max ? origin->connections_max : UINT32_MAX;
    t->connect_timeout = milliseconds_or(origin->connect_timeout_ms, 5 * TG_S);
    t->response_timeout = milliseconds_or(origin->response_timeout_ms, 60 * TG_S);
    t->idle_timeout = milliseconds_or(origin->idle_timeout_ms, 60 * TG_S);
}

static enum step request_route(struct proxy *p, struct request *r)
{
    if (r->head.method == HTTP_CONNECT) {
        request_fail(p, r, 501);
        return STEP_NEXT;
    }
    const struct tables_site *site = route_site(p->routes, r->head.host);
    const struct tables_origin *origin = site ? route_origin(p->routes, site->origin) : NULL;
    if (!site)
        stats_count(p->stats, TG_C_http_no_site);
    if (!origin) {
        request_fail(p, r, site ? 503 : 404);
        return STEP_NEXT;
    }
    target_copy(r, origin, origin_plan_identity(p->origin_plan, site->origin));
    r->site_waf = (site->flags & TABLES_SITE_WAF) != 0;
    struct span host =
        span_slice(tables_string_span(p->routes, site->host), 0, sizeof r->host_name);
    if (host.len > 0)
        memcpy(r->host_name, host.data, host.len);
    r->site_host = span_make(r->host_name, host.len);
    r->phase = REQUEST_INSPECT;
    return STEP_NEXT;
}

/* Without a body the verdict is final before the origin hears anything; with one, the last piece is
 * held back until it is (body.c). */
static enum step request_inspect(struct proxy *p, struct request *r)
{
    if (inspect_head(p, r) && (!r->up.done || inspect_end(p, r)))
        r->phase = REQUEST_ORIGIN;
    return STEP_NEXT;
}

static enum step request_connect(struct proxy *p, struct request *r)
{
    enum tg_err err = TG_OK;
    if (!r->origin) {
        err = origin_acquire(p, r, r->retried);
        r->deadline = p->now + r->target.connect_timeout;
    }
    if (err == TG_OK)
        err = origin_ready(p, r->origin);
    switch (err) {
    case TG_OK:
        r->deadline = p->now + r->target.response_timeout;
        early_forward(p, r);
        r->phase = REQUEST_FORWARD;
        return STEP_NEXT;
    case TG_AGAIN:
        return STEP_WAIT;
    case TG_FULL:
        stats_count(p->stats, TG_C_proxy_full);
        request_fail(p, r, 503);
        return STEP_NEXT;
    default:
        stats_count(p->stats, TG_C_origin_connect_failed);
        origin_tls_tell(p, r, err == TG_TIMEOUT ? 504 : 502);
        request_fail(p, r, err == TG_TIMEOUT ? 504 : 502);
        return STEP_NEXT;
    }
}

/* Our head is written from the parsed one, each time the same bytes: after a short write it is made
 * again and the part that has left is skipped. */
static enum step request_forward(struct proxy *p, struct request *r)
{
    struct stream *s = &r->origin->stream;
    struct span_writer w = span_writer_make(p->scratch, sizeof p->scratch);
    heads_write_request(p, r, &w);
    tg_assert(w.ok);
    while (r->head_sent < w.len && s->error == TG_OK) {
        size_t n = stream_write(p, s, span_slice(span_writer_span(&w), r->head_sent, w.len));
        if (n == 0)
            break;
        r->head_sent += (uint32_t)n;
    }
    if (s->error != TG_OK) {
        request_origin_lost(p, r);
        return STEP_NEXT;
    }
    if (r->head_sent < w.len)
        return STEP_WAIT;
    r->phase = REQUEST_EXCHANGE;
    return STEP_NEXT;
}

/* Both directions at once: an origin may answer before it has read the whole body. */
static enum step request_exchange(struct proxy *p, struct request *r)
{
    enum step up = r->up.done ? STEP_NEXT : body_up(p, r);
    if (r->phase != REQUEST_EXCHANGE)
        return STEP_NEXT;
    enum step down = response_step(p, r);
    if (r->phase != REQUEST_EXCHANGE)
        return STEP_NEXT;
    if (down == STEP_NEXT) {
        r->phase = REQUEST_END;
        return STEP_NEXT;
    }
    return up == STEP_YIELD || down == STEP_YIELD ? STEP_YIELD : STEP_WAIT;
}

static enum step request_reply(struct proxy *p, struct request *r)
{
    enum step step = reply_step(p, r);
    if (step == STEP_NEXT)
        r->phase = REQUEST_END;
    return step;
}

enum step request_step(struct proxy *p, struct request *r)
{
    enum step step = STEP_NEXT;
    while (step == STEP_NEXT) {
        switch (r->phase) {
        case REQUEST_HEAD:
            step = request_read_head(p, r);
            break;
        case REQUEST_EARLY:
            step = early_admit(p, r);
            break;
        case REQUEST_ROUTE:
            step = request_route(p, r);
            break;
        case REQUEST_INSPECT:
            step = request_inspect(p, r);
            break;
        case REQUEST_ORIGIN:
            step = request_connect(p, r);
            break;
        case REQUEST_FORWARD:
            step = request_forward(p, r);
            break;
        case REQUEST_EXCHANGE:
            step = request_exchange(p, r);
            break;
        case REQUEST_REPLY:
            step = request_reply(p, r);
            break;
        case REQUEST_CUT:
        case REQUEST_ABORT:
        case REQUEST_END:
            return STEP_NEXT;
        }
    }
    return step;
}

/* --- deadlines -------------------------------------------------------------------------------- */

static tg_ns earlier(tg_ns a, tg_ns b)
{
    return a && (!b || a < b) ? a : b;
}

tg_ns request_deadline(const struct request *r)
{
    if (r->phase != REQUEST_EXCHANGE)
        return r->deadline;
    return earlier(r->up.done ? 0 : r->up.deadline, r->down.deadline);
}

static void exchange_expire(struct proxy *p, struct request *r)
{
    bool up = !r->up.done && r->up.deadline && r->up.deadline <= p->now;
    enum body_wait waits = up ? r->up.waits : r->down.waits;
    if (up == (waits == BODY_WAITS_SOURCE)) { /* the client sends, or takes, too slowly */
        stats_count(p->stats, TG_C_proxy_client_timeout);
        request_fail(p, r, 408);
        if (r->phase == REQUEST_CUT) /* it would not take the rest either */
            r->phase = REQUEST_ABORT;
    } else {
        stats_count(p->stats, TG_C_origin_timeout);
        request_fail(p, r, 504);
    }
}

void request_expire(struct proxy *p, struct request *r)
{
    switch (r->phase) {
    case REQUEST_HEAD:
        stats_count(p->stats, TG_C_proxy_client_timeout);
        request_fail(p, r, 408);
        break;
    case REQUEST_ORIGIN:
        stats_count(p->stats, TG_C_origin_connect_failed);
        origin_tls_tell(p, r, 504);
        request_fail(p, r, 504);
        break;
    case REQUEST_FORWARD:
        stats_count(p->stats, TG_C_origin_timeout);
        request_fail(p, r, 504);
        break;
    case REQUEST_EXCHANGE:
        exchange_expire(p, r);
        break;
    default:
        stats_count(p->stats, TG_C_proxy_client_timeout);
        r->phase = REQUEST_ABORT;
        break;
    }
}
