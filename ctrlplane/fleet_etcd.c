/* SPDX-License-Identifier: BSD-3-Clause
 * The fleet store on etcd: its connection, the order of things, and what it hands out. See fleet.h and
 * fleet_etcd_internal.h.
 */
#include "ctrlplane/fleet_etcd_internal.h"

#include "base/log.h"
#include "ctrlplane/fleet_keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static struct etcd *etcd_of(struct fleet_store *store)
{
    return tg_container_of(store, struct etcd, store);
}

static const struct etcd *etcd_of_const(const struct fleet_store *store)
{
    return (const struct etcd *)(const void *)store; /* its first member */
}
static_assert(offsetof(struct etcd, store) == 0, "etcd_of_const");

/* xorshift64 (Marsaglia 2003): spreads nodes over time, nothing more. */
unsigned etcd_random(struct etcd *e, unsigned limit)
{
    e->random ^= e->random << 13;
    e->random ^= e->random >> 7;
    e->random ^= e->random << 17;
    return (unsigned)(e->random % limit);
}

void etcd_set_state(struct etcd *e, enum etcd_state state, tg_ns now)
{
    if (state == ETCD_FOLLOWING && e->state != ETCD_FOLLOWING) {
        log_info("etcd %s: connected, revision %lld", etcd_endpoint(e), (long long)e->position);
        e->problem[0] = 0;
        e->audit_at = now + (ETCD_AUDIT_MS + etcd_random(e, ETCD_AUDIT_MS / 4)) * TG_MS;
    }
    e->state = state;
    e->since = now;
}

void etcd_lost(struct etcd *e, tg_ns now, const char *problem)
{
    char text[FLEET_PROBLEM];
    snprintf(text, sizeof text, "%s", problem); /* it may be of a request that ends here */
    http_stop(e->http, &e->list);
    http_stop(e->http, &e->watch);
    http_stop(e->http, &e->beat);
    fleet_batch_free(&e->listing);
    if (e->state == ETCD_FOLLOWING || strcmp(text, e->problem) != 0)
        log_warn("etcd %s: %s; trying again", etcd_endpoint(e), text);
    e->lost += e->state == ETCD_FOLLOWING;
    snprintf(e->problem, sizeof e->problem, "%s", text);
    e->endpoint = (e->endpoint + 1) % e->endpoint_count;
    e->retry_at = now + (e->pause_ms / 2 + etcd_random(e, e->pause_ms)) * TG_MS;
    e->pause_ms = e->pause_ms * 2 < ETCD_PAUSE_LAST_MS ? e->pause_ms * 2 : ETCD_PAUSE_LAST_MS;
    etcd_set_state(e, ETCD_DOWN, now);
}

void etcd_request_problem(const struct http_request *r, char problem[FLEET_PROBLEM])
{
    if (r->result != HTTP_ANSWERED)
        snprintf(problem, FLEET_PROBLEM, "%s", r->problem);
    else if (r->status == 200)
        snprintf(problem, FLEET_PROBLEM, "an answer that is not etcd's");
    else
        etcd_error_read(span_make(r->bytes, r->len), problem);
}

/* --- the queue ---------------------------------------------------------------------------- */

static void queue_clear(struct etcd *e)
{
    for (unsigned i = 0; i < e->queue_count; i++)
        fleet_batch_free(&e->queue[i]);
    e->queue_count = 0;
}

static void batch_move(struct fleet_batch *to, struct fleet_batch *from)
{
    for (unsigned i = 0; i < from->count; i++) {
        struct fleet_change *c = &from->changes[i];
        fleet_batch_add(to, c->key, SPAN_EMPTY, c->revision);
        to->changes[to->count - 1].value = c->value;
        to->changes[to->count - 1].len = c->len;
        c->value = NULL;
    }
    to->revision = from->revision;
    fleet_batch_free(from);
}

void etcd_queue(struct etcd *e, struct fleet_batch *batch)
{
    struct fleet_batch *last = e->queue_count ? &e->queue[e->queue_count - 1] : NULL;
    if (batch->revision > e->handed || batch->reset)
        e->handed = batch->revision;
    bool joins = last && last->kind == FLEET_CHANGES && batch->kind == FLEET_CHANGES;
    if (joins && last->count + batch->count <= FLEET_EVENTS_MAX) {
        batch_move(last, batch);
    } else if (!joins && e->queue_count < ETCD_QUEUE) {
        e->queue[e->queue_count++] = *batch;
        *batch = (struct fleet_batch){0};
    } else {
        log_warn("etcd: too many changes wait: loading all instead");
        fleet_batch_free(batch);
        queue_clear(e);
        e->load_wanted = true;
    }
}

static bool etcd_next(struct fleet_store *store, struct fleet_batch *batch)
{
    struct etcd *e = etcd_of(store);
    if (e->queue_count == 0)
        return false;
    *batch = e->queue[0];
    e->queue_count--;
    memmove(&e->queue[0], &e->queue[1], e->queue_count * sizeof e->queue[0]);
    return true;
}

/* --- running ------------------------------------------------------------------------------ */

static void connect_start(struct etcd *e, tg_ns now)
{
    if (e->position > 0) {
        e->audit_wanted = true; /* events that were lost on the way show in the revisions */
        etcd_watch_start(e, now);
        return;
    }
    etcd_list_start(e, false);
    etcd_set_state(e, ETCD_LISTING, now);
}

/* Lists beside the watch: what somebody asked for, and a regular look whether an event was lost. */
static void lists_start(struct etcd *e, tg_ns now)
{
    if (e->state != ETCD_FOLLOWING || http_active(&e->list))
        return;
    if (now >= e->audit_at) {
        e->audit_wanted = true;
        e->audit_at = now + (ETCD_AUDIT_MS + etcd_random(e, ETCD_AUDIT_MS / 4)) * TG_MS;
    }
    if (e->load_wanted)
        etcd_list_start(e, false);
    else if (e->audit_wanted)
        etcd_list_start(e, true);
}

static void life_check(struct etcd *e, tg_ns now)
{
    if (e->state == ETCD_STARTING && now - e->since > ETCD_CREATED_MS * TG_MS)
        etcd_lost(e, now, "the watch does not begin");
    else if (e->state == ETCD_FOLLOWING && now - e->proof > ETCD_DEAD_MS * TG_MS)
        etcd_lost(e, now, "no sign of life: neither changes nor heartbeats arrive");
}

static void etcd_run(struct fleet_store *store, tg_ns now)
{
    struct etcd *e = etcd_of(store);
    http_run(e->http);
    etcd_write_run(e, now);
    etcd_list_run(e, now);
    etcd_watch_run(e, now);
    life_check(e, now);
    if (e->state == ETCD_DOWN && now >= e->retry_at)
        connect_start(e, now);
    lists_start(e, now);
    etcd_beat_run(e, now);
    http_run(e->http); /* what was started just now leaves at once */
}

static int ms_until(tg_ns at, tg_ns now)
{
    return at <= now ? 0 : (int)((at - now) / TG_MS) + 1;
}

static int etcd_timeout_ms(const struct fleet_store *store, tg_ns now)
{
    const struct etcd *e = etcd_of_const(store);
    int http = http_timeout_ms(e->http), own = 1000;
    if (e->state == ETCD_DOWN)
        own = ms_until(e->retry_at, now);
    else if (e->state == ETCD_FOLLOWING && !http_active(&e->beat))
        own = ms_until(e->beat_at, now);
    if (own > 1000)
        own = 1000; /* life_check */
    return http >= 0 && http < own ? http : own;
}

static int etcd_fd(const struct fleet_store *store)
{
    return http_fd(etcd_of_const(store)->http);
}

static void etcd_load(struct fleet_store *store)
{
    etcd_of(store)->load_wanted = true;
}

static const struct fleet_answer *etcd_answer(const struct fleet_store *store)
{
    return &etcd_of_const(store)->answer;
}

static struct fleet_store_status etcd_status(const struct fleet_store *store)
{
    const struct etcd *e = etcd_of_const(store);
    return (struct fleet_store_status){
        .endpoint = etcd_endpoint(e),
        .connected = e->state == ETCD_FOLLOWING,
        .revision = e->handed,
        .proof = e->proof,
        .problem = e->problem,
        .lost = e->lost,
        .dropped = e->dropped,
    };
}

static void etcd_close(struct fleet_store *store)
{
    struct etcd *e = etcd_of(store);
    struct http_request *const requests[] = {&e->list, &e->watch, &e->beat, &e->write};
    for (size_t i = 0; i < TG_ARRAY_LEN(requests); i++)
        http_stop(e->http, requests[i]);
    http_close(e->http);
    fleet_batch_free(&e->listing);
    queue_clear(e);
    free(e->write_body);
    free(e->write_value);
    free(e->beat_value);
    free(e);
}

static const struct fleet_store_type etcd_type = {
    .name = "etcd",
    .value_max = FLEET_VALUE_MAX,
    .close = etcd_close,
    .fd = etcd_fd,
    .timeout_ms = etcd_timeout_ms,
    .run = etcd_run,
    .next = etcd_next,
    .load = etcd_load,
    .write = etcd_write,
    .answer = etcd_answer,
    .status = etcd_status,
};

struct fleet_store *fleet_etcd_open(const struct fleet_etcd_options *options, tg_ns now)
{
    char run[17];
    struct etcd *e = calloc(1, sizeof *e);
    tg_assert(e && options->endpoint_count > 0 && options->endpoint_count <= ETCD_ENDPOINTS_MAX);
    e->store.type = &etcd_type;
    for (unsigned i = 0; i < options->endpoint_count; i++)
        snprintf(e->endpoints[i], ETCD_ENDPOINT_TEXT, "%s", options->endpoints[i]);
    e->endpoint_count = options->endpoint_count;
    snprintf(e->prefix, sizeof e->prefix, "%s", options->prefix);
    snprintf(e->heartbeat, sizeof e->heartbeat, "%s", options->heartbeat);
    etcd_prefix_end(e->prefix, e->prefix_end);
    if (getrandom(&e->random, sizeof e->random, 0) != sizeof e->random || e->random == 0)
        e->random = now | 1;
    snprintf(run, sizeof run, "%016llx", (unsigned long long)e->random);
    e->beat_value = fleet_heartbeat_value(options->node, run);
    e->http = http_open();
    e->pause_ms = ETCD_PAUSE_FIRST_MS;
    e->retry_at = e->since = now;
    return &e->store;
}
