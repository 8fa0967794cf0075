/* SPDX-License-Identifier: BSD-3-Clause
 * Simulated ports behind io.h: frames come in by io_sim_receive and leave by a callback, time is the
 * simulator's. Frames lie on the heap. One port; a worker that hands a frame over gives a copy, so
 * that every frame stays in the pool of one worker and the leak oracle is exact.
 * Called by worker/ and tests; knows nothing of protocols.
 */
#include "io/io_sim.h"
#include "base/offload.h"
#include <stdlib.h>

#define IO_SIM_FRAME_BYTES (BUF_HEADROOM + BUF_ROOM)

struct io_frame {
    struct buf buf;
    uint8_t bytes[IO_SIM_FRAME_BYTES];
};

struct io {
    struct io_sim_config config;
    struct stats *stats;
    struct io_caps caps;
    struct buf_pool pool;
    struct io_frame *frames;
    unsigned fresh;    /* the first so many frames have never left: nobody has written to them */
    struct buf **home; /* stack of those that came back */
    unsigned home_count;
    unsigned fail_refill_after;   /* counts down; the refill that reaches 0 fails */
    struct buf_queue arrived;     /* from the link */
    struct buf_queue handed_over; /* from other workers */
    struct io *peers[TG_WORKERS_MAX];
};

static bool io_sim_fails(struct io *io, enum io_sim_fault kind)
{
    return io->config.fault && io->config.fault(io->config.arg, kind);
}

/* A frame is made when it first leaves: most runs need few, and each costs a page. */
static struct buf *io_sim_make(struct io *io)
{
    struct io_frame *frame = &io->frames[--io->fresh];
    frame->buf = (struct buf){.head = frame->bytes, .cap = IO_SIM_FRAME_BYTES, .pool = &io->pool};
    return &frame->buf;
}

static unsigned io_sim_refill(struct buf_pool *pool, struct buf *out[], unsigned n)
{
    struct io *io = pool->arg;
    if (io->fail_refill_after && --io->fail_refill_after == 0)
        return 0;
    if (io_sim_fails(io, IO_SIM_NO_FRAME))
        return 0;
    if (io->config.fault)
        n = 1;
    unsigned i = 0;
    for (; i < n && io->home_count + io->fresh; i++) {
        out[i] = io->home_count ? io->home[--io->home_count] : io_sim_make(io);
        buf_reset(out[i]);
    }
    return i;
}

static void io_sim_drain(struct buf_pool *pool, struct buf *bufs[], unsigned n)
{
    struct io *io = pool->arg;
    for (unsigned i = 0; i < n; i++) {
        tg_assert(io->home_count + io->fresh < io->config.buffers);
        io->home[io->home_count++] = bufs[i];
    }
}

static uint32_t io_sim_available(const struct buf_pool *pool)
{
    const struct io *io = pool->arg;
    return io->home_count + io->fresh + pool->cached;
}

enum tg_err io_sim_open(const struct io_sim_config *config, struct stats *stats, struct io **out)
{
    struct io *io = calloc(1, sizeof *io);
    if (!io)
        return TG_NO_MEMORY;
    io->config = *config;
    io->stats = stats;
    io->frames = aligned_alloc(TG_CACHE_LINE, sizeof(struct io_frame) * config->buffers);
    io->home = calloc(config->buffers, sizeof *io->home);
    if (!io->frames || !io->home) {
        io_close(io);
        return TG_NO_MEMORY;
    }
    buf_pool_init(&io->pool, io_sim_refill, io_sim_drain, io);
    io->fresh = config->buffers;
    io->pool.available = io_sim_available;
    io->pool.total = config->buffers;
    io->caps = (struct io_caps){
        .queues = 1,
        .mtu = config->mtu,
        .tx_ip_checksum = config->tx_checksum_offload,
        .tx_l4_checksum = config->tx_checksum_offload,
        .tso_bytes_max = config->tx_checksum_offload ? config->tso_bytes_max : 0,
        .tso_segments_max = UINT8_MAX,
        .device = "sim",
    };
    memcpy(io->caps.mac, config->mac, sizeof io->caps.mac);
    io->peers[config->worker] = io;
    *out = io;
    return TG_OK;
}

void io_sim_join(struct io *const ios[], unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        for (unsigned k = 0; k < n; k++)
            ios[i]->peers[ios[k]->config.worker] = ios[k];
}

static void io_sim_unref_all(struct io *io, struct buf_queue *queue)
{
    for (struct buf *b; (b = buf_queue_pop(queue));)
        buf_unref(&io->pool, b);
}

void io_close(struct io *io)
{
    if (io->frames) {
        io_sim_unref_all(io, &io->arrived);
        io_sim_unref_all(io, &io->handed_over);
    }
    free(io->frames);
    free(io->home);
    free(io);
}

void io_sim_receive(struct io *io, unsigned port, struct span frame, uint16_t flags)
{
    if (frame.len > BUF_ROOM) {
        stats_count(io->stats, TG_C_io_rx_too_big);
        return;
    }
    struct buf *b = buf_alloc(&io->pool);
    if (!b) {
        stats_count(io->stats, TG_C_io_pool_empty);
        return;
    }
    if (frame.len)
        memcpy(buf_put(b, (uint16_t)frame.len), frame.data, frame.len);
    b->port = (uint8_t)port;
    b->worker = (uint8_t)io->config.worker;
    b->flags |= flags;
    buf_queue_push(&io->arrived, b);
}

unsigned io_rx(struct io *io, struct buf *burst[], unsigned n)
{
    unsigned got = 0;
    if (io->config.fault)
        buf_pool_flush(&io->pool);
    for (struct buf *b; got < n && (b = buf_queue_pop(&io->handed_over));) {
        stats_count(io->stats, TG_C_io_handoff_in);
        burst[got++] = b;
    }
    for (struct buf *b; got < n && (b = buf_queue_pop(&io->arrived));) {
        b->rx_ns = *io->config.clock;
        stats_count(io->stats, TG_C_io_rx_packets);
        stats_add(io->stats, TG_C_io_rx_bytes, b->len);
        burst[got++] = b;
    }
    return got;
}

/* Where a frame goes as the wire would have it: the configuration's transmit or refused. */
typedef void io_sim_sink(void *arg, unsigned port, struct span frame, tg_ns now);

static void io_sim_cut(struct io *io, const struct buf *b, struct span super, io_sim_sink *sink)
{
    uint8_t out[IO_SIM_FRAME_BYTES];
    size_t len;
    tg_assert(b->segments <= io->caps.tso_segments_max &&
              super.len - b->len <= io->caps.tso_bytes_max);
    for (unsigned i = 0; (len = offload_cut(b, super, i, out)) != 0; i++)
        sink(io->config.arg, b->port, span_make(out, len), *io->config.clock);
}

/* Returns its bytes before it was cut. */
static size_t io_sim_put(struct io *io, const struct buf *b, io_sim_sink *sink)
{
    uint8_t frame[65536];
    size_t len = offload_gather(b, frame, sizeof frame);
    if (b->segments) {
        io_sim_cut(io, b, span_make(frame, len), sink);
        return len;
    }
    offload_checksums(b, frame, len);
    sink(io->config.arg, b->port, span_make(frame, len), *io->config.clock);
    return len;
}

static void io_sim_send(struct io *io, const struct buf *b)
{
    stats_count(io->stats, TG_C_io_tx_packets);
    stats_add(io->stats, TG_C_io_tx_bytes, io_sim_put(io, b, io->config.transmit));
    if (b->segments) {
        stats_count(io->stats, TG_C_io_tx_tso_frames);
        stats_add(io->stats, TG_C_io_tx_tso_segments, b->segments);
    }
}

unsigned io_tx(struct io *io, struct buf *burst[], unsigned n)
{
    unsigned queued = 0;
    while (queued < n && !io_sim_fails(io, IO_SIM_TX_FULL))
        io_sim_send(io, burst[queued++]);
    stats_add(io->stats, TG_C_io_tx_full, n - queued);
    for (unsigned i = queued; i < n && io->config.refused; i++)
        (void)io_sim_put(io, burst[i], io->config.refused);
    for (unsigned i = 0; i < n; i++)
        buf_unref(&io->pool, burst[i]);
    return queued;
}

void io_handoff(struct io *io, struct buf *burst[], unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct io *peer = io->peers[burst[i]->worker];
        tg_assert(peer && burst[i]->refs == 1);
        struct buf *copy = buf_linearise(&peer->pool, burst[i]);
        if (copy) {
            copy->worker = burst[i]->worker;
            copy->port = burst[i]->port;
            copy->flags |= BUF_HANDED_OVER;
            buf_queue_push(&peer->handed_over, copy);
            stats_count(io->stats, TG_C_io_handoff_out);
        } else {
            stats_count(io->stats, TG_C_io_handoff_full);
        }
        buf_unref(&io->pool, burst[i]);
    }
}

/* The link copies in io_tx: nothing is read later. */
bool io_tx_done(const struct io *io, const struct buf *buf)
{
    return true;
}

void io_flush(struct io *io)
{
}

/* Virtual time is moved by the simulator's event loop. */
void io_wait(struct io *io, tg_ns until)
{
}

tg_ns io_now(struct io *io)
{
    return *io->config.clock;
}

const struct io_caps *io_caps(const struct io *io, unsigned port)
{
    return &io->caps;
}

unsigned io_port_count(const struct io *io)
{
    return 1;
}

struct buf_pool *io_pool(struct io *io)
{
    return &io->pool;
}

unsigned io_sim_outstanding(struct io *io)
{
    buf_pool_flush(&io->pool);
    return io->config.buffers - io->fresh - io->home_count;
}

void io_sim_fail_refill_after(struct io *io, unsigned n)
{
    io->fail_refill_after = n;
}
