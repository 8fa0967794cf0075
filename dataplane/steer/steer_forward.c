/* SPDX-License-Identifier: BSD-3-Clause
 * The way out for what belongs to another node: limit, room, seal, net. Called by worker for packets with
 * verdict NODE. Floor 2.
 */
#include "steer/steer_internal.h"

/* A returned packet answers one that came, and a packet on its second hop was limited at its ingress. */
static bool limited(const struct steer *steer, const struct buf *b, tg_ns now)
{
    struct ip_addr source = wire_source(b);
    return b->path.hops == 0 && b->path.tries <= 1 &&
           !steer_limits_take(steer->limits, &source, now);
}

/* What we say to `to` about this packet. */
static struct tunnel_header header_for(const struct steer *steer, const struct buf *b, tg_ns now)
{
    const struct fleet *fleet = steer->fleet;
    struct tunnel_header h = {
        .kind = TUNNEL_PACKET,
        .key_id = (uint8_t)fleet->tunnel.key[0].id,
        .hops = (uint8_t)(b->path.hops + 1),
        .tries = b->path.tries,
        .sender = fleet->me.slot,
        .ingress = b->path.hops ? b->path.ingress : fleet->me.slot,
        .receiver = (uint16_t)b->flow,
        .time_ms = ((uint64_t)steer->wall_offset_ns + now) / TG_MS,
    };
    if (b->path.hops && b->flow == b->path.ingress) {
        h.kind = TUNNEL_RETURNED;
        h.hops = b->path.hops;
    }
    return h;
}

enum tg_counter steer_forward(const struct steer *steer, struct net *net, struct buf *b, tg_ns now)
{
    struct ip_emit ip = {.proto = IP_PROTO_UDP};
    tg_assert(b->verdict == BUF_NODE && b->flags & BUF_PARSED);
    const struct fleet_node *to = steer->fleet ? fleet_find(steer->fleet, b->flow) : NULL;
    if (!to) /* a bucket table of a fleet that we are not told of, or an ingress that is gone */
        return TG_C_steer_drop;
    if (limited(steer, b, now))
        return TG_C_steer_tunnel_limited;
    enum fleet_family family = b->ip_version == 4 ? FLEET_IP4 : FLEET_IP6;
    if (!fleet_path(steer->fleet, to, family, &ip.source, &ip.destination))
        return TG_C_steer_tunnel_no_path;
    unsigned overhead = ip_addr_is4(&ip.source) ? TUNNEL_OVERHEAD4 : TUNNEL_OVERHEAD6;
    if (b->next || b->len - b->l3 + overhead > net_mtu(net, &ip.destination))
        return TG_C_steer_tunnel_too_big;
    struct tunnel_header h = header_for(steer, b, now);
    buf_pull(b, b->l3);
    tunnel_seal(b, &h, &steer->fleet->tunnel.key[0], &ip.source, &ip.destination);
    stats_count(steer->stats,
                h.kind == TUNNEL_RETURNED ? TG_C_steer_tunnel_returned : TG_C_steer_tunnel_out);
    (void)!net_output(net, b, &ip, TUNNEL_CHECKSUM, now); /* what it drops, it counts */
    return TG_C_none;
}
