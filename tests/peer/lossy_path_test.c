/* SPDX-License-Identifier: BSD-3-Clause
 * The bad line does what its options say, and the same again for the same seed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/peer/lossy_path.h"

#define FRAMES 100000u

static struct lossy_path path_make(const char *options, uint64_t seed)
{
    struct lossy_options o = {0};
    const char *problem;
    struct lossy_path p;
    assert_true(lossy_options_read(options, &o, &problem));
    lossy_path_init(&p, &o, seed);
    return p;
}

static void assert_about(uint64_t count, uint64_t expected)
{
    assert_in_range(count, expected * 95 / 100, expected * 105 / 100);
}

static void a_good_line_only_delays(void **state)
{
    struct lossy_path p = path_make("delay=0.25", 1);
    tg_ns at[2];
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(lossy_path_send(&p, 1514, i * TG_US, at), 1);
        assert_int_equal(at[0], i * TG_US + 250 * TG_US);
    }
    assert_int_equal(p.lost + p.duplicated + p.reordered + p.queue_full, 0);
}

static void chances_are_kept(void **state)
{
    struct lossy_path p = path_make("loss=5,duplicate=2,reorder=10,reorder-delay=1", 7);
    uint64_t arrivals = 0, overtaken = 0;
    tg_ns at[2], latest = 0;
    for (unsigned i = 0; i < FRAMES; i++) {
        unsigned n = lossy_path_send(&p, 100, i * 10 * TG_US, at);
        arrivals += n;
        overtaken += n && at[0] > (i * 10 + 999) * TG_US;
        latest = n && at[0] > latest ? at[0] : latest;
    }
    assert_about(p.lost, FRAMES * 5 / 100);
    assert_about(p.reordered, FRAMES * 95 / 100 / 10);
    assert_about(p.duplicated, FRAMES * 95 / 100 / 50);
    assert_int_equal(overtaken, p.reordered);
    assert_int_equal(arrivals, FRAMES - p.lost + p.duplicated);
}

static void a_seed_decides_all(void **state)
{
    struct lossy_path a = path_make("loss=30,jitter=2,duplicate=10", 3);
    struct lossy_path b = path_make("loss=30,jitter=2,duplicate=10", 3);
    struct lossy_path c = path_make("loss=30,jitter=2,duplicate=10", 4);
    unsigned differ = 0;
    for (unsigned i = 0; i < 1000; i++) {
        tg_ns x[2] = {0}, y[2] = {0}, z[2] = {0};
        unsigned n = lossy_path_send(&a, 100, i * TG_MS, x);
        assert_int_equal(lossy_path_send(&b, 100, i * TG_MS, y), n);
        assert_memory_equal(x, y, sizeof x);
        differ += lossy_path_send(&c, 100, i * TG_MS, z) != n || x[0] != z[0];
    }
    assert_true(differ > 500);
}

static void more_loss_leaves_other_fates_alone(void **state)
{
    struct lossy_path a = path_make("jitter=1", 9), b = path_make("jitter=1,loss=50", 9);
    unsigned both = 0;
    for (unsigned i = 0; i < 1000; i++) {
        tg_ns x[2], y[2];
        lossy_path_send(&a, 100, i * 10 * TG_MS, x);
        if (lossy_path_send(&b, 100, i * 10 * TG_MS, y)) {
            assert_int_equal(x[0], y[0]);
            both++;
        }
    }
    assert_in_range(both, 400, 600);
}

static void jitter_keeps_the_order(void **state)
{
    struct lossy_path p = path_make("delay=1,jitter=5", 11);
    tg_ns at[2], last = 0, first = 0;
    for (unsigned i = 0; i < 1000; i++) {
        lossy_path_send(&p, 100, i * 10 * TG_US, at);
        assert_true(at[0] >= last);
        assert_in_range(at[0], i * 10 * TG_US + TG_MS, i * 10 * TG_US + 16 * TG_MS);
        last = at[0];
        first = first ? first : last;
    }
    assert_true(last > first);
}

static void a_rate_spaces_frames_and_a_queue_fills(void **state)
{
    struct lossy_path p = path_make("rate=100,queue=15", 1); /* 1,250 bytes: 100 us */
    tg_ns at[2];
    for (unsigned i = 0; i < 12; i++) {
        assert_int_equal(lossy_path_send(&p, 1250, TG_S, at), 1);
        assert_int_equal(at[0], TG_S + (i + 1) * 100 * TG_US);
    }
    assert_int_equal(lossy_path_send(&p, 1250, TG_S, at), 0);
    assert_int_equal(p.queue_full, 1);
    assert_int_equal(lossy_path_send(&p, 1250, TG_S + 100 * TG_US, at), 1); /* one has left */
    assert_int_equal(lossy_path_send(&p, 1250, TG_S + 100 * TG_US, at), 0);
    assert_int_equal(lossy_path_send(&p, 1250, 9 * TG_S, at), 1);
    assert_int_equal(at[0], 9 * TG_S + 100 * TG_US);
}

static void wrong_options_are_refused(void **state)
{
    static const char *const wrong[] = {
        "loss",      "loss=",       "loss=101",        "loss=-1", "loss=nan",
        "delay=1x",  "delay=10001", "weather=bad",     "loss=1;", "reorder=10",
        "queue=100", "rate=1e30",   "loss=1 duplicate"};
    for (unsigned i = 0; i < TG_ARRAY_LEN(wrong); i++) {
        struct lossy_options o = {.delay_us = 77};
        const char *problem = NULL;
        assert_false(lossy_options_read(wrong[i], &o, &problem));
        assert_non_null(problem);
        assert_int_equal(o.delay_us, 77);
        assert_int_equal(o.loss_ppm, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_line_only_delays),
        cmocka_unit_test(chances_are_kept),
        cmocka_unit_test(a_seed_decides_all),
        cmocka_unit_test(more_loss_leaves_other_fates_alone),
        cmocka_unit_test(jitter_keeps_the_order),
        cmocka_unit_test(a_rate_spaces_frames_and_a_queue_fills),
        cmocka_unit_test(wrong_options_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
