/* SPDX-License-Identifier: BSD-3-Clause
 * Assertions over TCP_INFO: "assert tcpi_snd_cwnd == 10 and tcpi_unacked > 0, tcpi_snd_cwnd". Names and units are
 * Linux's; packetdrill hands such text to Python, of which this is the part that scripts use.
 */
#include "tests/packet/calls.h"
#include <ctype.h>
#include <stdio.h>

struct expression {
    const char *at;
    const struct tcp_info *info;
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

static int64_t state_number(uint8_t state)
{
    static const uint8_t numbers[TCP_S_COUNT] = {
        [TCP_S_CLOSED] = 7,       [TCP_S_LISTEN] = 10,     [TCP_S_SYN_SENT] = 2,
        [TCP_S_SYN_RECEIVED] = 3, [TCP_S_ESTABLISHED] = 1, [TCP_S_FIN_WAIT_1] = 4,
        [TCP_S_FIN_WAIT_2] = 5,   [TCP_S_CLOSE_WAIT] = 8,  [TCP_S_CLOSING] = 11,
        [TCP_S_LAST_ACK] = 9,     [TCP_S_TIME_WAIT] = 6};
    return state < TCP_S_COUNT ? numbers[state] : 0;
}

static int64_t segments(uint32_t bytes, const struct tcp_info *i)
{
    return i->mss ? (bytes + i->mss - 1) / i->mss : 0;
}

static bool value_of(const struct tcp_info *i, const char *name, int64_t *out)
{
    const struct {
        const char *name;
        int64_t value;
    } values[] = {
        {"tcpi_state", state_number(i->state)},
        {"tcpi_snd_cwnd", i->mss ? i->cwnd / i->mss : 0},
        {"tcpi_snd_ssthresh", i->ssthresh >= UINT32_MAX / 2 ? 0x7fffffff
                              : i->mss                      ? i->ssthresh / i->mss
                                                            : 0},
        {"tcpi_snd_mss", i->mss},
        {"tcpi_unacked", segments(i->unacked, i)},
        {"tcpi_notsent_bytes", i->unsent},
        {"tcpi_rtt", (int64_t)(i->srtt / TG_US)},
        {"tcpi_rto", (int64_t)(i->rto / TG_US)},
        {"tcpi_total_retrans", i->retransmits},
    };
    for (unsigned k = 0; k < TG_ARRAY_LEN(values); k++)
        if (strcmp(values[k].name, name) == 0) {
            *out = values[k].value;
            return true;
        }
    for (unsigned k = 0; k < TG_ARRAY_LEN(constants); k++)
        if (strcmp(constants[k].name, name) == 0) {
            *out = constants[k].value;
            return true;
        }
    return false;
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

static int64_t name_value(struct expression *e)
{
    char name[64];
    size_t n = 0;
    int64_t value = 0;
    while ((isalnum((unsigned char)*e->at) || *e->at == '_') && n + 1 < sizeof name)
        name[n++] = *e->at++;
    name[n] = 0;
    if (!value_of(e->info, name, &value)) {
        e->bad = true;
        snprintf(e->seen, sizeof e->seen, "%s is not known", name);
        return 0;
    }
    size_t used = strlen(e->seen);
    if (strncmp(name, "tcpi_", 5) == 0 && used + 90 < sizeof e->seen)
        snprintf(e->seen + used, sizeof e->seen - used, "%s=%lld ", name, (long long)value);
    return value;
}

static int64_t primary(struct expression *e)
{
    blanks(e);
    if (take(e, "(")) {
        int64_t v = any_of(e);
        e->bad |= !take(e, ")");
        return v;
    }
    if (take(e, "-"))
        return -primary(e);
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
            v *= primary(e);
        else if (take(e, "//") || take(e, "/")) {
            int64_t d = primary(e);
            v = d ? v / d : 0;
        } else
            return v;
    }
}

static int64_t sum(struct expression *e)
{
    int64_t v = product(e);
    for (;;) {
        if (take(e, "+"))
            v += product(e);
        else if (take(e, "-"))
            v -= product(e);
        else
            return v;
    }
}

static int64_t comparison(struct expression *e)
{
    if (take(e, "not"))
        return !comparison(e);
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

bool expression_check(struct calls *calls, const char *text, char *why, size_t size)
{
    struct tcp_info info;
    if (tcp_get_info(calls->host->tcp, calls_connection(calls), &info) != TG_OK) {
        snprintf(why, size, "there is no connection to ask");
        return false;
    }
    struct expression e = {.at = text, .info = &info};
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
