//! `bench transit`: keys are made for the run, used, and deleted after it.

use super::{
    Ask, LoadFlags, Work,
    load::{self, Answer},
    wire::Target,
};
use crate::{
    failure::{Failure, Result},
    remote::Remote,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

#[derive(Debug, Args)]
pub(crate) struct TransitFlags {
    #[command(flatten)]
    load: LoadFlags,
    /// What to do
    #[arg(long, value_enum, default_value = "encrypt")]
    operation: TransitOperation,
    /// Where transit is mounted
    #[arg(long, default_value = "transit")]
    mount: String,
    /// Kind of the keys that are made for the run and deleted after it
    #[arg(long)]
    key_type: Option<String>,
    /// Where those keys live, `software` or `hsm`; left to the server if not given
    #[arg(long, value_name = "LEVEL")]
    protection: Option<String>,
    /// Spread the requests over so many keys
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    keys: usize,
    /// Use this key, which is there already, instead of making one
    #[arg(long, value_name = "NAME", conflicts_with_all = ["key_type", "protection", "keys"])]
    key: Option<String>,
    /// Size of one plaintext
    #[arg(long, default_value_t = 32, value_name = "BYTES")]
    payload: usize,
    /// Items in one request
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    batch: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TransitOperation {
    Encrypt,
    Decrypt,
    Rewrap,
    Sign,
    Hmac,
    Datakey,
}

impl TransitFlags {
    pub(super) fn load(&self) -> &LoadFlags {
        &self.load
    }

    fn key_type(&self) -> &str {
        let usual = if self.operation == TransitOperation::Sign { "ecdsa-p256" } else { "aes256-gcm96" };
        self.key_type.as_deref().unwrap_or(usual)
    }

    fn title(&self) -> String {
        let verb = self.operation.verb();
        let place = self.protection.as_ref().map_or(String::new(), |level| format!(" in {level}"));
        let keys = if self.keys > 1 { format!(", {} keys", self.keys) } else { String::new() };
        format!("transit {verb} {}{place}, {} bytes, {} per request{keys}", self.key_type(), self.payload, self.batch)
    }
}

impl TransitOperation {
    fn verb(self) -> &'static str {
        match self {
            Self::Encrypt => "encrypt",
            Self::Decrypt => "decrypt",
            Self::Rewrap => "rewrap",
            Self::Sign => "sign",
            Self::Hmac => "hmac",
            Self::Datakey => "datakey/plaintext",
        }
    }

    fn takes_ciphertexts(self) -> bool {
        matches!(self, Self::Decrypt | Self::Rewrap)
    }
}

/// The keys of a run.
pub(super) struct Stage<'r> {
    remote: &'r Remote,
    flags: &'r TransitFlags,
    mount: &'r str,
    names: Vec<String>,
}

impl<'r> Stage<'r> {
    /// Makes the keys, unless one was named.
    pub(super) fn set(remote: &'r Remote, flags: &'r TransitFlags) -> Result<Self> {
        let name = |number: usize| format!("bench-{}-{number}", std::process::id());
        let names = flags.key.clone().map_or_else(|| (0..flags.keys.max(1)).map(name).collect(), |name| vec![name]);
        let stage = Self { remote, flags, mount: flags.mount.trim_matches('/'), names };
        if flags.key.is_none() {
            let mut key = json!({"type": flags.key_type()});
            if let (Some(level), Some(members)) = (&flags.protection, key.as_object_mut()) {
                members.insert("protection".to_owned(), json!(level));
            }
            stage.send(|path| Ask::post(path, key.clone()), "keys", "")?;
        }
        Ok(stage)
    }

    /// Deletes the keys that were made.
    pub(super) fn clear(&self) -> Result<()> {
        if self.flags.key.is_some() {
            return Ok(());
        }
        self.send(|path| Ask::post(path, json!({"deletion_allowed": true})), "keys", "/config")?;
        self.send(|path| Ask { method: "DELETE", path, body: json!({}) }, "keys", "").map(drop)
    }

    /// What is to be measured: one request a key.
    pub(super) fn work(&self) -> Result<Work> {
        let flags = self.flags;
        let plaintext = STANDARD.encode(vec![0x5a; flags.payload]);
        let asks = if flags.operation.takes_ciphertexts() {
            let encrypted = self.send(|path| Ask::post(path, json!({"plaintext": plaintext})), "encrypt", "")?;
            let ciphertexts = encrypted.iter().map(ciphertext).collect::<Result<Vec<_>>>()?;
            self.names.iter().zip(ciphertexts).map(|(name, text)| self.ask(name, "ciphertext", &text)).collect()
        } else {
            let member = match flags.operation {
                TransitOperation::Encrypt => "plaintext",
                _ => "input",
            };
            self.names.iter().map(|name| self.ask(name, member, &json!(plaintext))).collect()
        };
        Ok(Work { title: flags.title(), asks, items: flags.batch.max(1) })
    }

    fn ask(&self, name: &str, member: &str, value: &Value) -> Ask {
        let path = format!("{}/{}/{name}", self.mount, self.flags.operation.verb());
        let body = match (self.flags.operation, self.flags.batch) {
            (TransitOperation::Datakey, _) => json!({}),
            (_, 0 | 1) => json!({member: value}),
            (_, items) => json!({"batch_input": vec![json!({member: value}); items]}),
        };
        Ask::post(path, body)
    }

    /// Sends one request for each key, over several connections, and wants every one to succeed.
    fn send(&self, ask: impl Fn(String) -> Ask, place: &str, tail: &str) -> Result<Vec<Answer>> {
        let paths = self.names.iter().map(|name| format!("{}/{place}/{name}{tail}", self.mount));
        let answers = load::each(Target::new(self.remote, paths.map(ask))?, self.flags.load.connections)?;
        match answers.iter().find(|(status, _)| !(200..300).contains(status)) {
            None => Ok(answers),
            Some((status, body)) => Err(Failure::remote(format!(
                "the server answered {status} to {}/{place}: {}",
                self.mount,
                String::from_utf8_lossy(body).trim()
            ))),
        }
    }
}

fn ciphertext((_, body): &Answer) -> Result<Value> {
    let answer: Value = serde_json::from_slice(body)
        .map_err(|error| Failure::remote("the answer to encrypt is not JSON").because(error))?;
    Ok(answer.pointer("/data/ciphertext").cloned().unwrap_or_default())
}
