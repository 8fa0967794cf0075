/* SPDX-License-Identifier: BSD-3-Clause
 * Unit tests of the flow table: random runs against a plain array, equal hashes, overflow into the
 * stash and beyond.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include <stdlib.h>

static bool match_value(const void *arg, uint32_t value)
{
    return *(const uint32_t *)arg == value;
}

static bool match_never(const void *arg, uint32_t value)
{
    return false;
}

static uint32_t find(const struct flow_table *t, uint32_t hash, uint32_t value)
{
    return flow_table_find(t, hash, match_value, &value);
}

static void insert_find_remove(void **state)
{
    struct flow_table t;
    assert_int_equal(flow_table_init(&t, 100), TG_OK);
    assert_int_equal(find(&t, 5, 1), FLOW_TABLE_NONE);
    assert_false(flow_table_remove(&t, 5, 1));
    assert_int_equal(flow_table_insert(&t, 5, 1), TG_OK);
    assert_int_equal(find(&t, 5, 1), 1);
    assert_int_equal(find(&t, 5, 2), FLOW_TABLE_NONE);
    assert_int_equal(find(&t, 6, 1), FLOW_TABLE_NONE);
    assert_int_equal(flow_table_find(&t, 5, match_never, NULL), FLOW_TABLE_NONE);
    assert_false(flow_table_remove(&t, 5, 2));
    assert_int_equal(t.count, 1);
    assert_true(flow_table_remove(&t, 5, 1));
    assert_int_equal(t.count, 0);
    assert_int_equal(find(&t, 5, 1), FLOW_TABLE_NONE);
    flow_table_free(&t);
}

/* Bijective, so no two are equal, and with no pattern in the low bits, which choose the bucket. */
static uint32_t scattered(uint32_t i)
{
    i = (i ^ i >> 15) * 2654435761u;
    i = (i ^ i >> 13) * 0x85ebca6bu;
    return i ^ i >> 16;
}

/* A guess by the tag alone: right wherever one entry has it, in either bucket; none where nobody does. */
static void candidates_are_guesses_by_the_tag(void **state)
{
    struct flow_table t;
    struct prng p;
    unsigned stashed = 0, elsewhere = 0;
    prng_seed(&p, 4);
    assert_int_equal(flow_table_init(&t, 4000), TG_OK);
    for (uint32_t i = 0; i < 4000; i++)
        assert_int_equal(flow_table_insert(&t, scattered(i), i), TG_OK);
    for (uint32_t i = 0; i < 4000; i++) {
        uint32_t first = flow_table_first(&t, scattered(i));
        uint32_t second = flow_table_second(&t, scattered(i));
        stashed += first == FLOW_TABLE_NONE && second == FLOW_TABLE_NONE;
        elsewhere += first == FLOW_TABLE_NONE;
        assert_true(first == i || (first == FLOW_TABLE_NONE && (second == i || second == first)));
    }
    assert_int_equal(stashed, t.stash_count);
    assert_in_range(elsewhere, 1, 4000 / 10); /* most lie in their first bucket */
    assert_int_equal(flow_table_first(&t, scattered(4001)), FLOW_TABLE_NONE);
    assert_int_equal(flow_table_second(&t, scattered(4001)), FLOW_TABLE_NONE);
    flow_table_free(&t);
}

static void hash_zero_and_one_are_entries_like_others(void **state)
{
    struct flow_table t;
    assert_int_equal(flow_table_init(&t, 10), TG_OK);
    assert_int_equal(flow_table_insert(&t, 0, 10), TG_OK);
    assert_int_equal(flow_table_insert(&t, 1, 11), TG_OK);
    assert_int_equal(find(&t, 0, 10), 10);
    assert_int_equal(find(&t, 1, 11), 11);
    assert_true(flow_table_remove(&t, 0, 10));
    assert_int_equal(find(&t, 1, 11), 11);
    flow_table_free(&t);
}

/* All entries under one hash: two buckets of 8 at most, then the stash, then refusal. */
static void equal_hashes_overflow_into_the_stash(void **state)
{
    struct flow_table t;
    assert_int_equal(flow_table_init(&t, 1000), TG_OK);
    const uint32_t hash = 0x12345678;
    uint32_t n = 0;
    while (flow_table_insert(&t, hash, n) == TG_OK)
        n++;
    assert_int_equal(t.full, 1);
    assert_int_equal(n, 16 + FLOW_STASH);
    assert_int_equal(t.count, n);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(find(&t, hash, i), i);
    assert_int_equal(find(&t, hash, n), FLOW_TABLE_NONE);
    /* Another hash still finds room: the table is not full, that pair of buckets is. */
    assert_int_equal(flow_table_insert(&t, 0x9999, 5000), TG_OK);
    /* A removal from a bucket pulls one out of the stash. */
    assert_true(flow_table_remove(&t, hash, 0));
    assert_int_equal(t.stash_count, FLOW_STASH - 1);
    for (uint32_t i = 1; i < n; i++) {
        assert_int_equal(find(&t, hash, i), i);
        assert_true(flow_table_remove(&t, hash, i));
        assert_false(flow_table_remove(&t, hash, i));
    }
    assert_int_equal(t.count, 1);
    assert_int_equal(t.stash_count, 0);
    flow_table_free(&t);
}

static void stated_capacity_always_fits(void **state)
{
    struct flow_table t;
    struct prng rng;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        prng_seed(&rng, seed);
        assert_int_equal(flow_table_init(&t, 20000), TG_OK);
        uint32_t *hashes = malloc(20000 * sizeof *hashes);
        assert_non_null(hashes);
        for (uint32_t i = 0; i < 20000; i++) {
            hashes[i] = (uint32_t)prng_next(&rng);
            assert_int_equal(flow_table_insert(&t, hashes[i], i), TG_OK);
        }
        assert_int_equal(t.stash_count, 0);
        for (uint32_t i = 0; i < 20000; i++)
            assert_int_equal(find(&t, hashes[i], i), i);
        free(hashes);
        flow_table_free(&t);
    }
}

#define MODEL_MAX 2000
struct model {
    uint32_t hash[MODEL_MAX], value[MODEL_MAX];
    unsigned count;
};

static void model_check(const struct model *m, const struct flow_table *t)
{
    assert_int_equal(t->count, m->count);
    for (unsigned i = 0; i < m->count; i++)
        assert_int_equal(find(t, m->hash[i], m->value[i]), m->value[i]);
}

/* A small table driven beyond its capacity, with hashes from a narrow range, so that moves between
 * buckets, the stash and refusals all happen. */
static void random_run_equals_the_model(void **state)
{
    static struct model m;
    uint64_t stash_seen = 0, full_seen = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct flow_table t;
        struct prng rng;
        prng_seed(&rng, seed);
        m.count = 0;
        assert_int_equal(flow_table_init(&t, 300), TG_OK);
        uint64_t range = prng_below(&rng, 2) ? UINT32_MAX : 200;
        for (uint32_t step = 0; step < 3000; step++) {
            bool growing = step % 1500 < 900;
            if (m.count == 0 || prng_below(&rng, 10) < (growing ? 8 : 2)) {
                uint32_t hash = (uint32_t)prng_below(&rng, range);
                if (flow_table_insert(&t, hash, step) == TG_OK) {
                    m.hash[m.count] = hash;
                    m.value[m.count++] = step;
                } else {
                    assert_int_equal(t.stash_count, FLOW_STASH);
                }
            } else {
                unsigned i = (unsigned)prng_below(&rng, m.count);
                assert_true(flow_table_remove(&t, m.hash[i], m.value[i]));
                assert_int_equal(find(&t, m.hash[i], m.value[i]), FLOW_TABLE_NONE);
                m.count--;
                m.hash[i] = m.hash[m.count];
                m.value[i] = m.value[m.count];
            }
            stash_seen += t.stash_count;
            if (step % 50 == 0)
                model_check(&m, &t);
        }
        model_check(&m, &t);
        full_seen += t.full;
        flow_table_free(&t);
    }
    assert_true(stash_seen > 0); /* else the run did not go where it was meant to go */
    assert_true(full_seen > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(insert_find_remove),
        cmocka_unit_test(candidates_are_guesses_by_the_tag),
        cmocka_unit_test(hash_zero_and_one_are_entries_like_others),
        cmocka_unit_test(equal_hashes_overflow_into_the_stash),
        cmocka_unit_test(stated_capacity_always_fits),
        cmocka_unit_test(random_run_equals_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
