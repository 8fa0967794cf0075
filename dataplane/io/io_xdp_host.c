/* SPDX-License-Identifier: BSD-3-Clause
 * The AF_XDP back end of io.h, cold half: frames and UMEM, ports and their sockets, rings between workers.
 * Called once by main, before threads. Every failure becomes one sentence.
 */
#include "base/log.h"
#include "base/pages.h"
#include "io/io_xdp.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define IO_BUSY_TRIES     100
#define IO_BUSY_TRY_EVERY (10 * TG_MS)
/* In copy mode each frame on its way is an skb that counts here: room for a full transmit ring. */
#define IO_SEND_BUFFER_BYTES (8 << 20)

enum tg_err io_problem(char problem[256], enum tg_err result, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(problem, 256, format, args);
    va_end(args);
    return result;
}

static size_t io_area_bytes(const struct io_host *host)
{
    return (size_t)host->workers * host->buffers << IO_FRAME_SHIFT;
}

static enum tg_err io_frames_create(struct io_host *host, char problem[256])
{
    uint32_t count = host->workers * host->buffers;
    host->area = pages_create(io_area_bytes(host));
    host->bufs = pages_create(count * sizeof *host->bufs);
    host->holds = pages_create(count * sizeof *host->holds);
    if (!host->area || !host->bufs || !host->holds)
        return io_problem(problem, TG_NO_MEMORY,
                          "no memory for %u frames of %u bytes: lower buffers", count,
                          IO_FRAME_BYTES);
    host->home = (struct buf_pool){.drain = io_drain, .arg = host};
    for (uint32_t i = count; i-- > 0;) {
        struct io_home *home = &host->homes[i / host->buffers];
        host->holds[i] = 1;
        host->bufs[i] = (struct buf){.head = host->area + ((size_t)i << IO_FRAME_SHIFT),
                                     .cap = IO_FRAME_BYTES,
                                     .pool = &host->home,
                                     .link = home->free};
        home->free = &host->bufs[i];
        home->came++;
    }
    return TG_OK;
}

static struct ring *io_ring_create(uint32_t entry_bytes)
{
    struct ring *r = aligned_alloc(TG_CACHE_LINE, ring_bytes(IO_HANDOFF_ENTRIES, entry_bytes));
    if (r)
        ring_init(r, IO_HANDOFF_ENTRIES, entry_bytes);
    return r;
}

static enum tg_err io_rings_create(struct io_host *host, char problem[256])
{
    bool all = true;
    for (unsigned to = 0; to < host->workers; to++)
        for (unsigned from = 0; from < host->workers; from++)
            all &= (host->handoff[to][from] = io_ring_create(sizeof(struct buf *))) != NULL;
    for (unsigned p = 0; p < host->port_count; p++)
        for (unsigned w = host->ports[p].caps.queues; w < host->workers; w++)
            all &= (host->outgoing[p][w] = io_ring_create(sizeof(struct xdp_desc))) != NULL;
    return all ? TG_OK
               : io_problem(problem, TG_NO_MEMORY, "no memory for the rings between workers");
}

/* The first socket of all brings the UMEM's own pair of rings. The queue of a tidegate that has just ended is
 * freed in the background: try for a second. */
static int io_socket_bind(struct io_host *host, struct io_port *port, unsigned queue)
{
    struct io_socket *s = &port->sockets[queue];
    const struct xsk_umem_config frames = {
        .fill_size = IO_DESCRIPTORS, .comp_size = IO_DESCRIPTORS, .frame_size = IO_FRAME_BYTES};
    const struct xsk_socket_config config = {.rx_size = IO_DESCRIPTORS,
                                             .tx_size = IO_DESCRIPTORS,
                                             .libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
                                             .bind_flags = XDP_USE_NEED_WAKEUP};
    int bad = 0;
    if (!host->umem)
        bad = xsk_umem__create(&host->umem, host->area, io_area_bytes(host), &s->fill,
                               &s->completion, &frames);
    for (unsigned i = 0; !bad && i < IO_BUSY_TRIES; i++) {
        bad = xsk_socket__create_shared(&s->xsk, port->interface, queue, host->umem, &s->rx, &s->tx,
                                        &s->fill, &s->completion, &config);
        if (bad != -EBUSY)
            return bad;
        nanosleep(&(struct timespec){.tv_nsec = (long)IO_BUSY_TRY_EVERY}, NULL);
        bad = 0;
    }
    return bad ? bad : -EBUSY;
}

static enum tg_err io_socket_open(struct io_host *host, struct io_port *port, unsigned queue,
                                  char problem[256])
{
    struct io_socket *s = &port->sockets[queue];
    int bytes = IO_SEND_BUFFER_BYTES, bad = io_socket_bind(host, port, queue);
    if (bad == -EBUSY)
        return io_problem(problem, TG_SYSTEM,
                          "queue %u of interface %s is used by another AF_XDP socket: stop that "
                          "program first",
                          queue, port->interface);
    if (bad == -EPERM || bad == -ENOBUFS)
        return io_problem(problem, TG_SYSTEM,
                          "no right to open an AF_XDP socket on %s: CAP_NET_RAW is needed, and "
                          "CAP_IPC_LOCK or 'ulimit -l' of %zu MB",
                          port->interface, io_area_bytes(host) >> 20);
    if (bad)
        return io_problem(
            problem, TG_SYSTEM, "AF_XDP socket on queue %u of %s: %s", queue, port->interface,
            bad == -EAFNOSUPPORT ? "the kernel has none (CONFIG_XDP_SOCKETS)" : strerror(-bad));
    s->fd = xsk_socket__fd(s->xsk);
    (void)setsockopt(s->fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
    s->fill_missing = host->buffers / 2 < IO_DESCRIPTORS ? host->buffers / 2 : IO_DESCRIPTORS;
    if (io_driver_set_socket(&port->driver, queue, s->fd) != TG_OK)
        return io_problem(problem, TG_SYSTEM, "the XDP program does not take queue %u of %s: %s",
                          queue, port->interface, strerror(errno));
    return TG_OK;
}

/* Does the interface suit what the configuration wants of it? */
static enum tg_err io_port_plan(struct io_port *port, const struct io_config *config,
                                unsigned index, char problem[256])
{
    struct io_device device;
    const char *name = config->ports[index].device;
    unsigned mtu = config->ports[index].mtu ? config->ports[index].mtu : 1500;
    unsigned queues = config->ports[index].queues ? config->ports[index].queues : 1;
    snprintf(port->interface, sizeof port->interface, "%s", name);
    if (strlen(name) >= sizeof port->interface || io_device_ask(name, &device) != TG_OK)
        return io_problem(problem, TG_NOT_FOUND,
                          "there is no interface %.60s: 'ip link' shows what there is; this build "
                          "of tidegate uses AF_XDP and wants an interface's name as device",
                          name);
    if (!device.up)
        return io_problem(problem, TG_SYSTEM, "interface %s is down: run 'ip link set dev %s up'",
                          name, name);
    if (device.mtu < mtu)
        return io_problem(problem, TG_SYSTEM,
                          "interface %s has an MTU of %u and mtu = %u is configured: run 'ip link "
                          "set dev %s mtu %u', or lower mtu",
                          name, device.mtu, mtu, name, mtu);
    queues = queues < config->workers ? queues : config->workers;
    queues = queues < device.channels ? queues : device.channels;
    if (device.channels > queues)
        return io_problem(problem, TG_SYSTEM,
                          "interface %s spreads over %u queues and %u would be served: run "
                          "'ethtool -L %s combined %u', or raise queues and workers",
                          name, device.channels, queues, name, queues);
    port->index = device.index;
    port->caps.queues = (uint16_t)queues;
    port->caps.mtu = (uint16_t)mtu;
    port->caps.shared_with_kernel = true;
    memcpy(port->caps.mac, device.mac, sizeof port->caps.mac);
    snprintf(port->caps.device, sizeof port->caps.device, "%s", name);
    return TG_OK;
}

static enum tg_err io_port_open(struct io_host *host, const struct io_config *config,
                                unsigned index, char problem[256])
{
    struct io_port *port = &host->ports[index];
    struct xdp_options options = {0};
    socklen_t len = sizeof options;
    enum tg_err result = io_port_plan(port, config, index, problem);
    if (result == TG_OK)
        result = io_driver_open(&port->driver, problem);
    if (result == TG_OK)
        result = io_driver_attach(&port->driver, port->interface, port->index, problem);
    for (unsigned q = 0; result == TG_OK && q < port->caps.queues; q++)
        result = io_socket_open(host, port, q, problem);
    if (result != TG_OK)
        return result;
    port->allmulti_fd = io_device_allmulti(port->index);
    if (port->allmulti_fd < 0)
        return io_problem(problem, TG_SYSTEM, "interface %s does not take multicast frames: %s",
                          port->interface, strerror(errno));
    if (io_driver_set_addresses(&port->driver, config->ports[index].addresses,
                                config->ports[index].address_count) != TG_OK)
        return io_problem(problem, TG_SYSTEM, "the XDP program of %s does not take addresses: %s",
                          port->interface, strerror(errno));
    (void)getsockopt(port->sockets[0].fd, SOL_XDP, XDP_OPTIONS, &options, &len);
    log_info("port %u: %s, XDP in %s, %s, %u queue(s)", index, port->interface,
             port->driver.generic ? "the kernel's generic path" : "the driver",
             options.flags & XDP_OPTIONS_ZEROCOPY ? "zero copy" : "frames are copied",
             port->caps.queues);
    return TG_OK;
}

static struct io_host *io_host_create(const struct io_config *config)
{
    struct io_host *host = aligned_alloc(TG_CACHE_LINE, sizeof *host);
    if (!host)
        return NULL;
    *host = (struct io_host){
        .workers = config->workers, .buffers = config->buffers, .idle_sleep = config->idle_sleep};
    for (unsigned p = 0; p < IO_PORTS_MAX; p++)
        host->ports[p].allmulti_fd = host->ports[p].driver.link_fd = -1;
    return host;
}

enum tg_err io_host_open(const struct io_config *config, struct io_host **out, char problem[256])
{
    if (config->workers < 1 || config->workers > TG_WORKERS_MAX || config->port_count < 1 ||
        config->port_count > IO_PORTS_MAX)
        return io_problem(problem, TG_BAD_CONFIG, "1..%d workers and 1..%d ports are possible",
                          TG_WORKERS_MAX, IO_PORTS_MAX);
    struct io_host *host = io_host_create(config);
    if (!host)
        return io_problem(problem, TG_NO_MEMORY, "out of memory");
    enum tg_err result = io_frames_create(host, problem);
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

static void io_port_close(struct io_port *port)
{
    for (unsigned q = 0; q < TG_WORKERS_MAX; q++)
        if (port->sockets[q].xsk)
            xsk_socket__delete(port->sockets[q].xsk);
    if (port->allmulti_fd >= 0)
        close(port->allmulti_fd);
    io_driver_close(&port->driver);
}

const struct io_caps *io_host_caps(const struct io_host *host, unsigned port)
{
    tg_assert(port < host->port_count);
    return &host->ports[port].caps;
}

void io_host_close(struct io_host *host)
{
    for (unsigned p = 0; p < IO_PORTS_MAX; p++)
        io_port_close(&host->ports[p]);
    if (host->umem)
        (void)xsk_umem__delete(host->umem);
    for (unsigned to = 0; to < TG_WORKERS_MAX; to++)
        for (unsigned from = 0; from < TG_WORKERS_MAX; from++)
            free(host->handoff[to][from]);
    for (unsigned p = 0; p < IO_PORTS_MAX; p++)
        for (unsigned w = 0; w < TG_WORKERS_MAX; w++)
            free(host->outgoing[p][w]);
    free(host->bufs);
    free(host->holds);
    free(host->area);
    free(host);
}
