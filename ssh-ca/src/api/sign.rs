//! `sign/:role`, `issue/:role`: certificates.

use crate::{
    SshAuthority,
    approve::{self, Applicant, Asked},
    error::SshError,
    issuance::{Issued, Order},
    principals, private_key,
    public_key::SshPublicKey,
    role::Role,
    validity,
};
use chancery_engine::{
    Call, Fault, Response, SecretString,
    wire::{Count, Text},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// `critical_options` and `extensions`: an object. A text is refused, because one with commas would be read two ways.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
struct OptionMap(BTreeMap<String, Text>);

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SignRequest {
    cert_type: Text,
    critical_options: Option<OptionMap>,
    extensions: Option<OptionMap>,
    key_id: Text,
    public_key: Text,
    ttl: Option<Text>,
    valid_principals: Text,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
struct IssueRequest {
    cert_type: Text,
    critical_options: Option<OptionMap>,
    extensions: Option<OptionMap>,
    key_bits: Count,
    key_id: Text,
    key_type: Text,
    ttl: Option<Text>,
    valid_principals: Text,
}

#[derive(Serialize)]
struct SignResponse<'a> {
    issuer_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key: Option<&'a SecretString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key_type: Option<&'static str>,
    serial_number: String,
    signed_key: &'a str,
}

impl Default for IssueRequest {
    fn default() -> Self {
        Self {
            cert_type: Text::default(),
            critical_options: None,
            extensions: None,
            key_bits: Count::default(),
            key_id: Text::default(),
            key_type: Text("rsa".to_owned()),
            ttl: None,
            valid_principals: Text::default(),
        }
    }
}

impl OptionMap {
    fn taken(map: Option<Self>) -> BTreeMap<String, String> {
        map.unwrap_or_default().0.into_iter().map(|(name, Text(value))| (name, value)).collect()
    }
}

/// `POST sign/:role`
pub(crate) async fn sign(engine: Arc<SshAuthority>, call: Call) -> Result<Response, Fault> {
    let request: SignRequest = call.parse()?;
    let role = role_of(&engine, &call, "Unknown role").await?;
    if request.public_key.0.trim().is_empty() {
        return Err(Fault::caller("missing public_key"));
    }
    let key = SshPublicKey::parse(&request.public_key.0).map_err(SshError::from)?;
    let asked = Asked {
        kind: approve::kind(&request.cert_type.0)?,
        principals: principals::split(&request.valid_principals.0),
        ttl: validity::parse_ttl(request.ttl.as_ref())?,
        key_id: request.key_id.0,
        critical_options: OptionMap::taken(request.critical_options),
        extensions: OptionMap::taken(request.extensions),
    };
    render(&issue_to(&engine, &call, &role, key, asked).await?, None)
}

/// `POST issue/:role`: the key pair is made here.
pub(crate) async fn issue(engine: Arc<SshAuthority>, call: Call) -> Result<Response, Fault> {
    let request: IssueRequest = call.parse()?;
    let role = role_of(&engine, &call, "unknown role").await?;
    let asked = Asked {
        kind: approve::kind(&request.cert_type.0)?,
        principals: principals::split(&request.valid_principals.0),
        ttl: validity::parse_ttl(request.ttl.as_ref())?,
        key_id: request.key_id.0,
        critical_options: OptionMap::taken(request.critical_options),
        extensions: OptionMap::taken(request.extensions),
    };
    let pair = private_key::generate(&request.key_type.0, request.key_bits.0).await?;
    let issued = issue_to(&engine, &call, &role, pair.public.clone(), asked).await?;
    render(&issued, Some(&pair))
}

/// OpenBao's two endpoints spell the same refusal differently.
async fn role_of(engine: &SshAuthority, call: &Call, unknown: &str) -> Result<Arc<Role>, SshError> {
    let name = call.captures.text("role");
    engine.role(name).await?.ok_or_else(|| SshError::Caller(format!("{unknown}: {name}")))
}

async fn issue_to(
    engine: &SshAuthority,
    call: &Call,
    role: &Role,
    key: SshPublicKey,
    asked: Asked,
) -> Result<Issued, Fault> {
    let identity = call.identity()?;
    let applicant = Applicant {
        identity: Some(identity),
        mount: &call.mount,
        role: call.captures.text("role"),
        now: engine.now(),
        kept_key_id: None,
    };
    let requester = identity.display_name.clone();
    let source = call.client.map(|client| client.ip().to_string()).unwrap_or_default();
    Ok(engine.issue(Order { role, key, asked, applicant, requester, source }).await?)
}

pub(super) fn render(issued: &Issued, pair: Option<&private_key::SubjectPair>) -> Result<Response, Fault> {
    let mut answer = Response::data(&SignResponse {
        issuer_id: &issued.issuer.record.id,
        private_key: pair.map(|pair| &pair.private),
        private_key_type: pair.map(|pair| pair.kind),
        serial_number: format!("{:x}", issued.serial),
        signed_key: &issued.certificate.line,
    })?;
    answer.warnings.extend(issued.warnings.iter().cloned());
    Ok(answer)
}
