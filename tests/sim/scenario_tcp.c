/* SPDX-License-Identifier: BSD-3-Clause
 * Two hosts, pure TCP: bulk both ways, half-close, many connections, slow readers, aborts, refusals.
 * At the end every orderly connection has moved every byte, and nothing is left anywhere.
 */
#include "tests/sim/drought.h"
#include <stdio.h>
#include <stdlib.h>

#define LISTEN_PORT     80
#define CLOSED_PORT     81
#define CONNECTIONS_MAX 120
/* An orphan gives up after 8 retransmissions (51 s after the first, at the least RTO of 200 ms). */
#define HEAL_AFTER (30 * TG_S)
#define END_AFTER  (3600 * TG_S) /* virtual: whatever waits that long waits for ever */

struct tcp_world {
    struct sim *sim;
    struct prng rng;
    struct host hosts[2]; /* client, server */
    unsigned count;
    bool bulk;  /* megabytes */
    bool risen; /* a connection that was over has come again, once */
    struct connection_plan plans[CONNECTIONS_MAX];
    struct endpoint endpoints[CONNECTIONS_MAX][2];
    uint16_t client_port[CONNECTIONS_MAX];
    struct timer starts[CONNECTIONS_MAX];
    struct drought drought;
};

/* --- what is to happen ------------------------------------------------------------------------------------ */

static void draw_side(struct prng *rng, struct side_plan *side, uint64_t bytes_max)
{
    *side = (struct side_plan){
        .bytes = sim_draw_size(rng, bytes_max),
        .write = (enum write_mode)prng_below(rng, WRITE_MODES),
        .read = (enum read_mode)prng_below(rng, READ_MODES),
        .write_chunk = 1 + (uint32_t)sim_draw_size(rng, 30000),
        .read_chunk = 1 + (uint32_t)sim_draw_size(rng, 30000),
        .after_peer = sim_chance(rng, 20),
        .close = sim_chance(rng, 50),
        .cork = sim_chance(rng, 20),
    };
    /* Small pieces for large streams would take for ever: at most about 2,000 of each. */
    uint32_t least = (uint32_t)(bytes_max / 2000 + 1);
    if (side->write_chunk < least)
        side->write_chunk = least;
    if (side->read_chunk < least)
        side->read_chunk = least;
    if (sim_chance(rng, 25))
        side->read_pause = TG_MS + prng_below(rng, 30 * TG_MS);
    if (sim_chance(rng, 15))
        side->write_pause = TG_MS + prng_below(rng, 20 * TG_MS);
}

static void draw_plan(struct tcp_world *w, unsigned number, uint64_t bytes_max, tg_ns spread)
{
    struct prng *rng = &w->rng;
    struct connection_plan *plan = &w->plans[number];
    *plan = (struct connection_plan){
        .number = number,
        .start = w->sim->now + TG_MS + prng_below(rng, spread + 1),
        .ip6 = sim_chance(rng, 40),
        .port = LISTEN_PORT,
    };
    draw_side(rng, &plan->side[0], bytes_max);
    draw_side(rng, &plan->side[1], bytes_max);
    if (plan->side[0].after_peer && plan->side[1].after_peer) /* somebody has to begin */
        plan->side[0].after_peer = false;
    uint64_t ending = prng_below(rng, 100);
    if (ending < 10)
        plan->ending = END_ABORT;
    else if (ending < 18)
        plan->ending = END_EARLY;
    else if (ending < 22)
        plan->ending = END_REFUSED, plan->port = CLOSED_PORT;
    plan->ender = (unsigned)prng_below(rng, 2);
    plan->end_after = prng_below(rng, plan->side[0].bytes + plan->side[1].bytes + 1);
}

static void draw_plans(struct tcp_world *w)
{
    struct prng *rng = &w->rng;
    bool many = sim_chance(rng, 25);
    w->count =
        many ? (unsigned)sim_between(rng, 20, CONNECTIONS_MAX) : (unsigned)sim_between(rng, 1, 8);
    uint64_t bytes_max = many ? 8000 : 400000;
    if (sim_chance(rng, 10)) /* bulk: windows grow, sequence numbers wrap more often */
        many = false, w->bulk = true, w->count = (unsigned)sim_between(rng, 1, 2),
        bytes_max = 6000000;
    tg_ns spread = sim_chance(rng, 50) ? 0 : prng_below(rng, 3 * TG_S);
    for (unsigned i = 0; i < w->count; i++)
        draw_plan(w, i, bytes_max, spread);
}

/* --- the applications -------------------------------------------------------------------------------------- */

static void world_connect(struct timer *timer, void *arg, tg_ns now)
{
    struct tcp_world *w = arg;
    unsigned i = (unsigned)(timer - w->starts);
    struct endpoint *ep = &w->endpoints[i][0];
    struct tcp_info info;
    if (w->plans[i].ending == END_NONE) { /* the others keep their ports */
        w->hosts[0].next_port++;
        return;
    }
    struct ip_addr to = w->plans[i].ip6 ? w->hosts[1].address6 : w->hosts[1].address4;
    enum tg_err err =
        tcp_connect(w->hosts[0].tcp, NULL, &to, w->plans[i].port, 0, i + 1, now, &ep->handle);
    if (err == TG_FULL) { /* more of them are awake than may be: later */
        timer_arm(&w->hosts[0].wheel, timer, now + 100 * TG_MS);
        return;
    }
    if (err == TG_OK)
        err = tcp_get_info(w->hosts[0].tcp, ep->handle, &info);
    if (err != TG_OK) {
        sim_fail(w->sim, "connection %u: tcp_connect: %s", i, tg_err_text(err));
        return;
    }
    ep->open = true;
    w->client_port[i] = info.tuple.local_port;
    capture_name(w->sim->capture, i, info.tuple.local_port);
    endpoint_note(ep, "connect(@, ..., ...) = -1 EINPROGRESS (Operation now in progress)");
}

/* A connection has come: whose is it? Each must come once. */
static struct endpoint *world_accept(struct tcp_world *w, const struct tcp_event *event)
{
    struct tcp_info info;
    if (tcp_get_info(w->hosts[1].tcp, event->handle, &info) != TG_OK) {
        sim_fail(w->sim, "server: no information about an accepted connection");
        return NULL;
    }
    for (unsigned i = 0; i < w->count; i++) {
        struct endpoint *ep = &w->endpoints[i][1];
        if (w->client_port[i] != info.tuple.remote_port)
            continue;
        /* A late SYN, and TIME-WAIT's answer to our SYN-ACK has our number by chance: our ISN has come as far by
         * its clock as the old connection by its bytes. */
        if (ep->finished && !w->risen) {
            w->risen = true;
            tcp_abort(w->hosts[1].tcp, event->handle);
            return NULL;
        }
        if (ep->open || ep->finished || w->plans[i].ending == END_REFUSED)
            break;
        ep->handle = event->handle;
        ep->open = true;
        tcp_set_user(w->hosts[1].tcp, event->handle, i + 1);
        endpoint_note(ep, "accept(3, ..., ...) = @");
        return ep;
    }
    /* its SYN's port was damaged; or an ACK came late that a cookie's secret vouches for still */
    if (w->sim->lied || w->hosts[1].stats.value[TG_C_tcp_syn_cookies_accepted])
        tcp_abort(w->hosts[1].tcp, event->handle);
    else
        sim_fail(w->sim, "server: accepted a connection that nobody opened (port %u)",
                 info.tuple.remote_port);
    return NULL;
}

static bool world_turn(struct tcp_world *w, unsigned side, tg_ns now)
{
    struct tcp_event events[8];
    drought_turn(&w->drought, side, now);
    unsigned n = tcp_events(w->hosts[side].tcp, events, TG_ARRAY_LEN(events));
    for (unsigned i = 0; i < n && !w->sim->failed; i++) {
        const struct tcp_event *e = &events[i];
        struct endpoint *ep = NULL;
        if (e->bits & TCP_EV_ACCEPTED)
            ep = world_accept(w, e);
        else if (e->user >= 1 && e->user <= w->count)
            ep = &w->endpoints[e->user - 1][side];
        else
            sim_fail(w->sim, "event of nobody: user %llu", (unsigned long long)e->user);
        if (ep)
            endpoint_event(ep, e, now);
    }
    return n > 0;
}

static bool client_turn(void *arg, tg_ns now)
{
    return world_turn(arg, 0, now);
}

static bool server_turn(void *arg, tg_ns now)
{
    return world_turn(arg, 1, now);
}

/* --- the end ----------------------------------------------------------------------------------------------- */

/* One that a shortage of memory has ended needs nobody's end. */
static bool is_connection_over(const struct tcp_world *w, unsigned i)
{
    const struct endpoint *ends = w->endpoints[i];
    bool orderly = w->plans[i].ending == END_ORDERLY;
    if (w->plans[i].ending == END_NONE || ends[0].excused || ends[1].excused)
        return true;
    return w->client_port[i] != 0 && /* has started */
           (ends[0].finished || !(orderly || w->plans[i].ending == END_REFUSED)) &&
           (ends[1].finished || !orderly);
}

/* Every orderly connection has done everything on both sides. */
static bool world_finished(void *arg)
{
    const struct tcp_world *w = arg;
    for (unsigned i = 0; i < w->count; i++)
        if (!is_connection_over(w, i))
            return false;
    return true;
}

static bool world_never(void *arg)
{
    return false;
}

static bool world_empty(void *arg)
{
    struct tcp_world *w = arg;
    return !host_leftovers(&w->hosts[0]) && !host_leftovers(&w->hosts[1]);
}

/* The server never knew of it, or knows no more. */
static bool is_waiting_in_vain(const struct tcp_world *w, unsigned i)
{
    return endpoint_is_excused(&w->endpoints[i][0]);
}

/* A reset by the memory governor may have been lost, with nothing left to ask for another; its user had closed before and
 * heard nothing: as many as the governor has counted may wait for ever. */
static bool world_excuses_all(struct tcp_world *w)
{
    uint64_t shed = w->hosts[0].stats.value[TG_C_tcp_shed_connections] +
                    w->hosts[1].stats.value[TG_C_tcp_shed_connections];
    for (unsigned i = 0; i < w->count; i++) {
        if (is_connection_over(w, i) || is_waiting_in_vain(w, i))
            continue;
        if (shed-- == 0)
            return false;
        w->endpoints[i][0].excused = true;
    }
    return true;
}

static void world_say_unfinished(struct tcp_world *w)
{
    for (unsigned i = 0; i < w->count; i++)
        for (unsigned side = 0; side < 2; side++) {
            const struct endpoint *ep = &w->endpoints[i][side];
            struct tcp_info info = {.state = 255};
            if (ep->finished || w->plans[i].ending != END_ORDERLY || is_waiting_in_vain(w, i))
                continue;
            if (ep->open)
                (void)!tcp_get_info(w->hosts[side].tcp, ep->handle, &info);
            sim_fail(w->sim,
                     "stalled: connection %u (port %u), %s: wrote %llu of %llu, read %llu of %llu, "
                     "shut %d, "
                     "at end %d, open %d, state %u, unsent %u, unacked %u, unread %u, cwnd %u",
                     i, w->client_port[i], w->hosts[side].node.name,
                     (unsigned long long)ep->written,
                     (unsigned long long)w->plans[i].side[side].bytes, (unsigned long long)ep->read,
                     (unsigned long long)w->plans[i].side[!side].bytes, ep->shut, ep->at_end,
                     ep->open, info.state, info.unsent, info.unacked, info.unread, info.cwnd);
        }
    sim_fail(w->sim, "stalled");
}

static void world_play(struct tcp_world *w)
{
    struct sim *sim = w->sim;
    tg_ns start = sim->now;
    if (!sim_run(sim, start + HEAL_AFTER, world_finished, w)) {
        sim_paths_heal(sim);
        if (!sim->failed && !sim->lied && !sim_run(sim, start + END_AFTER, world_finished, w) &&
            !world_excuses_all(w))
            world_say_unfinished(w);
    }
    /* A reset may have been lost; an application that hears nothing gives up some day. */
    sim_paths_heal(sim);
    sim_run(sim, sim->now + 2 * TG_S, world_never, w);
    for (unsigned i = 0; i < w->count && !sim->failed; i++) {
        endpoint_abandon(&w->endpoints[i][0]);
        endpoint_abandon(&w->endpoints[i][1]);
    }
    for (unsigned i = 0; i < 2; i++)
        sim_wake(&w->hosts[i].node, sim->now + 1);
    if (!sim->failed && !sim_run(sim, sim->now + END_AFTER, world_empty, w)) {
        const char *left = host_leftovers(&w->hosts[0]);
        sim_fail(sim, "%s", left ? left : host_leftovers(&w->hosts[1]));
    }
}

/* Orderly connections: what one side wrote, the other has read, to the last byte. */
static void world_compare(struct tcp_world *w)
{
    for (unsigned i = 0; i < w->count && !w->sim->lied; i++)
        for (unsigned side = 0; side < 2; side++) {
            const struct endpoint *ep = &w->endpoints[i][side];
            if (w->plans[i].ending == END_ORDERLY && !is_waiting_in_vain(w, i) &&
                (ep->read != w->plans[i].side[!side].bytes || !ep->at_end || ep->cut))
                sim_fail(w->sim, "connection %u: side %u has %llu bytes of %llu", i, side,
                         (unsigned long long)ep->read,
                         (unsigned long long)w->plans[i].side[!side].bytes);
        }
}

/* Now and then fewer frames than the connections would like to have: the memory governor at work all the time. Drawn
 * apart, so that all other runs are as they were. */
static unsigned draw_buffers(const struct tcp_world *w, unsigned side)
{
    struct prng rng;
    prng_seed(&rng, w->sim->seed * 2 + side + 0xb0f);
    return !w->drought.on && sim_chance(&rng, 6) ? (unsigned)sim_between(&rng, 256, 1024) : 8192;
}

static void world_open(struct tcp_world *w)
{
    static const char *const names[] = {"client", "server"};
    static const uint16_t mtus[] = {1500, 1500, 1280, 1400};
    static bool (*const turns[])(void *, tg_ns) = {client_turn, server_turn};
    unsigned faults = sim_chance(&w->rng, 15) ? 20 + (unsigned)prng_below(&w->rng, 500) : 0;
    unsigned hoard = sim_chance(&w->rng, 15) ? 100 + (unsigned)prng_below(&w->rng, 2000) : 0;
    bool may_lie = sim_chance(&w->rng, 25);
    if (drought_draw(&w->drought, w->sim))
        faults = hoard = 0;
    draw_plans(w);
    for (unsigned i = 0; i < 2 && !w->sim->failed; i++) {
        struct host_config config = {
            .name = names[i],
            .number = 1 + i,
            .buffers = draw_buffers(w, i),
            .mtu = mtus[prng_below(&w->rng, TG_ARRAY_LEN(mtus))],
            .offload = sim_chance(&w->rng, 50),
            .tcp = sim_draw_tcp_config(&w->rng, w->count),
            .refill_faults = faults,
            .hoard_every = hoard,
            .nic = NIC_MAY_STARVE | NIC_MAY_MERGE | (may_lie ? NIC_MAY_LIE : 0),
        };
        host_open(&w->hosts[i], w->sim, &config, turns[i], w);
    }
}

/* The first connection to be opened meets the end of its sequence space in mid-transfer. */
static void wrap_soon(struct tcp_world *w)
{
    const struct connection_plan *first = &w->plans[0];
    for (unsigned i = 1; i < w->count; i++)
        if (w->plans[i].start < first->start)
            first = &w->plans[i];
    struct ip_tuple client = {.local_port = HOST_FIRST_PORT, .remote_port = first->port};
    client.local = first->ip6 ? w->hosts[0].address6 : w->hosts[0].address4;
    client.remote = first->ip6 ? w->hosts[1].address6 : w->hosts[1].address4;
    struct ip_tuple server = {client.remote, client.local, client.remote_port, client.local_port};
    host_wrap_soon(&w->hosts[0], &client, first->start);
    host_wrap_soon(&w->hosts[1], &server, first->start);
}

static void world_start(struct tcp_world *w)
{
    if (sim_chance(&w->rng, 30))
        wrap_soon(w);
    if (tcp_listen(w->hosts[1].tcp, LISTEN_PORT, 7) != TG_OK)
        sim_fail(w->sim, "tcp_listen");
    for (unsigned i = 0; i < w->count; i++) {
        endpoint_init(&w->endpoints[i][0], &w->hosts[0], &w->plans[i], 0);
        endpoint_init(&w->endpoints[i][1], &w->hosts[1], &w->plans[i], 1);
        w->endpoints[i][0].peer = &w->endpoints[i][1];
        w->endpoints[i][1].peer = &w->endpoints[i][0];
        timer_init(&w->starts[i], world_connect, w);
        timer_arm(&w->hosts[0].wheel, &w->starts[i], w->plans[i].start);
        if (!fault_happens(&w->sim->faults, FAULT_CONNECTION, 0, i))
            w->plans[i].ending = END_NONE; /* a minimiser has left it out */
    }
}

static void scenario_run(struct sim *sim, bool forged)
{
    struct tcp_world *w = calloc(1, sizeof *w);
    tg_assert(w);
    w->sim = sim;
    prng_seed(&w->rng, sim->seed ^ 0x7c9);
    world_open(w);
    if (!sim->failed) {
        if (w->drought.on) {
            drought_start(&w->drought, w->hosts, w->endpoints, w->count);
        } else {
            sim_paths_draw(sim, &w->rng);
            sim_boxes_draw(sim, &w->rng, !w->bulk);
        }
        if (forged)
            for (unsigned i = 0; i < 2; i++)
                sim->paths[i][!i].forge = 10000;
        world_start(w);
        world_play(w);
        world_compare(w);
    }
    drought_end(&w->drought);
    for (unsigned i = 0; i < 2; i++)
        host_close(&w->hosts[i]);
    free(w);
}

void scenario_tcp(struct sim *sim)
{
    scenario_run(sim, false);
}

void scenario_tcp_forged(struct sim *sim)
{
    scenario_run(sim, true);
}
