/* SPDX-License-Identifier: BSD-3-Clause
 * The host: its turn, its wishes, its end. Called by sim.c through the node's functions.
 */
#include "tests/sim/host.h"
#include "tcp/tcp_profile.h"
#include <stdio.h>
#include <stdlib.h>

#define HOST_TICK         (100 * TG_MS)
#define HOST_TIMERS       64
#define HOST_OUTPUT       8
#define HOST_CHECK_BUDGET 64 /* about so many connections are checked per turn */

static struct host *host_of(const struct sim_node *node)
{
    return tg_container_of(node, struct host, node);
}

const struct toeplitz *sim_toeplitz(void)
{
    static struct toeplitz toeplitz;
    static bool ready;
    if (!ready) {
        uint8_t key[TOEPLITZ_KEY_BYTES];
        sim_stream_fill(0x5eed, 0, key, sizeof key);
        toeplitz_init(&toeplitz, key);
        ready = true;
    }
    return &toeplitz;
}

struct ip_addr sim_address4(unsigned number)
{
    const uint8_t bytes[4] = {10, 0, 0, (uint8_t)number};
    return ip_addr_from4(bytes);
}

struct ip_addr sim_address6(unsigned number)
{
    return (struct ip_addr){{0xfd, [15] = (uint8_t)number}};
}

void sim_mac(unsigned number, uint8_t mac[6])
{
    const uint8_t bytes[6] = {0x02, 0, 0, 0, 0, (uint8_t)number};
    memcpy(mac, bytes, 6);
}

void sim_net_addresses(struct net_config *config, unsigned number)
{
    config->addresses[0] = (struct net_address){sim_address4(number), 96 + 24, 0};
    config->addresses[1] = (struct net_address){sim_address6(number), 64, 0};
    config->address_count = 2;
}

/* Knobs, none of which may end a connection before the paths heal, 30 s after the start at the latest. */
static void draw_knobs(struct prng *rng, struct tcp_config *config)
{
    config->congestion = (uint32_t)prng_below(rng, TCP_CC_COUNT);
    config->ecn = (uint32_t)prng_below(rng, TCP_ECN_OFF + 1);
    config->no_pacing = sim_chance(rng, 40);
    config->nagle = sim_chance(rng, 30);
    config->profile = sim_chance(rng, 20) ? &tcp_profile_freebsd : NULL;
    config->keepalive = sim_chance(rng, 30);
    config->keep_idle_ms = (uint32_t)sim_between(rng, 1000, 20000);
    config->keep_count = (uint32_t)sim_between(rng, 5, 20);
    config->keep_interval_ms = 60000 / config->keep_count;
    config->user_timeout_ms = sim_chance(rng, 20) ? (uint32_t)sim_between(rng, 130000, 600000) : 0;
    config->receive_window_initial = sim_chance(rng, 30) ? 2048u << prng_below(rng, 6) : 0;
}

struct tcp_config sim_draw_tcp_config(struct prng *rng, unsigned connections)
{
    static const tg_ns lives[] = {0, 0, 500 * TG_MS, 5 * TG_S}; /* 0: 30 s */
    struct tcp_config config = {
        .connections_max = connections + 16,
        .half_open_max = 4 * (connections + 16), /* room for all: cookies are scenario_fleet's */
        .time_wait_max = connections + 16,
        .receive_window_max = 2048u << prng_below(rng, 10),
        .send_buffer_max = 4096u << prng_below(rng, 8),
        .ooo_segments_max = 1u << prng_below(rng, 8),
        .mss_max = sim_chance(rng, 70) ? 0 : (uint16_t)sim_between(rng, 536, 1400),
        .msl = lives[prng_below(rng, TG_ARRAY_LEN(lives))],
    };
    if (sim_chance(
            rng,
            30)) /* the active parts are fewer than the connections: idle ones must give theirs up */
        config.active_max = connections / 2 + 16;
    draw_knobs(rng, &config);
    /* Who stands still for long is reset when frames are short: mostly longer than a run takes. */
    if (sim_chance(rng, 80))
        config.pressure_idle = 3600 * TG_S;
    config.unsent_low = config.send_buffer_max / (uint32_t)sim_between(rng, 2, 8);
    return config;
}

/* --- a turn -------------------------------------------------------------------------------------------- */

/* Parse a burst; TCP stays in burst[], the rest goes to net or is dropped. */
static unsigned host_parse(struct host *host, struct buf *burst[], unsigned n, tg_ns now)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < n; i++) {
        struct buf *b = burst[i];
        enum tg_counter reason = wire_parse(b, sim_toeplitz());
        struct ip_addr to =
            reason == TG_C_none && b->ip_version ? wire_destination(b) : (struct ip_addr){{0}};
        if (reason == TG_C_none && b->ip_version && !net_is_local(host->net, &to))
            reason = TG_C_net_not_for_us;
        if (reason == TG_C_none && b->ip_version && b->ip_proto == IP_PROTO_UDP)
            reason = TG_C_net_protocol;
        if (reason != TG_C_none) {
            stats_count(&host->stats, reason);
            buf_unref(io_pool(host->io), b);
            continue;
        }
        capture_frame(host->node.sim->capture, now, CAPTURE_TAKEN, host->port,
                      span_make(b->data, b->len));
        if (b->ip_version && b->ip_proto == IP_PROTO_TCP) {
            b->verdict = BUF_LOCAL;
            burst[kept++] = b;
        } else {
            net_input(host->net, b, now);
        }
    }
    return kept;
}

static unsigned host_output(struct host *host, tg_ns now)
{
    struct buf *burst[TG_BURST];
    unsigned sent = 0;
    bool more = true;
    for (unsigned pass = 0; more && pass < HOST_OUTPUT; pass++) {
        more = tcp_output(host->tcp, now);
        for (unsigned n; (n = net_take(host->net, burst, TG_BURST)); sent += n)
            io_tx(host->io, burst, n);
    }
    return sent + more;
}

static void host_check(struct host *host)
{
    if (host->turns_to_check-- > 0)
        return;
    host->turns_to_check = tcp_connection_count(host->tcp) / HOST_CHECK_BUDGET;
    const char *broken = tcp_check(host->tcp);
    if (broken)
        sim_fail(host->node.sim, "%s: tcp_check: %s", host->node.name, broken);
}

static bool host_turn(struct sim_node *node, tg_ns now)
{
    struct host *host = host_of(node);
    struct buf *burst[TG_BURST];
    hoard_turn(&host->hoard, node->sim, io_pool(host->io), &host->rng);
    if (node->sim->healed)
        io_sim_fail_refill_after(host->io, 0);
    else if (host->refill_faults && prng_below(&host->rng, host->refill_faults) == 0 &&
             fault_happens(&node->sim->faults, FAULT_REFILL, host->number, host->refill_count++))
        io_sim_fail_refill_after(host->io, 1);
    nic_flush(&host->nic);
    unsigned n = io_rx(host->io, burst, TG_BURST);
    bool busy = n > 0;
    n = host_parse(host, burst, n, now);
    tcp_input(host->tcp, burst, n, now);
    busy |= timers_run(&host->wheel, now, HOST_TIMERS) > 0;
    busy |= host->app_turn(host->app, now);
    busy |= host_output(host, now) > 0;
    if (now - host->last_tick >= HOST_TICK) {
        net_tick(host->net, now);
        host->last_tick = now;
        busy = true; /* it may have queued requests */
    }
    host_check(host);
    return busy;
}

static tg_ns host_next(const struct sim_node *node)
{
    const struct host *host = host_of(node);
    tg_ns timers = timers_next(&host->wheel), tick = host->last_tick + HOST_TICK;
    tg_ns hoard = hoard_next(&host->hoard);
    timers = timers < hoard ? timers : hoard;
    return timers < tick ? timers : tick;
}

static void host_receive(struct sim_node *node, struct span frame)
{
    wire_oracle_in(&host_of(node)->oracle, frame);
    nic_receive(&host_of(node)->nic, frame);
}

/* --- up and down ----------------------------------------------------------------------------------------- */

static void host_transmit(void *arg, unsigned port, struct span frame, tg_ns now)
{
    struct host *host = arg;
    wire_oracle_out(&host->oracle, frame);
    sim_transmit(host->node.sim, host->port, frame);
}

static void host_refused(void *arg, unsigned port, struct span frame, tg_ns now)
{
    struct host *host = arg;
    capture_frame(host->node.sim->capture, now, CAPTURE_REFUSED, host->port, frame);
}

static bool host_fault(void *arg, enum io_sim_fault kind)
{
    struct host *host = arg;
    return nic_fails(&host->nic, kind);
}

static bool host_tx_done(const void *io, const struct buf *b)
{
    return io_tx_done(io, b);
}

static void host_icmp_error(void *arg, const struct net_icmp_error *error, tg_ns now)
{
    struct host *host = arg;
    tcp_icmp_error(host->tcp, error, now);
}

static uint16_t host_pick_port(void *arg, const struct ip_tuple *tuple, unsigned try_number)
{
    struct host *host = arg;
    return host->next_port < 65536 ? (uint16_t)host->next_port++ : 0;
}

static enum tg_err host_open_net(struct host *host, const struct host_config *config)
{
    struct net_config net = {.port_count = 1, .answers = true};
    const struct io_caps *caps = io_caps(host->io, 0);
    memcpy(net.ports[0].mac, caps->mac, 6);
    net.ports[0].mtu = caps->mtu;
    net.ports[0].tx_ip_checksum = caps->tx_ip_checksum;
    net.ports[0].tx_l4_checksum = caps->tx_l4_checksum;
    net.ports[0].tso = caps->tso_bytes_max > 0;
    sim_net_addresses(&net, config->number);
    if (config->gateway) {
        struct ip_addr any4 = ip_addr_from4((const uint8_t[4]){0}), any6 = {{0}};
        net.routes[0] = (struct net_route){any4, 96, sim_address4(config->gateway), 0};
        net.routes[1] = (struct net_route){any6, 0, sim_address6(config->gateway), 0};
        net.route_count = 2;
    }
    return net_create(&net, io_pool(host->io), &host->stats, sim_toeplitz(), prng_next(&host->rng),
                      host_icmp_error, host, &host->net);
}

static enum tg_err host_open_tcp(struct host *host, const struct host_config *config)
{
    struct tcp_config tcp = config->tcp;
    tcp.isn_key[0] = prng_next(&host->rng);
    tcp.isn_key[1] = prng_next(&host->rng);
    tcp.seed = prng_next(&host->rng);
    tcp.pick_port = host_pick_port;
    tcp.pick_port_arg = host;
    uint32_t card = host->nic.tso_bytes_max;
    tcp.tso_bytes_max = !host->nic.rows ? 0 : card ? card : UINT32_MAX;
    tcp.tso_segments_max = UINT8_MAX;
    capture_settings(host->node.sim->capture, host->port, &tcp, config->mtu);
    return tcp_create(&tcp, host->net, io_pool(host->io), &host->wheel, &host->stats,
                      sim_toeplitz(), host_tx_done, host->io, &host->tcp);
}

bool host_open(struct host *host, struct sim *sim, const struct host_config *config,
               bool (*app_turn)(void *app, tg_ns now), void *app)
{
    *host = (struct host){
        .node = {.name = config->name,
                 .turn = host_turn,
                 .next = host_next,
                 .receive = host_receive},
        .address4 = sim_address4(config->number),
        .address6 = sim_address6(config->number),
        .next_port = HOST_FIRST_PORT,
        .refill_faults = config->refill_faults,
        .hoard = {.every = config->hoard_every, .place = config->number},
        .number = config->number,
        .app_turn = app_turn,
        .app = app,
    };
    prng_seed(&host->rng, sim->seed * 64 + config->number);
    sim_mac(config->number, host->mac);
    timer_wheel_init(&host->wheel, sim->now);
    wire_oracle_init(&host->oracle, sim, config->name, config->mtu);
    sim_add_node(sim, &host->node);
    host->port = sim_add_port(sim, host->mac, &host->node);
    nic_draw(&host->nic, sim, config->number, &host->rng, config->nic);
    struct io_sim_config io = {
        .buffers = config->buffers,
        .clock = &sim->now,
        .workers = 1,
        .fault = nic_is_broken(&host->nic) ? host_fault : NULL,
        .mtu = config->mtu,
        .tx_checksum_offload = config->offload,
        .tso_bytes_max = host->nic.tso_bytes_max,
        .transmit = host_transmit,
        .refused = sim->capture ? host_refused : NULL,
        .arg = host,
    };
    memcpy(io.mac, host->mac, 6);
    enum tg_err err = io_sim_open(&io, &host->stats, &host->io);
    host->nic.io = host->io;
    if (err == TG_OK)
        err = host_open_net(host, config);
    if (err == TG_OK)
        err = host_open_tcp(host, config);
    if (err != TG_OK)
        sim_fail(sim, "%s: cannot open: %s", config->name, tg_err_text(err));
    return err == TG_OK;
}

/* After the stack's end every frame must be home, whatever happened before. */
static void host_close_io(struct host *host)
{
    struct buf *burst[TG_BURST];
    hoard_end(&host->hoard, io_pool(host->io));
    for (unsigned n; (n = io_rx(host->io, burst, TG_BURST));)
        for (unsigned i = 0; i < n; i++)
            buf_unref(io_pool(host->io), burst[i]);
    unsigned left = io_sim_outstanding(host->io);
    if (left)
        sim_fail(host->node.sim, "%s: %u buffers lost", host->node.name, left);
    io_close(host->io);
}

void host_say_counters(const struct host *host)
{
    printf("    %s:", host->node.name);
    for (unsigned c = 1; c < TG_COUNTER_COUNT; c++)
        if (host->stats.value[c])
            printf(" %s %llu,", stats_name((enum tg_counter)c),
                   (unsigned long long)host->stats.value[c]);
    printf("\n");
}

void host_close(struct host *host)
{
    if (host->node.sim && host->node.sim->verbose)
        host_say_counters(host);
    if (host->tcp)
        tcp_destroy(host->tcp);
    if (host->net)
        net_destroy(host->net);
    if (host->io)
        host_close_io(host);
    host->tcp = NULL;
    host->net = NULL;
    host->io = NULL;
    wire_oracle_free(&host->oracle);
}

const char *host_leftovers(struct host *host)
{
    static char text[160];
    if (tcp_connection_count(host->tcp))
        snprintf(text, sizeof text, "%s: %u connections left", host->node.name,
                 tcp_connection_count(host->tcp));
    else if (tcp_time_wait_count(host->tcp))
        snprintf(text, sizeof text, "%s: %u connections in TIME-WAIT", host->node.name,
                 tcp_time_wait_count(host->tcp));
    else if (io_sim_outstanding(host->io))
        snprintf(text, sizeof text, "%s: %u buffers not back in the pool", host->node.name,
                 io_sim_outstanding(host->io));
    else if (host->wheel.armed)
        snprintf(text, sizeof text, "%s: %u timers armed", host->node.name, host->wheel.armed);
    else
        return NULL;
    return text;
}
