/* SPDX-License-Identifier: BSD-3-Clause
 * The ladder by itself: which rung first, which node never, and that it ends. Also the limits per source.
 */
#include "net/owner_test_support.h"
#include "steer/fleet_test_support.h"
#include "steer/ladder.h"
#include "steer/limits.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define NONE OWNER_SLOT_NONE

/* Site 1: 10 (we), 11, 12, 13. Site 4: 20, 21. Site 8: 30. None a carry apart from another. */
static const struct test_node nodes[] = {
    {10, 1, "192.0.2.10", NULL}, {11, 1, "192.0.2.11", NULL}, {12, 1, "192.0.2.12", NULL},
    {13, 1, "192.0.2.13", NULL}, {20, 4, "192.0.2.20", NULL}, {21, 4, "192.0.2.21", NULL},
    {30, 8, "192.0.2.30", NULL},
};
static struct tables_owners *table;
static struct fleet fleet;

static int set_up(void **state)
{
    table = test_fleet_table(nodes, TG_ARRAY_LEN(nodes), 1, 3);
    assert_int_equal(fleet_build(&fleet, table, 10), TG_OK);
    test_fleet_buckets(table, 10, NONE, NONE, NONE);
    return 0;
}

static int tear_down(void **state)
{
    free(table);
    return 0;
}

/* What a packet of a connection of this owner says. */
static struct ladder_evidence packet_of(struct prng *p, uint16_t slot, uint8_t site, bool ts)
{
    struct owner_identity owner = fleet.me;
    owner.slot = slot;
    owner.site = site;
    struct ladder_evidence e = {.tuple = test_owner_tuple(p), .has_sequence = true};
    struct owner_cookie c = owner_cookie_make(&owner, &e.tuple, 0, (uint32_t)prng_next(p));
    e.has_timestamp = ts;
    e.timestamp = owner_cookie_value(c.ts_base, OWNER_TICK * 3, 5u << 30);
    e.sequence = c.isn + (uint32_t)prng_below(p, 1 << 23);
    return e;
}

/* All answers, one after the other, as "slot slot ..." */
static const char *climb(const struct ladder_evidence *e, uint16_t never)
{
    static char text[100];
    unsigned tries = 0, len = 0;
    struct ladder_answer a;
    text[0] = '\0';
    while (ladder_next(&fleet, table, e, tries, never, &a)) {
        assert_true(a.tries > tries && a.tries < 10); /* it ends */
        assert_int_not_equal(a.slot, 10);
        assert_non_null(fleet_find(&fleet, a.slot));
        tries = a.tries;
        len += (unsigned)snprintf(text + len, sizeof text - len, "%s%u", len ? " " : "", a.slot);
    }
    return text;
}

static enum tg_counter first_rung(const struct ladder_evidence *e)
{
    struct ladder_answer a = {.rung = TG_C_none};
    (void)ladder_next(&fleet, table, e, 0, NONE, &a);
    return a.rung;
}

static void timestamp_names_the_owner(void **state)
{
    struct prng p;
    prng_seed(&p, 1);
    for (unsigned i = 0; i < 500; i++) {
        const struct test_node *n = &nodes[1 + prng_below(&p, 6)];
        struct ladder_evidence e = packet_of(&p, n->slot, n->site, true);
        char want[8];
        snprintf(want, sizeof want, "%u", n->slot);
        assert_string_equal(climb(&e, NONE), want); /* and nobody after it */
        assert_int_equal(first_rung(&e), TG_C_steer_by_timestamp);
        assert_string_equal(climb(&e, n->slot), "");
        e.has_sequence = false; /* a RST without ACK */
        assert_string_equal(climb(&e, NONE), want);
    }
    struct ladder_evidence gone = packet_of(&p, 10, 1, true); /* ours, and we have it not */
    test_fleet_buckets(table, 10, 11, 12, 13);
    assert_string_equal(climb(&gone, NONE), "");
    struct ladder_evidence dead = packet_of(&p, 999, 77, true);
    test_fleet_buckets(table, 10, NONE, NONE, NONE);
    assert_string_equal(climb(&dead, NONE), "");
}

static void newest_owner_goes_first(void **state)
{
    struct prng p;
    prng_seed(&p, 2);
    test_fleet_buckets(table, 12, 10, 11, NONE);
    struct ladder_evidence e = packet_of(&p, 30, 8, true);
    assert_string_equal(climb(&e, NONE), "12 30");
    assert_int_equal(first_rung(&e), TG_C_steer_by_bucket);
    e = packet_of(&p, 12, 1, true); /* two rungs, one node: asked once */
    assert_string_equal(climb(&e, NONE), "12");
    test_fleet_buckets(table, 999, 998, NONE, NONE); /* dead ones */
    assert_string_equal(climb(&e, NONE), "12");
    assert_int_equal(first_rung(&e), TG_C_steer_by_timestamp);
}

static void sequence_number_names_the_site(void **state)
{
    struct prng p;
    unsigned to20 = 0, to21 = 0;
    prng_seed(&p, 3);
    for (unsigned i = 0; i < 300; i++) {
        struct ladder_evidence e = packet_of(&p, 20, 4, false);
        const char *way = climb(&e, NONE);
        if (strcmp(way, "20") == 0)
            to20++;
        else if (strcmp(way, "21") == 0) /* the site's other node: it knows its buckets */
            to21++;
        assert_int_equal(first_rung(&e), TG_C_steer_by_sequence);
    }
    assert_true(to20 > 100 && to21 > 100 && to20 + to21 == 300);
    struct ladder_evidence e = packet_of(&p, 30, 8, false);
    assert_string_equal(climb(&e, NONE), "30");
    e.has_sequence = false;
    assert_string_equal(climb(&e, NONE), "");
}

static void former_owners_come_last_or_by_our_site(void **state)
{
    struct prng p;
    prng_seed(&p, 4);
    test_fleet_buckets(table, 10, 12, 11, 13);
    struct ladder_evidence e = packet_of(&p, 11, 1, false);
    assert_string_equal(climb(&e, NONE), "12 11 13"); /* newest of them first */
    assert_string_equal(climb(&e, 11), "12 13");
    assert_string_equal(climb(&e, 12), "11 13");
    e = packet_of(&p, 30, 8, false);
    assert_string_equal(climb(&e, NONE), "30 12 11 13");
    e.has_sequence = false;
    assert_string_equal(climb(&e, NONE), "12 11 13");
    e.has_timestamp = true; /* forged, or under a key that is gone */
    e.timestamp ^= 1;
    assert_string_equal(climb(&e, NONE), "12 11 13");
}

/* Refused by somebody on the way, asked no more; the rungs that were used up stay used up. */
static void tries_step_over_what_was_asked(void **state)
{
    struct prng p;
    struct ladder_answer a;
    prng_seed(&p, 5);
    test_fleet_buckets(table, 11, 12, 13, NONE);
    struct ladder_evidence e = packet_of(&p, 30, 8, false);
    assert_string_equal(climb(&e, NONE), "11 30 12 13");
    assert_true(ladder_next(&fleet, table, &e, 1, 11, &a)); /* 11 said no itself */
    assert_int_equal(a.slot, 30);
    assert_int_equal(a.tries, 2);
    assert_true(ladder_next(&fleet, table, &e, 1, 30, &a)); /* 11 had asked 30, which said no */
    assert_int_equal(a.slot, 12);
    assert_int_equal(a.tries, 3);
    assert_false(ladder_next(&fleet, table, &e, 4, NONE, &a));
    assert_false(ladder_next(&fleet, table, &e, 255, NONE, &a));
}

static void any_evidence_ends(void **state)
{
    struct prng p;
    prng_seed(&p, 6);
    for (unsigned i = 0; i < 20000; i++) {
        uint16_t slots[4];
        for (unsigned k = 0; k < 4; k++)
            slots[k] = prng_below(&p, 4) ? (uint16_t)(10 + prng_below(&p, 22)) : NONE;
        test_fleet_buckets(table, slots[0], slots[1], slots[2], slots[3]);
        struct ladder_evidence e = {test_owner_tuple(&p), prng_below(&p, 2), prng_below(&p, 2),
                                    (uint32_t)prng_next(&p), (uint32_t)prng_next(&p)};
        uint16_t ingress = prng_below(&p, 2) ? (uint16_t)(10 + prng_below(&p, 22)) : NONE;
        const char *way = climb(&e, ingress);
        char slot[8];
        snprintf(slot, sizeof slot, "%u", ingress);
        assert_null(strstr(way, slot));
    }
}

/* --- limits ---------------------------------------------------------------------------------- */

static unsigned take(struct steer_limits *l, const char *source, unsigned n, tg_ns now)
{
    struct ip_addr a = test_addr(source);
    unsigned taken = 0;
    for (unsigned i = 0; i < n; i++)
        taken += steer_limits_take(l, &a, now);
    return taken;
}

static void limits_refill_at_their_rate(void **state)
{
    static struct steer_limits l;
    const uint64_t key[2] = {1, 2};
    steer_limits_init(&l, 1000, 50, key);
    assert_int_equal(take(&l, "198.51.100.7", 80, TG_S), 50);
    assert_int_equal(take(&l, "198.51.100.99", 80, TG_S), 0); /* the same /24 */
    assert_int_equal(take(&l, "198.51.101.7", 80, TG_S), 50);
    assert_int_equal(take(&l, "2001:db8:9::7", 80, TG_S), 50);
    assert_int_equal(take(&l, "2001:db8:9:ff::7", 80, TG_S), 0); /* the same /56 */
    assert_int_equal(take(&l, "2001:db8:9:100::7", 80, TG_S), 50);
    assert_int_equal(take(&l, "198.51.100.7", 80, TG_S + 10 * TG_MS), 10);
    assert_int_equal(take(&l, "198.51.100.7", 80, TG_S + 10 * TG_MS + 999 * TG_US), 0);
    assert_int_equal(take(&l, "198.51.100.7", 80, 100 * TG_S), 50); /* never more than the burst */
    unsigned sum = 0;
    for (unsigned ms = 0; ms < 10000; ms++)
        sum += take(&l, "198.51.100.7", 3, 200 * TG_S + ms * TG_MS);
    assert_in_range(sum, 10000 + 48, 10000 + 50);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(timestamp_names_the_owner),
        TEST(newest_owner_goes_first),
        TEST(sequence_number_names_the_site),
        TEST(former_owners_come_last_or_by_our_site),
        TEST(tries_step_over_what_was_asked),
        TEST(any_evidence_ends),
        cmocka_unit_test(limits_refill_at_their_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
