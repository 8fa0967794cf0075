/* SPDX-License-Identifier: BSD-3-Clause
 * Nodes and the fleet's setting: through the API of a node, from the fleet store, and over a restart; what is refused,
 * with its pointer; what status says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctrlplane/fleet_test_support.h"

#include <sys/stat.h>

#define US    "{\"slot\": 5, \"site\": 2, \"address4\": \"10.0.0.5\", \"address6\": \"2001:db8::5\"}"
#define OTHER "{\"slot\": 6, \"site\": 3, \"address4\": \"10.0.0.6\"}"

static const char secrets_text[] =
    "owner = ( { id = 1; secret = \"000102030405060708090a0b0c0d0e0f\"; } );\n"
    "syn = ( { id = 1; secret = \"000102030405060708090a0b0c0d0e0f\"; } );\n"
    "tunnel = ( { id = 1; secret = \"000102030405060708090a0b0c0d0e0f\"; } );\n"
    "ticket = ( { id = 1; secret = \"000102030405060708090a0b0c0d0e0f\"; } );\n"
    "bucket = \"000102030405060708090a0b0c0d0e0f\";\n";

static void secrets_write(struct node *n, mode_t mode)
{
    char path[128];
    snprintf(path, sizeof path, "%s/secrets", n->place.directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(secrets_text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
    snprintf(n->place.config.secrets, sizeof n->place.config.secrets, "%s", path);
}

/* The configuration of the node that US tells of. */
static void configure(struct node *n, bool secrets)
{
    struct config *c = &n->place.config;
    c->node_slot = 5;
    c->node_site = 2;
    c->port_count = 1;
    c->ports[0].address_count = 3;
    assert_int_equal(config_parse_prefix("10.0.0.5/24", &c->ports[0].addresses[0]), TG_OK);
    assert_int_equal(config_parse_prefix("2001:db8::5/64", &c->ports[0].addresses[1]), TG_OK);
    assert_int_equal(config_parse_prefix("203.0.113.80/32", &c->ports[0].addresses[2]), TG_OK);
    if (secrets)
        secrets_write(n, 0640);
}

static int setup_as(void **state, int (*make)(void **state), bool secrets)
{
    make(state);
    struct node *n = *state;
    configure(n, secrets);
    node_reopen(n);
    fake_settle(&n->fake);
    NODE_WAIT(n, node_connected(n));
    return 0;
}

static int setup(void **state)
{
    return setup_as(state, node_setup_alone, true);
}
static int setup_without_secrets(void **state)
{
    return setup_as(state, node_setup_alone, false);
}
static int setup_in_store(void **state)
{
    return setup_as(state, node_setup, true);
}

static const struct tables_owners *owners_in_force(struct node *n)
{
    struct span block;
    uint64_t number;
    assert_int_equal(region_current(&n->fake.region, TABLES_OWNERS, &block, &number), TG_OK);
    return (const void *)block.data;
}

static void put(struct node *n, const char *path, const char *body, unsigned status)
{
    json_decref(api_expect(&n->control, "PUT", path, body, status));
}

/* What /v1/status says: one of how many nodes, or alone and why ("": not even that). */
static void place_expect(struct node *n, unsigned nodes, bool member, const char *alone)
{
    json_t *fleet = fleet_of_status(n);
    assert_int_equal(json_integer_value(json_object_get(fleet, "nodes")), nodes);
    assert_int_equal(json_is_true(json_object_get(fleet, "member")), member);
    assert_int_equal(json_object_get(fleet, "alone") != NULL, alone[0] != 0);
    assert_non_null(strstr(json_text(fleet, "alone"), alone));
    json_decref(fleet);
    assert_int_equal(owners_in_force(n)->node_count, member ? nodes : 0);
}

/* --- the API ------------------------------------------------------------------------------------------------------ */

static void nodes_make_a_fleet(void **state)
{
    struct node *n = *state;
    place_expect(n, 0, false, "");
    struct api_response r = api_ask(&n->control, "PUT", "/v1/nodes/other", OTHER);
    assert_int_equal(r.status, 201);
    assert_string_equal(r.location, "/v1/nodes/other");
    assert_string_equal(json_text(r.body, "address4"), "10.0.0.6");
    assert_null(json_object_get(r.body, "address6"));
    json_decref(r.body);
    place_expect(n, 1, false, "none of the nodes has our slot 5");
    put(n, "/v1/nodes/us", US, 201);
    place_expect(n, 2, true, "");
    json_t *list = api_expect(&n->control, "GET", "/v1/nodes", NULL, 200);
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(json_text(json_array_get(list, 1), "name"), "us");
    assert_string_equal(json_text(json_array_get(list, 1), "address6"), "2001:db8::5");
    json_decref(list);
    put(n, "/v1/nodes/other", "{\"slot\": 6, \"site\": 3, \"address6\": \"2001:DB8:0::6\"}", 200);
    json_t *other = api_expect(&n->control, "GET", "/v1/nodes/other", NULL, 200);
    assert_string_equal(json_text(other, "address6"), "2001:db8::6");
    json_decref(other);
    json_decref(api_expect(&n->control, "DELETE", "/v1/nodes/us", NULL, 200));
    place_expect(n, 1, false, "none of the nodes");
    json_decref(api_expect(&n->control, "DELETE", "/v1/nodes/other", NULL, 200));
    place_expect(n, 0, false, "");
    json_decref(api_expect(&n->control, "DELETE", "/v1/nodes/other", NULL, 404));
    json_decref(api_expect(&n->control, "GET", "/v1/nodes/other", NULL, 404));
}

static void wrong_nodes_are_refused(void **state)
{
    static const struct {
        const char *body, *pointer;
    } cases[] = {
        {"[]", ""},
        {"{\"site\": 1, \"address4\": \"10.0.0.7\"}", "/slot"},
        {"{\"slot\": 7, \"address4\": \"10.0.0.7\"}", "/site"},
        {"{\"slot\": 7, \"site\": 1}", "/address4"},
        {"{\"slot\": 4095, \"site\": 1, \"address4\": \"10.0.0.7\"}", "/slot"},
        {"{\"slot\": -1, \"site\": 1, \"address4\": \"10.0.0.7\"}", "/slot"},
        {"{\"slot\": \"7\", \"site\": 1, \"address4\": \"10.0.0.7\"}", "/slot"},
        {"{\"slot\": 7, \"site\": 256, \"address4\": \"10.0.0.7\"}", "/site"},
        {"{\"slot\": 7, \"site\": 1.5, \"address4\": \"10.0.0.7\"}", "/site"},
        {"{\"slot\": 7, \"site\": 1, \"address4\": \"10.0.0\"}", "/address4"},
        {"{\"slot\": 7, \"site\": 1, \"address4\": \"10.0.0.7/24\"}", "/address4"},
        {"{\"slot\": 7, \"site\": 1, \"address4\": \"2001:db8::7\"}", "/address4"},
        {"{\"slot\": 7, \"site\": 1, \"address4\": \"224.0.0.1\"}", "/address4"},
        {"{\"slot\": 7, \"site\": 1, \"address4\": 7}", "/address4"},
        {"{\"slot\": 7, \"site\": 1, \"address6\": \"10.0.0.7\"}", "/address6"},
        {"{\"slot\": 7, \"site\": 1, \"address6\": \"::ffff:10.0.0.7\"}", "/address6"},
        {"{\"slot\": 7, \"site\": 1, \"address6\": \"::\"}", "/address6"},
        {"{\"slot\": 7, \"site\": 1, \"address6\": \"ff02::1\"}", "/address6"},
        {"{\"slot\": 7, \"site\": 1, \"address4\": \"10.0.0.7\", \"port\": 1}", "/port"},
        {"{\"name\": \"x\", \"slot\": 7, \"site\": 1, \"address4\": \"10.0.0.7\"}", "/name"},
        /* ours, and not as our configuration has it */
        {"{\"slot\": 5, \"site\": 1, \"address4\": \"10.0.0.5\"}", "/site"},
        {"{\"slot\": 5, \"site\": 2, \"address4\": \"10.0.0.7\"}", "/address4"},
        {"{\"slot\": 5, \"site\": 2, \"address4\": \"203.0.113.80\"}", "/address4"},
        {"{\"slot\": 5, \"site\": 2, \"address6\": \"2001:db8::7\"}", "/address6"},
    };
    struct node *n = *state;
    for (size_t i = 0; i < TG_ARRAY_LEN(cases); i++)
        api_expect_problem(&n->control, "PUT", "/v1/nodes/new", cases[i].body, 422,
                           cases[i].pointer);
    api_expect_problem(&n->control, "PUT", "/v1/nodes/.x", OTHER, 404, "");
    api_expect_problem(&n->control, "PUT", "/v1/nodes/x", "{", 400, "");
    api_expect_problem(&n->control, "POST", "/v1/nodes", OTHER, 405, "");
    place_expect(n, 0, false, "");
}

static void slots_and_addresses_belong_to_one(void **state)
{
    struct node *n = *state;
    put(n, "/v1/nodes/us", US, 201);
    put(n, "/v1/nodes/other", OTHER, 201);
    api_expect_problem(&n->control, "PUT", "/v1/nodes/third",
                       "{\"slot\": 6, \"site\": 3, \"address4\": \"10.0.0.7\"}", 409, "/slot");
    api_expect_problem(&n->control, "PUT", "/v1/nodes/third",
                       "{\"slot\": 7, \"site\": 3, \"address4\": \"10.0.0.6\"}", 409, "/address4");
    api_expect_problem(&n->control, "PUT", "/v1/nodes/third",
                       "{\"slot\": 7, \"site\": 3, \"address6\": \"2001:db8::5\"}", 409,
                       "/address6");
    put(n, "/v1/nodes/other", OTHER, 200); /* its own slot is no conflict */
}

static void without_secrets_there_is_no_fleet(void **state)
{
    struct node *n = *state;
    put(n, "/v1/nodes/other", OTHER, 201); /* no key is needed yet */
    json_t *p = api_expect(&n->control, "PUT", "/v1/nodes/us", US, 422);
    assert_string_equal(json_text(p, "type"), "urn:tidegate:problem:no-secrets");
    assert_non_null(strstr(json_text(p, "detail"), "tgctl fleet keygen"));
    json_decref(p);
    place_expect(n, 1, false, "none of the nodes");
}

static void forwarding_is_a_setting(void **state)
{
    struct node *n = *state;
    put(n, "/v1/nodes/us", US, 201);
    assert_int_equal(owners_in_force(n)->flags, 0);
    put(n, "/v1/fleet", "{\"forward\": false}", 200);
    assert_int_equal(owners_in_force(n)->flags, TABLES_OWNERS_KEEP);
    json_t *setting = api_expect(&n->control, "GET", "/v1/fleet", NULL, 200);
    assert_true(json_is_false(json_object_get(setting, "forward")));
    json_decref(setting);
    node_reopen(n); /* it is in the state file */
    assert_int_equal(owners_in_force(n)->flags, TABLES_OWNERS_KEEP);
    api_expect_problem(&n->control, "PUT", "/v1/fleet", "{\"forward\": 1}", 422, "/forward");
    api_expect_problem(&n->control, "PUT", "/v1/fleet", "{\"keep\": true}", 422, "/keep");
    api_expect_problem(&n->control, "PUT", "/v1/fleet", "[]", 422, "");
    api_expect_problem(&n->control, "DELETE", "/v1/fleet", NULL, 405, "");
    put(n, "/v1/fleet", "{}", 200);
    assert_int_equal(owners_in_force(n)->flags, 0);
    json_t *fleet = fleet_of_status(n);
    assert_true(json_is_true(json_object_get(fleet, "forward")));
    json_decref(fleet);
}

/* --- restarts ------------------------------------------------------------------------------------------------------- */

static void a_restart_publishes_nothing(void **state)
{
    struct node *n = *state;
    put(n, "/v1/nodes/us", US, 201);
    put(n, "/v1/nodes/other", OTHER, 201);
    uint64_t number = publish_generation(&n->control, TABLES_OWNERS);
    node_reopen(n);
    assert_int_equal(publish_generation(&n->control, TABLES_OWNERS), number);
    place_expect(n, 2, true, "");
}

static void open_expect_refusal(struct node *n, const char *words)
{
    char problem[640] = "";
    control_close(&n->control);
    assert_false(control_open(&n->control, &n->place.config, problem));
    if (!strstr(problem, words))
        fail_msg("\"%s\" does not say \"%s\"", problem, words);
    secrets_write(n, 0600);
    node_open(n);
}

static void a_bad_secrets_file_stops_the_start(void **state)
{
    struct node *n = *state;
    put(n, "/v1/nodes/us", US, 201);
    assert_int_equal(unlink(n->place.config.secrets), 0);
    open_expect_refusal(n, "node.secrets: /");
    assert_int_equal(chmod(n->place.config.secrets, 0644), 0);
    open_expect_refusal(n, "others may read or write it");
    place_expect(n, 1, true, "");
    /* an own node in the state, and no file named any more: alone, and says so */
    n->place.config.secrets[0] = 0;
    node_reopen(n);
    place_expect(n, 1, false, "node.secrets of this node's configuration names no file");
}

/* --- the fleet store ------------------------------------------------------------------------------------------------ */

static void writes_go_to_the_store(void **state)
{
    struct node *n = *state;
    put(n, "/v1/nodes/us", US, 201);
    store_expect(n, "nodes/us",
                 "{\"address4\":\"10.0.0.5\",\"address6\":\"2001:db8::5\",\"site\":2,\"slot\":5}");
    store_expect(n, "guard/nodes", "{\"node\":\"test\"}");
    store_expect(n, "guard/routes", NULL);
    put(n, "/v1/fleet", "{\"forward\": false}", 200);
    store_expect(n, "fleet", "{\"forward\":false}");
    put(n, "/v1/fleet", "{\"forward\": true}", 200);
    store_expect(n, "fleet", NULL);
    json_decref(api_expect(&n->control, "DELETE", "/v1/nodes/us", NULL, 200));
    store_expect(n, "nodes/us", NULL);
    in_force_wait(n, n->etcd.revision);
    assert_int_equal(n->control.fleet.merged, 0);
}

static void what_others_write_comes_into_force(void **state)
{
    struct node *n = *state;
    other_put(n, "nodes/us", US);
    in_force_wait(n, other_put(n, "nodes/other", OTHER));
    place_expect(n, 2, true, "");
    in_force_wait(n, other_put(n, "fleet", "{\"forward\":false}"));
    assert_int_equal(owners_in_force(n)->flags, TABLES_OWNERS_KEEP);
    in_force_wait(n, other_put(n, "fleet", "{\"forward\":true}"));
    assert_int_equal(owners_in_force(n)->flags, 0);
    in_force_wait(n, other_put(n, "fleet", NULL));
    in_force_wait(n, other_put(n, "nodes/us", NULL));
    place_expect(n, 1, false, "none of the nodes");
}

/* Ours, but not as we are: it stays in the model, as everywhere, and we are alone. */
static void an_own_node_that_differs_is_told(void **state)
{
    struct node *n = *state;
    in_force_wait(n, other_put(n, "nodes/us", "{\"slot\":5,\"site\":9,\"address4\":\"10.0.0.5\"}"));
    place_expect(n, 1, false, "node.site of this node's configuration is 2");
    in_force_wait(n, other_put(n, "nodes/us", US));
    place_expect(n, 1, true, "");
}

static void bad_values_are_left_out(void **state)
{
    struct node *n = *state;
    put(n, "/v1/nodes/us", US, 201);
    other_put(n, "nodes/a", "{\"slot\":4095,\"site\":1,\"address4\":\"10.0.0.7\"}");
    other_put(n, "nodes/b", "{\"slot\":5,\"site\":1,\"address4\":\"10.0.0.7\"}");
    other_put(n, "nodes/c", "{\"slot\":7,\"site\":1,\"address4\":\"10.0.0.5\"}");
    other_put(n, "fleet", "{\"forward\":\"no\"}");
    in_force_wait(n, other_put(n, "nodes/other", OTHER));
    place_expect(n, 2, true, "");
    assert_true(left_out(n, "nodes/a", "/slot: "));
    assert_true(left_out(n, "nodes/b", "node \"us\" has this slot already"));
    assert_true(left_out(n, "nodes/c", "node \"us\" has this address already"));
    assert_true(left_out(n, "fleet", "/forward: "));
    other_put(n, "nodes/us", NULL); /* what they waited for */
    NODE_WAIT(n, !left_out(n, "nodes/c", ""));
    assert_true(left_out(n, "nodes/a", "/slot: "));
}

/* Two operators, two nodes, one slot: the guard lets one of them through. */
static void the_guard_keeps_slots_apart(void **state)
{
    struct node *n = *state;
    put(n, "/v1/nodes/us", US, 201);
    atomic_store(&n->etcd.watch_fault, WATCH_SILENT); /* we do not hear of it in time */
    other_put(n, "nodes/first", "{\"slot\":7,\"site\":1,\"address4\":\"10.0.0.7\"}");
    other_put(n, "guard/nodes", "{\"node\":\"other\"}");
    api_expect_problem(&n->control, "PUT", "/v1/nodes/second",
                       "{\"slot\": 7, \"site\": 1, \"address4\": \"10.0.0.8\"}", 409, "/slot");
    store_expect(n, "nodes/second", NULL);
    put(n, "/v1/nodes/second", "{\"slot\": 8, \"site\": 1, \"address4\": \"10.0.0.8\"}", 201);
}

/* A store that is new gets what the node has. */
static void a_new_store_is_filled(void **state)
{
    struct node *n = *state;
    put(n, "/v1/nodes/us", US, 201);
    put(n, "/v1/fleet", "{\"forward\": false}", 200);
    node_config_fleet(n, true);
    node_reopen(n);
    NODE_WAIT(n, node_connected(n));
    store_expect(n, "nodes/us",
                 "{\"address4\":\"10.0.0.5\",\"address6\":\"2001:db8::5\",\"site\":2,\"slot\":5}");
    store_expect(n, "fleet", "{\"forward\":false}");
    place_expect(n, 1, true, "");
}

int main(void)
{
#define TEST(name)       cmocka_unit_test_setup_teardown(name, setup, node_teardown)
#define TEST_STORE(name) cmocka_unit_test_setup_teardown(name, setup_in_store, node_teardown)
    const struct CMUnitTest tests[] = {
        TEST(nodes_make_a_fleet),
        TEST(wrong_nodes_are_refused),
        TEST(slots_and_addresses_belong_to_one),
        cmocka_unit_test_setup_teardown(without_secrets_there_is_no_fleet, setup_without_secrets,
                                        node_teardown),
        TEST(forwarding_is_a_setting),
        TEST(a_restart_publishes_nothing),
        TEST(a_bad_secrets_file_stops_the_start),
        TEST_STORE(writes_go_to_the_store),
        TEST_STORE(what_others_write_comes_into_force),
        TEST_STORE(an_own_node_that_differs_is_told),
        TEST_STORE(bad_values_are_left_out),
        TEST_STORE(the_guard_keeps_slots_apart),
        TEST(a_new_store_is_filled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
