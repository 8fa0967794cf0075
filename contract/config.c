/* SPDX-License-Identifier: BSD-3-Clause
 * Reader of the configuration file; see config.h. Each group of keys is a table of {name, kind, range,
 * place}: one loop reads them all, and what is not in the table is refused.
 */
#include "contract/config.h"
#include <arpa/inet.h>
#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum key_kind { KEY_BOOL, KEY_UNSIGNED, KEY_TEXT };

struct key {
    const char *name;
    enum key_kind kind;
    long long low, high; /* KEY_UNSIGNED: range; KEY_TEXT: length range */
    void *place;         /* bool, unsigned or char[high + 1] */
};

struct reader {
    const char *path;
    char *problem; /* [512] */
};

static enum tg_err config_bad(const struct reader *r, const config_setting_t *at, const char *key,
                              const char *what)
{
    snprintf(r->problem, 512, "%s:%d: %s: %s", r->path,
             at ? (int)config_setting_source_line(at) : 1, key, what);
    return TG_BAD_CONFIG;
}

static enum tg_err config_bad_range(const struct reader *r, const config_setting_t *at,
                                    const struct key *key)
{
    char what[128];
    snprintf(what, sizeof what,
             key->kind == KEY_TEXT ? "must have %lld..%lld characters" : "must be in %lld..%lld",
             key->low, key->high);
    return config_bad(r, at, key->name, what);
}

static enum tg_err config_read_value(const struct reader *r, const config_setting_t *at,
                                     const struct key *key)
{
    int type = config_setting_type(at);
    if (key->kind == KEY_BOOL) {
        if (type != CONFIG_TYPE_BOOL)
            return config_bad(r, at, key->name, "must be true or false");
        *(bool *)key->place = config_setting_get_bool(at);
    } else if (key->kind == KEY_UNSIGNED) {
        if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64)
            return config_bad(r, at, key->name, "must be a whole number");
        long long value = config_setting_get_int64(at);
        if (value < key->low || value > key->high)
            return config_bad_range(r, at, key);
        *(unsigned *)key->place = (unsigned)value;
    } else {
        const char *text = config_setting_get_string(at);
        if (!text)
            return config_bad(r, at, key->name, "must be a string");
        if ((long long)strlen(text) < key->low || (long long)strlen(text) > key->high)
            return config_bad_range(r, at, key);
        memcpy(key->place, text, strlen(text) + 1);
    }
    return TG_OK;
}

/* Read the scalar keys of a group; `others` names the members that somebody else reads. */
static enum tg_err config_read_group(const struct reader *r, const config_setting_t *group,
                                     const struct key keys[], unsigned count,
                                     const char *const others[])
{
    for (int i = 0; i < config_setting_length(group); i++) {
        const config_setting_t *at = config_setting_get_elem(group, (unsigned)i);
        const char *name = config_setting_name(at);
        unsigned k = 0;
        while (k < count && strcmp(keys[k].name, name) != 0)
            k++;
        if (k < count) {
            enum tg_err result = config_read_value(r, at, &keys[k]);
            if (result != TG_OK)
                return result;
            continue;
        }
        const char *const *other = others;
        while (*other && strcmp(*other, name) != 0)
            other++;
        if (!*other)
            return config_bad(r, at, name, "unknown key");
    }
    return TG_OK;
}

static const char *const config_no_others[] = {NULL};

/* A member that must be a group, or is missing (then *group is NULL). */
static enum tg_err config_find_group(const struct reader *r, const config_setting_t *root,
                                     const char *name, const config_setting_t **group)
{
    *group = config_setting_get_member(root, name);
    if (*group && config_setting_type(*group) != CONFIG_TYPE_GROUP)
        return config_bad(r, *group, name, "must be a group { ... }");
    return TG_OK;
}

static enum tg_err config_read_subgroup(const struct reader *r, const config_setting_t *root,
                                        const char *name, const struct key keys[], unsigned count)
{
    const config_setting_t *group;
    enum tg_err result = config_find_group(r, root, name, &group);
    return result == TG_OK && group ? config_read_group(r, group, keys, count, config_no_others)
                                    : result;
}

/* A member that must be an array or list of at most `limit` elements; *n is 0 when it is missing. */
static enum tg_err config_find_list(const struct reader *r, const config_setting_t *root,
                                    const char *name, unsigned limit, const config_setting_t **list,
                                    unsigned *n)
{
    char what[64];
    *n = 0;
    *list = config_setting_get_member(root, name);
    if (!*list)
        return TG_OK;
    if (!config_setting_is_aggregate(*list) || config_setting_type(*list) == CONFIG_TYPE_GROUP)
        return config_bad(r, *list, name, "must be a list");
    *n = (unsigned)config_setting_length(*list);
    snprintf(what, sizeof what, "at most %u entries are possible", limit);
    return *n > limit ? config_bad(r, *list, name, what) : TG_OK;
}

enum tg_err config_parse_address(const char *text, uint8_t address[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    memcpy(address, mapped, sizeof mapped);
    if (inet_pton(AF_INET, text, address + 12) == 1 || inet_pton(AF_INET6, text, address) == 1)
        return TG_OK;
    return TG_BAD_INPUT;
}

enum tg_err config_parse_prefix(const char *text, struct config_prefix *prefix)
{
    char address[64], *end;
    const char *slash = strchr(text, '/');
    if (!slash || (size_t)(slash - text) >= sizeof address || slash[1] < '0' || slash[1] > '9')
        return TG_BAD_INPUT;
    memcpy(address, text, (size_t)(slash - text));
    address[slash - text] = '\0';
    unsigned long bits = strtoul(slash + 1, &end, 10);
    bool is4 = !strchr(address, ':');
    if (*end || bits > (is4 ? 32u : 128u))
        return TG_BAD_INPUT;
    prefix->bits = (uint8_t)(bits + (is4 ? 96 : 0));
    return config_parse_address(address, prefix->address);
}

static enum tg_err config_read_port(const struct reader *r, const config_setting_t *at,
                                    struct config_port *port)
{
    static const char *const others[] = {"addresses", NULL};
    const config_setting_t *list;
    *port = (struct config_port){.queues = 1, .mtu = 1500};
    const struct key keys[] = {
        {"device", KEY_TEXT, 1, CONFIG_TEXT - 1, port->device},
        {"queues", KEY_UNSIGNED, 1, TG_WORKERS_MAX, &port->queues},
        {"mtu", KEY_UNSIGNED, 1280, 1500, &port->mtu},
    };
    if (config_setting_type(at) != CONFIG_TYPE_GROUP)
        return config_bad(r, at, "ports", "every entry must be a group { ... }");
    enum tg_err result = config_read_group(r, at, keys, TG_ARRAY_LEN(keys), others);
    if (result != TG_OK)
        return result;
    if (!port->device[0])
        return config_bad(r, at, "device", "is missing");
    result = config_find_list(r, at, "addresses", CONFIG_ADDRESSES, &list, &port->address_count);
    if (result == TG_OK && port->address_count == 0)
        return config_bad(r, at, "addresses",
                          "is missing: at least one \"address/bits\" is needed");
    for (unsigned i = 0; result == TG_OK && i < port->address_count; i++) {
        const char *text = config_setting_get_string_elem(list, (int)i);
        if (!text || config_parse_prefix(text, &port->addresses[i]) != TG_OK)
            result = config_bad(r, list, "addresses", "must hold strings such as \"192.0.2.1/24\"");
    }
    return result;
}

static enum tg_err config_read_route(const struct reader *r, const config_setting_t *at,
                                     struct config_route *route, unsigned port_count)
{
    char prefix[64] = "", gateway[64] = "";
    const struct key keys[] = {
        {"prefix", KEY_TEXT, 1, sizeof prefix - 1, prefix},
        {"gateway", KEY_TEXT, 1, sizeof gateway - 1, gateway},
        {"port", KEY_UNSIGNED, 0, CONFIG_PORTS - 1, &route->port},
    };
    route->port = 0;
    if (config_setting_type(at) != CONFIG_TYPE_GROUP)
        return config_bad(r, at, "routes", "every entry must be a group { ... }");
    enum tg_err result = config_read_group(r, at, keys, TG_ARRAY_LEN(keys), config_no_others);
    if (result != TG_OK)
        return result;
    if (config_parse_prefix(prefix, &route->prefix) != TG_OK)
        return config_bad(r, at, "prefix", "must be a string such as \"0.0.0.0/0\"");
    if (config_parse_address(gateway, route->gateway) != TG_OK)
        return config_bad(r, at, "gateway", "must be an address such as \"192.0.2.254\"");
    if (route->port >= port_count)
        return config_bad(r, at, "port", "names no entry of ports");
    return TG_OK;
}

static enum tg_err config_read_ports_and_routes(const struct reader *r,
                                                const config_setting_t *root, struct config *c)
{
    const config_setting_t *list;
    enum tg_err result = config_find_list(r, root, "ports", CONFIG_PORTS, &list, &c->port_count);
    if (result == TG_OK && c->port_count == 0)
        result = config_bad(r, list, "ports", "is missing: at least one port is needed");
    for (unsigned i = 0; result == TG_OK && i < c->port_count; i++)
        result = config_read_port(r, config_setting_get_elem(list, i), &c->ports[i]);
    if (result == TG_OK)
        result = config_find_list(r, root, "routes", CONFIG_ROUTES, &list, &c->route_count);
    for (unsigned i = 0; result == TG_OK && i < c->route_count; i++)
        result =
            config_read_route(r, config_setting_get_elem(list, i), &c->routes[i], c->port_count);
    return result;
}

static enum tg_err config_read_listen(const struct reader *r, const config_setting_t *group,
                                      const char *name, uint16_t ports[], unsigned *count)
{
    const config_setting_t *list;
    enum tg_err result = config_find_list(r, group, name, CONFIG_LISTEN, &list, count);
    for (unsigned i = 0; result == TG_OK && i < *count; i++) {
        const config_setting_t *at = config_setting_get_elem(list, i);
        long long port = config_setting_get_int64(at);
        if (config_setting_type(at) != CONFIG_TYPE_INT || port < 1 || port > 65535)
            result = config_bad(r, at, name, "must hold port numbers 1..65535");
        else
            ports[i] = (uint16_t)port;
    }
    return result;
}

static enum tg_err config_read_listens(const struct reader *r, const config_setting_t *root,
                                       struct config *c)
{
    static const char *const others[] = {"http", "https", NULL};
    const config_setting_t *group;
    enum tg_err result = config_find_group(r, root, "listen", &group);
    if (result != TG_OK || !group)
        return result;
    result = config_read_group(r, group, NULL, 0, others);
    if (result == TG_OK)
        result = config_read_listen(r, group, "http", c->http_ports, &c->http_port_count);
    if (result == TG_OK)
        result = config_read_listen(r, group, "https", c->https_ports, &c->https_port_count);
    return result;
}

static enum tg_err config_read_cpus_and_args(const struct reader *r, const config_setting_t *root,
                                             struct config *c)
{
    const config_setting_t *list;
    enum tg_err result = config_find_list(r, root, "cpus", TG_WORKERS_MAX, &list, &c->cpu_count);
    for (unsigned i = 0; result == TG_OK && i < c->cpu_count; i++) {
        const config_setting_t *at = config_setting_get_elem(list, i);
        c->cpus[i] = config_setting_get_int(at);
        if (config_setting_type(at) != CONFIG_TYPE_INT || c->cpus[i] < 0 || c->cpus[i] > 1023)
            result = config_bad(r, at, "cpus", "must hold processor numbers 0..1023");
    }
    if (result == TG_OK)
        result = config_find_list(r, root, "eal_args", CONFIG_EAL_ARGS, &list, &c->eal_arg_count);
    for (unsigned i = 0; result == TG_OK && i < c->eal_arg_count; i++) {
        const char *text = config_setting_get_string_elem(list, (int)i);
        if (!text || strlen(text) >= CONFIG_TEXT)
            result = config_bad(r, list, "eal_args", "must hold strings");
        else
            memcpy(c->eal_args[i], text, strlen(text) + 1);
    }
    return result;
}

static enum tg_err config_read_scalars(const struct reader *r, const config_setting_t *root,
                                       struct config *c)
{
    static const char *const others[] = {"node",   "cpus",   "eal_args", "ports",   "routes",
                                         "listen", "limits", "timeouts", "control", NULL};
    const long long text = CONFIG_TEXT - 1;
    const struct key top[] = {
        {"region", KEY_TEXT, 1, text, c->region},
        {"arena_mb", KEY_UNSIGNED, 8, 4096, &c->arena_mb},
        {"user", KEY_TEXT, 0, text, c->user},
        {"group", KEY_TEXT, 0, text, c->group},
        {"workers", KEY_UNSIGNED, 1, TG_WORKERS_MAX, &c->workers},
        {"hugepages", KEY_BOOL, 0, 0, &c->hugepages},
        {"buffers", KEY_UNSIGNED, 1024, 1048576, &c->buffers},
        {"idle_sleep", KEY_BOOL, 0, 0, &c->idle_sleep},
        {"tso", KEY_BOOL, 0, 0, &c->tso},
    };
    const struct key node[] = {
        {"name", KEY_TEXT, 1, sizeof c->node_name - 1, c->node_name},
        {"slot", KEY_UNSIGNED, 0, 4094, &c->node_slot},
        {"site", KEY_UNSIGNED, 0, 255, &c->node_site},
        {"secrets", KEY_TEXT, 0, text, c->secrets},
        {"exception", KEY_TEXT, 0, sizeof c->exception - 1, c->exception}, /* IFNAMSIZ */
    };
    const struct key limits[] = {
        {"connections", KEY_UNSIGNED, 64, 16777215, &c->connections},
        {"requests", KEY_UNSIGNED, 16, 1048576, &c->requests},
        {"receive_window", KEY_UNSIGNED, 16384, 16777216, &c->receive_window},
        {"send_buffer", KEY_UNSIGNED, 16384, 16777216, &c->send_buffer},
        {"early_data", KEY_UNSIGNED, 0, 65536, &c->early_data},
    };
    const struct key timeouts[] = {
        {"head_ms", KEY_UNSIGNED, 10, 3600000, &c->head_ms},
        {"body_ms", KEY_UNSIGNED, 10, 3600000, &c->body_ms},
        {"keepalive_ms", KEY_UNSIGNED, 10, 3600000, &c->keepalive_ms},
        {"handshake_ms", KEY_UNSIGNED, 10, 3600000, &c->handshake_ms},
    };
    enum tg_err result = config_read_group(r, root, top, TG_ARRAY_LEN(top), others);
    if (result == TG_OK)
        result = config_read_subgroup(r, root, "node", node, TG_ARRAY_LEN(node));
    if (result == TG_OK)
        result = config_read_subgroup(r, root, "limits", limits, TG_ARRAY_LEN(limits));
    if (result == TG_OK)
        result = config_read_subgroup(r, root, "timeouts", timeouts, TG_ARRAY_LEN(timeouts));
    return result;
}

/* An endpoint becomes the front of URLs: scheme and authority only, and no password, because status shows it. */
static bool config_endpoint_valid(const char *text)
{
    const char *host = strncmp(text, "http://", 7) == 0    ? text + 7
                       : strncmp(text, "https://", 8) == 0 ? text + 8
                                                           : "";
    return *host && !strpbrk(host, "/?#@ \t\r\n\\");
}

static enum tg_err config_read_etcd(const struct reader *r, const config_setting_t *group,
                                    struct config *c)
{
    const config_setting_t *list;
    enum tg_err result = config_find_list(r, group, "etcd", CONFIG_ETCD, &list, &c->etcd_count);
    for (unsigned i = 0; result == TG_OK && i < c->etcd_count; i++) {
        const char *text = config_setting_get_string_elem(list, (int)i);
        if (!text || strlen(text) >= CONFIG_TEXT || !config_endpoint_valid(text))
            result =
                config_bad(r, list, "etcd", "must hold strings such as \"http://192.0.2.5:2379\"");
        else
            memcpy(c->etcd[i], text, strlen(text) + 1);
    }
    return result;
}

/* The fleet's name is a part of its keys in the store (ctrlplane/fleet_keys.h). */
static enum tg_err config_check_fleet(const struct reader *r, const config_setting_t *group,
                                      const struct config *c)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    if (c->fleet[strspn(c->fleet, allowed)])
        return config_bad(r, group, "fleet", "may hold letters, digits, '-' and '_' only");
    if (c->etcd_count && !c->fleet[0])
        return config_bad(r, group, "fleet", "is missing: etcd is where a fleet's resources are");
    if (c->fleet[0] && !c->etcd_count)
        return config_bad(r, group, "etcd", "is missing: a fleet needs at least one endpoint");
    return TG_OK;
}

static enum tg_err config_read_control(const struct reader *r, const config_setting_t *root,
                                       struct config *c)
{
    static const char *const others[] = {"etcd", NULL};
    const long long text = CONFIG_TEXT - 1;
    const struct key keys[] = {
        {"socket", KEY_TEXT, 1, 107, c->socket}, /* sockaddr_un */
        {"state", KEY_TEXT, 1, text, c->state},
        {"audit", KEY_TEXT, 1, text, c->audit},
        {"apply_timeout_ms", KEY_UNSIGNED, 10, 60000, &c->apply_timeout_ms},
        {"fleet", KEY_TEXT, 0, sizeof c->fleet - 1, c->fleet},
    };
    const config_setting_t *group;
    enum tg_err result = config_find_group(r, root, "control", &group);
    if (result != TG_OK || !group)
        return result;
    result = config_read_group(r, group, keys, TG_ARRAY_LEN(keys), others);
    if (result == TG_OK)
        result = config_read_etcd(r, group, c);
    return result == TG_OK ? config_check_fleet(r, group, c) : result;
}

static void config_defaults(struct config *c)
{
    *c = (struct config){
        .node_name = "tidegate",
        .region = "/run/tidegate/region",
        .arena_mb = 64,
        .workers = 2,
        .hugepages = true,
        .idle_sleep = true,
        .tso = true,
        .buffers = 16384,
        .connections = 16384,
        .requests = 4096,
        .receive_window = 262144,
        .send_buffer = 262144,
        .early_data = 16384,
        .head_ms = 10000,
        .body_ms = 60000,
        .keepalive_ms = 75000,
        .handshake_ms = 10000,
        .socket = "/run/tidegate/ctl.sock",
        .apply_timeout_ms = 2000,
        .state = "/var/lib/tidegate",
        .audit = "/var/log/tidegate/audit.jsonl",
    };
}

/* The node's name goes into Via as a pseudonym (RFC 9110 s7.6.3): token characters only. */
static enum tg_err config_check_name(const struct reader *r, const struct config *c)
{
    for (const char *p = c->node_name; *p; p++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-", *p))
            return config_bad(r, NULL, "node.name", "may hold letters, digits and '-' only");
    return TG_OK;
}

enum tg_err config_load(const char *path, struct config *c, char problem[512])
{
    const struct reader r = {path, problem};
    config_t file;
    config_defaults(c);
    config_init(&file);
    if (config_read_file(&file, path) != CONFIG_TRUE) {
        if (config_error_type(&file) == CONFIG_ERR_FILE_IO)
            snprintf(problem, 512, "%s: cannot be read", path);
        else
            snprintf(problem, 512, "%s:%d: %s", path, config_error_line(&file),
                     config_error_text(&file));
        config_destroy(&file);
        return TG_BAD_CONFIG;
    }
    const config_setting_t *root = config_root_setting(&file);
    enum tg_err result = config_read_scalars(&r, root, c);
    if (result == TG_OK)
        result = config_read_control(&r, root, c);
    if (result == TG_OK)
        result = config_read_cpus_and_args(&r, root, c);
    if (result == TG_OK)
        result = config_read_ports_and_routes(&r, root, c);
    if (result == TG_OK)
        result = config_read_listens(&r, root, c);
    if (result == TG_OK)
        result = config_check_name(&r, c);
    config_destroy(&file);
    return result;
}
