/* SPDX-License-Identifier: BSD-3-Clause
 * Base64. See base64.h.
 */
#include "ctrlplane/base64.h"

#include <stdlib.h>

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(struct span bytes)
{
    char *text = malloc((bytes.len + 2) / 3 * 4 + 1), *out = text;
    tg_assert(text);
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t have = bytes.len - i < 3 ? bytes.len - i : 3;
        uint32_t group = (uint32_t)bytes.data[i] << 16;
        group |= have > 1 ? (uint32_t)bytes.data[i + 1] << 8 : 0;
        group |= have > 2 ? (uint32_t)bytes.data[i + 2] : 0;
        for (size_t letter = 0; letter < 4; letter++)
            *out++ = letter <= have ? letters[group >> (18 - 6 * letter) & 63] : '=';
    }
    *out = 0;
    return text;
}

/* 0..63, or -1. */
static int letter_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

uint8_t *base64_decode(const char *text, size_t text_len, size_t *len)
{
    if (text_len % 4 != 0)
        return NULL;
    size_t padding = 0;
    while (padding < 2 && padding < text_len && text[text_len - 1 - padding] == '=')
        padding++;
    uint8_t *bytes = malloc(text_len / 4 * 3 + 1);
    tg_assert(bytes);
    uint32_t bits = 0, bit_count = 0;
    size_t n = 0;
    for (size_t i = 0; i < text_len - padding; i++) {
        int value = letter_value(text[i]);
        if (value < 0)
            goto malformed;
        bits = bits << 6 | (uint32_t)value;
        bit_count += 6;
        if (bit_count >= 8) {
            bit_count -= 8;
            bytes[n++] = (uint8_t)(bits >> bit_count);
        }
    }
    if (bits & ((1u << bit_count) - 1))
        goto malformed;
    bytes[n] = 0;
    *len = n;
    return bytes;

malformed:
    free(bytes);
    return NULL;
}
