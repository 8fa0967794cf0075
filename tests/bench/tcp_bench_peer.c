/* SPDX-License-Identifier: BSD-3-Clause
 * See tcp_bench.h.
 */
#include "base/pages.h"
#include "tests/bench/tcp_bench.h"
#include <stdio.h>
#include <stdlib.h>

#define ACTIVE   65536u
#define PEER_ISS 1000u
#define WINDOW   0xffffu

_Noreturn void bench_die(const char *what)
{
    fprintf(stderr, "tcp_bench: %s\n", what);
    exit(1);
}

void slice_begin(struct bench *b)
{
    b->node.cycles = 0;
}
void slice_end(struct bench *b, double operations)
{
    samples_add(&b->samples, (double)b->node.cycles / b->hertz * 1e9 / operations);
}

/* --- applications ------------------------------------------------------------------------------------ */

static const uint8_t answer_bytes[ANSWER];

void app_server(struct node *node, void *arg)
{
    struct tcp_event e[64];
    unsigned n;
    while ((n = tcp_events(node->tcp, e, 64)) > 0)
        for (unsigned i = 0; i < n; i++) {
            uint32_t unread = tcp_unread(node->tcp, e[i].handle);
            if (!(e[i].bits & TCP_EV_READABLE) || unread < REQUEST)
                continue;
            tcp_consume(node->tcp, e[i].handle, unread);
            if (tcp_write(node->tcp, e[i].handle, span_make(answer_bytes, ANSWER)) != ANSWER)
                bench_die("an answer was not taken");
        }
}

void app_closing_server(struct node *node, void *arg)
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

struct node_segment segment(struct bench *b, uint32_t flow, uint8_t flags, uint16_t len)
{
    return (struct node_segment){.tuple = node_tuple(&b->node, flow),
                                 .hash = b->flows[flow].hash,
                                 .seq = b->flows[flow].seq,
                                 .ack = b->flows[flow].ack,
                                 .window = WINDOW,
                                 .len = len,
                                 .flags = flags};
}

uint32_t answer_read(struct bench *b, struct buf *out)
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
        bench_die("we have sent a RST");
    b->flows[flow].ack = seq + bytes + control;
    node_free(&b->node, out);
    return bytes;
}

uint32_t turn(struct bench *b, struct buf *burst[], unsigned n, node_app *app)
{
    struct buf *out[OUT_MAX];
    uint32_t bytes = 0;
    unsigned sent = node_turn(&b->node, burst, n, app, b, out, OUT_MAX);
    for (unsigned i = 0; i < sent; i++)
        bytes += answer_read(b, out[i]);
    return bytes;
}

void syns_make(struct bench *b, struct buf *burst[], uint32_t first, unsigned n)
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

void connections_open(struct bench *b)
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
        bench_die("not all connections are established");
}

void bench_open(struct bench *b, uint32_t flows, uint32_t connections, uint32_t time_wait)
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
        bench_die("no memory");
    memset(b->flows, 1, flows * sizeof *b->flows);
    prng_seed(&b->rng, 1);
    node_open(&b->node, &c);
}
