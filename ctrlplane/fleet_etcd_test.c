/* SPDX-License-Identifier: BSD-3-Clause
 * What the fleet store on etcd makes of a peer that hangs, lies, goes away, or is none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctrlplane/fleet_store_test_support.h"

/* --- etcd: what keeps it honest -------------------------------------------------------------------- */

static void heartbeats_prove_life(void **state)
{
    struct fixture *f = *state;
    begin(f);
    tg_ns proof = status_of(f).proof;
    unsigned writes = atomic_load(&f->etcd.writes);
    f->skew += 3 * TG_S; /* nobody else wrote one: it is our turn */
    while (status_of(f).proof < proof + 2 * TG_S)
        step(f);
    assert_int_equal(atomic_load(&f->etcd.writes), writes + 1);
    char *value = fake_etcd_get(&f->etcd, PREFIX "heartbeat", NULL);
    assert_memory_equal(value, "{\"node\":\"edge1\",\"run\":\"", 23);
    free(value);
    assert_false(f->store->type->next(f->store, &f->batch));
    f->skew += 1100 * TG_MS; /* the one who wrote it goes on after a second */
    while (atomic_load(&f->etcd.writes) < writes + 2)
        step(f);
    assert_true(status_of(f).connected);
}

static void silent_watch_is_given_up(void **state)
{
    struct fixture *f = *state;
    begin(f);
    atomic_store(&f->etcd.watch_fault, WATCH_SILENT);
    int64_t lost = fake_etcd_put(&f->etcd, PREFIX "rules/1", "\"lost\"");
    for (unsigned i = 0; i < 20; i++)
        step(f);
    assert_false(f->store->type->next(f->store, &f->batch));
    atomic_store(&f->etcd.watch_fault, WATCH_GOOD);
    f->skew += 5 * TG_S;
    batch_wait(f, FLEET_CHANGES); /* from the revision before the silence */
    change_expect(f, 0, "rules/1", "\"lost\"", lost);
    assert_int_equal(status_of(f).lost, 1);
}

static void lost_event_shows_in_the_audit(void **state)
{
    struct fixture *f = *state;
    begin(f);
    fake_etcd_put_unseen(&f->etcd, PREFIX "rules/1", "\"unseen\"");
    int64_t seen = fake_etcd_put(&f->etcd, PREFIX "rules/2", "\"2\"");
    batch_wait(f, FLEET_CHANGES);
    change_expect(f, 0, "rules/2", "\"2\"", seen);
    for (unsigned i = 0; i < 26; i++) { /* 78 s, in which heartbeats go on */
        f->skew += 3 * TG_S;
        tg_ns proof = status_of(f).proof;
        while (status_of(f).proof == proof)
            step(f);
    }
    batch_wait(f, FLEET_LISTING);
    assert_int_equal(f->batch.count, 2);
    change_expect(f, 0, "rules/1", NULL, seen - 1);
    assert_int_equal(status_of(f).lost, 0);
}

static void stale_events_are_dropped(void **state)
{
    struct fixture *f = *state;
    begin(f);
    atomic_store(&f->etcd.watch_fault, WATCH_STALE);
    for (unsigned i = 0; i < 3; i++) {
        int64_t revision = fake_etcd_put(&f->etcd, PREFIX "rules/1", "\"x\"");
        batch_wait(f, FLEET_CHANGES);
        assert_int_equal(f->batch.count, 1);
        change_expect(f, 0, "rules/1", "\"x\"", revision);
    }
    while (status_of(f).dropped < 3)
        step(f);
    assert_true(status_of(f).connected);
}

static void broken_streams_are_left(void **state)
{
    static const int faults[] = {WATCH_BAD_LINE, WATCH_ERROR_LINE, WATCH_BAD_BASE64};
    struct fixture *f = *state;
    begin(f);
    for (size_t i = 0; i < TG_ARRAY_LEN(faults); i++) {
        atomic_store(&f->etcd.watch_fault, faults[i]);
        connected_wait(f, false);
        assert_string_equal(status_of(f).problem,
                            i == 1 ? "etcdserver: no leader"
                                   : "the watch brought a line that is not etcd's");
        int64_t revision = fake_etcd_put(&f->etcd, PREFIX "rules/1", "\"x\"");
        batch_wait(f, FLEET_CHANGES);
        change_expect(f, 0, "rules/1", "\"x\"", revision);
        connected_wait(f, true);
    }
}

static void watch_that_goes_back_is_left(void **state)
{
    struct fixture *f = *state;
    begin(f);
    fake_etcd_put(&f->etcd, PREFIX "rules/1", "\"1\"");
    batch_wait(f, FLEET_CHANGES);
    atomic_store(&f->etcd.watch_fault, WATCH_BACKWARDS);
    int64_t revision = fake_etcd_put(&f->etcd, PREFIX "rules/1", "\"2\"");
    connected_wait(f, false);
    assert_string_equal(status_of(f).problem, "the watch went back in time");
    assert_false(f->store->type->next(f->store, &f->batch));
    atomic_store(&f->etcd.watch_fault, WATCH_GOOD);
    batch_wait(f, FLEET_CHANGES);
    change_expect(f, 0, "rules/1", "\"2\"", revision);
}

static void watch_that_never_begins(void **state)
{
    struct fixture *f = *state;
    atomic_store(&f->etcd.watch_fault, WATCH_NEVER_BEGINS);
    batch_wait(f, FLEET_SNAPSHOT);
    while (atomic_load(&f->etcd.watches) == 0)
        step(f);
    assert_false(status_of(f).connected);
    f->skew += 4 * TG_S;
    step(f);
    assert_string_equal(status_of(f).problem, "the watch does not begin");
    atomic_store(&f->etcd.watch_fault, WATCH_GOOD);
    connected_wait(f, true);
}

/* --- etcd: peers that are none ---------------------------------------------------------------------- */

static void first_list_fails(void **state)
{
    static const struct {
        int fault;
        const char *problem;
    } cases[] = {
        {ETCD_ERROR_500, "an answer that is not etcd's"},
        {ETCD_NO_LEADER, "etcdserver: no leader"},
        {ETCD_NOT_ETCD, "an answer that is not etcd's"},
        {ETCD_GARBAGE, "an answer that is not etcd's"},
        {ETCD_WRONG_JSON, "an answer that is not etcd's"},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < TG_ARRAY_LEN(cases); i++) {
        f->store->type->close(f->store);
        atomic_store(&f->etcd.fault, cases[i].fault);
        f->store = etcd_open(f, f->url, NULL);
        tg_ns end = control_now() + 5 * TG_S;
        while (!status_of(f).problem[0] && control_now() < end)
            step(f);
        assert_string_equal(status_of(f).problem, cases[i].problem);
        assert_false(status_of(f).connected);
        assert_false(f->store->type->next(f->store, &f->batch));
        atomic_store(&f->etcd.fault, ETCD_GOOD);
        begin(f); /* it comes back by itself */
    }
}

static void hanging_peer_has_a_deadline(void **state)
{
    struct fixture *f = *state;
    begin(f);
    atomic_store(&f->etcd.fault, ETCD_HANG);
    tg_ns start = control_now();
    const struct fleet_answer *a = write_one(f, "rules/1", "1", 0);
    assert_int_equal(a->outcome, FLEET_UNKNOWN);
    assert_true(strlen(a->problem) > 3);
    tg_ns took = control_now() - start;
    assert_true(took >= 250 * TG_MS && took < 3 * TG_S);
}

/* Closed while a request is out: nothing is left behind (the sanitizers look). */
static void closes_in_mid_request(void **state)
{
    struct fixture *f = *state;
    begin(f);
    atomic_store(&f->etcd.fault, ETCD_HANG);
    struct fleet_op op = {.key = PREFIX "rules/1", .value = "1"};
    f->store->type->write(f->store, &op, 1, now_of(f), now_of(f) + TG_S);
    f->store->type->load(f->store);
    for (unsigned i = 0; i < 5; i++)
        step(f);
    assert_int_equal(f->store->type->answer(f->store)->outcome, FLEET_PENDING);
}

static void outcomes_of_failed_writes(void **state)
{
    static const struct {
        int fault;
        enum fleet_outcome outcome;
    } cases[] = {
        {ETCD_ERROR_500, FLEET_UNKNOWN},  {ETCD_NO_LEADER, FLEET_UNKNOWN},
        {ETCD_NO_SPACE, FLEET_REFUSED},   {ETCD_NOT_ETCD, FLEET_REFUSED},
        {ETCD_GARBAGE, FLEET_UNKNOWN},    {ETCD_WRONG_JSON, FLEET_UNKNOWN},
        {ETCD_LATE_CLOSE, FLEET_UNKNOWN},
    };
    struct fixture *f = *state;
    begin(f);
    for (size_t i = 0; i < TG_ARRAY_LEN(cases); i++) {
        char key[16];
        snprintf(key, sizeof key, "rules/%zu", i + 1);
        atomic_store(&f->etcd.fault_write, cases[i].fault);
        const struct fleet_answer *a = write_one(f, key, "1", 0);
        if (a->outcome == FLEET_CONFLICT && cases[i].fault == ETCD_LATE_CLOSE)
            assert_true(
                a->same); /* libcurl repeats a request on a connection that died: ours is there */
        else
            assert_int_equal(a->outcome, cases[i].outcome);
        assert_true(a->outcome == FLEET_CONFLICT || strlen(a->problem) > 0);
    }
    atomic_store(&f->etcd.fault_write, ETCD_GOOD);
    assert_int_equal(write_one(f, "rules/99", "1", 0)->outcome, FLEET_STORED);
}

static void nobody_there(void **state)
{
    struct fixture *f = *state;
    begin(f);
    fake_etcd_down(&f->etcd);
    tg_ns start = control_now();
    assert_int_equal(write_one(f, "rules/1", "1", 0)->outcome, FLEET_UNREACHABLE);
    assert_true(control_now() - start < TG_S);
    connected_wait(f, false);
}

static void second_endpoint_takes_over(void **state)
{
    struct fixture *f = *state;
    struct fake_etcd other;
    char url[256];
    fake_etcd_start(&other);
    fake_etcd_url(&other, url);
    fake_etcd_down(&other);
    f->store->type->close(f->store);
    f->store = etcd_open(f, url, f->url); /* the first one is dead */
    begin(f);
    assert_string_equal(status_of(f).endpoint, f->url);
    assert_int_equal(write_one(f, "rules/1", "1", 0)->outcome, FLEET_STORED);
    f->store->type->close(f->store);
    f->store = etcd_open(f, url, f->url);
    /* Before the store itself has noticed: the write tries the other one. */
    assert_int_equal(write_one(f, "rules/2", "1", 0)->outcome, FLEET_STORED);
    fake_etcd_stop(&other);
}

/* Attempts do not come faster than the pause allows, and the pause grows. */
static void attempts_are_spaced(void **state)
{
    struct fixture *f = *state;
    begin(f);
    fake_etcd_down(&f->etcd);
    connected_wait(f, false);
    unsigned early = 0;
    for (unsigned ms = 0; ms < 20000; ms += 10) {
        f->skew += 10 * TG_MS;
        if (f->store->type->timeout_ms(f->store, now_of(f)) == 0)
            early++;
        f->store->type->run(f->store, now_of(f));
    }
    assert_in_range(early, 5, 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ETCD(heartbeats_prove_life),         ETCD(silent_watch_is_given_up),
        ETCD(lost_event_shows_in_the_audit), ETCD(stale_events_are_dropped),
        ETCD(broken_streams_are_left),       ETCD(watch_that_goes_back_is_left),
        ETCD(watch_that_never_begins),       ETCD(first_list_fails),
        ETCD(hanging_peer_has_a_deadline),   ETCD(closes_in_mid_request),
        ETCD(outcomes_of_failed_writes),     ETCD(nobody_there),
        ETCD(second_endpoint_takes_over),    ETCD(attempts_are_spaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
