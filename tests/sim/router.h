/* SPDX-License-Identifier: BSD-3-Clause
 * The router in front of a fleet: both nodes announce the service's addresses to it, and its route flips
 * between them at random. It can strip timestamps from SYNs, as some middleboxes do. Used by scenario_fleet.
 */
#ifndef TESTS_SIM_ROUTER_H
#define TESTS_SIM_ROUTER_H

#include "tests/sim/edge.h"

#define ROUTER_NUMBER 254

struct router {
    struct host host; /* first; it answers ARP and neighbour discovery */
    void (*receive_own)(struct sim_node *node, struct span frame);
    struct edge *edge[2];
    unsigned current; /* where the route leads */
    unsigned flips;
    tg_ns flip_max; /* between two flips, at most */
    bool strip;     /* timestamps */
    struct ip_addr service[2];
    struct timer timer;
    uint64_t routed[2]; /* packets to each node */
    uint8_t met[256];   /* by the client's port from HOST_FIRST_PORT on: bits of the nodes it met */
};

/* host_open for it, then the first flip is due. edge[] may be opened later. */
bool router_open(struct router *router, struct sim *sim, const struct ip_addr service[]);
void router_start(struct router *router);
void router_close(struct router *router);
/* Connections all of whose packets went to the same node. */
unsigned router_undivided(const struct router *router);

/* The port on the switch whose frames go through it: too-big messages to a shared address, too. */
void router_guard(struct router *router, struct edge *edge, unsigned which);

#endif
