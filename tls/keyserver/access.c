/* SPDX-License-Identifier: BSD-3-Clause
 * Clients, their keys and rates: see access.h.
 */
#include "tls/keyserver/access.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN 1000u /* one operation in the bucket's unit */

struct access {
    struct access_client *clients;
    unsigned count;
};

void access_destroy(struct access *access)
{
    if (!access)
        return;
    for (unsigned i = 0; i < access->count; i++)
        free(access->clients[i].skis);
    free(access->clients);
    free(access);
}

static int skis_compare(const void *a, const void *b)
{
    return memcmp(a, b, KEYMSG_SKI_BYTES);
}

/* 40 hex digits -> SKI; false: it is none. */
static bool ski_parse(const char *text, uint8_t ski[KEYMSG_SKI_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    if (strlen(text) != 2 * KEYMSG_SKI_BYTES)
        return false;
    for (unsigned i = 0; i < 2 * KEYMSG_SKI_BYTES; i++) {
        const char *digit = strchr(digits, span_lower_byte((uint8_t)text[i]));
        if (!digit)
            return false;
        ski[i / 2] = (uint8_t)(ski[i / 2] << 4 | (digit - digits));
    }
    return true;
}

/* A client's key is a file of the directory, or an SKI that is there. */
static const struct vault_key *key_resolve(const struct vault *vault, const char *text)
{
    uint8_t ski[KEYMSG_SKI_BYTES] = {0};
    const struct vault_key *key = vault_find_name(vault, text);
    if (!key && ski_parse(text, ski))
        key = vault_find(vault, ski);
    return key;
}

static enum tg_err client_create(const struct settings *settings,
                                 const struct settings_client *from, const struct vault *vault,
                                 struct access_client *client, char problem[SETTINGS_PROBLEM])
{
    *client = (struct access_client){.subject = from->subject,
                                     .every_key = from->every_key,
                                     .decrypt = from->decrypt,
                                     .weak_hashes = from->weak_hashes,
                                     .rate = (uint64_t)from->rate * TOKEN,
                                     .burst = (uint64_t)from->burst * TOKEN};
    client->tokens = client->burst;
    client->skis = calloc(from->key_count + 1, sizeof *client->skis);
    if (!client->skis) {
        snprintf(problem, SETTINGS_PROBLEM, "no memory");
        return TG_NO_MEMORY;
    }
    for (unsigned i = 0; i < from->key_count; i++) {
        const struct vault_key *key = key_resolve(vault, from->keys[i]);
        if (!key) {
            snprintf(problem, SETTINGS_PROBLEM,
                     "%.150s:%d: keys: there is no key \"%.120s\" in %.150s", settings->path,
                     from->line, from->keys[i], settings->keys);
            return TG_BAD_CONFIG;
        }
        memcpy(client->skis[client->ski_count++], key->ski, KEYMSG_SKI_BYTES);
    }
    qsort(client->skis, client->ski_count, sizeof *client->skis, skis_compare);
    return TG_OK;
}

enum tg_err access_create(const struct settings *settings, const struct vault *vault,
                          struct access **out, char problem[SETTINGS_PROBLEM])
{
    struct access *access = calloc(1, sizeof *access);
    enum tg_err err = access ? TG_OK : TG_NO_MEMORY;
    if (access)
        access->clients = calloc(settings->client_count + 1, sizeof *access->clients);
    if (!access || !access->clients) {
        snprintf(problem, SETTINGS_PROBLEM, "no memory");
        err = TG_NO_MEMORY;
    }
    for (unsigned i = 0; err == TG_OK && i < settings->client_count; i++)
        err = client_create(settings, &settings->clients[i], vault,
                            &access->clients[access->count++], problem);
    if (err == TG_OK)
        *out = access;
    else
        access_destroy(access);
    return err;
}

struct access_client *access_find(struct access *access, const char *subject)
{
    for (unsigned i = 0; i < access->count; i++)
        if (strcmp(access->clients[i].subject, subject) == 0)
            return &access->clients[i];
    return NULL;
}

bool access_allows(const struct access_client *client, const uint8_t ski[KEYMSG_SKI_BYTES])
{
    return client->every_key || bsearch(ski, client->skis, client->ski_count, sizeof *client->skis,
                                        skis_compare) != NULL;
}

bool access_take(struct access_client *client, tg_ns now)
{
    uint64_t ms = (now - client->filled_at) / TG_MS;
    if (client->filled_at == 0 || ms > 3600 * 1000) { /* full long before */
        client->tokens = client->burst;
        client->filled_at = now;
    } else if (ms > 0) {
        client->tokens += ms * client->rate / 1000;
        client->filled_at += ms * TG_MS;
        if (client->tokens > client->burst)
            client->tokens = client->burst;
    }
    if (client->tokens < TOKEN)
        return false;
    client->tokens -= TOKEN;
    return true;
}
