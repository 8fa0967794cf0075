/* SPDX-License-Identifier: BSD-3-Clause
 * tgctl status, stats, workers, audit, explain.
 */
#include "ctrlplane/cli/commands.h"

#include <stdint.h>
#include <string.h>

#define PATH_BYTES 4096

static const char *text(const json_t *object, const char *member, char out[256])
{
    return table_cell(json_object_get(object, member), "-", out, 256);
}

static void generations_print(const json_t *generations)
{
    const char *kind;
    json_t *g;
    char current[256], applied[256];
    json_object_foreach((json_t *)(uintptr_t)generations, kind, g)
    {
        printf("  %-13s generation %-6s applied %s%s\n", kind, text(g, "current", current),
               text(g, "applied", applied),
               json_is_true(json_object_get(g, "pending")) ? "  NOT YET PUBLISHED" : "");
    }
}

static void status_print(const json_t *s)
{
    char a[256], b[256];
    const json_t *node = json_object_get(s, "node"), *region = json_object_get(s, "region");
    const char *kind;
    json_t *count;
    printf("tidegate-ctl %s, node %s", text(s, "version", a), text(node, "name", b));
    printf(" (slot %s), up %s s\n", text(node, "slot", a), text(s, "uptime_s", b));
    printf("data plane    %s, %s workers\n", text(s, "data_plane", a), text(s, "workers_alive", b));
    printf("region        %s%s%s\n", text(region, "path", a),
           json_object_get(region, "problem") ? ": " : "",
           json_object_get(region, "problem") ? text(region, "problem", b) : "");
    generations_print(json_object_get(s, "generations"));
    printf("resources    ");
    json_object_foreach(json_object_get(s, "resources"), kind, count)
    {
        printf(" %s %s ", table_cell(count, "-", a, sizeof a), kind);
    }
    printf("\n");
}

enum exit_code command_status(const struct client *client, int argc, char **argv)
{
    struct arg none[] = {{0}};
    json_t *answer;
    if (!args_read(argc, argv, none, NULL, 0, 0))
        return TGCTL_USAGE;
    enum exit_code code = client_call(client, "GET", "/v1/status", NULL, &answer);
    if (code != TGCTL_OK)
        return code;
    if (!command_print_json(client, answer))
        status_print(answer);
    json_decref(answer);
    return TGCTL_OK;
}

enum exit_code command_stats(const struct client *client, int argc, char **argv)
{
    struct arg args[] = {{.name = "-a", .is_flag = true}, {.name = "-w"}, {0}};
    char path[PATH_BYTES] = "/v1/stats";
    json_t *answer, *value;
    const char *name;
    if (!args_read(argc, argv, args, NULL, 0, 0) ||
        !client_query_add(path, sizeof path, "nonzero", args_value(args, "-a") ? NULL : "true") ||
        !client_query_add(path, sizeof path, "worker", args_value(args, "-w")))
        return TGCTL_USAGE;
    enum exit_code code = client_call(client, "GET", path, NULL, &answer);
    if (code != TGCTL_OK)
        return code;
    if (!command_print_json(client, answer)) {
        json_object_foreach(json_object_get(answer, "counters"), name, value)
        {
            printf("%-28s %lld\n", name, (long long)json_integer_value(value));
        }
    }
    json_decref(answer);
    return TGCTL_OK;
}

enum exit_code command_workers(const struct client *client, int argc, char **argv)
{
    static const struct column columns[] = {
        {"WORKER", "worker", NULL},
        {"CPU", "cpu", NULL},
        {"ALIVE", "alive", NULL},
        {"HEARTBEAT MS", "heartbeat_age_ms", NULL},
        {"BUSY", "busy_share", NULL},
        {"CONNECTIONS", "connections", NULL},
        {"ACTIVE", "requests_active", NULL},
        {"REQUESTS", "requests", NULL},
        {"PRESSURE", "pressure", NULL},
        {0},
    };
    return command_list(client, argc, argv, "/v1/workers", columns);
}

enum exit_code command_audit(const struct client *client, int argc, char **argv)
{
    static const struct column columns[] = {
        {"TIME", "time", NULL},     {"REQUEST", "request_id", NULL}, {"CLIENT", "client", NULL},
        {"STATUS", "status", NULL}, {"RULE", "rule_id", NULL},       {"BLOCKED", "blocked", NULL},
        {"WHERE", "where", NULL},   {"HOST", "host", NULL},          {"METHOD", "method", NULL},
        {"TARGET", "target", NULL}, {"MESSAGE", "message", NULL},    {0},
    };
    struct arg args[] = {{.name = "-n"}, {0}};
    char path[PATH_BYTES] = "/v1/audit";
    if (!args_read(argc, argv, args, NULL, 0, 0) ||
        !client_query_add(path, sizeof path, "limit", args_value(args, "-n")))
        return TGCTL_USAGE;
    return command_list(client, 0, NULL, path, columns);
}

static void explain_print(const json_t *e)
{
    char a[256], b[256];
    const json_t *origin = json_object_get(e, "origin");
    if (json_object_get(e, "action")) {
        bool drop = strcmp(text(e, "action", a), "drop") == 0;
        printf("packet  %s%s\n", drop ? "dropped by rule " : "passes: no drop rule matches",
               drop ? text(e, "rule", b) : "");
    }
    if (!json_object_get(e, "host"))
        return;
    if (json_is_null(json_object_get(e, "site"))) {
        printf("host    %s: no site answers\n", text(e, "host", a));
        return;
    }
    printf("site    %s (as \"%s\")", text(e, "site", a), text(e, "matched_host", b));
    printf(", WAF %s\n", json_is_true(json_object_get(e, "waf")) ? "on" : "off");
    printf("origin  %s at %s", text(origin, "name", a), text(origin, "address", b));
    printf(" port %s\n", text(origin, "port", a));
}

enum exit_code command_explain(const struct client *client, int argc, char **argv)
{
    struct arg args[] = {{.name = "--src"},
                         {.name = "--dst"},
                         {.name = "--proto"},
                         {.name = "--sport"},
                         {.name = "--dport"},
                         {.name = "--host"},
                         {0}};
    char path[PATH_BYTES] = "/v1/explain";
    json_t *answer;
    if (!args_read(argc, argv, args, NULL, 0, 0) ||
        !client_query_add(path, sizeof path, "source", args_value(args, "--src")) ||
        !client_query_add(path, sizeof path, "destination", args_value(args, "--dst")) ||
        !client_query_add(path, sizeof path, "protocol", args_value(args, "--proto")) ||
        !client_query_add(path, sizeof path, "source_port", args_value(args, "--sport")) ||
        !client_query_add(path, sizeof path, "destination_port", args_value(args, "--dport")) ||
        !client_query_add(path, sizeof path, "host", args_value(args, "--host")))
        return TGCTL_USAGE;
    enum exit_code code = client_call(client, "GET", path, NULL, &answer);
    if (code != TGCTL_OK)
        return code;
    if (!command_print_json(client, answer))
        explain_print(answer);
    json_decref(answer);
    return TGCTL_OK;
}
