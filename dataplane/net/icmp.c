/* SPDX-License-Identifier: BSD-3-Clause
 * ICMP and ICMPv6 without neighbour discovery: echo is answered within a rate, errors that quote a
 * TCP packet of ours are told to tcp, the rest is counted and dropped. Called by net_input. Knows
 * nothing of connections: whether the quoted sequence number is in flight is tcp's check (RFC
 * 5927). Floor 1.
 */
#include "net/net_internal.h"

/* Echo answers: 1000 a second, 100 in a row. */
#define ICMP_ANSWER_INTERVAL (TG_S / 1000)
#define ICMP_ANSWER_BURST    100

enum { ICMP_ECHO_REPLY = 0, ICMP_ECHO = 8 };       /* RFC 792 */
enum { ICMP6_ECHO = 128, ICMP6_ECHO_REPLY = 129 }; /* RFC 4443 */

/* A token bucket kept as one time stamp: each answer moves it on by the interval, time catches up.
 */
static bool icmp_may_answer(struct net *net, tg_ns now)
{
    tg_ns next = net->icmp_next > now ? net->icmp_next : now;
    if (next - now > (ICMP_ANSWER_BURST - 1) * ICMP_ANSWER_INTERVAL)
        return false;
    net->icmp_next = next + ICMP_ANSWER_INTERVAL;
    return true;
}

/* The received frame becomes the answer: only type, checksum and what lies in front change. */
static void icmp_answer_echo(struct net *net, struct buf *b, tg_ns now)
{
    struct ip_emit ip = {
        .source = wire_destination(b), .destination = wire_source(b), .proto = b->ip_proto};
    if (!icmp_may_answer(net, now)) {
        net_drop(net, b, TG_C_net_icmp_limited);
        return;
    }
    buf_pull(b, b->l4);
    b->data[0] = b->ip_proto == IP_PROTO_ICMP ? ICMP_ECHO_REPLY : ICMP6_ECHO_REPLY;
    b->flags &= (uint16_t) ~(BUF_RX_IP_CSUM_GOOD | BUF_RX_L4_CSUM_GOOD | BUF_RX_HASH | BUF_PARSED |
                             BUF_HANDED_OVER);
    if (net_output(net, b, &ip, 2, now) == TG_OK)
        net_count(net, TG_C_net_icmp_echo);
}

static void icmp_take_error(struct net *net, struct buf *b, tg_ns now)
{
    struct net_icmp_error error;
    enum tg_err e = net_icmp_quote(b, &error);
    struct ip_addr to = wire_destination(b);
    /* An error goes to whoever sent the quoted packet: to us, about a packet of ours. */
    if (e == TG_BAD_INPUT || (e == TG_OK && !ip_addr_equal(&to, &error.tuple.local))) {
        net_drop(net, b, TG_C_net_icmp_bad);
        return;
    }
    if (e == TG_OK && error.mtu)
        net_count(net, TG_C_net_icmp_too_big);
    if (e == TG_OK && net->on_icmp_error)
        net->on_icmp_error(net->on_icmp_error_arg, &error, now);
    buf_unref(net->pool, b);
}

void icmp_input(struct net *net, struct buf *b, tg_ns now)
{
    const uint8_t *h = wire_l4(b);
    struct ip_addr destination = wire_destination(b), source = wire_source(b);
    bool is_echo = h[0] == (b->ip_proto == IP_PROTO_ICMP ? ICMP_ECHO : ICMP6_ECHO);
    /* Groups get no answer; a source of ours is forged. */
    if (!net_is_local(net, &destination) || destination.bytes[0] == 0xff) {
        net_drop(net, b, TG_C_net_not_for_us);
    } else if (net_is_local(net, &source) || (is_echo && h[1] != 0)) {
        net_drop(net, b, TG_C_net_icmp_bad);
    } else {
        net_count(net, TG_C_net_icmp_in);
        if (is_echo)
            icmp_answer_echo(net, b, now);
        else
            icmp_take_error(net, b, now);
    }
}
