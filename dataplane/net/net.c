/* SPDX-License-Identifier: BSD-3-Clause
 * Life of a worker's IP layer, dispatch of what is not for a transport, and the transmit queue.
 * Called by worker and tests. Knows nothing of connections. Floor 1.
 */
#include "base/offload.h"
#include "net/net_internal.h"
#include <stdlib.h>

#define MTU_MIN 576 /* RFC 791: what every host must take */

static bool port_is_valid(const struct net_config *c, unsigned port)
{
    return port < c->port_count;
}

static enum tg_err config_check(const struct net_config *c)
{
    if (c->port_count == 0 || c->port_count > NET_PORTS_MAX ||
        c->address_count > NET_ADDRESSES_MAX || c->route_count > NET_ROUTES_MAX)
        return TG_BAD_CONFIG;
    for (unsigned i = 0; i < c->port_count; i++)
        if (c->ports[i].mtu < MTU_MIN)
            return TG_BAD_CONFIG;
    for (unsigned i = 0; i < c->address_count; i++) {
        const struct net_address *a = &c->addresses[i];
        unsigned bits_min = ip_addr_is4(&a->address) ? 96 : 0;
        if (!port_is_valid(c, a->port) || a->prefix_bits > 128 || a->prefix_bits < bits_min)
            return TG_BAD_CONFIG;
    }
    for (unsigned i = 0; i < c->route_count; i++) {
        const struct net_route *r = &c->routes[i];
        bool is4 = ip_addr_is4(&r->gateway);
        if (!port_is_valid(c, r->port) || r->prefix_bits > 128 ||
            (r->prefix_bits >= 96 && ip_addr_is4(&r->prefix)) != is4)
            return TG_BAD_CONFIG;
    }
    return TG_OK;
}

enum tg_err net_create(const struct net_config *config, struct buf_pool *pool, struct stats *stats,
                       const struct toeplitz *toeplitz, uint64_t seed,
                       void (*on_icmp_error)(void *arg, const struct net_icmp_error *error,
                                             tg_ns now),
                       void *arg, struct net **net)
{
    enum tg_err e = config_check(config);
    if (e != TG_OK)
        return e;
    struct net *n = calloc(1, sizeof *n);
    if (!n)
        return TG_NO_MEMORY;
    n->config = *config;
    n->pool = pool;
    n->stats = stats;
    n->toeplitz = toeplitz;
    n->on_icmp_error = on_icmp_error;
    n->on_icmp_error_arg = arg;
    net_routes_build(n);
    neigh_init(&n->neigh, seed);
    *net = n;
    return TG_OK;
}

void net_destroy(struct net *net)
{
    if (!net)
        return;
    neigh_flush(net);
    struct buf *b;
    while (net_take(net, &b, 1))
        buf_unref(net->pool, b);
    free(net);
}

static void icmp6_input(struct net *net, struct buf *b, tg_ns now)
{
    uint8_t type = wire_l4(b)[0];
    if (type >= ND_ROUTER_SOLICIT && type <= ND_REDIRECT)
        nd_input(net, b, now);
    else
        icmp_input(net, b, now);
}

void net_input(struct net *net, struct buf *b, tg_ns now)
{
    tg_assert(b->flags & BUF_PARSED && b->refs == 1);
    tg_assert(b->port < net->config.port_count);
    if (b->ip_version == 0)
        arp_input(net, b, now);
    else if (b->ip_proto == IP_PROTO_ICMP)
        icmp_input(net, b, now);
    else if (b->ip_proto == IP_PROTO_ICMP6)
        icmp6_input(net, b, now);
    else
        net_drop(net, b, TG_C_net_protocol);
}

unsigned net_tx_room(const struct net *net)
{
    return NET_TX_QUEUE - (net->tx_end - net->tx_first);
}

static_assert((NET_TX_QUEUE & (NET_TX_QUEUE - 1)) == 0, "indices wrap by a mask");

static void transmit_frame(struct net *net, struct buf *b, uint8_t port)
{
    if (net_tx_room(net) == 0) {
        net_drop(net, b, TG_C_io_tx_full);
        return;
    }
    b->port = port;
    net->tx[net->tx_end++ & (NET_TX_QUEUE - 1)] = b;
}

/* The port takes single segments: they are made here, where a super-segment has saved all the way from tcp. */
static void transmit_cut(struct net *net, struct buf *b, uint8_t port)
{
    struct buf *frames[UINT8_MAX];
    unsigned n = b->segments;
    offload_split(net->pool, b, frames);
    for (unsigned i = 0; i < n; i++) {
        if (!net->config.ports[port].tx_l4_checksum)
            wire_finish_tcp(frames[i]);
        transmit_frame(net, frames[i], port);
    }
    stats_count(net->stats, TG_C_net_super_segments_cut);
}

void net_transmit(struct net *net, struct buf *b, uint8_t port)
{
    if (b->segments && !net->config.ports[port].tso)
        transmit_cut(net, b, port);
    else
        transmit_frame(net, b, port);
}

unsigned net_take(struct net *net, struct buf *out[], unsigned n)
{
    unsigned taken = 0;
    while (taken < n && net->tx_first != net->tx_end)
        out[taken++] = net->tx[net->tx_first++ & (NET_TX_QUEUE - 1)];
    return taken;
}

/* Tell the link who we are now: a restarted node has another MAC, and caches of others outlive it.
 */
static void announce(struct net *net)
{
    for (unsigned i = 0; i < net->config.address_count; i++) {
        const struct net_address *a = &net->config.addresses[i];
        if (ip_addr_is4(&a->address))
            arp_announce(net, a);
        else
            nd_announce(net, a);
    }
    net->announced = true;
}

void net_tick(struct net *net, tg_ns now)
{
    if (net->config.answers && !net->announced)
        announce(net);
    neigh_tick(net, now);
}

bool net_accepts_mac(const struct net *net, const struct buf *b)
{
    tg_assert(b->port < net->config.port_count && b->len >= ETH_BYTES);
    return b->data[0] & 1 || memcmp(b->data, net->config.ports[b->port].mac, 6) == 0;
}
