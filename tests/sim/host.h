/* SPDX-License-Identifier: BSD-3-Clause
 * A host of the simulation: one port, our own net and tcp without filter, steer or proxy, and an
 * application. What worker_poll does for an edge node, host_turn does here.
 */
#ifndef TESTS_SIM_HOST_H
#define TESTS_SIM_HOST_H

#include "io/io_sim.h"
#include "net/net.h"
#include "tcp/tcp.h"
#include "tests/sim/hoard.h"
#include "tests/sim/nic.h"
#include "tests/sim/sim.h"
#include "tests/sim/wire_oracle.h"

#define HOST_FIRST_PORT 20000 /* of active opens */

struct host {
    struct sim_node node; /* first: the simulator's view */
    struct io *io;
    struct net *net;
    struct tcp *tcp;
    struct timer_wheel wheel; /* the application's timers, too */
    struct stats stats;
    unsigned port;   /* on the switch */
    unsigned number; /* of its addresses */
    struct ip_addr address4, address6;
    uint8_t mac[6];
    struct prng rng; /* of the application and of faults */
    tg_ns last_tick;
    uint32_t next_port; /* of active opens: no port is used twice in a run */
    struct hoard hoard;
    struct wire_oracle oracle;
    struct nic nic;
    unsigned refill_faults;  /* a refill of the pool fails about every so many turns; 0: never */
    uint64_t refill_count;   /* so far */
    unsigned turns_to_check; /* until tcp_check runs again: it is linear in the connections */
    /* One turn of the application: fetch events, read, write. Returns whether it did anything. */
    bool (*app_turn)(void *app, tg_ns now);
    void *app;
};

struct host_config {
    const char *name;
    unsigned number; /* 10.0.0.number, fd00::number */
    unsigned buffers;
    uint16_t mtu;
    bool offload;                        /* the port fills in checksums */
    struct tcp_config tcp;               /* keys, seed and pick_port are filled in */
    unsigned refill_faults, hoard_every; /* turns, about; 0: never */
    unsigned nic;                        /* what its card may do: enum nic_may */
    unsigned gateway;                    /* number of the router to all else; 0: there is none */
};

/* Shared by all stacks of a run: the hash key is the node's, not the connection's. */
const struct toeplitz *sim_toeplitz(void);

/* 10.0.0.number and fd00::number. */
struct ip_addr sim_address4(unsigned number);
struct ip_addr sim_address6(unsigned number);
void sim_mac(unsigned number, uint8_t mac[6]);
/* Both, with on-link prefixes, for a stack's configuration. */
void sim_net_addresses(struct net_config *config, unsigned number);

/* Limits of a stack, drawn: windows, buffers, queues. `connections` at most are open at once. */
struct tcp_config sim_draw_tcp_config(struct prng *rng, unsigned connections);

/* Open: false and sim_fail when something refuses. */
bool host_open(struct host *host, struct sim *sim, const struct host_config *config,
               bool (*app_turn)(void *app, tg_ns now), void *app);
void host_close(struct host *host);
/* Print what it has counted. */
void host_say_counters(const struct host *host);

/* Choose the secrets such that the connection of this tuple, opened at about `when`, soon meets the end of
 * its sequence numbers, or of its timestamps (wrap.c). */
void host_wrap_soon(struct host *host, const struct ip_tuple *tuple, tg_ns when);

/* NULL when nothing is left: no connection, no TIME-WAIT, every buffer at home, no timer armed. */
const char *host_leftovers(struct host *host);

#endif
