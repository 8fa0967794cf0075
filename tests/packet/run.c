/* SPDX-License-Identifier: BSD-3-Clause
 * The events of a script, one after the other, against one stack in one address family.
 */
#include "tests/packet/run.h"
#include "tests/packet/calls.h"
#include "tests/packet/expression.h"
#include "tests/packet/knobs.h"
#include <stdarg.h>
#include <stdio.h>

/* tcp_rmem of those who write scripts for Linux: a window scale of 8. */
#define LAX_RECEIVE_WINDOW 15728640

struct run {
    struct script *script;
    const struct script_event *event;
    struct host host;
    struct calls calls;
    const struct script_event *pending; /* a call that blocks ... */
    int64_t pending_end;                /* ... until then */
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
    return (int64_t)(r->host.node.now - r->host.start);
}

static tg_ns host_time(const struct run *r, int64_t ns)
{
    return r->host.start + (tg_ns)ns;
}

static int64_t least_tolerance(const struct run *r)
{
    return r->script->tolerance_us * (int64_t)TG_US;
}

static void pending_look(struct run *r);

/* While a call blocks, it is asked after each timer: its end is due at a time of its own. */
static void advance(struct run *r, tg_ns until, bool stop)
{
    do {
        tg_ns next = until;
        if (r->pending) {
            next = timers_next(&r->host.node.wheel);
            next = next > r->host.node.now ? next : r->host.node.now + TIMER_TICK;
        }
        const char *wrong = host_advance(&r->host, next < until ? next : until, stop);
        if (wrong)
            fail(r, "tcp_check: %s", wrong);
        socks_events(&r->calls.socks);
        pending_look(r);
    } while (r->host.node.now < until && !r->failed && !(stop && r->host.first != r->host.end));
}

/* --- calls --------------------------------------------------------------------------------------------------- */

static const char *error_name(int error)
{
    const char *name = error ? strerrorname_np(error) : "";
    return name ? name : "?";
}

static bool result_wanted(const struct script_call *call, const struct call_result *got)
{
    if (!call->result.is_number)
        return true;
    if (call->result.number != got->value)
        return false;
    return strcmp(call->error, error_name(got->error)) == 0;
}

/* getsockopt(fd, level, name, [value], [size]) and ioctl(fd, what, [value]). */
static bool out_wanted(const struct script_call *call, const struct call_result *got)
{
    char text[SCRIPT_TEXT_MAX];
    unsigned at = strcmp(call->name, "ioctl") == 0 ? 2 : 3;
    if (!got->out[0] || at >= call->arg_count || strcmp(call->args[at].text, "...") == 0)
        return true;
    snprintf(text, sizeof text, "[%s]", got->out);
    return strcmp(text, call->args[at].text) == 0 || strcmp(got->out, call->args[at].text) == 0;
}

static void call_judge(struct run *r, const struct script_call *call, const struct call_result *got)
{
    if (got->unknown)
        fail(r, "%s: this runner does not know %.100s", call->name, got->unknown);
    else if (!result_wanted(call, got))
        fail(r, "%s returned %lld %s, wanted %lld %s", call->name, (long long)got->value,
             error_name(got->error), (long long)call->result.number, call->error);
    else if (!out_wanted(call, got))
        fail(r, "%s gave %s", call->name, got->out);
    else if (got->mismatch[0])
        fail(r, "%s: %s", call->name, got->mismatch);
    else if (r->calls.wrong_byte)
        fail(r, "%s gave a byte that the peer did not send", call->name);
}

static void call_run(struct run *r, const struct script_event *e)
{
    struct call_result got = calls_do(&r->calls, &e->call);
    if (got.would_block && !got.unknown) {
        if (!e->blocking)
            fail(r, "%s would block, and the script gives it no time", e->call.name);
        if (r->pending)
            fail(r, "two calls block at the same time");
        r->pending = e;
        return;
    }
    call_judge(r, &e->call, &got);
}

/* Has the call that blocks come to its end? At its time? */
static void pending_look(struct run *r)
{
    if (!r->pending || r->failed)
        return;
    struct call_result got = calls_do(&r->calls, &r->pending->call);
    const struct script_event *current = r->event;
    if (got.would_block)
        return;
    r->event = r->pending;
    r->pending = NULL;
    call_judge(r, &r->event->call, &got);
    int64_t now = script_time(r), late = now - r->pending_end;
    if (late > least_tolerance(r) || -late > least_tolerance(r))
        fail(r, "%s ended at %.6f, wanted %.6f", r->event->call.name, (double)now / 1e9,
             (double)r->pending_end / 1e9);
    r->event = current;
}

/* --- packets --------------------------------------------------------------------------------------------------- */

/* Other stacks leave segmentation to the network card, and their scripts expect the segment before it: take the packets that
 * follow in time until they are as long as what is wanted. PSH is each system's own. */
static void segments_join(struct run *r, const struct script_segment *wanted, struct host_packet *p,
                          tg_ns until)
{
    struct host *host = &r->host;
    while (p->segment.len && p->segment.len < wanted->len) {
        if (host->first == host->end)
            advance(r, until, true); /* paced */
        const struct host_packet *next = &host->queue[host->first % HOST_QUEUE_MAX];
        if (host->first == host->end || next->segment.len == 0 ||
            next->segment.seq != p->segment.seq + p->segment.len)
            break;
        p->segment.len += next->segment.len;
        p->segment.flags |= next->segment.flags;
        host->first++;
    }
    p->segment.flags = (uint8_t)((p->segment.flags & ~TCP_PSH) | (wanted->flags & TCP_PSH));
}

/* packetdrill allows an eighth of the time since the event before, too, where the script does not say otherwise. */
static int64_t tolerance(const struct run *r, const struct script_event *e)
{
    int64_t eighth = e->time_kind == TIME_RELATIVE && !r->strict ? e->time_ns / 8 : 0;
    return eighth > least_tolerance(r) ? eighth : least_tolerance(r);
}

static void out_expect(struct run *r, const struct script_event *e, int64_t early, int64_t late)
{
    char wanted[700], got[700], why[80];
    segment_print(&e->segment, wanted, sizeof wanted);
    int64_t end =
        e->time_kind == TIME_ANY ? script_time(r) + 3600 * (int64_t)TG_S : late + tolerance(r, e);
    advance(r, host_time(r, end), true);
    struct host_packet *p = host_next(&r->host);
    if (r->failed)
        return;
    if (!p) {
        fail(r, "the stack sent nothing; wanted %s", wanted);
        return;
    }
    int64_t at = (int64_t)(p->time - r->host.start);
    if (!r->strict)
        segments_join(r, &e->segment, p, host_time(r, end));
    packet_ts_relative(&r->host, &e->segment, &p->segment);
    segment_print(&p->segment, got, sizeof got);
    if (!packet_matches(&e->segment, &p->segment, (unsigned)(r->script->tolerance_us / 1000), why,
                        sizeof why))
        fail(r, "%s\n      wanted > %s\n      got    > %s  at %.6f", why, wanted, got,
             (double)at / 1e9);
    else if (e->time_kind != TIME_ANY && at < early - tolerance(r, e))
        fail(r, "too early: %s at %.6f, wanted %.6f", got, (double)at / 1e9, (double)early / 1e9);
    else if (p->bad_byte != UINT32_MAX)
        fail(r, "byte %u of %s is not the one that was written", p->bad_byte, got);
}

static void unexpected_refuse(struct run *r)
{
    char got[700];
    struct host_packet *p = r->failed || !r->strict ? NULL : host_next(&r->host);
    if (!p)
        return;
    segment_print(&p->segment, got, sizeof got);
    fail(r, "nobody expected > %s  at %.6f", got, (double)(p->time - r->host.start) / 1e9);
}

/* --- the whole --------------------------------------------------------------------------------------------------- */

static void code_run(struct run *r, const char *text)
{
    char why[500];
    struct tcp_info info;
    if (tcp_get_info(r->host.node.tcp, socks_connection(&r->calls.socks), &info) != TG_OK)
        fail(r, "there is no connection to ask");
    else if (!expression_check(&info, text, why, sizeof why))
        fail(r, "%s", why);
}

static void event_do(struct run *r, const struct script_event *e)
{
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
        if (r->script
                ->turns) { /* the application comes behind the segments and timers, in front of the output */
            host_begin_turn(&r->host);
            socks_events(&r->calls.socks);
        }
        call_run(r, e);
        break;
    case EVENT_CODE:
        code_run(r, e->text);
        break;
    case EVENT_COMMAND: /* never executed: a script must not reach the machine; run_knobs has read it */
    case EVENT_OUT:     /* has its own way */
        break;
    }
    if (!r->failed && !r->script->turns)
        advance(r, r->host.node.now, false);
}

/* The turn at `when`: the one before it ends, and nothing has happened in this one yet. */
static void turn_reach(struct run *r, tg_ns when)
{
    if (when <= r->host.node.now)
        return;
    advance(r, when - 1, false);
    r->host.node.now = when;
}

static void event_run(struct run *r, const struct script_event *e, int64_t *previous)
{
    int64_t base = e->time_kind == TIME_RELATIVE ? *previous : 0;
    int64_t early = base + e->time_ns;
    int64_t late = e->time_end_ns >= 0 && !e->blocking ? base + e->time_end_ns : early;
    r->event = e;
    if (e->kind == EVENT_OUT) {
        out_expect(r, e, early, late);
        *previous = e->time_kind == TIME_ANY ? script_time(r)
                    : early > script_time(r) ? early
                                             : script_time(r);
        if (e->time_kind != TIME_ANY && e->time_end_ns < 0)
            *previous = early;
    } else {
        if (e->time_kind != TIME_ANY && r->script->turns)
            turn_reach(r, host_time(r, early));
        else if (e->time_kind != TIME_ANY)
            advance(r, host_time(r, early), false);
        if (e->blocking)
            r->pending_end = base + e->time_end_ns;
        event_do(r, e);
        *previous = e->time_kind == TIME_ANY ? script_time(r) : early;
    }
    pending_look(r);
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
    if (script->count == 0) {
        snprintf(why, size, "%s: no event", script->path);
        return false;
    }
    int64_t previous = 0;
    host_defaults(&r->host, ip6);
    if (!strict)
        r->host.config.receive_window_max = LAX_RECEIVE_WINDOW;
    for (unsigned i = 0; i < script->count; i++)
        if (script->events[i].kind == EVENT_COMMAND)
            knobs_read(&r->host, script->events[i].text, script->verbose ? script->path : NULL);
    if (!host_open(&r->host)) {
        fail(r, "the stack refuses its configuration");
        return false;
    }
    r->host.turns = script->turns;
    calls_init(&r->calls, &r->host);
    for (unsigned i = 0; i < script->count && !r->failed; i++)
        event_run(r, &script->events[i], &previous);
    if (script->turns && !r->failed)
        advance(r, r->host.node.now, false);
    if (r->pending && !r->failed)
        advance(r, host_time(r, r->pending_end + least_tolerance(r)), false);
    if (r->pending && !r->failed) {
        r->event = r->pending;
        fail(r, "%s blocks at the end of the script", r->pending->call.name);
    }
    unexpected_refuse(r);
    if (!host_close(&r->host) && !r->failed)
        fail(r, "frames or timers were not given back");
    return !r->failed;
}
