/* SPDX-License-Identifier: BSD-3-Clause
 * Changes of the API on their way to the fleet store, and what status says of it. See fleet_sync.h.
 */
#include "base/log.h"
#include "ctrlplane/control.h"
#include "ctrlplane/fleet_ops.h"
#include "ctrlplane/publish.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MS         20 /* at most between two looks at the audit events */
#define SKIPPED_SHOWN   20
#define LEFT_OUT_FORMAT "{s:s, s:O}"

static struct fleet_store_status store_status(const struct fleet *f)
{
    return f->store->type->status(f->store);
}

/* Wait a little for the store. */
static void store_wait(struct control *c)
{
    struct fleet *f = &c->fleet;
    tg_ns now = control_now();
    int wait = f->store->type->timeout_ms(f->store, now);
    struct pollfd fd = {.fd = f->store->type->fd(f->store), .events = POLLIN};
    poll(&fd, 1, wait < 0 || wait > WAIT_MS ? WAIT_MS : wait);
    now = control_now();
    f->store->type->run(f->store, now);
    if (c->attached)
        audit_drain(&c->audit, &c->region, now);
}

const struct fleet_answer *fleet_ops_write(struct fleet_ops *ops, struct control *c)
{
    struct fleet *f = &c->fleet;
    const struct fleet_answer *answer;
    tg_ns now = control_now();
    f->store->type->write(f->store, ops->ops, ops->count, now, now + FLEET_WRITE_MS * TG_MS);
    while ((answer = f->store->type->answer(f->store))->outcome == FLEET_PENDING)
        store_wait(c);
    for (unsigned i = 0; answer->outcome == FLEET_STORED && i < ops->count; i++)
        fleet_know(f, ops->ops[i].key, ops->values[i] ? answer->revision : -answer->revision);
    return answer;
}

static bool store_ready(const struct fleet *f)
{
    return store_status(f).connected && f->snapshots > 0 && f->snapshots >= f->snapshots_wanted;
}

void fleet_prepare(struct control *c)
{
    struct fleet *f = &c->fleet;
    tg_ns end = control_now() + FLEET_WRITE_MS * TG_MS;
    fleet_run(c, control_now());
    while (!store_ready(f) && !f->problem[0] && !store_status(f).problem[0] &&
           control_now() < end) {
        store_wait(c);
        fleet_run(c, control_now());
    }
}

/* --- what went wrong ---------------------------------------------------------------------------- */

static void unreachable_describe(struct fleet *f, const char *why, struct problem *problem)
{
    struct fleet_store_status status = store_status(f);
    problem_set(
        problem, 503, "fleet-store-unreachable", "",
        "nothing was changed: the fleet store at %s cannot be written: %s; this node goes on "
        "with the resources that it has",
        status.endpoint, why);
    problem_extra(problem, "changed", json_false());
}

static void conflict_describe(struct fleet *f, const struct fleet_answer *answer,
                              const struct fleet_op *first, struct problem *problem)
{
    f->conflicts++;
    f->conflict_own = answer->found != first->expected;
    f->snapshots_wanted = f->snapshots + 1;
    f->store->type->load(f->store);
    problem_set(problem, 409, "fleet-conflict", "",
                "nothing was changed: another node has just changed %s: look at it again",
                f->conflict_own ? "the same resource" : "resources that belong together");
    problem_extra(problem, "changed", json_false());
}

static void answer_describe(struct fleet *f, const struct fleet_answer *answer,
                            const struct fleet_op *first, struct problem *problem)
{
    switch (answer->outcome) {
    case FLEET_CONFLICT:
        conflict_describe(f, answer, first, problem);
        return;
    case FLEET_UNKNOWN:
        problem_set(
            problem, 503, "fleet-store-unreachable", "",
            "the fleet store at %s did not answer (%s): whether the change was stored shows "
            "when it is back; repeating the request is safe",
            store_status(f).endpoint, answer->problem);
        problem_extra(problem, "changed", json_null());
        return;
    default:
        unreachable_describe(f, answer->problem, problem);
    }
}

/* --- writing ------------------------------------------------------------------------------------- */

static bool meta_missing(const struct fleet *f)
{
    char key[FLEET_KEY_MAX];
    fleet_key(f->prefix, KEY_META, "", key);
    return fleet_known(f, key) <= 0;
}

static bool values_fit(const struct fleet *f, const struct fleet_ops *ops, struct problem *problem)
{
    for (unsigned i = 0; i < ops->count; i++)
        if (ops->values[i] && strlen(ops->values[i]) > f->store->type->value_max)
            problem_set(problem, 413, "too-big", "",
                        "the resource has %zu bytes; the fleet store takes %zu",
                        strlen(ops->values[i]), f->store->type->value_max);
    return problem->status == 0;
}

static bool ops_commit(struct control *c, struct fleet_ops *ops, struct problem *problem)
{
    struct fleet *f = &c->fleet;
    struct fleet_store_status status = store_status(f);
    if (!status.connected || f->snapshots == 0) {
        const char *why = f->problem[0] ? f->problem : status.problem;
        unreachable_describe(f, why[0] ? why : "not connected yet", problem);
        return false;
    }
    fleet_ops_finish(ops, f, meta_missing(f));
    const struct fleet_answer *answer = fleet_ops_write(ops, c);
    if (answer->outcome == FLEET_STORED) {
        f->committed = answer->revision;
        /* Something that was left out may have waited for this. */
        if (json_object_size(f->skipped) > 0)
            f->store->type->load(f->store);
        return true;
    }
    if (answer->outcome == FLEET_CONFLICT && answer->same && !f->posting) {
        /* As it is wanted already: an equal request elsewhere, or ours, sent twice by libcurl over a connection that
         * died meanwhile. */
        f->committed = answer->found;
        f->store->type->load(f->store);
        return true;
    }
    answer_describe(f, answer, &ops->ops[0], problem);
    return false;
}

bool fleet_commit(struct control *c, const json_t *candidate, struct problem *problem)
{
    struct fleet_ops *ops = calloc(1, sizeof *ops);
    tg_assert(ops);
    c->fleet.committed = 0;
    fleet_ops_diff(ops, &c->fleet, c->model, candidate);
    tg_assert(ops->count < FLEET_OPS_RESOURCES); /* the API changes one resource at a time */
    if (ops->count > 0 && values_fit(&c->fleet, ops, problem))
        ops_commit(c, ops, problem);
    fleet_ops_free(ops);
    free(ops);
    return problem->status == 0;
}

void fleet_undo(struct control *c, const json_t *candidate)
{
    struct fleet *f = &c->fleet;
    struct fleet_ops *ops = calloc(1, sizeof *ops);
    tg_assert(ops);
    fleet_ops_diff(ops, f, candidate, c->model);
    if (ops->count > 0) {
        fleet_ops_finish(ops, f, false);
        const struct fleet_answer *answer = fleet_ops_write(ops, c);
        if (answer->outcome != FLEET_STORED) {
            log_error(
                "fleet: the store keeps a change that this node could not bring into force: %s",
                answer->problem[0] ? answer->problem : "another node was faster");
            for (unsigned i = 0; i < ops->count; i++)
                json_object_del(f->known, ops->ops[i].key);
            f->store->type->load(f->store); /* the store rules: it comes again */
        }
    }
    fleet_ops_free(ops);
    free(ops);
}

/* --- status --------------------------------------------------------------------------------------- */

int64_t fleet_in_force(struct control *c)
{
    bool all = publish_workers_alive(c) > 0;
    for (unsigned k = 0; all && k < TABLES_KINDS; k++) {
        uint64_t number = publish_generation(c, (enum tables_kind)k);
        all =
            !c->pending[k] && (!number || region_applied(&c->region, (enum tables_kind)k, number));
    }
    if (all)
        c->fleet.in_force = c->fleet.revision;
    return c->fleet.in_force;
}

static json_t *skipped_json(const struct fleet *f)
{
    json_t *list = json_array(), *why;
    const char *key;
    json_object_foreach(f->skipped, key, why)
    {
        if (json_array_size(list) < SKIPPED_SHOWN)
            json_array_append_new(list, json_pack(LEFT_OUT_FORMAT, "key", key, "problem", why));
    }
    return list;
}

json_t *fleet_status_json(struct control *c)
{
    struct fleet *f = &c->fleet;
    struct fleet_store_status status = store_status(f);
    bool alone = c->config.etcd_count == 0;
    tg_ns now = control_now();
    const char *problem = status.connected ? f->problem : status.problem;
    json_t *o =
        json_pack("{s:s, s:b, s:I, s:I, s:I, s:i, s:o, s:I, s:I, s:I}", "store",
                  f->store->type->name, "connected", status.connected, "revision",
                  (json_int_t)f->revision, "in_force", (json_int_t)fleet_in_force(c), "merged",
                  (json_int_t)f->merged, "skipped", (int)json_object_size(f->skipped), "left_out",
                  skipped_json(f), "conflicts", (json_int_t)f->conflicts, "lost",
                  (json_int_t)status.lost, "dropped", (json_int_t)status.dropped);
    json_object_set_new(o, "lag_ms",
                        alone          ? json_integer(0)
                        : status.proof ? json_integer((json_int_t)((now - status.proof) / TG_MS))
                                       : json_null());
    if (!alone) {
        json_object_set_new(o, "name", json_string(c->config.fleet));
        json_object_set_new(o, "endpoint", json_string(status.endpoint));
    }
    if (problem[0])
        json_object_set_new(o, "problem", json_string(problem));
    return o;
}
