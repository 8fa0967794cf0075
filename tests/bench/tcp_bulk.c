/* SPDX-License-Identifier: BSD-3-Clause
 * Segments of 1,448 bytes: as many as our side could send, and take, on a core of its own. A row of tcp_bench.
 */
#include "tests/bench/tcp_bench.h"
#include <stdio.h>

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
    syns_make(b, burst, 0, 1);
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
        bench_die("bytes were not received");
    return gbit(&b->samples);
}

void row_bulk(void)
{
    double send = bulk_send(), receive = bulk_receive();
    printf("{\"send_gbit\": %.2f, \"receive_gbit\": %.2f}\n", send, receive);
}
