//! The appliance as a library: doors, pipeline, mounts, sys, audit, configuration and jobs.
//!
//! | module | holds |
//! |---|---|
//! | [`appliance`] | start and stop |
//! | [`config`] | our TOML and Vault-shaped HCL or JSON |
//! | [`core`] | the shared state, unseal and seal |
//! | [`pipeline`](mod@pipeline) | the one function every request goes through |
//! | [`mount`] | mount table, router, engine kinds |
//! | `nodes` | other servers on the same database: what they changed |
//! | `jobs` | what happens without being asked |
//! | [`external`] | registered keys of the operator's tokens, and which mount may use them |
//! | [`sys`](mod@sys) | the endpoints that run the appliance itself |
//! | [`audit`] | sinks, hash chain, checkpoints, verification |
//! | [`hardening`] | what the process gives up so that its memory stays its own |
//! | [`http`](mod@http) | listeners, TLS, requests in, answers out |
//! | [`metrics`] | counters for Prometheus |

pub mod appliance;
pub mod audit;
pub mod config;
pub mod core;
pub mod external;
mod fault;
#[doc(hidden)]
pub mod fuzzing;
pub mod hardening;
mod heavy;
mod help;
pub mod http;
mod ids;
mod jobs;
pub mod metrics;
pub mod mount;
mod nodes;
pub mod pipeline;
pub mod reply;
pub mod sys;

pub use appliance::{Appliance, StartError, examine_database, hide_panic_texts, open_hsm};
pub use chancery_acme_server::Knobs as AcmeKnobs;
pub use chancery_store::PostgresTls;
pub use core::Core;

/// Version that clients are told unless the configuration says otherwise: Terraform and other clients gate features on
/// it, so it names the Vault release whose API this is.
pub const API_VERSION: &str = "1.16.3+chancery";
