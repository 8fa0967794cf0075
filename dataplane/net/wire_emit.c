/* SPDX-License-Identifier: BSD-3-Clause
 * Write Ethernet and IP headers and transport checksums into a buffer's headroom. Called by net and
 * by tests that make packets. Knows no routes and no neighbours. Floor 1.
 */
#include "net/wire.h"

#define HOP_LIMIT_DEFAULT 64 /* RFC 1700; what Linux sends */

static void emit_ip4(uint8_t *h, const struct ip_emit *ip, uint16_t total, bool offload)
{
    h[0] = 0x45;
    h[1] = ip->traffic_class;
    wire_put16(h + 2, total);
    wire_put16(h + 4, ip->identification);
    wire_put16(h + 6, 0x4000); /* DF, offset 0 */
    h[8] = ip->hop_limit ? ip->hop_limit : HOP_LIMIT_DEFAULT;
    h[9] = ip->proto;
    wire_put16(h + 10, 0);
    memcpy(h + 12, ip->source.bytes + 12, 4);
    memcpy(h + 16, ip->destination.bytes + 12, 4);
    if (!offload)
        wire_put16(h + 10, wire_sum_finish(wire_sum(0, span_make(h, IP4_BYTES))));
}

static void emit_ip6(uint8_t *h, const struct ip_emit *ip, uint16_t payload)
{
    wire_put32(h, 6u << 28 | (uint32_t)ip->traffic_class << 20); /* flow label 0 (RFC 6437 s3) */
    wire_put16(h + 4, payload);
    h[6] = ip->proto;
    h[7] = ip->hop_limit ? ip->hop_limit : HOP_LIMIT_DEFAULT;
    memcpy(h + 8, ip->source.bytes, 16);
    memcpy(h + 24, ip->destination.bytes, 16);
}

void wire_emit_ip(struct buf *b, const struct ip_emit *ip, bool offload_ip_checksum)
{
    uint32_t payload = buf_chain_len(b);
    bool is4 = ip_addr_is4(&ip->source);
    tg_assert(is4 == ip_addr_is4(&ip->destination));
    tg_assert(payload <= UINT16_MAX - IP6_BYTES);

    uint16_t header = is4 ? IP4_BYTES : IP6_BYTES;
    uint8_t *h = buf_push(b, header);
    if (is4)
        emit_ip4(h, ip, (uint16_t)(payload + IP4_BYTES), offload_ip_checksum);
    else
        emit_ip6(h, ip, (uint16_t)payload);
    b->flags &=
        (uint16_t)~BUF_TX_IP_CSUM; /* the frame may have been sent before, by another port */
    if (is4 && offload_ip_checksum)
        b->flags |= BUF_TX_IP_CSUM;
    b->l3 = 0;
    b->l4 = header;
    b->l4_len = (uint16_t)payload;
    b->ip_version = is4 ? 4 : 6;
    b->ip_proto = ip->proto;
}

void wire_emit_l4_checksum(struct buf *b, const struct ip_emit *ip, unsigned checksum_offset,
                           bool offload)
{
    uint32_t len = b->segments ? 0 : buf_chain_len(b);
    tg_assert(checksum_offset + 2 <= b->len);
    tg_assert(!b->segments || ip->proto == IP_PROTO_TCP);
    uint8_t *field = b->data + checksum_offset;
    uint32_t sum = 0;
    if (ip->proto != IP_PROTO_ICMP) /* ICMP for IPv4 knows no pseudo-header (RFC 792) */
        sum = wire_sum_pseudo(&ip->source, &ip->destination, ip->proto, len);

    /* Ports compute TCP and UDP only. */
    offload = (offload || b->segments) && (ip->proto == IP_PROTO_TCP || ip->proto == IP_PROTO_UDP);
    b->flags &= (uint16_t)~BUF_TX_L4_CSUM;
    if (offload) {
        b->flags |= BUF_TX_L4_CSUM;
        wire_put16(field, (uint16_t)sum);
        return;
    }
    wire_put16(field, 0);
    uint16_t checksum = wire_sum_finish(wire_sum_chain(sum, b, 0, len));
    if (checksum == 0 && ip->proto == IP_PROTO_UDP)
        checksum = 0xffff; /* zero means "none" (RFC 768) */
    wire_put16(field, checksum);
}

void wire_finish_tcp(struct buf *b)
{
    enum { CHECKSUM_AT = 16 };
    tg_assert(!b->next && b->flags & BUF_TX_L4_CSUM && b->ip_proto == IP_PROTO_TCP);
    struct span segment = span_make(b->data + b->l4, (size_t)(b->len - b->l4));
    /* the field holds the pseudo-header's sum: it is summed up with the rest */
    wire_put16(b->data + b->l4 + CHECKSUM_AT, wire_sum_finish(wire_sum(0, segment)));
    b->flags &= (uint16_t)~BUF_TX_L4_CSUM;
}

void wire_emit_ethernet(struct buf *b, const uint8_t destination[6], const uint8_t source[6],
                        uint16_t ethertype)
{
    uint8_t *h = buf_push(b, ETH_BYTES);
    memcpy(h, destination, 6);
    memcpy(h + 6, source, 6);
    wire_put16(h + 12, ethertype);
    b->l3 = (uint16_t)(b->l3 + ETH_BYTES);
    b->l4 = (uint16_t)(b->l4 + ETH_BYTES);
}
