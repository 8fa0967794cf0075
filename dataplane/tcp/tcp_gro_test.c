/* SPDX-License-Identifier: BSD-3-Clause
 * Runs of segments in a burst: which join, and that a connection is the same afterwards whether they came in one
 * burst or one by one.
 */
#include "tcp/tcp_trace.h"

#define WIN 1000 /* << 7: what the peer has offered since its handshake */

static struct trace *established(void **state, bool ts)
{
    struct trace *t = trace_start(state);
    t->ts = ts;
    trace_accept(t, (struct seg){.mss = 1460, .sack_ok = true, .wscale_plus_1 = 8});
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = WIN);
    return t;
}

static uint64_t joined(const struct trace *t)
{
    return node_counted(&t->node, TG_C_tcp_gro_joined);
}

/* Each by itself, but answered only after the last, as a burst is. */
static void trace_in_single(struct trace *t, const struct seg s[], unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct buf *b = trace_make(t, &s[i]);
        assert_int_equal(wire_parse(b, &t->node.toeplitz), TG_C_none);
        tcp_input(t->node.tcp, &b, 1, t->node.now);
    }
    trace_collect(t);
}

static void same(struct trace *a, struct trace *b)
{
    const struct tcp_pcb *x = trace_pcb(a), *y = trace_pcb(b);
    assert_int_equal(x->rcv_nxt, y->rcv_nxt);
    assert_int_equal(x->rcv_adv, y->rcv_adv);
    assert_int_equal(x->rcv_acked, y->rcv_acked);
    assert_int_equal(x->ts_recent, y->ts_recent);
    assert_int_equal(x->snd_una, y->snd_una);
    assert_int_equal(x->snd_wnd, y->snd_wnd);
    assert_int_equal(x->snd_wl1, y->snd_wl1);
    assert_int_equal(x->snd_wl2, y->snd_wl2);
    assert_int_equal(x->rcv_mss, y->rcv_mss);
    assert_int_equal(x->flags, y->flags);
    assert_int_equal(x->act->ooo_count, y->act->ooo_count);
    assert_int_equal(x->act->events, y->act->events);
    assert_int_equal(a->end - a->first, b->end - b->first); /* segments sent */
    assert_int_equal(tcp_unread(a->node.tcp, a->h), tcp_unread(b->node.tcp, b->h));
}

static void a_run_is_one_pass_one_event_one_ack(void **state)
{
    for (int ts = 0; ts < 2; ts++) {
        struct trace *t = established(state, ts);
        IN_BURST(t, {.flags = A, .seq = 1, .ack = 1, .len = 1000, .win = WIN},
                 {.flags = A, .seq = 1001, .ack = 1, .len = 1000, .win = WIN},
                 {.flags = A | P, .seq = 2001, .ack = 1, .len = 700, .win = WIN});
        assert_int_equal(joined(t), 2);
        OUT(t, .flags = A, .seq = 1, .ack = 2701);
        QUIET(t);
        node_expect_event(&t->node, TCP_EV_READABLE);
        node_expect_no_event(&t->node);
        trace_read(t, 0, 2700);
        trace_end(t);
    }
}

/* A pair of segments of which the second has something to say for itself: it goes the long way. */
static void what_does_not_join(void **state)
{
    static const uint8_t nops[4] = {1, 1, 1, 1};
    const struct seg odd[] = {
        {.flags = A | F, .seq = 1001, .ack = 1, .len = 1000, .win = WIN},
        {.flags = A | U, .seq = 1001, .ack = 1, .len = 1000, .win = WIN},
        {.flags = A | TCP_CWR, .seq = 1001, .ack = 1, .len = 1000, .win = WIN},
        {.flags = A, .seq = 1001, .ack = 2, .len = 1000, .win = WIN},     /* never sent */
        {.flags = A, .seq = 1001, .ack = 1, .len = 1000, .win = WIN + 1}, /* window */
        {.flags = A, .seq = 1002, .ack = 1, .len = 1000, .win = WIN},     /* hole */
        {.flags = A, .seq = 1000, .ack = 1, .len = 1000, .win = WIN},     /* overlap */
        {.flags = A, .seq = 1001, .ack = 1, .len = 0, .win = WIN},        /* pure ACK */
        {.flags = A, .seq = 1001, .ack = 1, .len = 1000, .win = WIN, .raw_options = {nops, 4}},
        {.flags = A, .seq = 1001, .ack = 1, .len = 1000, .win = WIN, .ts_value = 1}, /* PAWS */
        {.flags = R, .seq = 1001},
    };
    for (unsigned i = 0; i < TG_ARRAY_LEN(odd); i++) {
        struct trace *t = established(state, true);
        IN_BURST(t, {.flags = A, .seq = 1, .ack = 1, .len = 1000, .win = WIN}, odd[i]);
        assert_int_equal(joined(t), 0);
        trace_end(t);
    }
}

static void a_congestion_mark_does_not_join(void **state)
{
    struct trace *t = established(state, false);
    struct buf *burst[2];
    for (uint32_t i = 0; i < 2; i++) {
        const struct seg s = {.flags = A, .seq = 1 + i * 1000, .ack = 1, .len = 1000, .win = WIN};
        burst[i] = trace_make(t, &s);
        assert_int_equal(wire_parse(burst[i], &t->node.toeplitz), TG_C_none);
    }
    burst[1]->data[burst[1]->l3 + 1] |= trace_is6(state) ? 0x30 : 3;
    tcp_input(t->node.tcp, burst, 2, t->node.now);
    trace_collect(t);
    assert_int_equal(joined(t), 0);
    assert_int_equal(tcp_unread(t->node.tcp, t->h), 2000);
    trace_end(t);
}

static void nothing_joins_while_we_wait_for_an_ack(void **state)
{
    struct trace *t = established(state, false);
    trace_write(t, 0, 100);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 100);
    IN_BURST(t, {.flags = A, .seq = 1, .ack = 101, .len = 1000, .win = WIN},
             {.flags = A, .seq = 1001, .ack = 101, .len = 1000, .win = WIN},
             {.flags = A, .seq = 2001, .ack = 101, .len = 1000, .win = WIN});
    assert_int_equal(joined(t), 1); /* the first has acknowledged everything */
    OUT(t, .flags = A, .seq = 101, .ack = 3001);
    trace_end(t);
}

static void nothing_joins_behind_the_window(void **state)
{
    struct tcp_config c = node_config();
    c.receive_window_max = c.receive_window_initial = 4096;
    struct trace *t = trace_new(&c, trace_is6(state));
    trace_accept(t, (struct seg){.mss = 1460});
    struct seg s[4];
    for (unsigned i = 0; i < 4; i++)
        s[i] = (struct seg){.flags = A, .seq = 1 + i * 1400, .ack = 1, .len = 1400};
    trace_in_burst(t, s, 4);
    assert_int_equal(joined(t), 1);
    assert_int_equal(tcp_unread(t->node.tcp, t->h), 4096);
    trace_end(t);
}

/* Random bursts: in order mostly, with gaps, repetitions, odd flags, windows, sizes, ACKs of what is written. */
static void bursts_and_single_segments_agree(void **state)
{
    uint64_t runs = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct trace *t[2] = {established(state, seed & 1), established(state, seed & 1)};
        struct prng prng;
        prng_seed(&prng, seed);
        uint32_t next = 1, read = 0;
        for (unsigned round = 0; round < 20; round++) {
            struct seg s[12];
            unsigned n = 1 + (unsigned)prng_below(&prng, TG_ARRAY_LEN(s));
            for (unsigned i = 0; i < n; i++) {
                unsigned dice = (unsigned)prng_below(&prng, 40);
                uint32_t len = prng_below(&prng, 3) ? 1000 : 1 + (uint32_t)prng_below(&prng, 900);
                uint32_t seq = dice == 0 && next > 500 ? next - 500 : dice == 1 ? next + 700 : next;
                s[i] = (struct seg){.flags = dice == 2   ? A | U
                                             : dice < 20 ? A | P
                                                         : A,
                                    .seq = seq,
                                    .ack = 1,
                                    .len = dice == 3 ? 0 : len,
                                    .win = dice == 4 ? WIN + 5 : WIN};
                if (seq == next)
                    next += s[i].len;
            }
            trace_in_burst(t[0], s, n);
            trace_in_single(t[1], s, n);
            same(t[0], t[1]);
            for (unsigned side = 0; side < 2; side++) {
                trace_skip(t[side]);
                trace_read(t[side], read, tcp_unread(t[side]->node.tcp, t[side]->h));
                trace_advance(t[side], 3 * TG_MS);
                trace_skip(t[side]);
            }
            read = trace_pcb(t[0])->rcv_read - t[0]->peer_iss - 1;
            next = trace_pcb(t[0])->rcv_nxt - t[0]->peer_iss; /* fill the holes from here */
        }
        runs += joined(t[0]);
        assert_int_equal(joined(t[1]), 0);
        trace_end(t[0]);
        trace_end(t[1]);
    }
    assert_true(runs > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_run_is_one_pass_one_event_one_ack), BOTH(what_does_not_join),
        BOTH(a_congestion_mark_does_not_join),     BOTH(nothing_joins_while_we_wait_for_an_ack),
        BOTH(nothing_joins_behind_the_window),     BOTH(bursts_and_single_segments_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
