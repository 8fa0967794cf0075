/* SPDX-License-Identifier: BSD-3-Clause
 * etcd's JSON as etcd 3.4.23 wrote it, requests that it took, and answers that no etcd gives.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctrlplane/base64.h"
#include "ctrlplane/fleet_etcd_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER                                                                                     \
    "\"header\":{\"cluster_id\":\"324952591200643719\",\"member_id\":\"3319814642761637952\","     \
    "\"revision\":\"4\",\"raft_term\":\"2\"}"

static void text_expect(char *text, const char *expected)
{
    assert_string_equal(text, expected);
    free(text);
}

/* RFC 4648 s10 */
static void base64_vectors(void **state)
{
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    (void)state;
    for (size_t i = 0; i < TG_ARRAY_LEN(pairs); i++) {
        size_t len;
        text_expect(base64_encode(span_from_string(pairs[i][0])), pairs[i][1]);
        uint8_t *bytes = base64_decode(pairs[i][1], strlen(pairs[i][1]), &len);
        assert_non_null(bytes);
        assert_int_equal(len, strlen(pairs[i][0]));
        assert_string_equal((char *)bytes, pairs[i][0]);
        free(bytes);
    }
    const uint8_t all[] = {0xfb, 0xff, 0xfe, 0x00};
    text_expect(base64_encode(span_make(all, sizeof all)), "+//+AA==");
}

static void base64_refusals(void **state)
{
    static const char *const bad[] = {"Z",    "Zg",   "Zg=",    "Zg===",  "=",
                                      "====", "Zg=a", "Zh==",   "Zm9=",   "Zm 9v",
                                      "Zm-_", "Z===", "Zm9v\n", "Zm9vZg", "=Zm9"};
    size_t len;
    (void)state;
    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++)
        assert_null(base64_decode(bad[i], strlen(bad[i]), &len));
}

static void requests_are_as_etcd_takes_them(void **state)
{
    const struct fleet_op ops[] = {{.key = "/t/a", .value = "hello", .expected = 0},
                                   {.key = "/t/b", .value = NULL, .expected = 17}};
    (void)state;
    text_expect(etcd_range_request("L3Qv", "/t0", 0, false),
                "{\"key\":\"L3Qv\",\"range_end\":\"L3Qw\",\"limit\":\"500\",\"keys_only\":false}");
    text_expect(etcd_range_request("L3QvYQA=", "/t0", 9, true),
                "{\"key\":\"L3QvYQA=\",\"range_end\":\"L3Qw\",\"limit\":\"500\",\"keys_only\":true,"
                "\"revision\":\"9\"}");
    text_expect(
        etcd_txn_request(ops, 2),
        "{\"compare\":[{\"key\":\"L3QvYQ==\",\"target\":\"MOD\",\"result\":\"EQUAL\","
        "\"mod_revision\":\"0\"},{\"key\":\"L3QvYg==\",\"target\":\"MOD\",\"result\":\"EQUAL\","
        "\"mod_revision\":\"17\"}],\"success\":[{\"request_put\":{\"key\":\"L3QvYQ==\",\"value\":"
        "\"aGVsbG8=\"}},{\"request_delete_range\":{\"key\":\"L3QvYg==\"}}],\"failure\":["
        "{\"request_range\":{\"key\":\"L3QvYQ==\"}}]}");
    text_expect(
        etcd_watch_request("/t/", "/t0", 5),
        "{\"create_request\":{\"key\":\"L3Qv\",\"range_end\":\"L3Qw\",\"start_revision\":\"5\","
        "\"progress_notify\":true}}");
    char end[FLEET_KEY_MAX];
    etcd_prefix_end("/tidegate/v1/fleet/lab/", end);
    assert_string_equal(end, "/tidegate/v1/fleet/lab0");
}

static void range_answers(void **state)
{
    struct etcd_range range;
    struct fleet_batch batch = {0};
    (void)state;
    assert_true(etcd_range_read(SPAN_LITERAL("{" HEADER "}"), false, &range, &batch));
    assert_int_equal(range.header.revision, 4);
    assert_string_equal(range.header.cluster, "324952591200643719");
    assert_null(range.next);
    assert_int_equal(batch.count, 0);
    assert_true(etcd_range_read(
        SPAN_LITERAL("{" HEADER ",\"kvs\":[{\"key\":\"L3QvYQ==\",\"create_revision\":\"2\","
                     "\"mod_revision\":\"3\",\"version\":\"1\",\"value\":\"aGVsbG8=\"},{\"key\":"
                     "\"L3QvYg==\",\"mod_revision\":\"4\"}],\"more\":true,\"count\":\"7\"}"),
        false, &range, &batch));
    assert_int_equal(batch.count, 2);
    assert_string_equal(batch.changes[0].key, "/t/a");
    assert_string_equal(batch.changes[0].value, "hello");
    assert_int_equal(batch.changes[0].revision, 3);
    assert_string_equal(batch.changes[1].value,
                        "");             /* an empty value is left out, and is a value */
    text_expect(range.next, "L3QvYgA="); /* "/t/b" and a NUL */
    fleet_batch_free(&batch);
    assert_true(etcd_range_read(
        SPAN_LITERAL("{" HEADER ",\"kvs\":[{\"key\":\"L3QvYQ==\",\"mod_revision\":\"3\"}]}"), true,
        &range, &batch));
    assert_null(batch.changes[0].value);
    fleet_batch_free(&batch);
}

static void strange_keys_are_shown_harmless(void **state)
{
    struct etcd_range range;
    struct fleet_batch batch = {0};
    char text[2048], long_key[600];
    (void)state;
    memset(long_key, 'k', sizeof long_key);
    char *encoded = base64_encode(span_make(long_key, sizeof long_key));
    snprintf(text, sizeof text,
             "{" HEADER ",\"kvs\":[{\"key\":\"AP8Kew==\",\"mod_revision\":\"3\"},{\"key\":\"%s\","
             "\"mod_revision\":\"3\"}]}",
             encoded);
    free(encoded);
    assert_true(etcd_range_read(span_from_string(text), true, &range, &batch));
    assert_string_equal(batch.changes[0].key, "???{");
    assert_int_equal(strlen(batch.changes[1].key), FLEET_KEY_MAX - 1);
    fleet_batch_free(&batch);
}

static void malformed_ranges_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "null",
        "[]",
        "7",
        "{}",
        "{\"header\":7}",
        "{\"header\":{\"revision\":\"x\"}}",
        "{\"header\":{\"revision\":\"-4\"}}",
        "{\"header\":{\"revision\":-4}}",
        "{\"header\":{\"revision\":\"9999999999999999999\"}}",
        "{" HEADER ",\"kvs\":{}}",
        "{" HEADER ",\"kvs\":[7]}",
        "{" HEADER ",\"kvs\":[{}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"L3QvYQ==\"}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"L3QvYQ==\",\"mod_revision\":\"0\"}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"\",\"mod_revision\":\"3\"}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"L3Qv*Q==\",\"mod_revision\":\"3\"}]}",
        "{" HEADER ",\"kvs\":[{\"key\":7,\"mod_revision\":\"3\"}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"L3QvYQ==\",\"mod_revision\":\"3\",\"value\":\"a\"}]}",
        "{" HEADER ",\"kvs\":[{\"key\":\"L3QvYQ==\",\"mod_revision\":\"3\",\"value\":[]}]}",
        "{" HEADER ",\"more\":true}",
        "{" HEADER ",\"more\":\"yes\"}",
        "{" HEADER ",\"kvs\":[{\"key\":\"L3QvYQ==\",\"mod_revision\":\"3\"}",
    };
    (void)state;
    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++) {
        struct etcd_range range;
        struct fleet_batch batch = {0};
        if (etcd_range_read(span_from_string(bad[i]), false, &range, &batch))
            fail_msg("taken: %s", bad[i]);
        assert_null(range.next);
        fleet_batch_free(&batch);
    }
}

static void txn_answers(void **state)
{
    struct etcd_txn txn;
    (void)state;
    assert_true(
        etcd_txn_read(SPAN_LITERAL("{" HEADER ",\"succeeded\":true,\"responses\":[{\"response_"
                                   "put\":{\"header\":{\"revision\":\"4\"}}}]}"),
                      &txn));
    assert_true(txn.succeeded);
    assert_int_equal(txn.header.revision, 4);
    assert_true(etcd_txn_read(
        SPAN_LITERAL(
            "{" HEADER ",\"responses\":[{\"response_range\":{\"header\":{\"revision\":\"4\"},"
            "\"kvs\":[{\"key\":\"L3QvYQ==\",\"create_revision\":\"2\",\"mod_revision\":\"2\","
            "\"version\":\"1\",\"value\":\"aGVsbG8=\"}],\"count\":\"1\"}}]}"),
        &txn));
    assert_false(txn.succeeded);
    assert_int_equal(txn.found, 2);
    text_expect(txn.value, "hello");
    assert_true(etcd_txn_read(
        SPAN_LITERAL("{" HEADER
                     ",\"responses\":[{\"response_range\":{\"header\":{\"revision\":\"4\"}}}]}"),
        &txn));
    assert_false(txn.succeeded);
    assert_int_equal(txn.found, 0);
    assert_null(txn.value);
    assert_false(etcd_txn_read(SPAN_LITERAL("{\"succeeded\":true}"), &txn));
    assert_false(etcd_txn_read(SPAN_LITERAL("{" HEADER ",\"succeeded\":\"true\"}"), &txn));
    assert_false(etcd_txn_read(
        SPAN_LITERAL("{" HEADER ",\"responses\":[{\"response_range\":{\"kvs\":[7]}}]}"), &txn));
}

static void watch_lines(void **state)
{
    struct etcd_watch watch;
    struct fleet_batch batch = {0};
    (void)state;
    assert_true(etcd_watch_read(SPAN_LITERAL("{\"result\":{" HEADER ",\"created\":true}}"), &watch,
                                &batch));
    assert_true(watch.created && !watch.canceled);
    assert_int_equal(batch.count, 0);
    assert_true(etcd_watch_read(
        SPAN_LITERAL(
            "{\"result\":{" HEADER ",\"events\":[{\"kv\":{\"key\":\"L3QvYQ==\",\"create_revision\":"
            "\"2\",\"mod_revision\":\"3\",\"version\":\"1\",\"value\":\"aGVsbG8=\"}},{\"type\":"
            "\"DELETE\",\"kv\":{\"key\":\"L3QvYg==\",\"mod_revision\":\"4\"}},{\"type\":\"PUT\","
            "\"kv\":{\"key\":\"L3QvYg==\",\"mod_revision\":\"4\"}}]}}"),
        &watch, &batch));
    assert_int_equal(batch.count, 3);
    assert_string_equal(batch.changes[0].value, "hello");
    assert_null(batch.changes[1].value);
    assert_int_equal(batch.changes[1].revision, 4);
    assert_string_equal(batch.changes[2].value, "");
    fleet_batch_free(&batch);
    assert_true(etcd_watch_read(
        SPAN_LITERAL("{\"result\":{\"header\":{\"cluster_id\":\"3\"},\"canceled\":true,"
                     "\"compact_revision\":\"3\"}}"),
        &watch, &batch));
    assert_true(watch.canceled);
    assert_int_equal(watch.compact_revision, 3);
    assert_string_equal(watch.problem, "");
}

static void watch_errors(void **state)
{
    struct etcd_watch watch;
    struct fleet_batch batch = {0};
    (void)state;
    assert_true(
        etcd_watch_read(SPAN_LITERAL("{\"result\":{" HEADER ",\"canceled\":true,\"cancel_reason\":"
                                     "\"etcdserver: permission denied\"}}"),
                        &watch, &batch));
    assert_string_equal(watch.problem, "etcd ended the watch: etcdserver: permission denied");
    assert_true(
        etcd_watch_read(SPAN_LITERAL("{\"error\":{\"grpc_code\":14,\"http_code\":503,\"message\":"
                                     "\"etcdserver: no leader\\n\\u00e4\",\"http_status\":\"x\"}}"),
                        &watch, &batch));
    assert_string_equal(watch.problem, "etcdserver: no leader???"); /* printable ASCII only */
    static const char *const bad[] = {
        "",
        "{}",
        "{\"result\":7}",
        "{\"result\":{}}",
        "{\"result\":{" HEADER ",\"events\":{}}}",
        "{\"result\":{" HEADER ",\"events\":[7]}}",
        "{\"result\":{" HEADER
        ",\"events\":[{\"type\":\"MERGE\",\"kv\":{\"key\":\"L3Qv\",\"mod_revision\":\"3\"}}]}}",
        "{\"result\":{" HEADER
        ",\"events\":[{\"type\":1,\"kv\":{\"key\":\"L3Qv\",\"mod_revision\":\"3\"}}]}}",
        "{\"result\":{" HEADER ",\"created\":1}}",
        "{\"result\":{" HEADER ",\"canceled\":true,\"compact_revision\":\"x\"}}",
    };
    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++) {
        if (etcd_watch_read(span_from_string(bad[i]), &watch, &batch))
            fail_msg("taken: %s", bad[i]);
        fleet_batch_free(&batch);
    }
}

static void error_answers(void **state)
{
    char problem[FLEET_PROBLEM];
    (void)state;
    assert_int_equal(
        etcd_error_read(SPAN_LITERAL("{\"error\":\"etcdserver: mvcc: required revision has been "
                                     "compacted\",\"message\":\"etcdserver: mvcc: required "
                                     "revision has been compacted\",\"code\":11}"),
                        problem),
        11);
    assert_string_equal(problem, "etcdserver: mvcc: required revision has been compacted");
    assert_int_equal(etcd_error_read(SPAN_LITERAL("{\"error\":\"x\"}"), problem), -1);
    assert_string_equal(problem, "x");
    assert_int_equal(etcd_error_read(SPAN_LITERAL("{\"error\":{\"code\":\"y\"}}"), problem), -1);
    assert_string_equal(problem, "an error without words");
    assert_int_equal(
        etcd_error_read(SPAN_LITERAL("{\"code\":99999999999,\"message\":\"m\"}"), problem), -1);
    static const char *const strange[] = {"", "Not Found\n", "<html>", "[]", "{}", "\xff\xfe"};
    for (size_t i = 0; i < TG_ARRAY_LEN(strange); i++) {
        assert_int_equal(etcd_error_read(span_from_string(strange[i]), problem), -1);
        assert_string_equal(problem, "an answer that is not etcd's");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_vectors),
        cmocka_unit_test(base64_refusals),
        cmocka_unit_test(requests_are_as_etcd_takes_them),
        cmocka_unit_test(range_answers),
        cmocka_unit_test(strange_keys_are_shown_harmless),
        cmocka_unit_test(malformed_ranges_are_refused),
        cmocka_unit_test(txn_answers),
        cmocka_unit_test(watch_lines),
        cmocka_unit_test(watch_errors),
        cmocka_unit_test(error_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
