/* SPDX-License-Identifier: BSD-3-Clause
 * What the parts of the AF_XDP back end share: io_xdp.c moves bursts and
 * io_xdp_frames.c frames (hot), io_xdp_report.c counts what was dropped before us; cold: io_xdp_host.c opens
 * and closes, io_xdp_device.c asks the kernel about an interface, io_xdp_driver.c loads and attaches the
 * program in the driver, io_xdp_rules.c gives it the drop rules. The only files of the tree that include xdp/ and
 * bpf/ headers.
 *
 * Frames. One UMEM for all ports and workers, frames of 4096 bytes. Frame i has bufs[i], and its home is
 * worker i / buffers. Free frames of a home are a stack that only its worker touches; whoever frees one
 * pushes it onto the home's `returned` list, and the worker takes that list as a whole when its stack is
 * empty (one compare-and-swap for a batch; no lock, and no ABA as nobody pops a single frame).
 *
 * References. holds[i] is "the software's hold as a whole" (1) plus one for each time a port holds the
 * frame; buf.refs counts the software's holders. The last buf_unref takes 1 from it, a completion takes
 * 1, and who comes last takes the frame home. (An mbuf's reference count in the DPDK build.)
 *
 * Workers without a queue on a port put descriptors, not buffers, into a ring to the queue's owner: what
 * the owner touches is the frame's bytes and its hold, never the buf.
 */
#ifndef DATAPLANE_IO_IO_XDP_H
#define DATAPLANE_IO_IO_XDP_H

#include "base/ring.h"
#include "io/io.h"
#include "io/io_xdp_layout.h"
#include <stdatomic.h>
#include <xdp/xsk.h>

#define IO_FRAME_SHIFT     12 /* a page: what UMEM takes without huge pages */
#define IO_FRAME_BYTES     (1u << IO_FRAME_SHIFT)
#define IO_DESCRIPTORS     2048 /* each of a socket's four rings */
#define IO_HANDOFF_ENTRIES 1024 /* frames between two workers, each direction */
#define IO_NO_QUEUE        UINT16_MAX

static_assert(BUF_HEADROOM + BUF_ROOM <= IO_FRAME_BYTES, "a fresh buffer fits in a frame");
static_assert(IO_DROP_RULES_MAX == IO_XDP_RULES, "one limit of rules");
static_assert(IO_XDP_ADDRESSES == 1 << 8, "a slot is the top byte of a hash");
static_assert(8 * IO_ADDRESSES_MAX <= IO_XDP_ADDRESSES, "few enough to find a seed quickly");

struct io_home {
    _Atomic(struct buf *) returned TG_CACHE_ALIGN; /* writers: all workers */
    _Atomic uint32_t came;                         /* frames so far, modulo 2^32; likewise */
    struct buf *free TG_CACHE_ALIGN;               /* through link; writer: the home's worker */
    uint32_t left;                                 /* frames so far; likewise */
};

/* One queue of a port; touched by its worker only, once that runs. */
struct io_socket {
    struct xsk_socket *xsk;
    int fd;
    unsigned fill_missing; /* frames that the fill ring lacks */
    unsigned in_flight;    /* sent and not yet completed */
    struct xsk_ring_cons rx, completion;
    struct xsk_ring_prod tx, fill;
    uint64_t missed; /* frames that the kernel lost before us, as last read */
};

/* The program in the driver of one port. */
struct io_driver {
    struct bpf_object *object;
    int link_fd; /* closing it takes the program off the interface, also at kill -9 */
    int sockets_map, prefixes_map;
    struct io_xdp_generation *generations; /* mapped: two */
    struct io_xdp_counters *counters;      /* mapped: one for each processor */
    size_t generation_bytes;               /* of one array element */
    size_t counters_bytes;
    unsigned processors;
    struct io_xdp_shared *shared;                      /* mapped */
    struct io_xdp_prefix keys[2][IO_XDP_PREFIXES / 2]; /* what lies in the map, by generation */
    unsigned key_count[2];
    uint64_t reasons_seen[IO_XDP_REASON_COUNT]; /* as last counted; writer: worker 0 */
    bool generic;                               /* not in the driver but behind it: slower */
};

struct io_port {
    struct io_caps caps;
    char interface[16];
    unsigned index; /* the kernel's, of the interface */
    int allmulti_fd;
    bool zero_copy;
    struct io_driver driver;
    struct io_socket sockets[TG_WORKERS_MAX]; /* [queue] */
};

struct io_host {
    unsigned workers, port_count;
    unsigned buffers; /* per worker */
    struct io_port ports[IO_PORTS_MAX];
    uint8_t *area; /* the frames' bytes */
    struct xsk_umem *umem;
    struct buf *bufs;        /* [workers * buffers] */
    _Atomic uint32_t *holds; /* [workers * buffers] */
    struct buf_pool home;    /* what buf.pool points to: shares drain and arg with every worker's */
    bool idle_sleep;
    uint64_t rule_hits_seen[IO_XDP_RULES]; /* writer: the worker that asks */
    struct io_home homes[TG_WORKERS_MAX];
    struct ring *handoff[TG_WORKERS_MAX][TG_WORKERS_MAX]; /* [to][from] of struct buf *; SPSC */
    struct ring *outgoing[IO_PORTS_MAX][TG_WORKERS_MAX]; /* [port][from] of struct xdp_desc; SPSC */
};

struct io_tx_batch {
    unsigned count;
    struct xdp_desc descriptors[TG_BURST];
};

struct io {
    struct io_host *host;
    struct stats *stats;
    unsigned worker;
    unsigned first_port; /* who is received from first: rotates */
    unsigned idle_turns; /* io_wait calls in a row: sleep longer and longer */
    tg_ns now, next_report;
    uint16_t queue[IO_PORTS_MAX]; /* IO_NO_QUEUE: another worker's queue serves */
    struct io_tx_batch tx[IO_PORTS_MAX];
    struct buf_pool pool;
};

static inline uint32_t io_frame_of(const struct io_host *host, const struct buf *b)
{
    return (uint32_t)(b - host->bufs);
}

/* io_xdp_frames.c. buf_pool.refill of every worker; buf_pool.drain of every worker and of io_host.home
 * (arg: the host). */
unsigned io_refill(struct buf_pool *pool, struct buf *out[], unsigned n);
void io_drain(struct buf_pool *pool, struct buf *bufs[], unsigned n);
/* buf_pool.available of every worker. */
uint32_t io_available(const struct buf_pool *pool);
/* The port gives up its hold of frames that it never sent. */
void io_port_releases(struct io_host *host, const struct xdp_desc descriptors[], unsigned n);
/* Give the kernel free frames to receive into, as many as it lacks. */
void io_fill(struct io *io, struct io_socket *socket);
/* Take back the frames that the kernel has sent. */
void io_complete(struct io *io, struct io_socket *socket);

/* io_xdp_report.c. Add what driver and kernel dropped to the worker's counters. */
void io_report(struct io *io);

/* Cold: one sentence into `problem`; returns `result`. */
enum tg_err io_problem(char problem[256], enum tg_err result, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* io_xdp_device.c: what the kernel says of an interface. */
struct io_device {
    unsigned index, mtu, channels;
    uint8_t mac[6];
    bool up;
};
/* TG_NOT_FOUND: no such interface. TG_SYSTEM: no socket to ask with. */
enum tg_err io_device_ask(const char *interface, struct io_device *device);
/* Receive frames for all multicast groups while the descriptor is open; -1 with errno. */
int io_device_allmulti(unsigned index);

/* The program's object file, embedded. */
extern const uint8_t io_xdp_object[];
extern const size_t io_xdp_object_bytes;

/* io_xdp_driver.c. Load the program and map its tables; then attach it to an interface. It passes everything
 * to the kernel until it has addresses. After a failure too the caller closes. */
enum tg_err io_driver_open(struct io_driver *driver, char problem[256]);
enum tg_err io_driver_attach(struct io_driver *driver, const char *interface, unsigned index,
                             char problem[256]);
/* Let a queue's frames come to a socket; then, last, which addresses are ours. */
enum tg_err io_driver_set_socket(struct io_driver *driver, unsigned queue, int fd);
enum tg_err io_driver_set_addresses(struct io_driver *driver, const uint8_t addresses[][16],
                                    unsigned n);
void io_driver_close(struct io_driver *driver);
/* io_xdp_report.c. Frames that had this end, and those that a rule dropped, over all processors. */
uint64_t io_driver_reason(const struct io_driver *driver, enum io_xdp_reason reason);
uint64_t io_driver_hits(const struct io_driver *driver, unsigned slot);

/* io_xdp_rules.c. TG_SYSTEM: the kernel refuses; no rule is in force then. */
enum tg_err io_driver_use_rules(struct io_driver *driver, const struct io_drop_rule rules[],
                                unsigned n);

#endif
