/* SPDX-License-Identifier: BSD-3-Clause
 * The ladder: which node may have the connection that a packet belongs to, when we have it not
 * (architecture, "owner cookies"; its first rung, our own flow table, is steer's). Each packet by itself,
 * read only. Called by steer. Floor 2: fleet.
 *
 *   1 the newest owner of its bucket in this site   most strangers came to another node of the right site
 *   2 the timestamp that it echoes                  tagged, so the answer is believed: the last rung then
 *   3 the sequence number that it acknowledges      the site, no more: ours means a former owner of the
 *                                                   bucket; another's node finds its way from there
 *   4 the bucket's former owners                    when nothing names anybody
 *
 * The architecture sorts rungs by cost and asks former owners earlier; but an answer that costs 20 ns is
 * cheaper than a question that costs a tunnel, so what the packet itself says goes first.
 */
#ifndef DATAPLANE_STEER_LADDER_H
#define DATAPLANE_STEER_LADDER_H

#include "base/stats.h"
#include "steer/fleet.h"

/* What a packet says. */
struct ladder_evidence {
    struct ip_tuple tuple; /* as we see it */
    bool has_timestamp, has_sequence;
    uint32_t timestamp; /* one of ours: TSecr, or TSval of a quoted packet */
    uint32_t sequence;  /* one of ours: SEG.ACK - 1, or SEG.SEQ of a quoted packet */
};

struct ladder_answer {
    uint16_t slot;        /* of a living node, not ours */
    uint8_t tries;        /* rungs used up with it: `tries` of the next question */
    enum tg_counter rung; /* steer_by_... */
};

/* The next node to ask. owners: of the table in force, with our buckets. tries: rungs used up so far, 0 at
 * first. never: a slot that is not the answer; OWNER_SLOT_NONE: any may be. False: nobody is left. The same
 * packet meets the same rungs in the same order as long as the tables stay. */
bool ladder_next(const struct fleet *fleet, const struct tables_owners *owners,
                 const struct ladder_evidence *evidence, unsigned tries, uint16_t never,
                 struct ladder_answer *answer);

/* The bucket of a tuple: its owner slots, newest first. */
const uint16_t *ladder_bucket(const struct fleet *fleet, const struct tables_owners *owners,
                              const struct ip_tuple *tuple);

#endif
