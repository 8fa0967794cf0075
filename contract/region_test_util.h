/* SPDX-License-Identifier: BSD-3-Clause
 * What the region's tests share: a path of their own, blocks of every kind with known content. Included
 * by contract/region*_test.c only, after cmocka.h.
 */
#ifndef CONTRACT_REGION_TEST_UTIL_H
#define CONTRACT_REGION_TEST_UTIL_H

#include "base/hash.h"
#include "contract/region.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A path that no other test process uses; the file does not exist. */
static inline const char *test_path(void)
{
    static char path[64];
    snprintf(path, sizeof path, "/dev/shm/tidegate-test-%ld", (long)getpid());
    unlink(path);
    return path;
}

static inline void test_create(struct region *region, const char *path, unsigned workers,
                               size_t arena_bytes)
{
    char problem[256];
    enum tg_err err = region_create(region, path, workers, 7, arena_bytes, -1, 42, problem);
    if (err != TG_OK)
        fail_msg("region_create: %s", problem);
    assert_string_equal(problem, "");
}

/* A valid owners table of 2^bits buckets whose content is a function of `salt`. */
static inline struct tables_owners *test_owners(unsigned bits, uint64_t salt, size_t *len)
{
    *len = sizeof(struct tables_owners) + (sizeof(uint16_t[4]) << bits);
    struct tables_owners *t = calloc(1, *len);
    assert_non_null(t);
    t->header = (struct tables_header){TABLES_OWNERS, (uint32_t)*len, 0};
    t->bucket_count = 1u << bits;
    for (uint32_t i = 0; i < t->bucket_count; i++)
        for (unsigned k = 0; k < 4; k++)
            t->owners[i][k] = (uint16_t)((salt * 2654435761u) ^ (i * 4 + k));
    return t;
}

/* The salt that test_owners was given, as far as 16 bits tell, or fails: the table is torn. */
static inline bool test_owners_is(const void *block, size_t len, uint64_t salt)
{
    const struct tables_owners *t = block;
    if (!tables_owners_valid(t, len))
        return false;
    for (uint32_t i = 0; i < t->bucket_count; i++)
        for (unsigned k = 0; k < 4; k++)
            if (t->owners[i][k] != (uint16_t)((salt * 2654435761u) ^ (i * 4 + k)))
                return false;
    return true;
}

/* A rules table of `count` rules with ids first_id, first_id + 1, ... */
static inline struct tables_rules *test_rules(uint32_t count, uint32_t first_id, size_t *len)
{
    *len = sizeof(struct tables_rules) + count * sizeof(struct tables_rule);
    struct tables_rules *t = calloc(1, *len);
    assert_non_null(t);
    t->header = (struct tables_header){TABLES_RULES, (uint32_t)*len, 0};
    t->count = count;
    for (uint32_t i = 0; i < count; i++)
        t->rules[i] = (struct tables_rule){.id = first_id + i,
                                           .slot = i,
                                           .source_port_high = 65535,
                                           .destination_port_high = 65535};
    return t;
}

#define TEST_SECRET "-----BEGIN PRIVATE KEY----- of nobody"

/* One certificate; its "key" is TEST_SECRET followed by `mark`, repeated. */
static inline struct tables_certificates *test_certificates(char mark, size_t *len)
{
    size_t head = sizeof(struct tables_certificates) + sizeof(struct tables_certificate);
    *len = head + 16 + 16 + 64;
    struct tables_certificates *t = calloc(1, *len);
    assert_non_null(t);
    t->header = (struct tables_header){TABLES_CERTIFICATES, (uint32_t)*len, 0};
    t->count = 1;
    t->certificates[0] = (struct tables_certificate){
        .names = {(uint32_t)head, 12},
        .chain_pem = {(uint32_t)head + 16, 16},
        .key_pem = {(uint32_t)head + 32, 64},
    };
    char *text = (char *)t + head;
    memcpy(text, "example.com", 12);
    memset(text + 16, 'c', 16);
    memset(text + 32, mark, 64);
    memcpy(text + 32, TEST_SECRET, strlen(TEST_SECRET));
    return t;
}

/* One certificate whose key lies at one key server. */
static inline struct tables_certificates *test_keyless(size_t *len)
{
    const size_t servers = sizeof(struct tables_certificates) + sizeof(struct tables_certificate);
    const uint32_t text = (uint32_t)(servers + sizeof(struct tables_keyserver));
    *len = text + 32;
    struct tables_certificates *t = calloc(1, *len);
    assert_non_null(t);
    t->header = (struct tables_header){TABLES_CERTIFICATES, (uint32_t)*len, 0};
    t->count = t->keyserver_count = 1;
    t->keyserver_offset = (uint32_t)servers;
    memcpy((char *)t + text, "example.com", 12);
    t->certificates[0] =
        (struct tables_certificate){.names = {text, 12}, .chain_pem = {text + 12, 4}};
    struct tables_keyserver *k = (struct tables_keyserver *)(void *)((char *)t + servers);
    k->server_name = (struct tables_string){text + 16, 4};
    k->ca_pem = k->chain_pem = k->key_pem = (struct tables_string){text + 20, 4};
    k->address_count = TABLES_KEYSERVER_ADDRESSES;
    return t;
}

/* Publish and free the caller's copy; the number must be the next. */
static inline enum tg_err test_publish_owners(struct region *writer, unsigned bits, uint64_t salt,
                                              uint64_t *number)
{
    size_t len;
    struct tables_owners *t = test_owners(bits, salt, &len);
    enum tg_err err = region_publish(writer, TABLES_OWNERS, t, len, number);
    free(t);
    return err;
}

/* Act as a worker that has taken a generation. */
static inline void test_apply(struct region *data, unsigned worker, enum tables_kind kind,
                              uint64_t oldest, uint64_t applied)
{
    struct region_worker *w = region_worker(data, worker);
    __atomic_store_n(&w->alive, 1, __ATOMIC_RELEASE);
    __atomic_store_n(&w->oldest[kind], oldest, __ATOMIC_RELEASE);
    __atomic_store_n(&w->applied[kind], applied, __ATOMIC_RELEASE);
}

#endif
