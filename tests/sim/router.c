/* SPDX-License-Identifier: BSD-3-Clause
 * Routing by a coin. Called by sim.c through the node's functions.
 */
#include "tests/sim/router.h"
#include "tests/sim/frame.h"

#define FRAME_MAX 2200

static struct router *router_of(struct sim_node *node)
{
    return tg_container_of(tg_container_of(node, struct host, node), struct router, host);
}

static bool app_turn(void *app, tg_ns now)
{
    return false; /* it has none */
}

/* --- where to? --------------------------------------------------------------------------------------------- */

static bool destination_of(struct span frame, struct ip_addr *to)
{
    uint16_t type = wire_get16(frame.data + 12);
    if (type == ETHERTYPE_IP4 && frame.len >= ETH_BYTES + IP4_BYTES) {
        *to = ip_addr_from4(frame.data + ETH_BYTES + 16);
        return true;
    }
    if (type == ETHERTYPE_IP6 && frame.len >= ETH_BYTES + IP6_BYTES) {
        memcpy(to->bytes, frame.data + ETH_BYTES + 24, 16);
        return true;
    }
    return false;
}

/* The node that a packet goes to; NULL: none, it is the router's own. */
static const struct edge *next_hop(struct router *r, const struct ip_addr *to)
{
    for (unsigned i = 0; i < 2; i++) {
        struct ip_addr own4 = sim_address4(r->edge[i]->number);
        struct ip_addr own6 = sim_address6(r->edge[i]->number);
        if (ip_addr_equal(to, &own4) || ip_addr_equal(to, &own6))
            return r->edge[i];
    }
    for (unsigned i = 0; i < 2; i++)
        if (ip_addr_equal(to, &r->service[i])) {
            r->routed[r->current]++;
            return r->edge[r->current];
        }
    return NULL;
}

/* --- a middlebox -------------------------------------------------------------------------------------------- */

/* Overwrite the timestamps of a SYN with NOPs, and mend the checksum (RFC 1624: only words change). */
static void strip_timestamps(uint8_t *frame, size_t len)
{
    size_t ip = wire_get16(frame + 12) == ETHERTYPE_IP4 ? IP4_BYTES : IP6_BYTES;
    uint8_t *tcp = frame + ETH_BYTES + ip;
    if (len < ETH_BYTES + ip + TCP_BYTES || frame[ETH_BYTES + (ip == IP4_BYTES ? 9 : 6)] != 6)
        return;
    size_t header = (tcp[12] >> 4) * 4u;
    if (!(tcp[13] & TCP_SYN) || header < TCP_BYTES || len < ETH_BYTES + ip + header)
        return;
    uint16_t before = wire_sum_finish(wire_sum(0, span_make(tcp, header)));
    for (size_t at = TCP_BYTES; at < header && tcp[at] != 0;) {
        size_t bytes = tcp[at] == 1 ? 1 : at + 1 < header ? tcp[at + 1] : 0;
        if (bytes == 0 || bytes > header - at)
            break;
        if (tcp[at] == 8)
            memset(tcp + at, 1, bytes);
        at += bytes;
    }
    uint16_t after = wire_sum_finish(wire_sum(0, span_make(tcp, header)));
    uint32_t sum = (uint32_t)wire_get16(tcp + 16) + after + (uint16_t)~before;
    sum = (sum & 0xffff) + (sum >> 16);
    wire_put16(tcp + 16, (uint16_t)((sum & 0xffff) + (sum >> 16)));
}

/* Which node has a packet of this connection gone to? */
static void note_met(struct router *r, struct span frame, const struct edge *edge)
{
    struct sim_layout l;
    unsigned index = sim_layout_find(frame, &l)
                         ? wire_get16(frame.data + l.tcp) - (unsigned)HOST_FIRST_PORT
                         : UINT32_MAX;
    if (index < TG_ARRAY_LEN(r->met))
        r->met[index] |= edge == r->edge[0] ? 1 : 2;
}

unsigned router_undivided(const struct router *router)
{
    unsigned count = 0;
    for (unsigned i = 0; i < TG_ARRAY_LEN(router->met); i++)
        count += router->met[i] == 1 || router->met[i] == 2;
    return count;
}

static void router_receive(struct sim_node *node, struct span frame)
{
    struct router *r = router_of(node);
    struct ip_addr to;
    const struct edge *edge = NULL;
    if (frame.len >= ETH_BYTES && frame.len <= FRAME_MAX && destination_of(frame, &to))
        edge = next_hop(r, &to);
    if (!edge) {
        r->receive_own(node, frame);
        return;
    }
    note_met(r, frame, edge);
    uint8_t copy[FRAME_MAX];
    memcpy(copy, frame.data, frame.len);
    memcpy(copy, edge->mac, 6);
    memcpy(copy + 6, r->host.mac, 6);
    if (r->strip)
        strip_timestamps(copy, frame.len);
    sim_transmit(node->sim, r->host.port, span_make(copy, frame.len));
}

/* --- flips -------------------------------------------------------------------------------------------------- */

static void flip(struct timer *timer, void *arg, tg_ns now)
{
    struct router *r = arg;
    r->current = !r->current;
    r->flips++;
    timer_arm(&r->host.wheel, timer, now + TG_MS + prng_below(&r->host.rng, r->flip_max));
}

bool router_open(struct router *router, struct sim *sim, const struct ip_addr service[])
{
    struct host_config config = {
        .name = "router",
        .number = ROUTER_NUMBER,
        .buffers = 256,
        .mtu = 1500,
        .tcp = {.connections_max = 16, .receive_window_max = 65535},
    };
    bool open = host_open(&router->host, sim, &config, app_turn, router);
    router->service[0] = service[0];
    router->service[1] = service[1];
    router->receive_own = router->host.node.receive;
    router->host.node.receive = router_receive;
    timer_init(&router->timer, flip, router);
    return open;
}

void router_guard(struct router *router, struct edge *edge, unsigned which)
{
    router->edge[which] = edge;
    router->host.node.sim->too_big_to[edge->port] = (uint8_t)(router->host.port + 1);
}

void router_start(struct router *router)
{
    router->current = (unsigned)prng_below(&router->host.rng, 2);
    timer_arm(&router->host.wheel, &router->timer,
              router->host.node.sim->now + TG_MS + prng_below(&router->host.rng, router->flip_max));
}

void router_close(struct router *router)
{
    if (router->timer.fire)
        timer_cancel(&router->host.wheel, &router->timer);
    host_close(&router->host);
}
