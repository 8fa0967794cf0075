/* SPDX-License-Identifier: BSD-3-Clause
 * For the tests of the memory governor: a stack that knows how large its pool is, and somebody who takes frames away.
 */
#ifndef DATAPLANE_TCP_GOVERNOR_TRACE_H
#define DATAPLANE_TCP_GOVERNOR_TRACE_H

#include "tcp/tcp_governor.h"
#include "tcp/tcp_trace.h"

#define FRAMES 256u   /* of the pool */
#define SMALL  16384u /* bytes: pressure_window */

static inline uint64_t count(struct trace *t, enum tg_counter c)
{
    return node_counted(&t->node, c);
}

/* A stack that knows how large its pool is. */
static inline struct trace *start_with(void **state, struct tcp_config c)
{
    struct trace *t = trace_new(&c, trace_is6(state));
    test_pool_limit(&t->node.pool, FRAMES);
    tcp_governor_init(t->node.tcp);
    return t;
}

static inline struct trace *start(void **state)
{
    return start_with(state, node_config());
}

/* Take frames away, and give them back. */
struct hoard {
    struct buf *frames[FRAMES];
    unsigned n;
};

static inline void hoard_until(struct trace *t, struct hoard *h, unsigned used)
{
    while (t->node.pool.outstanding < used) {
        h->frames[h->n] = buf_alloc(&t->node.pool.pool);
        assert_non_null(h->frames[h->n]);
        h->n++;
    }
    while (t->node.pool.outstanding > used && h->n)
        buf_unref(&t->node.pool.pool, h->frames[--h->n]);
    tcp_governor_dry(t->node.tcp); /* it would find out by itself, but not at once */
    node_turn(&t->node);
}

#endif
