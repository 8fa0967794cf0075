/* SPDX-License-Identifier: BSD-3-Clause
 * See origin_plan.h. Made by the housekeeping thread, looked up by request.c and origin.c.
 */
#include "proxy/origin_plan.h"
#include "base/hash.h"
#include "tls/tls.h"
#include <stdio.h>
#include <stdlib.h>

struct origin_plan {
    const struct tables_routes *routes;
    uint32_t count;
    struct origin_entry {
        uint64_t identity;
        struct tls_client *client;
    } entries[]; /* one for each origin of the table */
};

static const struct tables_origin *origin_at(const struct tables_routes *routes, uint32_t i)
{
    return (const struct tables_origin *)(const void *)((const uint8_t *)routes +
                                                        routes->origin_offset) +
           i;
}

/* Each part's length goes in too. */
static uint64_t identity_make(const struct tls_client_config *c)
{
    const uint64_t key[2] = {0x6f726967696e73, c->verify};
    const struct span parts[] = {c->server_name, c->ca_pem, c->chain_pem, c->key_pem};
    uint64_t sums[TG_ARRAY_LEN(parts)][2];
    for (unsigned i = 0; i < TG_ARRAY_LEN(parts); i++) {
        sums[i][0] = parts[i].len;
        sums[i][1] = hash_sip24(key, parts[i]);
    }
    uint64_t identity = hash_sip24(key, span_make(sums, sizeof sums));
    return identity ? identity : 1;
}

static enum tg_err entry_create(const struct tables_routes *routes, const struct tables_origin *o,
                                struct origin_entry *entry, char problem[256])
{
    const struct tls_client_config config = {
        .server_name = tables_string_span(routes, o->server_name),
        .ca_pem = tables_string_span(routes, o->ca_pem),
        .chain_pem = tables_string_span(routes, o->chain_pem),
        .key_pem = tables_string_span(routes, o->key_pem),
        .verify = (o->flags & TABLES_ORIGIN_VERIFY) != 0,
    };
    if (!(o->flags & TABLES_ORIGIN_TLS))
        return TG_OK;
    entry->identity = identity_make(&config);
    return tls_client_create(&config, &entry->client, problem);
}

enum tg_err origin_plan_create(const struct tables_routes *routes, struct origin_plan **out,
                               unsigned *bad, char problem[256])
{
    struct origin_plan *plan =
        calloc(1, sizeof *plan + routes->origin_count * sizeof plan->entries[0]);
    problem[0] = 0;
    *bad = 0;
    if (!plan)
        return TG_NO_MEMORY;
    plan->routes = routes;
    plan->count = routes->origin_count;
    for (uint32_t i = 0; i < routes->origin_count; i++) {
        enum tg_err err = entry_create(routes, origin_at(routes, i), &plan->entries[i], problem);
        if (err != TG_OK) {
            *bad = i;
            origin_plan_destroy(plan);
            return err;
        }
    }
    *out = plan;
    return TG_OK;
}

/* Connections that are open hold what they share by a reference of their own. */
void origin_plan_destroy(struct origin_plan *plan)
{
    if (!plan)
        return;
    for (uint32_t i = 0; i < plan->count; i++)
        if (plan->entries[i].client)
            tls_client_unref(plan->entries[i].client);
    free(plan);
}

const struct tables_routes *origin_plan_routes(const struct origin_plan *plan)
{
    return plan ? plan->routes : NULL;
}

uint64_t origin_plan_identity(const struct origin_plan *plan, uint32_t origin)
{
    return plan && origin < plan->count ? plan->entries[origin].identity : 0;
}

struct tls_client *origin_plan_client(const struct origin_plan *plan, uint64_t identity,
                                      const struct tables_origin **origin)
{
    for (uint32_t i = 0; plan && identity && i < plan->count; i++) {
        if (plan->entries[i].identity != identity)
            continue;
        *origin = origin_at(plan->routes, i);
        return plan->entries[i].client;
    }
    return NULL;
}
