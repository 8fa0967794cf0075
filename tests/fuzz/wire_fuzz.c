/* SPDX-License-Identifier: BSD-3-Clause
 * libFuzzer target for everything that a frame meets before tcp: parser, filter, steer, then net
 * with a real neighbour table, or the rings to the kernel. An input is a list of records; most take a good frame
 * (net_test_corpus.h) and damage it, so that the fuzzer gets deep without a corpus of its own.
 *
 *   record  op byte: low 4 bits what, high 4 bits RECORD_*; then what the case reads
 */
#include "filter/filter.h"
#include "io/exception.h"
#include "net/net_test_corpus.h"
#include "steer/steer.h"

enum { RECORD_RAW = CORPUS_KINDS, RECORD_TICK, RECORD_OUTPUT };
static_assert(RECORD_OUTPUT == 15, "records fill four bits");
enum { RECORD_VOUCH = 0x10, RECORD_FIX_ICMP = 0x20, RECORD_SPLIT = 0x40, RECORD_CUT = 0x80 };

struct world {
    struct test_pool pool;
    struct stats stats;
    struct net *net;
    struct filter filter;
    struct steer steer;
    struct exception exception;
    tg_ns now;
};

static struct toeplitz toeplitz;
static struct tables_rules *rules;
static struct tables_owners *owners;
static struct exception_host *kernel;

static void tables_make(void)
{
    test_toeplitz_init(&toeplitz, 1);
    rules = calloc(1, sizeof *rules + 2 * sizeof rules->rules[0]);
    rules->count = 2;
    struct ip_addr a = test_addr("192.0.2.128"), b = test_addr("2001:db8:1::8000");
    rules->rules[0] = (struct tables_rule){
        .source_bits = 96 + 25, .source_port_high = 65535, .destination_port_high = 65535};
    memcpy(rules->rules[0].source, a.bytes, 16);
    rules->rules[1] = (struct tables_rule){.slot = 1,
                                           .source_bits = 113,
                                           .proto = IP_PROTO_TCP,
                                           .source_port_high = 50000,
                                           .destination_port_high = 65535};
    memcpy(rules->rules[1].source, b.bytes, 16);
    owners = calloc(1, sizeof *owners + 4 * sizeof owners->owners[0]);
    owners->bucket_count = 4;
    memset(owners->owners, 0xff, 4 * sizeof owners->owners[0]);
    owners->owners[0][0] = owners->owners[1][0] = 0; /* ours, ours, another's, nobody's */
    owners->owners[2][0] = 5;
    enum tg_err e = exception_host_create(1, &kernel);
    tg_assert(e == TG_OK);
}

static void world_make(struct world *w)
{
    static uint64_t hits[TABLES_RULES_MAX];
    memset(w, 0, sizeof *w);
    test_pool_init(&w->pool, 0);
    struct net_config c = {.port_count = 1, .address_count = 2, .route_count = 2, .answers = true};
    memcpy(c.ports[0].mac, test_mac_ours, 6);
    c.ports[0].mtu = 1500;
    c.addresses[0] = (struct net_address){test_addr("192.0.2.1"), 96 + 24, 0};
    c.addresses[1] = (struct net_address){test_addr("2001:db8:1::1"), 64, 0};
    c.routes[0] = (struct net_route){test_addr("0.0.0.0"), 96, test_addr("192.0.2.254"), 0};
    c.routes[1] = (struct net_route){test_addr("::"), 0, test_addr("2001:db8:1::fe"), 0};
    enum tg_err e = net_create(&c, &w->pool.pool, &w->stats, &toeplitz, 1, NULL, NULL, &w->net);
    tg_assert(e == TG_OK);
    w->filter = (struct filter){rules, &toeplitz, &w->pool.pool, &w->stats, hits};
    w->steer = (struct steer){.owners = owners,
                              .net = w->net,
                              .toeplitz = &toeplitz,
                              .stats = &w->stats,
                              .workers = 2,
                              .exception = true};
    exception_open(&w->exception, kernel, 0, &w->stats);
}

static void world_take(struct world *w)
{
    struct buf *b;
    while (net_take(w->net, &b, 1)) {
        tg_assert(b->refs == 1 && b->len >= ETH_BYTES + 28);
        buf_unref(&w->pool.pool, b);
    }
}

/* What the kernel gets is the frame as it came, or nothing. */
static void world_punt(struct world *w, const struct buf *b)
{
    static struct exception_frame frame;
    uint64_t before = w->stats.value[TG_C_exception_in];
    exception_punt(&w->exception, b, w->now);
    unsigned n = exception_host_take(kernel, &frame, 1);
    tg_assert(n == w->stats.value[TG_C_exception_in] - before);
    tg_assert(n == 0 ||
              (frame.len == buf_chain_len(b) && memcmp(frame.bytes, b->data, b->len) == 0));
}

/* The packet path up to tcp. */
static void world_receive(struct world *w, struct buf *b)
{
    if (!filter_burst(&w->filter, &b, 1, w->now))
        return;
    steer_burst(&w->steer, &b, 1, w->now);
    tg_assert(b->l4 <= b->payload && b->payload <= b->len);
    if (b->ip_proto == IP_PROTO_TCP) {
        struct tcp_segment s = wire_tcp(b);
        struct ip_tuple t = wire_tuple(b);
        tg_assert(s.options.len <= 40 && s.options.data + s.options.len <= b->data + b->len);
        tg_assert(wire_tuple_hash(&toeplitz, &t) == b->rx_hash);
        tg_assert(TCP_BYTES + s.options.len + s.payload_bytes == b->l4_len);
    }
    if (b->verdict == BUF_PUNT || (b->verdict == BUF_LOCAL && b->ip_proto != IP_PROTO_TCP &&
                                   steer_concerns_kernel(&w->steer, b)))
        world_punt(w, b);
    if (b->verdict == BUF_LOCAL && b->ip_proto != IP_PROTO_TCP)
        net_input(w->net, b, w->now);
    else
        buf_unref(&w->pool.pool, b);
    world_take(w);
}

/* Cut the frame into two pieces. */
static void frame_split(struct world *w, struct buf *b, unsigned at)
{
    at %= b->len + 1u;
    b->next = test_buf_tight(&w->pool.pool, b->data + at, b->len - at);
    buf_trim(b, (uint16_t)at);
}

static void record_frame(struct world *w, uint8_t op, struct buf *frame, struct span_reader *r)
{
    for (unsigned edits = span_read_u8(r) & 7; edits; edits--) {
        uint8_t offset = span_read_u8(r), value = span_read_u8(r);
        if (offset < frame->len)
            frame->data[offset] = value;
    }
    size_t len = op & RECORD_CUT ? span_read_u8(r) % (frame->len + 1u) : frame->len;
    struct buf *b = test_buf_tight(&w->pool.pool, frame->data, len);
    buf_unref(&w->pool.pool, frame);
    if (op & RECORD_FIX_ICMP && len >= ETH_BYTES + IP4_BYTES)
        corpus_fix_icmp(b);
    if (op & RECORD_VOUCH)
        b->flags = BUF_RX_IP_CSUM_GOOD | BUF_RX_L4_CSUM_GOOD;
    if (op & RECORD_SPLIT)
        frame_split(w, b, span_read_u8(r));
    world_receive(w, b);
}

static void record_output(struct world *w, struct span_reader *r)
{
    uint8_t what = span_read_u8(r);
    struct ip_emit ip = {.proto = IP_PROTO_TCP};
    ip.source = test_addr(what & 1 ? "192.0.2.1" : "2001:db8:1::1");
    ip.destination = test_addr(what & 1 ? "192.0.2.0" : "2001:db8:1::");
    ip.destination.bytes[15] = what;
    ip.destination.bytes[13] ^= what & 2; /* beyond the gateway for half of them (IPv4) */
    struct buf *b = test_buf(&w->pool.pool, "segment segment segment", 23);
    if (net_output(w->net, b, &ip, 16, w->now) != TG_OK)
        tg_assert(w->stats.value[TG_C_net_no_route] > 0);
    world_take(w);
}

static void record_run(struct world *w, uint8_t op, struct span_reader *r)
{
    unsigned what = op & 15;
    if (what == RECORD_TICK) {
        w->now += (tg_ns)span_read_u8(r) * (op & RECORD_CUT ? 10 * TG_S : 100 * TG_MS);
        net_tick(w->net, w->now);
        world_take(w);
    } else if (what == RECORD_OUTPUT) {
        record_output(w, r);
    } else if (what == RECORD_RAW) {
        size_t n = span_read_u8(r);
        if (n > span_reader_left(r))
            n = span_reader_left(r);
        record_frame(w, op, test_buf(&w->pool.pool, span_read(r, n), n), r);
    } else {
        record_frame(w, op, corpus_frame(&w->pool.pool, what), r);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world w;
    if (!rules)
        tables_make();
    world_make(&w);
    struct span_reader r = span_reader_make(span_make(data, size));
    for (unsigned records = 0; span_reader_left(&r) && r.ok && records < 200; records++)
        record_run(&w, span_read_u8(&r), &r);
    tg_assert(net_neighbours(w.net, NULL, 0) <= NET_NEIGHBOURS_MAX);
    net_destroy(w.net);
    tg_assert(w.pool.outstanding == 0);
    return 0;
}
