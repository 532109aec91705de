//! The HTTP doors: bytes in, one [`Request`](chancery_engine::Request) down the pipeline, one answer out.
//!
//! | file | holds |
//! |---|---|
//! | `listener` | accept loops, limits of time and size, drain |
//! | `patience` | how long a client may keep us waiting |
//! | `tls` | certificates and their reload, client certificates |
//! | `door` | which URL goes where |
//! | `conditional` | 304 for what the client has already |
//! | `acme` | signed requests become a parameter, HEAD fetches nonces |
//! | `ocsp` | OCSP requests in bodies and paths become a parameter |
//! | `standing` | answers that go out again as they are |
//! | `errand` | a request is finished although its client hung up |
//! | `request` | method, path, headers and body become a request |
//! | `body` | JSON, forms and query strings become one JSON object |
//! | `response` | the only place with status codes |

mod acme;
pub(crate) mod body;
mod conditional;
pub(crate) mod door;
mod errand;
pub mod listener;
mod ocsp;
pub(crate) mod patience;
pub(crate) mod request;
pub(crate) mod response;
mod standing;
pub mod tls;

pub use body::BodyLimits;
