/* SPDX-License-Identifier: BSD-3-Clause
 * What was dropped before a worker saw it: by the program in the driver (counters in mapped memory, one
 * writer per processor) and by the kernel for want of room (asked for by getsockopt). Called by io_xdp.c
 * some hundred times a second, and by whoever wants a rule's hits.
 */
#include "io/io_xdp.h"
#include <sys/socket.h>

static const struct io_xdp_counters *io_driver_counters(const struct io_driver *d, unsigned cpu)
{
    return (const void *)((const uint8_t *)d->counters + cpu * d->counters_bytes);
}

uint64_t io_driver_reason(const struct io_driver *d, enum io_xdp_reason reason)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < d->processors; i++)
        sum += __atomic_load_n(&io_driver_counters(d, i)->reasons[reason], __ATOMIC_RELAXED);
    return sum;
}

uint64_t io_driver_hits(const struct io_driver *d, unsigned slot)
{
    uint64_t sum = 0;
    tg_assert(slot < IO_XDP_RULES);
    for (unsigned i = 0; i < d->processors; i++)
        sum += __atomic_load_n(&io_driver_counters(d, i)->hits[slot], __ATOMIC_RELAXED);
    return sum;
}

uint64_t io_host_rule_hits(const struct io_host *host, unsigned slot)
{
    uint64_t sum = 0;
    for (unsigned p = 0; p < host->port_count; p++)
        sum += io_driver_hits(&host->ports[p].driver, slot);
    return sum;
}

uint64_t io_rule_hits_take(struct io *io, unsigned slot)
{
    uint64_t now = io_host_rule_hits(io->host, slot), seen = io->host->rule_hits_seen[slot];
    io->host->rule_hits_seen[slot] = now;
    return now - seen;
}

/* A reason is one counter, whether the driver, filter/ or tcp/ comes first to it. */
static const enum tg_counter io_counters[IO_XDP_REASON_COUNT] = {
    [IO_XDP_no_socket] = TG_C_io_rx_missed,    [IO_XDP_rule] = TG_C_filter_rule,
    [IO_XDP_ip4_header] = TG_C_net_ip4_header, [IO_XDP_ip4_length] = TG_C_net_ip4_length,
    [IO_XDP_ip6_length] = TG_C_net_ip6_length, [IO_XDP_l4_length] = TG_C_net_l4_short,
    [IO_XDP_tcp_offset] = TG_C_net_tcp_offset, [IO_XDP_tcp_port] = TG_C_net_tcp_port,
    [IO_XDP_tcp_flags] = TG_C_tcp_bad_segment,
};

static void io_report_driver(struct io *io, struct io_driver *d)
{
    for (unsigned reason = IO_XDP_no_socket; reason < IO_XDP_REASON_COUNT; reason++) {
        uint64_t now = io_driver_reason(d, reason), more = now - d->reasons_seen[reason];
        d->reasons_seen[reason] = now;
        stats_add(io->stats, io_counters[reason], more);
        stats_add(io->stats, TG_C_io_driver_drops, more);
    }
}

static void io_report_socket(struct io *io, struct io_socket *s)
{
    struct xdp_statistics kernel = {0};
    socklen_t len = sizeof kernel;
    if (getsockopt(s->fd, SOL_XDP, XDP_STATISTICS, &kernel, &len) != 0)
        return;
    uint64_t missed = kernel.rx_dropped + kernel.rx_ring_full;
    stats_add(io->stats, TG_C_io_rx_missed, missed - s->missed);
    s->missed = missed;
}

void io_report(struct io *io)
{
    for (unsigned p = 0; p < io->host->port_count; p++) {
        struct io_port *port = &io->host->ports[p];
        if (io->worker == 0)
            io_report_driver(io, &port->driver);
        if (io->queue[p] != IO_NO_QUEUE)
            io_report_socket(io, &port->sockets[io->queue[p]]);
    }
}
