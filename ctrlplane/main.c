/* SPDX-License-Identifier: BSD-3-Clause
 * tidegate-ctl: options, configuration, one loop of one thread. Everything else is in control and
 * server.
 *
 * Exit codes: 0 stopped by a signal; 2 wrong usage, configuration, state file or surroundings:
 * nothing was started.
 */
#include "base/log.h"
#include "ctrlplane/control.h"
#include "ctrlplane/server.h"
#include "tls/tls.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define TICK_MS 20

enum { EXIT_REFUSED = 2 };

static const char usage[] =
    "usage: tidegate-ctl [-c FILE] [--foreground]\n"
    "  -c FILE        configuration, default /etc/tidegate/tidegate.conf\n"
    "  --foreground   do not detach (always so; for symmetry with service files)\n"
    "  --version      print the version\n";

static int refuse(const char *problem)
{
    fprintf(stderr, "tidegate-ctl: %s\n", problem);
    return EXIT_REFUSED;
}

/* JSON values hold private keys: what jansson frees is wiped first. */
static void free_wiped(void *memory)
{
    if (memory)
        explicit_bzero(memory, malloc_usable_size(memory));
    free(memory);
}

static int signals_open(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Milliseconds; other < 0: never. */
static int sooner(int wait, int other)
{
    return other >= 0 && other < wait ? other : wait;
}

/* Until a signal says stop: clients as they come, the regular work every TICK_MS. */
static void loop(struct control *control, struct server *server, int signal_fd)
{
    struct pollfd fds[] = {{.fd = signal_fd, .events = POLLIN},
                           {.fd = server_fd(server), .events = POLLIN},
                           {.fd = fleet_fd(control), .events = POLLIN}};
    tg_ns next = control_now();
    for (;;) {
        tg_ns now = control_now();
        if (now >= next) {
            control_tick(control, now);
            next = now + TICK_MS * TG_MS;
        }
        int wait = sooner((int)((next - now) / TG_MS) + 1, server_timeout_ms(server));
        wait = sooner(wait, fleet_timeout_ms(control, now));
        if (poll(fds, TG_ARRAY_LEN(fds), wait) < 0 && errno != EINTR)
            return;
        if (fds[0].revents)
            return;
        server_run(server);
        fleet_run(control, control_now());
    }
}

static int serve(const struct config *config)
{
    static struct control control;
    char problem[640];
    int gid;
    if (!control_group(config, &gid, problem))
        return refuse(problem);
    int listen_fd = server_listen(config->socket, gid, problem);
    if (listen_fd < 0)
        return refuse(problem);
    int signal_fd = signals_open();
    struct server *server = NULL;
    if (control_open(&control, config, problem))
        server = server_start(&control, listen_fd, problem);
    else
        close(listen_fd);
    if (server) {
        log_info("node %s: API at %s", config->node_name, config->socket);
        loop(&control, server, signal_fd);
        log_info("stopping");
    }
    /* First the name, while it is still ours: a successor may take it at once. */
    unlink(config->socket);
    if (server)
        server_stop(server);
    control_close(&control);
    close(signal_fd);
    return server ? 0 : refuse(problem);
}

int main(int argc, char **argv)
{
    static struct config config;
    const char *path = "/etc/tidegate/tidegate.conf";
    char problem[512];
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-c") == 0 && i + 1 < argc) {
            path = argv[++i];
        } else if (strcmp(argv[i], "--version") == 0) {
            puts("tidegate-ctl " CONTROL_VERSION);
            return 0;
        } else if (strcmp(argv[i], "--foreground") != 0) {
            bool help = strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0;
            fputs(usage, help ? stdout : stderr);
            return help ? 0 : EXIT_REFUSED;
        }
    }
    log_open("tidegate-ctl", LOG_INFO);
    if (config_load(path, &config, problem) != TG_OK)
        return refuse(problem);
    prctl(PR_SET_DUMPABLE, 0); /* keys in memory: no core dump */
    json_set_alloc_funcs(malloc, free_wiped);
    if (tls_start() != TG_OK)
        return refuse("libssl does not start");
    return serve(&config);
}
