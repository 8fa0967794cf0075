/* SPDX-License-Identifier: BSD-3-Clause
 * The numbers that a connection starts with, and its timestamps (tcp_owner.c), for the other files of this
 * folder and their tests.
 */
#ifndef DATAPLANE_TCP_OWNER_H
#define DATAPLANE_TCP_OWNER_H

#include "tcp/tcp_internal.h"

/* What a new connection must start above, because a former one of the same tuple has just ended. */
struct tcp_floor {
    uint32_t isn; /* its snd_nxt and a gap */
    uint32_t ts;  /* with has_ts: its last TSval */
    bool has_ts;
};

/* Where a new connection starts. floor may be NULL. timestamps: its peer has them, too (an active open does not
 * know yet, and says true). */
struct tcp_numbers {
    uint32_t iss, ts_offset;
    bool owner; /* both are an owner's cookie */
};
struct tcp_numbers tcp_numbers_choose(const struct tcp *tcp, const struct ip_tuple *tuple,
                                      bool passive, const struct tcp_floor *floor, bool timestamps,
                                      tg_ns now);
/* An active open's, and its sequence state with them. */
void tcp_start_numbers(const struct tcp *tcp, struct tcp_pcb *pcb, tg_ns now);

/* TSval of the next segment; never falls as long as `now` does not. */
uint32_t tcp_pcb_timestamp(struct tcp_pcb *pcb, tg_ns now);

/* Bytes of the MTU that the MSS offered to this peer leaves free. */
uint32_t tcp_reserve_of(const struct tcp *tcp, const struct ip_addr *remote);

#endif
