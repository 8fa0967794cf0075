/* SPDX-License-Identifier: BSD-3-Clause
 * The packet that an ICMP error quotes. Pure: called by icmp.c, and by steer, which sends the error
 * to the worker that owns the quoted connection. Floor 1.
 */
#include "net/net_internal.h"
#include "net/owner_cookie.h"

/* ICMP (RFC 792, RFC 1191) and ICMPv6 (RFC 4443) errors. Source quench is dead (RFC 6633),
 * redirects are ignored. */
enum {
    ICMP_UNREACHABLE = 3,
    ICMP_UNREACHABLE_PROTOCOL = 2, /* codes */
    ICMP_UNREACHABLE_PORT = 3,
    ICMP_UNREACHABLE_TOO_BIG = 4,
    ICMP_TIME_EXCEEDED = 11,
    ICMP_PARAMETER = 12,
    ICMP6_UNREACHABLE = 1,
    ICMP6_TOO_BIG = 2,
    ICMP6_TIME_EXCEEDED = 3,
    ICMP6_PARAMETER = 4,
    ICMP6_UNREACHABLE_PORT = 4, /* codes */
    ICMP6_PARAMETER_NEXT_HEADER = 1,
};
#define ICMP_BYTES     8
#define QUOTE_L4_BYTES 8    /* ports and sequence number: all that RFC 792 promises */
#define IP4_MTU_FLOOR  68   /* RFC 791 */
#define IP6_MTU_FLOOR  1280 /* RFC 8200 s5; a smaller report is discarded (RFC 8201 s4) */

/* A router older than RFC 1191 tells no MTU: the next common one below the packet that it could not
 * pass (s7). */
static uint32_t mtu_below(uint16_t packet_bytes)
{
    static const uint16_t plateaus[] = {1492, 1006, 508, 296};
    for (unsigned i = 0; i < TG_ARRAY_LEN(plateaus); i++)
        if (packet_bytes > plateaus[i])
            return plateaus[i];
    return IP4_MTU_FLOOR;
}

/* l4: the TCP header, as far as it is quoted: QUOTE_L4_BYTES at least. RFC 1812 s4.3.2.3 lets routers
 * quote more, and then the timestamp says whose connection it is. */
static void quote_tcp(const uint8_t *l4, size_t len, struct net_icmp_error *error)
{
    uint32_t echo;
    error->tuple.local_port = wire_get16(l4);
    error->tuple.remote_port = wire_get16(l4 + 2);
    error->seq = wire_get32(l4 + 4);
    if (len <= TCP_BYTES)
        return;
    size_t header = (l4[12] >> 4) * 4u, there = header < len ? header : len;
    if (there > TCP_BYTES)
        error->has_timestamp = owner_cookie_timestamps(span_make(l4 + TCP_BYTES, there - TCP_BYTES),
                                                       &error->timestamp, &echo);
}

/* The quote is a packet that we sent: no options, no fragment, or it is not ours. */
static enum tg_err quote_ip4(const uint8_t *icmp, struct span quote, struct net_icmp_error *error)
{
    const uint8_t *q = quote.data;
    if (quote.len < IP4_BYTES || q[0] != 0x45 || wire_get16(q + 6) & 0x3fff)
        return TG_BAD_INPUT;
    if (q[9] != IP_PROTO_TCP)
        return TG_UNSUPPORTED;
    if (quote.len < IP4_BYTES + QUOTE_L4_BYTES)
        return TG_BAD_INPUT;
    error->tuple.local = ip_addr_from4(q + 12);
    error->tuple.remote = ip_addr_from4(q + 16);
    quote_tcp(q + IP4_BYTES, quote.len - IP4_BYTES, error);
    if (icmp[0] != ICMP_UNREACHABLE)
        return TG_OK;
    error->hard = icmp[1] == ICMP_UNREACHABLE_PROTOCOL || icmp[1] == ICMP_UNREACHABLE_PORT;
    if (icmp[1] == ICMP_UNREACHABLE_TOO_BIG) {
        error->mtu = wire_get16(icmp + 6);
        if (error->mtu == 0)
            error->mtu = mtu_below(wire_get16(q + 2));
        if (error->mtu < IP4_MTU_FLOOR)
            return TG_BAD_INPUT;
    }
    return TG_OK;
}

static enum tg_err quote_ip6(const uint8_t *icmp, struct span quote, struct net_icmp_error *error)
{
    const uint8_t *q = quote.data;
    if (quote.len < IP6_BYTES || q[0] >> 4 != 6)
        return TG_BAD_INPUT;
    if (q[6] != IP_PROTO_TCP) /* we send no extension headers */
        return TG_UNSUPPORTED;
    if (quote.len < IP6_BYTES + QUOTE_L4_BYTES)
        return TG_BAD_INPUT;
    memcpy(error->tuple.local.bytes, q + 8, 16);
    memcpy(error->tuple.remote.bytes, q + 24, 16);
    /* Inside, a mapped address is IPv4: no IPv6 packet of ours has one. */
    if (ip_addr_is4(&error->tuple.local) || ip_addr_is4(&error->tuple.remote))
        return TG_BAD_INPUT;
    quote_tcp(q + IP6_BYTES, quote.len - IP6_BYTES, error);
    error->hard = (icmp[0] == ICMP6_UNREACHABLE && icmp[1] == ICMP6_UNREACHABLE_PORT) ||
                  (icmp[0] == ICMP6_PARAMETER && icmp[1] == ICMP6_PARAMETER_NEXT_HEADER);
    if (icmp[0] == ICMP6_TOO_BIG) {
        error->mtu = wire_get32(icmp + 4);
        if (error->mtu < IP6_MTU_FLOOR)
            return TG_BAD_INPUT;
    }
    return TG_OK;
}

static bool is_error(uint8_t proto, uint8_t type)
{
    if (proto == IP_PROTO_ICMP)
        return type == ICMP_UNREACHABLE || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETER;
    return type >= ICMP6_UNREACHABLE && type <= ICMP6_PARAMETER;
}

enum tg_err net_icmp_quote(const struct buf *b, struct net_icmp_error *error)
{
    tg_assert(b->ip_proto == IP_PROTO_ICMP || b->ip_proto == IP_PROTO_ICMP6);
    const uint8_t *icmp = wire_l4(b);
    if (!is_error(b->ip_proto, icmp[0]))
        return TG_UNSUPPORTED;
    /* Of a chain only the first piece is read: the quote's head lies there or is not looked at. */
    size_t len = b->l4_len - (size_t)ICMP_BYTES, there = (size_t)b->len - b->payload;
    struct span quote = span_make(icmp + ICMP_BYTES, len < there ? len : there);
    struct net_icmp_error found = {.mtu = 0};
    enum tg_err e = b->ip_proto == IP_PROTO_ICMP ? quote_ip4(icmp, quote, &found)
                                                 : quote_ip6(icmp, quote, &found);
    if (e == TG_OK)
        *error = found;
    return e;
}
