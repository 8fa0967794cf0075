/* SPDX-License-Identifier: BSD-3-Clause
 * What tgctl's commands share. See commands.h.
 */
#include "ctrlplane/cli/commands.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PATH_BYTES     4096
#define FILE_BYTES_MAX (16u << 20)

bool command_print_json(const struct client *client, const json_t *answer)
{
    if (client->json) {
        json_dumpf(answer, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6) | JSON_ENCODE_ANY);
        putchar('\n');
    }
    return client->json;
}

enum exit_code command_list(const struct client *client, int argc, char **argv, const char *path,
                            const struct column columns[])
{
    struct arg none[] = {{0}};
    json_t *answer;
    if (!args_read(argc, argv, none, NULL, 0, 0))
        return TGCTL_USAGE;
    enum exit_code code = client_call(client, "GET", path, NULL, &answer);
    if (code != TGCTL_OK)
        return code;
    if (!command_print_json(client, answer))
        table_print(stdout, answer, columns);
    json_decref(answer);
    return TGCTL_OK;
}

enum exit_code command_del(const struct client *client, int argc, char **argv, const char *path)
{
    struct arg none[] = {{0}};
    const char *name;
    char full[PATH_BYTES];
    json_t *answer;
    if (!args_read(argc, argv, none, &name, 1, 1))
        return TGCTL_USAGE;
    snprintf(full, sizeof full, "%s", path);
    if (!client_segment_add(full, sizeof full, name)) {
        fprintf(stderr, "tgctl: the name is too long\n");
        return TGCTL_USAGE;
    }
    enum exit_code code = client_call(client, "DELETE", full, NULL, &answer);
    if (code != TGCTL_OK)
        return code;
    if (!command_print_json(client, answer))
        printf("deleted %s\n", name);
    json_decref(answer);
    return TGCTL_OK;
}

enum exit_code command_put(const struct client *client, const char *what, const char *path,
                           const char *name, json_t *body)
{
    char full[PATH_BYTES], shown[128];
    json_t *answer;
    snprintf(full, sizeof full, "%s", path);
    if (name && !client_segment_add(full, sizeof full, name)) {
        fprintf(stderr, "tgctl: the name is too long\n");
        json_decref(body);
        return TGCTL_USAGE;
    }
    enum exit_code code = client_call(client, name ? "PUT" : "POST", full, body, &answer);
    if (code != TGCTL_OK)
        return code;
    if (!command_print_json(client, answer)) {
        const json_t *id = json_object_get(answer, "id");
        printf("%s %s is in force on every worker\n", what,
               table_cell(id ? id : json_object_get(answer, "name"), "", shown, sizeof shown));
    }
    json_decref(answer);
    return TGCTL_OK;
}

static char *file_read(const char *path, size_t *len)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    char *text = malloc(FILE_BYTES_MAX + 1);
    if (!file || !text) {
        fprintf(stderr, "tgctl: %s: cannot be read: %s\n", path, strerror(errno));
        free(text);
        return NULL;
    }
    *len = fread(text, 1, FILE_BYTES_MAX + 1, file);
    bool failed = ferror(file);
    if (file != stdin)
        fclose(file);
    if (!failed && *len <= FILE_BYTES_MAX)
        return text;
    fprintf(stderr, "tgctl: %s: %s\n", path, failed ? "cannot be read" : "is larger than 16 MiB");
    free(text);
    return NULL;
}

json_t *command_file_text(const char *path)
{
    size_t len;
    char *text = file_read(path, &len);
    json_t *value = text ? json_stringn(text, len) : NULL;
    if (text && !value)
        fprintf(stderr, "tgctl: %s: is not text\n", path);
    free(text);
    return value;
}

bool command_set_file(json_t *body, const char *member, const char *path)
{
    json_t *text = path ? command_file_text(path) : NULL;
    if (text)
        json_object_set_new(body, member, text);
    return !path || text;
}

json_t *command_file_json(const char *path)
{
    size_t len;
    json_error_t error;
    char *text = file_read(path, &len);
    if (!text)
        return NULL;
    json_t *value = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!value)
        fprintf(stderr, "tgctl: %s:%d:%d: %s\n", path, error.line, error.column, error.text);
    free(text);
    return value;
}

void command_set_string(json_t *body, const char *member, const char *text)
{
    if (text && json_object_set_new(body, member, json_string(text)) != 0)
        fprintf(stderr, "tgctl: %s: is not UTF-8\n", member); /* the API says that it is missing */
}

void command_set_number_or_string(json_t *body, const char *member, const char *text)
{
    size_t digits = text ? strspn(text, "0123456789") : 0;
    if (digits && digits < 10 && !text[digits])
        json_object_set_new(body, member, json_integer(strtol(text, NULL, 10)));
    else
        command_set_string(body, member, text);
}

void command_set_list(json_t *body, const char *member, const char *text)
{
    if (!text)
        return;
    json_t *list = json_array();
    while (*text) {
        size_t len = strcspn(text, ",");
        if (len)
            json_array_append_new(list, json_stringn(text, len));
        text += len + (text[len] == ',');
    }
    json_object_set_new(body, member, list);
}
