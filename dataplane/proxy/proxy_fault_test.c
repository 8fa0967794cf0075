/* SPDX-License-Identifier: BSD-3-Clause
 * Tests of faults: clients and origins that leave, stall, or talk nonsense; limits; empty pools.
 * Asked each time: a counter, a clean answer or a visible cut, and everything back in its pool.
 */
#include "proxy/proxy_lab.h"

#include <stdio.h>

#define GET  "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 10\r\n\r\n"

static struct lab *lab_short(void)
{
    struct lab_config config = lab_defaults();
    config.proxy.head_timeout = 3 * TG_S;
    config.proxy.body_timeout = 4 * TG_S;
    config.proxy.keepalive_timeout = 5 * TG_S;
    struct lab *lab = lab_new(&config);
    struct lab_site site = {"a.example", 0, 0};
    struct lab_origin origin = {.address = "192.0.2.3",
                                .port = 8000,
                                .connect_ms = 2000,
                                .response_ms = 3000,
                                .idle_ms = 6000,
                                .connections_max = 2};
    lab_use_routes(lab, &site, 1, &origin, 1, 2);
    return lab;
}

/* The same, and an origin that serves so (NULL: not at all) has been asked. */
static struct lab_conn *ask_short(struct lab **lab, void (*serve)(struct lab *, struct lab_conn *),
                                  const char *answer)
{
    *lab = lab_short();
    (*lab)->serve = serve;
    if (answer)
        (*lab)->answer = answer;
    struct lab_conn *c = lab_connect(*lab, 80);
    lab_ask(c, GET);
    return c;
}

/* Nothing is left of the client's connections and requests. */
static void lab_end_clean(struct lab *lab)
{
    lab_run(lab, 10 * TG_S);
    struct proxy_gauges g = lab_gauges(lab);
    assert_int_equal(g.clients + g.requests + g.origins + g.run_queue, 0);
    lab_end(lab);
}

/* Says lab->answer once per connection, as soon as something has come, and never more. */
static void serve_once(struct lab *lab, struct lab_conn *c)
{
    if (!c->served && c->in.len > 0) {
        c->served = 1;
        lab_say_text(c, lab->answer);
    }
}

static void serve_once_and_end(struct lab *lab, struct lab_conn *c)
{
    serve_once(lab, c);
    if (c->served)
        lab_fin(c);
}

static void serve_once_and_reset(struct lab *lab, struct lab_conn *c)
{
    serve_once(lab, c);
    if (c->served++ == 2 && !c->closed) /* some turns later: what was said has left */
        lab_reset(c);
}

/* --- clients ---------------------------------------------------------------------------------- */

static void client_resets_before_the_answer(void **state)
{
    struct lab *lab;
    struct lab_conn *c = ask_short(&lab, NULL, NULL);
    lab_reset(c);
    lab_run(lab, 100 * TG_MS);
    assert_int_equal(lab_origin_conn(lab, 0)->error, TG_RESET); /* the origin may stop working */
    assert_int_equal(lab_count(lab, TG_C_proxy_client_gone), 1);
    lab_end_clean(lab);
}

static void client_resets_in_mid_response(void **state)
{
    struct lab *lab;
    struct lab_conn *c =
        ask_short(&lab, serve_once, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc");
    expect_in(c, "\r\n\r\nabc"); /* passed on at once, not gathered */
    lab_reset(c);
    lab_run(lab, 100 * TG_MS);
    assert_int_equal(lab_origin_conn(lab, 0)->error, TG_RESET);
    assert_int_equal(lab_count(lab, TG_C_proxy_client_gone), 1);
    lab_end_clean(lab);
}

static void client_ends_in_mid_body(void **state)
{
    struct lab *lab = lab_short();
    lab->serve = NULL;
    struct lab_conn *c = lab_connect(lab, 80);
    lab_ask(c, POST "abc");
    lab_fin(c);
    lab_run(lab, 100 * TG_MS);
    assert_int_equal(lab_origin_conn(lab, 0)->error, TG_RESET);
    assert_int_equal(lab_count(lab, TG_C_proxy_client_gone), 1);
    assert_true(c->closed);
    lab_end_clean(lab);
}

static void client_ends_in_mid_head(void **state)
{
    struct lab *lab = lab_short();
    struct lab_conn *c = lab_connect(lab, 80);
    lab_ask(c, "GET / HT");
    lab_fin(c);
    lab_run(lab, 100 * TG_MS);
    assert_int_equal(c->error, TG_END);
    assert_int_equal(c->in.len, 0);
    c = lab_connect(lab, 80); /* and one that says nothing at all */
    lab_run(lab, 100 * TG_MS);
    lab_fin(c);
    lab_run(lab, 100 * TG_MS);
    assert_int_equal(c->error, TG_END);
    assert_int_equal(lab_count(lab, TG_C_proxy_client_gone), 1);
    lab_end_clean(lab);
}

static void silent_client(void **state)
{
    struct lab *lab = lab_short();
    struct lab_conn *c = lab_connect(lab, 80);
    lab_run(lab, 2900 * TG_MS);
    assert_false(c->peer_fin);
    lab_run(lab, 200 * TG_MS);
    assert_true(c->peer_fin); /* head_timeout from the beginning; nothing to say to it */
    assert_int_equal(c->in.len, 0);
    assert_int_equal(lab_count(lab, TG_C_proxy_client_timeout), 1);
    lab_fin(c);
    lab_end_clean(lab);
}

static void idle_keep_alive_client(void **state)
{
    struct lab *lab = lab_short();
    struct lab_conn *c = lab_connect(lab, 80);
    lab_ask(c, GET);
    lab_run(lab, 4800 * TG_MS);
    assert_false(c->peer_fin);
    lab_run(lab, 300 * TG_MS);
    assert_true(c->peer_fin);
    assert_int_equal(lab_gauges(lab).origins_idle, 1);
    lab_fin(c);
    lab_run(lab, 2 * TG_S); /* the origin's has its own time: idle_ms */
    assert_int_equal(lab_gauges(lab).origins_idle, 0);
    assert_int_equal(lab_origin_conn(lab, 0)->error, TG_END);
    lab_end_clean(lab);
}

/* A head that drips in does not get more time for every drop. */
static void dripping_head(void **state)
{
    struct lab *lab = lab_short();
    struct lab_conn *c = lab_connect(lab, 80);
    for (unsigned i = 0; i < 40 && !c->peer_fin; i++) {
        lab_say_text(c, i ? "X: y\r\n" : "GET / HTTP/1.1\r\nHost: a.example\r\n");
        lab_run(lab, 100 * TG_MS);
    }
    assert_in_range(lab->now - LAB_START, 2900 * TG_MS, 3200 * TG_MS);
    expect_status(c, 408);
    expect_in(c, "\r\nConnection: close\r\n");
    assert_int_equal(lab_count(lab, TG_C_proxy_client_timeout), 1);
    lab_end_clean(lab);
}

static void stalled_upload(void **state)
{
    struct lab *lab = lab_short();
    lab->serve = NULL;
    struct lab_conn *c = lab_connect(lab, 80);
    lab_ask(c, POST "abc");
    lab_run(lab, 3 * TG_S);
    lab_ask(c, "d"); /* progress buys time */
    lab_run(lab, 3500 * TG_MS);
    assert_int_equal(c->in.len, 0);
    lab_run(lab, TG_S);
    expect_status(c, 408);
    assert_int_equal(lab_count(lab, TG_C_proxy_client_timeout), 1);
    assert_int_equal(lab_origin_conn(lab, 0)->error, TG_RESET);
    lab_end_clean(lab);
}

static void serve_endless(struct lab *lab, struct lab_conn *c)
{
    static const uint8_t zeros[30000];
    serve_once(lab, c);
    if (c->served && c->out.len - c->out_at < 60000 && !c->closed)
        lab_say(c, span_make(zeros, sizeof zeros));
}

static void client_that_does_not_read(void **state)
{
    struct lab *lab = lab_short();
    lab->serve = serve_endless;
    lab->answer = "HTTP/1.1 200 OK\r\n\r\n";
    struct lab_conn *c = lab_connect(lab, 80);
    c->stop_reading = true;
    lab_ask(c, GET);
    lab_run(lab, 3 * TG_S);
    assert_false(c->closed);
    lab_run(lab, 3 * TG_S);
    assert_int_equal(lab_count(lab, TG_C_proxy_client_timeout), 1);
    assert_int_equal(lab_origin_conn(lab, 0)->error, TG_RESET);
    lab_end_clean(lab);
}

/* --- origins ---------------------------------------------------------------------------------- */

static void origin_is_down(void **state)
{
    struct lab *lab = lab_short();
    tcp_unlisten(lab->node[LAB_ORIGIN].tcp, 8000);
    struct lab_conn *c = lab_connect(lab, 80);
    lab_ask(c, GET);
    expect_status(c, 502);
    assert_int_equal(lab_count(lab, TG_C_origin_connect_failed), 1);
    lab_forget(c); /* a clean refusal: the client may go on */
    lab_ask(c, GET);
    expect_status(c, 502);
    assert_int_equal(lab_count(lab, TG_C_http_status_5xx), 2);
    lab_end_clean(lab);
}

static void origin_does_not_answer_syns(void **state)
{
    struct lab *lab = lab_short();
    struct lab_conn *c = lab_connect(lab, 80);
    lab->cut[LAB_ORIGIN] = true;
    lab_ask(c, GET);
    lab_run(lab, 1800 * TG_MS);
    assert_int_equal(c->in.len, 0);
    lab_run(lab, 300 * TG_MS);
    expect_status(c, 504);
    assert_int_equal(lab_count(lab, TG_C_origin_connect_failed), 1);
    lab_end_clean(lab);
}

static void origin_without_a_route(void **state)
{
    struct lab *lab = lab_short();
    struct lab_site site = {"a.example", 0, 0};
    struct lab_origin origin = {.address = "203.0.113.1", .port = 8000};
    lab_use_routes(lab, &site, 1, &origin, 1, 3);
    struct lab_conn *c = lab_connect(lab, 80);
    lab_ask(c, GET);
    expect_status(c, 502);
    assert_int_equal(lab_count(lab, TG_C_origin_connect_failed), 1);
    lab_end_clean(lab);
}

static void origin_is_slow(void **state)
{
    struct lab *lab;
    struct lab_conn *c = ask_short(&lab, NULL, NULL);
    lab_run(lab, 2800 * TG_MS);
    assert_int_equal(c->in.len, 0);
    lab_run(lab, 300 * TG_MS);
    expect_status(c, 504);
    expect_in(c, "\r\nContent-Length: ");
    assert_int_equal(lab_count(lab, TG_C_origin_timeout), 1);
    assert_int_equal(lab_origin_conn(lab, 0)->error, TG_RESET);
    assert_false(c->peer_fin);
    lab_end_clean(lab);
}

static void origin_stalls_in_mid_response(void **state)
{
    struct lab *lab;
    struct lab_conn *c =
        ask_short(&lab, serve_once, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    lab_run(lab, 4 * TG_S);
    expect_status(c, 200);
    expect_in(c, "\r\n\r\nabc");
    assert_true(c->peer_fin); /* seven bytes short: the cut is visible */
    assert_int_equal(lab_count(lab, TG_C_origin_timeout), 1);
    lab_fin(c);
    lab_end_clean(lab);
}

static void origin_cuts_its_response(void **state)
{
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
    };
    for (unsigned i = 0; i < 2 * TG_ARRAY_LEN(answers); i++) {
        struct lab *lab;
        struct lab_conn *c =
            ask_short(&lab, i % 2 ? serve_once_and_end : serve_once_and_reset, answers[i / 2]);
        expect_status(c, 200);
        expect_in(c, "abc");
        expect_not_in(c, "\r\n0\r\n");
        assert_true(c->peer_fin);
        assert_int_equal(lab_count(lab, TG_C_origin_aborted), 1);
        assert_int_equal(lab_count(lab, TG_C_http_responses), 0);
        lab_end_clean(lab);
    }
}

/* A client that knows no chunks takes the end of the connection for the end of the body. */
static void cut_response_for_an_old_client(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        struct lab *lab = lab_short();
        lab->serve = i ? serve_once_and_end : serve_once_and_reset;
        lab->answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nabc";
        struct lab_conn *c = lab_connect(lab, 80);
        lab_ask(c, "GET / HTTP/1.0\r\nHost: a.example\r\n\r\n");
        assert_int_equal(c->error, TG_RESET);
        lab_end_clean(lab);
    }
}

static void origin_leaves_without_an_answer(void **state)
{
    static const char *const answers[] = {"", "HTTP/1.1 20", "HTTP/1.1 200 OK\r\nContent-Le"};
    for (unsigned i = 0; i < 2 * TG_ARRAY_LEN(answers); i++) {
        struct lab *lab;
        struct lab_conn *c =
            ask_short(&lab, i % 2 ? serve_once_and_end : serve_once_and_reset, answers[i / 2]);
        expect_status(c, 502);
        assert_int_equal(lab_count(lab, TG_C_origin_aborted), 1);
        assert_int_equal(lab_count(lab, TG_C_origin_retries), 0); /* it was fresh */
        assert_false(c->peer_fin);
        lab_end_clean(lab);
    }
}

static void origin_talks_nonsense(void **state)
{
    static const char *const answers[] = {
        "hello\r\n\r\n",
        "<html>\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nBad Header: x\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    };
    for (unsigned i = 0; i < TG_ARRAY_LEN(answers); i++) {
        struct lab *lab;
        struct lab_conn *c = ask_short(&lab, serve_once, answers[i]);
        expect_status(c, 502);
        assert_int_equal(lab_count(lab, TG_C_origin_bad_response), 1);
        assert_int_equal(lab_origin_conn(lab, 0)->error, TG_RESET);
        lab_end_clean(lab);
    }
}

static void origin_talks_nonsense_in_the_body(void **state)
{
    struct lab *lab;
    struct lab_conn *c = ask_short(
        &lab, serve_once, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX");
    expect_status(c, 200); /* too late for a 502 */
    expect_in(c, "\r\n\r\n3\r\nabc");
    expect_not_in(c, "\r\n0\r\n");
    assert_true(c->peer_fin);
    assert_int_equal(lab_count(lab, TG_C_origin_bad_response), 1);
    assert_int_equal(lab_count(lab, TG_C_http_responses), 0);
    lab_end_clean(lab);
}

static void serve_informational(struct lab *lab, struct lab_conn *c)
{
    if (!c->served && c->in.len > 0) {
        c->served = 1;
        for (unsigned i = 0; i < 100; i++)
            lab_say_text(c, "HTTP/1.1 102 Processing\r\n\r\n");
    }
}

static void origin_never_gets_to_the_point(void **state)
{
    struct lab *lab;
    struct lab_conn *c = ask_short(&lab, serve_informational, NULL);
    expect_status(c, 102);
    expect_in(c, "HTTP/1.1 502 ");
    assert_int_equal(lab_count(lab, TG_C_http_status_1xx), INFORMATIONAL_MAX);
    lab_end_clean(lab);
}

static void origin_head_too_big(void **state)
{
    struct lab *lab;
    struct lab_conn *c =
        ask_short(&lab, serve_once, lab_padded("HTTP/1.1 200 OK\r\nX: ", 20000, ""));
    expect_status(c, 502);
    const char *start = "HTTP/1.1 204 No Content\r\nX: "; /* one that just fits comes through */
    lab->answer = lab_padded(start, HTTP_HEAD_BYTES_MAX - strlen(start) - 4, "\r\n\r\n");
    lab_forget(c);
    lab_ask(c, GET);
    expect_status(c, 204);
    assert_int_equal(lab_gauges(lab).origins_idle, 1);
    lab_end_clean(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(client_resets_before_the_answer),
        cmocka_unit_test(client_resets_in_mid_response),
        cmocka_unit_test(client_ends_in_mid_body),
        cmocka_unit_test(client_ends_in_mid_head),
        cmocka_unit_test(silent_client),
        cmocka_unit_test(idle_keep_alive_client),
        cmocka_unit_test(dripping_head),
        cmocka_unit_test(stalled_upload),
        cmocka_unit_test(client_that_does_not_read),
        cmocka_unit_test(origin_is_down),
        cmocka_unit_test(origin_does_not_answer_syns),
        cmocka_unit_test(origin_without_a_route),
        cmocka_unit_test(origin_is_slow),
        cmocka_unit_test(origin_stalls_in_mid_response),
        cmocka_unit_test(origin_cuts_its_response),
        cmocka_unit_test(cut_response_for_an_old_client),
        cmocka_unit_test(origin_leaves_without_an_answer),
        cmocka_unit_test(origin_talks_nonsense),
        cmocka_unit_test(origin_talks_nonsense_in_the_body),
        cmocka_unit_test(origin_never_gets_to_the_point),
        cmocka_unit_test(origin_head_too_big),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
