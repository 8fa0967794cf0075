/* SPDX-License-Identifier: BSD-3-Clause
 * What the key server says to a request: see answer.h. The order of the checks is the order of what
 * they cost, and none of them tells a stranger which keys there are.
 */
#include "tls/keyserver/answer.h"

#define REFUSALS_SAID_EVERY TG_S /* one line for all refusals by rate of a client */

/* What one request comes to. */
struct verdict {
    const struct keymsg_op_info *op; /* NULL: unknown */
    const struct vault_key *key;     /* NULL: none */
    enum keymsg_error error;
    const char *why; /* for the audit log; NULL: the error says it all */
    size_t len;      /* of the result */
    bool limited;    /* the client is over its rate */
};

static bool hash_weak(enum keymsg_hash hash)
{
    return hash == KEYMSG_HASH_MD5_SHA1 || hash == KEYMSG_HASH_SHA1 || hash == KEYMSG_HASH_SHA224;
}

static enum keymsg_error refuse(struct verdict *v, enum keymsg_error error, const char *why)
{
    v->why = why;
    return error;
}

/* May this client do such a thing at all? */
static enum keymsg_error op_check(const struct access_client *client, struct verdict *v)
{
    if (!v->op || v->op->kind == KEYMSG_KIND_OTHER)
        return KEYMSG_ERROR_BAD_OP;
    if (v->op->kind == KEYMSG_KIND_REPLY)
        return KEYMSG_ERROR_UNEXPECTED_OP;
    if (v->op->kind == KEYMSG_KIND_DECRYPT_RSA && !client->decrypt)
        return refuse(v, KEYMSG_ERROR_BAD_OP, "decryption is off");
    if (hash_weak(v->op->hash) && !client->weak_hashes)
        return refuse(v, KEYMSG_ERROR_BAD_OP, "weak hashes are off");
    return KEYMSG_ERROR_NONE;
}

static enum keymsg_error key_use(struct setup *setup, const struct answer_asker *asker,
                                 const struct keymsg *request, struct verdict *v, uint8_t *out)
{
    if (!keymsg_has_ski(request))
        return refuse(v, KEYMSG_ERROR_INTERNAL, "no SKI");
    v->key = vault_find(setup->vault, request->ski);
    if (!v->key)
        return KEYMSG_ERROR_KEY_NOT_FOUND;
    if (!access_allows(asker->client, request->ski))
        return refuse(v, KEYMSG_ERROR_KEY_NOT_FOUND, "not this client's key");
    return vault_use(v->key, v->op, request->payload, out, &v->len);
}

static void verdict_log(struct setup *setup, const struct answer_asker *asker,
                        const struct keymsg *request, const struct verdict *v, uint64_t count)
{
    audit_line(&setup->audit, &(struct audit_record){
                                  .client = asker->client->subject,
                                  .peer = asker->peer,
                                  .op = v->op ? v->op->text : NULL,
                                  .key = v->key ? v->key->name : NULL,
                                  .ski = keymsg_has_ski(request) ? request->ski : NULL,
                                  .sni = request->sni,
                                  .visitor = request->client_ip,
                                  .error = v->error,
                                  .why = v->why,
                                  .count = count,
                                  .wall_ns = asker->wall_ns,
                              });
}

/* Everything but pings costs a token, also nonsense: who is over its rate must not fill the disk: its refusals are told once a second. */
static void refusals_log(struct setup *setup, const struct answer_asker *asker,
                         const struct keymsg *request, const struct verdict *v)
{
    struct access_client *client = asker->client;
    client->unsaid++;
    if (client->refusal_said_at && asker->now - client->refusal_said_at < REFUSALS_SAID_EVERY)
        return;
    verdict_log(setup, asker, request, v, client->unsaid);
    client->refusal_said_at = asker->now;
    client->unsaid = 0;
}

static void key_op_run(struct setup *setup, const struct answer_asker *asker,
                       const struct keymsg *request, struct answer *answer)
{
    struct verdict v = {.op = keymsg_op_info(request->op)};
    v.limited = !access_take(asker->client, asker->now);
    v.error = v.limited ? refuse(&v, KEYMSG_ERROR_INTERNAL, "over the rate")
                        : op_check(asker->client, &v);
    if (v.error == KEYMSG_ERROR_NONE)
        v.error = key_use(setup, asker, request, &v, answer->bytes);
    if (v.limited)
        refusals_log(setup, asker, request, &v);
    else
        verdict_log(setup, asker, request, &v, 1);
    answer->error = (uint8_t)v.error;
    answer->reply.payload = span_make(answer->bytes, v.len);
}

void answer_make(struct setup *setup, const struct answer_asker *asker,
                 const struct keymsg *request, struct answer *answer)
{
    answer->reply = (struct keymsg){.id = request->id, .op = KEYMSG_OP_RESULT};
    answer->error = KEYMSG_ERROR_NONE;
    if (request->major != KEYMSG_MAJOR) {
        answer->error = KEYMSG_ERROR_VERSION;
    } else if (request->op == KEYMSG_OP_PING) {
        answer->reply.op = KEYMSG_OP_PONG;
        answer->reply.payload = request->payload;
    } else {
        key_op_run(setup, asker, request, answer);
    }
    if (answer->error == KEYMSG_ERROR_NONE)
        return;
    answer->reply.op = KEYMSG_OP_ERROR;
    answer->reply.payload = span_make(&answer->error, 1);
}
