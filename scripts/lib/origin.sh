# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# The origin: a real nginx in the origin namespace with a configuration of its own, or (--origin PORT) nothing, because
# the user's command is the origin. Sourced by scripts/run.
#
# GET serves $run_dir/origin; PUT below /upload/ writes there, so that an upload can be compared byte by byte.

origin_page() {
    cat <<'PAGE'
<!doctype html>
<title>first light</title>
<h1>It works</h1>
<p>This page came from nginx, through the TCP, TLS and HTTP of tidegate.</p>
PAGE
}

origin_config() {
    cat <<CONFIG
daemon off;
user $run_user $run_group;
worker_processes 1;
pid $run_dir/nginx/pid;
error_log $run_dir/log/nginx.log warn;
events { worker_connections 4096; }
http {
    types { text/html html; text/plain txt; application/octet-stream bin; }
    default_type application/octet-stream;
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 60;
    keepalive_requests 1000000;
    client_max_body_size 0;
    client_body_temp_path $run_dir/nginx/body;
    proxy_temp_path $run_dir/nginx/proxy;
    fastcgi_temp_path $run_dir/nginx/fastcgi;
    uwsgi_temp_path $run_dir/nginx/uwsgi;
    scgi_temp_path $run_dir/nginx/scgi;
    server {
        listen 80;
        listen [::]:80;
        server_tokens off;
        root $TIDEGATE_ORIGIN_DIR;
        location /upload/ { dav_methods PUT DELETE; }
        # what arrived, told back: tests of forwarded fields and of form bodies read it
        location = /echo {
            default_type text/plain;
            return 200 "\$request_method \$request_uri\nhost: \$host\nvia: \$http_via\nx-forwarded-for: \$http_x_forwarded_for\nx-forwarded-proto: \$http_x_forwarded_proto\nx-request-id: \$http_x_request_id\n";
        }
    }
}
CONFIG
}

origin_answers() {
    net_in origin curl -fs -o /dev/null --max-time 2 "http://127.0.0.1/"
}

origin_start() {
    mkdir -p "$run_dir/nginx" "$TIDEGATE_ORIGIN_DIR/upload"
    chown -R "$run_user:$run_group" "$TIDEGATE_ORIGIN_DIR/upload" "$run_dir/nginx"
    origin_page >"$TIDEGATE_ORIGIN_DIR/index.html"
    if [[ -n $option_origin ]]; then
        ui_say "origin: your own program, on port $option_origin of the client's namespace"
        return
    fi
    ui_step "starting nginx as the origin"
    origin_config >"$run_dir/nginx/nginx.conf"
    process_start "$run_dir/log/nginx.log" nsenter --net="/run/netns/$net_prefix-origin" -- \
        /usr/sbin/nginx -p "$run_dir/nginx" -c "$run_dir/nginx/nginx.conf" -e "$run_dir/log/nginx.log"
    ui_wait 10 origin_answers ||
        ui_fail "nginx does not answer: $(ui_last_line "$run_dir/log/nginx.log") (see $run_dir/log/nginx.log)"
}
