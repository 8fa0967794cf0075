/* SPDX-License-Identifier: BSD-3-Clause
 * A RAND_METHOD over base/hash.h's generator: see tls_random.h. RAND_METHOD is deprecated in
 * OpenSSL 3, but it is the only hook that every library context and provider of libcrypto 3.0 asks
 * first (RAND_bytes_ex).
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "tls/tls_random.h"

#include "base/hash.h"

#include <openssl/rand.h>
#include <string.h>

/* The process-wide exception: libcrypto's method table has no argument to carry it in. */
static struct prng generator;
static uint64_t seed_in_force;

static int seeded_bytes(unsigned char *out, int len)
{
    for (int at = 0; at < len; at += (int)sizeof(uint64_t)) {
        uint64_t word = prng_next(&generator);
        size_t n = (size_t)(len - at) < sizeof word ? (size_t)(len - at) : sizeof word;
        memcpy(out + at, &word, n);
    }
    return 1;
}

static int seeded_status(void)
{
    return 1;
}

void random_seed_set(uint64_t seed)
{
    static const RAND_METHOD method = {
        .bytes = seeded_bytes, .pseudorand = seeded_bytes, .status = seeded_status};
    if (seed) {
        prng_seed(&generator, seed);
        RAND_set_rand_method(&method);
    } else if (seed_in_force) {
        RAND_set_rand_method(NULL);
    }
    seed_in_force = seed;
}
