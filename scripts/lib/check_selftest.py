# SPDX-License-Identifier: BSD-3-Clause
"""scripts/check --selftest: a check that cannot fail is a defect. Copies the tree, plants one violation after the other
and expects the right check to name the right file."""
import os
import shutil
import subprocess
import sys
import tempfile

from check_objects import check_objects
from check_tree import Tree

C_HEAD = "/* SPDX-License-Identifier: BSD-3-Clause\n * planted\n */\n"
# In two pieces: a script's name in this file would count as a mention of it.
NEW_SHELL = "scripts/lib/planted" + ".sh"
NEW_PYTHON = "tests/planted_" + "helper.py"
FILLER = "\n".join(f"    x += {i};" for i in range(70))

# what is planted, which check must see it, where, text to add to the file (or the whole of a new one), words of the finding
PLANTED = [
    ("bad layout", "format", "waf/waf_form.c", "static int   planted;\n", "not formatted"),
    ("include that climbs", "floors", "base/hash.c", '#include "contract/tables.h"\n', "climbs"),
    ("include of a neighbour", "floors", "waf/waf_form.c", '#include "tls/tls.h"\n', "is not allowed"),
    ("include of a neighbour in a header", "floors", "waf/waf_form.h", '#include "tcp/tcp.h"\n', "is not allowed"),
    ("include of nothing", "floors", "waf/waf_form.c", '#include "waf/nothing.h"\n', "not in the tree"),
    ("climbing floors table", "floors", "docs/ARCHITECTURE.md",
     "\n| folder | floor | may include | pure |\n|---|---|---|---|\n| base | 0 | waf | yes |\n", "not below it"),
    ("folder without a floor", "floors", "dataplane/planted/x.h",
     C_HEAD + '#include "base/span.h"\n', "has no floor"),
    ("vendor header out of place", "vendor headers", "waf/waf_form.c", "#include <openssl/ssl.h>\n", "belongs to"),
    ("DPDK header out of place", "vendor headers", "dataplane/net/arp.c", "#include <rte_mbuf.h>\n", "belongs to"),
    ("Hyperscan outside waf", "vendor headers", "tls/tls_conn.c", "#include <hs.h>\n", "belongs to"),
    ("POSIX above io", "vendor headers", "dataplane/tcp/tcp.h", "#include <unistd.h>\n", "belongs to"),
    ("unknown header", "vendor headers", "base/hash.c", "#include <boost/any.hpp>\n", "not in the vendor"),
    ("folder at the top", "top level", "planted/x.txt", "x\n", "top level"),
    ("file at the top", "top level", "planted.txt", "x\n", "top level"),
    ("strcpy", "banned calls", "ctrlplane/model.c", "void p(char *a)\n{\n    strcpy(a, a);\n}\n", "strcpy() is banned"),
    ("sprintf", "banned calls", "waf/waf_test.c", "void p(char *a)\n{\n    sprintf(a, a);\n}\n", "sprintf() is banned"),
    ("system", "banned calls", "dataplane/main.c", "void p(void)\n{\n    system(0);\n}\n", "system() is banned"),
    ("atoi", "banned calls", "tls/tls.h", "static inline int p(void)\n{\n    return atoi(0);\n}\n", "atoi() is"),
    ("malloc on the hot path", "pure files", "dataplane/net/arp.c",
     "static void arp_answer2(void)\n{\n    (void)malloc(1);\n}\n", "malloc() in arp_answer2"),
    ("free on the hot path", "pure files", "waf/waf_scan.c",
     "static void scan2(void)\n{\n    free(0);\n}\n", "free() in scan2"),
    ("clock", "pure files", "dataplane/filter/filter.c",
     "void p_create(void)\n{\n    time(0);\n}\n", "time in p_create"),
    ("randomness", "pure files", "dataplane/steer/steer.c",
     "void p(void)\n{\n    getrandom(0, 0, 0);\n}\n", "getrandom in p"),
    ("output", "pure files", "dataplane/http/h1_head.c", 'void p(void)\n{\n    printf("x");\n}\n', "printf in p"),
    ("log line", "pure files", "dataplane/net/nd.c", 'void p(void)\n{\n    log_error("x");\n}\n', "log_error in p"),
    ("lock", "pure files", "base/pool.c", "void p(void)\n{\n    pthread_mutex_lock(0);\n}\n", "pthread_mutex_lock"),
    ("system call in a header", "pure files", "base/span.h",
     "static inline void p(void)\n{\n    read(0, 0, 0);\n}\n", "read in p"),
    ("long function", "lengths", "ctrlplane/model.c", "int p(int x)\n{\n" + FILLER + "\n    return x;\n}\n", "p has 74"),
    ("long file", "lengths", "ctrlplane/model.c", "\n" * 500, "lines; 500"),
    ("long script", "lengths", "scripts/check", "\n" * 500, "lines; 500"),
    ("no licence in C", "licences", "waf/planted.h", "#define X 1\n", "no SPDX"),
    ("no licence in a script", "licences", NEW_SHELL, "#!/bin/bash\ntrue\n", "no SPDX"),
    ("no licence in meson.build", "licences", "docs/meson.build", "x = 1\n", "no SPDX"),
    ("sources behind a variable", "dead files", "waf/meson.build",
     "many = ['waf.c']\nx = static_library('x', many)\n", "names no source"),
    ("cmocka in the product", "vendor headers", "waf/waf_scan.h", "#include <cmocka.h>\n", "belongs to"),
    ("a test that climbs", "floors", "base/hash_test.c", '#include "net/wire.h"\n', "climbs"),
    ("source that nobody builds", "dead files", "waf/planted.c", C_HEAD, "no meson.build"),
    ("header that nobody includes", "dead files", "waf/planted.h", C_HEAD, "no file includes"),
    ("script that nobody calls", "dead files", NEW_SHELL, "#!/bin/bash\n", "mentions this script"),
    ("Python that nobody imports", "dead files", NEW_PYTHON, "x = 1\n", "mentions this script"),
    ("requirement with a test that is not there", "RFC table", "docs/rfc9293.md",
     "| X-1 | planted | `tcp_in_test: planted_case` |\n", "there is no test"),
    ("requirement with neither test nor reason", "RFC table", "docs/rfc9293.md", "| X-2 | planted | soon |\n", "neither a test"),
    ("requirement twice", "RFC table", "docs/rfc9293.md",
     "| MUST-1 | planted | `tcp_in_test: no_ack_no_text` |\n", "is there twice"),
    ("attack with a test that is not there", "RFC table", "docs/bad-input.md",
     "| X-1 | planted | nowhere | `tcp_in_test: planted_case` | nothing |\n", "there is no test"),
    ("attack with neither test nor reason", "RFC table", "docs/bad-input.md",
     "| X-2 | planted | nowhere | soon | nothing |\n", "neither a test"),
    ("broken bash", "script syntax", NEW_SHELL, "#!/bin/bash\nif true; then\n", "bash:"),
    ("broken Python", "script syntax", "tests/planted.py", "def f(:\n", "Python:"),
]

# A pure file whose object tells on it although its source hides the calls; and what must be found.
SNEAKY = C_HEAD + """#include <stdlib.h>
#include "net/wire.h"
long time(long *);
#define LOOKS_HARMLESS time
static long sneaky_count;
long sneaky(void);
long sneaky(void)
{
    return LOOKS_HARMLESS(0) + sneaky_count++;
}
"""


def copy_tree(root, target):
    for path in Tree(root).paths:
        place = os.path.join(target, path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        shutil.copy(os.path.join(root, path), place)


class Plant:
    """One violation in the copy, for the length of a with block."""

    def __init__(self, root, path, text):
        self.place = os.path.join(root, path)
        self.text = text
        self.before = None

    def __enter__(self):
        os.makedirs(os.path.dirname(self.place), exist_ok=True)
        if os.path.exists(self.place):
            with open(self.place, encoding="utf-8") as file:
                self.before = file.read()
        with open(self.place, "w", encoding="utf-8") as file:
            file.write((self.before or "") + self.text)

    def __exit__(self, *_):
        if self.before is None:
            os.remove(self.place)
            if not os.listdir(os.path.dirname(self.place)):
                os.rmdir(os.path.dirname(self.place))
            return
        with open(self.place, "w", encoding="utf-8") as file:
            file.write(self.before)


def planted_is_found(copy, checks, planted):
    """None, or why the planted violation does not count as found."""
    what, check, path, text, words = planted
    function = checks[check]
    before = {(p, w) for p, _, w in function(Tree(copy))}
    if any(p == path and words in w for p, w in before):
        return f"{what}: {path} has this finding already"
    with Plant(copy, path, text):
        after = [(p, line, w) for p, line, w in function(Tree(copy)) if (p, w) not in before]
    if not any(p == path and line > 0 and words in w for p, line, w in after):
        return f"{what}: not found by '{check}' in {path}; new findings: {after[:3]}"
    return None


def objects_are_checked(copy):
    folder = os.path.join(copy, "build", "dataplane", "net", "libnet.a.p")
    os.makedirs(folder)
    with Plant(copy, "dataplane/net/sneaky.c", SNEAKY):
        subprocess.run(["cc", "-c", "-I" + copy, "-I" + os.path.join(copy, "dataplane"), "-fno-builtin",
                        os.path.join(copy, "dataplane/net/sneaky.c"), "-o", os.path.join(folder, "sneaky.c.o")],
                       check=True)
        words = " / ".join(w for _, _, w in check_objects(Tree(copy), os.path.join(copy, "build")))
    shutil.rmtree(os.path.join(copy, "build"))
    empty = check_objects(Tree(copy), os.path.join(copy, "build"))
    missing = [w for w in ("calls time:", "the variable sneaky_count") if w not in words]
    if missing:
        return f"objects: {missing} not found in: {words}"
    return None if empty else "objects: a build without objects passes"


def exit_code_says_it(root, copy):
    """The program as users call it: a violation gives exit 1, a line FILE:LINE: what, and the count last."""
    shutil.copytree(os.path.join(root, "scripts"), os.path.join(copy, "scripts"), dirs_exist_ok=True)
    with Plant(copy, "planted.txt", "x\n"):
        done = subprocess.run([os.path.join(copy, "scripts/check")], capture_output=True, text=True, check=False)
    lines = done.stdout.strip().split("\n")
    if done.returncode != 1 or "planted.txt:1: planted.txt may not lie at the top level" not in lines:
        return f"exit code {done.returncode}, last line {lines[-1]}"
    return None if lines[-1].endswith(" failed") and "passed, " in lines[-1] else f"last line: {lines[-1]}"


def run(root, checks):
    """Returns the exit code."""
    failed = 0
    with tempfile.TemporaryDirectory(prefix="tidegate-check-") as copy:
        copy_tree(root, copy)
        proofs = [(p[0], lambda p=p: planted_is_found(copy, checks, p)) for p in PLANTED]
        proofs.append(("objects", lambda: objects_are_checked(copy)))
        proofs.append(("exit code", lambda: exit_code_says_it(root, copy)))
        for name, proof in proofs:
            problem = proof()
            failed += bool(problem)
            print(f"selftest: {name}: {'FAIL: ' + problem if problem else 'found'}", flush=True)
        unused = set(checks) - {p[1] for p in PLANTED}
        for name in sorted(unused):
            print(f"selftest: nothing is planted for the check '{name}'", file=sys.stderr)
            failed += 1
    print(f"{len(proofs) - failed} passed, {failed} failed")
    return 1 if failed else 0
