/* SPDX-License-Identifier: BSD-3-Clause
 * The pieces of main's start; see start.h.
 */
#include "dataplane/start.h"
#include "base/log.h"
#include "contract/secrets.h"
#include "tls/tls_replay.h"
#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define TIDEGATE_VERSION "0.1.0"

static int start_usage(FILE *out, int status)
{
    fputs("usage: tidegate -c FILE [--check]\n"
          "  -c, --config FILE  configuration (docs/tidegate.conf shows every key)\n"
          "      --check        read the configuration, say what is wrong with it, stop\n"
          "      --version      print the version\n",
          out);
    return status;
}

int start_read_options(int argc, char **argv, struct start_options *options)
{
    *options = (struct start_options){0};
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
            return start_usage(stdout, 0);
        if (!strcmp(argv[i], "--version")) {
            puts("tidegate " TIDEGATE_VERSION);
            return 0;
        }
        if (!strcmp(argv[i], "--check"))
            options->check_only = true;
        else if ((!strcmp(argv[i], "-c") || !strcmp(argv[i], "--config")) && i + 1 < argc)
            options->config_path = argv[++i];
        else {
            fprintf(stderr, "tidegate: unknown option %s\n", argv[i]);
            return start_usage(stderr, 2);
        }
    }
    return options->config_path ? -1 : start_usage(stderr, 2);
}

/* About one RSS key in a thousand leaves some worker without ports of its own (steer_ports_init says
 * so): then the key is drawn again. */
static bool start_key_serves(const struct toeplitz *toeplitz, unsigned workers)
{
    struct steer_ports ports;
    for (unsigned w = 0; w < workers; w++) {
        if (steer_ports_init(&ports, toeplitz, w, workers, 1) != TG_OK)
            return false;
        steer_ports_free(&ports);
    }
    return true;
}

enum tg_err start_secrets_draw(const struct config *config, struct start_secrets *secrets,
                               struct toeplitz **toeplitz)
{
    struct toeplitz *t = malloc(sizeof *t);
    if (!t)
        return TG_NO_MEMORY;
    for (unsigned try_number = 0; try_number < 16; try_number++) {
        if (getrandom(secrets, sizeof *secrets, 0) != (ssize_t)sizeof *secrets)
            break;
        toeplitz_init(t, secrets->rss_key);
        if (start_key_serves(t, config->workers)) {
            *toeplitz = t;
            return TG_OK;
        }
    }
    free(t);
    return TG_SYSTEM;
}

enum tg_err start_region(const struct config *config, const struct start_secrets *secrets,
                         struct region *region, char problem[256])
{
    int gid = -1;
    if (config->group[0]) {
        const struct group *group = getgrnam(config->group);
        if (!group) {
            snprintf(problem, 256,
                     "group \"%.100s\" does not exist: create it, or set group = \"\"",
                     config->group);
            return TG_BAD_CONFIG;
        }
        gid = (int)group->gr_gid;
    }
    return region_create(region, config->region, config->workers, config->node_slot,
                         (size_t)config->arena_mb << 20, gid, secrets->boot_id, problem);
}

/* The interface of a device string: what follows "iface=", else the string up to a comma. */
static void start_interface(const char *device, char name[64])
{
    const char *at = strstr(device, "iface=");
    at = at ? at + strlen("iface=") : device;
    snprintf(name, 64, "%.*s", (int)strcspn(at, ","), at);
}

/* One tidegate per port. The drivers do not see to it: a second net_tap joins the first one's interface and
 * takes half of its frames, a second net_af_xdp fails but tears the first one's XDP program off. An abstract
 * unix socket is a name in our network namespace, as the interface is, and goes with us however we end; it
 * stays open on purpose. */
static enum tg_err start_claim(const char *device, char problem[256])
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char name[64];
    start_interface(device, name);
    int n = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "tidegate/port/%s", name);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, (const struct sockaddr *)&address,
                        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) == 0)
        return TG_OK;
    if (errno == EADDRINUSE)
        snprintf(problem, 256, "port %s is in use by another tidegate: stop it first", name);
    else
        snprintf(problem, 256, "port %s cannot be claimed: %s", name, strerror(errno));
    if (fd >= 0)
        close(fd);
    return TG_SYSTEM;
}

enum tg_err start_ports(const struct config *config, const struct start_secrets *secrets,
                        struct io_host **host, char problem[256])
{
    const char *extra[CONFIG_EAL_ARGS + 1] = {NULL};
    struct io_config io = {
        .workers = config->workers,
        .port_count = config->port_count,
        .buffers = config->buffers,
        .hugepages = config->hugepages,
        .idle_sleep = config->idle_sleep,
        .rss_key = secrets->rss_key,
        .extra_args = extra,
    };
    for (unsigned i = 0; i < config->eal_arg_count; i++)
        extra[i] = config->eal_args[i];
    for (unsigned p = 0; p < config->port_count; p++) {
        if (start_claim(config->ports[p].device, problem) != TG_OK)
            return TG_SYSTEM;
        io.ports[p].device = config->ports[p].device;
        io.ports[p].queues = config->ports[p].queues;
        io.ports[p].mtu = (uint16_t)config->ports[p].mtu;
        io.ports[p].address_count = config->ports[p].address_count;
        for (unsigned a = 0; a < config->ports[p].address_count; a++)
            memcpy(io.ports[p].addresses[a], config->ports[p].addresses[a].address, 16);
    }
    return io_host_open(&io, host, problem);
}

enum tg_err start_drop_rights(const struct config *config, char problem[256])
{
    if (!config->user[0] || geteuid() != 0)
        return TG_OK;
    const struct passwd *user = getpwnam(config->user);
    if (!user) {
        snprintf(problem, 256, "user \"%.100s\" does not exist: create it, or set user = \"\"",
                 config->user);
        return TG_BAD_CONFIG;
    }
    if (initgroups(config->user, user->pw_gid) != 0 || setgid(user->pw_gid) != 0 ||
        setuid(user->pw_uid) != 0) {
        snprintf(problem, 256, "cannot become user \"%.100s\": %s", config->user, strerror(errno));
        return TG_SYSTEM;
    }
    return TG_OK;
}

/* Flights of one window (24 s) that are told apart: 43,000 a second, 8 bytes each. A full register refuses
 * early data and nothing else. */
#define START_EARLY_FLIGHTS (1u << 20)

static_assert(TABLES_KEYS_OF_A_USE <= TLS_TICKET_SECRETS_MAX, "all ticket keys of a fleet");

static enum tg_err start_ticket_secrets(const char *path, struct tls_ticket_secret tickets[],
                                        unsigned *count, char problem[512])
{
    struct secrets secrets;
    enum tg_err result = secrets_load(path, &secrets, problem);
    if (result != TG_OK)
        return result;
    *count = secrets.counts[SECRETS_TICKET];
    for (unsigned i = 0; i < *count; i++) {
        const struct secrets_key *key = &secrets.keys[SECRETS_TICKET][i];
        tickets[i].id = key->id;
        memcpy(tickets[i].secret, key->secret, sizeof tickets[i].secret);
    }
    explicit_bzero(&secrets, sizeof secrets);
    return TG_OK;
}

enum tg_err start_tls_policy(const struct config *config, uint64_t wall_s,
                             struct tls_ticket_secret tickets[TLS_TICKET_SECRETS_MAX],
                             struct tls_policy *policy, char problem[512])
{
    enum tg_err result = TG_OK;
    *policy = (struct tls_policy){.alpn_http1 = true,
                                  .tls12 = true,
                                  .early_data_max = config->early_data,
                                  .ticket_secrets = tickets,
                                  .node_slot = (uint16_t)config->node_slot};
    if (config->secrets[0])
        result =
            start_ticket_secrets(config->secrets, tickets, &policy->ticket_secret_count, problem);
    if (result != TG_OK || config->early_data == 0)
        return result;
    result = tls_replay_create(START_EARLY_FLIGHTS, wall_s, &policy->replay);
    if (result != TG_OK)
        snprintf(problem, 512,
                 "no memory for the register of early data: set early_data = 0, or add memory");
    else
        log_info("early data: up to %u bytes a connection, from %u s after the start on",
                 config->early_data, REPLAY_WINDOW_S);
    return result;
}

int start_pin(const struct config *config, unsigned worker)
{
    cpu_set_t set;
    int cpu = config->cpu_count ? config->cpus[worker % config->cpu_count]
                                : (int)(worker % (unsigned)sysconf(_SC_NPROCESSORS_ONLN));
    CPU_ZERO(&set);
    CPU_SET((unsigned)cpu, &set);
    if (pthread_setaffinity_np(pthread_self(), sizeof set, &set) != 0) {
        log_warn("worker %u is not pinned: there is no processor %d for us", worker, cpu);
        return -1;
    }
    return cpu;
}

static void start_net_config(const struct config *config, struct net_config *net)
{
    for (unsigned p = 0; p < config->port_count; p++)
        for (unsigned a = 0; a < config->ports[p].address_count; a++) {
            const struct config_prefix *prefix = &config->ports[p].addresses[a];
            struct net_address *address = &net->addresses[net->address_count];
            if (net->address_count == NET_ADDRESSES_MAX)
                break;
            net->address_count++;
            memcpy(address->address.bytes, prefix->address, 16);
            address->prefix_bits = prefix->bits;
            address->port = (uint8_t)p;
        }
    for (unsigned i = 0; i < config->route_count && i < NET_ROUTES_MAX; i++) {
        const struct config_route *from = &config->routes[i];
        struct net_route *to = &net->routes[net->route_count++];
        memcpy(to->prefix.bytes, from->prefix.address, 16);
        to->prefix_bits = from->prefix.bits;
        memcpy(to->gateway.bytes, from->gateway, 16);
        to->port = (uint8_t)from->port;
    }
}

void start_worker_config(const struct config *config, unsigned index,
                         const struct start_secrets *secrets, const struct toeplitz *toeplitz,
                         struct worker_config *out)
{
    *out = (struct worker_config){
        .index = index,
        .workers = config->workers,
        .node_slot = (uint16_t)config->node_slot,
        .seed = secrets->seed,
        .toeplitz = toeplitz,
        .waf_transactions = config->requests,
    };
    start_net_config(config, &out->net);
    out->tcp = (struct tcp_config){
        .connections_max = config->connections,
        .half_open_max = config->connections / 4,
        .time_wait_max = config->connections,
        .receive_window_max = config->receive_window,
        .send_buffer_max = config->send_buffer,
        .unsent_low = config->send_buffer / 4,
        .ooo_segments_max = 512,
        .tso_bytes_max = config->tso ? UINT32_MAX : 0,
    };
    out->proxy = (struct proxy_config){
        .clients_max = config->connections / 2,
        .requests_max = config->requests,
        .origins_max = config->connections / 2,
        .via = config->node_name,
        .head_timeout = config->head_ms * TG_MS,
        .body_timeout = config->body_ms * TG_MS,
        .keepalive_timeout = config->keepalive_ms * TG_MS,
        .handshake_timeout = config->handshake_ms * TG_MS,
    };
    for (unsigned i = 0; i < config->http_port_count; i++)
        out->listen[out->listen_count++] =
            (struct worker_listen){config->http_ports[i], PROXY_LISTEN_HTTP};
    for (unsigned i = 0; i < config->https_port_count; i++)
        out->listen[out->listen_count++] =
            (struct worker_listen){config->https_ports[i], PROXY_LISTEN_HTTPS};
}

void start_tell(const struct config *config, const struct region *region)
{
    for (unsigned p = 0; p < config->port_count; p++)
        log_info("port %u: %s, %u queue(s) wanted", p, config->ports[p].device,
                 config->ports[p].queues);
    for (unsigned w = 0; w < config->workers; w++) {
        int cpu = region->layout->workers[w].cpu;
        for (unsigned other = 0; other < w; other++)
            if (cpu >= 0 && region->layout->workers[other].cpu == cpu)
                log_warn("workers %u and %u share processor %d", other, w, cpu);
        log_info("worker %u on processor %d", w, cpu);
    }
    fputs("tidegate: ready\n", stderr); /* scripts wait for exactly this line */
}
