/* SPDX-License-Identifier: BSD-3-Clause
 * Fragments, in the shapes that have broken other stacks. We reassemble nothing: what must hold is that each is
 * dropped for that reason, whatever it is a part of, that none is answered, and that none costs a frame.
 */
#include "net/net_test_harness.h"

#define V6_FRAGMENT 44
#define TEST(name)  cmocka_unit_test_setup_teardown(name, harness_set_up, harness_tear_down)

static const struct ip_addr *peer(bool ip6)
{
    static struct ip_addr a[2];
    a[0] = test_addr("192.0.2.9");
    a[1] = test_addr("2001:db8:1::9");
    return &a[ip6];
}

/* A fragment to us: `bytes` of a transport's packet from `offset` (in units of 8) on. `more`: not the last. */
static struct buf *fragment(struct harness *h, bool ip6, uint8_t proto, unsigned offset, bool more,
                            struct span bytes)
{
    struct buf *b = test_buf(&h->pool.pool, NULL, 0);
    if (ip6) { /* the extension header of RFC 8200 s4.5 */
        uint8_t head[8] = {proto, 0, 0, 0, 0, 0, 0, 7};
        wire_put16(head + 2, (uint16_t)(offset << 3 | more));
        memcpy(buf_put(b, sizeof head), head, sizeof head);
    }
    if (bytes.len)
        memcpy(buf_put(b, (uint16_t)bytes.len), bytes.data, bytes.len);
    struct ip_emit ip = {.source = *peer(ip6),
                         .destination = h->config.addresses[ip6].address,
                         .proto = ip6 ? V6_FRAGMENT : proto,
                         .hop_limit = 255};
    wire_emit_ip(b, &ip, false);
    if (!ip6) {
        wire_put16(b->data + 6, (uint16_t)(offset | (more ? 0x2000 : 0)));
        wire_put16(b->data + 10, 0);
        wire_put16(b->data + 10, wire_sum_finish(wire_sum(0, span_make(b->data, IP4_BYTES))));
    }
    wire_emit_ethernet(b, test_mac_ours, test_mac_peer, ip6 ? ETHERTYPE_IP6 : ETHERTYPE_IP4);
    return b;
}

static void expect_dropped(struct harness *h, struct buf *b)
{
    assert_int_equal(wire_parse(b, &h->toeplitz), TG_C_net_fragment);
    buf_unref(&h->pool.pool, b);
    expect_silence(h);
}

/* A TCP header that would be good if it came whole. */
static struct span header(void)
{
    static uint8_t h[64];
    memset(h, 0, sizeof h);
    wire_put16(h, 1234);
    wire_put16(h + 2, 80);
    h[12] = 0x50;
    h[13] = TCP_SYN;
    return span_make(h, sizeof h);
}

static void pieces_that_overlap(void **state)
{
    for (unsigned ip6 = 0; ip6 < 2; ip6++) { /* teardrop: the second lies inside the first */
        expect_dropped(*state, fragment(*state, ip6, 17, 0, true, span_make(header().data, 40)));
        expect_dropped(*state, fragment(*state, ip6, 17, 3, false, span_make(header().data, 4)));
        expect_dropped(*state, fragment(*state, ip6, 6, 0, true, header()));
        expect_dropped(*state, fragment(*state, ip6, 6, 1, true, header())); /* other flags */
    }
}

static void pieces_that_end_beyond_64_kib(void **state)
{
    for (unsigned ip6 = 0; ip6 < 2; ip6++) { /* ping of death */
        uint8_t proto = ip6 ? IP_PROTO_ICMP6 : IP_PROTO_ICMP;
        expect_dropped(*state, fragment(*state, ip6, proto, 0x1fff, false, header()));
        expect_dropped(*state, fragment(*state, ip6, proto, 0x1ffe, true, header()));
    }
}

/* FragmentSmack: what a queue of holes would have to be searched for. Nothing is kept, so nothing is searched. */
static void a_storm_of_small_pieces(void **state)
{
    struct harness *h = *state;
    for (unsigned i = 0; i < 20000; i++) {
        bool ip6 = i & 1;
        unsigned offset = i * 2654435761u >> 19; /* all over the place */
        expect_dropped(h, fragment(h, ip6, 6, offset, true, span_make(header().data, 1 + i % 8)));
    }
    assert_int_equal(h->pool.outstanding, 0);
}

static void a_first_piece_without_the_ports(void **state)
{
    for (unsigned ip6 = 0; ip6 < 2; ip6++) /* RFC 1858: filters see no flags */
        for (unsigned n = 0; n <= 24; n += 8)
            expect_dropped(*state, fragment(*state, ip6, 6, 0, true, span_make(header().data, n)));
}

/* RFC 6946 would take an IPv6 packet that is its own only fragment; nobody needs one since RFC 8021. IPv4's own kind, with
 * neither offset nor "more", is no fragment. */
static void a_whole_packet_in_one_piece(void **state)
{
    struct harness *h = *state;
    expect_dropped(h, fragment(h, true, 6, 0, false, header()));
    expect_dropped(h, fragment(h, true, 17, 0, false, header()));
    struct ip_tuple t = {h->config.addresses[0].address, *peer(false), 80, 1234};
    struct buf *b = test_frame_tcp(&h->pool.pool, &t, 1, 0, TCP_SYN, 100, SPAN_EMPTY, SPAN_EMPTY);
    wire_put16(b->data + ETH_BYTES + 6, 0); /* DF not set */
    wire_put16(b->data + ETH_BYTES + 10, 0);
    struct span ip = span_make(b->data + ETH_BYTES, IP4_BYTES);
    wire_put16(b->data + ETH_BYTES + 10, wire_sum_finish(wire_sum(0, ip)));
    assert_int_equal(wire_parse(b, &h->toeplitz), TG_C_none);
    buf_unref(&h->pool.pool, b);
}

/* RFC 6980: neighbour discovery is never believed from fragments; nor is an ICMP error, nor an echo answered. */
static void pieces_of_what_the_link_lives_by(void **state)
{
    struct harness *h = *state;
    static const uint8_t types6[] = {133, 134, 135, 136, 137, 128, 1, 2};
    static const uint8_t types4[] = {8, 3, 5, 11};
    uint8_t message[48] = {0};
    memcpy(message + 8, h->config.addresses[1].address.bytes, 16);
    for (unsigned last = 0; last < 2; last++) {
        for (unsigned i = 0; i < TG_ARRAY_LEN(types6); i++) {
            message[0] = types6[i];
            expect_dropped(
                h, fragment(h, true, IP_PROTO_ICMP6, 0, !last, span_make(message, sizeof message)));
        }
        for (unsigned i = 0; i < TG_ARRAY_LEN(types4); i++) {
            message[0] = types4[i];
            expect_dropped(h, fragment(h, false, IP_PROTO_ICMP, last, true,
                                       span_make(message, sizeof message)));
        }
    }
    assert_int_equal(net_neighbours(h->net, NULL, 0), 0);
    assert_int_equal(h->errors, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pieces_that_overlap),         TEST(pieces_that_end_beyond_64_kib),
        TEST(a_storm_of_small_pieces),     TEST(a_first_piece_without_the_ports),
        TEST(a_whole_packet_in_one_piece), TEST(pieces_of_what_the_link_lives_by),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
