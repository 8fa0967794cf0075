/* SPDX-License-Identifier: BSD-3-Clause
 * Virtual time: the heap of frames in flight and the order of turns. Must not know what the nodes are.
 */
#include "tests/sim/sim.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void sim_init(struct sim *sim, uint64_t seed, bool verbose)
{
    *sim = (struct sim){.seed = seed, .verbose = verbose};
    prng_seed(&sim->rng, seed);
    /* Any start: clocks of real nodes are old, too. Up to about 13 days. */
    sim->now = sim->start = TG_S + prng_below(&sim->rng, 1ull << 50);
}

void sim_free(struct sim *sim)
{
    for (unsigned i = 0; i < sim->heap_count; i++)
        free(sim->heap[i].bytes);
    free(sim->heap);
    sim->heap = NULL;
    sim->heap_count = 0;
}

void sim_fail(struct sim *sim, const char *format, ...)
{
    if (sim->failed)
        return;
    sim->failed = true;
    va_list args;
    va_start(args, format);
    vsnprintf(sim->failure, sizeof sim->failure, format, args);
    va_end(args);
}

/* --- frames in flight ---------------------------------------------------------------------------------- */

static bool event_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->time != b->time ? a->time < b->time : a->order < b->order;
}

static void heap_grow(struct sim *sim)
{
    unsigned cap = sim->heap_cap ? sim->heap_cap * 2 : 256;
    struct sim_event *heap = realloc(sim->heap, cap * sizeof *heap);
    tg_assert(heap);
    sim->heap = heap;
    sim->heap_cap = cap;
}

void sim_schedule(struct sim *sim, tg_ns time, unsigned port, struct span frame)
{
    tg_assert(time > sim->now);
    if (sim->heap_count == sim->heap_cap)
        heap_grow(sim);
    struct sim_event e = {time, sim->order++, port, (uint32_t)frame.len, malloc(frame.len + 1)};
    tg_assert(e.bytes);
    if (frame.len)
        memcpy(e.bytes, frame.data, frame.len);
    unsigned at = sim->heap_count++;
    while (at > 0 && event_before(&e, &sim->heap[(at - 1) / 2])) {
        sim->heap[at] = sim->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    sim->heap[at] = e;
}

static struct sim_event heap_pop(struct sim *sim)
{
    struct sim_event first = sim->heap[0];
    struct sim_event last = sim->heap[--sim->heap_count];
    unsigned at = 0;
    for (;;) {
        unsigned child = 2 * at + 1;
        if (child >= sim->heap_count)
            break;
        if (child + 1 < sim->heap_count && event_before(&sim->heap[child + 1], &sim->heap[child]))
            child++;
        if (!event_before(&sim->heap[child], &last))
            break;
        sim->heap[at] = sim->heap[child];
        at = child;
    }
    sim->heap[at] = last; /* with count 0 this rewrites the place that was just emptied */
    return first;
}

/* --- nodes and ports ----------------------------------------------------------------------------------- */

void sim_add_node(struct sim *sim, struct sim_node *node)
{
    tg_assert(sim->node_count < SIM_NODES_MAX);
    node->sim = sim;
    node->wake = sim->now + 1;
    sim->nodes[sim->node_count++] = node;
}

unsigned sim_add_port(struct sim *sim, const uint8_t mac[6], struct sim_node *node)
{
    tg_assert(sim->port_count < SIM_PORTS_MAX);
    memcpy(sim->ports[sim->port_count].mac, mac, 6);
    sim->ports[sim->port_count].node = node;
    return sim->port_count++;
}

void sim_transmit(struct sim *sim, unsigned port, struct span frame)
{
    if (frame.len < 14) {
        sim_fail(sim, "a frame of %zu bytes was sent", frame.len);
        return;
    }
    sim->counts.sent++;
    capture_frame(sim->capture, sim->now, CAPTURE_OUT, port, frame);
    bool group = frame.data[0] & 1;
    for (unsigned to = 0; to < sim->port_count; to++)
        if (to != port && (group || memcmp(frame.data, sim->ports[to].mac, 6) == 0))
            sim_path_send(sim, port, to, frame);
}

void sim_wake(struct sim_node *node, tg_ns when)
{
    if (when < node->wake)
        node->wake = when;
}

static void deliver(struct sim *sim)
{
    struct sim_event e = heap_pop(sim);
    const uint64_t key[2] = {sim->digest, e.time};
    sim->digest = hash_sip13(key, span_make(e.bytes, e.len)) + e.port;
    sim->counts.delivered++;
    capture_frame(sim->capture, sim->now, CAPTURE_IN, e.port, span_make(e.bytes, e.len));
    if (sim->trace)
        sim_trace(sim, e.port, span_make(e.bytes, e.len), false);
    struct sim_node *node = sim->ports[e.port].node;
    node->receive(node, span_make(e.bytes, e.len));
    free(e.bytes);
    sim_wake(node, sim->now + 1 + prng_below(&sim->rng, sim->poll_jitter + 1));
}

/* A busy node comes back after the time that the turn took; an idle one when it says so. */
static void take_turn(struct sim *sim, struct sim_node *node)
{
    sim->turns++;
    node->wake = SIM_NEVER;
    if (node->turn(node, sim->now)) {
        sim_wake(node, sim->now + 1 + prng_below(&sim->rng, 20 * TG_US));
        for (struct sim_node *s = node->sibling; s && s != node; s = s->sibling)
            sim_wake(s, sim->now + 1 + prng_below(&sim->rng, 20 * TG_US));
    } else {
        tg_ns next = node->next(node);
        sim_wake(node, next > sim->now ? next : sim->now + 1);
    }
}

bool sim_run(struct sim *sim, tg_ns until, bool (*done)(void *arg), void *arg)
{
    while (!sim->failed) {
        if (done(arg))
            return true;
        tg_ns next = sim->heap_count ? sim->heap[0].time : SIM_NEVER;
        for (unsigned i = 0; i < sim->node_count; i++)
            if (sim->nodes[i]->wake < next)
                next = sim->nodes[i]->wake;
        if (next > until) {
            if (until > sim->now && until != SIM_NEVER)
                sim->now = until;
            return done(arg);
        }
        sim->now = next;
        while (sim->heap_count && sim->heap[0].time == next)
            deliver(sim);
        for (unsigned i = 0; i < sim->node_count && !sim->failed; i++)
            if (sim->nodes[i]->wake <= next)
                take_turn(sim, sim->nodes[i]);
    }
    return false;
}
