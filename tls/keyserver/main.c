/* SPDX-License-Identifier: BSD-3-Clause
 * tidegate-keyserver: options, rights, signals. Holds private keys on the customer's premises, signs
 * for the edges that the configuration names, and does nothing else.
 *
 * Exit codes: 0 stopped by a signal; 2 wrong usage, configuration or surroundings: nothing was
 * started.
 */
#include "base/log.h"
#include "tls/keyserver/server.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define KEYSERVER_VERSION "0.1.0"
#define SECURE_BYTES                                                                               \
    ((size_t)16 << 20) /* locked memory for private numbers: 4096 RSA keys, twice */
#define DRAIN_MS 2000  /* for the last answers */

enum { EXIT_REFUSED = 2 };

static const char usage[] =
    "usage: tidegate-keyserver -c FILE [--check]\n"
    "  -c FILE      configuration (docs/keyserver.conf shows every key)\n"
    "  --check      read configuration, keys and certificates, list the keys, stop\n"
    "  --version    print the version\n"
    "SIGHUP reads everything again; what does not hold together is refused and the old stays.\n";

static volatile sig_atomic_t stop_asked, reload_asked; /* writer: the handlers */

static void on_stop(int signal)
{
    stop_asked = 1;
}

static void on_reload(int signal)
{
    reload_asked = 1;
}

static int refuse(const char *problem)
{
    fprintf(stderr, "tidegate-keyserver: %s\n", problem);
    return EXIT_REFUSED;
}

/* Signals come only while the server waits: *waiting is the mask for that. */
static void signals_open(sigset_t *waiting)
{
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGINT);
    sigaddset(&blocked, SIGHUP);
    sigprocmask(SIG_BLOCK, &blocked, waiting);
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_stop}, NULL);
    sigaction(SIGINT, &(struct sigaction){.sa_handler = on_stop}, NULL);
    sigaction(SIGHUP, &(struct sigaction){.sa_handler = on_reload}, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* No key leaves by a core dump, a debugger of the same user or swap. */
static void memory_protect(void)
{
    struct rlimit lock = {0, 0};
    size_t bytes = SECURE_BYTES;
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    prctl(PR_SET_DUMPABLE, 0);
    if (geteuid() != 0 && getrlimit(RLIMIT_MEMLOCK, &lock) == 0)
        while (bytes > lock.rlim_cur && bytes > SECURE_BYTES / 16)
            bytes /= 2;
    if (CRYPTO_secure_malloc_init(bytes, 64) != 1)
        log_warn("memory for keys is not locked (ulimit -l): it may go to swap");
}

static int rights_bad(const struct settings *s, const char *key, const char *what)
{
    char problem[SETTINGS_PROBLEM];
    snprintf(problem, sizeof problem, "%s: %s: %s", s->path, key, what);
    return refuse(problem);
}

/* Root reads the files and opens the port; then it is somebody else, for good. 0: done. */
static int rights_drop(const struct settings *s)
{
    if (geteuid() != 0)
        return 0;
    if (!s->user[0])
        return rights_bad(s, "user", "started as root: name the user to become");
    const struct passwd *user = getpwnam(s->user);
    if (!user)
        return rights_bad(s, "user", "does not exist");
    gid_t gid = user->pw_gid;
    if (s->group[0]) {
        const struct group *group = getgrnam(s->group);
        if (!group)
            return rights_bad(s, "group", "does not exist");
        gid = group->gr_gid;
    }
    if (user->pw_uid == 0)
        return rights_bad(s, "user", "is root: name another one");
    if (setgroups(1, &gid) != 0 || setgid(gid) != 0 || setuid(user->pw_uid) != 0)
        return rights_bad(s, "user", strerror(errno));
    prctl(PR_SET_DUMPABLE, 0); /* setuid may have set it again */
    return 0;
}

static void keys_list(const struct vault *vault)
{
    static const char *const types[] = {"EC", "RSA", "Ed25519"};
    for (unsigned i = 0; i < vault_count(vault); i++) {
        const struct vault_key *key = vault_at(vault, i);
        for (unsigned b = 0; b < KEYMSG_SKI_BYTES; b++)
            printf("%02x", key->ski[b]);
        printf("  %-7s  %s\n", types[key->type], key->name);
    }
}

static void reload(struct server *server, const char *path)
{
    struct setup *setup;
    char problem[SETTINGS_PROBLEM];
    if (setup_create(path, &setup, problem) != TG_OK) {
        log_error("not reloaded, the old configuration stays: %s", problem);
        return;
    }
    log_info("reloaded: %u keys, %u clients", vault_count(setup->vault),
             setup->settings.client_count);
    server_use(server, setup);
}

static uint64_t milliseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int serve(struct setup *setup, const char *path)
{
    struct server *server;
    sigset_t waiting;
    char problem[SETTINGS_PROBLEM];
    if (server_create(setup, &server, problem) != TG_OK) {
        setup_destroy(setup);
        return refuse(problem);
    }
    int status = rights_drop(&setup->settings);
    if (status == 0) {
        signals_open(&waiting);
        log_info("ready: %u keys, %u clients, %s port %u", vault_count(setup->vault),
                 setup->settings.client_count, setup->settings.address, server_port(server));
        while (!stop_asked) {
            server_turn(server, -1, &waiting);
            if (reload_asked) {
                reload_asked = 0;
                reload(server, path);
            }
        }
        log_info("stopping");
        for (uint64_t end = milliseconds() + DRAIN_MS;
             milliseconds() < end && !server_drain(server);)
            server_turn(server, 20, NULL);
    }
    server_destroy(server);
    return status;
}

int main(int argc, char **argv)
{
    const char *path = NULL;
    bool check = false;
    char problem[SETTINGS_PROBLEM];
    struct setup *setup;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-c") == 0 && i + 1 < argc) {
            path = argv[++i];
        } else if (strcmp(argv[i], "--check") == 0) {
            check = true;
        } else if (strcmp(argv[i], "--version") == 0) {
            puts("tidegate-keyserver " KEYSERVER_VERSION);
            return 0;
        } else {
            bool help = strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0;
            fputs(usage, help ? stdout : stderr);
            return help ? 0 : EXIT_REFUSED;
        }
    }
    if (!path) {
        fputs(usage, stderr);
        return EXIT_REFUSED;
    }
    log_open("tidegate-keyserver", LOG_INFO);
    /* The policy is ours, not the machine's openssl.cnf. */
    if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1)
        return refuse("libssl does not start");
    memory_protect();
    if (setup_create(path, &setup, problem) != TG_OK)
        return refuse(problem);
    if (!check)
        return serve(setup, path);
    keys_list(setup->vault);
    setup_destroy(setup);
    return 0;
}
