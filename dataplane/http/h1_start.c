/* SPDX-License-Identifier: BSD-3-Clause
 * The start line of a head: request line (RFC 9112 s3) and status line (s4), strictly: one space
 * between the parts, upper case HTTP, digits where digits belong. Called by h1_head. Floor 2: base
 * only.
 */
#include "http/h1_parts.h"

#define METHOD_BYTES_MAX 32 /* longer than any registered method (RFC 9112 s3: answer 501) */

static enum http_method method_of(struct span token)
{
    static const struct {
        struct span name;
        enum http_method method;
    } known[] = {
        {{(const uint8_t *)"GET", 3}, HTTP_GET},
        {{(const uint8_t *)"HEAD", 4}, HTTP_HEAD},
        {{(const uint8_t *)"POST", 4}, HTTP_POST},
        {{(const uint8_t *)"PUT", 3}, HTTP_PUT},
        {{(const uint8_t *)"DELETE", 6}, HTTP_DELETE},
        {{(const uint8_t *)"OPTIONS", 7}, HTTP_OPTIONS},
        {{(const uint8_t *)"PATCH", 5}, HTTP_PATCH},
        {{(const uint8_t *)"TRACE", 5}, HTTP_TRACE},
        {{(const uint8_t *)"CONNECT", 7}, HTTP_CONNECT},
    };
    for (unsigned i = 0; i < TG_ARRAY_LEN(known); i++)
        if (span_equal(known[i].name, token)) /* methods are case-sensitive */
            return known[i].method;
    return HTTP_OTHER_METHOD;
}

/* "HTTP/" DIGIT "." DIGIT; TG_UNSUPPORTED when that is right but neither 1.0 nor 1.1. */
static enum tg_err version_parse(struct http_head *head, struct span version, size_t offset)
{
    if (version.len != 8 || memcmp(version.data, "HTTP/", 5) != 0 ||
        !h1_is(version.data[5], H1_DIGIT) || version.data[6] != '.' ||
        !h1_is(version.data[7], H1_DIGIT))
        return h1_refuse(head, TG_BAD_INPUT, offset, "malformed HTTP version");
    head->view.version = version;
    if (version.data[5] != '1' || version.data[7] > '1')
        return h1_refuse(head, TG_UNSUPPORTED, offset, "HTTP version other than 1.0 and 1.1");
    head->minor = (uint8_t)(version.data[7] - '0');
    return TG_OK;
}

/* Split "path[?query]". */
static void path_split(struct head_view *view, struct span path)
{
    const uint8_t *mark = path.len ? memchr(path.data, '?', path.len) : NULL;
    size_t n = mark ? (size_t)(mark - path.data) : path.len;
    view->path = span_slice(path, 0, n);
    view->query = mark ? span_slice(path, n + 1, path.len) : SPAN_EMPTY;
}

/* absolute-form (RFC 9112 s3.2.2): http or https, an authority without user information (RFC 9110
 * s4.2.4), then a path that may be missing. */
static enum tg_err target_absolute(struct http_head *head, size_t offset)
{
    struct span rest = head->view.target;
    size_t scheme = 0;
    if (rest.len > 7 && span_equal_nocase(span_slice(rest, 0, 7), SPAN_LITERAL("http://")))
        scheme = 7;
    else if (rest.len > 8 && span_equal_nocase(span_slice(rest, 0, 8), SPAN_LITERAL("https://")))
        scheme = 8;
    if (!scheme)
        return h1_refuse(head, TG_BAD_INPUT, offset, "request target of no known form");
    rest = span_slice(rest, scheme, rest.len);
    size_t n = 0;
    while (n < rest.len && rest.data[n] != '/' && rest.data[n] != '?')
        n++;
    if (!h1_split_authority(span_slice(rest, 0, n), &head->host, &head->host_port))
        return h1_refuse(head, TG_BAD_INPUT, offset + scheme, "malformed authority in the target");
    path_split(&head->view, span_slice(rest, n, rest.len));
    if (head->view.path.len == 0)
        head->view.path = SPAN_LITERAL("/");
    return TG_OK;
}

/* The four forms of RFC 9112 s3.2. */
static enum tg_err target_parse(struct http_head *head, size_t offset)
{
    struct span target = head->view.target;
    if (head->method == HTTP_CONNECT) {
        if (!h1_split_authority(target, &head->host, &head->host_port) || !head->host_port)
            return h1_refuse(head, TG_BAD_INPUT, offset, "CONNECT without host and port");
        return TG_OK;
    }
    if (target.data[0] == '/') {
        path_split(&head->view, target);
        return TG_OK;
    }
    if (target.len == 1 && target.data[0] == '*' && head->method == HTTP_OPTIONS) {
        head->view.path = target;
        return TG_OK;
    }
    return target_absolute(head, offset);
}

enum tg_err h1_request_line(struct http_head *head, struct span line, const uint8_t *base)
{
    size_t start = (size_t)(line.data - base);
    size_t n = h1_token_run(line);
    head->view.method = span_slice(line, 0, n);
    if (n == 0 || n == line.len || line.data[n] != ' ')
        return h1_refuse(head, TG_BAD_INPUT, start + n, "malformed method");
    if (n > METHOD_BYTES_MAX)
        return h1_refuse(head, TG_UNSUPPORTED, start + METHOD_BYTES_MAX, "method too long");
    head->method = method_of(head->view.method);
    size_t at = n + 1;
    n = h1_target_run(span_slice(line, at, line.len));
    head->view.target = span_slice(line, at, n);
    if (n > HTTP_TARGET_BYTES_MAX)
        return h1_refuse(head, TG_TOO_BIG, start + at + HTTP_TARGET_BYTES_MAX, "target too long");
    if (n == 0 || at + n == line.len || line.data[at + n] != ' ')
        return h1_refuse(head, TG_BAD_INPUT, start + at + n, "malformed request target");
    enum tg_err err =
        version_parse(head, span_slice(line, at + n + 1, line.len), start + at + n + 1);
    return err == TG_OK ? target_parse(head, start + at) : err;
}

enum tg_err h1_status_line(struct http_head *head, struct span line, const uint8_t *base)
{
    size_t start = (size_t)(line.data - base);
    enum tg_err err = version_parse(head, span_slice(line, 0, 8), start);
    if (err != TG_OK)
        return err;
    /* RFC 9112 s4 wants a space behind the code even without a phrase; servers that forget it exist
     * and nothing can be confused by it. */
    if (line.len < 12 || line.data[8] != ' ' || !h1_is(line.data[9], H1_DIGIT) ||
        !h1_is(line.data[10], H1_DIGIT) || !h1_is(line.data[11], H1_DIGIT) || line.data[9] == '0' ||
        (line.len > 12 && line.data[12] != ' '))
        return h1_refuse(head, TG_BAD_INPUT, start + 8, "malformed status code");
    head->view.status = (unsigned)(line.data[9] - '0') * 100 +
                        (unsigned)(line.data[10] - '0') * 10 + (unsigned)(line.data[11] - '0');
    return TG_OK;
}
