/* SPDX-License-Identifier: BSD-3-Clause
 * libFuzzer target for what arrives on the tunnel's port, and for the options that steer reads. An input is
 * a way to make a frame; then it is opened, stripped and parsed, as steer does. The MAC stops a fuzzer at
 * once, so most inputs are sealed with the right key after they have been damaged.
 *
 *   byte 0    bit 0 outer IPv4, 1 not sealed, 2 damaged after sealing, 3 a returned packet,
 *             4 header fields from the input (8 bytes), 5 raw bytes inside instead of a TCP packet
 *   then      header fields, if so; damage: offset and mask, if so
 *   rest      inside: raw, or ports (4), ACK (4), options (up to 40)
 */
#include "steer/fleet_test_support.h"
#include "steer/tunnel.h"

enum { OUTER4 = 1, UNSEALED = 2, DAMAGED = 4, RETURNED = 8, FIELDS = 16, RAW = 32 };
#define NOW_MS 1700000000000u

static const struct test_node nodes[] = {
    {1, 1, "192.0.2.1", "2001:db8::1"},
    {2, 2, "192.0.2.2", "2001:db8::2"},
};
static struct fleet fleet;
static struct toeplitz toeplitz;

static void world_make(void)
{
    struct tables_owners *t = test_fleet_table(nodes, 2, 1, 1);
    tg_assert(fleet_build(&fleet, t, 2) == TG_OK);
    free(t);
    test_toeplitz_init(&toeplitz, 1);
}

/* What net_output and the wire do with a sealed packet. */
static struct buf *frame_make(struct buf_pool *pool, struct buf *b, bool outer4)
{
    struct ip_emit ip = {.source = fleet.nodes[0].address[outer4 ? FLEET_IP4 : FLEET_IP6],
                         .destination = fleet.nodes[1].address[outer4 ? FLEET_IP4 : FLEET_IP6],
                         .proto = IP_PROTO_UDP};
    test_frame_finish(b, ip, TUNNEL_CHECKSUM);
    struct buf *tight = test_buf_tight(pool, b->data, b->len);
    buf_unref(pool, b);
    return tight;
}

static void packet_look(struct buf *b)
{
    if (wire_parse(b, &toeplitz) != TG_C_none || b->ip_proto != IP_PROTO_TCP)
        return;
    uint32_t value, echo;
    uint16_t slot;
    uint8_t sites[OWNER_SITES_FOUND];
    struct ip_tuple t = wire_tuple(b);
    struct tcp_segment s = wire_tcp(b);
    if (owner_cookie_timestamps(s.options, &value, &echo) &&
        owner_cookie_slot(&fleet.me.owner, &fleet.live, &t, echo, &slot))
        tg_assert(slot == 1 || slot == 2);
    tg_assert(owner_cookie_sites(&fleet.me.owner, &fleet.sites, &t, s.ack - 1, sites) <= 2);
}

static void frame_open(struct buf *b)
{
    struct tunnel_header h;
    if (wire_parse(b, &toeplitz) != TG_C_none || !tunnel_is(b))
        return;
    if (tunnel_open(&fleet, b, NOW_MS, &h) != TG_C_none)
        return;
    tg_assert(h.receiver == 2 && h.sender == 1 && h.hops >= 1 && h.hops <= TUNNEL_HOPS_MAX);
    tg_assert((h.kind == TUNNEL_RETURNED) == (h.ingress == 2));
    uint16_t before = b->len;
    tunnel_strip(b);
    tg_assert(b->len < before && b->len >= ETH_BYTES + IP4_BYTES);
    packet_look(b);
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
    struct ip_tuple t = {test_addr(is4 ? "203.0.113.1" : "2001:db8:f::1"),
                         test_addr(is4 ? "198.51.100.7" : "2001:db8:9::7"), 0, 0};
    t.local_port = span_read_be16(r);
    t.remote_port = span_read_be16(r);
    uint32_t ack = span_read_be32(r);
    struct span options = span_slice(span_make(r->at, span_reader_left(r)), 0, 40);
    options.len &= ~(size_t)3;
    struct buf *made = test_frame_tcp(pool, &t, 1, ack, TCP_ACK, 1, options, SPAN_EMPTY);
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
    if (!(how & UNSEALED))
        tunnel_seal(b, &h, &fleet.tunnel.key[0], &fleet.nodes[0].address[family],
                    &fleet.nodes[1].address[family]);
    b->data[offset % b->len] ^= mask;
    b = frame_make(pool, b, how & OUTER4);
    frame_open(b);
    buf_unref(pool, b);
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
