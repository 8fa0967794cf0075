# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# The meson set-ups, by name. Sourced by scripts/build, run and test.
#
#   release   build/         what runs
#   debug     build-debug/
#   asan      build-asan/    address and undefined behaviour sanitizers: unit tests, simulator
#   coverage  build-coverage/ gcov: scripts/test coverage
#   fuzz      build-fuzz/    clang, libFuzzer
#   xdp       build-xdp/     what runs, without DPDK: AF_XDP and a program in the driver
#
# Compilers share the machine with whatever else runs on it: never more jobs than processors.

build_dir() {
    case $1 in
    release) printf '%s/build' "$root" ;;
    *) printf '%s/build-%s' "$root" "$1" ;;
    esac
}

build_options() {
    case $1 in
    release) echo --buildtype=release ;;
    debug) echo --buildtype=debug ;;
    asan) echo --buildtype=debugoptimized -Db_sanitize=address,undefined ;;
    # -O1 does not see that what is passed for n entries has n entries: a warning for it is a guess
    coverage) echo --buildtype=debug -Db_coverage=true -Doptimization=1 -Dc_args=-Wno-maybe-uninitialized ;;
    fuzz) echo --buildtype=debugoptimized -Dfuzz=true ;;
    xdp) echo --buildtype=release -Dio=xdp ;;
    *) ui_fail "there is no build named $1 (release, debug, asan, coverage, fuzz, xdp)" ;;
    esac
}

# build_setup NAME: configure once. A set-up that broke in the middle is made anew.
build_setup() {
    local dir log
    dir=$(build_dir "$1")
    if [[ -f $dir/build.ninja ]]; then
        return
    fi
    mkdir -p "$dir"
    ui_step "configuring the $1 build in ${dir#"$root"/}"
    log=$dir/setup.log
    local -a compiler=()
    if [[ $1 == fuzz ]]; then
        compiler=(env CC=clang)
    fi
    # shellcheck disable=SC2046 # one word per option
    if ! "${compiler[@]}" meson setup $(build_options "$1") "$dir" "$root" >"$log" 2>&1; then
        ui_fail "meson does not configure the $1 build: $(grep -m1 -i error "$log" || ui_last_line "$log") (see $log)"
    fi
}

# Keep ninja's words in a file; show "[done/all]" in place to people, and a line for every 50 steps to a log.
build_progress() {
    local log=$1 line
    while IFS= read -r line; do
        printf '%s\n' "$line"
        if [[ $line =~ ^\[([0-9]+)/([0-9]+)\] ]]; then
            if [[ -t 2 ]]; then
                printf '\r        %s/%s ' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" >&2
            elif ((BASH_REMATCH[1] > 0 && BASH_REMATCH[1] % 50 == 0)); then
                ui_say "${BASH_REMATCH[1]}/${BASH_REMATCH[2]}"
            fi
        fi
    done >"$log"
    if [[ -t 2 ]]; then
        printf '\r               \r' >&2
    fi
}

# build_ninja NAME [TARGET...]: build, one run at a time for each directory; show the compiler's words on an error.
build_ninja() {
    local name=$1 dir log
    shift
    dir=$(build_dir "$name")
    log=$dir/build.log
    mkdir -p "$dir"
    (
        flock 9
        build_setup "$name"
        ui_step "building ($name)"
        if ! NINJA_STATUS='[%f/%t] ' ninja -C "$dir" -j "$(nproc)" "$@" 2>&1 | build_progress "$log"; then
            sed -n '/^FAILED/,$p' "$log" | head -n 60 >&2
            ui_fail "the $name build does not compile (all of it: $log)"
        fi
    ) 9>"$dir/.lock" || exit 1
}

# build_refresh NAME: let meson look at its files again, so that its lists name every target there is.
build_refresh() {
    local dir
    dir=$(build_dir "$1")
    mkdir -p "$dir"
    (
        flock 9
        build_setup "$1"
        if ! ninja -C "$dir" build.ninja >"$dir/setup.log" 2>&1; then
            ui_fail "meson does not configure the $1 build: $(grep -m1 ERROR "$dir/setup.log") (see $dir/setup.log)"
        fi
    ) 9>"$dir/.lock" || exit 1
}
