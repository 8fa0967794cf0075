# SPDX-License-Identifier: BSD-3-Clause
"""scripts/test coverage: suite_coverage.py BUILD-DIR FOLDER PERCENT COMMAND...: run the commands (each one string) on a
build with --coverage, then count the branches of FOLDER's sources that were taken, by gcov.

Not counted: what tg_assert adds (its other way ends the program), tcp_check.c (the oracle itself: its other ways are the
broken stacks that nobody has), test files, and exceptions' arcs, which C does not have. The header's inline functions
count where they were compiled. Prints a table, the branches that were never taken, and one "passed" for each file that
reaches PERCENT, one for the sum.
"""
import collections
import glob
import gzip
import json
import os
import shlex
import subprocess
import sys
import tempfile

import suite

ORACLES = {"tcp_check.c"}


def counters_clear(build):
    for path in glob.glob(f"{build}/**/*.gcda", recursive=True):
        os.unlink(path)


def gcov_records(build, directory):
    """The JSON records of every object that has run."""
    data = [os.path.abspath(path) for path in glob.glob(f"{build}/**/*.gcda", recursive=True)]
    for start in range(0, len(data), 40):
        subprocess.run(["gcov", "--json-format", "--branch-probabilities", *data[start:start + 40]], cwd=directory,
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for path in glob.glob(f"{directory}/*.gcov.json.gz"):
            with gzip.open(path, "rt") as file:
                yield json.load(file)
            os.unlink(path)


def branches_of(build, root, folder):
    """{file: {(line, number): taken}}: the same source in several objects is summed."""
    found = collections.defaultdict(lambda: collections.defaultdict(int))
    prefix = os.path.join(root, folder) + "/"
    with tempfile.TemporaryDirectory() as directory:
        for record in gcov_records(build, directory):
            where = record["current_working_directory"]
            for file in record["files"]:
                path = os.path.normpath(os.path.join(where, file["file"]))
                name = os.path.basename(path)
                if not path.startswith(prefix) or "_test" in name or name.startswith("tcp_trace") or \
                        name.startswith("tcp_pair") or name in ORACLES:
                    continue
                for line in file["lines"]:
                    for number, branch in enumerate(line["branches"]):
                        if not branch["throw"]:
                            found[path][line["line_number"], number] += branch["count"]
    return found


def is_assertion(text, number):
    """A tg_assert may go on for some lines."""
    for back in range(4):
        if number - 1 - back < 0:
            return False
        line = text[number - 1 - back]
        if "tg_assert(" in line:
            return back == 0 or ";" not in "".join(text[number - 1 - back:number - 1])
        if back and line.rstrip().endswith((";", "{", "}")):
            return False
    return False


def main():
    build, folder, percent, *commands = sys.argv[1:]
    root = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
    result = suite.Suite()
    counters_clear(build)
    for command in commands:
        outcome = suite.run(shlex.split(command), 1200)
        if outcome.status != 0:
            result.report(command, 0, 1, outcome.ending, outcome.output[-3000:])
    taken_all = all_all = 0
    for path, branches in sorted(branches_of(os.path.abspath(build), root, folder).items()):
        with open(path, encoding="utf-8") as file:
            text = file.read().split("\n")
        counted = {key: n for key, n in branches.items() if not is_assertion(text, key[0])}
        taken = sum(1 for n in counted.values() if n)
        missing = sorted({line for (line, _), n in counted.items() if not n})
        taken_all, all_all = taken_all + taken, all_all + len(counted)
        share = 100 * taken / len(counted) if counted else 100
        print(f"  {os.path.basename(path):24} {taken:5} of {len(counted):5} branches {share:6.1f} %"
              f"  {'not: ' + ' '.join(map(str, missing)) if missing else ''}")
    share = 100 * taken_all / all_all if all_all else 0
    good = share >= float(percent)
    result.report(f"branches of {folder}", int(good), int(not good),
                  f"{taken_all} of {all_all}: {share:.1f} %, wanted {percent} %", "")
    result.finish()


main()
