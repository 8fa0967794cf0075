/* SPDX-License-Identifier: BSD-3-Clause
 * The fleet store: where the resources lie that all nodes of a fleet share, as keys with JSON values (fleet_keys.h)
 * and one revision that counts all writes. Two implementations of one interface: etcd, and one embedded in this
 * process for a node that is alone. Neither knows what the keys mean: fleet_sync.c brings them into force.
 *
 * A store is a mirror that runs by itself: it hands out the whole contents once (a snapshot), then every change from
 * that revision on, in order. When it loses its peer it comes back by itself, from the last revision that it handed
 * out, or with a new snapshot where that is not possible. Nothing here blocks; one thread.
 */
#ifndef CTRLPLANE_FLEET_H
#define CTRLPLANE_FLEET_H

#include "base/span.h"
#include "base/types.h"

#define FLEET_KEY_MAX                                                                              \
    256 /* bytes of a key with its NUL; what comes longer is cut, and matches nothing */
#define FLEET_VALUE_MAX                                                                            \
    (1u << 20) /* bytes of a value that etcd takes for sure (its limit: 1.5 MiB a request) */
#define FLEET_OPS_MAX    64     /* operations of one write (etcd: 128) */
#define FLEET_EVENTS_MAX 100000 /* changes that wait to be taken; more: a new snapshot instead */
#define FLEET_PROBLEM    200    /* bytes of a sentence with its NUL */

/* One key as the store has it. */
struct fleet_change {
    char key[FLEET_KEY_MAX];
    char *value; /* malloc'd, `len` bytes and a NUL; NULL: the key is gone */
    size_t len;
    int64_t revision; /* of the write that made it so */
};

enum fleet_batch_kind {
    FLEET_CHANGES,  /* keys that were written or deleted, in order */
    FLEET_SNAPSHOT, /* all keys that there are at `revision` */
    FLEET_LISTING,  /* the same without values: to compare with what one knows */
};

struct fleet_batch {
    enum fleet_batch_kind kind;
    bool
        reset; /* revisions known from before mean nothing: another store, or an older state of it */
    int64_t revision;
    struct fleet_change *changes;
    unsigned count, cap;
};

/* Append a change; key and value are copied. value.data NULL: deleted. */
void fleet_batch_add(struct fleet_batch *batch, const char *key, struct span value,
                     int64_t revision);
/* Take one change out. */
void fleet_batch_drop(struct fleet_batch *batch, unsigned index);
void fleet_batch_free(struct fleet_batch *batch);

/* One operation of a write; all of them happen, or none. */
struct fleet_op {
    char key[FLEET_KEY_MAX];
    const char *value; /* JSON; NULL: delete */
    int64_t expected;  /* revision that the key must have; 0: it must not exist */
};

enum fleet_outcome {
    FLEET_PENDING,     /* not decided yet */
    FLEET_STORED,      /* durable in the store, as `revision` */
    FLEET_CONFLICT,    /* a key has another revision than expected: nothing changed */
    FLEET_UNREACHABLE, /* the store never got it: nothing changed */
    FLEET_REFUSED,     /* the store said no: nothing changed */
    FLEET_UNKNOWN,     /* sent, and no answer: it may have been stored */
};

struct fleet_answer {
    enum fleet_outcome outcome;
    int64_t revision; /* FLEET_STORED: of this write */
    int64_t
        found; /* FLEET_CONFLICT: revision that the first operation's key has; 0: it does not exist */
    bool same;                   /* FLEET_CONFLICT: that key is already as the operation wants it */
    char problem[FLEET_PROBLEM]; /* one sentence, when it was not stored */
};

struct fleet_store_status {
    const char *endpoint; /* "" for the embedded one */
    bool connected;       /* a snapshot was handed out, and changes follow */
    int64_t revision;     /* of what was handed out */
    tg_ns proof;          /* when the store last showed that nothing is missing; 0: not yet */
    const char *problem;  /* why it is not connected; "" before the first attempt has ended */
    uint64_t lost,
        dropped; /* connections that broke; events that came out of order and were left out */
};

struct fleet_store;

struct fleet_store_type {
    const char *name;
    size_t value_max; /* bytes of one value */
    void (*close)(struct fleet_store *store);
    int (*fd)(const struct fleet_store *store); /* readable: run has work; -1: there is none */
    /* Milliseconds until run must be called even without that; -1: never. */
    int (*timeout_ms)(const struct fleet_store *store, tg_ns now);
    void (*run)(struct fleet_store *store, tg_ns now);
    /* The next batch, owned by the caller; false: none waits. */
    bool (*next)(struct fleet_store *store, struct fleet_batch *batch);
    /* Ask for a new snapshot; it comes as a batch. */
    void (*load)(struct fleet_store *store);
    /* Start a write, whose answer is FLEET_PENDING until `deadline` at the latest. One at a time. ops is copied. */
    void (*write)(struct fleet_store *store, const struct fleet_op ops[], unsigned count, tg_ns now,
                  tg_ns deadline);
    const struct fleet_answer *(*answer)(const struct fleet_store *store);
    struct fleet_store_status (*status)(const struct fleet_store *store);
};

struct fleet_store {
    const struct fleet_store_type *type;
};

/* How to reach an etcd. Borrowed for the call. */
struct fleet_etcd_options {
    const char *endpoints[8]; /* "http://192.0.2.5:2379", in the order to try */
    unsigned endpoint_count;  /* at least 1 */
    const char *prefix;       /* all keys that are mirrored; ends with '/' */
    const char *heartbeat;    /* key that some node writes every second, never handed out */
    const char *node;         /* who we are, for the heartbeat's value */
};

/* Never NULL short of memory. Connects in the background. */
struct fleet_store *fleet_etcd_open(const struct fleet_etcd_options *options, tg_ns now);
/* In memory, empty at first: its owner fills it from the state file and keeps that. Answers at once. */
struct fleet_store *fleet_embedded_open(void);

#endif
