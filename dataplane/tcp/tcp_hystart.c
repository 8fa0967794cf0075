/* SPDX-License-Identifier: BSD-3-Clause
 * HyStart++ (RFC 9406): the first slow start ends when round trips grow longer, before the queue overflows. A round is
 * the time in which a window is acknowledged; a round whose shortest round trip is clearly longer than the one before
 * leads into conservative slow start, which grows by a quarter; five rounds of it end slow start, a shorter round
 * trip shows that it was no queue, and leads back. Later slow starts know their ssthresh (s4.3). Called by tcp_ack and
 * tcp_cong; no clock is needed but that of the samples.
 */
#include "tcp/tcp_congestion.h"

#define MIN_RTT_THRESH  (4 * TG_MS)
#define MAX_RTT_THRESH  (16 * TG_MS)
#define MIN_RTT_DIVISOR 8
#define N_RTT_SAMPLE    8
#define CSS_DIVISOR     4
#define CSS_ROUNDS      5

static bool hystart_on(const struct tcp_pcb *pcb)
{
    return pcb->act->hystart.phase != TCP_HYSTART_OFF;
}

static void round_begin(struct tcp_pcb *pcb)
{
    struct tcp_hystart *h = &pcb->act->hystart;
    h->last_min = h->current_min;
    h->current_min = 0;
    h->samples = 0;
    h->window_end = pcb->snd_nxt;
}

void tcp_hystart_begin(struct tcp_pcb *pcb)
{
    pcb->act->hystart = (struct tcp_hystart){.phase = TCP_HYSTART_SLOW_START};
    round_begin(pcb);
}

void tcp_hystart_end(struct tcp_pcb *pcb)
{
    pcb->act->hystart.phase = TCP_HYSTART_OFF;
}

/* s4.2: the delay has grown by an eighth, at least 4 ms, at most 16 ms. */
static bool delay_grew(const struct tcp_hystart *h)
{
    if (h->samples < N_RTT_SAMPLE || h->current_min == 0 || h->last_min == 0)
        return false;
    tg_ns threshold = h->last_min / MIN_RTT_DIVISOR;
    threshold = threshold < MIN_RTT_THRESH   ? MIN_RTT_THRESH
                : threshold > MAX_RTT_THRESH ? MAX_RTT_THRESH
                                             : threshold;
    return h->current_min >= h->last_min + threshold;
}

static void phase_choose(struct tcp_hystart *h)
{
    if (h->phase == TCP_HYSTART_SLOW_START) {
        if (!delay_grew(h))
            return;
        h->phase = TCP_HYSTART_CONSERVATIVE;
        h->baseline_min = h->current_min;
        h->css_rounds = 0;
    } else if (h->samples >= N_RTT_SAMPLE && h->current_min < h->baseline_min) {
        h->phase = TCP_HYSTART_SLOW_START; /* it was no queue */
        h->baseline_min = 0;
    }
}

void tcp_hystart_sample(struct tcp_pcb *pcb, tg_ns rtt)
{
    struct tcp_hystart *h = &pcb->act->hystart;
    if (!hystart_on(pcb))
        return;
    if (pcb->act->cwnd >= pcb->ssthresh) { /* slow start ended otherwise */
        tcp_hystart_end(pcb);
        return;
    }
    bool round_over = seq_lt(h->window_end, pcb->snd_una);
    if (round_over) {
        if (h->phase == TCP_HYSTART_CONSERVATIVE && ++h->css_rounds >= CSS_ROUNDS) {
            pcb->ssthresh = pcb->act->cwnd;
            tcp_hystart_end(pcb);
            return;
        }
        round_begin(pcb);
    }
    h->current_min = h->current_min == 0 || rtt < h->current_min ? rtt : h->current_min;
    if (h->samples < UINT16_MAX)
        h->samples++;
    phase_choose(h);
}

uint32_t tcp_hystart_growth(const struct tcp_pcb *pcb, uint32_t bytes)
{
    return pcb->act->hystart.phase == TCP_HYSTART_CONSERVATIVE ? bytes / CSS_DIVISOR : bytes;
}
