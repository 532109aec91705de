//! Revocation (RFC 8555 §7.6), three ways: by the account that got the certificate, by one that has shown control of every
//! name in it, and by the certificate's own key.

use crate::{
    exchange::{Answer, Exchange, parse},
    identifier::{Named, Written},
    problem::{Problem, ProblemType},
    records::Account,
    server::AcmeServer,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chancery_ca::{facts::CertificateFacts, revocation::RevocationOutcome};
use serde::Deserialize;
use std::sync::Arc;

#[derive(Debug, Deserialize)]
struct Revoke {
    certificate: String,
    #[serde(default)]
    reason: u64,
}

/// Reasons a client may state (RFC 5280 §5.3.1): unspecified, keyCompromise, affiliationChanged, superseded,
/// cessationOfOperation, privilegeWithdrawn. The others are the CA's to state, or need a CRL that can take them back.
const REASONS: [u8; 6] = [0, 1, 3, 4, 5, 9];

/// `POST revoke-cert`
pub(crate) async fn revoke(server: Arc<AcmeServer>, exchange: Exchange) -> Result<Answer, Problem> {
    let signed = exchange.by_either(&server, "revoke-cert").await?;
    let request: Revoke = match &signed {
        Ok(signed) => signed.parse()?,
        Err((jws, _)) => parse(&jws.payload)?,
    };
    let reason = u8::try_from(request.reason).ok().filter(|reason| REASONS.contains(reason)).ok_or_else(|| {
        let detail = format!("the reason {} is not one that may be stated here", request.reason);
        ProblemType::BadRevocationReason.because(detail).with_member("allowedReasons", REASONS.to_vec())
    })?;
    let der = URL_SAFE_NO_PAD
        .decode(&request.certificate)
        .map_err(|_| Problem::malformed("\"certificate\" is not DER in base64url without padding"))?;
    let facts = CertificateFacts::parse(&der).map_err(|_| Problem::malformed("\"certificate\" is no certificate"))?;
    let foreign = || Problem::not_found("certificate");
    let failed = |error: chancery_ca::CaError| Problem::internal(&error);
    let row = server.authority.door_certificate(&facts.serial).await.map_err(failed)?.ok_or_else(foreign)?;
    if row.der != der {
        return Err(foreign());
    }
    exchange.note("serial", &facts.serial.to_string());
    // RFC 8739 §3.1.3: whoever wants no such certificate any more cancels its order.
    if server.records.issued(&facts.serial.to_string()).await?.is_some_and(|issued| issued.value.renewed) {
        let detail = "the certificate is renewed automatically; cancel its order instead";
        return Err(ProblemType::AutoRenewalRevocationNotSupported.because(detail));
    }
    let may = match &signed {
        Ok(signed) => server.may_revoke(&exchange, &signed.account.value, &facts).await?,
        Err((_, key)) => key.spki() == facts.public_key,
    };
    if !may {
        let detail =
            "the certificate may be revoked by its own key, the account that got it, or one that controls its names";
        return Err(ProblemType::Unauthorized.because(detail));
    }
    if row.revocation.is_some() {
        return Err(ProblemType::AlreadyRevoked.because("the certificate is revoked already"));
    }
    let outcome = server.authority.revoke_for(&facts.serial, reason).await;
    match outcome.map_err(|error| Problem::from_authority(&error, ProblemType::Malformed))? {
        RevocationOutcome::Revoked(..) => Ok(Answer::empty(200)),
        RevocationOutcome::Expired(_) => Err(Problem::malformed("the certificate has expired")),
    }
}

impl AcmeServer {
    async fn may_revoke(
        &self,
        exchange: &Exchange,
        account: &Account,
        facts: &CertificateFacts,
    ) -> Result<bool, Problem> {
        let issued = self.records.issued(&facts.serial.to_string()).await?;
        if issued.is_some_and(|issued| issued.value.account == account.id) {
            return Ok(true);
        }
        let names = facts.names().map_err(|error| Problem::internal(&error))?;
        if names.is_empty() || !names.emails.is_empty() || !names.uris.is_empty() || !names.others.is_empty() {
            return Ok(false);
        }
        let dns = names.dns.iter().map(|name| Written { kind: "dns".to_owned(), value: name.clone() });
        let ips = names.ips.iter().map(|address| Written { kind: "ip".to_owned(), value: address.to_string() });
        for written in dns.chain(ips) {
            let Ok(named) = Named::parse(&written) else { return Ok(false) };
            if self.proof(exchange, account, &named).await?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
