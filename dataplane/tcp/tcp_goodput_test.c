/* SPDX-License-Identifier: BSD-3-Clause
 * What a stream gets out of a link, in virtual time: two whole stacks (tcp_pair.h), 100 Mbit/s, 50 ms there and back, a
 * queue that drops what does not fit. Pacing must cost nothing, and keep short queues from running over.
 */
#include "tcp/tcp_pair.h"

#define MBIT_100   80      /* ns a byte */
#define LINK_BYTES 12500u  /* a millisecond's */
#define BDP        625000u /* bytes in 50 ms */

static const char *const names[TCP_CC_COUNT] = {"cubic", "newreno"};

struct link {
    enum tcp_congestion_id congestion;
    bool no_pacing, ip6;
    uint32_t queue; /* bytes */
    unsigned loss_permille;
    uint64_t seed;
};

static struct pair *stream_start(const struct link *link)
{
    struct tcp_config c = node_config();
    c.receive_window_max = c.receive_window_initial = c.send_buffer_max = 8u << 20;
    c.unsent_low = 1u << 20;
    c.ooo_segments_max = 4096;
    c.congestion = link->congestion;
    c.no_pacing = link->no_pacing;
    struct pair *p = pair_new(&c, &c, link->seed);
    p->delay = 25 * TG_MS;
    p->byte_time = MBIT_100;
    p->check_every = 500; /* long queues: checked often enough, or it takes minutes */
    p->queue_max = link->queue;
    p->loss_permille = link->loss_permille;
    pair_connect(p, link->ip6);
    p->user[0].shut = p->user[1].shut = true; /* nobody closes */
    return p;
}

/* Payload received within `for_ns`, in permille of what the link carries (with headers, so 1000 is out of reach: 957
 * of 1000 bytes are payload with IPv4, Ethernet, timestamps; 943 with IPv6). */
static unsigned goodput(struct pair *p, tg_ns for_ns)
{
    p->user[0].to_send = UINT32_MAX;
    uint32_t before = p->user[1].received;
    pair_run(p, for_ns);
    return (unsigned)((uint64_t)(p->user[1].received - before) * 1000 /
                      (for_ns / TG_MS * LINK_BYTES));
}

static unsigned payload_permille(const struct pair *p)
{
    struct tcp_info info;
    assert_int_equal(tcp_get_info(p->node[0].tcp, p->user[0].h, &info), TG_OK);
    return info.mss * 1000u / (1500 + ETH_BYTES);
}

/* Of what the link can carry 95 % at least, slow start included; pacing takes nothing away. */
static void the_link_is_full(void **state)
{
    for (unsigned i = 0; i < 4; i++) {
        struct link link = {.congestion = i & 1 ? TCP_CC_NEWRENO : TCP_CC_CUBIC,
                            .no_pacing = (i & 2) != 0,
                            .ip6 = i == 1 || i == 2,
                            .queue = BDP,
                            .seed = 1};
        struct pair *p = stream_start(&link);
        unsigned start = goodput(p, 2 * TG_S), steady = goodput(p, 4 * TG_S);
        unsigned full = payload_permille(p);
        print_message("%s IPv%c %s: %u permille in 2 s, then %u, of %u; %u drops\n",
                      names[link.congestion], link.ip6 ? '6' : '4',
                      link.no_pacing ? "unpaced" : "paced", start, steady, full,
                      (unsigned)p->overflows);
        assert_true(steady * 100 >= full * 95);
        assert_true((start * 2 + steady * 8) * 100 >= full * 10 * 95); /* a stream of 10 s */
        assert_int_equal(node_counted(&p->node[0], TG_C_tcp_rto), 0);
        pair_end(p);
    }
}

/* A queue of an eighth of the BDP: bursts do not fit. */
static unsigned short_queue(bool no_pacing, uint64_t *drops)
{
    struct link link = {.queue = BDP / 8, .no_pacing = no_pacing, .seed = 2};
    struct pair *p = stream_start(&link);
    unsigned rate = goodput(p, 10 * TG_S);
    *drops = p->overflows;
    pair_end(p);
    return rate;
}

static void a_short_queue_likes_pacing(void **state)
{
    uint64_t paced_drops, unpaced_drops;
    unsigned paced = short_queue(false, &paced_drops), unpaced = short_queue(true, &unpaced_drops);
    print_message("queue of BDP / 8, 10 s: paced %u permille, %u drops; unpaced %u, %u\n", paced,
                  (unsigned)paced_drops, unpaced, (unsigned)unpaced_drops);
    assert_true(paced >= 800 && paced > unpaced);
}

/* A window of 400 KB is known to fit; the application pauses for less than a timeout, then writes 400 KB. */
static uint64_t drops_after_a_pause(bool no_pacing)
{
    struct link link = {.queue = 4 * BDP, .no_pacing = no_pacing, .seed = 3};
    struct pair *p = stream_start(&link);
    pair_run(p, TG_S);
    for (unsigned i = 0; i < 8; i++) { /* cwnd grows while it is used */
        p->user[0].to_send += 400000;
        pair_run(p, 150 * TG_MS);
    }
    struct tcp_info info;
    assert_int_equal(tcp_get_info(p->node[0].tcp, p->user[0].h, &info), TG_OK);
    assert_true(info.cwnd >= 350000 && info.unacked == 0);
    assert_int_equal(p->overflows, 0);
    struct tcp_pcb *pcb = tcp_pcb_find(p->node[0].tcp, p->user[0].h);
    pcb->ssthresh = pcb->act->cwnd = 400000; /* congestion avoidance, below the BDP */
    p->queue_max = 50000;
    p->user[0].to_send += 400000;
    pair_run(p, 5 * TG_S);
    uint64_t drops = p->overflows;
    assert_int_equal(p->user[1].received, p->user[0].to_send);
    pair_end(p);
    return drops;
}

static void a_pause_is_not_followed_by_a_burst(void **state)
{
    uint64_t paced = drops_after_a_pause(false), unpaced = drops_after_a_pause(true);
    print_message("400 KB after a pause, queue of 50 KB: %u drops, unpaced %u\n", (unsigned)paced,
                  (unsigned)unpaced);
    assert_int_equal(paced, 0);
    assert_true(unpaced > 50);
}

/* 1 % random loss: RFC 9438 s5.1.1, Reno's region: 1.2 / sqrt(p) = 12 segments a round trip, 28 permille. */
static void one_percent_loss(void **state)
{
    for (unsigned i = 0; i < 4; i++) {
        struct link link = {.congestion = i & 1 ? TCP_CC_NEWRENO : TCP_CC_CUBIC,
                            .no_pacing = (i & 2) != 0,
                            .queue = BDP,
                            .loss_permille = 10};
        unsigned sum = 0;
        for (link.seed = 1; link.seed <= 2; link.seed++) {
            struct pair *p = stream_start(&link);
            sum += goodput(p, 20 * TG_S);
            pair_end(p);
        }
        print_message("%s %s, 1 %% loss: %u permille\n", names[link.congestion],
                      link.no_pacing ? "unpaced" : "paced", sum / 2);
        assert_true(sum / 2 >= 24);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_link_is_full),
        cmocka_unit_test(a_short_queue_likes_pacing),
        cmocka_unit_test(a_pause_is_not_followed_by_a_burst),
        cmocka_unit_test(one_percent_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
