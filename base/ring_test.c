/* SPDX-License-Identifier: BSD-3-Clause
 * Unit tests of base/ring: limits, wrap of slots and of the 32-bit indices, damaged indices, and two
 * threads that push and pop as fast as they can.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/ring.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    uint64_t number;
    uint32_t check[3];
};

static struct ring *ring_make(uint32_t entries, uint32_t entry_bytes)
{
    size_t bytes = (ring_bytes(entries, entry_bytes) + 63) / 64 * 64;
    struct ring *r = aligned_alloc(64, bytes);
    assert_non_null(r);
    ring_init(r, entries, entry_bytes);
    return r;
}

static struct entry entry_make(uint64_t number)
{
    struct entry e = {number, {0}};
    for (unsigned i = 0; i < 3; i++)
        e.check[i] = (uint32_t)(number * 2654435761u + i);
    return e;
}

static void fills_and_empties(void **state)
{
    struct ring *r = ring_make(4, sizeof(uint32_t));
    uint32_t in[6] = {1, 2, 3, 4, 5, 6}, out[6] = {0};
    assert_int_equal(ring_pop(r, out, 6), 0);
    assert_int_equal(ring_push(r, in, 6), 4);
    assert_int_equal(ring_count(r), 4);
    assert_int_equal(ring_push(r, in, 1), 0);
    assert_int_equal(ring_pop(r, out, 3), 3);
    assert_memory_equal(out, in, 12);
    assert_int_equal(ring_push(r, in + 4, 2), 2); /* wraps */
    assert_int_equal(ring_pop(r, out, 6), 3);
    assert_memory_equal(out, in + 3, 12);
    assert_int_equal(ring_count(r), 0);
    assert_int_equal(ring_push(r, in, 0), 0);
    assert_int_equal(ring_pop(r, out, 0), 0);
    free(r);
}

static void indices_wrap_at_32_bits(void **state)
{
    struct ring *r = ring_make(8, sizeof(struct entry));
    atomic_store(&r->head, UINT32_MAX - 2);
    atomic_store(&r->tail, UINT32_MAX - 2);
    r->tail_seen = r->head_seen = UINT32_MAX - 2;
    uint64_t pushed = 0, popped = 0;
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 5; i++) {
            struct entry e = entry_make(pushed);
            pushed += ring_push(r, &e, 1);
        }
        struct entry out[8];
        unsigned n = ring_pop(r, out, 8);
        for (unsigned i = 0; i < n; i++) {
            struct entry want = entry_make(popped++);
            assert_memory_equal(&out[i], &want, sizeof want.number + sizeof want.check);
        }
    }
    assert_int_equal(pushed, 100);
    assert_int_equal(popped, 100);
    free(r);
}

static void damaged_memory_is_found_and_does_no_harm(void **state)
{
    struct ring *r = ring_make(8, 16);
    uint8_t out[16 * 16] = {0};
    assert_true(ring_valid(r, 8, 16));
    assert_false(ring_valid(r, 16, 16));
    assert_false(ring_valid(r, 8, 8));
    atomic_store(&r->head, 9); /* more than fits */
    assert_false(ring_valid(r, 8, 16));
    assert_int_equal(ring_pop(r, out, 16), 0);
    assert_int_equal(ring_push(r, out, 1), 0);
    assert_true(ring_count(r) <= 8);
    atomic_store(&r->head, 0);
    atomic_store(&r->tail, 1); /* consumer ahead of producer */
    assert_false(ring_valid(r, 8, 16));
    r->tail_seen = r->head_seen = 1;
    assert_int_equal(ring_pop(r, out, 16), 0);
    assert_int_equal(ring_push(r, out, 1), 0);
    free(r);
}

static void geometry(void **state)
{
    assert_int_equal(sizeof(struct ring), 3 * TG_CACHE_LINE);
    assert_int_equal(offsetof(struct ring, tail) % TG_CACHE_LINE, 0);
    assert_int_equal(ring_bytes(64, 16), 192 + 1024);
}

#define THREAD_ENTRIES 400000u

static void *producer(void *arg)
{
    struct ring *r = arg;
    struct prng rng;
    struct entry batch[17];
    prng_seed(&rng, 1);
    for (uint64_t next = 0; next < THREAD_ENTRIES;) {
        unsigned n = 1 + (unsigned)prng_below(&rng, 17);
        if (n > THREAD_ENTRIES - next)
            n = (unsigned)(THREAD_ENTRIES - next);
        for (unsigned i = 0; i < n; i++)
            batch[i] = entry_make(next + i);
        unsigned pushed = ring_push(r, batch, n);
        next += pushed;
        if (!pushed)
            sched_yield();
    }
    return NULL;
}

static void two_threads_lose_and_tear_nothing(void **state)
{
    struct ring *r = ring_make(32, sizeof(struct entry));
    pthread_t thread;
    struct prng rng;
    prng_seed(&rng, 2);
    assert_int_equal(pthread_create(&thread, NULL, producer, r), 0);
    for (uint64_t next = 0; next < THREAD_ENTRIES;) {
        struct entry out[23];
        unsigned n = ring_pop(r, out, 1 + (unsigned)prng_below(&rng, 23));
        for (unsigned i = 0; i < n; i++) {
            struct entry want = entry_make(next++);
            assert_int_equal(out[i].number, want.number);
            assert_memory_equal(out[i].check, want.check, sizeof want.check);
        }
        if (!n)
            sched_yield();
    }
    pthread_join(thread, NULL);
    assert_int_equal(ring_count(r), 0);
    assert_true(ring_valid(r, 32, sizeof(struct entry)));
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_and_empties),
        cmocka_unit_test(indices_wrap_at_32_bits),
        cmocka_unit_test(damaged_memory_is_found_and_does_no_harm),
        cmocka_unit_test(geometry),
        cmocka_unit_test(two_threads_lose_and_tear_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
