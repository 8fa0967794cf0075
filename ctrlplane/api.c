/* SPDX-License-Identifier: BSD-3-Clause
 * The router: path and method to handler, and what all answers have in common. Called by server and
 * tests.
 */
#include "ctrlplane/api_internal.h"
#include "ctrlplane/change.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define API_ATTEMPTS 10 /* of one request, when other nodes are faster */

enum method { GET, PUT, POST, DELETE, METHODS };
static const char *const method_names[METHODS] = {"GET", "PUT", "POST", "DELETE"};

typedef void handler(struct call *call);

/* A path with one handler per method. A last segment "*" stands for a key. */
struct route {
    const char *path;
    const char *allow;
    handler *handlers[METHODS];
    const struct collection *collection; /* what collection_*() work on */
};

static const struct route routes[] = {
    {"/v1/status", "GET", {[GET] = status_get}, NULL},
    {"/v1/stats", "GET", {[GET] = stats_get}, NULL},
    {"/v1/workers", "GET", {[GET] = workers_get}, NULL},
    {"/v1/audit", "GET", {[GET] = audit_get}, NULL},
    {"/v1/explain", "GET", {[GET] = explain_get}, NULL},
    {"/v1/rules", "GET, POST", {[GET] = rules_list, [POST] = rules_post}, NULL},
    {"/v1/rules/*",
     "GET, PUT, DELETE",
     {[GET] = rule_get, [PUT] = rule_put, [DELETE] = rule_delete},
     NULL},
    {"/v1/waf/rules",
     "GET, PUT, DELETE",
     {[GET] = waf_list, [PUT] = waf_put, [DELETE] = waf_delete},
     NULL},
    {"/v1/waf/rules/*",
     "GET, PUT, DELETE",
     {[GET] = waf_rule_get, [PUT] = waf_rule_put, [DELETE] = waf_rule_delete},
     NULL},
    {"/v1/sites", "GET", {[GET] = collection_list}, &sites_collection},
    {"/v1/sites/*",
     "GET, PUT, DELETE",
     {[GET] = collection_get, [PUT] = collection_put, [DELETE] = collection_delete},
     &sites_collection},
    {"/v1/origins", "GET", {[GET] = collection_list}, &origins_collection},
    {"/v1/origins/*",
     "GET, PUT, DELETE",
     {[GET] = collection_get, [PUT] = collection_put, [DELETE] = origin_delete},
     &origins_collection},
    {"/v1/certificates", "GET", {[GET] = collection_list}, &certificates_collection},
    {"/v1/certificates/*",
     "GET, PUT, DELETE",
     {[GET] = collection_get, [PUT] = certificate_put, [DELETE] = collection_delete},
     &certificates_collection},
    {"/v1/keyservers", "GET", {[GET] = collection_list}, &keyservers_collection},
    {"/v1/keyservers/*",
     "GET, PUT, DELETE",
     {[GET] = collection_get, [PUT] = collection_put, [DELETE] = keyserver_delete},
     &keyservers_collection},
    {"/v1/nodes", "GET", {[GET] = collection_list}, &nodes_collection},
    {"/v1/nodes/*",
     "GET, PUT, DELETE",
     {[GET] = collection_get, [PUT] = collection_put, [DELETE] = collection_delete},
     &nodes_collection},
    {"/v1/fleet", "GET, PUT", {[GET] = fleet_get, [PUT] = fleet_put}, NULL},
};

/* Does the path fit the route? *key: the segment that the '*' stands for, or NULL. */
static bool route_match(const struct route *route, const char *path, const char **key)
{
    size_t len = strlen(route->path);
    *key = NULL;
    if (route->path[len - 1] != '*')
        return strcmp(route->path, path) == 0;
    if (strncmp(route->path, path, len - 1) != 0)
        return false;
    *key = path + len - 1;
    return **key && !strchr(*key, '/');
}

static const struct route *route_find(const char *path, const char **key)
{
    for (size_t i = 0; i < TG_ARRAY_LEN(routes); i++)
        if (route_match(&routes[i], path, key))
            return &routes[i];
    return NULL;
}

static handler *route_handler(const struct route *route, const char *method)
{
    for (unsigned m = 0; m < METHODS; m++)
        if (strcmp(method, method_names[m]) == 0)
            return route->handlers[m];
    return NULL;
}

static void call_dispatch(struct call *call)
{
    const struct api_request *r = call->request;
    const struct route *route = route_find(r->path, &call->key);
    if (!route) {
        problem_set(&call->problem, 404, "not-found", "", "there is no path %.200s", r->path);
        return;
    }
    handler *handle = route_handler(route, r->method);
    if (!handle) {
        call->response->allow = route->allow;
        problem_set(&call->problem, 405, "method", "", "%.32s is not possible here; possible: %s",
                    r->method, route->allow);
        return;
    }
    if (r->query_count > API_QUERY_MAX) {
        problem_set(&call->problem, 400, "query", "", "more than %u query parameters",
                    API_QUERY_MAX);
        return;
    }
    call->collection = route->collection;
    handle(call);
}

/* A write that another node's write came before, to resources that belong together: what was checked may not hold
 * any more, so the whole request is answered anew, from the model as it is then. Not so when both wanted the same
 * resource: its client decides, unless the resource was to be a new one anyway. */
static bool call_again(struct call *call, unsigned attempt)
{
    const struct fleet *fleet = &call->control->fleet;
    if (call->problem.status != 409 || strcmp(call->problem.slug, "fleet-conflict") != 0)
        return false;
    if (attempt >= API_ATTEMPTS || (fleet->conflict_own && !fleet->posting)) {
        fleet_prepare(call->control); /* a look at it shows what the other node wrote */
        return false;
    }
    problem_clear(&call->problem);
    json_decref(call->response->body);
    return true;
}

static void call_run(struct call *call)
{
    unsigned attempt = 0;
    bool changes = strcmp(call->request->method, "GET") != 0;
    call->control->fleet.posting = strcmp(call->request->method, "POST") == 0;
    do {
        *call->response = (struct api_response){0};
        if (changes)
            fleet_prepare(call->control);
        call_dispatch(call);
    } while (call_again(call, ++attempt));
}

void api_handle(struct control *control, const struct api_request *request,
                struct api_response *response)
{
    struct call call = {.control = control, .request = request, .response = response};
    call_run(&call);
    if (!call.problem.status &&
        !response->body) /* no memory, or a configured text that is not UTF-8 */
        problem_set(&call.problem, 500, "internal", "", "the answer could not be made");
    if (call.problem.status) {
        json_decref(response->body);
        response->status = call.problem.status;
        response->body = problem_json(&call.problem);
        problem_clear(&call.problem);
    }
    tg_assert(response->status && response->body);
}

/* --- shared by the handlers ------------------------------------------------------------ */

json_t *call_body(struct call *call)
{
    json_error_t error;
    struct span body = call->request->body;
    json_t *value = json_loadb(body.data ? (const char *)body.data : "", body.len,
                               JSON_REJECT_DUPLICATES, &error);
    if (value)
        return value;
    problem_set(&call->problem, 400, "json", "", "the body is not JSON: line %d, column %d: %s",
                error.line, error.column, error.text);
    problem_extra(&call->problem, "line", json_integer(error.line));
    problem_extra(&call->problem, "column", json_integer(error.column));
    return NULL;
}

const char *call_query(const struct call *call, const char *name)
{
    for (unsigned i = 0; i < call->request->query_count; i++)
        if (strcmp(call->request->query[i].name, name) == 0)
            return call->request->query[i].value;
    return NULL;
}

void call_query_fault(struct call *call, const char *name, const char *what)
{
    problem_set(&call->problem, 400, "query", "", "query parameter \"%.64s\" %s", name, what);
    problem_extra(&call->problem, "parameter", json_string(name));
}

bool call_query_check(struct call *call, const char *const known[])
{
    for (unsigned i = 0; i < call->request->query_count; i++) {
        const char *const *k = known;
        while (*k && strcmp(*k, call->request->query[i].name) != 0)
            k++;
        if (!*k) {
            call_query_fault(call, call->request->query[i].name, "is unknown");
            return false;
        }
    }
    return true;
}

uint64_t call_query_number(struct call *call, const char *name, uint64_t absent, uint64_t low,
                           uint64_t high)
{
    const char *text = call_query(call, name);
    char what[80];
    if (!text)
        return absent;
    size_t digits = strspn(text, "0123456789");
    unsigned long long v = digits && digits < 19 ? strtoull(text, NULL, 10) : 0;
    if (digits && digits < 19 && !text[digits] && v >= low && v <= high)
        return v;
    snprintf(what, sizeof what, "must be a number from %llu to %llu", (unsigned long long)low,
             (unsigned long long)high);
    call_query_fault(call, name, what);
    return absent;
}

bool call_query_bool(struct call *call, const char *name)
{
    const char *text = call_query(call, name);
    if (!text || strcmp(text, "0") == 0 || strcmp(text, "false") == 0)
        return false;
    if (!*text || strcmp(text, "1") == 0 || strcmp(text, "true") == 0)
        return true;
    call_query_fault(call, name, "must be true or false");
    return false;
}

void call_answer(struct call *call, unsigned status, json_t *body)
{
    call->response->status = status;
    call->response->body = body;
}

void call_not_found(struct call *call, const char *what)
{
    problem_set(&call->problem, 404, "not-found", "", "there is no %s \"%.64s\"", what, call->key);
}

void call_change(struct call *call, enum tables_kind kind, json_t *candidate, unsigned status,
                 json_t *body)
{
    uint64_t generation = 0;
    if (!change_apply(call->control, kind, candidate, &generation, &call->problem)) {
        json_decref(body);
        return;
    }
    call->response->generation = generation;
    call->response->fleet_revision = call->control->fleet.committed;
    call_answer(call, status, body);
}
