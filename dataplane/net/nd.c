/* SPDX-License-Identifier: BSD-3-Clause
 * IPv6 neighbour discovery (RFC 4861): answer solicitations for our addresses, ask for neighbours,
 * sort advertisements into replies to us and rumours. Router advertisements and redirects are taken
 * and ignored: addresses and routes come from the configuration only. Called by net_input and the
 * neighbour table. Floor 1.
 */
#include "net/net_internal.h"

enum {
    ND_BYTES = 24, /* solicitation and advertisement without options */
    ND_OPTION_SOURCE_MAC = 1,
    ND_OPTION_TARGET_MAC = 2,
    ND_OPTION_BYTES = 8, /* with an Ethernet address */
    ND_FLAG_SOLICITED = 0x40,
    ND_FLAG_OVERRIDE = 0x20,
};
#define ND_HOP_LIMIT 255 /* proves that no router passed it on (RFC 4861 s11.2) */

static const struct ip_addr all_nodes = {{0xff, 0x02, [15] = 1}};
static const uint8_t all_nodes_mac[6] = {0x33, 0x33, 0, 0, 0, 1}; /* RFC 2464 s7 */

struct nd_packet {
    struct ip_addr source, destination, target;
    uint8_t type, flags;
    const uint8_t *mac; /* link-layer address option, borrowed; NULL: none */
};

static struct ip_addr solicited_node(const struct ip_addr *address)
{
    struct ip_addr a = {{0xff, 0x02, [11] = 1, [12] = 0xff}}; /* RFC 4291 s2.7.1 */
    memcpy(a.bytes + 13, address->bytes + 13, 3);
    return a;
}

bool nd_is_solicited_node(const struct ip_addr *multicast, const struct ip_addr *address)
{
    struct ip_addr a = solicited_node(address);
    return !ip_addr_is4(address) && ip_addr_equal(multicast, &a);
}

static bool addr_is_unspecified(const struct ip_addr *a)
{
    static const struct ip_addr zero;
    return ip_addr_equal(a, &zero);
}

static bool addr_is_multicast(const struct ip_addr *a)
{
    return a->bytes[0] == 0xff;
}

static bool mac_is_station(const uint8_t *mac)
{
    static const uint8_t zero[6];
    return !(mac[0] & 1) && memcmp(mac, zero, sizeof zero) != 0;
}

/* Walk the options; false when one is malformed. Finds the one of type `wanted`. */
static bool nd_parse_options(struct span options, uint8_t wanted, const uint8_t **mac)
{
    *mac = NULL;
    while (options.len) {
        if (options.len < 2 || options.data[1] == 0)
            return false;
        size_t bytes = options.data[1] * 8u; /* >= 8 */
        if (bytes > options.len)
            return false;
        if (options.data[0] == wanted) {
            if (bytes != ND_OPTION_BYTES || !mac_is_station(options.data + 2))
                return false;
            *mac = options.data + 2;
        }
        options = span_slice(options, bytes, options.len);
    }
    return true;
}

/* What RFC 4861 s7.1.1 and s7.1.2 ask of both messages; the checksum is right already. */
static bool nd_parse(const struct buf *b, struct nd_packet *p)
{
    const uint8_t *h = wire_l4(b);
    if (b->l4_len < ND_BYTES || b->l4 + b->l4_len > b->len || h[1] != 0)
        return false;
    p->type = h[0];
    p->flags = h[4];
    p->source = wire_source(b);
    p->destination = wire_destination(b);
    memcpy(p->target.bytes, h + 8, 16);
    if (addr_is_multicast(&p->target) || ip_addr_is4(&p->target))
        return false;
    uint8_t option = p->type == ND_NEIGHBOUR_SOLICIT ? ND_OPTION_SOURCE_MAC : ND_OPTION_TARGET_MAC;
    return nd_parse_options(span_make(h + ND_BYTES, b->l4_len - (size_t)ND_BYTES), option, &p->mac);
}

/* Queue a solicitation or advertisement with our MAC as its option. */
static void nd_transmit(struct net *net, uint8_t port, const struct ip_emit *ip,
                        const uint8_t destination_mac[6], const struct nd_packet *p)
{
    struct buf *b = buf_alloc(net->pool);
    if (!b)
        return;
    const uint8_t *our_mac = net->config.ports[port].mac;
    uint8_t *h = buf_put(b, ND_BYTES + ND_OPTION_BYTES);
    memset(h, 0, ND_BYTES);
    h[0] = p->type;
    h[4] = p->flags;
    memcpy(h + 8, p->target.bytes, 16);
    h[24] = p->type == ND_NEIGHBOUR_SOLICIT ? ND_OPTION_SOURCE_MAC : ND_OPTION_TARGET_MAC;
    h[25] = 1; /* in units of 8 bytes */
    memcpy(h + 26, our_mac, 6);
    wire_emit_l4_checksum(b, ip, 2, false);
    wire_emit_ip(b, ip, false);
    wire_emit_ethernet(b, destination_mac, our_mac, ETHERTYPE_IP6);
    net_transmit(net, b, port);
}

static struct ip_emit nd_emit(const struct ip_addr *source, const struct ip_addr *destination)
{
    return (struct ip_emit){.source = *source,
                            .destination = *destination,
                            .proto = IP_PROTO_ICMP6,
                            .hop_limit = ND_HOP_LIMIT};
}

/* To the asker's MAC at once: from its option, else from the frame; no look-up can fail then. */
static void nd_answer(struct net *net, const struct buf *b, const struct nd_packet *solicit)
{
    bool to_all = addr_is_unspecified(&solicit->source); /* RFC 4861 s7.2.4 */
    struct ip_emit ip = nd_emit(&solicit->target, to_all ? &all_nodes : &solicit->source);
    struct nd_packet advert = {.type = ND_NEIGHBOUR_ADVERT,
                               .flags = ND_FLAG_OVERRIDE | (to_all ? 0 : ND_FLAG_SOLICITED),
                               .target = solicit->target};
    const uint8_t *mac = solicit->mac ? solicit->mac : b->data + 6;
    nd_transmit(net, b->port, &ip, to_all ? all_nodes_mac : mac, &advert);
}

/* RFC 4861 s7.1.1: from the unspecified address only to the solicited-node group and without the
 * option. */
static bool solicit_is_acceptable(const struct net *net, const struct buf *b,
                                  const struct nd_packet *p)
{
    if (net_is_local(net, &p->source) || !mac_is_station(b->data + 6))
        return false;
    if (!addr_is_unspecified(&p->source))
        return true;
    static const struct ip_addr group = {{0xff, 0x02, [11] = 1, [12] = 0xff}};
    return !p->mac && ip_addr_in_prefix(&p->destination, &group, 104);
}

static bool nd_take_solicit(struct net *net, const struct buf *b, const struct nd_packet *p,
                            tg_ns now)
{
    if (!solicit_is_acceptable(net, b, p))
        return false;
    uint8_t port = b->port;
    if (!net_port_has(net, &p->target, port))
        return true;
    if (p->mac && net_on_link(net, &p->source, port))
        neigh_learn(net, &p->source, port, p->mac, now);
    if (net->config.answers)
        nd_answer(net, b, p);
    return true;
}

static bool nd_take_advert(struct net *net, const struct buf *b, const struct nd_packet *p,
                           tg_ns now)
{
    bool solicited = p->flags & ND_FLAG_SOLICITED;
    if (solicited && addr_is_multicast(&p->destination)) /* RFC 4861 s7.1.2 */
        return false;
    if (net_is_local(net, &p->target)) /* somebody claims our address: never believed */
        return false;
    uint8_t port = b->port;
    if (solicited && net_port_has(net, &p->destination, port))
        neigh_confirm(net, &p->target, port, p->mac, now);
    else if (p->mac)
        neigh_rumour(net, &p->target, port, p->mac, now);
    return true;
}

void nd_input(struct net *net, struct buf *b, tg_ns now)
{
    struct nd_packet p;
    bool good = wire_ip(b)[7] == ND_HOP_LIMIT;
    uint8_t type = wire_l4(b)[0];
    if (good && (type == ND_NEIGHBOUR_SOLICIT || type == ND_NEIGHBOUR_ADVERT)) {
        good = nd_parse(b, &p);
        if (good && type == ND_NEIGHBOUR_SOLICIT)
            good = nd_take_solicit(net, b, &p, now);
        else if (good)
            good = nd_take_advert(net, b, &p, now);
    }
    net_drop(net, b, good ? TG_C_net_nd_in : TG_C_net_nd_bad);
}

void nd_solicit(struct net *net, const struct neighbour *n, const uint8_t *mac)
{
    const struct ip_addr *source = net_port_source(net, &n->address, n->port);
    if (!source) /* an IPv6 gateway on a port without an IPv6 address: nobody could answer */
        return;
    struct ip_addr group = solicited_node(&n->address);
    uint8_t group_mac[6] = {0x33, 0x33};
    memcpy(group_mac + 2, group.bytes + 12, 4);
    struct ip_emit ip = nd_emit(source, mac ? &n->address : &group);
    struct nd_packet p = {.type = ND_NEIGHBOUR_SOLICIT, .target = n->address};
    nd_transmit(net, n->port, &ip, mac ? mac : group_mac, &p);
}

void nd_announce(struct net *net, const struct net_address *address)
{
    struct ip_emit ip = nd_emit(&address->address, &all_nodes);
    struct nd_packet p = {
        .type = ND_NEIGHBOUR_ADVERT, .flags = ND_FLAG_OVERRIDE, .target = address->address};
    nd_transmit(net, address->port, &ip, all_nodes_mac, &p);
}
