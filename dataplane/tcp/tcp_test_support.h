/* SPDX-License-Identifier: BSD-3-Clause
 * For the tests and the fuzz target of this folder: one stack over the real net, a counting pool, a wheel
 * and a clock that stands still until it is moved. Never part of a program.
 */
#ifndef DATAPLANE_TCP_TEST_SUPPORT_H
#define DATAPLANE_TCP_TEST_SUPPORT_H

#include "net/net_test_support.h"
#include "tcp/tcp_internal.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define TEST_START (1000 * TG_S)

struct node {
    struct test_pool pool;
    struct stats stats;
    struct toeplitz toeplitz;
    struct timer_wheel wheel;
    struct net *net;
    struct tcp *tcp;
    tg_ns now;
    uint8_t mac[6];
    struct ip_addr address4, address6;
    bool port_busy; /* what tx_done answers, negated */
};

static inline bool node_tx_done(const void *arg, const struct buf *b)
{
    return !((const struct node *)arg)->port_busy;
}

static inline void node_icmp_error(void *arg, const struct net_icmp_error *error, tg_ns now)
{
    tcp_icmp_error(((struct node *)arg)->tcp, error, now);
}

/* Small tables and short timers; tests change what they are about. Each test runs twice: with TCP_TEST_TSO in its
 * environment the port cuts super-segments of so many bytes, and nothing else may be different. */
static inline struct tcp_config node_config(void)
{
    const char *tso = getenv("TCP_TEST_TSO");
    return (struct tcp_config){
        .worker = 3,
        .connections_max = 64,
        .half_open_max = 16,
        .time_wait_max = 32,
        .receive_window_max = 262144,
        .receive_window_initial = 262144, /* fixed, but in tcp_autotune_test */
        .send_buffer_max = 262144,
        .unsent_low = 32768,
        .ooo_segments_max = 16,
        .isn_key = {11, 12},
        .seed = 5,
        .tso_bytes_max = tso ? (uint32_t)strtoul(tso, NULL, 10) : 0,
        .tso_segments_max = 255,
    };
}

/* Host number n on 192.0.2.0/24 and 2001:db8:1::/64. */
static inline void node_init(struct node *node, const struct tcp_config *config, unsigned n)
{
    memset(node, 0, sizeof *node);
    test_pool_init(&node->pool, 0);
    test_toeplitz_init(&node->toeplitz, 7);
    node->now = TEST_START;
    timer_wheel_init(&node->wheel, node->now);
    memcpy(node->mac, test_mac_ours, 6);
    node->mac[5] = (uint8_t)n;
    node->address4 = test_addr("192.0.2.0");
    node->address4.bytes[15] = (uint8_t)n;
    node->address6 = test_addr("2001:db8:1::");
    node->address6.bytes[15] = (uint8_t)n;
    struct net_config c = {.port_count = 1, .address_count = 2, .answers = true};
    memcpy(c.ports[0].mac, node->mac, 6);
    c.ports[0].mtu = 1500;
    c.ports[0].tx_ip_checksum = c.ports[0].tx_l4_checksum = config->tso_bytes_max > 0;
    c.addresses[0] = (struct net_address){node->address4, 96 + 24, 0};
    c.addresses[1] = (struct net_address){node->address6, 64, 0};
    assert_int_equal(net_create(&c, &node->pool.pool, &node->stats, &node->toeplitz, 42 + n,
                                node_icmp_error, node, &node->net),
                     TG_OK);
    assert_int_equal(tcp_create(config, node->net, &node->pool.pool, &node->wheel, &node->stats,
                                &node->toeplitz, node_tx_done, node, &node->tcp),
                     TG_OK);
}

static inline void node_check(const struct node *node)
{
    const char *wrong = tcp_check(node->tcp);
    if (wrong)
        fail_msg("tcp_check: %s", wrong);
}

/* Every buffer and every timer must be back. */
static inline void node_end(struct node *node)
{
    tcp_destroy(node->tcp);
    net_destroy(node->net);
    assert_int_equal(node->pool.outstanding, 0);
    assert_int_equal(node->wheel.armed, 0);
}

static inline uint64_t node_counted(const struct node *node, enum tg_counter c)
{
    return node->stats.value[c];
}

/* Parse a frame as filter does and give it to net or tcp; takes it. Returns the reason of a drop. */
static inline enum tg_counter node_take(struct node *node, struct buf *b)
{
    enum tg_counter reason = wire_parse(b, &node->toeplitz);
    if (reason != TG_C_none) {
        buf_unref(&node->pool.pool, b);
        return reason;
    }
    if (b->ip_version == 0 || b->ip_proto != IP_PROTO_TCP)
        net_input(node->net, b, node->now);
    else
        tcp_input(node->tcp, &b, 1, node->now);
    return TG_C_none;
}

/* The same, and nothing is broken by it. */
static inline enum tg_counter node_receive(struct node *node, struct buf *b)
{
    enum tg_counter reason = node_take(node, b);
    if (reason == TG_C_none)
        node_check(node);
    return reason;
}

/* One turn without input: timers, then output. */
static inline void node_turn(struct node *node)
{
    timers_run(&node->wheel, node->now, UINT32_MAX);
    while (tcp_output(node->tcp, node->now))
        ;
    node_check(node);
}

/* The byte of a stream at an offset: every test stream has it, so that a wrong byte shows. */
static inline uint8_t stream_byte(uint32_t offset)
{
    uint32_t h = offset * 2654435761u;
    return (uint8_t)(h >> 24 ^ h >> 11);
}

static inline void stream_fill(uint8_t *out, uint32_t offset, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        out[i] = stream_byte(offset + i);
}

static inline void stream_verify(const uint8_t *bytes, uint32_t offset, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (bytes[i] != stream_byte(offset + i))
            fail_msg("stream byte %u is wrong", offset + i);
}

/* Take at most one event; bits 0: none. */
static inline struct tcp_event node_event(struct node *node)
{
    struct tcp_event e = {0};
    tcp_events(node->tcp, &e, 1);
    node_check(node);
    return e;
}

/* The next event must have exactly these bits; its handle. */
static inline tcp_handle node_expect_event(struct node *node, unsigned bits)
{
    struct tcp_event e = node_event(node);
    assert_int_equal(e.bits, bits);
    assert_int_equal(tcp_handle_worker(e.handle), 3);
    return e.handle;
}

static inline void node_expect_closed(struct node *node, unsigned other_bits, enum tg_err error)
{
    struct tcp_event e = node_event(node);
    assert_int_equal(e.bits, TCP_EV_CLOSED | other_bits);
    assert_int_equal(e.error, error);
    struct tcp_info info;
    assert_int_equal(tcp_get_info(node->tcp, e.handle, &info), TG_STALE);
}

static inline void node_expect_no_event(struct node *node)
{
    assert_int_equal(node_event(node).bits, 0);
}

static inline uint8_t node_state(const struct node *node, tcp_handle h)
{
    struct tcp_info info;
    if (tcp_get_info(node->tcp, h, &info) != TG_OK)
        return TCP_S_CLOSED;
    return info.state;
}

#endif
