/* SPDX-License-Identifier: BSD-3-Clause
 * Two processes over one region: the writer is killed (SIGKILL) at random points, 1,000 times, while the
 * reader, which acts as a worker, verifies that it never sees a torn generation, that numbers only
 * grow, that what it holds stays whole, and that the command ring only ever yields whole commands.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "contract/region_test_util.h"
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#define KILLS       1000
#define ARENA_BYTES (1u << 20)

/* The content of every generation is a function of the number in its own header: a rollback makes old
 * content current under a new number, and keeps the old number in the block. */
static bool content_is_right(enum tables_kind kind, struct span block)
{
    const struct tables_header *h = (const struct tables_header *)(const void *)block.data;
    if (kind == TABLES_OWNERS)
        return test_owners_is(block.data, block.len, h->number);
    const struct tables_rules *t = (const struct tables_rules *)(const void *)block.data;
    for (uint32_t i = 0; i < t->count; i++)
        if (t->rules[i].id != (uint32_t)(h->number * 1000 + i))
            return false;
    return t->count == h->number % 200;
}

/* --- the writer: a process of its own, never ends by itself --------------------------------------------- */

static enum tg_err writer_publish(struct region *control, enum tables_kind kind, struct prng *rng)
{
    uint64_t next = (control->layout->directory.current[kind] >> 8) + 1, number;
    if (prng_below(rng, 8) == 0)
        return region_rollback(control, kind, &number);
    if (kind == TABLES_OWNERS)
        return test_publish_owners(control, (unsigned)prng_below(rng, 15), next, &number);
    size_t len;
    struct tables_rules *t = test_rules(next % 200, (uint32_t)(next * 1000), &len);
    enum tg_err err = region_publish(control, kind, t, len, &number);
    free(t);
    return err;
}

static _Noreturn void writer_run(const char *path, uint64_t seed)
{
    struct region control;
    struct prng rng;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* never outlives the test */
    prng_seed(&rng, seed);
    if (region_attach(&control, path, true) != TG_OK)
        _exit(1); /* the lock of the killed one must be gone */
    for (;;) {
        enum tables_kind kind = prng_below(&rng, 2) ? TABLES_OWNERS : TABLES_RULES;
        enum tg_err err = writer_publish(&control, kind, &rng);
        if (err != TG_OK && err != TG_FULL && err != TG_NOT_FOUND)
            _exit(2);
        region_announce(&control, kind);
        if (prng_below(&rng, 4) == 0)
            region_collect(&control);
    }
}

/* --- the reader ---------------------------------------------------------------------------------------- */

struct reader {
    struct region data;
    uint64_t seen[TABLES_KINDS];     /* newest number seen */
    uint64_t held[TABLES_KINDS];     /* in force, as a worker has it */
    struct span block[TABLES_KINDS]; /* of `held` */
    uint64_t looks, commands, half_written, orphans;
};

/* One turn of a worker: what it holds is still whole; then it takes the current generation. */
static void reader_look(struct reader *r, enum tables_kind kind)
{
    struct span block;
    uint64_t number;
    if (r->held[kind])
        assert_true(content_is_right(kind, r->block[kind]));
    enum tg_err err = region_current(&r->data, kind, &block, &number);
    if (err == TG_NOT_FOUND) {
        assert_int_equal(r->seen[kind], 0);
        return;
    }
    assert_int_equal(err, TG_OK);
    assert_true(number >= r->seen[kind]);
    assert_true(content_is_right(kind, block));
    r->seen[kind] = r->held[kind] = number;
    r->block[kind] = block;
    r->looks++;
    test_apply(&r->data, 0, kind, number, number);
}

static void reader_take_commands(struct reader *r)
{
    struct command c;
    while (ring_pop(region_commands(&r->data, 0), &c, 1)) {
        assert_int_equal(c.op, COMMAND_USE);
        assert_true(c.kind == TABLES_OWNERS || c.kind == TABLES_RULES);
        assert_true(c.number > 0);
        /* Never announced before it was current. */
        assert_true(c.number <= r->data.layout->directory.current[c.kind] >> 8);
        r->commands++;
    }
}

/* What the killed writer left, before the next one tidies up. */
static void reader_count_remains(struct reader *r)
{
    for (unsigned kind = 0; kind < TABLES_KINDS; kind++) {
        const struct region_directory *d = &r->data.layout->directory;
        for (unsigned i = 0; i < REGION_SLOTS; i++) {
            const struct region_slot *s = &d->slots[kind][i];
            r->half_written += s->state == REGION_SLOT_WRITING;
            r->orphans += s->state == REGION_SLOT_PUBLISHED && s->number > d->current[kind] >> 8;
        }
    }
    assert_true(ring_valid(region_commands(&r->data, 0), REGION_COMMANDS, sizeof(struct command)));
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * TG_S + (uint64_t)t.tv_nsec;
}

/* Start a writer, watch it for up to ~4 ms, kill it, look again. */
static void kill_one_writer(struct reader *r, const char *path, struct prng *rng, uint64_t seed)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        writer_run(path, seed);
    uint64_t until = now_ns() + prng_below(rng, 4 * TG_MS);
    do {
        reader_look(r, TABLES_OWNERS);
        reader_look(r, TABLES_RULES);
        reader_take_commands(r);
    } while (now_ns() < until);
    assert_int_equal(kill(pid, SIGKILL), 0);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL); /* it had no complaint */
    reader_look(r, TABLES_OWNERS);
    reader_look(r, TABLES_RULES);
    reader_take_commands(r);
    reader_count_remains(r);
}

static void a_writer_killed_anywhere_leaves_the_region_valid(void **state)
{
    static struct reader r;
    struct prng rng;
    const char *path = test_path();
    test_create(&r.data, path, 1, ARENA_BYTES);
    test_apply(&r.data, 0, TABLES_OWNERS, 0, 0);
    test_apply(&r.data, 0, TABLES_RULES, 0, 0);
    uint64_t seed = now_ns();
    prng_seed(&rng, seed);
    print_message("seed %llu\n", (unsigned long long)seed);
    for (unsigned i = 0; i < KILLS; i++)
        kill_one_writer(&r, path, &rng, seed + i);
    print_message("%u kills, %llu looks, %llu + %llu generations, %llu commands; left behind: %llu "
                  "half-written, %llu never current\n",
                  KILLS, (unsigned long long)r.looks, (unsigned long long)r.seen[TABLES_OWNERS],
                  (unsigned long long)r.seen[TABLES_RULES], (unsigned long long)r.commands,
                  (unsigned long long)r.half_written, (unsigned long long)r.orphans);
    /* The kills must have hit what they aim at, and the writers must have got somewhere. */
    assert_true(r.half_written > 0);
    assert_true(r.seen[TABLES_OWNERS] > KILLS / 10 && r.seen[TABLES_RULES] > KILLS / 10);
    assert_true(r.commands > KILLS / 10);

    /* A last writer finds everything in order. */
    struct region control;
    uint64_t number;
    assert_int_equal(region_attach(&control, path, true), TG_OK);
    assert_int_equal(test_publish_owners(&control, 10, r.seen[TABLES_OWNERS] + 1, &number), TG_OK);
    assert_int_equal(number, r.seen[TABLES_OWNERS] + 1);
    reader_look(&r, TABLES_OWNERS);
    assert_int_equal(r.seen[TABLES_OWNERS], number);
    region_close(&control);
    region_close(&r.data);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_writer_killed_anywhere_leaves_the_region_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
