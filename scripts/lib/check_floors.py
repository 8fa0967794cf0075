# SPDX-License-Identifier: BSD-3-Clause
"""Who may include whom. The rules are the tables of docs/ARCHITECTURE.md; nothing is repeated here."""
import fnmatch
import os

RULES = "docs/ARCHITECTURE.md"
TESTS = "<tests>"  # in the vendor table: test code, wherever it lies

# ISO C headers, and two that only compute: every file may have them.
FREE_HEADERS = {
    "arpa/inet.h", "assert.h", "ctype.h", "errno.h", "float.h", "inttypes.h", "iso646.h", "limits.h", "math.h",
    "setjmp.h", "stdalign.h", "stdarg.h", "stdatomic.h", "stdbool.h", "stddef.h", "stdint.h", "stdio.h", "stdlib.h",
    "stdnoreturn.h", "string.h", "strings.h", "endian.h", "byteswap.h",
}


class Row:
    def __init__(self, line, cells):
        self.line = line
        self.cells = [c.strip().replace("`", "") for c in cells]


def table(tree, first_cell):
    """Rows of the markdown table whose heading starts with this cell."""
    rows = []
    inside = False
    for number, line in enumerate(tree.text(RULES).split("\n"), 1):
        if not line.startswith("|"):
            inside = False
            continue
        row = Row(number, line.strip().strip("|").split("|"))
        if row.cells[0] == first_cell:
            inside = True
        elif inside and not set(row.cells[0]) <= set("-: "):
            rows.append(row)
    return rows


class Floors:
    """The table `folder | floor | may include | pure | ...`."""

    def __init__(self, tree):
        self.rows = {r.cells[0]: r for r in table(tree, "folder")}

    def folder(self, path):
        """The row that a file belongs to: its own folder's, or one with '/*' above it; '' if there is none."""
        at = os.path.dirname(path)
        if at in self.rows:
            return at
        while at and at + "/*" not in self.rows:
            at = os.path.dirname(at)
        return at and at + "/*"

    def floor(self, folder):
        return int(self.rows[folder].cells[1])

    def allowed(self, folder):
        return self.rows[folder].cells[2].replace(",", " ").split()

    def pure(self, path):
        """True when the file must do without clock, randomness, locks, system calls and late allocation."""
        folder = self.folder(path)
        words = self.rows[folder].cells[3].replace(",", " ").split() if folder else ["no"]
        if words[0] == "except":
            return os.path.relpath(path, folder) not in words[1:]
        return words[0] == "yes"


def check_table(tree):
    """The table itself: known folders, numbers, and includes that only go down."""
    findings = []
    floors = Floors(tree)
    if not floors.rows:
        return [(RULES, 1, "the floors table (folder | floor | may include | pure) is missing")]
    for folder, row in floors.rows.items():
        if not any(p.startswith(folder.rstrip("*/") + "/") for p in tree.paths):
            findings.append((RULES, row.line, f"there is no folder {folder}"))
        if not row.cells[1].isdigit():
            findings.append((RULES, row.line, f"the floor of {folder} is no number"))
            continue
        for name in floors.allowed(folder):
            if name in ("*", "-"):
                continue
            if name not in floors.rows:
                findings.append((RULES, row.line, f"{folder} may include {name}, which has no floor"))
            elif floors.floor(name) >= floors.floor(folder):
                findings.append((RULES, row.line, f"{folder} may include {name}, which is not below it"))
    return findings


def include_finding(tree, floors, path, name):
    """What is wrong with an include of our own header; None: nothing."""
    target = tree.resolve(path, name)
    if not target:
        return f'"{name}" is not in the tree (paths are from the root or from dataplane/)'
    source, below = floors.folder(path), floors.folder(target)
    if not source or not below:
        return f'"{name}": {path if not source else target} lies in a folder that has no floor in {RULES}'
    allowed = floors.allowed(source)
    if source == below or "*" in allowed or below in allowed:
        return None
    if tree.is_test(path) and floors.floor(below) < floors.floor(source):
        return None
    climbs = floors.floor(below) > floors.floor(source)
    what = "climbs" if climbs else "is not allowed"
    return f'include of "{name}" {what}: {source} (floor {floors.floor(source)}) may include ' \
           f'{", ".join(allowed)}'


def check_floors(tree):
    findings = check_table(tree)
    if findings:
        return findings
    floors = Floors(tree)
    for path in tree.c_files():
        for line, kind, name in tree.includes(path):
            problem = include_finding(tree, floors, path, name) if kind == '"' else None
            if problem:
                findings.append((path, line, problem))
    return findings


def vendor_finding(tree, rows, path, name):
    for row in rows:
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in row.cells[0].split()):
            places = row.cells[1].split()
            if any(fnmatch.fnmatchcase(path, place) for place in places) or (TESTS in places and tree.is_test(path)):
                return None
            return f"<{name}> belongs to {row.cells[1]} only"
    return f"<{name}> is not in the vendor header table of {RULES}"


def check_vendors(tree):
    rows = table(tree, "headers")
    if not rows:
        return [(RULES, 1, "the vendor header table (headers | where) is missing")]
    findings = []
    for path in tree.c_files():
        for line, kind, name in tree.includes(path):
            if kind == "<" and name not in FREE_HEADERS:
                problem = vendor_finding(tree, rows, path, name)
                if problem:
                    findings.append((path, line, problem))
    return findings


def check_top_level(tree):
    allowed = {"base", "contract", "ctrlplane", "dataplane", "docs", "scripts", "tests", "tls", "waf",
               "LICENSE", "README.md", "meson.build", "meson_options.txt"}
    names = {p.split("/", 1)[0]: p for p in tree.paths}
    return [(path, 1, f"{name} may not lie at the top level")
            for name, path in sorted(names.items()) if name not in allowed and not name.startswith(".")]
