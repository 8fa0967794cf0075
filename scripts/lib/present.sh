# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# What scripts/run says once all runs, and how it runs the user's command. Sourced by scripts/run.

present_all() {
    local in="sudo nsenter --net=/run/netns/$net_prefix-client"
    local tgctl="sudo $run_dir/bin/tgctl -s $TIDEGATE_SOCKET"
    cat >&2 <<TEXT

${ui_green}tidegate is up.${ui_off} It stands between a client and an origin, each in a network namespace:

    client   $net_client4  $net_client6     ($net_prefix-client)
    edge     $net_edge4     $net_edge6     ($option_device, $option_workers workers, $option_queues queue(s))
    origin   $(present_origin)

Ask it for the page:

    $in curl $TIDEGATE_URL/
    $in curl -g '$TIDEGATE_URL6/'
    $in curl --cacert $TIDEGATE_CA $TIDEGATE_HTTPS/

Three things to try:

 1. A SQL injection is refused, and told to the audit log:
    $in curl -i "$TIDEGATE_URL/?id=1'%20OR%20'1'='1"
    tail -n 1 $TIDEGATE_AUDIT

 2. A drop rule stops the client's traffic; without it, it flows again (rule list shows its number):
    $tgctl rule add --src $net_client4/32
    $in curl --max-time 2 $TIDEGATE_URL/
    $tgctl rule list
    $tgctl rule del 1

 3. The control plane dies, the traffic goes on:
    sudo kill -9 $(<"$TIDEGATE_CTL_PID")
    $in curl $TIDEGATE_URL/
    sudo $run_dir/bin/tidegate-ctl -c $TIDEGATE_CONF &

Ctrl-C ends it and restores everything. Logs: $run_dir/log
TEXT
}

present_origin() {
    if [[ -n $option_origin ]]; then
        echo "$net_client4:$option_origin (yours)"
    else
        echo "$net_origin4   nginx, files in $TIDEGATE_ORIGIN_DIR"
    fi
}

# Until Ctrl-C; or until tidegate ends by itself, which is a failure.
present_wait() {
    until process_gone "$edge_pid"; do
        sleep 0.2
    done
    ui_fail "tidegate ended by itself: $(ui_last_line "$run_dir/log/tidegate.log")"
}

# The user's command in the client's namespace, with our terminal. In the background, so that signals reach us at once
# (bash waits for a foreground program before it runs a trap); so SIGINT, which bash ignores for it, is set back.
command_run() {
    local status=0
    nsenter --net="/run/netns/$net_prefix-client" -- env --default-signal=INT,QUIT -- "$@" <&0 &
    command_pid=$!
    wait "$command_pid" || status=$?
    command_pid=''
    return "$status"
}
