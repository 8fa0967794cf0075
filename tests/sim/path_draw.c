/* SPDX-License-Identifier: BSD-3-Clause
 * What ails the paths of a run: drawn at its start, healed at its end. Called by the scenarios.
 */
#include "tests/sim/sim.h"

/* 0 often, else anything up to max with small values likelier (millionths). */
static uint32_t draw_rate(struct prng *rng, uint32_t max)
{
    if (sim_chance(rng, 40))
        return 0;
    return (uint32_t)prng_below(rng, prng_below(rng, max) + 1);
}

static tg_ns draw_delay(struct prng *rng)
{
    static const tg_ns scales[] = {20 * TG_US, TG_MS, 20 * TG_MS, 150 * TG_MS};
    return 1000 + prng_below(rng, scales[prng_below(rng, TG_ARRAY_LEN(scales))]);
}

/* A narrow link, which says so by ICMP, or a black hole, which does not (RFC 2923 s2.1). */
static void draw_mtu(struct sim *sim, struct sim_path *path, struct prng *rng, unsigned place)
{
    uint16_t mtu = (uint16_t)sim_between(rng, 1280, 1480); /* not below what IPv6 guarantees */
    tg_ns from = sim->now + (sim_chance(rng, 50) ? 0 : prng_below(rng, 3 * TG_S));
    bool silent = sim_chance(rng, 30);
    if (!fault_happens(&sim->faults, FAULT_MTU, place, 0))
        return;
    path->mtu = mtu;
    path->mtu_from = from;
    path->mtu_silent = silent && fault_happens(&sim->faults, FAULT_MTU_SILENT, place, 0);
}

/* An outage, while there is something to lose; of one direction or, as the other is told, of both. */
static void draw_outage(struct sim *sim, struct sim_path *path, struct sim_path *back,
                        struct prng *rng, unsigned place)
{
    tg_ns from = sim->now + prng_below(rng, 3 * TG_S), until = from + prng_below(rng, 8 * TG_S);
    bool both = sim_chance(rng, 40);
    if (!fault_happens(&sim->faults, FAULT_OUTAGE, place, 0))
        return;
    path->down_from = from;
    path->down_until = until;
    if (both) {
        back->down_from = from;
        back->down_until = until;
    }
}

static void path_draw(struct sim *sim, unsigned from, unsigned to, struct prng *rng)
{
    struct sim_path *path = &sim->paths[from][to];
    unsigned place = sim_place(from, to);
    path->loss = draw_rate(rng, sim_chance(rng, 20) ? 350000 : 150000);
    path->duplicate = draw_rate(rng, 100000);
    path->reorder = draw_rate(rng, 200000);
    path->reorder_delay = 1000 + prng_below(rng, 4 * path->delay + TG_MS);
    tg_ns jitter = sim_chance(rng, 50) ? 0 : prng_below(rng, path->delay + 1);
    if (jitter && fault_happens(&sim->faults, FAULT_JITTER, place, 0))
        path->jitter = jitter;
    path->corrupt = draw_rate(rng, 50000);
    path->truncate = draw_rate(rng, 20000);
    path->garbage = draw_rate(rng, 20000);
    path->resegment = draw_rate(rng, 200000);
    path->ce = draw_rate(rng, 100000);
    if (sim_chance(rng, 25)) {
        path->clog = 1 + (uint32_t)prng_below(rng, 3000);
        path->clog_max = TG_MS + prng_below(rng, sim_chance(rng, 20) ? 5 * TG_S : 400 * TG_MS);
    }
    if (sim_chance(rng, 15)) {
        path->partition = 1 + (uint32_t)prng_below(rng, 1500);
        path->partition_max = TG_MS + prng_below(rng, 3 * TG_S);
    }
    if (sim_chance(rng, 15))
        draw_mtu(sim, path, rng, place);
    if (sim_chance(rng, 15))
        draw_outage(sim, path, &sim->paths[to][from], rng, place);
}

void sim_paths_draw(struct sim *sim, struct prng *rng)
{
    bool clean = sim_chance(rng, 25);
    sim->poll_jitter = sim_chance(rng, 50) ? 0 : prng_below(rng, 100 * TG_US);
    tg_ns delay = draw_delay(rng);
    for (unsigned from = 0; from < sim->port_count; from++)
        for (unsigned to = 0; to < sim->port_count; to++) {
            struct sim_path *path = &sim->paths[from][to];
            path->delay = sim_chance(rng, 80) ? delay : draw_delay(rng);
            if (sim_chance(rng, 30)) { /* a bottleneck: 100 kB/s to 100 MB/s */
                path->bytes_per_second = 100000ull << prng_below(rng, 11);
                path->queue_max = TG_MS + prng_below(rng, 300 * TG_MS);
            }
            if (!clean)
                path_draw(sim, from, to, rng);
        }
}

static void path_heal(struct sim_path *path)
{
    struct sim_path healed = {.delay = 100 * TG_US};
    memcpy(healed.frames, path->frames, sizeof healed.frames);
    *path = healed;
}

void sim_paths_heal(struct sim *sim)
{
    sim->healed = true;
    for (unsigned from = 0; from < sim->port_count; from++)
        for (unsigned to = 0; to < sim->port_count; to++)
            path_heal(&sim->paths[from][to]);
}
