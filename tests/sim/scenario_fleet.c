/* SPDX-License-Identifier: BSD-3-Clause
 * Two whole nodes with one address, a client whose route flips between them at random, an origin, lossy
 * links between all of them: downloads, uploads and connections that idle, and none may break. The nodes
 * are two sites, or one site whose buckets move from node to node; keys rotate under way. With forwarding
 * off (scenario_fleet_alone) every connection must break.
 */
#include "net/owner_cookie.h"
#include "tests/sim/http_world.h"
#include "tests/sim/router.h"
#include <stdio.h>
#include <stdlib.h>

#define HEAL_AFTER (60 * TG_S)
#define PATIENCE   (900 * TG_S)
#define FLIPS_MIN  20
#define BUCKETS    16
#define TABLES_MAX 200
#define LATE_MAX   (300 * TG_MS)
#define TABLE_STEP (800 * TG_MS)

struct fleet_world {
    struct http_world http;
    struct router router;
    bool alone;    /* the control experiment */
    bool one_site; /* buckets are shared and move */
    bool cookies;  /* nearly no half-open connections: SYN cookies answer */
    bool families[2];
    uint16_t slots[2];
    uint16_t buckets[BUCKETS][4]; /* one site */
    uint32_t key_id;
    bool rotate; /* once, under way */
    struct tables_owners *tables[TABLES_MAX][2];
    unsigned table_count;
    struct timer table_timer;
};

/* --- tables of owners ---------------------------------------------------------------------------------------- */

static struct edge *edge_at(struct fleet_world *f, unsigned i)
{
    return i ? &f->http.sister : &f->http.edge;
}

static void node_write(const struct fleet_world *f, struct tables_node *node, unsigned i)
{
    struct ip_addr a4 = sim_address4(EDGE_NUMBER + i), a6 = sim_address6(EDGE_NUMBER + i);
    node->slot = f->slots[i];
    node->site = f->one_site ? 3 : (uint8_t)(3 + 5 * i);
    if (f->families[0])
        memcpy(node->address4, a4.bytes, 16);
    if (f->families[1])
        memcpy(node->address6, a6.bytes, 16);
}

/* The current key of each use, and behind it the one before. */
static unsigned keys_write(const struct fleet_world *f, struct tables_key keys[])
{
    unsigned n = 0;
    for (unsigned use = 0; use < TABLES_KEY_USES; use++)
        for (uint32_t id = f->key_id; id > 0 && id + 2 > f->key_id; id--) {
            keys[n].use = use;
            keys[n].id = id;
            sim_stream_fill(f->http.sim->seed * 16 + use, id * 16, keys[n].secret, 16);
            n++;
        }
    return n;
}

static struct tables_owners *table_make(const struct fleet_world *f, unsigned at)
{
    size_t nodes = sizeof(struct tables_owners) + BUCKETS * sizeof(uint16_t[4]);
    size_t keys = nodes + 2 * sizeof(struct tables_node);
    size_t bytes = keys + 2 * TABLES_KEY_USES * sizeof(struct tables_key);
    struct tables_owners *t = calloc(1, bytes);
    tg_assert(t);
    *t = (struct tables_owners){.header = {TABLES_OWNERS, (uint32_t)bytes, f->table_count + 1},
                                .bucket_count = BUCKETS,
                                .node_count = 2,
                                .node_offset = (uint32_t)nodes,
                                .key_offset = (uint32_t)keys,
                                .flags = f->alone ? TABLES_OWNERS_KEEP : 0};
    memset(t->bucket_secret, 0x5a, sizeof t->bucket_secret);
    memcpy(t->owners, f->buckets, sizeof f->buckets);
    for (unsigned i = 0; i < BUCKETS && !f->one_site; i++)
        t->owners[i][0] = f->slots[at];
    for (unsigned i = 0; i < 2; i++)
        node_write(f, (struct tables_node *)(void *)((uint8_t *)t + nodes) + i, i);
    t->key_count = keys_write(f, (struct tables_key *)(void *)((uint8_t *)t + keys));
    return t;
}

static void tables_publish(struct fleet_world *f)
{
    tg_assert(f->table_count < TABLES_MAX);
    for (unsigned i = 0; i < 2; i++) {
        struct tables_owners *t = f->tables[f->table_count][i] = table_make(f, i);
        edge_use_owners(edge_at(f, i), t, f->table_count + 1);
    }
    f->table_count++;
}

/* Some buckets change their owner; who had them stays known. */
static void buckets_move(struct fleet_world *f)
{
    for (unsigned i = 0; i < BUCKETS; i++) {
        uint16_t *owners = f->buckets[i];
        if (!sim_chance(&f->http.rng, 20))
            continue;
        owners[3] = owners[2];
        owners[2] = owners[1];
        owners[1] = owners[0];
        owners[0] = f->slots[owners[0] == f->slots[0]];
    }
}

static void tables_change(struct timer *timer, void *arg, tg_ns now)
{
    struct fleet_world *f = arg;
    if (f->one_site)
        buckets_move(f);
    if (f->rotate && sim_chance(&f->http.rng, 30)) {
        f->key_id++;
        f->rotate = false;
    }
    tables_publish(f);
    if (f->table_count < TABLES_MAX)
        timer_arm(&f->router.host.wheel, timer, now + prng_below(&f->http.rng, TABLE_STEP));
}

/* --- what is to happen ------------------------------------------------------------------------------------ */

static void draw_plan(struct fleet_world *f, struct http_plan *plan, unsigned client)
{
    struct prng *rng = &f->http.rng;
    *plan = (struct http_plan){.number = plan->number,
                               .method = "GET",
                               .status = 200,
                               .down_framing = sim_chance(rng, 50) ? SEND_SIZED : SEND_CHUNKED,
                               .down_bytes = sim_draw_size(rng, 60000)};
    switch (client % 4) {
    case 0: /* a download */
        plan->down_bytes = 200000 + prng_below(rng, 800000);
        break;
    case 1: /* an upload */
        plan->method = "POST";
        plan->up_framing = sim_chance(rng, 50) ? SEND_SIZED : SEND_CHUNKED;
        plan->up_bytes = 100000 + prng_below(rng, 500000);
        break;
    case 2: /* idle most of the time */
        plan->pause = TG_S + prng_below(rng, 6 * TG_S);
        break;
    default:
        plan->pause = prng_below(rng, TG_S);
        plan->think = sim_chance(rng, 50) ? 0 : prng_below(rng, 300 * TG_MS);
    }
}

static void draw_plans(struct fleet_world *f)
{
    struct http_world *w = &f->http;
    unsigned share = (unsigned)sim_between(&w->rng, 3, 12);
    w->https = sim_chance(&w->rng, 25);
    w->client_count = (unsigned)sim_between(&w->rng, 3, 10);
    w->plan_count = w->client_count * share;
    for (unsigned i = 0; i < w->plan_count; i++) {
        w->plans[i].number = i;
        draw_plan(f, &w->plans[i], i / share);
    }
}

static void draw_fleet(struct fleet_world *f)
{
    struct prng *rng = &f->http.rng;
    f->one_site = sim_chance(rng, 40);
    f->families[0] = sim_chance(rng, 70);
    f->families[1] = !f->families[0] || sim_chance(rng, 60);
    f->slots[0] = (uint16_t)prng_below(rng, 2000);
    f->slots[1] = (uint16_t)sim_between(rng, 2000, 4094);
    f->key_id = (uint32_t)sim_between(rng, 1, 300);
    f->rotate = sim_chance(rng, 40);
    f->cookies = f->http.sim->seed % 3 == 0;
    memset(f->buckets, 0xff, sizeof f->buckets);
    for (unsigned i = 0; i < BUCKETS && f->one_site; i++)
        f->buckets[i][0] = f->slots[prng_below(rng, 2)];
    for (unsigned i = 0; i < 2; i++)
        f->http.service[i] = (struct ip_addr){{0xfd, 9, [15] = 99}};
    f->http.service[0] = ip_addr_from4((const uint8_t[4]){10, 9, 9, 99});
}

/* --- who is there --------------------------------------------------------------------------------------------- */

static void open_hosts(struct fleet_world *f)
{
    static const uint16_t mtus[] = {1500, 1500, 1280, 1400};
    struct http_world *w = &f->http;
    struct host_config config = {
        .name = "client",
        .number = 1,
        .buffers = 4096,
        .mtu = mtus[prng_below(&w->rng, TG_ARRAY_LEN(mtus))],
        .offload = sim_chance(&w->rng, 50),
        .tcp = sim_draw_tcp_config(&w->rng, HTTP_PLANS_MAX),
        .gateway = ROUTER_NUMBER,
        .nic = NIC_MAY_STARVE,
    };
    host_open(&w->client_host, w->sim, &config, http_client_turn, w);
    config.name = "origin";
    config.number = 2;
    config.mtu = 1500;
    config.gateway = 0;
    config.tcp = sim_draw_tcp_config(&w->rng, HTTP_PLANS_MAX);
    host_open(&w->origin_host, w->sim, &config, http_origin_turn, w);
    router_open(&f->router, w->sim, w->service);
    f->router.strip = sim_chance(&w->rng, 30);
    f->router.flip_max = (tg_ns)20 * TG_MS << prng_below(&w->rng, 6);
}

static void open_edge(struct fleet_world *f, unsigned i)
{
    struct http_world *w = &f->http;
    struct edge_config config = {
        .workers = (unsigned)sim_between(&w->rng, 1, 3),
        .buffers = 4096,
        .mtu = 1500,
        .offload = sim_chance(&w->rng, 50),
        .tcp = sim_draw_tcp_config(&w->rng, HTTP_PLANS_MAX),
        .proxy = {.clients_max = 64,
                  .requests_max = 40,
                  .origins_max = 40,
                  .via = "sim",
                  .head_timeout = PATIENCE,
                  .body_timeout = PATIENCE,
                  .keepalive_timeout = PATIENCE,
                  .handshake_timeout = PATIENCE},
        .seed = w->sim->seed * 2 + i,
        .https = w->https,
        .number = EDGE_NUMBER + i,
        .node_slot = f->slots[i],
        .service = {w->service[0], w->service[1]},
        .service_count = 2,
    };
    const struct tables_origin limits = {
        .connections_max = 40,
        .connect_timeout_ms = (uint32_t)(PATIENCE / TG_MS),
        .response_timeout_ms = (uint32_t)(PATIENCE / TG_MS),
        .idle_timeout_ms = (uint32_t)sim_between(&w->rng, 1000, 20000),
    };
    struct edge *edge = edge_at(f, i);
    if (f->cookies)
        config.tcp.half_open_max = 1;
    if (!edge_open(edge, w->sim, &config))
        return;
    edge_use_origin(edge, &w->origin_host.address4, ORIGIN_PORT, &limits);
    router_guard(&f->router, edge, i);
}

static void open_tls(struct http_world *w)
{
    static const char name[] = "sim.example";
    struct tls_client_config config = {.server_name = span_make(name, sizeof name - 1)};
    char problem[256];
    if (!w->https)
        return;
    pipe_tls_start();
    if (tls_client_create(&config, &w->tls_client, problem) != TG_OK)
        sim_fail(w->sim, "tls_client_create: %s", problem);
}

/* A fleet's own paths carry full frames, or its tunnel would not fit; and the router's, who cannot say what
 * does not fit. */
static void draw_paths(struct fleet_world *f)
{
    struct http_world *w = &f->http;
    sim_paths_draw(w->sim, &w->rng);
    unsigned full[] = {w->edge.port, w->sister.port, f->router.host.port};
    for (unsigned i = 0; i < 3; i++)
        for (unsigned k = 0; k < 3; k++)
            w->sim->paths[full[i]][full[k]].mtu = 0;
    /* The router does not look at checksums, and the next path's middlebox would put right ones on damage. */
    struct sim_path *first = &w->sim->paths[w->client_host.port][f->router.host.port];
    first->corrupt = first->truncate = 0;
    /* Clocks of nodes agree within the tunnel's window of 2 s, not better; so what is late must be less. */
    w->sister.wall_offset += (int64_t)prng_below(&w->rng, TG_S) - (int64_t)TG_S / 2;
    w->sim->paths[w->edge.port][w->sister.port].reorder_delay = LATE_MAX;
    w->sim->paths[w->sister.port][w->edge.port].reorder_delay = LATE_MAX;
}

static void start(struct fleet_world *f)
{
    struct http_world *w = &f->http;
    unsigned share = w->plan_count / w->client_count;
    tg_ns spread = f->cookies ? 5 * TG_MS : TG_S; /* so many SYNs come at once */
    if (tcp_listen(w->origin_host.tcp, ORIGIN_PORT, 1) != TG_OK)
        sim_fail(w->sim, "tcp_listen");
    http_origin_init(w);
    for (unsigned i = 0; i < w->client_count; i++)
        http_client_start(&w->clients[i], w, i, i * share, (i + 1) * share,
                          w->sim->now + TG_MS + prng_below(&w->rng, spread));
    tables_publish(f);
    timer_init(&f->table_timer, tables_change, f);
    if (f->one_site || f->rotate)
        timer_arm(&f->router.host.wheel, &f->table_timer, w->sim->now + TG_S);
    router_start(&f->router);
}

/* --- the end ----------------------------------------------------------------------------------------------- */

static bool all_finished(void *arg)
{
    struct fleet_world *f = arg;
    return http_all_finished(&f->http) && f->router.flips >= FLIPS_MIN;
}

static void play(struct fleet_world *f)
{
    http_run(&f->http, HEAL_AFTER, all_finished, f);
    if (!f->http.sim->failed && !f->alone) /* a broken connection leaves its node with half of it */
        http_drain(&f->http);
}

static uint64_t counted(struct fleet_world *f, enum tg_counter c)
{
    return edge_counter(&f->http.edge, c) + edge_counter(&f->http.sister, c);
}

/* Frames may be lost or damaged on the way, but never be refused: all nodes are friends here. (Too old they
 * may be: a lost ARP request costs a second, and a sealed packet waits for it.) */
static void expect_no_refusals(struct fleet_world *f)
{
    for (unsigned c = TG_C_steer_tunnel_limited; c <= TG_C_steer_tunnel_loop; c++)
        if (c != TG_C_steer_tunnel_old && counted(f, (enum tg_counter)c))
            sim_fail(f->http.sim, "%llu x %s", (unsigned long long)counted(f, (enum tg_counter)c),
                     stats_name((enum tg_counter)c));
    if (f->http.client_host.stats.value[TG_C_tcp_reset_in])
        sim_fail(f->http.sim, "a connection of the client was reset");
}

static void compare(struct fleet_world *f)
{
    struct http_world *w = &f->http;
    if (f->alone) {
        unsigned whole = router_undivided(&f->router); /* the route never flipped under them */
        if (w->broken + whole < w->client_count || w->broken == 0)
            sim_fail(w->sim, "%u of %u connections broke, %u met one node only", w->broken,
                     w->client_count, whole);
        if (counted(f, TG_C_steer_tunnel_out))
            sim_fail(w->sim, "something was forwarded");
    } else {
        for (unsigned i = 0; i < w->plan_count; i++)
            if (!w->plans[i].done)
                sim_fail(w->sim, "request %u was never answered", i);
        expect_no_refusals(f);
        if (counted(f, TG_C_steer_tunnel_in) == 0)
            sim_fail(w->sim, "nothing came through the tunnel");
    }
    if (w->sim->verbose)
        printf("    %u clients, %u requests, %u flips, %u broken, %s%s; routed %llu and %llu, "
               "forwarded %llu (bucket %llu, timestamp %llu, sequence %llu), returned %llu, RST "
               "%llu, SYN cookies %llu of %llu\n",
               w->client_count, w->plan_count, f->router.flips, w->broken,
               f->one_site ? "one site" : "two sites", f->router.strip ? ", no timestamps" : "",
               (unsigned long long)f->router.routed[0], (unsigned long long)f->router.routed[1],
               (unsigned long long)counted(f, TG_C_steer_tunnel_out),
               (unsigned long long)counted(f, TG_C_steer_by_bucket),
               (unsigned long long)counted(f, TG_C_steer_by_timestamp),
               (unsigned long long)counted(f, TG_C_steer_by_sequence),
               (unsigned long long)counted(f, TG_C_steer_tunnel_returned),
               (unsigned long long)counted(f, TG_C_steer_rst),
               (unsigned long long)counted(f, TG_C_tcp_syn_cookies_accepted),
               (unsigned long long)counted(f, TG_C_tcp_syn_cookies_sent));
}

static void world_close(struct fleet_world *f)
{
    struct http_world *w = &f->http;
    for (unsigned i = 0; i < w->client_count; i++)
        if (w->clients[i].open)
            pipe_lost(&w->clients[i].pipe);
    for (unsigned i = 0; i < HTTP_ORIGINS_MAX; i++)
        if (w->origins[i].open)
            pipe_lost(&w->origins[i].pipe);
    if (w->tls_client)
        tls_client_unref(w->tls_client);
    edge_close(&w->edge);
    edge_close(&w->sister);
    host_close(&w->client_host);
    host_close(&w->origin_host);
    if (f->table_timer.fire)
        timer_cancel(&f->router.host.wheel, &f->table_timer);
    router_close(&f->router);
    for (unsigned i = 0; i < f->table_count; i++)
        for (unsigned k = 0; k < 2; k++)
            free(f->tables[i][k]);
    free(f);
}

static void scenario_run(struct sim *sim, bool alone)
{
    struct fleet_world *f = calloc(1, sizeof *f);
    tg_assert(f);
    f->http.sim = sim;
    f->alone = f->http.alone = alone;
    prng_seed(&f->http.rng, sim->seed ^ 0xf1ee7);
    draw_plans(f);
    draw_fleet(f);
    open_hosts(f);
    open_tls(&f->http);
    for (unsigned i = 0; i < 2 && !sim->failed; i++)
        open_edge(f, i);
    if (!sim->failed) {
        draw_paths(f);
        start(f);
        play(f);
    }
    if (!sim->failed)
        compare(f);
    world_close(f);
}

void scenario_fleet(struct sim *sim)
{
    scenario_run(sim, false);
}

void scenario_fleet_alone(struct sim *sim)
{
    scenario_run(sim, true);
}
