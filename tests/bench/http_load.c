/* SPDX-License-Identifier: BSD-3-Clause
 * Load for the bench http.keepalive_100b: HTTP clients and an origin on our own TCP stack, in one process
 * on one core, at the other end of tidegate's port (net_memif). Keeps CONNS requests in flight through the
 * appliance for SECONDS, checks every response (status 200, 100 bytes), and prints how many came.
 *
 *   http_load DEVICE CONNS SECONDS CPU     e.g. http_load net_memif0,role=client,id=0,socket=@b 64 5 1
 *
 * Addresses: clients 192.0.2.10, origin 192.0.2.20 port 8080, appliance 192.0.2.1 port 80.
 */
#include "http/h1.h"
#include "io/io.h"
#include "net/net.h"
#include "tcp/tcp.h"
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define LOAD_CONNS_MAX   4096
#define LOAD_ORIGIN_PORT 8080
#define LOAD_BODY_BYTES  100
#define LOAD_ORIGIN_USER UINT64_MAX

static const char request[] =
    "GET /100 HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: http_load\r\n\r\n";
static char response[256];
static size_t response_len;

struct load {
    struct io *io;
    struct net *net;
    struct tcp *tcp;
    struct timer_wheel timers;
    struct stats stats;
    struct toeplitz toeplitz;
    unsigned conns, port_next;
    bool stop;
    uint64_t responses, bad, closed;
    tcp_handle clients[LOAD_CONNS_MAX];
};

static struct ip_addr load_address(uint8_t last)
{
    const uint8_t bytes[4] = {192, 0, 2, last};
    return ip_addr_from4(bytes);
}

static uint16_t load_pick_port(void *arg, const struct ip_tuple *tuple, unsigned try_number)
{
    struct load *l = arg;
    return try_number > 1000 ? 0 : (uint16_t)(16384 + l->port_next++ % 40000);
}

static bool load_tx_done(const void *io, const struct buf *b)
{
    return io_tx_done(io, b);
}

static bool load_make(struct load *l, const char *device)
{
    static const uint8_t key[TOEPLITZ_KEY_BYTES] = {0x6d, 0x5a, 0x56, 0xda};
    char problem[256];
    struct io_host *host;
    const struct io_config config = {.workers = 1,
                                     .ports = {{.device = device}},
                                     .port_count = 1,
                                     .buffers = 16384,
                                     .rss_key = key};
    if (io_host_open(&config, &host, problem) != TG_OK) {
        fprintf(stderr, "http_load: %s\n", problem);
        return false;
    }
    if (io_open(host, 0, &l->stats, &l->io) != TG_OK)
        return false;
    toeplitz_init(&l->toeplitz, key);
    timer_wheel_init(&l->timers, io_now(l->io));
    struct net_config net = {
        .addresses = {{load_address(10), 96 + 24, 0}, {load_address(20), 96 + 24, 0}},
        .address_count = 2,
        .port_count = 1,
        .answers = true,
    };
    memcpy(net.ports[0].mac, io_caps(l->io, 0)->mac, 6);
    net.ports[0].mtu = 1500;
    const struct tcp_config tcp = {.connections_max = 16384,
                                   .half_open_max = 4096,
                                   .time_wait_max = 16384,
                                   .receive_window_max = 65536,
                                   .send_buffer_max = 65536,
                                   .unsent_low = 16384,
                                   .ooo_segments_max = 64,
                                   .isn_key = {1, 2},
                                   .pick_port = load_pick_port,
                                   .pick_port_arg = l};
    return net_create(&net, io_pool(l->io), &l->stats, &l->toeplitz, 1, NULL, NULL, &l->net) ==
               TG_OK &&
           tcp_create(&tcp, l->net, io_pool(l->io), &l->timers, &l->stats, &l->toeplitz,
                      load_tx_done, l->io, &l->tcp) == TG_OK &&
           tcp_listen(l->tcp, LOAD_ORIGIN_PORT, 1) == TG_OK;
}

static void load_connect(struct load *l, unsigned client, tg_ns now)
{
    struct ip_addr local = load_address(10), edge = load_address(1);
    if (tcp_connect(l->tcp, &local, &edge, 80, 0, client, now, &l->clients[client]) != TG_OK)
        l->bad++;
}

/* The origin answers every head that is complete; requests have no body. */
static void load_serve(struct load *l, tcp_handle h)
{
    struct span spans[1];
    while (tcp_peek(l->tcp, h, spans, 1) == 1) {
        const uint8_t *end = memmem(spans[0].data, spans[0].len, "\r\n\r\n", 4);
        if (!end)
            return;
        tcp_consume(l->tcp, h, (uint32_t)(end + 4 - spans[0].data));
        if (tcp_write(l->tcp, h, span_make(response, response_len)) != response_len)
            l->bad++;
    }
}

static void load_client_read(struct load *l, unsigned client)
{
    tcp_handle h = l->clients[client];
    struct span spans[1];
    struct http_head head;
    size_t seen = 0;
    if (tcp_peek(l->tcp, h, spans, 1) != 1)
        return;
    enum tg_err result = h1_parse_response(spans[0], &seen, HTTP_GET, &head);
    if (result == TG_AGAIN ||
        (result == TG_OK && tcp_unread(l->tcp, h) < head.bytes + LOAD_BODY_BYTES))
        return;
    if (result != TG_OK || head.view.status != 200 || head.content_length != LOAD_BODY_BYTES)
        l->bad++;
    tcp_consume(l->tcp, h, (uint32_t)(head.bytes + LOAD_BODY_BYTES));
    l->responses++;
    if (!l->stop && tcp_write(l->tcp, h, SPAN_LITERAL(request)) != sizeof request - 1)
        l->bad++;
}

static void load_event(struct load *l, const struct tcp_event *e, tg_ns now)
{
    if (e->bits & TCP_EV_ACCEPTED)
        tcp_set_user(l->tcp, e->handle, LOAD_ORIGIN_USER);
    bool origin = e->user == LOAD_ORIGIN_USER || (e->bits & TCP_EV_ACCEPTED);
    if (!origin && (e->bits & TCP_EV_CONNECTED) &&
        tcp_write(l->tcp, e->handle, SPAN_LITERAL(request)) != sizeof request - 1)
        l->bad++;
    if (e->bits & TCP_EV_READABLE) {
        if (origin)
            load_serve(l, e->handle);
        else
            load_client_read(l, (unsigned)e->user);
    }
    if (e->bits & TCP_EV_CLOSED) {
        l->closed++;
        if (!origin && !l->stop)
            load_connect(l, (unsigned)e->user, now);
    } else if (e->bits & TCP_EV_PEER_FIN) {
        tcp_close(l->tcp, e->handle);
    }
}

static void load_turn(struct load *l)
{
    struct buf *burst[TG_BURST];
    struct tcp_event events[64];
    unsigned n = io_rx(l->io, burst, TG_BURST), kept = 0;
    tg_ns now = io_now(l->io);
    for (unsigned i = 0; i < n; i++) {
        if (wire_parse(burst[i], &l->toeplitz) != TG_C_none)
            buf_unref(io_pool(l->io), burst[i]);
        else if (burst[i]->ip_proto == IP_PROTO_TCP)
            burst[kept++] = burst[i];
        else
            net_input(l->net, burst[i], now);
    }
    tcp_input(l->tcp, burst, kept, now);
    timers_run(&l->timers, now, 64);
    for (unsigned k; (k = tcp_events(l->tcp, events, TG_ARRAY_LEN(events)));)
        for (unsigned i = 0; i < k; i++)
            load_event(l, &events[i], now);
    while (tcp_output(l->tcp, now))
        ;
    while ((n = net_take(l->net, burst, TG_BURST)))
        io_tx(l->io, burst, n);
    io_flush(l->io);
}

int main(int argc, char **argv)
{
    static struct load load;
    if (argc != 5) {
        fprintf(stderr, "usage: http_load DEVICE CONNS SECONDS CPU\n");
        return 2;
    }
    unsigned seconds = (unsigned)strtoul(argv[3], NULL, 10);
    load.conns = (unsigned)strtoul(argv[2], NULL, 10);
    if (load.conns < 1 || load.conns > LOAD_CONNS_MAX || seconds < 1 || seconds > 60)
        return 2;
    response_len = (size_t)snprintf(response, sizeof response,
                                    "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%0*d",
                                    LOAD_BODY_BYTES, LOAD_BODY_BYTES, 7);
    if (!load_make(&load, argv[1]))
        return 1;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((unsigned)strtoul(argv[4], NULL, 10), &set);
    (void)sched_setaffinity(0, sizeof set, &set);
    tg_ns start = io_now(load.io), second = start, now = start;
    uint64_t last = 0;
    while (now - start < 2 * TG_S) { /* the two memif ends find each other, ARP */
        load_turn(&load);
        now = io_now(load.io);
    }
    for (unsigned i = 0; i < load.conns; i++)
        load_connect(&load, i, now);
    for (start = second = now; now - start < seconds * TG_S; now = io_now(load.io)) {
        load_turn(&load);
        if (now - second >= TG_S) {
            fprintf(stderr, "http_load: %lu responses/s\n", (unsigned long)(load.responses - last));
            last = load.responses;
            second = now;
        }
    }
    load.stop = true;
    printf("{\"responses\": %lu, \"bad\": %lu, \"closed\": %lu, \"seconds\": %u}\n",
           (unsigned long)load.responses, (unsigned long)load.bad, (unsigned long)load.closed,
           seconds);
    return load.responses > 0 && load.bad == 0 ? 0 : 1;
}
