/* SPDX-License-Identifier: BSD-3-Clause
 * The housekeeping thread's work; see housekeeping.h. Cold: it may allocate and log.
 */
#include "worker/housekeeping.h"
#include "base/log.h"
#include "proxy/keyless.h"
#include "proxy/origin_plan.h"
#include <stdlib.h>

#define MAIL_A_TURN 32

static enum tg_err housekeeping_build_set(struct housekeeping *h,
                                          const struct tables_certificates *table,
                                          struct tls_set **out)
{
    struct tls_certificate *list = calloc(table->count + 1, sizeof *list);
    struct tls_set *set = NULL;
    char problem[256];
    unsigned bad = 0;
    if (!list)
        return TG_NO_MEMORY;
    for (uint32_t i = 0; i < table->count; i++) {
        const struct tables_certificate *c = &table->certificates[i];
        list[i] = (struct tls_certificate){
            .names = tables_string_span(table, c->names),
            .chain_pem = tables_string_span(table, c->chain_pem),
            .key_pem = tables_string_span(table, c->key_pem),
            .is_default = c->flags & TABLES_CERTIFICATE_DEFAULT,
        };
    }
    enum tg_err result = tls_set_create(list, table->count, &h->policy, &set, &bad, problem);
    free(list);
    if (result != TG_OK)
        log_error("certificate %u is not usable: %s", bad, problem);
    *out = set;
    return result;
}

static void housekeeping_read_server(const struct tables_certificates *table,
                                     const struct tables_keyserver *from, struct keyless_server *to)
{
    *to = (struct keyless_server){
        .server_name = tables_string_span(table, from->server_name),
        .ca_pem = tables_string_span(table, from->ca_pem),
        .chain_pem = tables_string_span(table, from->chain_pem),
        .key_pem = tables_string_span(table, from->key_pem),
        .address_count = from->address_count,
    };
    for (uint32_t i = 0; i < from->address_count; i++) {
        memcpy(to->addresses[i].address, from->addresses[i].address, 16);
        to->addresses[i].port = from->addresses[i].port;
    }
}

/* Which key lies where: of every certificate without a key of its own. */
static uint32_t housekeeping_read_keys(const struct tables_certificates *table,
                                       struct keyless_key keys[])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < table->count; i++) {
        const struct tables_certificate *c = &table->certificates[i];
        if (c->key_pem.len > 0 || c->keyserver == UINT32_MAX)
            continue;
        keys[count].server = c->keyserver;
        if (tls_certificate_ski(tables_string_span(table, c->chain_pem), keys[count].ski) == TG_OK)
            count++;
    }
    return count;
}

/* A generation of certificates as the proxy takes it: the set, and the key servers. */
static enum tg_err housekeeping_build_certificates(struct housekeeping *h, struct span block,
                                                   void **object)
{
    const struct tables_certificates *table = (const void *)block.data;
    struct tls_set *set;
    enum tg_err result = housekeeping_build_set(h, table, &set);
    if (result != TG_OK)
        return result;
    struct keyless_server *servers = calloc(table->keyserver_count + 1, sizeof *servers);
    struct keyless_key *keys = calloc(table->count + 1, sizeof *keys);
    struct keyless_plan *plan = NULL;
    unsigned bad = 0;
    char problem[256] = "";
    result = servers && keys ? TG_OK : TG_NO_MEMORY;
    for (uint32_t i = 0; result == TG_OK && i < table->keyserver_count; i++)
        housekeeping_read_server(table, &tables_keyservers(table)[i], &servers[i]);
    if (result == TG_OK)
        result = keyless_plan_create(set, servers, table->keyserver_count, keys,
                                     housekeeping_read_keys(table, keys), &plan, &bad, problem);
    if (result != TG_OK) {
        log_error("key server %u is not usable: %s", bad, problem);
        tls_set_unref(set);
    }
    free(servers);
    free(keys);
    *object = plan;
    return result;
}

/* A generation of routes as the proxy takes it: with what TLS to origins needs. */
static enum tg_err housekeeping_build_routes(struct span block, void **object)
{
    struct origin_plan *plan = NULL;
    char problem[256];
    unsigned bad;
    enum tg_err result = origin_plan_create((const void *)block.data, &plan, &bad, problem);
    if (result != TG_OK)
        log_error("origin %u is not usable: %s", bad, problem);
    *object = plan;
    return result;
}

/* A program is opened once for all workers; each worker gets its own scratch for it. */
static enum tg_err housekeeping_open_program(struct housekeeping *h, unsigned worker,
                                             struct span block, uint64_t number, void **object)
{
    const struct tables_waf *table = (const void *)block.data;
    unsigned place = HOUSEKEEPING_PROGRAMS;
    if (!h->worker[worker].waf)
        return TG_UNSUPPORTED;
    for (unsigned i = 0; i < HOUSEKEEPING_PROGRAMS; i++) {
        if (!h->programs[i].program && place == HOUSEKEEPING_PROGRAMS)
            place = i;
        if (h->programs[i].program && h->programs[i].number == number) {
            place = i;
            break;
        }
    }
    if (place == HOUSEKEEPING_PROGRAMS)
        return TG_FULL;
    if (!h->programs[place].program) {
        struct span blob = span_slice(block, table->program_offset, table->program_len);
        enum tg_err result = waf_program_open(blob, &h->programs[place].program);
        if (result != TG_OK)
            return result;
        h->programs[place].number = number;
        h->programs[place].holders = 0;
    }
    enum tg_err result = waf_worker_prepare(h->worker[worker].waf, h->programs[place].program);
    if (result != TG_OK) {
        if (h->programs[place].holders == 0) {
            waf_program_close(h->programs[place].program);
            h->programs[place].program = NULL;
        }
        return result;
    }
    h->programs[place].holders++;
    *object = h->programs[place].program;
    return TG_OK;
}

static void housekeeping_close_program(struct housekeeping *h, unsigned worker, const void *program)
{
    for (unsigned i = 0; i < HOUSEKEEPING_PROGRAMS; i++) {
        if (h->programs[i].program != program)
            continue;
        if (waf_worker_release(h->worker[worker].waf, h->programs[i].program) == TG_AGAIN)
            log_error("a WAF program was given back while transactions run");
        if (--h->programs[i].holders == 0) {
            waf_program_close(h->programs[i].program);
            h->programs[i].program = NULL;
        }
        return;
    }
}

/* The same rules for the program in the driver, where there is one: what it does not take, filter/ does. Rules are
 * built once for each worker; they go down with worker 0's. */
static void housekeeping_push_rules(struct housekeeping *h, struct span block)
{
    const struct tables_rules *table = (const void *)block.data;
    struct io_drop_rule *rules = calloc(table->count + 1, sizeof *rules);
    enum tg_err result = rules ? TG_OK : TG_NO_MEMORY;
    for (uint32_t i = 0; rules && i < table->count; i++) {
        const struct tables_rule *from = &table->rules[i];
        rules[i] = (struct io_drop_rule){
            .source_bits = from->source_bits,
            .destination_bits = from->destination_bits,
            .proto = from->proto,
            .source_port_low = from->source_port_low,
            .source_port_high = from->source_port_high,
            .destination_port_low = from->destination_port_low,
            .destination_port_high = from->destination_port_high,
            .slot = (uint16_t)from->slot,
        };
        memcpy(rules[i].source, from->source, sizeof rules[i].source);
        memcpy(rules[i].destination, from->destination, sizeof rules[i].destination);
    }
    if (rules)
        result = io_host_use_rules(h->host, rules, table->count);
    free(rules);
    if (result != TG_OK && result != TG_UNSUPPORTED)
        log_warn("the driver does not take the drop rules (%s): they are in force behind it only",
                 tg_err_text(result));
}

static void housekeeping_build(struct housekeeping *h, unsigned worker, const struct mail *question)
{
    struct mail answer = {.op = MAIL_READY, .kind = question->kind, .number = question->number};
    struct span block;
    enum tg_err result = region_current(h->region, question->kind, &block, &answer.number);
    if (result == TG_OK && question->kind == TABLES_CERTIFICATES)
        result = housekeeping_build_certificates(h, block, &answer.object);
    else if (result == TG_OK && question->kind == TABLES_WAF)
        result = housekeeping_open_program(h, worker, block, answer.number, &answer.object);
    else if (result == TG_OK && question->kind == TABLES_ROUTES)
        result = housekeeping_build_routes(block, &answer.object);
    else if (result == TG_OK)
        answer.object = (void *)(uintptr_t)block.data;
    if (result == TG_OK && question->kind == TABLES_RULES && worker == 0 && h->host)
        housekeeping_push_rules(h, block);
    if (result != TG_OK)
        log_error("worker %u cannot use %s generation %llu: %s", worker,
                  tables_kind_name(question->kind), (unsigned long long)answer.number,
                  tg_err_text(result));
    answer.result = result;
    /* the worker asks at most as often as it reads: there is room, MAILBOX_ENTRIES on both sides */
    if (ring_push(h->worker[worker].mail->from_housekeeping, &answer, 1) != 1)
        log_error("worker %u does not take its tables", worker);
}

static void housekeeping_free(struct housekeeping *h, unsigned worker, const struct mail *mail)
{
    if (mail->kind == TABLES_CERTIFICATES)
        keyless_plan_destroy(mail->object);
    else if (mail->kind == TABLES_ROUTES)
        origin_plan_destroy(mail->object);
    else if (mail->kind == TABLES_WAF)
        housekeeping_close_program(h, worker, mail->object);
}

void housekeeping_ask_all(struct housekeeping *h)
{
    struct span block;
    uint64_t number;
    for (unsigned kind = 0; kind < TABLES_KINDS; kind++)
        if (region_current(h->region, kind, &block, &number) == TG_OK)
            for (unsigned w = 0; w < h->workers; w++)
                (void)mailbox_ask(h->worker[w].mail, kind, number);
}

unsigned housekeeping_turn(struct housekeeping *h)
{
    unsigned total = 0;
    for (unsigned w = 0; w < h->workers; w++) {
        struct mail mail;
        for (unsigned i = 0; i < MAIL_A_TURN; i++, total++) {
            if (ring_pop(h->worker[w].mail->to_housekeeping, &mail, 1) != 1)
                break;
            if (mail.op == MAIL_BUILD)
                housekeeping_build(h, w, &mail);
            else if (mail.op == MAIL_FREE)
                housekeeping_free(h, w, &mail);
        }
    }
    return total;
}

void housekeeping_end(struct housekeeping *h)
{
    for (unsigned i = 0; i < HOUSEKEEPING_PROGRAMS; i++)
        waf_program_close(h->programs[i].program);
}
