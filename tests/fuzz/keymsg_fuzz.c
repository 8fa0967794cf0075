/* SPDX-License-Identifier: BSD-3-Clause
 * Fuzz target: packets between edge and key server, as they arrive. Asked each time: no byte read
 * outside the packet, spans lie in it, what was understood survives being written and read again.
 */
#include "tls/keymsg.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct span *spans_of(const struct keymsg *m, unsigned *count)
{
    *count = 10; /* payload .. context */
    return &m->payload;
}

static void check_inside(const struct keymsg *m, struct span packet)
{
    unsigned count;
    const struct span *s = spans_of(m, &count);
    for (unsigned i = 0; i < count; i++)
        if (s[i].len)
            tg_assert(s[i].data >= packet.data + KEYMSG_HEADER_BYTES &&
                      s[i].data + s[i].len <= packet.data + packet.len);
}

static void check_again(const struct keymsg *m)
{
    static uint8_t room[2 * KEYMSG_PACKET_MAX];
    struct span_writer w = span_writer_make(room, sizeof room);
    struct keymsg again;
    unsigned count;
    enum tg_err err = keymsg_encode(m, &w);
    /* A body without padding that is nearly full grows only by it. */
    tg_assert(err == TG_OK && w.len == keymsg_encoded_bytes(m));
    tg_assert(keymsg_decode(span_writer_span(&w), &again) == TG_OK);
    tg_assert(again.id == m->id && again.op == m->op && again.region == m->region);
    tg_assert(memcmp(again.ski, m->ski, sizeof again.ski) == 0);
    const struct span *a = spans_of(m, &count), *b = spans_of(&again, &count);
    for (unsigned i = 0; i < count; i++)
        tg_assert(span_equal(a[i], b[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t at = 0, len;
    while (keymsg_length(span_make(data + at, size - at), &len) == TG_OK && len <= size - at) {
        struct keymsg m;
        uint8_t *copy = malloc(len); /* exact */
        tg_assert(copy);
        memcpy(copy, data + at, len);
        if (keymsg_decode(span_make(copy, len), &m) == TG_OK) {
            check_inside(&m, span_make(copy, len));
            check_again(&m);
            (void)keymsg_op_info(m.op);
        }
        free(copy);
        at += len;
    }
    return 0;
}
