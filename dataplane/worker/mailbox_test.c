/* SPDX-License-Identifier: BSD-3-Clause
 * Tables on their way to a worker: the mailbox, and the housekeeping thread's answers over a real region.
 */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "worker/housekeeping.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct region region;
static char region_path[64];
static struct mailbox mail;
static struct waf_worker *waf;
static struct housekeeping housekeeping;

static int start(void **state)
{
    char problem[256];
    snprintf(region_path, sizeof region_path, "/dev/shm/mailbox-test-%d", (int)getpid());
    unlink(region_path);
    if (region_create(&region, region_path, 1, 0, 8u << 20, -1, 7, problem) != TG_OK) {
        print_error("%s\n", problem);
        return -1;
    }
    region.writer = true;
    memset(&housekeeping, 0, sizeof housekeeping);
    if (mailbox_init(&mail, region_commands(&region, 0)) != TG_OK ||
        waf_worker_create(4, &waf) != TG_OK || tls_start() != TG_OK)
        return -1;
    housekeeping.region = &region;
    housekeeping.workers = 1;
    housekeeping.policy = (struct tls_policy){.alpn_http1 = true, .tls12 = true};
    housekeeping.worker[0].mail = &mail;
    housekeeping.worker[0].waf = waf;
    return 0;
}

static int stop(void **state)
{
    waf_worker_destroy(waf);
    housekeeping_end(&housekeeping);
    mailbox_free(&mail);
    region_close(&region);
    unlink(region_path);
    return 0;
}

static uint64_t publish_rules(uint32_t count)
{
    static union {
        struct tables_rules table;
        uint8_t bytes[sizeof(struct tables_rules) + 8 * sizeof(struct tables_rule)];
    } block;
    uint64_t number;
    size_t len = sizeof(struct tables_rules) + count * sizeof(struct tables_rule);
    memset(&block, 0, sizeof block);
    block.table.header.kind = TABLES_RULES;
    block.table.header.bytes = (uint32_t)len;
    block.table.count = count;
    for (uint32_t i = 0; i < count; i++) {
        block.table.rules[i].id = i + 1;
        block.table.rules[i].slot = i;
        block.table.rules[i].source_port_high = block.table.rules[i].destination_port_high = 65535;
    }
    assert_int_equal(region_publish(&region, TABLES_RULES, &block, len, &number), TG_OK);
    return number;
}

static uint64_t publish_waf(bool damaged)
{
    const struct waf_rule rule = {.id = 9,
                                  .targets = WAF_IN_URI,
                                  .pattern = SPAN_LITERAL("evil"),
                                  .message = SPAN_LITERAL("evil word"),
                                  .block = true};
    void *blob;
    size_t len;
    unsigned bad;
    char problem[256];
    uint64_t number;
    assert_int_equal(waf_compile(&rule, 1, &blob, &len, &bad, problem), TG_OK);
    if (damaged)
        ((uint8_t *)blob)[len / 2] ^= 1;
    size_t bytes = TG_CACHE_LINE + len;
    struct tables_waf *table = calloc(1, bytes);
    assert_non_null(table);
    table->header.kind = TABLES_WAF;
    table->header.bytes = (uint32_t)bytes;
    table->program_offset = TG_CACHE_LINE;
    table->program_len = (uint32_t)len;
    memcpy((uint8_t *)table + TG_CACHE_LINE, blob, len);
    assert_int_equal(region_publish(&region, TABLES_WAF, table, bytes, &number), TG_OK);
    free(table);
    free(blob);
    return number;
}

static void nothing_published_nothing_asked(void **state)
{
    housekeeping_ask_all(&housekeeping);
    assert_int_equal(housekeeping_turn(&housekeeping), 0);
    struct mail got;
    assert_false(mailbox_next(&mail, &got));
}

static void command_becomes_a_ready_table(void **state)
{
    uint64_t number = publish_rules(2);
    struct mail got;
    const struct command command = {COMMAND_USE, TABLES_RULES, number};
    assert_int_equal(ring_push(region_commands(&region, 0), &command, 1), 1);
    assert_true(mailbox_read_commands(&mail));
    assert_int_equal(housekeeping_turn(&housekeeping), 1);
    assert_true(mailbox_next(&mail, &got));
    assert_int_equal(got.kind, TABLES_RULES);
    assert_int_equal(got.result, TG_OK);
    assert_int_equal(got.number, number);
    assert_int_equal(((const struct tables_rules *)got.object)->count, 2);
    assert_false(mailbox_next(&mail, &got));
}

static void repeated_and_older_commands_are_one(void **state)
{
    uint64_t number = publish_rules(1);
    struct command commands[] = {{COMMAND_USE, TABLES_RULES, number},
                                 {COMMAND_USE, TABLES_RULES, number},
                                 {COMMAND_USE, TABLES_RULES, number - 1},
                                 {77, TABLES_RULES, number + 5},
                                 {COMMAND_USE, 99, number + 5}};
    struct mail got;
    assert_int_equal(ring_push(region_commands(&region, 0), commands, 5), 5);
    assert_true(mailbox_read_commands(&mail));
    assert_int_equal(housekeeping_turn(&housekeeping), 1);
    assert_true(mailbox_next(&mail, &got));
    assert_int_equal(got.number, number);
    assert_false(mailbox_next(&mail, &got));
}

/* More commands than the mailbox holds: none is lost, they wait in the region's ring. */
static void flood_of_commands_loses_none(void **state)
{
    uint64_t last = 0;
    for (unsigned i = 0; i < 60; i++) {
        last = publish_rules(1);
        const struct command command = {COMMAND_USE, TABLES_RULES, last};
        assert_int_equal(ring_push(region_commands(&region, 0), &command, 1), 1);
        atomic_store(&region_worker(&region, 0)->applied[TABLES_RULES], last);
        atomic_store(&region_worker(&region, 0)->oldest[TABLES_RULES], last);
        region_collect(&region);
    }
    for (unsigned turn = 0; turn < 20; turn++)
        (void)mailbox_read_commands(&mail);
    assert_true(ring_count(region_commands(&region, 0)) > 0);
    uint64_t newest = 0;
    for (unsigned turn = 0; turn < 40; turn++) {
        struct mail got;
        (void)mailbox_read_commands(&mail);
        housekeeping_turn(&housekeeping);
        while (mailbox_next(&mail, &got))
            newest = got.number;
    }
    assert_int_equal(newest, last);
}

static void program_is_opened_prepared_and_closed(void **state)
{
    struct mail got;
    struct waf_tx *tx;
    uint64_t number = publish_waf(false);
    assert_true(mailbox_ask(&mail, TABLES_WAF, number));
    housekeeping_turn(&housekeeping);
    assert_true(mailbox_next(&mail, &got));
    assert_int_equal(got.result, TG_OK);
    assert_int_equal(waf_begin(waf, got.object, &tx), TG_OK);
    const struct head_view head = {.method = SPAN_LITERAL("GET"),
                                   .target = SPAN_LITERAL("/evil"),
                                   .path = SPAN_LITERAL("/evil"),
                                   .version = SPAN_LITERAL("HTTP/1.1"),
                                   .raw_line = SPAN_LITERAL("GET /evil HTTP/1.1")};
    assert_int_equal(waf_head(tx, &head), WAF_BLOCK);
    waf_finish(tx);
    assert_true(mailbox_give_back(&mail, TABLES_WAF, number, got.object));
    housekeeping_turn(&housekeeping);
    for (unsigned i = 0; i < HOUSEKEEPING_PROGRAMS; i++)
        assert_null(housekeeping.programs[i].program);
}

static void damaged_program_is_refused(void **state)
{
    struct mail got;
    assert_true(mailbox_ask(&mail, TABLES_WAF, publish_waf(true)));
    housekeeping_turn(&housekeeping);
    assert_true(mailbox_next(&mail, &got));
    assert_int_not_equal(got.result, TG_OK);
    assert_null(got.object);
}

static void expect_certificates_refused(void *block, size_t bytes)
{
    struct mail got;
    uint64_t number;
    assert_int_equal(region_publish(&region, TABLES_CERTIFICATES, block, bytes, &number), TG_OK);
    assert_true(mailbox_ask(&mail, TABLES_CERTIFICATES, number));
    housekeeping_turn(&housekeeping);
    assert_true(mailbox_next(&mail, &got));
    assert_int_equal(got.result, TG_BAD_INPUT);
    assert_null(got.object);
}

static void certificate_that_does_not_parse_is_refused(void **state)
{
    struct {
        struct tables_certificates table;
        struct tables_certificate one;
        char text[64];
    } block = {.table.header = {TABLES_CERTIFICATES, sizeof block, 0}, .table.count = 1};
    uint32_t at = (uint32_t)offsetof(__typeof__(block), text);
    memcpy(block.text, "www.example\0no PEM at all", 26);
    block.one.names = (struct tables_string){at, 12};
    block.one.chain_pem = (struct tables_string){at + 12, 13};
    block.one.key_pem = (struct tables_string){at + 12, 13};
    expect_certificates_refused(&block, sizeof block);
}

static void key_server_that_is_not_usable_is_refused(void **state)
{
    struct {
        struct tables_certificates table;
        struct tables_keyserver one;
        char text[64];
    } block = {.table.header = {TABLES_CERTIFICATES, sizeof block, 0}, .table.keyserver_count = 1};
    uint32_t at = (uint32_t)offsetof(__typeof__(block), text);
    block.table.keyserver_offset = (uint32_t)offsetof(__typeof__(block), one);
    memcpy(block.text, "keys.example no PEM at all", 26);
    block.one.server_name = (struct tables_string){at, 12};
    block.one.ca_pem = (struct tables_string){at + 13, 13};
    block.one.address_count = 1;
    expect_certificates_refused(&block, sizeof block);
}

static void restarted_workers_find_what_is_published(void **state)
{
    uint64_t number = publish_rules(3);
    struct mail got;
    memset(mail.asked, 0, sizeof mail.asked);
    housekeeping_ask_all(&housekeeping);
    housekeeping_turn(&housekeeping);
    bool found = false;
    while (mailbox_next(&mail, &got))
        found |= got.kind == TABLES_RULES && got.number == number && got.result == TG_OK;
    assert_true(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_published_nothing_asked),
        cmocka_unit_test(command_becomes_a_ready_table),
        cmocka_unit_test(repeated_and_older_commands_are_one),
        cmocka_unit_test(flood_of_commands_loses_none),
        cmocka_unit_test(program_is_opened_prepared_and_closed),
        cmocka_unit_test(damaged_program_is_refused),
        cmocka_unit_test(certificate_that_does_not_parse_is_refused),
        cmocka_unit_test(key_server_that_is_not_usable_is_refused),
        cmocka_unit_test(restarted_workers_find_what_is_published),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
