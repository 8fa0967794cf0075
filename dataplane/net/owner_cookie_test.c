/* SPDX-License-Identifier: BSD-3-Clause
 * Properties of owner cookies: never falling, decoded exactly, forged as rarely as computed. The golden
 * values come from a second implementation in another language.
 */
#include "net/net_test_support.h"
#include "net/owner_test_support.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define DAY ((tg_ns)86400 * TG_S)

static struct owner_slots all_slots;
static struct owner_sites all_sites;

static int set_up(void **state)
{
    memset(&all_slots, 0xff, sizeof all_slots);
    memset(&all_sites, 0xff, sizeof all_sites);
    return 0;
}

/* What a receiver's PAWS does (RFC 7323 s5.3 R1). */
static bool paws_drops(uint32_t recent, uint32_t value)
{
    return (int32_t)(value - recent) < 0;
}

static const struct owner_identity golden = {
    .slot = 0x123,
    .site = 0x45,
    .owner = {{{{0x0706050403020100, 0x0f0e0d0c0b0a0908}, 1}}, 1},
};

static void golden_values(void **state)
{
    struct ip_tuple t4 = {test_addr("192.0.2.1"), test_addr("198.51.100.7"), 443, 50000};
    struct ip_tuple t6 = {test_addr("2001:db8::1"), test_addr("2001:db8:9::7"), 443, 50000};
    struct owner_cookie c = owner_cookie_make(&golden, &t4, 0, 1000);
    assert_int_equal(c.ts_base, 0x42000d39);
    assert_int_equal(c.isn, 0xce50006c);
    c = owner_cookie_make(&golden, &t6, 0, 1000);
    assert_int_equal(c.ts_base, 0x53001907);
    assert_int_equal(c.isn, 0x7458b63b);
    struct owner_identity last = golden;
    last.slot = 4094;
    last.site = 0xff;
    c = owner_cookie_make(&last, &t4, 511, 0xffffffff);
    assert_int_equal(c.ts_base, 0xaf7ffb8e);
    assert_int_equal(c.isn, 0x744ffc83);
    c = owner_cookie_make(&last, &t6, 511, 0xffffffff);
    assert_int_equal(c.ts_base, 0xbe7fec77);
    assert_int_equal(c.isn, 0xce58b252);
    assert_int_equal(owner_cookie_value(0x42000d39, OWNER_TICK * 3 + OWNER_TICK - 1, 0),
                     0x4200cd39);
    assert_int_equal(owner_cookie_value(0x42000d39, OWNER_TICK * 1024, OWNER_TICK_BYTES * 2),
                     0x43008d39);
}

/* A connection's life in random steps: idle for up to months, or sending up to gigabytes. */
static void timestamps_never_fall(void **state)
{
    struct prng p;
    prng_seed(&p, 1);
    for (unsigned connection = 0; connection < 200; connection++) {
        uint32_t base = (uint32_t)prng_next(&p), last = base;
        tg_ns age = 0;
        uint64_t bytes = 0;
        while (age < 3 * 365 * DAY && bytes < (uint64_t)4 << 40) {
            age += prng_below(&p, (uint64_t)1 << prng_below(&p, 54));
            bytes += prng_below(&p, (uint64_t)1 << prng_below(&p, 36));
            uint32_t value = owner_cookie_value(base, age, bytes);
            assert_false(paws_drops(last, value));
            last = value;
        }
    }
}

/* Whatever the idle time: the first segment after it is no older than the last one before. */
static void paws_never_drops_after_idling(void **state)
{
    struct prng p;
    prng_seed(&p, 2);
    const tg_ns limit = OWNER_TICK * ((1u << 17) - 1); /* 59 years */
    assert_true(limit > 59 * 365 * DAY);
    for (unsigned i = 0; i < 300000; i++) {
        uint32_t base = (uint32_t)prng_next(&p);
        tg_ns age = prng_below(&p, 400 * DAY);
        uint64_t bytes = prng_below(&p, (uint64_t)4 << 40);
        tg_ns idle = i % 2 ? prng_below(&p, limit - OWNER_TICK)
                           : prng_below(&p, (uint64_t)1 << prng_below(&p, 60));
        assert_false(paws_drops(owner_cookie_value(base, age, bytes),
                                owner_cookie_value(base, age + idle, bytes)));
    }
    assert_false(paws_drops(5, owner_cookie_value(5, limit, 0)));
    assert_true(paws_drops(5, owner_cookie_value(5, limit + OWNER_TICK, 0))); /* as documented */
}

/* RFC 7323 s5.4: at least once per 2^31 bytes. Firewalls bear up to 1,100 Hz plus 33,000 units of slack (pf):
 * idle time alone must stay far below. */
static void ticks_are_neither_rare_nor_many(void **state)
{
    for (uint64_t sent = 0; sent < (uint64_t)1 << 42; sent += (uint64_t)1 << 31) {
        uint32_t a = owner_cookie_value(0, 0, sent),
                 b = owner_cookie_value(0, 0, sent + (1u << 31));
        assert_int_equal(b - a, 2 << 14);
    }
    assert_int_equal(owner_cookie_value(0, 0, OWNER_TICK_BYTES - 1), 0);
    assert_int_equal(owner_cookie_value(0, OWNER_TICK - 1, 0), 0);
    uint64_t units_a_day = owner_cookie_value(0, DAY, 0);
    assert_int_equal(units_a_day, 6 << 14); /* about one a second */
}

static void decode_is_exact(void **state)
{
    struct prng p;
    prng_seed(&p, 3);
    for (unsigned i = 0; i < 20000; i++) {
        uint16_t slot = (uint16_t)prng_below(&p, OWNER_SLOTS - 1), found = OWNER_SLOT_NONE;
        struct owner_identity me = test_owner_identity(&p, slot, 0);
        struct ip_tuple t = test_owner_tuple(&p);
        unsigned start = (unsigned)prng_below(&p, 64);
        struct owner_cookie c = owner_cookie_make(&me, &t, start, 0);
        uint64_t ticks = i % 8 ? prng_below(&p, 1024 - start) : 1023 - start;
        uint64_t by_bytes = prng_below(&p, ticks + 1);
        uint32_t ts = owner_cookie_value(c.ts_base, (ticks - by_bytes) * OWNER_TICK + DAY / 24,
                                         by_bytes * OWNER_TICK_BYTES + 77);
        assert_true(owner_cookie_slot(&me.owner, &all_slots, &t, ts, &found));
        assert_int_equal(found, slot);
    }
}

static struct owner_slots few_slots(struct prng *p, unsigned n)
{
    struct owner_slots live = {{0}};
    for (unsigned i = 0; i < n; i++)
        owner_set_add(live.bits, (unsigned)prng_below(p, OWNER_SLOTS - 1));
    return live;
}

/* After the clock has run over, and under the previous key: right for all but 1 in 1024 * 4096 / 20. */
static void decode_survives_carries_and_rotation(void **state)
{
    struct prng p;
    unsigned wrong = 0;
    prng_seed(&p, 4);
    for (unsigned i = 0; i < 50000; i++) {
        uint16_t slot = (uint16_t)prng_below(&p, OWNER_SLOTS - 1), found = OWNER_SLOT_NONE;
        struct owner_identity me = test_owner_identity(&p, slot, 0);
        struct owner_slots live = few_slots(&p, 20);
        owner_set_add(live.bits, slot);
        struct ip_tuple t = test_owner_tuple(&p);
        struct owner_cookie c = owner_cookie_make(&me, &t, 0, 0);
        uint64_t ticks = prng_below(&p, 1024 * OWNER_CARRIES);
        uint32_t ts = owner_cookie_value(c.ts_base, 0, ticks * OWNER_TICK_BYTES);
        if (i % 2)
            test_owner_rotate(&p, &me.owner);
        if (!owner_cookie_slot(&me.owner, &live, &t, ts, &found) || found != slot)
            wrong++;
    }
    assert_in_range(wrong, 0, 2);
    /* After a second rotation the key is gone. */
    struct owner_identity me = test_owner_identity(&p, 9, 0);
    struct ip_tuple t = test_owner_tuple(&p);
    uint32_t ts = owner_cookie_make(&me, &t, 0, 0).ts_base;
    uint16_t found;
    test_owner_rotate(&p, &me.owner);
    test_owner_rotate(&p, &me.owner);
    struct owner_slots live = {{0}};
    owner_set_add(live.bits, 9);
    assert_false(owner_cookie_slot(&me.owner, &live, &t, ts, &found));
    me.owner.count = 0;
    assert_false(owner_cookie_slot(&me.owner, &all_slots, &t, ts, &found));
}

/* Accepted among n random timestamps. */
static unsigned forge(struct prng *p, struct owner_keys *keys, const struct owner_slots *live,
                      unsigned n)
{
    unsigned accepted = 0;
    uint16_t slot;
    for (unsigned i = 0; i < n; i++) {
        struct ip_tuple t = test_owner_tuple(p);
        accepted += owner_cookie_slot(keys, live, &t, (uint32_t)prng_next(p), &slot);
    }
    return accepted;
}

/* Five standard deviations around the computed rate; the seed is fixed, so it holds or it does not. */
static void expect_rate(unsigned accepted, unsigned n, double rate)
{
    double mean = n * rate, spread = 25 * mean, off = accepted - mean;
    if (off * off > spread)
        fail_msg("%u of %u accepted, %.0f expected", accepted, n, mean);
}

static void forgeries_pass_as_rarely_as_computed(void **state)
{
    struct prng p;
    prng_seed(&p, 5);
    struct owner_identity me = test_owner_identity(&p, 1, 1);
    const double tag = 1.0 / 1024;
    const unsigned n = 200000;
    expect_rate(forge(&p, &me.owner, &all_slots, n), n, OWNER_CARRIES * tag);
    test_owner_rotate(&p, &me.owner);
    expect_rate(forge(&p, &me.owner, &all_slots, n), n, 2 * OWNER_CARRIES * tag);
    struct owner_slots half = {{0}}; /* half of the slots live */
    for (unsigned slot = 0; slot < OWNER_SLOTS; slot += 2)
        owner_set_add(half.bits, slot);
    expect_rate(forge(&p, &me.owner, &half, n), n, OWNER_CARRIES * tag);
    struct owner_slots few = few_slots(&p, 16);
    assert_in_range(forge(&p, &me.owner, &few, n), 0, 20); /* 4.6 expected */
}

/* A cookie that was seen on one connection is worth no more than a random number on another. */
static void cookie_is_bound_to_its_tuple(void **state)
{
    struct prng p;
    unsigned accepted = 0, tried = 0;
    uint16_t slot;
    prng_seed(&p, 6);
    struct owner_identity me = test_owner_identity(&p, 77, 1);
    struct owner_slots live = {{0}};
    owner_set_add(live.bits, 77);
    for (unsigned i = 0; i < 500; i++) {
        struct ip_tuple t = test_owner_tuple(&p);
        uint32_t ts = owner_cookie_make(&me, &t, 0, 0).ts_base;
        for (unsigned bit = 0; bit < 8 * sizeof t; bit++) {
            unsigned byte = bit / 8;
            bool mapped = (byte % 16 < 12 && byte < 32) && ip_addr_is4(&t.local);
            if (mapped) /* would make another family of it */
                continue;
            struct ip_tuple other = t;
            ((uint8_t *)&other)[byte] ^= (uint8_t)(1 << bit % 8);
            accepted += owner_cookie_slot(&me.owner, &live, &other, ts, &slot);
            tried++;
        }
    }
    assert_true(tried > 50000);
    assert_in_range(accepted, 0, 2); /* 0.1 expected */
}

/* An outsider cannot aim at a node: over tuples, the name of one slot is uniform. */
static void names_are_masked(void **state)
{
    struct prng p;
    unsigned high[256] = {0}, sites[256] = {0};
    double chi_high = 0, chi_sites = 0;
    prng_seed(&p, 7);
    struct owner_identity me = test_owner_identity(&p, 5, 5);
    for (unsigned i = 0; i < 65536; i++) {
        struct ip_tuple t = test_owner_tuple(&p);
        struct owner_cookie c = owner_cookie_make(&me, &t, 0, 0);
        high[c.ts_base >> 24]++;
        sites[c.isn >> 24]++;
    }
    for (unsigned i = 0; i < 256; i++) {
        chi_high += (high[i] - 256.0) * (high[i] - 256.0) / 256;
        chi_sites += (sites[i] - 256.0) * (sites[i] - 256.0) / 256;
    }
    assert_true(chi_high < 370 && chi_high > 160); /* 255 degrees of freedom, 4 to 5 deviations */
    assert_true(chi_sites < 370 && chi_sites > 160);
}

static bool has_site(const uint8_t sites[], unsigned n, uint8_t site)
{
    return memchr(sites, site, n) != NULL;
}

static void isn_names_the_site(void **state)
{
    struct prng p;
    prng_seed(&p, 8);
    for (unsigned i = 0; i < 20000; i++) {
        uint8_t found[OWNER_SITES_FOUND];
        struct owner_identity me = test_owner_identity(&p, 5, (uint8_t)prng_next(&p));
        struct ip_tuple t = test_owner_tuple(&p);
        struct owner_cookie c = owner_cookie_make(&me, &t, 0, (uint32_t)prng_next(&p));
        assert_int_equal(c.isn >> 23 & 1, 0);
        uint32_t early = c.isn + (uint32_t)prng_below(&p, 1 << 23); /* the first 8 MiB: exact */
        assert_int_equal(owner_cookie_sites(&me.owner, &all_sites, &t, early, found), 2);
        assert_int_equal(found[0], me.site);
        uint32_t late = c.isn + (1 << 23) + (uint32_t)prng_below(&p, 1 << 23);
        assert_int_equal(owner_cookie_sites(&me.owner, &all_sites, &t, late, found), 2);
        assert_true(has_site(found, 2, me.site));
        struct owner_sites mine = {{0}};
        owner_set_add(mine.bits, me.site);
        test_owner_rotate(&p, &me.owner);
        assert_int_equal(owner_cookie_sites(&me.owner, &mine, &t, early, found), 1);
        assert_int_equal(found[0], me.site);
        unsigned n = owner_cookie_sites(&me.owner, &all_sites, &t, early, found);
        assert_true(n >= 2 && n <= OWNER_SITES_FOUND && has_site(found, n, me.site));
        for (unsigned k = 1; k < n; k++)
            assert_false(has_site(found, k, found[k])); /* each once */
    }
}

/* Sites that do not live are not named: of random numbers, a share like that of the sites. */
static void isn_names_living_sites_only(void **state)
{
    struct prng p;
    unsigned named = 0;
    struct owner_sites four = {{0}};
    prng_seed(&p, 9);
    struct owner_identity me = test_owner_identity(&p, 5, 5);
    for (unsigned site = 0; site < 4; site++)
        owner_set_add(four.bits, site * 60);
    for (unsigned i = 0; i < 100000; i++) {
        uint8_t found[OWNER_SITES_FOUND];
        struct ip_tuple t = test_owner_tuple(&p);
        unsigned n = owner_cookie_sites(&me.owner, &four, &t, (uint32_t)prng_next(&p), found);
        for (unsigned k = 0; k < n; k++)
            assert_int_equal(found[k] % 60, 0);
        named += n;
    }
    expect_rate(named, 100000, 2 * 4 / 256.0);
}

/* RFC 6528: the same tuple's next ISN is higher, until the 23 bits wrap after 33 s. */
static void isn_rises_with_its_clock(void **state)
{
    struct prng p;
    prng_seed(&p, 10);
    struct owner_identity me = test_owner_identity(&p, 5, 5);
    for (unsigned i = 0; i < 2000; i++) {
        struct ip_tuple t = test_owner_tuple(&p);
        uint32_t clock = (uint32_t)prng_next(&p), step = (uint32_t)prng_below(&p, 1 << 23);
        uint32_t a = owner_cookie_make(&me, &t, 0, clock).isn;
        uint32_t b = owner_cookie_make(&me, &t, 0, clock + step).isn;
        assert_int_equal((b - a) & 0x7fffff, step);
        assert_int_equal(a >> 23, b >> 23);
    }
}

static bool find(const char *bytes, size_t len, uint32_t *value, uint32_t *echo)
{
    uint8_t tight[40]; /* copied so that ASan sees a byte too many */
    uint8_t *copy = len ? malloc(len) : tight;
    memcpy(copy, bytes, len);
    bool found = owner_cookie_timestamps(span_make(copy, len), value, echo);
    if (len)
        free(copy);
    return found;
}
#define FIND(text) find(text, sizeof(text) - 1, &value, &echo)
#define TS         "\x08\x0a\x01\x02\x03\x04\x0a\x0b\x0c\x0d"

static void timestamps_are_found_among_options(void **state)
{
    uint32_t value = 0, echo = 0;
    assert_true(FIND("\x01\x01" TS));
    assert_int_equal(value, 0x01020304);
    assert_int_equal(echo, 0x0a0b0c0d);
    assert_true(FIND(TS));
    assert_true(FIND("\x02\x04\x05\xb4\x04\x02" TS "\x01\x03\x03\x07"));
    assert_true(FIND("\x01\x01\x05\x0a\1\1\1\1\2\2\2\2" TS));
    assert_false(FIND(""));
    assert_false(FIND("\x01\x01\x01\x01"));
    assert_false(FIND("\x00\x01" TS));                      /* behind the end of options */
    assert_false(FIND("\x08\x0b\1\2\3\4\5\6\7\x08\x09"));   /* wrong length */
    assert_false(FIND("\x08\x0a\x01\x02\x03\x04\x0a\x0b")); /* cut short */
    assert_false(FIND("\x08"));
    assert_false(FIND("\x02\x00" TS)); /* length 0 and 1 */
    assert_false(FIND("\x02\x01" TS));
    assert_false(FIND("\x02\x28" TS)); /* beyond the end */
    assert_int_equal(value, 0x01020304);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_values),
        cmocka_unit_test(timestamps_never_fall),
        cmocka_unit_test(paws_never_drops_after_idling),
        cmocka_unit_test(ticks_are_neither_rare_nor_many),
        cmocka_unit_test(decode_is_exact),
        cmocka_unit_test(decode_survives_carries_and_rotation),
        cmocka_unit_test(forgeries_pass_as_rarely_as_computed),
        cmocka_unit_test(cookie_is_bound_to_its_tuple),
        cmocka_unit_test(names_are_masked),
        cmocka_unit_test(isn_names_the_site),
        cmocka_unit_test(isn_names_living_sites_only),
        cmocka_unit_test(isn_rises_with_its_clock),
        cmocka_unit_test(timestamps_are_found_among_options),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
