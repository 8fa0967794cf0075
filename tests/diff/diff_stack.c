/* SPDX-License-Identifier: BSD-3-Clause
 * Our stack's end of a script: net and tcp alone, in virtual time that hardly moves, so that no timer fires
 * between two steps.
 */
#include "tcp/tcp_internal.h"
#include "tcp/tcp_test_node.h"
#include "tests/diff/diff.h"

#define STEP_TIME (10 * TG_US)

struct stack {
    struct node node;
    tcp_handle h;
    const struct ip_tuple *tuple;
};

static void stack_open(struct stack *s, const struct script *script)
{
    struct node_place place = {.now = 1000 * TG_S,
                               .address4 = {test_addr("192.0.2.1"), 96 + 24, 0},
                               .address6 = {test_addr("2001:db8::1"), 64, 0},
                               .seed = 42};
    struct tcp_config config = {.connections_max = 4,
                                .tso_bytes_max = UINT32_MAX,
                                .tso_segments_max = UINT8_MAX,
                                .half_open_max = 4,
                                .time_wait_max = 4,
                                .receive_window_max = 262144,
                                .send_buffer_max = 262144,
                                .isn_key = {script->seed, 12},
                                .seed = script->seed};
    memcpy(place.mac, test_mac_ours, sizeof place.mac);
    s->h = TCP_NONE;
    tg_assert(node_open(&s->node, &place, &config) == TG_OK);
    tg_assert(tcp_listen(s->node.tcp, DIFF_PORT, 1) == TG_OK);
}

static void stack_close(struct stack *s)
{
    node_close(&s->node);
    tg_assert(s->node.pool.outstanding == 0 && s->node.wheel.armed == 0);
}

static void stack_turn(struct stack *s, struct view *view, unsigned step)
{
    struct tcp_event e;
    struct buf *b;
    s->node.now += STEP_TIME;
    timers_run(&s->node.wheel, s->node.now, UINT32_MAX);
    while (tcp_events(s->node.tcp, &e, 1))
        if (e.bits & TCP_EV_ACCEPTED)
            s->h = e.handle;
    while (tcp_output(s->node.tcp, s->node.now))
        ;
    while (net_take(s->node.net, &b, 1)) {
        if (!node_link_answers(&s->node, b))
            view_take(view, step, s->tuple, span_make(b->data + ETH_BYTES, b->len - ETH_BYTES));
        buf_unref(&s->node.pool.pool, b);
    }
}

static void stack_read(struct stack *s, struct observation *seen)
{
    uint32_t n = tcp_unread(s->node.tcp, s->h);
    tcp_consume(s->node.tcp, s->h, n);
    seen->result = (int)n;
}

static void stack_write(struct stack *s, uint32_t len, struct observation *seen)
{
    uint8_t bytes[1000] = {0};
    seen->result = tcp_write(s->node.tcp, s->h, span_make(bytes, len)) == len ? (int)len : -1;
}

static void stack_segment(struct stack *s, const struct script *script, const struct step *step,
                          const struct view *view)
{
    uint8_t frame[ETH_BYTES + 2048];
    memcpy(frame, test_mac_ours, 6);
    memcpy(frame + 6, test_mac_peer, 6);
    wire_put16(frame + 12, script->ip6 ? ETHERTYPE_IP6 : ETHERTYPE_IP4);
    size_t n = script_packet(script, step, view, s->tuple, frame + ETH_BYTES);
    struct buf *b = test_buf(&s->node.pool.pool, frame, ETH_BYTES + n);
    (void)node_take(&s->node, b);
}

static struct standing stack_standing(const struct stack *s, const struct view *view)
{
    const struct tcp *tcp = s->node.tcp;
    uint32_t flow = tcp_lookup(tcp, s->tuple, wire_tuple_hash(&s->node.toeplitz, s->tuple));
    if (flow == FLOW_TABLE_NONE || (flow & (TCP_FLOW_TW | TCP_FLOW_SYN)) == TCP_FLOW_SYN)
        return (struct standing){.state = TCP_S_CLOSED};
    if (flow & TCP_FLOW_TW) {
        const struct tcp_tw *tw = &tcp->tw.records[flow & ~TCP_FLOW_TW];
        uint32_t snd_nxt = tw->snd_nxt - view->iss;
        return (struct standing){TCP_S_TIME_WAIT, tw->rcv_nxt - DIFF_SCRIPT_ISS, snd_nxt, snd_nxt};
    }
    const struct tcp_pcb *pcb = tcp_pcb_at(tcp, flow);
    return (struct standing){.state = pcb->state,
                             .rcv_nxt = pcb->rcv_nxt - DIFF_SCRIPT_ISS,
                             .snd_una = pcb->snd_una - view->iss,
                             .snd_nxt = pcb->snd_nxt - view->iss};
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
        view->before[i] = stack_standing(&s, view);
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
            tcp_shutdown(s.node.tcp, s.h);
            break;
        case STEP_CLOSE:
            tcp_close(s.node.tcp, s.h);
            break;
        }
        stack_turn(&s, view, i);
    }
    stack_close(&s);
}
