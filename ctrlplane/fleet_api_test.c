/* SPDX-License-Identifier: BSD-3-Clause
 * Writes through the API of a node in a fleet: the store first, then here; conflicts; a store that is away, full or
 * silent; what this node cannot bring into force.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctrlplane/fleet_test_support.h"
#include "tls/tls.h"

#define ORIGIN "{\"address\":\"10.0.0.5\",\"port\":80}"

static void type_expect(json_t *problem, const char *slug)
{
    char type[96];
    snprintf(type, sizeof type, "urn:tidegate:problem:%s", slug);
    assert_string_equal(json_text(problem, "type"), type);
    json_decref(problem);
}

static void writes_go_to_the_store(void **state)
{
    struct node *n = *state;
    struct api_response r = api_ask(&n->control, "PUT", "/v1/rules/7",
                                    "{\"protocol\": \"udp\", \"source\": \"192.0.2.0/24\"}");
    assert_int_equal(r.status, 201);
    assert_int_equal(r.fleet_revision, n->etcd.revision);
    assert_true(r.generation > 0);
    json_decref(r.body);
    store_expect(n, "rules/7", "{\"protocol\":\"udp\",\"source\":\"192.0.2.0/24\"}");
    assert_int_equal(rules_in_force(n)->count, 1);
    json_decref(api_expect(&n->control, "PUT", "/v1/rules/7", "{\"protocol\": \"tcp\"}", 200));
    store_expect(n, "rules/7", "{\"protocol\":\"tcp\"}");
    json_decref(api_expect(&n->control, "PUT", "/v1/origins/app", ORIGIN, 201));
    json_decref(api_expect(&n->control, "PUT", "/v1/sites/www",
                           "{\"host\":\"www\",\"origin\":\"app\",\"waf\":true}", 201));
    store_expect(n, "sites/www",
                 "{\"default\":false,\"hosts\":[\"www\"],\"origin\":\"app\",\"waf\":true}");
    store_expect(n, "guard/routes", "{\"node\":\"test\"}");
    json_decref(api_expect(
        &n->control, "PUT", "/v1/waf/rules/5",
        "{\"targets\":[\"uri\"],\"pattern\":\"x\",\"message\":\"m\",\"action\":\"block\"}", 201));
    store_expect(n, "waf",
                 "[{\"action\":\"block\",\"id\":5,\"message\":\"m\",\"pattern\":\"x\",\"targets\":["
                 "\"uri\"]}]");
    json_decref(api_expect(&n->control, "DELETE", "/v1/waf/rules", NULL, 200));
    store_expect(n, "waf", NULL);
    json_decref(api_expect(&n->control, "DELETE", "/v1/sites/www", NULL, 200));
    json_decref(api_expect(&n->control, "DELETE", "/v1/origins/app", NULL, 200));
    store_expect(n, "origins/app", NULL);
    /* Its own events come back, and change nothing. */
    in_force_wait(n, n->etcd.revision);
    assert_int_equal(n->control.fleet.merged, 0);
}

/* Repeating what is so already needs no store. */
static void nothing_new_is_no_write(void **state)
{
    struct node *n = *state;
    json_decref(api_expect(&n->control, "PUT", "/v1/rules/7", "{\"protocol\": \"udp\"}", 201));
    unsigned writes = atomic_load(&n->etcd.writes);
    struct api_response r = api_ask(&n->control, "PUT", "/v1/rules/7", "{\"protocol\": \"udp\"}");
    assert_int_equal(r.status, 200);
    assert_int_equal(r.fleet_revision, 0);
    json_decref(r.body);
    assert_int_equal(atomic_load(&n->etcd.writes), writes);
}

static void keys_stay_at_home(void **state)
{
    struct node *n = *state;
    json_t *body = json_pack("{s:[s], s:s, s:s}", "names", "test.example", "chain_pem",
                             test_chain_pem, "key_pem", test_key_pem);
    char *text = json_dumps(body, 0);
    json_decref(api_expect(&n->control, "PUT", "/v1/certificates/www", text, 201));
    json_decref(api_expect(&n->control, "PUT", "/v1/rules/1", "{\"protocol\": \"udp\"}", 201));
    pthread_mutex_lock(&n->etcd.lock);
    char *all = json_dumps(n->etcd.keys, 0);
    pthread_mutex_unlock(&n->etcd.lock);
    assert_non_null(strstr(all, "rules/1"));
    assert_null(strstr(all, "PRIVATE"));
    assert_null(strstr(all, "certificates"));
    free(all);
    fake_etcd_down(&n->etcd); /* and need no store */
    json_decref(api_expect(&n->control, "PUT", "/v1/certificates/other", text, 201));
    free(text);
    json_decref(body);
}

/* --- conflicts -------------------------------------------------------------------------------------------- */

static void same_resource_elsewhere(void **state)
{
    struct node *n = *state;
    json_decref(api_expect(&n->control, "PUT", "/v1/rules/7", "{\"protocol\": \"udp\"}", 201));
    atomic_store(&n->etcd.watch_fault, WATCH_SILENT); /* we do not hear of it in time */
    other_put(n, "rules/7", "{\"protocol\":\"tcp\"}");
    type_expect(api_expect(&n->control, "PUT", "/v1/rules/7", "{\"protocol\": 47}", 409),
                "fleet-conflict");
    store_expect(n, "rules/7", "{\"protocol\":\"tcp\"}");
    json_t *rule = api_expect(&n->control, "GET", "/v1/rules/7", NULL, 200);
    assert_string_equal(json_text(rule, "protocol"), "tcp"); /* a look shows the other's */
    json_decref(rule);
    assert_int_equal(rules_in_force(n)->rules[0].proto, 6);
    json_decref(api_expect(&n->control, "PUT", "/v1/rules/7", "{\"protocol\": 47}", 200));
    other_put(n, "rules/7", NULL);
    type_expect(api_expect(&n->control, "DELETE", "/v1/rules/8", NULL, 404), "not-found");
    json_decref(api_expect(&n->control, "DELETE", "/v1/rules/7", NULL, 200)); /* gone is gone */
    other_put(n, "rules/9", "{\"protocol\":\"tcp\"}");
    type_expect(api_expect(&n->control, "PUT", "/v1/rules/9", "{\"protocol\": 47}", 409),
                "fleet-conflict");
    other_put(n, "rules/10", "{\"protocol\":\"tcp\"}"); /* the same wish at two sites */
    json_decref(api_expect(&n->control, "PUT", "/v1/rules/10", "{\"protocol\": \"tcp\"}", 201));
    json_t *fleet = fleet_of_status(n);
    assert_int_equal(json_integer_value(json_object_get(fleet, "conflicts")), 2);
    json_decref(fleet);
}

static void posts_get_numbers_of_their_own(void **state)
{
    struct node *n = *state;
    json_decref(api_expect(&n->control, "POST", "/v1/rules", "{\"protocol\": \"udp\"}", 201));
    atomic_store(&n->etcd.watch_fault, WATCH_SILENT);
    other_put(n, "rules/2", "{\"protocol\":\"udp\"}"); /* equal, and yet another rule */
    other_put(n, "rules/3", "{\"protocol\":\"tcp\"}");
    struct api_response r = api_ask(&n->control, "POST", "/v1/rules", "{\"protocol\": \"udp\"}");
    assert_int_equal(r.status, 201);
    assert_string_equal(r.location, "/v1/rules/4");
    json_decref(r.body);
    assert_int_equal(rules_in_force(n)->count, 4);
}

/* What was checked against an old state is checked again. */
static void routes_are_checked_against_all(void **state)
{
    struct node *n = *state;
    json_decref(api_expect(&n->control, "PUT", "/v1/origins/app", ORIGIN, 201));
    atomic_store(&n->etcd.watch_fault, WATCH_SILENT);
    other_put(n, "sites/www", "{\"hosts\":[\"www\"],\"origin\":\"app\"}");
    other_put(n, "guard/routes", "{\"node\":\"other\"}");
    type_expect(api_expect(&n->control, "DELETE", "/v1/origins/app", NULL, 409), "in-use");
    store_expect(n, "origins/app",
                 "{\"address\":\"10.0.0.5\",\"connect_timeout_ms\":3000,\"connections_max\":256,"
                 "\"idle_timeout_ms\":60000,\"port\":80,\"response_timeout_ms\":30000}");
    other_put(n, "sites/img", "{\"hosts\":[\"img\"],\"origin\":\"app\"}");
    other_put(n, "guard/routes", "{\"node\":\"other\"}");
    api_expect_problem(&n->control, "PUT", "/v1/sites/x", "{\"host\":\"img\",\"origin\":\"app\"}",
                       409, "/hosts/0");
    other_put(n, "guard/routes", "{\"node\":\"other\"}"); /* nothing in our way */
    json_decref(
        api_expect(&n->control, "PUT", "/v1/sites/y", "{\"host\":\"y\",\"origin\":\"app\"}", 201));
    assert_int_equal(routes_in_force(n)->site_count, 3);
}

/* --- a store that does not answer -------------------------------------------------------------------------- */

static void store_away(void **state)
{
    struct node *n = *state;
    json_decref(api_expect(&n->control, "PUT", "/v1/rules/7", "{\"protocol\": \"udp\"}", 201));
    fake_etcd_down(&n->etcd);
    for (unsigned i = 0; i < 3; i++) { /* before it was noticed, and after */
        json_t *p = api_expect(&n->control, "PUT", "/v1/rules/8", "{\"protocol\": \"udp\"}", 503);
        assert_true(json_is_false(json_object_get(p, "changed")));
        type_expect(p, "fleet-store-unreachable");
        for (unsigned k = 0; k < 20; k++)
            node_step(n);
    }
    api_expect_problem(&n->control, "PUT", "/v1/rules/8", "{\"protocol\": \"x\"}", 422,
                       "/protocol");
    type_expect(api_expect(&n->control, "DELETE", "/v1/rules/7", NULL, 503),
                "fleet-store-unreachable");
    json_decref(api_expect(&n->control, "GET", "/v1/rules/7", NULL, 200));
    api_expect_problem(&n->control, "GET", "/v1/rules/8", NULL, 404, "");
    assert_int_equal(rules_in_force(n)->count, 1);
    fake_etcd_up(&n->etcd);
    NODE_WAIT(n, node_connected(n));
    json_decref(api_expect(&n->control, "PUT", "/v1/rules/8", "{\"protocol\": \"udp\"}", 201));
}

static void write_right_after_the_start(void **state)
{
    struct node *n = *state;
    node_reopen(n); /* not connected yet */
    json_decref(api_expect(&n->control, "PUT", "/v1/rules/7", "{\"protocol\": \"udp\"}", 201));
    store_expect(n, "rules/7", "{\"protocol\":\"udp\"}");
}

/* Stored, and the answer lost: nobody is told 200, and it comes into force all the same. */
static void answer_lost(void **state)
{
    struct node *n = *state;
    json_decref(api_expect(&n->control, "PUT", "/v1/rules/1", "{\"protocol\": \"udp\"}", 201));
    atomic_store(&n->etcd.fault_write, ETCD_LATE_CLOSE);
    struct api_response r = api_ask(&n->control, "PUT", "/v1/rules/7", "{\"protocol\": \"udp\"}");
    if (r.status == 503)
        assert_true(json_is_null(json_object_get(r.body, "changed")));
    else
        assert_int_equal(r.status, 201); /* libcurl asked again, and found it done */
    json_decref(r.body);
    atomic_store(&n->etcd.fault_write, ETCD_GOOD);
    in_force_wait(n, n->etcd.revision);
    assert_int_equal(rules_in_force(n)->count, 2);
    store_expect(n, "rules/7", "{\"protocol\":\"udp\"}");
}

static void store_that_hangs(void **state)
{
    struct node *n = *state;
    atomic_store(&n->etcd.fault_write, ETCD_HANG);
    tg_ns start = control_now();
    json_t *p = api_expect(&n->control, "PUT", "/v1/rules/7", "{\"protocol\": \"udp\"}", 503);
    assert_true(json_is_null(json_object_get(p, "changed")));
    type_expect(p, "fleet-store-unreachable");
    assert_in_range((control_now() - start) / TG_MS, FLEET_WRITE_MS / 2, FLEET_WRITE_MS * 2);
    assert_int_equal(rules_in_force(n)->count, 0);
}

static void store_that_is_full(void **state)
{
    struct node *n = *state;
    atomic_store(&n->etcd.fault_write, ETCD_NO_SPACE);
    json_t *p = api_expect(&n->control, "PUT", "/v1/rules/7", "{\"protocol\": \"udp\"}", 503);
    assert_non_null(strstr(json_text(p, "detail"), "database space exceeded"));
    type_expect(p, "fleet-store-unreachable");
    assert_int_equal(rules_in_force(n)->count, 0);
}

static void more_than_a_key_takes(void **state)
{
    struct node *n = *state;
    json_t *rules = json_array();
    char pattern[8001];
    memset(pattern, 'x', 8000);
    pattern[8000] = 0;
    for (int i = 1; i <= 140; i++)
        json_array_append_new(rules,
                              json_pack("{s:i, s:[s], s:s, s:s, s:s}", "id", i, "targets", "uri",
                                        "pattern", pattern, "message", "m", "action", "detect"));
    char *text = json_dumps(rules, 0);
    struct api_response r = api_ask(&n->control, "PUT", "/v1/waf/rules", text);
    assert_int_equal(r.status, 413);
    assert_non_null(strstr(json_text(r.body, "detail"), "fleet store"));
    json_decref(r.body);
    free(text);
    json_decref(rules);
    store_expect(n, "waf", NULL);
}

/* --- what this node cannot bring into force ------------------------------------------------------------------ */

static void refused_change_is_taken_back(void **state)
{
    struct node *n = *state;
    n->control.config.apply_timeout_ms = 300;
    json_decref(api_expect(&n->control, "PUT", "/v1/rules/1", "{\"protocol\": \"udp\"}", 201));
    atomic_store(&n->fake.refuse_times, 1000);
    atomic_store(&n->fake.mood[1], FAKE_REFUSE);
    type_expect(api_expect(&n->control, "PUT", "/v1/rules/1", "{\"protocol\": \"tcp\"}", 504),
                "refused-by-worker");
    store_expect(n, "rules/1", "{\"protocol\":\"udp\"}");
    type_expect(api_expect(&n->control, "PUT", "/v1/rules/2", "{\"protocol\": \"tcp\"}", 504),
                "refused-by-worker");
    store_expect(n, "rules/2", NULL);
    atomic_store(&n->fake.mood[1], FAKE_APPLY);
    in_force_wait(n, n->etcd.revision); /* both events of each come by, and change nothing */
    assert_int_equal(rules_in_force(n)->count, 1);
    assert_int_equal(rules_in_force(n)->rules[0].proto, 17);
    json_decref(api_expect(&n->control, "PUT", "/v1/rules/2", "{\"protocol\": \"tcp\"}", 201));
}

static void no_data_plane_no_write(void **state)
{
    struct node *n = *state;
    atomic_store(&n->fake.mood[0], FAKE_DIE);
    atomic_store(&n->fake.mood[1], FAKE_DIE);
    region_worker(&n->fake.region, 0)->alive = region_worker(&n->fake.region, 1)->alive = 0;
    type_expect(api_expect(&n->control, "PUT", "/v1/rules/1", "{\"protocol\": \"udp\"}", 503),
                "no-data-plane");
    store_expect(n, "rules/1", NULL);
}

static void status_tells(void **state)
{
    struct node *n = *state;
    char url[256];
    json_decref(api_expect(&n->control, "PUT", "/v1/rules/1", "{\"protocol\": \"udp\"}", 201));
    in_force_wait(n, n->etcd.revision);
    json_t *fleet = fleet_of_status(n);
    fake_etcd_url(&n->etcd, url);
    assert_string_equal(json_text(fleet, "store"), "etcd");
    assert_string_equal(json_text(fleet, "name"), "lab");
    assert_string_equal(json_text(fleet, "endpoint"), url);
    assert_true(json_is_true(json_object_get(fleet, "connected")));
    assert_int_equal(json_integer_value(json_object_get(fleet, "revision")), n->etcd.revision);
    assert_int_equal(json_integer_value(json_object_get(fleet, "in_force")), n->etcd.revision);
    assert_true(json_is_integer(json_object_get(fleet, "lag_ms")));
    assert_null(json_object_get(fleet, "problem"));
    json_decref(fleet);
    control_close(&n->control);
    node_config_fleet(n, false);
    node_open(n);
    fleet = fleet_of_status(n);
    assert_string_equal(json_text(fleet, "store"), "embedded");
    assert_true(json_is_true(json_object_get(fleet, "connected")));
    assert_int_equal(json_integer_value(json_object_get(fleet, "lag_ms")), 0);
    json_decref(fleet);
}

#define IN_FLEET(test) cmocka_unit_test_setup_teardown(test, node_setup, node_teardown)

int main(void)
{
    if (tls_start() != TG_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        IN_FLEET(writes_go_to_the_store),
        IN_FLEET(nothing_new_is_no_write),
        IN_FLEET(keys_stay_at_home),
        IN_FLEET(same_resource_elsewhere),
        IN_FLEET(posts_get_numbers_of_their_own),
        IN_FLEET(routes_are_checked_against_all),
        IN_FLEET(store_away),
        IN_FLEET(write_right_after_the_start),
        IN_FLEET(answer_lost),
        IN_FLEET(store_that_hangs),
        IN_FLEET(store_that_is_full),
        IN_FLEET(more_than_a_key_takes),
        IN_FLEET(refused_change_is_taken_back),
        IN_FLEET(no_data_plane_no_write),
        IN_FLEET(status_tells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
