//! Keys that never leave the token: PKCS#11 and software providers behind one asynchronous face.
//!
//! | what | where |
//! |---|---|
//! | the face: generate, sign, encrypt, decrypt, MAC, random, destroy, list | [`Hsm`] in `facade.rs` |
//! | what a key is called and how it is protected | [`KeyReference`], [`KeySpec`], [`KeyAttributes`] in `key.rs` |
//! | schemes and inputs | [`SignScheme`], [`SignInput`], [`RsaPadding`], [`MacAlgorithm`] in `scheme.rs` |
//! | what the token can do, by trying | [`Capabilities`], [`Need`] in `capability.rs` |
//! | messages between face and providers | `command.rs` |
//! | tokens behind a PKCS#11 module | `pkcs11.rs` |
//! | keys that others made or named, and how engines ask for them | [`ExternalKeys`], [`KeySearch`] in `external.rs` |
//! | keys in this process, verification, RSA encryption, an in-memory token for tests | [`software`] |
//! | a secret of this process sealed by a key of the token | [`envelope`] |
//! | what can go wrong | [`HsmError`] |
//!
//! Three rules hold everywhere. A key is named by token, `CKA_ID` and public key, and an object that differs is refused;
//! "not found" is never taken for "deleted". Every signature is verified in software before it is released. No secret
//! text appears in errors or logs.
//!
//! To add an operation: a variant in `command.rs`, a method on [`Hsm`], an arm in both providers, a row in [`Need`] if
//! tokens may lack it, and a case in the conformance list.

mod capability;
mod command;
pub mod envelope;
mod error;
mod external;
mod facade;
mod key;
mod pkcs11;
mod public_key;
mod scheme;
pub mod software;

pub use capability::{Capabilities, IvPolicy, Need, Support};
pub use command::AeadSealed;
pub use error::HsmError;
pub use external::{ExternalKey, ExternalKeyError, ExternalKeyName, ExternalKeys, KeySearch, Mechanism, Origin};
pub use facade::{Hsm, HsmPhase, HsmStatus, MAX_RANDOM_BYTES};
pub use key::{
    KeyAlgorithm, KeyAttributes, KeyId, KeyPurpose, KeyReference, KeySpec, KeySummary, LABEL_PREFIX, TokenIdentity,
};
pub use pkcs11::{Pin, Pkcs11Config, TokenChoice};
pub use scheme::{HashAlgorithm, MacAlgorithm, RsaPadding, SaltLength, SignInput, SignScheme};
pub use software::{verify, verify_unhashed_pkcs1};
