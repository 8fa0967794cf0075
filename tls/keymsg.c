/* SPDX-License-Identifier: BSD-3-Clause
 * Codec of the packets between edge and key server: see keymsg.h. Pure: bytes in, bytes out.
 */
#include "tls/keymsg.h"

/* --- opcodes and errors ------------------------------------------------------------------------ */

#define OP_INFO(name, value, kind, hash, text)                                                     \
    {value, KEYMSG_KIND_##kind, KEYMSG_HASH_##hash, text},
static const struct keymsg_op_info ops[] = {KEYMSG_OPS(OP_INFO)};
#undef OP_INFO

const struct keymsg_op_info *keymsg_op_info(uint8_t op)
{
    for (size_t i = 0; i < TG_ARRAY_LEN(ops); i++)
        if (ops[i].op == op)
            return &ops[i];
    return NULL;
}

uint8_t keymsg_op_find(enum keymsg_kind kind, enum keymsg_hash hash)
{
    for (size_t i = 0; i < TG_ARRAY_LEN(ops); i++)
        if (ops[i].kind == kind && ops[i].hash == hash && kind <= KEYMSG_KIND_ED25519)
            return ops[i].op;
    return 0;
}

const char *keymsg_error_text(uint8_t error)
{
#define ERROR_TEXT(name, value, text) [value] = text,
    static const char *const texts[] = {KEYMSG_ERRORS(ERROR_TEXT)};
#undef ERROR_TEXT
    return error < TG_ARRAY_LEN(texts) ? texts[error] : "unknown error";
}

/* --- reading ----------------------------------------------------------------------------------- */

enum tg_err keymsg_length(struct span bytes, size_t *len)
{
    if (bytes.len < KEYMSG_HEADER_BYTES)
        return TG_AGAIN;
    *len = KEYMSG_HEADER_BYTES + (size_t)(bytes.data[2] << 8 | bytes.data[3]);
    return TG_OK;
}

/* The span of a packet that an item's data goes to as it is; NULL: the tag is no such item. */
static struct span *span_of_tag(struct keymsg *m, uint8_t tag)
{
    switch (tag) {
    case KEYMSG_TAG_DIGEST:
        return &m->digest;
    case KEYMSG_TAG_SNI:
        return &m->sni;
    case KEYMSG_TAG_CLIENT_IP:
        return &m->client_ip;
    case KEYMSG_TAG_SERVER_IP:
        return &m->server_ip;
    case KEYMSG_TAG_CERTIFICATE_ID:
        return &m->certificate_id;
    case KEYMSG_TAG_PAYLOAD:
        return &m->payload;
    case KEYMSG_TAG_FUNCTION:
        return &m->function;
    case KEYMSG_TAG_EXTRA:
        return &m->extra;
    case KEYMSG_TAG_TRACE:
        return &m->trace;
    case KEYMSG_TAG_CONTEXT:
        return &m->context;
    default:
        return NULL;
    }
}

/* Items with a fixed length: false when it is not kept. */
static bool length_allowed(uint8_t tag, size_t len)
{
    if (tag == KEYMSG_TAG_CLIENT_IP || tag == KEYMSG_TAG_SERVER_IP)
        return len == 4 || len == 16;
    if (tag == KEYMSG_TAG_OP || tag == KEYMSG_TAG_REGION)
        return len == 1;
    return true;
}

/* Known tags are below 0x21; a bit for each in *seen. */
static bool seen_before(uint64_t *seen, uint8_t tag)
{
    uint64_t bit = (uint64_t)1 << tag;
    bool before = *seen & bit;
    *seen |= bit;
    return before;
}

static enum tg_err item_take(struct keymsg *m, uint64_t *seen, uint8_t tag, struct span data)
{
    struct span *place = span_of_tag(m, tag);
    bool known = place || tag == KEYMSG_TAG_SKI || tag == KEYMSG_TAG_OP ||
                 tag == KEYMSG_TAG_REGION || tag == KEYMSG_TAG_PADDING;
    if (!known)
        return TG_OK;
    if (seen_before(seen, tag) || !length_allowed(tag, data.len))
        return TG_BAD_INPUT;
    if (tag == KEYMSG_TAG_OP)
        m->op = data.data[0];
    else if (tag == KEYMSG_TAG_REGION)
        m->region = data.data[0];
    else if (tag == KEYMSG_TAG_SKI && data.len == KEYMSG_SKI_BYTES)
        memcpy(m->ski, data.data, KEYMSG_SKI_BYTES);
    else if (place && (tag != KEYMSG_TAG_DIGEST || data.len == KEYMSG_DIGEST_BYTES))
        *place = data;
    return TG_OK;
}

enum tg_err keymsg_decode(struct span packet, struct keymsg *m)
{
    struct span_reader r = span_reader_make(packet);
    uint64_t seen = 0;
    *m = (struct keymsg){0};
    m->major = span_read_u8(&r);
    m->minor = span_read_u8(&r);
    size_t body = span_read_be16(&r);
    m->id = span_read_be32(&r);
    if (!r.ok || body != span_reader_left(&r))
        return TG_BAD_INPUT;
    while (span_reader_left(&r) >= KEYMSG_ITEM_BYTES) {
        uint8_t tag = span_read_u8(&r);
        size_t len = span_read_be16(&r);
        const uint8_t *data = span_read(&r, len);
        if (!r.ok || item_take(m, &seen, tag, span_make(data, len)) != TG_OK)
            return TG_BAD_INPUT;
    }
    return TG_OK;
}

/* --- writing ----------------------------------------------------------------------------------- */

/* One item to write; the table is in the reference's order. */
struct item {
    uint8_t tag;
    struct span data;
};
#define ITEMS_MAX 13

static unsigned items_list(const struct keymsg *m, struct item items[ITEMS_MAX])
{
    const struct item all[ITEMS_MAX] = {
        {KEYMSG_TAG_OP, span_make(&m->op, m->op ? 1 : 0)},
        {KEYMSG_TAG_PAYLOAD, m->payload},
        {KEYMSG_TAG_EXTRA, m->extra},
        {KEYMSG_TAG_SKI, span_make(m->ski, keymsg_has_ski(m) ? KEYMSG_SKI_BYTES : 0)},
        {KEYMSG_TAG_DIGEST, m->digest},
        {KEYMSG_TAG_CLIENT_IP, m->client_ip},
        {KEYMSG_TAG_SERVER_IP, m->server_ip},
        {KEYMSG_TAG_SNI, m->sni},
        {KEYMSG_TAG_CERTIFICATE_ID, m->certificate_id},
        {KEYMSG_TAG_FUNCTION, m->function},
        {KEYMSG_TAG_TRACE, m->trace},
        {KEYMSG_TAG_CONTEXT, m->context},
        {KEYMSG_TAG_REGION, span_make(&m->region, m->region ? 1 : 0)},
    };
    unsigned count = 0;
    for (unsigned i = 0; i < ITEMS_MAX; i++)
        if (all[i].data.len > 0)
            items[count++] = all[i];
    return count;
}

/* Zeros that the padding item holds; *item says whether there is one at all. */
static size_t padding_bytes(size_t unpadded, bool *item)
{
    *item = unpadded < KEYMSG_PADDED_BYTES;
    return unpadded + KEYMSG_ITEM_BYTES < KEYMSG_PADDED_BYTES
               ? KEYMSG_PADDED_BYTES - unpadded - KEYMSG_ITEM_BYTES
               : 0;
}

static size_t unpadded_bytes(const struct item items[], unsigned count)
{
    size_t bytes = KEYMSG_HEADER_BYTES;
    for (unsigned i = 0; i < count; i++)
        bytes += KEYMSG_ITEM_BYTES + items[i].data.len;
    return bytes;
}

size_t keymsg_encoded_bytes(const struct keymsg *m)
{
    struct item items[ITEMS_MAX];
    bool padded;
    size_t bytes = unpadded_bytes(items, items_list(m, items));
    size_t zeros = padding_bytes(bytes, &padded);
    return bytes + (padded ? KEYMSG_ITEM_BYTES + zeros : 0);
}

static void be16_write(struct span_writer *w, size_t v)
{
    const uint8_t bytes[2] = {(uint8_t)(v >> 8), (uint8_t)v};
    span_write(w, bytes, sizeof bytes);
}

static void item_write(struct span_writer *w, uint8_t tag, struct span data)
{
    span_write(w, &tag, 1);
    be16_write(w, data.len);
    span_write_span(w, data);
}

static void header_write(struct span_writer *w, uint32_t id, size_t body)
{
    const uint8_t version[2] = {KEYMSG_MAJOR, KEYMSG_MINOR};
    span_write(w, version, sizeof version);
    be16_write(w, body);
    be16_write(w, id >> 16);
    be16_write(w, id & 0xffff);
}

enum tg_err keymsg_encode(const struct keymsg *m, struct span_writer *w)
{
    static const uint8_t zeros[KEYMSG_PADDED_BYTES];
    struct item items[ITEMS_MAX];
    unsigned count = items_list(m, items);
    bool padded;
    size_t bytes = keymsg_encoded_bytes(m);
    size_t padding = padding_bytes(unpadded_bytes(items, count), &padded);
    for (unsigned i = 0; i < count; i++)
        if (!length_allowed(items[i].tag, items[i].data.len) ||
            (items[i].tag == KEYMSG_TAG_DIGEST && items[i].data.len != KEYMSG_DIGEST_BYTES))
            return TG_BAD_INPUT;
    if (!w->ok || bytes > KEYMSG_PACKET_MAX || bytes > w->cap - w->len)
        return TG_TOO_BIG;
    size_t start = w->len;
    header_write(w, m->id, bytes - KEYMSG_HEADER_BYTES);
    for (unsigned i = 0; i < count; i++)
        item_write(w, items[i].tag, items[i].data);
    if (padded)
        item_write(w, KEYMSG_TAG_PADDING, span_make(zeros, padding));
    tg_assert(w->ok && w->len - start == bytes);
    return TG_OK;
}
