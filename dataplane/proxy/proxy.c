/* SPDX-License-Identifier: BSD-3-Clause
 * A worker's proxy as a whole: pools, tables, TCP's events, and the run queue that shares the turn
 * among connections. Called by worker. Floor 3.
 */
#include "proxy/parts.h"
#include <stdlib.h>

#define EVENTS_AT_ONCE      64
#define SHORT_STEPS_A_CLOCK 4

static void config_defaults(struct proxy_config *c)
{
    c->keyless_ops_max = c->keyless_ops_max ? c->keyless_ops_max : 1024;
    c->head_timeout = c->head_timeout ? c->head_timeout : 10 * TG_S;
    c->body_timeout = c->body_timeout ? c->body_timeout : 60 * TG_S;
    c->keepalive_timeout = c->keepalive_timeout ? c->keepalive_timeout : 75 * TG_S;
    c->handshake_timeout = c->handshake_timeout ? c->handshake_timeout : 10 * TG_S;
}

static enum tg_err pools_init(struct proxy *p, const struct proxy_config *c)
{
    /* A quarter more than requests: for origins' heads that come in pieces. Large heads are
     * rare. */
    uint32_t small = c->requests_max + c->requests_max / 4 + 1, large = c->requests_max / 4 + 1;
    enum tg_err err = pool_init(&p->clients, c->clients_max, sizeof(struct client));
    if (err == TG_OK)
        err = pool_init(&p->requests, c->requests_max, sizeof(struct request));
    if (err == TG_OK)
        err = pool_init(&p->heads_small, small, HEAD_SMALL_BYTES);
    if (err == TG_OK)
        err = pool_init(&p->heads_large, large, HTTP_HEAD_BYTES_MAX);
    if (err == TG_OK)
        err = pool_init(&p->origins, c->origins_max, sizeof(struct origin_conn));
    if (err == TG_OK)
        err = pool_init(&p->origin_pools, c->origins_max, sizeof(struct origin_pool));
    return err;
}

static void pools_free(struct proxy *p)
{
    pool_free(&p->origin_pools);
    pool_free(&p->origins);
    pool_free(&p->heads_large);
    pool_free(&p->heads_small);
    pool_free(&p->requests);
    pool_free(&p->clients);
}

static void via_make(struct proxy *p, const char *name)
{
    struct span_writer w = span_writer_make(p->via_text, sizeof p->via_text);
    span_write_string(&w, "1.1 ");
    span_write_span(&w, span_slice(span_from_string(name ? name : "tidegate"), 0, 32));
    p->via = span_writer_span(&w);
}

enum tg_err proxy_create(const struct proxy_config *config, struct tcp *tcp,
                         struct timer_wheel *wheel, struct buf_pool *pool, struct stats *stats,
                         struct waf_worker *waf, struct ring *events, struct proxy **proxy)
{
    struct proxy *p = calloc(1, sizeof *p);
    if (!p)
        return TG_NO_MEMORY;
    p->config = *config;
    config_defaults(&p->config);
    p->tcp = tcp;
    p->wheel = wheel;
    p->buffers = pool;
    p->stats = stats;
    p->waf_worker = waf;
    p->events = events;
    prng_seed(&p->ids, config->seed);
    p->hash_key[0] = prng_next(&p->ids);
    p->hash_key[1] = prng_next(&p->ids);
    via_make(p, config->via);
    if (pools_init(p, config) != TG_OK || keyless_create(p) != TG_OK) {
        keyless_destroy(p);
        pools_free(p);
        free(p);
        return TG_NO_MEMORY;
    }
    *proxy = p;
    return TG_OK;
}

void proxy_destroy(struct proxy *p)
{
    if (!p)
        return;
    for (uint32_t i = 0; i < p->clients.count; i++)
        if (pool_is_taken(&p->clients, i))
            client_free(p, pool_at(&p->clients, i));
    for (uint32_t i = 0; i < p->origins.count; i++)
        if (pool_is_taken(&p->origins, i))
            origin_free(p, pool_at(&p->origins, i));
    keyless_destroy(p);
    if (p->tls_set)
        tls_set_unref(p->tls_set);
    origin_plan_destroy(p->origin_plan);
    pools_free(p);
    free(p);
}

/* --- run queue -------------------------------------------------------------------------------- */

static void queue_append(struct run_queue *q, struct client *c)
{
    c->run_next = NULL;
    c->run_prev = q->last;
    if (q->last)
        q->last->run_next = c;
    else
        q->first = c;
    q->last = c;
    q->count++;
}

static void queue_unlink(struct run_queue *q, struct client *c)
{
    if (c->run_prev)
        c->run_prev->run_next = c->run_next;
    else
        q->first = c->run_next;
    if (c->run_next)
        c->run_next->run_prev = c->run_prev;
    else
        q->last = c->run_prev;
    q->count--;
}

void run_queue_push(struct proxy *p, struct client *c)
{
    if (c->queued == QUEUED_RUN)
        return;
    if (c->queued == QUEUED_DEFERRED)
        queue_unlink(&p->deferred, c);
    c->queued = QUEUED_RUN;
    queue_append(&p->run, c);
}

void run_queue_defer(struct proxy *p, struct client *c)
{
    if (c->queued != QUEUED_NOT)
        return;
    c->queued = QUEUED_DEFERRED;
    queue_append(&p->deferred, c);
}

void run_queue_remove(struct proxy *p, struct client *c)
{
    if (c->queued != QUEUED_NOT)
        queue_unlink(c->queued == QUEUED_RUN ? &p->run : &p->deferred, c);
    c->queued = QUEUED_NOT;
}

/* --- a turn ----------------------------------------------------------------------------------- */

static void client_event(struct proxy *p, struct client *c, const struct tcp_event *event)
{
    if (event->bits & TCP_EV_CLOSED) {
        c->stream.tcp = TCP_NONE;
        c->stream.error = TG_RESET;
    }
    run_queue_push(p, c);
}

/* A handle that is no longer the object's belongs to a connection that was let go: stale news. */
static void event_take(struct proxy *p, const struct tcp_event *event)
{
    uint32_t index = (uint32_t)event->user;
    if (event->bits & TCP_EV_ACCEPTED) {
        if (event->bits & TCP_EV_CLOSED)
            return; /* came and went between two turns */
        client_accept(p, event);
    } else if (proxy_user_kind(event->user) == PROXY_USER_CLIENT &&
               pool_is_taken(&p->clients, index)) {
        struct client *c = pool_at(&p->clients, index);
        if (c->stream.tcp == event->handle)
            client_event(p, c, event);
    } else if (proxy_user_kind(event->user) == PROXY_USER_ORIGIN &&
               pool_is_taken(&p->origins, index)) {
        struct origin_conn *o = pool_at(&p->origins, index);
        if (o->stream.tcp == event->handle)
            origin_event(p, o, event);
    } else if (proxy_user_kind(event->user) == PROXY_USER_KEY) {
        keyless_event(p, index, event);
    }
}

static void events_take(struct proxy *p)
{
    struct tcp_event events[EVENTS_AT_ONCE];
    unsigned n;
    while ((n = tcp_events(p->tcp, events, EVENTS_AT_ONCE)) > 0)
        for (unsigned i = 0; i < n; i++)
            event_take(p, &events[i]);
}

/* A step with TLS at either end may hold a handshake (100 us); others take a few microseconds. */
static bool step_may_be_long(const struct client *c)
{
    const struct origin_conn *o = c->request ? c->request->origin : NULL;
    return c->stream.tls || (o && o->stream.tls);
}

/* One step of the connection whose turn it is. Returns how many short steps it stands for. */
static unsigned step_one(struct proxy *p)
{
    struct client *c = p->run.first;
    unsigned weight = step_may_be_long(c) ? SHORT_STEPS_A_CLOCK : 1;
    run_queue_remove(p, c);
    switch (client_step(p, c)) {
    case STEP_YIELD:
        run_queue_push(p, c);
        break;
    case STEP_STARVED:
        run_queue_defer(p, c);
        break;
    case STEP_WAIT:
    case STEP_NEXT: /* c is gone */
        break;
    }
    return weight;
}

/* The clock costs a tenth of a short step: it is read after four of them, or a long one, if others wait. */
static void run_steps(struct proxy *p, const struct proxy_budget *budget)
{
    if (!p->run.first)
        return;
    tg_ns start = budget->clock ? budget->clock(budget->clock_arg) : p->now;
    unsigned unread = 0;
    for (unsigned steps = 0; steps < budget->steps_max; steps++) {
        unread += step_one(p);
        if (!p->run.first)
            return;
        if (!budget->clock || unread < SHORT_STEPS_A_CLOCK)
            continue;
        unread = 0;
        if (budget->clock(budget->clock_arg) - start >= budget->time)
            return;
    }
}

bool proxy_run(struct proxy *p, tg_ns now, int64_t wall_offset_ns,
               const struct proxy_budget *budget)
{
    p->now = now;
    p->wall_offset_ns = wall_offset_ns;
    while (p->deferred.first)
        run_queue_push(p, p->deferred.first);
    events_take(p);
    keyless_turn(p);
    run_steps(p, budget);
    keyless_flush(p);
    return p->run.count + p->deferred.count > 0;
}

/* --- tables ----------------------------------------------------------------------------------- */

void proxy_use_routes(struct proxy *p, struct origin_plan *plan, uint64_t number)
{
    struct origin_plan *old = p->origin_plan;
    p->origin_plan = plan;
    p->routes = origin_plan_routes(plan);
    origin_plan_destroy(old);
    p->routes_number = number;
}

void proxy_use_certificates(struct proxy *p, struct tls_set *set, uint64_t number)
{
    if (p->tls_set)
        tls_set_unref(p->tls_set); /* connections that began under it hold their own */
    p->tls_set = set;
    p->certificates_number = number;
}

void proxy_use_waf(struct proxy *p, struct waf_program *program, uint64_t number)
{
    inspect_use(p, program, number);
}

/* Requests copy what they need of the routes, and connections hold their certificate set by its own
 * reference, so of these two only the current generation is in use. */
uint64_t proxy_oldest(const struct proxy *p, enum tables_kind kind)
{
    switch (kind) {
    case TABLES_ROUTES:
        return p->routes_number;
    case TABLES_CERTIFICATES:
        return p->certificates_number;
    case TABLES_WAF:
        return inspect_oldest(p);
    default:
        return 0;
    }
}

enum tg_err proxy_message_receive(struct proxy *p, const struct proxy_message *message, tg_ns now)
{
    buf_unref(p->buffers, message->bytes);
    return TG_UNSUPPORTED;
}

/* --- looking in ------------------------------------------------------------------------------- */

void proxy_get_gauges(const struct proxy *p, struct proxy_gauges *gauges)
{
    *gauges = (struct proxy_gauges){
        .clients = p->clients.in_use,
        .requests = p->requests.in_use,
        .origins = p->origins.in_use,
        .origins_idle = p->origins_idle,
        .run_queue = p->run.count + p->deferred.count,
    };
}

static const char *check_clients(const struct proxy *p)
{
    uint32_t requests = 0, heads = 0, queued = 0;
    for (uint32_t i = 0; i < p->clients.count; i++) {
        const struct client *c = pool_at(&p->clients, i);
        if (!pool_is_taken(&p->clients, i))
            continue;
        queued += c->queued != QUEUED_NOT;
        if ((c->state == CLIENT_REQUEST) != (c->request != NULL))
            return "a client's state and its request disagree";
        if (c->deadline.at && !timer_armed(&c->deadline.timer) && !c->expired)
            return "a client's deadline has no timer";
        if (!c->request)
            continue;
        requests++;
        heads += c->request->store.bytes != NULL;
        heads += c->request->response_store.bytes != NULL;
        if (c->request->client != c)
            return "a request belongs to another client";
        if (c->request->origin && c->request->origin->request != c->request)
            return "an origin connection serves another request";
    }
    if (requests != p->requests.in_use)
        return "a request has no client";
    if (heads != p->heads_small.in_use + p->heads_large.in_use)
        return "head storage leaks";
    return queued == p->run.count + p->deferred.count ? NULL : "run queue count";
}

static const char *check_origins(const struct proxy *p)
{
    uint32_t connections = 0, idle = 0, pools = 0;
    for (unsigned b = 0; b < ORIGIN_BUCKETS; b++) {
        for (const struct origin_pool *pool = p->origin_buckets[b]; pool; pool = pool->next) {
            pools++;
            connections += pool->connections;
            for (const struct origin_conn *o = pool->idle; o; o = o->idle_next) {
                idle++;
                if (o->pool != pool || o->state != ORIGIN_IDLE || o->request)
                    return "an idle origin connection is not idle";
                if (!timer_armed(&o->deadline.timer))
                    return "an idle origin connection has no timer";
            }
        }
    }
    if (pools != p->origin_pools.in_use || connections != p->origins.in_use)
        return "origin connections leak";
    return idle == p->origins_idle ? NULL : "count of idle origin connections";
}

const char *proxy_check(const struct proxy *p)
{
    const char *broken = check_clients(p);
    broken = broken ? broken : check_origins(p);
    return broken ? broken : keyless_check(p);
}
