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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_exchange),
        cmocka_unit_test(bulk_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
