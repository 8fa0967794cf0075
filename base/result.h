/* SPDX-License-Identifier: BSD-3-Clause
 * The one list of results. Every function that can fail returns one of these; nothing sets errno
 * for its caller. Three families stay distinct: not yet, the peer's fault, ours. Floor 0: libc only.
 */
#ifndef BASE_RESULT_H
#define BASE_RESULT_H

/*      name             text for people                                       */
#define TG_RESULTS(X)                                                                              \
    X(TG_OK, "ok")                                                                                 \
    /* not yet: nothing is wrong, come back */                                                     \
    X(TG_AGAIN, "needs more bytes or more room")                                                   \
    X(TG_WANT_KEY, "a private key operation is out")                                               \
    X(TG_PENDING, "an operation has started and will be reported")                                 \
    X(TG_END, "orderly end of the stream")                                                         \
    /* the peer's fault */                                                                         \
    X(TG_BAD_INPUT, "malformed input")                                                             \
    X(TG_TOO_BIG, "input exceeds a written limit")                                                 \
    X(TG_UNSUPPORTED, "well formed, but not supported")                                            \
    X(TG_REFUSED, "refused by policy")                                                             \
    X(TG_RESET, "the peer reset the connection")                                                   \
    X(TG_TIMEOUT, "the peer did not answer in time")                                               \
    X(TG_UNREACHABLE, "no route or no neighbour")                                                  \
    /* ours */                                                                                     \
    X(TG_FULL, "a table or queue is at its written limit")                                         \
    X(TG_NO_MEMORY, "a pool is empty")                                                             \
    X(TG_NOT_FOUND, "no such entry")                                                               \
    X(TG_STALE, "the handle names something that is gone")                                         \
    X(TG_EXISTS, "the entry exists already")                                                       \
    X(TG_VERSION, "another layout version or a damaged region")                                    \
    X(TG_BAD_CONFIG, "invalid configuration")                                                      \
    X(TG_SYSTEM, "the operating system refused")

#define TG_RESULT_ENUM(name, text) name,
enum [[nodiscard]] tg_err{TG_RESULTS(TG_RESULT_ENUM) TG_ERR_COUNT};
#undef TG_RESULT_ENUM

/* The text of a result, for logs and API answers. Static storage; never NULL, also for a wild value. */
static inline const char *tg_err_text(enum tg_err e)
{
#define TG_RESULT_TEXT(name, text) text,
    static const char *const texts[] = {TG_RESULTS(TG_RESULT_TEXT)};
#undef TG_RESULT_TEXT
    return (unsigned)e < TG_ERR_COUNT ? texts[e] : "unknown result";
}

/* The symbolic name ("TG_OK"), for logs and tests. Static storage; never NULL. */
static inline const char *tg_err_name(enum tg_err e)
{
#define TG_RESULT_NAME(name, text) #name,
    static const char *const names[] = {TG_RESULTS(TG_RESULT_NAME)};
#undef TG_RESULT_NAME
    return (unsigned)e < TG_ERR_COUNT ? names[e] : "TG_?";
}

#endif
