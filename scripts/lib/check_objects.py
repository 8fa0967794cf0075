# SPDX-License-Identifier: BSD-3-Clause
"""What the objects of a build prove about pure files (scripts/check --nm BUILD): the compiler cannot be talked round by a
macro or an inline function. An object of a pure file refers only to our own symbols and to functions that compute, and
holds no variable."""
import os
import re
import subprocess

from check_floors import Floors

SYMBOL = re.compile(r"^[0-9a-f]+ .{7} (\S+)\t[0-9a-f]+ +(?:\.\w+ +)?(\S+)$")
OBJECT = re.compile(r"^(.*\.o): +file format")
MUTABLE = re.compile(r"^(\.data(?!\.rel\.ro)|\.bss|\.tdata|\.tbss|\.lbss|\*COM\*)")

# They compute, or end the program for tg_assert. Memory is judged in the source, by function.
COMPUTES = re.compile(
    r"^(_?_?(mem(cpy|move|set|cmp|chr|rchr|mem|pcpy)|str(len|nlen|cmp|ncmp|casecmp|ncasecmp|chr|chrnul|rchr|str|"
    r"spn|cspn|pbrk)|v?snprintf)(_chk)?|bcmp|qsort|bsearch|inet_(pton|ntop)|abort|_GLOBAL_OFFSET_TABLE_|"
    r"__stack_chk_fail|__tls_get_addr|(m|c|re)alloc|reallocarray|aligned_alloc|posix_memalign|free|strn?dup)$")
# Hyperscan is the named exception among libraries: waf/ scans with it.
LIBRARIES = {"waf": re.compile(r"^hs_\w+$")}
SANITIZED = re.compile(r"^__(asan|ubsan|tsan|msan)_")


class Object:
    def __init__(self, source):
        self.source = source  # path in the tree
        self.defined, self.wanted, self.mutable = set(), set(), set()


def library_objects(tree, build):
    """path of the .o -> path of its source, for the objects of our libraries."""
    found = {}
    for folder, _, files in os.walk(build):
        if not re.match(r"lib.*\.a\.p$", os.path.basename(folder)):
            continue
        below = os.path.relpath(os.path.dirname(folder), build)
        for name in files:
            source = os.path.join(below, name[:-2])
            if name.endswith(".o") and source in tree.paths:
                found[os.path.join(folder, name)] = source
    return found


def read_objects(paths):
    """Symbols of all objects, by objdump in one call."""
    text = subprocess.run(["objdump", "-t", *sorted(paths)], capture_output=True, text=True, check=True).stdout
    objects = {}
    current = None
    for line in text.split("\n"):
        match = OBJECT.match(line)
        if match:
            current = objects[match.group(1)] = Object(paths[match.group(1)])
            continue
        match = SYMBOL.match(line)
        if not match:
            continue
        section, name = match.groups()
        if section == "*UND*":
            current.wanted.add(name)
            continue
        current.defined.add(name)
        if MUTABLE.match(section) and not name.startswith("."):
            current.mutable.add(name)
    return list(objects.values())


def object_findings(item, ours, logs):
    """ours: symbols that our libraries define; logs: those of base/log.c, which pure files may not call."""
    library = LIBRARIES.get(item.source.split("/", 1)[0])
    for name in sorted(item.wanted):
        if SANITIZED.match(name):
            yield item.source, 1, "was built with a sanitizer: --nm needs a build without"
            return
        known = (name in ours and name not in logs) or COMPUTES.match(name)
        if not known and not (library and library.match(name)):
            yield item.source, 1, f"its object calls {name}: this file is pure (docs/ARCHITECTURE.md)"
    for name in sorted(item.mutable):
        yield item.source, 1, f"its object holds the variable {name}: no mutable globals, no thread-locals"


def check_objects(tree, build):
    paths = library_objects(tree, build)
    if not paths:
        return [(build, 1, "holds no objects of our libraries: build first")]
    objects = read_objects(paths)
    floors = Floors(tree)
    ours = {name for item in objects for name in item.defined}
    logs = {name for item in objects if item.source == "base/log.c" for name in item.defined}
    pure = [item for item in objects if floors.pure(item.source)]
    if not pure:
        return [(build, 1, "holds no object of a pure file: build first")]
    return sorted(f for item in pure for f in object_findings(item, ours, logs))
