# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# A customer's premises behind the router: a key server that alone has the private keys of the sites ec.keyless.test and
# rsa.keyless.test. Sourced by scripts/run (--premises).
#
#    premises                        router
#    198.18.0.1  2001:db8:4::1  ---- .254  ::fe
#
# $run_dir/premises   the keys and what the key server needs; nothing in it belongs to the node
# $run_dir/tls        what the node gets: the sites' chains (edge's CA), its client certificate, the premises' CA

premises4=198.18.0.1 premises_port=2407
premises_sites=(ec rsa)

# premises_sign NAME SUBJECT EXTENSIONS CA: tls/NAME.{key,csr} are there or made (P-256) -> tls/NAME.pem
premises_sign() {
    local dir=$run_dir/tls name=$1 subject=$2 extensions=$3 ca=$4
    if [[ ! -e $dir/$name.csr ]]; then
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$subject" -keyout "$dir/$name.key" \
            -out "$dir/$name.csr" 2>/dev/null
    fi
    openssl x509 -req -in "$dir/$name.csr" -CA "$dir/$ca.pem" -CAkey "$dir/$ca.key" -CAcreateserial -days 30 \
        -extfile <(printf '%b' "$extensions") -out "$dir/$name.pem" 2>/dev/null
}

# The customer's side: an own CA for the key server and the edges that may ask it, the sites' keys. The requests for the
# sites' certificates leave the premises, the keys do not.
premises_files() {
    local dir=$run_dir/premises tls=$run_dir/tls site
    mkdir -p "$dir/keys"
    chmod 700 "$dir"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=premises CA" \
        -keyout "$tls/premises-ca.key" -out "$tls/premises-ca.pem" 2>/dev/null
    premises_sign premises-edge /O=tidegate/CN=edge1 'extendedKeyUsage=clientAuth\n' premises-ca
    premises_sign keyserver /CN=keyserver 'subjectAltName=DNS:keys.premises.test\nextendedKeyUsage=serverAuth\n' premises-ca
    mv "$tls"/keyserver.{key,pem} "$tls/premises-ca.key" "$dir"
    cp "$tls/premises-ca.pem" "$dir"
    openssl ecparam -name prime256v1 -genkey -noout -out "$dir/keys/ec.key"
    openssl genrsa -out "$dir/keys/rsa.key" 2048 2>/dev/null
    openssl genrsa -out "$dir/keys/other.key" 2048 2>/dev/null
    for site in "${premises_sites[@]}"; do
        openssl req -new -key "$dir/keys/$site.key" -subj "/CN=$site.keyless.test" -out "$tls/keyless-$site.csr"
        premises_sign "keyless-$site" '' "subjectAltName=DNS:$site.keyless.test\nextendedKeyUsage=serverAuth\n" ca
    done
}

premises_config() {
    cat <<CONFIG
address = "$premises4"; port = $premises_port;
keys = "$run_dir/premises/keys";
certificate = "$run_dir/premises/keyserver.pem"; key = "$run_dir/premises/keyserver.key";
client_ca = "$run_dir/premises/premises-ca.pem";
audit = "$run_dir/log/keyserver.jsonl";
user = "$run_user"; group = "$run_group";
clients = ( { subject = "CN=edge1,O=tidegate"; keys = [ "ec.key", "rsa.key" ]; rate = 100000; } );
CONFIG
}

premises_ready() {
    grep -q 'ready:' "$run_dir/log/keyserver.log" || process_gone "$premises_pid"
}

premises_start() {
    ui_step "starting a customer's premises with a key server"
    if [[ -z $option_fleet ]]; then
        net_leaf premises 198.18.0 2001:db8:4
    fi
    premises_files
    premises_config >"$run_dir/premises/keyserver.conf"
    fleet_start keyserver premises "$run_dir/bin/tidegate-keyserver" -c "$run_dir/premises/keyserver.conf"
    premises_pid=$process_pid
    ui_wait 10 premises_ready || ui_fail "the key server is not ready (see $run_dir/log/keyserver.log)"
    if process_gone "$premises_pid"; then
        ui_fail "$(ui_last_line "$run_dir/log/keyserver.log") (see $run_dir/log/keyserver.log)"
    fi
    premises_tell
    export TIDEGATE_PREMISES=$run_dir/premises TIDEGATE_PREMISES_NETNS=/run/netns/$net_prefix-premises
    export TIDEGATE_KEYSERVER_PID=$premises_pid
}

# A node hears of the key server, and of the certificates whose keys lie there.
premises_tell() {
    local site
    control_do keyserver add premises --address "$premises4:$premises_port" --server-name keys.premises.test \
        --ca "$run_dir/tls/premises-ca.pem" --chain "$run_dir/tls/premises-edge.pem" --key "$run_dir/tls/premises-edge.key"
    for site in "${premises_sites[@]}"; do
        control_do cert add "keyless-$site" --names "$site.keyless.test" --chain "$run_dir/tls/keyless-$site.pem" \
            --keyserver premises
    done
}
