/* SPDX-License-Identifier: BSD-3-Clause
 * For the unit tests of this folder: a host (tcp_test_node.h) whose every step is checked, streams whose every byte
 * can be, and the events that a test expects. Never part of a program.
 */
#ifndef DATAPLANE_TCP_TEST_SUPPORT_H
#define DATAPLANE_TCP_TEST_SUPPORT_H

#include "tcp/tcp_internal.h"
#include "tcp/tcp_test_node.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define TEST_START (1000 * TG_S)

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
    struct node_place place = {.now = TEST_START,
                               .address4 = {test_addr("192.0.2.0"), 96 + 24, 0},
                               .address6 = {test_addr("2001:db8:1::"), 64, 0},
                               .seed = 42 + n,
                               .cuts = config->tso_bytes_max > 0};
    memcpy(place.mac, test_mac_ours, 6);
    place.mac[5] = place.address4.address.bytes[15] = place.address6.address.bytes[15] = (uint8_t)n;
    assert_int_equal(node_open(node, &place, config), TG_OK);
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
    node_close(node);
    assert_int_equal(node->pool.outstanding, 0);
    assert_int_equal(node->wheel.armed, 0);
}

static inline uint64_t node_counted(const struct node *node, enum tg_counter c)
{
    return node->stats.value[c];
}

/* node_take, and nothing is broken by it. */
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
