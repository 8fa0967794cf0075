/* SPDX-License-Identifier: BSD-3-Clause
 * Tests of HTTPS through the proxy, with the real TLS on both ends: handshakes whole and in pieces,
 * bodies, closes, broken records, certificate sets that change, origins behind TLS.
 */
#include "proxy/proxy_lab.h"
#include "tls/tls_test_certs.h"

#include <stdio.h>

#define GET   "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
#define LARGE (3u << 20)

static struct test_certificate certificates[2];

static struct tls_set *set_make(unsigned which)
{
    struct tls_policy policy = {.alpn_http1 = true, .tls12 = true};
    struct tls_certificate c =
        test_certificate_publish(&certificates[which], SPAN_LITERAL("a.example\0"), true);
    struct tls_set *set = NULL;
    unsigned bad;
    char problem[256];
    assert_int_equal(tls_set_create(&c, 1, &policy, &set, &bad, problem), TG_OK);
    return set;
}

static struct lab *lab_tls(void)
{
    struct lab_config config = lab_defaults();
    config.proxy.handshake_timeout = 2 * TG_S;
    config.proxy.head_timeout = 3 * TG_S;
    struct lab *lab = lab_new(&config);
    proxy_use_certificates(lab->proxy, set_make(0), 1);
    return lab;
}

static void one_request(void **state)
{
    struct lab *lab = lab_tls();
    struct lab_conn *c = lab_connect_tls(lab, "a.example");
    lab_ask(c, GET);
    expect_status(c, 200);
    expect_in(c, "\r\n\r\nhello");
    expect_in(lab_origin_conn(lab, 0), "\r\nX-Forwarded-Proto: https\r\n");
    assert_int_equal(lab_count(lab, TG_C_tls_handshakes), 1);
    for (unsigned i = 0; i < 10; i++) {
        lab_forget(c);
        lab_ask(c, GET GET);
        expect_status(c, 200);
    }
    assert_int_equal(lab_count(lab, TG_C_http_responses), 21);
    assert_int_equal(lab_count(lab, TG_C_origin_connects), 1);
    assert_false(c->tls_end);
    lab_fin(c); /* close_notify, FIN */
    lab_run(lab, TG_S);
    assert_true(c->tls_end);
    assert_int_equal(c->error, TG_END);
    assert_int_equal(lab_gauges(lab).clients, 0);
    lab_end(lab);
}

#define RECORD_OVERHEAD 22 /* TLS 1.3 with AES-GCM: header 5, type 1, tag 16 */

/* What a step says leaves in one record, not one per piece. */
static void records_are_filled(void **state)
{
    struct lab *lab = lab_tls();
    struct lab_conn *c = lab_connect_tls(lab, "a.example");
    lab_ask(c, GET);
    size_t cipher = c->cipher_bytes;
    lab->answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                  "1\r\na\r\n2\r\nbc\r\n3\r\ndef\r\n0\r\n\r\n";
    lab_forget(c);
    lab_ask(c, GET);
    expect_in(c, "\r\n3\r\ndef\r\n0\r\n\r\n");
    assert_int_equal(c->cipher_bytes - cipher, c->in.len + RECORD_OVERHEAD);
    lab_end(lab);
}

static void byte_by_byte(void **state)
{
    struct lab *lab = lab_tls();
    struct lab_conn *c = lab_connect_tls(lab, "a.example");
    c->rate = 1;
    lab_say_text(c, "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello" GET);
    lab_run(lab, 2 * TG_S);
    expect_status(c, 200);
    assert_int_equal(lab_origin_conn(lab, 0)->served, 2);
    lab_end(lab);
}

static void connection_close(void **state)
{
    struct lab *lab = lab_tls();
    struct lab_conn *c = lab_connect_tls(lab, "a.example");
    lab_ask(c, "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
    expect_status(c, 200);
    assert_true(c->tls_end); /* close_notify: not truncated */
    assert_true(c->peer_fin);
    lab_end(lab);
}

static uint8_t pattern(size_t offset)
{
    uint32_t h = (uint32_t)offset * 2654435761u;
    return (uint8_t)(h >> 24 ^ h >> 11);
}

static void say_pattern(struct lab_conn *c, size_t n)
{
    uint8_t *bytes = malloc(n);
    for (size_t i = 0; i < n; i++)
        bytes[i] = pattern(i);
    lab_say(c, span_make(bytes, n));
    free(bytes);
}

static void expect_pattern(const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (bytes[i] != pattern(i))
            fail_msg("byte %zu is wrong", i);
}

/* Takes an upload of LARGE bytes, answers with as many. */
static void serve_large(struct lab *lab, struct lab_conn *c)
{
    const char *end = c->served ? NULL : strstr(lab_text(c), "\r\n\r\n");
    if (!end || c->in.len < (size_t)(end + 4 - lab_text(c)) + LARGE)
        return;
    char line[96];
    expect_pattern((const uint8_t *)end + 4, LARGE);
    snprintf(line, sizeof line, "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n", LARGE);
    c->served = 1;
    lab_say_text(c, line);
    say_pattern(c, LARGE);
}

static void large_bodies(void **state)
{
    struct lab *lab = lab_tls();
    struct lab_conn *c = lab_connect_tls(lab, "a.example");
    char line[96];
    lab->serve = serve_large;
    snprintf(line, sizeof line, "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: %u\r\n\r\n",
             LARGE);
    lab_say_text(c, line);
    say_pattern(c, LARGE);
    lab_run(lab, 60 * TG_S);
    expect_status(c, 200);
    const char *body = strstr(lab_text(c), "\r\n\r\n") + 4;
    assert_int_equal(c->in.len - (size_t)(body - lab_text(c)), LARGE);
    expect_pattern((const uint8_t *)body, LARGE);
    size_t overhead = c->cipher_bytes - c->in.len; /* handshake included */
    assert_true(overhead < 8000 + LARGE / 4096 * RECORD_OVERHEAD);
    lab_end(lab);
}

static void slow_reader_is_waited_for(void **state)
{
    struct lab *lab = lab_tls();
    struct lab_conn *c = lab_connect_tls(lab, "a.example");
    char line[96];
    lab->serve = serve_large;
    lab_run(lab, 100 * TG_MS); /* handshake */
    c->stop_reading = true;
    snprintf(line, sizeof line, "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: %u\r\n\r\n",
             LARGE);
    lab_say_text(c, line);
    say_pattern(c, LARGE);
    lab_run(lab, 10 * TG_S);
    assert_in_range(lab->node[LAB_EDGE].pool.outstanding, 10, 160);
    c->stop_reading = false;
    lab_run(lab, 40 * TG_S);
    const char *body = strstr(lab_text(c), "\r\n\r\n") + 4;
    assert_int_equal(c->in.len - (size_t)(body - lab_text(c)), LARGE);
    lab_end(lab);
}

/* --- faults ----------------------------------------------------------------------------------- */

static void handshake_that_never_comes(void **state)
{
    struct lab *lab = lab_tls();
    struct lab_conn *c = lab_connect(lab, 443);
    lab_run(lab, 1900 * TG_MS);
    assert_false(c->closed);
    lab_run(lab, 200 * TG_MS);
    assert_true(c->closed);
    assert_int_equal(lab_count(lab, TG_C_proxy_client_timeout), 1);
    assert_int_equal(lab_count(lab, TG_C_tls_handshakes_failed), 1);
    assert_int_equal(lab_gauges(lab).clients, 0);
    lab_end(lab);
}

static void plain_http_on_the_tls_port(void **state)
{
    struct lab *lab = lab_tls();
    struct lab_conn *c = lab_connect(lab, 443);
    lab_ask(c, GET);
    assert_true(c->peer_fin);
    lab_fin(c);
    lab_run(lab, TG_S);
    assert_int_equal(c->error, TG_END);
    assert_int_equal(lab_count(lab, TG_C_tls_handshakes_failed), 1);
    assert_int_equal(lab_count(lab, TG_C_http_requests), 0);
    lab_end(lab);
}

/* A record that does not decrypt, in each state that a connection can be in. */
static void broken_records(void **state)
{
    static const char *const before[] = {
        "", GET, "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 9\r\n\r\nabc", "GET / HT"};
    for (unsigned i = 0; i < TG_ARRAY_LEN(before); i++) {
        struct lab *lab = lab_tls();
        struct lab_conn *c = lab_connect_tls(lab, "a.example");
        lab_ask(c, before[i]);
        static const uint8_t record[5 + 32] = {0x17, 3, 3, 0, 32};
        struct node *client = &lab->node[LAB_CLIENT];
        assert_int_equal(tcp_write(client->tcp, c->h, span_make(record, sizeof record)), 37);
        lab_run(lab, 100 * TG_MS);
        struct tls_info info;
        tls_get_info(c->tls, &info);
        assert_int_equal(info.alert, 20); /* bad_record_mac reached the client */
        assert_true(c->peer_fin);
        assert_int_equal(lab_count(lab, TG_C_tls_bad_records), 1);
        assert_int_equal(lab_gauges(lab).requests, 0);
        lab_fin(c);
        lab_run(lab, 5 * TG_S);
        assert_int_equal(lab_gauges(lab).clients, 0);
        lab_end(lab);
    }
}

static void client_leaves(void **state)
{
    struct lab *lab = lab_tls();
    struct lab_conn *c = lab_connect_tls(lab, "a.example");
    lab_say_text(c, GET);
    lab_run(lab, 1200 * TG_US); /* in mid-handshake */
    lab_reset(c);
    lab_run(lab, TG_S);
    assert_int_equal(lab_gauges(lab).clients, 0);
    c = lab_connect_tls(lab, "a.example");
    lab->serve = NULL;
    lab_ask(c, GET);
    lab_reset(c); /* in mid-request */
    lab_run(lab, TG_S);
    assert_int_equal(lab_gauges(lab).clients, 0);
    assert_int_equal(lab_count(lab, TG_C_proxy_client_gone), 1);
    lab_end(lab);
}

static void serve_cut(struct lab *lab, struct lab_conn *c)
{
    if (!c->served && c->in.len > 0) {
        c->served = 1;
        lab_say_text(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
        lab_fin(c);
    }
}

static void cut_response_has_no_close_notify(void **state)
{
    struct lab *lab = lab_tls();
    struct lab_conn *c = lab_connect_tls(lab, "a.example");
    lab->serve = serve_cut;
    lab_ask(c, GET);
    expect_status(c, 200);
    expect_in(c, "\r\n\r\nabc");
    assert_true(c->peer_fin);
    assert_false(c->tls_end);
    lab_end(lab);
}

static void no_certificates(void **state)
{
    struct lab *lab = lab_new(NULL);
    struct lab_conn *c = lab_connect_tls(lab, "a.example");
    lab_run(lab, TG_S);
    assert_int_equal(c->error, TG_RESET);
    assert_int_equal(lab_count(lab, TG_C_tls_handshakes_failed), 1);
    lab_end(lab);
}

/* --- certificate sets ------------------------------------------------------------------------- */

static void sets_change_under_connections(void **state)
{
    struct lab *lab = lab_tls();
    struct lab_conn *old = lab_connect_tls(lab, "a.example");
    lab_ask(old, GET);
    for (uint64_t n = 2; n < 52; n++) {
        struct lab_conn *c = n % 10 ? NULL : lab_connect_tls(lab, "a.example");
        lab_run(lab, 1200 * TG_US); /* in mid-handshake now and then */
        proxy_use_certificates(lab->proxy, set_make(n % 2), n);
        assert_int_equal(proxy_oldest(lab->proxy, TABLES_CERTIFICATES), n);
        if (!c)
            continue;
        lab_ask(c, GET);
        expect_status(c, 200);
        lab_fin(c);
    }
    lab_forget(old);
    lab_ask(old, GET); /* under the first one still */
    expect_status(old, 200);
    proxy_use_certificates(lab->proxy, NULL, 52);
    lab_forget(old);
    lab_ask(old, GET);
    expect_status(old, 200);
    assert_int_equal(lab_count(lab, TG_C_tls_handshakes), 6);
    assert_int_equal(lab_count(lab, TG_C_tls_handshakes_failed), 0);
    lab_end(lab);
}

/* --- origins behind TLS ----------------------------------------------------------------------- */

static void origin_behind_tls(void **state)
{
    struct lab *lab = lab_tls();
    struct lab_site site = {"a.example", 0, 0};
    struct lab_origin origin = {.address = "192.0.2.3",
                                .port = 8001,
                                .flags = TABLES_ORIGIN_TLS,
                                .server_name = "a.example"};
    lab_use_routes(lab, &site, 1, &origin, 1, 2);
    struct tls_set *origin_set = set_make(1);
    lab_serve_by_tls(lab, origin_set);
    struct lab_conn *c = lab_connect(lab, 80), *d = lab_connect_tls(lab, "a.example");
    lab_ask(c, GET);
    expect_status(c, 200);
    lab_ask(d, GET);
    expect_status(d, 200);
    lab_forget(c);
    lab->answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    lab_ask(c, "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc");
    expect_status(c, 200);
    expect_in(c, "\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    assert_int_equal(lab_count(lab, TG_C_origin_connects), 1);
    assert_int_equal(lab_count(lab, TG_C_origin_reused), 2);
    struct tls_info info;
    tls_get_info(lab_origin_conn(lab, 0)->tls, &info);
    assert_true(span_equal(info.server_name, SPAN_LITERAL("a.example")));
    tls_set_unref(origin_set);
    lab_end(lab);
}

static void serve_plain_text(struct lab *lab, struct lab_conn *c)
{
    if (!c->served && c->in.len > 0) {
        c->served = 1;
        lab_say_text(c, "HTTP/1.1 400 Bad Request\r\n\r\n");
    }
}

static void origin_that_speaks_no_tls(void **state)
{
    struct lab *lab = lab_tls();
    struct lab_site site = {"a.example", 0, 0};
    struct lab_origin origin = {
        .address = "192.0.2.3", .port = 8001, .flags = TABLES_ORIGIN_TLS, .connect_ms = 1000};
    lab_use_routes(lab, &site, 1, &origin, 1, 2);
    struct lab_conn *c = lab_connect(lab, 80);
    lab->serve = serve_plain_text;
    lab_ask(c, GET);
    expect_status(c, 502);
    lab->serve = NULL; /* accepts, and says nothing */
    lab_forget(c);
    lab_ask(c, GET);
    lab_run(lab, 2 * TG_S);
    expect_status(c, 504);
    assert_int_equal(lab_count(lab, TG_C_origin_connect_failed), 2);
    lab_end(lab);
}

static int set_up(void **state)
{
    if (tls_start() != TG_OK)
        return -1;
    test_certificate_make(&certificates[0], TEST_KEY_P256, "DNS:a.example", NULL);
    test_certificate_make(&certificates[1], TEST_KEY_RSA, "DNS:a.example", NULL);
    return 0;
}

static int tear_down(void **state)
{
    test_certificate_free(&certificates[0]);
    test_certificate_free(&certificates[1]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_request),
        cmocka_unit_test(records_are_filled),
        cmocka_unit_test(byte_by_byte),
        cmocka_unit_test(connection_close),
        cmocka_unit_test(large_bodies),
        cmocka_unit_test(slow_reader_is_waited_for),
        cmocka_unit_test(handshake_that_never_comes),
        cmocka_unit_test(plain_http_on_the_tls_port),
        cmocka_unit_test(broken_records),
        cmocka_unit_test(client_leaves),
        cmocka_unit_test(cut_response_has_no_close_notify),
        cmocka_unit_test(no_certificates),
        cmocka_unit_test(sets_change_under_connections),
        cmocka_unit_test(origin_behind_tls),
        cmocka_unit_test(origin_that_speaks_no_tls),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
