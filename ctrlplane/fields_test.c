/* SPDX-License-Identifier: BSD-3-Clause
 * Field readers, prefixes, problem documents, resource readers: the pure parts of the API.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctrlplane/control_test_support.h"
#include "ctrlplane/resource.h"

#include <stdio.h>
#include <string.h>

static json_t *parse(const char *text)
{
    json_error_t error;
    json_t *value = json_loads(text, JSON_DECODE_ANY, &error);
    if (!value)
        fail_msg("%s: %s", text, error.text);
    return value;
}

static void first_fault_sticks(void **state)
{
    static const char *const known[] = {"a", "b", "c", NULL};
    struct problem p = {0};
    json_t *o = parse("{\"a\": 5, \"b\": \"x\"}");
    struct fields f = fields_begin(o, "/3", known, &p);
    assert_int_equal(fields_integer(&f, "a", true, 0, 0, 5), 5);
    assert_int_equal(p.status, 0);
    assert_null(fields_string(&f, "a", true, 1, 5));
    assert_int_equal(p.status, 422);
    assert_string_equal(p.pointer, "/3/a");
    assert_string_equal(p.detail, "must be a string, not an integer");
    assert_null(fields_string(&f, "b", true, 1, 5)); /* good, but after the fault */
    assert_true(fields_bool(&f, "c", true));
    assert_string_equal(p.pointer, "/3/a");
    problem_clear(&p);
    json_decref(o);
}

static void limits_are_inclusive(void **state)
{
    static const char *const known[] = {"n", "s", "l", NULL};
    json_t *o = parse("{\"n\": 10, \"s\": \"abc\", \"l\": [1, 2]}");
    struct problem p = {0};
    struct fields f = fields_begin(o, "", known, &p);
    assert_int_equal(fields_integer(&f, "n", true, 0, 10, 10), 10);
    assert_non_null(fields_string(&f, "s", true, 3, 3));
    assert_non_null(fields_array(&f, "l", true, 2));
    assert_int_equal(p.status, 0);
    assert_int_equal(fields_integer(&f, "n", true, -1, 11, 12), -1);
    assert_string_equal(p.detail, "must be 11 to 12, not 10");
    problem_clear(&p);
    assert_null(fields_array(&f, "l", true, 1));
    assert_string_equal(p.pointer, "/l");
    problem_clear(&p);
    assert_null(fields_string(&f, "s", true, 4, 9));
    problem_clear(&p);
    assert_null(fields_string(&f, "missing", true, 1, 2));
    assert_string_equal(p.detail, "is missing");
    problem_clear(&p);
    assert_null(fields_string(&f, "missing", false, 1, 2));
    assert_int_equal(p.status, 0);
    json_decref(o);
}

static void problem_document_is_whole(void **state)
{
    struct problem p = {0};
    problem_set(&p, 422, "x", "/a", "bad \xc3\xa9 %d", 5);
    problem_set(&p, 500, "y", "/b", "later");
    problem_extra(&p, "index", json_integer(3));
    json_t *o = problem_json(&p);
    assert_string_equal(json_text(o, "type"), "urn:tidegate:problem:x");
    assert_string_equal(json_text(o, "title"), "Unprocessable Content");
    assert_string_equal(json_text(o, "detail"), "bad \xc3\xa9 5");
    assert_string_equal(json_text(o, "pointer"), "/a");
    assert_int_equal(json_integer_value(json_object_get(o, "status")), 422);
    assert_int_equal(json_integer_value(json_object_get(o, "index")), 3);
    json_decref(o);
    problem_clear(&p);
    /* a detail that was cut in mid-character is still JSON */
    char text[800];
    memset(text, 'a', sizeof text);
    for (size_t i = 1; i + 2 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    text[sizeof text - 1] = 0;
    problem_set(&p, 404, "x", "", "%s", text);
    o = problem_json(&p);
    assert_true(strlen(json_text(o, "detail")) > 600);
    json_decref(o);
    problem_clear(&p);
}

static void pointer_never_overruns(void **state)
{
    char out[8] = "";
    pointer_append(out, sizeof out, "a/b~c-and-more");
    assert_true(strlen(out) < sizeof out);
    pointer_append(out, sizeof out, "x");
    assert_true(strlen(out) < sizeof out);
    assert_memory_equal(out, "/a~1b", 5);
}

static void prefixes_round_trip(void **state)
{
    static const struct {
        const char *in, *out;
        unsigned bits;
    } good[] = {
        {"192.0.2.0/24", "192.0.2.0/24", 120},
        {"192.0.2.1", "192.0.2.1", 128},
        {"192.0.2.1/32", "192.0.2.1", 128},
        {"0.0.0.0/0", "0.0.0.0/0", 96},
        {"128.0.0.0/1", "128.0.0.0/1", 97},
        {"2001:DB8::/32", "2001:db8::/32", 32},
        {"2001:db8:0:0::1/128", "2001:db8::1", 128},
        {"::/0", "::/0", 0},
        {"fe80::/10", "fe80::/10", 10},
    };
    for (size_t i = 0; i < TG_ARRAY_LEN(good); i++) {
        struct prefix p;
        char problem[160], text[PREFIX_TEXT_MAX];
        assert_null(prefix_parse(good[i].in, true, &p, problem));
        assert_int_equal(p.bits, good[i].bits);
        assert_string_equal(prefix_text(&p, text), good[i].out);
    }
    static const char *const bad[] = {"",
                                      "/",
                                      "/24",
                                      "1.2.3.4/",
                                      "1.2.3.4/33",
                                      "1.2.3.4/024x",
                                      "1.2.3",
                                      "::1/129",
                                      "::ffff:1.2.3.4",
                                      "::ffff:1.2.3.0/120",
                                      "1.2.3.4/1000",
                                      " 1.2.3.4",
                                      "1.2.3.4 ",
                                      "fe80::1%eth0",
                                      "1.2.3.4/8",
                                      "::1/64"};
    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++) {
        struct prefix p;
        char problem[160];
        assert_non_null(prefix_parse(bad[i], true, &p, problem));
    }
    struct prefix p;
    char problem[160];
    assert_string_equal(prefix_parse("10.1.2.3/12", true, &p, problem),
                        "has bits set behind its length; the prefix is 10.0.0.0/12");
    assert_null(prefix_parse("10.1.2.3/12", false, &p, problem));
}

static void hosts_are_checked(void **state)
{
    char out[256];
    assert_true(host_canonical("WWW.Example.COM", out));
    assert_string_equal(out, "www.example.com");
    static const char *const good[] = {"a",         "*.a",           "*.example.com",
                                       "192.0.2.1", "[2001:db8::1]", "xn--bcher-kva.example",
                                       "a_b.c-d"};
    static const char *const bad[] = {"",
                                      ".",
                                      "a.",
                                      ".a",
                                      "a..b",
                                      "*",
                                      "*.",
                                      "*a.b",
                                      "a.*",
                                      "a:80",
                                      "a b",
                                      "a/b",
                                      "[::1",
                                      "::1",
                                      "[1.2.3.4]",
                                      "[]",
                                      "[",
                                      "]",
                                      "b\xc3\xbc.example",
                                      "*.*.a"};
    for (size_t i = 0; i < TG_ARRAY_LEN(good); i++)
        if (!host_canonical(good[i], out))
            fail_msg("%s", good[i]);
    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++)
        if (host_canonical(bad[i], out))
            fail_msg("%s", bad[i]);
    char longest[300];
    memset(longest, 'a', sizeof longest);
    for (size_t i = 63; i < sizeof longest; i += 64)
        longest[i] = '.';
    longest[253] = 0;
    assert_true(host_canonical(longest, out));
    longest[253] = 'a';
    longest[254] = 0;
    assert_false(host_canonical(longest, out));
    longest[63] = 'a';
    longest[200] = 0;
    assert_false(host_canonical(longest, out)); /* a label of more than 63 */
}

/* A body that is wrong in one place, and which. */
struct faulty {
    json_t *(*read)(const json_t *in, const char *pointer, struct problem *problem);
    const char *body, *pointer;
};

static void faults_expect(const struct faulty cases[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct problem p = {0};
        json_t *in = parse(cases[i].body);
        assert_null(cases[i].read(in, "", &p));
        assert_int_equal(p.status, 422);
        assert_string_equal(p.pointer, cases[i].pointer);
        problem_clear(&p);
        json_decref(in);
    }
}

/* Every reader against bodies that are wrong in one place. */
static void readers_point_at_the_fault(void **state)
{
    static const struct faulty cases[] = {
        {site_read, "{\"hosts\": [\"a\"]}", "/origin"},
        {site_read, "{\"hosts\": [\"a\"], \"origin\": \"\"}", "/origin"},
        {site_read, "{\"origin\": \"o\"}", "/hosts"},
        {site_read, "{\"origin\": \"o\", \"hosts\": []}", "/hosts"},
        {site_read, "{\"origin\": \"o\", \"hosts\": [\"a\", 5]}", "/hosts/1"},
        {site_read, "{\"origin\": \"o\", \"hosts\": [\"a\", \"b\", \"A\"]}", "/hosts/2"},
        {site_read, "{\"origin\": \"o\", \"hosts\": \"a\"}", "/hosts"},
        {site_read, "{\"origin\": \"o\", \"host\": \"a:80\"}", "/host"},
        {site_read, "{\"origin\": \"o\", \"host\": \"a\", \"hosts\": [\"b\"]}", "/host"},
        {site_read, "{\"origin\": \"o\", \"host\": \"a\", \"waf\": \"on\"}", "/waf"},
        {site_read, "{\"origin\": \"o\", \"host\": \"a\", \"default\": 1}", "/default"},
        {site_read, "{\"origin\": \"o\", \"host\": \"a\", \"tls\": true}", "/tls"},
        {origin_read, "{\"port\": 80}", "/address"},
        {origin_read, "{\"address\": \"10.0.0.1\"}", "/port"},
        {origin_read, "{\"address\": \"10.0.0.1\", \"port\": 0}", "/port"},
        {origin_read, "{\"address\": \"10.0.0.1\", \"port\": \"80\"}", "/port"},
        {origin_read, "{\"address\": \"origin.example\", \"port\": 80}", "/address"},
        {origin_read, "{\"address\": \"0.0.0.0\", \"port\": 80}", "/address"},
        {origin_read, "{\"address\": \"224.0.0.1\", \"port\": 80}", "/address"},
        {origin_read, "{\"address\": \"255.255.255.255\", \"port\": 80}", "/address"},
        {origin_read, "{\"address\": \"::\", \"port\": 80}", "/address"},
        {origin_read, "{\"address\": \"ff02::1\", \"port\": 80}", "/address"},
        {origin_read, "{\"address\": \"::1\", \"port\": 80, \"connections_max\": 0}",
         "/connections_max"},
        {origin_read, "{\"address\": \"::1\", \"port\": 80, \"idle_timeout_ms\": 1e3}",
         "/idle_timeout_ms"},
        {certificate_read, "{\"names\": [\"a\"], \"key_pem\": \"x\"}", "/chain_pem"},
        {certificate_read, "{\"names\": [\"a\"], \"chain_pem\": \"x\", \"key_pem\": \"x\"}",
         "/chain_pem"},
        {certificate_read,
         "{\"names\": [\"a\"], \"chain_pem\": \"-----BEGIN CERTIFICATE-----\", \"key_pem\": \"x\"}",
         "/key_pem"},
        {certificate_read,
         "{\"chain_pem\": \"-----BEGIN CERTIFICATE-----\", \"key_pem\": \"PRIVATE KEY-----\"}",
         "/names"},
        {certificate_read, "{\"names\": [\"a\"], \"chain_pem\": \"-----BEGIN CERTIFICATE-----\"}",
         "/key_pem"},
        {certificate_read,
         "{\"names\": [\"a\"], \"chain_pem\": \"-----BEGIN CERTIFICATE-----\", "
         "\"key_pem\": \"PRIVATE KEY-----\", \"keyserver\": \"k\"}",
         "/keyserver"},
        {certificate_read,
         "{\"names\": [\"a\"], \"chain_pem\": \"-----BEGIN CERTIFICATE-----\", "
         "\"keyserver\": 5}",
         "/keyserver"},
        {waf_rule_read, "{\"id\": 0}", "/id"},
        {waf_rule_read, "{\"id\": 1}", "/targets"},
        {waf_rule_read, "{\"id\": 1, \"targets\": []}", "/targets"},
        {waf_rule_read, "{\"id\": 1, \"targets\": [\"uri\", \"url\"]}", "/targets/1"},
        {waf_rule_read, "{\"id\": 1, \"targets\": [\"uri\"]}", "/pattern"},
        {waf_rule_read, "{\"id\": 1, \"targets\": [\"uri\"], \"pattern\": \"a\"}", "/message"},
        {waf_rule_read,
         "{\"id\": 1, \"targets\": [\"uri\"], \"pattern\": \"a\", \"message\": \"m\"}", "/action"},
        {waf_rule_read,
         "{\"id\": 1, \"targets\": [\"uri\"], \"pattern\": \"a\", \"message\": \"m\", \"action\": "
         "\"drop\"}",
         "/action"},
    };
    faults_expect(cases, TG_ARRAY_LEN(cases));
}

#define KEYSERVER(name, addresses)                                                                 \
    "{\"server_name\": \"" name "\", \"addresses\": [" addresses                                   \
    "], \"ca_pem\": \"-----BEGIN CERTIFICATE-----\", \"chain_pem\": "                              \
    "\"-----BEGIN CERTIFICATE-----\", \"key_pem\": \"PRIVATE KEY-----\"}"

static void keyserver_faults(void **state)
{
    static const struct faulty cases[] = {
        {keyserver_read, KEYSERVER("", "\"192.0.2.1\""), "/server_name"},
        {keyserver_read, KEYSERVER("*.k", "\"192.0.2.1\""), "/server_name"},
        {keyserver_read, KEYSERVER("k:2407", "\"192.0.2.1\""), "/server_name"},
        {keyserver_read, KEYSERVER("k", ""), "/addresses"},
        {keyserver_read, KEYSERVER("k", "\"k.example\""), "/addresses/0"},
        {keyserver_read, KEYSERVER("k", "\"192.0.2.1:0\""), "/addresses/0"},
        {keyserver_read, KEYSERVER("k", "\"192.0.2.1\", \"192.0.2.1:65536\""), "/addresses/1"},
        {keyserver_read, KEYSERVER("k", "\"192.0.2.1:\""), "/addresses/0"},
        {keyserver_read, KEYSERVER("k", "\":2407\""), "/addresses/0"},
        {keyserver_read, KEYSERVER("k", "\"[192.0.2.1]:2407\""), "/addresses/0"},
        {keyserver_read, KEYSERVER("k", "\"[2001:db8::1\""), "/addresses/0"},
        {keyserver_read, KEYSERVER("k", "\"0.0.0.0\""), "/addresses/0"},
        {keyserver_read, KEYSERVER("k", "5"), "/addresses/0"},
        {keyserver_read, KEYSERVER("k", "\"::1\", \"::1\", \"::1\", \"::1\", \"::1\""),
         "/addresses"},
        {keyserver_read, "{\"server_name\": \"k\", \"ca_pem\": \"x\"}", "/ca_pem"},
    };
    faults_expect(cases, TG_ARRAY_LEN(cases));
}

/* What a reader yields, it takes again and yields the same. */
static void canonical_forms_are_stable(void **state)
{
    struct problem p = {0};
    json_t *in = parse("{\"host\": \"A.example\", \"origin\": \"o\"}");
    json_t *once = site_read(in, "", &p), *twice = site_read(once, "", &p);
    assert_true(json_equal(once, twice));
    assert_string_equal(json_string_value(json_array_get(json_object_get(once, "hosts"), 0)),
                        "a.example");
    json_decref(in);
    json_decref(once);
    json_decref(twice);
    in = parse("{\"address\": \"2001:DB8::0:1\", \"port\": 8080}");
    once = origin_read(in, "", &p);
    twice = origin_read(once, "", &p);
    assert_true(json_equal(once, twice));
    assert_string_equal(json_text(once, "address"), "2001:db8::1");
    json_decref(in);
    json_decref(once);
    json_decref(twice);
    in = parse(KEYSERVER("Keys.EXAMPLE", "\"192.0.2.1\", \"192.0.2.2:99\", \"2001:DB8::0:1\", "
                                         "\"[::1]:65535\""));
    once = keyserver_read(in, "", &p);
    twice = keyserver_read(once, "", &p);
    assert_non_null(once);
    assert_true(json_equal(once, twice));
    assert_string_equal(json_text(once, "server_name"), "keys.example");
    static const char *const canonical[] = {"192.0.2.1:2407", "192.0.2.2:99", "[2001:db8::1]:2407",
                                            "[::1]:65535"};
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(
            json_string_value(json_array_get(json_object_get(once, "addresses"), i)), canonical[i]);
    json_decref(in);
    json_decref(once);
    json_decref(twice);
    static const char *const none[] = {NULL};
    struct drop_rule r;
    in = parse("{\"source\": \"10.0.0.0/8\", \"protocol\": \"17\", \"source_port\": \"53-53\", "
               "\"destination_port\": \"0-65535\"}");
    assert_true(rule_read(in, "", none, &r, &p));
    once = rule_json(&r);
    assert_true(rule_read(once, "", none, &r, &p));
    twice = rule_json(&r);
    assert_true(json_equal(once, twice));
    assert_string_equal(json_text(once, "protocol"), "udp");
    assert_int_equal(json_integer_value(json_object_get(once, "source_port")), 53);
    assert_null(json_object_get(once, "destination_port"));
    json_decref(in);
    json_decref(once);
    json_decref(twice);
    assert_int_equal(p.status, 0);
}

static void waf_ids_are_distinct(void **state)
{
    struct problem p = {0};
#define RULE(id)                                                                                   \
    "{\"id\": " id ", \"targets\": [\"uri\", \"body\"], \"pattern\": \"a\", "                      \
    "\"message\": \"m\", \"action\": \"detect\"}"
    json_t *in = parse("[" RULE("1") "," RULE("2") "," RULE("1") "]");
    assert_null(waf_rules_read(in, &p));
    assert_string_equal(p.pointer, "/2/id");
    assert_int_equal(json_integer_value(json_object_get(p.extra, "index")), 2);
    problem_clear(&p);
    json_decref(in);
    in = parse("[" RULE("1") "]");
    json_t *rules = waf_rules_read(in, &p);
    struct waf_rule r = waf_rule_from(json_array_get(rules, 0));
    assert_int_equal(r.id, 1);
    assert_int_equal(r.targets, WAF_IN_URI | WAF_IN_BODY);
    assert_false(r.block);
    assert_int_equal(r.pattern.len, 1);
    json_decref(in);
    json_decref(rules);
    in = parse("{}");
    assert_null(waf_rules_read(in, &p));
    assert_int_equal(p.status, 422);
    problem_clear(&p);
    json_decref(in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_fault_sticks),         cmocka_unit_test(limits_are_inclusive),
        cmocka_unit_test(problem_document_is_whole),  cmocka_unit_test(pointer_never_overruns),
        cmocka_unit_test(prefixes_round_trip),        cmocka_unit_test(hosts_are_checked),
        cmocka_unit_test(readers_point_at_the_fault), cmocka_unit_test(keyserver_faults),
        cmocka_unit_test(canonical_forms_are_stable), cmocka_unit_test(waf_ids_are_distinct),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
