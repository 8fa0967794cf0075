/* SPDX-License-Identifier: BSD-3-Clause
 * The levels of the memory governor: they come and go, and each does what it says. tcp_pressure_test: who is stopped by it.
 */
#include "tcp/tcp_governor_trace.h"

static void levels_come_and_go_with_slack(void **state)
{
    struct trace *t = start(state);
    struct hoard h = {.n = 0};
    static const struct {
        unsigned used, level;
    } steps[] = {{0, 0},   {127, 0}, {128, 1}, {127, 1}, {107, 1}, {106, 0}, {192, 2}, {191, 2},
                 {171, 2}, {170, 1}, {225, 3}, {224, 3}, {204, 3}, {203, 2}, {250, 3}, {0, 0}};
    for (unsigned i = 0; i < TG_ARRAY_LEN(steps); i++) {
        hoard_until(t, &h, steps[i].used);
        assert_int_equal(tcp_pressure(t->node.tcp), steps[i].level);
    }
    assert_int_equal(count(t, TG_C_tcp_pressure_tight), 2);
    assert_int_equal(count(t, TG_C_tcp_pressure_cookies), 2);
    assert_int_equal(count(t, TG_C_tcp_pressure_shed), 2);
    hoard_until(t, &h, 0);
    trace_end(t);
}

static void tight_means_small_windows(void **state)
{
    struct trace *t = start(state);
    struct hoard h = {.n = 0};
    IN(t, .flags = S, PEER_OPTIONS);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1, .win = 65535);
    IN(t, .flags = R, .seq = 1);
    hoard_until(t, &h, 130);
    IN(t, .flags = S, PEER_OPTIONS);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1, .win = SMALL);
    assert_int_equal(tcp_half_open_count(t->node.tcp), 1);
    hoard_until(t, &h, 0); /* what was told holds, also when times get better */
    IN(t, .flags = A, .seq = SMALL + 1, .ack = 1, .len = 100);
    OUT(t, .flags = A, .seq = 1, .ack = 1);
    assert_int_equal(count(t, TG_C_tcp_out_of_window), 1);
    IN(t, .flags = A, .seq = 1, .ack = 1);
    t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
    assert_int_equal(trace_info(t).receive_space, SMALL);
    hoard_until(t, &h, 0);
    trace_end(t);
}

static void then_syns_get_cookies_only(void **state)
{
    struct trace *t = start(state);
    struct hoard h = {.n = 0};
    t->ts = true;
    hoard_until(t, &h, 200);
    IN(t, .flags = S, PEER_OPTIONS);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    assert_int_equal(tcp_half_open_count(t->node.tcp), 0);
    assert_int_equal(count(t, TG_C_tcp_syn_cookies_sent), 1);
    IN(t, .flags = A, .seq = 1, .ack = 1);
    node_expect_event(&t->node, TCP_EV_ACCEPTED);
    hoard_until(t, &h, 0);
    t->tuple.remote_port++;
    IN(t, .flags = S, PEER_OPTIONS);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    assert_int_equal(tcp_half_open_count(t->node.tcp), 1);
    hoard_until(t, &h, 0);
    trace_end(t);
}

static void shedding_accepts_nobody(void **state)
{
    struct trace *t = start(state);
    struct hoard h = {.n = 0};
    IN(t, .flags = S, PEER_OPTIONS);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    hoard_until(t, &h, 230);
    IN(t, .flags = A, .seq = 1, .ack = 1);
    QUIET(t); /* no RST: it may come again */
    node_expect_no_event(&t->node);
    assert_int_equal(count(t, TG_C_tcp_shed_refused), 1);
    hoard_until(t, &h, 100);
    IN(t, .flags = A, .seq = 1, .ack = 1);
    node_expect_event(&t->node, TCP_EV_ACCEPTED);
    hoard_until(t, &h, 0);
    trace_end(t);
}

/* The edge that was told stands still until data has come up to it; then the window is small, until times get better. */
static void windows_shrink_and_no_edge_moves_back(void **state)
{
    struct trace *t = start(state);
    struct hoard h = {.n = 0};
    trace_accept(t, (struct seg){PEER_OPTIONS});
    uint32_t edge = 1 + 65535, told = 0;
    hoard_until(t, &h, 130);
    for (uint32_t at = 0; at < 80000; at += 1000) {
        IN(t, .flags = A, .seq = 1 + at, .ack = 1, .len = 1000);
        trace_read(t, at, 1000);
        while (t->first != t->end) {
            OUT(t, .flags = A, .seq = 1, .ack = ANY);
            told = t->out.ack - t->peer_iss + ((uint32_t)t->out.window << t->node.tcp->rcv_scale);
            assert_true(seq_le(edge, told));
            edge = told;
        }
    }
    assert_in_range(edge - 80001, 1000, SMALL + 1000);
    hoard_until(t, &h, 0);
    IN(t, .flags = A, .seq = 80001, .ack = 1, .len = 1000);
    trace_read(t, 80000, 1000);
    trace_advance(t, 50 * TG_MS);
    OUT(t, .flags = A, .seq = 1, .ack = 81001);
    assert_true((uint32_t)t->out.window << t->node.tcp->rcv_scale > 65535);
    trace_end(t);
}

static void then_no_connection_is_opened_by_us(void **state)
{
    struct trace *t = start(state);
    struct hoard h = {.n = 0};
    tcp_handle handle;
    hoard_until(t, &h, 130); /* windows shrink only */
    trace_connect(t, 0);
    tcp_abort(t->node.tcp, t->h);
    hoard_until(t, &h, 200);
    assert_int_equal(
        tcp_connect(t->node.tcp, NULL, &t->tuple.remote, 443, 0, 0, t->node.now, &handle), TG_FULL);
    assert_int_equal(handle, TCP_NONE);
    assert_int_equal(count(t, TG_C_tcp_shed_refused), 1);
    assert_int_equal(tcp_connection_count(t->node.tcp), 0);
    hoard_until(t, &h, 0);
    trace_connect(t, 0);
    trace_end(t);
}

/* Of frames the governor knows nothing where nobody has told it; it never gets in the way. */
static void a_pool_that_cannot_tell_has_no_levels(void **state)
{
    struct trace *t = trace_start(state);
    t->node.pool.limit = 8;
    trace_accept(t, (struct seg){PEER_OPTIONS});
    for (unsigned i = 0; i < 20; i++) {
        IN(t, .flags = A, .seq = 1 + i * 100, .ack = 1, .len = 100);
        trace_read(t, i * 100, 100);
        trace_skip(t);
    }
    assert_int_equal(tcp_pressure(t->node.tcp), 0);
    trace_end(t);
}

static void thresholds_are_knobs(void **state)
{
    struct tcp_config c = node_config();
    c.pressure_tight = 10;
    c.pressure_cookies = 20;
    c.pressure_shed = 30;
    struct trace *t = start_with(state, c);
    struct hoard h = {.n = 0};
    static const struct {
        unsigned used, level;
    } steps[] = {{24, 0}, {25, 1}, {50, 1}, {51, 2}, {75, 2}, {76, 3}, {0, 0}};
    for (unsigned i = 0; i < TG_ARRAY_LEN(steps); i++) {
        hoard_until(t, &h, steps[i].used);
        assert_int_equal(tcp_pressure(t->node.tcp), steps[i].level);
    }
    trace_end(t);
    c.pressure_cookies = 5; /* below TIGHT */
    struct node *node = aligned_alloc(TG_CACHE_LINE, sizeof *node);
    struct tcp *tcp;
    node_init(node, &(struct tcp_config){.connections_max = 1}, 1);
    assert_int_equal(tcp_create(&c, node->net, &node->pool.pool, &node->wheel, &node->stats,
                                &node->toeplitz, node_tx_done, node, &tcp),
                     TG_BAD_CONFIG);
    node_end(node);
    free(node);
}

/* Two of three connections are closed by us, their peers do not close; then a fourth comes. */
static void a_full_table_forgets_the_oldest_orphan(void **state)
{
    struct tcp_config c = node_config();
    c.connections_max = 3;
    struct trace *t = start_with(state, c);
    tcp_handle handles[3];
    uint32_t iss[3];
    for (unsigned i = 0; i < 3; i++) {
        t->tuple.remote_port = (uint16_t)(1000 + i);
        trace_accept(t, (struct seg){PEER_OPTIONS});
        handles[i] = t->h;
        iss[i] = t->our_iss;
        trace_advance(t, 10 * TG_MS);
    }
    for (unsigned i = 0; i < 2; i++) {
        t->tuple.remote_port = (uint16_t)(1000 + i);
        t->our_iss = iss[i];
        tcp_close(t->node.tcp, handles[i]);
        trace_collect(t);
        OUT(t, .flags = F | A, .seq = 1, .ack = 1);
        IN(t, .flags = A, .seq = 1, .ack = 2);
        trace_skip(t);
        trace_advance(t, 10 * TG_MS);
    }
    t->tuple.remote_port = 2000;
    IN(t, .flags = S, PEER_OPTIONS);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    assert_int_equal(count(t, TG_C_tcp_syn_cookies_sent), 1);
    IN(t, .flags = A, .seq = 1, .ack = 1);
    node_expect_no_event(&t->node); /* the others' peers may still close */
    assert_int_equal(count(t, TG_C_tcp_shed_orphans), 0);
    t->node.now += 10 * TG_S - 15 * TG_MS; /* long for the first, not for the second */
    IN(t, .flags = A, .seq = 1, .ack = 1);
    node_expect_event(&t->node, TCP_EV_ACCEPTED);
    assert_int_equal(count(t, TG_C_tcp_shed_orphans), 1);
    OUT(t, .flags = R | A, .seq = ANY, .ack = ANY);
    assert_int_equal(node_state(&t->node, handles[2]), TCP_S_ESTABLISHED); /* it has a user */
    for (unsigned i = 0; i < 2; i++) {
        t->tuple.remote_port = (uint16_t)(1000 + i);
        uint32_t hash = wire_tuple_hash(&t->node.toeplitz, &t->tuple);
        assert_int_equal(tcp_lookup(t->node.tcp, &t->tuple, hash) == FLOW_TABLE_NONE, i == 0);
    }
    trace_end(t);
}

/* Bytes stay the same, frames get fewer. */
static void small_segments_share_frames(void **state)
{
    struct trace *t = start(state);
    struct hoard h = {.n = 0};
    trace_accept(t, (struct seg){PEER_OPTIONS});
    for (unsigned i = 0; i < 40; i++) {
        IN(t, .flags = A, .seq = 1 + i * 300, .ack = 1, .len = 300);
        trace_skip(t);
    }
    unsigned before = trace_pcb(t)->act->rcv_frames;
    assert_true(before > 20);
    hoard_until(t, &h, 230);
    assert_in_range(trace_pcb(t)->act->rcv_frames, 6, 9);
    assert_int_equal(count(t, TG_C_tcp_shed_copied), before - trace_pcb(t)->act->rcv_frames);
    hoard_until(t, &h, 100);
    trace_read(t, 0, 12000);
    hoard_until(t, &h, 0);
    trace_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(levels_come_and_go_with_slack),
        BOTH(tight_means_small_windows),
        BOTH(then_syns_get_cookies_only),
        BOTH(shedding_accepts_nobody),
        BOTH(windows_shrink_and_no_edge_moves_back),
        BOTH(then_no_connection_is_opened_by_us),
        BOTH(a_pool_that_cannot_tell_has_no_levels),
        BOTH(thresholds_are_knobs),
        BOTH(a_full_table_forgets_the_oldest_orphan),
        BOTH(small_segments_share_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
