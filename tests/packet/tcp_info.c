/* SPDX-License-Identifier: BSD-3-Clause
 * Our tcp_info in Linux's units and names: segments where Linux counts segments, microseconds.
 */
#include "tests/packet/linux_tcp.h"
#include <stddef.h>

#define SSTHRESH_NONE 0x7fffffff /* Linux's TCP_INFINITE_SSTHRESH */

static uint8_t state_number(uint8_t state)
{
    static const uint8_t numbers[TCP_S_COUNT] = {
        [TCP_S_CLOSED] = 7,       [TCP_S_LISTEN] = 10,     [TCP_S_SYN_SENT] = 2,
        [TCP_S_SYN_RECEIVED] = 3, [TCP_S_ESTABLISHED] = 1, [TCP_S_FIN_WAIT_1] = 4,
        [TCP_S_FIN_WAIT_2] = 5,   [TCP_S_CLOSE_WAIT] = 8,  [TCP_S_CLOSING] = 11,
        [TCP_S_LAST_ACK] = 9,     [TCP_S_TIME_WAIT] = 6};
    return state < TCP_S_COUNT ? numbers[state] : 0;
}

void linux_tcp_info_fill(const struct tcp_info *info, struct linux_tcp_info *out)
{
    uint32_t mss = info->mss ? info->mss : 1;
    *out = (struct linux_tcp_info){
        .tcpi_state = state_number(info->state),
        .tcpi_ca_state = info->ca_state,
        .tcpi_rto = (uint32_t)(info->rto / TG_US),
        .tcpi_snd_mss = info->mss,
        .tcpi_unacked = info->segments.unacked,
        .tcpi_sacked = info->segments.sacked,
        .tcpi_lost = info->segments.lost,
        .tcpi_retrans = info->segments.retransmitted,
        .tcpi_rtt = (uint32_t)(info->srtt / TG_US),
        .tcpi_snd_ssthresh =
            info->ssthresh >= UINT32_MAX / 2 ? SSTHRESH_NONE : info->ssthresh / mss,
        .tcpi_snd_cwnd = info->cwnd / mss,
        .tcpi_rcv_space = info->receive_space,
        .tcpi_total_retrans = info->retransmits,
        .tcpi_notsent_bytes = info->unsent,
        .tcpi_min_rtt = (uint32_t)(info->min_rtt / TG_US),
        .tcpi_delivered = info->delivered_segments,
        .tcpi_reord_seen = info->reordering_seen,
    };
}

#define FIELD(name)                                                                                \
    {                                                                                              \
#name, offsetof(struct linux_tcp_info, name),                                              \
            sizeof(((struct linux_tcp_info *)NULL)->name)                                          \
    }

static const struct {
    const char *name;
    size_t offset, size;
} fields[] = {
    FIELD(tcpi_state),         FIELD(tcpi_ca_state),      FIELD(tcpi_rto),
    FIELD(tcpi_snd_mss),       FIELD(tcpi_unacked),       FIELD(tcpi_sacked),
    FIELD(tcpi_lost),          FIELD(tcpi_retrans),       FIELD(tcpi_rtt),
    FIELD(tcpi_snd_cwnd),      FIELD(tcpi_snd_ssthresh),  FIELD(tcpi_rcv_space),
    FIELD(tcpi_total_retrans), FIELD(tcpi_notsent_bytes), FIELD(tcpi_min_rtt),
    FIELD(tcpi_delivered),     FIELD(tcpi_reord_seen),
};

bool linux_tcp_info_field(const struct linux_tcp_info *info, const char *name, int64_t *value)
{
    for (unsigned i = 0; i < TG_ARRAY_LEN(fields); i++) {
        uint32_t number = 0; /* little endian: what is smaller lies in front */
        if (strcmp(fields[i].name, name) != 0)
            continue;
        memcpy(&number, (const char *)info + fields[i].offset, fields[i].size);
        *value = number;
        return true;
    }
    return false;
}
