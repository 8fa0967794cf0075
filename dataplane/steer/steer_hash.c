/* SPDX-License-Identifier: BSD-3-Clause
 * See steer_hash.h.
 */
#include "steer/steer_hash.h"
#include "net/wire.h"
#include "steer/steer.h"

static bool has_port_hash(const struct buf *b)
{
    return b->flags & BUF_RX_HASH && b->ip_version != 0 &&
           (b->ip_proto == IP_PROTO_TCP || b->ip_proto == IP_PROTO_UDP);
}

/* A port may leave UDP to addresses alone (RSS types are asked for TCP only): its hash is replaced, and says
 * nothing about TCP's. */
static void frame_check(struct steer_hash *hash, struct buf *b)
{
    struct ip_tuple tuple = wire_tuple(b);
    uint32_t ours = wire_tuple_hash(hash->toeplitz, &tuple);
    bool agrees = b->rx_hash == ours;
    b->rx_hash = ours;
    if (b->ip_proto != IP_PROTO_TCP || hash->misled)
        return;
    if (!agrees) {
        hash->misled = true;
        stats_count(hash->stats, TG_C_steer_hash_wrong);
        return;
    }
    hash->agreed++;
    if (hash->spread && steer_worker_of(ours, hash->workers) != hash->worker) {
        hash->misplaced++;
        stats_count(hash->stats, TG_C_steer_hash_misplaced);
    }
}

void steer_hash_check(struct steer_hash *hash, struct buf *burst[], unsigned n)
{
    bool trusted = hash->agreed >= STEER_HASH_TRIAL && !hash->misled;
    for (unsigned i = 0; i < n; i++)
        if (has_port_hash(burst[i]) && (!trusted || burst[i]->ip_proto != IP_PROTO_TCP))
            frame_check(hash, burst[i]);
}

bool steer_hash_places(const struct steer_hash *hash)
{
    return hash->spread && hash->agreed >= STEER_HASH_TRIAL && !hash->misled &&
           hash->misplaced == 0;
}
