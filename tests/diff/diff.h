/* SPDX-License-Identifier: BSD-3-Clause
 * The same random script against our TCP and the kernel's: what each answers, step by step. Only what a peer can
 * see is compared: flags, relative sequence numbers, lengths, SACK blocks, which options are there. Not compared:
 * windows, timestamps' values, when a delayed ACK comes.
 *
 *   diff_script   a seed makes a script
 *   diff_stack    our stack in this process, in virtual time
 *   diff_kernel   the kernel's, behind a TUN device in a network namespace of this process alone
 *   diff_rules*   the differences that there are, each with its reason
 *   main          batches, comparison, report
 */
#ifndef TESTS_DIFF_DIFF_H
#define TESTS_DIFF_DIFF_H

#include "net/net.h"
#include "tcp/tcp_options.h"

#define DIFF_STEPS_MAX   20
#define DIFF_ANSWERS_MAX 8
#define DIFF_PORT        80
#define DIFF_START_TS    1000u
#define DIFF_SCRIPT_ISS  0xfffffe00u /* sequence numbers wrap after half a kilobyte */

enum step_kind { STEP_SEGMENT, STEP_READ, STEP_WRITE, STEP_SHUTDOWN, STEP_CLOSE };

struct step {
    enum step_kind kind;
    const char *name;  /* for people */
    uint8_t flags;     /* enum tcp_flag */
    uint32_t seq, ack; /* relative to the script's and the stack's initial sequence numbers */
    uint16_t window;
    uint32_t len;               /* payload, or bytes to write */
    uint32_t ts;                /* TSval where timestamps are used */
    struct tcp_options options; /* without timestamps' values; SYN only */
};

struct script {
    uint64_t seed;
    bool ip6, ts;
    unsigned count;
    struct step steps[DIFF_STEPS_MAX];
};

/* One segment that a stack sent. */
struct answer {
    uint8_t flags; /* PSH left out */
    uint32_t seq, ack, len;
    bool has_mss, has_wscale, has_ts, sack_permitted;
    uint8_t sack_count;
    struct tcp_sack_block sack; /* the first, relative */
};

struct observation {
    unsigned count;
    struct answer answers[DIFF_ANSWERS_MAX];
    bool progress;         /* an ACK that only takes in-order bytes along was left out ... */
    uint32_t progress_ack; /* ... and said this */
    int result;            /* of a read or write: bytes, or -1 */
};

/* Where our stack stood before a step, relative; for the rules, which ask what a segment meant to it. */
struct standing {
    uint8_t state; /* enum tcp_state; TCP_S_CLOSED also while a handshake is not complete */
    uint32_t rcv_nxt, snd_una, snd_nxt;
};

/* What one stack has told one script so far. */
struct view {
    bool known; /* its initial sequence number */
    uint32_t iss;
    uint32_t last_ts;
    uint32_t last_ack; /* relative */
    struct observation seen[DIFF_STEPS_MAX];
    struct standing before[DIFF_STEPS_MAX]; /* our stack's only */
};

void script_make(uint64_t seed, struct script *script);
void script_print(const struct script *script, unsigned upto);

/* The IP packet of a segment step, headers and checksums right; out has 2048 bytes. Returns its length. */
size_t script_packet(const struct script *script, const struct step *step, const struct view *view,
                     const struct ip_tuple *tuple, uint8_t *out);
/* Note a packet of the stack (an IP packet) in view->seen[step]; an ACK that only takes in-order bytes along is
 * left out, because it may come later. */
void view_take(struct view *view, unsigned step, const struct ip_tuple *tuple, struct span packet);

/* The addresses and ports of script number `number` of a batch, as the stack under test sees them. */
struct ip_tuple script_tuple(const struct script *script, unsigned number);

/* Run a script against our stack. */
void stack_run(const struct script *script, struct view *view);

/* Run n scripts against the kernel, all in step. False: this process got so little time, again and again, that the
 * kernel's retransmissions may be among the answers. */
void kernel_open(void);
bool kernel_run(const struct script scripts[], struct view views[], unsigned n);

/* A difference that is meant. After it the comparison goes on, unless `end` says why it cannot: the two are not in
 * the same place any more. */
struct difference;
struct rule {
    const char *name, *reason, *end;
    bool (*holds)(const struct difference *d);
};

#define RULES_EQUAL       (-1)
#define RULES_UNEXPLAINED (-2)
/* The number of the rule that explains what is different at a step, or one of the above. */
int rules_judge(const struct script *script, unsigned step, const struct view *ours,
                const struct view *kernels);
unsigned rules_count(void);
const struct rule *rules_at(unsigned i);

#endif
