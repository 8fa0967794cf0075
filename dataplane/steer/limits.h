/* SPDX-License-Identifier: BSD-3-Clause
 * How many packets one source may have us send to other nodes: a token bucket per prefix, so that a flood
 * of forged strangers at one node does not become a flood at all. Written by steer_forward of one worker.
 * Floor 2: base, net.
 */
#ifndef DATAPLANE_STEER_LIMITS_H
#define DATAPLANE_STEER_LIMITS_H

#include "net/wire.h"

#define STEER_LIMITS_BUCKETS 4096u

/* A bucket is one number: when it will be full again (the generic cell rate algorithm). Sources share
 * buckets by a keyed hash of their /24 or /56: who meets a neighbour that floods is limited with it, and
 * nobody can choose whom to meet. */
struct steer_limits {
    uint64_t key[2];
    tg_ns cost;  /* of a packet */
    tg_ns depth; /* what may be owed */
    tg_ns full_at[STEER_LIMITS_BUCKETS];
};

/* per_second > 0; burst > 0: packets that may come at once after a rest. key: secret of the worker. */
void steer_limits_init(struct steer_limits *limits, uint64_t per_second, uint64_t burst,
                       const uint64_t key[2]);

/* Take a token of this source's bucket; false: there is none. */
bool steer_limits_take(struct steer_limits *limits, const struct ip_addr *source, tg_ns now);

#endif
