/* SPDX-License-Identifier: BSD-3-Clause
 * tgctl fleet keygen: a new file of the keys that all nodes of a fleet share (contract/secrets.h says its form). Asks
 * nobody: it is carried to the nodes before there is a fleet.
 */
#include "ctrlplane/cli/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define OUT_DEFAULT "/etc/tidegate/secrets"

static bool secret_print(FILE *out, const char *before, const char *after)
{
    uint8_t bytes[16];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return false;
    fputs(before, out);
    for (unsigned i = 0; i < sizeof bytes; i++)
        fprintf(out, "%02x", bytes[i]);
    fputs(after, out);
    explicit_bzero(bytes, sizeof bytes);
    return true;
}

static bool secrets_print(FILE *out)
{
    bool good = true;
    setvbuf(out, NULL, _IONBF, 0); /* no copy stays in stdio's memory */
    fputs("# Keys that all nodes of a fleet share (tgctl fleet keygen). Whoever reads this file "
          "can take over the\n"
          "# fleet's connections: mode 600, and never into a repository. To change the key of a "
          "use, put the new\n"
          "# one behind the old one on all nodes, then in front on all, then take the old one out, "
          "each time with\n"
          "# a restart of tidegate-ctl (ticket: of tidegate). Ids of syn keys are even and odd in "
          "turn.\n",
          out);
    good &= secret_print(out, "owner  = ( { id = 1; secret = \"", "\"; } );\n");
    good &= secret_print(out, "syn    = ( { id = 1; secret = \"", "\"; } );\n");
    good &= secret_print(out, "tunnel = ( { id = 1; secret = \"", "\"; } );\n");
    good &= secret_print(out, "ticket = ( { id = 1; secret = \"", "\"; } );\n");
    good &= secret_print(out, "bucket = \"", "\"; # never changes\n");
    return good && !ferror(out);
}

enum exit_code command_fleet_keygen(const struct client *client, int argc, char **argv)
{
    struct arg args[] = {{.name = "--out"}, {0}};
    if (!args_read(argc, argv, args, NULL, 0, 0))
        return TGCTL_USAGE;
    const char *path = args_value(args, "--out") ? args_value(args, "--out") : OUT_DEFAULT;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
    if (!out) {
        fprintf(stderr, "tgctl: %s: %s\n", path,
                errno == EEXIST ? "is there already, and a fleet may live by it: not overwritten"
                                : strerror(errno));
        return TGCTL_REFUSED;
    }
    bool good = secrets_print(out) && fsync(fd) == 0;
    good &= fclose(out) == 0;
    if (!good) {
        fprintf(stderr, "tgctl: %s: cannot be written: %s\n", path, strerror(errno));
        unlink(path);
        return TGCTL_REFUSED;
    }
    if (!client->json)
        printf("%s: new keys; carry it to every node of the fleet and name it in node.secrets\n",
               path);
    return TGCTL_OK;
}
