/* SPDX-License-Identifier: BSD-3-Clause
 * Payload in: order, holes, overlaps, FIN; what an attacker with tiny segments can pin.
 */
#include "tcp/tcp_trace.h"

static struct trace *established(void **state)
{
    return trace_established(state, (struct seg){.mss = 1460, .sack_ok = true, .wscale_plus_1 = 8});
}

/* --- holes ---------------------------------------------------------------------------------------------------- */

static void a_hole_is_told_and_its_filling_acknowledged_at_once(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 1001, .ack = 1, .len = 1000);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .sack = {{1001, 2001}});
    node_expect_no_event(&t->node);
    IN(t, .flags = A, .seq = 2001, .ack = 1, .len = 500);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .sack = {{1001, 2501}});
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 1000);
    OUT(t, .flags = A, .seq = 1, .ack = 2501);
    node_expect_event(&t->node, TCP_EV_READABLE);
    trace_read(t, 0, 2500);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_out_of_order), 2);
    trace_end(t);
}

static void partial_filling_is_acknowledged_at_once(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 2001, .ack = 1, .len = 100);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .sack = {{2001, 2101}});
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 1000);
    OUT(t, .flags = A, .seq = 1, .ack = 1001, .sack = {{2001, 2101}});
    trace_end(t);
}

/* RFC 2018 s4: the newest first, and no more than fit. */
static void sack_blocks_newest_first(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 1001, .ack = 1, .len = 100);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .sack = {{1001, 1101}});
    IN(t, .flags = A, .seq = 3001, .ack = 1, .len = 100);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .sack = {{3001, 3101}, {1001, 1101}});
    IN(t, .flags = A, .seq = 2001, .ack = 1, .len = 100);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .sack = {{2001, 2101}, {3001, 3101}, {1001, 1101}});
    IN(t, .flags = A, .seq = 5001, .ack = 1, .len = 100);
    OUT(t, .flags = A, .seq = 1, .ack = 1,
        .sack = {{5001, 5101}, {2001, 2101}, {3001, 3101}, {1001, 1101}});
    IN(t, .flags = A, .seq = 4001, .ack = 1, .len = 100);
    OUT(t, .flags = A, .seq = 1, .ack = 1,
        .sack = {{4001, 4101}, {5001, 5101}, {2001, 2101}, {3001, 3101}});
    trace_end(t);
}

/* RFC 2883 s4: a duplicate is named first, once; early bytes that came twice are followed by their block. */
static void duplicates_are_named(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 500);
    trace_advance(t, 50 * TG_MS);
    OUT(t, .flags = A, .seq = 1, .ack = 501);
    IN(t, .flags = A, .seq = 401, .ack = 1, .len = 300); /* the front came before */
    OUT(t, .flags = A, .seq = 1, .ack = 701, .sack = {{401, 501}});
    IN(t, .flags = A, .seq = 1001, .ack = 1, .len = 100);
    OUT(t, .flags = A, .seq = 1, .ack = 701, .sack = {{1001, 1101}});
    IN(t, .flags = A, .seq = 2001, .ack = 1, .len = 100);
    OUT(t, .flags = A, .seq = 1, .ack = 701, .sack = {{2001, 2101}, {1001, 1101}});
    IN(t, .flags = A, .seq = 1001, .ack = 1, .len = 100); /* the early one again */
    OUT(t, .flags = A, .seq = 1, .ack = 701, .sack = {{1001, 1101}, {1001, 1101}, {2001, 2101}});
    IN(t, .flags = A, .seq = 951, .ack = 1, .len = 300); /* covers it */
    OUT(t, .flags = A, .seq = 1, .ack = 701, .sack = {{1001, 1101}, {951, 1251}, {2001, 2101}});
    IN(t, .flags = A, .seq = 3001, .ack = 1, .len = 100); /* nothing came twice any more */
    OUT(t, .flags = A, .seq = 1, .ack = 701, .sack = {{3001, 3101}, {951, 1251}, {2001, 2101}});
    trace_end(t);
}

static void with_timestamps_three_blocks_fit(void **state)
{
    struct trace *t = trace_start(state);
    t->ts = true;
    trace_accept(t, (struct seg){PEER_OPTIONS});
    for (unsigned i = 1; i <= 3; i++) {
        IN(t, .flags = A, .seq = 1000 * i + 1, .ack = 1, .len = 100);
        trace_skip(t);
    }
    IN(t, .flags = A, .seq = 4001, .ack = 1, .len = 100);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .sack = {{4001, 4101}, {3001, 3101}, {2001, 2101}});
    trace_end(t);
}

static void duplicate_acks_stay_bare(void **state)
{
    struct trace *t = established(state);
    IN_BURST(t, {.flags = A, .seq = 1001, .ack = 1, .len = 100});
    trace_skip(t);
    struct seg s = {.flags = A, .seq = 2001, .ack = 1, .len = 100};
    assert_int_equal(node_receive(&t->node, trace_make(t, &s)), TG_C_none);
    trace_write(t, 0, 5000); /* data in the same turn */
    OUT(t, .flags = A, .seq = 1, .ack = 1, .sack = {{2001, 2101}, {1001, 1101}});
    uint32_t seq = 1, mss = trace_info(t).mss;
    for (; seq + mss <= 5001; seq += mss)
        OUT(t, .flags = A, .seq = seq, .ack = 1, .len = mss); /* no room for blocks */
    OUT(t, .flags = A, .seq = seq, .ack = 1, .len = 5001 - seq,
        .sack = {{2001, 2101}, {1001, 1101}});
    QUIET(t);
    trace_end(t);
}

/* RFC 6691: options count against the peer's MSS. */
static void blocks_stay_below_the_peers_mss(void **state)
{
    struct trace *t = trace_start(state);
    struct seg s = {.flags = A, .seq = 2001, .ack = 1, .len = 100};
    trace_accept(t, (struct seg){.mss = 1000, .sack_ok = true});
    IN_BURST(t, {.flags = A, .seq = 1001, .ack = 1, .len = 100});
    trace_skip(t);
    assert_int_equal(node_receive(&t->node, trace_make(t, &s)), TG_C_none);
    trace_write(t, 0, 1988); /* the second leaves room for one block */
    OUT(t, .flags = A, .seq = 1, .ack = 1, .sack = {{2001, 2101}, {1001, 1101}});
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 1000);
    OUT(t, .flags = A, .seq = 1001, .ack = 1, .len = 988, .sack = {{2001, 2101}});
    trace_end(t);
}

static void a_peer_without_sack_can_count(void **state)
{
    struct trace *t = trace_start(state);
    trace_accept(t, (struct seg){.mss = 1460});
    IN_BURST(t, {.flags = A, .seq = 1001, .ack = 1, .len = 100},
             {.flags = A, .seq = 1101, .ack = 1, .len = 100},
             {.flags = A, .seq = 1201, .ack = 1, .len = 100});
    for (unsigned i = 0; i < 3; i++)
        OUT(t, .flags = A, .seq = 1, .ack = 1);
    QUIET(t);
    trace_end(t);
}

/* --- every order and overlap -------------------------------------------------------------------------------------- */

static void permute(void **state, unsigned order[5], unsigned n)
{
    if (n == 5) {
        struct trace *t = established(state);
        for (unsigned i = 0; i < 5; i++)
            IN(t, .flags = A, .seq = 1 + 300 * order[i], .ack = 1, .len = 300);
        assert_int_equal(trace_info(t).unread, 1500);
        trace_read(t, 0, 1500);
        assert_int_equal(trace_pcb(t)->act->ooo_count, 0);
        trace_end(t);
        return;
    }
    for (unsigned i = 0; i < 5; i++) {
        bool used = false;
        for (unsigned k = 0; k < n; k++)
            used |= order[k] == i;
        if (used)
            continue;
        order[n] = i;
        permute(state, order, n + 1);
    }
}

static void all_120_orders_of_five(void **state)
{
    unsigned order[5];
    permute(state, order, 0);
}

/* Three pieces of a 6-byte stream at every place and length, then all of it: 21^3 = 9,261 cases. */
static void all_overlaps_of_three(void **state)
{
    struct trace *t = established(state);
    uint32_t base = 0;
    for (unsigned code = 0; code < 21 * 21 * 21; code++) {
        for (unsigned k = 0, rest = code; k < 3; k++, rest /= 21) {
            unsigned piece = rest % 21, start = 0, len = 6;
            while (piece >= len) { /* numbers the (start, len) pairs within 6 bytes */
                piece -= len;
                start++;
                len--;
            }
            /* + 1: byte 0 is missing until the end, so all of it waits out of order */
            IN_BURST(t, {.flags = A, .seq = base + 2 + start, .ack = 1, .len = piece + 1});
        }
        assert_int_equal(trace_info(t).unread, 0);
        IN_BURST(t, {.flags = A, .seq = base + 1, .ack = 1, .len = 7});
        assert_int_equal(trace_info(t).unread, 7);
        trace_read(t, base, 7);
        assert_int_equal(trace_pcb(t)->act->ooo_count, 0);
        base += 7;
        trace_skip(t);
    }
    trace_end(t);
}

static void random_segments_make_the_stream(void **state)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct trace *t = established(state);
        struct prng p;
        prng_seed(&p, seed);
        uint32_t done = 0;
        const uint32_t total = 40000;
        for (unsigned i = 0; i < 20000 && done < total; i++) {
            uint32_t at = done + (uint32_t)prng_below(&p, 6000) - (uint32_t)prng_below(&p, 500);
            if ((int32_t)at < 0 || prng_below(&p, 8) == 0)
                at = done;
            IN_BURST(
                t,
                {.flags = A, .seq = 1 + at, .ack = 1, .len = 1 + (uint32_t)prng_below(&p, 1400)});
            trace_skip(t);
            uint32_t n = trace_info(t).unread;
            trace_read(t, done, n);
            done += n;
            trace_skip(t);
        }
        assert_true(done >= total);
        trace_end(t);
    }
}

/* --- limits ----------------------------------------------------------------------------------------------------- */

static void pieces_are_limited_and_the_farthest_goes(void **state)
{
    struct trace *t = established(state); /* ooo_segments_max 16 */
    for (unsigned i = 0; i < 40; i++)
        IN(t, .flags = A, .seq = 10001 + 1000 * (40 - i), .ack = 1, .len = 300);
    assert_int_equal(trace_pcb(t)->act->ooo_count, 16);
    assert_int_equal(trace_pcb(t)->act->ooo_first->seq - t->peer_iss,
                     11001); /* the nearest stayed */
    assert_int_equal(node_counted(&t->node, TG_C_tcp_ooo_full), 24);
    IN(t, .flags = A, .seq = 100001, .ack = 1, .len = 300); /* farther than all: not taken */
    assert_int_equal(trace_pcb(t)->act->ooo_count, 16);
    trace_skip(t);
    trace_end(t);
}

/* SegmentSmack (CVE-2018-5390): every other byte. */
static void every_other_byte_pins_little(void **state)
{
    struct trace *t = established(state);
    unsigned before = t->node.pool.outstanding;
    for (unsigned i = 1; i < 5000; i++) {
        IN(t, .flags = A, .seq = 1 + 2 * i, .ack = 1, .len = 1);
        trace_skip(t);
    }
    assert_true(t->node.pool.outstanding <= before + 16);
    trace_end(t);
}

static void single_bytes_share_frames(void **state)
{
    struct trace *t = established(state);
    unsigned before = t->node.pool.outstanding;
    for (unsigned i = 0; i < 20000; i++) {
        IN(t, .flags = A, .seq = 1 + i, .ack = 1, .len = 1);
        trace_skip(t);
    }
    assert_true(t->node.pool.outstanding - before <= 20000 / 1000);
    trace_read(t, 0, 20000);
    assert_int_equal(t->node.pool.outstanding, before);
    trace_end(t);
}

/* 256 bytes is what is no longer copied as small: a window full of them must not cost 8 times as much. */
static void middling_segments_share_frames_when_they_pile_up(void **state)
{
    struct trace *t = established(state);
    unsigned before = t->node.pool.outstanding;
    for (unsigned i = 0; i < 1000; i++) {
        IN(t, .flags = A, .seq = 1 + 256 * i, .ack = 1, .len = 256);
        trace_skip(t);
    }
    assert_int_equal(trace_info(t).unread, 256000);
    assert_true(t->node.pool.outstanding - before <
                400); /* 256 frames until it counts as piling up */
    trace_read(t, 0, 256000);
    trace_end(t);
}

static void early_single_bytes_share_frames(void **state)
{
    struct trace *t = established(state);
    unsigned before = t->node.pool.outstanding;
    for (unsigned i = 1; i <= 2000; i++) {
        IN(t, .flags = A, .seq = 1 + i, .ack = 1, .len = 1);
        trace_skip(t);
    }
    assert_true(t->node.pool.outstanding - before <= 3);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 1);
    trace_read(t, 0, 2001);
    trace_end(t);
}

/* --- FIN -------------------------------------------------------------------------------------------------------- */

static void fin_is_acknowledged_at_once(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A | F, .seq = 1, .ack = 1, .len = 10);
    OUT(t, .flags = A, .seq = 1, .ack = 12);
    node_expect_event(&t->node, TCP_EV_READABLE | TCP_EV_PEER_FIN);
    assert_int_equal(trace_info(t).unread, 10);
    IN(t, .flags = A | F, .seq = 1, .ack = 1, .len = 10); /* again */
    OUT(t, .flags = A, .seq = 1, .ack = 12, .sack = {{1, 12}});
    IN(t, .flags = A | F, .seq = 11, .ack = 1);
    OUT(t, .flags = A, .seq = 1, .ack = 12, .sack = {{11, 12}});
    node_expect_no_event(&t->node);
    trace_read(t, 0, 10);
    assert_true(tcp_at_end(t->node.tcp, t->h));
    trace_end(t);
}

static void fin_waits_for_what_is_missing(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A | F, .seq = 101, .ack = 1, .len = 10);
    OUT(t, .flags = A, .seq = 1, .ack = 1,
        .sack = {{101, 112}}); /* the segment is here as a whole */
    assert_int_equal(trace_info(t).state, TCP_S_ESTABLISHED);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 100);
    OUT(t, .flags = A, .seq = 1, .ack = 112);
    node_expect_event(&t->node, TCP_EV_READABLE | TCP_EV_PEER_FIN);
    trace_read(t, 0, 110);
    trace_end(t);
}

static void a_bare_fin_waits_too(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A | F, .seq = 101, .ack = 1);
    OUT(t, .flags = A, .seq = 1, .ack = 1);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 100);
    OUT(t, .flags = A, .seq = 1, .ack = 102);
    assert_int_equal(trace_info(t).state, TCP_S_CLOSE_WAIT);
    trace_end(t);
}

static void nothing_counts_behind_a_fin(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A | F, .seq = 51, .ack = 1, .len = 50);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .sack = {{51, 102}});
    IN(t, .flags = A, .seq = 91, .ack = 1, .len = 20);     /* over the end */
    IN(t, .flags = A | F, .seq = 51, .ack = 1, .len = 40); /* another end */
    IN(t, .flags = A | F, .seq = 101, .ack = 1, .len = 5);
    QUIET(t);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_bad_segment), 3);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 50);
    OUT(t, .flags = A, .seq = 1, .ack = 102);
    IN(t, .flags = A, .seq = 102, .ack = 1, .len = 50);
    trace_read(t, 0, 100);
    assert_true(tcp_at_end(t->node.tcp, t->h));
    trace_end(t);
}

static void a_fin_in_front_of_known_text_is_a_lie(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 101, .ack = 1, .len = 50);
    trace_skip(t);
    IN(t, .flags = A | F, .seq = 1, .ack = 1, .len = 20);
    QUIET(t);
    assert_int_equal(trace_info(t).state, TCP_S_ESTABLISHED);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 100);
    trace_read(t, 0, 150);
    trace_end(t);
}

/* The rest of such a segment is refused, and still its old bytes are a duplicate, which is answered at once. */
static void the_old_part_of_a_lie_is_named_at_once(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 100);
    IN(t, .flags = A, .seq = 201, .ack = 1, .len = 50);
    trace_skip(t);
    IN(t, .flags = A | F, .seq = 51, .ack = 1, .len = 100);
    OUT(t, .flags = A, .seq = 1, .ack = 101, .sack = {{51, 101}, {201, 251}});
    QUIET(t);
    assert_int_equal(trace_info(t).state, TCP_S_ESTABLISHED);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_bad_segment), 1);
    trace_end(t);
}

/* --- pool ------------------------------------------------------------------------------------------------------- */

static void an_empty_pool_delays_the_ack(void **state)
{
    struct trace *t = established(state);
    struct seg s = {.flags = A, .seq = 1, .ack = 1, .len = 1000};
    struct buf *a = trace_make(t, &s);
    s.seq = 1001;
    struct buf *b = trace_make(t, &s);
    t->node.pool.limit = t->node.pool.outstanding;
    assert_int_equal(node_receive(&t->node, a), TG_C_none);
    assert_int_equal(node_receive(&t->node, b), TG_C_none);
    node_turn(&t->node); /* the ACK is due and there is no frame */
    t->node.pool.limit = UINT32_MAX;
    trace_collect(t);
    QUIET(t);
    trace_advance(t, 15 * TG_MS);
    OUT(t, .flags = A, .seq = 1, .ack = 2001);
    trace_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_hole_is_told_and_its_filling_acknowledged_at_once),
        BOTH(partial_filling_is_acknowledged_at_once),
        BOTH(sack_blocks_newest_first),
        BOTH(duplicates_are_named),
        BOTH(with_timestamps_three_blocks_fit),
        BOTH(duplicate_acks_stay_bare),
        BOTH(blocks_stay_below_the_peers_mss),
        BOTH(a_peer_without_sack_can_count),
        BOTH(all_120_orders_of_five),
        BOTH(all_overlaps_of_three),
        BOTH(random_segments_make_the_stream),
        BOTH(pieces_are_limited_and_the_farthest_goes),
        BOTH(every_other_byte_pins_little),
        BOTH(single_bytes_share_frames),
        BOTH(middling_segments_share_frames_when_they_pile_up),
        BOTH(early_single_bytes_share_frames),
        BOTH(fin_is_acknowledged_at_once),
        BOTH(fin_waits_for_what_is_missing),
        BOTH(a_bare_fin_waits_too),
        BOTH(nothing_counts_behind_a_fin),
        BOTH(a_fin_in_front_of_known_text_is_a_lie),
        BOTH(the_old_part_of_a_lie_is_named_at_once),
        BOTH(an_empty_pool_delays_the_ack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
