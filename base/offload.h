/* SPDX-License-Identifier: BSD-3-Clause
 * What a network card does to frames that leave: checksums, and segments cut out of super-segments (TSO).
 * The software model: called by io_sim.c, and by tests that compare what is on the wire with and without. Knows
 * of protocols no more than where a card finds what it changes. Floor 0.
 */
#ifndef BASE_OFFLOAD_H
#define BASE_OFFLOAD_H

#include "base/buf.h"

/* The chain's bytes in one piece; returns how many. They must fit into `max`. */
size_t offload_gather(const struct buf *b, uint8_t out[], size_t max);

/* Fill in the checksums that b->flags ask for; frame[len] are b's bytes, gathered. An IPv4 header checksum is computed
 * anew, the transport's field holds the pseudo-header's sum. */
void offload_checksums(const struct buf *b, uint8_t *frame, size_t len);

/* The same for a port that does not cut, but fills in the transport's checksum: turn the super-segment b into ordinary
 * frames, in place: each piece gets the headers in front of its own payload, where its headroom is (BUF_HEADROOM holds
 * all of ours). out[b->segments] takes over the references that b held of them; b goes home. */
void offload_split(struct buf_pool *pool, struct buf *b, struct buf *out[]);

/* Write segment `number` (from 0) of the super-segment b, whose bytes, gathered, are `super`, as it goes onto the wire.
 * Returns its length; 0: there is no such segment. out has room for the headers and a segment's payload. */
size_t offload_cut(const struct buf *b, struct span super, unsigned number, uint8_t out[]);

#endif
