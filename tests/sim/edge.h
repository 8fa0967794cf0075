/* SPDX-License-Identifier: BSD-3-Clause
 * The edge node of the simulation: the real worker, two or more of them behind a port with one queue, so
 * that worker 0 receives for all and hands over. Each worker takes its turns by itself.
 */
#ifndef TESTS_SIM_EDGE_H
#define TESTS_SIM_EDGE_H

#include "tests/sim/host.h"
#include "tests/sim/nic.h"
#include "worker/worker.h"

#define EDGE_WORKERS_MAX 4
#define EDGE_NUMBER      10 /* 10.0.0.10, fd00::10 is written as ::a */
#define EDGE_HTTP_PORT   80
#define EDGE_HTTPS_PORT  443

struct edge_worker {
    struct sim_node node; /* first */
    struct edge *edge;
    struct io *io;
    struct worker *worker;
    struct stats stats;
    char name[16];
    unsigned turns_to_check;
    struct prng rng; /* of faults */
    struct hoard hoard;
    struct nic nic;
};

struct edge {
    struct sim *sim;
    unsigned number; /* 10.0.0.number, fd00::number */
    unsigned workers;
    struct edge_worker worker[EDGE_WORKERS_MAX];
    unsigned port;
    uint8_t mac[6];
    int64_t wall_offset;
    struct tables_routes *routes[64]; /* by generation; freed when no worker uses it any more */
    unsigned routes_count, certificates_count;
};

struct edge_config {
    unsigned workers;
    unsigned buffers; /* per worker */
    uint16_t mtu;
    bool offload;
    struct tcp_config tcp;
    struct proxy_config proxy;
    uint64_t seed;
    unsigned hoard_every;
    unsigned nic; /* what its cards may do: enum nic_may */
    bool https;   /* with pipe_tls_set's certificate */
    /* In a fleet: */
    unsigned number; /* 0: EDGE_NUMBER */
    uint16_t node_slot;
    struct ip_addr service[2]; /* addresses that other nodes have, too */
    unsigned service_count;
};

bool edge_open(struct edge *edge, struct sim *sim, const struct edge_config *config);
void edge_close(struct edge *edge);

/* Publish the one site "sim.example" (also the default) with one origin, as a new generation on all workers. */
void edge_use_origin(struct edge *edge, const struct ip_addr *address, uint16_t port,
                     const struct tables_origin *limits);

/* A new set of certificates (the same one again) on all workers. */
void edge_use_certificates(struct edge *edge, uint64_t seed);

/* A table of owners, on all workers; it must outlive them. */
void edge_use_owners(struct edge *edge, struct tables_owners *table, uint64_t number);

/* Seconds of the wall clock, for TLS. */
static inline uint64_t edge_wall_s(const struct edge *edge)
{
    return (uint64_t)((int64_t)edge->sim->now + edge->wall_offset) / TG_S;
}

/* NULL when nothing is left on any worker. */
const char *edge_leftovers(struct edge *edge);
/* A counter summed over the workers. */
uint64_t edge_counter(const struct edge *edge, enum tg_counter c);

#endif
