/* SPDX-License-Identifier: BSD-3-Clause
 * What the files of the keyless transport share; nobody else includes it.
 *
 *   keyless_plan  which key lies where (cold)
 *   keyless       operations: out, answered, failed, given up
 *   keyless_conn  connections to key servers: open, packets in and out, ping, loss
 *
 *   client (parked) --1--> operation --*--> up to two tries, each on one connection
 *
 * An operation names its client and its client names it; whoever ends first clears both. A try names
 * a connection by pointer; a lost connection clears its tries. The id in a packet is the operation's
 * index below a running number, so that no late answer meets a later operation. Floor 3.
 */
#ifndef DATAPLANE_PROXY_KEYLESS_PARTS_H
#define DATAPLANE_PROXY_KEYLESS_PARTS_H

#include "proxy/keyless.h"
#include "proxy/parts.h"
#include "tls/keymsg.h"

#define KEYLESS_CONNS_MAX    128
#define KEYLESS_CONNS_EACH   2    /* to one address */
#define KEYLESS_CONN_OPS_MAX 256  /* unanswered on one connection; the reference allows 1024 */
#define KEYLESS_IN_BYTES     4096 /* no answer to what we ask is longer */
#define KEYLESS_RESULT_MAX   1024 /* bytes: RSA with 8192 bits */

#define KEYLESS_DEADLINE   (2 * TG_S) /* of an operation, from the moment it is needed */
#define KEYLESS_TRY        (1 * TG_S) /* no answer for so long: another connection is asked too */
#define KEYLESS_LOSSES_MAX 3 /* tries of one operation that may end with their connection */
#define KEYLESS_CONNECT    (1 * TG_S)    /* TCP and TLS */
#define KEYLESS_PING       (10 * TG_S)   /* after so much silence; servers hang up after 30 s */
#define KEYLESS_SILENCE    (4 * TG_S)    /* nothing heard for so long after we spoke: it is dead */
#define KEYLESS_TICK       (20 * TG_MS)  /* of deadlines, while anything waits */
#define KEYLESS_REST       (500 * TG_MS) /* else */
#define KEYLESS_WAIT       (250 * TG_MS) /* before connecting again; doubled each time, ... */
#define KEYLESS_WAIT_MAX   (30 * TG_S)   /* ... up to this, unless operations wait */

struct endpoint {
    struct keyless_address at;
    struct key_conn *conns[KEYLESS_CONNS_EACH];
    tg_ns lost_at; /* the last connection, or try of one */
    tg_ns wait;    /* and the pause behind it; 0: none */
};

struct key_server {
    struct tls_client *client;
    uint64_t
        identity[2]; /* hash of name, anchors and our certificate: the same server as before? */
    struct endpoint endpoints[KEYLESS_ADDRESSES_MAX];
    unsigned endpoint_count;
    unsigned ops; /* out or waiting */
};

struct keyless_plan {
    struct tls_set *set; /* until it is in force */
    struct key_server *servers;
    struct keyless_key *keys; /* sorted by SKI */
    unsigned server_count, key_count;
};

enum key_conn_state { KEY_CONNECTING, KEY_HANDSHAKE, KEY_OPEN };

struct key_conn {
    struct stream stream;
    struct key_server *server; /* NULL: no longer in the plan; ends when its answers are here */
    struct endpoint *endpoint; /* NULL with server */
    enum key_conn_state state;
    bool unsaid;     /* something was written this turn: flush at its end */
    tg_ns begun;     /* when connecting began, later when it was open */
    tg_ns said;      /* last packet out */
    tg_ns asked_at;  /* first packet out since one came in; 0: none */
    uint32_t ops;    /* unanswered */
    uint32_t in_len; /* bytes of in[] */
    uint8_t in[KEYLESS_IN_BYTES];
};

enum key_op_state {
    KEY_OP_WAITING, /* for a connection */
    KEY_OP_OUT,
    KEY_OP_OVER, /* result says how; its client takes it away */
};

struct key_try {
    struct key_conn *conn; /* NULL: none, or lost */
    uint32_t id;
    tg_ns at;
};

struct key_op {
    struct key_op *next, *prev; /* all that are not over, oldest first */
    struct client *client;
    struct key_server *server; /* NULL: no longer in the plan */
    enum key_op_state state;
    unsigned tries_made; /* of tries[] */
    unsigned losses;     /* of connections under it */
    struct key_try tries[2];
    tg_ns deadline;
    uint16_t result_len; /* 0: failed */
    uint8_t result[KEYLESS_RESULT_MAX];
};

struct keyless {
    struct pool ops, conns;
    struct keyless_plan *plan; /* NULL: no keys elsewhere */
    struct key_op *first, *last;
    struct timer timer;
    bool due;         /* the timer has fired */
    bool unsaid;      /* some connection's is set */
    uint32_t running; /* number in the upper bits of ids */
};

/* keyless.c */
void key_op_answer(struct proxy *p, struct key_conn *conn, const struct keymsg *m);
/* The connection ends, and its server does not know it any more: its operations go elsewhere, wait for
 * another one, or fail. */
void key_ops_lost(struct proxy *p, struct key_conn *conn);
/* A connection of this server has become usable, or its last one failed to. */
void key_ops_send(struct proxy *p, struct key_server *server);
void key_ops_fail_waiting(struct proxy *p, struct key_server *server);

/* keyless_conn.c */
/* The usable connection to this server with the fewest unanswered operations, but not `other` and,
 * where that is possible, not at its address. NULL: none. */
struct key_conn *key_conn_choose(const struct proxy *p, const struct key_server *server,
                                 const struct key_conn *other);
void key_conn_say(struct proxy *p, struct key_conn *conn, const struct keymsg *m);
/* Open what is missing and may be tried again; ping; give up what is silent. */
void key_conns_tick(struct proxy *p);
/* The plan has changed: find each connection's server again. */
void key_conns_rebind(struct proxy *p);
void key_conn_free(struct proxy *p, struct key_conn *conn); /* its operations are elsewhere */
const char *key_conns_check(const struct proxy *p);

/* keyless_plan.c */
struct key_server *keyless_plan_find(struct keyless_plan *plan, const uint8_t ski[20]);

#endif
