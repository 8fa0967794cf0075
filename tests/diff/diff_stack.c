/* SPDX-License-Identifier: BSD-3-Clause
 * Our stack's end of a script: net and tcp alone, in virtual time that hardly moves, so that no timer fires
 * between two steps.
 */
#include "net/net_test_support.h"
#include "tcp/tcp.h"
#include "tests/diff/diff.h"

#define STEP_TIME (10 * TG_US)

struct stack {
    struct test_pool pool;
    struct stats stats;
    struct toeplitz toeplitz;
    struct timer_wheel wheel;
    struct net *net;
    struct tcp *tcp;
    tcp_handle h;
    tg_ns now;
    const struct ip_tuple *tuple;
};

static bool tx_done(const void *arg, const struct buf *b)
{
    return true;
}

static void stack_open(struct stack *s, const struct script *script)
{
    memset(s, 0, sizeof *s);
    test_pool_init(&s->pool, 0);
    test_toeplitz_init(&s->toeplitz, 7);
    s->now = 1000 * TG_S;
    timer_wheel_init(&s->wheel, s->now);
    struct net_config n = {.port_count = 1, .address_count = 2};
    memcpy(n.ports[0].mac, test_mac_ours, 6);
    n.ports[0].mtu = 1500;
    n.addresses[0] = (struct net_address){test_addr("192.0.2.1"), 96 + 24, 0};
    n.addresses[1] = (struct net_address){test_addr("2001:db8::1"), 64, 0};
    struct tcp_config t = {.connections_max = 4,
                           .half_open_max = 4,
                           .time_wait_max = 4,
                           .receive_window_max = 262144,
                           .send_buffer_max = 262144,
                           .isn_key = {script->seed, 12},
                           .seed = script->seed};
    tg_assert(net_create(&n, &s->pool.pool, &s->stats, &s->toeplitz, 42, NULL, NULL, &s->net) ==
              TG_OK);
    tg_assert(tcp_create(&t, s->net, &s->pool.pool, &s->wheel, &s->stats, &s->toeplitz, tx_done,
                         NULL, &s->tcp) == TG_OK);
    tg_assert(tcp_listen(s->tcp, DIFF_PORT, 1) == TG_OK);
}

static void stack_close(struct stack *s)
{
    tcp_destroy(s->tcp);
    net_destroy(s->net);
    tg_assert(s->pool.outstanding == 0);
}

/* The neighbour answers at once: what ARP and ND ask is what the script's side would say. */
static void link_answer(struct stack *s, const struct buf *b)
{
    if (wire_get16(b->data + 12) == ETHERTYPE_ARP) {
        struct buf *reply = test_frame_arp(&s->pool.pool, 2, test_mac_peer, &s->tuple->remote,
                                           test_mac_ours, &s->tuple->local);
        tg_assert(wire_parse(reply, &s->toeplitz) == TG_C_none);
        net_input(s->net, reply, s->now);
        return;
    }
    uint8_t body[24];
    memcpy(body, s->tuple->remote.bytes, 16);
    body[16] = 2;
    body[17] = 1;
    memcpy(body + 18, test_mac_peer, 6);
    struct buf *reply = test_frame_icmp(&s->pool.pool, &s->tuple->remote, &s->tuple->local, 136, 0,
                                        0x60000000, span_make(body, sizeof body));
    tg_assert(wire_parse(reply, &s->toeplitz) == TG_C_none);
    net_input(s->net, reply, s->now);
}

static bool asks_for_neighbour(const struct buf *b)
{
    if (wire_get16(b->data + 12) == ETHERTYPE_ARP)
        return true;
    return wire_get16(b->data + 12) == ETHERTYPE_IP6 && b->data[ETH_BYTES + 6] == IP_PROTO_ICMP6;
}

static void stack_turn(struct stack *s, struct view *view, unsigned step)
{
    struct tcp_event e;
    struct buf *b;
    s->now += STEP_TIME;
    timers_run(&s->wheel, s->now, UINT32_MAX);
    while (tcp_events(s->tcp, &e, 1))
        if (e.bits & TCP_EV_ACCEPTED)
            s->h = e.handle;
    while (tcp_output(s->tcp, s->now))
        ;
    while (net_take(s->net, &b, 1)) {
        if (asks_for_neighbour(b))
            link_answer(s, b);
        else
            view_take(view, step, s->tuple, span_make(b->data + ETH_BYTES, b->len - ETH_BYTES));
        buf_unref(&s->pool.pool, b);
    }
}

static void stack_read(struct stack *s, struct observation *seen)
{
    uint32_t n = tcp_unread(s->tcp, s->h);
    tcp_consume(s->tcp, s->h, n);
    seen->result = (int)n;
}

static void stack_write(struct stack *s, uint32_t len, struct observation *seen)
{
    uint8_t bytes[1000] = {0};
    seen->result = tcp_write(s->tcp, s->h, span_make(bytes, len)) == len ? (int)len : -1;
}

static void stack_segment(struct stack *s, const struct script *script, const struct step *step,
                          const struct view *view)
{
    uint8_t frame[ETH_BYTES + 2048];
    memcpy(frame, test_mac_ours, 6);
    memcpy(frame + 6, test_mac_peer, 6);
    wire_put16(frame + 12, script->ip6 ? ETHERTYPE_IP6 : ETHERTYPE_IP4);
    size_t n = script_packet(script, step, view, s->tuple, frame + ETH_BYTES);
    struct buf *b = test_buf(&s->pool.pool, frame, ETH_BYTES + n);
    if (wire_parse(b, &s->toeplitz) == TG_C_none)
        tcp_input(s->tcp, &b, 1, s->now);
    else
        buf_unref(&s->pool.pool, b);
}

void stack_run(const struct script *script, struct view *view)
{
    struct stack s;
    struct ip_tuple tuple = script_tuple(script, 0);
    stack_open(&s, script);
    s.tuple = &tuple;
    memset(view, 0, sizeof *view);
    for (unsigned i = 0; i < script->count; i++) {
        const struct step *step = &script->steps[i];
        struct observation *seen = &view->seen[i];
        switch (step->kind) {
        case STEP_SEGMENT:
            stack_segment(&s, script, step, view);
            break;
        case STEP_READ:
            stack_read(&s, seen);
            break;
        case STEP_WRITE:
            stack_write(&s, step->len, seen);
            break;
        case STEP_SHUTDOWN:
            tcp_shutdown(s.tcp, s.h);
            break;
        case STEP_CLOSE:
            tcp_close(s.tcp, s.h);
            break;
        }
        stack_turn(&s, view, i);
    }
    stack_close(&s);
}
