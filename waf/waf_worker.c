/* SPDX-License-Identifier: BSD-3-Clause
 * Makes and gives back a worker's scanning memory (waf_worker.h). Cold: housekeeping and tests
 * call it; nothing here runs while packets wait, save waf_worker_bench.
 */
#include "waf/waf_worker.h"

#include <stdlib.h>

static void streams_free(hs_stream_t **streams, unsigned slots)
{
    for (unsigned i = 0; streams && i < slots; i++)
        if (streams[i])
            (void)hs_close_stream(streams[i], NULL, NULL, NULL);
    free(streams);
}

/* A stream a slot against db; without db there is nothing to scan and *streams stays NULL. */
static enum tg_err streams_init(const hs_database_t *db, unsigned slots, hs_stream_t ***streams)
{
    if (!db)
        return TG_OK;
    *streams = calloc(slots, sizeof **streams);
    if (!*streams)
        return TG_NO_MEMORY;
    for (unsigned i = 0; i < slots; i++)
        if (hs_open_stream(db, 0, &(*streams)[i]) != HS_SUCCESS)
            return TG_NO_MEMORY;
    return TG_OK;
}

static void bench_free(struct waf_bench *bench)
{
    if (!bench)
        return;
    streams_free(bench->body, bench->slots);
    streams_free(bench->resp, bench->slots);
    (void)hs_free_scratch(bench->scratch); /* takes NULL */
    free(bench);
}

static enum tg_err bench_create(const struct waf_program *program, unsigned slots,
                                struct waf_bench **bench)
{
    struct waf_bench *b = calloc(1, sizeof *b);
    if (!b)
        return TG_NO_MEMORY;
    b->program = program;
    b->slots = slots;
    enum tg_err err = TG_OK;
    for (unsigned i = 0; err == TG_OK && i < WAF_DBS; i++)
        if (program->databases[i] &&
            hs_alloc_scratch(program->databases[i], &b->scratch) != HS_SUCCESS)
            err = TG_NO_MEMORY;
    if (err == TG_OK)
        err = streams_init(program->databases[WAF_DB_BODY], slots, &b->body);
    if (err == TG_OK)
        err = streams_init(program->databases[WAF_DB_RESP], slots, &b->resp);
    if (err) {
        bench_free(b);
        return err;
    }
    *bench = b;
    return TG_OK;
}

enum tg_err waf_worker_create(unsigned transactions, struct waf_worker **worker)
{
    if (transactions == 0)
        return TG_BAD_CONFIG;
    struct waf_worker *w = calloc(1, sizeof *w);
    if (!w)
        return TG_NO_MEMORY;
    w->txs = calloc(transactions, sizeof *w->txs);
    w->free_slots = calloc(transactions, sizeof *w->free_slots);
    if (!w->txs || !w->free_slots) {
        waf_worker_destroy(w);
        return TG_NO_MEMORY;
    }
    w->transactions = w->free_count = transactions;
    for (unsigned i = 0; i < transactions; i++) {
        w->free_slots[i] = transactions - 1 - i; /* slot 0 is taken first */
        w->txs[i].worker = w;
        w->txs[i].slot = i;
    }
    *worker = w;
    return TG_OK;
}

void waf_worker_destroy(struct waf_worker *worker)
{
    if (!worker)
        return;
    for (unsigned i = 0; i < WAF_PROGRAMS_MAX; i++)
        bench_free(worker->places[i].bench);
    free(worker->txs);
    free(worker->free_slots);
    free(worker);
}

/* The place of a program, or with NULL a free one; NULL if there is none. */
static struct waf_place *place_find(const struct waf_worker *worker,
                                    const struct waf_program *program)
{
    for (unsigned i = 0; i < WAF_PROGRAMS_MAX; i++) {
        const struct waf_place *place = &worker->places[i];
        if (atomic_load_explicit(&place->program, memory_order_acquire) == program)
            return (struct waf_place *)place;
    }
    return NULL;
}

struct waf_bench *waf_worker_bench(const struct waf_worker *worker,
                                   const struct waf_program *program)
{
    const struct waf_place *place = place_find(worker, program);
    return place ? place->bench : NULL;
}

enum tg_err waf_worker_prepare(struct waf_worker *worker, const struct waf_program *program)
{
    if (place_find(worker, program))
        return TG_OK;
    struct waf_place *place = place_find(worker, NULL);
    if (!place)
        return TG_FULL;
    enum tg_err err = bench_create(program, worker->transactions, &place->bench);
    if (err == TG_OK)
        atomic_store_explicit(&place->program, program, memory_order_release);
    return err;
}

unsigned waf_worker_running(const struct waf_worker *worker, const struct waf_program *program)
{
    struct waf_bench *bench = waf_worker_bench(worker, program);
    return bench ? atomic_load_explicit(&bench->running, memory_order_acquire) : 0;
}

enum tg_err waf_worker_release(struct waf_worker *worker, const struct waf_program *program)
{
    struct waf_place *place = place_find(worker, program);
    if (!place)
        return TG_NOT_FOUND;
    if (atomic_load_explicit(&place->bench->running, memory_order_acquire) != 0)
        return TG_AGAIN;
    atomic_store_explicit(&place->program, NULL, memory_order_release);
    bench_free(place->bench);
    place->bench = NULL;
    return TG_OK;
}
