/* SPDX-License-Identifier: BSD-3-Clause
 * Parse and emit Ethernet, IPv4, IPv6, TCP and UDP headers; checksums. The only place where network
 * order lives (fields and variables named ..._be). Every offset that it stores in a buffer has been
 * checked against the frame, so later stages read headers without looking at lengths again. Called
 * by filter, steer, tcp, net itself, and the fuzz target. Floor 1: base only.
 */
#ifndef DATAPLANE_NET_WIRE_H
#define DATAPLANE_NET_WIRE_H

#include "base/buf.h"
#include "base/hash.h"
#include "base/result.h"
#include "base/stats.h"

enum {
    ETH_BYTES = 14,
    IP4_BYTES = 20,
    IP6_BYTES = 40,
    TCP_BYTES = 20,
    UDP_BYTES = 8,
    IP6_EXTENSIONS_MAX = 8, /* headers in a chain (tcp.md section 5) */
    ETHERTYPE_IP4 = 0x0800,
    ETHERTYPE_ARP = 0x0806,
    ETHERTYPE_IP6 = 0x86DD,
    IP_PROTO_ICMP = 1,
    IP_PROTO_TCP = 6,
    IP_PROTO_UDP = 17,
    IP_PROTO_ICMP6 = 58,
};

/* An address of either family. IPv4: in the last four bytes of an IPv4-mapped address
 * (::ffff:a.b.c.d, RFC 4291 s2.5.5.2), so that comparing 16 bytes compares any two addresses. */
struct ip_addr {
    uint8_t bytes[16];
};

#define IP_ADDR_MAPPED 12 /* bytes of the prefix: ten of 0, two of 0xff */
static const uint8_t ip_addr_mapped[IP_ADDR_MAPPED] = {[10] = 0xff, [11] = 0xff};

static inline struct ip_addr ip_addr_from4(const uint8_t bytes[4])
{
    struct ip_addr a;
    memcpy(a.bytes, ip_addr_mapped, IP_ADDR_MAPPED);
    memcpy(a.bytes + IP_ADDR_MAPPED, bytes, 4);
    return a;
}
static inline bool ip_addr_is4(const struct ip_addr *a)
{
    return memcmp(a->bytes, ip_addr_mapped, IP_ADDR_MAPPED) == 0;
}
static inline bool ip_addr_equal(const struct ip_addr *a, const struct ip_addr *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}
/* True when the first `bits` (0..128; IPv4 + 96) bits of the two are equal. */
bool ip_addr_in_prefix(const struct ip_addr *a, const struct ip_addr *prefix, unsigned bits);
/* Text form for cold code, at most 46 bytes with the NUL (IPv4 as dotted quad); returns out. */
char *ip_addr_text(const struct ip_addr *a, char out[46]);
/* Parse text of either family (an IPv4-mapped text is the IPv4 address); TG_BAD_INPUT leaves *out
 * as it was. */
enum tg_err ip_addr_parse(const char *text, struct ip_addr *out);

/* The names of a connection as we see it: local is ours. Ports in host order. */
struct ip_tuple {
    struct ip_addr local, remote;
    uint16_t local_port, remote_port;
};

/* No padding, so tuples compare as bytes. */
static inline bool wire_tuple_equal(const struct ip_tuple *a, const struct ip_tuple *b)
{
    return vector_equal36(a, b);
}
static_assert(sizeof(struct ip_tuple) == 36, "two addresses, two ports");

/* Parse a received frame (first piece) down to the transport header, verify lengths, checksums that
 * the port has not verified, and fill in l3, l4, payload, l4_len, ip_version, ip_proto, rx_hash and
 * BUF_PARSED. Link padding is trimmed off the buffer. A chain's headers must lie in its first
 * piece.
 *
 * toeplitz  hash used when the port gave none: Toeplitz over (source, destination, ports) as
 *           received; of ICMP over the addresses; 0 for ARP.
 *
 * Returns TG_C_none when the packet may go on (TCP, UDP, ICMP, ICMPv6, ARP (ip_version 0)), else
 * the counter of the reason to drop it. Counts nothing itself.
 *
 * What it refuses beside lies: IPv4 options; fragments, atomic ones too; IPv6 routing headers that
 * are type 0 or not used up; more than IP6_EXTENSIONS_MAX extension headers; addresses that must
 * not be on a wire, IPv4-mapped IPv6 among them; source == destination; unicast IP in a
 * group-addressed frame; multicast that is not ICMPv6. The unspecified source passes only for
 * router and neighbour solicitations to a group. */
enum tg_counter wire_parse(struct buf *b, const struct toeplitz *toeplitz);

/* wire_parse in two halves, so that the filter pays for a flood's headers only: first everything but the
 * transport checksum and the hash, then, for survivors, these two. Results as above. */
enum tg_counter wire_parse_headers(struct buf *b);
enum tg_counter wire_verify(struct buf *b, const struct toeplitz *toeplitz);

static inline uint16_t wire_get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}
static inline uint32_t wire_get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline void wire_put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}
static inline void wire_put32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

/* Accessors; valid after wire_parse returned TG_C_none. */
static inline const uint8_t *wire_ip(const struct buf *b)
{
    return b->data + b->l3;
}
static inline const uint8_t *wire_l4(const struct buf *b)
{
    return b->data + b->l4;
}
static inline struct ip_addr wire_address(const struct buf *b, unsigned offset4, unsigned offset6)
{
    struct ip_addr a = {{0}};
    if (b->ip_version == 4)
        return ip_addr_from4(wire_ip(b) + offset4);
    if (b->ip_version == 6)
        memcpy(a.bytes, wire_ip(b) + offset6, sizeof a.bytes);
    return a;
}
static inline struct ip_addr wire_source(const struct buf *b)
{
    return wire_address(b, 12, 8);
}
static inline struct ip_addr wire_destination(const struct buf *b)
{
    return wire_address(b, 16, 24);
}

/* The tuple of a TCP or UDP packet that we received: local = destination. */
static inline struct ip_tuple wire_tuple(const struct buf *b)
{
    tg_assert(b->ip_proto == IP_PROTO_TCP || b->ip_proto == IP_PROTO_UDP);
    const uint8_t *h = wire_l4(b);
    return (struct ip_tuple){wire_destination(b), wire_source(b), wire_get16(h + 2), wire_get16(h)};
}

/* The Toeplitz hash that packets of this tuple arrive with (remote -> local), as rx_hash has it. */
uint32_t wire_tuple_hash(const struct toeplitz *t, const struct ip_tuple *tuple);

/* TCP header, host order. Options are borrowed from the frame. */
struct tcp_segment {
    uint32_t seq, ack;
    uint16_t source_port, destination_port;
    uint16_t window; /* unscaled */
    uint8_t flags;   /* enum tcp_flag */
    struct span options;
    uint16_t payload_bytes;
};
enum tcp_flag {
    TCP_FIN = 0x01,
    TCP_SYN = 0x02,
    TCP_RST = 0x04,
    TCP_PSH = 0x08,
    TCP_ACK = 0x10,
    TCP_URG = 0x20,
    TCP_ECE = 0x40,
    TCP_CWR = 0x80,
};
/* Read the TCP header of a parsed packet (b->ip_proto == IP_PROTO_TCP). */
static inline struct tcp_segment wire_tcp(const struct buf *b)
{
    tg_assert(b->flags & BUF_PARSED && b->ip_proto == IP_PROTO_TCP);
    const uint8_t *h = wire_l4(b);
    unsigned header = (unsigned)b->payload - b->l4;
    return (struct tcp_segment){
        .seq = wire_get32(h + 4),
        .ack = wire_get32(h + 8),
        .source_port = wire_get16(h),
        .destination_port = wire_get16(h + 2),
        .window = wire_get16(h + 14),
        .flags = h[13],
        .options = span_make(h + TCP_BYTES, header - TCP_BYTES),
        .payload_bytes = (uint16_t)(b->l4_len - header),
    };
}

/* What an outgoing IP packet needs besides its bytes. */
struct ip_emit {
    struct ip_addr source, destination;
    uint8_t proto;
    uint8_t hop_limit;       /* 0: 64 */
    uint8_t traffic_class;   /* ECN in the low two bits */
    uint16_t identification; /* IPv4; 0: none, as an atomic datagram needs (RFC 6864 s4.1) */
};

/* Put an IPv4 or IPv6 header in front of the buffer's bytes (the chain's whole length counts) by
 * buf_push; sets l3 = 0, l4, l4_len, ip_version and ip_proto, so that io/ can fill in what an
 * offload needs (Ethernet moves l3 and l4 on). IPv4: DF set (atomic datagram, RFC 6864). The checksum is computed, or left to the port with BUF_TX_IP_CSUM when `offload`. Asserts
 * headroom. */
void wire_emit_ip(struct buf *b, const struct ip_emit *ip, bool offload_ip_checksum);

/* Checksum of TCP, UDP, ICMP(v6) over the pseudo-header and the buffer chain, whose first byte is
 * the transport header: writes it at `checksum_offset`. With `offload` only the pseudo-header's sum
 * is written and BUF_TX_L4_CSUM set (TCP and UDP only: ports do not compute ICMP); for a super-segment
 * always, and without the length, which differs between the segments that are made of it. */
void wire_emit_l4_checksum(struct buf *b, const struct ip_emit *ip, unsigned checksum_offset,
                           bool offload);

/* Do what BUF_TX_L4_CSUM asks the port for, of a TCP frame in one piece; the flag goes. */
void wire_finish_tcp(struct buf *b);

/* Put the Ethernet header in front. */
void wire_emit_ethernet(struct buf *b, const uint8_t destination[6], const uint8_t source[6],
                        uint16_t ethertype);

/* Internet checksum (RFC 1071): folded one's complement sum of a span continued from `sum` (host
 * order, 0 to start); wire_sum_finish complements it. Odd lengths are padded with zero. */
uint32_t wire_sum(uint32_t sum, struct span bytes);
uint16_t wire_sum_finish(uint32_t sum);
/* The same over `len` bytes of a chain from `offset` on (both within the chain); pieces may have
 * odd lengths. */
uint32_t wire_sum_chain(uint32_t sum, const struct buf *b, uint32_t offset, uint32_t len);
/* Sum of the pseudo-header of either family (RFC 9293 s3.1, RFC 8200 s8.1); len: transport header +
 * payload. */
uint32_t wire_sum_pseudo(const struct ip_addr *source, const struct ip_addr *destination,
                         uint8_t proto, uint32_t len);

#endif
