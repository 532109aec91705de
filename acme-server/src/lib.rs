//! The ACME (RFC 8555) door in front of the X.509 engine.
//!
//! | to change | look in |
//! |---|---|
//! | what may be named in an order | [`identifier`] |
//! | what clients are told when something is wrong | [`problem`] |
//! | challenges: tokens and key authorizations | [`challenge`] |
//! | how challenges are looked into | [`validation`] |

pub mod challenge;
pub mod identifier;
pub mod problem;
pub mod validation;
