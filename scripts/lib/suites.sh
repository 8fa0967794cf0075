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
    build_refresh "$name"
    targets=$(suites_python "$script" --targets "$(build_dir "$name")")
    # shellcheck disable=SC2086 # one word per target
    build_ninja "$name" $targets
}

suite_unit() {
    local script=$root/scripts/lib/suite_unit.py
    suite_build_listed asan "$script"
    suites_python "$script" "$(build_dir asan)"
}

# Our own .pkt scripts, also under sanitizers; the runner's own test (scripts that must fail); the adapter for a stock
# packetdrill, by a loader that makes its calls; and whatever TG_PKT_DIR names, which does not count.
suite_packet() {
    local program scripts tests=$root/tests/packet name=tests/packet/tidegate-pkt
    local loader=tests/packet/tidegate-pktdrill-loader adapter=tests/packet/libtidegate_pktdrill.so
    program=$(build_dir release)/$name
    scripts="$tests/by_state $tests/arrival $tests/options $tests/own"
    build_ninja release $name $loader $adapter
    build_ninja asan $name
    suites_python "$tests/generate" --check
    if [[ -n ${TG_PKT_DIR:-} ]]; then
        echo "-- $TG_PKT_DIR (does not count)"
        "$program" --lax "$TG_PKT_DIR" || true
    fi
    suites_python "$root/scripts/lib/suite_programs.py" "$program $scripts" "$program --wrong $tests/wrong" \
        "$program --lax $tests/lax" \
        "$(build_dir asan)/$name $scripts" "$(build_dir release)/$loader $(build_dir release)/$adapter"
}

# suite_diff SCRIPTS: the same random scripts against our stack and the kernel's; then a spoilt run that must be noticed.
suite_diff() {
    local program
    ui_need_root "scripts/test"
    build_ninja release tests/diff/tidegate-diff
    program=$(build_dir release)/tests/diff/tidegate-diff
    suites_python "$root/scripts/lib/suite_programs.py" "$program --scripts $1" "$program --scripts 200 --selftest"
}

# suite_peer [quick] [WORD...]: our TCP against the kernel's over a bad line, on every kind of port. WORDs pick cases by name.
suite_peer() {
    local quick=()
    ui_need_root "scripts/test"
    if [[ ${1:-} == quick ]]; then
        quick=(quick)
        shift
    fi
    build_ninja release tests/peer/tcp_peer_app tests/peer/lossy_bridge
    build_ninja xdp tests/peer/tcp_peer_app
    suites_python "$root/tests/peer/peer.py" "${quick[@]}" "$(build_dir release)" "$(build_dir xdp)" "$@"
}

# The branches of the TCP stack that unit tests, simulator and scripts take: 90 % at least.
suite_coverage() {
    local dir name targets='' commands=()
    dir=$(build_dir coverage)
    build_refresh coverage
    for name in "$root"/dataplane/tcp/*_test.c; do
        name=$(basename "$name" .c)
        targets+=" $name"
        commands+=("$dir/$name")
    done
    commands+=("$dir/tests/sim/tidegate-sim --seeds 60")
    # shellcheck disable=SC2086 # one word per target
    build_ninja coverage $targets tests/sim/tidegate-sim
    suites_python "$root/scripts/lib/suite_coverage.py" "$dir" dataplane/tcp 90 "${commands[@]}"
}

# suite_fuzz SECONDS
suite_fuzz() {
    local script=$root/scripts/lib/suite_fuzz.py
    suite_build_listed fuzz "$script"
    suites_python "$script" "$(build_dir fuzz)" "$1"
}

# suite_sim SEEDS SEEDS-WITHOUT-OPTIMISATION SEEDS-UNDER-SANITIZERS [LOG]
suite_sim() {
    local build program=tests/sim/tidegate-sim
    build_ninja release "$program" tests/packet/tidegate-pkt
    build_ninja debug "$program"
    build_ninja asan "$program"
    suites_python "$root/scripts/lib/suite_sim.py" "$1" "$(build_dir release)/$program" \
        --pkt "$(build_dir release)/tests/packet/tidegate-pkt" -O0 "$(build_dir debug)/$program" "$2" sanitizers "$(build_dir asan)/$program" "$3" ${4:+--log "$4"}
}

system_pytest=(/usr/bin/python3 -B -m pytest -q --no-header -rN --tb=short -p no:cacheprovider)

# system_part NAME COMMAND...: pytest somewhere; it adds its counts to a file, and no counts are a failure.
system_part() {
    local name=$1 counts line
    shift
    echo "-- $name"
    counts=$(mktemp /tmp/tidegate-counts.XXXXXX)
    env TIDEGATE_COUNTS="$counts" "$@" || true
    line=$(tail -n 1 "$counts")
    rm -f "$counts"
    if [[ ! $line =~ ^[0-9]+\ [0-9]+$ ]]; then
        echo "  FAILED $name did not come to its end"
        line="0 1"
    fi
    system_passed=$((system_passed + ${line% *}))
    system_failed=$((system_failed + ${line#* }))
}

# The same tests on both devices of DPDK, with two workers on one queue; what depends on the port also in the
# build without DPDK; then scripts/run itself.
suite_system() {
    local device tests=$root/tests/system
    ui_need_root "scripts/test"
    system_passed=0 system_failed=0
    build_ninja release dataplane/tidegate ctrlplane/tidegate-ctl ctrlplane/tgctl tls/keyserver/tidegate-keyserver
    for device in tap af-xdp; do
        system_part "$device, 2 workers, 1 queue" \
            "$root/scripts/run" "--$device" --workers 2 --queues 1 --premises --keep-build -- \
            "${system_pytest[@]}" "--rootdir=$tests" "--ignore=$tests/outside" "$tests"
    done
    build_ninja xdp dataplane/tidegate ctrlplane/tidegate-ctl ctrlplane/tgctl
    system_part "xdp, 2 workers, 1 queue" \
        "$root/scripts/run" --xdp --workers 2 --queues 1 --keep-build -- \
        "${system_pytest[@]}" "--rootdir=$tests" "$tests"/test_{pages,transfer,control,bad_packets,syn_flood}.py
    system_part "scripts/run" "${system_pytest[@]}" "--rootdir=$tests" "$tests/outside"
    echo "$system_passed passed, $system_failed failed"
    ((system_failed == 0))
}

# The tour of the article on a fleet of two sites. scripts/run may say where logs are behind the tour's last line.
suite_article() {
    local counts line status=0
    counts=$(mktemp /tmp/tidegate-counts.XXXXXX)
    ui_need_root "scripts/test"
    "$root/scripts/run" --fleet -- "$root/scripts/tour" | tee "$counts" || status=$?
    line=$(tail -n 1 "$counts")
    rm -f "$counts"
    echo "$line"
    return "$status"
}
