/* SPDX-License-Identifier: BSD-3-Clause
 * One worker's io, net and tcp, as the appliance has them, with nothing above: what the peer program stands on.
 * Called by tcp_peer_app.c and peer_conn.c.
 */
#ifndef TESTS_PEER_NODE_H
#define TESTS_PEER_NODE_H

#include "io/io.h"
#include "net/net.h"
#include "tcp/tcp.h"

struct peer_node {
    struct io_host *host;
    struct io *io;
    struct net *net;
    struct tcp *tcp;
    struct timer_wheel timers;
    struct stats stats;
    struct toeplitz toeplitz;
    struct ip_addr local4, local6;
    tg_ns last_tick;
    uint32_t port_next;
};

struct peer_node_options {
    const char *device;
    struct ip_addr local4, local6; /* in /24 and /64 */
    uint32_t connections, window;  /* most connections; bytes that each may hold, each way */
    uint64_t seed;
};

/* False: what is wrong has been printed. */
bool peer_node_open(struct peer_node *n, const struct peer_node_options *options);
void peer_node_close(struct peer_node *n);

/* One turn of the packet path up to the point where the user of tcp acts: frames in, timers. Returns how many came. */
unsigned peer_node_input(struct peer_node *n, tg_ns *now);
/* The other half: frames out, housekeeping. Returns how many left. */
unsigned peer_node_output(struct peer_node *n, tg_ns now);

#endif
