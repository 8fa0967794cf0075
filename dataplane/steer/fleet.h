/* SPDX-License-Identifier: BSD-3-Clause
 * The fleet as one worker uses it: the owners table's nodes and keys, laid out for look-ups by slot and by
 * site. Built by worker when a table comes into force, read by steer and tunnel. Must not know packets.
 * Floor 2: contract, net.
 */
#ifndef DATAPLANE_STEER_FLEET_H
#define DATAPLANE_STEER_FLEET_H

#include "base/result.h"
#include "contract/tables.h"
#include "net/owner_cookie.h"

#define FLEET_NOBODY 0xffffu

enum fleet_family { FLEET_IP4, FLEET_IP6, FLEET_FAMILIES };

struct fleet_node {
    struct ip_addr address[FLEET_FAMILIES];
    bool has[FLEET_FAMILIES];
    uint8_t site;
    uint16_t slot;
};

struct fleet {
    struct owner_identity me; /* for tcp, too */
    bool keep;                /* do not send strangers' packets to their owner */
    uint64_t bucket_key[2];
    struct owner_keys tunnel;           /* the first seals, all open */
    struct owner_slots live;            /* slots of nodes, ours among them */
    struct owner_sites sites;           /* sites with nodes, ours among them */
    uint16_t self, count;               /* places in nodes[] */
    uint16_t place[OWNER_SLOTS];        /* of a slot in nodes[]; FLEET_NOBODY */
    uint16_t by_site[TABLES_NODES_MAX]; /* places, grouped by site */
    uint16_t site_start[OWNER_SITES + 1];
    struct fleet_node nodes[TABLES_NODES_MAX]; /* by rising slot */
};

/* Lay out a valid table that has nodes. TG_BAD_CONFIG: none of them has our slot; *fleet is then of no
 * use. The table is not kept. */
enum tg_err fleet_build(struct fleet *fleet, const struct tables_owners *table, uint16_t slot);

/* The node of a slot; NULL: none that lives. Any slot may be asked for. */
static inline const struct fleet_node *fleet_find(const struct fleet *fleet, unsigned slot)
{
    unsigned place = slot < OWNER_SLOTS ? fleet->place[slot] : FLEET_NOBODY;
    return place == FLEET_NOBODY ? NULL : &fleet->nodes[place];
}

/* The same number on every node of the fleet for the same connection; tuple as we see it. Buckets are
 * chosen by it, not by the port's hash, whose key is each node's own. */
uint32_t fleet_bucket(const struct fleet *fleet, const struct ip_tuple *tuple);

/* The node of a site that a hash falls on: any does, it knows its site's buckets. NULL: no such site. */
const struct fleet_node *fleet_of_site(const struct fleet *fleet, uint8_t site, uint32_t hash);

/* Ends of the tunnel from us to a node: of the wanted family if both have it, else of the other. False:
 * they have none in common. */
bool fleet_path(const struct fleet *fleet, const struct fleet_node *to, enum fleet_family wanted,
                struct ip_addr *source, struct ip_addr *destination);

#endif
