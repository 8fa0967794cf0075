/* SPDX-License-Identifier: BSD-3-Clause
 * Changes: compile, store, publish, wait, and the way back. See change.h. Called by the API
 * handlers.
 */
#include "ctrlplane/change.h"

#include "base/log.h"
#include "ctrlplane/publish.h"

#include <stdatomic.h>
#include <time.h>

#define POLL_FIRST     (50 * TG_US) /* a busy worker takes its mail within a few tens of us */
#define POLL_LAST      (2 * TG_MS)
#define DRAIN_EVERY    (20 * TG_MS)
#define ANNOUNCE_EVERY (100 * TG_MS)
#define REFUSED_RETRY  (200 * TG_MS)

enum outcome { OUTCOME_APPLIED, OUTCOME_LATE, OUTCOME_REFUSED, OUTCOME_GONE };

/* One wait for acknowledgements. */
struct wait {
    struct control *control;
    enum tables_kind kind;
    uint64_t number;
    tg_ns deadline, next_drain, next_announce;
    tg_ns pause;
    unsigned worker; /* [out] who is late or has refused */
};

/* Where the live workers stand; OUTCOME_LATE names the first that has not acknowledged. */
static enum outcome workers_look(struct wait *wait)
{
    struct control *c = wait->control;
    enum outcome outcome = OUTCOME_APPLIED;
    unsigned alive = 0;
    for (unsigned i = 0; i < c->region.layout->header.workers; i++) {
        const struct region_worker *w = region_worker(&c->region, i);
        if (!publish_worker_alive(c, i))
            continue;
        alive++;
        if (atomic_load_explicit(&w->applied[wait->kind], memory_order_acquire) >= wait->number)
            continue;
        wait->worker = i;
        if (publish_worker_refused(c, i, wait->kind, wait->number))
            return OUTCOME_REFUSED;
        outcome = OUTCOME_LATE;
    }
    return alive ? outcome : OUTCOME_GONE;
}

static void wait_pause(struct wait *wait, tg_ns now)
{
    struct control *c = wait->control;
    if (now >= wait->next_drain) {
        audit_drain(&c->audit, &c->region, now);
        wait->next_drain = now + DRAIN_EVERY;
    }
    if (now >= wait->next_announce) {
        region_announce(&c->region, wait->kind);
        wait->next_announce = now + ANNOUNCE_EVERY;
    }
    nanosleep(&(struct timespec){.tv_nsec = (long)wait->pause}, NULL);
    wait->pause = wait->pause * 2 < POLL_LAST ? wait->pause * 2 : POLL_LAST;
}

/* Until everybody has acknowledged, somebody has refused, nobody is left, or the deadline has
 * passed. */
static enum outcome workers_wait(struct wait *wait)
{
    wait->pause = POLL_FIRST;
    tg_ns now = control_now();
    wait->next_drain = now + DRAIN_EVERY;
    wait->next_announce = now + ANNOUNCE_EVERY;
    for (;;) {
        enum outcome outcome = workers_look(wait);
        if (outcome != OUTCOME_LATE || now >= wait->deadline)
            return outcome;
        wait_pause(wait, now);
        now = control_now();
    }
}

/* A worker may refuse for a reason that passes (old WAF programs still in use): the same bytes
 * are offered again under a new number, until the deadline. */
static enum outcome workers_persuade(struct wait *wait, struct block *block)
{
    enum outcome outcome = workers_wait(wait);
    while (outcome == OUTCOME_REFUSED && control_now() + REFUSED_RETRY < wait->deadline) {
        nanosleep(&(struct timespec){.tv_nsec = (long)REFUSED_RETRY}, NULL);
        if (publish_block(wait->control, wait->kind, block, true, &wait->number) != TG_OK)
            break;
        outcome = workers_wait(wait);
    }
    return outcome;
}

/* Room comes when connections and requests let go of old generations: wait for it up to the
 * deadline. */
static enum tg_err publish_patiently(struct wait *wait, struct block *block)
{
    enum tg_err err;
    while ((err = publish_block(wait->control, wait->kind, block, false, &wait->number)) ==
           TG_FULL) {
        tg_ns now = control_now();
        if (now >= wait->deadline)
            return err;
        audit_drain(&wait->control->audit, &wait->control->region, now);
        nanosleep(&(struct timespec){.tv_nsec = (long)(10 * TG_MS)}, NULL);
    }
    return err;
}

/* Store the model in force again after a change that did not come about. */
static void store_undo(struct control *c)
{
    char why[640];
    if (store_save(&c->store, c->model, why) != TG_OK)
        log_error("a refused change may be in the state file: %s", why);
}

/* After a refusal: the model in force goes into the region again. */
static void region_undo(struct control *c, enum tables_kind kind)
{
    struct problem ignored = {0};
    struct block block;
    uint64_t number;
    struct compile_node self = publish_self(c);
    if (!compile_tables(kind, c->model, &self, &block, &ignored) ||
        publish_block(c, kind, &block, false, &number) != TG_OK)
        c->pending[kind] = true;
    block_free(&block);
    problem_clear(&ignored);
}

static void late_describe(const struct wait *wait, enum outcome outcome, struct problem *problem)
{
    const char *kind = tables_kind_name(wait->kind);
    bool changed = outcome != OUTCOME_REFUSED;
    if (outcome == OUTCOME_REFUSED)
        problem_set(
            problem, 504, "refused-by-worker", "",
            "worker %u refused %s generation %llu (its log says why): the change was undone",
            wait->worker, kind, (unsigned long long)wait->number);
    else if (outcome == OUTCOME_GONE)
        problem_set(problem, 504, "not-acknowledged", "",
                    "the data plane went away: the change is stored and comes into force when it "
                    "runs again");
    else
        problem_set(problem, 504, "not-acknowledged", "",
                    "worker %u has not acknowledged %s generation %llu within %u ms: the change is "
                    "stored and published, and comes into force when it does",
                    wait->worker, kind, (unsigned long long)wait->number,
                    wait->control->config.apply_timeout_ms);
    problem_extra(problem, "changed", json_boolean(changed));
    if (outcome != OUTCOME_GONE)
        problem_extra(problem, "worker", json_integer(wait->worker));
}

/* Steps 3 and 4. The model in force is still the old one. */
static bool region_change(struct wait *wait, json_t *candidate, struct block *block,
                          struct problem *problem)
{
    struct control *c = wait->control;
    enum tg_err err = publish_patiently(wait, block);
    if (err != TG_OK) {
        problem_set(
            problem, 507, "region-full", "",
            "no room in the region (%s): requests and connections still use older generations; "
            "nothing was changed, try again, or raise arena_mb",
            tg_err_text(err));
        return false;
    }
    wait->deadline = control_now() + c->config.apply_timeout_ms * TG_MS;
    enum outcome outcome = workers_persuade(wait, block);
    if (outcome == OUTCOME_REFUSED) {
        late_describe(wait, outcome, problem);
        region_undo(c, wait->kind);
        return false;
    }
    json_decref(c->model);
    c->model = json_incref(candidate);
    c->pending[wait->kind] = false;
    if (outcome != OUTCOME_APPLIED)
        late_describe(wait, outcome, problem);
    region_collect(&c->region);
    return true;
}

bool change_apply(struct control *c, enum tables_kind kind, json_t *candidate, uint64_t *generation,
                  struct problem *problem)
{
    struct block block = {0};
    char why[640];
    struct wait wait = {.control = c, .kind = kind};
    wait.deadline = control_now() + c->config.apply_timeout_ms * TG_MS;
    struct compile_node self = publish_self(c);
    bool good = compile_tables(kind, candidate, &self, &block, problem) &&
                publish_ready(c, problem) && fleet_commit(c, candidate, problem);
    bool committed = good;
    if (good && store_save(&c->store, candidate, why) != TG_OK) {
        problem_set(problem, 500, "storage", "", "nothing was changed: %s", why);
        store_undo(c);
        good = false;
    }
    if (good && !region_change(&wait, candidate, &block, problem)) {
        store_undo(c);
        good = false;
    }
    if (committed && !good)
        fleet_undo(c, candidate);
    *generation = wait.number;
    block_free(&block);
    json_decref(candidate);
    return problem->status == 0;
}
