# SPDX-License-Identifier: BSD-3-Clause
"""suite_programs.py COMMAND...: run commands (each one string) one after the other; each counts for itself in its last
line, "N passed, N failed". A command without such a line, or with a status that contradicts it, is one failure.
"""
import re
import shlex
import sys

import suite

SECONDS = 840


def main():
    result = suite.Suite()
    for command in sys.argv[1:]:
        outcome = suite.run(shlex.split(command), SECONDS)
        lines = outcome.output.strip().splitlines()
        counts = re.search(r"^(\d+) passed, (\d+) failed$", lines[-1]) if lines else None
        passed, failed = (int(counts[1]), int(counts[2])) if counts else (0, 1)
        if (outcome.status != 0) != (failed > 0):
            failed += 1
        print("\n".join(f"    {line}" for line in lines[:-1][-40:]))
        name = " ".join(word.rsplit("/", 1)[-1] for word in command.split())
        result.report(name, passed, failed, f"{passed + failed:6} {outcome.seconds:5.1f} s {outcome.ending}", "")
    result.finish()


main()
