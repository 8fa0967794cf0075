/* SPDX-License-Identifier: BSD-3-Clause
 * Unit tests of base/hash against published vectors. The flow table has flow_table_test.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"

static const uint64_t sip_key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};

/* Key 00..0f, message 00..(n-1): the vectors of the authors' reference implementation. */
static const uint64_t sip24_vectors[64] = {
    0x726fdb47dd0e0e31, 0x74f839c593dc67fd, 0x0d6c8009d9a94f5a, 0x85676696d7fb7e2d,
    0xcf2794e0277187b7, 0x18765564cd99a68d, 0xcbc9466e58fee3ce, 0xab0200f58b01d137,
    0x93f5f5799a932462, 0x9e0082df0ba9e4b0, 0x7a5dbbc594ddb9f3, 0xf4b32f46226bada7,
    0x751e8fbc860ee5fb, 0x14ea5627c0843d90, 0xf723ca908e7af2ee, 0xa129ca6149be45e5,
    0x3f2acc7f57c29bdb, 0x699ae9f52cbe4794, 0x4bc1b3f0968dd39c, 0xbb6dc91da77961bd,
    0xbed65cf21aa2ee98, 0xd0f2cbb02e3b67c7, 0x93536795e3a33e88, 0xa80c038ccd5ccec8,
    0xb8ad50c6f649af94, 0xbce192de8a85b8ea, 0x17d835b85bbb15f3, 0x2f2e6163076bcfad,
    0xde4daaaca71dc9a5, 0xa6a2506687956571, 0xad87a3535c49ef28, 0x32d892fad841c342,
    0x7127512f72f27cce, 0xa7f32346f95978e3, 0x12e0b01abb051238, 0x15e034d40fa197ae,
    0x314dffbe0815a3b4, 0x027990f029623981, 0xcadcd4e59ef40c4d, 0x9abfd8766a33735c,
    0x0e3ea96b5304a7d0, 0xad0c42d6fc585992, 0x187306c89bc215a9, 0xd4a60abcf3792b95,
    0xf935451de4f21df2, 0xa9538f0419755787, 0xdb9acddff56ca510, 0xd06c98cd5c0975eb,
    0xe612a3cb9ecba951, 0xc766e62cfcadaf96, 0xee64435a9752fe72, 0xa192d576b245165a,
    0x0a8787bf8ecb74b2, 0x81b3e73d20b49b6f, 0x7fa8220ba3b2ecea, 0x245731c13ca42499,
    0xb78dbfaf3a8d83bd, 0xea1ad565322a1a0b, 0x60e61c23a3795013, 0x6606d7e446282b93,
    0x6ca4ecb15c5f91e1, 0x9f626da15c9625f3, 0xe51b38608ef25f57, 0x958a324ceb064572,
};

static void siphash_2_4_vectors(void **state)
{
    uint8_t message[64];
    for (unsigned n = 0; n < 64; n++) {
        message[n] = (uint8_t)n;
        assert_int_equal(hash_sip24(sip_key, span_make(message, n)), sip24_vectors[n]);
    }
    assert_int_equal(hash_sip24(sip_key, SPAN_EMPTY), sip24_vectors[0]);
}

/* Same key and messages; values from OpenSSL 3.0's SIPHASH with c-rounds:1, d-rounds:3. */
static void siphash_1_3_vectors(void **state)
{
    static const struct {
        unsigned len;
        uint64_t hash;
    } vectors[] = {
        {0, 0xabac0158050fc4dc},  {1, 0xc9f49bf37d57ca93},  {7, 0xd3927d989bb11140},
        {8, 0x369095118d299a8e},  {15, 0xd320d86d2a519956}, {16, 0xcc4fdd1a7d908b66},
        {63, 0x9d199062b7bbb3a8},
    };
    uint8_t message[64];
    for (unsigned i = 0; i < 64; i++)
        message[i] = (uint8_t)i;
    for (unsigned i = 0; i < TG_ARRAY_LEN(vectors); i++)
        assert_int_equal(hash_sip13(sip_key, span_make(message, vectors[i].len)), vectors[i].hash);
}

/* "Verifying the RSS Hash Calculation", Microsoft's driver documentation; the key is padded. */
static const uint8_t rss_key[TOEPLITZ_KEY_BYTES] = {
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
    0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
    0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

static void put_port(uint8_t *at, unsigned port)
{
    at[0] = (uint8_t)(port >> 8);
    at[1] = (uint8_t)port;
}

static void toeplitz_ipv4_vectors(void **state)
{
    static struct toeplitz t;
    static const struct {
        uint8_t destination[4];
        unsigned destination_port;
        uint8_t source[4];
        unsigned source_port;
        uint32_t with_ports, addresses_only;
    } vectors[] = {
        {{161, 142, 100, 80}, 1766, {66, 9, 149, 187}, 2794, 0x51ccc178, 0x323e8fc2},
        {{65, 69, 140, 83}, 4739, {199, 92, 111, 2}, 14230, 0xc626b0ea, 0xd718262a},
        {{12, 22, 207, 184}, 38024, {24, 19, 198, 95}, 12898, 0x5c2b394a, 0xd2d0a5de},
        {{209, 142, 163, 6}, 2217, {38, 27, 205, 30}, 48228, 0xafc7327f, 0x82989176},
        {{202, 188, 127, 2}, 1303, {153, 39, 163, 191}, 44251, 0x10e828a2, 0x5d1809c5},
    };
    toeplitz_init(&t, rss_key);
    for (unsigned i = 0; i < TG_ARRAY_LEN(vectors); i++) {
        uint8_t input[12];
        memcpy(input, vectors[i].source, 4);
        memcpy(input + 4, vectors[i].destination, 4);
        put_port(input + 8, vectors[i].source_port);
        put_port(input + 10, vectors[i].destination_port);
        assert_int_equal(toeplitz_hash(&t, input, 12), vectors[i].with_ports);
        assert_int_equal(toeplitz_hash(&t, input, 8), vectors[i].addresses_only);
    }
}

static void toeplitz_ipv6_vectors(void **state)
{
    static struct toeplitz t;
    static const struct {
        uint8_t destination[16];
        unsigned destination_port;
        uint8_t source[16];
        unsigned source_port;
        uint32_t with_ports, addresses_only;
    } vectors[] = {
        {{0x3f, 0xfe, 0x25, 0x01, 0x02, 0x00, 0x00, 0x03, 0, 0, 0, 0, 0, 0, 0, 1},
         1766,
         {0x3f, 0xfe, 0x25, 0x01, 0x02, 0x00, 0x1f, 0xff, 0, 0, 0, 0, 0, 0, 0, 7},
         2794,
         0x40207d3d,
         0x2cc18cd5},
        {{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1},
         4739,
         {0x3f, 0xfe, 0x05, 0x01, 0, 8, 0, 0, 0x02, 0x60, 0x97, 0xff, 0xfe, 0x40, 0xef, 0xab},
         14230,
         0xdde51bbf,
         0x0f0c461c},
        {{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0x02, 0x00, 0xf8, 0xff, 0xfe, 0x21, 0x67, 0xcf},
         38024,
         {0x3f, 0xfe, 0x19, 0x00, 0x45, 0x45, 0, 3, 0x02, 0x00, 0xf8, 0xff, 0xfe, 0x21, 0x67, 0xcf},
         44251,
         0x02d1feef,
         0x4b61e985},
    };
    toeplitz_init(&t, rss_key);
    for (unsigned i = 0; i < TG_ARRAY_LEN(vectors); i++) {
        uint8_t input[36];
        memcpy(input, vectors[i].source, 16);
        memcpy(input + 16, vectors[i].destination, 16);
        put_port(input + 32, vectors[i].source_port);
        put_port(input + 34, vectors[i].destination_port);
        assert_int_equal(toeplitz_hash(&t, input, 36), vectors[i].with_ports);
        assert_int_equal(toeplitz_hash(&t, input, 32), vectors[i].addresses_only);
    }
}

static void toeplitz_is_linear(void **state)
{
    static struct toeplitz t;
    struct prng rng;
    prng_seed(&rng, 7);
    uint8_t key[TOEPLITZ_KEY_BYTES];
    for (unsigned i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)prng_next(&rng);
    toeplitz_init(&t, key);
    for (unsigned round = 0; round < 100; round++) {
        uint8_t a[36], b[36], both[36];
        for (unsigned i = 0; i < 36; i++) {
            a[i] = (uint8_t)prng_next(&rng);
            b[i] = (uint8_t)prng_next(&rng);
            both[i] = a[i] ^ b[i];
        }
        assert_int_equal(toeplitz_hash(&t, both, 36),
                         toeplitz_hash(&t, a, 36) ^ toeplitz_hash(&t, b, 36));
    }
}

/* RFC 3720 appendix B.4, and the customary check value. */
static void crc32c_vectors(void **state)
{
    uint8_t bytes[32];
    assert_int_equal(hash_crc32c(0, SPAN_EMPTY), 0);
    assert_int_equal(hash_crc32c(0, SPAN_LITERAL("123456789")), 0xe3069283);
    memset(bytes, 0, 32);
    assert_int_equal(hash_crc32c(0, span_make(bytes, 32)), 0x8a9136aa);
    memset(bytes, 0xff, 32);
    assert_int_equal(hash_crc32c(0, span_make(bytes, 32)), 0x62a8ab43);
    for (unsigned i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(hash_crc32c(0, span_make(bytes, 32)), 0x46dd794e);
    for (unsigned i = 0; i < 32; i++)
        bytes[i] = (uint8_t)(31 - i);
    assert_int_equal(hash_crc32c(0, span_make(bytes, 32)), 0x113fdb5c);
    for (unsigned cut = 0; cut <= 32; cut++) { /* in two calls, cut anywhere */
        uint32_t crc = hash_crc32c(0, span_make(bytes, cut));
        assert_int_equal(hash_crc32c(crc, span_make(bytes + cut, 32 - cut)), 0x113fdb5c);
    }
}

/* The first outputs from state {1, 2, 3, 4}, as every implementation of xoshiro256** gives them. */
static void prng_vectors(void **state)
{
    struct prng p = {{1, 2, 3, 4}};
    assert_int_equal(prng_next(&p), 11520);
    assert_int_equal(prng_next(&p), 0);
    assert_int_equal(prng_next(&p), 1509978240);
    assert_int_equal(prng_next(&p), 1215971899390074240);
}

static void prng_repeats_and_stays_below(void **state)
{
    struct prng a, b;
    prng_seed(&a, 0);
    prng_seed(&b, 0);
    unsigned seen[7] = {0};
    for (unsigned i = 0; i < 7000; i++) {
        uint64_t x = prng_below(&a, 7);
        assert_int_equal(x, prng_below(&b, 7));
        assert_true(x < 7);
        seen[x]++;
    }
    for (unsigned i = 0; i < 7; i++)
        assert_in_range(seen[i], 800, 1200);
    assert_int_equal(prng_below(&a, 0), 0);
    assert_int_equal(prng_below(&a, 1), 0);
    for (unsigned i = 0; i < 1000; i++)
        assert_true(prng_below(&a, UINT64_MAX / 2 + 2) <= UINT64_MAX / 2 + 1);
    prng_seed(&a, 1);
    prng_seed(&b, 2);
    assert_int_not_equal(prng_next(&a), prng_next(&b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash_2_4_vectors),   cmocka_unit_test(siphash_1_3_vectors),
        cmocka_unit_test(toeplitz_ipv4_vectors), cmocka_unit_test(toeplitz_ipv6_vectors),
        cmocka_unit_test(toeplitz_is_linear),    cmocka_unit_test(crc32c_vectors),
        cmocka_unit_test(prng_vectors),          cmocka_unit_test(prng_repeats_and_stays_below),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
