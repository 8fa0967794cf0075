/* SPDX-License-Identifier: BSD-3-Clause
 * When an ACK leaves: late, with data, at once (RFC 5681 s4.2, RFC 9293 s3.8.6.3).
 */
#include "tcp/tcp_trace.h"

static struct trace *established(void **state)
{
    return trace_established(state, (struct seg){.mss = 1460, .sack_ok = true, .wscale_plus_1 = 8});
}

static void one_segment_is_acknowledged_late(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 1000);
    trace_advance(t, 39 * TG_MS);
    QUIET(t);
    trace_advance(t, 2 * TG_MS);
    OUT(t, .flags = A, .seq = 1, .ack = 1001);
    trace_advance(t, TG_S);
    QUIET(t);
    trace_end(t);
}

static void every_second_full_segment_at_once(void **state)
{
    struct trace *t = established(state);
    for (unsigned i = 0; i < 6; i++) {
        IN(t, .flags = A, .seq = 1 + 1000 * i, .ack = 1, .len = 1000);
        if (i & 1)
            OUT(t, .flags = A, .seq = 1, .ack = 1001 + 1000 * i);
        QUIET(t);
    }
    trace_advance(t, TG_S);
    QUIET(t);
    trace_end(t);
}

static void one_ack_for_a_burst(void **state)
{
    struct trace *t = established(state);
    IN_BURST(t, {.flags = A, .seq = 1, .ack = 1, .len = 1000},
             {.flags = A, .seq = 1001, .ack = 1, .len = 1000},
             {.flags = A, .seq = 2001, .ack = 1, .len = 1000},
             {.flags = A, .seq = 3001, .ack = 1, .len = 1000},
             {.flags = A, .seq = 4001, .ack = 1, .len = 1000});
    OUT(t, .flags = A, .seq = 1, .ack = 5001);
    QUIET(t);
    node_expect_event(&t->node, TCP_EV_READABLE); /* one event too */
    node_expect_no_event(&t->node);
    trace_read(t, 0, 5000);
    trace_end(t);
}

static void the_first_segments_are_acknowledged_at_once(void **state)
{
    struct trace *t = trace_start(state);
    trace_accept(t, (struct seg){.mss = 1460});
    trace_pcb(t)->quick_acks = tcp_profile_linux.quick_acks;
    for (unsigned i = 0; i < tcp_profile_linux.quick_acks; i++) {
        IN(t, .flags = A, .seq = 1 + i, .ack = 1, .len = 1);
        OUT(t, .flags = A, .seq = 1, .ack = 2 + i);
    }
    IN(t, .flags = A, .seq = 9, .ack = 1, .len = 1);
    QUIET(t);
    trace_end(t);
}

static void an_answer_carries_the_ack(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 200);
    QUIET(t);
    trace_write(t, 0, 300);
    OUT(t, .flags = A | P, .seq = 1, .ack = 201, .len = 300);
    trace_advance(t, 100 * TG_MS);
    QUIET(t); /* nothing is owed any more */
    trace_end(t);
}

static void after_a_pause_acks_are_quick_again(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 10);
    trace_advance(t, 50 * TG_MS);
    OUT(t, .flags = A, .seq = 1, .ack = 11); /* late */
    trace_advance(t, 2 * TG_S);
    IN(t, .flags = A, .seq = 11, .ack = 1, .len = 10);
    OUT(t, .flags = A, .seq = 1, .ack = 21);
    trace_end(t);
}

/* Whoever answers needs no pure ACKs, after a pause or not. */
static void answers_make_acks_wait(void **state)
{
    struct trace *t = established(state);
    for (unsigned i = 0; i < 3; i++) {
        IN(t, .flags = A, .seq = 1 + 10 * i, .ack = 1 + 20 * i, .len = 10);
        QUIET(t);
        trace_write(t, 20 * i, 20);
        OUT(t, .flags = A, .seq = 1 + 20 * i, .ack = 11 + 10 * i, .len = 20);
        IN(t, .flags = A, .seq = 11 + 10 * i, .ack = 21 + 20 * i);
        trace_advance(t, 2 * TG_S);
    }
    IN(t, .flags = A, .seq = 31, .ack = 61, .len = 10);
    QUIET(t);
    trace_advance(t, 50 * TG_MS); /* no answer this time: it has been quick enough */
    OUT(t, .flags = A, .seq = 61, .ack = 41);
    trace_advance(t, 2 * TG_S);
    IN(t, .flags = A, .seq = 41, .ack = 61, .len = 10);
    OUT(t, .flags = A, .seq = 61, .ack = 51);
    trace_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(one_segment_is_acknowledged_late),
        BOTH(every_second_full_segment_at_once),
        BOTH(one_ack_for_a_burst),
        BOTH(the_first_segments_are_acknowledged_at_once),
        BOTH(an_answer_carries_the_ack),
        BOTH(after_a_pause_acks_are_quick_again),
        BOTH(answers_make_acks_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
