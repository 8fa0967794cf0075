/* SPDX-License-Identifier: BSD-3-Clause
 * Where libssl's bytes come from and go to: not memory BIOs, but the caller's spans on the way in
 * and a bounded queue of chunks on the way out. Called by tls_conn.c; it must not know TLS.
 *
 *   TCP's segments --spans--> bio read --> libssl's record buffer     (one copy)
 *   libssl's records --> bio write --> chunks --tls_drain--> frames   (no chunk when idle)
 */
#ifndef TLS_TLS_BIO_H
#define TLS_TLS_BIO_H

#include "base/result.h"
#include "base/span.h"
#include "tls/tls_fibre.h"

#include <openssl/bio.h>

/* Cipher text that may wait. tls_write stops at the first bound; what libssl writes of its own
 * accord (flights, alerts, key updates) may go up to the second and is then held back. */
#define OUT_LIMIT_BYTES      65536
#define OUT_LIMIT_HARD_BYTES 98304
/* Room of an ordinary chunk; a larger record gets a chunk of its own size. */
#define OUT_CHUNK_BYTES 4064

/* The caller's spans, borrowed during one tls_feed; empty between calls. */
struct tls_in {
    const struct span *spans;
    unsigned count;
    size_t offset;   /* into spans[0] */
    size_t consumed; /* since in_set */
};

struct out_chunk;
struct tls_out {
    struct out_chunk *first, *last;
    size_t waiting;     /* bytes */
    bool out_of_memory; /* a chunk was refused: the stream is broken, the connection fails */
};

/* What a BIO works on; lies in the connection. */
struct tls_pipe {
    struct tls_in in;
    struct tls_out out;
    struct fibre worker_stack; /* tls_fibre.h */
};

/* Once per process (cold): the BIO method; NULL without memory. */
BIO_METHOD *bio_method_make(void);
/* A BIO over `pipe`, which outlives it; NULL without memory. */
BIO *bio_make(const BIO_METHOD *method, struct tls_pipe *pipe);

static inline void in_set(struct tls_in *in, const struct span spans[], unsigned count)
{
    *in = (struct tls_in){spans, count, 0, 0};
}

/* True when a byte is left to read; drops used-up and empty spans. */
bool in_left(struct tls_in *in);

/* Move up to cap waiting bytes into room; returns how many. */
size_t out_drain(struct tls_out *out, uint8_t *room, size_t cap);
void out_free(struct tls_out *out);

#endif
