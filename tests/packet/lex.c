/* SPDX-License-Identifier: BSD-3-Clause
 * See lex.h.
 */
#include "tests/packet/lex.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

static bool starts(const struct lex *lex, const char *text)
{
    size_t n = strlen(text);
    return (size_t)(lex->end - lex->at) >= n && memcmp(lex->at, text, n) == 0;
}

static void skip_to(struct lex *lex, const char *stop)
{
    while (lex->at < lex->end && !starts(lex, stop))
        lex->at++;
}

void lex_skip(struct lex *lex, bool lines)
{
    while (lex->at < lex->end) {
        if (*lex->at == ' ' || *lex->at == '\t' || *lex->at == '\r' ||
            (lines && *lex->at == '\n')) {
            lex->at++;
        } else if (starts(lex, "//") || (*lex->at == '#')) {
            skip_to(lex, "\n");
        } else if (starts(lex, "/*")) {
            skip_to(lex, "*/");
            lex->at += lex->at < lex->end ? 2 : 0;
        } else {
            return;
        }
    }
}

bool lex_at_end(struct lex *lex)
{
    lex_skip(lex, true);
    return lex->at == lex->end;
}

char lex_peek(struct lex *lex)
{
    lex_skip(lex, true);
    return lex->at < lex->end ? *lex->at : 0;
}

unsigned lex_line(const struct lex *lex)
{
    unsigned line = 1;
    for (const char *p = lex->text; p < lex->at; p++)
        line += *p == '\n';
    return line;
}

bool lex_error(struct lex *lex, const char *what)
{
    const char *start = lex->at;
    if (lex->error[0])
        return false;
    while (start > lex->text && start[-1] != '\n')
        start--;
    snprintf(lex->error, 300, "%u:%u: %s", lex_line(lex), (unsigned)(lex->at - start) + 1, what);
    return false;
}

bool lex_take(struct lex *lex, const char *text)
{
    const char *before = lex->at;
    lex_skip(lex, true);
    if (!starts(lex, text)) {
        lex->at = before; /* the end of the line means something to those who ask for '<' */
        return false;
    }
    lex->at += strlen(text);
    return true;
}

bool lex_expect(struct lex *lex, const char *text)
{
    char what[64];
    if (lex_take(lex, text))
        return true;
    lex_skip(lex, true);
    snprintf(what, sizeof what, "'%.40s' was expected", text);
    return lex_error(lex, what);
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

bool lex_word(struct lex *lex, char *out, size_t size)
{
    size_t n = 0;
    lex_skip(lex, true);
    const char *p = lex->at;
    while (p < lex->end && is_word(*p) && n + 1 < size)
        out[n++] = *p++;
    out[n] = 0;
    if (n == 0 || (p < lex->end && is_word(*p)))
        return false;
    lex->at = p;
    return true;
}

bool lex_take_word(struct lex *lex, const char *word)
{
    size_t n = strlen(word);
    const char *before = lex->at;
    lex_skip(lex, true);
    if (!starts(lex, word) || (lex->at + n < lex->end && is_word(lex->at[n]))) {
        lex->at = before;
        return false;
    }
    lex->at += n;
    return true;
}

bool lex_number(struct lex *lex, uint64_t *out)
{
    unsigned base = 10, digits = 0;
    *out = 0;
    lex_skip(lex, true);
    if (lex_take(lex, "0x"))
        base = 16;
    for (; lex->at < lex->end && isxdigit((unsigned char)*lex->at); lex->at++, digits++) {
        char c = *lex->at;
        unsigned digit = c <= '9' ? (unsigned)(c - '0') : (unsigned)(tolower(c) - 'a') + 10;
        if (digit >= base)
            break;
        if (*out > (UINT64_MAX - digit) / base)
            return lex_error(lex, "number too large");
        *out = *out * base + digit;
    }
    return digits > 0 || lex_error(lex, "a number was expected");
}

bool lex_seconds(struct lex *lex, int64_t *ns)
{
    uint64_t whole = 0;
    int64_t unit = 100000000;
    bool digits = false;
    lex_skip(lex, true);
    if (lex->at < lex->end && isdigit((unsigned char)*lex->at)) {
        digits = true;
        while (lex->at < lex->end && isdigit((unsigned char)*lex->at) && whole < 100000000)
            whole = whole * 10 + (unsigned)(*lex->at++ - '0');
    }
    *ns = (int64_t)whole * 1000000000;
    if (lex->at + 1 < lex->end && lex->at[0] == '.' && isdigit((unsigned char)lex->at[1])) {
        for (lex->at++; lex->at < lex->end && isdigit((unsigned char)*lex->at); lex->at++) {
            *ns += (*lex->at - '0') * unit;
            unit /= 10;
        }
        digits = true;
    }
    return digits || lex_error(lex, "a time in seconds was expected");
}

bool lex_until(struct lex *lex, const char *stop, char *out, size_t size)
{
    const char *start = lex->at;
    skip_to(lex, stop);
    if (lex->at == lex->end)
        return lex_error(lex, "the text is not closed");
    size_t n = (size_t)(lex->at - start);
    if (n + 1 > size)
        return lex_error(lex, "the text is too long");
    memcpy(out, start, n);
    out[n] = 0;
    lex->at += strlen(stop);
    return true;
}
