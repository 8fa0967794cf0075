/* SPDX-License-Identifier: BSD-3-Clause
 * Text to events: times, segments, socket calls, assertions. A script that does not parse says where and why.
 */
#include "net/wire.h"
#include "tests/packet/lex.h"
#include "tests/packet/script.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- segments ------------------------------------------------------------------------------------------- */

static bool flags_parse(struct lex *lex, uint8_t *flags)
{
    static const struct {
        char letter;
        uint8_t flag;
    } letters[] = {{'S', TCP_SYN}, {'F', TCP_FIN}, {'R', TCP_RST},         {'P', TCP_PSH},
                   {'U', TCP_URG}, {'.', TCP_ACK}, {'E', SCRIPT_FLAG_ECE}, {'W', SCRIPT_FLAG_CWR}};
    lex_skip(lex, true);
    unsigned n = 0;
    *flags = 0;
    if (lex->at < lex->end && *lex->at == '-') {
        lex->at++;
        return true;
    }
    for (bool found = true; found && lex->at < lex->end;) {
        found = false;
        for (unsigned i = 0; i < TG_ARRAY_LEN(letters); i++)
            if (*lex->at == letters[i].letter) {
                *flags |= letters[i].flag;
                found = true;
            }
        lex->at += found;
        n += found;
    }
    return n > 0 || lex_error(lex, "TCP flags were expected: letters of SFRPU.EW, or -");
}

static bool seq_parse(struct lex *lex, uint32_t *out)
{
    uint64_t n;
    if (!lex_number(lex, &n))
        return false;
    *out = (uint32_t)n;
    return n <= UINT32_MAX || lex_error(lex, "a sequence number has 32 bits");
}

static bool kind_note(struct lex *lex, struct script_segment *s, uint8_t kind)
{
    if (s->kind_count == TCP_OPTIONS_MAX)
        return lex_error(lex, "too many options");
    s->kinds[s->kind_count++] = kind;
    return true;
}

static bool sack_parse(struct lex *lex, struct script_segment *s)
{
    struct tcp_options *o = &s->options;
    while (isdigit((unsigned char)lex_peek(lex))) {
        if (o->sack_count == TCP_SACK_BLOCKS_MAX)
            return lex_error(lex, "an option holds four SACK blocks");
        struct tcp_sack_block *block = &o->sack[o->sack_count++];
        if (!seq_parse(lex, &block->left) || !lex_expect(lex, ":") ||
            !seq_parse(lex, &block->right))
            return false;
    }
    return kind_note(lex, s, 5);
}

static bool timestamps_parse(struct lex *lex, struct script_segment *s)
{
    struct tcp_options *o = &s->options;
    o->has_timestamps = true;
    if (!lex_expect(lex, "val"))
        return false;
    s->any_ts_value = lex_take(lex, "...");
    if (!s->any_ts_value && !seq_parse(lex, &o->ts_value))
        return false;
    if (!lex_expect(lex, "ecr"))
        return false;
    s->any_ts_echo = lex_take(lex, "...");
    if (!s->any_ts_echo && !seq_parse(lex, &o->ts_echo))
        return false;
    return kind_note(lex, s, 8);
}

static bool option_parse(struct lex *lex, struct script_segment *s)
{
    uint64_t n = 0;
    if (lex_take_word(lex, "nop"))
        return kind_note(lex, s, 1);
    if (lex_take_word(lex, "eol"))
        return kind_note(lex, s, 0);
    if (lex_take_word(lex, "sackOK")) {
        s->options.sack_permitted = true;
        return kind_note(lex, s, 4);
    }
    if (lex_take_word(lex, "sack"))
        return sack_parse(lex, s);
    if (lex_take_word(lex, "TS"))
        return timestamps_parse(lex, s);
    if (lex_take_word(lex, "mss")) {
        s->options.has_mss = true;
        if (!lex_number(lex, &n) || n > 65535)
            return lex_error(lex, "an MSS has 16 bits");
        s->options.mss = (uint16_t)n;
        return kind_note(lex, s, 2);
    }
    if (lex_take_word(lex, "wscale")) {
        s->options.has_wscale = true;
        if (!lex_number(lex, &n) || n > 255)
            return lex_error(lex, "a window scale has 8 bits");
        s->options.wscale = (uint8_t)n;
        return kind_note(lex, s, 3);
    }
    return lex_error(lex, "no such TCP option: mss, wscale, sackOK, sack, TS, nop, eol");
}

static bool options_parse(struct lex *lex, struct script_segment *s)
{
    if (lex_take(lex, "...")) {
        s->any_options = true;
        return lex_expect(lex, ">");
    }
    do {
        if (!option_parse(lex, s))
            return false;
    } while (lex_take(lex, ","));
    return lex_expect(lex, ">");
}

static bool ecn_parse(struct lex *lex, enum ecn_kind *ecn)
{
    static const char *const names[] = {"any", "noecn", "ect0", "ect1", "ce"};
    char word[32];
    *ecn = ECN_ANY;
    if (!lex_take(lex, "["))
        return true;
    if (!lex_until(lex, "]", word, sizeof word))
        return false;
    for (unsigned i = 0; i < TG_ARRAY_LEN(names); i++)
        if (strcmp(word, names[i]) == 0) {
            *ecn = (enum ecn_kind)i;
            return true;
        }
    return lex_error(lex, "noecn, ect0, ect1 or ce was expected");
}

static bool segment_parse(struct lex *lex, struct script_segment *s)
{
    uint32_t end, len;
    uint64_t n;
    *s = (struct script_segment){0};
    if (!ecn_parse(lex, &s->ecn) || !flags_parse(lex, &s->flags) || !seq_parse(lex, &s->seq) ||
        !lex_expect(lex, ":") || !seq_parse(lex, &end) || !lex_expect(lex, "(") ||
        !seq_parse(lex, &len) || !lex_expect(lex, ")"))
        return false;
    s->len = len;
    if (end - s->seq != len)
        return lex_error(lex, "end minus sequence number is not the length");
    if (len > 65000)
        return lex_error(lex, "a segment carries at most 65,000 bytes here");
    if (lex_take_word(lex, "ack")) {
        s->has_ack = true;
        if (!seq_parse(lex, &s->ack))
            return false;
    }
    if (lex_take_word(lex, "win")) {
        s->has_window = true;
        if (!lex_number(lex, &n) || n > 65535)
            return lex_error(lex, "a window has 16 bits");
        s->window = (uint16_t)n;
    }
    if (lex_take_word(lex, "urg")) {
        if (!lex_number(lex, &n) || n > 65535)
            return lex_error(lex, "an urgent pointer has 16 bits");
        s->urgent = (uint16_t)n;
    }
    lex_skip(lex, false); /* a '<' on the next line is a packet */
    if (lex->at == lex->end || *lex->at != '<')
        return true;
    lex->at++;
    return options_parse(lex, s);
}

static bool icmp_parse(struct lex *lex, struct script_icmp *icmp)
{
    uint64_t mtu;
    uint32_t end, len;
    *icmp = (struct script_icmp){0};
    if (!lex_take_word(lex, "unreachable") && !lex_take_word(lex, "packet_too_big"))
        return lex_error(lex, "icmp unreachable or icmp packet_too_big was expected");
    if (lex_peek(lex) != '[' && lex_peek(lex) != 'm' &&
        !lex_word(lex, icmp->name, sizeof icmp->name))
        return lex_error(lex, "a code was expected");
    if (lex_take_word(lex, "mtu")) {
        if (!lex_number(lex, &mtu) || mtu > UINT32_MAX)
            return lex_error(lex, "an MTU has 32 bits");
        icmp->mtu = (uint32_t)mtu;
    }
    if (!lex_expect(lex, "[") || !seq_parse(lex, &icmp->seq) || !lex_expect(lex, ":") ||
        !seq_parse(lex, &end) || !lex_expect(lex, "(") || !seq_parse(lex, &len))
        return false;
    icmp->len = len;
    return lex_expect(lex, ")") && lex_expect(lex, "]");
}

/* --- calls ------------------------------------------------------------------------------------------------ */

/* An argument up to ',' or ')' outside of brackets. */
static bool value_parse(struct lex *lex, struct script_value *v)
{
    unsigned depth = 0;
    size_t n = 0;
    lex_skip(lex, true);
    for (; lex->at < lex->end; lex->at++) {
        char c = *lex->at;
        if (depth == 0 && (c == ',' || c == ')' || c == '\n'))
            break;
        depth += c == '[' || c == '{' || c == '(';
        depth -= depth && (c == ']' || c == '}' || c == ')');
        if (n + 1 == sizeof v->text)
            return lex_error(lex, "the argument is too long");
        v->text[n++] = c;
    }
    while (n && v->text[n - 1] == ' ')
        n--;
    v->text[n] = 0;
    char *end;
    const char *digits = v->text[0] == '[' ? v->text + 1 : v->text;
    v->number = strtoll(digits, &end, 0);
    v->is_number = end != digits && (*end == 0 || *end == ']');
    return n > 0 || lex_error(lex, "an argument was expected");
}

static bool result_parse(struct lex *lex, struct script_call *call)
{
    char word[SCRIPT_TEXT_MAX];
    bool minus = lex_take(lex, "-");
    uint64_t n;
    if (lex_take(lex, "...")) {
        snprintf(call->result.text, sizeof call->result.text, "...");
        return true;
    }
    if (!lex_number(lex, &n))
        return false;
    call->result.is_number = true;
    call->result.number = minus ? -(int64_t)n : (int64_t)n;
    lex_skip(lex, false);
    if (lex->at < lex->end && *lex->at == 'E' && !lex_word(lex, call->error, sizeof call->error))
        return lex_error(lex, "the name of an error was expected");
    lex_skip(lex, false);
    if (lex->at < lex->end && *lex->at == '(') {
        lex->at++;
        return lex_until(lex, ")", word, sizeof word);
    }
    return true;
}

static bool call_parse(struct lex *lex, struct script_call *call)
{
    *call = (struct script_call){0};
    if (!lex_word(lex, call->name, sizeof call->name))
        return lex_error(lex, "a packet, a call, `command` or %{ code }% was expected");
    if (!lex_expect(lex, "("))
        return false;
    while (lex_peek(lex) != ')') {
        if (call->arg_count == SCRIPT_ARGS_MAX)
            return lex_error(lex, "too many arguments");
        if (!value_parse(lex, &call->args[call->arg_count++]))
            return false;
        if (!lex_take(lex, ",") && lex_peek(lex) != ')')
            return lex_error(lex, "',' or ')' was expected");
    }
    return lex_expect(lex, ")") && lex_expect(lex, "=") && result_parse(lex, call);
}

/* --- events ------------------------------------------------------------------------------------------------ */

static bool time_parse(struct lex *lex, struct script_event *e)
{
    e->time_end_ns = -1;
    if (lex_take(lex, "*")) {
        e->time_kind = TIME_ANY;
        return true;
    }
    e->time_kind = lex_take(lex, "+") ? TIME_RELATIVE : TIME_ABSOLUTE;
    if (!lex_seconds(lex, &e->time_ns))
        return false;
    if (lex_take(lex, "...")) {
        e->blocking = true;
        return lex_seconds(lex, &e->time_end_ns);
    }
    if (lex_take(lex, "~")) {
        lex_take(lex, "+");
        return lex_seconds(lex, &e->time_end_ns);
    }
    return true;
}

static bool body_parse(struct lex *lex, struct script_event *e)
{
    if (lex_take(lex, "%{")) {
        e->kind = EVENT_CODE;
        return lex_until(lex, "}%", e->text, sizeof e->text);
    }
    if (lex_take(lex, "`")) {
        e->kind = EVENT_COMMAND;
        return lex_until(lex, "`", e->text, sizeof e->text);
    }
    if (lex_take(lex, "<")) {
        e->kind = lex_take_word(lex, "icmp") ? EVENT_ICMP : EVENT_IN;
        return e->kind == EVENT_ICMP ? icmp_parse(lex, &e->icmp) : segment_parse(lex, &e->segment);
    }
    if (lex_take(lex, ">")) {
        e->kind = EVENT_OUT;
        return segment_parse(lex, &e->segment);
    }
    e->kind = EVENT_CALL;
    return call_parse(lex, &e->call);
}

/* "--ip_version=ipv4", "--tolerance_usecs=10000", "--turns"; others are for other systems. */
static bool setting_parse(struct lex *lex, struct script *script)
{
    char line[SCRIPT_TEXT_MAX];
    if (!lex_until(lex, "\n", line, sizeof line))
        return false;
    const char *value = strchr(line, '=');
    if (strncmp(line, "--turns", 7) == 0)
        script->turns = true;
    else if (strncmp(line, "--tolerance_usecs=", 18) == 0)
        script->tolerance_us = strtoll(value + 1, NULL, 10);
    else if (strncmp(line, "--ip_version=", 13) == 0) {
        script->ip4 = strcmp(value + 1, "ipv6") != 0;
        script->ip6 = strcmp(value + 1, "ipv4") != 0;
    }
    return true;
}

static bool event_parse(struct lex *lex, struct script *script)
{
    if (script->count == SCRIPT_EVENTS_MAX)
        return lex_error(lex, "more than 16,384 events");
    if (script->count == script->room) {
        script->room = script->room ? script->room * 2 : 32;
        script->events = realloc(script->events, script->room * sizeof *script->events);
        if (!script->events)
            abort();
    }
    struct script_event *e = &script->events[script->count];
    memset(e, 0, sizeof *e);
    e->line = lex_line(lex);
    e->time_kind = TIME_RELATIVE;
    e->time_end_ns = -1;
    char c = lex_peek(lex);
    bool timed = c == '+' || c == '*' || c == '.' || isdigit((unsigned char)c);
    if ((timed && !time_parse(lex, e)) || !body_parse(lex, e))
        return false;
    script->count++;
    return true;
}

bool script_parse(const char *text, size_t len, struct script *script)
{
    struct lex lex = {text, text, text + len, script->error};
    script->error[0] = 0;
    script->count = 0;
    script->tolerance_us = 4000;
    script->ip4 = script->ip6 = true;
    script->turns = false;
    script->events = NULL;
    script->room = 0;
    while (!lex_at_end(&lex)) {
        bool ok = lex.end - lex.at > 2 && memcmp(lex.at, "--", 2) == 0 ? setting_parse(&lex, script)
                                                                       : event_parse(&lex, script);
        if (!ok) {
            lex_error(&lex, "this cannot be read");
            return false;
        }
    }
    return true;
}

void script_free(struct script *script)
{
    free(script->events);
    script->events = NULL;
}
