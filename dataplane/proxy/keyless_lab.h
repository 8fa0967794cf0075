/* SPDX-License-Identifier: BSD-3-Clause
 * Key servers for the proxy's tests: two of them (ports 2407 and 2408) on the origin host of the lab,
 * with the real TLS, that behave as a test says: answer, late, wrongly, never, or nonsense.
 */
#ifndef DATAPLANE_PROXY_KEYLESS_LAB_H
#define DATAPLANE_PROXY_KEYLESS_LAB_H

#include "proxy/keyless_parts.h"
#include "proxy/proxy_lab.h"
#include "tls/tls_test_certs.h"

enum key_manner {
    KEY_ANSWERS,
    KEY_BACKWARDS, /* answers all that wait, last one first, when key_release says so */
    KEY_NEVER,     /* but pongs */
    KEY_DEAF,      /* not even that */
    KEY_GARBAGE,   /* a result that is no signature */
    KEY_EMPTY,     /* a result without bytes */
    KEY_LONG,      /* a result longer than any key's */
    KEY_REFUSES,   /* error: key not found */
    KEY_NONSENSE,  /* a malformed packet */
    KEY_HUGE,      /* the head of a packet of 64 KiB */
    KEY_VERSION,   /* another version of the protocol */
    KEY_STRANGE,   /* an opcode that no answer has */
    KEY_HANGS_UP,  /* RST instead of an answer */
};

struct key_lab {
    struct lab *lab;
    struct {
        enum key_manner manner;
        tg_ns delay;           /* of every answer */
        unsigned asked, pings; /* packets received */
        unsigned connections;  /* whose TLS was begun */
    } server[2];
    uint8_t sni[64], client_ip[16]; /* of the last request */
    size_t sni_len, client_ip_len;
};

/* Sites whose keys lie elsewhere, and one at home. */
enum { SITE_EC, SITE_RSA, SITE_ED, SITE_HOME, SITES };
extern const char *const key_lab_names[SITES];

void key_lab_begin(void); /* certificates, once */
void key_lab_end(void);

/* A lab whose edge has the sites, and the keys at a server with this many addresses (0: at none). */
struct key_lab *key_lab_new(const struct lab_config *config, unsigned addresses);
void key_lab_free(struct key_lab *k);
/* Another plan. `name`: what the server's certificate must say; `ports`: 2407, 2408 in some order. */
void key_lab_plan(struct key_lab *k, const char *name, const uint16_t ports[], unsigned count,
                  uint64_t number);
/* Nobody listens there any more; connections are reset. */
void key_lab_stop(struct key_lab *k, unsigned server);
void key_lab_start(struct key_lab *k, unsigned server);

/* Time passes in small steps, so that delayed answers leave. */
void key_lab_run(struct key_lab *k, tg_ns ns);
/* Connect to a site and ask for a page. */
struct lab_conn *key_lab_visit(struct key_lab *k, unsigned site);
/* The visit gave a page, or ended with a fatal alert. */
void expect_page(struct lab_conn *c);
void expect_alert(struct lab_conn *c, unsigned alert);

#endif
