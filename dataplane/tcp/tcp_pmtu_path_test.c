/* SPDX-License-Identifier: BSD-3-Clause
 * The path's MTU over a toy path that drops what is larger than its limit, with or without a word: down, and up
 * again by probes.
 */
#include "tcp/tcp_pmtu_trace.h"

#define STREAM (1536u * 1024)
#define ROUND  (90 * TG_MS) /* there and back */

struct path {
    struct trace *t;
    uint32_t limit;   /* IP packets above it are dropped */
    bool speaks;      /* and ICMP says so */
    int32_t window;   /* field of the peer's ACKs */
    uint32_t written; /* by our user */
    uint32_t next;    /* first byte that the peer lacks */
    uint8_t has[STREAM];
};

static struct path *path_new(struct trace *t, uint32_t limit, bool speaks)
{
    struct path *p = calloc(1, sizeof *p);
    p->t = t;
    p->limit = limit;
    p->speaks = speaks;
    p->window = 12000 >> trace_pcb(t)->snd_scale; /* 8 segments a round: the search has time */
    return p;
}

/* The peer's answer: everything in order, and the block above the hole. */
static void path_ack(struct path *p)
{
    struct seg ack = {.flags = A, .seq = 1, .win = p->window};
    while (p->next < STREAM && p->has[p->next])
        p->next++;
    ack.ack = 1 + p->next;
    uint32_t left = p->next;
    while (left < p->written && !p->has[left])
        left++;
    uint32_t right = left;
    while (right < p->written && p->has[right])
        right++;
    if (left < p->written && tcp_has(trace_pcb(p->t), TCP_F_SACK))
        ack.sack[0] = (struct tcp_sack_block){1 + left, 1 + right};
    trace_in(p->t, &ack);
}

/* One frame reaches the path's narrow place. */
static void path_frame(struct path *p)
{
    struct trace *t = p->t;
    struct buf *b = t->frames[t->first++ % TRACE_FRAMES];
    struct tcp_segment s = wire_tcp(b);
    uint32_t size = b->len - 14u, offset = s.seq - t->our_iss - 1;
    if (size <= p->limit) {
        memset(p->has + offset, 1, s.payload_bytes);
        stream_verify(b->data + b->payload, offset, s.payload_bytes);
    }
    buf_unref(&t->node.pool.pool, b);
    if (size > p->limit && p->speaks)
        too_big(t, 1 + offset, p->limit);
    else if (size <= p->limit && s.payload_bytes)
        path_ack(p);
}

/* Write up to `bytes` of the stream and let it through, by the clock when nothing moves. */
static void path_run(struct path *p, uint32_t bytes)
{
    struct trace *t = p->t;
    assert_true(bytes <= STREAM);
    for (unsigned idle = 0; p->next < bytes && idle < 200;) {
        uint32_t n = u32_min(bytes - p->written, tcp_writable(t->node.tcp, t->h));
        if (n) {
            trace_write(t, p->written, n);
            p->written += n;
        }
        unsigned flying = t->end - t->first;
        idle = flying ? 0 : idle + 1;
        trace_advance(t, flying ? ROUND : 50 * TG_MS);
        for (; flying; flying--)
            path_frame(p);
    }
    assert_int_equal(p->next, bytes);
    node_check(&t->node);
}

static void path_end(struct path *p)
{
    trace_end(p->t);
    free(p);
}

static void a_black_hole_is_found_and_its_size_too(void **state)
{
    struct path *p = path_new(established(state), 1400, false);
    path_run(p, STREAM);
    assert_in_range(mtu_of(p->t), 1400 - 32, 1400);
    assert_int_equal(counted(p->t, TG_C_tcp_black_holes), 1);
    assert_true(counted(p->t, TG_C_tcp_mtu_probes_lost) >= 2);
    assert_true(counted(p->t, TG_C_tcp_mtu_raised) >= 1);
    path_end(p);
}

/* The probe's loss is repaired without a timeout and is not congestion. */
static void a_lost_probe_costs_no_window(void **state)
{
    struct path *p = path_new(established(state), 1400, false);
    path_run(p, STREAM / 8);
    uint64_t timeouts = counted(p->t, TG_C_tcp_rto);
    uint64_t lost = counted(p->t, TG_C_tcp_mtu_probes_lost);
    uint32_t cwnd = trace_info(p->t).cwnd;
    path_run(p, STREAM);
    assert_true(counted(p->t, TG_C_tcp_mtu_probes_lost) > lost);
    assert_int_equal(counted(p->t, TG_C_tcp_rto), timeouts);
    assert_true(trace_info(p->t).cwnd >= cwnd);
    path_end(p);
}

/* One large segment is swallowed while small ones pass: RACK has sent it twice before the first timeout. */
static void fast_retransmissions_count_as_timeouts_do(void **state)
{
    struct path *p = path_new(established(state), 1400, false);
    struct trace *t = p->t;
    uint32_t full = trace_info(t).mss;
    trace_write(t, 0, full);
    p->written = full;
    for (unsigned i = 0; i < 70; i++) {
        trace_write(t, p->written, 100);
        p->written += 100;
        if (i < 30) /* a flight large enough that recovery leaves room for more of them */
            continue;
        for (unsigned n = t->end - t->first; n; n--)
            path_frame(p);
        trace_advance(t, 40 * TG_MS);
    }
    path_run(p, p->written);
    assert_true(counted(t, TG_C_tcp_rto) <= 1); /* two without them */
    assert_int_equal(counted(t, TG_C_tcp_black_holes), 1);
    assert_int_equal(mtu_of(t), 1280);
    path_end(p);
}

/* Without SACK nobody can tell what else is missing: the probe is excused. */
static void without_sack_a_probe_is_repaired_too(void **state)
{
    struct trace *t = trace_start(state);
    trace_accept(t, (struct seg){.mss = 1460, .wscale_plus_1 = 8});
    struct path *p = path_new(t, 1400, false);
    path_run(p, STREAM);
    assert_in_range(mtu_of(t), 1400 - 32, 1400);
    path_end(p);
}

/* The port holds every frame for a while: nothing can be merged, and nothing breaks. */
static void frames_that_the_port_holds_are_not_merged(void **state)
{
    struct path *p = path_new(established(state), 1400, false);
    path_run(p, STREAM / 8);
    uint64_t probes = counted(p->t, TG_C_tcp_mtu_probes);
    p->t->node.port_busy = true;
    path_run(p, STREAM / 4);
    assert_int_equal(counted(p->t, TG_C_tcp_mtu_probes), probes);
    p->t->node.port_busy = false;
    path_run(p, STREAM);
    assert_true(counted(p->t, TG_C_tcp_mtu_probes) > probes);
    path_end(p);
}

#define BEHIND 6u

/* A probe of 1,500 leaves, and BEHIND segments behind it; at[0] is its sequence number, at[1] that of the one
 * behind it, and so on; at[BEHIND + 1] is the end. */
static void probe_out(struct trace *t, uint32_t at[BEHIND + 2])
{
    uint32_t full = trace_info(t).mss, seq = 1 + full;
    trace_write(t, 0, full);
    trace_advance(t, 900 * TG_MS); /* a tail loss probe and two timeouts */
    trace_skip(t);
    IN(t, .flags = A, .seq = 1, .ack = seq);
    uint32_t small = trace_info(t).mss;
    for (unsigned i = 0; i < 12; i++, seq += small) { /* the window opens, the base is confirmed */
        trace_write(t, seq - 1, small);
        OUT(t, .flags = A, .seq = seq, .ack = 1, .len = small);
        t->node.now += 20 * TG_MS;
        IN(t, .flags = A, .seq = 1, .ack = seq + small);
    }
    trace_pcb(t)->act->cwnd = trace_pcb(t)->ssthresh = 20 * small;
    trace_write(t, seq - 1, BEHIND * small + small / 2);
    trace_advance(t, 20 * TG_MS); /* they are paced */
    for (unsigned i = 0; i <= BEHIND; i++) {
        at[i] = seq;
        OUT(t, .flags = A, .seq = seq, .ack = 1, .len = i ? ANY : full);
        seq += t->out.payload_bytes;
    }
    QUIET(t);
    at[BEHIND + 1] = seq;
}

/* The peer lacks the probe and, if so, one of those behind it. Returns ssthresh, the window before in *cwnd. */
static uint32_t threshold_after(void **state, bool another, uint32_t *cwnd)
{
    struct trace *t = established(state);
    uint32_t at[BEHIND + 2];
    probe_out(t, at);
    *cwnd = trace_info(t).cwnd;
    for (unsigned i = 1; i <= BEHIND; i++) {
        struct seg sack = {.flags = A, .seq = 1, .ack = at[0], .sack = {{at[1], at[i + 1]}}};
        if (another && i > 2) {
            sack.sack[0].left = at[3];
            sack.sack[1] = (struct tcp_sack_block){at[1], at[2]};
        }
        if (!(another && i == 2))
            trace_in(t, &sack);
    }
    assert_int_equal(counted(t, TG_C_tcp_fast_retransmit), 1);
    uint32_t ssthresh = trace_info(t).ssthresh;
    trace_end(t);
    return ssthresh;
}

static void a_loss_beside_the_probe_counts(void **state)
{
    uint32_t cwnd = 0;
    uint32_t alone = threshold_after(state, false, &cwnd);
    assert_int_equal(alone, cwnd);
    uint32_t beside = threshold_after(state, true, &cwnd);
    assert_true(beside < cwnd);
}

static void a_mere_outage_is_undone_by_one_probe(void **state)
{
    struct path *p = path_new(established(state), 100, false);
    trace_write(p->t, 0, 1400);
    p->written = 1400;
    trace_advance(p->t, TG_S);
    assert_int_equal(mtu_of(p->t), 1280);
    p->limit = FULL_MTU;
    trace_pcb(p->t)->ssthresh = 2u * trace_info(p->t).mss; /* as small as it gets */
    path_run(p, STREAM / 4);
    assert_int_equal(mtu_of(p->t), FULL_MTU);
    assert_int_equal(counted(p->t, TG_C_tcp_mtu_probes), 1);
    struct tcp_info info = trace_info(p->t);
    assert_true(info.ssthresh >= 2u * info.mss); /* RFC 5681 s3.1, in the larger segments */
    path_end(p);
}

/* ICMP gives the size: nothing to search, until the raise timer asks whether the path has become wider. */
static void a_path_may_become_wider(void **state)
{
    struct path *p = path_new(established(state), 1400, true);
    path_run(p, STREAM / 4);
    assert_int_equal(mtu_of(p->t), 1400);
    assert_int_equal(counted(p->t, TG_C_tcp_mtu_probes), 0);
    p->limit = FULL_MTU;
    trace_advance(p->t, 500 * TG_S);
    path_run(p, STREAM / 2);
    assert_int_equal(mtu_of(p->t), 1400);
    trace_advance(p->t, 110 * TG_S);
    path_run(p, STREAM);
    assert_int_equal(mtu_of(p->t), FULL_MTU);
    assert_int_equal(counted(p->t, TG_C_tcp_mtu_raised), 1);
    path_end(p);
}

/* The probe is answered by ICMP: the search ends at once where it says. */
static void a_probe_may_be_told_the_size(void **state)
{
    struct path *p = path_new(established(state), 1400, true);
    path_run(p, STREAM / 4);
    p->limit = 1460;
    trace_advance(p->t, 610 * TG_S);
    path_run(p, STREAM);
    assert_int_equal(mtu_of(p->t), 1460);
    assert_int_equal(counted(p->t, TG_C_tcp_mtu_probes), 2); /* 1500, and 1460 as told */
    assert_int_equal(counted(p->t, TG_C_tcp_mtu_probes_lost), 1);
    assert_int_equal(counted(p->t, TG_C_tcp_mtu_reduced), 1);
    path_end(p);
}

static void a_path_of_full_size_is_never_probed(void **state)
{
    struct path *p = path_new(established(state), FULL_MTU, true);
    path_run(p, STREAM);
    assert_int_equal(mtu_of(p->t), FULL_MTU);
    assert_int_equal(counted(p->t, TG_C_tcp_mtu_probes), 0);
    path_end(p);
}

static void what_a_peer_takes_bounds_the_search(void **state)
{
    struct trace *t = trace_start(state);
    trace_accept(t, (struct seg){.mss = (uint16_t)(1350 - trace_headers(t)), .sack_ok = true});
    struct path *p = path_new(t, 1300, false);
    path_run(p, STREAM / 2);
    assert_in_range(mtu_of(t), 1280, 1300);
    p->limit = FULL_MTU;
    trace_advance(t, 1300 * TG_S);
    path_run(p, STREAM);
    assert_int_equal(mtu_of(t), 1350);
    path_end(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_black_hole_is_found_and_its_size_too),
        BOTH(a_lost_probe_costs_no_window),
        BOTH(fast_retransmissions_count_as_timeouts_do),
        BOTH(without_sack_a_probe_is_repaired_too),
        BOTH(frames_that_the_port_holds_are_not_merged),
        BOTH(a_loss_beside_the_probe_counts),
        BOTH(a_mere_outage_is_undone_by_one_probe),
        BOTH(a_path_may_become_wider),
        BOTH(a_probe_may_be_told_the_size),
        BOTH(a_path_of_full_size_is_never_probed),
        BOTH(what_a_peer_takes_bounds_the_search),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
