//! Every endpoint of this crate over a store in memory and a clock that is moved by hand. One file a family.

#[cfg(test)]
mod approle;
#[cfg(test)]
mod cubbyhole;
#[cfg(test)]
mod leases;
#[cfg(test)]
mod policies;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod tokens_create;
#[cfg(test)]
mod userpass;
#[cfg(test)]
mod wrapping;
