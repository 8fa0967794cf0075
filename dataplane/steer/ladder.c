/* SPDX-License-Identifier: BSD-3-Clause
 * The ladder's rungs, see ladder.h. Floor 2.
 */
#include "steer/ladder.h"

#define BUCKET_OWNERS 4
#define NODES_MAX     (BUCKET_OWNERS + 1 + OWNER_SITES_FOUND) /* that one packet can lead to */

struct climb {
    const struct fleet *fleet;
    const uint16_t *bucket;
    unsigned tries;
    uint16_t never;
    uint16_t met[NODES_MAX]; /* each node counts once, on its first rung */
    unsigned count;
    struct ladder_answer *answer;
};

const uint16_t *ladder_bucket(const struct fleet *fleet, const struct tables_owners *owners,
                              const struct ip_tuple *tuple)
{
    return owners->owners[fleet_bucket(fleet, tuple) & (owners->bucket_count - 1)];
}

/* Step on a rung that names a node: true when it is the next to ask. */
static bool climb_meet(struct climb *c, uint16_t slot, enum tg_counter rung)
{
    if (slot == c->fleet->me.slot || !fleet_find(c->fleet, slot))
        return false;
    for (unsigned i = 0; i < c->count; i++)
        if (c->met[i] == slot)
            return false;
    tg_assert(c->count < NODES_MAX);
    c->met[c->count++] = slot;
    if (c->count <= c->tries || slot == c->never)
        return false;
    *c->answer = (struct ladder_answer){slot, (uint8_t)c->count, rung};
    return true;
}

static bool climb_former_owners(struct climb *c)
{
    for (unsigned i = 1; i < BUCKET_OWNERS; i++)
        if (climb_meet(c, c->bucket[i], TG_C_steer_by_bucket))
            return true;
    return false;
}

static bool climb_sites(struct climb *c, const struct ladder_evidence *e)
{
    uint8_t sites[OWNER_SITES_FOUND];
    uint32_t hash = fleet_bucket(c->fleet, &e->tuple);
    unsigned n =
        owner_cookie_sites(&c->fleet->me.owner, &c->fleet->sites, &e->tuple, e->sequence, sites);
    for (unsigned i = 0; i < n; i++) {
        if (sites[i] == c->fleet->me.site) {
            if (climb_former_owners(c))
                return true;
            continue;
        }
        const struct fleet_node *node = fleet_of_site(c->fleet, sites[i], hash);
        if (node && climb_meet(c, node->slot, TG_C_steer_by_sequence))
            return true;
    }
    return false;
}

bool ladder_next(const struct fleet *fleet, const struct tables_owners *owners,
                 const struct ladder_evidence *evidence, unsigned tries, uint16_t never,
                 struct ladder_answer *answer)
{
    struct climb c = {.fleet = fleet,
                      .bucket = ladder_bucket(fleet, owners, &evidence->tuple),
                      .tries = tries,
                      .never = never,
                      .answer = answer};
    uint16_t owner;
    if (climb_meet(&c, c.bucket[0], TG_C_steer_by_bucket))
        return true;
    if (evidence->has_timestamp && owner_cookie_slot(&fleet->me.owner, &fleet->live,
                                                     &evidence->tuple, evidence->timestamp, &owner))
        return climb_meet(&c, owner, TG_C_steer_by_timestamp);
    if (evidence->has_sequence && climb_sites(&c, evidence))
        return true;
    return climb_former_owners(&c);
}
