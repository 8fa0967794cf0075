/* SPDX-License-Identifier: BSD-3-Clause
 * Whose packet is it? One look-up stage that gives every packet its verdict: LOCAL, CORE, NODE,
 * RST, PUNT, DROP. With one node the bucket table names this node only; in a fleet the ladder
 * (ladder.h) finds the owner of a stranger's packet, and the tunnel (tunnel.h) carries it there.
 * Floor 2: contract, net.
 */
#ifndef DATAPLANE_STEER_STEER_H
#define DATAPLANE_STEER_STEER_H

#include "base/buf.h"
#include "base/stats.h"
#include "contract/tables.h"
#include "net/net.h"
#include "steer/fleet.h"
#include "steer/limits.h"

/* What this worker's flow table says about a packet. */
enum steer_claim {
    STEER_STRANGER, /* no connection of this tuple */
    STEER_DOUBTFUL, /* one of this tuple, but the segment does not fit it: half open, because the client's
                     * SYN came by here and by another node; in TIME-WAIT, or left over, while the client
                     * has used its port again at another node; or what looks like the answer to a SYN cookie */
    STEER_OURS, /* or the answer to a SYN cookie that names us, before there is a connection */
};

struct steer {
    const struct tables_owners *owners; /* in force; NULL: this node owns all */
    const struct net *net;
    const struct toeplitz *toeplitz;
    struct stats *stats;
    unsigned worker, workers;
    uint16_t node_slot; /* this node's owner slot */
    bool
        spread_by_port; /* the port's RSS already chose the worker (steer_hash.h): keep what arrives */
    bool exception;     /* what comes by port 0 and is not ours goes to the kernel */

    /* In a fleet; fleet NULL: there is none, and the rest is not looked at. `owners` is then the table
     * that the fleet was built from. */
    const struct fleet *fleet;
    struct steer_limits *limits; /* written by steer_forward */
    /* This worker's flow table. segment: NULL when the packet only quotes one. */
    enum steer_claim (*claim)(const void *arg, const struct ip_tuple *tuple, uint32_t hash,
                              const struct tcp_segment *segment);
    const void *claim_arg;
    int64_t wall_offset_ns; /* CLOCK_REALTIME minus worker clock, as of this turn */
};

/* Set burst[i]->verdict (and worker with BUF_CORE, flow and path with BUF_NODE, reason with BUF_DROP)
 * for n filtered packets. Frees nothing, moves nothing: the worker sorts by verdict, and counts
 * buf.reason when it drops; the other verdicts are counted here (steer_local ... steer_rst). ARP
 * and ND are LOCAL with ip_version 0 or protocol ICMPv6; the worker gives them to net.
 *
 *   to another's MAC                              DROP net_not_for_us
 *   to another's address                          DROP net_not_for_us; exception, port 0: PUNT
 *   source one of ours or a subnet's broadcast    DROP net_address
 *   ARP, neighbour discovery, ICMP to us          LOCAL
 *   ICMP error that quotes our TCP packet         by the hash of the quoted connection: LOCAL, CORE
 *   UDP to us                                     DROP net_protocol
 *   TCP to us, by the bucket's newest owner:
 *     us, or no table                             by the hash: LOCAL, CORE (spread_by_port: LOCAL)
 *     another slot                                NODE
 *     nobody, and no former owner either          RST; a SYN or RST is DROP steer_drop
 *   from another worker (BUF_HANDED_OVER)         LOCAL
 *
 * In a fleet, instead of the last two:
 *   TCP to our own tunnel address                 as if we were alone
 *   TCP, by the hash                              CORE; at the worker that the hash names:
 *     this worker has the connection              LOCAL (doubtful: if the ladder knows nobody else)
 *     a SYN: its bucket's newest owner            LOCAL, NODE; nobody: DROP steer_drop
 *     else the ladder                             NODE; nobody: RST (a RST: DROP steer_drop)
 *   ICMP error, connection not here               the ladder: NODE; nobody: LOCAL
 *   UDP to our tunnel address and port            opened (DROP steer_tunnel_...), then the packet inside,
 *                                                 as above, but what is nobody's goes back to its
 *                                                 ingress: NODE
 *   returned to us, the ingress                   the ladder's next rung: NODE; nobody: RST
 */
void steer_burst(const struct steer *steer, struct buf *burst[], unsigned n, tg_ns now);

/* Is this LOCAL packet the kernel's business too? ARP about another's address, and what goes to a group by
 * ICMPv6 (neighbour discovery about another's address, router advertisements, group membership); the kernel
 * has a neighbour table of its own. False without an exception port, and for what another worker or node has
 * seen before. */
bool steer_concerns_kernel(const struct steer *steer, const struct buf *b);

/* Send a packet with verdict NODE through the tunnel: sealed in place, routed by net like any other.
 * TG_C_none: the reference is taken over. Else the reason to drop it, and it is the caller's still. */
enum tg_counter steer_forward(const struct steer *steer, struct net *net, struct buf *b, tg_ns now);

/* The worker of this node that serves a hash: the shape of a NIC's 128-entry redirection table
 * filled round robin, so that software hand-off, RSS and port choice agree. */
static inline unsigned steer_worker_of(uint32_t hash, unsigned workers)
{
    return (hash & 127) % workers;
}

/* Local ports of active opens such that answers arrive at this worker, O(1): Toeplitz is linear, so
 * hash(tuple, port) = hash(tuple, 0) ^ contribution(port); ports are grouped once by contribution.
 */
#define STEER_PORT_FIRST 16384
struct steer_ports {
    struct {
        uint16_t *by_bucket; /* ports sorted by the low 7 bits of their contribution */
        uint32_t start[129]; /* bucket b: by_bucket[start[b] .. start[b + 1]) */
    } family[2];             /* IPv4, IPv6: the port lies at another offset of the hash input */
    const struct toeplitz *toeplitz;
    unsigned worker, workers;
    uint32_t first, last; /* places of the tries of the current open; they rotate: ports rest */
};
/* TG_BAD_CONFIG: this key leaves a worker without ports for some tuples (about one key in a
 * thousand with 16 workers): the caller draws another key. TG_NO_MEMORY. */
enum tg_err steer_ports_init(struct steer_ports *ports, const struct toeplitz *toeplitz,
                             unsigned worker, unsigned workers, uint32_t seed);
void steer_ports_free(struct steer_ports *ports);
/* tcp_config.pick_port: arg is a struct steer_ports. tuple's local_port is ignored. Tries 0, 1, 2,
 * ... of one open give different ports >= STEER_PORT_FIRST until all that reach this worker were
 * given, then 0. */
uint16_t steer_pick_port(void *arg, const struct ip_tuple *tuple, unsigned try_number);

#endif
