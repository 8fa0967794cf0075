/* SPDX-License-Identifier: BSD-3-Clause
 * tgctl node: add, del, list; tgctl fleet: forward, status.
 */
#include "ctrlplane/cli/commands.h"

#include <stdio.h>
#include <string.h>

enum exit_code command_node_add(const struct client *client, int argc, char **argv)
{
    struct arg args[] = {{.name = "--slot", .required = true},
                         {.name = "--site", .required = true},
                         {.name = "--address4"},
                         {.name = "--address6"},
                         {0}};
    const char *name;
    if (!args_read(argc, argv, args, &name, 1, 1))
        return TGCTL_USAGE;
    json_t *body = json_object();
    command_set_number_or_string(body, "slot", args_value(args, "--slot"));
    command_set_number_or_string(body, "site", args_value(args, "--site"));
    command_set_string(body, "address4", args_value(args, "--address4"));
    command_set_string(body, "address6", args_value(args, "--address6"));
    return command_put(client, "node", "/v1/nodes", name, body);
}

enum exit_code command_node_del(const struct client *client, int argc, char **argv)
{
    return command_del(client, argc, argv, "/v1/nodes");
}

enum exit_code command_node_list(const struct client *client, int argc, char **argv)
{
    static const struct column columns[] = {
        {"NAME", "name", NULL},        {"SLOT", "slot", NULL},        {"SITE", "site", NULL},
        {"ADDRESS4", "address4", "-"}, {"ADDRESS6", "address6", "-"}, {0}};
    return command_list(client, argc, argv, "/v1/nodes", columns);
}

enum exit_code command_fleet_forward(const struct client *client, int argc, char **argv)
{
    struct arg none[] = {{0}};
    const char *word;
    json_t *answer;
    if (!args_read(argc, argv, none, &word, 1, 1))
        return TGCTL_USAGE;
    bool on = strcmp(word, "on") == 0;
    if (!on && strcmp(word, "off") != 0) {
        fprintf(stderr, "tgctl: forward must be on or off\n");
        return TGCTL_USAGE;
    }
    enum exit_code code =
        client_call(client, "PUT", "/v1/fleet", json_pack("{s:b}", "forward", on), &answer);
    if (code != TGCTL_OK)
        return code;
    if (!command_print_json(client, answer))
        printf("forwarding is %s on every worker\n", word);
    json_decref(answer);
    return TGCTL_OK;
}

/* --- fleet status ------------------------------------------------------------------------------- */

static const char *text(const json_t *object, const char *member, char out[256])
{
    return table_cell(json_object_get(object, member), "-", out, 256);
}

static bool is_true(const json_t *object, const char *member)
{
    return json_is_true(json_object_get(object, member));
}

static void place_print(const json_t *status)
{
    char a[256], b[256];
    const json_t *fleet = json_object_get(status, "fleet"), *node = json_object_get(status, "node");
    bool alone = !is_true(fleet, "member");
    printf("node        %s, slot %s, ", text(node, "name", a), text(node, "slot", b));
    printf("site %s: %s%s%s\n", text(node, "site", a), alone ? "alone" : "one of the fleet",
           json_object_get(fleet, "alone") ? ": " : "",
           json_object_get(fleet, "alone") ? text(fleet, "alone", b) : "");
    printf("nodes       %s\n", text(fleet, "nodes", a));
    printf("forwarding  %s\n", is_true(fleet, "forward") ? "on" : "off");
    printf("store       %s, %s, ", text(fleet, "store", a),
           is_true(fleet, "connected") ? "connected" : "NOT CONNECTED");
    printf("revision %s, in force %s, lag %s ms\n", text(fleet, "revision", a),
           text(fleet, "in_force", b), text(fleet, "lag_ms", (char[256]){0}));
    if (json_object_get(fleet, "problem"))
        printf("            %s\n", text(fleet, "problem", a));
}

/* What became of strangers' packets, refusals among them. */
static void strangers_print(const json_t *fleet)
{
    const char *name;
    json_t *value;
    json_object_foreach(json_object_get(fleet, "strangers"), name, value)
    {
        if (json_integer_value(value))
            printf("  %-26s %lld\n", name, (long long)json_integer_value(value));
    }
}

enum exit_code command_fleet_status(const struct client *client, int argc, char **argv)
{
    struct arg none[] = {{0}};
    json_t *status;
    if (!args_read(argc, argv, none, NULL, 0, 0))
        return TGCTL_USAGE;
    enum exit_code code = client_call(client, "GET", "/v1/status", NULL, &status);
    if (code != TGCTL_OK)
        return code;
    if (!command_print_json(client, json_object_get(status, "fleet"))) {
        place_print(status);
        strangers_print(json_object_get(status, "fleet"));
    }
    json_decref(status);
    return TGCTL_OK;
}
