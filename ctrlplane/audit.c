/* SPDX-License-Identifier: BSD-3-Clause
 * The audit file of WAF matches, and of origins that TLS does not let us use. See audit.h.
 */
#include "ctrlplane/audit.h"

#include "base/log.h"
#include "ctrlplane/prefix.h"
#include "ctrlplane/resource.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define COMPLAIN_EVERY (60 * TG_S)

static int file_open(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
}

enum tg_err audit_open(struct audit *audit, const char *path, int gid, char problem[640])
{
    memset(audit, 0, sizeof *audit);
    snprintf(audit->path, sizeof audit->path, "%s", path);
    char directory[sizeof audit->path];
    snprintf(directory, sizeof directory, "%s", path);
    char *slash = strrchr(directory, '/');
    if (slash && slash != directory) {
        *slash = 0;
        mkdir(directory, 0750); /* a failure shows in the open below */
    }
    audit->fd = file_open(path);
    if (audit->fd < 0) {
        snprintf(problem, 640, "%s: the audit file cannot be opened: %s", path, strerror(errno));
        return TG_SYSTEM;
    }
    if (gid >= 0 && fchown(audit->fd, (uid_t)-1, (gid_t)gid) != 0)
        log_warn("%s: group not set: %s", path, strerror(errno));
    return TG_OK;
}

void audit_close(struct audit *audit)
{
    if (audit->fd >= 0)
        close(audit->fd);
    audit->fd = -1;
    for (unsigned i = 0; i < audit->count; i++)
        json_decref(audit->recent[(audit->first + i) % AUDIT_KEPT]);
    audit->count = 0;
}

void audit_follow(struct audit *audit)
{
    struct stat by_path, by_fd;
    if (fstat(audit->fd, &by_fd) == 0 && stat(audit->path, &by_path) == 0 &&
        by_path.st_dev == by_fd.st_dev && by_path.st_ino == by_fd.st_ino)
        return;
    int fd = file_open(audit->path);
    if (fd < 0)
        return; /* the old one goes on: no line is lost */
    close(audit->fd);
    audit->fd = fd;
}

/* Bytes of a client as a JSON string: text as it is; when it is not UTF-8, every byte beyond
 * ASCII as \xNN. */
static json_t *bytes_json(const char *bytes, size_t len, size_t cap)
{
    if (len > cap)
        len = cap; /* another process wrote it */
    json_t *s = json_stringn(bytes, len);
    if (s)
        return s;
    char text[4 * EVENT_TEXT_MAX + 1];
    size_t n = 0;
    for (size_t i = 0; i < len && n + 5 < sizeof text; i++) {
        uint8_t c = (uint8_t)bytes[i];
        n += (size_t)snprintf(text + n, sizeof text - n, c < 0x80 ? "%c" : "\\x%02x", c);
    }
    return json_stringn(text, n);
}

static json_t *time_json(uint64_t wall_ns)
{
    time_t seconds = (time_t)(wall_ns / TG_S);
    struct tm tm;
    char day[32] = "1970-01-01T00:00:00", text[64];
    if (gmtime_r(&seconds, &tm))
        strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text, sizeof text, "%s.%06uZ", day, (unsigned)(wall_ns % TG_S / TG_US));
    return json_string(text);
}

json_t *audit_event_json(const struct event *e)
{
    char id[17], client[PREFIX_TEXT_MAX];
    snprintf(id, sizeof id, "%016llx", (unsigned long long)e->request_id);
    if (e->kind == EVENT_ORIGIN)
        return json_pack(
            "{s:o, s:s, s:o, s:o, s:o, s:i}", "time", time_json(e->wall_ns), "request_id", id,
            "origin", bytes_json(e->target, e->target_len, sizeof e->target), "message",
            bytes_json(e->message, e->message_len, sizeof e->message), "host",
            bytes_json(e->host, e->host_len, sizeof e->host), "status", (int)e->status);
    const char *where = waf_target_name((enum waf_target)e->where);
    json_t *o = json_object();
    json_object_set_new(o, "time", time_json(e->wall_ns));
    json_object_set_new(o, "request_id", json_string(id));
    json_object_set_new(o, "rule_id", json_integer(e->rule_id));
    json_object_set_new(o, "message", bytes_json(e->message, e->message_len, sizeof e->message));
    json_object_set_new(o, "where", json_string(where ? where : "unknown"));
    json_object_set_new(o, "blocked", json_boolean(e->blocked));
    json_object_set_new(o, "early", json_boolean(e->early));
    json_object_set_new(o, "status", json_integer(e->status));
    json_object_set_new(o, "client", json_string(address_text(e->client, client)));
    json_object_set_new(o, "client_port", json_integer(e->client_port));
    json_object_set_new(o, "method", bytes_json(e->method, e->method_len, sizeof e->method));
    json_object_set_new(o, "host", bytes_json(e->host, e->host_len, sizeof e->host));
    json_object_set_new(o, "target", bytes_json(e->target, e->target_len, sizeof e->target));
    return o;
}

static void recent_keep(struct audit *audit, json_t *event)
{
    if (audit->count == AUDIT_KEPT) {
        json_decref(audit->recent[audit->first]);
        audit->recent[audit->first] = event;
        audit->first = (audit->first + 1) % AUDIT_KEPT;
        return;
    }
    audit->recent[(audit->first + audit->count++) % AUDIT_KEPT] = event;
}

/* One write a line: with O_APPEND lines of several writers never mix. */
static void line_write(struct audit *audit, const json_t *event, tg_ns now)
{
    char *text = json_dumps(event, JSON_COMPACT);
    size_t len = text ? strlen(text) : 0;
    if (text)
        text[len++] = '\n'; /* over the NUL */
    if (text && write(audit->fd, text, len) == (ssize_t)len) {
        audit->written++;
    } else {
        audit->failed++;
        if (audit->complained == 0 || now - audit->complained > COMPLAIN_EVERY)
            log_error("%s: audit lines are lost: %s", audit->path, strerror(errno));
        if (audit->complained == 0 || now - audit->complained > COMPLAIN_EVERY)
            audit->complained = now;
    }
    free(text);
}

static unsigned worker_drain(struct audit *audit, struct ring *ring, tg_ns now)
{
    struct event events[32];
    unsigned total = 0, n;
    if (!ring_valid(ring, REGION_EVENTS, sizeof(struct event)))
        return 0;
    /* Bounded: a worker that writes as fast as we read must not keep us here. */
    while (total < REGION_EVENTS && (n = ring_pop(ring, events, TG_ARRAY_LEN(events))) > 0) {
        for (unsigned i = 0; i < n; i++) {
            json_t *event = audit_event_json(&events[i]);
            line_write(audit, event, now);
            recent_keep(audit, event);
        }
        total += n;
    }
    return total;
}

unsigned audit_drain(struct audit *audit, const struct region *region, tg_ns now)
{
    unsigned total = 0;
    for (unsigned w = 0; w < region->layout->header.workers; w++)
        total += worker_drain(audit, region_events(region, w), now);
    return total;
}

json_t *audit_recent(const struct audit *audit, unsigned limit)
{
    json_t *out = json_array();
    unsigned n = limit < audit->count ? limit : audit->count;
    for (unsigned i = audit->count - n; i < audit->count; i++)
        json_array_append(out, audit->recent[(audit->first + i) % AUDIT_KEPT]);
    return out;
}
