//! What share holders do one after another. Each call hands in one share; the server counts.

use crate::{
    failure::{Failure, Result},
    output::{Output, print, table},
    prompt,
    remote::{Ask, Remote, Verb},
};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use clap::Args;
use serde_json::{Map, Value, json};

#[derive(Debug, Args)]
pub(crate) struct UnsealFlags {
    /// The share, - for standard input; asked for without echo if not given
    key: Option<String>,
    /// Forget the shares handed in so far
    #[arg(long)]
    reset: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GenerateRootFlags {
    /// The share, - for standard input; asked for without echo if not given
    key: Option<String>,
    /// Begin, and print the one-time password that decodes the result
    #[arg(long, group = "step")]
    init: bool,
    /// Show how far it is
    #[arg(long, group = "step")]
    status: bool,
    /// Give it up
    #[arg(long, group = "step")]
    cancel: bool,
    /// Decode the encoded token with --otp
    #[arg(long, group = "step", value_name = "TOKEN", requires = "otp")]
    decode: Option<String>,
    /// One-time password: with --init to choose it, with --decode to use it
    #[arg(long, value_name = "TEXT")]
    otp: Option<String>,
    /// Print a fresh one-time password
    #[arg(long, group = "step")]
    generate_otp: bool,
    /// Nonce of the attempt, asked from the server if not given
    #[arg(long)]
    nonce: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RekeyFlags {
    /// The old share, - for standard input; asked for without echo if not given
    key: Option<String>,
    /// Begin
    #[arg(long, group = "step")]
    init: bool,
    /// Show how far it is
    #[arg(long, group = "step")]
    status: bool,
    /// Give it up
    #[arg(long, group = "step")]
    cancel: bool,
    /// Number of new shares
    #[arg(short = 'n', long, default_value_t = 5, value_name = "NUMBER")]
    key_shares: u8,
    /// How many of them suffice
    #[arg(short = 't', long, default_value_t = 3, value_name = "NUMBER")]
    key_threshold: u8,
    /// barrier: unseal shares; recovery: recovery shares
    #[arg(long, default_value = "barrier", value_parser = ["barrier", "recovery", "hsm"])]
    target: String,
    /// With --init: the new shares count only after enough of them were handed in with --verify
    #[arg(long)]
    verify: bool,
    /// Nonce of the attempt, asked from the server if not given
    #[arg(long)]
    nonce: Option<String>,
}

pub(super) fn unseal(remote: &Remote, flags: &UnsealFlags, output: &Output) -> Result<()> {
    let answer = if flags.reset {
        remote.write("sys/unseal", json!({"reset": true}))?
    } else {
        let key = prompt::secret(flags.key.as_deref(), "Unseal key share")?;
        remote.write("sys/unseal", json!({"key": *key}))?
    };
    report(&answer.content(), output)
}

pub(super) fn generate_root(remote: &Remote, flags: &GenerateRootFlags, output: &Output) -> Result<()> {
    const ATTEMPT: &str = "sys/generate-root/attempt";
    if let (Some(encoded), Some(otp)) = (&flags.decode, &flags.otp) {
        return print(&decode_token(encoded, otp)?);
    }
    if flags.generate_otp {
        let length = remote.read(ATTEMPT)?.content().get("otp_length").and_then(Value::as_u64).unwrap_or(24);
        return print(&one_time_password(usize::try_from(length).unwrap_or(24))?);
    }
    if flags.status {
        return report(&remote.read(ATTEMPT)?.content(), output);
    }
    if flags.cancel {
        remote.delete(ATTEMPT)?;
        return output.done("Success! Root token generation canceled (if it was started)");
    }
    if flags.init {
        let otp = flags.otp.as_ref().map(|otp| json!(otp));
        let answer = remote.send(&Ask::new(Verb::Write, ATTEMPT).members([("otp", otp)]))?;
        output.remark(
            "Keep the OTP: it decodes the root token (chancery operator generate-root --decode=TOKEN --otp=OTP).",
        );
        return report(&answer.content(), output);
    }
    let nonce = nonce(remote, flags.nonce.as_ref(), ATTEMPT)?;
    let key = prompt::secret(flags.key.as_deref(), "Unseal or recovery key share")?;
    report(&remote.write("sys/generate-root/update", json!({"key": *key, "nonce": nonce}))?.content(), output)
}

pub(super) fn rekey(remote: &Remote, flags: &RekeyFlags, output: &Output) -> Result<()> {
    let root = if flags.target == "barrier" { "sys/rekey" } else { "sys/rekey-recovery-key" };
    // The verification of new shares is an attempt of its own, with its own nonce.
    let (attempt, update) = if flags.verify && !flags.init {
        (format!("{root}/verify"), format!("{root}/verify"))
    } else {
        (format!("{root}/init"), format!("{root}/update"))
    };
    if flags.status {
        return report(&remote.read(&attempt)?.content(), output);
    }
    if flags.cancel {
        remote.delete(&attempt)?;
        return output.done("Success! Canceled rekeying (if it was started)");
    }
    if flags.init {
        let body = json!({
            "secret_shares": flags.key_shares,
            "secret_threshold": flags.key_threshold,
            "require_verification": flags.verify,
        });
        remote.write(&attempt, body)?;
        return report(&remote.read(&attempt)?.content(), output);
    }
    let nonce = nonce(remote, flags.nonce.as_ref(), &attempt)?;
    let key = prompt::secret(flags.key.as_deref(), "Key share")?;
    report(&remote.write(&update, json!({"key": *key, "nonce": nonce}))?.content(), output)
}

fn nonce(remote: &Remote, given: Option<&String>, attempt: &str) -> Result<String> {
    if let Some(nonce) = given {
        return Ok(nonce.clone());
    }
    let status = remote.read(attempt)?.content();
    let nonce = status.get("nonce").and_then(Value::as_str).unwrap_or_default();
    if nonce.is_empty() {
        return Err(Failure::remote("nothing has been started").fix("begin with --init"));
    }
    Ok(nonce.to_owned())
}

/// Where an attempt stands, in the order people look for it; new shares in full.
fn report(status: &Map<String, Value>, output: &Output) -> Result<()> {
    if !output.is_table() {
        return output.object(status);
    }
    let mut rows = Vec::new();
    for (number, key) in (1..).zip(status.get("keys_base64").and_then(Value::as_array).into_iter().flatten()) {
        rows.push((format!("Key {number}"), table::cell(key)));
    }
    for (label, name) in [
        ("Seal Type", "type"),
        ("Initialized", "initialized"),
        ("Sealed", "sealed"),
        ("Nonce", "nonce"),
        ("Started", "started"),
        ("Total Shares", "n"),
        ("Threshold", "t"),
        ("Complete", "complete"),
        ("Encoded Token", "encoded_token"),
        ("OTP", "otp"),
        ("OTP Length", "otp_length"),
        ("Verification Required", "verification_required"),
        ("Verification Nonce", "verification_nonce"),
    ] {
        if let Some(value) = status.get(name).filter(|value| **value != json!("") && !value.is_null()) {
            rows.push((label.to_owned(), table::cell(value)));
        }
    }
    if let (Some(progress), Some(required)) =
        (status.get("progress"), status.get("required").or_else(|| status.get("t")))
    {
        rows.push(("Progress".to_owned(), format!("{progress}/{required}")));
    }
    print(&table::pairs(&rows))
}

fn decode_token(encoded: &str, otp: &str) -> Result<String> {
    let wrong = |why: String| Failure::local("the encoded token cannot be decoded").because(why);
    let bytes = STANDARD_NO_PAD
        .decode(encoded.trim().trim_end_matches('='))
        .map_err(|_| wrong("it is not base64".to_owned()))?;
    if bytes.len() != otp.len() {
        return Err(wrong(format!("it has {} bytes, the one-time password {}", bytes.len(), otp.len())));
    }
    let token = bytes.iter().zip(otp.bytes()).map(|(byte, mask)| byte ^ mask).collect();
    String::from_utf8(token).map_err(|_| wrong("the one-time password does not belong to it".to_owned()))
}

fn one_time_password(length: usize) -> Result<String> {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|error| Failure::local("the system gave no randomness").because(error))?;
        // 62 letters in 6 bits: values past the end are thrown away, so that every letter is as likely.
        let letters = random.iter().filter_map(|byte| LETTERS.get(usize::from(byte & 63)));
        text.extend(letters.map(|letter| char::from(*letter)).take(length - text.len()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_out_with_its_password_only() {
        let otp = one_time_password(26).unwrap();
        let token = "s.abcdefghijklmnopqrstuvwx";
        let masked: Vec<u8> = token.bytes().zip(otp.bytes()).map(|(byte, mask)| byte ^ mask).collect();
        let encoded = STANDARD_NO_PAD.encode(masked);
        assert_eq!(decode_token(&encoded, &otp).unwrap(), token);
        assert!(decode_token(&encoded, &otp[1..]).is_err());
        assert!(decode_token("!", &otp).is_err());
    }

    #[test]
    fn passwords_have_the_length_asked_for_and_differ() {
        let (one, two) = (one_time_password(26).unwrap(), one_time_password(26).unwrap());
        assert_eq!(one.len(), 26);
        assert_ne!(one, two);
    }
}
