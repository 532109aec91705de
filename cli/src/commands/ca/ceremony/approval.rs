//! Approvals: a signature over the file's hash and the approver's name, made with the key the file names.

use super::{plan::Plan, read};
use crate::failure::{Failure, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use std::{fs, path::Path};

/// Approvals of one file, each of another approver and each verified.
#[derive(Debug)]
pub(super) struct Approvals(Vec<Approval>);

/// One approval as it is written, and as it stands in a transcript.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Approval {
    pub(super) approver: String,
    pub(super) file_sha256: String,
    /// base64
    pub(super) signature: String,
}

/// What is signed. It names what it is, so that no signature made for something else counts here.
pub(super) fn statement(plan: &Plan, name: &str) -> String {
    format!("chancery ca ceremony: I approve the file with this SHA-256\n{}\nas {name}\n", plan.hash)
}

pub(super) fn render(plan: &Plan, name: &str, signature: &[u8]) -> String {
    let approval =
        Approval { approver: name.to_owned(), file_sha256: plan.hash.clone(), signature: STANDARD.encode(signature) };
    serde_json::to_string_pretty(&approval).unwrap_or_default() + "\n"
}

impl Approvals {
    /// Reads approvals as they stand on the command line.
    pub(super) fn gather(plan: &Plan, given: &[String]) -> Result<Self> {
        let mut found = Self(Vec::new());
        for text in given {
            let approval = match text.split_once('=') {
                Some((name, path)) => detached(plan, name, Path::new(path))?,
                None => serde_json::from_str(&read(Path::new(text))?)
                    .map_err(|error| Failure::local(format!("{text} is not an approval")).because(error))?,
            };
            found.add(plan, approval).map_err(|why| Failure::local(format!("{text} does not count")).because(why))?;
        }
        Ok(found)
    }

    /// Takes approvals out of a transcript.
    pub(super) fn verified(plan: &Plan, approvals: Vec<Approval>) -> Result<Self, String> {
        let mut found = Self(Vec::new());
        for approval in approvals {
            found.add(plan, approval)?;
        }
        match found.0.len() {
            count if count >= plan.content.threshold => Ok(found),
            count => Err(format!("{count} of {} approvals", plan.content.threshold)),
        }
    }

    fn add(&mut self, plan: &Plan, approval: Approval) -> Result<(), String> {
        let name = &approval.approver;
        let key = plan.find(name).ok_or_else(|| format!("{name:?} is no approver of this file"))?;
        if approval.file_sha256 != plan.hash {
            return Err(format!("{name} approved another file: SHA-256 {}, not {}", approval.file_sha256, plan.hash));
        }
        let signature =
            STANDARD.decode(&approval.signature).map_err(|_| format!("{name}'s signature is not base64"))?;
        if !key.verify(statement(plan, name).as_bytes(), &signature) {
            return Err(format!("{name}'s signature is not one of {name}'s key over this file"));
        }
        if self.0.iter().any(|other| other.approver == *name) {
            return Err(format!("{name} approved already; nobody counts twice"));
        }
        self.0.push(approval);
        Ok(())
    }

    /// Enough of them.
    pub(super) fn require(&self, plan: &Plan) -> Result<()> {
        let (have, need) = (self.0.len(), plan.content.threshold);
        if have >= need {
            return Ok(());
        }
        Err(Failure::local(format!("{have} of {need} approvals"))
            .because("the file says how many it takes")
            .fix("chancery ca ceremony approve FILE --as NAME …, then --approval for each"))
    }

    pub(super) fn summary(&self, plan: &Plan) -> String {
        let names: Vec<&str> = self.0.iter().map(|approval| approval.approver.as_str()).collect();
        let names = if names.is_empty() { "nobody yet".to_owned() } else { names.join(", ") };
        format!("{} of {}: {names}", self.0.len(), plan.content.threshold)
    }

    pub(super) fn list(&self) -> &[Approval] {
        &self.0
    }
}

/// NAME=FILE: the bare signature, in bytes or base64.
fn detached(plan: &Plan, name: &str, path: &Path) -> Result<Approval> {
    let bytes =
        fs::read(path).map_err(|error| Failure::local(format!("cannot read {}", path.display())).because(error))?;
    let text = std::str::from_utf8(&bytes).ok().map(str::trim).filter(|text| STANDARD.decode(text).is_ok());
    let signature = text.map_or_else(|| STANDARD.encode(&bytes), str::to_owned);
    Ok(Approval { approver: name.to_owned(), file_sha256: plan.hash.clone(), signature })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::ca::ceremony::keys::{sign_with_file, tests::fresh};

    struct Person {
        name: &'static str,
        private: tempfile::NamedTempFile,
        public: String,
    }

    fn person(name: &'static str) -> Person {
        let (pem, public) = fresh();
        let private = tempfile::NamedTempFile::new().unwrap();
        fs::write(&private, pem).unwrap();
        Person { name, private, public }
    }

    fn plan(people: &[&Person], title: &str) -> Plan {
        let approvers: String = people
            .iter()
            .map(|person| format!("[[approver]]\nname = \"{}\"\npublic_key = '''\n{}'''\n", person.name, person.public))
            .collect();
        Plan::parse(format!(
            "name = \"{title}\"\nthreshold = 2\ntranscript = \"transit/t\"\n{approvers}[[step]]\naction = \"root\"\nmount = \"pki\"\n\
             issuer_name = \"r1\"\nkey = {{ name = \"r1\", type = \"ec\" }}\ncertificate = {{ common_name = \"R\", ttl = \"1h\" }}\n"
        ))
        .unwrap()
    }

    fn approval(plan: &Plan, person: &Person, name: &str) -> Approval {
        let key = plan.find(person.name).unwrap();
        let signature = sign_with_file(person.private.path(), key, statement(plan, name).as_bytes()).unwrap();
        serde_json::from_str(&render(plan, name, &signature)).unwrap()
    }

    #[test]
    fn only_distinct_approvers_of_this_very_file_count() {
        let (alice, bob) = (person("alice"), person("bob"));
        let (ours, other) = (plan(&[&alice, &bob], "ours"), plan(&[&alice, &bob], "other"));
        let by_alice = approval(&ours, &alice, "alice");
        let verified = |approvals: Vec<Approval>| Approvals::verified(&ours, approvals).map(|found| found.0.len());
        assert_eq!(verified(vec![by_alice.clone(), approval(&ours, &bob, "bob")]), Ok(2));
        assert_eq!(verified(vec![by_alice.clone()]).unwrap_err(), "1 of 2 approvals");
        let twice = verified(vec![by_alice.clone(), by_alice.clone()]).unwrap_err();
        assert_eq!(twice, "alice approved already; nobody counts twice");
        // Alice signs as Bob; Bob approved another file; the approval's text was altered.
        let forged = verified(vec![by_alice.clone(), approval(&ours, &alice, "bob")]).unwrap_err();
        assert_eq!(forged, "bob's signature is not one of bob's key over this file");
        let foreign = verified(vec![by_alice.clone(), approval(&other, &bob, "bob")]).unwrap_err();
        assert!(foreign.starts_with("bob approved another file"), "{foreign}");
        let altered = Approval { file_sha256: ours.hash.clone(), ..approval(&other, &bob, "bob") };
        assert!(verified(vec![by_alice.clone(), altered]).is_err());
        let stranger = Approval { approver: "eve".into(), ..by_alice };
        assert_eq!(verified(vec![stranger]).unwrap_err(), "\"eve\" is no approver of this file");
    }

    #[test]
    fn a_bare_signature_counts_as_well() {
        let (alice, bob) = (person("alice"), person("bob"));
        let plan = plan(&[&alice, &bob], "x");
        let key = plan.find("alice").unwrap();
        let signature = sign_with_file(alice.private.path(), key, statement(&plan, "alice").as_bytes()).unwrap();
        let place = tempfile::tempdir().unwrap();
        let (binary, text) = (place.path().join("a.sig"), place.path().join("a.b64"));
        fs::write(&binary, &signature).unwrap();
        fs::write(&text, STANDARD.encode(&signature) + "\n").unwrap();
        for path in [binary, text] {
            let given = [format!("alice={}", path.display())];
            assert_eq!(Approvals::gather(&plan, &given).unwrap().summary(&plan), "1 of 2: alice");
        }
        let given = [format!("bob={}", place.path().join("a.sig").display())];
        assert!(Approvals::gather(&plan, &given).unwrap_err().to_string().contains("bob's signature is not"));
    }
}
