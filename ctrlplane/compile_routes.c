/* SPDX-License-Identifier: BSD-3-Clause
 * Sites and origins -> struct tables_routes: header, sites sorted by host, origins, strings.
 */
#include "ctrlplane/compile_parts.h"
#include "ctrlplane/model.h"

#include <stdlib.h>
#include <string.h>

/* One host of one site. */
struct entry {
    const char *host;
    uint32_t site_id; /* position in site names + 1 */
    uint32_t flags;
    uint32_t origin; /* position in origin names */
};

struct routes_build {
    const json_t *model;
    const char **origins; /* names, sorted */
    unsigned origin_count;
    struct entry *entries;
    unsigned entry_count;
    size_t string_bytes;
};

static int name_compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static uint32_t origin_index(const struct routes_build *b, const char *name)
{
    const char **found =
        bsearch(&name, b->origins, b->origin_count, sizeof b->origins[0], name_compare);
    tg_assert(found); /* model_site_check */
    return (uint32_t)(found - b->origins);
}

static bool entry_add(struct routes_build *b, const char *host, uint32_t site_id,
                      const json_t *site)
{
    if (b->entry_count == TABLES_SITES_MAX)
        return false;
    struct entry *e = &b->entries[b->entry_count++];
    e->host = host;
    e->site_id = site_id;
    e->flags = (json_is_true(json_object_get(site, "default")) ? TABLES_SITE_DEFAULT : 0) |
               (json_is_true(json_object_get(site, "waf")) ? TABLES_SITE_WAF : 0);
    e->origin = origin_index(b, json_string_value(json_object_get(site, "origin")));
    b->string_bytes += strlen(host);
    return true;
}

/* All hosts of a site; the default site without a host gets an entry with an empty one. */
static bool site_add(struct routes_build *b, const json_t *site, uint32_t site_id)
{
    const json_t *hosts = json_object_get(site, "hosts");
    if (json_array_size(hosts) == 0)
        return entry_add(b, "", site_id, site);
    for (size_t i = 0; i < json_array_size(hosts); i++)
        if (!entry_add(b, json_string_value(json_array_get(hosts, i)), site_id, site))
            return false;
    return true;
}

static int entry_compare(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->host, ((const struct entry *)b)->host);
}

static const json_t *origin_of(const struct routes_build *b, unsigned i)
{
    return json_object_get(model_get(b->model, "origins"), b->origins[i]);
}

static void routes_emit(const struct routes_build *b, struct block *out)
{
    size_t sites_at = sizeof(struct tables_routes);
    size_t origins_at = sites_at + b->entry_count * sizeof(struct tables_site);
    size_t at = origins_at + b->origin_count * sizeof(struct tables_origin);
    block_make(out, TABLES_ROUTES, at + b->string_bytes);
    uint8_t *bytes = out->bytes;
    struct tables_routes *t = out->bytes;
    struct tables_site *sites = (struct tables_site *)(void *)(bytes + sites_at);
    struct tables_origin *origins = (struct tables_origin *)(void *)(bytes + origins_at);
    t->site_count = b->entry_count;
    t->site_offset = (uint32_t)sites_at;
    t->origin_count = b->origin_count;
    t->origin_offset = (uint32_t)origins_at;
    t->default_site = UINT32_MAX;
    for (unsigned i = 0; i < b->entry_count; i++) {
        const struct entry *e = &b->entries[i];
        sites[i] = (struct tables_site){.id = e->site_id, .flags = e->flags, .origin = e->origin};
        sites[i].host = block_put(t, &at, span_from_string(e->host));
        if ((e->flags & TABLES_SITE_DEFAULT) && t->default_site == UINT32_MAX)
            t->default_site = i;
    }
    for (unsigned i = 0; i < b->origin_count; i++) {
        origin_emit(t, &origins[i], origin_of(b, i), &at);
        origins[i].id = i + 1;
        origins[i].name = block_put(t, &at, span_from_string(b->origins[i]));
    }
    tg_assert(at == out->len);
}

bool compile_routes(const json_t *model, struct block *out, struct problem *problem)
{
    const char *origins[TABLES_ORIGINS_MAX], **sites = calloc(TABLES_SITES_MAX, sizeof *sites);
    struct routes_build b = {.model = model, .origins = origins};
    b.entries = calloc(TABLES_SITES_MAX, sizeof *b.entries);
    tg_assert(sites && b.entries);
    b.origin_count = model_keys(model, "origins", origins, TABLES_ORIGINS_MAX);
    unsigned site_count = model_keys(model, "sites", sites, TABLES_SITES_MAX);
    for (unsigned i = 0; i < b.origin_count; i++)
        b.string_bytes += strlen(origins[i]) + origin_string_bytes(origin_of(&b, i));
    bool usable = true,
         good = json_object_size(model_get(model, "origins")) <= TABLES_ORIGINS_MAX &&
                json_object_size(model_get(model, "sites")) <= TABLES_SITES_MAX;
    for (unsigned i = 0; good && i < site_count; i++)
        good = site_add(&b, json_object_get(model_get(model, "sites"), sites[i]), i + 1);
    if (good)
        for (unsigned i = 0; usable && i < b.origin_count; i++)
            usable = origin_check(b.origins[i], origin_of(&b, i), problem);
    if (good && usable) {
        qsort(b.entries, b.entry_count, sizeof b.entries[0], entry_compare);
        routes_emit(&b, out);
    } else if (!good) {
        problem_set(problem, 507, "table-full", "",
                    "more than %u hosts of all sites together, or more than %u origins",
                    TABLES_SITES_MAX, TABLES_ORIGINS_MAX);
    }
    free(sites);
    free(b.entries);
    return good && usable;
}

static const char *name_by_id(const json_t *model, const char *collection, unsigned max,
                              uint32_t id)
{
    const char **names = calloc(max, sizeof *names), *name = NULL;
    tg_assert(names);
    if (id >= 1 && id <= model_keys(model, collection, names, max))
        name = names[id - 1];
    free(names);
    return name;
}

const char *compile_site_name(const json_t *model, uint32_t id)
{
    return name_by_id(model, "sites", TABLES_SITES_MAX, id);
}

const char *compile_origin_name(const json_t *model, uint32_t id)
{
    return name_by_id(model, "origins", TABLES_ORIGINS_MAX, id);
}
