# SPDX-License-Identifier: BSD-3-Clause
"""What the suites of scripts/test share: one line per test, counts, programs run with a time limit.

The last line of every suite is "N passed, N failed"; a suite that ran nothing has failed.
"""
import concurrent.futures
import os
import signal
import subprocess
import sys
import tempfile
import time


class Suite:
    def __init__(self):
        self.passed = 0
        self.failed = 0

    def report(self, name, passed, failed, detail="", output=""):
        """One program's outcome; its output is shown when something failed."""
        self.passed += passed
        self.failed += failed
        word = "FAILED" if failed else "ok"
        print(f"  {word:6} {name:32} {detail}", flush=True)
        if failed and output:
            lines = output.rstrip().splitlines()
            if len(lines) > 120:
                lines = lines[:60] + [f"... {len(lines) - 120} lines ..."] + lines[-60:]
            print("\n".join("         | " + line for line in lines), flush=True)

    def finish(self):
        if self.passed + self.failed == 0:
            print("  FAILED nothing was run")
            self.failed = 1
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        sys.exit(1 if self.failed else 0)


class Outcome:
    """How a program ended: status (None: killed at the time limit), output (both streams), seconds."""

    def __init__(self, status, output, seconds):
        self.status = status
        self.output = output
        self.seconds = seconds

    @property
    def ending(self):
        if self.status is None:
            return "killed: took too long"
        if self.status < 0:
            return f"died of {signal.Signals(-self.status).name}"
        return f"exit status {self.status}"


def run(command, seconds, environment=None, directory=None):
    """Run a program in a session of its own; whatever it leaves behind is killed with it."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as out:
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=directory,
                                       env={**os.environ, **(environment or {})}, start_new_session=True)
        except OSError as error:
            return Outcome(127, str(error), 0)
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            status = None
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        out.seek(0)
        text = out.read().decode("utf-8", "replace")
    return Outcome(status, text, time.monotonic() - started)


def run_side_by_side(jobs, work):
    """work(job) for every job, as many at a time as there are processors; yields (job, result) in order."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        yield from zip(jobs, pool.map(work, jobs))
