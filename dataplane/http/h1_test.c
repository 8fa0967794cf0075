/* SPDX-License-Identifier: BSD-3-Clause
 * Tests of the HTTP/1 head parser: the corpora, what a refused head leaves behind, limits,
 * responses, and that bytes may arrive in any pieces.
 */
#include "base/hash.h"
#include "http/h1_corpus.h"
#include "http/h1_parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define S(literal) SPAN_LITERAL(literal)

static struct http_head head;

/* Parse from an exact-size copy, so that a read beyond the end is seen. It lives until the next
 * call. */
static enum tg_err parse(struct span bytes)
{
    static uint8_t *copy;
    size_t seen = 0;
    free(copy);
    copy = malloc(bytes.len ? bytes.len : 1);
    if (bytes.len)
        memcpy(copy, bytes.data, bytes.len);
    return h1_parse_request(span_make(copy, bytes.len), &seen, &head);
}

static enum tg_err parse_kept(struct span bytes)
{
    size_t seen = 0;
    return h1_parse_request(bytes, &seen, &head);
}

static void refuse(struct span bytes)
{
    assert_int_equal(parse_kept(bytes), TG_BAD_INPUT);
}

static void hop_by_hop_fields(void **state)
{
    static const struct {
        const char *line;
        bool hop;
    } cases[] = {
        {"TE: x", true},
        {"te: x", true},
        {"To: x", false},
        {"Trailer: x", true},
        {"TRAILER: x", true},
        {"Upgrade: x", true},
        {"Refresh: x", false},
        {"Keep-Alive: x", true},
        {"Connection: X-A", true},
        {"cOnNeCtIoN: x-b, close", true},
        {"User-Agent: x", false},
        {"Content-Length: 5", true},
        {"Content-Type: x", false},
        {"Proxy-Connection: x", true},
        {"Proxy-Authenticate: x", true},
        {"Proxy-Authorization: x", true},
        {"Proxy-Authorizatiom: x", false},
        {"Xroxy-Authorization: x", false},
        {"X-A: 1", true},
        {"x-a: 2", true},
        {"X-B: 1", true},
        {"X-C: 1", false},
        {"Accept: x", false},
        {"If-Modified-Since: x", false},
    };
    static char text[2048];
    struct span_writer w = span_writer_make(text, sizeof text);
    span_write_string(&w, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (unsigned i = 0; i < TG_ARRAY_LEN(cases); i++) {
        span_write_string(&w, cases[i].line);
        span_write_string(&w, "\r\n");
    }
    span_write_string(&w, "\r\n");
    size_t seen = 0;
    assert_int_equal(h1_parse_request(span_writer_span(&w), &seen, &head), TG_OK);
    assert_false(h1_is_hop_by_hop(&head, 0));
    for (unsigned i = 0; i < TG_ARRAY_LEN(cases); i++)
        if (h1_is_hop_by_hop(&head, i + 1) != cases[i].hop)
            fail_msg("%s", cases[i].line);
}

static void same_text(struct span got, const char *want)
{
    if (!span_equal(got, span_from_string(want)))
        fail_msg("got '%.*s', want '%s'", (int)got.len, got.data, want);
}

static void bad_heads_are_refused(void **state)
{
    assert_true(h1_bad_head_count >= 80);
    for (unsigned i = 0; i < h1_bad_head_count; i++) {
        const struct bad_head *bad = &h1_bad_heads[i];
        enum tg_err err = parse(bad->bytes);
        if (err == TG_OK || err == TG_AGAIN)
            fail_msg("%s: %s", bad->what, tg_err_name(err));
        if (h1_refusal_status(err, &head) != bad->status)
            fail_msg("%s: %u, want %u", bad->what, h1_refusal_status(err, &head), bad->status);
        assert_non_null(head.error);
        assert_true(head.error_offset <= bad->bytes.len);
        assert_false(head.keep_alive);
    }
}

static void good_heads_are_understood(void **state)
{
    assert_true(h1_good_head_count >= 60);
    for (unsigned i = 0; i < h1_good_head_count; i++) {
        const struct good_head *good = &h1_good_heads[i];
        enum tg_err err = parse_kept(good->bytes);
        if (err != TG_OK)
            fail_msg("%s: %s at %zu", good->what, head.error, head.error_offset);
        assert_int_equal(head.framing, good->framing);
        assert_int_equal(head.content_length, good->length);
        if (head.keep_alive != good->keep_alive)
            fail_msg("%s: keep_alive %d", good->what, head.keep_alive);
        assert_int_equal(head.bytes, good->bytes.len);
        assert_null(head.error);
        same_text(head.host, good->host);
        same_text(head.view.path, good->path);
        assert_int_equal(head.view.query.data != NULL, good->query != NULL);
        same_text(head.view.query, good->query ? good->query : "");
    }
}

/* Fed byte by byte the parser waits, then says exactly what it says at once. */
static void pieces_change_nothing(struct span bytes)
{
    static struct http_head once;
    size_t seen = 0;
    enum tg_err whole = h1_parse_request(bytes, &seen, &once), err = TG_AGAIN;
    seen = 0;
    for (size_t n = 0; n <= bytes.len && err == TG_AGAIN; n++)
        err = h1_parse_request(span_make(bytes.data, n), &seen, &head);
    assert_int_equal(err, whole);
    if (err == TG_AGAIN)
        return;
    assert_int_equal(head.bytes, once.bytes);
    assert_ptr_equal(head.error, once.error);
    assert_int_equal(head.error_offset, once.error_offset);
    assert_int_equal(head.view.field_count, once.view.field_count);
    assert_true(span_equal(head.view.raw_line, once.view.raw_line));
    assert_true(span_equal(head.view.target, once.view.target));
}

static void byte_by_byte(void **state)
{
    for (unsigned i = 0; i < h1_bad_head_count; i++)
        pieces_change_nothing(h1_bad_heads[i].bytes);
    for (unsigned i = 0; i < h1_good_head_count; i++)
        pieces_change_nothing(h1_good_heads[i].bytes);
}

/* Every proper prefix of a legal head is not a head, and is never refused. */
static void prefixes_wait(void **state)
{
    for (unsigned i = 0; i < h1_good_head_count; i++) {
        struct span bytes = h1_good_heads[i].bytes;
        for (size_t n = 0; n < bytes.len; n++)
            assert_int_equal(parse(span_make(bytes.data, n)), TG_AGAIN);
    }
}

static void bytes_behind_the_head_stay(void **state)
{
    struct span two = S("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: b\r\n\r\n");
    assert_int_equal(parse_kept(two), TG_OK);
    same_text(head.view.path, "/1");
    assert_int_equal(head.bytes, 28);
    assert_int_equal(parse_kept(span_slice(two, 28, two.len)), TG_OK);
    same_text(head.view.path, "/2");
    same_text(head.host, "b");
}

static void fields_and_flags(void **state)
{
    assert_int_equal(parse_kept(S("POST /a?b HTTP/1.1\r\nHOST:  h.example:81 \r\nA: 1\r\na: 2\r\n"
                                  "Connection: x-mine, Upgrade\r\nUpgrade: foo\r\nX-Mine: 3\r\n"
                                  "Expect: 100-Continue\r\nContent-Length: 4\r\n\r\n")),
                     TG_OK);
    assert_int_equal(head.method, HTTP_POST);
    assert_int_equal(head.minor, 1);
    same_text(head.view.method, "POST");
    same_text(head.view.target, "/a?b");
    same_text(head.view.version, "HTTP/1.1");
    same_text(head.view.raw_line, "POST /a?b HTTP/1.1");
    same_text(head.host, "h.example");
    assert_int_equal(head.host_port, 81);
    assert_true(head.upgrade && head.expect_continue && head.keep_alive);
    assert_int_equal(head.view.field_count, 8);
    same_text(head.fields[0].name, "HOST");
    same_text(head.fields[0].value, "h.example:81");
    int first = http_field_find(&head.view, S("a"), 0);
    assert_int_equal(first, 1);
    assert_int_equal(http_field_find(&head.view, S("A"), (unsigned)first + 1), 2);
    assert_int_equal(http_field_find(&head.view, S("A"), 3), -1);
    const bool hop[] = {false, false, false, true, true, true, false, true};
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(h1_is_hop_by_hop(&head, i), hop[i]);
    assert_int_equal(
        parse_kept(S("GET / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nUpgrade: x\r\n\r\n")),
        TG_OK);
    assert_false(head.expect_continue || head.upgrade);
}

/* For the WAF and the log: what was there in front of the error. */
static void refused_heads_keep_what_was_found(void **state)
{
    enum tg_err err =
        parse_kept(S("GET /x?<script> HTTP/1.1\r\nHost: a\r\nX: 1\r\nBad Name: 2\r\nY: 3\r\n\r\n"));
    assert_int_equal(err, TG_BAD_INPUT);
    same_text(head.view.raw_line, "GET /x?<script> HTTP/1.1");
    same_text(head.view.query, "<script>");
    assert_int_equal(head.view.field_count, 2);
    assert_ptr_equal(head.view.fields, head.fields);
    same_text(head.fields[1].value, "1");
    assert_int_equal(head.error_offset, 44);
    assert_string_equal(head.error, "malformed field name");

    refuse(S("GET /x?' OR 1=1 HTTP/1.1\r\nHost: a\r\n\r\n"));
    same_text(head.view.raw_line, "GET /x?' OR 1=1 HTTP/1.1");
    same_text(head.view.target, "/x?'");

    refuse(S("GET /evil HTTP/1.1\nHost: a\n\n"));
    same_text(head.view.raw_line, "GET /evil HTTP/1.1");
    assert_int_equal(head.error_offset, 18);

    refuse(S("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nY: \001"));
    assert_int_equal(head.view.field_count, 2);
    assert_string_equal(head.error, "control character");

    /* contradictions come last: every field is known by then */
    refuse(S("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
             "Transfer-Encoding: chunked\r\nX: 1\r\n\r\n"));
    assert_int_equal(head.view.field_count, 4);
}

/* Fill with `n` bytes of filler between a start and an end. */
static struct span padded(uint8_t *room, const char *start, size_t n, const char *end)
{
    size_t a = strlen(start), b = strlen(end);
    memcpy(room, start, a);
    memset(room + a, 'x', n);
    memcpy(room + a + n, end, b);
    return span_make(room, a + n + b);
}

static void limits_of_a_head(void **state)
{
    static uint8_t room[3 * HTTP_HEAD_BYTES_MAX];
    const char *start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
    size_t overhead = strlen(start) + 4;
    assert_int_equal(parse(padded(room, start, HTTP_HEAD_BYTES_MAX - overhead, "\r\n\r\n")), TG_OK);
    assert_int_equal(head.bytes, HTTP_HEAD_BYTES_MAX);
    assert_int_equal(parse(padded(room, start, HTTP_HEAD_BYTES_MAX - overhead + 1, "\r\n\r\n")),
                     TG_TOO_BIG);
    assert_int_equal(h1_refusal_status(TG_TOO_BIG, &head), 431);
    assert_int_equal(parse(padded(room, start, 2 * HTTP_HEAD_BYTES_MAX, "")), TG_TOO_BIG);
    assert_int_equal(parse(padded(room, start, HTTP_HEAD_BYTES_MAX - overhead + 3, "")), TG_AGAIN);

    assert_int_equal(
        parse(padded(room, "GET /", HTTP_TARGET_BYTES_MAX - 1, " HTTP/1.1\r\nHost: a\r\n\r\n")),
        TG_OK);
    assert_int_equal(
        parse(padded(room, "GET /", HTTP_TARGET_BYTES_MAX, " HTTP/1.1\r\nHost: a\r\n\r\n")),
        TG_TOO_BIG);
    assert_int_equal(h1_refusal_status(TG_TOO_BIG, &head), 414);
    assert_int_equal(parse(padded(room, "GET /", HTTP_HEAD_BYTES_MAX, "")), TG_TOO_BIG);
    assert_int_equal(h1_refusal_status(TG_TOO_BIG, &head), 414);
    assert_true(head.view.raw_line.len > 0);
}

static void limit_of_fields(void **state)
{
    static char text[8192];
    for (unsigned n = HTTP_FIELDS_MAX; n <= HTTP_FIELDS_MAX + 1; n++) {
        struct span_writer w = span_writer_make(text, sizeof text);
        span_write_string(&w, "GET / HTTP/1.1\r\nHost: a\r\n");
        for (unsigned i = 1; i < n; i++)
            span_write_string(&w, "X: y\r\n");
        span_write_string(&w, "\r\n");
        enum tg_err err = parse_kept(span_writer_span(&w));
        assert_int_equal(err, n == HTTP_FIELDS_MAX ? TG_OK : TG_TOO_BIG);
        assert_int_equal(head.view.field_count, HTTP_FIELDS_MAX);
        if (err != TG_OK)
            assert_int_equal(h1_refusal_status(err, &head), 431);
    }
}

struct response_case {
    const char *text;
    enum http_method method;
    enum tg_err result;
    enum http_framing framing;
    uint64_t length;
    bool keep_alive;
};

static const struct response_case responses[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", HTTP_GET, TG_OK, HTTP_SIZED, 5, true},
    {"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\n", HTTP_GET, TG_OK, HTTP_SIZED, 5, true},
    {"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n", HTTP_GET, TG_OK, HTTP_SIZED, 5, true},
    {"HTTP/1.1 200 \344\366\374 fine\r\nContent-Length: 0\r\n\r\n", HTTP_GET, TG_OK, HTTP_SIZED, 0,
     true},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_GET, TG_OK, HTTP_CHUNKED, 0,
     true},
    {"HTTP/1.1 200 OK\r\n\r\n", HTTP_GET, TG_OK, HTTP_UNTIL_CLOSE, 0, false},
    {"HTTP/1.0 200 OK\r\n\r\n", HTTP_GET, TG_OK, HTTP_UNTIL_CLOSE, 0, false},
    {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", HTTP_GET, TG_OK, HTTP_SIZED, 5, false},
    {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n", HTTP_GET, TG_OK,
     HTTP_SIZED, 5, true},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n", HTTP_GET, TG_OK,
     HTTP_SIZED, 5, false},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", HTTP_HEAD, TG_OK, HTTP_NO_BODY, 5, true},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_HEAD, TG_OK, HTTP_NO_BODY, 0,
     true},
    {"HTTP/1.1 200 OK\r\n\r\n", HTTP_HEAD, TG_OK, HTTP_NO_BODY, 0, true},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", HTTP_GET, TG_OK, HTTP_NO_BODY, 5,
     true},
    {"HTTP/1.1 204 No Content\r\n\r\n", HTTP_GET, TG_OK, HTTP_NO_BODY, 0, true},
    {"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", HTTP_GET, TG_OK, HTTP_NO_BODY, 0,
     true},
    {"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", HTTP_GET, TG_OK, HTTP_NO_BODY, 5,
     false},
    {"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_GET, TG_OK, HTTP_NO_BODY,
     0, false},
    {"HTTP/1.1 100 Continue\r\n\r\n", HTTP_POST, TG_OK, HTTP_NO_BODY, 0, true},
    {"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", HTTP_GET, TG_OK, HTTP_NO_BODY, 0, true},
    {"HTTP/1.1 999 Odd\r\nContent-Length: 1\r\n\r\n", HTTP_GET, TG_OK, HTTP_SIZED, 1, true},
    {"HTTP/1.1 099 Odd\r\n\r\n", HTTP_GET, TG_BAD_INPUT, 0, 0, false},
    {"HTTP/1.1 20 OK\r\n\r\n", HTTP_GET, TG_BAD_INPUT, 0, 0, false},
    {"HTTP/1.1 2000 OK\r\n\r\n", HTTP_GET, TG_BAD_INPUT, 0, 0, false},
    {"HTTP/1.1 2x0 OK\r\n\r\n", HTTP_GET, TG_BAD_INPUT, 0, 0, false},
    {"HTTP/1.1  200 OK\r\n\r\n", HTTP_GET, TG_BAD_INPUT, 0, 0, false},
    {"HTTP/1.1 200\tOK\r\n\r\n", HTTP_GET, TG_BAD_INPUT, 0, 0, false},
    {"HTTP/1.1\r\n\r\n", HTTP_GET, TG_BAD_INPUT, 0, 0, false},
    {"HTTP/2.0 200 OK\r\n\r\n", HTTP_GET, TG_UNSUPPORTED, 0, 0, false},
    {"ICY 200 OK\r\n\r\n", HTTP_GET, TG_BAD_INPUT, 0, 0, false},
    {"200 OK\r\n\r\n", HTTP_GET, TG_BAD_INPUT, 0, 0, false},
    {"\r\nHTTP/1.1 200 OK\r\n\r\n", HTTP_GET, TG_BAD_INPUT, 0, 0, false},
    {"<html>\n", HTTP_GET, TG_BAD_INPUT, 0, 0, false},
    {"HTTP/1.1 200 OK\nContent-Length: 5\n\n", HTTP_GET, TG_BAD_INPUT, 0, 0, false},
    {"HTTP/1.1 200 OK\r\nX : y\r\n\r\n", HTTP_GET, TG_BAD_INPUT, 0, 0, false},
    {"HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n", HTTP_GET, TG_BAD_INPUT, 0, 0, false},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", HTTP_GET, TG_BAD_INPUT, 0,
     0, false},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_GET,
     TG_BAD_INPUT, 0, 0, false},
    {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_GET, TG_BAD_INPUT, 0, 0, false},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", HTTP_GET, TG_UNSUPPORTED, 0, 0,
     false},
    {"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", HTTP_GET, TG_BAD_INPUT, 0, 0, false},
};

static void responses_are_framed(void **state)
{
    for (unsigned i = 0; i < TG_ARRAY_LEN(responses); i++) {
        const struct response_case *c = &responses[i];
        struct span bytes = span_from_string(c->text);
        size_t seen = 0;
        enum tg_err err = h1_parse_response(bytes, &seen, c->method, &head);
        if (err != c->result)
            fail_msg("%s: %s", c->text, tg_err_name(err));
        enum tg_err fed = TG_AGAIN;
        seen = 0;
        for (size_t n = 0; n <= bytes.len && fed == TG_AGAIN; n++)
            fed = h1_parse_response(span_make(bytes.data, n), &seen, c->method, &head);
        assert_int_equal(fed, err);
        if (err != TG_OK)
            continue;
        if (head.framing != c->framing || head.content_length != c->length ||
            head.keep_alive != c->keep_alive)
            fail_msg("%s: framing %d, length %u, keep_alive %d", c->text, head.framing,
                     (unsigned)head.content_length, head.keep_alive);
    }
}

static void scan_equals_its_reference(void **state)
{
    uint8_t bytes[64];
    struct prng random;
    prng_seed(&random, 1);
    for (unsigned byte = 0; byte < 256; byte++) { /* every byte at every place */
        bool control = (byte < 0x20 && byte != '\t') || byte == 0x7f;
        for (size_t at = 0; at < sizeof bytes; at++) {
            memset(bytes, 'a', sizeof bytes);
            bytes[at] = (uint8_t)byte;
            assert_true(h1_control_mask(bytes, 64) == (uint64_t)control << at);
            assert_true(h1_control_mask(bytes, at) == 0);
        }
    }
    for (unsigned round = 0; round < 20000; round++) {
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)(prng_below(&random, 8) ? prng_next(&random) | 0x20 : 13);
        size_t n = prng_below(&random, 65);
        assert_true(h1_control_mask(bytes, n) == h1_control_mask_scalar(bytes, n));
    }
}

static size_t run_of(enum h1_class class, struct span s)
{
    size_t n = 0;
    while (n < s.len && h1_is(s.data[n], class))
        n++;
    return n;
}

static void runs_equal_their_reference(void **state)
{
    uint8_t bytes[50];
    for (unsigned byte = 0; byte < 256; byte++) {
        for (size_t at = 0; at < sizeof bytes; at++) {
            memset(bytes, 'a', sizeof bytes);
            bytes[at] = (uint8_t)byte;
            struct span s = span_make(bytes, sizeof bytes);
            assert_int_equal(h1_token_run(s), run_of(H1_TOKEN, s));
            assert_int_equal(h1_target_run(s), run_of(H1_TARGET, s));
            s.len = at; /* the byte behind the end is not looked at */
            assert_int_equal(h1_token_run(s), at);
        }
    }
}

static void phrases(void **state)
{
    assert_string_equal(http_status_phrase(200), "OK");
    assert_string_equal(http_status_phrase(431), "Request Header Fields Too Large");
    assert_string_equal(http_status_phrase(299), "Unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_heads_are_refused),
        cmocka_unit_test(good_heads_are_understood),
        cmocka_unit_test(byte_by_byte),
        cmocka_unit_test(prefixes_wait),
        cmocka_unit_test(bytes_behind_the_head_stay),
        cmocka_unit_test(fields_and_flags),
        cmocka_unit_test(hop_by_hop_fields),
        cmocka_unit_test(refused_heads_keep_what_was_found),
        cmocka_unit_test(limits_of_a_head),
        cmocka_unit_test(limit_of_fields),
        cmocka_unit_test(responses_are_framed),
        cmocka_unit_test(scan_equals_its_reference),
        cmocka_unit_test(runs_equal_their_reference),
        cmocka_unit_test(phrases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
