/* SPDX-License-Identifier: BSD-3-Clause
 * A connection of a simulated HTTP host, plain or TLS, with one face for both. Bytes in, bytes out; the
 * host's tcp below. Also the certificates of the run.
 */
#ifndef TESTS_SIM_PIPE_H
#define TESTS_SIM_PIPE_H

#include "tcp/tcp.h"
#include "tls/tls.h"

struct pipe {
    struct tcp *tcp;
    tcp_handle handle;
    struct tls_conn *tls; /* NULL: plain */
    uint64_t wall_s;
    bool failed;    /* TLS gave up */
    bool ended;     /* the peer's close_notify has been read */
    size_t at, len; /* of plain[]: decrypted, not consumed */
    uint8_t plain[4096];
};

/* Begin on an open TCP connection; tls is owned from here on. */
void pipe_open(struct pipe *pipe, struct tcp *tcp, tcp_handle handle, struct tls_conn *tls,
               uint64_t wall_s);
/* The next plaintext; false: none waits. */
bool pipe_peek(struct pipe *pipe, struct span *out);
void pipe_consume(struct pipe *pipe, size_t n);
/* Returns how many bytes were taken. */
size_t pipe_write(struct pipe *pipe, struct span bytes);
/* Give tcp what TLS has made; true when nothing waits above tcp. */
bool pipe_drained(struct pipe *pipe);
/* All has been read and the peer has said that nothing follows (TLS: by close_notify or FIN). */
bool pipe_at_end(struct pipe *pipe);
/* Orderly, by reset, and without TCP, which is gone already. */
void pipe_close(struct pipe *pipe);
void pipe_abort(struct pipe *pipe);
void pipe_lost(struct pipe *pipe);

/* Once per process: libssl under a seed of its own, one certificate for "sim.example". The same bytes in
 * every process. */
void pipe_tls_start(void);
/* A set with that certificate; from now on libcrypto's randomness follows from `seed`. Aborts if refused. */
struct tls_set *pipe_tls_set(uint64_t seed);

#endif
