/* SPDX-License-Identifier: BSD-3-Clause
 * Tests of bodies through the proxy: large ones both ways in every framing, back-pressure, chunks
 * written anew, answers that come early, and that nothing is copied or buffered that need not be.
 */
#include "proxy/proxy_lab.h"

#include <stdio.h>

#define LARGE (10u << 20)

/* The byte at an offset of every test body, so that a wrong, lost or doubled byte shows. */
static uint8_t pattern(size_t offset)
{
    uint32_t h = (uint32_t)offset * 2654435761u;
    return (uint8_t)(h >> 24 ^ h >> 11);
}

static void say_pattern(struct lab_conn *c, size_t from, size_t n)
{
    static uint8_t bytes[65536];
    assert_true(n <= sizeof bytes);
    for (size_t i = 0; i < n; i++)
        bytes[i] = pattern(from + i);
    lab_say(c, span_make(bytes, n));
}

static void expect_pattern(struct span body, size_t n)
{
    assert_int_equal(body.len, n);
    for (size_t i = 0; i < n; i++)
        if (body.data[i] != pattern(i))
            fail_msg("body byte %zu is wrong", i);
}

/* The client's view of its first response; the body de-framed in place. */
static struct span response_body(struct lab_conn *c, bool *complete)
{
    static struct http_head head;
    size_t seen = 0, consumed;
    struct span rest = span_make(c->in.data, c->in.len), payload;
    assert_int_equal(h1_parse_response(rest, &seen, HTTP_GET, &head), TG_OK);
    uint8_t *at = c->in.data + head.bytes;
    struct span body = span_make(at, 0);
    struct h1_body framing;
    h1_body_start(&framing, &head);
    rest = span_slice(rest, head.bytes, rest.len);
    enum tg_err err;
    do {
        err = h1_body_next(&framing, rest, &consumed, &payload);
        assert_int_not_equal(err, TG_BAD_INPUT);
        if (payload.len)
            memmove(at + body.len, payload.data, payload.len);
        body.len += payload.len;
        rest = span_slice(rest, consumed, rest.len);
    } while (err == TG_OK && rest.len);
    *complete = err == TG_END || (head.framing == HTTP_UNTIL_CLOSE && c->peer_fin);
    return body;
}

static void expect_download(struct lab_conn *c, size_t n)
{
    bool complete;
    expect_status(c, 200);
    expect_pattern(response_body(c, &complete), n);
    assert_true(complete);
}

/* --- downloads -------------------------------------------------------------------------------- */

/* lab->arg: framing of the answer. c->left counts what is still to be said; c->served the state. */
static void serve_large(struct lab *lab, struct lab_conn *c)
{
    static struct http_head head;
    struct span body;
    if (!c->served && lab_request(c, &head, &body)) {
        char line[128];
        c->served = 1;
        c->left = LARGE;
        snprintf(line, sizeof line, "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n", LARGE);
        lab_say_text(c, lab->arg == HTTP_SIZED     ? line
                        : lab->arg == HTTP_CHUNKED ? "HTTP/1.1 200 OK\r\n"
                                                     "Transfer-Encoding: chunked\r\n\r\n"
                                                   : "HTTP/1.1 200 OK\r\n\r\n");
    }
    while (c->left && c->out.len - c->out_at < 100000) {
        size_t n = c->left < 50001 ? (size_t)c->left : 50001;
        char line[32];
        snprintf(line, sizeof line, "%zx;size=\"%zu\"\r\n", n, n);
        if (lab->arg == HTTP_CHUNKED)
            lab_say_text(c, line);
        say_pattern(c, LARGE - c->left, n);
        c->left -= n;
        if (lab->arg == HTTP_CHUNKED)
            lab_say_text(c, c->left ? "\r\n" : "\r\n0\r\nX-Sum: 1\r\n\r\n");
        if (lab->arg == HTTP_UNTIL_CLOSE && !c->left)
            lab_fin(c);
    }
}

static void large_download(enum http_framing framing, const char *request)
{
    struct lab *lab = lab_new(NULL);
    struct lab_conn *c = lab_connect(lab, 80);
    lab->serve = serve_large;
    lab->arg = framing;
    lab_say_text(c, request);
    lab_run(lab, 60 * TG_S);
    expect_download(c, LARGE);
    assert_int_equal(lab_count(lab, TG_C_http_responses), 1);
    assert_int_equal(lab_gauges(lab).origins_idle, framing != HTTP_UNTIL_CLOSE);
    /* one segment in, one segment out: no payload was cut up or glued together on the way */
    uint64_t in = lab->data_frames[LAB_ORIGIN], out = lab->data_frames[LAB_EDGE];
    assert_true(out < in + in / 10);
    lab_end(lab);
}

static void large_downloads(void **state)
{
    const char *request = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
    large_download(HTTP_SIZED, request);
    large_download(HTTP_CHUNKED, request);
    large_download(HTTP_UNTIL_CLOSE, request);
    large_download(HTTP_SIZED, "GET / HTTP/1.0\r\n\r\n");
    large_download(HTTP_CHUNKED, "GET / HTTP/1.0\r\n\r\n");
}

static void slow_reader_holds_the_origin_back(void **state)
{
    struct lab *lab = lab_new(NULL);
    struct lab_conn *c = lab_connect(lab, 80);
    lab->serve = serve_large;
    lab->arg = HTTP_SIZED;
    c->stop_reading = true;
    lab_say_text(c, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    lab_run(lab, 10 * TG_S);
    /* the edge holds its receive window and its unsent limit, not the file: 64 KiB each way */
    assert_in_range(lab->node[LAB_EDGE].pool.outstanding, 10, 160);
    struct lab_conn *o = lab_origin_conn(lab, 0);
    assert_true(o->left > LARGE - 600000);
    c->stop_reading = false;
    /* the client's window opens when it reads; its probe timer may be some seconds away */
    lab_run(lab, 90 * TG_S);
    expect_download(c, LARGE);
    lab_end(lab);
}

/* --- uploads ---------------------------------------------------------------------------------- */

static struct span uploaded; /* by the last request that the origin got whole */
static enum http_framing uploaded_framing;

static void serve_upload(struct lab *lab, struct lab_conn *c)
{
    static struct http_head head;
    struct span body;
    if (c->in.len - c->handled < lab->arg || !lab_request(c, &head, &body))
        return; /* arg: not before so much has come; parsing 10 MB each time would be slow */
    uploaded = body;
    uploaded_framing = head.framing;
    lab_say_text(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

static void say_upload(struct lab_conn *c, enum http_framing framing, size_t n)
{
    char line[160];
    snprintf(line, sizeof line,
             "POST /up HTTP/1.1\r\nHost: a.example\r\nContent-Length: %zu\r\n\r\n", n);
    lab_say_text(c, framing == HTTP_SIZED ? line
                                          : "POST /up HTTP/1.1\r\nHost: a.example\r\n"
                                            "Transfer-Encoding: chunked\r\n\r\n");
    for (size_t at = 0, piece; at < n; at += piece) {
        piece = n - at < 60000 ? n - at : 60000;
        snprintf(line, sizeof line, "%zX\r\n", piece);
        if (framing == HTTP_CHUNKED)
            lab_say_text(c, line);
        say_pattern(c, at, piece);
        if (framing == HTTP_CHUNKED)
            lab_say_text(c, "\r\n");
    }
    if (framing == HTTP_CHUNKED)
        lab_say_text(c, "0\r\n\r\n");
}

static void large_uploads(void **state)
{
    static const enum http_framing framings[] = {HTTP_SIZED, HTTP_CHUNKED};
    for (unsigned i = 0; i < 2; i++) {
        struct lab *lab = lab_new(NULL);
        struct lab_conn *c = lab_connect(lab, 80);
        lab->serve = serve_upload;
        lab->arg = LARGE;
        say_upload(c, framings[i], LARGE);
        lab_run(lab, 60 * TG_S);
        expect_status(c, 200);
        expect_pattern(uploaded, LARGE);
        assert_int_equal(uploaded_framing, framings[i]);
        lab->arg = 0;
        say_upload(c, framings[i], 5); /* and the connections are as good as new */
        lab_run(lab, TG_S);
        expect_pattern(uploaded, 5);
        assert_int_equal(lab_count(lab, TG_C_origin_reused), 1);
        lab_end(lab);
    }
}

static void serve_deaf(struct lab *lab, struct lab_conn *c)
{
    c->stop_reading = lab->arg;
    if (!c->stop_reading)
        serve_upload(lab, c);
}

static void slow_origin_holds_the_client_back(void **state)
{
    struct lab *lab = lab_new(NULL);
    struct lab_conn *c = lab_connect(lab, 80);
    lab->serve = serve_deaf;
    lab->arg = 1;
    say_upload(c, HTTP_SIZED, 1u << 20);
    lab_run(lab, 10 * TG_S);
    assert_in_range(lab->node[LAB_EDGE].pool.outstanding, 10, 160);
    assert_true(c->out.len - c->out_at > 500000);
    lab->arg = 0;
    lab_run(lab, 90 * TG_S);
    expect_status(c, 200);
    expect_pattern(uploaded, 1u << 20);
    lab_end(lab);
}

/* Chunks of every size from 1 up, cut by segments anywhere. */
static void small_chunks(void **state)
{
    struct lab *lab = lab_new(NULL);
    struct lab_conn *c = lab_connect(lab, 80);
    lab->serve = serve_upload;
    lab_say_text(c, "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n");
    size_t at = 0;
    for (size_t n = 1; n <= 300; at += n, n++) {
        char line[16];
        snprintf(line, sizeof line, "%zx\r\n", n);
        lab_say_text(c, line);
        say_pattern(c, at, n);
        lab_say_text(c, "\r\n");
    }
    c->rate = 997;
    lab_say_text(c, "0\r\n\r\n");
    lab_run(lab, 5 * TG_S);
    expect_status(c, 200);
    expect_pattern(uploaded, at);
    lab_end(lab);
}

static void huge_chunk_is_announced_in_parts(void **state)
{
    struct lab *lab = lab_new(NULL);
    struct lab_conn *c = lab_connect(lab, 80);
    lab->serve = NULL;
    lab_say_text(c, "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "fffffffffffffff0\r\nabc");
    lab_run(lab, TG_S);
    expect_in(lab_origin_conn(lab, 0), "\r\n\r\n100000\r\nabc");
    lab_end(lab);
}

static void broken_chunks_are_not_passed_on(void **state)
{
    struct lab *lab = lab_new(NULL);
    struct lab_conn *c = lab_connect(lab, 80);
    lab_ask(c, "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n");
    lab_ask(c, "3\r\nabcXX0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n");
    expect_status(c, 400);
    expect_in(c, "\r\nConnection: close\r\n");
    struct lab_conn *o = lab_origin_conn(lab, 0);
    expect_not_in(o, "smuggled");
    expect_not_in(o, "0\r\n\r\n");
    assert_true(o->closed);
    assert_int_equal(o->error, TG_RESET); /* the origin sees that the body is not whole */
    assert_int_equal(lab_count(lab, TG_C_http_bad_request), 1);
    assert_int_equal(lab_count(lab, TG_C_http_requests), 1);
    lab_end(lab);
}

/* --- early answers ---------------------------------------------------------------------------- */

static void serve_early(struct lab *lab, struct lab_conn *c)
{
    if (!c->served && strstr(lab_text(c), "\r\n\r\n")) {
        c->served = 1;
        lab_say_text(c, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno");
    }
    c->stop_reading = c->served;
}

static void answer_before_the_body_is_whole(void **state)
{
    struct lab *lab = lab_new(NULL);
    struct lab_conn *c = lab_connect(lab, 80);
    lab->serve = serve_early;
    lab_say_text(c, "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 9000000\r\n\r\nabc");
    lab_run(lab, TG_S);
    expect_status(c, 413);
    expect_in(c, "\r\nConnection: close\r\n");
    expect_in(c, "\r\n\r\nno");
    assert_true(c->peer_fin);
    assert_int_equal(lab_gauges(lab).origins, 0); /* never used again: half a request is on it */
    say_pattern(c, 0, 60000); /* the client goes on sending for a while: not answered with RST */
    lab_run(lab, TG_S);
    assert_false(c->closed);
    lab_fin(c);
    lab_run(lab, TG_S);
    assert_int_equal(c->error, TG_END);
    assert_int_equal(lab_gauges(lab).clients, 0);
    lab_end(lab);
}

static void lingering_ends(void **state)
{
    struct lab *lab = lab_new(NULL);
    struct lab_conn *c = lab_connect(lab, 80);
    lab->serve = serve_early;
    lab_say_text(c, "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 9000000\r\n\r\nabc");
    lab_run(lab, 5 * TG_S);
    assert_true(c->peer_fin);
    assert_int_equal(lab_gauges(lab).clients, 0); /* LINGER_TIME has passed */
    lab_end(lab);
}

/* An echo that answers while it reads: both directions flow at once. */
static void serve_echo(struct lab *lab, struct lab_conn *c)
{
    const char *end = strstr(lab_text(c), "\r\n\r\n");
    if (!c->served && end) {
        c->served = 1;
        c->handled = (size_t)(end + 4 - lab_text(c));
        lab_say_text(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    }
    if (c->served && c->in.len > c->handled) {
        lab_say(c, span_make(c->in.data + c->handled, c->in.len - c->handled));
        c->handled = c->in.len;
    }
}

static void both_directions_at_once(void **state)
{
    struct lab *lab = lab_new(NULL);
    struct lab_conn *c = lab_connect(lab, 80);
    lab->serve = serve_echo;
    say_upload(c, HTTP_SIZED, 1000000);
    lab_run(lab, 20 * TG_S);
    expect_download(c, 1000000);
    lab_end(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_downloads),
        cmocka_unit_test(slow_reader_holds_the_origin_back),
        cmocka_unit_test(large_uploads),
        cmocka_unit_test(slow_origin_holds_the_client_back),
        cmocka_unit_test(small_chunks),
        cmocka_unit_test(huge_chunk_is_announced_in_parts),
        cmocka_unit_test(broken_chunks_are_not_passed_on),
        cmocka_unit_test(answer_before_the_body_is_whole),
        cmocka_unit_test(lingering_ends),
        cmocka_unit_test(both_directions_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
