/* SPDX-License-Identifier: BSD-3-Clause
 * tidegate-pkt: run .pkt scripts against the TCP stack, in this process, in virtual time. The last line counts scripts,
 * each family for itself.
 */
#include "tests/packet/run.h"
#include <dirent.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct {
    bool ip4, ip6, verbose, lax, wrong;
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

/* With --wrong the scripts are the runner's own test: each must fail. */
static void outcome(bool good, const char *what)
{
    bool wanted = good != options.wrong;
    wanted ? passed++ : failed++;
    if (!wanted || options.verbose)
        printf("%s %s\n", wanted ? "ok    " : "FAILED", what);
}

static void family_run(struct script *script, bool ip6)
{
    char why[2000];
    bool good = script_run(script, ip6, !options.lax, why, sizeof why);
    if (good)
        snprintf(why, sizeof why, "%s IPv%d", script->path, ip6 ? 6 : 4);
    outcome(good, why);
}

static void script_file(const char *path)
{
    struct script script = {.path = path, .verbose = options.verbose};
    size_t len;
    char *text = file_read(path, &len);
    if (!text) {
        printf("FAILED %s: cannot be read\n", path);
        failed++;
        return;
    }
    if (!script_parse(text, len, &script)) {
        char what[1000];
        snprintf(what, sizeof what, "%s:%s", path, script.error);
        outcome(false, what);
    } else {
        if (options.ip4 && script.ip4)
            family_run(&script, false);
        if (options.ip6 && script.ip6)
            family_run(&script, true);
    }
    script_free(&script);
    free(text);
}

static bool is_script(const char *name)
{
    size_t n = strlen(name);
    return n > 4 && strcmp(name + n - 4, ".pkt") == 0;
}

/* A file, or the scripts of a folder and of those in it, by name. */
static void path_run(const char *path, bool named)
{
    struct dirent **names;
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        if (named || is_script(path))
            script_file(path);
        return;
    }
    int n = scandir(path, &names, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char below[4096];
        if (names[i]->d_name[0] != '.' &&
            (size_t)snprintf(below, sizeof below, "%s/%s", path, names[i]->d_name) < sizeof below)
            path_run(below, false);
        free(names[i]);
    }
    if (n >= 0)
        free(names);
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        {"ip4", no_argument, NULL, '4'},     {"ip6", no_argument, NULL, '6'},
        {"lax", no_argument, NULL, 'l'},     {"wrong", no_argument, NULL, 'w'},
        {"verbose", no_argument, NULL, 'v'}, {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "v", longs, NULL)) != -1;) {
        if (c == '4')
            options.ip6 = false;
        else if (c == '6')
            options.ip4 = false;
        else if (c == 'l')
            options.lax = true;
        else if (c == 'w')
            options.wrong = true;
        else if (c == 'v')
            options.verbose = true;
        else
            optind = argc;
    }
    if (optind == argc) {
        fprintf(stderr,
                "usage: %s [--ip4|--ip6] [--lax] [--wrong] [-v] FILE|FOLDER...\n"
                "--lax: packets that a script does not mention are no failure\n"
                "--wrong: every script must fail\n",
                argv[0]);
        return 2;
    }
    for (int i = optind; i < argc; i++)
        path_run(argv[i], true);
    printf("%u passed, %u failed\n", passed, failed);
    return failed || !passed;
}
