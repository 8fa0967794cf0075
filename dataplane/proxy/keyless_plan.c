/* SPDX-License-Identifier: BSD-3-Clause
 * Which key lies where: see keyless.h. Made by the housekeeping thread, looked up by keyless.c.
 */
#include "proxy/keyless_parts.h"
#include <stdio.h>
#include <stdlib.h>

static int keys_compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof((struct keyless_key *)0)->ski);
}

/* Two servers with the same identity are the same one. Each part's length goes in too. */
static void identity_make(const struct keyless_server *from, uint64_t identity[2])
{
    const struct span parts[] = {from->server_name, from->ca_pem, from->chain_pem, from->key_pem};
    uint64_t sums[TG_ARRAY_LEN(parts)][2];
    for (unsigned half = 0; half < 2; half++) {
        const uint64_t key[2] = {0x6b65796c657373, half};
        for (unsigned i = 0; i < TG_ARRAY_LEN(parts); i++) {
            sums[i][0] = parts[i].len;
            sums[i][1] = hash_sip24(key, parts[i]);
        }
        identity[half] = hash_sip24(key, span_make(sums, sizeof sums));
    }
}

static enum tg_err server_create(const struct keyless_server *from, struct key_server *to,
                                 char problem[256])
{
    const struct tls_client_config config = {
        .server_name = from->server_name,
        .ca_pem = from->ca_pem,
        .chain_pem = from->chain_pem,
        .key_pem = from->key_pem,
        .verify = true,
    };
    if (from->address_count == 0 || from->address_count > KEYLESS_ADDRESSES_MAX) {
        snprintf(problem, 256, "it has no address, or too many");
        return TG_BAD_CONFIG;
    }
    identity_make(from, to->identity);
    to->endpoint_count = from->address_count;
    for (unsigned i = 0; i < from->address_count; i++)
        to->endpoints[i].at = from->addresses[i];
    return tls_client_create(&config, &to->client, problem);
}

enum tg_err keyless_plan_create(struct tls_set *set, const struct keyless_server servers[],
                                unsigned server_count, const struct keyless_key keys[],
                                unsigned key_count, struct keyless_plan **out, unsigned *bad,
                                char problem[256])
{
    struct keyless_plan *plan = calloc(1, sizeof *plan);
    enum tg_err err = plan && server_count <= KEYLESS_SERVERS_MAX ? TG_OK : TG_NO_MEMORY;
    problem[0] = 0;
    if (err == TG_OK) {
        plan->servers = calloc(server_count + 1, sizeof *plan->servers);
        plan->keys = calloc(key_count + 1, sizeof *plan->keys);
        err = plan->servers && plan->keys ? TG_OK : TG_NO_MEMORY;
    }
    for (unsigned i = 0; err == TG_OK && i < server_count; i++) {
        *bad = i;
        err = server_create(&servers[i], &plan->servers[i], problem);
        plan->server_count += err == TG_OK;
    }
    if (err != TG_OK) {
        keyless_plan_destroy(plan);
        return err;
    }
    for (unsigned i = 0; i < key_count; i++) {
        tg_assert(keys[i].server < server_count);
        plan->keys[plan->key_count++] = keys[i];
    }
    qsort(plan->keys, plan->key_count, sizeof *plan->keys, keys_compare);
    plan->set = set;
    *out = plan;
    return TG_OK;
}

void keyless_plan_destroy(struct keyless_plan *plan)
{
    if (!plan)
        return;
    for (unsigned i = 0; i < plan->server_count; i++)
        tls_client_unref(plan->servers[i].client);
    if (plan->set)
        tls_set_unref(plan->set);
    free(plan->servers);
    free(plan->keys);
    free(plan);
}

struct key_server *keyless_plan_find(struct keyless_plan *plan, const uint8_t ski[20])
{
    const struct keyless_key *key =
        plan ? bsearch(ski, plan->keys, plan->key_count, sizeof *plan->keys, keys_compare) : NULL;
    return key ? &plan->servers[key->server] : NULL;
}
