/* SPDX-License-Identifier: BSD-3-Clause
 * The program in the driver: load it, map its tables, attach it, tell it whose frames are whose. Called by
 * io_xdp_host.c. Cold.
 *
 * It is attached by a bpf_link. A link ends with the descriptor, so neither a kill -9 nor a tidegate that
 * has given up its rights leaves the program behind: the interface then belongs to the kernel alone.
 * A program attached by netlink would stay for both. No libxdp dispatcher: it needs freplace, which kernels
 * refuse in containers (EPERM), so another XDP program on the interface is an error that names it.
 */
#include "io/io_xdp.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define IO_PROGRAM_NAME   "tidegate_xdp"
#define IO_SEEDS          65536
#define IO_BUSY_TRIES     100
#define IO_BUSY_TRY_EVERY (10 * TG_MS)

/* libbpf tells causes in its log only: keep the first warning. One thread opens ports. */
static char io_bpf_said[160];

static int io_bpf_log(enum libbpf_print_level level, const char *format, va_list args)
{
    if (level == LIBBPF_WARN && !io_bpf_said[0]) {
        vsnprintf(io_bpf_said, sizeof io_bpf_said, format, args);
        io_bpf_said[strcspn(io_bpf_said, "\n")] = '\0';
    }
    return 0;
}

static size_t io_map_bytes(unsigned entries, size_t stride)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (entries * stride + page - 1) / page * page;
}

static void *io_map_memory(const struct bpf_object *object, const char *name, unsigned entries,
                           size_t stride)
{
    int fd = bpf_object__find_map_fd_by_name(object, name);
    void *p = fd < 0 ? MAP_FAILED
                     : mmap(NULL, io_map_bytes(entries, stride), PROT_READ | PROT_WRITE, MAP_SHARED,
                            fd, 0);
    return p == MAP_FAILED ? NULL : p;
}

static enum tg_err io_driver_load(struct io_driver *d, char problem[256])
{
    d->object = bpf_object__open_mem(io_xdp_object, io_xdp_object_bytes, NULL);
    if (!d->object)
        return io_problem(problem, TG_SYSTEM, "libbpf does not take the built-in XDP program: %s",
                          io_bpf_said);
    d->processors = (unsigned)libbpf_num_possible_cpus();
    struct bpf_map *counters = bpf_object__find_map_by_name(d->object, "counters");
    int bad = bpf_map__set_max_entries(counters, d->processors);
    if (!bad)
        bad = bpf_object__load(d->object);
    if (bad == -EPERM)
        return io_problem(problem, TG_SYSTEM,
                          "no right to load an XDP program: start tidegate as root (it drops its "
                          "rights afterwards) or give it CAP_BPF, CAP_NET_ADMIN, CAP_NET_RAW and "
                          "CAP_IPC_LOCK");
    if (bad)
        return io_problem(problem, TG_SYSTEM,
                          "the kernel refuses the XDP program (%s; Linux 5.15 or newer is needed): "
                          "%s",
                          strerror(-bad), io_bpf_said);
    return TG_OK;
}

static enum tg_err io_driver_map(struct io_driver *d, char problem[256])
{
    d->shared = io_map_memory(d->object, ".bss", 1, sizeof *d->shared);
    d->counters_bytes = (sizeof(struct io_xdp_counters) + 7) / 8 * 8;
    d->generation_bytes = (sizeof(struct io_xdp_generation) + 7) / 8 * 8;
    d->counters = io_map_memory(d->object, "counters", d->processors, d->counters_bytes);
    d->generations = io_map_memory(d->object, "generations", 2, d->generation_bytes);
    d->sockets_map = bpf_object__find_map_fd_by_name(d->object, "sockets");
    d->prefixes_map = bpf_object__find_map_fd_by_name(d->object, "prefixes");
    if (!d->shared || !d->counters || !d->generations)
        return io_problem(problem, TG_NO_MEMORY, "the XDP program's tables cannot be mapped");
    return TG_OK;
}

/* The program that is on the interface; false: none that we may see. */
static bool io_driver_other(unsigned index, uint32_t *id, char name[BPF_OBJ_NAME_LEN])
{
    LIBBPF_OPTS(bpf_xdp_query_opts, query);
    struct bpf_prog_info info = {0};
    uint32_t len = sizeof info;
    if (bpf_xdp_query((int)index, 0, &query) != 0)
        return false;
    *id = query.prog_id;
    if (!*id)
        *id = query.drv_prog_id ? query.drv_prog_id : query.skb_prog_id;
    snprintf(name, BPF_OBJ_NAME_LEN, "unknown");
    int fd = bpf_prog_get_fd_by_id(*id);
    if (fd >= 0) {
        if (bpf_obj_get_info_by_fd(fd, &info, &len) == 0)
            snprintf(name, BPF_OBJ_NAME_LEN, "%s", info.name);
        close(fd);
    }
    return *id != 0;
}

/* In the driver if it can, else in the kernel's generic path behind it. */
static int io_driver_link(struct io_driver *d, int program, unsigned index)
{
    LIBBPF_OPTS(bpf_link_create_opts, in_driver, .flags = XDP_FLAGS_DRV_MODE);
    LIBBPF_OPTS(bpf_link_create_opts, generic, .flags = XDP_FLAGS_SKB_MODE);
    d->generic = false;
    int fd = bpf_link_create(program, (int)index, BPF_XDP, &in_driver);
    if (fd == -EOPNOTSUPP || fd == -EINVAL) {
        d->generic = true;
        fd = bpf_link_create(program, (int)index, BPF_XDP, &generic);
    }
    return fd;
}

static enum tg_err io_driver_attach_problem(int bad, const char *interface, unsigned index,
                                            char problem[256])
{
    char name[BPF_OBJ_NAME_LEN] = "";
    uint32_t id = 0;
    bool busy = (bad == EBUSY || bad == EEXIST) && io_driver_other(index, &id, name);
    if (busy && !strcmp(name, IO_PROGRAM_NAME))
        return io_problem(problem, TG_SYSTEM,
                          "interface %s is served by another tidegate (XDP program %u): stop that "
                          "one first",
                          interface, id);
    if (busy)
        return io_problem(problem, TG_SYSTEM,
                          "another XDP program is attached to interface %s (%s, id %u): take it "
                          "off with 'ip link set dev %s xdp off', or by stopping who owns it",
                          interface, name, id, interface);
    if (bad == EPERM)
        return io_problem(problem, TG_SYSTEM,
                          "no right to attach an XDP program to interface %s: CAP_NET_ADMIN in its "
                          "network namespace is needed",
                          interface);
    return io_problem(problem, TG_SYSTEM, "the XDP program cannot be attached to interface %s: %s",
                      interface, strerror(bad));
}

/* The link of a tidegate that has just ended is taken down in the background: wait for it. */
enum tg_err io_driver_attach(struct io_driver *d, const char *interface, unsigned index,
                             char problem[256])
{
    struct bpf_program *program = bpf_object__find_program_by_name(d->object, IO_PROGRAM_NAME);
    char name[BPF_OBJ_NAME_LEN];
    uint32_t id;
    int fd = -1;
    for (unsigned i = 0; i < IO_BUSY_TRIES; i++) {
        fd = io_driver_link(d, bpf_program__fd(program), index);
        if (fd != -EBUSY || (io_driver_other(index, &id, name) && strcmp(name, IO_PROGRAM_NAME)))
            break;
        nanosleep(&(struct timespec){.tv_nsec = (long)IO_BUSY_TRY_EVERY}, NULL);
    }
    if (fd < 0)
        return io_driver_attach_problem(-fd, interface, index, problem);
    d->link_fd = fd;
    return TG_OK;
}

enum tg_err io_driver_open(struct io_driver *d, char problem[256])
{
    *d = (struct io_driver){.link_fd = -1};
    io_bpf_said[0] = '\0';
    libbpf_set_print(io_bpf_log);
    enum tg_err result = io_driver_load(d, problem);
    if (result == TG_OK)
        result = io_driver_map(d, problem);
    return result; /* the caller closes */
}

enum tg_err io_driver_set_socket(struct io_driver *d, unsigned queue, int fd)
{
    return bpf_map_update_elem(d->sockets_map, &queue, &fd, BPF_ANY) == 0 ? TG_OK : TG_SYSTEM;
}

/* Place the addresses by a seed; false when two of them meet. */
static bool io_addresses_place(struct io_xdp_address table[], uint32_t seed,
                               const uint8_t addresses[][16], unsigned n)
{
    static const struct io_xdp_address free_slot;
    memset(table, 0, IO_XDP_ADDRESSES * sizeof table[0]);
    for (unsigned i = 0; i < n; i++) {
        struct io_xdp_address a;
        memcpy(a.words, addresses[i], sizeof a.words);
        struct io_xdp_address *slot = &table[io_xdp_address_slot(a.words, seed)];
        if (memcmp(slot, &a, sizeof a) && memcmp(slot, &free_slot, sizeof a))
            return false;
        *slot = a;
    }
    return true;
}

enum tg_err io_driver_set_addresses(struct io_driver *d, const uint8_t addresses[][16], unsigned n)
{
    struct io_xdp_address table[IO_XDP_ADDRESSES];
    for (uint32_t seed = 0; seed < IO_SEEDS; seed++)
        if (io_addresses_place(table, seed, addresses, n)) {
            d->shared->seed = seed;
            memcpy(d->shared->addresses, table, sizeof table);
            return TG_OK;
        }
    return TG_UNSUPPORTED;
}

void io_driver_close(struct io_driver *d)
{
    if (d->link_fd >= 0)
        close(d->link_fd);
    if (d->shared)
        (void)munmap(d->shared, io_map_bytes(1, sizeof *d->shared));
    if (d->counters)
        (void)munmap(d->counters, io_map_bytes(d->processors, d->counters_bytes));
    if (d->generations)
        (void)munmap(d->generations, io_map_bytes(2, d->generation_bytes));
    bpf_object__close(d->object);
    *d = (struct io_driver){.link_fd = -1};
}
