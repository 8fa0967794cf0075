/* SPDX-License-Identifier: BSD-3-Clause
 * Field lines (RFC 9112 s5): name, colon at once, value without white space around it; no folding.
 * Lists inside values. Called by h1_head and h1_meaning. Floor 2: base only.
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
    size_t start = (size_t)(line.data - base), n = h1_token_run(line);
    if (is_space(line.data[0])) /* RFC 9112 s5.2: refuse rather than unfold */
        return h1_refuse(head, TG_BAD_INPUT, start, "folded field line");
    if (n == 0 || n == line.len || line.data[n] != ':')
        return h1_refuse(head, TG_BAD_INPUT, start + n, "malformed field name");
    if (head->view.field_count == HTTP_FIELDS_MAX)
        return h1_refuse(head, TG_TOO_BIG, start, "too many fields");
    /* h1_find_lines has proved the value free of control characters; the rest is legal. */
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
