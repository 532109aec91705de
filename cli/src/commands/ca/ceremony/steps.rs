//! The requests of each step: shown beforehand, sent in order, written down with their answers.

use super::{
    plan::{CrossSign, Intermediate, NewKey, Plan, Profile, Root, SignCsr, Signer, Step},
    transcript::Transcript,
};
use crate::{
    failure::{Failure, Result},
    output::Output,
    remote::{Answer, Ask, Remote, Verb},
};
use serde_json::{Map, Value, json};

/// Stands for a request that does not exist yet.
const REQUEST: &str = "(the request of the line above)";
const CERTIFICATE: &str = "(the certificate of the line above, and those above it)";

/// A request to be sent: path and body.
type Order = (String, Value);

/// What must be so before the first key is made: nothing that will be made is there, everything that signs is, or is made
/// by an earlier step.
pub(super) fn check(remote: &Remote, plan: &Plan) -> Result<()> {
    let mut made: Vec<(&str, &str)> = Vec::new();
    for (number, step) in (1..).zip(&plan.content.step) {
        let refuse = |what: String, why: &str| Failure::local(format!("step {number}: {what}")).because(why);
        if let Some((mount, name)) = step.makes()
            && exists(remote, &format!("{mount}/issuer/{name}"))?
        {
            return Err(refuse(format!("{mount} has an issuer {name}"), "a ceremony makes new ones only"));
        }
        if let Some((mount, name)) = step.makes_key()
            && exists(remote, &format!("{mount}/key/{name}"))?
        {
            return Err(refuse(format!("{mount} has a key {name}"), "a ceremony makes new ones only"));
        }
        if let Step::CrossSign(step) = step
            && !exists(remote, &format!("{}/key/{}", step.mount, step.key))?
            && !plan
                .content
                .step
                .iter()
                .take(number - 1)
                .any(|step_before| step_before.makes_key() == Some((step.mount.as_str(), step.key.as_str())))
        {
            return Err(refuse(format!("{} has no key {}", step.mount, step.key), "it is the key to be cross-signed"));
        }
        if let Some(signer) = step.signed_by() {
            let is_made = made.contains(&(signer.mount.as_str(), signer.issuer.as_str()));
            if !is_made && !exists(remote, &format!("{}/issuer/{}", signer.mount, signer.issuer))? {
                let what = format!("{} has no issuer {}", signer.mount, signer.issuer);
                return Err(refuse(what, "it is to sign, and no earlier step makes it"));
            }
        }
        made.extend(step.makes());
    }
    Ok(())
}

/// Whether something is there. A mount that is not there is an error, not an absence.
fn exists(remote: &Remote, path: &str) -> Result<bool> {
    let ask = Ask::new(Verb::Read, path);
    let answer = remote.attempt(&ask)?;
    let is_missing = answer.errors().iter().any(|error| error.contains("unable to find PKI"));
    if is_missing || (answer.is_absent() && answer.errors().is_empty()) {
        return Ok(false);
    }
    answer.successful(&ask, remote.address()).map(|_| true)
}

/// Every request, as it would be sent.
pub(super) fn preview(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    let mut requests = plan.requests.iter();
    for (number, step) in (1..).zip(&plan.content.step) {
        lines.push(format!("step {number}  {} {}", step.action(), step.name()));
        let orders = match step {
            Step::Root(step) => vec![root(step)],
            Step::Intermediate(step) => vec![
                generate(step),
                sign(&step.signed_by, &step.certificate, REQUEST),
                set_signed(&step.mount, CERTIFICATE),
                rename(&step.mount, "(its id)", &step.issuer_name),
            ],
            Step::CrossSign(step) => vec![
                request_again(step),
                sign(&step.signed_by, &step.certificate, REQUEST),
                set_signed(&step.mount, CERTIFICATE),
                rename(&step.mount, "(its id)", &step.issuer_name),
            ],
            Step::SignCsr(step) => {
                vec![sign(&step.signed_by, &step.certificate, requests.next().map_or("", String::as_str))]
            }
        };
        lines.extend(orders.into_iter().map(|(path, body)| format!("    POST {path} {body}")));
    }
    lines
}

/// Sends everything, and writes each answer down before the next request.
pub(super) fn carry_out(remote: &Remote, plan: &Plan, transcript: &mut Transcript, output: &Output) -> Result<()> {
    let mut requests = plan.requests.iter();
    for step in &plan.content.step {
        let mut recorder = Recorder { remote, transcript: &mut *transcript, step };
        let certificate = match step {
            Step::Root(step) => recorder.send(root(step))?,
            Step::Intermediate(step) => recorder.intermediate(step)?,
            Step::CrossSign(step) => recorder.cross_sign(step)?,
            Step::SignCsr(step) => recorder.sign_csr(step, requests.next().map_or("", String::as_str))?,
        };
        let serial = text(&certificate, "serial_number")?;
        output.done(format!("made      {} {} {serial}", step.action(), step.name()))?;
    }
    Ok(())
}

/// Sends the requests of one step.
struct Recorder<'a> {
    remote: &'a Remote,
    transcript: &'a mut Transcript,
    step: &'a Step,
}

impl Recorder<'_> {
    fn send(&mut self, (path, body): Order) -> Result<Answer> {
        let ask = Ask::new(Verb::Post, &path).body(body.clone());
        let answer = self.remote.attempt(&ask)?;
        self.transcript.note(self.step, &path, &body, &answer);
        answer.successful(&ask, self.remote.address())
    }

    fn intermediate(&mut self, step: &Intermediate) -> Result<Answer> {
        let generated = self.send(generate(step))?;
        self.certify(&generated)
    }

    fn cross_sign(&mut self, step: &CrossSign) -> Result<Answer> {
        let asked = self.send(request_again(step))?;
        self.certify(&asked)
    }

    fn sign_csr(&mut self, step: &SignCsr, request: &str) -> Result<Answer> {
        self.send(sign(&step.signed_by, &step.certificate, request))
    }

    /// Has a request signed, brings the certificate home and gives the issuer its name.
    fn certify(&mut self, requested: &Answer) -> Result<Answer> {
        let step = self.step;
        let (Some((mount, name)), Some(signer)) = (step.makes(), step.signed_by()) else {
            return Err(Failure::local(format!("{} is not signed by another", step.name())));
        };
        let signed = self.send(sign(signer, step.certificate(), text(requested, "csr")?))?;
        let certificate = text(&signed, "certificate")?;
        let above = signed.data().get("ca_chain").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let above = above.iter().filter_map(Value::as_str).filter(|above| above.trim() != certificate.trim());
        let bundle = std::iter::once(certificate).chain(above).collect::<Vec<_>>().join("\n");
        let imported = self.send(set_signed(mount, &bundle))?;
        // The issuer whose key is in this mount is the new one; those above it have none here, or were here before.
        let ids = imported.data().get("imported_issuers").and_then(Value::as_array);
        let with_key = |id: &&str| {
            let key = imported.data().get("mapping").and_then(|mapping| mapping.get(*id)).and_then(Value::as_str);
            key.is_some_and(|key| !key.is_empty())
        };
        let id = ids.into_iter().flatten().filter_map(Value::as_str).find(with_key).ok_or_else(|| {
            Failure::remote(format!("{mount} did not import the certificate as a new issuer"))
                .because("the answer to intermediate/set-signed names none with a key")
        })?;
        self.send(rename(mount, id, name))?;
        Ok(signed)
    }
}

fn text<'a>(answer: &'a Answer, member: &str) -> Result<&'a str> {
    let found = answer.data().get(member).and_then(Value::as_str);
    found.ok_or_else(|| Failure::remote(format!("the answer has no {member:?}")))
}

fn root(step: &Root) -> Order {
    let mut body = profile(&step.certificate);
    body.insert("issuer_name".to_owned(), json!(step.issuer_name));
    key(&step.key, &mut body);
    (format!("{}/root/generate/internal", step.mount), Value::Object(body))
}

fn generate(step: &Intermediate) -> Order {
    let mut body = Map::from_iter([("common_name".to_owned(), json!(step.certificate.common_name))]);
    key(&step.key, &mut body);
    (format!("{}/intermediate/generate/internal", step.mount), Value::Object(body))
}

fn request_again(step: &CrossSign) -> Order {
    let body = json!({"common_name": step.certificate.common_name, "key_ref": step.key});
    (format!("{}/intermediate/cross-sign", step.mount), body)
}

fn sign(signer: &Signer, certificate: &Profile, request: &str) -> Order {
    let mut body = profile(certificate);
    body.insert("csr".to_owned(), json!(request));
    (format!("{}/issuer/{}/sign-intermediate", signer.mount, signer.issuer), Value::Object(body))
}

fn set_signed(mount: &str, certificate: &str) -> Order {
    (format!("{mount}/intermediate/set-signed"), json!({"certificate": certificate}))
}

fn rename(mount: &str, id: &str, name: &str) -> Order {
    (format!("{mount}/issuer/{id}"), json!({"issuer_name": name}))
}

fn key(key: &NewKey, body: &mut Map<String, Value>) {
    body.insert("key_name".to_owned(), json!(key.name));
    body.insert("key_type".to_owned(), json!(key.kind));
    body.extend(key.bits.map(|bits| ("key_bits".to_owned(), json!(bits))));
}

fn profile(profile: &Profile) -> Map<String, Value> {
    let mut body = Map::from_iter([("common_name".to_owned(), json!(profile.common_name))]);
    for (name, values) in [
        ("organization", &profile.organization),
        ("ou", &profile.ou),
        ("country", &profile.country),
        ("locality", &profile.locality),
        ("province", &profile.province),
        ("permitted_dns_domains", &profile.permitted_dns_domains),
        ("ext_key_usage", &profile.ext_key_usage),
    ] {
        if !values.is_empty() {
            body.insert(name.to_owned(), json!(values));
        }
    }
    let optional = [
        ("ttl", profile.ttl.as_ref().map(|text| json!(text))),
        ("not_after", profile.not_after.as_ref().map(|text| json!(text))),
        ("max_path_length", profile.max_path_length.map(|length| json!(length))),
        ("signature_bits", profile.signature_bits.map(|bits| json!(bits))),
        ("use_pss", profile.use_pss.map(|flag| json!(flag))),
    ];
    body.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    body
}
