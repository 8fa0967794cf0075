/* SPDX-License-Identifier: BSD-3-Clause
 * The JSON forms of etcd's v3 gateway, as etcd 3.4 to 3.6 write and take them (api/etcdserverpb/rpc.proto in the
 * gateway's mapping: 64-bit numbers are strings, bytes are base64, what is zero or false is left out). Requests
 * come out as text, answers go in as text and come out as numbers and changes. Nothing in an answer is trusted.
 * Pure but for memory. Called by fleet_etcd.
 */
#ifndef CTRLPLANE_FLEET_ETCD_JSON_H
#define CTRLPLANE_FLEET_ETCD_JSON_H

#include "ctrlplane/fleet.h"

#define ETCD_PAGE 500 /* keys of one range answer */

/* What stands in every answer's header. */
struct etcd_header {
    char cluster[24]; /* cluster_id as text */
    int64_t revision; /* of the whole store when it answered */
};

/* POST /v3/kv/range: the keys from `from` up to but without `end`, a page of them. malloc'd.
 * from      in base64, as etcd_range.next is
 * revision  as of which; 0: now */
char *etcd_range_request(const char *from, const char *end, int64_t revision, bool keys_only);

struct etcd_range {
    struct etcd_header header;
    char *next; /* where the next page begins, in base64, malloc'd; NULL: this was the last one */
};

/* Append an answer's keys to `batch`. False: not such an answer, and range->next is NULL. */
bool etcd_range_read(struct span text, bool keys_only, struct etcd_range *range,
                     struct fleet_batch *batch);

/* POST /v3/kv/txn: all operations, if every key has its expected revision; otherwise a look at the first key. */
char *etcd_txn_request(const struct fleet_op ops[], unsigned count);

struct etcd_txn {
    struct etcd_header header;
    bool succeeded;
    int64_t found; /* not succeeded: revision of the first key, 0: it does not exist */
    char *value;   /* not succeeded: its value, malloc'd; NULL: it does not exist */
};
bool etcd_txn_read(struct span text, struct etcd_txn *txn);

/* POST /v3/watch: everything under `key` up to `end` from `revision` on. */
char *etcd_watch_request(const char *key, const char *end, int64_t revision);

/* One line of the stream of a watch. */
struct etcd_watch {
    struct etcd_header header;
    bool created, canceled;
    int64_t compact_revision;    /* with canceled: what was asked for is older than this and gone */
    char problem[FLEET_PROBLEM]; /* the stream ends with this error; "" otherwise */
};
/* Append the line's changes to `batch`. False: not such a line. */
bool etcd_watch_read(struct span line, struct etcd_watch *watch, struct fleet_batch *batch);

/* The sentence of an error answer, and its gRPC code (-1: there is none), whatever the text is. */
int etcd_error_read(struct span text, char problem[FLEET_PROBLEM]);

/* The first key that is behind all keys that start with `prefix`. */
void etcd_prefix_end(const char *prefix, char end[FLEET_KEY_MAX]);

#endif
