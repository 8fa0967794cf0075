/* SPDX-License-Identifier: BSD-3-Clause
 * The knobs of connections: which values are legal, who shares what, what a listener hands down, and the
 * knobs whose effect is seen on the wire at once (Nagle, MSS, windows, buffers, quick ACKs).
 */
#include "tcp/tcp_trace.h"

#define MSS 1012u /* payload of a full segment to the ordinary peer without timestamps */

static struct trace *established(void **state)
{
    return trace_established(state, (struct seg){PEER_OPTIONS});
}

static enum tg_err set(struct trace *t, enum tcp_option_name name, uint64_t value)
{
    return tcp_set_option(t->node.tcp, t->h, name, value);
}

static uint64_t get(struct trace *t, enum tcp_option_name name)
{
    uint64_t value = UINT64_MAX;
    assert_int_equal(tcp_get_option(t->node.tcp, t->h, name, &value), TG_OK);
    return value;
}

/* --- values ------------------------------------------------------------------------------------------- */

static void defaults_are_those_of_the_rfc(void **state)
{
    struct trace *t = established(state);
    assert_int_equal(get(t, TCP_OPT_NAGLE), 0);
    assert_int_equal(get(t, TCP_OPT_CORK), 0);
    assert_int_equal(get(t, TCP_OPT_KEEPALIVE), 0);       /* MUST-25 */
    assert_int_equal(get(t, TCP_OPT_KEEP_IDLE), 7200000); /* MUST-28 */
    assert_int_equal(get(t, TCP_OPT_KEEP_INTERVAL), 75000);
    assert_int_equal(get(t, TCP_OPT_KEEP_COUNT), 9);
    assert_int_equal(get(t, TCP_OPT_USER_TIMEOUT), 0);
    assert_int_equal(get(t, TCP_OPT_NOTSENT_LOWAT), 32768);
    assert_int_equal(get(t, TCP_OPT_CONGESTION), TCP_CC_CUBIC);
    assert_int_equal(get(t, TCP_OPT_MSS), 0);
    assert_int_equal(get(t, TCP_OPT_RECEIVE_WINDOW), 262144);
    assert_int_equal(get(t, TCP_OPT_SEND_BUFFER), 262144);
    assert_int_equal(get(t, TCP_OPT_RESET_UNREAD), 1);
    trace_end(t);
}

static const struct range {
    enum tcp_option_name name;
    uint64_t low, high, other; /* other: legal, and neither end */
} ranges[] = {
    {TCP_OPT_NAGLE, 0, 1, 1},
    {TCP_OPT_CORK, 0, 1, 1},
    {TCP_OPT_KEEPALIVE, 0, 1, 1},
    {TCP_OPT_KEEP_IDLE, 1, INT32_MAX, 60000},
    {TCP_OPT_KEEP_INTERVAL, 1, INT32_MAX, 1000},
    {TCP_OPT_KEEP_COUNT, 1, 127, 3},
    {TCP_OPT_USER_TIMEOUT, 0, INT32_MAX, 30000},
    {TCP_OPT_NOTSENT_LOWAT, 4096, (1u << 30) - 1, 16384},
    {TCP_OPT_QUICKACK, 0, 1, 1},
    {TCP_OPT_CONGESTION, 0, TCP_CC_COUNT - 1, TCP_CC_NEWRENO},
    {TCP_OPT_RECEIVE_WINDOW, 2048, 262144, 65536},
    {TCP_OPT_SEND_BUFFER, 4096, 262144, 65536},
    {TCP_OPT_RESET_UNREAD, 0, 1, 1},
    {TCP_OPT_DSCP, 0, 63, 46},
};

static void values_out_of_range_change_nothing(void **state)
{
    struct trace *t = established(state);
    for (unsigned i = 0; i < TG_ARRAY_LEN(ranges); i++) {
        const struct range *r = &ranges[i];
        assert_int_equal(set(t, r->name, r->low), TG_OK);
        assert_int_equal(get(t, r->name), r->low);
        assert_int_equal(set(t, r->name, r->high), TG_OK);
        assert_int_equal(set(t, r->name, r->other), TG_OK);
        assert_int_equal(get(t, r->name), r->other);
        if (r->low)
            assert_int_equal(set(t, r->name, r->low - 1), TG_BAD_CONFIG);
        assert_int_equal(set(t, r->name, r->high + 1), TG_BAD_CONFIG);
        assert_int_equal(set(t, r->name, UINT64_MAX), TG_BAD_CONFIG);
        assert_int_equal(get(t, r->name), r->other);
        node_check(&t->node);
    }
    assert_int_equal(set(t, TCP_OPT_MSS, 271), TG_BAD_CONFIG);
    assert_int_equal(set(t, TCP_OPT_MSS, 65536), TG_BAD_CONFIG);
    assert_int_equal(set(t, TCP_OPT_COUNT, 0), TG_BAD_CONFIG);
    uint64_t value;
    assert_int_equal(tcp_get_option(t->node.tcp, t->h, TCP_OPT_COUNT, &value), TG_BAD_CONFIG);
    trace_end(t);
}

static void a_dead_handle_is_stale(void **state)
{
    struct trace *t = established(state);
    uint64_t value;
    tcp_abort(t->node.tcp, t->h);
    assert_int_equal(set(t, TCP_OPT_NAGLE, 1), TG_STALE);
    assert_int_equal(tcp_get_option(t->node.tcp, t->h, TCP_OPT_NAGLE, &value), TG_STALE);
    assert_int_equal(tcp_set_option(t->node.tcp, TCP_NONE, TCP_OPT_NAGLE, 1), TG_STALE);
    trace_end(t);
}

static void a_bad_default_makes_no_stack(void **state)
{
    struct trace *t = trace_start(state);
    struct tcp *tcp;
    struct tcp_config c = node_config();
    c.keep_count = 128;
    assert_int_equal(tcp_create(&c, t->node.net, &t->node.pool.pool, &t->node.wheel, &t->node.stats,
                                &t->node.toeplitz, node_tx_done, &t->node, &tcp),
                     TG_BAD_CONFIG);
    c = node_config();
    c.congestion = TCP_CC_COUNT;
    assert_int_equal(tcp_create(&c, t->node.net, &t->node.pool.pool, &t->node.wheel, &t->node.stats,
                                &t->node.toeplitz, node_tx_done, &t->node, &tcp),
                     TG_BAD_CONFIG);
    assert_null(tcp);
    trace_end(t);
}

static void expect_refused(struct trace *t, struct tcp_config c)
{
    struct tcp *tcp;
    assert_int_equal(tcp_create(&c, t->node.net, &t->node.pool.pool, &t->node.wheel, &t->node.stats,
                                &t->node.toeplitz, node_tx_done, &t->node, &tcp),
                     TG_BAD_CONFIG);
    assert_null(tcp);
}
#define REFUSED(t, field, value)                                                                   \
    do {                                                                                           \
        struct tcp_config bad = node_config();                                                     \
        bad.field = (value);                                                                       \
        expect_refused(t, bad);                                                                    \
    } while (0)

static void impossible_configurations_make_no_stack(void **state)
{
    struct trace *t = trace_start(state);
    REFUSED(t, connections_max, 0);
    REFUSED(t, connections_max, 1u << 24);
    REFUSED(t, time_wait_max, 1u << 24);
    REFUSED(t, active_max, 65);
    REFUSED(t, receive_window_max, (65535u << 14) + 1);
    REFUSED(t, receive_window_max, 2047);
    REFUSED(t, receive_window_initial, 2047);
    REFUSED(t, send_buffer_max, 1u << 30);
    REFUSED(t, worker, 256);
    REFUSED(t, ooo_segments_max, 65535);
    REFUSED(t, mss_max, 271);
    REFUSED(t, retries, 255);
    REFUSED(t, syn_retries, 255);
    REFUSED(t, keep_idle_ms, 1u << 31);
    REFUSED(t, user_timeout_ms, 1u << 31);
    trace_end(t);
}

/* What is left at 0 gets a default that works. */
static void a_bare_configuration_makes_a_stack(void **state)
{
    struct tcp_config c = {.connections_max = 4, .worker = 3};
    struct trace *t = trace_new(&c, trace_is6(state));
    trace_accept(t, (struct seg){PEER_OPTIONS});
    assert_int_equal(trace_info(t).receive_space, 65536);
    assert_int_equal(get(t, TCP_OPT_RECEIVE_WINDOW), 262144);
    assert_int_equal(get(t, TCP_OPT_SEND_BUFFER), 262144);
    assert_int_equal(get(t, TCP_OPT_NOTSENT_LOWAT), 32768);
    trace_end(t);
}

/* --- the table ---------------------------------------------------------------------------------------- */

static void connections_with_equal_knobs_share_an_entry(void **state)
{
    struct trace *t = established(state);
    struct tcp_pcb *first = trace_pcb(t);
    assert_int_equal(first->settings, 0);
    assert_int_equal(set(t, TCP_OPT_KEEP_COUNT, 3), TG_OK);
    t->tuple.remote_port++;
    tcp_handle other = t->h;
    trace_accept(t, (struct seg){PEER_OPTIONS});
    assert_int_equal(trace_pcb(t)->settings, 0);
    assert_int_equal(set(t, TCP_OPT_KEEP_COUNT, 3), TG_OK);
    assert_int_not_equal(first->settings, 0);
    assert_int_equal(trace_pcb(t)->settings, first->settings);
    assert_int_equal(set(t, TCP_OPT_KEEP_COUNT, 4), TG_OK); /* only this one's */
    uint64_t value;
    assert_int_equal(tcp_get_option(t->node.tcp, other, TCP_OPT_KEEP_COUNT, &value), TG_OK);
    assert_int_equal(value, 3);
    assert_int_equal(set(t, TCP_OPT_KEEP_COUNT, 9), TG_OK);
    assert_int_equal(trace_pcb(t)->settings, 0); /* the default again */
    node_check(&t->node);
    trace_end(t);
}

static void a_full_table_says_so_and_heals(void **state)
{
    struct trace *t = established(state);
    uint32_t users = 0;
    for (unsigned i = 1; i < TCP_SETTINGS_MAX; i++) { /* as 255 connections would */
        t->node.tcp->settings[i] = t->node.tcp->settings[0];
        t->node.tcp->settings[i].user_timeout_ms = i;
        t->node.tcp->settings_users[i] = 1;
        users++;
    }
    assert_int_equal(users, 255);
    assert_int_equal(set(t, TCP_OPT_NAGLE, 1), TG_FULL);
    assert_int_equal(get(t, TCP_OPT_NAGLE), 0);
    assert_int_equal(set(t, TCP_OPT_USER_TIMEOUT, 7), TG_OK); /* there is one like that */
    assert_int_equal(trace_pcb(t)->settings, 7);
    assert_int_equal(t->node.tcp->settings_users[7], 2);
    t->node.tcp->settings_users[7] = 1; /* ours alone: its slot may change */
    assert_int_equal(set(t, TCP_OPT_NAGLE, 1), TG_OK);
    assert_int_equal(get(t, TCP_OPT_NAGLE), 1);
    assert_int_equal(get(t, TCP_OPT_USER_TIMEOUT), 7);
    for (unsigned i = 1; i < TCP_SETTINGS_MAX; i++)
        t->node.tcp->settings_users[i] = i == 7;
    node_check(&t->node);
    trace_end(t);
}

static void a_listener_hands_its_knobs_down(void **state)
{
    struct trace *t = trace_start(state);
    struct tcp *tcp = t->node.tcp;
    assert_int_equal(tcp_set_listen_option(tcp, 81, TCP_OPT_NAGLE, 1), TG_NOT_FOUND);
    assert_int_equal(tcp_set_listen_option(tcp, 80, TCP_OPT_CORK, 1), TG_BAD_CONFIG);
    assert_int_equal(tcp_set_listen_option(tcp, 80, TCP_OPT_NAGLE, 2), TG_BAD_CONFIG);
    assert_int_equal(tcp_set_listen_option(tcp, 80, TCP_OPT_NAGLE, 1), TG_OK);
    assert_int_equal(tcp_set_listen_option(tcp, 80, TCP_OPT_MSS, 500), TG_OK);
    assert_int_equal(tcp_set_listen_option(tcp, 80, TCP_OPT_CONGESTION, TCP_CC_NEWRENO), TG_OK);
    trace_accept(t, (struct seg){PEER_OPTIONS});
    assert_int_equal(get(t, TCP_OPT_NAGLE), 1);
    assert_int_equal(trace_info(t).mss, 500);
    assert_ptr_equal(trace_pcb(t)->congestion, &tcp_newreno);
    tcp_unlisten(tcp, 80);
    assert_int_equal(get(t, TCP_OPT_NAGLE), 1);
    node_check(&t->node);
    trace_end(t);
}

/* --- what the peer sees ------------------------------------------------------------------------------- */

/* RFC 9293 s3.7.4; one short segment in flight at a time, full ones do not count. */
static void nagle_sends_one_short_segment_at_a_time(void **state)
{
    struct trace *t = established(state);
    assert_int_equal(set(t, TCP_OPT_NAGLE, 1), TG_OK);
    trace_write(t, 0, 100);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 100);
    trace_write(t, 100, 200);
    trace_write(t, 300, 300);
    QUIET(t);
    trace_write(t, 600, 1000); /* what is full may go, and leaves 488 behind */
    OUT(t, .flags = A, .seq = 101, .ack = 1, .len = MSS);
    QUIET(t);
    IN(t, .flags = A, .seq = 1, .ack = 101); /* full segments in flight do not hold it back */
    OUT(t, .flags = A | P, .seq = 1113, .ack = 1, .len = 488);
    trace_write(t, 1600, 10);
    QUIET(t);
    assert_int_equal(set(t, TCP_OPT_NAGLE, 0),
                     TG_OK); /* MUST-17: an application can switch it off */
    trace_collect(t);
    OUT(t, .flags = A | P, .seq = 1601, .ack = 1, .len = 10);
    trace_end(t);
}

static void nagle_does_not_hold_a_fin(void **state)
{
    struct trace *t = established(state);
    assert_int_equal(set(t, TCP_OPT_NAGLE, 1), TG_OK);
    trace_write(t, 0, 100);
    trace_write(t, 100, 100);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 100);
    QUIET(t);
    tcp_shutdown(t->node.tcp, t->h);
    trace_collect(t);
    OUT(t, .flags = A | F, .seq = 101, .ack = 1, .len = 100);
    trace_end(t);
}

static void without_nagle_short_segments_leave_at_once(void **state)
{
    struct trace *t = established(state);
    trace_write(t, 0, 100);
    trace_write(t, 100, 100);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 100);
    OUT(t, .flags = A, .seq = 101, .ack = 1, .len = 100);
    trace_end(t);
}

static void an_mss_cap_counts_for_the_syn_and_for_data(void **state)
{
    struct trace *t = trace_start(state);
    trace_connect_begin(t, 0);
    assert_int_equal(set(t, TCP_OPT_MSS, 700), TG_OK);
    assert_int_equal(set(t, TCP_OPT_RECEIVE_WINDOW, 30000), TG_OK);
    trace_collect(t);
    OUT(t, .flags = S, .seq = 0, .mss = 700, .win = 30000);
    IN(t, .flags = S | A, .seq = 0, .ack = 1, PEER_OPTIONS);
    OUT(t, .flags = A, .seq = 1, .ack = 1);
    trace_write(t, 0, 1000);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 700);
    OUT(t, .flags = A, .seq = 701, .ack = 1, .len = 300);
    IN(t, .flags = A, .seq = 1, .ack = 1001);
    assert_int_equal(set(t, TCP_OPT_MSS, 400), TG_OK);
    trace_write(t, 1000, 700);
    OUT(t, .flags = A, .seq = 1001, .ack = 1, .len = 400);
    OUT(t, .flags = A, .seq = 1401, .ack = 1, .len = 300);
    trace_end(t);
}

/* A smaller window is honoured as the peer uses up what it was promised: the edge stays (RFC 9293 s3.8.6, SHLD-14). */
static void a_smaller_window_never_moves_the_edge_back(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 1000);
    IN(t, .flags = A, .seq = 1001, .ack = 1, .len = 1000);
    trace_read(t, 0, 2000);
    trace_skip(t);
    uint32_t edge = trace_pcb(t)->rcv_adv;
    assert_int_equal(set(t, TCP_OPT_RECEIVE_WINDOW, 4096), TG_OK);
    IN(t, .flags = A, .seq = 2001, .ack = 1, .len = 1000);
    IN(t, .flags = A, .seq = 3001, .ack = 1, .len = 1000);
    trace_skip(t);
    assert_int_equal(trace_pcb(t)->rcv_adv, edge);
    node_check(&t->node);
    trace_end(t);
}

static void quick_acks_are_asked_for(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 100);
    QUIET(t); /* delayed */
    assert_int_equal(get(t, TCP_OPT_QUICKACK), 0);
    assert_int_equal(set(t, TCP_OPT_QUICKACK, 1), TG_OK);
    assert_int_equal(get(t, TCP_OPT_QUICKACK), 1);
    trace_collect(t);
    OUT(t, .flags = A, .seq = 1, .ack = 101); /* the one that was owed */
    IN(t, .flags = A, .seq = 101, .ack = 1, .len = 100);
    OUT(t, .flags = A, .seq = 1, .ack = 201);
    assert_int_equal(set(t, TCP_OPT_QUICKACK, 0), TG_OK);
    IN(t, .flags = A, .seq = 201, .ack = 1, .len = 100);
    QUIET(t);
    trace_end(t);
}

static uint8_t traffic_class(const struct trace *t)
{
    const uint8_t *ip = t->frames[t->first % TRACE_FRAMES]->data + 14;
    return ip[0] >> 4 == 4 ? ip[1] : (uint8_t)(ip[0] << 4 | ip[1] >> 4);
}

static void a_code_point_is_in_every_packet(void **state)
{
    struct trace *t = trace_start(state);
    trace_connect_begin(t, 0);
    assert_int_equal(set(t, TCP_OPT_DSCP, 46), TG_OK);
    trace_collect(t);
    assert_int_equal(traffic_class(t), 46 << 2);
    OUT(t, .flags = S, .seq = 0);
    IN(t, .flags = S | A, .seq = 0, .ack = 1, PEER_OPTIONS);
    assert_int_equal(traffic_class(t), 46 << 2);
    OUT(t, .flags = A, .seq = 1, .ack = 1);
    assert_int_equal(set(t, TCP_OPT_DSCP, 10), TG_OK); /* it may change on the way (SHLD-21) */
    trace_write(t, 0, 100);
    assert_int_equal(traffic_class(t), 10 << 2);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 100);
    trace_end(t);
}

static void buffers_bound_what_is_written(void **state)
{
    struct trace *t = established(state);
    assert_int_equal(set(t, TCP_OPT_SEND_BUFFER, 20000), TG_OK);
    assert_int_equal(tcp_writable(t->node.tcp, t->h), 20000);
    assert_int_equal(set(t, TCP_OPT_NOTSENT_LOWAT, 4096), TG_OK);
    assert_int_equal(tcp_writable(t->node.tcp, t->h), 8192);
    static const uint8_t bytes[20000];
    assert_int_equal(tcp_write(t->node.tcp, t->h, span_make(bytes, 20000)), 8192);
    assert_int_equal(set(t, TCP_OPT_NOTSENT_LOWAT, 8192), TG_OK); /* the wish is granted */
    assert_int_equal(node_event(&t->node).bits, TCP_EV_WRITABLE);
    trace_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(defaults_are_those_of_the_rfc),
        BOTH(values_out_of_range_change_nothing),
        BOTH(a_dead_handle_is_stale),
        BOTH(a_bad_default_makes_no_stack),
        BOTH(impossible_configurations_make_no_stack),
        BOTH(a_bare_configuration_makes_a_stack),
        BOTH(connections_with_equal_knobs_share_an_entry),
        BOTH(a_full_table_says_so_and_heals),
        BOTH(a_listener_hands_its_knobs_down),
        BOTH(nagle_sends_one_short_segment_at_a_time),
        BOTH(nagle_does_not_hold_a_fin),
        BOTH(without_nagle_short_segments_leave_at_once),
        BOTH(an_mss_cap_counts_for_the_syn_and_for_data),
        BOTH(a_smaller_window_never_moves_the_edge_back),
        BOTH(quick_acks_are_asked_for),
        BOTH(a_code_point_is_in_every_packet),
        BOTH(buffers_bound_what_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
