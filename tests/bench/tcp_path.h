/* SPDX-License-Identifier: BSD-3-Clause
 * For tcp_recovery: a path of 100 Mbit/s and 25 ms each way with a queue of one bandwidth-delay product in front of
 * its slow link, which loses or overtakes as a seed says. Only the direction of the data loses and overtakes, and only
 * packets with payload. Knows frames of IPv4, nothing else.
 */
#ifndef TESTS_BENCH_TCP_PATH_H
#define TESTS_BENCH_TCP_PATH_H

#include "base/hash.h"
#include "base/types.h"

#define PATH_BYTE_NS   80u          /* 100 Mbit/s */
#define PATH_DELAY     (25 * TG_MS) /* one way */
#define PATH_QUEUE_MAX 625000u      /* bytes that wait for the link: 50 ms of it */
#define PATH_OVERTAKE  (5 * TG_MS)  /* how much later a packet comes that is overtaken */
#define PATH_FRAME     1518u        /* bytes */
#define PATH_FRAMES    8192u        /* on the way at most, each direction */

struct path_frame {
    uint16_t len;
    uint8_t bytes[PATH_FRAME];
};

struct path_way {
    tg_ns at[PATH_FRAMES]; /* when each arrives; unordered */
    struct path_frame frames[PATH_FRAMES];
    unsigned count;
    tg_ns free_at; /* when the link has sent what waits */
    unsigned loss_permille, overtaken_permille;
    uint64_t taken, lost, overflowed, overtaken; /* packets with payload */
    struct prng prng;
};

/* A frame enters at `now`: copied. */
void path_enter(struct path_way *way, const uint8_t *frame, unsigned len, tg_ns now);
/* Take the frame that arrives first, if it does by `now`; false: none. The caller copies it before it calls again. */
bool path_leave(struct path_way *way, tg_ns now, const struct path_frame **frame);
/* When the next one arrives; UINT64_MAX: nothing is on the way. */
tg_ns path_next(const struct path_way *way);

#endif
