//! What a failed PKCS#11 call means for the session, the handle, the token and the caller.
//!
//! | class | what is done about it |
//! |---|---|
//! | bad input | told to the caller; says nothing about the token |
//! | ambiguous | the same, if a known answer still comes out right; else the device counts as lost |
//! | session lost | a new session (and login), one more try |
//! | handle lost | the object is looked up again and compared, one more try |
//! | suspicious | `CKR_GENERAL_ERROR`: both of the above, and on repetition the device counts as lost |
//! | device lost | the module is re-initialised in the background, one more try if nothing can happen twice |
//! | fatal | latched: the PIN is never sent again |
//! | capacity | the pool shrinks, the caller is told to come back |

use cryptoki::{
    context::Function,
    error::{Error, RvError},
};

use crate::HsmError;

/// A failure inside the provider, before it is decided what becomes of it.
#[derive(Debug)]
pub(super) enum Failure {
    /// A PKCS#11 call answered something else than `CKR_OK`.
    Token { call: Function, code: RvError },
    /// The library was initialised anew, or is being: what was known about it is void.
    Stale,
    /// Anything that is decided already.
    Settled(HsmError),
}

/// The rows of the table above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    BadInput,
    Ambiguous,
    SessionLost,
    LoginLost,
    HandleLost,
    Suspicious,
    DeviceLost,
    Fatal,
    Capacity,
    NotSupported,
    WrongUse,
    /// The token takes no input of this length.
    WrongLength,
    Other,
}

impl Failure {
    pub(super) fn class(&self) -> Class {
        match self {
            Self::Token { call, code } => classify(*call, *code),
            Self::Stale => Class::DeviceLost,
            Self::Settled(_) => Class::Other,
        }
    }

    /// The failure as the caller sees it when nothing more can be done.
    pub(super) fn into_error(self) -> HsmError {
        let class = self.class();
        match self {
            Self::Settled(error) => error,
            Self::Stale => {
                HsmError::Unavailable { call: "C_Initialize".into(), code: "CKR_CRYPTOKI_NOT_INITIALIZED".into() }
            }
            Self::Token { call, code } => {
                let (call, code) = (call_name(call), code_name(code));
                match class {
                    Class::BadInput => HsmError::BadData,
                    Class::Capacity => HsmError::Busy { reason: "the token is out of sessions or memory" },
                    Class::NotSupported => HsmError::not_supported(format!("this: {call} answered {code}")),
                    Class::WrongUse => {
                        HsmError::invalid(format!("the key was not made for this: {call} answered {code}"))
                    }
                    Class::WrongLength => HsmError::invalid(format!(
                        "the token does not take an input of this length: {call} answered {code}"
                    )),
                    Class::Fatal => HsmError::Latched { reason: format!("{call} answered {code}") },
                    Class::Other => HsmError::Refused { call, code },
                    _ => HsmError::Unavailable { call, code },
                }
            }
        }
    }

    /// The same for a call that failed on a token that is otherwise well.
    pub(super) fn into_refusal(self) -> HsmError {
        match self {
            Self::Token { call, code } => HsmError::Refused { call: call_name(call), code: code_name(code) },
            other => other.into_error(),
        }
    }
}

fn classify(call: Function, code: RvError) -> Class {
    use RvError as R;
    let decrypting = matches!(call, Function::Decrypt | Function::DecryptInit | Function::DecryptFinal);
    match code {
        R::EncryptedDataInvalid | R::EncryptedDataLenRange => Class::BadInput,
        R::DataInvalid | R::DataLenRange if decrypting => Class::BadInput,
        R::DataLenRange => Class::WrongLength,
        // SoftHSM answers a bad tag with the first of these, Kryoptic bad RSA padding with the second; so does a dying token.
        R::GeneralError | R::DeviceError | R::FunctionFailed if decrypting => Class::Ambiguous,
        R::SessionHandleInvalid
        | R::SessionClosed
        | R::OperationActive
        | R::OperationNotInitialized
        | R::BufferTooSmall => Class::SessionLost,
        R::UserNotLoggedIn => Class::LoginLost,
        R::KeyHandleInvalid | R::ObjectHandleInvalid => Class::HandleLost,
        R::GeneralError => Class::Suspicious,
        R::DeviceError
        | R::DeviceRemoved
        | R::TokenNotPresent
        | R::TokenNotRecognized
        | R::SlotIdInvalid
        | R::CryptokiNotInitialized
        | R::FunctionFailed => Class::DeviceLost,
        R::PinIncorrect | R::PinLocked | R::PinExpired | R::PinInvalid | R::PinLenRange | R::UserPinNotInitialized => {
            Class::Fatal
        }
        R::SessionCount | R::DeviceMemory | R::HostMemory => Class::Capacity,
        R::MechanismInvalid
        | R::MechanismParamInvalid
        | R::FunctionNotSupported
        | R::CurveNotSupported
        | R::KeySizeRange => Class::NotSupported,
        R::KeyFunctionNotPermitted | R::KeyTypeInconsistent => Class::WrongUse,
        _ => Class::Other,
    }
}

/// `C_Sign`, as the standard writes it.
pub(super) fn call_name(call: Function) -> String {
    format!("C_{call:?}")
}

/// `CKR_DEVICE_ERROR`, as the standard writes it.
pub(super) fn code_name(code: RvError) -> String {
    if let RvError::VendorDefined(number) = code {
        return format!("CKR_VENDOR_DEFINED ({number:#x})");
    }
    let mut name = String::from("CKR");
    for letter in format!("{code:?}").chars() {
        if letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Pkcs11(code, call) => Self::Token { call, code },
            Error::NullFunctionPointer | Error::NotSupported => {
                Self::Settled(HsmError::not_supported("a function of PKCS#11 this needs"))
            }
            other => Self::Settled(HsmError::Refused { call: "the PKCS#11 binding".into(), code: other.to_string() }),
        }
    }
}

impl From<HsmError> for Failure {
    fn from(error: HsmError) -> Self {
        Self::Settled(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_named_as_in_the_standard() {
        assert_eq!(code_name(RvError::DeviceError), "CKR_DEVICE_ERROR");
        assert_eq!(code_name(RvError::VendorDefined(0x8000_0001)), "CKR_VENDOR_DEFINED (0x80000001)");
        assert_eq!(call_name(Function::GenerateKeyPair), "C_GenerateKeyPair");
    }

    #[test]
    fn vague_codes_are_ambiguous_only_while_decrypting() {
        assert_eq!(classify(Function::Decrypt, RvError::GeneralError), Class::Ambiguous);
        assert_eq!(classify(Function::Sign, RvError::GeneralError), Class::Suspicious);
        assert_eq!(classify(Function::Decrypt, RvError::DeviceError), Class::Ambiguous);
        assert_eq!(classify(Function::Sign, RvError::DeviceError), Class::DeviceLost);
        assert_eq!(classify(Function::Decrypt, RvError::DeviceRemoved), Class::DeviceLost);
    }

    #[test]
    fn an_input_too_long_for_the_token_is_the_callers() {
        assert_eq!(classify(Function::Decrypt, RvError::DataLenRange), Class::BadInput);
        let failure = Failure::Token { call: Function::Encrypt, code: RvError::DataLenRange };
        assert!(failure.into_error().is_caller_fault());
    }
}
