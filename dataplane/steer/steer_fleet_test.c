/* SPDX-License-Identifier: BSD-3-Clause
 * Which node gets a packet in a fleet of three, and by which way: connections that live, that nobody has,
 * and those to be.
 */
#include "steer/fleet_lab.h"

/* --- the owner is found -------------------------------------------------------------------------- */

static void a_known_connection_stays(void **state)
{
    struct lab *l = *state;
    struct ip_tuple t = client(true, 4000);
    own(l, A, &t);
    expect(l, deliver(l, A, segment(l, B, &t, true)), BUF_LOCAL, "A"); /* whatever it echoes */
    use_buckets(l, A, slots[C], NONE, NONE, NONE);
    expect(l, deliver(l, A, segment(l, A, &t, false)), BUF_LOCAL, "A"); /* wherever its bucket is */
    assert_int_equal(counted_at(l, A, TG_C_steer_local), 2);
}

static void a_stranger_reaches_its_owner_by_what_it_echoes(void **state)
{
    struct lab *l = *state;
    for (unsigned i = 0; i < 200; i++) {
        bool ts = i & 1;
        struct ip_tuple t = client(i & 2, (uint16_t)(2000 + i));
        own(l, B, &t);
        struct outcome o = deliver(l, A, segment(l, B, &t, ts));
        expect(l, o, BUF_LOCAL, "AB");
        assert_memory_equal(&o.tuple, &t, sizeof t);
    }
    assert_int_equal(counted_at(l, A, TG_C_steer_by_timestamp), 100);
    assert_int_equal(counted_at(l, A, TG_C_steer_by_sequence), 100);
    assert_int_equal(counted_at(l, A, TG_C_steer_tunnel_out), 200);
    assert_int_equal(counted_at(l, A, TG_C_steer_node), 200);
    assert_int_equal(counted_at(l, B, TG_C_steer_tunnel_in), 200);
    assert_int_equal(counted_at(l, B, TG_C_steer_local), 200);
}

static void the_newest_owner_of_its_bucket_goes_first(void **state)
{
    struct lab *l = *state;
    struct ip_tuple t = client(true, 4000);
    use_buckets(l, A, slots[C], slots[A], NONE, NONE);
    use_buckets(l, C, slots[C], slots[A], NONE, NONE);
    own(l, C, &t);
    expect(l, deliver(l, A, segment(l, C, &t, false)), BUF_LOCAL, "AC");
    assert_int_equal(counted_at(l, A, TG_C_steer_by_bucket), 1);
    /* C has it not, but knows who has: two hops. */
    l->node[C].owns = false;
    own(l, B, &t);
    expect(l, deliver(l, A, segment(l, B, &t, true)), BUF_LOCAL, "ACB");
    expect(l, deliver(l, A, segment(l, B, &t, false)), BUF_LOCAL, "ACB");
}

static void a_former_owner_of_its_bucket_has_it(void **state)
{
    struct lab *l = *state;
    struct ip_tuple t = client(false, 4001);
    use_buckets(l, A, slots[A], slots[C], NONE, NONE); /* moved from C to A */
    own(l, C, &t);
    expect(l, deliver(l, A, segment(l, C, &t, false)), BUF_LOCAL, "AC");
    expect(l, deliver(l, A, tcp_frame(l, &t, TCP_FIN, 0, NULL, 0)), BUF_LOCAL, "AC"); /* no ACK */
}

/* A site's node that was asked by the sequence number finds the right one of its own. */
static void the_other_site_finds_its_node(void **state)
{
    struct lab *l = *state;
    unsigned by_a = 0;
    for (unsigned i = 0; i < 50; i++) {
        struct ip_tuple t = client(true, (uint16_t)(3000 + i));
        own(l, C, &t);
        for (unsigned k = 0; k < NODES; k++)
            if (k != B)
                use_buckets(l, k, slots[C], NONE, NONE, NONE);
        struct outcome o = deliver(l, B, segment(l, C, &t, false));
        assert_int_equal(o.verdict, BUF_LOCAL);
        assert_true(strcmp(l->way, "BC") == 0 || strcmp(l->way, "BAC") == 0);
        by_a += l->way[1] == 'A';
    }
    assert_in_range(by_a, 10, 40);
}

/* --- two nodes have the tuple ------------------------------------------------------------------ */

/* The client's SYN came by A and, again, by B; it took B's answer. A's half-open connection must not answer
 * what is for B, or it would reset it. */
static void a_doubtful_segment_goes_to_whom_it_names(void **state)
{
    struct lab *l = *state;
    struct ip_tuple t = client(true, 4000);
    own(l, A, &t);
    own(l, B, &t);
    l->node[A].odd_ack = cookie(l, B, &t).isn + 1 + 5000;
    expect(l, deliver(l, A, segment(l, B, &t, true)), BUF_LOCAL, "AB");
    expect(l, deliver(l, A, segment(l, B, &t, false)), BUF_LOCAL, "AB");
    /* Nobody else is named: it is A's own, out of order or old. tcp answers that. */
    l->node[A].odd_ack = cookie(l, A, &t).isn + 1 + 5000;
    expect(l, deliver(l, A, segment(l, A, &t, true)), BUF_LOCAL, "A");
    expect(l, deliver(l, A, segment(l, A, &t, false)), BUF_LOCAL, "A");
    /* A guess that was wrong, and the next node's guess, too: back at A, which keeps it. */
    l->node[B].owns = false;
    use_buckets(l, A, slots[A], slots[B], NONE, NONE);
    expect(l, deliver(l, A, segment(l, A, &t, false)), BUF_LOCAL, "ABCA");
    assert_int_equal(counted_at(l, A, TG_C_steer_rst), 0);
}

/* --- nobody has it -------------------------------------------------------------------------------- */

static void nobodys_packets_are_reset_at_once(void **state)
{
    struct lab *l = *state;
    struct ip_tuple t = client(true, 4000);
    expect(l, deliver(l, A, segment(l, A, &t, true)), BUF_RST, "A"); /* ours, and gone */
    expect(l, deliver(l, A, segment(l, A, &t, false)), BUF_RST, "A");
    uint32_t forged = 0x12345678;
    expect(l, deliver(l, A, tcp_frame(l, &t, TCP_FIN, 0, &forged, 0)), BUF_RST, "A");
    expect_drop(l, deliver(l, A, tcp_frame(l, &t, TCP_RST, 0, NULL, 0)), TG_C_steer_drop, "A");
    assert_int_equal(counted_at(l, A, TG_C_steer_rst), 3);
    assert_int_equal(counted_at(l, A, TG_C_steer_tunnel_out), 0);
}

/* The owner has lost it: the ingress answers, for it may have others to ask. */
static void what_its_owner_has_lost_comes_back_and_is_reset(void **state)
{
    struct lab *l = *state;
    struct ip_tuple t = client(true, 4000);
    struct outcome o = deliver(l, A, segment(l, B, &t, true));
    expect(l, o, BUF_RST, "ABA");
    assert_memory_equal(&o.tuple, &t, sizeof t);
    expect(l, deliver(l, A, segment(l, B, &t, false)), BUF_RST, "ABA");
    assert_int_equal(counted_at(l, B, TG_C_steer_tunnel_returned), 2);
    assert_int_equal(counted_at(l, A, TG_C_steer_tunnel_back), 2);
    uint32_t echo = cookie(l, B, &t).ts_base;
    o = deliver(l, A, tcp_frame(l, &t, TCP_RST | TCP_ACK, 5, &echo, 0));
    expect_drop(l, o, TG_C_steer_drop, "ABA");
    /* Over two hops: the last one returns it straight to the ingress. */
    use_buckets(l, A, slots[C], NONE, NONE, NONE);
    expect(l, deliver(l, A, segment(l, B, &t, true)), BUF_RST, "ACBA");
}

static void the_next_rung_follows_a_refusal(void **state)
{
    struct lab *l = *state;
    struct ip_tuple t = client(true, 4000);
    use_buckets(l, A, slots[A], slots[C], NONE, NONE);
    own(l, C, &t);
    /* The number names B's site, by chance or because it is old; C, a former owner, has it. */
    expect(l, deliver(l, A, segment(l, B, &t, false)), BUF_LOCAL, "ABAC");
    /* The bucket's newest owner has it not, and the packet names nobody. */
    use_buckets(l, A, slots[C], slots[B], NONE, NONE);
    l->node[C].owns = false;
    own(l, B, &t);
    expect(l, deliver(l, A, tcp_frame(l, &t, TCP_FIN, 0, NULL, 0)), BUF_LOCAL, "ACAB");
}

/* Tables that send it round and round: the second node is the last. */
static void two_hops_are_the_limit(void **state)
{
    struct lab *l = *state;
    struct ip_tuple t = client(true, 4000);
    use_buckets(l, A, slots[C], NONE, NONE, NONE);
    use_buckets(l, C, slots[B], NONE, NONE, NONE);
    use_buckets(l, B, slots[C], NONE, NONE, NONE);
    expect(l, deliver(l, A, tcp_frame(l, &t, TCP_FIN, 0, NULL, 0)), BUF_RST, "ACBA");
    for (unsigned i = 0; i < NODES; i++)
        assert_int_equal(counted_at(l, i, TG_C_steer_tunnel_loop), 0);
}

static void never_back_to_the_ingress_but_as_returned(void **state)
{
    struct lab *l = *state;
    struct ip_tuple t = client(true, 4000);
    use_buckets(l, A, slots[C], NONE, NONE, NONE);
    /* C would ask A, which the timestamp names; but A is where it came in. */
    expect(l, deliver(l, A, segment(l, A, &t, true)), BUF_RST, "ACA");
    assert_int_equal(counted_at(l, C, TG_C_steer_tunnel_returned), 1);
    assert_int_equal(counted_at(l, C, TG_C_steer_tunnel_out), 0);
}

static void a_dead_owner_is_nobody(void **state)
{
    struct lab *l = *state;
    struct ip_tuple t = client(true, 4000);
    own(l, B, &t);
    const struct test_node left[] = {table_nodes[0], table_nodes[1]};
    struct tables_owners *fewer = test_fleet_table(left, 2, 1, 9);
    test_fleet_buckets(fewer, slots[A], NONE, NONE, NONE);
    assert_int_equal(fleet_build(&l->node[A].fleet, fewer, slots[A]), TG_OK);
    free(l->tables[A]);
    l->node[A].steer.owners = l->tables[A] = fewer;
    expect(l, deliver(l, A, segment(l, B, &t, true)), BUF_RST, "A");
    expect(l, deliver(l, A, segment(l, B, &t, false)), BUF_RST, "A");
}

static void forwarding_can_be_off(void **state)
{
    struct lab *l = *state;
    struct ip_tuple t = client(true, 4000);
    own(l, B, &t);
    l->tables[A]->flags = TABLES_OWNERS_KEEP;
    assert_int_equal(fleet_build(&l->node[A].fleet, l->tables[A], slots[A]), TG_OK);
    expect(l, deliver(l, A, segment(l, B, &t, true)), BUF_RST, "A");
    use_buckets(l, A, slots[C], NONE, NONE, NONE);
    expect(l, deliver(l, A, segment(l, B, &t, false)), BUF_RST, "A");
    expect(l, deliver(l, A, tcp_frame(l, &t, TCP_SYN, 0, NULL, 0)), BUF_LOCAL, "A");
}

/* --- SYNs ------------------------------------------------------------------------------------------- */

static void a_syn_goes_to_its_buckets_newest_owner(void **state)
{
    struct lab *l = *state;
    struct ip_tuple t = client(true, 4000);
    uint32_t zero = 0;
    expect(l, deliver(l, A, tcp_frame(l, &t, TCP_SYN, 0, &zero, 0)), BUF_LOCAL, "A");
    use_buckets(l, A, slots[C], slots[A], NONE, NONE);
    expect(l, deliver(l, A, tcp_frame(l, &t, TCP_SYN, 0, &zero, 0)), BUF_LOCAL, "AC");
    /* Tables that disagree make no circle: who gets it second serves it. */
    use_buckets(l, C, slots[A], slots[C], NONE, NONE);
    expect(l, deliver(l, A, tcp_frame(l, &t, TCP_SYN, 0, NULL, 0)), BUF_LOCAL, "AC");
    use_buckets(l, C, slots[B], NONE, NONE, NONE);
    use_buckets(l, B, slots[C], NONE, NONE, NONE);
    expect(l, deliver(l, A, tcp_frame(l, &t, TCP_SYN, 0, NULL, 0)), BUF_LOCAL, "ACB");
    use_buckets(l, A, 4000, NONE, NONE, NONE); /* a dead one: better we than nobody */
    expect(l, deliver(l, A, tcp_frame(l, &t, TCP_SYN, 0, NULL, 0)), BUF_LOCAL, "A");
    use_buckets(l, A, NONE, slots[C], NONE, NONE); /* nobody: its sender tries again */
    expect_drop(l, deliver(l, A, tcp_frame(l, &t, TCP_SYN, 0, NULL, 0)), TG_C_steer_drop, "A");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAB_TEST(a_known_connection_stays),
        LAB_TEST(a_stranger_reaches_its_owner_by_what_it_echoes),
        LAB_TEST(the_newest_owner_of_its_bucket_goes_first),
        LAB_TEST(a_former_owner_of_its_bucket_has_it),
        LAB_TEST(the_other_site_finds_its_node),
        LAB_TEST(a_doubtful_segment_goes_to_whom_it_names),
        LAB_TEST(nobodys_packets_are_reset_at_once),
        LAB_TEST(what_its_owner_has_lost_comes_back_and_is_reset),
        LAB_TEST(the_next_rung_follows_a_refusal),
        LAB_TEST(two_hops_are_the_limit),
        LAB_TEST(never_back_to_the_ingress_but_as_returned),
        LAB_TEST(a_dead_owner_is_nobody),
        LAB_TEST(forwarding_can_be_off),
        LAB_TEST(a_syn_goes_to_its_buckets_newest_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
