/* SPDX-License-Identifier: BSD-3-Clause
 * Profiles: the same stack looks like Linux, like FreeBSD or like anything else, byte by byte in its options,
 * and keeps the profile's times.
 */
#include "tcp/tcp_trace.h"

static struct trace *start_as(void **state, const struct tcp_profile *profile)
{
    struct tcp_config c = node_config();
    c.profile = profile;
    return trace_new(&c, trace_is6(state));
}

/* The next frame out: kinds of its options in their order, NOPs and padding included. */
static void expect_kinds(struct trace *t, const uint8_t kinds[], unsigned n)
{
    assert_true(t->first != t->end);
    struct buf *b = t->frames[t->first % TRACE_FRAMES];
    struct tcp_segment s = wire_tcp(b);
    unsigned at = 0, i = 0;
    for (; at < s.options.len && i < n; i++) {
        assert_int_equal(s.options.data[at], kinds[i]);
        at += s.options.data[at] <= TCP_OPTION_NOP ? 1 : s.options.data[at + 1];
    }
    assert_int_equal(at, s.options.len);
    assert_int_equal(i, n);
}
#define KINDS(t, ...) expect_kinds(t, (uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}))

enum { END = 0, NOP = 1, M = 2, W = 3, K = 4, B = 5, T = 8 };

static uint8_t hop_limit(const struct buf *b)
{
    return b->ip_version == 4 ? b->data[b->l3 + 8] : b->data[b->l3 + 7];
}

/* A connection that we open: the kinds on its SYN are checked by the caller, those on its ACKs here. */
static void opened_has_timestamps(struct trace *t, unsigned wscale_plus_1)
{
    OUT(t, .flags = S, .seq = 0, .win = 65535, .wscale_plus_1 = (uint8_t)wscale_plus_1);
    t->ts = true;
    IN(t, .flags = S | A, .seq = 0, .ack = 1, PEER_OPTIONS);
    KINDS(t, NOP, NOP, T);
    OUT(t, .flags = A, .seq = 1, .ack = 1);
    IN(t, .flags = A, .seq = 1001, .ack = 1, .len = 100); /* early, so SACK */
    KINDS(t, NOP, NOP, T, NOP, NOP, B);
}

static void linux_is_the_default(void **state)
{
    struct trace *t = start_as(state, NULL);
    trace_connect_begin(t, 0);
    trace_collect(t);
    KINDS(t, M, K, T, NOP, W);
    assert_int_equal(hop_limit(t->frames[t->first % TRACE_FRAMES]), 64);
    opened_has_timestamps(t, 4);
    trace_end(t);
}

static void linux_answers_in_kind(void **state)
{
    static const struct {
        struct seg syn;
        bool ts;
        uint8_t kinds[6], n;
    } cases[] = {
        {{.mss = 1460, .sack_ok = true, .wscale_plus_1 = 8}, false, {M, NOP, NOP, K, NOP, W}, 6},
        {{.mss = 1460, .sack_ok = true}, false, {M, NOP, NOP, K}, 4},
        {{0}, false, {M}, 1},
        {{.mss = 1460}, true, {M, NOP, NOP, T}, 4},
    };
    struct trace *t = start_as(state, &tcp_profile_linux);
    for (unsigned i = 0; i < TG_ARRAY_LEN(cases); i++, t->tuple.remote_port++) {
        struct seg syn = cases[i].syn;
        syn.flags = S;
        t->ts = cases[i].ts;
        trace_in(t, &syn);
        expect_kinds(t, cases[i].kinds, cases[i].n);
        OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    }
    trace_end(t);
}

static void freebsd_is_another_face(void **state)
{
    struct trace *t = start_as(state, &tcp_profile_freebsd);
    trace_connect_begin(t, 0);
    trace_collect(t);
    KINDS(t, M, NOP, W, K, T);
    opened_has_timestamps(t, 7);
    trace_end(t);
}

static void freebsd_answers_in_kind(void **state)
{
    struct trace *t = start_as(state, &tcp_profile_freebsd);
    IN(t, .flags = S, .seq = 0, .mss = 1460, .sack_ok = true, .wscale_plus_1 = 8);
    KINDS(t, M, NOP, W, K, END, END);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1, .wscale_plus_1 = 7);
    IN(t, .flags = A, .seq = 1, .ack = 1);
    t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 100);
    QUIET(t); /* no quick ACKs */
    trace_advance(t, 41 * TG_MS);
    OUT(t, .flags = A, .seq = 1, .ack = 101, .win = (262144 - 100 + 63) >> 6);
    trace_end(t);
}

/* A short timeout gives up no sooner than a long one: eight retransmissions of an orphan are a minute. */
static void a_short_timeout_is_no_less_patient(void **state)
{
    struct trace *t = start_as(state, &tcp_profile_freebsd);
    trace_accept(t, (struct seg){PEER_OPTIONS});
    assert_int_equal(trace_info(t).rto, 30 * TG_MS);
    trace_write(t, 0, 100);
    tcp_close(t->node.tcp, t->h);
    trace_collect(t);
    trace_advance(t, 50 * TG_S);
    assert_int_equal(tcp_connection_count(t->node.tcp), 1);
    trace_advance(t, 100 * TG_S);
    assert_int_equal(tcp_connection_count(t->node.tcp), 0);
    trace_end(t);
}

/* Every knob of a profile, far from the two that come with the stack. */
static void a_profile_of_ones_own(void **state)
{
    struct tcp_profile own = tcp_profile_linux;
    own.hop_limit = 128;
    own.window_scale = 8;
    own.syn_window = 8192;
    own.ip_id = TCP_IP_ID_RANDOM;
    own.delayed_ack = 300 * TG_MS;
    own.quick_acks = 1;
    own.rto_syn = 3 * TG_S;
    own.rto_min = 700 * TG_MS;
    struct trace *t = start_as(state, &own);
    trace_connect_begin(t, 0);
    trace_collect(t);
    const struct buf *b = t->frames[t->first % TRACE_FRAMES];
    assert_int_equal(hop_limit(b), 128);
    uint16_t id = b->ip_version == 4 ? wire_get16(b->data + b->l3 + 4) : 1;
    assert_int_not_equal(id, 0); /* under this seed */
    OUT(t, .flags = S, .seq = 0, .win = 8192, .wscale_plus_1 = 9);
    trace_advance(t, 2900 * TG_MS);
    QUIET(t);
    trace_advance(t, 200 * TG_MS);
    OUT(t, .flags = S, .seq = 0);
    IN(t, .flags = S | A, .seq = 0, .ack = 1, PEER_OPTIONS);
    OUT(t, .flags = A, .seq = 1, .ack = 1);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 100);
    OUT(t, .flags = A, .seq = 1, .ack = 101);
    IN(t, .flags = A, .seq = 101, .ack = 1, .len = 100);
    trace_advance(t, 299 * TG_MS);
    QUIET(t);
    trace_advance(t, 2 * TG_MS);
    OUT(t, .flags = A, .seq = 1, .ack = 201);
    trace_end(t);
    t = start_as(state, &own);
    trace_accept(t, (struct seg){PEER_OPTIONS});
    assert_int_equal(trace_info(t).rto, 700 * TG_MS);
    trace_end(t);
}

static void impossible_profiles_are_refused(void **state)
{
    enum { BAD = 16 };
    struct tcp_profile bad[BAD], *p = bad;
    assert_true(tcp_profile_valid(&tcp_profile_linux));
    assert_true(tcp_profile_valid(&tcp_profile_freebsd));
    for (unsigned i = 0; i < BAD; i++)
        bad[i] = tcp_profile_linux;
    (p++)->delayed_ack = 500 * TG_MS; /* RFC 9293 MUST-40 */
    (p++)->delayed_ack = 0;
    (p++)->window_scale = 15;
    (p++)->hop_limit = 0;
    (p++)->syn_window = 0;
    (p++)->rto_min = 0;
    (p++)->rto_syn = 0;
    (p++)->syn.places[0].kind = 0;               /* no MSS */
    (p++)->syn.places[0] = bad[0].syn.places[1]; /* twice */
    (p++)->syn.places[1].kind = TCP_OPTION_NOP;
    (p++)->syn.places[1].kind = 9; /* unknown */
    (p++)->data.places[1].modulus = 0;
    (p++)->data.places[1].modulus = 3;
    (p++)->data.places[1].modulus = 5;
    (p++)->data.places[1].residue = tcp_profile_linux.data.places[1].modulus;
    (p++)->data.padding = 8;
    assert_true(p == bad + BAD);
    struct node node;
    struct tcp_config c = node_config();
    node_init(&node, &c, 1);
    for (unsigned i = 0; i < BAD; i++) {
        struct tcp *tcp;
        assert_false(tcp_profile_valid(&bad[i]));
        c.profile = &bad[i];
        assert_int_equal(tcp_create(&c, node.net, &node.pool.pool, &node.wheel, &node.stats,
                                    &node.toeplitz, node_tx_done, &node, &tcp),
                         TG_BAD_CONFIG);
    }
    node_end(&node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(linux_is_the_default),
        BOTH(linux_answers_in_kind),
        BOTH(freebsd_is_another_face),
        BOTH(freebsd_answers_in_kind),
        BOTH(a_short_timeout_is_no_less_patient),
        BOTH(a_profile_of_ones_own),
        cmocka_unit_test(impossible_profiles_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
