/* SPDX-License-Identifier: BSD-3-Clause
 * Does the port's hash mean what we take it for? Flow table, worker and port choice of active opens all stand
 * on it, and ports differ: some hash under a key of their own, some swap source and destination, some hash
 * addresses alone. So the first frames that come with a hash are hashed again in software; one that
 * differs, and the port's hash is not used any more: software hashes every frame, and what the port brought to
 * the wrong worker is handed over. Called by the worker between filter and steer. Floor 2.
 */
#ifndef DATAPLANE_STEER_STEER_HASH_H
#define DATAPLANE_STEER_STEER_HASH_H

#include "base/buf.h"
#include "base/hash.h"
#include "base/stats.h"

#define STEER_HASH_TRIAL 256u /* frames that must agree */

/* One worker's; zeroed but for the pointers, it begins its trial. */
struct steer_hash {
    const struct toeplitz *toeplitz;
    struct stats *stats;
    unsigned agreed;    /* frames of the trial so far */
    bool misled;        /* the port's hash is not ours: never used again */
    unsigned workers;   /* with `spread`: whom the hash leads to is checked, too */
    unsigned worker;    /* who receives here */
    bool spread;        /* the port has a queue for each worker */
    unsigned misplaced; /* frames of the trial that came to the wrong worker */
};

/* Check, or put right, rx_hash of n parsed frames. Counted: steer_hash_wrong (a port found out),
 * steer_hash_misplaced (frames of the trial whose hash leads to another worker). */
void steer_hash_check(struct steer_hash *hash, struct buf *burst[], unsigned n);

/* True once the trial has shown that whoever receives a frame is the one that its hash names
 * (steer.spread_by_port); before, and for ever when it has not, software hands frames over. */
bool steer_hash_places(const struct steer_hash *hash);

#endif
