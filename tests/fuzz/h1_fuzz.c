/* SPDX-License-Identifier: BSD-3-Clause
 * Fuzz target of the HTTP/1 parser: request heads, response heads, bodies. Asked each time: no byte
 * read outside the input, bytes fed in pieces give what they give at once, spans lie in the input,
 * what was understood survives being written and read again. First byte: what to parse; second: the
 * pieces.
 */
#include "http/h1.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(struct span s, struct span bytes)
{
    if (s.len && !(s.len == 1 && s.data[0] == '/')) /* the parser's own "/" of an empty path */
        tg_assert(s.data >= bytes.data && s.data + s.len <= bytes.data + bytes.len);
}

static enum tg_err parse(int kind, struct span bytes, size_t *seen, struct http_head *head)
{
    if (kind == 0)
        return h1_parse_request(bytes, seen, head);
    return h1_parse_response(bytes, seen, kind == 1 ? HTTP_GET : HTTP_HEAD, head);
}

/* The plain way to say it: a fixed list, and what Connection names ("close" is an option and no
 * field). */
static bool hop_by_hop(const struct head_view *v, struct span name)
{
    static const char *const names[] = {
        "te",
        "trailer",
        "upgrade",
        "connection",
        "keep-alive",
        "content-length",
        "proxy-connection",
        "transfer-encoding",
        "proxy-authenticate",
        "proxy-authorization",
    };
    for (unsigned i = 0; i < TG_ARRAY_LEN(names); i++)
        if (span_equal_nocase(name, span_from_string(names[i])))
            return true;
    for (unsigned i = 0; i < v->field_count; i++) {
        struct span value = v->fields[i].value;
        if (!span_equal_nocase(v->fields[i].name, SPAN_LITERAL("connection")))
            continue;
        for (size_t at = 0, end; at <= value.len; at = end + 1) {
            for (end = at; end < value.len && value.data[end] != ','; end++)
                ;
            size_t from = at, to = end;
            while (from < to && (value.data[from] == ' ' || value.data[from] == '\t'))
                from++;
            while (to > from && (value.data[to - 1] == ' ' || value.data[to - 1] == '\t'))
                to--;
            if (to > from && !span_equal_nocase(name, SPAN_LITERAL("close")) &&
                span_equal_nocase(span_slice(value, from, to - from), name))
                return true;
        }
    }
    return false;
}

static void head_check(const struct http_head *head, enum tg_err err, struct span bytes)
{
    const struct head_view *v = &head->view;
    inside(v->raw_line, bytes);
    inside(v->method, bytes);
    inside(v->target, bytes);
    inside(v->path, bytes);
    inside(v->query, bytes);
    inside(head->host, bytes);
    tg_assert(v->fields == head->fields && v->field_count <= HTTP_FIELDS_MAX);
    for (unsigned i = 0; i < v->field_count; i++) {
        inside(v->fields[i].name, bytes);
        inside(v->fields[i].value, bytes);
        tg_assert(v->fields[i].name.len > 0);
        tg_assert(err != TG_OK || h1_is_hop_by_hop(head, i) == hop_by_hop(v, v->fields[i].name));
    }
    tg_assert((err == TG_OK) == (head->error == NULL));
    tg_assert(head->error_offset <= bytes.len);
    if (err == TG_OK)
        tg_assert(head->bytes > 0 && head->bytes <= bytes.len &&
                  head->bytes <= HTTP_HEAD_BYTES_MAX);
    else
        tg_assert(h1_refusal_status(err, head) >= 400);
}

/* Write a request as the proxy does and read it again: the framing must be the same. */
static void written_again(const struct http_head *head)
{
    static uint8_t room[2 * HTTP_HEAD_BYTES_MAX];
    static struct http_head again;
    struct span_writer w = span_writer_make(room, sizeof room);
    size_t seen = 0;
    h1_write_request_line(&w, head->view.method, head->view.target);
    for (unsigned i = 0; i < head->view.field_count; i++)
        h1_write_field(&w, head->view.fields[i].name, head->view.fields[i].value);
    h1_write_end(&w);
    if (!w.ok || w.len > HTTP_HEAD_BYTES_MAX || head->minor == 0)
        return;
    tg_assert(h1_parse_request(span_writer_span(&w), &seen, &again) == TG_OK);
    tg_assert(again.framing == head->framing && again.content_length == head->content_length);
    tg_assert(span_equal(again.host, head->host) && again.host_port == head->host_port);
    tg_assert(again.view.field_count == head->view.field_count);
}

static void fuzz_head(int kind, unsigned step, struct span bytes)
{
    static struct http_head once, fed;
    size_t seen = 0;
    enum tg_err whole = parse(kind, bytes, &seen, &once), err = TG_AGAIN;
    if (whole != TG_AGAIN)
        head_check(&once, whole, bytes);
    if (kind == 0 && whole == TG_OK)
        written_again(&once);
    seen = 0;
    for (size_t n = 0; err == TG_AGAIN; n += step) {
        err = parse(kind, span_slice(bytes, 0, n), &seen, &fed);
        if (n >= bytes.len)
            break;
    }
    tg_assert(err == whole);
    if (whole == TG_AGAIN)
        return;
    tg_assert(fed.error == once.error && fed.error_offset == once.error_offset);
    tg_assert(fed.bytes == once.bytes && fed.view.field_count == once.view.field_count);
    tg_assert(fed.framing == once.framing && fed.content_length == once.content_length);
}

struct body_result {
    enum tg_err err;
    size_t consumed, payload;
    uint64_t sum; /* of the payload, in order */
};

static struct body_result fuzz_body_run(const struct http_head *head, unsigned step,
                                        struct span bytes)
{
    struct body_result result = {TG_AGAIN, 0, 0, 0};
    struct h1_body body;
    h1_body_start(&body, head);
    while (result.err == TG_OK || result.err == TG_AGAIN) {
        size_t consumed;
        struct span rest = span_slice(bytes, result.consumed, step), payload;
        result.err = h1_body_next(&body, rest, &consumed, &payload);
        tg_assert(consumed <= rest.len && payload.len <= consumed);
        inside(payload, rest);
        for (size_t i = 0; i < payload.len; i++)
            result.sum = result.sum * 31 + payload.data[i];
        result.consumed += consumed;
        result.payload += payload.len;
        if (consumed == 0)
            break;
    }
    return result;
}

static void fuzz_body(enum http_framing framing, unsigned step, struct span bytes)
{
    struct http_head head = {.framing = framing, .content_length = bytes.len / 2};
    struct body_result once = fuzz_body_run(&head, SIZE_MAX >> 40, bytes);
    struct body_result fed = fuzz_body_run(&head, step, bytes);
    tg_assert((once.err == TG_END) == (fed.err == TG_END));
    tg_assert((once.err == TG_BAD_INPUT) == (fed.err == TG_BAD_INPUT));
    tg_assert(once.payload == fed.payload && once.sum == fed.sum);
    if (once.err != TG_BAD_INPUT)
        tg_assert(once.consumed == fed.consumed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    unsigned step = 1 + data[1] % 32;
    size_t n = size - 2;
    uint8_t *copy = malloc(n ? n : 1); /* exact size */
    if (n)
        memcpy(copy, data + 2, n);
    struct span bytes = span_make(copy, n);
    if (data[0] % 6 < 3)
        fuzz_head(data[0] % 6, step, bytes);
    else
        fuzz_body(data[0] % 6 == 3   ? HTTP_CHUNKED
                  : data[0] % 6 == 4 ? HTTP_SIZED
                                     : HTTP_UNTIL_CLOSE,
                  step, bytes);
    free(copy);
    return 0;
}
