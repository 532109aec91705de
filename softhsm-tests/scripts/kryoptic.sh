#!/bin/sh
# Builds the Kryoptic software token once, from the crate registry, into target/kryoptic, and prints the module's path.
#
# It is the second token of the conformance list: PIN lockout, exact error codes, raw Ed25519 points. The minimal feature
# set works with the OpenSSL 3.0 of Debian 12 and Ubuntu 24.04 (no EdDSA) and needs clang, libclang-dev, libssl-dev,
# libsqlite3-dev and pkg-config. Takes about a minute.
set -eu

version=1.5.4
root=$(cd "$(dirname "$0")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}/kryoptic
module=$target/build/release/libkryoptic_pkcs11.so

if [ -f "$module" ]; then
    echo "$module"
    exit 0
fi

for package in libclang-dev libssl-dev libsqlite3-dev; do
    if command -v dpkg >/dev/null && ! dpkg -s "$package" >/dev/null 2>&1; then
        echo "kryoptic: the package $package is missing: apt-get install libclang-dev libssl-dev libsqlite3-dev pkg-config" >&2
        exit 2
    fi
done

# Cargo unpacks a crate's sources when a manifest asks for it.
mkdir -p "$target/fetch/src"
: >"$target/fetch/src/lib.rs"
cat >"$target/fetch/Cargo.toml" <<MANIFEST
[package]
name = "fetch"
version = "0.0.0"
edition = "2024"
[dependencies]
kryoptic = { version = "=$version", default-features = false }
[workspace]
MANIFEST
echo "kryoptic: fetching version $version" >&2
cargo fetch --quiet --manifest-path "$target/fetch/Cargo.toml"
manifest=$(cargo metadata --format-version 1 --manifest-path "$target/fetch/Cargo.toml" 2>/dev/null |
    tr ',' '\n' | sed -n 's/.*"manifest_path":"\(.*\/kryoptic-'"$version"'\/Cargo.toml\)".*/\1/p' | head -n 1)
rm -rf "$target/source"
cp -r "$(dirname "$manifest")" "$target/source"
printf '\n[workspace]\n' >>"$target/source/Cargo.toml"

echo "kryoptic: building (about a minute)" >&2
CARGO_TARGET_DIR=$target/build cargo build --quiet --release --locked --manifest-path "$target/source/Cargo.toml" \
    --no-default-features --features minimal,kryoptic-lib/dynamic >&2
echo "$module"
