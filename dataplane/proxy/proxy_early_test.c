/* SPDX-License-Identifier: BSD-3-Clause
 * Tests of early data through the proxy, with real TLS: what runs before the client's Finished, what waits, what
 * the origin learns, what a repeated first flight does, and clients that never finish.
 */
#include "proxy/early_lab.h"

#include <stdio.h>

#define GET   "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
#define POST  "POST /p HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello"
#define EARLY "\r\nEarly-Data: 1\r\n"

static unsigned handshakes(const struct early_fixture *f)
{
    return (unsigned)lab_count(f->lab, TG_C_tls_handshakes) - 1; /* without the ticket's */
}

static void early_get_is_answered_before_finished(void **state)
{
    struct early_fixture f = early_fixture_make(NULL);
    struct early_client e;
    early_begin(f.lab, &e, f.session, GET);
    early_expect(&e, "HTTP/1.1 200 OK\r\n");
    early_expect(&e, "\r\n\r\nhello");
    assert_int_equal(handshakes(&f), 0); /* the client's Finished is still with the client */
    assert_int_equal(lab_count(f.lab, TG_C_tls_early_accepted), 1);
    assert_int_equal(lab_count(f.lab, TG_C_http_early_executed), 1);
    assert_int_equal(lab_count(f.lab, TG_C_http_early_waited), 0);
    expect_in(lab_origin_conn(f.lab, 0), EARLY);
    early_go_on(&e);
    assert_int_equal(handshakes(&f), 1);
    assert_int_equal(SSL_get_early_data_status(e.peer.ssl), SSL_EARLY_DATA_ACCEPTED);
    lab_forget(lab_origin_conn(f.lab, 0));
    early_say(&e, GET);
    assert_int_equal(lab_origin_served(f.lab), 2);
    expect_not_in(lab_origin_conn(f.lab, 0), "Early-Data");
    assert_int_equal(lab_count(f.lab, TG_C_http_early_executed), 1);
    early_end(&e);
    early_fixture_end(&f);
}

static void what_may_run_early(void **state)
{
    static const struct {
        const char *request;
        bool early;
    } cases[] = {
        {"HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n", true},
        {"OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n", true},
        {POST, false},
        {"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n", false},
        {"PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\nx", false},
        {"DELETE / HTTP/1.1\r\nHost: a.example\r\n\r\n", false},
        {"PATCH / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\nx", false},
        {"BREW / HTTP/1.1\r\nHost: a.example\r\n\r\n", false},
        {"get / HTTP/1.1\r\nHost: a.example\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\nx", false},
        {"GET / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false},
    };
    for (unsigned i = 0; i < TG_ARRAY_LEN(cases); i++) {
        struct early_fixture f = early_fixture_make(NULL);
        struct early_client e;
        f.lab->answer = "HTTP/1.1 204 No Content\r\n\r\n";
        early_begin(f.lab, &e, f.session, cases[i].request);
        if (lab_origin_served(f.lab) != cases[i].early)
            fail_msg("before Finished: %s", cases[i].request);
        lab_run(f.lab, 500 * TG_MS);
        assert_int_equal(lab_origin_served(f.lab), cases[i].early);
        assert_int_equal(lab_count(f.lab, TG_C_origin_connects), cases[i].early);
        assert_int_equal(lab_count(f.lab, TG_C_http_early_waited), !cases[i].early);
        early_go_on(&e);
        assert_int_equal(lab_origin_served(f.lab), 1);
        early_expect(&e, "HTTP/1.1 204 ");
        if (!cases[i].early)
            expect_not_in(lab_origin_conn(f.lab, 0), "Early-Data");
        early_end(&e);
        early_fixture_end(&f);
    }
}

/* An attacker has the flight and sends it as often as he likes. */
static void replayed_flight_runs_once(void **state)
{
    static const char *const requests[] = {GET, POST};
    for (unsigned r = 0; r < 2; r++) {
        struct early_fixture f = early_fixture_make(NULL);
        struct test_peer peer;
        struct test_bytes flight = {0};
        early_flight(&peer, f.session, requests[r], &flight);
        for (unsigned i = 0; i < 100; i++) {
            struct lab_conn *c = lab_connect(f.lab, 443);
            lab_say(c, test_bytes_span(&flight));
            lab_run(f.lab, 10 * TG_MS);
            if (i % 2)
                lab_reset(c);
            else
                lab_fin(c);
            lab_run(f.lab, 5 * TG_MS);
        }
        lab_run(f.lab, 3 * TG_S);
        assert_int_equal(lab_origin_served(f.lab), r == 0);
        assert_int_equal(lab_count(f.lab, TG_C_tls_early_accepted), 1);
        assert_int_equal(lab_count(f.lab, TG_C_tls_early_replayed), 99);
        assert_int_equal(lab_gauges(f.lab).clients, 0);
        test_peer_free(&peer);
        test_bytes_free(&flight);
        early_fixture_end(&f);
    }
}

/* The client's own case after a lost answer: refused 0-RTT is sent again in 1-RTT by the same connection. */
static void refused_client_goes_on(struct early_client *e)
{
    early_go_on(e);
    assert_int_equal(SSL_get_early_data_status(e->peer.ssl), SSL_EARLY_DATA_REJECTED);
    assert_true(SSL_session_reused(e->peer.ssl));
    early_say(e, GET);
    early_expect(e, "HTTP/1.1 200 OK\r\n");
}

/* Two nodes with the fleet's ticket keys: the ticket resumes at the other, the flight counts only here. */
static void flight_at_another_node_is_not_run(void **state)
{
    struct early_fixture f = early_fixture_make(NULL);
    struct early_node other = early_node_make(2, LAB_WALL - 100);
    struct test_peer peer;
    struct test_bytes flight = {0};
    struct early_client e;
    early_flight(&peer, f.session, GET, &flight);
    early_use(f.lab, &other, EARLY_MAX);
    for (unsigned i = 0; i < 20; i++) {
        struct lab_conn *c = lab_connect(f.lab, 443);
        lab_say(c, test_bytes_span(&flight));
        lab_run(f.lab, 10 * TG_MS);
        lab_reset(c);
    }
    assert_int_equal(lab_origin_served(f.lab), 0);
    assert_int_equal(lab_count(f.lab, TG_C_tls_early_refused), 20);
    early_begin(f.lab, &e, f.session, GET);
    assert_int_equal(lab_origin_served(f.lab), 0);
    refused_client_goes_on(&e);
    assert_int_equal(lab_origin_served(f.lab), 1);
    expect_not_in(lab_origin_conn(f.lab, 0), "Early-Data");
    early_end(&e);
    early_use(f.lab, &f.node, EARLY_MAX); /* home again: the flight is new there */
    struct lab_conn *c = lab_connect(f.lab, 443);
    lab_say(c, test_bytes_span(&flight));
    lab_run(f.lab, 10 * TG_MS);
    assert_int_equal(lab_origin_served(f.lab), 2);
    lab_reset(c);
    test_peer_free(&peer);
    test_bytes_free(&flight);
    early_fixture_end(&f);
    tls_replay_free(other.replay);
}

static void early_data_off(void **state)
{
    struct early_fixture f = early_fixture_make(NULL);
    struct early_client e;
    early_use(f.lab, &f.node, 0);
    early_begin(f.lab, &e, f.session, GET);
    assert_int_equal(lab_origin_served(f.lab), 0);
    refused_client_goes_on(&e);
    assert_int_equal(lab_count(f.lab, TG_C_tls_early_refused), 1);
    assert_int_equal(lab_count(f.lab, TG_C_http_early_executed), 0);
    early_end(&e);
    SSL_SESSION *session = early_ticket(f.lab);
    assert_int_equal(SSL_SESSION_get_max_early_data(session), 0);
    SSL_SESSION_free(session);
    early_fixture_end(&f);
}

/* --- order and edges -------------------------------------------------------------------------- */

/* GET runs; the POST waits, and the GET behind it with it. */
static void pipelined_in_order(void **state)
{
    struct early_fixture f = early_fixture_make(NULL);
    struct early_client e;
    early_begin(f.lab, &e, f.session, GET POST GET);
    assert_int_equal(lab_origin_served(f.lab), 1);
    lab_run(f.lab, TG_S);
    assert_int_equal(lab_origin_served(f.lab), 1);
    lab_forget(lab_origin_conn(f.lab, 0));
    early_go_on(&e);
    assert_int_equal(lab_origin_served(f.lab), 3);
    expect_in(lab_origin_conn(f.lab, 0), "POST /p ");
    expect_in(lab_origin_conn(f.lab, 0), "\r\n\r\nhelloGET / ");
    expect_not_in(lab_origin_conn(f.lab, 0), "Early-Data");
    assert_int_equal(lab_count(f.lab, TG_C_http_early_executed), 1);
    assert_int_equal(lab_count(f.lab, TG_C_http_early_waited), 1);
    early_end(&e);
    early_fixture_end(&f);
}

/* A head, cut anywhere: whole only after Finished, so an ordinary request. */
static void head_across_the_edge(void **state)
{
    for (size_t cut = 1; cut < sizeof GET - 1; cut += 9) {
        struct early_fixture f = early_fixture_make(NULL);
        struct early_client e;
        char first[sizeof GET];
        snprintf(first, sizeof first, "%.*s", (int)cut, GET);
        early_begin(f.lab, &e, f.session, first);
        assert_int_equal(lab_origin_served(f.lab), 0);
        early_go_on(&e);
        assert_int_equal(handshakes(&f), 1);
        assert_int_equal(lab_origin_served(f.lab), 0);
        early_say(&e, &(GET)[cut]);
        assert_int_equal(lab_origin_served(f.lab), 1);
        early_expect(&e, "HTTP/1.1 200 OK\r\n");
        expect_not_in(lab_origin_conn(f.lab, 0), "Early-Data");
        assert_int_equal(lab_count(f.lab, TG_C_http_early_executed), 0);
        early_end(&e);
        early_fixture_end(&f);
    }
}

/* A body, of which as much as the policy admits is early and the rest is not: every byte arrives once. */
static void body_across_the_edge(void **state)
{
    struct early_fixture f = early_fixture_make(NULL);
    struct early_client e;
    char text[EARLY_MAX + 1], rest[3001];
    int head = snprintf(text, sizeof text,
                        "PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: %u\r\n\r\n", 11000u);
    for (unsigned i = (unsigned)head; i < EARLY_MAX; i++)
        text[i] = (char)('a' + i % 23);
    text[EARLY_MAX] = 0;
    size_t left = 11000 - (size_t)(EARLY_MAX - head);
    assert_true(left < sizeof rest);
    memset(rest, 'Z', left);
    rest[left] = 0;
    early_begin(f.lab, &e, f.session, text);
    assert_int_equal(lab_origin_served(f.lab), 0);
    assert_in_range(f.lab->node[LAB_EDGE].pool.outstanding, 5, 20); /* kept in full frames */
    early_go_on(&e);
    early_say(&e, rest);
    assert_int_equal(lab_origin_served(f.lab), 1);
    const char *body = strstr(lab_text(lab_origin_conn(f.lab, 0)), "\r\n\r\n") + 4;
    assert_memory_equal(body, text + head, EARLY_MAX - (size_t)head);
    assert_string_equal(body + EARLY_MAX - head, rest);
    early_end(&e);
    early_fixture_end(&f);
}

/* Early data in crumbs fills frames all the same. */
static void crumbs(void **state)
{
    struct early_fixture f = early_fixture_make(NULL);
    struct early_client e = {.c = lab_connect(f.lab, 443)};
    struct test_bytes flight = {0};
    size_t n;
    early_flight(&e.peer, f.session,
                 "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2000\r\n\r\n", &flight);
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(SSL_write_early_data(e.peer.ssl, "0123456789", 10, &n), 1);
    test_peer_drain(&e.peer, &flight);
    unsigned before = f.lab->node[LAB_EDGE].pool.outstanding;
    lab_say(e.c, test_bytes_span(&flight));
    lab_run(f.lab, 100 * TG_MS);
    assert_true(f.lab->node[LAB_EDGE].pool.outstanding < before + 10);
    early_look(&e);
    early_go_on(&e);
    assert_int_equal(lab_origin_served(f.lab), 1);
    early_expect(&e, "HTTP/1.1 200 OK\r\n");
    test_bytes_free(&flight);
    early_end(&e);
    early_fixture_end(&f);
}

static void byte_by_byte(void **state)
{
    static const char *const requests[] = {GET, POST GET};
    for (unsigned r = 0; r < 2; r++) {
        struct early_fixture f = early_fixture_make(NULL);
        struct test_bytes flight = {0};
        struct early_client e = {.c = lab_connect(f.lab, 443)};
        early_flight(&e.peer, f.session, requests[r], &flight);
        e.c->rate = 1;
        lab_say(e.c, test_bytes_span(&flight));
        lab_run(f.lab, 1500 * TG_MS);
        assert_int_equal(lab_origin_served(f.lab), r == 0);
        assert_int_equal(handshakes(&f), 0);
        early_look(&e);
        e.c->rate = 0;
        early_go_on(&e);
        assert_int_equal(lab_origin_served(f.lab), r + 1);
        test_bytes_free(&flight);
        early_end(&e);
        early_fixture_end(&f);
    }
}

/* More than a TCP window before Finished: back-pressure as ever, and the end of the connection in order. */
static void long_answer_and_close(void **state)
{
    enum { BYTES = 300000 };
    struct early_fixture f = early_fixture_make(NULL);
    struct early_client e;
    char head[96];
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", BYTES);
    f.lab->answer = strdup(lab_padded(head, BYTES, ""));
    early_begin(f.lab, &e, f.session,
                "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
    lab_run(f.lab, TG_S);
    early_look(&e);
    assert_int_equal(handshakes(&f), 0);
    const char *body = strstr(early_text(&e), "\r\n\r\n");
    assert_non_null(body);
    assert_int_equal(strlen(body + 4), BYTES);
    assert_false(e.c->peer_fin);
    early_go_on(&e);
    assert_int_equal(handshakes(&f), 1);
    assert_true(e.peer.ended && e.c->peer_fin); /* close_notify, FIN */
    early_end(&e);
    free((void *)(uintptr_t)f.lab->answer);
    early_fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(early_get_is_answered_before_finished),
        cmocka_unit_test(what_may_run_early),
        cmocka_unit_test(replayed_flight_runs_once),
        cmocka_unit_test(flight_at_another_node_is_not_run),
        cmocka_unit_test(early_data_off),
        cmocka_unit_test(pipelined_in_order),
        cmocka_unit_test(head_across_the_edge),
        cmocka_unit_test(body_across_the_edge),
        cmocka_unit_test(crumbs),
        cmocka_unit_test(byte_by_byte),
        cmocka_unit_test(long_answer_and_close),
    };
    return cmocka_run_group_tests(tests, early_lab_set_up, early_lab_tear_down);
}
