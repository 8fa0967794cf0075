/* SPDX-License-Identifier: BSD-3-Clause
 * Storage of heads: a small block first, a large one when the head outgrows it. Called by request
 * and response; knows nothing of what the bytes say. Floor 3.
 */
#include "proxy/parts.h"

static bool store_start(struct proxy *p, struct head_store *s)
{
    s->bytes = pool_take(&p->heads_small);
    s->cap = HEAD_SMALL_BYTES;
    if (!s->bytes) {
        s->bytes = pool_take(&p->heads_large);
        s->cap = HTTP_HEAD_BYTES_MAX;
    }
    return s->bytes != NULL;
}

bool head_store_room(struct proxy *p, struct head_store *s)
{
    if (!s->bytes)
        return store_start(p, s);
    if (s->len < s->cap)
        return true;
    tg_assert(s->cap == HEAD_SMALL_BYTES); /* the parser refuses what fills a large one */
    uint8_t *large = pool_take(&p->heads_large);
    if (!large)
        return false;
    memcpy(large, s->bytes, s->len);
    pool_give(&p->heads_small, s->bytes);
    s->bytes = large;
    s->cap = HTTP_HEAD_BYTES_MAX;
    return true;
}

void head_store_release(struct proxy *p, struct head_store *s)
{
    if (s->bytes)
        pool_give(s->cap == HEAD_SMALL_BYTES ? &p->heads_small : &p->heads_large, s->bytes);
    *s = (struct head_store){0};
}
