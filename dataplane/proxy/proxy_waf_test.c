/* SPDX-License-Identifier: BSD-3-Clause
 * Tests of the WAF in the proxy, with the real waf: where it looks, what a verdict does to client
 * and origin, audit records, programs that change under requests.
 */
#include "proxy/proxy_lab.h"

#include <stdio.h>

#define TRANSACTIONS 8

static const struct waf_rule rules[] = {
    {101, WAF_IN_URI, SPAN_LITERAL("union\\s+select"), SPAN_LITERAL("SQL in URI"), true},
    {102, WAF_IN_HEADERS, SPAN_LITERAL("<script"), SPAN_LITERAL("markup in a field"), true},
    {103, WAF_IN_BODY, SPAN_LITERAL("union\\s+select"), SPAN_LITERAL("SQL in a form"), true},
    {104, WAF_IN_URI, SPAN_LITERAL("/old"), SPAN_LITERAL("only watched"), false},
};

struct program {
    void *blob;
    struct waf_program *program;
};

static struct program program_make(struct lab *lab, const struct waf_rule list[], unsigned count)
{
    struct program p = {0};
    size_t len;
    unsigned bad;
    char problem[256];
    assert_int_equal(waf_compile(list, count, &p.blob, &len, &bad, problem), TG_OK);
    assert_int_equal(waf_program_open(span_make(p.blob, len), &p.program), TG_OK);
    assert_int_equal(waf_worker_prepare(lab->waf, p.program), TG_OK);
    return p;
}

static void program_free(struct lab *lab, struct program *p)
{
    assert_int_equal(waf_worker_running(lab->waf, p->program), 0);
    assert_int_equal(waf_worker_release(lab->waf, p->program), TG_OK);
    waf_program_close(p->program);
    free(p->blob);
}

static struct lab *lab_waf(void)
{
    struct lab_config config = lab_defaults();
    config.waf_transactions = TRANSACTIONS;
    struct lab *lab = lab_new(&config);
    struct lab_site sites[] = {{"a.example", TABLES_SITE_WAF | TABLES_SITE_DEFAULT, 0},
                               {"open.example", 0, 0}};
    struct lab_origin origin = {.address = "192.0.2.3", .port = 8000};
    lab_use_routes(lab, sites, 2, &origin, 1, 2);
    return lab;
}

/* The same with all the rules in force. */
static struct lab *lab_guarded(struct program *program)
{
    struct lab *lab = lab_waf();
    *program = program_make(lab, rules, 4);
    proxy_use_waf(lab->proxy, program->program, 7);
    return lab;
}

static void guarded_end(struct lab *lab, struct program *program)
{
    program_free(lab, program);
    lab_end(lab);
}

static unsigned events_take(struct lab *lab, struct event out[LAB_EVENTS])
{
    return ring_pop(lab->events, out, LAB_EVENTS);
}

static void expect_text(const char *got, uint8_t len, const char *want)
{
    assert_int_equal(len, strlen(want));
    assert_memory_equal(got, want, len);
}

static void blocked_in_the_uri(void **state)
{
    struct program program;
    struct lab *lab = lab_guarded(&program);
    struct event events[LAB_EVENTS];
    struct lab_conn *c = lab_connect(lab, 80);
    lab_ask(c, "GET /?q=1+UNION%20select+2 HTTP/1.1\r\nHost: a.example\r\n\r\n");
    expect_status(c, 403);
    assert_int_equal(lab_count(lab, TG_C_origin_connects), 0);
    assert_int_equal(lab_count(lab, TG_C_waf_inspected), 1);
    assert_int_equal(lab_count(lab, TG_C_waf_blocked), 1);
    assert_int_equal(events_take(lab, events), 1);
    const struct event *e = &events[0];
    assert_int_equal(e->kind, EVENT_WAF);
    assert_int_equal(e->rule_id, 101);
    assert_int_equal(e->status, 403);
    assert_int_equal(e->blocked, 1);
    assert_int_equal(e->where, WAF_IN_URI);
    assert_in_range(e->wall_ns, LAB_WALL * TG_S, (LAB_WALL + 1) * TG_S);
    assert_memory_equal(e->client, test_addr("192.0.2.1").bytes, 16);
    assert_int_not_equal(e->client_port, 0);
    expect_text(e->method, e->method_len, "GET");
    expect_text(e->host, e->host_len, "a.example");
    expect_text(e->target, e->target_len, "/?q=1+UNION%20select+2");
    expect_text(e->message, e->message_len, "SQL in URI");
    char id[64]; /* the client can tell which line is its own */
    snprintf(id, sizeof id, "\r\nX-Request-Id: %016llx\r\n", (unsigned long long)e->request_id);
    expect_in(c, id);
    snprintf(id, sizeof id, "\nrequest id: %016llx\n", (unsigned long long)e->request_id);
    expect_in(c, id);
    lab_forget(c); /* the connection is as good as before */
    lab_ask(c, "GET /?q=onions HTTP/1.1\r\nHost: a.example\r\n\r\n");
    expect_status(c, 200);
    assert_int_equal(events_take(lab, events), 0);
    guarded_end(lab, &program);
}

static void blocked_in_a_field_and_open_sites(void **state)
{
    struct program program;
    struct lab *lab = lab_guarded(&program);
    struct lab_conn *c = lab_connect(lab, 80);
    lab_ask(c, "GET / HTTP/1.1\r\nHost: a.example\r\nReferer: <SCRIPT>\r\n\r\n");
    expect_status(c, 403);
    lab_forget(c);
    lab_ask(c, "GET / HTTP/1.1\r\nHost: open.example\r\nReferer: <SCRIPT>\r\n\r\n");
    expect_status(c, 200); /* that site does not want it */
    assert_int_equal(lab_count(lab, TG_C_waf_inspected), 1);
    guarded_end(lab, &program);
}

static void detected_only(void **state)
{
    struct program program;
    struct lab *lab = lab_guarded(&program);
    struct event events[LAB_EVENTS];
    struct lab_conn *c = lab_connect(lab, 80);
    lab_ask(c, "GET /old HTTP/1.1\r\nHost: a.example\r\n\r\n");
    expect_status(c, 200);
    assert_int_equal(lab_count(lab, TG_C_waf_detected), 1);
    assert_int_equal(lab_count(lab, TG_C_waf_blocked), 0);
    assert_int_equal(events_take(lab, events), 1);
    assert_int_equal(events[0].rule_id, 104);
    assert_int_equal(events[0].status, 0);
    assert_int_equal(events[0].blocked, 0);
    guarded_end(lab, &program);
}

#define FORM "Host: a.example\r\nContent-Type: application/x-www-form-urlencoded\r\n"

static void blocked_in_the_body(void **state)
{
    static const char *const requests[] = {
        "POST / HTTP/1.1\r\n" FORM "Content-Length: 28\r\n\r\na=b&q=1+union+select+2&c=defg",
        "POST / HTTP/1.1\r\n" FORM "Content-Length: 18\r\n\r\nq=1%20union+select", /* at its end */
        "POST / HTTP/1.1\r\n" FORM "Transfer-Encoding: chunked\r\n\r\n"
        "5\r\na=b&q\r\n7\r\n=1+unio\r\nc\r\nn+select+2&c\r\n0\r\n\r\n",
    };
    for (unsigned i = 0; i < 2 * TG_ARRAY_LEN(requests); i++) {
        struct program program;
        struct lab *lab = lab_guarded(&program);
        struct event events[LAB_EVENTS];
        struct lab_conn *c = lab_connect(lab, 80);
        c->rate = i % 2; /* at once, and byte by byte */
        lab_say_text(c, requests[i / 2]);
        lab_run(lab, TG_S);
        expect_status(c, 403);
        assert_int_equal(lab_origin_served(lab), 0); /* no complete request has come */
        assert_int_equal(lab_gauges(lab).origins, 0);
        assert_int_equal(lab_count(lab, TG_C_waf_blocked), 1);
        assert_int_equal(events_take(lab, events), 1);
        assert_int_equal(events[0].rule_id, 103);
        assert_int_equal(events[0].where, WAF_IN_BODY);
        guarded_end(lab, &program);
    }
}

static void clean_bodies_pass(void **state)
{
    struct program program;
    struct lab *lab = lab_guarded(&program);
    struct lab_conn *c = lab_connect(lab, 80);
    for (unsigned i = 0; i < 20; i++) { /* more than there are transactions: they come back */
        lab_forget(c);
        lab_ask(c, "POST / HTTP/1.1\r\n" FORM "Content-Length: 22\r\n\r\na=b&q=select+a+union&c");
        expect_status(c, 200);
    }
    assert_int_equal(lab_count(lab, TG_C_waf_inspected), 20);
    assert_int_equal(lab_origin_conn(lab, 0)->served, 20);
    assert_int_equal(lab_count(lab, TG_C_origin_connects), 1);
    guarded_end(lab, &program);
}

static void refused_heads_are_inspected(void **state)
{
    struct program program;
    struct lab *lab = lab_guarded(&program);
    struct event events[LAB_EVENTS];
    struct lab_conn *c = lab_connect(lab, 80);
    lab_ask(c, "GET /?q=1%20union%20select HTTP/1.1\r\nHost: a.example\r\nBad Name: x\r\n\r\n");
    expect_status(c, 403);
    assert_true(c->peer_fin);
    assert_int_equal(events_take(lab, events), 1);
    c = lab_connect(lab, 80);
    lab_ask(c, "GET / HTTP/1.1\r\nHost: a.example\r\nBad Name: x\r\n\r\n");
    expect_status(c, 400);
    assert_int_equal(lab_count(lab, TG_C_http_bad_request), 2);
    assert_int_equal(lab_count(lab, TG_C_waf_inspected), 2);
    c = lab_connect(lab, 80); /* a site that wants none of it */
    lab_ask(c, "GET /?1%20union%20select HTTP/1.1\r\nHost: open.example:80\r\nBad Name: x\r\n\r\n");
    expect_status(c, 400);
    assert_int_equal(lab_count(lab, TG_C_waf_inspected), 2);
    c = lab_connect(lab, 80); /* the error comes before any host does */
    lab_ask(c, "GET /?1%20union%20select HTTP/1.1\r\nBad Name: x\r\n\r\n");
    expect_status(c, 403);
    guarded_end(lab, &program);
}

static void no_room_for_a_transaction(void **state)
{
    struct program program;
    struct lab *lab = lab_guarded(&program);
    lab->serve = NULL;
    for (unsigned i = 0; i < TRANSACTIONS; i++)
        lab_ask(lab_connect(lab, 80), "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    struct lab_conn *c = lab_connect(lab, 80);
    lab_ask(c, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    expect_status(c, 503); /* not uninspected */
    assert_int_equal(lab_count(lab, TG_C_proxy_full), 1);
    lab->serve = lab_serve_answer;
    lab_run(lab, TG_S);
    lab_forget(c);
    lab_ask(c, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    expect_status(c, 200);
    guarded_end(lab, &program);
}

static void full_ring_loses_lines_not_requests(void **state)
{
    struct program program;
    struct lab *lab = lab_guarded(&program);
    struct event events[LAB_EVENTS];
    struct lab_conn *c = lab_connect(lab, 80);
    for (unsigned i = 0; i < LAB_EVENTS + 6; i++) {
        lab_forget(c);
        lab_ask(c, "GET /?union+select HTTP/1.1\r\nHost: a.example\r\n\r\n");
        expect_status(c, 403);
    }
    assert_int_equal(lab_count(lab, TG_C_waf_audit_lost), 6);
    assert_int_equal(events_take(lab, events), LAB_EVENTS);
    guarded_end(lab, &program);
}

/* A request keeps its program; the proxy says which one is the oldest in use. */
static void programs_change_under_requests(void **state)
{
    struct lab *lab = lab_waf();
    struct program strict = program_make(lab, rules, 4), lax = program_make(lab, rules, 0);
    proxy_use_waf(lab->proxy, strict.program, 7);
    assert_int_equal(proxy_oldest(lab->proxy, TABLES_WAF), 7);
    struct lab_conn *c = lab_connect(lab, 80), *d = lab_connect(lab, 80);
    lab_ask(c, "POST / HTTP/1.1\r\n" FORM "Content-Length: 16\r\n\r\nq=1+union");
    proxy_use_waf(lab->proxy, lax.program, 8);
    assert_int_equal(proxy_oldest(lab->proxy, TABLES_WAF), 7);
    lab_ask(d, "GET /?union+select HTTP/1.1\r\nHost: a.example\r\n\r\n");
    expect_status(d, 200); /* the new one knows no rules */
    lab_ask(c, "+select");
    expect_status(c, 403); /* the old one does */
    assert_int_equal(proxy_oldest(lab->proxy, TABLES_WAF), 8);
    program_free(lab, &strict);
    proxy_use_waf(lab->proxy, NULL, 9); /* none at all */
    assert_int_equal(proxy_oldest(lab->proxy, TABLES_WAF), 9);
    lab_forget(d);
    lab_ask(d, "GET /?union+select HTTP/1.1\r\nHost: a.example\r\n\r\n");
    expect_status(d, 200);
    program_free(lab, &lax);
    lab_end(lab);
}

/* A long download does not pin the program that its request was inspected with. */
static void downloads_let_go_of_old_programs(void **state)
{
    struct lab *lab = lab_waf();
    struct program old = program_make(lab, rules, 4), new = program_make(lab, rules, 4);
    proxy_use_waf(lab->proxy, old.program, 7);
    lab->answer = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc";
    struct lab_conn *c = lab_connect(lab, 80);
    lab_ask(c, "GET /old HTTP/1.1\r\nHost: a.example\r\n\r\n");
    expect_in(c, "abc");
    proxy_use_waf(lab->proxy, new.program, 8);
    assert_int_equal(proxy_oldest(lab->proxy, TABLES_WAF), 8);
    program_free(lab, &old);
    assert_int_equal(lab_count(lab, TG_C_waf_detected), 1); /* its findings are not lost */
    lab_reset(c);
    lab_run(lab, TG_S);
    program_free(lab, &new);
    lab_end(lab);
}

static void many_programs(void **state)
{
    struct lab *lab = lab_waf();
    struct lab_conn *c = lab_connect(lab, 80);
    struct program current = program_make(lab, rules, 4);
    proxy_use_waf(lab->proxy, current.program, 1);
    for (uint64_t n = 2; n < 52; n++) {
        struct program next = program_make(lab, rules, 4);
        lab_say_text(c, "GET /?union+select HTTP/1.1\r\nHost: a.example\r\n\r\n");
        lab_run(lab, TG_MS);
        proxy_use_waf(lab->proxy, next.program, n);
        lab_run(lab, 50 * TG_MS);
        assert_int_equal(proxy_oldest(lab->proxy, TABLES_WAF), n);
        program_free(lab, &current);
        current = next;
    }
    assert_int_equal(lab_count(lab, TG_C_waf_blocked), 50);
    program_free(lab, &current);
    lab_end(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocked_in_the_uri),
        cmocka_unit_test(blocked_in_a_field_and_open_sites),
        cmocka_unit_test(detected_only),
        cmocka_unit_test(blocked_in_the_body),
        cmocka_unit_test(clean_bodies_pass),
        cmocka_unit_test(refused_heads_are_inspected),
        cmocka_unit_test(no_room_for_a_transaction),
        cmocka_unit_test(full_ring_loses_lines_not_requests),
        cmocka_unit_test(programs_change_under_requests),
        cmocka_unit_test(downloads_let_go_of_old_programs),
        cmocka_unit_test(many_programs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
