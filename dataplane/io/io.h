/* SPDX-License-Identifier: BSD-3-Clause
 * Packets in, packets out: the one face of every port. Exactly one implementation is linked into a
 * program: io_dpdk.c (-Dio=dpdk), io_xdp.c (-Dio=xdp), or io_sim.c (simulator and tests). A `struct
 * io` is one worker's view of all ports; nothing in it is shared. Called by worker/ (and by the
 * simulator); knows nothing of protocols. Floor 2: base only.
 *
 * The linearise rule. Above io/, a frame may be a chain (buf.next) or carry external bytes. A back end
 * asks its port what it can send; what the port cannot, the back end copies into one frame before
 * sending (counted: io_tx_linearised). net_af_xdp takes chains and then sends stale memory, so the
 * back end never believes it. Nobody above io/ cares.
 *
 * The completion rule. io_tx takes over one software reference of each buffer it accepts. The port
 * reads the bytes until io_tx_done(io, buf) is true; before that nobody may rewrite them. DPDK: the
 * mbuf's reference count; AF_XDP: the completion ring; simulator: the moment the link has copied it.
 *
 * Hand-off. Where the port has fewer queues than there are workers (net_af_xdp on veth has one), the
 * worker that owns the queue receives for all, steer decides, and io_handoff passes a burst to its
 * worker by an SPSC ring. The others' io_tx goes through the same kind of ring to the queue's owner.
 * Every system test runs this way.
 */
#ifndef DATAPLANE_IO_IO_H
#define DATAPLANE_IO_IO_H

#include "base/buf.h"
#include "base/result.h"
#include "base/stats.h"

#define IO_PORTS_MAX      4
#define IO_ADDRESSES_MAX  32 /* per port */
#define IO_DROP_RULES_MAX 1024

struct io;      /* one worker's view of the ports */
struct io_host; /* all ports of the process, owned by main */

/* What the port can do, so that net and tcp ask for it or do it themselves. */
struct io_caps {
    uint16_t queues;          /* receive queues in use; < workers means software hand-off */
    uint16_t mtu;             /* largest IP packet, bytes */
    bool tx_ip_checksum;      /* honours BUF_TX_IP_CSUM */
    bool tx_l4_checksum;      /* honours BUF_TX_L4_CSUM */
    bool rx_checksum;         /* reports BUF_RX_*_CSUM_* */
    bool tx_chains;           /* sends chains without a copy */
    uint32_t tso_bytes_max;   /* largest payload of a super-segment (buf.segments); 0: takes none */
    uint8_t tso_segments_max; /* segments that it makes of one at most */
    bool rss;                 /* spreads by Toeplitz under our key and reports rx_hash */
    bool shared_with_kernel; /* what is not for our addresses goes to the kernel before we see it */
    uint8_t mac[6];          /* of this port */
    char device[64];         /* for people: "net_tap0" */
};

/* How to open the ports; lives as long as the host. */
struct io_config {
    unsigned workers;
    struct {
        const char
            *device; /* DPDK: a devargs string such as "net_tap0,iface=tgt0"; XDP: an interface */
        unsigned queues; /* wanted; the port may have fewer */
        uint16_t mtu;    /* 0: 1500 */
        /* Our addresses, IPv4 as IPv4-mapped. XDP: what is for them comes to us, the rest goes to the
         * kernel. DPDK: not looked at, the whole port is ours. */
        uint8_t addresses[IO_ADDRESSES_MAX][16];
        unsigned address_count;
    } ports[IO_PORTS_MAX];
    unsigned port_count;
    unsigned buffers;              /* per worker */
    bool hugepages;                /* false: ordinary memory, slower */
    const char *const *extra_args; /* DPDK: further EAL arguments; NULL-terminated; NULL: none */
    const uint8_t *rss_key;        /* TOEPLITZ_KEY_BYTES random bytes */
    bool idle_sleep;               /* io_wait may sleep; false: always poll */
};

/* Open all ports (cold, as root, before threads start).
 * DPDK: rte_eal_init --in-memory, one mempool, vdevs. AF_XDP: attach the program, make UMEM and
 * sockets. Simulator: nothing to open.
 * problem  [out, 256 bytes] one sentence with the way out when the result is not TG_OK (a busy port,
 *          missing rights, missing hugepages). Nothing stays open after a failure. */
enum tg_err io_host_open(const struct io_config *config, struct io_host **host, char problem[256]);

/* What an open port can do, for main; lives as long as the host. */
const struct io_caps *io_host_caps(const struct io_host *host, unsigned port);

/* A drop rule: a frame for an address of ours that matches all given parts is dropped before we receive
 * it. Fields and meaning as struct tables_rule (contract/, which io/ does not know). */
struct io_drop_rule {
    uint8_t source[16], destination[16];        /* IPv4 as IPv4-mapped */
    uint8_t source_bits, destination_bits;      /* 0: any, of either family */
    uint8_t proto;                              /* 0: any */
    uint16_t source_port_low, source_port_high; /* 0..65535: any */
    uint16_t destination_port_low, destination_port_high;
    uint16_t slot; /* where its hits are counted, < IO_DROP_RULES_MAX */
};

/* Put rules[n] into force in the driver, in the place of those before; of several that match the first
 * counts. From any one thread that is not a worker; takes about a millisecond. filter/ still looks at
 * what gets through: until this call is done, and wherever it says TG_UNSUPPORTED, the rules are in
 * force there alone.
 * DPDK, simulator: TG_UNSUPPORTED. AF_XDP: TG_TOO_BIG for more than IO_DROP_RULES_MAX, TG_SYSTEM when
 * the kernel refuses (then no rule is in force in the driver). */
enum tg_err io_host_use_rules(struct io_host *host, const struct io_drop_rule rules[], unsigned n);

/* Frames that a rule dropped in the driver since the start. Any thread; 0 where there is no driver of
 * ours. */
uint64_t io_host_rule_hits(const struct io_host *host, unsigned slot);

/* Give worker `worker` (0..workers-1) its view. Called in the worker's own thread, which it binds to
 * the back end (DPDK: rte_thread_register). `stats` is that worker's block and outlives the io. */
enum tg_err io_open(struct io_host *host, unsigned worker, struct stats *stats, struct io **io);

/* Close a worker's view (same thread); then, when all are closed, the host. Queued frames are
 * dropped, every buffer goes home. */
void io_close(struct io *io);
void io_host_close(struct io_host *host);

/* Receive up to n (<= TG_BURST) frames into burst[]; each is owned by the caller with refs = 1, one
 * piece or a chain, with worker, port, rx_ns, flags and, where the port gives it, rx_hash set. Frames
 * handed over by other workers come first, with BUF_HANDED_OVER. On a queue's owner it also moves the
 * other workers' outgoing frames to the port.
 * DPDK: rte_eth_rx_burst of each port's queue. AF_XDP: the RX ring, refilling the fill ring.
 * Simulator: the frames whose arrival time has come. */
unsigned io_rx(struct io *io, struct buf *burst[], unsigned n);

/* Send burst[n] out of the port named in buf.port. Takes one reference of every buffer, always: what
 * does not fit in the queue is dropped and counted (io_tx_full), as on a wire. Frames start at the
 * Ethernet header; for BUF_TX_*_CSUM, buf.l3 and buf.l4 are the offsets of the IP and the transport
 * header from `data`, and ip_version and ip_proto are set; a super-segment (buf.segments) has these two
 * as well, fits the port's tso_bytes_max and tso_segments_max, and leaves as that many frames: each with the
 * headers, its own lengths, sequence number, checksums and IPv4 identification (one more each); FIN and PSH
 * only on the last, CWR only on the first. Returns how many were queued.
 * DPDK: rte_eth_tx_burst after setting offload flags from buf.flags; a buffer with refs > 1 gets an
 * extra mbuf reference. AF_XDP: the TX ring. Simulator: copies into the link. */
unsigned io_tx(struct io *io, struct buf *burst[], unsigned n);

/* The same for a worker: hits in the driver since this worker last asked for that slot. One worker only
 * asks, or they are counted twice. */
uint64_t io_rule_hits_take(struct io *io, unsigned slot);

/* True when no port reads this buffer's bytes any more. */
bool io_tx_done(const struct io *io, const struct buf *buf);

/* Push out what io_tx batched (call once a turn; io_tx alone may keep frames until a burst is full). */
void io_flush(struct io *io);

/* Pass burst[n] to the workers named in their buf.worker. Takes one reference of each, always; a full
 * ring drops and counts (io_handoff_full). The buffers must not be shared (refs == 1). */
void io_handoff(struct io *io, struct buf *burst[], unsigned n);

/* Sleep until something may have arrived or the worker clock reaches `until` (at most 100 us ahead is
 * honoured), or return at once where sleeping is switched off. Called when a few turns found nothing.
 * DPDK: poll(2) on the port's descriptor where it has one, else nanosleep; AF_XDP: poll(2) on the
 * socket; simulator: returns at once, the virtual clock is moved by the event loop. */
void io_wait(struct io *io, tg_ns until);

/* The worker clock. Read once after every receive burst, then passed on; nothing above reads a clock.
 * DPDK: TSC scaled to nanoseconds; AF_XDP: CLOCK_MONOTONIC by the vDSO; simulator: virtual time. */
tg_ns io_now(struct io *io);

const struct io_caps *io_caps(const struct io *io, unsigned port);
unsigned io_port_count(const struct io *io);

/* The worker's buffer cache over the shared frames. */
struct buf_pool *io_pool(struct io *io);

#endif
