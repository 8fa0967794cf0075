/* SPDX-License-Identifier: BSD-3-Clause
 * Tests of origins behind TLS, with the real TLS on both ends: who is believed, what is told when nobody is, and that
 * connections made under other names or anchors are never mixed up.
 */
#include "proxy/proxy_lab.h"
#include "tls/tls_test_certs.h"

#include <stdio.h>

#define GET "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"

static struct test_certificate ca, other_ca, leaf, edge;
static struct tls_set *origin_set;
static char *ca_text, *other_text, *chain_text, *key_text;

static char *text_of(struct span pem)
{
    char *text = calloc(1, pem.len + 1);
    tg_assert(text);
    memcpy(text, pem.data, pem.len);
    return text;
}

static struct lab_origin origin_of(const char *server_name, const char *trusted)
{
    return (struct lab_origin){.address = "192.0.2.3",
                               .port = 8001,
                               .flags = TABLES_ORIGIN_TLS | TABLES_ORIGIN_VERIFY,
                               .server_name = server_name,
                               .ca = trusted};
}

static void use_origin(struct lab *lab, struct lab_origin origin, uint64_t number)
{
    struct lab_site site = {"a.example", 0, 0};
    lab_use_routes(lab, &site, 1, &origin, 1, number);
}

/* The next audit record; its message must hold this. */
static void expect_told(struct lab *lab, unsigned status, const char *what)
{
    struct event e;
    assert_int_equal(ring_pop(lab->events, &e, 1), 1);
    assert_int_equal(e.kind, EVENT_ORIGIN);
    assert_int_equal(e.status, status);
    assert_memory_equal(e.target, "origin", 6);
    char message[sizeof e.message + 1] = "";
    memcpy(message, e.message, e.message_len);
    if (!strstr(message, what))
        fail_msg("\"%s\" does not say \"%s\"", message, what);
}

static void a_verified_origin_serves(void **state)
{
    struct lab *lab = lab_new(NULL);
    lab_serve_by_tls(lab, origin_set);
    struct lab_origin origin = origin_of("origin.example", ca_text);
    origin.chain = chain_text;
    origin.key = key_text;
    use_origin(lab, origin, 2);
    struct lab_conn *c = lab_connect(lab, 80);
    for (unsigned i = 0; i < 3; i++) {
        lab_forget(c);
        lab_ask(c, GET);
        expect_status(c, 200);
    }
    assert_int_equal(lab_count(lab, TG_C_origin_connects), 1);
    struct tls_info info;
    tls_get_info(lab_origin_conn(lab, 0)->tls, &info);
    assert_true(span_equal(info.server_name, SPAN_LITERAL("origin.example")));
    assert_int_equal(lab_count(lab, TG_C_origin_tls_certificate), 0);
    lab_end(lab);
}

static void who_is_not_believed_gets_no_request(void **state)
{
    const struct {
        struct lab_origin origin;
        const char *told;
    } cases[] = {
        {origin_of("other.example", ca_text), "ostname mismatch"},
        {origin_of("origin.example", other_text), "certificate"},
        {origin_of("192.0.2.77", ca_text), "mismatch"},
    };
    for (unsigned i = 0; i < TG_ARRAY_LEN(cases); i++) {
        struct lab *lab = lab_new(NULL);
        lab_serve_by_tls(lab, origin_set);
        use_origin(lab, cases[i].origin, 2);
        struct lab_conn *c = lab_connect(lab, 80);
        lab_ask(c, GET);
        expect_status(c, 502);
        assert_int_equal(lab_count(lab, TG_C_origin_tls_certificate), 1);
        assert_int_equal(lab_count(lab, TG_C_origin_connect_failed), 1);
        assert_int_equal(lab_origin_conn(lab, 0)->served, 0);
        expect_told(lab, 502, cases[i].told);
        lab_run(lab, TG_S);
        lab_end(lab);
    }
}

/* The alert of the origin reaches us as a reason of its own. */
static void a_refusal_by_the_origin_is_told(void **state)
{
    struct tls_policy policy = {.alpn_http1 = true, .tls12 = true};
    struct tls_certificate c =
        test_certificate_publish(&leaf, SPAN_LITERAL("elsewhere.example\0"), false);
    struct tls_set *kept = origin_set;
    unsigned bad;
    char problem[256];
    assert_int_equal(tls_set_create(&c, 1, &policy, &origin_set, &bad, problem), TG_OK);
    struct lab *lab = lab_new(NULL);
    lab_serve_by_tls(lab, origin_set);
    use_origin(lab, origin_of("origin.example", ca_text), 2);
    struct lab_conn *client = lab_connect(lab, 80);
    lab_ask(client, GET);
    expect_status(client, 502);
    assert_int_equal(lab_count(lab, TG_C_origin_tls_refused), 1);
    expect_told(lab, 502, "unrecognized name");
    lab_run(lab, TG_S);
    lab_end(lab);
    tls_set_unref(origin_set);
    origin_set = kept;
}

static void serve_close(struct lab *lab, struct lab_conn *c)
{
    if (c->in.len > 0 && !c->served++)
        lab_fin(c);
}

static void a_handshake_that_breaks_off_is_told(void **state)
{
    struct lab *lab = lab_new(NULL);
    lab->serve = serve_close;
    use_origin(lab, origin_of("origin.example", ca_text), 2);
    struct lab_conn *c = lab_connect(lab, 80);
    lab_ask(c, GET);
    lab_run(lab, TG_S);
    expect_status(c, 502);
    assert_int_equal(lab_count(lab, TG_C_origin_tls_failed), 1);
    expect_told(lab, 502, "broke off");
    lab_end(lab);
}

static void serve_nothing(struct lab *lab, struct lab_conn *c)
{
}

/* An origin that takes our ClientHello and says nothing costs no more than the connect timeout. */
static void a_silent_handshake_ends_in_time(void **state)
{
    struct lab *lab = lab_new(NULL);
    lab->serve = serve_nothing;
    struct lab_origin origin = origin_of("origin.example", ca_text);
    origin.connect_ms = 500;
    use_origin(lab, origin, 2);
    struct lab_conn *c = lab_connect(lab, 80);
    lab_say_text(c, GET);
    lab_run(lab, 300 * TG_MS);
    assert_int_equal(c->in.len, 0);
    assert_true(lab_origin_conn(lab, 0)->in.len > 0);
    lab_run(lab, 400 * TG_MS);
    expect_status(c, 504);
    assert_int_equal(lab_count(lab, TG_C_origin_tls_failed), 1);
    assert_int_equal(lab_count(lab, TG_C_origin_connect_failed), 1);
    expect_told(lab, 504, "not over in time");
    lab_run(lab, TG_S);
    assert_int_equal(lab_open_count(lab, LAB_ORIGIN), 0);
    lab_end(lab);
}

/* The client leaves while its origin's handshake is on its way: nothing stays, nobody is blamed. */
static void a_client_leaves_in_the_handshake(void **state)
{
    struct lab *lab = lab_new(NULL);
    lab->serve = serve_nothing;
    use_origin(lab, origin_of("origin.example", ca_text), 2);
    struct lab_conn *c = lab_connect(lab, 80);
    lab_say_text(c, GET);
    lab_run(lab, 50 * TG_MS);
    assert_true(lab_origin_conn(lab, 0)->in.len > 0);
    lab_reset(c);
    lab_run(lab, TG_S);
    assert_int_equal(lab_open_count(lab, LAB_ORIGIN), 0);
    assert_int_equal(lab_count(lab, TG_C_origin_tls_failed), 0);
    assert_int_equal(lab_gauges(lab).requests, 0);
    lab_end(lab);
}

/* A pooled connection that was made without verification must not serve a request that wants it. */
static void pools_are_kept_apart(void **state)
{
    struct lab *lab = lab_new(NULL);
    lab_serve_by_tls(lab, origin_set);
    struct lab_origin loose = origin_of("origin.example", NULL);
    loose.flags = TABLES_ORIGIN_TLS;
    use_origin(lab, loose, 2);
    struct lab_conn *c = lab_connect(lab, 80);
    lab_ask(c, GET);
    expect_status(c, 200);
    use_origin(lab, origin_of("origin.example", other_text), 3);
    lab_forget(c);
    lab_ask(c, GET);
    expect_status(c, 502);
    use_origin(lab, origin_of("origin.example", ca_text), 4);
    struct lab_conn *d = lab_connect(lab, 80);
    lab_ask(d, GET);
    expect_status(d, 200);
    assert_int_equal(lab_count(lab, TG_C_origin_reused), 0);
    lab_run(lab, TG_S);
    lab_end(lab);
}

/* New routes between the SYN to the origin and its answer: nobody's anchors are used for another. */
static void routes_change_in_the_handshake(void **state)
{
    struct lab *lab = lab_new(NULL);
    lab_serve_by_tls(lab, origin_set);
    use_origin(lab, origin_of("origin.example", ca_text), 2);
    struct lab_conn *c = lab_connect(lab, 80);
    lab_say_text(c, GET);
    for (unsigned i = 0; i < 400 && !c->in.len; i++) {
        lab_run(lab, 50 * TG_US);
        use_origin(lab, origin_of(i % 2 ? "origin.example" : "other.example", ca_text), 3 + i);
    }
    lab_run(lab, TG_S);
    assert_true(c->in.len > 0);
    lab_end(lab);
}

static int set_up(void **state)
{
    if (tls_start() != TG_OK)
        return -1;
    test_certificate_make(&ca, TEST_KEY_P256, NULL, NULL);
    test_certificate_make(&other_ca, TEST_KEY_P256, NULL, NULL);
    test_certificate_make(&leaf, TEST_KEY_P256, "DNS:origin.example", &ca);
    test_certificate_make(&edge, TEST_KEY_P256, "DNS:edge.example", &other_ca);
    ca_text = text_of(ca.chain_pem);
    other_text = text_of(other_ca.chain_pem);
    chain_text = text_of(edge.chain_pem);
    key_text = text_of(edge.key_pem);
    struct tls_policy policy = {.alpn_http1 = true, .tls12 = true};
    struct tls_certificate c =
        test_certificate_publish(&leaf, SPAN_LITERAL("origin.example\0"), true);
    unsigned bad;
    char problem[256];
    return tls_set_create(&c, 1, &policy, &origin_set, &bad, problem) == TG_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    tls_set_unref(origin_set);
    free(ca_text);
    free(other_text);
    free(chain_text);
    free(key_text);
    test_certificate_free(&ca);
    test_certificate_free(&other_ca);
    test_certificate_free(&leaf);
    test_certificate_free(&edge);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_verified_origin_serves),
        cmocka_unit_test(who_is_not_believed_gets_no_request),
        cmocka_unit_test(a_refusal_by_the_origin_is_told),
        cmocka_unit_test(a_handshake_that_breaks_off_is_told),
        cmocka_unit_test(a_silent_handshake_ends_in_time),
        cmocka_unit_test(a_client_leaves_in_the_handshake),
        cmocka_unit_test(pools_are_kept_apart),
        cmocka_unit_test(routes_change_in_the_handshake),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
