/* SPDX-License-Identifier: BSD-3-Clause
 * How new tables reach a worker, between two bursts, without a lock:
 *
 *   tidegate-ctl --command ring--> worker --BUILD--> housekeeping (verifies the checksum, opens or builds)
 *                                  worker <-READY--- housekeeping
 *   region_worker.applied <-- worker (the acknowledgement)          worker --FREE--> housekeeping
 *
 * Only the worker reads its command ring and writes its acknowledgements; only the housekeeping thread
 * touches bytes of the region at length or allocates. Both rings are SPSC. Floor 4.
 */
#ifndef DATAPLANE_WORKER_MAILBOX_H
#define DATAPLANE_WORKER_MAILBOX_H

#include "base/ring.h"
#include "contract/region.h"

#define MAILBOX_ENTRIES 64

enum mail_op {
    MAIL_BUILD = 1, /* worker -> housekeeping: make generation `number` of `kind` usable */
    MAIL_READY, /* housekeeping -> worker: `object` as worker_use_table takes it, or `result` says why not */
    MAIL_FREE, /* worker -> housekeeping: nobody uses `object` any more */
};

struct mail {
    uint32_t op;     /* enum mail_op */
    uint32_t kind;   /* enum tables_kind */
    uint32_t result; /* enum tg_err, with MAIL_READY */
    uint32_t pad;
    uint64_t number;
    void *object;
};

struct mailbox {
    struct ring *commands;          /* in the region: from tidegate-ctl */
    struct ring *to_housekeeping;   /* struct mail; producer: worker */
    struct ring *from_housekeeping; /* struct mail; producer: housekeeping */
    uint64_t asked[TABLES_KINDS];   /* newest generation that was asked for; writer: worker */
};

/* Make the two local rings (cold); `commands` may be NULL (no region). */
enum tg_err mailbox_init(struct mailbox *mailbox, struct ring *commands);
void mailbox_free(struct mailbox *mailbox);

/* Ask for a generation unless it or a later one has been asked for. False: the ring is full, ask again
 * later. Worker only. */
bool mailbox_ask(struct mailbox *mailbox, enum tables_kind kind, uint64_t number);

/* Read at most a few commands and pass them on as questions; returns whether there were any. */
bool mailbox_read_commands(struct mailbox *mailbox);

/* The next table that is ready, if any. */
bool mailbox_next(struct mailbox *mailbox, struct mail *mail);

/* Give an object that is out of use to the housekeeping thread. False: full, try again later. */
bool mailbox_give_back(struct mailbox *mailbox, enum tables_kind kind, uint64_t number,
                       void *object);

#endif
