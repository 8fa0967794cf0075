/* SPDX-License-Identifier: BSD-3-Clause
 * Moving body bytes from one stream to the other: framing off, inspection, framing on, with
 * back-pressure. A byte is taken from its source only when the sink has room for it, so at most the
 * two TCP queues hold a body. Called by request and response. Floor 3.
 */
#include "proxy/parts.h"

#define CHUNK_ANNOUNCED_MAX (1u << 20) /* we never announce a bigger chunk than this */

void body_begin(struct body *b, const struct http_head *head, enum http_framing out)
{
    *b = (struct body){.out = out};
    h1_body_start(&b->in, head);
    b->done = b->in.done; /* no body, or an empty one: nothing will move */
}

/* What one piece of payload costs around it. */
struct flow {
    struct body *body;
    struct stream *from, *to;
    bool (*inspect)(struct proxy *p, struct request *r, struct span payload);
    bool (*inspect_end)(struct proxy *p, struct request *r);
};

/* Frame and pass `n` payload bytes, which lie at the front of the source. */
static void payload_pass(struct proxy *p, const struct flow *f, size_t n)
{
    struct body *b = f->body;
    if (n > 0 && b->out == HTTP_CHUNKED) {
        if (b->chunk_left == 0) {
            /* A chunked source says how much comes: keep its pieces. Else one chunk a piece. */
            uint64_t size = n + (b->in.framing == HTTP_CHUNKED ? b->in.left : 0);
            b->chunk_left = size < CHUNK_ANNOUNCED_MAX ? size : CHUNK_ANNOUNCED_MAX;
            uint8_t line[18];
            stream_put(p, f->to, span_make(line, h1_chunk_head(line, b->chunk_left)));
        }
        b->chunk_left -= n;
    }
    stream_pass(p, f->from, f->to, n);
    if (n > 0 && b->out == HTTP_CHUNKED && b->chunk_left == 0)
        stream_put(p, f->to, SPAN_LITERAL("\r\n"));
    b->payload_bytes += n;
}

static void body_finish(struct proxy *p, const struct flow *f)
{
    if (f->body->out == HTTP_CHUNKED)
        stream_put(p, f->to, SPAN_LITERAL("0\r\n\r\n"));
    f->body->done = true;
}

/* One piece. TG_OK: moved; TG_AGAIN: the source is empty; TG_FULL: the sink is; TG_END: finished;
 * TG_REFUSED: inspection said no; else the source's fault. *moved counts what left the source. */
static enum tg_err piece_move(struct proxy *p, struct request *r, const struct flow *f,
                              size_t *moved)
{
    struct body *b = f->body;
    size_t room = stream_writable(p, f->to), consumed;
    if (f->to->error != TG_OK || room == 0)
        return TG_FULL;
    struct span bytes = SPAN_EMPTY, payload;
    enum tg_err err = stream_peek(p, f->from, &bytes);
    if (err == TG_END && b->in.framing == HTTP_UNTIL_CLOSE) {
        body_finish(p, f);
        return TG_END;
    }
    if (err != TG_OK)
        return err == TG_END ? TG_RESET : err; /* left in mid-body */
    if (room > PIECE_BYTES_MAX)
        room = PIECE_BYTES_MAX;
    if (b->chunk_left && room > b->chunk_left)
        room = b->chunk_left;
    err = h1_body_next(&b->in, span_slice(bytes, 0, room), &consumed, &payload);
    if (err == TG_BAD_INPUT)
        return err;
    if (payload.len > 0 && !f->inspect(p, r, payload))
        return TG_REFUSED;
    if (err == TG_END && f->inspect_end && !f->inspect_end(p, r))
        return TG_REFUSED;
    stream_consume(p, f->from, consumed - payload.len);
    payload_pass(p, f, payload.len);
    *moved += consumed;
    if (err == TG_END)
        body_finish(p, f);
    return err == TG_AGAIN ? TG_OK : err;
}

/* Start or keep the clock of what the body waits for: progress starts it anew. */
static void body_waits(struct proxy *p, struct body *b, enum body_wait waits, tg_ns timeout,
                       bool progress)
{
    if (b->waits == waits && !progress && b->deadline)
        return;
    b->waits = waits;
    b->deadline = p->now + timeout;
}

/* Move pieces until one side stops or the step's share is spent: one piece when it is scanned. */
static enum tg_err body_move(struct proxy *p, struct request *r, const struct flow *f,
                             size_t *moved)
{
    enum tg_err err = TG_OK;
    size_t share = r->waf ? PIECE_BYTES_MAX : MOVE_BYTES_MAX;
    *moved = 0;
    while (err == TG_OK && *moved < share)
        err = piece_move(p, r, f, moved);
    return err;
}

enum step body_up(struct proxy *p, struct request *r)
{
    struct flow flow = {&r->up, &r->client->stream, &r->origin->stream, inspect_body, inspect_end};
    size_t moved;
    enum tg_err err = body_move(p, r, &flow, &moved);
    switch (err) {
    case TG_OK:
        return STEP_YIELD;
    case TG_END:
        r->up.deadline = 0;
        return STEP_NEXT;
    case TG_AGAIN:
        body_waits(p, &r->up, BODY_WAITS_SOURCE, p->config.body_timeout, moved > 0);
        return STEP_WAIT;
    case TG_FULL:
        body_waits(p, &r->up, BODY_WAITS_SINK, r->target.response_timeout, moved > 0);
        return STEP_WAIT;
    case TG_BAD_INPUT:
        if (r->client->stream.error == TG_OK) /* chunk grammar; else TLS has had its say */
            stats_count(p->stats, TG_C_http_bad_request);
        request_fail(p, r, 400);
        return STEP_NEXT;
    case TG_REFUSED: /* inspection has failed the request already */
        return STEP_NEXT;
    default:
        stats_count(p->stats, TG_C_proxy_client_gone);
        origin_abort(p, r);
        r->phase = REQUEST_ABORT;
        return STEP_NEXT;
    }
}

enum step body_down(struct proxy *p, struct request *r)
{
    struct flow flow = {&r->down, &r->origin->stream, &r->client->stream, inspect_response_body,
                        NULL};
    size_t moved;
    enum tg_err err = body_move(p, r, &flow, &moved);
    switch (err) {
    case TG_OK:
        return STEP_YIELD;
    case TG_END:
        r->down.deadline = 0;
        return STEP_NEXT;
    case TG_AGAIN:
        body_waits(p, &r->down, BODY_WAITS_SOURCE, r->target.response_timeout, moved > 0);
        return STEP_WAIT;
    case TG_FULL:
        body_waits(p, &r->down, BODY_WAITS_SINK, p->config.body_timeout, moved > 0);
        return STEP_WAIT;
    case TG_BAD_INPUT:
        stats_count(p->stats, TG_C_origin_bad_response);
        request_fail(p, r, 502);
        return STEP_NEXT;
    case TG_REFUSED:
        return STEP_NEXT;
    default:
        request_origin_lost(p, r);
        return STEP_NEXT;
    }
}
