/* SPDX-License-Identifier: BSD-3-Clause
 * What icmp_test, neigh_test and wire_parse_test show over IPv4, shown over IPv6 where it is other code or another message.
 */
#include "net/net_internal.h"
#include "net/net_test_harness.h"
#include <stdio.h>

#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_set_up, harness_tear_down)
#define US         "2001:db8:1::1"
#define PEER       "2001:db8:1::9"

static struct buf *icmp6(struct harness *h, const char *from, const char *to, uint8_t type,
                         uint32_t word, struct span body)
{
    struct ip_addr source = test_addr(from), destination = test_addr(to);
    return test_frame_icmp(&h->pool.pool, &source, &destination, type, 0, word, body);
}

/* Our own SYN as a router quotes it. */
static struct span quote(uint8_t out[48])
{
    struct ip_addr source = test_addr(US), destination = test_addr(PEER);
    memset(out, 0, 48);
    out[0] = 0x60;
    out[5] = TCP_BYTES;
    out[6] = IP_PROTO_TCP;
    out[7] = 64;
    memcpy(out + 8, source.bytes, 16);
    memcpy(out + 24, destination.bytes, 16);
    wire_put16(out + 40, 4000);
    wire_put16(out + 42, 80);
    return span_make(out, 48);
}

static void errors_from_ourselves_are_forged(void **state)
{
    struct harness *h = *state;
    uint8_t q[48];
    net_destroy(h->net);
    h->config.addresses[2] = (struct net_address){test_addr("2001:db8:1::2"), 64, 0};
    h->config.address_count = 3;
    harness_start(h);
    feed(h, icmp6(h, "2001:db8:1::2", US, 1, 0, quote(q)), 0);
    feed(h, icmp6(h, "2001:db8:1::2", US, 128, 0, SPAN_EMPTY), 0);
    assert_int_equal(counted(h, TG_C_net_icmp_bad), 2);
    assert_int_equal(h->errors, 0);
    expect_silence(h);
    feed(h, icmp6(h, "2001:db8:7::7", US, 1, 0, quote(q)), 0); /* a router's counts */
    assert_int_equal(h->errors, 1);
}

static void echo_answers_are_limited(void **state)
{
    struct harness *h = *state;
    for (unsigned i = 0; i < 1000; i++)
        feed(h, icmp6(h, PEER, US, 128, 1, SPAN_EMPTY), 5 * TG_S);
    assert_int_equal(counted(h, TG_C_net_icmp_limited), 900);
    assert_int_equal(counted(h, TG_C_net_icmp_echo), 100);
    (void)take_all(
        h); /* a solicitation: the answers wait for the peer's MAC, and but a few are dropped */
}

/* Packets to addresses of the link that nobody has: the table stays as large, those who are refused are counted. */
static void made_up_destinations_fill_the_table_only(void **state)
{
    struct harness *h = *state;
    for (unsigned i = 0; i < 5000; i++) {
        char name[40];
        snprintf(name, sizeof name, "2001:db8:1::7:%x", i + 1);
        struct buf *b = test_buf(&h->pool.pool, "01234567", 8);
        struct ip_emit ip = {.source = test_addr(US), .destination = test_addr(name), .proto = 17};
        (void)!net_output(h->net, b, &ip, 6, TG_S);
        (void)take_all(h);
    }
    assert_true(net_neighbours(h->net, NULL, 0) <= NET_NEIGHBOURS_MAX);
    assert_true(h->pool.outstanding <= NET_NEIGHBOURS_MAX * NET_NEIGH_QUEUE);
    assert_true(counted(h, TG_C_net_neigh_full) > 4000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(errors_from_ourselves_are_forged),
        TEST(echo_answers_are_limited),
        TEST(made_up_destinations_fill_the_table_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
