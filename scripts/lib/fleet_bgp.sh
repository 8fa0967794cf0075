# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# BGP in the fleet's small internet: a BIRD of our own in each router and each site, from the files in docs/fleet with this
# run's values. Sourced by scripts/run (--fleet). Autonomous systems are from the documentation range (RFC 5398).

# bgp_define NAME VALUE...: a sed script that sets the defines of a file in docs/fleet
bgp_define() {
    while (($#)); do
        printf 's|^define %s = [^;]*;|define %s = %s;|\n' "$1" "$1" "$2"
        shift 2
    done
}

bgp_config_r1() {
    sed "$(bgp_define MY_AS 64496 SITE_AS 64500 OTHER_AS 64497 SITE4 198.51.100.18 SITE6 2001:db8:a::18 \
        OTHER4 198.51.100.50 OTHER6 2001:db8:ff::50)
        s|^router id .*|router id 198.51.100.49;|" "$root/docs/fleet/bird-router.conf"
}

bgp_config_r2() {
    sed "$(bgp_define MY_AS 64497 SITE_AS 64501 OTHER_AS 64496 SITE4 198.51.100.34 SITE6 2001:db8:b::34 \
        OTHER4 198.51.100.49 OTHER6 2001:db8:ff::49)
        s|^router id .*|router id 198.51.100.50;|" "$root/docs/fleet/bird-router.conf"
}

bgp_config_a() {
    sed "$(bgp_define SITE_AS 64500 ROUTER_AS 64496 TIDEGATE4 198.51.100.17 TIDEGATE6 2001:db8:a::17 \
        KERNEL4 198.51.100.18 KERNEL6 2001:db8:a::18 ROUTER4 198.51.100.30 ROUTER6 2001:db8:a::30)
        s|via \"tgx0\"|via \"${site_kernel_device[a]}\"|" "$root/docs/fleet/bird-site.conf"
}

bgp_config_b() {
    sed "$(bgp_define SITE_AS 64501 ROUTER_AS 64497 TIDEGATE4 198.51.100.33 TIDEGATE6 2001:db8:b::33 \
        KERNEL4 198.51.100.34 KERNEL6 2001:db8:b::34 ROUTER4 198.51.100.46 ROUTER6 2001:db8:b::46)
        s|via \"tgx0\"|via \"${site_kernel_device[b]}\"|" "$root/docs/fleet/bird-site.conf"
}

# bgp_start NAME NAMESPACE: BIRD stays in the foreground of its own process; its socket is $run_dir/bird/NAME.ctl
bgp_start() {
    local name=$1 dir=$run_dir/bird
    mkdir -p "$dir"
    "bgp_config_$name" >"$dir/$name.conf"
    fleet_start "bird-$name" "$2" /usr/sbin/bird -f -c "$dir/$name.conf" -s "$dir/$name.ctl" -P "$dir/$name.pid"
}

# bgp_route NAMESPACE PREFIX GATEWAY: does the kernel of a router send the prefix there?
bgp_route() {
    local family=-4
    if [[ $2 == *:* ]]; then
        family=-6
    fi
    net_in "$1" ip "$family" route show "$2" 2>/dev/null | grep -q "via $3 "
}

bgp_routers_ready() {
    bgp_route r1 203.0.113.0/28 198.51.100.50 && bgp_route r2 203.0.113.32/28 198.51.100.49 &&
        bgp_route r1 2001:db8:3::/64 2001:db8:ff::50 && bgp_route r2 2001:db8:2::/64 2001:db8:ff::49
}

bgp_sites_ready() {
    bgp_route r1 "$net_edge4" 198.51.100.17 && bgp_route r2 "$net_edge4" 198.51.100.33 &&
        bgp_route r1 "$net_edge6" 2001:db8:a::17 && bgp_route r2 "$net_edge6" 2001:db8:b::33
}
