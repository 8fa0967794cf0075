# SPDX-License-Identifier: BSD-3-Clause
"""scripts/test unit: run the unit tests of a meson build (python3 suite_unit.py BUILD-DIR; with --targets it only
prints what ninja has to build).

cmocka says "ok" or "not ok" for each test in its TAP form. A crash, a sanitizer's report, a plan that was not
fulfilled or a program without a single test counts as one failed test, with the output shown.
"""
import json
import os
import re
import subprocess
import sys

import suite

ENVIRONMENT = {
    "CMOCKA_MESSAGE_OUTPUT": "TAP",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "ASAN_OPTIONS": "abort_on_error=0:detect_stack_use_after_return=1",
}


def tests_of(build):
    text = subprocess.run(["meson", "introspect", "--tests", build], check=True, capture_output=True, text=True).stdout
    return json.loads(text)


def judge(outcome):
    """(passed, failed, detail)"""
    passed = len(re.findall(r"^ok \d+", outcome.output, re.M))
    failed = len(re.findall(r"^not ok \d+", outcome.output, re.M))
    planned = sum(int(n) for n in re.findall(r"^1\.\.(\d+)", outcome.output, re.M))
    detail = f"{passed + failed:4} tests  {outcome.seconds:5.1f} s"
    if outcome.status != 0 and not failed:
        return passed, 1, f"{detail}  {outcome.ending}"
    if planned == 0 or passed + failed != planned:
        return passed, failed + 1, f"{detail}  {planned} were planned"
    return passed, failed, detail


def main():
    build = sys.argv[-1]
    tests = tests_of(build)
    if "--targets" in sys.argv:
        print("\n".join(sorted({os.path.relpath(test["cmd"][0], build) for test in tests})))
        return
    result = suite.Suite()

    def work(test):
        return suite.run(test["cmd"], 120, {**ENVIRONMENT, **test["env"]}, test["workdir"] or build)

    for test, outcome in suite.run_side_by_side(tests, work):
        passed, failed, detail = judge(outcome)
        result.report(test["name"], passed, failed, detail, outcome.output)
    result.finish()


main()
