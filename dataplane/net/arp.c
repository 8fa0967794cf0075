/* SPDX-License-Identifier: BSD-3-Clause
 * ARP (RFC 826, RFC 5227) for Ethernet and IPv4: answer for our addresses, ask for neighbours, sort
 * what others say into replies to us, requests to us, and rumours. Called by net_input and the
 * neighbour table. Floor 1.
 */
#include "net/net_internal.h"

#define ARP_BYTES 28
enum { ARP_REQUEST = 1, ARP_REPLY = 2 };

struct arp_packet {
    uint16_t operation;
    uint8_t sender_mac[6], target_mac[6];
    struct ip_addr sender, target;
};

static bool mac_is_station(const uint8_t mac[6])
{
    static const uint8_t zero[6];
    return !(mac[0] & 1) && memcmp(mac, zero, sizeof zero) != 0;
}

/* The sender's address must be one that a station may have; 0.0.0.0 in a request is a probe (RFC
 * 5227 s2.1.1). */
static bool sender_is_acceptable(const struct arp_packet *p)
{
    const uint8_t *a = p->sender.bytes + 12;
    static const uint8_t zero[4];
    if (memcmp(a, zero, sizeof zero) == 0)
        return p->operation == ARP_REQUEST;
    return a[0] != 0 && a[0] != 127 && a[0] < 224;
}

/* wire_parse has checked the length. */
static bool arp_parse(const struct buf *b, struct arp_packet *p)
{
    static const uint8_t ethernet_ip4[6] = {0, 1, 0x08, 0, 6, 4};
    const uint8_t *h = b->data + b->l3;
    if (memcmp(h, ethernet_ip4, sizeof ethernet_ip4) != 0)
        return false;
    p->operation = wire_get16(h + 6);
    memcpy(p->sender_mac, h + 8, 6);
    p->sender = ip_addr_from4(h + 14);
    memcpy(p->target_mac, h + 18, 6);
    p->target = ip_addr_from4(h + 24);
    if (p->operation != ARP_REQUEST && p->operation != ARP_REPLY)
        return false;
    return mac_is_station(p->sender_mac) && sender_is_acceptable(p);
}

/* Queue an ARP packet; no buffer: nothing is sent, whoever asked asks again. */
static void arp_transmit(struct net *net, uint8_t port, const uint8_t destination[6],
                         const struct arp_packet *p)
{
    struct buf *b = buf_alloc(net->pool);
    if (!b)
        return;
    uint8_t *h = buf_put(b, ARP_BYTES);
    wire_put16(h, 1); /* Ethernet */
    wire_put16(h + 2, ETHERTYPE_IP4);
    h[4] = 6;
    h[5] = 4;
    wire_put16(h + 6, p->operation);
    memcpy(h + 8, p->sender_mac, 6);
    memcpy(h + 14, p->sender.bytes + 12, 4);
    memcpy(h + 18, p->target_mac, 6);
    memcpy(h + 24, p->target.bytes + 12, 4);
    wire_emit_ethernet(b, destination, p->sender_mac, ETHERTYPE_ARP);
    net_transmit(net, b, port);
}

static void arp_answer(struct net *net, uint8_t port, const struct arp_packet *request)
{
    struct arp_packet reply = {
        .operation = ARP_REPLY, .sender = request->target, .target = request->sender};
    memcpy(reply.sender_mac, net->config.ports[port].mac, 6);
    memcpy(reply.target_mac, request->sender_mac, 6);
    arp_transmit(net, port, request->sender_mac, &reply);
}

static bool sender_is_unspecified(const struct arp_packet *p)
{
    return wire_get32(p->sender.bytes + 12) == 0;
}

static void arp_take_request(struct net *net, uint8_t port, const struct arp_packet *p, tg_ns now)
{
    bool probe = sender_is_unspecified(p);
    if (!net_port_has(net, &p->target, port)) { /* gratuitous ARP comes here too */
        if (!probe)
            neigh_rumour(net, &p->sender, port, p->sender_mac, now);
        return;
    }
    if (!probe && net_on_link(net, &p->sender, port))
        neigh_learn(net, &p->sender, port, p->sender_mac, now);
    if (net->config.answers)
        arp_answer(net, port, p);
}

/* A reply counts when it is addressed to us on both layers. */
static void arp_take_reply(struct net *net, const struct buf *b, const struct arp_packet *p,
                           tg_ns now)
{
    uint8_t port = b->port;
    const uint8_t *mac = net->config.ports[port].mac;
    bool to_us = memcmp(b->data, mac, 6) == 0 && memcmp(p->target_mac, mac, 6) == 0 &&
                 net_port_has(net, &p->target, port);
    if (to_us)
        neigh_confirm(net, &p->sender, port, p->sender_mac, now);
    else
        neigh_rumour(net, &p->sender, port, p->sender_mac, now);
}

void arp_input(struct net *net, struct buf *b, tg_ns now)
{
    struct arp_packet p;
    /* A sender with an address of ours is a conflict or a forger: never believed. */
    if (!arp_parse(b, &p) || net_is_local(net, &p.sender)) {
        net_drop(net, b, TG_C_net_arp_bad);
        return;
    }
    net_count(net, TG_C_net_arp_in);
    if (p.operation == ARP_REQUEST)
        arp_take_request(net, b->port, &p, now);
    else
        arp_take_reply(net, b, &p, now);
    buf_unref(net->pool, b);
}

static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

void arp_request(struct net *net, const struct neighbour *n, const uint8_t *mac)
{
    const struct ip_addr *source = net_port_source(net, &n->address, n->port);
    if (!source) /* an IPv4 gateway on a port without an IPv4 address: nobody could answer */
        return;
    struct arp_packet p = {.operation = ARP_REQUEST, .sender = *source, .target = n->address};
    memcpy(p.sender_mac, net->config.ports[n->port].mac, 6);
    arp_transmit(net, n->port, mac ? mac : broadcast, &p);
}

void arp_announce(struct net *net, const struct net_address *address)
{
    struct arp_packet p = {
        .operation = ARP_REQUEST, .sender = address->address, .target = address->address};
    memcpy(p.sender_mac, net->config.ports[address->port].mac, 6);
    arp_transmit(net, address->port, broadcast, &p);
}
