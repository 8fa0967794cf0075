/* SPDX-License-Identifier: BSD-3-Clause
 * Fuzz target: a TLS server connection under a hostile client, in any cuts. Either the input is the
 * client's stream, or it says how the stream of a real client is mangled on its way, so that
 * records behind the handshake are reached too. With keys at home or elsewhere (answered, refused,
 * abandoned).
 *
 *   byte 0      flags: below
 *   byte 1      cut: bytes given to one tls_feed, 0: all
 *   byte 2      bytes asked of one tls_read, less one
 *   the rest    FUZZ_REAL: changes of 4 bytes {offset low, high, what, value}; else the stream
 */
#include "tls/tls_random.h"
#include "tls/tls_test_certs.h"
#include "tls/tls_test_link.h"

enum {
    FUZZ_REAL = 1,     /* a real client, its stream changed */
    FUZZ_TLS12 = 2,    /* it speaks TLS 1.2 */
    FUZZ_REMOTE = 4,   /* the key lies elsewhere */
    FUZZ_REFUSE = 8,   /* ... and the operation fails */
    FUZZ_ABANDON = 16, /* ... or is never answered */
    FUZZ_EARLY = 32,   /* the set accepts 0-RTT */
    FUZZ_SEED = 4242,
    FUZZ_TEXT = 3000, /* bytes that the real client sends */
};

static struct test_certificate certificate;
static struct tls_set *sets[2][2]; /* remote, early */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    tg_assert(tls_start() == TG_OK);
    random_seed_set(FUZZ_SEED);
    test_certificate_make(&certificate, TEST_KEY_P256, "DNS:a.example", NULL);
    for (unsigned i = 0; i < 4; i++) {
        struct tls_policy policy = {.alpn_http1 = true,
                                    .tls12 = true,
                                    .early_data_max = i & 1 ? 16384 : 0,
                                    .random_seed = FUZZ_SEED};
        struct tls_certificate c =
            test_certificate_publish(&certificate, SPAN_LITERAL("a.example"), true);
        if (i & 2)
            c.key_pem = SPAN_EMPTY;
        unsigned bad;
        char problem[256];
        tg_assert(tls_set_create(&c, 1, &policy, &sets[i >> 1][i & 1], &bad, problem) == TG_OK);
    }
    return 0;
}

/* The key operation that is out, if any: answered, refused, or left alone. */
static void key_answer(struct test_end *end, uint8_t flags)
{
    struct tls_key_op op;
    uint8_t signature[TEST_SIGNATURE_MAX];
    if (flags & FUZZ_ABANDON || tls_key_op(end->conn, &op) != TG_OK)
        return;
    tg_assert(op.kind == TLS_KEY_SIGN_ECDSA && op.id != 0);
    size_t len = test_certificate_sign(&certificate, 1, &op, signature);
    end->last = tls_key_done(end->conn, op.id, span_make(signature, flags & FUZZ_REFUSE ? 0 : len));
    tg_assert(end->last != TG_WANT_KEY);
    tg_assert(tls_key_done(end->conn, op.id, SPAN_EMPTY) == TG_STALE);
}

/* Change the piece of the client's stream that starts at `offset` and lies at the end of `in`. */
static void stream_mangle(struct test_bytes *in, size_t piece, size_t offset, struct span changes)
{
    for (; changes.len >= 4; changes = span_slice(changes, 4, SIZE_MAX)) {
        size_t at = (size_t)changes.data[0] | (size_t)changes.data[1] << 8;
        uint8_t what = changes.data[2], value = changes.data[3];
        if (at < offset || at - offset >= piece)
            continue;
        uint8_t *byte = in->data + in->len - piece + (at - offset);
        if (what % 4 == 0)
            *byte ^= value;
        else if (what % 4 == 1)
            *byte = value;
        else if (what % 4 == 2) /* the rest of the piece is lost */
            in->len -= piece - (at - offset);
        else /* noise behind it */
            test_bytes_add(in, changes.data, changes.len);
        if (what % 4 >= 2)
            return;
    }
}

static void end_check(const struct test_end *end)
{
    tg_assert(tls_pending_out(end->conn) <= 98304 + 17 * 1024);
    tg_assert(!tls_handshake_done(end->conn) || end->last != TG_BAD_INPUT);
}

/* A real client: handshake, text, close_notify, all of it through stream_mangle. */
static void real_client(struct test_end *end, uint8_t flags, struct span changes)
{
    static uint8_t text[FUZZ_TEXT];
    struct test_peer peer;
    struct test_bytes back = {0};
    size_t offset = 0, moved;
    bool written = false;
    test_peer_make(&peer, &(struct test_peer_options){
                              .version = flags & FUZZ_TLS12 ? TLS1_2_VERSION : TLS1_3_VERSION,
                              .server_name = "a.example",
                              .alpn = "\x08http/1.1"});
    do {
        test_peer_turn(&peer);
        if (!written && SSL_is_init_finished(peer.ssl)) {
            test_peer_write(&peer, text, sizeof text);
            SSL_shutdown(peer.ssl);
            written = true;
        }
        size_t piece = test_peer_drain(&peer, &end->in);
        stream_mangle(&end->in, piece, offset, changes);
        offset += piece;
        test_end_turn(end);
        key_answer(end, flags);
        end_check(end);
        moved = piece + test_end_drain(end, &back, SIZE_MAX);
        test_peer_feed(&peer, test_bytes_span(&back));
        back.at = back.len;
    } while (moved);
    tg_assert(end->got.len <= sizeof text); /* nothing but what the client sent */
    tg_assert(end->got.len == 0 || memcmp(end->got.data, text, end->got.len) == 0);
    if (changes.len < 4 && !(flags & (FUZZ_REFUSE | FUZZ_ABANDON)))
        tg_assert(end->got.len == sizeof text && end->last == TG_END);
    test_bytes_free(&back);
    test_peer_free(&peer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    uint8_t flags = data[0];
    struct span rest = span_make(data + 3, size - 3);
    struct test_end end = {.cut = data[1], .read_max = (size_t)data[2] + 1, .now_s = 1700000000};
    random_seed_set(FUZZ_SEED);
    tg_assert(tls_accept(sets[flags & FUZZ_REMOTE ? 1 : 0][flags & FUZZ_EARLY ? 1 : 0], NULL,
                         &end.conn) == TG_OK);
    if (flags & FUZZ_REAL) {
        real_client(&end, flags, rest);
    } else {
        test_bytes_add(&end.in, rest.data, rest.len);
        test_end_turn(&end);
        key_answer(&end, flags);
        test_end_turn(&end);
        end_check(&end);
        tg_assert(end.got.len == 0 && !tls_handshake_done(end.conn));
        tls_shutdown(end.conn);
    }
    test_end_free(&end);
    return 0;
}
