/* SPDX-License-Identifier: BSD-3-Clause
 * Reading small files: see files.h.
 */
#include "tls/keyserver/files.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum tg_err file_bad(const char *path, const char *what, char problem[512])
{
    snprintf(problem, 512, "%.300s: %s", path, what);
    return TG_BAD_CONFIG;
}

/* Exactly `size` bytes; what grows or shrinks meanwhile is refused. */
static bool bytes_read(int fd, uint8_t *out, size_t size)
{
    size_t at = 0;
    while (at < size) {
        ssize_t n = read(fd, out + at, size - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

static enum tg_err open_file_read(const char *path, int fd, bool secret, struct span *out,
                                  char problem[512])
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return file_bad(path, "is not a file", problem);
    if (secret && (st.st_mode & S_IROTH))
        return file_bad(path, "everybody may read it: chmod o= it", problem);
    if (st.st_size > FILES_BYTES_MAX)
        return file_bad(path, "is larger than 1 MiB", problem);
    size_t size = (size_t)st.st_size;
    uint8_t *bytes = OPENSSL_secure_malloc(size + 1);
    if (!bytes)
        return file_bad(path, "no memory", problem);
    *out = span_make(bytes, size);
    if (bytes_read(fd, bytes, size))
        return TG_OK;
    file_wipe(out);
    return file_bad(path, "cannot be read", problem);
}

enum tg_err file_read(const char *path, bool secret, struct span *out, char problem[512])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    *out = SPAN_EMPTY;
    if (fd < 0)
        return file_bad(path, strerror(errno), problem);
    enum tg_err err = open_file_read(path, fd, secret, out, problem);
    close(fd);
    return err;
}

void file_wipe(struct span *bytes)
{
    OPENSSL_secure_clear_free((void *)(uintptr_t)bytes->data, bytes->len);
    *bytes = SPAN_EMPTY;
}
