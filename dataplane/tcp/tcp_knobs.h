/* SPDX-License-Identifier: BSD-3-Clause
 * The part of tcp_internal.h that is about knobs and patience: settings, keepalive, user timeout. Included
 * by tcp_internal.h only, at its end.
 */
#ifndef DATAPLANE_TCP_KNOBS_H
#define DATAPLANE_TCP_KNOBS_H

#include "tcp/tcp_internal.h"

/* --- tcp_settings.c -------------------------------------------------------------------------- */
static inline const struct tcp_settings *tcp_settings_of(const struct tcp *tcp,
                                                         const struct tcp_pcb *pcb)
{
    return &tcp->settings[pcb->settings];
}
static inline bool tcp_switched(const struct tcp *tcp, const struct tcp_pcb *pcb,
                                enum tcp_option_name name)
{
    return tcp_settings_of(tcp, pcb)->switches >> name & 1;
}
/* Entry 0 from tcp_config, whose defaults are filled in; false: a value out of range. */
bool tcp_settings_init(struct tcp *tcp);
/* Name another entry; drops the old one. 0: back to the defaults. */
void tcp_settings_use(struct tcp *tcp, uint8_t *name, uint8_t settings);
/* An accepted connection takes its listener's. */
void tcp_settings_inherit(struct tcp *tcp, struct tcp_pcb *pcb);
/* For tcp_check: NULL or what is wrong. */
const char *tcp_settings_check(const struct tcp *tcp);

/* The window that a SYN with these settings tells: not scaled. */
static inline uint16_t tcp_syn_window(const struct tcp *tcp, uint8_t settings)
{
    uint32_t space =
        u32_min(tcp->settings[settings].receive_window, tcp->config.receive_window_initial);
    return (uint16_t)u32_min(space, tcp->config.profile->syn_window);
}

/* --- tcp_autotune.c --------------------------------------------------------------------------- */
/* Bytes that may wait unread at present; never falls while the connection is awake, but by
 * TCP_OPT_RECEIVE_WINDOW. */
uint32_t tcp_receive_space(const struct tcp *tcp, const struct tcp_pcb *pcb);
/* rcv_nxt has moved; rcv_read has. */
void tcp_autotune_arrived(const struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now);
void tcp_autotune_consumed(struct tcp *tcp, struct tcp_pcb *pcb);

/* --- tcp_keepalive.c -------------------------------------------------------------------------- */
void tcp_keepalive_init(struct tcp *tcp);
/* Established, or its knobs have changed: count from the last segment heard. */
void tcp_keepalive_start(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now);
/* TCP_D_KEEPALIVE; pcb may be gone afterwards. */
void tcp_keepalive_timeout(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now);
/* About to give up its active part, or its knobs have changed while it has none; just got a new one. */
void tcp_keepalive_sleeps(struct tcp *tcp, struct tcp_pcb *pcb);
void tcp_keepalive_wakes(struct tcp *tcp, struct tcp_pcb *pcb);
/* After output: the user timeout runs from the first moment at which something waits. */
void tcp_user_timeout_arrange(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now);
/* TCP_D_USER; pcb may be gone afterwards. */
void tcp_user_timeout_fired(struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now);
/* A knob of either has changed; the connection is awake. */
void tcp_patience_changed(struct tcp *tcp, struct tcp_pcb *pcb);
/* Why the peer is silent: TG_UNREACHABLE when ICMP has told, else TG_TIMEOUT. */
static inline enum tg_err tcp_silence_error(const struct tcp_pcb *pcb)
{
    return pcb->act->unreachable ? TG_UNREACHABLE : TG_TIMEOUT;
}
/* An acceptable segment came; una: snd_una before it. */
void tcp_heard(struct tcp *tcp, struct tcp_pcb *pcb, uint32_t una, tg_ns now);

#endif
