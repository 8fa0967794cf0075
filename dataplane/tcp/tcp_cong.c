/* SPDX-License-Identifier: BSD-3-Clause
 * Congestion control: NewReno (RFC 5681) and CUBIC (RFC 9438) as tables of functions over one
 * connection. Called by tcp_loss and tcp_out. Integers only, so that every build computes the same.
 */
#include "tcp/tcp_internal.h"

#define CWND_MAX (1u << 30)

/* RFC 6928 s2. */
uint32_t tcp_initial_window(const struct tcp_pcb *pcb)
{
    return u32_min(TCP_INITIAL_SEGMENTS * pcb->mss, u32_max(2u * pcb->mss, 14600));
}

static void cwnd_grow(struct tcp_pcb *pcb, uint64_t bytes)
{
    uint64_t cwnd = pcb->act->cwnd + bytes;
    pcb->act->cwnd = cwnd < CWND_MAX ? (uint32_t)cwnd : CWND_MAX;
}

/* Slow start by acknowledged bytes, so that splitting ACKs gains nothing (RFC 3465); without that RFC's
 * limit per ACK, as Linux: receivers that merge ACKs (ours does, one a burst) would stop it from
 * doubling. Bytes beyond ssthresh are left to congestion avoidance: returned. */
static uint32_t slow_start(struct tcp_pcb *pcb, uint32_t bytes)
{
    if (pcb->act->cwnd >= pcb->ssthresh)
        return bytes;
    uint32_t step = u32_min(bytes, pcb->ssthresh - pcb->act->cwnd);
    cwnd_grow(pcb, step);
    return bytes - step;
}

/* FlightSize of RFC 5681 equation 4, not more than what cwnd allowed (limited transmit). */
static uint32_t flight(const struct tcp_pcb *pcb)
{
    return u32_min(pcb->act->cwnd, pcb->snd_nxt - pcb->snd_una);
}

/* --- NewReno -------------------------------------------------------------------------------------- */

static void newreno_start(struct tcp_pcb *pcb)
{
    pcb->act->acked_bytes = 0;
}

/* RFC 5681 s3.1: one segment per cwnd of acknowledged bytes. */
static void newreno_acked(struct tcp_pcb *pcb, uint32_t bytes, tg_ns now)
{
    bytes = slow_start(pcb, bytes);
    pcb->act->acked_bytes += u32_min(bytes, CWND_MAX);
    if (pcb->act->acked_bytes >= pcb->act->cwnd) {
        pcb->act->acked_bytes -= pcb->act->cwnd;
        cwnd_grow(pcb, pcb->mss);
    }
}

static void newreno_congested(struct tcp_pcb *pcb, tg_ns now)
{
    pcb->ssthresh = u32_max(flight(pcb) / 2, 2u * pcb->mss);
    pcb->act->acked_bytes = 0;
}

static void newreno_undo(struct tcp_pcb *pcb)
{
    pcb->act->acked_bytes = 0; /* nothing else is private */
}

static void newreno_idle(struct tcp_pcb *pcb)
{
    pcb->act->acked_bytes = 0;
}

const struct tcp_congestion tcp_newreno = {
    .name = "newreno",
    .start = newreno_start,
    .acked = newreno_acked,
    .congested = newreno_congested,
    .undo = newreno_undo,
    .idle = newreno_idle,
};

/* --- CUBIC ---------------------------------------------------------------------------------------- */

enum cubic_word {                /* of pcb->act->cc[] */
                  CUBIC_EPOCH,   /* start of this congestion avoidance, ns; 0: not begun */
                  CUBIC_K,       /* ms from epoch to origin */
                  CUBIC_ORIGIN,  /* plateau, bytes */
                  CUBIC_W_MAX,   /* window before the last reduction, bytes */
                  CUBIC_W_EST,   /* what Reno would have, bytes */
                  CUBIC_W_SAVED, /* W_MAX before the last reduction: undo */
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
}

/* K = cbrt((W_max - cwnd) / C), C = 0.4 segments/s^3 (RFC 9438 s4.2), here in ms and bytes. */
static void cubic_epoch_begin(struct tcp_pcb *pcb, tg_ns now)
{
    pcb->act->cc[CUBIC_EPOCH] = now;
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

/* The Reno-friendly region (RFC 9438 s4.3): alpha 3 (1 - 0.7) / (1 + 0.7) = 9/17 up to W_max, then 1. */
static void cubic_estimate(struct tcp_pcb *pcb, uint32_t bytes)
{
    uint64_t step = (uint64_t)bytes * pcb->mss / pcb->act->cwnd;
    if (pcb->act->cc[CUBIC_W_EST] < pcb->act->cc[CUBIC_W_MAX])
        step = step * 9 / 17;
    pcb->act->cc[CUBIC_W_EST] += step;
}

static void cubic_acked(struct tcp_pcb *pcb, uint32_t bytes, tg_ns now)
{
    bytes = slow_start(pcb, bytes);
    if (bytes == 0)
        return;
    if (pcb->act->cc[CUBIC_EPOCH] == 0)
        cubic_epoch_begin(pcb, now);
    cubic_estimate(pcb, bytes);
    uint64_t target = cubic_target(pcb, now);
    if (pcb->act->cc[CUBIC_W_EST] > target)
        target = pcb->act->cc[CUBIC_W_EST];
    uint64_t step = (target - pcb->act->cwnd) * u32_min(bytes, pcb->act->cwnd) / pcb->act->cwnd;
    if (target - pcb->act->cwnd < step)
        step = target - pcb->act->cwnd;
    cwnd_grow(pcb, step);
}

/* RFC 9438 s4.6 beta 0.7, s4.7 fast convergence. */
static void cubic_congested(struct tcp_pcb *pcb, tg_ns now)
{
    uint64_t window = flight(pcb);
    pcb->act->cc[CUBIC_EPOCH] = 0;
    pcb->act->cc[CUBIC_W_SAVED] = pcb->act->cc[CUBIC_W_MAX];
    pcb->act->cc[CUBIC_W_MAX] = window < pcb->act->cc[CUBIC_W_MAX] ? window * 17 / 20 : window;
    pcb->ssthresh = u32_max((uint32_t)(window * 7 / 10), 2u * pcb->mss);
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
    .undo = cubic_undo,
    .idle = cubic_idle,
};

const struct tcp_congestion *tcp_congestion_of(enum tcp_congestion_id id)
{
    static const struct tcp_congestion *const all[TCP_CC_COUNT] = {
        [TCP_CC_CUBIC] = &tcp_cubic,
        [TCP_CC_NEWRENO] = &tcp_newreno,
    };
    tg_assert((unsigned)id < TCP_CC_COUNT);
    return all[id];
}
