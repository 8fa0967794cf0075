/* SPDX-License-Identifier: BSD-3-Clause
 * See waf_form.h. Called for every byte of form bodies and queries.
 */
#include "waf/waf_form.h"

/* Bytes that names in real forms are made of; anything else makes a "name" free text. */
static bool name_byte(uint8_t c)
{
    uint8_t lower = c | 0x20;
    if ((lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c >= 0x80)
        return true;
    return c && strchr("._~-[]$@:*", c);
}

static bool name_bytes(const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!name_byte(bytes[i]))
            return false;
    return true;
}

void waf_form_start(struct waf_form *form)
{
    *form = (struct waf_form){.name_plain = true};
}

/* Does this raw byte end the subject? An '=' inside a value or after free text is text. */
static bool ends_subject(const struct waf_form *form, uint8_t byte)
{
    if (byte == '&')
        return true;
    /* A held "%" or "%4" that '=' follows is text, so the name is not plain. */
    return byte == '=' && !form->in_value && form->name_plain && form->decode.held == 0;
}

enum waf_form_event waf_form_next(struct waf_form *form, struct span *piece, uint8_t *out,
                                  size_t cap, size_t *n)
{
    size_t used = 0, at = 0;
    enum waf_form_event event = WAF_FORM_MORE;
    while (used < piece->len) {
        if (cap - at < 2 * WAF_DECODE_RELEASE_MAX) {
            event = WAF_FORM_FULL;
            break;
        }
        uint8_t byte = piece->data[used++];
        if (TG_UNLIKELY(byte == '&' || byte == '=') && ends_subject(form, byte)) {
            at += waf_decode_end(&form->decode, out + at);
            form->in_value = byte == '=';
            form->name_plain = true;
            event = WAF_FORM_SUBJECT;
            break;
        }
        unsigned released = waf_decode_byte(&form->decode, byte, true, out + at);
        if (!form->in_value && form->name_plain)
            form->name_plain = name_bytes(out + at, released);
        at += released;
    }
    *piece = span_slice(*piece, used, piece->len - used);
    *n = at;
    return event;
}

size_t waf_form_end(struct waf_form *form, uint8_t *out)
{
    size_t n = waf_decode_end(&form->decode, out);
    waf_form_start(form);
    return n;
}
