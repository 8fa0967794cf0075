/* SPDX-License-Identifier: BSD-3-Clause
 * The packet path. Read worker_poll and follow a packet by names alone: io -> filter -> steer -> tcp
 * -> proxy (tls, http, waf) -> tcp -> net -> io.
 */
#include "worker/worker_internal.h"

#define WORKER_TIMERS_A_TURN 256
#define WORKER_OUTPUT_PASSES 8
#define WORKER_PROXY_BUDGET  (200 * TG_US)
#define WORKER_PROXY_STEPS   1024
#define WORKER_DISTURBED     (50 * TG_US)
#define WORKER_TICK          (100 * TG_MS)
#define WORKER_REPORT        TG_MS

static void worker_drop(struct worker *w, struct buf *b)
{
    stats_count(w->stats, b->reason);
    buf_unref(w->pool, b);
}

/* Every worker has a neighbour table of its own, and the port delivers ARP and neighbour discovery to one
 * of them. Other ICMP is for one worker: steer has followed an error to the connection that it quotes. */
static bool worker_concerns_all(const struct buf *b)
{
    enum { ND_FIRST = 133, ND_LAST = 137 };
    if (b->ip_version == 0)
        return true;
    uint8_t type = wire_l4(b)[0];
    return b->ip_proto == IP_PROTO_ICMP6 && type >= ND_FIRST && type <= ND_LAST;
}

/* With several workers each gets a copy of such a packet, since the port delivers it to one. A copy is
 * never copied again. */
static void worker_tell_others(struct worker *w, const struct buf *b)
{
    for (unsigned other = 0; other < w->config.workers; other++) {
        struct buf *copy;
        if (other == w->config.index || !(copy = buf_linearise(w->pool, b)))
            continue;
        copy->worker = (uint8_t)other;
        io_handoff(w->io, &copy, 1);
    }
}

static void worker_take_control_packet(struct worker *w, struct buf *b, tg_ns now)
{
    if (steer_concerns_kernel(&w->steer, b))
        exception_punt(&w->exception, b, now);
    if (w->config.workers > 1 && !(b->flags & BUF_HANDED_OVER) && worker_concerns_all(b))
        worker_tell_others(w, b);
    net_input(w->net, b, now);
}

/* Another node's packet, to it. */
static void worker_forward(struct worker *w, struct buf *b, tg_ns now)
{
    enum tg_counter reason = steer_forward(&w->steer, w->net, b, now);
    if (reason == TG_C_none)
        return;
    b->reason = (uint16_t)reason;
    worker_drop(w, b);
}

/* Give every packet to whom steer named. What is for tcp stays, packed to the front of burst[]. */
static unsigned worker_sort(struct worker *w, struct buf *burst[], unsigned n, tg_ns now)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < n; i++) {
        struct buf *b = burst[i];
        switch ((enum buf_verdict)b->verdict) {
        case BUF_LOCAL:
            if (b->ip_proto == IP_PROTO_TCP)
                burst[kept++] = b;
            else
                worker_take_control_packet(w, b, now);
            break;
        case BUF_RST:
            burst[kept++] = b;
            break;
        case BUF_CORE:
            io_handoff(w->io, &b, 1);
            break;
        case BUF_NODE:
            worker_forward(w, b, now);
            break;
        case BUF_PUNT:
            exception_punt(&w->exception, b, now);
            buf_unref(w->pool, b);
            break;
        case BUF_DROP:
        case BUF_PASS:
        case BUF_CONSUMED:
            worker_drop(w, b);
            break;
        }
    }
    return kept;
}

/* Frames that tcp and net have made ready, to the port. Returns how many. */
static unsigned worker_transmit(struct worker *w)
{
    struct buf *burst[TG_BURST];
    unsigned sent = 0;
    for (unsigned n; (n = net_take(w->net, burst, TG_BURST)); sent += n)
        io_tx(w->io, burst, n);
    return sent;
}

/* The kernel's frames, as they are: a burst a turn, so that they never crowd out our own. */
static unsigned worker_send_for_kernel(struct worker *w)
{
    struct buf *burst[TG_BURST];
    unsigned n = exception_take(&w->exception, w->pool, burst, TG_BURST);
    if (n)
        io_tx(w->io, burst, n);
    return n;
}

static unsigned worker_output(struct worker *w, tg_ns now)
{
    unsigned sent = worker_send_for_kernel(w);
    bool more = true;
    for (unsigned pass = 0; more && pass < WORKER_OUTPUT_PASSES; pass++) {
        more = tcp_output(w->tcp, now);
        sent += worker_transmit(w);
    }
    io_flush(w->io);
    return sent;
}

static tg_ns worker_clock(void *arg)
{
    return io_now(arg);
}

static void worker_account(struct worker *w, bool busy)
{
    tg_ns end = io_now(w->io), spent = end - w->turn_start;
    w->turn_start = end;
    stats_count(w->stats, TG_C_worker_polls);
    if (busy) {
        stats_count(w->stats, TG_C_worker_polls_busy);
        stats_add(w->stats, TG_C_worker_busy_ns, spent);
    } else if (spent > WORKER_DISTURBED) {
        stats_count(w->stats, TG_C_worker_disturbed);
    }
}

bool worker_poll(struct worker *w, int64_t wall_offset_ns)
{
    const struct proxy_budget budget = {
        .time = WORKER_PROXY_BUDGET,
        .steps_max = WORKER_PROXY_STEPS,
        .clock = worker_clock,
        .clock_arg = w->io,
    };
    struct buf *burst[TG_BURST];
    unsigned n = io_rx(w->io, burst, TG_BURST);
    tg_ns now = io_now(w->io);
    bool busy = n > 0;

    w->steer.wall_offset_ns = wall_offset_ns;
    n = filter_burst(&w->filter, burst, n, now); /* the dropped never reach tcp */
    steer_hash_check(&w->hash, burst, n);
    w->steer.spread_by_port = steer_hash_places(&w->hash);
    if (w->steer.fleet) /* it asks tcp about every packet, one by one */
        tcp_look_ahead(w->tcp, burst, n);
    steer_burst(&w->steer, burst, n, now);
    n = worker_sort(w, burst, n, now); /* the foreign go to their core or node */
    tcp_input(w->tcp, burst, n, now);
    busy |= timers_run(&w->timers, now, WORKER_TIMERS_A_TURN) > 0;
    busy |= proxy_run(w->proxy, now, wall_offset_ns, &budget); /* tls, http, waf, route */
    busy |= worker_output(w, now) > 0;

    if (now - w->last_tick >= WORKER_TICK) {
        net_tick(w->net, now);
        w->last_tick = now;
    }
    busy |= worker_take_mail(w); /* new tables: between bursts only */
    if (now - w->last_report >= WORKER_REPORT) {
        worker_report(w, now);
        w->last_report = now;
    }
    worker_account(w, busy);
    return busy;
}

void worker_idle(struct worker *w)
{
    tg_ns until = timers_next(&w->timers), latest = io_now(w->io) + 100 * TG_US;
    exception_wake(&w->exception);
    io_wait(w->io, until < latest ? until : latest);
    w->turn_start = io_now(w->io); /* sleeping is neither busy nor disturbed */
}
