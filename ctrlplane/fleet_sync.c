/* SPDX-License-Identifier: BSD-3-Clause
 * What the fleet store brings, into the model and into force. See fleet_sync.h.
 */
#include "ctrlplane/fleet_sync.h"

#include "base/log.h"
#include "ctrlplane/fleet_merge.h"
#include "ctrlplane/fleet_ops.h"
#include "ctrlplane/model.h"
#include "ctrlplane/publish.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAVE_RETRY    TG_S
#define LOG_LINES_MAX 20 /* of one batch */
#define BATCHES_MAX   16 /* of one fleet_run */

void fleet_open(struct control *c)
{
    struct fleet *f = &c->fleet;
    const struct config *config = &c->config;
    char heartbeat[FLEET_KEY_MAX];
    fleet_prefix(config->fleet[0] ? config->fleet : "embedded", f->prefix);
    fleet_key(f->prefix, KEY_HEARTBEAT, "", heartbeat);
    snprintf(f->node, sizeof f->node, "%s", config->node_name);
    f->known = json_object();
    f->skipped = json_object();
    struct fleet_etcd_options options = {.endpoint_count = config->etcd_count,
                                         .prefix = f->prefix,
                                         .heartbeat = heartbeat,
                                         .node = f->node};
    for (unsigned i = 0; i < config->etcd_count; i++)
        options.endpoints[i] = config->etcd[i];
    f->store =
        config->etcd_count ? fleet_etcd_open(&options, control_now()) : fleet_embedded_open();
    fleet_run(c, control_now());
}

void fleet_close(struct control *c)
{
    struct fleet *f = &c->fleet;
    if (f->store)
        f->store->type->close(f->store);
    json_decref(f->known);
    json_decref(f->skipped);
    *f = (struct fleet){0};
}

int fleet_fd(const struct control *c)
{
    return c->fleet.store->type->fd(c->fleet.store);
}

int fleet_timeout_ms(const struct control *c, tg_ns now)
{
    return c->fleet.store->type->timeout_ms(c->fleet.store, now);
}

static void load_ask(struct fleet *f)
{
    f->store->type->load(f->store);
}

/* --- into force --------------------------------------------------------------------------------- */

static void state_save(struct control *c, tg_ns now)
{
    char why[640];
    c->fleet.unsaved = store_save(&c->store, c->model, why) != TG_OK;
    c->fleet.save_at = now + SAVE_RETRY;
    if (c->fleet.unsaved)
        log_error("what the fleet store brought is in force, but not in the state file: %s", why);
}

/* The state file before the region, as with every change; a full disk does not keep a rule out of force, though: the
 * store has it too. */
static void merged_take(struct control *c, struct merge *m, tg_ns now)
{
    json_decref(c->model);
    c->model = json_incref(m->candidate);
    state_save(c, now);
    for (unsigned k = 0; k < TABLES_KINDS; k++) {
        uint64_t number;
        if (!m->blocks[k].bytes || !c->attached)
            continue; /* not attached: everything is published with the attachment */
        enum tg_err err = publish_block(c, (enum tables_kind)k, &m->blocks[k], false, &number);
        c->pending[k] = err != TG_OK; /* publish_repeat tries again */
        c->persuade[k] = PUBLISH_PERSUADE;
        if (err != TG_OK)
            log_warn("%s: not published yet: %s", tables_kind_name((enum tables_kind)k),
                     tg_err_text(err));
    }
}

static const char *key_short(const struct fleet *f, const char *key)
{
    size_t n = strlen(f->prefix);
    return strncmp(key, f->prefix, n) == 0 ? key + n : key;
}

/* Take note of what was left out, and say it once. */
static void skipped_note(struct fleet *f, const struct merge_item *item)
{
    const char *before = json_string_value(json_object_get(f->skipped, item->key));
    if (!item->problem[0]) {
        json_object_del(f->skipped, item->key);
        return;
    }
    if (!before || strcmp(before, item->problem) != 0)
        log_warn("fleet: %s is left out: %s", key_short(f, item->key), item->problem);
    json_object_set_new(f->skipped, item->key, json_string(item->problem));
}

/* The changes that made a difference. Returns how many. */
static unsigned items_note(struct fleet *f, const struct merge *m)
{
    unsigned count = 0;
    for (unsigned i = 0; i < m->count; i++) {
        const struct merge_item *item = &m->items[i];
        skipped_note(f, item);
        if (!merge_item_counts(item))
            continue;
        if (count++ < LOG_LINES_MAX)
            log_info("fleet: %s: %s, as of revision %lld", key_short(f, item->key),
                     item->deletes ? "deleted" : (item->before ? "replaced" : "new"),
                     (long long)item->revision);
    }
    if (count > LOG_LINES_MAX)
        log_info("fleet: and %u more", count - LOG_LINES_MAX);
    f->merged += count;
    return count;
}

/* Does a change or a deletion take away something that this node had before it first saw the store? */
static bool items_replace(const struct merge *m)
{
    for (unsigned i = 0; i < m->count; i++)
        if (merge_item_counts(&m->items[i]) && m->items[i].before)
            return true;
    return false;
}

static void merge_bring_in(struct control *c, struct merge *m, bool keep, tg_ns now)
{
    char why[640];
    merge_end(m);
    if (keep && items_replace(m) && store_keep(&c->store, why) != TG_OK)
        log_warn("no copy of the state before the fleet's: %s", why);
    /* A change may be what something left out earlier waits for. */
    bool waits = json_object_size(c->fleet.skipped) > 0;
    if (items_note(&c->fleet, m) == 0)
        return;
    merged_take(c, m, now);
    if (waits)
        load_ask(&c->fleet);
}

/* --- batches -------------------------------------------------------------------------------------- */

/* A change that the model does not have yet? Takes note of its revision. */
static bool change_is_news(struct fleet *f, const struct fleet_change *change, bool retry)
{
    int64_t known = llabs(fleet_known(f, change->key));
    retry = retry && json_object_get(f->skipped, change->key);
    if (known > change->revision || (known == change->revision && !retry))
        return false;
    fleet_know(f, change->key, change->value ? change->revision : -change->revision);
    return true;
}

static struct span change_value(const struct fleet_change *change)
{
    return span_make(change->value, change->len);
}

/* Somebody deleted the fleet's keys with its meta: that is an accident or a new beginning, and not a wish to
 * serve nothing anywhere. */
static bool batch_unmakes(const struct fleet *f, const struct fleet_batch *batch)
{
    char key[FLEET_KEY_MAX];
    fleet_key(f->prefix, KEY_META, "", key);
    for (unsigned i = 0; i < batch->count; i++)
        if (!batch->changes[i].value && strcmp(batch->changes[i].key, key) == 0)
            return true;
    return false;
}

static void changes_take(struct control *c, const struct fleet_batch *batch, tg_ns now)
{
    struct merge m;
    if (batch_unmakes(&c->fleet, batch)) {
        log_warn(
            "fleet: the store was emptied: this node's copy of the resources goes there again");
        load_ask(&c->fleet);
        return;
    }
    merge_begin(&m, c);
    for (unsigned i = 0; i < batch->count; i++) {
        const struct fleet_change *change = &batch->changes[i];
        if (change_is_news(&c->fleet, change, false))
            merge_change(&m, change->key, change_value(change), change->revision);
    }
    merge_bring_in(c, &m, false, now);
    merge_free(&m);
}

/* The keys of a batch, as a set. */
static json_t *batch_keys(const struct fleet_batch *batch)
{
    json_t *keys = json_object();
    for (unsigned i = 0; i < batch->count; i++)
        json_object_set_new(keys, batch->changes[i].key, json_true());
    return keys;
}

/* Resources of the model that the snapshot does not have. */
static void absent_delete(struct merge *m, const struct fleet *f, const json_t *model,
                          const json_t *keys, int64_t revision)
{
    char key[FLEET_KEY_MAX];
    const char *name;
    json_t *value;
    for (size_t i = 0; i < FLEET_NAMED_PARTS; i++) {
        enum fleet_part part = fleet_named_parts[i];
        json_object_foreach(model_get(model, fleet_collection(part)), name, value)
        {
            fleet_key(f->prefix, part, name, key);
            if (!json_object_get(keys, key) && llabs(fleet_known(f, key)) <= revision)
                merge_change(m, key, SPAN_EMPTY, revision);
        }
    }
    for (size_t i = 0; i < FLEET_SINGLE_PARTS; i++) {
        fleet_key(f->prefix, fleet_single_parts[i], "", key);
        if (!json_object_get(keys, key) && llabs(fleet_known(f, key)) <= revision)
            merge_change(m, key, SPAN_EMPTY, revision);
    }
}

/* Forget keys that are not in the store any more, as of the revision. */
static void absent_forget(struct fleet *f, const json_t *keys, int64_t revision)
{
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe(f->known, next, key, value)
    {
        if (json_object_get(keys, key) || llabs(json_integer_value(value)) > revision)
            continue;
        json_object_del(f->skipped, key);
        json_object_del(f->known, key);
    }
}

static void snapshot_merge(struct control *c, const struct fleet_batch *batch, const json_t *keys,
                           tg_ns now)
{
    struct fleet *f = &c->fleet;
    struct merge m;
    merge_begin(&m, c);
    absent_delete(&m, f, c->model, keys, batch->revision); /* first: they make room */
    for (unsigned i = 0; i < batch->count; i++) {
        const struct fleet_change *change = &batch->changes[i];
        if (change_is_news(f, change, true))
            merge_change(&m, change->key, change_value(change), change->revision);
    }
    absent_forget(f, keys, batch->revision);
    merge_bring_in(c, &m, f->snapshots == 0 || batch->reset, now);
    merge_free(&m);
}

/* --- taking them ---------------------------------------------------------------------------------- */

static void snapshot_take(struct control *c, const struct fleet_batch *batch, tg_ns now)
{
    struct fleet *f = &c->fleet;
    if (batch->reset) {
        json_object_clear(f->known);
        json_object_clear(f->skipped);
    }
    json_t *keys = batch_keys(batch);
    char meta[FLEET_KEY_MAX];
    fleet_key(f->prefix, KEY_META, "", meta);
    if (!json_object_get(keys, meta) && fleet_seed_needed(c)) {
        fleet_seed(c, batch, now);
    } else {
        snapshot_merge(c, batch, keys, now);
        f->snapshots++;
        f->problem[0] = 0;
    }
    json_decref(keys);
}

/* All revisions, to see whether the watch has lost something: etcd 3.4 before .36 does. What is on its way just now may
 * look so too; loading all does no harm. */
static void listing_check(struct fleet *f, const struct fleet_batch *batch)
{
    json_t *keys = batch_keys(batch);
    const char *key;
    json_t *value;
    bool differs = false;
    for (unsigned i = 0; i < batch->count; i++)
        differs |= llabs(fleet_known(f, batch->changes[i].key)) < batch->changes[i].revision;
    json_object_foreach(f->known, key, value)
    {
        json_int_t revision = json_integer_value(value);
        differs |= revision > 0 && revision <= batch->revision && !json_object_get(keys, key);
    }
    if (differs) {
        log_info("fleet: the store differs from what the watch brought: loading all");
        load_ask(f);
    } else {
        absent_forget(f, keys, batch->revision);
    }
    json_decref(keys);
}

static void batch_take(struct control *c, const struct fleet_batch *batch, tg_ns now)
{
    switch (batch->kind) {
    case FLEET_SNAPSHOT:
        snapshot_take(c, batch, now);
        return;
    case FLEET_CHANGES:
        changes_take(c, batch, now);
        return;
    case FLEET_LISTING:
        listing_check(&c->fleet, batch);
    }
}

void fleet_run(struct control *c, tg_ns now)
{
    struct fleet *f = &c->fleet;
    struct fleet_batch batch;
    f->store->type->run(f->store, now);
    for (unsigned i = 0; i < BATCHES_MAX && f->store->type->next(f->store, &batch); i++) {
        batch_take(c, &batch, now);
        fleet_batch_free(&batch);
    }
    if (f->snapshots > 0)
        f->revision = f->store->type->status(f->store).revision;
    if (f->unsaved && now >= f->save_at)
        state_save(c, now);
    if (f->load_at && now >= f->load_at) {
        f->load_at = 0;
        load_ask(f);
    }
}
