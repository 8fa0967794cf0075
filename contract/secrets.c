/* SPDX-License-Identifier: BSD-3-Clause
 * Reader of the fleet's secrets file; see secrets.h. Called by tidegate and tidegate-ctl at their start. No problem
 * that it tells quotes the file: libconfig's own errors name a line and a kind of mistake, no text.
 */
#include "contract/secrets.h"
#include <libconfig.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct reader {
    const char *path;
    char *problem; /* [512] */
};

/* By enum tables_key_use. */
static const char *const use_names[] = {"owner", "syn", "tunnel", "ticket"};
static_assert(TG_ARRAY_LEN(use_names) == SECRETS_USES, "one name a use");

static enum tg_err secrets_bad(const struct reader *r, const config_setting_t *at, const char *key,
                               const char *what)
{
    snprintf(r->problem, 512, "%s:%d: %s: %s", r->path,
             at ? (int)config_setting_source_line(at) : 1, key, what);
    return TG_BAD_CONFIG;
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* 32 hexadecimal digits, not all of them 0: that is what somebody writes who has not made a key yet. */
static bool hex_read(const char *text, uint8_t out[16])
{
    uint8_t any = 0;
    if (!text || strlen(text) != 32)
        return false;
    for (unsigned i = 0; i < 16; i++) {
        int high = digit_value(text[2 * i]), low = digit_value(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
        any |= out[i];
    }
    return any != 0;
}

static enum tg_err secret_read(const struct reader *r, const config_setting_t *at, const char *key,
                               uint8_t out[16])
{
    if (hex_read(config_setting_get_string(at), out))
        return TG_OK;
    return secrets_bad(r, at, key, "must be a string of 32 hexadecimal digits, not all 0");
}

static enum tg_err id_read(const struct reader *r, const config_setting_t *at, uint32_t *id)
{
    int type = config_setting_type(at);
    long long value = config_setting_get_int64(at);
    if ((type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64) || value < 0 || value > UINT32_MAX)
        return secrets_bad(r, at, "id", "must be a whole number in 0..4294967295");
    *id = (uint32_t)value;
    return TG_OK;
}

static enum tg_err key_read(const struct reader *r, const config_setting_t *at, const char *use,
                            struct secrets_key *key)
{
    bool has_id = false, has_secret = false;
    if (config_setting_type(at) != CONFIG_TYPE_GROUP)
        return secrets_bad(r, at, use, "every entry must be a group { id = ...; secret = ...; }");
    for (int i = 0; i < config_setting_length(at); i++) {
        const config_setting_t *member = config_setting_get_elem(at, (unsigned)i);
        const char *name = config_setting_name(member);
        enum tg_err result;
        if (strcmp(name, "id") == 0) {
            result = id_read(r, member, &key->id);
            has_id = true;
        } else if (strcmp(name, "secret") == 0) {
            result = secret_read(r, member, "secret", key->secret);
            has_secret = true;
        } else {
            result = secrets_bad(r, member, use, "unknown key in an entry");
        }
        if (result != TG_OK)
            return result;
    }
    return has_id && has_secret ? TG_OK : secrets_bad(r, at, use, "an entry needs id and secret");
}

/* Do two ids of a use look the same on the wire? A SYN cookie carries one bit of its key's id, a tunnelled packet
 * eight (net/owner_cookie.h, steer/tunnel.h). */
static bool ids_collide(unsigned use, uint32_t a, uint32_t b)
{
    uint32_t seen = use == TABLES_KEY_SYN ? 1u : use == TABLES_KEY_TUNNEL ? 0xffu : UINT32_MAX;
    return (a & seen) == (b & seen);
}

static enum tg_err use_read(const struct reader *r, const config_setting_t *list, unsigned use,
                            struct secrets *out)
{
    struct secrets_key *keys = out->keys[use];
    int type = config_setting_type(list), count = config_setting_length(list);
    if (type != CONFIG_TYPE_LIST || count < 1 || count > TABLES_KEYS_OF_A_USE)
        return secrets_bad(r, list, use_names[use], "must be a list ( ... ) of one or two keys");
    for (int i = 0; i < count; i++) {
        enum tg_err result =
            key_read(r, config_setting_get_elem(list, (unsigned)i), use_names[use], &keys[i]);
        if (result != TG_OK)
            return result;
    }
    out->counts[use] = (unsigned)count;
    if (count == 2 && ids_collide(use, keys[0].id, keys[1].id))
        return secrets_bad(r, list, use_names[use],
                           use == TABLES_KEY_SYN      ? "one id must be even and one odd"
                           : use == TABLES_KEY_TUNNEL ? "the ids must differ in their low 8 bits"
                                                      : "two keys with one id");
    return TG_OK;
}

static enum tg_err member_read(const struct reader *r, const config_setting_t *at,
                               struct secrets *out)
{
    const char *name = config_setting_name(at);
    for (unsigned use = 0; use < SECRETS_USES; use++)
        if (strcmp(name, use_names[use]) == 0)
            return use_read(r, at, use, out);
    if (strcmp(name, "bucket") == 0)
        return secret_read(r, at, "bucket", out->bucket);
    return secrets_bad(r, at, name, "unknown key");
}

static enum tg_err root_read(const struct reader *r, const config_setting_t *root,
                             struct secrets *out)
{
    static const uint8_t none[16];
    for (int i = 0; i < config_setting_length(root); i++) {
        enum tg_err result = member_read(r, config_setting_get_elem(root, (unsigned)i), out);
        if (result != TG_OK)
            return result;
    }
    for (unsigned use = 0; use < SECRETS_USES; use++)
        if (out->counts[use] == 0)
            return secrets_bad(r, NULL, use_names[use], "is missing");
    if (memcmp(out->bucket, none, sizeof none) == 0)
        return secrets_bad(r, NULL, "bucket", "is missing");
    return TG_OK;
}

/* libconfig frees its strings as they are: overwrite them first. */
static void strings_wipe(const config_setting_t *at)
{
    char *text = (char *)(uintptr_t)config_setting_get_string(at);
    if (text)
        explicit_bzero(text, strlen(text));
    for (int i = 0; config_setting_is_aggregate(at) && i < config_setting_length(at); i++)
        strings_wipe(config_setting_get_elem(at, (unsigned)i));
}

/* Whoever reads the file can steal and forge every connection of the fleet, whoever writes it can take it over. */
static enum tg_err file_check(const struct reader *r, FILE *file)
{
    struct stat info;
    const char *what = NULL;
    if (fstat(fileno(file), &info) != 0 || !S_ISREG(info.st_mode))
        what = "is not a regular file";
    else if (info.st_mode & S_IRWXO)
        what = "others may read or write it: chmod 640, or 600";
    if (!what)
        return TG_OK;
    snprintf(r->problem, 512, "%s: %s", r->path, what);
    return TG_BAD_CONFIG;
}

static enum tg_err file_read(const struct reader *r, FILE *file, struct secrets *out)
{
    config_t parsed;
    enum tg_err result;
    config_init(&parsed);
    setvbuf(file, NULL, _IONBF, 0); /* no copy of ours stays in stdio's memory */
    if (config_read(&parsed, file) == CONFIG_TRUE) {
        result = root_read(r, config_root_setting(&parsed), out);
        strings_wipe(config_root_setting(&parsed));
    } else {
        snprintf(r->problem, 512, "%s:%d: %s", r->path, config_error_line(&parsed),
                 config_error_text(&parsed));
        result = TG_BAD_CONFIG;
    }
    config_destroy(&parsed);
    return result;
}

enum tg_err secrets_load(const char *path, struct secrets *secrets, char problem[512])
{
    const struct reader r = {path, problem};
    memset(secrets, 0, sizeof *secrets);
    FILE *file = fopen(path, "re");
    if (!file) {
        snprintf(problem, 512, "%s: cannot be read", path);
        return TG_BAD_CONFIG;
    }
    enum tg_err result = file_check(&r, file);
    if (result == TG_OK)
        result = file_read(&r, file, secrets);
    fclose(file);
    if (result != TG_OK)
        explicit_bzero(secrets, sizeof *secrets);
    return result;
}
