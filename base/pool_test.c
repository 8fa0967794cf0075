/* SPDX-License-Identifier: BSD-3-Clause
 * Unit tests of base/pool: order, limits, alignment, and that a double or foreign give stops the
 * program.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/pool.h"
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void indices_come_in_order_of_creation(void **state)
{
    struct pool pool;
    assert_int_equal(pool_init(&pool, 5, 24), TG_OK);
    for (uint32_t i = 0; i < 5; i++) {
        void *object = pool_take(&pool);
        assert_int_equal(pool_index(&pool, object), i);
        assert_ptr_equal(pool_at(&pool, i), object);
        assert_true(pool_is_taken(&pool, i));
    }
    assert_null(pool_take(&pool));
    assert_null(pool_take(&pool));
    assert_int_equal(pool.exhausted, 2);
    assert_int_equal(pool.in_use, 5);
    pool_give(&pool, pool_at(&pool, 1));
    pool_give(&pool, pool_at(&pool, 3));
    assert_false(pool_is_taken(&pool, 1));
    assert_int_equal(pool_index(&pool, pool_take(&pool)), 3);
    assert_int_equal(pool_index(&pool, pool_take(&pool)), 1);
    assert_int_equal(pool.in_use_max, 5);
    pool_free(&pool);
    assert_null(pool.objects);
}

static void objects_are_zeroed_aligned_and_apart(void **state)
{
    static const uint32_t sizes[] = {1, 7, 8, 63, 64, 65, 200};
    for (unsigned s = 0; s < TG_ARRAY_LEN(sizes); s++) {
        struct pool pool;
        assert_int_equal(pool_init(&pool, 10, sizes[s]), TG_OK);
        assert_int_equal(pool.object_bytes % (sizes[s] >= 64 ? 64 : 8), 0);
        assert_true(pool.object_bytes >= sizes[s]);
        for (unsigned i = 0; i < 10; i++) {
            uint8_t *object = pool_take(&pool);
            assert_int_equal((uintptr_t)object % (sizes[s] >= 64 ? 64 : 8), 0);
            for (unsigned b = 0; b < sizes[s]; b++)
                assert_int_equal(object[b], 0);
            memset(object, 0xff, sizes[s]); /* ASan sees an overrun of the last one */
        }
        pool_free(&pool);
    }
}

static void content_survives_give_and_take(void **state)
{
    struct pool pool;
    assert_int_equal(pool_init(&pool, 2, 16), TG_OK);
    char *object = pool_take(&pool);
    memcpy(object, "generation 41", 14);
    pool_give(&pool, object);
    assert_ptr_equal(pool_take(&pool), object);
    assert_string_equal(object, "generation 41");
    pool_free(&pool);
}

static void a_pool_of_nothing_is_legal(void **state)
{
    struct pool pool;
    assert_int_equal(pool_init(&pool, 0, 16), TG_OK);
    assert_null(pool_take(&pool));
    assert_int_equal(pool.exhausted, 1);
    assert_false(pool_is_taken(&pool, 0));
    assert_false(pool_is_taken(&pool, POOL_NONE));
    pool_free(&pool);
}

/* Run a wrong give in a child: it must end by SIGABRT. */
static void expect_abort(void (*wrong)(struct pool *pool))
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct pool pool;
        if (!freopen("/dev/null", "w", stderr) || pool_init(&pool, 4, 32) != TG_OK)
            _exit(1);
        wrong(&pool);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == 6);
}

static void give_twice(struct pool *pool)
{
    void *object = pool_take(pool);
    pool_give(pool, object);
    pool_give(pool, object);
}

static void give_inner_pointer(struct pool *pool)
{
    uint8_t *object = pool_take(pool);
    pool_give(pool, object + 8);
}

static void give_foreign(struct pool *pool)
{
    uint8_t *object = pool_take(pool);
    pool_give(pool, object + 4 * pool->object_bytes);
}

static void wrong_gives_stop_the_program(void **state)
{
    expect_abort(give_twice);
    expect_abort(give_inner_pointer);
    expect_abort(give_foreign);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(indices_come_in_order_of_creation),
        cmocka_unit_test(objects_are_zeroed_aligned_and_apart),
        cmocka_unit_test(content_survives_give_and_take),
        cmocka_unit_test(a_pool_of_nothing_is_legal),
        cmocka_unit_test(wrong_gives_stop_the_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
