/* SPDX-License-Identifier: BSD-3-Clause
 * The TCP stack alone, in memory, one core, no TLS: tcp_bench ROW [ARGUMENT]. Prints one JSON object. Rates are what our
 * side alone could do: its cycles only (parse, tcp, application, output), not those that make and read the peer's frames;
 * of the median slice (samples.h).
 *
 *   exchange FLOWS     request of 64 bytes, answer of 100, on random ones of FLOWS connections (active parts: at most 65,536)
 *   connect            connect, request, answer, close by us
 *   bulk               send and receive 1,448-byte segments
 *   idle FLOWS         resident bytes a connection, then look-ups on random ones
 *   flood              exchange on 1,000 flows, SYNs of strangers in between
 */
#include "base/pages.h"
#include "tcp/tcp_internal.h"
#include "tests/bench/samples.h"
#include "tests/bench/tcp_node.h"
#include <stdio.h>
#include <stdlib.h>

#define ACTIVE        65536u
#define REQUEST       64u
#define ANSWER        100u
#define BURST         32u
#define OUT_MAX       512u
#define PEER_ISS      1000u
#define WINDOW        0xffffu
#define SLICE_ROUNDS  32u
#define FLOOD_SLICES  2000u
#define LOOKUP_SLICES 2000u

struct flow {
    uint32_t seq, ack; /* of the peer's next segment */
    uint32_t hash;
};

struct bench {
    struct node node;
    struct flow *flows;
    uint32_t count;
    struct prng rng;
    double hertz;
    uint64_t events;
    struct samples samples; /* nanoseconds an operation, by slices */
};

static void die(const char *what)
{
    fprintf(stderr, "tcp_bench: %s\n", what);
    exit(1);
}

/* A slice begins; ends after so many operations. */
static void slice_begin(struct bench *b)
{
    b->node.cycles = 0;
}
static void slice_end(struct bench *b, double operations)
{
    samples_add(&b->samples, (double)b->node.cycles / b->hertz * 1e9 / operations);
}

/* --- applications ------------------------------------------------------------------------------------ */

static const uint8_t answer_bytes[ANSWER];

/* Answer each request. */
static void app_server(struct node *node, void *arg)
{
    struct bench *bench = arg;
    struct tcp_event e[64];
    unsigned n;
    while ((n = tcp_events(node->tcp, e, 64)) > 0)
        for (unsigned i = 0; i < n; i++) {
            bench->events++;
            uint32_t unread = tcp_unread(node->tcp, e[i].handle);
            if (!(e[i].bits & TCP_EV_READABLE) || unread < REQUEST)
                continue;
            tcp_consume(node->tcp, e[i].handle, unread);
            if (tcp_write(node->tcp, e[i].handle, span_make(answer_bytes, ANSWER)) != ANSWER)
                die("an answer was not taken");
        }
}

/* Answer once, then close. */
static void app_closing_server(struct node *node, void *arg)
{
    struct tcp_event e[64];
    unsigned n;
    while ((n = tcp_events(node->tcp, e, 64)) > 0)
        for (unsigned i = 0; i < n; i++) {
            uint32_t unread = tcp_unread(node->tcp, e[i].handle);
            if (unread < REQUEST)
                continue;
            tcp_consume(node->tcp, e[i].handle, unread);
            (void)!tcp_write(node->tcp, e[i].handle, span_make(answer_bytes, ANSWER));
            tcp_close(node->tcp, e[i].handle);
        }
}

/* --- the peer ------------------------------------------------------------------------------------------ */

static struct node_segment segment(struct bench *b, uint32_t flow, uint8_t flags, uint16_t len)
{
    return (struct node_segment){.tuple = node_tuple(&b->node, flow),
                                 .hash = b->flows[flow].hash,
                                 .seq = b->flows[flow].seq,
                                 .ack = b->flows[flow].ack,
                                 .window = WINDOW,
                                 .len = len,
                                 .flags = flags};
}

/* Read what we have sent: the flow's next ACK number. Returns payload bytes. */
static uint32_t answer_read(struct bench *b, struct buf *out)
{
    const uint8_t *ip = out->data + ETH_BYTES, *tcp = ip + IP4_BYTES;
    uint32_t flow = node_flow(out), bytes = wire_get16(ip + 2) - IP4_BYTES - (tcp[12] >> 4) * 4u;
    if (flow >= b->count) { /* the flood's */
        node_free(&b->node, out);
        return 0;
    }
    uint32_t seq = wire_get32(tcp + 4);
    uint32_t control = (tcp[13] & TCP_SYN ? 1 : 0) + (tcp[13] & TCP_FIN ? 1 : 0);
    if (tcp[13] & TCP_RST)
        die("we have sent a RST");
    b->flows[flow].ack = seq + bytes + control;
    node_free(&b->node, out);
    return bytes;
}

static uint32_t turn(struct bench *b, struct buf *burst[], unsigned n, node_app *app)
{
    struct buf *out[OUT_MAX];
    uint32_t bytes = 0;
    unsigned sent = node_turn(&b->node, burst, n, app, b, out, OUT_MAX);
    for (unsigned i = 0; i < sent; i++)
        bytes += answer_read(b, out[i]);
    return bytes;
}

/* The SYNs of n flows that begin. */
static void syns_make(struct bench *b, struct buf *burst[], uint32_t first, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct ip_tuple tuple = node_tuple(&b->node, first + i);
        b->flows[first + i] =
            (struct flow){.seq = PEER_ISS, .hash = wire_tuple_hash(&b->node.toeplitz, &tuple)};
        struct node_segment syn = segment(b, first + i, TCP_SYN, 0);
        syn.options = true;
        burst[i] = node_frame(&b->node, &syn);
        b->flows[first + i].seq++;
    }
}

static void connections_open(struct bench *b)
{
    struct buf *burst[BURST];
    for (uint32_t first = 0; first < b->count; first += BURST) {
        unsigned n = b->count - first < BURST ? b->count - first : BURST;
        syns_make(b, burst, first, n);
        turn(b, burst, n, app_server);
        for (unsigned i = 0; i < n; i++) {
            struct node_segment ack = segment(b, first + i, TCP_ACK, 0);
            burst[i] = node_frame(&b->node, &ack);
        }
        turn(b, burst, n, app_server);
        b->node.now += 10 * TG_US;
    }
    if (tcp_connection_count(b->node.tcp) != b->count)
        die("not all connections are established");
}

static void bench_open(struct bench *b, uint32_t flows, uint32_t connections, uint32_t time_wait)
{
    struct node_config c = {.frames = 16384,
                            .connections = connections,
                            .active = connections < ACTIVE ? connections : ACTIVE,
                            .time_wait = time_wait};
    memset(b, 0, sizeof *b);
    b->hertz = node_hertz();
    b->count = flows;
    b->flows = pages_create(flows * sizeof *b->flows);
    if (!b->flows)
        die("no memory");
    memset(b->flows, 1, flows * sizeof *b->flows);
    prng_seed(&b->rng, 1);
    node_open(&b->node, &c);
}

/* --- rows ------------------------------------------------------------------------------------------------ */

static void strangers_knock(struct bench *b, struct buf *burst[], unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint32_t stranger = 0x40000000u + (uint32_t)prng_below(&b->rng, 1u << 28);
        struct node_segment syn = {.tuple = node_tuple(&b->node, stranger),
                                   .seq = (uint32_t)prng_next(&b->rng),
                                   .window = WINDOW,
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
            die("answers are missing");
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
        die("not every connection has ended in TIME-WAIT");
    double ns = samples_median(&b.samples);
    printf("{\"connections_per_second\": %.0f, \"ns\": %.1f}\n", 1e9 / ns, ns);
}

struct bulk {
    struct bench bench;
    tcp_handle h;
    uint64_t sent, received;
};
static struct bulk bulk;

/* As much as is wanted, in pieces of 16 KiB, as a TLS record would be. */
static void app_source(struct node *node, void *arg)
{
    static uint8_t bytes[16384];
    struct tcp_event e[8];
    for (unsigned n; (n = tcp_events(node->tcp, e, 8)) > 0;)
        for (unsigned i = 0; i < n; i++)
            if (e[i].bits & TCP_EV_ACCEPTED)
                bulk.h = e[i].handle;
    while (tcp_writable(node->tcp, bulk.h) >= sizeof bytes)
        if (tcp_write(node->tcp, bulk.h, span_make(bytes, sizeof bytes)) == 0)
            break;
}

static void app_sink(struct node *node, void *arg)
{
    struct tcp_event e[8];
    for (unsigned n; (n = tcp_events(node->tcp, e, 8)) > 0;)
        for (unsigned i = 0; i < n; i++)
            bulk.h = e[i].handle;
    uint32_t n = tcp_unread(node->tcp, bulk.h);
    tcp_consume(node->tcp, bulk.h, n);
    bulk.received += n;
}

static void bulk_open(node_app *app)
{
    struct bench *b = &bulk.bench;
    bench_open(b, 1, 16, 16);
    struct buf *burst[1];
    struct ip_tuple tuple = node_tuple(&b->node, 0);
    b->flows[0] =
        (struct flow){.seq = PEER_ISS, .hash = wire_tuple_hash(&b->node.toeplitz, &tuple)};
    struct node_segment syn = segment(b, 0, TCP_SYN, 0);
    syn.options = true;
    burst[0] = node_frame(&b->node, &syn);
    b->flows[0].seq++;
    turn(b, burst, 1, NULL);
    struct node_segment ack = segment(b, 0, TCP_ACK, 0);
    burst[0] = node_frame(&b->node, &ack);
    turn(b, burst, 1, app);
}

/* The peer acknowledges what has left, every second segment by an ACK of its own, as a receiver without aggregation
 * does. Returns payload bytes. */
static uint64_t bulk_acknowledge(struct bench *b, struct buf *out[], unsigned sent)
{
    uint64_t acked = 0;
    for (unsigned i = 0; i < sent;) {
        struct buf *burst[BURST], *more[OUT_MAX];
        unsigned n = 0;
        for (; n < BURST && i < sent; n++) {
            acked += answer_read(b, out[i++]);
            if (i < sent)
                acked += answer_read(b, out[i++]);
            struct node_segment ack = segment(b, 0, TCP_ACK, 0);
            burst[n] = node_frame(&b->node, &ack);
        }
        unsigned extra = node_turn(&b->node, burst, n, NULL, NULL, more, OUT_MAX);
        for (unsigned k = 0; k < extra; k++)
            acked += answer_read(b, more[k]);
    }
    return acked;
}

/* Gbit/s from nanoseconds a byte. */
static double gbit(struct samples *samples)
{
    return 8 / samples_median(samples);
}

static double bulk_send(void)
{
    struct bench *b = &bulk.bench;
    bulk_open(app_source);
    for (unsigned r = 0; r < 20000; r++) {
        struct buf *out[OUT_MAX];
        slice_begin(b);
        unsigned sent = node_turn(&b->node, NULL, 0, app_source, NULL, out, OUT_MAX);
        uint64_t acked = bulk_acknowledge(b, out, sent);
        if (acked && r >= 1000)
            slice_end(b, (double)acked);
        b->node.now += 200 * TG_US;
    }
    return gbit(&b->samples);
}

static double bulk_receive(void)
{
    struct bench *b = &bulk.bench;
    bulk_open(app_sink);
    for (unsigned r = 0; r < 60000; r++) {
        struct buf *burst[BURST];
        slice_begin(b);
        for (unsigned i = 0; i < BURST; i++) {
            struct node_segment s = segment(b, 0, TCP_ACK, 1448);
            burst[i] = node_frame(&b->node, &s);
            b->flows[0].seq += 1448;
        }
        turn(b, burst, BURST, app_sink);
        slice_end(b, BURST * 1448);
        b->node.now += 20 * TG_US;
    }
    if (bulk.received < 60000ull * BURST * 1448)
        die("bytes were not received");
    return gbit(&b->samples);
}

static void row_bulk(void)
{
    double send = bulk_send(), receive = bulk_receive();
    printf("{\"send_gbit\": %.2f, \"receive_gbit\": %.2f}\n", send, receive);
}

/* The look-up as tcp_input does it: buckets of a burst first, then the connections. Whom a slice asks for is drawn
 * before it, and lies in the processor's cache, as it does when packets have just been parsed. */
static double lookup_ns(struct bench *b)
{
    static struct ip_tuple tuples[SLICE_ROUNDS][BURST];
    static uint32_t hashes[SLICE_ROUNDS][BURST], found[SLICE_ROUNDS][BURST];
    for (unsigned slice = 0; slice < LOOKUP_SLICES; slice++) {
        for (unsigned i = 0; i < SLICE_ROUNDS * BURST; i++) {
            uint32_t flow = (uint32_t)prng_below(&b->rng, b->count);
            tuples[i / BURST][i % BURST] = node_tuple(&b->node, flow);
            hashes[i / BURST][i % BURST] = b->flows[flow].hash;
        }
        slice_begin(b);
        node_begin(&b->node);
        for (unsigned r = 0; r < SLICE_ROUNDS; r++)
            tcp_lookup_burst(b->node.tcp, tuples[r], hashes[r], found[r], BURST);
        node_end(&b->node);
        slice_end(b, SLICE_ROUNDS * BURST);
        for (unsigned i = 0; i < SLICE_ROUNDS * BURST; i++)
            if (found[i / BURST][i % BURST] == FLOW_TABLE_NONE)
                die("a connection was not found");
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
    double lookup = lookup_ns(&b);
    printf("{\"flows\": %u, \"bytes\": %.1f, \"gigabytes\": %.3f, \"lookup_ns\": %.1f}\n", flows,
           (double)(after - before) / flows, (double)(after - before) / 1e9, lookup);
}

/* What an exchange costs with a flood beside it, and without, side by side. */
static void row_flood(void)
{
    static struct bench b;
    static struct samples quiet, flooded;
    bench_open(&b, 1000, 100000, 1024);
    connections_open(&b);
    exchanges(&b, 2000, 0);
    uint64_t before = b.node.pool.in_use, done = 0;
    for (unsigned i = 0; i < FLOOD_SLICES; i++) {
        b.samples.count = 0;
        slice_begin(&b);
        done += exchanges(&b, SLICE_ROUNDS, i & 1 ? BURST : 0);
        slice_end(&b, SLICE_ROUNDS * BURST);
        samples_add(i & 1 ? &flooded : &quiet, b.samples.value[0]);
    }
    /* SYN-ACKs that are sent again make answers wait for a turn: in the end none may be missing */
    done += exchanges(&b, SLICE_ROUNDS, 0);
    if (done != (FLOOD_SLICES + 1) * SLICE_ROUNDS * BURST)
        die("answers are missing");
    double exchange_ns = samples_median(&quiet), both_ns = samples_median(&flooded);
    printf("{\"exchange_ns\": %.1f, \"syn_ns\": %.1f, \"cookies\": %llu, \"frames_kept\": %lld}\n",
           exchange_ns, both_ns - exchange_ns,
           (unsigned long long)b.node.stats.value[TG_C_tcp_syn_cookies_sent],
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
        row_flood();
    else
        die("usage: tcp_bench exchange FLOWS | connect | bulk | idle FLOWS | flood");
    return 0;
}
