/* SPDX-License-Identifier: BSD-3-Clause
 * Ports that hash as we do, ports that lie, and ports that hash right but spread by another table.
 */
#include "net/net_test_support.h"
#include "steer/steer.h"
#include "steer/steer_hash.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct lab {
    struct test_pool pool;
    struct toeplitz toeplitz;
    struct stats stats;
    struct steer_hash hash;
    uint16_t next_port;
};

static void lab_init(struct lab *l, unsigned worker, unsigned workers)
{
    memset(l, 0, sizeof *l);
    test_pool_init(&l->pool, 0);
    test_toeplitz_init(&l->toeplitz, 7);
    l->hash = (struct steer_hash){.toeplitz = &l->toeplitz,
                                  .stats = &l->stats,
                                  .worker = worker,
                                  .workers = workers,
                                  .spread = true};
}

/* The next parsed frame, IPv4 and IPv6 in turn, whose right hash leads to `worker`; *right is that hash. */
static struct buf *frame_for(struct lab *l, unsigned worker, uint32_t *right)
{
    for (;;) {
        bool six = l->next_port & 1;
        struct ip_tuple t = {test_addr(six ? "2001:db8:1::1" : "192.0.2.1"),
                             test_addr(six ? "2001:db8:1::9" : "192.0.2.9"), 80, ++l->next_port};
        *right = wire_tuple_hash(&l->toeplitz, &t);
        if (steer_worker_of(*right, l->hash.workers) != worker)
            continue;
        struct buf *b = test_frame_tcp(&l->pool.pool, &t, 1, 2, TCP_ACK, 9, SPAN_EMPTY, SPAN_EMPTY);
        assert_int_equal(wire_parse(b, &l->toeplitz), TG_C_none);
        b->flags |= BUF_RX_HASH;
        return b;
    }
}

/* Give it a frame whose port said `right ^ lie`; what is believed afterwards must be right (or the lie). */
static void check_one(struct lab *l, unsigned worker, uint32_t lie, bool believed)
{
    uint32_t right;
    struct buf *b = frame_for(l, worker, &right);
    b->rx_hash = right ^ lie;
    steer_hash_check(&l->hash, &b, 1);
    assert_int_equal(b->rx_hash, believed ? right ^ lie : right);
    buf_unref(&l->pool.pool, b);
}

static void an_honest_port_is_trusted_after_its_trial(void **state)
{
    static struct lab l;
    lab_init(&l, 1, 2);
    for (unsigned i = 0; i < STEER_HASH_TRIAL; i++) {
        assert_false(steer_hash_places(&l.hash));
        check_one(&l, 1, 0, false);
    }
    assert_true(steer_hash_places(&l.hash));
    check_one(&l, 1, 5, true); /* not looked at any more */
    assert_int_equal(l.stats.value[TG_C_steer_hash_wrong], 0);
    assert_int_equal(l.stats.value[TG_C_steer_hash_misplaced], 0);
    assert_int_equal(l.pool.outstanding, 0);
}

static void one_lie_and_software_hashes_for_ever(void **state)
{
    static struct lab l;
    lab_init(&l, 0, 2);
    for (unsigned i = 0; i < STEER_HASH_TRIAL - 1; i++)
        check_one(&l, 0, 0, false);
    check_one(&l, 0, 0x80000000u, false);
    for (unsigned i = 0; i < 2 * STEER_HASH_TRIAL; i++)
        check_one(&l, i & 1, i, false);
    assert_false(steer_hash_places(&l.hash));
    assert_int_equal(l.stats.value[TG_C_steer_hash_wrong], 1);
}

static void another_table_means_hand_over(void **state)
{
    static struct lab l;
    lab_init(&l, 0, 3);
    for (unsigned i = 0; i < STEER_HASH_TRIAL; i++)
        check_one(&l, i == 100 ? 2 : 0, 0, false);
    assert_int_equal(l.stats.value[TG_C_steer_hash_misplaced], 1);
    assert_int_equal(l.stats.value[TG_C_steer_hash_wrong], 0);
    assert_false(steer_hash_places(&l.hash));
    check_one(&l, 0, 9, true); /* the hash itself is good */
}

static void what_has_no_port_hash_is_left_alone(void **state)
{
    static struct lab l;
    lab_init(&l, 0, 2);
    uint32_t right;
    for (unsigned i = 0; i < 2 * STEER_HASH_TRIAL; i++) {
        struct buf *b = frame_for(&l, 0, &right);
        b->flags &= (uint16_t)~BUF_RX_HASH;
        b->rx_hash = 77;
        steer_hash_check(&l.hash, &b, 1);
        assert_int_equal(b->rx_hash, 77);
        buf_unref(&l.pool.pool, b);
    }
    assert_int_equal(l.hash.agreed, 0);
    assert_false(steer_hash_places(&l.hash));
}

static void udp_says_nothing_about_tcp(void **state)
{
    static struct lab l;
    lab_init(&l, 0, 2);
    struct ip_tuple t = {test_addr("192.0.2.1"), test_addr("192.0.2.9"), 53, 1000};
    struct buf *b = test_frame_udp(&l.pool.pool, &t, SPAN_LITERAL("q"));
    assert_int_equal(wire_parse(b, &l.toeplitz), TG_C_none);
    b->flags |= BUF_RX_HASH;
    b->rx_hash = 1; /* of the addresses alone */
    steer_hash_check(&l.hash, &b, 1);
    assert_int_equal(b->rx_hash, wire_tuple_hash(&l.toeplitz, &t));
    buf_unref(&l.pool.pool, b);
    assert_false(l.hash.misled);
    assert_int_equal(l.hash.agreed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_honest_port_is_trusted_after_its_trial),
        cmocka_unit_test(one_lie_and_software_hashes_for_ever),
        cmocka_unit_test(another_table_means_hand_over),
        cmocka_unit_test(what_has_no_port_hash_is_left_alone),
        cmocka_unit_test(udp_says_nothing_about_tcp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
