/* SPDX-License-Identifier: BSD-3-Clause
 * The tunnel: golden bytes from a second implementation in another language, round trips in place, and
 * every way to be refused.
 */
#include "net/net_test_harness.h"
#include "steer/fleet_test_support.h"
#include "steer/tunnel.h"
#include <stdio.h>

#define A      3
#define B      0xffe
#define C      9
#define NOW_MS 0x0000018bcfe56800u
#define GUE(b) ((b)->data + (b)->l4 + UDP_BYTES)

static const struct test_node nodes[] = {
    {A, 1, "192.0.2.1", "2001:db8:1::1"},
    {C, 1, "192.0.2.3", "2001:db8:3::3"},
    {B, 2, "198.51.100.2", "2001:db8:2::2"},
};

struct lab {
    struct harness *h; /* node A's network */
    struct fleet a, b, c;
};

static int set_up(void **state)
{
    struct lab *l = calloc(1, sizeof *l);
    void *h;
    harness_set_up(&h);
    l->h = h;
    struct tables_owners *t = test_fleet_table(nodes, 3, 2, 5);
    assert_int_equal(fleet_build(&l->a, t, A), TG_OK);
    assert_int_equal(fleet_build(&l->b, t, B), TG_OK);
    assert_int_equal(fleet_build(&l->c, t, C), TG_OK);
    free(t);
    *state = l;
    return 0;
}

static int tear_down(void **state)
{
    struct lab *l = *state;
    void *h = l->h;
    free(l);
    return harness_tear_down(&h);
}

/* --- golden bytes ---------------------------------------------------------------------------- */

static const struct owner_key golden_key = {{0x2726252423222120, 0x2f2e2d2c2b2a2928}, 0x4ab};

static void expect_golden(struct lab *l, struct tunnel_header h, const void *packet, size_t len,
                          const char *source, const char *destination, const char *want)
{
    struct ip_addr s = test_addr(source), d = test_addr(destination);
    struct buf *b = test_buf(&l->h->pool.pool, packet, len);
    b->rx_hash = 0xabcdef01;
    tunnel_seal(b, &h, &golden_key, &s, &d);
    assert_int_equal(b->len, 8 + 32 + len);
    assert_memory_equal(b->data, "\xef\x01\x17\xc0", 4); /* 49152 + 0x2f01, 6080 */
    assert_int_equal(wire_get16(b->data + 4), b->len);
    assert_int_equal(wire_get16(b->data + 6), 0);
    char hex[65];
    for (unsigned i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", b->data[8 + i]);
    assert_string_equal(hex, want);
    assert_memory_equal(b->data + 40, packet, len);
    buf_unref(&l->h->pool.pool, b);
}

static void golden_bytes(void **state)
{
    uint8_t packet4[98] = {0x45, 0}, packet6[48] = {0x60};
    for (unsigned i = 2; i < 98; i++)
        packet4[i] = (uint8_t)i;
    for (unsigned i = 1; i < 40; i++)
        packet6[i] = (uint8_t)i;
    memset(packet6 + 40, 0x55, 8);
    expect_golden(*state, (struct tunnel_header){TUNNEL_PACKET, 0xab, 1, 1, A, A, B, NOW_MS},
                  packet4, sizeof packet4, "192.0.2.1", "192.0.2.2",
                  "07040000746701ab0101000300030ffe0000018bcfe568005b3df5a2efacead9");
    expect_golden(*state, (struct tunnel_header){TUNNEL_RETURNED, 0xab, 2, 7, B, A, A, NOW_MS + 1},
                  packet6, sizeof packet6, "2001:db8::1", "2001:db8::2",
                  "07290000746702ab02070ffe000300030000018bcfe56801e7a229e64f8eed70");
}

/* --- from A to B ------------------------------------------------------------------------------- */

static struct ip_tuple client_tuple(bool is4)
{
    return (struct ip_tuple){test_addr(is4 ? "203.0.113.80" : "2001:db8:f::80"),
                             test_addr(is4 ? "198.51.100.7" : "2001:db8:9::7"), 80, 4000};
}

/* A client's frame as A received it, parsed. */
static struct buf *client_frame(struct lab *l, bool is4, size_t payload)
{
    static const uint8_t bytes[1460];
    struct ip_tuple t = client_tuple(is4);
    struct buf *made = test_frame_tcp(&l->h->pool.pool, &t, 1000, 2000, TCP_ACK, 100, SPAN_EMPTY,
                                      span_make(bytes, payload));
    struct buf *b = test_buf(&l->h->pool.pool, made->data, made->len); /* at BUF_HEADROOM, as io */
    buf_unref(&l->h->pool.pool, made);
    assert_int_equal(wire_parse(b, &l->h->toeplitz), TG_C_none);
    return b;
}

static struct tunnel_header first_hop(void)
{
    return (struct tunnel_header){TUNNEL_PACKET, 2, 1, 1, A, A, B, NOW_MS};
}

/* Seal under A's keys and send; what arrives, parsed as B's filter does. The frame that was received is
 * the one that leaves: in place. */
static struct buf *travel(struct lab *l, struct buf *b, struct tunnel_header h, const char *from,
                          const char *to)
{
    struct ip_emit ip = {
        .source = test_addr(from), .destination = test_addr(to), .proto = IP_PROTO_UDP};
    const struct owner_key *key = &l->a.tunnel.key[h.key_id == 2 ? 0 : 1];
    buf_pull(b, b->l3);
    tunnel_seal(b, &h, key, &ip.source, &ip.destination);
    assert_int_equal(net_output(l->h->net, b, &ip, TUNNEL_CHECKSUM, 1), TG_OK);
    bool is4 = ip_addr_is4(&ip.destination);
    if (is4) /* the gateway answers, then the frame leaves */
        feed_arp(l->h, 2, "192.0.2.254", test_mac_peer, "192.0.2.1", 2);
    else
        feed(l->h,
             nd_frame(l->h, 136, "2001:db8:1::fe", "2001:db8:1::1", "2001:db8:1::fe", 0x60,
                      test_mac_peer),
             2);
    struct buf *out = NULL;
    for (struct buf *frame; (frame = take(l->h)) != NULL;)
        if (frame == b)
            out = frame;
        else
            buf_unref(&l->h->pool.pool, frame);
    assert_ptr_equal(out, b);
    out->flags = 0;
    assert_int_equal(wire_parse(out, &l->h->toeplitz), TG_C_none);
    assert_true(tunnel_is(out));
    return out;
}

static void expect_header(const struct tunnel_header *h, struct tunnel_header want)
{
    assert_int_equal(h->kind, want.kind);
    assert_int_equal(h->key_id, want.key_id);
    assert_int_equal(h->hops, want.hops);
    assert_int_equal(h->tries, want.tries);
    assert_int_equal(h->sender, want.sender);
    assert_int_equal(h->ingress, want.ingress);
    assert_int_equal(h->receiver, want.receiver);
    assert_int_equal(h->time_ms, want.time_ms);
}

static struct buf *arrive(struct lab *l, struct tunnel_header h)
{
    return travel(l, client_frame(l, true, 100), h, "192.0.2.1", "198.51.100.2");
}

static void round_trip(struct lab *l, bool inner4, bool outer4, size_t payload)
{
    struct buf *b = client_frame(l, inner4, payload);
    uint32_t hash = b->rx_hash;
    uint8_t before[1600];
    uint16_t len = (uint16_t)(b->len - b->l3);
    memcpy(before, b->data + b->l3, len);
    b = travel(l, b, first_hop(), outer4 ? "192.0.2.1" : "2001:db8:1::1",
               outer4 ? "198.51.100.2" : "2001:db8:2::2");
    assert_int_equal(b->len - b->l3, len + (outer4 ? TUNNEL_OVERHEAD4 : TUNNEL_OVERHEAD6));
    struct tunnel_header h;
    b->flags |= BUF_RX_L4_CSUM_GOOD | BUF_RX_IP_CSUM_GOOD | BUF_RX_HASH;
    assert_int_equal(tunnel_open(&l->b, b, NOW_MS + 100, &h), TG_C_none);
    expect_header(&h, first_hop());
    tunnel_strip(b);
    assert_int_equal(b->flags, 0); /* nobody has looked at what is inside yet */
    assert_int_equal(wire_parse(b, &l->h->toeplitz), TG_C_none);
    struct ip_tuple t = wire_tuple(b), want_tuple = client_tuple(inner4);
    assert_memory_equal(&t, &want_tuple, sizeof t);
    assert_int_equal(b->rx_hash, hash); /* the same worker, the same bucket */
    assert_int_equal(b->len - b->l3, len);
    assert_memory_equal(b->data + b->l3, before, len);
    assert_memory_equal(b->data + 6, test_mac_ours, 6); /* outer MACs stand in front */
    buf_unref(&l->h->pool.pool, b);
}

static void packets_pass_in_both_families(void **state)
{
    static const size_t sizes[] = {0, 1, 23, 24, 25, 100, 1360};
    for (unsigned i = 0; i < TG_ARRAY_LEN(sizes) * 4; i++)
        round_trip(*state, i & 1, i & 2, sizes[i / 4]);
}

/* Two tunnels, one after the other, fit into the headroom, for the first is gone before the second. */
static void a_frame_can_travel_twice(void **state)
{
    struct lab *l = *state;
    struct tunnel_header h;
    struct buf *b = arrive(l, first_hop());
    assert_int_equal(tunnel_open(&l->b, b, NOW_MS, &h), TG_C_none);
    tunnel_strip(b);
    assert_int_equal(wire_parse(b, &l->h->toeplitz), TG_C_none);
    struct tunnel_header second = {TUNNEL_PACKET, 1, 2, 1, B, A, C, NOW_MS};
    b = travel(l, b, second, "2001:db8:2::2", "2001:db8:3::3");
    assert_int_equal(tunnel_open(&l->c, b, NOW_MS, &h), TG_C_none);
    expect_header(&h, second);
    tunnel_strip(b);
    assert_int_equal(wire_parse(b, &l->h->toeplitz), TG_C_none);
    buf_unref(&l->h->pool.pool, b);
}

/* --- refused -------------------------------------------------------------------------------------- */

static void expect_open(struct lab *l, const struct fleet *at, struct tunnel_header sent,
                        uint64_t wall_ms, enum tg_counter want)
{
    struct tunnel_header h;
    struct buf *b = arrive(l, sent);
    assert_string_equal(stats_name(tunnel_open(at, b, wall_ms, &h)), stats_name(want));
    buf_unref(&l->h->pool.pool, b);
}

static void old_and_future_packets_are_refused(void **state)
{
    struct lab *l = *state;
    expect_open(l, &l->b, first_hop(), NOW_MS + 2000, TG_C_none);
    expect_open(l, &l->b, first_hop(), NOW_MS - 2000, TG_C_none);
    expect_open(l, &l->b, first_hop(), NOW_MS + 2001, TG_C_steer_tunnel_old);
    expect_open(l, &l->b, first_hop(), NOW_MS - 2001, TG_C_steer_tunnel_old);
    expect_open(l, &l->b, first_hop(), NOW_MS + 86400000, TG_C_steer_tunnel_old);
    expect_open(l, &l->b, first_hop(), 0, TG_C_steer_tunnel_old);
    expect_open(l, &l->b, first_hop(), UINT64_MAX, TG_C_steer_tunnel_old);
}

static void keys_rotate(void **state)
{
    struct lab *l = *state;
    struct tunnel_header h = first_hop();
    h.key_id = 1; /* the previous one still opens */
    expect_open(l, &l->b, h, NOW_MS, TG_C_none);
    l->b.tunnel.count = 1; /* gone */
    expect_open(l, &l->b, h, NOW_MS, TG_C_steer_tunnel_key);
    l->b.tunnel.key[0].id = 0x301; /* another key of the same low byte */
    expect_open(l, &l->b, h, NOW_MS, TG_C_steer_tunnel_bad_mac);
    l->b.tunnel.count = 0;
    expect_open(l, &l->b, h, NOW_MS, TG_C_steer_tunnel_key);
}

static void strangers_are_refused(void **state)
{
    struct lab *l = *state;
    struct tunnel_header h = first_hop(), out;
    expect_open(l, &l->c, h, NOW_MS, TG_C_steer_tunnel_not_fleet); /* for B, not for C */
    h.sender = h.ingress = C; /* a node, but not at this address */
    expect_open(l, &l->b, h, NOW_MS, TG_C_steer_tunnel_not_fleet);
    h.sender = h.ingress = 100; /* no node at all */
    expect_open(l, &l->b, h, NOW_MS, TG_C_steer_tunnel_not_fleet);
    h.sender = h.ingress = 0xffff;
    expect_open(l, &l->b, h, NOW_MS, TG_C_steer_tunnel_not_fleet);
    h = first_hop();
    h.receiver = A;
    expect_open(l, &l->b, h, NOW_MS, TG_C_steer_tunnel_not_fleet);
    /* Right names, wrong source address; right sender, another address of ours. */
    struct buf *b = travel(l, client_frame(l, true, 9), first_hop(), "192.0.2.9", "198.51.100.2");
    assert_int_equal(tunnel_open(&l->b, b, NOW_MS, &out), TG_C_steer_tunnel_not_fleet);
    buf_unref(&l->h->pool.pool, b);
    b = travel(l, client_frame(l, true, 9), first_hop(), "192.0.2.1", "203.0.113.80");
    assert_int_equal(tunnel_open(&l->b, b, NOW_MS, &out), TG_C_steer_tunnel_not_fleet);
    buf_unref(&l->h->pool.pool, b);
    /* A node that lost its IPv4 address. */
    l->b.nodes[l->b.place[A]].has[FLEET_IP4] = false;
    expect_open(l, &l->b, first_hop(), NOW_MS, TG_C_steer_tunnel_not_fleet);
}

static void circles_are_refused(void **state)
{
    struct lab *l = *state;
    struct tunnel_header h = first_hop();
    for (unsigned hops = 0; hops < 256; hops++) {
        h.hops = (uint8_t)hops;
        h.ingress = hops == 2 ? C : A;
        expect_open(l, &l->b, h, NOW_MS,
                    hops == 1 || hops == 2 ? TG_C_none : TG_C_steer_tunnel_loop);
    }
    h = first_hop();
    h.ingress = B; /* back at its ingress */
    h.hops = 2;
    expect_open(l, &l->b, h, NOW_MS, TG_C_steer_tunnel_loop);
    h.ingress = C; /* on its first hop, but not from its ingress */
    h.hops = 1;
    expect_open(l, &l->b, h, NOW_MS, TG_C_steer_tunnel_loop);
    h.ingress = A; /* on its second from the ingress */
    h.hops = 2;
    expect_open(l, &l->b, h, NOW_MS, TG_C_steer_tunnel_loop);
    h = first_hop();
    h.tries = 0;
    expect_open(l, &l->b, h, NOW_MS, TG_C_steer_tunnel_loop);
}

static void a_returned_packet_goes_to_its_ingress_only(void **state)
{
    struct lab *l = *state;
    struct tunnel_header h = first_hop();
    h.kind = TUNNEL_RETURNED;
    expect_open(l, &l->b, h, NOW_MS, TG_C_steer_tunnel_loop);
    h.ingress = B;
    expect_open(l, &l->b, h, NOW_MS, TG_C_none);
    h.hops = 2;
    expect_open(l, &l->b, h, NOW_MS, TG_C_none);
    h.hops = 3;
    expect_open(l, &l->b, h, NOW_MS, TG_C_steer_tunnel_loop);
}

/* One bit anywhere in what the MAC covers, or in the MAC: never accepted. */
static void every_bit_counts(void **state)
{
    struct lab *l = *state;
    struct tunnel_header h;
    struct buf *b = arrive(l, first_hop());
    uint8_t *gue = GUE(b);
    unsigned by_mac = 0;
    for (unsigned bit = 0; bit < 8 * (TUNNEL_GUE_BYTES + 64); bit++) {
        gue[bit / 8] ^= (uint8_t)(1 << bit % 8);
        enum tg_counter reason = tunnel_open(&l->b, b, NOW_MS, &h);
        assert_true(reason >= TG_C_steer_tunnel_bad_header && reason <= TG_C_steer_tunnel_loop);
        by_mac += reason == TG_C_steer_tunnel_bad_mac;
        gue[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_true(by_mac > 8 * 64 + 64); /* the packet's, the MAC's own, and the harmless fields */
    gue[TUNNEL_GUE_BYTES + 64] ^= 1;   /* behind what it covers */
    assert_int_equal(tunnel_open(&l->b, b, NOW_MS, &h), TG_C_none);
    buf_trim(b, (uint16_t)(b->len - 1)); /* the length is covered */
    b->l4_len--;
    assert_int_equal(tunnel_open(&l->b, b, NOW_MS, &h), TG_C_steer_tunnel_bad_mac);
    buf_unref(&l->h->pool.pool, b);
}

/* Outer addresses are covered: nobody can replay a packet from one node as another's. */
static void addresses_are_covered(void **state)
{
    struct lab *l = *state;
    struct tunnel_header h;
    struct buf *b = arrive(l, first_hop());
    struct ip_addr other = test_addr("192.0.2.77");
    memcpy(b->data + b->l3 + 12, other.bytes + 12, 4);
    l->b.nodes[l->b.place[A]].address[FLEET_IP4] = other;
    assert_int_equal(tunnel_open(&l->b, b, NOW_MS, &h), TG_C_steer_tunnel_bad_mac);
    buf_unref(&l->h->pool.pool, b);
}

/* UDP of any length and content on the port, cut at every byte. */
static void short_packets_are_refused(void **state)
{
    struct lab *l = *state;
    struct tunnel_header h;
    struct ip_tuple t = {test_addr("198.51.100.2"), test_addr("192.0.2.1"), TUNNEL_PORT, 50000};
    struct buf *whole = arrive(l, first_hop());
    for (unsigned len = 0; len < TUNNEL_GUE_BYTES + 100; len++) {
        struct buf *b = test_frame_udp(&l->h->pool.pool, &t, span_make(GUE(whole), len));
        struct buf *tight = test_buf_tight(&l->h->pool.pool, b->data, b->len);
        buf_unref(&l->h->pool.pool, b);
        assert_int_equal(wire_parse(tight, &l->h->toeplitz), TG_C_none);
        assert_true(tunnel_is(tight));
        assert_int_equal(tunnel_open(&l->b, tight, NOW_MS, &h), len < TUNNEL_GUE_BYTES + 20
                                                                    ? TG_C_steer_tunnel_bad_header
                                                                    : TG_C_steer_tunnel_bad_mac);
        buf_unref(&l->h->pool.pool, tight);
    }
    /* A chain: no node sends one. */
    whole->next = test_buf(&l->h->pool.pool, "x", 1);
    assert_int_equal(tunnel_open(&l->b, whole, NOW_MS, &h), TG_C_steer_tunnel_bad_header);
    buf_unref(&l->h->pool.pool, whole);
}

static void other_udp_is_not_ours(void **state)
{
    struct lab *l = *state;
    struct ip_tuple t = {test_addr("198.51.100.2"), test_addr("192.0.2.1"), 53, TUNNEL_PORT};
    struct buf *b = test_frame_udp(&l->h->pool.pool, &t, SPAN_EMPTY);
    assert_int_equal(wire_parse(b, &l->h->toeplitz), TG_C_none);
    assert_false(tunnel_is(b));
    buf_unref(&l->h->pool.pool, b);
    b = client_frame(l, true, 0);
    assert_false(tunnel_is(b));
    buf_unref(&l->h->pool.pool, b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(golden_bytes),
        TEST(packets_pass_in_both_families),
        TEST(a_frame_can_travel_twice),
        TEST(old_and_future_packets_are_refused),
        TEST(keys_rotate),
        TEST(strangers_are_refused),
        TEST(circles_are_refused),
        TEST(a_returned_packet_goes_to_its_ingress_only),
        TEST(every_bit_counts),
        TEST(addresses_are_covered),
        TEST(short_packets_are_refused),
        TEST(other_udp_is_not_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
