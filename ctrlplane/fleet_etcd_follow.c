/* SPDX-License-Identifier: BSD-3-Clause
 * How the contents of etcd come in: lists by pages, all as of one revision, and the watch. Called by fleet_etcd.
 */
#include "ctrlplane/fleet_etcd_internal.h"

#include "base/log.h"
#include "ctrlplane/base64.h"

#include <stdlib.h>
#include <string.h>

/* The heartbeat's key is the store's own: it is noted, and not handed out. */
static void heartbeat_take(struct etcd *e, struct fleet_batch *batch)
{
    for (unsigned i = batch->count; i-- > 0;) {
        const struct fleet_change *c = &batch->changes[i];
        if (strcmp(c->key, e->heartbeat) != 0)
            continue;
        if (batch->kind != FLEET_LISTING && c->revision > e->beat_revision) {
            e->beat_revision = c->value ? c->revision : 0;
            e->beat_mine = c->value && strcmp(c->value, e->beat_value) == 0;
        }
        fleet_batch_drop(batch, i);
    }
}

/* --- lists ---------------------------------------------------------------------------------- */

static void page_ask(struct etcd *e, const char *from)
{
    char *body = etcd_range_request(from, e->prefix_end, e->list_revision, e->list_keys_only);
    http_post(e->http, &e->list, etcd_endpoint(e), "/v3/kv/range", body, ETCD_LIST_MS);
}

void etcd_list_start(struct etcd *e, bool keys_only)
{
    http_stop(e->http, &e->list);
    fleet_batch_free(&e->listing);
    e->list_keys_only = keys_only;
    e->list_revision = 0;
    e->audit_wanted = false;
    e->load_wanted = e->load_wanted && keys_only;
    char *from = base64_encode(span_from_string(e->prefix));
    page_ask(e, from);
    free(from);
}

/* All pages are there. */
static void list_end(struct etcd *e, const char *cluster, tg_ns now)
{
    bool stranger = e->cluster[0] && strcmp(cluster, e->cluster) != 0;
    if (e->state == ETCD_FOLLOWING && stranger) {
        e->position = 0;
        etcd_lost(e, now, "another cluster than the watch's answers");
        return;
    }
    e->listing.kind = e->list_keys_only ? FLEET_LISTING : FLEET_SNAPSHOT;
    e->listing.revision = e->list_revision;
    heartbeat_take(e, &e->listing);
    if (e->state == ETCD_FOLLOWING) {
        etcd_queue(e, &e->listing);
        return;
    }
    /* An empty data directory, or a backup of it: what was known of revisions is void. */
    e->listing.reset = stranger || e->list_revision < e->handed;
    if (e->listing.reset)
        log_warn("etcd %s: the store is another one or an older state (revision %lld, not %lld)",
                 etcd_endpoint(e), (long long)e->list_revision, (long long)e->handed);
    memcpy(e->cluster, cluster, sizeof e->cluster);
    e->position = e->list_revision;
    etcd_queue(e, &e->listing);
    etcd_watch_start(e, now);
}

void etcd_list_run(struct etcd *e, tg_ns now)
{
    struct etcd_range range = {0};
    char problem[FLEET_PROBLEM];
    if (!e->list.done)
        return;
    bool good = e->list.result == HTTP_ANSWERED && e->list.status == 200 &&
                etcd_range_read(span_make(e->list.bytes, e->list.len), e->list_keys_only, &range,
                                &e->listing);
    if (!good || e->listing.count > FLEET_EVENTS_MAX || range.header.revision <= 0) {
        etcd_request_problem(&e->list, problem);
        etcd_lost(e, now, good ? "more keys than a fleet may have" : problem);
        free(range.next);
        return;
    }
    http_stop(e->http, &e->list);
    if (e->list_revision == 0)
        e->list_revision = range.header.revision; /* the first page's: the others are as of it */
    if (range.next)
        page_ask(e, range.next);
    else
        list_end(e, range.header.cluster, now);
    free(range.next);
}

/* --- the watch ------------------------------------------------------------------------------ */

void etcd_watch_start(struct etcd *e, tg_ns now)
{
    char *body = etcd_watch_request(e->prefix, e->prefix_end, e->position + 1);
    http_post(e->http, &e->watch, etcd_endpoint(e), "/v3/watch", body, 0);
    etcd_set_state(e, ETCD_STARTING, now);
}

/* The first line. False: the stream is of no use and was ended. */
static bool created_take(struct etcd *e, const struct etcd_watch *w, tg_ns now)
{
    if (w->header.revision < e->position) {
        /* A member that lags behind, or a store that went back: a list goes through the leader and tells. */
        e->position = 0;
        etcd_lost(e, now, "the store's revision is behind what it has told already");
        return false;
    }
    e->proof = now;
    etcd_set_state(e, ETCD_FOLLOWING, now);
    etcd_beat_plan(e, now);
    return true;
}

static void events_take(struct etcd *e, struct fleet_batch *batch, tg_ns now)
{
    int64_t before = e->position;
    for (unsigned i = batch->count; i-- > 0;) {
        if (batch->changes[i].revision > e->position)
            e->position = batch->changes[i].revision;
        if (batch->changes[i].revision <= before) {
            fleet_batch_drop(batch, i);
            e->dropped++;
        }
    }
    if (e->position == before)
        return;
    heartbeat_take(e, batch);
    e->proof = now;
    e->pause_ms = ETCD_PAUSE_FIRST_MS;
    etcd_beat_plan(e, now);
    batch->revision = e->position;
    if (batch->count > 0)
        etcd_queue(e, batch);
    else if (e->handed < e->position)
        e->handed = e->position;
}

/* What is wrong with a line; NULL: nothing. */
static const char *line_fault(const struct etcd *e, const struct etcd_watch *w,
                              const struct fleet_batch *batch)
{
    if (w->problem[0])
        return w->problem;
    if (strcmp(w->header.cluster, e->cluster) != 0)
        return "the watch is of another cluster";
    if (e->state == ETCD_STARTING && !w->created && !w->canceled)
        return "the watch does not begin with its beginning";
    return e->state == ETCD_FOLLOWING && batch->count > 0 && w->header.revision < e->position
               ? "the watch went back in time"
               : NULL;
}

/* False: the stream was ended. */
static bool line_take(struct etcd *e, struct span line, tg_ns now)
{
    struct etcd_watch w;
    struct fleet_batch batch = {.kind = FLEET_CHANGES};
    const char *fault = etcd_watch_read(line, &w, &batch)
                            ? line_fault(e, &w, &batch)
                            : "the watch brought a line that is not etcd's";
    bool goes_on = !fault && !w.canceled;
    if (fault) {
        if (w.header.cluster[0] && strcmp(w.header.cluster, e->cluster) != 0)
            e->position = 0;
        etcd_lost(e, now, fault);
    } else if (w.canceled) {
        log_info("etcd %s: revision %lld is compacted away: loading all", etcd_endpoint(e),
                 (long long)e->position + 1);
        http_stop(e->http, &e->watch);
        etcd_list_start(e, false);
        etcd_set_state(e, ETCD_LISTING, now);
    } else if (w.created) {
        goes_on = e->state == ETCD_STARTING ? created_take(e, &w, now) : true;
    }
    if (goes_on && batch.count > 0)
        events_take(e, &batch, now);
    fleet_batch_free(&batch);
    return goes_on;
}

void etcd_watch_run(struct etcd *e, tg_ns now)
{
    size_t offset = 0;
    struct span line;
    char problem[FLEET_PROBLEM];
    if (!http_active(&e->watch))
        return;
    while (http_line(&e->watch, &offset, &line)) {
        if (!line_take(e, line, now))
            return;
    }
    if (!e->watch.done)
        return;
    if (e->watch.result == HTTP_ANSWERED && e->watch.status == 200)
        etcd_lost(e, now, "etcd ended the watch");
    else {
        etcd_request_problem(&e->watch, problem);
        etcd_lost(e, now, problem);
    }
}
