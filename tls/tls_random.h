/* SPDX-License-Identifier: BSD-3-Clause
 * Seeded randomness for libcrypto, so that the simulator's bytes depend on its seed alone. Never in
 * production. Called by tls_set.c with policy.random_seed.
 */
#ifndef TLS_TLS_RANDOM_H
#define TLS_TLS_RANDOM_H

#include <stdint.h>

/* seed != 0: from now on every random byte of this process (keys, nonces, tickets) follows from the
 * seed, starting anew. seed 0: the operating system's randomness again. Process-wide, one thread.
 */
void random_seed_set(uint64_t seed);

#endif
