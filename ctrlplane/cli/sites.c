/* SPDX-License-Identifier: BSD-3-Clause
 * tgctl site, cert and keyserver: add, del, list.
 */
#include "ctrlplane/cli/commands.h"

#include <stdio.h>

enum exit_code command_site_add(const struct client *client, int argc, char **argv)
{
    struct arg args[] = {{.name = "--host"},
                         {.name = "--origin", .required = true},
                         {.name = "--waf", .is_flag = true},
                         {.name = "--default", .is_flag = true},
                         {0}};
    const char *name;
    if (!args_read(argc, argv, args, &name, 1, 1))
        return TGCTL_USAGE;
    json_t *body = json_object();
    command_set_list(body, "hosts", args_value(args, "--host"));
    command_set_string(body, "origin", args_value(args, "--origin"));
    json_object_set_new(body, "waf", json_boolean(args_value(args, "--waf")));
    json_object_set_new(body, "default", json_boolean(args_value(args, "--default")));
    return command_put(client, "site", "/v1/sites", name, body);
}

enum exit_code command_site_del(const struct client *client, int argc, char **argv)
{
    return command_del(client, argc, argv, "/v1/sites");
}

enum exit_code command_site_list(const struct client *client, int argc, char **argv)
{
    static const struct column columns[] = {
        {"NAME", "name", NULL}, {"HOSTS", "hosts", "-"},      {"ORIGIN", "origin", NULL},
        {"WAF", "waf", NULL},   {"DEFAULT", "default", NULL}, {0},
    };
    return command_list(client, argc, argv, "/v1/sites", columns);
}

enum exit_code command_cert_add(const struct client *client, int argc, char **argv)
{
    struct arg args[] = {
        {.name = "--names"},     {.name = "--chain", .required = true},  {.name = "--key"},
        {.name = "--keyserver"}, {.name = "--default", .is_flag = true}, {0}};
    const char *name;
    if (!args_read(argc, argv, args, &name, 1, 1))
        return TGCTL_USAGE;
    if (!args_value(args, "--key") == !args_value(args, "--keyserver")) {
        fprintf(stderr, "tgctl: give either --key or --keyserver\n");
        return TGCTL_USAGE;
    }
    json_t *body = json_object();
    if (!command_set_file(body, "chain_pem", args_value(args, "--chain")) ||
        !command_set_file(body, "key_pem", args_value(args, "--key"))) {
        json_decref(body);
        return TGCTL_USAGE;
    }
    command_set_list(body, "names", args_value(args, "--names"));
    command_set_string(body, "keyserver", args_value(args, "--keyserver"));
    json_object_set_new(body, "default", json_boolean(args_value(args, "--default")));
    return command_put(client, "certificate", "/v1/certificates", name, body);
}

enum exit_code command_cert_del(const struct client *client, int argc, char **argv)
{
    return command_del(client, argc, argv, "/v1/certificates");
}

enum exit_code command_cert_list(const struct client *client, int argc, char **argv)
{
    static const struct column columns[] = {{"NAME", "name", NULL},
                                            {"NAMES", "names", "-"},
                                            {"DEFAULT", "default", NULL},
                                            {"KEY SERVER", "keyserver", "-"},
                                            {0}};
    return command_list(client, argc, argv, "/v1/certificates", columns);
}

enum exit_code command_keyserver_add(const struct client *client, int argc, char **argv)
{
    struct arg args[] = {
        {.name = "--address", .required = true}, {.name = "--server-name", .required = true},
        {.name = "--ca", .required = true},      {.name = "--chain", .required = true},
        {.name = "--key", .required = true},     {0}};
    const char *name;
    if (!args_read(argc, argv, args, &name, 1, 1))
        return TGCTL_USAGE;
    json_t *body = json_object();
    if (!command_set_file(body, "ca_pem", args_value(args, "--ca")) ||
        !command_set_file(body, "chain_pem", args_value(args, "--chain")) ||
        !command_set_file(body, "key_pem", args_value(args, "--key"))) {
        json_decref(body);
        return TGCTL_USAGE;
    }
    command_set_list(body, "addresses", args_value(args, "--address"));
    command_set_string(body, "server_name", args_value(args, "--server-name"));
    return command_put(client, "key server", "/v1/keyservers", name, body);
}

enum exit_code command_keyserver_del(const struct client *client, int argc, char **argv)
{
    return command_del(client, argc, argv, "/v1/keyservers");
}

enum exit_code command_keyserver_list(const struct client *client, int argc, char **argv)
{
    static const struct column columns[] = {{"NAME", "name", NULL},
                                            {"ADDRESSES", "addresses", NULL},
                                            {"SERVER NAME", "server_name", NULL},
                                            {0}};
    return command_list(client, argc, argv, "/v1/keyservers", columns);
}
