/* SPDX-License-Identifier: BSD-3-Clause
 * RFC 9457 problem documents and RFC 6901 pointers. Called by every part of the API.
 */
#include "ctrlplane/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void problem_set(struct problem *p, unsigned status, const char *slug, const char *pointer,
                 const char *format, ...)
{
    if (p->status)
        return;
    p->status = status;
    p->slug = slug;
    snprintf(p->pointer, sizeof p->pointer, "%s", pointer);
    va_list args;
    va_start(args, format);
    vsnprintf(p->detail, sizeof p->detail, format, args);
    va_end(args);
}

void problem_point(struct problem *p, const char *pointer)
{
    snprintf(p->pointer, sizeof p->pointer, "%s", pointer);
}

void problem_extra(struct problem *p, const char *name, json_t *value)
{
    if (!p->extra)
        p->extra = json_object();
    json_object_set_new(p->extra, name, value);
}

/* `detail` may quote a client's bytes cut in mid-character; jansson refuses such a string, so
 * the cut tail goes. */
static json_t *string_lenient(const char *text)
{
    size_t len = strlen(text);
    json_t *s = json_stringn(text, len);
    for (unsigned cut = 0; !s && len > 0 && cut < 4; cut++)
        s = json_stringn(text, --len);
    return s ? s : json_string("(text is not UTF-8)");
}

json_t *problem_json(const struct problem *p)
{
    json_t *o = json_object();
    char type[96];
    snprintf(type, sizeof type, "urn:tidegate:problem:%s", p->slug);
    json_object_set_new(o, "type", json_string(type));
    json_object_set_new(o, "title", json_string(problem_status_title(p->status)));
    json_object_set_new(o, "status", json_integer(p->status));
    json_object_set_new(o, "detail", string_lenient(p->detail));
    if (p->pointer[0])
        json_object_set_new(o, "pointer", string_lenient(p->pointer));
    if (p->extra)
        json_object_update_missing(o, p->extra);
    return o;
}

void problem_clear(struct problem *p)
{
    json_decref(p->extra);
    *p = (struct problem){0};
}

void pointer_append(char *out, size_t cap, const char *token)
{
    size_t n = strlen(out);
    if (n + 1 < cap)
        out[n++] = '/';
    for (; *token && n + 2 < cap; token++) {
        if (*token == '~' || *token == '/') {
            out[n++] = '~';
            out[n++] = *token == '~' ? '0' : '1';
        } else {
            out[n++] = *token;
        }
    }
    out[n] = 0;
}

void pointer_append_index(char *out, size_t cap, size_t index)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%zu", index);
    pointer_append(out, cap, digits);
}

const char *problem_status_title(unsigned status)
{
    static const struct {
        unsigned status;
        const char *title;
    } titles[] = {
        {400, "Bad Request"},           {404, "Not Found"},
        {405, "Method Not Allowed"},    {409, "Conflict"},
        {413, "Content Too Large"},     {422, "Unprocessable Content"},
        {500, "Internal Server Error"}, {503, "Service Unavailable"},
        {504, "Gateway Timeout"},       {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < TG_ARRAY_LEN(titles); i++)
        if (titles[i].status == status)
            return titles[i].title;
    return "Error";
}
