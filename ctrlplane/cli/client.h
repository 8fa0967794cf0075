/* SPDX-License-Identifier: BSD-3-Clause
 * One request to tidegate-ctl over its unix socket, with libcurl. Called by the commands of tgctl;
 * knows nothing of what the paths mean.
 */
#ifndef CTRLPLANE_CLI_CLIENT_H
#define CTRLPLANE_CLI_CLIENT_H

#include <jansson.h>
#include <stdbool.h>

/* What tgctl exits with; docs/OPERATIONS.md lists them. */
enum exit_code {
    TGCTL_OK = 0,
    TGCTL_REFUSED = 1,
    TGCTL_USAGE = 2,
    TGCTL_NO_CONNECTION = 3,
    TGCTL_OPEN = 4
};

struct client {
    const char *socket; /* path */
    bool json;          /* -o json: print the API's answer instead of a table */
};

/* Send `method` `path` (with its query, already escaped) and `body` (the reference is taken
 * over; NULL: none). Returns TGCTL_OK with the answer in *answer (a new reference), or another
 * code after a message on stderr. */
enum exit_code client_call(const struct client *client, const char *method, const char *path,
                           json_t *body, json_t **answer);

/* Append "name=value", escaped, to a path's query ("?" or "&" in front); value NULL: nothing.
 * Longer than cap: false. */
bool client_query_add(char *path, unsigned cap, const char *name, const char *value);
/* Append one escaped path segment. */
bool client_segment_add(char *path, unsigned cap, const char *segment);

#endif
