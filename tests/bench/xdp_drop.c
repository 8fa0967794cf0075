/* SPDX-License-Identifier: BSD-3-Clause
 * xdp_drop [XDP-FILTER-OBJECT]: nanoseconds a packet of the program in the driver, by BPF_PROG_TEST_RUN, on
 * 64-byte UDP and TCP frames; beside a program that drops everything at once (what the harness costs), and
 * beside xdp-filter's by source address, whose object file libxdp1 brings along. One JSON object a round
 * to stdout. Run by tests/bench/xdp_rows.py as root; attaches nothing.
 */
#include "io/io_xdp.h"
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define ROUNDS        5
#define REPEAT        1000000
#define FRAME_BYTES   60 /* 64 with the checksum that the wire adds */
#define FILTER_FROM   1  /* xdp-filter's MAP_FLAG_SRC */
#define FILTER_OBJECT "/usr/lib/x86_64-linux-gnu/bpf/xdpfilt_alw_ip.o"

static const uint8_t source[4] = {198, 18, 77, 5}, ours[4] = {192, 0, 2, 1};

static void mapped(uint8_t out[16], const uint8_t address[4])
{
    memset(out, 0, 10);
    out[10] = out[11] = 0xff;
    memcpy(out + 12, address, 4);
}

static void frame_make(uint8_t frame[FRAME_BYTES], uint8_t proto, uint8_t tcp_flags)
{
    static const uint8_t head[] = {2, 0, 0,    0, 0, 1,  2, 0, 0, 0, 0, 2,
                                   8, 0, 0x45, 0, 0, 46, 0, 0, 0, 0, 64};
    memset(frame, 0, FRAME_BYTES);
    memcpy(frame, head, sizeof head);
    frame[23] = proto;
    memcpy(frame + 26, source, 4);
    memcpy(frame + 30, ours, 4);
    frame[35] = 7; /* ports 7 and 53 */
    frame[37] = 53;
    frame[39] = 26; /* UDP's length */
    if (proto == 6) {
        frame[46] = 5 << 4;
        frame[47] = tcp_flags;
    }
}

/* ns a packet; ends the program when the verdict is another one. */
static unsigned run(int program, const uint8_t frame[FRAME_BYTES], unsigned verdict,
                    const char *what)
{
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = FRAME_BYTES,
                .repeat = REPEAT);
    int bad = bpf_prog_test_run_opts(program, &options);
    if (bad || options.retval != verdict) {
        fprintf(stderr, "xdp_drop: %s: %s, verdict %u instead of %u\n", what, strerror(-bad),
                options.retval, verdict);
        exit(1);
    }
    return options.duration;
}

static struct io_drop_rule any_rule(void)
{
    return (struct io_drop_rule){.source_port_high = 65535, .destination_port_high = 65535};
}

/* n rules, of which the last is the one that the frame matches. */
static void use_prefixes(struct io_driver *d, unsigned n)
{
    static struct io_drop_rule rules[IO_DROP_RULES_MAX];
    for (unsigned i = 0; i < n; i++) {
        uint8_t address[4] = {10, (uint8_t)(i >> 8), (uint8_t)i, 0};
        rules[i] = any_rule();
        rules[i].proto = 17;
        rules[i].source_bits = 96 + (i + 1 < n ? 24 : 15);
        mapped(rules[i].source, i + 1 < n ? address : source);
    }
    if (io_driver_use_rules(d, rules, n) != TG_OK)
        exit(1);
}

static void use_port(struct io_driver *d)
{
    struct io_drop_rule rule = any_rule();
    rule.proto = 17;
    rule.destination_port_low = rule.destination_port_high = 53;
    if (io_driver_use_rules(d, &rule, 1) != TG_OK)
        exit(1);
}

static struct io_driver driver_open(void)
{
    struct io_driver d;
    char problem[256] = "";
    uint8_t address[1][16];
    int entries = 64, fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
    mapped(address[0], ours);
    if (io_driver_open(&d, problem) != TG_OK) {
        fprintf(stderr, "xdp_drop: %s\n", problem);
        exit(1);
    }
    /* nothing arrives at this socket in a test run: the verdict is what is measured */
    if (setsockopt(fd, SOL_XDP, XDP_RX_RING, &entries, sizeof entries) != 0 ||
        io_driver_set_socket(&d, 0, fd) != TG_OK ||
        io_driver_set_addresses(&d, (const uint8_t(*)[16])address, 1) != TG_OK)
        exit(1);
    return d;
}

/* xdp-filter as `xdp-filter load` and `xdp-filter ip -m src 198.18.77.5` would leave it; -1: not installed. */
static int filter_open(const char *path)
{
    struct bpf_object *object = bpf_object__open_file(path, NULL);
    struct bpf_map *map;
    uint64_t values[256];
    if (!object)
        return -1;
    bpf_object__for_each_map(map, object)(void) bpf_map__set_pin_path(map, NULL);
    struct bpf_program *program = bpf_object__next_program(object, NULL);
    if (bpf_object__load(object) != 0 || libbpf_num_possible_cpus() > 256)
        return -1;
    for (unsigned i = 0; i < 256; i++)
        values[i] = FILTER_FROM;
    int fd = bpf_object__find_map_fd_by_name(object, "filter_ipv4");
    if (fd < 0 || bpf_map_update_elem(fd, source, values, BPF_ANY) != 0)
        return -1;
    return bpf_program__fd(program);
}

static int drop_all_open(void)
{
    const struct bpf_insn drop[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = XDP_DROP},
                                    {.code = BPF_JMP | BPF_EXIT}};
    return bpf_prog_load(BPF_PROG_TYPE_XDP, "drop_all", "GPL", drop, 2, NULL);
}

int main(int argc, char **argv)
{
    uint8_t udp[FRAME_BYTES], bad_syn[FRAME_BYTES];
    struct io_driver d = driver_open();
    int ours_fd = bpf_program__fd(bpf_object__find_program_by_name(d.object, "tidegate_xdp"));
    int filter = filter_open(argc > 1 ? argv[1] : FILTER_OBJECT), all = drop_all_open();
    frame_make(udp, 17, 0);
    frame_make(bad_syn, 6, 3);
    if (filter < 0 || all < 0) {
        fprintf(stderr, "xdp_drop: the program to compare with does not load (package libxdp1)\n");
        return 1;
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        printf("{\"all\": %u", run(all, udp, XDP_DROP, "drop all"));
        printf(", \"xdp_filter\": %u", run(filter, udp, XDP_DROP, "xdp-filter"));
        use_prefixes(&d, 1);
        printf(", \"prefix\": %u", run(ours_fd, udp, XDP_DROP, "one prefix"));
        use_prefixes(&d, IO_DROP_RULES_MAX);
        printf(", \"prefixes\": %u", run(ours_fd, udp, XDP_DROP, "1024 prefixes"));
        use_port(&d);
        printf(", \"port\": %u", run(ours_fd, udp, XDP_DROP, "a port"));
        printf(", \"malformed\": %u", run(ours_fd, bad_syn, XDP_DROP, "SYN+FIN"));
        if (io_driver_use_rules(&d, NULL, 0) != TG_OK)
            return 1;
        printf(", \"pass\": %u}\n", run(ours_fd, udp, XDP_REDIRECT, "no rule"));
        fflush(stdout);
    }
    io_driver_close(&d);
    return 0;
}
