/* SPDX-License-Identifier: BSD-3-Clause
 * Client, edge, origin: HTTP/1.1 requests of all shapes through the real worker, two of them behind a port
 * with one queue. Every body is compared at both ends, every request reaches the origin once, and in
 * the end nothing is left on any of the three.
 */
#include "tests/sim/http_world.h"
#include <stdio.h>
#include <stdlib.h>

#define HEAL_AFTER (40 * TG_S)
#define PATIENCE   (900 * TG_S) /* deadlines of the proxy: longer than any run of bad luck here */

/* --- what is to happen ------------------------------------------------------------------------------------ */

static void draw_up(struct prng *rng, struct http_plan *plan, uint64_t bytes_max)
{
    static const char *const bodiless[] = {"GET", "GET", "GET", "HEAD", "DELETE"};
    static const char *const with_body[] = {"POST", "POST", "PUT"};
    if (sim_chance(rng, 60)) {
        plan->method = bodiless[prng_below(rng, TG_ARRAY_LEN(bodiless))];
        return;
    }
    plan->method = with_body[prng_below(rng, TG_ARRAY_LEN(with_body))];
    plan->up_bytes = sim_draw_size(rng, bytes_max);
    plan->up_framing = sim_chance(rng, 50) ? SEND_SIZED : SEND_CHUNKED;
}

static void draw_down(struct prng *rng, struct http_plan *plan, uint64_t bytes_max)
{
    static const unsigned statuses[] = {200, 200, 200, 200, 404, 500, 204, 304};
    plan->status = statuses[prng_below(rng, TG_ARRAY_LEN(statuses))];
    plan->down_framing = sim_chance(rng, 50) ? SEND_SIZED : SEND_CHUNKED;
    plan->down_bytes = sim_draw_size(rng, bytes_max);
    plan->origin_close = sim_chance(rng, 10);
    plan->until_close = sim_chance(rng, 5);
    if (plan->until_close)
        plan->down_framing = SEND_SIZED;
    if (plan->status == 204 || plan->status == 304)
        plan->down_framing = SEND_SIZED, plan->until_close = false;
    plan->informational = sim_chance(rng, 10) ? (unsigned)sim_between(rng, 1, 3) : 0;
    plan->think = sim_chance(rng, 70) ? 0 : prng_below(rng, 200 * TG_MS);
    plan->early = plan->up_framing != SEND_NOTHING && sim_chance(rng, 15);
}

static void draw_misdeed(struct prng *rng, struct http_plan *plan)
{
    plan->misdeed = (enum misdeed)sim_between(rng, WELL_BEHAVED + 1, MISDEEDS - 1);
    plan->reset = sim_chance(rng, 50);
    plan->early = false;
    plan->status = 200;
    plan->informational = 0;
    if (plan->misdeed == CUT_BODY) { /* the cut must be visible: framed, and enough of it */
        plan->method = "GET";
        plan->up_framing = SEND_NOTHING, plan->up_bytes = 0;
        plan->until_close = false;
        plan->down_bytes += 100000;
    }
}

static void draw_plan(struct http_world *w, struct http_plan *plan, uint64_t bytes_max)
{
    struct prng *rng = &w->rng;
    draw_up(rng, plan, bytes_max);
    draw_down(rng, plan, bytes_max);
    plan->filler = sim_chance(rng, 75) ? 0 : (unsigned)prng_below(rng, 5000);
    plan->client_close = sim_chance(rng, 8);
    plan->pause = sim_chance(rng, 70) ? 0 : prng_below(rng, 500 * TG_MS);
    if (sim_chance(rng, 6)) {
        plan->aborts = true;
        plan->abort_after = prng_below(rng, plan->up_bytes + plan->down_bytes + 1);
    } else if (w->misdeeds && sim_chance(rng, 30)) {
        draw_misdeed(rng, plan);
    }
}

static void draw_plans(struct http_world *w)
{
    struct prng *rng = &w->rng;
    bool many = sim_chance(rng, 30);
    uint64_t bytes_max = many ? 5000 : 120000;
    w->misdeeds = sim_chance(rng, 25);
    w->starved = sim_chance(rng, 12);
    w->https = sim_chance(rng, 35);
    w->origin_https = sim_chance(rng, 20);
    w->client_count = (unsigned)sim_between(rng, 1, many ? HTTP_CLIENTS_MAX : 6);
    w->plan_count = (unsigned)sim_between(rng, w->client_count, many ? HTTP_PLANS_MAX : 40);
    for (unsigned i = 0; i < w->plan_count; i++) {
        w->plans[i].number = i;
        draw_plan(w, &w->plans[i], bytes_max);
    }
}

/* --- the three nodes --------------------------------------------------------------------------------------- */

/* Before the edge, whose sets seed libcrypto anew. */
static void open_tls(struct http_world *w)
{
    static const char name[] = "sim.example";
    struct tls_client_config config = {.server_name = span_make(name, sizeof name - 1)};
    char problem[256];
    if (!w->https && !w->origin_https)
        return;
    pipe_tls_start();
    if (w->origin_https)
        w->origin_set = pipe_tls_set(w->sim->seed * 8 + 7);
    if (w->https && tls_client_create(&config, &w->tls_client, problem) != TG_OK)
        sim_fail(w->sim, "tls_client_create: %s", problem);
}

/* After the connections that hold them. */
static void close_tls(struct http_world *w)
{
    for (unsigned i = 0; i < w->client_count; i++)
        if (w->clients[i].open)
            pipe_lost(&w->clients[i].pipe);
    for (unsigned i = 0; i < HTTP_ORIGINS_MAX; i++)
        if (w->origins[i].open)
            pipe_lost(&w->origins[i].pipe);
    if (w->tls_client)
        tls_client_unref(w->tls_client);
    if (w->origin_set)
        tls_set_unref(w->origin_set);
}

static void open_hosts(struct http_world *w)
{
    static const uint16_t mtus[] = {1500, 1500, 1280, 1400};
    struct prng *rng = &w->rng;
    struct host_config config = {
        .name = "client",
        .number = 1,
        .buffers = 4096,
        .mtu = mtus[prng_below(rng, TG_ARRAY_LEN(mtus))],
        .offload = sim_chance(rng, 50),
        .tcp = sim_draw_tcp_config(rng, HTTP_PLANS_MAX),
        .nic = NIC_MAY_STARVE | NIC_MAY_MERGE,
    };
    host_open(&w->client_host, w->sim, &config, http_client_turn, w);
    config.name = "origin";
    config.number = 2;
    config.mtu = mtus[prng_below(rng, TG_ARRAY_LEN(mtus))];
    config.tcp = sim_draw_tcp_config(rng, HTTP_PLANS_MAX);
    host_open(&w->origin_host, w->sim, &config, http_origin_turn, w);
}

static void open_edge(struct http_world *w)
{
    struct prng *rng = &w->rng;
    struct edge_config config = {
        .workers = sim_chance(rng, 75) ? 2 : (unsigned)sim_between(rng, 1, EDGE_WORKERS_MAX),
        .buffers = 4096,
        .mtu = 1500,
        .offload = sim_chance(rng, 50),
        .tcp = sim_draw_tcp_config(rng, HTTP_PLANS_MAX),
        .proxy = {.clients_max = 64,
                  .requests_max = 40,
                  .origins_max = 40,
                  .via = "sim",
                  .head_timeout = PATIENCE,
                  .body_timeout = PATIENCE,
                  .keepalive_timeout = PATIENCE,
                  .handshake_timeout = PATIENCE},
        .seed = w->sim->seed,
        .https = w->https,
        .nic = NIC_MAY_MERGE | (w->starved ? NIC_MAY_STARVE : 0),
        .hoard_every = w->starved ? 200 + (unsigned)prng_below(rng, 2000) : 0,
    };
    w->limits = (struct tables_origin){
        .flags = w->origin_https ? TABLES_ORIGIN_TLS : 0,
        .connections_max = 40,
        .connect_timeout_ms = (uint32_t)(PATIENCE / TG_MS),
        /* Only silence ends it, or a misdeed's run would take for ever. */
        .response_timeout_ms = w->misdeeds ? 120000 : (uint32_t)(PATIENCE / TG_MS),
        .idle_timeout_ms = (uint32_t)sim_between(rng, 1000, 20000),
    };
    w->service[0] = sim_address4(EDGE_NUMBER);
    w->service[1] = sim_address6(EDGE_NUMBER);
    if (edge_open(&w->edge, w->sim, &config))
        edge_use_origin(&w->edge, &w->origin_host.address4, ORIGIN_PORT, &w->limits);
}

/* New tables under load: the same site and origin again, in other memory. */
static void swap_tables(struct timer *timer, void *arg, tg_ns now)
{
    struct http_world *w = arg;
    edge_use_origin(&w->edge, &w->origin_host.address4, ORIGIN_PORT, &w->limits);
    if (w->https)
        edge_use_certificates(&w->edge, w->sim->seed * 1000 + w->swaps * 8);
    for (unsigned i = 0; i < w->edge.workers; i++)
        sim_wake(&w->edge.worker[i].node, now + 1);
    if (--w->swaps > 0)
        timer_arm(&w->client_host.wheel, timer, now + prng_below(&w->rng, 500 * TG_MS));
}

/* The origin stops to listen, and starts again: an odd number of changes is left while it is deaf. */
static void turn_deaf(struct timer *timer, void *arg, tg_ns now)
{
    struct http_world *w = arg;
    if (w->deaf % 2 == 0)
        tcp_unlisten(w->origin_host.tcp, ORIGIN_PORT);
    else if (tcp_listen(w->origin_host.tcp, ORIGIN_PORT, 1) != TG_OK)
        sim_fail(w->sim, "tcp_listen");
    if (--w->deaf > 0)
        timer_arm(&w->origin_host.wheel, timer, now + prng_below(&w->rng, TG_S));
}

static void start_faults(struct http_world *w)
{
    timer_init(&w->swap_timer, swap_tables, w);
    timer_init(&w->deaf_timer, turn_deaf, w);
    if (sim_chance(&w->rng, 30)) {
        w->swaps = (unsigned)sim_between(&w->rng, 1, 50);
        timer_arm(&w->client_host.wheel, &w->swap_timer, w->sim->now + TG_S);
    }
    w->deaf_ever = w->misdeeds && sim_chance(&w->rng, 40);
    if (w->deaf_ever) {
        w->deaf = 2 * (unsigned)sim_between(&w->rng, 1, 4);
        timer_arm(&w->origin_host.wheel, &w->deaf_timer, w->sim->now + TG_S);
    }
}

static void start_clients(struct http_world *w)
{
    unsigned next = 0;
    if (tcp_listen(w->origin_host.tcp, ORIGIN_PORT, 1) != TG_OK)
        sim_fail(w->sim, "tcp_listen");
    http_origin_init(w);
    for (unsigned i = 0; i < w->client_count; i++) {
        unsigned share = (w->plan_count - next) / (w->client_count - i);
        http_client_start(&w->clients[i], w, i, next, next + share,
                          w->sim->now + TG_MS + prng_below(&w->rng, TG_S));
        next += share;
    }
}

/* --- the end ----------------------------------------------------------------------------------------------- */

static bool all_asked(void *world)
{
    return http_all_finished(world);
}

static void play(struct http_world *w)
{
    http_run(w, HEAL_AFTER, all_asked, w);
    if (w->edge.workers && !w->sim->failed)
        http_drain(w);
}

static void dump_tcp(struct tcp *tcp, tcp_handle h)
{
    struct tcp_info i;
    if (tcp_get_info(tcp, h, &i) == TG_OK)
        printf("; port %u > %u, state %u, unsent %u, unacked %u, unread %u, cwnd %u, writable %u",
               i.tuple.local_port, i.tuple.remote_port, i.state, i.unsent, i.unacked, i.unread,
               i.cwnd, tcp_writable(tcp, h));
    printf("\n");
}

/* For people: who is where, when a run has failed. */
static void dump(struct http_world *w)
{
    for (unsigned i = 0; i < w->client_count; i++) {
        const struct http_client *c = &w->clients[i];
        if (c->finished)
            continue;
        printf("    client %u: request %u, open %d, asking %d, sent %llu, read %llu, reader %d", i,
               c->plan, c->open, c->asking, (unsigned long long)c->writer.sent,
               (unsigned long long)c->reader.body, (int)c->reader.state);
        dump_tcp(w->client_host.tcp, c->open ? c->pipe.handle : TCP_NONE);
    }
    for (unsigned i = 0; i < HTTP_ORIGINS_MAX; i++) {
        const struct http_origin *o = &w->origins[i];
        if (!o->open)
            continue;
        printf(
            "    origin %u: request %d, read %llu, reader %d, answered %d, sent %llu, writer %d, "
            "piece %u of %u, timer %d",
            i, o->plan ? (int)o->plan->number : -1, (unsigned long long)o->reader.body,
            (int)o->reader.state, o->answered, (unsigned long long)o->writer.sent, o->writer.active,
            o->writer.at, o->writer.len, timer_armed(&o->timer));
        dump_tcp(w->origin_host.tcp, o->pipe.handle);
    }
}

static void compare(struct http_world *w)
{
    for (unsigned i = 0; i < w->plan_count; i++) {
        const struct http_plan *plan = &w->plans[i];
        if (!plan->aborted && !plan->done)
            sim_fail(w->sim, "request %u was never answered", i);
        if (!plan->aborted && plan->asked == 0 && !w->starved && !w->deaf_ever)
            sim_fail(w->sim, "request %u never reached the origin", i);
    }
    if (w->sim->verbose)
        printf(
            "    %u requests, %u clients, %u workers%s%s%s%s%s; %llu reused, %llu connects, %llu "
            "retries\n",
            w->plan_count, w->client_count, w->edge.workers, w->misdeeds ? ", misdeeds" : "",
            w->starved ? ", starved" : "", w->deaf_ever ? ", deaf" : "", w->https ? ", https" : "",
            w->origin_https ? ", https to the origin" : "",
            (unsigned long long)edge_counter(&w->edge, TG_C_origin_reused),
            (unsigned long long)edge_counter(&w->edge, TG_C_origin_connects),
            (unsigned long long)edge_counter(&w->edge, TG_C_origin_retries));
}

void scenario_http(struct sim *sim)
{
    struct http_world *w = calloc(1, sizeof *w);
    tg_assert(w);
    w->sim = sim;
    prng_seed(&w->rng, sim->seed ^ 0x4774);
    draw_plans(w);
    open_tls(w);
    open_hosts(w);
    if (!sim->failed)
        open_edge(w);
    if (!sim->failed) {
        sim_paths_draw(sim, &w->rng);
        sim_boxes_draw(sim, &w->rng, false);
        start_clients(w);
        start_faults(w);
        play(w);
        compare(w);
        if (sim->failed && sim->verbose)
            dump(w);
    }
    close_tls(w);
    edge_close(&w->edge);
    host_close(&w->client_host);
    host_close(&w->origin_host);
    free(w);
}
