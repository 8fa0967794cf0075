/* SPDX-License-Identifier: BSD-3-Clause
 * Parse a received frame: Ethernet, then IP (wire_parse_ip.c), then the transport header; verify
 * what the port did not; hash. Called by filter. A peer chose every byte here: each length is
 * compared before it is used, and every failure is a counter's name. Knows no state at all.
 * Floor 1.
 */
#include "net/wire_internal.h"

#define ARP_BYTES  28 /* Ethernet and IPv4 (RFC 826) */
#define ICMP_BYTES 8  /* RFC 792, RFC 4443: every message that we take has these at least */

void wire_trim(struct buf *b, uint32_t bytes)
{
    for (; b; b = b->next) {
        if (bytes < b->len)
            b->len = (uint16_t)bytes;
        bytes -= b->len;
    }
}

/* True when the bytes [offset, offset + n) lie in the first piece. */
static bool in_first_piece(const struct buf *b, unsigned offset, unsigned n)
{
    return offset <= b->len && n <= b->len - offset;
}

/* Field values are net's business (arp.c); here only the length. */
static enum tg_counter parse_arp(struct buf *b)
{
    if (!in_first_piece(b, b->l3, ARP_BYTES))
        return TG_C_net_short_frame;
    b->ip_version = b->ip_proto = 0;
    b->l4 = b->payload = b->l3;
    b->l4_len = ARP_BYTES;
    b->rx_hash = 0;
    wire_trim(b, b->l3 + ARP_BYTES);
    return TG_C_none;
}

static enum tg_counter parse_tcp(struct buf *b)
{
    if (b->l4_len < TCP_BYTES)
        return TG_C_net_l4_short;
    if (!in_first_piece(b, b->l4, TCP_BYTES))
        return TG_C_net_short_frame;
    const uint8_t *h = wire_l4(b);
    unsigned header = (h[12] >> 4) * 4u;
    if (header < TCP_BYTES || header > b->l4_len)
        return TG_C_net_tcp_offset;
    if (!in_first_piece(b, b->l4, header))
        return TG_C_net_short_frame;
    if (wire_get16(h) == 0 || wire_get16(h + 2) == 0)
        return TG_C_net_tcp_port;
    b->payload = (uint16_t)(b->l4 + header);
    return TG_C_none;
}

/* A UDP length below the IP length is legal (surplus area); above it is a lie. */
static enum tg_counter parse_udp(struct buf *b)
{
    if (b->l4_len < UDP_BYTES)
        return TG_C_net_l4_short;
    if (!in_first_piece(b, b->l4, UDP_BYTES))
        return TG_C_net_short_frame;
    uint16_t len = wire_get16(wire_l4(b) + 4);
    if (len < UDP_BYTES || len > b->l4_len)
        return TG_C_net_l4_short;
    b->l4_len = len;
    b->payload = (uint16_t)(b->l4 + UDP_BYTES);
    wire_trim(b, (uint32_t)b->l4 + len);
    return TG_C_none;
}

static enum tg_counter parse_icmp(struct buf *b)
{
    if (b->l4_len < ICMP_BYTES)
        return TG_C_net_l4_short;
    if (!in_first_piece(b, b->l4, ICMP_BYTES))
        return TG_C_net_short_frame;
    b->payload = (uint16_t)(b->l4 + ICMP_BYTES);
    return TG_C_none;
}

static bool l4_checksum_right(const struct buf *b)
{
    uint32_t sum = 0;
    if (b->ip_proto != IP_PROTO_ICMP) {
        struct ip_addr source = wire_source(b), destination = wire_destination(b);
        sum = wire_sum_pseudo(&source, &destination, b->ip_proto, b->l4_len);
    }
    return wire_sum_finish(wire_sum_chain(sum, b, b->l4, b->l4_len)) == 0;
}

/* The port's word counts for TCP and UDP only: ports do not check ICMP. */
static enum tg_counter verify_l4(const struct buf *b)
{
    bool port_checks = b->ip_proto == IP_PROTO_TCP || b->ip_proto == IP_PROTO_UDP;
    if (b->ip_proto == IP_PROTO_UDP && wire_get16(wire_l4(b) + 6) == 0)
        return b->ip_version == 4 ? TG_C_none : TG_C_net_l4_checksum; /* RFC 768; RFC 8200 s8.1 */
    if (port_checks && b->flags & BUF_RX_L4_CSUM_BAD)
        return TG_C_net_l4_checksum;
    if (port_checks && b->flags & BUF_RX_L4_CSUM_GOOD)
        return TG_C_none;
    return l4_checksum_right(b) ? TG_C_none : TG_C_net_l4_checksum;
}

static enum tg_counter parse_l4(struct buf *b)
{
    enum tg_counter reason;
    switch (b->ip_proto) {
    case IP_PROTO_TCP:
        reason = parse_tcp(b);
        break;
    case IP_PROTO_UDP:
        reason = parse_udp(b);
        break;
    default:
        reason = parse_icmp(b);
    }
    return reason;
}

/* In the order of RSS: source, destination, ports. The addresses lie side by side in either header,
 * and the ports first in the transport header. */
static uint32_t parsed_hash(const struct buf *b, const struct toeplitz *toeplitz)
{
    uint8_t input[TOEPLITZ_INPUT_BYTES];
    unsigned n = b->ip_version == 4 ? 8 : 32;
    memcpy(input, wire_ip(b) + (b->ip_version == 4 ? 12 : 8), n);
    if (b->ip_proto == IP_PROTO_TCP || b->ip_proto == IP_PROTO_UDP) {
        memcpy(input + n, wire_l4(b), 4);
        n += 4;
    }
    return toeplitz_hash(toeplitz, input, n);
}

enum tg_counter wire_parse_headers(struct buf *b)
{
    if (b->len < ETH_BYTES)
        return TG_C_net_short_frame;
    b->l3 = ETH_BYTES;
    enum tg_counter reason;
    switch (wire_get16(b->data + 12)) {
    case ETHERTYPE_IP4:
        reason = wire_parse_ip4(b);
        break;
    case ETHERTYPE_IP6:
        reason = wire_parse_ip6(b);
        break;
    case ETHERTYPE_ARP:
        reason = parse_arp(b);
        if (reason == TG_C_none)
            b->flags |= BUF_PARSED;
        return reason;
    default:
        return TG_C_net_ethertype;
    }
    if (reason == TG_C_none)
        reason = parse_l4(b);
    if (reason == TG_C_none)
        b->flags |= BUF_PARSED;
    return reason;
}

enum tg_counter wire_verify(struct buf *b, const struct toeplitz *toeplitz)
{
    if (b->ip_version == 0)
        return TG_C_none;
    enum tg_counter reason = verify_l4(b);
    if (reason != TG_C_none)
        b->flags &= (uint16_t)~BUF_PARSED;
    else if (!(b->flags & BUF_RX_HASH))
        b->rx_hash = parsed_hash(b, toeplitz);
    return reason;
}

enum tg_counter wire_parse(struct buf *b, const struct toeplitz *toeplitz)
{
    enum tg_counter reason = wire_parse_headers(b);
    return reason == TG_C_none ? wire_verify(b, toeplitz) : reason;
}

uint32_t wire_tuple_hash(const struct toeplitz *t, const struct ip_tuple *tuple)
{
    bool is4 = ip_addr_is4(&tuple->local);
    tg_assert(is4 == ip_addr_is4(&tuple->remote));
    unsigned skip = is4 ? 12 : 0, n = 16 - skip;
    uint8_t input[TOEPLITZ_INPUT_BYTES];
    memcpy(input, tuple->remote.bytes + skip, n);
    memcpy(input + n, tuple->local.bytes + skip, n);
    wire_put16(input + 2 * n, tuple->remote_port);
    wire_put16(input + 2 * n + 2, tuple->local_port);
    return toeplitz_hash(t, input, 2 * n + 4);
}
