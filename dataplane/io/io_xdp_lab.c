/* SPDX-License-Identifier: BSD-3-Clause
 * See io_xdp_lab.h.
 */
#include "io/io_xdp_lab.h"
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v & 0xffff);
}

void lab_address6(uint8_t out[16], uint8_t last)
{
    memset(out, 0, 16);
    put32(out, 0x20010db8);
    out[15] = last;
}

void lab_address4(uint8_t out[16], uint32_t address)
{
    memset(out, 0, 10);
    out[10] = out[11] = 0xff;
    put32(out + 12, address);
}

static struct lab_packet lab_ethernet(unsigned ethertype)
{
    struct lab_packet p = {.len = 14};
    memset(p.bytes, 0x02, 12); /* locally administered */
    put16(p.bytes + 12, ethertype);
    return p;
}

static void lab_append(struct lab_packet *p, const void *bytes, uint16_t n)
{
    assert_true(p->len + n <= sizeof p->bytes);
    if (n)
        memcpy(p->bytes + p->len, bytes, n);
    p->len = (uint16_t)(p->len + n);
}

struct lab_packet lab_ip4(uint32_t source, uint32_t destination, uint8_t proto, const void *l4,
                          uint16_t l4_len)
{
    struct lab_packet p = lab_ethernet(0x0800);
    uint8_t h[20] = {0x45, [8] = 64, [9] = proto};
    put16(h + 2, 20u + l4_len);
    put32(h + 12, source);
    put32(h + 16, destination);
    lab_append(&p, h, sizeof h);
    lab_append(&p, l4, l4_len);
    return p;
}

struct lab_packet lab_ip6(const uint8_t source[16], const uint8_t destination[16], uint8_t next,
                          const void *l4, uint16_t l4_len)
{
    struct lab_packet p = lab_ethernet(0x86dd);
    uint8_t h[40] = {0x60, [6] = next, [7] = 64};
    put16(h + 4, l4_len);
    memcpy(h + 8, source, 16);
    memcpy(h + 24, destination, 16);
    lab_append(&p, h, sizeof h);
    lab_append(&p, l4, l4_len);
    return p;
}

struct lab_packet lab_tcp4(uint16_t source_port, uint16_t destination_port, uint8_t flags)
{
    uint8_t h[20] = {[12] = 5 << 4, [13] = flags};
    put16(h, source_port);
    put16(h + 2, destination_port);
    return lab_ip4(LAB_CLIENT4, LAB_EDGE4, 6, h, sizeof h);
}

struct lab_packet lab_udp4(uint16_t source_port, uint16_t destination_port, uint16_t payload,
                           uint8_t fill)
{
    uint8_t h[2000] = {0};
    assert_true(payload <= sizeof h - 8);
    put16(h, source_port);
    put16(h + 2, destination_port);
    put16(h + 4, 8u + payload);
    memset(h + 8, fill, payload);
    return lab_ip4(LAB_CLIENT4, LAB_EDGE4, 17, h, (uint16_t)(8 + payload));
}

struct lab_packet lab_arp(uint32_t target)
{
    struct lab_packet p = lab_ethernet(0x0806);
    uint8_t a[28] = {0, 1, 8, 0, 6, 4, 0, 1};
    put32(a + 14, LAB_CLIENT4);
    put32(a + 24, target);
    lab_append(&p, a, sizeof a);
    return p;
}

void lab_driver_socket(struct io_driver *driver, bool there)
{
    static int placeholder = -1; /* a socket that the map takes: one with a receive ring */
    uint32_t queue = 0;
    int entries = 64;
    if (!there) {
        assert_int_equal(bpf_map_delete_elem(driver->sockets_map, &queue), 0);
        return;
    }
    if (placeholder < 0) {
        placeholder = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
        assert_int_equal(setsockopt(placeholder, SOL_XDP, XDP_RX_RING, &entries, sizeof entries),
                         0);
    }
    assert_int_equal(io_driver_set_socket(driver, queue, placeholder), TG_OK);
}

bool lab_driver_open(struct io_driver *driver)
{
    char problem[256] = "";
    uint8_t ours[2][16];
    if (io_driver_open(driver, problem) != TG_OK) {
        print_error("this test needs root: %s\n", problem);
        return false;
    }
    lab_address4(ours[0], LAB_EDGE4);
    lab_address6(ours[1], 1);
    lab_driver_socket(driver, true);
    assert_int_equal(io_driver_set_addresses(driver, (const uint8_t(*)[16])ours, 2), TG_OK);
    return true;
}

enum io_xdp_reason lab_judge(const struct io_driver *driver, const void *bytes, uint32_t len)
{
    uint64_t before[IO_XDP_REASON_COUNT];
    enum io_xdp_reason reason = IO_XDP_REASON_COUNT;
    int program = bpf_program__fd(bpf_object__find_program_by_name(driver->object, "tidegate_xdp"));
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = bytes, .data_size_in = len, .repeat = 1);
    for (unsigned r = 0; r < IO_XDP_REASON_COUNT; r++)
        before[r] = io_driver_reason(driver, r);
    assert_int_equal(bpf_prog_test_run_opts(program, &options), 0);
    for (unsigned r = 0; r < IO_XDP_REASON_COUNT; r++) {
        uint64_t grew = io_driver_reason(driver, r) - before[r];
        assert_true(grew == 0 || (grew == 1 && reason == IO_XDP_REASON_COUNT));
        if (grew)
            reason = r;
    }
    assert_true(reason < IO_XDP_REASON_COUNT);
    unsigned action = reason == IO_XDP_kernel   ? XDP_PASS
                      : reason == IO_XDP_socket ? XDP_REDIRECT
                                                : XDP_DROP;
    assert_int_equal(options.retval, action);
    return reason;
}

void lab_run(const char *const arguments[])
{
    pid_t pid;
    int status = -1;
    if (posix_spawnp(&pid, arguments[0], NULL, NULL, (char *const *)(uintptr_t)arguments,
                     environ) != 0)
        fail_msg("%s is not there", arguments[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (status != 0)
        fail_msg("%s %s %s %s: status %d", arguments[0], arguments[1], arguments[2], arguments[3],
                 status);
}

/* The kernel's own neighbour discovery would mix with what the test sends. */
static void lab_no_ipv6(const char *interface)
{
    char path[80];
    snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/disable_ipv6", interface);
    int fd = open(path, O_WRONLY);
    if (fd >= 0) {
        assert_int_equal(write(fd, "1", 1), 1);
        close(fd);
    }
}

bool lab_network(void)
{
    if (unshare(CLONE_NEWNET) != 0) {
        print_error("this test needs root: no network namespace (%s)\n", strerror(errno));
        return false;
    }
    lab_run((const char *[]){"ip", "link", "add", LAB_OURS, "type", "veth", "peer", "name",
                             LAB_PEER, NULL});
    lab_no_ipv6(LAB_OURS);
    lab_no_ipv6(LAB_PEER);
    lab_run((const char *[]){"ip", "link", "set", LAB_OURS, "up", NULL});
    lab_run((const char *[]){"ip", "link", "set", LAB_PEER, "up", NULL});
    return true;
}

int lab_raw_open(const char *interface)
{
    struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                  .sll_protocol = htons(ETH_P_ALL),
                                  .sll_ifindex = (int)if_nametoindex(interface)};
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)), bytes = 8 << 20;
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes), 0);
    return fd;
}

void lab_raw_send(int fd, const void *bytes, size_t len)
{
    assert_int_equal(send(fd, bytes, len, 0), (ssize_t)len);
}

static bool lab_raw_next(int fd, uint8_t frame[4096], ssize_t *len, int milliseconds)
{
    struct sockaddr_ll from;
    for (;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        socklen_t from_len = sizeof from;
        if (poll(&wait, 1, milliseconds) != 1)
            return false;
        *len = recvfrom(fd, frame, 4096, 0, (struct sockaddr *)&from, &from_len);
        if (*len >= 0 && from.sll_pkttype != PACKET_OUTGOING) /* not our own */
            return true;
    }
}

bool lab_raw_expect(int fd, const void *start, size_t start_len, size_t len)
{
    uint8_t frame[4096];
    ssize_t got;
    while (lab_raw_next(fd, frame, &got, 1000))
        if ((size_t)got == len && !memcmp(frame, start, start_len))
            return true;
    return false;
}

bool lab_raw_silent(int fd, const void *start, size_t start_len)
{
    uint8_t frame[4096];
    ssize_t got;
    while (lab_raw_next(fd, frame, &got, 50))
        if ((size_t)got >= start_len && !memcmp(frame, start, start_len))
            return false;
    return true;
}
