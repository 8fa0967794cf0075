/* SPDX-License-Identifier: BSD-3-Clause
 * See drought.h.
 */
#include "tests/sim/drought.h"
#include "tcp/tcp_internal.h"

#define SLACK (30 * TG_MS) /* ticks of the wheel, an ACK that found no frame */

bool drought_draw(struct drought *d, struct sim *sim)
{
    *d = (struct drought){.sim = sim};
    prng_seed(&d->rng, sim->seed ^ 0xd20);
    d->on = sim_chance(&d->rng, 10);
    return d->on;
}

/* --- watches ----------------------------------------------------------------------------------------- */

static const struct tcp_pcb *pcb_of(const struct endpoint *ep)
{
    const struct tcp_pcb *pcb = ep->open ? tcp_pcb_find(ep->host->tcp, ep->handle) : NULL;
    return pcb && pcb->act && !tcp_has(pcb, TCP_F_DETACHED) ? pcb : NULL;
}

/* The timeout of a sender whose own frames were gone is that before any backoff: it knows that nothing is wrong with the
 * path. Where the receiver's were gone it cannot know. */
static tg_ns due_of(const struct drought *d, const struct endpoint *from, bool own, tg_ns now)
{
    const struct tcp_pcb *pcb = pcb_of(from);
    return now + (own ? pcb->rto : tcp_rto(from->host->tcp, pcb)) + d->delay + SLACK;
}

/* Bytes of the stream that an end has, early ones as well. */
static uint32_t arrived(const struct tcp_pcb *pcb)
{
    uint32_t bytes = pcb->rcv_nxt;
    for (const struct buf *b = pcb->act->ooo_first; b; b = b->link)
        bytes += b->len;
    return bytes;
}

static void watch_add(struct drought *d, const struct endpoint *from, const struct endpoint *to,
                      tg_ns now)
{
    const struct tcp_pcb *sender = pcb_of(from), *receiver = pcb_of(to);
    if (!sender || !receiver || d->watch_count == DROUGHT_WATCHES)
        return;
    bool established = sender->state >= TCP_S_ESTABLISHED && receiver->state >= TCP_S_ESTABLISHED;
    if (!established || !seq_lt(receiver->rcv_nxt, sender->snd_nxt) ||
        sender->snd_una == sender->snd_nxt)
        return;
    d->watches[d->watch_count++] =
        (struct drought_watch){.from = from,
                               .to = to,
                               .arrived = arrived(receiver),
                               .snd_una = sender->snd_una,
                               .due = due_of(d, from, from->side == d->victim, now)};
}

/* False: nothing is to be said of it yet. */
static bool watch_over(struct drought *d, struct drought_watch *w, tg_ns now)
{
    const struct tcp_pcb *sender = pcb_of(w->from), *receiver = pcb_of(w->to);
    if (!sender || !receiver)
        return true; /* one side has ended it meanwhile */
    if (arrived(receiver) != w->arrived && now <= w->due)
        return true;
    if (sender->snd_una != w->snd_una && now <= w->due) {
        /* an ACK that had waited for a frame: the timer starts anew (RFC 6298 s5.3) */
        w->snd_una = sender->snd_una;
        w->due = due_of(d, w->from, false, now);
        return sender->snd_una == sender->snd_nxt;
    }
    if (now <= w->due)
        return false;
    sim_fail(d->sim, "drought: connection %u, %s sends: nothing came by %llu ms after the start",
             w->from->plan->number, w->from->host->node.name,
             (unsigned long long)((w->due - d->sim->start) / TG_MS));
    return true;
}

static void watches_look(struct drought *d, tg_ns now)
{
    for (unsigned i = 0; i < d->watch_count;)
        if (watch_over(d, &d->watches[i], now))
            d->watches[i] = d->watches[--d->watch_count];
        else
            i++;
}

/* --- coming and going -------------------------------------------------------------------------------- */

static void next_arrange(struct drought *d, tg_ns now, tg_ns least)
{
    if (d->left == 0 || d->sim->healed)
        return;
    d->left--;
    timer_arm(&d->hosts[0].wheel, &d->timer, now + least + prng_below(&d->rng, 400 * TG_MS));
}

static void frames_return(struct drought *d, tg_ns now)
{
    struct buf_pool *pool = io_pool(d->hosts[d->victim].io);
    d->dry = false;
    for (struct buf *b; (b = buf_queue_pop(&d->held));)
        buf_unref(pool, b);
    for (unsigned i = 0; i < d->count; i++)
        for (unsigned side = 0; side < 2; side++)
            watch_add(d, &d->endpoints[i][side], &d->endpoints[i][!side], now);
    sim_wake(&d->hosts[d->victim].node, now + 1);
}

static void drought_switch(struct timer *timer, void *arg, tg_ns now)
{
    struct drought *d = arg;
    if (d->dry) {
        frames_return(d, now);
        next_arrange(d, now, 3 * TG_S); /* what is watched is over */
        return;
    }
    d->victim = (unsigned)prng_below(&d->rng, 2);
    tg_ns length = 20 * TG_MS + prng_below(&d->rng, 2 * TG_S);
    if (!fault_happens(&d->sim->faults, FAULT_HOARD, d->victim, 1000 + d->done++))
        return;
    d->dry = true;
    timer_arm(&d->hosts[0].wheel, timer, now + length);
    sim_wake(&d->hosts[d->victim].node, now + 1);
}

void drought_start(struct drought *d, struct host hosts[2], struct endpoint endpoints[][2],
                   unsigned count)
{
    d->hosts = hosts;
    d->endpoints = endpoints;
    d->count = count;
    d->delay = 1 + prng_below(&d->rng, 40 * TG_MS);
    for (unsigned i = 0; i < 2; i++) {
        struct nic *nic = &hosts[i].nic;
        nic->tx_full = nic->no_frame = nic->lie_bad = nic->lie_good = nic->wrong_queue = 0;
        d->sim->paths[i][!i].delay = d->delay;
    }
    timer_init(&d->timer, drought_switch, d);
    d->left = 1 + (unsigned)prng_below(&d->rng, 4);
    next_arrange(d, d->sim->now, 20 * TG_MS);
}

void drought_turn(struct drought *d, unsigned side, tg_ns now)
{
    if (!d->on)
        return;
    if (d->dry && d->sim->healed)
        drought_end(d);
    if (d->dry && side == d->victim)
        for (struct buf *b; (b = buf_alloc(io_pool(d->hosts[side].io)));)
            buf_queue_push(&d->held, b);
    watches_look(d, now);
}

void drought_end(struct drought *d)
{
    if (!d->on || !d->hosts)
        return;
    timer_cancel(&d->hosts[0].wheel, &d->timer);
    d->dry = false;
    d->watch_count = 0;
    for (struct buf *b; (b = buf_queue_pop(&d->held));)
        buf_unref(io_pool(d->hosts[d->victim].io), b);
}
