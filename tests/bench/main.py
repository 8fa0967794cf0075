# SPDX-License-Identifier: BSD-3-Clause
"""scripts/bench's other half: run the named groups of rows (default all), print the table, write
build/bench.json. Exit status 0 when every row was measured."""
import sys

import fleet_rows
import http_rows
import kernel_rows
import l34_rows
import stage_rows
import tcp_rows
import tls_rows
import waf_rows
import xdp_rows
from measure import Rows

GROUPS = {"l34": l34_rows.run, "http": http_rows.run, "http-stages": stage_rows.run, "http-kernel": kernel_rows.run, "xdp": xdp_rows.run,
          "tls": tls_rows.run, "waf": waf_rows.run, "fleet": fleet_rows.run, "tcp": tcp_rows.run}
SETS = {"article": ["tls", "waf", "fleet", "xdp"]}  # one row or more for each chapter of the article


def main():
    names = [group for name in sys.argv[1:] or GROUPS for group in SETS.get(name, [name])]
    unknown = [n for n in names if n not in GROUPS]
    if unknown:
        print(f"bench: no group named {unknown[0]}; there are: {' '.join([*GROUPS, *SETS])}", file=sys.stderr)
        return 2
    rows = Rows()
    for name in names:
        GROUPS[name](rows)
    rows.write()
    return 0


sys.exit(main())
