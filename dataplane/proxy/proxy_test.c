/* SPDX-License-Identifier: BSD-3-Clause
 * Tests of the proxy, plain HTTP: what reaches the origin, what comes back, keep-alive on both
 * sides, pipelining, routing, refusals, 1xx. Bodies, faults, WAF and TLS have files of their own.
 */
#include "proxy/proxy_lab.h"

#include <stdio.h>

#define GET "GET /x?y=1 HTTP/1.1\r\nHost: a.example\r\n\r\n"

static void one_request(void **state)
{
    struct lab *lab = lab_new(NULL);
    struct lab_conn *c = lab_connect(lab, 80);
    lab_ask(c, "GET /x?y=1 HTTP/1.1\r\nHost: a.example:80\r\nUser-Agent: test\r\n"
               "Connection: keep-alive, X-Drop\r\nX-Drop: 1\r\nTE: trailers\r\n"
               "X-Request-Id: mine\r\nX-Forwarded-Proto: gopher\r\nUpgrade: h2c\r\n\r\n");
    expect_status(c, 200);
    expect_in(c, "\r\nContent-Length: 5\r\n");
    expect_in(c, "\r\nVia: 1.1 edge1\r\n");
    expect_in(c, "\r\n\r\nhello");
    expect_not_in(c, "Connection:");
    struct lab_conn *o = lab_origin_conn(lab, 0);
    assert_memory_equal(lab_text(o), "GET /x?y=1 HTTP/1.1\r\nHost: a.example:80\r\n", 41);
    expect_in(o, "\r\nUser-Agent: test\r\n");
    expect_in(o, "\r\nX-Forwarded-For: 192.0.2.1\r\n");
    expect_in(o, "\r\nX-Forwarded-Proto: http\r\n");
    expect_in(o, "\r\nVia: 1.1 edge1\r\n");
    expect_not_in(o, "X-Drop");
    expect_not_in(o, "TE:");
    expect_not_in(o, "Upgrade");
    expect_not_in(o, "gopher");
    expect_not_in(o, "mine");
    const char *id = strstr(lab_text(o), "X-Request-Id: ");
    assert_non_null(id);
    assert_memory_equal(strstr(lab_text(c), "X-Request-Id: "), id, 14 + 16);
    assert_int_equal(lab_count(lab, TG_C_http_requests), 1);
    assert_int_equal(lab_count(lab, TG_C_http_responses), 1);
    assert_int_equal(lab_count(lab, TG_C_http_status_2xx), 1);
    lab_end(lab);
}

static void over_ip6(void **state)
{
    struct lab *lab = lab_new(NULL);
    struct lab_origin origin = {.address = "2001:db8::3", .port = 8000};
    struct lab_site site = {"a.example", 0, 0};
    lab_use_routes(lab, &site, 1, &origin, 1, 2);
    struct lab_conn *c = lab_connect6(lab, 80);
    lab_ask(c, "GET / HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: 198.51.100.9\r\n"
               "X-Forwarded-For: 203.0.113.5, 10.0.0.1\r\n\r\n");
    expect_status(c, 200);
    expect_in(lab_origin_conn(lab, 0),
              "\r\nX-Forwarded-For: 198.51.100.9, 203.0.113.5, 10.0.0.1, 2001:db8::1\r\n");
    lab_end(lab);
}

static void both_sides_are_kept_alive(void **state)
{
    struct lab *lab = lab_new(NULL);
    struct lab_conn *c = lab_connect(lab, 80);
    for (unsigned i = 0; i < 20; i++) {
        lab_forget(c);
        lab_ask(c, GET);
        expect_status(c, 200);
    }
    assert_int_equal(lab_count(lab, TG_C_origin_connects), 1);
    assert_int_equal(lab_count(lab, TG_C_origin_reused), 19);
    assert_int_equal(lab_origin_conn(lab, 0)->served, 20);
    assert_int_equal(lab_gauges(lab).origins_idle, 1);
    assert_int_equal(lab_gauges(lab).requests, 0);
    assert_int_equal(lab_gauges(lab).clients, 1);
    lab_end(lab);
}

static void byte_by_byte(void **state)
{
    struct lab *lab = lab_new(NULL);
    struct lab_conn *c = lab_connect(lab, 80);
    c->rate = 1;
    lab_say_text(c, "POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc"
                    "POST /b HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "2\r\nde\r\n1;x=y\r\nf\r\n0\r\nT: 1\r\n\r\n" GET);
    lab_run(lab, 2 * TG_S);
    struct lab_conn *o = lab_origin_conn(lab, 0);
    assert_int_equal(o->served, 3);
    expect_in(o, "\r\nContent-Length: 3\r\n\r\nabcPOST /b");
    expect_in(o, "\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n1\r\nf\r\n0\r\n\r\nGET /x?y=1");
    assert_int_equal(lab_count(lab, TG_C_http_status_2xx), 3);
    lab_end(lab);
}

/* The origin speaks a byte at a time, too; its head and chunks come in pieces. */
static void serve_slowly(struct lab *lab, struct lab_conn *c)
{
    c->rate = 1;
    lab_serve_answer(lab, c);
}

static void origin_byte_by_byte(void **state)
{
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;e\r\nllo\r\n0\r\nA: "
        "b\r\n\r\n",
    };
    struct lab *lab = lab_new(NULL);
    struct lab_conn *c = lab_connect(lab, 80);
    lab->serve = serve_slowly;
    for (unsigned i = 0; i < 2; i++) {
        lab->answer = answers[i];
        lab_forget(c);
        lab_say_text(c, GET);
        lab_run(lab, TG_S);
        expect_status(c, 200);
        expect_in(c, i ? "\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n" : "\r\n\r\nhello");
    }
    assert_int_equal(lab_count(lab, TG_C_origin_reused), 1);
    lab_end(lab);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    struct lab *lab = lab_new(NULL);
    struct lab_conn *c = lab_connect(lab, 80);
    for (unsigned i = 0; i < 20; i++) {
        char text[64];
        snprintf(text, sizeof text, "GET /%u HTTP/1.1\r\nHost: a.example\r\n\r\n", i);
        lab_say_text(c, text);
    }
    lab_run(lab, 100 * TG_MS);
    assert_int_equal(lab_count(lab, TG_C_http_responses), 20);
    const char *at = lab_text(lab_origin_conn(lab, 0));
    for (unsigned i = 0; i < 20; i++) {
        char line[32];
        snprintf(line, sizeof line, "GET /%u HTTP/1.1\r\n", i);
        at = strstr(at, line);
        assert_non_null(at);
    }
    assert_int_equal(lab_open_count(lab, LAB_ORIGIN), 1); /* one at a time */
    lab_end(lab);
}

static void several_clients_at_once(void **state)
{
    struct lab *lab = lab_new(NULL);
    struct lab_conn *c[20];
    lab_ask(lab_connect(lab, 80), GET); /* ARP has been answered: no SYN is lost waiting for it */
    for (unsigned i = 0; i < 20; i++) {
        c[i] = lab_connect(lab, 80);
        lab_say_text(c[i], GET);
    }
    lab_run(lab, 100 * TG_MS);
    for (unsigned i = 0; i < 20; i++)
        expect_status(c[i], 200);
    assert_int_equal(lab_count(lab, TG_C_origin_connects), 20); /* one was warm */
    assert_int_equal(lab_gauges(lab).origins_idle, 20);
    lab_end(lab);
}

static void sites_have_their_origins(void **state)
{
    struct lab *lab = lab_new(NULL);
    struct lab_site sites[] = {{"*.b.example", 0, 1}, {"a.example", 0, 0}};
    struct lab_origin origins[] = {{.address = "192.0.2.3", .port = 8000},
                                   {.address = "192.0.2.3", .port = 8001}};
    lab_use_routes(lab, sites, 2, origins, 2, 2);
    struct lab_conn *c = lab_connect(lab, 80);
    lab_ask(c, "GET /1 HTTP/1.1\r\nHost: A.Example\r\n\r\n");
    expect_status(c, 200);
    lab_ask(c, "GET /2 HTTP/1.1\r\nHost: www.b.example:8080\r\n\r\n");
    assert_int_equal(lab_count(lab, TG_C_origin_connects), 2);
    expect_in(lab_origin_conn(lab, 0), "GET /1 ");
    expect_in(lab_origin_conn(lab, 1), "GET /2 ");
    expect_in(lab_origin_conn(lab, 1), "\r\nHost: www.b.example:8080\r\n");
    lab_forget(c);
    lab_ask(c, "GET /3 HTTP/1.1\r\nHost: c.example\r\n\r\n");
    expect_status(c, 404);
    assert_int_equal(lab_count(lab, TG_C_http_no_site), 1);
    lab_forget(c); /* a complete request without a site does not cost the connection */
    lab_ask(c, "GET http://a.example/4 HTTP/1.1\r\nHost: c.example\r\n\r\n");
    expect_status(c, 200);
    expect_in(lab_origin_conn(lab, 0), "GET /4 HTTP/1.1\r\nHost: a.example\r\n");
    lab_end(lab);
}

static void targets_are_sent_in_origin_form(void **state)
{
    static const char *const cases[][2] = {
        {"GET http://a.example HTTP/1.1", "GET / HTTP/1.1"},
        {"GET http://a.example?q HTTP/1.1", "GET /?q HTTP/1.1"},
        {"GET http://a.example:80/p?q? HTTP/1.1", "GET /p?q? HTTP/1.1"},
        {"GET /p? HTTP/1.1", "GET /p? HTTP/1.1"},
        {"OPTIONS * HTTP/1.1", "OPTIONS * HTTP/1.1"},
        {"OPTIONS http://a.example HTTP/1.1", "OPTIONS * HTTP/1.1"},
        {"PURGE /a%20b HTTP/1.1", "PURGE /a%20b HTTP/1.1"},
    };
    struct lab *lab = lab_new(NULL);
    struct lab_conn *c = lab_connect(lab, 80);
    for (unsigned i = 0; i < TG_ARRAY_LEN(cases); i++) {
        char text[256];
        snprintf(text, sizeof text, "%s\r\nHost: a.example\r\n\r\n", cases[i][0]);
        lab_ask(c, text);
        struct lab_conn *o = lab_origin_conn(lab, 0);
        assert_memory_equal(lab_text(o), cases[i][1], strlen(cases[i][1]));
        lab_forget(o);
    }
    lab_end(lab);
}

static void refused_heads_get_their_status(void **state)
{
    static const struct {
        const char *text;
        unsigned status;
    } cases[] = {
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\nHost: a\n\n", 400},
        {"\026\003\001\002", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
         400},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
        {"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n", 501},
        {"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
    };
    struct lab *lab = lab_new(NULL);
    for (unsigned i = 0; i < TG_ARRAY_LEN(cases); i++) {
        struct lab_conn *c = lab_connect(lab, 80);
        lab_ask(c, cases[i].text);
        expect_status(c, cases[i].status);
        expect_in(c, "\r\nX-Request-Id: ");
        expect_in(c, "\r\nDate: Tue, 11 Jun 2024 10:00:0");
        expect_in(c, "\nrequest id: ");
        if (cases[i].status != 501 || i == 4) {
            expect_in(c, "\r\nConnection: close\r\n");
            assert_true(c->peer_fin);
        }
        lab_fin(c);
        lab_run(lab, TG_S);
        assert_int_equal(c->error, TG_END); /* no RST, which could cost the answer */
    }
    assert_int_equal(lab_count(lab, TG_C_http_bad_request), TG_ARRAY_LEN(cases) - 1);
    assert_int_equal(lab_count(lab, TG_C_origin_connects), 0);
    assert_int_equal(lab_gauges(lab).clients, 0);
    lab_end(lab);
}

static void heads_over_the_limit(void **state)
{
    const char *start = "GET / HTTP/1.1\r\nHost: a.example\r\nX: ";
    struct lab *lab = lab_new(NULL);
    struct lab_conn *c = lab_connect(lab, 80);
    lab_ask(c, lab_padded(start, 30000, ""));
    expect_status(c, 431);
    assert_int_equal(lab_count(lab, TG_C_http_too_large), 1);
    c = lab_connect(lab, 80);
    lab_ask(c, lab_padded("GET /", 30000, ""));
    expect_status(c, 414);
    /* one near the limit passes, and comes out larger on the other side */
    c = lab_connect(lab, 80);
    lab_ask(c, lab_padded(start, HTTP_HEAD_BYTES_MAX - strlen(start) - 4 - 200, "\r\n\r\n"));
    expect_status(c, 200);
    lab_end(lab);
}

static void http_1_0_clients(void **state)
{
    struct lab *lab = lab_new(NULL);
    struct lab_conn *c = lab_connect(lab, 80);
    lab_ask(c, "GET / HTTP/1.0\r\n\r\n");
    expect_status(c, 200);
    expect_in(c, "\r\nConnection: close\r\n");
    expect_in(lab_origin_conn(lab, 0), "GET / HTTP/1.1\r\nHost: a.example\r\n");
    assert_true(c->peer_fin);
    c = lab_connect(lab, 80);
    lab_ask(c, "GET / HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\n\r\n");
    expect_in(c, "\r\nConnection: keep-alive\r\n");
    expect_not_in(lab_origin_conn(lab, 0), "Expect");
    assert_false(c->peer_fin);
    lab->answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    lab_forget(c);
    lab_ask(c, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"); /* no chunks for these */
    expect_status(c, 200);
    expect_not_in(c, "chunked");
    expect_in(c, "\r\nConnection: close\r\n");
    expect_in(c, "\r\n\r\nhello");
    assert_string_equal(strstr(lab_text(c), "\r\n\r\n"), "\r\n\r\nhello");
    assert_true(c->peer_fin);
    lab_end(lab);
}

static void client_asks_for_close(void **state)
{
    struct lab *lab = lab_new(NULL);
    struct lab_conn *c = lab_connect(lab, 80);
    lab_ask(c, "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n" GET);
    expect_in(c, "\r\nConnection: close\r\n");
    assert_true(c->peer_fin);
    assert_int_equal(lab_count(lab, TG_C_http_requests), 1); /* what follows is not looked at */
    assert_int_equal(lab_gauges(lab).origins_idle, 1);       /* the origin's connection lives */
    lab_fin(c);
    lab_run(lab, TG_S);
    assert_int_equal(c->error, TG_END);
    lab_end(lab);
}

static void client_ends_its_side_first(void **state)
{
    struct lab *lab = lab_new(NULL);
    struct lab_conn *c = lab_connect(lab, 80);
    lab_say_text(c, GET);
    lab_fin(c); /* half-close: it still wants the answer */
    lab_run(lab, 100 * TG_MS);
    expect_status(c, 200);
    assert_true(c->peer_fin);
    assert_int_equal(c->error, TG_END);
    assert_int_equal(lab_gauges(lab).clients, 0);
    lab_end(lab);
}

static void responses_without_a_body(void **state)
{
    struct lab *lab = lab_new(NULL);
    struct lab_conn *c = lab_connect(lab, 80);
    static const struct {
        const char *request, *answer, *want;
    } cases[] = {
        {"HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n",
         "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", "\r\nContent-Length: 1234\r\n\r\n"},
        {"HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n",
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "\r\n\r\n"},
        {GET, "HTTP/1.1 204 No Content\r\n\r\n", "\r\n\r\n"},
        {GET, "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 77\r\n\r\n",
         "\r\nContent-Length: 77\r\n\r\n"},
        {GET, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n"},
    };
    for (unsigned i = 0; i < TG_ARRAY_LEN(cases); i++) {
        lab->answer = cases[i].answer;
        lab_forget(c);
        lab_ask(c, cases[i].request);
        expect_in(c, cases[i].want);
        expect_not_in(c, "Transfer-Encoding");
        size_t n = strlen(lab_text(c)), m = strlen(cases[i].want);
        assert_string_equal(lab_text(c) + n - m, cases[i].want); /* nothing behind it */
    }
    assert_int_equal(lab_count(lab, TG_C_origin_connects), 1);
    lab_end(lab);
}

static void body_until_close(void **state)
{
    struct lab *lab = lab_new(NULL);
    struct lab_conn *c = lab_connect(lab, 80);
    lab->answer = "HTTP/1.0 200 OK\r\n\r\nhello";
    lab_say_text(c, GET);
    lab_run(lab, 100 * TG_MS);
    expect_in(c, "\r\nTransfer-Encoding: chunked\r\n");
    expect_in(c, "\r\n\r\n5\r\nhello\r\n");
    expect_not_in(c, "0\r\n\r\n");
    lab_fin(lab_origin_conn(lab, 0));
    lab_run(lab, 100 * TG_MS);
    expect_in(c, "hello\r\n0\r\n\r\n");
    assert_false(c->peer_fin); /* the client's connection is none the worse */
    assert_int_equal(lab_gauges(lab).origins, 0);
    assert_int_equal(lab_count(lab, TG_C_origin_aborted), 0);
    lab_end(lab);
}

static void informational_responses_pass(void **state)
{
    struct lab *lab = lab_new(NULL);
    struct lab_conn *c = lab_connect(lab, 80);
    lab->answer = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
                  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    lab_ask(c, GET);
    expect_status(c, 103);
    expect_in(c, "\r\nLink: </a.css>\r\n");
    expect_in(c, "HTTP/1.1 200 OK\r\n");
    expect_in(c, "\r\n\r\nhello");
    assert_int_equal(lab_count(lab, TG_C_http_status_1xx), 1);
    assert_int_equal(lab_count(lab, TG_C_http_status_2xx), 1);
    assert_int_equal(lab_count(lab, TG_C_http_responses), 1);
    lab_forget(c); /* 1.0 clients do not know them */
    lab_ask(c, "GET / HTTP/1.0\r\nHost: a.example\r\n\r\n");
    expect_status(c, 200);
    expect_not_in(c, "103");
    lab_end(lab);
}

/* The origin's own 100 goes to the client, which then sends the body. */
static void serve_continue(struct lab *lab, struct lab_conn *c)
{
    static struct http_head head;
    struct span body;
    if (c->left == 0 && strstr(lab_text(c), "\r\n\r\n")) {
        expect_in(c, "\r\nExpect: 100-continue\r\n");
        lab_say_text(c, "HTTP/1.1 100 Continue\r\n\r\n");
        c->left = 1;
    }
    if (c->left == 1 && lab_request(c, &head, &body)) {
        assert_true(span_equal(body, SPAN_LITERAL("hello")));
        lab_say_text(c, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
        c->left = 2;
    }
}

static void expectation_of_100(void **state)
{
    struct lab *lab = lab_new(NULL);
    struct lab_conn *c = lab_connect(lab, 80);
    lab->serve = serve_continue;
    lab_ask(c, "POST / HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\n"
               "Content-Length: 5\r\n\r\n");
    expect_status(c, 100);
    expect_not_in(c, "201");
    lab_ask(c, "hello");
    expect_in(c, "HTTP/1.1 201 Created\r\n");
    assert_false(c->peer_fin);
    lab_end(lab);
}

static void nobody_is_home(void **state)
{
    struct lab *lab = lab_new(NULL);
    proxy_use_routes(lab->proxy, NULL, 2);
    struct lab_conn *c = lab_connect(lab, 80);
    lab_ask(c, GET);
    expect_status(c, 404);
    assert_int_equal(proxy_oldest(lab->proxy, TABLES_ROUTES), 2);
    struct proxy_message message = {.kind = 1, .bytes = buf_alloc(&lab->node[LAB_EDGE].pool.pool)};
    assert_int_equal(proxy_message_receive(lab->proxy, &message, lab->now), TG_UNSUPPORTED);
    lab_end(lab); /* checks that the message's buffer came back */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_request),
        cmocka_unit_test(over_ip6),
        cmocka_unit_test(both_sides_are_kept_alive),
        cmocka_unit_test(byte_by_byte),
        cmocka_unit_test(origin_byte_by_byte),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(several_clients_at_once),
        cmocka_unit_test(sites_have_their_origins),
        cmocka_unit_test(targets_are_sent_in_origin_form),
        cmocka_unit_test(refused_heads_get_their_status),
        cmocka_unit_test(heads_over_the_limit),
        cmocka_unit_test(http_1_0_clients),
        cmocka_unit_test(client_asks_for_close),
        cmocka_unit_test(client_ends_its_side_first),
        cmocka_unit_test(responses_without_a_body),
        cmocka_unit_test(body_until_close),
        cmocka_unit_test(informational_responses_pass),
        cmocka_unit_test(expectation_of_100),
        cmocka_unit_test(nobody_is_home),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
