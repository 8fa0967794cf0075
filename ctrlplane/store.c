/* SPDX-License-Identifier: BSD-3-Clause
 * The state file of tidegate-ctl. See store.h for its form and promise.
 */
#include "ctrlplane/store.h"

#include "base/hash.h"
#include "ctrlplane/model.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STORE_HEADER_FORMAT "tidegate-state 1 %08x %zu\n"
#define STORE_BYTES_MAX     (512u << 20)

enum tg_err store_open(struct store *store, const char *directory, char problem[640])
{
    *store = (struct store){.lock_fd = -1};
    char lock[STORE_PATH_MAX];
    if (strlen(directory) >= sizeof store->directory) {
        snprintf(problem, 640, "%.100s...: the path is too long", directory);
        return TG_SYSTEM;
    }
    memcpy(store->directory, directory, strlen(directory) + 1);
    snprintf(store->path, sizeof store->path, "%s/state", store->directory);
    snprintf(lock, sizeof lock, "%s/lock", store->directory);
    if (mkdir(directory, 0700) != 0 && errno != EEXIST) {
        snprintf(problem, 640, "%s: cannot be made: %s", directory, strerror(errno));
        return TG_SYSTEM;
    }
    store->lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (store->lock_fd < 0) {
        snprintf(problem, 640, "%s: cannot be opened: %s", lock, strerror(errno));
        return TG_SYSTEM;
    }
    if (flock(store->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        snprintf(problem, 640, "%s: another tidegate-ctl uses this directory", directory);
        store_close(store);
        return TG_EXISTS;
    }
    return TG_OK;
}

void store_close(struct store *store)
{
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    store->lock_fd = -1;
}

/* Whole file into malloc'd memory with a NUL behind it; NULL: errno says why. */
static char *file_read(const char *path, size_t *len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    struct stat st;
    char *text = NULL;
    errno = EFBIG;
    if (fstat(fd, &st) == 0 && st.st_size >= 0 && (size_t)st.st_size <= STORE_BYTES_MAX)
        text = malloc((size_t)st.st_size + 1);
    size_t have = 0;
    while (text && have < (size_t)st.st_size) {
        ssize_t n = read(fd, text + have, (size_t)st.st_size - have);
        if (n <= 0)
            break;
        have += (size_t)n;
    }
    if (text)
        text[have] = 0;
    *len = have;
    close(fd);
    return text;
}

/* Check the first line against the rest; NULL: whole, else what is wrong. */
static const char *header_check(const char *text, size_t len, struct span *json)
{
    const char *newline = memchr(text, '\n', len);
    if (!newline || newline - text > 64)
        return "has no header line";
    size_t head = (size_t)(newline - text) + 1, bytes;
    unsigned checksum;
    if (sscanf(text, "tidegate-state 1 %8x %zu\n", &checksum, &bytes) != 2)
        return "is not a state file of this version";
    *json = span_make(text + head, len - head);
    if (bytes != json->len)
        return "is cut short or has bytes behind its end";
    return checksum == hash_crc32c(0, *json) ? NULL : "does not match its checksum";
}

static enum tg_err text_parse(const struct store *store, const char *text, size_t len,
                              json_t **model, char problem[640])
{
    struct span json = SPAN_EMPTY;
    const char *wrong = header_check(text, len, &json);
    if (wrong) {
        snprintf(problem, 640, "%s: %s; restore it from a copy, or move it away to start empty",
                 store->path, wrong);
        return TG_VERSION;
    }
    json_error_t error;
    json_t *document =
        json_loadb((const char *)json.data, json.len, JSON_REJECT_DUPLICATES, &error);
    struct problem p = {0};
    if (!document)
        problem_set(&p, 422, "invalid-json", "", "line %d: %s", error.line + 1, error.text);
    *model = document ? model_read(document, &p) : NULL;
    json_decref(document);
    if (!*model)
        snprintf(problem, 640,
                 "%.200s: %.100s%s%.200s; restore it from a copy, or move it away to start empty",
                 store->path, p.pointer, p.pointer[0] ? ": " : "", p.detail);
    problem_clear(&p);
    return *model ? TG_OK : TG_VERSION;
}

enum tg_err store_load(const struct store *store, json_t **model, char problem[640])
{
    *model = NULL;
    size_t len;
    char *text = file_read(store->path, &len);
    if (!text && errno == ENOENT) {
        *model = model_new();
        return TG_NOT_FOUND;
    }
    if (!text) {
        snprintf(problem, 640, "%s: cannot be read: %s", store->path, strerror(errno));
        return TG_SYSTEM;
    }
    enum tg_err err = text_parse(store, text, len, model, problem);
    explicit_bzero(text, len);
    free(text);
    return err;
}

static bool write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

/* Header and JSON into a fresh file, flushed to the disk. */
static bool file_write(const char *path, const char *json, size_t len)
{
    char header[64];
    int n = snprintf(header, sizeof header, STORE_HEADER_FORMAT,
                     hash_crc32c(0, span_make(json, len)), len);
    unlink(path); /* a remainder of a crash; also lets the mode below count */
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    bool good = write_all(fd, header, (size_t)n) && write_all(fd, json, len) && fsync(fd) == 0;
    int saved = errno;
    close(fd);
    errno = saved;
    return good;
}

/* A rename is durable only when the directory is. */
static bool directory_flush(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool good = fsync(fd) == 0;
    close(fd);
    return good;
}

enum tg_err store_save(const struct store *store, const json_t *model, char problem[640])
{
    char fresh[STORE_PATH_MAX + 8];
    snprintf(fresh, sizeof fresh, "%s.new", store->path);
    char *json = json_dumps(model, JSON_COMPACT | JSON_SORT_KEYS);
    if (!json) {
        snprintf(problem, 640, "%s: out of memory", store->path);
        return TG_SYSTEM;
    }
    size_t len = strlen(json);
    bool good = file_write(fresh, json, len) && rename(fresh, store->path) == 0 &&
                directory_flush(store->directory);
    if (!good) {
        snprintf(problem, 640, "%s: cannot be written: %s", store->path, strerror(errno));
        unlink(fresh);
    }
    explicit_bzero(json, len);
    free(json);
    return good ? TG_OK : TG_SYSTEM;
}

enum tg_err store_keep(const struct store *store, char problem[640])
{
    /* The name of a file that is never written again: store_save puts a new one in its place. */
    char kept[STORE_PATH_MAX + 16], fresh[STORE_PATH_MAX + 16];
    snprintf(kept, sizeof kept, "%s.replaced", store->path);
    snprintf(fresh, sizeof fresh, "%s.keep", store->path);
    unlink(fresh);
    if (link(store->path, fresh) == 0 && rename(fresh, kept) == 0 &&
        directory_flush(store->directory))
        return TG_OK;
    snprintf(problem, 640, "%s: cannot be made: %s", kept, strerror(errno));
    return TG_SYSTEM;
}
