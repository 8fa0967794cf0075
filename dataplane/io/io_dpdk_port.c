/* SPDX-License-Identifier: BSD-3-Clause
 * The DPDK back end of io.h, cold half: start EAL, make the frame pool, open and close ports, make the
 * rings between workers. Called once by main, before threads. Every failure becomes one sentence.
 */
#include "io/io_dpdk.h"
#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <rte_mbuf_pool_ops.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define IO_EAL_ARGS_MAX   64
#define IO_DESCRIPTORS    1024
#define IO_HUGEPAGE_BYTES (2u << 20)
#define IO_FRAME_BYTES    (BUF_HEADROOM + BUF_ROOM)
/* mbuf + private area + frame + mempool object header, rounded up */
#define IO_OBJECT_BYTES (sizeof(struct rte_mbuf) + sizeof(struct buf) + IO_FRAME_BYTES + 128)
#define IO_EXTRA_BYTES  (64u << 20) /* EAL's own, rings, device queues */

static_assert(RTE_PKTMBUF_HEADROOM == BUF_HEADROOM, "the port leaves our headroom");
static_assert(sizeof(struct rte_mbuf) % TG_CACHE_LINE == 0, "buf starts on a cache line");

static enum tg_err io_problem(char problem[256], enum tg_err result, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static enum tg_err io_problem(char problem[256], enum tg_err result, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(problem, 256, format, args);
    va_end(args);
    return result;
}

/* EAL and the drivers say what went wrong in their log only. Keep it while ports open, so that the last
 * line that speaks of an error can be told to the user. */
struct io_log {
    FILE *stream;
    char *text;
    size_t len;
};

static void io_log_start(struct io_log *log)
{
    *log = (struct io_log){0};
    log->stream = open_memstream(&log->text, &log->len);
    if (log->stream)
        rte_openlog_stream(log->stream);
}

/* The last line that looks like a cause; "" if none. Cut in place. */
static const char *io_log_cause(struct io_log *log)
{
    const char *cause = "";
    if (log->stream)
        fflush(log->stream);
    for (char *line = log->text, *end; line && *line; line = end) {
        end = strchr(line, '\n');
        if (end)
            *end++ = '\0';
        if (strcasestr(line, "err") || strcasestr(line, "fail") || strcasestr(line, "unable") ||
            strcasestr(line, "cannot") || strcasestr(line, "could not") || strcasestr(line, "busy"))
            cause = line;
        if (!end)
            break;
    }
    return cause;
}

static void io_log_stop(struct io_log *log)
{
    rte_openlog_stream(stderr);
    if (log->stream)
        fclose(log->stream);
    free(log->text);
}

static unsigned io_free_hugepages(void)
{
    unsigned n = 0;
    FILE *f = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "r");
    if (f) {
        if (fscanf(f, "%u", &n) != 1)
            n = 0;
        fclose(f);
    }
    return n;
}

static bool io_is_virtual(const char *device)
{
    return strncmp(device, "net_", 4) == 0;
}

static size_t io_memory_wanted(const struct io_config *config)
{
    return (size_t)config->workers * config->buffers * IO_OBJECT_BYTES + IO_EXTRA_BYTES;
}

/* Build EAL's argument list in `args`; strings live in `storage`. Returns the count. */
static int io_eal_args(const struct io_config *config, char *args[], char storage[][128])
{
    static char program[] = "tidegate", in_memory[] = "--in-memory",
                no_telemetry[] = "--no-telemetry", no_huge[] = "--no-huge",
                no_shconf[] = "--no-shconf", no_pci[] = "--no-pci", va[] = "--iova-mode=va";
    int n = 0, s = 0;
    bool physical = false;
    args[n++] = program;
    /* nothing is left behind by a kill -9; EAL refuses --in-memory without hugepages */
    args[n++] = config->hugepages ? in_memory : no_shconf;
    args[n++] = no_telemetry;
    snprintf(storage[s], 128, "--file-prefix=tidegate-%d", (int)getpid());
    args[n++] = storage[s++];
    /* EAL's own thread is our main thread: let it float, the workers pin themselves */
    snprintf(storage[s], 128, "--lcores=0@(0-%ld)", sysconf(_SC_NPROCESSORS_ONLN) - 1);
    args[n++] = storage[s++];
    if (!config->hugepages) {
        args[n++] = no_huge;
        snprintf(storage[s], 128, "-m%zu", io_memory_wanted(config) >> 20);
        args[n++] = storage[s++];
    }
    for (unsigned p = 0; p < config->port_count; p++) {
        bool is_virtual = io_is_virtual(config->ports[p].device);
        physical |= !is_virtual;
        snprintf(storage[s], 128, is_virtual ? "--vdev=%s" : "--allow=%s", config->ports[p].device);
        args[n++] = storage[s++];
    }
    if (!physical) {
        args[n++] = no_pci;
        args[n++] = va;
    }
    for (const char *const *extra = config->extra_args; extra && *extra; extra++)
        if (n < IO_EAL_ARGS_MAX - 1)
            args[n++] = (char *)(uintptr_t)*extra;
    return n;
}

static enum tg_err io_eal_start(const struct io_config *config, char problem[256])
{
    char *args[IO_EAL_ARGS_MAX];
    char storage[IO_PORTS_MAX + 4][128];
    unsigned pages = (unsigned)(io_memory_wanted(config) / IO_HUGEPAGE_BYTES) + 1;
    if (config->hugepages && io_free_hugepages() < pages)
        return io_problem(problem, TG_SYSTEM,
                          "%u free hugepages of 2 MB are needed and %u are there: run 'sysctl "
                          "vm.nr_hugepages=%u', or set hugepages = false",
                          pages, io_free_hugepages(), pages);
    int n = io_eal_args(config, args, storage);
    struct io_log log;
    io_log_start(&log);
    rte_log_set_global_level(RTE_LOG_NOTICE);
    enum tg_err result = TG_OK;
    if (rte_eal_init(n, args) < 0)
        result = io_problem(problem, TG_SYSTEM, "DPDK does not start with port %s (%s): %s",
                            config->ports[0].device,
                            geteuid() ? "ports need root: tidegate drops its rights afterwards"
                                      : "is its interface in use by another program?",
                            io_log_cause(&log));
    io_log_stop(&log);
    return result;
}

static void io_frame_init(struct rte_mempool *pool, void *arg, void *object, unsigned i)
{
    struct io_host *host = arg;
    struct rte_mbuf *m = object;
    *io_buf_of(m) = (struct buf){.head = m->buf_addr, .cap = m->buf_len, .pool = &host->home};
}

/* What rte_pktmbuf_pool_create does, but for one flag. Without hugepages a mempool keeps objects from crossing a page,
 * so they stand 4,096 bytes apart. net_af_xdp computes the size of its UMEM without the gaps: frames at the end lie
 * outside, and the port falls silent once they are used. Objects may cross pages then: who has no hugepages has no
 * device that reads physical memory. */
static struct rte_mempool *io_frames_make(unsigned n, bool hugepages)
{
    const unsigned element = sizeof(struct rte_mbuf) + sizeof(struct buf) + IO_FRAME_BYTES;
    struct rte_pktmbuf_pool_private room = {.mbuf_data_room_size = IO_FRAME_BYTES,
                                            .mbuf_priv_size = sizeof(struct buf)};
    struct rte_mempool *frames =
        rte_mempool_create_empty("frames", n, element, 256, sizeof room, SOCKET_ID_ANY,
                                 hugepages ? 0 : RTE_MEMPOOL_F_NO_IOVA_CONTIG);
    if (!frames)
        return NULL;
    int result = rte_mempool_set_ops_byname(frames, rte_mbuf_best_mempool_ops(), NULL);
    if (result == 0) {
        rte_pktmbuf_pool_init(frames, &room);
        result = rte_mempool_populate_default(frames);
    }
    if (result < 0) {
        rte_mempool_free(frames);
        rte_errno = -result;
        return NULL;
    }
    rte_mempool_obj_iter(frames, rte_pktmbuf_init, NULL);
    return frames;
}

static enum tg_err io_frames_create(struct io_host *host, const struct io_config *config,
                                    char problem[256])
{
    host->frames_count = config->workers * config->buffers;
    host->frames = io_frames_make(host->frames_count, config->hugepages);
    if (!host->frames)
        return io_problem(problem, TG_NO_MEMORY, "no memory for %u frames of %zu bytes: %s",
                          host->frames_count, IO_OBJECT_BYTES, rte_strerror(rte_errno));
    host->home = (struct buf_pool){.drain = io_drain, .arg = host};
    rte_mempool_obj_iter(host->frames, io_frame_init, host);
    return TG_OK;
}

static enum tg_err io_rings_create(struct io_host *host, char problem[256])
{
    char name[32];
    for (unsigned to = 0; to < host->workers; to++)
        for (unsigned from = 0; from < host->workers; from++) {
            snprintf(name, sizeof name, "handoff-%u-%u", to, from);
            host->handoff[to][from] = rte_ring_create(name, IO_HANDOFF_ENTRIES, SOCKET_ID_ANY,
                                                      RING_F_SP_ENQ | RING_F_SC_DEQ);
            if (!host->handoff[to][from])
                return io_problem(problem, TG_NO_MEMORY, "no memory for the rings between workers");
        }
    for (unsigned p = 0; p < host->port_count; p++)
        for (unsigned w = host->ports[p].caps.queues; w < host->workers; w++) {
            snprintf(name, sizeof name, "outgoing-%u-%u", p, w);
            host->outgoing[p][w] = rte_ring_create(name, IO_HANDOFF_ENTRIES, SOCKET_ID_ANY,
                                                   RING_F_SP_ENQ | RING_F_SC_DEQ);
            if (!host->outgoing[p][w])
                return io_problem(problem, TG_NO_MEMORY, "no memory for the rings between workers");
        }
    return TG_OK;
}

/* The ethdev of the n-th configured port. Virtual devices appear in the order of their --vdev arguments
 * and physical ones by address, so look it up by name. */
static bool io_port_find(const char *device, uint16_t *id)
{
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(device, ","), device);
    return rte_eth_dev_get_port_by_name(name, id) == 0;
}

/* Largest payload of a super-segment: its IP length field counts headers in. */
#define IO_TSO_BYTES 65000u

/* Who cuts super-segments. net_tap says that it does, by DPDK's librte_gso, but counts the Ethernet header into its
 * MTU, so that full segments are refused, and swallows those of IPv6, which that library does not know (22.11). */
static void io_port_plan_tso(struct io_caps *caps, const struct rte_eth_dev_info *info)
{
    if (!(info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_TCP_TSO) || !caps->tx_chains ||
        !caps->tx_l4_checksum || strcmp(info->driver_name, "net_tap") == 0)
        return;
    unsigned pieces = info->tx_desc_lim.nb_seg_max; /* 0: not said */
    caps->tso_segments_max = (uint8_t)(pieces && pieces <= UINT8_MAX ? pieces - 1 : UINT8_MAX);
    caps->tso_bytes_max = IO_TSO_BYTES;
}

/* Fill in what the device can do and what we ask of it. RSS counts only where the port has a key of a
 * known length and a redirection table (net_tap claims RSS and has neither). */
static void io_port_plan(struct io_port *port, const struct io_config *config, unsigned index,
                         const struct rte_eth_dev_info *info, struct rte_eth_conf *conf)
{
    unsigned queues = RTE_MIN(config->ports[index].queues, config->workers);
    queues = RTE_MIN(queues, (unsigned)info->max_rx_queues);
    queues = RTE_MIN(queues, (unsigned)info->max_tx_queues);
    bool linear = strcmp(info->driver_name, "net_af_xdp") == 0; /* sends stale memory for chains */
    port->caps.queues = (uint16_t)RTE_MAX(queues, 1u);
    port->caps.mtu = config->ports[index].mtu ? config->ports[index].mtu : 1500;
    port->caps.tx_ip_checksum = info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
    port->caps.tx_l4_checksum = info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
    /* With this offload a virtio host hands over the checksums of its own packets as it has them in mind, not on the
     * wire (VIRTIO_NET_HDR_F_NEEDS_CSUM): without it the host completes them. */
    uint64_t rx_checksums = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
    if (strcmp(info->driver_name, "net_virtio") != 0)
        conf->rxmode.offloads = info->rx_offload_capa & rx_checksums;
    port->caps.rx_checksum = conf->rxmode.offloads & RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
    port->caps.tx_chains = !linear && (info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS);
    io_port_plan_tso(&port->caps, info);
    port->caps.rss = queues > 1 && info->reta_size && info->hash_key_size >= 40;
    snprintf(port->caps.device, sizeof port->caps.device, "%.*s",
             (int)strcspn(config->ports[index].device, ","), config->ports[index].device);
    conf->txmode.offloads =
        info->tx_offload_capa & (RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM |
                                 (port->caps.tx_chains ? RTE_ETH_TX_OFFLOAD_MULTI_SEGS : 0) |
                                 (port->caps.tso_bytes_max ? RTE_ETH_TX_OFFLOAD_TCP_TSO : 0));
    if (port->caps.rss) {
        conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        conf->rxmode.offloads |= info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_RSS_HASH;
        conf->rx_adv_conf.rss_conf.rss_key = (uint8_t *)(uintptr_t)config->rss_key;
        conf->rx_adv_conf.rss_conf.rss_key_len = info->hash_key_size;
        conf->rx_adv_conf.rss_conf.rss_hf =
            info->flow_type_rss_offloads &
            (RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV6_TCP);
    }
}

/* Entry i of a port's redirection table to the queue of the worker that steer means: (hash & 127) % queues. A
 * table of fewer than 128 entries cannot say that for every count of queues; then, and where the port keeps
 * its own, steer finds out by looking (steer_hash.h) and hands over. */
static void io_port_spread(const struct io_port *port, uint16_t entries)
{
    struct rte_eth_rss_reta_entry64 table[RTE_ETH_RSS_RETA_SIZE_512 / RTE_ETH_RETA_GROUP_SIZE];
    if (!port->caps.rss || entries > RTE_ETH_RSS_RETA_SIZE_512)
        return;
    memset(table, 0, sizeof table);
    for (unsigned i = 0; i < entries; i++) {
        struct rte_eth_rss_reta_entry64 *group = &table[i / RTE_ETH_RETA_GROUP_SIZE];
        group->mask |= 1ull << i % RTE_ETH_RETA_GROUP_SIZE;
        group->reta[i % RTE_ETH_RETA_GROUP_SIZE] = (uint16_t)((i & 127) % port->caps.queues);
    }
    (void)rte_eth_dev_rss_reta_update(port->id, table, entries);
}

static enum tg_err io_port_open(struct io_host *host, const struct io_config *config,
                                unsigned index, char problem[256])
{
    struct io_port *port = &host->ports[index];
    const char *device = config->ports[index].device;
    struct rte_eth_dev_info info;
    struct rte_eth_conf conf = {0};
    port->poll_fd = -1;
    if (!io_port_find(device, &port->id) || rte_eth_dev_info_get(port->id, &info) != 0)
        return io_problem(problem, TG_SYSTEM, "port %s is not there: %s", device,
                          geteuid() ? "ports need root: tidegate drops its rights afterwards"
                                    : "does the device exist, is it bound to a DPDK driver?");
    io_port_plan(port, config, index, &info, &conf);
    uint16_t rx_descriptors = IO_DESCRIPTORS, tx_descriptors = IO_DESCRIPTORS;
    const char *step = "configure";
    int bad = rte_eth_dev_configure(port->id, port->caps.queues, port->caps.queues, &conf);
    if (!bad)
        bad = rte_eth_dev_adjust_nb_rx_tx_desc(port->id, &rx_descriptors, &tx_descriptors);
    for (uint16_t q = 0; !bad && q < port->caps.queues; q++) {
        step = "set up its queues";
        bad =
            rte_eth_rx_queue_setup(port->id, q, rx_descriptors, SOCKET_ID_ANY, NULL, host->frames);
        if (!bad)
            bad = rte_eth_tx_queue_setup(port->id, q, tx_descriptors, SOCKET_ID_ANY, NULL);
    }
    if (!bad) {
        step = "start";
        bad = rte_eth_dev_start(port->id);
    }
    if (bad)
        return io_problem(problem, TG_SYSTEM, "port %s does not %s: %s", device, step,
                          rte_strerror(-bad));
    port->in_use = true;
    host->frames_held += port->caps.queues * (unsigned)(rx_descriptors + tx_descriptors);
    io_port_spread(port, info.reta_size);
    (void)rte_eth_promiscuous_enable(
        port->id); /* our addresses' multicast groups; wire checks MACs */
    struct rte_ether_addr mac;
    if (rte_eth_macaddr_get(port->id, &mac) == 0)
        memcpy(port->caps.mac, mac.addr_bytes, sizeof port->caps.mac);
    return TG_OK;
}

enum tg_err io_host_open(const struct io_config *config, struct io_host **out, char problem[256])
{
    if (config->workers < 1 || config->workers > TG_WORKERS_MAX || config->port_count < 1 ||
        config->port_count > IO_PORTS_MAX)
        return io_problem(problem, TG_BAD_CONFIG, "1..%d workers and 1..%d ports are possible",
                          TG_WORKERS_MAX, IO_PORTS_MAX);
    struct io_host *host = calloc(1, sizeof *host);
    if (!host)
        return io_problem(problem, TG_NO_MEMORY, "out of memory");
    host->workers = config->workers;
    host->idle_sleep = config->idle_sleep;
    enum tg_err result = io_eal_start(config, problem);
    if (result != TG_OK) {
        free(host);
        return result;
    }
    result = io_frames_create(host, config, problem);
    for (; result == TG_OK && host->port_count < config->port_count; host->port_count++)
        result = io_port_open(host, config, host->port_count, problem);
    if (result == TG_OK)
        result = io_rings_create(host, problem);
    if (result != TG_OK) {
        io_host_close(host);
        return result;
    }
    *out = host;
    return TG_OK;
}

const struct io_caps *io_host_caps(const struct io_host *host, unsigned port)
{
    tg_assert(port < host->port_count);
    return &host->ports[port].caps;
}

void io_host_close(struct io_host *host)
{
    for (unsigned p = 0; p < IO_PORTS_MAX; p++)
        if (host->ports[p].in_use) {
            (void)rte_eth_dev_stop(host->ports[p].id);
            (void)rte_eth_dev_close(host->ports[p].id);
        }
    (void)rte_eal_cleanup();
    free(host);
}
