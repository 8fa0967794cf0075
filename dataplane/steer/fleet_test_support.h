/* SPDX-License-Identifier: BSD-3-Clause
 * For the tests of this folder and the fuzz target only: owners tables with a fleet in them.
 */
#ifndef DATAPLANE_STEER_FLEET_TEST_SUPPORT_H
#define DATAPLANE_STEER_FLEET_TEST_SUPPORT_H

#include "net/net_test_support.h"
#include "steer/fleet.h"

struct test_node {
    uint16_t slot;
    uint8_t site;
    const char *address4, *address6; /* NULL: none */
};

/* A valid table of two buckets without owners; keys: ids 1, 2, ... of each use, the last one first, made from
 * `seed`. The caller frees it. */
static inline struct tables_owners *test_fleet_table(const struct test_node nodes[], unsigned count,
                                                     unsigned keys, uint64_t seed)
{
    size_t at_nodes = sizeof(struct tables_owners) + 2 * sizeof(uint16_t[4]);
    size_t at_keys = at_nodes + count * sizeof(struct tables_node);
    size_t bytes = at_keys + TABLES_KEY_USES * keys * sizeof(struct tables_key);
    struct tables_owners *t = calloc(1, bytes);
    tg_assert(t);
    *t = (struct tables_owners){.header = {TABLES_OWNERS, (uint32_t)bytes, 1},
                                .bucket_count = 2,
                                .node_count = count,
                                .node_offset = (uint32_t)at_nodes,
                                .key_count = TABLES_KEY_USES * keys,
                                .key_offset = (uint32_t)at_keys};
    memset(t->owners, 0xff, 2 * sizeof(uint16_t[4]));
    memcpy(t->bucket_secret, &seed, sizeof seed);
    struct tables_node *n = (struct tables_node *)(void *)((uint8_t *)t + at_nodes);
    struct tables_key *k = (struct tables_key *)(void *)((uint8_t *)t + at_keys);
    for (unsigned i = 0; i < count; i++) {
        n[i].slot = nodes[i].slot;
        n[i].site = nodes[i].site;
        struct ip_addr a4 = test_addr(nodes[i].address4 ? nodes[i].address4 : "::");
        struct ip_addr a6 = test_addr(nodes[i].address6 ? nodes[i].address6 : "::");
        memcpy(n[i].address4, a4.bytes, 16);
        memcpy(n[i].address6, a6.bytes, 16);
    }
    for (unsigned use = 0; use < TABLES_KEY_USES; use++)
        for (unsigned i = 0; i < keys; i++, k++) {
            struct prng p;
            k->use = use;
            k->id = keys - i;
            prng_seed(&p, seed * 1000 + use * 100 + k->id);
            for (unsigned b = 0; b < 16; b++)
                k->secret[b] = (uint8_t)prng_next(&p);
        }
    tg_assert(tables_owners_valid(t, bytes));
    return t;
}

/* Both buckets' owners, newest first. */
static inline void test_fleet_buckets(struct tables_owners *t, uint16_t newest, uint16_t second,
                                      uint16_t third, uint16_t oldest)
{
    for (unsigned i = 0; i < 2; i++) {
        t->owners[i][0] = newest;
        t->owners[i][1] = second;
        t->owners[i][2] = third;
        t->owners[i][3] = oldest;
    }
}

#endif
