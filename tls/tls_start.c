/* SPDX-License-Identifier: BSD-3-Clause
 * Once per process: libssl without the machine's openssl.cnf, the providers, the BIO method, the
 * ticket keys. Called by main before the first set. The state is written here and nowhere else.
 */
#include "tls/tls_internal.h"

#include "tls/tls_keyless.h"

#include <openssl/err.h>
#include <openssl/rand.h>

static struct tls_process process;

const struct tls_process *tls_process_get(void)
{
    tg_assert(process.started);
    return &process;
}

enum tg_err tls_start(void)
{
    if (process.started)
        return TG_OK;
    /* No configuration file: the policy is ours, on every machine the same. */
    if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_SSL_STRINGS, NULL) != 1)
        return TG_SYSTEM;
    process.default_provider = OSSL_PROVIDER_load(NULL, "default");
    process.keyless_provider = process.default_provider ? keyless_provider_load() : NULL;
    if (!process.keyless_provider)
        return TG_SYSTEM;
    process.bio_method = bio_method_make();
    if (!process.bio_method)
        return TG_NO_MEMORY;
    process.ticket_cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    if (!process.ticket_cipher)
        return TG_SYSTEM;
    if (RAND_bytes((uint8_t *)&process.ticket_key, sizeof process.ticket_key) != 1)
        return TG_SYSTEM;
    process.started = true;
    return TG_OK;
}
