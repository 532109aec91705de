//! One policy document.

use crate::operation::Capability;

/// A named policy, parsed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Lower-case name.
    pub name: String,
    /// The text as it was written.
    pub source: String,
    /// One rule a path.
    pub rules: Vec<Rule>,
}

/// What a policy says of one path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// Path with `+` and a trailing `*` where written.
    pub path: String,
    /// Granted capabilities.
    pub capabilities: Vec<Capability>,
    /// Rules on parameters.
    pub parameters: ParameterRules,
}

/// `allowed_parameters`, `denied_parameters`, `required_parameters`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParameterRules {}

/// Why a document is refused.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Not HCL and not JSON, or an unknown member.
    #[error("failed to parse policy: {0}")]
    Syntax(String),
}
