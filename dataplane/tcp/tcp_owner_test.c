/* SPDX-License-Identifier: BSD-3-Clause
 * Owner cookies on the wire: what a fleet's connections put into timestamps and sequence numbers, for how
 * long, and that everything else works as without.
 */
#include "net/owner_test_support.h"
#include "tcp/tcp_owner.h"
#include "tcp/tcp_pair.h"
#include "tcp/tcp_trace.h"

#define HOUR (3600 * TG_S)

static struct owner_slots all_slots;
static struct owner_sites all_sites;

static int set_up(void **state)
{
    memset(&all_slots, 0xff, sizeof all_slots);
    memset(&all_sites, 0xff, sizeof all_sites);
    return 0;
}

static struct tcp_owner owner_make(uint16_t slot, uint8_t site, uint64_t seed)
{
    struct prng p;
    prng_seed(&p, seed);
    return (struct tcp_owner){test_owner_identity(&p, slot, site), {60, 80}};
}

static struct trace *fleet_start(void **state, struct tcp_owner *owner)
{
    struct trace *t = trace_start(state);
    *owner = owner_make(1234, 56, 7);
    tcp_use_owner(t->node.tcp, owner);
    return t;
}

/* Both numbers of the last segment out name this owner. */
static void expect_owner(struct trace *t, const struct tcp_owner *owner, uint32_t seq)
{
    uint16_t slot = OWNER_SLOT_NONE;
    uint8_t sites[OWNER_SITES_FOUND];
    if (t->out_options.has_timestamps) {
        assert_true(owner_cookie_slot(&owner->me.owner, &all_slots, &t->tuple,
                                      t->out_options.ts_value, &slot));
        assert_int_equal(slot, owner->me.slot);
    }
    assert_true(owner_cookie_sites(&owner->me.owner, &all_sites, &t->tuple, seq, sites) > 0);
    assert_int_equal(sites[0], owner->me.site);
}

static void syn_ack_and_all_after_it_name_the_owner(void **state)
{
    struct tcp_owner owner;
    struct trace *t = fleet_start(state, &owner);
    t->ts = true;
    IN(t, .flags = S, .seq = 0, PEER_OPTIONS);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    expect_owner(t, &owner, t->our_iss);
    uint32_t base = t->last_ts;
    IN(t, .flags = A, .seq = 1, .ack = 1);
    t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
    trace_write(t, 0, 3000);
    for (unsigned i = 0; i < 3; i++) {
        OUT(t, .flags = A, .seq = ANY, .ack = 1, .len = ANY, .ts_value = base);
        expect_owner(t, &owner, t->out.seq);
    }
    IN(t, .flags = A, .seq = 1, .ack = 3001);
    trace_advance(t, 100 * TG_MS);
    IN(t, .flags = A, .seq = 1, .ack = 3001, .len = 10); /* the client echoes it: accepted */
    trace_advance(t, TG_S);
    OUT(t, .flags = A, .seq = 3001, .ack = 11, .ts_value = base);
    assert_true(trace_info(t).srtt > 0); /* measured without timestamps */
    trace_end(t);
}

static void clients_without_timestamps_get_the_site(void **state)
{
    struct tcp_owner owner;
    struct trace *t = fleet_start(state, &owner);
    trace_accept(t, (struct seg){.mss = 1000});
    assert_false(t->out_options.has_timestamps);
    expect_owner(t, &owner, t->our_iss);
    assert_int_equal(t->our_iss >> 23 & 1, 0);
    trace_end(t);
}

static void active_opens_name_the_owner(void **state)
{
    struct tcp_owner owner;
    struct trace *t = fleet_start(state, &owner);
    t->ts = true;
    trace_connect(t, 0);
    expect_owner(t, &owner, t->our_iss);
    uint32_t first = t->last_ts;
    IN(t, .flags = S | A, .seq = 0, .ack = 1, .mss = 1000);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .ts_value = first);
    tcp_abort(t->node.tcp, t->h);
    trace_collect(t);
    trace_skip(t);
    (void)node_event(&t->node);
    /* The same tuple eight seconds later is younger, so a peer in TIME-WAIT takes it. */
    t->node.now += 8 * TG_S;
    t->node.tcp->next_port--;
    uint16_t port = t->tuple.local_port;
    trace_connect(t, 0);
    assert_int_equal(t->tuple.local_port, port);
    assert_int_equal(t->last_ts, first + (1u << OWNER_CLOCK_SHIFT));
    expect_owner(t, &owner, t->our_iss);
    trace_end(t);
}

/* One tick in four hours, for months, and the owner is named all the time. */
static void time_ticks(void **state)
{
    struct tcp_owner owner;
    struct trace *t = fleet_start(state, &owner);
    t->ts = true;
    trace_accept(t, (struct seg){PEER_OPTIONS});
    uint32_t base = t->last_ts, last = base;
    tg_ns start = t->node.now;
    for (unsigned i = 1; i < 1000; i++) { /* 1000 times 3 h 59 min */
        t->node.now += 239 * 60 * TG_S;
        uint32_t value = tcp_pcb_timestamp(trace_pcb(t), t->node.now);
        assert_true((int32_t)(value - last) >= 0);
        assert_int_equal(value - base, (uint32_t)((t->node.now - start) / (4 * HOUR)) << 14);
        t->out_options.ts_value = last = value;
        expect_owner(t, &owner, t->our_iss);
    }
    trace_end(t);
}

static void bytes_tick_too(void **state)
{
    struct tcp_owner owner;
    struct trace *t = fleet_start(state, &owner);
    t->ts = true;
    trace_accept(t, (struct seg){PEER_OPTIONS});
    struct tcp_pcb copy =
        *trace_pcb(t); /* played with by itself: 100 GiB are too much for a test */
    uint32_t base = t->last_ts, last = base;
    uint64_t acked = 0;
    struct prng p;
    prng_seed(&p, 3);
    while (acked < (uint64_t)100 << 30) {
        uint32_t step = (uint32_t)prng_below(&p, (1 << 30) - 1);
        acked += step;
        copy.snd_una += step;
        uint32_t value = tcp_pcb_timestamp(&copy, t->node.now);
        assert_true((int32_t)(value - last) >= 0);
        last = value;
        uint64_t ticks = (value - base) >> 14;
        assert_true(ticks == acked >> 30 || ticks + 1 == acked >> 30);
    }
    t->out_options.ts_value = last;
    expect_owner(t, &owner, t->our_iss);
    trace_end(t);
}

/* A client that has not heard of us for a month takes the next segment, and we take its. */
static void a_month_of_idling_trips_no_paws(void **state)
{
    struct tcp_config c = node_config();
    struct pair *p = pair_new(&c, &c, 1);
    struct tcp_owner owner = owner_make(9, 9, 1);
    tcp_use_owner(p->node[1].tcp, &owner);
    pair_connect(p, trace_is6(state));
    p->user[0].to_send = p->user[1].to_send = 1000;
    p->user[0].shut = p->user[1].shut = true; /* no FIN yet */
    pair_run(p, TG_S);
    assert_int_equal(p->user[0].received, 1000);
    for (unsigned i = 0; i < 40; i++) {
        p->now += i * 24 * HOUR;
        p->user[0].to_send += 5000;
        p->user[1].to_send += 5000;
        pair_run(p, 10 * TG_S);
        assert_int_equal(p->user[0].received, p->user[1].to_send);
        assert_int_equal(p->user[1].received, p->user[0].to_send);
    }
    assert_int_equal(node_counted(&p->node[0], TG_C_tcp_paws), 0);
    assert_int_equal(node_counted(&p->node[1], TG_C_tcp_paws), 0);
    p->user[0].shut = p->user[1].shut = false;
    pair_run(p, TG_S);
    pair_expect_done(p);
    pair_end(p);
}

static void lossy_transfers_arrive(void **state)
{
    struct tcp_config c = node_config();
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct pair *p = pair_new(&c, &c, seed);
        struct tcp_owner client = owner_make(1, 1, 1), server = owner_make(2, 2, 2);
        tcp_use_owner(p->node[0].tcp, &client);
        tcp_use_owner(p->node[1].tcp, &server);
        pair_connect(p, trace_is6(state));
        p->loss_permille = 50;
        p->jitter = 10 * TG_MS;
        pair_exchange_and_end(p);
    }
}

/* --- one tuple, two connections ------------------------------------------------------------------------ */

/* Closed by us: TIME-WAIT is ours. */
static void end_first(struct trace *t)
{
    tcp_close(t->node.tcp, t->h);
    trace_collect(t);
    OUT(t, .flags = A | F, .seq = 1, .ack = 1);
    IN(t, .flags = A | F, .seq = 1, .ack = 2);
    OUT(t, .flags = A, .seq = 2, .ack = 2);
    assert_int_equal(tcp_time_wait_count(t->node.tcp), 1);
}

static void time_wait_keeps_the_last_timestamp(void **state)
{
    struct tcp_owner owner;
    struct trace *t = fleet_start(state, &owner);
    t->ts = true;
    trace_accept(t, (struct seg){PEER_OPTIONS});
    uint32_t base = t->last_ts;
    trace_advance(t, 9 * HOUR);
    end_first(t);
    assert_int_equal(t->last_ts, base + (2u << OWNER_CLOCK_SHIFT));
    trace_advance(t, 20 * TG_S);
    IN(t, .flags = A | F, .seq = 1, .ack = 2);
    OUT(t, .flags = A, .seq = 2, .ack = 2, .ts_value = base + (2u << OWNER_CLOCK_SHIFT));
    trace_advance(t, 20 * TG_S); /* the record has moved */
    IN(t, .flags = A | F, .seq = 1, .ack = 2);
    OUT(t, .flags = A, .seq = 2, .ack = 2, .ts_value = base + (2u << OWNER_CLOCK_SHIFT));
    trace_end(t);
}

/* RFC 6191: a younger SYN reopens; our timestamps start above the old ones, and still name us. */
static void a_reopened_connection_starts_above(void **state)
{
    struct tcp_owner owner;
    struct trace *t = fleet_start(state, &owner);
    t->ts = true;
    trace_accept(t, (struct seg){PEER_OPTIONS});
    trace_advance(t, 13 * HOUR);
    end_first(t);
    for (unsigned i = 0; i < 3; i++) {
        uint32_t before = t->last_ts;
        t->node.now += 10 * TG_MS;
        IN(t, .flags = S, .seq = 0x90000000u + i, PEER_OPTIONS);
        OUT(t, .flags = S | A, .seq = 0, .ack = ANY);
        assert_true((int32_t)(t->last_ts - before) > 0);
        expect_owner(t, &owner, t->our_iss);
        t->peer_iss += 0x90000000u + i;
        IN(t, .flags = A, .seq = 1, .ack = 1);
        t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
        end_first(t);
    }
    trace_end(t);
}

/* Without timestamps the sequence number alone keeps old segments out, even if it costs the cookie. */
static void without_timestamps_the_isn_starts_above(void **state)
{
    struct tcp_owner owner;
    struct trace *t = fleet_start(state, &owner);
    trace_accept(t, (struct seg){.mss = 1000});
    uint32_t old_end = t->our_iss + 2;
    end_first(t);
    IN(t, .flags = S, .seq = 3);
    OUT(t, .flags = S | A, .seq = 0, .ack = 4);
    assert_true(seq_lt(old_end + 65535, t->our_iss));
    trace_end(t);
}

/* A record of a time without a fleet, a connection of a time with one: the ISN decides. */
static void a_fleet_that_comes_later_starts_above(void **state)
{
    struct trace *t = trace_start(state);
    t->ts = true;
    trace_accept(t, (struct seg){PEER_OPTIONS});
    uint32_t old_end = t->our_iss + 2;
    end_first(t);
    struct tcp_owner owner = owner_make(1, 1, 1);
    tcp_use_owner(t->node.tcp, &owner);
    t->node.now += 10 * TG_MS;
    IN(t, .flags = S, .seq = 3, PEER_OPTIONS);
    OUT(t, .flags = S | A, .seq = 0, .ack = 4);
    assert_true(seq_lt(old_end + 65535, t->our_iss));
    trace_end(t);
}

/* --- one tuple, two nodes ------------------------------------------------------------------------------- */

/* What the stack says about a segment of the trace's tuple with this ACK, relative to our ISN. */
static bool expects(struct trace *t, uint32_t ack)
{
    uint32_t flow, hash = wire_tuple_hash(&t->node.toeplitz, &t->tuple);
    assert_true(tcp_owns(t->node.tcp, &t->tuple, hash, &flow));
    return tcp_expects(t->node.tcp, flow, t->our_iss + ack);
}

static void segments_of_another_connection_do_not_fit(void **state)
{
    struct trace *t = trace_start(state);
    IN(t, .flags = S, .seq = 0, .mss = 1000, .win = 5000);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    assert_true(expects(t, 1)); /* half open: the ACK of our SYN, nothing else */
    assert_false(expects(t, 0));
    assert_false(expects(t, 2));
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = 5000);
    t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
    trace_write(t, 0, 3000);
    trace_skip(t);
    assert_true(expects(t, 1) && expects(t, 3001) && expects(t, 1u - 5000)); /* RFC 5961 s5.2 */
    assert_false(expects(t, 3002) || expects(t, 0u - 5000) || expects(t, 0x80000000u));
    IN(t, .flags = A, .seq = 1, .ack = 3001);
    tcp_close(t->node.tcp, t->h);
    trace_collect(t);
    trace_skip(t);
    IN(t, .flags = A | F, .seq = 1, .ack = 3002);
    trace_skip(t);
    assert_int_equal(tcp_time_wait_count(t->node.tcp), 1);
    assert_true(expects(t, 3002) && expects(t, 1)); /* TIME-WAIT: late segments */
    assert_false(expects(t, 3003) || expects(t, 3002u - 0x100001u));
    trace_end(t);
}

static void active_opens_expect_their_syns_ack(void **state)
{
    struct trace *t = trace_start(state);
    trace_connect(t, 0);
    assert_true(expects(t, 1));
    assert_false(expects(t, 0) || expects(t, 2));
    trace_end(t);
}

/* --- on and off ------------------------------------------------------------------------------------------ */

static void connections_keep_the_cookie_that_they_began_with(void **state)
{
    struct tcp_owner owner;
    struct trace *t = fleet_start(state, &owner);
    t->ts = true;
    trace_accept(t, (struct seg){PEER_OPTIONS});
    uint32_t base = t->last_ts;
    struct tcp_owner next = owner_make(5, 5, 99); /* other keys, another slot */
    tcp_use_owner(t->node.tcp, &next);
    trace_write(t, 0, 10);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 10, .ts_value = base);
    tcp_use_owner(t->node.tcp, NULL);
    trace_write(t, 10, 10);
    OUT(t, .flags = A, .seq = 11, .ack = 1, .len = 10, .ts_value = base);
    trace_end(t);
}

static void without_a_fleet_nothing_changes(void **state)
{
    struct trace *t = trace_start(state);
    struct tcp_owner owner = owner_make(5, 5, 99);
    tcp_use_owner(t->node.tcp, &owner);
    tcp_use_owner(t->node.tcp, NULL);
    t->ts = true;
    struct tcp_secrets s = tcp_secrets_of(t->node.tcp, &t->tuple, t->node.now);
    IN(t, .flags = S, .seq = 0, PEER_OPTIONS);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1, .mss = trace_mss(t),
        .ts_value = tcp_timestamp(s.ts_offset, t->node.now));
    assert_int_equal(t->our_iss, s.isn);
    trace_end(t);
}

static void the_offered_mss_leaves_room_for_the_tunnel(void **state)
{
    struct tcp_owner owner;
    struct trace *t = fleet_start(state, &owner);
    uint16_t mss = trace_is6(state) ? 1360 : 1400;
    IN(t, .flags = S, .seq = 0, .mss = 1460);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1, .mss = mss);
    IN(t, .flags = A, .seq = 1, .ack = 1);
    t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
    assert_int_equal(trace_info(t).mss,
                     u32_min(1460, trace_mss(t))); /* what we send goes directly */
    trace_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(syn_ack_and_all_after_it_name_the_owner),
        BOTH(clients_without_timestamps_get_the_site),
        BOTH(active_opens_name_the_owner),
        BOTH(time_ticks),
        BOTH(bytes_tick_too),
        BOTH(a_month_of_idling_trips_no_paws),
        BOTH(lossy_transfers_arrive),
        BOTH(time_wait_keeps_the_last_timestamp),
        BOTH(a_reopened_connection_starts_above),
        BOTH(without_timestamps_the_isn_starts_above),
        BOTH(a_fleet_that_comes_later_starts_above),
        BOTH(segments_of_another_connection_do_not_fit),
        BOTH(active_opens_expect_their_syns_ack),
        BOTH(connections_keep_the_cookie_that_they_began_with),
        BOTH(without_a_fleet_nothing_changes),
        BOTH(the_offered_mss_leaves_room_for_the_tunnel),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
