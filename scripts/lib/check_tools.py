# SPDX-License-Identifier: BSD-3-Clause
"""Checks that another program does: clang-format, bash -n, Python's own parser."""
import concurrent.futures
import os
import re
import shutil
import subprocess

FORMAT_VERSION = "14"
FILES_A_CALL = 24
FORMAT_LINE = re.compile(r"^(.+?):(\d+):\d+: (?:error|warning): (.*)$")


def format_some(tree, paths):
    done = subprocess.run(["clang-format", "--dry-run", "-Werror", *paths], cwd=tree.root,
                          capture_output=True, text=True, check=False)
    found = {}
    for line in done.stderr.split("\n"):
        match = FORMAT_LINE.match(line)
        if match and match.group(1) not in found:  # the first place of a file is enough
            found[match.group(1)] = (match.group(1), int(match.group(2)), "not formatted: clang-format -i")
    if done.returncode and not found:
        return [(paths[0], 1, f"clang-format failed: {done.stderr.strip()[:200]}")]
    return list(found.values())


def check_format(tree):
    if not shutil.which("clang-format"):
        return [("scripts/packages.txt", 1, "clang-format is not installed (apt install clang-format)")]
    version = subprocess.run(["clang-format", "--version"], capture_output=True, text=True,
                             check=True).stdout.strip()
    if f"version {FORMAT_VERSION}." not in version:
        return [(".clang-format", 1, f"needs clang-format {FORMAT_VERSION}, this is: {version}")]
    paths = tree.c_files()
    parts = [paths[i:i + FILES_A_CALL] for i in range(0, len(paths), FILES_A_CALL)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return sorted(f for part in pool.map(lambda p: format_some(tree, p), parts) for f in part)


def python_finding(tree, path):
    try:
        compile(tree.text(path), path, "exec")
    except SyntaxError as error:
        return path, error.lineno or 1, f"Python: {error.msg}"
    return None


def shell_finding(tree, path):
    done = subprocess.run(["bash", "-n", path], cwd=tree.root, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    match = re.search(r"line (\d+): (.*)", done.stderr)
    return path, int(match.group(1)) if match else 1, f"bash: {match.group(2) if match else done.stderr.strip()}"


def check_syntax(tree):
    findings = []
    for path in tree.scripts():
        kind = tree.interpreter(path)
        finding = None
        if kind.startswith("python"):
            finding = python_finding(tree, path)
        elif kind in ("bash", "sh"):
            finding = shell_finding(tree, path)
        if finding:
            findings.append(finding)
    return findings
