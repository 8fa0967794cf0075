/* SPDX-License-Identifier: BSD-3-Clause
 * Private keys that lie elsewhere: where the key servers are, for the proxy of one worker. The
 * housekeeping thread makes a plan of each generation of certificates (cold), the worker puts it
 * into force between two bursts. What carries the operations is keyless.c. Floor 3.
 */
#ifndef DATAPLANE_PROXY_KEYLESS_H
#define DATAPLANE_PROXY_KEYLESS_H

#include "base/result.h"
#include "base/span.h"

struct proxy;
struct tls_set;

#define KEYLESS_SERVERS_MAX   64 /* of one plan */
#define KEYLESS_ADDRESSES_MAX 4  /* of one server */

struct keyless_address {
    uint8_t address[16]; /* IPv4 as IPv4-mapped */
    uint16_t port;
};

/* A key server: one name and identity, at several addresses for the case that one is down. Spans
 * borrow for the call. */
struct keyless_server {
    struct span server_name;        /* its certificate must be for this name (or address) */
    struct span ca_pem;             /* and from one of these */
    struct span chain_pem, key_pem; /* who we are */
    struct keyless_address addresses[KEYLESS_ADDRESSES_MAX];
    unsigned address_count;
};

/* Which server has which key. */
struct keyless_key {
    uint8_t ski[20];
    uint32_t server; /* index */
};

struct keyless_plan;

/* Make a plan for one worker. The set's reference passes into the plan with TG_OK (NULL: none). What
 * the TLS library refuses: TG_BAD_INPUT or TG_BAD_CONFIG, *bad is the server's index and `problem`
 * says why. TG_NO_MEMORY. */
enum tg_err keyless_plan_create(struct tls_set *set, const struct keyless_server servers[],
                                unsigned server_count, const struct keyless_key keys[],
                                unsigned key_count, struct keyless_plan **plan, unsigned *bad,
                                char problem[256]);
/* One that never came into force; NULL is allowed. */
void keyless_plan_destroy(struct keyless_plan *plan);

/* Certificates and key servers of a generation into force, between two bursts; the plan passes to the
 * proxy. Connections to servers that stay are kept, operations that are out go on. */
void proxy_use_keyless(struct proxy *proxy, struct keyless_plan *plan, uint64_t number);

#endif
