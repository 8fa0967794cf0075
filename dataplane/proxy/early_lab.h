/* SPDX-License-Identifier: BSD-3-Clause
 * For the tests of early data: clients of bare libssl on the lab's wire, whose first flight can be held, repeated
 * and finished when a test wants. Never part of a program.
 */
#ifndef DATAPLANE_PROXY_EARLY_LAB_H
#define DATAPLANE_PROXY_EARLY_LAB_H

#include "proxy/proxy_lab.h"
#include "tls/tls_replay.h"
#include "tls/tls_test_certs.h"
#include "tls/tls_test_link.h"

#define EARLY_MAX 8192

/* One node's view: its slot and its register; the fleet's secrets are the same for all. */
struct early_node {
    uint16_t slot;
    struct tls_replay *replay;
};
struct early_node early_node_make(uint16_t slot, uint64_t start_s);
/* A certificate set of this node comes into force at the lab's edge. */
void early_use(struct lab *lab, const struct early_node *node, uint32_t early_data_max);

/* A lab whose edge is `node`, with short deadlines: 2 s for a handshake, 3 s for a head if `config` says nothing. */
struct lab *early_lab(const struct early_node *node, struct lab_config *config);

struct early_client {
    struct lab_conn *c;
    struct test_peer peer;
    size_t taken; /* bytes of c->in that libssl has */
};
/* A ticket of a whole handshake (the caller frees it). */
SSL_SESSION *early_ticket(struct lab *lab);
/* The first flight with early data, as it goes over the wire; the peer can go on. */
void early_flight(struct test_peer *peer, SSL_SESSION *session, const char *text,
                  struct test_bytes *flight);
/* A client that has sent its first flight and nothing else; `turns` later. */
void early_begin(struct lab *lab, struct early_client *e, SSL_SESSION *session, const char *text);
/* What has come so far, to libssl, which may make an answer; nothing is sent. */
void early_look(struct early_client *e);
/* What libssl has to say is sent (EndOfEarlyData and Finished, the first time), and the lab runs on. */
void early_go_on(struct early_client *e);
void early_say(struct early_client *e, const char *text); /* 1-RTT data */
const char *early_text(struct early_client *e);           /* plaintext so far, NUL-terminated */
void early_expect(struct early_client *e, const char *part);
void early_end(struct early_client *e);

/* One node, one ticket. */
struct early_fixture {
    struct early_node node;
    struct lab *lab;
    SSL_SESSION *session;
};
struct early_fixture early_fixture_make(struct lab_config *config);
void early_fixture_end(struct early_fixture *f);

/* Once per program. */
int early_lab_set_up(void **state);
int early_lab_tear_down(void **state);

#endif
