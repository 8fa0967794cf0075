/* SPDX-License-Identifier: BSD-3-Clause
 * One worker's IP layer: own addresses, routes, neighbours (ARP, ND), ICMP; and the way out for
 * everything that tcp sends. Parsing is wire's. Called by worker (net_input), tcp (net_output) and
 * tests. Frames leave through a small transmit queue that the worker drains with net_take. Floor 1.
 */
#ifndef DATAPLANE_NET_NET_H
#define DATAPLANE_NET_NET_H

#include "base/result.h"
#include "net/wire.h"

#define NET_ADDRESSES_MAX 16
#define NET_ROUTES_MAX    32
#define NET_NEIGHBOURS_MAX                                                                         \
    256                   /* per worker; full refuses new ones (a flood cannot evict the live) */
#define NET_NEIGH_QUEUE 4 /* packets that wait for one unresolved neighbour */

struct net_address {
    struct ip_addr address;
    uint8_t prefix_bits; /* of the on-link prefix, 0..128 (IPv4 + 96) */
    uint8_t port;        /* io port it lives on */
};

struct net_route {
    struct ip_addr prefix;
    uint8_t prefix_bits; /* IPv4 + 96 */
    struct ip_addr gateway;
    uint8_t port;
};

struct net_config {
    struct net_address addresses[NET_ADDRESSES_MAX];
    unsigned address_count;
    struct net_route routes[NET_ROUTES_MAX];
    unsigned route_count;
    struct {
        uint8_t mac[6];
        uint16_t mtu;
        bool tx_ip_checksum, tx_l4_checksum;
    } ports[4];
    unsigned port_count;
};

/* An ICMP error that names one of our packets, for tcp (RFC 5927: tcp checks the sequence). */
struct net_icmp_error {
    struct ip_tuple tuple; /* of the packet that we sent: local = its source */
    uint32_t seq;          /* TCP sequence number quoted */
    uint32_t mtu;          /* of a too-big message, else 0 */
    bool hard;             /* port or protocol unreachable */
};

struct net;

/* Make one worker's IP layer (cold). `config` is copied. `on_icmp_error` is called during net_input for
 * each well-formed error that quotes one of our TCP packets; may be NULL. */
enum tg_err net_create(const struct net_config *config, struct buf_pool *pool, struct stats *stats,
                       const struct toeplitz *toeplitz, uint64_t seed,
                       void (*on_icmp_error)(void *arg, const struct net_icmp_error *error,
                                             tg_ns now),
                       void *arg, struct net **net);
void net_destroy(struct net *net);

/* Take what is not for a transport: ARP, ND, ICMP, ICMPv6. b must be parsed; ownership passes; answers
 * are queued for net_take. Sets nothing on the packet. */
void net_input(struct net *net, struct buf *b, tg_ns now);

/* True when the address is one of ours (or, IPv6, our solicited-node multicast for ND). */
bool net_is_local(const struct net *net, const struct ip_addr *address);

/* Send an IP payload (first byte = transport header, checksum still missing at `checksum_offset`):
 * route, IP header, checksum or offload, Ethernet. Takes over one reference; queues the frame, or lets
 * it wait for the neighbour, or drops and counts. The bytes in front of the transport header are
 * written now: the caller must own the frame's headroom (io_tx_done).
 * TG_OK also when it waits for a neighbour; TG_UNREACHABLE: no route (the reference is gone too). */
enum tg_err net_output(struct net *net, struct buf *b, const struct ip_emit *ip,
                       unsigned checksum_offset, tg_ns now);

/* Largest IP packet towards the destination, bytes: the port's MTU. */
uint16_t net_mtu(const struct net *net, const struct ip_addr *destination);

/* Which of our addresses talks to this destination; TG_UNREACHABLE without a route. */
enum tg_err net_source_for(const struct net *net, const struct ip_addr *destination,
                           struct ip_addr *source);

/* Take up to n ready frames for io_tx, oldest first. */
unsigned net_take(struct net *net, struct buf *out[], unsigned n);

/* Resend requests, expire neighbours. Call about every 100 ms of worker time. */
void net_tick(struct net *net, tg_ns now);

/* Neighbours in force, for tests and the control plane: fills at most n, returns how many exist. */
struct net_neighbour_view {
    struct ip_addr address;
    uint8_t mac[6];
    bool reachable;
};
unsigned net_neighbours(const struct net *net, struct net_neighbour_view out[], unsigned n);

#endif
