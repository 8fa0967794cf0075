/* SPDX-License-Identifier: BSD-3-Clause
 * Own addresses, the routing table, and the way out: headers in place, then to the neighbour.
 * Called by tcp, icmp and steer. Knows nothing of ARP and ND beyond "a neighbour". Floor 1.
 */
#include "net/net_internal.h"

static const struct ip_addr link_local_prefix = {{0xfe, 0x80}};
#define LINK_LOCAL_BITS 10

/* Keep the list sorted, longest prefix first; among equals the earlier stays first, so that an
 * on-link prefix wins over a route for the same prefix. */
static void route_insert(struct net *net, struct net_route_entry entry)
{
    tg_assert(net->route_count < NET_ROUTE_ENTRIES);
    unsigned at = net->route_count++;
    for (; at > 0 && net->routes[at - 1].prefix_bits < entry.prefix_bits; at--)
        net->routes[at] = net->routes[at - 1];
    net->routes[at] = entry;
}

static bool port_has_ip6(const struct net *net, unsigned port)
{
    for (unsigned i = 0; i < net->config.address_count; i++)
        if (net->config.addresses[i].port == port &&
            !ip_addr_is4(&net->config.addresses[i].address))
            return true;
    return false;
}

void net_routes_build(struct net *net)
{
    const struct net_config *c = &net->config;
    for (unsigned i = 0; i < c->address_count; i++)
        route_insert(net, (struct net_route_entry){.prefix = c->addresses[i].address,
                                                   .prefix_bits = c->addresses[i].prefix_bits,
                                                   .port = c->addresses[i].port,
                                                   .on_link = true});
    for (unsigned i = 0; i < c->port_count; i++)
        if (port_has_ip6(net, i))
            route_insert(net, (struct net_route_entry){.prefix = link_local_prefix,
                                                       .prefix_bits = LINK_LOCAL_BITS,
                                                       .port = (uint8_t)i,
                                                       .on_link = true});
    for (unsigned i = 0; i < c->route_count; i++)
        route_insert(net, (struct net_route_entry){.prefix = c->routes[i].prefix,
                                                   .gateway = c->routes[i].gateway,
                                                   .prefix_bits = c->routes[i].prefix_bits,
                                                   .port = c->routes[i].port});
}

static const struct net_route_entry *route_find(const struct net *net,
                                                const struct ip_addr *destination)
{
    bool is4 = ip_addr_is4(destination);
    for (unsigned i = 0; i < net->route_count; i++) {
        const struct net_route_entry *r = &net->routes[i];
        if (!ip_addr_in_prefix(destination, &r->prefix, r->prefix_bits))
            continue;
        /* ::/0 must not swallow IPv4, which lies inside it in the mapped form. */
        if (ip_addr_is4(r->on_link ? &r->prefix : &r->gateway) == is4)
            return r;
    }
    return NULL;
}

static bool is_group(const struct ip_addr *a)
{
    return a->bytes[0] == 0xff || (ip_addr_is4(a) && a->bytes[12] >= 224);
}

bool net_route(const struct net *net, const struct ip_addr *destination, struct net_hop *hop)
{
    const struct net_route_entry *r = route_find(net, destination);
    if (!r || is_group(destination) || net_is_local(net, destination) ||
        net_is_broadcast(net, destination))
        return false;
    *hop = (struct net_hop){r->on_link ? *destination : r->gateway, r->port, !r->on_link};
    return true;
}

bool net_port_has(const struct net *net, const struct ip_addr *address, uint8_t port)
{
    for (unsigned i = 0; i < net->config.address_count; i++) {
        const struct net_address *a = &net->config.addresses[i];
        if (a->port == port && ip_addr_equal(&a->address, address))
            return true;
    }
    return false;
}

bool net_on_link(const struct net *net, const struct ip_addr *address, uint8_t port)
{
    if (net_is_local(net, address) || net_is_broadcast(net, address))
        return false;
    for (unsigned i = 0; i < net->route_count; i++) {
        const struct net_route_entry *r = &net->routes[i];
        if (r->port != port)
            continue;
        if (r->on_link ? ip_addr_in_prefix(address, &r->prefix, r->prefix_bits)
                       : ip_addr_equal(address, &r->gateway))
            return true;
    }
    return false;
}

const struct ip_addr *net_port_source(const struct net *net, const struct ip_addr *neighbour,
                                      uint8_t port)
{
    const struct ip_addr *best = NULL;
    for (unsigned i = 0; i < net->config.address_count; i++) {
        const struct net_address *a = &net->config.addresses[i];
        if (a->port != port || ip_addr_is4(&a->address) != ip_addr_is4(neighbour))
            continue;
        if (ip_addr_in_prefix(neighbour, &a->address, a->prefix_bits))
            return &a->address;
        if (!best)
            best = &a->address;
    }
    return best;
}

bool net_is_local(const struct net *net, const struct ip_addr *address)
{
    bool multicast = address->bytes[0] == 0xff;
    for (unsigned i = 0; i < net->config.address_count; i++) {
        const struct ip_addr *ours = &net->config.addresses[i].address;
        if (multicast ? nd_is_solicited_node(address, ours) : ip_addr_equal(ours, address))
            return true;
    }
    return false;
}

bool net_is_broadcast(const struct net *net, const struct ip_addr *address)
{
    if (!ip_addr_is4(address))
        return false;
    uint32_t a = wire_get32(address->bytes + 12);
    for (unsigned i = 0; i < net->config.address_count; i++) {
        const struct net_address *ours = &net->config.addresses[i];
        if (!ip_addr_is4(&ours->address) || ours->prefix_bits > 96 + 30)
            continue; /* /31 and /32 have none (RFC 3021) */
        uint32_t host_mask = UINT32_MAX >> (ours->prefix_bits - 96);
        if (a == (wire_get32(ours->address.bytes + 12) | host_mask))
            return true;
    }
    return false;
}

uint16_t net_mtu(const struct net *net, const struct ip_addr *destination)
{
    const struct net_route_entry *r = route_find(net, destination);
    return net->config.ports[r ? r->port : 0].mtu;
}

enum tg_err net_source_for(const struct net *net, const struct ip_addr *destination,
                           struct ip_addr *source)
{
    struct net_hop hop;
    if (!net_route(net, destination, &hop))
        return TG_UNREACHABLE;
    const struct ip_addr *ours = net_port_source(net, &hop.address, hop.port);
    if (!ours)
        return TG_UNREACHABLE;
    *source = *ours;
    return TG_OK;
}

enum tg_err net_output(struct net *net, struct buf *b, const struct ip_emit *ip,
                       unsigned checksum_offset, tg_ns now)
{
    struct net_hop hop;
    if (!net_route(net, &ip->destination, &hop)) {
        net_drop(net, b, TG_C_net_no_route);
        return TG_UNREACHABLE;
    }
    static const uint8_t no_mac[6];
    uint16_t ethertype = ip_addr_is4(&ip->destination) ? ETHERTYPE_IP4 : ETHERTYPE_IP6;
    wire_emit_l4_checksum(b, ip, checksum_offset, net->config.ports[hop.port].tx_l4_checksum);
    wire_emit_ip(b, ip, net->config.ports[hop.port].tx_ip_checksum);
    wire_emit_ethernet(b, no_mac, net->config.ports[hop.port].mac, ethertype);
    neigh_output(net, &hop, b, now);
    return TG_OK;
}
