# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# The suites of scripts/test: each builds what it needs and prints "N passed, N failed" as its last line.

suites_python() {
    env PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 "$@"
}

suite_check() {
    "$root/scripts/check"
}

# Only the listed targets: nothing else is built under sanitizers.
suite_build_listed() {
    local name=$1 script=$2 targets
    build_setup "$name"
    targets=$(suites_python "$script" --targets "$(build_dir "$name")")
    # shellcheck disable=SC2086 # one word per target
    build_ninja "$name" $targets
}

suite_unit() {
    local script=$root/scripts/lib/suite_unit.py
    suite_build_listed asan "$script"
    suites_python "$script" "$(build_dir asan)"
}

# suite_fuzz SECONDS
suite_fuzz() {
    local script=$root/scripts/lib/suite_fuzz.py
    suite_build_listed fuzz "$script"
    suites_python "$script" "$(build_dir fuzz)" "$1"
}
