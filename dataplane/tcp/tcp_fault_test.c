/* SPDX-License-Identifier: BSD-3-Clause
 * Every place that takes a frame, one after the other: the n-th allocation of a whole conversation fails, for each n that
 * there is, alone and with those that follow. The conversation must end whole, soon, and every frame come back.
 */
#include "tcp/tcp_pair.h"

#define BYTES 6000u

/* Allocations of one host: the one after `from` others finds nothing, nor do those of the time `lasts` from then on. */
static struct {
    const struct pair *pair;
    unsigned seen, from;
    tg_ns lasts, begun;
} fault;

static unsigned refill(struct buf_pool *pool, struct buf *out[], unsigned n)
{
    if (n == 0)
        return 0;
    if (fault.seen++ == fault.from) {
        fault.begun = fault.pair->now;
        return 0;
    }
    if (fault.begun && fault.pair->now - fault.begun < fault.lasts)
        return 0;
    return test_pool_refill(pool, out, n);
}

/* Request and answer, with a lost and a late frame among them so that the queues of both directions are used; the
 * first host's FIN follows its request. Returns whether a failure came about. */
static bool conversation(bool ip6, unsigned side, unsigned from, tg_ns lasts)
{
    struct tcp_config c = node_config();
    struct pair *p = pair_new(&c, &c, 7);
    p->node[side].pool.pool.refill = refill;
    fault.pair = p;
    fault.seen = 0;
    fault.from = from;
    fault.lasts = lasts;
    fault.begun = 0;
    p->late_permille = 60;
    p->late_by = 12 * TG_MS;
    p->loss_permille = 30;
    pair_connect(p, ip6);
    p->user[0].to_send = p->user[1].to_send = BYTES;
    pair_run(p, TG_S);
    p->loss_permille = 0;
    pair_run(p, 30 * TG_S); /* a few RTOs, a neighbour that is asked again */
    bool failed = fault.seen > from;
    pair_expect_done(p);
    assert_int_equal(p->user[0].received, BYTES);
    assert_int_equal(p->user[1].received, BYTES);
    pair_end(p); /* no frame is out, no timer armed */
    return failed;
}

static void each_site(bool ip6, tg_ns lasts)
{
    for (unsigned side = 0; side < 2; side++) {
        unsigned from = 0;
        while (conversation(ip6, side, from, lasts))
            from++;
        assert_true(from > 20); /* ARP or ND, SYN, text, ACKs, FIN, what arrives */
    }
}

static void one_allocation_fails(void **state)
{
    each_site(false, 0);
    each_site(true, 0);
}

static void all_allocations_of_50_ms_fail(void **state)
{
    each_site(false, 50 * TG_MS);
    each_site(true, 50 * TG_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_allocation_fails),
        cmocka_unit_test(all_allocations_of_50_ms_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
