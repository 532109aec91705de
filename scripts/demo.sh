#!/usr/bin/env bash
# The main job, end to end, on a private SoftHSM token in a temporary directory: keys made in the token issue a certificate
# that openssl accepts and protect the user's own file over HTTPS. Every step names the outside tool that proves it.
#
# usage: demo.sh CHANCERY [--keep] [FILE]
set -euo pipefail

CHANCERY=$(realpath "$1")
shift
KEEP=
FILE=
for argument in "$@"; do
    case $argument in
        --keep) KEEP=1 ;;
        *) FILE=$(realpath "$argument") ;;
    esac
done

if [ -t 1 ]; then BOLD=$'\e[1m' GREEN=$'\e[32m' RED=$'\e[31m' PLAIN=$'\e[0m'; else BOLD='' GREEN='' RED='' PLAIN=''; fi
WORK=$(mktemp -d "${TMPDIR:-/tmp}/chancery-demo-XXXXXX")
SERVER=
STEP='the beginning'
step() { STEP=$1; printf '\n%s%s%s\n' "$BOLD" "$1" "$PLAIN"; }
proven() { printf '  %sproven%s by %s: %s\n' "$GREEN" "$PLAIN" "$1" "$2"; }
fail() {
    printf '  %sFAILED%s: %s\n' "$RED" "$PLAIN" "$1" >&2
    exit 1
}
finish() {
    local status=$?
    if [ $status -ne 0 ]; then
        printf '\n%sthe demo failed at: %s%s\n' "$RED" "$STEP" "$PLAIN" >&2
        [ -s "$WORK/server.log" ] && tail -n 20 "$WORK/server.log" >&2
    fi
    if [ -z "$KEEP" ] || [ $status -ne 0 ]; then
        [ -n "$SERVER" ] && kill "$SERVER" 2>/dev/null && wait "$SERVER" 2>/dev/null
        rm -rf "$WORK"
    fi
    exit $status
}
trap finish EXIT

MODULE=
for candidate in /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so /usr/lib64/pkcs11/libsofthsm2.so; do
    [ -e "$candidate" ] && MODULE=$candidate && break
done
[ -n "$MODULE" ] || fail "SoftHSM is not installed; ./x setup installs it"

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
chancery() { "$CHANCERY" "$@"; }
export HOME=$WORK/home
mkdir -m 700 "$HOME"
unset CHANCERY_TOKEN BAO_TOKEN VAULT_TOKEN CHANCERY_NAMESPACE BAO_NAMESPACE VAULT_NAMESPACE

make_token() { # make_token LABEL DIRECTORY: a token of its own with a PIN of its own
    mkdir -p -m 700 "$2/tokens"
    printf 'directories.tokendir = %s/tokens\nobjectstore.backend = file\nlog.level = ERROR\n' "$2" > "$2/softhsm2.conf"
    (umask 077 && openssl rand -hex 8 > "$2/pin")
    SOFTHSM2_CONF=$2/softhsm2.conf softhsm2-util --init-token --free --label "$1" \
        --pin "$(cat "$2/pin")" --so-pin "$(openssl rand -hex 8)" > /dev/null
}

# -------------------------------------------------------------------------------------------------------------------
step '1. A PKCS#11 token of our own'
make_token demo "$WORK"
export SOFTHSM2_CONF=$WORK/softhsm2.conf
pkcs11-tool --module "$MODULE" --list-token-slots 2>/dev/null | grep -q 'token label *: demo' || fail 'pkcs11-tool does not see the token'
proven pkcs11-tool 'a SoftHSM token named "demo", empty, in a directory nobody else can read'

# -------------------------------------------------------------------------------------------------------------------
step '2. A server sealed by a key in that token, HTTPS only'
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj '/CN=Chancery demo TLS' \
    -addext 'basicConstraints=critical,CA:TRUE' -keyout "$WORK/tls-ca.key" -out "$WORK/tls-ca.pem" 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=localhost' \
    -keyout "$WORK/tls.key" -out "$WORK/tls.csr" 2>/dev/null
printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\nauthorityKeyIdentifier=keyid\n' > "$WORK/tls.ext"
openssl x509 -req -in "$WORK/tls.csr" -CA "$WORK/tls-ca.pem" -CAkey "$WORK/tls-ca.key" -days 2 \
    -extfile "$WORK/tls.ext" -out "$WORK/tls.pem" 2>/dev/null
PORT=$(free_port)
export CHANCERY_ADDR=https://127.0.0.1:$PORT CHANCERY_CACERT=$WORK/tls-ca.pem
chancery init --non-interactive --dir "$WORK/chancery" --module "$MODULE" --token demo --pin-file "$WORK/pin" \
    --listen "127.0.0.1:$PORT" --tls-cert "$WORK/tls.pem" --tls-key "$WORK/tls.key" \
    --recovery-shares 3 --recovery-threshold 2 --format json > "$WORK/init.json"
CHANCERY_TOKEN=$(jq -r .root_token "$WORK/init.json")
export CHANCERY_TOKEN
"$CHANCERY" server --config "$WORK/chancery/chancery.toml" > "$WORK/server.log" 2>&1 &
SERVER=$!
for _ in $(seq 100); do
    chancery status > /dev/null 2>&1 && break
    kill -0 "$SERVER" 2>/dev/null || fail 'the server ended'
    sleep 0.1
done
[ "$(curl -s --cacert "$WORK/tls-ca.pem" "$CHANCERY_ADDR/v1/sys/seal-status" | jq -r .sealed)" = false ] || fail 'still sealed'
proven curl 'the server answers over TLS and has unsealed itself with the token, no human needed'

# -------------------------------------------------------------------------------------------------------------------
step '3. A root and an intermediate CA whose keys are made in the token'
chancery secrets enable --max-lease-ttl 87600h pki > /dev/null
chancery write --format json pki/root/generate/internal common_name='Demo Root CA' issuer_name=root key_type=ec key_bits=256 \
    ttl=8760h > "$WORK/root.json"
jq -r .data.certificate "$WORK/root.json" > "$WORK/root.pem"
chancery secrets enable --path pki_int --max-lease-ttl 43800h pki > /dev/null
chancery write --field csr pki_int/intermediate/generate/internal common_name='Demo Intermediate CA' key_type=ec key_bits=256 \
    > "$WORK/intermediate.csr"
openssl req -in "$WORK/intermediate.csr" -noout -verify 2>&1 | grep -qi 'verif.*OK' || fail 'the request is not signed by its key'
chancery write --field certificate pki/root/sign-intermediate csr=@"$WORK/intermediate.csr" common_name='Demo Intermediate CA' \
    ttl=4380h > "$WORK/intermediate.pem"
chancery write pki_int/intermediate/set-signed certificate=@"$WORK/intermediate.pem" > /dev/null
proven openssl 'the intermediate'"'"'s request was signed by a key that is in the token only'

# -------------------------------------------------------------------------------------------------------------------
step '4. A certificate for www.demo.test'
chancery write pki_int/roles/web allowed_domains=demo.test allow_subdomains=true key_type=ec key_bits=256 max_ttl=72h > /dev/null
chancery write --format json pki_int/issue/web common_name=www.demo.test ttl=24h > "$WORK/leaf.json"
jq -r .data.certificate "$WORK/leaf.json" > "$WORK/leaf.pem"
openssl verify -CAfile "$WORK/root.pem" -untrusted "$WORK/intermediate.pem" -verify_hostname www.demo.test -x509_strict \
    "$WORK/leaf.pem" > "$WORK/verify.txt" 2>&1 || fail "$(cat "$WORK/verify.txt")"
proven 'openssl verify' "$(openssl x509 -in "$WORK/leaf.pem" -noout -subject -enddate | paste -sd' ')"
chancery write pki_int/issue/web common_name=www.elsewhere.test > /dev/null 2>&1 && fail 'a name outside the role was issued'
proven 'the answer' 'www.elsewhere.test is refused: the role does not allow it'

# -------------------------------------------------------------------------------------------------------------------
step '5. Your own file, encrypted, decrypted and rewrapped'
if [ -z "$FILE" ]; then
    FILE=$WORK/letter.txt
    printf 'The quick brown fox meets the HSM.\n%s\n' "$(date)" > "$FILE"
fi
chancery secrets enable transit > /dev/null
chancery write -f transit/keys/demo > /dev/null
call() { # call PATH: the JSON object of standard input, through curl
    curl -sS --fail-with-body --cacert "$WORK/tls-ca.pem" -H "X-Vault-Token: $CHANCERY_TOKEN" --data-binary @- \
        "$CHANCERY_ADDR/v1/$1"
}
base64 -w0 < "$FILE" | jq -R '{plaintext: .}' | call transit/encrypt/demo | jq -r .data.ciphertext > "$WORK/one"
chancery write -f transit/keys/demo/rotate > /dev/null
jq -R '{ciphertext: .}' < "$WORK/one" | call transit/rewrap/demo | jq -r .data.ciphertext > "$WORK/two"
case $(cat "$WORK/one") in vault:v1:*) ;; *) fail 'the first ciphertext is not of version 1' ;; esac
case $(cat "$WORK/two") in vault:v2:*) ;; *) fail 'the rewrapped ciphertext is not of version 2' ;; esac
for which in one two; do
    jq -R '{ciphertext: .}' < "$WORK/$which" | call transit/decrypt/demo | jq -r .data.plaintext | base64 -d > "$WORK/$which.plain"
    cmp "$FILE" "$WORK/$which.plain" || fail 'what came back is not what went in'
done
proven 'curl and cmp' "$(wc -c < "$FILE") bytes came back unchanged, from version 1 and from the rewrapped version 2"

# -------------------------------------------------------------------------------------------------------------------
step '6. The keys cannot leave the token'
pkcs11-tool --module "$MODULE" --token-label demo --login --pin "$(cat "$WORK/pin")" --list-objects 2>/dev/null > "$WORK/objects.txt"
private=$(grep -cE '^(Private Key|Secret Key) Object' "$WORK/objects.txt") || fail 'there are no keys in the token'
for attribute in sensitive 'never extractable'; do
    have=$(grep -E '^ +Access:' "$WORK/objects.txt" | grep -v 'Access: *\(none\|local\)$' | grep -c "$attribute") || true
    [ "$have" = "$private" ] || fail "$have of $private private and secret keys are $attribute"
done
proven 'pkcs11-tool -O' "all $private private and secret keys are sensitive and never extractable"

# -------------------------------------------------------------------------------------------------------------------
step '7. A stolen database'
kill -TERM "$SERVER" && wait "$SERVER" || fail 'the server did not stop in order'
SERVER=
make_token demo "$WORK/thief" 2>/dev/null || { mkdir -p "$WORK/thief" && make_token demo "$WORK/thief"; }
cp -r "$WORK/chancery" "$WORK/thief/chancery"
sed -i "s#$WORK/chancery#$WORK/thief/chancery#; s#$WORK/pin#$WORK/thief/pin#" "$WORK/thief/chancery/chancery.toml"
if SOFTHSM2_CONF=$WORK/thief/softhsm2.conf timeout 20 "$CHANCERY" server --config "$WORK/thief/chancery/chancery.toml" \
    > "$WORK/thief.log" 2>&1; then
    fail 'the database opened on another token'
fi
grep -q 'cannot unseal' "$WORK/thief.log" || fail "it failed for another reason: $(tail -n 3 "$WORK/thief.log")"
for secret in "$(cat "$WORK/pin")" 'The quick brown fox' "$CHANCERY_TOKEN"; do
    grep -rqaF -- "$secret" "$WORK/chancery/"chancery.db* && fail 'a secret stands in the database in clear'
done
proven 'a second SoftHSM token and grep' 'the copied database stays shut there, and holds no secret in clear'

# -------------------------------------------------------------------------------------------------------------------
step '8. The audit log'
chancery audit verify "$WORK/chancery/audit.jsonl" > "$WORK/audit.txt" || fail "$(cat "$WORK/audit.txt")"
sed '3s/"type"/"tYpe"/' "$WORK/chancery/audit.jsonl" > "$WORK/altered.jsonl"
chancery audit verify "$WORK/altered.jsonl" > /dev/null 2>&1 && fail 'an altered line was not noticed'
sed '3d' "$WORK/chancery/audit.jsonl" > "$WORK/shorter.jsonl"
chancery audit verify "$WORK/shorter.jsonl" > /dev/null 2>&1 && fail 'a missing line was not noticed'
lines=$(wc -l < "$WORK/chancery/audit.jsonl")
proven 'chancery audit verify' "$lines lines chain up to a checkpoint signed by the token; an altered or missing line is noticed"

# -------------------------------------------------------------------------------------------------------------------
if [ -n "$KEEP" ]; then
    setsid "$CHANCERY" server --config "$WORK/chancery/chancery.toml" > "$WORK/server.log" 2>&1 < /dev/null &
    SERVER=$!
    for _ in $(seq 100); do chancery status > /dev/null 2>&1 && break; sleep 0.1; done
    printf '\nThe server keeps running (process %s). To use it:\n\n' "$SERVER"
    printf '  export CHANCERY_ADDR=%s CHANCERY_CACERT=%s CHANCERY_TOKEN=%s\n' "$CHANCERY_ADDR" "$CHANCERY_CACERT" "$CHANCERY_TOKEN"
    printf '  export VAULT_ADDR=%s VAULT_CACERT=%s VAULT_TOKEN=%s\n' "$CHANCERY_ADDR" "$CHANCERY_CACERT" "$CHANCERY_TOKEN"
    printf '  export SOFTHSM2_CONF=%s\n' "$SOFTHSM2_CONF"
    printf '\nTo end it and remove everything:\n\n  kill %s; sleep 2; rm -r %s\n' "$SERVER" "$WORK"
else
    printf '\n%sEverything held.%s Nothing is left behind.\n' "$GREEN" "$PLAIN"
fi
