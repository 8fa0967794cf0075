/* SPDX-License-Identifier: BSD-3-Clause
 * The HTTP scenario's shared state: what every request is to be (http_plan), the client's and the
 * origin's connections. http_client.c and http_origin.c are the two applications, scenario_http.c draws
 * the plans and judges the end.
 */
#ifndef TESTS_SIM_HTTP_WORLD_H
#define TESTS_SIM_HTTP_WORLD_H

#include "tests/sim/edge.h"
#include "tests/sim/http_wire.h"

#define HTTP_PLANS_MAX   400
#define HTTP_CLIENTS_MAX 24
#define HTTP_ORIGINS_MAX 128
#define ORIGIN_PORT      8080

/* What the origin does wrong with a request. */
enum misdeed {
    WELL_BEHAVED,
    CUT_HEAD, /* ends in the middle of its head */
    CUT_BODY, /* ends in the middle of its body */
    NONSENSE, /* answers with what is no HTTP */
    SILENCE,  /* never answers */
    MISDEEDS,
};

struct http_plan {
    unsigned number;
    const char *method;
    enum http_send up_framing, down_framing;
    bool until_close; /* the origin ends its body by closing */
    uint64_t up_bytes, down_bytes;
    unsigned status, informational;
    unsigned filler; /* bytes of extra fields in both heads */
    bool client_close, origin_close;
    bool early; /* the origin answers when it has the head */
    bool reset; /* misdeeds end by RST instead of FIN */
    enum misdeed misdeed;
    tg_ns pause, think;   /* before the client asks, before the origin answers */
    bool aborts;          /* the client resets ... */
    uint64_t abort_after; /* ... when it has written and read so much of the bodies */
    /* what became of it */
    unsigned asked; /* times that a whole head reached the origin */
    bool aborted, done;
};

struct http_client {
    struct http_world *world;
    unsigned index;
    unsigned plan, plan_end; /* the current one, and where this client's end */
    unsigned used;           /* requests on this connection */
    bool ip6, https;
    struct pipe pipe;
    bool open, asking, finished;
    struct timer timer;
    tg_ns ask_at; /* not before */
    tg_ns asked_at;
    struct http_reader reader;
    struct http_writer writer;
};

struct http_origin {
    struct http_world *world;
    struct pipe pipe;
    bool taken, open;
    struct http_plan *plan; /* the request that is being read or answered */
    bool answered;          /* its response has begun */
    tg_ns answer_at;
    struct timer timer;
    struct http_reader reader;
    struct http_writer writer;
};

struct http_world {
    struct sim *sim;
    struct prng rng;
    struct host client_host, origin_host;
    struct edge edge;
    struct edge sister;        /* the fleet's other node; without a fleet it has no workers */
    struct ip_addr service[2]; /* what clients connect to, IPv4 and IPv6 */
    bool alone; /* a fleet whose nodes do not forward: connections break, and are counted */
    unsigned broken;
    bool misdeeds;  /* of the origin: allows more than one asking, and 502 and 504 */
    bool starved;   /* the edge runs out of buffers at times: it may give requests up, cleanly */
    unsigned swaps; /* new tables still to come */
    unsigned deaf;  /* times that the origin still stops or starts to listen: 502 is right */
    bool deaf_ever;
    struct tables_origin limits;
    struct timer swap_timer, deaf_timer;
    bool https;                    /* some clients use it */
    bool origin_https;             /* the edge asks the origin over TLS */
    struct tls_client *tls_client; /* NULL without https */
    struct tls_set *origin_set;    /* NULL without origin_https */
    unsigned plan_count, client_count;
    struct http_plan plans[HTTP_PLANS_MAX];
    struct http_client clients[HTTP_CLIENTS_MAX];
    struct http_origin origins[HTTP_ORIGINS_MAX];
};

static inline uint64_t http_stream_up(const struct http_plan *plan)
{
    return 100000 + plan->number * 2;
}
static inline uint64_t http_stream_down(const struct http_plan *plan)
{
    return 100001 + plan->number * 2;
}

/* One turn of each application. */
bool http_client_turn(void *world, tg_ns now);
bool http_origin_turn(void *world, tg_ns now);

void http_client_start(struct http_client *client, struct http_world *world, unsigned index,
                       unsigned plan, unsigned plan_end, tg_ns when);
void http_origin_init(struct http_world *world);
/* Close what the origin has open: nobody will ask any more. */
void http_origin_end(struct http_world *world);

/* Extra header fields, about `bytes` of them, into out (which is large enough); returns the length. */
size_t http_filler(const struct http_plan *plan, char *out, size_t cap);

/* http_end.c: run until `finished`; bad luck ends after `heal_after`. Whoever is stuck after an hour fails the run. */
bool http_all_finished(const struct http_world *world);
void http_run(struct http_world *world, tg_ns heal_after, bool (*finished)(void *arg), void *arg);
/* Then: nothing may be left on any node. */
void http_drain(struct http_world *world);

#endif
