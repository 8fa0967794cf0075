/* SPDX-License-Identifier: BSD-3-Clause
 * etcd's JSON, in and out. See fleet_etcd_json.h.
 */
#include "ctrlplane/fleet_etcd_json.h"

#include "ctrlplane/base64.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- requests ----------------------------------------------------------------------------- */

static json_t *bytes_json(const char *text)
{
    char *encoded = base64_encode(span_from_string(text));
    json_t *s = json_string(encoded);
    free(encoded);
    return s;
}

static json_t *number_json(int64_t v)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)v);
    return json_string(text);
}

static char *request_text(json_t *request)
{
    char *text = json_dumps(request, JSON_COMPACT);
    tg_assert(text);
    json_decref(request);
    return text;
}

char *etcd_range_request(const char *from, const char *end, int64_t revision, bool keys_only)
{
    json_t *request = json_pack("{s:s, s:o, s:o, s:b}", "key", from, "range_end", bytes_json(end),
                                "limit", number_json(ETCD_PAGE), "keys_only", keys_only);
    if (revision)
        json_object_set_new(request, "revision", number_json(revision));
    return request_text(request);
}

char *etcd_txn_request(const struct fleet_op ops[], unsigned count)
{
    json_t *compare = json_array(), *success = json_array();
    for (unsigned i = 0; i < count; i++) {
        json_array_append_new(compare,
                              json_pack("{s:o, s:s, s:s, s:o}", "key", bytes_json(ops[i].key),
                                        "target", "MOD", "result", "EQUAL", "mod_revision",
                                        number_json(ops[i].expected)));
        json_array_append_new(success, ops[i].value ? json_pack("{s:{s:o, s:o}}", "request_put",
                                                                "key", bytes_json(ops[i].key),
                                                                "value", bytes_json(ops[i].value))
                                                    : json_pack("{s:{s:o}}", "request_delete_range",
                                                                "key", bytes_json(ops[i].key)));
    }
    json_t *look = json_pack("[{s:{s:o}}]", "request_range", "key", bytes_json(ops[0].key));
    return request_text(
        json_pack("{s:o, s:o, s:o}", "compare", compare, "success", success, "failure", look));
}

char *etcd_watch_request(const char *key, const char *end, int64_t revision)
{
    return request_text(json_pack("{s:{s:o, s:o, s:o, s:b}}", "create_request", "key",
                                  bytes_json(key), "range_end", bytes_json(end), "start_revision",
                                  number_json(revision), "progress_notify", true));
}

void etcd_prefix_end(const char *prefix, char end[FLEET_KEY_MAX])
{
    size_t len = strlen(prefix);
    tg_assert(len > 0 && len < FLEET_KEY_MAX && (uint8_t)prefix[len - 1] < 0x7f);
    memcpy(end, prefix, len + 1);
    end[len - 1]++;
}

/* --- answers ------------------------------------------------------------------------------ */

/* A 64-bit number, which the gateway writes as a string; absent: 0. */
static bool number_read(const json_t *object, const char *name, int64_t *out)
{
    const json_t *value = json_object_get(object, name);
    *out = 0;
    if (!value)
        return true;
    if (json_is_integer(value)) {
        *out = json_integer_value(value);
        return *out >= 0;
    }
    const char *text = json_string_value(value);
    size_t digits = text ? strspn(text, "0123456789") : 0;
    if (digits == 0 || digits > 18 || text[digits])
        return false;
    *out = (int64_t)strtoll(text, NULL, 10);
    return true;
}

static bool bool_read(const json_t *object, const char *name, bool *out)
{
    const json_t *value = json_object_get(object, name);
    *out = json_is_true(value);
    return !value || json_is_boolean(value);
}

static bool header_read(const json_t *object, struct etcd_header *header)
{
    const json_t *h = json_object_get(object, "header");
    const char *cluster = json_string_value(json_object_get(h, "cluster_id"));
    snprintf(header->cluster, sizeof header->cluster, "%s", cluster ? cluster : "");
    return json_is_object(h) && number_read(h, "revision", &header->revision);
}

/* Base64 member to malloc'd bytes; absent: empty ones. NULL: malformed. */
static uint8_t *bytes_read(const json_t *object, const char *name, size_t *len)
{
    const json_t *value = json_object_get(object, name);
    if (value && !json_is_string(value))
        return NULL;
    return base64_decode(value ? json_string_value(value) : "",
                         value ? json_string_length(value) : 0, len);
}

/* Keys are only shown and compared; a byte that no key of ours has becomes one that none has either. */
static void key_text(const uint8_t *bytes, size_t len, char out[FLEET_KEY_MAX])
{
    size_t n = len < FLEET_KEY_MAX - 1 ? len : FLEET_KEY_MAX - 1;
    for (size_t i = 0; i < n; i++)
        out[i] = bytes[i] > 0x20 && bytes[i] < 0x7f ? (char)bytes[i] : '?';
    out[n] = 0;
}

enum kv_form { KV_WHOLE, KV_KEY_ONLY, KV_DELETED };

static bool kv_read(const json_t *kv, enum kv_form form, struct fleet_batch *batch)
{
    size_t key_len = 0, value_len = 0;
    int64_t revision;
    char key[FLEET_KEY_MAX];
    uint8_t *key_bytes = bytes_read(kv, "key", &key_len);
    uint8_t *value = form == KV_WHOLE ? bytes_read(kv, "value", &value_len) : NULL;
    bool good = key_bytes && key_len > 0 && (value || form != KV_WHOLE) &&
                number_read(kv, "mod_revision", &revision) && revision > 0;
    if (good) {
        key_text(key_bytes, key_len, key);
        fleet_batch_add(batch, key, form == KV_WHOLE ? span_make(value, value_len) : SPAN_EMPTY,
                        revision);
    }
    free(key_bytes);
    free(value);
    return good;
}

static json_t *text_parse(struct span text)
{
    return json_loadb(text.data ? (const char *)text.data : "", text.len, 0, NULL);
}

/* The first key behind the last one of a page: the same bytes and a NUL. NULL: there is no last one. */
static char *next_key(const json_t *kvs)
{
    size_t len;
    uint8_t *last = bytes_read(json_array_get(kvs, json_array_size(kvs) - 1), "key", &len);
    char *next = last && len > 0 ? base64_encode(span_make(last, len + 1)) : NULL;
    free(last);
    return next;
}

bool etcd_range_read(struct span text, bool keys_only, struct etcd_range *range,
                     struct fleet_batch *batch)
{
    json_t *answer = text_parse(text), *kv;
    const json_t *kvs = json_object_get(answer, "kvs");
    size_t i;
    bool more = false;
    *range = (struct etcd_range){0};
    bool good = header_read(answer, &range->header) && bool_read(answer, "more", &more) &&
                (!kvs || json_is_array(kvs));
    json_array_foreach((json_t *)(uintptr_t)kvs, i, kv)
    {
        good = good && kv_read(kv, keys_only ? KV_KEY_ONLY : KV_WHOLE, batch);
    }
    if (good && more) /* a page with nothing on it and more behind it would be asked for for ever */
        good = (range->next = next_key(kvs)) != NULL;
    json_decref(answer);
    return good;
}

bool etcd_txn_read(struct span text, struct etcd_txn *txn)
{
    *txn = (struct etcd_txn){0};
    json_t *answer = text_parse(text);
    bool good =
        header_read(answer, &txn->header) && bool_read(answer, "succeeded", &txn->succeeded);
    const json_t *first = json_array_get(json_object_get(answer, "responses"), 0);
    const json_t *kvs = json_object_get(json_object_get(first, "response_range"), "kvs");
    if (good && !txn->succeeded && json_array_size(kvs) > 0) {
        struct fleet_batch batch = {0};
        good = kv_read(json_array_get(kvs, 0), KV_WHOLE, &batch);
        if (good) {
            txn->found = batch.changes[0].revision;
            txn->value = batch.changes[0].value;
            batch.changes[0].value = NULL;
        }
        fleet_batch_free(&batch);
    }
    json_decref(answer);
    return good;
}

static bool event_read(const json_t *event, struct fleet_batch *batch)
{
    const json_t *type = json_object_get(event, "type");
    const char *text = json_string_value(type);
    bool deleted = text && strcmp(text, "DELETE") == 0;
    if (type && !deleted && !(text && strcmp(text, "PUT") == 0))
        return false;
    return kv_read(json_object_get(event, "kv"), deleted ? KV_DELETED : KV_WHOLE, batch);
}

/* A peer's words for logs and status: printable ASCII only. */
static void sentence_set(char problem[FLEET_PROBLEM], const char *front, const char *text)
{
    snprintf(problem, FLEET_PROBLEM, "%s%.150s", front, text);
    for (char *c = problem; *c; c++)
        if (*c < 0x20 || *c > 0x7e)
            *c = '?';
}

/* The text of an error in any of its forms: {"message": ...}, {"error": "..."}, {"error": {"message": ...}}. */
static int error_take(const json_t *answer, char problem[FLEET_PROBLEM])
{
    const json_t *error = json_object_get(answer, "error"), *from = answer;
    if (json_is_object(error))
        from = error;
    const char *text = json_string_value(json_object_get(from, "message"));
    if (!text)
        text = json_string_value(error);
    const json_t *code = json_object_get(from, "code");
    if (!code)
        code = json_object_get(from, "grpc_code");
    sentence_set(problem, "", text ? text : "an error without words");
    return json_is_integer(code) && json_integer_value(code) >= 0 && json_integer_value(code) < 100
               ? (int)json_integer_value(code)
               : -1;
}

bool etcd_watch_read(struct span line, struct etcd_watch *watch, struct fleet_batch *batch)
{
    *watch = (struct etcd_watch){0};
    json_t *answer = text_parse(line), *event;
    const json_t *result = json_object_get(answer, "result");
    if (!result && json_object_get(answer, "error")) {
        error_take(answer, watch->problem);
        json_decref(answer);
        return true;
    }
    const json_t *events = json_object_get(result, "events");
    size_t i;
    bool good = header_read(result, &watch->header) &&
                bool_read(result, "created", &watch->created) &&
                bool_read(result, "canceled", &watch->canceled) &&
                number_read(result, "compact_revision", &watch->compact_revision) &&
                (!events || json_is_array(events));
    json_array_foreach((json_t *)(uintptr_t)events, i, event)
    {
        good = good && event_read(event, batch);
    }
    const char *reason = json_string_value(json_object_get(result, "cancel_reason"));
    if (watch->canceled && !watch->compact_revision)
        sentence_set(watch->problem, "etcd ended the watch: ", reason ? reason : "no reason given");
    json_decref(answer);
    return good;
}

int etcd_error_read(struct span text, char problem[FLEET_PROBLEM])
{
    json_t *answer = text_parse(text);
    int code = -1;
    if (json_object_get(answer, "error") || json_object_get(answer, "message"))
        code = error_take(answer, problem);
    else
        snprintf(problem, FLEET_PROBLEM, "an answer that is not etcd's");
    json_decref(answer);
    return code;
}
