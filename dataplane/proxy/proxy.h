/* SPDX-License-Identifier: BSD-3-Clause
 * The reverse proxy of one worker: client connections (tcp -> tls -> http), requests (the phases in
 * order, in one function), origin connections (pool, reuse, retry). Driven by the worker once a
 * turn. Floor 3: contract, tcp, http, route, tls, waf.
 *
 *   proxy_run: tcp events -> run queue -> conn_step / request_step -> tcp writes
 *
 * The run queue. Whatever may take long (a handshake step, a WAF scan of a body piece, a parse) is
 * one step of one connection. proxy_run takes connections from the queue until the budget is spent;
 * who is not finished goes to the back. Nothing a peer does keeps the worker from its receive ring
 * for longer than the budget plus one step.
 */
#ifndef DATAPLANE_PROXY_PROXY_H
#define DATAPLANE_PROXY_PROXY_H

#include "base/buf.h"
#include "base/ring.h"
#include "base/stats.h"
#include "contract/commands.h"
#include "contract/tables.h"
#include "tcp/tcp.h"
#include "tls/tls.h"
#include "waf/waf.h"

struct proxy;
struct origin_plan; /* proxy/origin_plan.h */

/* Listener tags given to tcp_listen. */
enum proxy_listener { PROXY_LISTEN_HTTP = 1, PROXY_LISTEN_HTTPS = 2 };

struct proxy_config {
    unsigned worker, workers;
    uint32_t clients_max;  /* client connections */
    uint32_t requests_max; /* in progress; each has its own head storage */
    uint32_t origins_max;  /* origin connections */
    /* private key operations out at once, half of them at one key server; each keeps a parked handshake
     * of about 110 KiB. 0: 1024 */
    uint32_t keyless_ops_max;
    uint64_t seed;   /* request ids */
    const char *via; /* our name in Via; lives as long as the proxy */
    /* deadlines, nanoseconds; 0: 10 s head, 60 s body progress, 75 s keep-alive, 10 s handshake */
    tg_ns head_timeout, body_timeout, keepalive_timeout, handshake_timeout;
};

/* Make a worker's proxy (cold). All pointers outlive it and belong to the same worker. `events`
 * receives audit records (struct event) for the control plane; NULL: none. TG_NO_MEMORY. */
enum tg_err proxy_create(const struct proxy_config *config, struct tcp *tcp,
                         struct timer_wheel *wheel, struct buf_pool *pool, struct stats *stats,
                         struct waf_worker *waf, struct ring *events, struct proxy **proxy);
void proxy_destroy(struct proxy *proxy);

/* One turn: take TCP's events, run steps until `budget` steps' worth of time is spent.
 * clock      read between steps (io_now with its io): the budget is real time; in the simulator
 *            virtual time stands still within a turn and `steps_max` bounds it.
 * wall_offset_ns  CLOCK_REALTIME minus worker clock: Date, tickets, audit.
 * Returns true when the run queue is not empty (call again soon). */
struct proxy_budget {
    tg_ns time;         /* about 200 us */
    unsigned steps_max; /* hard bound */
    tg_ns (*clock)(void *arg);
    void *clock_arg;
};
bool proxy_run(struct proxy *proxy, tg_ns now, int64_t wall_offset_ns,
               const struct proxy_budget *budget);

/* New tables, between two bursts. The pointers stay valid until the proxy says that it has let go:
 * proxy_oldest(kind) is the oldest generation number that a request or connection still uses. Of a
 * certificate set the proxy takes the caller's reference over; NULL: no HTTPS. A plan passes to the proxy, its table
 * stays valid as said; NULL: no sites. */
void proxy_use_routes(struct proxy *proxy, struct origin_plan *plan, uint64_t number);
void proxy_use_certificates(struct proxy *proxy, struct tls_set *set, uint64_t number);
void proxy_use_waf(struct proxy *proxy, struct waf_program *program, uint64_t number);
uint64_t proxy_oldest(const struct proxy *proxy, enum tables_kind kind);

/* Hand a request to another worker whose origin connection is warm: a message, not a shared
 * connection. The request's head bytes travel in `head` (a frame); the answer comes back as frames.
 * Sent and received through the worker's mailbox. The first cut only defines and refuses it (each
 * worker has its own pool). */
struct proxy_message {
    /* 1 request head, 2 request body piece, 3 response head, 4 response piece, 5 end, 6 abort */
    uint32_t kind;
    uint32_t from_worker;
    uint64_t request;       /* the sender's name for it */
    uint64_t peer;          /* the receiver's name for it, once known */
    uint32_t origin;        /* index of the origin (kind 1) */
    uint32_t routes_number; /* generation that `origin` indexes */
    struct buf *bytes;      /* owned by the receiver from now on */
};
/* Take a message from another worker; ownership of bytes passes. TG_UNSUPPORTED: answered with
 * kind 6. */
enum tg_err proxy_message_receive(struct proxy *proxy, const struct proxy_message *message,
                                  tg_ns now);

struct proxy_gauges {
    uint32_t clients, requests, origins, origins_idle, run_queue;
};
void proxy_get_gauges(const struct proxy *proxy, struct proxy_gauges *gauges);

/* Every invariant of pools and queues; NULL when whole. Tests and simulator only. */
const char *proxy_check(const struct proxy *proxy);

#endif
