# SPDX-License-Identifier: BSD-3-Clause
"""scripts/test sim: suite_sim.py RELEASE-PROGRAM SEEDS SANITIZED-PROGRAM SEEDS.

The simulator counts its own seeds (each runs twice and must give the same digest). Here both builds run side by side,
and some seeds must give the same digest in both: a run that depends on addresses or on uninitialised memory differs.
"""
import re
import sys

import suite

SECONDS = 840
SAME = range(1, 7)


def digests(program):
    found = []
    for seed in SAME:
        outcome = suite.run([program, "--seed", str(seed), "--verbose"], SECONDS)
        digest = re.search(r"digest ([0-9a-f]{16})", outcome.output)
        found.append(digest[1] if digest and outcome.status == 0 else f"seed {seed}: {outcome.ending}")
    return found


def main():
    release, seeds, sanitized, fewer = sys.argv[1:]
    result = suite.Suite()
    jobs = [("release", release, seeds), ("sanitizers", sanitized, fewer)]
    for (name, _, count), outcome in suite.run_side_by_side(
            jobs, lambda job: suite.run([job[1], "--seeds", job[2]], SECONDS)):
        print(f"  {name}: {outcome.output.splitlines()[0] if outcome.output else 'said nothing'}")
        counts = re.search(r"^(\d+) passed, (\d+) failed$", outcome.output.strip().splitlines()[-1]) \
            if outcome.output.strip() else None
        passed, failed = (int(counts[1]), int(counts[2])) if counts else (0, 1)
        if outcome.status != 0 and failed == 0:
            failed = 1
        detail = f"{passed + failed:4} runs  {outcome.seconds:6.1f} s"
        if not counts:
            detail += f"  {outcome.ending}"
        result.report(f"{count} seeds, {name}", passed, failed, detail, outcome.output)
    (_, first), (_, second) = suite.run_side_by_side([release, sanitized], digests)
    same = first == second and all(re.fullmatch("[0-9a-f]{16}", digest) for digest in first)
    result.report("the same digests in both builds", int(same), int(not same), f"seeds {SAME[0]} to {SAME[-1]}",
                  f"release    {first}\nsanitizers {second}")
    result.finish()


main()
