/* SPDX-License-Identifier: BSD-3-Clause
 * The TAP and its thread; see exception_tap.h. Below io/ in spirit: system calls and the rings' far end,
 * never a packet's meaning. Floor 5.
 */
#include "dataplane/exception_tap.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TAP_FRAMES 32 /* moved in one direction before the other gets its turn */
#define TAP_SOON   TG_MS
#define TAP_LATER  (10 * TG_MS)
/* Sleeps of TAP_SOON without a frame before they become longer: a tenth of a second, in which a
 * conversation goes on or has ended. An idle thread wakes 100 times a second: 0.1 % of a core. */
#define TAP_QUIET_SLEEPS 100

struct exception_tap {
    struct exception_host *rings;
    int fd;      /* of the TAP */
    int wake_fd; /* eventfd; written by workers that go to sleep */
    pthread_t thread;
    bool started;
    _Atomic bool stop; /* writer: main */
    unsigned quiet_sleeps;
    char name[IFNAMSIZ];
    struct exception_frame frames[TAP_FRAMES];
};

/* --- making it --------------------------------------------------------------------------------- */

static enum tg_err tap_problem(char problem[256], const char *name, const char *what)
{
    snprintf(problem, 256, "node.exception: TAP %s: %s", name, what);
    return TG_SYSTEM;
}

static enum tg_err tap_attach(struct exception_tap *tap, char problem[256])
{
    struct ifreq request = {.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_TUN_EXCL)};
    memcpy(request.ifr_name, tap->name, sizeof tap->name);
    tap->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (tap->fd < 0)
        return tap_problem(problem, tap->name,
                           errno == EACCES || errno == EPERM
                               ? "needs root: tidegate drops its rights afterwards"
                               : "no /dev/net/tun: does the kernel have CONFIG_TUN?");
    if (ioctl(tap->fd, TUNSETIFF, &request) == 0)
        return TG_OK;
    if (errno == EBUSY || errno == EINVAL)
        return tap_problem(problem, tap->name,
                           "an interface of this name is there: remove it, or choose another name");
    return tap_problem(problem, tap->name,
                       errno == EPERM ? "needs root: tidegate drops its rights afterwards"
                                      : strerror(errno));
}

/* Address and MTU of the port, then up. */
static enum tg_err tap_configure(const struct exception_tap *tap, const struct io_caps *port,
                                 char problem[256])
{
    struct ifreq request = {0};
    memcpy(request.ifr_name, tap->name, sizeof tap->name);
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s < 0)
        return tap_problem(problem, tap->name, strerror(errno));
    request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    memcpy(request.ifr_hwaddr.sa_data, port->mac, sizeof port->mac);
    int bad = ioctl(s, SIOCSIFHWADDR, &request);
    request.ifr_mtu = port->mtu;
    bad |= ioctl(s, SIOCSIFMTU, &request);
    bad |= ioctl(s, SIOCGIFFLAGS, &request);
    request.ifr_flags |= IFF_UP;
    bad |= ioctl(s, SIOCSIFFLAGS, &request);
    int error = errno;
    close(s);
    return bad ? tap_problem(problem, tap->name, strerror(error)) : TG_OK;
}

static void tap_wake(void *arg)
{
    const struct exception_tap *tap = arg;
    const uint64_t one = 1;
    (void)!write(tap->wake_fd, &one, sizeof one);
}

enum tg_err exception_tap_open(const char *name, unsigned workers, const struct io_host *host,
                               struct exception_tap **out, char problem[256])
{
    const struct io_caps *port = io_host_caps(host, 0);
    *out = NULL;
    if (!name[0])
        return TG_OK;
    if (port->shared_with_kernel) {
        snprintf(
            problem, 256,
            "node.exception: in this build the driver leaves what is not ours to the kernel, on "
            "%s itself: set exception = \"\"",
            port->device);
        return TG_BAD_CONFIG;
    }
    struct exception_tap *tap = calloc(1, sizeof *tap);
    if (!tap)
        return tap_problem(problem, name, "out of memory");
    snprintf(tap->name, sizeof tap->name, "%s", name);
    tap->fd = -1;
    tap->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    enum tg_err result =
        tap->wake_fd < 0 ? tap_problem(problem, name, strerror(errno)) : tap_attach(tap, problem);
    if (result == TG_OK)
        result = tap_configure(tap, port, problem);
    if (result == TG_OK && exception_host_create(workers, &tap->rings) != TG_OK)
        result = tap_problem(problem, name, "no memory for its rings");
    if (result != TG_OK) {
        exception_tap_close(tap);
        return result;
    }
    exception_host_use_waker(tap->rings, tap_wake, tap);
    log_info("what is not ours goes to the kernel by %s", tap->name);
    *out = tap;
    return TG_OK;
}

struct exception_host *exception_tap_rings(struct exception_tap *tap)
{
    return tap ? tap->rings : NULL;
}

/* --- the thread -------------------------------------------------------------------------------- */

/* Frames to the kernel. It takes none while the TAP is down. */
static unsigned tap_give(struct exception_tap *tap)
{
    unsigned n = exception_host_take(tap->rings, tap->frames, TAP_FRAMES), refused = 0;
    for (unsigned i = 0; i < n; i++)
        refused += write(tap->fd, tap->frames[i].bytes, tap->frames[i].len) < 0;
    if (refused)
        exception_host_refused(tap->rings, refused);
    return n;
}

/* Frames from the kernel, as many as there is room for. */
static unsigned tap_fetch(struct exception_tap *tap)
{
    enum { ETHERNET_BYTES = 14 };
    unsigned room = exception_host_room(tap->rings), n = 0;
    while (n < room && n < TAP_FRAMES) {
        ssize_t len = read(tap->fd, tap->frames[n].bytes, sizeof tap->frames[n].bytes);
        if (len < 0)
            break;
        if (len < ETHERNET_BYTES)
            continue;
        tap->frames[n++].len = (uint16_t)len;
    }
    exception_host_give(tap->rings, tap->frames, n);
    return n;
}

/* Until the kernel has a frame, a worker wakes us, or a worker that never sleeps may have one. Returns false
 * when the TAP is gone: somebody has deleted it. */
static bool tap_sleep(struct exception_tap *tap)
{
    if (!exception_host_may_sleep(tap->rings))
        return true;
    bool has_room = exception_host_room(tap->rings) > 0;
    struct pollfd wait[] = {{.fd = tap->wake_fd, .events = POLLIN},
                            {.fd = tap->fd, .events = has_room ? POLLIN : 0}};
    tg_ns sleep = tap->quiet_sleeps < TAP_QUIET_SLEEPS ? TAP_SOON : TAP_LATER;
    struct timespec time = {.tv_nsec = (long)sleep};
    tap->quiet_sleeps++;
    (void)ppoll(wait, TG_ARRAY_LEN(wait), &time, NULL);
    exception_host_awake(tap->rings);
    uint64_t wakes;
    if (wait[0].revents)
        (void)!read(tap->wake_fd, &wakes, sizeof wakes);
    return !(wait[1].revents & (POLLERR | POLLNVAL));
}

static void *tap_run(void *arg)
{
    struct exception_tap *tap = arg;
    while (!atomic_load_explicit(&tap->stop, memory_order_relaxed)) {
        unsigned given = tap_give(tap); /* both, always */
        unsigned fetched = tap_fetch(tap);
        if (given + fetched > 0) {
            tap->quiet_sleeps = 0;
        } else if (!tap_sleep(tap)) {
            log_error("interface %s has been deleted: what is not ours is dropped until a restart",
                      tap->name);
            return NULL;
        }
    }
    return NULL;
}

enum tg_err exception_tap_start(struct exception_tap *tap)
{
    if (!tap)
        return TG_OK;
    if (pthread_create(&tap->thread, NULL, tap_run, tap) != 0)
        return TG_SYSTEM;
    (void)pthread_setname_np(tap->thread, "exception");
    tap->started = true;
    return TG_OK;
}

void exception_tap_close(struct exception_tap *tap)
{
    if (!tap)
        return;
    atomic_store(&tap->stop, true);
    if (tap->started) {
        tap_wake(tap);
        pthread_join(tap->thread, NULL);
    }
    exception_host_destroy(tap->rings);
    if (tap->fd >= 0)
        close(tap->fd);
    if (tap->wake_fd >= 0)
        close(tap->wake_fd);
    free(tap);
}
