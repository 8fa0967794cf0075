/* SPDX-License-Identifier: BSD-3-Clause
 * A cursor over a script's text: words, numbers, punctuation, comments skipped. Used by the parser alone.
 */
#ifndef TESTS_PACKET_LEX_H
#define TESTS_PACKET_LEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lex {
    const char *text, *at, *end;
    char *error; /* first error, 300 bytes */
};

/* Skip blanks and comments; newlines too when `lines`. */
void lex_skip(struct lex *lex, bool lines);
bool lex_at_end(struct lex *lex);
/* The next character after blanks, 0 at the end. */
char lex_peek(struct lex *lex);
/* Take a punctuation text if it is next. */
bool lex_take(struct lex *lex, const char *text);
/* Take it or note an error. */
bool lex_expect(struct lex *lex, const char *text);
/* A word: letters, digits, '_', '.', '-' inside; false: none is next. */
bool lex_word(struct lex *lex, char *out, size_t size);
/* Take a word if it is exactly this one. */
bool lex_take_word(struct lex *lex, const char *word);
/* An unsigned number, decimal or 0x; false: an error is noted. */
bool lex_number(struct lex *lex, uint64_t *out);
/* Seconds with a fraction, as nanoseconds. */
bool lex_seconds(struct lex *lex, int64_t *ns);
/* Everything up to `stop`, which is taken, too. */
bool lex_until(struct lex *lex, const char *stop, char *out, size_t size);
unsigned lex_line(const struct lex *lex);
/* Note "line:column: what", the first time; returns false. */
bool lex_error(struct lex *lex, const char *what);

#endif
