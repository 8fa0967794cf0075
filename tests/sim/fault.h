/* SPDX-License-Identifier: BSD-3-Clause
 * Decisions about faults. Everything that ails a run is asked for here by name: kind, place, number. The
 * name stays the same when other faults are switched off, so a failing run's faults can be taken away one
 * by one until only those are left that it needs (minimise.c). Called by paths, boxes, nodes; knows none.
 */
#ifndef TESTS_SIM_FAULT_H
#define TESTS_SIM_FAULT_H

#include "base/types.h"

enum sim_fault_kind {
    /* of one frame; place: the path, number: its how-many-eth frame */
    FAULT_LOSS = 1,
    FAULT_DUPLICATE,
    FAULT_REORDER,
    FAULT_CORRUPT,
    FAULT_TRUNCATE,
    FAULT_GARBAGE,
    FAULT_RESEGMENT,
    FAULT_FORGE,
    FAULT_CLOG,
    FAULT_PARTITION,
    FAULT_CE,
    FAULT_QUEUE_FULL,
    /* of a path for the whole run; number 0 */
    FAULT_JITTER,
    FAULT_MTU,
    FAULT_MTU_SILENT,
    FAULT_OUTAGE,
    /* of a middlebox for the whole run; place: the pair of ports */
    FAULT_STRIP,
    FAULT_SHIFT,
    FAULT_CLAMP,
    FAULT_MSS,
    /* inside of a node; place: the node, number: its how-many-eth such question */
    FAULT_HOARD,
    FAULT_REFILL,
    FAULT_ALLOC,
    FAULT_TX_FULL,
    FAULT_LIE_GOOD,
    FAULT_LIE_BAD,
    FAULT_MERGE,
    FAULT_WRONG_QUEUE,
    /* not a fault: a connection of the scenario is opened */
    FAULT_CONNECTION,
    FAULT_KINDS,
};

/* kind << 56 | place << 48 | number; a frame's number is its flow << 32 | its how-many-eth */
typedef uint64_t fault_id;

struct sim_faults {
    const fault_id *only; /* sorted; with `limited` nothing else happens */
    size_t only_count;
    bool limited;
    fault_id *seen; /* NULL, or room for what happens, in order; the caller's */
    size_t seen_count, seen_cap;
    uint64_t counts[FAULT_KINDS];
};

static inline fault_id fault_make(enum sim_fault_kind kind, unsigned place, uint64_t number)
{
    return (uint64_t)kind << 56 | (uint64_t)(place & 255) << 48 | (number & 0xffffffffffff);
}
/* True: let it happen. Counted and recorded. */
bool fault_happens(struct sim_faults *faults, enum sim_fault_kind kind, unsigned place,
                   uint64_t number);
/* "loss 0>1 #17"; returns out. */
const char *fault_text(fault_id id, char out[64]);
const char *fault_name(enum sim_fault_kind kind);

#endif
