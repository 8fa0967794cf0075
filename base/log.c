/* SPDX-License-Identifier: BSD-3-Clause
 * Lines for people on stderr. Called by cold code of every program; must never be called from the
 * packet path. One write(2) a line, so that lines of two threads do not mix.
 */
#include "base/log.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOG_LINE_MAX 1024 /* bytes; longer lines are cut */

/* Set once by main before any thread starts. */
static const char *log_program = "tidegate";
static enum log_level log_least = LOG_INFO;

void log_open(const char *program, enum log_level level)
{
    log_program = program;
    log_least = level;
}

/* "2026-01-31T12:00:00.123Z program: level: ", returns its length. */
static size_t log_prefix(char *line, size_t cap, enum log_level level)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t n = strftime(line, cap, "%Y-%m-%dT%H:%M:%S", &utc);
    int more = snprintf(line + n, cap - n, ".%03ldZ %.64s: %s: ", now.tv_nsec / 1000000,
                        log_program, (unsigned)level <= LOG_DEBUG ? names[level] : "?");
    return n + (more > 0 ? (size_t)more : 0);
}

void log_line(enum log_level level, const char *format, ...)
{
    if (level > log_least)
        return;
    char line[LOG_LINE_MAX];
    size_t n = log_prefix(line, sizeof line - 1, level);
    va_list args;
    va_start(args, format);
    int more = vsnprintf(line + n, sizeof line - 1 - n, format, args);
    va_end(args);
    if (more > 0)
        n += (size_t)more;
    if (n > sizeof line - 2) /* cut: vsnprintf's NUL gives way to the line's end */
        n = sizeof line - 2;
    line[n++] = '\n';
    for (size_t at = 0; at < n;) {
        ssize_t wrote = write(STDERR_FILENO, line + at, n - at);
        if (wrote <= 0)
            return; /* nobody to tell */
        at += (size_t)wrote;
    }
}
