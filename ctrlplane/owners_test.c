/* SPDX-License-Identifier: BSD-3-Clause
 * The owners table compiled from nodes: who owns which bucket, what moves when a node comes or goes, the former owners,
 * keys; and when a node is alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctrlplane/compile.h"
#include "ctrlplane/model.h"
#include "ctrlplane/resource.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct secrets secrets;
static struct config config;
static struct compile_node self;

static int setup(void **state)
{
    memset(&secrets, 0, sizeof secrets);
    memset(&config, 0, sizeof config);
    for (unsigned use = 0; use < SECRETS_USES; use++) {
        secrets.counts[use] = 1;
        secrets.keys[use][0] = (struct secrets_key){use + 10, {(uint8_t)(use + 1), 7}};
    }
    memcpy(secrets.bucket, "sixteen bytes ..", 16);
    config.node_slot = 1;
    config.node_site = 3;
    config.port_count = 1;
    struct config_port *port = &config.ports[0];
    static const char *const addresses[] = {"10.0.0.1/24", "2001:db8::1/64", "203.0.113.80/32",
                                            "2001:db8:5::80/128"};
    for (unsigned i = 0; i < TG_ARRAY_LEN(addresses); i++)
        assert_int_equal(config_parse_prefix(addresses[i], &port->addresses[i]), TG_OK);
    port->address_count = TG_ARRAY_LEN(addresses);
    self = (struct compile_node){.config = &config, .secrets = &secrets};
    return 0;
}

static void we_are(unsigned slot)
{
    config.node_slot = slot;
    config.ports[0].addresses[0].address[15] = (uint8_t)slot;
}

static json_t *with_node(json_t *model, unsigned slot, unsigned site)
{
    char name[16];
    struct problem problem = {0};
    snprintf(name, sizeof name, "n%u", slot);
    json_t *in = json_pack("{s:i, s:i, s:o}", "slot", (int)slot, "site", (int)site, "address4",
                           json_sprintf("10.0.%u.%u", slot / 200, slot % 200));
    json_t *node = node_read(in, "", &problem);
    assert_non_null(node);
    json_t *more = model_with(model, "nodes", name, node);
    json_decref(in);
    json_decref(model);
    return more;
}

static json_t *without_node(json_t *model, unsigned slot)
{
    char name[16];
    snprintf(name, sizeof name, "n%u", slot);
    json_t *less = model_with(model, "nodes", name, NULL);
    json_decref(model);
    return less;
}

/* Slots first .. last, all in our site. */
static json_t *site_of(unsigned first, unsigned last)
{
    json_t *model = model_new();
    for (unsigned slot = first; slot <= last; slot++)
        model = with_node(model, slot, 3);
    return model;
}

static struct block compiled(const json_t *model, const struct tables_owners *before)
{
    struct block block;
    struct problem problem = {0};
    self.before = before;
    assert_true(compile_tables(TABLES_OWNERS, model, &self, &block, &problem));
    assert_true(tables_valid(TABLES_OWNERS, block.bytes, block.len));
    return block;
}

static const struct tables_owners *owners_of(struct block block)
{
    return block.bytes;
}

static void alone_expect(struct block block)
{
    const struct tables_owners *t = block.bytes;
    assert_int_equal(t->node_count + t->key_count, 0);
    for (unsigned i = 0; i < t->bucket_count; i++) {
        assert_int_equal(t->owners[i][0], config.node_slot);
        assert_int_equal(t->owners[i][1], 0xffff);
    }
    block_free(&block);
}

/* --- one of the fleet, or alone ------------------------------------------------------------------------------ */

static void alone_why(const json_t *model, const char *words)
{
    char why[640];
    assert_false(compile_member(model, &self, why));
    if (!strstr(why, words) || (why[0] && !words[0]))
        fail_msg("\"%s\" does not say \"%s\"", why, words);
    alone_expect(compiled(model, NULL));
}

static void alone_until_it_is_among_them(void **state)
{
    char why[640];
    json_t *model = model_new();
    alone_why(model, "");
    model = with_node(with_node(model, 2, 3), 7, 4);
    alone_why(model, "none of the nodes has our slot 1");
    model = with_node(model, 1, 3);
    assert_true(compile_member(model, &self, why));
    assert_string_equal(why, "");
    model = without_node(model, 1);
    alone_why(model, "none of the nodes has our slot 1");
    json_decref(model);
}

static void alone_when_the_configuration_differs(void **state)
{
    json_t *model = with_node(site_of(1, 3), 9, 4);
    self.secrets = NULL;
    alone_why(model, "node.secrets of this node's configuration names no file");
    self.secrets = &secrets;
    config.node_site = 4;
    alone_why(model, "node \"n1\" has our slot, but node.site of this node's configuration is 4");
    config.node_site = 3;
    config.ports[0].addresses[0].address[15] = 9;
    alone_why(model, "10.0.0.1 is not the first address of its family");
    json_decref(model);
}

static void a_service_address_is_no_tunnels_end(void **state)
{
    struct problem problem = {0};
    json_t *nodes = json_pack("{s:{s:i, s:i, s:s}, s:{s:i, s:i, s:s, s:s}}", "four", "slot", 1,
                              "site", 3, "address4", "203.0.113.80", "six", "slot", 1, "site", 3,
                              "address4", "10.0.0.1", "address6", "2001:db8:5::80");
    json_t *model = json_pack("{s:o}", "nodes", nodes);
    assert_false(compile_node_check(model, "four", &self, &problem));
    assert_string_equal(problem.pointer, "/address4");
    assert_int_equal(problem.status, 422);
    problem_clear(&problem);
    problem = (struct problem){0};
    assert_false(compile_node_check(model, "six", &self, &problem));
    assert_string_equal(problem.pointer, "/address6");
    problem_clear(&problem);
    json_decref(model);
}

/* --- contents ---------------------------------------------------------------------------------------------------- */

static void nodes_and_keys_are_there(void **state)
{
    json_t *model = with_node(with_node(with_node(model_new(), 300, 9), 1, 3), 20, 3);
    secrets.counts[TABLES_KEY_OWNER] = 2;
    secrets.keys[TABLES_KEY_OWNER][1] = (struct secrets_key){99, {99}};
    struct block block = compiled(model, NULL);
    const struct tables_owners *t = owners_of(block);
    const struct tables_node *n = tables_nodes(t);
    const struct tables_key *k = tables_keys(t);
    assert_true(block.secret);
    assert_int_equal(t->node_count, 3);
    assert_int_equal(n[0].slot, 1);
    assert_int_equal(n[1].slot, 20);
    assert_int_equal(n[2].slot, 300);
    assert_int_equal(n[2].site, 9);
    assert_int_equal(n[0].address4[12], 10);
    assert_int_equal(n[2].address4[15], 100);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(n[0].address6[i], 0);
    assert_int_equal(t->key_count, 4); /* two for owners, no ticket key */
    assert_int_equal(k[0].id, 10);
    assert_int_equal(k[1].id, 99);
    assert_int_equal(k[2].use, TABLES_KEY_SYN);
    assert_int_equal(k[3].use, TABLES_KEY_TUNNEL);
    assert_memory_equal(k[3].secret, secrets.keys[TABLES_KEY_TUNNEL][0].secret, 16);
    assert_memory_equal(t->bucket_secret, secrets.bucket, 16);
    assert_int_equal(t->flags, 0);
    block_free(&block);
    json_t *off = model_with_fleet(model, json_pack("{s:b}", "forward", false));
    block = compiled(off, NULL);
    assert_int_equal(owners_of(block)->flags, TABLES_OWNERS_KEEP);
    block_free(&block);
    json_decref(off);
    json_decref(model);
}

static void other_sites_own_no_bucket_here(void **state)
{
    json_t *model = with_node(with_node(with_node(model_new(), 1, 3), 2, 4), 3, 5);
    struct block block = compiled(model, NULL);
    for (unsigned i = 0; i < owners_of(block)->bucket_count; i++)
        assert_int_equal(owners_of(block)->owners[i][0], 1);
    block_free(&block);
    json_decref(model);
}

static void shares_are_even_and_all_nodes_agree(void **state)
{
    json_t *model = site_of(1, 8);
    struct block ours = compiled(model, NULL);
    unsigned share[9] = {0}, n = owners_of(ours)->bucket_count;
    for (unsigned i = 0; i < n; i++) {
        assert_in_range(owners_of(ours)->owners[i][0], 1, 8);
        share[owners_of(ours)->owners[i][0]]++;
    }
    for (unsigned slot = 1; slot <= 8; slot++)
        assert_in_range(share[slot], n / 8 * 8 / 10, n / 8 * 12 / 10);
    we_are(6); /* the same at another node of the site */
    struct block theirs = compiled(model, NULL);
    assert_int_equal(ours.len, theirs.len);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(owners_of(ours)->owners[i][0], owners_of(theirs)->owners[i][0]);
    block_free(&ours);
    block_free(&theirs);
    json_decref(model);
}

/* --- what moves -------------------------------------------------------------------------------------------------- */

static void a_node_that_comes_takes_its_share_only(void **state)
{
    json_t *model = site_of(1, 4);
    struct block old = compiled(model, NULL);
    model = with_node(model, 5, 3);
    struct block new = compiled(model, owners_of(old));
    unsigned moved = 0, n = owners_of(old)->bucket_count;
    for (unsigned i = 0; i < n; i++) {
        const uint16_t *before = owners_of(old)->owners[i], *after = owners_of(new)->owners[i];
        if (after[0] == before[0]) {
            assert_memory_equal(after, before, sizeof owners_of(old)->owners[0]);
            continue;
        }
        assert_int_equal(after[0], 5);
        assert_memory_equal(&after[1], before, 3 * sizeof before[0]);
        moved++;
    }
    assert_in_range(moved, n / 5 * 8 / 10, n / 5 * 12 / 10);
    /* and again, from what is in force now: nothing moves, not a byte differs */
    struct block again = compiled(model, owners_of(new));
    assert_int_equal(again.len, new.len);
    assert_memory_equal(again.bytes, new.bytes, new.len);
    block_free(&old);
    block_free(&new);
    block_free(&again);
    json_decref(model);
}

static void a_node_that_goes_is_forgotten(void **state)
{
    json_t *model = site_of(1, 3);
    struct block old = compiled(model, NULL);
    model = with_node(model, 4, 3);
    struct block with = compiled(model, owners_of(old));
    model = without_node(model, 4);
    struct block gone = compiled(model, owners_of(with));
    /* its buckets are their former owners' again, and nobody asks a node that is not there */
    assert_int_equal(gone.len, old.len);
    assert_memory_equal(gone.bytes, old.bytes, old.len);
    block_free(&old);
    block_free(&with);
    block_free(&gone);
    json_decref(model);
}

static void four_owners_are_kept_newest_first(void **state)
{
    json_t *model = site_of(1, 1);
    struct block now = compiled(model, NULL);
    for (unsigned slot = 2; slot <= 40; slot++) {
        model = with_node(model, slot, 3);
        struct block next = compiled(model, owners_of(now));
        for (unsigned i = 0; i < owners_of(now)->bucket_count; i++) {
            const uint16_t *before = owners_of(now)->owners[i], *after = owners_of(next)->owners[i];
            if (after[0] == slot)
                assert_memory_equal(&after[1], before, 3 * sizeof before[0]);
            else
                assert_memory_equal(after, before, 4 * sizeof before[0]);
        }
        block_free(&now);
        now = next;
    }
    unsigned full = 0;
    for (unsigned i = 0; i < owners_of(now)->bucket_count; i++)
        full += owners_of(now)->owners[i][3] != 0xffff;
    assert_true(full > owners_of(now)->bucket_count / 4);
    block_free(&now);
    json_decref(model);
}

/* What the others of its site know from their history, a node that joins them knows from the hash. */
static void a_node_that_joins_knows_whose_its_buckets_were(void **state)
{
    json_t *model = site_of(1, 5);
    struct block before = compiled(model, NULL);
    model = with_node(model, 6, 3);
    struct block theirs = compiled(model, owners_of(before));
    we_are(6);
    struct block ours = compiled(model, NULL);
    unsigned taken = 0, n = owners_of(ours)->bucket_count;
    for (unsigned i = 0; i < n; i++) {
        const uint16_t *row = owners_of(ours)->owners[i];
        assert_int_equal(row[0], owners_of(theirs)->owners[i][0]);
        if (row[0] != 6) { /* whoever has it knows its past */
            assert_int_equal(row[1], 0xffff);
            continue;
        }
        taken++;
        assert_int_equal(row[1], owners_of(theirs)->owners[i][1]);
        assert_int_equal(row[1], owners_of(before)->owners[i][0]);
        for (unsigned j = 2; j < 4; j++) {
            assert_in_range(row[j], 1, 5);
            assert_int_not_equal(row[j], row[j - 1]);
        }
        assert_int_not_equal(row[3], row[1]);
    }
    assert_in_range(taken, n / 6 * 8 / 10, n / 6 * 12 / 10);
    block_free(&before);
    block_free(&theirs);
    block_free(&ours);
    json_decref(model);
}

/* Of two nodes, either one's buckets were the other's; a site of one has no past. */
static void a_small_site_has_short_rows(void **state)
{
    json_t *model = with_node(with_node(model_new(), 1, 3), 2, 4);
    struct block one = compiled(model, NULL);
    model = with_node(model, 3, 3);
    struct block two = compiled(model, NULL);
    for (unsigned i = 0; i < owners_of(one)->bucket_count; i++) {
        const uint16_t *row = owners_of(two)->owners[i];
        assert_int_equal(owners_of(one)->owners[i][1], 0xffff);
        assert_int_equal(row[1], row[0] == 1 ? 3 : 0xffff);
        assert_int_equal(row[2], 0xffff);
    }
    block_free(&one);
    block_free(&two);
    json_decref(model);
}

/* A node that was alone had other buckets; another bucket secret makes others, too. */
static void other_buckets_have_no_history(void **state)
{
    json_t *none = model_new(), *model = site_of(1, 4);
    struct block alone = compiled(none, NULL), fresh = compiled(model, NULL);
    struct block joined = compiled(model, owners_of(alone));
    assert_memory_equal(joined.bytes, fresh.bytes, fresh.len);
    block_free(&joined);
    secrets.bucket[0]++;
    joined = compiled(model, owners_of(fresh));
    block_free(&fresh);
    fresh = compiled(model, NULL);
    assert_memory_equal(joined.bytes, fresh.bytes, fresh.len);
    block_free(&joined);
    block_free(&alone);
    block_free(&fresh);
    json_decref(none);
    json_decref(model);
}

static void the_largest_fleet_fits(void **state)
{
    json_t *model = site_of(1, TABLES_NODES_MAX);
    struct block block = compiled(model, NULL);
    assert_int_equal(owners_of(block)->node_count, TABLES_NODES_MAX);
    block_free(&block);
    json_decref(model);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
    const struct CMUnitTest tests[] = {
        TEST(alone_until_it_is_among_them),
        TEST(alone_when_the_configuration_differs),
        TEST(a_service_address_is_no_tunnels_end),
        TEST(nodes_and_keys_are_there),
        TEST(other_sites_own_no_bucket_here),
        TEST(shares_are_even_and_all_nodes_agree),
        TEST(a_node_that_comes_takes_its_share_only),
        TEST(a_node_that_goes_is_forgotten),
        TEST(four_owners_are_kept_newest_first),
        TEST(a_node_that_joins_knows_whose_its_buckets_were),
        TEST(a_small_site_has_short_rows),
        TEST(other_buckets_have_no_history),
        TEST(the_largest_fleet_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
