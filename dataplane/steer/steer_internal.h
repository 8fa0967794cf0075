/* SPDX-License-Identifier: BSD-3-Clause
 * Between the files that give verdicts: steer.c (everybody), steer_fleet.c (what a fleet changes). Floor 2.
 */
#ifndef DATAPLANE_STEER_STEER_INTERNAL_H
#define DATAPLANE_STEER_STEER_INTERNAL_H

#include "steer/steer.h"
#include "steer/tunnel.h"

/* --- steer.c --------------------------------------------------------------------------------- */
enum buf_verdict steer_drop_for(struct buf *b, enum tg_counter reason);
/* LOCAL, or CORE: the worker of this node that serves the hash. */
enum buf_verdict steer_to_worker(const struct steer *steer, struct buf *b, uint32_t hash);
/* RST, or DROP. */
enum buf_verdict steer_ownerless(struct buf *b);
/* TG_C_none: to an address of ours, from another's. */
enum tg_counter steer_check_addresses(const struct steer *steer, const struct buf *b);
enum buf_verdict steer_by_protocol(const struct steer *steer, struct buf *b);

/* --- steer_fleet.c: steer->fleet is not NULL ------------------------------------------------------ */
/* The destination is our own tunnel address: no other node has it. */
bool steer_is_own(const struct steer *steer, const struct buf *b);
/* b->path is set: where the packet has been. */
enum buf_verdict steer_fleet_tcp(const struct steer *steer, struct buf *b);
enum buf_verdict steer_fleet_icmp(const struct steer *steer, struct buf *b,
                                  const struct net_icmp_error *error);
/* A UDP packet for which tunnel_is and steer_is_own are true. */
enum buf_verdict steer_fleet_tunnel(const struct steer *steer, struct buf *b, tg_ns now);

#endif
