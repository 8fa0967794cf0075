/* SPDX-License-Identifier: BSD-3-Clause
 * How the worlds with HTTP come to their end: everything is done, and then nothing is left. Called by their scenarios.
 */
#include "tests/sim/http_world.h"

#define END_AFTER (3600 * TG_S)

bool http_all_finished(const struct http_world *w)
{
    for (unsigned i = 0; i < w->client_count; i++)
        if (!w->clients[i].finished)
            return false;
    return true;
}

static const char *leftovers(struct http_world *w)
{
    const char *left = host_leftovers(&w->client_host);
    left = left ? left : edge_leftovers(&w->edge);
    left = left ? left : edge_leftovers(&w->sister);
    return left ? left : host_leftovers(&w->origin_host);
}

static bool nothing_left(void *world)
{
    return !leftovers(world);
}

static bool never(void *arg)
{
    return false;
}

static void say_stalled(struct http_world *w)
{
    for (unsigned i = 0; i < w->client_count; i++) {
        const struct http_client *c = &w->clients[i];
        struct tcp_info info = {.state = 255};
        if (c->finished)
            continue;
        if (c->open)
            (void)!tcp_get_info(w->client_host.tcp, c->pipe.handle, &info);
        const struct http_plan *plan = &w->plans[c->plan];
        sim_fail(
            w->sim,
            "stalled: client %u (port %u), request %u of %u (%s): open %d, asking %d, sent %llu of "
            "%llu, read %llu of %llu, reader state %d, origin asked %u times, misdeed %d; tcp "
            "state %u, unsent %u, unacked %u",
            i, info.tuple.local_port, c->plan, c->plan_end, plan->method, c->open, c->asking,
            (unsigned long long)c->writer.sent, (unsigned long long)plan->up_bytes,
            (unsigned long long)c->reader.body, (unsigned long long)plan->down_bytes,
            (int)c->reader.state, plan->asked, (int)plan->misdeed, info.state, info.unsent,
            info.unacked);
    }
}

void http_run(struct http_world *w, tg_ns heal_after, bool (*finished)(void *arg), void *arg)
{
    struct sim *sim = w->sim;
    tg_ns start = sim->now;
    if (!sim_run(sim, start + heal_after, finished, arg)) {
        sim_paths_heal(sim);
        if (!sim->failed && !sim_run(sim, start + END_AFTER, finished, arg))
            say_stalled(w);
    }
    sim_paths_heal(sim);
}

void http_drain(struct http_world *w)
{
    struct sim *sim = w->sim;
    /* Idle connections to the origin grow old; a lost reset leaves the origin with one for ever. */
    sim_run(sim, sim->now + 150 * TG_S, never, w);
    http_origin_end(w);
    sim_wake(&w->origin_host.node, sim->now + 1);
    if (!sim->failed && !sim_run(sim, sim->now + END_AFTER, nothing_left, w))
        sim_fail(sim, "%s", leftovers(w));
}
