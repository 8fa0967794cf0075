/* SPDX-License-Identifier: BSD-3-Clause
 * tidegate-diff: run scripts against both stacks and compare step by step; print how often each rule explained a
 * difference, and every difference that none explains. Needs root. The last line counts scripts.
 */
#include "tests/diff/diff.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#define BATCH     128
#define SHOWN_MAX 400

static struct {
    uint64_t seed, count;
    bool verbose, selftest;
} options = {.seed = 1, .count = 1000};

static unsigned passed, failed, shown, late;
static uint64_t steps_compared, ended;
static uint64_t explained[64];

static void observation_print(const char *who, const struct observation *o)
{
    printf("    %-7s result %d;", who, o->result);
    for (unsigned i = 0; i < o->count; i++) {
        const struct answer *a = &o->answers[i];
        printf("  %s%s%s%s seq %d ack %d len %u%s%s%s%s", a->flags & TCP_SYN ? "S" : "",
               a->flags & TCP_FIN ? "F" : "", a->flags & TCP_RST ? "R" : "",
               a->flags & TCP_ACK ? "." : "", (int)a->seq, (int)a->ack, a->len,
               a->has_mss ? " mss" : "", a->has_wscale ? " wscale" : "", a->has_ts ? " ts" : "",
               a->sack_permitted ? " sackok" : "");
        if (a->sack_count)
            printf(" sack(%u) %d:%d", a->sack_count, (int)a->sack.left, (int)a->sack.right);
        printf(";");
    }
    printf("%s\n", o->count ? "" : " nothing");
}

static void difference_print(const struct script *s, unsigned step, const struct view *ours,
                             const struct view *kernels, int rule)
{
    const struct standing *before = &ours->before[step];
    printf("seed %llu: %s at step %u\n", (unsigned long long)s->seed,
           rule < 0 ? "not explained" : rules_at((unsigned)rule)->name, step);
    script_print(s, step);
    printf("    before  state %u rcv_nxt %d snd_una %d snd_nxt %d\n", before->state,
           (int)before->rcv_nxt, (int)before->snd_una, (int)before->snd_nxt);
    observation_print("ours", &ours->seen[step]);
    observation_print("kernel", &kernels->seen[step]);
}

static void compare(const struct script *s, const struct view *ours, const struct view *kernels)
{
    for (unsigned step = 0; step < s->count; step++) {
        int rule = rules_judge(s, step, ours, kernels);
        steps_compared++;
        if (rule == RULES_EQUAL)
            continue;
        bool good = rule != RULES_UNEXPLAINED;
        if ((!good && shown++ < SHOWN_MAX) || options.verbose)
            difference_print(s, step, ours, kernels, rule);
        if (!good) {
            failed++;
            return;
        }
        explained[rule]++;
        if (rules_at((unsigned)rule)->end) {
            ended++;
            break;
        }
    }
    passed++;
}

static void options_parse(int argc, char **argv)
{
    static const struct option longs[] = {{"seed", required_argument, NULL, 's'},
                                          {"scripts", required_argument, NULL, 'n'},
                                          {"verbose", no_argument, NULL, 'v'},
                                          {"selftest", no_argument, NULL, 't'},
                                          {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        char *end = NULL;
        if (c == 's')
            options.seed = strtoull(optarg, &end, 0);
        else if (c == 'n')
            options.count = strtoull(optarg, &end, 0);
        else if (c == 'v')
            options.verbose = true;
        else if (c == 't')
            options.selftest = true;
        if (c == '?' || (end && (*end || end == optarg))) {
            fprintf(stderr, "usage: %s [--seed N] [--scripts COUNT] [--verbose] [--selftest]\n",
                    argv[0]);
            exit(2);
        }
    }
}

/* A stack that counts one too many in its last answer to the first data: everybody must notice. */
static void spoil(struct view *ours)
{
    for (unsigned step = DIFF_STEPS_MAX; step-- > 0;)
        for (unsigned k = 0; k < ours->seen[step].count; k++)
            if (ours->seen[step].answers[k].flags == TCP_ACK) {
                ours->seen[step].answers[k].ack++;
                return;
            }
}

static int selftest_judge(void)
{
    bool rings = failed > options.count / 2; /* in some, a script's end came first */
    printf("%u of %llu spoilt scripts noticed\n%d passed, %d failed\n", failed,
           (unsigned long long)options.count, rings, !rings);
    return rings ? 0 : 1;
}

int main(int argc, char **argv)
{
    static struct script scripts[BATCH];
    static struct view ours[BATCH], kernels[BATCH];
    options_parse(argc, argv);
    tg_assert(rules_count() <= TG_ARRAY_LEN(explained));
    kernel_open();
    for (uint64_t done = 0; done < options.count;) {
        unsigned n = (unsigned)(options.count - done < BATCH ? options.count - done : BATCH);
        for (unsigned i = 0; i < n; i++) {
            script_make(options.seed + done + i, &scripts[i]);
            stack_run(&scripts[i], &ours[i]);
            if (options.selftest)
                spoil(&ours[i]);
        }
        late += !kernel_run(scripts, kernels, n);
        for (unsigned i = 0; i < n; i++)
            compare(&scripts[i], &ours[i], &kernels[i]);
        done += n;
        if (done % (BATCH * 16) == 0)
            printf("%llu scripts\n", (unsigned long long)done), fflush(stdout);
    }
    if (options.selftest)
        return selftest_judge();
    printf(
        "%llu steps compared; %llu scripts ended before their last step; explained differences:\n",
        (unsigned long long)steps_compared, (unsigned long long)ended);
    for (unsigned i = 0; i < rules_count(); i++) {
        const struct rule *r = rules_at(i);
        printf("  %6llu  %s: %s%s%s%s\n", (unsigned long long)explained[i], r->name, r->reason,
               r->end ? " (the end: " : "", r->end ? r->end : "", r->end ? ")" : "");
    }
    if (late)
        printf("%u batches had too little of a processor: timers may have fired in them\n", late);
    printf("%u passed, %u failed\n", passed, failed);
    return failed ? 1 : 0;
}
