/* SPDX-License-Identifier: BSD-3-Clause
 * Packets between an edge and a key server: the wire format, byte by byte, and its codec. Called by
 * the proxy (which asks), by tidegate-keyserver (which answers), by tests. It must not know sockets,
 * TLS or keys. Floor 2: base only.
 *
 * Source: facts of Cloudflare's keyless protocol 1.0 as seen on the wire (no line of its code). The
 * packets travel inside mutually authenticated TLS over TCP, port 2407. Whoever asks chooses the id,
 * the answer carries it back; answers come in any order.
 *
 *   byte 0     major version, 0x01
 *   byte 1     minor version, 0x00
 *   byte 2-3   length of the body, big endian, 0..65535
 *   byte 4-7   id, big endian
 *   byte 8-    body: items, one after the other
 *
 *   item byte 0    tag (enum keymsg_tag)
 *        byte 1-2  length of the data, big endian
 *        byte 3-   data
 *
 * Items come in any order; we write them as the reference does: 11 12 14 04 01 03 05 02 06 13 15 16
 * 17 20. An item whose tag nobody knows is skipped. One or two bytes behind the last item are
 * ignored. A known tag twice, a length beyond the end, a fixed length that is not kept: the packet
 * is malformed, and who receives it closes the connection without an answer.
 *
 * A packet of fewer than 1024 bytes is padded with a last item 0x20 of 1024 - (8 + body + 3) zeros,
 * at least none: so that nearly all packets have 1024 bytes, and the few with a body that leaves one
 * or two bytes have 1025 or 1026. The other ones are not padded.
 */
#ifndef TLS_KEYMSG_H
#define TLS_KEYMSG_H

#include "base/result.h"
#include "base/span.h"

#define KEYMSG_PORT         2407
#define KEYMSG_MAJOR        1
#define KEYMSG_MINOR        0
#define KEYMSG_HEADER_BYTES 8
#define KEYMSG_ITEM_BYTES   3 /* tag and length */
#define KEYMSG_BODY_MAX     65535
#define KEYMSG_PACKET_MAX   (KEYMSG_HEADER_BYTES + KEYMSG_BODY_MAX)
#define KEYMSG_PADDED_BYTES 1024
#define KEYMSG_SKI_BYTES    20
#define KEYMSG_DIGEST_BYTES 32
/* What the reference server holds its peers to. */
#define KEYMSG_IDLE_MS_MAX     30000 /* a silent connection is closed: ping at least every 10 s */
#define KEYMSG_OUTSTANDING_MAX 1024  /* requests of one connection; beyond it nothing is read */

enum keymsg_tag {
    /* 32 B: SHA-256 of the RSA modulus in upper-case hex; any other length counts as absent */
    KEYMSG_TAG_DIGEST = 0x01,
    KEYMSG_TAG_SNI = 0x02,       /* host name that the client asked for */
    KEYMSG_TAG_CLIENT_IP = 0x03, /* 4 or 16 B */
    /* 20 B: which key. SHA-1 of the public key's bits (RFC 5280 s4.2.1.2, method 1); any other
     * length counts as absent */
    KEYMSG_TAG_SKI = 0x04,
    KEYMSG_TAG_SERVER_IP = 0x05, /* 4 or 16 B */
    KEYMSG_TAG_CERTIFICATE_ID = 0x06,
    KEYMSG_TAG_OP = 0x11,       /* 1 B: enum keymsg_op */
    KEYMSG_TAG_PAYLOAD = 0x12,  /* digest, message or ciphertext; in answers the result */
    KEYMSG_TAG_FUNCTION = 0x13, /* its name, with opcode 0x24 */
    KEYMSG_TAG_EXTRA = 0x14,
    KEYMSG_TAG_TRACE = 0x15,   /* Jaeger span context */
    KEYMSG_TAG_CONTEXT = 0x16, /* JSON object */
    KEYMSG_TAG_REGION = 0x17,  /* 1 B: compliance region */
    KEYMSG_TAG_PADDING = 0x20, /* zeros; nobody looks at them */
};

/* What an opcode is about. */
enum keymsg_kind {
    KEYMSG_KIND_DECRYPT_RSA, /* raw: the result has the modulus's size, its padding is not removed */
    KEYMSG_KIND_RSA_PKCS1,   /* EMSA-PKCS1-v1_5 of a digest; result: modulus's size, big endian */
    KEYMSG_KIND_RSA_PSS, /* salt as long as the digest, MGF1 with the same hash; result the same */
    KEYMSG_KIND_ECDSA,   /* of a digest; result: DER of Ecdsa-Sig-Value, as TLS wants it */
    KEYMSG_KIND_ED25519, /* of a whole message; result: 64 bytes */
    KEYMSG_KIND_OTHER,   /* a request that only some servers know; ours answers bad opcode */
    KEYMSG_KIND_PING,
    KEYMSG_KIND_REPLY, /* only in answers */
};

enum keymsg_hash {
    KEYMSG_HASH_NONE,
    KEYMSG_HASH_MD5_SHA1,
    KEYMSG_HASH_SHA1,
    KEYMSG_HASH_SHA224,
    KEYMSG_HASH_SHA256,
    KEYMSG_HASH_SHA384,
    KEYMSG_HASH_SHA512,
    KEYMSG_HASH_COUNT
};

/* The digest's length in bytes; 0: none. */
static inline unsigned keymsg_hash_bytes(enum keymsg_hash hash)
{
    static const uint8_t bytes[KEYMSG_HASH_COUNT] = {0, 36, 20, 28, 32, 48, 64};
    return (unsigned)hash < KEYMSG_HASH_COUNT ? bytes[hash] : 0;
}

/*            name                       value  kind         hash      text */
#define KEYMSG_OPS(X)                                                                              \
    X(KEYMSG_OP_RSA_DECRYPT, 0x01, DECRYPT_RSA, NONE, "rsa-decrypt")                               \
    X(KEYMSG_OP_RSA_MD5_SHA1, 0x02, RSA_PKCS1, MD5_SHA1, "rsa-md5sha1")                            \
    X(KEYMSG_OP_RSA_SHA1, 0x03, RSA_PKCS1, SHA1, "rsa-sha1")                                       \
    X(KEYMSG_OP_RSA_SHA224, 0x04, RSA_PKCS1, SHA224, "rsa-sha224")                                 \
    X(KEYMSG_OP_RSA_SHA256, 0x05, RSA_PKCS1, SHA256, "rsa-sha256")                                 \
    X(KEYMSG_OP_RSA_SHA384, 0x06, RSA_PKCS1, SHA384, "rsa-sha384")                                 \
    X(KEYMSG_OP_RSA_SHA512, 0x07, RSA_PKCS1, SHA512, "rsa-sha512")                                 \
    X(KEYMSG_OP_RSA_DECRYPT_OLD, 0x08, OTHER, NONE, "rsa-decrypt-old")                             \
    X(KEYMSG_OP_ECDSA_MD5_SHA1, 0x12, ECDSA, MD5_SHA1, "ecdsa-md5sha1")                            \
    X(KEYMSG_OP_ECDSA_SHA1, 0x13, ECDSA, SHA1, "ecdsa-sha1")                                       \
    X(KEYMSG_OP_ECDSA_SHA224, 0x14, ECDSA, SHA224, "ecdsa-sha224")                                 \
    X(KEYMSG_OP_ECDSA_SHA256, 0x15, ECDSA, SHA256, "ecdsa-sha256")                                 \
    X(KEYMSG_OP_ECDSA_SHA384, 0x16, ECDSA, SHA384, "ecdsa-sha384")                                 \
    X(KEYMSG_OP_ECDSA_SHA512, 0x17, ECDSA, SHA512, "ecdsa-sha512")                                 \
    X(KEYMSG_OP_ED25519, 0x18, ED25519, NONE, "ed25519")                                           \
    X(KEYMSG_OP_SEAL, 0x21, OTHER, NONE, "seal")                                                   \
    X(KEYMSG_OP_UNSEAL, 0x22, OTHER, NONE, "unseal")                                               \
    X(KEYMSG_OP_RPC, 0x23, OTHER, NONE, "rpc")                                                     \
    X(KEYMSG_OP_CUSTOM, 0x24, OTHER, NONE, "custom")                                               \
    X(KEYMSG_OP_RSA_PSS_SHA256, 0x35, RSA_PSS, SHA256, "rsa-pss-sha256")                           \
    X(KEYMSG_OP_RSA_PSS_SHA384, 0x36, RSA_PSS, SHA384, "rsa-pss-sha384")                           \
    X(KEYMSG_OP_RSA_PSS_SHA512, 0x37, RSA_PSS, SHA512, "rsa-pss-sha512")                           \
    X(KEYMSG_OP_RESULT, 0xF0, REPLY, NONE, "result") /* payload: the result */                     \
    X(KEYMSG_OP_PING, 0xF1, PING, NONE, "ping")                                                    \
    X(KEYMSG_OP_PONG, 0xF2, REPLY, NONE, "pong")   /* payload: the ping's */                       \
    X(KEYMSG_OP_ERROR, 0xFF, REPLY, NONE, "error") /* payload: 1 B, enum keymsg_error */

#define KEYMSG_OP_ENUM(name, value, kind, hash, text) name = value,
enum keymsg_op { KEYMSG_OPS(KEYMSG_OP_ENUM) };
#undef KEYMSG_OP_ENUM

struct keymsg_op_info {
    uint8_t op;
    enum keymsg_kind kind;
    enum keymsg_hash hash;
    const char *text; /* for logs */
};
/* NULL: no such opcode. Static storage. */
const struct keymsg_op_info *keymsg_op_info(uint8_t op);
/* The opcode for a signature of this kind over this hash; 0: there is none. */
uint8_t keymsg_op_find(enum keymsg_kind kind, enum keymsg_hash hash);

/*            name                        value  text; what the reference means by it */
#define KEYMSG_ERRORS(X)                                                                           \
    X(KEYMSG_ERROR_NONE, 0x00, "no error")                                                         \
    X(KEYMSG_ERROR_CRYPTO, 0x01, "cryptography failed") /* or wrong kind of key, digest length */  \
    X(KEYMSG_ERROR_KEY_NOT_FOUND, 0x02, "key not found")                                           \
    X(KEYMSG_ERROR_READ, 0x03, "read failed")                                                      \
    X(KEYMSG_ERROR_VERSION, 0x04, "version mismatch")                                              \
    X(KEYMSG_ERROR_BAD_OP, 0x05, "bad opcode")                                                     \
    X(KEYMSG_ERROR_UNEXPECTED_OP, 0x06, "unexpected opcode") /* an answer's, in a request */       \
    X(KEYMSG_ERROR_FORMAT, 0x07, "malformed message")                                              \
    X(KEYMSG_ERROR_INTERNAL, 0x08, "internal error") /* also: no SKI */                            \
    X(KEYMSG_ERROR_CERTIFICATE, 0x09, "certificate not found")                                     \
    X(KEYMSG_ERROR_SEALING_KEY, 0x0A, "sealing key expired")                                       \
    X(KEYMSG_ERROR_REMOTE, 0x0B, "remote configuration")

#define KEYMSG_ERROR_ENUM(name, value, text) name = value,
enum keymsg_error { KEYMSG_ERRORS(KEYMSG_ERROR_ENUM) };
#undef KEYMSG_ERROR_ENUM
/* For logs; never NULL. */
const char *keymsg_error_text(uint8_t error);

/* One packet. Spans borrow: of what is decoded from the packet's bytes, of what is encoded until
 * the call returns. An empty span, zeros in `ski` and `op` 0 stand for an absent item. */
struct keymsg {
    uint8_t major, minor; /* decoded only; we write 1.0 */
    uint32_t id;
    uint8_t op;
    uint8_t region;
    uint8_t ski[KEYMSG_SKI_BYTES];
    struct span payload, extra;
    struct span digest, sni, client_ip, server_ip, certificate_id, function, trace, context;
};

static inline bool keymsg_has_ski(const struct keymsg *m)
{
    static const uint8_t none[KEYMSG_SKI_BYTES];
    return memcmp(m->ski, none, sizeof none) != 0;
}

/* How long is the packet that starts here? TG_OK: *len, 8..65543, though not all of it may be here
 * yet. TG_AGAIN: fewer than 8 bytes. */
enum tg_err keymsg_length(struct span bytes, size_t *len);

/* Read one packet, exactly as long as keymsg_length said. The version is not judged.
 * TG_BAD_INPUT: malformed (the connection's end); *m is unspecified but safe to look at. */
enum tg_err keymsg_decode(struct span packet, struct keymsg *m);

/* Append one packet, padded. TG_TOO_BIG: the body would have more than 65535 bytes or the packet
 * does not fit into w: nothing is written, w stays ok. TG_BAD_INPUT: an item has a length that a
 * reader would refuse or ignore (addresses, digest). */
enum tg_err keymsg_encode(const struct keymsg *m, struct span_writer *w);

/* Bytes that keymsg_encode would write. */
size_t keymsg_encoded_bytes(const struct keymsg *m);

#endif
