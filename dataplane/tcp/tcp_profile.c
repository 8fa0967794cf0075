/* SPDX-License-Identifier: BSD-3-Clause
 * The profiles that come with the stack: see tcp_profile.h. Numbers: Linux 6.1 and FreeBSD 13 as seen on the
 * wire with their default settings, but for Linux's SYN window, which is whole segments below 65,535 there,
 * and for its quick ACKs, of which it sends up to 16.
 */
#include "tcp/tcp_profile.h"

const struct tcp_profile tcp_profile_linux = {
    .name = "linux",
    .syn = TCP_ORDER_LINUX,
    .data = TCP_ORDER_LINUX,
    .window_scale = TCP_SCALE_BY_WINDOW,
    .hop_limit = 64,
    .quick_acks = 8,
    .syn_window = 65535,
    .ip_id = TCP_IP_ID_ZERO,
    .delayed_ack = 40 * TG_MS,
    .rto_min = 200 * TG_MS,
    .rto_syn = 1 * TG_S,
};

const struct tcp_profile tcp_profile_freebsd = {
    .name = "freebsd",
    .syn = {.places = {{TCP_OPTION_MSS, 1, 0},
                       {TCP_OPTION_WSCALE, 2, 1},
                       {TCP_OPTION_SACK_PERMITTED, 2, 0},
                       {TCP_OPTION_TIMESTAMPS, 4, 2}},
            .padding = TCP_OPTION_END},
    .data = {.places = {{TCP_OPTION_TIMESTAMPS, 4, 2}, {TCP_OPTION_SACK, 4, 2}},
             .padding = TCP_OPTION_END},
    .window_scale = 6,
    .hop_limit = 64,
    .quick_acks = 0,
    .syn_window = 65535,
    .ip_id = TCP_IP_ID_ZERO,
    .delayed_ack = 40 * TG_MS,
    .rto_min = 30 * TG_MS,
    .rto_syn = 1 * TG_S,
};

#define DELAYED_ACK_LIMIT (500 * TG_MS)

static bool order_valid(const struct tcp_option_order *order, uint32_t needed)
{
    uint32_t seen = 0;
    for (unsigned i = 0; i < TG_ARRAY_LEN(order->places) && order->places[i].kind; i++) {
        const struct tcp_option_place *place = &order->places[i];
        uint32_t bit = 1u << (place->kind & 31);
        bool known = place->kind <= TCP_OPTION_TIMESTAMPS && place->kind > TCP_OPTION_NOP;
        bool power = place->modulus == 1 || place->modulus == 2 || place->modulus == 4;
        if (!known || seen & bit || !power || place->residue >= place->modulus)
            return false;
        seen |= bit;
    }
    return (seen & needed) == needed &&
           (order->padding == TCP_OPTION_END || order->padding == TCP_OPTION_NOP);
}

bool tcp_profile_valid(const struct tcp_profile *p)
{
    const uint32_t data = 1u << TCP_OPTION_TIMESTAMPS | 1u << TCP_OPTION_SACK;
    const uint32_t syn = 1u << TCP_OPTION_MSS | 1u << TCP_OPTION_WSCALE |
                         1u << TCP_OPTION_SACK_PERMITTED | 1u << TCP_OPTION_TIMESTAMPS;
    return order_valid(&p->syn, syn) && order_valid(&p->data, data) &&
           (p->window_scale <= TCP_WSCALE_MAX || p->window_scale == TCP_SCALE_BY_WINDOW) &&
           p->hop_limit > 0 && p->syn_window > 0 && p->delayed_ack > 0 &&
           p->delayed_ack < DELAYED_ACK_LIMIT && p->rto_min > 0 && p->rto_syn > 0;
}
