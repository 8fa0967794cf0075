/* SPDX-License-Identifier: BSD-3-Clause
 * Kinds of frames for the kernel, and their token buckets; see exception_police.h. Floor 2: base only.
 */
#include "io/exception_police.h"

enum {
    IP4_TTL = 8, /* offsets in the headers */
    IP6_HOP_LIMIT = 7,
    PROTO_ICMP = 1,
    PROTO_TCP = 6,
    PROTO_UDP = 17,
    PROTO_ICMP6 = 58,
    PORT_BGP = 179,
    PORT_BFD = 3784,
    PORT_BFD_ECHO = 3785,
    PORT_BFD_MULTIHOP = 4784,
    ICMP_UNREACHABLE = 3,
    ICMP_TIME_EXCEEDED = 11,
    ICMP_PARAMETER = 12,
    ICMP6_ERROR_LAST = 127,         /* RFC 4443 s2.1: below 128 are the errors */
    ICMP6_LISTENER_QUERY = 130,     /* MLD: 130 to 132 (RFC 2710) */
    ICMP6_NEIGHBOUR_LAST = 137,     /* 133 to 137: RFC 4861 */
    ICMP6_LISTENER_REPORT_V2 = 143, /* RFC 3810 */
};

/* Per worker. Together at most 27,200 a second; with 16 workers 435,000, which one thread carries over a TAP
 * (DPDK's own driver writes 1.2 million a second to one), so that it is never the bottleneck that a flood
 * would fill.
 *   BFD      one session at 10 ms sends 100 a second: 20 sessions
 *   ROUTING  segments of 1,448 B: 92 Mbit/s, a full table in some 5 s
 *   FAR      half of that: a session over several hops has to share with whoever floods the port
 *   LINK     a neighbour asks once in 30 s; a router that restarts asks for all at once
 *   ERROR    path MTU discovery: one for each destination and path
 *   OTHER    full frames: 139 Mbit/s, etcd's traffic and a remote shell
 * A TCP sender meets the limit by losing what is beyond a burst. 512 segments are a window that it can halve
 * without falling silent: so it gets 65 of the 92 Mbit/s, and of 46 Mbit/s with a burst of 128 it got 8. */
static const struct exception_grant grants[EXCEPTION_KINDS] = {
    [EXCEPTION_BFD] = {2000, 32},  [EXCEPTION_ROUTING] = {8000, 512},
    [EXCEPTION_FAR] = {4000, 256}, [EXCEPTION_LINK] = {1000, 32},
    [EXCEPTION_ERROR] = {200, 16}, [EXCEPTION_OTHER] = {12000, 512},
};

struct exception_grant exception_grant(enum exception_kind kind)
{
    tg_assert(kind < EXCEPTION_KINDS);
    return grants[kind];
}

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static enum exception_kind classify_icmp(uint8_t type)
{
    bool error = type == ICMP_UNREACHABLE || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETER;
    return error ? EXCEPTION_ERROR : EXCEPTION_OTHER;
}

static enum exception_kind classify_icmp6(uint8_t type)
{
    if (type <= ICMP6_ERROR_LAST)
        return EXCEPTION_ERROR;
    bool link = (type >= ICMP6_LISTENER_QUERY && type <= ICMP6_NEIGHBOUR_LAST) ||
                type == ICMP6_LISTENER_REPORT_V2;
    return link ? EXCEPTION_LINK : EXCEPTION_OTHER;
}

static uint8_t hops_left(const struct buf *b)
{
    return b->data[b->l3 + (b->ip_version == 4 ? IP4_TTL : IP6_HOP_LIMIT)];
}

static bool is_from_link(const struct buf *b)
{
    return hops_left(b) == 255;
}

static enum exception_kind classify_tcp(const struct buf *b)
{
    const uint8_t *h = b->data + b->l4;
    if (get16(h) != PORT_BGP && get16(h + 2) != PORT_BGP)
        return EXCEPTION_OTHER;
    return is_from_link(b) ? EXCEPTION_ROUTING : EXCEPTION_FAR;
}

static enum exception_kind classify_udp(const struct buf *b)
{
    uint16_t port = get16(b->data + b->l4 + 2);
    if (port == PORT_BFD_MULTIHOP)
        return EXCEPTION_FAR;
    /* an echo is our own packet, which the neighbour has sent back to us as a router */
    bool bfd =
        (port == PORT_BFD && is_from_link(b)) || (port == PORT_BFD_ECHO && hops_left(b) >= 254);
    return bfd ? EXCEPTION_BFD : EXCEPTION_OTHER;
}

enum exception_kind exception_classify(const struct buf *b)
{
    tg_assert(b->flags & BUF_PARSED);
    if (b->ip_version == 0)
        return EXCEPTION_LINK; /* the parser lets nothing but ARP through beside IP */
    switch (b->ip_proto) {
    case PROTO_TCP:
        return classify_tcp(b);
    case PROTO_UDP:
        return classify_udp(b);
    case PROTO_ICMP:
        return classify_icmp(b->data[b->l4]);
    case PROTO_ICMP6:
        return classify_icmp6(b->data[b->l4]);
    default:
        return EXCEPTION_OTHER;
    }
}

bool exception_police_take(struct exception_police *police, enum exception_kind kind, tg_ns now)
{
    tg_assert(kind < EXCEPTION_KINDS);
    const struct exception_grant *grant = &grants[kind];
    tg_ns cost = TG_S / grant->per_second, depth = (grant->burst - 1) * cost;
    tg_ns at = police->full_at[kind] > now ? police->full_at[kind] : now;
    if (at - now > depth)
        return false;
    police->full_at[kind] = at + cost;
    return true;
}
