/* SPDX-License-Identifier: BSD-3-Clause
 * The TCP stack alone, in memory, one core, no TLS: tcp_bench ROW [ARGUMENT]. Prints one JSON object. Rates are what our
 * side alone could do: its cycles only (parse, tcp, application, output), not those that make and read the peer's frames;
 * of the median slice (samples.h).
 *
 *   exchange FLOWS     request of 64 bytes, answer of 100, on random ones of FLOWS connections (active parts: at most 65,536)
 *   connect            connect, request, answer, close by us
 *   bulk               send and receive 1,448-byte segments
 *   idle FLOWS         resident bytes a connection, then look-ups on random ones
 *   flood RATE         exchange on 1,000 flows, so many SYNs of strangers a second in between
 */
#include "tests/bench/tcp_bench.h"
#include "tcp/tcp_internal.h"
#include <stdio.h>
#include <stdlib.h>

#define FLOOD_SLICES  1000u
#define FLOOD_ROUNDS  128u
#define LOOKUP_SLICES 2000u

static void strangers_knock(struct bench *b, struct buf *burst[], unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint32_t stranger = 0x40000000u + (uint32_t)prng_below(&b->rng, 1u << 28);
        struct node_segment syn = {.tuple = node_tuple(&b->node, stranger),
                                   .seq = (uint32_t)prng_next(&b->rng),
                                   .window = 0xffff,
                                   .flags = TCP_SYN,
                                   .options = true};
        burst[i] = node_frame(&b->node, &syn);
    }
}

/* Request, answer, ACK of the answer, on random flows; a burst of each, and `syns` of strangers beside the requests.
 * Returns how many were answered. */
static uint64_t exchanges(struct bench *b, unsigned rounds, unsigned syns)
{
    struct buf *burst[2 * BURST];
    uint32_t flows[BURST], step = b->count / BURST;
    uint64_t answered = 0;
    for (unsigned r = 0; r < rounds; r++) {
        uint32_t start = (uint32_t)prng_below(&b->rng, b->count);
        for (unsigned i = 0; i < BURST; i++) {
            flows[i] = (start + i * step + i * 7919 % step) % b->count;
            struct node_segment s = segment(b, flows[i], TCP_ACK | TCP_PSH, REQUEST);
            burst[i] = node_frame(&b->node, &s);
            b->flows[flows[i]].seq += REQUEST;
        }
        strangers_knock(b, burst + BURST, syns);
        answered += turn(b, burst, BURST + syns, app_server) / ANSWER;
        for (unsigned i = 0; i < BURST; i++) {
            struct node_segment s = segment(b, flows[i], TCP_ACK, 0);
            burst[i] = node_frame(&b->node, &s);
        }
        answered += turn(b, burst, BURST, app_server) / ANSWER; /* those that had to wait */
        b->node.now += 20 * TG_US;
    }
    return answered;
}

static void row_exchange(uint32_t flows)
{
    static struct bench b;
    bench_open(&b, flows, flows + 1024, 1024);
    connections_open(&b);
    exchanges(&b, 2000, 0); /* warm */
    for (unsigned i = 0; i < 1000; i++) {
        slice_begin(&b);
        if (exchanges(&b, SLICE_ROUNDS, 0) != SLICE_ROUNDS * BURST)
            bench_die("answers are missing");
        slice_end(&b, SLICE_ROUNDS * BURST);
    }
    double ns = samples_median(&b.samples);
    printf("{\"flows\": %u, \"exchanges_per_second\": %.0f, \"ns\": %.1f}\n", flows, 1e9 / ns, ns);
}

static void connect_round(struct bench *b, uint32_t first)
{
    struct buf *burst[BURST];
    syns_make(b, burst, first, BURST);
    turn(b, burst, BURST, app_closing_server);
    for (unsigned i = 0; i < BURST; i++) { /* the request completes the handshake */
        struct node_segment s = segment(b, first + i, TCP_ACK | TCP_PSH, REQUEST);
        burst[i] = node_frame(&b->node, &s);
        b->flows[first + i].seq += REQUEST;
    }
    turn(b, burst, BURST, app_closing_server); /* answer and FIN */
    for (unsigned i = 0; i < BURST; i++) {
        struct node_segment s = segment(b, first + i, TCP_ACK | TCP_FIN, 0);
        burst[i] = node_frame(&b->node, &s);
        b->flows[first + i].seq++;
    }
    turn(b, burst, BURST, app_closing_server); /* the last ACK; TIME-WAIT */
    b->node.now += 100 * TG_US;
}

static void row_connect(void)
{
    static struct bench b;
    const uint32_t flows = 1u << 20;
    bench_open(&b, flows, 65536, 262144);
    for (uint32_t i = 0; i < 65536; i += BURST)
        connect_round(&b, i);
    for (uint32_t i = 65536; i < flows; i += BURST * 16) {
        slice_begin(&b);
        for (uint32_t k = 0; k < 16; k++)
            connect_round(&b, i + k * BURST);
        slice_end(&b, 16 * BURST);
    }
    if (b.node.stats.value[TG_C_tcp_time_wait] != flows)
        bench_die("not every connection has ended in TIME-WAIT");
    double ns = samples_median(&b.samples);
    printf("{\"connections_per_second\": %.0f, \"ns\": %.1f}\n", 1e9 / ns, ns);
}

struct questions {
    struct ip_tuple tuples[BURST];
    uint32_t hashes[BURST], found[BURST];
    struct buf **burst; /* frames with these hashes, where somebody wants frames */
};

/* As tcp_input looks up: buckets of a burst first, then the connections. */
static void ask_together(const struct tcp *tcp, struct questions *q)
{
    tcp_lookup_burst(tcp, q->tuples, q->hashes, q->found, BURST);
}

/* As steer does in a fleet: one by one, after a look ahead at the burst. */
static void ask_ahead(const struct tcp *tcp, struct questions *q)
{
    tcp_look_ahead(tcp, q->burst, BURST);
    for (unsigned i = 0; i < BURST; i++)
        if (!tcp_owns(tcp, &q->tuples[i], q->hashes[i], &q->found[i]))
            q->found[i] = FLOW_TABLE_NONE;
}

/* Nanoseconds a look-up. Whom a slice asks for is drawn before it, and lies in the processor's cache, as it does when
 * packets have just been parsed. */
static double lookup_ns(struct bench *b, void (*ask)(const struct tcp *, struct questions *),
                        bool ahead)
{
    static struct questions q[SLICE_ROUNDS];
    static struct buf frames[SLICE_ROUNDS * BURST], *bursts[SLICE_ROUNDS * BURST];
    b->samples.count = 0;
    for (unsigned slice = 0; slice < LOOKUP_SLICES; slice++) {
        for (unsigned i = 0; i < SLICE_ROUNDS * BURST; i++) {
            struct questions *at = &q[i / BURST];
            struct ip_tuple tuple = node_tuple(&b->node, (uint32_t)prng_below(&b->rng, b->count));
            uint32_t hash = wire_tuple_hash(&b->node.toeplitz, &tuple);
            at->tuples[i % BURST] = tuple;
            at->hashes[i % BURST] = hash;
            at->burst = &bursts[i / BURST * BURST];
            bursts[i] = &frames[i];
            if (ahead)
                frames[i] = (struct buf){.ip_proto = IP_PROTO_TCP, .rx_hash = hash};
        }
        slice_begin(b);
        node_begin(&b->node);
        for (unsigned r = 0; r < SLICE_ROUNDS; r++)
            ask(b->node.tcp, &q[r]);
        node_end(&b->node);
        slice_end(b, SLICE_ROUNDS * BURST);
        for (unsigned i = 0; i < SLICE_ROUNDS * BURST; i++)
            if (q[i / BURST].found[i % BURST] == FLOW_TABLE_NONE)
                bench_die("a connection was not found");
    }
    return samples_median(&b->samples);
}

static void row_idle(uint32_t flows)
{
    static struct bench b;
    bench_open(&b, flows, flows, 1024);
    uint64_t before = b.node.resident_before;
    connections_open(&b);
    uint64_t after = node_resident();
    double together = lookup_ns(&b, ask_together, false);
    double ahead = lookup_ns(&b, ask_ahead, true);
    printf("{\"flows\": %u, \"bytes\": %.1f, \"gigabytes\": %.3f, \"lookup_ns\": %.1f, "
           "\"owns_ns\": %.1f}\n",
           flows, (double)(after - before) / flows, (double)(after - before) / 1e9, together,
           ahead);
}

/* Rounds of exchanges on a core that has no idle time, with `rate` SYNs of strangers a second of it. Nanoseconds of the
 * core an exchange. */
static double flooded_exchange(struct bench *b, uint32_t rate)
{
    uint64_t knocked = 0;
    slice_begin(b);
    for (unsigned r = 0; r < FLOOD_ROUNDS; r++) {
        double due = (double)b->node.cycles / b->hertz * rate - (double)knocked;
        unsigned syns = due < 0 ? 0 : due > BURST ? BURST : (unsigned)due;
        b->answered += exchanges(b, 1, syns);
        knocked += syns;
    }
    b->samples.count = 0;
    slice_end(b, FLOOD_ROUNDS * BURST);
    return b->samples.value[0];
}

/* Requests that a core answers beside a flood, of those that it answers without, in turns. */
static void row_flood(uint32_t rate)
{
    static struct bench b;
    static struct samples quiet, flooded;
    bench_open(&b, 1000, 100000, 1024);
    connections_open(&b);
    for (unsigned i = 0; i < 200; i++) /* the SYN cache is full from here on */
        exchanges(&b, 10, BURST);
    uint64_t before = b.node.pool.in_use, cookies = b.node.stats.value[TG_C_tcp_syn_cookies_sent];
    b.answered = 0;
    for (unsigned i = 0; i < FLOOD_SLICES; i++) {
        samples_add(&quiet, flooded_exchange(&b, 0));
        samples_add(&flooded, flooded_exchange(&b, rate));
    }
    /* SYN-ACKs that are sent again make answers wait for a turn: in the end none may be missing */
    b.answered += exchanges(&b, 1, 0);
    if (b.answered < (2ull * FLOOD_SLICES * FLOOD_ROUNDS + 1) * BURST)
        bench_die("answers are missing");
    double quiet_ns = samples_median(&quiet), flooded_ns = samples_median(&flooded);
    printf("{\"quiet_ns\": %.1f, \"flooded_ns\": %.1f, \"goodput\": %.2f, \"cookies\": %llu, "
           "\"frames_kept\": %lld}\n",
           quiet_ns, flooded_ns, 100 * quiet_ns / flooded_ns,
           (unsigned long long)(b.node.stats.value[TG_C_tcp_syn_cookies_sent] - cookies),
           (long long)(b.node.pool.in_use - before));
}

int main(int argc, char **argv)
{
    const char *row = argc > 1 ? argv[1] : "";
    uint32_t flows = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1000;
    if (strcmp(row, "exchange") == 0)
        row_exchange(flows);
    else if (strcmp(row, "connect") == 0)
        row_connect();
    else if (strcmp(row, "bulk") == 0)
        row_bulk();
    else if (strcmp(row, "idle") == 0)
        row_idle(flows);
    else if (strcmp(row, "flood") == 0)
        row_flood(flows);
    else
        bench_die("usage: tcp_bench exchange FLOWS | connect | bulk | idle FLOWS | flood RATE");
    return 0;
}
