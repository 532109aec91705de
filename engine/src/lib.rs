//! The contract every engine of the appliance is written against.
//!
//! A request goes straight down and comes back up; each type here is one station of that road:
//!
//! | station | type | module |
//! |---|---|---|
//! | what the door read | [`Request`] | [`request`] |
//! | where it goes | [`RouteTable`], [`RouteMatch`] | [`route`] |
//! | who asks | [`Identity`] | [`identity`] |
//! | proof that the policies said yes | [`Permit`] | [`permit`], minted by [`policy`] only |
//! | what a handler holds | [`Call`] | [`call`] |
//! | what a handler answers | [`Response`] or [`Fault`] | [`response`], [`fault`] |
//!
//! To add an engine: write a [`Service`] with a route table, one file per endpoint, and mount it; nothing here changes.
//! Loosely typed input (numbers as strings, Go durations, CSV) is absorbed by the field types of [`wire`].

pub mod call;
pub mod clock;
pub mod fault;
pub mod identity;
pub mod limits;
pub mod operation;
pub mod path;
pub mod permit;
pub mod policy;
pub mod request;
pub mod response;
pub mod route;
pub mod secret;
pub mod service;
pub mod wire;

pub use call::{Call, MountPoint};
pub use clock::{Clock, SystemClock};
pub use fault::Fault;
pub use identity::Identity;
pub use limits::{LimitError, Limits, check_json_limits};
pub use operation::{Capability, Operation, Verb};
pub use path::RequestPath;
pub use permit::Permit;
pub use request::{Body, Request};
pub use response::Response;
pub use route::{Access, Captures, Route, RouteMatch, RouteMiss, RouteTable};
pub use secret::{SecretBytes, SecretString};
pub use service::{Engine, Hosted, Service};
