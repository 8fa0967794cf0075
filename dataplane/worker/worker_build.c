/* SPDX-License-Identifier: BSD-3-Clause
 * A worker up and down: every part made from the one configuration, in the order of the floors. Cold.
 */
#include "worker/worker_internal.h"
#include <stdlib.h>

#define WORKER_STRANGERS                                                                           \
    50000u /* a second: a source's upload of half a gigabit by the wrong node */

/* Independent secrets from one seed: each use has its own label. */
static uint64_t worker_secret(const struct worker_config *config, uint64_t label)
{
    const uint64_t key[2] = {config->seed, label};
    return hash_sip24(key, span_make(&config->index, sizeof config->index));
}

/* net is made before tcp, which stands on it: the error finds its way through the worker. */
static void worker_icmp_error(void *arg, const struct net_icmp_error *error, tg_ns now)
{
    struct worker *w = arg;
    tcp_icmp_error(w->tcp, error, now);
}

static enum tg_err worker_build_net(struct worker *w)
{
    struct net_config config = w->config.net;
    config.port_count = io_port_count(w->io);
    config.answers = w->config.index == 0;
    for (unsigned p = 0; p < config.port_count; p++) {
        const struct io_caps *caps = io_caps(w->io, p);
        memcpy(config.ports[p].mac, caps->mac, sizeof config.ports[p].mac);
        config.ports[p].mtu = caps->mtu;
        config.ports[p].tx_ip_checksum = caps->tx_ip_checksum;
        config.ports[p].tx_l4_checksum = caps->tx_l4_checksum;
        config.ports[p].tso = caps->tso_bytes_max > 0;
    }
    return net_create(&config, w->pool, w->stats, w->config.toeplitz, worker_secret(&w->config, 1),
                      worker_icmp_error, w, &w->net);
}

static bool worker_tx_done(const void *io, const struct buf *b)
{
    return io_tx_done(io, b);
}

/* As much as all ports take that cut super-segments themselves: a connection does not know by which one it will
 * leave. For the others net cuts them, of any size. */
static void worker_tso(const struct worker *w, struct tcp_config *config)
{
    config->tso_segments_max = UINT8_MAX;
    for (unsigned p = 0; p < io_port_count(w->io); p++) {
        const struct io_caps *caps = io_caps(w->io, p);
        if (caps->tso_bytes_max == 0)
            continue;
        if (caps->tso_bytes_max < config->tso_bytes_max)
            config->tso_bytes_max = caps->tso_bytes_max;
        if (caps->tso_segments_max < config->tso_segments_max)
            config->tso_segments_max = caps->tso_segments_max;
    }
}

static enum tg_err worker_build_tcp(struct worker *w)
{
    struct tcp_config config = w->config.tcp;
    config.worker = w->config.index;
    config.isn_key[0] = worker_secret(&w->config, 2);
    config.isn_key[1] = worker_secret(&w->config, 3);
    config.seed = worker_secret(&w->config, 4);
    worker_tso(w, &config);
    config.pick_port = steer_pick_port;
    config.pick_port_arg = &w->ports;
    enum tg_err result = steer_ports_init(&w->ports, w->config.toeplitz, w->config.index,
                                          w->config.workers, (uint32_t)config.seed);
    if (result == TG_OK)
        result = tcp_create(&config, w->net, w->pool, &w->timers, w->stats, w->config.toeplitz,
                            worker_tx_done, w->io, &w->tcp);
    if (result != TG_OK)
        return result;
    for (unsigned i = 0; result == TG_OK && i < w->config.listen_count; i++)
        result = tcp_listen(w->tcp, w->config.listen[i].port, w->config.listen[i].kind);
    return result;
}

static enum steer_claim worker_claim(const void *tcp, const struct ip_tuple *tuple, uint32_t hash,
                                     const struct tcp_segment *segment)
{
    uint32_t flow;
    if (!tcp_owns(tcp, tuple, hash, &flow)) {
        enum tcp_answer answer = segment ? tcp_awaits(tcp, tuple, segment) : TCP_ANSWER_NONE;
        return answer == TCP_ANSWER_PROOF     ? STEER_OURS
               : answer == TCP_ANSWER_PERHAPS ? STEER_DOUBTFUL
                                              : STEER_STRANGER;
    }
    bool has_ack = segment && segment->flags & TCP_ACK;
    return !has_ack || tcp_expects(tcp, flow, segment->ack) ? STEER_OURS : STEER_DOUBTFUL;
}

static void worker_build_steer(struct worker *w)
{
    uint64_t rate = w->config.strangers_per_second;
    const uint64_t key[2] = {worker_secret(&w->config, 6), worker_secret(&w->config, 7)};
    rate = rate ? rate : WORKER_STRANGERS;
    steer_limits_init(&w->limits, rate, rate / 10 + 1, key);
    w->hash = (struct steer_hash){.toeplitz = w->config.toeplitz,
                                  .stats = w->stats,
                                  .worker = w->config.index,
                                  .workers = w->config.workers,
                                  .spread = io_caps(w->io, 0)->rss};
    w->steer = (struct steer){.net = w->net,
                              .toeplitz = w->config.toeplitz,
                              .stats = w->stats,
                              .worker = w->config.index,
                              .workers = w->config.workers,
                              .node_slot = w->config.node_slot,
                              .exception = w->config.exception != NULL,
                              .limits = &w->limits,
                              .claim = worker_claim,
                              .claim_arg = w->tcp};
}

static enum tg_err worker_build_proxy(struct worker *w, struct ring *events)
{
    struct proxy_config config = w->config.proxy;
    config.worker = w->config.index;
    config.workers = w->config.workers;
    config.seed = worker_secret(&w->config, 5);
    if (w->config.waf_transactions) {
        enum tg_err result = waf_worker_create(w->config.waf_transactions, &w->waf);
        if (result != TG_OK)
            return result;
    }
    return proxy_create(&config, w->tcp, &w->timers, w->pool, w->stats, w->waf, events, &w->proxy);
}

enum tg_err worker_create(const struct worker_config *config, struct io *io, struct stats *stats,
                          struct region_worker *slot, struct mailbox *mail, struct worker **out)
{
    struct worker *w = aligned_alloc(TG_CACHE_LINE, (sizeof *w + TG_CACHE_LINE - 1) &
                                                        ~(size_t)(TG_CACHE_LINE - 1));
    if (!w)
        return TG_NO_MEMORY;
    memset(w, 0, sizeof *w);
    w->config = *config;
    w->io = io;
    w->pool = io_pool(io);
    w->stats = slot ? &slot->stats : stats;
    w->slot = slot;
    w->mail = mail;
    tg_ns now = io_now(io);
    w->turn_start = w->last_tick = w->last_report = now;
    timer_wheel_init(&w->timers, now);
    w->filter = (struct filter){.toeplitz = config->toeplitz,
                                .pool = w->pool,
                                .stats = w->stats,
                                .rule_hits = slot ? slot->rule_hits : NULL};
    struct ring *events = slot ? (struct ring *)(void *)slot->event_ring : NULL;
    enum tg_err result = worker_build_net(w);
    if (result == TG_OK)
        result = worker_build_tcp(w);
    if (result == TG_OK)
        result = worker_build_proxy(w, events);
    if (result != TG_OK) {
        worker_destroy(w);
        return result;
    }
    worker_build_steer(w);
    exception_open(&w->exception, config->exception, config->index, w->stats);
    *out = w;
    return TG_OK;
}

void worker_destroy(struct worker *w)
{
    if (w->proxy)
        proxy_destroy(w->proxy);
    waf_worker_destroy(w->waf);
    if (w->tcp)
        tcp_destroy(w->tcp);
    steer_ports_free(&w->ports);
    if (w->net)
        net_destroy(w->net);
    free(w);
}

struct tcp *worker_tcp(struct worker *w)
{
    return w->tcp;
}

struct net *worker_net(struct worker *w)
{
    return w->net;
}

struct proxy *worker_proxy(struct worker *w)
{
    return w->proxy;
}

struct waf_worker *worker_waf(struct worker *w)
{
    return w->waf;
}

struct timer_wheel *worker_timers(struct worker *w)
{
    return &w->timers;
}
