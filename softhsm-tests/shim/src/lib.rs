//! A PKCS#11 module for tests: it passes every call on to a real module, and on order makes calls slow, fail, or
//! answer with altered bytes.
//!
//! | environment | meaning |
//! |---|---|
//! | `CHANCERY_SHIM_MODULE` | path of the real module |
//! | `CHANCERY_SHIM_CONTROL` | path of the control socket (orders: `control.rs`); without it calls are only passed on |
//! | `CHANCERY_SHIM_DELAY` | microseconds added to each call, to play a network HSM |
//!
//! Only `C_GetFunctionList` is exported: a caller must get all other functions through it, as the standard says.

use std::sync::OnceLock;

use cryptoki_sys::{
    CK_ATTRIBUTE, CK_BYTE, CK_FLAGS, CK_FUNCTION_LIST, CK_INFO, CK_MECHANISM, CK_MECHANISM_INFO, CK_MECHANISM_TYPE,
    CK_NOTIFY, CK_OBJECT_HANDLE, CK_RV, CK_SESSION_HANDLE, CK_SESSION_INFO, CK_SLOT_ID, CK_SLOT_INFO, CK_TOKEN_INFO,
    CK_ULONG, CK_USER_TYPE, CK_UTF8CHAR, CKR_ARGUMENTS_BAD, CKR_FUNCTION_NOT_SUPPORTED, CKR_GENERAL_ERROR, CKR_OK,
};

mod control;
mod gcm;

/// The real module's list and ours. The library is never unloaded, so its functions stay valid.
struct Lists {
    real: CK_FUNCTION_LIST,
    ours: CK_FUNCTION_LIST,
}

static LISTS: OnceLock<Option<Lists>> = OnceLock::new();

fn lists() -> Option<&'static Lists> {
    LISTS
        .get_or_init(|| {
            let real = load()?;
            control::start();
            Some(Lists { real, ours: overlay(real) })
        })
        .as_ref()
}

fn load() -> Option<CK_FUNCTION_LIST> {
    let path = std::env::var_os("CHANCERY_SHIM_MODULE")?;
    // SAFETY: the path names a PKCS#11 module chosen by the test; loading it runs its initialisers, which is its job.
    let library = unsafe { libloading::Library::new(path) }.ok()?;
    let mut list = std::ptr::null_mut();
    {
        type GetFunctionList = unsafe extern "C" fn(*mut *mut CK_FUNCTION_LIST) -> CK_RV;
        // SAFETY: PKCS#11 fixes name and signature of this symbol.
        let function: libloading::Symbol<'_, GetFunctionList> = unsafe { library.get(b"C_GetFunctionList\0") }.ok()?;
        // SAFETY: `list` is a valid place for one pointer.
        if unsafe { function(&raw mut list) } != CKR_OK || list.is_null() {
            return None;
        }
    }
    std::mem::forget(library);
    // SAFETY: the module answered CKR_OK, so the pointer is to its function list, which lives as long as the module.
    Some(unsafe { *list })
}

/// The module's only exported function (PKCS#11 §5.4).
///
/// # Safety
///
/// `list` is null or points to a place for one pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) -> CK_RV {
    if list.is_null() {
        return CKR_ARGUMENTS_BAD;
    }
    let Some(lists) = lists() else { return CKR_GENERAL_ERROR };
    // SAFETY: the caller's pointer, not null. Callers only read the list; the standard types it as mutable all the same.
    unsafe { *list = (&raw const lists.ours).cast_mut() };
    CKR_OK
}

/// Wraps functions of the real list: ordered failures first, then the real call.
macro_rules! forward {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => {
        $(
            #[expect(non_snake_case, reason = "the standard's name")]
            unsafe extern "C" fn $name($($argument: $type),*) -> CK_RV {
                if let Some(code) = control::before(stringify!($name)) {
                    return code;
                }
                let Some(real) = lists().and_then(|lists| lists.real.$name) else { return CKR_FUNCTION_NOT_SUPPORTED };
                // SAFETY: the caller's own arguments, unchanged.
                unsafe { real($($argument),*) }
            }
        )*

        fn overlay(real: CK_FUNCTION_LIST) -> CK_FUNCTION_LIST {
            let mut ours = real;
            $(if real.$name.is_some() { ours.$name = Some($name); })*
            special(&real, &mut ours);
            ours
        }
    };
}

forward! {
    C_Initialize(arguments: *mut std::ffi::c_void);
    C_Finalize(reserved: *mut std::ffi::c_void);
    C_GetInfo(info: *mut CK_INFO);
    C_GetSlotList(present: CK_BYTE, slots: *mut CK_SLOT_ID, count: *mut CK_ULONG);
    C_GetSlotInfo(slot: CK_SLOT_ID, info: *mut CK_SLOT_INFO);
    C_GetMechanismList(slot: CK_SLOT_ID, list: *mut CK_MECHANISM_TYPE, count: *mut CK_ULONG);
    C_GetMechanismInfo(slot: CK_SLOT_ID, mechanism: CK_MECHANISM_TYPE, info: *mut CK_MECHANISM_INFO);
    C_OpenSession(slot: CK_SLOT_ID, flags: CK_FLAGS, data: *mut std::ffi::c_void, notify: CK_NOTIFY, session: *mut CK_SESSION_HANDLE);
    C_CloseSession(session: CK_SESSION_HANDLE);
    C_GetSessionInfo(session: CK_SESSION_HANDLE, info: *mut CK_SESSION_INFO);
    C_Login(session: CK_SESSION_HANDLE, user: CK_USER_TYPE, pin: *mut CK_UTF8CHAR, length: CK_ULONG);
    C_Logout(session: CK_SESSION_HANDLE);
    C_DestroyObject(session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE);
    C_GetAttributeValue(session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE, template: *mut CK_ATTRIBUTE, count: CK_ULONG);
    C_FindObjectsInit(session: CK_SESSION_HANDLE, template: *mut CK_ATTRIBUTE, count: CK_ULONG);
    C_FindObjects(session: CK_SESSION_HANDLE, objects: *mut CK_OBJECT_HANDLE, maximum: CK_ULONG, count: *mut CK_ULONG);
    C_FindObjectsFinal(session: CK_SESSION_HANDLE);
    C_GenerateKey(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, template: *mut CK_ATTRIBUTE, count: CK_ULONG, key: *mut CK_OBJECT_HANDLE);
    C_GenerateKeyPair(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, public: *mut CK_ATTRIBUTE, public_count: CK_ULONG, private: *mut CK_ATTRIBUTE, private_count: CK_ULONG, public_key: *mut CK_OBJECT_HANDLE, private_key: *mut CK_OBJECT_HANDLE);
    C_GenerateRandom(session: CK_SESSION_HANDLE, bytes: *mut CK_BYTE, length: CK_ULONG);
}

/// Functions whose arguments or answers can be altered.
fn special(real: &CK_FUNCTION_LIST, ours: &mut CK_FUNCTION_LIST) {
    if real.C_EncryptInit.is_some() {
        ours.C_EncryptInit = Some(gcm::C_EncryptInit);
    }
    if real.C_Encrypt.is_some() {
        ours.C_Encrypt = Some(gcm::C_Encrypt);
    }
    if real.C_DecryptInit.is_some() {
        ours.C_DecryptInit = Some(gcm::C_DecryptInit);
    }
    if real.C_Decrypt.is_some() {
        ours.C_Decrypt = Some(C_Decrypt);
    }
    if real.C_Sign.is_some() {
        ours.C_Sign = Some(C_Sign);
    }
    if real.C_SignInit.is_some() {
        ours.C_SignInit = Some(C_SignInit);
    }
    if real.C_GetTokenInfo.is_some() {
        ours.C_GetTokenInfo = Some(C_GetTokenInfo);
    }
}

/// Functions that turn bytes into bytes: the first byte of a successful answer can be flipped.
macro_rules! transform {
    ($($name:ident)*) => {$(
        #[expect(non_snake_case, reason = "the standard's name")]
        unsafe extern "C" fn $name(
            session: CK_SESSION_HANDLE,
            input: *mut CK_BYTE,
            input_length: CK_ULONG,
            output: *mut CK_BYTE,
            output_length: *mut CK_ULONG,
        ) -> CK_RV {
            if let Some(code) = control::before(stringify!($name)) {
                return code;
            }
            let Some(real) = lists().and_then(|lists| lists.real.$name) else { return CKR_FUNCTION_NOT_SUPPORTED };
            // SAFETY: the caller's own arguments, unchanged.
            let code = unsafe { real(session, input, input_length, output, output_length) };
            if code == CKR_OK && !output.is_null() && control::damages(stringify!($name)) {
                // SAFETY: the real call succeeded with this output buffer, so it holds `output_length` bytes.
                unsafe {
                    if *output_length > 0 {
                        *output ^= 1;
                    }
                }
            }
            code
        }
    )*};
}

transform! { C_Decrypt C_Sign }

/// On order, signs with the key of an earlier call instead: what a stale handle does.
#[expect(non_snake_case, reason = "the standard's name")]
unsafe extern "C" fn C_SignInit(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    if let Some(code) = control::before("C_SignInit") {
        return code;
    }
    let Some(real) = lists().and_then(|lists| lists.real.C_SignInit) else { return CKR_FUNCTION_NOT_SUPPORTED };
    // SAFETY: the caller's own arguments; a wrong object handle is an error of the module's, not of memory.
    unsafe { real(session, mechanism, control::alias(key)) }
}

/// On order, adds flags to what the token says about itself.
#[expect(non_snake_case, reason = "the standard's name")]
unsafe extern "C" fn C_GetTokenInfo(slot: CK_SLOT_ID, info: *mut CK_TOKEN_INFO) -> CK_RV {
    if let Some(code) = control::before("C_GetTokenInfo") {
        return code;
    }
    let Some(real) = lists().and_then(|lists| lists.real.C_GetTokenInfo) else { return CKR_FUNCTION_NOT_SUPPORTED };
    // SAFETY: the caller's own arguments, unchanged.
    let code = unsafe { real(slot, info) };
    if code == CKR_OK && !info.is_null() {
        // SAFETY: the real call succeeded with this pointer, so it is valid.
        unsafe { (*info).flags |= control::token_flags() };
    }
    code
}
