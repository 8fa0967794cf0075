/* SPDX-License-Identifier: BSD-3-Clause
 * Peers that want us to hold what we have, or to work without end: each test states what they get at most, in
 * frames, segments sent or time (docs/bad-input.md, resources). What the memory governor does about those who hold much by
 * right is in tcp_governor_test and tcp_pressure_test.
 */
#include "tcp/tcp_trace.h"

#define PEERS 40u

struct peer {
    tcp_handle h;
    uint32_t our_iss;
};

static void peer_use(struct trace *t, const struct peer *p, unsigned number)
{
    t->tuple.remote_port = (uint16_t)(2000 + number);
    t->our_iss = p->our_iss;
    t->h = p->h;
}

static void peers_open(struct trace *t, struct peer peers[], unsigned n, struct seg syn)
{
    for (unsigned i = 0; i < n; i++) {
        t->tuple.remote_port = (uint16_t)(2000 + i);
        trace_accept(t, syn);
        peers[i] = (struct peer){t->h, t->our_iss};
    }
}

static unsigned drain(struct trace *t, tg_ns by)
{
    trace_advance(t, by);
    return trace_skip(t);
}

/* --- peers that never take anything ------------------------------------------------------------------------ */

/* Sockstress: the window shuts once we have something to say, and each probe is answered. Nobody waits for them. */
static void windows_shut_for_ever_end_with_their_users(void **state)
{
    struct trace *t = trace_start(state);
    struct peer peers[PEERS];
    peers_open(t, peers, PEERS, (struct seg){.mss = 1000});
    unsigned before = t->node.pool.outstanding, sent = 0;
    for (unsigned i = 0; i < PEERS; i++) {
        peer_use(t, &peers[i], i);
        IN(t, .flags = A, .seq = 1, .ack = 1, .win = WIN_ZERO);
        trace_write(t, 0, 10000);
        tcp_close(t->node.tcp, t->h);
    }
    assert_true(t->node.pool.outstanding - before <= PEERS * 10);
    for (unsigned s = 0; s < 400 && tcp_connection_count(t->node.tcp); s += 5) {
        sent += drain(t, 5 * TG_S);
        for (unsigned i = 0; i < PEERS; i++) {
            peer_use(t, &peers[i], i);
            if (tcp_lookup(t->node.tcp, &t->tuple, wire_tuple_hash(&t->node.toeplitz, &t->tuple)) !=
                FLOW_TABLE_NONE)
                IN(t, .flags = A, .seq = 1, .ack = 1, .win = WIN_ZERO);
        }
        sent += trace_skip(t);
    }
    assert_int_equal(tcp_connection_count(t->node.tcp), 0);
    assert_int_equal(t->node.pool.outstanding, before);
    assert_true(sent <= PEERS * 20);
    trace_end(t);
}

/* A reader that asks and never acknowledges the answer: it costs the send buffer's frames, R2's retransmissions, and
 * then nothing. */
static void a_reader_that_never_acknowledges(void **state)
{
    struct trace *t = trace_start(state);
    struct peer peers[PEERS];
    peers_open(t, peers, PEERS, (struct seg){.mss = 1000});
    unsigned before = t->node.pool.outstanding, sent = 0;
    for (unsigned i = 0; i < PEERS; i++) {
        peer_use(t, &peers[i], i);
        trace_write(t, 0, 30000);
        sent += trace_skip(t);
    }
    assert_int_equal(sent, PEERS * 10); /* the initial window */
    assert_true(t->node.pool.outstanding - before <= PEERS * 30);
    sent = 0;
    for (unsigned i = 0; i < 110; i++)
        sent += drain(t, 10 * TG_S);
    assert_true(sent <= PEERS * (10 + 15 + 2)); /* tail probe, R2, RST */
    unsigned closed = 0;
    for (struct tcp_event e; (e = node_event(&t->node)).bits;)
        closed += e.bits & TCP_EV_CLOSED && e.error == TG_TIMEOUT;
    assert_int_equal(closed, PEERS);
    assert_int_equal(t->node.pool.outstanding, before);
    trace_end(t);
}

/* CVE-2019-11479 and -11478: an MSS of 1 or 48 would make a segment, and a record, of each few bytes. */
static void a_tiny_mss_makes_no_tiny_segments(void **state)
{
    static const uint16_t mss[] = {1, 48, 88};
    for (unsigned i = 0; i < TG_ARRAY_LEN(mss); i++) {
        struct trace *t = trace_start(state);
        t->ts = true;
        trace_accept(t, (struct seg){.mss = mss[i], .sack_ok = true});
        unsigned before = t->node.pool.outstanding;
        trace_write(t, 0, 26000);
        unsigned segments = t->end - t->first; /* copies, as a port's */
        assert_true(t->node.pool.outstanding - before - segments <= 26000 / 256 + 1);
        assert_int_equal(segments, 10);
        for (unsigned s = 0; s < segments; s++)
            OUT(t, .flags = A, .seq = 1 + s * 260, .ack = 1, .len = 260); /* 272 - timestamps */
        trace_end(t);
    }
}

/* The same with a window of some bytes: it is filled by the clock only (the silly window's override), not by each ACK. */
static void a_tiny_window_is_served_by_the_clock(void **state)
{
    struct trace *t = trace_start(state);
    t->ts = true;
    trace_accept(t, (struct seg){.mss = 48, .sack_ok = true});
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = 8);
    trace_write(t, 0, 26000);
    unsigned sent = trace_skip(t), held = t->node.pool.outstanding;
    for (unsigned i = 0; i < 1000; i++) { /* ten seconds of ACKs, 100 a second */
        IN(t, .flags = A, .seq = 1, .ack = trace_pcb(t)->snd_nxt - t->our_iss, .win = 8);
        sent += trace_skip(t) + drain(t, 10 * TG_MS);
    }
    assert_true(sent <= 10 * 6); /* 200 ms each */
    assert_true(t->node.pool.outstanding <= held);
    trace_end(t);
}

/* --- pieces that never make a whole ------------------------------------------------------------------------ */

/* Early pieces of any length and overlap: as many frames as are configured, whatever comes; the walk is as long. */
static void overlapping_pieces_hold_a_few_frames(void **state)
{
    struct trace *t = trace_start(state);
    trace_accept(t, (struct seg){.mss = 1000, .sack_ok = true});
    unsigned before = t->node.pool.outstanding, most = 0;
    uint32_t lots = 1;
    for (unsigned i = 0; i < 5000; i++) {
        lots = lots * 1103515245u + 12345;
        uint32_t seq = 2 + (lots >> 8) % 60000, len = 1 + (lots >> 3) % 1000;
        IN(t, .flags = A, .seq = seq, .ack = 1, .len = len);
        trace_skip(t);
        most = u32_max(most, t->node.pool.outstanding - before);
    }
    assert_true(most <= t->node.tcp->config.ooo_segments_max);
    assert_int_equal(tcp_unread(t->node.tcp, t->h), 0);
    trace_end(t);
}

/* --- connections that are never over -------------------------------------------------------------------------- */

/* The peer acknowledges our FIN and keeps its own half open, alive with keep-alives. */
static void half_closed_for_ever_lasts_a_minute(void **state)
{
    struct trace *t = trace_start(state);
    struct peer peers[PEERS];
    peers_open(t, peers, PEERS, (struct seg){.mss = 1000});
    for (unsigned i = 0; i < PEERS; i++) {
        peer_use(t, &peers[i], i);
        tcp_close(t->node.tcp, t->h);
        trace_collect(t);
        OUT(t, .flags = F | A, .seq = 1, .ack = 1);
        IN(t, .flags = A, .seq = 1, .ack = 2);
    }
    assert_int_equal(tcp_connection_count(t->node.tcp), PEERS);
    for (unsigned s = 0; s < 59; s += 10) {
        drain(t, 9 * TG_S + 900 * TG_MS);
        for (unsigned i = 0; i < PEERS; i++) {
            peer_use(t, &peers[i], i);
            IN(t, .flags = A, .seq = 0, .ack = 2);
        }
    }
    assert_int_equal(tcp_connection_count(t->node.tcp), PEERS);
    drain(t, 2 * TG_S);
    assert_int_equal(tcp_connection_count(t->node.tcp), 0);
    assert_int_equal(t->node.pool.outstanding, 0);
    trace_end(t);
}

/* TIME-WAIT is a ring of records: a thousand closes, and it is still as large. */
static void time_wait_is_a_ring(void **state)
{
    struct trace *t = trace_start(state);
    for (unsigned i = 0; i < 1000; i++) {
        t->tuple.remote_port = (uint16_t)(3000 + i);
        trace_accept(t, (struct seg){.mss = 1000});
        tcp_close(t->node.tcp, t->h);
        trace_collect(t);
        OUT(t, .flags = F | A, .seq = 1, .ack = 1);
        IN(t, .flags = F | A, .seq = 1, .ack = 2);
        OUT(t, .flags = A, .seq = 2, .ack = 2);
        assert_int_equal(tcp_connection_count(t->node.tcp), 0);
        assert_true(tcp_time_wait_count(t->node.tcp) <= 32);
    }
    assert_int_equal(tcp_time_wait_count(t->node.tcp), 32);
    assert_int_equal(t->node.pool.outstanding, 0);
    drain(t, 61 * TG_S);
    assert_int_equal(tcp_time_wait_count(t->node.tcp), 0);
    trace_end(t);
}

/* All places are taken by peers that say nothing: no frame is held, who was there is served, the next one is not, until
 * keepalive has found the silent ones out. */
static void silent_peers_fill_the_table(void **state)
{
    struct tcp_config c = node_config();
    c.connections_max = PEERS;
    c.keepalive = true;
    c.keep_idle_ms = 60000;
    c.keep_interval_ms = 1000;
    c.keep_count = 3;
    struct trace *t = trace_new(&c, trace_is6(state));
    struct peer peers[PEERS];
    peers_open(t, peers, PEERS, (struct seg){.mss = 1000});
    assert_int_equal(t->node.pool.outstanding, 0);
    t->tuple.remote_port = 1999;
    IN(t, .flags = S, .seq = 0, .mss = 1000);
    trace_skip(t);
    IN(t, .flags = A, .seq = 1, .ack = 1);
    trace_skip(t);
    assert_int_equal(tcp_connection_count(t->node.tcp), PEERS);
    peer_use(t, &peers[0], 0);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 100);
    assert_int_equal(node_expect_event(&t->node, TCP_EV_READABLE), t->h);
    trace_read(t, 0, 100);
    for (unsigned i = 0; i < 70; i++) {
        peer_use(t, &peers[0], 0);
        IN(t, .flags = A, .seq = 101, .ack = 1); /* this one is alive */
        drain(t, TG_S);
    }
    while (node_event(&t->node).bits)
        ;
    assert_int_equal(tcp_connection_count(t->node.tcp), 1);
    trace_end(t);
}

/* --- tables ------------------------------------------------------------------------------------------------- */

/* Tuples that share a bucket under one key of the receive hash are strangers under another: an attacker has to know
 * the key, and each node draws its own. */
static void a_collision_holds_under_one_key_only(void **state)
{
    enum { FOUND = 512, BUCKETS = 1024 };
    static struct toeplitz a, b;
    static unsigned cells[BUCKETS];
    memset(cells, 0, sizeof cells);
    test_toeplitz_init(&a, 1);
    test_toeplitz_init(&b, 2);
    struct trace *t = trace_start(state);
    struct ip_tuple u = t->tuple;
    unsigned found = 0, most = 0;
    for (uint32_t i = 0; found < FOUND; i++) {
        u.remote_port = (uint16_t)(1 + i % 60000);
        u.remote.bytes[15] = (uint8_t)(i / 60000);
        if (wire_tuple_hash(&a, &u) % BUCKETS)
            continue;
        found++;
        unsigned *cell = &cells[wire_tuple_hash(&b, &u) % BUCKETS];
        most = u32_max(most, ++*cell);
    }
    assert_true(most <= 16); /* two buckets of eight places hold them all */
    trace_end(t);
}

/* Both buckets of base/flow_table.c's table with 64 of them, for whoever knows the key. */
static bool same_buckets(uint32_t a, uint32_t b)
{
    return !((a ^ b) & 63) && !(((a * 0x9E3779B1u >> 7) ^ (b * 0x9E3779B1u >> 7)) & 63);
}

/* Who does know the key fills two buckets and the stash, which is all that is searched for him; others find room. */
static void who_knows_the_key_is_refused_soon(void **state)
{
    struct tcp_config c = node_config();
    c.connections_max = c.half_open_max = 200; /* and 32 in TIME-WAIT: 64 buckets */
    struct trace *t = trace_new(&c, trace_is6(state));
    const struct toeplitz *key = &t->node.toeplitz;
    uint32_t first = wire_tuple_hash(key, &t->tuple);
    struct ip_tuple honest = t->tuple;
    unsigned tried = 0;
    for (uint32_t i = 0; tried < 100; i++) {
        t->tuple.remote_port = (uint16_t)(1 + i % 60000);
        t->tuple.remote.bytes[15] = (uint8_t)(20 + i / 60000);
        if (!same_buckets(first, wire_tuple_hash(key, &t->tuple)))
            continue;
        tried++;
        IN(t, .flags = S, .seq = 0, .mss = 1000);
        OUT(t, .flags = S | A, .seq = 0, .ack = 1);
        IN(t, .flags = A, .seq = 1, .ack = 1);
        trace_skip(t);
    }
    assert_int_equal(tcp_connection_count(t->node.tcp), 2 * 8 + FLOW_STASH);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_full), 100 - 2 * 8 - FLOW_STASH);
    while (node_event(&t->node).bits)
        ;
    t->tuple = honest;
    t->tuple.remote_port++;
    trace_accept(t, (struct seg){.mss = 1000});
    trace_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(windows_shut_for_ever_end_with_their_users),
        BOTH(a_reader_that_never_acknowledges),
        BOTH(a_tiny_mss_makes_no_tiny_segments),
        BOTH(a_tiny_window_is_served_by_the_clock),
        BOTH(overlapping_pieces_hold_a_few_frames),
        BOTH(half_closed_for_ever_lasts_a_minute),
        BOTH(time_wait_is_a_ring),
        BOTH(silent_peers_fill_the_table),
        BOTH(a_collision_holds_under_one_key_only),
        BOTH(who_knows_the_key_is_refused_soon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
