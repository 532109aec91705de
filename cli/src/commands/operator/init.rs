//! `operator init`: unseal shares under a Shamir seal, recovery shares where the HSM unseals.

use crate::{
    failure::{Failure, Result},
    output::{Output, print},
    remote::{Ask, Remote, Verb},
};
use clap::Args;
use serde_json::{Map, Value, json};

#[derive(Debug, Args)]
pub(crate) struct InitFlags {
    /// Number of shares of the unseal key
    #[arg(short = 'n', long, value_name = "NUMBER")]
    key_shares: Option<u8>,
    /// How many of them unseal
    #[arg(short = 't', long, value_name = "NUMBER")]
    key_threshold: Option<u8>,
    /// Number of shares of the recovery key, where the HSM unseals
    #[arg(long, value_name = "NUMBER")]
    recovery_shares: Option<u8>,
    /// How many of them authorise
    #[arg(long, value_name = "NUMBER")]
    recovery_threshold: Option<u8>,
    /// Public keys to encrypt the shares for; one per share, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "KEYS")]
    pgp_keys: Vec<String>,
    /// Public key to encrypt the root token for
    #[arg(long, value_name = "KEY")]
    root_token_pgp_key: Option<String>,
    /// Only tell whether the server is initialized
    #[arg(long)]
    status: bool,
}

pub(super) fn run(remote: &Remote, flags: &InitFlags, output: &Output) -> Result<()> {
    if flags.status {
        let status = remote.read("sys/init")?.content();
        let initialized = status.get("initialized").and_then(Value::as_bool).unwrap_or(false);
        if !initialized {
            return Err(Failure::remote("the server is not initialized").fix("chancery operator init"));
        }
        return output.pairs(&[("Initialized", "true".to_owned())], &Value::Object(status));
    }
    let seal = remote.read("sys/seal-status")?.content();
    // A seal that opens by itself has recovery shares instead of unseal shares.
    let recovery = seal.get("recovery_seal").and_then(Value::as_bool).unwrap_or(false);
    let (shares, threshold) = if recovery {
        (flags.recovery_shares, flags.recovery_threshold)
    } else {
        (flags.key_shares, flags.key_threshold)
    };
    let (shares, threshold) = (shares.unwrap_or(5), threshold.unwrap_or(3));
    let names = if recovery {
        ("recovery_shares", "recovery_threshold", "recovery_pgp_keys")
    } else {
        ("secret_shares", "secret_threshold", "pgp_keys")
    };
    let answer = remote.send(&Ask::new(Verb::Write, "sys/init").members([
        (names.0, Some(json!(shares))),
        (names.1, Some(json!(threshold))),
        (names.2, (!flags.pgp_keys.is_empty()).then(|| json!(flags.pgp_keys))),
        ("root_token_pgp_key", flags.root_token_pgp_key.as_ref().map(|key| json!(key))),
    ]))?;
    let made = answer.content();
    if output.is_table() { print(&people(&made, shares, threshold)) } else { output.object(&machine(made)) }
}

/// The members Vault's own command line prints.
fn machine(made: Map<String, Value>) -> Map<String, Value> {
    let renamed = [
        ("keys_base64", "unseal_keys_b64"),
        ("keys", "unseal_keys_hex"),
        ("recovery_keys_base64", "recovery_keys_b64"),
        ("recovery_keys", "recovery_keys_hex"),
    ];
    made.into_iter()
        .map(|(name, value)| {
            let name = renamed.iter().find(|(old, _)| *old == name).map_or(name, |(_, new)| (*new).to_owned());
            (name, value)
        })
        .collect()
}

fn people(made: &Map<String, Value>, shares: u8, threshold: u8) -> String {
    let keys = |name: &str| made.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let (unseal, recovery) = (keys("keys_base64"), keys("recovery_keys_base64"));
    let (label, listed) = if recovery.is_empty() { ("Unseal Key", unseal) } else { ("Recovery Key", recovery) };
    let mut text = String::new();
    for (number, key) in (1..).zip(&listed) {
        text.push_str(&format!("{label} {number}: {}\n", key.as_str().unwrap_or_default()));
    }
    let token = made.get("root_token").and_then(Value::as_str).unwrap_or_default();
    text.push_str(&format!("\nInitial Root Token: {token}\n\n"));
    text.push_str(&if label == "Unseal Key" {
        format!(
            "The unseal key is split into {shares} shares; {threshold} of them unseal the server after each start.\n\
             Hand them to different people now: they are shown this once, and without {threshold} of them the data is lost.\n\
             Next: chancery operator unseal"
        )
    } else {
        format!(
            "The HSM unseals the server by itself. The recovery key is split into {shares} shares; {threshold} of them\n\
             authorise a new root token or new shares. They are shown this once.\n\
             Next: chancery login"
        )
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_get_the_customary_names() {
        let made = json!({"keys": ["aa"], "keys_base64": ["qg=="], "root_token": "s.x"});
        let printed = machine(made.as_object().unwrap().clone());
        assert_eq!(printed["unseal_keys_hex"], json!(["aa"]));
        assert_eq!(printed["unseal_keys_b64"], json!(["qg=="]));
    }

    #[test]
    fn people_are_told_which_kind_of_share_they_hold() {
        let made = json!({"keys": [], "keys_base64": [], "recovery_keys_base64": ["qg=="], "root_token": "s.x"});
        let text = people(made.as_object().unwrap(), 5, 3);
        assert!(text.starts_with("Recovery Key 1: qg==") && text.contains("HSM unseals"), "{text}");
    }
}
