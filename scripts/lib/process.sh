# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Programs in the background, each known by its pid and never by its name. Sourced by scripts/run.

process_pids=() # in the order of their start

# process_start LOG COMMAND...: the pid lies in process_pid afterwards. The program gets a session of its own, so that
# Ctrl-C reaches it through us and in order; and SIGTERM should this script be killed.
process_start() {
    local log=$1
    shift
    : >>"$log" # whoever looks into it at once must find it
    setsid setpriv --pdeathsig TERM "$@" </dev/null >>"$log" 2>&1 &
    process_pid=$!
    disown # else bash tells of its end on our terminal
    process_pids+=("$process_pid")
}

process_lives() {
    local state
    state=$(sed 's/.*) //; s/ .*//' "/proc/$1/stat" 2>/dev/null) || return 1
    [[ -n $state && $state != Z ]]
}

process_gone() {
    ! process_lives "$1"
}

# process_stop PID: ask, wait, insist. Idempotent.
process_stop() {
    if process_lives "$1"; then
        kill -TERM "$1" 2>/dev/null || true
        if ! ui_wait 5 process_gone "$1"; then
            kill -KILL "$1" 2>/dev/null || true
            ui_wait 5 process_gone "$1" || true
        fi
    fi
}

# The last started first.
process_stop_all() {
    local i
    for ((i = ${#process_pids[@]} - 1; i >= 0; i--)); do
        process_stop "${process_pids[i]}"
    done
    process_pids=()
}
