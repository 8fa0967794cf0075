/* SPDX-License-Identifier: BSD-3-Clause
 * Workers as nodes of the simulation. Called by sim.c through the nodes' functions and by the scenarios.
 */
#include "tests/sim/edge.h"
#include "proxy/keyless.h"
#include "proxy/origin_plan.h"
#include "tests/sim/pipe.h"
#include <stdio.h>
#include <stdlib.h>

#define EDGE_TICK         (100 * TG_MS)
#define EDGE_WALL         1700000000ll /* seconds of CLOCK_REALTIME when the worker clock was 0 */
#define EDGE_CHECK_BUDGET 16
#define EDGE_CHECK_EVERY                                                                           \
    4 /* turns: the tables' sizes count, too, and the hosts of tcp check after every one */

static struct edge_worker *edge_worker_of(const struct sim_node *node)
{
    return tg_container_of(node, struct edge_worker, node);
}

static void edge_check(struct edge_worker *w)
{
    if (w->turns_to_check-- > 0)
        return;
    w->turns_to_check =
        EDGE_CHECK_EVERY + tcp_connection_count(worker_tcp(w->worker)) / EDGE_CHECK_BUDGET;
    const char *broken = tcp_check(worker_tcp(w->worker));
    if (broken)
        sim_fail(w->edge->sim, "%s: tcp_check: %s", w->name, broken);
    broken = proxy_check(worker_proxy(w->worker));
    if (broken)
        sim_fail(w->edge->sim, "%s: proxy_check: %s", w->name, broken);
}

/* As the control plane does: a generation goes when every worker has let go of it. Whoever still reads it
 * then reads nonsense, or a sanitizer speaks up. */
static void edge_release_routes(struct edge *edge)
{
    uint64_t oldest = UINT64_MAX;
    for (unsigned i = 0; i < edge->workers; i++) {
        uint64_t uses = proxy_oldest(worker_proxy(edge->worker[i].worker), TABLES_ROUTES);
        oldest = uses < oldest ? uses : oldest;
    }
    for (unsigned i = 0; i < edge->routes_count && i + 1 < oldest; i++) {
        if (!edge->routes[i])
            continue;
        memset(edge->routes[i], 0xa5, edge->routes[i]->header.bytes);
        free(edge->routes[i]);
        edge->routes[i] = NULL;
    }
}

static bool edge_turn(struct sim_node *node, tg_ns now)
{
    struct edge_worker *w = edge_worker_of(node);
    hoard_turn(&w->hoard, node->sim, io_pool(w->io), &w->rng);
    nic_flush(&w->nic);
    bool busy = worker_poll(w->worker, w->edge->wall_offset);
    edge_check(w);
    edge_release_routes(w->edge);
    return busy;
}

static tg_ns edge_next(const struct sim_node *node)
{
    const struct edge_worker *w = edge_worker_of(node);
    tg_ns timers = timers_next(worker_timers(w->worker)), tick = w->edge->sim->now + EDGE_TICK;
    tg_ns hoard = hoard_next(&w->hoard);
    timers = timers < hoard ? timers : hoard;
    return timers < tick ? timers : tick;
}

static void edge_receive(struct sim_node *node, struct span frame)
{
    struct edge_worker *first = edge_worker_of(node);
    struct edge *edge = first->edge;
    struct edge_worker *w = &edge->worker[nic_queue_off(&first->nic, edge->workers)];
    nic_receive(&w->nic, frame);
    if (w != first)
        sim_wake(&w->node, edge->sim->now + 1);
}

static void edge_transmit(void *arg, unsigned port, struct span frame, tg_ns now)
{
    struct edge_worker *w = arg;
    sim_transmit(w->edge->sim, w->edge->port, frame);
}

static bool edge_fault(void *arg, enum io_sim_fault kind)
{
    struct edge_worker *w = arg;
    return nic_fails(&w->nic, kind);
}

/* --- up and down ----------------------------------------------------------------------------------------- */

static enum tg_err edge_open_io(struct edge *edge, const struct edge_config *config, unsigned i)
{
    struct edge_worker *w = &edge->worker[i];
    w->edge = edge;
    w->hoard.every = config->hoard_every;
    w->hoard.place = edge->number * 8 + i;
    prng_seed(&w->rng, config->seed * 64 + 32 + i);
    snprintf(w->name, sizeof w->name, config->number ? "edge%2$u.%1$u" : "edge.%u", i,
             config->number);
    w->node = (struct sim_node){
        .name = w->name, .turn = edge_turn, .next = edge_next, .receive = edge_receive};
    nic_draw(&w->nic, edge->sim, w->hoard.place, &w->rng, config->nic);
    struct io_sim_config io = {
        .fault = nic_is_broken(&w->nic) ? edge_fault : NULL,
        .buffers = config->buffers,
        .clock = &edge->sim->now,
        .worker = i,
        .workers = config->workers,
        .mtu = config->mtu,
        .tx_checksum_offload = config->offload,
        .tso_bytes_max = w->nic.tso_bytes_max,
        .transmit = edge_transmit,
        .arg = w,
    };
    memcpy(io.mac, edge->mac, 6);
    enum tg_err err = io_sim_open(&io, &w->stats, &w->io);
    w->nic.io = w->io;
    return err;
}

/* A set with the run's certificate, as housekeeping would make it: keys at hand, no key servers. */
static enum tg_err certificates_use(struct edge_worker *w, uint64_t seed, uint64_t number)
{
    struct keyless_plan *plan;
    unsigned bad;
    char problem[256];
    struct tls_set *set = pipe_tls_set(seed);
    enum tg_err err = keyless_plan_create(set, NULL, 0, NULL, 0, &plan, &bad, problem);
    return err == TG_OK ? worker_use_table(w->worker, TABLES_CERTIFICATES, plan, number) : err;
}

static enum tg_err edge_open_worker(struct edge *edge, const struct edge_config *config, unsigned i)
{
    struct edge_worker *w = &edge->worker[i];
    struct worker_config worker = {
        .index = i,
        .workers = config->workers,
        .tcp = config->tcp,
        .proxy = config->proxy,
        .listen = {{EDGE_HTTP_PORT, PROXY_LISTEN_HTTP}, {EDGE_HTTPS_PORT, PROXY_LISTEN_HTTPS}},
        .listen_count = 2,
        .seed = config->seed,
        .toeplitz = sim_toeplitz(),
        .node_slot = config->node_slot,
    };
    sim_net_addresses(&worker.net, edge->number);
    for (unsigned k = 0; k < config->service_count; k++)
        worker.net.addresses[worker.net.address_count++] =
            (struct net_address){config->service[k], 128, 0};
    worker.tcp.tso_bytes_max = w->nic.rows ? UINT32_MAX : 0;
    enum tg_err err = worker_create(&worker, w->io, &w->stats, NULL, NULL, &w->worker);
    if (err == TG_OK)
        sim_add_node(edge->sim, &w->node);
    if (err == TG_OK && config->https)
        err = certificates_use(w, config->seed * 8 + i, 1);
    return err;
}

bool edge_open(struct edge *edge, struct sim *sim, const struct edge_config *config)
{
    enum tg_err err = TG_OK;
    struct io *ios[EDGE_WORKERS_MAX];
    tg_assert(config->workers <= EDGE_WORKERS_MAX);
    memset(edge, 0, sizeof *edge);
    edge->sim = sim;
    edge->workers = config->workers;
    edge->wall_offset = EDGE_WALL * (int64_t)TG_S;
    edge->number = config->number ? config->number : EDGE_NUMBER;
    sim_mac(edge->number, edge->mac);
    for (unsigned i = 0; i < config->workers && err == TG_OK; i++) {
        err = edge_open_io(edge, config, i);
        ios[i] = edge->worker[i].io;
    }
    if (err == TG_OK)
        io_sim_join(ios, config->workers);
    for (unsigned i = 0; i < config->workers && err == TG_OK; i++)
        err = edge_open_worker(edge, config, i);
    for (unsigned i = 0; i < config->workers && config->workers > 1; i++)
        edge->worker[i].node.sibling = &edge->worker[(i + 1) % config->workers].node;
    edge->port = sim_add_port(sim, edge->mac, &edge->worker[0].node);
    if (err != TG_OK)
        sim_fail(sim, "edge: cannot open: %s", tg_err_text(err));
    return err == TG_OK;
}

/* After the stacks' end every frame of every worker must be home. */
static void edge_close_ios(struct edge *edge)
{
    struct buf *burst[TG_BURST];
    for (unsigned i = 0; i < edge->workers; i++) {
        struct edge_worker *w = &edge->worker[i];
        if (!w->io)
            continue;
        hoard_end(&w->hoard, io_pool(w->io));
        for (unsigned n; (n = io_rx(w->io, burst, TG_BURST));)
            for (unsigned k = 0; k < n; k++)
                buf_unref(io_pool(w->io), burst[k]);
        if (io_sim_outstanding(w->io))
            sim_fail(edge->sim, "%s: %u buffers lost", w->name, io_sim_outstanding(w->io));
        io_close(w->io);
    }
}

void edge_close(struct edge *edge)
{
    for (unsigned i = 0; i < edge->workers; i++)
        if (edge->worker[i].worker)
            worker_destroy(edge->worker[i].worker);
    edge_close_ios(edge);
    for (unsigned i = 0; i < edge->routes_count; i++)
        free(edge->routes[i]);
}

/* --- tables ---------------------------------------------------------------------------------------------- */

struct routes_block {
    struct tables_routes routes;
    struct tables_site site;
    struct tables_origin origin;
    char text[16];
};

static enum tg_err routes_use(struct edge *edge, unsigned worker,
                              const struct tables_routes *routes)
{
    struct origin_plan *plan;
    unsigned bad;
    char problem[256];
    enum tg_err result = origin_plan_create(routes, &plan, &bad, problem);
    if (result == TG_OK)
        result =
            worker_use_table(edge->worker[worker].worker, TABLES_ROUTES, plan, edge->routes_count);
    return result;
}

void edge_use_origin(struct edge *edge, const struct ip_addr *address, uint16_t port,
                     const struct tables_origin *limits)
{
    struct routes_block *b = calloc(1, sizeof *b);
    tg_assert(b && edge->routes_count < TG_ARRAY_LEN(edge->routes));
    const uint32_t text = offsetof(struct routes_block, text);
    b->routes = (struct tables_routes){
        .header = {TABLES_ROUTES, sizeof *b, edge->routes_count + 1},
        .site_count = 1,
        .site_offset = offsetof(struct routes_block, site),
        .origin_count = 1,
        .origin_offset = offsetof(struct routes_block, origin),
        .default_site = 0,
    };
    memcpy(b->text, "sim.example", 11);
    b->site = (struct tables_site){.id = 1, .flags = TABLES_SITE_DEFAULT, .host = {text, 11}};
    b->origin = *limits;
    memcpy(b->origin.address, address->bytes, 16);
    b->origin.port = port;
    b->origin.name = (struct tables_string){text, 3};
    if (!tables_valid(TABLES_ROUTES, b, sizeof *b))
        sim_fail(edge->sim, "the scenario's routes are not valid");
    edge->routes[edge->routes_count++] = &b->routes;
    for (unsigned i = 0; i < edge->workers; i++)
        if (routes_use(edge, i, &b->routes) != TG_OK)
            sim_fail(edge->sim, "edge.%u refuses the routes", i);
}

void edge_use_certificates(struct edge *edge, uint64_t seed)
{
    edge->certificates_count++;
    for (unsigned i = 0; i < edge->workers; i++)
        if (certificates_use(&edge->worker[i], seed + i, edge->certificates_count + 1) != TG_OK)
            sim_fail(edge->sim, "edge.%u refuses the certificates", i);
}

void edge_use_owners(struct edge *edge, struct tables_owners *table, uint64_t number)
{
    if (!tables_valid(TABLES_OWNERS, table, table->header.bytes))
        sim_fail(edge->sim, "the scenario's owners are not valid");
    for (unsigned i = 0; i < edge->workers; i++) {
        struct edge_worker *w = &edge->worker[i];
        if (worker_use_table(w->worker, TABLES_OWNERS, table, number) != TG_OK)
            sim_fail(edge->sim, "%s refuses the owners", w->name);
    }
}

/* --- the end --------------------------------------------------------------------------------------------- */

static const char *worker_leftovers(struct edge_worker *w)
{
    static char text[200];
    struct proxy_gauges g;
    proxy_get_gauges(worker_proxy(w->worker), &g);
    unsigned connections = tcp_connection_count(worker_tcp(w->worker));
    unsigned waiting = tcp_time_wait_count(worker_tcp(w->worker));
    unsigned buffers = io_sim_outstanding(w->io), timers = worker_timers(w->worker)->armed;
    if (!(connections | waiting | buffers | timers | g.clients | g.requests | g.origins |
          g.run_queue))
        return NULL;
    snprintf(text, sizeof text,
             "%s: left: %u connections, %u in TIME-WAIT, %u buffers, %u timers; proxy: %u clients, "
             "%u requests, %u origins, run queue %u",
             w->name, connections, waiting, buffers, timers, g.clients, g.requests, g.origins,
             g.run_queue);
    return text;
}

const char *edge_leftovers(struct edge *edge)
{
    const char *left = NULL;
    for (unsigned i = 0; i < edge->workers && !left; i++)
        left = worker_leftovers(&edge->worker[i]);
    return left;
}

uint64_t edge_counter(const struct edge *edge, enum tg_counter c)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < edge->workers; i++)
        sum += edge->worker[i].stats.value[c];
    return sum;
}
