/* SPDX-License-Identifier: BSD-3-Clause
 * The fleet laid out. Called by worker between bursts (fleet_build) and by steer. Floor 2.
 */
#include "steer/fleet.h"

static bool address_take(struct ip_addr *out, const uint8_t bytes[16])
{
    static const uint8_t none[16];
    memcpy(out->bytes, bytes, 16);
    return memcmp(bytes, none, sizeof none) != 0;
}

static void nodes_take(struct fleet *fleet, const struct tables_owners *table)
{
    const struct tables_node *from = tables_nodes(table);
    for (unsigned i = 0; i < table->node_count; i++) {
        struct fleet_node *node = &fleet->nodes[i];
        node->slot = from[i].slot;
        node->site = from[i].site;
        node->has[FLEET_IP4] = address_take(&node->address[FLEET_IP4], from[i].address4);
        node->has[FLEET_IP6] = address_take(&node->address[FLEET_IP6], from[i].address6);
        fleet->place[node->slot] = (uint16_t)i;
        owner_set_add(fleet->live.bits, node->slot);
        owner_set_add(fleet->sites.bits, node->site);
    }
    fleet->count = (uint16_t)table->node_count;
}

/* Counting sort by site; within a site by slot. */
static void sites_group(struct fleet *fleet)
{
    uint16_t fill[OWNER_SITES];
    for (unsigned i = 0; i < fleet->count; i++)
        fleet->site_start[fleet->nodes[i].site + 1]++;
    for (unsigned site = 0; site < OWNER_SITES; site++) {
        fleet->site_start[site + 1] =
            (uint16_t)(fleet->site_start[site + 1] + fleet->site_start[site]);
        fill[site] = fleet->site_start[site];
    }
    for (unsigned i = 0; i < fleet->count; i++)
        fleet->by_site[fill[fleet->nodes[i].site]++] = (uint16_t)i;
}

static void keys_take(struct fleet *fleet, const struct tables_owners *table)
{
    const struct tables_key *from = tables_keys(table);
    struct owner_keys *to[TABLES_KEY_USES] = {
        [TABLES_KEY_OWNER] = &fleet->me.owner,
        [TABLES_KEY_SYN] = &fleet->me.syn,
        [TABLES_KEY_TUNNEL] = &fleet->tunnel,
    };
    static_assert(TABLES_KEYS_OF_A_USE == OWNER_KEYS, "the table may not have more");
    for (unsigned i = 0; i < table->key_count; i++) {
        struct owner_keys *keys = to[from[i].use];
        struct owner_key *key = &keys->key[keys->count++];
        memcpy(key->secret, from[i].secret, sizeof key->secret); /* x86-64 is little-endian */
        key->id = from[i].id;
    }
}

enum tg_err fleet_build(struct fleet *fleet, const struct tables_owners *table, uint16_t slot)
{
    tg_assert(table->node_count > 0 && table->node_count <= TABLES_NODES_MAX);
    memset(fleet, 0, sizeof *fleet);
    memset(fleet->place, 0xff, sizeof fleet->place);
    nodes_take(fleet, table);
    sites_group(fleet);
    keys_take(fleet, table);
    const struct fleet_node *self = fleet_find(fleet, slot);
    if (!self)
        return TG_BAD_CONFIG;
    fleet->keep = table->flags & TABLES_OWNERS_KEEP;
    memcpy(fleet->bucket_key, table->bucket_secret, sizeof fleet->bucket_key);
    fleet->self = fleet->place[slot];
    fleet->me.slot = slot;
    fleet->me.site = self->site;
    return TG_OK;
}

uint32_t fleet_bucket(const struct fleet *fleet, const struct ip_tuple *tuple)
{
    uint8_t input[36];
    memcpy(input, tuple->local.bytes, 16);
    memcpy(input + 16, tuple->remote.bytes, 16);
    wire_put16(input + 32, tuple->local_port);
    wire_put16(input + 34, tuple->remote_port);
    return (uint32_t)hash_sip13(fleet->bucket_key, span_make(input, sizeof input));
}

const struct fleet_node *fleet_of_site(const struct fleet *fleet, uint8_t site, uint32_t hash)
{
    unsigned first = fleet->site_start[site], count = fleet->site_start[site + 1] - first;
    return count ? &fleet->nodes[fleet->by_site[first + hash % count]] : NULL;
}

bool fleet_path(const struct fleet *fleet, const struct fleet_node *to, enum fleet_family wanted,
                struct ip_addr *source, struct ip_addr *destination)
{
    const struct fleet_node *self = &fleet->nodes[fleet->self];
    enum fleet_family other = wanted == FLEET_IP4 ? FLEET_IP6 : FLEET_IP4;
    enum fleet_family family = self->has[wanted] && to->has[wanted] ? wanted : other;
    if (!self->has[family] || !to->has[family])
        return false;
    *source = self->address[family];
    *destination = to->address[family];
    return true;
}
