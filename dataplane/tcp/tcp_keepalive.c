/* SPDX-License-Identifier: BSD-3-Clause
 * How long a silent peer is borne: keepalive (RFC 9293 s3.8.4) and the user timeout (s3.9.1, RFC 5482 for
 * local use). A connection that is awake has a deadline, moved lazily: segments only note the time. One that
 * sleeps has none: as long as there are such with keepalive, a timer of the stack goes over all
 * connections, a bounded share a tick, and wakes those that are due. Called by tcp_in, tcp_out, tcp_timer,
 * tcp_idle and tcp_settings.
 */
#include "tcp/tcp_pmtu.h"

#define SWEEP_TICK      (20 * TG_MS)
#define SWEEP_TICKS     3000u /* of a round: a minute, or as long as it takes by SHARE_MAX */
#define SWEEP_SHARE_MIN 64u
#define SWEEP_SHARE_MAX 4096u /* connections a tick: about 60 us */
#define HEARD_SHIFT     36    /* pcb->heard: units of 69 s; 16 bits hold 52 days */

static tg_ns ms(uint32_t milliseconds)
{
    return (tg_ns)milliseconds * TG_MS;
}

/* --- keepalive, awake ----------------------------------------------------------------------------------- */

/* Nobody waits for an orphan; what is in flight or wants to be is the business of the other deadlines. */
static bool keepalive_applies(const struct tcp *tcp, const struct tcp_pcb *pcb)
{
    return tcp_switched(tcp, pcb, TCP_OPT_KEEPALIVE) && pcb->state >= TCP_S_ESTABLISHED &&
           !tcp_has(pcb, TCP_F_ORPHAN | TCP_F_DETACHED);
}

void tcp_keepalive_start(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    pcb->act->keep_probes = 0;
    if (!keepalive_applies(tcp, pcb)) {
        tcp_deadline_clear(pcb, TCP_D_KEEPALIVE);
        return;
    }
    tg_ns due = pcb->act->heard_ns + ms(tcp_settings_of(tcp, pcb)->keep_idle_ms);
    tcp_deadline_set(tcp, pcb, TCP_D_KEEPALIVE, due > now ? due : now + 1);
}

static bool peer_is_dead(const struct tcp_settings *s, const struct tcp_active *act, tg_ns silence)
{
    if (s->user_timeout_ms) /* as tcp(7) has it: the count is out of force */
        return act->keep_probes > 0 && silence >= ms(s->user_timeout_ms);
    return act->keep_probes >= s->keep_count;
}

void tcp_keepalive_timeout(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    const struct tcp_settings *s = tcp_settings_of(tcp, pcb);
    tg_ns silence = now - pcb->act->heard_ns;
    if (!keepalive_applies(tcp, pcb))
        return;
    if (pcb->snd_una != pcb->snd_end || silence < ms(s->keep_idle_ms)) {
        bool busy = silence >= ms(s->keep_idle_ms);
        tcp_deadline_set(tcp, pcb, TCP_D_KEEPALIVE,
                         (busy ? now : pcb->act->heard_ns) + ms(s->keep_idle_ms));
        return;
    }
    if (peer_is_dead(s, pcb->act, silence)) {
        stats_count(tcp->stats, TG_C_tcp_keepalive_dead);
        stats_count(tcp->stats, TG_C_tcp_timed_out);
        tcp_emit_rst(tcp, pcb, now);
        tcp_pcb_finish(tcp, pcb, tcp_silence_error(pcb));
        return;
    }
    pcb->act->keep_probes++;
    pcb->flags |= TCP_F_KEEP_PROBE;
    tcp_deadline_set(tcp, pcb, TCP_D_KEEPALIVE, now + ms(s->keep_interval_ms));
    tcp_mark_dirty(tcp, pcb);
}

/* --- keepalive, asleep ---------------------------------------------------------------------------------- */

void tcp_keepalive_sleeps(struct tcp *tcp, struct tcp_pcb *pcb)
{
    if (pcb->act)
        pcb->heard = (uint16_t)(pcb->act->heard_ns >> HEARD_SHIFT);
    if (keepalive_applies(tcp, pcb) && !timer_armed(&tcp->keep_timer))
        timer_arm(tcp->wheel, &tcp->keep_timer, tcp->now + SWEEP_TICK);
}

/* The end of the unit in which the peer was last heard, so that no probe comes too early (MUST-26). */
static tg_ns heard_ns(const struct tcp_pcb *pcb, tg_ns now)
{
    uint64_t unit = now >> HEARD_SHIFT;
    uint16_t ago = (uint16_t)((uint16_t)unit - pcb->heard);
    tg_ns end = (unit - ago + 1) << HEARD_SHIFT;
    return end < now ? end : now;
}

void tcp_keepalive_wakes(struct tcp *tcp, struct tcp_pcb *pcb)
{
    pcb->act->heard_ns = heard_ns(pcb, tcp->now);
    tcp_keepalive_start(tcp, pcb, tcp->now);
}

static bool sleeper_due(const struct tcp *tcp, const struct tcp_pcb *pcb, tg_ns now)
{
    return now - heard_ns(pcb, now) >= ms(tcp_settings_of(tcp, pcb)->keep_idle_ms);
}

/* Wake those of the next `share` connections that are due. Stops early when none can be woken: the hand stays
 * where it is. True: the hand has come round. */
static bool sweep_share(struct tcp *tcp, uint32_t share, tg_ns now)
{
    for (; share && tcp->keep_hand < tcp->pcbs.count; share--, tcp->keep_hand++) {
        if (!pool_is_taken(&tcp->pcbs, tcp->keep_hand))
            continue;
        struct tcp_pcb *pcb = tcp_pcb_at(tcp, tcp->keep_hand);
        if (pcb->act || !keepalive_applies(tcp, pcb))
            continue;
        tcp->keep_seen = true;
        if (sleeper_due(tcp, pcb, now) && !tcp_wake(tcp, pcb)) /* its deadline is now */
            return false;
    }
    return tcp->keep_hand == tcp->pcbs.count;
}

static void sweep_fired(struct timer *timer, void *arg, tg_ns now)
{
    struct tcp *tcp = arg;
    tcp->now = now;
    uint32_t share = tcp->pcbs.count / SWEEP_TICKS + 1;
    share = u32_min(u32_max(share, SWEEP_SHARE_MIN), SWEEP_SHARE_MAX);
    bool again = true;
    if (sweep_share(tcp, share, now)) {
        again =
            tcp->keep_seen; /* nobody sleeps with keepalive: whoever falls asleep starts it again */
        tcp->keep_hand = 0;
        tcp->keep_seen = false;
    }
    if (again)
        timer_arm(tcp->wheel, timer, now + SWEEP_TICK);
}

void tcp_keepalive_init(struct tcp *tcp)
{
    timer_init(&tcp->keep_timer, sweep_fired, tcp);
}

/* --- user timeout ----------------------------------------------------------------------------------------- */

void tcp_user_timeout_arrange(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    uint32_t timeout = tcp_settings_of(tcp, pcb)->user_timeout_ms;
    if (pcb->snd_una == pcb->snd_end || timeout == 0) {
        tcp_deadline_clear(pcb, TCP_D_USER);
        return;
    }
    if (pcb->act->deadline[TCP_D_USER])
        return;
    pcb->act->progress_ns = now;
    tcp_deadline_set(tcp, pcb, TCP_D_USER, now + ms(timeout));
}

void tcp_user_timeout_fired(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now)
{
    uint32_t timeout = tcp_settings_of(tcp, pcb)->user_timeout_ms;
    if (pcb->snd_una == pcb->snd_end || timeout == 0)
        return;
    tg_ns due = pcb->act->progress_ns + ms(timeout);
    if (now < due) {
        tcp_deadline_set(tcp, pcb, TCP_D_USER, due);
        return;
    }
    stats_count(tcp->stats, TG_C_tcp_timed_out);
    if (pcb->state == TCP_S_SYN_SENT)
        stats_count(tcp->stats, TG_C_tcp_connect_failed);
    tcp_pcb_finish(tcp, pcb, tcp_silence_error(pcb));
}

void tcp_heard(struct tcp *tcp, struct tcp_pcb *pcb, uint32_t una, tg_ns now)
{
    pcb->act->heard_ns = now;
    pcb->act->keep_probes = 0;
    pcb->act->unreachable = false;
    if (pcb->snd_una == una)
        return;
    tcp_pmtu_acked(tcp, pcb);
    pcb->act->progress_ns = now;
    if (pcb->snd_una == pcb->snd_end)
        tcp_deadline_clear(pcb, TCP_D_USER);
}

void tcp_patience_changed(struct tcp *tcp, struct tcp_pcb *pcb)
{
    if (pcb->state >= TCP_S_ESTABLISHED)
        tcp_keepalive_start(tcp, pcb, tcp->now);
    if (pcb->act->deadline[TCP_D_USER]) { /* from the last progress on, by the new measure */
        tcp_deadline_clear(pcb, TCP_D_USER);
        uint32_t timeout = tcp_settings_of(tcp, pcb)->user_timeout_ms;
        tg_ns due = pcb->act->progress_ns + ms(timeout);
        if (timeout)
            tcp_deadline_set(tcp, pcb, TCP_D_USER, due > tcp->now ? due : tcp->now + 1);
        return;
    }
    tcp_user_timeout_arrange(tcp, pcb, tcp->now);
}
