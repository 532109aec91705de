//! What operators bring to a certificate authority: keys made elsewhere, and roles that are programs.

use crate::text;
use chancery_ca::{
    bundle::{Bundle, single_key},
    cel::{CelRole, CelVariable, Inputs},
    pem,
    private_key::{PrivateKey, PrivateKeyFormat},
    requester::Requester,
};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

/// Longest program that is run.
const LONGEST_PROGRAM: usize = 2 << 10;

/// Loops within loops take the time that they are told to take.
const MOST_LOOPS: usize = 2;

/// A bundle in PEM, or a key in DER of each form: refused without a line of it, or CA certificates and keys that read the same
/// in every form they are written in.
pub fn ca_bundle(data: &[u8]) {
    let Some(text) = text(data) else {
        for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"] {
            judge(&pem::encode(label, data));
        }
        return;
    };
    judge(text);
}

fn judge(text: &str) {
    match Bundle::read(text) {
        Ok(bundle) => {
            assert!(bundle.certificates.iter().all(|facts| facts.is_ca));
            bundle.keys.iter().for_each(survives);
        }
        Err(refusal) => assert_quotes_no_line(text, &refusal.to_string()),
    }
    if let Err(refusal) = single_key(text) {
        assert_quotes_no_line(text, &refusal.to_string());
    }
}

fn survives(key: &PrivateKey) {
    for format in [PrivateKeyFormat::Traditional, PrivateKeyFormat::Pkcs8] {
        let written = key.to_pem(format).expect("a key that was read can be written");
        let read = single_key(written.expose()).expect("what we wrote is a key");
        assert_eq!((read.algorithm(), read.public_key()), (key.algorithm(), key.public_key()));
    }
}

/// Lines of base64 that are long enough to be told from chance.
fn assert_quotes_no_line(text: &str, refusal: &str) {
    let is_body = |line: &&str| line.len() >= 24 && !line.contains("-----");
    assert!(!text.lines().filter(is_body).any(|line| refusal.contains(line)), "the refusal quotes a line: {refusal}");
}

/// A program: the last line is its expression, each before it a variable. Refused when it is stored, or run over a request: it
/// gives a leaf, or refuses.
pub fn cel_program(data: &[u8]) {
    let Some(text) = text(data).filter(|text| text.len() <= LONGEST_PROGRAM) else { return };
    let mut lines: Vec<&str> = text.lines().collect();
    let expression = lines.pop().unwrap_or_default().to_owned();
    let variables = lines.iter().map(|line| line.split_once('=').unwrap_or((line, "")));
    let variables =
        variables.map(|(name, expression)| CelVariable { name: name.to_owned(), expression: expression.to_owned() });
    let role = CelRole { variables: variables.collect(), expression };
    if role.check().is_err()
        || [".all(", ".exists", ".map(", ".filter("].map(|name| text.matches(name).count()).iter().sum::<usize>()
            > MOST_LOOPS
    {
        return;
    }
    let request =
        serde_json::json!({"common_name": "a.example.com", "ttl": "1h", "count": 5, "list": ["a", "b"], "flag": true});
    let now = "2026-11-21T00:00:00Z".parse().expect("a time");
    let inputs = Inputs { request, csr: None, now, requester: Requester::named("userpass-joe") };
    // As where it counts: an interpreter that panics refuses the request. The fuzzer's own hook would end the process.
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let outcome = catch_unwind(AssertUnwindSafe(|| role.evaluate(&inputs)));
    set_hook(hook);
    let Ok(Ok(output)) = outcome else { return };
    let usages = &output.role.key_usage;
    assert!(!usages.iter().any(|usage| matches!(usage.as_str(), "CertSign" | "CRLSign")), "{usages:?} are a CA's");
    assert!(!(output.role.generate_lease && output.role.no_store), "a lease without a certificate");
}
