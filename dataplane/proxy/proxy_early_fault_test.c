/* SPDX-License-Identifier: BSD-3-Clause
 * Tests of early data when something goes another way: origins that say 425, clients that never finish, leave or
 * break TLS, marks of other hops, the WAF, no memory.
 */
#include "proxy/early_lab.h"

#include <stdio.h>

#define GET   "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
#define POST  "POST /p HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello"
#define HINTS "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
#define LONG  "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5000\r\n\r\n"
#define EARLY "\r\nEarly-Data: 1\r\n"

/* --- 425 -------------------------------------------------------------------------------------- */

static const char *refusal = "HTTP/1.1 425 Too Early\r\nContent-Length: 4\r\n\r\nwait";
static bool always; /* whether marked or not */

static void serve_425(struct lab *lab, struct lab_conn *c)
{
    static struct http_head head;
    struct span body;
    while (!c->closed && lab_request(c, &head, &body)) {
        bool marked = http_field_find(&head.view, SPAN_LITERAL("early-data"), 0) >= 0;
        c->served++;
        c->rate = marked ? lab->arg : 0;
        lab_say_text(c, marked || always ? refusal : lab->answer);
    }
    if (c->peer_fin)
        lab_fin(c);
}

static struct early_fixture fixture_425(void)
{
    struct early_fixture f = early_fixture_make(NULL);
    f.lab->serve = serve_425;
    always = false;
    return f;
}

static void too_early_is_asked_again_after_finished(void **state)
{
    static const char *const refusals[] = {
        "HTTP/1.1 425 Too Early\r\nContent-Length: 4\r\n\r\nwait",
        "HTTP/1.1 425 Too Early\r\nContent-Length: 0\r\n\r\n",
        HINTS "HTTP/1.1 425 Too Early\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 425 Too Early\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwait\r\n0\r\n\r\n",
        "HTTP/1.1 425 Too Early\r\nContent-Length: 100\r\n\r\nwait", /* never whole */
        "HTTP/1.1 425 Too Early\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 425 Too Early\r\nContent-Length: 0\r\n\r\n",
    };
    for (unsigned i = 0; i < TG_ARRAY_LEN(refusals); i++) {
        struct early_fixture f = fixture_425();
        struct early_client e;
        refusal = refusals[i];
        if (i == 6)
            f.lab->arg = 1; /* it drips */
        early_begin(f.lab, &e, f.session, GET);
        lab_run(f.lab, TG_S); /* never on its own while still early */
        early_look(&e);
        assert_int_equal(lab_origin_served(f.lab), 1);
        assert_null(strstr(early_text(&e), "425"));
        assert_null(strstr(early_text(&e), "200"));
        assert_int_equal(lab_count(f.lab, TG_C_http_early_425), 1);
        lab_forget(lab_origin_conn(f.lab, 0));
        early_go_on(&e);
        assert_int_equal(lab_origin_served(f.lab), 2);
        early_expect(&e, "HTTP/1.1 200 OK\r\n");
        assert_null(strstr(early_text(&e), "425"));
        bool kept = i <= 2;
        assert_int_equal(lab_count(f.lab, TG_C_origin_connects), kept ? 1 : 2);
        expect_not_in(lab_origin_conn(f.lab, kept ? 0 : 1), "Early-Data");
        assert_int_equal(lab_count(f.lab, TG_C_http_early_executed), 1);
        early_say(&e, GET); /* the connection is whole */
        assert_int_equal(lab_origin_served(f.lab), 3);
        early_end(&e);
        early_fixture_end(&f);
    }
}

static void asked_again_once_only(void **state)
{
    struct early_fixture f = fixture_425();
    struct early_client e;
    refusal = "HTTP/1.1 425 Too Early\r\nContent-Length: 0\r\n\r\n";
    always = true;
    early_begin(f.lab, &e, f.session, GET);
    early_go_on(&e);
    lab_run(f.lab, TG_S);
    assert_int_equal(lab_origin_served(f.lab), 2);
    early_expect(&e, "HTTP/1.1 425 ");
    early_end(&e);
    early_fixture_end(&f);
}

/* A mark that another hop has set stays, once, and its 425 is the other hop's business. */
static void marks_of_another_hop(void **state)
{
    static const char *const requests[] = {
        "GET / HTTP/1.1\r\nHost: a.example\r\nEarly-Data: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example\r\nearly-data: 7\r\nEarly-Data: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Early-Data\r\nEarly-Data: 1\r\n\r\n",
    };
    for (unsigned early = 0; early < 2; early++) {
        for (unsigned i = 0; i < TG_ARRAY_LEN(requests); i++) {
            struct early_fixture f = fixture_425();
            struct early_client e;
            refusal = "HTTP/1.1 425 Too Early\r\nContent-Length: 0\r\n\r\n";
            early_begin(f.lab, &e, f.session, early ? requests[i] : "\r\n");
            if (!early) {
                early_go_on(&e);
                early_say(&e, requests[i]);
            }
            early_expect(&e, "HTTP/1.1 425 ");
            early_go_on(&e);
            assert_int_equal(lab_origin_served(f.lab), 1);
            assert_int_equal(lab_count(f.lab, TG_C_http_early_425), 0);
            const char *seen = lab_text(lab_origin_conn(f.lab, 0));
            const char *mark = strstr(seen, EARLY);
            assert_non_null(mark);
            assert_null(strcasestr(mark + 4, "early-data"));
            assert_null(strcasestr(seen, "early-data: 7"));
            early_end(&e);
            early_fixture_end(&f);
        }
    }
}

/* --- the handshake that never ends ------------------------------------------------------------ */

static void never_finished(void **state)
{
    const char *const flights[] = {lab_padded(LONG, 5000, ""),
                                   GET,
                                   POST,
                                   GET POST,
                                   "GET / HT",
                                   "nonsense\r\n\r\n",
                                   "GET / HTTP/1.1\r\nHost: a.example\r\n"
                                   "Connection: close\r\n\r\n"};
    for (unsigned i = 0; i < TG_ARRAY_LEN(flights); i++) {
        struct early_fixture f = early_fixture_make(NULL);
        struct early_client e;
        early_begin(f.lab, &e, f.session, flights[i]);
        lab_run(f.lab, 1900 * TG_MS);
        assert_false(e.c->closed);
        assert_int_equal(lab_gauges(f.lab).clients, 1);
        lab_run(f.lab, 100 * TG_MS);
        assert_true(e.c->closed);
        assert_int_equal(lab_gauges(f.lab).clients, 0);
        assert_int_equal(lab_gauges(f.lab).requests, 0);
        assert_int_equal(lab_count(f.lab, TG_C_proxy_client_timeout), 1);
        assert_int_equal(lab_count(f.lab, TG_C_tls_handshakes_failed), 1);
        assert_int_equal(lab_origin_served(f.lab), strncmp(flights[i], GET, 16) == 0);
        early_end(&e);
        early_fixture_end(&f);
    }
}

static void serve_never(struct lab *lab, struct lab_conn *c)
{
}

/* With the request at the origin: the deadline takes it back from there too. */
static void never_finished_with_a_slow_origin(void **state)
{
    struct early_fixture f = early_fixture_make(NULL);
    struct early_client e;
    f.lab->serve = serve_never;
    early_begin(f.lab, &e, f.session, GET);
    assert_int_equal(lab_gauges(f.lab).origins, 1);
    lab_run(f.lab, 2 * TG_S);
    assert_true(e.c->closed);
    assert_int_equal(lab_gauges(f.lab).origins, 0);
    early_end(&e);
    early_fixture_end(&f);
}

/* Finished comes while the origin thinks: the request's time goes on as ever. */
static void finished_while_the_origin_thinks(void **state)
{
    struct early_fixture f = early_fixture_make(NULL);
    struct early_client e;
    f.lab->serve = serve_never;
    early_begin(f.lab, &e, f.session, GET);
    early_go_on(&e);
    lab_run(f.lab, 30 * TG_S); /* longer than the handshake may take, shorter than the answer may */
    assert_false(e.c->closed);
    f.lab->serve = lab_serve_answer;
    lab_run(f.lab, TG_S);
    early_look(&e);
    early_expect(&e, "HTTP/1.1 200 OK\r\n");
    lab_run(f.lab, 80 * TG_S); /* idle: closed in order by the keep-alive deadline, not aborted */
    assert_true(e.c->peer_fin);
    early_end(&e);
    early_fixture_end(&f);
}

/* What waits for Finished has the handshake's time, however short that of a head is. */
static void waits_longer_than_a_head_may_take(void **state)
{
    struct lab_config config = lab_defaults();
    config.proxy.head_timeout = 300 * TG_MS;
    struct early_fixture f = early_fixture_make(&config);
    struct early_client e;
    early_begin(f.lab, &e, f.session, POST);
    lab_run(f.lab, TG_S);
    assert_int_equal(lab_count(f.lab, TG_C_proxy_client_timeout), 0);
    early_go_on(&e);
    early_expect(&e, "HTTP/1.1 200 OK\r\n");
    early_end(&e);
    early_fixture_end(&f);
}

/* After Finished a connection that is between two requests lives on, past what the handshake might have taken. */
static void finished_between_requests(void **state)
{
    struct early_fixture f = early_fixture_make(NULL);
    struct early_client e;
    early_begin(f.lab, &e, f.session, GET);
    early_go_on(&e);
    lab_run(f.lab, 10 * TG_S);
    assert_false(e.c->closed || e.c->peer_fin);
    early_say(&e, GET);
    assert_int_equal(lab_origin_served(f.lab), 2);
    early_end(&e);
    early_fixture_end(&f);
}

static void client_leaves(void **state)
{
    static const char *const flights[] = {GET, POST};
    for (unsigned i = 0; i < 6; i++) {
        struct early_fixture f = early_fixture_make(NULL);
        struct early_client e;
        f.lab->serve = i >= 4 ? serve_never : lab_serve_answer;
        early_begin(f.lab, &e, f.session, flights[i % 2]);
        if (i % 4 < 2)
            lab_reset(e.c);
        else
            lab_fin(e.c);
        lab_run(f.lab, 100 * TG_MS);
        assert_int_equal(lab_gauges(f.lab).clients, 0);
        assert_int_equal(lab_gauges(f.lab).requests, 0);
        if (i % 2)
            assert_int_equal(lab_count(f.lab, TG_C_origin_connects), 0);
        early_end(&e);
        early_fixture_end(&f);
    }
}

/* A record that does not decrypt, while the early request is answered, waits, or is at the origin. */
static void broken_handshake(void **state)
{
    static const char *const flights[] = {GET, POST, GET};
    static const uint8_t record[5 + 32] = {0x17, 3, 3, 0, 32};
    for (unsigned i = 0; i < TG_ARRAY_LEN(flights); i++) {
        struct early_fixture f = early_fixture_make(NULL);
        struct early_client e;
        if (i == 2)
            f.lab->serve = serve_never;
        early_begin(f.lab, &e, f.session, flights[i]);
        lab_say(e.c, span_make(record, sizeof record));
        lab_run(f.lab, 100 * TG_MS);
        assert_true(e.c->peer_fin);
        assert_int_equal(lab_gauges(f.lab).requests, 0);
        assert_int_equal(lab_gauges(f.lab).origins - lab_gauges(f.lab).origins_idle, 0);
        assert_int_equal(lab_count(f.lab, TG_C_tls_handshakes_failed), 1);
        assert_int_equal(lab_origin_served(f.lab), i == 0);
        early_end(&e);
        early_fixture_end(&f);
    }
}

/* --- the rest --------------------------------------------------------------------------------- */

static void inspected_as_any_other(void **state)
{
    static const struct waf_rule rule = {101, WAF_IN_URI, SPAN_LITERAL("union\\s+select"),
                                         SPAN_LITERAL("SQL in URI"), true};
    struct lab_config config = lab_defaults();
    config.waf_transactions = 8;
    struct early_fixture f = early_fixture_make(&config);
    struct lab_site site = {"a.example", TABLES_SITE_WAF | TABLES_SITE_DEFAULT, 0};
    struct lab_origin origin = {.address = "192.0.2.3", .port = 8000};
    struct waf_program *program;
    struct event events[LAB_EVENTS];
    struct early_client e;
    void *blob;
    size_t len;
    unsigned bad;
    char problem[256];
    lab_use_routes(f.lab, &site, 1, &origin, 1, 2);
    assert_int_equal(waf_compile(&rule, 1, &blob, &len, &bad, problem), TG_OK);
    assert_int_equal(waf_program_open(span_make(blob, len), &program), TG_OK);
    assert_int_equal(waf_worker_prepare(f.lab->waf, program), TG_OK);
    proxy_use_waf(f.lab->proxy, program, 7);
    f.lab->serve = serve_425; /* asked again: still one inspection */
    refusal = "HTTP/1.1 425 Too Early\r\nContent-Length: 0\r\n\r\n";
    always = false;
    early_begin(f.lab, &e, f.session,
                "GET /?q=union+select HTTP/1.1\r\nHost: a.example\r\n\r\n" GET POST);
    early_expect(&e, "HTTP/1.1 403 ");
    assert_int_equal(ring_pop(f.lab->events, events, LAB_EVENTS), 1);
    assert_int_equal(events[0].status, 403);
    assert_int_equal(events[0].early, 1);
    assert_int_equal(lab_origin_served(f.lab), 1); /* the one behind it is clean */
    early_go_on(&e);
    early_expect(&e, "\r\n\r\nhello");
    assert_int_equal(lab_origin_served(f.lab), 3);
    assert_int_equal(lab_count(f.lab, TG_C_waf_inspected), 3);
    early_say(&e, "GET /?q=union+select HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_int_equal(ring_pop(f.lab->events, events, LAB_EVENTS), 1);
    assert_int_equal(events[0].early, 0);
    early_end(&e);
    lab_run(f.lab, 4 * TG_S);
    assert_int_equal(waf_worker_release(f.lab->waf, program), TG_OK);
    waf_program_close(program);
    free(blob);
    early_fixture_end(&f);
}

/* A pooled origin connection that dies under an early request: once more, still marked. */
static void serve_then_leave(struct lab *lab, struct lab_conn *c)
{
    static struct http_head head;
    struct span body;
    while (!c->closed && lab_request(c, &head, &body)) {
        if (c->served++ == 0 || lab->arg++ > 0)
            lab_say_text(c, lab->answer);
        else
            lab_reset(c);
    }
}

static void early_retry_on_a_fresh_connection(void **state)
{
    struct early_fixture f = early_fixture_make(NULL);
    struct early_client e;
    f.lab->serve = serve_then_leave;
    struct lab_conn *first = lab_connect(f.lab, 80);
    lab_ask(first, GET); /* warms one */
    early_begin(f.lab, &e, f.session, GET);
    early_expect(&e, "HTTP/1.1 200 OK\r\n");
    assert_int_equal(lab_count(f.lab, TG_C_origin_retries), 1);
    expect_in(lab_origin_conn(f.lab, 1), EARLY);
    assert_int_equal(lab_count(f.lab, TG_C_http_early_executed), 1);
    early_end(&e);
    early_fixture_end(&f);
}

/* A first flight at an edge that has `frames` frames for 20 ms. Returns whether TLS had taken early data by then
 * that nobody could read. */
static bool starved_once(const char *text, unsigned frames, bool early)
{
    struct early_fixture f = early_fixture_make(NULL);
    struct test_pool *pool = &f.lab->node[LAB_EDGE].pool;
    struct test_bytes flight = {0};
    struct early_client e = {.c = lab_connect(f.lab, 443)};
    struct buf *cached[256];
    unsigned n = 0;
    early_flight(&e.peer, f.session, text, &flight);
    lab_run(f.lab, 10 * TG_MS);
    pool->limit = pool->outstanding;
    while ((cached[n] = buf_alloc(&pool->pool)))
        tg_assert(++n < TG_ARRAY_LEN(cached));
    pool->limit += frames;
    lab_say(e.c, test_bytes_span(&flight));
    lab_run(f.lab, 20 * TG_MS);
    bool hit =
        lab_count(f.lab, TG_C_tls_early_accepted) == 1 && lab_count(f.lab, TG_C_http_requests) == 0;
    pool->limit = UINT32_MAX;
    while (n > 0)
        buf_unref(&pool->pool, cached[--n]);
    lab_run(f.lab, 1500 * TG_MS); /* the flight may have been dropped: sent again */
    assert_int_equal(lab_origin_served(f.lab), early);
    early_look(&e);
    early_go_on(&e);
    assert_int_equal(lab_origin_served(f.lab), 1);
    early_expect(&e, "HTTP/1.1 200 OK\r\n");
    test_bytes_free(&flight);
    early_end(&e);
    early_fixture_end(&f);
    return hit;
}

/* No frame to keep early data in: it stays in TCP until there is one. */
static void starved(void **state)
{
    bool hit = false;
    for (unsigned frames = 0; frames < 6; frames++) {
        hit |= starved_once(GET, frames, true);
        starved_once(POST, frames, false);
    }
    assert_true(hit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(too_early_is_asked_again_after_finished),
        cmocka_unit_test(asked_again_once_only),
        cmocka_unit_test(marks_of_another_hop),
        cmocka_unit_test(never_finished),
        cmocka_unit_test(never_finished_with_a_slow_origin),
        cmocka_unit_test(finished_while_the_origin_thinks),
        cmocka_unit_test(waits_longer_than_a_head_may_take),
        cmocka_unit_test(finished_between_requests),
        cmocka_unit_test(client_leaves),
        cmocka_unit_test(broken_handshake),
        cmocka_unit_test(inspected_as_any_other),
        cmocka_unit_test(early_retry_on_a_fresh_connection),
        cmocka_unit_test(starved),
    };
    return cmocka_run_group_tests(tests, early_lab_set_up, early_lab_tear_down);
}
