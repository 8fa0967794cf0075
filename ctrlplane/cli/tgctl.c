/* SPDX-License-Identifier: BSD-3-Clause
 * tgctl: the command line over the JSON API of tidegate-ctl. Finds the command, reads the common
 * options; the commands are in the files beside. Exit codes: enum exit_code in client.h. Called by
 * main.c and tests.
 */
#include "ctrlplane/cli/commands.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#define SOCKET_DEFAULT "/run/tidegate/ctl.sock"

static const struct command_entry {
    const char *words[2]; /* "rule", "add"; one word: the second is NULL */
    command_run *run;
    const char *usage;
} commands[] = {
    {{"status"}, command_status, ""},
    {{"stats"}, command_stats, "[-a] [-w WORKER]"},
    {{"workers"}, command_workers, ""},
    {{"rule", "add"},
     command_rule_add,
     "[--id N] [--src PREFIX] [--dst PREFIX] [--proto tcp|udp|icmp|any|N] [--sport PORTS] "
     "[--dport PORTS]"},
    {{"rule", "del"}, command_rule_del, "ID"},
    {{"rule", "list"}, command_rule_list, ""},
    {{"waf", "load"}, command_waf_load, "FILE.json"},
    {{"waf", "list"}, command_waf_list, ""},
    {{"waf", "clear"}, command_waf_clear, ""},
    {{"site", "add"},
     command_site_add,
     "NAME [--host HOST[,HOST]] --origin NAME [--waf] [--default]"},
    {{"site", "del"}, command_site_del, "NAME"},
    {{"site", "list"}, command_site_list, ""},
    {{"origin", "add"},
     command_origin_add,
     "NAME --address IP --port PORT [--connections N] [--connect-timeout MS] "
     "[--response-timeout MS] [--idle-timeout MS] [--tls (--server-name HOST --ca FILE.pem | "
     "--no-verify) "
     "[--chain FILE.pem --key FILE.pem]]"},
    {{"origin", "del"}, command_origin_del, "NAME"},
    {{"origin", "list"}, command_origin_list, ""},
    {{"origin", "addresses"},
     command_origin_addresses,
     "NAME | --port PORT[,PORT] [--from IP[,IP]] [--format nftables|xdp|plain]"},
    {{"origin", "audit"},
     command_origin_audit,
     "[NAME | --address IP --port PORT [--tls] [--server-name HOST]] [--timeout MS]"},
    {{"cert", "add"},
     command_cert_add,
     "NAME [--names HOST[,HOST]] --chain FILE.pem (--key FILE.pem | --keyserver NAME) [--default]"},
    {{"cert", "del"}, command_cert_del, "NAME"},
    {{"cert", "list"}, command_cert_list, ""},
    {{"keyserver", "add"},
     command_keyserver_add,
     "NAME --address IP[:PORT][,IP[:PORT]] --server-name HOST --ca FILE.pem --chain FILE.pem "
     "--key FILE.pem"},
    {{"keyserver", "del"}, command_keyserver_del, "NAME"},
    {{"keyserver", "list"}, command_keyserver_list, ""},
    {{"node", "add"}, command_node_add, "NAME --slot N --site N [--address4 IP] [--address6 IP]"},
    {{"node", "del"}, command_node_del, "NAME"},
    {{"node", "list"}, command_node_list, ""},
    {{"fleet", "forward"}, command_fleet_forward, "on|off"},
    {{"fleet", "status"}, command_fleet_status, ""},
    {{"fleet", "keygen"}, command_fleet_keygen, "[--out FILE]"},
    {{"audit"}, command_audit, "[-n COUNT]"},
    {{"explain"},
     command_explain,
     "[--src IP] [--dst IP] [--proto P] [--sport PORT] [--dport PORT] [--host HOST]"},
};

#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static void usage_print(FILE *out)
{
    fprintf(out, "usage: tgctl [-s SOCKET] [-o json] COMMAND\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const struct command_entry *c = &commands[i];
        fprintf(out, "  %s%s%s%s%s\n", c->words[0], c->words[1] ? " " : "",
                c->words[1] ? c->words[1] : "", *c->usage ? " " : "", c->usage);
    }
    fprintf(out, "\nThe socket is -s, else TIDEGATE_SOCKET, else " SOCKET_DEFAULT ".\n"
                 "Exit codes: 0 done, 1 refused by tidegate-ctl, 2 wrong usage, 3 no connection, "
                 "4 an origin is open.\n");
}

/* Take -s and -o out of argv wherever they stand; the rest moves together. -1: wrong. */
static int common_options(int argc, char **argv, struct client *client)
{
    int n = 0;
    for (int i = 0; i < argc; i++) {
        bool is_socket = strcmp(argv[i], "-s") == 0, is_output = strcmp(argv[i], "-o") == 0;
        if (!is_socket && !is_output) {
            argv[n++] = argv[i];
            continue;
        }
        if (i + 1 >= argc) {
            fprintf(stderr, "tgctl: %s needs a value\n", argv[i]);
            return -1;
        }
        const char *value = argv[++i];
        if (is_output && strcmp(value, "json") != 0 && strcmp(value, "table") != 0) {
            fprintf(stderr, "tgctl: -o must be json or table\n");
            return -1;
        }
        if (is_socket)
            client->socket = value;
        else
            client->json = strcmp(value, "json") == 0;
    }
    return n;
}

static const struct command_entry *command_find(int argc, char **argv)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const struct command_entry *c = &commands[i];
        int words = c->words[1] ? 2 : 1;
        if (argc >= words && strcmp(argv[0], c->words[0]) == 0 &&
            (words == 1 || strcmp(argv[1], c->words[1]) == 0))
            return c;
    }
    return NULL;
}

int tgctl_main(int argc, char **argv)
{
    const char *from_environment = getenv("TIDEGATE_SOCKET");
    struct client client = {.socket = from_environment ? from_environment : SOCKET_DEFAULT};
    int n = common_options(argc - 1, argv + 1, &client);
    if (n < 0)
        return TGCTL_USAGE;
    char **words = argv + 1;
    if (n == 1 && (strcmp(words[0], "--help") == 0 || strcmp(words[0], "help") == 0)) {
        usage_print(stdout);
        return TGCTL_OK;
    }
    const struct command_entry *command = command_find(n, words);
    if (!command) {
        usage_print(stderr);
        return TGCTL_USAGE;
    }
    int used = command->words[1] ? 2 : 1;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    enum exit_code code = command->run(&client, n - used, words + used);
    if (code == TGCTL_USAGE)
        fprintf(stderr, "usage: tgctl %s%s%s %s\n", command->words[0], used == 2 ? " " : "",
                used == 2 ? command->words[1] : "", command->usage);
    curl_global_cleanup();
    return code;
}
