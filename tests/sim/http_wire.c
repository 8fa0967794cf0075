/* SPDX-License-Identifier: BSD-3-Clause
 * Reader and writer of simulated HTTP. The reader accepts what RFC 9112 allows and the hosts here send,
 * and nothing else: CRLF everywhere, no folding, one framing.
 */
#include "tests/sim/http_wire.h"
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* --- reading --------------------------------------------------------------------------------------------- */

void http_reader_begin(struct http_reader *r, bool response, bool no_body)
{
    r->state = READ_HEAD;
    r->response = response;
    r->no_body = no_body;
    r->head_fresh = r->chunked = r->close = false;
    r->status = r->informational = 0;
    r->left = r->stream = r->body = 0;
    r->wrong = NULL;
    r->len = r->line_start = 0;
}

static void wrong(struct http_reader *r, const char *what)
{
    r->state = READ_BAD;
    r->wrong = what;
}

const char *http_reader_field(const struct http_reader *r, const char *name, size_t *len)
{
    size_t n = strlen(name);
    const char *line = memchr(r->head, '\n', r->len);
    while (line && (size_t)(++line - r->head) < r->len) {
        const char *end = memchr(line, '\r', r->len - (size_t)(line - r->head));
        if (end && (size_t)(end - line) > n && strncasecmp(line, name, n) == 0 && line[n] == ':') {
            const char *value = line + n + 1;
            while (*value == ' ')
                value++;
            *len = (size_t)(end - value);
            return value;
        }
        line = end ? end + 1 : NULL;
    }
    return NULL;
}

static bool field_has(const struct http_reader *r, const char *name, const char *text)
{
    size_t len;
    const char *value = http_reader_field(r, name, &len);
    return value && len == strlen(text) && strncasecmp(value, text, len) == 0;
}

static bool parse_start_line(struct http_reader *r)
{
    int end = 0;
    r->head[r->len] = '\0';
    if (r->response)
        return sscanf(r->head, "HTTP/1.1 %3u %n", &r->status, &end) == 1 && end == 13 &&
               r->status >= 100 && r->status < 600;
    return sscanf(r->head, "%15[A-Z] %63[^ \r\n] HTTP/1.1%n", r->method, r->target, &end) == 2 &&
           end > 0 && r->head[end] == '\r';
}

/* RFC 9112 s6.3, in its order. */
static void decide_framing(struct http_reader *r)
{
    size_t len;
    const char *length = http_reader_field(r, "Content-Length", &len);
    r->chunked = field_has(r, "Transfer-Encoding", "chunked");
    r->close = field_has(r, "Connection", "close");
    if (length && r->chunked) {
        wrong(r, "both Content-Length and Transfer-Encoding");
        return;
    }
    if (r->response && (r->no_body || r->status == 204 || r->status == 304))
        r->state = READ_DONE;
    else if (r->chunked)
        r->state = READ_CHUNK_LINE;
    else if (length)
        r->state = (r->left = strtoull(length, NULL, 10)) ? READ_SIZED : READ_DONE;
    else
        r->state = r->response ? READ_UNTIL_CLOSE : READ_DONE;
    r->line_start = r->len;
}

static void head_ended(struct http_reader *r)
{
    if (!parse_start_line(r)) {
        wrong(r, "malformed start line");
        return;
    }
    if (r->response && r->status < 200) {
        r->informational++;
        r->len = 0;
        return;
    }
    decide_framing(r);
    r->head_fresh = r->state != READ_BAD;
}

static void head_byte(struct http_reader *r, char c)
{
    if (r->len == HTTP_SIM_HEAD_MAX) {
        wrong(r, "head too long");
        return;
    }
    r->head[r->len++] = c;
    if (c == '\n' && (r->len < 2 || r->head[r->len - 2] != '\r'))
        wrong(r, "LF without CR in a head");
    else if (r->len >= 4 && memcmp(r->head + r->len - 4, "\r\n\r\n", 4) == 0)
        head_ended(r);
}

/* Lines within a chunked body are gathered behind the head, which stays readable. */
static bool line_byte(struct http_reader *r, char c)
{
    if (r->len == HTTP_SIM_HEAD_MAX || r->len - r->line_start > 1000) {
        wrong(r, "line too long in a chunked body");
        return false;
    }
    r->head[r->len++] = c;
    if (c != '\n')
        return false;
    if (r->len - r->line_start < 2 || r->head[r->len - 2] != '\r') {
        wrong(r, "LF without CR in a chunked body");
        return false;
    }
    r->head[r->len - 2] = '\0';
    return true;
}

static void chunk_line_byte(struct http_reader *r, char c)
{
    if (!line_byte(r, c))
        return;
    char *end;
    const char *line = r->head + r->line_start;
    r->left = strtoull(line, &end, 16);
    r->len = r->line_start;
    if (end == line || (*end != '\0' && *end != ';'))
        wrong(r, "malformed chunk size");
    else
        r->state = r->left ? READ_CHUNK_DATA : READ_TRAILER;
}

static void trailer_byte(struct http_reader *r, char c)
{
    if (!line_byte(r, c))
        return;
    if (r->head[r->line_start] == '\0')
        r->state = READ_DONE;
    r->len = r->line_start;
}

static void chunk_end_byte(struct http_reader *r, char c)
{
    if (!line_byte(r, c))
        return;
    if (r->head[r->line_start] != '\0')
        wrong(r, "no CRLF behind a chunk");
    else
        r->state = READ_CHUNK_LINE;
    r->len = r->line_start;
}

static size_t body_bytes(struct http_reader *r, const uint8_t *bytes, size_t n)
{
    if (r->state != READ_UNTIL_CLOSE && n > r->left)
        n = (size_t)r->left;
    if (sim_stream_check(r->stream, r->body, bytes, n) < n) {
        wrong(r, "wrong byte in a body");
        return n;
    }
    r->body += n;
    if (r->state == READ_UNTIL_CLOSE)
        return n;
    r->left -= n;
    if (r->left == 0)
        r->state = r->state == READ_SIZED ? READ_DONE : READ_CHUNK_END;
    return n;
}

size_t http_reader_feed(struct http_reader *r, const uint8_t *bytes, size_t n)
{
    size_t at = 0;
    while (at < n && !r->head_fresh && r->state != READ_DONE && r->state != READ_BAD) {
        char c = (char)bytes[at];
        switch (r->state) {
        case READ_HEAD:
            head_byte(r, c);
            at++;
            break;
        case READ_CHUNK_LINE:
            chunk_line_byte(r, c);
            at++;
            break;
        case READ_CHUNK_END:
            chunk_end_byte(r, c);
            at++;
            break;
        case READ_TRAILER:
            trailer_byte(r, c);
            at++;
            break;
        case READ_SIZED:
        case READ_CHUNK_DATA:
        case READ_UNTIL_CLOSE:
            at += body_bytes(r, bytes + at, n - at);
            break;
        case READ_DONE:
        case READ_BAD:
            break;
        }
    }
    return at;
}

void http_reader_end(struct http_reader *r)
{
    if (r->state == READ_UNTIL_CLOSE)
        r->state = READ_DONE;
    else if (r->state != READ_DONE && r->state != READ_BAD)
        wrong(r, r->state == READ_HEAD && r->len == 0 ? "nothing" : "truncated message");
}

/* --- writing --------------------------------------------------------------------------------------------- */

void http_writer_begin(struct http_writer *w, const char *head, size_t len, enum http_send body,
                       uint64_t stream, uint64_t bytes, uint64_t seed)
{
    tg_assert(len <= sizeof w->piece);
    w->body = body;
    w->active = true;
    w->done = w->last = w->cut = false;
    w->stream = stream;
    w->bytes = body == SEND_NOTHING ? 0 : bytes;
    w->sent = 0;
    prng_seed(&w->rng, seed);
    w->chunk_max = 1 + (uint32_t)sim_draw_size(&w->rng, 7000);
    if (w->chunk_max < bytes / 500)
        w->chunk_max = bytes / 500 < 7000 ? (uint32_t)(bytes / 500) : 7000;
    memcpy(w->piece, head, len);
    w->len = (unsigned)len;
    w->at = 0;
}

static void piece_put(struct http_writer *w, const char *text)
{
    size_t n = strlen(text);
    memcpy(w->piece + w->len, text, n);
    w->len += (unsigned)n;
}

/* Make the next piece; false: the message is complete. */
static bool piece_next(struct http_writer *w)
{
    char line[32];
    uint64_t left = w->bytes - w->sent;
    size_t n = 1 + prng_below(&w->rng, w->chunk_max);
    w->len = w->at = 0;
    if (w->cut && left == 0)
        return false;
    if (n > left)
        n = (size_t)left;
    if (w->body == SEND_CHUNKED && !w->last) {
        snprintf(line, sizeof line, sim_chance(&w->rng, 10) ? "%zx;ext=1\r\n" : "%zx\r\n", n);
        piece_put(w, line);
    }
    sim_stream_fill(w->stream, w->sent, w->piece + w->len, n);
    w->len += (unsigned)n;
    w->sent += n;
    if (w->body == SEND_CHUNKED && n > 0) {
        piece_put(w, "\r\n");
    } else if (w->body == SEND_CHUNKED && !w->last) {
        if (sim_chance(&w->rng, 20))
            piece_put(w, "X-Sim-Trailer: here\r\n");
        piece_put(w, "\r\n");
        w->last = true;
    }
    return w->len > 0;
}

bool http_writer_pump(struct http_writer *w, struct pipe *pipe)
{
    while (w->active) {
        while (w->at < w->len) {
            size_t n = pipe_write(pipe, span_make(w->piece + w->at, w->len - w->at));
            if (n == 0)
                return false;
            w->at += (unsigned)n;
        }
        if (w->last || !piece_next(w)) {
            w->last = true;
            if (!pipe_drained(pipe))
                return false;
            w->done = true;
            w->active = false;
        }
    }
    return true;
}
