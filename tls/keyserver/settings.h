/* SPDX-License-Identifier: BSD-3-Clause
 * The configuration file of tidegate-keyserver (libconfig; docs/keyserver.conf shows every key).
 * Strict: an unknown key, a wrong type, a value out of range is refused with file, line and key.
 * Read by setup.c at the start and at a reload. It must not know keys, certificates or sockets.
 */
#ifndef TLS_KEYSERVER_SETTINGS_H
#define TLS_KEYSERVER_SETTINGS_H

#include "base/result.h"
#include "base/types.h"

#define SETTINGS_TEXT        256 /* bytes of a string with its NUL */
#define SETTINGS_CLIENTS_MAX 256
#define SETTINGS_KEYS_MAX    1024 /* of one client */
#define SETTINGS_PROBLEM     512  /* bytes of a sentence that says what is wrong */

/* Which keys a client may use. */
struct settings_client {
    char subject[SETTINGS_TEXT]; /* of its certificate, RFC 2253: "CN=edge1,O=Example" */
    int line;                    /* in the file, for what turns out later to be wrong */
    bool every_key;              /* keys = [ "*" ] */
    char (*keys)[SETTINGS_TEXT]; /* file names in the key directory, or SKIs as 40 hex digits */
    unsigned key_count;
    unsigned rate, burst; /* operations per second; at once */
    bool decrypt;         /* raw RSA decryption (TLS 1.2 RSA key exchange) */
    bool weak_hashes;     /* signatures over MD5+SHA-1, SHA-1, SHA-224 */
};

struct settings {
    char path[SETTINGS_TEXT]; /* of the file itself */
    char address[64];         /* to listen on */
    unsigned port;
    char keys[SETTINGS_TEXT];                            /* directory */
    char certificate[SETTINGS_TEXT], key[SETTINGS_TEXT]; /* our own, PEM */
    char client_ca[SETTINGS_TEXT];                       /* PEM */
    char audit[SETTINGS_TEXT];                           /* "": none */
    char user[64], group[64];                            /* "": stays */
    unsigned connections, idle_ms, handshake_ms;
    struct settings_client *clients;
    unsigned client_count;
};

/* TG_BAD_CONFIG: `problem` is "FILE:LINE: key: what is wrong" and *settings holds nothing. */
enum tg_err settings_read(const char *path, struct settings *settings,
                          char problem[SETTINGS_PROBLEM]);
void settings_release(struct settings *settings);

#endif
