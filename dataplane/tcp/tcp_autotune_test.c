/* SPDX-License-Identifier: BSD-3-Clause
 * The receive window grows for a reader that keeps up, and for nobody else; its edge never moves back.
 */
#include "tcp/tcp_pair.h"
#include "tcp/tcp_trace.h"

#define START 16384u
#define MOST  262144u

static struct tcp_config small_start(void)
{
    struct tcp_config c = node_config();
    c.receive_window_initial = START;
    return c;
}

static struct trace *established(void **state)
{
    struct tcp_config c = small_start();
    struct trace *t = trace_new(&c, trace_is6(state));
    IN(t, .flags = S, .seq = 0, PEER_OPTIONS);
    trace_advance(t, 50 * TG_MS); /* the round-trip time */
    OUT(t, .flags = S | A, .seq = 0, .ack = 1, .win = START);
    IN(t, .flags = A, .seq = 1, .ack = 1);
    t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
    return t;
}

static uint32_t space(struct trace *t)
{
    return trace_info(t).receive_space;
}

/* The peer fills the window in each round; the reader takes everything. */
static uint32_t rounds(struct trace *t, uint32_t offset, unsigned n)
{
    for (; n; n--) {
        uint32_t room = trace_pcb(t)->rcv_adv - trace_pcb(t)->rcv_nxt;
        for (; room >= 1000; room -= 1000, offset += 1000) {
            IN(t, .flags = A, .seq = 1 + offset, .ack = 1, .len = 1000);
            uint32_t edge = trace_pcb(t)->rcv_adv;
            trace_read(t, offset, 1000);
            assert_true(seq_le(edge, trace_pcb(t)->rcv_adv));
        }
        trace_skip(t);
        trace_advance(t, 50 * TG_MS);
    }
    return offset;
}

static void a_reader_that_keeps_up_gets_a_larger_window(void **state)
{
    struct trace *t = established(state);
    assert_int_equal(space(t), START);
    uint32_t offset = rounds(t, 0, 2);
    assert_true(space(t) >= 2 * START);
    uint32_t before = space(t);
    rounds(t, offset, 8);
    assert_true(space(t) > before);
    assert_int_equal(space(t), MOST); /* and no more */
    assert_true(node_counted(&t->node, TG_C_tcp_windows_grown) >= 2);
    trace_end(t);
}

static void a_trickle_needs_no_larger_window(void **state)
{
    struct trace *t = established(state);
    for (uint32_t offset = 0; offset < 50000; offset += 500) {
        IN(t, .flags = A, .seq = 1 + offset, .ack = 1, .len = 500);
        trace_read(t, offset, 500);
        trace_skip(t);
        trace_advance(t, 50 * TG_MS);
    }
    assert_true(space(t) <= 2 * START); /* 16 segments of slack */
    trace_end(t);
}

static void a_reader_that_does_not_read_holds_no_more(void **state)
{
    struct trace *t = established(state);
    for (uint32_t offset = 0; offset < 16000; offset += 1000) {
        IN(t, .flags = A, .seq = 1 + offset, .ack = 1, .len = 1000);
        trace_skip(t);
        trace_advance(t, 50 * TG_MS);
    }
    assert_int_equal(space(t), START);
    assert_int_equal(trace_pcb(t)->rcv_adv - trace_pcb(t)->rcv_nxt, START - 16000);
    trace_end(t);
}

static void a_cap_holds(void **state)
{
    struct trace *t = established(state);
    assert_int_equal(tcp_set_option(t->node.tcp, t->h, TCP_OPT_RECEIVE_WINDOW, 40000), TG_OK);
    rounds(t, 0, 8);
    assert_int_equal(space(t), 40000);
    trace_end(t);
}

static void a_sleeper_starts_anew(void **state)
{
    struct trace *t = established(state);
    uint32_t offset = rounds(t, 0, 8);
    assert_int_equal(space(t), MOST);
    uint32_t edge = trace_pcb(t)->rcv_adv;
    assert_int_equal(node_event(&t->node).bits, TCP_EV_READABLE);
    assert_int_equal(tcp_sleep(t->node.tcp, 1), 1);
    assert_int_equal(space(t), START);
    IN(t, .flags = A, .seq = 1 + offset, .ack = 1, .len = 1000);
    assert_int_equal(trace_pcb(t)->rcv_adv, edge); /* what was promised stands */
    trace_read(t, offset, 1000);
    rounds(t, offset + 1000, 8);
    assert_int_equal(space(t), MOST);
    trace_end(t);
}

/* Two stacks, 20 ms apart: a small start costs a transfer little, beside a window that is large at once. */
static tg_ns transfer(uint32_t initial)
{
    struct tcp_config server = node_config(), client = node_config();
    server.receive_window_max = client.send_buffer_max = client.unsent_low = 4u << 20;
    server.receive_window_initial = initial;
    struct pair *p = pair_new(&client, &server, 3);
    p->delay = 10 * TG_MS;
    p->user[0].to_send = p->user[1].to_receive = 8u << 20;
    pair_connect(p, false);
    tg_ns start = p->now;
    for (unsigned i = 0; i < 10000 && p->user[1].received < 8u << 20; i++)
        pair_run(p, 5 * TG_MS);
    assert_int_equal(p->user[1].received, 8u << 20);
    tg_ns took = p->now - start;
    pair_end(p);
    return took;
}

static void a_small_start_costs_little(void **state)
{
    (void)state;
    tg_ns large = transfer(4u << 20), small = transfer(65536);
    print_message("8 MiB over 20 ms: %u ms, %u ms with a window of 4 MiB at once\n",
                  (unsigned)(small / TG_MS), (unsigned)(large / TG_MS));
    assert_true(small <= large + large / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_reader_that_keeps_up_gets_a_larger_window),
        BOTH(a_trickle_needs_no_larger_window),
        BOTH(a_reader_that_does_not_read_holds_no_more),
        BOTH(a_cap_holds),
        BOTH(a_sleeper_starts_anew),
        cmocka_unit_test(a_small_start_costs_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
