/* SPDX-License-Identifier: BSD-3-Clause
 * Tests of the packets between edge and key server: golden bytes for every opcode, properties over
 * random packets, and what a hostile peer may send.
 */
#include "tls/keymsg.h"

#include "base/hash.h"
#include "tls/keymsg_golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

static uint8_t room[KEYMSG_PACKET_MAX + 8];

/* Bytes of a hex text into out; returns how many. */
static size_t unhex(const char *hex, uint8_t *out)
{
    size_t n = strlen(hex) / 2;
    for (size_t i = 0; i < n; i++) {
        const char digits[3] = {hex[2 * i], hex[2 * i + 1], 0};
        out[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return n;
}

static void ski_fill(uint8_t ski[KEYMSG_SKI_BYTES])
{
    for (unsigned i = 0; i < KEYMSG_SKI_BYTES; i++)
        ski[i] = (uint8_t)(0xa0 + i);
}

static struct span encode(const struct keymsg *m)
{
    struct span_writer w = span_writer_make(room, sizeof room);
    assert_int_equal(keymsg_encode(m, &w), TG_OK);
    assert_int_equal(w.len, keymsg_encoded_bytes(m));
    return span_writer_span(&w);
}

/* The packet is these bytes, then zeros up to 1024. */
static void expect_golden(struct span packet, const char *hex)
{
    uint8_t bytes[512];
    assert_true(strlen(hex) / 2 < sizeof bytes);
    size_t n = unhex(hex, bytes);
    assert_int_equal(packet.len, 1024);
    assert_memory_equal(packet.data, bytes, n);
    for (size_t i = n; i < packet.len; i++)
        assert_int_equal(packet.data[i], 0);
}

static void expect_equal(const struct keymsg *a, const struct keymsg *b)
{
    const struct span *x = &a->payload, *y = &b->payload;
    assert_int_equal(a->id, b->id);
    assert_int_equal(a->op, b->op);
    assert_int_equal(a->region, b->region);
    assert_memory_equal(a->ski, b->ski, sizeof a->ski);
    static_assert(offsetof(struct keymsg, context) - offsetof(struct keymsg, payload) ==
                      9 * sizeof(struct span),
                  "the spans lie behind one another");
    for (unsigned i = 0; i < 10; i++)
        assert_true(span_equal(x[i], y[i]));
}

static void golden_packet_of_every_opcode(void **state)
{
    uint8_t payload[64], error = KEYMSG_ERROR_KEY_NOT_FOUND;
    bool known[256] = {false};
    for (unsigned i = 0; i < sizeof payload; i++)
        payload[i] = (uint8_t)(i + 1);
    for (unsigned i = 0; i < TG_ARRAY_LEN(goldens); i++) {
        const struct golden *g = &goldens[i];
        struct keymsg m = {.id = 0x01020300u + g->op, .op = g->op}, back;
        m.payload = span_make(g->op == KEYMSG_OP_ERROR ? &error : payload, g->payload_bytes);
        if (g->ski)
            ski_fill(m.ski);
        struct span packet = encode(&m);
        expect_golden(packet, g->hex);
        assert_int_equal(keymsg_decode(packet, &back), TG_OK);
        assert_int_equal(back.major, 1);
        assert_int_equal(back.minor, 0);
        assert_int_equal(keymsg_has_ski(&back), g->ski);
        expect_equal(&m, &back);
        known[g->op] = true;
    }
    for (unsigned op = 0; op < 256; op++) /* none is forgotten, none invented */
        assert_int_equal(known[op], keymsg_op_info((uint8_t)op) != NULL);
}

static void golden_packet_with_every_item(void **state)
{
    uint8_t digest[32];
    static const uint8_t ip4[4] = {192, 0, 2, 7};
    static const uint8_t ip6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
    for (unsigned i = 0; i < sizeof digest; i++)
        digest[i] = (uint8_t)i;
    struct keymsg back, m = {.id = 0xfffefdfc,
                             .op = KEYMSG_OP_CUSTOM,
                             .region = 1,
                             .payload = SPAN_LITERAL("pay"),
                             .extra = SPAN_LITERAL("more"),
                             .digest = span_make(digest, 32),
                             .sni = SPAN_LITERAL("shop.example"),
                             .client_ip = span_make(ip4, 4),
                             .server_ip = span_make(ip6, 16),
                             .certificate_id = SPAN_LITERAL("cert-1"),
                             .function = SPAN_LITERAL("fn"),
                             .trace = SPAN_LITERAL("span"),
                             .context = SPAN_LITERAL("{\"request_id\":\"7\"}")};
    ski_fill(m.ski);
    struct span packet = encode(&m);
    expect_golden(packet, golden_all);
    assert_int_equal(keymsg_decode(packet, &back), TG_OK);
    expect_equal(&m, &back);
}

/* 8 (header) + 4 (opcode) + 3 + payload, then 3 + zeros: 1024 wherever that is possible. */
static void padding_at_its_edges(void **state)
{
    static const struct {
        size_t payload, packet;
    } cases[] = {{0, 1024},    {1, 1024},    {1005, 1024}, {1006, 1024}, {1007, 1025},
                 {1008, 1026}, {1009, 1024}, {1010, 1025}, {5000, 5015}};
    static const uint8_t bytes[5000];
    for (unsigned i = 0; i < TG_ARRAY_LEN(cases); i++) {
        struct keymsg back,
            m = {.op = KEYMSG_OP_PING, .payload = span_make(bytes, cases[i].payload)};
        struct span packet = encode(&m);
        assert_int_equal(packet.len, cases[i].packet);
        assert_int_equal(keymsg_decode(packet, &back), TG_OK);
        assert_int_equal(back.payload.len, cases[i].payload);
    }
}

static void opcode_table(void **state)
{
    assert_int_equal(keymsg_op_find(KEYMSG_KIND_ECDSA, KEYMSG_HASH_SHA256), 0x15);
    assert_int_equal(keymsg_op_find(KEYMSG_KIND_RSA_PSS, KEYMSG_HASH_SHA512), 0x37);
    assert_int_equal(keymsg_op_find(KEYMSG_KIND_RSA_PKCS1, KEYMSG_HASH_SHA384), 0x06);
    assert_int_equal(keymsg_op_find(KEYMSG_KIND_ED25519, KEYMSG_HASH_NONE), 0x18);
    assert_int_equal(keymsg_op_find(KEYMSG_KIND_DECRYPT_RSA, KEYMSG_HASH_NONE), 0x01);
    assert_int_equal(keymsg_op_find(KEYMSG_KIND_RSA_PSS, KEYMSG_HASH_SHA1), 0);
    assert_int_equal(keymsg_op_find(KEYMSG_KIND_ECDSA, KEYMSG_HASH_NONE), 0);
    assert_int_equal(keymsg_op_find(KEYMSG_KIND_PING, KEYMSG_HASH_NONE), 0);
    assert_int_equal(keymsg_hash_bytes(keymsg_op_info(0x02)->hash), 36);
    assert_int_equal(keymsg_hash_bytes(keymsg_op_info(0x37)->hash), 64);
    assert_int_equal(keymsg_hash_bytes((enum keymsg_hash)99), 0);
    assert_null(keymsg_op_info(0));
    for (unsigned error = 0; error < 256; error++)
        assert_true(strlen(keymsg_error_text((uint8_t)error)) > 4);
    assert_string_equal(keymsg_error_text(0x0B), "remote configuration");
    assert_string_equal(keymsg_error_text(0x0C), "unknown error");
}

static void length_of_what_arrives(void **state)
{
    static const uint8_t header[8] = {1, 0, 0xff, 0xfe, 0, 0, 0, 1};
    size_t len = 0;
    for (size_t n = 0; n < sizeof header; n++)
        assert_int_equal(keymsg_length(span_make(header, n), &len), TG_AGAIN);
    assert_int_equal(keymsg_length(span_make(header, 8), &len), TG_OK);
    assert_int_equal(len, 8 + 0xfffe);
}

/* Decode a body given as hex. */
static enum tg_err decode_body(const char *hex, struct keymsg *m)
{
    uint8_t bytes[512] = {1, 0, 0, 0, 0, 0, 0, 9};
    size_t n = unhex(hex, bytes + 8);
    bytes[2] = (uint8_t)(n >> 8);
    bytes[3] = (uint8_t)n;
    uint8_t *copy = malloc(8 + n); /* exact, so that the sanitizer sees a read past the end */
    assert_non_null(copy);
    memcpy(copy, bytes, 8 + n);
    enum tg_err err = keymsg_decode(span_make(copy, 8 + n), m);
    free(copy);
    return err;
}

static void malformed_packets(void **state)
{
    static const char *const bad[] = {
        "110001f1110001f1", /* opcode twice */
        "120000120000",     /* empty payload twice */
        "200000200000",     /* padding twice */
        "110002f1f1",       /* opcode of two bytes */
        "110000",           /* of none */
        "0300050102030405", /* address of 5 bytes */
        "030000",           /* of none */
        "05000f000102030405060708090a0b0c0d0e",
        "170002ffff",     /* region of two bytes */
        "110001f1120001", /* payload past the end */
        "12ffff00",       /* far past the end */
        "990001",         /* an unknown one too */
    };
    struct keymsg m;
    for (unsigned i = 0; i < TG_ARRAY_LEN(bad); i++)
        assert_int_equal(decode_body(bad[i], &m), TG_BAD_INPUT);
}

static void tolerated_packets(void **state)
{
    struct keymsg m;
    assert_int_equal(decode_body("", &m), TG_OK);
    assert_int_equal(m.op, 0);
    assert_int_equal(m.id, 9);
    assert_int_equal(decode_body("110001f1ff", &m), TG_OK); /* trailing bytes */
    assert_int_equal(m.op, 0xf1);
    assert_int_equal(decode_body("110001f1ffff", &m), TG_OK);
    assert_int_equal(decode_body("99000155990001561100010199000157", &m), TG_OK); /* unknown */
    assert_int_equal(m.op, 0x01);
    assert_int_equal(decode_body("040003aabbcc", &m), TG_OK); /* no SKI at all */
    assert_false(keymsg_has_ski(&m));
    assert_int_equal(decode_body("0100021122", &m), TG_OK); /* no digest */
    assert_int_equal(m.digest.len, 0);
    assert_int_equal(decode_body("0200000600001200001400001300001500001600002000020102", &m),
                     TG_OK);
    assert_int_equal(m.payload.len, 0);
}

static void packet_of_another_length(void **state)
{
    struct keymsg m = {.op = KEYMSG_OP_PING}, back;
    struct span packet = encode(&m);
    for (size_t n = 0; n < packet.len; n++)
        assert_int_equal(keymsg_decode(span_make(packet.data, n), &back), TG_BAD_INPUT);
    assert_int_equal(keymsg_decode(span_make(packet.data, packet.len + 1), &back), TG_BAD_INPUT);
    assert_int_equal(keymsg_decode(SPAN_EMPTY, &back), TG_BAD_INPUT);
}

/* What cannot be written leaves the writer as it was. */
static void refused_to_write(void **state)
{
    static const uint8_t bytes[70000];
    struct span_writer w = span_writer_make(room, 2000);
    struct keymsg m = {.op = KEYMSG_OP_PING, .payload = span_make(bytes, 65529)};
    assert_int_equal(keymsg_encode(&m, &w), TG_TOO_BIG); /* one byte over the body's limit */
    m.payload.len = 65528;
    assert_int_equal(keymsg_encode(&m, &w), TG_TOO_BIG); /* over the room */
    m.payload.len = 3000;
    assert_int_equal(keymsg_encode(&m, &w), TG_TOO_BIG);
    m.payload.len = 70000;
    assert_int_equal(keymsg_encode(&m, &w), TG_TOO_BIG);
    m.payload.len = 1;
    m.client_ip = span_make(bytes, 5);
    assert_int_equal(keymsg_encode(&m, &w), TG_BAD_INPUT);
    m.client_ip = SPAN_EMPTY;
    m.digest = span_make(bytes, 31);
    assert_int_equal(keymsg_encode(&m, &w), TG_BAD_INPUT);
    assert_true(w.ok);
    assert_int_equal(w.len, 0);
    m.digest = SPAN_EMPTY;
    assert_int_equal(keymsg_encode(&m, &w), TG_OK);
    assert_int_equal(keymsg_encode(&m, &w), TG_TOO_BIG); /* no room for a second one */
    assert_true(w.ok);
    assert_int_equal(w.len, 1024);
}

static void largest_packet(void **state)
{
    static uint8_t bytes[65528];
    memset(bytes, 0x5a, sizeof bytes);
    struct keymsg back, m = {.op = KEYMSG_OP_PING, .payload = span_make(bytes, sizeof bytes)};
    struct span packet = encode(&m);
    assert_int_equal(packet.len, KEYMSG_PACKET_MAX);
    size_t len;
    assert_int_equal(keymsg_length(packet, &len), TG_OK);
    assert_int_equal(len, packet.len);
    assert_int_equal(keymsg_decode(packet, &back), TG_OK);
    expect_equal(&m, &back);
}

/* --- properties -------------------------------------------------------------------------------- */

static uint8_t pattern[4096];

static struct span random_span(struct prng *random)
{
    size_t max = prng_below(random, 4) ? 40 : 900;
    return prng_below(random, 2)
               ? span_make(pattern + prng_below(random, 64), prng_below(random, max))
               : SPAN_EMPTY;
}

static void random_message(struct prng *random, struct keymsg *m)
{
    *m = (struct keymsg){.id = (uint32_t)prng_next(random),
                         .op = (uint8_t)prng_next(random),
                         .region = (uint8_t)prng_below(random, 2),
                         .payload = random_span(random),
                         .extra = random_span(random),
                         .sni = random_span(random),
                         .certificate_id = random_span(random),
                         .function = random_span(random),
                         .trace = random_span(random),
                         .context = random_span(random)};
    static const size_t addresses[3] = {0, 4, 16};
    m->client_ip = span_make(pattern, addresses[prng_below(random, 3)]);
    m->server_ip = span_make(pattern + 9, addresses[prng_below(random, 3)]);
    m->digest = span_make(pattern + 5, prng_below(random, 2) ? 32 : 0);
    if (prng_below(random, 2))
        memcpy(m->ski, pattern + prng_below(random, 256), sizeof m->ski);
}

/* Split a packet's items, put them in another order, with unknown ones between them: the same
 * meaning. */
static void shuffled(struct prng *random, struct span packet, const struct keymsg *m)
{
    static uint8_t out[KEYMSG_PACKET_MAX];
    struct span items[32];
    unsigned count = 0;
    struct span_writer w = span_writer_make(out, sizeof out);
    struct keymsg back;
    for (size_t at = 8; at + 3 <= packet.len;) {
        size_t len = 3 + (size_t)(packet.data[at + 1] << 8 | packet.data[at + 2]);
        items[count++] = span_slice(packet, at, len);
        at += len;
    }
    span_write(&w, packet.data, 8);
    while (count > 0) {
        unsigned i = (unsigned)prng_below(random, count);
        span_write_span(&w, items[i]);
        items[i] = items[--count];
        if (prng_below(random, 3) == 0)
            span_write(&w, "\x77\x00\x02zz", 5);
    }
    assert_true(w.ok && w.len - 8 <= KEYMSG_BODY_MAX);
    out[2] = (uint8_t)((w.len - 8) >> 8);
    out[3] = (uint8_t)(w.len - 8);
    assert_int_equal(keymsg_decode(span_writer_span(&w), &back), TG_OK);
    expect_equal(m, &back);
}

static void what_is_written_is_read(void **state)
{
    struct prng random;
    prng_seed(&random, 20261001);
    for (unsigned i = 0; i < sizeof pattern; i++)
        pattern[i] = (uint8_t)(prng_next(&random) | 1);
    for (unsigned i = 0; i < 20000; i++) {
        struct keymsg m, back;
        random_message(&random, &m);
        struct span packet = encode(&m);
        size_t len;
        assert_true(packet.len >= KEYMSG_PADDED_BYTES);
        assert_int_equal(keymsg_length(packet, &len), TG_OK);
        assert_int_equal(len, packet.len);
        assert_int_equal(keymsg_decode(packet, &back), TG_OK);
        expect_equal(&m, &back);
        shuffled(&random, packet, &m);
    }
}

/* One changed byte never makes the decoder read outside, and what it accepts it can write again. */
static void changed_bytes(void **state)
{
    struct prng random;
    prng_seed(&random, 7);
    static uint8_t again[2 * KEYMSG_PACKET_MAX];
    unsigned refused = 0;
    for (unsigned i = 0; i < 20000; i++) {
        struct keymsg m, back;
        random_message(&random, &m);
        struct span packet = encode(&m);
        room[prng_below(&random, packet.len)] ^= (uint8_t)(1 + prng_below(&random, 255));
        if (keymsg_decode(packet, &back) != TG_OK) {
            refused++;
            continue;
        }
        struct span_writer w = span_writer_make(again, sizeof again);
        struct keymsg third;
        assert_int_equal(keymsg_encode(&back, &w), TG_OK);
        assert_int_equal(keymsg_decode(span_writer_span(&w), &third), TG_OK);
        expect_equal(&back, &third);
    }
    assert_in_range(refused, 100, 10000); /* both happen */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_packet_of_every_opcode),
        cmocka_unit_test(golden_packet_with_every_item),
        cmocka_unit_test(padding_at_its_edges),
        cmocka_unit_test(opcode_table),
        cmocka_unit_test(length_of_what_arrives),
        cmocka_unit_test(malformed_packets),
        cmocka_unit_test(tolerated_packets),
        cmocka_unit_test(packet_of_another_length),
        cmocka_unit_test(refused_to_write),
        cmocka_unit_test(largest_packet),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(changed_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
