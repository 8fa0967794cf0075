/* SPDX-License-Identifier: BSD-3-Clause
 * One direction of the bridge: a socket to read frames from, the path that decides (lossy_path.h), the frames under way,
 * a socket to write them to. Called by lossy_bridge.c.
 */
#ifndef TESTS_PEER_LOSSY_LANE_H
#define TESTS_PEER_LOSSY_LANE_H

#include "tests/peer/lossy_path.h"

#define LANE_FRAME_BYTES 2048u  /* longer frames are dropped and counted: offloads must be off */
#define LANE_FRAMES      32768u /* under way at a time; more are dropped and counted */
#define LANE_BATCH       64u    /* frames of one system call */

struct lane_due {
    tg_ns at;
    uint32_t order, slot; /* order: of arrival, so that equal times keep it */
};

struct lane {
    struct lossy_path path;
    int in, out; /* packet sockets; of the bridge */
    uint8_t (*frames)[LANE_FRAME_BYTES];
    uint16_t lens[LANE_FRAMES];
    uint32_t spare[LANE_FRAMES]; /* slots that hold no frame */
    unsigned spares;
    struct lane_due heap[LANE_FRAMES]; /* the next at [0] */
    unsigned waiting;
    uint32_t order;
    uint64_t sent, too_long, no_slot,
        refused; /* refused: by the interface (its queue is full, or it is down) */
};

/* False: no memory. */
bool lane_init(struct lane *l, const struct lossy_options *options, uint64_t seed, int in, int out);
void lane_free(struct lane *l);

/* Read one batch and decide about each; returns how many frames came. */
unsigned lane_receive(struct lane *l, tg_ns now);
/* Send what is due, a batch at most; returns how many frames. */
unsigned lane_send(struct lane *l, tg_ns now);
/* When the next frame is due; UINT64_MAX: none waits. */
tg_ns lane_next(const struct lane *l);

#endif
