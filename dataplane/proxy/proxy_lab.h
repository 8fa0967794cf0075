/* SPDX-License-Identifier: BSD-3-Clause
 * For the proxy's tests: three hosts with whole stacks on one toy wire under one clock. A client
 * host whose connections say what a test tells them, the edge with the real proxy, an origin host
 * that serves what a test's function decides. Every turn checks the invariants of proxy and TCP;
 * the end checks that every buffer and timer is back. Never part of a program.
 */
#ifndef DATAPLANE_PROXY_PROXY_LAB_H
#define DATAPLANE_PROXY_PROXY_LAB_H

#include "proxy/parts.h"
#include "tcp/tcp_test_node.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define LAB_CONNECTIONS 512
#define LAB_EVENTS      64
#define LAB_START       (1000 * TG_S)
#define LAB_WALL        1718100000ull /* seconds: Tue, 11 Jun 2024 10:00:00 GMT at LAB_START */
#define LAB_DELAY       (TG_MS / 2)   /* one way */

enum lab_host { LAB_CLIENT, LAB_EDGE, LAB_ORIGIN, LAB_HOSTS };

struct lab_bytes {
    uint8_t *data;
    size_t len, cap;
};

struct lab;

/* One end of a connection at the client or the origin. */
struct lab_conn {
    struct lab *lab;
    enum lab_host host;
    tcp_handle h; /* TCP_NONE: slot unused */
    bool connected, peer_fin, closed, fin_wish, fin_said, stop_reading;
    enum tg_err error;        /* of CLOSED */
    struct lab_bytes in, out; /* plaintext; out: from out_at on still to be said */
    size_t out_at;
    size_t rate; /* bytes said per turn, 0: whatever fits */
    struct tls_conn *tls;
    bool tls_end;        /* the peer's close_notify */
    size_t cipher_bytes; /* received */
    /* the origin's script */
    size_t handled;  /* bytes of `in` that the script has dealt with */
    unsigned served; /* requests answered on this connection */
    uint64_t left;   /* free use */
};

struct lab_frame {
    struct lab_frame *next;
    tg_ns at;
    unsigned from;
    uint16_t len;
    uint8_t bytes[1600];
};

struct lab {
    struct node node[LAB_HOSTS];
    struct proxy *proxy;
    tg_ns now;
    struct lab_frame *first, *last; /* on the wire, in order */
    struct lab_conn conns[LAB_CONNECTIONS];
    void (*serve)(struct lab *lab, struct lab_conn *c); /* the origin has news */
    const char *answer;                                 /* of lab_serve_answer */
    bool cut[LAB_HOSTS];                                /* nothing from or to this host passes */
    bool more;                                          /* the proxy's run queue is not empty */
    uint64_t data_frames[LAB_HOSTS];                    /* sent with payload */
    struct tables_routes *routes;
    struct tls_set *origin_set; /* of lab_serve_by_tls, borrowed */
    struct ring *events;
    struct waf_worker *waf;
    uint64_t arg; /* free use of a script */
};

struct lab_config {
    struct proxy_config proxy;
    struct tcp_config tcp;     /* of all three */
    unsigned waf_transactions; /* 0: no WAF */
};
struct lab_config lab_defaults(void);

struct lab *lab_new(const struct lab_config *config); /* NULL: defaults */
/* Everything must have come back. */
void lab_end(struct lab *lab);

/* Sites and origins into force. */
struct lab_site {
    const char *host;
    uint32_t flags;
    uint32_t origin;
};
struct lab_origin {
    const char *address;
    uint16_t port;
    uint32_t flags, connections_max, connect_ms, response_ms, idle_ms;
    const char *server_name, *ca, *chain, *key; /* NULL: none */
};
void lab_use_routes(struct lab *lab, const struct lab_site sites[], unsigned site_count,
                    const struct lab_origin origins[], unsigned origin_count, uint64_t number);

/* --- client ----------------------------------------------------------------------------------- */

struct lab_conn *lab_connect(struct lab *lab, uint16_t port); /* 80: plain */
struct lab_conn *lab_connect6(struct lab *lab, uint16_t port);
struct lab_conn *lab_connect_tls(struct lab *lab, const char *server_name); /* port 443 */
void lab_say(struct lab_conn *c, struct span bytes);
void lab_say_text(struct lab_conn *c, const char *text);
void lab_fin(struct lab_conn *c);    /* behind what is still to be said */
void lab_reset(struct lab_conn *c);  /* RST */
void lab_forget(struct lab_conn *c); /* what has been received so far */
/* Say and run until there is nothing left to do for 100 ms; what came back, NUL-terminated. */
const char *lab_ask(struct lab_conn *c, const char *text);

/* --- time ------------------------------------------------------------------------------------- */

void lab_run(struct lab *lab, tg_ns for_ns);

/* --- expectations ----------------------------------------------------------------------------- */

uint64_t lab_count(const struct lab *lab, enum tg_counter c); /* the edge's */
/* start, `fill` times x, end: valid until the next call. */
const char *lab_padded(const char *start, size_t fill, const char *end);
const char *lab_text(struct lab_conn *c);                /* received so far, NUL-terminated */
void expect_status(struct lab_conn *c, unsigned status); /* of the first response in `in` */
void expect_in(struct lab_conn *c, const char *part);
void expect_not_in(struct lab_conn *c, const char *part);
struct proxy_gauges lab_gauges(const struct lab *lab);
unsigned lab_open_count(const struct lab *lab, enum lab_host host); /* connections not closed */
struct lab_conn *lab_origin_conn(struct lab *lab, unsigned n);      /* the n-th that was accepted */

/* --- origin scripts --------------------------------------------------------------------------- */

/* Parse the next request of a connection: true when its head and body are complete. *head's spans
 * are into c->in; *body is the de-framed body (copied, static). */
bool lab_request(struct lab_conn *c, struct http_head *head, struct span *body);
/* What an origin connection has received so far was cipher text: give it to c->tls. */
void lab_feed_tls(struct lab_conn *c);
/* Answer every complete request with lab->answer. */
void lab_serve_answer(struct lab *lab, struct lab_conn *c);
/* The same behind TLS, with this set of certificates. */
void lab_serve_by_tls(struct lab *lab, struct tls_set *set);
/* Requests that the origin has answered, on all its connections. */
unsigned lab_origin_served(const struct lab *lab);

#endif
