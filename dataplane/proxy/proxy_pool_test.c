/* SPDX-License-Identifier: BSD-3-Clause
 * Tests of what is limited and pooled: origin connections (reuse, retry, limits, what spoils one),
 * requests, clients, buffers; tables that change under load.
 */
#include "proxy/proxy_lab.h"

#include <stdio.h>

#define GET  "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc"

static void ask_expect(struct lab_conn *c, const char *text, unsigned status)
{
    lab_forget(c);
    lab_ask(c, text);
    expect_status(c, status);
}

/* --- reuse and retry -------------------------------------------------------------------------- */

/* Answers the first request of each connection; the second one kills it, as a server does whose
 * idle time ran out while the request was on its way. */
static void serve_one_each(struct lab *lab, struct lab_conn *c)
{
    if (c->served == 0) {
        lab_serve_answer(lab, c);
    } else if (c->in.len > c->handled && !c->closed) {
        lab->arg++; /* requests met by a dead connection */
        lab_reset(c);
    }
}

static void dead_warm_connection(void **state)
{
    static const struct {
        const char *request;
        unsigned status, retries;
    } cases[] = {
        {GET, 200, 1},
        {"PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n", 200, 1},
        {"DELETE / HTTP/1.1\r\nHost: a.example\r\n\r\n", 200, 1},
        {POST, 502, 0}, /* it may have been acted on */
        {"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n", 502, 0},
        {"PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc", 502,
         0}, /* body is gone */
        {"PURGE / HTTP/1.1\r\nHost: a.example\r\n\r\n", 502, 0},
    };
    for (unsigned i = 0; i < TG_ARRAY_LEN(cases); i++) {
        struct lab *lab = lab_new(NULL);
        struct lab_conn *c = lab_connect(lab, 80);
        lab->serve = serve_one_each;
        ask_expect(c, GET, 200);
        ask_expect(c, cases[i].request, cases[i].status);
        assert_int_equal(lab->arg, 1);
        assert_int_equal(lab_count(lab, TG_C_origin_reused), 1);
        assert_int_equal(lab_count(lab, TG_C_origin_retries), cases[i].retries);
        assert_int_equal(lab_count(lab, TG_C_origin_connects), 1 + cases[i].retries);
        assert_int_equal(lab_count(lab, TG_C_origin_aborted), 1 - cases[i].retries);
        lab_end(lab);
    }
}

/* Two warm connections that are both dead: the retry takes a fresh one, not the other. */
static void retry_takes_a_fresh_connection(void **state)
{
    struct lab *lab = lab_new(NULL);
    struct lab_conn *a = lab_connect(lab, 80), *b = lab_connect(lab, 80);
    lab->serve = serve_one_each;
    lab_say_text(a, GET);
    lab_ask(b, GET);
    assert_int_equal(lab_gauges(lab).origins_idle, 2);
    ask_expect(a, GET, 200);
    assert_int_equal(lab->arg, 1);
    assert_int_equal(lab_count(lab, TG_C_origin_retries), 1);
    lab_end(lab);
}

static void origin_that_closes_is_not_used_again(void **state)
{
    struct lab *lab = lab_new(NULL);
    struct lab_conn *c = lab_connect(lab, 80);
    ask_expect(c, GET, 200);
    lab_fin(lab_origin_conn(lab, 0));
    lab_run(lab, 100 * TG_MS);
    assert_int_equal(lab_gauges(lab).origins, 0); /* gone while nobody needed it */
    ask_expect(c, GET, 200);
    assert_int_equal(lab_count(lab, TG_C_origin_connects), 2);
    lab->answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    ask_expect(c, GET, 200);
    expect_not_in(c, "Connection: close"); /* that was between the two of us */
    assert_int_equal(lab_gauges(lab).origins, 0);
    lab_end(lab);
}

/* Bytes that nobody asked for: the connection could answer the next request with them. */
static void surplus_bytes_spoil_a_connection(void **state)
{
    struct lab *lab = lab_new(NULL);
    struct lab_conn *c = lab_connect(lab, 80);
    lab->answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n"
                  "Content-Length: 5\r\n\r\nwrong";
    ask_expect(c, GET, 200);
    expect_not_in(c, "wrong");
    assert_int_equal(lab_gauges(lab).origins, 0);
    lab->answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nright";
    ask_expect(c, GET, 200);
    expect_in(c, "right");
    assert_int_equal(lab_gauges(lab).origins_idle, 1);
    lab_say_text(lab_origin_conn(lab, 1), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong");
    lab_run(lab, 100 * TG_MS); /* and later, unasked, in the pool */
    assert_int_equal(lab_gauges(lab).origins, 0);
    ask_expect(c, GET, 200);
    expect_in(c, "right");
    lab_end(lab);
}

static void last_used_first(void **state)
{
    struct lab *lab = lab_new(NULL);
    struct lab_conn *c[3];
    for (unsigned i = 0; i < 3; i++)
        lab_say_text(c[i] = lab_connect(lab, 80), GET);
    lab_run(lab, 100 * TG_MS);
    assert_int_equal(lab_gauges(lab).origins_idle, 3);
    unsigned before[3], served = 0;
    for (unsigned i = 0; i < 3; i++)
        before[i] = lab_origin_conn(lab, i)->served;
    for (unsigned i = 0; i < 10; i++)
        ask_expect(c[i % 3], GET, 200);
    for (unsigned i = 0; i < 3;
         i++) /* one of them did all the work, so that the rest can grow old */
        served += lab_origin_conn(lab, i)->served - before[i] == 10;
    assert_int_equal(served, 1);
    lab_end(lab);
}

/* --- limits ----------------------------------------------------------------------------------- */

static void serve_hold(struct lab *lab, struct lab_conn *c)
{
    if (!lab->arg)
        return;
    lab_serve_answer(lab, c);
}

/* Three ask, the origin holds its answers: two wait, and the third hears 503. */
static void third_is_too_many(struct lab *lab, struct lab_conn *c[3])
{
    lab->serve = serve_hold;
    for (unsigned i = 0; i < 3; i++) {
        c[i] = lab_connect(lab, 80);
        lab_ask(c[i], GET);
    }
    expect_status(c[2], 503);
    assert_int_equal(lab_count(lab, TG_C_proxy_full), 1);
}

static void origin_limit(void **state)
{
    struct lab *lab = lab_new(NULL);
    struct lab_site site = {"a.example", 0, 0};
    struct lab_origin origin = {.address = "192.0.2.3", .port = 8000, .connections_max = 2};
    lab_use_routes(lab, &site, 1, &origin, 1, 2);
    struct lab_conn *c[3];
    third_is_too_many(lab, c);
    assert_false(c[2]->peer_fin);
    lab->arg = 1;
    lab_run(lab, 100 * TG_MS);
    expect_status(c[0], 200);
    expect_status(c[1], 200);
    ask_expect(c[2], GET, 200);
    assert_int_equal(lab_count(lab, TG_C_origin_connects), 2);
    lab_end(lab);
}

static void request_limit(void **state)
{
    struct lab_config config = lab_defaults();
    config.proxy.requests_max = 2;
    struct lab *lab = lab_new(&config);
    struct lab_conn *c[3];
    third_is_too_many(lab, c);
    assert_true(c[2]->peer_fin);
    lab->arg = 1;
    lab_run(lab, 100 * TG_MS);
    expect_status(c[0], 200);
    ask_expect(lab_connect(lab, 80), GET, 200);
    lab_end(lab);
}

/* Blocks for large heads are few; whoever gets none is told so, small heads do not suffer. */
static void large_head_limit(void **state)
{
    const char *start = "GET / HTTP/1.1\r\nHost: a.example\r\nX: ";
    struct lab_config config = lab_defaults();
    config.proxy.requests_max = 8; /* 8 / 4 + 1 large blocks */
    struct lab *lab = lab_new(&config);
    struct lab_conn *c[4];
    for (unsigned i = 0; i < 4; i++) {
        c[i] = lab_connect(lab, 80);
        lab_ask(c[i], lab_padded(start, 4000, ""));
    }
    expect_status(c[3], 503);
    assert_int_equal(lab_count(lab, TG_C_proxy_full), 1);
    ask_expect(lab_connect(lab, 80), GET, 200);
    ask_expect(c[0], "\r\n\r\n", 200);
    ask_expect(lab_connect(lab, 80), lab_padded(start, 4000, "\r\n\r\n"), 200);
    lab_end(lab);
}

static void client_limit(void **state)
{
    struct lab_config config = lab_defaults();
    config.proxy.clients_max = 2;
    struct lab *lab = lab_new(&config);
    struct lab_conn *c[3];
    for (unsigned i = 0; i < 3; i++) {
        c[i] = lab_connect(lab, 80);
        lab_run(lab, 100 * TG_MS);
    }
    assert_int_equal(c[2]->error, TG_RESET);
    assert_int_equal(lab_count(lab, TG_C_proxy_full), 1);
    ask_expect(c[0], GET, 200);
    lab_end(lab);
}

/* All connection objects rest in one origin's pool; another origin needs one. */
static void idle_connections_make_room(void **state)
{
    struct lab_config config = lab_defaults();
    config.proxy.origins_max = 2;
    struct lab *lab = lab_new(&config);
    struct lab_site sites[] = {{"a.example", 0, 0}, {"b.example", 0, 1}};
    struct lab_origin origins[] = {{.address = "192.0.2.3", .port = 8000},
                                   {.address = "192.0.2.3", .port = 8001}};
    lab_use_routes(lab, sites, 2, origins, 2, 2);
    struct lab_conn *a = lab_connect(lab, 80), *b = lab_connect(lab, 80);
    lab_say_text(a, GET);
    lab_ask(b, GET);
    assert_int_equal(lab_gauges(lab).origins_idle, 2);
    ask_expect(a, "GET / HTTP/1.1\r\nHost: b.example\r\n\r\n", 200);
    assert_int_equal(lab_gauges(lab).origins, 2);
    assert_int_equal(lab_count(lab, TG_C_origin_connects), 3);
    lab_end(lab);
}

static void serve_big(struct lab *lab, struct lab_conn *c)
{
    static uint8_t bytes[200000];
    if (!c->served && c->in.len > 0) {
        c->served = 1;
        lab_say_text(c, "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n");
        lab_say(c, span_make(bytes, sizeof bytes));
    }
}

/* The edge's buffers run out in the middle of transfers. Whatever happens to them, nothing leaks
 * and the edge serves again afterwards. */
static void buffers_run_out(void **state)
{
    for (unsigned limit = 1; limit < 60; limit += 3) {
        struct lab *lab = lab_new(NULL);
        struct lab_conn *c[4], *warm = lab_connect(lab, 80);
        ask_expect(warm, GET, 200);
        lab->serve = serve_big;
        lab->node[LAB_EDGE].pool.limit = lab->node[LAB_EDGE].pool.outstanding + limit;
        for (unsigned i = 0; i < 4; i++)
            lab_say_text(c[i] = lab_connect(lab, 80), i == 3 ? POST : GET);
        lab_run(lab, 5 * TG_S);
        lab->node[LAB_EDGE].pool.limit = UINT32_MAX;
        lab_run(lab, 100 * TG_S);
        lab->serve = lab_serve_answer;
        ask_expect(lab_connect(lab, 80), GET, 200);
        lab_end(lab);
    }
}

/* --- tables ----------------------------------------------------------------------------------- */

static void routes_change_under_requests(void **state)
{
    struct lab *lab = lab_new(NULL);
    struct lab_site site = {"a.example", 0, 0};
    struct lab_conn *c = lab_connect(lab, 80);
    for (unsigned i = 0; i < 50; i++) {
        struct lab_origin origin = {.address = "192.0.2.3", .port = i % 2 ? 8001 : 8000};
        lab_say_text(c, GET);
        lab_run(lab, TG_MS);                              /* under way */
        lab_use_routes(lab, &site, 1, &origin, 1, 2 + i); /* frees the old table at once */
        assert_int_equal(proxy_oldest(lab->proxy, TABLES_ROUTES), 2 + i);
        lab_run(lab, 100 * TG_MS);
        expect_status(c, 200);
        lab_forget(c);
    }
    assert_int_equal(lab_count(lab, TG_C_http_responses), 50);
    assert_int_equal(lab_count(lab, TG_C_origin_connects), 2); /* both stay warm */
    lab_end(lab);
}

/* A proxy that is taken down in mid-flight gives everything back (lab_end looks). */
static void destroyed_in_full_flight(void **state)
{
    struct lab *lab = lab_new(NULL);
    lab->serve = serve_big;
    for (unsigned i = 0; i < 8; i++)
        lab_say_text(lab_connect(lab, 80), i % 2 ? GET
                                                 : "POST / HTTP/1.1\r\nHost: a.example\r\n"
                                                   "Content-Length: 90000\r\n\r\nabc");
    lab_run(lab, 8 * TG_MS);
    assert_true(lab_gauges(lab).requests > 0);
    lab_end(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dead_warm_connection),
        cmocka_unit_test(retry_takes_a_fresh_connection),
        cmocka_unit_test(origin_that_closes_is_not_used_again),
        cmocka_unit_test(surplus_bytes_spoil_a_connection),
        cmocka_unit_test(last_used_first),
        cmocka_unit_test(origin_limit),
        cmocka_unit_test(request_limit),
        cmocka_unit_test(large_head_limit),
        cmocka_unit_test(client_limit),
        cmocka_unit_test(idle_connections_make_room),
        cmocka_unit_test(buffers_run_out),
        cmocka_unit_test(routes_change_under_requests),
        cmocka_unit_test(destroyed_in_full_flight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
