# SPDX-License-Identifier: BSD-3-Clause
"""scripts/tour: plays the article's chapters on the running fleet. Exit 0: every expectation held; 1: one did not."""
import importlib
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
CHAPTERS = ["chapter_1_anycast", "chapter_2_xdp", "chapter_3_proxy", "chapter_4_keyless", "chapter_5_early_data",
            "chapter_6_bypass", "chapter_7_appliance"]
USAGE = """usage: sudo scripts/run --fleet -- scripts/tour [CHAPTER NUMBER]...

Plays the seven chapters of the article on the fleet, or those named, each experiment with its control, and prints what
happened with and without tidegate, and a table of it all. Exit status 0 only when every expectation held."""


def main(arguments):
    if not all(word in "1234567" and len(word) == 1 for word in arguments):
        print(USAGE)
        return 0 if arguments in (["-h"], ["--help"]) else 2
    if "TIDEGATE_FLEET" not in os.environ:
        print("scripts/tour needs the running fleet: sudo scripts/run --fleet -- scripts/tour", file=sys.stderr)
        return 2
    import fleet
    import frame
    there = fleet.Fleet()
    there.both_serve()
    chapters = []
    for name in CHAPTERS:
        if not arguments or name[8] in arguments:
            chapter = frame.Chapter(importlib.import_module(name))
            chapter.play(there)
            chapters.append(chapter)
    frame.table_print(chapters)
    passed, failed = frame.counts(chapters)
    print(f"\n{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
