/* SPDX-License-Identifier: BSD-3-Clause
 * One worker: one core, one context, the whole packet path. worker_poll is the path; everything else
 * here builds it up or takes it down. Runs unchanged in the simulator. Called by dataplane/main.c
 * and by tests/sim. Floor 4: contract, io, net, filter, steer, tcp, proxy.
 */
#ifndef DATAPLANE_WORKER_WORKER_H
#define DATAPLANE_WORKER_WORKER_H

#include "base/stats.h"
#include "contract/region.h"
#include "filter/filter.h"
#include "io/exception.h"
#include "io/io.h"
#include "net/net.h"
#include "proxy/proxy.h"
#include "steer/steer.h"
#include "tcp/tcp.h"
#include "worker/mailbox.h"

struct worker;

struct worker_listen {
    uint16_t port;
    enum proxy_listener kind;
};

struct worker_config {
    unsigned index, workers;
    uint16_t node_slot;
    uint64_t
        strangers_per_second; /* packets of one source that we send to other nodes; 0: 50,000 */
    /* tcp.tso_bytes_max: as much as it may be, if the ports take as much; 0: single segments only */
    struct net_config net;     /* addresses and routes; ports[] is filled in from io_caps */
    struct tcp_config tcp;     /* worker, pick_port and keys are filled in */
    struct proxy_config proxy; /* worker, workers, seed are filled in */
    struct worker_listen listen[16];
    unsigned listen_count;
    unsigned waf_transactions;        /* at once; 0: no WAF */
    struct exception_host *exception; /* NULL: what is not ours is dropped */
    uint64_t seed;                   /* of everything random in this worker: secret in production */
    const struct toeplitz *toeplitz; /* of the whole node; read only */
};

/* Build a worker over an open io (cold). `slot` is its place in the region (stats, acknowledgements), `mail` its
 * two rings to the housekeeping thread; both NULL in tests that have no region: then `stats` must be given.
 * Everything given outlives the worker. TG_NO_MEMORY, TG_BAD_CONFIG. */
enum tg_err worker_create(const struct worker_config *config, struct io *io, struct stats *stats,
                          struct region_worker *slot, struct mailbox *mail, struct worker **worker);
/* Abort all connections, give all buffers back. The io stays open. */
void worker_destroy(struct worker *worker);

/* One turn of the packet path. wall_offset_ns = CLOCK_REALTIME minus worker clock. Returns true when it
 * found work. */
bool worker_poll(struct worker *worker, int64_t wall_offset_ns);

/* Nothing to do: sleep in io_wait until the next timer, at most 100 us. Call after some empty turns. */
void worker_idle(struct worker *worker);

/* Put a table into force now (mailbox and simulator). object: RULES: the block; OWNERS: the block,
 * whose fleet, if it has one, must have our slot (else TG_BAD_CONFIG); ROUTES: a struct origin_plan; CERTIFICATES: a
 * struct keyless_plan; WAF: an open struct waf_program, prepared for worker_waf. Plans pass to the worker. Another result
 * than TG_OK: the old table stays and the object is the caller's. */
enum tg_err worker_use_table(struct worker *worker, enum tables_kind kind, void *object,
                             uint64_t number);

/* For oracles and status. */
struct tcp *worker_tcp(struct worker *worker);
struct net *worker_net(struct worker *worker);
struct proxy *worker_proxy(struct worker *worker);
struct timer_wheel *worker_timers(struct worker *worker);
struct waf_worker *worker_waf(struct worker *worker); /* NULL: no WAF */

#endif
