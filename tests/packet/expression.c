/* SPDX-License-Identifier: BSD-3-Clause
 * Assertions over TCP_INFO: "assert tcpi_snd_cwnd == 10 and tcpi_unacked > 0, tcpi_snd_cwnd". Names and units are
 * Linux's; packetdrill hands such text to Python, of which this is the part that scripts use.
 */
#include "tests/packet/expression.h"
#include "tests/packet/linux_tcp.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define DEPTH_MAX 64

struct expression {
    const char *at;
    struct linux_tcp_info info;
    unsigned depth;
    bool bad;       /* not understood */
    char seen[300]; /* "tcpi_snd_cwnd=9 " */
};

static const struct {
    const char *name;
    int64_t value;
} constants[] = {
    {"TCP_ESTABLISHED", 1}, {"TCP_SYN_SENT", 2},  {"TCP_SYN_RECV", 3},    {"TCP_FIN_WAIT1", 4},
    {"TCP_FIN_WAIT2", 5},   {"TCP_TIME_WAIT", 6}, {"TCP_CLOSE", 7},       {"TCP_CLOSE_WAIT", 8},
    {"TCP_LAST_ACK", 9},    {"TCP_LISTEN", 10},   {"TCP_CLOSING", 11},    {"TCP_CA_Open", 0},
    {"TCP_CA_Disorder", 1}, {"TCP_CA_CWR", 2},    {"TCP_CA_Recovery", 3}, {"TCP_CA_Loss", 4},
};

static bool value_of(const struct expression *e, const char *name, int64_t *out)
{
    for (unsigned k = 0; k < TG_ARRAY_LEN(constants); k++)
        if (strcmp(constants[k].name, name) == 0) {
            *out = constants[k].value;
            return true;
        }
    return linux_tcp_info_field(&e->info, name, out);
}

static void blanks(struct expression *e)
{
    while (*e->at == ' ' || *e->at == '\t' || *e->at == '\\')
        e->at++;
}

static bool take(struct expression *e, const char *text)
{
    size_t n = strlen(text);
    blanks(e);
    if (strncmp(e->at, text, n) != 0)
        return false;
    if (isalpha((unsigned char)text[0]) && (isalnum((unsigned char)e->at[n]) || e->at[n] == '_'))
        return false;
    e->at += n;
    return true;
}

static int64_t any_of(struct expression *e);
static int64_t comparison(struct expression *e);

/* Arithmetic of 64 bits that wraps: a script's numbers must not be able to break the runner. */
static int64_t wrapped(int64_t a, char op, int64_t b)
{
    uint64_t x = (uint64_t)a, y = (uint64_t)b;
    return (int64_t)(op == '+' ? x + y : op == '-' ? x - y : x * y);
}

static int64_t name_value(struct expression *e)
{
    char name[64];
    size_t n = 0;
    int64_t value = 0;
    while ((isalnum((unsigned char)*e->at) || *e->at == '_') && n + 1 < sizeof name)
        name[n++] = *e->at++;
    name[n] = 0;
    if (!value_of(e, name, &value)) {
        e->bad = true;
        snprintf(e->seen, sizeof e->seen, "%s is not known", name);
        return 0;
    }
    size_t used = strlen(e->seen);
    if (strncmp(name, "tcpi_", 5) == 0 && used + 90 < sizeof e->seen)
        snprintf(e->seen + used, sizeof e->seen - used, "%s=%lld ", name, (long long)value);
    return value;
}

static int64_t primary(struct expression *e);

/* Brackets and signs within each other. */
static int64_t deeper(struct expression *e, int64_t (*of)(struct expression *e))
{
    if (e->depth == DEPTH_MAX) {
        e->bad = true;
        return 0;
    }
    e->depth++;
    int64_t v = of(e);
    e->depth--;
    return v;
}

static int64_t primary(struct expression *e)
{
    blanks(e);
    if (take(e, "(")) {
        int64_t v = deeper(e, any_of);
        e->bad |= !take(e, ")");
        return v;
    }
    if (take(e, "-"))
        return wrapped(0, '-', deeper(e, primary));
    if (isdigit((unsigned char)*e->at)) {
        char *end;
        int64_t v = strtoll(e->at, &end, 0);
        e->at = end;
        return v;
    }
    if (isalpha((unsigned char)*e->at))
        return name_value(e);
    e->bad = true;
    return 0;
}

static int64_t product(struct expression *e)
{
    int64_t v = primary(e);
    for (;;) {
        if (take(e, "*"))
            v = wrapped(v, '*', primary(e));
        else if (take(e, "//") || take(e, "/")) {
            int64_t d = primary(e);
            e->bad |= d == 0;
            v = d == 0 ? 0 : d == -1 ? wrapped(0, '-', v) : v / d;
        } else
            return v;
    }
}

static int64_t sum(struct expression *e)
{
    int64_t v = product(e);
    for (;;) {
        if (take(e, "+"))
            v = wrapped(v, '+', product(e));
        else if (take(e, "-"))
            v = wrapped(v, '-', product(e));
        else
            return v;
    }
}

static int64_t comparison(struct expression *e)
{
    if (take(e, "not"))
        return !deeper(e, comparison);
    int64_t v = sum(e), w;
    bool holds = true, any = false;
    for (;; any = true, v = w) { /* a < b < c, as Python has it */
        if (take(e, "=="))
            holds &= v == (w = sum(e));
        else if (take(e, "!="))
            holds &= v != (w = sum(e));
        else if (take(e, "<="))
            holds &= v <= (w = sum(e));
        else if (take(e, ">="))
            holds &= v >= (w = sum(e));
        else if (take(e, "<"))
            holds &= v < (w = sum(e));
        else if (take(e, ">"))
            holds &= v > (w = sum(e));
        else
            return any ? holds : v;
    }
}

static int64_t all_of(struct expression *e)
{
    int64_t v = comparison(e);
    while (take(e, "and")) {
        int64_t w = comparison(e);
        v = v && w;
    }
    return v;
}

static int64_t any_of(struct expression *e)
{
    int64_t v = all_of(e);
    while (take(e, "or")) {
        int64_t w = all_of(e);
        v = v || w;
    }
    return v;
}

static void lines_skip(struct expression *e)
{
    while (isspace((unsigned char)*e->at) || *e->at == ';')
        e->at++;
    while (*e->at == '#') {
        while (*e->at && *e->at != '\n')
            e->at++;
        while (isspace((unsigned char)*e->at))
            e->at++;
    }
}

bool expression_check(const struct tcp_info *info, const char *text, char *why, size_t size)
{
    struct expression e = {.at = text};
    linux_tcp_info_fill(info, &e.info);
    for (lines_skip(&e); *e.at; lines_skip(&e)) {
        if (!take(&e, "assert")) {
            snprintf(why, size, "'assert' was expected at: %.40s", e.at);
            return false;
        }
        const char *start = e.at;
        e.seen[0] = 0;
        bool holds = any_of(&e) != 0;
        while (!e.bad && take(&e, ",")) /* what Python would print */
            (void)any_of(&e);
        if (e.bad || !holds) {
            snprintf(why, size, "%s:%.*s (%.200s)", e.bad ? "cannot be computed" : "does not hold",
                     (int)(e.at - start > 120 ? 120 : e.at - start), start, e.seen);
            return false;
        }
    }
    return true;
}
