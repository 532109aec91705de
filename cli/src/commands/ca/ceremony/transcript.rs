//! The transcript: the file, the approvals, every request with its answer, signed by a key of the HSM. Reading it again
//! needs no server.

use super::{
    approval::{Approval, Approvals},
    keys::{self, VerifyingKey},
    plan::{Plan, Step},
};
use crate::{
    failure::{Failure, Result},
    remote::{Answer, Remote},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{fs, io::Write as _, path::Path};

/// What `format` must say.
const FORMAT: &str = "chancery-ceremony-1";
const COMPLETE: &str = "complete";

/// What happened.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Transcript {
    format: String,
    name: String,
    file_sha256: String,
    /// The file, byte for byte.
    file: String,
    approvals: Vec<Approval>,
    server: String,
    chancery_version: String,
    began: String,
    ended: String,
    outcome: String,
    entries: Vec<Entry>,
}

/// One request and its answer.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    at: String,
    step: String,
    action: String,
    path: String,
    body: Value,
    status: u16,
    request_id: Value,
    data: Value,
    warnings: Value,
    errors: Vec<String>,
}

/// The transcript as it lies in its file.
#[derive(Debug, Serialize, Deserialize)]
struct Signed {
    /// What was signed, byte for byte.
    transcript: String,
    /// base64
    signature: String,
    /// mount/key
    signed_by: String,
    public_key: String,
}

/// What a transcript proves.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) name: String,
    pub(super) hash: String,
    pub(super) approvers: Vec<String>,
    pub(super) outcome: String,
    /// Name and PEM.
    pub(super) certificates: Vec<(String, String)>,
    /// SHA-256 of the key it is signed with.
    pub(super) key: String,
}

impl Transcript {
    pub(super) fn begin(plan: &Plan, approvals: &Approvals, server: &str) -> Self {
        Self {
            format: FORMAT.to_owned(),
            name: plan.content.name.clone(),
            file_sha256: plan.hash.clone(),
            file: plan.text.clone(),
            approvals: approvals.list().to_vec(),
            server: server.to_owned(),
            chancery_version: env!("CARGO_PKG_VERSION").to_owned(),
            began: Timestamp::now().to_string(),
            ended: String::new(),
            outcome: String::new(),
            entries: Vec::new(),
        }
    }

    pub(super) fn note(&mut self, step: &Step, path: &str, body: &Value, answer: &Answer) {
        let part = |name: &str| answer.json.get(name).cloned().unwrap_or(Value::Null);
        // Keys of a ceremony are made in the HSM, so no answer has one; should that ever change, it stays out of here.
        let data = match part("data") {
            Value::Object(data) => data.into_iter().filter(|(name, _)| !name.starts_with("private_key")).collect(),
            _ => Map::new(),
        };
        self.entries.push(Entry {
            at: Timestamp::now().to_string(),
            step: step.name().to_owned(),
            action: step.action().to_owned(),
            path: path.to_owned(),
            body: body.clone(),
            status: answer.status,
            request_id: part("request_id"),
            data: Value::Object(data),
            warnings: part("warnings"),
            errors: answer.errors(),
        });
    }

    pub(super) fn end(&mut self, failure: Option<&Failure>) {
        self.ended = Timestamp::now().to_string();
        self.outcome = failure.map_or_else(|| COMPLETE.to_owned(), |failure| format!("failed: {failure}"));
    }

    /// The certificate of each step, by the step's name.
    fn certificates(&self) -> Vec<(String, String)> {
        let made =
            self.entries.iter().filter(|entry| entry.path.contains("/sign-intermediate") || entry.action == "root");
        let certificate = |entry: &Entry| {
            let text = entry.data.get("certificate")?.as_str()?;
            Some((entry.step.clone(), format!("{}\n", text.trim_end())))
        };
        made.filter_map(certificate).collect()
    }
}

/// The key that will sign.
#[derive(Debug)]
pub(super) struct Scribe {
    place: String,
    key: VerifyingKey,
}

impl Scribe {
    /// Finds the key, and refuses one that is not in the HSM.
    pub(super) fn find(remote: &Remote, place: &str) -> Result<Self> {
        let unfit = |why: &str| {
            Failure::local(format!("{place} cannot sign the transcript"))
                .because(why)
                .fix("chancery transit key create NAME --type ecdsa-p256 protection=hsm, and name it in the file")
        };
        let (mount, name) = place.rsplit_once('/').ok_or_else(|| unfit("it is not MOUNT/KEY"))?;
        let answer = remote.read(&format!("{mount}/keys/{name}"))?;
        let data = answer.data();
        if data.get("protection").and_then(Value::as_str) != Some("hsm") {
            return Err(unfit("its protection is not hsm: whoever has the disk could sign with it"));
        }
        let latest = data.get("latest_version").map(Value::to_string).unwrap_or_default();
        let public = data.pointer(&format!("/keys/{latest}/public_key")).and_then(Value::as_str).unwrap_or_default();
        let key = VerifyingKey::from_transit(public).ok_or_else(|| unfit("it is not Ed25519, P-256, P-384 or RSA"))?;
        Ok(Self { place: place.to_owned(), key })
    }

    pub(super) fn key(&self) -> &VerifyingKey {
        &self.key
    }

    /// Signs and writes. What cannot be signed is kept beside it, as its record of what happened is all there is.
    pub(super) fn write(&self, remote: &Remote, transcript: &Transcript, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(transcript)
            .map_err(|error| Failure::local("the transcript cannot be written").because(error))?;
        let signature = keys::sign_with_transit(remote, &self.place, &self.key, text.as_bytes());
        let signature = match signature {
            Ok(signature) if self.key.verify(text.as_bytes(), &signature) => signature,
            other => {
                let unsigned = path.with_extension("unsigned");
                write_new(&unsigned, &text)?;
                let why = other.err().map_or_else(|| "its signature does not verify".to_owned(), |why| why.to_string());
                return Err(Failure::remote(format!("{} could not sign the transcript", self.place))
                    .because(why)
                    .fix(format!("what happened is in {}", unsigned.display())));
            }
        };
        let signed = Signed {
            transcript: text,
            signature: STANDARD.encode(signature),
            signed_by: self.place.clone(),
            public_key: self.key.to_pem(),
        };
        let text = serde_json::to_string_pretty(&signed)
            .map_err(|error| Failure::local("the transcript cannot be written").because(error))?;
        write_new(path, &(text + "\n"))
    }
}

/// Reads a transcript: signed by the key, about this file, approved by enough people.
pub(super) fn examine(text: &str, pinned: Option<&VerifyingKey>, file: Option<&str>) -> Result<Report, String> {
    let signed: Signed = serde_json::from_str(text).map_err(|error| format!("it is no transcript: {error}"))?;
    let named = VerifyingKey::from_pem(&signed.public_key).ok_or("its public key cannot be read")?;
    let key = pinned.unwrap_or(&named);
    let signature = STANDARD.decode(&signed.signature).map_err(|_| "its signature is not base64")?;
    if !key.verify(signed.transcript.as_bytes(), &signature) {
        return Err(format!("its signature is not one of the key with SHA-256 {}", key.fingerprint()));
    }
    let transcript: Transcript = serde_json::from_str(&signed.transcript)
        .map_err(|error| format!("what was signed is no transcript: {error}"))?;
    if transcript.format != FORMAT {
        return Err(format!("its format is {:?}, not {FORMAT:?}", transcript.format));
    }
    let plan = Plan::parse(transcript.file.clone()).map_err(|why| format!("its file is no ceremony: {why}"))?;
    if plan.hash != transcript.file_sha256 || file.is_some_and(|file| file != plan.hash) {
        return Err(format!("it is about the file with SHA-256 {}", plan.hash));
    }
    if plan.content.transcript != signed.signed_by {
        return Err(format!("its file wants it signed by {}", plan.content.transcript));
    }
    let certificates = transcript.certificates();
    let approvals = Approvals::verified(&plan, transcript.approvals)?;
    if transcript.outcome == COMPLETE && certificates.len() != plan.content.step.len() {
        return Err("it says that it is complete, but a step has no certificate".to_owned());
    }
    Ok(Report {
        name: transcript.name,
        hash: plan.hash.clone(),
        approvers: approvals.list().iter().map(|approval| approval.approver.clone()).collect(),
        outcome: transcript.outcome,
        certificates,
        key: key.fingerprint(),
    })
}

/// Writes a file that must not be there yet, whole or not at all.
pub(super) fn write_new(path: &Path, text: &str) -> Result<()> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::local(format!("{} cannot be written", path.display())).because(error);
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(directory).map_err(|error| failed(&error))?;
    let mut file = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(directory)
        .map_err(|error| failed(&error))?;
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(|error| failed(&error))?;
    file.persist_noclobber(path).map(|_| ()).map_err(|error| failed(&error.error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::ca::ceremony::{approval, keys::tests::fresh};
    use serde_json::json;

    /// A transcript of one root, signed as the HSM would; `spoil` has it before it is signed.
    fn made(spoil: impl FnOnce(&mut Value)) -> (String, VerifyingKey) {
        let place = tempfile::tempdir().unwrap();
        let person = |name: &str| {
            let (private, public) = fresh();
            let path = place.path().join(name);
            fs::write(&path, private).unwrap();
            (path, public)
        };
        let (alice, bob, scribe) = (person("alice"), person("bob"), person("scribe"));
        let approvers: String = [("alice", &alice.1), ("bob", &bob.1)]
            .map(|(name, public)| format!("[[approver]]\nname = \"{name}\"\npublic_key = '''\n{public}'''\n"))
            .concat();
        let plan = Plan::parse(format!(
            "name = \"x\"\nthreshold = 2\ntranscript = \"transit/t\"\n{approvers}[[step]]\naction = \"root\"\nmount = \"pki\"\n\
             issuer_name = \"r1\"\nkey = {{ name = \"r1\", type = \"ec\" }}\ncertificate = {{ common_name = \"R\", ttl = \"1h\" }}\n"
        ))
        .unwrap();
        let approvals = [("alice", &alice.0), ("bob", &bob.0)].map(|(name, path)| {
            let key = plan.find(name).unwrap();
            let statement = approval::statement(&plan, name);
            let signature = keys::sign_with_file(path, key, statement.as_bytes()).unwrap();
            serde_json::from_str::<Approval>(&approval::render(&plan, name, &signature)).unwrap()
        });
        let approvals = Approvals::verified(&plan, approvals.to_vec()).unwrap();
        let mut transcript = Transcript::begin(&plan, &approvals, "http://127.0.0.1:8200");
        transcript.entries.push(Entry {
            at: String::new(),
            step: "r1".into(),
            action: "root".into(),
            path: "pki/root/generate/internal".into(),
            body: json!({}),
            status: 200,
            request_id: json!("r"),
            data: json!({"certificate": "PEM"}),
            warnings: Value::Null,
            errors: Vec::new(),
        });
        transcript.end(None);
        let mut value = serde_json::to_value(&transcript).unwrap();
        spoil(&mut value);
        let text = value.to_string();
        let key = VerifyingKey::from_pem(&scribe.1).unwrap();
        let signature = keys::sign_with_file(&scribe.0, &key, text.as_bytes()).unwrap();
        let signed = Signed {
            transcript: text,
            signature: STANDARD.encode(signature),
            signed_by: "transit/t".into(),
            public_key: key.to_pem(),
        };
        (serde_json::to_string(&signed).unwrap(), key)
    }

    #[test]
    fn a_whole_transcript_is_proven() {
        let (text, key) = made(|_| {});
        let report = examine(&text, Some(&key), None).unwrap();
        assert_eq!(
            (report.approvers, report.outcome.as_str()),
            (vec!["alice".to_owned(), "bob".to_owned()], "complete")
        );
        assert_eq!(report.certificates, [("r1".to_owned(), "PEM\n".to_owned())]);
        assert!(examine(&text, None, Some(&report.hash)).is_ok());
        assert!(examine(&text, None, Some("00")).unwrap_err().starts_with("it is about the file with"));
    }

    #[test]
    fn whatever_was_altered_shows() {
        let (text, key) = made(|_| {});
        let altered = text.replace("127.0.0.1", "127.0.0.2");
        assert!(examine(&altered, Some(&key), None).unwrap_err().starts_with("its signature is not one of the key"));
        let (_, other) = fresh();
        let other = VerifyingKey::from_pem(&other).unwrap();
        assert!(examine(&text, Some(&other), None).is_err());
        assert!(examine("{}", None, None).unwrap_err().starts_with("it is no transcript"));
        let moved = text
            .replace("transit/t\"", "transit/u\"")
            .replace("\"signed_by\":\"transit/t", "\"signed_by\":\"transit/u");
        assert!(examine(&moved, Some(&key), None).is_err());
    }

    #[test]
    fn what_the_hsm_signed_must_be_sound_in_itself() {
        type Spoil = fn(&mut Value);
        let cases: [(&str, Spoil); 6] = [
            ("1 of 2 approvals", |value| drop(value["approvals"].as_array_mut().unwrap().pop())),
            ("nobody counts twice", |value| value["approvals"][1] = value["approvals"][0].clone()),
            ("it is about the file", |value| value["file_sha256"] = json!("00")),
            ("approved another file", |value| {
                let file = value["file"].as_str().unwrap().replace("ttl = \"1h\"", "ttl = \"9h\"");
                value["file_sha256"] = json!(crate::commands::ca::ceremony::plan::sha256(file.as_bytes()));
                value["file"] = json!(file);
            }),
            ("a step has no certificate", |value| value["entries"] = json!([])),
            ("its format is", |value| value["format"] = json!("chancery-ceremony-0")),
        ];
        for (why, spoil) in cases {
            let (text, key) = made(spoil);
            let error = examine(&text, Some(&key), None).unwrap_err();
            assert!(error.contains(why), "{error:?} does not say {why:?}");
        }
    }

    #[test]
    fn nothing_is_written_over() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a/b.json");
        write_new(&path, "one").unwrap();
        assert!(write_new(&path, "two").is_err());
        assert_eq!(fs::read_to_string(path).unwrap(), "one");
    }
}
