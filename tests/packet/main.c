/* SPDX-License-Identifier: BSD-3-Clause
 * tidegate-pkt: run .pkt scripts against the TCP stack, in this process, in virtual time. The last line counts scripts,
 * each family for itself.
 */
#include "tests/packet/run.h"
#include <fts.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct {
    bool ip4, ip6, verbose, lax;
} options = {.ip4 = true, .ip6 = true};

static unsigned passed, failed;

static char *file_read(const char *path, size_t *len)
{
    FILE *file = fopen(path, "r");
    char *text = NULL;
    *len = 0;
    for (size_t n = 1; file && n;) {
        text = realloc(text, *len + 65536);
        n = fread(text + *len, 1, 65536, file);
        *len += n;
    }
    if (file)
        fclose(file);
    return text;
}

static void family_run(struct script *script, bool ip6)
{
    char why[2000];
    bool good = script_run(script, ip6, !options.lax, why, sizeof why);
    good ? passed++ : failed++;
    if (!good)
        printf("FAILED %s\n", why);
    else if (options.verbose)
        printf("ok     %s IPv%d\n", script->path, ip6 ? 6 : 4);
}

static void script_file(const char *path)
{
    struct script script = {.path = path};
    size_t len;
    char *text = file_read(path, &len);
    if (!text) {
        printf("FAILED %s: cannot be read\n", path);
        failed++;
        return;
    }
    if (!script_parse(text, len, &script)) {
        printf("FAILED %s:%s\n", path, script.error);
        failed++;
    } else {
        if (options.ip4 && script.ip4)
            family_run(&script, false);
        if (options.ip6 && script.ip6)
            family_run(&script, true);
    }
    script_free(&script);
    free(text);
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static void paths_run(char *const paths[])
{
    FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
    for (FTSENT *e; tree && (e = fts_read(tree));) {
        size_t n = strlen(e->fts_name);
        bool named = e->fts_level == 0;
        if (e->fts_info == FTS_F && (named || (n > 4 && strcmp(e->fts_name + n - 4, ".pkt") == 0)))
            script_file(e->fts_path);
        else if (e->fts_info == FTS_NS || e->fts_info == FTS_ERR || e->fts_info == FTS_DNR) {
            printf("FAILED %s: %s\n", e->fts_path, strerror(e->fts_errno));
            failed++;
        }
    }
    if (tree)
        fts_close(tree);
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"ip4", no_argument, NULL, '4'},
                                          {"ip6", no_argument, NULL, '6'},
                                          {"lax", no_argument, NULL, 'l'},
                                          {"verbose", no_argument, NULL, 'v'},
                                          {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "v", longs, NULL)) != -1;) {
        if (c == '4')
            options.ip6 = false;
        else if (c == '6')
            options.ip4 = false;
        else if (c == 'l')
            options.lax = true;
        else if (c == 'v')
            options.verbose = true;
        else
            optind = argc;
    }
    if (optind == argc) {
        fprintf(stderr,
                "usage: %s [--ip4|--ip6] [--lax] [-v] FILE|FOLDER...\n"
                "--lax: packets that a script does not mention at its end are no failure\n",
                argv[0]);
        return 2;
    }
    paths_run(argv + optind);
    printf("%u passed, %u failed\n", passed, failed);
    return failed || !passed;
}
