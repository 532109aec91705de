//! Finding the token.

use cryptoki::{
    context::Pkcs11,
    slot::{Limit, Slot, TokenInfo},
};

use super::{TokenChoice, failure::Failure};
use crate::{HsmError, TokenIdentity};

/// A slot with the token in it.
pub(super) struct Found {
    pub(super) slot: Slot,
    pub(super) identity: TokenIdentity,
    pub(super) max_sessions: Option<u64>,
}

/// Finds the chosen token. A slot whose token cannot be described (bindings fail on one odd field) is passed over,
/// unless it is chosen by its number.
pub(super) fn find(context: &Pkcs11, choice: &TokenChoice) -> Result<Found, Failure> {
    let mut seen = Vec::new();
    let mut matching = Vec::new();
    for slot in context.get_slots_with_token()? {
        let info = match context.get_token_info(slot) {
            Ok(info) => Some(info),
            Err(error @ cryptoki::error::Error::Pkcs11(..)) if is_fatal(&error) => return Err(error.into()),
            Err(error) => {
                tracing::debug!(slot = slot.id(), %error, "the token in this slot cannot be described");
                None
            }
        };
        if matches(choice, slot, info.as_ref()) {
            matching.push((slot, info));
        } else if let Some(info) = info.filter(TokenInfo::token_initialized) {
            seen.push(identity(&info).to_string());
        }
    }
    let Some((slot, info)) = matching.pop() else {
        let seen = if seen.is_empty() { "no tokens".to_owned() } else { seen.join(", ") };
        return Err(HsmError::Token { reason: format!("the module has no slot with {choice}; it has {seen}") }.into());
    };
    if !matching.is_empty() {
        return Err(
            HsmError::Token { reason: format!("more than one slot has {choice}: choose by serial number") }.into()
        );
    }
    if let Some(info) = &info {
        refuse_worn_pin(info)?;
    }
    let identity = info.as_ref().map_or_else(|| nameless(slot), identity);
    Ok(Found { slot, identity, max_sessions: info.as_ref().and_then(session_limit) })
}

/// The library itself is gone, as opposed to one token being odd.
fn is_fatal(error: &cryptoki::error::Error) -> bool {
    use cryptoki::error::{Error, RvError};
    matches!(error, Error::Pkcs11(RvError::CryptokiNotInitialized | RvError::HostMemory, _))
}

fn matches(choice: &TokenChoice, slot: Slot, info: Option<&TokenInfo>) -> bool {
    match (choice, info) {
        (TokenChoice::Slot(id), _) => slot.id() == *id,
        (TokenChoice::Label(label), Some(info)) => info.token_initialized() && info.label() == label,
        (TokenChoice::Serial(serial), Some(info)) => info.token_initialized() && info.serial_number() == serial,
        (_, None) => false,
    }
}

/// One wrong attempt more could lock or wipe the token; that attempt is the operator's to make.
fn refuse_worn_pin(info: &TokenInfo) -> Result<(), HsmError> {
    let reason = if info.user_pin_locked() {
        "the token's user PIN is locked; the security officer must reset it"
    } else if info.user_pin_final_try() {
        "the token's user PIN has one attempt left; log in once with the right PIN by another tool, then start again"
    } else {
        return Ok(());
    };
    Err(HsmError::Latched { reason: reason.into() })
}

fn identity(info: &TokenInfo) -> TokenIdentity {
    TokenIdentity {
        label: info.label().to_owned(),
        serial: info.serial_number().to_owned(),
        manufacturer: info.manufacturer_id().to_owned(),
        model: info.model().to_owned(),
    }
}

fn nameless(slot: Slot) -> TokenIdentity {
    TokenIdentity {
        label: String::new(),
        serial: format!("slot-{}", slot.id()),
        manufacturer: String::new(),
        model: String::new(),
    }
}

fn session_limit(info: &TokenInfo) -> Option<u64> {
    match info.max_rw_session_count() {
        Limit::Max(count) => Some(count),
        Limit::Infinite | Limit::Unavailable => None,
    }
}
