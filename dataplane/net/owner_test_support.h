/* SPDX-License-Identifier: BSD-3-Clause
 * For the tests of owner cookies, of steer and of the fleet only: keys, identities and random tuples.
 */
#ifndef DATAPLANE_NET_OWNER_TEST_SUPPORT_H
#define DATAPLANE_NET_OWNER_TEST_SUPPORT_H

#include "base/hash.h"
#include "net/owner_cookie.h"

static inline struct owner_key test_owner_key(struct prng *p, uint32_t id)
{
    uint64_t k0 = prng_next(p), k1 = prng_next(p);
    return (struct owner_key){{k0, k1}, id};
}

/* A random connection, IPv4 or IPv6. */
static inline struct ip_tuple test_owner_tuple(struct prng *p)
{
    struct ip_tuple t;
    for (unsigned i = 0; i < 16; i++) {
        t.local.bytes[i] = (uint8_t)prng_next(p);
        t.remote.bytes[i] = (uint8_t)prng_next(p);
    }
    if (prng_below(p, 2)) {
        t.local = ip_addr_from4(t.local.bytes);
        t.remote = ip_addr_from4(t.remote.bytes);
    }
    t.local_port = (uint16_t)prng_next(p);
    t.remote_port = (uint16_t)prng_next(p);
    return t;
}

/* A node with one key of each kind. */
static inline struct owner_identity test_owner_identity(struct prng *p, uint16_t slot, uint8_t site)
{
    struct owner_identity me = {.slot = slot, .site = site};
    me.owner.count = me.syn.count = 1;
    me.owner.key[0] = test_owner_key(p, 1);
    me.syn.key[0] = test_owner_key(p, 1);
    return me;
}

/* A new key takes over, the current one becomes the previous one. */
static inline void test_owner_rotate(struct prng *p, struct owner_keys *keys)
{
    keys->key[1] = keys->key[0];
    keys->key[0] = test_owner_key(p, keys->key[1].id + 1);
    keys->count = 2;
}

#endif
