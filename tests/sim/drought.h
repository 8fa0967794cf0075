/* SPDX-License-Identifier: BSD-3-Clause
 * A fault with an oracle of its own: all frames of a host are gone for a while, and so is every one that comes home in
 * that time. The paths are good in such a run, so that when frames are back, whoever had something in flight that the
 * other end misses must get on within one retransmission timeout. Used by scenario_tcp.
 */
#ifndef TESTS_SIM_DROUGHT_H
#define TESTS_SIM_DROUGHT_H

#include "tests/sim/endpoint.h"

#define DROUGHT_WATCHES 240

/* One direction of a connection that had something to move when frames came back. */
struct drought_watch {
    const struct endpoint *from, *to;
    uint32_t arrived; /* bytes that `to` had then */
    uint32_t snd_una; /* of `from` */
    tg_ns due;
};

struct drought {
    bool on; /* this run has some */
    struct sim *sim;
    struct host *hosts;              /* [2] */
    struct endpoint (*endpoints)[2]; /* [count] */
    unsigned count;
    struct prng rng;
    struct timer timer;  /* on hosts[0]: the next one begins, or this one ends */
    unsigned left, done; /* how many are to come; have been */
    unsigned victim;
    bool dry;
    struct buf_queue held;
    tg_ns delay; /* of the paths, one way */
    struct drought_watch watches[DROUGHT_WATCHES];
    unsigned watch_count;
};

/* Whether this run has droughts; drawn apart, so that runs without are as they were. */
bool drought_draw(struct drought *drought, struct sim *sim);
/* The hosts are open: good paths and cards, and the first drought's time. */
void drought_start(struct drought *drought, struct host hosts[2], struct endpoint endpoints[][2],
                   unsigned count);
/* In each turn of a host (0, 1) after input: take what is there, look who has moved. */
void drought_turn(struct drought *drought, unsigned side, tg_ns now);
/* Give everything back. */
void drought_end(struct drought *drought);

#endif
