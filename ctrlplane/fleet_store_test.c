/* SPDX-License-Identifier: BSD-3-Clause
 * The fleet store: what both implementations promise, and how the one on etcd follows its peer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctrlplane/fleet_store_test_support.h"

/* --- what both promise ---------------------------------------------------------------------------- */

static void writes_compare_revisions(void **state)
{
    struct fixture *f = *state;
    begin(f);
    const struct fleet_answer *a = write_one(f, "rules/1", "{\"a\":1}", 0);
    assert_int_equal(a->outcome, FLEET_STORED);
    int64_t first = a->revision;
    assert_true(first > 0);
    a = write_one(f, "rules/1", "{\"a\":2}", 0);
    assert_int_equal(a->outcome, FLEET_CONFLICT);
    assert_int_equal(a->found, first);
    assert_false(a->same);
    a = write_one(f, "rules/1", "{\"a\":1}", 0); /* as it is already */
    assert_int_equal(a->outcome, FLEET_CONFLICT);
    assert_true(a->same);
    a = write_one(f, "rules/1", "{\"a\":2}", first);
    assert_int_equal(a->outcome, FLEET_STORED);
    assert_true(a->revision > first);
    int64_t second = a->revision;
    a = write_one(f, "rules/1", NULL, first);
    assert_int_equal(a->outcome, FLEET_CONFLICT);
    assert_int_equal(a->found, second);
    assert_int_equal(write_one(f, "rules/1", NULL, second)->outcome, FLEET_STORED);
    a = write_one(f, "rules/1", NULL, second);
    assert_int_equal(a->outcome, FLEET_CONFLICT);
    assert_int_equal(a->found, 0);
    assert_true(a->same);
    assert_int_equal(write_one(f, "rules/1", "{}", 0)->outcome, FLEET_STORED);
}

static void all_operations_or_none(void **state)
{
    struct fixture *f = *state;
    begin(f);
    assert_int_equal(write_one(f, "sites/b", "1", 0)->outcome, FLEET_STORED);
    struct fleet_op ops[] = {{.key = PREFIX "sites/a", .value = "2", .expected = 0},
                             {.key = PREFIX "sites/b", .value = "2", .expected = 0}};
    f->store->type->write(f->store, ops, 2, now_of(f), now_of(f) + TG_S);
    while (f->store->type->answer(f->store)->outcome == FLEET_PENDING)
        step(f);
    assert_int_equal(f->store->type->answer(f->store)->outcome, FLEET_CONFLICT);
    assert_int_equal(f->store->type->answer(f->store)->found, 0); /* the first one's */
    f->store->type->load(f->store);
    snapshot_wait(f);
    assert_int_equal(f->batch.count, 1);
    change_expect(f, 0, "sites/b", "1", f->batch.changes[0].revision);
}

static void snapshot_on_request(void **state)
{
    struct fixture *f = *state;
    begin(f);
    assert_int_equal(f->batch.count, 0);
    assert_int_equal(write_one(f, "waf", "[]", 0)->outcome, FLEET_STORED);
    int64_t revision = f->store->type->answer(f->store)->revision;
    f->store->type->load(f->store);
    snapshot_wait(f);
    assert_int_equal(f->batch.count, 1);
    change_expect(f, 0, "waf", "[]", revision);
    assert_int_equal(f->batch.revision, revision);
}

/* --- etcd: following ------------------------------------------------------------------------------ */

static void changes_follow_in_order(void **state)
{
    struct fixture *f = *state;
    int64_t before = fake_etcd_put(&f->etcd, PREFIX "rules/1", "\"one\"");
    fake_etcd_put(&f->etcd, PREFIX "heartbeat", "{}");
    begin(f);
    assert_int_equal(f->batch.count, 1); /* the heartbeat is the store's own */
    change_expect(f, 0, "rules/1", "\"one\"", before);
    assert_false(f->batch.reset);
    for (unsigned i = 0; i < 20; i++) {
        char key[64];
        snprintf(key, sizeof key, PREFIX "rules/%u", i + 1);
        int64_t revision = fake_etcd_put(&f->etcd, key, i % 3 ? "\"x\"" : NULL);
        batch_wait(f, FLEET_CHANGES);
        assert_int_equal(f->batch.count, 1);
        change_expect(f, 0, key + strlen(PREFIX), i % 3 ? "\"x\"" : NULL, revision);
        assert_int_equal(status_of(f).revision, revision);
    }
    assert_int_equal(atomic_load(&f->etcd.lists), 1);
}

/* Bytes in ones and twos: every boundary falls into every place. */
static void pieces_of_any_size(void **state)
{
    struct fixture *f = *state;
    atomic_store(&f->etcd.piece, 1);
    fake_etcd_put(&f->etcd, PREFIX "rules/1", "\"one\"");
    begin(f);
    assert_int_equal(f->batch.count, 1);
    for (unsigned piece = 1; piece < 8; piece++) {
        atomic_store(&f->etcd.piece, piece);
        int64_t revision = fake_etcd_put(&f->etcd, PREFIX "rules/2", "\"two\"");
        batch_wait(f, FLEET_CHANGES);
        change_expect(f, 0, "rules/2", "\"two\"", revision);
    }
}

static void lists_come_in_pages(void **state)
{
    struct fixture *f = *state;
    f->store->type->close(f->store);
    for (unsigned i = 0; i < 1203; i++) {
        char key[64];
        snprintf(key, sizeof key, PREFIX "rules/%u", i + 1);
        fake_etcd_put(&f->etcd, key, "\"x\"");
    }
    f->store = etcd_open(f, f->url, NULL);
    begin(f);
    assert_int_equal(f->batch.count, 1203);
    assert_int_equal(atomic_load(&f->etcd.lists), 3);
    for (unsigned i = 1; i < f->batch.count; i++)
        assert_true(strcmp(f->batch.changes[i - 1].key, f->batch.changes[i].key) < 0);
}

static void resumes_where_it_was(void **state)
{
    struct fixture *f = *state;
    begin(f);
    fake_etcd_down(&f->etcd);
    connected_wait(f, false);
    assert_true(strlen(status_of(f).problem) > 3);
    int64_t one = fake_etcd_put(&f->etcd, PREFIX "rules/1", "\"1\"");
    int64_t two = fake_etcd_put(&f->etcd, PREFIX "rules/2", "\"2\"");
    fake_etcd_up(&f->etcd);
    batch_wait(f, FLEET_CHANGES);
    change_expect(f, 0, "rules/1", "\"1\"", one);
    if (f->batch.count == 1)
        batch_wait(f, FLEET_CHANGES);
    change_expect(f, f->batch.count - 1, "rules/2", "\"2\"", two);
    assert_int_equal(atomic_load(&f->etcd.lists), 1); /* by revision, not anew */
    assert_int_equal(status_of(f).lost, 1);
    assert_string_equal(status_of(f).problem, "");
    while (atomic_load(&f->etcd.audits) == 0) /* and a look whether that was all */
        step(f);
}

static void compacted_watch_loads_all(void **state)
{
    struct fixture *f = *state;
    begin(f);
    int64_t one = fake_etcd_put(&f->etcd, PREFIX "rules/1", "\"1\"");
    batch_wait(f, FLEET_CHANGES);
    atomic_store(&f->etcd.watch_fault, WATCH_COMPACTED);
    atomic_store(&f->etcd.kick, true);
    batch_wait(f, FLEET_SNAPSHOT);
    assert_false(f->batch.reset);
    change_expect(f, 0, "rules/1", "\"1\"", one);
    connected_wait(f, true);
}

static void another_store_is_told(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 5; i++)
        fake_etcd_put(&f->etcd, PREFIX "rules/1", "\"old\"");
    begin(f);
    fake_etcd_replace(&f->etcd);
    int64_t revision = fake_etcd_put(&f->etcd, PREFIX "rules/2", "\"new\"");
    batch_wait(f, FLEET_SNAPSHOT);
    assert_true(f->batch.reset);
    assert_int_equal(f->batch.count, 1);
    change_expect(f, 0, "rules/2", "\"new\"", revision);
    connected_wait(f, true);
    assert_int_equal(status_of(f).revision, revision);
}

#define BOTH(test)                                                                                 \
    cmocka_unit_test_setup_teardown(test, setup_embedded, teardown),                               \
        cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(writes_compare_revisions), BOTH(all_operations_or_none),
        BOTH(snapshot_on_request),      ETCD(changes_follow_in_order),
        ETCD(pieces_of_any_size),       ETCD(lists_come_in_pages),
        ETCD(resumes_where_it_was),     ETCD(compacted_watch_loads_all),
        ETCD(another_store_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
