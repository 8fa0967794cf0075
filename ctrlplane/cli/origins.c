/* SPDX-License-Identifier: BSD-3-Clause
 * tgctl origin: add, del, list, and the list of addresses that an origin should let in.
 */
#include "ctrlplane/cli/commands.h"
#include "ctrlplane/cli/origin_guard.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool tls_set(json_t *body, const struct arg args[])
{
    if (!command_set_file(body, "ca_pem", args_value(args, "--ca")) ||
        !command_set_file(body, "chain_pem", args_value(args, "--chain")) ||
        !command_set_file(body, "key_pem", args_value(args, "--key")))
        return false;
    command_set_string(body, "server_name", args_value(args, "--server-name"));
    if (args_value(args, "--tls"))
        json_object_set_new(body, "tls", json_true());
    if (args_value(args, "--no-verify"))
        json_object_set_new(body, "verify", json_false());
    return true;
}

enum exit_code command_origin_add(const struct client *client, int argc, char **argv)
{
    struct arg args[] = {{.name = "--address", .required = true},
                         {.name = "--port", .required = true},
                         {.name = "--connections"},
                         {.name = "--connect-timeout"},
                         {.name = "--response-timeout"},
                         {.name = "--idle-timeout"},
                         {.name = "--tls", .is_flag = true},
                         {.name = "--server-name"},
                         {.name = "--ca"},
                         {.name = "--chain"},
                         {.name = "--key"},
                         {.name = "--no-verify", .is_flag = true},
                         {0}};
    const char *name;
    if (!args_read(argc, argv, args, &name, 1, 1))
        return TGCTL_USAGE;
    json_t *body = json_object();
    if (!tls_set(body, args)) {
        json_decref(body);
        return TGCTL_USAGE;
    }
    command_set_string(body, "address", args_value(args, "--address"));
    command_set_number_or_string(body, "port", args_value(args, "--port"));
    command_set_number_or_string(body, "connections_max", args_value(args, "--connections"));
    command_set_number_or_string(body, "connect_timeout_ms", args_value(args, "--connect-timeout"));
    command_set_number_or_string(body, "response_timeout_ms",
                                 args_value(args, "--response-timeout"));
    command_set_number_or_string(body, "idle_timeout_ms", args_value(args, "--idle-timeout"));
    return command_put(client, "origin", "/v1/origins", name, body);
}

enum exit_code command_origin_del(const struct client *client, int argc, char **argv)
{
    return command_del(client, argc, argv, "/v1/origins");
}

enum exit_code command_origin_list(const struct client *client, int argc, char **argv)
{
    static const struct column columns[] = {
        {"NAME", "name", NULL},
        {"ADDRESS", "address", NULL},
        {"PORT", "port", NULL},
        {"TLS", "tls", "-"},
        {"SERVER NAME", "server_name", "-"},
        {"CONNECTIONS", "connections_max", NULL},
        {"CONNECT MS", "connect_timeout_ms", NULL},
        {"RESPONSE MS", "response_timeout_ms", NULL},
        {"IDLE MS", "idle_timeout_ms", NULL},
        {0},
    };
    return command_list(client, argc, argv, "/v1/origins", columns);
}

/* --- who may talk to an origin ------------------------------------------------------------------ */

static bool edge_add(struct edges *e, const char *text)
{
    unsigned char address[16];
    if (inet_pton(AF_INET, text, address) == 1)
        return json_array_append_new(e->v4, json_string(text)) == 0;
    if (inet_pton(AF_INET6, text, address) == 1)
        return json_array_append_new(e->v6, json_string(text)) == 0;
    fprintf(stderr, "tgctl: %.64s: is not an address\n", text);
    return false;
}

static bool edges_add_list(struct edges *e, const char *text)
{
    json_t *body = json_object(), *item;
    size_t i;
    bool good = true;
    command_set_list(body, "from", text);
    json_array_foreach(json_object_get(body, "from"), i, item) good =
        good && edge_add(e, json_string_value(item));
    json_decref(body);
    return good;
}

static enum exit_code edges_add_nodes(struct edges *e, const struct client *client)
{
    static const char *const members[] = {"address4", "address6"};
    json_t *nodes, *node;
    size_t i;
    enum exit_code code = client_call(client, "GET", "/v1/nodes", NULL, &nodes);
    if (code != TGCTL_OK)
        return code;
    json_array_foreach(nodes, i, node) for (unsigned m = 0; m < 2; m++)
    {
        const char *text = json_string_value(json_object_get(node, members[m]));
        if (text)
            (void)edge_add(e, text);
    }
    json_decref(nodes);
    return TGCTL_OK;
}

/* Without a fleet this node is the only edge: what its ports send from. */
static enum exit_code edges_add_own(struct edges *e, const struct client *client)
{
    json_t *status, *item;
    size_t i;
    enum exit_code code = client_call(client, "GET", "/v1/status", NULL, &status);
    if (code != TGCTL_OK)
        return code;
    json_array_foreach(json_object_get(json_object_get(status, "node"), "addresses"), i, item)(void)
        edge_add(e, json_string_value(item));
    json_decref(status);
    return TGCTL_OK;
}

static enum exit_code edges_find(struct edges *e, const struct client *client, const char *from)
{
    if (from)
        return edges_add_list(e, from) ? TGCTL_OK : TGCTL_USAGE;
    enum exit_code code = edges_add_nodes(e, client);
    if (code == TGCTL_OK && json_array_size(e->v4) + json_array_size(e->v6) == 0)
        code = edges_add_own(e, client);
    return code;
}

/* "443" or "80,443". In the XDP program 0443 would be octal, and 70000 a port that never comes. */
static bool ports_good(const char *text)
{
    for (;;) {
        size_t digits = strspn(text, "0123456789");
        if (digits < 1 || digits > 5 || *text == '0' || strtoul(text, NULL, 10) > 65535)
            return false;
        text += digits;
        if (!*text)
            return true;
        if (*text++ != ',')
            return false;
    }
}

/* The port of an origin by its name. */
static enum exit_code origin_port(const struct client *client, const char *name, char port[8])
{
    char path[1024] = "/v1/origins";
    json_t *origin;
    if (!client_segment_add(path, sizeof path, name))
        return TGCTL_USAGE;
    enum exit_code code = client_call(client, "GET", path, NULL, &origin);
    if (code != TGCTL_OK)
        return code;
    snprintf(port, 8, "%d", (int)json_integer_value(json_object_get(origin, "port")) & 0xffff);
    json_decref(origin);
    return TGCTL_OK;
}

enum exit_code command_origin_addresses(const struct client *client, int argc, char **argv)
{
    struct arg args[] = {{.name = "--format"}, {.name = "--port"}, {.name = "--from"}, {0}};
    const char *name = NULL;
    char port[8] = "1";
    if (!args_read(argc, argv, args, &name, 0, 1))
        return TGCTL_USAGE;
    const char *format = args_value(args, "--format"), *ports = args_value(args, "--port");
    bool named = name && !ports;
    ports = named ? port : ports;
    format = format ? format : "nftables";
    bool plain = strcmp(format, "plain") == 0, xdp = strcmp(format, "xdp") == 0;
    if ((!plain && !xdp && strcmp(format, "nftables") != 0) || !ports || (name && !named) ||
        !ports_good(ports)) {
        fprintf(stderr,
                "tgctl: give the NAME of an origin, or --port with a port, or several with commas; "
                "--format is nftables, xdp or plain\n");
        return TGCTL_USAGE;
    }
    struct edges edges = {json_array(), json_array()};
    enum exit_code code = named ? origin_port(client, name, port) : TGCTL_OK;
    if (code == TGCTL_OK)
        code = edges_find(&edges, client, args_value(args, "--from"));
    if (code == TGCTL_OK && plain) {
        guard_list_print("", edges.v4, "\n");
        guard_list_print("", edges.v6, "\n");
    } else if (code == TGCTL_OK && xdp) {
        guard_xdp_print(&edges, ports);
    } else if (code == TGCTL_OK) {
        guard_nftables_print(&edges, ports);
    }
    json_decref(edges.v4);
    json_decref(edges.v6);
    return code;
}
