/* SPDX-License-Identifier: BSD-3-Clause
 * Opening and closing AF_XDP ports: what refuses says why and leaves nothing, what dies leaves nothing, what
 * drops its rights goes on. In a namespace of the test's own; needs root, a missing right fails.
 */
#include "io/io_xdp_lab.h"
// clang-format off
#include "io/io_xdp.h"
// clang-format on
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char problem[256];

static struct io_config config_of(unsigned workers, unsigned queues)
{
    struct io_config config = {
        .workers = workers,
        .ports = {{.device = LAB_OURS, .queues = queues, .address_count = 1}},
        .port_count = 1,
        .buffers = 1024,
    };
    lab_address4(config.ports[0].addresses[0], LAB_EDGE4);
    return config;
}

/* The id of the XDP program on our end; 0: none. A link's end is worked off in the background. */
static uint32_t program_id(void)
{
    uint32_t id = 0;
    assert_int_equal(bpf_xdp_query_id((int)if_nametoindex(LAB_OURS), 0, &id), 0);
    return id;
}

static bool program_goes(void)
{
    for (unsigned i = 0; i < 200 && program_id(); i++)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    return program_id() == 0;
}

static unsigned open_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;
    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

/* Opening fails with a sentence that holds both words; afterwards there is no file and no program more. */
static void refused(const struct io_config *config, enum tg_err expect, const char *a,
                    const char *b)
{
    struct io_host *host = NULL;
    unsigned files = open_files();
    uint32_t id = program_id();
    problem[0] = '\0';
    assert_int_equal(io_host_open(config, &host, problem), expect);
    assert_null(host);
    if (!strstr(problem, a) || !strstr(problem, b))
        fail_msg("\"%s\" does not speak of \"%s\" and \"%s\"", problem, a, b);
    assert_int_equal(open_files(), files);
    assert_true(id ? program_id() == id : program_goes());
}

static struct io_host *opened(const struct io_config *config)
{
    struct io_host *host = NULL;
    enum tg_err result = io_host_open(config, &host, problem);
    if (result != TG_OK)
        fail_msg("%s: %s", tg_err_name(result), problem);
    assert_true(program_id() != 0);
    return host;
}

static int make_network(void **state)
{
    return lab_network() ? 0 : -1;
}

static void impossible_numbers(void **state)
{
    struct io_config config = config_of(0, 1);
    refused(&config, TG_BAD_CONFIG, "workers", "possible");
    config = config_of(17, 1);
    refused(&config, TG_BAD_CONFIG, "1..16 workers", "");
    config = config_of(1, 1);
    config.port_count = 0;
    refused(&config, TG_BAD_CONFIG, "1..4 ports", "");
}

static void interface_that_is_not_there(void **state)
{
    struct io_config config = config_of(1, 1);
    config.ports[0].device = "nothere0";
    refused(&config, TG_NOT_FOUND, "no interface nothere0", "ip link");
    config.ports[0].device = "net_tap0,iface=tgt0"; /* the other build's */
    refused(&config, TG_NOT_FOUND, "net_tap0,iface=tgt0", "wants an interface's name");
}

static void interface_that_is_down(void **state)
{
    const struct io_config config = config_of(1, 1);
    lab_run((const char *[]){"ip", "link", "set", LAB_OURS, "down", NULL});
    refused(&config, TG_SYSTEM, "is down", "ip link set dev tgx0 up");
    lab_run((const char *[]){"ip", "link", "set", LAB_OURS, "up", NULL});
}

static void interface_with_a_smaller_mtu(void **state)
{
    struct io_config config = config_of(1, 1);
    lab_run((const char *[]){"ip", "link", "set", LAB_OURS, "mtu", "1400", NULL});
    refused(&config, TG_SYSTEM, "MTU of 1400", "mtu 1500");
    config.ports[0].mtu = 1400;
    io_host_close(opened(&config));
    assert_true(program_goes());
    lab_run((const char *[]){"ip", "link", "set", LAB_OURS, "mtu", "1500", NULL});
}

/* An XDP program of somebody else's: mov r0, XDP_PASS; exit. */
static void another_program_on_the_interface(void **state)
{
    const struct io_config config = config_of(1, 1);
    const struct bpf_insn pass[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = XDP_PASS},
                                    {.code = BPF_JMP | BPF_EXIT}};
    int index = (int)if_nametoindex(LAB_OURS);
    int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "somebodys", "GPL", pass, 2, NULL);
    assert_true(fd >= 0);
    static const uint32_t modes[] = {XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE};
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(bpf_xdp_attach(index, fd, modes[i], NULL), 0);
        refused(&config, TG_SYSTEM, "somebodys", "ip link set dev tgx0 xdp off");
        assert_int_equal(bpf_xdp_detach(index, modes[i], NULL), 0);
    }
    close(fd);
}

static void another_tidegate_on_the_interface(void **state)
{
    const struct io_config config = config_of(1, 1);
    struct io_host *first = opened(&config);
    refused(&config, TG_SYSTEM, "another tidegate", "stop that one");
    io_host_close(first);
    assert_true(program_goes());
}

static void queue_of_another_socket(void **state)
{
    const struct io_config config = config_of(1, 1);
    const struct xsk_socket_config inhibit = {
        .rx_size = 64, .tx_size = 64, .libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD};
    const struct xsk_umem_config frames = {.fill_size = 64, .comp_size = 64, .frame_size = 4096};
    struct xsk_ring_prod fill, tx;
    struct xsk_ring_cons completion, rx;
    struct xsk_umem *umem;
    struct xsk_socket *xsk;
    void *area = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_int_equal(xsk_umem__create(&umem, area, 1 << 20, &fill, &completion, &frames), 0);
    int bad = -EBUSY; /* while the queue of the test before is being freed */
    for (unsigned i = 0; i < 100 && bad == -EBUSY; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        bad = xsk_socket__create(&xsk, LAB_OURS, 0, umem, &rx, &tx, &inhibit);
    }
    assert_int_equal(bad, 0);
    refused(&config, TG_SYSTEM, "queue 0", "another AF_XDP socket");
    xsk_socket__delete(xsk);
    assert_int_equal(xsk_umem__delete(umem), 0);
    io_host_close(opened(&config)); /* freed in the background: opening waits for it */
    assert_true(program_goes());
    munmap(area, 1 << 20);
}

/* A child that does `work`, writes its result to *ready (0: well) and lives on until it is killed. */
static pid_t child(int (*work)(void), int *ready)
{
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char result = (char)work();
        if (write(pipes[1], &result, 1) == 1)
            pause();
        _exit(1);
    }
    close(pipes[1]);
    *ready = pipes[0];
    return pid;
}

static int work_open(void)
{
    const struct io_config config = config_of(1, 1);
    struct io_host *host;
    return io_host_open(&config, &host, problem) == TG_OK ? 0 : 1;
}

/* kill -9 leaves no program behind, and the next start need not wait for anybody. */
static void killed_process_leaves_nothing(void **state)
{
    const struct io_config config = config_of(1, 1);
    for (unsigned round = 0; round < 5; round++) {
        char c;
        int ready, status;
        pid_t pid = child(work_open, &ready);
        assert_int_equal(read(ready, &c, 1), 1);
        assert_int_equal(c, 0);
        assert_true(program_id() != 0);
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        close(ready);
        if (round % 2)
            assert_true(program_goes());
        io_host_close(opened(&config));
        assert_true(program_goes());
    }
}

static int run_child(int (*work)(void))
{
    int ready, status;
    char result;
    pid_t pid = child(work, &ready);
    assert_int_equal(read(ready, &result, 1), 1);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    close(ready);
    return result;
}

static int work_without_rights(void)
{
    const struct io_config config = config_of(1, 1);
    struct io_host *host;
    if (setgid(65534) != 0 || setuid(65534) != 0)
        return 2;
    if (io_host_open(&config, &host, problem) != TG_SYSTEM)
        return 3;
    return strstr(problem, "no right to load an XDP program") ? 0 : 4;
}

static void missing_rights_are_named(void **state)
{
    assert_int_equal(run_child(work_without_rights), 0);
    assert_true(program_goes());
}

/* tidegate opens as root and becomes somebody else: rules still go down, hits come up, and closing takes
 * the program off. */
static int work_drop_rights(void)
{
    const struct io_config config = config_of(2, 1);
    struct io_drop_rule rule = {
        .source_bits = 128, .source_port_high = 65535, .destination_port_high = 65535};
    struct stats stats = {0};
    struct io_host *host;
    struct io *io;
    lab_address4(rule.source, LAB_CLIENT4);
    if (io_host_open(&config, &host, problem) != TG_OK || setgid(65534) != 0 || setuid(65534) != 0)
        return 2;
    if (io_open(host, 0, &stats, &io) != TG_OK || io_host_use_rules(host, &rule, 1) != TG_OK)
        return 3;
    if (io_host_rule_hits(host, 0) != 0 || io_host_use_rules(host, NULL, 0) != TG_OK)
        return 4;
    io_close(io);
    io_host_close(host);
    return 0;
}

static void dropped_rights_are_not_missed(void **state)
{
    assert_int_equal(run_child(work_drop_rights), 0);
    assert_true(program_goes());
}

static void pair_with_queues(const char *n)
{
    lab_run((const char *[]){"ip", "link", "del", LAB_OURS, NULL});
    lab_run((const char *[]){"ip", "link", "add", LAB_OURS, "numrxqueues", n, "numtxqueues", n,
                             "type", "veth", "peer", "name", LAB_PEER, "numrxqueues", n,
                             "numtxqueues", n, NULL});
    lab_run((const char *[]){"ip", "link", "set", LAB_OURS, "up", NULL});
    lab_run((const char *[]){"ip", "link", "set", LAB_PEER, "up", NULL});
}

/* An interface that spreads over more queues than we serve would lose every packet of the rest. */
static void more_queues_than_served(void **state)
{
    struct io_config config = config_of(2, 2);
    pair_with_queues("4");
    refused(&config, TG_SYSTEM, "over 4 queues and 2", "ethtool -L tgx0 combined 2");
    config = config_of(2, 1);
    refused(&config, TG_SYSTEM, "over 4 queues and 1", "ethtool");
}

/* Each worker has its queue and its socket over the one UMEM; what one frees was received by the other. */
static void two_queues_two_sockets(void **state)
{
    const struct io_config config = config_of(2, 2);
    struct stats stats[2] = {0};
    struct io *io[2];
    pair_with_queues("2");
    struct io_host *host = opened(&config);
    for (unsigned w = 0; w < 2; w++)
        assert_int_equal(io_open(host, w, &stats[w], &io[w]), TG_OK);
    assert_int_equal(io_caps(io[0], 0)->queues, 2);
    int peer = lab_raw_open(LAB_PEER);
    unsigned got = 0;
    for (unsigned round = 0; round < 40; round++) {
        for (uint16_t flow = 0; flow < 64; flow++) {
            struct lab_packet p = lab_udp4((uint16_t)(1000 + flow), 53, 10, 1);
            lab_raw_send(peer, p.bytes, p.len);
        }
        for (unsigned turn = 0; turn < 20; turn++)
            for (unsigned w = 0; w < 2; w++) {
                struct buf *burst[TG_BURST];
                unsigned n = io_rx(io[w], burst, TG_BURST);
                got += n;
                for (unsigned i = 0; i < n; i++)
                    buf_unref(io_pool(io[1 - w]), burst[i]);
            }
    }
    assert_true(got > 64 * 39); /* the last may still be under way */
    assert_true(stats[0].value[TG_C_io_rx_packets] > 0);
    assert_true(stats[1].value[TG_C_io_rx_packets] > 0);
    for (unsigned w = 0; w < 2; w++) {
        struct buf *b = buf_alloc(io_pool(io[w]));
        struct lab_packet p = lab_udp4((uint16_t)w, 5353, 100, 0xee);
        memcpy(buf_put(b, p.len), p.bytes, p.len);
        io_tx(io[w], &b, 1);
        io_flush(io[w]);
        assert_true(lab_raw_expect(peer, p.bytes, p.len, p.len));
    }
    assert_int_equal(io_pool(io[0])->in_use + io_pool(io[1])->in_use, 0);
    for (unsigned w = 0; w < 2; w++)
        io_close(io[w]);
    io_host_close(host);
    close(peer);
    assert_true(program_goes());
}

/* One worker, two interfaces: frames of one UMEM go in at one and out at the other, each has its program. */
static void two_ports_share_the_frames(void **state)
{
    struct io_config config = config_of(1, 1);
    struct stats stats = {0};
    struct io *io;
    pair_with_queues("1");
    lab_run((const char *[]){"ip", "link", "add", "tgy0", "type", "veth", "peer", "name", "tgy1",
                             NULL});
    lab_run((const char *[]){"ip", "link", "set", "tgy0", "up", NULL});
    lab_run((const char *[]){"ip", "link", "set", "tgy1", "up", NULL});
    config.port_count = 2;
    config.ports[1] = config.ports[0];
    config.ports[1].device = "tgy0";
    lab_address4(config.ports[1].addresses[0], LAB_OTHER4);
    struct io_host *host = opened(&config);
    assert_int_equal(io_open(host, 0, &stats, &io), TG_OK);
    int peers[2] = {lab_raw_open(LAB_PEER), lab_raw_open("tgy1")};
    uint8_t udp[30] = {1, 2, 3, 4, 0, 30};
    const uint32_t ours[2] = {LAB_EDGE4, LAB_OTHER4};
    for (unsigned round = 0; round < 3000; round++) {
        unsigned in = round % 2;
        struct buf *b = NULL;
        udp[20] = (uint8_t)round;
        struct lab_packet other = lab_ip4(LAB_CLIENT4, ours[1 - in], 17, udp, sizeof udp);
        struct lab_packet p = lab_ip4(LAB_CLIENT4, ours[in], 17, udp, sizeof udp);
        lab_raw_send(peers[in], other.bytes, other.len); /* not this port's: to the kernel */
        lab_raw_send(peers[in], p.bytes, p.len);
        for (unsigned i = 0; i < 20000 && io_rx(io, &b, 1) == 0; i++)
            nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
        assert_non_null(b);
        assert_int_equal(b->port, in);
        assert_memory_equal(b->data, p.bytes, p.len);
        b->port = (uint8_t)(1 - in);
        b->data[0] = 0x32;
        io_tx(io, &b, 1);
        io_flush(io);
        assert_true(lab_raw_expect(peers[1 - in], b->data, 20, p.len));
    }
    assert_int_equal(io_pool(io)->in_use, 0);
    io_close(io);
    io_host_close(host);
    close(peers[0]);
    close(peers[1]);
    lab_run((const char *[]){"ip", "link", "del", "tgy0", NULL});
    assert_true(program_goes());
}

/* A device whose driver knows no XDP: the kernel's generic path behind it serves, in both directions. */
static void driver_without_xdp(void **state)
{
    struct io_config config = config_of(1, 1);
    struct stats stats = {0};
    struct io *io;
    struct buf *b = NULL;
    pair_with_queues("1");
    lab_run((const char *[]){"ip", "link", "add", "link", LAB_OURS, "name", "tgm0", "type",
                             "macvlan", "mode", "bridge", NULL});
    lab_run((const char *[]){"ip", "link", "set", "tgm0", "up", NULL});
    config.ports[0].device = "tgm0";
    struct io_host *host = NULL;
    if (io_host_open(&config, &host, problem) != TG_OK)
        fail_msg("%s", problem);
    assert_true(host->ports[0].driver.generic);
    assert_int_equal(io_open(host, 0, &stats, &io), TG_OK);
    int peer = lab_raw_open(LAB_PEER);
    struct lab_packet p = lab_udp4(1000, 53, 100, 0x77);
    memcpy(p.bytes, io_caps(io, 0)->mac, 6); /* a macvlan looks at it */
    lab_raw_send(peer, p.bytes, p.len);
    for (unsigned i = 0; i < 20000 && io_rx(io, &b, 1) == 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
    assert_non_null(b);
    assert_int_equal(b->len, p.len);
    assert_memory_equal(b->data, p.bytes, p.len);
    assert_true(buf_headroom(b) >= BUF_HEADROOM);
    memcpy(b->data + 6, b->data, 6);
    memset(b->data, 0xff, 6);
    memcpy(p.bytes, b->data, 12);
    io_tx(io, &b, 1);
    io_flush(io);
    assert_true(lab_raw_expect(peer, p.bytes, p.len, p.len));
    io_close(io);
    io_host_close(host);
    close(peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(impossible_numbers),
        cmocka_unit_test(interface_that_is_not_there),
        cmocka_unit_test(interface_that_is_down),
        cmocka_unit_test(interface_with_a_smaller_mtu),
        cmocka_unit_test(another_program_on_the_interface),
        cmocka_unit_test(another_tidegate_on_the_interface),
        cmocka_unit_test(queue_of_another_socket),
        cmocka_unit_test(killed_process_leaves_nothing),
        cmocka_unit_test(missing_rights_are_named),
        cmocka_unit_test(dropped_rights_are_not_missed),
        cmocka_unit_test(more_queues_than_served),
        cmocka_unit_test(two_queues_two_sockets),
        cmocka_unit_test(two_ports_share_the_frames),
        cmocka_unit_test(driver_without_xdp),
    };
    return cmocka_run_group_tests(tests, make_network, NULL);
}
