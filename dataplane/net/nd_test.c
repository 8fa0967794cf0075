/* SPDX-License-Identifier: BSD-3-Clause
 * IPv6 neighbour discovery: whom we answer, whom we believe, what RFC 4861 s7.1 refuses.
 */
#include "net/net_test_harness.h"

#define US         "2001:db8:1::1"
#define PEER       "2001:db8:1::9"
#define US_GROUP   "ff02::1:ff00:1"
#define PEER_GROUP "ff02::1:ff00:9"
enum { NS = 135, NA = 136, SOLICITED = 0x40, OVERRIDE = 0x20 };

static const uint8_t peer_group_mac[6] = {0x33, 0x33, 0xff, 0, 0, 9};
static const uint8_t all_nodes_mac[6] = {0x33, 0x33, 0, 0, 0, 1};

static void solicitation_for_us_is_answered_and_teaches(void **state)
{
    struct harness *h = *state;
    const char *const destinations[] = {US_GROUP, US};
    for (unsigned i = 0; i < 2; i++) {
        feed(h, nd_frame(h, NS, PEER, destinations[i], US, 0, mac_other), 0);
        expect_nd(h, NA, mac_other, US, PEER, US, SOLICITED | OVERRIDE);
        expect_silence(h);
        expect_mac(h, PEER, mac_other);
    }
    assert_int_equal(counted(h, TG_C_net_nd_in), 2);
}

static void unicast_probe_without_option_is_answered_to_the_frame(void **state)
{
    struct harness *h = *state;
    feed(h, nd_frame(h, NS, PEER, US, US, 0, NULL), 0);
    expect_nd(h, NA, test_mac_peer, US, PEER, US, SOLICITED | OVERRIDE);
    assert_null(neighbour(h, PEER));
}

static void link_local_asker_is_answered(void **state)
{
    struct harness *h = *state;
    feed(h, nd_frame(h, NS, "fe80::9", US_GROUP, US, 0, mac_other), 0);
    expect_nd(h, NA, mac_other, US, "fe80::9", US, SOLICITED | OVERRIDE);
    expect_mac(h, "fe80::9", mac_other);
}

/* RFC 4861 s7.2.4: the asker has no address yet, so everybody hears it. */
static void duplicate_detection_is_answered_to_all(void **state)
{
    struct harness *h = *state;
    feed(h, nd_frame(h, NS, "::", US_GROUP, US, 0, NULL), 0);
    expect_nd(h, NA, all_nodes_mac, US, "ff02::1", US, OVERRIDE);
    assert_int_equal(net_neighbours(h->net, NULL, 0), 0);
}

static void only_one_worker_answers(void **state)
{
    struct harness *h = *state;
    net_destroy(h->net);
    h->config.answers = false;
    harness_start(h);
    feed(h, nd_frame(h, NS, PEER, US_GROUP, US, 0, mac_other), 0);
    expect_silence(h);
    expect_mac(h, PEER, mac_other);
}

static void solicitation_for_others_is_ignored(void **state)
{
    struct harness *h = *state;
    feed(h, nd_frame(h, NS, PEER, "ff02::1:ff00:77", "2001:db8:1::77", 0, mac_other), 0);
    expect_silence(h);
    assert_int_equal(net_neighbours(h->net, NULL, 0), 0);
}

static void sender_off_the_link_is_not_learned(void **state)
{
    struct harness *h = *state;
    feed(h, nd_frame(h, NS, "2001:db8:2::9", US_GROUP, US, 0, mac_other), 0);
    assert_int_equal(take_all(h), 1);
    assert_int_equal(net_neighbours(h->net, NULL, 0), 0);
}

static void neighbour_is_asked_by_its_group_and_settled_by_its_answer(void **state)
{
    struct harness *h = *state;
    output(h, PEER, 'a', 0);
    expect_nd(h, NS, peer_group_mac, US, PEER_GROUP, PEER, 0);
    expect_silence(h);
    feed(h, nd_frame(h, NA, PEER, US, PEER, SOLICITED | OVERRIDE, mac_other), 0);
    expect_segment(h, mac_other, 'a');
    assert_true(neighbour(h, PEER)->reachable);
}

static void resolve(struct harness *h)
{
    output(h, PEER, 'r', 0);
    feed(h, nd_frame(h, NA, PEER, US, PEER, SOLICITED | OVERRIDE, test_mac_peer), 0);
    assert_int_equal(take_all(h), 2);
}

static void unresolved_entry_needs_the_option(void **state)
{
    struct harness *h = *state;
    output(h, PEER, 'a', 0);
    take_all(h);
    feed(h, nd_frame(h, NA, PEER, US, PEER, SOLICITED, NULL), 0);
    assert_null(neighbour(h, PEER));
    expect_silence(h);
}

/* A probe may be answered without the option: the MAC stays. */
static void probe_is_settled_without_the_option(void **state)
{
    struct harness *h = *state;
    feed(h, nd_frame(h, NS, PEER, US_GROUP, US, 0, mac_other), 0);
    take_all(h);
    output(h, PEER, 'a', 0); /* stale: used and asked */
    expect_nd(h, NS, mac_other, US, PEER, PEER, 0);
    expect_segment(h, mac_other, 'a');
    feed(h, nd_frame(h, NA, PEER, US, PEER, SOLICITED, NULL), 0);
    assert_true(neighbour(h, PEER)->reachable);
    expect_mac(h, PEER, mac_other);
}

static void nobody_takes_over_an_entry_in_use(void **state)
{
    struct harness *h = *state;
    resolve(h);
    struct buf *claims[] = {
        nd_frame(h, NA, PEER, "ff02::1", PEER, OVERRIDE, mac_other),
        nd_frame(h, NA, PEER, US, PEER, OVERRIDE, mac_other),
        nd_frame(h, NA, PEER, US, PEER, SOLICITED | OVERRIDE, mac_other),
        nd_frame(h, NS, PEER, US_GROUP, US, 0, mac_other),
    };
    for (unsigned i = 0; i < TG_ARRAY_LEN(claims); i++) {
        feed(h, claims[i], TG_S);
        expect_nd(h, NS, test_mac_peer, US, PEER, PEER, 0); /* unicast: is it still you? */
        take_all(h);                                        /* the solicitation's answer */
        expect_mac(h, PEER, test_mac_peer);
        feed(h, nd_frame(h, NA, PEER, US, PEER, SOLICITED | OVERRIDE, mac_other), TG_S);
        expect_mac(h, PEER, test_mac_peer);
        feed(h, nd_frame(h, NA, PEER, US, PEER, SOLICITED, test_mac_peer), TG_S);
        assert_true(neighbour(h, PEER)->reachable);
        expect_silence(h);
    }
}

static void unasked_advertisement_makes_no_entry(void **state)
{
    struct harness *h = *state;
    feed(h, nd_frame(h, NA, PEER, "ff02::1", PEER, OVERRIDE, mac_other), 0);
    feed(h, nd_frame(h, NA, PEER, US, PEER, SOLICITED | OVERRIDE, mac_other), 0);
    assert_int_equal(net_neighbours(h->net, NULL, 0), 0);
}

static void routers_and_redirects_change_nothing(void **state)
{
    struct harness *h = *state;
    for (uint8_t type = 133; type <= 137; type = (uint8_t)(type + (type == 134 ? 3 : 1)))
        feed(h, nd_frame(h, type, "fe80::1", "ff02::1", PEER, 0, mac_other), 0);
    expect_silence(h);
    assert_int_equal(net_neighbours(h->net, NULL, 0), 0);
    assert_int_equal(counted(h, TG_C_net_nd_in), 3);
    struct ip_addr source, outside = test_addr("2001:db8:ffff::1");
    assert_int_equal(net_source_for(h->net, &outside, &source), TG_OK);
}

/* Set one byte of an ICMPv6 packet, put the checksum right, feed. */
static void feed_patched(struct harness *h, struct buf *b, unsigned offset, uint8_t value)
{
    b->data[offset] = value;
    uint8_t *icmp = b->data + ETH_BYTES + IP6_BYTES;
    uint16_t len = (uint16_t)(b->len - ETH_BYTES - IP6_BYTES);
    struct ip_addr s, d;
    memcpy(s.bytes, b->data + ETH_BYTES + 8, 16);
    memcpy(d.bytes, b->data + ETH_BYTES + 24, 16);
    wire_put16(icmp + 2, 0);
    uint32_t sum = wire_sum_pseudo(&s, &d, IP_PROTO_ICMP6, len);
    wire_put16(icmp + 2, wire_sum_finish(wire_sum(sum, span_make(icmp, len))));
    feed(h, b, 0);
}

static void what_rfc4861_refuses_is_refused(void **state)
{
    struct harness *h = *state;
    enum { ICMP = ETH_BYTES + IP6_BYTES };
    const struct {
        unsigned offset;
        uint8_t value;
    } lies[] = {{ETH_BYTES + 7, 254}, {ETH_BYTES + 7, 0}, /* hop limit */
                {ICMP + 1, 1},                            /* code */
                {ICMP + 8, 0xff},                         /* target: a group */
                {ICMP + 25, 0},                           /* option of no length */
                {ICMP + 25, 2},       {ICMP + 25, 255},   /* past the end */
                {ICMP + 26, 1}};                          /* a group's MAC */
    unsigned bad = 0;
    for (unsigned i = 0; i < TG_ARRAY_LEN(lies); i++) {
        feed_patched(h, nd_frame(h, NS, PEER, US_GROUP, US, 0, mac_other), lies[i].offset,
                     lies[i].value);
        feed_patched(h, nd_frame(h, NA, PEER, US, PEER, SOLICITED, mac_other), lies[i].offset,
                     lies[i].value);
        bad += 2;
        assert_int_equal(counted(h, TG_C_net_nd_bad), bad);
    }
    struct buf *const frames[] = {
        nd_frame(h, NA, PEER, "ff02::1", PEER, SOLICITED, mac_other), /* solicited, to a group */
        nd_frame(h, NA, PEER, US, US, SOLICITED, mac_other),          /* our address */
        nd_frame(h, NS, US, "ff02::1:ff00:9", PEER, 0, mac_other),    /* from our address */
        nd_frame(h, NS, "::", US_GROUP, US, 0, mac_other),            /* DAD with the option */
        nd_frame(h, NS, "::", "ff02::1", US, 0, NULL),                /* DAD to another group */
    };
    for (unsigned i = 0; i < TG_ARRAY_LEN(frames); i++) {
        feed(h, frames[i], 0);
        assert_int_equal(counted(h, TG_C_net_nd_bad), ++bad);
    }
    expect_silence(h);
    assert_int_equal(net_neighbours(h->net, NULL, 0), 0);
}

static void short_messages_are_refused(void **state)
{
    struct harness *h = *state;
    struct ip_addr s = test_addr(PEER), d = test_addr(US_GROUP);
    uint8_t body[16] = {0};
    for (uint8_t n = 0; n < 16; n++)
        feed(h, test_frame_icmp(&h->pool.pool, &s, &d, NS, 0, 0, span_make(body, n)), 0);
    assert_int_equal(counted(h, TG_C_net_nd_bad), 16);
}

/* Several options; one unknown is skipped, one byte left over is an error. */
static void options_are_walked(void **state)
{
    struct harness *h = *state;
    struct ip_addr s = test_addr(PEER), d = test_addr(US_GROUP), t = test_addr(US);
    uint8_t body[16 + 24 + 1] = {0};
    memcpy(body, t.bytes, 16);
    memcpy(body + 16, "\x0e\2nonce---------\1\1\2\0\0\0\0\x99", 24);
    feed(h, test_frame_icmp(&h->pool.pool, &s, &d, NS, 0, 0, span_make(body, 40)), 0);
    expect_nd(h, NA, mac_other, US, PEER, US, SOLICITED | OVERRIDE);
    feed(h, test_frame_icmp(&h->pool.pool, &s, &d, NS, 0, 0, span_make(body, 41)), 0);
    body[17] = 4; /* the unknown one claims more than there is */
    feed(h, test_frame_icmp(&h->pool.pool, &s, &d, NS, 0, 0, span_make(body, 40)), 0);
    body[16] = 1; /* ours, but not of an Ethernet address's length */
    body[17] = 3;
    feed(h, test_frame_icmp(&h->pool.pool, &s, &d, NS, 0, 0, span_make(body, 40)), 0);
    expect_silence(h);
    assert_int_equal(counted(h, TG_C_net_nd_bad), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HARNESS_TEST(solicitation_for_us_is_answered_and_teaches),
        HARNESS_TEST(unicast_probe_without_option_is_answered_to_the_frame),
        HARNESS_TEST(link_local_asker_is_answered),
        HARNESS_TEST(duplicate_detection_is_answered_to_all),
        HARNESS_TEST(only_one_worker_answers),
        HARNESS_TEST(solicitation_for_others_is_ignored),
        HARNESS_TEST(sender_off_the_link_is_not_learned),
        HARNESS_TEST(neighbour_is_asked_by_its_group_and_settled_by_its_answer),
        HARNESS_TEST(unresolved_entry_needs_the_option),
        HARNESS_TEST(probe_is_settled_without_the_option),
        HARNESS_TEST(nobody_takes_over_an_entry_in_use),
        HARNESS_TEST(unasked_advertisement_makes_no_entry),
        HARNESS_TEST(routers_and_redirects_change_nothing),
        HARNESS_TEST(what_rfc4861_refuses_is_refused),
        HARNESS_TEST(short_messages_are_refused),
        HARNESS_TEST(options_are_walked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
