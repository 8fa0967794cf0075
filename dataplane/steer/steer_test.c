/* SPDX-License-Identifier: BSD-3-Clause
 * Verdicts: each kind of packet, each state of the bucket table.
 */
#include "net/net_test_harness.h"
#include "steer/steer.h"

#define US    "192.0.2.1"
#define PEER  "198.51.100.7"
#define US6   "2001:db8:1::1"
#define PEER6 "2001:db8:9::7"
#define SLOT  17

struct fixture {
    struct harness *h;
    struct steer steer;
    struct tables_owners *owners; /* two buckets, to be filled by the test */
};

static int set_up(void **state)
{
    void *h;
    harness_set_up(&h);
    struct fixture *f = calloc(1, sizeof *f);
    f->h = h;
    f->owners = calloc(1, sizeof *f->owners + 2 * sizeof f->owners->owners[0]);
    f->owners->bucket_count = 2;
    f->steer = (struct steer){.net = f->h->net,
                              .toeplitz = &f->h->toeplitz,
                              .stats = &f->h->stats,
                              .worker = 0,
                              .workers = 1,
                              .node_slot = SLOT};
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    void *h = f->h;
    free(f->owners);
    free(f);
    return harness_tear_down(&h);
}

/* Parse, steer, free: what became of it. */
struct outcome {
    uint8_t verdict, worker;
    uint16_t reason;
    uint32_t flow, hash;
};
static struct outcome steer_flagged(struct fixture *f, struct buf *b, uint16_t flags)
{
    assert_int_equal(wire_parse(b, &f->h->toeplitz), TG_C_none);
    b->flags |= flags;
    b->worker = (uint8_t)f->steer.worker;
    steer_burst(&f->steer, &b, 1, 0);
    struct outcome o = {b->verdict, b->worker, b->reason, b->flow, b->rx_hash};
    buf_unref(&f->h->pool.pool, b);
    return o;
}
static struct outcome steer(struct fixture *f, struct buf *b)
{
    return steer_flagged(f, b, 0);
}

static struct buf *tcp(struct fixture *f, const char *to, const char *from, uint16_t port,
                       uint8_t flags)
{
    struct ip_tuple t = {test_addr(to), test_addr(from), 80, port};
    return test_frame_tcp(&f->h->pool.pool, &t, 1, 1, flags, 1, SPAN_EMPTY, SPAN_EMPTY);
}

static struct buf *icmp(struct fixture *f, const char *from, const char *to, uint8_t type,
                        struct span body)
{
    struct ip_addr s = test_addr(from), d = test_addr(to);
    return test_frame_icmp(&f->h->pool.pool, &s, &d, type, 0, 1400, body);
}

static void expect_drop(struct outcome o, enum tg_counter reason)
{
    assert_int_equal(o.verdict, BUF_DROP);
    assert_int_equal(o.reason, reason);
}

static void tcp_to_us_is_local(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(steer(f, tcp(f, US, PEER, 4000, TCP_SYN)).verdict, BUF_LOCAL);
    assert_int_equal(steer(f, tcp(f, US6, PEER6, 4000, TCP_ACK)).verdict, BUF_LOCAL);
    assert_int_equal(counted(f->h, TG_C_steer_local), 2);
}

static void udp_to_us_is_dropped(void **state)
{
    struct fixture *f = *state;
    struct ip_tuple t = {test_addr(US), test_addr(PEER), 53, 4000};
    expect_drop(steer(f, test_frame_udp(&f->h->pool.pool, &t, SPAN_EMPTY)), TG_C_net_protocol);
    assert_int_equal(counted(f->h, TG_C_steer_punt), 0);
}

static void link_and_icmp_are_local(void **state)
{
    struct fixture *f = *state;
    struct ip_addr us = test_addr(US), peer = test_addr("192.0.2.9");
    assert_int_equal(
        steer(f, test_frame_arp(&f->h->pool.pool, 1, test_mac_peer, &peer, test_mac_ours, &us))
            .verdict,
        BUF_LOCAL);
    struct buf *ns = nd_frame(f->h, 135, PEER6, "ff02::1:ff00:1", US6, 0, test_mac_peer);
    memcpy(ns->data, "\x33\x33\xff\0\0\1", 6);
    assert_int_equal(steer(f, ns).verdict, BUF_LOCAL);
    assert_int_equal(steer(f, icmp(f, PEER, US, 8, SPAN_EMPTY)).verdict, BUF_LOCAL);
    assert_int_equal(steer(f, icmp(f, PEER6, US6, 128, SPAN_EMPTY)).verdict, BUF_LOCAL);
    assert_int_equal(counted(f->h, TG_C_steer_local), 4);
}

static void foreign_addresses_are_dropped(void **state)
{
    struct fixture *f = *state;
    expect_drop(steer(f, tcp(f, "192.0.2.77", PEER, 4000, TCP_SYN)), TG_C_net_not_for_us);
    expect_drop(steer(f, tcp(f, "2001:db8:1::77", PEER6, 4000, TCP_SYN)), TG_C_net_not_for_us);
    expect_drop(steer(f, icmp(f, PEER, "192.0.2.255", 8, SPAN_EMPTY)), TG_C_net_not_for_us);
    struct buf *b = tcp(f, US, PEER, 4000, TCP_SYN);
    b->data[5] ^= 1; /* another station's frame, flooded by a switch */
    expect_drop(steer(f, b), TG_C_net_not_for_us);
}

static void sources_of_ours_are_dropped(void **state)
{
    struct fixture *f = *state;
    expect_drop(steer(f, tcp(f, US, "192.0.2.255", 4000, TCP_SYN)), TG_C_net_address);
    net_destroy(f->h->net);
    f->h->config.addresses[2] = (struct net_address){test_addr("192.0.2.2"), 96 + 24, 0};
    f->h->config.address_count = 3;
    harness_start(f->h);
    f->steer.net = f->h->net;
    expect_drop(steer(f, tcp(f, US, "192.0.2.2", 4000, TCP_SYN)), TG_C_net_address);
    assert_int_equal(counted(f->h, TG_C_steer_local), 0);
}

static void hash_chooses_the_worker(void **state)
{
    struct fixture *f = *state;
    unsigned local = 0, away = 0;
    f->steer.workers = 4;
    f->steer.worker = 2;
    for (uint16_t port = 1000; port < 1200; port++) {
        struct outcome o = steer(f, tcp(f, US, PEER, port, TCP_ACK));
        unsigned worker = steer_worker_of(o.hash, 4);
        assert_int_equal(o.verdict, worker == 2 ? BUF_LOCAL : BUF_CORE);
        assert_int_equal(o.worker, worker);
        local += o.verdict == BUF_LOCAL;
        away += o.verdict == BUF_CORE;
    }
    assert_in_range(local, 20, 90);
    assert_int_equal(counted(f->h, TG_C_steer_local), local);
    assert_int_equal(counted(f->h, TG_C_steer_core), away);
    f->steer.spread_by_port = true; /* the port's RSS has chosen: what arrives stays */
    for (uint16_t port = 1000; port < 1200; port++)
        assert_int_equal(steer(f, tcp(f, US, PEER, port, TCP_ACK)).verdict, BUF_LOCAL);
}

static void handed_over_frames_are_local(void **state)
{
    struct fixture *f = *state;
    f->steer.workers = 16;
    for (uint16_t port = 1000; port < 1050; port++)
        assert_int_equal(steer_flagged(f, tcp(f, US, PEER, port, TCP_ACK), BUF_HANDED_OVER).verdict,
                         BUF_LOCAL);
}

static void newest_owner_decides(void **state)
{
    struct fixture *f = *state;
    f->steer.owners = f->owners;
    const uint16_t mine[4] = {SLOT, 3, 0xffff, 0xffff}, other[4] = {9, SLOT, 0xffff, 0xffff};
    memcpy(f->owners->owners[0], mine, sizeof mine);
    memcpy(f->owners->owners[1], other, sizeof other);
    unsigned seen[2] = {0};
    for (uint16_t port = 1000; port < 1100; port++) {
        struct outcome o = steer(f, tcp(f, US, PEER, port, TCP_SYN));
        unsigned bucket = o.hash >> 7 & 1;
        seen[bucket]++;
        assert_int_equal(o.verdict, bucket ? BUF_NODE : BUF_LOCAL);
        assert_int_equal(o.flow, bucket ? 9 : BUF_FLOW_NONE);
    }
    assert_true(seen[0] > 20 && seen[1] > 20);
    assert_int_equal(counted(f->h, TG_C_steer_node), seen[1]);
}

static void bucket_of_nobody_resets_but_lets_a_syn_try_again(void **state)
{
    struct fixture *f = *state;
    f->steer.owners = f->owners;
    memset(f->owners->owners, 0xff, 2 * sizeof f->owners->owners[0]);
    assert_int_equal(steer(f, tcp(f, US, PEER, 4000, TCP_ACK)).verdict, BUF_RST);
    assert_int_equal(steer(f, tcp(f, US, PEER, 4000, TCP_FIN | TCP_ACK)).verdict, BUF_RST);
    assert_int_equal(steer(f, tcp(f, US, PEER, 4000, 0)).verdict, BUF_RST);
    expect_drop(steer(f, tcp(f, US, PEER, 4000, TCP_SYN)), TG_C_steer_drop);
    expect_drop(steer(f, tcp(f, US, PEER, 4000, TCP_SYN | TCP_ACK)), TG_C_steer_drop);
    expect_drop(steer(f, tcp(f, US, PEER, 4000, TCP_RST | TCP_ACK)), TG_C_steer_drop);
    assert_int_equal(counted(f->h, TG_C_steer_rst), 3);
    /* A former owner is one too: not nobody's. */
    f->owners->owners[0][3] = f->owners->owners[1][3] = 5;
    assert_int_equal(steer(f, tcp(f, US, PEER, 4000, TCP_ACK)).verdict, BUF_NODE);
}

/* The error must reach the worker that the quoted connection's packets reach. */
static void icmp_error_follows_its_connection(void **state)
{
    struct fixture *f = *state;
    f->steer.workers = 4;
    f->steer.worker = 1;
    f->steer.spread_by_port = true;
    unsigned moved = 0;
    for (uint16_t port = 1000; port < 1100; port++) {
        struct ip_tuple back = {test_addr(PEER), test_addr(US), port, 80}; /* what we sent */
        struct buf *sent =
            test_frame_tcp(&f->h->pool.pool, &back, 5, 6, TCP_ACK, 1, SPAN_EMPTY, SPAN_EMPTY);
        struct buf *received = tcp(f, US, PEER, port, TCP_ACK);
        assert_int_equal(wire_parse(received, &f->h->toeplitz), TG_C_none);
        unsigned worker = steer_worker_of(received->rx_hash, 4);
        struct outcome o =
            steer(f, icmp(f, "203.0.113.1", US, 3, span_make(sent->data + ETH_BYTES, 28)));
        assert_int_equal(o.verdict, worker == 1 ? BUF_LOCAL : BUF_CORE);
        assert_int_equal(o.worker, worker);
        moved += o.verdict == BUF_CORE;
        buf_unref(&f->h->pool.pool, sent);
        buf_unref(&f->h->pool.pool, received);
    }
    assert_in_range(moved, 50, 95);
    assert_int_equal(steer(f, icmp(f, PEER, US, 3, SPAN_LITERAL("rubbish"))).verdict, BUF_LOCAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(tcp_to_us_is_local),
        TEST(udp_to_us_is_dropped),
        TEST(link_and_icmp_are_local),
        TEST(foreign_addresses_are_dropped),
        TEST(sources_of_ours_are_dropped),
        TEST(hash_chooses_the_worker),
        TEST(handed_over_frames_are_local),
        TEST(newest_owner_decides),
        TEST(bucket_of_nobody_resets_but_lets_a_syn_try_again),
        TEST(icmp_error_follows_its_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
