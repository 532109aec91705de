#!/usr/bin/env bash
# `chancery bench` against a development server of the same (release) build, beside the bare handler and, in the same run,
# the token's raw signing rate. Prints one table per kind of work. With REFERENCE=/path/to/bao the reference server is
# measured as well: raft storage, TLS, one file audit device, a root token, GOGC=400.
# usage: bench.sh CHANCERY BARE_HANDLER
set -euo pipefail
CHANCERY=$(realpath "$1")
BARE=$(realpath "$2")
export CHANCERY
# The server on the first core, the load on the second, where there are two.
if [ "$(nproc)" -gt 1 ] && command -v taskset >/dev/null; then SERVER='taskset -c 0' LOAD='taskset -c 1'; else SERVER='' LOAD=''; fi
export LOAD
SECONDS_EACH=${BENCH_SECONDS:-5}
export SECONDS_EACH
WORK=$(mktemp -d)
STARTED=()
trap 'for pid in "${STARTED[@]}"; do kill "$pid" 2>/dev/null || true; done; rm -rf "$WORK"' EXIT
title() { printf '\n===== %s =====\n' "$*"; }

title 'the bare handler (TLS, JSON, base64, AES-256-GCM, two plain audit lines)'
# shellcheck disable=SC2086
$SERVER "$BARE" 127.0.0.1:8399 "$WORK/bare.log" &
STARTED+=($!)
sleep 1
openssl s_client -connect 127.0.0.1:8399 < /dev/null 2> /dev/null | openssl x509 > "$WORK/bare.pem"
for batch in 1 100 1000; do
    # shellcheck disable=SC2086
    CHANCERY_TOKEN=none $LOAD "$CHANCERY" bench transit --against https://127.0.0.1:8399 --ca-cert "$WORK/bare.pem" --key bench \
        --seconds "$SECONDS_EACH" --batch $batch
done
kill "${STARTED[0]}"

title 'chancery (TLS, policies, audit; keys of pki and the seal in SoftHSM)'
# shellcheck disable=SC2016,SC2086
$SERVER "$CHANCERY" dev --port 0 --no-store -- bash -euc '
    export CHANCERY_ADDR=$CHANCERY_DEV_TLS_ADDR
    for operation in encrypt decrypt sign; do $LOAD "$CHANCERY" bench transit --operation $operation --seconds $SECONDS_EACH; done
    for batch in 100 1000; do $LOAD "$CHANCERY" bench transit --batch $batch --seconds $SECONDS_EACH; done
    $LOAD "$CHANCERY" bench pki --seconds $SECONDS_EACH
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=bench.dev.test -keyout /dev/null 2>/dev/null > "'"$WORK"'/csr.pem"
    $LOAD "$CHANCERY" bench pki --csr "'"$WORK"'/csr.pem" --seconds $SECONDS_EACH'

if [ -n "${REFERENCE:-}" ]; then
    title 'OpenBao (raft storage, TLS, one file audit device, root token, GOGC=400)'
    printf '[req]\ndistinguished_name=dn\n[dn]\n[leaf]\nsubjectAltName=IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n' > "$WORK/req.cnf"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost -config "$WORK/req.cnf" \
        -extensions leaf -keyout "$WORK/key.pem" -out "$WORK/cert.pem" 2>/dev/null
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
    BAO=$!
    STARTED+=("$BAO")
    export CHANCERY_ADDR=https://127.0.0.1:8397 CHANCERY_CACERT=$WORK/cert.pem
    sleep 4
    curl -sk -X PUT "$CHANCERY_ADDR/v1/sys/init" -d '{"secret_shares":1,"secret_threshold":1}' > "$WORK/init.json"
    curl -sk -X PUT "$CHANCERY_ADDR/v1/sys/unseal" -d "{\"key\":$(jq '.keys[0]' "$WORK/init.json")}" > /dev/null
    CHANCERY_TOKEN=$(jq -r .root_token "$WORK/init.json")
    export CHANCERY_TOKEN
    sleep 4
    "$CHANCERY" secrets enable transit > /dev/null
    "$CHANCERY" secrets enable --max-lease-ttl 8760h pki > /dev/null
    "$CHANCERY" write pki/root/generate/internal common_name=Bench key_type=ec key_bits=256 ttl=8000h > /dev/null
    "$CHANCERY" write pki/roles/web allow_any_name=true key_type=ec key_bits=256 max_ttl=72h > /dev/null
    PID=$(pgrep -f "server -config $WORK/bao.hcl" | tail -n1)
    for operation in encrypt decrypt sign; do
        # shellcheck disable=SC2086
        $LOAD "$CHANCERY" bench transit --operation $operation --seconds "$SECONDS_EACH" --pid "$PID"
    done
    # shellcheck disable=SC2086
    $LOAD "$CHANCERY" bench transit --batch 100 --seconds "$SECONDS_EACH" --pid "$PID"
    # shellcheck disable=SC2086
    $LOAD "$CHANCERY" bench pki --seconds "$SECONDS_EACH" --pid "$PID"
fi
