/* SPDX-License-Identifier: BSD-3-Clause
 * The stack as a whole: creation and end, handles, the flow look-up, lists, events. Everything that is
 * allocated is allocated in tcp_create.
 */
#include "tcp/tcp_cookie.h"
#include "tcp/tcp_governor.h"
#include "tcp/tcp_half_open.h"
#include <stdlib.h>

#define WINDOW_DEFAULT     262144u
#define WINDOW_INITIAL     65536u
#define UNSENT_LOW_DEFAULT 32768u
#define UNSENT_LOW_MIN     4096u
#define FRAME_CHARGE       512u /* send queue: one frame per so many bytes of buffer, and a few */

static void config_defaults(struct tcp_config *c)
{
    c->msl = c->msl ? c->msl : 30 * TG_S;
    c->profile = c->profile ? c->profile : &tcp_profile_linux;
    c->rto_min = c->rto_min ? c->rto_min : c->profile->rto_min;
    c->rto_max = c->rto_max ? c->rto_max : 120 * TG_S;
    c->syn_retries = c->syn_retries ? c->syn_retries : 7;
    c->retries = c->retries ? c->retries : 15;
    c->receive_window_max = c->receive_window_max ? c->receive_window_max : WINDOW_DEFAULT;
    uint32_t initial = c->receive_window_initial ? c->receive_window_initial : WINDOW_INITIAL;
    c->receive_window_initial = u32_min(initial, c->receive_window_max);
    c->send_buffer_max = c->send_buffer_max ? c->send_buffer_max : WINDOW_DEFAULT;
    c->unsent_low = u32_max(c->unsent_low ? c->unsent_low : UNSENT_LOW_DEFAULT, UNSENT_LOW_MIN);
    c->ooo_segments_max = c->ooo_segments_max ? c->ooo_segments_max : 64;
    c->half_open_max = c->half_open_max ? c->half_open_max : c->connections_max;
    c->active_max = c->active_max ? c->active_max : c->connections_max;
    c->tso_bytes_max = u32_min(c->tso_bytes_max, TCP_TSO_BYTES_MAX);
    c->pressure_tight = c->pressure_tight ? c->pressure_tight : 50;
    c->pressure_cookies = c->pressure_cookies ? c->pressure_cookies : 75;
    c->pressure_shed = c->pressure_shed ? c->pressure_shed : 88;
    c->pressure_window = c->pressure_window ? c->pressure_window : 16384;
    c->pressure_idle = c->pressure_idle ? c->pressure_idle : 10 * TG_S;
}

/* After the defaults. Half of the sequence space minus a margin is what window arithmetic bears (RFC 7323 s2.3). */
static bool config_valid(const struct tcp_config *c)
{
    return c->connections_max > 0 && c->connections_max < 1u << 24 && c->time_wait_max < 1u << 24 &&
           c->half_open_max < 1u << 28 && c->active_max <= c->connections_max &&
           c->receive_window_max <= 65535u << TCP_WSCALE_MAX && c->send_buffer_max < 1u << 30 &&
           c->receive_window_max >= 2048 && c->receive_window_initial >= 2048 && c->worker < 256 &&
           c->ooo_segments_max < 65535 && c->ecn <= TCP_ECN_OFF &&
           c->pressure_tight <= c->pressure_cookies && c->pressure_cookies <= c->pressure_shed &&
           c->pressure_shed <= 100 && c->pressure_window >= 2048 &&
           (c->mss_max == 0 || c->mss_max >= TCP_MSS_FLOOR) && c->retries < 255 &&
           c->syn_retries < 255 && tcp_profile_valid(c->profile);
}

static uint8_t window_scale_for(const struct tcp_profile *profile, uint32_t window)
{
    uint8_t scale = 0;
    if (profile->window_scale != TCP_SCALE_BY_WINDOW)
        return profile->window_scale;
    while (scale < TCP_WSCALE_MAX && window >> scale > 65535)
        scale++;
    return scale;
}

static enum tg_err tcp_allocate(struct tcp *tcp)
{
    enum tg_err err = pool_init(&tcp->pcbs, tcp->config.connections_max, sizeof(struct tcp_pcb));
    if (err == TG_OK)
        err = pool_init(&tcp->actives, tcp->config.active_max, sizeof(struct tcp_active));
    if (err == TG_OK)
        err = flow_table_init(&tcp->flows, tcp->config.connections_max + tcp->config.time_wait_max);
    if (err == TG_OK)
        err = tcp_timewait_init(tcp);
    if (err == TG_OK)
        err = tcp_half_open_init(tcp);
    return err;
}

enum tg_err tcp_create(const struct tcp_config *config, struct net *net, struct buf_pool *pool,
                       struct timer_wheel *wheel, struct stats *stats,
                       const struct toeplitz *toeplitz,
                       bool (*tx_done)(const void *arg, const struct buf *b),
                       const void *tx_done_arg, struct tcp **out)
{
    *out = NULL;
    struct tcp *tcp = calloc(1, sizeof *tcp);
    if (!tcp)
        return TG_NO_MEMORY;
    tcp->config = *config;
    config_defaults(&tcp->config);
    tcp->net = net;
    tcp->pool = pool;
    tcp->wheel = wheel;
    tcp->stats = stats;
    tcp->toeplitz = toeplitz;
    tcp->tx_done = tx_done;
    tcp->tx_done_arg = tx_done_arg;
    for (unsigned i = 0; i < TCP_L_KINDS; i++)
        tcp->lists[i].first = tcp->lists[i].last = TCP_INDEX_NONE;
    tcp->waiting_first = tcp->waiting_last = TCP_INDEX_NONE;
    tcp->rcv_scale = window_scale_for(tcp->config.profile, tcp->config.receive_window_max);
    tcp->segments_max = tcp->config.send_buffer_max / FRAME_CHARGE + 32;
    if (!config_valid(&tcp->config) || !tcp_settings_init(tcp)) {
        free(tcp);
        return TG_BAD_CONFIG;
    }
    tcp_keepalive_init(tcp);
    prng_seed(&tcp->prng, config->seed);
    tcp_cookie_init(tcp);
    tcp_governor_init(tcp);
    tcp->next_port = (uint16_t)prng_below(&tcp->prng, 16384);
    enum tg_err err = tcp_allocate(tcp);
    if (err != TG_OK) {
        tcp_destroy(tcp);
        return err;
    }
    *out = tcp;
    return TG_OK;
}

void tcp_destroy(struct tcp *tcp)
{
    if (!tcp)
        return;
    for (uint32_t i = 0; i < tcp->pcbs.count; i++)
        if (pool_is_taken(&tcp->pcbs, i))
            tcp_pcb_free(tcp, tcp_pcb_at(tcp, i));
    timer_cancel(tcp->wheel, &tcp->keep_timer);
    tcp_half_open_destroy(tcp);
    tcp_timewait_destroy(tcp);
    flow_table_free(&tcp->flows);
    pool_free(&tcp->actives);
    pool_free(&tcp->pcbs);
    free(tcp);
}

/* --- look-up ------------------------------------------------------------------------------------ */

bool tcp_flow_matches(const struct tcp *tcp, uint32_t value, const struct ip_tuple *tuple)
{
    if (value & TCP_FLOW_TW)
        return tcp_timewait_matches(tcp, value & ~TCP_FLOW_TW, tuple);
    tg_assert(!(value & TCP_FLOW_SYN)); /* the flow table has none */
    return tcp_pcb_matches(tcp_pcb_at(tcp, value), tuple);
}

struct lookup {
    const struct tcp *tcp;
    const struct ip_tuple *tuple;
};

static bool lookup_match(const void *arg, uint32_t value)
{
    const struct lookup *l = arg;
    return tcp_flow_matches(l->tcp, value, l->tuple);
}

uint32_t tcp_flow_find(const struct tcp *tcp, const struct ip_tuple *tuple, uint32_t hash)
{
    struct lookup l = {tcp, tuple};
    return flow_table_find(&tcp->flows, hash, lookup_match, &l);
}

uint32_t tcp_lookup(const struct tcp *tcp, const struct ip_tuple *tuple, uint32_t hash)
{
    uint32_t flow = tcp_flow_find(tcp, tuple, hash);
    if (flow != FLOW_TABLE_NONE)
        return flow;
    uint32_t number = tcp_syncache_find(&tcp->syncache, tuple, hash);
    return number == TCP_SYN_NONE ? FLOW_TABLE_NONE : TCP_FLOW_SYN | number;
}

bool tcp_owns(const struct tcp *tcp, const struct ip_tuple *tuple, uint32_t hash, uint32_t *flow)
{
    *flow = tcp_lookup(tcp, tuple, hash);
    return *flow != FLOW_TABLE_NONE;
}

tcp_handle tcp_pcb_handle(const struct tcp *tcp, const struct tcp_pcb *pcb)
{
    return tcp_handle_make(tcp->config.worker, tcp_pcb_index(tcp, pcb), pcb->generation);
}

struct tcp_pcb *tcp_pcb_find(const struct tcp *tcp, tcp_handle h)
{
    uint32_t index = tcp_handle_index(h), generation = (uint32_t)h;
    if (tcp_handle_worker(h) != tcp->config.worker || index >= tcp->pcbs.count || generation == 0)
        return NULL;
    struct tcp_pcb *pcb = tcp_pcb_at(tcp, index);
    return pcb->generation == generation ? pcb : NULL; /* a free one has a number never given out */
}

/* --- lists: intrusive, by index, so that order never depends on addresses ----------------------------- */

void tcp_list_push(struct tcp *tcp, enum tcp_list_kind kind, struct tcp_pcb *pcb)
{
    tg_assert(!tcp_listed(pcb, kind));
    uint32_t index = tcp_pcb_index(tcp, pcb), last = tcp->lists[kind].last;
    pcb->act->links[kind].prev = last;
    pcb->act->links[kind].next = TCP_INDEX_NONE;
    if (last == TCP_INDEX_NONE)
        tcp->lists[kind].first = index;
    else
        tcp_pcb_at(tcp, last)->act->links[kind].next = index;
    tcp->lists[kind].last = index;
}

void tcp_list_remove(struct tcp *tcp, enum tcp_list_kind kind, struct tcp_pcb *pcb)
{
    if (!tcp_listed(pcb, kind))
        return;
    uint32_t prev = pcb->act->links[kind].prev, next = pcb->act->links[kind].next;
    if (prev == TCP_INDEX_NONE)
        tcp->lists[kind].first = next;
    else
        tcp_pcb_at(tcp, prev)->act->links[kind].next = next;
    if (next == TCP_INDEX_NONE)
        tcp->lists[kind].last = prev;
    else
        tcp_pcb_at(tcp, next)->act->links[kind].prev = prev;
    pcb->act->links[kind].prev = pcb->act->links[kind].next = TCP_UNLISTED;
}

struct tcp_pcb *tcp_list_pop(struct tcp *tcp, enum tcp_list_kind kind)
{
    if (tcp->lists[kind].first == TCP_INDEX_NONE)
        return NULL;
    struct tcp_pcb *pcb = tcp_pcb_at(tcp, tcp->lists[kind].first);
    tcp_list_remove(tcp, kind, pcb);
    return pcb;
}

/* --- life of a connection --------------------------------------------------------------------------- */

/* A handle of the past never fits again, until 2^32 connections later. */
static void generation_next(struct tcp_pcb *pcb)
{
    pcb->generation++;
    if (pcb->generation == 0)
        pcb->generation = 1;
}

struct tcp_pcb *tcp_pcb_new(struct tcp *tcp)
{
    struct tcp_pcb *pcb = pool_take(&tcp->pcbs);
    if (!pcb && tcp_governor_evict(tcp))
        pcb = pool_take(&tcp->pcbs);
    if (!pcb) {
        stats_count(tcp->stats, TG_C_tcp_full);
        return NULL;
    }
    uint32_t generation = pcb->generation;
    memset(pcb, 0, sizeof *pcb);
    pcb->generation = generation;
    generation_next(pcb);
    pcb->flags = TCP_F_DETACHED;
    pcb->rto = tcp->config.profile->rto_syn;
    pcb->congestion = tcp_congestion_of((enum tcp_congestion_id)tcp->settings[0].congestion);
    if (tcp_active_take(tcp, pcb))
        return pcb;
    pool_give(&tcp->pcbs, pcb);
    return NULL;
}

enum tg_err tcp_pcb_attach(struct tcp *tcp, struct tcp_pcb *pcb)
{
    tg_assert(tcp_has(pcb, TCP_F_DETACHED));
    enum tg_err err = flow_table_insert(&tcp->flows, pcb->hash, tcp_pcb_index(tcp, pcb));
    if (err == TG_OK)
        pcb->flags &= ~(uint32_t)TCP_F_DETACHED;
    else
        stats_count(tcp->stats, TG_C_tcp_full);
    return err;
}

void tcp_queue_free(struct tcp *tcp, struct buf *first)
{
    while (first) {
        struct buf *next = first->link;
        first->link = NULL;
        buf_unref(tcp->pool, first);
        first = next;
    }
}

/* A reserved frame that is not the queue's last belongs to nobody else. */
void tcp_reservation_free(struct tcp *tcp, struct tcp_pcb *pcb)
{
    if (pcb->act->reserved && pcb->act->reserved != pcb->act->snd_last)
        buf_unref(tcp->pool, pcb->act->reserved);
    pcb->act->reserved = NULL;
}

/* No packet reaches it or leaves it any more. The receive queue stays for the user. */
static void pcb_detach(struct tcp *tcp, struct tcp_pcb *pcb)
{
    if (!tcp_has(pcb, TCP_F_DETACHED)) {
        bool removed = flow_table_remove(&tcp->flows, pcb->hash, tcp_pcb_index(tcp, pcb));
        tg_assert(removed);
        pcb->flags |= TCP_F_DETACHED;
    }
    tcp_wait_end(tcp, pcb);
    if (!pcb->act)
        return;
    tcp_list_remove(tcp, TCP_L_DIRTY, pcb);
    tcp_list_remove(tcp, TCP_L_AWAKE, pcb);
    timer_cancel(tcp->wheel, &pcb->act->timer);
    memset(pcb->act->deadline, 0, sizeof pcb->act->deadline);
    tcp_reservation_free(tcp, pcb);
    tcp_queue_free(tcp, pcb->act->snd_first);
    tcp_queue_free(tcp, pcb->act->ooo_first);
    pcb->act->snd_first = pcb->act->snd_last = pcb->act->snd_unsent = pcb->act->snd_lost = NULL;
    pcb->act->ooo_first = NULL;
    pcb->act->ooo_count = 0;
    pcb->act->snd_segments = 0;
    pcb->act->pipe = pcb->act->sacked = 0;
    tcp_rack_init(pcb, pcb->snd_una);
    pcb->snd_una = pcb->snd_nxt = pcb->snd_end;
}

void tcp_receive_queue_free(struct tcp *tcp, struct tcp_pcb *pcb)
{
    if (!pcb->act)
        return;
    tcp_queue_free(tcp, pcb->act->rcv_first);
    pcb->act->rcv_first = pcb->act->rcv_last = NULL;
    pcb->act->rcv_frames = 0;
    pcb->rcv_read = pcb->rcv_nxt;
}

void tcp_pcb_disown(struct tcp *tcp, struct tcp_pcb *pcb)
{
    pcb->flags |= TCP_F_ORPHAN;
    pcb->flags &= ~(uint32_t)(TCP_F_WANT_WRITE | TCP_F_CORK);
    generation_next(pcb);
    if (!pcb->act)
        return;
    tcp_list_remove(tcp, TCP_L_READY, pcb);
    pcb->act->events = 0;
    tcp_receive_queue_free(tcp, pcb);
    tcp_queue_free(tcp, pcb->act->ooo_first);
    pcb->act->ooo_first = NULL;
    pcb->act->ooo_count = 0;
}

void tcp_pcb_free(struct tcp *tcp, struct tcp_pcb *pcb)
{
    pcb_detach(tcp, pcb);
    tcp_list_remove(tcp, TCP_L_READY, pcb);
    tcp_receive_queue_free(tcp, pcb);
    if (pcb->state != TCP_S_CLOSED)
        tcp_state_set(tcp, pcb, TCP_S_CLOSED);
    generation_next(pcb);
    tcp_settings_use(tcp, &pcb->settings, 0);
    if (pcb->act)
        tcp_active_give(tcp, pcb);
    pool_give(&tcp->pcbs, pcb);
}

void tcp_pcb_finish(struct tcp *tcp, struct tcp_pcb *pcb, enum tg_err error)
{
    bool unseen = tcp_has(pcb, TCP_F_PASSIVE) &&
                  (pcb->state == TCP_S_SYN_RECEIVED || pcb->act->events & TCP_EV_ACCEPTED);
    pcb_detach(tcp, pcb);
    if (tcp_has(pcb, TCP_F_ORPHAN) || unseen) {
        tcp_pcb_free(tcp, pcb);
        return;
    }
    if (pcb->state != TCP_S_TIME_WAIT)
        tcp_state_set(tcp, pcb, TCP_S_CLOSED);
    pcb->act->error = (uint8_t)error;
    if (!pcb->act->rcv_first)
        tcp_event_post(tcp, pcb, TCP_EV_CLOSED);
}

/* --- events ------------------------------------------------------------------------------------- */

void tcp_event_post(struct tcp *tcp, struct tcp_pcb *pcb, uint16_t bits)
{
    if (tcp_has(pcb, TCP_F_ORPHAN))
        return;
    pcb->act->events |= bits;
    if (!tcp_listed(pcb, TCP_L_READY))
        tcp_list_push(tcp, TCP_L_READY, pcb);
}

void tcp_event_writable(struct tcp *tcp, struct tcp_pcb *pcb)
{
    if (!tcp_has(pcb, TCP_F_WANT_WRITE) || tcp_has(pcb, TCP_F_ORPHAN))
        return;
    const struct tcp_settings *settings = tcp_settings_of(tcp, pcb);
    if (pcb->snd_end - pcb->snd_nxt > settings->unsent_low)
        return;
    /* Room for a quarter at least, so that a slow peer does not cost an event per segment. */
    if (pcb->snd_end - pcb->snd_una > settings->send_buffer / 4 * 3 ||
        pcb->act->snd_segments > tcp->segments_max / 4 * 3)
        return;
    if (pcb->state != TCP_S_ESTABLISHED && pcb->state != TCP_S_CLOSE_WAIT)
        return;
    if (!tcp_governor_spares(tcp) &&
        pcb->act->snd_first) { /* it would not get a frame: ask again by the clock */
        tcp_deadline_set(tcp, pcb, TCP_D_REPAIR, tcp->now + TCP_REPAIR);
        return;
    }
    pcb->flags &= ~(uint32_t)TCP_F_WANT_WRITE;
    tcp_event_post(tcp, pcb, TCP_EV_WRITABLE);
}

unsigned tcp_events(struct tcp *tcp, struct tcp_event out[], unsigned n)
{
    unsigned taken = 0;
    while (taken < n) {
        struct tcp_pcb *pcb = tcp_list_pop(tcp, TCP_L_READY);
        if (!pcb)
            break;
        struct tcp_event *e = &out[taken++];
        e->handle = tcp_pcb_handle(tcp, pcb);
        e->user = pcb->user;
        e->tag = pcb->act->events & TCP_EV_ACCEPTED ? pcb->act->tag : 0;
        e->bits = pcb->act->events;
        e->error = pcb->act->events & TCP_EV_CLOSED ? pcb->act->error : TG_OK;
        pcb->act->events = 0;
        if (e->bits & TCP_EV_CLOSED)
            tcp_pcb_free(tcp, pcb);
    }
    return taken;
}

uint32_t tcp_connection_count(const struct tcp *tcp)
{
    return tcp->pcbs.in_use;
}

uint32_t tcp_half_open_count(const struct tcp *tcp)
{
    return tcp->syncache.live;
}

unsigned tcp_pressure(const struct tcp *tcp)
{
    return tcp->governor.level;
}

uint32_t tcp_time_wait_count(const struct tcp *tcp)
{
    return tcp->tw.live;
}
