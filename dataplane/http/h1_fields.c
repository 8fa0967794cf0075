/* SPDX-License-Identifier: BSD-3-Clause
 * Field lines (RFC 9112 s5): name, colon at once, value without white space around it; no folding.
 * Lists inside values, and which fields belong to one connection only. Called by h1_head, h1_meaning
 * and, through h1.h, by proxy. Floor 2: base only.
 */
#include "http/h1_parts.h"

static bool is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

static struct span trim(struct span s)
{
    while (s.len && is_space(s.data[0])) {
        s.data++;
        s.len--;
    }
    while (s.len && is_space(s.data[s.len - 1]))
        s.len--;
    return s;
}

enum tg_err h1_field_line(struct http_head *head, struct span line, const uint8_t *base)
{
    size_t start = (size_t)(line.data - base), n = 0;
    if (is_space(line.data[0])) /* RFC 9112 s5.2: refuse rather than unfold */
        return h1_refuse(head, TG_BAD_INPUT, start, "folded field line");
    while (n < line.len && h1_is(line.data[n], H1_TOKEN))
        n++;
    if (n == 0 || n == line.len || line.data[n] != ':')
        return h1_refuse(head, TG_BAD_INPUT, start + n, "malformed field name");
    if (head->view.field_count == HTTP_FIELDS_MAX)
        return h1_refuse(head, TG_TOO_BIG, start, "too many fields");
    /* h1_scan_control has proved the value free of control characters; the rest is legal. */
    struct field *field = &head->fields[head->view.field_count++];
    field->name = span_slice(line, 0, n);
    field->value = trim(span_slice(line, n + 1, line.len));
    return TG_OK;
}

bool h1_list_next(struct span *rest, struct span *element)
{
    while (rest->len) {
        const uint8_t *comma = memchr(rest->data, ',', rest->len);
        size_t n = comma ? (size_t)(comma - rest->data) : rest->len;
        *element = trim(span_slice(*rest, 0, n));
        *rest = span_slice(*rest, comma ? n + 1 : n, rest->len);
        if (element->len)
            return true;
    }
    return false;
}

static bool named_by_connection(const struct head_view *head, struct span name)
{
    int i = -1;
    while ((i = http_field_find(head, SPAN_LITERAL("connection"), (unsigned)(i + 1))) >= 0) {
        struct span rest = head->fields[i].value, element;
        while (h1_list_next(&rest, &element))
            if (span_equal_nocase(element, name))
                return true;
    }
    return false;
}

static bool always_hop_by_hop(struct span name)
{
    static const char *const names[] = {
        "te",
        "trailer",
        "upgrade",
        "connection",
        "keep-alive",
        "content-length",
        "proxy-connection",
        "transfer-encoding",
        "proxy-authenticate",
        "proxy-authorization",
    };
    for (unsigned i = 0; i < TG_ARRAY_LEN(names); i++)
        if (span_equal_nocase(name, span_from_string(names[i])))
            return true;
    return false;
}

bool h1_is_hop_by_hop(const struct head_view *head, unsigned field_index)
{
    struct span name = head->fields[field_index].name;
    return always_hop_by_hop(name) || named_by_connection(head, name);
}
