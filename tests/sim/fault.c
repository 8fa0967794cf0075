/* SPDX-License-Identifier: BSD-3-Clause
 * Which faults happen: all, or only the named ones.
 */
#include "tests/sim/fault.h"
#include <stdio.h>

static bool listed(const struct sim_faults *faults, fault_id id)
{
    size_t low = 0, high = faults->only_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (faults->only[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < faults->only_count && faults->only[low] == id;
}

bool fault_happens(struct sim_faults *faults, enum sim_fault_kind kind, unsigned place,
                   uint64_t number)
{
    fault_id id = fault_make(kind, place, number);
    if (faults->limited && !listed(faults, id))
        return false;
    faults->counts[kind]++;
    if (faults->seen_count < faults->seen_cap)
        faults->seen[faults->seen_count++] = id;
    return true;
}

const char *fault_name(enum sim_fault_kind kind)
{
    static const char *const names[FAULT_KINDS] = {
        [FAULT_LOSS] = "loss",
        [FAULT_DUPLICATE] = "duplicate",
        [FAULT_REORDER] = "reorder",
        [FAULT_CORRUPT] = "corrupt",
        [FAULT_TRUNCATE] = "truncate",
        [FAULT_GARBAGE] = "garbage",
        [FAULT_RESEGMENT] = "resegment",
        [FAULT_FORGE] = "forge",
        [FAULT_CLOG] = "clog",
        [FAULT_PARTITION] = "partition",
        [FAULT_CE] = "ce",
        [FAULT_QUEUE_FULL] = "queue-full",
        [FAULT_JITTER] = "jitter",
        [FAULT_MTU] = "mtu",
        [FAULT_MTU_SILENT] = "mtu-silent",
        [FAULT_OUTAGE] = "outage",
        [FAULT_STRIP] = "strip",
        [FAULT_SHIFT] = "shift",
        [FAULT_CLAMP] = "clamp",
        [FAULT_MSS] = "mss",
        [FAULT_HOARD] = "hoard",
        [FAULT_REFILL] = "refill",
        [FAULT_ALLOC] = "alloc",
        [FAULT_TX_FULL] = "tx-full",
        [FAULT_LIE_GOOD] = "lie-good",
        [FAULT_LIE_BAD] = "lie-bad",
        [FAULT_MERGE] = "merge",
        [FAULT_WRONG_QUEUE] = "wrong-queue",
        [FAULT_CONNECTION] = "connection",
    };
    return kind < FAULT_KINDS && names[kind] ? names[kind] : "?";
}

const char *fault_text(fault_id id, char out[64])
{
    unsigned place = (unsigned)(id >> 48 & 255);
    snprintf(out, 64, "%s %u>%u flow %u #%u", fault_name((enum sim_fault_kind)(id >> 56)),
             place >> 4, place & 15, (unsigned)(id >> 32 & 0xffff), (unsigned)id);
    return out;
}
