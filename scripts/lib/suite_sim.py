# SPDX-License-Identifier: BSD-3-Clause
"""scripts/test sim: suite_sim.py SEEDS RELEASE-PROGRAM [NAME PROGRAM SEEDS]... [--pkt PROGRAM] [--log FILE].

The simulator counts its own seeds (each runs twice in one process and must give the same digest). Other builds of the
same sources, without optimisation and under sanitizers, play the first of them again, once, and must give the same
digests: a run that depends on addresses, on uninitialised memory or on what the compiler makes of it differs.
--pkt: the .pkt runner must bring the stack to do the same again from scripts that the simulator writes of its runs.
"""
import re
import sys
import tempfile

import suite

SECONDS = 840
SECONDS_PER_SEED = 0.5  # of a long run
REPLAYED_RUNS = 30  # both sides of each
# The others have met what a script cannot say: no buffer inside of the host, or several connections that waited for the
# neighbour's hardware address.
REPLAYED_PERCENT = 75


def digests_of(output):
    return dict(re.findall(r"^digest (\d+ \w+) ([0-9a-f]{16})$", output, re.MULTILINE))


def counts_of(outcome):
    lines = outcome.output.strip().splitlines()
    counts = re.search(r"^(\d+) passed, (\d+) failed$", lines[-1]) if lines else None
    passed, failed = (int(counts[1]), int(counts[2])) if counts else (0, 1)
    if outcome.status != 0 and failed == 0:
        failed = 1
    return passed, failed, "" if counts else f"  {outcome.ending}"


def without_digests(output):
    return re.sub(r"^digest .*\n", "", output, flags=re.MULTILINE)


def report_run(result, name, outcome):
    passed, failed, ending = counts_of(outcome)
    told = without_digests(outcome.output)
    ratio = re.search(r"([\d.]+ s virtual), (\d+ x)", told)
    detail = f"{passed + failed:4} runs  {outcome.seconds:6.1f} s{ending}"
    if ratio:
        detail += f"  {ratio[2]} real time"
    result.report(name, passed, failed, detail, told)
    return told


def report_same(result, name, seeds, release, other):
    wrong = [seed for seed in other if other[seed] != release.get(seed)]
    missing = seeds - len(other)
    result.report(f"the same digests, {name}", len(other) - len(wrong), len(wrong) + max(missing, 0),
                  f"{seeds} seeds", "\n".join(f"{seed}: {release.get(seed)} and {other[seed]}" for seed in wrong))


def report_replay(result, program, runner):
    """Scripts of passing runs stand for those of failures."""
    with tempfile.TemporaryDirectory() as folder:
        written = suite.run([program, "--scenario", "tcp", "--seed", "1", "--seeds", str(REPLAYED_RUNS), "--scripts",
                             folder], SECONDS)
        outcome = suite.run([runner, folder], SECONDS)
    counts = re.search(r"^(\d+) passed, (\d+) failed$", outcome.output, re.MULTILINE)
    same, other = (int(counts[1]), int(counts[2])) if counts else (0, 1)
    good = written.status == 0 and same + other == 2 * REPLAYED_RUNS and same * 100 >= REPLAYED_PERCENT * (same + other)
    result.report("scripts of runs, replayed", same if good else 0, 0 if good else 1,
                  f"{same} of {same + other} the same to the end", written.output + outcome.output)


def main():
    arguments = sys.argv[1:]
    options = {"--log": None, "--pkt": None}
    for name in options:
        if name in arguments:
            at = arguments.index(name)
            options[name] = arguments[at + 1]
            del arguments[at:at + 2]
    log = options["--log"]
    seeds, program = int(arguments[0]), arguments[1]
    others = [(arguments[i], arguments[i + 1], int(arguments[i + 2])) for i in range(2, len(arguments), 3)]
    limit = max(SECONDS, seeds * SECONDS_PER_SEED)
    result = suite.Suite()
    outcome = suite.run([program, "--seeds", str(seeds), "--digests"], limit)
    told = report_run(result, f"{seeds} seeds, twice each", outcome)
    print(f"  {next((line for line in told.splitlines() if line.startswith('faults:')), 'no faults were counted')}")
    release = digests_of(outcome.output)
    for (name, _, count), outcome in suite.run_side_by_side(others, lambda job: suite.run(
            [job[1], "--seeds", str(job[2]), "--once", "--jobs", "1", "--digests"], limit)):
        report_run(result, f"{count} seeds, {name}", outcome)
        report_same(result, name, count, release, digests_of(outcome.output))
    if options["--pkt"]:
        report_replay(result, program, options["--pkt"])
    if log:
        with open(log, "w", encoding="utf-8") as file:
            file.write(told)
        print(f"  log: {log}")
    result.finish()


main()
