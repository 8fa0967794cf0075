# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# The fleet's programs, each under a name, so that an experiment can end one and start it again:
#
#    $run_dir/start/NAME   starts it, in its namespace, in the foreground
#    $run_dir/pid/NAME     the pid; who starts a program again writes the new one there
#    $run_dir/log/NAME.log
#
# Sourced by scripts/run.

# fleet_start NAME NAMESPACE COMMAND...
fleet_start() {
    local name=$1 namespace=$2
    shift 2
    mkdir -p "$run_dir/start" "$run_dir/pid"
    printf '#!/bin/sh\nexec nsenter --net=/run/netns/%s-%s --%s\n' "$net_prefix" "$namespace" "$(printf ' %q' "$@")" \
        >"$run_dir/start/$name"
    chmod 755 "$run_dir/start/$name"
    process_start "$run_dir/log/$name.log" "$run_dir/start/$name"
    echo "$process_pid" >"$run_dir/pid/$name"
}

# fleet_wait NAME SECONDS COMMAND...: until COMMAND succeeds; the program's last words when it ends or the time is over
fleet_wait() {
    local name=$1 seconds=$2 log=$run_dir/log/$1.log
    shift 2
    ui_wait "$seconds" fleet_ready_or_gone "$name" "$@" || ui_fail "$name is not ready after $seconds s (see $log)"
    if process_gone "$(<"$run_dir/pid/$name")"; then
        ui_fail "$name: $(ui_last_line "$log") (see $log)"
    fi
}

fleet_ready_or_gone() {
    local name=$1
    shift
    "$@" || process_gone "$(<"$run_dir/pid/$name")"
}

# Programs that the user's command started again and left running.
fleet_stop() {
    local file pid
    for file in "$run_dir"/pid/*; do
        pid=$(cat "$file" 2>/dev/null) || continue
        if grep -qz "$run_dir" "/proc/$pid/cmdline" 2>/dev/null; then
            process_stop "$pid"
        fi
    done
}

# etcd, alone on its machine: what one site writes, the other reads.
store_start() {
    local url=http://$store4:2379 peer=http://127.0.0.1:2380
    ui_step "starting etcd"
    fleet_start etcd store /usr/bin/etcd --data-dir "$run_dir/etcd" --listen-client-urls "$url" \
        --advertise-client-urls "$url" --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" \
        --initial-cluster "default=$peer" --logger zap --log-level warn
    fleet_wait etcd 20 store_answers
}

store_answers() {
    net_in store curl -fs -o /dev/null --max-time 2 "http://$store4:2379/health"
}
