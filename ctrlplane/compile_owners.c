/* SPDX-License-Identifier: BSD-3-Clause
 * Nodes -> struct tables_owners: who owns which bucket of our site, where the fleet's tunnels end, and under which
 * keys. Called by compile_tables, and for status (compile_member). Every node of a site must come to the same owners
 * from the same nodes: rendezvous hashing, so that a node that comes or goes moves its own share of buckets only.
 */
#include "base/hash.h"
#include "ctrlplane/compile.h"
#include "ctrlplane/model.h"
#include "ctrlplane/resource.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOBODY 0xffffu

enum {
    ALONE_BUCKETS = 256, /* all ours: a small table says it as well as a large one */
    FLEET_BUCKETS =
        4096, /* 32 KiB; a site of 64 nodes has 64 buckets each, and shares within an eighth */
    HISTORY = 4,
};

/* --- are we one of them? ------------------------------------------------------------------------ */

/* The first address of its family of a port is the node's own; those behind it may be the fleet's. */
static bool address_is_own(const struct config *config, const uint8_t address[16])
{
    for (unsigned p = 0; p < config->port_count; p++) {
        const struct config_port *port = &config->ports[p];
        for (unsigned i = 0; i < port->address_count; i++) {
            if (address_is4(port->addresses[i].address) != address_is4(address))
                continue;
            if (memcmp(port->addresses[i].address, address, 16) == 0)
                return true;
            break;
        }
    }
    return false;
}

static bool problem_member(struct problem *problem, const char *slug, const char *pointer,
                           const char *name, const char *format, const char *what)
{
    char detail[320];
    snprintf(detail, sizeof detail, format, what);
    problem_set(problem, 422, slug, pointer, "node \"%s\" has our slot, but %s", name, detail);
    return false;
}

static bool addresses_check(const json_t *node, const char *name, const struct config *config,
                            struct problem *problem)
{
    static const char *const members[] = {"address4", "address6"};
    for (unsigned i = 0; i < TG_ARRAY_LEN(members); i++) {
        uint8_t address[16];
        char pointer[16];
        const char *text = json_string_value(json_object_get(node, members[i]));
        snprintf(pointer, sizeof pointer, "/%s", members[i]);
        if (text && (!address_parse(text, address) || !address_is_own(config, address)))
            return problem_member(problem, "not-ours", pointer, name,
                                  "%s is not the first address of its family of a port of this "
                                  "node's configuration",
                                  text);
    }
    return true;
}

bool compile_node_check(const json_t *model, const char *name, const struct compile_node *self,
                        struct problem *problem)
{
    const struct config *config = self->config;
    const json_t *node = json_object_get(model_get(model, "nodes"), name);
    char site[16];
    if (json_integer_value(json_object_get(node, "slot")) != config->node_slot)
        return true; /* somebody else's */
    snprintf(site, sizeof site, "%u", config->node_site);
    if (json_integer_value(json_object_get(node, "site")) != config->node_site)
        return problem_member(problem, "not-ours", "/site", name,
                              "node.site of this node's configuration is %s", site);
    if (!addresses_check(node, name, config, problem))
        return false;
    if (!self->secrets)
        return problem_member(problem, "no-secrets", "", name,
                              "node.secrets of this node's configuration names no file%s: a fleet "
                              "shares its keys (tgctl fleet keygen)",
                              "");
    return true;
}

bool compile_member(const json_t *model, const struct compile_node *self, char why[640])
{
    const char *name;
    json_t *node;
    *why = 0;
    json_object_foreach(model_get(model, "nodes"), name, node)
    {
        struct problem problem = {0};
        if (json_integer_value(json_object_get(node, "slot")) != self->config->node_slot)
            continue;
        bool good = compile_node_check(model, name, self, &problem);
        snprintf(why, 640, "%s", good ? "" : problem.detail);
        problem_clear(&problem);
        return good;
    }
    if (json_object_size(model_get(model, "nodes")) > 0)
        snprintf(why, 640, "none of the nodes has our slot %u", self->config->node_slot);
    return false;
}

/* --- buckets ---------------------------------------------------------------------------------- */

/* Slots of our site's nodes. */
struct site {
    uint16_t slots[TABLES_NODES_MAX];
    unsigned count;
};

static bool site_has(const struct site *site, unsigned slot)
{
    for (unsigned i = 0; i < site->count; i++)
        if (site->slots[i] == slot)
            return true;
    return false;
}

static uint64_t slot_weight(uint16_t slot, unsigned bucket, const uint64_t key[2])
{
    const uint8_t input[] = {(uint8_t)(bucket >> 8), (uint8_t)bucket, (uint8_t)(slot >> 8),
                             (uint8_t)slot};
    return hash_sip13(key, span_make(input, sizeof input));
}

/* The site's slots of the highest random weights for this bucket, highest first; of equals the lower slot. The
 * first is the owner; the second would be if the first were not here, and so on. */
static void bucket_rank(const struct site *site, unsigned bucket, const uint8_t secret[16],
                        uint16_t ranked[HISTORY])
{
    uint64_t key[2], weights[HISTORY];
    unsigned count = 0;
    memcpy(key, secret, sizeof key);
    for (unsigned i = 0; i < HISTORY; i++)
        ranked[i] = NOBODY;
    for (unsigned i = 0; i < site->count; i++) {
        uint64_t weight = slot_weight(site->slots[i], bucket, key);
        unsigned at = count;
        for (; at > 0 && weights[at - 1] < weight; at--)
            if (at < HISTORY) {
                weights[at] = weights[at - 1];
                ranked[at] = ranked[at - 1];
            }
        if (at == HISTORY)
            continue;
        weights[at] = weight;
        ranked[at] = site->slots[i];
        count += count < HISTORY;
    }
}

/* The new owner, then those before it that are still here, newest first. before NULL: there were none. */
static void bucket_emit(uint16_t out[HISTORY], uint16_t owner, const uint16_t *before,
                        const struct site *site)
{
    unsigned n = 0;
    out[n++] = owner;
    for (unsigned i = 0; before && i < HISTORY && n < HISTORY; i++)
        if (before[i] != owner && site_has(site, before[i]))
            out[n++] = before[i];
    while (n < HISTORY)
        out[n++] = NOBODY;
}

/* A node that joins its site, or has lost the region, has no history. What it needs of it can be had from the hash: its
 * own buckets were, and their connections still are, those of whoever has them without it. Of others' buckets it asks
 * the owner. */
static void buckets_emit(struct tables_owners *t, const struct site *site, uint32_t our_slot,
                         const struct tables_owners *before)
{
    /* Buckets of a node that was alone, or of another hash, are other buckets. */
    bool same = before && before->node_count > 0 && before->bucket_count == t->bucket_count &&
                memcmp(before->bucket_secret, t->bucket_secret, sizeof t->bucket_secret) == 0;
    for (unsigned i = 0; i < t->bucket_count; i++) {
        uint16_t ranked[HISTORY];
        bucket_rank(site, i, t->bucket_secret, ranked);
        const uint16_t *guess = ranked[0] == our_slot ? ranked : NULL;
        bucket_emit(t->owners[i], ranked[0], same ? before->owners[i] : guess, site);
    }
}

/* --- the table -------------------------------------------------------------------------------- */

static void alone_emit(uint32_t slot, struct block *out)
{
    struct tables_owners *t;
    block_make(out, TABLES_OWNERS, sizeof *t + ALONE_BUCKETS * sizeof t->owners[0]);
    t = out->bytes;
    t->bucket_count = ALONE_BUCKETS;
    for (unsigned i = 0; i < ALONE_BUCKETS; i++) {
        t->owners[i][0] = (uint16_t)slot;
        t->owners[i][1] = t->owners[i][2] = t->owners[i][3] = NOBODY;
    }
}

static int node_compare(const void *a, const void *b)
{
    const struct tables_node *x = a, *y = b;
    return (int)x->slot - (int)y->slot;
}

static void nodes_emit(struct tables_owners *t, const json_t *nodes, unsigned our_site,
                       struct site *site)
{
    struct tables_node *out = (struct tables_node *)(uintptr_t)tables_nodes(t);
    const char *name;
    json_t *node;
    unsigned n = 0;
    json_object_foreach((json_t *)(uintptr_t)nodes, name, node)
    {
        out[n++] = node_from(node);
    }
    qsort(out, n, sizeof *out, node_compare);
    site->count = 0;
    for (unsigned i = 0; i < n; i++)
        if (out[i].site == our_site)
            site->slots[site->count++] = out[i].slot;
}

static void keys_emit(struct tables_owners *t, const struct secrets *secrets)
{
    struct tables_key *out = (struct tables_key *)(uintptr_t)tables_keys(t);
    for (uint32_t use = 0; use < TABLES_KEY_USES; use++)
        for (unsigned i = 0; i < secrets->counts[use]; i++) {
            const struct secrets_key *key = &secrets->keys[use][i];
            *out = (struct tables_key){.use = use, .id = key->id};
            memcpy(out->secret, key->secret, sizeof out->secret);
            out++;
        }
    memcpy(t->bucket_secret, secrets->bucket, sizeof t->bucket_secret);
}

static void fleet_emit(const json_t *model, const struct compile_node *self, struct block *out)
{
    const json_t *nodes = model_get(model, "nodes");
    struct tables_owners *t;
    struct site site;
    size_t node_count = json_object_size(nodes), key_count = 0;
    for (unsigned use = 0; use < TABLES_KEY_USES; use++)
        key_count += self->secrets->counts[use];
    size_t nodes_at = sizeof *t + FLEET_BUCKETS * sizeof t->owners[0];
    size_t keys_at = nodes_at + node_count * sizeof(struct tables_node);
    keys_at = (keys_at + 7) & ~(size_t)7;
    block_make(out, TABLES_OWNERS, keys_at + key_count * sizeof(struct tables_key));
    out->secret = true;
    t = out->bytes;
    t->bucket_count = FLEET_BUCKETS;
    t->node_count = (uint32_t)node_count;
    t->node_offset = (uint32_t)nodes_at;
    t->key_count = (uint32_t)key_count;
    t->key_offset = (uint32_t)keys_at;
    t->flags = fleet_setting_forward(model_get(model, "fleet")) ? 0 : TABLES_OWNERS_KEEP;
    keys_emit(t, self->secrets);
    nodes_emit(t, nodes, self->config->node_site, &site);
    buckets_emit(t, &site, self->config->node_slot, self->before);
}

bool compile_owners(const json_t *model, const struct compile_node *self, struct block *out)
{
    char why[640];
    tg_assert(json_object_size(model_get(model, "nodes")) <= TABLES_NODES_MAX);
    if (compile_member(model, self, why))
        fleet_emit(model, self, out);
    else
        alone_emit(self->config->node_slot, out);
    return true;
}
