//! The road for doors that have proved names themselves: ACME today, EST or SCEP tomorrow.
//!
//! [`CertificateAuthority::issue_named`] takes a mount's role, a request and the names that were proved, and goes the one
//! road of [`crate::issuance`]: the same checker, the same linter, the same inventory. The request may ask for nothing
//! but those names, and the role must allow every one of them.

use crate::{
    CertificateAuthority,
    approve::{Applicant, Asked},
    csr::Csr,
    error::CaError,
    issuance::{Books, Issued, Order},
    issuer::Issuer,
    names::{NameRules, host},
    requester::Requester,
    role::Role,
    san::AlternativeNames,
    serial::SerialNumber,
    storage,
    validity::{self, AskedValidity, MountTtl},
};
use chancery_store::{Certificate as Recorded, Page};
use std::sync::Arc;

/// Which rules a door's request goes by.
#[derive(Debug, Clone, Copy)]
pub enum DoorRole<'a> {
    /// A role of the mount, by name.
    Named(&'a str),
    /// No role: whatever was proved is certified, for TLS servers, with the mount's times.
    Proved,
}

/// A request by a door.
#[derive(Debug, Clone, Copy)]
pub struct NamedOrder<'a> {
    /// The rules.
    pub role: DoorRole<'a>,
    /// Issuer by `default`, id or name, in place of the role's.
    pub issuer: Option<&'a str>,
    /// The verified request.
    pub csr: &'a Csr,
    /// The names that were proved. The request must ask for these and no others.
    pub names: &'a AlternativeNames,
    /// What is asked of times.
    pub validity: &'a AskedValidity,
    /// Whose account it is.
    pub requester: &'a Requester,
    /// The mount's bounds.
    pub mount: MountTtl,
    /// Whether the role's purposes count; otherwise the certificate is for a TLS server and nothing else.
    pub keeps_purposes: bool,
    /// What is recorded besides.
    pub ledger: Option<Books<'a>>,
}

impl CertificateAuthority {
    /// Issues a certificate for exactly the names a door has proved.
    ///
    /// # Errors
    /// [`CaError::Caller`] where the request asks for other names or the role does not allow one; nothing was signed.
    pub async fn issue_named(&self, order: NamedOrder<'_>) -> Result<Issued, CaError> {
        let common_name = order.csr.common_name();
        check_names(&common_name, order.csr.names(), order.names)?;
        let (role, role_name) = self.door_role(order.role).await?;
        let role = if order.keeps_purposes { role } else { for_servers_only(role) };
        // The names are those that were proved; the request has been compared with them.
        let role = Role { use_csr_common_name: false, use_csr_sans: false, ..role };
        let asked = Asked {
            alt_names: order.names.dns.iter().chain(&order.names.emails).cloned().collect(),
            ip_sans: order.names.ips.iter().map(ToString::to_string).collect(),
            uri_sans: order.names.uris.clone(),
            other_sans: order.names.others.iter().map(ToString::to_string).collect(),
            // RFC 8555 §7.4 lets a request carry a common name; one that is too long for its field (Appendix A.1) stands
            // among the alternative names anyway.
            common_name: if common_name.chars().count() <= 64 { common_name } else { String::new() },
            validity: order.validity.clone(),
            ..Asked::default()
        };
        let role = if asked.common_name.is_empty() { Role { require_cn: false, ..role } } else { role };
        self.issue(Order {
            role: &role,
            role_name,
            issuer: order.issuer.unwrap_or(&role.issuer_ref),
            asked: &asked,
            applicant: Applicant::Csr(order.csr),
            verbatim: None,
            requester: order.requester,
            mount: order.mount,
            ledger: order.ledger,
        })
        .await
    }

    /// Which of the names the rules do not allow, each with the reason. What else stands in the way of a certificate is
    /// found out when it is issued.
    ///
    /// # Errors
    /// [`CaError::Caller`] where there is no such role.
    pub async fn refused_names(
        &self,
        role: DoorRole<'_>,
        names: &AlternativeNames,
        requester: &Requester,
    ) -> Result<Vec<(String, String)>, CaError> {
        let (role, _) = self.door_role(role).await?;
        let role = role.for_requester(requester);
        let rules = NameRules::new(&role, &requester.display_name);
        let mut refused = Vec::new();
        for name in &names.dns {
            let one = AlternativeNames { dns: vec![name.clone()], ..AlternativeNames::default() };
            if !rules.allows(name) {
                refused.push((name.clone(), format!("the role does not allow the name {name}")));
            } else if let Err(error) = one.check_form() {
                refused.push((name.clone(), error.to_string()));
            }
        }
        for address in names.ips.iter().filter(|address| !rules.allows_ip(**address)) {
            refused.push((address.to_string(), format!("the role does not allow the address {address}")));
        }
        Ok(refused)
    }

    /// A role of the mount that keeps its certificates in the inventory, as doors need it.
    ///
    /// # Errors
    /// [`CaError::Caller`] where there is none, or it does not keep them.
    pub async fn check_door_role(&self, role: DoorRole<'_>) -> Result<(), CaError> {
        self.door_role(role).await.map(|_| ())
    }

    /// The id of an issuer that may sign certificates: the one referred to, else the role's, else the default.
    ///
    /// # Errors
    /// [`CaError::Caller`] in the words clients know.
    pub async fn door_issuer(&self, role: DoorRole<'_>, issuer: Option<&str>) -> Result<String, CaError> {
        let (role, _) = self.door_role(role).await?;
        let (issuer, _) = self.authority().await?.issuing(issuer.unwrap_or(&role.issuer_ref))?;
        Ok(issuer.record.id.clone())
    }

    /// The longest life, in seconds, of certificates by these rules.
    ///
    /// # Errors
    /// [`CaError::Caller`] where there is no such role.
    pub async fn longest_life(&self, role: DoorRole<'_>, mount: MountTtl) -> Result<u64, CaError> {
        let (role, _) = self.door_role(role).await?;
        Ok(validity::longest_life(&role, mount))
    }

    /// The id of an issuer, by `default`, id or name.
    ///
    /// # Errors
    /// [`CaError::Caller`] where there is none.
    pub async fn issuer_id(&self, reference: &str) -> Result<String, CaError> {
        let authority = self.authority().await?;
        let issuer = authority.issuer(reference).map_err(CaError::in_parameter)?;
        Ok(issuer.record.id.clone())
    }

    /// Names of the mount's roles, at most so many.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn role_names(&self, limit: usize) -> Result<Vec<String>, CaError> {
        let page = Page { after: None, limit: Some(limit) };
        Ok(self.view.list(storage::ROLES, page).await?)
    }

    /// `path` of `config/cluster`: where this mount's API is reached; empty where nobody has said.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn cluster_path(&self) -> Result<String, CaError> {
        Ok(self.authority().await?.cluster_settings.path.trim_end_matches('/').to_owned())
    }

    /// The chains above certificates of the issuer with this id, the usual one first. Roots are left out, since whoever
    /// trusts one has it, unless the root itself is the issuer.
    ///
    /// # Errors
    /// [`CaError::Missing`] where there is no such issuer any more.
    pub async fn door_chains(&self, issuer: &str) -> Result<Vec<Vec<Arc<Issuer>>>, CaError> {
        let authority = self.authority().await?;
        let retired = || authority.retired.get(issuer);
        let missing = || CaError::Missing(format!("unable to find PKI issuer for reference: {issuer}"));
        let issuer = authority.issuers.get(issuer).or_else(retired).ok_or_else(missing)?;
        let mut chains = authority.chains(issuer);
        for chain in &mut chains {
            if chain.len() > 1 && chain.last().is_some_and(|last| last.facts.is_self_issued()) {
                chain.pop();
            }
        }
        let mut seen = Vec::new();
        chains.retain(|chain| {
            let ids: Vec<_> = chain.iter().map(|one| one.record.id.clone()).collect();
            !seen.contains(&ids) && {
                seen.push(ids);
                true
            }
        });
        Ok(chains)
    }

    /// A certificate that somebody may hold, from the inventory.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn door_certificate(&self, serial: &SerialNumber) -> Result<Option<Recorded>, CaError> {
        self.recorded(serial).await
    }

    async fn door_role<'r>(&self, role: DoorRole<'r>) -> Result<(Role, &'r str), CaError> {
        let DoorRole::Named(name) = role else { return Ok((proved(), "")) };
        let role = self.role(name).await?.ok_or_else(|| CaError::Caller(format!("unknown role: {name}")))?;
        if role.no_store {
            return Err(CaError::Caller(format!(
                "role {name} does not keep its certificates (no_store), so nothing is issued through it here"
            )));
        }
        Ok((role.as_ref().clone(), name))
    }
}

/// The role without any other purpose than that of a TLS server.
fn for_servers_only(role: Role) -> Role {
    Role {
        server_flag: true,
        client_flag: false,
        code_signing_flag: false,
        email_protection_flag: false,
        ext_key_usage: Vec::new(),
        ext_key_usage_oids: Vec::new(),
        ..role
    }
}

/// The rules where there is no role: form is checked, and the purpose is that of a TLS server.
fn proved() -> Role {
    Role {
        enforce_hostnames: true,
        cn_validations: vec!["email".to_owned(), "hostname".to_owned()],
        key_usage: Role::default().key_usage,
        server_flag: true,
        ..Role::permissive()
    }
}

/// The request asks for the proved names, all of them and no others; its common name is one of them.
fn check_names(common_name: &str, asked: &AlternativeNames, proved: &AlternativeNames) -> Result<(), CaError> {
    let refuse = |text: String| Err(CaError::Caller(text));
    let texts = |names: &AlternativeNames| {
        let dns = names.dns.iter().map(|name| name.to_ascii_lowercase());
        let rest = AlternativeNames { dns: Vec::new(), ..names.clone() };
        let mut all: Vec<String> = dns.chain(rest.texts()).collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    let proved = texts(proved);
    let mut all = texts(asked);
    if !common_name.is_empty() {
        let ascii =
            host::to_ascii(common_name).map_or_else(|_| common_name.to_owned(), |name| name.to_ascii_lowercase());
        if !proved.contains(&ascii) {
            return refuse(format!("the request's common name {common_name} is not one of the names that were proved"));
        }
        all.push(ascii);
    }
    if let Some(name) = all.iter().find(|name| !proved.contains(name)) {
        return refuse(format!("the request asks for {name}, which was not proved"));
    }
    if let Some(name) = proved.iter().find(|name| !all.contains(name)) {
        return refuse(format!("the request does not ask for {name}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dns(names: &[&str]) -> AlternativeNames {
        AlternativeNames { dns: names.iter().map(|name| (*name).to_owned()).collect(), ..AlternativeNames::default() }
    }

    #[test]
    fn requests_ask_for_the_proved_names_and_no_others() {
        let proved = dns(&["a.example.com", "b.example.com"]);
        assert!(check_names("", &dns(&["B.example.com", "a.example.com"]), &proved).is_ok());
        assert!(check_names("A.example.com", &dns(&["b.example.com"]), &proved).is_ok());
        for (common_name, names, text) in [
            ("", dns(&["a.example.com"]), "the request does not ask for b.example.com"),
            ("", dns(&["a.example.com", "b.example.com", "c.com"]), "the request asks for c.com, which was not proved"),
            (
                "c.com",
                dns(&["a.example.com", "b.example.com"]),
                "the request's common name c.com is not one of the names that were proved",
            ),
        ] {
            assert_eq!(check_names(common_name, &names, &proved).unwrap_err().to_string(), text);
        }
        let with_address = AlternativeNames { ips: vec!["10.0.0.1".parse().unwrap()], ..proved.clone() };
        assert!(check_names("", &with_address, &proved).is_err());
        assert!(check_names("", &proved, &with_address).is_err());
    }
}
