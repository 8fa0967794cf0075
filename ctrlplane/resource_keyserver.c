/* SPDX-License-Identifier: BSD-3-Clause
 * Key servers: where private keys lie that are not on this node. JSON members only; whether the PEM
 * parses is for tls/ to say (compile_keyservers). Called by api_keyservers and model.
 */
#include "contract/tables.h"
#include "ctrlplane/resource.h"

#include <stdlib.h>
#include <string.h>

#define PORT_DEFAULT 2407

/* Everything behind the last ':' of "address:port", or of "[address]:port"; NULL: there is none. */
static const char *port_find(const char *text)
{
    const char *colon = strrchr(text, ':');
    bool one = colon && strchr(text, ':') == colon;
    return one || (colon && colon > text && colon[-1] == ']') ? colon : NULL;
}

static bool port_parse(const char *text, unsigned *port)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 5 || text[digits])
        return false;
    *port = (unsigned)strtoul(text, NULL, 10);
    return *port >= 1 && *port <= 65535;
}

bool keyserver_address_parse(const char *text, uint8_t address[16], unsigned *port)
{
    char host[PREFIX_TEXT_MAX + 2];
    const char *colon = port_find(text);
    size_t len = colon ? (size_t)(colon - text) : strlen(text);
    *port = PORT_DEFAULT;
    if (len == 0 || len >= sizeof host || (colon && !port_parse(colon + 1, port)))
        return false;
    memcpy(host, text, len);
    host[len] = 0;
    bool bracketed = host[0] == '[' && host[len - 1] == ']';
    if (bracketed)
        host[len - 1] = 0;
    if (!address_parse(host + bracketed, address) || (bracketed && address_is4(address)))
        return false;
    return address_unicast(address);
}

/* "192.0.2.1:2407", "[2001:db8::1]:2407": always with the port. */
static json_t *address_json(const uint8_t address[16], unsigned port)
{
    char text[PREFIX_TEXT_MAX];
    const char *format = address_is4(address) ? "%s:%u" : "[%s]:%u";
    return json_sprintf(format, address_text(address, text), port);
}

static json_t *addresses_read(const struct fields *f)
{
    const json_t *in = fields_array(f, "addresses", true, TABLES_KEYSERVER_ADDRESSES);
    if (!fields_ok(f))
        return NULL;
    json_t *out = json_array(), *item;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)in, i, item)
    {
        uint8_t address[16];
        unsigned port;
        const char *text = json_string_value(item);
        if (text && keyserver_address_parse(text, address, &port))
            json_array_append_new(out, address_json(address, port));
        else
            fields_fault_at(f, "addresses", i,
                            "is not an address with or without port: \"192.0.2.1:2407\", "
                            "\"[2001:db8::1]:2407\"");
    }
    if (fields_ok(f) && json_array_size(out) == 0)
        fields_fault(f, "addresses", "must name at least one");
    if (fields_ok(f))
        return out;
    json_decref(out);
    return NULL;
}

json_t *keyserver_read(const json_t *in, const char *pointer, struct problem *problem)
{
    static const char *const known[] = {"name",      "addresses", "server_name", "ca_pem",
                                        "chain_pem", "key_pem",   NULL};
    struct fields f = fields_begin(in, pointer, known, problem);
    char server_name[256];
    server_name_check(&f, fields_string(&f, "server_name", true, 1, 253), server_name);
    const char *ca = fields_pem(&f, "ca_pem", true, "-----BEGIN CERTIFICATE-----");
    const char *chain = fields_pem(&f, "chain_pem", true, "-----BEGIN CERTIFICATE-----");
    const char *key = fields_pem(&f, "key_pem", true, "PRIVATE KEY-----");
    json_t *addresses = fields_ok(&f) ? addresses_read(&f) : NULL;
    if (!addresses)
        return NULL;
    return json_pack("{s:o, s:s, s:s, s:s, s:s}", "addresses", addresses, "server_name",
                     server_name, "ca_pem", ca, "chain_pem", chain, "key_pem", key);
}
