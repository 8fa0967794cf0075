# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# The small internet of scripts/run --fleet: a client, two routers, a site behind each, and who they talk to, in network
# namespaces of this run only. Sourced by scripts/run; builds on netns.sh.
#
#    client 198.51.100.1                                        origin 203.0.113.1
#    2001:db8:2::1  \                                          /  2001:db8:3::1
#                    r1  198.51.100.49 ---------- 198.51.100.50  r2
#    premises       /|\  2001:db8:ff::49          ::50          |
#    203.0.113.17  / | \                                        |
#    store        /  |                                          |
#    203.0.113.33    | .30                                      | .46
#                 site-a  198.51.100.17, kernel .18          site-b  198.51.100.33, kernel .34
#                         2001:db8:a::17, ::18                       2001:db8:b::33, ::34
#
# Both sites have 192.0.2.1 and 2001:db8:1::1, the service, on the data plane's port. Routes between the routers, and to the
# service, come from BGP (fleet_bgp.sh).

fleet_client6=2001:db8:2::1
fleet_premises4=203.0.113.17
store4=203.0.113.33

# fleet_cable NAME1 DEVICE1 NAME2 DEVICE2
fleet_cable() {
    ip link add "$2" netns "$net_prefix-$1" type veth peer name "$4" netns "$net_prefix-$3" ||
        ui_fail "the kernel has no veth devices (CONFIG_VETH)"
    net_in "$1" ip link set "$2" up
    net_in "$3" ip link set "$4" up
}

# fleet_leaf NAME ROUTER BITS IPV4 ROUTER-IPV4 IPV6 ROUTER-IPV6: a namespace behind a router, its default routes there
fleet_leaf() {
    net_make "$1"
    fleet_cable "$2" "to-$1" "$1" eth0
    net_address "$2" "to-$1" "$5/$3" "$7/64"
    net_address "$1" eth0 "$4/$3" "$6/64"
    net_in "$1" ip route add default via "$5"
    net_in "$1" ip -6 route add default via "$7"
}

# A router forwards; an answer may come back on another interface than the question went out on. Answers to spoofed
# sources (from RFC 2544's range in our experiments) vanish, as in the Internet.
fleet_router() {
    net_make "$1"
    net_in "$1" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward
        echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
        echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter
        echo 0 >/proc/sys/net/ipv4/conf/default/rp_filter'
    net_in "$1" ip route add blackhole 198.18.0.0/15
}

# fleet_site_cable SITE ROUTER ROUTER-IPV4 ROUTER-IPV6: AF_XDP on a veth wants whole checksums, so the router's end computes
# them. The site's end has no address before fleet_kernel_address.
fleet_site_cable() {
    net_make "site-$1"
    fleet_cable "$2" "to-$1" "site-$1" eth0
    net_in "$2" ethtool -K "to-$1" tx off >/dev/null
    net_address "$2" "to-$1" "$3/28" "$4/64"
}

# fleet_kernel_address SITE DEVICE IPV4 IPV6 ROUTER-IPV4 ROUTER-IPV6: the site's kernel, for BIRD and tidegate-ctl
fleet_kernel_address() {
    net_address "site-$1" "$2" "$3/28" "$4/64"
    net_in "site-$1" ip route replace default via "$5"
    net_in "site-$1" ip -6 route replace default via "$6"
}

fleet_net_up() {
    fleet_router r1
    fleet_router r2
    fleet_cable r1 to-r2 r2 to-r1
    net_address r1 to-r2 198.51.100.49/30 2001:db8:ff::49/64
    net_address r2 to-r1 198.51.100.50/30 2001:db8:ff::50/64
    fleet_leaf client r1 28 "$net_client4" 198.51.100.14 "$fleet_client6" 2001:db8:2::14
    fleet_leaf premises r1 28 "$fleet_premises4" 203.0.113.30 2001:db8:4::17 2001:db8:4::30
    fleet_leaf store r1 28 "$store4" 203.0.113.46 2001:db8:5::33 2001:db8:5::46
    fleet_leaf origin r2 28 "$net_origin4" 203.0.113.14 2001:db8:3::1 2001:db8:3::14
    fleet_site_cable a r1 198.51.100.30 2001:db8:a::30
    fleet_site_cable b r2 198.51.100.46 2001:db8:b::46
}
