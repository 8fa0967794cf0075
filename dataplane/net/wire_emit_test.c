/* SPDX-License-Identifier: BSD-3-Clause
 * Headers that we write, byte by byte against packets made by hand (checksums computed on paper by
 * RFC 1071).
 */
#include "net/net_test_support.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct test_pool pool;

static int set_up(void **state)
{
    test_pool_init(&pool, 0);
    return 0;
}

static int tear_down(void **state)
{
    return pool.outstanding != 0;
}

static struct ip_emit emit(const char *source, const char *destination, uint8_t proto)
{
    return (struct ip_emit){
        .source = test_addr(source), .destination = test_addr(destination), .proto = proto};
}

static void ip4_header_has_the_right_bytes(void **state)
{
    struct buf *b = test_buf(&pool.pool, "abcd", 4);
    struct ip_emit ip = emit("192.0.2.1", "198.51.100.7", IP_PROTO_TCP);
    ip.traffic_class = 2;
    wire_emit_ip(b, &ip, false);
    /* words 4502 0018 0000 4000 4006 0000 c000 0201 c633 6407, carries folded: sum 0xb15d, ~ 0x4ea2
     */
    const uint8_t want[] = {0x45, 0x02, 0, 24, 0,   0,  0x40, 0, 64,  6,   0x4e, 0xa2,
                            192,  0,    2, 1,  198, 51, 100,  7, 'a', 'b', 'c',  'd'};
    assert_int_equal(b->len, sizeof want);
    assert_memory_equal(b->data, want, sizeof want);
    assert_int_equal(b->l3, 0);
    assert_int_equal(b->l4, 20);
    assert_int_equal(b->l4_len, 4);
    assert_int_equal(b->ip_version, 4);
    assert_int_equal(b->flags, 0);
    buf_unref(&pool.pool, b);
}

static void ip6_header_has_the_right_bytes(void **state)
{
    struct buf *b = test_buf(&pool.pool, "abc", 3);
    struct ip_emit ip = emit("2001:db8::1", "2001:db8::2", IP_PROTO_ICMP6);
    ip.hop_limit = 255;
    ip.traffic_class = 0xb9;
    wire_emit_ip(b, &ip, true); /* IPv6 has no header checksum: nothing to offload */
    const uint8_t want[] = {0x6b, 0x90, 0, 0, 0, 3, 58, 255, 0x20, 1,    0x0d, 0xb8, 0,    0, 0,
                            0,    0,    0, 0, 0, 0, 0,  0,   1,    0x20, 1,    0x0d, 0xb8, 0, 0,
                            0,    0,    0, 0, 0, 0, 0,  0,   0,    2,    'a',  'b',  'c'};
    assert_int_equal(b->len, sizeof want);
    assert_memory_equal(b->data, want, sizeof want);
    assert_int_equal(b->flags, 0);
    assert_int_equal(b->ip_version, 6);
    assert_int_equal(b->l4, 40);
    buf_unref(&pool.pool, b);
}

static void offloaded_ip_checksum_is_left_zero(void **state)
{
    struct buf *b = test_buf(&pool.pool, "", 0);
    struct ip_emit ip = emit("192.0.2.1", "198.51.100.7", IP_PROTO_TCP);
    wire_emit_ip(b, &ip, true);
    assert_int_equal(b->flags, BUF_TX_IP_CSUM);
    assert_int_equal(wire_get16(b->data + 10), 0);
    /* Sent again by a port that cannot: the wish is taken back. */
    buf_pull(b, IP4_BYTES);
    wire_emit_ip(b, &ip, false);
    assert_int_equal(b->flags, 0);
    assert_int_equal(wire_sum_finish(wire_sum(0, buf_span(b))), 0);
    buf_unref(&pool.pool, b);
}

static void header_counts_the_whole_chain(void **state)
{
    struct buf *b = test_buf(&pool.pool, "abc", 3);
    b->next = test_buf(&pool.pool, "defgh", 5);
    struct ip_emit ip = emit("192.0.2.1", "198.51.100.7", IP_PROTO_UDP);
    wire_emit_ip(b, &ip, false);
    assert_int_equal(wire_get16(b->data + 2), 28);
    assert_int_equal(b->l4_len, 8);
    buf_unref(&pool.pool, b);
}

static void udp_checksum_matches_a_hand_made_packet(void **state)
{
    /* ports 1, 2, length 10, payload "hi" between 10.0.0.1 and 10.0.0.2:
     * 0a00 0001 0a00 0002 0011 000a | 0001 0002 000a 0000 6869 -> sum 0x7c94, ~ 0x836b */
    struct buf *b = test_buf(&pool.pool, "\0\1\0\2\0\x0a\xff\xffhi", 10);
    struct ip_emit ip = emit("10.0.0.1", "10.0.0.2", IP_PROTO_UDP);
    wire_emit_l4_checksum(b, &ip, 6, false);
    assert_int_equal(wire_get16(b->data + 6), 0x836b);
    buf_unref(&pool.pool, b);
}

static void udp_checksum_zero_is_sent_as_ones(void **state)
{
    struct ip_emit ip = emit("10.0.0.1", "10.0.0.2", IP_PROTO_UDP);
    struct buf *b = test_buf(&pool.pool, "\0\1\0\2\0\x0a\0\0\0\0", 10);
    wire_emit_l4_checksum(b, &ip, 6, false);
    uint16_t rest = wire_get16(b->data + 6); /* as payload it brings the sum to all ones */
    wire_put16(b->data + 8, rest);
    wire_emit_l4_checksum(b, &ip, 6, false);
    assert_int_equal(wire_get16(b->data + 6), 0xffff);
    ip.proto = IP_PROTO_TCP; /* 17 -> 6: eleven less, and zero stays zero for TCP */
    wire_put16(b->data + 8, (uint16_t)(rest + 11));
    wire_emit_l4_checksum(b, &ip, 6, false);
    assert_int_equal(wire_get16(b->data + 6), 0);
    buf_unref(&pool.pool, b);
}

static void icmp_has_no_pseudo_header(void **state)
{
    struct buf *b = test_buf(&pool.pool, "\x08\0\xaa\xaa\x12\x34\0\1", 8);
    struct ip_emit ip = emit("10.0.0.1", "10.0.0.2", IP_PROTO_ICMP);
    wire_emit_l4_checksum(b, &ip, 2, true); /* no port offloads it */
    assert_int_equal(b->flags, 0);
    assert_int_equal(wire_get16(b->data + 2), (uint16_t) ~(0x0800 + 0x1234 + 0x0001));
    buf_unref(&pool.pool, b);
}

static void offloaded_l4_checksum_holds_the_pseudo_sum(void **state)
{
    struct buf *b = test_buf(&pool.pool, "12345678901234567890", 20);
    struct ip_emit ip = emit("10.0.0.1", "10.0.0.2", IP_PROTO_TCP);
    wire_emit_l4_checksum(b, &ip, 16, true);
    assert_int_equal(b->flags, BUF_TX_L4_CSUM);
    assert_int_equal(wire_get16(b->data + 16), 0x0a00 + 1 + 0x0a00 + 2 + 6 + 20);
    wire_emit_l4_checksum(b, &ip, 16, false);
    assert_int_equal(b->flags, 0);
    buf_unref(&pool.pool, b);
}

static void ethernet_header_moves_the_offsets_on(void **state)
{
    struct buf *b = test_buf(&pool.pool, "x", 1);
    struct ip_emit ip = emit("10.0.0.1", "10.0.0.2", IP_PROTO_TCP);
    wire_emit_ip(b, &ip, false);
    wire_emit_ethernet(b, test_mac_ours, test_mac_peer, ETHERTYPE_IP4);
    assert_memory_equal(b->data, "\2\0\0\0\0\2\2\0\0\0\0\1\x08\0\x45", 15);
    assert_int_equal(b->l3, 14);
    assert_int_equal(b->l4, 34);
    buf_unref(&pool.pool, b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ip4_header_has_the_right_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ip6_header_has_the_right_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(offloaded_ip_checksum_is_left_zero, set_up, tear_down),
        cmocka_unit_test_setup_teardown(header_counts_the_whole_chain, set_up, tear_down),
        cmocka_unit_test_setup_teardown(udp_checksum_matches_a_hand_made_packet, set_up, tear_down),
        cmocka_unit_test_setup_teardown(udp_checksum_zero_is_sent_as_ones, set_up, tear_down),
        cmocka_unit_test_setup_teardown(icmp_has_no_pseudo_header, set_up, tear_down),
        cmocka_unit_test_setup_teardown(offloaded_l4_checksum_holds_the_pseudo_sum, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(ethernet_header_moves_the_offsets_on, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
