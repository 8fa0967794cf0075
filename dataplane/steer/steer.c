/* SPDX-License-Identifier: BSD-3-Clause
 * Whose packet is it? Verdicts for a filtered burst. Called by worker. Knows addresses (net) and
 * the bucket table; what a fleet changes is in steer_fleet.c. Floor 2.
 */
#include "steer/steer_internal.h"

#define OWNER_NONE 0xffffu

/* Bits 0..6 of the hash choose the worker, the bits above them the bucket. */
static const uint16_t *bucket_owners(const struct tables_owners *owners, uint32_t hash)
{
    return owners->owners[(hash >> 7) & (owners->bucket_count - 1)];
}

static bool bucket_is_empty(const uint16_t owners[4])
{
    return (owners[0] & owners[1] & owners[2] & owners[3]) == OWNER_NONE;
}

enum buf_verdict steer_drop_for(struct buf *b, enum tg_counter reason)
{
    b->reason = (uint16_t)reason;
    return BUF_DROP;
}

/* A packet of a connection that no node can have: a reset at once beats a hang (architecture,
 * ladder step 6). But a SYN loses nothing by waiting: its sender repeats it after a second, when
 * the bucket may have an owner again; and a RST is never answered (RFC 9293 s3.5.2). */
enum buf_verdict steer_ownerless(struct buf *b)
{
    return wire_tcp(b).flags & (TCP_SYN | TCP_RST) ? steer_drop_for(b, TG_C_steer_drop) : BUF_RST;
}

enum buf_verdict steer_to_worker(const struct steer *steer, struct buf *b, uint32_t hash)
{
    unsigned worker = steer_worker_of(hash, steer->workers);
    if (worker == steer->worker)
        return BUF_LOCAL;
    b->worker = (uint8_t)worker;
    return BUF_CORE;
}

static enum buf_verdict steer_tcp(const struct steer *steer, struct buf *b)
{
    if (steer->fleet)
        return steer_fleet_tcp(steer, b);
    if (steer->owners) {
        const uint16_t *owners = bucket_owners(steer->owners, b->rx_hash);
        if (bucket_is_empty(owners))
            return steer_ownerless(b);
        if (owners[0] != steer->node_slot) {
            b->flow = owners[0];
            return BUF_NODE;
        }
    }
    return steer->spread_by_port ? BUF_LOCAL : steer_to_worker(steer, b, b->rx_hash);
}

/* An ICMP error arrives by its router's address, not by the connection's: it goes to the worker
 * that owns the connection it quotes, else path MTU discovery works on one worker only. */
static enum buf_verdict steer_icmp(const struct steer *steer, struct buf *b)
{
    struct net_icmp_error error;
    if (net_icmp_quote(b, &error) != TG_OK)
        return BUF_LOCAL; /* net answers an echo, and counts the rest */
    if (steer->fleet)
        return steer_fleet_icmp(steer, b, &error);
    return steer_to_worker(steer, b, wire_tuple_hash(steer->toeplitz, &error.tuple));
}

enum tg_counter steer_check_addresses(const struct steer *steer, const struct buf *b)
{
    struct ip_addr destination = wire_destination(b), source = wire_source(b);
    if (!net_is_local(steer->net, &destination))
        return TG_C_net_not_for_us;
    if (net_is_local(steer->net, &source) || net_is_broadcast(steer->net, &source))
        return TG_C_net_address;
    return TG_C_none;
}

enum buf_verdict steer_by_protocol(const struct steer *steer, struct buf *b)
{
    switch (b->ip_proto) {
    case IP_PROTO_TCP:
        return steer_tcp(steer, b);
    case IP_PROTO_ICMP:
    case IP_PROTO_ICMP6:
        return steer_icmp(steer, b);
    default: /* nobody serves UDP here, and the kernel has not our addresses */
        return steer_drop_for(b, TG_C_net_protocol);
    }
}

/* Another's address. The kernel may have it; but never from one of ours, which only we send from. */
static enum buf_verdict steer_not_ours(const struct steer *steer, struct buf *b)
{
    struct ip_addr destination = wire_destination(b), source = wire_source(b);
    if (!steer->exception || b->port != 0 || net_is_broadcast(steer->net, &destination))
        return steer_drop_for(b, TG_C_net_not_for_us);
    if (net_is_local(steer->net, &source) || net_is_broadcast(steer->net, &source))
        return steer_drop_for(b, TG_C_net_address);
    return BUF_PUNT;
}

/* Another worker has checked it. In a fleet it is for us, whose flow table it concerns, to say whose
 * connection it is. */
static enum buf_verdict steer_handed_over(const struct steer *steer, struct buf *b)
{
    bool stranger = b->ip_version != 0 && b->ip_proto != IP_PROTO_UDP;
    return steer->fleet && stranger ? steer_by_protocol(steer, b) : BUF_LOCAL;
}

static enum buf_verdict steer_one(const struct steer *steer, struct buf *b, tg_ns now)
{
    if (b->flags & BUF_HANDED_OVER)
        return steer_handed_over(steer, b);
    b->path.ingress = OWNER_SLOT_NONE;
    b->path.hops = b->path.tries = 0;
    if (!net_accepts_mac(steer->net, b))
        return steer_drop_for(b, TG_C_net_not_for_us);
    if (b->ip_version == 0)
        return BUF_LOCAL;
    if (b->ip_version == 6 &&
        wire_ip(b)[24] == 0xff) /* wire_parse lets only ICMPv6 through to a group */
        return BUF_LOCAL;
    enum tg_counter reason = steer_check_addresses(steer, b);
    if (reason == TG_C_net_not_for_us)
        return steer_not_ours(steer, b);
    if (reason != TG_C_none)
        return steer_drop_for(b, reason);
    if (steer->fleet && tunnel_is(b) && steer_is_own(steer, b))
        return steer_fleet_tunnel(steer, b, now);
    return steer_by_protocol(steer, b);
}

/* The address that an ARP packet or a solicitation asks about. Its length is checked for ARP by wire_parse. */
static bool asks_about_us(const struct net *net, const struct buf *b)
{
    enum { ARP_TARGET = 24, ND_TARGET = 8, ND_BYTES = 24, ND_NEIGHBOUR_SOLICIT = 135 };
    const uint8_t *h = wire_l4(b);
    struct ip_addr target;
    if (b->ip_version == 0) {
        target = ip_addr_from4(h + ARP_TARGET);
    } else {
        if (h[0] != ND_NEIGHBOUR_SOLICIT || b->l4_len < ND_BYTES || b->l4 + ND_BYTES > b->len)
            return false;
        memcpy(target.bytes, h + ND_TARGET, sizeof target.bytes);
    }
    return net_is_local(net, &target);
}

bool steer_concerns_kernel(const struct steer *steer, const struct buf *b)
{
    if (!steer->exception || b->port != 0 || b->flags & BUF_HANDED_OVER || b->path.hops > 0)
        return false;
    bool group = b->ip_version == 6 && wire_ip(b)[24] == 0xff;
    return (b->ip_version == 0 || group) && !asks_about_us(steer->net, b);
}

/* DROP is counted by whoever drops, under buf.reason. */
static const enum tg_counter verdict_counter[] = {
    [BUF_LOCAL] = TG_C_steer_local, [BUF_CORE] = TG_C_steer_core, [BUF_NODE] = TG_C_steer_node,
    [BUF_RST] = TG_C_steer_rst,     [BUF_PUNT] = TG_C_steer_punt,
};

void steer_burst(const struct steer *steer, struct buf *burst[], unsigned n, tg_ns now)
{
    tg_assert(steer->workers > 0 && steer->worker < steer->workers);
    for (unsigned i = 0; i < n; i++) {
        enum buf_verdict verdict = steer_one(steer, burst[i], now);
        burst[i]->verdict = (uint8_t)verdict;
        if (verdict != BUF_DROP)
            stats_count(steer->stats, verdict_counter[verdict]);
    }
}
