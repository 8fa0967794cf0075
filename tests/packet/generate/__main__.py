# SPDX-License-Identifier: BSD-3-Clause
"""python3 tests/packet/generate [--check]: write the scripts that follow from tables, to tests/packet/by_state/, arrival/
and options/. With --check: say which files differ from what would be written, and end with status 1.
"""
import os
import sys

import arrival
import handshake
import options
import synchronised
import timewait
from script import STATES

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)


def file_name(state):
    return state.lower().replace("-", "_")


def scripts():
    """(path below tests/packet, text)"""
    for folder, what, preamble, cases in handshake.GROUPS:
        for name, why, lines in cases:
            family = ""
            if lines.startswith("--"):
                family, lines = lines.split("\n", 1)
                family += "\n"
            yield f"by_state/{folder}/{name}.pkt", f"{what}: {why}", family + preamble + lines
    for state in STATES[:-1]:
        for name, (why, make) in synchronised.EVENTS.items():
            made = make(state)
            if made:
                lines, answer, after = made
                yield f"by_state/{file_name(state.name)}/{name}.pkt", f"{state.name}: {why}", \
                    state.path + lines + answer + after
    for name, why, text in timewait.cases():
        yield f"by_state/time_wait/{name}.pkt", f"TIME-WAIT: {why}", text
    for name, why, text in arrival.cases():
        yield f"arrival/{name}.pkt", why, text
    for name, why, text in options.cases():
        yield f"options/{name}.pkt", why, text


def main():
    check, differ = "--check" in sys.argv, []
    for path, why, text in scripts():
        text = f"// {why}. Written by tests/packet/generate.\n{text}"
        path = os.path.join(ROOT, path)
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                if file.read() == text:
                    continue
        differ.append(os.path.relpath(path, ROOT))
        if not check:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
    for path in differ:
        print(path)
    sys.exit(1 if check and differ else 0)


main()
