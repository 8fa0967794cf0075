/* SPDX-License-Identifier: BSD-3-Clause
 * A peer as a stream of plaintext bytes: TCP alone or TLS over TCP, with one face for both. Plain
 * payload moves as whole frames from one connection to the other; TLS decrypts into a frame that
 * can travel on as it is. Called by every other file of the proxy; knows nothing of HTTP. Floor 3.
 */
#include "proxy/parts.h"

#define PEEK_SPANS       16   /* spans of cipher text given to TLS at once */
#define STAGED_BYTES_MAX 1400 /* plaintext per staged frame: fits one segment of most paths */

static bool tls_flush(struct proxy *p, struct stream *s);

/* --- input ------------------------------------------------------------------------------------ */

/* Give TLS what TCP has; *fed says how many bytes it took. What it wants to say goes out at
 * once. */
static enum tg_err tls_input(struct proxy *p, struct stream *s, size_t *fed)
{
    struct span spans[PEEK_SPANS];
    *fed = 0;
    unsigned n = tcp_peek(p->tcp, s->tcp, spans, PEEK_SPANS);
    if (n == 0)
        return tcp_at_end(p->tcp, s->tcp) ? TG_END : TG_AGAIN;
    enum tg_err err = tls_feed(s->tls, spans, n, fed, proxy_wall_ns(p) / TG_S);
    tcp_consume(p->tcp, s->tcp, (uint32_t)*fed);
    tls_flush(p, s);
    if (err == TG_BAD_INPUT)
        s->error = TG_BAD_INPUT;
    return err;
}

/* Fill s->staged from TLS, feeding it while it has nothing. A FIN without close_notify ends the
 * input like one with it: HTTP's own framing tells whether the message was whole. */
static enum tg_err tls_stage(struct proxy *p, struct stream *s)
{
    struct buf *b = buf_alloc(p->buffers);
    if (!b) {
        s->starved = true;
        return TG_AGAIN;
    }
    size_t n = 0, fed = 1;
    enum tg_err err;
    for (;;) {
        bool early; /* never here: stream_handshake reads those */
        err = tls_read(s->tls, b->data, STAGED_BYTES_MAX, &n, &early);
        if (err != TG_AGAIN || !fed)
            break;
        err = tls_input(p, s, &fed);
        if (err == TG_BAD_INPUT || err == TG_WANT_KEY || (err == TG_END && !fed))
            break;
    }
    if (n > 0) {
        buf_put(b, (uint16_t)n);
        s->staged = b;
        return TG_OK;
    }
    buf_unref(p->buffers, b);
    s->input_end = err == TG_END;
    return err == TG_WANT_KEY ? TG_AGAIN : err;
}

enum tg_err stream_peek(struct proxy *p, struct stream *s, struct span *out)
{
    if (s->error != TG_OK)
        return s->error;
    if (s->tls) {
        if (!s->staged)
            s->staged = buf_queue_pop(&s->early);
        if (!s->staged) {
            if (!tls_handshake_done(s->tls)) /* what comes next comes by stream_handshake */
                return TG_AGAIN;
            enum tg_err err = s->input_end ? TG_END : tls_stage(p, s);
            if (err != TG_OK)
                return err;
        }
        *out = buf_span(s->staged);
        return TG_OK;
    }
    if (tcp_peek(p->tcp, s->tcp, out, 1) == 1)
        return TG_OK;
    return tcp_at_end(p->tcp, s->tcp) ? TG_END : TG_AGAIN;
}

/* n bytes have left the front. */
static void early_used(struct stream *s, size_t n)
{
    s->early_left -= n < s->early_left ? (uint32_t)n : s->early_left;
}

void stream_consume(struct proxy *p, struct stream *s, size_t n)
{
    if (!s->tls) {
        tcp_consume(p->tcp, s->tcp, (uint32_t)n);
        return;
    }
    if (n == 0)
        return;
    early_used(s, n);
    buf_pull(s->staged, (uint16_t)n);
    if (s->staged->len == 0) {
        buf_unref(p->buffers, s->staged);
        s->staged = NULL;
    }
}

/* --- output ----------------------------------------------------------------------------------- */

/* Ask for a WRITABLE event: a reservation that fails leaves the wish behind. */
static void wish_writable(struct proxy *p, struct stream *s)
{
    struct span_room room;
    enum tg_err err = tcp_reserve(p->tcp, s->tcp, 1, &room);
    if (err == TG_OK || err == TG_NO_MEMORY)
        s->starved = true; /* no event will come: look again in the next turn */
}

/* Cipher text that waits -> TCP; true when none is left. */
static bool tls_flush(struct proxy *p, struct stream *s)
{
    while (tls_pending_out(s->tls) > 0) {
        struct span_room room;
        enum tg_err err = tcp_reserve(p->tcp, s->tcp, 1, &room);
        if (err != TG_OK) {
            s->starved |= err == TG_NO_MEMORY;
            return false;
        }
        tcp_commit(p->tcp, s->tcp, tls_drain(s->tls, room.data, room.len));
    }
    return true;
}

/* Drop n bytes from the front of what is held. */
static void held_drop(struct proxy *p, struct stream *s, size_t n)
{
    s->held_bytes -= (uint32_t)n;
    while (n > 0) {
        struct buf *b = s->held.first;
        size_t part = n < b->len ? n : b->len;
        buf_pull(b, (uint16_t)part);
        n -= part;
        if (b->len == 0)
            buf_unref(p->buffers, buf_queue_pop(&s->held));
    }
}

static void held_push(struct stream *s, struct buf *b)
{
    s->held_bytes += b->len;
    buf_queue_push(&s->held, b);
}

/* Held plaintext -> one record. Small pieces are gathered: each record costs 22 bytes and a call
 * into the cipher. False when TLS takes nothing. */
static bool tls_seal(struct proxy *p, struct stream *s)
{
    struct span plain = buf_span(s->held.first);
    size_t taken = 0;
    if (s->held.count > 1) {
        struct span_writer w = span_writer_make(p->record, sizeof p->record);
        for (const struct buf *b = s->held.first; b && w.len < w.cap; b = b->link)
            span_write_span(&w, span_slice(buf_span(b), 0, w.cap - w.len));
        plain = span_writer_span(&w);
    }
    if (tls_write(s->tls, plain, &taken) != TG_OK)
        return false;
    held_drop(p, s, taken);
    return taken > 0;
}

/* One held frame -> TCP; false when it takes none. */
static bool plain_send_held(struct proxy *p, struct stream *s)
{
    struct buf *b = buf_queue_pop(&s->held);
    uint16_t len = b->len;
    enum tg_err err = tcp_send_buf(p->tcp, s->tcp, b);
    if (err == TG_OK || err == TG_STALE) { /* stale: its CLOSED event is on the way */
        if (err == TG_STALE)
            buf_unref(p->buffers, b);
        s->held_bytes -= len;
        return true;
    }
    b->link = s->held.first; /* back to the front */
    s->held.first = b;
    if (!s->held.last)
        s->held.last = b;
    s->held.count++;
    return false;
}

bool stream_flush(struct proxy *p, struct stream *s)
{
    bool going = s->tcp != TCP_NONE;
    while (going) {
        if (s->tls && !tls_flush(p, s))
            return false;
        if (s->held.count == 0)
            return true;
        going = s->tls ? tls_seal(p, s) : plain_send_held(p, s);
    }
    return s->tcp == TCP_NONE;
}

size_t stream_writable(struct proxy *p, struct stream *s)
{
    if (s->error != TG_OK)
        return 0;
    bool filling = s->tls && s->held_bytes < PIECE_BYTES_MAX && tls_pending_out(s->tls) == 0;
    if (!filling && !stream_flush(p, s))
        return 0;
    size_t room = tcp_writable(p->tcp, s->tcp);
    if (room == 0)
        wish_writable(p, s);
    else if (s->tls) /* everything before is with TCP; one record's worth may wait */
        room = PIECE_BYTES_MAX - s->held_bytes;
    return room;
}

/* Keep a copy of bytes. Without memory for them the stream cannot go on. */
static void held_copy(struct proxy *p, struct stream *s, struct span bytes)
{
    while (bytes.len > 0) {
        struct buf *b = s->held.last;
        if (!b || b->refs != 1 || b->external || buf_tailroom(b) == 0) {
            b = buf_alloc(p->buffers);
            if (!b) {
                s->error = TG_NO_MEMORY;
                return;
            }
            held_push(s, b);
        }
        size_t n = bytes.len < buf_tailroom(b) ? bytes.len : buf_tailroom(b);
        memcpy(buf_put(b, (uint16_t)n), bytes.data, n);
        s->held_bytes += (uint32_t)n;
        bytes = span_slice(bytes, n, bytes.len);
    }
}

size_t stream_write(struct proxy *p, struct stream *s, struct span bytes)
{
    struct span part = span_slice(bytes, 0, stream_writable(p, s));
    if (part.len == 0)
        return 0;
    if (!s->tls)
        return tcp_write(p->tcp, s->tcp, part);
    held_copy(p, s, part);
    return part.len;
}

void stream_put(struct proxy *p, struct stream *s, struct span bytes)
{
    size_t n = 0;
    if (!s->tls && s->held.count == 0 && bytes.len > 0)
        n = tcp_write(p->tcp, s->tcp, bytes);
    held_copy(p, s, span_slice(bytes, n, bytes.len));
}

static void stream_send(struct proxy *p, struct stream *s, struct buf *b)
{
    held_push(s, b);
    if (!s->tls && s->held.count == 1)
        plain_send_held(p, s);
}

void stream_pass(struct proxy *p, struct stream *from, struct stream *to, size_t n)
{
    while (n > 0) {
        struct buf *b = NULL;
        if (!from->tls) {
            b = tcp_take(p->tcp, from->tcp, (uint32_t)n);
        } else if (from->staged->len == n) {
            b = from->staged;
            from->staged = NULL;
            early_used(from, n);
        }
        if (b) {
            tg_assert(b->len > 0 && b->len <= n);
            n -= b->len;
            stream_send(p, to, b);
            continue;
        }
        struct span part; /* a piece of a frame, or no frame to be had: copy */
        if (stream_peek(p, from, &part) != TG_OK)
            return;
        part = span_slice(part, 0, n);
        stream_put(p, to, part);
        stream_consume(p, from, part.len);
        n -= part.len;
    }
}

/* --- beginning and end ------------------------------------------------------------------------ */

/* Take one piece of 0-RTT data out of TLS's way; false when there was none, or no frame for it. */
static bool early_take(struct proxy *p, struct stream *s)
{
    struct buf *last = s->early.last;
    bool early;
    size_t n = 0;
    if (!tls_early_open(s->tls))
        return false;
    struct buf *b = last && last->len < STAGED_BYTES_MAX ? last : buf_alloc(p->buffers);
    if (!b) {
        s->starved = true;
        return false;
    }
    size_t room = STAGED_BYTES_MAX - b->len;
    if (tls_read(s->tls, b->data + b->len, room, &n, &early) == TG_BAD_INPUT)
        s->error = TG_BAD_INPUT;
    buf_put(b, (uint16_t)n);
    if (b != last && n > 0)
        buf_queue_push(&s->early, b);
    else if (b != last)
        buf_unref(p->buffers, b);
    s->early_left += (uint32_t)n;
    return n > 0;
}

enum tg_err stream_handshake(struct proxy *p, struct stream *s)
{
    size_t fed;
    bool moved = true;
    while (s->error == TG_OK && !tls_handshake_done(s->tls) && moved) {
        enum tg_err err = tls_input(p, s, &fed);
        if (err == TG_WANT_KEY)
            return err;
        if (err == TG_END)
            return TG_RESET; /* left in the middle */
        moved = early_take(p, s) || fed > 0;
    }
    if (s->error != TG_OK)
        return s->error;
    stream_flush(p, s);
    return tls_handshake_done(s->tls) ? TG_OK : TG_AGAIN;
}

static void stream_release(struct proxy *p, struct stream *s)
{
    if (s->tls)
        tls_abort(s->tls);
    s->tls = NULL;
    buf_unref(p->buffers, s->staged);
    s->staged = NULL;
    for (struct buf *b; (b = buf_queue_pop(&s->early)) != NULL;)
        buf_unref(p->buffers, b);
    for (struct buf *b; (b = buf_queue_pop(&s->held)) != NULL;)
        buf_unref(p->buffers, b);
    s->held_bytes = 0;
}

void stream_abort(struct proxy *p, struct stream *s)
{
    stream_release(p, s);
    if (s->tcp != TCP_NONE)
        tcp_abort(p->tcp, s->tcp);
    s->tcp = TCP_NONE;
}

void stream_close(struct proxy *p, struct stream *s)
{
    stream_release(p, s);
    if (s->tcp != TCP_NONE)
        tcp_close(p->tcp, s->tcp);
    s->tcp = TCP_NONE;
}
