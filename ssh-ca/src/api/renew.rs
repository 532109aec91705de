//! `host/nonce`, `host/renew`: a host renews its certificate with the key it has, without a token.

use super::sign::render;
use crate::{
    SshAuthority,
    approve::{Applicant, Asked},
    issuance::Order,
    options::Options,
    renewal::{NAMESPACE, NONCE_SECONDS},
};
use chancery_engine::{Call, Fault, Response, wire::Text};
use chancery_store::SshCertificateKind;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Serialize)]
struct NonceResponse {
    expires_in: i64,
    namespace: &'static str,
    nonce: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RenewRequest {
    /// The present certificate, as the line OpenSSH has it in.
    certificate: Text,
    nonce: Text,
    /// The key to be certified; the present one where there is none.
    public_key: Text,
    /// What `ssh-keygen -Y sign` wrote.
    signature: Text,
}

/// `GET host/nonce`; public.
pub(crate) async fn nonce(engine: Arc<SshAuthority>, _call: Call) -> Result<Response, Fault> {
    let nonce = engine.nonce().await?;
    Response::data(&NonceResponse { expires_in: NONCE_SECONDS, namespace: NAMESPACE, nonce })
}

/// `POST host/renew`; public: the proof stands for a token.
pub(crate) async fn renew(engine: Arc<SshAuthority>, call: Call) -> Result<Response, Fault> {
    let request: RenewRequest = call.parse()?;
    let proven =
        engine.prove(&request.certificate.0, &request.public_key.0, &request.nonce.0, &request.signature.0).await?;
    let asked = Asked {
        kind: SshCertificateKind::Host,
        principals: proven.present.principals.clone(),
        ttl: None,
        key_id: String::new(),
        critical_options: Options::new(),
        extensions: Options::new(),
    };
    let applicant = Applicant {
        identity: None,
        mount: &call.mount,
        role: &proven.present.role,
        now: engine.now(),
        kept_key_id: Some(&proven.present.key_id),
    };
    let order = Order {
        role: &proven.role,
        key: proven.key,
        asked,
        applicant,
        requester: format!("renewal of {:x}", proven.present.serial),
        source: call.client.map(|client| client.ip().to_string()).unwrap_or_default(),
    };
    render(&engine.issue(order).await?, None)
}
