/* SPDX-License-Identifier: BSD-3-Clause
 * HyStart++ by the numbers of RFC 9406: when slow start turns conservative, when it ends, when it comes back.
 */
#include "tcp/tcp_congestion.h"
#include "tcp/tcp_test_support.h"

#define MSS 1000u

struct flow {
    struct tcp_pcb pcb;
    struct tcp_active act;
};

static struct flow *fresh(void)
{
    struct flow *f = aligned_alloc(TG_CACHE_LINE, sizeof *f);
    memset(f, 0, sizeof *f);
    f->pcb.act = &f->act;
    f->pcb.mss = MSS;
    f->pcb.snd_una = 0xfffff000u; /* wraps under way */
    f->pcb.ssthresh = UINT32_MAX / 2;
    f->act.cwnd = 10 * MSS;
    f->pcb.snd_nxt = f->pcb.snd_una + f->act.cwnd;
    tcp_cubic.start(&f->pcb);
    return f;
}

/* A window is acknowledged, segment by segment, each with this round trip. Returns by how much cwnd grew. */
static uint32_t round_trip(struct flow *f, tg_ns rtt)
{
    uint32_t before = f->act.cwnd, n = f->act.cwnd / MSS;
    for (uint32_t i = 0; i < n; i++) {
        f->pcb.snd_una += MSS;
        tcp_hystart_sample(&f->pcb, rtt);
        if (f->act.cwnd < f->pcb.ssthresh)
            (void)tcp_slow_start(&f->pcb, MSS);
        f->pcb.snd_nxt = f->pcb.snd_una + f->act.cwnd;
    }
    return f->act.cwnd - before;
}

static void a_steady_delay_doubles_for_ever(void **state)
{
    struct flow *f = fresh();
    for (unsigned i = 0; i < 8; i++) {
        uint32_t cwnd = f->act.cwnd;
        assert_int_equal(round_trip(f, 50 * TG_MS), cwnd);
    }
    assert_int_equal(f->act.hystart.phase, TCP_HYSTART_SLOW_START);
    free(f);
}

static void small_growth_is_noise(void **state)
{
    struct flow *f = fresh();
    for (unsigned i = 0; i < 6; i++) /* 50 ms: the threshold is 6.25 ms */
        (void)round_trip(f, 50 * TG_MS + i * 6 * TG_MS / 8);
    assert_int_equal(f->act.hystart.phase, TCP_HYSTART_SLOW_START);
    free(f);
}

static void a_queue_turns_it_conservative_then_off(void **state)
{
    struct flow *f = fresh();
    (void)round_trip(f, 50 * TG_MS);
    (void)round_trip(f, 50 * TG_MS);
    (void)round_trip(f, 57 * TG_MS); /* an eighth more: 6.25 ms */
    assert_int_equal(f->act.hystart.phase, TCP_HYSTART_CONSERVATIVE);
    uint32_t cwnd = f->act.cwnd;
    uint32_t grew = round_trip(f, 58 * TG_MS);
    assert_in_range(grew, cwnd / 4 - 2 * MSS, cwnd / 4 + 2 * MSS);
    for (unsigned i = 0; i < 5 && f->act.hystart.phase != TCP_HYSTART_OFF; i++)
        (void)round_trip(f, 60 * TG_MS);
    assert_int_equal(f->act.hystart.phase, TCP_HYSTART_OFF);
    assert_true(f->pcb.ssthresh <= f->act.cwnd);
    free(f);
}

static void thresholds_have_floor_and_ceiling(void **state)
{
    static const struct {
        tg_ns base, quiet, loud;
    } cases[] = {{8 * TG_MS, 3900 * TG_US, 4100 * TG_US}, {400 * TG_MS, 15 * TG_MS, 17 * TG_MS}};
    for (unsigned i = 0; i < TG_ARRAY_LEN(cases); i++) {
        struct flow *f = fresh();
        (void)round_trip(f, cases[i].base);
        (void)round_trip(f, cases[i].base);
        (void)round_trip(f, cases[i].base + cases[i].quiet);
        assert_int_equal(f->act.hystart.phase, TCP_HYSTART_SLOW_START);
        (void)round_trip(f, cases[i].base + cases[i].quiet + cases[i].loud);
        assert_int_equal(f->act.hystart.phase, TCP_HYSTART_CONSERVATIVE);
        free(f);
    }
}

static void a_shorter_trip_leads_back(void **state)
{
    struct flow *f = fresh();
    (void)round_trip(f, 50 * TG_MS);
    (void)round_trip(f, 50 * TG_MS);
    (void)round_trip(f, 60 * TG_MS);
    assert_int_equal(f->act.hystart.phase, TCP_HYSTART_CONSERVATIVE);
    (void)round_trip(f, 50 * TG_MS); /* a spike */
    (void)round_trip(f, 50 * TG_MS);
    assert_int_equal(f->act.hystart.phase, TCP_HYSTART_SLOW_START);
    free(f);
}

static void few_samples_decide_nothing(void **state)
{
    struct flow *f = fresh();
    f->pcb.snd_nxt = f->pcb.snd_una + 6 * MSS;
    tcp_hystart_begin(&f->pcb);
    for (unsigned i = 0; i < 100; i++) { /* seven samples a round, each round longer */
        f->pcb.snd_una += MSS;
        f->pcb.snd_nxt = f->pcb.snd_una + 6 * MSS;
        tcp_hystart_sample(&f->pcb, (50 + 20 * (i / 7)) * TG_MS);
    }
    assert_int_equal(f->act.hystart.phase, TCP_HYSTART_SLOW_START);
    free(f);
}

static void a_loss_ends_it_for_good(void **state)
{
    struct flow *f = fresh();
    (void)round_trip(f, 50 * TG_MS);
    tcp_cubic.congested(&f->pcb, TG_S);
    assert_int_equal(f->act.hystart.phase, TCP_HYSTART_OFF);
    f->act.cwnd = MSS; /* slow start after a timeout is the ordinary one */
    (void)round_trip(f, 50 * TG_MS);
    (void)round_trip(f, 90 * TG_MS);
    (void)round_trip(f, 150 * TG_MS);
    assert_int_equal(f->act.hystart.phase, TCP_HYSTART_OFF);
    tcp_cubic.start(&f->pcb); /* a connection that wakes up knows its ssthresh */
    assert_int_equal(f->act.hystart.phase, TCP_HYSTART_OFF);
    free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_steady_delay_doubles_for_ever),
        cmocka_unit_test(small_growth_is_noise),
        cmocka_unit_test(a_queue_turns_it_conservative_then_off),
        cmocka_unit_test(thresholds_have_floor_and_ceiling),
        cmocka_unit_test(a_shorter_trip_leads_back),
        cmocka_unit_test(few_samples_decide_nothing),
        cmocka_unit_test(a_loss_ends_it_for_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
