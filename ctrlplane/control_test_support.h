/* SPDX-License-Identifier: BSD-3-Clause
 * For the tests of ctrlplane: a data plane in one thread that takes commands and acknowledges as a
 * real one does (or refuses, or sleeps), temporary directories, and requests to the API without a
 * server.
 */
#ifndef CTRLPLANE_CONTROL_TEST_SUPPORT_H
#define CTRLPLANE_CONTROL_TEST_SUPPORT_H

#include "ctrlplane/api.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>

#include <cmocka.h>

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* How a worker answers COMMAND_USE. */
enum fake_mood {
    FAKE_APPLY,
    FAKE_IGNORE,
    FAKE_REFUSE,
    FAKE_HOLD, /* apply, but go on using the old generations too, as long-lived connections do */
    FAKE_DIE,
};

struct fake {
    struct region region;
    pthread_t thread;
    _Atomic bool stop;
    _Atomic int mood[TG_WORKERS_MAX]; /* enum fake_mood */
    _Atomic unsigned refuse_times;    /* FAKE_REFUSE: how often, then it applies */
    _Atomic unsigned commands;        /* taken so far */
};

struct place {
    char directory[64]; /* temporary, removed by place_remove */
    struct config config;
};

/* A self-signed certificate with its key for tests (made with openssl(1), P-256, valid to 2125). */
extern const char test_chain_pem[], test_key_pem[], test_other_key_pem[];

/* A temporary directory, and a configuration that has everything in it. */
static inline void place_make(struct place *place)
{
    struct config *c = &place->config;
    memset(place, 0, sizeof *place);
    memcpy(place->directory, "/tmp/tidegate-test-XXXXXX", sizeof "/tmp/tidegate-test-XXXXXX");
    assert_non_null(mkdtemp(place->directory));
    memcpy(c->node_name, "test", sizeof "test");
    snprintf(c->region, sizeof c->region, "%s/region", place->directory);
    snprintf(c->socket, sizeof c->socket, "%s/ctl.sock", place->directory);
    snprintf(c->state, sizeof c->state, "%s/state", place->directory);
    snprintf(c->audit, sizeof c->audit, "%s/log/audit.jsonl", place->directory);
    c->apply_timeout_ms = 2000;
    c->node_slot = 5;
}

static inline void tree_remove(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    while (directory && (entry = readdir(directory))) {
        char inner[1024];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name) >= (int)sizeof inner)
            continue;
        if (remove(inner) != 0) /* a directory that is not empty */
            tree_remove(inner);
    }
    if (directory)
        closedir(directory);
    remove(path);
}

static inline void place_remove(struct place *place)
{
    tree_remove(place->directory);
}

static inline void command_obey(struct fake *fake, unsigned worker, const struct command *command)
{
    struct region_worker *w = region_worker(&fake->region, worker);
    int mood = atomic_load(&fake->mood[worker]);
    if (mood == FAKE_REFUSE && atomic_load(&fake->refuse_times) == 0)
        mood = FAKE_APPLY;
    if (mood == FAKE_REFUSE) {
        atomic_fetch_sub(&fake->refuse_times, 1);
        atomic_store(&w->refused_kind, command->kind);
        atomic_store(&w->refused_number, command->number);
    } else if (mood == FAKE_DIE) {
        w->alive = 0;
    } else if (mood == FAKE_APPLY || mood == FAKE_HOLD) {
        struct span block;
        /* as a real worker: only what verifies is used */
        if (region_generation(&fake->region, command->kind, command->number, &block) == TG_OK) {
            atomic_store(&w->applied[command->kind], command->number);
            if (mood == FAKE_APPLY)
                atomic_store(&w->oldest[command->kind], command->number);
        }
    }
}

static inline void *fake_run(void *arg)
{
    struct fake *fake = arg;
    while (!atomic_load(&fake->stop)) {
        for (unsigned i = 0; i < fake->region.layout->header.workers; i++) {
            struct command command;
            atomic_store(&region_worker(&fake->region, i)->heartbeat_ns, control_now());
            while (ring_pop(region_commands(&fake->region, i), &command, 1) == 1) {
                command_obey(fake, i, &command);
                atomic_fetch_add(&fake->commands, 1);
            }
        }
        nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
    }
    return NULL;
}

/* What a worker does at its start: take what is current. */
static inline void current_take(struct fake *fake, unsigned worker)
{
    for (unsigned kind = 0; kind < TABLES_KINDS; kind++) {
        struct span block;
        struct command command = {COMMAND_USE, kind, 0};
        if (region_current(&fake->region, kind, &block, &command.number) == TG_OK)
            command_obey(fake, worker, &command);
    }
}

/* Make the region and run its workers. */
static inline void fake_start(struct fake *fake, const struct place *place, unsigned workers,
                              uint64_t boot_id)
{
    char problem[256];
    memset(fake, 0, sizeof *fake);
    assert_int_equal(region_create(&fake->region, place->config.region, workers, 5, 32 << 20, -1,
                                   boot_id, problem),
                     TG_OK);
    for (unsigned i = 0; i < workers; i++) {
        struct region_worker *w = region_worker(&fake->region, i);
        current_take(fake, i);
        w->cpu = (int)i;
        w->alive = 1;
    }
    assert_int_equal(pthread_create(&fake->thread, NULL, fake_run, fake), 0);
}

/* Wait until every worker has the current generations in force. */
static inline void fake_settle(struct fake *fake)
{
    for (unsigned kind = 0; kind < TABLES_KINDS; kind++) {
        uint64_t number = atomic_load(&fake->region.layout->directory.current[kind]) >> 8;
        for (unsigned i = 0; i < fake->region.layout->header.workers; i++)
            while (atomic_load(&region_worker(&fake->region, i)->applied[kind]) < number)
                nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
}

static inline void fake_stop(struct fake *fake)
{
    atomic_store(&fake->stop, true);
    pthread_join(fake->thread, NULL);
    for (unsigned i = 0; i < fake->region.layout->header.workers; i++)
        region_worker(&fake->region, i)->alive = 0;
    region_close(&fake->region);
}

/* The string member of an object, "" when there is none; borrowed. */
static inline const char *json_text(const json_t *object, const char *member)
{
    const char *text = json_string_value(json_object_get(object, member));
    return text ? text : "";
}

/* One request; `body` may be NULL, the query is part of the path ("?a=b&c=d", unescaped). */
static inline struct api_response api_ask(struct control *control, const char *method,
                                          const char *path, const char *body)
{
    char copy[1024], *save = NULL;
    snprintf(copy, sizeof copy, "%s", path);
    struct api_request request = {.method = method, .path = copy};
    if (body)
        request.body = span_from_string(body);
    char *query = strchr(copy, '?');
    if (query)
        *query++ = 0;
    for (char *item = query ? strtok_r(query, "&", &save) : NULL; item;
         item = strtok_r(NULL, "&", &save)) {
        char *equals = strchr(item, '=');
        if (equals)
            *equals++ = 0;
        request.query[request.query_count].name = item;
        request.query[request.query_count++].value = equals ? equals : "";
    }
    struct api_response response;
    api_handle(control, &request, &response);
    return response;
}

/* The same, asserting the status; the answer's body is a new reference. */
static inline json_t *api_expect(struct control *control, const char *method, const char *path,
                                 const char *body, unsigned status)
{
    struct api_response r = api_ask(control, method, path, body);
    if (r.status != status) {
        char *text = json_dumps(r.body, JSON_INDENT(1));
        print_error("%s %s %s: %u\n%s\n", method, path, body ? body : "", r.status, text);
        free(text);
    }
    assert_int_equal(r.status, status);
    return r.body;
}

/* Asserts status and pointer of a problem. */
static inline void api_expect_problem(struct control *control, const char *method, const char *path,
                                      const char *body, unsigned status, const char *pointer)
{
    json_t *p = api_expect(control, method, path, body, status);
    assert_int_equal(json_integer_value(json_object_get(p, "status")), status);
    assert_true(strncmp(json_text(p, "type"), "urn:tidegate:problem:", 21) == 0);
    assert_true(strlen(json_text(p, "title")) > 3);
    assert_true(strlen(json_text(p, "detail")) > 3);
    if (strcmp(json_text(p, "pointer"), pointer) != 0)
        print_error("%s %s: %s\n", path, body ? body : "", json_text(p, "detail"));
    assert_string_equal(json_text(p, "pointer"), pointer);
    json_decref(p);
}

#endif
