//! Batches of ciphertexts to `rewrap/KEY`. A rewrap changes nothing on the server, so a request that failed is simply sent
//! again, after a pause that doubles.

use crate::{
    commands::transit::version,
    failure::{Failure, REMOTE, Result},
    remote::{Answer, Ask, Remote, Verb},
};
use serde_json::{Value, json};
use std::{thread, time::Duration};

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

pub(super) struct Server<'a> {
    remote: &'a Remote,
    path: String,
    latest: u64,
    retries: u32,
}

/// A new ciphertext, or why there is none.
pub(super) type Rewrapped = std::result::Result<String, String>;

impl<'a> Server<'a> {
    /// Asks for the key's newest version first: ciphertexts that have it are left alone.
    pub(super) fn new(remote: &'a Remote, mount: &str, key: &str, retries: u32) -> Result<Self> {
        let mount = mount.trim_matches('/');
        let path = format!("{mount}/keys/{key}");
        let answer = remote.read(&path)?;
        let latest = answer.data().get("latest_version").and_then(Value::as_u64).ok_or_else(|| {
            Failure::remote(format!("{path} names no newest version")).fix("is transit mounted there? See --mount")
        })?;
        Ok(Self { remote, path: format!("{mount}/rewrap/{key}"), latest, retries })
    }

    /// The key's newest version.
    pub(super) fn latest(&self) -> u64 {
        self.latest
    }

    /// Rewraps all of them, `batch` in a request, all requests at once. One result for each, in their order.
    pub(super) fn rewrap(&self, ciphertexts: &[&str], batch: usize) -> Result<Vec<Rewrapped>> {
        let results: Vec<Result<Vec<Rewrapped>>> = thread::scope(|scope| {
            let started: Vec<_> =
                ciphertexts.chunks(batch.max(1)).map(|chunk| scope.spawn(move || self.chunk(chunk))).collect();
            let broken = || Err(Failure::local("a thread that rewraps has failed"));
            started.into_iter().map(|thread| thread.join().unwrap_or_else(|_| broken())).collect()
        });
        let mut all = Vec::with_capacity(ciphertexts.len());
        for result in results {
            all.extend(result?);
        }
        Ok(all)
    }

    fn chunk(&self, ciphertexts: &[&str]) -> Result<Vec<Rewrapped>> {
        let items: Vec<Value> = ciphertexts.iter().map(|ciphertext| json!({"ciphertext": ciphertext})).collect();
        let ask = Ask::new(Verb::Post, &self.path).body(json!({"batch_input": items}));
        let mut pause = FIRST_PAUSE;
        let mut left = self.retries;
        loop {
            let failure = match self.remote.attempt(&ask) {
                Ok(answer) => match results(&answer) {
                    Some(results) => return checked(&ask, results, ciphertexts.len()),
                    None if is_too_much(&answer) && ciphertexts.len() > 1 => {
                        let (first, second) = ciphertexts.split_at(ciphertexts.len() / 2);
                        return Ok([self.chunk(first)?, self.chunk(second)?].concat());
                    }
                    None if !matches!(answer.status, 412 | 429 | 500..) || answer.is_sealed() => {
                        return Err(answer.failure(&ask, self.remote.address()));
                    }
                    None => answer.failure(&ask, self.remote.address()),
                },
                Err(failure) if failure.exit == REMOTE => failure,
                Err(failure) => return Err(failure),
            };
            if left == 0 {
                return Err(failure);
            }
            left -= 1;
            thread::sleep(pause);
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }
}

/// The results of a batch; some servers answer 400 when any of its items failed, and the results stand there all the same.
fn results(answer: &Answer) -> Option<&Vec<Value>> {
    answer.data().get("batch_results")?.as_array()
}

/// Too large for one request, or above OpenBao's limit of texts in one body: then it goes in halves.
fn is_too_much(answer: &Answer) -> bool {
    answer.status == 413 || answer.errors().iter().any(|error| error.contains("high complexity"))
}

fn checked(ask: &Ask<'_>, results: &[Value], expected: usize) -> Result<Vec<Rewrapped>> {
    if results.len() != expected {
        return Err(Failure::remote(format!("writing to {} failed", ask.path))
            .because(format!("{expected} ciphertexts were sent and {} came back", results.len())));
    }
    Ok(results.iter().map(rewrapped).collect())
}

fn rewrapped(result: &Value) -> Rewrapped {
    let text = |name: &str| result.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    match (text("error"), text("ciphertext")) {
        (Some(error), _) => Err(error.to_owned()),
        (None, Some(ciphertext)) if version(ciphertext).is_some() => Ok(ciphertext.to_owned()),
        _ => Err("the server gave no ciphertext back".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_has_a_ciphertext_or_a_reason() {
        assert_eq!(rewrapped(&json!({"ciphertext": "vault:v2:AA"})), Ok("vault:v2:AA".to_owned()));
        assert_eq!(rewrapped(&json!({"error": "invalid ciphertext"})), Err("invalid ciphertext".to_owned()));
        for wrong in [json!({}), json!({"ciphertext": "hello"}), json!(null)] {
            assert!(rewrapped(&wrong).is_err());
        }
    }

    #[test]
    fn a_batch_that_lost_items_is_not_trusted() {
        let ask = Ask::new(Verb::Post, "transit/rewrap/app");
        assert!(checked(&ask, &[json!({"ciphertext": "vault:v2:AA"})], 2).is_err());
    }
}
