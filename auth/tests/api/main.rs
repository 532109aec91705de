//! Every endpoint of this crate over a store in memory and a clock that is moved by hand. One file a family.

mod approle;
mod cubbyhole;
mod leases;
mod policies;
mod rig;
mod tokens;
mod tokens_create;
mod userpass;
mod wrapping;
