/* SPDX-License-Identifier: BSD-3-Clause
 * Certificates -> struct tables_certificates. Before that, tls_set_create says whether every chain
 * parses and every key belongs to its chain: it is what the data plane will do with the same bytes.
 */
#include "ctrlplane/compile_parts.h"
#include "ctrlplane/model.h"
#include "tls/tls.h"

#include <stdlib.h>
#include <string.h>

struct span block_member(const json_t *o, const char *name)
{
    const json_t *value = json_object_get(o, name);
    return span_make(json_string_value(value), json_string_length(value));
}

static size_t names_bytes(const json_t *names)
{
    size_t n = 0;
    for (size_t i = 0; i < json_array_size(names); i++)
        n += json_string_length(json_array_get(names, i)) + 1;
    return n;
}

struct tables_string block_put(void *block, size_t *at, struct span s)
{
    struct tables_string out = {(uint32_t)*at, (uint32_t)s.len};
    if (s.len)
        memcpy((uint8_t *)block + *at, s.data, s.len);
    *at += s.len;
    return out;
}

/* Each name followed by a NUL. */
static struct tables_string names_put(uint8_t *block, size_t *at, const json_t *names)
{
    struct tables_string out = {(uint32_t)*at, (uint32_t)names_bytes(names)};
    for (size_t i = 0; i < json_array_size(names); i++) {
        block_put(block, at, span_from_string(json_string_value(json_array_get(names, i))));
        block[(*at)++] = 0;
    }
    return out;
}

/* Ask tls/ about the block's own bytes; the first certificate that it refuses is named. */
static bool certificates_check(const struct tables_certificates *t, const char *const names[],
                               struct problem *problem)
{
    if (t->count == 0)
        return true;
    struct tls_certificate *list = calloc(t->count, sizeof *list);
    tg_assert(list);
    for (unsigned i = 0; i < t->count; i++) {
        const struct tables_certificate *c = &t->certificates[i];
        list[i] = (struct tls_certificate){
            .names = tables_string_span(t, c->names),
            .chain_pem = tables_string_span(t, c->chain_pem),
            .key_pem = tables_string_span(t, c->key_pem),
            .is_default = c->flags & TABLES_CERTIFICATE_DEFAULT,
        };
    }
    struct tls_policy policy = {.alpn_http1 = true, .tls12 = true};
    struct tls_set *set = NULL;
    unsigned bad = 0;
    char why[256] = "";
    enum tg_err err = tls_set_create(list, t->count, &policy, &set, &bad, why);
    free(list);
    if (err == TG_OK) {
        tls_set_unref(set);
        return true;
    }
    const char *name = bad < t->count ? names[bad] : "";
    problem_set(problem, err == TG_BAD_INPUT ? 422 : 500, "certificate", "",
                "certificate \"%s\": %s", name, why[0] ? why : tg_err_text(err));
    problem_extra(problem, "certificate", json_string(name));
    return false;
}

static size_t certificate_bytes(const json_t *c)
{
    return names_bytes(json_object_get(c, "names")) + block_member(c, "chain_pem").len +
           block_member(c, "key_pem").len;
}

static void certificate_emit(struct tables_certificates *t, unsigned i, size_t *at, const json_t *c,
                             const struct keyservers *servers)
{
    struct tables_certificate *e = &t->certificates[i];
    e->names = names_put((uint8_t *)t, at, json_object_get(c, "names"));
    e->chain_pem = block_put(t, at, block_member(c, "chain_pem"));
    e->key_pem = block_put(t, at, block_member(c, "key_pem"));
    e->flags = json_is_true(json_object_get(c, "default")) ? TABLES_CERTIFICATE_DEFAULT : 0;
    e->keyserver = keyservers_index(servers, json_string_value(json_object_get(c, "keyserver")));
}

bool compile_certificates(const json_t *model, struct block *out, struct problem *problem)
{
    const json_t *all = model_get(model, "certificates");
    const char *names[TABLES_CERTIFICATES_MAX];
    if (json_object_size(all) > TABLES_CERTIFICATES_MAX) {
        problem_set(problem, 507, "table-full", "", "more than %u certificates",
                    TABLES_CERTIFICATES_MAX);
        return false;
    }
    struct keyservers servers;
    keyservers_begin(&servers, model);
    unsigned n = model_keys(model, "certificates", names, TABLES_CERTIFICATES_MAX);
    size_t servers_at = sizeof(struct tables_certificates) + n * sizeof(struct tables_certificate);
    size_t at = servers_at + servers.count * sizeof(struct tables_keyserver);
    size_t len = at + keyservers_string_bytes(&servers);
    for (unsigned i = 0; i < n; i++)
        len += certificate_bytes(json_object_get(all, names[i]));
    block_make(out, TABLES_CERTIFICATES, len);
    out->secret = true;
    struct tables_certificates *t = out->bytes;
    t->count = n;
    for (unsigned i = 0; i < n; i++)
        certificate_emit(t, i, &at, json_object_get(all, names[i]), &servers);
    keyservers_emit(&servers, t, servers_at, &at);
    tg_assert(at == len);
    return certificates_check(t, names, problem) && keyservers_check(&servers, problem);
}
