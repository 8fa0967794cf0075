/* SPDX-License-Identifier: BSD-3-Clause
 * The IP part of the parser: IPv4, IPv6 with a bounded chain of extension headers, and the
 * addresses that must not be seen on a wire. Called by wire_parse. Knows no state: which addresses
 * are ours is net's and steer's. Floor 1.
 */
#include "net/wire_internal.h"

/* Extension headers (RFC 8200 s4, IANA list): those that we walk, and those that we refuse. */
enum {
    IP6_HOP_BY_HOP = 0,
    IP6_ROUTING = 43,
    IP6_FRAGMENT = 44,
    IP6_ENCRYPTED = 50,
    IP6_AUTHENTICATION = 51,
    IP6_DESTINATION_OPTIONS = 60,
    IP6_MOBILITY = 135,
    IP6_HOST_IDENTITY = 139,
    IP6_SHIM6 = 140,
    ICMP6_ROUTER_SOLICIT = 133,    /* the first and ... */
    ICMP6_NEIGHBOUR_SOLICIT = 135, /* ... last type that may come from the unspecified address */
};

/* Options in one header beyond padding, and bytes of padding in a row (RFC 8504 s5.3). */
#define IP6_OPTIONS_MAX 8
#define IP6_PADDING_MAX 7

/* A unicast IP packet in a group-addressed frame is not for us (RFC 1122 s3.3.6): it is how a
 * broadcast turns into a storm of answers. */
static bool frame_is_group(const struct buf *b)
{
    return b->data[0] & 1;
}

/* 0/8, 127/8, 224/4 and 240/4 (broadcast among them) are nobody's unicast address (RFC 6890). */
static bool ip4_is_martian(const uint8_t a[4])
{
    return a[0] == 0 || a[0] == 127 || a[0] >= 224;
}

static enum tg_counter check_ip4_addresses(const struct buf *b, const uint8_t *h)
{
    if (ip4_is_martian(h + 12) || ip4_is_martian(h + 16))
        return TG_C_net_address;
    if (memcmp(h + 12, h + 16, 4) == 0) /* LAND */
        return TG_C_net_address;
    return frame_is_group(b) ? TG_C_net_not_for_us : TG_C_none;
}

enum tg_counter wire_parse_ip4(struct buf *b)
{
    if (b->len < b->l3 + IP4_BYTES)
        return TG_C_net_short_frame;
    const uint8_t *h = b->data + b->l3;
    if (h[0] >> 4 != 4 || (h[0] & 15) < 5)
        return TG_C_net_ip4_header;
    if ((h[0] & 15) > 5)
        return TG_C_net_ip4_options;
    uint32_t total = wire_get16(h + 2);
    if (total < IP4_BYTES || total > buf_chain_len(b) - b->l3)
        return TG_C_net_ip4_length;
    if (b->flags & BUF_RX_IP_CSUM_BAD)
        return TG_C_net_ip4_checksum;
    if (!(b->flags & BUF_RX_IP_CSUM_GOOD) &&
        wire_sum_finish(wire_sum(0, span_make(h, IP4_BYTES))) != 0)
        return TG_C_net_ip4_checksum;
    if (wire_get16(h + 6) & 0x3fff) /* more fragments, or an offset */
        return TG_C_net_fragment;
    enum tg_counter reason = check_ip4_addresses(b, h);
    if (reason != TG_C_none)
        return reason;
    if (h[9] != IP_PROTO_TCP && h[9] != IP_PROTO_UDP && h[9] != IP_PROTO_ICMP)
        return TG_C_net_protocol;

    b->ip_version = 4;
    b->ip_proto = h[9];
    b->l4 = (uint16_t)(b->l3 + IP4_BYTES);
    b->l4_len = (uint16_t)(total - IP4_BYTES);
    wire_trim(b, b->l3 + total);
    return TG_C_none;
}

/* Walk the options of a hop-by-hop or destination header (RFC 8200 s4.2). Unknown ones that say
 * "skip" are skipped; those that say "discard" in any form, a jumbogram among them, are a reason to
 * drop. */
static bool ip6_options_acceptable(const uint8_t *p, unsigned len)
{
    unsigned options = 0, padding = 0;
    for (unsigned at = 2; at < len;) {
        if (p[at] == 0) { /* Pad1 */
            at++;
            padding++;
        } else {
            if (len - at < 2 || p[at + 1] > len - at - 2)
                return false;
            unsigned bytes = 2u + p[at + 1];
            if (p[at] == 1) { /* PadN */
                padding += bytes;
            } else {
                if (p[at] >> 6 != 0 || ++options > IP6_OPTIONS_MAX)
                    return false;
                padding = 0;
            }
            at += bytes;
        }
        if (padding > IP6_PADDING_MAX)
            return false;
    }
    return true;
}

/* A routing header is harmless when its list is used up; type 0 is refused even then (RFC 5095). */
static bool ip6_routing_acceptable(const uint8_t *p)
{
    return p[2] != 0 && p[3] == 0;
}

static bool ip6_is_refused_extension(uint8_t next)
{
    return next == IP6_ENCRYPTED || next == IP6_AUTHENTICATION || next == IP6_MOBILITY ||
           next == IP6_HOST_IDENTITY || next == IP6_SHIM6;
}

static bool ip6_is_walked_extension(uint8_t next)
{
    return next == IP6_HOP_BY_HOP || next == IP6_ROUTING || next == IP6_DESTINATION_OPTIONS;
}

/* Walk the chain from b->l4 to the transport header. `end` is the packet's end, or the first
 * piece's if that comes first. */
static enum tg_counter parse_ip6_extensions(struct buf *b, unsigned end)
{
    for (unsigned count = 0; ip6_is_walked_extension(b->ip_proto); count++) {
        const uint8_t *p = b->data + b->l4;
        unsigned left = end - b->l4;
        if (count == IP6_EXTENSIONS_MAX || left < 8 || (p[1] + 1u) * 8 > left)
            return TG_C_net_ip6_extensions;
        if (b->ip_proto == IP6_HOP_BY_HOP && count != 0) /* RFC 8200 s4.1: only the first */
            return TG_C_net_ip6_extensions;
        unsigned len = (p[1] + 1u) * 8;
        bool acceptable =
            b->ip_proto == IP6_ROUTING ? ip6_routing_acceptable(p) : ip6_options_acceptable(p, len);
        if (!acceptable)
            return TG_C_net_ip6_extensions;
        b->ip_proto = p[0];
        b->l4 = (uint16_t)(b->l4 + len);
    }
    if (b->ip_proto ==
        IP6_FRAGMENT) /* atomic ones too: no client of ours has a reason to send them */
        return TG_C_net_fragment;
    if (ip6_is_refused_extension(b->ip_proto))
        return TG_C_net_ip6_extensions;
    if (b->ip_proto != IP_PROTO_TCP && b->ip_proto != IP_PROTO_UDP && b->ip_proto != IP_PROTO_ICMP6)
        return TG_C_net_protocol;
    return TG_C_none;
}

/* ::/96 holds the unspecified address, loopback and the dead IPv4-compatible form. ::ffff:0:0/96
 * must never come from a wire: inside we write IPv4 addresses so (RFC 4291 s2.5.5.2). */
static bool ip6_is_martian(const uint8_t a[16])
{
    static const uint8_t zeros[10];
    return memcmp(a, zeros, sizeof zeros) == 0 &&
           ((a[10] == 0 && a[11] == 0) || (a[10] == 0xff && a[11] == 0xff));
}

/* RFC 4862 s5.4: duplicate address detection asks from the unspecified address; routers are
 * solicited so too. */
static bool ip6_may_be_unspecified(const struct buf *b, unsigned end)
{
    static const uint8_t unspecified[16];
    if (memcmp(b->data + b->l3 + 8, unspecified, 16) != 0 || b->ip_proto != IP_PROTO_ICMP6)
        return false;
    if (b->l4 >= end || b->data[b->l3 + 24] != 0xff)
        return false;
    uint8_t type = b->data[b->l4];
    return type >= ICMP6_ROUTER_SOLICIT && type <= ICMP6_NEIGHBOUR_SOLICIT;
}

static enum tg_counter check_ip6_addresses(const struct buf *b, unsigned end)
{
    const uint8_t *source = b->data + b->l3 + 8, *destination = source + 16;
    if (source[0] == 0xff || ip6_is_martian(destination))
        return TG_C_net_address;
    if (ip6_is_martian(source) && !ip6_may_be_unspecified(b, end))
        return TG_C_net_address;
    if (memcmp(source, destination, 16) == 0)
        return TG_C_net_address;
    if (destination[0] == 0xff)
        return b->ip_proto == IP_PROTO_ICMP6 ? TG_C_none : TG_C_net_address;
    return frame_is_group(b) ? TG_C_net_not_for_us : TG_C_none;
}

enum tg_counter wire_parse_ip6(struct buf *b)
{
    if (b->len < b->l3 + IP6_BYTES)
        return TG_C_net_short_frame;
    const uint8_t *h = b->data + b->l3;
    if (h[0] >> 4 != 6)
        return TG_C_net_ip6_length;
    uint32_t payload = wire_get16(h + 4);
    /* 0: nothing inside, or a jumbogram (RFC 2675), which no port of ours can carry. */
    if (payload == 0 || payload > buf_chain_len(b) - b->l3 - IP6_BYTES)
        return TG_C_net_ip6_length;

    b->ip_version = 6;
    b->ip_proto = h[6];
    b->l4 = (uint16_t)(b->l3 + IP6_BYTES);
    wire_trim(b, b->l3 + IP6_BYTES + payload);
    unsigned end = b->l4 + payload < b->len ? b->l4 + payload : b->len;
    enum tg_counter reason = parse_ip6_extensions(b, end);
    if (reason != TG_C_none)
        return reason;
    b->l4_len = (uint16_t)(b->l3 + IP6_BYTES + payload - b->l4);
    return check_ip6_addresses(b, end);
}
