/* SPDX-License-Identifier: BSD-3-Clause
 * What the files of the etcd store share: fleet_etcd.c (the connection, and what runs when), fleet_etcd_follow.c
 * (lists and the watch), fleet_etcd_write.c (writes and the heartbeat).
 *
 *   DOWN --retry--> LISTING --all pages--> STARTING --created--> FOLLOWING
 *     |                ^                      ^  |                   |
 *     |                +---- compacted -------|--+-------------------+
 *     +--retry, position known ---------------+
 *   any --a request fails, no sign of life--> DOWN
 *
 * What moves `position`: a list before its watch starts, and events. Nothing else: not time-outs, and not etcd's
 * progress notices, which in 3.4 before .25 can overtake events.
 */
#ifndef CTRLPLANE_FLEET_ETCD_INTERNAL_H
#define CTRLPLANE_FLEET_ETCD_INTERNAL_H

#include "ctrlplane/fleet_etcd_http.h"
#include "ctrlplane/fleet_etcd_json.h"

#define ETCD_ENDPOINTS_MAX 8
#define ETCD_ENDPOINT_TEXT 256
#define ETCD_QUEUE         8    /* batches; changes are added to the last one */
#define ETCD_LIST_MS       5000 /* for a page */
#define ETCD_CREATED_MS    3000 /* from the start of a watch to its first line */
#define ETCD_BEAT_MS       1000 /* between heartbeats, by the node that wrote the last one */
#define ETCD_BEAT_TAKE_MS                                                                          \
    1500 /* after so long, and up to as much again as ETCD_BEAT_MS, others write it */
#define ETCD_BEAT_TIMEOUT_MS 2000
#define ETCD_DEAD_MS         4000 /* without an event on the watch: connect anew */
#define ETCD_PAUSE_FIRST_MS  50   /* before the first reconnection; doubles, with jitter */
#define ETCD_PAUSE_LAST_MS   2000
#define ETCD_AUDIT_MS        60000 /* between comparisons of all revisions, with jitter */

enum etcd_state { ETCD_DOWN, ETCD_LISTING, ETCD_STARTING, ETCD_FOLLOWING };

struct etcd {
    struct fleet_store store;
    char endpoints[ETCD_ENDPOINTS_MAX][ETCD_ENDPOINT_TEXT];
    unsigned endpoint_count, endpoint;
    char prefix[FLEET_KEY_MAX], prefix_end[FLEET_KEY_MAX], heartbeat[FLEET_KEY_MAX];
    char *beat_value; /* tells our own heartbeats from others' */
    uint64_t random;
    struct http *http;

    enum etcd_state state;
    tg_ns since;    /* when the state began */
    tg_ns retry_at; /* DOWN */
    unsigned pause_ms;
    char problem[FLEET_PROBLEM]; /* why DOWN, "" when all is well */
    uint64_t lost, dropped;

    char cluster[24]; /* "" before the first list */
    int64_t position; /* the watch has brought all up to here; 0: a list is needed */
    int64_t handed;   /* highest revision that was ever handed out */
    tg_ns proof;      /* last event of the watch */

    struct http_request list;
    struct fleet_batch listing; /* pages so far */
    bool list_keys_only;
    int64_t list_revision; /* as of which all pages are; 0: the first page is out */
    bool load_wanted, audit_wanted;
    tg_ns audit_at;

    struct http_request watch;

    struct http_request beat;
    int64_t beat_revision; /* of the heartbeat key, 0: it does not exist */
    bool beat_mine;
    tg_ns beat_at; /* when it is our turn unless an event comes */

    struct http_request write;
    char *write_body, *write_value; /* kept: for another endpoint; what the first operation wants */
    unsigned write_attempts;
    tg_ns write_deadline;
    struct fleet_answer answer;

    struct fleet_batch queue[ETCD_QUEUE];
    unsigned queue_count;
};

static inline const char *etcd_endpoint(const struct etcd *e)
{
    return e->endpoints[e->endpoint];
}

/* fleet_etcd.c */
void etcd_set_state(struct etcd *e, enum etcd_state state, tg_ns now);
/* Give the connection up for now; the next attempt goes to the next endpoint. */
void etcd_lost(struct etcd *e, tg_ns now, const char *problem);
/* Put a batch in the queue; it is taken over. */
void etcd_queue(struct etcd *e, struct fleet_batch *batch);
/* 0 .. limit - 1 */
unsigned etcd_random(struct etcd *e, unsigned limit);
/* Why a request that is done did not bring an answer with status 200. */
void etcd_request_problem(const struct http_request *request, char problem[FLEET_PROBLEM]);

/* fleet_etcd_follow.c */
void etcd_list_start(struct etcd *e, bool keys_only);
void etcd_list_run(struct etcd *e, tg_ns now);
void etcd_watch_start(struct etcd *e, tg_ns now);
void etcd_watch_run(struct etcd *e, tg_ns now);

/* fleet_etcd_write.c */
void etcd_beat_run(struct etcd *e, tg_ns now);
/* Our turn to write the heartbeat comes after this. */
void etcd_beat_plan(struct etcd *e, tg_ns now);
void etcd_write_run(struct etcd *e, tg_ns now);
void etcd_write(struct fleet_store *store, const struct fleet_op ops[], unsigned count, tg_ns now,
                tg_ns deadline);

#endif
