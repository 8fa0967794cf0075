/* SPDX-License-Identifier: BSD-3-Clause
 * Loss recovery as traces: timeout and backoff, fast retransmit with and without SACK, partial ACKs,
 * limited transmit, lying peers, a smaller path MTU.
 */
#include "tcp/tcp_trace.h"

#define MSS 1000u

static struct trace *established(void **state, bool sack)
{
    struct trace *t = trace_start(state);
    trace_accept(t, (struct seg){.mss = MSS, .sack_ok = sack});
    return t;
}

/* Ten segments out, taken. */
static struct trace *ten_out(void **state, bool sack)
{
    struct trace *t = established(state, sack);
    trace_write(t, 0, 10000);
    for (unsigned i = 0; i < 10; i++)
        OUT(t, .flags = A, .seq = 1 + i * MSS, .ack = 1, .len = MSS);
    return t;
}

static void dup(struct trace *t, uint32_t ack)
{
    IN(t, .flags = A, .seq = 1, .ack = ack);
}

static void dup_sack(struct trace *t, uint32_t ack, uint32_t left, uint32_t right)
{
    IN(t, .flags = A, .seq = 1, .ack = ack, .sack = {{left, right}});
}

/* --- timeout (RFC 6298) --------------------------------------------------------------------------------------- */

/* Peers without SACK here, for with it a probe comes first (tcp_tlp_test). */
static void a_lost_segment_is_sent_again_later_and_later(void **state)
{
    struct trace *t = established(state, false);
    trace_write(t, 0, 500);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 500);
    tg_ns rto = trace_info(t).rto, spent = 0;
    for (unsigned i = 0; i < 5; i++) {
        trace_advance(t, (rto << i) - spent - TG_MS);
        QUIET(t);
        trace_advance(t, 3 * TG_MS);
        spent = 2 * TG_MS;
        OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 500);
    }
    assert_int_equal(trace_info(t).retransmits, 5);
    assert_int_equal(trace_info(t).cwnd, MSS);
    IN(t, .flags = A, .seq = 1, .ack = 501);
    assert_int_equal(trace_info(t).unacked, 0);
    trace_advance(t, 300 * TG_S);
    QUIET(t);
    trace_end(t);
}

static void giving_up_is_told(void **state)
{
    struct tcp_config c = node_config();
    c.retries = 3;
    struct trace *t = trace_new(&c, trace_is6(state));
    trace_accept(t, (struct seg){.mss = MSS});
    trace_write(t, 0, 500);
    trace_advance(t, 60 * TG_S);
    assert_int_equal(trace_skip(t), 4);
    node_expect_closed(&t->node, 0, TG_TIMEOUT);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_timed_out), 1);
    trace_end(t);
}

static void the_timeout_is_capped(void **state)
{
    struct tcp_config c = node_config();
    c.rto_max = 2 * TG_S;
    struct trace *t = trace_new(&c, trace_is6(state));
    trace_accept(t, (struct seg){.mss = MSS});
    trace_write(t, 0, 500);
    trace_advance(t, 20 * TG_S); /* .2 .4 .8 1.6 then every 2 s */
    unsigned n = trace_skip(t);
    assert_true(n >= 12 && n <= 14);
    trace_end(t);
}

static void an_ack_restarts_the_timer(void **state)
{
    struct trace *t = ten_out(state, false);
    tg_ns rto = trace_info(t).rto;
    for (unsigned i = 1; i <= 5; i++) {
        trace_advance(t, rto - 20 * TG_MS);
        IN(t, .flags = A, .seq = 1, .ack = 1 + i * MSS);
        rto = trace_info(t).rto;
    }
    QUIET(t);
    assert_int_equal(trace_info(t).retransmits, 0);
    trace_end(t);
}

/* Everything outstanding counts as lost; ACKs clock it out again in slow start. */
static void after_a_timeout_the_window_is_sent_again(void **state)
{
    struct trace *t = ten_out(state, false);
    trace_advance(t, trace_info(t).rto + 3 * TG_MS);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = MSS);
    QUIET(t);
    assert_int_equal(trace_info(t).ssthresh, 7000); /* CUBIC's 0.7 */
    dup(t, 1001);
    OUT(t, .flags = A, .seq = 1001, .ack = 1, .len = MSS);
    OUT(t, .flags = A, .seq = 2001, .ack = 1, .len = MSS);
    QUIET(t);
    dup(t, 3001);
    for (unsigned i = 3; i < 7; i++)
        OUT(t, .flags = A, .seq = 1 + i * MSS, .ack = 1, .len = MSS);
    QUIET(t);
    dup(t, 10001);
    assert_int_equal(trace_info(t).unacked, 0);
    assert_false(tcp_has(trace_pcb(t), TCP_F_TIMEOUT | TCP_F_RECOVERY));
    trace_end(t);
}

static void duplicates_after_a_timeout_start_nothing(void **state)
{
    struct trace *t = ten_out(state, false);
    trace_advance(t, trace_info(t).rto + 3 * TG_MS);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = MSS);
    uint32_t ssthresh = trace_info(t).ssthresh;
    for (unsigned i = 0; i < 6; i++)
        dup(t, 1);
    assert_int_equal(trace_info(t).ssthresh, ssthresh);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_fast_retransmit), 0);
    trace_end(t);
}

static void retransmissions_give_no_sample(void **state)
{
    struct trace *t = established(state, false);
    tg_ns srtt = trace_info(t).srtt;
    trace_write(t, 0, 500);
    trace_advance(t, trace_info(t).rto + 3 * TG_MS);
    trace_advance(t, 50 * TG_MS);
    IN(t, .flags = A, .seq = 1, .ack = 501);
    assert_int_equal(trace_info(t).srtt, srtt); /* Karn */
    assert_int_equal(trace_pcb(t)->act->backoff, 1);
    trace_skip(t);
    trace_write(t, 500, 500);
    trace_advance(t, 80 * TG_MS);
    IN(t, .flags = A, .seq = 1, .ack = 1001);
    assert_true(trace_info(t).srtt > srtt);
    assert_int_equal(trace_pcb(t)->act->backoff, 0);
    trace_end(t);
}

static void rtt_follows_rfc_6298(void **state)
{
    struct trace *t = established(state, true);
    trace_pcb(t)->srtt = 0;
    tcp_rtt_sample(t->node.tcp, trace_pcb(t), 100 * TG_MS);
    assert_int_equal(trace_info(t).srtt, 100 * TG_MS);
    assert_int_equal(trace_pcb(t)->rttvar, 50 * TG_MS);
    assert_int_equal(trace_info(t).rto, 300 * TG_MS);
    tcp_rtt_sample(t->node.tcp, trace_pcb(t), 180 * TG_MS);
    assert_int_equal(trace_pcb(t)->rttvar, 50 * TG_MS * 3 / 4 + 20 * TG_MS);
    assert_int_equal(trace_info(t).srtt, 110 * TG_MS);
    assert_int_equal(trace_info(t).rto, 110 * TG_MS + 4 * 57500 * TG_US);
    for (unsigned i = 0; i < 100; i++)
        tcp_rtt_sample(t->node.tcp, trace_pcb(t), TG_MS);
    assert_int_equal(trace_info(t).rto, 200 * TG_MS); /* rto_min */
    for (unsigned i = 0; i < 100; i++)
        tcp_rtt_sample(t->node.tcp, trace_pcb(t), 500 * TG_S);
    assert_int_equal(trace_info(t).rto, 120 * TG_S); /* rto_max */
    trace_end(t);
}

/* --- fast retransmit --------------------------------------------------------------------------------------------- */

static void three_duplicates_resend_without_sack(void **state)
{
    struct trace *t = ten_out(state, false);
    trace_write(t, 10000, 10000);
    QUIET(t);
    dup(t, 1);
    OUT(t, .flags = A, .seq = 10001, .ack = 1, .len = MSS); /* limited transmit (RFC 3042) */
    dup(t, 1);
    OUT(t, .flags = A, .seq = 11001, .ack = 1, .len = MSS);
    dup(t, 1);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = MSS);
    QUIET(t);
    assert_int_equal(trace_info(t).cwnd, 7000);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_fast_retransmit), 1);
    for (unsigned i = 0; i < 2; i++) /* the pipe must drain to the new window first */
        dup(t, 1);
    QUIET(t);
    for (unsigned i = 0; i < 3;
         i++) { /* then each arrival lets one leave, as RFC 5681's inflation does */
        dup(t, 1);
        OUT(t, .flags = A, .seq = 12001 + i * MSS, .ack = 1, .len = MSS);
        QUIET(t);
    }
    IN(t, .flags = A, .seq = 1, .ack = 12001); /* all that was out at the start of recovery */
    assert_false(tcp_has(trace_pcb(t), TCP_F_RECOVERY));
    assert_int_equal(trace_info(t).cwnd, 7000);
    trace_end(t);
}

static void a_partial_ack_resends_the_next_hole(void **state)
{
    struct trace *t = ten_out(state, false); /* 1 and 4 are lost */
    for (unsigned i = 0; i < 3; i++)
        dup(t, 1);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = MSS);
    for (unsigned i = 0; i < 5; i++)
        dup(t, 1);
    QUIET(t); /* nothing more to send */
    IN(t, .flags = A, .seq = 1, .ack = 3001);
    OUT(t, .flags = A, .seq = 3001, .ack = 1, .len = MSS);
    QUIET(t);
    assert_true(tcp_has(trace_pcb(t), TCP_F_RECOVERY));
    IN(t, .flags = A, .seq = 1, .ack = 10001);
    assert_false(tcp_has(trace_pcb(t), TCP_F_RECOVERY));
    assert_int_equal(node_counted(&t->node, TG_C_tcp_rto), 0);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_fast_retransmit), 1);
    trace_end(t);
}

/* RFC 6582 s3.2 step 2: echoes of resent segments must not halve the window again. */
static void echoes_do_not_start_a_second_recovery(void **state)
{
    struct trace *t = ten_out(state, false);
    for (unsigned i = 0; i < 3; i++)
        dup(t, 1);
    trace_skip(t);
    IN(t, .flags = A, .seq = 1, .ack = 10001);
    trace_write(t, 10000, 5000);
    trace_skip(t);
    for (unsigned i = 0; i < 4; i++)
        dup(t, 10001);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_fast_retransmit), 1);
    IN(t, .flags = A, .seq = 1, .ack = 11001);
    for (unsigned i = 0; i < 3; i++)
        dup(t, 11001);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_fast_retransmit), 2);
    trace_end(t);
}

static void only_true_duplicates_count(void **state)
{
    struct trace *t = ten_out(state, false);
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = 60000);           /* a window update */
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = 61000);           /* another */
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = 61000, .len = 5); /* with text */
    IN(t, .flags = A, .seq = 6, .ack = 1, .win = 61000, .len = 5);
    trace_skip(t);
    assert_int_equal(trace_pcb(t)->act->dup_acks, 0);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_retransmits), 0);
    trace_end(t);
}

static void sack_resends_exactly_the_holes(void **state)
{
    struct trace *t = ten_out(state, true); /* 1, 3 and 5 are lost */
    dup_sack(t, 1, 1001, 2001);
    dup_sack(t, 1, 3001, 4001);
    QUIET(t);
    dup_sack(t, 1, 5001,
             6001); /* the third: hole 1 has three above it, and its fast retransmission */
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = MSS);
    QUIET(t);
    dup_sack(t, 1, 5001, 7001);
    OUT(t, .flags = A, .seq = 2001, .ack = 1, .len = MSS); /* one segment arrived, one leaves */
    dup_sack(t, 1, 5001, 8001);
    OUT(t, .flags = A, .seq = 4001, .ack = 1, .len = MSS);
    dup_sack(t, 1, 5001, 10001);
    QUIET(t);
    IN(t, .flags = A, .seq = 1, .ack = 2001, .sack = {{3001, 4001}, {5001, 10001}});
    QUIET(t); /* the second hole is on its way */
    IN(t, .flags = A, .seq = 1, .ack = 10001);
    assert_int_equal(trace_info(t).retransmits, 3);
    assert_int_equal(trace_info(t).unacked, 0);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_rto), 0);
    trace_end(t);
}

static void one_big_sack_is_enough(void **state)
{
    struct trace *t = ten_out(state, true); /* ACKs coalesce: one tells of five segments */
    dup_sack(t, 1, 1001, 6001);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = MSS);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_fast_retransmit), 1);
    trace_end(t);
}

static void duplicates_without_news_count_for_nothing_under_sack(void **state)
{
    struct trace *t = ten_out(state, true);
    for (unsigned i = 0; i < 10; i++)
        dup(t, 1);
    for (unsigned i = 0; i < 10; i++)
        dup_sack(t, 1, 1001, 2001);
    QUIET(t);
    assert_int_equal(trace_pcb(t)->act->rack.sacked_count, 1);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_fast_retransmit), 0);
    trace_end(t);
}

static void reordering_by_two_causes_nothing(void **state)
{
    for (unsigned sack = 0; sack < 2; sack++) {
        struct trace *t = ten_out(state, sack);
        for (unsigned i = 1; i <= 2; i++)
            IN(t, .flags = A, .seq = 1, .ack = 1,
               .sack = {{sack ? 1001 : 0, sack ? 1001 + i * MSS : 0}});
        IN(t, .flags = A, .seq = 1, .ack = 4001);
        assert_int_equal(trace_info(t).retransmits, 0);
        assert_true(trace_info(t).cwnd >= 10000);
        trace_end(t);
    }
}

/* --- peers that lie ------------------------------------------------------------------------------------------------ */

static void senseless_sack_blocks_are_ignored(void **state)
{
    struct trace *t = ten_out(state, true);
    IN(t, .flags = A, .seq = 1, .ack = 1,
       .sack = {{2001, 1001}, {5000, 5001}, {10001, 12001}, {0x80000000, 0x80001000}});
    IN(t, .flags = A, .seq = 1, .ack = 1,
       .sack = {{0u - 5000, 0u - 4000}, {0u - 1000, 1001}, {9001, 11001}, {1, 20001}});
    IN(t, .flags = A, .seq = 1, .ack = 1, .sack = {{1500, 2500}}); /* no segment as a whole */
    assert_int_equal(trace_pcb(t)->act->sacked, 0);
    QUIET(t);
    IN(t, .flags = A, .seq = 1, .ack = 1,
       .sack = {{1001, 2001}, {1001, 2001}, {1001, 2001}, {1, 1001}});
    assert_int_equal(trace_pcb(t)->act->sacked, 2000);
    IN(t, .flags = A, .seq = 1, .ack = 10001);
    assert_int_equal(trace_pcb(t)->act->sacked, 0);
    trace_end(t);
}

static void a_peer_that_forgets_what_it_sacked(void **state)
{
    struct trace *t = ten_out(state, true);
    dup_sack(t, 1, 1001, 10001);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = MSS);
    IN(t, .flags = A, .seq = 1, .ack = 1001); /* and no more: it has dropped the rest */
    QUIET(t);
    trace_advance(t, 2 * trace_info(t).rto);
    OUT(t, .flags = A, .seq = 1001, .ack = 1, .len = MSS);
    assert_int_equal(trace_pcb(t)->act->sacked, 0);
    IN(t, .flags = A, .seq = 1, .ack = 2001);
    OUT(t, .flags = A, .seq = 2001, .ack = 1, .len = MSS);
    trace_end(t);
}

static void splitting_acks_gains_nothing(void **state)
{
    struct trace *t = ten_out(state, true);
    trace_write(t, 10000, 20000);
    for (unsigned i = 1; i <= 1000; i++)
        IN(t, .flags = A, .seq = 1, .ack = 1 + i);
    assert_int_equal(trace_info(t).cwnd, 11000); /* as one ACK of 1000 bytes */
    trace_skip(t);
    trace_end(t);
}

static void acks_before_arrival_are_challenged(void **state)
{
    struct trace *t = ten_out(state, true);
    uint32_t cwnd = trace_info(t).cwnd;
    IN(t, .flags = A, .seq = 1, .ack = 10002);
    OUT(t, .flags = A, .seq = 10001, .ack = 1);
    assert_int_equal(trace_info(t).cwnd, cwnd);
    assert_int_equal(trace_info(t).unacked, 10000);
    trace_end(t);
}

static void made_up_duplicates_do_not_open_the_flood(void **state)
{
    struct trace *t = ten_out(state, false);
    trace_write(t, 10000, 60000);
    for (unsigned i = 0; i < 5000; i++)
        dup(t, 1);
    struct tcp_info info = trace_info(t);
    assert_int_equal(info.cwnd, 7000);
    /* Arrivals can be made up for what is outstanding only; beyond it one window at most leaves. */
    assert_true(info.unacked <= 65536);
    trace_skip(t);
    trace_end(t);
}

/* --- path MTU --------------------------------------------------------------------------------------------------------- */

static void too_big(struct trace *t, uint32_t seq, uint32_t mtu)
{
    struct net_icmp_error e = {.tuple = t->tuple, .seq = t->our_iss + seq, .mtu = mtu};
    tcp_icmp_error(t->node.tcp, &e, t->node.now);
    trace_collect(t);
}

static void a_smaller_path_resegments(void **state)
{
    struct trace *t = trace_start(state);
    trace_accept(t, (struct seg){.mss = 1460, .sack_ok = true});
    uint32_t full = trace_info(t).mss, headers = trace_headers(t);
    trace_write(t, 0, 3 * full);
    assert_int_equal(trace_skip(t), 3);
    uint32_t cwnd = trace_info(t).cwnd;
    too_big(t, 1, 1300);
    uint32_t small = 1300 - headers;
    assert_int_equal(trace_info(t).mss, small);
    uint32_t seq = 1;
    while (seq < 1 + 3 * full) { /* each old segment becomes a full one and a rest */
        OUT(t, .flags = A, .seq = seq, .ack = 1, .len = small);
        OUT(t, .flags = A, .seq = seq + small, .ack = 1, .len = full - small);
        seq += full;
    }
    QUIET(t);
    assert_int_equal(trace_info(t).cwnd, cwnd); /* not congestion */
    assert_int_equal(node_counted(&t->node, TG_C_tcp_mtu_reduced), 1);
    IN(t, .flags = A, .seq = 1, .ack = 1 + 3 * full);
    trace_write(t, 3 * full, 2 * small);
    OUT(t, .flags = A, .seq = 1 + 3 * full, .ack = 1, .len = small);
    OUT(t, .flags = A, .seq = 1 + 3 * full + small, .ack = 1, .len = small);
    trace_end(t);
}

static void resegmenting_while_the_port_holds_the_frames(void **state)
{
    struct trace *t = trace_start(state);
    trace_accept(t, (struct seg){.mss = 1460, .sack_ok = true});
    uint32_t full = trace_info(t).mss;
    trace_write(t, 0, full);
    trace_skip(t);
    t->node.port_busy = true;
    too_big(t, 1, 1280);
    assert_int_equal(trace_skip(t), 2);
    t->node.port_busy = false;
    IN(t, .flags = A, .seq = 1, .ack = 1 + full);
    assert_int_equal(trace_info(t).unacked, 0);
    trace_end(t);
}

/* Blind PMTU attacks (RFC 5927 s7): quoting nothing in flight, growing, absurdly small. */
static void false_too_big_is_harmless(void **state)
{
    struct trace *t = ten_out(state, true);
    too_big(t, 10001, 600);
    too_big(t, 0, 600);
    too_big(t, 0x80000000, 600);
    too_big(t, 1, 9000);
    assert_int_equal(trace_info(t).mss, MSS);
    QUIET(t);
    too_big(t, 1, 68);
    /* IPv6's segment is smaller than any path's MTU: the claim is false as it stands. */
    assert_int_equal(trace_pcb(t)->mtu, trace_is6(state) ? 1500 : 552);
    trace_skip(t);
    too_big(t, 1, 1);
    assert_int_equal(trace_pcb(t)->mtu, trace_is6(state) ? 1500 : 552);
    struct ip_tuple other = t->tuple;
    other.remote_port++;
    struct net_icmp_error e = {.tuple = other, .seq = t->our_iss + 1, .hard = true};
    tcp_icmp_error(t->node.tcp, &e, t->node.now);
    e.tuple = t->tuple; /* hard, but we are synchronised: retransmission decides */
    tcp_icmp_error(t->node.tcp, &e, t->node.now);
    node_expect_no_event(&t->node);
    trace_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_lost_segment_is_sent_again_later_and_later),
        BOTH(giving_up_is_told),
        BOTH(the_timeout_is_capped),
        BOTH(an_ack_restarts_the_timer),
        BOTH(after_a_timeout_the_window_is_sent_again),
        BOTH(duplicates_after_a_timeout_start_nothing),
        BOTH(retransmissions_give_no_sample),
        BOTH(rtt_follows_rfc_6298),
        BOTH(three_duplicates_resend_without_sack),
        BOTH(a_partial_ack_resends_the_next_hole),
        BOTH(echoes_do_not_start_a_second_recovery),
        BOTH(only_true_duplicates_count),
        BOTH(sack_resends_exactly_the_holes),
        BOTH(one_big_sack_is_enough),
        BOTH(duplicates_without_news_count_for_nothing_under_sack),
        BOTH(reordering_by_two_causes_nothing),
        BOTH(senseless_sack_blocks_are_ignored),
        BOTH(a_peer_that_forgets_what_it_sacked),
        BOTH(splitting_acks_gains_nothing),
        BOTH(acks_before_arrival_are_challenged),
        BOTH(made_up_duplicates_do_not_open_the_flood),
        BOTH(a_smaller_path_resegments),
        BOTH(resegmenting_while_the_port_holds_the_frames),
        BOTH(false_too_big_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
