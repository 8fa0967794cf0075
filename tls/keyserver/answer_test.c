/* SPDX-License-Identifier: BSD-3-Clause
 * Tests of what the key server says to a request, and of what its audit log says about it.
 */
#include "tls/keyserver/answer.h"

#include "tls/keyserver/keyserver_lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define WALL ((uint64_t)1767225600 * TG_S + 123 * TG_MS) /* 2026-01-01 */

static struct setup *setup;
static struct answer answer;
static struct answer_asker asker;

/* edge1 may use two keys; edge2 everything, also what is old; edge3 five operations in all. */
static int setup_open(void **state)
{
    char top[256];
    unlink(lab_path("audit.jsonl"));
    snprintf(top, sizeof top, "audit = \"%s\";", lab_path("audit.jsonl"));
    setup = lab_setup(lab_config(
        top, "{ subject = \"CN=edge1\"; keys = [ \"ec.key\", \"rsa.key\" ]; },"
             "{ subject = \"CN=edge2\"; keys = [ \"*\" ]; decrypt = true; weak_hashes = true; },"
             "{ subject = \"CN=edge3\"; keys = [ \"*\" ]; rate = 1; burst = 5; }"));
    asker = (struct answer_asker){access_find(setup->access, "CN=edge1"), "192.0.2.1 port 5",
                                  100 * TG_S, WALL};
    return 0;
}

static int setup_shut(void **state)
{
    setup_destroy(setup);
    return 0;
}

static void ask_as(const char *client)
{
    asker.client = access_find(setup->access, client);
    assert_non_null(asker.client);
}

/* A request for a key, or for none (NULL), with an input as long as the opcode wants it. */
static void ask(uint8_t op, const char *key)
{
    const struct keymsg_op_info *info = keymsg_op_info(op);
    unsigned bytes = info ? keymsg_hash_bytes(info->hash) : 0;
    struct keymsg request = {.major = 1, .id = 4711, .op = op};
    request.payload = lab_input(bytes ? bytes : 20);
    if (key)
        lab_ski(key, request.ski);
    answer_make(setup, &asker, &request, &answer);
    assert_int_equal(answer.reply.id, 4711);
}

static void expect_error(enum keymsg_error error)
{
    assert_int_equal(answer.reply.op, KEYMSG_OP_ERROR);
    assert_int_equal(answer.reply.payload.len, 1);
    assert_int_equal(answer.reply.payload.data[0], error);
    assert_false(keymsg_has_ski(&answer.reply));
}

static void expect_signature(uint8_t op, const char *key)
{
    const struct keymsg_op_info *info = keymsg_op_info(op);
    unsigned bytes = keymsg_hash_bytes(info->hash);
    ask(op, key);
    assert_int_equal(answer.reply.op, KEYMSG_OP_RESULT);
    assert_true(lab_verify(key, info, lab_input(bytes ? bytes : 20), answer.reply.payload));
}

static void signs(void **state)
{
    expect_signature(KEYMSG_OP_ECDSA_SHA256, "ec.key");
    expect_signature(KEYMSG_OP_ECDSA_SHA512, "ec.key");
    expect_signature(KEYMSG_OP_RSA_SHA256, "rsa.key");
    expect_signature(KEYMSG_OP_RSA_PSS_SHA384, "rsa.key");
    ask_as("CN=edge2");
    expect_signature(KEYMSG_OP_ED25519, "ed.key");
    expect_signature(KEYMSG_OP_ECDSA_SHA384, "p384.pem");
    expect_signature(KEYMSG_OP_RSA_MD5_SHA1, "rsa.key");
    expect_signature(KEYMSG_OP_ECDSA_SHA1, "ec.key");
}

static void every_error(void **state)
{
    ask(KEYMSG_OP_ECDSA_SHA256, "rsa.key");
    expect_error(KEYMSG_ERROR_CRYPTO); /* wrong kind of key */
    ask(KEYMSG_OP_ECDSA_SHA256, "ed.key");
    expect_error(KEYMSG_ERROR_KEY_NOT_FOUND); /* there, but not for edge1 */
    ask(KEYMSG_OP_ECDSA_SHA256, NULL);
    expect_error(KEYMSG_ERROR_INTERNAL); /* no SKI */
    static const uint8_t bad[] = {0x00, 0x08, 0x09, 0x21, 0x22, 0x23, 0x24, 0x38, 0xee};
    for (unsigned i = 0; i < TG_ARRAY_LEN(bad); i++) {
        ask(bad[i], "ec.key");
        expect_error(KEYMSG_ERROR_BAD_OP);
    }
    static const uint8_t replies[] = {KEYMSG_OP_RESULT, KEYMSG_OP_PONG, KEYMSG_OP_ERROR};
    for (unsigned i = 0; i < TG_ARRAY_LEN(replies); i++) {
        ask(replies[i], "ec.key");
        expect_error(KEYMSG_ERROR_UNEXPECTED_OP);
    }
    struct keymsg request = {.major = 2, .op = KEYMSG_OP_PING};
    answer_make(setup, &asker, &request, &answer);
    expect_error(KEYMSG_ERROR_VERSION);
    request = (struct keymsg){.major = 1, .op = KEYMSG_OP_ECDSA_SHA256, .payload = lab_input(32)};
    memset(request.ski, 0x11, sizeof request.ski);
    answer_make(setup, &asker, &request, &answer);
    expect_error(KEYMSG_ERROR_KEY_NOT_FOUND); /* nobody's */
    lab_ski("ec.key", request.ski);
    request.payload = lab_input(31);
    answer_make(setup, &asker, &request, &answer);
    expect_error(KEYMSG_ERROR_CRYPTO); /* no digest of this hash */
}

/* Off unless the client's entry says so. */
static void decryption_and_weak_hashes(void **state)
{
    static const uint8_t off[] = {0x01, 0x02, 0x03, 0x04, 0x12, 0x13, 0x14};
    for (unsigned i = 0; i < TG_ARRAY_LEN(off); i++) {
        ask(off[i], off[i] < 0x10 ? "rsa.key" : "ec.key");
        expect_error(KEYMSG_ERROR_BAD_OP);
    }
    ask_as("CN=edge2");
    struct keymsg request = {.major = 1, .op = KEYMSG_OP_RSA_DECRYPT, .payload = lab_input(256)};
    lab_ski("rsa.key", request.ski);
    answer_make(setup, &asker, &request, &answer);
    assert_int_equal(answer.reply.op, KEYMSG_OP_RESULT);
    assert_int_equal(answer.reply.payload.len, 256);
}

static void pings_come_back(void **state)
{
    struct keymsg request = {.major = 1, .id = 9, .op = KEYMSG_OP_PING, .payload = lab_input(77)};
    answer_make(setup, &asker, &request, &answer);
    assert_int_equal(answer.reply.op, KEYMSG_OP_PONG);
    assert_int_equal(answer.reply.id, 9);
    assert_true(span_equal(answer.reply.payload, lab_input(77)));
}

/* Nonsense costs a token too; pings do not. */
static void over_the_rate(void **state)
{
    ask_as("CN=edge3");
    for (unsigned i = 0; i < 3; i++)
        expect_signature(KEYMSG_OP_ECDSA_SHA256, "ec.key");
    ask(0x77, "ec.key");
    ask(0x77, "ec.key");
    ask(KEYMSG_OP_ECDSA_SHA256, "ec.key");
    expect_error(KEYMSG_ERROR_INTERNAL);
    struct keymsg ping = {.major = 1, .op = KEYMSG_OP_PING};
    answer_make(setup, &asker, &ping, &answer);
    assert_int_equal(answer.reply.op, KEYMSG_OP_PONG);
    for (unsigned i = 0; i < 100; i++)
        ask(KEYMSG_OP_ECDSA_SHA256, "ec.key");
    expect_error(KEYMSG_ERROR_INTERNAL);
    asker.now += TG_S;
    expect_signature(KEYMSG_OP_ECDSA_SHA256, "ec.key");
    ask(KEYMSG_OP_ECDSA_SHA256, "ec.key");
    audit_flush(&setup->audit, asker.now);
    char *log = lab_read("audit.jsonl");
    unsigned lines = 0; /* 4 signatures, 2 bad opcodes, and two lines for 102 refusals */
    for (const char *p = log; (p = strchr(p, '\n')); p++)
        lines++;
    assert_int_equal(lines, 8);
    assert_non_null(strstr(log, "\"why\":\"over the rate\",\"count\":101}"));
    free(log);
}

static void audit_lines(void **state)
{
    static const uint8_t visitor[4] = {198, 51, 100, 7};
    struct keymsg request = {.major = 1,
                             .op = KEYMSG_OP_ECDSA_SHA256,
                             .payload = lab_input(32),
                             .sni = SPAN_LITERAL("shop.example\"\n\x80"),
                             .client_ip = span_make(visitor, 4)};
    uint8_t ski[KEYMSG_SKI_BYTES];
    char hex[2 * KEYMSG_SKI_BYTES + 1], wanted[512];
    lab_ski("ec.key", ski);
    for (unsigned i = 0; i < sizeof ski; i++)
        snprintf(hex + 2 * i, 3, "%02x", ski[i]);
    memcpy(request.ski, ski, sizeof ski);
    answer_make(setup, &asker, &request, &answer);
    ask(KEYMSG_OP_ED25519, "ed.key");
    audit_flush(&setup->audit, asker.now);
    char *log = lab_read("audit.jsonl");
    int n = snprintf(wanted, sizeof wanted,
                     "{\"time\":\"2026-01-01T00:00:00.123Z\",\"client\":\"CN=edge1\","
                     "\"peer\":\"192.0.2.1 port 5\",\"op\":\"ecdsa-sha256\",\"key\":\"ec.key\","
                     "\"ski\":\"%s\",\"sni\":\"shop.example\\u0022\\u000a\\u0080\","
                     "\"visitor\":\"198.51.100.7\",\"result\":\"ok\"}\n",
                     hex);
    assert_memory_equal(log, wanted, (size_t)n);
    assert_non_null(
        strstr(log + n, "\"result\":\"key not found\",\"why\":\"not this client's key\"}"));
    free(log);
}

/* A full disk loses lines, is told, and does not stop anybody. */
static void audit_that_cannot_be_written(void **state)
{
    int kept = setup->audit.fd;
    setup->audit.fd = dup(kept);
    close(setup->audit.fd);             /* write(2) fails from now on */
    for (unsigned i = 0; i < 1000; i++) /* more than the buffer holds */
        ask(0x77, NULL);
    expect_signature(KEYMSG_OP_ECDSA_SHA256, "ec.key");
    audit_flush(&setup->audit, asker.now);
    assert_int_equal(setup->audit.lost, 0); /* told on stderr, counted anew */
    assert_true(setup->audit.told_at == asker.now);
    expect_signature(KEYMSG_OP_ECDSA_SHA256, "ec.key");
    audit_flush(&setup->audit, asker.now);
    assert_int_equal(setup->audit.lost, 1);
    setup->audit.fd = kept;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup_open, setup_shut)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(signs),
        TEST(every_error),
        TEST(decryption_and_weak_hashes),
        TEST(pings_come_back),
        TEST(over_the_rate),
        TEST(audit_lines),
        TEST(audit_that_cannot_be_written),
    };
    return cmocka_run_group_tests(tests, lab_set_up, lab_tear_down);
}
