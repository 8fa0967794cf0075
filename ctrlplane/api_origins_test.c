/* SPDX-License-Identifier: BSD-3-Clause
 * Origins behind TLS over the API: what is refused and where it points, what reaches the routes table, and that the key
 * of our certificate for them goes in and never comes out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctrlplane/api_test_support.h"
#include "route/route.h"
#include "tls/tls.h"

#include <stdlib.h>
#include <string.h>

static char *origin_body(const char *server_name, const char *ca, const char *chain,
                         const char *key)
{
    json_t *o = json_pack("{s:s, s:i, s:b, s:s*, s:s*, s:s*, s:s*}", "address", "10.0.0.1", "port",
                          8443, "tls", 1, "server_name", server_name, "ca_pem", ca, "chain_pem",
                          chain, "key_pem", key);
    char *text = json_dumps(o, 0);
    json_decref(o);
    return text;
}

static void expect_without_key(struct control *c, const char *path)
{
    json_t *shown = api_expect(c, "GET", path, NULL, 200);
    char *text = json_dumps(shown, 0);
    assert_null(strstr(text, "PRIVATE KEY"));
    assert_non_null(strstr(text, "origin.example"));
    free(text);
    json_decref(shown);
}

static const struct tables_origin *published(struct control *c, const struct tables_routes **t)
{
    struct span block;
    uint64_t number;
    assert_int_equal(region_current(&c->region, TABLES_ROUTES, &block, &number), TG_OK);
    *t = (const void *)block.data;
    assert_int_equal((*t)->origin_count, 1);
    return route_origin(*t, 0);
}

static void origin_key_never_comes_out(void **state)
{
    struct control *c = &((struct fixture *)*state)->control;
    char *body = origin_body("Origin.Example", test_chain_pem, test_chain_pem, test_key_pem);
    json_t *put = api_expect(c, "PUT", "/v1/origins/o", body, 201);
    assert_null(json_object_get(put, "key_pem"));
    assert_string_equal(json_text(put, "server_name"), "origin.example");
    assert_true(json_is_true(json_object_get(put, "verify")));
    json_decref(put);
    free(body);
    expect_without_key(c, "/v1/origins/o");
    expect_without_key(c, "/v1/origins");
    const struct tables_routes *t;
    const struct tables_origin *o = published(c, &t);
    assert_int_equal(o->flags, TABLES_ORIGIN_TLS | TABLES_ORIGIN_VERIFY);
    assert_true(span_equal(tables_string_span(t, o->server_name), SPAN_LITERAL("origin.example")));
    assert_true(span_equal(tables_string_span(t, o->ca_pem), span_from_string(test_chain_pem)));
    assert_true(span_equal(tables_string_span(t, o->chain_pem), span_from_string(test_chain_pem)));
    assert_true(span_equal(tables_string_span(t, o->key_pem), span_from_string(test_key_pem)));
}

/* What TLS would refuse in the data plane never gets there, and what was in force stays. */
static void unusable_certificates_are_refused(void **state)
{
    static const char broken[] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    struct control *c = &((struct fixture *)*state)->control;
    const struct {
        const char *ca, *chain, *key, *pointer;
    } cases[] = {
        {broken, NULL, NULL, "/ca_pem"},
        {broken, test_chain_pem, test_key_pem, "/ca_pem"},
        {test_chain_pem, broken, test_key_pem, "/chain_pem"},
        {test_chain_pem, test_chain_pem, test_other_key_pem, "/chain_pem"},
        {test_chain_pem, test_chain_pem, NULL, "/key_pem"},
        {test_chain_pem, NULL, test_key_pem, "/chain_pem"},
        {NULL, NULL, NULL, "/ca_pem"},
    };
    char *good = origin_body("origin.example", test_chain_pem, NULL, NULL);
    json_decref(api_expect(c, "PUT", "/v1/origins/o", good, 201));
    free(good);
    for (unsigned i = 0; i < TG_ARRAY_LEN(cases); i++) {
        char *body = origin_body("other.example", cases[i].ca, cases[i].chain, cases[i].key);
        api_expect_problem(c, "PUT", "/v1/origins/o", body, 422, cases[i].pointer);
        free(body);
    }
    const struct tables_routes *t;
    const struct tables_origin *o = published(c, &t);
    assert_true(span_equal(tables_string_span(t, o->server_name), SPAN_LITERAL("origin.example")));
    assert_int_equal(o->key_pem.len, 0);
}

/* Not to verify is said, never left out; a plain origin has nothing of TLS. */
static void unverified_is_said(void **state)
{
    struct control *c = &((struct fixture *)*state)->control;
    const struct tables_routes *t;
    api_expect_problem(c, "PUT", "/v1/origins/o",
                       "{\"address\": \"10.0.0.1\", \"port\": 1, \"tls\": true}", 422,
                       "/server_name");
    api_expect_problem(c, "PUT", "/v1/origins/o",
                       "{\"address\": \"10.0.0.1\", \"port\": 1, \"verify\": false}", 422,
                       "/verify");
    json_decref(api_expect(
        c, "PUT", "/v1/origins/o",
        "{\"address\": \"10.0.0.1\", \"port\": 1, \"tls\": true, \"verify\": false}", 201));
    assert_int_equal(published(c, &t)->flags, TABLES_ORIGIN_TLS);
    json_decref(
        api_expect(c, "PUT", "/v1/origins/o", "{\"address\": \"10.0.0.1\", \"port\": 1}", 200));
    assert_int_equal(published(c, &t)->flags, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(origin_key_never_comes_out, setup, teardown),
        cmocka_unit_test_setup_teardown(unusable_certificates_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(unverified_is_said, setup, teardown),
    };
    if (tls_start() != TG_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
