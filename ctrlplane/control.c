/* SPDX-License-Identifier: BSD-3-Clause
 * Start, end and the regular work of tidegate-ctl, without the server. See control.h. Called by
 * main and tests.
 */
#include "ctrlplane/control.h"

#include "base/log.h"
#include "ctrlplane/model.h"
#include "ctrlplane/publish.h"

#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define LOOK_EVERY (200 * TG_MS)

tg_ns control_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (tg_ns)t.tv_sec * TG_S + (tg_ns)t.tv_nsec;
}

bool control_group(const struct config *config, int *gid, char problem[640])
{
    *gid = -1;
    if (!config->group[0])
        return true;
    const struct group *group = getgrnam(config->group);
    if (!group) {
        snprintf(problem, 640, "group: there is no group \"%s\" on this system", config->group);
        return false;
    }
    *gid = (int)group->gr_gid;
    return true;
}

/* A file that is named must be good: a node that lost its keys is no part of its fleet, and nobody would see why. */
static bool fleet_keys_load(struct control *c, char problem[640])
{
    char why[512];
    if (!c->config.secrets[0])
        return true;
    c->has_secrets = secrets_load(c->config.secrets, &c->secrets, why) == TG_OK;
    if (!c->has_secrets)
        snprintf(problem, 640, "node.secrets: %s", why);
    return c->has_secrets;
}

static bool state_load(struct control *c, char problem[640])
{
    switch (store_load(&c->store, &c->model, problem)) {
    case TG_OK:
        log_info("%s: loaded", c->store.path);
        return true;
    case TG_NOT_FOUND:
        log_warn("%s: there is no state file yet: starting without resources", c->store.path);
        return true;
    default:
        return false;
    }
}

bool control_open(struct control *c, const struct config *config, char problem[640])
{
    int gid;
    memset(c, 0, sizeof *c);
    c->config = *config;
    c->audit.fd = c->store.lock_fd = -1;
    c->started = control_now();
    if (!control_group(config, &gid, problem) || !fleet_keys_load(c, problem) ||
        store_open(&c->store, config->state, problem) != TG_OK || !state_load(c, problem) ||
        audit_open(&c->audit, config->audit, gid, problem) != TG_OK) {
        control_close(c);
        return false;
    }
    publish_look(c);
    fleet_open(c);
    c->next_look = c->started + LOOK_EVERY;
    c->next_second = c->started + TG_S;
    return true;
}

void control_close(struct control *c)
{
    if (c->attached) {
        audit_drain(&c->audit, &c->region, control_now());
        region_close(&c->region);
    }
    c->attached = false;
    fleet_close(c);
    if (c->audit.fd >= 0)
        audit_close(&c->audit);
    store_close(&c->store);
    json_decref(c->model);
    c->model = NULL;
    explicit_bzero(&c->secrets, sizeof c->secrets);
    c->has_secrets = false;
}

static void busy_sample(struct control *c, tg_ns now)
{
    for (unsigned w = 0; c->attached && w < c->region.layout->header.workers; w++) {
        uint64_t busy = __atomic_load_n(
            &region_worker(&c->region, w)->stats.value[TG_C_worker_busy_ns], __ATOMIC_RELAXED);
        double share = c->busy_at && busy >= c->busy_ns[w] && now > c->busy_at
                           ? (double)(busy - c->busy_ns[w]) / (double)(now - c->busy_at)
                           : 0;
        c->busy_share[w] = share > 1 ? 1 : share;
        c->busy_ns[w] = busy;
    }
    c->busy_at = c->attached ? now : 0;
}

void control_tick(struct control *c, tg_ns now)
{
    if (now >= c->next_look) {
        publish_look(c);
        c->next_look = now + LOOK_EVERY;
    }
    if (c->attached)
        audit_drain(&c->audit, &c->region, now);
    if (now >= c->next_second) {
        publish_repeat(c);
        busy_sample(c, now);
        audit_follow(&c->audit);
        c->next_second = now + TG_S;
    }
}
