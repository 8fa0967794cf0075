/* SPDX-License-Identifier: BSD-3-Clause
 * What the files of the proxy share among themselves; nobody outside proxy/ includes it.
 *
 *   proxy    pools, tables, TCP's events, the run queue
 *   client   one client connection: handshake, idle, request, closing
 *   request  one request: the phases in order, in request_step
 *   inspect  WAF calls and audit records of a request
 *   store    where a head's bytes lie while they come in and as long as it is needed
 *   heads    serialises heads for the origin and for the client
 *   body     moves body bytes from one stream to the other
 *   response what the origin answers
 *   reply    our own answers
 *   origin   connections to origins: pool, reuse, connect
 *   stream   TCP with or without TLS, as bytes
 *   early    requests that came as 0-RTT data: at once, or after the client's Finished
 *   keyless  private keys that lie elsewhere: operations to key servers
 *
 * Who owns whom: a client connection owns at most one request, a request at most one origin
 * connection. Each pointer back is cleared when the owner lets go. Floor 3.
 */
#ifndef DATAPLANE_PROXY_PARTS_H
#define DATAPLANE_PROXY_PARTS_H

#include "base/hash.h"
#include "base/pool.h"
#include "http/h1.h"
#include "proxy/keyless.h"
#include "proxy/origin_plan.h"
#include "proxy/proxy.h"
#include "route/route.h"

#define HEAD_OUT_BYTES_MAX                                                                         \
    (HTTP_HEAD_BYTES_MAX + 4096)     /* a head as we write it: ours come on top */
#define MOVE_BYTES_MAX    65536      /* payload bytes that one step of a body moves */
#define PIECE_BYTES_MAX   16384      /* payload bytes taken at once: one TLS record, one WAF scan */
#define INFORMATIONAL_MAX 16         /* 1xx answers that one request may get */
#define LINGER_TIME       (2 * TG_S) /* how long we discard what a refused client still sends */
#define ORIGIN_BUCKETS    1024

/* What a step says to whoever called it. */
enum step {
    STEP_NEXT,    /* this part is over: go on with the next one */
    STEP_WAIT,    /* an event or the deadline continues */
    STEP_YIELD,   /* there is more to do: to the back of the run queue */
    STEP_STARVED, /* the buffer pool is empty: again in the next turn */
};

/* --- stream ----------------------------------------------------------------------------------- */

/* Bytes to and from a peer: TCP alone, or TLS over it. */
struct stream {
    tcp_handle tcp;       /* TCP_NONE when gone */
    struct tls_conn *tls; /* NULL: plain */
    struct buf *staged;   /* plaintext that TLS has given and nobody has consumed; TLS only */
    struct buf_queue
        early;             /* 0-RTT data behind it: read ahead, because Finished comes after them */
    uint32_t early_left;   /* unconsumed bytes that were 0-RTT data: the first ones */
    struct buf_queue held; /* promised to the peer: what TCP would not take yet; with TLS also what
                              waits to fill a record until the step ends */
    uint32_t held_bytes;
    enum tg_err error; /* why the stream is dead; TG_OK while it lives */
    bool input_end;    /* the peer's close_notify has been read */
    bool starved;      /* an operation failed for want of a buffer; whoever sees it clears it */
};

/* The first contiguous plaintext bytes, borrowed until consumed. TG_OK, TG_AGAIN (none yet), TG_END
 * (none ever again), or the stream's error. */
enum tg_err stream_peek(struct proxy *p, struct stream *s, struct span *out);
void stream_consume(struct proxy *p, struct stream *s, size_t n);
/* Pass the first n bytes (all of them in what stream_peek showed) on to another stream, without a
 * copy where that is possible. */
void stream_pass(struct proxy *p, struct stream *from, struct stream *to, size_t n);
/* Bytes that may be written now without being held; 0: a WRITABLE event will follow. */
size_t stream_writable(struct proxy *p, struct stream *s);
/* Write what fits; returns how much that was. */
size_t stream_write(struct proxy *p, struct stream *s, struct span bytes);
/* Write a few bytes whether they fit or not: what does not is held. */
void stream_put(struct proxy *p, struct stream *s, struct span bytes);
/* Push out what is held and what TLS has encrypted; true when nothing is left. To be called at the
 * end of a step. */
bool stream_flush(struct proxy *p, struct stream *s);
/* One step of a TLS handshake: TG_OK when it is done, TG_AGAIN, TG_WANT_KEY, else it failed (an
 * alert may have been sent). What comes as 0-RTT data meanwhile can be read, and answered, before it is
 * done; of those bytes no more are kept than the TLS policy admits. */
enum tg_err stream_handshake(struct proxy *p, struct stream *s);
/* RST and forget, in any state. */
void stream_abort(struct proxy *p, struct stream *s);
/* FIN behind what is written and forget; nothing may be held. */
void stream_close(struct proxy *p, struct stream *s);

/* --- deadlines: one lazily re-armed timer per connection -------------------------------------- */

struct deadline {
    struct timer timer;
    tg_ns at; /* 0: none. The timer may be armed for an earlier point */
};
void deadline_set(struct proxy *p, struct deadline *d, tg_ns at);
/* In the timer's callback: true when the time has really come; else arms again for later. */
bool deadline_passed(struct proxy *p, struct deadline *d, tg_ns now);

/* --- head storage ----------------------------------------------------------------------------- */

/* Bytes of a head, contiguous. Most heads are small; the few large ones move to a large block. */
struct head_store {
    uint8_t *bytes; /* NULL: nothing yet */
    size_t len, cap;
    size_t scanned; /* h1's `seen` */
};
#define HEAD_SMALL_BYTES 2048
/* Room behind len for at least one byte, at most HTTP_HEAD_BYTES_MAX in all; false: no block is
 * left. */
bool head_store_room(struct proxy *p, struct head_store *s);
void head_store_release(struct proxy *p, struct head_store *s);

/* --- origin connections ----------------------------------------------------------------------- */

/* What a request needs to know of its origin; copied, so that no table generation is pinned. */
struct origin_target {
    uint8_t address[16];
    uint16_t port;
    uint64_t tls; /* identity in the origin plan; 0: plain */
    uint32_t connections_max;
    tg_ns connect_timeout, response_timeout, idle_timeout;
};

/* All connections of this worker to one address and port under one TLS identity. */
struct origin_pool {
    struct origin_pool *next; /* in its hash bucket */
    uint8_t address[16];
    uint16_t port;
    uint64_t tls;             /* as the target's */
    uint32_t connections;     /* in any state */
    struct origin_conn *idle; /* last used first */
};

enum origin_state { ORIGIN_CONNECTING, ORIGIN_HANDSHAKE, ORIGIN_BUSY, ORIGIN_IDLE };

struct origin_conn {
    struct stream stream;
    struct origin_pool *pool;
    struct request *request; /* NULL when idle */
    struct origin_conn *idle_next, *idle_prev;
    struct deadline deadline; /* idle time only; a request's time is the client's */
    enum origin_state state;
    bool reused; /* the request on it is not its first */
};

/* --- requests --------------------------------------------------------------------------------- */

enum request_phase {
    REQUEST_HEAD,     /* the head comes in and is parsed */
    REQUEST_EARLY,    /* 0-RTT data: what must not be repeated waits for the client's Finished */
    REQUEST_ROUTE,    /* site and origin by host */
    REQUEST_INSPECT,  /* the WAF sees the head */
    REQUEST_ORIGIN,   /* a connection to the origin */
    REQUEST_FORWARD,  /* our head goes to the origin */
    REQUEST_EXCHANGE, /* body to the origin, response to the client, both at once */
    REQUEST_REPLY,    /* our own answer goes out instead */
    REQUEST_CUT,      /* the answer breaks off: what there is goes out, then FIN without its end */
    REQUEST_ABORT,    /* nothing sensible can be said any more: RST */
    REQUEST_END,      /* all said */
};

enum body_wait { BODY_RUNS, BODY_WAITS_SOURCE, BODY_WAITS_SINK };

/* One direction of a message body. */
struct body {
    struct h1_body in;
    enum http_framing out; /* HTTP_CHUNKED: framed anew; else the bytes as they are */
    uint64_t chunk_left;   /* payload still owed to the chunk head that was written last */
    uint64_t payload_bytes;
    enum body_wait waits;
    tg_ns deadline; /* for what it waits for; 0: none */
    bool done;      /* everything is with the sink, terminator included */
};

struct request {
    struct client *client;
    struct origin_conn *origin;
    enum request_phase phase;
    uint64_t id;
    struct head_store store; /* head's spans point into it */
    struct origin_target target;
    struct span site_host; /* what a request without Host is sent with; in host_name */
    uint8_t host_name[64];
    uint32_t head_sent;     /* bytes of our head to the origin that left */
    uint32_t response_sent; /* bytes of the head under way to the client that left */
    tg_ns deadline;         /* of the phase; in REQUEST_EXCHANGE the bodies have their own */
    bool site_waf;          /* the site wants inspection */
    bool retried;           /* once is enough */
    bool early;             /* at least one byte of its head was 0-RTT data */
    bool early_waits;       /* it waits, or has waited, for the client's Finished */
    bool early_sent;        /* it goes to the origin before that, marked as such */
    bool too_early;         /* the origin's answer to that was 425: once more after Finished */
    bool response_seen;     /* the origin sent at least one byte */
    bool response_begun;    /* at least one byte of a final response went to the client */
    bool
        response_decided; /* how it goes to the client; must not change while it is being written */
    bool response_head_done;
    bool response_stored;  /* its whole head lies in response_bytes */
    bool keep_client;      /* the client connection lives on after this response */
    bool keep_origin;      /* the same for the origin's */
    uint8_t informational; /* 1xx answers so far */
    uint16_t status;       /* of the response to the client */
    struct body up, down;
    struct head_store response_store; /* of a response head that came in pieces */
    /* inspection */
    struct waf_tx *waf;
    uint64_t waf_number;
    bool waf_request_done; /* verdict on the request is final */
    bool waf_blocked, waf_reported, waf_response_head_seen;
    struct http_head head;
};

/* --- client connections ----------------------------------------------------------------------- */

enum client_state {
    CLIENT_HANDSHAKE,
    CLIENT_PARKED, /* a key operation is out */
    CLIENT_IDLE,   /* between requests */
    CLIENT_REQUEST,
    CLIENT_CLOSING, /* the last bytes go out, then FIN */
    CLIENT_LINGER,  /* FIN is out; what the client still sends is thrown away */
};

enum queued { QUEUED_NOT, QUEUED_RUN, QUEUED_DEFERRED };

struct client {
    struct stream stream;
    struct request *request;
    struct key_op *key; /* CLIENT_PARKED: the operation that is out; NULL: it found no way out */
    struct client *run_next, *run_prev; /* run queue */
    struct deadline deadline;
    enum client_state state;
    uint8_t address[16];
    uint16_t port;
    enum queued queued;
    bool https;
    bool early;          /* requests run already while the handshake goes on beside them */
    bool early_told;     /* what became of its 0-RTT data is counted */
    tg_ns handshake_end; /* it must be done by then */
    tg_ns wait_end;      /* what the state waits for must have come by then; 0: no limit */
    bool expired;        /* the deadline has passed */
    bool linger;         /* unread bytes remain: close gently */
    tg_ns linger_end;    /* it lingers no longer than this */
    bool cut; /* the last answer is not whole: no close_notify, which would say that it is */
};

struct run_queue {
    struct client *first, *last;
    uint32_t count;
};

/* One table generation that requests may hold. */
struct waf_generation {
    struct waf_program *program;
    uint64_t number; /* 0: free */
    uint32_t holders;
};
#define WAF_GENERATIONS_MAX 16

struct proxy {
    struct tcp *tcp;
    struct timer_wheel *wheel;
    struct buf_pool *buffers;
    struct stats *stats;
    struct waf_worker *waf_worker;
    struct ring *events;
    struct proxy_config config;
    struct span via; /* "1.1 name" */
    char via_text[48];
    tg_ns now;              /* of the turn */
    int64_t wall_offset_ns; /* of the turn */
    struct pool clients, requests, origins, origin_pools, heads_small, heads_large;
    struct run_queue run, deferred; /* deferred: starved, next turn */
    struct origin_pool *origin_buckets[ORIGIN_BUCKETS];
    uint32_t origins_idle, evict_next;
    struct origin_plan *origin_plan; /* owned; routes is its table */
    const struct tables_routes *routes;
    uint64_t routes_number, certificates_number;
    struct tls_set *tls_set;
    struct keyless *keyless;
    struct waf_generation waf[WAF_GENERATIONS_MAX];
    unsigned waf_current; /* index in waf[] */
    struct prng ids;
    uint64_t hash_key[2];
    uint64_t date_second; /* of date_text */
    char date_text[30];
    struct http_head response;           /* of the step under way: parsed, written, forgotten */
    uint8_t scratch[HEAD_OUT_BYTES_MAX]; /* of the step under way: a head being written */
    uint8_t record[PIECE_BYTES_MAX];     /* of the call under way: plaintext of one TLS record */
};

/* What TCP gives back with each event of a connection. */
enum proxy_user { PROXY_USER_CLIENT = 1, PROXY_USER_ORIGIN = 2, PROXY_USER_KEY = 3 };
static inline uint64_t proxy_user(enum proxy_user kind, uint32_t index)
{
    return (uint64_t)kind << 32 | index;
}
static inline enum proxy_user proxy_user_kind(uint64_t user)
{
    return (enum proxy_user)(user >> 32);
}

static inline uint64_t proxy_wall_ns(const struct proxy *p)
{
    return (uint64_t)((int64_t)p->now + p->wall_offset_ns);
}

/* proxy.c */
void run_queue_push(struct proxy *p, struct client *c);  /* harmless when queued */
void run_queue_defer(struct proxy *p, struct client *c); /* to the next turn */
void run_queue_remove(struct proxy *p, struct client *c);

/* client.c */
void client_accept(struct proxy *p, const struct tcp_event *event);
enum step client_step(struct proxy *p, struct client *c); /* may free c, then STEP_NEXT */
void client_free(struct proxy *p, struct client *c);      /* RST if the stream still lives */

/* request.c */
struct request *request_begin(struct proxy *p, struct client *c); /* NULL: pools empty */
enum step request_step(struct proxy *p, struct request *r);       /* STEP_NEXT: it has ended */
void request_expire(struct proxy *p, struct request *r);
/* Leave the normal order: answer with `status` if nothing was said yet, else cut the answer off. */
void request_fail(struct proxy *p, struct request *r, unsigned status);
/* The origin connection died or ended too early: once more, 502, or reset. */
void request_origin_lost(struct proxy *p, struct request *r);
void request_free(struct proxy *p, struct request *r);
/* The point in time until which the request may go on waiting as it does; 0: for ever. */
tg_ns request_deadline(const struct request *r);

/* inspect.c; each returns false when the request is blocked (and has been failed with 403) or could
 * not be inspected (503) */
bool inspect_head(struct proxy *p, struct request *r);
bool inspect_body(struct proxy *p, struct request *r, struct span payload);
bool inspect_end(struct proxy *p, struct request *r);
bool inspect_response_head(struct proxy *p, struct request *r, const struct head_view *head);
bool inspect_response_body(struct proxy *p, struct request *r, struct span payload);
/* A head that was refused; true when a rule would have it answered with 403. */
bool inspect_bad_head(struct proxy *p, struct request *r);
void inspect_finish(struct proxy *p, struct request *r);
void inspect_use(struct proxy *p, struct waf_program *program, uint64_t number);
uint64_t inspect_oldest(const struct proxy *p);

/* origin_tls.c */
/* Put TLS to an origin up on a connection that TCP has opened. */
enum tg_err origin_tls_open(struct proxy *p, struct origin_conn *o);
/* A request has lost its origin connection, or gets none in time (status 504): when TLS was why, count it and tell
 * who and what. */
void origin_tls_tell(struct proxy *p, struct request *r, unsigned status);

/* audit.c */
/* An origin that TLS does not let us use. */
void audit_origin(struct proxy *p, const struct request *r, struct span origin, unsigned status,
                  const char *why);
void audit_matches(struct proxy *p, const struct request *r, unsigned status);

/* heads.c: serialise; the writer's ok says whether it fitted */
void heads_write_request(const struct proxy *p, const struct request *r, struct span_writer *w);
void heads_write_response(const struct proxy *p, const struct request *r,
                          const struct http_head *head, struct span_writer *w);
void heads_write_request_id(struct span_writer *w, uint64_t id); /* 16 hex digits */

/* early.c */
/* Count what TLS made of the client's 0-RTT data, once it is known. */
void early_tell(struct proxy *p, struct client *c);
/* The phase behind the head: STEP_WAIT until this request may run. */
enum step early_admit(struct proxy *p, struct request *r);
/* The request is about to be forwarded: is that before the client's Finished? */
void early_forward(struct proxy *p, struct request *r);
/* "Early-Data: 1" where the origin must know (RFC 8470 s5.1). */
void early_write_field(const struct request *r, struct span_writer *w);
/* The origin's final head is in p->response: true when it was 425 to what we have marked, and the request
 * goes there again after the client's Finished. */
bool early_again(struct proxy *p, struct request *r, bool in_place);

/* body.c */
void body_begin(struct body *b, const struct http_head *head, enum http_framing out);
enum step body_up(struct proxy *p, struct request *r);   /* client -> origin */
enum step body_down(struct proxy *p, struct request *r); /* origin -> client */

/* response.c: the origin's head, then body_down; STEP_NEXT when the response is complete */
enum step response_step(struct proxy *p, struct request *r);

/* reply.c: our own answer, r->status; STEP_NEXT when written */
enum step reply_step(struct proxy *p, struct request *r);
void count_status(struct proxy *p, unsigned status);

/* origin.c */
/* A connection for r: warm unless `fresh`, else a new one. TG_OK (r->origin is set, maybe still
 * connecting),
 * TG_FULL (limit), TG_UNREACHABLE. */
enum tg_err origin_acquire(struct proxy *p, struct request *r, bool fresh);
/* Go on with connecting: TG_OK when requests may be written, TG_AGAIN, else why it failed. */
enum tg_err origin_ready(struct proxy *p, struct origin_conn *o);
void origin_keep(struct proxy *p, struct request *r);  /* back to the pool */
void origin_leave(struct proxy *p, struct request *r); /* FIN: all was said on it */
void origin_abort(struct proxy *p, struct request *r); /* RST; harmless without one */
void origin_event(struct proxy *p, struct origin_conn *o, const struct tcp_event *event);
void origin_free(struct proxy *p, struct origin_conn *o);

/* keyless.c, keyless_conn.c */
enum tg_err keyless_create(struct proxy *p);
void keyless_destroy(struct proxy *p); /* after all clients */
/* Send the operation that this parked client waits for; false: there is no way, it has failed. */
bool keyless_begin(struct proxy *p, struct client *c);
/* Is it over? Then *result is its answer, borrowed until keyless_cancel; empty: it failed. */
bool keyless_result(const struct client *c, struct span *result);
void keyless_cancel(struct proxy *p, struct client *c); /* in any state; harmless without one */
void keyless_event(struct proxy *p, uint32_t index, const struct tcp_event *event);
void keyless_turn(struct proxy *p);  /* deadlines, after events */
void keyless_flush(struct proxy *p); /* what the turn has said, together */
const char *keyless_check(const struct proxy *p);

#endif
