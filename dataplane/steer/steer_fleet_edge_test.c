/* SPDX-License-Identifier: BSD-3-Clause
 * A fleet of three where it is less simple: our own addresses, ICMP, several workers, bad tunnels, limits.
 */
#include "steer/fleet_lab.h"

/* --- addresses of our own ------------------------------------------------------------------------------ */

/* Connections to origins have our own address: no other node can have them. */
static void packets_to_our_own_address_are_ours(void **state)
{
    struct lab *l = *state;
    struct ip_tuple t = client(true, 4000);
    t.local = test_addr("192.0.2.10");
    use_buckets(l, A, slots[C], NONE, NONE, NONE);
    expect(l, deliver(l, A, segment(l, B, &t, true)), BUF_LOCAL, "A");
    expect(l, deliver(l, A, tcp_frame(l, &t, TCP_SYN, 0, NULL, 0)), BUF_LOCAL, "A");
}

static void other_udp_is_dropped(void **state)
{
    struct lab *l = *state;
    struct ip_tuple t = {test_addr(SERVICE4), test_addr("192.0.2.20"), TUNNEL_PORT, 50000};
    struct buf *b = fresh(l, test_frame_udp(&l->pool.pool, &t, SPAN_EMPTY));
    /* no tunnel ends at a shared address */
    expect_drop(l, deliver(l, A, b), TG_C_net_protocol, "A");
    t = (struct ip_tuple){test_addr("192.0.2.10"), test_addr(CLIENT4), 53, 50000};
    b = fresh(l, test_frame_udp(&l->pool.pool, &t, SPAN_EMPTY));
    expect_drop(l, deliver(l, A, b), TG_C_net_protocol, "A");
}

/* --- ICMP ------------------------------------------------------------------------------------ */

/* Too big, says a router about a packet that `owner` has sent: `quoted` bytes of its TCP header. */
static struct buf *too_big(struct lab *l, unsigned owner, const struct ip_tuple *t, unsigned quoted)
{
    struct owner_cookie c = cookie(l, owner, t);
    struct ip_tuple back = {t->remote, t->local, t->remote_port, t->local_port};
    uint8_t options[12] = {1, 1, 8, 10};
    wire_put32(options + 4, c.ts_base);
    struct buf *sent = test_frame_tcp(&l->pool.pool, &back, quoted > 8 ? 1 : c.isn + 900, 1,
                                      TCP_ACK, 1, span_make(options, 12), SPAN_EMPTY);
    bool is4 = ip_addr_is4(&t->local);
    struct ip_addr router = test_addr(is4 ? "198.51.100.1" : "2001:db8:9::1");
    struct buf *b =
        test_frame_icmp(&l->pool.pool, &router, &t->local, is4 ? 3 : 2, is4 ? 4 : 0, 1300,
                        span_make(sent->data + ETH_BYTES, (is4 ? IP4_BYTES : IP6_BYTES) + quoted));
    buf_unref(&l->pool.pool, sent);
    return fresh(l, b);
}

static void a_too_big_follows_the_connection(void **state)
{
    struct lab *l = *state;
    for (unsigned i = 0; i < 40; i++) {
        struct ip_tuple t = client(i & 1, (uint16_t)(4000 + i));
        own(l, B, &t);
        expect(l, deliver(l, A, too_big(l, B, &t, 32)), BUF_LOCAL, "AB");
        expect(l, deliver(l, A, too_big(l, B, &t, 8)), BUF_LOCAL,
               "AB"); /* all that RFC 792 promises */
        expect(l, deliver(l, B, too_big(l, B, &t, 8)), BUF_LOCAL, "B");
        own(l, A, &t);
        expect(l, deliver(l, A, too_big(l, B, &t, 32)), BUF_LOCAL, "A");
        l->node[A].owns = false;
    }
    assert_int_equal(counted_at(l, A, TG_C_steer_by_timestamp), 40);
    assert_int_equal(counted_at(l, A, TG_C_steer_by_sequence), 40);
    /* Nobody's: net takes it, where it is or where it was sent. */
    struct ip_tuple t = client(true, 5000);
    expect(l, deliver(l, A, too_big(l, B, &t, 32)), BUF_LOCAL, "AB");
    expect(l, deliver(l, A, too_big(l, A, &t, 32)), BUF_LOCAL, "A");
    struct ip_addr s = test_addr(CLIENT4), d = test_addr(SERVICE4);
    struct buf *b = test_frame_icmp(&l->pool.pool, &s, &d, 8, 0, 1, SPAN_EMPTY);
    expect(l, deliver(l, A, fresh(l, b)), BUF_LOCAL, "A"); /* an echo request */
}

/* --- several workers ----------------------------------------------------------------------------- */

/* A client's port whose connection belongs to this worker of two. */
static struct ip_tuple client_of_worker(const struct lab *l, unsigned worker)
{
    struct ip_tuple t = client(true, 4000);
    while (steer_worker_of(wire_tuple_hash(&l->toeplitz, &t), 2) != worker)
        t.remote_port++;
    return t;
}

static void the_worker_of_the_hash_is_asked(void **state)
{
    struct lab *l = *state;
    struct ip_tuple t = client_of_worker(l, 1);
    for (unsigned i = 0; i < NODES; i++)
        l->node[i].steer.workers = 2;
    own(l, B, &t);
    struct outcome o = deliver(l, A, segment(l, B, &t, true));
    expect(l, o, BUF_CORE, "A"); /* worker 0 cannot know */
    assert_int_equal(o.worker, 1);
    l->node[A].steer.worker = 1;
    struct buf *b = segment(l, B, &t, true);
    assert_int_equal(wire_parse(b, &l->toeplitz), TG_C_none);
    b->flags |= BUF_HANDED_OVER;
    b->path.ingress = NONE;
    b->path.hops = b->path.tries = 0;
    o = deliver(l, A, b);
    expect(l, o, BUF_CORE, "AB"); /* in B, too, worker 0 gets it first */
    assert_int_equal(o.worker, 1);
    l->node[A].steer.spread_by_port =
        true; /* RSS spreads what comes straight, not what was tunnelled */
    l->node[B].steer.spread_by_port = true;
    expect(l, deliver(l, A, segment(l, B, &t, true)), BUF_CORE, "AB");
    l->node[B].steer.worker = 1;
    expect(l, deliver(l, A, segment(l, B, &t, true)), BUF_LOCAL, "AB");
    expect(l, deliver(l, A, too_big(l, B, &t, 8)), BUF_LOCAL, "AB");
}

/* What came through the tunnel keeps its way when it changes workers: it can still go back. */
static void a_handed_over_packet_keeps_its_way(void **state)
{
    struct lab *l = *state;
    struct node *b_node = &l->node[B];
    struct ip_tuple t = client_of_worker(l, 1);
    b_node->steer.workers = 2;
    struct buf *b = segment(l, B, &t, true);
    assert_int_equal(wire_parse(b, &l->toeplitz), TG_C_none);
    steer_burst(&l->node[A].steer, &b, 1, 0);
    assert_int_equal(b->verdict, BUF_NODE);
    assert_int_equal(b->flow, slots[B]);
    assert_int_equal(steer_forward(&l->node[A].steer, l->node[A].net, b, 0), TG_C_none);
    assert_int_equal(net_take(l->node[A].net, &b, 1), 1);
    b = fresh(l, b);
    assert_int_equal(wire_parse(b, &l->toeplitz), TG_C_none);
    steer_burst(&b_node->steer, &b, 1, 0);
    assert_int_equal(b->verdict, BUF_CORE);
    b_node->steer.worker = 1; /* the other worker, on a copy as io_sim makes it */
    struct buf *copy = buf_linearise(&l->pool.pool, b);
    buf_unref(&l->pool.pool, b);
    copy->flags |= BUF_HANDED_OVER;
    struct outcome o = deliver(l, B, copy); /* it has no such connection */
    expect(l, o, BUF_RST, "BA");
}

/* --- bad tunnels ----------------------------------------------------------------------------------------- */

/* What B says to A in the tunnel; the packet is borrowed. */
static struct buf *tunnelled(struct lab *l, struct buf *packet, tg_ns when)
{
    struct ip_emit ip = {.source = test_addr("192.0.2.20"),
                         .destination = test_addr("192.0.2.10"),
                         .proto = IP_PROTO_UDP};
    struct tunnel_header h = {TUNNEL_PACKET, 1, 1, 1, 20, 20, 10, WALL_MS + when / TG_MS};
    struct buf *b = test_buf(&l->pool.pool, packet->data + ETH_BYTES, packet->len - ETH_BYTES);
    buf_unref(&l->pool.pool, packet);
    tunnel_seal(b, &h, &l->node[B].fleet.tunnel.key[0], &ip.source, &ip.destination);
    return fresh(l, test_frame_finish(b, ip, TUNNEL_CHECKSUM));
}

static void bad_tunnels_are_dropped_with_their_reason(void **state)
{
    struct lab *l = *state;
    struct ip_tuple t = client(true, 4000);
    own(l, A, &t);
    expect(l, deliver(l, A, tunnelled(l, segment(l, A, &t, true), 0)), BUF_LOCAL, "A");
    struct buf *b = tunnelled(l, segment(l, A, &t, true), 0);
    b->data[b->len - 1] ^= 1; /* beyond the MAC, but not beyond the checksums */
    b->flags |= BUF_RX_L4_CSUM_GOOD;
    expect_drop(l, deliver(l, A, b), TG_C_net_l4_checksum, "A");
    l->now = 3 * TG_S;
    b = tunnelled(l, segment(l, A, &t, true), 0); /* recorded, and replayed three seconds later */
    expect_drop(l, deliver(l, A, b), TG_C_steer_tunnel_old, "A");
    struct ip_tuple inner = {test_addr(SERVICE4), test_addr(CLIENT4), 53, 50};
    b = tunnelled(l, test_frame_udp(&l->pool.pool, &inner, SPAN_EMPTY), l->now);
    expect_drop(l, deliver(l, A, b), TG_C_net_protocol, "A");
    t.local = test_addr("203.0.113.81"); /* none of ours */
    b = tunnelled(l, tcp_frame(l, &t, TCP_ACK, 1, NULL, 0), l->now);
    expect_drop(l, deliver(l, A, b), TG_C_net_not_for_us, "A");
    t = client(true, 4000);
    t.remote = test_addr("192.0.2.10"); /* from ourselves */
    b = tunnelled(l, tcp_frame(l, &t, TCP_ACK, 1, NULL, 0), l->now);
    expect_drop(l, deliver(l, A, b), TG_C_net_address, "A");
    b = tunnelled(l, segment(l, A, &t, true), l->now);
    b->data[ETH_BYTES + IP4_BYTES + UDP_BYTES + 31] ^= 1;
    b->flags |= BUF_RX_L4_CSUM_GOOD;
    expect_drop(l, deliver(l, A, b), TG_C_steer_tunnel_bad_mac, "A");
}

/* --- limits of forwarding --------------------------------------------------------------------------------- */

static void a_source_has_its_share(void **state)
{
    struct lab *l = *state;
    static const uint64_t key[2] = {5, 6};
    struct ip_tuple t = client(true, 4000), other = client(false, 4000);
    own(l, B, &t);
    steer_limits_init(&l->node[A].limits, 10, 3, key);
    l->now = TG_S;
    for (unsigned i = 0; i < 3; i++)
        expect(l, deliver(l, A, segment(l, B, &t, true)), BUF_LOCAL, "AB");
    expect_drop(l, deliver(l, A, segment(l, B, &t, true)), TG_C_steer_tunnel_limited, "A");
    own(l, B, &other);
    expect(l, deliver(l, A, segment(l, B, &other, true)), BUF_LOCAL, "AB");
    l->now += 100 * TG_MS;
    own(l, B, &t);
    expect(l, deliver(l, A, segment(l, B, &t, true)), BUF_LOCAL, "AB");
    expect_drop(l, deliver(l, A, segment(l, B, &t, true)), TG_C_steer_tunnel_limited, "A");
}

/* It is charged where it came in, not on its way, nor for the way back. */
static void the_ingress_alone_limits(void **state)
{
    struct lab *l = *state;
    static const uint64_t key[2] = {5, 6};
    struct ip_tuple t = client(true, 4000);
    steer_limits_init(&l->node[B].limits, 1, 1, key);
    steer_limits_init(&l->node[C].limits, 1, 1, key);
    l->now = TG_S;
    use_buckets(l, A, slots[C], NONE, NONE, NONE);
    own(l, B, &t);
    for (unsigned i = 0; i < 5; i++)
        expect(l, deliver(l, A, segment(l, B, &t, true)), BUF_LOCAL, "ACB");
    l->node[B].owns = false;
    for (unsigned i = 0; i < 5; i++)
        expect(l, deliver(l, A, segment(l, B, &t, true)), BUF_RST, "ACBA");
    /* A second question is the same packet still. */
    steer_limits_init(&l->node[A].limits, 1, 1, key);
    use_buckets(l, A, slots[A], slots[C], NONE, NONE);
    own(l, C, &t);
    expect(l, deliver(l, A, segment(l, B, &t, false)), BUF_LOCAL, "ABAC");
}

/* A full segment of the MSS that we offer fits; one byte more does not. */
static void the_advertised_mss_leaves_room(void **state)
{
    struct lab *l = *state;
    for (unsigned is4 = 0; is4 < 2; is4++) {
        struct ip_tuple t = client(is4, 4000);
        unsigned reserve = tunnel_reserve(&l->node[B].fleet, is4 ? FLEET_IP4 : FLEET_IP6);
        unsigned mss = 1500 - reserve - (is4 ? IP4_BYTES : IP6_BYTES) - TCP_BYTES;
        assert_int_equal(mss, is4 ? 1400 : 1360);
        uint32_t echo = cookie(l, B, &t).ts_base;
        own(l, B, &t);
        expect(l, deliver(l, A, tcp_frame(l, &t, TCP_ACK, 1, &echo, mss - 12)), BUF_LOCAL, "AB");
        expect_drop(l, deliver(l, A, tcp_frame(l, &t, TCP_ACK, 1, &echo, mss - 11)),
                    TG_C_steer_tunnel_too_big, "A");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAB_TEST(packets_to_our_own_address_are_ours),
        LAB_TEST(other_udp_is_dropped),
        LAB_TEST(a_too_big_follows_the_connection),
        LAB_TEST(the_worker_of_the_hash_is_asked),
        LAB_TEST(a_handed_over_packet_keeps_its_way),
        LAB_TEST(bad_tunnels_are_dropped_with_their_reason),
        LAB_TEST(a_source_has_its_share),
        LAB_TEST(the_ingress_alone_limits),
        LAB_TEST(the_advertised_mss_leaves_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
