/* SPDX-License-Identifier: BSD-3-Clause
 * Lies and guesses: headers that lie, attackers who cannot see the connection and those who can write into it, boxes
 * in the path that change what they should not (docs/bad-input.md). Who wants us to hold memory is in tcp_hoard_test.
 */
#include "tcp/tcp_pair.h"
#include "tcp/tcp_trace.h"

/* --- headers ------------------------------------------------------------------------------------------------ */

/* Below five words the options would have a negative length; beyond the segment they would be the next frame's. */
static void a_data_offset_that_lies(void **state)
{
    struct trace *t = trace_start(state);
    for (unsigned words = 0; words < 16; words++) {
        struct seg s = {.flags = S, .seq = 0, .mss = 1000};
        struct buf *b = trace_make(t, &s);
        b->data[ETH_BYTES + trace_headers(t) - TCP_BYTES + 12] = (uint8_t)(words << 4);
        b->flags |= BUF_RX_L4_CSUM_GOOD; /* even where the port swears that the checksum is right */
        bool lies = words < 5 || words > 6;
        assert_int_equal(node_receive(&t->node, b), lies ? TG_C_net_tcp_offset : TG_C_none);
    }
    assert_int_equal(tcp_half_open_count(t->node.tcp), 1);
    trace_end(t);
}

/* The port checks, or says that it did; "bad" is believed, nothing else makes a wrong sum right. */
static void what_the_port_says_of_checksums(void **state)
{
    static const struct {
        uint16_t flag;
        enum tg_counter right, wrong;
    } cases[] = {{0, TG_C_none, TG_C_net_l4_checksum},
                 {BUF_RX_L4_CSUM_GOOD, TG_C_none, TG_C_none},
                 {BUF_RX_L4_CSUM_BAD, TG_C_net_l4_checksum, TG_C_net_l4_checksum}};
    struct trace *t = trace_start(state);
    for (unsigned i = 0; i < 2 * TG_ARRAY_LEN(cases); i++) {
        struct seg s = {.flags = A, .seq = 1, .ack = 1, .len = 100};
        struct buf *b = trace_make(t, &s);
        b->data[b->len - 1] ^= (uint8_t)(i & 1);
        b->flags |= cases[i / 2].flag;
        enum tg_counter want = i & 1 ? cases[i / 2].wrong : cases[i / 2].right;
        assert_int_equal(node_receive(&t->node, b), want);
    }
    trace_end(t);
}

static void port_0_is_nobodys(void **state)
{
    struct trace *t = trace_start(state);
    for (unsigned which = 0; which < 2; which++) {
        struct ip_tuple tuple = t->tuple;
        *(which ? &tuple.local_port : &tuple.remote_port) = 0;
        struct buf *b =
            test_frame_tcp(&t->node.pool.pool, &tuple, 1, 0, S, 1000, SPAN_EMPTY, SPAN_EMPTY);
        assert_int_equal(node_receive(&t->node, b), TG_C_net_tcp_port);
    }
    trace_collect(t);
    QUIET(t);
    trace_end(t);
}

static void a_header_full_of_nops(void **state)
{
    static const uint8_t nops[40] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                     1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    struct trace *t = trace_start(state);
    const struct span options = span_make(nops, sizeof nops);
    IN(t, .flags = S, .seq = 0, .raw_options = options);
    OUT(t, .flags = S | A, .seq = 0, .ack = 1);
    assert_false(t->out_options.has_timestamps || t->out_options.sack_permitted);
    IN(t, .flags = A, .seq = 1, .ack = 1, .raw_options = options);
    t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
    for (unsigned i = 0; i < 20; i++)
        IN(t, .flags = A, .seq = 1 + i * 100, .ack = 1, .len = 100, .raw_options = options);
    trace_skip(t);
    trace_read(t, 0, 2000);
    trace_end(t);
}

/* --- attackers who cannot see ---------------------------------------------------------------------------------- */

/* CVE-2016-5696: who knows the budget of a second counts in it whether a guess of his was right. */
static void the_budget_of_challenges_cannot_be_counted(void **state)
{
    struct trace *t = trace_start(state);
    unsigned least = UINT32_MAX, most = 0, changes = 0, last = 0;
    for (unsigned s = 1; s <= 100; s++) {
        unsigned n = 0;
        while (tcp_challenge_allowed(t->node.tcp, s * TG_S))
            n++;
        least = u32_min(least, n);
        most = u32_max(most, n);
        changes += n != last;
        last = n;
    }
    assert_true(least >= 100 && most < 200 && most - least > 80);
    assert_true(changes > 90);
    trace_end(t);
}

/* An IPv4 identification that counts tells who else we talk to (idle scan): ours is 0, with DF (RFC 6864); a port that
 * cuts a super-segment counts its pieces from there. IPv6 has none without a fragment header. */
static void no_packet_tells_how_many_there_were(void **state)
{
    struct trace *t = trace_start(state);
    trace_accept(t, (struct seg){.mss = 1000});
    trace_write(t, 0, 5000);
    trace_advance(t, TG_S); /* retransmissions among them */
    t->tuple.remote_port = 9;
    IN(t, .flags = A, .seq = 77, .ack = 88); /* and a RST */
    unsigned seen = 0, pieces = t->node.tcp->config.tso_bytes_max ? TCP_OUTPUT_QUANTUM : 1;
    for (; t->first != t->end; seen++) {
        struct buf *b = t->frames[t->first++ % TRACE_FRAMES];
        const uint8_t *ip = wire_ip(b);
        if (b->ip_version == 4)
            assert_true(wire_get16(ip + 4) < pieces && wire_get16(ip + 6) == 0x4000);
        else
            assert_int_equal(ip[6], IP_PROTO_TCP);
        buf_unref(&t->node.pool.pool, b);
    }
    assert_true(seen > 7);
    trace_end(t);
}

/* Blind PMTU attack: messages that quote numbers which are not in flight, any size. */
static void a_storm_of_blind_too_bigs(void **state)
{
    struct trace *t = trace_start(state);
    trace_accept(t, (struct seg){.mss = 1400});
    trace_write(t, 0, 14000);
    struct tcp_info before = trace_info(t);
    static const uint32_t sizes[] = {68, 296, 552, 1280, 1400, 1500, 9000};
    for (uint32_t i = 0; i < 70000; i++) {
        uint32_t seq = t->our_iss + 14001 + i * 61000u; /* all around, none of 1 .. 14000 */
        if (seq - t->our_iss - 1 < 14000)
            continue;
        struct net_icmp_error e = {.tuple = t->tuple, .seq = seq, .mtu = sizes[i % 7]};
        tcp_icmp_error(t->node.tcp, &e, t->node.now);
    }
    struct tcp_info after = trace_info(t);
    assert_int_equal(after.mss, before.mss);
    assert_int_equal(after.cwnd, before.cwnd);
    assert_int_equal(trace_skip(t), 10);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_mtu_reduced), 0);
    trace_end(t);
}

/* --- attackers who write into the connection ---------------------------------------------------------------------- */

static void inject(struct pair *p, unsigned side)
{
    struct node *node = &p->node[side];
    const struct tcp_pcb *pcb = tcp_pcb_find(node->tcp, p->user[side].h);
    struct tcp_options o = {.has_timestamps = true, .ts_value = pcb->ts_recent};
    uint8_t options[TCP_OPTIONS_MAX], bytes[500];
    stream_fill(bytes, p->user[side].received, sizeof bytes);
    struct buf *b = test_frame_tcp(&node->pool.pool, &pcb->tuple, pcb->rcv_nxt, pcb->snd_una, A,
                                   1000, span_make(options, tcp_options_emit(&o, options, 40)),
                                   span_make(bytes, sizeof bytes));
    node->now = p->now;
    assert_int_equal(node_take(node, b), TG_C_none);
}

/* Each has taken text that the other never sent, so that every ACK of the one is one of the future to the other, whose
 * answer is one, too. Both send what they have to send again, by the clock; nobody answers an answer. */
static void two_stacks_that_disagree(bool ip6)
{
    struct tcp_config c = node_config();
    struct pair *p = pair_new(&c, &c, 3);
    p->user[0].stop_reading = p->user[1].stop_reading = true;
    p->user[0].to_send = p->user[1].to_send = 0;
    p->user[0].shut = p->user[1].shut = true; /* no FIN yet */
    pair_connect(p, ip6);
    pair_run(p, TG_S);
    assert_int_equal(node_state(&p->node[0], p->user[0].h), TCP_S_ESTABLISHED);
    for (unsigned side = 0; side < 2; side++)
        inject(p, side);
    pair_run(p, TG_MS);
    uint64_t before = p->frames;
    pair_run(p, 60 * TG_S);
    assert_true(p->frames - before <= 60 * 2 * 2); /* an answer each 500 ms and side at most */
    uint64_t quiet = p->frames;
    pair_run(p, 60 * TG_S);
    assert_true(p->frames - quiet <= 60 * 2 * 2);
    pair_end(p);
}

static void two_stacks_that_disagree_do_not_storm(void **state)
{
    (void)state;
    two_stacks_that_disagree(false);
    two_stacks_that_disagree(true);
}

/* --- boxes in the path ------------------------------------------------------------------------------------------- */

/* A box takes the window scale out of our SYN-ACK alone: the peer's 5,000 bytes are 640,000 to us. What lies beyond is lost
 * at the peer, and repaired; nothing is sent for ever. */
static void a_scale_that_only_we_believe_in(void **state)
{
    struct trace *t = trace_start(state);
    trace_accept(t, (struct seg){.mss = 1000, .wscale_plus_1 = 8});
    uint32_t got = 0, sent = 0;
    trace_write(t, 0, 30000);
    for (unsigned turn = 0; turn < 200 && got < 30000; turn++) {
        for (uint32_t edge = got + 5000; t->first != t->end; sent++) {
            struct buf *b = t->frames[t->first++ % TRACE_FRAMES];
            struct tcp_segment s = wire_tcp(b);
            uint32_t at = s.seq - t->our_iss - 1;
            if (at == got && at + s.payload_bytes <= edge)
                got += s.payload_bytes;
            buf_unref(&t->node.pool.pool, b);
        }
        IN(t, .flags = A, .seq = 1, .ack = 1 + got, .win = 5000);
        if (t->first == t->end)
            trace_advance(t, 100 * TG_MS);
    }
    assert_int_equal(got, 30000);
    assert_true(sent <= 3 * 30);
    trace_end(t);
}

/* A box shifts our sequence numbers, but not those in the peer's SACK blocks: they name what was never sent. ACKs alone
 * carry on. */
static void blocks_of_another_numbering(void **state)
{
    struct trace *t = trace_start(state);
    trace_accept(t, (struct seg){.mss = 1000, .sack_ok = true});
    trace_write(t, 0, 10000);
    assert_int_equal(trace_skip(t), 10);
    const uint32_t shift = 0x13579bdf;
    for (unsigned i = 1; i < 10; i++)
        IN(t, .flags = A, .seq = 1, .ack = 1, .sack = {{1001 + shift, 1001 + shift + 1000u * i}});
    assert_int_equal(trace_pcb(t)->act->sacked, 0);
    trace_advance(t, 2 * TG_S);
    assert_true(trace_skip(t) <= 4); /* a tail probe, timeouts */
    IN(t, .flags = A, .seq = 1, .ack = 10001);
    assert_int_equal(trace_info(t).unacked, 0);
    trace_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_data_offset_that_lies),
        BOTH(what_the_port_says_of_checksums),
        BOTH(port_0_is_nobodys),
        BOTH(a_header_full_of_nops),
        BOTH(the_budget_of_challenges_cannot_be_counted),
        BOTH(no_packet_tells_how_many_there_were),
        BOTH(a_storm_of_blind_too_bigs),
        cmocka_unit_test(two_stacks_that_disagree_do_not_storm),
        BOTH(a_scale_that_only_we_believe_in),
        BOTH(blocks_of_another_numbering),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
