/* SPDX-License-Identifier: BSD-3-Clause
 * Tests of body framing and of the writer: every chunk grammar case at every cut position, limits,
 * and what is written back parses to the same.
 */
#include "http/h1_parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define S(literal) SPAN_LITERAL(literal)

static struct http_head framing_head(enum http_framing framing, uint64_t length)
{
    return (struct http_head){.framing = framing, .content_length = length};
}

struct run {
    enum tg_err result;
    size_t consumed;
    uint8_t payload[70000];
    size_t payload_len;
};

/* Feed one piece to the end, as the proxy does; returns false when the body is over or broken. */
static bool feed(struct h1_body *body, struct span piece, struct run *run)
{
    uint8_t *copy = malloc(piece.len ? piece.len : 1); /* exact size: overreads are seen */
    if (piece.len)
        memcpy(copy, piece.data, piece.len);
    struct span rest = span_make(copy, piece.len);
    do {
        size_t consumed;
        struct span payload;
        run->result = h1_body_next(body, rest, &consumed, &payload);
        assert_true(consumed <= rest.len && payload.len <= consumed);
        if (payload.len) /* the payload ends what is consumed */
            assert_ptr_equal(payload.data + payload.len, rest.data + consumed);
        if (payload.len)
            memcpy(run->payload + run->payload_len, payload.data, payload.len);
        run->payload_len += payload.len;
        run->consumed += consumed;
        rest = span_slice(rest, consumed, rest.len);
        if (run->result == TG_AGAIN)
            assert_int_equal(rest.len, 0);
    } while (run->result == TG_OK && rest.len);
    free(copy);
    return run->result == TG_OK || run->result == TG_AGAIN;
}

static struct run *run_of(enum http_framing framing, uint64_t length, struct span bytes, size_t cut)
{
    static struct run run;
    struct http_head head = framing_head(framing, length);
    struct h1_body body;
    run.consumed = run.payload_len = 0;
    run.result = TG_AGAIN;
    h1_body_start(&body, &head);
    if (feed(&body, span_slice(bytes, 0, cut), &run))
        feed(&body, span_slice(bytes, cut, bytes.len), &run);
    if (run.result == TG_END)
        assert_true(body.done);
    return &run;
}

struct chunk_case {
    struct span bytes;
    enum tg_err result;
    struct span payload;
    size_t left; /* bytes behind the end that must stay */
};
#define GOOD(text, payload, left)                                                                  \
    {                                                                                              \
        {(const uint8_t *)(text), sizeof(text) - 1}, TG_END,                                       \
            {(const uint8_t *)(payload), sizeof(payload) - 1}, left                                \
    }
#define BAD(text)                                                                                  \
    {                                                                                              \
        {(const uint8_t *)(text), sizeof(text) - 1}, TG_BAD_INPUT, {NULL, 0}, 0                    \
    }
#define MORE(text)                                                                                 \
    {                                                                                              \
        {(const uint8_t *)(text), sizeof(text) - 1}, TG_AGAIN, {NULL, 0}, 0                        \
    }

static const struct chunk_case chunks[] = {
    GOOD("0\r\n\r\n", "", 0),
    GOOD("00000\r\n\r\n", "", 0),
    GOOD("5\r\nhello\r\n0\r\n\r\n", "hello", 0),
    GOOD("5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n", "hello", 16),
    GOOD("005\r\nhello\r\n0\r\n\r\n", "hello", 0),
    GOOD("0000000000000005\r\nhello\r\n0\r\n\r\n", "hello", 0),
    GOOD("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789", 0),
    GOOD("2\r\n\r\n\r\n0\r\n\r\n", "\r\n", 0),
    GOOD("1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n", "abc", 0),
    GOOD("3;ext\r\nabc\r\n0\r\n\r\n", "abc", 0),
    GOOD("3;a=b;c=\"d e\"\r\nabc\r\n0;z\r\n\r\n", "abc", 0),
    GOOD("3;a=\"\\\"\t\344\"\r\nabc\r\n0\r\n\r\n", "abc", 0),
    GOOD("3\r\nabc\r\n0\r\nX: y\r\n\r\n", "abc", 0),
    GOOD("3\r\nabc\r\n0\r\nX:\r\nY-Z:\tz \r\n\r\nrest", "abc", 4),
    GOOD("0\r\nContent-Length: 5\r\n\r\nhello", "", 5),
    BAD("\r\n"),
    BAD("\r\n0\r\n\r\n"),
    BAD(" 5\r\nhello\r\n0\r\n\r\n"),
    BAD("5 \r\nhello\r\n0\r\n\r\n"),
    BAD("5\t;x\r\nhello\r\n0\r\n\r\n"),
    BAD("5\nhello\r\n0\r\n\r\n"),
    BAD("5\r\nhello\n0\r\n\r\n"),
    BAD("5\r\nhelloXX0\r\n\r\n"),
    BAD("5\r\nhello\r\r\n0\r\n\r\n"),
    BAD("5\r\nhello!\r\n0\r\n\r\n"),
    BAD("5\r\rhello\r\n0\r\n\r\n"),
    BAD("6\r\nhello\r\n0\r\n\r\n"),
    BAD("0x5\r\nhello\r\n0\r\n\r\n"),
    BAD("5h\r\nhello\r\n0\r\n\r\n"),
    BAD("g\r\n"),
    BAD("-1\r\n"),
    BAD("+5\r\nhello\r\n0\r\n\r\n"),
    BAD("5,5\r\nhello\r\n0\r\n\r\n"),
    BAD(";x\r\n"),
    BAD("00000000000000005\r\nhello\r\n0\r\n\r\n"),
    BAD("fffffffffffffffff\r\n"),
    BAD("5;\r\nhello\r\n0\r\n\r\n"),
    BAD("5; a\r\nhello\r\n0\r\n\r\n"),
    BAD("5;a =b\r\nhello\r\n0\r\n\r\n"),
    BAD("5;a=\r\nhello\r\n0\r\n\r\n"),
    BAD("5;=b\r\nhello\r\n0\r\n\r\n"),
    BAD("5;a=b=c\r\nhello\r\n0\r\n\r\n"),
    BAD("5;a=\"b\r\nhello\r\n0\r\n\r\n"),
    BAD("5;a=\"b\"c\r\nhello\r\n0\r\n\r\n"),
    BAD("5;a=\"b\\\r\nhello\r\n0\r\n\r\n"),
    BAD("5;a;;b\r\nhello\r\n0\r\n\r\n"),
    BAD("5;\344\r\nhello\r\n0\r\n\r\n"),
    BAD("5;a\nhello\r\n0\r\n\r\n"),
    BAD("5;a\rb\r\nhello\r\n0\r\n\r\n"),
    BAD("5;a\001\r\nhello\r\n0\r\n\r\n"),
    BAD("5;a\177\r\nhello\r\n0\r\n\r\n"),
    BAD("5;\000\r\nhello\r\n0\r\n\r\n"),
    BAD("0\n\n"),
    BAD("0\r\n\n"),
    BAD("0\r\n\rX"),
    BAD("0\r\n X: y\r\n\r\n"),
    BAD("0\r\nX y\r\n\r\n"),
    BAD("0\r\nX : y\r\n\r\n"),
    BAD("0\r\n: y\r\n\r\n"),
    BAD("0\r\nXyz\r\n\r\n"),
    BAD("0\r\nX: y\nZ: z\r\n\r\n"),
    BAD("0\r\nX: \000\r\n\r\n"),
    BAD("0\r\nX: y\r\n z\r\n\r\n"),
    MORE(""),
    MORE("5"),
    MORE("5\r\nhello"),
    MORE("5\r\nhello\r\n"),
    MORE("5\r\nhello\r\n0\r\n"),
    MORE("5\r\nhello\r\n0\r\n\r"),
    MORE("0\r\nX: y\r\n"),
    MORE("ffffffffffffffff\r\n"),
};

static void chunk_case_at(const struct chunk_case *c, size_t cut)
{
    const struct run *run = run_of(HTTP_CHUNKED, 0, c->bytes, cut);
    enum tg_err result =
        run->result == TG_OK ? TG_AGAIN : run->result; /* all consumed either way */
    if (result != c->result)
        fail_msg("'%.*s' cut at %zu: %s", (int)c->bytes.len, c->bytes.data, cut,
                 tg_err_name(run->result));
    if (result != TG_END)
        return;
    assert_true(span_equal(span_make(run->payload, run->payload_len), c->payload));
    assert_int_equal(run->consumed, c->bytes.len - c->left);
}

static void chunks_at_every_cut(void **state)
{
    for (unsigned i = 0; i < TG_ARRAY_LEN(chunks); i++)
        for (size_t cut = 0; cut <= chunks[i].bytes.len; cut++)
            chunk_case_at(&chunks[i], cut);
}

static void chunks_byte_by_byte(void **state)
{
    static struct run run;
    for (unsigned i = 0; i < TG_ARRAY_LEN(chunks); i++) {
        const struct chunk_case *c = &chunks[i];
        struct http_head head = framing_head(HTTP_CHUNKED, 0);
        struct h1_body body;
        run.consumed = run.payload_len = 0;
        run.result = TG_AGAIN;
        h1_body_start(&body, &head);
        for (size_t n = 0; n < c->bytes.len; n++)
            if (!feed(&body, span_slice(c->bytes, n, 1), &run))
                break;
        assert_int_equal(run.result == TG_OK ? TG_AGAIN : run.result, c->result);
        if (run.result == TG_END)
            assert_true(span_equal(span_make(run.payload, run.payload_len), c->payload));
    }
}

static void chunk_limits(void **state)
{
    static uint8_t bytes[8192];
    memset(bytes, 'x', sizeof bytes);
    memcpy(bytes, "1;", 2);
    memcpy(bytes + 254, "\r\na\r\n0\r\n\r\n", 10); /* a line of 256 bytes, CRLF included */
    assert_int_equal(run_of(HTTP_CHUNKED, 0, span_make(bytes, 264), 100)->result, TG_END);
    memset(bytes + 254, 'x', 10);
    memcpy(bytes + 255, "\r\na\r\n0\r\n\r\n", 10);
    assert_int_equal(run_of(HTTP_CHUNKED, 0, span_make(bytes, 265), 100)->result, TG_BAD_INPUT);

    memset(bytes, 'x', sizeof bytes);
    memcpy(bytes, "0\r\nX:", 5);
    memcpy(bytes + 3 + 4092, "\r\n\r\n", 4); /* 4096 bytes of trailers */
    assert_int_equal(run_of(HTTP_CHUNKED, 0, span_make(bytes, 3 + 4096), 9)->result, TG_END);
    memcpy(bytes + 3 + 4092, "x\r\n\r\n", 5);
    assert_int_equal(run_of(HTTP_CHUNKED, 0, span_make(bytes, 3 + 4097), 9)->result, TG_BAD_INPUT);
}

static void sized_bodies(void **state)
{
    for (size_t cut = 0; cut <= 8; cut++) {
        const struct run *run = run_of(HTTP_SIZED, 5, S("hello123"), cut);
        assert_int_equal(run->result, TG_END);
        assert_int_equal(run->consumed, 5);
        assert_true(span_equal(span_make(run->payload, run->payload_len), S("hello")));
    }
    assert_int_equal(run_of(HTTP_SIZED, 9, S("hello123"), 3)->result, TG_OK);
    assert_int_equal(run_of(HTTP_SIZED, 0, S("hello"), 0)->result, TG_END);
    assert_int_equal(run_of(HTTP_SIZED, 0, S("hello"), 0)->consumed, 0);
    assert_int_equal(run_of(HTTP_NO_BODY, 0, S("hello"), 0)->result, TG_END);
    const struct run *run = run_of(HTTP_UNTIL_CLOSE, 0, S("hello"), 2);
    assert_int_equal(run->result, TG_OK);
    assert_int_equal(run->payload_len, 5);
}

static void written_heads_parse_again(void **state)
{
    uint8_t room[512];
    struct span_writer w = span_writer_make(room, sizeof room);
    static struct http_head head;
    size_t seen = 0;
    h1_write_request_line(&w, S("GET"), S("/a?b"));
    h1_write_field(&w, S("Host"), S("x"));
    h1_write_end(&w);
    assert_true(w.ok);
    assert_true(span_equal(span_writer_span(&w), S("GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n")));
    assert_int_equal(h1_parse_request(span_writer_span(&w), &seen, &head), TG_OK);

    w = span_writer_make(room, sizeof room);
    h1_write_status_line(&w, 404);
    h1_write_field(&w, S("Content-Length"), S("0"));
    h1_write_end(&w);
    assert_true(
        span_equal(span_writer_span(&w), S("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")));
    seen = 0;
    assert_int_equal(h1_parse_response(span_writer_span(&w), &seen, HTTP_GET, &head), TG_OK);
    assert_int_equal(head.view.status, 404);

    w = span_writer_make(room, 10);
    h1_write_status_line(&w, 404);
    assert_false(w.ok);
}

static void chunk_heads_parse_again(void **state)
{
    static const uint64_t sizes[] = {
        0, 1, 15, 16, 255, 256, 4095, 0x5a8, 0xffffffff, 1 << 20, UINT64_MAX / 2, UINT64_MAX};
    for (unsigned i = 0; i < TG_ARRAY_LEN(sizes); i++) {
        uint8_t line[18];
        struct http_head head = framing_head(HTTP_CHUNKED, 0);
        struct h1_body body;
        size_t n = h1_chunk_head(line, sizes[i]), consumed;
        struct span payload;
        assert_in_range(n, 3, 18);
        h1_body_start(&body, &head);
        assert_int_equal(h1_body_next(&body, span_make(line, n), &consumed, &payload), TG_AGAIN);
        assert_int_equal(consumed, n);
        assert_int_equal(body.left, sizes[i]);
    }
    uint8_t line[18];
    assert_int_equal(h1_chunk_head(line, 0x5a8), 5);
    assert_memory_equal(line, "5a8\r\n", 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_at_every_cut),
        cmocka_unit_test(chunks_byte_by_byte),
        cmocka_unit_test(chunk_limits),
        cmocka_unit_test(sized_bodies),
        cmocka_unit_test(written_heads_parse_again),
        cmocka_unit_test(chunk_heads_parse_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
