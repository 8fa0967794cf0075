/* SPDX-License-Identifier: BSD-3-Clause
 * A worker's scanning memory: transactions, and a bench for each prepared program. Inside waf/
 * only: waf_worker.c makes it, waf_scan.c and waf.c use it.
 *
 * A bench holds what Hyperscan writes to while it scans one program's databases: a scratch, and
 * a body stream and a response stream for every transaction slot. A bench is complete before it
 * is published, so another thread may prepare the next program while the worker scans under this
 * one.
 */
#ifndef WAF_WAF_WORKER_H
#define WAF_WAF_WORKER_H

#include <stdatomic.h>

#include "waf/waf_form.h"
#include "waf/waf_program.h"

struct waf_bench {
    const struct waf_program *program;
    hs_scratch_t *scratch; /* NULL: the program has no database */
    hs_stream_t **body;    /* one a slot; NULL: no rule looks there */
    hs_stream_t **resp;
    unsigned slots;
    atomic_uint running; /* transactions not finished; written by the worker's thread */
};

enum waf_body_kind {
    WAF_BODY_RAW,
    WAF_BODY_FORM, /* application/x-www-form-urlencoded */
};

struct waf_tx {
    struct waf_worker *worker;
    struct waf_bench *bench; /* NULL: the slot is free */
    uint32_t slot;
    enum waf_verdict verdict;
    enum waf_body_kind body_kind;
    bool body_dirty, resp_dirty; /* the stream has seen bytes since its last reset */
    struct waf_form form;
    unsigned match_count;
    struct waf_match matches[WAF_MATCHES_MAX];
};

/* Written by the preparing thread. `program` goes last when a bench is published and first when
 * it is withdrawn: who looks for another program never touches a bench that is being freed. */
struct waf_place {
    _Atomic(const struct waf_program *) program; /* NULL: free */
    struct waf_bench *bench;
};

struct waf_worker {
    struct waf_place places[WAF_PROGRAMS_MAX];
    struct waf_tx *txs;
    uint32_t *free_slots; /* a stack */
    unsigned free_count, transactions;
    uint8_t decoded[WAF_VALUE_BYTES_MAX]; /* of the value being scanned; for the length of a call */
};

/* The bench of a program, or NULL. */
struct waf_bench *waf_worker_bench(const struct waf_worker *worker,
                                   const struct waf_program *program);

#endif
