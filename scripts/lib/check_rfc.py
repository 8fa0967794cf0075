# SPDX-License-Identifier: BSD-3-Clause
"""docs/rfc9293.md: each requirement of RFC 9293's appendix B has a row, each row a test that exists or a reason. docs/bad-input.md:
likewise for each kind of input that was meant to do harm."""
import os
import re

TABLE = "docs/rfc9293.md"
ROWS_MIN = 150
BAD_INPUT = "docs/bad-input.md"
BAD_INPUT_ROWS_MIN = 80
REASON_MIN = 20  # characters of a reason that says something

ROW = re.compile(r"^\| ([A-Z0-9][\w.-]*) \| (.*?) \| (.*) \|$")
CELLS = re.compile(r"(?<= )\|(?= )")
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


def table_findings(tree, tests, table, column, seen):
    """Of each row of a table: `column` holds the evidence. Adds the rows' names to `seen`."""
    for number, line in enumerate(tree.text(table).splitlines(), 1):
        cells = [cell.strip() for cell in CELLS.split(line.strip("|"))]
        if not ROW.match(line) or cells[0] == "id":
            continue
        name = cells[0]
        if name in seen:
            yield table, number, f"{name} is there twice"
        seen.add(name)
        if len(cells) <= column:
            yield table, number, f"{name}: {len(cells)} columns"
            continue
        for what in evidence_findings(tree, tests, cells[column]):
            yield table, number, f"{name}: {what}"


def check_rfc(tree):
    missing = [(table, 1, "missing") for table in (TABLE, BAD_INPUT) if table not in tree.paths]
    if missing:
        return missing
    seen, harm, tests = set(), set(), Tests(tree)
    findings = list(table_findings(tree, tests, TABLE, 2, seen))
    parts = {re.sub(r"[a-z]$", "", name) for name in seen}
    findings += [(TABLE, 1, f"no row for {name}") for name in required() if name not in parts]
    findings += table_findings(tree, tests, BAD_INPUT, 3, harm)
    for table, rows, least in ((TABLE, seen, ROWS_MIN), (BAD_INPUT, harm, BAD_INPUT_ROWS_MIN)):
        if len(rows) < least:
            findings.append((table, 1, f"{len(rows)} rows; at least {least}"))
    return findings
