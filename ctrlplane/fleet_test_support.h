/* SPDX-License-Identifier: BSD-3-Clause
 * What tests of a node in a fleet share: a control plane with fake workers and a fake etcd, and waiting for what the
 * store brings.
 */
#ifndef CTRLPLANE_FLEET_TEST_SUPPORT_H
#define CTRLPLANE_FLEET_TEST_SUPPORT_H

#include "ctrlplane/fake_etcd.h"
#include "ctrlplane/publish.h"

#define FLEET_TEST_PREFIX "/tidegate/v1/fleet/lab/"
#define META_VALUE        "{\"format\":1,\"made_by\":\"other\"}"

struct node {
    struct place place;
    struct fake fake;
    struct fake_etcd etcd;
    struct control control;
};

static inline void node_open(struct node *n)
{
    char problem[640] = "";
    if (!control_open(&n->control, &n->place.config, problem))
        fail_msg("%s", problem);
}

/* tidegate-ctl goes and comes again. */
static inline void node_reopen(struct node *n)
{
    control_close(&n->control);
    node_open(n);
}

static inline void node_config_fleet(struct node *n, bool fleet)
{
    n->place.config.etcd_count = fleet;
    snprintf(n->place.config.fleet, sizeof n->place.config.fleet, "%s", fleet ? "lab" : "");
    fake_etcd_url(&n->etcd, n->place.config.etcd[0]);
}

/* One turn of main's loop. */
static inline void node_step(struct node *n)
{
    control_tick(&n->control, control_now());
    fleet_run(&n->control, control_now());
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

#define NODE_WAIT(n, condition)                                                                    \
    do {                                                                                           \
        tg_ns end_ = control_now() + 20 * TG_S;                                                    \
        while (!(condition)) {                                                                     \
            if (control_now() > end_)                                                              \
                fail_msg("not in time: %s", #condition);                                           \
            node_step(n);                                                                          \
        }                                                                                          \
    } while (0)

static inline bool node_connected(struct node *n)
{
    struct fleet *f = &n->control.fleet;
    return f->store->type->status(f->store).connected && f->snapshots > 0;
}

/* Connected, with the store set up by "another node" unless the test says otherwise. */
static inline int node_setup(void **state)
{
    struct node *n = calloc(1, sizeof *n);
    place_make(&n->place);
    fake_etcd_start(&n->etcd);
    node_config_fleet(n, true);
    fake_etcd_put(&n->etcd, FLEET_TEST_PREFIX "meta", META_VALUE);
    fake_start(&n->fake, &n->place, 2, 0x1111);
    node_open(n);
    fake_settle(&n->fake);
    NODE_WAIT(n, node_connected(n));
    *state = n;
    return 0;
}

/* The same node, alone. */
static inline int node_setup_alone(void **state)
{
    struct node *n = calloc(1, sizeof *n);
    place_make(&n->place);
    fake_etcd_start(&n->etcd);
    node_config_fleet(n, false);
    fake_start(&n->fake, &n->place, 2, 0x1111);
    node_open(n);
    fake_settle(&n->fake);
    *state = n;
    return 0;
}

static inline int node_teardown(void **state)
{
    struct node *n = *state;
    control_close(&n->control);
    fake_stop(&n->fake);
    fake_etcd_stop(&n->etcd);
    place_remove(&n->place);
    free(n);
    return 0;
}

/* As another node writes; returns the revision. */
static inline int64_t other_put(struct node *n, const char *name, const char *value)
{
    char key[FLEET_KEY_MAX];
    snprintf(key, sizeof key, FLEET_TEST_PREFIX "%s", name);
    return fake_etcd_put(&n->etcd, key, value);
}

/* Wait until a revision is in force on both workers. */
static inline void in_force_wait(struct node *n, int64_t revision)
{
    NODE_WAIT(n, fleet_in_force(&n->control) >= revision);
}

/* What the store has under a key: asserts that it is `value` (NULL: nothing). */
static inline void store_expect(struct node *n, const char *name, const char *value)
{
    char key[FLEET_KEY_MAX];
    snprintf(key, sizeof key, FLEET_TEST_PREFIX "%s", name);
    char *found = fake_etcd_get(&n->etcd, key, NULL);
    if (value) {
        assert_non_null(found);
        assert_string_equal(found, value);
    } else {
        assert_null(found);
    }
    free(found);
}

static inline const struct tables_rules *rules_in_force(struct node *n)
{
    struct span block;
    uint64_t number;
    assert_int_equal(region_current(&n->fake.region, TABLES_RULES, &block, &number), TG_OK);
    return (const void *)block.data;
}

static inline const struct tables_routes *routes_in_force(struct node *n)
{
    struct span block;
    uint64_t number;
    assert_int_equal(region_current(&n->fake.region, TABLES_ROUTES, &block, &number), TG_OK);
    return (const void *)block.data;
}

/* The "fleet" of /v1/status. New reference. */
static inline json_t *fleet_of_status(struct node *n)
{
    json_t *status = api_expect(&n->control, "GET", "/v1/status", NULL, 200);
    json_t *fleet = json_incref(json_object_get(status, "fleet"));
    json_decref(status);
    assert_non_null(fleet);
    return fleet;
}

/* Is the key left out, with a sentence that holds `words`? */
static inline bool left_out(struct node *n, const char *name, const char *words)
{
    json_t *fleet = fleet_of_status(n), *item;
    char key[FLEET_KEY_MAX];
    bool found = false;
    size_t i;
    snprintf(key, sizeof key, FLEET_TEST_PREFIX "%s", name);
    json_array_foreach(json_object_get(fleet, "left_out"), i, item)
    {
        found |= strcmp(json_text(item, "key"), key) == 0 &&
                 strstr(json_text(item, "problem"), words) != NULL;
    }
    json_decref(fleet);
    return found;
}

#endif
