/* SPDX-License-Identifier: BSD-3-Clause
 * A name and a value as spans: http writes it, waf reads it, nothing is translated. Floor 0.
 */
#ifndef BASE_FIELD_H
#define BASE_FIELD_H

#include "base/span.h"

struct field {
    struct span name;  /* as received, case kept */
    struct span value; /* without leading and trailing white space */
};

/* What the http floor knows of a request head and the waf floor inspects. All spans borrow from the
 * request's own head storage, which lives until the request ends. */
struct head_view {
    struct span raw_line; /* the request or status line as received, without CRLF */
    struct span method;
    struct span target; /* as received */
    struct span path;   /* of the target, without query */
    struct span query;  /* after '?', empty if none */
    struct span version;
    const struct field *fields;
    unsigned field_count;
    unsigned status; /* responses only, else 0 */
};

#endif
