/* SPDX-License-Identifier: BSD-3-Clause
 * The neighbour table: who on the link has which MAC, for ARP and ND alike, with RFC 4861's states
 * (DELAY left out: we get no hint from tcp, so the first packet to a stale neighbour starts the
 * probe at once). Called by route.c (output), arp.c, nd.c (news) and net_tick. Knows no packet
 * formats. Floor 1.
 *
 *            request or packet            reply
 *      FREE ------------------> INCOMPLETE ----> REACHABLE --30 s--> STALE --600 s unused--> FREE
 *       ^   no answer to 3          ^               ^                  | packet, or a rumour
 *       +------------------- INCOMPLETE             |reply             v
 *                                   +--- no answer to 3 ------------ PROBE
 */
#include "net/net_internal.h"

/* moves[from] has bit `to` set when the move is allowed. */
static const uint8_t moves[NEIGH_STATES] = {
    [NEIGH_FREE] = 1u << NEIGH_INCOMPLETE | 1u << NEIGH_STALE,
    [NEIGH_INCOMPLETE] = 1u << NEIGH_REACHABLE | 1u << NEIGH_STALE | 1u << NEIGH_FREE,
    [NEIGH_REACHABLE] = 1u << NEIGH_STALE | 1u << NEIGH_PROBE,
    [NEIGH_STALE] = 1u << NEIGH_PROBE | 1u << NEIGH_FREE,
    [NEIGH_PROBE] = 1u << NEIGH_REACHABLE | 1u << NEIGH_INCOMPLETE,
};

static void neigh_set_state(struct neighbour *n, enum neigh_state state, tg_ns deadline)
{
    tg_assert(moves[n->state] & 1u << state);
    n->state = (uint8_t)state;
    n->deadline = deadline;
}

void neigh_init(struct neigh_table *table, uint64_t seed)
{
    prng_seed(&table->jitter, seed);
    table->key[0] = prng_next(&table->jitter);
    table->key[1] = prng_next(&table->jitter);
    for (unsigned i = 0; i < NEIGH_BUCKETS; i++)
        table->buckets[i] = NEIGH_NONE;
    for (unsigned i = 0; i < NET_NEIGHBOURS_MAX; i++)
        table->entries[i].next = i + 1 < NET_NEIGHBOURS_MAX ? (uint16_t)(i + 1) : NEIGH_NONE;
    table->free_first = 0;
}

static uint16_t *neigh_bucket(struct neigh_table *table, const struct ip_addr *address)
{
    uint64_t hash = hash_sip13(table->key, span_make(address->bytes, sizeof address->bytes));
    return &table->buckets[hash % NEIGH_BUCKETS];
}

static struct neighbour *neigh_find(struct neigh_table *table, const struct ip_addr *address,
                                    uint8_t port)
{
    for (uint16_t i = *neigh_bucket(table, address); i != NEIGH_NONE; i = table->entries[i].next) {
        struct neighbour *n = &table->entries[i];
        if (n->port == port && ip_addr_equal(&n->address, address))
            return n;
    }
    return NULL;
}

static void neigh_drop_queue(struct net *net, struct neighbour *n)
{
    for (unsigned i = 0; i < n->queued; i++)
        net_drop(net, n->queue[i], TG_C_net_neigh_queue_full);
    n->queued = 0;
}

/* Take the entry out of its bucket and give it to the free list. */
static void neigh_free(struct net *net, struct neighbour *n)
{
    struct neigh_table *table = &net->neigh;
    uint16_t index = (uint16_t)(n - table->entries);
    neigh_drop_queue(net, n);
    uint16_t *link = neigh_bucket(table, &n->address);
    while (*link != index)
        link = &table->entries[*link].next;
    *link = n->next;
    neigh_set_state(n, NEIGH_FREE, 0);
    table->count--;
    table->learned_count = (uint16_t)(table->learned_count - n->learned);
    n->next = table->free_first;
    table->free_first = index;
}

/* Make room for a neighbour that we want to talk to: the stale entry that was unused for longest
 * goes, one that another's request made before all others. */
static bool neigh_evict(struct net *net)
{
    struct neighbour *victim = NULL;
    for (unsigned i = 0; i < NET_NEIGHBOURS_MAX; i++) {
        struct neighbour *n = &net->neigh.entries[i];
        if (n->state != NEIGH_STALE || n->gateway)
            continue;
        if (!victim || n->learned > victim->learned ||
            (n->learned == victim->learned && n->deadline < victim->deadline))
            victim = n;
    }
    if (victim)
        neigh_free(net, victim);
    return victim != NULL;
}

/* Where a new entry may come from: others' requests fill a part only and evict nobody; our own
 * packets may evict; gateways have room of their own. */
static bool neigh_make_room(struct net *net, bool learned, bool gateway)
{
    struct neigh_table *table = &net->neigh;
    unsigned limit = gateway ? NET_NEIGHBOURS_MAX : NEIGH_ORDINARY_MAX;
    if (learned && table->learned_count >= NEIGH_LEARNED_MAX)
        return false;
    if (table->count < limit)
        return true;
    return !learned && neigh_evict(net);
}

/* A new entry, still FREE: the caller sets its state. NULL (counted): no room. */
static struct neighbour *neigh_make(struct net *net, const struct ip_addr *address, uint8_t port,
                                    bool learned, bool gateway)
{
    struct neigh_table *table = &net->neigh;
    if (!neigh_make_room(net, learned, gateway)) {
        net_count(net, TG_C_net_neigh_full);
        return NULL;
    }
    uint16_t index = table->free_first;
    tg_assert(index != NEIGH_NONE);
    struct neighbour *n = &table->entries[index];
    table->free_first = n->next;
    uint16_t *bucket = neigh_bucket(table, address);
    *n = (struct neighbour){
        .address = *address, .port = port, .learned = learned, .gateway = gateway, .next = *bucket};
    *bucket = index;
    table->count++;
    table->learned_count = (uint16_t)(table->learned_count + learned);
    return n;
}

static void neigh_ask(struct net *net, struct neighbour *n, const uint8_t *mac)
{
    tg_assert(n->requests_left > 0);
    n->requests_left--;
    if (ip_addr_is4(&n->address))
        arp_request(net, n, mac);
    else
        nd_solicit(net, n, mac);
}

static void neigh_start_incomplete(struct net *net, struct neighbour *n, tg_ns now)
{
    neigh_set_state(n, NEIGH_INCOMPLETE, now + NEIGH_RETRANSMIT);
    n->requests_left = NEIGH_REQUESTS;
    neigh_ask(net, n, NULL);
}

static void neigh_start_probe(struct net *net, struct neighbour *n, unsigned requests, tg_ns now)
{
    neigh_set_state(n, NEIGH_PROBE, now + NEIGH_RETRANSMIT);
    n->requests_left = (uint8_t)requests;
    neigh_ask(net, n, n->mac);
}

static void neigh_send(struct net *net, const struct neighbour *n, struct buf *frame)
{
    memcpy(frame->data, n->mac, sizeof n->mac);
    net_transmit(net, frame, n->port);
}

/* Full: the oldest goes (RFC 4861 s7.2.2). */
static void neigh_wait(struct net *net, struct neighbour *n, struct buf *frame)
{
    if (n->queued == NET_NEIGH_QUEUE) {
        net_drop(net, n->queue[0], TG_C_net_neigh_queue_full);
        memmove(n->queue, n->queue + 1, (NET_NEIGH_QUEUE - 1) * sizeof n->queue[0]);
        n->queued--;
    }
    n->queue[n->queued++] = frame;
}

void neigh_output(struct net *net, const struct net_hop *hop, struct buf *frame, tg_ns now)
{
    struct neighbour *n = neigh_find(&net->neigh, &hop->address, hop->port);
    if (!n) {
        n = neigh_make(net, &hop->address, hop->port, false, hop->gateway);
        if (!n) {
            buf_unref(net->pool, frame);
            return;
        }
        neigh_start_incomplete(net, n, now);
    }
    if (TG_UNLIKELY(n->learned)) { /* from now on it is ours to keep */
        n->learned = false;
        net->neigh.learned_count--;
    }
    n->gateway |= hop->gateway;
    if (n->state == NEIGH_INCOMPLETE) {
        neigh_wait(net, n, frame);
        return;
    }
    if (n->state == NEIGH_STALE)
        neigh_start_probe(net, n, NEIGH_REQUESTS, now);
    neigh_send(net, n, frame);
}

static void neigh_send_waiting(struct net *net, struct neighbour *n)
{
    for (unsigned i = 0; i < n->queued; i++)
        neigh_send(net, n, n->queue[i]);
    n->queued = 0;
}

void neigh_confirm(struct net *net, const struct ip_addr *address, uint8_t port, const uint8_t *mac,
                   tg_ns now)
{
    struct neighbour *n = neigh_find(&net->neigh, address, port);
    if (!n)
        return;
    if (!mac && n->state == NEIGH_INCOMPLETE)
        return; /* an answer that does not tell */
    if (!mac)
        mac = n->mac;
    bool same = n->state != NEIGH_INCOMPLETE && memcmp(n->mac, mac, sizeof n->mac) == 0;
    if (n->state != NEIGH_INCOMPLETE && !(n->state == NEIGH_PROBE && same)) {
        if (!same)
            neigh_rumour(net, address, port, mac, now);
        return;
    }
    memmove(n->mac, mac, sizeof n->mac);
    tg_ns jitter = prng_below(&net->neigh.jitter, NEIGH_REACHABLE_FOR); /* RFC 4861 s6.3.2 */
    neigh_set_state(n, NEIGH_REACHABLE, now + NEIGH_REACHABLE_FOR / 2 + jitter);
    neigh_send_waiting(net, n);
}

void neigh_learn(struct net *net, const struct ip_addr *address, uint8_t port, const uint8_t mac[6],
                 tg_ns now)
{
    struct neighbour *n = neigh_find(&net->neigh, address, port);
    if (!n && !(n = neigh_make(net, address, port, true, false)))
        return;
    switch (n->state) {
    case NEIGH_FREE:
    case NEIGH_INCOMPLETE:
        memcpy(n->mac, mac, sizeof n->mac);
        neigh_set_state(n, NEIGH_STALE, now + NEIGH_STALE_FOR);
        if (n->queued) {
            neigh_start_probe(net, n, NEIGH_REQUESTS, now);
            neigh_send_waiting(net, n);
        }
        break;
    case NEIGH_STALE:
        memcpy(n->mac, mac, sizeof n->mac);
        break;
    default: /* in use: the one who answers us decides */
        neigh_rumour(net, address, port, mac, now);
    }
}

/* Ask the known owner once; if it is silent the next request goes to everybody. */
void neigh_rumour(struct net *net, const struct ip_addr *address, uint8_t port,
                  const uint8_t mac[6], tg_ns now)
{
    struct neighbour *n = neigh_find(&net->neigh, address, port);
    if (n && n->state == NEIGH_REACHABLE && memcmp(n->mac, mac, sizeof n->mac) != 0)
        neigh_start_probe(net, n, 1, now);
}

/* The deadline of an entry has passed. */
static void neigh_expire(struct net *net, struct neighbour *n, tg_ns now)
{
    switch (n->state) {
    case NEIGH_INCOMPLETE:
    case NEIGH_PROBE:
        if (n->requests_left) {
            n->deadline = now + NEIGH_RETRANSMIT;
            neigh_ask(net, n, n->state == NEIGH_PROBE ? n->mac : NULL);
        } else if (n->state == NEIGH_PROBE) {
            neigh_start_incomplete(net, n, now);
        } else {
            neigh_free(net, n);
        }
        break;
    case NEIGH_REACHABLE:
        neigh_set_state(n, NEIGH_STALE, now + NEIGH_STALE_FOR);
        break;
    case NEIGH_STALE:
        neigh_free(net, n);
        break;
    default:
        tg_assert(n->state == NEIGH_FREE);
    }
}

void neigh_tick(struct net *net, tg_ns now)
{
    for (unsigned i = 0; i < NET_NEIGHBOURS_MAX; i++) {
        struct neighbour *n = &net->neigh.entries[i];
        if (n->state != NEIGH_FREE && n->deadline <= now)
            neigh_expire(net, n, now);
    }
}

void neigh_flush(struct net *net)
{
    for (unsigned i = 0; i < NET_NEIGHBOURS_MAX; i++)
        neigh_drop_queue(net, &net->neigh.entries[i]);
}

unsigned net_neighbours(const struct net *net, struct net_neighbour_view out[], unsigned n)
{
    unsigned count = 0;
    for (unsigned i = 0; i < NET_NEIGHBOURS_MAX; i++) {
        const struct neighbour *e = &net->neigh.entries[i];
        if (e->state == NEIGH_FREE || e->state == NEIGH_INCOMPLETE)
            continue;
        if (count < n) {
            out[count].address = e->address;
            memcpy(out[count].mac, e->mac, sizeof e->mac);
            out[count].reachable = e->state == NEIGH_REACHABLE;
        }
        count++;
    }
    return count;
}
