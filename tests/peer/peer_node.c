/* SPDX-License-Identifier: BSD-3-Clause
 * One worker's io, net and tcp (peer_node.h).
 */
#include "tests/peer/peer_node.h"
#include <stdio.h>

#define NODE_BUFFERS 65536u
#define NODE_PORTS   40000u /* local ports from 20,000 on */

static bool node_tx_done(const void *io, const struct buf *b)
{
    return io_tx_done(io, b);
}

static void node_icmp_error(void *arg, const struct net_icmp_error *error, tg_ns now)
{
    struct peer_node *n = arg;
    tcp_icmp_error(n->tcp, error, now);
}

static uint16_t node_pick_port(void *arg, const struct ip_tuple *tuple, unsigned try_number)
{
    struct peer_node *n = arg;
    return try_number > 1000 ? 0 : (uint16_t)(20000 + n->port_next++ % NODE_PORTS);
}

static bool node_open_io(struct peer_node *n, const struct peer_node_options *o)
{
    uint8_t key[TOEPLITZ_KEY_BYTES];
    char problem[256];
    struct prng prng;
    prng_seed(&prng, o->seed);
    for (unsigned i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)prng_next(&prng);
    struct io_config config = {.workers = 1,
                               .ports = {{.device = o->device, .address_count = 2}},
                               .port_count = 1,
                               .buffers = NODE_BUFFERS,
                               .rss_key = key,
                               .idle_sleep = true};
    memcpy(config.ports[0].addresses[0], o->local4.bytes, 16);
    memcpy(config.ports[0].addresses[1], o->local6.bytes, 16);
    if (io_host_open(&config, &n->host, problem) != TG_OK) {
        fprintf(stderr, "tcp_peer_app: %s\n", problem);
        return false;
    }
    if (io_open(n->host, 0, &n->stats, &n->io) != TG_OK) {
        fprintf(stderr, "tcp_peer_app: the port %s does not open\n", o->device);
        return false;
    }
    toeplitz_init(&n->toeplitz, key);
    return true;
}

static enum tg_err node_open_net(struct peer_node *n, const struct peer_node_options *o)
{
    const struct io_caps *caps = io_caps(n->io, 0);
    struct net_config config = {.addresses = {{o->local4, 96 + 24, 0}, {o->local6, 64, 0}},
                                .address_count = 2,
                                .port_count = 1,
                                .answers = true};
    memcpy(config.ports[0].mac, caps->mac, sizeof config.ports[0].mac);
    config.ports[0].mtu = caps->mtu;
    config.ports[0].tx_ip_checksum = caps->tx_ip_checksum;
    config.ports[0].tx_l4_checksum = caps->tx_l4_checksum;
    return net_create(&config, io_pool(n->io), &n->stats, &n->toeplitz, o->seed, node_icmp_error, n,
                      &n->net);
}

bool peer_node_open(struct peer_node *n, const struct peer_node_options *o)
{
    *n = (struct peer_node){.local4 = o->local4, .local6 = o->local6};
    n->port_next = (uint32_t)(o->seed % NODE_PORTS);
    if (!node_open_io(n, o))
        return false;
    timer_wheel_init(&n->timers, io_now(n->io));
    const struct tcp_config config = {.connections_max = o->connections,
                                      .half_open_max = o->connections,
                                      .time_wait_max = o->connections,
                                      .receive_window_max = o->window,
                                      .send_buffer_max = o->window,
                                      .unsent_low = o->window / 4,
                                      .ooo_segments_max = 1024,
                                      .tso_bytes_max = UINT32_MAX,
                                      .tso_segments_max = UINT8_MAX,
                                      .isn_key = {o->seed ^ 0x9e3779b97f4a7c15, o->seed + 1},
                                      .seed = o->seed,
                                      .pick_port = node_pick_port,
                                      .pick_port_arg = n};
    enum tg_err result = node_open_net(n, o);
    if (result == TG_OK)
        result = tcp_create(&config, n->net, io_pool(n->io), &n->timers, &n->stats, &n->toeplitz,
                            node_tx_done, n->io, &n->tcp);
    if (result != TG_OK)
        fprintf(stderr, "tcp_peer_app: net or tcp: %s\n", tg_err_text(result));
    return result == TG_OK;
}

void peer_node_close(struct peer_node *n)
{
    tcp_destroy(n->tcp);
    net_destroy(n->net);
    io_close(n->io);
    io_host_close(n->host);
}

unsigned peer_node_input(struct peer_node *n, tg_ns *now)
{
    struct buf *burst[TG_BURST];
    unsigned count = io_rx(n->io, burst, TG_BURST), kept = 0;
    *now = io_now(n->io);
    for (unsigned i = 0; i < count; i++) {
        struct buf *b = burst[i];
        enum tg_counter reason = wire_parse(b, &n->toeplitz);
        struct ip_addr to = reason == TG_C_none && b->ip_version ? wire_destination(b) : n->local4;
        if (reason == TG_C_none && b->ip_proto == IP_PROTO_TCP && !net_is_local(n->net, &to))
            reason = TG_C_net_not_for_us;
        if (reason != TG_C_none) {
            stats_count(&n->stats, reason);
            buf_unref(io_pool(n->io), b);
        } else if (b->ip_version && b->ip_proto == IP_PROTO_TCP) {
            burst[kept++] = b;
        } else {
            net_input(n->net, b, *now);
        }
    }
    tcp_input(n->tcp, burst, kept, *now);
    return count + timers_run(&n->timers, *now, 256);
}

unsigned peer_node_output(struct peer_node *n, tg_ns now)
{
    struct buf *burst[TG_BURST];
    unsigned sent = 0;
    bool more = true;
    for (unsigned pass = 0; more && pass < 8; pass++) {
        more = tcp_output(n->tcp, now);
        for (unsigned k; (k = net_take(n->net, burst, TG_BURST)); sent += k)
            io_tx(n->io, burst, k);
    }
    io_flush(n->io);
    if (now - n->last_tick >= 100 * TG_MS) {
        net_tick(n->net, now);
        n->last_tick = now;
    }
    return sent;
}
