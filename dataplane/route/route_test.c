/* SPDX-License-Identifier: BSD-3-Clause
 * Tests of the host look-up: exact, wildcard, default, case, odd names, tables of every size, and
 * tables that another process has damaged.
 */
#include "route/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct table {
    struct tables_routes *routes;
    size_t len;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A table of sites (sorted here), each with origin = its index; `fallback` is the default's
 * name. */
static struct table table_make(const char *names[], unsigned count, const char *fallback)
{
    size_t len = sizeof(struct tables_routes) + count * sizeof(struct tables_site) +
                 (count + 1) * sizeof(struct tables_origin);
    for (unsigned i = 0; i < count; i++)
        len += strlen(names[i]);
    struct tables_routes *t = calloc(1, len);
    if (count)
        qsort(names, count, sizeof *names, by_name);
    t->header = (struct tables_header){TABLES_ROUTES, (uint32_t)len, 1};
    t->site_count = count;
    t->site_offset = sizeof *t;
    t->origin_count = count + 1;
    t->origin_offset = t->site_offset + count * (uint32_t)sizeof(struct tables_site);
    t->default_site = UINT32_MAX;
    struct tables_site *sites = (void *)((uint8_t *)t + t->site_offset);
    struct tables_origin *origins = (void *)((uint8_t *)t + t->origin_offset);
    uint32_t at = t->origin_offset + (count + 1) * (uint32_t)sizeof *origins;
    for (unsigned i = 0; i < count; i++) {
        uint32_t n = (uint32_t)strlen(names[i]);
        sites[i] = (struct tables_site){.id = i, .host = {at, n}, .origin = i};
        memcpy((uint8_t *)t + at, names[i], n);
        at += n;
        origins[i].id = i;
        if (fallback && strcmp(names[i], fallback) == 0) {
            sites[i].flags = TABLES_SITE_DEFAULT;
            t->default_site = i;
        }
    }
    assert_int_equal(at, len);
    assert_true(tables_routes_valid(t, len));
    return (struct table){t, len};
}

static void expect(const struct table *t, const char *host, const char *name)
{
    const struct tables_site *site = route_site(t->routes, span_from_string(host));
    if (!site != !name)
        fail_msg("%s: %s", host, site ? "found" : "not found");
    if (!site)
        return;
    struct span got = tables_string_span(t->routes, site->host);
    if (!span_equal(got, span_from_string(name)))
        fail_msg("%s: got %.*s, want %s", host, (int)got.len, got.data, name);
}

static void exact_and_wildcard(void **state)
{
    const char *names[] = {"example.com",     "www.example.com", "*.example.com",
                           "a.b.example.com", "*.b.example.com", "*.org",
                           "127.0.0.1",       "[::1]",           "xn--bcher-kva.example"};
    struct table t = table_make(names, TG_ARRAY_LEN(names), NULL);
    expect(&t, "example.com", "example.com");
    expect(&t, "EXAMPLE.com", "example.com");
    expect(&t, "example.com.", "example.com");
    expect(&t, "www.example.com", "www.example.com");
    expect(&t, "Other.Example.COM", "*.example.com");
    expect(&t, "other.example.com.", "*.example.com");
    expect(&t, "a.b.example.com", "a.b.example.com");
    expect(&t, "x.b.example.com", "*.b.example.com");
    expect(&t, "b.example.com", "*.example.com");
    expect(&t, "x.y.b.example.com", NULL); /* the star is one label */
    expect(&t, "x.y.example.com", NULL);
    expect(&t, "example.org", "*.org");
    expect(&t, "org", NULL);
    expect(&t, ".org", NULL);
    expect(&t, ".example.com", NULL);
    expect(&t, "127.0.0.1", "127.0.0.1");
    expect(&t, "127.0.0.2", NULL);
    expect(&t, "[::1]", "[::1]");
    expect(&t, "XN--BCHER-KVA.example", "xn--bcher-kva.example");
    expect(&t, "", NULL);
    expect(&t, ".", NULL);
    expect(&t, "..", NULL);
    expect(&t, "example.co", NULL);
    expect(&t, "example.comx", NULL);
    expect(&t, "xexample.com", NULL);
    free(t.routes);
}

static void default_site(void **state)
{
    const char *names[] = {"a.example", "b.example"};
    struct table t = table_make(names, 2, "b.example");
    expect(&t, "a.example", "a.example");
    expect(&t, "c.example", "b.example");
    expect(&t, "", "b.example");
    char longest[300];
    memset(longest, 'x', sizeof longest);
    longest[299] = 0;
    expect(&t, longest, "b.example");
    longest[255] = 0;
    expect(&t, longest, "b.example");
    longest[100] = '.';
    expect(&t, longest, "b.example");
    free(t.routes);
}

static void empty_tables(void **state)
{
    struct table t = table_make(NULL, 0, NULL);
    expect(&t, "a.example", NULL);
    assert_null(route_site(NULL, SPAN_LITERAL("a")));
    assert_null(route_origin(NULL, 0));
    free(t.routes);
}

static void every_size(void **state)
{
    for (unsigned count = 1; count < 70; count++) {
        static char text[70][16];
        const char *names[70];
        for (unsigned i = 0; i < count; i++) {
            snprintf(text[i], sizeof text[i], "h%u.example", i * 7);
            names[i] = text[i];
        }
        struct table t = table_make(names, count, NULL);
        for (unsigned i = 0; i < count; i++) {
            char other[16];
            snprintf(other, sizeof other, "h%u.example", i * 7 + 1);
            expect(&t, text[i], text[i]);
            expect(&t, other, NULL);
        }
        free(t.routes);
    }
}

static void origins(void **state)
{
    const char *names[] = {"a.example", "b.example"};
    struct table t = table_make(names, 2, NULL);
    assert_int_equal(route_origin(t.routes, 1)->id, 1);
    assert_non_null(route_origin(t.routes, 2));
    assert_null(route_origin(t.routes, 3));
    assert_null(route_origin(t.routes, UINT32_MAX));
    free(t.routes);
}

/* Another process wrote the table. Any flipped bit is refused, or leads nowhere outside the
 * block. */
static void damaged_tables(void **state)
{
    const char *names[] = {"a.example", "*.b.example", "c.example"};
    struct table t = table_make(names, 3, "c.example");
    unsigned refused = 0;
    for (size_t bit = 0; bit < t.len * 8; bit++) {
        uint8_t *copy = malloc(t.len); /* exact size: reads beyond it are seen */
        memcpy(copy, t.routes, t.len);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct tables_routes *damaged = (void *)copy;
        if (!tables_routes_valid(damaged, t.len)) {
            refused++;
            free(copy);
            continue;
        }
        static const char *const hosts[] = {"a.example", "x.b.example", "nobody", ""};
        for (unsigned i = 0; i < TG_ARRAY_LEN(hosts); i++) {
            const struct tables_site *site = route_site(damaged, span_from_string(hosts[i]));
            if (!site)
                continue;
            assert_true((const uint8_t *)site >= copy &&
                        (const uint8_t *)(site + 1) <= copy + t.len);
            const struct tables_origin *origin = route_origin(damaged, site->origin);
            assert_true(!origin || (const uint8_t *)(origin + 1) <= copy + t.len);
        }
        free(copy);
    }
    assert_true(refused > 100);
    /* and indices that no validation has seen */
    t.routes->default_site = 3;
    expect(&t, "nobody", NULL);
    free(t.routes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_and_wildcard),
        cmocka_unit_test(default_site),
        cmocka_unit_test(empty_tables),
        cmocka_unit_test(every_size),
        cmocka_unit_test(origins),
        cmocka_unit_test(damaged_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
