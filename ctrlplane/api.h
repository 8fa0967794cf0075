/* SPDX-License-Identifier: BSD-3-Clause
 * The JSON API without a server: a request in, an answer out. server.c puts HTTP around it; tests
 * call it directly. docs/OPERATIONS.md describes every path.
 */
#ifndef CTRLPLANE_API_H
#define CTRLPLANE_API_H

#include "ctrlplane/control.h"

#define API_QUERY_MAX 16

struct api_request {
    const char *method;
    const char *path; /* decoded, without query */
    struct {
        const char *name, *value; /* decoded; value "" when there is none */
    } query[API_QUERY_MAX];
    unsigned query_count; /* more than API_QUERY_MAX: refused */
    struct span body;
};

struct api_response {
    unsigned status;        /* 200, 201 or the problem's */
    json_t *body;           /* owned by the caller of api_handle */
    const char *allow;      /* 405: methods that exist; static storage, else NULL */
    char location[160];     /* 201: path of the new resource, else "" */
    uint64_t generation;    /* of the tables that a change came into force as; 0: none */
    int64_t fleet_revision; /* of the fleet store that has the change; 0: none */
};

/* Answer one request. Never fails: faults are problem documents (status >= 400). Blocks while a
 * change comes into force. */
void api_handle(struct control *control, const struct api_request *request,
                struct api_response *response);

#endif
