/* SPDX-License-Identifier: BSD-3-Clause
 * Key servers -> the part of struct tables_certificates that says where keys lie. Called by
 * compile_certificates. Each is tried out on tls/ as the data plane will do it.
 */
#include "ctrlplane/compile_parts.h"
#include "ctrlplane/model.h"
#include "ctrlplane/resource.h"
#include "tls/tls.h"

#include <stdlib.h>
#include <string.h>

static const char *const members[] = {"server_name", "ca_pem", "chain_pem", "key_pem"};

void keyservers_begin(struct keyservers *k, const json_t *model)
{
    k->all = model_get(model, "keyservers");
    k->count = model_keys(model, "keyservers", k->names, TABLES_KEYSERVERS_MAX);
}

size_t keyservers_string_bytes(const struct keyservers *k)
{
    size_t n = 0;
    for (unsigned i = 0; i < k->count; i++)
        for (unsigned m = 0; m < TG_ARRAY_LEN(members); m++)
            n += block_member(json_object_get(k->all, k->names[i]), members[m]).len;
    return n;
}

uint32_t keyservers_index(const struct keyservers *k, const char *name)
{
    for (unsigned i = 0; name && i < k->count; i++)
        if (strcmp(k->names[i], name) == 0)
            return i;
    return UINT32_MAX;
}

static void addresses_emit(struct tables_keyserver *out, const json_t *list)
{
    out->address_count = (uint32_t)json_array_size(list);
    for (uint32_t i = 0; i < out->address_count; i++) {
        unsigned port;
        bool good = keyserver_address_parse(json_string_value(json_array_get(list, i)),
                                            out->addresses[i].address, &port);
        tg_assert(good); /* canonical */
        out->addresses[i].port = (uint16_t)port;
    }
}

void keyservers_emit(const struct keyservers *k, struct tables_certificates *t, size_t servers_at,
                     size_t *at)
{
    struct tables_keyserver *out = (void *)((uint8_t *)t + servers_at);
    t->keyserver_count = k->count;
    t->keyserver_offset = (uint32_t)servers_at;
    for (unsigned i = 0; i < k->count; i++) {
        const json_t *server = json_object_get(k->all, k->names[i]);
        struct tables_string *strings[] = {&out[i].server_name, &out[i].ca_pem, &out[i].chain_pem,
                                           &out[i].key_pem};
        for (unsigned m = 0; m < TG_ARRAY_LEN(members); m++)
            *strings[m] = block_put(t, at, block_member(server, members[m]));
        addresses_emit(&out[i], json_object_get(server, "addresses"));
    }
}

bool keyservers_check(const struct keyservers *k, struct problem *problem)
{
    for (unsigned i = 0; i < k->count; i++) {
        const json_t *server = json_object_get(k->all, k->names[i]);
        struct tls_client_config config = {
            .server_name = block_member(server, "server_name"),
            .ca_pem = block_member(server, "ca_pem"),
            .chain_pem = block_member(server, "chain_pem"),
            .key_pem = block_member(server, "key_pem"),
            .verify = true,
        };
        struct tls_client *client;
        char why[256] = "";
        enum tg_err err = tls_client_create(&config, &client, why);
        if (err == TG_OK) {
            tls_client_unref(client);
            continue;
        }
        problem_set(problem, err == TG_NO_MEMORY ? 500 : 422, "keyserver", "",
                    "key server \"%s\": %s", k->names[i], why[0] ? why : tg_err_text(err));
        problem_extra(problem, "keyserver", json_string(k->names[i]));
        return false;
    }
    return true;
}
