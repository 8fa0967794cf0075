/* SPDX-License-Identifier: BSD-3-Clause
 * SYN cookies: what a full listener answers, the connection that an ACK proves, and everything that proves none.
 */
#include "net/owner_test_support.h"
#include "tcp/tcp_owner.h"
#include "tcp/tcp_syn_trace.h"

static uint64_t count(struct trace *t, enum tg_counter c)
{
    return node_counted(&t->node, c);
}

/* The listener's half-open connections are used up; the next tuple is the trace's own. */
static struct trace *full_start_at(void **state, const struct tcp_owner *owner)
{
    struct tcp_config c = node_config();
    c.half_open_max = SYN_PLACES;
    struct trace *t = trace_new(&c, trace_is6(state));
    tcp_use_owner(t->node.tcp, owner);
    strangers_come(t);
    return t;
}

static struct trace *full_start(void **state)
{
    return full_start_at(state, NULL);
}

/* The half-open ones go; SYNs get cookies all the same. */
static void full_end(struct trace *t)
{
    strangers_leave(t, SYN_PLACES);
    assert_int_equal(tcp_half_open_count(t->node.tcp), 0);
    t->node.tcp->config.half_open_max = 0;
}

static void expect_nothing_held(struct trace *t)
{
    assert_int_equal(tcp_connection_count(t->node.tcp), 0);
    assert_int_equal(tcp_half_open_count(t->node.tcp), SYN_PLACES);
}

/* A RST, or silence where it might be ahead of the proof; no connection. */
static void expect_refusal(struct trace *t)
{
    if (t->first != t->end)
        OUT(t, .flags = R, .seq = 1, .no_ts = true);
    QUIET(t);
    node_expect_no_event(&t->node);
    assert_int_equal(count(t, TG_C_tcp_syn_cookies_accepted), 0);
}

/* Bytes both ways over t->h. */
static void exchange(struct trace *t)
{
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 100);
    assert_int_equal(node_event(&t->node).bits, TCP_EV_READABLE);
    trace_read(t, 0, 100);
    trace_skip(t);
    trace_write(t, 0, 200);
    OUT(t, .flags = A, .seq = 1, .ack = 101, .len = 200);
    IN(t, .flags = A, .seq = 101, .ack = 201);
    assert_int_equal(trace_info(t).state, TCP_S_ESTABLISHED);
}

static void every_mix_of_options(void **state)
{
    for (unsigned mix = 0; mix < 16; mix++) {
        struct trace *t = full_start(state);
        struct seg syn = {.flags = S};
        t->ts = mix & 1;
        syn.sack_ok = (mix & 2) != 0;
        syn.wscale_plus_1 = mix & 4 ? 8 : 0;
        syn.mss = mix & 8 ? 1400 : 0;
        trace_in(t, &syn);
        OUT(t, .flags = S | A, .seq = 0, .ack = 1, .win = 65535, .mss = trace_mss(t),
            .sack_ok = syn.sack_ok, .wscale_plus_1 = mix & 4 ? 4 : 0);
        assert_int_equal(t->out_options.has_timestamps, t->ts);
        expect_nothing_held(t);
        IN(t, .flags = A, .seq = 1, .ack = 1, .win = 500);
        struct tcp_event e = node_event(&t->node);
        assert_int_equal(e.bits, TCP_EV_ACCEPTED);
        assert_int_equal(e.tag, 77);
        t->h = e.handle;
        const struct tcp_pcb *pcb = trace_pcb(t);
        assert_int_equal(tcp_has(pcb, TCP_F_TIMESTAMPS), t->ts);
        assert_int_equal(tcp_has(pcb, TCP_F_SACK), syn.sack_ok);
        assert_int_equal(pcb->snd_scale, mix & 4 ? 7 : 0);
        assert_int_equal(pcb->rcv_scale, mix & 4 ? 3 : 0);
        assert_int_equal(pcb->snd_wnd, mix & 4 ? 500 << 7 : 500);
        uint16_t rough = mix & 8 ? 1400 : trace_is6(state) ? 1220 : 536;
        assert_int_equal(pcb->peer_mss, rough);
        assert_int_equal(count(t, TG_C_tcp_syn_cookies_sent), 1);
        assert_int_equal(count(t, TG_C_tcp_syn_cookies_accepted), 1);
        exchange(t);
        trace_end(t);
    }
}

static void the_first_data_may_be_the_proof(void **state)
{
    struct trace *t = full_start(state);
    t->ts = true;
    IN(t, .flags = S, PEER_OPTIONS);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    IN(t, .flags = A | P, .seq = 1, .ack = 1, .len = 300); /* the ACK itself was lost */
    t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED | TCP_EV_READABLE);
    trace_read(t, 0, 300);
    OUT(t, .flags = A, .seq = 1, .ack = 301);
    IN(t, .flags = F | A, .seq = 301, .ack = 1);
    assert_int_equal(node_event(&t->node).bits, TCP_EV_PEER_FIN);
    trace_end(t);
}

/* Reordered: what comes before the first segment proves nothing, but is not refused; it comes again. */
static void data_may_overtake_the_proof(void **state)
{
    for (unsigned ts = 0; ts < 2; ts++) {
        struct trace *t = full_start(state);
        t->ts = ts;
        IN(t, .flags = S, PEER_OPTIONS);
        OUT(t, .flags = S | A, .seq = 0, .ack = 1);
        IN(t, .flags = A, .seq = 501, .ack = 1, .len = 500);
        QUIET(t);
        node_expect_no_event(&t->node);
        assert_int_equal(count(t, TG_C_tcp_syn_cookies_bad), 1);
        IN(t, .flags = A, .seq = 501, .ack = 1); /* of a SYN-ACK that came twice */
        QUIET(t);
        IN(t, .flags = A, .seq = 501, .ack = 1 + (1u << 23), .len = 500); /* no cookie */
        OUT(t, .flags = R, .seq = 1 + (1u << 23), .no_ts = true);
        IN(t, .flags = A, .seq = 1, .ack = 1, .len = 500);
        t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED | TCP_EV_READABLE);
        trace_read(t, 0, 500);
        trace_skip(t);
        IN(t, .flags = A, .seq = 501, .ack = 1, .len = 500);
        trace_read(t, 500, 500);
        trace_end(t);
    }
}

static void a_connection_lives_as_any_other(void **state)
{
    struct trace *t = full_start(state);
    t->ts = true;
    IN(t, .flags = S, PEER_OPTIONS);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    IN(t, .flags = A, .seq = 1, .ack = 1);
    t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
    trace_write(t, 0, 500);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 500);
    strangers_leave(t, SYN_PLACES);      /* their SYN-ACKs would be sent again as well */
    trace_advance(t, TG_S + 10 * TG_MS); /* lost: again after the first timeout */
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 500);
    IN(t, .flags = A, .seq = 1, .ack = 501);
    IN(t, .flags = S, .seq = 1); /* a SYN in between is challenged, not answered with a cookie */
    OUT(t, .flags = A, .seq = 501, .ack = 1);
    assert_int_equal(count(t, TG_C_tcp_syn_cookies_sent), 1);
    IN(t, .flags = R, .seq = 1);
    node_expect_closed(&t->node, 0, TG_RESET);
    trace_end(t);
}

/* Every bit of the two numbers and of the echo. */
static void forgeries_are_refused(void **state)
{
    for (unsigned ts = 0; ts < 2; ts++) {
        struct trace *t = full_start(state);
        t->ts = ts;
        IN(t, .flags = S, PEER_OPTIONS);
        OUT(t, .flags = S | A, .seq = 0, .ack = 1);
        uint32_t mine = t->our_iss, theirs = t->peer_iss, echo = t->last_ts;
        unsigned bad = 0;
        for (unsigned bit = 0; bit < 96; bit++) {
            t->our_iss = bit < 32 ? ((mine + 1) ^ (1u << bit)) - 1 : mine;
            t->peer_iss = bit >= 32 && bit < 64 ? ((theirs + 1) ^ (1u << (bit - 32))) - 1 : theirs;
            t->last_ts = bit >= 64 ? echo ^ (1u << (bit - 64)) : echo;
            if (bit >= 64 && !ts)
                break;
            IN(t, .flags = A, .seq = 1, .ack = 1);
            expect_refusal(t);
            assert_int_equal(count(t, TG_C_tcp_syn_cookies_bad), ++bad);
        }
        expect_nothing_held(t);
        node_expect_no_event(&t->node);
        t->our_iss = mine;
        t->peer_iss = theirs;
        t->last_ts = echo;
        IN(t, .flags = A, .seq = 1, .ack = 1); /* the true one still counts */
        (void)node_expect_event(&t->node, TCP_EV_ACCEPTED);
        trace_end(t);
    }
}

/* With the option in the SYN and without it in the ACK, and the other way round. */
static void timestamps_cannot_come_or_go(void **state)
{
    struct trace *t = full_start(state);
    t->ts = true;
    IN(t, .flags = S, PEER_OPTIONS);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    IN(t, .flags = A, .seq = 1, .ack = 1, .no_ts = true);
    expect_refusal(t);
    t->tuple.remote_port++;
    t->ts = false;
    IN(t, .flags = S, PEER_OPTIONS);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    t->ts = true;
    IN(t, .flags = A, .seq = 1, .ack = 1);
    expect_refusal(t);
    node_expect_no_event(&t->node);
    trace_end(t);
}

static void other_flags_prove_nothing(void **state)
{
    static const uint8_t flags[] = {S | A, R, R | A, P, F, 0};
    struct trace *t = full_start(state);
    IN(t, .flags = S);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    for (unsigned i = 0; i < TG_ARRAY_LEN(flags); i++) {
        IN(t, .flags = flags[i], .seq = 1, .ack = flags[i] & A ? 1 : 0);
        trace_skip(t);
        node_expect_no_event(&t->node);
    }
    expect_nothing_held(t);
    trace_end(t);
}

/* Good for one to two minutes, whatever else is asked meanwhile. */
static void cookies_grow_old(void **state)
{
    for (unsigned late = 0; late < 2; late++) {
        struct trace *t = full_start(state);
        t->ts = true;
        IN(t, .flags = S, PEER_OPTIONS);
        OUT(t, .flags = S | A, .seq = 0, .ack = 1);
        uint32_t mine = t->our_iss, echo = t->last_ts;
        uint16_t port = t->tuple.remote_port;
        t->node.now += late ? 2 * (60 * TG_S) : (60 * TG_S);
        t->tuple.remote_port = 40000;
        IN(t, .flags = S);
        trace_skip(t); /* with the SYN-ACKs of the others, again */
        assert_int_equal(count(t, TG_C_tcp_syn_cookies_sent), 2);
        t->tuple.remote_port = port;
        t->our_iss = mine;
        t->last_ts = echo;
        IN(t, .flags = A, .seq = 1, .ack = 1);
        if (late)
            expect_refusal(t);
        else
            (void)node_expect_event(&t->node, TCP_EV_ACCEPTED);
        trace_end(t);
    }
}

static void nobody_is_asked_while_none_is_out(void **state)
{
    struct trace *t = trace_start(state);
    IN(t, .flags = A, .seq = 1, .ack = 1);
    OUT(t, .flags = R, .seq = 1);
    assert_int_equal(count(t, TG_C_tcp_syn_cookies_bad), 0);
    trace_end(t);
    t = full_start(state);
    full_end(t);
    IN(t, .flags = S);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    t->node.now += 3 * (60 * TG_S);
    IN(t, .flags = A, .seq = 1, .ack = 1);
    OUT(t, .flags = R, .seq = 1);
    assert_int_equal(count(t, TG_C_tcp_syn_cookies_bad), 0);
    trace_end(t);
}

static void too_many_a_second_wait(void **state)
{
    struct trace *t = full_start(state);
    IN(t, .flags = S);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    t->node.tcp->cookies.second_ns = t->node.now;
    t->node.tcp->cookies.accepts_left = 0;
    IN(t, .flags = A, .seq = 1, .ack = 1);
    QUIET(t); /* no RST: it may come again */
    assert_int_equal(count(t, TG_C_tcp_syn_cookies_limited), 1);
    trace_advance(t, TG_S);
    trace_skip(t);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 5);
    (void)node_expect_event(&t->node, TCP_EV_ACCEPTED | TCP_EV_READABLE);
    trace_end(t);
}

static void no_room_is_no_refusal(void **state)
{
    struct tcp_config c = node_config();
    c.connections_max = 48;
    c.half_open_max = 1;
    struct trace *t = trace_new(&c, trace_is6(state));
    t->tuple.remote_port = 1000;
    IN(t, .flags = S);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    for (unsigned i = 0; i < 60; i++) { /* 48 connections at most */
        t->tuple.remote_port = (uint16_t)(2000 + i);
        IN(t, .flags = S);
        OUT(t, .flags = S | A, .seq = 0, .ack = 1);
        IN(t, .flags = A, .seq = 1, .ack = 1);
        QUIET(t);
        assert_int_equal(node_event(&t->node).bits, i < 48 ? TCP_EV_ACCEPTED : 0);
    }
    assert_int_equal(count(t, TG_C_tcp_full), 12);
    assert_int_equal(count(t, TG_C_tcp_syn_cookies_accepted), 48);
    trace_end(t);
}

/* In a fleet the cookie names its owner, under the fleet's keys; without SYN keys there are none. */
static void a_fleets_cookie_names_its_owner(void **state)
{
    struct prng p;
    struct owner_slots all;
    uint16_t slot = OWNER_SLOT_NONE;
    prng_seed(&p, 7);
    memset(&all, 0xff, sizeof all);
    struct tcp_owner owner = {test_owner_identity(&p, 1234, 56), {60, 80}};
    struct trace *t = full_start_at(state, &owner);
    t->ts = true;
    IN(t, .flags = S, PEER_OPTIONS);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1,
        .mss = (uint16_t)(trace_mss(t) - (trace_is6(state) ? 80 : 60)));
    assert_true(owner_cookie_slot(&owner.me.owner, &all, &t->tuple, t->last_ts, &slot));
    assert_int_equal(slot, 1234);
    IN(t, .flags = A, .seq = 1, .ack = 1);
    t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
    exchange(t);
    owner.me.syn.count = 0;
    tcp_use_owner(t->node.tcp, &owner);
    t->tuple.remote_port++;
    IN(t, .flags = S, PEER_OPTIONS);
    QUIET(t);
    assert_int_equal(count(t, TG_C_tcp_backlog_full), 1);
    trace_end(t);
}

/* A secret that follows another leaves cookies that are on their way good; one after that does not. */
static void secrets_follow_one_another(void **state)
{
    for (unsigned changes = 1; changes < 3; changes++) {
        struct prng p;
        prng_seed(&p, 8);
        struct tcp_owner owner = {test_owner_identity(&p, 1234, 56), {60, 80}};
        struct trace *t = full_start_at(state, &owner);
        t->ts = true;
        IN(t, .flags = S, PEER_OPTIONS);
        OUT(t, .flags = S | A, .seq = 0, .ack = 1);
        for (unsigned i = 0; i < changes; i++) {
            owner.me.syn.key[1] = owner.me.syn.key[0];
            owner.me.syn.key[0] = (struct owner_key){{prng_next(&p), prng_next(&p)}, 90 + i};
            owner.me.syn.count = 2;
            tcp_use_owner(t->node.tcp, &owner);
        }
        IN(t, .flags = A, .seq = 1, .ack = 1);
        if (changes == 1)
            (void)node_expect_event(&t->node, TCP_EV_ACCEPTED);
        else
            expect_refusal(t);
        trace_end(t);
    }
}

/* What steer asks before it sends a stranger's packet to another node. */
static void awaits_what_it_would_take(void **state)
{
    static const struct seg segs[] = {
        {.flags = A, .seq = 1, .ack = 1, .len = 10},   {.flags = A, .seq = 2, .ack = 1},
        {.flags = A, .seq = 1, .ack = 1 + (1u << 23)}, {.flags = S | A, .seq = 1, .ack = 1},
        {.flags = R | A, .seq = 1, .ack = 1},
    };
    static const enum tcp_answer expect[] = {TCP_ANSWER_PROOF, TCP_ANSWER_PERHAPS, TCP_ANSWER_BAD,
                                             TCP_ANSWER_NONE, TCP_ANSWER_NONE};
    struct trace *t = full_start(state);
    for (unsigned i = 0; i < 2 * TG_ARRAY_LEN(segs); i++) {
        t->ts = i % 2;
        IN(t, .flags = S, PEER_OPTIONS);
        OUT(t, .flags = S | A, .seq = 0, .ack = 1);
        struct buf *b = trace_make(t, &segs[i / 2]);
        assert_int_equal(wire_parse(b, &t->node.toeplitz), TG_C_none);
        struct tcp_segment s = wire_tcp(b);
        enum tcp_answer weak = i == 0 ? TCP_ANSWER_PERHAPS : expect[i / 2];
        assert_int_equal(tcp_awaits(t->node.tcp, &t->tuple, &s), weak);
        buf_unref(&t->node.pool.pool, b);
    }
    assert_int_equal(count(t, TG_C_tcp_syn_cookies_bad), 0);
    trace_end(t);
}

/* An empty pool answers nothing and holds nothing. */
static void a_starved_pool_drops(void **state)
{
    struct trace *t = full_start(state);
    struct buf *b = trace_make(t, &(struct seg){.flags = S});
    t->node.pool.limit = t->node.pool.outstanding;
    assert_int_equal(node_receive(&t->node, b), TG_C_none);
    t->node.pool.limit = UINT32_MAX;
    QUIET(t);
    assert_int_equal(count(t, TG_C_tcp_syn_cookies_sent), 0);
    assert_int_equal(count(t, TG_C_tcp_backlog_full), 1);
    expect_nothing_held(t);
    trace_end(t);
}

static void a_flood_leaves_nothing(void **state)
{
    struct trace *t = full_start(state);
    struct ip_tuple mine = t->tuple;
    struct prng p;
    prng_seed(&p, 99);
    unsigned outstanding = t->node.pool.outstanding;
    for (unsigned i = 0; i < 100000; i++) {
        t->tuple.remote_port = (uint16_t)(1024 + prng_below(&p, 60000));
        t->peer_iss = (uint32_t)prng_next(&p);
        struct buf *b = trace_make(t, &(struct seg){.flags = S, .mss = 1460});
        assert_int_equal(wire_parse(b, &t->node.toeplitz), TG_C_none);
        tcp_input(t->node.tcp, &b, 1, t->node.now);
        while (net_take(t->node.net, &b, 1))
            buf_unref(&t->node.pool.pool, b);
        if (i % 20000 == 10000) { /* a real one in between */
            t->tuple = mine;
            t->tuple.remote_port = (uint16_t)(i / 20000 + 1);
            IN(t, .flags = S, .mss = 1460);
            OUT(t, .flags = S | A, .seq = 0, .ack = 1);
            IN(t, .flags = A, .seq = 1, .ack = 1);
            t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
            exchange(t);
            tcp_abort(t->node.tcp, t->h);
            trace_collect(t);
            trace_skip(t);
        }
    }
    expect_nothing_held(t);
    assert_int_equal(t->node.pool.outstanding, outstanding);
    assert_true(count(t, TG_C_tcp_syn_cookies_sent) > 99900);
    assert_int_equal(count(t, TG_C_tcp_syn_cookies_accepted), 5);
    trace_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(every_mix_of_options),
        BOTH(the_first_data_may_be_the_proof),
        BOTH(data_may_overtake_the_proof),
        BOTH(a_connection_lives_as_any_other),
        BOTH(forgeries_are_refused),
        BOTH(timestamps_cannot_come_or_go),
        BOTH(other_flags_prove_nothing),
        BOTH(cookies_grow_old),
        BOTH(nobody_is_asked_while_none_is_out),
        BOTH(too_many_a_second_wait),
        BOTH(no_room_is_no_refusal),
        BOTH(a_fleets_cookie_names_its_owner),
        BOTH(secrets_follow_one_another),
        BOTH(awaits_what_it_would_take),
        BOTH(a_starved_pool_drops),
        BOTH(a_flood_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
