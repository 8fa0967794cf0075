/* SPDX-License-Identifier: BSD-3-Clause
 * See tcp_governor.h.
 */
#include "tcp/tcp_governor.h"

#define VISITS      64u  /* connections that one look sheds from */
#define RESERVE_MAX 256u /* frames: several bursts in and out */
#define CALM_SHARE                                                                                 \
    12u /* a level ends when so much of the pool more is free than where it begins: 1/12 */
#define STARVED_FOR      TG_S
#define COMPACT_BELOW    (BUF_ROOM / 2) /* bytes: shorter frames are worth a copy */
#define CONNECTIONS_ROOM 32u            /* SYNs get cookies when only 1/32 of the table is free */
#define DRY_BELOW        TG_BURST       /* frames: not even a burst can be received */
#define UNKNOWN          (INT32_MAX / 2)

/* --- levels ------------------------------------------------------------------------------------------ */

void tcp_governor_init(struct tcp *tcp)
{
    const struct tcp_config *c = &tcp->config;
    const uint8_t percent[TCP_LEVELS] = {0, c->pressure_tight, c->pressure_cookies,
                                         c->pressure_shed};
    struct tcp_governor *g = &tcp->governor;
    uint64_t total = tcp->pool->total;
    for (unsigned level = TCP_TIGHT; level < TCP_LEVELS; level++)
        g->begins[level] = (uint32_t)(total - total * percent[level] / 100);
    g->reserve = u32_min((uint32_t)total / 16, RESERVE_MAX);
    tcp_governor_sample(tcp, tcp->now);
}

static unsigned level_of(const struct tcp *tcp, uint32_t available)
{
    const struct tcp_governor *g = &tcp->governor;
    uint32_t slack = tcp->pool->total / CALM_SHARE;
    unsigned level = TCP_SHED;
    while (level > TCP_CALM && available > g->begins[level] + (level <= g->level ? slack : 0))
        level--;
    return level;
}

static void level_set(struct tcp *tcp, unsigned level)
{
    static const enum tg_counter entered[TCP_LEVELS] = {
        [TCP_TIGHT] = TG_C_tcp_pressure_tight,
        [TCP_COOKIES] = TG_C_tcp_pressure_cookies,
        [TCP_SHED] = TG_C_tcp_pressure_shed,
    };
    for (unsigned i = tcp->governor.level + 1u; i <= level; i++)
        stats_count(tcp->stats, entered[i]);
    tcp->governor.level = (uint8_t)level;
}

/* --- shedding ---------------------------------------------------------------------------------------- */

/* The next connection around the clock of the awake; *last ends the round. */
static struct tcp_pcb *visit(struct tcp *tcp)
{
    struct tcp_pcb *pcb = tcp_list_pop(tcp, TCP_L_AWAKE);
    if (pcb)
        tcp_list_push(tcp, TCP_L_AWAKE, pcb);
    return pcb;
}

/* Some connections, each once. */
static unsigned visit_some(struct tcp *tcp, struct tcp_pcb *some[VISITS])
{
    unsigned n = 0;
    for (struct tcp_pcb *pcb; n < VISITS && (pcb = visit(tcp)); n++) {
        if (n && pcb == some[0])
            break;
        some[n] = pcb;
    }
    return n;
}

/* Frames that are mostly empty give their bytes to their left neighbour. */
static void receive_queue_compact(struct tcp *tcp, struct tcp_pcb *pcb)
{
    struct buf *left = pcb->act->rcv_first;
    while (left && left->link) {
        struct buf *b = left->link;
        if (b->len >= COMPACT_BELOW || left->refs != 1 || buf_tailroom(left) < b->len) {
            left = b;
            continue;
        }
        memcpy(buf_put(left, b->len), b->data, b->len);
        left->link = b->link;
        if (pcb->act->rcv_last == b)
            pcb->act->rcv_last = left;
        b->link = NULL;
        pcb->act->rcv_frames--;
        stats_count(tcp->stats, TG_C_tcp_shed_copied);
        buf_unref(tcp->pool, b);
    }
}

/* Early pieces go where there are most, until `wanted` frames have come free: nobody has been promised to have them
 * kept, and who has few of them has just lost a segment. */
static uint32_t early_pieces_shed(struct tcp *tcp, struct tcp_pcb *const some[], unsigned n,
                                  uint32_t wanted)
{
    uint32_t most = 0, freed = 0;
    for (unsigned i = 0; i < n; i++)
        most = u32_max(most, some[i]->act->ooo_count);
    for (uint32_t bar = (most + 1) / 2; bar && freed < wanted; bar /= 2)
        for (unsigned i = 0; i < n && freed < wanted; i++) {
            uint32_t count = some[i]->act->ooo_count;
            if (count < bar)
                continue;
            freed += count;
            stats_add(tcp->stats, TG_C_tcp_shed_pieces, count);
            tcp_ooo_drop(tcp, some[i]);
        }
    return freed;
}

/* How long nothing has moved: a peer that is silent, or one that answers probes of its shut window, or a user that
 * neither reads nor writes. */
static tg_ns idle_time(const struct tcp_active *act, tg_ns now)
{
    tg_ns moved = act->sent_ns > act->data_ns ? act->sent_ns : act->data_ns;
    tg_ns last = act->heard_ns < moved ? act->heard_ns : moved;
    return now > last ? now - last : 0;
}

/* What it has cost so far: frames held times the time for which nothing moved; 0: it is spared. */
static uint64_t cost(const struct tcp *tcp, const struct tcp_pcb *pcb, tg_ns now)
{
    tg_ns idle = idle_time(pcb->act, now);
    uint64_t frames = (uint64_t)pcb->act->snd_segments + pcb->act->rcv_frames;
    return idle >= tcp->config.pressure_idle ? frames * (idle / TG_MS) : 0;
}

/* RST (RFC 9293 s3.10.5, ABORT: "all queued SENDs and RECEIVEs should be given connection reset notification"). Its
 * user is told why. */
static void connection_reset(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    stats_count(tcp->stats, TG_C_tcp_aborted);
    tcp_receive_queue_free(tcp, pcb);
    tcp_emit_rst(tcp, pcb, now);
    tcp_pcb_finish(tcp, pcb, TG_NO_MEMORY);
}

static void dearest_reset(struct tcp *tcp, struct tcp_pcb *const some[], unsigned n, tg_ns now)
{
    struct tcp_pcb *dearest = NULL;
    uint64_t most = 0;
    for (unsigned i = 0; i < n; i++) {
        uint64_t c = cost(tcp, some[i], now);
        if (c > most) {
            most = c;
            dearest = some[i];
        }
    }
    if (!dearest)
        return;
    stats_count(tcp->stats, TG_C_tcp_shed_connections);
    connection_reset(tcp, dearest, now);
}

/* Go on around the clock of the awake, some at a time; the mildest means first. */
static void shed(struct tcp *tcp, uint32_t available, tg_ns now)
{
    struct tcp_pcb *some[VISITS];
    unsigned n = visit_some(tcp, some);
    uint32_t calm = tcp->governor.begins[TCP_SHED] + tcp->pool->total / CALM_SHARE;
    uint32_t wanted = calm > available ? calm - available : 1;
    if (early_pieces_shed(tcp, some, n, wanted) >= wanted)
        return;
    for (unsigned i = 0; i < n; i++)
        receive_queue_compact(tcp, some[i]);
    dearest_reset(tcp, some, n, now);
}

/* --- after a drought ----------------------------------------------------------------------------------- */

/* Timeouts that came because there was no frame here, for the answers or for the segments, say nothing of the path.
 * Their backoff is undone, as RFC 6069 s4 does for a lack of connectivity that ICMP tells of: who would have sent
 * again by now without it does so at once. Not where the peer had been silent before. */
static void connection_revive(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns dry_since, tg_ns now)
{
    struct tcp_active *act = pcb->act;
    enum tcp_deadline kind = pcb->snd_una != pcb->snd_nxt ? TCP_D_RETRANSMIT : TCP_D_PERSIST;
    if (act->backoff == 0 || !act->deadline[kind] || act->heard_ns + 2 * pcb->rto < dry_since)
        return;
    act->backoff = act->retries = 0;
    tg_ns due = act->sent_ns + tcp_rto(tcp, pcb);
    tcp_deadline_set(tcp, pcb, kind, due > now ? due : now);
    stats_count(tcp->stats, TG_C_tcp_revived);
}

static void revive_some(struct tcp *tcp, tg_ns now)
{
    struct tcp_governor *g = &tcp->governor;
    struct tcp_pcb *some[VISITS];
    unsigned n = visit_some(tcp, some);
    for (unsigned i = 0; i < n; i++)
        connection_revive(tcp, some[i], g->dry_since, now);
    g->to_revive -= n < g->to_revive && n ? n : g->to_revive;
    if (g->to_revive == 0)
        g->dry_since = 0;
}

static void drought_note(struct tcp *tcp, uint32_t available, tg_ns now)
{
    struct tcp_governor *g = &tcp->governor;
    if (available < DRY_BELOW) {
        g->to_revive = tcp->actives.in_use;
        g->dry_since = g->dry_since ? g->dry_since : now;
    } else if (g->dry_since) {
        revive_some(tcp, now);
    }
}

void tcp_governor_sample(struct tcp *tcp, tg_ns now)
{
    struct tcp_governor *g = &tcp->governor;
    const struct buf_pool *pool = tcp->pool;
    g->looks = TCP_GOVERNOR_LOOKS;
    if (!pool->available || pool->total == 0) {
        g->spare = UNKNOWN;
        g->spare_calm = 0;
        return;
    }
    uint32_t available = pool->available(pool);
    unsigned level = level_of(tcp, available);
    if (level != g->level)
        level_set(tcp, level);
    if (level == TCP_SHED) {
        shed(tcp, available, now);
        available = pool->available(pool);
    }
    drought_note(tcp, available, now);
    g->spare = (int32_t)available - (int32_t)g->reserve;
    g->spare_calm = level == TCP_CALM && !g->dry_since
                        ? (int32_t)g->begins[TCP_TIGHT] - (int32_t)g->reserve
                        : INT32_MAX; /* every look is a sample */
}

/* --- questions ---------------------------------------------------------------------------------------- */

bool tcp_governor_cookies_only(const struct tcp *tcp, tg_ns now)
{
    uint32_t few = tcp->pcbs.count / CONNECTIONS_ROOM;
    return tcp->governor.level >= TCP_COOKIES || tcp->pcbs.in_use + few >= tcp->pcbs.count ||
           now < tcp->governor.starved_until;
}

static bool refused(struct tcp *tcp, unsigned level)
{
    if (TG_LIKELY(tcp->governor.level < level))
        return false;
    stats_count(tcp->stats, TG_C_tcp_shed_refused);
    return true;
}

bool tcp_governor_accepts(struct tcp *tcp)
{
    return !refused(tcp, TCP_SHED);
}

bool tcp_governor_connects(struct tcp *tcp)
{
    return !refused(tcp, TCP_COOKIES);
}

void tcp_governor_starved(struct tcp *tcp)
{
    tcp->governor.starved_until = tcp->now + STARVED_FOR;
}

bool tcp_governor_evict(struct tcp *tcp)
{
    struct tcp_pcb *some[VISITS], *oldest = NULL;
    unsigned n = visit_some(tcp, some);
    for (unsigned i = 0; i < n; i++) {
        struct tcp_pcb *pcb = some[i];
        if (!tcp_has(pcb, TCP_F_ORPHAN) || pcb->state != TCP_S_FIN_WAIT_2 ||
            tcp->now - pcb->act->heard_ns < tcp->config.pressure_idle)
            continue; /* its peer may still close */
        if (!oldest || pcb->act->heard_ns < oldest->act->heard_ns)
            oldest = pcb;
    }
    if (!oldest)
        return false;
    stats_count(tcp->stats, TG_C_tcp_shed_orphans);
    connection_reset(tcp, oldest, tcp->now);
    return true;
}
