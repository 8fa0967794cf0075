/* SPDX-License-Identifier: BSD-3-Clause
 * Tables into force and out of it, and what the worker tells the region about itself.
 */
#include "proxy/keyless.h"
#include "steer/tunnel.h"
#include "worker/worker_internal.h"

#define WORKER_DRIVER_SLOTS 32 /* a report, so all of them 30 times a second */

static_assert(IO_DROP_RULES_MAX == TABLES_RULES_MAX, "one limit of rules");

static void worker_retire_waf(struct worker *w)
{
    if (!w->waf_current.program)
        return;
    tg_assert(w->retired_count < WORKER_RETIRED_MAX);
    w->retired[w->retired_count].program = w->waf_current.program;
    w->retired[w->retired_count].number = w->waf_current.number;
    w->retired_count++;
}

/* Programs that no request uses any more go back to the housekeeping thread. */
static void worker_release_retired(struct worker *w)
{
    uint64_t oldest = proxy_oldest(w->proxy, TABLES_WAF);
    unsigned kept = 0;
    for (unsigned i = 0; i < w->retired_count; i++) {
        bool used =
            w->retired[i].number >= oldest || waf_worker_running(w->waf, w->retired[i].program) > 0;
        if (used || (w->mail && !mailbox_give_back(w->mail, TABLES_WAF, w->retired[i].number,
                                                   w->retired[i].program)))
            w->retired[kept++] = w->retired[i];
    }
    w->retired_count = kept;
}

static enum tg_err worker_use_waf(struct worker *w, struct waf_program *program, uint64_t number)
{
    if (w->retired_count == WORKER_RETIRED_MAX)
        return TG_FULL; /* requests hold too many old programs */
    worker_retire_waf(w);
    w->waf_current.program = program;
    w->waf_current.number = number;
    proxy_use_waf(w->proxy, program, number);
    return TG_OK;
}

/* The fleet is laid out anew beside the one in force, so that a table that does not fit changes nothing.
 * Connections that live keep their cookies; what the next ones carry changes between two bursts. */
static enum tg_err worker_use_owners(struct worker *w, const struct tables_owners *table)
{
    if (table->node_count == 0) {
        w->steer.fleet = NULL;
        w->steer.owners = table;
        tcp_use_owner(w->tcp, NULL);
        return TG_OK;
    }
    struct fleet *next = &w->fleets[w->steer.fleet == &w->fleets[0]];
    enum tg_err result = fleet_build(next, table, w->config.node_slot);
    if (result != TG_OK)
        return result;
    w->steer.fleet = next;
    w->steer.owners = table;
    struct tcp_owner owner = {.me = next->me};
    for (unsigned family = 0; family < FLEET_FAMILIES; family++)
        owner.reserve[family] = tunnel_reserve(next, (enum fleet_family)family);
    tcp_use_owner(w->tcp, &owner);
    return TG_OK;
}

enum tg_err worker_use_table(struct worker *w, enum tables_kind kind, void *object, uint64_t number)
{
    enum tg_err result = TG_OK;
    switch (kind) {
    case TABLES_RULES:
        w->filter.rules = object;
        break;
    case TABLES_OWNERS:
        result = worker_use_owners(w, object);
        break;
    case TABLES_ROUTES:
        proxy_use_routes(w->proxy, object, number);
        break;
    case TABLES_CERTIFICATES:
        proxy_use_keyless(w->proxy, object, number);
        break;
    case TABLES_WAF:
        result = w->waf ? worker_use_waf(w, object, number) : TG_UNSUPPORTED;
        break;
    case TABLES_KINDS:
        result = TG_BAD_INPUT;
        break;
    }
    if (result != TG_OK)
        return result;
    w->in_force[kind] = number;
    stats_count(w->stats, TG_C_worker_tables_taken);
    return TG_OK;
}

static void worker_refuse(struct worker *w, const struct mail *mail)
{
    if (mail->object)
        (void)mailbox_give_back(w->mail, mail->kind, mail->number, mail->object);
    if (!w->slot)
        return;
    atomic_store_explicit(&w->slot->refused_kind, mail->kind, memory_order_relaxed);
    atomic_store_explicit(&w->slot->refused_number, mail->number, memory_order_release);
}

bool worker_take_mail(struct worker *w)
{
    struct mail mail;
    if (!w->mail)
        return false;
    bool any = mailbox_read_commands(w->mail);
    while (mailbox_next(w->mail, &mail)) {
        any = true;
        if (mail.result != TG_OK ||
            worker_use_table(w, mail.kind, mail.object, mail.number) != TG_OK) {
            worker_refuse(w, &mail);
            continue;
        }
        /* the acknowledgement: the control plane's 200 waits for it */
        atomic_store_explicit(&w->slot->applied[mail.kind], mail.number, memory_order_release);
    }
    return any;
}

/* The oldest generation of a kind whose bytes in the region somebody here may still read. */
static uint64_t worker_oldest(const struct worker *w, enum tables_kind kind)
{
    uint64_t oldest = w->in_force[kind];
    if (kind == TABLES_ROUTES && proxy_oldest(w->proxy, kind) < oldest)
        oldest = proxy_oldest(w->proxy, kind);
    if (kind == TABLES_WAF)
        for (unsigned i = 0; i < w->retired_count; i++)
            if (w->retired[i].number < oldest)
                oldest = w->retired[i].number;
    return oldest;
}

/* Hits of drop rules in the driver, to those in filter/: a few slots a time, worker 0 for all. */
static void worker_report_driver(struct worker *w)
{
    for (unsigned i = 0; i < WORKER_DRIVER_SLOTS; i++) {
        unsigned slot = w->driver_slot++ % TABLES_RULES_MAX;
        w->slot->rule_hits[slot] += io_rule_hits_take(w->io, slot);
    }
}

void worker_report(struct worker *w, tg_ns now)
{
    struct proxy_gauges gauges;
    if (w->retired_count)
        worker_release_retired(w);
    if (!w->slot)
        return;
    for (unsigned kind = 0; kind < TABLES_KINDS; kind++)
        atomic_store_explicit(&w->slot->oldest[kind], worker_oldest(w, kind), memory_order_release);
    if (w->config.index == 0)
        worker_report_driver(w);
    proxy_get_gauges(w->proxy, &gauges);
    w->slot->connections = tcp_connection_count(w->tcp);
    w->slot->requests_active = gauges.requests;
    w->slot->pressure = tcp_pressure(w->tcp);
    atomic_store_explicit(&w->slot->heartbeat_ns, now, memory_order_relaxed);
}
