/* SPDX-License-Identifier: BSD-3-Clause
 * tidegate, the data plane: options, region, ports, threads; nothing else. The main thread becomes the
 * housekeeping thread; each worker runs worker_poll on its own core until a signal asks to stop.
 */
#include "base/log.h"
#include "contract/config.h"
#include "contract/region.h"
#include "dataplane/exception_tap.h"
#include "dataplane/start.h"
#include "io/io.h"
#include "tls/tls_replay.h"
#include "worker/housekeeping.h"
#include "worker/worker.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define IDLE_TURNS_BEFORE_SLEEP 32

struct worker_thread {
    pthread_t thread;
    bool started;
    struct program *program;
    unsigned index;
    struct mailbox mail;
    struct worker *worker;  /* made in its own thread; read by main once `state` says READY */
    _Atomic unsigned state; /* enum thread_state; writer: the thread */
    enum tg_err result;     /* of making it */
};
enum thread_state { THREAD_STARTING, THREAD_READY, THREAD_FAILED };

struct program {
    struct config config;
    struct region region;
    struct io_host *host;
    struct exception_tap *exception; /* NULL: none configured */
    struct toeplitz *toeplitz;
    struct start_secrets secrets;
    struct tls_ticket_secret tickets[TLS_TICKET_SECRETS_MAX]; /* of the fleet */
    struct housekeeping housekeeping;
    _Atomic int64_t wall_offset_ns; /* writer: main */
    _Atomic bool stop;              /* writer: main */
    struct worker_thread threads[TG_WORKERS_MAX];
};

static enum tg_err thread_make(struct worker_thread *t, struct io **io)
{
    struct program *p = t->program;
    struct region_worker *slot = region_worker(&p->region, t->index);
    struct worker_config config;
    slot->cpu = start_pin(&p->config, t->index);
    enum tg_err result = io_open(p->host, t->index, &slot->stats, io);
    if (result != TG_OK)
        return result;
    start_worker_config(&p->config, t->index, &p->secrets, p->toeplitz, &config);
    config.exception = exception_tap_rings(p->exception);
    result = worker_create(&config, *io, NULL, slot, &t->mail, &t->worker);
    if (result != TG_OK)
        io_close(*io);
    return result;
}

static void *thread_run(void *arg)
{
    struct worker_thread *t = arg;
    struct program *p = t->program;
    struct region_worker *slot = region_worker(&p->region, t->index);
    struct io *io;
    t->result = thread_make(t, &io);
    if (t->result != TG_OK) {
        atomic_store(&t->state, THREAD_FAILED);
        return NULL;
    }
    slot->alive = 1;
    atomic_store(&t->state, THREAD_READY);
    for (unsigned idle = 0; !atomic_load_explicit(&p->stop, memory_order_relaxed);) {
        int64_t wall_offset_ns = atomic_load_explicit(&p->wall_offset_ns, memory_order_relaxed);
        if (worker_poll(t->worker, wall_offset_ns))
            idle = 0;
        else if (++idle > IDLE_TURNS_BEFORE_SLEEP)
            worker_idle(t->worker);
    }
    slot->alive = 0;
    worker_destroy(t->worker);
    io_close(io);
    return NULL;
}

static int64_t wall_offset_read(void)
{
    struct timespec wall, monotonic;
    clock_gettime(CLOCK_REALTIME, &wall);
    clock_gettime(CLOCK_MONOTONIC, &monotonic);
    return (wall.tv_sec - monotonic.tv_sec) * (int64_t)TG_S + (wall.tv_nsec - monotonic.tv_nsec);
}

/* Start all workers and wait until each is made. */
static enum tg_err threads_start(struct program *p)
{
    for (unsigned i = 0; i < p->config.workers; i++) {
        struct worker_thread *t = &p->threads[i];
        t->program = p;
        t->index = i;
        enum tg_err result = mailbox_init(&t->mail, region_commands(&p->region, i));
        if (result != TG_OK)
            return result;
        if (pthread_create(&t->thread, NULL, thread_run, t) != 0)
            return TG_SYSTEM;
        t->started = true;
        /* one after the other: making a worker is quick, and errors keep their order */
        while (atomic_load(&t->state) == THREAD_STARTING)
            nanosleep(&(struct timespec){.tv_nsec = (long)TG_MS}, NULL);
        if (atomic_load(&t->state) == THREAD_FAILED)
            return t->result;
        p->housekeeping.worker[i].mail = &t->mail;
        p->housekeeping.worker[i].waf = worker_waf(t->worker);
    }
    return TG_OK;
}

static void threads_stop(struct program *p)
{
    atomic_store(&p->stop, true);
    for (unsigned i = 0; i < p->config.workers; i++) {
        if (p->threads[i].started)
            pthread_join(p->threads[i].thread, NULL);
        mailbox_free(&p->threads[i].mail);
    }
}

/* The housekeeping thread: tables, wall clock, signals. Returns when a signal asks to stop. */
static void housekeeping_run(struct program *p, const sigset_t *signals)
{
    const struct timespec turn = {.tv_nsec = (long)TG_MS};
    housekeeping_ask_all(&p->housekeeping);
    for (;;) {
        int signal = sigtimedwait(signals, NULL, &turn);
        if (signal == SIGTERM || signal == SIGINT) {
            log_info("stopping");
            return;
        }
        atomic_store_explicit(&p->wall_offset_ns, wall_offset_read(), memory_order_relaxed);
        housekeeping_turn(&p->housekeeping);
    }
}

static int program_fail(const char *what)
{
    fprintf(stderr, "tidegate: %s\n", what);
    return 1;
}

/* Everything between a good configuration and the end. Returns the exit status. */
static int program_run(struct program *p, const sigset_t *signals)
{
    char problem[512] = "";
    if (start_secrets_draw(&p->config, &p->secrets, &p->toeplitz) != TG_OK)
        return program_fail("the system gives no random numbers, or no memory");
    if (tls_start() != TG_OK)
        return program_fail("OpenSSL does not start");
    if (start_region(&p->config, &p->secrets, &p->region, problem) != TG_OK)
        return program_fail(problem);
    int status = 1;
    if (start_tls_policy(&p->config, (uint64_t)time(NULL), p->tickets, &p->housekeeping.policy,
                         problem) != TG_OK) {
        program_fail(problem);
        goto close_region;
    }
    if (start_ports(&p->config, &p->secrets, &p->host, problem) != TG_OK) {
        program_fail(problem);
        goto close_region;
    }
    if (exception_tap_open(p->config.exception, p->config.workers, p->host, &p->exception,
                           problem) != TG_OK) {
        program_fail(problem);
        goto close_ports;
    }
    if (start_drop_rights(&p->config, problem) != TG_OK) {
        program_fail(problem);
        goto close_ports;
    }
    p->housekeeping.region = &p->region;
    p->housekeeping.host = p->host;
    p->housekeeping.workers = p->config.workers;
    atomic_store(&p->wall_offset_ns, wall_offset_read());
    enum tg_err result = threads_start(p);
    if (result == TG_OK)
        result = exception_tap_start(p->exception);
    if (result == TG_OK) {
        start_tell(&p->config, &p->region);
        housekeeping_run(p, signals);
        status = 0;
    } else {
        program_fail(tg_err_text(result));
    }
    threads_stop(p);
    housekeeping_end(&p->housekeeping);
close_ports:
    exception_tap_close(p->exception);
    io_host_close(p->host);
close_region:
    tls_replay_free(p->housekeeping.policy.replay);
    region_close(&p->region);
    free(p->toeplitz);
    return status;
}

int main(int argc, char **argv)
{
    static struct program program;
    struct start_options options;
    char problem[512];
    sigset_t signals;
    int status = start_read_options(argc, argv, &options);
    if (status >= 0)
        return status;
    log_open("tidegate", LOG_INFO);
    if (config_load(options.config_path, &program.config, problem) != TG_OK) {
        fprintf(stderr, "tidegate: %s\n", problem);
        return 2;
    }
    if (options.check_only) {
        printf("%s: ok\n", options.config_path);
        return 0;
    }
    /* workers inherit the mask: only this thread takes signals */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    return program_run(&program, &signals);
}
