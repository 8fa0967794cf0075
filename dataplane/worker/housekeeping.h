/* SPDX-License-Identifier: BSD-3-Clause
 * The thread beside the packet path: makes tables usable that a worker must not build itself. Verifies a generation
 * in the region, opens WAF programs, builds TLS contexts (one set per worker), takes back what is out of use. The
 * only place above io/ that allocates after start. Runs in main's thread. Floor 4: contract, io, tls, waf.
 */
#ifndef DATAPLANE_WORKER_HOUSEKEEPING_H
#define DATAPLANE_WORKER_HOUSEKEEPING_H

#include "contract/region.h"
#include "io/io.h"
#include "tls/tls.h"
#include "waf/waf.h"
#include "worker/mailbox.h"

#define HOUSEKEEPING_PROGRAMS 16

struct housekeeping {
    const struct region *region;
    struct io_host *host; /* takes the drop rules too; NULL: no ports */
    unsigned workers;
    struct {
        struct mailbox *mail;
        struct waf_worker *waf;
    } worker[TG_WORKERS_MAX];
    struct tls_policy policy;
    struct {
        struct waf_program *program; /* NULL: free place */
        uint64_t number;
        unsigned holders; /* workers that have it */
    } programs[HOUSEKEEPING_PROGRAMS];
};

/* Ask, in every worker's name, for what the region holds already: once, before the workers turn. */
void housekeeping_ask_all(struct housekeeping *housekeeping);

/* Answer what the workers have asked; returns how many questions there were. Call about every millisecond. */
unsigned housekeeping_turn(struct housekeeping *housekeeping);

/* Close what is left, after the workers are gone. */
void housekeeping_end(struct housekeeping *housekeeping);

#endif
