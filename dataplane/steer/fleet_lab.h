/* SPDX-License-Identifier: BSD-3-Clause
 * For the tests of this folder only: a fleet of three nodes that share two service addresses, each with its
 * steer and its net: where does a packet end, and which way did it go? Frames travel as bytes from one net
 * to the next steer.
 */
#ifndef DATAPLANE_STEER_FLEET_LAB_H
#define DATAPLANE_STEER_FLEET_LAB_H

#include "net/net_test_harness.h"
#include "net/owner_test_support.h"
#include "steer/fleet_test_support.h"
#include "steer/steer.h"
#include "steer/tunnel.h"

#define SERVICE4 "203.0.113.80"
#define SERVICE6 "2001:db8:f::80"
#define CLIENT4  "198.51.100.7"
#define CLIENT6  "2001:db8:9::7"
#define WALL_MS  1700000000000ull
#define NONE     OWNER_SLOT_NONE

/* Site 1: A and C; site 4: B. */
enum { A, B, C, NODES };
static const uint16_t slots[NODES] = {10, 20, 11};
static const struct test_node table_nodes[] = {
    {10, 1, "192.0.2.10", "2001:db8:1::10"},
    {11, 1, "192.0.2.11", "2001:db8:1::11"},
    {20, 4, "192.0.2.20", "2001:db8:1::20"},
};

struct node {
    struct steer steer;
    struct fleet fleet;
    struct steer_limits limits;
    struct stats stats;
    struct net *net;
    struct ip_tuple owned; /* the one connection that it has */
    bool owns;
    uint32_t odd_ack; /* a segment with this ACK number does not fit it */
};

struct lab {
    struct test_pool pool;
    struct toeplitz toeplitz;
    struct tables_owners *tables[NODES]; /* in force at each */
    struct node node[NODES];
    char way[40]; /* nodes that the packet met: "ACB" */
    tg_ns now;
};

static inline enum steer_claim node_claim(const void *arg, const struct ip_tuple *tuple,
                                          uint32_t hash, const struct tcp_segment *s)
{
    const struct node *n = arg;
    if (!n->owns || memcmp(&n->owned, tuple, sizeof *tuple) != 0)
        return STEER_STRANGER;
    return s && s->flags & TCP_ACK && s->ack == n->odd_ack ? STEER_DOUBTFUL : STEER_OURS;
}

/* Node n has asked for a neighbour of the family, and has its answer. */
static inline void neighbour_learn(struct lab *l, struct node *n, const struct fleet_node *peer,
                                   unsigned family)
{
    struct ip_emit ip = {.proto = IP_PROTO_UDP,
                         .source = n->fleet.nodes[n->fleet.self].address[family],
                         .destination = peer->address[family]};
    assert_int_equal(net_output(n->net, test_buf(&l->pool.pool, "12345678", 8), &ip, 6, 0), TG_OK);
    struct buf *b = test_frame_neighbour(&l->pool.pool, &ip.destination, test_mac_ours, &ip.source,
                                         test_mac_ours);
    assert_int_equal(wire_parse(b, &l->toeplitz), TG_C_none);
    net_input(n->net, b, 0);
}

static inline void neighbours_learn(struct lab *l, struct node *n)
{
    for (unsigned k = 0; k < NODES; k++)
        if (k != n->fleet.self) {
            neighbour_learn(l, n, &n->fleet.nodes[k], FLEET_IP4);
            neighbour_learn(l, n, &n->fleet.nodes[k], FLEET_IP6);
        }
    struct buf *b;
    while (net_take(n->net, &b, 1))
        buf_unref(&l->pool.pool, b);
}

static inline void node_start(struct lab *l, unsigned i)
{
    static const uint64_t key[2] = {3, 4};
    struct node *n = &l->node[i];
    l->tables[i] = test_fleet_table(table_nodes, NODES, 1, 9);
    test_fleet_buckets(l->tables[i], slots[i], NONE, NONE, NONE);
    assert_int_equal(fleet_build(&n->fleet, l->tables[i], slots[i]), TG_OK);
    const struct fleet_node *self = &n->fleet.nodes[n->fleet.self];
    struct net_config c = {.port_count = 1, .address_count = 4};
    memcpy(c.ports[0].mac, test_mac_ours, 6);
    c.ports[0].mtu = 1500;
    c.addresses[0] = (struct net_address){self->address[FLEET_IP4], 96 + 24, 0};
    c.addresses[1] = (struct net_address){self->address[FLEET_IP6], 64, 0};
    c.addresses[2] = (struct net_address){test_addr(SERVICE4), 128, 0};
    c.addresses[3] = (struct net_address){test_addr(SERVICE6), 128, 0};
    assert_int_equal(net_create(&c, &l->pool.pool, &n->stats, &l->toeplitz, 1, NULL, NULL, &n->net),
                     TG_OK);
    steer_limits_init(&n->limits, 1000000, 1000, key);
    n->steer = (struct steer){.owners = l->tables[i],
                              .net = n->net,
                              .toeplitz = &l->toeplitz,
                              .stats = &n->stats,
                              .workers = 1,
                              .node_slot = slots[i],
                              .fleet = &n->fleet,
                              .limits = &n->limits,
                              .claim = node_claim,
                              .claim_arg = n,
                              .wall_offset_ns = (int64_t)(WALL_MS * TG_MS)};
    neighbours_learn(l, n);
    memset(&n->stats, 0, sizeof n->stats);
}

static inline int lab_set_up(void **state)
{
    struct lab *l = aligned_alloc(TG_CACHE_LINE, (sizeof *l + 63) & ~(size_t)63);
    memset(l, 0, sizeof *l);
    test_pool_init(&l->pool, 0);
    test_toeplitz_init(&l->toeplitz, 7);
    for (unsigned i = 0; i < NODES; i++)
        node_start(l, i);
    *state = l;
    return 0;
}

static inline int lab_tear_down(void **state)
{
    struct lab *l = *state;
    for (unsigned i = 0; i < NODES; i++) {
        net_destroy(l->node[i].net);
        free(l->tables[i]);
    }
    int leaked = l->pool.outstanding != 0;
    free(l);
    return leaked;
}

/* Take new buckets into force at one node. */
static inline void use_buckets(struct lab *l, unsigned i, uint16_t newest, uint16_t second,
                               uint16_t third, uint16_t oldest)
{
    test_fleet_buckets(l->tables[i], newest, second, third, oldest);
}

static inline uint64_t counted_at(const struct lab *l, unsigned i, enum tg_counter c)
{
    return l->node[i].stats.value[c];
}

/* --- packets --------------------------------------------------------------------------------- */

static inline struct ip_tuple client(bool is4, uint16_t port)
{
    return (struct ip_tuple){test_addr(is4 ? SERVICE4 : SERVICE6),
                             test_addr(is4 ? CLIENT4 : CLIENT6), 80, port};
}

/* The node has this connection. */
static inline void own(struct lab *l, unsigned i, const struct ip_tuple *t)
{
    l->node[i].owned = *t;
    l->node[i].owns = true;
}

static inline struct owner_cookie cookie(const struct lab *l, unsigned owner,
                                         const struct ip_tuple *t)
{
    return owner_cookie_make(&l->node[owner].fleet.me, t, 0, 12345);
}

/* As io delivers it: at BUF_HEADROOM. */
static inline struct buf *fresh(struct lab *l, struct buf *made)
{
    struct buf *b = test_buf(&l->pool.pool, made->data, made->len);
    memset(&b->path, 0x7f, sizeof b->path); /* of an earlier life of the frame */
    buf_unref(&l->pool.pool, made);
    return b;
}

static inline struct buf *tcp_frame(struct lab *l, const struct ip_tuple *t, uint8_t flags,
                                    uint32_t ack, const uint32_t *echo, size_t bytes)
{
    static const uint8_t zeros[1500];
    uint8_t options[12] = {1, 1, 8, 10};
    wire_put32(options + 4, 77);
    if (echo)
        wire_put32(options + 8, *echo);
    return fresh(l, test_frame_tcp(&l->pool.pool, t, 1000, ack, flags, 100,
                                   span_make(options, echo ? 12 : 0), span_make(zeros, bytes)));
}

/* A segment that a client of `owner` sends: with timestamps, or with its ACK number only. */
static inline struct buf *segment(struct lab *l, unsigned owner, const struct ip_tuple *t, bool ts)
{
    struct owner_cookie c = cookie(l, owner, t);
    uint32_t echo = owner_cookie_value(c.ts_base, OWNER_TICK * 2, 0);
    return tcp_frame(l, t, TCP_ACK, c.isn + 1 + 5000, ts ? &echo : NULL, 100);
}

/* --- the way of a packet ----------------------------------------------------------------------- */

static inline unsigned node_at(const struct lab *l, const struct buf *b)
{
    struct ip_addr to = wire_destination(b);
    for (unsigned i = 0; i < NODES; i++) {
        const struct fleet *f = &l->node[i].fleet;
        for (unsigned family = 0; family < FLEET_FAMILIES; family++)
            if (ip_addr_equal(&f->nodes[f->self].address[family], &to))
                return i;
    }
    fail_msg("a frame for nobody");
    return 0;
}

struct outcome {
    uint8_t verdict, worker;
    uint16_t reason;
    struct ip_tuple tuple; /* of TCP */
};

static inline struct outcome finish(struct lab *l, struct buf *b)
{
    struct outcome o = {b->verdict, b->worker, b->reason, {{{0}}, {{0}}, 0, 0}};
    if (b->ip_proto == IP_PROTO_TCP)
        o.tuple = wire_tuple(b);
    buf_unref(&l->pool.pool, b);
    return o;
}

/* The packet path of one node up to its verdict; then, while it is NODE, on to the next. */
static inline struct outcome deliver(struct lab *l, unsigned at, struct buf *b)
{
    memset(l->way, 0, sizeof l->way);
    for (unsigned hop = 0;; hop++) {
        struct node *n = &l->node[at];
        assert_true(hop < 10);
        l->way[hop] = "ABC"[at];
        if (!(b->flags & BUF_HANDED_OVER))
            assert_int_equal(wire_parse(b, &l->toeplitz), TG_C_none);
        steer_burst(&n->steer, &b, 1, l->now);
        if (b->verdict != BUF_NODE)
            return finish(l, b);
        enum tg_counter reason = steer_forward(&n->steer, n->net, b, l->now);
        if (reason != TG_C_none) {
            b->verdict = BUF_DROP;
            b->reason = (uint16_t)reason;
            return finish(l, b);
        }
        struct buf *out = NULL;
        assert_int_equal(net_take(n->net, &out, 1), 1);
        assert_ptr_equal(out, b);
        b = fresh(l, out);
        assert_int_equal(wire_parse(b, &l->toeplitz), TG_C_none);
        at = node_at(l, b);
    }
}

static inline void expect(struct lab *l, struct outcome o, enum buf_verdict verdict,
                          const char *way)
{
    assert_string_equal(l->way, way);
    assert_int_equal(o.verdict, verdict);
}

static inline void expect_drop(struct lab *l, struct outcome o, enum tg_counter reason,
                               const char *way)
{
    expect(l, o, BUF_DROP, way);
    assert_string_equal(stats_name(o.reason), stats_name(reason));
}

#define LAB_TEST(name) cmocka_unit_test_setup_teardown(name, lab_set_up, lab_tear_down)

#endif
