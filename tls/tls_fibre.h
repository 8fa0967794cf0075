/* SPDX-License-Identifier: BSD-3-Clause
 * Tells AddressSanitizer on which stack we run: libcrypto's jobs switch stacks by longjmp, of which
 * it learns nothing. Without the sanitizer all of it is empty. Called by tls_bio.c, tls_key.c and
 * tls_conn.c.
 *
 *   conn_advance (worker's stack) -> libssl -> [job's stack] BIO, key operation: fibre_enter
 *   libssl returns                -> fibre_leave
 */
#ifndef TLS_TLS_FIBRE_H
#define TLS_TLS_FIBRE_H

#include <stddef.h>

/* The worker's stack, while a job's is in use. */
struct fibre {
    const void *bottom; /* NULL: no job's stack was entered */
    size_t size;
};

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBRE_SANITIZER 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define FIBRE_SANITIZER 1
#endif

#ifdef FIBRE_SANITIZER
#include <openssl/async.h>

/* From sanitizer/common_interface_defs.h and asan_interface.h. */
void __sanitizer_start_switch_fiber(void **save, const void *bottom, size_t size);
void __sanitizer_finish_switch_fiber(void *save, const void **bottom, size_t *size);
const char *__asan_locate_address(void *address, char *name, size_t name_size,
                                  void **region_address, size_t *region_size);

/* Make [bottom, bottom + size) the current stack; the former one comes back. */
static inline struct fibre fibre_note(const void *bottom, size_t size)
{
    void *save;
    struct fibre former;
    __sanitizer_start_switch_fiber(&save, bottom, size);
    __sanitizer_finish_switch_fiber(save, &former.bottom, &former.size);
    return former;
}

/* Perhaps we are on a job's stack: then it is the heap block that holds this very frame. Safe to
 * repeat. */
static inline void fibre_enter(struct fibre *worker)
{
    if (worker->bottom || !ASYNC_get_current_job())
        return;
    char name[8];
    void *bottom = NULL;
    size_t size = 0;
    __asan_locate_address(__builtin_frame_address(0), name, sizeof name, &bottom, &size);
    if (bottom && size)
        *worker = fibre_note(bottom, size);
}

/* We are back on the worker's stack. */
static inline void fibre_leave(struct fibre *worker)
{
    if (worker->bottom)
        (void)fibre_note(worker->bottom, worker->size);
    worker->bottom = NULL;
}

#else

static inline void fibre_enter(struct fibre *worker)
{
    (void)worker;
}

static inline void fibre_leave(struct fibre *worker)
{
    (void)worker;
}

#endif

#endif
