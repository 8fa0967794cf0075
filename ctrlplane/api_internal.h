/* SPDX-License-Identifier: BSD-3-Clause
 * What the router hands to the handlers of one resource each (api_*.c), and what they share.
 */
#ifndef CTRLPLANE_API_INTERNAL_H
#define CTRLPLANE_API_INTERNAL_H

#include "contract/tables.h"
#include "ctrlplane/api.h"
#include "ctrlplane/json_fields.h"

/* One request on its way through a handler. A handler fills in `response` or `problem`. */
struct call {
    struct control *control;
    const struct api_request *request;
    const char *key; /* last segment of the path where the route has one, else NULL */
    const struct collection *collection; /* the route's, or NULL */
    struct api_response *response;
    struct problem problem;
};

/* Handlers, by path. */
void status_get(struct call *call);
void stats_get(struct call *call);
void workers_get(struct call *call);
void audit_get(struct call *call);
void explain_get(struct call *call);
void rules_list(struct call *call);
void rules_post(struct call *call);
void rule_get(struct call *call);
void rule_put(struct call *call);
void rule_delete(struct call *call);
void waf_list(struct call *call);
void waf_put(struct call *call);
void waf_delete(struct call *call);
void waf_rule_get(struct call *call);
void waf_rule_put(struct call *call);
void waf_rule_delete(struct call *call);
void origin_delete(struct call *call);
void certificate_put(struct call *call);
void keyserver_delete(struct call *call);
void fleet_get(struct call *call);
void fleet_put(struct call *call);

/* This node's place in its fleet, for /v1/status. New reference. */
json_t *fleet_place_json(struct control *control);

/* The body as JSON: a new reference, or NULL with a 400 problem that says line and column. */
json_t *call_body(struct call *call);

/* A query parameter, or NULL. */
const char *call_query(const struct call *call, const char *name);
/* All parameters must be in known[] (NULL-terminated); else a 400 problem. */
bool call_query_check(struct call *call, const char *const known[]);
/* A number low..high from a parameter; `absent` without it; else a 400 problem and `absent`. */
uint64_t call_query_number(struct call *call, const char *name, uint64_t absent, uint64_t low,
                           uint64_t high);
/* "", "1", "true" -> true; "0", "false" -> false; absent: false. */
bool call_query_bool(struct call *call, const char *name);
/* A 400 problem of a parameter. */
void call_query_fault(struct call *call, const char *name, const char *what);

/* Answer with `body` (the reference is taken over). */
void call_answer(struct call *call, unsigned status, json_t *body);
/* 404: there is no `what` of this key. */
void call_not_found(struct call *call, const char *what);

/* Make a change (change_apply) and answer: `body` when it is in force, else the problem. Takes
 * over both references. */
void call_change(struct call *call, enum tables_kind kind, json_t *candidate, unsigned status,
                 json_t *body);

/* The same for collections of named resources. */
struct collection {
    const char *name;      /* in the model: "sites" */
    const char *what;      /* in messages: "site" */
    const char *path;      /* "/v1/sites" */
    enum tables_kind kind; /* tables that they are compiled into */
    unsigned max;          /* how many there may be */
    json_t *(*read)(const json_t *in, const char *pointer, struct problem *problem);
    /* Checks with other resources of the candidate; may be NULL. */
    bool (*check)(const json_t *candidate, const char *key, struct problem *problem);
    /* Checks with this node's own configuration; may be NULL. Fills in the call's problem. */
    bool (*check_here)(struct call *call, const json_t *candidate);
    const char *secret; /* member that goes in and is never shown, or NULL */
};
extern const struct collection sites_collection, origins_collection, certificates_collection,
    keyservers_collection, nodes_collection;

/* Handlers of any of them: call->collection's. */
void collection_list(struct call *call);
void collection_get(struct call *call);
void collection_put(struct call *call);
void collection_delete(struct call *call);

#endif
