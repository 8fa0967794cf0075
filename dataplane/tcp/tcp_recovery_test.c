/* SPDX-License-Identifier: BSD-3-Clause
 * Recovery as a whole, two stacks over 100 Mbit/s and 50 ms: reordering without loss leaves the window alone, loss
 * is repaired by sending again what was lost and nothing else, coarse clocks change nothing of that.
 */
#include "net/owner_test_support.h"
#include "tcp/tcp_pair.h"

#define BYTES (4u << 20)

struct path {
    unsigned loss_permille, late_permille;
    tg_ns late_by;
    tg_ns grain; /* of the clock; 0: fine */
    tg_ns delay; /* one way; 0: 25 ms */
    bool owner;  /* in a fleet: timestamps are no clock */
};

static struct pair *path_start(uint64_t seed, const struct path *path)
{
    struct tcp_config c = node_config();
    c.receive_window_max = c.receive_window_initial = c.send_buffer_max = 1u << 20;
    c.no_pacing = path->grain != 0; /* its wake-ups would be the clock's */
    c.ooo_segments_max = 2000;      /* or the receiver drops what it has sacked */
    struct pair *p = pair_new(&c, &c, seed);
    p->delay = path->delay ? path->delay : 25 * TG_MS;
    p->byte_time = 80;
    p->loss_permille = path->loss_permille;
    p->late_permille = path->late_permille;
    p->late_by = path->late_by;
    for (unsigned i = 0; i < 2 && path->owner; i++) {
        struct prng rng;
        prng_seed(&rng, seed);
        struct tcp_owner owner = {test_owner_identity(&rng, (uint16_t)(100 + i), 5), {60, 80}};
        tcp_use_owner(p->node[i].tcp, &owner);
    }
    pair_connect(p, seed & 1);
    p->user[0].to_send = BYTES;
    return p;
}

/* Until all has arrived; tcp_check is asked after every event. Returns how long it took. */
static tg_ns path_run(struct pair *p, const struct path *path)
{
    tg_ns start = p->now;
    while (p->user[1].received < BYTES) {
        pair_turn(p);
        tg_ns next = pair_next(p);
        assert_true(next < start + 600 * TG_S);
        p->now = next > p->now ? next : p->now + TG_MS;
        if (path->grain)
            p->now = (p->now + path->grain - 1) / path->grain * path->grain;
    }
    return p->now - start;
}

static uint64_t sender(const struct pair *p, enum tg_counter c)
{
    return node_counted(&p->node[0], c);
}

static struct tcp_info sender_info(struct pair *p)
{
    struct tcp_info info;
    assert_int_equal(tcp_get_info(p->node[0].tcp, p->user[0].h, &info), TG_OK);
    return info;
}

/* --- reordering ----------------------------------------------------------------------------------------------- */

/* The first late segment may be mistaken, for nobody knows yet that the path reorders, and a segment that is late
 * and whose ACK is, too. But no cut stays: ssthresh is as it was at the start, cwnd has grown all the time. */
static void reorder(uint64_t seed, const struct path *path, unsigned mistakes)
{
    struct pair *p = path_start(seed, path);
    path_run(p, path);
    assert_true(sender(p, TG_C_tcp_fast_retransmit) <= mistakes);
    assert_int_equal(sender(p, TG_C_tcp_recoveries_undone), sender(p, TG_C_tcp_fast_retransmit));
    assert_int_equal(sender(p, TG_C_tcp_rto), 0);
    assert_int_equal(sender(p, TG_C_tcp_tail_losses), 0);
    struct tcp_info info = sender_info(p);
    assert_true(info.ssthresh >= UINT32_MAX / 2);
    assert_true(info.cwnd > 700000); /* in slow start to the end, as far as it was used */
    assert_true(info.reordering_seen > 10);
    pair_end(p);
}

static void five_percent_late_within_the_window(void **state)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        reorder(seed, &(struct path){.late_permille = 50, .late_by = 3 * TG_MS}, 1);
        reorder(seed, &(struct path){.late_permille = 50, .late_by = 11 * TG_MS}, 2);
    }
}

/* DSACKs widen the window. */
static void five_percent_later_than_the_window(void **state)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        reorder(seed, &(struct path){.late_permille = 50, .late_by = 20 * TG_MS}, 8);
        reorder(seed, &(struct path){.late_permille = 50, .late_by = 40 * TG_MS}, 20);
    }
}

static void without_a_clock_in_the_timestamps(void **state)
{
    for (uint64_t seed = 1; seed <= 4; seed++)
        reorder(seed, &(struct path){.late_permille = 50, .late_by = 11 * TG_MS, .owner = true}, 1);
}

static void with_a_clock_of_ten_milliseconds(void **state)
{
    for (uint64_t seed = 1; seed <= 4; seed++)
        reorder(seed,
                &(struct path){.late_permille = 50, .late_by = 3 * TG_MS, .grain = 10 * TG_MS}, 1);
}

static void on_a_path_of_microseconds(void **state)
{
    for (uint64_t seed = 1; seed <= 4; seed++)
        reorder(seed,
                &(struct path){.late_permille = 50, .late_by = 800 * TG_US, .delay = 100 * TG_US},
                10);
}

/* --- loss ------------------------------------------------------------------------------------------------------- */

/* What is sent again is what was lost; `spare` segments were not; the pipe never runs dry long enough for more
 * timeouts. */
static void lossy(uint64_t seed, const struct path *path, unsigned spare, unsigned timeouts)
{
    struct pair *p = path_start(seed, path);
    tg_ns took = path_run(p, path);
    assert_true(sender(p, TG_C_tcp_retransmits) <= p->lost + spare);
    assert_true(sender(p, TG_C_tcp_rto) <= timeouts);
    assert_true(took < 25 * TG_S);
    pair_end(p);
}

static void one_percent_lost(void **state)
{
    for (uint64_t seed = 1; seed <= 4; seed++)
        lossy(seed, &(struct path){.loss_permille = 10}, 0, 0);
}

static void one_percent_lost_by_a_coarse_clock(void **state)
{
    for (uint64_t seed = 1; seed <= 4; seed++)
        lossy(seed, &(struct path){.loss_permille = 10, .grain = 10 * TG_MS}, 30, 1);
}

static void one_percent_lost_among_late_ones(void **state)
{
    for (uint64_t seed = 1; seed <= 4; seed++)
        lossy(seed, &(struct path){.loss_permille = 10, .late_permille = 50, .late_by = 5 * TG_MS},
              2, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(five_percent_late_within_the_window),
        cmocka_unit_test(five_percent_later_than_the_window),
        cmocka_unit_test(without_a_clock_in_the_timestamps),
        cmocka_unit_test(with_a_clock_of_ten_milliseconds),
        cmocka_unit_test(on_a_path_of_microseconds),
        cmocka_unit_test(one_percent_lost),
        cmocka_unit_test(one_percent_lost_by_a_coarse_clock),
        cmocka_unit_test(one_percent_lost_among_late_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
