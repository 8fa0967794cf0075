# SPDX-License-Identifier: BSD-3-Clause
"""The tree that scripts/check looks at: its files, their text, and the little of C that the checks need to understand.

Relies on clang-format's layout (.clang-format): the brace of a function body stands alone in column 0.
"""
import os
import re
import subprocess

C_TOKENS = re.compile(
    r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)
NOT_A_NAME = {"__attribute__", "alignas", "_Alignas", "typeof", "defined"}
BUILD_TARGET = re.compile(r"\b(?:static_library|shared_library|executable)\s*\(")
INCLUDE_ROOTS = ("", "dataplane/")  # meson's include directories
BUILD_FOLDER = re.compile(r"^(build|build-.*|\.git|__pycache__|\.pytest_cache)$")


def blank(match):
    """Spaces in place of a comment or a literal; lines keep their numbers."""
    text = match.group(0)
    if text[0] in "\"'":
        return text[0] + " " * (len(text) - 2) + text[-1]
    return re.sub(r"[^\n]", " ", text)


class Function:
    def __init__(self, name, first, last, body):
        self.name = name
        self.first = first  # line of the signature, from 1
        self.last = last  # line of the closing brace
        self.body = body  # (line number, text without comments and literals)


class Tree:
    """Paths are relative to the root, with '/'."""

    def __init__(self, root):
        self.root = root
        self.paths = sorted(self.list_git() or self.list_disk())
        self.texts = {}
        self.codes = {}
        self.test_code = None

    def list_git(self):
        """Tracked files and new ones that are not ignored; what was deleted is left out."""
        if not os.path.exists(os.path.join(self.root, ".git")):
            return []
        listing = subprocess.run(
            ["git", "-C", self.root, "ls-files", "-z", "-c", "-o", "--exclude-standard"],
            capture_output=True, check=True).stdout.decode()
        return {p for p in listing.split("\0") if p and os.path.isfile(os.path.join(self.root, p))}

    def list_disk(self):
        found = []
        for folder, folders, files in os.walk(self.root):
            folders[:] = [f for f in folders if not BUILD_FOLDER.match(f)]
            for name in files:
                found.append(os.path.relpath(os.path.join(folder, name), self.root))
        return found

    def text(self, path):
        if path not in self.texts:
            with open(os.path.join(self.root, path), "rb") as file:
                self.texts[path] = file.read().decode("utf-8", "replace")
        return self.texts[path]

    def code(self, path):
        """C without comments and without the content of literals."""
        if path not in self.codes:
            self.codes[path] = C_TOKENS.sub(blank, self.text(path))
        return self.codes[path]

    def ending(self, *suffixes):
        return [p for p in self.paths if p.endswith(suffixes)]

    def c_files(self):
        return self.ending(".c", ".h")

    def interpreter(self, path):
        """'bash', 'python3', ... of a script's first line, or by its name; '' for anything else."""
        if path.endswith(".py"):
            return "python3"
        if path.endswith(".sh"):
            return "bash"
        if "." in os.path.basename(path):
            return ""
        first = self.text(path).split("\n", 1)[0]
        words = first[2:].split() if first.startswith("#!") else []
        if not words:
            return ""
        name = os.path.basename(words[0])
        return os.path.basename(words[1]) if name == "env" and len(words) > 1 else name

    def scripts(self):
        return [p for p in self.paths if self.interpreter(p)]

    def includes(self, path):
        """(line, '<' or '"', name) of each include."""
        text = self.text(path)
        return [(text.count("\n", 0, m.start(1)) + 1, m.group(1), m.group(2))
                for m in INCLUDE.finditer(text)]

    def resolve(self, path, name):
        """The path that an include of our own names; None: there is no such file."""
        for root in INCLUDE_ROOTS + (("tests/",) if path.startswith("tests/") else ()):
            if root + name in self.paths:
                return root + name
        return None

    def build_targets(self):
        """(meson.build, line, sources named in place) of each library and program."""
        for build in self.ending("meson.build"):
            text = self.text(build)
            for match in BUILD_TARGET.finditer(text):
                end = closing(text, match.end() - 1)
                names = re.findall(r"'([^'\n]+\.c)'", text[match.end():end])
                folder = os.path.dirname(build)
                yield build, text.count("\n", 0, match.start()) + 1, \
                    {os.path.normpath(os.path.join(folder, n)) for n in names}

    def is_test(self, path):
        """Test code: under tests/, a source that no library and no program holds, and what only such files include."""
        if self.test_code is None:
            self.test_code = self.find_test_code()
        return path in self.test_code

    def find_test_code(self):
        product = set().union(*(names for _, _, names in self.build_targets()))
        tests = {p for p in self.paths if p.startswith("tests/") or (p.endswith(".c") and p not in product)}
        users = {}
        for path in self.c_files():
            for _, kind, name in self.includes(path):
                target = self.resolve(path, name) if kind == '"' else None
                users.setdefault(target, set()).add(path)
        grown = True
        while grown:
            more = {h for h in self.ending(".h") if h not in tests and users.get(h) and users[h] <= tests}
            tests |= more
            grown = bool(more)
        return tests

    def functions(self, path):
        lines = self.code(path).split("\n")
        found = []
        start = None
        for number, line in enumerate(lines):
            if line.rstrip() == "{":
                start = number
            elif line.rstrip() == "}" and start is not None:
                first, name = signature(lines, start)
                body = [(i + 1, lines[i]) for i in range(start, number + 1)]
                found.append(Function(name, first + 1, number + 1, body))
                start = None
        return found


def closing(text, opening):
    """Index of the parenthesis that closes the one at `opening`."""
    depth = 0
    for at in range(opening, len(text)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if depth == 0:
            return at
    return len(text)


def signature(lines, brace):
    """First line (from 0) and name of the function whose body opens at `brace`."""
    first = brace
    while first > 0:
        above = lines[first - 1].strip()
        if not above or above.endswith((";", "}")) or above.startswith("#"):
            break
        first -= 1
    names = re.findall(r"(\w+)\s*\(", " ".join(lines[first:brace]))
    names = [n for n in names if n not in NOT_A_NAME]
    return first, names[0] if names else "?"
