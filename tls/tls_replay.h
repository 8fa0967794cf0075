/* SPDX-License-Identifier: BSD-3-Clause
 * The register that makes a 0-RTT flight count once: every first PSK binder that was admitted, for as long as
 * libssl would accept the ticket's age. One per node, shared by all its workers without a lock (an exception
 * to "one worker owns its memory", architecture). Called by tls/ after libssl has verified the binder, so
 * garbage cannot fill it. Knows nothing of OpenSSL. Floor 2: base only.
 *
 * Why the binder: it is a MAC over the whole ClientHello, so two flights with one binder are the same flight
 * (RFC 8446 s8.1, s8.2).
 */
#ifndef TLS_TLS_REPLAY_H
#define TLS_TLS_REPLAY_H

#include "base/result.h"
#include "base/types.h"

#define REPLAY_KEY_BYTES 16
/* Seconds that an entry lives: libssl accepts ages from -1 to +10 s of its own (TICKET_AGE_ALLOWANCE), so a
 * flight is good for about 11 s; doubled for clocks that step, and 2 for rounding. A node refuses early
 * data as long after its start: what was admitted before is forgotten. */
#define REPLAY_WINDOW_S 24

struct tls_replay;

/* Room for about `entries` live flights (8 bytes each, rounded up to a power of two of 64-byte buckets).
 * start_s: wall clock, seconds. Cold. */
enum tg_err tls_replay_create(uint32_t entries, uint64_t start_s, struct tls_replay **replay);
void tls_replay_free(struct tls_replay *replay);

enum replay_answer {
    REPLAY_NEW,     /* once for a key within its window */
    REPLAY_SEEN,    /* a repetition, or a lost race; by mistake with odds of about 8 * 2^-48 */
    REPLAY_REFUSED, /* a full bucket, a register younger than the window, a clock set back by more */
};
/* Any thread. */
enum replay_answer tls_replay_admit(struct tls_replay *replay, const uint8_t key[REPLAY_KEY_BYTES],
                                    uint64_t now_s);

#endif
