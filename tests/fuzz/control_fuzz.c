/* SPDX-License-Identifier: BSD-3-Clause
 * Resource readers of the control plane under arbitrary JSON. The first byte chooses the reader.
 * What a reader accepts, it must accept again and give back unchanged; what makes a model, must
 * compile into valid tables.
 */
#include "ctrlplane/compile.h"
#include "ctrlplane/model.h"
#include "ctrlplane/resource.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* In force already when it came from a reader: reading it again changes nothing. */
static void reader_run(const json_t *in,
                       json_t *(*read)(const json_t *, const char *, struct problem *))
{
    struct problem problem = {0}, none = {0};
    json_t *once = read(in, "/x", &problem);
    if (once) {
        json_t *twice = read(once, "", &none);
        tg_assert(twice && json_equal(once, twice));
        json_decref(twice);
    } else {
        tg_assert(problem.status == 422);
        json_decref(problem_json(&problem));
    }
    json_decref(once);
    problem_clear(&problem);
}

static json_t *rule_reader(const json_t *in, const char *pointer, struct problem *problem)
{
    static const char *const none[] = {NULL};
    struct drop_rule rule;
    return rule_read(in, pointer, none, &rule, problem) ? rule_json(&rule) : NULL;
}

/* Alone, or with nodes when one of them happens to be this node; before: what is in force. */
static void owners_run(const json_t *model)
{
    static struct config config = {.node_slot = 1, .node_site = 1, .port_count = 1};
    static struct secrets secrets = {.counts = {2, 1, 1, 1}};
    struct compile_node self = {.config = &config, .secrets = &secrets};
    struct problem problem = {0};
    struct block first, second;
    config.ports[0].address_count = 2;
    tg_assert(config_parse_prefix("10.0.0.1/24", &config.ports[0].addresses[0]) == TG_OK);
    tg_assert(config_parse_prefix("2001:db8::1/64", &config.ports[0].addresses[1]) == TG_OK);
    tg_assert(compile_tables(TABLES_OWNERS, model, &self, &first, &problem));
    self.before = first.bytes;
    tg_assert(compile_tables(TABLES_OWNERS, model, &self, &second, &problem));
    tg_assert(first.len == second.len && memcmp(first.bytes, second.bytes, first.len) == 0);
    block_free(&first);
    block_free(&second);
}

static void model_run(const json_t *in)
{
    struct problem problem = {0};
    struct block block;
    json_t *model = model_read(in, &problem);
    if (model) {
        json_t *again = model_read(model, &problem);
        tg_assert(again && json_equal(model, again));
        json_decref(again);
        if (compile_tables(TABLES_RULES, model, 0, &block, &problem))
            block_free(&block); /* compile_tables asserts that it is valid */
        problem_clear(&problem);
        if (compile_tables(TABLES_ROUTES, model, 0, &block, &problem))
            block_free(&block);
        owners_run(model);
    }
    json_decref(model);
    problem_clear(&problem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 2)
        return 0;
    json_t *in =
        json_loadb((const char *)data + 1, len - 1, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    if (!in)
        return 0;
    switch (data[0] % 9) {
    case 0:
        reader_run(in, rule_reader);
        break;
    case 1:
        reader_run(in, site_read);
        break;
    case 2:
        reader_run(in, origin_read);
        break;
    case 3:
        reader_run(in, certificate_read);
        break;
    case 4:
        reader_run(in, waf_rule_read);
        break;
    case 7:
        reader_run(in, node_read);
        break;
    case 8:
        reader_run(in, fleet_setting_read);
        break;
    case 5:
        reader_run(in, keyserver_read);
        break;
    default:
        model_run(in);
    }
    json_decref(in);
    return 0;
}
