/* SPDX-License-Identifier: BSD-3-Clause
 * The only writer of a connection's state, and the table of moves that RFC 9293 s3.3.2 (figure 5)
 * allows. Called by the other files of this folder; sends nothing.
 */
#include "tcp/tcp_internal.h"

#define TO(s) (1u << TCP_S_##s)

/* Every state may fall to CLOSED: abort, RST, timeout. SYN-SENT -> SYN-RECEIVED is the simultaneous
 * open; CLOSED -> SYN-RECEIVED is LISTEN's, because a listener has no connection of its own. */
static const uint16_t moves[TCP_S_COUNT] = {
    [TCP_S_CLOSED] = TO(SYN_SENT) | TO(SYN_RECEIVED),
    [TCP_S_SYN_SENT] = TO(SYN_RECEIVED) | TO(ESTABLISHED) | TO(CLOSED),
    [TCP_S_SYN_RECEIVED] = TO(ESTABLISHED) | TO(CLOSED),
    [TCP_S_ESTABLISHED] = TO(FIN_WAIT_1) | TO(CLOSE_WAIT) | TO(CLOSED),
    [TCP_S_FIN_WAIT_1] = TO(FIN_WAIT_2) | TO(CLOSING) | TO(CLOSED),
    [TCP_S_FIN_WAIT_2] = TO(TIME_WAIT) | TO(CLOSED),
    [TCP_S_CLOSE_WAIT] = TO(LAST_ACK) | TO(CLOSED),
    [TCP_S_CLOSING] = TO(TIME_WAIT) | TO(CLOSED),
    [TCP_S_LAST_ACK] = TO(CLOSED),
    [TCP_S_TIME_WAIT] = TO(CLOSED),
};

void tcp_state_set(struct tcp *tcp, struct tcp_pcb *pcb, enum tcp_state to)
{
    (void)tcp;
    tg_assert(pcb->state < TCP_S_COUNT && to < TCP_S_COUNT);
    tg_assert(moves[pcb->state] & 1u << to);
    pcb->state = (uint8_t)to;
}

bool tcp_state_receives(uint8_t state)
{
    return state == TCP_S_ESTABLISHED || state == TCP_S_FIN_WAIT_1 || state == TCP_S_FIN_WAIT_2;
}

bool tcp_state_sends(uint8_t state)
{
    return state == TCP_S_ESTABLISHED || state == TCP_S_CLOSE_WAIT || state == TCP_S_FIN_WAIT_1 ||
           state == TCP_S_CLOSING || state == TCP_S_LAST_ACK;
}
