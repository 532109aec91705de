//! One-time passwords: a password for one user name at one address, used once.
//!
//! What is kept is a hash; the password is random, so it needs no salt. Verifying it takes it away in the same commit.

use crate::{SshAuthority, error::SshError, role::Role, storage};
use aws_lc_rs::digest::{SHA256, digest};
use chancery_store::{Changes, StoreError};
use data_encoding::HEXLOWER;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use uuid::Uuid;

/// What a password stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OtpRecord {
    pub(crate) ip: String,
    pub(crate) role_name: String,
    pub(crate) username: String,
}

/// What a lease for a password keeps: the hash.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LeasedOtp {
    pub(crate) otp: String,
}

/// Addresses that share their first bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let is_plain = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
        let bits: u8 = bits.parse().ok().filter(|_| is_plain)?;
        (bits <= if address.is_ipv4() { 32 } else { 128 }).then_some(Self { address, bits })
    }

    fn contains(self, other: IpAddr) -> bool {
        match (self.address, other) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                self.bits == 0 || (own.to_bits() ^ other.to_bits()) >> (32 - self.bits) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                self.bits == 0 || (own.to_bits() ^ other.to_bits()) >> (128 - self.bits) == 0
            }
            _ => false,
        }
    }
}

/// Reads `cidr_list` or `exclude_cidr_list`.
///
/// # Errors
/// [`SshError::Caller`] that quotes the item.
pub(crate) fn parse_networks(member: &str, list: &str) -> Result<Vec<Network>, SshError> {
    let items = list.split(',').map(str::trim).filter(|item| !item.is_empty());
    items
        .map(|item| {
            Network::parse(item)
                .ok_or_else(|| SshError::Caller(format!("failed to validate {member}: invalid CIDR address: {item}")))
        })
        .collect()
}

impl Role {
    /// Whether passwords of this role may be for `address`.
    pub(crate) fn covers(&self, address: IpAddr) -> bool {
        let within = |list: &str| {
            parse_networks("", list).is_ok_and(|networks| networks.iter().any(|network| network.contains(address)))
        };
        within(&self.cidr_list) && !within(&self.exclude_cidr_list)
    }

    /// The user name a password is for; empty `asked` is the role's.
    pub(crate) fn otp_user(&self, asked: &str) -> Result<String, SshError> {
        if asked.is_empty() || asked == self.default_user {
            return Ok(self.default_user.clone());
        }
        let allowed = self.allowed_users.trim();
        if allowed.is_empty() {
            return Err(SshError::caller(
                "Username has to be either in allowed users list or has to be a default username",
            ));
        }
        if allowed == "*" || crate::principals::split(allowed).iter().any(|user| user == asked) {
            Ok(asked.to_owned())
        } else {
            Err(SshError::caller("Username is not present is allowed users list"))
        }
    }
}

impl SshAuthority {
    /// Makes a password that lives `ttl` seconds. Returns it and what a lease must keep.
    pub(crate) async fn make_otp(&self, record: &OtpRecord, ttl: u64) -> Result<(String, LeasedOtp), SshError> {
        let otp = Uuid::new_v4().to_string();
        let hash = hashed(&otp);
        let ttl = i64::try_from(ttl).unwrap_or(i64::MAX);
        let end = self.now().checked_add(SignedDuration::from_secs(ttl)).unwrap_or(Timestamp::MAX);
        let mut changes = Changes::default();
        changes.create_expiring(&self.view, &storage::otp(&hash), record, end)?;
        self.store.commit(changes).await?;
        Ok((otp, LeasedOtp { otp: hash }))
    }

    /// Takes a password away; what it stood for, if it was good.
    pub(crate) async fn take_otp(&self, otp: &str) -> Result<Option<OtpRecord>, SshError> {
        let key = storage::otp(&hashed(otp));
        let Some(entry) = self.view.read(&key).await? else { return Ok(None) };
        let is_alive = entry.expires_at.is_none_or(|end| self.now() < end);
        let record: OtpRecord = entry.decode()?;
        let mut changes = Changes::default();
        changes.expect_version(&self.view, &key, entry.version).delete(&self.view, &key);
        match self.store.commit(changes).await {
            Ok(_) => Ok(is_alive.then_some(record)),
            // Somebody else has used it meanwhile.
            Err(StoreError::Conflict) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A lease ended: the password with it.
    pub(crate) async fn forget_otp(&self, internal: &[u8]) -> Result<(), SshError> {
        let leased: LeasedOtp = serde_json::from_slice(internal).map_err(|error| SshError::corrupt("lease", error))?;
        let mut changes = Changes::default();
        changes.delete(&self.view, &storage::otp(&leased.otp));
        self.store.commit(changes).await?;
        Ok(())
    }
}

fn hashed(otp: &str) -> String {
    HEXLOWER.encode(digest(&SHA256, otp.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_cover_their_addresses() {
        let role = |list: &str, except: &str| Role {
            cidr_list: list.to_owned(),
            exclude_cidr_list: except.to_owned(),
            ..Role::default()
        };
        let covers = |role: &Role, address: &str| role.covers(address.parse().unwrap());
        let most = role("10.0.0.0/8, 2001:db8::/32", "10.1.0.0/16");
        assert!(covers(&most, "10.2.3.4") && covers(&most, "2001:db8::1"));
        assert!(!covers(&most, "10.1.3.4") && !covers(&most, "11.0.0.1") && !covers(&most, "2001:db9::1"));
        assert!(covers(&role("0.0.0.0/0", ""), "192.0.2.1") && !covers(&role("0.0.0.0/0", ""), "::1"));
        assert!(!covers(&role("", ""), "192.0.2.1"));
        for bad in ["x", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/+8", "::/129", "10.0.0.256/8"] {
            assert!(parse_networks("cidr_list", bad).is_err(), "{bad}");
        }
    }
}
