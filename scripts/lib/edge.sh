# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# The edge: configuration, tidegate, tidegate-ctl, and the resources that it starts with (origin, site, WAF rules,
# certificate). Sourced by scripts/run.

edge_names=(tidegate.test '*.tidegate.test')

# Where tidegate runs: net_tap makes its device in the namespace of the process.
edge_namespace() {
    if [[ $option_device == tap ]]; then echo router; else echo edge; fi
}

edge_device() {
    case $option_device in
    tap) echo "net_tap0,iface=$net_tap" ;;
    af-xdp) echo "net_af_xdp0,iface=$net_veth,start_queue=0,queue_count=1" ;;
    xdp) echo "$net_veth" ;;
    esac
}

edge_cpus() {
    local i cpus='' count
    count=$(nproc)
    for ((i = 0; i < option_workers; i++)); do
        cpus+="$((i % count)), "
    done
    echo "${cpus%, }"
}

# The example configuration with this run's values: what a reader sees there is what runs here.
edge_config() {
    sed -e "s|^region = .*|region = \"$run_shared/region\";|" \
        -e "s|^group = .*|group = \"$run_group\";|" \
        -e "s|^workers = .*|workers = $option_workers;|" \
        -e "s|^cpus = .*|cpus = [ $(edge_cpus) ];|" \
        -e "s|^hugepages = .*|hugepages = $edge_hugepages;|" \
        -e "s|device = \"[^\"]*\";.*|device = \"$(edge_device)\";|" \
        -e "s|^\( *\)queues = .*|\1queues = $option_queues;|" \
        -e "s|socket = \"[^\"]*\";|socket = \"$TIDEGATE_SOCKET\";|" \
        -e "s|state = \"[^\"]*\";|state = \"$run_dir/control/state\";|" \
        -e "s|audit = \"[^\"]*\";|audit = \"$TIDEGATE_AUDIT\";|" \
        "$root/docs/tidegate.conf"
}

# Hugepages for the frame pool (about 2.8 kB a frame) and DPDK's own: as many as the configuration asks for.
edge_memory() {
    local buffers pages
    buffers=$(sed -n 's/^buffers = \([0-9]*\);.*/\1/p' "$root/docs/tidegate.conf")
    pages=$((option_workers * buffers * 2900 / 2097152 + 48))
    edge_hugepages=false
    if [[ -n $option_no_huge ]]; then
        ui_say "memory: ordinary pages, as asked"
    elif huge_reserve "$pages"; then
        edge_hugepages=true
        ui_say "memory: $pages hugepages of 2 MB, given back at the end"
    else
        ui_say "memory: the kernel has no $pages hugepages of 2 MB to give, so ordinary pages (slower)"
    fi
}

edge_ready() {
    grep -q '^tidegate: ready' "$run_dir/log/tidegate.log" || process_gone "$edge_pid"
}

edge_start() {
    ui_step "starting tidegate ($option_device, $option_workers workers, $option_queues queue(s))"
    edge_memory
    edge_config >"$TIDEGATE_CONF"
    process_start "$run_dir/log/tidegate.log" nsenter --net="/run/netns/$net_prefix-$(edge_namespace)" -- \
        "$run_dir/bin/tidegate" -c "$TIDEGATE_CONF"
    edge_pid=$process_pid
    ui_wait 30 edge_ready || ui_fail "tidegate is not ready after 30 seconds (see $run_dir/log/tidegate.log)"
    if process_gone "$edge_pid"; then
        ui_fail "$(ui_last_line "$run_dir/log/tidegate.log") (see $run_dir/log/tidegate.log)"
    fi
    if [[ $option_device == tap ]]; then
        net_tap_there || ui_fail "tidegate runs, but its TAP $net_tap is not there"
        net_edge_tap
    fi
}

control_answers() {
    tgctl status >/dev/null 2>&1
}

# Two tests of the control plane start it again themselves: its pid lies in a file for them.
control_start() {
    ui_step "starting tidegate-ctl"
    process_start "$run_dir/log/tidegate-ctl.log" "$run_dir/bin/tidegate-ctl" -c "$TIDEGATE_CONF"
    echo "$process_pid" >"$TIDEGATE_CTL_PID"
    ui_wait 20 control_answers || ui_fail "tidegate-ctl does not answer:" \
        "$(ui_last_line "$run_dir/log/tidegate-ctl.log") (see $run_dir/log/tidegate-ctl.log)"
}

# A restarted one that the user's command left running.
control_stop() {
    local pid exe
    pid=$(cat "$TIDEGATE_CTL_PID" 2>/dev/null) || return 0
    exe=$(readlink "/proc/$pid/exe" 2>/dev/null) || return 0
    if [[ ${exe% (deleted)} == "$run_dir/bin/unprivileged/tidegate-ctl" ]]; then
        process_stop "$pid"
    fi
}

# A CA of this run and a certificate for the names and addresses of the edge.
certificate_make() {
    local dir=$run_dir/tls name san=''
    mkdir -p "$dir"
    for name in "${edge_names[@]}"; do
        san+="DNS:$name,"
    done
    san+="IP:$net_edge4,IP:$net_edge6"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=tidegate test CA" \
        -keyout "$dir/ca.key" -out "$TIDEGATE_CA" 2>/dev/null
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=${edge_names[0]}" \
        -keyout "$dir/edge.key" -out "$dir/edge.csr" 2>/dev/null
    openssl x509 -req -in "$dir/edge.csr" -CA "$TIDEGATE_CA" -CAkey "$dir/ca.key" -CAcreateserial -days 30 \
        -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\n' "$san") -out "$dir/edge.pem" 2>/dev/null
}

# control_do COMMAND...: tgctl, its answer in the error sentence. 200 means: in force on every worker.
control_do() {
    local answer
    answer=$(tgctl "$@" 2>&1) || ui_fail "'tgctl $*' did not work: $answer (see $run_dir/log/tidegate-ctl.log)"
}

edge_configure() {
    ui_step "configuring origin, site, WAF rules and certificate"
    local address=$net_origin4 port=80
    if [[ -n $option_origin ]]; then
        address=$net_client4 port=$option_origin
    fi
    control_do origin add origin --address "$address" --port "$port"
    control_do site add default --origin origin --waf --default
    control_do waf load "$root/scripts/waf-rules.json"
    certificate_make
    edge_certificate
}

# Certificates are a node's own: in a fleet each node is told.
edge_certificate() {
    local names
    names=$(IFS=, && echo "${edge_names[*]}")
    control_do cert add edge --names "$names" --chain "$run_dir/tls/edge.pem" --key "$run_dir/tls/edge.key" --default
}

edge_answers() {
    net_in client curl -fs -o /dev/null --max-time 2 "$TIDEGATE_URL/"
}
