/* SPDX-License-Identifier: BSD-3-Clause
 * Keyed hashes, the NIC's Toeplitz hash, a checksum and the deterministic generator. Pure functions:
 * keys and seeds come in as arguments. The flow table lies in flow_table.c.
 */
#include "base/hash.h"
#include <nmmintrin.h> /* SSE 4.2: part of x86-64-v2, which meson.build asks for */

static uint64_t rotate_left(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

static uint64_t load_le64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v; /* x86-64 is little-endian */
}

struct sip {
    uint64_t v0, v1, v2, v3;
};

static void sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v1 = rotate_left(s->v1, 13) ^ s->v0;
    s->v0 = rotate_left(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate_left(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate_left(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate_left(s->v1, 17) ^ s->v2;
    s->v2 = rotate_left(s->v2, 32);
}

/* SipHash-c-d, section 2 of the paper. Inlined with constant c and d into its two callers. */
static inline uint64_t sip_hash(const uint64_t key[2], struct span bytes, unsigned c, unsigned d)
{
    struct sip s = {key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d,
                    key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573};
    size_t whole = bytes.len & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8) {
        uint64_t m = load_le64(bytes.data + i);
        s.v3 ^= m;
        for (unsigned r = 0; r < c; r++)
            sip_round(&s);
        s.v0 ^= m;
    }
    uint64_t last = (uint64_t)bytes.len << 56;
    for (size_t i = whole; i < bytes.len; i++)
        last |= (uint64_t)bytes.data[i] << (8 * (i - whole));
    s.v3 ^= last;
    for (unsigned r = 0; r < c; r++)
        sip_round(&s);
    s.v0 ^= last;
    s.v2 ^= 0xff;
    for (unsigned r = 0; r < d; r++)
        sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t hash_sip24(const uint64_t key[2], struct span bytes)
{
    return sip_hash(key, bytes, 2, 4);
}

uint64_t hash_sip13(const uint64_t key[2], struct span bytes)
{
    return sip_hash(key, bytes, 1, 3);
}

/* The 32 key bits that start at bit `at` (0 = most significant bit of key[0]). */
static uint32_t toeplitz_window(const uint8_t key[TOEPLITZ_KEY_BYTES], unsigned at)
{
    uint64_t bits = 0;
    for (unsigned i = 0; i < 5; i++)
        bits = bits << 8 | key[at / 8 + i];
    return (uint32_t)(bits >> (8 - at % 8));
}

void toeplitz_init(struct toeplitz *t, const uint8_t key[TOEPLITZ_KEY_BYTES])
{
    static_assert(TOEPLITZ_INPUT_BYTES + 5 <= TOEPLITZ_KEY_BYTES, "every window lies in the key");
    for (unsigned byte = 0; byte < TOEPLITZ_INPUT_BYTES; byte++) {
        uint32_t window[8];
        for (unsigned bit = 0; bit < 8; bit++)
            window[bit] = toeplitz_window(key, byte * 8 + bit);
        for (unsigned value = 0; value < 256; value++) {
            uint32_t h = 0;
            for (unsigned bit = 0; bit < 8; bit++)
                if (value & (0x80u >> bit))
                    h ^= window[bit];
            t->table[byte][value] = h;
        }
    }
}

/* The generator's seed is stretched by splitmix64, as its authors recommend: no seed, not even 0, gives
 * the all-zero state. */
void prng_seed(struct prng *p, uint64_t seed)
{
    for (unsigned i = 0; i < 4; i++) {
        seed += 0x9e3779b97f4a7c15;
        uint64_t z = seed;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
        z = (z ^ z >> 27) * 0x94d049bb133111eb;
        p->s[i] = z ^ z >> 31;
    }
}

uint64_t prng_next(struct prng *p)
{
    uint64_t *s = p->s;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

/* The high half of a 64 x 64 product, with the few low halves rejected that would favour some results
 * (Lemire 2019, "Fast random integer generation in an interval"). */
uint64_t prng_below(struct prng *p, uint64_t bound)
{
    if (bound == 0)
        return 0;
    uint64_t unfair = -bound % bound;
    for (;;) {
        unsigned __int128 product = (unsigned __int128)prng_next(p) * bound;
        if ((uint64_t)product >= unfair)
            return (uint64_t)(product >> 64);
    }
}

uint32_t hash_crc32c(uint32_t crc, struct span bytes)
{
    uint64_t c = ~crc;
    size_t i = 0;
    for (; i + 8 <= bytes.len; i += 8)
        c = _mm_crc32_u64(c, load_le64(bytes.data + i));
    uint32_t c32 = (uint32_t)c;
    for (; i < bytes.len; i++)
        c32 = _mm_crc32_u8(c32, bytes.data[i]);
    return ~c32;
}
