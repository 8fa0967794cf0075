/* SPDX-License-Identifier: BSD-3-Clause
 * Super-segments through a DPDK driver that takes them: net_virtio_user here, net_vhost as the host in another process,
 * which sees what a host's kernel would: one packet, its segment size, and a checksum to be completed. EAL starts once
 * a process, so the child is forked first.
 */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "io/io_dpdk.h"
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PIECES = 4, SEGMENT = 1400, LAST = 600, TCP_BYTES = 20, PATIENCE = 20000 };

/* What the host saw of a packet. */
struct seen {
    uint32_t len, segment_bytes;
    uint16_t checksum; /* as it stands in the TCP header */
    bool whole;        /* marked as several segments in one (LRO), and the payload is right */
};

static char directory[] = "/tmp/tidegate-tso-XXXXXX", device[2][128];
static struct io_host *host;
static struct io *io;
static struct stats stats;
static int from_host;
static pid_t child;

static uint16_t ip_bytes(unsigned version)
{
    return version == 4 ? 20 : 40;
}

static uint32_t payload_bytes(void)
{
    return (PIECES - 1) * SEGMENT + LAST;
}

static bool port_open(const char *name)
{
    static const uint8_t key[52] = {1};
    char problem[256] = "";
    const struct io_config config = {.workers = 1,
                                     .ports = {{.device = name}},
                                     .port_count = 1,
                                     .buffers = 4096,
                                     .rss_key = key};
    if (io_host_open(&config, &host, problem) != TG_OK || io_open(host, 0, &stats, &io) != TG_OK) {
        print_error("%s: %s\n", name, problem);
        return false;
    }
    return true;
}

/* --- the host ------------------------------------------------------------------------------------------- */

static bool payload_good(const struct buf *b, uint32_t headers)
{
    uint32_t at = 0;
    for (; b; b = b->next)
        for (uint32_t i = 0; i < b->len; i++, at++)
            if (at >= headers && b->data[i] != 'a' + (at - headers) / SEGMENT)
                return false;
    return at == headers + payload_bytes();
}

static void host_see(int out, struct buf *b)
{
    const struct rte_mbuf *m = io_mbuf_of(b);
    unsigned version = b->data[14] >> 4;
    uint32_t tcp = 14u + ip_bytes(version);
    struct seen seen = {
        .len = m->pkt_len,
        .segment_bytes = m->tso_segsz,
        .checksum = (uint16_t)(b->data[tcp + 16] << 8 | b->data[tcp + 17]),
        .whole = m->ol_flags & RTE_MBUF_F_RX_LRO && payload_good(b, tcp + TCP_BYTES),
    };
    (void)!write(out, &seen, sizeof seen);
}

/* Report packets until the parent hangs up. */
static int host_run(int out, int hang_up)
{
    struct buf *burst[TG_BURST];
    if (!port_open(device[0]) || write(out, &(char){0}, 1) != 1)
        return 1;
    struct pollfd parent = {.fd = hang_up, .events = POLLIN};
    while (poll(&parent, 1, 1) == 0) {
        unsigned n = io_rx(io, burst, TG_BURST);
        for (unsigned i = 0; i < n; i++) {
            host_see(out, burst[i]);
            buf_unref(io_pool(io), burst[i]);
        }
    }
    return 0;
}

static int open_both(void **state)
{
    int out[2], hang_up[2];
    char ready;
    if (!mkdtemp(directory) || pipe(out) != 0 || pipe(hang_up) != 0)
        return -1;
    snprintf(device[0], sizeof device[0], "net_vhost0,iface=%s/s,tso=1", directory);
    snprintf(device[1], sizeof device[1], "net_virtio_user0,path=%s/s,queue_size=256", directory);
    child = fork();
    if (child == 0) {
        close(hang_up[1]);
        _exit(host_run(out[1], hang_up[0]));
    }
    close(out[1]);
    close(hang_up[0]);
    from_host = out[0];
    *state = (void *)(intptr_t)hang_up[1];
    if (read(from_host, &ready, 1) != 1 || !port_open(device[1]))
        return -1;
    nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL); /* the two ends settle */
    return 0;
}

static int close_both(void **state)
{
    int status = 0;
    io_close(io); /* first: the driver talks to the host when it ends */
    io_host_close(host);
    close((int)(intptr_t)*state);
    waitpid(child, &status, 0);
    char path[160];
    snprintf(path, sizeof path, "%s/s", directory);
    unlink(path);
    rmdir(directory);
    return status;
}

/* --- the stack's side -------------------------------------------------------------------------------------- */

/* Headers as net writes them: one length for all, the transport's checksum that of a pseudo-header without length. */
static struct buf *headers_make(unsigned version)
{
    struct buf *b = buf_alloc(io_pool(io));
    uint16_t ip = ip_bytes(version), total = (uint16_t)(TCP_BYTES + payload_bytes());
    uint8_t *p = buf_put(b, (uint16_t)(14 + ip + TCP_BYTES));
    memset(p, 0, b->len);
    p[12] = version == 4 ? 0x08 : 0x86, p[13] = version == 4 ? 0x00 : 0xdd;
    p[14] = version == 4 ? 0x45 : 0x60;
    uint16_t length = version == 4 ? (uint16_t)(total + ip) : total;
    p[version == 4 ? 16 : 18] = (uint8_t)(length >> 8);
    p[version == 4 ? 17 : 19] = (uint8_t)length;
    p[version == 4 ? 23 : 20] = 6;
    p[14 + ip + 12] = TCP_BYTES / 4 << 4;
    p[14 + ip + 17] = 6; /* addresses are zero: the protocol is all there is */
    b->l3 = 14;
    b->l4 = (uint16_t)(14 + ip);
    b->ip_version = (uint8_t)version;
    b->ip_proto = 6;
    b->flags |= BUF_TX_L4_CSUM;
    b->segments = PIECES;
    b->super.segment_bytes = SEGMENT;
    return b;
}

static void super_send(struct buf *keep[PIECES], unsigned version)
{
    struct buf *frame = headers_make(version), *at = frame;
    for (unsigned i = 0; i < PIECES; i++) {
        keep[i] = buf_alloc(io_pool(io));
        uint16_t bytes = i + 1 < PIECES ? SEGMENT : LAST;
        memset(buf_put(keep[i], bytes), 'a' + (int)i, bytes);
        at = at->next = buf_ref(keep[i]);
    }
    assert_int_equal(io_tx(io, &frame, 1), 1);
    io_flush(io);
}

static bool seen_take(struct seen *seen)
{
    struct pollfd wait = {.fd = from_host, .events = POLLIN};
    return poll(&wait, 1, PATIENCE) == 1 && read(from_host, seen, sizeof *seen) == sizeof *seen;
}

static void a_super_segment_reaches_the_host_as_one(unsigned version)
{
    struct buf *keep[PIECES];
    struct seen seen;
    uint64_t frames = stats.value[TG_C_io_tx_tso_frames];
    super_send(keep, version);
    assert_true(seen_take(&seen));
    assert_int_equal(seen.len, 14u + ip_bytes(version) + TCP_BYTES + payload_bytes());
    assert_int_equal(seen.segment_bytes, SEGMENT);
    assert_int_equal(seen.checksum, 6 + TCP_BYTES + payload_bytes()); /* the driver adds it */
    assert_true(seen.whole);
    assert_int_equal(stats.value[TG_C_io_tx_tso_frames], frames + 1);
    assert_int_equal(stats.value[TG_C_io_tx_refused], 0);
    for (unsigned i = 0; i < PIECES; i++) { /* ours alone again, but for the port's hold */
        assert_int_equal(keep[i]->refs, 1);
        assert_null(keep[i]->next);
        assert_true(keep[i]->flags & BUF_PORT_HOLDS);
        buf_unref(io_pool(io), keep[i]);
    }
}

static void over_ip4(void **state)
{
    a_super_segment_reaches_the_host_as_one(4);
}

static void over_ip6(void **state)
{
    a_super_segment_reaches_the_host_as_one(6);
}

static void the_port_says_that_it_can(void **state)
{
    assert_true(io_caps(io, 0)->tx_l4_checksum && io_caps(io, 0)->tx_chains);
    assert_int_equal(io_caps(io, 0)->tso_bytes_max, 65000);
    assert_true(io_caps(io, 0)->tso_segments_max >= 45);
}

/* Ten rings full: what the queue has given up already goes home by the port alone. */
static void pieces_come_home(void **state)
{
    struct buf *keep[PIECES];
    struct seen seen;
    for (unsigned round = 0; round < 2560; round++) {
        super_send(keep, 4);
        for (unsigned i = 0; i < PIECES; i++)
            buf_unref(io_pool(io), keep[i]);
        assert_true(seen_take(&seen));
        assert_true(seen.whole);
    }
    assert_int_equal(stats.value[TG_C_io_tx_full], 0);
    assert_int_equal(stats.value[TG_C_io_pool_empty], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_port_says_that_it_can),
        cmocka_unit_test(over_ip4),
        cmocka_unit_test(over_ip6),
        cmocka_unit_test(pieces_come_home),
    };
    return cmocka_run_group_tests(tests, open_both, close_both);
}
