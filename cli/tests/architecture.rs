//! The one direction of dependence, read from the manifests themselves (ARCHITECTURE.md, "Crates").
//!
//! To add a crate: give it a row in [`LAYERS`] with everything it may reach. A crate without a row fails the test.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test that cannot go on shall panic")]

use serde_json::Value;
use std::{collections::BTreeMap, process::Command};

/// Every crate of the workspace and the crates of the workspace it may depend on.
const LAYERS: &[(&str, &[&str])] = &[
    ("chancery-engine", &[]),
    ("chancery-envelope", &[]),
    ("chancery-hsm", &[]),
    ("chancery-store", &["chancery-hsm"]),
    ("chancery-auth", &["chancery-engine", "chancery-store"]),
    ("chancery-ca", &["chancery-engine", "chancery-store", "chancery-hsm"]),
    ("chancery-transit", &["chancery-engine", "chancery-store", "chancery-hsm"]),
    ("chancery-kv", &["chancery-engine", "chancery-store"]),
    ("chancery-ssh-ca", &["chancery-engine", "chancery-store", "chancery-hsm"]),
    // `hsm` for its tests, whose mount needs a token.
    ("chancery-acme-server", &["chancery-engine", "chancery-store", "chancery-ca", "chancery-hsm"]),
    (
        "chancery-server",
        &[
            "chancery-engine",
            "chancery-hsm",
            "chancery-store",
            "chancery-auth",
            "chancery-ca",
            "chancery-transit",
            "chancery-kv",
            "chancery-ssh-ca",
            "chancery-acme-server",
        ],
    ),
    ("chancery", &["chancery-server", "chancery-envelope"]),
];

/// Crates that stand outside the layers: nothing may depend on them, and they ship nothing.
const OUTSIDE: &[&str] = &["chancery-softhsm-tests", "chancery-pkcs11-shim"];

/// Doors with one keeper: (dependency, crates that may name it outside of tests).
const KEEPERS: &[(&str, &[&str])] = &[
    ("cryptoki", &["chancery-hsm"]),
    ("cryptoki-sys", &["chancery-hsm"]),
    ("axum", &["chancery-server", "chancery-acme-server"]),
    ("rusqlite", &["chancery-store"]),
    // The command line moves ciphertexts of other people's tables (`bulk rewrap`); it has no database of its own.
    ("tokio-postgres", &["chancery-store", "chancery"]),
    ("hickory-resolver", &["chancery-acme-server"]),
    ("ocsp", &[]),
];

struct Package {
    name: String,
    lints_inherited: bool,
    /// (name, is it a dependency of the shipped code)
    dependencies: Vec<(String, bool)>,
}

fn packages() -> Vec<Package> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    metadata["packages"].as_array().expect("packages").iter().map(package).collect()
}

fn package(value: &Value) -> Package {
    let manifest = value["manifest_path"].as_str().expect("manifest_path");
    let manifest = std::fs::read_to_string(manifest).expect("manifest is readable");
    Package {
        name: value["name"].as_str().expect("name").to_owned(),
        lints_inherited: manifest.contains("[lints]\nworkspace = true"),
        dependencies: value["dependencies"]
            .as_array()
            .expect("dependencies")
            .iter()
            .map(|dependency| {
                (dependency["name"].as_str().expect("name").to_owned(), dependency["kind"].as_str() != Some("dev"))
            })
            .collect(),
    }
}

#[test]
fn crates_depend_only_downwards() {
    let layers: BTreeMap<&str, &[&str]> = LAYERS.iter().copied().collect();
    let mut wrong = Vec::new();
    for package in packages() {
        if OUTSIDE.contains(&package.name.as_str()) {
            continue;
        }
        let Some(allowed) = layers.get(package.name.as_str()) else {
            wrong.push(format!("{} has no row in LAYERS", package.name));
            continue;
        };
        for (dependency, _) in &package.dependencies {
            let ours = dependency.starts_with("chancery");
            if ours && !allowed.contains(&dependency.as_str()) {
                wrong.push(format!("{} -> {dependency}", package.name));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows against the layers: {wrong:#?}");
}

#[test]
fn doors_have_one_keeper() {
    let mut wrong = Vec::new();
    for package in packages() {
        if OUTSIDE.contains(&package.name.as_str()) {
            continue;
        }
        for (door, keepers) in KEEPERS {
            let used = package.dependencies.iter().any(|(name, shipped)| name == door && *shipped);
            if used && !keepers.contains(&package.name.as_str()) {
                wrong.push(format!("{} depends on {door}", package.name));
            }
        }
    }
    assert!(wrong.is_empty(), "only its keeper may open a door: {wrong:#?}");
}

#[test]
fn every_crate_inherits_the_workspace_lints() {
    let lax: Vec<String> = packages()
        .into_iter()
        .filter(|package| !package.lints_inherited && package.name != "chancery-pkcs11-shim")
        .map(|package| package.name)
        .collect();
    assert!(lax.is_empty(), "these crates have lints of their own: {lax:?}");
}
