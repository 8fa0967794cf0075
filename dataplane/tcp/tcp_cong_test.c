/* SPDX-License-Identifier: BSD-3-Clause
 * Congestion controls alone: growth and reduction by the numbers of RFC 5681, 3465, 6928, 9438, and no
 * overflow at the ends of every range.
 */
#include "tcp/tcp_test_support.h"

#define MSS 1000u

static struct tcp_pcb *fresh(const struct tcp_congestion *c)
{
    struct tcp_pcb *pcb = aligned_alloc(TG_CACHE_LINE, sizeof *pcb);
    memset(pcb, 0, sizeof *pcb);
    pcb->act = aligned_alloc(TG_CACHE_LINE, sizeof *pcb->act);
    memset(pcb->act, 0, sizeof *pcb->act);
    pcb->mss = MSS;
    pcb->act->cwnd = tcp_initial_window(pcb);
    pcb->ssthresh = UINT32_MAX / 2;
    pcb->congestion = c;
    pcb->srtt = 50 * TG_MS;
    pcb->rto = 200 * TG_MS;
    c->start(pcb);
    return pcb;
}

static void fresh_free(struct tcp_pcb *pcb)
{
    free(pcb->act);
    free(pcb);
}

/* One round trip: as many ACKs of two segments as fit in cwnd. */
static void round_trip(struct tcp_pcb *pcb, tg_ns *now)
{
    for (uint32_t left = pcb->act->cwnd; left >= 2 * MSS; left -= 2 * MSS)
        pcb->congestion->acked(pcb, 2 * MSS, *now);
    *now += pcb->srtt;
}

static void congest(struct tcp_pcb *pcb, tg_ns now)
{
    pcb->snd_una = 5;
    pcb->snd_nxt = pcb->snd_una + pcb->act->cwnd; /* all of it in flight */
    pcb->congestion->congested(pcb, now);
    pcb->act->cwnd = pcb->ssthresh;
}

static void initial_window(void **state)
{
    struct tcp_pcb *pcb = fresh(&tcp_newreno);
    const uint16_t mss[] = {260, 536, 1448, 1460, 2000, 8960};
    const uint32_t window[] = {2600, 5360, 14480, 14600, 14600, 17920};
    for (unsigned i = 0; i < TG_ARRAY_LEN(mss); i++) {
        pcb->mss = mss[i];
        assert_int_equal(tcp_initial_window(pcb), window[i]);
    }
    fresh_free(pcb);
}

static void slow_start_doubles(void **state)
{
    const struct tcp_congestion *both[] = {&tcp_newreno, &tcp_cubic};
    for (unsigned i = 0; i < 2; i++) {
        struct tcp_pcb *pcb = fresh(both[i]);
        tg_ns now = TG_S;
        for (uint32_t expect = 20000; expect <= 160000; expect *= 2) {
            round_trip(pcb, &now);
            assert_int_equal(pcb->act->cwnd, expect);
        }
        pcb->congestion->acked(pcb, 50000, now); /* one merged ACK counts as many */
        assert_int_equal(pcb->act->cwnd, 210000);
        pcb->ssthresh = 220000; /* and stops at the threshold, but for congestion avoidance */
        pcb->congestion->acked(pcb, 50000, now);
        assert_true(pcb->act->cwnd >= 220000 && pcb->act->cwnd <= 221000);
        fresh_free(pcb);
    }
}

static void newreno_adds_a_segment_a_round_trip(void **state)
{
    struct tcp_pcb *pcb = fresh(&tcp_newreno);
    tg_ns now = TG_S;
    pcb->act->cwnd = 40000;
    congest(pcb, now);
    assert_int_equal(pcb->ssthresh, 20000);
    for (unsigned i = 1; i <= 10; i++) {
        round_trip(pcb, &now);
        assert_true(pcb->act->cwnd >= 20000 + (i - 1) * MSS && pcb->act->cwnd <= 20000 + i * MSS);
    }
    fresh_free(pcb);
}

static void the_threshold_has_a_floor(void **state)
{
    const struct tcp_congestion *both[] = {&tcp_newreno, &tcp_cubic};
    for (unsigned i = 0; i < 2; i++) {
        struct tcp_pcb *pcb = fresh(both[i]);
        pcb->act->cwnd = MSS;
        congest(pcb, TG_S);
        assert_int_equal(pcb->ssthresh, 2 * MSS);
        pcb->act->cwnd = 50000;
        pcb->snd_una = 0;
        pcb->snd_nxt = 4000; /* little in flight: that counts, not cwnd (RFC 5681 equation 4) */
        pcb->congestion->congested(pcb, TG_S);
        assert_int_equal(pcb->ssthresh, i ? 2800 : 2000);
        fresh_free(pcb);
    }
}

/* RFC 9438 s4.2: back at W_max after K = cbrt(W_max (1 - 0.7) / 0.4) s, flat there, then beyond. */
static void cubic_returns_after_k(void **state)
{
    struct tcp_pcb *pcb = fresh(&tcp_cubic);
    tg_ns now = 10 * TG_S;
    pcb->act->cwnd = 1000 * MSS;
    congest(pcb, now);
    assert_int_equal(pcb->act->cwnd, 700 * MSS);
    tg_ns start = now; /* K = cbrt(300 / 0.4) = 9.086 s */
    uint32_t before = 0;
    while (pcb->act->cwnd < 995 * MSS) {
        before = pcb->act->cwnd;
        round_trip(pcb, &now);
        assert_true(pcb->act->cwnd >= before);
    }
    /* 995 segments: 0.4 d^3 = 5, d = 2.32 s before K */
    tg_ns took = now - start;
    assert_true(took > 6000 * TG_MS && took < 7600 * TG_MS);
    while (now - start < 9 * TG_S)
        round_trip(pcb, &now);
    assert_true(pcb->act->cwnd > 998 * MSS && pcb->act->cwnd < 1003 * MSS);
    while (now - start < 14 * TG_S) /* 0.4 * 4.9^3 = 47 segments beyond */
        round_trip(pcb, &now);
    assert_true(pcb->act->cwnd > 1030 * MSS && pcb->act->cwnd < 1070 * MSS);
    fresh_free(pcb);
}

static void cubic_is_no_slower_than_reno(void **state)
{
    struct tcp_pcb *pcb = fresh(&tcp_cubic);
    tg_ns now = TG_S;
    pcb->srtt = 5 * TG_MS; /* short: the Reno region (s4.3) */
    pcb->act->cwnd = 20 * MSS;
    congest(pcb, now);
    assert_int_equal(pcb->act->cwnd, 14 * MSS);
    for (unsigned i = 0; i < 40; i++)
        round_trip(pcb, &now);
    /* alpha 0.53 up to 20 segments (11 round trips), then 1 a round trip */
    assert_true(pcb->act->cwnd > 42 * MSS && pcb->act->cwnd < 52 * MSS);
    fresh_free(pcb);
}

static void cubic_fast_convergence(void **state)
{
    struct tcp_pcb *pcb = fresh(&tcp_cubic);
    pcb->act->cwnd = 100 * MSS;
    congest(pcb, TG_S);
    assert_int_equal(pcb->act->cc[3], 100 * MSS);
    congest(pcb, 2 * TG_S); /* at 70, below the last plateau: give way (s4.7) */
    assert_int_equal(pcb->act->cc[3], 59500);
    assert_int_equal(pcb->act->cwnd, 49 * MSS);
    fresh_free(pcb);
}

/* Down to 70 of 100 segments, and into a new congestion avoidance. Returns when that was. */
static tg_ns reduced(struct tcp_pcb *pcb)
{
    tg_ns now = 10 * TG_S;
    pcb->act->cwnd = 100 * MSS;
    congest(pcb, now);
    round_trip(pcb, &now);
    return now;
}

/* RFC 9438 s5.8: half a minute in which the flow had little to send is no half minute of growth. */
static void cubic_counts_no_time_without_use(void **state)
{
    struct tcp_pcb *busy = fresh(&tcp_cubic), *pausing = fresh(&tcp_cubic);
    tg_ns now = reduced(busy), later = reduced(pausing) + 30 * TG_S;
    for (unsigned i = 0; i < 20; i++) {
        round_trip(busy, &now);
        round_trip(pausing, &later);
    }
    assert_in_range(busy->act->cwnd, 85 * MSS, 100 * MSS);
    assert_in_range(pausing->act->cwnd, busy->act->cwnd - MSS, busy->act->cwnd + MSS);
    fresh_free(busy);
    fresh_free(pausing);
}

/* RFC 9438 s4.8: after a timeout and slow start the window grows from where it is, with K = 0, not towards the old
 * plateau: in 5 s by 0.4 * 5^3 = 50 segments. */
static void cubic_begins_anew_after_a_timeout(void **state)
{
    struct tcp_pcb *pcb = fresh(&tcp_cubic);
    pcb->act->cwnd = 1000 * MSS;
    congest(pcb, 10 * TG_S);
    pcb->congestion->timed_out(pcb);
    tg_ns now = 11 * TG_S;
    pcb->srtt = 200 * TG_MS; /* the cube, not Reno's region */
    round_trip(pcb, &now);
    assert_in_range(pcb->act->cwnd, 700 * MSS, 702 * MSS);
    while (now < 16 * TG_S)
        round_trip(pcb, &now);
    assert_in_range(pcb->act->cwnd, 740 * MSS, 765 * MSS);
    fresh_free(pcb);
}

/* RFC 9438 s4.9: plateau and all are those from before. */
static void cubic_forgets_what_was_for_nothing(void **state)
{
    struct tcp_pcb *pcb = fresh(&tcp_cubic), *other = fresh(&tcp_cubic);
    tg_ns now = reduced(pcb), same = reduced(other);
    uint32_t cwnd = pcb->act->cwnd;
    for (unsigned i = 0; i < 2; i++) { /* a loss, or a timeout */
        congest(pcb, now);
        if (i)
            pcb->congestion->timed_out(pcb);
        pcb->act->cwnd = cwnd;
        pcb->congestion->undo(pcb);
        assert_int_equal(pcb->act->cc[3], 100 * MSS);
    }
    other->congestion->idle(other); /* a new epoch, as after an undo */
    for (unsigned i = 0; i < 10; i++) {
        round_trip(pcb, &now);
        round_trip(other, &same);
    }
    pcb->ssthresh = other->ssthresh;
    assert_in_range(pcb->act->cwnd, other->act->cwnd - MSS, other->act->cwnd + MSS);
    fresh_free(pcb);
    fresh_free(other);
}

static void nothing_overflows(void **state)
{
    const struct tcp_congestion *both[] = {&tcp_newreno, &tcp_cubic};
    struct prng p;
    prng_seed(&p, 1);
    for (unsigned i = 0; i < 40000; i++) {
        struct tcp_pcb *pcb = fresh(both[i & 1]);
        pcb->mss = (uint16_t)(260 + prng_below(&p, 8700));
        pcb->act->cwnd = pcb->mss + (uint32_t)prng_below(&p, 1u << 30);
        tg_ns now = TG_S + prng_below(&p, 1000) * TG_S;
        pcb->srtt = 1 + prng_below(&p, 100 * TG_S);
        congest(pcb, now);
        for (unsigned k = 0; k < 10; k++) {
            now += prng_below(&p, 4) ? prng_below(&p, TG_S) : prng_below(&p, 1000000 * TG_S);
            uint32_t before = pcb->act->cwnd;
            pcb->congestion->acked(pcb, 1 + (uint32_t)prng_below(&p, 1u << 30), now);
            assert_true(pcb->act->cwnd >= before && pcb->act->cwnd <= 1u << 30);
        }
        pcb->congestion->idle(pcb);
        fresh_free(pcb);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(initial_window),
        cmocka_unit_test(slow_start_doubles),
        cmocka_unit_test(newreno_adds_a_segment_a_round_trip),
        cmocka_unit_test(the_threshold_has_a_floor),
        cmocka_unit_test(cubic_returns_after_k),
        cmocka_unit_test(cubic_is_no_slower_than_reno),
        cmocka_unit_test(cubic_fast_convergence),
        cmocka_unit_test(cubic_counts_no_time_without_use),
        cmocka_unit_test(cubic_begins_anew_after_a_timeout),
        cmocka_unit_test(cubic_forgets_what_was_for_nothing),
        cmocka_unit_test(nothing_overflows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
