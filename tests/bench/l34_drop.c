/* SPDX-License-Identifier: BSD-3-Clause
 * Bench l34.drop_64b: the real worker loop over net_null, every frame a valid 64-byte UDP packet that the
 * last of RULES drop rules matches. net_null hands out frames with whatever bytes lie in them, so each
 * frame of the pool is written once before: parse, checksum, hash and rules then do real work.
 *
 *   l34_drop DEVICE RULES SECONDS CPU HUGEPAGES     e.g. l34_drop net_null0,size=64 1 2 0 1
 *
 * Prints {"packets", "dropped_by_rule", "seconds", "mpps"}; fails when a packet went another way.
 */
#include "worker/worker.h"
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define BENCH_FRAME_BYTES 64
#define BENCH_BUFFERS     8192

struct bench {
    struct io_host *host;
    struct io *io;
    struct worker *worker;
    struct stats stats;
    struct toeplitz toeplitz;
    struct tables_rules *rules;
};

static struct ip_addr bench_address(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
    const uint8_t bytes[4] = {a, b, c, d};
    return ip_addr_from4(bytes);
}

/* One Ethernet frame without FCS padding beyond 64 bytes: UDP from 198.51.100.9 to the appliance. */
static void bench_write_frame(struct buf *b, const uint8_t mac[6])
{
    const struct ip_emit ip = {.source = bench_address(198, 51, 100, 9),
                               .destination = bench_address(192, 0, 2, 1),
                               .proto = IP_PROTO_UDP};
    static const uint8_t peer[6] = {2, 0, 0, 0, 0, 9};
    const unsigned payload = BENCH_FRAME_BYTES - ETH_BYTES - IP4_BYTES;
    uint8_t *udp = buf_put(b, (uint16_t)payload);
    memset(udp, 0, payload);
    wire_put16(udp, 5353);
    wire_put16(udp + 2, 53);
    wire_put16(udp + 4, (uint16_t)payload);
    wire_emit_l4_checksum(b, &ip, 6, false);
    wire_emit_ip(b, &ip, false);
    wire_emit_ethernet(b, mac, peer, ETHERTYPE_IP4);
}

/* A fresh buffer's data starts where the port's next receive will put it: write the frame so that it
 * begins there, by leaving room for the headers in front of the payload. */
static void bench_write_all_frames(struct bench *bench)
{
    struct buf_queue all = {0};
    for (struct buf *b; (b = buf_alloc(io_pool(bench->io)));) {
        b->data += ETH_BYTES + IP4_BYTES;
        bench_write_frame(b, io_caps(bench->io, 0)->mac);
        buf_queue_push(&all, b);
    }
    for (struct buf *b; (b = buf_queue_pop(&all));)
        buf_unref(io_pool(bench->io), b);
    buf_pool_flush(io_pool(bench->io));
}

static void bench_make_rules(struct bench *bench, unsigned count)
{
    size_t bytes = sizeof *bench->rules + count * sizeof bench->rules->rules[0];
    bench->rules = calloc(1, bytes);
    bench->rules->header = (struct tables_header){TABLES_RULES, (uint32_t)bytes, 1};
    bench->rules->count = count;
    for (unsigned i = 0; i < count; i++) {
        struct tables_rule *rule = &bench->rules->rules[i];
        struct ip_addr source = bench_address(198, 51, i + 1 == count ? 100 : 101, (uint8_t)i);
        *rule = (struct tables_rule){.id = i + 1,
                                     .slot = i,
                                     .source_bits = i + 1 == count ? 96 + 24 : 96 + 32,
                                     .source_port_high = 65535,
                                     .destination_port_high = 65535};
        if (i + 1 == count)
            source.bytes[15] = 0;
        memcpy(rule->source, source.bytes, 16);
    }
    tg_assert(tables_rules_valid(bench->rules, bytes));
}

static bool bench_make(struct bench *bench, const char *device, unsigned rules, bool hugepages)
{
    static const uint8_t key[TOEPLITZ_KEY_BYTES] = {0x6d, 0x5a, 0x56, 0xda};
    char problem[256];
    const struct io_config io = {.workers = 1,
                                 .ports = {{.device = device}},
                                 .port_count = 1,
                                 .buffers = BENCH_BUFFERS,
                                 .hugepages = hugepages,
                                 .rss_key = key};
    if (io_host_open(&io, &bench->host, problem) != TG_OK) {
        fprintf(stderr, "l34_drop: %s\n", problem);
        return false;
    }
    if (io_open(bench->host, 0, &bench->stats, &bench->io) != TG_OK)
        return false;
    toeplitz_init(&bench->toeplitz, key);
    const struct worker_config config = {
        .workers = 1,
        .net = {.addresses = {{bench_address(192, 0, 2, 1), 96 + 24, 0}}, .address_count = 1},
        .tcp = {.connections_max = 1024,
                .half_open_max = 256,
                .time_wait_max = 1024,
                .receive_window_max = 65536,
                .send_buffer_max = 65536,
                .unsent_low = 16384,
                .ooo_segments_max = 64},
        .proxy = {.clients_max = 512, .requests_max = 64, .origins_max = 512, .via = "bench"},
        .seed = 1,
        .toeplitz = &bench->toeplitz,
    };
    if (worker_create(&config, bench->io, &bench->stats, NULL, NULL, &bench->worker) != TG_OK)
        return false;
    bench_make_rules(bench, rules);
    return worker_use_table(bench->worker, TABLES_RULES, bench->rules, 1) == TG_OK;
}

int main(int argc, char **argv)
{
    static struct bench bench;
    if (argc != 6) {
        fprintf(stderr, "usage: l34_drop DEVICE RULES SECONDS CPU HUGEPAGES\n");
        return 2;
    }
    unsigned rules = (unsigned)strtoul(argv[2], NULL, 10);
    unsigned seconds = (unsigned)strtoul(argv[3], NULL, 10);
    if (rules < 1 || rules > 256 || seconds < 1 || seconds > 60)
        return 2;
    if (!bench_make(&bench, argv[1], rules, argv[5][0] == '1'))
        return 1;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((unsigned)strtoul(argv[4], NULL, 10), &set);
    (void)sched_setaffinity(0, sizeof set, &set);
    tg_ns start = io_now(bench.io), now = start;
    for (; now - start < 300 * TG_MS; now = io_now(bench.io)) /* our address is announced */
        (void)worker_poll(bench.worker, 0);
    bench_write_all_frames(&bench);
    uint64_t packets = bench.stats.value[TG_C_io_rx_packets];
    uint64_t dropped = bench.stats.value[TG_C_filter_rule];
    start = now = io_now(bench.io);
    while (now - start < seconds * TG_S) {
        for (unsigned i = 0; i < 1000; i++)
            (void)worker_poll(bench.worker, 0);
        now = io_now(bench.io);
    }
    packets = bench.stats.value[TG_C_io_rx_packets] - packets;
    dropped = bench.stats.value[TG_C_filter_rule] - dropped;
    double elapsed = (double)(now - start) / 1e9;
    printf("{\"packets\": %lu, \"dropped_by_rule\": %lu, \"seconds\": %.3f, \"mpps\": %.3f}\n",
           (unsigned long)packets, (unsigned long)dropped, elapsed,
           (double)dropped / elapsed / 1e6);
    for (unsigned c = 0; packets != dropped && c < TG_COUNTER_COUNT; c++)
        if (bench.stats.value[c])
            fprintf(stderr, "l34_drop: %s %lu\n", stats_name(c),
                    (unsigned long)bench.stats.value[c]);
    return packets == dropped && packets > 0 ? 0 : 1;
}
