/* SPDX-License-Identifier: BSD-3-Clause
 * /v1/origins: servers that sites get their answers from. The key of our own certificate for them goes in and
 * never comes out.
 */
#include "ctrlplane/api_internal.h"
#include "ctrlplane/model.h"
#include "ctrlplane/resource.h"

static json_t *origin_show(const json_t *value)
{
    json_t *o = json_copy((json_t *)(uintptr_t)value);
    json_object_del(o, "key_pem");
    return o;
}

static const struct collection origins = {
    .name = "origins",
    .what = "origin",
    .path = "/v1/origins",
    .kind = TABLES_ROUTES,
    .max = TABLES_ORIGINS_MAX,
    .read = origin_read,
    .show = origin_show,
};

void origins_list(struct call *call)
{
    collection_list(call, &origins);
}

void origin_get(struct call *call)
{
    collection_get(call, &origins);
}

void origin_put(struct call *call)
{
    collection_put(call, &origins);
}

void origin_delete(struct call *call)
{
    const char *site = model_origin_user(call->control->model, call->key);
    if (site) {
        problem_set(&call->problem, 409, "in-use", "", "site \"%s\" uses origin \"%.64s\"", site,
                    call->key);
        problem_extra(&call->problem, "site", json_string(site));
        return;
    }
    collection_delete(call, &origins);
}
