#!/usr/bin/env bash
# `chancery bench` against a development server of the same (release) build; prints one table per kind of work.
# usage: bench.sh CHANCERY
set -euo pipefail
CHANCERY=$(realpath "$1")
export CHANCERY
# The server on the first core, the load on the second, where there are two.
if [ "$(nproc)" -gt 1 ] && command -v taskset >/dev/null; then SERVER='taskset -c 0' LOAD='taskset -c 1'; else SERVER='' LOAD=''; fi
export LOAD
# shellcheck disable=SC2016,SC2086
exec $SERVER "$CHANCERY" dev --port 0 --no-store -- bash -euc '
    export CHANCERY_ADDR=$CHANCERY_DEV_TLS_ADDR
    for operation in encrypt decrypt sign; do $LOAD "$CHANCERY" bench transit --operation $operation; echo; done
    $LOAD "$CHANCERY" bench transit --batch 100; echo
    $LOAD "$CHANCERY" bench pki'
