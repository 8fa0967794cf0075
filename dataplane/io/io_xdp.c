/* SPDX-License-Identifier: BSD-3-Clause
 * The AF_XDP back end of io.h, hot half: bursts between a socket's rings and struct buf, software hand-off
 * between workers, linearising, the clock. Called by worker/; knows nothing of protocols.
 */
#include "io/io_xdp.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

#define IO_REPORT_EVERY (2 * TG_MS)
#define IO_KERNEL_BATCH 32 /* frames that the kernel sends for one call (TX_BATCH_SIZE, xsk.c) */

/* Frames of this worker when the rings of its sockets have all that they may hold; an eighth at least. */
static uint32_t io_frames_free(const struct io_host *host, unsigned worker)
{
    uint32_t held = 0;
    for (unsigned p = 0; p < host->port_count; p++)
        if (worker < host->ports[p].caps.queues)
            held += host->ports[p].sockets[worker].fill_missing + IO_DESCRIPTORS;
    uint32_t left = held < host->buffers ? host->buffers - held : 0;
    return left > host->buffers / 8 ? left : host->buffers / 8;
}

enum tg_err io_open(struct io_host *host, unsigned worker, struct stats *stats, struct io **out)
{
    struct io *io = calloc(1, sizeof *io);
    if (!io)
        return TG_NO_MEMORY;
    io->host = host;
    io->worker = worker;
    io->stats = stats;
    buf_pool_init(&io->pool, io_refill, io_drain, host);
    io->pool.available = io_available;
    io->pool.total = io_frames_free(host, worker);
    for (unsigned p = 0; p < host->port_count; p++) {
        io->queue[p] = worker < host->ports[p].caps.queues ? (uint16_t)worker : IO_NO_QUEUE;
        if (io->queue[p] != IO_NO_QUEUE)
            io_fill(io, &host->ports[p].sockets[worker]);
    }
    /* the default slack of 50 us would double the shortest sleep of an idle worker */
    (void)prctl(PR_SET_TIMERSLACK, 1000ul);
    (void)io_now(io);
    *out = io;
    return TG_OK;
}

void io_close(struct io *io)
{
    struct buf *b;
    io_flush(io);
    for (unsigned from = 0; from < io->host->workers; from++)
        while (ring_pop(io->host->handoff[io->worker][from], &b, 1) == 1)
            buf_unref(&io->pool, b);
    buf_pool_flush(&io->pool);
    free(io);
}

tg_ns io_now(struct io *io)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    io->now = (tg_ns)t.tv_sec * TG_S + (tg_ns)t.tv_nsec;
    return io->now;
}

static unsigned io_rx_handed_over(struct io *io, struct buf *burst[], unsigned n)
{
    unsigned got = 0;
    for (unsigned from = 0; from < io->host->workers && got < n; from++)
        if (from != io->worker)
            got += ring_pop(io->host->handoff[io->worker][from], burst + got, n - got);
    stats_add(io->stats, TG_C_io_handoff_in, got);
    return got;
}

/* Have the kernel send what lies in the transmit ring. In copy mode it does so within the call, a batch at
 * a time, and says EAGAIN when it has not sent all; what is left goes with the next call. */
static void io_kick(struct io_socket *s)
{
    if (!xsk_ring_prod__needs_wakeup(&s->tx))
        return;
    for (unsigned i = 0; i < IO_DESCRIPTORS / IO_KERNEL_BATCH; i++) {
        uint32_t before = __atomic_load_n(s->tx.consumer, __ATOMIC_RELAXED);
        if (sendto(s->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0 || errno != EAGAIN)
            return;
        if (__atomic_load_n(s->tx.consumer, __ATOMIC_RELAXED) == before)
            return; /* the interface's queue is full */
    }
}

static bool io_has_unsent(const struct io_socket *s)
{
    return __atomic_load_n(s->tx.consumer, __ATOMIC_RELAXED) != s->tx.cached_prod;
}

static void io_transmit(struct io *io, struct io_socket *s, const struct xdp_desc descriptors[],
                        unsigned n)
{
    uint32_t at = 0;
    io_complete(io, s);
    unsigned slots = xsk_prod_nb_free(&s->tx, n), take = n < slots ? n : slots;
    if (xsk_ring_prod__reserve(&s->tx, take, &at) == take && take) {
        for (unsigned i = 0; i < take; i++)
            *xsk_ring_prod__tx_desc(&s->tx, at + i) = descriptors[i];
        xsk_ring_prod__submit(&s->tx, take);
        s->in_flight += take;
    }
    io_kick(s);
    if (TG_UNLIKELY(take < n)) {
        stats_add(io->stats, TG_C_io_tx_full, n - take);
        io_port_releases(io->host, descriptors + take, n - take);
    }
}

/* Send what workers without a queue on this port have put into their rings: worker w is served by the
 * owner of queue w % queues. */
static void io_serve_others(struct io *io, unsigned port)
{
    struct io_host *host = io->host;
    unsigned queues = host->ports[port].caps.queues;
    for (unsigned w = queues; w < host->workers; w++) {
        struct xdp_desc descriptors[TG_BURST];
        if (w % queues != io->worker)
            continue;
        unsigned n = ring_pop(host->outgoing[port][w], descriptors, TG_BURST);
        if (n)
            io_transmit(io, &host->ports[port].sockets[io->queue[port]], descriptors, n);
    }
}

/* Describe a received frame: every field that later stages read before they write. */
static struct buf *io_describe(struct io *io, unsigned port, const struct xdp_desc *d)
{
    struct io_host *host = io->host;
    struct buf *b = &host->bufs[d->addr >> IO_FRAME_SHIFT];
    buf_reset(b);
    b->data = host->area + d->addr;
    b->len = (uint16_t)d->len;
    b->worker = (uint8_t)io->worker;
    b->port = (uint8_t)port;
    b->rx_ns = io->now;
    io->pool.in_use++;
    stats_add(io->stats, TG_C_io_rx_bytes, d->len);
    return b;
}

static unsigned io_rx_port(struct io *io, unsigned port, struct buf *burst[], unsigned n)
{
    struct io_socket *s = &io->host->ports[port].sockets[io->queue[port]];
    uint32_t at = 0;
    unsigned got = xsk_ring_cons__peek(&s->rx, n, &at), kept = 0;
    if (got)
        (void)io_now(io);
    for (unsigned i = 0; i < got; i++) {
        struct buf *b = io_describe(io, port, xsk_ring_cons__rx_desc(&s->rx, at + i));
        if (TG_UNLIKELY(b->len > BUF_ROOM)) {
            stats_count(io->stats, TG_C_io_rx_too_big);
            buf_unref(&io->pool, b);
            continue;
        }
        burst[kept++] = b;
    }
    if (got)
        xsk_ring_cons__release(&s->rx, got);
    s->fill_missing += got;
    if (s->fill_missing)
        io_fill(io, s);
    if (TG_UNLIKELY(xsk_ring_prod__needs_wakeup(&s->fill)))
        (void)recvfrom(s->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
    stats_add(io->stats, TG_C_io_rx_packets, got);
    return kept;
}

/* What was sent comes back, what could not be sent is tried again. */
static void io_serve_socket(struct io *io, unsigned port)
{
    struct io_socket *s = &io->host->ports[port].sockets[io->queue[port]];
    if (!s->in_flight)
        return;
    if (io_has_unsent(s))
        io_kick(s);
    io_complete(io, s);
}

/* Ports take turns to be first, so that a flooded one does not starve the others. */
unsigned io_rx(struct io *io, struct buf *burst[], unsigned n)
{
    struct io_host *host = io->host;
    unsigned got = host->workers > 1 ? io_rx_handed_over(io, burst, n) : 0;
    unsigned first = io->first_port++;
    for (unsigned i = 0; i < host->port_count; i++) {
        unsigned p = (first + i) % host->port_count;
        if (io->queue[p] == IO_NO_QUEUE)
            continue;
        io_serve_others(io, p);
        io_serve_socket(io, p);
        if (got < n)
            got += io_rx_port(io, p, burst + got, n - got);
    }
    if (got)
        io->idle_turns = 0;
    if (TG_UNLIKELY(io->now >= io->next_report)) {
        io->next_report = io->now + IO_REPORT_EVERY;
        io_report(io);
    }
    return got;
}

/* The frame as one piece of our own: for chains, and for external bytes. Takes the caller's reference of
 * b; NULL when the pool is empty or the chain is longer than a frame (dropped and counted). */
static struct buf *io_linearise(struct io *io, struct buf *b)
{
    struct buf *flat = buf_linearise(&io->pool, b);
    if (flat)
        stats_count(io->stats, TG_C_io_tx_linearised);
    buf_unref(&io->pool, b);
    return flat;
}

/* Give one software reference of b to the port: what is to be sent. */
static struct xdp_desc io_descriptor(struct io *io, struct buf *b)
{
    struct io_host *host = io->host;
    if (b->refs > 1) { /* somebody keeps it (retransmission): the port's hold is a second one */
        b->flags |= BUF_PORT_HOLDS;
        b->refs--;
        atomic_fetch_add_explicit(&host->holds[io_frame_of(host, b)], 1, memory_order_relaxed);
    } else {
        io->pool.in_use--; /* ours no more: the completion takes it home */
    }
    return (struct xdp_desc){.addr = (uint64_t)(b->data - host->area), .len = b->len};
}

static void io_flush_port(struct io *io, unsigned port)
{
    struct io_host *host = io->host;
    struct io_tx_batch *batch = &io->tx[port];
    unsigned n = batch->count;
    if (!n)
        return;
    batch->count = 0;
    if (io->queue[port] != IO_NO_QUEUE) {
        io_transmit(io, &host->ports[port].sockets[io->queue[port]], batch->descriptors, n);
        return;
    }
    unsigned put = ring_push(host->outgoing[port][io->worker], batch->descriptors, n);
    if (TG_UNLIKELY(put < n)) {
        stats_add(io->stats, TG_C_io_tx_full, n - put);
        io_port_releases(host, batch->descriptors + put, n - put);
    }
}

unsigned io_tx(struct io *io, struct buf *burst[], unsigned n)
{
    unsigned queued = 0;
    for (unsigned i = 0; i < n; i++) {
        struct buf *b = burst[i];
        unsigned port = b->port;
        tg_assert(port < io->host->port_count);
        if (TG_UNLIKELY(b->external || b->next))
            b = io_linearise(io, b);
        if (!b)
            continue;
        struct io_tx_batch *batch = &io->tx[port];
        stats_count(io->stats, TG_C_io_tx_packets);
        stats_add(io->stats, TG_C_io_tx_bytes, b->len);
        batch->descriptors[batch->count++] = io_descriptor(io, b);
        queued++;
        if (batch->count == TG_BURST)
            io_flush_port(io, port);
    }
    return queued;
}

void io_flush(struct io *io)
{
    for (unsigned p = 0; p < io->host->port_count; p++)
        io_flush_port(io, p);
}

bool io_tx_done(const struct io *io, const struct buf *buf)
{
    uint32_t frame = io_frame_of(io->host, buf);
    return atomic_load_explicit(&io->host->holds[frame], memory_order_acquire) == 1;
}

void io_handoff(struct io *io, struct buf *burst[], unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct buf *b = burst[i];
        tg_assert(b->refs == 1 && b->worker < io->host->workers && b->worker != io->worker);
        b->flags |= BUF_HANDED_OVER;
        if (ring_push(io->host->handoff[b->worker][io->worker], &b, 1) != 1) {
            stats_count(io->stats, TG_C_io_handoff_full);
            buf_unref(&io->pool, b);
            continue;
        }
        stats_count(io->stats, TG_C_io_handoff_out);
    }
}

/* Sleep in growing steps: 5, 10, 20, 50, then 100 us. A socket wakes us early; the software rings do not,
 * so the owner of nothing never sleeps long after work. */
void io_wait(struct io *io, tg_ns until)
{
    static const tg_ns steps[] = {5 * TG_US, 10 * TG_US, 20 * TG_US, 50 * TG_US, 100 * TG_US};
    tg_ns now = io_now(io);
    if (!io->host->idle_sleep || until <= now)
        return;
    unsigned step = io->idle_turns < TG_ARRAY_LEN(steps) ? io->idle_turns : TG_ARRAY_LEN(steps) - 1;
    tg_ns sleep = steps[step] < until - now ? steps[step] : until - now;
    struct timespec time = {.tv_nsec = (long)sleep};
    struct pollfd wait[IO_PORTS_MAX];
    nfds_t count = 0;
    for (unsigned p = 0; p < io->host->port_count; p++)
        if (io->queue[p] != IO_NO_QUEUE)
            wait[count++] = (struct pollfd){.fd = io->host->ports[p].sockets[io->queue[p]].fd,
                                            .events = POLLIN};
    io->idle_turns++;
    stats_count(io->stats, TG_C_io_waits);
    (void)ppoll(wait, count, &time, NULL);
}

const struct io_caps *io_caps(const struct io *io, unsigned port)
{
    return &io->host->ports[port].caps;
}

unsigned io_port_count(const struct io *io)
{
    return io->host->port_count;
}

struct buf_pool *io_pool(struct io *io)
{
    return &io->pool;
}
