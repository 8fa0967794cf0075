/* SPDX-License-Identifier: BSD-3-Clause
 * Tests of the proxy, plain HTTP: what reaches the origin, what comes back, keep-alive on both sides,
 * pipelining, routing, refusals.
 */
#include "proxy/proxy_lab.h"

#define GET "GET /x?y=1 HTTP/1.1\r\nHost: a.example\r\n\r\n"

static void one_request(void **state)
{
    struct lab *lab = lab_new(NULL);
    struct lab_conn *c = lab_connect(lab, 80);
    lab_ask(c, "GET /x?y=1 HTTP/1.1\r\nHost: a.example:80\r\nUser-Agent: test\r\n"
               "Connection: keep-alive, X-Drop\r\nX-Drop: 1\r\nTE: trailers\r\n"
               "X-Request-Id: mine\r\nX-Forwarded-Proto: gopher\r\n\r\n");
    expect_status(c, 200);
    expect_in(c, "\r\nContent-Length: 5\r\n");
    expect_in(c, "\r\nVia: 1.1 edge1\r\n");
    expect_in(c, "\r\nX-Request-Id: ");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_request),
        cmocka_unit_test(both_sides_are_kept_alive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
