/* SPDX-License-Identifier: BSD-3-Clause
 * The HTTP/1 head parser's order of work: end of the head, start line, field lines, meaning. A
 * refused head keeps what was found in front of the error. Called by proxy through h1.h. Floor 2:
 * base only.
 */
#include "http/h1_parts.h"

enum tg_err h1_refuse(struct http_head *head, enum tg_err result, size_t offset, const char *error)
{
    if (!head->error) {
        head->error = error;
        head->error_offset = offset;
    }
    return result;
}

static void head_reset(struct http_head *head)
{
    head->view = (struct head_view){.fields = head->fields};
    head->method = HTTP_OTHER_METHOD;
    head->framing = HTTP_NO_BODY;
    head->content_length = 0;
    head->host = SPAN_EMPTY;
    head->host_port = 0;
    head->minor = 1;
    head->keep_alive = head->expect_continue = head->upgrade = false;
    head->bytes = 0;
    head->error_offset = 0;
    head->error = NULL;
}

static const char *end_error(struct span bytes, enum tg_err found, size_t limit)
{
    if (found == TG_TOO_BIG)
        return "head over the limit";
    switch (bytes.data[limit]) {
    case '\n':
        return "line feed without carriage return";
    case '\r':
        return "carriage return without line feed";
    default:
        return "control character";
    }
}

typedef enum tg_err start_line_parser(struct http_head *head, struct span line,
                                      const uint8_t *base);

/* Start line and field lines, as many as are whole. `found` is what h1_find_lines said: unless
 * TG_OK, the head is refused at the latest at the limit. */
static enum tg_err parse_lines(struct span bytes, size_t from, enum tg_err found,
                               const struct h1_lines *lines, struct http_head *head,
                               start_line_parser *start_line)
{
    enum tg_err err = TG_OK;
    size_t at = from;
    head->view.raw_line =
        span_slice(bytes, from, (lines->count ? lines->end[0] : lines->limit) - from);
    for (unsigned i = 0; i < lines->count && err == TG_OK; i++) {
        struct span line = span_slice(bytes, at, lines->end[i] - at);
        err = i ? h1_field_line(head, line, bytes.data) : start_line(head, line, bytes.data);
        at = lines->end[i] + 2u;
    }
    if (err == TG_OK && found != TG_OK)
        return h1_refuse(head, found, lines->limit, end_error(bytes, found, lines->limit));
    return err;
}

enum tg_err h1_parse_request(struct span bytes, size_t *seen, struct http_head *head)
{
    head_reset(head);
    /* RFC 9112 s2.2: at least one empty line in front of a request line is to be ignored. */
    struct h1_lines lines;
    size_t from = 0;
    if (bytes.len > 0 && bytes.data[0] == '\r') {
        if (bytes.len == 1)
            return TG_AGAIN;
        from = bytes.data[1] == '\n' ? 2 : 0;
    }
    enum tg_err found = h1_find_lines(bytes, from, seen, &lines);
    if (found == TG_AGAIN)
        return TG_AGAIN;
    if (found == TG_OK && lines.count == 0)
        return h1_refuse(head, TG_BAD_INPUT, from, "empty line instead of a request line");
    enum tg_err err = parse_lines(bytes, from, found, &lines, head, h1_request_line);
    if (err != TG_OK)
        return err;
    head->bytes = lines.limit;
    return h1_request_meaning(head, bytes.data);
}

enum tg_err h1_parse_response(struct span bytes, size_t *seen, enum http_method request_method,
                              struct http_head *head)
{
    head_reset(head);
    struct h1_lines lines;
    enum tg_err found = h1_find_lines(bytes, 0, seen, &lines);
    if (found == TG_AGAIN)
        return TG_AGAIN;
    if (found == TG_OK && lines.count == 0)
        return h1_refuse(head, TG_BAD_INPUT, 0, "empty line instead of a status line");
    enum tg_err err = parse_lines(bytes, 0, found, &lines, head, h1_status_line);
    if (err != TG_OK)
        return err;
    head->bytes = lines.limit;
    return h1_response_meaning(head, request_method, bytes.data);
}

static bool version_supported(struct span version)
{
    return span_equal(version, SPAN_LITERAL("HTTP/1.1")) ||
           span_equal(version, SPAN_LITERAL("HTTP/1.0"));
}

unsigned h1_refusal_status(enum tg_err result, const struct http_head *head)
{
    if (result == TG_TOO_BIG) /* without a version the request line itself was too long */
        return head->view.version.len ? 431 : 414;
    if (result == TG_UNSUPPORTED)
        return head->view.version.len && !version_supported(head->view.version) ? 505 : 501;
    return 400;
}
