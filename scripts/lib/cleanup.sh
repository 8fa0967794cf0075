# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Everything back as it was, on every way out: the end, Ctrl-C, SIGTERM, SIGHUP, a failure at any step.
# Sourced by scripts/run. Each step is idempotent and works when the thing was never made.

cleanup_arm() {
    trap cleanup_all EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'exit 129' HUP
}

cleanup_all() {
    local status=$?
    trap '' INT TERM HUP # a second Ctrl-C must not stop the tidying
    trap - EXIT
    set +e
    if [[ -n ${run_dir:-} ]]; then
        if [[ -n ${command_pid:-} ]]; then
            process_stop "$command_pid"
        fi
        control_stop
        fleet_stop
        process_stop_all
        net_down
        huge_release
        cleanup_files "$status"
    fi
    exit "$status"
}

# Everything in a run's directory but what tells how it went.
cleanup_all_but_logs() {
    find "$1" -mindepth 1 -maxdepth 1 ! -name log ! -name 'tidegate*.conf' -exec rm -rf {} +
}

# What runs left that were killed with SIGKILL: a pid in the name that no longer lives. Their programs ended with them
# (process_start), their hugepages are settled by the next who asks for some (huge_settle), logs stay as after any
# failure.
cleanup_sweep() {
    local path pid
    for path in /run/netns/tg-*-* {/tmp,/dev/shm}/tidegate-run.*; do
        pid=${path##*/}
        pid=${pid#tg-}
        pid=${pid#tidegate-run.}
        pid=${pid%%[.-]*}
        if [[ ! -e $path || ! $pid =~ ^[0-9]+$ || -e /proc/$pid ]]; then
            continue
        fi
        case $path in
        /run/netns/*) net_sweep "$pid" ;;
        /dev/shm/*) rm -rf "$path" ;;
        *) cleanup_all_but_logs "$path" ;;
        esac
    done
}

# Logs of a run that did not work stay; everything else goes.
cleanup_files() {
    rm -rf "${run_shared:-}"
    if (($1 != 0 && $1 != 130)) || [[ -n ${TIDEGATE_KEEP_LOGS:-} ]]; then
        cleanup_all_but_logs "$run_dir"
        ui_say "logs: $run_dir/log"
    else
        rm -rf "$run_dir"
    fi
}
