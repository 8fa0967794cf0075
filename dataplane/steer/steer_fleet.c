/* SPDX-License-Identifier: BSD-3-Clause
 * Verdicts in a fleet: our connection, another node's, nobody's; what comes through the tunnel. Called by
 * steer.c. Decides only: steer_forward sends. Floor 2.
 */
#include "steer/ladder.h"
#include "steer/steer_internal.h"

/* We are not its ingress. */
static bool is_through_tunnel(const struct buf *b)
{
    return b->path.hops > 0;
}

/* Neither tunnelled to us nor returned. */
static bool is_from_outside(const struct buf *b)
{
    return b->path.hops == 0 && b->path.tries == 0;
}

static bool is_own_address(const struct fleet *fleet, const struct ip_addr *address)
{
    const struct fleet_node *self = &fleet->nodes[fleet->self];
    for (unsigned family = 0; family < FLEET_FAMILIES; family++)
        if (self->has[family] && ip_addr_equal(&self->address[family], address))
            return true;
    return false;
}

bool steer_is_own(const struct steer *steer, const struct buf *b)
{
    struct ip_addr destination = wire_destination(b);
    return is_own_address(steer->fleet, &destination);
}

/* --- which worker? --------------------------------------------------------------------------- */

/* The worker whose flow table knows. What came through the tunnel was spread by its outer header, so the
 * port's choice means nothing for it. */
static enum buf_verdict worker_of(const struct steer *steer, struct buf *b, uint32_t hash,
                                  bool port_chose)
{
    if (b->flags & BUF_HANDED_OVER || (port_chose && is_from_outside(b)))
        return BUF_LOCAL;
    return steer_to_worker(steer, b, hash);
}

/* --- which node? ----------------------------------------------------------------------------- */

static enum buf_verdict send_to(const struct steer *steer, struct buf *b,
                                const struct ladder_answer *answer)
{
    stats_count(steer->stats, answer->rung);
    b->flow = answer->slot;
    if (!is_through_tunnel(
            b)) /* the ingress counts its questions, the others carry the number on */
        b->path.tries = answer->tries;
    return BUF_NODE;
}

/* The next node that may have it. A second node asks its own ladder, from the start, and never the ingress;
 * the ingress goes on where it was, and never asks the node again that has just said no. */
static bool ask_ladder(const struct steer *steer, const struct buf *b,
                       const struct ladder_evidence *evidence, struct ladder_answer *answer)
{
    unsigned tries = is_through_tunnel(b) ? 0 : b->path.tries;
    if (steer->fleet->keep || b->path.hops >= TUNNEL_HOPS_MAX)
        return false;
    return ladder_next(steer->fleet, steer->owners, evidence, tries, b->path.ingress, answer);
}

/* A connection that no node has, as far as we can see. What came through the tunnel goes back: the ingress
 * may have somebody else to ask. */
static enum buf_verdict nobody(struct buf *b)
{
    if (!is_through_tunnel(b))
        return steer_ownerless(b);
    b->flow = b->path.ingress;
    return BUF_NODE;
}

/* A SYN makes a connection, so it has no owner yet: its bucket's newest gets it. If that one is dead, or
 * sent it to us, we serve it: better than a hang, and the answer's cookie names us. */
static enum buf_verdict syn_arrives(const struct steer *steer, struct buf *b,
                                    const struct ip_tuple *tuple)
{
    const uint16_t *bucket = ladder_bucket(steer->fleet, steer->owners, tuple);
    struct ladder_answer newest = {bucket[0], 1, TG_C_steer_by_bucket};
    if (bucket[0] == OWNER_SLOT_NONE)
        return steer_drop_for(b, TG_C_steer_drop);
    bool elsewhere = bucket[0] != steer->fleet->me.slot && bucket[0] != b->path.ingress &&
                     fleet_find(steer->fleet, bucket[0]);
    if (!elsewhere || steer->fleet->keep || b->path.hops >= TUNNEL_HOPS_MAX)
        return BUF_LOCAL;
    return send_to(steer, b, &newest);
}

static struct ladder_evidence evidence_of(const struct tcp_segment *s, const struct ip_tuple *tuple)
{
    uint32_t value;
    struct ladder_evidence e = {.tuple = *tuple};
    e.has_timestamp = owner_cookie_timestamps(s->options, &value, &e.timestamp);
    e.has_sequence = s->flags & TCP_ACK;
    e.sequence = s->ack - 1;
    return e;
}

enum buf_verdict steer_fleet_tcp(const struct steer *steer, struct buf *b)
{
    enum buf_verdict worker = worker_of(steer, b, b->rx_hash, steer->spread_by_port);
    if (worker != BUF_LOCAL)
        return worker;
    struct ip_tuple tuple = wire_tuple(b);
    if (is_own_address(steer->fleet, &tuple.local)) /* a connection by which we reached an origin */
        return BUF_LOCAL;
    struct tcp_segment s = wire_tcp(b);
    if ((s.flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN)
        return syn_arrives(steer, b, &tuple);
    enum steer_claim claim = steer->claim(steer->claim_arg, &tuple, b->rx_hash, &s);
    if (claim == STEER_OURS)
        return BUF_LOCAL;
    struct ladder_answer answer;
    struct ladder_evidence evidence = evidence_of(&s, &tuple);
    if (ask_ladder(steer, b, &evidence, &answer))
        return send_to(steer, b, &answer);
    return claim == STEER_DOUBTFUL ? BUF_LOCAL : nobody(b);
}

/* The quoted packet is one of the fleet's, so its timestamp and its sequence number are the owner's. */
enum buf_verdict steer_fleet_icmp(const struct steer *steer, struct buf *b,
                                  const struct net_icmp_error *error)
{
    uint32_t hash = wire_tuple_hash(steer->toeplitz, &error->tuple);
    enum buf_verdict worker = worker_of(steer, b, hash, false);
    if (worker != BUF_LOCAL || is_own_address(steer->fleet, &error->tuple.local) ||
        steer->claim(steer->claim_arg, &error->tuple, hash, NULL) != STEER_STRANGER)
        return worker;
    struct ladder_answer answer;
    struct ladder_evidence evidence = {.tuple = error->tuple,
                                       .has_timestamp = error->has_timestamp,
                                       .timestamp = error->timestamp,
                                       .has_sequence = true,
                                       .sequence = error->seq};
    if (!ask_ladder(steer, b, &evidence, &answer))
        return BUF_LOCAL; /* nobody's: net takes it, tcp finds nothing that it concerns */
    return send_to(steer, b, &answer);
}

/* --- through the tunnel ------------------------------------------------------------------------ */

enum buf_verdict steer_fleet_tunnel(const struct steer *steer, struct buf *b, tg_ns now)
{
    struct tunnel_header h;
    uint64_t wall_ms = ((uint64_t)steer->wall_offset_ns + now) / TG_MS;
    enum tg_counter reason = tunnel_open(steer->fleet, b, wall_ms, &h);
    if (reason != TG_C_none)
        return steer_drop_for(b, reason);
    stats_count(steer->stats, TG_C_steer_tunnel_in);
    tunnel_strip(b);
    reason = wire_parse(b, steer->toeplitz);
    if (reason == TG_C_none)
        reason = steer_check_addresses(steer, b);
    if (reason == TG_C_none && b->ip_proto == IP_PROTO_UDP)
        reason = TG_C_net_protocol; /* no tunnel in a tunnel, and UDP has no owner */
    if (reason != TG_C_none)
        return steer_drop_for(b, reason);
    b->path.ingress = h.ingress;
    b->path.hops = h.hops;
    b->path.tries = h.tries;
    if (h.kind == TUNNEL_RETURNED) { /* we got it from outside, and whom we asked has it not */
        stats_count(steer->stats, TG_C_steer_tunnel_back);
        b->path.ingress = h.sender;
        b->path.hops = 0;
        if (b->ip_proto != IP_PROTO_TCP)
            return steer_drop_for(b, TG_C_steer_drop);
    }
    return steer_by_protocol(steer, b);
}
