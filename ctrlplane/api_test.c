/* SPDX-License-Identifier: BSD-3-Clause
 * The API against a region whose workers are threads of this test: the router, rules, and what a
 * change promises.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctrlplane/api_test_support.h"
#include "ctrlplane/publish.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The rules in force in the region, as workers see them. */
static const struct tables_rules *rules_in_force(struct fixture *f)
{
    struct span block;
    uint64_t number;
    assert_int_equal(region_current(&f->fake.region, TABLES_RULES, &block, &number), TG_OK);
    for (unsigned w = 0; w < 2; w++)
        assert_int_equal(atomic_load(&region_worker(&f->fake.region, w)->applied[TABLES_RULES]),
                         number);
    return (const void *)block.data;
}

static void rule_comes_into_force(void **state)
{
    struct fixture *f = *state;
    struct api_response r = api_ask(
        &f->control, "PUT", "/v1/rules/7",
        "{\"source\": \"192.0.2.0/24\", \"protocol\": \"tcp\", \"destination_port\": \"80-90\"}");
    assert_int_equal(r.status, 201);
    assert_string_equal(r.location, "/v1/rules/7");
    assert_true(r.generation > 0);
    assert_int_equal(json_integer_value(json_object_get(r.body, "id")), 7);
    assert_string_equal(json_text(r.body, "source"), "192.0.2.0/24");
    assert_string_equal(json_text(r.body, "destination_port"), "80-90");
    assert_null(json_object_get(r.body, "slot"));
    json_decref(r.body);
    const struct tables_rules *t = rules_in_force(f);
    assert_int_equal(t->header.number, r.generation);
    assert_int_equal(t->count, 1);
    assert_int_equal(t->rules[0].id, 7);
    assert_int_equal(t->rules[0].proto, 6);
    assert_int_equal(t->rules[0].source_bits, 120);
    assert_int_equal(t->rules[0].destination_port_low, 80);
    assert_int_equal(t->rules[0].destination_port_high, 90);
    assert_int_equal(t->rules[0].source_port_high, 65535);
    json_decref(api_expect(&f->control, "DELETE", "/v1/rules/7", NULL, 200));
    assert_int_equal(rules_in_force(f)->count, 0);
    api_expect_problem(&f->control, "GET", "/v1/rules/7", NULL, 404, "");
    api_expect_problem(&f->control, "DELETE", "/v1/rules/7", NULL, 404, "");
}

static void put_replaces_and_post_numbers(void **state)
{
    struct fixture *f = *state;
    json_decref(api_expect(&f->control, "PUT", "/v1/rules/41", "{\"protocol\": \"udp\"}", 201));
    json_decref(
        api_expect(&f->control, "PUT", "/v1/rules/41", "{\"protocol\": 47, \"id\": 41}", 200));
    struct api_response r =
        api_ask(&f->control, "POST", "/v1/rules", "{\"source\": \"2001:db8::/32\"}");
    assert_int_equal(r.status, 201);
    assert_string_equal(r.location, "/v1/rules/42");
    json_decref(r.body);
    json_decref(api_expect(&f->control, "PUT", "/v1/rules/5", "{\"source\": \"192.0.2.1\"}", 201));
    json_t *list = api_expect(&f->control, "GET", "/v1/rules", NULL, 200);
    assert_int_equal(json_array_size(list), 3);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "id")), 5);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 1), "protocol")), 47);
    assert_string_equal(json_text(json_array_get(list, 2), "source"), "2001:db8::/32");
    json_decref(list);
    json_decref(api_expect(&f->control, "PUT", "/v1/rules/4294967295", "{\"protocol\": 50}", 201));
    api_expect_problem(&f->control, "POST", "/v1/rules", "{\"protocol\": 51}", 507, "");
}

static void wrong_rules_change_nothing(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *body;
        unsigned status;
        const char *pointer;
    } cases[] = {
        {"", 400, ""},
        {"{", 400, ""},
        {"{\"protocol\": \"tcp\", \"protocol\": \"udp\"}", 400, ""},
        {"{\"protocol\": \"tcp\"} x", 400, ""},
        {"[]", 422, ""},
        {"{}", 422, ""},
        {"{\"sauce\": \"192.0.2.0/24\"}", 422, "/sauce"},
        {"{\"a/b~c\": 1}", 422, "/a~1b~0c"},
        {"{\"source\": 5}", 422, "/source"},
        {"{\"source\": null}", 422, "/source"},
        {"{\"source\": \"\"}", 422, "/source"},
        {"{\"source\": \"192.0.2.1/24\"}", 422, "/source"},
        {"{\"source\": \"192.0.2.0/33\"}", 422, "/source"},
        {"{\"source\": \"192.0.2.0/\"}", 422, "/source"},
        {"{\"source\": \"192.0.2.0/2x\"}", 422, "/source"},
        {"{\"source\": \"192.0.2.0/-1\"}", 422, "/source"},
        {"{\"source\": \"192.0.2\"}", 422, "/source"},
        {"{\"source\": \"::ffff:192.0.2.1\"}", 422, "/source"},
        {"{\"source\": \"2001:db8::/129\"}", 422, "/source"},
        {"{\"source\": \"::/0\"}", 422, "/source"},
        {"{\"destination\": \"::/0\"}", 422, "/destination"},
        {"{\"source\": \"192.0.2.0/24\", \"destination\": \"2001:db8::/32\"}", 422, "/destination"},
        {"{\"protocol\": \"tpc\"}", 422, "/protocol"},
        {"{\"protocol\": 0}", 422, "/protocol"},
        {"{\"protocol\": 256}", 422, "/protocol"},
        {"{\"protocol\": \"256\"}", 422, "/protocol"},
        {"{\"protocol\": true}", 422, "/protocol"},
        {"{\"protocol\": \"icmp\", \"destination_port\": 80}", 422, "/destination_port"},
        {"{\"protocol\": 47, \"source_port\": 80}", 422, "/source_port"},
        {"{\"destination_port\": 65536}", 422, "/destination_port"},
        {"{\"destination_port\": -1}", 422, "/destination_port"},
        {"{\"destination_port\": 80.5}", 422, "/destination_port"},
        {"{\"destination_port\": \"90-80\"}", 422, "/destination_port"},
        {"{\"destination_port\": \"80-\"}", 422, "/destination_port"},
        {"{\"destination_port\": \"-80\"}", 422, "/destination_port"},
        {"{\"destination_port\": \"80-90-99\"}", 422, "/destination_port"},
        {"{\"destination_port\": \"http\"}", 422, "/destination_port"},
        {"{\"source_port\": \"1-99999\"}", 422, "/source_port"},
        {"{\"protocol\": \"tcp\", \"id\": 8}", 422, "/id"},
        {"{\"protocol\": \"tcp\", \"id\": \"7\"}", 422, "/id"},
        {"{\"protocol\": \"tcp\", \"hits\": 1}", 422, "/hits"},
        {"{\"protocol\": \"tcp\", \"slot\": 1}", 422, "/slot"},
    };
    uint64_t before = publish_generation(&f->control, TABLES_RULES);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        api_expect_problem(&f->control, "PUT", "/v1/rules/7", cases[i].body, cases[i].status,
                           cases[i].pointer);
    api_expect_problem(&f->control, "POST", "/v1/rules", "{\"protocol\": 6, \"id\": 9}", 422,
                       "/id");
    assert_int_equal(publish_generation(&f->control, TABLES_RULES), before);
    json_t *list = api_expect(&f->control, "GET", "/v1/rules", NULL, 200);
    assert_int_equal(json_array_size(list), 0);
    json_decref(list);
}

static void json_faults_say_line_and_column(void **state)
{
    struct fixture *f = *state;
    json_t *p = api_expect(&f->control, "PUT", "/v1/rules/7", "{\n  \"source\": oops\n}", 400);
    assert_int_equal(json_integer_value(json_object_get(p, "line")), 2);
    assert_true(json_integer_value(json_object_get(p, "column")) >= 12);
    json_decref(p);
}

static void router_answers_unknown_paths_and_methods(void **state)
{
    struct fixture *f = *state;
    static const char *const lost[] = {
        "/",          "/v1",     "/v1/",          "/v1/rule",   "/v1/rules/", "/v1/rules/7/8",
        "/v2/status", "/v1/waf", "/v1/sites/a/b", "/v1/status/"};
    for (size_t i = 0; i < sizeof lost / sizeof lost[0]; i++)
        api_expect_problem(&f->control, "GET", lost[i], NULL, 404, "");
    static const char *const no_ids[] = {"/v1/rules/0", "/v1/rules/07", "/v1/rules/x",
                                         "/v1/rules/4294967296", "/v1/rules/-1"};
    for (size_t i = 0; i < sizeof no_ids / sizeof no_ids[0]; i++) {
        api_expect_problem(&f->control, "GET", no_ids[i], NULL, 404, "");
        api_expect_problem(&f->control, "PUT", no_ids[i], "{\"protocol\": \"tcp\"}", 404, "");
    }
    struct api_response r = api_ask(&f->control, "PATCH", "/v1/rules/7", NULL);
    assert_int_equal(r.status, 405);
    assert_string_equal(r.allow, "GET, PUT, DELETE");
    json_decref(r.body);
    r = api_ask(&f->control, "PUT", "/v1/rules", "{}");
    assert_int_equal(r.status, 405);
    assert_string_equal(r.allow, "GET, POST");
    json_decref(r.body);
    json_t *p = api_expect(&f->control, "GET", "/v1/status?verbose=1", NULL, 400);
    assert_string_equal(json_text(p, "parameter"), "verbose");
    json_decref(p);
}

static void hits_are_summed_and_start_at_zero(void **state)
{
    struct fixture *f = *state;
    json_decref(api_expect(&f->control, "PUT", "/v1/rules/7", "{\"protocol\": \"udp\"}", 201));
    unsigned slot = rules_in_force(f)->rules[0].slot;
    region_worker(&f->fake.region, 0)->rule_hits[slot] = 30;
    region_worker(&f->fake.region, 1)->rule_hits[slot] = 12;
    json_t *rule = api_expect(&f->control, "GET", "/v1/rules/7", NULL, 200);
    assert_int_equal(json_integer_value(json_object_get(rule, "hits")), 42);
    json_decref(rule);
    /* a replaced rule keeps its counter; another rule never inherits one, whatever its slot */
    rule = api_expect(&f->control, "PUT", "/v1/rules/7", "{\"protocol\": \"tcp\"}", 200);
    assert_int_equal(json_integer_value(json_object_get(rule, "hits")), 42);
    json_decref(rule);
    json_decref(api_expect(&f->control, "DELETE", "/v1/rules/7", NULL, 200));
    for (unsigned i = 0; i < TABLES_RULES_MAX; i++)
        region_worker(&f->fake.region, 0)->rule_hits[i] = 1000;
    rule = api_expect(&f->control, "PUT", "/v1/rules/8", "{\"protocol\": \"tcp\"}", 201);
    assert_int_equal(json_integer_value(json_object_get(rule, "hits")), 0);
    json_decref(rule);
    slot = rules_in_force(f)->rules[0].slot;
    region_worker(&f->fake.region, 0)->rule_hits[slot] += 5;
    rule = api_expect(&f->control, "GET", "/v1/rules/8", NULL, 200);
    assert_int_equal(json_integer_value(json_object_get(rule, "hits")), 5);
    json_decref(rule);
}

static void without_data_plane_nothing_changes(void **state)
{
    struct fixture *f = *state;
    struct stat before, after;
    json_decref(api_expect(&f->control, "PUT", "/v1/rules/7", "{\"protocol\": \"udp\"}", 201));
    assert_int_equal(stat(f->control.store.path, &before), 0);
    fake_stop(&f->fake);
    api_expect_problem(&f->control, "PUT", "/v1/rules/8", "{\"protocol\": \"udp\"}", 503, "");
    api_expect_problem(&f->control, "DELETE", "/v1/rules/7", NULL, 503, "");
    unlink(f->place.config.region);
    api_expect_problem(&f->control, "PUT", "/v1/rules/8", "{\"protocol\": \"udp\"}", 503, "");
    api_expect_problem(&f->control, "GET", "/v1/stats", NULL, 503, "");
    assert_false(f->control.attached);
    assert_int_equal(stat(f->control.store.path, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    json_t *s = api_expect(&f->control, "GET", "/v1/status", NULL, 200);
    assert_string_equal(json_text(s, "data_plane"), "stopped");
    assert_int_equal(json_integer_value(json_object_get(s, "workers_alive")), 0);
    json_decref(s);
    /* it comes back with an empty region: everything is published again */
    fake_start(&f->fake, &f->place, 2, 0x2222);
    control_tick(&f->control, control_now() + TG_S);
    assert_true(f->control.attached);
    json_decref(api_expect(&f->control, "PUT", "/v1/rules/8", "{\"protocol\": \"tcp\"}", 201));
    assert_int_equal(rules_in_force(f)->count, 2);
}

static void silent_worker_is_named(void **state)
{
    struct fixture *f = *state;
    f->control.config.apply_timeout_ms = 60;
    atomic_store(&f->fake.mood[1], FAKE_IGNORE);
    json_t *p = api_expect(&f->control, "PUT", "/v1/rules/7", "{\"protocol\": \"udp\"}", 504);
    assert_int_equal(json_integer_value(json_object_get(p, "worker")), 1);
    assert_true(json_is_true(json_object_get(p, "changed")));
    assert_string_equal(json_text(p, "type"), "urn:tidegate:problem:not-acknowledged");
    json_decref(p);
    /* stored and published: it comes into force when the worker wakes up */
    json_decref(api_expect(&f->control, "GET", "/v1/rules/7", NULL, 200));
    atomic_store(&f->fake.mood[1], FAKE_APPLY);
    json_decref(api_expect(&f->control, "PUT", "/v1/rules/7", "{\"protocol\": \"udp\"}", 200));
    assert_int_equal(rules_in_force(f)->count, 1);
}

static void refused_change_is_undone(void **state)
{
    struct fixture *f = *state;
    json_decref(api_expect(&f->control, "PUT", "/v1/rules/7", "{\"protocol\": \"udp\"}", 201));
    f->control.config.apply_timeout_ms = 100;
    atomic_store(&f->fake.refuse_times, 1);
    atomic_store(&f->fake.mood[1], FAKE_REFUSE);
    json_t *p = api_expect(&f->control, "PUT", "/v1/rules/8", "{\"protocol\": \"tcp\"}", 504);
    assert_string_equal(json_text(p, "type"), "urn:tidegate:problem:refused-by-worker");
    assert_int_equal(json_integer_value(json_object_get(p, "worker")), 1);
    assert_true(json_is_false(json_object_get(p, "changed")));
    json_decref(p);
    api_expect_problem(&f->control, "GET", "/v1/rules/8", NULL, 404, "");
    atomic_store(&f->fake.mood[1], FAKE_APPLY);
    f->control.config.apply_timeout_ms = 2000;
    json_decref(api_expect(&f->control, "PUT", "/v1/rules/9", "{\"protocol\": \"tcp\"}", 201));
    assert_int_equal(rules_in_force(f)->count, 2);
    /* the state file agrees */
    json_t *stored;
    char why[640];
    assert_int_equal(store_load(&f->control.store, &stored, why), TG_OK);
    assert_true(json_equal(stored, f->control.model));
    json_decref(stored);
}

static void passing_refusal_is_retried(void **state)
{
    struct fixture *f = *state;
    atomic_store(&f->fake.refuse_times, 2);
    atomic_store(&f->fake.mood[0], FAKE_REFUSE);
    json_decref(api_expect(&f->control, "PUT", "/v1/rules/7", "{\"protocol\": \"udp\"}", 201));
    assert_int_equal(rules_in_force(f)->count, 1);
}

static void dying_data_plane_is_said(void **state)
{
    struct fixture *f = *state;
    atomic_store(&f->fake.mood[0], FAKE_DIE);
    atomic_store(&f->fake.mood[1], FAKE_DIE);
    json_t *p = api_expect(&f->control, "PUT", "/v1/rules/7", "{\"protocol\": \"udp\"}", 504);
    assert_non_null(strstr(json_text(p, "detail"), "the data plane went away"));
    assert_true(json_is_true(json_object_get(p, "changed")));
    assert_null(json_object_get(p, "worker"));
    json_decref(p);
    api_expect_problem(&f->control, "PUT", "/v1/rules/8", "{\"protocol\": \"udp\"}", 503, "");
}

/* Generations that a worker does not let go of fill the slots: a change is refused and leaves no
 * trace. */
static void full_region_refuses_and_recovers(void **state)
{
    struct fixture *f = *state;
    char body[64];
    unsigned done = 0;
    atomic_store(&f->fake.mood[0], FAKE_HOLD);
    f->control.config.apply_timeout_ms = 50;
    for (; done < 2 * REGION_SLOTS; done++) {
        snprintf(body, sizeof body, "{\"source\": \"10.0.%u.0/24\"}", done);
        struct api_response r = api_ask(&f->control, "PUT", "/v1/rules/7", body);
        json_decref(r.body);
        if (r.status == 507)
            break;
        assert_true(r.status <= 201);
    }
    assert_true(done >= 2 && done < REGION_SLOTS);
    json_t *rule = api_expect(&f->control, "GET", "/v1/rules/7", NULL, 200), *stored;
    char why[640];
    snprintf(body, sizeof body, "10.0.%u.0/24", done - 1);
    assert_string_equal(json_text(rule, "source"), body);
    assert_int_equal(store_load(&f->control.store, &stored, why), TG_OK);
    assert_true(json_equal(stored, f->control.model));
    json_decref(stored);
    json_decref(rule);
    /* the connections end */
    atomic_store(&f->fake.mood[0], FAKE_APPLY);
    struct region_worker *w = region_worker(&f->fake.region, 0);
    atomic_store(&w->oldest[TABLES_RULES], atomic_load(&w->applied[TABLES_RULES]));
    json_decref(api_expect(&f->control, "PUT", "/v1/rules/7", "{\"protocol\": \"udp\"}", 200));
}

static void restart_finds_its_tables(void **state)
{
    struct fixture *f = *state;
    char problem[640];
    json_decref(api_expect(&f->control, "PUT", "/v1/rules/7", "{\"protocol\": \"udp\"}", 201));
    region_worker(&f->fake.region, 0)->rule_hits[rules_in_force(f)->rules[0].slot] = 9;
    uint64_t generation[TABLES_KINDS];
    for (unsigned k = 0; k < TABLES_KINDS; k++)
        generation[k] = publish_generation(&f->control, k);
    control_close(&f->control);
    assert_true(control_open(&f->control, &f->place.config, problem));
    for (unsigned k = 0; k < TABLES_KINDS; k++) {
        assert_true(generation[k] > 0);
        assert_int_equal(publish_generation(&f->control, k), generation[k]);
    }
    json_t *rule = api_expect(&f->control, "GET", "/v1/rules/7", NULL, 200);
    assert_int_equal(json_integer_value(json_object_get(rule, "hits")), 9);
    json_decref(rule);
}

static void a_second_control_plane_is_refused(void **state)
{
    struct fixture *f = *state;
    static struct control second;
    char problem[640];
    assert_false(control_open(&second, &f->place.config, problem));
    assert_non_null(strstr(problem, "another tidegate-ctl"));
    struct config other = f->place.config;
    snprintf(other.state, sizeof other.state, "%s/state2", f->place.directory);
    assert_true(control_open(&second, &other, problem));
    assert_false(second.attached);
    json_t *p = api_expect(&second, "PUT", "/v1/rules/7", "{\"protocol\": \"udp\"}", 503);
    assert_non_null(strstr(json_text(p, "detail"), "another tidegate-ctl"));
    json_decref(p);
    control_close(&second);
}

static void table_full_is_said(void **state)
{
    struct fixture *f = *state;
    /* "icmp" of any family takes two entries: 512 of them fill the table */
    json_t *rules = json_object();
    for (unsigned i = 0; i < TABLES_RULES_MAX / 2; i++) {
        char key[16];
        snprintf(key, sizeof key, "%u", i + 1);
        json_object_set_new(
            rules, key,
            json_pack("{s:s, s:i, s:i}", "protocol", "icmp", "slot", i, "hits_base", 0));
    }
    json_object_set_new(f->control.model, "rules", rules);
    api_expect_problem(&f->control, "PUT", "/v1/rules/9999", "{\"protocol\": \"tcp\"}", 507, "");
    json_decref(api_expect(&f->control, "DELETE", "/v1/rules/1", NULL, 200));
    json_decref(api_expect(&f->control, "PUT", "/v1/rules/9999", "{\"protocol\": \"tcp\"}", 201));
    assert_int_equal(rules_in_force(f)->count, TABLES_RULES_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rule_comes_into_force, setup, teardown),
        cmocka_unit_test_setup_teardown(put_replaces_and_post_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_rules_change_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(json_faults_say_line_and_column, setup, teardown),
        cmocka_unit_test_setup_teardown(router_answers_unknown_paths_and_methods, setup, teardown),
        cmocka_unit_test_setup_teardown(hits_are_summed_and_start_at_zero, setup, teardown),
        cmocka_unit_test_setup_teardown(without_data_plane_nothing_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(silent_worker_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(refused_change_is_undone, setup, teardown),
        cmocka_unit_test_setup_teardown(passing_refusal_is_retried, setup, teardown),
        cmocka_unit_test_setup_teardown(dying_data_plane_is_said, setup, teardown),
        cmocka_unit_test_setup_teardown(full_region_refuses_and_recovers, setup, teardown),
        cmocka_unit_test_setup_teardown(restart_finds_its_tables, setup, teardown),
        cmocka_unit_test_setup_teardown(a_second_control_plane_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(table_full_is_said, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
