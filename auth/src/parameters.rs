//! The `token_*` parameters that token roles and login roles share (vault-api §4.4).

use crate::cidr;
use chancery_engine::{
    Call, Fault,
    response::TokenParameters,
    wire::{self, CommaList, Count, DurationSeconds, Flag, Text},
};
use serde::{Deserialize, Serialize};

/// The parameters as requests carry them, with the older spellings. Absent ones leave what is stored.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TokenFields {
    token_ttl: Option<DurationSeconds>,
    token_max_ttl: Option<DurationSeconds>,
    token_policies: Option<CommaList>,
    token_bound_cidrs: Option<CommaList>,
    token_explicit_max_ttl: Option<DurationSeconds>,
    token_no_default_policy: Option<Flag>,
    token_num_uses: Option<Count>,
    token_period: Option<DurationSeconds>,
    token_type: Option<Text>,
    token_strictly_bind_ip: Option<Flag>,
    policies: Option<CommaList>,
    period: Option<DurationSeconds>,
    ttl: Option<DurationSeconds>,
    max_ttl: Option<DurationSeconds>,
    bound_cidrs: Option<CommaList>,
}

/// The `token_*` members of answers.
#[derive(Debug, Serialize)]
pub(crate) struct TokenMembers<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    bound_cidrs: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_ttl: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    period: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policies: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
    token_bound_cidrs: &'a [String],
    token_explicit_max_ttl: u64,
    token_max_ttl: u64,
    token_no_default_policy: bool,
    token_num_uses: i64,
    token_period: u64,
    token_policies: &'a [String],
    token_strictly_bind_ip: bool,
    token_ttl: u64,
    token_type: &'a str,
}

/// Which older spellings were used last; what was set by one is shown under it too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct OldSpellings {
    policies: bool,
    period: bool,
    ttl: bool,
    max_ttl: bool,
    bound_cidrs: bool,
}

impl<'a> TokenMembers<'a> {
    /// Shows `parameters`.
    pub(crate) fn of(parameters: &'a TokenParameters, old: OldSpellings) -> Self {
        Self {
            bound_cidrs: old.bound_cidrs.then_some(parameters.bound_cidrs.as_slice()),
            max_ttl: old.max_ttl.then_some(parameters.max_ttl),
            period: old.period.then_some(parameters.period),
            policies: old.policies.then_some(parameters.policies.as_slice()),
            ttl: old.ttl.then_some(parameters.ttl),
            token_bound_cidrs: &parameters.bound_cidrs,
            token_explicit_max_ttl: parameters.explicit_max_ttl,
            token_max_ttl: parameters.max_ttl,
            token_no_default_policy: parameters.no_default_policy,
            token_num_uses: parameters.num_uses,
            token_period: parameters.period,
            token_policies: &parameters.policies,
            token_strictly_bind_ip: parameters.strictly_bind_ip,
            token_ttl: parameters.ttl,
            token_type: if parameters.token_type.is_empty() { "default" } else { &parameters.token_type },
        }
    }
}

/// Parses a body of which this struct knows only a part; the rest is another struct's.
pub(crate) fn parse_part<'a, T: Deserialize<'a>>(call: &'a Call) -> Result<T, Fault> {
    wire::parse_body(call.body.json(), |_| {})
}

impl TokenFields {
    /// Only what endpoints that set policies may look at.
    pub(crate) fn policies_only(self) -> Self {
        Self { policies: self.policies, token_policies: self.token_policies, ..Self::default() }
    }

    /// Notes which spellings were used.
    pub(crate) fn note(&self, old: &mut OldSpellings) {
        for (flag, uses_old, uses_new) in [
            (&mut old.policies, self.policies.is_some(), self.token_policies.is_some()),
            (&mut old.period, self.period.is_some(), self.token_period.is_some()),
            (&mut old.ttl, self.ttl.is_some(), self.token_ttl.is_some()),
            (&mut old.max_ttl, self.max_ttl.is_some(), self.token_max_ttl.is_some()),
            (&mut old.bound_cidrs, self.bound_cidrs.is_some(), self.token_bound_cidrs.is_some()),
        ] {
            *flag = uses_old || *flag && !uses_new;
        }
    }

    /// Writes what was sent over `parameters` and checks the outcome.
    pub(crate) fn apply(self, parameters: &mut TokenParameters) -> Result<(), Fault> {
        if let Some(ttl) = self.token_ttl.or(self.ttl) {
            parameters.ttl = positive("token_ttl", ttl)?;
        }
        if let Some(ttl) = self.token_max_ttl.or(self.max_ttl) {
            parameters.max_ttl = positive("token_max_ttl", ttl)?;
        }
        if let Some(ttl) = self.token_explicit_max_ttl {
            parameters.explicit_max_ttl = positive("token_explicit_max_ttl", ttl)?;
        }
        if let Some(period) = self.token_period.or(self.period) {
            parameters.period = positive("token_period", period)?;
        }
        if let Some(CommaList(policies)) = self.token_policies.or(self.policies) {
            parameters.policies = crate::tokens::sanitize_policies(&policies, false);
        }
        if let Some(CommaList(ranges)) = self.token_bound_cidrs.or(self.bound_cidrs) {
            parameters.bound_cidrs = checked_ranges(ranges)?;
        }
        if let Some(Flag(flag)) = self.token_no_default_policy {
            parameters.no_default_policy = flag;
        }
        if let Some(Flag(flag)) = self.token_strictly_bind_ip {
            parameters.strictly_bind_ip = flag;
        }
        if let Some(Count(uses)) = self.token_num_uses {
            if uses < 0 {
                return Err(Fault::caller("'token_num_uses' cannot be negative"));
            }
            parameters.num_uses = uses;
        }
        if let Some(Text(token_type)) = self.token_type {
            parameters.token_type = token_type;
        }
        check(parameters)
    }
}

fn check(parameters: &TokenParameters) -> Result<(), Fault> {
    if parameters.max_ttl > 0 && parameters.ttl > parameters.max_ttl {
        return Err(Fault::caller("'token_ttl' cannot be greater than 'token_max_ttl'"));
    }
    match parameters.token_type.as_str() {
        "" | "default" | "service" | "default-service" => Ok(()),
        "batch" | "default-batch" if parameters.period > 0 => {
            Err(Fault::caller("'token_type' cannot be 'batch' or 'default_batch' when set to generate periodic tokens"))
        }
        "batch" | "default-batch" if parameters.num_uses > 0 => Err(Fault::caller(
            "'token_type' cannot be 'batch' or 'default_batch' when set to generate tokens with limited use count",
        )),
        "batch" | "default-batch" => Ok(()),
        other => Err(Fault::caller(format!("invalid 'token_type' value {other:?}"))),
    }
}

/// Seconds; negative ones are refused in Vault's words.
pub(crate) fn positive(name: &str, duration: DurationSeconds) -> Result<u64, Fault> {
    u64::try_from(duration.0).map_err(|_| {
        Fault::caller(format!(
            "error converting input for field {name:?}: cannot provide negative value '{}'",
            duration.0
        ))
    })
}

/// Address ranges for tokens.
pub(crate) fn checked_ranges(ranges: Vec<String>) -> Result<Vec<String>, Fault> {
    match ranges.iter().find(|range| !cidr::is_address_or_network(range)) {
        Some(range) => Err(Fault::caller(format!(
            "error parsing address {range:?}: Unable to convert {range:?} to an IPv4 or IPv6 address, or a UNIX Socket"
        ))),
        None => Ok(ranges),
    }
}
