/* SPDX-License-Identifier: BSD-3-Clause
 * Proportional rate reduction (RFC 9937): in a recovery, what leaves is a share of what arrives, so that the
 * window comes down to ssthresh within a round trip without a pause or a burst. Pure arithmetic; called by
 * tcp_loss.
 */
#include "tcp/tcp_internal.h"

void tcp_prr_begin(struct tcp_prr *prr, uint32_t flight)
{
    *prr = (struct tcp_prr){.flight = u32_max(flight, 1)};
}

uint32_t tcp_prr_send(struct tcp_prr *prr, uint32_t delivered, uint32_t pipe, uint32_t ssthresh,
                      uint32_t mss, bool safe)
{
    tg_assert(delivered > 0 && prr->flight > 0);
    uint64_t send;
    prr->delivered += delivered;
    if (pipe > ssthresh) {
        uint64_t share = ((uint64_t)prr->delivered * ssthresh + prr->flight - 1) / prr->flight;
        send = share > prr->out ? share - prr->out : 0;
    } else { /* conservative reduction bound; slow start while all goes well */
        send = prr->delivered > prr->out ? prr->delivered - prr->out : 0;
        send = send > delivered ? send : delivered;
        send += safe ? mss : 0;
        send = send < ssthresh - pipe ? send : ssthresh - pipe;
    }
    if (prr->out == 0 && send < mss) /* the fast retransmission itself */
        send = mss;
    return (uint32_t)send;
}
