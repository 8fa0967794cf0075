/* SPDX-License-Identifier: BSD-3-Clause
 * Two stacks back to back: whole conversations, with and without loss, over both families.
 */
#include "tcp/tcp_pair.h"

static struct pair *start(uint64_t seed, bool ip6)
{
    struct tcp_config c = node_config();
    struct pair *p = pair_new(&c, &c, seed);
    pair_connect(p, ip6);
    return p;
}

static void exchange(bool ip6, uint32_t up, uint32_t down)
{
    struct pair *p = start(1, ip6);
    p->user[0].to_send = up;
    p->user[1].to_send = down;
    pair_run(p, 10 * TG_S);
    pair_expect_done(p);
    assert_int_equal(tcp_time_wait_count(p->node[0].tcp) + tcp_time_wait_count(p->node[1].tcp), 1);
    assert_int_equal(node_counted(&p->node[0], TG_C_tcp_retransmits), 0);
    assert_int_equal(node_counted(&p->node[1], TG_C_tcp_retransmits), 0);
    pair_run(p, 61 * TG_S);
    assert_int_equal(tcp_time_wait_count(p->node[0].tcp) + tcp_time_wait_count(p->node[1].tcp), 0);
    pair_end(p);
}

static void small_exchange(void **state)
{
    exchange(false, 100, 1000);
    exchange(true, 100, 1000);
}

static void bulk_both_ways(void **state)
{
    exchange(false, 1000000, 2000000);
    exchange(true, 1000000, 2000000);
}

/* --- loss: every stream arrives whole ---------------------------------------------------------------------- */

static void lossy(uint64_t seed, unsigned loss, unsigned duplicates, tg_ns jitter, bool ip6)
{
    struct pair *p = start(seed, ip6);
    p->loss_permille = loss;
    p->duplicate_permille = duplicates;
    p->jitter = jitter;
    pair_exchange_and_end(p);
}

static void survives_loss(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++)
        lossy(seed, 10 + 10 * (unsigned)seed, 0, 0, seed & 1);
}

static void survives_reordering_and_duplicates(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++)
        lossy(seed, 0, 100, 20 * TG_MS, seed & 1);
}

static void survives_everything(void **state)
{
    for (uint64_t seed = 1; seed <= 40; seed++)
        lossy(seed, 50, 50, 10 * TG_MS, seed & 1);
}

/* --- knobs ------------------------------------------------------------------------------------------------------- */

static uint64_t knob_value(struct prng *prng, enum tcp_option_name name)
{
    switch (name) {
    case TCP_OPT_KEEP_IDLE:
    case TCP_OPT_KEEP_INTERVAL:
        return 100 + prng_below(prng, 5000);
    case TCP_OPT_KEEP_COUNT:
        return 100; /* nobody dies of it here */
    case TCP_OPT_NOTSENT_LOWAT:
    case TCP_OPT_SEND_BUFFER:
        return 4096 + prng_below(prng, 60000);
    case TCP_OPT_MSS:
        return 600 + prng_below(prng, 900);
    case TCP_OPT_RECEIVE_WINDOW:
        return 4096 + prng_below(prng, 200000);
    case TCP_OPT_DSCP:
        return prng_below(prng, 64);
    default:
        return prng_below(prng, 2); /* switches, quick ACKs, congestion controls */
    }
}

static void knob_set(struct pair *p, unsigned side, enum tcp_option_name name, uint64_t value)
{
    enum tg_err err = tcp_set_option(p->node[side].tcp, p->user[side].h, name, value);
    assert_true(err == TG_OK || err == TG_STALE);
}

static void knob_turn(struct pair *p)
{
    unsigned side = (unsigned)prng_below(&p->prng, 2);
    enum tcp_option_name name = (enum tcp_option_name)prng_below(&p->prng, TCP_OPT_COUNT);
    if (name == TCP_OPT_USER_TIMEOUT) /* would end it, rightly */
        return;
    enum tg_err err =
        tcp_set_option(p->node[side].tcp, p->user[side].h, name, knob_value(&p->prng, name));
    assert_true(err == TG_OK || err == TG_STALE);
}

/* Every knob is turned again and again under way, with loss: the streams arrive whole all the same. */
static void knobs_are_turned_under_way(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct tcp_config c = node_config();
        c.receive_window_initial = 8192;
        struct pair *p = pair_new(&c, &c, seed);
        pair_connect(p, seed & 1);
        p->loss_permille = (unsigned)(seed % 3) * 20;
        p->user[0].to_send = 100000;
        p->user[1].to_send = 300000;
        for (unsigned turn = 0; turn < 2000; turn++) {
            knob_turn(p);
            pair_run(p, 20 * TG_MS);
        }
        p->loss_permille = 0;
        for (unsigned i = 0; i < 2; i++) /* a keepalive of 100 ms never lets a pair come to rest */
            knob_set(p, i, TCP_OPT_KEEPALIVE, 0);
        pair_run(p, 300 * TG_S);
        pair_expect_done(p);
        pair_end(p);
    }
}

/* --- users that behave otherwise ------------------------------------------------------------------------------ */

/* The server sends back what it gets, in the frames that brought it. */
static void echo(uint64_t seed, unsigned loss, bool busy)
{
    struct pair *p = start(seed, seed & 1);
    p->loss_permille = loss;
    p->user[0].to_send = 400000;
    p->user[1].forward = true;
    p->node[0].port_busy = p->node[1].port_busy = busy;
    pair_run(p, 300 * TG_S);
    p->loss_permille = 0;
    pair_run(p, 300 * TG_S);
    pair_expect_done(p);
    assert_int_equal(p->user[0].received, 400000);
    pair_end(p);
}

static void echo_by_whole_frames(void **state)
{
    for (uint64_t seed = 1; seed <= 10; seed++)
        echo(seed, seed < 3 ? 0 : 30, false);
}

/* The port never lets go: every retransmission travels as a copy. */
static void a_port_that_holds_its_frames(void **state)
{
    for (uint64_t seed = 1; seed <= 6; seed++)
        echo(seed, 50, true);
}

static void a_slow_reader_shuts_the_window(void **state)
{
    for (unsigned seed = 1; seed <= 6; seed++) {
        struct tcp_config c = node_config();
        c.receive_window_max = 10000 * seed;
        struct pair *p = pair_new(&c, &c, seed);
        pair_connect(p, seed & 1);
        p->loss_permille = seed > 3 ? 30 : 0;
        p->user[0].to_send = 300000;
        p->user[1].to_send = 300000;
        p->user[0].read_max = p->user[1].read_max = 700;
        pair_run(p, 900 * TG_S);
        pair_expect_done(p);
        pair_end(p);
    }
}

static void a_reader_that_stops_for_a_minute(void **state)
{
    struct pair *p = start(3, false);
    p->user[0].to_send = 1000000;
    p->user[1].stop_reading = true;
    pair_run(p, 60 * TG_S);
    assert_true(p->user[0].sent < 700000); /* both buffers, no more */
    assert_true(node_counted(&p->node[0], TG_C_tcp_zero_window_probes) > 3);
    p->user[1].stop_reading = false;
    pair_run(p, 200 * TG_S); /* the next probe, or the window update, gets it going */
    pair_expect_done(p);
    pair_end(p);
}

static void a_silent_link_ends_in_a_timeout(void **state)
{
    struct tcp_config c = node_config();
    c.retries = 5;
    struct pair *p = pair_new(&c, &c, 1);
    pair_connect(p, true);
    p->user[0].to_send = 10000000;
    p->user[1].to_send = 100;
    pair_run(p, 100 * TG_MS);
    p->cut = true;
    pair_run(p, 100 * TG_S);
    assert_true(p->user[0].closed);
    assert_int_equal(p->user[0].error, TG_TIMEOUT);
    pair_end(p);
}

static void a_link_that_comes_back(void **state)
{
    struct pair *p = start(1, false);
    p->user[0].to_send = 1000000;
    p->user[1].to_send = 1000000;
    pair_run(p, 60 * TG_MS);
    for (unsigned i = 0; i < 5; i++) {
        p->cut = true;
        pair_run(p, 3 * TG_S);
        p->cut = false;
        pair_run(p, 50 * TG_MS);
    }
    pair_run(p, 300 * TG_S);
    pair_expect_done(p);
    pair_end(p);
}

static void both_open_at_once(void **state)
{
    for (unsigned ip6 = 0; ip6 < 2; ip6++) {
        struct tcp_config c = node_config();
        struct pair *p = pair_new(&c, &c, 1);
        tcp_unlisten(p->node[1].tcp, 80);
        for (unsigned i = 0; i < 2; i++) {
            const struct node *other = &p->node[!i];
            assert_int_equal(tcp_connect(p->node[i].tcp, NULL,
                                         ip6 ? &other->address6 : &other->address4, 1, 0, 0, p->now,
                                         &p->user[i].h),
                             TG_OK);
            /* The same pair of ports on both sides. */
            struct tcp_pcb *pcb = tcp_pcb_find(p->node[i].tcp, p->user[i].h);
            struct tcp *tcp = p->node[i].tcp;
            assert_true(flow_table_remove(&tcp->flows, pcb->hash, tcp_pcb_index(tcp, pcb)));
            pcb->tuple.local_port = (uint16_t)(5000 + i);
            pcb->tuple.remote_port = (uint16_t)(5001 - i);
            pcb->hash = wire_tuple_hash(tcp->toeplitz, &pcb->tuple);
            assert_int_equal(flow_table_insert(&tcp->flows, pcb->hash, tcp_pcb_index(tcp, pcb)),
                             TG_OK);
        }
        p->user[0].to_send = 50000;
        p->user[1].to_send = 70000;
        pair_run(p, 30 * TG_S);
        pair_expect_done(p);
        pair_end(p);
    }
}

/* --- an empty pool at any moment --------------------------------------------------------------------------------- */

static void a_pool_that_fails_now_and_then(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct pair *p = start(seed, seed & 1);
        p->user[0].to_send = 100000;
        p->user[1].to_send = 100000;
        if (seed > 10)
            p->user[1].forward = true, p->user[1].to_send = 0;
        for (unsigned i = 0; i < 3000; i++) {
            unsigned side = (unsigned)prng_below(&p->prng, 2);
            if (prng_below(&p->prng, 3) == 0)
                p->node[side].pool.limit =
                    p->node[side].pool.outstanding + (unsigned)prng_below(&p->prng, 3);
            pair_run(p, 2 * TG_MS);
            p->node[side].pool.limit = UINT32_MAX;
        }
        pair_run(p, 400 * TG_S);
        pair_expect_done(p);
        pair_end(p);
    }
}

/* --- the same seed, the same packets -------------------------------------------------------------------------------- */

static uint64_t digest(uint64_t seed)
{
    struct pair *p = start(seed, false);
    p->loss_permille = 40;
    p->jitter = 3 * TG_MS;
    p->user[0].to_send = 200000;
    p->user[1].to_send = 100000;
    uint64_t h = 0;
    for (unsigned i = 0; i < 2000; i++) {
        pair_run(p, 5 * TG_MS);
        h = h * 31 + p->frames * 7 + p->user[0].received + p->user[1].received;
        for (unsigned k = 0; k < p->count; k++)
            h = h * 31 + hash_crc32c(0, span_make(p->flying[k]->bytes, p->flying[k]->len));
    }
    pair_end(p);
    return h;
}

static void runs_repeat(void **state)
{
    for (uint64_t seed = 1; seed <= 3; seed++)
        assert_true(digest(seed) == digest(seed));
    assert_true(digest(1) != digest(2));
}

/* --- recovery is good, not only right --------------------------------------------------------------------------------- */

#define MBIT_100 80 /* ns a byte */

/* 100 Mbit/s, 50 ms there and back (BDP 625 KB), a queue of one BDP: time for 8 MB. At the link's rate
 * it would be 693 ms with headers, plus one and a half round trips. */
static tg_ns time_for_8_mb(uint64_t seed, unsigned loss, tg_ns jitter, uint64_t *timeouts)
{
    struct tcp_config c = node_config();
    c.receive_window_max = c.send_buffer_max = 4u << 20;
    c.unsent_low = 1u << 20;
    c.ooo_segments_max = 1024;
    struct pair *p = pair_new(&c, &c, seed);
    pair_connect(p, false);
    p->delay = 25 * TG_MS;
    p->byte_time = MBIT_100;
    p->queue_max = 625000;
    p->loss_permille = loss;
    p->jitter = jitter;
    p->user[0].to_send = 8000000;
    tg_ns begin = p->now;
    while (p->user[1].received < 8000000) {
        pair_run(p, 5 * TG_MS);
        assert_true(p->now - begin < 300 * TG_S);
    }
    tg_ns took = p->now - begin;
    *timeouts += node_counted(&p->node[0], TG_C_tcp_rto);
    pair_end(p);
    return took;
}

static void slow_start_fills_the_pipe(void **state)
{
    uint64_t timeouts = 0;
    tg_ns took = time_for_8_mb(1, 0, 0, &timeouts);
    print_message("8 MB at 100 Mbit/s, 50 ms: %u ms, %u timeouts\n", (unsigned)(took / TG_MS),
                  (unsigned)timeouts);
    assert_true(took <= 3500 * TG_MS);
}

static void one_percent_loss(void **state)
{
    tg_ns sum = 0;
    uint64_t timeouts = 0;
    for (uint64_t seed = 1; seed <= 5; seed++)
        sum += time_for_8_mb(seed, 10, 0, &timeouts);
    print_message("8 MB at 100 Mbit/s, 50 ms, 1 %% loss: %u ms on average, %u timeouts\n",
                  (unsigned)(sum / 5 / TG_MS), (unsigned)timeouts);
    /* CUBIC's Reno region sends about 1.2 / sqrt(p) = 12 segments a round trip: 23 s. */
    assert_true(sum / 5 < 30 * TG_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_exchange),
        cmocka_unit_test(bulk_both_ways),
        cmocka_unit_test(survives_loss),
        cmocka_unit_test(survives_reordering_and_duplicates),
        cmocka_unit_test(survives_everything),
        cmocka_unit_test(knobs_are_turned_under_way),
        cmocka_unit_test(echo_by_whole_frames),
        cmocka_unit_test(a_port_that_holds_its_frames),
        cmocka_unit_test(a_slow_reader_shuts_the_window),
        cmocka_unit_test(a_reader_that_stops_for_a_minute),
        cmocka_unit_test(a_silent_link_ends_in_a_timeout),
        cmocka_unit_test(a_link_that_comes_back),
        cmocka_unit_test(both_open_at_once),
        cmocka_unit_test(a_pool_that_fails_now_and_then),
        cmocka_unit_test(runs_repeat),
        cmocka_unit_test(slow_start_fills_the_pipe),
        cmocka_unit_test(one_percent_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
