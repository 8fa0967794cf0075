/* SPDX-License-Identifier: BSD-3-Clause
 * Origins: where answers come from, how long to wait for them, and what TLS to them needs. JSON members only; whether
 * the PEM parses is for tls/ to say (compile_origins). Called by api_origins and model.
 */
#include "ctrlplane/resource.h"

#include <stdio.h>
#include <string.h>

bool address_unicast(const uint8_t a[16])
{
    static const uint8_t zero[16];
    if (address_is4(a))
        return a[12] != 0 && a[12] < 224;
    return a[0] != 0xff && memcmp(a, zero, 16) != 0;
}

void server_name_check(const struct fields *f, const char *text, char out[256])
{
    uint8_t address[16];
    out[0] = 0;
    if (!text)
        return;
    if (address_parse(text, address))
        snprintf(out, 256, "%s", text);
    else if (text[0] == '*' || text[0] == '[' || !host_canonical(text, out))
        fields_fault(f, "server_name", "is neither a host name nor an address");
}

static const char *const tls_members[] = {"server_name", "verify", "ca_pem", "chain_pem",
                                          "key_pem"};

/* What TLS to the origin needs, into the canonical form. Not to verify must be said. */
static void origin_tls_read(const struct fields *f, json_t *out)
{
    char server_name[256];
    bool verify = fields_bool(f, "verify", true);
    server_name_check(f, fields_string(f, "server_name", verify, 1, 253), server_name);
    const char *ca = fields_pem(f, "ca_pem", verify, "-----BEGIN CERTIFICATE-----");
    const char *chain = fields_pem(f, "chain_pem", false, "-----BEGIN CERTIFICATE-----");
    const char *key = fields_pem(f, "key_pem", chain != NULL, "PRIVATE KEY-----");
    if (fields_ok(f) && key && !chain)
        fields_fault(f, "chain_pem", "is missing: a key alone shows nothing to the origin");
    if (fields_ok(f) && ca && !verify)
        fields_fault(f, "verify", "is false: then ca_pem would never be looked at");
    if (!fields_ok(f))
        return;
    json_object_set_new(out, "tls", json_true());
    json_object_set_new(out, "verify", json_boolean(verify));
    if (server_name[0])
        json_object_set_new(out, "server_name", json_string(server_name));
    if (ca)
        json_object_set_new(out, "ca_pem", json_string(ca));
    if (chain) {
        json_object_set_new(out, "chain_pem", json_string(chain));
        json_object_set_new(out, "key_pem", json_string(key));
    }
}

static json_t *origin_numbers_read(const struct fields *f, const char *address)
{
    int64_t port = fields_integer(f, "port", true, 0, 1, 65535);
    int64_t connections = fields_integer(f, "connections_max", false, 256, 1, 65535);
    int64_t connect = fields_integer(f, "connect_timeout_ms", false, 3000, 10, 600000);
    int64_t response = fields_integer(f, "response_timeout_ms", false, 30000, 10, 3600000);
    int64_t idle = fields_integer(f, "idle_timeout_ms", false, 60000, 10, 3600000);
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "address", address, "port", (json_int_t)port,
                     "connections_max", (json_int_t)connections, "connect_timeout_ms",
                     (json_int_t)connect, "response_timeout_ms", (json_int_t)response,
                     "idle_timeout_ms", (json_int_t)idle);
}

json_t *origin_read(const json_t *in, const char *pointer, struct problem *problem)
{
    static const char *const known[] = {"name",
                                        "address",
                                        "port",
                                        "connections_max",
                                        "connect_timeout_ms",
                                        "response_timeout_ms",
                                        "idle_timeout_ms",
                                        "tls",
                                        "server_name",
                                        "verify",
                                        "ca_pem",
                                        "chain_pem",
                                        "key_pem",
                                        NULL};
    struct fields f = fields_begin(in, pointer, known, problem);
    const char *text = fields_string(&f, "address", true, 1, 64);
    uint8_t address[16];
    if (fields_ok(&f) && !address_parse(text, address))
        fields_fault(&f, "address", "\"%.64s\" is not an IPv4 or IPv6 address", text);
    else if (fields_ok(&f) && !address_unicast(address))
        fields_fault(&f, "address", "%s is no address that a connection can be opened to", text);
    if (!fields_ok(&f))
        return NULL;
    char canonical[PREFIX_TEXT_MAX];
    json_t *out = origin_numbers_read(&f, address_text(address, canonical));
    if (fields_bool(&f, "tls", false))
        origin_tls_read(&f, out);
    else
        for (unsigned i = 0; i < TG_ARRAY_LEN(tls_members); i++)
            if (fields_ok(&f) && fields_has(&f, tls_members[i]))
                fields_fault(&f, tls_members[i], "needs \"tls\": true");
    if (fields_ok(&f))
        return out;
    json_decref(out);
    return NULL;
}
