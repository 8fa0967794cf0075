/* SPDX-License-Identifier: BSD-3-Clause
 * tgctl rule add, del, list; tgctl waf load, list, clear.
 */
#include "ctrlplane/cli/commands.h"

enum exit_code command_rule_add(const struct client *client, int argc, char **argv)
{
    struct arg args[] = {{.name = "--id"},
                         {.name = "--src"},
                         {.name = "--dst"},
                         {.name = "--proto"},
                         {.name = "--sport"},
                         {.name = "--dport"},
                         {0}};
    if (!args_read(argc, argv, args, NULL, 0, 0))
        return TGCTL_USAGE;
    json_t *body = json_object();
    command_set_string(body, "source", args_value(args, "--src"));
    command_set_string(body, "destination", args_value(args, "--dst"));
    command_set_string(body, "protocol", args_value(args, "--proto"));
    command_set_number_or_string(body, "source_port", args_value(args, "--sport"));
    command_set_number_or_string(body, "destination_port", args_value(args, "--dport"));
    return command_put(client, "rule", "/v1/rules", args_value(args, "--id"), body);
}

enum exit_code command_rule_del(const struct client *client, int argc, char **argv)
{
    return command_del(client, argc, argv, "/v1/rules");
}

enum exit_code command_rule_list(const struct client *client, int argc, char **argv)
{
    static const struct column columns[] = {
        {"ID", "id", NULL},
        {"SOURCE", "source", "any"},
        {"SPORT", "source_port", "any"},
        {"DESTINATION", "destination", "any"},
        {"DPORT", "destination_port", "any"},
        {"PROTOCOL", "protocol", "any"},
        {"HITS", "hits", "0"},
        {0},
    };
    return command_list(client, argc, argv, "/v1/rules", columns);
}

static enum exit_code program_put(const struct client *client, const char *method, json_t *body)
{
    json_t *answer;
    enum exit_code code = client_call(client, method, "/v1/waf/rules", body, &answer);
    if (code != TGCTL_OK)
        return code;
    if (!command_print_json(client, answer))
        printf("%zu WAF rules are in force on every worker\n", json_array_size(answer));
    json_decref(answer);
    return TGCTL_OK;
}

enum exit_code command_waf_load(const struct client *client, int argc, char **argv)
{
    struct arg none[] = {{0}};
    const char *path;
    if (!args_read(argc, argv, none, &path, 1, 1))
        return TGCTL_USAGE;
    json_t *body = command_file_json(path);
    return body ? program_put(client, "PUT", body) : TGCTL_USAGE;
}

enum exit_code command_waf_clear(const struct client *client, int argc, char **argv)
{
    struct arg none[] = {{0}};
    if (!args_read(argc, argv, none, NULL, 0, 0))
        return TGCTL_USAGE;
    return program_put(client, "DELETE", NULL);
}

enum exit_code command_waf_list(const struct client *client, int argc, char **argv)
{
    static const struct column columns[] = {
        {"ID", "id", NULL},
        {"ACTION", "action", NULL},
        {"TARGETS", "targets", NULL},
        {"MESSAGE", "message", NULL},
        {0},
    };
    return command_list(client, argc, argv, "/v1/waf/rules", columns);
}
