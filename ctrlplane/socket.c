/* SPDX-License-Identifier: BSD-3-Clause
 * The listening unix socket of the API. Called by main through server.h.
 */
#include "ctrlplane/server.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Does somebody answer there? */
static bool socket_alive(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return true; /* cannot tell: leave it alone */
    int result = connect(fd, (const struct sockaddr *)(const void *)address, sizeof *address);
    bool alive = result == 0 || errno == EAGAIN || errno == EINPROGRESS || errno == EACCES;
    close(fd);
    return alive;
}

/* Make the path free; false: it is not ours to take. */
static bool path_clear(const struct sockaddr_un *address, char problem[640])
{
    struct stat st;
    const char *path = address->sun_path;
    if (lstat(path, &st) != 0)
        return true;
    if (!S_ISSOCK(st.st_mode)) {
        snprintf(problem, 640, "%s: exists and is not a socket; remove it or change control.socket",
                 path);
        return false;
    }
    if (socket_alive(address)) {
        snprintf(problem, 640, "%s: another tidegate-ctl answers there; stop it first", path);
        return false;
    }
    unlink(path);
    return true;
}

static int listen_fail(int fd, const char *path, char problem[640])
{
    snprintf(problem, 640, "%s: cannot listen: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

int server_listen(const char *path, int gid, char problem[640])
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        snprintf(problem, 640, "%s: longer than the %zu bytes that a socket path may have", path,
                 sizeof address.sun_path - 1);
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    char directory[sizeof address.sun_path];
    memcpy(directory, path, strlen(path) + 1);
    char *slash = strrchr(directory, '/');
    if (slash && slash != directory) {
        *slash = 0;
        mkdir(directory, 0755); /* a failure shows in bind */
    }
    if (!path_clear(&address, problem))
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* Nobody gets in before mode and group are right. */
    mode_t before = umask(0177);
    int bound =
        fd < 0 ? -1 : bind(fd, (const struct sockaddr *)(const void *)&address, sizeof address);
    umask(before);
    if (bound != 0)
        return listen_fail(fd, path, problem);
    if ((gid >= 0 && chown(path, (uid_t)-1, (gid_t)gid) != 0) || chmod(path, 0660) != 0 ||
        listen(fd, 64) != 0)
        return listen_fail(fd, path, problem);
    return fd;
}
