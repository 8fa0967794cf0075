/* SPDX-License-Identifier: BSD-3-Clause
 * Records of a run, and their pcap (libpcap's classic format, microseconds, Ethernet).
 */
#include "tests/sim/capture.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct capture_record *record_new(struct capture *capture, tg_ns time,
                                         enum capture_kind kind, unsigned port, const void *bytes,
                                         size_t len)
{
    if (capture->count == capture->cap) {
        capture->cap = capture->cap ? 2 * capture->cap : 1024;
        capture->records = realloc(capture->records, capture->cap * sizeof *capture->records);
        tg_assert(capture->records);
    }
    struct capture_record *r = &capture->records[capture->count++];
    *r = (struct capture_record){time, kind, port, 0, (uint32_t)len, malloc(len + 1)};
    tg_assert(r->bytes);
    memcpy(r->bytes, bytes, len);
    return r;
}

void capture_free(struct capture *capture)
{
    for (size_t i = 0; i < capture->count; i++)
        free(capture->records[i].bytes);
    free(capture->records);
    capture->records = NULL;
    capture->count = capture->cap = 0;
}

void capture_frame(struct capture *capture, tg_ns time, enum capture_kind kind, unsigned port,
                   struct span frame)
{
    if (capture && frame.len)
        record_new(capture, time, kind, port, frame.data, frame.len);
}

void capture_call(struct capture *capture, tg_ns time, unsigned port, unsigned connection,
                  const char *format, ...)
{
    char text[160];
    va_list args;
    if (!capture)
        return;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n > 0 && (size_t)n < sizeof text)
        record_new(capture, time, CAPTURE_CALL, port, text, (size_t)n + 1)->connection = connection;
}

void capture_name(struct capture *capture, unsigned connection, uint16_t client_port)
{
    if (capture && connection < TG_ARRAY_LEN(capture->client_port))
        capture->client_port[connection] = client_port;
}

bool capture_write_pcap(const struct capture *capture, unsigned port, const char *path)
{
    FILE *file = fopen(path, "wb");
    if (!file)
        return false;
    const uint32_t head[6] = {0xa1b2c3d4, 2 | 4 << 16, 0, 0, 65535, 1 /* Ethernet */};
    bool good = fwrite(head, sizeof head, 1, file) == 1;
    for (size_t i = 0; i < capture->count && good; i++) {
        const struct capture_record *r = &capture->records[i];
        tg_ns at = r->time - capture->start;
        const uint32_t stamp[4] = {(uint32_t)(at / TG_S), (uint32_t)(at % TG_S / 1000), r->len,
                                   r->len};
        if (r->port == port && (r->kind == CAPTURE_IN || r->kind == CAPTURE_OUT))
            good =
                fwrite(stamp, sizeof stamp, 1, file) == 1 && fwrite(r->bytes, r->len, 1, file) == 1;
    }
    return fclose(file) == 0 && good;
}
