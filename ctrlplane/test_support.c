/* SPDX-License-Identifier: BSD-3-Clause
 * A data plane for tests. See test_support.h.
 */
#include "ctrlplane/test_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>

#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void place_make(struct place *place)
{
    struct config *c = &place->config;
    memset(place, 0, sizeof *place);
    strcpy(place->directory, "/tmp/tidegate-test-XXXXXX");
    assert_non_null(mkdtemp(place->directory));
    strcpy(c->node_name, "test");
    snprintf(c->region, sizeof c->region, "%s/region", place->directory);
    snprintf(c->socket, sizeof c->socket, "%s/ctl.sock", place->directory);
    snprintf(c->state, sizeof c->state, "%s/state", place->directory);
    snprintf(c->audit, sizeof c->audit, "%s/log/audit.jsonl", place->directory);
    c->apply_timeout_ms = 2000;
    c->node_slot = 5;
}

static int entry_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

void place_remove(struct place *place)
{
    nftw(place->directory, entry_remove, 8, FTW_DEPTH | FTW_PHYS);
}

static void command_obey(struct fake *fake, unsigned worker, const struct command *command)
{
    struct region_worker *w = region_worker(&fake->region, worker);
    int mood = atomic_load(&fake->mood[worker]);
    if (mood == FAKE_REFUSE && atomic_load(&fake->refuse_times) == 0)
        mood = FAKE_APPLY;
    if (mood == FAKE_REFUSE) {
        atomic_fetch_sub(&fake->refuse_times, 1);
        atomic_store(&w->refused_kind, command->kind);
        atomic_store(&w->refused_number, command->number);
    } else if (mood == FAKE_APPLY) {
        struct span block;
        /* as a real worker: only what verifies is used */
        if (region_generation(&fake->region, command->kind, command->number, &block) == TG_OK) {
            atomic_store(&w->applied[command->kind], command->number);
            atomic_store(&w->oldest[command->kind], command->number);
        }
    }
}

static void *fake_run(void *arg)
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
static void current_take(struct fake *fake, unsigned worker)
{
    for (unsigned kind = 0; kind < TABLES_KINDS; kind++) {
        struct span block;
        struct command command = {COMMAND_USE, kind, 0};
        if (region_current(&fake->region, kind, &block, &command.number) == TG_OK)
            command_obey(fake, worker, &command);
    }
}

void fake_start(struct fake *fake, const struct place *place, unsigned workers, uint64_t boot_id)
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

void fake_settle(struct fake *fake)
{
    for (unsigned kind = 0; kind < TABLES_KINDS; kind++) {
        uint64_t number = atomic_load(&fake->region.layout->directory.current[kind]) >> 8;
        for (unsigned i = 0; i < fake->region.layout->header.workers; i++)
            while (atomic_load(&region_worker(&fake->region, i)->applied[kind]) < number)
                nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
}

void fake_stop(struct fake *fake)
{
    atomic_store(&fake->stop, true);
    pthread_join(fake->thread, NULL);
    for (unsigned i = 0; i < fake->region.layout->header.workers; i++)
        region_worker(&fake->region, i)->alive = 0;
    region_close(&fake->region);
}

struct api_response api_ask(struct control *control, const char *method, const char *path,
                            const char *body)
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

json_t *api_expect(struct control *control, const char *method, const char *path, const char *body,
                   unsigned status)
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

void api_expect_problem(struct control *control, const char *method, const char *path,
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

const char *json_text(const json_t *object, const char *member)
{
    const char *text = json_string_value(json_object_get(object, member));
    return text ? text : "";
}
