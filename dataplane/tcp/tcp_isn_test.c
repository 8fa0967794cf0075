/* SPDX-License-Identifier: BSD-3-Clause
 * Initial sequence numbers as an attacker sees them who may open connections of his own and wants to guess another's
 * (NUMBER:JACK, RFC 6528): a million of each kind, looked at by simple statistics. The numbers are fixed (one key), so
 * a bound that holds once holds always.
 */
#include "tcp/tcp_owner.h"
#include "tcp/tcp_trace.h"

#define SAMPLES 1000000u

/* Chi square of 256 cells: mean 255, deviation 22.6. Beyond 6 deviations it is no chance. */
#define CHI_MAX (255 + 6 * 23)

struct cells {
    uint32_t n[4][256]; /* by byte */
};

static void cells_add(struct cells *c, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        c->n[i][v >> 8 * i & 0xff]++;
}

static uint64_t chi_square(const uint32_t cells[256])
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < 256; i++)
        sum += (uint64_t)cells[i] * cells[i];
    return sum * 256 / SAMPLES - SAMPLES;
}

static void expect_even(const struct cells *c)
{
    for (unsigned i = 0; i < 4; i++)
        if (chi_square(c->n[i]) > CHI_MAX)
            fail_msg("byte %u: chi square %lu", i, chi_square(c->n[i]));
}

/* A tuple of the attacker's: port, then address. */
static struct ip_tuple tuple_number(const struct trace *t, uint32_t i)
{
    struct ip_tuple u = t->tuple;
    u.remote_port = (uint16_t)(1 + i % 60000);
    u.remote.bytes[15] = (uint8_t)(1 + i / 60000);
    return u;
}

static uint32_t isn(const struct trace *t, const struct ip_tuple *u, tg_ns now)
{
    return tcp_numbers_choose(t->node.tcp, u, true, NULL, true, now).iss;
}

/* Neighbouring tuples at one instant: neither the numbers nor the steps from one to the next lean anywhere. */
static void neighbours_tell_nothing(void **state)
{
    struct trace *t = trace_start(state);
    struct cells *values = calloc(1, sizeof *values), *steps = calloc(1, sizeof *steps);
    uint32_t last = 0;
    for (uint32_t i = 0; i < SAMPLES; i++) {
        struct ip_tuple u = tuple_number(t, i);
        uint32_t v = isn(t, &u, 77 * TG_S);
        cells_add(values, v);
        cells_add(steps, v - last);
        last = v;
    }
    expect_even(values);
    expect_even(steps);
    free(values);
    free(steps);
    trace_end(t);
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* As many pairs of equal numbers as chance gives (n^2 / 2^33 = 116, deviation 11), and no gap that chance does not. */
static void collisions_are_those_of_chance(void **state)
{
    struct trace *t = trace_start(state);
    uint32_t *v = malloc(SAMPLES * sizeof *v), equal = 0, gap = 0;
    for (uint32_t i = 0; i < SAMPLES; i++) {
        struct ip_tuple u = tuple_number(t, i);
        v[i] = isn(t, &u, 77 * TG_S);
    }
    qsort(v, SAMPLES, sizeof *v, by_value);
    for (uint32_t i = 1; i < SAMPLES; i++) {
        equal += v[i] == v[i - 1];
        gap = u32_max(gap, v[i] - v[i - 1]);
    }
    assert_in_range(equal, 116 - 66, 116 + 66);
    assert_true(gap < 4295 * 30u); /* mean 4,295; beyond 30 means: e^-30 each */
    free(v);
    trace_end(t);
}

static uint32_t common(uint32_t a, uint32_t b)
{
    while (b) {
        uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* What nmap calls the index of difficulty: the spread of the steps of one attacker's connections over time, here a
 * million, one every 100 ms as nmap does; and what it calls GCD, a factor that all steps have. */
static void a_series_of_ones_own_predicts_nothing(void **state)
{
    struct trace *t = trace_start(state);
    uint64_t far = 0;
    uint32_t last = 0, divisor = 0;
    for (uint32_t i = 0; i < SAMPLES; i++) {
        struct ip_tuple u = tuple_number(t, i);
        uint32_t v = isn(t, &u, (tg_ns)i * 100 * TG_MS), step = v - last;
        far += step - (1u << 28) < 0u - (1u << 29); /* by more than 2^28 either way */
        divisor = common(divisor, step);
        last = v;
    }
    assert_true(far > SAMPLES * 85ull / 100); /* 7 of 8 by chance */
    assert_int_equal(divisor, 1);
    trace_end(t);
}

/* Of one tuple the number rises with the clock and by nothing else, so that old segments do not fit (RFC 6528 s3). */
static void of_one_tuple_the_clock_alone_counts(void **state)
{
    struct trace *t = trace_start(state);
    uint32_t first = isn(t, &t->tuple, 0);
    for (uint32_t i = 0; i < SAMPLES; i++)
        if (isn(t, &t->tuple, (tg_ns)i * 997 * TG_US) - first != (uint32_t)(i * 997ull / 4))
            fail_msg("sample %u", i);
    trace_end(t);
}

/* Timestamps start somewhere else for each tuple, too: they tell neither our uptime nor who shares a host (RFC 7323 s7.1). */
static void timestamps_start_anywhere(void **state)
{
    struct trace *t = trace_start(state);
    struct cells *values = calloc(1, sizeof *values), *against = calloc(1, sizeof *against);
    for (uint32_t i = 0; i < SAMPLES; i++) {
        struct ip_tuple u = tuple_number(t, i);
        struct tcp_numbers n = tcp_numbers_choose(t->node.tcp, &u, true, NULL, true, 77 * TG_S);
        cells_add(values, n.ts_offset);
        cells_add(against, n.ts_offset - n.iss); /* one secret must not give the other away */
    }
    expect_even(values);
    expect_even(against);
    free(values);
    free(against);
    trace_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(neighbours_tell_nothing),
        BOTH(collisions_are_those_of_chance),
        BOTH(a_series_of_ones_own_predicts_nothing),
        BOTH(of_one_tuple_the_clock_alone_counts),
        BOTH(timestamps_start_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
