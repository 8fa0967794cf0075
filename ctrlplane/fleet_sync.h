/* SPDX-License-Identifier: BSD-3-Clause
 * The fleet's resources and this node's model, kept the same. What the store brings is merged into the model and comes
 * into force like any change; what the API wants changed goes to the store first. The store rules: where the two
 * differ, its contents win. The model (and its state file) is the copy that the node lives on while the store is out
 * of reach.
 *
 * A store without fleet_keys.h's "meta" is new, and rules nothing yet: a node with resources puts them there.
 *
 * Certificates and key servers are this node's own; the store never sees them. Called by main, control, change, api.
 */
#ifndef CTRLPLANE_FLEET_SYNC_H
#define CTRLPLANE_FLEET_SYNC_H

#include "contract/config.h"
#include "ctrlplane/fleet.h"
#include "ctrlplane/problem.h"

#define FLEET_WRITE_MS 2000 /* for the store to answer a write, and for a connection under way */

struct control;

struct fleet {
    struct fleet_store *store;
    char prefix[FLEET_KEY_MAX];
    char node[33];
    json_t *known;   /* key -> revision that the model has; negative: gone since that revision */
    json_t *skipped; /* key -> sentence: left out, and why */
    unsigned snapshots, snapshots_wanted;
    bool posting;           /* the request under way makes a resource of a new name */
    bool conflict_own;      /* the last conflict was about the very resource of the request */
    bool unsaved;           /* the state file is behind the model */
    tg_ns save_at, load_at; /* when to try again; load_at 0: not */
    int64_t committed; /* revision of the last write of the API; 0: it did not touch the store */
    int64_t revision, in_force; /* of the store: in the model; in force on every worker */
    uint64_t conflicts,
        merged; /* writes refused; changes that came from the store and made a difference */
    char problem[FLEET_PROBLEM]; /* why the store is not used although it is connected; "" */
};

/* By the configuration: on etcd, or embedded. Never waits for the store. The model is there. */
void fleet_open(struct control *control);
void fleet_close(struct control *control);

/* For the loop: when fleet_run has work. -1: never, by this. */
int fleet_fd(const struct control *control);
int fleet_timeout_ms(const struct control *control, tg_ns now);
/* Take in what the store has. Changes the model: not while a request is answered. */
void fleet_run(struct control *control, tg_ns now);

/* Before a request that changes something: bring the model up to the store's state, as far as that is possible in
 * short time. */
void fleet_prepare(struct control *control);

/* Write the difference between the model and `candidate` to the store. True: it is there (or there is none).
 * False: the problem says why: 503 "fleet-store-unreachable", 409 "fleet-conflict", 413. */
bool fleet_commit(struct control *control, const json_t *candidate, struct problem *problem);
/* The candidate that was committed did not come into force: write the model to the store again. */
void fleet_undo(struct control *control, const json_t *candidate);

/* Revision of the store that is in force on every worker. */
int64_t fleet_in_force(struct control *control);
/* The "fleet" member of /v1/status. New reference. */
json_t *fleet_status_json(struct control *control);

#endif
