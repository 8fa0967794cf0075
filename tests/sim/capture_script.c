/* SPDX-License-Identifier: BSD-3-Clause
 * One connection of a captured run as a .pkt script (tests/packet/README.md): what the peer sent is `<`, what
 * the stack sent is `>`, and the calls of its application lie between. What the language cannot say is left
 * as a comment: damaged frames and faults inside of the host.
 */
#include "tests/sim/capture.h"
#include "tests/sim/frame.h"
#include "tests/sim/wire_oracle.h"
#include <stdio.h>

struct script {
    FILE *file;
    const struct capture *capture;
    unsigned port;
    uint16_t client_port;
    bool server; /* the port's side */
    bool v4;
    enum capture_kind arrival;
    uint32_t iss_out, iss_in;
    bool known_out, known_in;
};

static bool is_client_port(const struct capture *capture, uint16_t port)
{
    for (size_t i = 0; i < TG_ARRAY_LEN(capture->client_port); i++)
        if (port && capture->client_port[i] == port)
            return true;
    return false;
}

static bool is_out(const struct capture_record *r)
{
    return r->kind == CAPTURE_OUT || r->kind == CAPTURE_REFUSED;
}

static bool seen_of(const struct capture_record *r, struct wire_seen *seen)
{
    return r->kind != CAPTURE_CALL && wire_seen_read(span_make(r->bytes, r->len), is_out(r), seen);
}

uint16_t capture_last_flow(const struct capture *capture, unsigned port)
{
    for (size_t i = capture->count; i-- > 0;) {
        struct wire_seen s;
        if (capture->records[i].port != port || !seen_of(&capture->records[i], &s))
            continue;
        if (is_client_port(capture, s.local_port))
            return s.local_port;
        if (is_client_port(capture, s.remote_port))
            return s.remote_port;
    }
    return 0;
}

/* Since the start. */
static void say_time(struct script *s, tg_ns time)
{
    tg_ns since = time - s->capture->start;
    fprintf(s->file, "%llu.%09llu ", (unsigned long long)(since / TG_S),
            (unsigned long long)(since % TG_S));
}

/* --- options ------------------------------------------------------------------------------------------------ */

static void say_sack(struct script *s, const uint8_t *option, uint32_t base)
{
    fprintf(s->file, "sack");
    for (unsigned at = 2; at + 8 <= option[1]; at += 8)
        fprintf(s->file, " %u:%u", wire_get32(option + at) - base,
                wire_get32(option + at + 4) - base);
}

static void say_option(struct script *s, const uint8_t *option, bool out)
{
    switch (option[0]) {
    case 2:
        fprintf(s->file, "mss %u", wire_get16(option + 2));
        break;
    case 3:
        fprintf(s->file, "wscale %u", option[2]);
        break;
    case 4:
        fprintf(s->file, "sackOK");
        break;
    case 5:
        say_sack(s, option, out ? s->iss_in : s->iss_out);
        break;
    case 8:
        fprintf(s->file, "TS val %u ecr %u", wire_get32(option + 2), wire_get32(option + 6));
        break;
    }
}

static void say_options(struct script *s, const uint8_t *frame, const struct sim_layout *l,
                        bool out)
{
    const char *comma = "<";
    for (size_t at = l->tcp + TCP_BYTES; at < l->payload;) {
        unsigned len = frame[at] <= 1 ? 1 : at + 1 < l->payload ? frame[at + 1] : 0;
        if (len == 0 || at + len > l->payload || frame[at] == 0)
            break;
        fprintf(s->file, "%s", comma);
        comma = ",";
        if (frame[at] == 1)
            fprintf(s->file, "nop");
        else
            say_option(s, frame + at, out);
        at += len;
    }
    if (*comma == ',')
        fprintf(s->file, ">");
}

/* --- packets ------------------------------------------------------------------------------------------------ */

static void say_flags(struct script *s, uint8_t flags)
{
    static const char letters[] = "FSRP.UEW"; /* by bit */
    static const unsigned order[] = {1, 0, 2, 3, 5, 6, 7, 4};
    for (unsigned i = 0; i < TG_ARRAY_LEN(order); i++)
        if (flags >> order[i] & 1)
            fputc(letters[order[i]], s->file);
    if (flags == 0)
        fputc('-', s->file);
}

static void learn_numbers(struct script *s, const struct wire_seen *seen, bool out)
{
    if (!(seen->flags & TCP_SYN))
        return;
    if (out)
        s->iss_out = seen->seq, s->known_out = true;
    else
        s->iss_in = seen->seq, s->known_in = true;
}

static void say_segment(struct script *s, const struct capture_record *r,
                        const struct wire_seen *seen)
{
    struct sim_layout l;
    static const char *const ecn[] = {"", "[ect1] ", "[ect0] ", "[ce] "};
    bool out = is_out(r);
    learn_numbers(s, seen, out);
    uint32_t seq = seen->seq - (out ? s->iss_out : s->iss_in);
    say_time(s, r->time);
    fprintf(s->file, "%c %s", out ? '>' : '<', ecn[seen->ecn]);
    say_flags(s, seen->flags);
    fprintf(s->file, " %u:%u(%u)", seq, seq + seen->bytes, seen->bytes);
    if (seen->flags & TCP_ACK)
        fprintf(s->file, " ack %u", seen->ack - (out ? s->iss_in : s->iss_out));
    if (!out)
        fprintf(s->file, " win %u ", seen->window);
    else
        fprintf(s->file, " ");
    if (sim_layout_find(span_make(r->bytes, r->len), &l))
        say_options(s, r->bytes, &l, out);
    fprintf(s->file, "\n");
}

static bool is_too_big(const struct script *s, const struct capture_record *r)
{
    size_t head = s->v4 ? IP4_BYTES : IP6_BYTES;
    const uint8_t *ip = r->bytes + ETH_BYTES, *icmp = ip + head;
    if (r->len < ETH_BYTES + 2 * head + 8 + 8)
        return false;
    if (s->v4)
        return wire_get16(r->bytes + 12) == ETHERTYPE_IP4 && ip[9] == IP_PROTO_ICMP &&
               icmp[0] == 3 && icmp[1] == 4;
    return wire_get16(r->bytes + 12) == ETHERTYPE_IP6 && ip[6] == IP_PROTO_ICMP6 && icmp[0] == 2;
}

/* A frame of this port that is not TCP, or broken: too-big messages are said, all else is a remark. */
static void say_other(struct script *s, const struct capture_record *r)
{
    size_t head = s->v4 ? IP4_BYTES : IP6_BYTES;
    const uint8_t *icmp = r->bytes + ETH_BYTES + head, *quoted = icmp + 8, *tcp = quoted + head;
    if (!is_out(r) && is_too_big(s, r) &&
        (wire_get16(tcp) == s->client_port || wire_get16(tcp + 2) == s->client_port)) {
        uint32_t seq = wire_get32(tcp + 4) - s->iss_out;
        uint32_t bytes = s->v4 ? wire_get16(quoted + 2) - IP4_BYTES : wire_get16(quoted + 4);
        bytes -= TCP_BYTES;
        say_time(s, r->time);
        fprintf(s->file, "< icmp unreachable frag_needed mtu %u [%u:%u(%u)]\n",
                wire_get16(icmp + 6), seq, seq + bytes, bytes);
        return;
    }
    struct sim_layout l;
    if (sim_layout_find(span_make(r->bytes, r->len), &l))
        fprintf(s->file, "// a damaged segment arrives\n");
}

static void say_call(struct script *s, const struct capture_record *r)
{
    if (s->capture->client_port[r->connection & 255] != s->client_port)
        return;
    say_time(s, r->time);
    for (const char *c = (const char *)r->bytes; *c; c++)
        fputc(*c == '@' ? s->server ? '4' : '3' : *c, s->file);
    fputc('\n', s->file);
}

static bool concerns(const struct script *s, const struct wire_seen *seen)
{
    return (s->server ? seen->remote_port : seen->local_port) == s->client_port;
}

/* It answers a SYN. */
static bool listens(const struct script *s)
{
    for (size_t i = 0; i < s->capture->count; i++) {
        struct wire_seen seen;
        const struct capture_record *r = &s->capture->records[i];
        if (r->port == s->port && is_out(r) && seen_of(r, &seen) && concerns(s, &seen) &&
            seen.flags & TCP_SYN)
            return true;
    }
    return false;
}

/* The neighbour's hardware address was known when the first segment of this family left. */
static tg_ns neighbour_known(const struct script *s)
{
    for (size_t i = 0; i < s->capture->count; i++) {
        struct wire_seen seen;
        const struct capture_record *r = &s->capture->records[i];
        if (r->port == s->port && is_out(r) && seen_of(r, &seen) &&
            ip_addr_is4(&seen.local) == s->v4)
            return r->time;
    }
    return 0;
}

static void say_preamble(struct script *s, const char *remark)
{
    fprintf(s->file, "// %s\n// Written by tidegate-sim: one connection as the %s saw it.\n",
            remark, s->server ? "server" : "client");
    fprintf(s->file, "--ip_version=%s\n--turns\n%s\n", s->v4 ? "ipv4" : "ipv6",
            s->capture->settings[s->port]);
    fprintf(s->file, "`sysctl -q tidegate.neighbour_ns=%llu`\n",
            (unsigned long long)neighbour_known(s));
    fprintf(s->file, "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n");
    if (s->server && listens(s))
        fprintf(s->file, "+0 bind(3, ..., ...) = 0\n+0 listen(3, 1) = 0\n");
    else
        fprintf(s->file, "+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0\n");
}

static bool is_over_ip4(const struct script *s)
{
    for (size_t i = 0; i < s->capture->count; i++) {
        struct wire_seen seen;
        const struct capture_record *r = &s->capture->records[i];
        if (r->port == s->port && seen_of(r, &seen) && concerns(s, &seen))
            return ip_addr_is4(&seen.local);
    }
    return true;
}

/* An edge node does not tell when its workers take what. */
static bool has_taken(const struct script *s)
{
    for (size_t i = 0; i < s->capture->count; i++)
        if (s->capture->records[i].port == s->port && s->capture->records[i].kind == CAPTURE_TAKEN)
            return true;
    return false;
}

bool capture_write_script(const struct capture *capture, unsigned port, uint16_t client_port,
                          const char *remark, const char *path)
{
    struct script s = {.file = fopen(path, "w"),
                       .capture = capture,
                       .port = port,
                       .client_port = client_port,
                       .server = port != 0};
    if (!s.file)
        return false;
    s.v4 = is_over_ip4(&s);
    s.arrival = has_taken(&s) ? CAPTURE_TAKEN : CAPTURE_IN;
    say_preamble(&s, remark);
    for (size_t i = 0; i < capture->count; i++) {
        const struct capture_record *r = &capture->records[i];
        struct wire_seen seen;
        if (r->port != port || (r->kind != s.arrival && !is_out(r) && r->kind != CAPTURE_CALL))
            continue;
        if (r->kind == CAPTURE_CALL)
            say_call(&s, r);
        else if (!seen_of(r, &seen))
            say_other(&s, r);
        else if (concerns(&s, &seen))
            say_segment(&s, r, &seen);
    }
    return fclose(s.file) == 0;
}
