/* SPDX-License-Identifier: BSD-3-Clause
 * Differential test against llhttp, node's parser, in its strict build: over the corpora and many
 * mutations of them we never accept a head or a chunked body that llhttp rejects, save the
 * differences that are listed here; and what both accept, both frame alike. llhttp comes from
 * Debian's node-llhttp and is used nowhere else.
 */
#include "base/hash.h"
#include "http/h1_corpus.h"
#include "http/h1_oracle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define S(literal)       SPAN_LITERAL(literal)
#define MUTATIONS        300000
#define MUTANT_BYTES_MAX 2048

/* Where we are meant to be wider. Everything else that turns up is a bug of ours until it stands
 * here.
 * - llhttp knows a list of methods; any token is a method to us (RFC 9110 s9.1). */
static bool listed_head(const struct oracle *oracle, const struct http_head *head)
{
    return oracle->unknown_method && head->method == HTTP_OTHER_METHOD;
}

/* - llhttp 8.1.0 reads no second chunk extension behind an unquoted value ("5;a=b;c");
 * - and no backslash in a quoted one. Both are legal (RFC 9112 s7.1.1).
 * - llhttp reads framing fields in trailers; we drop trailers, whatever they say (RFC 9110
 * s6.5.1). */
static bool listed_body(const struct oracle *oracle, struct span body)
{
    if (strstr(oracle->why, "Transfer-Encoding") || strstr(oracle->why, "Content-Length"))
        return true;
    bool value = false;
    for (size_t i = 0; i < body.len; i++) {
        uint8_t c = body.data[i];
        if (c == '\\' || (c == ';' && value))
            return true;
        value = c == '=' || (value && c != '"' && c != '\r');
    }
    return false;
}

static unsigned both_accept, listed;

/* Fail with bytes as a C string, so that they can go into a corpus. */
static void differ(const struct oracle *oracle, struct span bytes)
{
    static char text[4 * MUTANT_BYTES_MAX + 1];
    struct span_writer w = span_writer_make(text, sizeof text - 1);
    for (size_t i = 0; i < bytes.len; i++) {
        uint8_t c = bytes.data[i];
        char octal[4] = {'\\', (char)('0' + (c >> 6)), (char)('0' + (c >> 3 & 7)),
                         (char)('0' + (c & 7))};
        if (c == '\r' || c == '\n')
            span_write_string(&w, c == '\r' ? "\\r" : "\\n");
        else if (c < 0x20 || c > 0x7e)
            span_write(&w, octal, sizeof octal);
        else
            span_write(&w, &c, 1);
    }
    text[w.len] = 0;
    fail_msg("we accept, llhttp says '%s': \"%s\"", oracle->why, text);
}

static void compare_request(struct span bytes)
{
    static struct http_head head;
    static struct oracle oracle;
    size_t seen = 0;
    if (h1_parse_request(bytes, &seen, &head) != TG_OK)
        return;
    oracle_run(&oracle, false, span_slice(bytes, 0, head.bytes), false);
    if (!oracle.accepted) {
        if (!listed_head(&oracle, &head))
            differ(&oracle, span_slice(bytes, 0, head.bytes));
        listed++;
        return;
    }
    both_accept++;
    if (oracle.chunked != (head.framing == HTTP_CHUNKED) ||
        oracle.length != (head.framing == HTTP_SIZED ? head.content_length : 0))
        differ(&oracle, span_slice(bytes, 0, head.bytes));
}

/* --- mutations -------------------------------------------------------------------------------- */

struct mutant {
    uint8_t bytes[MUTANT_BYTES_MAX];
    size_t len;
};

static void mutant_replace(struct mutant *m, size_t at, size_t drop, struct span with)
{
    if (at > m->len)
        at = m->len;
    if (drop > m->len - at)
        drop = m->len - at;
    if (m->len - drop + with.len > sizeof m->bytes)
        return;
    memmove(m->bytes + at + with.len, m->bytes + at + drop, m->len - at - drop);
    if (with.len)
        memcpy(m->bytes + at, with.data, with.len);
    m->len = m->len - drop + with.len;
}

static void mutate(struct mutant *m, struct prng *random)
{
    static const struct span pieces[] = {
        SPAN_LITERAL("\r\n"),
        SPAN_LITERAL("\n"),
        SPAN_LITERAL("\r"),
        SPAN_LITERAL(" "),
        SPAN_LITERAL("\t"),
        SPAN_LITERAL(":"),
        SPAN_LITERAL(","),
        SPAN_LITERAL(";"),
        SPAN_LITERAL("\r\n "),
        SPAN_LITERAL("chunked"),
        SPAN_LITERAL("\r\n\r\n"),
        SPAN_LITERAL("0"),
        SPAN_LITERAL("\r\nTransfer-Encoding: chunked"),
        SPAN_LITERAL("\r\nContent-Length: 7"),
        SPAN_LITERAL("\r\nConnection: close, upgrade"),
        SPAN_LITERAL("\r\nHost: b"),
        SPAN_LITERAL(" HTTP/1.1"),
        SPAN_LITERAL("http://"),
        SPAN_LITERAL("\r\nX:"),
        SPAN_LITERAL("\0"),
        SPAN_LITERAL("\x80"),
        SPAN_LITERAL("?"),
        SPAN_LITERAL("#"),
        SPAN_LITERAL("@"),
        SPAN_LITERAL("["),
        SPAN_LITERAL("/"),
    };
    size_t at = prng_below(random, m->len + 1);
    uint8_t any = (uint8_t)prng_next(random);
    switch (prng_below(random, 6)) {
    case 0: /* another byte */
        mutant_replace(m, at, 1, span_make(&any, 1));
        break;
    case 1: /* one more */
        mutant_replace(m, at, 0, span_make(&any, 1));
        break;
    case 2: /* fewer */
        mutant_replace(m, at, 1 + prng_below(random, 4), SPAN_EMPTY);
        break;
    case 3: { /* some of it again, elsewhere */
        static uint8_t copy[64];
        struct span part = span_slice(span_make(m->bytes, m->len), prng_below(random, m->len + 1),
                                      prng_below(random, sizeof copy));
        if (part.len)
            memcpy(copy, part.data, part.len);
        mutant_replace(m, at, 0, span_make(copy, part.len));
        break;
    }
    default:
        mutant_replace(m, at, prng_below(random, 2),
                       pieces[prng_below(random, TG_ARRAY_LEN(pieces))]);
    }
}

static void mutant_make(struct mutant *m, struct span seed, struct prng *random)
{
    m->len = 0;
    mutant_replace(m, 0, 0, seed);
    for (uint64_t n = 1 + prng_below(random, 3); n > 0; n--)
        mutate(m, random);
}

static void heads_of_the_corpus(void **state)
{
    both_accept = listed = 0;
    for (unsigned i = 0; i < h1_good_head_count; i++)
        compare_request(h1_good_heads[i].bytes);
    for (unsigned i = 0; i < h1_bad_head_count; i++)
        compare_request(h1_bad_heads[i].bytes);
    assert_int_equal(both_accept + listed, h1_good_head_count);
    assert_in_range(listed, 1, 5); /* the odd methods of the corpus */
}

static void mutated_heads(void **state)
{
    static struct mutant m;
    struct prng random;
    prng_seed(&random, 20240611);
    both_accept = listed = 0;
    for (unsigned i = 0; i < MUTATIONS; i++) {
        bool bad = prng_below(&random, 8) == 0;
        uint64_t n = prng_below(&random, bad ? h1_bad_head_count : h1_good_head_count);
        mutant_make(&m, bad ? h1_bad_heads[n].bytes : h1_good_heads[n].bytes, &random);
        compare_request(span_make(m.bytes, m.len));
    }
    print_message("%u mutants: both accept %u, listed differences %u\n", MUTATIONS, both_accept,
                  listed);
    assert_true(both_accept > MUTATIONS / 20); /* enough of them reach the comparison */
}

/* --- bodies ----------------------------------------------------------------------------------- */

/* Our view of a chunked body: its payload, or false. */
static bool body_accepted(struct span bytes, uint8_t *payload, size_t *payload_len)
{
    struct http_head head = {.framing = HTTP_CHUNKED};
    struct h1_body body;
    enum tg_err err;
    h1_body_start(&body, &head);
    *payload_len = 0;
    do {
        size_t consumed;
        struct span part;
        err = h1_body_next(&body, bytes, &consumed, &part);
        if (part.len)
            memcpy(payload + *payload_len, part.data, part.len);
        *payload_len += part.len;
        bytes = span_slice(bytes, consumed, bytes.len);
    } while (err == TG_OK);
    return err == TG_END;
}

static void mutated_chunked_bodies(void **state)
{
    static const struct span seeds[] = {
        SPAN_LITERAL("5\r\nhello\r\n0\r\n\r\n"),
        SPAN_LITERAL("a\r\n0123456789\r\n3\r\nabc\r\n0\r\n\r\n"),
        SPAN_LITERAL("3;a=b;c\r\nabc\r\n0\r\n\r\n"),
        SPAN_LITERAL("10\r\n0123456789abcdef\r\n0\r\nX: y\r\nZ: \r\n\r\n"),
        SPAN_LITERAL("0\r\n\r\n"),
    };
    static struct mutant m;
    static struct oracle oracle;
    static uint8_t message[MUTANT_BYTES_MAX + 64], payload[MUTANT_BYTES_MAX];
    struct prng random;
    prng_seed(&random, 20240612);
    unsigned accepted = 0;
    for (unsigned i = 0; i < MUTATIONS; i++) {
        struct span_writer w = span_writer_make(message, sizeof message);
        size_t payload_len;
        mutant_make(&m, seeds[prng_below(&random, TG_ARRAY_LEN(seeds))], &random);
        if (!body_accepted(span_make(m.bytes, m.len), payload, &payload_len))
            continue;
        accepted++;
        span_write_string(&w, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        span_write(&w, m.bytes, m.len);
        oracle_run(&oracle, false, span_writer_span(&w), true);
        if (!oracle.accepted && listed_body(&oracle, span_make(m.bytes, m.len)))
            continue;
        if (!oracle.accepted)
            differ(&oracle, span_make(m.bytes, m.len));
        assert_int_equal(oracle.payload_len, payload_len);
        assert_memory_equal(oracle.payload, payload, payload_len);
    }
    print_message("%u mutants: both accept %u\n", MUTATIONS, accepted);
    assert_true(accepted > MUTATIONS / 20);
}

static void mutated_responses(void **state)
{
    static const struct span seeds[] = {
        SPAN_LITERAL("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: x\r\n\r\n"),
        SPAN_LITERAL("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        SPAN_LITERAL("HTTP/1.0 302 Moved\r\nLocation: http://a/\r\nConnection: keep-alive\r\n\r\n"),
        SPAN_LITERAL("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n"),
        SPAN_LITERAL("HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n"),
    };
    static struct mutant m;
    static struct oracle oracle;
    static struct http_head head;
    struct prng random;
    prng_seed(&random, 20240613);
    both_accept = 0;
    for (unsigned i = 0; i < MUTATIONS; i++) {
        size_t seen = 0;
        mutant_make(&m, seeds[prng_below(&random, TG_ARRAY_LEN(seeds))], &random);
        struct span bytes = span_make(m.bytes, m.len);
        if (h1_parse_response(bytes, &seen, HTTP_GET, &head) != TG_OK)
            continue;
        oracle_run(&oracle, true, span_slice(bytes, 0, head.bytes), false);
        if (!oracle.accepted)
            differ(&oracle, span_slice(bytes, 0, head.bytes));
        both_accept++;
        if (head.framing == HTTP_SIZED || head.framing == HTTP_CHUNKED)
            assert_int_equal(oracle.chunked, head.framing == HTTP_CHUNKED);
        if (head.framing == HTTP_SIZED)
            assert_int_equal(oracle.length, head.content_length);
    }
    print_message("%u mutants: both accept %u\n", MUTATIONS, both_accept);
    assert_true(both_accept > MUTATIONS / 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_of_the_corpus),
        cmocka_unit_test(mutated_heads),
        cmocka_unit_test(mutated_chunked_bodies),
        cmocka_unit_test(mutated_responses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
