/* SPDX-License-Identifier: BSD-3-Clause
 * When memory gets short: who is reset, and that nobody who lets go of what he gets is stopped by those who do not.
 */
#include "tcp/tcp_governor_trace.h"

/* --- who is reset ---------------------------------------------------------------------------------------------- */

struct held {
    tcp_handle h;
    uint32_t iss;
    uint16_t port;
};

static struct held held_accept(struct trace *t, uint16_t port)
{
    t->tuple.remote_port = port;
    trace_accept(t, (struct seg){PEER_OPTIONS});
    return (struct held){t->h, t->our_iss, port};
}

static void held_use(struct trace *t, const struct held *held)
{
    t->tuple.remote_port = held->port;
    t->our_iss = held->iss;
    t->h = held->h;
}

/* Full segments that nobody reads. */
static void held_fill(struct trace *t, const struct held *held, unsigned segments)
{
    held_use(t, held);
    for (unsigned i = 0; i < segments; i++)
        IN(t, .flags = A, .seq = 1 + i * 1000, .ack = 1, .len = 1000);
    trace_skip(t);
}

static struct tcp_event closed_event(struct trace *t, tcp_handle h)
{
    for (struct tcp_event e; (e = node_event(&t->node)).bits;)
        if (e.handle == h && e.bits & TCP_EV_CLOSED)
            return e;
    fail_msg("no CLOSED");
    return (struct tcp_event){0};
}

/* Frames times silence decide; who has moved within pressure_idle is spared. */
static void who_holds_most_for_longest_is_reset(void **state)
{
    struct trace *t = start(state);
    struct hoard h = {.n = 0};
    struct held few = held_accept(t, 1000), many = held_accept(t, 1001),
                busy = held_accept(t, 1002);
    held_fill(t, &few, 4);
    held_fill(t, &many, 12);
    hoard_until(t, &h, 230);
    assert_int_equal(count(t, TG_C_tcp_shed_connections), 0); /* all have moved just now */
    hoard_until(t, &h, 100);
    trace_advance(t, 10 * TG_S - TG_MS);
    held_fill(t, &busy, 20);
    hoard_until(t, &h, 230);
    assert_int_equal(count(t, TG_C_tcp_shed_connections), 0);
    hoard_until(t, &h, 100);
    trace_advance(t, 2 * TG_MS);
    t->node.now += 2 * TG_MS;
    hoard_until(t, &h, 240);
    trace_collect(t);
    assert_int_equal(count(t, TG_C_tcp_shed_connections), 2); /* one a look: a turn has several */
    struct tcp_event e = closed_event(t, many.h);
    assert_int_equal(e.error, TG_NO_MEMORY);
    held_use(t, &many);
    OUT(t, .flags = R | A, .seq = 1, .ack = 12001);
    held_use(t, &few);
    OUT(t, .flags = R | A, .seq = 1, .ack = 4001);
    assert_int_equal(node_state(&t->node, busy.h), TCP_S_ESTABLISHED);
    hoard_until(t, &h, 0);
    held_use(t, &busy);
    trace_read(t, 0, 20000);
    trace_end(t);
}

/* A peer that keeps its window shut and answers probes is not silent, but nothing moves. */
static void a_shut_window_is_no_excuse(void **state)
{
    struct trace *t = start(state);
    struct hoard h = {.n = 0};
    trace_accept(t, (struct seg){PEER_OPTIONS});
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = WIN_ZERO);
    trace_write(t, 0, 20000);
    QUIET(t);
    for (unsigned i = 0; i < 11; i++) {
        trace_advance(t, TG_S);
        trace_skip(t);
        IN(t, .flags = A, .seq = 1, .ack = 1, .win = WIN_ZERO);
    }
    assert_true(count(t, TG_C_tcp_zero_window_probes) > 3);
    assert_int_equal(count(t, TG_C_tcp_shed_connections), 0);
    trace_skip(t);
    hoard_until(t, &h, 230);
    trace_collect(t);
    assert_int_equal(count(t, TG_C_tcp_shed_connections), 1);
    assert_int_equal(closed_event(t, t->h).error, TG_NO_MEMORY);
    OUT(t, .flags = R | A, .seq = 1, .ack = 1); /* of what never left nothing is skipped */
    hoard_until(t, &h, 0);
    assert_int_equal(tcp_connection_count(t->node.tcp), 0);
    assert_int_equal(t->node.pool.outstanding, 0);
    trace_end(t);
}

/* n pieces, each behind a hole. */
static void held_early(struct trace *t, const struct held *held, unsigned n)
{
    held_use(t, held);
    for (unsigned i = 0; i < n; i++)
        IN(t, .flags = A, .seq = 2001 + i * 2000, .ack = 1, .len = 1000);
    trace_skip(t);
}

static void early_pieces_go_where_most_are(void **state)
{
    struct tcp_config c = node_config();
    c.ooo_segments_max = 64;
    struct trace *t = start_with(state, c);
    struct hoard h = {.n = 0};
    struct held few = held_accept(t, 1000), many = held_accept(t, 1001);
    held_early(t, &few, 3);
    held_early(t, &many, 30);
    hoard_until(t, &h, 226); /* 203 end the shedding: 23 are wanted */
    assert_int_equal(count(t, TG_C_tcp_shed_pieces), 30);
    hoard_until(t, &h, 100);
    held_early(t, &many, 4);
    hoard_until(t, &h, 226); /* now these do not suffice */
    assert_int_equal(count(t, TG_C_tcp_shed_pieces), 30 + 4 + 3);
    assert_int_equal(tcp_connection_count(t->node.tcp), 2);
    hoard_until(t, &h, 0);
    held_use(t, &few); /* the hole is filled; what was behind it comes again */
    for (unsigned i = 0; i < 6; i++)
        IN(t, .flags = A, .seq = 1 + i * 1000, .ack = 1, .len = 1000);
    trace_read(t, 0, 6000);
    trace_end(t);
}

/* --- a pool that is used up ------------------------------------------------------------------------------------ */

#define PEERS 40u

/* Every peer leaves a hole and sends 16 pieces behind it: 640 frames, if they could be held. One connection goes on
 * exchanging requests and answers. */
static void early_pieces_stop_nobody(void **state)
{
    struct trace *t = start(state);
    t->tuple.remote_port = 999;
    trace_accept(t, (struct seg){PEER_OPTIONS});
    tcp_handle good = t->h;
    uint32_t good_iss = t->our_iss, iss[PEERS];
    for (unsigned i = 0; i < PEERS; i++) {
        t->tuple.remote_port = (uint16_t)(1000 + i);
        trace_accept(t, (struct seg){PEER_OPTIONS});
        iss[i] = t->our_iss;
    }
    unsigned exchanges = 0, most = 0;
    for (unsigned round = 0; round < 16; round++) {
        for (unsigned i = 0; i < PEERS; i++) {
            t->tuple.remote_port = (uint16_t)(1000 + i);
            t->our_iss = iss[i];
            IN(t, .flags = A, .seq = 2001 + round * 1000, .ack = 1, .len = 900);
            trace_skip(t);
            most = u32_max(most, t->node.pool.outstanding);
        }
        t->tuple.remote_port = 999;
        t->our_iss = good_iss;
        t->h = good;
        IN(t, .flags = A, .seq = 1 + exchanges * 100, .ack = 1 + exchanges * 500, .len = 100);
        node_expect_event(&t->node, TCP_EV_READABLE);
        trace_read(t, exchanges * 100, 100);
        trace_write(t, exchanges * 500, 500);
        exchanges++;
        trace_skip(t);
        t->node.now += TG_MS;
    }
    assert_int_equal(trace_info(t).retransmits, 0);
    assert_int_equal(t->node.pool.pool.exhausted, 0);
    assert_true(most > FRAMES / 2); /* it was a flood */
    assert_true(most <= FRAMES - FRAMES / 16 + 2);
    assert_true(count(t, TG_C_tcp_shed_pieces) > 100);
    assert_int_equal(tcp_connection_count(t->node.tcp), PEERS + 1);
    trace_end(t);
}

/* Users that do not read hold what was acknowledged, and that cannot be dropped. The reserve is not theirs: a user that
 * reads goes on, and so does everything when they read at last. */
static void unread_bytes_stop_nobody(void **state)
{
    struct trace *t = start(state);
    t->tuple.remote_port = 999;
    trace_accept(t, (struct seg){PEER_OPTIONS});
    tcp_handle good = t->h, handles[PEERS];
    uint32_t good_iss = t->our_iss, iss[PEERS], sent[PEERS] = {0};
    for (unsigned i = 0; i < PEERS; i++) {
        t->tuple.remote_port = (uint16_t)(1000 + i);
        trace_accept(t, (struct seg){PEER_OPTIONS});
        iss[i] = t->our_iss;
        handles[i] = t->h;
    }
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned i = 0; i < PEERS; i++) {
            t->tuple.remote_port = (uint16_t)(1000 + i);
            t->our_iss = iss[i];
            t->h = handles[i];
            IN(t, .flags = A, .seq = 1 + sent[i], .ack = 1, .len = 1400);
            sent[i] = trace_pcb(t)->rcv_nxt - t->peer_iss - 1; /* what was not taken comes again */
            trace_skip(t);
        }
        t->tuple.remote_port = 999;
        t->our_iss = good_iss;
        t->h = good;
        IN(t, .flags = A, .seq = 1 + round * 100, .ack = 1, .len = 100);
        trace_read(t, round * 100, 100);
        trace_skip(t);
        t->node.now += TG_MS;
    }
    assert_int_equal(t->node.pool.pool.exhausted, 0);
    assert_true(count(t, TG_C_tcp_shed_text) > 50);
    assert_true(t->node.pool.outstanding > FRAMES * 3 / 4);
    for (unsigned i = 0; i < PEERS; i++) {
        t->h = handles[i];
        trace_read(t, 0, sent[i]);
    }
    trace_collect(t);
    trace_skip(t);
    assert_int_equal(tcp_pressure(t->node.tcp), 0);
    t->tuple.remote_port = 1000;
    t->our_iss = iss[0];
    t->h = handles[0];
    IN(t, .flags = A, .seq = 1 + sent[0], .ack = 1, .len = 1400);
    trace_read(t, sent[0], 1400);
    trace_end(t);
}

/* Of a segment that comes with old bytes and new ones the new ones are dropped, and the old ones still have their ACK. */
static void refused_text_with_old_bytes_is_answered(void **state)
{
    struct trace *t = start(state);
    struct hoard h = {.n = 0};
    trace_accept(t, (struct seg){.mss = 1460});
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 1400);
    trace_skip(t);
    hoard_until(t, &h, FRAMES - FRAMES / 16);
    IN(t, .flags = A, .seq = 701, .ack = 1, .len = 1400);
    OUT(t, .flags = A, .seq = 1, .ack = 1401);
    assert_int_equal(count(t, TG_C_tcp_shed_text), 1);
    hoard_until(t, &h, 0);
    IN(t, .flags = A, .seq = 1401, .ack = 1, .len = 700);
    trace_skip(t);
    trace_read(t, 0, 2100);
    trace_end(t);
}

/* Nor in a run of segments, which goes a shorter way. */
static void a_run_of_segments_may_not_have_the_reserve(void **state)
{
    struct trace *t = start(state);
    struct hoard h = {.n = 0};
    trace_accept(t, (struct seg){PEER_OPTIONS});
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 1000);
    trace_skip(t);
    hoard_until(t, &h, FRAMES - FRAMES / 16);
    IN_BURST(t, {.flags = A, .seq = 1001, .ack = 1, .len = 1000},
             {.flags = A, .seq = 2001, .ack = 1, .len = 1000});
    trace_skip(t);
    assert_int_equal(trace_pcb(t)->rcv_nxt - t->peer_iss, 1001);
    assert_int_equal(count(t, TG_C_tcp_shed_text), 2);
    hoard_until(t, &h, 100);
    IN_BURST(t, {.flags = A, .seq = 1001, .ack = 1, .len = 1000},
             {.flags = A, .seq = 2001, .ack = 1, .len = 1000});
    trace_read(t, 0, 3000);
    hoard_until(t, &h, 0);
    trace_end(t);
}

/* Of the reserve (16 frames) a writer gets one while nothing of it is queued, until half is gone, or what waits for it
 * elsewhere would wait for ever; and is told when there are others. */
static void writers_wait_and_are_told(void **state)
{
    struct trace *t = start(state);
    struct hoard h = {.n = 0};
    trace_accept(t, (struct seg){PEER_OPTIONS});
    hoard_until(t, &h, FRAMES - 16);
    uint8_t bytes[2000];
    stream_fill(bytes, 0, sizeof bytes);
    assert_int_equal(tcp_write(t->node.tcp, t->h, span_make(bytes, 2000)), 1012);
    struct buf *b = test_buf(&t->node.pool.pool, bytes + 1012, 900);
    assert_int_equal(tcp_send_buf(t->node.tcp, t->h, b),
                     TG_AGAIN); /* a frame of the user's neither */
    trace_collect(t);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 1012);
    IN(t, .flags = A, .seq = 1, .ack = 1013);
    assert_int_equal(tcp_send_buf(t->node.tcp, t->h, b), TG_OK);
    trace_collect(t);
    OUT(t, .flags = A, .seq = 1013, .ack = 1, .len = 900);
    IN(t, .flags = A, .seq = 1, .ack = 1913);
    hoard_until(t, &h, FRAMES - 8);
    assert_int_equal(tcp_write(t->node.tcp, t->h, SPAN_LITERAL("hello")), 0);
    struct span_room room;
    assert_int_equal(tcp_reserve(t->node.tcp, t->h, 10, &room), TG_NO_MEMORY);
    IN(t, .flags = A, .seq = 1, .ack = 1913, .len = 100); /* an ACK finds a frame all the same */
    trace_read(t, 0, 100);
    trace_skip(t);
    hoard_until(t, &h, 100);
    trace_advance(t, 20 * TG_MS);
    bool told = false;
    for (struct tcp_event e; (e = node_event(&t->node)).bits;)
        told |= (e.bits & TCP_EV_WRITABLE) != 0;
    assert_true(told);
    assert_int_equal(tcp_write(t->node.tcp, t->h, SPAN_LITERAL("hello")), 5);
    hoard_until(t, &h, 0);
    trace_end(t);
}

/* --- when frames come back ---------------------------------------------------------------------------------------- */

/* A segment in flight times out for two seconds, by the clock at 200 ms, 600 ms, 1.4 s, 3 s. */
static void timeouts_for_want_of_frames_leave_no_backoff(void **state)
{
    enum { ENOUGH, DRY, SILENT_BEFORE, CASES };
    for (unsigned what = ENOUGH; what < CASES; what++) {
        struct trace *t = start(state);
        struct hoard h = {.n = 0};
        trace_accept(t, (struct seg){PEER_OPTIONS});
        trace_write(t, 0, 500);
        OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 500);
        if (what == SILENT_BEFORE)
            trace_advance(t, TG_S);
        if (what != ENOUGH)
            hoard_until(t, &h, FRAMES - TG_BURST + 1);
        trace_advance(t, what == SILENT_BEFORE ? TG_S : 2 * TG_S);
        assert_true(trace_skip(t) > 1);
        assert_true(trace_pcb(t)->act->backoff >= 3);
        assert_int_equal(trace_pcb(t)->rto, 200 * TG_MS);
        hoard_until(t, &h, 0);
        assert_int_equal(count(t, TG_C_tcp_revived), what == DRY);
        trace_advance(t, 2 * TIMER_TICK);
        if (what == DRY)
            OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 500);
        QUIET(t);
        trace_end(t);
    }
}

/* A probe of a shut window comes sooner, likewise. */
static void probes_that_found_no_frame_are_not_late(void **state)
{
    struct trace *t = start(state);
    struct hoard h = {.n = 0};
    trace_accept(t, (struct seg){PEER_OPTIONS});
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = WIN_ZERO);
    trace_write(t, 0, 500);
    hoard_until(t, &h, FRAMES - TG_BURST + 1);
    trace_advance(t, 2 * TG_S);
    assert_true(trace_skip(t) > 1);
    hoard_until(t, &h, 0);
    assert_int_equal(count(t, TG_C_tcp_revived), 1);
    trace_advance(t, 200 * TG_MS + TIMER_TICK);
    OUT(t, .flags = A, .seq = 0, .ack = 1);
    trace_end(t);
}

/* An ACK that found no frame at all leaves when there is one again, after 10 ms at the latest. */
static void an_answer_without_a_frame_comes_later(void **state)
{
    struct trace *t = start(state);
    struct hoard h = {.n = 0};
    trace_accept(t, (struct seg){PEER_OPTIONS});
    struct buf *b = trace_make(t, &(struct seg){.flags = A, .seq = 1, .ack = 1, .len = 1000});
    hoard_until(t, &h, FRAMES);
    assert_int_equal(node_receive(&t->node, b), TG_C_none);
    trace_advance(t, TG_S);
    QUIET(t); /* it was delayed, and then there was no frame */
    assert_true(t->node.pool.pool.exhausted > 50);
    assert_int_equal(tcp_unread(t->node.tcp, t->h), 1000);
    hoard_until(t, &h, 100);
    trace_advance(t, TCP_REPAIR + TIMER_TICK);
    OUT(t, .flags = A, .seq = 1, .ack = 1001);
    QUIET(t);
    hoard_until(t, &h, 0);
    trace_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(who_holds_most_for_longest_is_reset),
        BOTH(a_shut_window_is_no_excuse),
        BOTH(early_pieces_go_where_most_are),
        BOTH(early_pieces_stop_nobody),
        BOTH(unread_bytes_stop_nobody),
        BOTH(refused_text_with_old_bytes_is_answered),
        BOTH(a_run_of_segments_may_not_have_the_reserve),
        BOTH(writers_wait_and_are_told),
        BOTH(timeouts_for_want_of_frames_leave_no_backoff),
        BOTH(probes_that_found_no_frame_are_not_late),
        BOTH(an_answer_without_a_frame_comes_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
