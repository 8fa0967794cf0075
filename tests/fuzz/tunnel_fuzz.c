/* SPDX-License-Identifier: BSD-3-Clause
 * libFuzzer target for what arrives on the tunnel's port, and for what steer reads of strangers' packets. An
 * input is a way to make a frame; then steer says whose it is, and it is forwarded or returned. The MAC stops
 * a fuzzer at once, so most inputs are sealed with the right key after they have been damaged.
 *
 *   byte 0    bit 0 outer IPv4, 1 not sealed, 2 damaged after sealing, 3 a returned packet,
 *             4 header fields from the input (8 bytes), 5 raw bytes inside instead of a TCP packet,
 *             6 no tunnel: straight from outside, 7 an ICMP error that quotes the TCP packet
 *   then      header fields, if so; damage: offset and mask, if so
 *   rest      inside: raw, or ports (4), ACK (4), flags (1), options (up to 40)
 */
#include "steer/fleet_test_support.h"
#include "steer/steer.h"
#include "steer/tunnel.h"

enum {
    OUTER4 = 1,
    UNSEALED = 2,
    DAMAGED = 4,
    RETURNED = 8,
    FIELDS = 16,
    RAW = 32,
    STRAIGHT = 64,
    QUOTE = 128
};
#define NOW_MS 1700000000000u

static const struct test_node nodes[] = {
    {1, 1, "192.0.2.1", "2001:db8::1"},
    {2, 2, "192.0.2.2", "2001:db8::2"},
    {3, 2, "192.0.2.3", "2001:db8::3"},
};
static struct tables_owners *table;
static struct fleet fleet;
static struct toeplitz toeplitz;

static void world_make(void)
{
    table = test_fleet_table(nodes, 3, 1, 1);
    test_fleet_buckets(table, 2, 3, OWNER_SLOT_NONE, OWNER_SLOT_NONE);
    memset(table->owners[1], 0xff, sizeof table->owners[1]);
    table->owners[1][0] = 3; /* one bucket is ours, one is the other's */
    tg_assert(fleet_build(&fleet, table, 2) == TG_OK);
    test_toeplitz_init(&toeplitz, 1);
}

/* What net_output and the wire do with a sealed packet. */
static struct buf *frame_make(struct buf_pool *pool, struct buf *b, bool outer4)
{
    struct ip_emit ip = {.source = fleet.nodes[0].address[outer4 ? FLEET_IP4 : FLEET_IP6],
                         .destination = fleet.nodes[1].address[outer4 ? FLEET_IP4 : FLEET_IP6],
                         .proto = IP_PROTO_UDP};
    test_frame_finish(b, ip, TUNNEL_CHECKSUM);
    struct buf *exact = test_buf_tight(pool, b->data, b->len);
    buf_unref(pool, b);
    return exact;
}

/* Of three connections one is ours, and one perhaps. */
static enum steer_claim claim(const void *arg, const struct ip_tuple *tuple, uint32_t hash,
                              const struct tcp_segment *segment)
{
    return (enum steer_claim)(tuple->remote_port % 3);
}

static struct net *net_make(struct buf_pool *pool, struct stats *stats)
{
    struct net *net;
    struct net_config c = {.port_count = 1, .address_count = 4};
    memcpy(c.ports[0].mac, test_mac_ours, 6);
    c.ports[0].mtu = 1500;
    for (unsigned family = 0; family < FLEET_FAMILIES; family++)
        c.addresses[family] =
            (struct net_address){fleet.nodes[1].address[family], family ? 64 : 96 + 24, 0};
    c.addresses[2] = (struct net_address){test_addr("203.0.113.1"), 128, 0};
    c.addresses[3] = (struct net_address){test_addr("2001:db8:f::1"), 128, 0};
    tg_assert(net_create(&c, pool, stats, &toeplitz, 1, NULL, NULL, &net) == TG_OK);
    return net;
}

/* Whose is it? Takes b. */
static void frame_steer(struct buf_pool *pool, struct buf *b)
{
    static struct steer_limits limits;
    static const uint64_t key[2] = {1, 2};
    struct stats stats = {{0}};
    struct net *net = net_make(pool, &stats);
    struct steer steer = {.owners = table,
                          .net = net,
                          .toeplitz = &toeplitz,
                          .stats = &stats,
                          .workers = 1,
                          .node_slot = 2,
                          .fleet = &fleet,
                          .limits = &limits,
                          .claim = claim,
                          .wall_offset_ns = (int64_t)(NOW_MS * TG_MS)};
    steer_limits_init(&limits, 1000, 1000, key);
    if (wire_parse(b, &toeplitz) != TG_C_none) {
        buf_unref(pool, b);
    } else {
        steer_burst(&steer, &b, 1, 0);
        tg_assert(b->verdict != BUF_PASS && b->verdict != BUF_CORE);
        tg_assert(b->verdict != BUF_DROP || b->reason != TG_C_none);
        tg_assert(b->verdict != BUF_NODE || b->flow == 1 || b->flow == 3);
        if (b->verdict != BUF_NODE || steer_forward(&steer, net, b, 0) != TG_C_none)
            buf_unref(pool, b);
    }
    for (struct buf *out; net_take(net, &out, 1);)
        buf_unref(pool, out);
    net_destroy(net);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tunnel_header header_make(uint8_t how, struct span_reader *r)
{
    struct tunnel_header h = {
        .kind = how & RETURNED ? TUNNEL_RETURNED : TUNNEL_PACKET,
        .key_id = (uint8_t)fleet.tunnel.key[0].id,
        .hops = 1,
        .tries = 1,
        .sender = 1,
        .ingress = how & RETURNED ? 2 : 1,
        .receiver = 2,
        .time_ms = NOW_MS,
    };
    if (how & FIELDS) {
        h.hops = span_read_u8(r);
        h.tries = span_read_u8(r);
        h.sender = span_read_be16(r);
        h.ingress = span_read_be16(r);
        h.receiver = span_read_be16(r);
    }
    return h;
}

/* An IP packet as it lies behind GUE; NULL: too long or too short. */
static struct buf *inside_make(struct buf_pool *pool, uint8_t how, struct span_reader *r)
{
    if (how & RAW) {
        size_t n = span_reader_left(r);
        return n < IP4_BYTES || n > 1400 ? NULL : test_buf(pool, r->at, n);
    }
    bool is4 = span_reader_left(r) & 1;
    struct ip_addr service = test_addr(is4 ? "203.0.113.1" : "2001:db8:f::1");
    struct ip_addr client = test_addr(is4 ? "198.51.100.7" : "2001:db8:9::7");
    struct ip_tuple t = {service, client, span_read_be16(r), span_read_be16(r)};
    uint32_t ack = span_read_be32(r);
    uint8_t flags = span_read_u8(r);
    struct span options = span_slice(span_make(r->at, span_reader_left(r)), 0, 40);
    options.len &= ~(size_t)3;
    if (how & QUOTE) /* what we sent */
        t = (struct ip_tuple){client, service, t.remote_port, t.local_port};
    struct buf *made = test_frame_tcp(pool, &t, ack, ack, flags, 1, options, SPAN_EMPTY);
    if (how & QUOTE) {
        struct buf *error =
            test_frame_icmp(pool, &client, &service, is4 ? 3 : 2, is4 ? 4 : 0, 1300,
                            span_make(made->data + ETH_BYTES, made->len - (size_t)ETH_BYTES));
        buf_unref(pool, made);
        made = error;
    }
    struct buf *b = test_buf(pool, made->data + ETH_BYTES, made->len - (size_t)ETH_BYTES);
    buf_unref(pool, made);
    return b;
}

static void frame_run(struct buf_pool *pool, uint8_t how, struct span_reader *r)
{
    enum fleet_family family = how & OUTER4 ? FLEET_IP4 : FLEET_IP6;
    struct tunnel_header h = header_make(how, r);
    uint8_t offset = how & DAMAGED ? span_read_u8(r) : 0;
    uint8_t mask = how & DAMAGED ? span_read_u8(r) : 0;
    struct buf *b = inside_make(pool, how, r);
    if (!b)
        return;
    if (how & STRAIGHT) {
        b->data[offset % b->len] ^= mask;
        wire_emit_ethernet(b, test_mac_ours, test_mac_peer,
                           b->data[0] >> 4 == 4 ? ETHERTYPE_IP4 : ETHERTYPE_IP6);
        frame_steer(pool, b);
        return;
    }
    if (!(how & UNSEALED))
        tunnel_seal(b, &h, &fleet.tunnel.key[0], &fleet.nodes[0].address[family],
                    &fleet.nodes[1].address[family]);
    b->data[offset % b->len] ^= mask;
    frame_steer(pool, frame_make(pool, b, how & OUTER4));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct test_pool pool;
    struct span_reader r = span_reader_make(span_make(data, size));
    if (fleet.count == 0)
        world_make();
    test_pool_init(&pool, 0);
    frame_run(&pool.pool, span_read_u8(&r), &r);
    tg_assert(pool.outstanding == 0);
    return 0;
}
