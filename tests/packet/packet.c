/* SPDX-License-Identifier: BSD-3-Clause
 * Segments as scripts see them: read from a frame, compare, print.
 */
#include "tests/packet/host.h"
#include <stdio.h>

/* Kinds of the options in their order, as the text of a script would have them. */
static void kinds_read(struct span options, struct script_segment *s)
{
    struct span_reader r = span_reader_make(options);
    while (span_reader_left(&r) && s->kind_count < TCP_OPTIONS_MAX) {
        uint8_t kind = span_read_u8(&r);
        s->kinds[s->kind_count++] = kind;
        if (kind == 0)
            return;
        if (kind == 1)
            continue;
        uint8_t len = span_read_u8(&r);
        if (!r.ok || len < 2 || !span_read(&r, len - 2u))
            return;
    }
}

static enum ecn_kind ecn_read(const struct buf *b)
{
    static const enum ecn_kind kinds[] = {ECN_NONE, ECN_ECT1, ECN_ECT0, ECN_CE};
    const uint8_t *ip = b->data + b->l3;
    unsigned bits = b->ip_version == 4 ? ip[1] & 3u : ip[1] >> 4 & 3u;
    return kinds[bits];
}

bool packet_read(struct host *host, struct buf *b, struct host_packet *out)
{
    *out = (struct host_packet){.time = host->node.now, .bad_byte = UINT32_MAX};
    if (wire_parse(b, &host->node.toeplitz) != TG_C_none || b->ip_proto != IP_PROTO_TCP)
        return false;
    struct tcp_segment seg = wire_tcp(b);
    struct script_segment *s = &out->segment;
    tg_assert(tcp_options_parse(seg.options, &s->options));
    kinds_read(seg.options, s);
    if (seg.flags & TCP_SYN)
        host->our_iss = seg.seq;
    if (s->options.has_timestamps)
        host->last_ts_value = s->options.ts_value;
    s->flags = wire_l4(b)[13];
    s->seq = seg.seq - host->our_iss;
    s->len = seg.payload_bytes;
    s->has_ack = seg.flags & TCP_ACK;
    s->ack = s->has_ack ? seg.ack - HOST_PEER_ISS : 0;
    s->has_window = true;
    s->window = seg.window;
    s->urgent = wire_get16(wire_l4(b) + 18);
    s->ecn = ecn_read(b);
    for (unsigned i = 0; i < s->options.sack_count; i++) {
        s->options.sack[i].left -= HOST_PEER_ISS;
        s->options.sack[i].right -= HOST_PEER_ISS;
    }
    for (uint32_t i = 0; i < s->len && out->bad_byte == UINT32_MAX; i++)
        if (b->data[b->payload + i] != host_stream_byte(s->seq - 1 + i))
            out->bad_byte = i;
    return true;
}

void packet_ts_relative(struct host *host, const struct script_segment *wanted,
                        struct script_segment *got)
{
    struct tcp_options *o = &got->options;
    bool names = wanted->options.has_timestamps && !wanted->any_ts_value && !wanted->any_options;
    if (!o->has_timestamps)
        return;
    if (names && (!host->has_ts_base || host->ts_base_iss != host->our_iss)) {
        host->has_ts_base = true;
        host->ts_base_iss = host->our_iss;
        host->ts_base = o->ts_value - wanted->options.ts_value;
    }
    if (host->has_ts_base)
        o->ts_value -= host->ts_base;
}

static bool ts_near(uint32_t a, uint32_t b, unsigned tolerance)
{
    return a - b + tolerance <= 2 * tolerance;
}

static bool options_match(const struct script_segment *wanted, const struct script_segment *got,
                          unsigned ts_tolerance)
{
    const struct tcp_options *a = &wanted->options, *b = &got->options;
    if (wanted->kind_count != got->kind_count ||
        memcmp(wanted->kinds, got->kinds, wanted->kind_count) != 0)
        return false;
    if (a->mss != b->mss || a->wscale != b->wscale || a->sack_count != b->sack_count)
        return false;
    if (a->has_timestamps &&
        ((!wanted->any_ts_value && !ts_near(a->ts_value, b->ts_value, ts_tolerance)) ||
         (!wanted->any_ts_echo && a->ts_echo != b->ts_echo)))
        return false;
    return memcmp(a->sack, b->sack, a->sack_count * sizeof a->sack[0]) == 0;
}

bool packet_matches(const struct script_segment *wanted, const struct script_segment *got,
                    unsigned ts_tolerance, char *why, size_t size)
{
    const char *what = NULL;
    if (wanted->flags != got->flags)
        what = "flags";
    else if (wanted->seq != got->seq)
        what = "sequence number";
    else if (wanted->len != got->len)
        what = "length";
    else if (wanted->has_ack && wanted->ack != got->ack)
        what = "ACK number";
    else if (wanted->has_window && wanted->window != got->window)
        what = "window";
    else if (wanted->flags & TCP_URG && wanted->urgent != got->urgent)
        what = "urgent pointer";
    else if (wanted->ecn != ECN_ANY && wanted->ecn != got->ecn)
        what = "ECN";
    else if (!wanted->any_options && !options_match(wanted, got, ts_tolerance))
        what = "options";
    if (what)
        snprintf(why, size, "%s differ%s", what, strcmp(what, "flags") == 0 ? "" : "s");
    return !what;
}

/* --- text --------------------------------------------------------------------------------------------- */

static int option_print(const struct script_segment *s, uint8_t kind, char *out, size_t size)
{
    const struct tcp_options *o = &s->options;
    int n;
    switch (kind) {
    case 0:
        return snprintf(out, size, "eol");
    case 1:
        return snprintf(out, size, "nop");
    case 2:
        return snprintf(out, size, "mss %u", o->mss);
    case 3:
        return snprintf(out, size, "wscale %u", o->wscale);
    case 4:
        return snprintf(out, size, "sackOK");
    case 8:
        return snprintf(out, size, "TS val %u ecr %u", o->ts_value, o->ts_echo);
    case 5:
        n = snprintf(out, size, "sack");
        for (unsigned i = 0; i < o->sack_count && (size_t)n < size; i++)
            n += snprintf(out + n, size - (size_t)n, " %u:%u", o->sack[i].left, o->sack[i].right);
        return n;
    default:
        return snprintf(out, size, "kind %u", kind);
    }
}

void segment_print(const struct script_segment *s, char *out, size_t size)
{
    static const char letters[] = "FSRP.U";
    static const char *const ecn[] = {"", "[noecn] ", "[ect0] ", "[ect1] ", "[ce] "};
    char flags[12], options[300] = "";
    unsigned n = 0;
    for (unsigned i = 0; i < 6; i++)
        if (s->flags & 1u << i && 1u << i != TCP_ACK)
            flags[n++] = letters[i];
    if (s->flags & SCRIPT_FLAG_ECE)
        flags[n++] = 'E';
    if (s->flags & SCRIPT_FLAG_CWR)
        flags[n++] = 'W';
    if (s->flags & TCP_ACK)
        flags[n++] = '.';
    flags[n] = 0;
    size_t at = 0;
    for (unsigned i = 0; i < s->kind_count && at + 64 < sizeof options; i++) {
        options[at++] = i ? ',' : '<';
        at += (size_t)option_print(s, s->kinds[i], options + at, sizeof options - at - 2);
    }
    if (s->any_options)
        at += (size_t)snprintf(options, sizeof options, "<...");
    if (at)
        snprintf(options + at, sizeof options - at, ">");
    char ack[32] = "", window[32] = "";
    if (s->has_ack)
        snprintf(ack, sizeof ack, " ack %u", s->ack);
    if (s->has_window)
        snprintf(window, sizeof window, " win %u", s->window);
    snprintf(out, size, "%s%s %u:%u(%u)%s%s%s%s", s->ecn > ECN_NONE ? ecn[s->ecn] : "",
             n ? flags : "-", s->seq, s->seq + s->len, s->len, ack, window, at ? " " : "", options);
}
