/* SPDX-License-Identifier: BSD-3-Clause
 * The AF_XDP back end's frames: where free ones lie, who holds a frame, into the fill ring and out of the
 * completion ring. See io_xdp.h for the picture. Hot.
 */
#include "io/io_xdp.h"

static struct io_home *io_home_of(struct io_host *host, uint32_t frame)
{
    return &host->homes[frame / host->buffers];
}

/* A list of n frames of one home, linked, onto its `returned`. Counted first: a worker that takes them at once must not
 * have given away more than ever came. */
static void io_home_push(struct io_home *home, struct buf *first, struct buf *last, uint32_t n)
{
    atomic_fetch_add_explicit(&home->came, n, memory_order_relaxed);
    struct buf *head = atomic_load_explicit(&home->returned, memory_order_relaxed);
    do
        last->link = head;
    while (!atomic_compare_exchange_weak_explicit(&home->returned, &head, first,
                                                  memory_order_release, memory_order_relaxed));
}

/* A free frame of the calling worker's own home; NULL: none. */
static struct buf *io_home_pop(struct io_home *home)
{
    if (TG_UNLIKELY(!home->free))
        home->free = atomic_exchange_explicit(&home->returned, NULL, memory_order_acquire);
    struct buf *b = home->free;
    if (b) {
        home->free = b->link;
        home->left++;
    }
    return b;
}

uint32_t io_available(const struct buf_pool *pool)
{
    const struct io *io = tg_container_of(pool, struct io, pool);
    const struct io_home *home = &io->host->homes[io->worker];
    return atomic_load_explicit(&home->came, memory_order_relaxed) - home->left + pool->cached;
}

unsigned io_refill(struct buf_pool *pool, struct buf *out[], unsigned n)
{
    struct io *io = tg_container_of(pool, struct io, pool);
    struct io_home *home = &io->host->homes[io->worker];
    unsigned got = 0;
    for (struct buf *b; got < n && (b = io_home_pop(home)); got++) {
        buf_reset(b);
        out[got] = b;
    }
    if (TG_UNLIKELY(!got))
        stats_count(io->stats, TG_C_io_pool_empty);
    return got;
}

/* Give up one hold; true when it was the last and the frame is to go home. */
static bool io_hold_drop(struct io_host *host, uint32_t frame)
{
    _Atomic uint32_t *holds = &host->holds[frame];
    if (TG_LIKELY(atomic_load_explicit(holds, memory_order_acquire) == 1))
        return true; /* nobody else can come to hold it: no need to write */
    if (atomic_fetch_sub_explicit(holds, 1, memory_order_acq_rel) != 1)
        return false;
    atomic_store_explicit(holds, 1, memory_order_relaxed);
    return true;
}

/* Frames that are collected for one home. */
struct io_homeward {
    struct io_home *home;
    struct buf *first, *last;
    uint32_t count;
};

static void io_homeward_send(struct io_homeward *h)
{
    if (h->first)
        io_home_push(h->home, h->first, h->last, h->count);
    h->first = NULL;
    h->count = 0;
}

static void io_homeward_add(struct io_host *host, struct io_homeward *h, uint32_t frame)
{
    struct io_home *home = io_home_of(host, frame);
    struct buf *b = &host->bufs[frame];
    if (!io_hold_drop(host, frame))
        return; /* another hold, another day */
    if (h->home != home)
        io_homeward_send(h);
    if (!h->first)
        h->last = b;
    b->link = h->first;
    h->first = b;
    h->count++;
    h->home = home;
}

void io_drain(struct buf_pool *pool, struct buf *bufs[], unsigned n)
{
    struct io_host *host = pool->arg;
    struct io_homeward homeward = {0};
    for (unsigned i = 0; i < n; i++)
        io_homeward_add(host, &homeward, io_frame_of(host, bufs[i]));
    io_homeward_send(&homeward);
}

void io_port_releases(struct io_host *host, const struct xdp_desc descriptors[], unsigned n)
{
    struct io_homeward homeward = {0};
    for (unsigned i = 0; i < n; i++)
        io_homeward_add(host, &homeward, (uint32_t)(descriptors[i].addr >> IO_FRAME_SHIFT));
    io_homeward_send(&homeward);
}

void io_fill(struct io *io, struct io_socket *s)
{
    struct io_home *home = &io->host->homes[io->worker];
    uint32_t at = 0;
    unsigned n = xsk_prod_nb_free(&s->fill, s->fill_missing), put = 0;
    if (n > s->fill_missing)
        n = s->fill_missing;
    for (struct buf *b; put < n && (b = io_home_pop(home)); put++) {
        tg_assert(xsk_ring_prod__reserve(&s->fill, 1, &at) == 1);
        *xsk_ring_prod__fill_addr(&s->fill, at) = (uint64_t)io_frame_of(io->host, b)
                                                  << IO_FRAME_SHIFT;
    }
    if (TG_UNLIKELY(put < n))
        stats_count(io->stats, TG_C_io_pool_empty);
    if (put)
        xsk_ring_prod__submit(&s->fill, put);
    s->fill_missing -= put;
}

void io_complete(struct io *io, struct io_socket *s)
{
    struct io_homeward homeward = {0};
    uint32_t at = 0;
    unsigned n = xsk_ring_cons__peek(&s->completion, IO_DESCRIPTORS, &at);
    for (unsigned i = 0; i < n; i++) {
        uint64_t address = *xsk_ring_cons__comp_addr(&s->completion, at + i);
        io_homeward_add(io->host, &homeward, (uint32_t)(address >> IO_FRAME_SHIFT));
    }
    io_homeward_send(&homeward);
    if (n)
        xsk_ring_cons__release(&s->completion, n);
    s->in_flight -= n;
}
