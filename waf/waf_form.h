/* SPDX-License-Identifier: BSD-3-Clause
 * Splits application/x-www-form-urlencoded bytes (queries, form bodies) into decoded subjects,
 * streaming: the input may be cut anywhere. Pull style, no callbacks. Used by waf.c; knows no
 * targets and no rules.
 *
 * Each name and each value is a subject of its own, so that ^ and $ in a rule mean its start and
 * end and nothing matches across '&'. An '=' ends the name only while the name is made of name
 * bytes (letters, digits, ". _ ~ - [ ] $ @ : *" and bytes from 0x80 on): "?1' or 1=1" has no
 * name, it is one subject. Boundaries are raw '&' and '='; "%26" and "%3D" are text.
 */
#ifndef WAF_WAF_FORM_H
#define WAF_WAF_FORM_H

#include "waf/waf_decode.h"

struct waf_form {
    struct waf_decode decode;
    bool in_value;   /* after the '=' */
    bool name_plain; /* only name bytes so far */
};

enum waf_form_event {
    WAF_FORM_MORE,    /* input used up: give the next piece, or end */
    WAF_FORM_FULL,    /* out is full: take it and call again */
    WAF_FORM_SUBJECT, /* a subject ends with the bytes in out (maybe none): take it, call again */
};

void waf_form_start(struct waf_form *form);

/* Decode from the front of *piece (advanced) into out. cap: at least 2 * WAF_DECODE_RELEASE_MAX.
 * *n: bytes written, also on WAF_FORM_MORE. */
enum waf_form_event waf_form_next(struct waf_form *form, struct span *piece, uint8_t *out,
                                  size_t cap, size_t *n);

/* The input ends: the last subject ends with the bytes written to out (room for
 * WAF_DECODE_RELEASE_MAX); returns how many. The form is as after waf_form_start. */
size_t waf_form_end(struct waf_form *form, uint8_t *out);

#endif
