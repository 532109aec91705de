#!/usr/bin/env bash
# `chancery bench` against the bare handler, a development server of the same (release) build and, with
# REFERENCE=/path/to/bao, OpenBao, all in one sitting; prints the tables that docs/performance.md has. The second one says what
# certificates cost beside the sum of their parts, which the examples beside BARE_HANDLER (`*_parts`) measure on the
# server's core, and with SHIM how close signing comes to a bare loop of C_Sign in as many sessions.
#
# With SHIM=/path/to/libchancery_pkcs11_shim.so keys in a token behind a millisecond of network are measured too. The
# server has the first core, the load the second. BENCH_SECONDS sets the length of a row (default 4), ROWS keeps the
# figures as JSON lines, ONLY=bare,parts,chancery,network,reference leaves parts out, WORKS='pki|ssh' all rows whose name does not match.
# usage: bench.sh CHANCERY BARE_HANDLER
set -euo pipefail
CHANCERY=$(realpath "$1")
BARE=$(realpath "$2")
SELF=$(realpath "$0")
if [ "$(nproc)" -gt 1 ] && command -v taskset >/dev/null; then SERVER='taskset -c 0' LOAD='taskset -c 1'; else SERVER='' LOAD=''; fi
BENCH_SECONDS=${BENCH_SECONDS:-4}
PARTS=,${ONLY:-bare,parts,chancery,network,reference},
EXAMPLES=$(dirname "$BARE")
INSIDE=${INSIDE:-}
[ -n "$INSIDE" ] || WORK=$(mktemp -d)
ROWS=${ROWS:-$WORK/rows}
export CHANCERY LOAD BENCH_SECONDS WORK ROWS
COSTS=$WORK/costs
[ -n "$INSIDE" ] || : > "$ROWS" > "$COSTS"
STARTED=()
trap 'for pid in "${STARTED[@]}"; do kill "$pid" 2>/dev/null || true; done; rm -rf "$WORK"' EXIT

title() { printf '===== %s =====\n' "$*" >&2; }
wanted() { [[ $PARTS == *,$1,* ]]; }
# row SERVER WORK ARGUMENTS...: measures one row. One that fails is told and left out.
row() {
    local server=$1 work=$2 line
    shift 2
    [[ $work =~ ${WORKS:-.} ]] || return 0
    # shellcheck disable=SC2086
    if line=$($LOAD "$CHANCERY" bench "$@" --seconds "$BENCH_SECONDS" --format json 2> "$WORK/errors"); then
        jq -c --arg server "$server" --arg name "$work" '. + {server: $server, name: $name}' <<< "$line" | tee -a "$ROWS" |
            jq -r '"\(.server): \(.name): \(.requests_per_second)/s, \(.server_cpu_us_per_request) µs"' >&2
    else
        printf '%s: %s: FAILED: %s\n' "$server" "$work" "$(tail -n 3 "$WORK/errors")" >&2
    fi
}

# measure_bare NAME PORT [bodies]
measure_bare() {
    local name=$1 port=$2 operation batch
    title "$name (TLS, JSON, base64, raw aws-lc-rs, two plain audit lines)"
    # shellcheck disable=SC2086
    $SERVER "$BARE" "127.0.0.1:$port" "$WORK/bare.log" "${3:-}" 2> /dev/null &
    STARTED+=($!)
    sleep 1
    openssl s_client -connect "127.0.0.1:$port" < /dev/null 2> /dev/null | openssl x509 > "$WORK/bare.pem"
    export CHANCERY_ADDR=https://127.0.0.1:$port CHANCERY_CACERT=$WORK/bare.pem CHANCERY_TOKEN=none
    for operation in encrypt decrypt rewrap; do
        for batch in 1 100 1000; do
            row "$name" "$operation, batch of $batch" transit --key bench --operation $operation --batch $batch
        done
    done
    row "$name" 'sign, ECDSA P-256' transit --key p256 --operation sign
    row "$name" 'sign, Ed25519' transit --key ed25519 --operation sign
    request
    row "$name" 'pki sign, P-256 request, stored' pki --csr "$WORK/csr.pem"
    row "$name" 'ssh sign, P-256 CA key, recorded' ssh
    unset CHANCERY_ADDR CHANCERY_CACERT CHANCERY_TOKEN
    kill "${STARTED[-1]}"
    rm -f "$WORK/bare.log"
}

# Inside `chancery dev`.
measure_chancery() {
    export CHANCERY_ADDR=$CHANCERY_DEV_TLS_ADDR
    local operation batch keys
    for operation in encrypt decrypt rewrap; do
        for batch in 1 100 1000; do
            row Chancery "$operation, batch of $batch" transit --operation $operation --batch $batch
        done
    done
    row Chancery 'sign, ECDSA P-256' transit --operation sign
    row Chancery 'sign, Ed25519' transit --operation sign --key-type ed25519
    row Chancery 'HMAC' transit --operation hmac
    row Chancery 'data key' transit --operation datakey
    row Chancery 'encrypt in SoftHSM' transit --protection hsm
    row Chancery 'sign in SoftHSM, ECDSA P-256' transit --protection hsm --operation sign
    for keys in 10 100000; do
        row Chancery "encrypt, over $keys keys" transit --keys $keys
    done
    row Chancery 'encrypt, batch of 100,000 of 230 B (31 MiB), 1 connection' transit --batch 100000 --payload 230 --connections 1
    measure_certificates Chancery
}

# What a certificate cannot do without, each alone, in files where the server has its own.
measure_parts() {
    title 'the parts of a certificate'
    local tool
    for tool in sign_parts row_parts certificate_parts ssh_parts acme_parts; do
        # shellcheck disable=SC2086
        $SERVER "$EXAMPLES/$tool" | tee -a "$COSTS" >&2
    done
    [ -n "${SHIM:-}" ] || return 0
    # shellcheck disable=SC2086
    CHANCERY_SHIM_DELAY=1000 $SERVER "$EXAMPLES/sign_parts" network "$SHIM" | tee -a "$COSTS" >&2
}

request() {
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=bench.dev.test -keyout /dev/null \
        2> /dev/null > "$WORK/csr.pem"
}

# measure_certificates SERVER [SUFFIX]
measure_certificates() {
    request
    "$CHANCERY" write pki/roles/unstored allow_any_name=true key_type=ec key_bits=256 max_ttl=72h no_store=true > /dev/null
    row "$1" "pki issue, P-256 leaf, stored${2:-}" pki
    row "$1" "pki sign, P-256 request, stored${2:-}" pki --csr "$WORK/csr.pem"
    row "$1" "pki sign, P-256 request, not stored${2:-}" pki --csr "$WORK/csr.pem" --role unstored
    row "$1" "ssh sign, P-256 CA key, recorded${2:-}" ssh
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
    row Chancery 'sign, ECDSA P-256, 1 ms a call, 4 sessions' transit --protection hsm --operation sign
    measure_certificates Chancery ', 1 ms a call, 4 sessions'
    row Chancery 'encrypt, 1 ms a call, 4 sessions' transit --protection hsm
    row Chancery 'encrypt, batch of 100, 1 ms a call, 4 sessions' transit --protection hsm --batch 100 --connections 4
    unset CHANCERY_ADDR CHANCERY_CACERT CHANCERY_TOKEN
    kill "${STARTED[-1]}"
}

start_reference() {
    printf '[req]\ndistinguished_name=dn\n[dn]\n[leaf]\nsubjectAltName=IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n' > "$WORK/req.cnf"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost -config "$WORK/req.cnf" \
        -extensions leaf -keyout "$WORK/key.pem" -out "$WORK/cert.pem" 2> /dev/null
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
  max_request_json_memory = 1073741824
  max_request_json_strings = 10000000
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
    "$CHANCERY" secrets enable ssh > /dev/null
    "$CHANCERY" write ssh/config/ca key_type=ec key_bits=256 > /dev/null
    "$CHANCERY" write ssh/roles/user key_type=ca allow_user_certificates=true allowed_users='*' > /dev/null
    "$CHANCERY" write pki/roles/web allow_any_name=true key_type=ec key_bits=256 max_ttl=72h > /dev/null
}

measure_reference() {
    title 'OpenBao (raft storage, TLS, one file audit device, GOGC=400, raised JSON limits), a token without `default`'
    start_reference
    local operation batch
    for operation in encrypt decrypt; do
        for batch in 1 100 1000; do
            row OpenBao "$operation, batch of $batch" transit --operation $operation --batch $batch
        done
    done
    row OpenBao 'sign, ECDSA P-256' transit --operation sign
    row OpenBao 'sign, Ed25519' transit --operation sign --key-type ed25519
    row OpenBao 'HMAC' transit --operation hmac
    measure_certificates OpenBao
    title 'OpenBao, a token with the policy `default`'
    printf 'path "transit/*" { capabilities = ["create", "read", "update", "delete", "list"] }' > "$WORK/bench.hcl"
    jq -n --rawfile policy "$WORK/bench.hcl" '{policy: $policy}' |
        curl -sk -H "X-Vault-Token: $CHANCERY_TOKEN" -X PUT "$CHANCERY_ADDR/v1/sys/policies/acl/bench" -d @- > /dev/null
    CHANCERY_TOKEN=$(curl -sk -H "X-Vault-Token: $CHANCERY_TOKEN" -X POST "$CHANCERY_ADDR/v1/auth/token/create" \
        -d '{"policies":["bench"]}' | jq -r .auth.client_token)
    for batch in 1 100; do
        row 'OpenBao, `default` policy' "encrypt, batch of $batch" transit --batch $batch
    done
    row 'OpenBao, `default` policy' 'decrypt, batch of 1' transit --operation decrypt
    row 'OpenBao, `default` policy' 'sign, ECDSA P-256' transit --operation sign
}

# The works in the order they were first measured; the ratios are of CPU time per request to the row above it.
table() {
    jq -rs '
        . as $rows | reduce .[].name as $n ([]; if index([$n]) then . else . + [$n] end) | .[] as $name
        | [$rows[] | select(.name == $name)] as $same
        | ([$same[] | select(.server == "Chancery")][0] // {}) as $ours
        | $same[]
        | (if .server == "Chancery" then . as $row
              | [$same[] | select(.server | startswith("bare handler")) | "\(($row.server_cpu_us_per_request / .server_cpu_us_per_request * 100 | round) / 100)"]
              | if length > 0 then join(" / ") + " of the floor" else "" end
           elif (.server | startswith("OpenBao")) and $ours.requests_per_second then "\(($ours.requests_per_second / .requests_per_second * 10 | round) / 10) times slower"
           else "" end) as $ratio
        | (if .items_per_second > .requests_per_second then "\(.items_per_second)" else "" end) as $items
        | (if .server_memory_most then "\(.server_memory_before / 1048576 | round) → \(.server_memory_most / 1048576 | round) MiB" else "" end) as $memory
        | "| \(if .server == $same[0].server then $name else "" end) | \(.server) | \(.requests_per_second) | \($items) | \(.p50_us / 10 | round / 100) ms | \(.p99_us / 10 | round / 100) ms | \(.server_cpu_us_per_request) µs | \($ratio) | \($memory) |"
    ' "$ROWS" | {
        printf '| work | server | requests/s | items/s | p50 | p99 | server CPU per request | ratio | memory |\n|---|---|---:|---:|---:|---:|---:|---|---|\n'
        cat
    }
}

# What a certificate costs beside the sum of its parts, once with audit lines that name the request, once with the bodies in
# them; then how many signatures a second of those that a bare loop makes.
sums() {
    jq -rn --slurpfile costs "$COSTS" --slurpfile rows "$ROWS" '
        def cost($part): [$costs[] | select(.part == $part) | .cpu_us][0];
        def cpu($server; $name): [$rows[] | select(.server == $server and .name == $name) | .server_cpu_us_per_request][0];
        def hundredths: . * 100 | round / 100;
        def tenths: . * 10 | round / 10;
        cost("C_Sign, ECDSA P-256") as $sign | cost("verify after sign, ECDSA P-256") as $verify
        | ["work", "bare handler, two lines", "read and verify what is asked", "encode", "C_Sign", "verify it", "row", "sum", "server CPU", "times the sum", "with the bodies in the lines"]
        , ["---", (range(10) | "---:")]
        , ( ["pki sign, P-256 request, stored", "pki sign, P-256 request, stored", "read a request and verify it, P-256", "approve and encode a certificate", "row of a certificate, 16 to a commit"]
          , ["pki sign, P-256 request, not stored", "pki sign, P-256 request, stored", "read a request and verify it, P-256", "approve and encode a certificate", null]
          , ["ssh sign, P-256 CA key, recorded", "ssh sign, P-256 CA key, recorded", "read an SSH key", "encode an SSH certificate", "row of an SSH certificate, 16 to a commit"]
          | . as [$work, $bare, $read, $encode, $row]
          | cpu("Chancery"; $work) as $ours | select($ours)
          | [cpu("bare handler"; $bare), cost($read), cost($encode), $sign, $verify, (if $row then cost($row) else 0 end)] as $parts
          | select($parts | all)
          | ($parts | add) as $sum
          | (cpu("bare handler, bodies in its lines"; $bare) // $parts[0]) as $bodies
          | [$work, ($parts[] | if . == 0 then "" else "\(tenths) µs" end), "\($sum | tenths) µs", "\($ours) µs", "\($ours / $sum | hundredths)",
             "\($ours / ($sum - $parts[0] + $bodies) | hundredths)"] )
        | "| " + join(" | ") + " |"'
    jq -rn --slurpfile costs "$COSTS" --slurpfile rows "$ROWS" '
        [$costs[] | select(.part | startswith("C_Sign in a bare loop"))][0] as $loop | select($loop)
        | "", "\($loop.part), 1 ms a call: \($loop.per_second)/s",
          ($rows[] | select(.server == "Chancery" and (.name | contains("1 ms a call")) and (.name | contains("encrypt") | not))
          | "\(.name): \(.requests_per_second)/s, \(.requests_per_second / $loop.per_second * 100 | round) % of it")'
}

if [ "$INSIDE" = table ]; then
    trap - EXIT
    table
    exit
fi
if [ "$INSIDE" = dev ]; then
    trap - EXIT
    measure_chancery
    exit
fi
if wanted bare; then
    measure_bare 'bare handler' 8399
    measure_bare 'bare handler, bodies in its lines' 8387 bodies
fi
if wanted parts; then measure_parts; fi
if wanted chancery; then
    title 'chancery dev (TLS, policies, audit; the CA and the seal in SoftHSM)'
    # shellcheck disable=SC2086
    $SERVER "$CHANCERY" dev --port 0 --no-store -- env INSIDE=dev WORK="$WORK" ROWS="$ROWS" "$SELF" "$CHANCERY" "$BARE"
fi
if wanted network && [ -n "${SHIM:-}" ]; then measure_network; fi
if wanted reference && [ -n "${REFERENCE:-}" ]; then measure_reference; fi
table
if wanted parts; then sums; fi
