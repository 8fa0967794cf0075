/* SPDX-License-Identifier: BSD-3-Clause
 * What the origin answers: its head is parsed, decided upon and written anew for the client; 1xx
 * heads are passed on and the final one waited for; then the body. Called by request. Floor 3.
 */
#include "proxy/parts.h"

/* The origin's head came in pieces: take the next one to the storage and look again. */
static enum tg_err response_store_piece(struct proxy *p, struct request *r, struct span bytes)
{
    struct head_store *store = &r->response_store;
    if (!head_store_room(p, store))
        return TG_FULL;
    bytes = span_slice(bytes, 0, store->cap - store->len);
    memcpy(store->bytes + store->len, bytes.data, bytes.len);
    enum tg_err err = h1_parse_response(span_make(store->bytes, store->len + bytes.len),
                                        &store->scanned, r->head.method, &p->response);
    if (err == TG_AGAIN) {
        store->len += bytes.len;
        stream_consume(p, &r->origin->stream, bytes.len);
    } else if (err == TG_OK) {
        stream_consume(p, &r->origin->stream, p->response.bytes - store->len);
        store->len = p->response.bytes;
        r->response_stored = true;
    }
    return err;
}

/* Parse the origin's head where it lies: in the first frame when it is whole there, else in storage
 * of its own, into which the pieces are copied. *in_place says which. The result is in p->response,
 * valid until the step ends. */
static enum tg_err response_parse(struct proxy *p, struct request *r, bool *in_place)
{
    struct head_store *store = &r->response_store;
    size_t scanned = 0;
    *in_place = false;
    if (r->response_stored)
        return h1_parse_response(span_make(store->bytes, store->len), &scanned, r->head.method,
                                 &p->response);
    for (;;) {
        struct span bytes;
        enum tg_err err = stream_peek(p, &r->origin->stream, &bytes);
        if (err != TG_OK)
            return err == TG_AGAIN ? TG_AGAIN : TG_RESET;
        r->response_seen = true;
        if (!store->bytes) {
            scanned = 0;
            err = h1_parse_response(bytes, &scanned, r->head.method, &p->response);
            *in_place = err == TG_OK;
            if (err != TG_AGAIN)
                return err;
        }
        err = response_store_piece(p, r, bytes);
        if (err != TG_AGAIN)
            return err;
    }
}

/* How the response goes to this client; said once, because the head may leave in pieces. */
static void response_decide(struct request *r, const struct http_head *head)
{
    r->response_decided = true;
    r->status = (uint16_t)head->view.status;
    if (r->status < 200) {
        r->informational++;
        return;
    }
    bool old_client = r->head.minor == 0;
    enum http_framing out = head->framing;
    if (out == HTTP_CHUNKED || out == HTTP_UNTIL_CLOSE)
        out = old_client ? HTTP_UNTIL_CLOSE : HTTP_CHUNKED;
    r->keep_client = r->head.keep_alive && r->up.done && out != HTTP_UNTIL_CLOSE;
    r->keep_origin = head->keep_alive;
    body_begin(&r->down, head, out);
}

/* The head is with the client: forget it, and what belongs to it. */
static void response_head_sent(struct proxy *p, struct request *r, bool in_place)
{
    if (in_place)
        stream_consume(p, &r->origin->stream, p->response.bytes);
    head_store_release(p, &r->response_store);
    r->response_stored = r->response_decided = false;
    r->response_sent = 0;
    r->response_head_done = r->status >= 200;
    count_status(p, r->status);
}

static enum step response_head_write(struct proxy *p, struct request *r, bool in_place)
{
    struct stream *s = &r->client->stream;
    struct span_writer w = span_writer_make(p->scratch, sizeof p->scratch);
    heads_write_response(p, r, &p->response, &w);
    tg_assert(w.ok);
    while (r->response_sent < w.len) {
        size_t n = stream_write(p, s, span_slice(span_writer_span(&w), r->response_sent, w.len));
        r->response_sent += (uint32_t)n;
        if (n == 0) {
            if (r->down.waits != BODY_WAITS_SINK || !r->down.deadline)
                r->down.deadline = p->now + p->config.body_timeout;
            r->down.waits = BODY_WAITS_SINK;
            return STEP_WAIT;
        }
        r->response_begun |= r->status >= 200;
        r->down.deadline = 0;
    }
    response_head_sent(p, r, in_place);
    return STEP_NEXT;
}

static enum step response_refused(struct proxy *p, struct request *r, enum tg_err err)
{
    switch (err) {
    case TG_AGAIN:
        /* The origin's time runs from the end of the request. */
        if (!r->up.done)
            r->down.deadline = 0;
        else if (!r->down.deadline)
            r->down.deadline = p->now + r->target.response_timeout;
        r->down.waits = BODY_WAITS_SOURCE;
        return STEP_WAIT;
    case TG_RESET:
        request_origin_lost(p, r);
        return STEP_NEXT;
    case TG_FULL:
        stats_count(p->stats, TG_C_proxy_full);
        request_fail(p, r, 503);
        return STEP_NEXT;
    default:
        stats_count(p->stats, TG_C_origin_bad_response);
        request_fail(p, r, 502);
        return STEP_NEXT;
    }
}

/* One head. STEP_NEXT: it was handled (or the request failed); the caller looks at the phase. */
static enum step response_head(struct proxy *p, struct request *r)
{
    bool in_place;
    enum tg_err err = response_parse(p, r, &in_place);
    if (err == TG_OK && p->response.view.status < 200 &&
        (p->response.view.status == 101 || r->informational == INFORMATIONAL_MAX))
        err = TG_BAD_INPUT; /* nobody asked to switch protocols; a stream of 1xx is no answer */
    if (err != TG_OK)
        return response_refused(p, r, err);
    if (!r->response_decided && early_again(p, r, in_place))
        return STEP_NEXT;
    if (!r->response_decided)
        response_decide(r, &p->response);
    if (r->status < 200 &&
        r->head.minor == 0) { /* RFC 9110 s15.2: 1.0 clients know none of these */
        response_head_sent(p, r, in_place);
        return STEP_NEXT;
    }
    if (r->status >= 200 && !inspect_response_head(p, r, &p->response.view))
        return STEP_NEXT;
    return response_head_write(p, r, in_place);
}

/* The response is complete. The origin connection may serve again when both messages ended cleanly
 * and nothing came behind the response. */
static void response_end(struct proxy *p, struct request *r)
{
    struct stream *s = &r->origin->stream;
    bool clean = r->up.done && s->error == TG_OK && s->held.count == 0 && !s->staged &&
                 tcp_unread(p->tcp, s->tcp) == 0;
    if (clean && r->keep_origin && !tcp_at_end(p->tcp, s->tcp))
        origin_keep(p, r);
    else if (clean)
        origin_leave(p, r);
    else
        origin_abort(p, r);
    r->keep_client = r->keep_client && r->up.done;
    stats_count(p->stats, TG_C_http_responses);
}

enum step response_step(struct proxy *p, struct request *r)
{
    while (!r->response_head_done) {
        enum step step = response_head(p, r);
        if (step != STEP_NEXT || r->phase != REQUEST_EXCHANGE)
            return step;
    }
    if (!r->down.done) {
        enum step step = body_down(p, r);
        if (step != STEP_NEXT || r->phase != REQUEST_EXCHANGE)
            return step;
    }
    response_end(p, r);
    return STEP_NEXT;
}
