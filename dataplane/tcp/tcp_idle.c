/* SPDX-License-Identifier: BSD-3-Clause
 * Connections asleep and awake. An idle connection has no active part (struct tcp_active): no queue, no
 * deadline, no list. The pool of active parts may therefore be much smaller than that of connections. Nobody
 * puts a connection to sleep before somebody else needs its active part; then the search goes over the list
 * of the awake like a clock's hand, and takes one that is idle and was so at the last visit, too. Called by
 * whoever meets a connection that sleeps: tcp_in, tcp_write, tcp_close.
 */
#include "tcp/tcp_governor.h"
#include "tcp/tcp_pmtu.h"

#define SEARCH_STEPS 64u /* connections that one search looks at */
#define LINE_STEPS                                                                                 \
    8u /* one for the line: each turn makes one, and the next goes on where it stopped */

/* Nothing lies in its queues, nobody waits for it, no deadline runs. */
static bool pcb_idle(const struct tcp_pcb *pcb)
{
    const struct tcp_active *act = pcb->act;
    const uint32_t busy = TCP_F_DETACHED | TCP_F_ORPHAN | TCP_F_ACK_NOW | TCP_F_ACK_DELAYED |
                          TCP_F_CORK | TCP_F_FIN_WISH | TCP_F_FIN_SEEN | TCP_F_WANT_WRITE;
    if (pcb->state != TCP_S_ESTABLISHED || tcp_has(pcb, busy) || act->events)
        return false;
    if (act->snd_first || act->rcv_first || act->ooo_first || act->reserved ||
        tcp_listed(pcb, TCP_L_DIRTY))
        return false;
    for (unsigned kind = 0; kind < TCP_D_KINDS; kind++)
        if (act->deadline[kind] && kind != TCP_D_KEEPALIVE)
            return false;
    return act->keep_probes == 0;
}

/* What recovery and congestion control knew is forgotten: the ACK clock is gone anyway. */
static void pcb_sleep(struct tcp *tcp, struct tcp_pcb *pcb)
{
    tg_assert(pcb->snd_una == pcb->snd_end && pcb->rcv_read == pcb->rcv_nxt);
    pcb->flags &= ~(uint32_t)(TCP_F_RECOVERY | TCP_F_TIMEOUT | TCP_F_RESEND | TCP_F_CWND_LIMITED |
                              TCP_F_PROBE | TCP_F_OVERRIDE | TCP_F_KEEP_PROBE | TCP_F_DSACK);
    tcp_keepalive_sleeps(tcp, pcb);
    stats_count(tcp->stats, TG_C_tcp_sleeps);
    tcp_list_remove(tcp, TCP_L_AWAKE, pcb);
    timer_cancel(tcp->wheel, &pcb->act->timer);
    pool_give(&tcp->actives, pcb->act);
    pcb->act = NULL;
}

/* One that has slept since the last visit, else one that is idle at all; NULL: nobody near is. */
static struct tcp_pcb *sleeper_find(struct tcp *tcp, unsigned steps)
{
    struct tcp_pcb *second = NULL;
    uint32_t last = tcp->lists[TCP_L_AWAKE].last;
    for (unsigned step = 0; step < steps; step++) {
        struct tcp_pcb *pcb = tcp_list_pop(tcp, TCP_L_AWAKE);
        if (!pcb)
            break;
        tcp_list_push(tcp, TCP_L_AWAKE, pcb);
        bool recent = tcp_has(pcb, TCP_F_RECENT), idle = pcb_idle(pcb);
        pcb->flags &= ~(uint32_t)TCP_F_RECENT;
        if (idle && !recent)
            return pcb;
        if (idle && !second)
            second = pcb;
        if (tcp_pcb_index(tcp, pcb) == last)
            break; /* all seen */
    }
    return second;
}

unsigned tcp_sleep(struct tcp *tcp, unsigned n)
{
    unsigned done = 0;
    for (; done < n; done++) {
        struct tcp_pcb *pcb = sleeper_find(tcp, SEARCH_STEPS);
        if (!pcb)
            break;
        pcb_sleep(tcp, pcb);
    }
    return done;
}

struct tcp_active *tcp_active_take(struct tcp *tcp, struct tcp_pcb *pcb)
{
    if (tcp->actives.in_use == tcp->actives.count)
        tcp_sleep(tcp, 1);
    struct tcp_active *act = pool_take(&tcp->actives);
    if (!act) {
        stats_count(tcp->stats, TG_C_tcp_active_full);
        tcp_governor_starved(tcp);
        return NULL;
    }
    memset(act, 0, sizeof *act);
    for (unsigned i = 0; i < TCP_L_KINDS; i++)
        act->links[i].prev = act->links[i].next = TCP_UNLISTED;
    act->pcb = pcb;
    pcb->act = act;
    tcp_timer_init(tcp, pcb);
    return act;
}

/* With many more connections than active parts, one that has just become idle is put to sleep while it lies in the
 * cache; later it would have to be looked for, and fetched. Half of the parts stay with those that rest between two
 * requests, and with them what congestion control knows. */
void tcp_sleep_burst(struct tcp *tcp, const uint32_t flows[], unsigned n)
{
    for (unsigned i = 0; i < n && tcp->actives.in_use > tcp->actives.count / 2; i++) {
        struct tcp_pcb *pcb = flows[i] & TCP_FLOW_TW ? NULL : tcp_pcb_at(tcp, flows[i]);
        if (pcb && pcb->act && pcb_idle(pcb))
            pcb_sleep(tcp, pcb);
    }
}

bool tcp_wake(struct tcp *tcp, struct tcp_pcb *pcb)
{
    pcb->flags |= TCP_F_RECENT;
    if (pcb->act)
        return true;
    if (!tcp_active_take(tcp, pcb))
        return false;
    if (tcp_has(pcb, TCP_F_WAITING)) { /* whoever woke it, what it waited for goes on */
        tcp_wait_end(tcp, pcb);
        tcp_mark_dirty(tcp, pcb);
    }
    pcb->act->cwnd = tcp_initial_window(pcb); /* RFC 5681 s4.1 */
    pcb->act->recover = pcb->snd_una - 1;
    pcb->act->ecn_end = pcb->snd_una;
    tcp_rack_init(pcb, pcb->snd_una);
    pcb->act->snd_small = pcb->snd_una;
    pcb->act->data_ns = 1; /* long ago */
    pcb->act->sent_ns = tcp->now;
    pcb->congestion->start(pcb);
    tcp_keepalive_wakes(tcp, pcb);
    tcp_pmtu_wakes(tcp, pcb, tcp->now);
    tcp_list_push(tcp, TCP_L_AWAKE, pcb);
    return true;
}

/* --- the line ------------------------------------------------------------------------------------ */

/* A part is free. */
static void line_first_wake(struct tcp *tcp)
{
    if (tcp->waiting_first == TCP_INDEX_NONE)
        return;
    bool awake = tcp_wake(tcp, tcp_pcb_at(tcp, tcp->waiting_first));
    tg_assert(awake);
}

void tcp_line_serve(struct tcp *tcp)
{
    if (tcp->waiting_first == TCP_INDEX_NONE)
        return;
    struct tcp_pcb *idle = NULL;
    if (tcp->actives.in_use == tcp->actives.count && !(idle = sleeper_find(tcp, LINE_STEPS)))
        return;
    if (idle)
        pcb_sleep(tcp, idle);
    line_first_wake(tcp);
}

void tcp_active_give(struct tcp *tcp, struct tcp_pcb *pcb)
{
    pool_give(&tcp->actives, pcb->act);
    pcb->act = NULL;
    line_first_wake(tcp);
}

void tcp_wait_in_line(struct tcp *tcp, struct tcp_pcb *pcb)
{
    tg_assert(!pcb->act);
    if (tcp_has(pcb, TCP_F_WAITING))
        return;
    uint32_t index = tcp_pcb_index(tcp, pcb);
    pcb->flags |= TCP_F_WAITING;
    pcb->wait_next = TCP_INDEX_NONE;
    if (tcp->waiting_first == TCP_INDEX_NONE)
        tcp->waiting_first = index;
    else
        tcp_pcb_at(tcp, tcp->waiting_last)->wait_next = index;
    tcp->waiting_last = index;
}

/* The one that leaves is nearly always the first; another one has been aborted or met by a segment. */
void tcp_wait_end(struct tcp *tcp, struct tcp_pcb *pcb)
{
    if (!tcp_has(pcb, TCP_F_WAITING))
        return;
    uint32_t index = tcp_pcb_index(tcp, pcb), prev = TCP_INDEX_NONE;
    for (uint32_t i = tcp->waiting_first; i != index; i = tcp_pcb_at(tcp, i)->wait_next)
        prev = i;
    if (prev == TCP_INDEX_NONE)
        tcp->waiting_first = pcb->wait_next;
    else
        tcp_pcb_at(tcp, prev)->wait_next = pcb->wait_next;
    if (tcp->waiting_last == index)
        tcp->waiting_last = prev;
    pcb->flags &= ~(uint32_t)TCP_F_WAITING;
}

/* --- for tcp_check ------------------------------------------------------------------------------- */

const char *tcp_asleep_check(const struct tcp *tcp, const struct tcp_pcb *pcb)
{
    bool ends = tcp_has(pcb, TCP_F_FIN_WISH); /* closed by a user who could not wake it */
    if (pcb->state != TCP_S_ESTABLISHED && !(ends && pcb->state == TCP_S_FIN_WAIT_1))
        return "asleep: state";
    if (tcp_has(pcb, TCP_F_DETACHED | TCP_F_ACK_NOW | TCP_F_ACK_DELAYED))
        return "asleep: flags";
    if (tcp_has(pcb, TCP_F_FIN_WISH | TCP_F_WANT_WRITE) && !tcp_has(pcb, TCP_F_WAITING))
        return "asleep: wants to send and does not wait";
    if (pcb->snd_una != pcb->snd_end || pcb->snd_nxt != pcb->snd_end)
        return "asleep: unsent or unacknowledged";
    return NULL;
}

const char *tcp_waiting_check(const struct tcp *tcp)
{
    uint32_t steps = 0, last = TCP_INDEX_NONE;
    for (uint32_t i = tcp->waiting_first; i != TCP_INDEX_NONE; i = tcp_pcb_at(tcp, i)->wait_next) {
        const struct tcp_pcb *pcb = tcp_pcb_at(tcp, i);
        if (!pool_is_taken(&tcp->pcbs, i) || pcb->act || !tcp_has(pcb, TCP_F_WAITING))
            return "waiting: not asleep";
        if (++steps > tcp->pcbs.in_use)
            return "waiting: cycle";
        last = i;
    }
    return last == TCP_INDEX_NONE || last == tcp->waiting_last ? NULL : "waiting: last";
}
