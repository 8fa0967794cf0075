/* SPDX-License-Identifier: BSD-3-Clause
 * Sites, origins, certificates, the WAF program, explain, status, statistics, workers and audit
 * over the API.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctrlplane/api_test_support.h"
#include "ctrlplane/publish.h"
#include "route/route.h"
#include "tls/tls.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char origin_body[] = "{\"address\": \"10.0.0.1\", \"port\": 8080}";

static void site_needs_its_origin(void **state)
{
    struct control *c = &((struct fixture *)*state)->control;
    api_expect_problem(c, "PUT", "/v1/sites/www", "{\"host\": \"a\", \"origin\": \"o\"}", 422,
                       "/origin");
    json_t *o = api_expect(c, "PUT", "/v1/origins/o", origin_body, 201);
    assert_string_equal(json_text(o, "name"), "o");
    assert_int_equal(json_integer_value(json_object_get(o, "connections_max")), 256);
    json_decref(o);
    struct api_response r = api_ask(c, "PUT", "/v1/sites/www",
                                    "{\"host\": \"A.Example\", \"origin\": \"o\", \"waf\": true}");
    assert_int_equal(r.status, 201);
    assert_string_equal(r.location, "/v1/sites/www");
    json_decref(r.body);
    json_t *p = api_expect(c, "DELETE", "/v1/origins/o", NULL, 409);
    assert_string_equal(json_text(p, "site"), "www");
    json_decref(p);
    struct span block;
    uint64_t number;
    assert_int_equal(region_current(&c->region, TABLES_ROUTES, &block, &number), TG_OK);
    const struct tables_site *site =
        route_site((const void *)block.data, SPAN_LITERAL("a.example"));
    assert_non_null(site);
    assert_int_equal(site->flags, TABLES_SITE_WAF);
    assert_int_equal(route_origin((const void *)block.data, site->origin)->port, 8080);
    json_decref(api_expect(c, "DELETE", "/v1/sites/www", NULL, 200));
    json_decref(api_expect(c, "DELETE", "/v1/origins/o", NULL, 200));
    api_expect_problem(c, "DELETE", "/v1/origins/o", NULL, 404, "");
    api_expect_problem(c, "GET", "/v1/sites/www", NULL, 404, "");
}

static void site_conflicts_are_named(void **state)
{
    struct control *c = &((struct fixture *)*state)->control;
    json_decref(api_expect(c, "PUT", "/v1/origins/o", origin_body, 201));
    json_decref(api_expect(
        c, "PUT", "/v1/sites/a",
        "{\"hosts\": [\"a\", \"b\"], \"origin\": \"o\", \"default\": true, \"name\": \"a\"}", 201));
    api_expect_problem(c, "PUT", "/v1/sites/b", "{\"hosts\": [\"c\", \"b\"], \"origin\": \"o\"}",
                       409, "/hosts/1");
    api_expect_problem(c, "PUT", "/v1/sites/b",
                       "{\"host\": \"c\", \"origin\": \"o\", \"default\": true}", 409, "/default");
    api_expect_problem(c, "PUT", "/v1/sites/b",
                       "{\"host\": \"c\", \"origin\": \"o\", \"name\": \"x\"}", 422, "/name");
    api_expect_problem(c, "PUT", "/v1/sites/.b", "{\"host\": \"c\", \"origin\": \"o\"}", 404, "");
    api_expect_problem(c, "PUT", "/v1/sites/b c", "{\"host\": \"c\", \"origin\": \"o\"}", 404, "");
    /* itself is no conflict */
    json_decref(api_expect(c, "PUT", "/v1/sites/a",
                           "{\"hosts\": [\"b\"], \"origin\": \"o\", \"default\": true}", 200));
    json_decref(api_expect(c, "PUT", "/v1/sites/b", "{\"host\": \"a\", \"origin\": \"o\"}", 201));
    json_t *list = api_expect(c, "GET", "/v1/sites", NULL, 200);
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(json_text(json_array_get(list, 1), "name"), "b");
    json_decref(list);
}

static char *certificate_body(const char *chain, const char *key)
{
    json_t *o =
        json_pack("{s:[s], s:s, s:s}", "names", "test.example", "chain_pem", chain, "key_pem", key);
    char *text = json_dumps(o, 0);
    json_decref(o);
    return text;
}

static void certificate_key_never_comes_out(void **state)
{
    struct control *c = &((struct fixture *)*state)->control;
    char *body = certificate_body(test_chain_pem, test_key_pem);
    static const char *const paths[] = {"/v1/certificates/c", "/v1/certificates"};
    json_t *put = api_expect(c, "PUT", "/v1/certificates/c", body, 201);
    assert_null(json_object_get(put, "key_pem"));
    assert_string_equal(json_text(put, "chain_pem"), test_chain_pem);
    json_decref(put);
    for (unsigned i = 0; i < 2; i++) {
        json_t *answer = api_expect(c, "GET", paths[i], NULL, 200);
        char *text = json_dumps(answer, 0);
        assert_null(strstr(text, "PRIVATE KEY"));
        free(text);
        json_decref(answer);
    }
    struct span block;
    uint64_t number;
    assert_int_equal(region_current(&c->region, TABLES_CERTIFICATES, &block, &number), TG_OK);
    const struct tables_certificates *t = (const void *)block.data;
    assert_int_equal(t->count, 1);
    assert_true(span_equal(tables_string_span(t, t->certificates[0].key_pem),
                           span_from_string(test_key_pem)));
    free(body);
    body = certificate_body(test_chain_pem, test_other_key_pem);
    api_expect_problem(c, "PUT", "/v1/certificates/d", body, 422, "/key_pem");
    free(body);
    body = certificate_body("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                            test_key_pem);
    api_expect_problem(c, "PUT", "/v1/certificates/d", body, 422, "/chain_pem");
    free(body);
    json_decref(api_expect(c, "DELETE", "/v1/certificates/c", NULL, 200));
}

static char *keyserver_body(const char *address, const char *key)
{
    json_t *o = json_pack("{s:[s], s:s, s:s, s:s, s:s}", "addresses", address, "server_name",
                          "keys.example", "ca_pem", test_chain_pem, "chain_pem", test_chain_pem,
                          "key_pem", key);
    char *text = json_dumps(o, 0);
    json_decref(o);
    return text;
}

/* A certificate without a key: it may name a key server that is there, which then stays. */
static void keyservers_and_their_certificates(void **state)
{
    struct control *c = &((struct fixture *)*state)->control;
    json_t *o = json_pack("{s:[s], s:s, s:s}", "names", "test.example", "chain_pem", test_chain_pem,
                          "keyserver", "k");
    char *certificate = json_dumps(o, 0), *body = keyserver_body("192.0.2.9", test_key_pem);
    json_decref(o);
    api_expect_problem(c, "PUT", "/v1/certificates/c", certificate, 422, "/keyserver");
    uint64_t before = publish_generation(c, TABLES_CERTIFICATES);
    json_t *put = api_expect(c, "PUT", "/v1/keyservers/k", body, 201);
    assert_null(json_object_get(put, "key_pem"));
    assert_string_equal(json_string_value(json_array_get(json_object_get(put, "addresses"), 0)),
                        "192.0.2.9:2407");
    json_decref(put);
    free(body);
    assert_true(publish_generation(c, TABLES_CERTIFICATES) > before);
    put = api_expect(c, "PUT", "/v1/certificates/c", certificate, 201);
    assert_string_equal(json_text(put, "keyserver"), "k");
    json_decref(put);
    struct span block;
    uint64_t number;
    assert_int_equal(region_current(&c->region, TABLES_CERTIFICATES, &block, &number), TG_OK);
    const struct tables_certificates *t = (const void *)block.data;
    assert_int_equal(t->certificates[0].keyserver, 0);
    assert_int_equal(tables_keyservers(t)[0].address_count, 1);
    json_t *p = api_expect(c, "DELETE", "/v1/keyservers/k", NULL, 409);
    assert_string_equal(json_text(p, "certificate"), "c");
    json_decref(p);
    body = keyserver_body("192.0.2.9", test_other_key_pem); /* not its chain's */
    p = api_expect(c, "PUT", "/v1/keyservers/k", body, 422);
    assert_string_equal(json_text(p, "keyserver"), "k");
    json_decref(p);
    free(body);
    json_t *list = api_expect(c, "GET", "/v1/keyservers", NULL, 200);
    char *text = json_dumps(list, 0);
    assert_int_equal(json_array_size(list), 1);
    assert_null(strstr(text, "PRIVATE KEY"));
    free(text);
    json_decref(list);
    json_decref(api_expect(c, "DELETE", "/v1/certificates/c", NULL, 200));
    json_decref(api_expect(c, "DELETE", "/v1/keyservers/k", NULL, 200));
    json_decref(api_expect(c, "GET", "/v1/keyservers/k", NULL, 404));
    free(certificate);
}

static void fifty_certificate_swaps_fit(void **state)
{
    struct control *c = &((struct fixture *)*state)->control;
    for (unsigned i = 0; i < 50; i++) {
        json_t *o = json_pack("{s:[s, s+], s:s, s:s}", "names", "test.example", "v",
                              i & 1 ? "1.example" : "2.example", "chain_pem", test_chain_pem,
                              "key_pem", test_key_pem);
        char *body = json_dumps(o, 0);
        json_decref(api_expect(c, "PUT", "/v1/certificates/c", body, i ? 200 : 201));
        free(body);
        json_decref(o);
    }
    assert_true(publish_generation(c, TABLES_CERTIFICATES) >= 51);
}

#define WAF_RULE(id, pattern)                                                                      \
    "{\"id\": " id ", \"targets\": [\"uri\"], \"pattern\": \"" pattern "\", \"message\": \"m\", "  \
    "\"action\": \"block\"}"

static void waf_program_is_replaced_as_a_whole(void **state)
{
    struct control *c = &((struct fixture *)*state)->control;
    json_t *answer = api_expect(c, "PUT", "/v1/waf/rules",
                                "[" WAF_RULE("1", "abc") "," WAF_RULE("2", "def") "]", 200);
    assert_int_equal(json_array_size(answer), 2);
    json_decref(answer);
    uint64_t before = publish_generation(c, TABLES_WAF);
    json_t *p = api_expect(c, "PUT", "/v1/waf/rules",
                           "[" WAF_RULE("1", "abc") "," WAF_RULE("2", "de(f") "]", 422);
    assert_string_equal(json_text(p, "pointer"), "/1/pattern");
    assert_int_equal(json_integer_value(json_object_get(p, "index")), 1);
    json_decref(p);
    assert_int_equal(publish_generation(c, TABLES_WAF), before);
    api_expect_problem(c, "PUT", "/v1/waf/rules", "{}", 422, "");
    api_expect_problem(c, "PUT", "/v1/waf/rules", "[5]", 422, "/0");
    api_expect_problem(c, "PUT", "/v1/waf/rules", "[" WAF_RULE("1", "") "]", 422, "/0/pattern");
    answer = api_expect(c, "GET", "/v1/waf/rules", NULL, 200);
    assert_int_equal(json_array_size(answer), 2);
    assert_string_equal(json_text(json_array_get(answer, 1), "pattern"), "def");
    json_decref(answer);
    json_decref(api_expect(c, "DELETE", "/v1/waf/rules", NULL, 200));
    answer = api_expect(c, "GET", "/v1/waf/rules", NULL, 200);
    assert_int_equal(json_array_size(answer), 0);
    json_decref(answer);
}

static void waf_rules_one_by_one(void **state)
{
    struct control *c = &((struct fixture *)*state)->control;
    json_decref(api_expect(c, "PUT", "/v1/waf/rules/5", WAF_RULE("5", "abc"), 201));
    json_decref(api_expect(c, "PUT", "/v1/waf/rules/6", WAF_RULE("6", "abc"), 201));
    json_decref(api_expect(c, "PUT", "/v1/waf/rules/5", WAF_RULE("5", "xyz"), 200));
    api_expect_problem(c, "PUT", "/v1/waf/rules/6", WAF_RULE("6", "x("), 422, "/pattern");
    api_expect_problem(c, "PUT", "/v1/waf/rules/6", WAF_RULE("7", "x"), 422, "/id");
    api_expect_problem(c, "PUT", "/v1/waf/rules/x", WAF_RULE("7", "x"), 404, "");
    json_t *rule = api_expect(c, "GET", "/v1/waf/rules/5", NULL, 200);
    assert_string_equal(json_text(rule, "pattern"), "xyz");
    json_decref(rule);
    json_decref(api_expect(c, "DELETE", "/v1/waf/rules/5", NULL, 200));
    api_expect_problem(c, "GET", "/v1/waf/rules/5", NULL, 404, "");
    api_expect_problem(c, "DELETE", "/v1/waf/rules/5", NULL, 404, "");
    json_t *list = api_expect(c, "GET", "/v1/waf/rules", NULL, 200);
    assert_int_equal(json_array_size(list), 1);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "id")), 6);
    json_decref(list);
}

static void explain_says_who_answers(void **state)
{
    struct control *c = &((struct fixture *)*state)->control;
    json_decref(api_expect(c, "PUT", "/v1/origins/o", origin_body, 201));
    json_decref(api_expect(c, "PUT", "/v1/sites/s",
                           "{\"host\": \"*.example\", \"origin\": \"o\", \"waf\": true}", 201));
    json_decref(api_expect(c, "PUT", "/v1/rules/3",
                           "{\"source\": \"10.0.0.0/8\", \"destination_port\": 443}", 201));
    json_t *e = api_expect(c, "GET", "/v1/explain?source=10.1.1.1&host=www.example", NULL, 200);
    assert_string_equal(json_text(e, "action"), "drop");
    assert_int_equal(json_integer_value(json_object_get(e, "rule")), 3);
    assert_null(json_object_get(e, "site"));
    json_decref(e);
    e = api_expect(
        c, "GET",
        "/v1/explain?source=10.1.1.1&destination=192.0.2.1&destination_port=80&host=www.example",
        NULL, 200);
    assert_string_equal(json_text(e, "action"), "pass");
    assert_string_equal(json_text(e, "site"), "s");
    assert_string_equal(json_text(e, "matched_host"), "*.example");
    assert_true(json_is_true(json_object_get(e, "waf")));
    assert_string_equal(json_text(json_object_get(e, "origin"), "name"), "o");
    assert_string_equal(json_text(json_object_get(e, "origin"), "address"), "10.0.0.1");
    json_decref(e);
    e = api_expect(c, "GET", "/v1/explain?source=2001:db8::1&protocol=icmp", NULL, 200);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(e, "packet"), "protocol")),
                     58);
    assert_string_equal(json_text(e, "action"), "pass");
    json_decref(e);
    e = api_expect(c, "GET", "/v1/explain?host=other", NULL, 200);
    assert_true(json_is_null(json_object_get(e, "site")));
    json_decref(e);
    static const char *const bad[] = {
        "",
        "?source=x",
        "?source=1.2.3.4&destination=::1",
        "?source=1.2.3.4&protocol=any",
        "?source=1.2.3.4&protocol=frog",
        "?source=1.2.3.4&destination_port=65536",
        "?source=1.2.3.4&destination_port=-1",
        "?source=1.2.3.4&port=5",
    };
    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++) {
        char path[128];
        snprintf(path, sizeof path, "/v1/explain%s", bad[i]);
        api_expect_problem(c, "GET", path, NULL, 400, "");
    }
}

static json_int_t counter(struct control *c, const char *path, const char *name)
{
    json_t *body = api_expect(c, "GET", path, NULL, 200);
    const json_t *value = json_object_get(json_object_get(body, "counters"), name);
    json_int_t v = value ? json_integer_value(value) : -1;
    json_decref(body);
    return v;
}

static void stats_and_workers_are_the_regions(void **state)
{
    struct fixture *f = *state;
    struct control *c = &f->control;
    region_worker(&f->fake.region, 0)->stats.value[TG_C_http_requests] = 7;
    region_worker(&f->fake.region, 1)->stats.value[TG_C_http_requests] = 4;
    region_worker(&f->fake.region, 1)->connections = 9;
    assert_int_equal(counter(c, "/v1/stats", "http_requests"), 11);
    assert_int_equal(counter(c, "/v1/stats?worker=0", "http_requests"), 7);
    assert_int_equal(counter(c, "/v1/stats?worker=1&nonzero=1", "http_requests"), 4);
    assert_int_equal(counter(c, "/v1/stats", "tcp_rto"), 0);
    assert_int_equal(counter(c, "/v1/stats?nonzero=true", "tcp_rto"), -1);
    assert_int_equal(counter(c, "/v1/stats", "none"), -1);
    api_expect_problem(c, "GET", "/v1/stats?worker=2", NULL, 400, "");
    api_expect_problem(c, "GET", "/v1/stats?worker=x", NULL, 400, "");
    api_expect_problem(c, "GET", "/v1/stats?nonzero=maybe", NULL, 400, "");
    json_t *list = api_expect(c, "GET", "/v1/workers", NULL, 200);
    assert_int_equal(json_array_size(list), 2);
    const json_t *w = json_array_get(list, 1);
    assert_true(json_is_true(json_object_get(w, "alive")));
    assert_int_equal(json_integer_value(json_object_get(w, "cpu")), 1);
    assert_int_equal(json_integer_value(json_object_get(w, "connections")), 9);
    assert_int_equal(json_integer_value(json_object_get(w, "requests")), 4);
    assert_true(json_real_value(json_object_get(w, "heartbeat_age_ms")) < 1000);
    assert_true(json_integer_value(json_object_get(json_object_get(w, "applied"), "rules")) > 0);
    json_decref(list);
    region_worker(&f->fake.region, 1)->alive = 0;
    json_t *s = api_expect(c, "GET", "/v1/status", NULL, 200);
    assert_string_equal(json_text(s, "data_plane"), "running");
    assert_int_equal(json_integer_value(json_object_get(s, "workers_alive")), 1);
    const json_t *g = json_object_get(json_object_get(s, "generations"), "waf");
    assert_int_equal(json_integer_value(json_object_get(g, "current")), 1);
    assert_int_equal(json_integer_value(json_array_get(json_object_get(g, "applied"), 0)), 1);
    assert_true(json_is_null(json_array_get(json_object_get(g, "applied"), 1)));
    json_decref(s);
}

static void busy_share_is_measured(void **state)
{
    struct fixture *f = *state;
    tg_ns now = control_now() + 10 * TG_S;
    control_tick(&f->control, now);
    region_worker(&f->fake.region, 0)->stats.value[TG_C_worker_busy_ns] += TG_S / 2;
    control_tick(&f->control, now + 2 * TG_S);
    json_t *list = api_expect(&f->control, "GET", "/v1/workers", NULL, 200);
    double share = json_real_value(json_object_get(json_array_get(list, 0), "busy_share"));
    assert_true(share > 0.24 && share < 0.26);
    assert_true(json_real_value(json_object_get(json_array_get(list, 1), "busy_share")) == 0);
    json_decref(list);
}

static void event_push(struct fixture *f, unsigned worker, uint64_t id, const char *target,
                       size_t len)
{
    struct event e = {.kind = EVENT_WAF,
                      .rule_id = 1001,
                      .wall_ns = 1700000000123456789ull,
                      .request_id = id,
                      .client = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 9},
                      .client_port = 4321,
                      .status = 403,
                      .where = 8,
                      .blocked = 1,
                      .method_len = 4,
                      .host_len = 200, /* longer than the field: a worker gone mad */
                      .target_len = (uint8_t)len,
                      .message_len = 4};
    memcpy(e.method, "POST", 4);
    memset(e.host, 'h', sizeof e.host);
    memcpy(e.target, target, len);
    memcpy(e.message, "SQLi", 4);
    assert_int_equal(ring_push(region_events(&f->fake.region, worker), &e, 1), 1);
}

static void audit_lines_are_written_and_kept(void **state)
{
    struct fixture *f = *state;
    event_push(f, 0, 0xabc, "/?q=1", 5);
    event_push(f, 1, 2, "\xff\"\n\0x", 5);
    control_tick(&f->control, control_now());
    json_t *list = api_expect(&f->control, "GET", "/v1/audit?limit=1", NULL, 200);
    assert_int_equal(json_array_size(list), 1);
    assert_int_equal(strncmp(json_text(json_array_get(list, 0), "target"), "\\xff\"\n", 6), 0);
    json_decref(list);
    list = api_expect(&f->control, "GET", "/v1/audit", NULL, 200);
    const json_t *e = json_array_get(list, 0);
    assert_string_equal(json_text(e, "time"), "2023-11-14T22:13:20.123456Z");
    assert_string_equal(json_text(e, "request_id"), "0000000000000abc");
    assert_string_equal(json_text(e, "client"), "192.0.2.9");
    assert_string_equal(json_text(e, "method"), "POST");
    assert_string_equal(json_text(e, "target"), "/?q=1");
    assert_string_equal(json_text(e, "where"), "body");
    assert_string_equal(json_text(e, "message"), "SQLi");
    assert_int_equal(strlen(json_text(e, "host")), 64);
    assert_int_equal(json_integer_value(json_object_get(e, "rule_id")), 1001);
    assert_int_equal(json_integer_value(json_object_get(e, "status")), 403);
    assert_true(json_is_true(json_object_get(e, "blocked")));
    /* the file holds the same, a line each */
    FILE *file = fopen(f->place.config.audit, "r");
    char line[2048];
    for (size_t i = 0; i < 2; i++) {
        assert_non_null(fgets(line, sizeof line, file));
        json_t *stored = json_loads(line, JSON_ALLOW_NUL, NULL);
        assert_true(json_equal(stored, json_array_get(list, i)));
        json_decref(stored);
    }
    assert_null(fgets(line, sizeof line, file));
    fclose(file);
    json_decref(list);
    api_expect_problem(&f->control, "GET", "/v1/audit?limit=0", NULL, 400, "");
    api_expect_problem(&f->control, "GET", "/v1/audit?limit=1001", NULL, 400, "");
}

static void audit_keeps_the_last_thousand_and_follows_rotation(void **state)
{
    struct fixture *f = *state;
    char moved[300];
    struct stat st;
    for (unsigned i = 0; i < 1500; i++) {
        event_push(f, 0, i, "/", 1);
        if (i % 500 == 499)
            control_tick(&f->control, control_now());
    }
    json_t *list = api_expect(&f->control, "GET", "/v1/audit?limit=1000", NULL, 200);
    assert_int_equal(json_array_size(list), 1000);
    assert_string_equal(json_text(json_array_get(list, 0), "request_id"), "00000000000001f4");
    assert_string_equal(json_text(json_array_get(list, 999), "request_id"), "00000000000005db");
    json_decref(list);
    snprintf(moved, sizeof moved, "%s.1", f->place.config.audit);
    assert_int_equal(rename(f->place.config.audit, moved), 0);
    control_tick(&f->control, control_now() + 5 * TG_S);
    event_push(f, 0, 7, "/", 1);
    control_tick(&f->control, control_now());
    assert_int_equal(stat(f->place.config.audit, &st), 0);
    assert_true(st.st_size > 100 && st.st_size < 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(site_needs_its_origin, setup, teardown),
        cmocka_unit_test_setup_teardown(site_conflicts_are_named, setup, teardown),
        cmocka_unit_test_setup_teardown(certificate_key_never_comes_out, setup, teardown),
        cmocka_unit_test_setup_teardown(keyservers_and_their_certificates, setup, teardown),
        cmocka_unit_test_setup_teardown(fifty_certificate_swaps_fit, setup, teardown),
        cmocka_unit_test_setup_teardown(waf_program_is_replaced_as_a_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(waf_rules_one_by_one, setup, teardown),
        cmocka_unit_test_setup_teardown(explain_says_who_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(stats_and_workers_are_the_regions, setup, teardown),
        cmocka_unit_test_setup_teardown(busy_share_is_measured, setup, teardown),
        cmocka_unit_test_setup_teardown(audit_lines_are_written_and_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(audit_keeps_the_last_thousand_and_follows_rotation, setup,
                                        teardown),
    };
    if (tls_start() != TG_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
