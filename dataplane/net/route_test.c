/* SPDX-License-Identifier: BSD-3-Clause
 * Own addresses, routes, source choice, the frame that leaves, and configurations that must be
 * refused.
 */
#include "net/net_test_harness.h"

static const uint8_t mac_port1[6] = {0x02, 0, 0, 0, 1, 0x02};

/* Two ports; a more specific route and a host route beside the defaults. */
static int set_up(void **state)
{
    harness_set_up(state);
    struct harness *h = *state;
    net_destroy(h->net);
    struct net_config *c = &h->config;
    c->port_count = 2;
    memcpy(c->ports[1].mac, mac_port1, 6);
    c->ports[1].mtu = 1400;
    c->ports[1].tx_ip_checksum = c->ports[1].tx_l4_checksum = true;
    c->addresses[2] = (struct net_address){test_addr("10.1.0.1"), 96 + 16, 1};
    c->addresses[3] = (struct net_address){test_addr("2001:db8:2::1"), 64, 1};
    c->addresses[4] = (struct net_address){test_addr("203.0.113.80"), 128, 0}; /* anycast */
    c->addresses[5] = (struct net_address){test_addr("2001:db8:80::80"), 128, 0};
    c->address_count = 6;
    c->routes[2] = (struct net_route){test_addr("198.51.100.0"), 96 + 24, test_addr("10.1.0.7"), 1};
    c->routes[3] = (struct net_route){test_addr("198.51.100.9"), 128, test_addr("192.0.2.9"), 0};
    c->routes[4] = (struct net_route){test_addr("2001:db8:9::"), 48, test_addr("fe80::7"), 1};
    c->route_count = 5;
    harness_start(h);
    return 0;
}
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, harness_tear_down)

static void expect_source(struct harness *h, const char *destination, const char *source)
{
    struct ip_addr d = test_addr(destination), s = test_addr("::");
    char text[46];
    assert_int_equal(net_source_for(h->net, &d, &s), TG_OK);
    assert_string_equal(ip_addr_text(&s, text), source);
}

static void source_follows_the_route(void **state)
{
    struct harness *h = *state;
    expect_source(h, "192.0.2.77", "192.0.2.1");
    expect_source(h, "8.8.8.8", "192.0.2.1");
    expect_source(h, "10.1.200.1", "10.1.0.1");
    expect_source(h, "198.51.100.1", "10.1.0.1");  /* longer than the default */
    expect_source(h, "198.51.100.9", "192.0.2.1"); /* longest */
    expect_source(h, "2001:db8:1::9", "2001:db8:1::1");
    expect_source(h, "2001:db8:2::9", "2001:db8:2::1");
    expect_source(h, "2001:db8:9:1::1", "2001:db8:2::1");
    expect_source(h, "2001:4860::1", "2001:db8:1::1");
}

/* An answer to a service address would come to whichever node is nearest to the other end: what we open
 * comes from the port's first address, however near the service address looks. */
static void service_addresses_are_no_source(void **state)
{
    struct harness *h = *state;
    expect_source(h, "203.0.113.81", "192.0.2.1");
    expect_source(h, "2001:db8:80::81", "2001:db8:1::1");
}

static void mtu_is_the_ports(void **state)
{
    struct harness *h = *state;
    struct ip_addr a = test_addr("8.8.8.8"), b = test_addr("198.51.100.1");
    assert_int_equal(net_mtu(h->net, &a), 1500);
    assert_int_equal(net_mtu(h->net, &b), 1400);
}

static void own_addresses_are_known(void **state)
{
    struct harness *h = *state;
    const struct {
        const char *text;
        bool local, broadcast;
    } cases[] = {
        {"192.0.2.1", true, false},      {"192.0.2.2", false, false},
        {"10.1.0.1", true, false},       {"203.0.113.80", true, false},
        {"2001:db8:1::1", true, false},  {"2001:db8:1::2", false, false},
        {"ff02::1:ff00:1", true, false}, {"ff02::1:ff00:2", false, false},
        {"ff02::1", false, false},       {"192.0.2.255", false, true},
        {"10.1.255.255", false, true},   {"10.1.0.255", false, false},
        {"203.0.113.255", false, false}, {"ff02::1:ff00:7150", false, false},
    };
    for (unsigned i = 0; i < TG_ARRAY_LEN(cases); i++) {
        struct ip_addr a = test_addr(cases[i].text);
        assert_int_equal(net_is_local(h->net, &a), cases[i].local);
        assert_int_equal(net_is_broadcast(h->net, &a), cases[i].broadcast);
    }
}

static void refuse(struct harness *h, const char *destination)
{
    struct ip_addr d = test_addr(destination), s;
    assert_int_equal(net_source_for(h->net, &d, &s), TG_UNREACHABLE);
    uint64_t before = counted(h, TG_C_net_no_route);
    assert_int_equal(try_output(h, destination, 1, 0), TG_UNREACHABLE);
    assert_int_equal(counted(h, TG_C_net_no_route), before + 1);
    assert_int_equal(h->pool.outstanding, 0);
    expect_silence(h);
}

static void ourselves_and_groups_are_unreachable(void **state)
{
    struct harness *h = *state;
    refuse(h, "192.0.2.1");
    refuse(h, "203.0.113.80");
    refuse(h, "2001:db8:2::1");
    refuse(h, "192.0.2.255");
    refuse(h, "224.0.0.1");
    refuse(h, "255.255.255.255");
    refuse(h, "ff02::1");
}

static void without_a_route_there_is_none(void **state)
{
    struct harness *h = *state;
    net_destroy(h->net);
    h->config.route_count = 2; /* and the second one is ::/0, which must not swallow IPv4 */
    h->config.routes[0] = h->config.routes[1];
    harness_start(h);
    refuse(h, "8.8.8.8");
    expect_source(h, "2001:4860::1", "2001:db8:1::1");
}

static void frame_is_whole_and_leaves_by_its_port(void **state)
{
    struct harness *h = *state;
    output(h, "198.51.100.1", 7, 0);
    struct buf *b = take(h);
    assert_int_equal(b->port, 1);
    assert_memory_equal(b->data + 6, mac_port1, 6);
    assert_memory_equal(b->data + 38, "\x0a\1\0\7", 4); /* asks for the gateway ... */
    assert_memory_equal(b->data + 28, "\x0a\1\0\1", 4); /* ... with the port's own address */
    buf_unref(&h->pool.pool, b);

    struct ip_addr gateway = test_addr("10.1.0.7"), us = test_addr("10.1.0.1");
    b = test_frame_arp(&h->pool.pool, 2, mac_other, &gateway, mac_port1, &us);
    b->port = 1;
    feed(h, b, 0);
    b = take(h);
    assert_int_equal(b->port, 1);
    assert_memory_equal(b->data, mac_other, 6);
    assert_memory_equal(b->data + 6, mac_port1, 6);
    assert_int_equal(b->flags, BUF_TX_IP_CSUM | BUF_TX_L4_CSUM); /* what port 1 offers */
    assert_int_equal(b->l3, 14);
    assert_int_equal(b->l4, 34);
    assert_int_equal(b->len, 34 + 21);
    buf_unref(&h->pool.pool, b);
}

static void link_local_gateway_is_asked_by_nd(void **state)
{
    struct harness *h = *state;
    output(h, "2001:db8:9::1", 7, 0);
    struct buf *b = take(h);
    assert_int_equal(b->port, 1);
    assert_memory_equal(b->data, "\x33\x33\xff\0\0\7", 6);
    assert_int_equal(wire_parse(b, &h->toeplitz), TG_C_none);
    struct ip_addr target, want = test_addr("fe80::7"), source = wire_source(b);
    memcpy(target.bytes, wire_l4(b) + 8, 16);
    assert_true(ip_addr_equal(&target, &want));
    want = test_addr("2001:db8:2::1");
    assert_true(ip_addr_equal(&source, &want));
    buf_unref(&h->pool.pool, b);
}

/* An answer on the wrong port is somebody else's network. */
static void neighbours_of_two_ports_are_apart(void **state)
{
    struct harness *h = *state;
    output(h, "198.51.100.1", 7, 0);
    assert_int_equal(take_all(h), 1);
    struct ip_addr gateway = test_addr("10.1.0.7"), us = test_addr("10.1.0.1");
    struct buf *b = test_frame_arp(&h->pool.pool, 2, mac_other, &gateway, test_mac_ours, &us);
    b->port = 0;
    feed(h, b, 0);
    expect_silence(h);
    /* A request for an address that lives on the other port gets no answer. */
    feed_arp(h, 1, "192.0.2.9", test_mac_peer, "10.1.0.1", 0);
    expect_silence(h);
}

static void mac_of_a_frame_is_checked(void **state)
{
    struct harness *h = *state;
    struct ip_tuple t = {test_addr("192.0.2.1"), test_addr("192.0.2.9"), 80, 1000};
    struct buf *b = test_frame_udp(&h->pool.pool, &t, SPAN_EMPTY);
    assert_true(net_accepts_mac(h->net, b));
    b->port = 1;
    assert_false(net_accepts_mac(h->net, b));
    memcpy(b->data, mac_broadcast, 6);
    assert_true(net_accepts_mac(h->net, b));
    buf_unref(&h->pool.pool, b);
}

static void transport_packets_are_not_nets(void **state)
{
    struct harness *h = *state;
    struct ip_tuple t = {test_addr("192.0.2.1"), test_addr("192.0.2.9"), 80, 1000};
    feed(h, test_frame_udp(&h->pool.pool, &t, SPAN_EMPTY), 0);
    assert_int_equal(counted(h, TG_C_net_protocol), 1);
    expect_silence(h);
}

static void refuse_config(const struct net_config *c, struct harness *h)
{
    struct net *net = (struct net *)h;
    assert_int_equal(net_create(c, &h->pool.pool, &h->stats, &h->toeplitz, 1, NULL, NULL, &net),
                     TG_BAD_CONFIG);
    assert_ptr_equal(net, h); /* a failed call changes nothing */
}

static void bad_configurations_are_refused(void **state)
{
    struct harness *h = *state;
    struct net_config good = h->config, c;
#define BAD(field, value) (c = good, c.field = (value), refuse_config(&c, h))
    BAD(port_count, 0);
    BAD(port_count, NET_PORTS_MAX + 1);
    BAD(address_count, NET_ADDRESSES_MAX + 1);
    BAD(route_count, NET_ROUTES_MAX + 1);
    BAD(ports[1].mtu, 575);
    BAD(addresses[0].port, 2);
    BAD(addresses[0].prefix_bits, 129);
    BAD(addresses[0].prefix_bits, 24); /* forgotten + 96 */
    BAD(routes[0].port, 2);
    BAD(routes[0].prefix_bits, 129);
    BAD(routes[0].gateway, test_addr("2001:db8:1::fe"));
    BAD(routes[1].gateway, test_addr("192.0.2.254"));
#undef BAD
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(service_addresses_are_no_source),
        TEST(source_follows_the_route),
        TEST(mtu_is_the_ports),
        TEST(own_addresses_are_known),
        TEST(ourselves_and_groups_are_unreachable),
        TEST(without_a_route_there_is_none),
        TEST(frame_is_whole_and_leaves_by_its_port),
        TEST(link_local_gateway_is_asked_by_nd),
        TEST(neighbours_of_two_ports_are_apart),
        TEST(mac_of_a_frame_is_checked),
        TEST(transport_packets_are_not_nets),
        TEST(bad_configurations_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
