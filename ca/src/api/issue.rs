//! `issue/:role`, `sign/:role`, `sign-verbatim[/:role]`, and the same below `issuer/:issuer_ref/`.

use super::fields::{self, Format};
use crate::{
    CertificateAuthority,
    approve::{Applicant, Asked},
    csr::Csr,
    error::CaError,
    issuance::{Issued, Order},
    key,
    private_key::PrivateKey,
    requester::Requester,
    revocation::LeasedCertificate,
    role::Role,
    validity::written_second,
};
use chancery_engine::{
    Call, Fault, Response, SecretString,
    response::LeaseGrant,
    wire::{CommaList, Count, DurationSeconds, Flag, Text},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct IssueRequest {
    common_name: Text,
    alt_names: CommaList,
    ip_sans: CommaList,
    uri_sans: CommaList,
    other_sans: CommaList,
    serial_number: Text,
    user_ids: CommaList,
    exclude_cn_from_sans: Flag,
    ttl: DurationSeconds,
    not_after: Text,
    not_before: Text,
    format: Text,
    private_key_format: Text,
    remove_roots_from_chain: Flag,
    key_type: Text,
    key_bits: Count,
    csr: Text,
    /// `sign-verbatim` only, as the members below.
    key_usage: Option<CommaList>,
    ext_key_usage: Option<CommaList>,
    ext_key_usage_oids: Option<CommaList>,
    signature_bits: Option<Count>,
    use_pss: Option<Flag>,
    basic_constraints_valid_for_non_ca: Option<Flag>,
}

#[derive(Serialize)]
struct IssueResponse {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ca_chain: Vec<String>,
    certificate: String,
    expiration: i64,
    issuing_ca: String,
    not_before: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key: Option<SecretString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key_type: Option<&'static str>,
    serial_number: String,
}

impl IssueRequest {
    pub(crate) fn format(&self) -> &Text {
        &self.format
    }

    pub(crate) fn csr(&self) -> &str {
        &self.csr.0
    }

    fn asked(&self) -> Result<Asked, CaError> {
        fields::asked(
            [&self.common_name, &self.serial_number, &self.not_after, &self.not_before],
            [&self.alt_names, &self.ip_sans, &self.uri_sans, &self.other_sans, &self.user_ids],
            self.exclude_cn_from_sans,
            self.ttl,
        )
    }

    /// What `sign-verbatim` takes over from the request where there is no role.
    fn refine(&self, role: &mut Role) {
        if let Some(names) = &self.key_usage {
            role.key_usage.clone_from(&names.0);
        }
        if let Some(names) = &self.ext_key_usage {
            role.ext_key_usage.clone_from(&names.0);
        }
        if let Some(oids) = &self.ext_key_usage_oids {
            role.ext_key_usage_oids.clone_from(&oids.0);
        }
        role.signature_bits = self.signature_bits.map_or(role.signature_bits, |bits| bits.0);
        role.use_pss = self.use_pss.map_or(role.use_pss, |flag| flag.0);
        role.basic_constraints_valid_for_non_ca =
            self.basic_constraints_valid_for_non_ca.map_or(role.basic_constraints_valid_for_non_ca, |flag| flag.0);
    }
}

/// A certificate and a key pair made here.
pub(crate) async fn issue(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: IssueRequest = call.parse()?;
    let role = named_role(&engine, &call).await?;
    let format = Format::parse(&request.format)?;
    let asked = request.asked()?;
    let mut warnings = Vec::new();
    let algorithm = if role.key_type == "any" {
        if request.key_type.0.is_empty() {
            return Err(CaError::caller("role key type \"any\" not allowed for issuing certificates without providing key_type and/or key_bits request parameters").into());
        }
        key::algorithm(&request.key_type.0, request.key_bits.0)
            .map_err(|error| CaError::Caller(format!("failed to validate role: {error}")))?
    } else {
        if !request.key_type.0.is_empty() || request.key_bits.0 != 0 {
            warnings.push("parameters key_type and key_bits ignored as role had specific values".to_owned());
        }
        key::algorithm(&role.key_type, role.key_bits)?
    };
    let pair = PrivateKey::generate(algorithm).await?;
    let requester = Requester::of(&call);
    let order = Order {
        role: &role,
        role_name: call.captures.text("role"),
        issuer: issuer_reference(&call, &role),
        asked: &asked,
        applicant: Applicant::Generated(pair.public_key()),
        verbatim: None,
        requester: &requester,
        mount: super::mount_ttl(&call.mount),
        ledger: None,
    };
    let issued = engine.issue(order).await?;
    answer(&engine, issued, (&request, format, Some(&pair)), (&role, warnings))
}

/// A certificate for a CSR.
pub(crate) async fn sign(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: IssueRequest = call.parse()?;
    let role = named_role(&engine, &call).await?;
    sign_with(&engine, &call, &request, &role, false).await
}

/// A certificate that says what the CSR says.
pub(crate) async fn sign_verbatim(engine: Arc<CertificateAuthority>, call: Call) -> Result<Response, Fault> {
    let request: IssueRequest = call.parse()?;
    let mut role = Role::permissive();
    role.key_usage = Role::default().key_usage;
    if !call.captures.text("role").is_empty() {
        // The role lends times, storage and issuer; names and usages stay the CSR's.
        let named = named_role(&engine, &call).await?;
        role = Role {
            ttl: named.ttl,
            max_ttl: named.max_ttl,
            not_after: named.not_after.clone(),
            not_before_duration: named.not_before_duration,
            generate_lease: named.generate_lease,
            no_store: named.no_store,
            issuer_ref: named.issuer_ref.clone(),
            ..role
        };
    }
    request.refine(&mut role);
    sign_with(&engine, &call, &request, &role, true).await
}

async fn sign_with(
    engine: &CertificateAuthority,
    call: &Call,
    request: &IssueRequest,
    role: &Role,
    is_verbatim: bool,
) -> Result<Response, Fault> {
    let format = Format::parse(&request.format)?;
    let asked = request.asked()?;
    let csr = Csr::from_pem(&request.csr.0)?;
    let requester = Requester::of(call);
    let order = Order {
        role,
        role_name: call.captures.text("role"),
        issuer: issuer_reference(call, role),
        asked: &asked,
        applicant: Applicant::Csr(&csr),
        verbatim: is_verbatim.then_some(&csr),
        requester: &requester,
        mount: super::mount_ttl(&call.mount),
        ledger: None,
    };
    let issued = engine.issue(order).await?;
    answer(engine, issued, (request, format, None), (role, Vec::new()))
}

/// The answer to whoever asked for a leaf, with its lease and all warnings.
pub(crate) fn answer(
    engine: &CertificateAuthority,
    issued: Issued,
    (request, format, pair): (&IssueRequest, Format, Option<&PrivateKey>),
    (role, warnings): (&Role, Vec<String>),
) -> Result<Response, Fault> {
    let mut response = render(&issued, request, format, pair)?;
    lease(engine, &issued, role, &mut response)?;
    response.warnings.extend(issued.warnings);
    response.warnings.extend(warnings);
    Ok(response)
}

async fn named_role(engine: &CertificateAuthority, call: &Call) -> Result<Arc<Role>, CaError> {
    let name = call.captures.text("role");
    engine.role(name).await?.ok_or_else(|| CaError::Caller(format!("unknown role: {name}")))
}

fn issuer_reference<'a>(call: &'a Call, role: &'a Role) -> &'a str {
    match call.captures.text("issuer_ref") {
        "" => &role.issuer_ref,
        stated => stated,
    }
}

fn render(
    issued: &Issued,
    request: &IssueRequest,
    format: Format,
    pair: Option<&PrivateKey>,
) -> Result<Response, CaError> {
    let chain: Vec<_> = issued
        .chain
        .iter()
        .filter(|issuer| !(request.remove_roots_from_chain.0 && issuer.facts.is_self_issued()))
        .cloned()
        .collect();
    let ca_chain = format.render_chain(&chain);
    let certificate = &issued.certificate;
    let private_key = pair.map(|pair| fields::render_key(pair, format, &request.private_key_format)).transpose()?;
    let text = format.bundle(format.render(certificate.der()), &ca_chain);
    let response = IssueResponse {
        certificate: format.with_key(text, private_key.as_ref()),
        expiration: written_second(certificate.validity().not_after),
        not_before: written_second(certificate.validity().not_before),
        issuing_ca: format.render(&issued.issuer.facts.der),
        private_key,
        private_key_type: pair.map(PrivateKey::kind),
        serial_number: certificate.serial().to_string(),
        ca_chain,
    };
    Ok(Response::data(&response)?)
}

/// `generate_lease`: the lease lives as long as the certificate, and takes it along when it is revoked.
fn lease(engine: &CertificateAuthority, issued: &Issued, role: &Role, response: &mut Response) -> Result<(), CaError> {
    if !role.generate_lease || role.no_store {
        return Ok(());
    }
    let end = issued.certificate.validity().not_after.as_second();
    let ttl = u64::try_from(end.saturating_sub(engine.now().as_second())).unwrap_or(0);
    let internal = serde_json::to_vec(&LeasedCertificate { serial_number: issued.certificate.serial().clone() })
        .map_err(|error| CaError::corrupt("lease", error))?;
    response.lease = Some(LeaseGrant { ttl, max_ttl: ttl, renewable: false, internal });
    Ok(())
}
