# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Install the Debian packages of scripts/packages.txt that are missing. Sourced by scripts/run, test and build;
# nothing happens, and no network is needed, when all are there.

# Names in the list that dpkg does not know as installed.
install_missing() {
    local list=$1 wanted installed
    wanted=$(sed 's/#.*//' "$list" | tr -s ' \t' '\n' | sed '/^$/d' | sort -u)
    # shellcheck disable=SC2086 # one word per package
    installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $wanted 2>/dev/null |
        sed -n 's/^installed //p' | sort -u) || true
    comm -23 <(printf '%s\n' "$wanted") <(printf '%s\n' "$installed")
}

# nginx, haproxy, BIRD and etcd run as programs of ours: installing them must neither start them now nor at the next boot.
# policy-rc.d is Debian's own way to say so; we only add one where there is none, and take it away again.
install_services_hold() {
    install_policy=/usr/sbin/policy-rc.d
    if [[ -e $install_policy ]]; then
        install_policy=''
        return
    fi
    printf '#!/bin/sh\n# written by tidegate scripts/lib/install.sh, removed by it\nexit 101\n' >"$install_policy"
    chmod 755 "$install_policy"
}

install_services_release() {
    if [[ -n ${install_policy:-} ]]; then
        rm -f "$install_policy"
    fi
    install_policy=''
}

install_services_disable() {
    local service
    if [[ -d /run/systemd/system ]]; then
        for service in nginx haproxy bird etcd; do
            if grep -qx "$service.*" <<<"$1"; then
                systemctl disable --quiet "$service" 2>/dev/null || true
            fi
        done
    fi
}

install_packages() {
    local list=$1 missing log
    if ! command -v dpkg-query apt-get >/dev/null; then
        ui_say "no apt-get here: install what $list names by other means"
        return
    fi
    missing=$(install_missing "$list")
    if [[ -z $missing ]]; then
        return
    fi
    ui_need_root "scripts/run"
    log=$(mktemp /tmp/tidegate-install.XXXXXX)
    ui_step "installing $(wc -l <<<"$missing") packages (apt-get; log: $log)"
    export DEBIAN_FRONTEND=noninteractive
    install_services_hold
    # shellcheck disable=SC2086 # one word per package
    if ! { apt-get -q update && apt-get -q -y --no-install-recommends install $missing; } \
        </dev/null >"$log" 2>&1; then
        install_services_release
        ui_fail "apt-get could not install $(tr '\n' ' ' <<<"$missing"): $(ui_last_line "$log")" \
            "(see $log; is the machine online, is it Debian 12?)"
    fi
    install_services_release
    install_services_disable "$missing"
    rm -f "$log"
}
