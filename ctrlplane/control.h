/* SPDX-License-Identifier: BSD-3-Clause
 * The state of tidegate-ctl: one struct, one thread. main makes it and drives it; the API handlers
 * and publish work on it.
 */
#ifndef CTRLPLANE_CONTROL_H
#define CTRLPLANE_CONTROL_H

#include "contract/config.h"
#include "contract/region.h"
#include "contract/secrets.h"
#include "ctrlplane/audit.h"
#include "ctrlplane/fleet_sync.h"
#include "ctrlplane/problem.h"
#include "ctrlplane/store.h"

#define CONTROL_VERSION "0.1.0"

struct control {
    struct config config;
    struct store store;
    json_t *model; /* in force: what the state file holds */
    struct audit audit;
    struct fleet fleet;
    struct secrets secrets; /* the fleet's keys, if the configuration names their file */
    bool has_secrets;
    char alone_why[640]; /* why the owners published last are not a fleet's; "" */
    tg_ns started;

    /* the region, while attached */
    struct region region;
    bool attached;
    uint64_t boot_id;
    char detached_why[256];     /* one sentence, while not attached */
    bool pending[TABLES_KINDS]; /* the region does not hold what the model says: to be published */
    unsigned
        persuade[TABLES_KINDS];   /* how often a generation that a worker refuses is offered anew */
    tg_ns next_look, next_second; /* control_tick's own deadlines */

    /* busy share per worker over the last second or so */
    uint64_t busy_ns[TG_WORKERS_MAX];
    tg_ns busy_at;
    double busy_share[TG_WORKERS_MAX];
};

/* Load the state, open the audit file, look for the region. False: `problem` says in one
 * sentence why not, nothing is left open. `config` is copied. */
bool control_open(struct control *control, const struct config *config, char problem[640]);
void control_close(struct control *control);

/* What has to be done regularly, every 20 ms: drain the event rings; look for a new region;
 * repeat what failed. */
void control_tick(struct control *control, tg_ns now);

/* The group of the socket and the audit file by the configuration: -1 for none. False: there is
 * no such group. */
bool control_group(const struct config *config, int *gid, char problem[640]);

/* CLOCK_MONOTONIC in nanoseconds, as the heartbeats in the region. */
tg_ns control_now(void);

#endif
