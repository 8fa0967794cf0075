# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# The whole fleet in the order of its start, the environment that CMD sees, and what is said to people. Sourced by
# scripts/run (--fleet); the parts are in fleet_*.sh beside.

fleet_options() {
    option_workers=1
    run_programs+=(tls/keyserver/tidegate-keyserver)
    net_client6=$fleet_client6 premises4=$fleet_premises4
}

# Beside programs_copy: tidegate of the build without DPDK is tidegate-xdp here.
fleet_programs_copy() {
    [[ -x $(build_dir xdp)/dataplane/tidegate ]] || ui_fail "the build without DPDK is not there: leave out --keep-build"
    cp "$(build_dir xdp)/dataplane/tidegate" "$run_dir/bin/tidegate-xdp"
}

fleet_environment() {
    local site name
    export TIDEGATE_FLEET=1 TIDEGATE_RUN=$run_dir TIDEGATE_NETNS=/run/netns/$net_prefix-
    export TIDEGATE_SOCKET=$run_dir/a/control/socket TIDEGATE_CONF=$run_dir/tidegate-a.conf
    export TIDEGATE_AUDIT=$run_dir/log/audit-a.jsonl TIDEGATE_CTL_PID=$run_dir/pid/ctl-a
    export TIDEGATE_DEVICE=fleet TIDEGATE_ROUTER_NETNS=${TIDEGATE_NETNS}r1 TIDEGATE_ROUTER_PORT=to-a
    export TIDEGATE_STORE=http://$store4:2379
    for site in "${sites[@]}"; do
        name=TIDEGATE_${site^^}
        export "${name}_ADDRESS4=${site_own4[$site]}" "${name}_ADDRESS6=${site_own6[$site]}"
        export "${name}_KERNEL4=${site_kernel4[$site]}" "${name}_KERNEL6=${site_kernel6[$site]}"
        export "${name}_KERNEL_DEVICE=${site_kernel_device[$site]}"
        export "${name}_ROUTER4=${site_router4[$site]}" "${name}_ROUTER6=${site_router6[$site]}" "${name}_SOCKET=$run_dir/$site/control/socket"
        export "${name}_ROUTER=${site_router[$site]}" "${name}_AUDIT=$run_dir/log/audit-$site.jsonl"
    done
}

fleet_up() {
    local site
    ui_step "making the namespaces $net_prefix-*"
    fleet_net_up
    ui_step "starting BIRD on both routers"
    bgp_start r1 r1
    bgp_start r2 r2
    store_start
    origin_start
    fleet_memory
    fleet_secrets_make
    ui_wait 20 bgp_routers_ready || ui_fail "the routers do not exchange their routes (see $run_dir/log/bird-r1.log)"
    for site in "${sites[@]}"; do
        site_start "$site"
    done
    edge_pid=$(<"$run_dir/pid/tidegate-a")
    export TIDEGATE_PID=$edge_pid
    fleet_join
    edge_configure
    premises_start
    TIDEGATE_SOCKET=$run_dir/b/control/socket edge_certificate
    TIDEGATE_SOCKET=$run_dir/b/control/socket premises_tell
    ui_step "waiting for the service at both sites"
    ui_wait 20 bgp_sites_ready || ui_fail "the sites do not announce the service (see $run_dir/log/bird-a.log)"
    for site in "${sites[@]}"; do
        ui_wait 20 site_page "$site" || ui_fail "site $site does not give the origin's page (see $run_dir/log)"
    done
    ui_wait 10 edge_answers || ui_fail "the service does not give the origin's page (see $run_dir/log)"
}

fleet_present() {
    local in="sudo nsenter --net=/run/netns/$net_prefix"
    cat >&2 <<TEXT

${ui_green}The fleet is up.${ui_off} Two sites announce one service address by BGP:

    service  $net_edge4  $net_edge6
    site a   ${site_own4[a]}  ${site_own6[a]}     behind r1: DPDK
    site b   ${site_own4[b]}  ${site_own6[b]}     behind r2: AF_XDP, no DPDK
    client   $net_client4 at r1      origin $net_origin4 at r2      etcd $store4, key server $premises4 at r1

Ask for the page (by way of site a, which is nearer), and each site by its own address:

    $in-client curl $TIDEGATE_URL/
    $in-client curl -g '$TIDEGATE_URL6/'
    $in-client curl --cacert $TIDEGATE_CA $TIDEGATE_HTTPS/
    $in-client curl http://${site_own4[b]}/

Three things to try:

 1. Move the service to site b by BGP while a download runs, and back; where it goes now:
    $in-client curl -o /dev/null --limit-rate 1M $TIDEGATE_URL/large &
    sudo birdc -s $run_dir/bird/a.ctl disable service4
    $in-r1 ip route get $net_edge4
    sudo birdc -s $run_dir/bird/a.ctl enable service4

 2. A drop rule written at site a is in force at site b:
    sudo $run_dir/bin/tgctl -s $run_dir/a/control/socket rule add --src $net_client4/32 --dport 80
    $in-client curl --max-time 2 http://${site_own4[b]}/
    sudo $run_dir/bin/tgctl -s $run_dir/b/control/socket rule list
    sudo $run_dir/bin/tgctl -s $run_dir/b/control/socket rule del 1

 3. The whole story, chapter by chapter (about 3 minutes):
    sudo scripts/run --fleet -- scripts/tour

Ctrl-C ends it and restores everything. Logs: $run_dir/log
TEXT
}
