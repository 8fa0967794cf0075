/* SPDX-License-Identifier: BSD-3-Clause
 * The connections of the peer program (peer_conn.h).
 */
#include "tests/peer/peer_conn.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CONN_WRITES_A_TURN 64u
#define CONN_SPANS         16u

bool peer_conns_init(struct peer *p, unsigned conns_max)
{
    p->conns_max = conns_max;
    p->conns = calloc(conns_max, sizeof *p->conns);
    p->todo = calloc(conns_max, sizeof *p->todo);
    return p->conns && p->todo;
}

static struct peer_conn *conn_new(struct peer *p, const struct peer_plan *plan)
{
    for (unsigned tries = 0; tries < p->conns_max; tries++) {
        struct peer_conn *c = &p->conns[p->next++ % p->conns_max];
        if (c->used || c->in_todo)
            continue;
        *c = (struct peer_conn){.plan = plan, .used = true, .sink = -1};
        p->live++;
        return c;
    }
    return NULL;
}

static uint64_t conn_user(const struct peer *p, const struct peer_conn *c)
{
    return (uint64_t)(c - p->conns) + 1;
}

/* The sink exists when bytes may come. A FIFO without a reader is an error of the script: the connection is aborted. */
static bool conn_open_sink(struct peer_conn *c)
{
    if (!c->plan->sink[0])
        return true;
    c->sink = open(c->plan->sink, O_WRONLY | O_NONBLOCK | O_CREAT | O_CLOEXEC, 0600);
    if (c->sink < 0)
        fprintf(stderr, "tcp_peer_app: %s: %s\n", c->plan->sink, strerror(errno));
    return c->sink >= 0;
}

static void conn_end(struct peer *p, struct peer_conn *c, enum tg_err error)
{
    printf("closed %u %s received=%lu sent=%lu states=%u\n", c->plan->port, tg_err_name(error),
           (unsigned long)c->received, (unsigned long)c->sent, c->states);
    if (c->sink >= 0)
        close(c->sink);
    c->used = false;
    p->live--;
    if (error == TG_END)
        p->closed++;
    else
        p->failed++;
}

/* How many of the bytes the plan takes now. */
static size_t conn_take(struct peer *p, struct peer_conn *c, struct span bytes)
{
    if (c->plan->echo) {
        size_t took = tcp_write(p->node.tcp, c->handle, bytes);
        c->sent += took;
        p->sent += took;
        return took;
    }
    if (c->sink < 0)
        return bytes.len;
    ssize_t took = write(c->sink, bytes.data, bytes.len);
    return took > 0 ? (size_t)took : 0;
}

/* True: bytes may wait that no event will tell of. */
static bool conn_read(struct peer *p, struct peer_conn *c, tg_ns now)
{
    struct span spans[CONN_SPANS];
    unsigned n = tcp_peek(p->node.tcp, c->handle, spans, CONN_SPANS);
    size_t total = 0;
    bool stuck = false;
    for (unsigned i = 0; i < n && !stuck; i++) {
        size_t took = conn_take(p, c, spans[i]);
        total += took;
        stuck = took < spans[i].len;
    }
    if (total)
        tcp_consume(p->node.tcp, c->handle, (uint32_t)total);
    c->received += total;
    p->received += total;
    if (c->plan->pause_ms && !c->paused && c->received >= c->plan->pause_after) {
        c->paused = true;
        c->pause_until = now + c->plan->pause_ms * TG_MS;
        return true;
    }
    return stuck ? !c->plan->echo : n == CONN_SPANS;
}

static bool conn_write(struct peer *p, struct peer_conn *c)
{
    for (unsigned i = 0; c->sent < c->plan->send; i++) {
        size_t at = c->sent % p->payload_len, len = p->payload_len - at;
        if (i == CONN_WRITES_A_TURN)
            return true;
        len = len < 16384 ? len : 16384;
        len = len < c->plan->send - c->sent ? len : c->plan->send - c->sent;
        size_t took = tcp_write(p->node.tcp, c->handle, span_make(p->payload + at, len));
        c->sent += took;
        p->sent += took;
        if (!took)
            return false;
    }
    return false;
}

static bool conn_wants_fin(const struct peer *p, const struct peer_conn *c)
{
    if (c->fin_sent || (c->plan->hold && !c->released))
        return false;
    if (c->plan->send)
        return c->sent == c->plan->send;
    return tcp_at_end(p->node.tcp, c->handle);
}

static void conn_watch(struct peer *p, struct peer_conn *c)
{
    struct tcp_info info;
    if (tcp_get_info(p->node.tcp, c->handle, &info) == TG_OK)
        c->states |= 1u << info.state;
}

/* Do what can be done. True: wants another turn without an event. */
static bool conn_run(struct peer *p, struct peer_conn *c, tg_ns now)
{
    bool again = false;
    if (!c->ready)
        return c->plan->watch;
    if (c->pause_until > now)
        again = true;
    else
        again = conn_read(p, c, now);
    again |= conn_write(p, c);
    if (conn_wants_fin(p, c)) {
        tcp_shutdown(p->node.tcp, c->handle);
        c->fin_sent = true;
    }
    if (c->plan->watch)
        conn_watch(p, c);
    return again || c->plan->watch;
}

static void conn_todo(struct peer *p, struct peer_conn *c)
{
    if (!c->in_todo)
        p->todo[p->todo_count++] = (uint32_t)(c - p->conns);
    c->in_todo = true;
}

static void conn_begin(struct peer *p, struct peer_conn *c)
{
    c->ready = true;
    if (c->plan->newreno &&
        tcp_set_option(p->node.tcp, c->handle, TCP_OPT_CONGESTION, TCP_CC_NEWRENO) != TG_OK)
        fprintf(stderr, "tcp_peer_app: no NewReno for this connection\n");
    if (!conn_open_sink(c)) {
        tcp_abort(p->node.tcp, c->handle);
        conn_end(p, c, TG_SYSTEM);
    }
}

static struct peer_conn *conn_accept(struct peer *p, const struct tcp_event *e)
{
    struct peer_conn *c = conn_new(p, &p->listeners[e->tag]);
    if (!c) {
        tcp_abort(p->node.tcp, e->handle);
        return NULL;
    }
    c->handle = e->handle;
    tcp_set_user(p->node.tcp, e->handle, conn_user(p, c));
    p->accepted++;
    return c;
}

static void conn_event(struct peer *p, const struct tcp_event *e, tg_ns now)
{
    bool accepted = e->bits & TCP_EV_ACCEPTED;
    struct peer_conn *c = accepted ? conn_accept(p, e) : &p->conns[e->user - 1];
    if (!c)
        return;
    p->connected += (e->bits & TCP_EV_CONNECTED) != 0;
    if (accepted || (e->bits & TCP_EV_CONNECTED))
        conn_begin(p, c);
    c->peer_fin |= (e->bits & TCP_EV_PEER_FIN) != 0;
    if (!c->used)
        return;
    if (e->bits & TCP_EV_CLOSED)
        conn_end(p, c, (enum tg_err)e->error);
    else if (conn_run(p, c, now))
        conn_todo(p, c);
}

bool peer_conns_run(struct peer *p, tg_ns now)
{
    struct tcp_event events[64];
    bool worked = false;
    unsigned kept = 0, had = p->todo_count;
    for (unsigned n; (n = tcp_events(p->node.tcp, events, TG_ARRAY_LEN(events))); worked = true)
        for (unsigned i = 0; i < n; i++)
            conn_event(p, &events[i], now);
    for (unsigned i = 0; i < had; i++) {
        struct peer_conn *c = &p->conns[p->todo[i]];
        if (c->used && conn_run(p, c, now))
            p->todo[kept++] = p->todo[i];
        else
            c->in_todo = false;
    }
    memmove(p->todo + kept, p->todo + had, (p->todo_count - had) * sizeof *p->todo);
    p->todo_count -= had - kept;
    return worked || (p->todo_count && p->live);
}

enum tg_err peer_listen(struct peer *p, const struct peer_plan *plan)
{
    for (uint32_t i = 0; i < PEER_LISTENERS_MAX; i++)
        if (p->listeners[i].port == 0) {
            enum tg_err result = tcp_listen(p->node.tcp, plan->port, i);
            if (result == TG_OK)
                p->listeners[i] = *plan;
            return result;
        }
    return TG_FULL;
}

bool peer_unlisten(struct peer *p, uint16_t port)
{
    unsigned i = 0;
    while (i < PEER_LISTENERS_MAX && p->listeners[i].port != port)
        i++;
    for (unsigned c = 0; c < p->conns_max; c++)
        if (i == PEER_LISTENERS_MAX || (p->conns[c].used && p->conns[c].plan == &p->listeners[i]))
            return false;
    tcp_unlisten(p->node.tcp, port);
    p->listeners[i].port = 0;
    return true;
}

enum tg_err peer_connect(struct peer *p, const struct peer_plan *plan, tg_ns now)
{
    struct peer_plan *copy = malloc(sizeof *copy);
    if (!copy)
        return TG_NO_MEMORY;
    *copy = *plan;
    const struct ip_addr *local = ip_addr_is4(&plan->address) ? &p->node.local4 : &p->node.local6;
    for (uint32_t i = 0; i < plan->count; i++) {
        struct peer_conn *c = conn_new(p, copy);
        if (!c)
            return TG_FULL;
        enum tg_err result = tcp_connect(p->node.tcp, local, &plan->address, plan->port, 0,
                                         conn_user(p, c), now, &c->handle);
        if (result != TG_OK) {
            conn_end(p, c, result);
            return result;
        }
        if (plan->watch)
            conn_todo(p, c);
    }
    return TG_OK;
}

void peer_release(struct peer *p, tg_ns now)
{
    for (unsigned i = 0; i < p->conns_max; i++) {
        struct peer_conn *c = &p->conns[i];
        c->released = true;
        if (c->used && conn_run(p, c, now))
            conn_todo(p, c);
    }
}
