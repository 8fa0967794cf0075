/* SPDX-License-Identifier: BSD-3-Clause
 * The tunnel's bytes: seal, open, strip (see tunnel.h). Whatever arrives on the port may be anybody's: each
 * length is compared before it is used, cheap questions come before the MAC. Floor 2.
 */
#include "steer/tunnel.h"

enum { PROTO_IP4 = 4, PROTO_IP6 = 41 };

#define GUE_FIRST    0x07
#define GUE_LAYOUT   0x7467
#define MAC_OFFSET   24
#define MAC_INNER    64 /* bytes of the packet that it covers */
#define SOURCE_PORTS 49152u
#define IP_TOTAL_MIN 20

static void put64(uint8_t *p, uint64_t v)
{
    wire_put32(p, (uint32_t)(v >> 32));
    wire_put32(p + 4, (uint32_t)v);
}

static uint64_t get64(const uint8_t *p)
{
    return (uint64_t)wire_get32(p) << 32 | wire_get32(p + 4);
}

/* gue: the header, followed by the packet's bytes, all in one piece. */
static uint64_t mac_of(const struct owner_key *key, const struct ip_addr *source,
                       const struct ip_addr *destination, const uint8_t *gue, unsigned packet_bytes)
{
    uint8_t input[32 + MAC_OFFSET + 2 + MAC_INNER];
    unsigned inner = packet_bytes < MAC_INNER ? packet_bytes : MAC_INNER;
    memcpy(input, source->bytes, 16);
    memcpy(input + 16, destination->bytes, 16);
    memcpy(input + 32, gue, MAC_OFFSET);
    wire_put16(input + 32 + MAC_OFFSET, (uint16_t)packet_bytes);
    memcpy(input + 32 + MAC_OFFSET + 2, gue + TUNNEL_GUE_BYTES, inner);
    return hash_sip24(key->secret, span_make(input, 32 + MAC_OFFSET + 2 + inner));
}

uint16_t tunnel_reserve(const struct fleet *fleet, enum fleet_family client)
{
    struct ip_addr source, destination;
    for (unsigned i = 0; i < fleet->count; i++)
        if (fleet_path(fleet, &fleet->nodes[i], client, &source, &destination) &&
            !ip_addr_is4(&source))
            return TUNNEL_OVERHEAD6;
    return TUNNEL_OVERHEAD4;
}

/* --- out ------------------------------------------------------------------------------------- */

void tunnel_seal(struct buf *b, const struct tunnel_header *h, const struct owner_key *key,
                 const struct ip_addr *source, const struct ip_addr *destination)
{
    unsigned packet_bytes = b->len;
    tg_assert(!b->next && packet_bytes >= IP_TOTAL_MIN);
    uint8_t proto = b->data[0] >> 4 == 4 ? PROTO_IP4 : PROTO_IP6;
    uint8_t *gue = buf_push(b, TUNNEL_GUE_BYTES);
    gue[0] = GUE_FIRST;
    gue[1] = proto;
    wire_put16(gue + 2, 0);
    wire_put16(gue + 4, GUE_LAYOUT);
    gue[6] = (uint8_t)h->kind;
    gue[7] = h->key_id;
    gue[8] = h->hops;
    gue[9] = h->tries;
    wire_put16(gue + 10, h->sender);
    wire_put16(gue + 12, h->ingress);
    wire_put16(gue + 14, h->receiver);
    put64(gue + 16, h->time_ms);
    put64(gue + MAC_OFFSET, mac_of(key, source, destination, gue, packet_bytes));
    uint8_t *udp = buf_push(b, UDP_BYTES);
    wire_put16(udp, (uint16_t)(SOURCE_PORTS + (b->rx_hash & 0x3fff)));
    wire_put16(udp + 2, TUNNEL_PORT);
    wire_put16(udp + 4, b->len);
    wire_put16(udp + TUNNEL_CHECKSUM, 0);
}

/* --- in -------------------------------------------------------------------------------------- */

bool tunnel_is(const struct buf *b)
{
    return b->ip_proto == IP_PROTO_UDP && wire_get16(wire_l4(b) + 2) == TUNNEL_PORT;
}

static bool header_read(const struct buf *b, struct tunnel_header *h)
{
    const uint8_t *gue = wire_l4(b) + UDP_BYTES;
    if (b->next || b->l4_len < UDP_BYTES + TUNNEL_GUE_BYTES + IP_TOTAL_MIN)
        return false;
    if (gue[0] != GUE_FIRST || (gue[1] != PROTO_IP4 && gue[1] != PROTO_IP6) ||
        wire_get16(gue + 2) != 0 || wire_get16(gue + 4) != GUE_LAYOUT)
        return false;
    if (gue[6] != TUNNEL_PACKET && gue[6] != TUNNEL_RETURNED)
        return false;
    if (gue[TUNNEL_GUE_BYTES] >> 4 != (gue[1] == PROTO_IP4 ? 4 : 6))
        return false;
    *h = (struct tunnel_header){
        .kind = (enum tunnel_kind)gue[6],
        .key_id = gue[7],
        .hops = gue[8],
        .tries = gue[9],
        .sender = wire_get16(gue + 10),
        .ingress = wire_get16(gue + 12),
        .receiver = wire_get16(gue + 14),
        .time_ms = get64(gue + 16),
    };
    return true;
}

/* Both ends are the tunnel addresses of the nodes that the header names. */
static bool ends_right(const struct fleet *fleet, const struct tunnel_header *h,
                       const struct ip_addr *source, const struct ip_addr *destination)
{
    enum fleet_family family = ip_addr_is4(source) ? FLEET_IP4 : FLEET_IP6;
    const struct fleet_node *self = &fleet->nodes[fleet->self];
    const struct fleet_node *sender = fleet_find(fleet, h->sender);
    return sender && sender != self && h->receiver == self->slot && sender->has[family] &&
           self->has[family] && ip_addr_equal(&sender->address[family], source) &&
           ip_addr_equal(&self->address[family], destination);
}

/* A packet is on its first hop from its ingress or on its second from another node, and never comes back
 * but as returned. */
static bool way_right(const struct fleet *fleet, const struct tunnel_header *h)
{
    if (h->hops < 1 || h->hops > TUNNEL_HOPS_MAX || h->tries < 1)
        return false;
    if (h->kind == TUNNEL_RETURNED)
        return h->ingress == fleet->me.slot;
    return h->ingress != fleet->me.slot && (h->hops == 1) == (h->sender == h->ingress);
}

static const struct owner_key *key_find(const struct owner_keys *keys, uint8_t id)
{
    for (unsigned i = 0; i < keys->count; i++)
        if ((uint8_t)keys->key[i].id == id)
            return &keys->key[i];
    return NULL;
}

enum tg_counter tunnel_open(const struct fleet *fleet, const struct buf *b, uint64_t wall_ms,
                            struct tunnel_header *h)
{
    tg_assert(tunnel_is(b));
    struct ip_addr source = wire_source(b), destination = wire_destination(b);
    const uint8_t *gue = wire_l4(b) + UDP_BYTES;
    if (!header_read(b, h))
        return TG_C_steer_tunnel_bad_header;
    if (!ends_right(fleet, h, &source, &destination))
        return TG_C_steer_tunnel_not_fleet;
    /* Unsigned: any distance beyond the window, however far, is beyond it. */
    if (wall_ms - h->time_ms + TUNNEL_WINDOW_MS > 2 * TUNNEL_WINDOW_MS)
        return TG_C_steer_tunnel_old;
    const struct owner_key *key = key_find(&fleet->tunnel, h->key_id);
    if (!key)
        return TG_C_steer_tunnel_key;
    unsigned packet_bytes = (unsigned)b->l4_len - UDP_BYTES - TUNNEL_GUE_BYTES;
    /* One comparison of 64 bits: its time tells nothing of how many were right. */
    if ((mac_of(key, &source, &destination, gue, packet_bytes) ^ get64(gue + MAC_OFFSET)) != 0)
        return TG_C_steer_tunnel_bad_mac;
    return way_right(fleet, h) ? TG_C_none : TG_C_steer_tunnel_loop;
}

void tunnel_strip(struct buf *b)
{
    uint8_t macs[12];
    memcpy(macs, b->data, sizeof macs);
    buf_pull(b, (uint16_t)(b->l4 + UDP_BYTES + TUNNEL_GUE_BYTES));
    uint16_t type = b->data[0] >> 4 == 4 ? ETHERTYPE_IP4 : ETHERTYPE_IP6;
    uint8_t *ethernet = buf_push(b, ETH_BYTES);
    memcpy(ethernet, macs, sizeof macs);
    wire_put16(ethernet + 12, type);
    /* What the port said was about the outer packet. */
    b->flags &= (uint16_t) ~(BUF_RX_IP_CSUM_GOOD | BUF_RX_IP_CSUM_BAD | BUF_RX_L4_CSUM_GOOD |
                             BUF_RX_L4_CSUM_BAD | BUF_RX_HASH | BUF_PARSED);
}
