/* SPDX-License-Identifier: BSD-3-Clause
 * What tests of the fleet store share: a store, a fake etcd, and a clock that can be put forward: time that has to pass
 * is given to the store, not waited for.
 */
#ifndef CTRLPLANE_FLEET_STORE_TEST_SUPPORT_H
#define CTRLPLANE_FLEET_STORE_TEST_SUPPORT_H

#include "ctrlplane/fake_etcd.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "/tidegate/v1/fleet/lab/"

struct fixture {
    struct fake_etcd etcd;
    char url[256];
    struct fleet_store *store;
    tg_ns skew; /* added to the clock */
    struct fleet_batch batch;
};

static inline tg_ns now_of(const struct fixture *f)
{
    return control_now() + f->skew;
}

static inline struct fleet_store *etcd_open(struct fixture *f, const char *first,
                                            const char *second)
{
    struct fleet_etcd_options options = {.endpoints = {first, second},
                                         .endpoint_count = second ? 2 : 1,
                                         .prefix = PREFIX,
                                         .heartbeat = PREFIX "heartbeat",
                                         .node = "edge1"};
    return fleet_etcd_open(&options, now_of(f));
}

static inline int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    fake_etcd_start(&f->etcd);
    fake_etcd_url(&f->etcd, f->url);
    f->store = etcd_open(f, f->url, NULL);
    *state = f;
    return 0;
}

static inline int setup_embedded(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    fake_etcd_start(&f->etcd);
    f->store = fleet_embedded_open();
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    f->store->type->close(f->store);
    fleet_batch_free(&f->batch);
    fake_etcd_stop(&f->etcd);
    free(f);
    return 0;
}

static inline void step(struct fixture *f)
{
    int wait = f->store->type->timeout_ms(f->store, now_of(f));
    struct pollfd fd = {.fd = f->store->type->fd(f->store), .events = POLLIN};
    poll(&fd, 1, wait < 0 || wait > 5 ? 5 : wait);
    f->store->type->run(f->store, now_of(f));
}

static inline struct fleet_store_status status_of(const struct fixture *f)
{
    return f->store->type->status(f->store);
}

/* The next batch of a kind into f->batch. Behind a reconnection a listing may come at any time. */
static inline void batch_wait(struct fixture *f, enum fleet_batch_kind kind)
{
    tg_ns end = control_now() + 10 * TG_S;
    do {
        fleet_batch_free(&f->batch);
        while (!f->store->type->next(f->store, &f->batch)) {
            assert_true(control_now() < end);
            step(f);
        }
    } while (kind != FLEET_LISTING && f->batch.kind == FLEET_LISTING);
    assert_int_equal(f->batch.kind, kind);
}

/* A snapshot that was asked for; etcd's may bring changes before it. */
static inline void snapshot_wait(struct fixture *f)
{
    tg_ns end = control_now() + 10 * TG_S;
    do {
        fleet_batch_free(&f->batch);
        if (!f->store->type->next(f->store, &f->batch))
            step(f);
        assert_true(control_now() < end);
    } while (f->batch.kind != FLEET_SNAPSHOT);
}

static inline void connected_wait(struct fixture *f, bool connected)
{
    tg_ns end = control_now() + 10 * TG_S;
    while (status_of(f).connected != connected) {
        assert_true(control_now() < end);
        step(f);
    }
}

/* Connected, and its first snapshot taken. */
static inline void begin(struct fixture *f)
{
    batch_wait(f, FLEET_SNAPSHOT);
    connected_wait(f, true);
}

static inline const struct fleet_answer *write_one(struct fixture *f, const char *name,
                                                   const char *value, int64_t expected)
{
    struct fleet_op op = {.value = value, .expected = expected};
    snprintf(op.key, sizeof op.key, PREFIX "%s", name);
    tg_ns end = control_now() + 10 * TG_S;
    f->store->type->write(f->store, &op, 1, now_of(f), now_of(f) + 300 * TG_MS);
    while (f->store->type->answer(f->store)->outcome == FLEET_PENDING) {
        assert_true(control_now() < end);
        step(f);
    }
    return f->store->type->answer(f->store);
}

static inline void change_expect(const struct fixture *f, unsigned index, const char *name,
                                 const char *value, int64_t revision)
{
    char key[FLEET_KEY_MAX];
    assert_true(index < f->batch.count);
    const struct fleet_change *c = &f->batch.changes[index];
    snprintf(key, sizeof key, PREFIX "%s", name);
    assert_string_equal(c->key, key);
    if (value)
        assert_string_equal(c->value, value);
    else
        assert_null(c->value);
    assert_int_equal(c->revision, revision);
}

#define ETCD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

#endif
