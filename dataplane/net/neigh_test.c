/* SPDX-License-Identifier: BSD-3-Clause
 * The neighbour table in time: waiting packets, repeated requests, ageing, a full table, and a
 * random walk.
 */
#include "net/net_test_harness.h"
#include <stdio.h>

#define US             "192.0.2.1"
#define PEER           "192.0.2.9"
#define US6            "2001:db8:1::1"
#define NEIGH_ORDINARY (NET_NEIGHBOURS_MAX - NET_ROUTES_MAX)

/* Let net_tick run from `from` to `to` every 100 ms, as the worker does. */
static void run(struct harness *h, tg_ns from, tg_ns to)
{
    for (tg_ns now = from; now <= to; now += 100 * TG_MS)
        net_tick(h->net, now);
}

static int quiet_set_up(void **state)
{
    harness_set_up(state);
    struct harness *h = *state;
    net_tick(h->net, 0);
    take_all(h); /* announcements */
    return 0;
}
#define QUIET_TEST(name) cmocka_unit_test_setup_teardown(name, quiet_set_up, harness_tear_down)

static void packets_wait_and_leave_in_order(void **state)
{
    struct harness *h = *state;
    for (uint8_t i = 0; i < NET_NEIGH_QUEUE; i++)
        output(h, PEER, i, 0);
    expect_arp(h, 1, mac_broadcast, US, PEER); /* one request for all */
    expect_silence(h);
    feed_arp(h, 2, PEER, test_mac_peer, US, 0);
    for (uint8_t i = 0; i < NET_NEIGH_QUEUE; i++)
        expect_segment(h, test_mac_peer, i);
    expect_silence(h);
    output(h, PEER, 7, 0);
    expect_segment(h, test_mac_peer, 7);
    expect_silence(h);
}

static void full_queue_drops_the_oldest(void **state)
{
    struct harness *h = *state;
    for (uint8_t i = 0; i < NET_NEIGH_QUEUE + 3; i++)
        output(h, PEER, i, 0);
    assert_int_equal(counted(h, TG_C_net_neigh_queue_full), 3);
    expect_arp(h, 1, mac_broadcast, US, PEER);
    feed_arp(h, 2, PEER, test_mac_peer, US, 0);
    for (uint8_t i = 3; i < NET_NEIGH_QUEUE + 3; i++)
        expect_segment(h, test_mac_peer, i);
}

static void gateway_stands_for_what_is_behind_it(void **state)
{
    struct harness *h = *state;
    output(h, "203.0.113.5", 1, 0);
    output(h, "198.51.100.5", 2, 0);
    expect_arp(h, 1, mac_broadcast, US, "192.0.2.254");
    feed_arp(h, 2, "192.0.2.254", mac_other, US, 0);
    expect_segment(h, mac_other, 1);
    expect_segment(h, mac_other, 2);
}

static void silent_neighbour_is_asked_three_times_and_given_up(void **state)
{
    struct harness *h = *state;
    output(h, PEER, 1, 0);
    output(h, "2001:db8:1::9", 1, 0);
    for (unsigned i = 0; i < 3; i++) {
        expect_arp(h, 1, mac_broadcast, US, PEER);
        expect_nd(h, 135, (const uint8_t *)"\x33\x33\xff\0\0\x09", US6, "ff02::1:ff00:9",
                  "2001:db8:1::9", 0);
        expect_silence(h);
        run(h, i * TG_S, i * TG_S + 900 * TG_MS);
        expect_silence(h); /* not before a second has passed */
        assert_int_equal(h->pool.outstanding, 2);
        run(h, (i + 1) * TG_S, (i + 1) * TG_S);
    }
    expect_silence(h);
    assert_int_equal(h->pool.outstanding, 0);
    assert_int_equal(counted(h, TG_C_net_neigh_queue_full), 2);
    output(h, PEER, 2, 4 * TG_S); /* a new packet starts again */
    expect_arp(h, 1, mac_broadcast, US, PEER);
}

static void reachable_turns_stale_and_use_starts_a_probe(void **state)
{
    struct harness *h = *state;
    output(h, PEER, 1, 0);
    feed_arp(h, 2, PEER, test_mac_peer, US, 0);
    take_all(h);
    run(h, 0, 14 * TG_S);
    assert_true(neighbour(h, PEER)->reachable); /* 15 to 45 s, RFC 4861 s6.3.2 */
    run(h, 14 * TG_S, 46 * TG_S);
    assert_false(neighbour(h, PEER)->reachable);
    expect_silence(h); /* an unused neighbour is not asked */

    output(h, PEER, 2, 50 * TG_S);
    expect_arp(h, 1, test_mac_peer, US, PEER); /* unicast */
    expect_segment(h, test_mac_peer, 2);       /* without waiting */
    output(h, PEER, 3, 50 * TG_S);
    expect_segment(h, test_mac_peer, 3);
    expect_silence(h); /* one probe is enough */
    feed_arp(h, 2, PEER, test_mac_peer, US, 50 * TG_S);
    assert_true(neighbour(h, PEER)->reachable);
}

static void silent_probe_falls_back_to_everybody_then_gives_up(void **state)
{
    struct harness *h = *state;
    feed_arp(h, 1, PEER, test_mac_peer, US, 0);
    take_all(h);
    output(h, PEER, 1, 0);
    for (unsigned i = 1; i <= 3; i++) {
        expect_arp(h, 1, test_mac_peer, US, PEER);
        if (i == 1)
            expect_segment(h, test_mac_peer, 1);
        expect_silence(h);
        run(h, i * TG_S, i * TG_S);
    }
    assert_null(neighbour(h, PEER));
    for (unsigned i = 4; i <= 6; i++) {
        expect_arp(h, 1, mac_broadcast, US, PEER);
        expect_silence(h);
        run(h, i * TG_S, i * TG_S);
    }
    expect_silence(h);
}

static void unused_entry_is_forgotten(void **state)
{
    struct harness *h = *state;
    feed_arp(h, 1, PEER, test_mac_peer, US, 0);
    take_all(h);
    run(h, 599 * TG_S, 599 * TG_S);
    assert_non_null(neighbour(h, PEER));
    run(h, 600 * TG_S, 600 * TG_S);
    assert_null(neighbour(h, PEER));
}

/* "10.x.y.z" or "2001:db8:1::n" style name number i on the link. */
static const char *name(unsigned i)
{
    static char text[46];
    snprintf(text, sizeof text, "2001:db8:1::%x", 0x1000 + i);
    return text;
}

static void full_table_refuses_but_gateways_find_room(void **state)
{
    struct harness *h = *state;
    for (unsigned i = 0; i < NEIGH_ORDINARY; i++)
        output(h, name(i), 1, 0);
    assert_int_equal(counted(h, TG_C_net_neigh_full), 0);
    assert_int_equal(take_all(h), NEIGH_ORDINARY);
    output(h, PEER, 2, 0); /* dropped like on a wire */
    assert_int_equal(counted(h, TG_C_net_neigh_full), 1);
    expect_silence(h);
    output(h, "203.0.113.5", 3, 0);
    expect_arp(h, 1, mac_broadcast, US, "192.0.2.254");
    assert_int_equal(counted(h, TG_C_net_neigh_full), 1);
    run(h, TG_S, 3 * TG_S); /* the silent ones go, and there is room again */
    take_all(h);
    output(h, PEER, 4, 4 * TG_S);
    expect_arp(h, 1, mac_broadcast, US, PEER);
}

static void flood_of_requests_fills_a_part_only(void **state)
{
    struct harness *h = *state;
    output(h, PEER, 1, 0);
    feed_arp(h, 2, PEER, test_mac_peer, US, 0);
    take_all(h);
    for (unsigned i = 0; i < 1000; i++) {
        char source[46];
        snprintf(source, sizeof source, "%s", name(i));
        feed(h, nd_frame(h, 135, source, "ff02::1:ff00:1", US6, 0, mac_other), 0);
        take_all(h);
    }
    assert_int_equal(net_neighbours(h->net, NULL, 0), NET_NEIGHBOURS_MAX / 2 + 1);
    assert_int_equal(counted(h, TG_C_net_neigh_full), 1000 - NET_NEIGHBOURS_MAX / 2);
    assert_true(neighbour(h, PEER)->reachable);

    /* Our own packets push out what others have filled in, oldest first, and nothing else. */
    for (unsigned i = 2000; i < 2000 + NEIGH_ORDINARY - 1; i++)
        output(h, name(i), 1, 0);
    assert_int_equal(counted(h, TG_C_net_neigh_full), 1000 - NET_NEIGHBOURS_MAX / 2);
    assert_int_equal(net_neighbours(h->net, NULL, 0), 1);
    assert_true(neighbour(h, PEER)->reachable);
}

/* Make neighbour i known by its own request; `used`: we have sent to it, too, and it has answered. */
static void know(struct harness *h, unsigned i, bool used, tg_ns now)
{
    char text[46];
    snprintf(text, sizeof text, "%s", name(i));
    if (used)
        output(h, text, 1, now);
    else
        feed(h, nd_frame(h, 135, text, US6, US6, 0, mac_other), now);
    if (used)
        feed(h, nd_frame(h, 136, text, US6, text, 0x60, mac_other), now);
    take_all(h);
}

static void stale_entries_go_in_order_of_worth(void **state)
{
    struct harness *h = *state;
    for (unsigned i = 0; i < NEIGH_ORDINARY - 2; i++)
        know(h, i, true, 0);
    run(h, 46 * TG_S, 46 * TG_S); /* all stale now */
    know(h, 900, false, 50 * TG_S);
    know(h, 901, false, 60 * TG_S);
    assert_int_equal(net_neighbours(h->net, NULL, 0), NEIGH_ORDINARY);

    know(h, 902, false, 61 * TG_S); /* another's request evicts nobody */
    assert_int_equal(counted(h, TG_C_net_neigh_full), 1);
    assert_null(neighbour(h, name(902)));

    know(h, 903, true, 62 * TG_S); /* our own packet: first what we have never used ... */
    assert_null(neighbour(h, name(900)));
    assert_non_null(neighbour(h, name(901)));
    know(h, 904, true, 62 * TG_S);
    assert_null(neighbour(h, name(901)));
    assert_int_equal(net_neighbours(h->net, NULL, 0), NEIGH_ORDINARY);
    know(h, 905, true, 62 * TG_S); /* ... then a stale one, and never one in use */
    assert_int_equal(net_neighbours(h->net, NULL, 0), NEIGH_ORDINARY);
    assert_true(neighbour(h, name(903))->reachable && neighbour(h, name(904))->reachable);
    assert_int_equal(counted(h, TG_C_net_neigh_full), 1);
}

static void full_transmit_queue_drops_and_counts(void **state)
{
    struct harness *h = *state;
    output(h, PEER, 1, 0);
    feed_arp(h, 2, PEER, test_mac_peer, US, 0);
    take_all(h);
    assert_int_equal(net_tx_room(h->net), NET_TX_QUEUE);
    for (unsigned i = 0; i < NET_TX_QUEUE + 5; i++)
        output(h, PEER, 2, 0);
    assert_int_equal(net_tx_room(h->net), 0);
    assert_int_equal(counted(h, TG_C_io_tx_full), 5);
    assert_int_equal(take_all(h), NET_TX_QUEUE);
    assert_int_equal(net_tx_room(h->net), NET_TX_QUEUE);
}

/* A frame that is still held for retransmission waits without being freed or changed twice. */
static void shared_frame_keeps_its_other_holder(void **state)
{
    struct harness *h = *state;
    struct ip_emit ip = {
        .source = test_addr(US), .destination = test_addr(PEER), .proto = IP_PROTO_TCP};
    struct buf *b = test_buf(&h->pool.pool, "01234567890123456789", 20);
    buf_ref(b);
    assert_int_equal(net_output(h->net, b, &ip, 16, 0), TG_OK);
    run(h, TG_S, 3 * TG_S);
    take_all(h);
    assert_int_equal(b->refs, 1); /* given up: net's reference is gone */
    buf_unref(&h->pool.pool, b);
}

/* Anything in any order: no leak (tear-down), no assertion, and replies never believed unasked. */
static void random_walk_holds_together(void **state)
{
    struct harness *h = *state;
    struct prng p;
    prng_seed(&p, 20240607);
    tg_ns now = 0;
    for (unsigned step = 0; step < 60000; step++) {
        char who[46];
        snprintf(who, sizeof who, prng_below(&p, 2) ? "192.0.2.%u" : "2001:db8:1::%u",
                 (unsigned)prng_below(&p, 20) + 2);
        uint8_t mac[6] = {2, 0, 0, 0, 7, (uint8_t)prng_below(&p, 3)};
        bool is4 = strchr(who, ':') == NULL;
        now += prng_below(&p, 100) * TG_MS * (prng_below(&p, 50) ? 1 : 1000);
        h->pool.limit = prng_below(&p, 10) ? UINT32_MAX : h->pool.outstanding + 1;
        switch (prng_below(&p, 5)) {
        case 0:
            output(h, who, 1, now);
            break;
        case 1:
            net_tick(h->net, now);
            break;
        case 2: /* take some */
            for (uint64_t n = prng_below(&p, 5); n; n--)
                buf_unref(&h->pool.pool, take(h));
            break;
        case 3: /* reply, sometimes to others */
            if (is4)
                feed_arp(h, 2, who, mac, prng_below(&p, 3) ? US : "192.0.2.3", now);
            else
                feed(h, nd_frame(h, 136, who, US6, who, (uint8_t)prng_below(&p, 256), mac), now);
            break;
        case 4: /* request */
            if (is4)
                feed_arp(h, 1, who, mac, prng_below(&p, 3) ? US : who, now);
            else
                feed(h, nd_frame(h, 135, who, US6, US6, 0, prng_below(&p, 3) ? mac : NULL), now);
        }
        assert_true(net_neighbours(h->net, NULL, 0) <= 40);
    }
    h->pool.limit = UINT32_MAX;
    assert_true(counted(h, TG_C_net_neigh_queue_full) > 0);
    assert_int_equal(counted(h, TG_C_net_neigh_full), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QUIET_TEST(packets_wait_and_leave_in_order),
        QUIET_TEST(full_queue_drops_the_oldest),
        QUIET_TEST(gateway_stands_for_what_is_behind_it),
        QUIET_TEST(silent_neighbour_is_asked_three_times_and_given_up),
        QUIET_TEST(reachable_turns_stale_and_use_starts_a_probe),
        QUIET_TEST(silent_probe_falls_back_to_everybody_then_gives_up),
        QUIET_TEST(unused_entry_is_forgotten),
        QUIET_TEST(full_table_refuses_but_gateways_find_room),
        QUIET_TEST(flood_of_requests_fills_a_part_only),
        QUIET_TEST(stale_entries_go_in_order_of_worth),
        QUIET_TEST(full_transmit_queue_drops_and_counts),
        QUIET_TEST(shared_frame_keeps_its_other_holder),
        QUIET_TEST(random_walk_holds_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
