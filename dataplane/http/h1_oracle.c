/* SPDX-License-Identifier: BSD-3-Clause
 * See h1_oracle.h: the only file that includes llhttp's header.
 */
#include "http/h1_oracle.h"
#include <llhttp/llhttp.h>

struct run {
    struct oracle *oracle;
    bool whole;
};

static int on_headers(llhttp_t *parser)
{
    struct run *run = parser->data;
    run->oracle->chunked = (parser->flags & F_CHUNKED) != 0;
    run->oracle->length = parser->content_length;
    if (run->whole)
        return 0;
    run->oracle->accepted = true;
    return HPE_PAUSED;
}

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
    struct run *run = parser->data;
    struct oracle *o = run->oracle;
    tg_assert(len <= sizeof o->payload - o->payload_len);
    memcpy(o->payload + o->payload_len, at, len);
    o->payload_len += len;
    return 0;
}

static int on_message(llhttp_t *parser)
{
    struct run *run = parser->data;
    run->oracle->accepted = true;
    return HPE_PAUSED;
}

void oracle_run(struct oracle *o, bool response, struct span bytes, bool whole)
{
    llhttp_settings_t settings;
    llhttp_t parser;
    struct run run = {o, whole};
    llhttp_settings_init(&settings);
    settings.on_headers_complete = on_headers;
    settings.on_body = on_body;
    settings.on_message_complete = on_message;
    llhttp_init(&parser, response ? HTTP_RESPONSE : HTTP_REQUEST, &settings);
    parser.data = &run;
    o->accepted = o->chunked = false;
    o->length = o->payload_len = 0;
    llhttp_errno_t err = llhttp_execute(&parser, (const char *)bytes.data, bytes.len);
    o->unknown_method = err == HPE_INVALID_METHOD;
    o->why = parser.reason ? parser.reason : llhttp_errno_name(err);
}
