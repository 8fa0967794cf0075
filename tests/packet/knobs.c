/* SPDX-License-Identifier: BSD-3-Clause
 * See knobs.h. Names are Linux's (Documentation/networking/ip-sysctl.rst); tidegate.profile is our own.
 */
#include "tests/packet/knobs.h"
#include "tests/packet/config_fields.h"
#include <stdio.h>

#define VALUES_MAX 3

struct knob_values {
    const char *text; /* not closed by a 0 */
    uint64_t numbers[VALUES_MAX];
    unsigned count;
};

typedef void knob_function(struct tcp_config *c, const struct knob_values *v);

static void syn_retries(struct tcp_config *c, const struct knob_values *v)
{
    c->syn_retries = (unsigned)v->numbers[0];
}

static void retries2(struct tcp_config *c, const struct knob_values *v)
{
    c->retries = (unsigned)v->numbers[0];
}

static void keepalive_time(struct tcp_config *c, const struct knob_values *v)
{
    c->keep_idle_ms = (uint32_t)v->numbers[0] * 1000;
}

static void keepalive_interval(struct tcp_config *c, const struct knob_values *v)
{
    c->keep_interval_ms = (uint32_t)v->numbers[0] * 1000;
}

static void keepalive_probes(struct tcp_config *c, const struct knob_values *v)
{
    c->keep_count = (uint32_t)v->numbers[0];
}

static void notsent_lowat(struct tcp_config *c, const struct knob_values *v)
{
    c->unsent_low = (uint32_t)v->numbers[0];
}

static void congestion(struct tcp_config *c, const struct knob_values *v)
{
    c->congestion = strncmp(v->text, "reno", 4) == 0 ? TCP_CC_NEWRENO : TCP_CC_CUBIC;
}

static void rmem(struct tcp_config *c, const struct knob_values *v)
{
    if (v->count != 3)
        return;
    c->receive_window_initial = (uint32_t)v->numbers[1];
    c->receive_window_max = (uint32_t)v->numbers[2];
}

static void wmem(struct tcp_config *c, const struct knob_values *v)
{
    if (v->count == 3)
        c->send_buffer_max = (uint32_t)v->numbers[2];
}

static void tw_buckets(struct tcp_config *c, const struct knob_values *v)
{
    c->time_wait_max = (uint32_t)v->numbers[0];
}

static void profile(struct tcp_config *c, const struct knob_values *v)
{
    c->profile = strncmp(v->text, "freebsd", 7) == 0 ? &tcp_profile_freebsd : &tcp_profile_linux;
}

static const struct {
    const char *name;
    knob_function *function;
} knobs[] = {
    {"net.ipv4.tcp_syn_retries", syn_retries},
    {"net.ipv4.tcp_retries2", retries2},
    {"net.ipv4.tcp_keepalive_time", keepalive_time},
    {"net.ipv4.tcp_keepalive_intvl", keepalive_interval},
    {"net.ipv4.tcp_keepalive_probes", keepalive_probes},
    {"net.ipv4.tcp_notsent_lowat", notsent_lowat},
    {"net.ipv4.tcp_congestion_control", congestion},
    {"net.ipv4.tcp_rmem", rmem},
    {"net.ipv4.tcp_wmem", wmem},
    {"net.ipv4.tcp_max_tw_buckets", tw_buckets},
    {"tidegate.profile", profile},
};

/* Numbers behind '=', perhaps quoted, up to the end of the line. */
static struct knob_values values_read(const char *text)
{
    static const char between[] = " \t\",'";
    struct knob_values v = {.text = text + strspn(text, between)};
    const char *p = v.text;
    while (v.count < VALUES_MAX) {
        char *end;
        p += strspn(p, between);
        v.numbers[v.count] = strtoull(p, &end, 10);
        if (end == p || *p == '\n')
            break;
        v.count++;
        p = end;
    }
    return v;
}

/* What is not of the configuration: the link, and the clock's phase, on which timestamps depend. */
static bool host_setting_read(struct host *host, const char *name, size_t n, uint64_t value)
{
    char text[40];
    if (n >= sizeof text)
        return false;
    memcpy(text, name, n);
    text[n] = 0;
    if (strcmp(text, "tidegate.mtu") == 0)
        host->mtu = (uint16_t)value;
    else if (strcmp(text, "tidegate.start_ns") == 0)
        host->node.now = host->start = value;
    else if (strcmp(text, "tidegate.neighbour_ns") == 0)
        host->neighbour_from = value;
    else
        return false;
    return true;
}

static bool setting_read(struct host *host, const char *name, size_t n)
{
    struct knob_values v = values_read(name + n + 1);
    for (unsigned i = 0; i < TG_ARRAY_LEN(knobs); i++)
        if (strlen(knobs[i].name) == n && memcmp(knobs[i].name, name, n) == 0) {
            knobs[i].function(&host->config, &v);
            return true;
        }
    for (unsigned i = 0; i < TG_ARRAY_LEN(config_fields); i++)
        if (strlen(config_fields[i].name) == n && memcmp(config_fields[i].name, name, n) == 0) {
            config_field_set(&host->config, &config_fields[i], v.numbers[0]);
            return true;
        }
    return host_setting_read(host, name, n, v.numbers[0]);
}

void knobs_read(struct host *host, const char *text, const char *path)
{
    for (const char *p = text; (p = strchr(p, '=')) != NULL; p++) {
        const char *name = p;
        while (name > text && strchr(" \t\n`;", name[-1]) == NULL)
            name--;
        if (!setting_read(host, name, (size_t)(p - name)) && path)
            printf("      %s: %.*s means nothing here\n", path, (int)(p - name), name);
    }
}
