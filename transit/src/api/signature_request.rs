//! The members that the requests of `sign` and `verify` share, written once.
//!
//! A macro and not a flattened struct: with serde's `flatten` the endpoint would know every member, and a misspelt one
//! would no longer be answered with a warning.

/// Defines a request with the shared members and some of its own, and its `options`.
macro_rules! signature_request {
    ($name:ident { $($(#[$attribute:meta])* $member:ident: $kind:ty),* $(,)? }) => {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct $name<'a> {
            #[serde(borrow)]
            input: Text<'a>,
            #[serde(borrow)]
            context: Text<'a>,
            #[serde(borrow)]
            hash_algorithm: Text<'a>,
            /// The older name of `hash_algorithm`.
            #[serde(borrow)]
            algorithm: Text<'a>,
            #[serde(borrow)]
            signature_algorithm: Text<'a>,
            /// Vault Enterprise's context of Ed25519ctx and Ed25519ph.
            #[serde(borrow)]
            signature_context: Text<'a>,
            #[serde(borrow)]
            salt_length: Option<Text<'a>>,
            #[serde(borrow)]
            marshaling_algorithm: Text<'a>,
            prehashed: Flag,
            #[serde(borrow)]
            batch_input: Option<&'a RawValue>,
            $($(#[$attribute])* $member: $kind,)*
        }

        impl $name<'_> {
            /// How to sign or verify; the hash of the path comes before those of the body.
            fn options(&self, url_algorithm: &str) -> Result<SignOptions, TransitError> {
                let named = [url_algorithm, self.hash_algorithm.as_str(), self.algorithm.as_str(), "sha2-256"];
                SignOptions::read(&OptionTexts {
                    hash: named.into_iter().find(|name| !name.is_empty()).unwrap_or_default(),
                    algorithm: self.signature_algorithm.as_str(),
                    salt: self.salt_length.as_ref().map(Text::as_str),
                    marshaling: self.marshaling_algorithm.as_str(),
                    prehashed: self.prehashed.0,
                    signature_context: self.signature_context.as_str(),
                })
            }
        }
    };
}

pub(crate) use signature_request;
