/* SPDX-License-Identifier: BSD-3-Clause
 * Unit tests of the region's writer and readers: publish, announce, apply, roll back, collect, limits,
 * and a long random run that checks every resident generation. Files and locks: region_file_test.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "contract/counters.h"
#include "contract/region_test_util.h"

static struct region data, control; /* the two processes' views */
static const char *path;

static void open_both(unsigned workers, size_t arena_bytes)
{
    path = test_path();
    test_create(&data, path, workers, arena_bytes);
    assert_int_equal(region_attach(&control, path, true), TG_OK);
}

static void close_both(void)
{
    region_close(&control);
    region_close(&data);
    unlink(path);
}

static void a_generation_arrives_whole(void **state)
{
    struct span block;
    uint64_t number = 0, seen = 0;
    open_both(1, 1 << 20);
    for (unsigned kind = 0; kind < TABLES_KINDS; kind++)
        assert_int_equal(region_current(&data, (enum tables_kind)kind, &block, &seen),
                         TG_NOT_FOUND);
    for (uint64_t g = 1; g <= 3; g++) {
        assert_int_equal(test_publish_owners(&control, 8, g, &number), TG_OK);
        assert_int_equal(number, g);
        assert_int_equal(region_current(&data, TABLES_OWNERS, &block, &seen), TG_OK);
        assert_int_equal(seen, g);
        assert_true(test_owners_is(block.data, block.len, g));
        assert_int_equal(((const struct tables_header *)(const void *)block.data)->number, g);
        assert_int_equal((uintptr_t)block.data % TG_CACHE_LINE, 0);
    }
    /* Kinds count by themselves. */
    size_t len;
    struct tables_rules *rules = test_rules(2, 500, &len);
    assert_int_equal(region_publish(&control, TABLES_RULES, rules, len, &number), TG_OK);
    assert_int_equal(number, 1);
    assert_int_equal(region_current(&control, TABLES_RULES, &block, &seen), TG_OK);
    assert_memory_equal(block.data, rules, len);
    free(rules);
    assert_int_equal(region_generation(&data, TABLES_OWNERS, 2, &block), TG_OK);
    assert_true(test_owners_is(block.data, block.len, 2));
    assert_int_equal(region_generation(&data, TABLES_OWNERS, 4, &block), TG_NOT_FOUND);
    assert_int_equal(region_generation(&data, TABLES_WAF, 1, &block), TG_NOT_FOUND);
    close_both();
}

static void a_bad_block_is_refused_and_changes_nothing(void **state)
{
    size_t len;
    uint64_t number = 77;
    struct span block;
    open_both(1, 1 << 20);
    struct tables_rules *rules = test_rules(2, 1, &len);
    rules->count = 3;
    assert_int_equal(region_publish(&control, TABLES_RULES, rules, len, &number), TG_BAD_INPUT);
    rules->count = 2;
    assert_int_equal(region_publish(&control, TABLES_WAF, rules, len, &number), TG_BAD_INPUT);
    assert_int_equal(number, 77);
    assert_int_equal(region_current(&data, TABLES_RULES, &block, &number), TG_NOT_FOUND);
    free(rules);
    close_both();
}

static void live_workers_hear_of_it_and_answer(void **state)
{
    uint64_t number;
    struct command command;
    open_both(3, 1 << 20);
    region_announce(&control, TABLES_OWNERS); /* nothing to announce yet */
    test_apply(&data, 0, TABLES_OWNERS, 0, 0);
    test_apply(&data, 2, TABLES_OWNERS, 0, 0);
    assert_int_equal(ring_count(region_commands(&data, 0)), 0);
    assert_int_equal(test_publish_owners(&control, 4, 1, &number), TG_OK);
    region_announce(&control, TABLES_OWNERS);
    for (unsigned w = 0; w < 3; w++) {
        assert_int_equal(ring_pop(region_commands(&data, w), &command, 1), w == 1 ? 0 : 1);
        if (w == 1)
            continue;
        assert_int_equal(command.op, COMMAND_USE);
        assert_int_equal(command.kind, TABLES_OWNERS);
        assert_int_equal(command.number, 1);
    }
    assert_false(region_applied(&control, TABLES_OWNERS, 1));
    test_apply(&data, 0, TABLES_OWNERS, 1, 1);
    assert_false(region_applied(&control, TABLES_OWNERS, 1));
    test_apply(&data, 2, TABLES_OWNERS, 1, 1);
    assert_true(region_applied(&control, TABLES_OWNERS, 1));
    assert_false(region_applied(&control, TABLES_OWNERS, 2));
    region_worker(&data, 2)->alive = 0; /* it died: nobody waits for it */
    test_apply(&data, 0, TABLES_OWNERS, 2, 2);
    assert_true(region_applied(&control, TABLES_OWNERS, 2));
    /* A full ring does not block the writer. */
    for (unsigned i = 0; i < 3 * REGION_COMMANDS; i++)
        region_announce(&control, TABLES_OWNERS);
    assert_int_equal(ring_count(region_commands(&data, 0)), REGION_COMMANDS);
    close_both();
}

static void rollback_swaps_without_a_copy(void **state)
{
    struct span first, block;
    uint64_t number;
    open_both(1, 1 << 20);
    assert_int_equal(region_rollback(&control, TABLES_OWNERS, &number), TG_NOT_FOUND);
    assert_int_equal(test_publish_owners(&control, 4, 1, &number), TG_OK);
    assert_int_equal(region_current(&data, TABLES_OWNERS, &first, &number), TG_OK);
    assert_int_equal(region_rollback(&control, TABLES_OWNERS, &number), TG_NOT_FOUND);
    assert_int_equal(test_publish_owners(&control, 4, 2, &number), TG_OK);
    assert_int_equal(region_rollback(&control, TABLES_OWNERS, &number), TG_OK);
    assert_int_equal(number, 3);
    assert_int_equal(region_current(&data, TABLES_OWNERS, &block, &number), TG_OK);
    assert_int_equal(number, 3);
    assert_ptr_equal(block.data, first.data);
    assert_true(test_owners_is(block.data, block.len, 1));
    /* And back again. */
    assert_int_equal(region_rollback(&control, TABLES_OWNERS, &number), TG_OK);
    assert_int_equal(number, 4);
    assert_int_equal(region_current(&data, TABLES_OWNERS, &block, &number), TG_OK);
    assert_true(test_owners_is(block.data, block.len, 2));
    /* For ever: slots are collected on the way. */
    for (unsigned i = 0; i < 50; i++) {
        test_apply(&data, 0, TABLES_OWNERS, number, number);
        assert_int_equal(region_rollback(&control, TABLES_OWNERS, &number), TG_OK);
        assert_int_equal(region_current(&data, TABLES_OWNERS, &block, &number), TG_OK);
        assert_true(test_owners_is(block.data, block.len, i % 2 ? 2 : 1));
    }
    close_both();
}

static unsigned resident(enum tables_kind kind)
{
    unsigned n = 0;
    for (unsigned i = 0; i < REGION_SLOTS; i++)
        n += data.layout->directory.slots[kind][i].state != REGION_SLOT_FREE;
    return n;
}

static void collect_keeps_what_a_live_worker_needs(void **state)
{
    struct span block;
    uint64_t number;
    open_both(2, 1 << 20);
    test_apply(&data, 0, TABLES_OWNERS, 0, 0); /* started, has taken nothing: may read any */
    for (uint64_t g = 1; g <= 5; g++)
        assert_int_equal(test_publish_owners(&control, 4, g, &number), TG_OK);
    assert_int_equal(region_collect(&control), 0);
    test_apply(&data, 0, TABLES_OWNERS, 2, 5); /* an old request still uses 2 */
    test_apply(&data, 1, TABLES_OWNERS, 3, 3); /* slow to take 5 */
    assert_int_equal(region_collect(&control), 1);
    assert_int_equal(region_generation(&data, TABLES_OWNERS, 1, &block), TG_NOT_FOUND);
    assert_int_equal(region_generation(&data, TABLES_OWNERS, 2, &block), TG_OK);
    test_apply(&data, 0, TABLES_OWNERS, 5, 5);
    assert_int_equal(region_collect(&control), 1); /* 2; 3 is worker 1's */
    assert_int_equal(region_generation(&data, TABLES_OWNERS, 3, &block), TG_OK);
    region_worker(&data, 1)->alive = 0; /* died */
    assert_int_equal(region_collect(&control), 1);
    assert_int_equal(resident(TABLES_OWNERS), 2); /* current and previous stay */
    assert_int_equal(region_generation(&data, TABLES_OWNERS, 4, &block), TG_OK);
    assert_int_equal(region_generation(&data, TABLES_OWNERS, 5, &block), TG_OK);
    assert_int_equal(region_collect(&control), 0);
    close_both();
}

static void a_worker_that_refuses_or_ignores_a_kind_blocks_nothing(void **state)
{
    uint64_t number;
    open_both(2, 1 << 20);
    test_apply(&data, 0, TABLES_OWNERS, 0, 0);
    test_apply(&data, 1, TABLES_OWNERS, UINT64_MAX, UINT64_MAX); /* never reads the kind */
    for (uint64_t g = 1; g <= 20; g++) {
        assert_int_equal(test_publish_owners(&control, 4, g, &number), TG_OK);
        atomic_store(&region_worker(&data, 0)->refused_number, number);
        atomic_store(&region_worker(&data, 0)->refused_kind, TABLES_OWNERS);
        assert_false(region_applied(&control, TABLES_OWNERS, number));
    }
    close_both();
}

static void slots_run_out_and_come_back(void **state)
{
    struct span block;
    uint64_t number = 0;
    open_both(1, 1 << 20);
    test_apply(&data, 0, TABLES_OWNERS, 1, 1);
    for (uint64_t g = 1; g <= REGION_SLOTS; g++)
        assert_int_equal(test_publish_owners(&control, 4, g, &number), TG_OK);
    assert_int_equal(test_publish_owners(&control, 4, 99, &number), TG_FULL);
    assert_int_equal(region_rollback(&control, TABLES_OWNERS, &number), TG_FULL);
    assert_int_equal(number, REGION_SLOTS);
    for (uint64_t g = 1; g <= REGION_SLOTS; g++) { /* nothing changed */
        assert_int_equal(region_generation(&data, TABLES_OWNERS, g, &block), TG_OK);
        assert_true(test_owners_is(block.data, block.len, g));
    }
    assert_int_equal(region_current(&data, TABLES_OWNERS, &block, &number), TG_OK);
    assert_int_equal(number, REGION_SLOTS);
    test_apply(&data, 0, TABLES_OWNERS, 2, REGION_SLOTS);
    assert_int_equal(test_publish_owners(&control, 4, 99, &number), TG_OK); /* collects */
    assert_int_equal(number, REGION_SLOTS + 1);
    close_both();
}

static void the_arena_runs_out_and_comes_back(void **state)
{
    struct span block;
    uint64_t number;
    open_both(1, 100 * 1024); /* each table takes 32 KiB and a little */
    test_apply(&data, 0, TABLES_OWNERS, 1, 1);
    for (uint64_t g = 1; g <= 3; g++)
        assert_int_equal(test_publish_owners(&control, 12, g, &number), TG_OK);
    assert_int_equal(test_publish_owners(&control, 12, 4, &number), TG_FULL);
    assert_int_equal(test_publish_owners(&control, 15, 4, &number), TG_FULL); /* never fits */
    assert_int_equal(region_current(&data, TABLES_OWNERS, &block, &number), TG_OK);
    assert_int_equal(number, 3);
    assert_true(test_owners_is(block.data, block.len, 3));
    test_apply(&data, 0, TABLES_OWNERS, 3, 3);
    assert_int_equal(test_publish_owners(&control, 12, 4, &number), TG_OK);
    assert_int_equal(number, 4);
    assert_int_equal(region_generation(&data, TABLES_OWNERS, 3, &block), TG_OK);
    assert_true(test_owners_is(block.data, block.len, 3));
    close_both();
}

/* Does the arena hold the key that is marked with `mark`? */
static bool arena_has_key(char mark)
{
    char key[64];
    memset(key, mark, sizeof key);
    memcpy(key, TEST_SECRET, strlen(TEST_SECRET));
    const uint8_t *arena = (const uint8_t *)data.layout + data.layout->header.arena_offset;
    return memmem(arena, data.layout->header.arena_bytes, key, sizeof key) != NULL;
}

static enum tg_err publish_certificate(char mark, uint64_t *number)
{
    size_t len;
    struct tables_certificates *t = test_certificates(mark, &len);
    enum tg_err err = region_publish(&control, TABLES_CERTIFICATES, t, len, number);
    free(t);
    return err;
}

static void freed_certificates_are_wiped(void **state)
{
    struct span block;
    uint64_t number;
    open_both(1, 1 << 20);
    for (char mark = 'a'; mark <= 'd'; mark++)
        assert_int_equal(publish_certificate(mark, &number), TG_OK);
    test_apply(&data, 0, TABLES_CERTIFICATES, 2, 4);
    assert_true(arena_has_key('a'));
    assert_int_equal(region_collect(&control), 1);
    assert_false(arena_has_key('a'));
    assert_true(arena_has_key('b'));
    /* A rollback shares its bytes: the older slot goes, the bytes stay. */
    assert_int_equal(region_rollback(&control, TABLES_CERTIFICATES, &number), TG_OK); /* c again */
    test_apply(&data, 0, TABLES_CERTIFICATES, 5, 5);
    assert_int_equal(region_collect(&control), 2); /* 2 (b) and 3 (c's first slot) */
    assert_false(arena_has_key('b'));
    assert_true(arena_has_key('c'));
    assert_int_equal(region_current(&data, TABLES_CERTIFICATES, &block, &number), TG_OK);
    assert_int_equal(number, 5);
    close_both();
}

static void counters_are_summed_over_workers(void **state)
{
    open_both(3, 4096);
    for (unsigned w = 0; w < 4; w++) /* the fourth is not of this region */
        stats_add(&region_worker(&data, w)->stats, TG_C_tcp_accepted, 10 + w);
    assert_int_equal(counters_sum(&control, TG_C_tcp_accepted), 33);
    assert_int_equal(counters_sum(&control, TG_C_tcp_closed), 0);
    assert_int_equal(counters_digest(), counters_digest());
    assert_int_not_equal(counters_digest(), 0);
    close_both();
}

/* Random sizes, rollbacks and acknowledgements: whatever is resident and needed is always whole. */
static void random_run_never_damages_a_resident_generation(void **state)
{
    static uint64_t salt[4000]; /* of each generation */
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct prng rng;
        struct span block;
        uint64_t number = 0, oldest = 0, refused = 0;
        prng_seed(&rng, seed);
        open_both(1, 256 * 1024);
        for (unsigned step = 0; step < 600; step++) {
            uint64_t current = number, got = 0;
            bool back = prng_below(&rng, 8) == 0;
            unsigned bits = (unsigned)prng_below(&rng, 14);
            enum tg_err err = back ? region_rollback(&control, TABLES_OWNERS, &got)
                                   : test_publish_owners(&control, bits, step + 1, &got);
            if (err == TG_OK) {
                assert_int_equal(got, current + 1);
                number = got;
                salt[number] = back ? salt[number - 2] : step + 1;
            } else {
                assert_true(err == TG_FULL || (back && err == TG_NOT_FOUND));
                refused++;
            }
            for (uint64_t g = oldest ? oldest : 1; g <= number; g++) {
                assert_int_equal(region_generation(&data, TABLES_OWNERS, g, &block), TG_OK);
                assert_true(test_owners_is(block.data, block.len, salt[g]));
            }
            if (number && prng_below(&rng, 2)) {
                uint64_t from = oldest ? oldest : 1;
                oldest = from + prng_below(&rng, number - from + 1);
                test_apply(&data, 0, TABLES_OWNERS, oldest, number);
            }
        }
        assert_true(refused > 0);
        assert_true(number > 100);
        close_both();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_generation_arrives_whole),
        cmocka_unit_test(a_bad_block_is_refused_and_changes_nothing),
        cmocka_unit_test(live_workers_hear_of_it_and_answer),
        cmocka_unit_test(rollback_swaps_without_a_copy),
        cmocka_unit_test(collect_keeps_what_a_live_worker_needs),
        cmocka_unit_test(a_worker_that_refuses_or_ignores_a_kind_blocks_nothing),
        cmocka_unit_test(slots_run_out_and_come_back),
        cmocka_unit_test(the_arena_runs_out_and_comes_back),
        cmocka_unit_test(freed_certificates_are_wiped),
        cmocka_unit_test(counters_are_summed_over_workers),
        cmocka_unit_test(random_run_never_damages_a_resident_generation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
