//! AES-GCM as other vendors do it: on order (`iv write`, `iv append`, `iv prepend`) the module chooses the vector itself
//! and puts it where AWS CloudHSM, Luna in FIPS mode, or a vendor variant put theirs. Calls without associated data are
//! counted as `empty-aad`.
#![expect(non_snake_case, reason = "the standard's names")]

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use cryptoki_sys::{
    CK_BYTE, CK_GCM_PARAMS, CK_MECHANISM, CK_OBJECT_HANDLE, CK_RV, CK_SESSION_HANDLE, CK_ULONG, CKM_AES_GCM,
    CKR_BUFFER_TOO_SMALL, CKR_FUNCTION_NOT_SUPPORTED, CKR_GENERAL_ERROR, CKR_OK,
};

use crate::{
    control::{self, Layout},
    lists,
};

const IV_BYTES: usize = 12;

/// Vectors to be put beside the ciphertext, by session.
static PENDING: Mutex<Option<HashMap<CK_SESSION_HANDLE, [u8; IV_BYTES]>>> = Mutex::new(None);
static COUNTER: AtomicU64 = AtomicU64::new(1);

/// Unique, which is all a test key needs.
fn fresh_iv() -> [u8; IV_BYTES] {
    let mut iv = *b"shim-0000000";
    for (to, from) in iv.iter_mut().skip(4).zip(COUNTER.fetch_add(1, Ordering::Relaxed).to_be_bytes()) {
        *to = from;
    }
    iv
}

/// The parameters of an AES-GCM mechanism.
///
/// # Safety
///
/// `mechanism` is null or points to a mechanism whose parameter is the one its type demands.
unsafe fn parameters(mechanism: *mut CK_MECHANISM) -> Option<*mut CK_GCM_PARAMS> {
    if mechanism.is_null() {
        return None;
    }
    // SAFETY: not null, so by the caller's promise a mechanism.
    let mechanism = unsafe { *mechanism };
    (mechanism.mechanism == CKM_AES_GCM && !mechanism.pParameter.is_null()).then_some(mechanism.pParameter.cast())
}

pub(crate) unsafe extern "C" fn C_EncryptInit(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    if let Some(code) = control::before("C_EncryptInit") {
        return code;
    }
    let Some(real) = lists().and_then(|lists| lists.real.C_EncryptInit) else { return CKR_FUNCTION_NOT_SUPPORTED };
    // SAFETY: the caller's own mechanism.
    let Some(given) = (unsafe { parameters(mechanism) }) else {
        // SAFETY: the caller's own arguments, unchanged.
        return unsafe { real(session, mechanism, key) };
    };
    // SAFETY: `parameters` found it not null.
    let mut own = unsafe { *given };
    if own.ulAADLen == 0 {
        control::note("empty-aad");
    }
    let layout = control::layout();
    let mut iv = fresh_iv();
    match layout {
        Layout::App => {}
        Layout::Write if own.ulIvLen == 12 => {
            // SAFETY: the caller's buffer has `ulIvLen` bytes, just compared.
            unsafe { std::ptr::copy_nonoverlapping(iv.as_ptr(), own.pIv, IV_BYTES) };
        }
        _ => (own.pIv, own.ulIvLen, own.ulIvBits) = (iv.as_mut_ptr(), 12, 96),
    }
    // SAFETY: the caller's own mechanism, with a copy of its parameter whose pointers outlive the call.
    let code = unsafe {
        let mut changed = *mechanism;
        changed.pParameter = (&raw mut own).cast();
        real(session, &raw mut changed, key)
    };
    if code == CKR_OK && matches!(layout, Layout::Append | Layout::Prepend) {
        let mut pending = PENDING.lock().unwrap_or_else(PoisonError::into_inner);
        pending.get_or_insert_default().insert(session, iv);
    }
    code
}

pub(crate) unsafe extern "C" fn C_DecryptInit(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    if let Some(code) = control::before("C_DecryptInit") {
        return code;
    }
    // SAFETY: the caller's own mechanism.
    if let Some(given) = unsafe { parameters(mechanism) }
        // SAFETY: `parameters` found it not null.
        && unsafe { (*given).ulAADLen } == 0
    {
        control::note("empty-aad");
    }
    let Some(real) = lists().and_then(|lists| lists.real.C_DecryptInit) else { return CKR_FUNCTION_NOT_SUPPORTED };
    // SAFETY: the caller's own arguments, unchanged.
    unsafe { real(session, mechanism, key) }
}

pub(crate) unsafe extern "C" fn C_Encrypt(
    session: CK_SESSION_HANDLE,
    input: *mut CK_BYTE,
    input_length: CK_ULONG,
    output: *mut CK_BYTE,
    output_length: *mut CK_ULONG,
) -> CK_RV {
    if let Some(code) = control::before("C_Encrypt") {
        return code;
    }
    let Some(real) = lists().and_then(|lists| lists.real.C_Encrypt) else { return CKR_FUNCTION_NOT_SUPPORTED };
    let pending =
        PENDING.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(|all| all.get(&session).copied());
    let code = match pending {
        // SAFETY: the caller's own arguments, unchanged.
        None => unsafe { real(session, input, input_length, output, output_length) },
        // SAFETY: the caller's own pointers, each with its length.
        Some(iv) => unsafe { with_iv(session, (input, input_length), (output, output_length), iv) },
    };
    if code == CKR_OK && !output.is_null() && control::damages("C_Encrypt") {
        // SAFETY: the call succeeded with this output buffer, so it holds `output_length` bytes.
        unsafe {
            if *output_length > 0 {
                *output ^= 1;
            }
        }
    }
    code
}

/// Encrypts into a buffer of our own, and puts the vector beside it.
///
/// # Safety
///
/// As for `C_Encrypt`: the pointers are the caller's, each with its length.
unsafe fn with_iv(
    session: CK_SESSION_HANDLE,
    (input, input_length): (*mut CK_BYTE, CK_ULONG),
    (output, output_length): (*mut CK_BYTE, *mut CK_ULONG),
    iv: [u8; IV_BYTES],
) -> CK_RV {
    let Some(real) = lists().and_then(|lists| lists.real.C_Encrypt) else { return CKR_FUNCTION_NOT_SUPPORTED };
    // SAFETY: the caller's own pointer to a length.
    let room = unsafe { *output_length };
    let mut length = input_length + 64;
    let Ok(capacity) = usize::try_from(length) else { return CKR_GENERAL_ERROR };
    let mut buffer = vec![0; capacity];
    let place = if output.is_null() { std::ptr::null_mut() } else { buffer.as_mut_ptr() };
    // SAFETY: our own buffer of `length` bytes, or none, which asks for the length.
    let code = unsafe { real(session, input, input_length, place, &raw mut length) };
    if code != CKR_OK {
        return code;
    }
    // SAFETY: the caller's own pointer to a length.
    unsafe { *output_length = length + 12 };
    if output.is_null() {
        return CKR_OK;
    }
    if let Some(all) = PENDING.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        all.remove(&session);
    }
    if room < length + 12 {
        return CKR_BUFFER_TOO_SMALL;
    }
    buffer.truncate(usize::try_from(length).unwrap_or(0));
    match control::layout() {
        Layout::Prepend => drop(buffer.splice(0..0, iv)),
        _ => buffer.extend_from_slice(&iv),
    }
    // SAFETY: the caller's buffer has `room` bytes, which is at least as many as these.
    unsafe { std::ptr::copy_nonoverlapping(buffer.as_ptr(), output, buffer.len()) };
    CKR_OK
}
