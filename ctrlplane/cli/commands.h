/* SPDX-License-Identifier: BSD-3-Clause
 * The commands of tgctl, each in the file of its resource. argc and argv hold what follows the
 * command's words.
 */
#ifndef CTRLPLANE_CLI_COMMANDS_H
#define CTRLPLANE_CLI_COMMANDS_H

#include "ctrlplane/cli/args.h"
#include "ctrlplane/cli/client.h"
#include "ctrlplane/cli/table.h"

typedef enum exit_code command_run(const struct client *client, int argc, char **argv);

command_run command_status, command_stats, command_workers, command_audit, command_explain;
command_run command_rule_add, command_rule_del, command_rule_list;
command_run command_waf_load, command_waf_list, command_waf_clear;
command_run command_site_add, command_site_del, command_site_list;
command_run command_origin_add, command_origin_del, command_origin_list;
command_run command_origin_addresses, command_origin_audit;
command_run command_cert_add, command_cert_del, command_cert_list;
command_run command_keyserver_add, command_keyserver_del, command_keyserver_list;
command_run command_node_add, command_node_del, command_node_list;
command_run command_fleet_forward, command_fleet_status, command_fleet_keygen;

/* The whole program; argv as main gets it. Returns an enum exit_code. */
int tgctl_main(int argc, char **argv);

/* Print the answer as JSON when the user asked for it; true then. Frees nothing. */
bool command_print_json(const struct client *client, const json_t *answer);

/* GET `path` and print its array as a table. */
enum exit_code command_list(const struct client *client, int argc, char **argv, const char *path,
                            const struct column columns[]);
/* DELETE path/NAME, NAME from the command line. */
enum exit_code command_del(const struct client *client, int argc, char **argv, const char *path);
/* PUT `body` (taken over) to path/name, or POST it to path when name is NULL. `what`: "rule",
 * for the message. */
enum exit_code command_put(const struct client *client, const char *what, const char *path,
                           const char *name, json_t *body);

/* A whole file as a JSON string, or parsed as JSON; NULL after a message. */
json_t *command_file_text(const char *path);
json_t *command_file_json(const char *path);

/* body[member] = the file's text; NULL path: nothing. False after a message. */
bool command_set_file(json_t *body, const char *member, const char *path);
/* body[member] = text as it stands, a number when it is one, or a list split at commas. NULL
 * text: nothing. */
void command_set_string(json_t *body, const char *member, const char *text);
void command_set_number_or_string(json_t *body, const char *member, const char *text);
void command_set_list(json_t *body, const char *member, const char *text);

#endif
