# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# The fleet's two sites, one node each: configuration, tidegate, BIRD, tidegate-ctl. Sourced by scripts/run (--fleet);
# builds on edge.sh, whose functions it calls with a site's values in place of the plain run's.
#
# Site a runs the DPDK build: port on the site's veth (net_af_xdp), and what is not ours goes to the kernel by the
# exception TAP tgx0, which has the kernel's address. Site b runs the build without DPDK: its program in the driver
# leaves what is not ours to the kernel, whose address is on the veth itself.

declare -A site_build=([a]=release [b]=xdp)
declare -A site_device=([a]=af-xdp [b]=xdp)
declare -A site_program=([a]=tidegate [b]=tidegate-xdp)
declare -A site_kernel_device=([a]=tgx0 [b]=eth0)
declare -A site_own4=([a]=198.51.100.17 [b]=198.51.100.33) site_own6=([a]=2001:db8:a::17 [b]=2001:db8:b::33)
declare -A site_kernel4=([a]=198.51.100.18 [b]=198.51.100.34) site_kernel6=([a]=2001:db8:a::18 [b]=2001:db8:b::34)
declare -A site_router4=([a]=198.51.100.30 [b]=198.51.100.46) site_router6=([a]=2001:db8:a::30 [b]=2001:db8:b::46)
declare -A site_router=([a]=r1 [b]=r2) site_slot=([a]=1 [b]=2) site_cpu=([a]=0 [b]=1)
sites=(a b)

# The example configuration with the site's values.
site_config() {
    local site=$1 exception=''
    local run_shared=$run_shared/$site option_device=${site_device[$1]} option_workers=1 option_queues=1 net_veth=eth0
    local TIDEGATE_SOCKET=$run_dir/$site/control/socket TIDEGATE_AUDIT=$run_dir/log/audit-$site.jsonl
    if [[ ${site_kernel_device[$site]} != eth0 ]]; then
        exception=${site_kernel_device[$site]}
    fi
    run_dir=$run_dir/$site edge_config |
        sed -e "s|^    name = \"[^\"]*\";|    name = \"$site\";|" \
            -e "s|^    slot = [^;]*;|    slot = ${site_slot[$site]};|" \
            -e "s|^    site = [^;]*;|    site = ${site_slot[$site]};|" \
            -e "s|^    secrets = \"[^\"]*\";|    secrets = \"$fleet_secrets\";|" \
            -e "s|^    exception = \"[^\"]*\";|    exception = \"$exception\";|" \
            -e "s|^cpus = .*|cpus = [ ${site_cpu[$site]} ];|" \
            -e "s|^buffers = .*|buffers = $fleet_buffers;|" \
            -e "s|addresses = .*\]; }|addresses = [ \"${site_own4[$site]}/28\", \"${site_own6[$site]}/64\", \"$net_edge4/32\", \"$net_edge6/128\" ]; }|" \
            -e "s|gateway = \"192[^\"]*\"|gateway = \"${site_router4[$site]}\"|" \
            -e "s|gateway = \"2001[^\"]*\"|gateway = \"${site_router6[$site]}\"|" \
            -e "s|^    fleet = \"[^\"]*\";|    fleet = \"lab\";|" \
            -e "s|^    etcd = [^;]*;|    etcd = [ \"http://$store4:2379\" ];|"
}

fleet_buffers=8192

# Hugepages for the DPDK build alone.
fleet_memory() {
    local pages=$((fleet_buffers * 2900 / 2097152 + 48))
    edge_hugepages=false
    if [[ -z $option_no_huge ]] && huge_reserve "$pages"; then
        edge_hugepages=true
        ui_say "memory of site a: $pages hugepages of 2 MB, given back at the end"
    fi
}

site_files() {
    local site=$1
    mkdir -p "$run_dir/$site/control/state" "$run_shared/$site"
    chown -R "$run_user:$run_group" "$run_dir/$site/control"
    chgrp "$run_group" "$run_shared/$site"
    chmod 750 "$run_shared/$site"
    local edge_hugepages=$edge_hugepages
    if [[ ${site_build[$site]} == xdp ]]; then
        edge_hugepages=false
    fi
    site_config "$site" >"$run_dir/tidegate-$site.conf"
}

site_ready() {
    grep -q '^tidegate: ready' "$run_dir/log/tidegate-$1.log"
}

site_kernel_there() {
    net_in "site-$1" ip link show "${site_kernel_device[$1]}" >/dev/null 2>&1
}

# The kernel gets its address as soon as its interface is there. Beside a TAP the veth stays without: it has the same
# hardware address and must not answer for it.
site_kernel_up() {
    local site=$1 device=${site_kernel_device[$1]}
    ui_wait 5 site_kernel_there "$site" || ui_fail "tidegate runs at site $site, but its interface $device is not there"
    fleet_kernel_address "$site" "$device" "${site_kernel4[$site]}" "${site_kernel6[$site]}" "${site_router4[$site]}" \
        "${site_router6[$site]}"
}

site_control_answers() {
    tgctl -s "$run_dir/$1/control/socket" status >/dev/null 2>&1
}

site_start() {
    local site=$1
    ui_step "site $site: tidegate (${site_build[$site]} build), BIRD, tidegate-ctl"
    site_files "$site"
    if [[ ${site_kernel_device[$site]} != eth0 ]]; then
        net_in "site-$site" sh -c 'echo 1 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6'
    fi
    fleet_start "tidegate-$site" "site-$site" "$run_dir/bin/${site_program[$site]}" -c "$run_dir/tidegate-$site.conf"
    fleet_wait "tidegate-$site" 30 site_ready "$site"
    site_kernel_up "$site"
    bgp_start "$site" "site-$site"
    fleet_start "ctl-$site" "site-$site" "$run_dir/bin/tidegate-ctl" -c "$run_dir/tidegate-$site.conf"
    fleet_wait "ctl-$site" 20 site_control_answers "$site"
}

# The keys that both nodes share: carried to the sites by whoever installs them, never by the store.
fleet_secrets_make() {
    fleet_secrets=$run_dir/fleet-secrets
    control_do fleet keygen --out "$fleet_secrets"
    chgrp "$run_group" "$fleet_secrets"
    chmod 640 "$fleet_secrets"
}

site_is_member() {
    tgctl -s "$run_dir/$1/control/socket" -o json fleet status 2>/dev/null | grep -q '"member": *true'
}

# Who is in the fleet: told to site a, heard by both.
fleet_join() {
    local site
    for site in "${sites[@]}"; do
        control_do node add "$site" --slot "${site_slot[$site]}" --site "${site_slot[$site]}" \
            --address4 "${site_own4[$site]}" --address6 "${site_own6[$site]}"
    done
    for site in "${sites[@]}"; do
        ui_wait 10 site_is_member "$site" || ui_fail "site $site does not become one of the fleet:" \
            "$(tgctl -s "$run_dir/$site/control/socket" fleet status | head -n 1) (see $run_dir/log/ctl-$site.log)"
    done
}

# site_page SITE: the page through one site's own address
site_page() {
    net_in client curl -fs -o /dev/null --max-time 2 "http://${site_own4[$1]}/"
}
