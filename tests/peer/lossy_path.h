/* SPDX-License-Identifier: BSD-3-Clause
 * One direction of a bad line, as arithmetic: when does a frame arrive, once, twice or not at all? Called by
 * lossy_bridge.c; knows nothing of sockets, and is told the time.
 *
 * A frame meets, in this order: loss, the queue (full: dropped), the rate, delay and jitter (which keep the order), and
 * reordering (which holds single frames back, so that later ones overtake them).
 */
#ifndef TESTS_PEER_LOSSY_PATH_H
#define TESTS_PEER_LOSSY_PATH_H

#include "base/hash.h"
#include "base/types.h"

#define LOSSY_MILLION      1000000u
#define LOSSY_DELAY_US_MAX 10000000u

struct lossy_options {
    uint32_t loss_ppm, duplicate_ppm, reorder_ppm; /* chances of a frame, millionths */
    uint32_t delay_us, jitter_us; /* each frame takes delay + [0, jitter], in order */
    uint32_t reorder_us;          /* how much later a reordered frame comes */
    uint64_t rate_kbit;           /* kbit/s, Ethernet header counted; 0: no limit */
    uint32_t queue_bytes;         /* that may wait for the rate; 0: no limit */
};

struct lossy_path {
    struct lossy_options options;
    struct prng prng;
    tg_ns idle_at; /* when the last bit of what waits for the rate has left */
    tg_ns last;    /* arrival of the last frame that was not reordered */
    /* counts of frames */
    uint64_t frames, bytes, lost, queue_full, duplicated, reordered;
};

void lossy_path_init(struct lossy_path *p, const struct lossy_options *options, uint64_t seed);

/* What becomes of a frame of `len` bytes that enters at `now`: writes its 0, 1 or 2 times of arrival, returns how many.
 * Same options, seed, frames and times: same fates. */
unsigned lossy_path_send(struct lossy_path *p, size_t len, tg_ns now, tg_ns at[2]);

/* Read options from text, "loss=1,reorder=10,delay=0.2": loss, duplicate, reorder in %; delay, jitter, reorder-delay in ms; rate in
 * Mbit/s; queue in kB. What is not named stays as it is. False: *problem says what is wrong (static text). */
bool lossy_options_read(const char *text, struct lossy_options *options, const char **problem);

#endif
