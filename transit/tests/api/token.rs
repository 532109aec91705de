//! The token behind the suite: in memory, or the PKCS#11 one that the environment names.
//!
//! `softhsm-tests/tests/transit_softhsm.rs` runs the suite a second time with `CHANCERY_TEST_MODULE`, `…_LABEL` and
//! `…_PIN` set: then keys that do not say where they shall live, and could live in a token, do.

use chancery_hsm::{Hsm, Pin, Pkcs11Config, TokenChoice};
use serde_json::Value;
use std::io::Write as _;
use tokio::sync::OnceCell;

/// Types that PKCS#11 tokens have keys of.
const TOKEN_TYPES: [&str; 10] = [
    "aes128-gcm96",
    "aes256-gcm96",
    "ecdsa-p256",
    "ecdsa-p384",
    "ecdsa-p521",
    "ed25519",
    "rsa-2048",
    "rsa-3072",
    "rsa-4096",
    "hmac",
];

static TOKEN: OnceCell<Hsm> = OnceCell::const_new();

fn setting(name: &str) -> Option<String> {
    std::env::var(format!("CHANCERY_TEST_{name}")).ok()
}

/// The token of a mount: one of its own in memory, or the one all share.
pub(crate) async fn open() -> Hsm {
    let Some(module) = setting("MODULE") else { return Hsm::software() };
    let (label, pin) = (setting("LABEL").unwrap(), Pin::new(&setting("PIN").unwrap()).unwrap());
    let config = Pkcs11Config::new(module, TokenChoice::Label(label), pin);
    TOKEN.get_or_init(|| async { Hsm::open(config).await.unwrap() }).await.clone()
}

/// What a key gets that does not say where it shall live, and could live in a token.
pub(crate) fn default_protection() -> &'static str {
    if setting("MODULE").is_some() { "hsm" } else { "software" }
}

/// Asks for protection `hsm` where a new key could have it and nothing else was said.
pub(crate) fn protect(path: &str, mut body: Value) -> Value {
    let is_creation = path.strip_prefix("keys/").is_some_and(|name| !name.contains('/'));
    if setting("MODULE").is_none() || !is_creation {
        return body;
    }
    let fits = could_live_in_token(&body);
    let Some(members) = body.as_object_mut() else { return body };
    if fits {
        members.entry("protection").or_insert("hsm".into());
    }
    let text = |name: &str, default: &str| members.get(name).and_then(Value::as_str).unwrap_or(default).to_owned();
    let line = format!("{} {}\n", text("protection", "software"), text("type", "aes256-gcm96"));
    if let Some(report) = setting("KEYS_MADE") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(report);
        file.unwrap().write_all(line.as_bytes()).unwrap();
    }
    body
}

/// Keys derived per context, exportable ones and HMAC keys of other sizes are software's by nature.
fn could_live_in_token(body: &Value) -> bool {
    let flag = |name: &str| !matches!(&body[name], Value::Null | Value::Bool(false));
    let key_type = body["type"].as_str().unwrap_or("aes256-gcm96");
    let only_software =
        ["derived", "convergent_encryption", "exportable", "allow_plaintext_backup"].into_iter().any(flag);
    let size = &body["key_size"];
    TOKEN_TYPES.contains(&key_type) && !only_software && (size.is_null() || *size == 32)
}
