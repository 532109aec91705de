//! The ACME (RFC 8555) door in front of the X.509 engine.
//!
//! A request comes through the same pipeline and the same audit log as every other; only who asks is found out here, by the
//! JWS. A certificate is issued by [`CertificateAuthority::issue_named`](chancery_ca::CertificateAuthority::issue_named),
//! the one road of every door.
//!
//! | to change | look in |
//! |---|---|
//! | an endpoint | `routes.rs`, then its file in `api/` |
//! | which states follow which | [`state`], one table each |
//! | what may be named in an order | [`identifier`] |
//! | what clients are told when something is wrong | [`problem`] |
//! | signed requests: keys, signatures, nonces | [`jwk`], [`jws`], [`nonce`] |
//! | who asks, at which directory, and how answers look | `exchange.rs` |
//! | external account binding | `binding.rs` |
//! | challenges: tokens and key authorizations | [`challenge`] |
//! | how challenges are looked into | [`validation`] |
//! | certificates that renew themselves | `star.rs`, `work/star.rs` |
//! | what goes on behind requests, and after a restart | `work.rs`, `work/` |
//! | what is stored, and when it ends | [`records`], `storage.rs` |
//! | what is remembered of it | `cache.rs` |
//! | how much one client may ask for | `limits.rs` |
//! | how it shares a mount with the engine | [`front`] |

mod api;
mod binding;
mod cache;
pub mod challenge;
mod exchange;
pub mod front;
pub mod identifier;
pub mod jwk;
pub mod jws;
mod limits;
pub mod nonce;
pub mod problem;
pub mod records;
mod routes;
mod server;
pub mod settings;
pub mod star;
pub mod state;
mod storage;
pub mod validation;
mod work;

pub use front::Front;
pub use server::{AcmeServer, Knobs};
