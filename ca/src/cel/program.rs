//! Compiling and running a program.

use super::{DECLARED, LONGEST, output::Output, values};
use crate::{csr::Csr, error::CaError, requester::Requester};
use cel::{Context, Env, Program, Value};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// `cel_program`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CelRole {
    /// Named expressions, each of which sees those before it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<CelVariable>,
    /// The expression whose value is the answer.
    pub expression: String,
}

/// One named expression.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CelVariable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub expression: String,
}

/// What a program sees.
#[derive(Debug)]
pub struct Inputs {
    /// The body of the request.
    pub request: serde_json::Value,
    /// The request that is to be signed.
    pub csr: Option<Csr>,
    /// The moment of the request.
    pub now: Timestamp,
    /// The caller.
    pub requester: Requester,
}

/// Type names that expressions may mention.
const TYPES: [&str; 15] = [
    "bool",
    "bytes",
    "double",
    "duration",
    "int",
    "list",
    "map",
    "null_type",
    "string",
    "timestamp",
    "type",
    "uint",
    "optional_type",
    "optional",
    "google",
];

impl CelRole {
    /// Refuses what does not compile, or names what is not declared.
    ///
    /// # Errors
    /// [`CaError::Caller`] that names the expression.
    pub fn check(&self) -> Result<(), CaError> {
        if self.expression.is_empty() {
            return Err(CaError::caller("cel_program.expression cannot be empty"));
        }
        let length: usize = self.variables.iter().map(|variable| variable.name.len() + variable.expression.len()).sum();
        if length + self.expression.len() > LONGEST {
            return Err(CaError::Caller(format!("cel_program is longer than {LONGEST} bytes")));
        }
        let env = environment()?;
        let mut known: Vec<&str> = DECLARED.iter().chain(&TYPES).chain(&values::TYPE_NAMES).copied().collect();
        for (at, variable) in self.variables.iter().enumerate() {
            let name = variable.name.as_str();
            let is_identifier = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !is_identifier || DECLARED.contains(&name) {
                return Err(CaError::Caller(format!(
                    "failed to validate variables: variable[{at}] has the name {name:?}, which is taken or no identifier"
                )));
            }
            let place = format!("failed to validate variables: variable[{at}].{name}");
            compile(&env, &variable.expression, &known).map_err(|why| CaError::Caller(format!("{place}: {why}")))?;
            known.push(name);
        }
        compile(&env, &self.expression, &known)
            .map(drop)
            .map_err(|why| CaError::Caller(format!("invalid CEL syntax for main expression: {why}")))
    }

    /// Runs the program on a thread that may block. A program that panics or fails refuses the request.
    ///
    /// # Errors
    /// [`CaError::Caller`] with the program's own text, or why it has no value.
    pub async fn run(self: Arc<Self>, inputs: Inputs) -> Result<Output, CaError> {
        let evaluated = tokio::task::spawn_blocking(move || self.evaluate(&inputs)).await;
        evaluated.map_err(|_| CaError::caller("the CEL program of this role cannot be evaluated for this request"))?
    }

    /// The same on this thread. Whoever calls it must expect the interpreter to panic.
    ///
    /// # Errors
    /// See [`CelRole::run`].
    pub fn evaluate(&self, inputs: &Inputs) -> Result<Output, CaError> {
        let env = Arc::new(environment()?);
        let mut context = Context::with_env(Arc::clone(&env));
        for (name, value) in values::inputs(inputs)? {
            context.add_variable_from_value(name, value);
        }
        context
            .add_function("check_valid_email", values::is_email)
            .map_err(|error| CaError::corrupt("the CEL environment", error))?;
        for variable in &self.variables {
            let program = compile(&env, &variable.expression, &[]).map_err(CaError::Caller)?;
            let value = program
                .execute(&context)
                .map_err(|error| CaError::Caller(format!("error evaluating variable {:?}: {error}", variable.name)))?;
            context.add_variable_from_value(variable.name.clone(), value);
        }
        let program = compile(&env, &self.expression, &[]).map_err(CaError::Caller)?;
        let value = program
            .execute(&context)
            .map_err(|error| CaError::Caller(format!("error evaluating mainProgram: {error}")))?;
        match value {
            Value::Bool(_) => Err(CaError::caller("request denied")),
            Value::String(text) => Err(CaError::Caller(text.to_string())),
            Value::Map(map) => Output::read(&map),
            other => Err(CaError::Caller(format!("unexpected mainProgram result type {}", other.type_of()))),
        }
    }
}

fn environment() -> Result<Env, CaError> {
    let mut env = Env::stdlib();
    for record in values::records() {
        env.add_type(record).map_err(|error| CaError::corrupt("the CEL environment", error))?;
    }
    Ok(env)
}

/// Compiles an expression. Where `known` has names, nothing else may be mentioned.
fn compile(env: &Env, text: &str, known: &[&str]) -> Result<Program, String> {
    let program = env.compile(text).map_err(|error| error.to_string())?;
    if !known.is_empty() {
        let references = program.references();
        if let Some(unknown) = references.variables().into_iter().find(|name| !known.contains(name)) {
            return Err(format!("undeclared reference to '{unknown}'"));
        }
    }
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn role(expression: &str) -> CelRole {
        CelRole { variables: Vec::new(), expression: expression.to_owned() }
    }

    fn inputs() -> Inputs {
        let requester =
            Requester { metadata: [("team".to_owned(), "blue".to_owned())].into(), ..Requester::named("userpass-joe") };
        let request = json!({"common_name": "a.example.com", "ttl": "1h", "count": 5});
        Inputs { request, csr: None, now: "2026-11-21T00:00:00Z".parse().unwrap(), requester }
    }

    fn told(expression: &str) -> String {
        role(expression).evaluate(&inputs()).unwrap_err().to_string()
    }

    #[test]
    fn programs_that_do_not_compile_are_refused() {
        for (bad, text) in [
            (role(""), "cannot be empty"),
            (role("zork("), "invalid CEL syntax"),
            (role("zork"), "undeclared reference to 'zork'"),
            (role(&"(".repeat(10_000)), "invalid CEL syntax"),
            (role(&format!("'{}'", "x".repeat(LONGEST))), "longer than"),
        ] {
            let error = bad.check().unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
        let variables = |name: &str| CelRole {
            variables: vec![CelVariable { name: name.to_owned(), expression: "1".to_owned() }],
            expression: "'x'".to_owned(),
        };
        assert!(variables("now").check().is_err() && variables("a b").check().is_err());
        assert!(variables("a").check().is_ok());
    }

    #[test]
    fn texts_and_booleans_refuse() {
        assert_eq!(told("false"), "request denied");
        assert_eq!(told("true"), "request denied");
        assert_eq!(told("'no ' + request.common_name"), "no a.example.com");
        assert_eq!(told("identity.metadata.team + identity.display_name"), "blueuserpass-joe");
        assert_eq!(told("string(now)"), "2026-11-21T00:00:00Z");
        assert_eq!(told("has(request.zork) ? 'y' : 'n'"), "n");
        assert_eq!(told("check_valid_email(request.common_name) ? 'y' : 'n'"), "n");
        assert_eq!(told("duration(request.ttl) > duration('30m') ? 'long' : 'short'"), "long");
        assert!(told("request.zork").starts_with("error evaluating mainProgram"));
        assert!(told("5").starts_with("unexpected mainProgram result type"));
        assert!(told("CertTemplate{Zork: 1}").contains("Zork"));
    }

    #[test]
    fn a_template_is_read_with_what_stands_around_it() {
        let program = CelRole {
            variables: vec![CelVariable {
                name: "cert".to_owned(),
                expression: "CertTemplate{Subject: PKIX.Name{CommonName: request.common_name, Country: ['DE']}, DNSNames: [request.common_name], NotAfter: now + duration(request.ttl), KeyUsage: 1, ExtKeyUsage: [1]}".to_owned(),
            }],
            expression: "ValidationOutput{template: cert, key_type: 'ec', key_bits: uint(384), warnings: ['w']}".to_owned(),
        };
        program.check().unwrap();
        let output = program.evaluate(&inputs()).unwrap();
        assert_eq!(output.asked.common_name, "a.example.com");
        assert_eq!(output.asked.alt_names, ["a.example.com"]);
        assert_eq!(output.asked.validity.not_after, "2026-11-21T01:00:00Z");
        assert_eq!(
            (output.role.country.as_slice(), output.role.key_usage.as_slice()),
            (["DE".to_owned()].as_slice(), ["DigitalSignature".to_owned()].as_slice())
        );
        assert_eq!((output.key_type.as_str(), output.key_bits), ("ec", 384));
        assert_eq!(output.warnings, ["w"]);
    }

    #[test]
    fn what_a_leaf_cannot_have_is_refused() {
        for expression in [
            "ValidationOutput{template: CertTemplate{IsCA: true}}",
            "ValidationOutput{template: CertTemplate{KeyUsage: 32}}",
            "ValidationOutput{template: CertTemplate{ExtraExtensions: []}}",
            "ValidationOutput{template: CertTemplate{DNSNames: [1]}}",
            "ValidationOutput{issuer_ref: 'x'}",
            "CertTemplate{DNSNames: ['a.b']}",
        ] {
            assert!(role(expression).evaluate(&inputs()).is_err(), "{expression}");
        }
    }
}
