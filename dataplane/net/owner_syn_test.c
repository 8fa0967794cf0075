/* SPDX-License-Identifier: BSD-3-Clause
 * SYN cookies: every combination of options comes back, nothing else gets in. The golden values come from
 * a second implementation in another language.
 */
#include "net/net_test_support.h"
#include "net/owner_test_support.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define CLIENT_ISN 0xdeadbeef

static const struct owner_identity golden = {
    .slot = 0x123,
    .site = 0x45,
    .owner = {{{{0x0706050403020100, 0x0f0e0d0c0b0a0908}, 1}}, 1},
    .syn = {{{{0x1716151413121110, 0x1f1e1d1c1b1a1918}, 7}}, 1},
};

/* --- what an ACK brings back --------------------------------------------------------------------- */

struct ack {
    struct ip_tuple tuple;
    uint32_t client_isn, isn, echo;
    bool timestamps;
};

static struct ack answer(const struct owner_identity *me, const struct ip_tuple *t, uint32_t isn,
                         const struct owner_syn *o)
{
    struct owner_cookie c = owner_syn_encode(me, t, isn, o);
    return (struct ack){*t, isn, c.isn, c.ts_base, o->timestamps};
}

static bool verify(const struct owner_identity *me, const struct ack *a, struct owner_syn *out)
{
    return owner_syn_verify(me, &a->tuple, a->client_isn, a->isn, a->timestamps ? &a->echo : NULL,
                            out);
}

static void golden_values(void **state)
{
    const struct owner_syn full = {1460, 7, true, true, true, true};
    const struct owner_syn bare = {1452, 0, false, false, true, false};
    const struct owner_syn plain = {1399, 14, true, true, false, true};
    static const char *const ours[2] = {"192.0.2.1", "2001:db8::1"};
    static const char *const peer[2] = {"198.51.100.7", "2001:db8:9::7"};
    static const uint32_t want[2][6] = {
        {0x4207cd39, 0xce7c408b, 0x420f0d39, 0xce721de0, 0x42000d39, 0xce67a8f8},
        {0x5307d907, 0x747d2fa8, 0x530f1907, 0x74777a28, 0x53001907, 0x7467c780}};
    for (unsigned family = 0; family < 2; family++) {
        struct ip_tuple t = {test_addr(ours[family]), test_addr(peer[family]), 443, 50000};
        struct owner_cookie c = owner_syn_encode(&golden, &t, CLIENT_ISN, &full);
        assert_int_equal(c.ts_base, want[family][0]);
        assert_int_equal(c.isn, want[family][1]);
        c = owner_syn_encode(&golden, &t, CLIENT_ISN, &bare);
        assert_int_equal(c.ts_base, want[family][2]);
        assert_int_equal(c.isn, want[family][3]);
        c = owner_syn_encode(&golden, &t, CLIENT_ISN, &plain);
        assert_int_equal(c.ts_base, want[family][4]);
        assert_int_equal(c.isn, want[family][5]);
    }
}

/* --- round trips ----------------------------------------------------------------------------------- */

static uint16_t mss_kept(uint16_t mss)
{
    static const uint16_t table[] = {272, 536, 1220, 1300, 1360, 1400, 1440, 1460};
    uint16_t kept = table[0];
    for (unsigned i = 0; i < TG_ARRAY_LEN(table); i++)
        if (table[i] <= mss)
            kept = table[i];
    return kept;
}

static uint8_t wscale_kept(uint8_t wscale)
{
    static const uint8_t kept[15] = {0, 1, 2, 2, 4, 4, 6, 7, 8, 8, 8, 8, 8, 8, 8};
    return kept[wscale];
}

static void expect_back(const struct owner_syn *sent, const struct owner_syn *back)
{
    assert_int_equal(back->timestamps, sent->timestamps);
    assert_int_equal(back->sack, sent->sack);
    assert_int_equal(back->ecn, sent->ecn && sent->timestamps);
    assert_int_equal(back->has_wscale, sent->has_wscale);
    assert_int_equal(back->mss, mss_kept(sent->mss));
    if (!sent->has_wscale)
        assert_int_equal(back->wscale, 0);
    else
        assert_int_equal(back->wscale, sent->timestamps ? sent->wscale : wscale_kept(sent->wscale));
}

/* Combination number i of 2 * 2 * 2 * 16 * 13. */
#define COMBINATIONS (2u * 2 * 2 * 16 * 13)
static struct owner_syn combination(unsigned i)
{
    static const uint16_t sizes[13] = {0,    1,    272,  535,  536,  1220, 1299,
                                       1300, 1380, 1400, 1440, 1460, 65535};
    unsigned scale = i / 8 % 16;
    return (struct owner_syn){
        .timestamps = i & 1,
        .sack = i >> 1 & 1,
        .ecn = i >> 2 & 1,
        .has_wscale = scale < 15,
        .wscale = scale < 15 ? (uint8_t)scale : 0,
        .mss = sizes[i / 128],
    };
}

static void all_options_come_back(void **state)
{
    struct prng p;
    prng_seed(&p, 1);
    for (unsigned i = 0; i < COMBINATIONS * 4; i++) {
        struct owner_syn sent = combination(i % COMBINATIONS), back;
        struct owner_identity me =
            test_owner_identity(&p, (uint16_t)prng_below(&p, 4095), (uint8_t)prng_next(&p));
        me.syn.key[0].id = i;
        struct ip_tuple t = test_owner_tuple(&p);
        struct ack a = answer(&me, &t, (uint32_t)prng_next(&p), &sent);
        assert_true(verify(&me, &a, &back));
        expect_back(&sent, &back);
    }
}

static void every_mss_is_kept_from_below(void **state)
{
    struct ip_tuple t = {test_addr("192.0.2.1"), test_addr("198.51.100.7"), 443, 50000};
    for (unsigned mss = 0; mss < 65536; mss += mss < 1500 ? 1 : 611) {
        struct owner_syn sent = {.mss = (uint16_t)mss, .timestamps = mss % 2}, back;
        struct ack a = answer(&golden, &t, CLIENT_ISN, &sent);
        assert_true(verify(&golden, &a, &back));
        assert_int_equal(back.mss, mss_kept((uint16_t)mss));
        assert_true(back.mss <= mss || back.mss == 272);
    }
}

/* The owner of a connection made from a cookie is found like any other: the base stays what was echoed. */
static void cookie_names_its_owner(void **state)
{
    struct prng p;
    struct owner_slots all;
    struct owner_sites sites;
    memset(&all, 0xff, sizeof all);
    memset(&sites, 0xff, sizeof sites);
    prng_seed(&p, 2);
    for (unsigned i = 0; i < COMBINATIONS; i++) {
        struct owner_syn sent = combination(i);
        struct owner_identity me =
            test_owner_identity(&p, (uint16_t)prng_below(&p, 4095), (uint8_t)prng_next(&p));
        struct ip_tuple t = test_owner_tuple(&p);
        struct ack a = answer(&me, &t, (uint32_t)prng_next(&p), &sent);
        uint16_t slot;
        uint8_t found[OWNER_SITES_FOUND];
        uint32_t later = owner_cookie_value(a.echo, OWNER_TICK * 500, OWNER_TICK_BYTES * 460);
        assert_true(owner_cookie_slot(&me.owner, &all, &t, later, &slot));
        assert_int_equal(slot, me.slot);
        assert_true(owner_cookie_sites(&me.owner, &sites, &t, a.isn + 1234567, found) > 0);
        assert_int_equal(found[0], me.site);
    }
}

/* --- what does not get in ---------------------------------------------------------------------------- */

/* Each bit of everything that the ACK says is covered. One forgery in 2^15 would pass by chance. */
static void every_bit_counts(void **state)
{
    struct prng p;
    struct owner_syn back;
    unsigned passed = 0, tried = 0;
    prng_seed(&p, 3);
    for (unsigned i = 0; i < COMBINATIONS; i += 5) {
        struct owner_syn sent = combination(i);
        struct owner_identity me = test_owner_identity(&p, 7, 8);
        struct ip_tuple t = test_owner_tuple(&p);
        struct ack a = answer(&me, &t, (uint32_t)prng_next(&p), &sent);
        for (unsigned bit = 0; bit < 32; bit++) {
            struct ack wrong = a;
            wrong.isn ^= 1u << bit;
            passed += verify(&me, &wrong, &back);
            wrong = a;
            wrong.client_isn ^= 1u << bit;
            passed += verify(&me, &wrong, &back);
            wrong = a;
            wrong.tuple.remote.bytes[12 + bit / 8] ^= (uint8_t)(1 << bit % 8);
            passed += verify(&me, &wrong, &back);
            wrong = a;
            wrong.tuple.local_port ^= (uint16_t)(1 << bit % 16);
            passed += verify(&me, &wrong, &back);
            wrong = a;
            wrong.echo ^= 1u << bit;
            passed += a.timestamps && verify(&me, &wrong, &back);
            tried += 5;
        }
        struct ack wrong = a; /* stripped or added on the way */
        wrong.timestamps = !a.timestamps;
        passed += verify(&me, &wrong, &back);
    }
    assert_true(tried > 50000);
    assert_in_range(passed, 0, 3);
}

static void others_cookies_are_refused(void **state)
{
    struct prng p;
    struct owner_syn back, sent = combination(1);
    prng_seed(&p, 4);
    struct owner_identity me = test_owner_identity(&p, 7, 8), other = me;
    struct ip_tuple t = test_owner_tuple(&p);
    struct ack a = answer(&me, &t, CLIENT_ISN, &sent);
    assert_true(verify(&me, &a, &back));
    other.slot = 6; /* same site, another node: steer has to find the owner */
    assert_false(verify(&other, &a, &back));
    other = me;
    other.site = 9;
    assert_false(verify(&other, &a, &back));
    sent.timestamps = false;
    a = answer(&me, &t, CLIENT_ISN, &sent);
    assert_false(verify(&other, &a, &back));
    other = me;
    other.syn.count = 0;
    assert_false(verify(&other, &a, &back));
    other = me;
    other.owner.count = 0;
    assert_false(verify(&other, &a, &back));
    /* A cookie of now is worth nothing with another client ISN: see every_bit_counts; nor later on. */
    struct owner_syn with_ts = combination(1);
    a = answer(&me, &t, CLIENT_ISN, &with_ts);
    a.echo += 64u << OWNER_CLOCK_SHIFT; /* a clock that no SYN-ACK has */
    assert_false(verify(&me, &a, &back));
}

static void keys_live_for_two_rotations(void **state)
{
    struct prng p;
    prng_seed(&p, 5);
    for (unsigned i = 0; i < COMBINATIONS; i += 7) {
        struct owner_syn sent = combination(i), back;
        struct owner_identity me = test_owner_identity(&p, 7, 8);
        struct ip_tuple t = test_owner_tuple(&p);
        struct ack a = answer(&me, &t, CLIENT_ISN + i, &sent);
        test_owner_rotate(&p, &me.syn);
        assert_true(verify(&me, &a, &back));
        expect_back(&sent, &back);
        test_owner_rotate(&p, &me.owner);
        assert_true(verify(&me, &a, &back));
        struct ack young = answer(&me, &t, CLIENT_ISN + i, &sent);
        assert_true(verify(&me, &young, &back));
        struct owner_identity later = me;
        test_owner_rotate(&p, &later.syn);
        assert_false(verify(&later, &a, &back)); /* 2^-15 by chance: not with this seed */
        assert_true(verify(&later, &young, &back));
        later = me;
        test_owner_rotate(&p, &later.owner);
        assert_false(verify(&later, &a, &back));
    }
}

/* An attacker who knows site and key bit still has the MAC to guess. */
static void forgeries_pass_as_rarely_as_computed(void **state)
{
    struct prng p;
    struct owner_syn back;
    unsigned passed = 0;
    const unsigned n = 1000000;
    prng_seed(&p, 6);
    struct owner_identity me = test_owner_identity(&p, 7, 8);
    struct ip_tuple t = test_owner_tuple(&p);
    struct owner_syn plain = combination(0);
    uint32_t fixed = owner_syn_encode(&me, &t, 1, &plain).isn & 0xffc00000;
    for (unsigned i = 0; i < n; i++) {
        uint32_t isn = fixed | (uint32_t)prng_below(&p, 1 << 22);
        passed += owner_syn_verify(&me, &t, i, isn, NULL, &back);
    }
    assert_in_range(passed, 9, 55); /* n / 2^15 = 30.5, four deviations */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_values),
        cmocka_unit_test(all_options_come_back),
        cmocka_unit_test(every_mss_is_kept_from_below),
        cmocka_unit_test(cookie_names_its_owner),
        cmocka_unit_test(every_bit_counts),
        cmocka_unit_test(others_cookies_are_refused),
        cmocka_unit_test(keys_live_for_two_rotations),
        cmocka_unit_test(forgeries_pass_as_rarely_as_computed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
