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
        process_stop_all
        net_down
        huge_release
        cleanup_files "$status"
    fi
    exit "$status"
}

# Logs of a run that did not work stay; everything else goes.
cleanup_files() {
    rm -rf "$run_shared"
    if (($1 != 0 && $1 != 130)) || [[ -n ${TIDEGATE_KEEP_LOGS:-} ]]; then
        find "$run_dir" -mindepth 1 -maxdepth 1 ! -name log ! -name tidegate.conf -exec rm -rf {} +
        ui_say "logs: $run_dir/log"
    else
        rm -rf "$run_dir"
    fi
}
