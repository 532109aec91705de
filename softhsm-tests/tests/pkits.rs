//! NIST's PKITS: 405 certificates and 173 CRLs, each read or refused as `pki/pkits.tsv` says.
//!
//! A line has the file, what reading it gives, what its key is taken for, and whether its signature verifies under a
//! certificate of the suite with the issuer's name. The vectors come with the Python package `cryptography_vectors`, which
//! `./x setup` installs. To see what the list would be now: `CHANCERY_PKITS_PRINT=1 cargo test … -- --nocapture`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on shall panic, and the count is part of the proof"
)]

use chancery_ca::{crl::list::CrlList, facts::CertificateFacts, public_key::PublicKey, verify::certificate_signature};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

const LIST: &str = include_str!("../pki/pkits.tsv");

/// Where the vectors are: in the Python environment beside this binary.
fn vectors() -> PathBuf {
    let target = std::env::current_exe().unwrap().ancestors().nth(3).expect("target/<profile>/deps").to_owned();
    let libraries = std::env::var_os("CHANCERY_PYTHON_LIB").map_or_else(|| target.join("py/lib"), PathBuf::from);
    let found = fs::read_dir(&libraries).into_iter().flatten().filter_map(Result::ok).find_map(|python| {
        let data = python.path().join("site-packages/cryptography_vectors/x509/PKITS_data");
        data.is_dir().then_some(data)
    });
    found.unwrap_or_else(|| panic!("no cryptography_vectors below {}: ./x setup", libraries.display()))
}

fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .collect();
    found.sort();
    found
}

/// Every certificate that reads, by its subject.
type Issuers = BTreeMap<Vec<u8>, Vec<CertificateFacts>>;

fn signature(der: &[u8], issuer: &[u8], issuers: &Issuers) -> &'static str {
    match issuers.get(issuer) {
        None => "issuer not here",
        Some(known) if known.iter().any(|issuer| certificate_signature(der, &issuer.public_key)) => "verifies",
        Some(_) => "does not verify",
    }
}

fn certificate(der: &[u8], issuers: &Issuers) -> [String; 3] {
    match CertificateFacts::parse(der) {
        Err(error) => [error.to_string(), "-".to_owned(), "-".to_owned()],
        Ok(facts) => {
            let key = PublicKey::parse(&facts.public_key);
            let key = key.map_or_else(|error| error.to_string(), |key| key.kind().label());
            ["reads".to_owned(), key, signature(der, &facts.issuer, issuers).to_owned()]
        }
    }
}

fn list(der: &[u8], issuers: &Issuers) -> [String; 3] {
    match CrlList::parse(der) {
        Err(error) => [error.to_string(), "-".to_owned(), "-".to_owned()],
        Ok(list) => {
            let entries: Result<Vec<_>, _> = list.entries().collect();
            let entries =
                entries.map_or_else(|error| error.to_string(), |entries| format!("{} revoked", entries.len()));
            ["reads".to_owned(), entries, signature(der, list.issuer, issuers).to_owned()]
        }
    }
}

#[test]
fn every_file_is_read_or_refused_as_written_down() {
    let vectors = vectors();
    let (certificates, lists) = (files(&vectors.join("certs")), files(&vectors.join("crls")));
    assert_eq!((certificates.len(), lists.len()), (405, 173));
    let mut issuers = Issuers::new();
    for facts in certificates.iter().filter_map(|(_, der)| CertificateFacts::parse(der).ok()) {
        issuers.entry(facts.subject.clone()).or_default().push(facts);
    }
    let line = |name: &str, [read, key, signature]: [String; 3]| format!("{name}\t{read}\t{key}\t{signature}");
    let found: Vec<String> = certificates
        .iter()
        .map(|(name, der)| line(name, certificate(der, &issuers)))
        .chain(lists.iter().map(|(name, der)| line(name, list(der, &issuers))))
        .collect();
    if std::env::var_os("CHANCERY_PKITS_PRINT").is_some() {
        println!("{}", found.join("\n"));
    }
    let expected: Vec<&str> = LIST.lines().filter(|line| !line.starts_with('#')).collect();
    let different: Vec<_> = found.iter().filter(|line| !expected.contains(&line.as_str())).collect();
    assert!(different.is_empty() && expected.len() == found.len(), "not as written down: {different:#?}");
    println!("{} files of PKITS are read or refused as written down", found.len());
}
