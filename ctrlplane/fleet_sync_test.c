/* SPDX-License-Identifier: BSD-3-Clause
 * A node of a fleet that follows its store: what comes into force, what is left out, and what it lives on while the
 * store is away.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctrlplane/fleet_test_support.h"

#include <sys/stat.h>

#define ORIGIN "{\"address\":\"10.0.0.5\",\"port\":80}"

static void changes_come_into_force(void **state)
{
    struct node *n = *state;
    other_put(n, "rules/7", "{\"protocol\":\"udp\",\"source\":\"192.0.2.0/24\"}");
    other_put(n, "origins/app", ORIGIN);
    other_put(n, "sites/www", "{\"hosts\":[\"www.example.com\"],\"origin\":\"app\"}");
    in_force_wait(n, other_put(n, "waf",
                               "[{\"id\":1,\"targets\":[\"uri\"],\"pattern\":\"evil\",\"message\":"
                               "\"m\",\"action\":\"block\"}]"));
    assert_int_equal(rules_in_force(n)->count, 1);
    assert_int_equal(rules_in_force(n)->rules[0].id, 7);
    assert_int_equal(routes_in_force(n)->site_count, 1);
    json_decref(api_expect(&n->control, "GET", "/v1/waf/rules/1", NULL, 200));
    in_force_wait(n, other_put(n, "rules/7", NULL));
    assert_int_equal(rules_in_force(n)->count, 0);
    in_force_wait(n, other_put(n, "waf", NULL));
    api_expect_problem(&n->control, "GET", "/v1/waf/rules/1", NULL, 404, "");
}

static void lives_on_its_copy(void **state)
{
    struct node *n = *state;
    in_force_wait(n, other_put(n, "rules/7", "{\"protocol\":\"udp\"}"));
    fake_etcd_down(&n->etcd);
    node_reopen(n); /* at once, with the store away */
    json_decref(api_expect(&n->control, "GET", "/v1/rules/7", NULL, 200));
    fake_stop(&n->fake);
    char gone[512];
    snprintf(gone, sizeof gone, "%s", n->place.config.region);
    assert_int_equal(unlink(gone), 0); /* the machine was off, too */
    fake_start(&n->fake, &n->place, 2, 0x2222);
    NODE_WAIT(n, n->control.attached && n->control.boot_id == 0x2222);
    assert_int_equal(rules_in_force(n)->count, 1);
    json_t *fleet = fleet_of_status(n);
    assert_false(json_is_true(json_object_get(fleet, "connected")));
    assert_true(strlen(json_text(fleet, "problem")) > 3);
    assert_true(json_is_null(json_object_get(fleet, "lag_ms")));
    json_decref(fleet);
    fake_etcd_up(&n->etcd);
    in_force_wait(n, other_put(n, "rules/8", "{\"protocol\":\"udp\"}"));
    assert_int_equal(rules_in_force(n)->count, 2);
}

/* What was changed while the node was away, or only here, is as the store says. */
static void store_wins(void **state)
{
    struct node *n = *state;
    struct stat st;
    char kept[512];
    snprintf(kept, sizeof kept, "%s/state.replaced", n->place.config.state);
    json_decref(api_expect(&n->control, "PUT", "/v1/rules/1", "{\"protocol\": \"udp\"}", 201));
    json_decref(api_expect(&n->control, "PUT", "/v1/rules/2", "{\"protocol\": \"udp\"}", 201));
    json_decref(api_expect(&n->control, "PUT", "/v1/origins/app", ORIGIN, 201));
    control_close(&n->control);
    node_config_fleet(n, false); /* on its own for a while */
    node_open(n);
    json_decref(api_expect(&n->control, "PUT", "/v1/rules/3", "{\"protocol\": \"udp\"}", 201));
    json_decref(api_expect(&n->control, "DELETE", "/v1/rules/1", NULL, 200));
    json_decref(api_expect(&n->control, "PUT", "/v1/waf/rules",
                           "[{\"id\":1,\"targets\":[\"uri\"],\"pattern\":\"x\",\"message\":\"m\","
                           "\"action\":\"detect\"}]",
                           200));
    other_put(n, "rules/2", "{\"protocol\":\"tcp\"}");
    assert_int_equal(stat(kept, &st), -1);
    control_close(&n->control);
    node_config_fleet(n, true);
    node_open(n);
    NODE_WAIT(n, node_connected(n));
    json_t *list = api_expect(&n->control, "GET", "/v1/rules", NULL, 200);
    assert_int_equal(json_array_size(list), 2);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "id")), 1);
    assert_string_equal(json_text(json_array_get(list, 1), "protocol"), "tcp");
    json_decref(list);
    list = api_expect(&n->control, "GET", "/v1/waf/rules", NULL, 200);
    assert_int_equal(json_array_size(list), 0);
    json_decref(list);
    assert_int_equal(stat(kept, &st), 0); /* a way back */
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void counters_stay_a_nodes_own(void **state)
{
    struct node *n = *state;
    in_force_wait(n, other_put(n, "rules/7", "{\"protocol\":\"udp\"}"));
    unsigned slot = rules_in_force(n)->rules[0].slot;
    region_worker(&n->fake.region, 0)->rule_hits[slot] = 30;
    in_force_wait(n, other_put(n, "rules/7", "{\"protocol\":\"tcp\"}"));
    assert_int_equal(rules_in_force(n)->rules[0].slot, slot);
    json_t *rule = api_expect(&n->control, "GET", "/v1/rules/7", NULL, 200);
    assert_int_equal(json_integer_value(json_object_get(rule, "hits")), 30);
    json_decref(rule);
}

/* --- what is of no use ------------------------------------------------------------------------------- */

static void bad_objects_are_left_out_alone(void **state)
{
    static const struct {
        const char *name, *value, *words;
    } bad[] = {
        {"rules/1", "garbage", "not JSON"},
        {"rules/2", "", "not JSON"},
        {"rules/3", "{\"protocol\":\"tpc\"}", "/protocol"},
        {"rules/4", "{\"protocol\":\"tcp\",\"slot\":1}", "/slot"},
        {"rules/5", "[]", "object"},
        {"rules/6", "{\"protocol\":\"tcp\",\"protocol\":\"udp\"}", "not JSON"},
        {"rules/0", "{\"protocol\":\"tcp\"}", "not a key"},
        {"origins/o", "{\"address\":\"nowhere\",\"port\":80}", "/address"},
        {"sites/s", "{\"hosts\":[\"h\"],\"origin\":\"lost\"}", "no origin"},
        {"sites/t", "{\"hosts\":[\"h\"],\"origin\":\"\\u00e4\"}", "no origin"},
        {"waf",
         "[{\"id\":1,\"targets\":[\"uri\"],\"pattern\":\"(\",\"message\":\"m\",\"action\":"
         "\"block\"}]",
         "parenthesis"},
        {"future/thing", "{}", "not a key"},
    };
    struct node *n = *state;
    int64_t last = 0;
    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++)
        other_put(n, bad[i].name, bad[i].value);
    other_put(n, "origins/app", ORIGIN);
    other_put(n, "sites/good", "{\"hosts\":[\"good.example.com\"],\"origin\":\"app\"}");
    last = other_put(n, "rules/9", "{\"protocol\":\"udp\"}");
    in_force_wait(n, last);
    for (unsigned again = 0; again < 2; again++) { /* by changes, and by a snapshot */
        for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++)
            if (!left_out(n, bad[i].name, bad[i].words))
                fail_msg("%s is not left out for: %s", bad[i].name, bad[i].words);
        json_t *fleet = fleet_of_status(n);
        assert_int_equal(json_integer_value(json_object_get(fleet, "skipped")), TG_ARRAY_LEN(bad));
        json_decref(fleet);
        assert_int_equal(rules_in_force(n)->count, 1);
        assert_int_equal(rules_in_force(n)->rules[0].id, 9);
        assert_int_equal(routes_in_force(n)->site_count, 1);
        node_reopen(n);
        NODE_WAIT(n, node_connected(n));
    }
    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++)
        last = other_put(n, bad[i].name, NULL);
    in_force_wait(n, last);
    json_t *fleet = fleet_of_status(n);
    assert_int_equal(json_integer_value(json_object_get(fleet, "skipped")), 0);
    json_decref(fleet);
}

static void good_one_stays_under_a_bad_one(void **state)
{
    struct node *n = *state;
    in_force_wait(n, other_put(n, "rules/7", "{\"protocol\":\"udp\"}"));
    in_force_wait(n, other_put(n, "rules/7", "{\"protocol\":\"nonsense\"}"));
    assert_true(left_out(n, "rules/7", "/protocol"));
    assert_int_equal(rules_in_force(n)->rules[0].proto, 17);
    node_reopen(n); /* the snapshot has only the bad one */
    NODE_WAIT(n, node_connected(n));
    assert_int_equal(rules_in_force(n)->rules[0].proto, 17);
    assert_true(left_out(n, "rules/7", "/protocol"));
    /* A write of the API repairs it. */
    json_decref(api_expect(&n->control, "PUT", "/v1/rules/7", "{\"protocol\": \"tcp\"}", 200));
    store_expect(n, "rules/7", "{\"protocol\":\"tcp\"}");
    NODE_WAIT(n, !left_out(n, "rules/7", ""));
}

/* Written by hand in the wrong order: in force as soon as it makes sense. */
static void site_before_its_origin(void **state)
{
    struct node *n = *state;
    in_force_wait(n, other_put(n, "sites/www", "{\"hosts\":[\"www\"],\"origin\":\"app\"}"));
    assert_true(left_out(n, "sites/www", "no origin"));
    other_put(n, "origins/app", ORIGIN);
    NODE_WAIT(n, routes_in_force(n)->site_count == 1);
    assert_false(left_out(n, "sites/www", ""));
}

static void origin_goes_before_its_site(void **state)
{
    struct node *n = *state;
    other_put(n, "origins/app", ORIGIN);
    other_put(n, "sites/www", "{\"hosts\":[\"www\"],\"origin\":\"app\"}");
    in_force_wait(n, other_put(n, "origins/app", NULL));
    assert_true(left_out(n, "origins/app", "uses it"));
    assert_int_equal(routes_in_force(n)->site_count, 1);
    other_put(n, "sites/www", NULL);
    NODE_WAIT(n, routes_in_force(n)->origin_count == 0);
    NODE_WAIT(n, !left_out(n, "origins/app", ""));
}

/* Two sites change hosts: in between, both have it; a snapshot sees only the end. */
static void sites_swap_hosts(void **state)
{
    struct node *n = *state;
    other_put(n, "origins/app", ORIGIN);
    other_put(n, "sites/a", "{\"hosts\":[\"one\"],\"origin\":\"app\"}");
    in_force_wait(n, other_put(n, "sites/b", "{\"hosts\":[\"two\"],\"origin\":\"app\"}"));
    control_close(&n->control);
    other_put(n, "sites/a", "{\"hosts\":[\"two\"],\"origin\":\"app\"}");
    other_put(n, "sites/b", "{\"hosts\":[\"one\"],\"origin\":\"app\"}");
    node_open(n);
    NODE_WAIT(n, node_connected(n));
    json_t *site = api_expect(&n->control, "GET", "/v1/sites/a", NULL, 200);
    assert_string_equal(json_string_value(json_array_get(json_object_get(site, "hosts"), 0)),
                        "two");
    json_decref(site);
    /* One host twice: the one that was there keeps it. */
    in_force_wait(n, other_put(n, "sites/c", "{\"hosts\":[\"two\"],\"origin\":\"app\"}"));
    assert_true(left_out(n, "sites/c", "belongs to site"));
    assert_int_equal(routes_in_force(n)->site_count, 2);
}

static void more_than_a_table_takes(void **state)
{
    struct node *n = *state;
    char name[32];
    control_close(&n->control);
    for (unsigned i = 1; i <= TABLES_RULES_MAX + 6; i++) {
        snprintf(name, sizeof name, "rules/%u", i);
        other_put(n, name, "{\"protocol\":\"udp\"}");
    }
    /* and one that takes two entries: not one more than the others makes room for */
    other_put(n, "rules/1", "{\"protocol\":\"icmp\"}");
    node_open(n);
    NODE_WAIT(n, node_connected(n));
    assert_in_range(rules_in_force(n)->count, TABLES_RULES_MAX - 1, TABLES_RULES_MAX);
    json_t *fleet = fleet_of_status(n);
    assert_in_range(json_integer_value(json_object_get(fleet, "skipped")), 6, 7);
    json_decref(fleet);
    node_reopen(n); /* what came of it is a good state file */
    NODE_WAIT(n, node_connected(n));
    assert_in_range(rules_in_force(n)->count, TABLES_RULES_MAX - 1, TABLES_RULES_MAX);
}

/* --- a store that is new ------------------------------------------------------------------------------ */

static void new_store_is_filled_by_the_node(void **state)
{
    struct node *n = *state;
    char path[64];
    for (unsigned i = 1; i <= 150; i++) { /* more than one write takes */
        snprintf(path, sizeof path, "/v1/rules/%u", i);
        json_decref(api_expect(&n->control, "PUT", path, "{\"protocol\": \"udp\"}", 201));
    }
    json_decref(api_expect(&n->control, "PUT", "/v1/origins/app", ORIGIN, 201));
    json_decref(api_expect(&n->control, "PUT", "/v1/sites/www",
                           "{\"host\":\"www\",\"origin\":\"app\"}", 201));
    other_put(n, "rules/150", "{\"protocol\":\"tcp\"}"); /* somebody has begun, and not ended */
    control_close(&n->control);
    node_config_fleet(n, true);
    node_open(n);
    NODE_WAIT(n, node_connected(n));
    store_expect(n, "meta", "{\"format\":1,\"made_by\":\"test\"}");
    store_expect(n, "rules/149", "{\"protocol\":\"udp\"}");
    store_expect(n, "rules/150", "{\"protocol\":\"tcp\"}");
    store_expect(n, "guard/routes", "{\"node\":\"test\"}");
    store_expect(n, "sites/www",
                 "{\"default\":false,\"hosts\":[\"www\"],\"origin\":\"app\",\"waf\":false}");
    assert_int_equal(rules_in_force(n)->count, 150);
    json_t *rule = api_expect(&n->control, "GET", "/v1/rules/150", NULL, 200);
    assert_string_equal(json_text(rule, "protocol"), "tcp");
    json_decref(rule);
    json_decref(api_expect(&n->control, "PUT", "/v1/rules/151", "{\"protocol\": \"udp\"}", 201));
}

static void emptied_store_is_filled_again(void **state)
{
    struct node *n = *state;
    json_decref(api_expect(&n->control, "PUT", "/v1/rules/7", "{\"protocol\": \"udp\"}", 201));
    fake_etcd_wipe(&n->etcd);
    NODE_WAIT(n, n->control.fleet.snapshots >= 2 && node_connected(n));
    store_expect(n, "rules/7", "{\"protocol\":\"udp\"}");
    assert_int_equal(rules_in_force(n)->count, 1);
    fake_etcd_replace(&n->etcd); /* its disk is lost, too */
    NODE_WAIT(n, n->control.fleet.snapshots >= 3 && node_connected(n));
    store_expect(n, "rules/7", "{\"protocol\":\"udp\"}");
    assert_int_equal(rules_in_force(n)->count, 1);
    json_decref(api_expect(&n->control, "DELETE", "/v1/rules/7", NULL, 200));
    store_expect(n, "rules/7", NULL);
}

/* A node that has nothing waits for somebody who has. */
static void empty_node_does_not_set_up(void **state)
{
    struct node *n = *state;
    control_close(&n->control);
    node_config_fleet(n, true);
    node_open(n);
    NODE_WAIT(n, node_connected(n));
    store_expect(n, "meta", NULL);
    in_force_wait(n, other_put(n, "rules/1", "{\"protocol\":\"udp\"}"));
    assert_int_equal(rules_in_force(n)->count, 1);
    json_decref(api_expect(&n->control, "PUT", "/v1/rules/2", "{\"protocol\": \"udp\"}", 201));
    store_expect(n, "meta", "{\"format\":1,\"made_by\":\"test\"}"); /* with the first write */
}

/* --- lost events, stubborn workers --------------------------------------------------------------------- */

static void lost_events_are_found(void **state)
{
    struct node *n = *state;
    fake_etcd_put_unseen(&n->etcd, FLEET_TEST_PREFIX "rules/1", "{\"protocol\":\"udp\"}");
    in_force_wait(n, other_put(n, "rules/2", "{\"protocol\":\"udp\"}"));
    assert_int_equal(rules_in_force(n)->count, 1);
    struct fleet_store *store = n->control.fleet.store;
    tg_ns skew = 0, proof;
    for (unsigned i = 0; i < 26; i++) { /* 78 s, in which heartbeats go on */
        skew += 3 * TG_S;
        proof = store->type->status(store).proof;
        while (store->type->status(store).proof == proof)
            fleet_run(&n->control, control_now() + skew);
    }
    tg_ns end = control_now() + 10 * TG_S;
    while (rules_in_force(n)->count < 2) {
        fleet_run(&n->control, control_now() + skew);
        assert_true(control_now() < end);
    }
}

static void refusing_worker_is_asked_again(void **state)
{
    struct node *n = *state;
    atomic_store(&n->fake.refuse_times, 2);
    atomic_store(&n->fake.mood[1], FAKE_REFUSE);
    in_force_wait(n, other_put(n, "rules/1", "{\"protocol\":\"udp\"}"));
    assert_int_equal(atomic_load(&n->fake.refuse_times), 0);
    assert_int_equal(rules_in_force(n)->count, 1);
}

#define IN_FLEET(test) cmocka_unit_test_setup_teardown(test, node_setup, node_teardown)
#define ALONE(test)    cmocka_unit_test_setup_teardown(test, node_setup_alone, node_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FLEET(changes_come_into_force),
        IN_FLEET(lives_on_its_copy),
        IN_FLEET(store_wins),
        IN_FLEET(counters_stay_a_nodes_own),
        IN_FLEET(bad_objects_are_left_out_alone),
        IN_FLEET(good_one_stays_under_a_bad_one),
        IN_FLEET(site_before_its_origin),
        IN_FLEET(origin_goes_before_its_site),
        IN_FLEET(sites_swap_hosts),
        IN_FLEET(more_than_a_table_takes),
        ALONE(new_store_is_filled_by_the_node),
        IN_FLEET(emptied_store_is_filled_again),
        ALONE(empty_node_does_not_set_up),
        IN_FLEET(lost_events_are_found),
        IN_FLEET(refusing_worker_is_asked_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
