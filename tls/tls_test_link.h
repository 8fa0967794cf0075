/* SPDX-License-Identifier: BSD-3-Clause
 * The two ends of a TLS connection in memory, for tests: our end behaves as tls.h asks the proxy
 * to, the other end is ours as well, or bare libssl when a test needs what we never do. Bytes
 * travel in cuts that the test chooses.
 */
#ifndef TLS_TLS_TEST_LINK_H
#define TLS_TLS_TEST_LINK_H

#include "base/hash.h"
#include "tls/tls.h"

#include <openssl/ssl.h>

/* A growing queue of bytes. */
struct test_bytes {
    uint8_t *data;
    size_t at, len, cap; /* data[at..len) waits */
};
void test_bytes_add(struct test_bytes *q, const void *data, size_t len);
void test_bytes_free(struct test_bytes *q);
static inline struct span test_bytes_span(const struct test_bytes *q)
{
    return span_slice(span_make(q->data, q->len), q->at, SIZE_MAX);
}

/* Our end. */
struct test_end {
    struct tls_conn *conn;
    struct test_bytes in;  /* arrived, not yet consumed: TCP's receive queue */
    struct test_bytes got; /* plaintext read */
    size_t early;          /* of it 0-RTT */
    size_t cut;            /* bytes given to one tls_feed at most; 0: all */
    size_t read_max;       /* bytes asked of one tls_read; 0: 4096 */
    size_t got_max;        /* the reader takes no more than this in all; 0: no bound */
    struct prng *random;   /* NULL: one span a feed; else up to 4 spans, random cuts up to `cut` */
    enum tg_err last;      /* of the last tls_feed */
    unsigned feeds, ends;  /* calls; TG_ENDs seen by tls_read */
    uint64_t now_s;
};
/* The proxy's loop of tls.h over what is in `in`. */
void test_end_turn(struct test_end *end);
/* Move waiting cipher text, at most max bytes, into `to`; returns how many. */
size_t test_end_drain(struct test_end *end, struct test_bytes *to, size_t max);
void test_end_free(struct test_end *end);

/* Pass bytes between two of our ends until neither moves. */
void test_ends_run(struct test_end *a, struct test_end *b);

/* The other end as bare libssl, a client. */
struct test_peer {
    SSL_CTX *ctx;
    SSL *ssl;
    SSL_SESSION *session; /* the newest ticket */
    struct test_bytes got;
    int error;  /* of the last libssl call that failed for good, else 0 */
    bool ended; /* close_notify received */
};
struct test_peer_options {
    int version;             /* TLS1_2_VERSION, TLS1_3_VERSION; 0: both */
    const char *server_name; /* NULL: none */
    const char *alpn;        /* wire form, NUL-terminated; NULL: none */
    const char *signatures;  /* SSL_set1_sigalgs_list; NULL: libssl's */
    const char *groups;      /* SSL_set1_groups_list; NULL: libssl's */
    SSL_SESSION *session;    /* to resume; NULL: none */
};
void test_peer_make(struct test_peer *peer, const struct test_peer_options *options);
/* Handshake, read what waits. */
void test_peer_turn(struct test_peer *peer);
void test_peer_write(struct test_peer *peer, const void *data, size_t len);
/* Move libssl's output into `to`; returns how many bytes. */
size_t test_peer_drain(struct test_peer *peer, struct test_bytes *to);
void test_peer_feed(struct test_peer *peer, struct span bytes);
void test_peer_free(struct test_peer *peer);

/* Pass bytes between the two until neither moves. */
void test_link_run(struct test_peer *peer, struct test_end *end);

#endif
