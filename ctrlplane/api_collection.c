/* SPDX-License-Identifier: BSD-3-Clause
 * GET, PUT and DELETE of resources that have a name: sites, origins, certificates, key servers, nodes.
 */
#include "ctrlplane/api_internal.h"
#include "ctrlplane/model.h"
#include "ctrlplane/resource.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A resource as GET shows it: its name first. */
static json_t *show(const struct collection *k, const char *key, const json_t *value)
{
    json_t *o = json_pack("{s:s}", "name", key);
    json_object_update(o, (json_t *)(uintptr_t)value);
    if (k->secret)
        json_object_del(o, k->secret);
    return o;
}

void collection_list(struct call *call)
{
    const struct collection *k = call->collection;
    static const char *const known[] = {NULL};
    const json_t *items = model_get(call->control->model, k->name);
    if (!call_query_check(call, known))
        return;
    const char **keys = calloc(k->max, sizeof *keys);
    tg_assert(keys);
    unsigned n = model_keys(call->control->model, k->name, keys, k->max);
    json_t *list = json_array();
    for (unsigned i = 0; i < n; i++)
        json_array_append_new(list, show(k, keys[i], json_object_get(items, keys[i])));
    free(keys);
    call_answer(call, 200, list);
}

void collection_get(struct call *call)
{
    const struct collection *k = call->collection;
    const json_t *value = json_object_get(model_get(call->control->model, k->name), call->key);
    if (value)
        call_answer(call, 200, show(k, call->key, value));
    else
        call_not_found(call, k->what);
}

/* The body's resource in canonical form; its "name", if it says one, is the path's. */
static json_t *collection_body(struct call *call, const struct collection *k)
{
    json_t *body = call_body(call);
    json_t *value = body ? k->read(body, "", &call->problem) : NULL;
    struct fields f = {.object = body, .problem = &call->problem};
    const char *name = value ? fields_string(&f, "name", false, 1, RESOURCE_NAME_MAX) : NULL;
    if (name && strcmp(name, call->key) != 0)
        fields_fault(&f, "name", "differs from the name in the path");
    json_decref(body);
    if (!call->problem.status)
        return value;
    json_decref(value);
    return NULL;
}

void collection_put(struct call *call)
{
    const struct collection *k = call->collection;
    const json_t *items = model_get(call->control->model, k->name);
    if (!resource_name_valid(call->key)) {
        problem_set(&call->problem, 404, "not-found", "",
                    "\"%.80s\" is not a name: 1 to %u letters, digits, '.', '_', '-'", call->key,
                    RESOURCE_NAME_MAX);
        return;
    }
    json_t *value = collection_body(call, k);
    if (!value)
        return;
    bool fresh = !json_object_get(items, call->key);
    if (fresh && json_object_size(items) >= k->max)
        problem_set(&call->problem, 507, "table-full", "", "there are %u of them already", k->max);
    json_t *shown = show(k, call->key, value);
    json_t *candidate = model_with(call->control->model, k->name, call->key, value);
    if (call->problem.status || (k->check && !k->check(candidate, call->key, &call->problem)) ||
        (k->check_here && !k->check_here(call, candidate))) {
        json_decref(candidate);
        json_decref(shown);
        return;
    }
    if (fresh)
        snprintf(call->response->location, sizeof call->response->location, "%s/%s", k->path,
                 call->key);
    call_change(call, k->kind, candidate, fresh ? 201 : 200, shown);
}

void collection_delete(struct call *call)
{
    const struct collection *k = call->collection;
    const json_t *value = json_object_get(model_get(call->control->model, k->name), call->key);
    if (!value) {
        call_not_found(call, k->what);
        return;
    }
    json_t *shown = show(k, call->key, value);
    call_change(call, k->kind, model_with(call->control->model, k->name, call->key, NULL), 200,
                shown);
}
