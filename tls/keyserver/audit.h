/* SPDX-License-Identifier: BSD-3-Clause
 * The audit log: one JSON line for every use of a key and every refusal, appended to a file. Lines
 * are gathered and written once a turn of the server. Called by answer.c's caller. A log that cannot
 * be written (disk full) is said on stderr once a minute and counted; signing goes on.
 */
#ifndef TLS_KEYSERVER_AUDIT_H
#define TLS_KEYSERVER_AUDIT_H

#include "base/result.h"
#include "base/span.h"
#include "tls/keymsg.h"

#define AUDIT_LINE_MAX   8192
#define AUDIT_BUFFER_MAX 65536

struct audit {
    int fd;        /* -1: no log wanted */
    uint64_t lost; /* lines that could not be written */
    tg_ns told_at; /* when stderr heard of it; 0: never */
    bool torn;     /* the file ends in the middle of a line */
    char path[256];
    size_t len;
    char buffer[AUDIT_BUFFER_MAX];
};

struct audit_record {
    const char *client;       /* subject of the client certificate */
    const char *peer;         /* "address port" of the connection */
    const char *op;           /* of struct keymsg_op_info; NULL: unknown opcode */
    const char *key;          /* file name; NULL: none was found */
    const uint8_t *ski;       /* NULL: none given */
    struct span sni, visitor; /* what the edge says of its client; raw bytes */
    enum keymsg_error error;
    const char *why;  /* more than the error byte tells; NULL: nothing */
    uint64_t count;   /* requests that this line stands for */
    uint64_t wall_ns; /* since 1970 */
};

/* Open for appending; path "" means no log. TG_SYSTEM: `problem` (512 bytes) says why. */
enum tg_err audit_open(struct audit *audit, const char *path, char problem[512]);
void audit_line(struct audit *audit, const struct audit_record *record);
/* Write what is gathered. */
void audit_flush(struct audit *audit, tg_ns now);
void audit_close(struct audit *audit);

#endif
