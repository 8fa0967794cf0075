# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# What the user sees: progress lines, errors, waiting. Sourced by the commands in scripts/; knows nothing of
# packages, namespaces or programs.
#
# Everything goes to standard error, so that `scripts/run -- CMD` leaves standard output to CMD.

ui_started=$SECONDS

# Colours only for people.
if [[ -t 2 && -z ${NO_COLOR:-} ]]; then
    ui_bold=$'\e[1m' ui_red=$'\e[31m' ui_green=$'\e[32m' ui_off=$'\e[0m'
else
    ui_bold='' ui_red='' ui_green='' ui_off=''
fi

# One step that begins: "[ 12 s] building".
ui_step() {
    printf '%s[%3d s]%s %s\n' "$ui_bold" $((SECONDS - ui_started)) "$ui_off" "$*" >&2
}

# A detail below a step.
ui_say() {
    printf '        %s\n' "$*" >&2
}

# One clear sentence with the way out, then the end (exit traps clean up).
ui_fail() {
    printf '%sfailed:%s %s\n' "$ui_red" "$ui_off" "$*" >&2
    exit 1
}

# A wrong command line: exit status 2, as getopt programs do.
ui_fail_usage() {
    printf '%s: %s (--help lists the options)\n' "${0##*/}" "$*" >&2
    exit 2
}

# ui_wait SECONDS COMMAND...: try COMMAND every 50 ms until it succeeds. Returns 1 when the time is over.
ui_wait() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        if ((SECONDS > deadline)); then
            return 1
        fi
        sleep 0.05
    done
}

# The last line of a log that says something, for an error sentence.
ui_last_line() {
    grep -v '^[[:space:]]*$' "$1" 2>/dev/null | tail -n 1 || true
}

# ui_need_root COMMAND: both commands make namespaces and devices.
ui_need_root() {
    if ((EUID != 0)); then
        ui_fail "network namespaces and devices need root: run 'sudo $1'"
    fi
}
