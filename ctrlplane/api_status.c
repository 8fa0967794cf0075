/* SPDX-License-Identifier: BSD-3-Clause
 * /v1/status, /v1/stats, /v1/workers, /v1/audit: what is read from the region and from memory.
 */
#include "contract/counters.h"
#include "ctrlplane/api_internal.h"
#include "ctrlplane/model.h"
#include "ctrlplane/prefix.h"
#include "ctrlplane/publish.h"

#include <stdatomic.h>
#include <stdio.h>

static unsigned worker_count(const struct control *c)
{
    return c->attached ? c->region.layout->header.workers : 0;
}

static json_t *hex_json(uint64_t v)
{
    char text[17];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)v);
    return json_string(text);
}

/* Per worker the generation in force; null for one that does not run. */
static json_t *applied_json(const struct control *c, enum tables_kind kind)
{
    json_t *list = json_array();
    for (unsigned w = 0; w < worker_count(c); w++) {
        uint64_t applied = atomic_load_explicit(&region_worker(&c->region, w)->applied[kind],
                                                memory_order_acquire);
        json_array_append_new(list, publish_worker_alive(c, w) ? json_integer((json_int_t)applied)
                                                               : json_null());
    }
    return list;
}

static json_t *generations_json(const struct control *c)
{
    json_t *o = json_object();
    for (unsigned k = 0; k < TABLES_KINDS; k++) {
        enum tables_kind kind = (enum tables_kind)k;
        json_object_set_new(o, tables_kind_name(kind),
                            json_pack("{s:I, s:o, s:b}", "current",
                                      (json_int_t)publish_generation(c, kind), "applied",
                                      applied_json(c, kind), "pending", c->pending[kind]));
    }
    return o;
}

static json_t *region_json(const struct control *c)
{
    if (!c->attached)
        return json_pack("{s:s, s:b, s:s}", "path", c->config.region, "attached", false, "problem",
                         c->detached_why);
    const struct region_header *h = &c->region.layout->header;
    return json_pack("{s:s, s:b, s:i, s:o, s:I, s:I, s:i}", "path", c->config.region, "attached",
                     true, "layout_version", (int)h->layout_version, "boot_id",
                     hex_json(h->boot_id), "bytes", (json_int_t)h->bytes, "arena_bytes",
                     (json_int_t)h->arena_bytes, "workers", (int)h->workers);
}

static json_t *resources_json(const struct control *c)
{
    const json_t *m = c->model;
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i}", "rules",
                     (int)json_object_size(model_get(m, "rules")), "waf_rules",
                     (int)json_array_size(model_get(m, "waf")), "sites",
                     (int)json_object_size(model_get(m, "sites")), "origins",
                     (int)json_object_size(model_get(m, "origins")), "certificates",
                     (int)json_object_size(model_get(m, "certificates")), "nodes",
                     (int)json_object_size(model_get(m, "nodes")));
}

/* What this node itself sends from; tgctl lists it for origins when there is no fleet. */
static json_t *addresses_json(const struct config *config)
{
    json_t *out = json_array();
    char text[PREFIX_TEXT_MAX];
    for (unsigned p = 0; p < config->port_count; p++)
        for (unsigned i = 0; i < config->ports[p].address_count; i++)
            json_array_append_new(
                out, json_string(address_text(config->ports[p].addresses[i].address, text)));
    return out;
}

void status_get(struct call *call)
{
    static const char *const known[] = {NULL};
    struct control *c = call->control;
    if (!call_query_check(call, known))
        return;
    unsigned alive = publish_workers_alive(c);
    json_t *node = json_pack("{s:s, s:i, s:i, s:o}", "name", c->config.node_name, "slot",
                             (int)c->config.node_slot, "site", (int)c->config.node_site,
                             "addresses", addresses_json(&c->config));
    json_t *fleet = fleet_status_json(c), *place = fleet_place_json(c);
    json_object_update(fleet, place);
    json_decref(place);
    json_t *audit = json_pack("{s:s, s:I, s:I}", "path", c->audit.path, "lines",
                              (json_int_t)c->audit.written, "failed", (json_int_t)c->audit.failed);
    double uptime = (double)(control_now() - c->started) / (double)TG_S;
    call_answer(call, 200,
                json_pack("{s:s, s:o, s:f, s:s, s:i, s:o, s:o, s:o, s:o, s:o}", "version",
                          CONTROL_VERSION, "node", node, "uptime_s", uptime, "data_plane",
                          alive ? "running" : "stopped", "workers_alive", (int)alive, "region",
                          region_json(c), "generations", generations_json(c), "resources",
                          resources_json(c), "fleet", fleet, "audit", audit));
}

static bool attached_check(struct call *call)
{
    if (!call->control->attached)
        problem_set(&call->problem, 503, "no-data-plane", "", "%s", call->control->detached_why);
    return call->control->attached;
}

void stats_get(struct call *call)
{
    static const char *const known[] = {"worker", "nonzero", NULL};
    if (!call_query_check(call, known) || !attached_check(call))
        return;
    const struct region *region = &call->control->region;
    bool nonzero = call_query_bool(call, "nonzero"), one = call_query(call, "worker") != NULL;
    unsigned last = worker_count(call->control) - 1;
    unsigned worker = (unsigned)call_query_number(call, "worker", 0, 0, last);
    if (call->problem.status)
        return;
    json_t *counters = json_object();
    for (unsigned i = TG_C_none + 1; i < TG_COUNTER_COUNT; i++) {
        enum tg_counter counter = (enum tg_counter)i;
        uint64_t v =
            one ? __atomic_load_n(&region_worker(region, worker)->stats.value[i], __ATOMIC_RELAXED)
                : counters_sum(region, counter);
        if (v || !nonzero)
            json_object_set_new(counters, stats_name(counter), json_integer((json_int_t)v));
    }
    json_t *body = json_pack("{s:o}", "counters", counters);
    if (one)
        json_object_set_new(body, "worker", json_integer(worker));
    call_answer(call, 200, body);
}

static json_t *worker_json(const struct control *c, unsigned index, tg_ns now)
{
    const struct region_worker *w = region_worker(&c->region, index);
    tg_ns beat = atomic_load_explicit(&w->heartbeat_ns, memory_order_relaxed);
    json_t *applied = json_object();
    for (unsigned k = 0; k < TABLES_KINDS; k++)
        json_object_set_new(
            applied, tables_kind_name((enum tables_kind)k),
            json_integer((json_int_t)atomic_load_explicit(&w->applied[k], memory_order_acquire)));
    double age = beat && now > beat ? (double)(now - beat) / (double)TG_MS : 0;
    uint64_t requests = __atomic_load_n(&w->stats.value[TG_C_http_requests], __ATOMIC_RELAXED);
    uint64_t polls = __atomic_load_n(&w->stats.value[TG_C_worker_polls], __ATOMIC_RELAXED);
    return json_pack(
        "{s:i, s:i, s:b, s:o, s:f, s:I, s:I, s:I, s:I, s:I, s:o}", "worker", (int)index, "cpu",
        w->cpu, "alive", publish_worker_alive(c, index), "heartbeat_age_ms",
        beat ? json_real(age) : json_null(), "busy_share", c->busy_share[index], "polls",
        (json_int_t)polls, "connections",
        (json_int_t)__atomic_load_n(&w->connections, __ATOMIC_RELAXED), "requests_active",
        (json_int_t)__atomic_load_n(&w->requests_active, __ATOMIC_RELAXED), "requests",
        (json_int_t)requests, "pressure",
        (json_int_t)__atomic_load_n(&w->pressure, __ATOMIC_RELAXED), "applied", applied);
}

void workers_get(struct call *call)
{
    static const char *const known[] = {NULL};
    if (!call_query_check(call, known) || !attached_check(call))
        return;
    json_t *list = json_array();
    tg_ns now = control_now();
    for (unsigned w = 0; w < worker_count(call->control); w++)
        json_array_append_new(list, worker_json(call->control, w, now));
    call_answer(call, 200, list);
}

void audit_get(struct call *call)
{
    static const char *const known[] = {"limit", NULL};
    if (!call_query_check(call, known))
        return;
    unsigned limit = (unsigned)call_query_number(call, "limit", 100, 1, AUDIT_KEPT);
    if (!call->problem.status)
        call_answer(call, 200, audit_recent(&call->control->audit, limit));
}
