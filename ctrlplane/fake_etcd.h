/* SPDX-License-Identifier: BSD-3-Clause
 * A little etcd for tests: a thread that speaks the JSON gateway's range, txn and watch over a store in memory, and
 * misbehaves as it is told. Test code.
 */
#ifndef CTRLPLANE_FAKE_ETCD_H
#define CTRLPLANE_FAKE_ETCD_H

#include "ctrlplane/control_test_support.h"

enum fake_etcd_fault {
    ETCD_GOOD,
    ETCD_HANG,       /* takes requests and does not answer */
    ETCD_ERROR_500,  /* status 500 and a text */
    ETCD_NO_LEADER,  /* 503, as a member without its leader */
    ETCD_NO_SPACE,   /* 429, its quota is used up */
    ETCD_NOT_ETCD,   /* 404 and HTML */
    ETCD_GARBAGE,    /* 200 and bytes that are not JSON */
    ETCD_WRONG_JSON, /* 200 and JSON of another form */
    ETCD_CLOSE,      /* reads the request and closes */
    ETCD_LATE_CLOSE, /* does what it is asked to, and closes before the answer */
};

enum fake_etcd_watch {
    WATCH_GOOD,
    WATCH_SILENT,     /* begins, and brings no events: lost ones, as a buggy etcd */
    WATCH_COMPACTED,  /* canceled once, with compact_revision */
    WATCH_STALE,      /* each event twice, with an old revision */
    WATCH_BACKWARDS,  /* headers fall behind */
    WATCH_BAD_LINE,   /* a line that is not JSON, once */
    WATCH_ERROR_LINE, /* an error as the gateway writes it into a stream, once */
    WATCH_BAD_BASE64, /* an event whose value is not base64, once */
    WATCH_NEVER_BEGINS,
};

struct fake_etcd {
    pthread_t thread;
    pthread_mutex_t lock;
    int listen_fd;
    unsigned port;
    _Atomic bool stop;
    _Atomic int fault, watch_fault;                  /* the two enums */
    _Atomic int fault_write;                         /* enum fake_etcd_fault, for txn only */
    _Atomic unsigned piece;                          /* bytes of one write; 0: all at once */
    _Atomic unsigned lists, watches, writes, audits; /* requests of each kind so far */
    _Atomic bool kick;                               /* drop all connections once */
    char cluster[24];
    json_t *keys;    /* key -> [revision, value]; under the lock */
    json_t *history; /* [revision, key, value or null] in order; under the lock */
    int64_t revision;
};

void fake_etcd_start(struct fake_etcd *etcd);
void fake_etcd_stop(struct fake_etcd *etcd);
/* It goes away, as a process that is killed, and comes back with what it had. */
void fake_etcd_down(struct fake_etcd *etcd);
void fake_etcd_up(struct fake_etcd *etcd);
/* "http://127.0.0.1:PORT" */
void fake_etcd_url(const struct fake_etcd *etcd, char url[256]);

/* As another client would. value NULL: delete. Returns the revision. */
int64_t fake_etcd_put(struct fake_etcd *etcd, const char *key, const char *value);
/* Delete all keys in one revision. */
void fake_etcd_wipe(struct fake_etcd *etcd);
/* Nothing in it, another cluster id, revision 1, as after a lost disk; connections are dropped. */
void fake_etcd_replace(struct fake_etcd *etcd);
/* The value (malloc'd), or NULL; *revision may be NULL. */
char *fake_etcd_get(struct fake_etcd *etcd, const char *key, int64_t *revision);
/* Put without an event: what a watch has lost. */
void fake_etcd_put_unseen(struct fake_etcd *etcd, const char *key, const char *value);

#endif
