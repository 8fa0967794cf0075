/* SPDX-License-Identifier: BSD-3-Clause
 * The laid-out fleet: nodes by slot and by site, keys, ends of tunnels.
 */
#include "steer/fleet_test_support.h"
#include "steer/tunnel.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct fleet fleet;

static const struct test_node nodes[] = {
    {0, 4, "192.0.2.10", "2001:db8::10"},
    {7, 2, "192.0.2.17", NULL},
    {9, 4, NULL, "2001:db8::19"},
    {4094, 255, "192.0.2.94", "2001:db8::94"},
};

static void build(uint16_t slot, unsigned keys)
{
    struct tables_owners *t = test_fleet_table(nodes, 4, keys, 1);
    assert_int_equal(fleet_build(&fleet, t, slot), TG_OK);
    free(t);
}

static void nodes_are_found_by_slot(void **state)
{
    build(9, 1);
    assert_int_equal(fleet.me.slot, 9);
    assert_int_equal(fleet.me.site, 4);
    assert_int_equal(fleet.nodes[fleet.self].slot, 9);
    for (unsigned slot = 0; slot < 70000; slot++) {
        const struct fleet_node *n = fleet_find(&fleet, slot);
        bool lives = slot == 0 || slot == 7 || slot == 9 || slot == 4094;
        assert_int_equal(n != NULL, lives);
        assert_true(!n || n->slot == slot);
        if (slot < OWNER_SLOTS)
            assert_int_equal(owner_set_has(fleet.live.bits, slot), lives);
    }
}

static void nodes_are_found_by_site(void **state)
{
    unsigned seen[2] = {0};
    build(0, 1);
    for (unsigned site = 0; site < OWNER_SITES; site++) {
        const struct fleet_node *n = fleet_of_site(&fleet, (uint8_t)site, 12345);
        bool lives = site == 2 || site == 4 || site == 255;
        assert_int_equal(n != NULL, lives);
        assert_true(!n || n->site == site);
        assert_int_equal(owner_set_has(fleet.sites.bits, site), lives);
    }
    for (uint32_t hash = 0; hash < 100; hash++) {
        const struct fleet_node *n = fleet_of_site(&fleet, 4, hash);
        assert_true(n->slot == 0 || n->slot == 9);
        seen[n->slot == 9]++;
    }
    assert_true(seen[0] > 20 && seen[1] > 20);
}

static void keys_come_in_order(void **state)
{
    build(0, 2);
    assert_int_equal(fleet.me.owner.count, 2);
    assert_int_equal(fleet.me.syn.count, 2);
    assert_int_equal(fleet.tunnel.count, 2);
    assert_int_equal(fleet.tunnel.key[0].id, 2);
    assert_int_equal(fleet.tunnel.key[1].id, 1);
    struct owner_keys two = fleet.tunnel, owner = fleet.me.owner;
    assert_memory_not_equal(&two.key[0].secret, &owner.key[0].secret, 16);
    build(0, 1); /* the older of the two */
    assert_int_equal(fleet.tunnel.count, 1);
    assert_memory_equal(&fleet.tunnel.key[0], &two.key[1], sizeof two.key[1]);
    struct tables_owners *t = test_fleet_table(nodes, 4, 1, 1);
    struct tables_key *k = (struct tables_key *)(void *)((uint8_t *)t + t->key_offset);
    memcpy(k[0].secret, "\0\1\2\3\4\5\6\7\x8\x9\xa\xb\xc\xd\xe\xf", 16);
    assert_int_equal(fleet_build(&fleet, t, 0), TG_OK);
    assert_int_equal(fleet.me.owner.key[0].secret[0], 0x0706050403020100);
    assert_int_equal(fleet.me.owner.key[0].secret[1], 0x0f0e0d0c0b0a0908);
    free(t);
}

static void a_stranger_cannot_build(void **state)
{
    struct tables_owners *t = test_fleet_table(nodes, 4, 1, 1);
    assert_int_equal(fleet_build(&fleet, t, 8), TG_BAD_CONFIG);
    assert_int_equal(fleet_build(&fleet, t, 0xffff), TG_BAD_CONFIG);
    assert_int_equal(fleet_build(&fleet, t, 7), TG_OK);
    free(t);
}

static void expect_path(unsigned to, enum fleet_family wanted, const char *from_text,
                        const char *to_text)
{
    struct ip_addr source, destination;
    bool found = fleet_path(&fleet, fleet_find(&fleet, to), wanted, &source, &destination);
    assert_int_equal(found, from_text != NULL);
    if (!found)
        return;
    struct ip_addr s = test_addr(from_text), d = test_addr(to_text);
    assert_true(ip_addr_equal(&s, &source) && ip_addr_equal(&d, &destination));
}

static void paths_have_a_family_of_both(void **state)
{
    build(0, 1);
    expect_path(4094, FLEET_IP4, "192.0.2.10", "192.0.2.94");
    expect_path(4094, FLEET_IP6, "2001:db8::10", "2001:db8::94");
    expect_path(7, FLEET_IP6, "192.0.2.10", "192.0.2.17");
    expect_path(9, FLEET_IP4, "2001:db8::10", "2001:db8::19");
    /* Room for the larger header as soon as one node needs it. */
    assert_int_equal(tunnel_reserve(&fleet, FLEET_IP4), TUNNEL_OVERHEAD6);
    assert_int_equal(tunnel_reserve(&fleet, FLEET_IP6), TUNNEL_OVERHEAD6);
    build(7, 1);
    expect_path(9, FLEET_IP4, NULL, NULL);
    expect_path(9, FLEET_IP6, NULL, NULL);
    assert_int_equal(tunnel_reserve(&fleet, FLEET_IP6), TUNNEL_OVERHEAD4);
    struct tables_owners *t = test_fleet_table(nodes, 2, 1, 1); /* 0 has both, 7 IPv4 only */
    assert_int_equal(fleet_build(&fleet, t, 0), TG_OK);
    assert_int_equal(tunnel_reserve(&fleet, FLEET_IP4), TUNNEL_OVERHEAD4);
    free(t);
}

/* As many nodes as a table may have, spread over all sites. */
static void the_largest_fleet_fits(void **state)
{
    static struct test_node many[TABLES_NODES_MAX];
    for (unsigned i = 0; i < TABLES_NODES_MAX; i++)
        many[i] = (struct test_node){(uint16_t)(i * 4 + 2), (uint8_t)(i * 7), "192.0.2.1", NULL};
    struct tables_owners *t = test_fleet_table(many, TABLES_NODES_MAX, 2, 1);
    assert_int_equal(fleet_build(&fleet, t, 4 * 1023 + 2), TG_OK);
    for (unsigned i = 0; i < TABLES_NODES_MAX; i++)
        assert_int_equal(fleet_find(&fleet, i * 4 + 2)->site, (uint8_t)(i * 7));
    for (unsigned i = 0; i < 1024; i++)
        assert_int_equal(fleet_of_site(&fleet, (uint8_t)i, i * 77)->site, (uint8_t)i);
    free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_are_found_by_slot),     cmocka_unit_test(nodes_are_found_by_site),
        cmocka_unit_test(keys_come_in_order),          cmocka_unit_test(a_stranger_cannot_build),
        cmocka_unit_test(paths_have_a_family_of_both), cmocka_unit_test(the_largest_fleet_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
