/* SPDX-License-Identifier: BSD-3-Clause
 * The inside of one worker's IP layer, shared by the files of this folder and nobody else. Floor 1.
 *
 *   net.c         life, input dispatch, transmit queue
 *   route.c       addresses, routes, net_output
 *   neigh.c       the neighbour table and its states
 *   arp.c, nd.c   the two languages that fill it
 *   icmp.c        echo and errors
 */
#ifndef DATAPLANE_NET_NET_INTERNAL_H
#define DATAPLANE_NET_NET_INTERNAL_H

#include "net/net.h"

/* RFC 4861 s10; ARP is treated alike. */
#define NEIGH_RETRANSMIT    TG_S         /* between two requests */
#define NEIGH_REQUESTS      3            /* then the neighbour counts as absent */
#define NEIGH_REACHABLE_FOR (30 * TG_S)  /* base; the real one is drawn from 0.5 .. 1.5 of it */
#define NEIGH_STALE_FOR     (600 * TG_S) /* unused for so long: forgotten */

/* Entries that others' requests made may fill this part of the table, and gateways always find
 * room. */
#define NEIGH_LEARNED_MAX  (NET_NEIGHBOURS_MAX / 2)
#define NEIGH_ORDINARY_MAX (NET_NEIGHBOURS_MAX - NET_ROUTES_MAX)
#define NEIGH_BUCKETS      512
#define NEIGH_NONE         UINT16_MAX

enum neigh_state {
    NEIGH_FREE,
    NEIGH_INCOMPLETE, /* asked everybody, packets wait */
    NEIGH_REACHABLE,  /* answered us lately */
    NEIGH_STALE,      /* MAC known, not lately confirmed; the next packet starts a probe */
    NEIGH_PROBE,      /* MAC in use while we ask its owner */
    NEIGH_STATES,
};

struct neighbour {
    struct ip_addr address;
    uint8_t mac[6]; /* valid in REACHABLE, STALE, PROBE */
    uint8_t state;  /* enum neigh_state; written by neigh_set_state only */
    uint8_t port;
    uint8_t requests_left; /* INCOMPLETE, PROBE */
    bool gateway;
    bool learned; /* made by another's request; we have never sent to it */
    uint8_t queued;
    uint16_t next;  /* in the hash bucket or the free list */
    tg_ns deadline; /* INCOMPLETE, PROBE: next request; REACHABLE: turns stale; STALE: forgotten */
    struct buf *queue[NET_NEIGH_QUEUE]; /* whole frames without a destination MAC, oldest first */
};

struct neigh_table {
    struct neighbour entries[NET_NEIGHBOURS_MAX];
    uint16_t buckets[NEIGH_BUCKETS];
    uint16_t free_first;
    uint16_t count, learned_count;
    uint64_t key[2];
    struct prng jitter;
};

struct net_hop {
    struct ip_addr address; /* on the link: the destination or a gateway */
    uint8_t port;
    bool gateway;
};

struct net_route_entry {
    struct ip_addr prefix, gateway;
    uint8_t prefix_bits, port;
    bool on_link;
};

/* A generous bound: routes, on-link prefixes, the link-local prefix of each port. */
#define NET_ROUTE_ENTRIES (NET_ROUTES_MAX + NET_ADDRESSES_MAX + NET_PORTS_MAX)

struct net {
    struct net_config config;
    struct buf_pool *pool;
    struct stats *stats;
    const struct toeplitz *toeplitz;
    void (*on_icmp_error)(void *arg, const struct net_icmp_error *error, tg_ns now);
    void *on_icmp_error_arg;
    struct net_route_entry routes[NET_ROUTE_ENTRIES]; /* longest prefix first */
    unsigned route_count;
    bool announced;
    tg_ns icmp_next; /* token bucket as one number: when the bucket is full again */
    struct neigh_table neigh;
    uint32_t tx_first, tx_end; /* free running; count = end - first */
    struct buf *tx[NET_TX_QUEUE];
};

static inline void net_count(struct net *net, enum tg_counter c)
{
    stats_count(net->stats, c);
}

static inline void net_drop(struct net *net, struct buf *b, enum tg_counter reason)
{
    stats_count(net->stats, reason);
    buf_unref(net->pool, b);
}

/* net.c: queue a whole frame (Ethernet header in place) for net_take. Takes the reference. */
void net_transmit(struct net *net, struct buf *b, uint8_t port);

/* route.c */
void net_routes_build(struct net *net);
bool net_route(const struct net *net, const struct ip_addr *destination, struct net_hop *hop);
/* Is the address one that a neighbour on this port may have: on-link, or a gateway; not one of
 * ours. */
bool net_on_link(const struct net *net, const struct ip_addr *address, uint8_t port);
/* The address of this port that stands for us towards a neighbour; NULL: none of this family. */
const struct ip_addr *net_port_source(const struct net *net, const struct ip_addr *neighbour,
                                      uint8_t port);
/* Is this exactly an address of ours on this port? */
bool net_port_has(const struct net *net, const struct ip_addr *address, uint8_t port);

/* neigh.c */
void neigh_init(struct neigh_table *table, uint64_t seed);
void neigh_flush(struct net *net); /* give waiting packets back (destroy) */
/* Send a frame whose destination MAC is still missing to a neighbour, or let it wait. */
void neigh_output(struct net *net, const struct net_hop *hop, struct buf *frame, tg_ns now);
/* A reply to us says so; mac NULL: it answers without telling its MAC again. */
void neigh_confirm(struct net *net, const struct ip_addr *address, uint8_t port, const uint8_t *mac,
                   tg_ns now);
/* A request addressed to us says so. */
void neigh_learn(struct net *net, const struct ip_addr *address, uint8_t port, const uint8_t mac[6],
                 tg_ns now);
/* Somebody says so whom we have not asked. */
void neigh_rumour(struct net *net, const struct ip_addr *address, uint8_t port,
                  const uint8_t mac[6], tg_ns now);
void neigh_tick(struct net *net, tg_ns now);

/* arp.c, nd.c: input takes the buffer; `mac` NULL asks everybody. */
void arp_input(struct net *net, struct buf *b, tg_ns now);
void arp_request(struct net *net, const struct neighbour *n, const uint8_t *mac);
void arp_announce(struct net *net, const struct net_address *address);
void nd_input(struct net *net, struct buf *b, tg_ns now);
void nd_solicit(struct net *net, const struct neighbour *n, const uint8_t *mac);
void nd_announce(struct net *net, const struct net_address *address);
bool nd_is_solicited_node(const struct ip_addr *multicast, const struct ip_addr *address);

/* icmp.c: both families, everything but ND. */
void icmp_input(struct net *net, struct buf *b, tg_ns now);

/* ICMPv6 types of neighbour discovery (RFC 4861 s4). */
enum {
    ND_ROUTER_SOLICIT = 133,
    ND_ROUTER_ADVERT = 134,
    ND_NEIGHBOUR_SOLICIT = 135,
    ND_NEIGHBOUR_ADVERT = 136,
    ND_REDIRECT = 137,
};

#endif
