/* SPDX-License-Identifier: BSD-3-Clause
 * The SYN cache as a table: it finds what was put in and nothing else, one full bucket is no other's affair, and
 * the clock of an entry keeps its course through the wrap.
 */
#include "net/net_test_support.h"
#include "tcp/tcp_syncache.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const uint64_t secret[2] = {0x9e3779b97f4a7c15u, 0x0123456789abcdefu};

struct table {
    struct tcp_syncache cache;
    struct toeplitz toeplitz;
};

static struct table *table_new(uint32_t most)
{
    struct table *t = calloc(1, sizeof *t);
    assert_non_null(t);
    test_toeplitz_init(&t->toeplitz, 3);
    assert_int_equal(tcp_syncache_init(&t->cache, most, secret), TG_OK);
    return t;
}

static void table_end(struct table *t)
{
    assert_null(tcp_syncache_check(&t->cache, &t->toeplitz, NULL, NULL));
    tcp_syncache_free(&t->cache);
    free(t);
}

/* Tuples of both families in turn. */
static struct ip_tuple tuple_of(uint32_t n)
{
    struct ip_tuple tuple = {.local_port = 443, .remote_port = (uint16_t)(n >> 1 | 1)};
    tuple.local = test_addr(n & 1 ? "2001:db8:1::1" : "192.0.2.1");
    tuple.remote = test_addr(n & 1 ? "2001:db8:2::1" : "198.51.100.1");
    tuple.remote.bytes[13] = (uint8_t)(n >> 16);
    tuple.remote.bytes[14] = (uint8_t)(n >> 8);
    tuple.remote.bytes[15] = (uint8_t)n;
    return tuple;
}

/* NULL: there is no place. */
static struct tcp_syn_entry *put(struct table *t, uint32_t n)
{
    struct ip_tuple tuple = tuple_of(n);
    uint32_t number = tcp_syncache_insert(&t->cache, &tuple, wire_tuple_hash(&t->toeplitz, &tuple));
    return number == TCP_SYN_NONE ? NULL : tcp_syncache_at(&t->cache, number).entry;
}

static uint32_t find(const struct table *t, uint32_t n)
{
    struct ip_tuple tuple = tuple_of(n);
    return tcp_syncache_find(&t->cache, &tuple, wire_tuple_hash(&t->toeplitz, &tuple));
}

static void what_is_in_is_found(void **state)
{
    (void)state;
    enum { MANY = 4096 };
    struct table *t = table_new(MANY);
    bool in[MANY];
    unsigned live = 0;
    for (uint32_t n = 0; n < MANY; n++) {
        struct tcp_syn_entry *entry = put(t, n);
        in[n] = entry != NULL;
        if (!entry)
            continue;
        entry->iss = n;
        live++;
    }
    assert_int_equal(t->cache.live, live);
    assert_null(tcp_syncache_check(&t->cache, &t->toeplitz, NULL, NULL));
    /* As many tuples as places: with one bucket each a fifth would find it full. */
    assert_in_range(live, MANY * 90 / 100, MANY * 96 / 100);
    for (uint32_t n = 0; n < MANY; n++) {
        uint32_t at = find(t, n);
        assert_int_equal(at != TCP_SYN_NONE, in[n]);
        if (in[n])
            assert_int_equal(t->cache.entries[at].iss, n);
        assert_int_equal(find(t, n + MANY), TCP_SYN_NONE);
    }
    for (uint32_t n = 0; n < MANY; n += 2)
        if (in[n])
            tcp_syncache_remove(&t->cache, tcp_syncache_at(&t->cache, find(t, n)));
    for (uint32_t n = 0; n < MANY; n++)
        assert_int_equal(find(t, n) != TCP_SYN_NONE, in[n] && n % 2);
    table_end(t);
}

static void full_buckets_refuse_alone(void **state)
{
    (void)state;
    struct table *t = table_new(64);
    uint32_t n = 0;
    while (put(t, n))
        n++;
    assert_in_range(n, 32, 63); /* both buckets are full, others are not */
    assert_int_equal(find(t, n), TCP_SYN_NONE);
    unsigned more = 0;
    for (uint32_t i = 1; i <= 50; i++)
        more += put(t, n + i) != NULL;
    assert_true(more > 0);
    table_end(t);
}

static void a_place_that_is_free_again_is_used(void **state)
{
    (void)state;
    struct table *t = table_new(4); /* one bucket */
    for (uint32_t n = 0; n < 4; n++)
        assert_non_null(put(t, n));
    assert_null(put(t, 4));
    t->cache.entries[find(t, 2)].iss = 77;
    tcp_syncache_remove(&t->cache, tcp_syncache_at(&t->cache, find(t, 2)));
    struct tcp_syn_entry *entry = put(t, 4);
    assert_non_null(entry);
    assert_int_equal(entry->iss, 0); /* nothing of the former one */
    assert_int_equal(find(t, 2), TCP_SYN_NONE);
    table_end(t);
}

static void half_open_0_and_odd_sizes_are_sizes(void **state)
{
    (void)state;
    for (uint32_t most = 0; most < 11; most++) {
        struct table *t = table_new(most);
        assert_true(tcp_syncache_size(&t->cache) >= most);
        assert_true(tcp_syncache_size(&t->cache) < most + 2 * TCP_SYN_WAYS);
        assert_non_null(put(t, 1));
        table_end(t);
    }
}

/* Two secrets put the same tuples into different company. */
static void buckets_are_secret(void **state)
{
    (void)state;
    struct table *a = table_new(1024), *b = table_new(1024);
    tcp_syncache_free(&b->cache);
    const uint64_t other[2] = {0xc2b2ae3d27d4eb4fu, 9};
    assert_int_equal(tcp_syncache_init(&b->cache, 1024, other), TG_OK);
    unsigned same = 0, together_a = 0, together_b = 0;
    for (uint32_t n = 0; n < 200; n++) {
        put(a, n);
        put(b, n);
        uint32_t in_a = find(a, n) / TCP_SYN_WAYS, in_b = find(b, n) / TCP_SYN_WAYS;
        same += in_a == in_b;
        together_a += in_a == find(a, 0) / TCP_SYN_WAYS;
        together_b += in_b == find(b, 0) / TCP_SYN_WAYS;
    }
    assert_true(same < 12); /* of 200, in 256 buckets: about one */
    assert_true(together_a < 6 && together_b < 6);
    table_end(a);
    table_end(b);
}

static void the_clock_doubles_and_wraps(void **state)
{
    (void)state;
    struct tcp_syn_entry e = {0};
    static const tg_ns ages[] = {1, 3, 7, 15, 25, 35}; /* s, with rto 1 s and at most 10 s */
    for (unsigned i = 0; i < TG_ARRAY_LEN(ages); i++)
        assert_int_equal(tcp_syn_due(i, TG_S, 10 * TG_S), ages[i] * TG_S);
    tg_ns wrap = ((tg_ns)1 << 32) * TG_US;
    for (tg_ns start = wrap - 2 * TG_S; start < wrap + 2 * TG_S; start += 999 * TG_MS) {
        e.start_us = (uint32_t)(start / TG_US);
        assert_int_equal(tcp_syn_age(&e, start), 0);
        assert_int_equal(tcp_syn_age(&e, start + 20 * 60 * TG_S), 20 * 60 * TG_S);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_in_is_found),
        cmocka_unit_test(full_buckets_refuse_alone),
        cmocka_unit_test(a_place_that_is_free_again_is_used),
        cmocka_unit_test(half_open_0_and_odd_sizes_are_sizes),
        cmocka_unit_test(buckets_are_secret),
        cmocka_unit_test(the_clock_doubles_and_wraps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
