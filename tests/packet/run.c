/* SPDX-License-Identifier: BSD-3-Clause
 * The events of a script, one after the other, against one stack in one address family.
 */
#include "tests/packet/run.h"
#include "tests/packet/calls.h"
#include <stdarg.h>
#include <stdio.h>

struct run {
    struct script *script;
    const struct script_event *event;
    struct host host;
    struct calls calls;
    const struct script_event *pending; /* a call that blocks */
    bool strict;
    bool failed;
    char *why;
    size_t why_size;
};

static void __attribute__((format(printf, 2, 3))) fail(struct run *r, const char *format, ...)
{
    va_list args;
    char text[700];
    if (r->failed)
        return;
    r->failed = true;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(r->why, r->why_size, "%s:%u: IPv%d: %s", r->script->path, r->event->line,
             r->host.ip6 ? 6 : 4, text);
}

static int64_t script_time(const struct run *r)
{
    return (int64_t)((r->host.now - HOST_START) / TG_US);
}

static tg_ns host_time(int64_t us)
{
    return HOST_START + (tg_ns)us * TG_US;
}

static void advance(struct run *r, tg_ns until, bool stop)
{
    const char *wrong = host_advance(&r->host, until, stop);
    if (wrong)
        fail(r, "tcp_check: %s", wrong);
    calls_events(&r->calls);
}

/* --- calls --------------------------------------------------------------------------------------------------- */

static bool result_wanted(const struct script_call *call, const struct call_result *got)
{
    if (!call->result.is_number)
        return true;
    if (call->result.number != got->value)
        return false;
    return strcmp(call->error, got->error ? got->error : "") == 0;
}

/* getsockopt(fd, level, name, [value], [size]) and ioctl(fd, what, [value]). */
static bool out_wanted(const struct script_call *call, const struct call_result *got)
{
    char text[SCRIPT_TEXT_MAX];
    unsigned at = strcmp(call->name, "ioctl") == 0 ? 2 : 3;
    if (!got->out[0] || at >= call->arg_count || strcmp(call->args[at].text, "...") == 0)
        return true;
    snprintf(text, sizeof text, "[%s]", got->out);
    return strcmp(text, call->args[at].text) == 0;
}

static void call_judge(struct run *r, const struct script_call *call, const struct call_result *got)
{
    if (got->unknown)
        fail(r, "%s(%s): this runner has no such call", call->name,
             call->arg_count > 2 ? call->args[2].text : "");
    else if (!result_wanted(call, got))
        fail(r, "%s returned %lld %s, wanted %lld %s", call->name, (long long)got->value,
             got->error ? got->error : "", (long long)call->result.number, call->error);
    else if (!out_wanted(call, got))
        fail(r, "%s gave %s", call->name, got->out);
    else if (r->calls.wrong_byte)
        fail(r, "%s gave a byte that the peer did not send", call->name);
}

static bool call_blocks(const struct run *r, const struct script_call *call,
                        const struct call_result *got)
{
    int64_t number = (call->arg_count ? call->args[0].number : 0) - CALLS_FD_FIRST;
    return got->would_block && number >= 0 && number < CALLS_SOCKETS &&
           !r->calls.sockets[number].nonblocking;
}

static void call_run(struct run *r, const struct script_event *e)
{
    struct call_result got = calls_do(&r->calls, &e->call);
    if (call_blocks(r, &e->call, &got)) {
        if (!e->blocking)
            fail(r, "%s would block, and the script gives it no time", e->call.name);
        r->pending = e;
        return;
    }
    call_judge(r, &e->call, &got);
}

/* Has the call that blocks come to its end? */
static void pending_look(struct run *r)
{
    if (!r->pending || r->failed)
        return;
    struct call_result got = calls_do(&r->calls, &r->pending->call);
    if (call_blocks(r, &r->pending->call, &got))
        return;
    r->event = r->pending;
    r->pending = NULL;
    call_judge(r, &r->event->call, &got);
}

/* --- packets --------------------------------------------------------------------------------------------------- */

static void out_expect(struct run *r, const struct script_event *e, int64_t early, int64_t late)
{
    char wanted[700], got[700], why[80];
    segment_print(&e->segment, wanted, sizeof wanted);
    int64_t end = e->time_kind == TIME_ANY ? script_time(r) + 3600 * 1000000ll
                                           : late + r->script->tolerance_us;
    advance(r, host_time(end), true);
    const struct host_packet *p = host_next(&r->host);
    if (r->failed)
        return;
    if (!p) {
        fail(r, "the stack sent nothing; wanted %s", wanted);
        return;
    }
    int64_t at = (int64_t)((p->time - HOST_START) / TG_US);
    segment_print(&p->segment, got, sizeof got);
    if (!packet_matches(&e->segment, &p->segment, why, sizeof why))
        fail(r, "%s\n      wanted > %s\n      got    > %s  at %.6f", why, wanted, got,
             (double)at / 1e6);
    else if (e->time_kind != TIME_ANY && at < early - r->script->tolerance_us)
        fail(r, "too early: %s at %.6f, wanted %.6f", got, (double)at / 1e6, (double)early / 1e6);
    else if (p->bad_byte != UINT32_MAX)
        fail(r, "byte %u of %s is not the one that was written", p->bad_byte, got);
}

static void unexpected_refuse(struct run *r)
{
    char got[700];
    const struct host_packet *p = r->failed || !r->strict ? NULL : host_next(&r->host);
    if (!p)
        return;
    segment_print(&p->segment, got, sizeof got);
    fail(r, "nobody expected > %s  at %.6f", got, (double)(p->time - HOST_START) / 1e9);
}

/* --- the whole --------------------------------------------------------------------------------------------------- */

static void command_run(struct run *r, const char *text)
{
    (void)r;
    (void)text; /* never executed: a script must not reach the machine */
}

static void event_do(struct run *r, const struct script_event *e)
{
    char why[500];
    switch (e->kind) {
    case EVENT_IN:
        unexpected_refuse(r);
        host_receive(&r->host, &e->segment);
        break;
    case EVENT_ICMP:
        if (!host_receive_icmp(&r->host, &e->icmp))
            fail(r, "this family has no such ICMP message: %s", e->icmp.name);
        break;
    case EVENT_CALL:
        call_run(r, e);
        break;
    case EVENT_CODE:
        if (!expression_check(&r->calls, e->text, why, sizeof why))
            fail(r, "%s", why);
        break;
    case EVENT_COMMAND:
        command_run(r, e->text);
        break;
    case EVENT_OUT:
        break; /* has its own way */
    }
    advance(r, r->host.now, false);
}

static void event_run(struct run *r, const struct script_event *e, int64_t *previous)
{
    int64_t base = e->time_kind == TIME_RELATIVE ? *previous : 0;
    int64_t early = base + e->time_us;
    int64_t late = e->time_end_us >= 0 && !e->blocking ? base + e->time_end_us : early;
    r->event = e;
    if (e->kind == EVENT_OUT) {
        out_expect(r, e, early, late);
        *previous = e->time_kind == TIME_ANY ? script_time(r)
                    : early > script_time(r) ? early
                                             : script_time(r);
        if (e->time_kind != TIME_ANY && e->time_end_us < 0)
            *previous = early;
    } else {
        if (e->time_kind != TIME_ANY)
            advance(r, host_time(early), false);
        event_do(r, e);
        *previous = e->time_kind == TIME_ANY ? script_time(r) : early;
    }
    pending_look(r);
}

static void knobs_read(struct run *r)
{
    (void)r;
}

bool script_run(struct script *script, bool ip6, bool strict, char *why, size_t size)
{
    static struct run run; /* large */
    struct run *r = &run;
    memset(r, 0, sizeof *r);
    r->script = script;
    r->strict = strict;
    r->why = why;
    r->why_size = size;
    r->event = script->events;
    int64_t previous = 0;
    host_defaults(&r->host, ip6);
    knobs_read(r);
    if (!host_open(&r->host)) {
        fail(r, "the stack refuses its configuration");
        return false;
    }
    calls_init(&r->calls, &r->host);
    for (unsigned i = 0; i < script->count && !r->failed; i++)
        event_run(r, &script->events[i], &previous);
    if (r->pending && !r->failed) {
        r->event = r->pending;
        fail(r, "%s blocks at the end of the script", r->pending->call.name);
    }
    unexpected_refuse(r);
    if (!host_close(&r->host) && !r->failed)
        fail(r, "frames or timers were not given back");
    return !r->failed;
}
