//! `random`: random bytes from the operating system, the token, or both mixed.

use crate::{
    encoding,
    error::TransitError,
    input::{Text, given},
    transit::Transit,
};
use chancery_engine::{Call, Fault, Response, SecretString, wire::Count};
use serde::{Deserialize, Serialize};
use std::{fmt::Write, sync::Arc};
use zeroize::Zeroizing;

/// Most bytes one call gives.
const MOST_BYTES: i64 = 128 * 1024;

/// Bytes asked of the token at once.
const TOKEN_BYTES: usize = 1024;

#[derive(Deserialize, Default)]
#[serde(default)]
struct RandomRequest<'a> {
    #[serde(deserialize_with = "given")]
    bytes: Option<Count>,
    #[serde(borrow)]
    format: Text<'a>,
}

#[derive(Serialize)]
struct RandomResponse {
    random_bytes: SecretString,
}

enum Source {
    Platform,
    Seal,
    All,
}

/// Gives random bytes.
pub(crate) async fn handle(engine: Arc<Transit>, call: Call) -> Result<Response, Fault> {
    let request: RandomRequest<'_> = call.parse()?;
    let (source, count) = place(&call)?;
    let count = match count {
        Some(count) => count,
        None => request.bytes.map_or(32, |Count(bytes)| bytes),
    };
    if count < 1 {
        return Err(Fault::caller("'bytes' cannot be less than 1"));
    }
    if count > MOST_BYTES {
        return Err(Fault::Caller(format!("'bytes' should be less than {MOST_BYTES}")));
    }
    let format = request.format.as_str();
    if !matches!(format, "" | "base64" | "hex") {
        let text = format!("unsupported encoding format {format:?}; must be \"hex\" or \"base64\"");
        return Err(Fault::Caller(text));
    }
    let mut bytes = Zeroizing::new(vec![0; usize::try_from(count).unwrap_or(0)]);
    let mut warning = None;
    if matches!(source, Source::Platform | Source::All) || !engine.has_hsm() {
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| TransitError::Random)?;
    }
    if !matches!(source, Source::Platform) {
        match engine.hsm() {
            Ok(hsm) => mix_in(hsm, &mut bytes).await?,
            Err(_) if matches!(source, Source::Seal) => {
                warning = Some("no seal/entropy augmentation available, using platform entropy source");
            }
            Err(_) => {}
        }
    }
    let random_bytes = SecretString::new(if format == "hex" { hex(&bytes) } else { encoding::encode(&bytes) });
    let response = Response::data(&RandomResponse { random_bytes })?;
    Ok(match warning {
        Some(text) => response.warn(text),
        None => response,
    })
}

/// Source and count of the path; `random/16` has the count where `random/seal` has the source.
fn place(call: &Call) -> Result<(Source, Option<i64>), Fault> {
    let (first, second) = (call.captures.text("source"), call.captures.text("urlbytes"));
    let source = match first {
        "" | "platform" => Source::Platform,
        "seal" => Source::Seal,
        "all" => Source::All,
        number if second.is_empty() => return Ok((Source::Platform, Some(parse_count(number)?))),
        other => {
            let text = format!("unsupported entropy source {other:?}; must be \"platform\" or \"seal\", or \"all\"");
            return Err(Fault::Caller(text));
        }
    };
    Ok((source, if second.is_empty() { None } else { Some(parse_count(second)?) }))
}

fn parse_count(text: &str) -> Result<i64, Fault> {
    text.parse().map_err(|_| {
        Fault::Caller(format!("error parsing url-set byte count: strconv.Atoi: parsing {text:?}: invalid syntax"))
    })
}

/// Adds the token's bytes to what is there, so that the result is as good as the better of the two.
async fn mix_in(hsm: &chancery_hsm::Hsm, bytes: &mut [u8]) -> Result<(), TransitError> {
    for chunk in bytes.chunks_mut(TOKEN_BYTES) {
        let more = hsm.random(chunk.len()).await?;
        for (byte, other) in chunk.iter_mut().zip(more.iter()) {
            *byte ^= other;
        }
    }
    Ok(())
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
