/* SPDX-License-Identifier: BSD-3-Clause
 * TLS to origins: opened under what the origin's plan holds, and why it failed, told apart. Called by origin and
 * request. Must not know HTTP. Floor 3.
 */
#include "proxy/parts.h"

enum tg_err origin_tls_open(struct proxy *p, struct origin_conn *o)
{
    const struct tables_origin *origin;
    struct tls_client *client = origin_plan_client(p->origin_plan, o->pool->tls, &origin);
    size_t consumed;
    if (!client) /* other routes came into force meanwhile, and nobody has this identity any more */
        return TG_STALE;
    enum tg_err err = tls_client_open(client, o, &o->stream.tls);
    /* without input: makes the first flight */
    return err == TG_OK ? tls_feed(o->stream.tls, NULL, 0, &consumed, proxy_wall_ns(p) / TG_S)
                        : err;
}

void origin_tls_tell(struct proxy *p, struct request *r, unsigned status)
{
    const struct origin_conn *o = r->origin;
    const struct tables_origin *origin = NULL;
    struct tls_info info;
    if (!o || !o->stream.tls)
        return;
    tls_get_info(o->stream.tls, &info);
    if (info.problem)
        stats_count(p->stats, TG_C_origin_tls_certificate);
    else if (info.alert_text)
        stats_count(p->stats, TG_C_origin_tls_refused);
    else if (!tls_handshake_done(o->stream.tls))
        stats_count(p->stats, TG_C_origin_tls_failed);
    else
        return; /* it served: that it has closed now is nothing of TLS */
    (void)origin_plan_client(p->origin_plan, o->pool->tls, &origin);
    audit_origin(p, r, origin ? tables_string_span(p->routes, origin->name) : SPAN_EMPTY, status,
                 info.problem      ? info.problem
                 : info.alert_text ? info.alert_text
                 : status == 504   ? "the TLS handshake is not over in time"
                                   : "the TLS handshake broke off");
}
