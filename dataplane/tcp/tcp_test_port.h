/* SPDX-License-Identifier: BSD-3-Clause
 * For the tests of this folder: the port of a node. What tcp gives to net leaves here as frames of the wire, with
 * super-segments cut and checksums filled in where the node's port does that (node_open).
 */
#ifndef DATAPLANE_TCP_TEST_PORT_H
#define DATAPLANE_TCP_TEST_PORT_H

#include "base/offload.h"
#include "tcp/tcp_test_support.h"

/* Call fn for each frame that b becomes; takes b. */
static inline void node_port_send(struct node *node, struct buf *b,
                                  void (*fn)(void *arg, const uint8_t *frame, size_t len),
                                  void *arg)
{
    static uint8_t whole[65536], cut[2048];
    struct span bytes = span_make(whole, offload_gather(b, whole, sizeof whole));
    size_t len;
    if (b->segments) {
        for (unsigned i = 0; (len = offload_cut(b, bytes, i, cut)) != 0; i++)
            fn(arg, cut, len);
    } else {
        offload_checksums(b, whole, bytes.len);
        fn(arg, whole, bytes.len);
    }
    buf_unref(&node->pool.pool, b);
}

#endif
