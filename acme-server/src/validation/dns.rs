//! dns-01 (RFC 8555 §8.4), dns-account-01 (draft-ietf-acme-dns-account-label) and dns-persist-01
//! (draft-ietf-acme-dns-persist).

use super::{Failure, Question, failure::excerpt, issue_value::IssueValue, resolver::Perspective};
use crate::{
    challenge::ChallengeType,
    identifier::{DnsName, Identifier},
};
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use data_encoding::BASE32_NOPAD;
use jiff::Timestamp;

/// What a dns-persist-01 record must say.
#[derive(Debug, Clone, Copy)]
pub struct Persistent<'a> {
    /// Names by which records may name this CA.
    pub identities: &'a [String],
    /// The account's URL.
    pub account_url: &'a str,
    /// Whether everything one label below the name is meant.
    pub wildcard: bool,
    /// The present.
    pub now: Timestamp,
}

/// Why a dns-persist-01 record does not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// It names another CA, or is no such record: it says nothing to us.
    Foreign,
    /// It names us and breaks its grammar.
    Malformed(String),
    /// It names us, and somebody else or another time.
    Unauthorized(String),
}

/// Where the answer to a challenge of this kind stands.
fn place(question: &Question<'_>) -> Result<String, String> {
    let Identifier::Dns(name) = question.identifier else {
        return Err(format!("{} is not for addresses", question.challenge));
    };
    Ok(match question.challenge {
        ChallengeType::DnsAccount01 => format!("{}.{}", account_label(question.account_url), below(name)),
        ChallengeType::DnsPersist01 => format!("_validation-persist.{name}"),
        _ => below(name),
    })
}

fn below(name: &DnsName) -> String {
    format!("_acme-challenge.{name}")
}

/// `_` and the first ten bytes of the digest of the account's URL, in base32 (draft-ietf-acme-dns-account-label §3.1).
fn account_label(account_url: &str) -> String {
    let hash = digest(&SHA256, account_url.as_bytes());
    let first = hash.as_ref().get(..10).unwrap_or_default();
    format!("_{}", BASE32_NOPAD.encode(first).to_ascii_lowercase())
}

/// dns-01 and dns-account-01: one of the texts is the digest of the key authorization.
pub(super) async fn validate(perspective: &Perspective, question: &Question<'_>) -> Result<(), Failure> {
    let place = place(question).map_err(Failure::malformed)?;
    let expected = URL_SAFE_NO_PAD.encode(digest(&SHA256, question.key_authorization.as_bytes()));
    let texts = perspective.texts(&place).await?;
    if texts.iter().any(|text| text == expected.as_bytes()) {
        return Ok(());
    }
    let found: Vec<_> = texts.iter().take(3).map(|text| excerpt(text)).collect();
    let more = if texts.len() > 3 { format!(" and {} more", texts.len() - 3) } else { String::new() };
    // An older answer is what a server says to which the new one has not come yet.
    Err(Failure::incorrect(format!(
        "the TXT records of {place} are {}{more}, and none is {expected:?}, says {}",
        found.join(", "),
        perspective.name()
    ))
    .may_pass())
}

/// dns-persist-01: one of the texts names this CA and the account.
pub(super) async fn validate_persistent(
    perspective: &Perspective,
    question: &Question<'_>,
    wanted: &Persistent<'_>,
) -> Result<(), Failure> {
    let place = place(question).map_err(Failure::malformed)?;
    let texts = perspective.texts(&place).await?;
    let mut reason = None;
    for text in &texts {
        match persistent_record(text, wanted) {
            Ok(()) => return Ok(()),
            Err(Unfit::Foreign) => {}
            Err(Unfit::Malformed(detail)) => reason = reason.or(Some(Failure::malformed(format!("{place}: {detail}")))),
            Err(Unfit::Unauthorized(detail)) => reason = Some(Failure::unauthorized(format!("{place}: {detail}"))),
        }
    }
    Err(reason.unwrap_or_else(|| {
        let names = wanted.identities.join(" or ");
        Failure::unauthorized(format!("none of the {} TXT records of {place} names the CA {names}", texts.len()))
    }))
}

/// Whether one record lets the account have its certificate.
///
/// # Errors
/// [`Unfit`]: why it does not.
pub fn persistent_record(text: &[u8], wanted: &Persistent<'_>) -> Result<(), Unfit> {
    let names_us = |issuer: &str| wanted.identities.iter().any(|identity| identity.eq_ignore_ascii_case(issuer));
    let shown = excerpt(text);
    let value = match IssueValue::parse(text) {
        Ok(value) if value.issuer.as_deref().is_some_and(names_us) => value,
        Ok(_) => return Err(Unfit::Foreign),
        Err(reason) => {
            // Whether it was meant for us shows before its first semicolon.
            let issuer = text.split(|byte| *byte == b';').next().unwrap_or_default();
            let issuer = String::from_utf8_lossy(issuer.trim_ascii()).into_owned();
            let unfit = Unfit::Malformed(format!("the record {shown} {reason}"));
            return Err(if names_us(&issuer) { unfit } else { Unfit::Foreign });
        }
    };
    let malformed = |reason: &str| Unfit::Malformed(format!("the record {shown} {reason}"));
    let parameter = |tag: &str| value.parameter(tag).map_err(malformed);
    let account = parameter("accounturi")?.ok_or_else(|| malformed("has no accounturi"))?;
    let policy = parameter("policy")?;
    let until = parameter("persistuntil")?
        .map(|until| seconds(until).ok_or_else(|| malformed("has a persistUntil that is no number of seconds")));
    if account != wanted.account_url {
        return Err(Unfit::Unauthorized(format!("the record names another account than {}", wanted.account_url)));
    }
    if let Some(until) = until.transpose()?
        && wanted.now.as_second() > until
    {
        return Err(Unfit::Unauthorized(format!("the record ended at {until} (persistUntil)")));
    }
    if wanted.wildcard && !policy.is_some_and(|policy| policy.eq_ignore_ascii_case("wildcard")) {
        return Err(Unfit::Unauthorized("the record has no policy=wildcard".to_owned()));
    }
    Ok(())
}

/// Digits only: `parse` would take a sign too.
fn seconds(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "https://ca.example/acct/123";

    fn read(text: &str, wildcard: bool) -> Result<(), Unfit> {
        let identities = ["authority.example".to_owned()];
        let now = Timestamp::from_second(1_767_225_600).unwrap();
        persistent_record(text.as_bytes(), &Persistent { identities: &identities, account_url: ACCOUNT, wildcard, now })
    }

    #[test]
    fn account_labels_are_those_of_the_draft() {
        // The example of draft-ietf-acme-dns-account-label.
        assert_eq!(account_label("https://example.com/acme/acct/ExampleAccount"), "_ujmmovf2vn55tgye");
    }

    #[test]
    fn persistent_records_bind_the_account_and_the_time() {
        for good in [
            "authority.example; accounturi=https://ca.example/acct/123",
            "Authority.Example ;accounturi = https://ca.example/acct/123;new=thing",
            "authority.example; accounturi=https://ca.example/acct/123; persistUntil=1767225600",
            "authority.example; accounturi=https://ca.example/acct/123; policy=other",
        ] {
            assert_eq!(read(good, false), Ok(()), "{good}");
        }
        assert_eq!(read("authority.example; accounturi=https://ca.example/acct/123; POLICY=WildCard", true), Ok(()));
        for (bad, expected) in [
            ("authority.example; accounturi=https://ca.example/acct/124", "another account"),
            ("authority.example; accounturi=https://ca.example/acct/123; persistUntil=1767225599", "ended"),
        ] {
            assert!(matches!(read(bad, false), Err(Unfit::Unauthorized(why)) if why.contains(expected)), "{bad}");
        }
        assert!(matches!(
            read("authority.example; accounturi=https://ca.example/acct/123", true),
            Err(Unfit::Unauthorized(why)) if why.contains("policy=wildcard")
        ));
    }

    #[test]
    fn broken_records_are_malformed_where_they_name_us() {
        for bad in [
            "authority.example",
            "authority.example; policy=wildcard",
            "authority.example; accounturi=a; accounturi=b",
            "authority.example; accounturi=https://ca.example/acct/123; policy=wildcard; Policy=wildcard",
            "authority.example; accounturi=https://ca.example/acct/123; persistUntil=+1",
            "authority.example; accounturi=https://ca.example/acct/123; persistUntil=tomorrow",
            "authority.example; accounturi=https://ca.example/acct/123; persistUntil=99999999999999999999",
            "authority.example; accounturi",
        ] {
            assert!(matches!(read(bad, false), Err(Unfit::Malformed(_))), "{bad}");
        }
        for foreign in ["", "v=spf1 -all", "other.example; accounturi=a; accounturi=b", "xauthority.example;a"] {
            assert_eq!(read(foreign, false), Err(Unfit::Foreign), "{foreign}");
        }
    }
}
