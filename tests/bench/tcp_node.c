/* SPDX-License-Identifier: BSD-3-Clause
 * See tcp_node.h.
 */
#include "tests/bench/tcp_node.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define FRAME_BYTES (BUF_HEADROOM + BUF_ROOM)

static const uint8_t mac_ours[6] = {2, 0, 0, 0, 0, 1}, mac_peer[6] = {2, 0, 0, 0, 0, 2};

static unsigned node_refill(struct buf_pool *pool, struct buf *out[], unsigned n)
{
    struct node *node = pool->arg;
    if (n > node->free_count)
        n = node->free_count;
    for (unsigned i = 0; i < n; i++) {
        out[i] = node->free_list[--node->free_count];
        buf_reset(out[i]);
    }
    return n;
}

static void node_drain(struct buf_pool *pool, struct buf *bufs[], unsigned n)
{
    struct node *node = pool->arg;
    for (unsigned i = 0; i < n; i++)
        node->free_list[node->free_count++] = bufs[i];
}

static uint32_t node_available(const struct buf_pool *pool)
{
    return ((const struct node *)pool->arg)->free_count + pool->cached;
}

static bool node_tx_done(const void *arg, const struct buf *b)
{
    return true;
}

static void *must(void *p)
{
    if (!p || p == MAP_FAILED) {
        fprintf(stderr, "tcp_bench: no memory\n");
        exit(1);
    }
    return p;
}

static void frames_make(struct node *node, uint32_t frames)
{
    node->frame_count = frames;
    node->bufs = must(aligned_alloc(TG_CACHE_LINE, frames * sizeof *node->bufs));
    memset(node->bufs, 0, frames * sizeof *node->bufs);
    node->storage = must(malloc((size_t)frames * FRAME_BYTES));
    memset(node->storage, 0,
           (size_t)frames * FRAME_BYTES); /* touched before anything is measured */
    node->free_list = must(malloc(frames * sizeof *node->free_list));
    for (uint32_t i = 0; i < frames; i++) {
        struct buf *b = &node->bufs[i];
        b->head = node->storage + (size_t)i * FRAME_BYTES;
        b->cap = FRAME_BYTES;
        b->pool = &node->pool;
        node->free_list[node->free_count++] = b;
    }
    buf_pool_init(&node->pool, node_refill, node_drain, node);
    node->pool.available = node_available;
    node->pool.total = frames;
}

static struct ip_addr address4(uint32_t a)
{
    const uint8_t bytes[4] = {(uint8_t)(a >> 24), (uint8_t)(a >> 16), (uint8_t)(a >> 8),
                              (uint8_t)a};
    return ip_addr_from4(bytes);
}

/* The neighbour is resolved before anything is measured. */
static void neighbour_teach(struct node *node)
{
    struct buf *b = must(buf_alloc(&node->pool));
    uint8_t *p = buf_put(b, ETH_BYTES + 28);
    static const uint8_t head[] = {0, 1, 8, 0, 6, 4, 0, 1};
    memset(p, 0xff, 6);
    memcpy(p + 6, mac_peer, 6);
    wire_put16(p + 12, ETHERTYPE_ARP);
    memcpy(p + 14, head, sizeof head);
    memcpy(p + 22, mac_peer, 6);
    wire_put32(p + 28, 0xc0000202); /* 192.0.2.2 asks */
    memset(p + 32, 0, 6);
    wire_put32(p + 38, 0xc0000201); /* for 192.0.2.1 */
    if (wire_parse(b, &node->toeplitz) != TG_C_none)
        must(NULL);
    net_input(node->net, b, node->now);
    struct buf *out[4];
    for (unsigned n = net_take(node->net, out, 4); n; n--)
        buf_unref(&node->pool, out[n - 1]);
}

void node_open(struct node *node, const struct node_config *c)
{
    static const uint8_t key[TOEPLITZ_KEY_BYTES] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2,
                                                    0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0};
    memset(node, 0, sizeof *node);
    frames_make(node, c->frames);
    toeplitz_init(&node->toeplitz, key);
    node->now = 1000 * TG_S;
    timer_wheel_init(&node->wheel, node->now);
    node->local = address4(0xc0000201);
    struct net_config net = {.addresses = {{node->local, 96 + 24, 0}},
                             .address_count = 1,
                             .routes = {{address4(0x0a000000), 96 + 8, address4(0xc0000202), 0}},
                             .route_count = 1,
                             .port_count = 1,
                             .answers = true};
    memcpy(net.ports[0].mac, mac_ours, 6);
    net.ports[0].mtu = 1500;
    net.ports[0].tx_ip_checksum = net.ports[0].tx_l4_checksum = true;
    struct tcp_config tcp = {.connections_max = c->connections,
                             .active_max = c->active,
                             .half_open_max = 65536,
                             .time_wait_max = c->time_wait,
                             .receive_window_max = 1u << 20,
                             .send_buffer_max = 1u << 20,
                             .unsent_low = 256u << 10,
                             .ooo_segments_max = 64,
                             .tso_bytes_max = UINT32_MAX, /* net cuts */
                             .tso_segments_max = UINT8_MAX,
                             .isn_key = {1, 2},
                             .seed = 3};
    node->resident_before = node_resident();
    if (net_create(&net, &node->pool, &node->stats, &node->toeplitz, 1, NULL, NULL, &node->net) !=
            TG_OK ||
        tcp_create(&tcp, node->net, &node->pool, &node->wheel, &node->stats, &node->toeplitz,
                   node_tx_done, NULL, &node->tcp) != TG_OK ||
        tcp_listen(node->tcp, NODE_PORT, 1) != TG_OK)
        must(NULL);
    neighbour_teach(node);
}

/* Numbers of flows are spread over addresses and ports by a multiplication modulo 2^32, else Toeplitz, which is linear,
 * would fill every bucket of the flow table alike, as no real addresses do. */
#define SPREAD      0x9e3779b1u
#define SPREAD_BACK 0x0e8b2f51u /* its inverse */
#define PORTS       32768u
#define PORT_FIRST  16384u
#define ADDRESS     0x0a000001u /* 10.0.0.1 */
static_assert(SPREAD * SPREAD_BACK == 1, "inverse");

struct ip_tuple node_tuple(const struct node *node, uint32_t flow)
{
    uint32_t spread = flow * SPREAD;
    return (struct ip_tuple){.local = node->local,
                             .remote = address4(ADDRESS + spread / PORTS),
                             .local_port = NODE_PORT,
                             .remote_port = (uint16_t)(PORT_FIRST + spread % PORTS)};
}

uint32_t node_flow(const struct buf *out)
{
    const uint8_t *ip = out->data + ETH_BYTES;
    uint32_t address = wire_get32(ip + 16) - ADDRESS;
    return (address * PORTS + wire_get16(ip + IP4_BYTES + 2) - PORT_FIRST) * SPREAD_BACK;
}

static void headers_write(struct buf *b, const struct node_segment *s, unsigned tcp_bytes)
{
    uint8_t *p = b->data;
    memcpy(p, mac_ours, 6);
    memcpy(p + 6, mac_peer, 6);
    wire_put16(p + 12, ETHERTYPE_IP4);
    uint8_t *ip = p + ETH_BYTES;
    memset(ip, 0, IP4_BYTES);
    ip[0] = 0x45;
    wire_put16(ip + 2, (uint16_t)(b->len - ETH_BYTES));
    ip[6] = 0x40;
    ip[8] = 64;
    ip[9] = IP_PROTO_TCP;
    memcpy(ip + 12, s->tuple.remote.bytes + 12, 4);
    memcpy(ip + 16, s->tuple.local.bytes + 12, 4);
    uint8_t *t = ip + IP4_BYTES;
    memset(t, 0, TCP_BYTES);
    wire_put16(t, s->tuple.remote_port);
    wire_put16(t + 2, s->tuple.local_port);
    wire_put32(t + 4, s->seq);
    wire_put32(t + 8, s->ack);
    t[12] = (uint8_t)(tcp_bytes / 4 << 4);
    t[13] = s->flags;
    wire_put16(t + 14, s->window);
}

struct buf *node_frame(struct node *node, const struct node_segment *s)
{
    static const uint8_t syn[] = {2, 4, 5, 0xb4, 1, 1, 4, 2, 1, 3, 3, 7};
    unsigned tcp_bytes = TCP_BYTES + (s->options ? sizeof syn : 0);
    struct buf *b = must(buf_alloc(&node->pool));
    buf_put(b, (uint16_t)(ETH_BYTES + IP4_BYTES + tcp_bytes + s->len));
    headers_write(b, s, tcp_bytes);
    if (s->options)
        memcpy(b->data + ETH_BYTES + IP4_BYTES + TCP_BYTES, syn, sizeof syn);
    b->flags = BUF_RX_IP_CSUM_GOOD | BUF_RX_L4_CSUM_GOOD | BUF_RX_HASH;
    b->rx_hash = s->hash ? s->hash : wire_tuple_hash(&node->toeplitz, &s->tuple);
    return b;
}

unsigned node_turn(struct node *node, struct buf *burst[], unsigned n, node_app *app, void *arg,
                   struct buf *out[], unsigned max)
{
    unsigned taken = 0;
    node_begin(node);
    for (unsigned i = 0; i < n; i++)
        if (wire_parse(burst[i], &node->toeplitz) != TG_C_none)
            abort();
    tcp_input(node->tcp, burst, n, node->now);
    timers_run(&node->wheel, node->now, 256);
    if (app)
        app(node, arg);
    bool more = true;
    while (more && taken < max) {
        more = tcp_output(node->tcp, node->now);
        taken += net_take(node->net, out + taken, max - taken);
    }
    node_end(node);
    return taken;
}

void node_free(struct node *node, struct buf *b)
{
    buf_unref(&node->pool, b);
}

double node_hertz(void)
{
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    uint64_t start = __rdtsc();
    do
        clock_gettime(CLOCK_MONOTONIC, &b);
    while ((b.tv_sec - a.tv_sec) * 1000000000l + b.tv_nsec - a.tv_nsec < 100000000l);
    uint64_t end = __rdtsc();
    return (double)(end - start) * 1e9 /
           (double)((b.tv_sec - a.tv_sec) * 1000000000l + b.tv_nsec - a.tv_nsec);
}

uint64_t node_resident(void)
{
    unsigned long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%lu %lu", &pages, &resident) != 2)
        must(NULL);
    fclose(f);
    return resident * 4096ull;
}
