/* SPDX-License-Identifier: BSD-3-Clause
 * See waf_head.h. Hot path: decodes into the worker's one buffer, which is free again after each
 * value.
 */
#include "waf/waf_head.h"

/* A value decoded, when decoding changes it. */
static void scan_decoded(struct waf_tx *tx, unsigned where, struct span value, bool plus_is_space)
{
    if (tx->verdict == WAF_BLOCK || !waf_decode_changes(value, plus_is_space))
        return;
    if (value.len > WAF_VALUE_BYTES_MAX) {
        waf_scan_refuse(tx, (enum waf_target)where, "the value is too long to inspect");
        return;
    }
    uint8_t *decoded = tx->worker->decoded;
    size_t n = waf_decode_value(value, plus_is_space, decoded);
    waf_scan_value(tx, where, span_make(decoded, n));
}

/* Names and values of a query, decoded. The raw target was scanned before, so a query without
 * any escape still needs this: only here do its values have a start and an end. */
static void scan_query(struct waf_tx *tx, struct span query)
{
    struct waf_form form;
    waf_form_start(&form);
    uint8_t *decoded = tx->worker->decoded;
    size_t at = 0;
    while (query.len > 0 && tx->verdict == WAF_PASS) {
        size_t n;
        enum waf_form_event event =
            waf_form_next(&form, &query, decoded + at, WAF_VALUE_BYTES_MAX - at, &n);
        at += n;
        if (event == WAF_FORM_FULL) {
            waf_scan_refuse(tx, WAF_IN_URI, "the value is too long to inspect");
            return;
        }
        if (event == WAF_FORM_SUBJECT) {
            waf_scan_value(tx, WAF_IN_URI, span_make(decoded, at));
            at = 0;
        }
    }
    if (WAF_VALUE_BYTES_MAX - at >= WAF_DECODE_RELEASE_MAX)
        at += waf_form_end(&form, decoded + at);
    waf_scan_value(tx, WAF_IN_URI, span_make(decoded, at));
}

void waf_head_scan_target(struct waf_tx *tx, struct span target, struct span path,
                          struct span query)
{
    if (!(tx->bench->program->targets & WAF_IN_URI))
        return;
    waf_scan_value(tx, WAF_IN_URI, target);
    scan_decoded(tx, WAF_IN_URI, path, false);
    scan_query(tx, query);
}

/* Raw and decoded. */
static void scan_both(struct waf_tx *tx, unsigned where, struct span value)
{
    waf_scan_value(tx, where, value);
    scan_decoded(tx, where, value, true);
}

/* Each pair of a Cookie field (RFC 6265 s4.2.1) alone, so that a ';' between two cookies is not
 * seen as one in a shell command. */
static void scan_cookie(struct waf_tx *tx, struct span value)
{
    while (value.len > 0) {
        const uint8_t *semicolon = memchr(value.data, ';', value.len);
        size_t len = semicolon ? (size_t)(semicolon - value.data) : value.len;
        struct span pair = span_slice(value, 0, len);
        while (pair.len > 0 && pair.data[0] == ' ')
            pair = span_slice(pair, 1, pair.len);
        scan_both(tx, WAF_IN_COOKIE | WAF_IN_HEADERS, pair);
        value = span_slice(value, len + 1, value.len);
    }
}

void waf_head_scan_fields(struct waf_tx *tx, const struct head_view *head)
{
    for (unsigned i = 0; i < head->field_count && tx->verdict == WAF_PASS; i++) {
        const struct field *field = &head->fields[i];
        if (span_equal_nocase(field->name, SPAN_LITERAL("cookie")))
            scan_cookie(tx, field->value);
        else if (span_equal_nocase(field->name, SPAN_LITERAL("user-agent")))
            scan_both(tx, WAF_IN_USER_AGENT | WAF_IN_HEADERS, field->value);
        else
            scan_both(tx, WAF_IN_HEADERS, field->value);
    }
}

/* The media type of a Content-Type value, without parameters and white space (RFC 9110 s8.3.1). */
static struct span media_type(struct span value)
{
    size_t len = 0;
    while (len < value.len && value.data[len] != ';' && value.data[len] != ',')
        len++;
    while (len > 0 && (value.data[len - 1] == ' ' || value.data[len - 1] == '\t'))
        len--;
    return span_slice(value, 0, len);
}

enum waf_body_kind waf_head_body_kind(const struct head_view *head)
{
    for (unsigned i = 0; i < head->field_count; i++) {
        const struct field *field = &head->fields[i];
        if (span_equal_nocase(field->name, SPAN_LITERAL("content-type")) &&
            span_equal_nocase(media_type(field->value),
                              SPAN_LITERAL("application/x-www-form-urlencoded")))
            return WAF_BODY_FORM;
    }
    return WAF_BODY_RAW;
}
