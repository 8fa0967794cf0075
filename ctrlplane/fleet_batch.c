/* SPDX-License-Identifier: BSD-3-Clause
 * Batches of changes. See fleet.h. Called by both stores and by fleet_sync.
 */
#include "ctrlplane/fleet.h"

#include <stdlib.h>
#include <string.h>

void fleet_batch_add(struct fleet_batch *batch, const char *key, struct span value,
                     int64_t revision)
{
    if (batch->count == batch->cap) {
        batch->cap = batch->cap ? batch->cap * 2 : 16;
        batch->changes = realloc(batch->changes, batch->cap * sizeof batch->changes[0]);
        tg_assert(batch->changes);
    }
    struct fleet_change *change = &batch->changes[batch->count++];
    size_t len = strnlen(key, sizeof change->key - 1);
    *change = (struct fleet_change){.len = value.len, .revision = revision};
    memcpy(change->key, key, len);
    if (!value.data)
        return;
    change->value = malloc(value.len + 1);
    tg_assert(change->value);
    memcpy(change->value, value.data, value.len);
    change->value[value.len] = 0;
}

void fleet_batch_drop(struct fleet_batch *batch, unsigned index)
{
    tg_assert(index < batch->count);
    free(batch->changes[index].value);
    batch->count--;
    memmove(&batch->changes[index], &batch->changes[index + 1],
            (batch->count - index) * sizeof batch->changes[0]);
}

void fleet_batch_free(struct fleet_batch *batch)
{
    for (unsigned i = 0; i < batch->count; i++)
        free(batch->changes[i].value);
    free(batch->changes);
    *batch = (struct fleet_batch){0};
}
