/* SPDX-License-Identifier: BSD-3-Clause
 * /v1/sites: which hosts are served, from which origin, with or without the WAF.
 */
#include "ctrlplane/api_internal.h"
#include "ctrlplane/model.h"
#include "ctrlplane/resource.h"

static json_t *site_show(const json_t *value)
{
    return json_copy((json_t *)(uintptr_t)value);
}

static const struct collection sites = {
    .name = "sites",
    .what = "site",
    .path = "/v1/sites",
    .kind = TABLES_ROUTES,
    .max = TABLES_SITES_MAX,
    .read = site_read,
    .check = model_site_check,
    .show = site_show,
};

void sites_list(struct call *call)
{
    collection_list(call, &sites);
}

void site_get(struct call *call)
{
    collection_get(call, &sites);
}

void site_put(struct call *call)
{
    collection_put(call, &sites);
}

void site_delete(struct call *call)
{
    collection_delete(call, &sites);
}
