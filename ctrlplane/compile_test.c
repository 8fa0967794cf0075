/* SPDX-License-Identifier: BSD-3-Clause
 * Resources -> tables: the blocks are valid, and the data plane's own look-ups answer what the
 * resources say.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctrlplane/compile.h"
#include "ctrlplane/control_test_support.h"
#include "ctrlplane/model.h"
#include "ctrlplane/resource.h"
#include "filter/filter.h"
#include "route/route.h"
#include "tls/tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *parse(const char *text)
{
    json_error_t error;
    json_t *value = json_loads(text, 0, &error);
    if (!value)
        fail_msg("%s: %s", text, error.text);
    return value;
}

/* A model with one collection, read from text as the state file would be. */
static json_t *model_of(const char *members)
{
    struct problem p = {0};
    static const char *const names[] = {"rules", "sites", "origins", "certificates"};
    json_t *document = parse(members);
    for (unsigned i = 0; i < TG_ARRAY_LEN(names); i++)
        if (!json_object_get(document, names[i]))
            json_object_set_new(document, names[i], json_object());
    if (!json_object_get(document, "waf"))
        json_object_set_new(document, "waf", json_array());
    json_t *model = model_read(document, &p);
    if (!model)
        fail_msg("%s: %s", p.pointer, p.detail);
    json_decref(document);
    return model;
}

static struct config config = {.node_slot = 5, .node_site = 1};
static struct compile_node self = {.config = &config};

static struct block compile_good(enum tables_kind kind, const json_t *model)
{
    struct block block;
    struct problem p = {0};
    if (!compile_tables(kind, model, &self, &block, &p))
        fail_msg("%s: %s", p.pointer, p.detail);
    assert_true(tables_valid(kind, block.bytes, block.len));
    /* the same again: restarts rely on it */
    struct block again;
    assert_true(compile_tables(kind, model, &self, &again, &p));
    assert_int_equal(again.len, block.len);
    assert_memory_equal(again.bytes, block.bytes, block.len);
    block_free(&again);
    return block;
}

/* Id of the rule that drops a packet, 0: none. */
static uint32_t dropped_by(const struct tables_rules *t, const char *source,
                           const char *destination, uint8_t proto, uint16_t sport, uint16_t dport)
{
    struct ip_addr s, d;
    assert_true(address_parse(source, s.bytes));
    assert_true(address_parse(destination, d.bytes));
    int i = filter_match(t, &s, &d, proto, sport, dport);
    return i < 0 ? 0 : t->rules[i].id;
}

static void rules_match_as_written(void **state)
{
    json_t *m = model_of(
        "{\"rules\": {"
        "\"10\": {\"source\": \"10.0.0.0/8\", \"slot\": 0, \"hits_base\": 0},"
        "\"9\": {\"destination\": \"192.0.2.0/24\", \"protocol\": \"tcp\", \"destination_port\": "
        "\"80-81\", \"slot\": 1, \"hits_base\": 0},"
        "\"8\": {\"source\": \"2001:db8::/32\", \"protocol\": \"icmp\", \"slot\": 2, "
        "\"hits_base\": 0},"
        "\"7\": {\"source_port\": 53, \"slot\": 3, \"hits_base\": 0},"
        "\"6\": {\"destination\": \"198.51.100.7\", \"protocol\": \"icmp\", \"slot\": 4, "
        "\"hits_base\": 0}"
        "}}");
    struct block b = compile_good(TABLES_RULES, m);
    const struct tables_rules *t = b.bytes;
    assert_int_equal(t->count, 5);
    assert_int_equal(t->rules[0].id, 6);
    assert_int_equal(t->rules[4].id, 10);
    assert_int_equal(dropped_by(t, "10.1.2.3", "1.2.3.4", 6, 1, 2), 10);
    assert_int_equal(dropped_by(t, "11.1.2.3", "1.2.3.4", 6, 1, 2), 0);
    assert_int_equal(dropped_by(t, "1.1.1.1", "192.0.2.77", 6, 1, 80), 9);
    assert_int_equal(dropped_by(t, "1.1.1.1", "192.0.2.77", 6, 1, 81), 9);
    assert_int_equal(dropped_by(t, "1.1.1.1", "192.0.2.77", 6, 1, 82), 0);
    assert_int_equal(dropped_by(t, "1.1.1.1", "192.0.2.77", 17, 1, 80), 0);
    assert_int_equal(dropped_by(t, "2001:db8::1", "2001:db8:1::1", 58, 0, 0), 8);
    assert_int_equal(dropped_by(t, "2001:db8::1", "2001:db8:1::1", 6, 0, 0), 0);
    assert_int_equal(dropped_by(t, "1.1.1.1", "2.2.2.2", 17, 53, 9), 7);
    assert_int_equal(dropped_by(t, "2001::1", "2001::2", 6, 53, 9), 7);
    assert_int_equal(dropped_by(t, "1.1.1.1", "2.2.2.2", 1, 0, 0), 0);
    assert_int_equal(dropped_by(t, "1.1.1.1", "198.51.100.7", 1, 0, 0), 6);
    block_free(&b);
    json_decref(m);
}

static void icmp_of_any_family_takes_two_entries(void **state)
{
    json_t *m =
        model_of("{\"rules\": {\"1\": {\"protocol\": \"icmp\", \"slot\": 9, \"hits_base\": 0}}}");
    struct block b = compile_good(TABLES_RULES, m);
    const struct tables_rules *t = b.bytes;
    assert_int_equal(t->count, 2);
    assert_int_equal(t->rules[0].slot, 9);
    assert_int_equal(t->rules[1].slot, 9);
    assert_int_equal(dropped_by(t, "1.1.1.1", "2.2.2.2", 1, 0, 0), 1);
    assert_int_equal(dropped_by(t, "2001::1", "2001::2", 58, 0, 0), 1);
    assert_int_equal(dropped_by(t, "1.1.1.1", "2.2.2.2", 6, 0, 0), 0);
    block_free(&b);
    json_decref(m);
}

static void all_of_ipv4_is_not_ipv6(void **state)
{
    json_t *m = model_of(
        "{\"rules\": {\"1\": {\"source\": \"0.0.0.0/0\", \"slot\": 0, \"hits_base\": 0}}}");
    struct block b = compile_good(TABLES_RULES, m);
    assert_int_equal(dropped_by(b.bytes, "203.0.113.9", "2.2.2.2", 6, 0, 0), 1);
    assert_int_equal(dropped_by(b.bytes, "2001::1", "2001::2", 6, 0, 0), 0);
    block_free(&b);
    json_decref(m);
}

static const char routes_text[] =
    "{\"origins\": {"
    " \"b\": {\"address\": \"10.0.0.2\", \"port\": 8080, \"connections_max\": 7},"
    " \"a\": {\"address\": \"2001:db8::1\", \"port\": 80, \"connect_timeout_ms\": 11,"
    "         \"response_timeout_ms\": 12, \"idle_timeout_ms\": 13}},"
    " \"sites\": {"
    " \"www\": {\"hosts\": [\"www.example\", \"*.w.example\"], \"origin\": \"b\", \"waf\": true},"
    " \"api\": {\"hosts\": [\"api.example\"], \"origin\": \"a\"}%s}}";

/* "site/origin" that answers for a host, "-" for none. */
static const char *answers(const struct tables_routes *t, const json_t *model, const char *host,
                           char out[160])
{
    const struct tables_site *site = route_site(t, span_from_string(host));
    if (!site)
        return "-";
    const struct tables_origin *origin = route_origin(t, site->origin);
    snprintf(out, 160, "%s/%s", compile_site_name(model, site->id),
             compile_origin_name(model, origin->id));
    struct span name = tables_string_span(t, origin->name);
    assert_true(span_equal(name, span_from_string(compile_origin_name(model, origin->id))));
    return out;
}

static void routes_answer_as_written(void **state)
{
    char text[1024], out[160];
    snprintf(text, sizeof text, routes_text, "");
    json_t *m = model_of(text);
    struct block b = compile_good(TABLES_ROUTES, m);
    const struct tables_routes *t = b.bytes;
    assert_string_equal(answers(t, m, "www.example", out), "www/b");
    assert_string_equal(answers(t, m, "WWW.example", out), "www/b");
    assert_string_equal(answers(t, m, "x.w.example", out), "www/b");
    assert_string_equal(answers(t, m, "x.y.w.example", out), "-");
    assert_string_equal(answers(t, m, "api.example", out), "api/a");
    assert_string_equal(answers(t, m, "other.example", out), "-");
    assert_string_equal(answers(t, m, "", out), "-");
    assert_int_equal(route_site(t, SPAN_LITERAL("www.example"))->flags, TABLES_SITE_WAF);
    assert_int_equal(route_site(t, SPAN_LITERAL("api.example"))->flags, 0);
    const struct tables_origin *a = route_origin(t, 0), *o = route_origin(t, 1);
    assert_int_equal(a->port, 80);
    assert_int_equal(a->connect_timeout_ms, 11);
    assert_int_equal(a->response_timeout_ms, 12);
    assert_int_equal(a->idle_timeout_ms, 13);
    assert_int_equal(o->connections_max, 7);
    assert_true(address_is4(o->address));
    block_free(&b);
    json_decref(m);
}

static void default_site_answers_the_rest(void **state)
{
    char text[1024], out[160];
    static const char *const defaults[] = {
        ", \"rest\": {\"origin\": \"b\", \"default\": true}",
        ", \"rest\": {\"hosts\": [\"a\", \"zz\"], \"origin\": \"b\", \"default\": true}"};
    for (unsigned i = 0; i < 2; i++) {
        snprintf(text, sizeof text, routes_text, defaults[i]);
        json_t *m = model_of(text);
        struct block b = compile_good(TABLES_ROUTES, m);
        assert_string_equal(answers(b.bytes, m, "other.example", out), "rest/b");
        assert_string_equal(answers(b.bytes, m, "", out), "rest/b");
        assert_string_equal(answers(b.bytes, m, "api.example", out), "api/a");
        assert_int_equal(route_site(b.bytes, SPAN_LITERAL("nobody"))->flags, TABLES_SITE_DEFAULT);
        block_free(&b);
        json_decref(m);
    }
}

static void too_many_hosts_are_refused(void **state)
{
    json_t *sites = json_object(), *m = model_new();
    json_object_set_new(model_get(m, "origins"), "o",
                        json_pack("{s:s, s:i}", "address", "10.0.0.1", "port", 80));
    for (unsigned i = 0; i < 65; i++) {
        json_t *hosts = json_array();
        char text[64];
        for (unsigned j = 0; j < 64; j++) {
            snprintf(text, sizeof text, "h%u.s%u.example", j, i);
            json_array_append_new(hosts, json_string(text));
        }
        snprintf(text, sizeof text, "s%u", i);
        json_object_set_new(sites, text,
                            json_pack("{s:o, s:s, s:b, s:b}", "hosts", hosts, "origin", "o", "waf",
                                      0, "default", 0));
    }
    json_object_set_new(m, "sites", sites);
    struct block b;
    struct problem p = {0};
    assert_false(compile_tables(TABLES_ROUTES, m, 0, &b, &p));
    assert_int_equal(p.status, 507);
    assert_null(b.bytes);
    problem_clear(&p);
    json_object_del(sites, "s64");
    assert_true(compile_tables(TABLES_ROUTES, m, 0, &b, &p));
    assert_int_equal(((const struct tables_routes *)b.bytes)->site_count, 4096);
    block_free(&b);
    json_decref(m);
}

static json_t *certificate(const char *name, const char *chain, const char *key, bool is_default)
{
    return json_pack("{s:[s, s], s:s, s:s, s:b}", "names", name, "*.x.example", "chain_pem", chain,
                     "key_pem", key, "default", is_default);
}

static void certificates_are_laid_out(void **state)
{
    json_t *m = model_new();
    json_object_set_new(model_get(m, "certificates"), "c",
                        certificate("a.example", test_chain_pem, test_key_pem, true));
    struct block b = compile_good(TABLES_CERTIFICATES, m);
    assert_true(b.secret);
    const struct tables_certificates *t = b.bytes;
    assert_int_equal(t->count, 1);
    struct span names = tables_string_span(t, t->certificates[0].names);
    assert_int_equal(names.len, sizeof "a.example\0*.x.example");
    assert_memory_equal(names.data, "a.example\0*.x.example", names.len);
    assert_true(span_equal(tables_string_span(t, t->certificates[0].key_pem),
                           span_from_string(test_key_pem)));
    assert_true(span_equal(tables_string_span(t, t->certificates[0].chain_pem),
                           span_from_string(test_chain_pem)));
    assert_int_equal(t->certificates[0].flags, TABLES_CERTIFICATE_DEFAULT);
    block_free(&b);
    assert_null(b.bytes);
    json_decref(m);
}

static json_t *keyserver(const char *server_name, const char *key)
{
    return json_pack("{s:[s, s], s:s, s:s, s:s, s:s}", "addresses", "192.0.2.1:2407",
                     "[2001:db8::1]:99", "server_name", server_name, "ca_pem", test_chain_pem,
                     "chain_pem", test_chain_pem, "key_pem", key);
}

static void keyservers_are_laid_out(void **state)
{
    static const uint8_t address6[16] = {0x20, 1, 0x0d, 0xb8, [15] = 1};
    static const uint8_t address4[16] = {[10] = 0xff, 0xff, 192, 0, 2, 1};
    json_t *m = model_new();
    json_object_set_new(model_get(m, "keyservers"), "b", keyserver("b.example", test_key_pem));
    json_object_set_new(model_get(m, "keyservers"), "a", keyserver("a.example", test_key_pem));
    json_object_set_new(model_get(m, "certificates"), "c",
                        certificate("a.example", test_chain_pem, test_key_pem, true));
    json_object_set_new(model_get(m, "certificates"), "d",
                        json_pack("{s:[s], s:s, s:s}", "names", "d.example", "chain_pem",
                                  test_chain_pem, "keyserver", "b"));
    struct block b = compile_good(TABLES_CERTIFICATES, m);
    const struct tables_certificates *t = b.bytes;
    const struct tables_keyserver *k = tables_keyservers(t);
    assert_int_equal(t->keyserver_count, 2);
    assert_int_equal(t->certificates[0].keyserver, UINT32_MAX);
    assert_int_equal(t->certificates[1].keyserver, 1);
    assert_int_equal(t->certificates[1].key_pem.len, 0);
    assert_true(span_equal(tables_string_span(t, k[1].server_name), span_from_string("b.example")));
    assert_true(span_equal(tables_string_span(t, k[1].key_pem), span_from_string(test_key_pem)));
    assert_true(span_equal(tables_string_span(t, k[1].ca_pem), span_from_string(test_chain_pem)));
    assert_int_equal(k[1].address_count, 2);
    assert_memory_equal(k[1].addresses[0].address, address4, 16);
    assert_memory_equal(k[1].addresses[1].address, address6, 16);
    assert_int_equal(k[1].addresses[0].port, 2407);
    assert_int_equal(k[1].addresses[1].port, 99);
    block_free(&b);
    json_object_set_new(model_get(m, "keyservers"), "a",
                        keyserver("a.example", test_other_key_pem));
    struct problem p = {0};
    assert_false(compile_tables(TABLES_CERTIFICATES, m, 0, &b, &p));
    assert_int_equal(p.status, 422);
    assert_string_equal(p.slug, "keyserver");
    assert_string_equal(json_text(p.extra, "keyserver"), "a");
    problem_clear(&p);
    json_decref(m);
}

static void wrong_key_is_found(void **state)
{
    json_t *m = model_new();
    struct problem p = {0};
    struct block b;
    json_object_set_new(model_get(m, "certificates"), "a",
                        certificate("a.example", test_chain_pem, test_key_pem, true));
    json_object_set_new(model_get(m, "certificates"), "b",
                        certificate("b.example", test_chain_pem, test_other_key_pem, false));
    assert_false(compile_tables(TABLES_CERTIFICATES, m, 0, &b, &p));
    assert_int_equal(p.status, 422);
    assert_string_equal(json_text(p.extra, "certificate"), "b");
    assert_null(b.bytes);
    problem_clear(&p);
    json_decref(m);
}

static void waf_program_opens(void **state)
{
    json_t *m = model_of(
        "{\"waf\": [{\"id\": 1, \"targets\": [\"uri\"], \"pattern\": \"union\\\\s+select\","
        " \"message\": \"SQL\", \"action\": \"block\"}]}");
    struct block b = compile_good(TABLES_WAF, m);
    const struct tables_waf *t = b.bytes;
    struct waf_program *program;
    /* a blob is used where it lies, 64-byte aligned; malloc promises 16 */
    void *copy = aligned_alloc(64, (t->program_len + 63) & ~63u);
    memcpy(copy, (const uint8_t *)b.bytes + t->program_offset, t->program_len);
    assert_int_equal(waf_program_open(span_make(copy, t->program_len), &program), TG_OK);
    waf_program_close(program);
    free(copy);
    block_free(&b);
    json_decref(m);
}

static void waf_pattern_fault_has_its_index(void **state)
{
    json_t *m = model_of(
        "{\"waf\": [{\"id\": 1, \"targets\": [\"uri\"], \"pattern\": \"a\", \"message\": \"m\","
        "\"action\": \"block\"}, {\"id\": 2, \"targets\": [\"uri\"], \"pattern\": \"(a\","
        "\"message\": \"m\", \"action\": \"block\"}]}");
    struct problem p = {0};
    struct block b;
    assert_false(compile_tables(TABLES_WAF, m, 0, &b, &p));
    assert_int_equal(p.status, 422);
    assert_string_equal(p.pointer, "/1/pattern");
    assert_int_equal(json_integer_value(json_object_get(p.extra, "index")), 1);
    problem_clear(&p);
    json_decref(m);
}

static void owners_name_this_node(void **state)
{
    json_t *m = model_new();
    struct block b = compile_good(TABLES_OWNERS, m);
    const struct tables_owners *t = b.bytes;
    for (unsigned i = 0; i < t->bucket_count; i++) {
        assert_int_equal(t->owners[i][0], 5);
        assert_int_equal(t->owners[i][1], 0xffff);
    }
    block_free(&b);
    json_decref(m);
}

static void empty_model_compiles(void **state)
{
    json_t *m = model_new();
    for (unsigned k = 0; k < TABLES_KINDS; k++) {
        struct block b = compile_good((enum tables_kind)k, m);
        block_free(&b);
    }
    json_decref(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_match_as_written),
        cmocka_unit_test(icmp_of_any_family_takes_two_entries),
        cmocka_unit_test(all_of_ipv4_is_not_ipv6),
        cmocka_unit_test(routes_answer_as_written),
        cmocka_unit_test(default_site_answers_the_rest),
        cmocka_unit_test(too_many_hosts_are_refused),
        cmocka_unit_test(certificates_are_laid_out),
        cmocka_unit_test(keyservers_are_laid_out),
        cmocka_unit_test(wrong_key_is_found),
        cmocka_unit_test(waf_program_opens),
        cmocka_unit_test(waf_pattern_fault_has_its_index),
        cmocka_unit_test(owners_name_this_node),
        cmocka_unit_test(empty_model_compiles),
    };
    if (tls_start() != TG_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
