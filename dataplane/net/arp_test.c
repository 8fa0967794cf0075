/* SPDX-License-Identifier: BSD-3-Clause
 * ARP: whom we answer, whom we believe.
 */
#include "net/net_test_harness.h"

#define US   "192.0.2.1"
#define PEER "192.0.2.9"

static void request_for_us_is_answered_and_teaches(void **state)
{
    struct harness *h = *state;
    feed_arp(h, 1, PEER, test_mac_peer, US, 0);
    expect_arp(h, 2, test_mac_peer, US, PEER);
    expect_silence(h);
    expect_mac(h, PEER, test_mac_peer);
    assert_false(neighbour(h, PEER)->reachable); /* nobody has confirmed it yet */
    assert_int_equal(counted(h, TG_C_net_arp_in), 1);
}

static void only_one_worker_answers(void **state)
{
    struct harness *h = *state;
    net_destroy(h->net);
    h->config.answers = false;
    harness_start(h);
    feed_arp(h, 1, PEER, test_mac_peer, US, 0);
    expect_silence(h);
    expect_mac(h, PEER, test_mac_peer);
    net_tick(h->net, 0);
    expect_silence(h); /* and does not announce */
}

static void addresses_are_announced_once(void **state)
{
    struct harness *h = *state;
    net_tick(h->net, 0);
    expect_arp(h, 1, mac_broadcast, US, US);
    expect_nd(h, 136, (const uint8_t *)"\x33\x33\0\0\0\1", "2001:db8:1::1", "ff02::1",
              "2001:db8:1::1", 0x20);
    expect_silence(h);
    net_tick(h->net, TG_S);
    expect_silence(h);
}

static void request_for_others_is_ignored(void **state)
{
    struct harness *h = *state;
    feed_arp(h, 1, PEER, test_mac_peer, "192.0.2.77", 0);
    expect_silence(h);
    assert_null(neighbour(h, PEER));
}

static void probe_is_answered_but_teaches_nothing(void **state)
{
    struct harness *h = *state;
    feed_arp(h, 1, "0.0.0.0", test_mac_peer, US, 0); /* RFC 5227 s2.1.1 */
    expect_arp(h, 2, test_mac_peer, US, "0.0.0.0");
    assert_int_equal(net_neighbours(h->net, NULL, 0), 0);
}

static void sender_off_the_link_is_answered_but_not_learned(void **state)
{
    struct harness *h = *state;
    feed_arp(h, 1, "203.0.113.5", test_mac_peer, US, 0);
    assert_int_equal(take_all(h), 1);
    feed_arp(h, 1, "192.0.2.255", test_mac_peer, US, 0); /* the subnet's broadcast address */
    assert_int_equal(take_all(h), 1);
    assert_int_equal(net_neighbours(h->net, NULL, 0), 0);
}

static void our_address_claimed_by_another_is_not_believed(void **state)
{
    struct harness *h = *state;
    feed_arp(h, 1, US, mac_other, US, 0);
    feed_arp(h, 2, US, mac_other, US, 0);
    feed_arp(h, 1, US, mac_other, PEER, 0);
    expect_silence(h);
    assert_int_equal(counted(h, TG_C_net_arp_bad), 3);
    assert_int_equal(net_neighbours(h->net, NULL, 0), 0);
}

/* Make PEER reachable at test_mac_peer, as far as we know. */
static void resolve(struct harness *h, tg_ns now)
{
    output(h, PEER, 'r', now);
    expect_arp(h, 1, mac_broadcast, US, PEER);
    feed_arp(h, 2, PEER, test_mac_peer, US, now);
    expect_segment(h, test_mac_peer, 'r');
    assert_true(neighbour(h, PEER)->reachable);
}

static void unasked_replies_make_no_entry(void **state)
{
    struct harness *h = *state;
    feed_arp(h, 2, PEER, mac_other, US, 0);
    feed_arp(h, 2, PEER, mac_other, PEER, 0);
    feed_arp(h, 1, PEER, mac_other, PEER, 0);
    assert_int_equal(net_neighbours(h->net, NULL, 0), 0);
    expect_silence(h);
}

/* Each kind of claim by another MAC: the entry stays, and we ask the owner. */
static void nobody_takes_over_an_entry_in_use(void **state)
{
    struct harness *h = *state;
    const struct {
        uint16_t operation;
        const char *target;
    } claims[] = {{1, PEER}, {2, PEER}, {2, US}, {1, US}, {1, "192.0.2.77"}};
    resolve(h, 0);
    for (unsigned i = 0; i < TG_ARRAY_LEN(claims); i++) {
        feed_arp(h, claims[i].operation, PEER, mac_other, claims[i].target, TG_S);
        expect_arp(h, 1, test_mac_peer, US, PEER); /* unicast: is it still you? */
        if (claims[i].operation == 1 && i == 3)
            expect_arp(h, 2, mac_other, US, PEER); /* asked, it gets its answer */
        expect_mac(h, PEER, test_mac_peer);
        feed_arp(h, 2, PEER, mac_other, US, TG_S); /* the forger answers: not whom we asked */
        expect_mac(h, PEER, test_mac_peer);
        assert_false(neighbour(h, PEER)->reachable);
        feed_arp(h, 2, PEER, test_mac_peer, US, TG_S);
        expect_mac(h, PEER, test_mac_peer);
        assert_true(neighbour(h, PEER)->reachable);
        expect_silence(h);
    }
}

/* A real take-over (fail-over of a router): the old owner is silent, then everybody is asked. */
static void silent_owner_loses_the_entry_to_its_successor(void **state)
{
    struct harness *h = *state;
    resolve(h, 0);
    net_tick(h->net, 0);
    take_all(h); /* announcements */
    feed_arp(h, 1, PEER, mac_other, PEER, TG_S);
    expect_arp(h, 1, test_mac_peer, US, PEER);
    net_tick(h->net, 2 * TG_S);
    expect_arp(h, 1, mac_broadcast, US, PEER);
    output(h, PEER, 'w', 2 * TG_S);
    expect_silence(h);
    feed_arp(h, 2, PEER, mac_other, US, 2 * TG_S);
    expect_segment(h, mac_other, 'w');
}

static void request_to_us_replaces_a_stale_entry(void **state)
{
    struct harness *h = *state;
    feed_arp(h, 1, PEER, test_mac_peer, US, 0);
    feed_arp(h, 1, PEER, mac_other, US, 0); /* RFC 826: merge */
    expect_mac(h, PEER, mac_other);
    take_all(h);
}

static void request_to_us_completes_an_unresolved_entry(void **state)
{
    struct harness *h = *state;
    output(h, PEER, 'a', 0);
    expect_arp(h, 1, mac_broadcast, US, PEER);
    feed_arp(h, 1, PEER, test_mac_peer, US, 0);
    expect_arp(h, 1, test_mac_peer, US, PEER); /* used before it is confirmed: asked */
    expect_segment(h, test_mac_peer, 'a');
    expect_arp(h, 2, test_mac_peer, US, PEER);
}

/* A reply addressed to somebody else on either layer is a rumour. */
static void reply_must_be_addressed_to_us(void **state)
{
    struct harness *h = *state;
    struct ip_addr peer = test_addr(PEER), us = test_addr(US), third = test_addr("192.0.2.3");
    output(h, PEER, 'a', 0);
    expect_arp(h, 1, mac_broadcast, US, PEER);
    struct buf *b = test_frame_arp(&h->pool.pool, 2, mac_other, &peer, test_mac_ours, &us);
    memcpy(b->data, mac_broadcast, 6);
    feed(h, b, 0);
    feed(h, test_frame_arp(&h->pool.pool, 2, mac_other, &peer, mac_other, &us), 0);
    feed(h, test_frame_arp(&h->pool.pool, 2, mac_other, &peer, test_mac_ours, &third), 0);
    assert_null(neighbour(h, PEER));
    expect_silence(h);
}

static void malformed_packets_are_counted(void **state)
{
    struct harness *h = *state;
    const struct {
        uint8_t offset, value;
    } lies[] = {{0, 1}, {1, 6}, {2, 0x86}, {3, 1},    {4, 8},  {5, 16},   {6, 1},    {7, 0},
                {7, 3}, {7, 8}, {8, 0x03}, {8, 0xff}, {14, 0}, {14, 127}, {14, 224}, {14, 255}};
    for (unsigned i = 0; i < TG_ARRAY_LEN(lies); i++) {
        struct ip_addr peer = test_addr(PEER), us = test_addr(US);
        struct buf *b = test_frame_arp(&h->pool.pool, 1, test_mac_peer, &peer, test_mac_ours, &us);
        b->data[ETH_BYTES + lies[i].offset] = lies[i].value;
        feed(h, b, 0);
        assert_int_equal(counted(h, TG_C_net_arp_bad), i + 1);
    }
    feed_arp(h, 1, PEER, (const uint8_t *)"\0\0\0\0\0\0", US, 0);
    feed_arp(h, 2, "0.0.0.0", test_mac_peer, US, 0); /* only a request may be a probe */
    assert_int_equal(counted(h, TG_C_net_arp_bad), TG_ARRAY_LEN(lies) + 2);
    expect_silence(h);
    assert_int_equal(net_neighbours(h->net, NULL, 0), 0);
}

static void empty_pool_means_no_answer(void **state)
{
    struct harness *h = *state;
    h->pool.limit = 1; /* the request itself */
    feed_arp(h, 1, PEER, test_mac_peer, US, 0);
    expect_silence(h);
    expect_mac(h, PEER, test_mac_peer);
    assert_int_equal(h->pool.outstanding, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(request_for_us_is_answered_and_teaches),
        HARNESS_TEST(only_one_worker_answers),
        HARNESS_TEST(addresses_are_announced_once),
        HARNESS_TEST(request_for_others_is_ignored),
        HARNESS_TEST(probe_is_answered_but_teaches_nothing),
        HARNESS_TEST(sender_off_the_link_is_answered_but_not_learned),
        HARNESS_TEST(our_address_claimed_by_another_is_not_believed),
        HARNESS_TEST(unasked_replies_make_no_entry),
        HARNESS_TEST(nobody_takes_over_an_entry_in_use),
        HARNESS_TEST(silent_owner_loses_the_entry_to_its_successor),
        HARNESS_TEST(request_to_us_replaces_a_stale_entry),
        HARNESS_TEST(request_to_us_completes_an_unresolved_entry),
        HARNESS_TEST(reply_must_be_addressed_to_us),
        HARNESS_TEST(malformed_packets_are_counted),
        HARNESS_TEST(empty_pool_means_no_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
