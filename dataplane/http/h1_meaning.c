/* SPDX-License-Identifier: BSD-3-Clause
 * What the fields of a head say together: which host, how the body is framed (RFC 9112 s6), whether
 * the connection lives on. Every contradiction is refused: two parsers that read it differently are
 * what request smuggling is made of. Called by h1_head when all fields are known. Floor 2: base
 * only.
 */
#include "http/h1_parts.h"

struct facts {
    const struct field *host, *length, *coding, *expect; /* the last one seen */
    unsigned hosts, lengths, codings;
    bool close, keep_alive, upgrade_option, upgrade_field;
    bool names; /* Connection names fields, perhaps */
};

/* A field name against a lower-case one of the same length. Setting bit 5 makes letters lower case
 * and leaves '-' alone; no other byte of a token becomes a letter or '-' by it. */
static bool name_is(const struct field *field, const char *lower, size_t len)
{
    const uint64_t bits = 0x2020202020202020u;
    const uint8_t *name = field->name.data;
    uint64_t a, b;
    if (len < 8) {
        for (size_t i = 0; i < len; i++)
            if ((name[i] | 0x20) != (uint8_t)lower[i])
                return false;
        return true;
    }
    for (size_t at = 0;; at = at + 16 < len ? at + 8 : len - 8) { /* the last step may overlap */
        memcpy(&a, name + at, 8);
        memcpy(&b, lower + at, 8);
        if ((a | bits) != b)
            return false;
        if (at + 8 >= len)
            return true;
    }
}

static void connection_options(struct facts *facts, struct span value)
{
    struct span option;
    while (h1_list_next(&value, &option)) {
        if (span_equal_nocase(option, SPAN_LITERAL("keep-alive")))
            facts->keep_alive = true;
        else if (span_equal_nocase(option, SPAN_LITERAL("close")))
            facts->close = true;
        else if (span_equal_nocase(option, SPAN_LITERAL("upgrade")))
            facts->upgrade_option = true;
        else
            facts->names = true;
    }
}

#define IS(lower) name_is(field, lower, sizeof(lower) - 1)

/* Note what a field says about the message. True for fields that are never forwarded (RFC 9110
 * s7.6.1); switching by length makes it cheap for all others. */
static bool facts_take(struct facts *facts, const struct field *field)
{
    switch (field->name.len) {
    case 2:
        return IS("te");
    case 4:
        if (IS("host")) {
            facts->host = field;
            facts->hosts++;
        }
        return false;
    case 6:
        if (IS("expect"))
            facts->expect = field;
        return false;
    case 7:
        facts->upgrade_field |= IS("upgrade");
        return IS("upgrade") || IS("trailer");
    case 10:
        if (!IS("connection"))
            return IS("keep-alive");
        connection_options(facts, field->value);
        return true;
    case 14:
        if (!IS("content-length"))
            return false;
        facts->length = field;
        facts->lengths++;
        return true;
    case 16:
        return IS("proxy-connection");
    case 17:
        if (!IS("transfer-encoding"))
            return false;
        facts->coding = field;
        facts->codings++;
        return true;
    case 18:
        return IS("proxy-authenticate");
    case 19:
        return IS("proxy-authorization");
    default:
        return false;
    }
}

static void hop_by_hop_set(struct http_head *head, unsigned field_index)
{
    head->hop_by_hop[field_index / 64] |= (uint64_t)1 << field_index % 64;
}

/* Every field that a Connection field names; "close" names none (it is reserved, RFC 9110
 * s7.6.1). */
static void named_fields_mark(struct http_head *head)
{
    int i = -1;
    while ((i = http_field_find(&head->view, SPAN_LITERAL("connection"), (unsigned)(i + 1))) >= 0) {
        struct span rest = head->fields[i].value, option;
        while (h1_list_next(&rest, &option))
            for (int k = -1; !span_equal_nocase(option, SPAN_LITERAL("close")) &&
                             (k = http_field_find(&head->view, option, (unsigned)(k + 1))) >= 0;)
                hop_by_hop_set(head, (unsigned)k);
    }
}

static struct facts facts_collect(struct http_head *head)
{
    struct facts facts = {0};
    memset(head->hop_by_hop, 0, sizeof head->hop_by_hop);
    for (unsigned i = 0; i < head->view.field_count; i++)
        if (facts_take(&facts, &head->fields[i]))
            hop_by_hop_set(head, i);
    if (facts.names)
        named_fields_mark(head);
    return facts;
}

static size_t offset_of(const struct field *field, const uint8_t *base)
{
    return (size_t)(field->name.data - base);
}

static bool all_of(struct span s, enum h1_class class)
{
    for (size_t i = 0; i < s.len; i++)
        if (!h1_is(s.data[i], class))
            return false;
    return s.len > 0;
}

/* Length of "[...]" at the front, brackets included; 0 when it is no IPv6 literal in form. Zone
 * identifiers and future versions have no business in a request. */
static size_t bracket_literal(struct span s)
{
    size_t n = 1;
    while (n < s.len && (h1_is(s.data[n], H1_HEX) || s.data[n] == ':' || s.data[n] == '.'))
        n++;
    return n >= 4 && n < s.len && s.data[n] == ']' ? n + 1 : 0;
}

/* RFC 3986 s3.2.2 allows sub-delims and percent encoding in a registered name. Nothing in the DNS
 * is called so; they are refused, because they serve only to confuse caches and logs. */
bool h1_split_authority(struct span authority, struct span *host, uint16_t *port)
{
    size_t n = 0;
    if (authority.len && authority.data[0] == '[')
        n = bracket_literal(authority);
    else
        while (n < authority.len && h1_is(authority.data[n], H1_NAME))
            n++;
    *host = span_slice(authority, 0, n);
    *port = 0;
    if (n == 0 || n > 255 || n == authority.len)
        return n > 0 && n <= 255;
    struct span digits = span_slice(authority, n + 1, authority.len);
    if (authority.data[n] != ':' || digits.len > 5)
        return false;
    uint32_t value = 0;
    for (size_t i = 0; i < digits.len; i++) {
        if (!h1_is(digits.data[i], H1_DIGIT))
            return false;
        value = value * 10 + (uint32_t)(digits.data[i] - '0');
    }
    *port = (uint16_t)value; /* an empty port is legal: the default one */
    return value <= 65535 && (value > 0 || digits.len == 0);
}

/* RFC 9112 s3.2: exactly one valid Host in HTTP/1.1; at most one in 1.0. An absolute target
 * wins. */
static enum tg_err host_meaning(struct http_head *head, const struct facts *facts,
                                const uint8_t *base)
{
    if (facts->hosts > 1)
        return h1_refuse(head, TG_BAD_INPUT, offset_of(facts->host, base), "more than one Host");
    if (facts->hosts == 0)
        return head->minor == 0
                   ? TG_OK
                   : h1_refuse(head, TG_BAD_INPUT, head->bytes, "HTTP/1.1 without Host");
    struct span host;
    uint16_t port;
    if (!h1_split_authority(facts->host->value, &host, &port))
        return h1_refuse(head, TG_BAD_INPUT, offset_of(facts->host, base), "malformed Host");
    if (head->host.len == 0) {
        head->host = host;
        head->host_port = port;
    }
    return TG_OK;
}

/* RFC 9112 s6.2; 19 digits always fit in 63 bits. */
static bool length_parse(struct span digits, uint64_t *value)
{
    if (digits.len > 19 || !all_of(digits, H1_DIGIT))
        return false;
    uint64_t v = 0;
    for (size_t i = 0; i < digits.len; i++)
        v = v * 10 + (uint64_t)(digits.data[i] - '0');
    *value = v;
    return true;
}

/* Exactly "chunked" is understood. A list of other codings that could be well meant is unsupported;
 * chunked twice, chunked not last, parameters or anything else is malformed (RFC 9112 s6.1,
 * s6.3). */
static enum tg_err coding_parse(struct span value)
{
    struct span element, chunked = SPAN_LITERAL("chunked");
    if (span_equal_nocase(value, chunked))
        return TG_OK;
    bool any = false, ended = false;
    while (h1_list_next(&value, &element)) {
        if (ended || !all_of(element, H1_TOKEN))
            return TG_BAD_INPUT;
        ended = span_equal_nocase(element, chunked);
        if (ended && !any) /* "chunked," alone: a trick, not a coding */
            return TG_BAD_INPUT;
        any = true;
    }
    return any ? TG_UNSUPPORTED : TG_BAD_INPUT;
}

/* White space may be tabs (RFC 9110 s5.6.3), but parsers exist that then take another value for it:
 * around the two fields that frame a message it is refused. */
static bool tab_around(const struct field *field)
{
    const uint8_t *at = field->name.data + field->name.len;
    for (; at < field->value.data; at++)
        if (*at == '\t')
            return true;
    for (at = field->value.data + field->value.len; *at != '\r'; at++)
        if (*at == '\t')
            return true;
    return false;
}

/* Content-Length and Transfer-Encoding, alike for requests and responses that have a body. */
static enum tg_err framing_meaning(struct http_head *head, const struct facts *facts,
                                   const uint8_t *base)
{
    if (facts->lengths > 1)
        return h1_refuse(head, TG_BAD_INPUT, offset_of(facts->length, base),
                         "more than one Content-Length");
    if (facts->lengths &&
        (tab_around(facts->length) || !length_parse(facts->length->value, &head->content_length)))
        return h1_refuse(head, TG_BAD_INPUT, offset_of(facts->length, base),
                         "malformed Content-Length");
    if (facts->codings == 0) {
        head->framing = facts->lengths ? HTTP_SIZED : HTTP_NO_BODY;
        return TG_OK;
    }
    size_t offset = offset_of(facts->coding, base);
    if (facts->lengths)
        return h1_refuse(head, TG_BAD_INPUT, offset, "Transfer-Encoding beside Content-Length");
    if (facts->codings > 1)
        return h1_refuse(head, TG_BAD_INPUT, offset, "more than one Transfer-Encoding");
    if (head->minor == 0)
        return h1_refuse(head, TG_BAD_INPUT, offset, "Transfer-Encoding in HTTP/1.0");
    enum tg_err err = tab_around(facts->coding) ? TG_BAD_INPUT : coding_parse(facts->coding->value);
    if (err != TG_OK)
        return h1_refuse(head, err, offset, "Transfer-Encoding other than chunked");
    head->framing = HTTP_CHUNKED;
    return TG_OK;
}

static bool keep_alive_of(const struct http_head *head, const struct facts *facts)
{
    return !facts->close && (head->minor == 1 || facts->keep_alive);
}

enum tg_err h1_request_meaning(struct http_head *head, const uint8_t *base)
{
    struct facts facts = facts_collect(head);
    enum tg_err err = host_meaning(head, &facts, base);
    if (err == TG_OK)
        err = framing_meaning(head, &facts, base);
    head->keep_alive = err == TG_OK && keep_alive_of(head, &facts);
    /* RFC 9110 s10.1.1: 100-continue from an HTTP/1.0 client is ignored. */
    head->expect_continue = facts.expect && head->minor == 1 &&
                            span_equal_nocase(facts.expect->value, SPAN_LITERAL("100-continue"));
    head->upgrade = facts.upgrade_option && facts.upgrade_field;
    return err;
}

enum tg_err h1_response_meaning(struct http_head *head, enum http_method request_method,
                                const uint8_t *base)
{
    struct facts facts = facts_collect(head);
    enum tg_err err = framing_meaning(head, &facts, base);
    if (err != TG_OK)
        return err;
    head->keep_alive = keep_alive_of(head, &facts);
    head->upgrade = facts.upgrade_option && facts.upgrade_field;
    unsigned status = head->view.status;
    if (status < 200 || status == 204) {
        /* RFC 9112 s6.3: never a body. A server that announces one may well send it, so what
         * follows on this connection cannot be trusted. */
        if (facts.codings || head->content_length > 0)
            head->keep_alive = false;
        head->framing = HTTP_NO_BODY;
    } else if (request_method == HTTP_HEAD || status == 304) {
        head->framing = HTTP_NO_BODY; /* the length describes what a GET would get */
    } else if (head->framing == HTTP_NO_BODY) {
        head->framing = HTTP_UNTIL_CLOSE;
        head->keep_alive = false;
    }
    return TG_OK;
}
