/* SPDX-License-Identifier: BSD-3-Clause
 * One origin -> struct tables_origin. Called by compile_routes. What TLS needs is tried out on tls/ as the data plane
 * will do it.
 */
#include "ctrlplane/compile_parts.h"
#include "ctrlplane/prefix.h"
#include "tls/tls.h"

static const char *const members[] = {"server_name", "ca_pem", "chain_pem", "key_pem"};

size_t origin_string_bytes(const json_t *origin)
{
    size_t n = 0;
    for (unsigned m = 0; m < TG_ARRAY_LEN(members); m++)
        n += block_member(origin, members[m]).len;
    return n;
}

static uint32_t member_u32(const json_t *o, const char *name)
{
    return (uint32_t)json_integer_value(json_object_get(o, name));
}

void origin_emit(void *block, struct tables_origin *out, const json_t *origin, size_t *at)
{
    bool good = address_parse(json_string_value(json_object_get(origin, "address")), out->address);
    tg_assert(good); /* canonical */
    out->port = (uint16_t)member_u32(origin, "port");
    out->connections_max = member_u32(origin, "connections_max");
    out->connect_timeout_ms = member_u32(origin, "connect_timeout_ms");
    out->response_timeout_ms = member_u32(origin, "response_timeout_ms");
    out->idle_timeout_ms = member_u32(origin, "idle_timeout_ms");
    if (json_is_true(json_object_get(origin, "tls")))
        out->flags |= TABLES_ORIGIN_TLS;
    if (json_is_true(json_object_get(origin, "verify")))
        out->flags |= TABLES_ORIGIN_VERIFY;
    struct tables_string *strings[] = {&out->server_name, &out->ca_pem, &out->chain_pem,
                                       &out->key_pem};
    for (unsigned m = 0; m < TG_ARRAY_LEN(members); m++)
        *strings[m] = block_put(block, at, block_member(origin, members[m]));
}

/* Which member TLS stumbles over: without a certificate of ours only the trust anchors are left. */
static const char *member_at_fault(struct tls_client_config config)
{
    struct tls_client *client;
    char why[256];
    config.chain_pem = config.key_pem = SPAN_EMPTY;
    if (tls_client_create(&config, &client, why) != TG_OK)
        return "/ca_pem";
    tls_client_unref(client);
    return "/chain_pem";
}

bool origin_check(const char *name, const json_t *origin, struct problem *problem)
{
    const struct tls_client_config config = {
        .server_name = block_member(origin, "server_name"),
        .ca_pem = block_member(origin, "ca_pem"),
        .chain_pem = block_member(origin, "chain_pem"),
        .key_pem = block_member(origin, "key_pem"),
        .verify = json_is_true(json_object_get(origin, "verify")),
    };
    struct tls_client *client;
    char why[256] = "";
    if (!json_is_true(json_object_get(origin, "tls")))
        return true;
    enum tg_err err = tls_client_create(&config, &client, why);
    if (err == TG_OK) {
        tls_client_unref(client);
        return true;
    }
    problem_set(problem, err == TG_NO_MEMORY ? 500 : 422, "origin",
                err == TG_NO_MEMORY ? "" : member_at_fault(config), "origin \"%s\": %s", name,
                why[0] ? why : tg_err_text(err));
    problem_extra(problem, "origin", json_string(name));
    return false;
}
