/* SPDX-License-Identifier: BSD-3-Clause
 * For the tests of this folder only: one worker's IP layer with an IPv4 and an IPv6 address,
 * default routes, a counting pool and a record of ICMP errors.
 */
#ifndef DATAPLANE_NET_NET_TEST_HARNESS_H
#define DATAPLANE_NET_NET_TEST_HARNESS_H

#include "net/net_test_support.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct harness {
    struct test_pool pool;
    struct stats stats;
    struct toeplitz toeplitz;
    struct net_config config;
    struct net *net;
    struct net_icmp_error error; /* the last one */
    unsigned errors;
};

static const uint8_t mac_broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const uint8_t mac_other[6] = {0x02, 0, 0, 0, 0, 0x99};

static inline void harness_icmp_error(void *arg, const struct net_icmp_error *error, tg_ns now)
{
    struct harness *h = arg;
    h->error = *error;
    h->errors++;
}

static inline void harness_config(struct net_config *c)
{
    memset(c, 0, sizeof *c);
    c->port_count = 1;
    memcpy(c->ports[0].mac, test_mac_ours, 6);
    c->ports[0].mtu = 1500;
    c->addresses[0] = (struct net_address){test_addr("192.0.2.1"), 96 + 24, 0};
    c->addresses[1] = (struct net_address){test_addr("2001:db8:1::1"), 64, 0};
    c->address_count = 2;
    c->routes[0] = (struct net_route){test_addr("0.0.0.0"), 96, test_addr("192.0.2.254"), 0};
    c->routes[1] = (struct net_route){test_addr("::"), 0, test_addr("2001:db8:1::fe"), 0};
    c->route_count = 2;
    c->answers = true;
}

static inline void harness_start(struct harness *h)
{
    assert_int_equal(net_create(&h->config, &h->pool.pool, &h->stats, &h->toeplitz, 42,
                                harness_icmp_error, h, &h->net),
                     TG_OK);
}

static inline int harness_set_up(void **state)
{
    struct harness *h = aligned_alloc(TG_CACHE_LINE, sizeof *h);
    memset(h, 0, sizeof *h);
    test_pool_init(&h->pool, 0);
    test_toeplitz_init(&h->toeplitz, 7);
    harness_config(&h->config);
    harness_start(h);
    *state = h;
    return 0;
}

/* Whatever a test does, every buffer must be back. */
static inline int harness_tear_down(void **state)
{
    struct harness *h = *state;
    net_destroy(h->net);
    int leaked = h->pool.outstanding != 0;
    free(h);
    return leaked;
}

static inline uint64_t counted(const struct harness *h, enum tg_counter c)
{
    return h->stats.value[c];
}

/* Parse as filter does, and give to net. */
static inline void feed(struct harness *h, struct buf *b, tg_ns now)
{
    assert_int_equal(wire_parse(b, &h->toeplitz), TG_C_none);
    net_input(h->net, b, now);
}

/* The next frame that net wants to send, NULL: none. */
static inline struct buf *take(struct harness *h)
{
    struct buf *b = NULL;
    return net_take(h->net, &b, 1) ? b : NULL;
}

static inline void expect_silence(struct harness *h)
{
    assert_null(take(h));
}

static inline unsigned take_all(struct harness *h)
{
    unsigned n = 0;
    for (struct buf *b; (b = take(h)) != NULL; n++)
        buf_unref(&h->pool.pool, b);
    return n;
}

/* Send a small TCP segment from our address of the right family; `mark` is its first payload byte.
 */
static inline enum tg_err try_output(struct harness *h, const char *destination, uint8_t mark,
                                     tg_ns now)
{
    struct ip_emit ip = {.destination = test_addr(destination), .proto = IP_PROTO_TCP};
    ip.source = test_addr(ip_addr_is4(&ip.destination) ? "192.0.2.1" : "2001:db8:1::1");
    struct buf *b = buf_alloc(&h->pool.pool);
    uint8_t *p = buf_put(b, TCP_BYTES + 1);
    memset(p, 0, TCP_BYTES);
    p[1] = p[3] = 9;
    p[12] = 0x50;
    p[TCP_BYTES] = mark;
    return net_output(h->net, b, &ip, 16, now);
}

static inline void output(struct harness *h, const char *destination, uint8_t mark, tg_ns now)
{
    assert_int_equal(try_output(h, destination, mark, now), TG_OK);
}

/* Take one frame that must be our TCP segment with this mark to this MAC; it must also be right on
 * the wire. */
static inline void expect_segment(struct harness *h, const uint8_t mac[6], uint8_t mark)
{
    struct buf *b = take(h);
    assert_non_null(b);
    assert_memory_equal(b->data, mac, 6);
    assert_memory_equal(b->data + 6, test_mac_ours, 6);
    assert_int_equal(wire_parse(b, &h->toeplitz), TG_C_none);
    assert_int_equal(b->ip_proto, IP_PROTO_TCP);
    assert_int_equal(b->data[b->payload], mark);
    buf_unref(&h->pool.pool, b);
}

/* Take one frame that must be an ARP packet; returns nothing. */
static inline void expect_arp(struct harness *h, uint16_t operation, const uint8_t to_mac[6],
                              const char *sender, const char *target)
{
    struct buf *b = take(h);
    assert_non_null(b);
    struct ip_addr s = test_addr(sender), t = test_addr(target);
    assert_memory_equal(b->data, to_mac, 6);
    assert_memory_equal(b->data + 6, test_mac_ours, 6);
    assert_int_equal(b->len, 42);
    assert_memory_equal(b->data + 12, "\x08\x06\0\1\x08\0\6\4", 8);
    assert_int_equal(wire_get16(b->data + 20), operation);
    assert_memory_equal(b->data + 22, test_mac_ours, 6);
    assert_memory_equal(b->data + 28, s.bytes + 12, 4);
    if (operation == 2)
        assert_memory_equal(b->data + 32, to_mac, 6);
    assert_memory_equal(b->data + 38, t.bytes + 12, 4);
    buf_unref(&h->pool.pool, b);
}

/* An ARP packet to us, from a neighbour that says it has `mac`. */
static inline void feed_arp(struct harness *h, uint16_t operation, const char *sender,
                            const uint8_t mac[6], const char *target, tg_ns now)
{
    struct ip_addr s = test_addr(sender), t = test_addr(target);
    feed(h, test_frame_arp(&h->pool.pool, operation, mac, &s, test_mac_ours, &t), now);
}

/* A neighbour discovery packet with one link-layer option (mac NULL: none). */
static inline struct buf *nd_frame(struct harness *h, uint8_t type, const char *source,
                                   const char *destination, const char *target, uint8_t flags,
                                   const uint8_t *mac)
{
    struct ip_addr s = test_addr(source), d = test_addr(destination), t = test_addr(target);
    return test_frame_nd(&h->pool.pool, type, &s, &d, &t, flags, mac);
}

/* Take one frame that must be a solicitation (135) or advertisement (136) with our MAC as its
 * option. */
static inline void expect_nd(struct harness *h, uint8_t type, const uint8_t to_mac[6],
                             const char *source, const char *destination, const char *target,
                             uint8_t flags)
{
    struct buf *b = take(h);
    assert_non_null(b);
    struct ip_addr s = test_addr(source), d = test_addr(destination), t = test_addr(target);
    assert_memory_equal(b->data, to_mac, 6);
    assert_memory_equal(b->data + 6, test_mac_ours, 6);
    assert_int_equal(wire_parse(b, &h->toeplitz), TG_C_none); /* checksum, lengths */
    struct ip_addr source_seen = wire_source(b), destination_seen = wire_destination(b);
    assert_true(ip_addr_equal(&source_seen, &s));
    assert_true(ip_addr_equal(&destination_seen, &d));
    assert_int_equal(wire_ip(b)[7], 255);
    const uint8_t *icmp = wire_l4(b);
    assert_int_equal(b->l4_len, 32);
    assert_int_equal(icmp[0], type);
    assert_int_equal(icmp[1], 0);
    assert_int_equal(icmp[4], flags);
    assert_memory_equal(icmp + 8, t.bytes, 16);
    assert_int_equal(icmp[24], type == 135 ? 1 : 2);
    assert_int_equal(icmp[25], 1);
    assert_memory_equal(icmp + 26, test_mac_ours, 6);
    buf_unref(&h->pool.pool, b);
}

/* The MAC in force for an address; NULL: none. */
static inline const struct net_neighbour_view *neighbour(const struct harness *h, const char *text)
{
    static struct net_neighbour_view views[NET_NEIGHBOURS_MAX];
    unsigned n = net_neighbours(h->net, views, NET_NEIGHBOURS_MAX);
    struct ip_addr a = test_addr(text);
    for (unsigned i = 0; i < n; i++)
        if (ip_addr_equal(&views[i].address, &a))
            return &views[i];
    return NULL;
}

static inline void expect_mac(const struct harness *h, const char *text, const uint8_t mac[6])
{
    const struct net_neighbour_view *v = neighbour(h, text);
    assert_non_null(v);
    assert_memory_equal(v->mac, mac, 6);
}

#define HARNESS_TEST(name) cmocka_unit_test_setup_teardown(name, harness_set_up, harness_tear_down)

#endif
