/* SPDX-License-Identifier: BSD-3-Clause
 * The single-use register: once, again after the window, full buckets, a young register, two threads that
 * race with the same flights.
 */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/hash.h"
#include "tls/tls_replay.h"
#include <pthread.h>
#include <string.h>

#define START 1000000u
#define OPEN  (START + REPLAY_WINDOW_S)

static struct tls_replay *make(uint32_t entries)
{
    struct tls_replay *r;
    assert_int_equal(tls_replay_create(entries, START, &r), TG_OK);
    return r;
}

static void make_key(uint8_t key[REPLAY_KEY_BYTES], struct prng *p)
{
    uint64_t a = prng_next(p), b = prng_next(p);
    memcpy(key, &a, 8);
    memcpy(key + 8, &b, 8);
}

static void a_flight_counts_once(void **state)
{
    struct tls_replay *r = make(1024);
    struct prng p;
    uint8_t key[REPLAY_KEY_BYTES];
    prng_seed(&p, 1);
    make_key(key, &p);
    assert_int_equal(tls_replay_admit(r, key, OPEN), REPLAY_NEW);
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(tls_replay_admit(r, key, OPEN + i % REPLAY_WINDOW_S), REPLAY_SEEN);
    tls_replay_free(r);
}

static void the_entry_ends_after_the_window_not_before(void **state)
{
    struct tls_replay *r = make(1024);
    const uint8_t key[REPLAY_KEY_BYTES] = {1, 2, 3};
    assert_int_equal(tls_replay_admit(r, key, OPEN), REPLAY_NEW);
    assert_int_equal(tls_replay_admit(r, key, OPEN + REPLAY_WINDOW_S), REPLAY_SEEN);
    assert_int_equal(tls_replay_admit(r, key, OPEN + REPLAY_WINDOW_S + 1), REPLAY_NEW);
    tls_replay_free(r);
}

static void a_young_register_refuses(void **state)
{
    struct tls_replay *r = make(1024);
    const uint8_t key[REPLAY_KEY_BYTES] = {9};
    assert_int_equal(tls_replay_admit(r, key, START), REPLAY_REFUSED);
    assert_int_equal(tls_replay_admit(r, key, OPEN - 1), REPLAY_REFUSED);
    assert_int_equal(tls_replay_admit(r, key, OPEN), REPLAY_NEW);
    tls_replay_free(r);
}

/* One bucket: the ninth flight is refused, none of the eight is forgotten, room comes back. */
static void a_full_bucket_refuses_and_forgets_nothing(void **state)
{
    struct tls_replay *r = make(1);
    uint8_t keys[9][REPLAY_KEY_BYTES] = {{0}};
    for (uint8_t i = 0; i < 9; i++)
        keys[i][9] = (uint8_t)(i + 1);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(tls_replay_admit(r, keys[i], OPEN), REPLAY_NEW);
    assert_int_equal(tls_replay_admit(r, keys[8], OPEN), REPLAY_REFUSED);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(tls_replay_admit(r, keys[i], OPEN + 5), REPLAY_SEEN);
    assert_int_equal(tls_replay_admit(r, keys[8], OPEN + REPLAY_WINDOW_S + 1), REPLAY_NEW);
    tls_replay_free(r);
}

static void the_expiry_survives_its_16_bits(void **state)
{
    struct tls_replay *r = make(64);
    for (uint8_t wrap = 1; wrap < 4; wrap++) {
        const uint8_t key[REPLAY_KEY_BYTES] = {7, [8] = wrap};
        uint64_t now = ((OPEN >> 16) + wrap) << 16;
        assert_int_equal(tls_replay_admit(r, key, now - 3), REPLAY_NEW);
        assert_int_equal(tls_replay_admit(r, key, now + 3), REPLAY_SEEN);
    }
    tls_replay_free(r);
}

/* Two workers read the clock apart; an administrator sets it back. No flight counts twice for it. */
static void a_clock_that_goes_back_forgets_nothing(void **state)
{
    struct tls_replay *r = make(64);
    const uint64_t now = OPEN + 10000;
    const uint8_t key[REPLAY_KEY_BYTES] = {5}, other[REPLAY_KEY_BYTES] = {6};
    assert_int_equal(tls_replay_admit(r, key, now), REPLAY_NEW);
    for (uint64_t back = 0; back <= REPLAY_WINDOW_S; back++)
        assert_int_equal(tls_replay_admit(r, key, now - back), REPLAY_SEEN);
    for (uint64_t back = REPLAY_WINDOW_S + 1; back < 9000; back += 7)
        assert_int_equal(tls_replay_admit(r, key, now - back), REPLAY_REFUSED);
    assert_int_equal(tls_replay_admit(r, other, now - 9000), REPLAY_REFUSED);
    assert_int_equal(tls_replay_admit(r, other, now), REPLAY_NEW);
    tls_replay_free(r);
}

#define RACES 20000
struct racer {
    struct tls_replay *replay;
    uint8_t admitted[RACES];
};

static void *race(void *arg)
{
    struct racer *racer = arg;
    struct prng p;
    prng_seed(&p, 5);
    for (unsigned i = 0; i < RACES; i++) {
        uint8_t key[REPLAY_KEY_BYTES];
        make_key(key, &p);
        racer->admitted[i] = tls_replay_admit(racer->replay, key, OPEN) == REPLAY_NEW;
    }
    return NULL;
}

/* Never twice; and nearly always once (a race that both lose is allowed, a fault would lose many). */
static void two_threads_admit_each_flight_at_most_once(void **state)
{
    static struct racer a, b;
    pthread_t thread;
    unsigned once = 0;
    a.replay = b.replay = make(1u << 20);
    assert_int_equal(pthread_create(&thread, NULL, race, &a), 0);
    race(&b);
    pthread_join(thread, NULL);
    for (unsigned i = 0; i < RACES; i++) {
        assert_true(a.admitted[i] + b.admitted[i] <= 1);
        once += a.admitted[i] + b.admitted[i];
    }
    assert_true(once > RACES * 99 / 100);
    tls_replay_free(a.replay);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flight_counts_once),
        cmocka_unit_test(the_entry_ends_after_the_window_not_before),
        cmocka_unit_test(a_young_register_refuses),
        cmocka_unit_test(a_full_bucket_refuses_and_forgets_nothing),
        cmocka_unit_test(the_expiry_survives_its_16_bits),
        cmocka_unit_test(a_clock_that_goes_back_forgets_nothing),
        cmocka_unit_test(two_threads_admit_each_flight_at_most_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
