/* SPDX-License-Identifier: BSD-3-Clause
 * CUBIC (RFC 9438), the default congestion control, as a table of functions.
 */
#include "tcp/tcp_congestion.h"

enum cubic_word {                /* of pcb->act->cc[] */
                  CUBIC_EPOCH,   /* start of this congestion avoidance, ns; 0: not begun */
                  CUBIC_K,       /* ms from epoch to origin */
                  CUBIC_ORIGIN,  /* plateau, bytes */
                  CUBIC_W_MAX,   /* window before the last reduction, bytes */
                  CUBIC_W_EST,   /* what Reno would have, bytes */
                  CUBIC_W_SAVED, /* W_MAX before the last reduction: undo */
                  CUBIC_PRIOR,   /* cwnd before the last reduction */
                  CUBIC_LAST,    /* when it last grew, ns */
};
#define CUBIC_T_MAX 100000 /* ms: keeps the cube in 64 bits; 100 s after a loss */

static uint64_t cube_root(uint64_t v)
{
    uint64_t low = 0, high = 2642245; /* floor of the cube root of 2^64 - 1 */
    while (low < high) {
        uint64_t middle = (low + high + 1) / 2;
        if (middle * middle * middle <= v)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

static void cubic_start(struct tcp_pcb *pcb)
{
    memset(pcb->act->cc, 0, sizeof pcb->act->cc);
    if (pcb->ssthresh >= UINT32_MAX / 2)
        tcp_hystart_begin(pcb); /* the first slow start only */
}

/* K = cbrt((W_max - cwnd) / C), C = 0.4 segments/s^3 (RFC 9438 s4.2), here in ms and bytes. */
static void cubic_epoch_begin(struct tcp_pcb *pcb, tg_ns now)
{
    pcb->act->cc[CUBIC_EPOCH] = pcb->act->cc[CUBIC_LAST] = now;
    pcb->act->cc[CUBIC_W_EST] = pcb->act->cwnd;
    if (pcb->act->cwnd >= pcb->act->cc[CUBIC_W_MAX]) {
        pcb->act->cc[CUBIC_K] = 0;
        pcb->act->cc[CUBIC_ORIGIN] = pcb->act->cwnd;
        return;
    }
    uint64_t gap = pcb->act->cc[CUBIC_W_MAX] - pcb->act->cwnd;
    pcb->act->cc[CUBIC_K] = cube_root(gap * 2500000000u / pcb->mss);
    pcb->act->cc[CUBIC_ORIGIN] = pcb->act->cc[CUBIC_W_MAX];
}

/* W_cubic one round trip ahead, bytes, within [cwnd, 1.5 cwnd] (RFC 9438 s4.2). */
static uint64_t cubic_target(const struct tcp_pcb *pcb, tg_ns now)
{
    int64_t t = (int64_t)((now - pcb->act->cc[CUBIC_EPOCH] + pcb->srtt) / TG_MS);
    int64_t d = t - (int64_t)pcb->act->cc[CUBIC_K];
    d = d > CUBIC_T_MAX ? CUBIC_T_MAX : d < -CUBIC_T_MAX ? -CUBIC_T_MAX : d;
    /* 0.4 mss d^3 / 10^9 */
    int64_t delta = d * d * d / 10000 * 4 * pcb->mss / 1000000;
    int64_t target = (int64_t)pcb->act->cc[CUBIC_ORIGIN] + delta;
    int64_t low = pcb->act->cwnd, high = (int64_t)pcb->act->cwnd + pcb->act->cwnd / 2;
    return (uint64_t)(target < low ? low : target > high ? high : target);
}

/* The Reno-friendly region (RFC 9438 s4.3): alpha 3 (1 - 0.7) / (1 + 0.7) = 9/17 up to cwnd_prior, then 1. */
static void cubic_estimate(struct tcp_pcb *pcb, uint32_t bytes)
{
    uint64_t step = (uint64_t)bytes * pcb->mss / pcb->act->cwnd;
    if (pcb->act->cc[CUBIC_W_EST] < pcb->act->cc[CUBIC_PRIOR])
        step = step * 9 / 17;
    pcb->act->cc[CUBIC_W_EST] += step;
}

/* Time in which cwnd did not hold the flow back does not count (RFC 9438 s5.8). Nothing grew in it: between two steps
 * of growth lies no more than a round trip otherwise. */
static void cubic_time_skip(struct tcp_pcb *pcb, tg_ns now)
{
    tg_ns gap = now - pcb->act->cc[CUBIC_LAST];
    if (gap > pcb->rto)
        pcb->act->cc[CUBIC_EPOCH] += gap;
    pcb->act->cc[CUBIC_LAST] = now;
}

static void cubic_acked(struct tcp_pcb *pcb, uint32_t bytes, tg_ns now)
{
    bytes = tcp_slow_start(pcb, bytes);
    if (bytes == 0)
        return;
    if (pcb->act->cc[CUBIC_EPOCH] == 0)
        cubic_epoch_begin(pcb, now);
    cubic_time_skip(pcb, now);
    cubic_estimate(pcb, bytes);
    uint64_t target = cubic_target(pcb, now);
    if (pcb->act->cc[CUBIC_W_EST] > target)
        target = pcb->act->cc[CUBIC_W_EST];
    uint64_t step = (target - pcb->act->cwnd) * u32_min(bytes, pcb->act->cwnd) / pcb->act->cwnd;
    if (target - pcb->act->cwnd < step)
        step = target - pcb->act->cwnd;
    tcp_cwnd_grow(pcb, step);
}

/* RFC 9438 s4.6 beta 0.7, s4.7 fast convergence. */
static void cubic_congested(struct tcp_pcb *pcb, tg_ns now)
{
    uint64_t window = tcp_flight(pcb);
    tcp_hystart_end(pcb);
    pcb->act->cc[CUBIC_EPOCH] = 0;
    pcb->act->cc[CUBIC_W_SAVED] = pcb->act->cc[CUBIC_W_MAX];
    pcb->act->cc[CUBIC_W_MAX] = window < pcb->act->cc[CUBIC_W_MAX] ? window * 17 / 20 : window;
    pcb->act->cc[CUBIC_PRIOR] = pcb->act->cwnd;
    pcb->ssthresh = u32_max((uint32_t)(window * 7 / 10), 2u * pcb->mss);
}

/* RFC 9438 s4.8: the next congestion avoidance begins with K = 0 and the window that there is then as its plateau. */
static void cubic_timed_out(struct tcp_pcb *pcb)
{
    pcb->act->cc[CUBIC_EPOCH] = 0;
    pcb->act->cc[CUBIC_W_MAX] = 0;
}

/* A new epoch starts from the restored window with the old plateau (RFC 9438 s4.9.2 keeps the old epoch: its time
 * went on while the window was small, and so would jump). */
static void cubic_undo(struct tcp_pcb *pcb)
{
    pcb->act->cc[CUBIC_EPOCH] = 0;
    pcb->act->cc[CUBIC_W_MAX] = pcb->act->cc[CUBIC_W_SAVED];
}

/* Time that passed without data does not count (RFC 9438 s5.8). */
static void cubic_idle(struct tcp_pcb *pcb)
{
    pcb->act->cc[CUBIC_EPOCH] = 0;
}

const struct tcp_congestion tcp_cubic = {
    .name = "cubic",
    .start = cubic_start,
    .acked = cubic_acked,
    .congested = cubic_congested,
    .timed_out = cubic_timed_out,
    .undo = cubic_undo,
    .idle = cubic_idle,
};
