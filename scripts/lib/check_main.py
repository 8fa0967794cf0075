# SPDX-License-Identifier: BSD-3-Clause
"""scripts/check: runs the checks one after the other and counts them."""
import argparse
import sys
import time

import check_floors
import check_objects
import check_rfc
import check_selftest
import check_source
import check_tools
from check_tree import Tree

# name -> function(tree) that returns [(file, line, what)]
CHECKS = {
    "format": check_tools.check_format,
    "floors": check_floors.check_floors,
    "vendor headers": check_floors.check_vendors,
    "top level": check_floors.check_top_level,
    "banned calls": check_source.check_banned,
    "pure files": check_source.check_pure,
    "lengths": check_source.check_lengths,
    "licences": check_source.check_licences,
    "dead files": check_source.check_dead,
    "script syntax": check_tools.check_syntax,
    "RFC table": check_rfc.check_rfc,
}


def run(checks, tree):
    """Print findings and a line a check; returns how many checks failed."""
    failed = 0
    for name, function in checks.items():
        started = time.monotonic()
        findings = function(tree)
        for path, line, what in findings:
            print(f"{path}:{line}: {what}")
        failed += bool(findings)
        word = f"FAIL, {len(findings)} findings" if findings else "ok"
        print(f"check: {name}: {word} ({time.monotonic() - started:.1f} s)", flush=True)
    print(f"{len(checks) - failed} passed, {failed} failed")
    return failed


def main():
    parser = argparse.ArgumentParser(prog="scripts/check", description=__doc__)
    parser.add_argument("--root", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--nm", metavar="BUILD", help="also check the objects of a build without sanitizers")
    parser.add_argument("--selftest", action="store_true", help="prove that each check can fail")
    options = parser.parse_args()
    if options.selftest:
        return check_selftest.run(options.root, CHECKS)
    checks = dict(CHECKS)
    if options.nm:
        checks["objects"] = lambda tree: check_objects.check_objects(tree, options.nm)
    return 1 if run(checks, Tree(options.root)) else 0


if __name__ == "__main__":
    sys.exit(main())
