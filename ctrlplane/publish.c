/* SPDX-License-Identifier: BSD-3-Clause
 * Attaching to the region and publishing into it. See publish.h.
 */
#include "ctrlplane/publish.h"

#include "base/log.h"
#include "ctrlplane/model.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static void region_detach(struct control *c, const char *why)
{
    if (c->attached)
        region_close(&c->region);
    c->attached = false;
    if (strcmp(why, c->detached_why) != 0)
        log_info("%s: %s", c->config.region, why);
    snprintf(c->detached_why, sizeof c->detached_why, "%s", why);
}

uint64_t publish_rule_hits(const struct control *c, unsigned slot)
{
    uint64_t sum = 0;
    for (unsigned w = 0; c->attached && w < c->region.layout->header.workers; w++)
        sum += __atomic_load_n(&region_worker(&c->region, w)->rule_hits[slot], __ATOMIC_RELAXED);
    return sum;
}

/* In a region that was made anew the hit counters start at 0. */
static void hits_rebase(struct control *c)
{
    uint64_t counters[TABLES_RULES_MAX];
    char why[640];
    for (unsigned slot = 0; slot < TABLES_RULES_MAX; slot++)
        counters[slot] = publish_rule_hits(c, slot);
    json_t *model = model_rebased(c->model, counters);
    if (model != c->model && store_save(&c->store, model, why) != TG_OK)
        log_error("rule hits may be off after the next restart: %s", why);
    json_decref(c->model);
    c->model = model;
}

/* Does the region's current generation hold these bytes (apart from its number)? */
static bool block_is_current(const struct control *c, enum tables_kind kind,
                             const struct block *block, uint64_t *number)
{
    struct span current;
    if (region_current(&c->region, kind, &current, number) != TG_OK || current.len != block->len)
        return false;
    const size_t head = sizeof(struct tables_header);
    return memcmp(current.data + head, (const uint8_t *)block->bytes + head, block->len - head) ==
           0;
}

enum tg_err publish_block(struct control *c, enum tables_kind kind, struct block *block, bool force,
                          uint64_t *number)
{
    region_collect(&c->region);
    if (!force && block_is_current(c, kind, block, number)) {
        region_announce(&c->region, kind);
        return TG_OK;
    }
    enum tg_err err = region_publish(&c->region, kind, block->bytes, block->len, number);
    if (err == TG_OK)
        region_announce(&c->region, kind);
    return err;
}

struct compile_node publish_self(const struct control *c)
{
    struct span current;
    uint64_t number;
    struct compile_node self = {.config = &c->config};
    if (c->has_secrets)
        self.secrets = &c->secrets;
    if (c->attached && region_current(&c->region, TABLES_OWNERS, &current, &number) == TG_OK &&
        tables_owners_valid((const void *)current.data, current.len))
        self.before = (const void *)current.data;
    return self;
}

/* Why this node is not in its fleet, in the log once. */
static void member_note(struct control *c, const struct compile_node *self)
{
    char why[sizeof c->alone_why];
    if (!compile_member(c->model, self, why) && why[0] && strcmp(why, c->alone_why) != 0)
        log_warn("this node serves alone, without its fleet: %s", why);
    snprintf(c->alone_why, sizeof c->alone_why, "%s", why);
}

/* Compile a kind from the model in force and publish it. False: to be repeated.
 * force  also when the region holds the same bytes */
static bool kind_reconcile(struct control *c, enum tables_kind kind, bool force)
{
    struct problem problem = {0};
    struct block block;
    uint64_t before = publish_generation(c, kind), number = 0;
    struct compile_node self = publish_self(c);
    if (kind == TABLES_OWNERS)
        member_note(c, &self);
    if (!compile_tables(kind, c->model, &self, &block, &problem)) {
        log_error("the stored %s do not compile: %s", tables_kind_name(kind), problem.detail);
        problem_clear(&problem);
        return true; /* it will not get better: the region keeps what it has */
    }
    enum tg_err err = publish_block(c, kind, &block, force, &number);
    block_free(&block);
    if (err != TG_OK)
        log_error("%s: not published: %s", tables_kind_name(kind), tg_err_text(err));
    else if (number != before)
        log_info("%s: published as generation %llu", tables_kind_name(kind),
                 (unsigned long long)number);
    else
        log_info("%s: generation %llu is what the state says", tables_kind_name(kind),
                 (unsigned long long)number);
    return err == TG_OK;
}

static void region_attached(struct control *c)
{
    c->attached = true;
    c->detached_why[0] = 0;
    c->boot_id = c->region.layout->header.boot_id;
    log_info("%s: attached, %u workers", c->config.region, c->region.layout->header.workers);
    hits_rebase(c);
    for (unsigned kind = 0; kind < TABLES_KINDS; kind++)
        c->pending[kind] = !kind_reconcile(c, (enum tables_kind)kind, false);
}

/* Is the mapped region still the one at the path, and of the same start of the data plane? */
static bool region_is_same(const struct control *c)
{
    return region_is_at(&c->region, c->config.region) &&
           region_header_valid(&c->region.layout->header, c->region.bytes) &&
           c->region.layout->header.boot_id == c->boot_id;
}

void publish_look(struct control *c)
{
    if (c->attached && region_is_same(c))
        return;
    if (c->attached)
        region_detach(c, "the data plane has gone or made the region anew");
    char why[256];
    enum tg_err err = region_attach(&c->region, c->config.region, true);
    switch (err) {
    case TG_OK:
        region_attached(c);
        return;
    case TG_NOT_FOUND:
        region_detach(c, "there is no data plane yet (start tidegate); waiting for it");
        return;
    case TG_VERSION:
        region_detach(c, "the region has another layout or is damaged: this tidegate-ctl does not "
                         "touch it (is the data plane of the same build?)");
        return;
    case TG_EXISTS:
        region_detach(c, "another tidegate-ctl holds the region");
        return;
    default:
        snprintf(
            why, sizeof why,
            "the region cannot be attached: %s (is this user in the group of the configuration?)",
            tg_err_text(err));
        region_detach(c, why);
    }
}

bool publish_worker_refused(const struct control *c, unsigned worker, enum tables_kind kind,
                            uint64_t number)
{
    const struct region_worker *w = region_worker(&c->region, worker);
    return atomic_load_explicit(&w->refused_number, memory_order_acquire) == number &&
           atomic_load_explicit(&w->refused_kind, memory_order_relaxed) == kind;
}

/* What a live worker has not acknowledged: announced again, or, when it was refused, published again under a new
 * number, for the reason may pass (old WAF programs that are still in use). */
static void kind_insist(struct control *c, enum tables_kind kind, uint64_t number)
{
    for (unsigned w = 0; w < c->region.layout->header.workers; w++) {
        if (c->persuade[kind] == 0 || !publish_worker_alive(c, w) ||
            !publish_worker_refused(c, w, kind, number))
            continue;
        if (--c->persuade[kind] == 0)
            log_error(
                "worker %u refuses the %s (its log says why): the old ones stay in force there", w,
                tables_kind_name(kind));
        c->pending[kind] = !kind_reconcile(c, kind, true);
        return;
    }
    region_announce(&c->region, kind);
}

void publish_repeat(struct control *c)
{
    if (!c->attached)
        return;
    struct compile_node self = publish_self(c);
    member_note(c, &self);
    for (unsigned kind = 0; kind < TABLES_KINDS; kind++) {
        if (c->pending[kind] && kind_reconcile(c, (enum tables_kind)kind, false)) {
            c->pending[kind] = false;
            continue;
        }
        /* Also while there is no room for a newer one: a worker that takes this one lets go of older ones. */
        uint64_t number = publish_generation(c, (enum tables_kind)kind);
        if (number && !region_applied(&c->region, (enum tables_kind)kind, number))
            kind_insist(c, (enum tables_kind)kind, number);
    }
    region_collect(&c->region);
}

bool publish_worker_alive(const struct control *c, unsigned worker)
{
    /* The flag of a killed worker stays up. region_applied counts only workers of a process that
     * lives, and nobody can have the last generation of all: it is true when there is no such
     * worker. */
    if (!c->attached || region_applied(&c->region, TABLES_RULES, UINT64_MAX))
        return false;
    return __atomic_load_n(&region_worker(&c->region, worker)->alive, __ATOMIC_RELAXED) != 0;
}

unsigned publish_workers_alive(const struct control *c)
{
    unsigned n = 0;
    for (unsigned w = 0; c->attached && w < c->region.layout->header.workers; w++)
        n += publish_worker_alive(c, w);
    return n;
}

uint64_t publish_generation(const struct control *c, enum tables_kind kind)
{
    if (!c->attached)
        return 0;
    return atomic_load_explicit(&c->region.layout->directory.current[kind], memory_order_acquire) >>
           8;
}

bool publish_ready(struct control *c, struct problem *problem)
{
    publish_look(c);
    if (!c->attached)
        problem_set(problem, 503, "no-data-plane", "", "nothing was changed: %s", c->detached_why);
    else if (publish_workers_alive(c) == 0)
        problem_set(problem, 503, "no-data-plane", "",
                    "nothing was changed: no worker of the data plane runs (start tidegate)");
    return problem->status == 0;
}
