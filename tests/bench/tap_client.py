# SPDX-License-Identifier: BSD-3-Clause
"""Client half of http.keepalive_100b_tap: runs in the client's namespace under scripts/run, loads the
appliance with wrk and writes the worker's busy microseconds per request to a file."""
import json
import os
import subprocess
import sys

from http_rows import wrk


def counters():
    out = subprocess.run(["tgctl", "-s", os.environ["TIDEGATE_SOCKET"], "stats", "-a", "-o", "json"],
                         capture_output=True, text=True, check=True).stdout
    return json.loads(out)["counters"]


def main():
    seconds, result = int(sys.argv[1]), sys.argv[3]
    with open(os.path.join(os.environ["TIDEGATE_ORIGIN_DIR"], "100"), "w") as f:
        f.write("7".rjust(100, "0"))
    url = os.environ["TIDEGATE_URL"] + "/100"
    try:
        wrk(url, 1)
        before = counters()
        wrk(url, seconds)
        after = counters()
    except SystemExit:
        print(json.dumps(counters(), indent=1))
        raise
    requests = after["http_responses"] - before["http_responses"]
    busy = after["worker_busy_ns"] - before["worker_busy_ns"]
    with open(result, "w") as f:
        json.dump({"us_per_request": busy / requests / 1000,
                   "requests_per_second": requests / seconds}, f)


main()
