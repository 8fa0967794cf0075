# SPDX-License-Identifier: BSD-3-Clause
"""docs/rfc9293.md: each requirement of RFC 9293's appendix B has a row, each row a test that exists or a reason."""
import os
import re

TABLE = "docs/rfc9293.md"
ROWS_MIN = 150
REASON_MIN = 20  # characters of a reason that says something

ROW = re.compile(r"^\| ([A-Z0-9][\w.-]*) \| (.*?) \| (.*) \|$")
TEST = re.compile(r"\b([a-z0-9_]+_test): ([a-z0-9_]+)\b")
FILE = re.compile(r"`((?:tests|dataplane)/[\w./-]+)`(?:: ([a-z0-9_]+))?")
# How a case is put into a cmocka program's list: BOTH(name), cmocka_unit_test(name), TEST(name), ...
LISTED = re.compile(r"\b[A-Za-z_]*(?:BOTH|TEST|unit_test)[A-Za-z_]*\(\s*([a-z0-9_]+)")


def required():
    """The numbers of appendix B."""
    numbers = [f"MUST-{n}" for n in range(1, 70)] + [f"SHLD-{n}" for n in range(1, 32)]
    return numbers + [f"MAY-{n}" for n in range(1, 19)] + ["REC-1"]


class Tests:
    """The cases of each test program, by the name of its source file."""

    def __init__(self, tree):
        self.tree = tree
        self.files = {}  # two folders may have a test of one name
        for path in tree.paths:
            if path.endswith("_test.c"):
                self.files.setdefault(os.path.basename(path)[:-2], []).append(path)
        self.cases = {}

    def has(self, program, case):
        if program not in self.files:
            return False
        if program not in self.cases:
            self.cases[program] = {c for path in self.files[program] for c in LISTED.findall(self.tree.text(path))}
        return case in self.cases[program]


def evidence_findings(tree, tests, evidence):
    """What is wrong with the last column of a row."""
    named = TEST.findall(evidence)
    for program, case in named:
        if not tests.has(program, case):
            yield f"there is no test {program}: {case}"
    files = FILE.findall(evidence)
    for path, case in files:
        if path not in tree.paths:
            yield f"there is no file {path}"
        elif case and case not in tree.text(path):
            yield f"{path} has no {case}"
    if evidence.startswith("**not**:"):
        if len(evidence) - len("**not**:") < REASON_MIN:
            yield "the reason says nothing"
    elif not named and not files:
        yield "neither a test nor a reason (**not**: ...)"


def check_rfc(tree):
    if TABLE not in tree.paths:
        return [(TABLE, 1, "missing")]
    findings, seen, tests = [], set(), Tests(tree)
    for number, line in enumerate(tree.text(TABLE).splitlines(), 1):
        row = ROW.match(line)
        if not row or row.group(1) == "id":
            continue
        name, _, evidence = row.groups()
        if name in seen:
            findings.append((TABLE, number, f"{name} is there twice"))
        seen.add(name)
        findings += [(TABLE, number, f"{name}: {what}") for what in evidence_findings(tree, tests, evidence)]
    parts = {re.sub(r"[a-z]$", "", name) for name in seen}
    findings += [(TABLE, 1, f"no row for {name}") for name in required() if name not in parts]
    if len(seen) < ROWS_MIN:
        findings.append((TABLE, 1, f"{len(seen)} rows; at least {ROWS_MIN}"))
    return findings
