/* SPDX-License-Identifier: BSD-3-Clause
 * Super-segments: what is on the wire is byte for byte what it is without them, but for the IPv4 identification, which
 * a card counts up. Each script runs without, with a port that cuts them, and with net cutting them; and what becomes of
 * the frames behind one.
 */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "net/net_internal.h"
#include "tcp/tcp_trace.h"

#define FULL  1000u /* payload of the trace's ordinary peer, with timestamps */
#define WIRES 256

struct wire {
    size_t len;
    uint8_t bytes[1600];
};

/* All that left, in order. */
struct record {
    struct wire frames[WIRES];
    unsigned count;
    unsigned supers, super_segments, largest; /* before the port cut them */
};

static void record_wire(void *arg, const uint8_t *frame, size_t len)
{
    struct record *r = arg;
    assert_true(r->count < WIRES && len <= sizeof r->frames[0].bytes);
    struct wire *w = &r->frames[r->count++];
    memcpy(w->bytes, frame, len);
    w->len = len;
}

/* The peer's port: every frame is one that wire_parse and its checksums accept. */
static void record_collect(struct trace *t, struct record *r)
{
    struct buf *b;
    node_turn(&t->node);
    while (net_take(t->node.net, &b, 1)) {
        r->supers += b->segments != 0;
        r->super_segments += b->segments;
        r->largest = u32_max(r->largest, b->segments);
        node_port_send(&t->node, b, record_wire, r);
    }
    for (unsigned i = 0; i < r->count; i++) {
        struct buf *copy = test_buf(&t->node.pool.pool, r->frames[i].bytes, r->frames[i].len);
        assert_int_equal(wire_parse(copy, &t->node.toeplitz), TG_C_none);
        buf_unref(&t->node.pool.pool, copy);
    }
}

static struct trace *open_with(void **state, uint32_t tso_bytes, uint8_t tso_segments)
{
    struct tcp_config c = node_config();
    c.tso_bytes_max = tso_bytes;
    c.tso_segments_max = tso_segments;
    c.ecn = TCP_ECN_AGREE;
    struct trace *t = trace_new(&c, trace_is6(state));
    t->ts = true;
    return t;
}

static struct trace *accept_with(void **state, uint32_t tso_bytes, uint8_t tso_segments)
{
    struct trace *t = open_with(state, tso_bytes, tso_segments);
    trace_accept(t, (struct seg){PEER_OPTIONS});
    return t;
}

/* Write without letting the stack send. */
static void fill(struct trace *t, uint32_t offset, uint32_t n)
{
    uint8_t *bytes = malloc(n);
    stream_fill(bytes, offset, n);
    assert_int_equal(tcp_write(t->node.tcp, t->h, span_make(bytes, n)), n);
    free(bytes);
}

/* The peer's segment arrives; what the stack answers is not collected yet. */
static void give(struct trace *t, struct seg s)
{
    assert_int_equal(node_receive(&t->node, trace_make(t, &s)), TG_C_none);
}

/* A stream in three rounds, an ACK that falls between segments, a window that ends in mid-segment, and the end. */
static void script_stream(struct trace *t, struct record *r)
{
    fill(t, 0, 27 * FULL + 100);
    record_collect(t, r);
    give(t, (struct seg){.flags = A, .seq = 1, .ack = 1 + 4 * FULL});
    record_collect(t, r);
    give(t, (struct seg){.flags = A, .seq = 1, .ack = 1 + 10 * FULL, .win = 60});
    record_collect(t, r);
    give(t, (struct seg){.flags = A, .seq = 1, .ack = 1 + 18 * FULL, .len = 40});
    tcp_shutdown(t->node.tcp, t->h);
    record_collect(t, r);
    give(t, (struct seg){.flags = A, .seq = 41, .ack = 1 + 25 * FULL});
    record_collect(t, r);
    give(t, (struct seg){.flags = A, .seq = 41, .ack = 2 + 27 * FULL + 100});
    record_collect(t, r);
}

/* The second and the last of a round are lost: SACK, retransmissions one by one beside new data, a timeout. */
static void script_loss(struct trace *t, struct record *r)
{
    fill(t, 0, 24 * FULL);
    record_collect(t, r);
    for (unsigned i = 2; i < 9; i++) {
        give(t, (struct seg){.flags = A,
                             .seq = 1,
                             .ack = 1 + FULL,
                             .sack = {{1 + 2 * FULL, 1 + (i + 1) * FULL}}});
        t->node.now += TG_MS;
        record_collect(t, r);
    }
    give(t, (struct seg){.flags = A, .seq = 1, .ack = 1 + 9 * FULL});
    record_collect(t, r);
    t->node.now += 10 * TG_S;
    record_collect(t, r);
    give(t, (struct seg){.flags = A, .seq = 1, .ack = 1 + 12 * FULL});
    record_collect(t, r);
}

/* The peer echoes a mark: CWR goes with the next new segment, and with no other. */
static void script_ecn(struct trace *t, struct record *r)
{
    fill(t, 0, 40 * FULL);
    record_collect(t, r);
    give(t, (struct seg){.flags = A | TCP_ECE, .seq = 1, .ack = 1 + 5 * FULL});
    record_collect(t, r);
    give(t, (struct seg){.flags = A, .seq = 1, .ack = 1 + 10 * FULL});
    record_collect(t, r);
    give(t, (struct seg){.flags = A, .seq = 1, .ack = 1 + 14 * FULL});
    record_collect(t, r);
}

/* Early text from the peer: its blocks go where there is room, in pure ACKs and beside a short tail. */
static void script_both_ways(struct trace *t, struct record *r)
{
    fill(t, 0, 5 * FULL + 10);
    give(t, (struct seg){.flags = A, .seq = 101, .ack = 1, .len = 50});
    record_collect(t, r);
    fill(t, 5 * FULL + 10, 2 * FULL);
    give(t, (struct seg){.flags = A, .seq = 1, .ack = 1 + 5 * FULL, .len = 100});
    record_collect(t, r);
}

/* A proxy's frames have the sizes that their origin chose. */
static void script_frames(struct trace *t, struct record *r)
{
    static const uint16_t sizes[] = {700, 700, 700, 300, 300, 700, 700, 900, 1, 700};
    uint32_t offset = 0;
    for (unsigned i = 0; i < TG_ARRAY_LEN(sizes); offset += sizes[i++]) {
        struct buf *b = buf_alloc(&t->node.pool.pool);
        stream_fill(buf_put(b, sizes[i]), offset, sizes[i]);
        assert_int_equal(tcp_send_buf(t->node.tcp, t->h, b), TG_OK);
    }
    record_collect(t, r);
}

static void assert_same_wire(const struct record *a, const struct record *b)
{
    assert_int_equal(a->count, b->count);
    for (unsigned i = 0; i < a->count; i++) {
        struct wire x = a->frames[i], y = b->frames[i];
        assert_int_equal(x.len, y.len);
        if (wire_get16(x.bytes + 12) == ETHERTYPE_IP4) { /* identification, and its checksum */
            memset(x.bytes + ETH_BYTES + 4, 0, 2), memset(y.bytes + ETH_BYTES + 4, 0, 2);
            memset(x.bytes + ETH_BYTES + 10, 0, 2), memset(y.bytes + ETH_BYTES + 10, 0, 2);
        }
        assert_memory_equal(x.bytes, y.bytes, x.len);
    }
}

/* Who cuts, if there is something to cut. */
enum cutter { NOBODY, PORT, NET, NET_WITHOUT_OFFLOADS, CUTTERS };

static void cutter_set(struct trace *t, enum cutter cutter)
{
    t->node.net->config.ports[0].tso = cutter == PORT;
    if (cutter == NET_WITHOUT_OFFLOADS)
        t->node.net->config.ports[0].tx_ip_checksum = t->node.net->config.ports[0].tx_l4_checksum =
            false;
}

/* Run the script in each way; returns what the super-segments were that the port got. */
static struct record compare(void **state, uint32_t bytes, uint8_t segments, uint8_t syn_flags,
                             void (*script)(struct trace *t, struct record *r))
{
    static struct record way[CUTTERS];
    memset(way, 0, sizeof way);
    for (enum cutter cutter = NOBODY; cutter < CUTTERS; cutter++) {
        struct trace *t = open_with(state, cutter == NOBODY ? 0 : bytes, segments);
        cutter_set(t, cutter);
        IN(t, .flags = S | syn_flags, .seq = 0, PEER_OPTIONS);
        OUT(t, .flags = syn_flags ? S | A | TCP_ECE : S | A, .seq = 0, .ack = 1);
        IN(t, .flags = A, .seq = 1, .ack = 1);
        t->h = node_expect_event(&t->node, TCP_EV_ACCEPTED);
        script(t, &way[cutter]);
        node_check(&t->node);
        uint64_t cut = node_counted(&t->node, TG_C_net_super_segments_cut);
        assert_int_equal(cut, cutter > PORT ? way[PORT].supers : 0);
        trace_end(t);
    }
    for (enum cutter cutter = PORT; cutter < CUTTERS; cutter++) {
        assert_true(cutter == PORT || way[cutter].supers == 0);
        assert_same_wire(&way[cutter], &way[NOBODY]);
    }
    return way[PORT];
}

/* How many frames carry the flag. */
static unsigned with_flag(void **state, const struct record *r, uint8_t flag)
{
    unsigned n = 0, at = ETH_BYTES + (trace_is6(state) ? IP6_BYTES : IP4_BYTES) + 13;
    for (unsigned i = 0; i < r->count; i++)
        n += (r->frames[i].bytes[at] & flag) != 0;
    return n;
}

static void a_stream_is_the_same_on_the_wire(void **state)
{
    struct record r = compare(state, TCP_TSO_BYTES_MAX, UINT8_MAX, 0, script_stream);
    assert_int_equal(r.largest, 10);
    assert_true(r.supers >= 3 && r.super_segments > 20);
    assert_int_equal(with_flag(state, &r, F), 1);
    assert_int_equal(with_flag(state, &r, P), 1);
}

static void so_are_losses(void **state)
{
    struct record r = compare(state, TCP_TSO_BYTES_MAX, UINT8_MAX, 0, script_loss);
    assert_int_equal(r.largest, 10);
}

static void so_is_a_congestion_echo(void **state)
{
    struct record r = compare(state, TCP_TSO_BYTES_MAX, UINT8_MAX, TCP_ECE | TCP_CWR, script_ecn);
    assert_true(r.supers > 1);
    assert_int_equal(with_flag(state, &r, TCP_CWR), 1);
}

static void so_is_traffic_both_ways(void **state)
{
    struct record r = compare(state, TCP_TSO_BYTES_MAX, UINT8_MAX, 0, script_both_ways);
    assert_true(r.count > 7);
}

/* A run of one size, ended by a shorter one; what is longer begins the next. */
static void frames_of_any_size_make_rows(void **state)
{
    struct record r = compare(state, TCP_TSO_BYTES_MAX, UINT8_MAX, 0, script_frames);
    assert_int_equal(r.count, 9);
    assert_int_equal(r.largest, 4); /* 700 700 700 300 | 300 | 700 700 | 901 700 */
    assert_int_equal(r.supers, 3);
    assert_int_equal(r.super_segments, 8);
}

static void the_ports_limits_hold(void **state)
{
    assert_int_equal(compare(state, 3 * FULL + 10, UINT8_MAX, 0, script_stream).largest, 3);
    assert_int_equal(compare(state, TCP_TSO_BYTES_MAX, 4, 0, script_stream).largest, 4);
    assert_int_equal(compare(state, FULL, UINT8_MAX, 0, script_stream).supers, 0);
}

/* The port lets go of a piece, which is sent again in its own frame, with its own headers. */
static void a_piece_is_sent_again_alone(void **state)
{
    struct trace *t = accept_with(state, TCP_TSO_BYTES_MAX, UINT8_MAX);
    trace_write(t, 0, 4 * FULL);
    for (unsigned i = 0; i < 4; i++)
        OUT(t, .flags = A, .seq = 1 + i * FULL, .ack = 1, .len = FULL);
    for (struct buf *b = trace_pcb(t)->act->snd_first; b; b = b->link) {
        assert_null(b->next);
        assert_int_equal(b->refs, 1);
    }
    unsigned out = t->node.pool.outstanding;
    IN(t, .flags = A, .seq = 1, .ack = 1, .sack = {{1 + FULL, 1 + 4 * FULL}});
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = FULL);
    QUIET(t);
    assert_true(t->node.pool.outstanding <= out);
    trace_end(t);
}

/* All is acknowledged while the frame still waits in net: its bytes stay until it has left. */
static void an_early_ack_takes_nothing_from_the_frame(void **state)
{
    struct trace *t = accept_with(state, TCP_TSO_BYTES_MAX, UINT8_MAX);
    struct record r = {.count = 0};
    struct buf *b;
    fill(t, 0, 3 * FULL);
    node_turn(&t->node);
    give(t, (struct seg){.flags = A, .seq = 1, .ack = 1 + 3 * FULL});
    assert_null(trace_pcb(t)->act ? trace_pcb(t)->act->snd_first : NULL);
    assert_int_equal(net_take(t->node.net, &b, 1), 1);
    assert_int_equal(b->segments, 3);
    node_port_send(&t->node, b, record_wire, &r);
    assert_int_equal(r.count, 3);
    for (unsigned i = 0; i < 3; i++)
        stream_verify(r.frames[i].bytes + r.frames[i].len - FULL, i * FULL, FULL);
    trace_end(t);
}

/* No frame for the headers: the segments leave as ever. */
static void an_empty_pool_sends_them_apart(void **state)
{
    struct trace *t = accept_with(state, TCP_TSO_BYTES_MAX, UINT8_MAX);
    fill(t, 0, 3 * FULL);
    buf_pool_flush(&t->node.pool.pool);
    t->node.pool.limit = t->node.pool.outstanding;
    struct record r = {.count = 0};
    struct buf *b;
    node_turn(&t->node);
    t->node.pool.limit = UINT32_MAX;
    while (net_take(t->node.net, &b, 1)) {
        assert_int_equal(b->segments, 0);
        node_port_send(&t->node, b, record_wire, &r);
    }
    assert_int_equal(r.count, 3);
    assert_int_equal(with_flag(state, &r, A), 3);
    assert_int_equal(with_flag(state, &r, P), 1);
    for (unsigned i = 0; i < 3; i++)
        stream_verify(r.frames[i].bytes + r.frames[i].len - FULL, i * FULL, FULL);
    trace_end(t);
}

/* A super-segment that net drops is so many lost segments, each of which can be sent again. */
static void a_dropped_frame_unties_its_pieces(void **state)
{
    struct trace *t = accept_with(state, TCP_TSO_BYTES_MAX, UINT8_MAX);
    struct buf *b;
    fill(t, 0, 3 * FULL);
    node_turn(&t->node);
    assert_int_equal(net_take(t->node.net, &b, 1), 1);
    assert_int_equal(b->segments, 3);
    buf_unref(&t->node.pool.pool, b);
    node_check(&t->node);
    for (struct buf *s = trace_pcb(t)->act->snd_first; s; s = s->link)
        assert_null(s->next);
    trace_advance(t, 2 * TG_S);
    OUT(t, .flags = A, .seq = 1 + 2 * FULL, .ack = 1, .len = FULL); /* TLP */
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = FULL);
    trace_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_stream_is_the_same_on_the_wire), BOTH(so_are_losses),
        BOTH(so_is_a_congestion_echo),          BOTH(so_is_traffic_both_ways),
        BOTH(frames_of_any_size_make_rows),     BOTH(the_ports_limits_hold),
        BOTH(a_piece_is_sent_again_alone),      BOTH(an_early_ack_takes_nothing_from_the_frame),
        BOTH(an_empty_pool_sends_them_apart),   BOTH(a_dropped_frame_unties_its_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
