/* SPDX-License-Identifier: BSD-3-Clause
 * Reader of the configuration file: see settings.h. Each group of keys is a table of {name, kind,
 * range, place}: one loop reads them, and what is in no table is refused.
 */
#include "tls/keyserver/settings.h"

#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum key_kind { KEY_BOOL, KEY_UNSIGNED, KEY_TEXT };

struct key {
    const char *name;
    enum key_kind kind;
    long long low, high; /* KEY_UNSIGNED: range; KEY_TEXT: length range */
    void *place;         /* bool, unsigned or char[high + 1] */
    bool *given;         /* NULL: may be left out */
};

struct reader {
    const char *path;
    char *problem; /* [SETTINGS_PROBLEM] */
};

static enum tg_err bad(const struct reader *r, const config_setting_t *at, const char *key,
                       const char *what)
{
    snprintf(r->problem, SETTINGS_PROBLEM, "%s:%d: %s: %s", r->path,
             at && config_setting_source_line(at) ? (int)config_setting_source_line(at) : 1, key,
             what);
    return TG_BAD_CONFIG;
}

static enum tg_err bad_range(const struct reader *r, const config_setting_t *at,
                             const struct key *key)
{
    char what[96];
    snprintf(what, sizeof what,
             key->kind == KEY_TEXT ? "must have %lld..%lld characters" : "must be in %lld..%lld",
             key->low, key->high);
    return bad(r, at, key->name, what);
}

static enum tg_err number_read(const struct reader *r, const config_setting_t *at,
                               const struct key *key)
{
    int type = config_setting_type(at);
    long long value = config_setting_get_int64(at);
    if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64)
        return bad(r, at, key->name, "must be a whole number");
    if (value < key->low || value > key->high)
        return bad_range(r, at, key);
    *(unsigned *)key->place = (unsigned)value;
    return TG_OK;
}

static enum tg_err text_read(const struct reader *r, const config_setting_t *at,
                             const struct key *key)
{
    const char *text = config_setting_get_string(at);
    if (!text)
        return bad(r, at, key->name, "must be a string");
    size_t len = strlen(text);
    if ((long long)len < key->low || (long long)len > key->high)
        return bad_range(r, at, key);
    memcpy(key->place, text, len + 1);
    return TG_OK;
}

static enum tg_err value_read(const struct reader *r, const config_setting_t *at,
                              const struct key *key)
{
    if (key->given)
        *key->given = true;
    if (key->kind == KEY_UNSIGNED)
        return number_read(r, at, key);
    if (key->kind == KEY_TEXT)
        return text_read(r, at, key);
    if (config_setting_type(at) != CONFIG_TYPE_BOOL)
        return bad(r, at, key->name, "must be true or false");
    *(bool *)key->place = config_setting_get_bool(at);
    return TG_OK;
}

/* Read the plain keys of a group; `others` names the members that somebody else reads. */
static enum tg_err group_read(const struct reader *r, const config_setting_t *group,
                              const struct key keys[], unsigned count, const char *const others[])
{
    for (int i = 0; i < config_setting_length(group); i++) {
        const config_setting_t *at = config_setting_get_elem(group, (unsigned)i);
        const char *name = config_setting_name(at);
        unsigned k = 0, other = 0;
        while (k < count && strcmp(keys[k].name, name) != 0)
            k++;
        while (others[other] && strcmp(others[other], name) != 0)
            other++;
        if (k == count && !others[other])
            return bad(r, at, name, "unknown key");
        enum tg_err err = k < count ? value_read(r, at, &keys[k]) : TG_OK;
        if (err != TG_OK)
            return err;
    }
    for (unsigned k = 0; k < count; k++)
        if (keys[k].given && !*keys[k].given)
            return bad(r, group, keys[k].name, "is missing");
    return TG_OK;
}

/* --- clients ----------------------------------------------------------------------------------- */

static enum tg_err client_keys_read(const struct reader *r, const config_setting_t *group,
                                    struct settings_client *client)
{
    const config_setting_t *list = config_setting_get_member(group, "keys");
    if (!list)
        return bad(r, group, "keys", "is missing: name files of the key directory, or \"*\"");
    if (config_setting_type(list) != CONFIG_TYPE_ARRAY &&
        config_setting_type(list) != CONFIG_TYPE_LIST)
        return bad(r, list, "keys", "must be an array of strings");
    unsigned count = (unsigned)config_setting_length(list);
    if (count > SETTINGS_KEYS_MAX)
        return bad(r, list, "keys", "has more than 1024 entries");
    client->keys = calloc(count ? count : 1, sizeof *client->keys);
    if (!client->keys)
        return bad(r, list, "keys", "no memory");
    for (unsigned i = 0; i < count; i++) {
        const char *text = config_setting_get_string_elem(list, (int)i);
        if (!text || strlen(text) == 0 || strlen(text) >= SETTINGS_TEXT)
            return bad(r, list, "keys", "must hold strings of 1..255 characters");
        if (strcmp(text, "*") == 0)
            client->every_key = true;
        else
            memcpy(client->keys[client->key_count++], text, strlen(text) + 1);
    }
    return TG_OK;
}

static enum tg_err client_read(const struct reader *r, const config_setting_t *at,
                               struct settings_client *client)
{
    static const char *const others[] = {"keys", NULL};
    bool subject_given = false, burst_given = false;
    const struct key keys[] = {
        {"subject", KEY_TEXT, 1, SETTINGS_TEXT - 1, client->subject, &subject_given},
        {"rate", KEY_UNSIGNED, 1, 1000000, &client->rate, NULL},
        {"burst", KEY_UNSIGNED, 1, 1000000, &client->burst, NULL},
        {"decrypt", KEY_BOOL, 0, 0, &client->decrypt, NULL},
        {"weak_hashes", KEY_BOOL, 0, 0, &client->weak_hashes, NULL},
    };
    if (config_setting_type(at) != CONFIG_TYPE_GROUP)
        return bad(r, at, "clients", "every entry must be a group { ... }");
    *client = (struct settings_client){.line = (int)config_setting_source_line(at), .rate = 1000};
    burst_given = config_setting_get_member(at, "burst") != NULL;
    enum tg_err err = group_read(r, at, keys, TG_ARRAY_LEN(keys), others);
    if (err == TG_OK && !burst_given)
        client->burst = 2 * client->rate;
    return err == TG_OK ? client_keys_read(r, at, client) : err;
}

static enum tg_err clients_read(const struct reader *r, const config_setting_t *root,
                                struct settings *s)
{
    const config_setting_t *list = config_setting_get_member(root, "clients");
    if (!list || config_setting_type(list) != CONFIG_TYPE_LIST || config_setting_length(list) == 0)
        return bad(r, list, "clients", "must be a list ( { ... } ) of at least one client");
    unsigned count = (unsigned)config_setting_length(list);
    if (count > SETTINGS_CLIENTS_MAX)
        return bad(r, list, "clients", "has more than 256 entries");
    s->clients = calloc(count, sizeof *s->clients);
    if (!s->clients)
        return bad(r, list, "clients", "no memory");
    for (unsigned i = 0; i < count; i++) {
        const config_setting_t *at = config_setting_get_elem(list, i);
        enum tg_err err = client_read(r, at, &s->clients[s->client_count++]);
        if (err != TG_OK)
            return err;
        for (unsigned j = 0; j < i; j++)
            if (strcmp(s->clients[j].subject, s->clients[i].subject) == 0)
                return bad(r, at, "subject", "stands there already");
    }
    return TG_OK;
}

/* --- the file ---------------------------------------------------------------------------------- */

static enum tg_err root_read(const struct reader *r, const config_setting_t *root,
                             struct settings *s)
{
    static const char *const others[] = {"clients", NULL};
    bool keys_given = false, certificate_given = false, key_given = false, ca_given = false;
    const long long text = SETTINGS_TEXT - 1;
    const struct key keys[] = {
        {"address", KEY_TEXT, 2, sizeof s->address - 1, s->address, NULL},
        {"port", KEY_UNSIGNED, 1, 65535, &s->port, NULL},
        {"keys", KEY_TEXT, 1, text, s->keys, &keys_given},
        {"certificate", KEY_TEXT, 1, text, s->certificate, &certificate_given},
        {"key", KEY_TEXT, 1, text, s->key, &key_given},
        {"client_ca", KEY_TEXT, 1, text, s->client_ca, &ca_given},
        {"audit", KEY_TEXT, 0, text, s->audit, NULL},
        {"user", KEY_TEXT, 0, sizeof s->user - 1, s->user, NULL},
        {"group", KEY_TEXT, 0, sizeof s->group - 1, s->group, NULL},
        {"connections", KEY_UNSIGNED, 1, 4096, &s->connections, NULL},
        {"idle_ms", KEY_UNSIGNED, 100, 3600000, &s->idle_ms, NULL},
        {"handshake_ms", KEY_UNSIGNED, 100, 60000, &s->handshake_ms, NULL},
    };
    enum tg_err err = group_read(r, root, keys, TG_ARRAY_LEN(keys), others);
    return err == TG_OK ? clients_read(r, root, s) : err;
}

static enum tg_err file_bad(const struct reader *r, const config_t *file)
{
    if (config_error_type(file) == CONFIG_ERR_FILE_IO)
        snprintf(r->problem, SETTINGS_PROBLEM, "%s: cannot be read", r->path);
    else
        snprintf(r->problem, SETTINGS_PROBLEM, "%s:%d: %s", r->path, config_error_line(file),
                 config_error_text(file));
    return TG_BAD_CONFIG;
}

enum tg_err settings_read(const char *path, struct settings *s, char problem[SETTINGS_PROBLEM])
{
    const struct reader r = {path, problem};
    config_t file;
    *s = (struct settings){
        .address = "::",
        .port = 2407,
        .connections = 256,
        .idle_ms = 30000,
        .handshake_ms = 5000,
    };
    if (strlen(path) >= sizeof s->path) {
        snprintf(problem, SETTINGS_PROBLEM, "%.100s...: the path is too long", path);
        return TG_BAD_CONFIG;
    }
    memcpy(s->path, path, strlen(path) + 1);
    config_init(&file);
    enum tg_err err = config_read_file(&file, path) == CONFIG_TRUE
                          ? root_read(&r, config_root_setting(&file), s)
                          : file_bad(&r, &file);
    config_destroy(&file);
    if (err != TG_OK)
        settings_release(s);
    return err;
}

void settings_release(struct settings *s)
{
    for (unsigned i = 0; i < s->client_count; i++)
        free(s->clients[i].keys);
    free(s->clients);
    *s = (struct settings){0};
}
