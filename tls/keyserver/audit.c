/* SPDX-License-Identifier: BSD-3-Clause
 * The audit log: see audit.h.
 */
#include "tls/keyserver/audit.h"

#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TEXT_BYTES_MAX 300 /* of one foreign text in a line */
#define TELL_EVERY     (60 * TG_S)

enum tg_err audit_open(struct audit *audit, const char *path, char problem[512])
{
    audit->fd = -1;
    audit->len = 0;
    snprintf(audit->path, sizeof audit->path, "%s", path);
    if (!path[0])
        return TG_OK;
    audit->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (audit->fd >= 0)
        return TG_OK;
    snprintf(problem, 512, "%.300s: cannot be opened for appending: %s", path, strerror(errno));
    return TG_SYSTEM;
}

/* A JSON string: what is not plain ASCII becomes \u00XX, so that no peer writes lines of its own. */
static void json_text(struct span_writer *w, const char *name, struct span text)
{
    static const char hex[] = "0123456789abcdef";
    span_write_string(w, ",\"");
    span_write_string(w, name);
    span_write_string(w, "\":\"");
    for (size_t i = 0; i < text.len && i < TEXT_BYTES_MAX; i++) {
        uint8_t c = text.data[i];
        const char escaped[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        if (c < 0x20 || c > 0x7e || c == '"' || c == '\\')
            span_write(w, escaped, sizeof escaped);
        else
            span_write(w, &c, 1);
    }
    span_write_string(w, "\"");
}

static void json_string(struct span_writer *w, const char *name, const char *text)
{
    if (text)
        json_text(w, name, span_from_string(text));
}

static void json_time(struct span_writer *w, uint64_t wall_ns)
{
    time_t seconds = (time_t)(wall_ns / TG_S);
    struct tm utc;
    char text[64];
    gmtime_r(&seconds, &utc);
    size_t n = strftime(text, sizeof text, "{\"time\":\"%Y-%m-%dT%H:%M:%S", &utc);
    span_write(w, text, n);
    int more = snprintf(text, sizeof text, ".%03uZ\"", (unsigned)(wall_ns % TG_S / TG_MS));
    span_write(w, text, (size_t)more);
}

static void json_ski(struct span_writer *w, const uint8_t *ski)
{
    char text[2 * KEYMSG_SKI_BYTES + 1];
    if (!ski)
        return;
    for (unsigned i = 0; i < KEYMSG_SKI_BYTES; i++)
        snprintf(text + 2 * i, 3, "%02x", ski[i]);
    json_string(w, "ski", text);
}

static void json_address(struct span_writer *w, struct span address)
{
    char text[INET6_ADDRSTRLEN];
    int family = address.len == 4 ? AF_INET : AF_INET6;
    if ((address.len == 4 || address.len == 16) &&
        inet_ntop(family, address.data, text, sizeof text))
        json_string(w, "visitor", text);
}

/* What is gathered goes out; what does not is lost: the buffer must not stay full. */
static void audit_write(struct audit *audit)
{
    size_t at = 0;
    if (audit->torn && write(audit->fd, "\n", 1) == 1)
        audit->torn = false;
    while (at < audit->len) {
        ssize_t n = write(audit->fd, audit->buffer + at, audit->len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    if (at > 0)
        audit->torn = audit->buffer[at - 1] != '\n';
    for (size_t i = at; i < audit->len; i++)
        audit->lost += audit->buffer[i] == '\n';
    audit->len = 0;
}

void audit_line(struct audit *audit, const struct audit_record *r)
{
    char line[AUDIT_LINE_MAX];
    struct span_writer w = span_writer_make(line, sizeof line);
    if (audit->fd < 0)
        return;
    json_time(&w, r->wall_ns);
    json_string(&w, "client", r->client);
    json_string(&w, "peer", r->peer);
    json_string(&w, "op", r->op);
    json_string(&w, "key", r->key);
    json_ski(&w, r->ski);
    if (r->sni.len)
        json_text(&w, "sni", r->sni);
    json_address(&w, r->visitor);
    json_string(&w, "result", r->error ? keymsg_error_text((uint8_t)r->error) : "ok");
    json_string(&w, "why", r->why);
    if (r->count > 1) {
        span_write_string(&w, ",\"count\":");
        span_write_decimal(&w, r->count);
    }
    span_write_string(&w, "}\n");
    if (!w.ok) {
        audit->lost++;
        return;
    }
    if (w.len > sizeof audit->buffer - audit->len)
        audit_write(audit);
    memcpy(audit->buffer + audit->len, line, w.len);
    audit->len += w.len;
}

void audit_flush(struct audit *audit, tg_ns now)
{
    if (audit->fd < 0)
        return;
    if (audit->len > 0)
        audit_write(audit);
    if (audit->lost == 0 || (audit->told_at && now - audit->told_at < TELL_EVERY))
        return;
    log_error("%s: %llu audit lines are lost", audit->path, (unsigned long long)audit->lost);
    audit->told_at = now;
    audit->lost = 0;
}

void audit_close(struct audit *audit)
{
    if (audit->fd < 0)
        return;
    audit_flush(audit, 0);
    close(audit->fd);
    audit->fd = -1;
}
