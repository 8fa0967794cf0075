/* SPDX-License-Identifier: BSD-3-Clause
 * For tests: one host on one link: the real net and tcp over a counting pool, a wheel and a clock that stands still
 * until it is moved. Knows no test framework, so that the unit tests of tcp and proxy, the .pkt runner and the
 * differential test can all stand on it. Never part of a program.
 */
#ifndef DATAPLANE_TCP_TEST_NODE_H
#define DATAPLANE_TCP_TEST_NODE_H

#include "net/net_test_support.h"
#include "tcp/tcp.h"

struct node {
    struct test_pool pool;
    struct stats stats;
    struct toeplitz toeplitz;
    struct timer_wheel wheel;
    struct net *net;
    struct tcp *tcp;
    tg_ns now;
    uint8_t mac[6];
    struct ip_addr address4, address6;
    bool port_busy; /* what tx_done answers, negated */
};

/* Where a host stands. Addresses with their prefixes; everything else has no route. */
struct node_place {
    tg_ns now;
    uint8_t mac[6];
    struct net_address address4, address6; /* prefix lengths as net has them: 96 + 24 */
    uint64_t seed;                         /* of net */
    uint16_t mtu;                          /* 0: 1,500 */
    bool cuts; /* its port cuts super-segments and fills in checksums: tcp_test_port.h */
};

static inline bool node_tx_done(const void *arg, const struct buf *b)
{
    return !((const struct node *)arg)->port_busy;
}

static inline void node_icmp_error(void *arg, const struct net_icmp_error *error, tg_ns now)
{
    tcp_icmp_error(((struct node *)arg)->tcp, error, now);
}

/* Make a host; what was in *node is forgotten, and it must not move afterwards. An error is net's or tcp's;
 * node_close even then. */
[[nodiscard]] static inline enum tg_err node_open(struct node *node, const struct node_place *place,
                                                  const struct tcp_config *config)
{
    memset(node, 0, sizeof *node);
    test_pool_init(&node->pool, 0);
    test_toeplitz_init(&node->toeplitz, 7);
    node->now = place->now;
    timer_wheel_init(&node->wheel, node->now);
    memcpy(node->mac, place->mac, sizeof node->mac);
    node->address4 = place->address4.address;
    node->address6 = place->address6.address;
    struct net_config c = {.addresses = {place->address4, place->address6},
                           .address_count = 2,
                           .port_count = 1,
                           .answers = true};
    memcpy(c.ports[0].mac, place->mac, sizeof c.ports[0].mac);
    c.ports[0].mtu = place->mtu ? place->mtu : 1500;
    c.ports[0].tso = c.ports[0].tx_ip_checksum = c.ports[0].tx_l4_checksum = place->cuts;
    enum tg_err err = net_create(&c, &node->pool.pool, &node->stats, &node->toeplitz, place->seed,
                                 node_icmp_error, node, &node->net);
    if (err != TG_OK)
        return err;
    return tcp_create(config, node->net, &node->pool.pool, &node->wheel, &node->stats,
                      &node->toeplitz, node_tx_done, node, &node->tcp);
}

/* After it, pool.outstanding and wheel.armed must be 0. */
static inline void node_close(struct node *node)
{
    tcp_destroy(node->tcp);
    net_destroy(node->net);
}

/* Parse a frame as filter does and give it to net or tcp; takes it. Returns the reason of a drop. */
static inline enum tg_counter node_take(struct node *node, struct buf *b)
{
    enum tg_counter reason = wire_parse(b, &node->toeplitz);
    if (reason != TG_C_none) {
        buf_unref(&node->pool.pool, b);
        return reason;
    }
    if (b->ip_version == 0 || b->ip_proto != IP_PROTO_TCP)
        net_input(node->net, b, node->now);
    else
        tcp_input(node->tcp, &b, 1, node->now);
    return TG_C_none;
}

/* The peer's link layer, for a frame that the node has sent: whatever neighbour it asks for, but itself, is at
 * test_mac_peer. True: the frame was one of neighbour resolution and has had its answer. */
static inline bool node_link_answers(struct node *node, const struct buf *frame)
{
    struct ip_addr asked = node->address4;
    if (!test_frame_resolves(frame, &asked))
        return false;
    const struct ip_addr *own = ip_addr_is4(&asked) ? &node->address4 : &node->address6;
    if (!ip_addr_equal(&asked, own)) {
        struct buf *b =
            test_frame_neighbour(&node->pool.pool, &asked, test_mac_peer, own, node->mac);
        tg_assert(node_take(node, b) == TG_C_none);
    }
    return true;
}

#endif
