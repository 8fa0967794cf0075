/* SPDX-License-Identifier: BSD-3-Clause
 * One timer in the wheel for each connection, re-armed lazily: moving a deadline later only writes the
 * connection; the wheel's timer fires early, sees nothing due and is armed for the earliest deadline.
 * Called by the wheel (timers_run) and by whoever sets deadlines.
 */
#include "tcp/tcp_governor.h"
#include "tcp/tcp_pmtu.h"

tg_ns tcp_rto(const struct tcp *tcp, const struct tcp_pcb *pcb)
{
    unsigned shift = pcb->act->backoff < 16 ? pcb->act->backoff : 16;
    tg_ns rto = pcb->rto << shift;
    return rto < tcp->config.rto_max ? rto : tcp->config.rto_max;
}

void tcp_deadline_set(struct tcp *tcp, struct tcp_pcb *pcb, enum tcp_deadline kind, tg_ns at)
{
    tg_assert(at != 0 && !tcp_has(pcb, TCP_F_DETACHED));
    pcb->act->deadline[kind] = at;
    if (!timer_armed(&pcb->act->timer) || at < pcb->act->timer.deadline)
        timer_arm(tcp->wheel, &pcb->act->timer, at);
}

/* SYN or SYN-ACK without an answer (RFC 9293 s3.10.8; RFC 1122 s4.2.3.5 for giving up). */
static void syn_timeout(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    if (pcb->act->retries >= tcp->config.syn_retries) {
        stats_count(tcp->stats, TG_C_tcp_timed_out);
        if (pcb->state == TCP_S_SYN_SENT)
            stats_count(tcp->stats, TG_C_tcp_connect_failed);
        tcp_pcb_finish(tcp, pcb, tcp_silence_error(pcb));
        return;
    }
    pcb->act->retries++;
    pcb->act->backoff++;
    pcb->flags |= TCP_F_SYN_WISH | TCP_F_SYN_LOST;
    tcp_deadline_set(tcp, pcb, TCP_D_RETRANSMIT, now + tcp_rto(tcp, pcb));
    tcp_mark_dirty(tcp, pcb);
}

/* Limits are counts of doublings from 200 ms on: a profile or a path with a shorter timeout must not make
 * patience shorter (as Linux, which turns its counts into times). */
static bool retries_spent(const struct tcp *tcp, const struct tcp_pcb *pcb)
{
    unsigned limit = tcp->config.retries;
    if (tcp_has(pcb, TCP_F_ORPHAN) && limit > TCP_ORPHAN_RETRIES)
        limit = TCP_ORPHAN_RETRIES; /* nobody waits for it: a peer must not hold it for long */
    for (tg_ns rto = pcb->rto; rto < TCP_RTO_COUNTED; rto *= 2)
        limit++;
    return pcb->act->retries >= limit;
}

static void retransmit_timeout(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    if (pcb->state == TCP_S_SYN_SENT || pcb->state == TCP_S_SYN_RECEIVED) {
        syn_timeout(tcp, pcb, now);
        return;
    }
    if (pcb->snd_una == pcb->snd_nxt)
        return;
    if (retries_spent(tcp, pcb)) {
        stats_count(tcp->stats, TG_C_tcp_timed_out);
        tcp_pcb_finish(tcp, pcb, tcp_silence_error(pcb));
        return;
    }
    pcb->act->retries++;
    tcp_governor_dry(tcp); /* or it may be our own want of frames */
    tcp_pmtu_timeout(tcp, pcb, now);
    tcp_loss_on_timeout(tcp, pcb, now);
}

/* The window is shut, or too small for what waits (RFC 9293 s3.8.6.1, s3.8.6.2.1). A peer that answers
 * probes may keep its window shut for ever, as long as there is a user to be patient. */
static void persist_timeout(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    if (pcb->snd_una != pcb->snd_nxt || pcb->snd_end == pcb->snd_nxt)
        return;
    if (retries_spent(tcp, pcb)) {
        stats_count(tcp->stats, TG_C_tcp_timed_out);
        tcp_pcb_finish(tcp, pcb, tcp_silence_error(pcb));
        return;
    }
    pcb->act->retries++;
    pcb->act->backoff++;
    pcb->flags |= pcb->snd_wnd ? TCP_F_OVERRIDE : TCP_F_PROBE;
    tcp_deadline_set(tcp, pcb, TCP_D_PERSIST, now + tcp_rto(tcp, pcb));
    tcp_mark_dirty(tcp, pcb);
}

static void life_ended(struct tcp *tcp, struct tcp_pcb *pcb)
{
    stats_count(tcp->stats, TG_C_tcp_timed_out);
    if (pcb->state == TCP_S_SYN_SENT)
        stats_count(tcp->stats, TG_C_tcp_connect_failed);
    tcp_pcb_finish(tcp, pcb, tcp_silence_error(pcb));
}

static void deadline_passed(struct tcp *tcp, struct tcp_pcb *pcb, enum tcp_deadline kind, tg_ns now)
{
    switch (kind) {
    case TCP_D_RACK:
        tcp_loss_on_reorder_timer(tcp, pcb, now);
        return;
    case TCP_D_TLP:
        tcp_tlp_timeout(tcp, pcb, now);
        return;
    case TCP_D_RETRANSMIT:
        retransmit_timeout(tcp, pcb, now);
        return;
    case TCP_D_PERSIST:
        persist_timeout(tcp, pcb, now);
        return;
    case TCP_D_DELACK:
        if (tcp_has(pcb, TCP_F_ACK_DELAYED))
            pcb->flags |= TCP_F_ACK_NOW;
        pcb->flags &= ~(uint32_t)TCP_F_PINGPONG; /* no answer carried it */
        tcp_mark_dirty(tcp, pcb);
        return;
    case TCP_D_LIFE:
        life_ended(tcp, pcb);
        return;
    case TCP_D_PACE:
    case TCP_D_REPAIR:
        tcp_mark_dirty(tcp, pcb);
        return;
    case TCP_D_KEEPALIVE:
        tcp_keepalive_timeout(tcp, pcb, now);
        return;
    case TCP_D_USER:
        tcp_user_timeout_fired(tcp, pcb, now);
        return;
    case TCP_D_CORK:
        pcb->flags |= TCP_F_CORK_SPENT;
        tcp_mark_dirty(tcp, pcb);
        return;
    case TCP_D_KINDS:
        break;
    }
    tg_assert(false);
}

static tg_ns deadline_earliest(const struct tcp_pcb *pcb)
{
    tg_ns earliest = 0;
    for (unsigned kind = 0; kind < TCP_D_KINDS; kind++)
        if (pcb->act->deadline[kind] && (!earliest || pcb->act->deadline[kind] < earliest))
            earliest = pcb->act->deadline[kind];
    return earliest;
}

static void timer_fired(struct timer *timer, void *arg, tg_ns now)
{
    struct tcp *tcp = arg;
    struct tcp_pcb *pcb = tg_container_of(timer, struct tcp_active, timer)->pcb;
    uint32_t generation = pcb->generation;
    tcp->now = now;
    for (unsigned kind = 0; kind < TCP_D_KINDS; kind++) {
        if (!pcb->act->deadline[kind] || pcb->act->deadline[kind] > now)
            continue;
        pcb->act->deadline[kind] = 0;
        deadline_passed(tcp, pcb, (enum tcp_deadline)kind, now);
        if (pcb->generation != generation || tcp_has(pcb, TCP_F_DETACHED))
            return; /* over */
    }
    tg_ns earliest = deadline_earliest(pcb);
    if (earliest)
        timer_arm(tcp->wheel, &pcb->act->timer, earliest);
}

void tcp_timer_init(struct tcp *tcp, struct tcp_pcb *pcb)
{
    timer_init(&pcb->act->timer, timer_fired, tcp);
}
