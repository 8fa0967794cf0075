/* SPDX-License-Identifier: BSD-3-Clause
 * Unit tests of the region as a file: creation, take-over, replacement, rights, locks, and files and
 * slots that somebody damaged or left half written.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "contract/region_test_util.h"
#include <errno.h>
#include <fcntl.h>

/* A region of one worker, and a control plane that may write to it; the path. */
static const char *both_open(struct region *data, struct region *control)
{
    const char *path = test_path();
    test_create(data, path, 1, 1 << 16);
    assert_int_equal(region_attach(control, path, true), TG_OK);
    return path;
}

static void both_close(struct region *data, struct region *control, const char *path)
{
    region_close(control);
    region_close(data);
    unlink(path);
}

static void header_states_the_truth(void **state)
{
    struct region data, control;
    const char *path = test_path();
    test_create(&data, path, 2, 1 << 16);
    const struct region_header *h = &data.layout->header;
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0660);
    assert_int_equal(st.st_size, h->bytes);
    assert_int_equal(h->workers, 2);
    assert_int_equal(h->node_slot, 7);
    assert_int_equal(h->boot_id, 42);
    assert_int_equal(h->arena_bytes, 1 << 16);
    assert_true(region_header_valid(h, data.bytes));
    assert_true(region_is_at(&data, path));
    assert_int_equal(region_attach(&control, path, false), TG_OK);
    assert_false(control.writer);
    region_close(&control);
    assert_null(control.layout);
    region_close(&control); /* harmless */
    region_close(&data);
    unlink(path);
}

static void every_header_field_is_checked(void **state)
{
    struct region data;
    const char *path = test_path();
    test_create(&data, path, 2, 1 << 16);
    struct region_header good = data.layout->header;
    assert_true(region_header_valid(&good, data.bytes));
    assert_false(region_header_valid(&good, data.bytes - 1));
    assert_false(region_header_valid(&good, data.bytes + 1));
    assert_false(region_header_valid(&good, 8));
    for (size_t at = 0; at < offsetof(struct region_header, checksum) + 4; at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            struct region_header bad = good;
            ((uint8_t *)&bad)[at] ^= (uint8_t)(1u << bit);
            assert_false(region_header_valid(&bad, data.bytes));
        }
    /* A right checksum does not save a wrong field. */
    struct region_header foreign = good;
    foreign.layout_version++;
    foreign.checksum =
        hash_crc32c(0, span_make(&foreign, offsetof(struct region_header, checksum)));
    assert_false(region_header_valid(&foreign, data.bytes));
    foreign = good;
    foreign.workers = TG_WORKERS_MAX + 1;
    foreign.checksum =
        hash_crc32c(0, span_make(&foreign, offsetof(struct region_header, checksum)));
    assert_false(region_header_valid(&foreign, data.bytes));
    region_close(&data);
    unlink(path);
}

static void one_writer_at_a_time(void **state)
{
    struct region data, first, second, reader;
    const char *path = test_path();
    assert_int_equal(region_attach(&first, path, true), TG_NOT_FOUND);
    assert_int_equal(region_attach(&first, path, false), TG_NOT_FOUND);
    test_create(&data, path, 1, 1 << 16);
    assert_int_equal(region_attach(&first, path, true), TG_OK);
    assert_int_equal(data.layout->directory.control_pid, getpid());
    assert_int_equal(region_attach(&second, path, true), TG_EXISTS);
    assert_null(second.layout);
    assert_int_equal(region_attach(&reader, path, false), TG_OK);
    region_close(&first);
    assert_int_equal(data.layout->directory.control_pid, 0);
    assert_int_equal(region_attach(&second, path, true), TG_OK);
    region_close(&second);
    region_close(&reader);
    region_close(&data);
    unlink(path);
}

static void one_data_plane_at_a_time(void **state)
{
    struct region data, second;
    char problem[256];
    const char *path = test_path();
    test_create(&data, path, 1, 1 << 16);
    assert_int_equal(region_create(&second, path, 1, 7, 1 << 16, -1, 43, problem), TG_SYSTEM);
    assert_non_null(strstr(problem, "another tidegate"));
    assert_non_null(strstr(problem, path));
    assert_null(second.layout);
    assert_int_equal(data.layout->header.boot_id, 42);
    region_close(&data);
    test_create(&second, path, 1, 1 << 16);
    region_close(&second);
    unlink(path);
}

static void problems_are_said(void **state)
{
    struct region data;
    char problem[256];
    assert_int_equal(region_create(&data, "/dev/shm/no/such/directory", 1, 0, 4096, -1, 1, problem),
                     TG_SYSTEM);
    assert_non_null(strstr(problem, "/dev/shm/no/such/directory"));
    assert_non_null(strstr(problem, strerror(ENOENT)));
    assert_int_equal(region_create(&data, "/dev/shm", 1, 0, 4096, -1, 1, problem), TG_SYSTEM);
    assert_true(strlen(problem) > 10);
    /* More than the machine has: said at start, not by a SIGBUS later; nothing stays behind. */
    const char *path = test_path();
    assert_int_equal(region_create(&data, path, 1, 0, (size_t)1 << 50, -1, 1, problem), TG_SYSTEM);
    assert_non_null(strstr(problem, "reserve memory"));
    assert_int_equal(access(path, F_OK), -1);
    assert_null(data.layout);
    char long_path[5000];
    memset(long_path, 'x', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = '\0';
    assert_int_equal(region_create(&data, long_path, 1, 0, 4096, -1, 1, problem), TG_SYSTEM);
}

static void a_restarted_data_plane_finds_its_tables(void **state)
{
    struct region data, control;
    struct span block;
    uint64_t number;
    const char *path = both_open(&data, &control);
    assert_int_equal(test_publish_owners(&control, 6, 11, &number), TG_OK);
    assert_int_equal(test_publish_owners(&control, 6, 12, &number), TG_OK);
    test_apply(&data, 0, TABLES_OWNERS, 2, 2);
    region_announce(&control, TABLES_OWNERS);
    stats_add(&region_worker(&data, 0)->stats, TG_C_tcp_accepted, 5);
    region_close(&data); /* killed: alive stays 1 */

    /* Nobody holds generation 1 any more, nobody is waited for. */
    assert_true(region_applied(&control, TABLES_OWNERS, 99));

    char problem[256];
    assert_int_equal(region_create(&data, path, 3, 8, 1 << 16, -1, 77, problem), TG_OK);
    assert_true(region_is_at(&control, path)); /* the same file: the writer goes on */
    assert_int_equal(control.layout->header.workers, 3);
    assert_int_equal(control.layout->header.node_slot, 8);
    assert_int_equal(control.layout->header.boot_id, 77);
    assert_true(region_header_valid(&control.layout->header, control.bytes));
    assert_int_equal(region_current(&data, TABLES_OWNERS, &block, &number), TG_OK);
    assert_int_equal(number, 2);
    assert_true(test_owners_is(block.data, block.len, 12));
    const struct region_worker *w = region_worker(&data, 0);
    assert_int_equal(w->alive, 0);
    assert_int_equal(w->applied[TABLES_OWNERS], 0);
    assert_int_equal(w->oldest[TABLES_OWNERS], 0);
    assert_int_equal(ring_count(region_commands(&data, 0)), 0);
    assert_int_equal(w->stats.value[TG_C_tcp_accepted], 5);
    assert_int_equal(test_publish_owners(&control, 6, 13, &number), TG_OK);
    assert_int_equal(number, 3);
    both_close(&data, &control, path);
}

/* Overwrite bytes of a closed region's file. */
static void file_patch(const char *path, off_t at, const void *bytes, size_t n)
{
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, n, at), n);
    close(fd);
}

/* A control plane is attached, the data plane dies, the file gets damaged, another one starts. */
static void expect_replaced(void (*damage)(const char *path))
{
    struct region data, control;
    struct span block;
    uint64_t number;
    const char *path = both_open(&data, &control);
    assert_int_equal(test_publish_owners(&control, 6, 11, &number), TG_OK);
    region_close(&data);
    damage(path);
    test_create(&data, path, 1, 1 << 16);
    assert_int_equal(region_current(&data, TABLES_OWNERS, &block, &number), TG_NOT_FOUND);
    assert_true(region_is_at(&data, path));
    assert_false(region_is_at(&control, path));
    /* The old mapping is still there to be read; the new file has no writer yet. */
    assert_int_equal(((volatile struct region_layout *)control.layout)->header.workers, 1);
    struct region fresh;
    assert_int_equal(region_attach(&fresh, path, true), TG_OK);
    assert_int_equal(test_publish_owners(&fresh, 6, 12, &number), TG_OK);
    assert_int_equal(number, 1);
    region_close(&fresh);
    both_close(&data, &control, path);
}

static void damage_magic(const char *path)
{
    file_patch(path, offsetof(struct region_header, magic), "nonsense", 8);
}
static void damage_version(const char *path)
{
    uint32_t version = REGION_LAYOUT_VERSION + 1;
    file_patch(path, offsetof(struct region_header, layout_version), &version, 4);
}
static void damage_ring(const char *path)
{
    uint32_t head = 0xdead;
    file_patch(path,
               (off_t)(offsetof(struct region_layout, workers) +
                       offsetof(struct region_worker, command_ring)),
               &head, 4);
}
static void damage_grow(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(path, st.st_size + 4096), 0);
}

static void what_cannot_be_taken_over_is_replaced(void **state)
{
    expect_replaced(damage_magic);
    expect_replaced(damage_version);
    expect_replaced(damage_ring);
    expect_replaced(damage_grow);
}

static void an_empty_or_short_file_is_replaced(void **state)
{
    static const size_t sizes[] = {0, 1, 63, 64, 5000};
    for (unsigned i = 0; i < TG_ARRAY_LEN(sizes); i++) {
        struct region data, control;
        const char *path = test_path();
        int fd = open(path, O_CREAT | O_WRONLY, 0600);
        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, (off_t)sizes[i]), 0);
        close(fd);
        assert_int_equal(region_attach(&control, path, true), TG_VERSION);
        assert_null(control.layout);
        assert_int_equal(region_attach(&control, path, false), TG_VERSION);
        assert_null(control.layout);
        test_create(&data, path, 1, 4096);
        assert_int_equal(region_attach(&control, path, true), TG_OK);
        both_close(&data, &control, path);
    }
}

static void another_size_is_replaced(void **state)
{
    struct region data;
    const char *path = test_path();
    test_create(&data, path, 1, 1 << 16);
    region_close(&data);
    test_create(&data, path, 1, 1 << 17);
    assert_int_equal(data.layout->header.arena_bytes, 1 << 17);
    region_close(&data);
    unlink(path);
}

static void another_version_can_be_looked_at(void **state)
{
    struct region data, control;
    const char *path = test_path();
    test_create(&data, path, 1, 1 << 16);
    data.layout->header.layout_version = 99;
    assert_int_equal(region_attach(&control, path, true), TG_VERSION);
    assert_null(control.layout);
    assert_int_equal(region_attach(&control, path, false), TG_VERSION);
    assert_non_null(control.layout);
    assert_int_equal(control.layout->header.layout_version, 99);
    assert_int_equal(control.bytes, sizeof(struct region_header));
    both_close(&data, &control, path);
}

/* What a writer that was killed leaves behind, put there by hand. */
static void half_done_work_is_cleared(void **state)
{
    struct region data, control;
    struct span block;
    uint64_t number;
    const char *path = both_open(&data, &control);
    assert_int_equal(test_publish_owners(&control, 6, 1, &number), TG_OK);
    struct region_slot *s = data.layout->directory.slots[TABLES_OWNERS];
    region_close(&control);

    s[2] = s[0]; /* whole, but never made current */
    s[2].number = 2;
    s[3].offset = s[0].offset + 4096; /* half written */
    s[3].bytes = 500;
    s[3].number = 2;
    s[3].state = REGION_SLOT_WRITING;
    s[4].state = REGION_SLOT_PUBLISHED; /* damaged: outside of the arena */
    s[4].offset = UINT64_MAX - 100;
    s[4].bytes = 200;
    s[4].number = 1;
    assert_int_equal(region_attach(&control, path, true), TG_OK);
    assert_int_equal(s[0].state, REGION_SLOT_PUBLISHED);
    for (unsigned i = 1; i < REGION_SLOTS; i++)
        assert_int_equal(s[i].state, REGION_SLOT_FREE);

    s[5].state = REGION_SLOT_WRITING; /* the same while attached: collect finds it */
    s[5].number = 2;
    assert_int_equal(region_collect(&control), 1);
    assert_int_equal(test_publish_owners(&control, 6, 2, &number), TG_OK);
    assert_int_equal(number, 2);
    assert_int_equal(region_current(&data, TABLES_OWNERS, &block, &number), TG_OK);
    assert_true(test_owners_is(block.data, block.len, 2));

    /* A half-written private key is wiped, too. */
    struct region_slot *c = &data.layout->directory.slots[TABLES_CERTIFICATES][1];
    c->offset = data.layout->header.arena_offset + 32768;
    c->bytes = 64;
    char *key = (char *)data.layout + c->offset;
    memset(key, 'k', 128);
    c->state = REGION_SLOT_WRITING;
    assert_int_equal(region_collect(&control), 1);
    for (unsigned i = 0; i < 128; i++)
        assert_int_equal(key[i], i < 64 ? 0 : 'k');
    both_close(&data, &control, path);
}

static void damaged_generations_are_not_lent_out(void **state)
{
    struct region data, control;
    struct span block;
    uint64_t number;
    const char *path = both_open(&data, &control);
    assert_int_equal(test_publish_owners(&control, 6, 1, &number), TG_OK);
    struct region_directory *d = &data.layout->directory;
    struct region_slot *s = &d->slots[TABLES_OWNERS][0];
    struct region_slot good = *s;
    assert_int_equal(region_current(&data, TABLES_OWNERS, &block, &number), TG_OK);

    ((uint8_t *)(uintptr_t)block.data)[block.len - 1] ^= 1; /* one bit */
    assert_int_equal(region_current(&data, TABLES_OWNERS, &block, &number), TG_VERSION);
    assert_int_equal(region_generation(&data, TABLES_OWNERS, 1, &block), TG_VERSION);
    ((uint8_t *)(uintptr_t)block.data)[block.len - 1] ^= 1;
    assert_int_equal(region_current(&data, TABLES_OWNERS, &block, &number), TG_OK);

    static const uint64_t offsets[] = {0, 64, 1, UINT64_MAX, UINT64_MAX - 63};
    for (unsigned i = 0; i < TG_ARRAY_LEN(offsets); i++) {
        s->offset = offsets[i];
        assert_int_equal(region_current(&data, TABLES_OWNERS, &block, &number), TG_VERSION);
        s->offset = good.offset;
    }
    static const uint64_t sizes[] = {0, 15, UINT64_MAX, (1 << 16) + 1};
    for (unsigned i = 0; i < TG_ARRAY_LEN(sizes); i++) {
        s->bytes = sizes[i];
        assert_int_equal(region_current(&data, TABLES_OWNERS, &block, &number), TG_VERSION);
        s->bytes = good.bytes;
    }
    s->state = REGION_SLOT_WRITING;
    assert_int_equal(region_current(&data, TABLES_OWNERS, &block, &number), TG_VERSION);
    s->state = 12345;
    assert_int_equal(region_current(&data, TABLES_OWNERS, &block, &number), TG_VERSION);
    s->state = good.state;
    d->current[TABLES_OWNERS] = 1 << 8 | 200; /* no such slot */
    assert_int_equal(region_current(&data, TABLES_OWNERS, &block, &number), TG_VERSION);
    d->current[TABLES_OWNERS] = 1 << 8 | 3; /* an empty one */
    assert_int_equal(region_current(&data, TABLES_OWNERS, &block, &number), TG_VERSION);
    d->current[TABLES_OWNERS] = 1 << 8;
    assert_int_equal(region_current(&data, TABLES_OWNERS, &block, &number), TG_OK);
    /* Publishing goes on over a damaged current generation. */
    s->checksum ^= 1;
    assert_int_equal(test_publish_owners(&control, 6, 2, &number), TG_OK);
    assert_int_equal(region_current(&data, TABLES_OWNERS, &block, &number), TG_OK);
    assert_int_equal(number, 2);
    both_close(&data, &control, path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_states_the_truth),
        cmocka_unit_test(every_header_field_is_checked),
        cmocka_unit_test(one_writer_at_a_time),
        cmocka_unit_test(one_data_plane_at_a_time),
        cmocka_unit_test(problems_are_said),
        cmocka_unit_test(a_restarted_data_plane_finds_its_tables),
        cmocka_unit_test(what_cannot_be_taken_over_is_replaced),
        cmocka_unit_test(an_empty_or_short_file_is_replaced),
        cmocka_unit_test(another_size_is_replaced),
        cmocka_unit_test(another_version_can_be_looked_at),
        cmocka_unit_test(half_done_work_is_cleared),
        cmocka_unit_test(damaged_generations_are_not_lent_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
