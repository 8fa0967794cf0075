# SPDX-License-Identifier: BSD-3-Clause
"""What a source file may hold: calls, lengths, a licence line; and that somebody uses it."""
import os
import re

from check_floors import Floors

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
SPDX = re.compile(r"SPDX-License-Identifier: (BSD-3-Clause|\(?GPL-2\.0(-only)? (OR|or) BSD-[23]-Clause\)?)")

# No C file may call these: no bound, no error, or a shell.
BANNED = ("strcpy strcat stpcpy sprintf vsprintf gets strtok atoi atol atoll atof system alloca rand srand "
          "tmpnam mktemp setjmp longjmp").split()

# A pure file may call these only in a function that is cold by its name.
MEMORY = "malloc calloc realloc reallocarray aligned_alloc posix_memalign free strdup strndup".split()
COLD = re.compile(r"_(create|init|destroy|free|open|close)$")

# A pure file may not call these at all.
IMPURE = ("time clock clock_gettime gettimeofday random random_r drand48 getrandom getentropy arc4random "
          "printf fprintf vprintf vfprintf puts fputs putchar perror syslog fopen fwrite fread "
          "log_line log_error log_warn log_info log_debug "
          "read write readv writev send sendto sendmsg recv recvfrom recvmsg socket ioctl mmap munmap open close "
          "poll epoll_wait select sleep usleep nanosleep sched_yield syscall getenv fork execve exit").split()


def calls(names):
    """A call of one of the names: not a member, not a longer name."""
    return re.compile(r"(?<![\w.])(?<!->)(" + "|".join(names) + r")\s*\(")


BANNED_CALL = calls(BANNED)
MEMORY_CALL = calls(MEMORY)
IMPURE_CALL = calls(IMPURE)
PTHREAD_CALL = re.compile(r"\b(pthread_\w+|mtx_\w+|thrd_\w+|_Thread_local|thread_local|__thread)\b")


def check_banned(tree):
    findings = []
    for path in tree.c_files():
        for number, line in enumerate(tree.code(path).split("\n"), 1):
            for match in BANNED_CALL.finditer(line):
                findings.append((path, number, f"{match.group(1)}() is banned"))
    return findings


def pure_body_findings(path, function):
    findings = []
    cold = COLD.search(function.name)
    for number, line in function.body:
        for pattern in (IMPURE_CALL, PTHREAD_CALL):
            for match in pattern.finditer(line):
                findings.append((path, number, f"{match.group(1)} in {function.name}: this file is pure "
                                               "(docs/ARCHITECTURE.md)"))
        for match in () if cold else MEMORY_CALL.finditer(line):
            findings.append((path, number, f"{match.group(1)}() in {function.name}: only functions named _create, _init, "
                                           "_destroy, _free, _open or _close may allocate here"))
    return findings


def check_pure(tree):
    """Above io/: no clock, randomness, locks, output or system calls; memory in cold functions only."""
    floors = Floors(tree)
    findings = []
    for path in tree.c_files():
        if floors.pure(path) and not tree.is_test(path):
            for function in tree.functions(path):
                findings += pure_body_findings(path, function)
    return findings


def check_lengths(tree):
    findings = []
    for path in sorted(set(tree.c_files() + tree.scripts())):
        lines = tree.text(path).count("\n")
        if lines > FILE_LINES_MAX:
            findings.append((path, lines, f"{lines} lines; {FILE_LINES_MAX} are allowed"))
    for path in tree.c_files():
        for function in tree.functions(path):
            length = function.last - function.first + 1
            if length > FUNCTION_LINES_MAX:
                findings.append((path, function.first, f"{function.name} has {length} lines; "
                                                       f"{FUNCTION_LINES_MAX} are allowed"))
    return findings


def check_licences(tree):
    sources = set(tree.c_files() + tree.scripts() + tree.ending("meson.build", "meson_options.txt"))
    findings = []
    for path in sorted(sources):
        head = "\n".join(tree.text(path).split("\n")[:5])
        if path != "meson_options.txt" and not SPDX.search(head):
            findings.append((path, 1, "no SPDX-License-Identifier line in the first 5 lines"))
    return findings


def named_in_build(name, build):
    """Is a source named in a meson.build's text, whole or as 'stem' + '_rest.c'?"""
    if re.search(r"['/]" + re.escape(name) + r"'", build):
        return True
    return any(f"'{name[:i]}'" in build and f"'{name[i:]}'" in build for i in range(1, len(name)))


def unnamed_sources(tree):
    """Test code is told from product by the lists of libraries and programs: those name their sources in place."""
    for build, line, names in tree.build_targets():
        if not names and build != "meson.build":  # there: the loops over unit_tests and fuzz_targets
            yield build, line, "names no source in place: scripts/check cannot tell product from test"


def unbuilt(tree):
    builds = "\n".join(tree.text(p) for p in tree.ending("meson.build"))
    for path in tree.ending(".c"):
        own = os.path.join(os.path.dirname(path), "meson.build")
        build = tree.text(own) if own in tree.paths else builds
        name = os.path.basename(path)
        if not named_in_build(name, build) and not named_in_build(name, builds):
            yield path, 1, "no meson.build names this file"


def unincluded(tree):
    included = {name for path in tree.c_files() for _, kind, name in tree.includes(path) if kind == '"'}
    for path in tree.ending(".h"):
        short = path[len("dataplane/"):] if path.startswith("dataplane/") else path
        if path not in included and short not in included:
            yield path, 1, "no file includes this header"


SOURCED_BY_LOOP = re.compile(r"/\$\{?\w+\}?\.sh")  # for part in ui build; do . lib/$part.sh


def mentions(name, wanted, text):
    """Does a text call, import or document the script? `wanted` is the pattern of a plain mention."""
    if re.search(wanted, text):
        return True
    stem = name[:-3] if name.endswith(".sh") else None
    return bool(stem and SOURCED_BY_LOOP.search(text) and re.search(r"\b" + re.escape(stem) + r"\b", text))


def unmentioned(tree):
    """Scripts: somebody must call, import or document them. pytest finds test_*.py and conftest.py by itself."""
    places = {p: tree.text(p) for p in tree.paths
              if p in tree.scripts() or p.endswith((".md", ".build", ".service", ".txt", ".yml")) or p.startswith(".ci/")}
    for path in tree.scripts():
        name = os.path.basename(path)
        if re.match(r"(test_.*|conftest)\.py$", name) or path.startswith("."):
            continue
        if name.endswith(".py"):
            wanted = r"\b" + re.escape(name[:-3]) + r"\b"
        elif name.endswith(".sh"):
            wanted = r"\b" + re.escape(name)
        else:
            wanted = re.escape("/".join(path.split("/")[-2:])) + r"\b"
        if not any(mentions(name, wanted, text) for place, text in places.items() if place != path):
            yield path, 1, "no script, document or build file mentions this script"


def check_dead(tree):
    return list(unnamed_sources(tree)) + list(unbuilt(tree)) + list(unincluded(tree)) + list(unmentioned(tree))
