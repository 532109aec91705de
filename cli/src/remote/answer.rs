//! What came back, and what it means for the reader.

use super::Ask;
use crate::failure::{Failure, Result};
use reqwest::blocking::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::{Zeroize as _, Zeroizing};

/// A complete answer of the server.
#[derive(Debug)]
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) status: u16,
    /// Body as received.
    pub(crate) body: Vec<u8>,
    /// Body as JSON, null where it is not.
    pub(crate) json: Value,
    request_id: Option<String>,
}

/// Vault's envelope, in the order its own command line prints it.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Envelope {
    pub(crate) request_id: String,
    pub(crate) lease_id: String,
    pub(crate) lease_duration: u64,
    pub(crate) renewable: bool,
    pub(crate) data: Value,
    pub(crate) warnings: Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    pub(crate) auth: Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    pub(crate) wrap_info: Value,
}

impl Answer {
    pub(super) fn receive(response: Response, address: &str) -> Result<Self> {
        let status = response.status().as_u16();
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let request_id = header("x-vault-request-id").or_else(|| header("x-request-id"));
        let body = response
            .bytes()
            .map_err(|error| Failure::remote(format!("the answer of {address} broke off")).because(error))?
            .to_vec();
        let json: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let request_id = json.get("request_id").and_then(Value::as_str).map(str::to_owned).or(request_id);
        Ok(Self { status, body, json, request_id })
    }

    /// This answer if it is a success, else the failure that explains it.
    pub(crate) fn successful(self, ask: &Ask<'_>, address: &str) -> Result<Self> {
        // A 404 that carries data is an answer: a deleted version with its metadata.
        let has_data = self.status == 404 && self.json.get("data").is_some_and(|data| !data.is_null());
        if (200..300).contains(&self.status) || has_data { Ok(self) } else { Err(self.failure(ask, address)) }
    }

    pub(crate) fn is_absent(&self) -> bool {
        self.status == 404
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.errors().iter().any(|error| error.contains("is sealed"))
    }

    /// `data`, an empty object where there is none.
    pub(crate) fn data(&self) -> &Value {
        const EMPTY: &Value = &Value::Null;
        self.json.get("data").unwrap_or(EMPTY)
    }

    /// The object that holds what was asked for: `data` in an envelope, the body itself where the endpoint has none.
    pub(crate) fn content(&self) -> Map<String, Value> {
        let content = self.json.get("data").filter(|data| data.is_object()).unwrap_or(&self.json);
        content.as_object().cloned().unwrap_or_default()
    }

    /// A secret text of `data`, taken out: no copy of it stays in this answer.
    pub(crate) fn take_secret(&mut self, member: &str) -> Option<Zeroizing<String>> {
        self.body.zeroize();
        match self.json.get_mut("data")?.get_mut(member).map(Value::take)? {
            Value::String(text) => Some(Zeroizing::new(text)),
            _ => None,
        }
    }

    /// The envelope, if this is one.
    pub(crate) fn envelope(&self) -> Option<Envelope> {
        self.json.get("request_id")?;
        serde_json::from_value(self.json.clone()).ok()
    }

    /// The server's error texts.
    pub(crate) fn errors(&self) -> Vec<String> {
        let texts = self.json.get("errors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        texts.iter().flat_map(|text| text.as_str().map_or_else(|| vec![text.to_string()], unpacked)).collect()
    }

    /// The failure this answer stands for.
    pub(crate) fn failure(&self, ask: &Ask<'_>, address: &str) -> Failure {
        let path = ask.path;
        let mut failure = Failure::remote(format!("{} {path} failed ({})", ask.verb.doing(), self.status));
        failure.why = self.errors();
        if failure.why.is_empty() {
            failure.why = match self.status {
                404 => vec![format!("there is nothing at {path}")],
                _ if self.json.is_null() && !self.body.is_empty() => {
                    vec![format!("{address} did not answer as the API does; is it the right address?")]
                }
                status => vec![format!("the server answered {status} without a reason")],
            };
        }
        failure.fix = self.advice(path, &failure.why.join("; "));
        failure.request_id.clone_from(&self.request_id);
        failure
    }

    fn advice(&self, path: &str, why: &str) -> Option<String> {
        let text = if why.contains("is sealed") {
            "unseal the server: chancery operator unseal".to_owned()
        } else if why.contains("not initialized") {
            "initialize the server: chancery operator init".to_owned()
        } else if why.contains("missing client token") {
            "log in (chancery login) or set CHANCERY_TOKEN".to_owned()
        } else if why.contains("no handler for route") || why.contains("no handler for path") {
            "nothing is mounted there; see: chancery secrets list".to_owned()
        } else if self.status == 403 {
            format!("log in with a token that may do this; what this one may do: chancery token capabilities {path}")
        } else if self.status == 405 {
            format!("this path takes other verbs; see: chancery path-help {path}")
        } else if self.status == 503 {
            "the server is busy; try again shortly".to_owned()
        } else if self.status >= 500 {
            "the server's log has the detail under this request id".to_owned()
        } else {
            return None;
        };
        Some(text)
    }
}

/// Go servers gather several errors in one text: a headline, then one line each behind a star.
fn unpacked(text: &str) -> Vec<String> {
    let items: Vec<String> =
        text.lines().filter_map(|line| line.trim().strip_prefix("* ")).map(str::to_owned).collect();
    if items.is_empty() { vec![text.trim().to_owned()] } else { items }
}

#[cfg(test)]
mod tests {
    use super::super::Verb;
    use super::*;
    use serde_json::json;

    fn answer(status: u16, json: Value) -> Answer {
        Answer { status, body: json.to_string().into_bytes(), json, request_id: None }
    }

    #[test]
    fn denials_say_what_to_do() {
        let ask = Ask::new(Verb::Write, "transit/keys/a");
        let failure = answer(403, json!({"errors": ["permission denied"]})).successful(&ask, "x").unwrap_err();
        assert_eq!(failure.exit, 2);
        assert!(failure.to_string().contains("chancery token capabilities transit/keys/a"), "{failure}");
    }

    #[test]
    fn a_404_with_data_is_an_answer() {
        let ask = Ask::new(Verb::Read, "secret/data/a");
        assert!(answer(404, json!({"data": {"metadata": {}}})).successful(&ask, "x").is_ok());
        let absent = answer(404, json!({"errors": []})).successful(&ask, "x").unwrap_err();
        assert!(absent.to_string().contains("nothing at secret/data/a"), "{absent}");
    }

    #[test]
    fn a_secret_that_was_taken_is_in_the_answer_no_more() {
        let mut answer = answer(200, json!({"data": {"plaintext": "c2VjcmV0", "ciphertext": "c"}}));
        assert_eq!(answer.take_secret("plaintext").unwrap().as_str(), "c2VjcmV0");
        assert!(answer.body.is_empty() && !format!("{answer:?}").contains("c2VjcmV0"));
        assert!(answer.take_secret("plaintext").is_none() && answer.data()["ciphertext"] == "c");
    }

    #[test]
    fn gathered_errors_are_shown_one_by_one() {
        let gathered = answer(403, json!({"errors": ["1 error occurred:\n\t* permission denied\n\n"]}));
        assert_eq!(gathered.errors(), ["permission denied"]);
    }

    #[test]
    fn a_stranger_on_the_port_is_recognised() {
        let mut stranger = answer(400, Value::Null);
        stranger.body = b"<html>".to_vec();
        let failure = stranger.successful(&Ask::new(Verb::Read, "a"), "http://x").unwrap_err();
        assert!(failure.to_string().contains("is it the right address"), "{failure}");
    }
}
