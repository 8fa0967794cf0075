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

/* A line is whole when its CRLF lies in front of the limit. */
static bool line_whole(struct span bytes, size_t line_end, size_t limit)
{
    return limit >= 2 && line_end <= limit - 2 && bytes.data[line_end] == '\r' &&
           bytes.data[line_end + 1] == '\n';
}

typedef enum tg_err start_line_parser(struct http_head *head, struct span line,
                                      const uint8_t *base);

/* Start line and field lines of a head whose lines in front of `limit` are whole. `found` is what
 * h1_find_end said: unless TG_OK, the head is refused at the latest at the limit. */
static enum tg_err parse_lines(struct span bytes, size_t from, enum tg_err found, size_t limit,
                               struct http_head *head, start_line_parser *start_line)
{
    size_t at = from, end = h1_scan_control(bytes.data, at, limit);
    head->view.raw_line = span_slice(bytes, at, end - at);
    enum tg_err err = TG_OK;
    if (line_whole(bytes, end, limit))
        err = start_line(head, head->view.raw_line, bytes.data);
    while (err == TG_OK && line_whole(bytes, end, limit)) {
        at = end + 2;
        end = h1_scan_control(bytes.data, at, limit);
        if (end == at && line_whole(bytes, end, limit))
            break; /* the blank line */
        if (line_whole(bytes, end, limit))
            err = h1_field_line(head, span_slice(bytes, at, end - at), bytes.data);
    }
    if (err == TG_OK && found != TG_OK)
        return h1_refuse(head, found, limit, end_error(bytes, found, limit));
    return err;
}

enum tg_err h1_parse_request(struct span bytes, size_t *seen, struct http_head *head)
{
    head_reset(head);
    /* RFC 9112 s2.2: at least one empty line in front of a request line is to be ignored. */
    size_t from = 0, limit;
    if (bytes.len > 0 && bytes.data[0] == '\r') {
        if (bytes.len == 1)
            return TG_AGAIN;
        from = bytes.data[1] == '\n' ? 2 : 0;
    }
    enum tg_err found = h1_find_end(bytes, from, seen, &limit);
    if (found == TG_AGAIN)
        return TG_AGAIN;
    if (found == TG_OK && limit == from + 2)
        return h1_refuse(head, TG_BAD_INPUT, from, "empty line instead of a request line");
    enum tg_err err = parse_lines(bytes, from, found, limit, head, h1_request_line);
    if (err != TG_OK)
        return err;
    head->bytes = limit;
    return h1_request_meaning(head, bytes.data);
}

enum tg_err h1_parse_response(struct span bytes, size_t *seen, enum http_method request_method,
                              struct http_head *head)
{
    head_reset(head);
    size_t limit;
    enum tg_err found = h1_find_end(bytes, 0, seen, &limit);
    if (found == TG_AGAIN)
        return TG_AGAIN;
    if (found == TG_OK && limit == 2)
        return h1_refuse(head, TG_BAD_INPUT, 0, "empty line instead of a status line");
    enum tg_err err = parse_lines(bytes, 0, found, limit, head, h1_status_line);
    if (err != TG_OK)
        return err;
    head->bytes = limit;
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
