/* SPDX-License-Identifier: BSD-3-Clause
 * WAF events: from the workers' rings to the audit file, one JSON line each, and the last ones kept
 * in memory for the API. Bytes of an event come from a client and are not trusted to be text.
 * Called by control and api_status.
 */
#ifndef CTRLPLANE_AUDIT_H
#define CTRLPLANE_AUDIT_H

#include "base/result.h"
#include "contract/region.h"
#include <jansson.h>

#define AUDIT_KEPT 1000

struct audit {
    char path[256];
    int fd;
    uint64_t written, failed; /* lines */
    tg_ns complained;         /* last log line about a failure */
    json_t *recent[AUDIT_KEPT];
    unsigned first, count; /* of recent[], oldest first */
};

/* Open the file for appending (mode 0640), its directory made if need be. TG_SYSTEM: `problem`
 * says why. */
enum tg_err audit_open(struct audit *audit, const char *path, int gid, char problem[640]);
void audit_close(struct audit *audit);

/* Take all waiting events of all workers. Returns how many. */
unsigned audit_drain(struct audit *audit, const struct region *region, tg_ns now);

/* Follow a rotation: when the path names another file, or none, open it anew. */
void audit_follow(struct audit *audit);

/* The last `limit` events, oldest first: a new array. */
json_t *audit_recent(const struct audit *audit, unsigned limit);

/* One event as JSON; for audit_drain and tests. New reference. */
json_t *audit_event_json(const struct event *event);

#endif
