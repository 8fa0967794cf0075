/* SPDX-License-Identifier: BSD-3-Clause
 * The program in the driver by BPF_PROG_TEST_RUN: hand-made packets in, verdict and counter out. Needs
 * the right to load it; attaches nothing, touches no interface.
 */
#include "io/io_xdp_lab.h"

static struct io_driver driver;
static const uint8_t address6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}; /* ours */

static int open_all(void **state)
{
    return lab_driver_open(&driver) ? 0 : -1;
}

static int close_all(void **state)
{
    io_driver_close(&driver);
    return 0;
}

static enum io_xdp_reason run(const void *bytes, uint32_t len)
{
    return lab_judge(&driver, bytes, len);
}

static enum io_xdp_reason run_packet(struct lab_packet p)
{
    return run(p.bytes, p.len);
}

/* The same with one byte bent; offsets from the frame's start. */
static enum io_xdp_reason run_bent(struct lab_packet p, unsigned at, uint8_t value)
{
    p.bytes[at] = value;
    return run_packet(p);
}

enum { IP = 14, L4 = IP + 20, L4_IN_6 = IP + 40 };
enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16, URG = 32 };

static struct lab_packet tcp6(uint8_t flags)
{
    uint8_t source[16], h[20] = {0x10, 0x00, 0, 80, [12] = 5 << 4, [13] = flags};
    lab_address6(source, 0x77);
    return lab_ip6(source, address6, 6, h, sizeof h);
}

static void ours_goes_to_the_socket(void **state)
{
    uint8_t echo[8] = {8}, echo6[8] = {128}, source[16];
    lab_address6(source, 9);
    assert_int_equal(run_packet(lab_tcp4(1000, 80, SYN)), IO_XDP_socket);
    assert_int_equal(run_packet(lab_udp4(1000, 53, 100, 1)), IO_XDP_socket);
    assert_int_equal(run_packet(lab_ip4(LAB_CLIENT4, LAB_EDGE4, 1, echo, 8)), IO_XDP_socket);
    assert_int_equal(run_packet(tcp6(ACK)), IO_XDP_socket);
    assert_int_equal(run_packet(lab_ip6(source, address6, 58, echo6, 8)), IO_XDP_socket);
    assert_int_equal(run_packet(lab_arp(LAB_EDGE4)), IO_XDP_socket);
}

static void rest_goes_to_the_kernel(void **state)
{
    uint8_t l4[20] = {0, 22, 0x80, 0, [12] = 0x50, [13] = SYN | FIN}, source[16], other[16];
    lab_address6(source, 9);
    lab_address6(other, 2);
    /* not even malformed segments are ours to drop there */
    assert_int_equal(run_packet(lab_ip4(LAB_CLIENT4, LAB_OTHER4, 6, l4, 20)), IO_XDP_kernel);
    assert_int_equal(run_packet(lab_ip6(source, other, 6, l4, 20)), IO_XDP_kernel);
    assert_int_equal(run_packet(lab_arp(LAB_OTHER4)), IO_XDP_kernel);
    assert_int_equal(run_bent(lab_tcp4(1, 2, SYN), 12, 0x81), IO_XDP_kernel); /* a VLAN tag */
    struct lab_packet p = lab_tcp4(1, 2, SYN);
    assert_int_equal(run(p.bytes, IP + 19), IO_XDP_kernel); /* no whole IP header */
    p = tcp6(SYN);
    assert_int_equal(run(p.bytes, IP + 39), IO_XDP_kernel);
    p = lab_arp(LAB_EDGE4);
    assert_int_equal(run(p.bytes, IP + 27), IO_XDP_kernel);
    assert_int_equal(run(p.bytes, 14), IO_XDP_kernel); /* BPF_PROG_TEST_RUN takes no less */
}

/* A mapped address on the wire is not the IPv4 address that it names. */
static void mapped_address_is_not_ours(void **state)
{
    uint8_t source[16], mapped[16], h[20] = {1, 1, 0, 80, [12] = 0x50, [13] = SYN};
    lab_address6(source, 9);
    lab_address4(mapped, LAB_EDGE4);
    enum io_xdp_reason reason = run_packet(lab_ip6(source, mapped, 6, h, 20));
    assert_int_equal(reason, IO_XDP_kernel);
}

static struct lab_packet solicit(uint8_t type, uint8_t target_last)
{
    uint8_t icmp[24] = {type}, source[16],
            group[16] = {0xff, 0x02, [11] = 1, [12] = 0xff, [15] = 1};
    lab_address6(source, 9);
    lab_address6(icmp + 8, target_last);
    return lab_ip6(source, group, 58, icmp, sizeof icmp);
}

static void neighbour_discovery(void **state)
{
    uint8_t icmp[24] = {136}, source[16];
    assert_int_equal(run_packet(solicit(135, 1)), IO_XDP_socket);
    assert_int_equal(run_packet(solicit(135, 2)), IO_XDP_kernel);
    assert_int_equal(run_packet(solicit(134, 1)), IO_XDP_kernel); /* router advertisement */
    struct lab_packet p = solicit(135, 1);
    assert_int_equal(run(p.bytes, p.len - 1u), IO_XDP_kernel);
    lab_address6(source, 9);
    lab_address6(icmp + 8, 9);
    assert_int_equal(run_packet(lab_ip6(source, address6, 58, icmp, 24)), IO_XDP_socket);
}

static void lying_ip_lengths(void **state)
{
    struct lab_packet p = lab_tcp4(1000, 80, SYN);
    assert_int_equal(run_bent(p, IP + 3, 41), IO_XDP_ip4_length); /* more than the frame has */
    assert_int_equal(run_bent(p, IP + 2, 0xff), IO_XDP_ip4_length);
    assert_int_equal(run_bent(p, IP + 3, 19), IO_XDP_ip4_length); /* less than its header */
    assert_int_equal(run_bent(p, IP + 3, 0), IO_XDP_ip4_length);
    assert_int_equal(run_bent(p, IP, 0x44), IO_XDP_ip4_header);
    assert_int_equal(run_bent(p, IP, 0x55), IO_XDP_ip4_header);
    assert_int_equal(run_bent(p, IP, 0x46), IO_XDP_socket); /* options: the worker's to judge */
    assert_int_equal(run_bent(p, IP, 0x4f), IO_XDP_ip4_length);
    p.len += 6; /* link padding is no lie */
    assert_int_equal(run_packet(p), IO_XDP_socket);
    assert_int_equal(run_bent(tcp6(SYN), IP + 5, 21), IO_XDP_ip6_length);
    assert_int_equal(run_bent(tcp6(SYN), IP + 5, 0), IO_XDP_ip6_length);
    assert_int_equal(run_bent(tcp6(SYN), IP, 0x50), IO_XDP_ip6_length);
}

static void transport_too_short(void **state)
{
    assert_int_equal(run_bent(lab_tcp4(1000, 80, SYN), IP + 3, 39), IO_XDP_l4_length);
    assert_int_equal(run_bent(lab_tcp4(1000, 80, SYN), IP + 3, 20), IO_XDP_l4_length);
    assert_int_equal(run_bent(tcp6(SYN), IP + 5, 19), IO_XDP_l4_length);
    assert_int_equal(run_bent(lab_udp4(5, 6, 10, 0), IP + 3, 27), IO_XDP_l4_length);
    assert_int_equal(run_bent(lab_udp4(5, 6, 10, 0), L4 + 5, 7), IO_XDP_l4_length);
    assert_int_equal(run_bent(lab_udp4(5, 6, 10, 0), L4 + 5, 19), IO_XDP_l4_length);
    assert_int_equal(run_bent(lab_udp4(5, 6, 10, 0), L4 + 5, 8), IO_XDP_socket); /* surplus area */
    uint8_t echo[7] = {8};
    assert_int_equal(run_packet(lab_ip4(LAB_CLIENT4, LAB_EDGE4, 1, echo, 7)), IO_XDP_l4_length);
    assert_int_equal(run_packet(lab_ip4(LAB_CLIENT4, LAB_EDGE4, 58, echo, 7)), IO_XDP_socket);
    assert_int_equal(run_packet(lab_ip4(LAB_CLIENT4, LAB_EDGE4, 47, echo, 7)), IO_XDP_socket);
}

static void tcp_data_offset_and_ports(void **state)
{
    for (unsigned offset = 0; offset < 16; offset++) {
        enum io_xdp_reason expect = offset == 5 ? IO_XDP_socket : IO_XDP_tcp_offset;
        assert_int_equal(run_bent(lab_tcp4(1000, 80, SYN), L4 + 12, (uint8_t)(offset << 4)),
                         expect);
    }
    assert_int_equal(run_packet(lab_tcp4(0, 80, SYN)), IO_XDP_tcp_port);
    assert_int_equal(run_packet(lab_tcp4(1000, 0, SYN)), IO_XDP_tcp_port);
    assert_int_equal(run_packet(lab_udp4(0, 0, 4, 0)), IO_XDP_socket); /* UDP may (RFC 768) */
}

static void every_combination_of_tcp_flags(void **state)
{
    unsigned dropped = 0;
    for (unsigned flags = 0; flags < 256; flags++) {
        bool nonsense = !(flags & (SYN | RST | ACK)) || (flags & (SYN | FIN)) == (SYN | FIN) ||
                        (flags & (SYN | RST)) == (SYN | RST);
        enum io_xdp_reason expect = nonsense ? IO_XDP_tcp_flags : IO_XDP_socket;
        assert_int_equal(run_packet(lab_tcp4(1000, 80, (uint8_t)flags)), expect);
        assert_int_equal(run_packet(tcp6((uint8_t)flags)), expect);
        dropped += nonsense;
    }
    assert_int_equal(dropped, 32 + 96); /* of 256: none of three bits; SYN with FIN or RST */
    assert_int_equal(run_packet(lab_tcp4(1000, 80, FIN | PSH | URG)), IO_XDP_tcp_flags);
}

static void fragments_are_the_workers_to_judge(void **state)
{
    struct lab_packet p = lab_tcp4(1000, 80, SYN | FIN);
    assert_int_equal(run_bent(p, IP + 6, 0x20), IO_XDP_socket);    /* more fragments */
    assert_int_equal(run_bent(p, IP + 7, 1), IO_XDP_socket);       /* an offset */
    assert_int_equal(run_bent(p, IP + 6, 0x40), IO_XDP_tcp_flags); /* "do not fragment" is whole */
}

/* n destination-options headers of 8 bytes in front of a SYN+FIN segment, which shows that it was found. */
static struct lab_packet extended(unsigned n, uint8_t first)
{
    uint8_t l4[200] = {0}, source[16];
    unsigned at = 0;
    for (unsigned i = 0; i < n; i++, at += 8)
        l4[at] = i + 1 < n ? 60 : 6;
    l4[at + 1] = l4[at + 3] = 1;
    l4[at + 12] = 0x50;
    l4[at + 13] = SYN | FIN;
    lab_address6(source, 9);
    return lab_ip6(source, address6, n ? first : 6, l4, (uint16_t)(at + 20));
}

static void extension_headers_are_walked(void **state)
{
    for (unsigned n = 0; n <= 8; n++)
        assert_int_equal(run_packet(extended(n, 60)), IO_XDP_tcp_flags);
    assert_int_equal(run_packet(extended(9, 60)),
                     IO_XDP_socket); /* too many: the worker drops it */
    assert_int_equal(run_packet(extended(2, 0)), IO_XDP_tcp_flags);
    assert_int_equal(run_packet(extended(2, 43)), IO_XDP_tcp_flags);
    assert_int_equal(run_packet(extended(2, 44)), IO_XDP_socket); /* a fragment */
    assert_int_equal(run_packet(extended(2, 51)), IO_XDP_socket);
    /* a header that says it is longer than the packet */
    for (unsigned len = 1; len < 256; len++)
        assert_int_equal(run_bent(extended(1, 60), L4_IN_6 + 1, (uint8_t)len),
                         len < 3 ? IO_XDP_l4_length : IO_XDP_socket);
    /* even when there are bytes: they are padding, not the packet's */
    struct lab_packet p = extended(1, 60);
    p.len += 40;
    assert_int_equal(run_bent(p, L4_IN_6 + 1, 3), IO_XDP_socket);
}

static void no_socket_is_a_drop_of_its_own(void **state)
{
    lab_driver_socket(&driver, false);
    assert_int_equal(run_packet(lab_tcp4(1000, 80, SYN)), IO_XDP_no_socket);
    lab_driver_socket(&driver, true);
    assert_int_equal(run_packet(lab_tcp4(1000, 80, SYN)), IO_XDP_socket);
}

/* Whatever the bytes: a verdict, one counter, and the memory outside is not touched (the verifier's word). */
static void random_bytes_get_a_verdict(void **state)
{
    uint64_t seed = 88172645463325252u;
    for (unsigned i = 0; i < 20000; i++) {
        struct lab_packet p = i % 2 ? lab_tcp4(1000, 80, SYN) : tcp6(SYN);
        for (unsigned bend = 0; bend < 1 + i % 5; bend++) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            p.bytes[seed % p.len] = (uint8_t)(seed >> 32);
        }
        (void)run(p.bytes, 14 + (uint32_t)(seed >> 40) % (p.len - 13u));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ours_goes_to_the_socket),
        cmocka_unit_test(rest_goes_to_the_kernel),
        cmocka_unit_test(mapped_address_is_not_ours),
        cmocka_unit_test(neighbour_discovery),
        cmocka_unit_test(lying_ip_lengths),
        cmocka_unit_test(transport_too_short),
        cmocka_unit_test(tcp_data_offset_and_ports),
        cmocka_unit_test(every_combination_of_tcp_flags),
        cmocka_unit_test(fragments_are_the_workers_to_judge),
        cmocka_unit_test(extension_headers_are_walked),
        cmocka_unit_test(no_socket_is_a_drop_of_its_own),
        cmocka_unit_test(random_bytes_get_a_verdict),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
