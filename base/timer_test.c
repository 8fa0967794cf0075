/* SPDX-License-Identifier: BSD-3-Clause
 * Unit tests of base/timer: rounding, order, cascades, far and past deadlines, limits, callbacks that
 * arm and cancel, and a long random run against a naive model.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/timer.h"
#include <string.h>

static struct timer_wheel wheel;

/* What fired, in order. */
static struct {
    unsigned id[4096];
    tg_ns at[4096];
    unsigned count;
} fired;

struct probe {
    struct timer timer;
    unsigned id;
    struct probe *cancels; /* cancelled by the callback */
    struct probe *arms;    /* armed by the callback at arms_at */
    tg_ns arms_at;
};

static void probe_fire(struct timer *timer, void *arg, tg_ns now)
{
    struct probe *p = arg;
    assert_ptr_equal(timer, &p->timer);
    assert_false(timer_armed(timer));
    assert_true(timer->deadline <= now);
    assert_true(fired.count < TG_ARRAY_LEN(fired.id));
    fired.id[fired.count] = p->id;
    fired.at[fired.count++] = now;
    if (p->cancels)
        timer_cancel(&wheel, &p->cancels->timer);
    if (p->arms)
        timer_arm(&wheel, &p->arms->timer, p->arms_at);
}

static void probe_init(struct probe *p, unsigned id)
{
    *p = (struct probe){.id = id};
    timer_init(&p->timer, probe_fire, p);
}

static void start(struct probe probes[], unsigned n, tg_ns now)
{
    timer_wheel_init(&wheel, now);
    fired.count = 0;
    for (unsigned i = 0; i < n; i++)
        probe_init(&probes[i], i);
}

static void never_early_and_rounds_up(void **state)
{
    struct probe p[1];
    start(p, 1, 5 * TG_MS + 1);
    timer_arm(&wheel, &p[0].timer, 7 * TG_MS + 1);
    assert_true(timer_armed(&p[0].timer));
    assert_int_equal(timers_next(&wheel), 8 * TG_MS);
    assert_int_equal(timers_run(&wheel, 7 * TG_MS + 2, 100), 0);
    assert_int_equal(timers_run(&wheel, 8 * TG_MS - 1, 100), 0);
    assert_int_equal(timers_run(&wheel, 8 * TG_MS, 100), 1);
    assert_false(timer_armed(&p[0].timer));
    assert_int_equal(wheel.armed, 0);
    assert_int_equal(timers_next(&wheel), UINT64_MAX);
    timer_arm(&wheel, &p[0].timer, 9 * TG_MS); /* exactly on a tick: on it */
    assert_int_equal(timers_run(&wheel, 9 * TG_MS, 100), 1);
}

static void one_tick_fires_in_arming_order_across_a_cascade(void **state)
{
    struct probe p[6];
    start(p, 6, 0);
    tg_ns deadline = 70000 * TG_MS;
    timer_arm(&wheel, &p[0].timer, deadline); /* level 2 */
    timers_run(&wheel, 65536 * TG_MS, 100);   /* now it is on level 1 */
    timer_arm(&wheel, &p[1].timer, deadline - 1);
    timers_run(&wheel, 69900 * TG_MS, 100); /* level 0 */
    timer_arm(&wheel, &p[2].timer, deadline);
    timers_run(&wheel, 69999 * TG_MS, 100);
    timer_arm(&wheel, &p[3].timer, deadline);
    timer_arm(&wheel, &p[1].timer, deadline); /* moved: now the last */
    assert_int_equal(timers_run(&wheel, 70001 * TG_MS, 100), 4);
    assert_int_equal(fired.id[0], 0);
    assert_int_equal(fired.id[1], 2);
    assert_int_equal(fired.id[2], 3);
    assert_int_equal(fired.id[3], 1);
}

static void past_deadline_fires_at_the_next_run(void **state)
{
    struct probe p[3];
    start(p, 3, 100 * TG_MS);
    timer_arm(&wheel, &p[0].timer, 0);
    timer_arm(&wheel, &p[1].timer, 100 * TG_MS);
    assert_true(timers_next(&wheel) <= 100 * TG_MS);
    assert_int_equal(timers_run(&wheel, 100 * TG_MS, 100), 2);
    /* A callback that arms for the past is not served in the same run: no endless loop. */
    p[0].arms = &p[0];
    timer_arm(&wheel, &p[0].timer, 0);
    assert_int_equal(timers_run(&wheel, 200 * TG_MS, 100), 1);
    assert_int_equal(timers_run(&wheel, 200 * TG_MS, 100), 1);
    assert_true(timer_armed(&p[0].timer));
    timer_cancel(&wheel, &p[0].timer);
    assert_int_equal(wheel.armed, 0);
}

static void far_deadlines(void **state)
{
    static const uint64_t ticks[] = {255,        256,        257,        65535,
                                     65536,      16777215,   16777216,   4294967295,
                                     4294967296, 4294967297, 9000000000, 1ull << 40};
    struct probe p[TG_ARRAY_LEN(ticks)];
    start(p, TG_ARRAY_LEN(ticks), 0);
    for (unsigned i = TG_ARRAY_LEN(ticks); i-- > 0;)
        timer_arm(&wheel, &p[i].timer, ticks[i] * TG_MS);
    for (unsigned i = 0; i < TG_ARRAY_LEN(ticks); i++) {
        assert_int_equal(timers_run(&wheel, ticks[i] * TG_MS - 1, 100), 0);
        assert_true(timers_next(&wheel) <= ticks[i] * TG_MS);
        assert_int_equal(timers_run(&wheel, ticks[i] * TG_MS, 100), 1);
        assert_int_equal(fired.id[i], i);
    }
    /* The end of time: waits, harms nobody, can be cancelled. */
    timer_arm(&wheel, &p[0].timer, UINT64_MAX);
    assert_int_equal(timers_run(&wheel, (1ull << 41) * TG_MS, 100), 0);
    assert_true(timers_next(&wheel) > (1ull << 41) * TG_MS);
    timer_cancel(&wheel, &p[0].timer);
    assert_int_equal(timers_next(&wheel), UINT64_MAX);
}

static void a_late_start_works_like_an_early_one(void **state)
{
    struct probe p[3];
    tg_ns now = 4294967290 * TG_MS; /* six ticks before the 2^32 border */
    start(p, 3, now);
    timer_arm(&wheel, &p[0].timer, now + 10 * TG_MS);
    timer_arm(&wheel, &p[1].timer, now + 3 * TG_MS);
    timer_arm(&wheel, &p[2].timer, now + 6 * TG_MS); /* on the border itself */
    assert_int_equal(timers_run(&wheel, now + 5 * TG_MS, 100), 1);
    assert_int_equal(timers_run(&wheel, now + 9 * TG_MS, 100), 1);
    assert_int_equal(timers_run(&wheel, now + 10 * TG_MS, 100), 1);
    assert_int_equal(fired.id[0], 1);
    assert_int_equal(fired.id[1], 2);
    assert_int_equal(fired.id[2], 0);
}

static void limit_leaves_the_rest_in_order(void **state)
{
    struct probe p[10];
    start(p, 10, 0);
    for (unsigned i = 0; i < 9; i++)
        timer_arm(&wheel, &p[i].timer, (1 + i / 3) * TG_MS);
    assert_int_equal(timers_run(&wheel, 10 * TG_MS, 0), 0);
    assert_int_equal(timers_run(&wheel, 10 * TG_MS, 4), 4);
    assert_true(timers_next(&wheel) <= 10 * TG_MS);
    timer_cancel(&wheel, &p[5].timer); /* one of those that wait */
    timer_arm(&wheel, &p[9].timer, 3 * TG_MS);
    assert_int_equal(timers_run(&wheel, 10 * TG_MS, 100), 5);
    static const unsigned order[] = {0, 1, 2, 3, 4, 6, 7, 8, 9};
    for (unsigned i = 0; i < 9; i++)
        assert_int_equal(fired.id[i], order[i]);
    assert_int_equal(wheel.armed, 0);
}

static void callbacks_may_cancel_and_arm(void **state)
{
    struct probe p[5];
    start(p, 5, 0);
    for (unsigned i = 0; i < 4; i++)
        timer_arm(&wheel, &p[i].timer, 3 * TG_MS);
    p[0].cancels = &p[1]; /* of the same tick, about to fire */
    p[2].cancels = &p[2]; /* itself: harmless */
    p[3].arms = &p[4];    /* later, but due within the same run */
    p[3].arms_at = 5 * TG_MS;
    assert_int_equal(timers_run(&wheel, 10 * TG_MS, 100), 4);
    assert_int_equal(fired.id[0], 0);
    assert_int_equal(fired.id[1], 2);
    assert_int_equal(fired.id[2], 3);
    assert_int_equal(fired.id[3], 4);
    assert_int_equal(wheel.armed, 0);
    timer_cancel(&wheel, &p[1].timer); /* harmless */
}

#define MODEL_TIMERS 200

/* The naive model: an array, searched for the earliest tick, ties by arming number. */
static struct {
    bool armed;
    uint64_t tick, order;
} model[MODEL_TIMERS];

static unsigned model_expect(uint64_t now_tick, unsigned expected[])
{
    unsigned n = 0;
    for (;;) {
        int best = -1;
        for (int i = 0; i < MODEL_TIMERS; i++)
            if (model[i].armed && model[i].tick <= now_tick &&
                (best < 0 || model[i].tick < model[best].tick ||
                 (model[i].tick == model[best].tick && model[i].order < model[best].order)))
                best = i;
        if (best < 0)
            return n;
        model[best].armed = false;
        expected[n++] = (unsigned)best;
    }
}

static tg_ns random_delay(struct prng *rng)
{
    static const unsigned bits[] = {20, 23, 28, 31, 36, 40, 44, 52, 53};
    return prng_below(rng, 1ull << bits[prng_below(rng, TG_ARRAY_LEN(bits))]);
}

static void model_step(struct prng *rng, struct probe probes[], tg_ns *now, uint64_t *order)
{
    for (unsigned n = (unsigned)prng_below(rng, 8); n > 0; n--) {
        unsigned i = (unsigned)prng_below(rng, MODEL_TIMERS);
        if (prng_below(rng, 4) == 0) {
            timer_cancel(&wheel, &probes[i].timer);
            model[i].armed = false;
            continue;
        }
        /* Behind the current tick, so that the model needs no idea of "late". */
        tg_ns deadline = (*now / TG_MS + 1) * TG_MS + random_delay(rng);
        timer_arm(&wheel, &probes[i].timer, deadline);
        model[i].armed = true;
        model[i].tick = deadline / TG_MS + (deadline % TG_MS != 0);
        model[i].order = (*order)++;
    }
    unsigned expected[MODEL_TIMERS];
    tg_ns next = timers_next(&wheel);
    uint64_t earliest = UINT64_MAX / TG_MS;
    for (unsigned i = 0; i < MODEL_TIMERS; i++)
        if (model[i].armed && model[i].tick < earliest)
            earliest = model[i].tick;
    assert_true(next <= earliest * TG_MS || next == UINT64_MAX);
    assert_true(next > *now);
    /* Half of the time exactly where the wheel says, as the simulator does. */
    *now = next != UINT64_MAX && prng_below(rng, 2) ? next : *now + random_delay(rng);
    fired.count = 0;
    unsigned count = timers_run(&wheel, *now, UINT32_MAX);
    unsigned want = model_expect(*now / TG_MS, expected);
    assert_int_equal(count, want);
    for (unsigned i = 0; i < want; i++)
        assert_int_equal(fired.id[i], expected[i]);
}

static void random_run_equals_the_model(void **state)
{
    static struct probe probes[MODEL_TIMERS];
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct prng rng;
        tg_ns now;
        uint64_t order = 0;
        prng_seed(&rng, seed);
        now = prng_below(&rng, 1ull << 54);
        memset(model, 0, sizeof model);
        start(probes, MODEL_TIMERS, now);
        for (unsigned step = 0; step < 2000; step++)
            model_step(&rng, probes, &now, &order);
        unsigned left = 0;
        for (unsigned i = 0; i < MODEL_TIMERS; i++) {
            left += model[i].armed;
            assert_int_equal(timer_armed(&probes[i].timer), model[i].armed);
        }
        assert_int_equal(wheel.armed, left);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_early_and_rounds_up),
        cmocka_unit_test(one_tick_fires_in_arming_order_across_a_cascade),
        cmocka_unit_test(past_deadline_fires_at_the_next_run),
        cmocka_unit_test(far_deadlines),
        cmocka_unit_test(a_late_start_works_like_an_early_one),
        cmocka_unit_test(limit_leaves_the_rest_in_order),
        cmocka_unit_test(callbacks_may_cancel_and_arm),
        cmocka_unit_test(random_run_equals_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
