/* SPDX-License-Identifier: BSD-3-Clause
 * Unit tests of contract/tables: every check of every kind, one wrong field at a time, and random
 * damage under the sanitizers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "contract/region_test_util.h"

/* The block is good; with one field wrong it is not; with the field put right it is good again. */
#define REFUSED(kind, field, wrong)                                                                \
    do {                                                                                           \
        __typeof__(field) good = (field);                                                          \
        assert_true(tables_valid(kind, t, len));                                                   \
        (field) = (__typeof__(field))(wrong);                                                      \
        assert_false(tables_valid(kind, t, len));                                                  \
        (field) = good;                                                                            \
        assert_true(tables_valid(kind, t, len));                                                   \
    } while (0)

static void rules(void **state)
{
    size_t len;
    struct tables_rules *t = test_rules(3, 1, &len);
    REFUSED(TABLES_RULES, t->header.kind, TABLES_ROUTES);
    REFUSED(TABLES_RULES, t->header.bytes, len - 1);
    REFUSED(TABLES_RULES, t->header.bytes, len + 1);
    REFUSED(TABLES_RULES, t->count, 4);
    REFUSED(TABLES_RULES, t->count, UINT32_MAX);
    REFUSED(TABLES_RULES, t->rules[2].slot, TABLES_RULES_MAX);
    REFUSED(TABLES_RULES, t->rules[2].source_bits, 129);
    REFUSED(TABLES_RULES, t->rules[0].destination_bits, 255);
    t->rules[1].source_port_low = t->rules[1].destination_port_low = 443;
    REFUSED(TABLES_RULES, t->rules[1].source_port_high, 442);
    REFUSED(TABLES_RULES, t->rules[1].destination_port_high, 442);
    t->count = 2; /* fewer than there is room for: legal */
    assert_true(tables_valid(TABLES_RULES, t, len));
    t->count = 0;
    assert_true(tables_valid(TABLES_RULES, t, len));
    free(t);
    t = test_rules(TABLES_RULES_MAX + 1, 1, &len);
    t->rules[TABLES_RULES_MAX].slot = 0;
    assert_false(tables_valid(TABLES_RULES, t, len));
    free(t);
}

struct routes_block {
    struct tables_routes routes;
    struct tables_site sites[3];
    struct tables_origin origins[2];
    char text[64];
};

static struct routes_block *routes_make(size_t *len)
{
    struct routes_block *b = calloc(1, sizeof *b);
    assert_non_null(b);
    const uint32_t text = offsetof(struct routes_block, text);
    *len = sizeof *b;
    b->routes = (struct tables_routes){
        .header = {TABLES_ROUTES, sizeof *b, 0},
        .site_count = 3,
        .site_offset = offsetof(struct routes_block, sites),
        .origin_count = 2,
        .origin_offset = offsetof(struct routes_block, origins),
        .default_site = 2,
    };
    memcpy(b->text, "a.exampleb.exampleorigin", 24);
    b->sites[0] = (struct tables_site){.id = 1, .host = {text, 9}, .origin = 0};
    b->sites[1] = (struct tables_site){.id = 2, .host = {text + 9, 7}, .origin = 1};
    b->sites[2] = (struct tables_site){.id = 3, .host = {text + 9, 9}, .origin = 1};
    b->origins[0].name = b->origins[1].name = (struct tables_string){text + 18, 6};
    return b;
}

static void routes(void **state)
{
    size_t len;
    struct routes_block *t = routes_make(&len);
    REFUSED(TABLES_ROUTES, t->routes.header.kind, TABLES_RULES);
    REFUSED(TABLES_ROUTES, t->routes.header.bytes, len - 4);
    REFUSED(TABLES_ROUTES, t->routes.site_count, TABLES_SITES_MAX + 1);
    REFUSED(TABLES_ROUTES, t->routes.site_count, 200);
    REFUSED(TABLES_ROUTES, t->routes.origin_count, 1); /* sites name origin 1 */
    REFUSED(TABLES_ROUTES, t->routes.origin_count, TABLES_ORIGINS_MAX + 1);
    REFUSED(TABLES_ROUTES, t->routes.origin_count, 100);
    REFUSED(TABLES_ROUTES, t->routes.site_offset, UINT32_MAX - 3);
    REFUSED(TABLES_ROUTES, t->routes.site_offset, t->routes.site_offset + 2); /* alignment */
    REFUSED(TABLES_ROUTES, t->routes.origin_offset, len - 4);
    REFUSED(TABLES_ROUTES, t->routes.origin_offset, len + 4);
    REFUSED(TABLES_ROUTES, t->routes.default_site, 3);
    REFUSED(TABLES_ROUTES, t->sites[0].origin, 2);
    REFUSED(TABLES_ROUTES, t->sites[1].host.offset, len - 6);
    REFUSED(TABLES_ROUTES, t->sites[1].host.len, UINT32_MAX);
    REFUSED(TABLES_ROUTES, t->sites[2].host.len, 1); /* "b" before "b.examp": order */
    REFUSED(TABLES_ROUTES, t->origins[1].name.offset, len + 1);
    REFUSED(TABLES_ROUTES, t->origins[0].name.len, len);
    t->routes.default_site = UINT32_MAX;
    assert_true(tables_valid(TABLES_ROUTES, t, len));
    free(t);
}

static void certificates(void **state)
{
    size_t len;
    struct tables_certificates *t = test_certificates('k', &len);
    struct tables_certificate *c = &t->certificates[0];
    REFUSED(TABLES_CERTIFICATES, t->header.kind, TABLES_WAF);
    REFUSED(TABLES_CERTIFICATES, t->header.bytes, 0);
    REFUSED(TABLES_CERTIFICATES, t->count, 4);
    REFUSED(TABLES_CERTIFICATES, t->count, TABLES_CERTIFICATES_MAX + 1);
    REFUSED(TABLES_CERTIFICATES, c->names.offset, len);
    REFUSED(TABLES_CERTIFICATES, c->names.len, 11); /* no NUL at the end */
    REFUSED(TABLES_CERTIFICATES, c->chain_pem.len, len);
    REFUSED(TABLES_CERTIFICATES, c->key_pem.offset, UINT32_MAX);
    REFUSED(TABLES_CERTIFICATES, c->key_pem.len, 65);
    c->names.len = c->key_pem.len = 0; /* keyless, only for the default */
    c->keyserver = UINT32_MAX;
    assert_true(tables_valid(TABLES_CERTIFICATES, t, len));
    REFUSED(TABLES_CERTIFICATES, c->keyserver, 0); /* there is none */
    free(t);
}

static void keyservers(void **state)
{
    size_t len;
    struct tables_certificates *t = test_keyless(&len);
    struct tables_keyserver *k = (struct tables_keyserver *)(uintptr_t)tables_keyservers(t);
    assert_true(tables_valid(TABLES_CERTIFICATES, t, len));
    REFUSED(TABLES_CERTIFICATES, t->certificates[0].keyserver, 1);
    REFUSED(TABLES_CERTIFICATES, t->keyserver_count, 0); /* the certificate names it */
    REFUSED(TABLES_CERTIFICATES, t->keyserver_count, TABLES_KEYSERVERS_MAX + 1);
    REFUSED(TABLES_CERTIFICATES, t->keyserver_count, 5);
    REFUSED(TABLES_CERTIFICATES, t->keyserver_offset, UINT32_MAX - 3);
    REFUSED(TABLES_CERTIFICATES, t->keyserver_offset, t->keyserver_offset + 2); /* alignment */
    REFUSED(TABLES_CERTIFICATES, k->server_name.offset, len);
    REFUSED(TABLES_CERTIFICATES, k->ca_pem.len, UINT32_MAX);
    REFUSED(TABLES_CERTIFICATES, k->chain_pem.offset, len + 4);
    REFUSED(TABLES_CERTIFICATES, k->key_pem.len, len);
    REFUSED(TABLES_CERTIFICATES, k->address_count, 0);
    REFUSED(TABLES_CERTIFICATES, k->address_count, TABLES_KEYSERVER_ADDRESSES + 1);
    t->certificates[0].keyserver = UINT32_MAX;
    assert_true(tables_valid(TABLES_CERTIFICATES, t, len));
    free(t);
}

static void waf(void **state)
{
    size_t len = 256;
    struct tables_waf *t = calloc(1, len);
    assert_non_null(t);
    t->header = (struct tables_header){TABLES_WAF, (uint32_t)len, 0};
    t->program_offset = 64;
    t->program_len = 192;
    REFUSED(TABLES_WAF, t->header.kind, TABLES_OWNERS);
    REFUSED(TABLES_WAF, t->header.bytes, 255);
    REFUSED(TABLES_WAF, t->program_offset, 32);
    REFUSED(TABLES_WAF, t->program_offset, 0);
    REFUSED(TABLES_WAF, t->program_offset, 320);
    REFUSED(TABLES_WAF, t->program_len, 193);
    REFUSED(TABLES_WAF, t->program_len, UINT32_MAX);
    t->program_len = 0;
    assert_true(tables_valid(TABLES_WAF, t, len));
    free(t);
}

static void owners(void **state)
{
    size_t len;
    struct tables_owners *t = test_owners(4, 1, &len);
    REFUSED(TABLES_OWNERS, t->header.kind, TABLES_WAF);
    REFUSED(TABLES_OWNERS, t->header.bytes, len - 1);
    REFUSED(TABLES_OWNERS, t->bucket_count, 0);
    REFUSED(TABLES_OWNERS, t->bucket_count, 15);
    REFUSED(TABLES_OWNERS, t->bucket_count, 32);
    REFUSED(TABLES_OWNERS, t->bucket_count, 1u << 31);
    free(t);
    t = test_owners(17, 1, &len);
    assert_false(tables_valid(TABLES_OWNERS, t, len)); /* over TABLES_OWNER_BUCKETS */
    free(t);
}

/* A fleet of three nodes with two keys of each use. */
struct fleet {
    struct tables_node *nodes;
    struct tables_key *keys;
};
static struct tables_owners *fleet_make(struct fleet *fleet, size_t *len)
{
    size_t nodes = sizeof(struct tables_owners) + 2 * sizeof(uint16_t[4]);
    size_t keys = nodes + 3 * sizeof(struct tables_node);
    *len = keys + 6 * sizeof(struct tables_key);
    struct tables_owners *t = calloc(1, *len);
    assert_non_null(t);
    *t = (struct tables_owners){.header = {TABLES_OWNERS, (uint32_t)*len, 0},
                                .bucket_count = 2,
                                .node_count = 3,
                                .node_offset = (uint32_t)nodes,
                                .key_count = 6,
                                .key_offset = (uint32_t)keys};
    fleet->nodes = (struct tables_node *)(void *)((uint8_t *)t + nodes);
    fleet->keys = (struct tables_key *)(void *)((uint8_t *)t + keys);
    for (unsigned i = 0; i < 3; i++) {
        fleet->nodes[i].slot = (uint16_t)(i * 2000);
        if (i != 1)
            memcpy(fleet->nodes[i].address4, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1", 16);
        if (i != 0)
            fleet->nodes[i].address6[0] = 0x20;
    }
    for (unsigned i = 0; i < 6; i++)
        fleet->keys[i].use = i / 2;
    return t;
}

static void fleet(void **state)
{
    size_t len;
    struct fleet f;
    struct tables_owners *t = fleet_make(&f, &len);
    REFUSED(TABLES_OWNERS, t->node_count, TABLES_NODES_MAX + 1);
    REFUSED(TABLES_OWNERS, t->node_count, 20);
    REFUSED(TABLES_OWNERS, t->node_offset, t->node_offset + 1);
    REFUSED(TABLES_OWNERS, t->node_offset, len);
    REFUSED(TABLES_OWNERS, t->node_offset, UINT32_MAX - 3);
    REFUSED(TABLES_OWNERS, t->key_count, 7);
    REFUSED(TABLES_OWNERS, t->key_count, 1); /* no key for the tunnel */
    REFUSED(TABLES_OWNERS, t->key_count, UINT32_MAX);
    REFUSED(TABLES_OWNERS, t->key_offset, len - 8);
    REFUSED(TABLES_OWNERS, t->key_offset, t->key_offset + 2);
    REFUSED(TABLES_OWNERS, f.nodes[2].slot, TABLES_NODE_SLOTS);
    REFUSED(TABLES_OWNERS, f.nodes[2].slot, 0xffff);
    REFUSED(TABLES_OWNERS, f.nodes[1].slot, 0); /* twice the same */
    REFUSED(TABLES_OWNERS, f.nodes[1].slot, 4001);
    REFUSED(TABLES_OWNERS, f.nodes[0].address4[11], 0xfe); /* no IPv4 address */
    REFUSED(TABLES_OWNERS, f.nodes[1].address6[0], 0);     /* no address at all */
    REFUSED(TABLES_OWNERS, f.keys[5].use, TABLES_KEY_USES);
    REFUSED(TABLES_OWNERS, f.keys[5].use, TABLES_KEY_SYN); /* a third of one use */
    memcpy(f.nodes[1].address6, f.nodes[0].address4, 16);  /* IPv4 in the wrong field */
    assert_false(tables_valid(TABLES_OWNERS, t, len));
    memset(f.nodes[1].address6, 1, 16);
    t->key_count = 5; /* one of a kind is enough */
    assert_true(tables_valid(TABLES_OWNERS, t, len));
    t->node_count = 0; /* no fleet needs no keys, but may have them */
    assert_true(tables_valid(TABLES_OWNERS, t, len));
    t->key_count = 0;
    assert_true(tables_valid(TABLES_OWNERS, t, len));
    t->node_count = 3;
    assert_false(tables_valid(TABLES_OWNERS, t, len));
    free(t);
}

static void no_kind_takes_a_short_or_missing_block(void **state)
{
    for (unsigned kind = 0; kind <= TABLES_KINDS; kind++) {
        assert_false(tables_valid((enum tables_kind)kind, NULL, 0));
        for (size_t len = 0; len < 24; len++) {
            uint8_t *block = calloc(1, len + 1); /* exact size: ASan sees a read behind it */
            assert_non_null(block);
            struct tables_header h = {kind, (uint32_t)len, 0};
            memcpy(block, &h, len < sizeof h ? len : sizeof h);
            if (len < 24 || kind == TABLES_KINDS)
                assert_false(tables_valid((enum tables_kind)kind, block, len));
            free(block);
        }
    }
}

/* Any bytes may be wrong: the check must answer, and what it accepts must be safe to walk (it walks). */
static void random_damage_does_no_harm(void **state)
{
    struct prng rng;
    prng_seed(&rng, 3);
    for (unsigned round = 0; round < 20000; round++) {
        size_t len;
        struct fleet f;
        void *t = NULL;
        enum tables_kind kind = (enum tables_kind)(round % TABLES_KINDS);
        switch (round % 5) {
        case 0:
            t = test_rules(3, 1, &len), kind = TABLES_RULES;
            break;
        case 1:
            t = routes_make(&len), kind = TABLES_ROUTES;
            break;
        case 2:
            t = round & 8 ? test_keyless(&len) : test_certificates('x', &len);
            kind = TABLES_CERTIFICATES;
            break;
        case 3:
            t = fleet_make(&f, &len), kind = TABLES_OWNERS;
            break;
        default:
            t = test_owners(3, 1, &len), kind = TABLES_OWNERS;
            break;
        }
        for (unsigned n = 1 + (unsigned)prng_below(&rng, 4); n > 0; n--) {
            uint32_t word = prng_below(&rng, 2) ? (uint32_t)prng_next(&rng)
                                                : (uint32_t)prng_below(&rng, len * 2);
            memcpy((uint8_t *)t + prng_below(&rng, len / 4) * 4, &word, 4);
        }
        if (tables_valid(kind, t, len) && kind == TABLES_CERTIFICATES) {
            const struct tables_certificates *c = t;
            for (uint32_t i = 0; i < c->count; i++) {
                struct span names = tables_string_span(t, c->certificates[i].names);
                for (size_t at = 0; at < names.len;) /* as a worker walks them */
                    at += strlen((const char *)names.data + at) + 1;
                assert_true(c->certificates[i].key_pem.len > 0 ||
                            c->certificates[i].keyserver == UINT32_MAX ||
                            c->certificates[i].keyserver < c->keyserver_count);
            }
        }
        free(t);
    }
}

static void kinds_have_names(void **state)
{
    assert_string_equal(tables_kind_name(TABLES_RULES), "rules");
    assert_string_equal(tables_kind_name(TABLES_OWNERS), "owners");
    assert_string_equal(tables_kind_name(TABLES_KINDS), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules),
        cmocka_unit_test(routes),
        cmocka_unit_test(certificates),
        cmocka_unit_test(keyservers),
        cmocka_unit_test(waf),
        cmocka_unit_test(owners),
        cmocka_unit_test(fleet),
        cmocka_unit_test(no_kind_takes_a_short_or_missing_block),
        cmocka_unit_test(random_damage_does_no_harm),
        cmocka_unit_test(kinds_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
