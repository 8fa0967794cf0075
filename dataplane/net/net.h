/* SPDX-License-Identifier: BSD-3-Clause
 * One worker's IP layer: own addresses, routes, neighbours (ARP, ND), ICMP; and the way out for
 * everything that tcp sends. Parsing is wire's. Called by worker (net_input), tcp (net_output) and
 * tests. Frames leave through a small transmit queue that the worker drains with net_take. Floor 1.
 */
#ifndef DATAPLANE_NET_NET_H
#define DATAPLANE_NET_NET_H

#include "base/result.h"
#include "net/wire.h"

#define NET_PORTS_MAX      4
#define NET_ADDRESSES_MAX  16
#define NET_ROUTES_MAX     32
#define NET_NEIGHBOURS_MAX 256  /* per worker; full refuses new ones: no flood evicts the live */
#define NET_NEIGH_QUEUE    4    /* packets that wait for one unresolved neighbour */
#define NET_TX_QUEUE       4096 /* frames between net_output and net_take; full drops (io_tx_full) */

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
        bool
            tso; /* cuts super-segments (with tx_l4_checksum); else they are cut on the way to it */
    } ports[NET_PORTS_MAX];
    unsigned port_count;
    /* True on one worker of the node (worker 0). Where a port has one queue, the worker that owns
     * it copies every ARP and ND frame to all workers, so that each fills its own neighbour table;
     * this one alone answers requests for our addresses and announces them at the first net_tick.
     * The others only learn. Echo requests are not copied: whoever gets one answers it. */
    bool answers;
};

/* An ICMP error that names one of our packets, for tcp (RFC 5927: tcp checks the sequence). */
struct net_icmp_error {
    struct ip_tuple tuple; /* of the packet that we sent: local = its source */
    uint32_t seq;          /* TCP sequence number quoted */
    uint32_t mtu;          /* of a too-big message, else 0 (IPv4: >= 68, IPv6: >= 1280) */
    bool hard;             /* port or protocol unreachable */
    bool has_timestamp;    /* the quote goes as far as our timestamps ... */
    uint32_t timestamp;    /* ... and this is the TSval quoted */
};

/* Read the TCP packet that an ICMP or ICMPv6 error quotes: pure, no state; net_input and steer
 * (which worker's connection is it?) ask. b is parsed and of one of the two protocols.
 * TG_UNSUPPORTED: not an error message, or it quotes no TCP packet; TG_BAD_INPUT: malformed; *error
 * is written only with TG_OK. Whether the quoted source is ours is the caller's question. */
enum tg_err net_icmp_quote(const struct buf *b, struct net_icmp_error *error);

struct net;

/* Make one worker's IP layer (cold). `config` is copied. `on_icmp_error` is called during net_input
 * for each well-formed error that quotes one of our TCP packets; may be NULL. `seed`: key of the
 * neighbour table and jitter. TG_BAD_CONFIG: a count, port, prefix length, MTU (>= 576) or family
 * does not fit. TG_NO_MEMORY. */
enum tg_err net_create(const struct net_config *config, struct buf_pool *pool, struct stats *stats,
                       const struct toeplitz *toeplitz, uint64_t seed,
                       void (*on_icmp_error)(void *arg, const struct net_icmp_error *error,
                                             tg_ns now),
                       void *arg, struct net **net);
void net_destroy(struct net *net);

/* Take what is not for a transport: ARP, ND, ICMP, ICMPv6 (anything else is dropped as
 * net_protocol). b must be parsed and unshared (refs == 1); ownership passes; answers are queued
 * for net_take. Counts what it drops.
 *
 * Who may change a neighbour entry (ARP and ND alike): a reply to us settles an entry that we have
 * asked about and no other; an unsolicited reply or a gratuitous ARP that names another MAC only
 * makes us ask the old one again; a request addressed to us makes an entry, completes an unresolved
 * one, or replaces a stale one (RFC 826's merge), but not one that is in use. Router advertisements
 * and redirects change nothing. */
void net_input(struct net *net, struct buf *b, tg_ns now);

/* True when the address is one of ours (or, IPv6, our solicited-node multicast for ND). */
bool net_is_local(const struct net *net, const struct ip_addr *address);

/* True when the address is the IPv4 broadcast address of one of our on-link prefixes. */
bool net_is_broadcast(const struct net *net, const struct ip_addr *address);

/* True when a frame's destination MAC is its port's or a group's. */
bool net_accepts_mac(const struct net *net, const struct buf *b);

/* Send an IP payload (first byte = transport header, checksum still missing at `checksum_offset`):
 * route, IP header, checksum or offload, Ethernet. Takes over one reference; queues the frame, or
 * lets it wait for the neighbour, or drops and counts. The bytes in front of the transport header
 * are written now: the caller must own the frame's headroom (io_tx_done), of a super-segment (buf.segments) that of every piece. The frame grows to the
 * front by the headers and must not be touched while net holds its reference (refs tells). TG_OK
 * also when it waits for a neighbour or was dropped (a full queue, like loss on the wire);
 * TG_UNREACHABLE: no route, or the destination is ourselves (the reference is gone too). */
enum tg_err net_output(struct net *net, struct buf *b, const struct ip_emit *ip,
                       unsigned checksum_offset, tg_ns now);

/* Frames that net_output can still queue before net_take must be called: tcp_output stops in time.
 */
unsigned net_tx_room(const struct net *net);

/* Largest IP packet towards the destination, bytes: the port's MTU (port 0's without a route). */
uint16_t net_mtu(const struct net *net, const struct ip_addr *destination);

/* Which of our addresses talks to this destination; TG_UNREACHABLE without a route. */
enum tg_err net_source_for(const struct net *net, const struct ip_addr *destination,
                           struct ip_addr *source);

/* Take up to n ready frames for io_tx, oldest first. */
unsigned net_take(struct net *net, struct buf *out[], unsigned n);

/* Resend requests, expire neighbours; the first call announces our addresses (gratuitous ARP,
 * unsolicited NA) where config.answers. Call about every 100 ms of worker time. */
void net_tick(struct net *net, tg_ns now);

/* Neighbours in force, for tests and the control plane: fills at most n, returns how many exist. */
struct net_neighbour_view {
    struct ip_addr address;
    uint8_t mac[6];
    bool reachable;
};
unsigned net_neighbours(const struct net *net, struct net_neighbour_view out[], unsigned n);

#endif
