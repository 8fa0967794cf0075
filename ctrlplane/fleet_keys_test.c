/* SPDX-License-Identifier: BSD-3-Clause
 * The format of the fleet store, byte by byte: whoever has to change an expectation here changes what other nodes read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctrlplane/fleet_keys.h"
#include "ctrlplane/resource.h"

#include <stdlib.h>
#include <string.h>

static char prefix[FLEET_KEY_MAX];

static void keys_are_as_written(void **state)
{
    static const struct {
        enum fleet_part part;
        const char *name, *key;
    } cases[] = {
        {KEY_META, "", "/tidegate/v1/fleet/lab/meta"},
        {KEY_HEARTBEAT, "", "/tidegate/v1/fleet/lab/heartbeat"},
        {KEY_GUARD_NODES, "", "/tidegate/v1/fleet/lab/guard/nodes"},
        {KEY_GUARD_ROUTES, "", "/tidegate/v1/fleet/lab/guard/routes"},
        {KEY_FLEET, "", "/tidegate/v1/fleet/lab/fleet"},
        {KEY_NODES, "edge-1.site", "/tidegate/v1/fleet/lab/nodes/edge-1.site"},
        {KEY_ORIGINS, "app", "/tidegate/v1/fleet/lab/origins/app"},
        {KEY_RULES, "4294967295", "/tidegate/v1/fleet/lab/rules/4294967295"},
        {KEY_SITES, "www.example.com", "/tidegate/v1/fleet/lab/sites/www.example.com"},
        {KEY_WAF, "", "/tidegate/v1/fleet/lab/waf"},
    };
    (void)state;
    for (size_t i = 0; i < TG_ARRAY_LEN(cases); i++) {
        char key[FLEET_KEY_MAX];
        const char *name;
        fleet_key(prefix, cases[i].part, cases[i].name, key);
        assert_string_equal(key, cases[i].key);
        assert_int_equal(fleet_key_parse(prefix, cases[i].key, &name), cases[i].part);
        assert_string_equal(name, cases[i].name);
    }
}

static void strange_keys_are_told(void **state)
{
    static const char *const keys[] = {
        "",
        "/tidegate/v1/fleet/lab/",
        "/tidegate/v1/fleet/lab",
        "/tidegate/v1/fleet/other/waf",
        "/tidegate/v2/fleet/lab/waf",
        "/tidegate/v1/fleet/lab/waf/",
        "/tidegate/v1/fleet/lab/wafx",
        "/tidegate/v1/fleet/lab/meta/x",
        "/tidegate/v1/fleet/lab/rules/",
        "/tidegate/v1/fleet/lab/rules/0",
        "/tidegate/v1/fleet/lab/rules/07",
        "/tidegate/v1/fleet/lab/rules/4294967296",
        "/tidegate/v1/fleet/lab/rules/99999999999999999999",
        "/tidegate/v1/fleet/lab/rules/-1",
        "/tidegate/v1/fleet/lab/rules/7/x",
        "/tidegate/v1/fleet/lab/sites/",
        "/tidegate/v1/fleet/lab/sites/.hidden",
        "/tidegate/v1/fleet/lab/sites/a/b",
        "/tidegate/v1/fleet/lab/sites/a?b",
        "/tidegate/v1/fleet/lab/certificates/www",
        "/tidegate/v1/fleet/lab/guard",
        "/tidegate/v1/fleet/lab/guard/waf",
        "/tidegate/v1/fleet/lab/fleet/x",
        "/tidegate/v1/fleet/lab/nodes",
        "/tidegate/v1/fleet/lab/nodes/a b",
    };
    (void)state;
    for (size_t i = 0; i < TG_ARRAY_LEN(keys); i++) {
        const char *name;
        assert_int_equal(fleet_key_parse(prefix, keys[i], &name), KEY_STRANGE);
    }
}

/* The longest fleet and the longest name fit. */
static void longest_key_fits(void **state)
{
    char fleet[65], name[RESOURCE_NAME_MAX + 2], long_prefix[FLEET_KEY_MAX], key[FLEET_KEY_MAX];
    const char *found;
    (void)state;
    memset(fleet, 'f', sizeof fleet);
    fleet[64] = 0;
    memset(name, 'n', sizeof name);
    name[RESOURCE_NAME_MAX] = 0;
    fleet_prefix(fleet, long_prefix);
    fleet_key(long_prefix, KEY_ORIGINS, name, key);
    assert_int_equal(fleet_key_parse(long_prefix, key, &found), KEY_ORIGINS);
    assert_string_equal(found, name);
    name[RESOURCE_NAME_MAX] = 'n'; /* one more is no name */
    name[RESOURCE_NAME_MAX + 1] = 0;
    fleet_key(long_prefix, KEY_ORIGINS, name, key);
    assert_int_equal(fleet_key_parse(long_prefix, key, &found), KEY_STRANGE);
}

static void value_expect(enum fleet_part part, json_t *resource, const char *expected)
{
    assert_non_null(resource);
    char *text = fleet_value(part, resource);
    assert_string_equal(text, expected);
    free(text);
    json_decref(resource);
}

static json_t *parsed(const char *text)
{
    json_t *value = json_loads(text, 0, NULL);
    assert_non_null(value);
    return value;
}

typedef json_t *reader(const json_t *in, const char *pointer, struct problem *problem);

static json_t *read_by(reader *read, const char *text)
{
    struct problem problem = {0};
    json_t *in = parsed(text), *value = read(in, "", &problem);
    json_decref(in);
    assert_int_equal(problem.status, 0);
    return value;
}

static void values_are_as_written(void **state)
{
    (void)state;
    value_expect(KEY_ORIGINS, read_by(origin_read, "{\"port\": 8080, \"address\": \"10.0.0.5\"}"),
                 "{\"address\":\"10.0.0.5\",\"connect_timeout_ms\":3000,\"connections_max\":256,"
                 "\"idle_timeout_ms\":60000,\"port\":8080,\"response_timeout_ms\":30000}");
    value_expect(
        KEY_SITES,
        read_by(site_read, "{\"host\": \"WWW.example.com\", \"origin\": \"app\", \"waf\": true}"),
        "{\"default\":false,\"hosts\":[\"www.example.com\"],\"origin\":\"app\",\"waf\":true}");
    value_expect(KEY_NODES,
                 read_by(node_read, "{\"slot\": 7, \"site\": 1, \"address4\": \"192.0.2.1\", "
                                    "\"address6\": \"2001:DB8::1\"}"),
                 "{\"address4\":\"192.0.2.1\",\"address6\":\"2001:db8::1\",\"site\":1,\"slot\":7}");
    value_expect(KEY_NODES,
                 read_by(node_read, "{\"slot\": 0, \"site\": 0, \"address6\": \"2001:db8::1\"}"),
                 "{\"address6\":\"2001:db8::1\",\"site\":0,\"slot\":0}");
    value_expect(KEY_FLEET, read_by(fleet_setting_read, "{\"forward\": false}"),
                 "{\"forward\":false}");
    /* where its hits are counted is a node's own business */
    value_expect(KEY_RULES,
                 parsed("{\"source\": \"192.0.2.0/24\", \"protocol\": \"tcp\", \"slot\": 3, "
                        "\"hits_base\": 7, \"destination_port\": 80}"),
                 "{\"destination_port\":80,\"protocol\":\"tcp\",\"source\":\"192.0.2.0/24\"}");
    value_expect(
        KEY_WAF,
        parsed("[{\"id\": 1001, \"targets\": [\"uri\"], \"pattern\": \"a\", \"message\": \"m\", "
               "\"action\": \"block\"}]"),
        "[{\"action\":\"block\",\"id\":1001,\"message\":\"m\",\"pattern\":\"a\",\"targets\":"
        "[\"uri\"]}]");
}

static void text_expect(char *text, const char *expected)
{
    assert_string_equal(text, expected);
    free(text);
}

static void bookkeeping_is_as_written(void **state)
{
    (void)state;
    text_expect(fleet_meta_value("edge1"), "{\"format\":1,\"made_by\":\"edge1\"}");
    text_expect(fleet_heartbeat_value("edge1", "1f0c"), "{\"node\":\"edge1\",\"run\":\"1f0c\"}");
    text_expect(fleet_guard_value("edge1"), "{\"node\":\"edge1\"}");
}

static void parts_know_their_tables(void **state)
{
    (void)state;
    assert_int_equal(fleet_tables(KEY_RULES), TABLES_RULES);
    assert_int_equal(fleet_tables(KEY_SITES), TABLES_ROUTES);
    assert_int_equal(fleet_tables(KEY_ORIGINS), TABLES_ROUTES);
    assert_int_equal(fleet_tables(KEY_WAF), TABLES_WAF);
    assert_int_equal(fleet_tables(KEY_NODES), TABLES_OWNERS);
    assert_int_equal(fleet_tables(KEY_FLEET), TABLES_OWNERS);
    assert_null(fleet_collection(KEY_META));
    assert_null(fleet_collection(KEY_GUARD_NODES));
    assert_null(fleet_collection(KEY_HEARTBEAT));
    assert_null(fleet_collection(KEY_GUARD_ROUTES));
    assert_null(fleet_collection(KEY_STRANGE));
}

int main(void)
{
    fleet_prefix("lab", prefix);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_as_written),       cmocka_unit_test(strange_keys_are_told),
        cmocka_unit_test(longest_key_fits),          cmocka_unit_test(values_are_as_written),
        cmocka_unit_test(bookkeeping_is_as_written), cmocka_unit_test(parts_know_their_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
