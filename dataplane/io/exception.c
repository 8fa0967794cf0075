/* SPDX-License-Identifier: BSD-3-Clause
 * The rings between workers and the kernel's thread; see exception.h. Floor 2: base only.
 */
#include "io/exception.h"
#include "base/ring.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define ETHERNET_BYTES 14

static_assert(sizeof(struct exception_frame) % TG_CACHE_LINE == 0, "slots start on cache lines");

struct exception_host {
    unsigned workers;
    unsigned first_worker; /* whose frames are taken first: rotates; writer: the thread */
    struct ring *to_kernel[TG_WORKERS_MAX][EXCEPTION_CLASSES]; /* producer: the worker */
    struct ring *from_kernel;                                  /* consumer: worker 0 */
    void (*wake)(void *arg);
    void *wake_arg;
    _Atomic bool sleeps;      /* writer: the thread */
    _Atomic uint64_t refused; /* writer: the thread */
};

static struct ring *ring_create(uint32_t entries)
{
    size_t bytes = ring_bytes(entries, sizeof(struct exception_frame));
    struct ring *r =
        aligned_alloc(TG_CACHE_LINE, (bytes + TG_CACHE_LINE - 1) & ~(size_t)(TG_CACHE_LINE - 1));
    if (r)
        ring_init(r, entries, sizeof(struct exception_frame));
    return r;
}

enum tg_err exception_host_create(unsigned workers, struct exception_host **out)
{
    tg_assert(workers >= 1 && workers <= TG_WORKERS_MAX);
    struct exception_host *host = calloc(1, sizeof *host);
    if (!host)
        return TG_NO_MEMORY;
    host->workers = workers;
    bool good = (host->from_kernel = ring_create(EXCEPTION_KERNEL_ENTRIES)) != NULL;
    for (unsigned w = 0; w < workers; w++) {
        struct ring **rings = host->to_kernel[w];
        good &= (rings[EXCEPTION_CONTROL] = ring_create(EXCEPTION_CONTROL_ENTRIES)) != NULL;
        good &= (rings[EXCEPTION_REST] = ring_create(EXCEPTION_REST_ENTRIES)) != NULL;
    }
    if (!good) {
        exception_host_destroy(host);
        return TG_NO_MEMORY;
    }
    *out = host;
    return TG_OK;
}

void exception_host_destroy(struct exception_host *host)
{
    if (!host)
        return;
    for (unsigned w = 0; w < host->workers; w++)
        for (unsigned c = 0; c < EXCEPTION_CLASSES; c++)
            free(host->to_kernel[w][c]);
    free(host->from_kernel);
    free(host);
}

void exception_host_use_waker(struct exception_host *host, void (*wake)(void *arg), void *arg)
{
    host->wake = wake;
    host->wake_arg = arg;
}

/* --- a worker's side ------------------------------------------------------------------------- */

void exception_open(struct exception *e, struct exception_host *host, unsigned worker,
                    struct stats *stats)
{
    tg_assert(!host || worker < host->workers);
    *e = (struct exception){.host = host, .stats = stats, .worker = worker};
}

/* False: larger than any frame of ours. */
static bool frame_fill(struct exception_frame *frame, const struct buf *b)
{
    uint32_t len = buf_chain_len(b), at = 0;
    if (len > EXCEPTION_FRAME_BYTES)
        return false;
    frame->len = (uint16_t)len;
    for (; b; at += b->len, b = b->next)
        if (b->len)
            memcpy(frame->bytes + at, b->data, b->len);
    return true;
}

void exception_punt(struct exception *e, const struct buf *b, tg_ns now)
{
    if (!e->host)
        return;
    enum exception_kind kind = exception_classify(b);
    enum exception_class class = exception_class_of(kind);
    if (!exception_police_take(&e->police, kind, now)) {
        stats_count(e->stats, class == EXCEPTION_CONTROL ? TG_C_exception_policed_control
                                                         : TG_C_exception_policed);
        return;
    }
    struct exception_frame frame;
    bool fits = frame_fill(&frame, b);
    if (fits && ring_push(e->host->to_kernel[e->worker][class], &frame, 1) == 1) {
        stats_count(e->stats, TG_C_exception_in);
        e->wake_wanted = true;
    } else {
        stats_count(e->stats, fits ? TG_C_exception_full : TG_C_io_rx_too_big);
    }
}

static void count_refused(struct exception *e)
{
    uint64_t refused = atomic_load_explicit(&e->host->refused, memory_order_relaxed);
    stats_add(e->stats, TG_C_exception_refused, refused - e->refused_seen);
    e->refused_seen = refused;
}

unsigned exception_take(struct exception *e, struct buf_pool *pool, struct buf *burst[], unsigned n)
{
    unsigned taken = 0;
    if (!e->host || e->worker != 0)
        return 0;
    count_refused(e);
    while (taken < n && ring_count(e->host->from_kernel) > 0) {
        struct exception_frame frame;
        struct buf *b = buf_alloc(pool);
        if (!b)
            break;
        unsigned popped = ring_pop(e->host->from_kernel, &frame, 1);
        tg_assert(popped == 1 && frame.len <= EXCEPTION_FRAME_BYTES);
        memcpy(buf_put(b, frame.len), frame.bytes, frame.len);
        b->port = 0;
        burst[taken++] = b;
    }
    stats_add(e->stats, TG_C_exception_out, taken);
    return taken;
}

/* The other half of exception_host_may_sleep: either we see `sleeps`, or the thread sees the frames. */
void exception_wake(struct exception *e)
{
    if (!e->wake_wanted)
        return;
    e->wake_wanted = false;
    atomic_thread_fence(memory_order_seq_cst);
    if (e->host->wake && atomic_load_explicit(&e->host->sleeps, memory_order_relaxed))
        e->host->wake(e->host->wake_arg);
}

/* --- the thread's side ----------------------------------------------------------------------- */

static unsigned take_class(struct exception_host *host, enum exception_class class,
                           struct exception_frame frames[], unsigned n)
{
    unsigned taken = 0;
    for (unsigned i = 0; i < host->workers && taken < n; i++) {
        unsigned w = (host->first_worker + i) % host->workers;
        taken += ring_pop(host->to_kernel[w][class], frames + taken, n - taken);
    }
    return taken;
}

unsigned exception_host_take(struct exception_host *host, struct exception_frame frames[],
                             unsigned n)
{
    unsigned taken = take_class(host, EXCEPTION_CONTROL, frames, n);
    taken += take_class(host, EXCEPTION_REST, frames + taken, n - taken);
    host->first_worker = (host->first_worker + 1) % host->workers;
    return taken;
}

unsigned exception_host_room(const struct exception_host *host)
{
    return EXCEPTION_KERNEL_ENTRIES - ring_count(host->from_kernel);
}

void exception_host_give(struct exception_host *host, const struct exception_frame frames[],
                         unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        tg_assert(frames[i].len >= ETHERNET_BYTES && frames[i].len <= EXCEPTION_FRAME_BYTES);
    unsigned pushed = ring_push(host->from_kernel, frames, n);
    tg_assert(pushed == n);
}

void exception_host_refused(struct exception_host *host, unsigned n)
{
    atomic_fetch_add_explicit(&host->refused, n, memory_order_relaxed);
}

bool exception_host_may_sleep(struct exception_host *host)
{
    atomic_store_explicit(&host->sleeps, true, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    for (unsigned w = 0; w < host->workers; w++)
        for (unsigned c = 0; c < EXCEPTION_CLASSES; c++)
            if (ring_count(host->to_kernel[w][c]) > 0) {
                exception_host_awake(host);
                return false;
            }
    return true;
}

void exception_host_awake(struct exception_host *host)
{
    atomic_store_explicit(&host->sleeps, false, memory_order_relaxed);
}
