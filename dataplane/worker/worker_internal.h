/* SPDX-License-Identifier: BSD-3-Clause
 * The worker's one context, shared by the files of this folder: worker.c (the path), worker_build.c
 * (up and down), worker_tables.c (tables in and out of force).
 */
#ifndef DATAPLANE_WORKER_WORKER_INTERNAL_H
#define DATAPLANE_WORKER_WORKER_INTERNAL_H

#include "steer/steer_hash.h"
#include "worker/worker.h"
#include <stdatomic.h>

#define WORKER_RETIRED_MAX 8 /* WAF programs that requests still use after a swap */

struct worker {
    struct io *io;
    struct buf_pool *pool;
    struct stats *stats;
    struct filter filter;
    struct steer_hash hash;
    struct steer steer;
    struct exception exception;
    struct fleet fleets[2]; /* one in force, one for the next table */
    struct steer_limits limits;
    struct net *net;
    struct tcp *tcp;
    struct proxy *proxy;
    struct timer_wheel timers;
    tg_ns turn_start, last_tick, last_report;

    struct steer_ports ports;
    struct waf_worker *waf;
    struct mailbox *mail;       /* NULL: tables come by worker_use_table only */
    struct region_worker *slot; /* NULL: nobody to report to */
    uint64_t in_force[TABLES_KINDS];
    struct {
        struct waf_program *program;
        uint64_t number;
    } waf_current, retired[WORKER_RETIRED_MAX];
    unsigned retired_count;
    unsigned driver_slot; /* whose hits in the driver are asked for next */
    struct worker_config config;
};

/* Commands and ready tables; returns whether there was anything. */
bool worker_take_mail(struct worker *worker);

/* Heartbeat, gauges, oldest generations in use, into the region. */
void worker_report(struct worker *worker, tg_ns now);

#endif
