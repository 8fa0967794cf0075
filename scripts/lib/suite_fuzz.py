# SPDX-License-Identifier: BSD-3-Clause
"""scripts/test fuzz-smoke: every libFuzzer target for a short while (python3 suite_fuzz.py BUILD-DIR SECONDS; with
--targets it only prints what ninja has to build).

alarm_fuzz fails on purpose: it passes when libFuzzer finds its crash, so that a fuzzer which can find nothing is
noticed. Seeds lie in tests/fuzz/corpus/TARGET: a few small files, put there by hand when they reach what chance does
not. What is found is written into BUILD-DIR/artifacts, never into the tree.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import suite

ALARM = "alarm_fuzz"
ALARM_WORDS = "the alarm rings"
# Inputs that are programs go deep by their steps, not by size; and the entropic schedule would cost a third of the time.
OPTIONS = {name: ["-max_len=512", "-entropic=0"] for name in ("tcp_fuzz", "tcp_pair_fuzz")}
TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def targets_of(build):
    text = subprocess.run(["meson", "introspect", "--targets", build], check=True, capture_output=True, text=True).stdout
    return {t["name"]: t["filename"][0] for t in json.loads(text)
            if t["type"] == "executable" and t["name"].endswith("_fuzz")}


def fuzz(build, name, program, seconds):
    artifacts = os.path.join(build, "artifacts", name)
    os.makedirs(artifacts, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tidegate-fuzz-") as found:
        command = [program, "-seed=1", f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=3000",
                   "-print_final_stats=1", f"-artifact_prefix={artifacts}/", found]
        command[1:1] = OPTIONS.get(name, [])
        seeds = os.path.join(TREE, "tests/fuzz/corpus", name)
        if os.path.isdir(seeds):
            command.append(seeds)
        return suite.run(command, seconds + 60, {"UBSAN_OPTIONS": "print_stacktrace=1"})


def judge(name, outcome):
    """(passed, detail)"""
    runs = re.findall(r"stat::number_of_executed_units: *(\d+)", outcome.output)
    runs = int(runs[-1]) if runs else 0
    detail = f"{runs:9} runs  {outcome.seconds:5.1f} s"
    if name == ALARM:
        rang = outcome.status not in (0, None) and ALARM_WORDS in outcome.output
        return rang, detail + ("  found the crash that is there on purpose" if rang else "  did not find its crash")
    if outcome.status != 0:
        return False, f"{detail}  {outcome.ending}"
    if runs < 100:
        return False, f"{detail}  too few to say anything"
    return True, detail


def main():
    if sys.argv[1] == "--targets":
        build = sys.argv[2]
        print("\n".join(sorted(os.path.relpath(path, build) for path in targets_of(build).values())))
        return
    build, seconds = sys.argv[1], int(sys.argv[2])
    targets = targets_of(build)
    shutil.rmtree(os.path.join(build, "artifacts"), ignore_errors=True)
    result = suite.Suite()
    if ALARM not in targets:
        result.report(ALARM, 0, 1, "is not built")
    names = sorted(targets)
    for name, outcome in suite.run_side_by_side(names, lambda n: fuzz(build, n, targets[n], seconds)):
        passed, detail = judge(name, outcome)
        result.report(name, int(passed), int(not passed), detail, outcome.output)
    result.finish()


main()
