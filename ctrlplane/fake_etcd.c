/* SPDX-License-Identifier: BSD-3-Clause
 * The store and its forms. See fake_etcd.h; the server around it is fake_etcd_server.c. Test code.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctrlplane/base64.h"
#include "ctrlplane/fake_etcd_internal.h"

#include <stdlib.h>
#include <string.h>

/* --- the store, under the lock ------------------------------------------------------------------ */

static void key_set(struct fake_etcd *e, const char *key, const char *value, bool seen)
{
    if (seen) /* first: `key` may be the object's own */
        json_array_append_new(e->history,
                              json_pack("[I, s, s?]", (json_int_t)e->revision, key, value));
    if (value)
        json_object_set_new(e->keys, key, json_pack("[I, s]", (json_int_t)e->revision, value));
    else
        json_object_del(e->keys, key);
}

static int64_t key_revision(const struct fake_etcd *e, const char *key)
{
    return json_integer_value(json_array_get(json_object_get(e->keys, key), 0));
}

int64_t fake_etcd_put(struct fake_etcd *e, const char *key, const char *value)
{
    pthread_mutex_lock(&e->lock);
    int64_t revision = ++e->revision;
    key_set(e, key, value, true);
    pthread_mutex_unlock(&e->lock);
    return revision;
}

void fake_etcd_put_unseen(struct fake_etcd *e, const char *key, const char *value)
{
    pthread_mutex_lock(&e->lock);
    e->revision++;
    key_set(e, key, value, false);
    pthread_mutex_unlock(&e->lock);
}

void fake_etcd_wipe(struct fake_etcd *e)
{
    const char *key;
    json_t *value;
    void *next;
    pthread_mutex_lock(&e->lock);
    e->revision++;
    json_object_foreach_safe(e->keys, next, key, value)
    {
        key_set(e, key, NULL, true);
    }
    pthread_mutex_unlock(&e->lock);
}

void fake_etcd_replace(struct fake_etcd *e)
{
    pthread_mutex_lock(&e->lock);
    json_object_clear(e->keys);
    json_array_clear(e->history);
    e->revision = 1;
    memcpy(e->cluster, "222", 4);
    pthread_mutex_unlock(&e->lock);
    atomic_store(&e->kick, true);
}

char *fake_etcd_get(struct fake_etcd *e, const char *key, int64_t *revision)
{
    pthread_mutex_lock(&e->lock);
    const char *value = json_string_value(json_array_get(json_object_get(e->keys, key), 1));
    char *copy = value ? strdup(value) : NULL;
    if (revision)
        *revision = key_revision(e, key);
    pthread_mutex_unlock(&e->lock);
    return copy;
}

/* --- forms -------------------------------------------------------------------------------------- */

static char *decoded(const json_t *object, const char *name)
{
    size_t len = 0;
    const json_t *value = json_object_get(object, name);
    if (!value)
        return NULL;
    return (char *)base64_decode(json_string_value(value), json_string_length(value), &len);
}

static json_t *encoded(const char *text)
{
    char *copy = base64_encode(span_from_string(text));
    json_t *value = json_string(copy);
    free(copy);
    return value;
}

static json_t *number(int64_t v)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)v);
    return json_string(text);
}

json_t *fake_etcd_header(const struct fake_etcd *e, int64_t revision)
{
    return json_pack("{s:s, s:s, s:o, s:s}", "cluster_id", e->cluster, "member_id", "7", "revision",
                     number(revision), "raft_term", "2");
}

static json_t *kv_json(const char *key, const json_t *item, bool keys_only)
{
    json_t *kv = json_pack("{s:o, s:o, s:s}", "key", encoded(key), "mod_revision",
                           number(json_integer_value(json_array_get(item, 0))), "version", "1");
    if (!keys_only)
        json_object_set_new(kv, "value", encoded(json_string_value(json_array_get(item, 1))));
    return kv;
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The keys from..end in order, a page of at most `limit`. */
static json_t *range_json(struct fake_etcd *e, const char *from, const char *end, long limit,
                          bool keys_only, bool *more)
{
    const char **sorted = calloc(json_object_size(e->keys) + 1, sizeof *sorted), *key;
    json_t *value, *list = json_array();
    size_t n = 0;
    json_object_foreach(e->keys, key, value)
    {
        if (strcmp(key, from) >= 0 && (end ? strcmp(key, end) < 0 : strcmp(key, from) == 0))
            sorted[n++] = key;
    }
    qsort(sorted, n, sizeof *sorted, compare_text);
    *more = limit > 0 && n > (size_t)limit;
    for (size_t i = 0; i < n && (limit == 0 || i < (size_t)limit); i++)
        json_array_append_new(list,
                              kv_json(sorted[i], json_object_get(e->keys, sorted[i]), keys_only));
    free(sorted);
    return list;
}

json_t *fake_etcd_range(struct fake_etcd *e, const json_t *request)
{
    char *from = decoded(request, "key"), *end = decoded(request, "range_end");
    const char *limit = json_string_value(json_object_get(request, "limit"));
    bool more, keys_only = json_is_true(json_object_get(request, "keys_only"));
    /* A next page starts at "lastkey\0", which a C string cannot say: the last key itself is left out below. */
    size_t len = 0;
    const char *raw = json_string_value(json_object_get(request, "key"));
    uint8_t *bytes = base64_decode(raw, strlen(raw), &len);
    bool behind = len > 0 && bytes[len - 1] == 0;
    json_t *kvs =
        range_json(e, from, end, limit ? strtol(limit, NULL, 10) + behind : 0, keys_only, &more);
    if (behind && json_array_size(kvs) > 0)
        json_array_remove(kvs, 0);
    json_t *answer =
        json_pack("{s:o, s:o}", "header", fake_etcd_header(e, e->revision), "kvs", kvs);
    if (more)
        json_object_set_new(answer, "more", json_true());
    free(bytes);
    free(from);
    free(end);
    return answer;
}

static bool compares_hold(struct fake_etcd *e, const json_t *compares)
{
    bool good = true;
    size_t i;
    json_t *compare;
    json_array_foreach((json_t *)(uintptr_t)compares, i, compare)
    {
        char *key = decoded(compare, "key");
        const char *wanted = json_string_value(json_object_get(compare, "mod_revision"));
        good = good && key_revision(e, key) == strtoll(wanted, NULL, 10);
        free(key);
    }
    return good;
}

json_t *fake_etcd_txn(struct fake_etcd *e, const json_t *request)
{
    size_t i;
    json_t *op;
    bool more;
    if (!compares_hold(e, json_object_get(request, "compare"))) {
        const json_t *look = json_array_get(json_object_get(request, "failure"), 0);
        char *key = decoded(json_object_get(look, "request_range"), "key");
        json_t *kvs = range_json(e, key, NULL, 0, false, &more);
        free(key);
        return json_pack("{s:o, s:[{s:{s:o}}]}", "header", fake_etcd_header(e, e->revision),
                         "responses", "response_range", "kvs", kvs);
    }
    e->revision++;
    json_array_foreach(json_object_get(request, "success"), i, op)
    {
        const json_t *put = json_object_get(op, "request_put");
        const json_t *gone = json_object_get(op, "request_delete_range");
        char *key = decoded(put ? put : gone, "key"), *value = decoded(put, "value");
        key_set(e, key, value, true);
        free(key);
        free(value);
    }
    return json_pack("{s:o, s:b}", "header", fake_etcd_header(e, e->revision), "succeeded", true);
}

json_t *fake_etcd_events(struct fake_etcd *e, int64_t after, int64_t *last)
{
    json_t *events = NULL, *item;
    size_t i;
    *last = after;
    json_array_foreach(e->history, i, item)
    {
        int64_t revision = json_integer_value(json_array_get(item, 0));
        const char *key = json_string_value(json_array_get(item, 1));
        const char *value = json_string_value(json_array_get(item, 2));
        if (revision <= after || (events && revision != *last))
            continue; /* the next line's */
        *last = revision;
        events = events ? events : json_array();
        json_t *kv = json_pack("{s:o, s:o}", "key", encoded(key), "mod_revision", number(revision));
        if (value)
            json_object_set_new(kv, "value", encoded(value));
        json_array_append_new(events, value ? json_pack("{s:o}", "kv", kv)
                                            : json_pack("{s:s, s:o}", "type", "DELETE", "kv", kv));
    }
    return events;
}
