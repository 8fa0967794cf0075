/* SPDX-License-Identifier: BSD-3-Clause
 * The parser on good packets, and on lies of the Ethernet, ARP, TCP, UDP and ICMP headers. The IP
 * part has its own test.
 */
#include "net/net_test_support.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define L4_4      (ETH_BYTES + IP4_BYTES)
#define L4_6      (ETH_BYTES + IP6_BYTES)
#define CSUM_GOOD (BUF_RX_IP_CSUM_GOOD | BUF_RX_L4_CSUM_GOOD)

static struct test_pool pool;
static struct toeplitz toeplitz;
static struct ip_tuple tuple4, tuple6;

static int set_up(void **state)
{
    test_pool_init(&pool, 0);
    test_toeplitz_init(&toeplitz, 7);
    tuple4 = (struct ip_tuple){test_addr("192.0.2.1"), test_addr("198.51.100.7"), 80, 40000};
    tuple6 = (struct ip_tuple){test_addr("2001:db8::1"), test_addr("2001:db8:9::7"), 80, 40000};
    return 0;
}

static int tear_down(void **state)
{
    return pool.outstanding != 0;
}

static struct buf *syn4(void)
{
    return test_frame_tcp(&pool.pool, &tuple4, 1, 0, TCP_SYN, 1000, SPAN_LITERAL("\2\4\5\xb4"),
                          SPAN_EMPTY);
}

/* Parse with some bytes replaced and the port vouching for the checksums; frees. */
static enum tg_counter parse_patched(struct buf *b, unsigned offset, const void *bytes, size_t n)
{
    assert_true(offset + n <= b->len);
    memcpy(b->data + offset, bytes, n);
    struct buf *tight = test_buf_tight(&pool.pool, b->data, b->len);
    tight->flags = CSUM_GOOD;
    enum tg_counter c = wire_parse(tight, &toeplitz);
    assert_int_equal(tight->flags & BUF_PARSED ? TG_C_none : c, c);
    buf_unref(&pool.pool, tight);
    buf_unref(&pool.pool, b);
    return c;
}

/* A packet caught on a wire (Linux, SYN, 10.0.0.2 -> 10.0.0.1), not made by our own emitter. */
static const uint8_t linux_syn[] = {
    0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x08, 0x00, 0x45,
    0x00, 0x00, 0x3c, 0x1c, 0x46, 0x40, 0x00, 0x40, 0x06, 0x0a, 0x74, 0x0a, 0x00, 0x00, 0x02,
    0x0a, 0x00, 0x00, 0x01, 0xc3, 0x50, 0x00, 0x50, 0x12, 0x34, 0x56, 0x78, 0x00, 0x00, 0x00,
    0x00, 0xa0, 0x02, 0xfa, 0xf0, 0x00, 0x00, 0x00, 0x00, 0x02, 0x04, 0x05, 0xb4, 0x04, 0x02,
    0x08, 0x0a, 0x00, 0x01, 0x02, 0x03, 0x00, 0x00, 0x00, 0x00, 0x01, 0x03, 0x03, 0x07};

static void foreign_syn_is_read_field_by_field(void **state)
{
    uint8_t bytes[sizeof linux_syn];
    memcpy(bytes, linux_syn, sizeof bytes);
    /* its TCP checksum by the textbook: pseudo-header 0a00 0002 0a00 0001 0006 0028 and 20 words */
    uint32_t sum = 0x0a00 + 0x0002 + 0x0a00 + 0x0001 + 0x0006 + 0x0028;
    for (unsigned i = L4_4; i < sizeof bytes; i += 2)
        sum += wire_get16(bytes + i);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    wire_put16(bytes + L4_4 + 16, (uint16_t)~sum);

    struct buf *b = test_buf_tight(&pool.pool, bytes, sizeof bytes);
    assert_int_equal(wire_parse(b, &toeplitz), TG_C_none);
    assert_int_equal(b->l3, 14);
    assert_int_equal(b->l4, 34);
    assert_int_equal(b->payload, 74);
    assert_int_equal(b->l4_len, 40);
    assert_int_equal(b->ip_version, 4);
    assert_int_equal(b->ip_proto, 6);
    struct tcp_segment s = wire_tcp(b);
    assert_int_equal(s.seq, 0x12345678);
    assert_int_equal(s.ack, 0);
    assert_int_equal(s.source_port, 50000);
    assert_int_equal(s.destination_port, 80);
    assert_int_equal(s.window, 64240);
    assert_int_equal(s.flags, TCP_SYN);
    assert_int_equal(s.options.len, 20);
    assert_ptr_equal(s.options.data, b->data + 54);
    assert_int_equal(s.payload_bytes, 0);
    char text[46];
    struct ip_tuple t = wire_tuple(b);
    assert_string_equal(ip_addr_text(&t.remote, text), "10.0.0.2");
    assert_string_equal(ip_addr_text(&t.local, text), "10.0.0.1");
    assert_int_equal(t.remote_port, 50000);
    assert_int_equal(t.local_port, 80);
    buf_unref(&pool.pool, b);
}

static void check_tuple(const struct ip_tuple *want, struct buf *b)
{
    assert_int_equal(wire_parse(b, &toeplitz), TG_C_none);
    struct ip_tuple got = wire_tuple(b);
    assert_memory_equal(&got, want, sizeof got);
    assert_int_equal(b->rx_hash, wire_tuple_hash(&toeplitz, want));
    assert_true(b->flags & BUF_PARSED);
    buf_unref(&pool.pool, b);
}

static void tcp_and_udp_of_both_families_parse_and_hash(void **state)
{
    const struct ip_tuple *const tuples[] = {&tuple4, &tuple6};
    for (unsigned i = 0; i < 2; i++) {
        struct span data = SPAN_LITERAL("odd");
        check_tuple(tuples[i], test_frame_tcp(&pool.pool, tuples[i], 5, 6, TCP_ACK | TCP_PSH, 1,
                                              SPAN_EMPTY, data));
        check_tuple(tuples[i], test_frame_udp(&pool.pool, tuples[i], data));
    }
}

/* Microsoft's published RSS vectors (IPv4 and IPv6 with TCP) under Microsoft's key. */
static void tuple_hash_matches_the_published_vectors(void **state)
{
    static const uint8_t key[TOEPLITZ_KEY_BYTES] = {
        0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
        0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
        0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};
    toeplitz_init(&toeplitz, key);
    struct ip_tuple t = {test_addr("161.142.100.80"), test_addr("66.9.149.187"), 1766, 2794};
    assert_int_equal(wire_tuple_hash(&toeplitz, &t), 0x51ccc178);
    struct ip_tuple u = {test_addr("3ffe:2501:200:3::1"), test_addr("3ffe:2501:200:1fff::7"), 1766,
                         2794};
    assert_int_equal(wire_tuple_hash(&toeplitz, &u), 0x40207d3d);
}

static void hash_of_the_port_is_kept(void **state)
{
    struct buf *b = syn4();
    b->flags |= BUF_RX_HASH;
    b->rx_hash = 4711;
    assert_int_equal(wire_parse(b, &toeplitz), TG_C_none);
    assert_int_equal(b->rx_hash, 4711);
    buf_unref(&pool.pool, b);
}

static void icmp_hashes_addresses_only(void **state)
{
    struct buf *b = test_frame_icmp(&pool.pool, &tuple4.remote, &tuple4.local, 8, 0, 0x10001,
                                    SPAN_LITERAL("ping"));
    assert_int_equal(wire_parse(b, &toeplitz), TG_C_none);
    uint8_t input[8];
    memcpy(input, tuple4.remote.bytes + 12, 4);
    memcpy(input + 4, tuple4.local.bytes + 12, 4);
    assert_int_equal(b->rx_hash, toeplitz_hash(&toeplitz, input, 8));
    assert_int_equal(b->payload, L4_4 + 8);
    buf_unref(&pool.pool, b);
}

static void link_padding_is_trimmed(void **state)
{
    struct buf *b = syn4();
    uint16_t len = b->len;
    memset(buf_put(b, 6), 0xee, 6);
    assert_int_equal(wire_parse(b, &toeplitz), TG_C_none);
    assert_int_equal(b->len, len);
    buf_unref(&pool.pool, b);

    struct ip_addr us = test_addr("192.0.2.1"), peer = test_addr("192.0.2.9");
    b = test_frame_arp(&pool.pool, 1, test_mac_peer, &peer, test_mac_ours, &us);
    memset(buf_put(b, 18), 0, 18);
    assert_int_equal(wire_parse(b, &toeplitz), TG_C_none);
    assert_int_equal(b->len, 42);
    assert_int_equal(b->ip_version, 0);
    assert_int_equal(b->l4_len, 28);
    buf_unref(&pool.pool, b);
}

static void padding_in_later_pieces_is_trimmed(void **state)
{
    struct buf *b = test_frame_tcp(&pool.pool, &tuple6, 1, 2, TCP_ACK, 1, SPAN_EMPTY,
                                   SPAN_LITERAL("0123456789"));
    buf_trim(b, (uint16_t)(b->len - 7));
    b->next = test_buf_tight(&pool.pool, "3456789PAD", 10);
    b->next->next = test_buf_tight(&pool.pool, "PADDING", 7);
    assert_int_equal(wire_parse(b, &toeplitz), TG_C_none);
    assert_int_equal(b->next->len, 7);
    assert_int_equal(b->next->next->len, 0);
    assert_int_equal(wire_tcp(b).payload_bytes, 10);
    buf_unref(&pool.pool, b);
}

static void headers_must_lie_in_the_first_piece(void **state)
{
    for (uint16_t cut = ETH_BYTES; cut < L4_4 + TCP_BYTES + 4; cut++) {
        struct buf *b = syn4();
        struct buf *tail = test_buf_tight(&pool.pool, b->data + cut, b->len - (size_t)cut);
        struct buf *front = test_buf_tight(&pool.pool, b->data, cut);
        front->next = tail;
        assert_int_equal(wire_parse(front, &toeplitz), TG_C_net_short_frame);
        buf_unref(&pool.pool, front);
        buf_unref(&pool.pool, b);
    }
}

static void ethertype_and_short_frames_are_refused(void **state)
{
    const uint16_t types[] = {0, 0x05dc, 0x8100, 0x88a8, 0x0801, 0x8847, 0xffff};
    for (unsigned i = 0; i < TG_ARRAY_LEN(types); i++) {
        uint8_t be[2] = {(uint8_t)(types[i] >> 8), (uint8_t)types[i]};
        assert_int_equal(parse_patched(syn4(), 12, be, 2), TG_C_net_ethertype);
    }
    for (uint16_t len = 0; len < ETH_BYTES + 28; len++) {
        uint8_t arp[ETH_BYTES + 28] = {[12] = 0x08, [13] = 0x06};
        struct buf *b = test_buf_tight(&pool.pool, arp, len);
        assert_int_equal(wire_parse(b, &toeplitz), TG_C_net_short_frame);
        buf_unref(&pool.pool, b);
    }
}

static void unicast_in_a_group_frame_is_not_for_us(void **state)
{
    assert_int_equal(parse_patched(syn4(), 0, "\xff\xff\xff\xff\xff\xff", 6), TG_C_net_not_for_us);
    struct buf *six = test_frame_udp(&pool.pool, &tuple6, SPAN_EMPTY);
    assert_int_equal(parse_patched(six, 0, "\x33\x33\0\0\0\1", 6), TG_C_net_not_for_us);
}

static void tcp_lies_are_refused(void **state)
{
    for (unsigned offset = 0; offset < 16; offset++) {
        uint8_t byte = (uint8_t)(offset << 4);
        enum tg_counter want = offset >= 5 && offset <= 6 ? TG_C_none : TG_C_net_tcp_offset;
        assert_int_equal(parse_patched(syn4(), L4_4 + 12, &byte, 1), want);
    }
    assert_int_equal(parse_patched(syn4(), L4_4, "\0\0", 2), TG_C_net_tcp_port);
    assert_int_equal(parse_patched(syn4(), L4_4 + 2, "\0\0", 2), TG_C_net_tcp_port);
    for (uint8_t total = IP4_BYTES; total < IP4_BYTES + TCP_BYTES; total++)
        assert_int_equal(parse_patched(syn4(), ETH_BYTES + 3, &total, 1), TG_C_net_l4_short);
}

static void udp_lengths_are_checked(void **state)
{
    for (unsigned len = 0; len < 32; len++) {
        struct buf *b = test_frame_udp(&pool.pool, &tuple4, SPAN_LITERAL("0123456789"));
        uint8_t be[2] = {0, (uint8_t)len};
        enum tg_counter want = len >= 8 && len <= 18 ? TG_C_none : TG_C_net_l4_short;
        assert_int_equal(parse_patched(b, L4_4 + 4, be, 2), want);
    }
    struct buf *b = test_frame_udp(&pool.pool, &tuple4, SPAN_LITERAL("0123456789"));
    wire_put16(b->data + L4_4 + 4, 12); /* a surplus area: cut off */
    b->flags = CSUM_GOOD;
    assert_int_equal(wire_parse(b, &toeplitz), TG_C_none);
    assert_int_equal(b->l4_len, 12);
    assert_int_equal(b->len, L4_4 + 12);
    buf_unref(&pool.pool, b);
}

static void udp_without_checksum_passes_in_ip4_only(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        struct buf *b = test_frame_udp(&pool.pool, i ? &tuple6 : &tuple4, SPAN_LITERAL("x"));
        wire_put16(b->data + (i ? L4_6 : L4_4) + 6, 0);
        assert_int_equal(wire_parse(b, &toeplitz), i ? TG_C_net_l4_checksum : TG_C_none);
        buf_unref(&pool.pool, b);
    }
}

static void short_icmp_is_refused(void **state)
{
    for (uint8_t n = 0; n < 8; n++) {
        struct buf *b = test_frame_icmp(&pool.pool, &tuple4.remote, &tuple4.local, 8, 0, 0,
                                        SPAN_LITERAL("padding"));
        uint8_t total = (uint8_t)(IP4_BYTES + n);
        assert_int_equal(parse_patched(b, ETH_BYTES + 3, &total, 1), TG_C_net_l4_short);
    }
}

static enum tg_counter parse_with_flags(struct buf *b, uint16_t flags)
{
    b->flags = flags;
    enum tg_counter c = wire_parse(b, &toeplitz);
    buf_unref(&pool.pool, b);
    return c;
}

/* The port's word is believed in both directions; without it software looks. */
static void checksum_flags_decide(void **state)
{
    for (unsigned broken = 0; broken < 2; broken++) {
        struct buf *b[4];
        for (unsigned i = 0; i < 4; i++) {
            b[i] = syn4();
            b[i]->data[L4_4 + 16] ^= (uint8_t)broken;
        }
        enum tg_counter seen = broken ? TG_C_net_l4_checksum : TG_C_none;
        assert_int_equal(parse_with_flags(b[0], 0), seen);
        assert_int_equal(parse_with_flags(b[1], BUF_RX_L4_CSUM_GOOD), TG_C_none);
        assert_int_equal(parse_with_flags(b[2], BUF_RX_L4_CSUM_BAD), TG_C_net_l4_checksum);
        assert_int_equal(parse_with_flags(b[3], BUF_RX_IP_CSUM_BAD), TG_C_net_ip4_checksum);
    }
    struct buf *b = test_frame_icmp(&pool.pool, &tuple4.remote, &tuple4.local, 8, 0, 0, SPAN_EMPTY);
    b->data[L4_4 + 2] ^= 1; /* no port vouches for ICMP */
    assert_int_equal(parse_with_flags(b, CSUM_GOOD), TG_C_net_l4_checksum);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(foreign_syn_is_read_field_by_field),
        TEST(tcp_and_udp_of_both_families_parse_and_hash),
        TEST(tuple_hash_matches_the_published_vectors),
        TEST(hash_of_the_port_is_kept),
        TEST(icmp_hashes_addresses_only),
        TEST(link_padding_is_trimmed),
        TEST(padding_in_later_pieces_is_trimmed),
        TEST(headers_must_lie_in_the_first_piece),
        TEST(ethertype_and_short_frames_are_refused),
        TEST(unicast_in_a_group_frame_is_not_for_us),
        TEST(tcp_lies_are_refused),
        TEST(udp_lengths_are_checked),
        TEST(udp_without_checksum_passes_in_ip4_only),
        TEST(short_icmp_is_refused),
        TEST(checksum_flags_decide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
