/* SPDX-License-Identifier: BSD-3-Clause
 * A .pkt script as data: events in order of time. The language is packetdrill's (its reference is the project's own
 * documentation); README.md of this folder says which part of it we read.
 *
 *   lex, parse    text -> struct script
 *   packet        segments in and out: build, compare, print
 *   host          the stack under test, its wire, virtual time
 *   calls         socket calls on it
 *   expression    what %{ assert ... }% computes over TCP_INFO
 *   run           the events, one after the other
 */
#ifndef TESTS_PACKET_SCRIPT_H
#define TESTS_PACKET_SCRIPT_H

#include "base/types.h"
#include "tcp/tcp_options.h"

#define SCRIPT_EVENTS_MAX 16384
#define SCRIPT_TEXT_MAX   256
#define SCRIPT_ARGS_MAX   8
#define SCRIPT_FLAG_ECE   0x40
#define SCRIPT_FLAG_CWR   0x80

enum time_kind { TIME_ABSOLUTE, TIME_RELATIVE, TIME_ANY };

enum ecn_kind { ECN_ANY, ECN_NONE, ECN_ECT0, ECN_ECT1, ECN_CE };

/* One TCP segment, sequence numbers relative to the initial ones. */
struct script_segment {
    uint8_t flags; /* enum tcp_flag, ECE and CWR */
    uint32_t seq, len, ack;
    bool has_ack, has_window, any_options, any_ts_value, any_ts_echo;
    uint16_t window, urgent;
    enum ecn_kind ecn;
    struct tcp_options options;
    uint8_t kinds[TCP_OPTIONS_MAX]; /* option kinds in the order of the text, NOPs as 1 */
    unsigned kind_count;
};

/* An ICMP message about a segment that the stack has sent. */
struct script_icmp {
    uint8_t type, code; /* of the family that the script runs in: set by the runner */
    char name[32];      /* "frag_needed", "host_unreachable", ... */
    uint32_t mtu;
    uint32_t seq, len; /* quoted */
};

/* An argument or a result: a number where it is one, its text always. */
struct script_value {
    bool is_number;
    int64_t number;
    char text[SCRIPT_TEXT_MAX];
};

struct script_call {
    char name[32];
    struct script_value args[SCRIPT_ARGS_MAX];
    unsigned arg_count;
    struct script_value result;
    char error[32]; /* "EAGAIN", "" */
};

enum event_kind { EVENT_IN, EVENT_OUT, EVENT_ICMP, EVENT_CALL, EVENT_CODE, EVENT_COMMAND };

struct script_event {
    enum event_kind kind;
    unsigned line;
    enum time_kind time_kind;
    int64_t time_ns, time_end_ns; /* end: of a range, or of a blocking call; -1: none */
    bool blocking;
    union {
        struct script_segment segment;
        struct script_icmp icmp;
        struct script_call call;
        char text[2048]; /* code, command */
    };
};

struct script {
    const char *path;
    struct script_event *events;
    unsigned count, room;
    int64_t tolerance_us;
    bool ip4, ip6;   /* families that the script is for */
    bool turns;      /* what has the same time is one turn of the host, its segments one burst */
    bool verbose;    /* say which settings mean nothing here */
    char error[300]; /* of the parser: "line:column: what" */
};

/* Read a script; false leaves script->error. Events are the caller's: script_free. Never reads beyond text + len. */
bool script_parse(const char *text, size_t len, struct script *script);
void script_free(struct script *script);

/* A segment as a line of a script. */
void segment_print(const struct script_segment *segment, char *out, size_t size);

#endif
