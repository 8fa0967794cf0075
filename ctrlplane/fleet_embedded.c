/* SPDX-License-Identifier: BSD-3-Clause
 * The fleet store of a node that is alone: keys in memory, the same rules as etcd's, answers at once. What makes it
 * durable is the state file, which its owner writes behind every write and fills it from at the start. Nobody else
 * writes here, so no change ever comes by itself. See fleet.h.
 */
#include "ctrlplane/fleet.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct embedded {
    struct fleet_store store;
    json_t *keys; /* key -> [revision, value] */
    int64_t revision;
    bool snapshot_wanted;
    struct fleet_answer answer;
};

static struct embedded *embedded_of(struct fleet_store *store)
{
    return tg_container_of(store, struct embedded, store);
}

static const struct embedded *embedded_of_const(const struct fleet_store *store)
{
    return (const struct embedded *)(const void *)store;
}

static int64_t key_revision(const struct embedded *e, const char *key)
{
    return json_integer_value(json_array_get(json_object_get(e->keys, key), 0));
}

static void embedded_close(struct fleet_store *store)
{
    struct embedded *e = embedded_of(store);
    json_decref(e->keys);
    free(e);
}

static int embedded_fd(const struct fleet_store *store)
{
    (void)store;
    return -1;
}

static int embedded_timeout_ms(const struct fleet_store *store, tg_ns now)
{
    (void)store;
    (void)now;
    return -1;
}

static void embedded_run(struct fleet_store *store, tg_ns now)
{
    (void)store;
    (void)now;
}

static bool embedded_next(struct fleet_store *store, struct fleet_batch *batch)
{
    struct embedded *e = embedded_of(store);
    const char *key;
    json_t *item;
    if (!e->snapshot_wanted)
        return false;
    e->snapshot_wanted = false;
    *batch = (struct fleet_batch){.kind = FLEET_SNAPSHOT, .revision = e->revision};
    json_object_foreach(e->keys, key, item)
    {
        const json_t *value = json_array_get(item, 1);
        fleet_batch_add(batch, key, span_make(json_string_value(value), json_string_length(value)),
                        json_integer_value(json_array_get(item, 0)));
    }
    return true;
}

static void embedded_load(struct fleet_store *store)
{
    embedded_of(store)->snapshot_wanted = true;
}

static void conflict_describe(struct embedded *e, const struct fleet_op *first)
{
    const json_t *value = json_array_get(json_object_get(e->keys, first->key), 1);
    e->answer.outcome = FLEET_CONFLICT;
    e->answer.found = key_revision(e, first->key);
    e->answer.same =
        first->value ? value && strcmp(json_string_value(value), first->value) == 0 : value == NULL;
}

static void embedded_write(struct fleet_store *store, const struct fleet_op ops[], unsigned count,
                           tg_ns now, tg_ns deadline)
{
    struct embedded *e = embedded_of(store);
    (void)now;
    (void)deadline;
    tg_assert(count > 0 && count <= FLEET_OPS_MAX);
    e->answer = (struct fleet_answer){0};
    for (unsigned i = 0; i < count; i++) {
        if (key_revision(e, ops[i].key) != ops[i].expected) {
            conflict_describe(e, &ops[0]);
            return;
        }
    }
    e->revision++;
    for (unsigned i = 0; i < count; i++) {
        if (ops[i].value)
            json_object_set_new(e->keys, ops[i].key,
                                json_pack("[I, s]", (json_int_t)e->revision, ops[i].value));
        else
            json_object_del(e->keys, ops[i].key);
    }
    e->answer.outcome = FLEET_STORED;
    e->answer.revision = e->revision;
}

static const struct fleet_answer *embedded_answer(const struct fleet_store *store)
{
    return &embedded_of_const(store)->answer;
}

static struct fleet_store_status embedded_status(const struct fleet_store *store)
{
    return (struct fleet_store_status){.endpoint = "",
                                       .connected = true,
                                       .revision = embedded_of_const(store)->revision,
                                       .problem = ""};
}

static const struct fleet_store_type embedded_type = {
    .name = "embedded",
    .value_max = SIZE_MAX,
    .close = embedded_close,
    .fd = embedded_fd,
    .timeout_ms = embedded_timeout_ms,
    .run = embedded_run,
    .next = embedded_next,
    .load = embedded_load,
    .write = embedded_write,
    .answer = embedded_answer,
    .status = embedded_status,
};

struct fleet_store *fleet_embedded_open(void)
{
    struct embedded *e = calloc(1, sizeof *e);
    tg_assert(e);
    e->store.type = &embedded_type;
    e->keys = json_object();
    e->snapshot_wanted = true;
    return &e->store;
}
