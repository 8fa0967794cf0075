/* SPDX-License-Identifier: BSD-3-Clause
 * The state file: round trip, modes, every kind of damage, and kill -9 at random points of a
 * running control plane.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "ctrlplane/control_test_support.h"
#include "ctrlplane/model.h"
#include "ctrlplane/prefix.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct fixture {
    struct place place;
    struct store store;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    char problem[640];
    place_make(&f->place);
    assert_int_equal(store_open(&f->store, f->place.config.state, problem), TG_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    store_close(&f->store);
    place_remove(&f->place);
    free(f);
    return 0;
}

static json_t *model_small(unsigned rules)
{
    json_t *m = model_new();
    for (unsigned i = 0; i < rules; i++) {
        char key[16];
        snprintf(key, sizeof key, "%u", i + 1);
        json_object_set_new(
            model_get(m, "rules"), key,
            json_pack("{s:s, s:i, s:i}", "protocol", "tcp", "slot", i, "hits_base", 3));
    }
    return m;
}

static void round_trip(void **state)
{
    struct fixture *f = *state;
    char problem[640];
    struct stat st;
    json_t *empty, *back, *m = model_small(3);
    assert_int_equal(store_load(&f->store, &empty, problem), TG_NOT_FOUND);
    assert_int_equal(json_object_size(model_get(empty, "rules")), 0);
    json_object_set_new(model_get(m, "origins"), "o",
                        json_pack("{s:s, s:i, s:i, s:i, s:i, s:i}", "address", "10.0.0.1", "port",
                                  80, "connections_max", 1, "connect_timeout_ms", 10,
                                  "response_timeout_ms", 10, "idle_timeout_ms", 10));
    assert_int_equal(store_save(&f->store, m, problem), TG_OK);
    assert_int_equal(stat(f->store.path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(store_load(&f->store, &back, problem), TG_OK);
    assert_true(json_equal(m, back));
    json_decref(empty);
    json_decref(back);
    json_decref(m);
}

static char *file_text(const char *path, size_t *len)
{
    FILE *file = fopen(path, "rb");
    char *text = malloc(1 << 16);
    assert_non_null(file);
    *len = fread(text, 1, 1 << 16, file);
    fclose(file);
    return text;
}

static void file_put(const char *path, const char *text, size_t len)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    fclose(file);
}

static void load_fails(struct fixture *f)
{
    char problem[640] = "";
    json_t *m;
    assert_int_equal(store_load(&f->store, &m, problem), TG_VERSION);
    assert_null(m);
    assert_non_null(strstr(problem, f->store.path));
}

static void every_flipped_bit_and_cut_is_found(void **state)
{
    struct fixture *f = *state;
    char problem[640];
    size_t len;
    json_t *m = model_small(2), *back;
    assert_int_equal(store_save(&f->store, m, problem), TG_OK);
    char *text = file_text(f->store.path, &len);
    unsigned survived = 0;
    for (size_t i = 0; i < len * 8; i += 3) {
        text[i / 8] ^= (char)(1 << i % 8);
        file_put(f->store.path, text, len);
        /* case of a hex digit in the header does not change its value: the only harmless flips */
        if (store_load(&f->store, &back, problem) == TG_OK) {
            assert_true(json_equal(m, back));
            json_decref(back);
            survived++;
        }
        text[i / 8] ^= (char)(1 << i % 8);
    }
    assert_true(survived <= 8);
    for (size_t cut = 0; cut < len; cut++) {
        file_put(f->store.path, text, cut);
        load_fails(f);
    }
    text[len] = '\n';
    file_put(f->store.path, text, len + 1);
    load_fails(f);
    free(text);
    json_decref(m);
}

/* A file that is whole but says what no client could have said. */
static void foreign_content_is_found(void **state)
{
    struct fixture *f = *state;
    static const char *const documents[] = {
        "[]",
        "{}",
        "{\"rules\":{},\"waf\":[],\"sites\":{},\"origins\":{}}",
        ("{\"rules\":{\"x\":{\"protocol\":\"tcp\",\"slot\":0,\"hits_base\":0}},\"waf\":[],"
         "\"sites\":"
         "{},"
         "\"origins\":{},\"certificates\":{}}"),
        ("{\"rules\":{\"1\":{\"protocol\":\"tcp\",\"slot\":1024,\"hits_base\":0}},\"waf\":[],"
         "\"sites\":{},"
         "\"origins\":{},\"certificates\":{}}"),
        ("{\"rules\":{\"1\":{\"protocol\":\"tcp\",\"slot\":0,\"hits_base\":0},\"2\":{\"protocol\":"
         "\"tcp\","
         "\"slot\":0,\"hits_base\":0}},\"waf\":[],\"sites\":{},\"origins\":{},\"certificates\":{}"
         "}"),
        ("{\"rules\":{},\"waf\":[],\"sites\":{\"s\":{\"hosts\":[\"a\"],\"origin\":\"gone\"}},"
         "\"origins\":{},\"certificates\":{}}"),
        "{\"rules\":{},\"waf\":{},\"sites\":{},\"origins\":{},\"certificates\":{}}",
        "{\"rules\":{},\"waf\":[{\"id\":1}],\"sites\":{},\"origins\":{},\"certificates\":{}}",
        "{\"rules\":{},\"waf\":[],\"sites\":{},\"origins\":{},\"certificates\":{},\"more\":{}}",
        "{\"rules\":{},\"waf\":[],\"sites\":{},\"origins\":{},\"certificates\":{},\"keyservers\":"
        "5}",
        ("{\"rules\":{},\"waf\":[],\"sites\":{},\"origins\":{},\"certificates\":{\"c\":{\"names\":"
         "[\"a\"],\"chain_pem\":\"-----BEGIN CERTIFICATE-----\",\"keyserver\":\"gone\","
         "\"default\":false}}}"),
    };
    for (size_t i = 0; i < TG_ARRAY_LEN(documents); i++) {
        char text[2048];
        size_t n = strlen(documents[i]);
        int at = snprintf(text, sizeof text, "tidegate-state 1 %08x %zu\n%s",
                          hash_crc32c(0, span_make(documents[i], n)), n, documents[i]);
        file_put(f->store.path, text, (size_t)at);
        load_fails(f);
    }
}

static void control_refuses_a_damaged_file(void **state)
{
    struct fixture *f = *state;
    static struct control control;
    char problem[640];
    file_put(f->store.path, "{}", 2);
    store_close(&f->store);
    assert_false(control_open(&control, &f->place.config, problem));
    assert_non_null(strstr(problem, f->store.path));
}

static void failed_save_keeps_the_old_file(void **state)
{
    struct fixture *f = *state;
    char problem[640], blocker[STORE_PATH_MAX + 16];
    json_t *m = model_small(1), *back;
    assert_int_equal(store_save(&f->store, m, problem), TG_OK);
    /* a directory that is not empty stands where the fresh file would be made */
    snprintf(blocker, sizeof blocker, "%s.new", f->store.path);
    assert_int_equal(mkdir(blocker, 0700), 0);
    snprintf(blocker, sizeof blocker, "%s.new/x", f->store.path);
    assert_int_equal(mkdir(blocker, 0700), 0);
    json_t *other = model_small(2);
    assert_int_equal(store_save(&f->store, other, problem), TG_SYSTEM);
    assert_non_null(strstr(problem, "cannot be written"));
    assert_int_equal(store_load(&f->store, &back, problem), TG_OK);
    assert_true(json_equal(m, back));
    json_decref(back);
    json_decref(other);
    json_decref(m);
}

/* The child: one change after the other, each told through the pipe once it was answered with
 * 200 or 201. */
static void changes_run(struct fixture *f, unsigned first, int pipe_fd)
{
    static struct control control;
    char problem[640];
    if (!control_open(&control, &f->place.config, problem))
        _exit(3);
    for (unsigned i = first;; i++) {
        char body[128];
        snprintf(body, sizeof body, "{\"source\": \"10.%u.%u.0/24\", \"protocol\": \"tcp\"}",
                 i >> 8 & 255, i & 255);
        struct api_response r = api_ask(&control, "PUT", "/v1/rules/1", body);
        json_decref(r.body);
        if (r.status > 201 || write(pipe_fd, &i, sizeof i) != sizeof i)
            _exit(4);
    }
}

/* After the kill: what was acknowledged last, or the change that was under way, is in force and
 * stored. */
static void survivor_check(struct fixture *f, unsigned last)
{
    static struct control control;
    char problem[640], expect[2][32];
    if (!control_open(&control, &f->place.config, problem))
        fail_msg("%s", problem);
    json_t *rule = api_expect(&control, "GET", "/v1/rules/1", NULL, 200);
    for (unsigned i = 0; i < 2; i++)
        snprintf(expect[i], sizeof expect[i], "10.%u.%u.0/24", (last + i) >> 8 & 255,
                 (last + i) & 255);
    const char *source = json_text(rule, "source");
    if (strcmp(source, expect[0]) != 0 && strcmp(source, expect[1]) != 0)
        fail_msg("%s is neither %s nor %s", source, expect[0], expect[1]);
    struct span block;
    uint64_t number;
    assert_int_equal(region_current(&control.region, TABLES_RULES, &block, &number), TG_OK);
    const struct tables_rules *t = (const void *)block.data;
    assert_int_equal(t->count, 1);
    uint8_t address[16];
    char text[32];
    snprintf(text, sizeof text, "%.*s", (int)(strchr(source, '/') - source), source);
    assert_true(address_parse(text, address));
    assert_memory_equal(t->rules[0].source, address, 16);
    json_decref(rule);
    control_close(&control);
}

/* The data plane as a process of its own: forking beside threads may hang under sanitizers. */
static pid_t plane_fork(const struct place *place)
{
    static struct fake fake;
    int fds[2];
    char ready = 0;
    assert_int_equal(pipe(fds), 0);
    pid_t plane = fork();
    if (plane == 0) {
        fake_start(&fake, place, 2, 0x77);
        (void)!write(fds[1], "x", 1);
        for (;;)
            pause();
    }
    assert_int_equal(read(fds[0], &ready, 1), 1);
    close(fds[0]);
    close(fds[1]);
    return plane;
}

static void kill_at_random_points_loses_nothing(void **state)
{
    struct fixture *f = *state;
    struct prng prng;
    unsigned last = 0, changes = 0;
    prng_seed(&prng, 20261125);
    store_close(&f->store);
    pid_t plane = plane_fork(&f->place);
    for (unsigned round = 0; round < 40; round++) {
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        pid_t child = fork();
        if (child == 0)
            changes_run(f, last + 1, fds[1]);
        close(fds[1]);
        unsigned seen;
        /* the first answer, then some random time more */
        if (read(fds[0], &seen, sizeof seen) == sizeof seen)
            last = seen;
        nanosleep(&(struct timespec){.tv_nsec = (long)prng_below(&prng, 20000000)}, NULL);
        kill(child, SIGKILL);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        while (read(fds[0], &seen, sizeof seen) == sizeof seen)
            last = seen;
        close(fds[0]);
        survivor_check(f, last);
        changes = last;
    }
    assert_true(changes >= 40);
    kill(plane, SIGKILL);
    assert_int_equal(waitpid(plane, NULL, 0), plane);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(every_flipped_bit_and_cut_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign_content_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(control_refuses_a_damaged_file, setup, teardown),
        cmocka_unit_test_setup_teardown(failed_save_keeps_the_old_file, setup, teardown),
        cmocka_unit_test_setup_teardown(kill_at_random_points_loses_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
