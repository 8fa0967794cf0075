# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# The small internet that tidegate stands in: three or four network namespaces of this run only, so that several
# runs live side by side. Sourced by scripts/run.
#
#    client                      router                        edge (tidegate)
#    198.51.100.1  ----veth----  .254
#    2001:db8:2::1               ::fe
#                                192.0.2.254  ---- device ---- 192.0.2.1
#    origin                      2001:db8:1::fe                2001:db8:1::1
#    203.0.113.1   ----veth----  .254
#    2001:db8:3::1               ::fe
#
# --tap: the device is the TAP that DPDK makes in tidegate's own namespace; so tidegate runs in the router's, and
# the kernel's side of the TAP is the router's interface. --af-xdp: a veth pair, and tidegate has a namespace.
# Addresses are from the documentation ranges (RFC 5737, RFC 3849).

net_edge4=192.0.2.1 net_edge6=2001:db8:1::1
net_client4=198.51.100.1 net_client6=2001:db8:2::1
net_origin4=203.0.113.1
net_tap=tgt0      # the TAP, in the router
net_veth=tgx0     # AF_XDP: tidegate's end
net_veth_peer=tgx1 # and the router's

net_prefix=tg-$$

# net_in NAME COMMAND...: run COMMAND in a namespace of this run. `ip netns exec` would hide /sys/fs/bpf.
net_in() {
    local name=$1
    shift
    nsenter --net="/run/netns/$net_prefix-$name" -- "$@"
}

net_make() {
    ip netns add "$net_prefix-$1" || ui_fail "the kernel makes no network namespace: are we root on Linux" \
        "with CONFIG_NET_NS, not in a container without rights?"
    net_in "$1" ip link set lo up
}

# net_address NAME INTERFACE IPV4 IPV6: nodad, because nobody waits for duplicate address detection here.
net_address() {
    net_in "$1" ip address add "$3" dev "$2"
    net_in "$1" ip -6 address add "$4" dev "$2" nodad
    net_in "$1" ip link set "$2" up
}

# net_leaf NAME IPV4-NET IPV6-NET: a namespace behind the router, .1 and ::1, with its default routes.
net_leaf() {
    local name=$1 net4=$2 net6=$3
    net_make "$name"
    ip link add "to-$name" netns "$net_prefix-router" type veth peer name eth0 netns "$net_prefix-$name"
    net_address router "to-$name" "$net4.254/24" "$net6::fe/64"
    net_address "$name" eth0 "$net4.1/24" "$net6::1/64"
    net_in "$name" ip route add default via "$net4.254"
    net_in "$name" ip -6 route add default via "$net6::fe"
}

net_router_setting() {
    net_in router sh -c "echo '$2' >/proc/sys/net/$1"
}

# The whole picture but the edge's device.
net_up() {
    net_make router
    net_router_setting ipv4/ip_forward 1
    net_router_setting ipv6/conf/all/forwarding 1
    net_leaf client 198.51.100 2001:db8:2
    net_leaf origin 203.0.113 2001:db8:3
}

# AF_XDP: the veth pair. A veth peer hands over partial checksums, which AF_XDP sockets cannot complete: its
# transmit checksum offload goes off. One queue, as one socket serves one.
net_edge_veth() {
    net_make edge
    ip link add "$net_veth_peer" netns "$net_prefix-router" type veth \
        peer name "$net_veth" netns "$net_prefix-edge" ||
        ui_fail "the kernel has no veth devices (CONFIG_VETH)"
    net_in router ethtool -K "$net_veth_peer" tx off >/dev/null
    net_address router "$net_veth_peer" 192.0.2.254/24 2001:db8:1::fe/64
    net_in edge ip link set "$net_veth" up
}

# The TAP exists once tidegate runs.
net_tap_there() {
    net_in router ip link show "$net_tap" >/dev/null 2>&1
}

net_edge_tap() {
    net_address router "$net_tap" 192.0.2.254/24 2001:db8:1::fe/64
}

# net_down: every namespace of this run. Devices go with their namespaces.
net_down() {
    net_sweep $$
}

# net_sweep PID: the namespaces of a run, or of one that was killed.
net_sweep() {
    local path
    for path in "/run/netns/tg-$1-"*; do
        [[ -e $path ]] || continue
        ip netns delete "${path##*/}" 2>/dev/null || true
    done
}
