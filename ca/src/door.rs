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
    issuance::{Issued, Order},
    names::host,
    requester::Requester,
    role::Role,
    san::AlternativeNames,
    validity::{AskedValidity, MountTtl},
};

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
}

impl CertificateAuthority {
    /// Issues a certificate for exactly the names a door has proved.
    ///
    /// # Errors
    /// [`CaError::Caller`] where the request asks for other names or the role does not allow one; nothing was signed.
    pub async fn issue_named(&self, order: NamedOrder<'_>) -> Result<Issued, CaError> {
        let common_name = order.csr.common_name();
        check_names(&common_name, order.csr.names(), order.names)?;
        let (role, role_name) = match order.role {
            DoorRole::Named(name) => {
                let role = self.role(name).await?.ok_or_else(|| CaError::Caller(format!("unknown role: {name}")))?;
                (role.as_ref().clone(), name)
            }
            DoorRole::Proved => (proved(), ""),
        };
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
        })
        .await
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
