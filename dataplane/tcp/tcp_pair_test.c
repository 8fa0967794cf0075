/* SPDX-License-Identifier: BSD-3-Clause
 * Two stacks back to back: whole conversations, with and without loss, over both families.
 */
#include "tcp/tcp_pair.h"

static struct pair *start(uint64_t seed, bool ip6)
{
    struct tcp_config c = node_config();
    struct pair *p = pair_new(&c, &c, seed);
    pair_connect(p, ip6);
    return p;
}

static void exchange(bool ip6, uint32_t up, uint32_t down)
{
    struct pair *p = start(1, ip6);
    p->user[0].to_send = up;
    p->user[1].to_send = down;
    pair_run(p, 10 * TG_S);
    pair_expect_done(p);
    assert_int_equal(tcp_time_wait_count(p->node[0].tcp) + tcp_time_wait_count(p->node[1].tcp), 1);
    assert_int_equal(node_counted(&p->node[0], TG_C_tcp_retransmits), 0);
    assert_int_equal(node_counted(&p->node[1], TG_C_tcp_retransmits), 0);
    pair_run(p, 61 * TG_S);
    assert_int_equal(tcp_time_wait_count(p->node[0].tcp) + tcp_time_wait_count(p->node[1].tcp), 0);
    pair_end(p);
}

static void small_exchange(void **state)
{
    exchange(false, 100, 1000);
    exchange(true, 100, 1000);
}

static void bulk_both_ways(void **state)
{
    exchange(false, 1000000, 2000000);
    exchange(true, 1000000, 2000000);
}

/* --- loss: every stream arrives whole ---------------------------------------------------------------------- */

static void lossy(uint64_t seed, unsigned loss, unsigned duplicates, tg_ns jitter, bool ip6)
{
    struct pair *p = start(seed, ip6);
    p->loss_permille = loss;
    p->duplicate_permille = duplicates;
    p->jitter = jitter;
    p->user[0].to_send = 100000;
    p->user[1].to_send = 300000;
    pair_run(p, 600 * TG_S);
    p->loss_permille = 0;
    pair_run(p, 300 * TG_S);
    pair_expect_done(p);
    pair_end(p);
}

static void survives_loss(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++)
        lossy(seed, 10 + 10 * (unsigned)seed, 0, 0, seed & 1);
}

static void survives_reordering_and_duplicates(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++)
        lossy(seed, 0, 100, 20 * TG_MS, seed & 1);
}

static void survives_everything(void **state)
{
    for (uint64_t seed = 1; seed <= 40; seed++)
        lossy(seed, 50, 50, 10 * TG_MS, seed & 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(survives_loss),       cmocka_unit_test(survives_reordering_and_duplicates),
        cmocka_unit_test(survives_everything), cmocka_unit_test(small_exchange),
        cmocka_unit_test(bulk_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
