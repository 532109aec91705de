#!/usr/bin/env bash
# `chancery bench acme` (newOrder to certificate, instant-acme as the client, dns-01) against a development server of the same
# (release) build and, where they are given, a token behind a millisecond of network, OpenBao and Pebble, all in one sitting;
# prints one table as docs/performance.md has it, and beside it what a certificate is made of.
#
# SHIM=/path/to/libchancery_pkcs11_shim.so, REFERENCE=/path/to/bao and PEBBLE=/path/to/pebble (Debian package pebble) are the others.
# The servers have the first core, the clients the second. BENCH_SECONDS sets the length of a row (default 5), CLIENTS the
# numbers of clients (default "10 50 200"), ROWS keeps the figures as JSON lines, ONLY=chancery,network,openbao,pebble leaves
# parts out. About three minutes with everything.
# usage: acme-bench.sh CHANCERY
set -euo pipefail
CHANCERY=$(realpath "$1")
SELF=$(realpath "$0")
if [ "$(nproc)" -gt 1 ] && command -v taskset >/dev/null; then SERVER='taskset -c 0' LOAD='taskset -c 1'; else SERVER='' LOAD=''; fi
BENCH_SECONDS=${BENCH_SECONDS:-5}
CLIENTS=${CLIENTS:-10 50 200}
PARTS=,${ONLY:-chancery,network,openbao,pebble},
INSIDE=${INSIDE:-}
[ -n "$INSIDE" ] || WORK=$(mktemp -d)
ROWS=${ROWS:-$WORK/rows}
DNS=${DNS:-127.0.0.1:8390}
export CHANCERY LOAD BENCH_SECONDS CLIENTS WORK ROWS DNS
[ -n "$INSIDE" ] || : > "$ROWS"
STARTED=()
finish() {
    for pid in "${STARTED[@]}"; do kill "$pid" 2>/dev/null || true; done
    [ -n "$INSIDE" ] || rm -rf "$WORK"
}
trap finish EXIT

title() { printf '===== %s =====\n' "$*" >&2; }
wanted() { [[ $PARTS == *,$1,* ]]; }

# keep SERVER WORK COMMAND...: runs a bench and keeps its row. One that fails is told and left out.
keep() {
    local server=$1 work=$2 line
    shift 2
    if line=$("$@" --seconds "$BENCH_SECONDS" --format json 2> "$WORK/errors"); then
        jq -c --arg server "$server" --arg name "$work" '. + {server: $server, name: $name}' <<< "$line" | tee -a "$ROWS" |
            jq -r '"\(.server): \(.name): \(.requests_per_second)/s, \(.server_cpu_us_per_request) µs"' >&2
    else
        printf '%s: %s: FAILED: %s\n' "$server" "$work" "$(tail -n 3 "$WORK/errors")" >&2
    fi
}

# orders SERVER DIRECTORY AUTHORITY: a row for each number of clients.
orders() {
    local clients
    for clients in $CLIENTS; do
        # shellcheck disable=SC2086
        keep "$1" "$clients clients" $LOAD "$CHANCERY" bench acme --directory "$2" --authority "$3" --dns "$DNS" --connections "$clients"
    done
    # shellcheck disable=SC2086
    keep "$1" '50 clients, HTTP/1.1' $LOAD "$CHANCERY" bench acme --directory "$2" --authority "$3" --dns "$DNS" --connections 50 --http1
}

# Inside `chancery dev`: the orders, and what else a certificate is made of.
measure_chancery() {
    orders Chancery "$CHANCERY_ACME_DIRECTORY" "$CHANCERY_CACERT"
    export CHANCERY_ADDR=$CHANCERY_DEV_TLS_ADDR
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=bench.dev.test -keyout /dev/null \
        2> /dev/null > "$WORK/csr.pem"
    # A request, its body and its answer, with audit lines and nothing to do.
    # shellcheck disable=SC2086
    keep Chancery 'part: transit encrypt' $LOAD "$CHANCERY" bench transit --connections 50
    # The request parsed and verified, encoding, C_Sign, verification of the signature, the inventory's two commits.
    # shellcheck disable=SC2086
    keep Chancery 'part: pki sign, stored' $LOAD "$CHANCERY" bench pki --csr "$WORK/csr.pem" --connections 50
}

# A development server's state, served again with the pass-through module between it and the token.
measure_network() {
    title 'chancery, a token behind a millisecond of network, 4 sessions'
    "$CHANCERY" dev --port 0 --no-store --persist "$WORK/network" -- true > /dev/null 2>&1
    local module
    module=$(sed -n 's/.*module = "\([^"]*\)".*/\1/p' "$WORK/network/chancery.toml")
    sed -i "s|module = \"[^\"]*\"|module = \"$SHIM\"|; s|listener.plain = .*|listener.plain = { address = \"127.0.0.1:8394\" }|; \
        s|listener.tls = { address = \"[^\"]*\"|listener.tls = { address = \"127.0.0.1:8395\"|" "$WORK/network/chancery.toml"
    # shellcheck disable=SC2086
    SOFTHSM2_CONF=$WORK/network/softhsm2.conf CHANCERY_SHIM_MODULE=$module CHANCERY_SHIM_DELAY=1000 \
        $SERVER "$CHANCERY" server --config "$WORK/network/chancery.toml" > "$WORK/network.log" 2>&1 &
    STARTED+=($!)
    sleep 4
    export CHANCERY_ADDR=https://127.0.0.1:8395 CHANCERY_CACERT=$WORK/network/ca.pem CHANCERY_TOKEN=root
    "$CHANCERY" write pki/config/cluster path="$CHANCERY_ADDR/v1/pki" > /dev/null
    "$CHANCERY" write pki/config/acme enabled=true dns_resolver="$DNS" > /dev/null
    CLIENTS='50 200' orders 'Chancery, 1 ms a call' "$CHANCERY_ADDR/v1/pki/acme/directory" "$CHANCERY_CACERT"
    unset CHANCERY_ADDR CHANCERY_CACERT CHANCERY_TOKEN
    kill "${STARTED[-1]}"
}

make_certificate() {
    [ ! -e "$WORK/cert.pem" ] || return 0
    printf '[req]\ndistinguished_name=dn\n[dn]\n[leaf]\nsubjectAltName=IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n' > "$WORK/req.cnf"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost -config "$WORK/req.cnf" \
        -extensions leaf -keyout "$WORK/key.pem" -out "$WORK/cert.pem" 2> /dev/null
}

bao() { curl -sk -H "X-Vault-Token: $TOKEN" -X POST "https://127.0.0.1:8397/v1/$1" -d "$2" > /dev/null; }

measure_openbao() {
    title 'OpenBao (raft storage, TLS, one file audit device, GOGC=400), its key in memory'
    make_certificate
    mkdir "$WORK/data"
    cat > "$WORK/bao.hcl" <<CONFIG
storage "raft" {
  path = "$WORK/data"
  node_id = "bench"
}
listener "tcp" {
  address = "127.0.0.1:8397"
  tls_cert_file = "$WORK/cert.pem"
  tls_key_file = "$WORK/key.pem"
}
audit "file" "file" {
  options { file_path = "$WORK/bao-audit.log" }
}
cluster_addr = "https://127.0.0.1:8396"
api_addr = "https://127.0.0.1:8397"
CONFIG
    # shellcheck disable=SC2086
    GOGC=400 $SERVER "$REFERENCE" server -config "$WORK/bao.hcl" > "$WORK/bao.log" 2>&1 &
    STARTED+=($!)
    sleep 4
    curl -sk -X PUT https://127.0.0.1:8397/v1/sys/init -d '{"secret_shares":1,"secret_threshold":1}' > "$WORK/init.json"
    curl -sk -X PUT https://127.0.0.1:8397/v1/sys/unseal -d "{\"key\":$(jq '.keys[0]' "$WORK/init.json")}" > /dev/null
    TOKEN=$(jq -r .root_token "$WORK/init.json")
    sleep 4
    bao sys/mounts/pki '{"type":"pki","config":{"max_lease_ttl":"8760h","passthrough_request_headers":["If-Modified-Since"],
        "allowed_response_headers":["Last-Modified","Location","Replay-Nonce","Link"]}}'
    bao pki/root/generate/internal '{"common_name":"Bench","key_type":"ec","key_bits":256,"ttl":"8000h"}'
    bao pki/config/cluster '{"path":"https://127.0.0.1:8397/v1/pki"}'
    bao pki/config/acme "{\"enabled\":true,\"dns_resolver\":\"$DNS\"}"
    orders OpenBao https://127.0.0.1:8397/v1/pki/acme/directory "$WORK/cert.pem"
    kill "${STARTED[-1]}"
}

measure_pebble() {
    title 'Pebble: everything in its memory, no disk, no audit log, no waits and no refused nonces'
    make_certificate
    jq -n --arg work "$WORK" '{pebble: {listenAddress: "127.0.0.1:8391", managementListenAddress: "127.0.0.1:8392", httpPort: 5002, tlsPort: 5001,
        certificate: ($work + "/cert.pem"), privateKey: ($work + "/key.pem"), ocspResponderURL: ""}}' > "$WORK/pebble.json"
    # shellcheck disable=SC2086
    PEBBLE_VA_NOSLEEP=1 PEBBLE_WFE_NONCEREJECT=0 PEBBLE_AUTHZREUSE=0 \
        $SERVER "$PEBBLE" -config "$WORK/pebble.json" -dnsserver "$DNS" > "$WORK/pebble.log" 2>&1 &
    STARTED+=($!)
    sleep 2
    orders Pebble https://127.0.0.1:8391/dir "$WORK/cert.pem"
    kill "${STARTED[-1]}"
}

table() {
    jq -rs '
        . as $rows | reduce .[].name as $n ([]; if index([$n]) then . else . + [$n] end) | .[] as $name
        | [$rows[] | select(.name == $name)] as $same
        | ([$same[] | select(.server == "Chancery")][0] // {}) as $ours
        | $same[]
        | (if .server != "Chancery" and $ours.requests_per_second and .requests_per_second > 0
           then "\($ours.requests_per_second / .requests_per_second * 10 | round / 10)" else "" end) as $ratio
        | "| \(if .server == $same[0].server then $name else "" end) | \(.server) | \(.requests_per_second) | \(.p50_us / 100 | round / 10) ms | \((.p95_us // .p99_us) / 100 | round / 10) ms | \(.http_requests_per_request // 1 | . * 10 | round / 10) | \(.server_cpu_us_per_request / 10 | round / 100) ms | \($ratio) |"
    ' "$ROWS" | {
        printf '| work | server | certificates/s | p50 | p95 | HTTP requests each | server CPU each | ours is times as fast |\n|---|---|---:|---:|---:|---:|---:|---:|\n'
        cat
    }
}

if [ "$INSIDE" = dev ]; then
    measure_chancery
    exit
fi
if wanted chancery; then
    title 'chancery dev (TLS, policies, audit; the CA and the seal in SoftHSM)'
    # shellcheck disable=SC2086
    $SERVER "$CHANCERY" dev --port 0 --no-store --acme-resolver "$DNS" -- env INSIDE=dev WORK="$WORK" ROWS="$ROWS" "$SELF" "$CHANCERY"
fi
if wanted network && [ -n "${SHIM:-}" ]; then measure_network; fi
if wanted openbao && [ -n "${REFERENCE:-}" ]; then measure_openbao; fi
if wanted pebble && [ -n "${PEBBLE:-}" ]; then measure_pebble; fi
table
